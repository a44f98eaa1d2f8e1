/* From a row of a stack to the id that a head reads in it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_ENGINE_CHOOSE_H
#define SO_ENGINE_CHOOSE_H

#include "engine/generate.h"

/* The heads: a label of a row of the bottom layers, the next text token, the next unit. */
typedef enum so_head { SO_HEAD_CTC, SO_HEAD_TEXT, SO_HEAD_UNIT } so_head;

/* The likeliest id of a row [1, D] under a head [V, D]. */
int32_t so_likeliest(so_talk *talk, so_tensor *row, so_head head);
/* The likeliest, or, unless `greedy`, one that is sampled as the talk's options say. */
int32_t so_choose(so_talk *talk, so_tensor *row, so_head head, bool greedy);
/* The next text token from the backbone's row; where the talk has odds, its log-probability goes there. */
int32_t so_choose_text(so_talk *talk, so_tensor *row);
/* The same among the units and what ends a voice, whatever else the unit head has rows for. */
int32_t so_choose_unit(so_talk *talk, so_tensor *row);

#endif
