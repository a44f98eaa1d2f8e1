/* The ARM table against the portable one: every block type, odd numbers of rows, the same bits for two threads. A
 * program of its own, so that it needs nothing but the kernels when it is compiled for another machine.
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

int main(void)
{
    static const so_type types[] = {SO_Q8_0, SO_Q4_0, SO_Q5_0, SO_Q4_K, SO_Q5_K, SO_Q6_K};
    const so_kernels *arm = so_kernels_at(1);
    so_error error;
    so_pool *pool;
    so_rng rng;
    if (!arm || strcmp(arm->name, "neon") != 0 || so_pool_open(&pool, 2, &error) != SO_OK) {
        printf("no table for ARM\n");
        return 1;
    }
    so_rng_init(&rng, 1, 1);
    int bad = 0;
    for (int round = 0; round < 60; round++) {
        double d = distance(arm, pool, types[round % 6], &rng);
        if (d < 3e-6) continue; /* false where it is not a number */
        printf("%s: relative distance %g\n", so_type_about(types[round % 6])->name, d);
        bad = 1;
    }
    so_pool_close(&pool);
    return bad;
}
