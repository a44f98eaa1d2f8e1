/* Kernels of the codec's networks stand here, in the same table. */

/* Rows row0 .. row0+rows of the patch matrix of a convolution: row (b, i, j) in [batch, out[0], out[1]] holds the
 * numbers that output (i, j) sees, [kernel[0], kernel[1], channels], zeros outside of x. */
void (*im2col)(so_pool *pool, const so_conv *conv, int64_t row0, int64_t rows, const so_real *x, so_real *col);
/* Its adjoint: adds every number of those rows to the place in x [batch, in[0], in[1], channels] it came from. */
void (*col2im)(so_pool *pool, const so_conv *conv, int64_t row0, int64_t rows, const so_real *col, so_real *x);

/* half_linear for convolutions along time: w[n, channels, taps] laid out, y[batch, out[1], n]. False, and
 * nothing is done, for shapes that it does not do. */
size_t (*half_conv_bytes)(int64_t n, int64_t channels, int64_t taps);
void (*half_conv_pack)(so_pool *pool, int64_t n, int64_t channels, int64_t taps, const so_real *w, void *layout);
bool (*half_conv)(so_pool *pool, const so_conv *conv, const void *layout, int64_t n, const so_real *x,
                  const so_real *bias, so_real *y);

/* For every item of the batch and every group of cols/groups channels: y = (x - mean) / sqrt(var + eps) * w[c] + b[c],
 * mean and biased variance over rows and the group's channels. x [batch, rows, cols]. Sums in double. */
void (*group_norm)(so_pool *pool, int64_t batch, int64_t rows, int64_t cols, int64_t groups, so_real eps,
                   const so_real *x, const so_real *w, const so_real *b, so_real *y);
/* dx, dw, db may be NULL */
void (*group_norm_back)(so_pool *pool, int64_t batch, int64_t rows, int64_t cols, int64_t groups, so_real eps,
                        const so_real *x, const so_real *w, const so_real *dy, so_real *dx, so_real *dw, so_real *db);

/* y = x + sin^2(alpha[c] x) / (alpha[c] + 1e-9) */
void (*snake)(so_pool *pool, int64_t rows, int64_t cols, const so_real *x, const so_real *alpha, so_real *y);
/* dx, dalpha may be NULL */
void (*snake_back)(so_pool *pool, int64_t rows, int64_t cols, const so_real *x, const so_real *alpha, const so_real *dy,
                   so_real *dx, so_real *dalpha);

/* Real Fourier transform of each row, n a power of two: out[r] = [re_0 .. re_n/2 | im_0 .. im_n/2],
 * re_k + i im_k = sum_t x_t e^(-2 pi i k t / n). `work` holds SO_RFFT_WORK(rows, n) numbers. */
void (*rfft)(so_pool *pool, int64_t rows, int64_t n, const so_real *x, so_real *work, so_real *out);
/* Its adjoint: x_t = sum_k re_k cos(2 pi k t / n) - im_k sin(2 pi k t / n), k = 0 .. n/2. */
void (*rfft_adjoint)(so_pool *pool, int64_t rows, int64_t n, const so_real *spec, so_real *work, so_real *x);
