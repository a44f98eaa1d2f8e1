/* f32 matrix products through oneDNN.
 *
 * Every call is cut into chunks by its shape alone, each chunk is one single-threaded sgemm on one of the pool's threads: the
 * result does not depend on the number of threads.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_DOUBLE
#include <dnnl.h>
#include <string.h>

#include "backend/cpu/portable.h"

/* libgomp keeps the number of threads per thread of ours; without OpenMP in oneDNN the symbol is absent. */
extern void omp_set_num_threads(int) __attribute__((weak));

static _Thread_local bool single;

static void one_thread(void)
{
    if (!single && omp_set_num_threads) omp_set_num_threads(1);
    single = true;
}

typedef struct job {
    bool ta, tb;
    int64_t m, n, k, lda, ldb, ldc, step_m, step_n, tiles_n;
    const float *a, *b;
    float beta, *c;
} job;

static void tile(void *p, int64_t task, int thread)
{
    (void)thread;
    const job *g = p;
    one_thread();
    int64_t i = task / g->tiles_n * g->step_m, j = task % g->tiles_n * g->step_n;
    int64_t m = g->m - i < g->step_m ? g->m - i : g->step_m, n = g->n - j < g->step_n ? g->n - j : g->step_n;
    dnnl_sgemm(g->ta ? 'T' : 'N', g->tb ? 'T' : 'N', m, n, g->k, 1.0f, g->ta ? g->a + i : g->a + i * g->lda, g->lda,
               g->tb ? g->b + j * g->ldb : g->b + j, g->ldb, g->beta, g->c + i * g->ldc + j, g->ldc);
}

static void gemm(so_pool *pool, bool ta, bool tb, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
                 const float *b, int64_t ldb, float beta, float *c, int64_t ldc)
{
    if (m == 0 || n == 0) return;
    if (k == 0) {
        for (int64_t i = 0; i < m && beta == 0; i++) memset(c + i * ldc, 0, (size_t)n * sizeof *c);
        return;
    }
    job g = {ta, tb, m, n, k, lda, ldb, ldc, m, n, 1, a, b, beta, c};
    double work = (double)m * (double)n * (double)k;
    if (work > 1e6) { /* two to eight pieces along the longer side */
        int64_t pieces = work > 3e7 ? 8 : work > 4e6 ? 4 : 2;
        if (m >= n)
            g.step_m = ((m + pieces - 1) / pieces + 15) & ~(int64_t)15;
        else
            g.step_n = ((n + pieces - 1) / pieces + 47) / 48 * 48;
    }
    g.tiles_n = (n + g.step_n - 1) / g.step_n;
    so_pool_for(pool, (m + g.step_m - 1) / g.step_m * g.tiles_n, tile, &g);
}

static void (*linear_c)(so_pool *, so_type, const void *, int64_t, int64_t, const float *, int64_t, const float *,
                        float *);

static void linear(so_pool *pool, so_type type, const void *w, int64_t n, int64_t k, const float *x, int64_t m,
                   const float *bias, float *y)
{
    if (type != SO_F32 || m < 4) {
        linear_c(pool, type, w, n, k, x, m, bias, y);
        return;
    }
    gemm(pool, false, true, m, n, k, x, k, w, k, 0, y, n);
    for (int64_t i = 0; bias && i < m; i++)
        for (int64_t j = 0; j < n; j++) y[i * n + j] += bias[j];
}

void so_fill_dnnl(so_kernels *table)
{
    linear_c = table->linear;
    table->gemm = gemm;
    table->linear = linear;
}
#endif
