/* Kernels of the codec's networks that are computed whole on a device. The host has them as a reference and does the
 * same in steps (nn/ops_conv.c and the like) out of kernels_conv.h and kernels_matrix.h; those of numbers and rows, at
 * the end, serve both.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_KERNELS_CODEC_H
#define SO_BACKEND_KERNELS_CODEC_H

#include <stdbool.h>
#include <stdint.h>

#include "backend/kernels_element.h"
#include "backend/kernels_matrix.h"
#include "base/pool.h"
#include "base/real.h"
#include "base/type.h"

/* Along time: y[b, t, o] = bias[o] + sum over c and j of w[o, c, j] x[b, t stride + j dilation - pad, c], zeros outside
 * of x [batch, in, channels]; y [batch, out, n]. `transposed` (dilation 1): w[c, o, j] of x[b, i, c] adds to y[b, i
 * stride + j - pad, o]. */
typedef struct so_time_conv {
    so_type type;
    const void *w;       /* n (transposed: channels) rows of the numbers of the other two axes, a float or block type */
    const so_real *bias; /* [n] or NULL */
    int64_t batch, in, out, channels, n, taps, stride, dilation, pad;
    bool transposed;
    const so_real *x;
    so_real *y;
    int then; /* 0, or 1 + the so_unary that every number of y ends with */
    /* NULL, or a second convolution of x by w1 [n, channels] of the same type with one tap and no padding, bias1 [n] or
     * NULL, into y1 [batch, in, n]; the first then keeps the length (stride 1). */
    const void *w1;
    const so_real *bias1;
    so_real *y1;
} so_time_conv;
typedef void so_time_conv_fn(so_pool *pool, const so_time_conv *conv);

/* Up to SO_PRODUCTS products of the same rows at once, with weights of one type, each of as many rows as the second one
 * but for the first: y = then(n(x) w^T + bias) + add, where n is a layer norm with norm_w and norm_b [k], or nothing
 * (NULL). Of more than SO_FEW_ROWS rows: at most three. Of fewer: no norm; and any
 * number where all are of one size and y of one follows that of the other. */
typedef struct so_joined {
    int64_t count, k, m;
    const so_product *product; /* `add` in one product by itself */
    const so_real *x, *norm_w, *norm_b;
    so_real eps;
    int then; /* 0, or 1 + a so_unary */
} so_joined;
typedef void so_joined_fn(so_pool *pool, const so_joined *joined);

/* group_norm (kernels_norm.h), and y = then(norm) + each[item of the batch, cols] + add [batch, rows, cols]; each and
 * add may be NULL. */
typedef struct so_group_ends {
    so_norm norm;
    int then; /* 0, or 1 + a so_unary */
    const so_real *each, *add;
} so_group_ends;
typedef void so_group_ends_fn(so_pool *pool, const so_group_ends *group);

/* y [2, rows, 4 cols]: x, mu, speaker and cond (NULL: zeros) side by side; x and zeros. x, mu and cond [rows, cols],
 * speaker [cols]. */
typedef struct so_question {
    int64_t rows, cols;
    const so_real *x, *mu, *speaker, *cond;
    so_real *y;
} so_question;
typedef void so_question_fn(so_pool *pool, const so_question *question);

/* Self-attention with relative positions of every item of the batch, q, k, v, y [batch, rows, heads * width]:
 * score(i, j) = scale ((q_i + u) k_j + (q_i + w) position[rows - 1 - i + j]), position [2 rows - 1, heads * width], u
 * and w [heads * width]. */
typedef struct so_relative {
    int64_t batch, rows, heads, width; /* width of one head: at most 256 on a device */
    so_real scale;
    const so_real *q, *k, *v, *position, *u, *w;
    so_real *y;
} so_relative;
typedef void so_relative_fn(so_pool *pool, const so_relative *attention);

/* Short frames of n numbers every `hop`, and back; as so_stft and so_istft (nn/ops_conv.h) have them. */
enum { SO_SHORT_FRAME = 64 };
typedef struct so_short_fourier {
    int64_t batch, samples, frames, n, hop, pad; /* n even, at most SO_SHORT_FRAME */
    const so_real *window;                       /* [n], of the host */
    const so_real *x; /* stft: [batch, samples]; istft: [batch, frames, n + 2], real parts, then imaginary */
    so_real *y;
} so_short_fourier;
typedef void so_short_fourier_fn(so_pool *pool, const so_short_fourier *fourier);

/* x[r, :] = log magnitudes m [bins], then p [bins]: y[r, :] = min(e^m, limit) cos(sin p), then the same with sin. */
typedef void so_polar_fn(so_pool *pool, int64_t rows, int64_t bins, so_real limit, const so_real *x, so_real *y);

/* ids[r]: the code nearest to x[r, cols] in squared distance, the lowest among equals. */
typedef struct so_nearest {
    int64_t rows, codes, cols;
    const so_real *x, *code; /* code [codes, cols] */
    so_real *work;           /* [codes + rows * codes] numbers of working memory */
    int32_t *ids;
} so_nearest;
typedef void so_nearest_fn(so_pool *pool, const so_nearest *nearest);

/* y = value */
typedef void so_fill_fn(so_pool *pool, int64_t n, so_real value, so_real *y);
/* A step of a guided flow: x += f[0] ((1 + f[1]) v[0 .. n) - f[1] v[n .. 2n)), f [2], x [n], v [2n]. */
typedef void so_guide_fn(so_pool *pool, int64_t n, const so_real *f, const so_real *v, so_real *x);
/* y = x within -limit .. limit */
typedef void so_clamp_fn(so_pool *pool, int64_t n, so_real limit, const so_real *x, so_real *y);
/* n columns of rows that lie ldx and ldy apart: y[r, 0 .. n) = x[r, 0 .. n); behind them those of x1 [rows, n1]. */
typedef struct so_columns {
    int64_t rows, n, ldx, ldy;
    const so_real *x;
    so_real *y;
    int64_t n1; /* 0: none */
    const so_real *x1;
} so_columns;
typedef void so_columns_fn(so_pool *pool, const so_columns *columns);
/* y[i, :] = (1 - weight[i]) x[index[i], :] + weight[i] x[index[i] + 1, :]; where weight is 0 the second row need not
 * exist. */
typedef struct so_lerp {
    int64_t rows, cols, n; /* rows of x, of y */
    const int32_t *index;  /* [n], of the host */
    const so_real *weight; /* [n], of the host */
    const so_real *x;
    so_real *y;
} so_lerp;
typedef void so_lerp_fn(so_pool *pool, const so_lerp *lerp);
/* y[r, :] = x[r, :] + add[r / each, :], for batch * each rows. */
typedef struct so_each {
    int64_t batch, each, cols;
    const so_real *x, *add;
    so_real *y;
} so_each;
typedef void so_each_fn(so_pool *pool, const so_each *add);

#endif
