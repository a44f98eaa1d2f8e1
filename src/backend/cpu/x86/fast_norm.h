/* Norms of rows for one ISA: two passes over a row that stays in the first-level cache. Sums in double; gradients of
 * weights strip of columns by strip, so that every sum has one owner whatever the number of threads.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_CPU_X86_FAST_NORM_H
#define SO_BACKEND_CPU_X86_FAST_NORM_H

#include "backend/cpu/x86/fast_element.h"

enum { SLAB = 4096 }; /* rows whose scales are kept at a time */

typedef struct norm_job {
    int64_t rows, cols;
    float eps;
    const float *x, *w, *b, *dy;
    float *y, *dw, *db, *scale, *mean; /* scale, mean: [rows] */
} norm_job;

static void rms_part(void *p, int64_t r0, int64_t r1)
{
    const norm_job *j = p;
    for (int64_t r = r0; r < r1; r++) {
        const float *x = j->x + r * j->cols;
        float *y = j->y + r * j->cols;
        double square = sum_of_products(x, x, j->cols);
        float scale = (float)(1 / sqrt(square / (double)j->cols + (double)j->eps));
        for (int64_t c = 0; c < j->cols; c++) y[c] = x[c] * scale * j->w[c];
    }
}

static void rms_norm(so_pool *pool, const so_norm *n)
{
    norm_job job = {n->rows, n->cols, n->eps, n->x, n->w, .y = n->y};
    so_for_rows(pool, n->rows, 1 + 8192 / (n->cols + 1), rms_part, &job);
}

static void rms_back_part(void *p, int64_t r0, int64_t r1)
{
    const norm_job *j = p;
    for (int64_t r = r0; r < r1; r++) {
        const float *x = j->x + r * j->cols, *dy = j->dy + r * j->cols, *w = j->w;
        double s = 1 / sqrt(sum_of_products(x, x, j->cols) / (double)j->cols + (double)j->eps);
        j->scale[r] = (float)s;
        if (!j->y) continue;
        vsum dot = v_sum_start();
        for (int64_t c = 0; c < j->cols; c += W) {
            vmask m = v_tail(j->cols - c);
            v_sum_add(&dot, v_load_m(x + c, m) * v_load_m(w + c, m) * v_load_m(dy + c, m));
        }
        float *dx = j->y + r * j->cols, scale = (float)s, pull = (float)(v_sum_end(dot) * s * s * s / (double)j->cols);
        for (int64_t c = 0; c < j->cols; c++) dx[c] += scale * w[c] * dy[c] - pull * x[c];
    }
}

/* dw += sum dy (x - mean) scale, db += sum dy over a strip of columns. */
static void norm_weights_part(void *p, int64_t s0, int64_t s1)
{
    const norm_job *j = p;
    int64_t end = s1 * STRIP < j->cols ? s1 * STRIP : j->cols;
    for (int64_t c = s0 * STRIP; c < end; c += W) {
        vmask m = v_tail(end - c);
        vec dw = v_set(0), db = v_set(0);
        for (int64_t r0 = 0; r0 < j->rows; r0 += 64) {
            vec w = v_set(0), b = v_set(0);
            for (int64_t r = r0; r < j->rows && r < r0 + 64; r++) {
                vec dy = v_load_m(j->dy + r * j->cols + c, m), x = v_load_m(j->x + r * j->cols + c, m);
                if (j->mean) x = x - v_set(j->mean[r]);
                w = v_fma(dy, x * v_set(j->scale[r]), w);
                b = v_add(b, dy);
            }
            dw = v_add(dw, w);
            db = v_add(db, b);
        }
        if (j->dw) v_store_m(j->dw + c, m, v_add(v_load_m(j->dw + c, m), dw));
        if (j->db) v_store_m(j->db + c, m, v_add(v_load_m(j->db + c, m), db));
    }
}

static void norm_back(so_pool *pool, so_rows_fn part, const so_norm *n, bool centred)
{
    const norm_job job = {n->rows, n->cols, n->eps, n->x, n->w, NULL, n->dy, n->dx, n->dw, n->db};
    float scale[SLAB], mean[SLAB];
    for (int64_t r = 0; r < job.rows; r += SLAB) {
        norm_job j = job;
        j.rows = job.rows - r < SLAB ? job.rows - r : SLAB;
        j.x += r * job.cols;
        j.dy += r * job.cols;
        if (j.y) j.y += r * job.cols;
        j.scale = scale;
        j.mean = centred ? mean : NULL;
        so_for_rows(pool, j.rows, 1 + 8192 / (job.cols + 1), part, &j);
        if (j.dw || j.db)
            so_for_rows(pool, (job.cols + STRIP - 1) / STRIP, 1 + 8192 / (j.rows * STRIP + 1), norm_weights_part, &j);
    }
}

static void rms_norm_back(so_pool *pool, const so_norm *norm) { norm_back(pool, rms_back_part, norm, false); }

static void moments(const float *x, int64_t n, double eps, double *mean, double *scale)
{
    vsum sum = v_sum_start(), square = v_sum_start();
    for (int64_t c = 0; c < n; c += W) v_sum_add(&sum, v_load_m(x + c, v_tail(n - c)));
    *mean = v_sum_end(sum) / (double)n;
    vec middle = v_set((float)*mean);
    for (int64_t c = 0; c < n; c += W) {
        vmask m = v_tail(n - c);
        vec d = v_pick(m, v_load_m(x + c, m) - middle, v_set(0));
        v_sum_add(&square, d * d);
    }
    double off = *mean - (double)(float)*mean; /* the mean itself was rounded */
    *scale = 1 / sqrt(v_sum_end(square) / (double)n - off * off + eps);
}

static void layer_part(void *p, int64_t r0, int64_t r1)
{
    const norm_job *j = p;
    for (int64_t r = r0; r < r1; r++) {
        const float *x = j->x + r * j->cols;
        float *y = j->y + r * j->cols;
        double mean, scale;
        moments(x, j->cols, (double)j->eps, &mean, &scale);
        for (int64_t c = 0; c < j->cols; c++) y[c] = (x[c] - (float)mean) * (float)scale * j->w[c] + j->b[c];
    }
}

static void layer_norm(so_pool *pool, const so_norm *n)
{
    norm_job job = {n->rows, n->cols, n->eps, n->x, n->w, n->b, .y = n->y};
    so_for_rows(pool, n->rows, 1 + 8192 / (n->cols + 1), layer_part, &job);
}

static void layer_back_part(void *p, int64_t r0, int64_t r1)
{
    const norm_job *j = p;
    for (int64_t r = r0; r < r1; r++) {
        const float *x = j->x + r * j->cols, *dy = j->dy + r * j->cols, *w = j->w;
        double mean, scale;
        moments(x, j->cols, (double)j->eps, &mean, &scale);
        j->scale[r] = (float)scale;
        j->mean[r] = (float)mean;
        if (!j->y) continue;
        vsum sum = v_sum_start(), dot = v_sum_start();
        for (int64_t c = 0; c < j->cols; c += W) {
            vmask m = v_tail(j->cols - c);
            vec g = v_load_m(dy + c, m) * v_load_m(w + c, m);
            v_sum_add(&sum, g);
            v_sum_add(&dot, g * (v_load_m(x + c, m) - v_set((float)mean)));
        }
        float *dx = j->y + r * j->cols, s = (float)scale, level = (float)(v_sum_end(sum) / (double)j->cols);
        float pull = (float)(v_sum_end(dot) * scale / (double)j->cols);
        for (int64_t c = 0; c < j->cols; c++) dx[c] += s * (dy[c] * w[c] - level - (x[c] - (float)mean) * s * pull);
    }
}

static void layer_norm_back(so_pool *pool, const so_norm *norm) { norm_back(pool, layer_back_part, norm, true); }

#endif
