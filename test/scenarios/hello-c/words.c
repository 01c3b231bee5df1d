#include "words.h"

#include <ctype.h>

#ifdef BROKEN
#error "this build was asked to fail (make broken)"
#endif

int
words_next(FILE *in, char *word)
{
	int c, length = 0;

	while ((c = getc(in)) != EOF && !isalnum(c))
		;
	for (; c != EOF && (isalnum(c) || c == '\''); c = getc(in)) {
		if (length < WORD_MAX_LENGTH)
			word[length++] = (char)tolower(c);
	}
	word[length] = '\0';
	return (length > 0);
}
