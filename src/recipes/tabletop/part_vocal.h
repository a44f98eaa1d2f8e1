/* What the flow and the vocoder of the tabletop recipe share.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_RECIPES_TABLETOP_PART_VOCAL_H
#define SO_RECIPES_TABLETOP_PART_VOCAL_H

#include "models/flow.h"
#include "models/hift.h"
#include "recipes/tabletop/recipe.h"

so_hift_config so_tt_vocoder_config(void);
so_flow_config so_tt_flow_config(void);
/* A store with the network, random from the recipe's seed. */
so_status so_tt_vocoder_open(const so_tt *tt, so_store *store, so_hift *net, so_error *error);
so_status so_tt_flow_open(const so_tt *tt, so_store *store, so_flow *net, so_error *error);

/* Kernels with products in bf16 where this machine has instructions for them, else the recipe's own. */
const so_kernels *so_tt_bf16_kernels(const so_tt *tt);
/* SO_ERR_FORMAT unless every answer lies within the corpus and at least one in ten of those learned from lasts
 * `frames`. */
so_status so_tt_check_answers(const so_tt *tt, int64_t frames, so_error *error);
/* The answer of an item at 22050 Hz, [a_count]; the caller frees. */
so_status so_tt_answer(const so_tt *tt, int64_t item, float **pcm, so_error *error);
/* The direction of the one voice, [192]. */
void so_tt_voice(so_real *vector);
/* mel[T, 80] -> samples [1, 256 T]. */
so_tensor *so_tt_sing(so_pass *pass, const so_hift *net, so_tensor *mel, uint64_t seed);
/* <folder>/samples/<item>-<kind>.wav */
so_status so_tt_sample(const so_tt *tt, const char *kind, int64_t item, const float *x, int64_t n, so_error *error);

#endif
