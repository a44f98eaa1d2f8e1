/* The recipe's spoken corpus as a dataset: each item is one exchange, heard in several voices.
 *
 *     record i    item i modulo `items`, its question as units of voice i / items: 0 as it was recorded, then others
 *
 * A record is a question (text, what of it is heard, units, samples at 16 kHz, phonemes, who asks) and its answer
 * (text, units, samples at 22,050 Hz, phonemes), with the picture that it is about.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_RECIPES_TABLETOP_TT_DATASET_H
#define SO_RECIPES_TABLETOP_TT_DATASET_H

#include "dataset/dataset.h"
#include "recipes/tabletop/part_units.h"

/* Over an open recipe, which must live longer. Items from .. from + items - 1; units may be NULL: records then have
 * none, and one voice. */
so_status so_tt_dataset_of(so_dataset **out, const so_tt *tt, const so_tt_units_file *units, int64_t from,
                           int64_t items, so_error *error);

/* Whether a folder is one that the recipe works in, with corpus and units. */
bool so_tt_dataset_is(const char *folder);
/* Opens such a folder to be read: what is learned from, or what is held out. */
so_status so_tt_dataset_open(so_dataset **out, const char *folder, bool held_out, so_error *error);

#endif
