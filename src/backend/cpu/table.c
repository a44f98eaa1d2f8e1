/* The kernel tables of the CPU and the choice among them.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#if defined(__aarch64__)
#include <sys/auxv.h>
#elif defined(__x86_64__)
#include <cpuid.h>
#include <sys/mman.h>
#include <unistd.h>
#endif

#include "backend/cpu/ref/portable.h"

#if !defined(SO_DOUBLE) && defined(__x86_64__)
_Thread_local so_scratch *so_scratch_mine;
static pthread_key_t scratch_key;
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;

static void scratch_gone(void *p) { munmap(p, sizeof(so_scratch)); }
static void make_scratch_key(void) { pthread_key_create(&scratch_key, scratch_gone); }

so_scratch *so_scratch_take(void)
{
    void *p;
    pthread_once(&scratch_once, make_scratch_key);
    /* A kernel cannot fail: where there is no megabyte left it waits for one. */
    while ((p = mmap(NULL, sizeof(so_scratch), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) ==
           MAP_FAILED)
        usleep(1000);
    pthread_setspecific(scratch_key, p);
    return so_scratch_mine = p;
}
#endif

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

/* Every table this machine can run, slowest first. */
static so_kernels tables[3], rounded, half, whole;
static int n_tables, best;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void linear_bf16(so_pool *pool, so_type type, const void *w, int64_t n, int64_t k, const so_real *x, int64_t m,
                        const so_real *bias, so_real *y)
{
    if (type != SO_F32 || m <= 16) {
        tables[best].linear(pool, type, w, n, k, x, m, bias, y);
        return;
    }
    for (int64_t i = 0; bias && i < m; i++) memcpy(y + i * n, bias, (size_t)n * sizeof *y);
    tables[best].gemm_bf16(pool, false, true, m, n, k, x, k, w, k, bias ? 1 : 0, y, n);
}

static void attention_half(so_pool *pool, const so_attn *attn, const so_real *q, so_real *out, so_real *lse)
{
    if (lse)
        tables[best].attention(pool, attn, q, out, lse);
    else
        tables[best].half_attention(pool, attn, q, out);
}

#if !defined(SO_DOUBLE) && defined(__x86_64__)
/* Conversions of half precision, for which clang 14 has no name in __builtin_cpu_supports. */
static bool has_f16c(void)
{
    unsigned a, b, c = 0, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}
#endif

static void fill(void)
{
    so_kernels *c = &tables[n_tables++];
    c->name = "c";
    so_fill_matrix_c(c);
    so_fill_int8_c(c);
    so_fill_element_c(c);
    so_fill_norm_c(c);
    so_fill_attention_c(c);
    so_fill_conv_c(c);
    so_fill_half_c(c);
#if !defined(SO_DOUBLE) && defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c()) {
        tables[n_tables] = *c;
        so_fill_conv_avx2(&tables[n_tables]);
        so_fill_avx2(&tables[n_tables]);
        so_fill_int8_avx2(&tables[n_tables++]);
    }
    if (n_tables == 2 && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni") &&
        __builtin_cpu_supports("avx512bf16")) {
        tables[n_tables] = *c;
        so_fill_conv_avx512(&tables[n_tables]);
        so_fill_avx512(&tables[n_tables]);
        so_fill_int8_avx512(&tables[n_tables++]);
    }
#elif !defined(SO_DOUBLE) && defined(__aarch64__)
    if (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) {
        tables[n_tables] = *c;
        so_fill_neon(&tables[n_tables++]);
    }
#endif
    best = n_tables - 1;
    const char *mask = getenv("SO_CPU");
    for (int i = 0; mask && i < n_tables; i++)
        if (strcmp(mask, tables[i].name) == 0) best = i;
    rounded = tables[best];
    rounded.gemm = rounded.gemm_bf16;
    rounded.linear = linear_bf16;
    half = rounded;
    half.attention = attention_half;
    whole = tables[best];
    whole.int8 = true;
    if (whole.half_gains) whole.attention = attention_half;
}

const so_kernels *so_kernels_c(void)
{
    pthread_once(&once, fill);
    return &tables[0];
}

const so_kernels *so_kernels_best(void)
{
    pthread_once(&once, fill);
    return &tables[best];
}

const so_kernels *so_kernels_at(int i)
{
    pthread_once(&once, fill);
    return i >= 0 && i < n_tables ? &tables[i] : NULL;
}

const so_kernels *so_kernels_bf16(void)
{
    pthread_once(&once, fill);
    return &rounded;
}

const so_kernels *so_kernels_half(void)
{
    pthread_once(&once, fill);
    return tables[best].half_gains ? &half : &tables[best];
}

const so_kernels *so_kernels_int8(void)
{
    pthread_once(&once, fill);
    return &whole;
}
