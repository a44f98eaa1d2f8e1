/* Following a voice through the text that it says.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TEXT_RECITE_H
#define SO_TEXT_RECITE_H

#include <stdint.h>

enum { SO_RECITE_FIND = 3 /* words ahead among which one that was heard is looked for */ };

/* How many of the n words a voice has come on that had come to number `at` of them and is heard to say `word`: up to
 * there, where one of the next SO_RECITE_FIND is that (those between were said, and not heard); none, where it is the
 * last one once more; else one, which was not heard well, or is none of the text. */
int64_t so_recite_on(const int32_t *text, int64_t n, int64_t at, int32_t word);

#endif
