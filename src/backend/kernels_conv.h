/* Kernels of the codec's networks: convolutions, snake, Fourier transforms.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_KERNELS_CONV_H
#define SO_BACKEND_KERNELS_CONV_H

#include <stdbool.h>

#include "backend/conv_shape.h"
#include "backend/kernels_matrix.h"

/* Rows row0 .. row0+rows of the patch matrix of a convolution: row (b, i, j) in [batch, out[0], out[1]] holds the
 * numbers that output (i, j) sees, [kernel[0], kernel[1], channels], zeros outside of x. */
typedef void so_im2col_fn(so_pool *pool, const so_conv *conv, int64_t row0, int64_t rows, const so_real *x,
                          so_real *col);
/* Its adjoint: adds every number of those rows to the place in x [batch, in[0], in[1], channels] it came from. */
typedef void so_col2im_fn(so_pool *pool, const so_conv *conv, int64_t row0, int64_t rows, const so_real *col,
                          so_real *x);

/* so_bf16_linear_fn for convolutions along time: w[n, channels, taps] laid out, y[batch, out[1], n]; of the product
 * layout, n, x, bias and y count. False, and nothing is done, for shapes that it does not do. */
typedef bool so_bf16_conv_fn(so_pool *pool, const so_conv *conv, const so_bf16_product *product);
typedef size_t so_bf16_conv_bytes_fn(int64_t n, int64_t channels, int64_t taps);
typedef void so_bf16_conv_pack_fn(so_pool *pool, int64_t n, int64_t channels, int64_t taps, const so_real *w,
                                  void *layout);

/* y = x + sin^2(alpha[c] x) / (alpha[c] + 1e-9) */
typedef void so_snake_fn(so_pool *pool, int64_t rows, int64_t cols, const so_real *x, const so_real *alpha, so_real *y);
typedef struct so_snake_back {
    const so_real *x, *alpha, *dy;
    so_real *dx, *dalpha; /* added to; NULL where not wanted */
} so_snake_back;
typedef void so_snake_back_fn(so_pool *pool, int64_t rows, int64_t cols, const so_snake_back *back);

/* Real Fourier transform of each row, n a power of two: out[r] = [re_0 .. re_n/2 | im_0 .. im_n/2],
 * re_k + i im_k = sum_t x_t e^(-2 pi i k t / n). `work` holds SO_RFFT_WORK(rows, n) numbers. */
typedef void so_rfft_fn(so_pool *pool, int64_t rows, int64_t n, const so_real *x, so_real *work, so_real *out);
/* Its adjoint: x_t = sum_k re_k cos(2 pi k t / n) - im_k sin(2 pi k t / n), k = 0 .. n/2. */
typedef void so_rfft_adjoint_fn(so_pool *pool, int64_t rows, int64_t n, const so_real *spec, so_real *work, so_real *x);

#endif
