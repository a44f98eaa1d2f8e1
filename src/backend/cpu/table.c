/* The kernel tables of the CPU and the choice among them.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
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
#include "base/error.h"

#if !defined(SO_DOUBLE) && defined(__x86_64__)
_Thread_local __attribute__((tls_model("initial-exec"))) so_scratch *so_scratch_mine;
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

typedef struct chunk_job {
    int64_t rows, grain;
    so_rows_fn fn;
    void *context;
} chunk_job;

static void rows_task(void *p, int64_t task, int thread)
{
    (void)thread;
    const chunk_job *job = p;
    int64_t row0 = task * job->grain, row1 = row0 + job->grain;
    job->fn(job->context, row0, row1 < job->rows ? row1 : job->rows);
}

void so_for_rows(so_pool *pool, int64_t rows, int64_t grain, so_rows_fn fn, void *context)
{
    if (rows <= 0) return;
    if (grain < 1) grain = 1;
    chunk_job job = {rows, grain, fn, context};
    so_pool_for(pool, (rows + grain - 1) / grain, rows_task, &job);
}

/* Every table this machine can run, slowest first, and those made of the one that is chosen. */
enum { TABLES = 3 };
static so_kernels tables[TABLES], train_bf16, with_bf16, with_int8;
static int n_tables, best; /* best: -1 where SO_CPU names none */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void linear_bf16(so_pool *pool, const so_product *p, int64_t k, const so_real *x, int64_t m)
{
    if (p->type != SO_F32 || m <= 16) {
        tables[best].linear(pool, p, k, x, m);
        return;
    }
    for (int64_t i = 0; p->bias && i < m; i++) memcpy(p->y + i * p->n, p->bias, (size_t)p->n * sizeof *p->y);
    so_gemm g = {.tb = true,
                 .m = m,
                 .n = p->n,
                 .k = k,
                 .a = x,
                 .lda = k,
                 .b = p->w,
                 .ldb = k,
                 .beta = p->bias ? 1 : 0,
                 .c = p->y,
                 .ldc = p->n};
    tables[best].gemm_bf16(pool, &g);
}

static void attention_bf16(so_pool *pool, const so_attn *attn, const so_real *q, so_real *out, so_real *lse)
{
    if (lse)
        tables[best].attention(pool, attn, q, out, lse);
    else
        tables[best].bf16_attention(pool, attn, q, out);
}

#if !defined(SO_DOUBLE) && defined(__x86_64__)
/* Conversions of half precision, for which clang 14 has no name in __builtin_cpu_supports. */
static bool has_f16c(void)
{
    unsigned a, b, c = 0, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}
#endif

static void derive(so_kernels *from)
{
    train_bf16 = with_int8 = *from;
    train_bf16.gemm = train_bf16.gemm_bf16;
    train_bf16.linear = linear_bf16;
    with_bf16 = train_bf16;
    with_bf16.attention = attention_bf16;
    with_int8.int8 = true;
    if (from->bf16_gains) with_int8.attention = attention_bf16;
    from->train_bf16 = &train_bf16;
    from->with_bf16 = from->bf16_gains ? &with_bf16 : from;
    from->with_int8 = &with_int8;
}

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
    so_fill_bf16_c(c);
    so_fill_move_c(c);
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
    const char *wanted = getenv("SO_CPU");
    while (wanted && *wanted && best >= 0 && strcmp(wanted, tables[best].name) != 0) best--;
    if (best >= 0) derive(&tables[best]);
}

static int all_tables(void)
{
    pthread_once(&once, fill);
    return n_tables;
}

const so_kernels *so_kernels_c(void) { return all_tables() > 0 ? &tables[0] : NULL; }

const so_kernels *so_kernels_at(int i) { return i >= 0 && i < all_tables() ? &tables[i] : NULL; }

const so_kernels *so_kernels_best(void) { return all_tables() > 0 && best >= 0 ? &tables[best] : NULL; }

so_status so_kernels_choose(const so_kernels **out, so_error *error)
{
    *out = so_kernels_best();
    if (*out) return SO_OK;
    char names[64] = "";
    for (int i = 0; i < n_tables; i++)
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", i ? ", " : "", tables[i].name);
    return so_fail(error, SO_ERR_ARG, "SO_CPU is '%s'; the kernels of this machine are %s", getenv("SO_CPU"), names);
}
