/* tally [-n NUMBER] [FILE...]: the most frequent words of some files, or of what is typed. */

#include "table.h"
#include "words.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int
usage(void)
{
	(void) fprintf(stderr, "usage: tally [-n number] [file ...]\n");
	return (2);
}

static int
complain(const char *what, const char *why)
{
	(void) fprintf(stderr, "tally: %s: %s\n", what, why);
	return (1);
}

static int
count(struct table *t, FILE *in, const char *name)
{
	char word[WORD_MAX_LENGTH + 1];

	errno = 0;
	while (words_next(in, word)) {
		if (table_add(t, word) != 0)
			return (complain(name, "out of memory"));
	}
	return (ferror(in) ? complain(name, strerror(errno)) : 0);
}

static int
count_file(struct table *t, const char *name)
{
	FILE *in = fopen(name, "r");
	int status;

	if (in == NULL)
		return (complain(name, strerror(errno)));
	status = count(t, in, name);
	(void) fclose(in);
	return (status);
}

static int
print(const struct table *t, unsigned long limit)
{
	struct entry *all = table_sorted(t);
	size_t i;

	if (all == NULL && table_size(t) > 0)
		return (complain("sorting", "out of memory"));
	for (i = 0; i < table_size(t) && i < limit; i++)
		(void) printf("%7lu %s\n", all[i].count, all[i].word);
	free(all);
	return (fflush(stdout) != 0 ? complain("output", strerror(errno)) : 0);
}

int
main(int argc, char **argv)
{
	unsigned long limit = 10;
	struct table *t;
	char *end;
	int c, status = 0;

	while ((c = getopt(argc, argv, "n:")) != -1) {
		if (c != 'n')
			return (usage());
		limit = strtoul(optarg, &end, 10);
		if (*end != '\0' || end == optarg || *optarg == '-')
			return (usage());
	}
	if ((t = table_new()) == NULL)
		return (complain("start", "out of memory"));
	if (optind == argc)
		status |= count(t, stdin, "standard input");
	for (; optind < argc; optind++)
		status |= count_file(t, argv[optind]);
	status |= print(t, limit);
	table_free(t);
	return (status);
}
