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
#include "backend/cpu/tables.h"
#include "base/error.h"

#if !defined(SO_DOUBLE) && defined(__x86_64__)
_Thread_local __attribute__((tls_model("initial-exec"))) so_scratch *so_scratch_mine;
static pthread_key_t scratch_key;
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;

/* One large page (2 MiB) for all of it: kernels go through it from end to end again and again. */
enum { SCRATCH_PAGE = 2 << 20, SCRATCH_BYTES = (sizeof(so_scratch) + SCRATCH_PAGE - 1) / SCRATCH_PAGE * SCRATCH_PAGE };

static void scratch_gone(void *p) { munmap(p, SCRATCH_BYTES); }
static void make_scratch_key(void) { pthread_key_create(&scratch_key, scratch_gone); }

so_scratch *so_scratch_take(void)
{
    char *p;
    pthread_once(&scratch_once, make_scratch_key);
    /* A kernel cannot fail: where there is no memory left it waits for some. */
    const size_t bytes = SCRATCH_BYTES + SCRATCH_PAGE;
    while ((p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) == MAP_FAILED)
        usleep(1000);
    const size_t before = (SCRATCH_PAGE - (uintptr_t)p % SCRATCH_PAGE) % SCRATCH_PAGE;
    if (before) munmap(p, before);
    p += before;
    munmap(p + SCRATCH_BYTES, bytes - before - SCRATCH_BYTES);
#ifdef MADV_HUGEPAGE
    madvise(p, SCRATCH_BYTES, MADV_HUGEPAGE);
#endif
    pthread_setspecific(scratch_key, p);
    return so_scratch_mine = (so_scratch *)(void *)p;
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
enum { TABLES = 6 };
static so_kernels tables[TABLES], chosen, train_bf16, with_bf16, with_int8;
static int n_tables, best; /* best: -1 where SO_CPU names none */
static so_choice choice = {.how = "SO_CPU names it"};
static const char *no_tiles = "not a processor of x86"; /* why no table uses matrix tiles; NULL: one does */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void linear_bf16(so_pool *pool, const so_product *p, int64_t k, const so_real *x, int64_t m)
{
    if (p->type != SO_F32 || m <= 16) {
        chosen.linear(pool, p, k, x, m);
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
    chosen.gemm_bf16(pool, &g);
}

static void attention_bf16(so_pool *pool, const so_attn *attn, const so_real *q, so_real *out, so_real *lse)
{
    if (lse)
        chosen.attention(pool, attn, q, out, lse);
    else
        chosen.bf16_attention(pool, attn, q, out);
}

#if !defined(SO_DOUBLE) && defined(__x86_64__)
/* Conversions of half precision, for which clang 14 has no name in __builtin_cpu_supports. */
static bool has_f16c(void)
{
    unsigned a, b, c = 0, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}
#endif

static void derive(so_kernels *from, bool attention_gains)
{
    train_bf16 = with_int8 = *from;
    train_bf16.gemm = train_bf16.gemm_bf16;
    train_bf16.linear = linear_bf16;
    with_bf16 = train_bf16;
    if (from->attention_bf16) {
        train_bf16.attention = from->attention_bf16;
        train_bf16.attention_back = from->attention_bf16_back;
    }
    if (attention_gains) with_bf16.attention = attention_bf16;
    with_int8.int8 = true;
    if (attention_gains) with_int8.attention = attention_bf16;
    from->train_bf16 = &train_bf16;
    from->with_bf16 = from->bf16_gains ? &with_bf16 : from;
    from->with_int8 = &with_int8;
}

/* A further table, of what one has and what `fill` replaces; none with double numbers. */
__attribute__((unused)) static so_kernels *add_table(const so_kernels *from, void (*fill)(so_kernels *table))
{
    so_kernels *t = &tables[n_tables++];
    *t = *from;
    fill(t);
    return t;
}

static void fill_c(so_kernels *c)
{
    c->name = "c";
    so_fill_matrix_c(c);
    so_fill_int8_c(c);
    so_fill_element_c(c);
    so_fill_norm_c(c);
    so_fill_attention_c(c);
    so_fill_conv_c(c);
    so_fill_bf16_c(c);
    so_fill_move_c(c);
    so_fill_codec_c(c);
}

#if !defined(SO_DOUBLE) && defined(SO_ARM_sve)
static void fill_sve(so_kernels *t)
{
    t->name = "sve";
    so_fill_conv_sve(t);
}
#endif

/* The table `best` as it is, or where nobody named one as its measurement says. */
static void choose(const so_cpu_tables *there)
{
    so_cpu_ratios *r = &choice.ratios;
    chosen = tables[best];
    for (int g = 0; g < SO_CPU_GROUPS; g++) choice.table[g] = chosen.name;
    if (there) {
        so_cpu_ratios_here(there, r, choice.how);
        for (int g = 0; g < SO_CPU_GROUPS; g++) {
            if (!there->below || so_cpu_takes_wide(r, (so_cpu_group)g)) continue;
            if (g == SO_CPU_INT8 && there->tiles) continue; /* its few rows are the wide table's */
            so_cpu_take(&chosen, there->below, (so_cpu_group)g);
            choice.table[g] = there->below->name;
        }
        chosen.bf16_gains &= so_cpu_takes_bf16(r);
        so_tiles = so_cpu_takes_tiles(r);
    }
    choice.bf16_attention = tables[best].bf16_gains && so_cpu_takes_bf16_attention(r);
    derive(&chosen, choice.bf16_attention);
}

#if !defined(SO_DOUBLE) && defined(__x86_64__)
static void fill_with_avx2(so_kernels *t)
{
    so_fill_conv_avx2(t);
    so_fill_avx2(t);
    so_fill_int8_avx2(t);
}

static void fill_with_avx512(so_kernels *t)
{
    so_fill_conv_avx512(t);
    so_fill_avx512(t);
    so_fill_int8_avx512(t);
}

static void fill_x86(const char *wanted, so_cpu_tables *there)
{
    const so_kernels *c = &tables[0], *wide = NULL;
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c()) add_table(c, fill_with_avx2);
    if (n_tables == 2 && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni") &&
        __builtin_cpu_supports("avx512bf16"))
        wide = add_table(c, fill_with_avx512);
    best = n_tables - 1;
    /* The doubles of matrix tiles are slow: they are taken only where their name is said. */
    add_table(c, so_fill_amx_plain);
    if (wide) add_table(wide, so_fill_amx_double);
    /* Permission for tiles binds the whole process (signal stacks): it is asked where it would be used. */
    if (!wide)
        no_tiles = "the kernels on matrix tiles need AVX-512";
    else if (*wanted && strcmp(wanted, "amx") != 0)
        no_tiles = "SO_CPU names another table";
    else if (so_tiles_here(&no_tiles)) {
        no_tiles = NULL;
        there->tiles = add_table(wide, so_fill_amx);
        best = n_tables - 1;
    }
    there->wide = wide ? wide : n_tables > 1 ? &tables[1] : c;
    there->below = wide ? &tables[1] : NULL;
}
#endif

#if !defined(SO_DOUBLE) && defined(__aarch64__)
/* NEON with dot products is the base. Each further table has what the one before has and the entries of its unit. */
static void fill_arm(so_cpu_tables *there)
{
    const unsigned long first = getauxval(AT_HWCAP), second = getauxval(AT_HWCAP2);
    const so_kernels *top = &tables[0];
    (void)second;
    if (first & HWCAP_ASIMDDP) top = there->below = add_table(top, so_fill_neon);
#if defined(SO_ARM_i8mm)
    if (there->below && second & 1ul << 13) top = add_table(top, so_fill_i8mm); /* HWCAP2_I8MM */
#endif
#if defined(SO_ARM_bf16)
    if (there->below && second & 1ul << 14) top = add_table(top, so_fill_armbf16); /* HWCAP2_BF16 */
#endif
#if defined(SO_ARM_sve)
    if (there->below && first & 1ul << 22) top = add_table(top, fill_sve); /* HWCAP_SVE */
#endif
    there->wide = top;
    if (top == there->below) there->below = &tables[0];
    best = n_tables - 1;
}
#endif

static void fill(void)
{
    const char *wanted = getenv("SO_CPU");
    so_cpu_tables there = {0};
    if (!wanted) wanted = "";
    fill_c(&tables[n_tables++]);
#if !defined(SO_DOUBLE) && defined(__x86_64__)
    fill_x86(wanted, &there);
#elif !defined(SO_DOUBLE) && defined(__aarch64__)
    fill_arm(&there);
#endif
    if (*wanted)
        for (best = n_tables - 1; best >= 0 && strcmp(wanted, tables[best].name) != 0;) best--;
    if (best >= 0) choose(*wanted || !there.wide || there.wide == &tables[0] ? NULL : &there);
}

static int all_tables(void)
{
    pthread_once(&once, fill);
    return n_tables;
}

const so_kernels *so_kernels_c(void) { return all_tables() > 0 ? &tables[0] : NULL; }

const so_kernels *so_kernels_at(int i) { return i >= 0 && i < all_tables() ? &tables[i] : NULL; }

const so_kernels *so_kernels_best(void) { return all_tables() > 0 && best >= 0 ? &chosen : NULL; }

const so_choice *so_kernels_choice(void) { return all_tables() > 0 ? &choice : NULL; }

const char *so_kernels_without_tiles(void) { return all_tables() > 0 ? no_tiles : NULL; }

so_status so_kernels_choose(const so_kernels **out, so_error *error)
{
    *out = so_kernels_best();
    if (*out) return SO_OK;
    char names[96] = "";
    for (int i = 0; i < n_tables; i++)
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", i ? ", " : "", tables[i].name);
    const char *wanted = getenv("SO_CPU"), *why = wanted && strcmp(wanted, "amx") == 0 ? no_tiles : NULL;
    return so_fail(error, SO_ERR_ARG, "SO_CPU is '%s'%s%s%s; the kernels of this machine are %s", wanted,
                   why ? " (" : "", why ? why : "", why ? ")" : "", names);
}
