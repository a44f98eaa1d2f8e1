/* The tables for ARM against the portable one: every block type, odd numbers of rows, weights laid out as bf16, the
 * codec's kernels; the same bits for two threads. A program of its own, so that it needs nothing but the kernels when
 * it is compiled for another machine. Tables that the compiler or the processor has not are named.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/ref/portable.h"
#include "base/rng.h"

/* What product->y would hold, in memory of its own. */
static float *multiply(const so_kernels *k, so_pool *pool, const so_product *product, int64_t len, const float *x,
                       int64_t m)
{
    so_product p = *product;
    void *rounded = aligned_alloc(64, so_int8_bytes(m, len));
    float *y = p.y = malloc((size_t)(m * p.n) * sizeof *y);
    k->round_int8(pool, m, len, x, rounded);
    k->linear_int8(pool, 1, &p, len, rounded, m);
    free(rounded);
    return y;
}

/* silu(z) z of the same products. */
static float *gated(const so_kernels *k, so_pool *pool, so_type type, const void *w, int64_t n, int64_t len,
                    const float *x, int64_t m)
{
    void *rounded = aligned_alloc(64, so_int8_bytes(m, len));
    float *y = malloc((size_t)(m * n) * sizeof *y);
    k->round_int8(pool, m, len, x, rounded);
    k->gated_int8(pool, &(so_product){.type = type, .w = w, .n = n, .y = y}, w, len, rounded, m);
    free(rounded);
    return y;
}

static double apart(const float *got, const float *want, int64_t n)
{
    double off = 0, all = 1e-30;
    for (int64_t i = 0; i < n; i++) {
        off += pow((double)got[i] - (double)want[i], 2);
        all += pow((double)want[i], 2);
    }
    return sqrt(off / all);
}

/* Relative L2 distance of the ARM products from the portable ones; 1 where threads differ. */
static double distance(const so_kernels *arm, so_pool *pool, so_type type, so_rng *rng)
{
    const so_type_info *about = so_type_about(type);
    int64_t n = so_rng_range(rng, 1, 40), m = so_rng_range(rng, 1, 11);
    int64_t k = so_rng_range(rng, 1, about->block == 32 ? 20 : 3) * about->block;
    size_t bytes = so_type_bytes(type, n * k);
    unsigned char *w = malloc(bytes);
    for (size_t i = 0; i < bytes; i++) w[i] = (unsigned char)so_rng_u64(rng);
    for (size_t i = 0; i < bytes; i += (size_t)about->bytes) {
        uint16_t a = so_to_f16((float)so_rng_normal(rng)), b = so_to_f16((float)so_rng_normal(rng));
        memcpy(w + i + (type == SO_Q6_K ? 208 : 0), &a, 2);
        if (type == SO_Q4_K || type == SO_Q5_K) memcpy(w + i + 2, &b, 2);
    }
    float *x = malloc((size_t)(m * k) * sizeof *x), *bias = malloc((size_t)n * sizeof *bias);
    for (int64_t i = 0; i < m * k; i++) x[i] = (float)so_rng_normal(rng);
    for (int64_t i = 0; i < n; i++) bias[i] = (float)so_rng_normal(rng);
    const so_product p = {type, w, n, bias, NULL};
    float *want = multiply(so_kernels_c(), NULL, &p, k, x, m);
    float *got = multiply(arm, NULL, &p, k, x, m), *two = multiply(arm, pool, &p, k, x, m);
    bool same = memcmp(got, two, (size_t)(m * n) * sizeof *got) == 0;
    double d = apart(got, want, m * n);
    free(want), free(got), free(two);
    want = gated(so_kernels_c(), NULL, type, w, n, k, x, m);
    got = gated(arm, pool, type, w, n, k, x, m);
    double e = apart(got, want, m * n) / 2; /* a product of two */
    if (!(e < d)) d = e;
    free(w), free(x), free(bias), free(want), free(got);
    return same ? d : 1;
}

/* The same for weights laid out as bf16. */
static double distance_bf16(const so_kernels *arm, so_pool *pool, so_rng *rng)
{
    int64_t n = so_rng_range(rng, 1, 40), m = so_rng_range(rng, 1, 30), k = so_rng_range(rng, 1, 1100);
    float *w = malloc((size_t)(n * k) * 4), *x = malloc((size_t)(m * (k + 2)) * 4), *bias = malloc((size_t)n * 4);
    for (int64_t i = 0; i < n * k; i++) w[i] = (float)so_rng_normal(rng);
    for (int64_t i = 0; i < m * (k + 2); i++) x[i] = (float)so_rng_normal(rng);
    for (int64_t i = 0; i < n; i++) bias[i] = (float)so_rng_normal(rng);
    const so_kernels *table[3] = {so_kernels_c(), arm, arm};
    float *y[3];
    for (int t = 0; t < 3; t++) {
        void *layout = aligned_alloc(64, table[t]->bf16_bytes(n, k) / 64 * 64 + 64);
        y[t] = calloc((size_t)(m * (n + 1)), 4);
        table[t]->bf16_pack(NULL, n, k, w, layout);
        table[t]->bf16_linear(t == 2 ? pool : NULL, &(so_bf16_product){.layout = layout,
                                                                       .n = n,
                                                                       .k = k,
                                                                       .m = m,
                                                                       .x = x,
                                                                       .ldx = k + 2,
                                                                       .ldy = n + 1,
                                                                       .bias = k % 2 ? bias : NULL,
                                                                       .y = y[t]});
        free(layout);
    }
    double d = apart(y[1], y[0], m * (n + 1));
    if (memcmp(y[1], y[2], (size_t)(m * (n + 1)) * 4) != 0) d = 1;
    for (int t = 0; t < 3; t++) free(y[t]);
    free(w), free(x), free(bias);
    return d;
}

static double distance_snake(const so_kernels *arm, so_pool *pool, so_rng *rng)
{
    enum { ROWS = 9, COLS = 37 };
    float x[ROWS * COLS], alpha[COLS], y[2][ROWS * COLS];
    for (int i = 0; i < ROWS * COLS; i++) x[i] = (float)so_rng_normal(rng);
    for (int i = 0; i < COLS; i++) alpha[i] = 0.5f + (float)so_rng_uniform(rng);
    so_kernels_c()->snake(NULL, ROWS, COLS, x, alpha, y[0]);
    arm->snake(pool, ROWS, COLS, x, alpha, y[1]);
    return apart(y[1], y[0], ROWS * COLS);
}

static int check(const so_kernels *arm, so_pool *pool)
{
    static const so_type types[] = {SO_Q8_0, SO_Q4_0, SO_Q5_0, SO_Q4_K, SO_Q5_K, SO_Q6_K};
    so_rng rng;
    int bad = 0;
    so_rng_init(&rng, 1, 1);
    for (int round = 0; round < 90; round++) {
        const bool blocks = round < 60;
        double d = blocks       ? distance(arm, pool, types[round % 6], &rng)
                   : round < 80 ? distance_bf16(arm, pool, &rng)
                                : distance_snake(arm, pool, &rng);
        if (d < 3e-6) continue; /* false where it is not a number */
        printf("%s, %s: relative distance %g\n", arm->name,
               blocks       ? so_type_about(types[round % 6])->name
               : round < 80 ? "bf16"
                            : "snake",
               d);
        bad = 1;
    }
    return bad;
}

int main(void)
{
    static const char *const known[] = {"neon", "i8mm", "bf16", "sve"};
    so_error error;
    so_pool *pool;
    int bad = 0, there = 0;
    if (!so_kernels_at(1) || so_pool_open(&pool, 2, &error) != SO_OK) {
        printf("no table for ARM\n");
        return 1;
    }
    for (int i = 1; so_kernels_at(i); i++, there++) bad |= check(so_kernels_at(i), pool);
    for (int n = 0; n < 4; n++) {
        bool found = false;
        for (int i = 1; so_kernels_at(i); i++) found |= strcmp(so_kernels_at(i)->name, known[n]) == 0;
        printf("# table %s %s\n", known[n], found ? "tried" : "absent");
        bad |= n == 0 && !found;
    }
    so_pool_close(&pool);
    return bad;
}
