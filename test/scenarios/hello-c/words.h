#ifndef WORDS_H
#define	WORDS_H

#include <stdio.h>

#define	WORD_MAX_LENGTH	63	/* longer words are cut */

/*
 * The next word of the stream in lower case, in a buffer of
 * WORD_MAX_LENGTH + 1 bytes: 1 when there was one, 0 at the end.
 */
int words_next(FILE *, char *word);

#endif
