/* Speed of products with stored blocks: streaming (few rows) in GB of weights a second beside plain reading of the same
 * memory, panels (many rows) in GOP/s beside the peak of vpdpbusd. Not a test. Interleaved A B A B; CPU_TIME=1 counts
 * the processor time of the thread, which a busy machine disturbs least. bench_int8 [threads [megabytes]]
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <immintrin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "backend/cpu/ref/portable.h"
#include "base/rng.h"

static double now(void)
{
    struct timespec t;
    clock_gettime(getenv("CPU_TIME") ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double peak(void)
{
    __m512i a[24], x = _mm512_set1_epi8(3), y = _mm512_set1_epi8(5);
    for (int i = 0; i < 24; i++) a[i] = _mm512_set1_epi32(i);
    double best = 0;
    for (int round = 0; round < 5; round++) {
        double t = now();
        for (int k = 0; k < 1000000; k++)
#pragma GCC unroll 24
            for (int i = 0; i < 24; i++) __asm__("vpdpbusd %2, %1, %0" : "+v"(a[i]) : "v"(x), "v"(y));
        t = now() - t;
        if (1e6 * 24 * 128 / t > best) best = 1e6 * 24 * 128 / t;
    }
    volatile int sink = 0;
    for (int i = 0; i < 24; i++) sink += _mm512_reduce_add_epi32(a[i]);
    return best / 1e9;
}

static double peak_float(void)
{
    __m512 a[24], x = _mm512_set1_ps(0.999f), y = _mm512_set1_ps(1e-3f);
    for (int i = 0; i < 24; i++) a[i] = _mm512_set1_ps((float)i);
    double best = 0;
    for (int round = 0; round < 5; round++) {
        double t = now();
        for (int k = 0; k < 1000000; k++)
#pragma GCC unroll 24
            for (int i = 0; i < 24; i++) a[i] = _mm512_fmadd_ps(a[i], x, y);
        t = now() - t;
        if (1e6 * 24 * 32 / t > best) best = 1e6 * 24 * 32 / t;
    }
    volatile float sink = 0;
    for (int i = 0; i < 24; i++) sink += _mm512_reduce_add_ps(a[i]);
    return best / 1e9;
}

typedef struct reading {
    const unsigned char *at;
    int64_t sum[64];
} reading;

static void read_task(void *p, int64_t task, int thread)
{
    (void)thread;
    reading *r = p;
    const unsigned char *at = r->at + task * 65536;
    __m512i s[8] = {0};
    for (int i = 0; i < 65536; i += 512)
#pragma GCC unroll 8
        for (int j = 0; j < 8; j++) s[j] = _mm512_xor_si512(s[j], _mm512_loadu_si512(at + i + 64 * j));
    for (int j = 1; j < 8; j++) s[0] = _mm512_xor_si512(s[0], s[j]);
    r->sum[task % 64] = _mm512_reduce_add_epi64(s[0]);
}

typedef struct bench {
    const so_kernels *k;
    so_pool *pool;
    unsigned char *w;
    size_t bytes;
    float *x, *y;
    void *rounded;
} bench;

static double reading_rate(const bench *b)
{
    reading r = {b->w, {0}};
    double t = now();
    so_pool_for(b->pool, (int64_t)(b->bytes / 65536), read_task, &r);
    return (double)(b->bytes / 65536 * 65536) / (now() - t) / 1e9;
}

static double streaming_rate(const bench *b, so_type type, int64_t m)
{
    int64_t k = 4096, n = (int64_t)(b->bytes / so_type_bytes(type, k));
    b->k->round_int8(b->pool, m, k, b->x, b->rounded);
    double t = now();
    b->k->linear_int8(b->pool, 1, &(so_product){type, b->w, n, NULL, b->y}, k, b->rounded, m);
    return (double)so_type_bytes(type, n * k) / (now() - t) / 1e9;
}

static double panel_rate(const bench *b, so_type type, int64_t m, int64_t n, int64_t k)
{
    double t = now();
    b->k->round_int8(b->pool, m, k, b->x, b->rounded);
    b->k->linear_int8(b->pool, 1, &(so_product){type, b->w, n, NULL, b->y}, k, b->rounded, m);
    return 2.0 * (double)m * (double)n * (double)k / (now() - t) / 1e9;
}

static int by_size(const void *a, const void *b)
{
    return *(const double *)a < *(const double *)b ? -1 : *(const double *)a > *(const double *)b;
}
static double median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, by_size);
    return v[n / 2];
}

int main(int argc, char **argv)
{
    static const so_type types[] = {SO_Q8_0, SO_Q4_0, SO_Q5_0, SO_Q4_K, SO_Q5_K, SO_Q6_K};
    enum { TYPES = 6, ROUNDS = 7 };
    bench b = {.k = so_kernels_best(), .bytes = (size_t)(argc > 2 ? atoi(argv[2]) : 256) << 20};
    so_error error;
    if (so_pool_open(&b.pool, argc > 1 ? atoi(argv[1]) : 1, &error) != SO_OK) return 1;
    b.w = mmap(NULL, b.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    madvise(b.w, b.bytes, MADV_HUGEPAGE);
    for (size_t i = 0; i < b.bytes; i++) b.w[i] = (unsigned char)(i * 37 >> 3 & 63); /* small scales, no NaN */
    b.x = malloc(512 * 14336 * 4);
    b.y = malloc((size_t)512 * 14336 * 4 + ((size_t)b.bytes / 2000) * 8 * 4);
    b.rounded = aligned_alloc(64, so_int8_bytes(512, 14336));
    so_rng rng;
    so_rng_init(&rng, 1, 1);
    for (int i = 0; i < 512 * 14336; i++) b.x[i] = (float)so_rng_normal(&rng);
    printf("%s, %d threads; peak of one thread: vpdpbusd %.0f GOP/s, f32 %.0f GFLOP/s\n", b.k->name,
           so_pool_threads(b.pool), peak(), peak_float());
    for (int t = 0; t < TYPES; t++) {
        double read[ROUNDS], one[ROUNDS], four[ROUNDS], many[3][ROUNDS];
        for (int r = 0; r < ROUNDS; r++) {
            read[r] = reading_rate(&b);
            one[r] = streaming_rate(&b, types[t], 1);
            four[r] = streaming_rate(&b, types[t], 4);
            many[0][r] = panel_rate(&b, types[t], 32, 4096, 4096);
            many[1][r] = panel_rate(&b, types[t], 256, 4096, 4096);
            many[2][r] = panel_rate(&b, types[t], 512, 2048, 14336);
        }
        double base = median(read, ROUNDS), rate = median(one, ROUNDS);
        printf("%-5s reading %.1f GB/s; 1 row %.1f (%.0f %%), 4 rows %.1f; GOP/s: 32 rows %.0f, 256 rows %.0f, 512 "
               "rows %.0f\n",
               so_type_about(types[t])->name, base, rate, 100 * rate / base, median(four, ROUNDS),
               median(many[0], ROUNDS), median(many[1], ROUNDS), median(many[2], ROUNDS));
        fflush(stdout);
    }
    return 0;
}
