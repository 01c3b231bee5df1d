#include "table.h"

#include <stdlib.h>
#include <string.h>

#define	FIRST_ROOM	64	/* a power of two, as is every later size */

struct table {
	struct entry *slots;	/* open addressing; an empty slot has no word */
	size_t room;
	size_t used;
};

/* FNV-1a: short, and good enough for words. */
static size_t
hash(const char *word)
{
	unsigned long h = 2166136261UL;

	while (*word != '\0') {
		h ^= (unsigned char)*word++;
		h = (h * 16777619UL) & 0xffffffffUL;
	}
	return ((size_t)h);
}

/* The slot that has this word, or the empty one where it belongs. */
static struct entry *
find(struct entry *slots, size_t room, const char *word)
{
	size_t i = hash(word) & (room - 1);

	while (slots[i].word != NULL && strcmp(slots[i].word, word) != 0)
		i = (i + 1) & (room - 1);
	return (&slots[i]);
}

struct table *
table_new(void)
{
	struct table *t = malloc(sizeof (*t));

	if (t == NULL)
		return (NULL);
	t->slots = calloc(FIRST_ROOM, sizeof (*t->slots));
	if (t->slots == NULL) {
		free(t);
		return (NULL);
	}
	t->room = FIRST_ROOM;
	t->used = 0;
	return (t);
}

void
table_free(struct table *t)
{
	size_t i;

	if (t == NULL)
		return;
	for (i = 0; i < t->room; i++)
		free(t->slots[i].word);
	free(t->slots);
	free(t);
}

static int
grow(struct table *t)
{
	size_t i, room = t->room * 2;
	struct entry *slots = calloc(room, sizeof (*slots));

	if (slots == NULL)
		return (-1);
	for (i = 0; i < t->room; i++) {
		if (t->slots[i].word != NULL)
			*find(slots, room, t->slots[i].word) = t->slots[i];
	}
	free(t->slots);
	t->slots = slots;
	t->room = room;
	return (0);
}

int
table_add(struct table *t, const char *word)
{
	struct entry *e = find(t->slots, t->room, word);

	if (e->word != NULL) {
		e->count++;
		return (0);
	}
	/* Three quarters full at most, so that a search always ends. */
	if ((t->used + 1) * 4 > t->room * 3) {
		if (grow(t) != 0)
			return (-1);
		e = find(t->slots, t->room, word);
	}
	e->word = strdup(word);
	if (e->word == NULL)
		return (-1);
	e->count = 1;
	t->used++;
	return (0);
}

size_t
table_size(const struct table *t)
{
	return (t->used);
}

static int
by_count(const void *left, const void *right)
{
	const struct entry *a = left, *b = right;

	if (a->count != b->count)
		return (a->count < b->count ? 1 : -1);
	return (strcmp(a->word, b->word));
}

struct entry *
table_sorted(const struct table *t)
{
	size_t i, n = 0;
	struct entry *all;

	if (t->used == 0)
		return (NULL);
	all = malloc(t->used * sizeof (*all));
	if (all == NULL)
		return (NULL);
	for (i = 0; i < t->room; i++) {
		if (t->slots[i].word != NULL)
			all[n++] = t->slots[i];
	}
	qsort(all, n, sizeof (*all), by_count);
	return (all);
}
