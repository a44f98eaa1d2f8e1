/* Tensors: a shape, a type, and bytes that somebody else owns.
 *
 * Row-major, contiguous, at most four axes, dim[0] slowest. Activations are SO_F32 (so_real); weights may be stored in
 * any so_type. Shape letters, one table for the project: B batch, T text positions, S speech positions, P patches, D
 * width, H heads, K kv heads, d head width, F feed-forward width, V vocabulary, L layers, C channels, M mel bins, N
 * samples.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_NN_TENSOR_H
#define SO_NN_TENSOR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/real.h"
#include "base/type.h"

enum { SO_MAX_DIMS = 4 };

/* What a low-rank adapter adds to the products of a weight w [N, K]: y = x w^T + scale (x a^T) b^T. */
typedef struct so_lora {
    struct so_tensor *a, *b; /* [r, K], [N, r] */
    so_real scale;
    int number;           /* of this adapter among its model's */
    double dropout;       /* of a's input while recording; 0: none */
    const uint64_t *seed; /* of what is dropped, the same whenever a layer is computed again; NULL: no dropout */
} so_lora;

typedef struct so_tensor {
    void *data;
    so_real *grad; /* same shape; NULL until the first gradient arrives */
    int64_t dim[SO_MAX_DIMS];
    so_type type;
    int8_t n_dims;
    bool wants_grad;     /* a weight of a group that learns, or depends on one */
    const char *name;    /* of a weight; NULL for an activation */
    bool followed;       /* of a weight: whoever follows a pass is told when its gradient is complete (nn/pass.h) */
    int32_t uses;        /* of one that is followed: steps still to come on the way back that may add to it; -1: none */
    bool host;           /* of a weight: it stays in the host's memory where others lie on a device */
    const so_lora *lora; /* of a weight: its adapter; NULL: none */
    void
        *rounded; /* of an activation on a device: its rows as round_int8 leaves them, in place of `data`; NULL: none */
    const void *bf16; /* of a weight: the layout of kernels->bf16_linear or bf16_conv, for inference; NULL: none */
} so_tensor;

/* Of NULL, which ops give for NULL once a pass has failed or was stopped, all of these are 0. */
static inline int64_t so_count(const so_tensor *t)
{
    int64_t n = t ? 1 : 0;
    for (int i = 0; t && i < t->n_dims; i++) n *= t->dim[i];
    return n;
}
/* Columns: the last axis. Rows: all the others together. */
static inline int64_t so_cols(const so_tensor *t) { return t ? t->dim[t->n_dims - 1] : 0; }
static inline int64_t so_rows(const so_tensor *t)
{
    int64_t n = t ? 1 : 0;
    for (int i = 0; t && i + 1 < t->n_dims; i++) n *= t->dim[i];
    return n;
}
static inline so_real *so_data(const so_tensor *t) { return t ? (so_real *)t->data : NULL; }

/* "[2, 3, 4]" into `text` (at least 96 bytes), for messages. Returns text. */
const char *so_shape_text(const so_tensor *t, char *text);

#endif
