/* Following a voice through the text that it says.
 *
 * A mark is a token without a letter or a digit, or a special one. Words tell where a voice is; of marks only that it
 * has come to one: a falling voice is heard as a full stop where the text has a comma.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TEXT_RECITE_H
#define SO_TEXT_RECITE_H

#include "text/tokenizer.h"

enum { SO_RECITE_FIND = 3 /* tokens ahead among which one that was heard is looked for */ };

/* How many of the n tokens a voice has come on that had come to number `at` of them and is heard to say `heard`: up to
 * there, where one of the next SO_RECITE_FIND is that or, if it is a mark, the first of them that is a mark (those
 * between were said, and not heard); none, where it is the last one once more; else one, which was not heard well, or
 * is none of the text. */
int64_t so_recite_on(const so_tokenizer *tokenizer, const int32_t *text, int64_t n, int64_t at, int32_t heard);
/* Whether a word is left of the n tokens from number `at` on. */
bool so_recite_left(const so_tokenizer *tokenizer, const int32_t *text, int64_t n, int64_t at);

#endif
