/* The kernel table: everything a device computes, on raw pointers.
 *
 * The signature, formula, shapes, aliasing and accumulation type of a kernel are written here, once. The portable C
 * version (backend/cpu/<family>.c) is the specification and the oracle; faster ones replace entries at run time. All
 * matrices are row-major; "rows" are positions or frames, columns are channels. Unless a kernel says otherwise: inputs
 * and outputs do not overlap, any size may be zero, and gradients are ADDED to what the destination holds. The pool may
 * be NULL. A kernel's result is the same for every number of threads.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_KERNELS_H
#define SO_BACKEND_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/conv_shape.h"
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
} so_attn;

enum { SO_PRODUCTS = 4 };

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

/* One of several products with the same rows. */
typedef struct so_product {
    so_type type;
    const void *w; /* n rows of k */
    int64_t n;
    const so_real *bias; /* [n] or NULL */
    so_real *y;          /* [m, n] */
} so_product;

typedef struct so_kernels {
    const char *name; /* "c", "avx2", "avx512" */

    /* C[m,n] = op(A)[m,k] op(B)[k,n] + beta C. op transposes where ta / tb is set; ld* are row strides of the stored
     * matrices. beta is 0 (C may be uninitialised) or 1. Accumulates in so_real. */
    void (*gemm)(so_pool *pool, bool ta, bool tb, int64_t m, int64_t n, int64_t k, const so_real *a, int64_t lda,
                 const so_real *b, int64_t ldb, so_real beta, so_real *c, int64_t ldc);
    /* The same of numbers rounded to bf16 (nearest even; subnormal ones may become 0), accumulated in float: about
     * twice as fast where the machine has the instruction. */
    void (*gemm_bf16)(so_pool *pool, bool ta, bool tb, int64_t m, int64_t n, int64_t k, const so_real *a, int64_t lda,
                      const so_real *b, int64_t ldb, so_real beta, so_real *c, int64_t ldc);
    /* y[m,n] = x[m,k] w[n,k]^T (+ bias[n] if not NULL); w stored as `type` (a float or a block type: n rows of k). */
    void (*linear)(so_pool *pool, so_type type, const void *w, int64_t n, int64_t k, const so_real *x, int64_t m,
                   const so_real *bias, so_real *y);
    /* For inference, where w is laid out once and x is rounded as it comes: y[m,n] = x[m,k] w[n,k]^T (+ bias[n] if not
     * NULL) of numbers rounded to bf16, summed in float. Rows of x lie ldx apart (they may overlap), rows of y ldy.
     * half_bytes: of a layout; half_pack writes it (64-byte aligned, sealed: another table does not read it).
     * `half_gains`: faster than linear here. */
    bool half_gains;
    size_t (*half_bytes)(int64_t n, int64_t k);
    void (*half_pack)(so_pool *pool, int64_t n, int64_t k, const so_real *w, void *layout);
    void (*half_linear)(so_pool *pool, const void *layout, int64_t n, int64_t k, const so_real *x, int64_t ldx,
                        int64_t m, const so_real *bias, so_real *y, int64_t ldy);
    /* Row `row` of w[*,k] as numbers. */
    void (*row)(so_type type, const void *w, int64_t row, int64_t k, so_real *out);
    /* Rounds rows for linear_int8 into so_int8_bytes(m, k) bytes at `out` (64-aligned), in an order of the table's own.
     * Every so_int8_span(m) numbers x of a row become round(x / s), ties to even, with s = max |x| / 127 in float (0
     * where the largest is below 1e-30); a span with a number that is not finite has s NaN. */
    void (*round_int8)(so_pool *pool, int64_t m, int64_t k, const so_real *x, void *out);
    /* `linear` of block types on what round_int8 made of the same m rows of k: products of whole numbers, exact within
     * a group, times both scales. `count` matrices (up to SO_PRODUCTS) meet the same rows in one loop. */
    void (*linear_int8)(so_pool *pool, int count, const so_product *product, int64_t k, const void *rounded, int64_t m);
    /* y[m,n] = silu(x gate[n,k]^T) * (x up[n,k]^T), products as linear_int8 makes them. */
    void (*gated_int8)(so_pool *pool, so_type type, const void *gate, const void *up, int64_t n, int64_t k,
                       const void *rounded, int64_t m, so_real *y);
    bool int8; /* what so_linear uses for block types: linear_int8, or `linear` on numbers as they are */

    void (*unary)(so_pool *pool, so_unary f, int64_t n, const so_real *x, so_real *y);
    /* dx += dy f'(x) */
    void (*unary_back)(so_pool *pool, so_unary f, int64_t n, const so_real *x, const so_real *dy, so_real *dx);
    /* y = silu(gate) * up */
    void (*swiglu)(so_pool *pool, int64_t n, const so_real *gate, const so_real *up, so_real *y);
    void (*swiglu_back)(so_pool *pool, int64_t n, const so_real *gate, const so_real *up, const so_real *dy,
                        so_real *dgate, so_real *dup);
    /* y += a x */
    void (*axpy)(so_pool *pool, int64_t n, so_real a, const so_real *x, so_real *y);
    /* sum over rows: out[c] += sum_r x[r,c] */
    void (*sum_rows)(so_pool *pool, int64_t rows, int64_t cols, const so_real *x, so_real *out);

    /* y[r,:] = x[r,:] / sqrt(mean x^2 + eps) * w */
    void (*rms_norm)(so_pool *pool, int64_t rows, int64_t cols, so_real eps, const so_real *x, const so_real *w,
                     so_real *y);
    /* dx, dw may be NULL */
    void (*rms_norm_back)(so_pool *pool, int64_t rows, int64_t cols, so_real eps, const so_real *x, const so_real *w,
                          const so_real *dy, so_real *dx, so_real *dw);
    /* y[r,:] = (x - mean) / sqrt(var + eps) * w + b, biased variance */
    void (*layer_norm)(so_pool *pool, int64_t rows, int64_t cols, so_real eps, const so_real *x, const so_real *w,
                       const so_real *b, so_real *y);
    void (*layer_norm_back)(so_pool *pool, int64_t rows, int64_t cols, so_real eps, const so_real *x, const so_real *w,
                            const so_real *dy, so_real *dx, so_real *dw, so_real *db);

    /* Half-split rotation: for head h, i < width/2, angle = pos[r] * freq[i]:
     * (y_i, y_{i+width/2}) = (x_i cos - x_{i+w/2} sin, x_{i+w/2} cos + x_i sin); sign = -1 turns back. Adds when `add`.
     */
    void (*rope)(so_pool *pool, int64_t rows, int64_t heads, int64_t width, const int32_t *pos, const double *freq,
                 int sign, bool add, const so_real *x, so_real *y);

    /* out[q rows, heads*width] = softmax(scale q k^T) v; lse[rows, heads] (may be NULL) gets log-sum-exp of the scores.
     */
    void (*attention)(so_pool *pool, const so_attn *attn, const so_real *q, so_real *out, so_real *lse);
    /* The same for inference: q scale log2(e), k, v and the probabilities e^(s - max) rounded to bf16, sums in float.
     */
    void (*half_attention)(so_pool *pool, const so_attn *attn, const so_real *q, so_real *out);
    /* dq += ..., and seg.dk, seg.dv += ... from q, out, lse of the forward and dout. dq may be NULL. */
    void (*attention_back)(so_pool *pool, const so_attn *attn, const so_real *q, const so_real *out, const so_real *lse,
                           const so_real *dout, so_real *dq);

    /* y[r,:] = softmax(x[r,:]); may be in place. Sums in double. */
    void (*softmax)(so_pool *pool, int64_t rows, int64_t cols, const so_real *x, so_real *y);
    /* dx += y (dy - <dy, y>) */
    void (*softmax_back)(so_pool *pool, int64_t rows, int64_t cols, const so_real *y, const so_real *dy, so_real *dx);
    /* loss[r] = log-sum-exp(x[r,:]) - x[r, label[r]], 0 where label < 0; dx (may be NULL) += scale (softmax - onehot).
     */
    void (*cross_entropy)(so_pool *pool, int64_t rows, int64_t cols, const so_real *x, const int32_t *label,
                          so_real scale, so_real *loss, so_real *dx);
#include "backend/kernels_conv.h"
} so_kernels;

/* The portable table. */
const so_kernels *so_kernels_c(void);
/* The best table for this machine; `SO_CPU=c|avx2|avx512` in the environment masks the choice. */
const so_kernels *so_kernels_best(void);
/* The same table with products of matrices in bf16: `gemm`, and `linear` of SO_F32 weights with more than 16 rows, are
 * gemm_bf16. For training, where sums, norms, softmax, weights and their updates stay float. */
const so_kernels *so_kernels_bf16(void);
/* For inference, the products of attention rounded as well: `gemm` and `linear` as above, `attention` without lse is
 * half_attention. The best table itself where nothing is gained. */
const so_kernels *so_kernels_half(void);
/* The same table with `int8` set: products with block types round activations to int8, and the products of attention
 * are rounded as in so_kernels_half where that gains. For inference. */
const so_kernels *so_kernels_int8(void);

enum { SO_FEW_ROWS = 8 }; /* up to so many wait for memory and are rounded more finely */

/* Numbers of a row that round_int8 gives one scale. */
static inline int64_t so_int8_span(int64_t m) { return m <= SO_FEW_ROWS ? 32 : 128; }

/* Bytes that round_int8 writes for m rows of k numbers. Of few rows some tables keep the codes in further orders. */
static inline size_t so_int8_bytes(int64_t m, int64_t k)
{
    size_t rows = m <= SO_FEW_ROWS ? (size_t)m * 896 : (size_t)((m + 5) / 6 * 6) * 384;
    return rows * (size_t)((k + 255) / 256);
}

#endif
