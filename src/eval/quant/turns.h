/* Turns that models are asked to find out about their numbers: read from a corpus, or made up.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_EVAL_QUANT_TURNS_H
#define SO_EVAL_QUANT_TURNS_H

#include "eval/quant/lockstep.h"
#include "so_eval.h"

typedef struct so_turns so_turns;

/* Reads options->data; units of spoken turns come from the model's own ears. `model` stays open until close. */
so_status so_turns_open(so_turns **out, so_model *model, const so_turns_options *options, so_error *error);
void so_turns_close(so_turns **turns);
int64_t so_turns_count(const so_turns *turns);
/* Turn i; lent until the next call. */
so_status so_turns_get(so_turns *turns, int64_t i, so_turn *turn, so_error *error);

#endif
