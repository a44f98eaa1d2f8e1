/* Attention, and the rotation of its queries and keys.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_KERNELS_ATTENTION_H
#define SO_BACKEND_KERNELS_ATTENTION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/pool.h"
#include "base/real.h"
#include "base/type.h"

/* One sequence of an attention call. Row i of its queries stands at key position pos0 + i. */
typedef struct so_attn_seg {
    int64_t q_row0, q_rows; /* its rows in q and out */
    const so_real *k, *v;   /* [kv_rows, kv_stride], heads side by side */
    so_real *dk, *dv;       /* gradients in the layout of k and v; NULL where none is wanted */
    int64_t kv_rows, kv_stride, pos0;
    so_type kv_type; /* SO_F32: k and v as declared; F16, BF16, Q8_0: they point at rows of kv_stride numbers of
                        that type (no way back; Q8_0: the width of a head is a multiple of 32) */
} so_attn_seg;

typedef struct so_attn {
    int64_t heads, kv_heads, width; /* width of one head; query head h reads key head h / (heads / kv_heads) */
    so_real scale;
    bool causal;            /* row i sees keys <= pos0 + i; otherwise all */
    const int32_t *lo, *hi; /* or, per query row, keys lo <= j < hi (lo == hi: the mean of ALL values); NULL: unused */
    int64_t n_segs;
    const so_attn_seg *seg;
    void *rounded; /* NULL, or where rows of out go as so_round_int8_fn leaves them, in place of out: of devices, up to
                      SO_FEW_ROWS rows; width a multiple of 32, heads * width of 256 */
} so_attn;

/* out[q rows, heads*width] = softmax(scale q k^T) v; lse[rows, heads] (may be NULL) gets log-sum-exp of the scores. */
typedef void so_attention_fn(so_pool *pool, const so_attn *attn, const so_real *q, so_real *out, so_real *lse);
/* The same for inference: q scale log2(e), k, v and the probabilities e^(s - max) rounded to bf16, sums in float. */
typedef void so_bf16_attention_fn(so_pool *pool, const so_attn *attn, const so_real *q, so_real *out);
typedef struct so_attn_back {
    const so_real *q, *out, *lse, *dout; /* out, lse: of the forward */
    so_real *dq;                         /* added to; NULL: not wanted */
} so_attn_back;
/* dq += ..., and seg.dk, seg.dv += ... */
typedef void so_attention_back_fn(so_pool *pool, const so_attn *attn, const so_attn_back *back);

/* Half-split rotation: for head h, i < width/2, angle = pos[r] * freq[i]:
 * (y_i, y_{i+width/2}) = (x_i cos - x_{i+w/2} sin, x_{i+w/2} cos + x_i sin); sign = -1 turns back. Adds when `add`. */
typedef struct so_rotation {
    int64_t rows, heads, width;
    const int32_t *pos;
    const double *freq;
    int sign;
    bool add;
    const so_real *x;
    so_real *y;
} so_rotation;
typedef void so_rope_fn(so_pool *pool, const so_rotation *rotation);
/* Two of them, of other rows but with the same heads, width and sign and neither adding, at once: of devices. */
typedef void so_rope_both_fn(so_pool *pool, const so_rotation *a, const so_rotation *b);
/* What comes between the products and the attention of a layer, of devices: q is turned (so_rotation, sign 1) into
 * to_q, k turned and kept, v kept (so_kept, kernels_move.h), for the rows of one sequence. */
typedef struct so_rotated {
    so_type type; /* that keys and values are kept as */
    int64_t rows, heads, kv_heads, width;
    const int32_t *pos; /* [rows], of the host */
    const double *freq;
    const so_real *q, *k, *v;
    so_real *to_q;
    void *to_k, *to_v;
} so_rotated;
typedef void so_rotate_keep_fn(so_pool *pool, const so_rotated *rotated);

#endif
