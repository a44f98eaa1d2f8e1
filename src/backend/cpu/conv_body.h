/* The bodies of the codec's kernels: plain loops over channels, compiled once portably and once for each instruction
 * set (conv_avx2.c, conv_avx512.c). SO_FILL_CONV names the function that fills the table.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "backend/cpu/ref/portable.h"

/* ---- patches */

typedef struct col_job {
    const so_conv *conv;
    int64_t row0, rows;
    const so_real *from;
    so_real *to;
} col_job;

/* The taps of one row of patches along the last axis that lie inside x: j0 <= j < j1, the first at element *at. */
static void inside(const so_conv *c, int64_t ow, int64_t *j0, int64_t *j1, int64_t *at)
{
    int64_t d = c->dilation[1], w = ow * c->stride[1] - c->pad[1], k = c->kernel[1];
    *j0 = w >= 0 ? 0 : (-w + d - 1) / d;
    *j1 = c->in[1] - w <= 0 ? 0 : (c->in[1] - w + d - 1) / d;
    if (*j1 > k) *j1 = k;
    if (*j0 > *j1) *j0 = *j1;
    *at = w + *j0 * d;
}

static void im2col_rows(void *p, int64_t r0, int64_t r1)
{
    const col_job *job = p;
    const so_conv *c = job->conv;
    int64_t ch = c->channels, kw = c->kernel[1], run = c->dilation[1] == 1 ? kw * ch : ch;
    for (int64_t r = r0; r < r1; r++) {
        int64_t row = job->row0 + r, ow = row % c->out[1], oh = row / c->out[1] % c->out[0];
        int64_t b = row / (c->out[0] * c->out[1]), j0, j1, at;
        inside(c, ow, &j0, &j1, &at);
        so_real *to = job->to + r * c->kernel[0] * kw * ch;
        for (int64_t kh = 0; kh < c->kernel[0]; kh++, to += kw * ch) {
            int64_t h = oh * c->stride[0] - c->pad[0] + kh * c->dilation[0];
            if (h < 0 || h >= c->in[0] || j0 == j1) {
                memset(to, 0, (size_t)(kw * ch) * sizeof *to);
                continue;
            }
            const so_real *from = job->from + ((b * c->in[0] + h) * c->in[1] + at) * ch;
            memset(to, 0, (size_t)(j0 * ch) * sizeof *to);
            if (run == ch && kw > 1) {
                for (int64_t j = j0; j < j1; j++)
                    memcpy(to + j * ch, from + (j - j0) * c->dilation[1] * ch, (size_t)ch * sizeof *to);
            } else {
                memcpy(to + j0 * ch, from, (size_t)((j1 - j0) * ch) * sizeof *to);
            }
            memset(to + j1 * ch, 0, (size_t)((kw - j1) * ch) * sizeof *to);
        }
    }
}

static void im2col(so_pool *pool, const so_conv *conv, int64_t row0, int64_t rows, const so_real *x, so_real *col)
{
    so_for_rows(pool, rows, 32, im2col_rows, &(col_job){conv, row0, rows, x, col});
}

static void col2im_row(const so_conv *c, int64_t row, const so_real *col, so_real *x)
{
    int64_t ch = c->channels, kw = c->kernel[1];
    int64_t ow = row % c->out[1], oh = row / c->out[1] % c->out[0], b = row / (c->out[0] * c->out[1]), j0, j1, at;
    inside(c, ow, &j0, &j1, &at);
    for (int64_t kh = 0; kh < c->kernel[0]; kh++, col += kw * ch) {
        int64_t h = oh * c->stride[0] - c->pad[0] + kh * c->dilation[0];
        if (h < 0 || h >= c->in[0]) continue;
        so_real *to = x + ((b * c->in[0] + h) * c->in[1] + at) * ch;
        const so_real *from = col + j0 * ch;
        if (c->dilation[1] == 1) {
            for (int64_t i = 0; i < (j1 - j0) * ch; i++) to[i] += from[i];
        } else {
            for (int64_t j = j0; j < j1; j++, from += ch, to += c->dilation[1] * ch)
                for (int64_t i = 0; i < ch; i++) to[i] += from[i];
        }
    }
}

/* Patches overlap within an item of the batch, never between items. */
static void col2im_items(void *p, int64_t b0, int64_t b1)
{
    const col_job *job = p;
    const so_conv *c = job->conv;
    int64_t per = c->out[0] * c->out[1], width = c->kernel[0] * c->kernel[1] * c->channels, first = job->row0 / per;
    for (int64_t b = first + b0; b < first + b1; b++)
        for (int64_t row = b * per; row < (b + 1) * per; row++)
            if (row >= job->row0 && row < job->row0 + job->rows)
                col2im_row(c, row, job->from + (row - job->row0) * width, job->to);
}

static void col2im(so_pool *pool, const so_conv *conv, int64_t row0, int64_t rows, const so_real *col, so_real *x)
{
    if (rows < 1) return;
    int64_t per = conv->out[0] * conv->out[1], items = (row0 + rows - 1) / per - row0 / per + 1;
    so_for_rows(pool, items, 1, col2im_items, &(col_job){conv, row0, rows, col, x});
}

/* ---- group norm */

/* Channels are summed in pieces of at most LANES, in double. */
enum { LANES = 64 };

static void group_moments(const so_real *x, int64_t rows, int64_t cols, int64_t c0, int64_t width, double eps,
                          double *mean, double *scale)
{
    double total = 0, square = 0, n = (double)rows * (double)width;
    for (int pass = 0; pass < 2; pass++) {
        for (int64_t p = c0; p < c0 + width; p += LANES) {
            double sum[LANES] = {0};
            int64_t lanes = c0 + width - p < LANES ? c0 + width - p : LANES;
            for (int64_t r = 0; r < rows; r++) {
                const so_real *row = x + r * cols + p;
                if (pass == 0)
                    for (int64_t i = 0; i < lanes; i++) sum[i] += (double)row[i];
                else
                    for (int64_t i = 0; i < lanes; i++) sum[i] += ((double)row[i] - *mean) * ((double)row[i] - *mean);
            }
            for (int64_t i = 0; i < lanes; i++) *(pass ? &square : &total) += sum[i];
        }
        if (pass == 0) *mean = total / n;
    }
    *scale = 1 / sqrt(square / n + eps);
}

static void group_part(void *p, int64_t i0, int64_t i1)
{
    const so_norm *j = p;
    int64_t width = j->cols / j->groups;
    for (int64_t i = i0; i < i1; i++) {
        int64_t c0 = i % j->groups * width, base = i / j->groups * j->rows * j->cols;
        double mean, scale;
        group_moments(j->x + base, j->rows, j->cols, c0, width, (double)j->eps, &mean, &scale);
        so_real m = (so_real)mean, s = (so_real)scale;
        const so_real *w = j->w + c0, *b = j->b + c0;
        for (int64_t r = 0; r < j->rows; r++) {
            const so_real *x = j->x + base + r * j->cols + c0;
            so_real *y = j->y + base + r * j->cols + c0;
            for (int64_t c = 0; c < width; c++) y[c] = (x[c] - m) * s * w[c] + b[c];
        }
    }
}

static void group_norm(so_pool *pool, const so_norm *norm)
{
    so_norm job = *norm;
    if (job.rows < 1) return;
    so_for_rows(pool, job.batch * job.groups, 1, group_part, &job);
}

static void group_norm_back(so_pool *pool, const so_norm *j)
{
    (void)pool;
    int64_t rows = j->rows, cols = j->cols, groups = j->groups, width = cols / groups;
    const so_real *x = j->x, *w = j->w, *dy = j->dy;
    so_real *dx = j->dx, *dw = j->dw, *db = j->db;
    double n = (double)rows * (double)width;
    for (int64_t i = 0; rows > 0 && i < j->batch * groups; i++) {
        int64_t c0 = i % groups * width, base = i / groups * rows * cols;
        double mean, scale, sum = 0, dot = 0;
        group_moments(x + base, rows, cols, c0, width, (double)j->eps, &mean, &scale);
        for (int64_t p = c0; p < c0 + width; p += LANES) {
            double s1[LANES] = {0}, s2[LANES] = {0};
            int64_t lanes = c0 + width - p < LANES ? c0 + width - p : LANES;
            for (int64_t r = 0; r < rows; r++) {
                const so_real *xr = x + base + r * cols + p, *gr = dy + base + r * cols + p;
                for (int64_t l = 0; l < lanes; l++) {
                    s1[l] += (double)gr[l];
                    s2[l] += (double)gr[l] * (((double)xr[l] - mean) * scale);
                }
            }
            for (int64_t l = 0; l < lanes; l++) {
                sum += s1[l] * (double)w[p + l];
                dot += s2[l] * (double)w[p + l];
                if (db) db[p + l] += (so_real)s1[l];
                if (dw) dw[p + l] += (so_real)s2[l];
            }
        }
        if (!dx) continue;
        so_real s = (so_real)scale, m = (so_real)mean, a = (so_real)(sum / n), d = (so_real)(dot / n);
        for (int64_t r = 0; r < rows; r++) {
            const so_real *xr = x + base + r * cols + c0, *gr = dy + base + r * cols + c0, *wr = w + c0;
            so_real *out = dx + base + r * cols + c0;
            for (int64_t c = 0; c < width; c++) out[c] += s * (gr[c] * wr[c] - a - (xr[c] - m) * s * d);
        }
    }
}

/* ---- snake */

#ifdef SO_DOUBLE
static inline so_real sin_of(so_real x) { return sin(x); }
static inline so_real cos_of(so_real x) { return cos(x); }
#else
/* sin of x - n pi in [-pi/2, pi/2], whose square and whose sign under n are all that is asked: odd polynomial of degree
 * 11, error below 1e-7 for |x| < 1e4. pi is split in three so that n pi loses nothing. */
static inline float sin_up_to_sign(float x)
{
    float n = x * 0.318309886f;
    n = n + 12582912.0f - 12582912.0f; /* nearest whole number */
    float r = ((x - n * 3.140625f) - n * 9.67502593994140625e-4f) - n * 1.50995799e-7f;
    float q = r * r;
    return r +
           r * q * (-1.66666667e-1f + q * (8.33333310e-3f + q * (-1.98412403e-4f + q * (2.75565e-6f - q * 2.5e-8f))));
}
#endif

typedef struct snake_job {
    int64_t cols;
    const so_real *x, *alpha;
    so_real *y;
} snake_job;

static void snake_rows(void *p, int64_t r0, int64_t r1)
{
    const snake_job *j = p;
    int64_t cols = j->cols;
    const so_real *alpha = j->alpha;
    for (int64_t p0 = 0; p0 < cols; p0 += LANES) {
        so_real inv[LANES];
        int64_t lanes = cols - p0 < LANES ? cols - p0 : LANES;
        for (int64_t c = 0; c < lanes; c++) inv[c] = 1 / (alpha[p0 + c] + (so_real)1e-9);
        for (int64_t r = r0; r < r1; r++) {
            const so_real *x = j->x + r * cols + p0, *a = alpha + p0;
            so_real *y = j->y + r * cols + p0;
            for (int64_t c = 0; c < lanes; c++) {
#ifdef SO_DOUBLE
                so_real s = sin_of(a[c] * x[c]);
#else
                so_real s = sin_up_to_sign(a[c] * x[c]);
#endif
                y[c] = x[c] + s * s * inv[c];
            }
        }
    }
}

static void snake(so_pool *pool, int64_t rows, int64_t cols, const so_real *x, const so_real *alpha, so_real *y)
{
    so_for_rows(pool, rows, 1 + 8192 / (cols + 1), snake_rows,
                &(snake_job){.cols = cols, .x = x, .alpha = alpha, .y = y});
}

/* d/dx = 1 + a sin(2ax)/(a+e); d/da = x sin(2ax)/(a+e) - sin^2(ax)/(a+e)^2. sin 2u = 2 sin u cos u, where the signs
 * lost by reducing u modulo pi cancel. */
static void snake_back(so_pool *pool, int64_t rows, int64_t cols, const so_snake_back *b)
{
    (void)pool;
    const so_real *x = b->x, *alpha = b->alpha, *dy = b->dy;
    so_real *dx = b->dx, *dalpha = b->dalpha;
    for (int64_t p0 = 0; p0 < cols; p0 += LANES) {
        so_real inv[LANES];
        double sum[LANES] = {0};
        int64_t lanes = cols - p0 < LANES ? cols - p0 : LANES;
        for (int64_t c = 0; c < lanes; c++) inv[c] = 1 / (alpha[p0 + c] + (so_real)1e-9);
        for (int64_t r = 0; r < rows; r++) {
            const so_real *xr = x + r * cols + p0, *g = dy + r * cols + p0, *a = alpha + p0;
            so_real *out = dx ? dx + r * cols + p0 : NULL, s2[LANES], ss[LANES];
            for (int64_t c = 0; c < lanes; c++) {
#ifdef SO_DOUBLE
                so_real s = sin_of(a[c] * xr[c]), twice = 2 * s * cos_of(a[c] * xr[c]);
#else
                so_real s = sin_up_to_sign(a[c] * xr[c]), t = sin_up_to_sign(a[c] * xr[c] - 0.785398163f);
                so_real twice = 1 - 2 * t * t; /* sin 2u = cos(2u - pi/2) */
#endif
                s2[c] = twice * inv[c];
                ss[c] = s * s * inv[c] * inv[c];
            }
            if (out)
                for (int64_t c = 0; c < lanes; c++) out[c] += g[c] * (1 + a[c] * s2[c]);
            for (int64_t c = 0; c < lanes; c++) sum[c] += (double)(g[c] * (xr[c] * s2[c] - ss[c]));
        }
        if (dalpha)
            for (int64_t c = 0; c < lanes; c++) dalpha[p0 + c] += (so_real)sum[c];
    }
}

/* ---- Fourier transforms: WIDE rows at a time, so that every butterfly is one loop over rows */

enum { WIDE = 16 };

typedef struct fft_job {
    int64_t n, rows;
    const so_real *from, *twiddle; /* cos and sin of 2 pi k / n, k <= n/2 */
    so_real *to, *work;
} fft_job;

static void butterflies(int64_t n, so_real sign, const so_real *twiddle, so_real (*restrict re)[WIDE],
                        so_real (*restrict im)[WIDE])
{
    for (int64_t half = 1; half < n; half *= 2) {
        int64_t step = n / (2 * half);
        for (int64_t k = 0; k < half; k++) {
            so_real c = twiddle[2 * k * step], s = sign * twiddle[2 * k * step + 1];
            for (int64_t i = k; i < n; i += 2 * half) {
                so_real *ar = re[i], *ai = im[i], *br = re[i + half], *bi = im[i + half];
                for (int l = 0; l < WIDE; l++) {
                    so_real tr = br[l] * c - bi[l] * s, ti = br[l] * s + bi[l] * c;
                    br[l] = ar[l] - tr;
                    bi[l] = ai[l] - ti;
                    ar[l] += tr;
                    ai[l] += ti;
                }
            }
        }
    }
}

static int64_t reversed(int64_t i, int64_t n)
{
    int64_t r = 0;
    for (int64_t bit = 1; bit < n; bit *= 2) r = r * 2 + (i / bit & 1);
    return r;
}

static void rfft_rows(void *p, int64_t b0, int64_t b1)
{
    const fft_job *j = p;
    int64_t n = j->n, bins = n / 2 + 1;
    for (int64_t b = b0; b < b1; b++) {
        so_real(*re)[WIDE] = (so_real(*)[WIDE])(j->work + b * 2 * n * WIDE), (*im)[WIDE] = re + n;
        int64_t row = b * WIDE, rows = j->rows - row < WIDE ? j->rows - row : WIDE;
        memset(re, 0, (size_t)n * 2 * sizeof *re);
        for (int64_t t = 0; t < n; t++) {
            so_real *to = re[reversed(t, n)];
            for (int64_t l = 0; l < rows; l++) to[l] = j->from[(row + l) * n + t];
        }
        butterflies(n, -1, j->twiddle, re, im);
        for (int64_t l = 0; l < rows; l++) {
            so_real *to = j->to + (row + l) * 2 * bins;
            for (int64_t k = 0; k < bins; k++) {
                to[k] = re[k][l];
                to[bins + k] = im[k][l];
            }
        }
    }
}

static void adjoint_rows(void *p, int64_t b0, int64_t b1)
{
    const fft_job *j = p;
    int64_t n = j->n, bins = n / 2 + 1;
    for (int64_t b = b0; b < b1; b++) {
        so_real(*re)[WIDE] = (so_real(*)[WIDE])(j->work + b * 2 * n * WIDE), (*im)[WIDE] = re + n;
        int64_t row = b * WIDE, rows = j->rows - row < WIDE ? j->rows - row : WIDE;
        memset(re, 0, (size_t)n * 2 * sizeof *re);
        for (int64_t k = 0; k < bins; k++) {
            int64_t at = reversed(k, n);
            for (int64_t l = 0; l < rows; l++) {
                re[at][l] = j->from[(row + l) * 2 * bins + k];
                im[at][l] = j->from[(row + l) * 2 * bins + bins + k];
            }
        }
        butterflies(n, 1, j->twiddle, re, im);
        for (int64_t l = 0; l < rows; l++)
            for (int64_t t = 0; t < n; t++) j->to[(row + l) * n + t] = re[t][l];
    }
}

static void transform(so_pool *pool, so_rows_fn fn, int64_t rows, int64_t n, const so_real *from, so_real *work,
                      so_real *to)
{
    so_real *twiddle = work + (rows + WIDE - 1) / WIDE * WIDE * 2 * n;
    for (int64_t k = 0; k < n / 2 + 1; k++) {
        twiddle[2 * k] = (so_real)cos(6.283185307179586476925 * (double)k / (double)n);
        twiddle[2 * k + 1] = (so_real)sin(6.283185307179586476925 * (double)k / (double)n);
    }
    so_for_rows(pool, (rows + WIDE - 1) / WIDE, 1, fn, &(fft_job){n, rows, from, twiddle, to, work});
}

static void rfft(so_pool *pool, int64_t rows, int64_t n, const so_real *x, so_real *work, so_real *out)
{
    transform(pool, rfft_rows, rows, n, x, work, out);
}

static void rfft_adjoint(so_pool *pool, int64_t rows, int64_t n, const so_real *spec, so_real *work, so_real *x)
{
    transform(pool, adjoint_rows, rows, n, spec, work, x);
}

void SO_FILL_CONV(so_kernels *table)
{
    table->im2col = im2col;
    table->col2im = col2im;
    table->group_norm = group_norm;
    table->group_norm_back = group_norm_back;
    table->snake = snake;
    table->snake_back = snake_back;
    table->rfft = rfft;
    table->rfft_adjoint = rfft_adjoint;
}
