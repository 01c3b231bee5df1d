#ifndef TABLE_H
#define	TABLE_H

#include <stddef.h>

/* Words and how often each was seen: a hash table that grows. */

struct entry {
	char *word;
	unsigned long count;
};

struct table;

/* NULL when there is no memory. */
struct table *table_new(void);
void table_free(struct table *);

/* Counts the word once more; 0, or -1 when there is no memory. */
int table_add(struct table *, const char *word);

/* How many different words there are. */
size_t table_size(const struct table *);

/*
 * All entries, the most frequent first and equally frequent ones by name.
 * The array is the caller's to free, the words in it remain the table's.
 * NULL when there is no memory or no word.
 */
struct entry *table_sorted(const struct table *);

#endif
