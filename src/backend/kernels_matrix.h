/* Matrix products: of floats, of stored weights, of numbers rounded to bf16 or int8.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_KERNELS_MATRIX_H
#define SO_BACKEND_KERNELS_MATRIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/kernels_norm.h"
#include "base/pool.h"
#include "base/real.h"
#include "base/type.h"

/* C[m,n] = op(A)[m,k] op(B)[k,n] + beta C. op transposes where ta / tb is set; ld* are row strides of the stored
 * matrices. beta is 0 (C may be uninitialised) or 1. Accumulates in so_real. */
typedef struct so_gemm {
    bool ta, tb;
    int64_t m, n, k, lda, ldb, ldc;
    const so_real *a, *b;
    so_real beta, *c;
} so_gemm;
/* The table's gemm_bf16: the same of numbers rounded to bf16 (nearest even; subnormal ones may become 0), accumulated
 * in float: about twice as fast where the machine has the instruction. */
typedef void so_gemm_fn(so_pool *pool, const so_gemm *gemm);

/* A product with a stored weight: y[m,n] = x[m,k] w[n,k]^T (+ bias). */
typedef struct so_product {
    so_type type;
    const void *w; /* n rows of k, a float or a block type */
    int64_t n;
    const so_real *bias; /* [n] or NULL */
    so_real *y;          /* [m, n] */
    const so_real *add;  /* [m, n] that is added, or NULL: of devices, in one product by itself */
    void *rounded; /* NULL, or where a gated_int8 leaves rows as so_round_int8_fn would, in place of y: of devices,
                      up to SO_FEW_ROWS rows, n a multiple of 256 */
} so_product;
typedef void so_linear_fn(so_pool *pool, const so_product *product, int64_t k, const so_real *x, int64_t m);
/* `count` (up to SO_PRODUCTS) such products of the same m <= SO_FEW_ROWS rows; and silu(x gate^T) * (x up^T), where
 * `gate` says type, n and y. */
typedef void so_linears_fn(so_pool *pool, int count, const so_product *product, int64_t k, const so_real *x, int64_t m);
typedef void so_gated_fn(so_pool *pool, const so_product *gate, const void *up, int64_t k, const so_real *x, int64_t m);
/* Row `row` of w[*,k] as numbers. */
typedef void so_row_fn(so_type type, const void *w, int64_t row, int64_t k, so_real *out);

/* For inference, where w is laid out once and x is rounded as it comes: y[m,n] = x[m,k] w[n,k]^T (+ bias[n] if not
 * NULL) of numbers rounded to bf16, summed in float. Rows of x lie ldx apart (they may overlap), rows of y ldy. */
typedef struct so_bf16_product {
    const void *layout; /* what so_bf16_pack_fn wrote */
    int64_t n, k, m, ldx, ldy;
    const so_real *x, *bias;
    so_real *y;
} so_bf16_product;
typedef void so_bf16_linear_fn(so_pool *pool, const so_bf16_product *product);
/* Up to SO_PRODUCTS of them, of the same rows, then each number through a function (`then`: 0, or 1 + the so_unary),
 * then on top of `add` (of one product: [m, n], rows as far apart as those of y; or NULL). */
typedef struct so_bf16_ends {
    int then;
    const so_real *add;
} so_bf16_ends;
typedef void so_bf16_joined_fn(so_pool *pool, int count, const so_bf16_product *product, const so_bf16_ends *ends);
typedef size_t so_bf16_bytes_fn(int64_t n, int64_t k); /* of a layout */
/* Writes a layout (64-byte aligned, sealed: another table does not read it). */
typedef void so_bf16_pack_fn(so_pool *pool, int64_t n, int64_t k, const so_real *w, void *layout);

/* Rounds rows for products in int8 into so_int8_bytes(m, k) bytes at `out` (64-aligned), in an order of the table's
 * own. Every so_int8_span(m) numbers x of a row become round(x / s), ties to even, with s = max |x| / 127 in float (0
 * where the largest is below 1e-30); a span with a number that is not finite has s NaN. */
typedef void so_round_int8_fn(so_pool *pool, int64_t m, int64_t k, const so_real *x, void *out);
/* so_round_int8_fn of x / sqrt(mean x^2 + eps) * w (rms_norm), of devices. */
typedef void so_norm_round_fn(so_pool *pool, const so_norm *norm, void *out);
enum { SO_PRODUCTS = 4 };
/* Products with block types on what so_round_int8_fn made of the same m rows of k: products of whole numbers, exact
 * within a group, times both scales. `count` matrices (up to SO_PRODUCTS) meet the same rows in one loop. */
typedef void so_linear_int8_fn(so_pool *pool, int count, const so_product *product, int64_t k, const void *rounded,
                               int64_t m);
/* y[m,n] = silu(x gate[n,k]^T) * (x up[n,k]^T), products as above: `gate` says type, n and y, and has no bias. */
typedef void so_gated_int8_fn(so_pool *pool, const so_product *gate, const void *up, int64_t k, const void *rounded,
                              int64_t m);

enum { SO_FEW_ROWS = 8 }; /* up to so many wait for memory and are rounded more finely */

/* Numbers of a row that so_round_int8_fn gives one scale. */
static inline int64_t so_int8_span(int64_t m) { return m <= SO_FEW_ROWS ? 32 : 128; }

/* Bytes that so_round_int8_fn writes for m rows of k numbers. Of few rows some tables keep the codes in further orders,
 * of many rows also numbers rounded to bf16. */
static inline size_t so_int8_bytes(int64_t m, int64_t k)
{
    size_t rows = m <= SO_FEW_ROWS ? (size_t)m * 896 : (size_t)((m + 15) / 16 * 16) * 800;
    return rows * (size_t)((k + 255) / 256);
}

#endif
