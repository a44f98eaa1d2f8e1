/* The parts of the comparison with a Stream-Omni checkpoint.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_EVAL_GOLDEN_GOLDEN_OMNI_H
#define SO_EVAL_GOLDEN_GOLDEN_OMNI_H

#include "engine/step.h"
#include "eval/golden/golden.h"

/* The picture `name` of golden.json, from its decoded file if there is one. */
so_status so_golden_picture(so_golden *g, const char *name, so_image *out, so_error *error);

/* Room for work with the model's weights where they lie; more than a case takes. */
so_status so_golden_worker(so_worker *worker, const so_model *model, so_error *error);

so_status so_golden_pictures(so_golden *g, const so_model *model, so_error *error); /* preprocessing */
so_status so_golden_vision(so_golden *g, const so_model *model, so_error *error);   /* tower and projector */
so_status so_golden_merge(so_golden *g, const so_model *model, so_error *error);    /* splicing and merging */
so_status so_golden_fusion(so_golden *g, so_model *model, so_error *error); /* training form of the top layers */

/* Cuts the row so that at most `limit` slots enter the backbone (0: no limit), as tokenizer_model_max_length does. */
void so_golden_limit(so_slots *slots, int64_t limit);

#endif
