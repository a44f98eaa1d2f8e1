/* The flow model's loss. Source: docs/model.md 7.6.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TRAIN_LOSS_FLOW_H
#define SO_TRAIN_LOSS_FLOW_H

#include "models/flow.h"

/* The flow-matching loss: y = (1 - (1 - sigma) t) z + t x1; sum of mask (f(y) - (x1 - (1 - sigma) z))^2 over
 * (sum of mask) M. x1[B, T, M]; keep[b] 0 drops the conditions of recording b (NULL: all are kept). */
so_tensor *so_flow_matching_loss(so_pass *pass, const so_flow *net, so_tensor *x1, const so_flow_ask *ask, so_tensor *z,
                                 const so_real *keep);

typedef struct so_flow_lesson {
    int64_t B, N, T;               /* recordings; units and frames of the longest */
    const int32_t *ids;            /* [B, N], anything behind each length */
    const int64_t *units, *frames; /* [B] lengths */
    const so_real *mel;            /* [B, T, M], zeros behind each length */
    const so_real *vector;         /* [B, speaker] */
    const int64_t *shown;          /* [B] leading frames given as a condition; NULL: none */
    const so_real *z, *t, *keep;   /* [B, T, M] normal, [B] in 0..1, [B] (NULL: all kept) */
    bool add_mask;
} so_flow_lesson;
/* The whole model in training form. `mu` may be NULL. */
so_tensor *so_flow_loss(so_pass *pass, const so_flow *net, const so_flow_lesson *lesson, so_tensor **mu);

#endif
