/* api_words.h - a sentence of the API in the words of this command line. Pure. */
#ifndef CLI_API_WORDS_H
#define CLI_API_WORDS_H

#include "common/buffer.h"

/* Append a sentence of the API: "?state=" becomes --state, and a field whose option has another
 * name gets that name. */
void api_words_add(struct buffer *out, const char *sentence);

#endif
