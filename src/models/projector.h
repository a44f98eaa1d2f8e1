/* The projector between vision tower and backbone (mlp2x_gelu): Linear, exact GELU, Linear.
 * Source: docs/model.md 4.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_MODELS_PROJECTOR_H
#define SO_MODELS_PROJECTOR_H

#include "nn/ops.h"
#include "nn/weights.h"

typedef struct so_projector {
    so_tensor *in_w, *in_b, *out_w, *out_b;
} so_projector;

/* Names begin with `prefix`, e.g. "model.mm_projector."; from `in` to `out` columns. */
so_status so_projector_bind(so_projector *net, int64_t in, int64_t out, const char *prefix, so_binder *binder,
                            so_error *error);
/* [P, in] -> [P, out], named "projector.out" */
so_tensor *so_projector_forward(so_pass *pass, const so_projector *net, so_tensor *x);

#endif
