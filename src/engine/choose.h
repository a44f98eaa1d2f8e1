/* From rows of a stack to the ids that a head reads in them.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_ENGINE_CHOOSE_H
#define SO_ENGINE_CHOOSE_H

#include "engine/stacks.h"

/* The heads: a label of a row of the bottom layers, the next text token, the next unit. */
typedef enum so_head { SO_HEAD_CTC, SO_HEAD_TEXT, SO_HEAD_UNIT } so_head;

/* id[i] for row i of rows[n, D], which is talk[i]'s, under a head [V, D]: the likeliest, or one that is sampled as the
 * talk's options say. Labels are the likeliest always, text beside a voice too. Log-probabilities of text go where the
 * talk has odds. A voice of only units is chosen among these and what ends it, whatever else the head has rows for. In
 * a dry pass, what any of these ways takes. */
void so_choose(so_pass *pass, so_talk *const *talk, int64_t n, so_tensor *rows, so_head head, int32_t *id);
/* Whether the ids of these rows can be found where the rows are: on a device, the likeliest of all, nobody watching. */
bool so_choose_stays(const so_pass *pass, so_talk *const *talk, int64_t n, so_head head);
/* Then so_choose with ids [n] that stay on the device, and no wait. */
void so_choose_there(so_pass *pass, so_talk *const *talk, int64_t n, so_tensor *rows, so_head head, int32_t *ids);

#endif
