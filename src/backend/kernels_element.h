/* Functions of single numbers, and sums over rows.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_KERNELS_ELEMENT_H
#define SO_BACKEND_KERNELS_ELEMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/pool.h"
#include "base/real.h"

typedef enum so_unary {
    SO_SILU,      /* x / (1 + e^-x) */
    SO_GELU,      /* x/2 (1 + erf(x / sqrt 2)) */
    SO_GELU_TANH, /* x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) */
    SO_MISH,      /* x tanh(ln(1 + e^x)) */
    SO_ELU,       /* x > 0 ? x : e^x - 1 */
    SO_RELU,
    SO_LRELU_0_1,  /* leaky, slope 0.1 */
    SO_LRELU_0_01, /* leaky, slope 0.01 */
    SO_TANH,
    SO_SIGMOID,
    SO_EXP,
    SO_SIN,
    SO_ABS,
    SO_SQUARED,
    SO_UNARY_COUNT
} so_unary;

/* y = f(x) */
typedef void so_unary_fn(so_pool *pool, so_unary f, int64_t n, const so_real *x, so_real *y);
/* dx = dy f'(x), on top of what is there where `add` */
typedef void so_unary_back_fn(so_pool *pool, so_unary f, int64_t n, const so_real *x, const so_real *dy, bool add,
                              so_real *dx);
/* y = silu(gate) * up */
typedef void so_swiglu_fn(so_pool *pool, int64_t n, const so_real *gate, const so_real *up, so_real *y);
typedef struct so_swiglu_back {
    const so_real *gate, *up, *dy;
    so_real *dgate, *dup;        /* added to; NULL where not wanted */
    bool first_dgate, first_dup; /* nothing is there yet: written */
} so_swiglu_back;
typedef void so_swiglu_back_fn(so_pool *pool, int64_t n, const so_swiglu_back *back);
/* y += a x */
typedef void so_axpy_fn(so_pool *pool, int64_t n, so_real a, const so_real *x, so_real *y);
/* sum over rows: out[c] += sum_r x[r,c] */
typedef void so_sum_rows_fn(so_pool *pool, int64_t rows, int64_t cols, const so_real *x, so_real *out);
/* y[r,:] = softmax(x[r,:]); may be in place. Sums in double. */
typedef void so_softmax_fn(so_pool *pool, int64_t rows, int64_t cols, const so_real *x, so_real *y);
/* dx += y (dy - <dy, y>) */
typedef void so_softmax_back_fn(so_pool *pool, int64_t rows, int64_t cols, const so_real *y, const so_real *dy,
                                so_real *dx);

/* loss[r] = log-sum-exp(x[r,:]) - x[r, label[r]], 0 where label < 0; dx += scale (softmax - onehot). */
typedef struct so_label_loss {
    int64_t rows, cols;
    const so_real *x;
    const int32_t *label; /* [rows] */
    so_real scale;
    so_real *loss; /* [rows] */
    so_real *dx;   /* NULL: not wanted */
} so_label_loss;
typedef void so_cross_entropy_fn(so_pool *pool, const so_label_loss *loss);

/* A step of AdamW on n numbers w with gradients g and moments m and v, on the calling thread: with s = `scale` g, m =
 * b1 m + (1 - b1) s, v = b2 v + (1 - b2) s^2, w = `shrink` w - `rate` m / (sqrt(v `correct`) + `epsilon`); g = 0. */
typedef struct so_adam {
    so_real scale, b1, b2, rate, shrink, correct, epsilon;
} so_adam;
typedef void so_adam_fn(const so_adam *step, int64_t n, so_real *w, so_real *g, so_real *m, so_real *v);
/* The sum of x^2, in double, on the calling thread. */
typedef double so_square_sum_fn(int64_t n, const so_real *x);

#endif
