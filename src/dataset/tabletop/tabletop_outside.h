/* Talk about where the tabletop world ends, for tabletop_talk.c.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_DATASET_TABLETOP_TABLETOP_OUTSIDE_H
#define SO_DATASET_TABLETOP_TABLETOP_OUTSIDE_H

#include "dataset/tabletop/tabletop.h"

/* Answers from where the world ends. */
typedef enum so_decline {
    SO_DECLINE_WORLD,
    SO_DECLINE_DEED,
    SO_DECLINE_NOW,
    SO_DECLINE_SUM,
    SO_DECLINE_LANGUAGE,
    SO_DECLINE_NO_PICTURE,
    SO_DECLINE_PICTURE,
    SO_DECLINE_SHAPES,
    SO_DECLINE_SOUND,
    SO_DECLINES
} so_decline;
const char *so_tabletop_decline(so_decline which);

/* Fills question, answer and language for one of the kinds from SO_TALK_OUTSIDE to SO_TALK_NOTHING. `spelled` false:
 * SO_TABLETOP_UNKNOWN stands for names and words from outside. */
void so_tabletop_wider(so_tabletop_part part, so_tabletop_kind kind, bool spelled, so_rng *rng, so_qa *out);
/* A word or two that name something from outside: "dog". */
const char *so_tabletop_foreign_thing(so_tabletop_part part, so_rng *rng);

/* Whether the world knows the opposite, or the colour, of a word. */
bool so_tabletop_has_opposite(const char *word);
bool so_tabletop_has_colour(const char *word);

#endif
