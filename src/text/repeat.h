/* Text that goes round in circles: the same few tokens again and again.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TEXT_REPEAT_H
#define SO_TEXT_REPEAT_H

#include <stdbool.h>
#include <stdint.h>

enum {
    SO_REPEAT_PERIOD = 32, /* tokens of the longest circle that is looked for */
    SO_REPEAT_TOKENS = 64, /* repeated tokens that make one, */
    SO_REPEAT_ROUNDS = 3   /* and how often it must have been gone through again */
};

/* Start from a zeroed struct. */
typedef struct so_repeat {
    int32_t run[SO_REPEAT_PERIOD]; /* of period i + 1: how many tokens in a row equal the one so far before them */
} so_repeat;

/* After the n-th of the ids was appended: whether the text goes round in circles. */
bool so_repeat_add(so_repeat *repeat, const int32_t *ids, int64_t n);

#endif
