/* Lists of what lies outside of the tabletop world, each for training [0] and reserved [1].
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_DATASET_TABLETOP_TABLETOP_OUTSIDE_LISTS_H
#define SO_DATASET_TABLETOP_TABLETOP_OUTSIDE_LISTS_H

#include <stdint.h>

typedef struct so_list {
    const char *const *item;
    int64_t count;
} so_list;

typedef struct so_pairs {
    const char *const (*item)[2];
    int64_t count;
} so_pairs;

extern const so_list so_outside_people[2], so_outside_places[2], so_outside_things[2], so_outside_topics[2],
    so_outside_dishes[2], so_outside_numbers;
/* What asks for knowledge, for a deed, for something about here and now, for other sums. */
extern const so_list so_outside_questions[4][2];
/* espeak-ng's name of a language, a sentence of it. */
extern const so_pairs so_outside_languages[2];

#endif
