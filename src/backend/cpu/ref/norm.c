/* Row norms, portable. Sums in double.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "backend/cpu/ref/portable.h"

static void rms_part(void *p, int64_t r0, int64_t r1)
{
    const so_norm *j = p;
    for (int64_t r = r0; r < r1; r++) {
        const so_real *x = j->x + r * j->cols;
        double square = 0;
        for (int64_t c = 0; c < j->cols; c++) square += (double)x[c] * (double)x[c];
        so_real scale = (so_real)(1 / sqrt(square / (double)j->cols + (double)j->eps));
        for (int64_t c = 0; c < j->cols; c++) j->y[r * j->cols + c] = x[c] * scale * j->w[c];
    }
}

static void rms_norm(so_pool *pool, const so_norm *norm)
{
    so_norm job = *norm;
    so_for_rows(pool, job.rows, 1 + 8192 / (job.cols + 1), rms_part, &job);
}

static void rms_norm_back(so_pool *pool, const so_norm *j)
{
    (void)pool;
    int64_t cols = j->cols;
    const so_real *x = j->x, *w = j->w, *dy = j->dy;
    so_real *dx = j->dx, *dw = j->dw;
    for (int64_t r = 0; r < j->rows; r++, x += cols, dy += cols) {
        double square = 0, dot = 0;
        for (int64_t c = 0; c < cols; c++) {
            square += (double)x[c] * (double)x[c];
            dot += (double)x[c] * (double)w[c] * (double)dy[c];
        }
        double s = 1 / sqrt(square / (double)cols + (double)j->eps);
        so_real scale = (so_real)s, pull = (so_real)(dot * s * s * s / (double)cols);
        if (dx)
            for (int64_t c = 0; c < cols; c++) dx[r * cols + c] += scale * w[c] * dy[c] - pull * x[c];
        if (dw)
            for (int64_t c = 0; c < cols; c++) dw[c] += dy[c] * x[c] * scale;
    }
}

static void moments(const so_real *x, int64_t n, double eps, double *mean, double *scale)
{
    double sum = 0, square = 0;
    for (int64_t c = 0; c < n; c++) sum += (double)x[c];
    *mean = sum / (double)n;
    for (int64_t c = 0; c < n; c++) square += ((double)x[c] - *mean) * ((double)x[c] - *mean);
    *scale = 1 / sqrt(square / (double)n + eps);
}

static void layer_part(void *p, int64_t r0, int64_t r1)
{
    const so_norm *j = p;
    for (int64_t r = r0; r < r1; r++) {
        const so_real *x = j->x + r * j->cols;
        double mean, scale;
        moments(x, j->cols, (double)j->eps, &mean, &scale);
        for (int64_t c = 0; c < j->cols; c++)
            j->y[r * j->cols + c] = (x[c] - (so_real)mean) * (so_real)scale * j->w[c] + j->b[c];
    }
}

static void layer_norm(so_pool *pool, const so_norm *norm)
{
    so_norm job = *norm;
    so_for_rows(pool, job.rows, 1 + 8192 / (job.cols + 1), layer_part, &job);
}

static void layer_norm_back(so_pool *pool, const so_norm *j)
{
    (void)pool;
    int64_t cols = j->cols;
    const so_real *x = j->x, *w = j->w, *dy = j->dy;
    so_real *dx = j->dx, *dw = j->dw, *db = j->db;
    for (int64_t r = 0; r < j->rows; r++, x += cols, dy += cols) {
        double mean, scale, sum = 0, dot = 0;
        moments(x, cols, (double)j->eps, &mean, &scale);
        for (int64_t c = 0; c < cols; c++) {
            double g = (double)dy[c] * (double)w[c];
            sum += g;
            dot += g * ((double)x[c] - mean) * scale;
        }
        sum /= (double)cols;
        dot /= (double)cols;
        for (int64_t c = 0; c < cols; c++) {
            so_real hat = (x[c] - (so_real)mean) * (so_real)scale;
            if (dx) dx[r * cols + c] += (so_real)scale * (dy[c] * w[c] - (so_real)sum - hat * (so_real)dot);
            if (dw) dw[c] += dy[c] * hat;
            if (db) db[c] += dy[c];
        }
    }
}

void so_fill_norm_c(so_kernels *table)
{
    table->rms_norm = rms_norm;
    table->rms_norm_back = rms_norm_back;
    table->layer_norm = layer_norm;
    table->layer_norm_back = layer_norm_back;
}
