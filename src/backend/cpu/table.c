/* The kernel tables of the CPU and the choice among them.
 * SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/portable.h"

typedef struct rows_job {
    int64_t rows, grain;
    so_rows_fn fn;
    void *context;
} rows_job;

static void rows_task(void *p, int64_t task, int thread)
{
    (void)thread;
    const rows_job *job = p;
    int64_t row0 = task * job->grain, row1 = row0 + job->grain;
    job->fn(job->context, row0, row1 < job->rows ? row1 : job->rows);
}

void so_for_rows(so_pool *pool, int64_t rows, int64_t grain, so_rows_fn fn, void *context)
{
    if (rows <= 0) return;
    if (grain < 1) grain = 1;
    rows_job job = {rows, grain, fn, context};
    so_pool_for(pool, (rows + grain - 1) / grain, rows_task, &job);
}

static so_kernels portable, best;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fill_c(so_kernels *table)
{
    table->name = "c";
    so_fill_matrix_c(table);
    so_fill_element_c(table);
    so_fill_norm_c(table);
    so_fill_attention_c(table);
    so_fill_conv_c(table);
}

static void fill(void)
{
    fill_c(&portable);
    fill_c(&best);
#if !defined(SO_DOUBLE) && defined(__x86_64__)
    const char *mask = getenv("SO_CPU");
    if (mask && strcmp(mask, "c") == 0) return;
    so_fill_dnnl(&best);
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        best.name = "avx2";
        so_fill_avx2(&best);
    }
    if (mask && strcmp(mask, "avx2") == 0) return;
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")) {
        best.name = "avx512";
        so_fill_avx512(&best);
    }
#elif !defined(SO_DOUBLE)
    so_fill_dnnl(&best);
#endif
}

const so_kernels *so_kernels_c(void)
{
    pthread_once(&once, fill);
    return &portable;
}

const so_kernels *so_kernels_best(void)
{
    pthread_once(&once, fill);
    return &best;
}
