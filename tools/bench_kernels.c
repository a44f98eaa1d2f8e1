/* Speed of the kernels of every table: products in GFLOP/s beside the peak of the machine, decoding products in GB/s,
 * attention of one row likewise, elementwise kernels in ns an element. Not a test. CPU_TIME=1 counts the processor time
 * of one thread, which a busy machine disturbs least.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backend/cpu/ref/portable.h"
#include "base/rng.h"

static double now(void)
{
    struct timespec t;
    clock_gettime(getenv("CPU_TIME") ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
static float *numbers(int64_t n)
{
    float *p = aligned_alloc(64, (size_t)(n * 4 + 63) / 64 * 64);
    so_rng r;
    so_rng_init(&r, 1, 2);
    for (int64_t i = 0; i < n; i++) p[i] = (float)so_rng_normal(&r);
    return p;
}

/* 24 independent chains of multiply-adds, compiled for the machine by the caller's flags. */
static double peak(void)
{
    typedef float lanes __attribute__((vector_size(64)));
    lanes a[24], x = {0}, y = {0};
    for (int i = 0; i < 24; i++) a[i] = x + (float)i;
    x += 0.999f, y += 1e-3f;
    double best = 0;
    for (int round = 0; round < 5; round++) {
        double t = now();
        for (int k = 0; k < 2000000; k++)
#pragma GCC unroll 24
            for (int i = 0; i < 24; i++) a[i] = a[i] * x + y;
        t = now() - t;
        if (2000000 * 24.0 * 32 / t > best) best = 2000000 * 24.0 * 32 / t;
    }
    volatile float sink = 0;
    for (int i = 0; i < 24; i++) sink += a[i][0];
    return best / 1e9;
}

typedef struct bench {
    const so_kernels *k;
    so_pool *pool;
    int64_t m, n, len;
    bool ta, tb;
    so_type type;
    float *a, *b, *c;
} bench;
typedef void (*bench_fn)(const bench *b);

static double seconds(bench_fn fn, const bench *b, int reps)
{
    double best = 1e9;
    for (int round = 0; round < 7; round++) {
        double t = now();
        for (int r = 0; r < reps; r++) fn(b);
        t = (now() - t) / reps;
        if (t < best) best = t;
    }
    return best;
}

static void product(const bench *b)
{
    b->k->gemm(b->pool, &(so_gemm){.ta = b->ta,
                                   .tb = b->tb,
                                   .m = b->m,
                                   .n = b->n,
                                   .k = b->len,
                                   .a = b->a,
                                   .lda = b->ta ? b->m : b->len,
                                   .b = b->b,
                                   .ldb = b->tb ? b->len : b->n,
                                   .c = b->c,
                                   .ldc = b->n});
}

static void product_bf16(const bench *b)
{
    b->k->gemm_bf16(b->pool, &(so_gemm){.ta = b->ta,
                                        .tb = b->tb,
                                        .m = b->m,
                                        .n = b->n,
                                        .k = b->len,
                                        .a = b->a,
                                        .lda = b->ta ? b->m : b->len,
                                        .b = b->b,
                                        .ldb = b->tb ? b->len : b->n,
                                        .c = b->c,
                                        .ldc = b->n});
}

static void products(const so_kernels *k, so_pool *pool, const char *name, bench_fn fn)
{
    static const int64_t shapes[][3] = {{2000, 256, 256}, {2000, 1024, 256}, {2000, 256, 1024}, {1024, 320, 320},
                                        {1024, 864, 320}, {1024, 320, 864},  {256, 256, 2000},  {512, 4096, 4096},
                                        {60, 60, 32},     {300, 300, 64}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        bench b = {k, pool, shapes[s][0], shapes[s][1], shapes[s][2]};
        b.a = numbers(b.m * b.len), b.b = numbers(b.n * b.len), b.c = numbers(b.m * b.n);
        double work = 2e-9 * (double)b.m * (double)b.n * (double)b.len;
        printf("%-7s %-9s %5ld %5ld %5ld", k->name, name, b.m, b.n, b.len);
        for (int t = 0; t < 3; t++) {
            b.ta = t == 2, b.tb = t == 1;
            printf("  %s %6.1f", t == 0 ? "NN" : t == 1 ? "NT" : "TN", work / seconds(fn, &b, (int)(0.4 / work) + 1));
        }
        printf(" GFLOP/s\n");
        free(b.a), free(b.b), free(b.c);
    }
}

static void decode(const bench *b)
{
    b->k->linear(b->pool, &(so_product){.type = b->type, .w = b->b, .n = b->n, .y = b->c}, b->len, b->a, b->m);
}

static void decoding(const so_kernels *k, so_pool *pool)
{
    static const so_type types[] = {SO_F32, SO_F16, SO_BF16, SO_Q8_0};
    static const int64_t rows[] = {1, 2, 4, 8, 16, 64};
    for (int t = 0; t < 4; t++) {
        printf("%-7s linear 4096 x 4096 %-5s", k->name, so_type_about(types[t])->name);
        for (int r = 0; r < 6; r++) {
            bench b = {k, pool, rows[r], 4096, 4096, .type = types[t]};
            b.a = numbers(b.m * b.len), b.b = calloc((size_t)b.n, 4 * (size_t)b.len), b.c = numbers(b.m * b.n);
            double s = seconds(decode, &b, 2);
            printf("  m=%ld %6.1f GB/s", b.m, (double)so_type_bytes(types[t], b.n * b.len) / s / 1e9);
            free(b.a), free(b.b), free(b.c);
        }
        printf("\n");
    }
}

/* One row of 32 heads after `keys` others of 8 key heads, in 16 layers one after the other, so that they come from
 * memory. */
static void attending(const so_kernels *k, so_pool *pool)
{
    enum { LAYERS = 16, HEADS = 32, KEY_HEADS = 8, ROUNDS = 9 };
    static const int64_t shape[][2] = {{64, 2048}, {128, 512}, {128, 2048}};
    static const so_type types[] = {SO_F32, SO_F16, SO_BF16, SO_Q8_0};
    for (int t = 0; t < 4; t++) {
        printf("%s: attention of one row, keys and values in %s, GB/s", k->name, so_type_about(types[t])->name);
        for (int i = 0; i < 3; i++) {
            int64_t d = shape[i][0], n = shape[i][1];
            size_t bytes = (size_t)n * so_type_bytes(types[t], KEY_HEADS * d);
            float *q = numbers(HEADS * d), *y = numbers(HEADS * d), *kv[2 * LAYERS];
            for (int l = 0; l < 2 * LAYERS; l++) memset(kv[l] = aligned_alloc(64, (bytes + 63) / 64 * 64), 0, bytes);
            double best = 1e9;
            for (int round = 0; round < ROUNDS; round++) {
                double start = now();
                for (int l = 0; l < LAYERS; l++) {
                    so_attn_seg seg = {.q_rows = 1,
                                       .k = kv[2 * l],
                                       .v = kv[2 * l + 1],
                                       .kv_rows = n,
                                       .kv_stride = KEY_HEADS * d,
                                       .pos0 = n - 1,
                                       .kv_type = types[t]};
                    k->attention(pool, &(so_attn){HEADS, KEY_HEADS, d, 0.1f, true, NULL, NULL, 1, &seg}, q, y, NULL);
                }
                start = now() - start;
                if (start < best) best = start;
            }
            printf("; %lld keys of %lld: %.1f", (long long)n, (long long)d, 2.0 * LAYERS * (double)bytes / best / 1e9);
            for (int l = 0; l < 2 * LAYERS; l++) free(kv[l]);
            free(q);
            free(y);
        }
        printf("\n");
    }
}

static void one_unary(const bench *b) { b->k->unary(b->pool, (so_unary)b->m, b->n, b->a, b->c); }
static void one_unary_back(const bench *b) { b->k->unary_back(b->pool, (so_unary)b->m, b->n, b->a, b->b, true, b->c); }

static void elements(const so_kernels *k, so_pool *pool)
{
    bench b = {k, pool, 0, 1 << 16};
    b.a = numbers(b.n), b.b = numbers(b.n), b.c = numbers(b.n);
    printf("%-7s ns an element, forward/back:", k->name);
    for (b.m = 0; b.m < SO_UNARY_COUNT; b.m++)
        printf(" %.2f/%.2f", 1e9 * seconds(one_unary, &b, 3) / (double)b.n,
               1e9 * seconds(one_unary_back, &b, 3) / (double)b.n);
    printf("\n");
    free(b.a), free(b.b), free(b.c);
}

int main(int argc, char **argv)
{
    so_error error;
    so_pool *pool = NULL;
    int threads = argc > 1 ? atoi(argv[1]) : 1;
    if (threads > 1 && so_pool_open(&pool, threads, &error) != SO_OK) return 1;
    printf("peak of one thread %.1f GFLOP/s; %d threads\n", peak(), threads);
    for (int i = 1; so_kernels_at(i); i++) {
        products(so_kernels_at(i), pool, "gemm", product);
        products(so_kernels_at(i), pool, "gemm_bf16", product_bf16);
        decoding(so_kernels_at(i), pool);
        attending(so_kernels_at(i), pool);
        elements(so_kernels_at(i), pool);
    }
    so_pool_close(&pool);
    return 0;
}
