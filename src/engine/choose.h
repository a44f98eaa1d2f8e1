/* From a row of a stack to the id that a head reads in it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_ENGINE_CHOOSE_H
#define SO_ENGINE_CHOOSE_H

#include "engine/generate.h"

/* Shows a tensor to who watches the talk, if anybody does. */
void so_tap(so_talk *talk, const char *what, const so_tensor *t);
/* The likeliest id of a row [1, D] under a head [V, D]; `reach` as in so_best_row. A watcher sees all logits, as
 * `what`. */
int32_t so_likeliest(so_talk *talk, so_tensor *row, so_tensor *head, const float *reach, const char *what);
/* The likeliest, or, unless `greedy`, one that is sampled as the talk's options say. */
int32_t so_choose(so_talk *talk, so_tensor *row, so_tensor *head, const float *reach, const char *what, bool greedy);
/* The same among the units and what ends a voice, whatever else the unit head has rows for. */
int32_t so_choose_unit(so_talk *talk, so_tensor *row);

#endif
