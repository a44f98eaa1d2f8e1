/* round_int8 and linear_int8: every table against the portable one, which is itself held against double sums of what
 * the blocks say; odd widths, every type, every number of rows, any bytes, numbers that are not finite; the same bits
 * for any number of threads.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "backend/cpu/ref/portable.h"
#include "backend/cpu/tiles.h"
#include "base/quantise.h"
#include "base/rng.h"

static const so_type types[] = {SO_Q8_0, SO_Q4_0, SO_Q5_0, SO_Q4_K, SO_Q5_K, SO_Q6_K};
enum { TYPES = 6 };

typedef struct product {
    so_type type;
    int64_t m, n, k;
    unsigned char *w; /* ends where its memory ends */
    float *x, *bias;
} product;

static void *room(size_t bytes)
{
    void *p = malloc(bytes ? bytes : 1);
    assert_non_null(p);
    return p;
}

/* Blocks of random codes and small random scales, so that every code and every packed scale is met. */
static void random_blocks(so_rng *rng, so_type type, unsigned char *w, size_t bytes)
{
    const so_type_info *about = so_type_about(type);
    for (size_t i = 0; i < bytes; i++) w[i] = (unsigned char)so_rng_u64(rng);
    for (size_t i = 0; i < bytes; i += (size_t)about->bytes) {
        uint16_t a = so_to_f16((float)so_rng_normal(rng) / 64), b = so_to_f16((float)so_rng_normal(rng) / 64);
        memcpy(w + i + (type == SO_Q6_K ? 208 : 0), &a, 2);
        if (type == SO_Q4_K || type == SO_Q5_K) memcpy(w + i + 2, &b, 2);
    }
}

static product random_product(so_rng *rng, so_type type, int64_t m)
{
    product p = {.type = type, .m = m, .n = so_rng_range(rng, 1, 100)};
    int64_t block = so_type_about(type)->block;
    p.k = so_rng_range(rng, 1, block == 32 ? 40 : 5) * block;
    size_t bytes = so_type_bytes(type, p.n * p.k);
    p.w = room(bytes);
    random_blocks(rng, type, p.w, bytes);
    p.x = room((size_t)(m * p.k) * sizeof *p.x);
    bool flat = so_rng_range(rng, 0, 9) == 0;
    for (int64_t i = 0; i < m * p.k; i++)
        p.x[i] = flat ? 0
                      : (float)(so_rng_normal(rng) * (i / 32 % 5 == 4                        ? 1e-3
                                                      : i / 32 % 11 == 7 || i / 128 % 7 == 3 ? 1e-35
                                                                                             : 1));
    p.bias = so_rng_range(rng, 0, 1) ? room((size_t)p.n * sizeof *p.bias) : NULL;
    for (int64_t i = 0; p.bias && i < p.n; i++) p.bias[i] = (float)so_rng_normal(rng);
    return p;
}

static void drop(product *p)
{
    free(p->w);
    free(p->x);
    free(p->bias);
}

static float *multiplied(const product *p, const so_kernels *k, so_pool *pool)
{
    size_t bytes = so_int8_bytes(p->m, p->k), cells = (size_t)(p->m * p->n);
    void *rounded = aligned_alloc(64, bytes ? bytes : 64);
    float *y = room((cells + 2) * sizeof *y);
    memset(rounded, 0x5a, bytes);
    y[0] = y[cells + 1] = -77;
    k->round_int8(pool, p->m, p->k, p->x, rounded);
    k->linear_int8(pool, 1, &(so_product){p->type, p->w, p->n, p->bias, y + 1}, p->k, rounded, p->m);
    assert_true(y[0] == -77 && y[cells + 1] == -77);
    memmove(y, y + 1, cells * sizeof *y);
    free(rounded);
    return y;
}

/* What the header says, in double. */
static float *expected(const product *p)
{
    float *y = room((size_t)(p->m * p->n) * sizeof *y), *w = room((size_t)p->k * sizeof *w);
    for (int64_t j = 0; j < p->n; j++) {
        so_dequantise_row(p->type, p->w + so_type_bytes(p->type, j * p->k), p->k, w);
        for (int64_t i = 0; i < p->m; i++) {
            const float *x = p->x + i * p->k;
            double sum = p->bias ? (double)p->bias[j] : 0;
            for (int64_t s = 0, span = so_int8_span(p->m); s < p->k; s += span) {
                float most = 0;
                for (int64_t c = s; c < s + span && c < p->k; c++) most = fmaxf(most, fabsf(x[c]));
                for (int64_t c = s; c < s + span && c < p->k && most >= 1e-30f; c++)
                    sum += (double)w[c] * (double)(most / 127) * (double)nearbyintf(x[c] * (127 / most));
            }
            y[i * p->n + j] = (float)sum;
        }
    }
    free(w);
    return y;
}

static void portable_is_what_the_blocks_say(void **state)
{
    (void)state;
    so_rng rng;
    so_rng_init(&rng, 5, 1);
    for (int round = 0; round < 60; round++) {
        product p = random_product(&rng, types[round % TYPES], so_rng_range(&rng, 1, 30));
        float *got = multiplied(&p, so_kernels_c(), NULL), *want = expected(&p);
        check_close(so_type_about(p.type)->name, got, want, p.m * p.n, 3e-6, 3e-6);
        free(got);
        free(want);
        drop(&p);
    }
}

static so_pool *pools[2];

static bool on_tiles(const so_kernels *k) { return strncmp(k->name, "amx", 3) == 0; }

/* Doubles of an instruction set take part in some rounds only. */
static bool left_out(const so_kernels *k, int round)
{
    return on_tiles(k) && strcmp(k->name, "amx") != 0 && round >= TYPES && round % 5;
}

static void tables_agree(void **state)
{
    (void)state;
    so_rng rng;
    so_rng_init(&rng, 6, 1);
    for (int round = 0; round < 240; round++) {
        product p = random_product(&rng, types[round % TYPES], round < 40 ? round : so_rng_range(&rng, 1, 60));
        float *want = multiplied(&p, so_kernels_c(), NULL);
        for (int i = 1; so_kernels_at(i); i++) {
            char name[96];
            if (left_out(so_kernels_at(i), round)) continue;
            snprintf(name, sizeof name, "%s %s, %lld x %lld x %lld", so_kernels_at(i)->name,
                     so_type_about(p.type)->name, (long long)p.m, (long long)p.n, (long long)p.k);
            float *one = multiplied(&p, so_kernels_at(i), NULL);
            check_close(name, one, want, p.m * p.n, 3e-6, 3e-6);
            for (int t = 0; t < 2; t++) {
                float *many = multiplied(&p, so_kernels_at(i), pools[t]);
                if (memcmp(one, many, (size_t)(p.m * p.n) * sizeof *one))
                    fail_msg("%s: %d threads differ", name, t + 2);
                free(many);
            }
            free(one);
        }
        free(want);
        drop(&p);
    }
}

static void a_number_that_is_not_finite_spoils_its_row_only(void **state)
{
    (void)state;
    so_rng rng;
    so_rng_init(&rng, 7, 1);
    for (int i = 0; so_kernels_at(i); i++)
        for (int round = 0; round < 24; round++) {
            product p = random_product(&rng, types[round % TYPES], round < 12 ? 3 : 20);
            p.x[p.k + so_rng_range(&rng, 0, p.k - 1)] = round % 2 ? NAN : -INFINITY;
            float *y = multiplied(&p, so_kernels_at(i), NULL);
            for (int64_t c = 0; c < p.m * p.n; c++) assert_int_equal(isfinite(y[c]) != 0, c / p.n != 1);
            free(y);
            drop(&p);
        }
}

/* Three matrices at once give what each gives alone, to the last bit. */
static void several_products_are_each_their_own(void **state)
{
    (void)state;
    so_rng rng;
    so_rng_init(&rng, 8, 1);
    for (int i = 0; so_kernels_at(i); i++)
        for (int round = 0; round < 40; round++) {
            const so_kernels *k = so_kernels_at(i);
            if (left_out(k, round)) continue;
            product p[3] = {random_product(&rng, types[round % TYPES], so_rng_range(&rng, 1, 40))};
            float *alone[3], *together[3];
            so_product all[3];
            void *rounded = aligned_alloc(64, so_int8_bytes(p[0].m, p[0].k));
            k->round_int8(NULL, p[0].m, p[0].k, p[0].x, rounded);
            for (int w = 0; w < 3; w++) {
                if (w) {
                    p[w] = p[0];
                    p[w].type = p[0].k % 256 ? SO_Q8_0 : types[(round + w) % TYPES];
                    p[w].n = so_rng_range(&rng, 0, 70);
                    p[w].w = room(so_type_bytes(p[w].type, p[w].n * p[w].k));
                    p[w].bias = NULL;
                    random_blocks(&rng, p[w].type, p[w].w, so_type_bytes(p[w].type, p[w].n * p[w].k));
                }
                alone[w] = multiplied(&p[w], k, NULL);
                together[w] = room((size_t)(p[w].m * p[w].n) * sizeof(float));
                all[w] = (so_product){p[w].type, p[w].w, p[w].n, p[w].bias, together[w]};
            }
            k->linear_int8(pools[round % 2], 3, all, p[0].k, rounded, p[0].m);
            for (int w = 0; w < 3; w++) {
                assert_memory_equal(alone[w], together[w], (size_t)(p[w].m * p[w].n) * sizeof(float));
                free(alone[w]);
                free(together[w]);
                if (w) free(p[w].w);
            }
            free(rounded);
            drop(&p[0]);
        }
}

/* y = silu(gate) * up of what the plain products give, for every table and number of threads. */
static void gated_products_are_their_factors(void **state)
{
    (void)state;
    so_rng rng;
    so_rng_init(&rng, 9, 1);
    for (int i = 0; so_kernels_at(i); i++)
        for (int round = 0; round < 60; round++) {
            const so_kernels *k = so_kernels_at(i);
            bool slow = i == 0 || left_out(k, TYPES + 1);
            if (left_out(k, round)) continue;
            product gate = random_product(&rng, types[round % TYPES],
                                          round < 20 ? round + 1 : so_rng_range(&rng, 1, slow ? 60 : 900));
            free(gate.bias);
            gate.bias = NULL;
            product up = gate;
            size_t bytes = so_type_bytes(up.type, up.n * up.k), cells = (size_t)(gate.m * gate.n);
            up.w = room(bytes);
            random_blocks(&rng, up.type, up.w, bytes);
            void *rounded = aligned_alloc(64, so_int8_bytes(gate.m, gate.k));
            k->round_int8(NULL, gate.m, gate.k, gate.x, rounded);
            float *a = multiplied(&gate, k, NULL), *b = multiplied(&up, k, NULL), *y[3];
            for (int t = 0; t < 3; t++) {
                y[t] = room(cells * sizeof(float));
                k->gated_int8(t ? pools[t - 1] : NULL,
                              &(so_product){.type = gate.type, .w = gate.w, .n = gate.n, .y = y[t]}, up.w, gate.k,
                              rounded, gate.m);
                assert_memory_equal(y[t], y[0], cells * sizeof(float));
            }
            for (size_t c = 0; c < cells; c++) a[c] = a[c] / (1 + expf(-a[c])) * b[c];
            check_close(k->name, y[0], a, (int64_t)cells, 1e-6, 1e-6);
            for (int t = 0; t < 3; t++) free(y[t]);
            free(a);
            free(b);
            free(rounded);
            free(up.w);
            drop(&gate);
        }
}

/* ---- matrix tiles */

static void take_bytes(bool yes)
{
    for (int i = 0; i < TYPES; i++) so_tiles.bytes[types[i]] = yes;
}

static const so_kernels *table_named(const char *name)
{
    for (int i = 0; so_kernels_at(i); i++)
        if (strcmp(so_kernels_at(i)->name, name) == 0) return so_kernels_at(i);
    return NULL;
}

/* As bytes they give what AVX-512 gives without them, so that a choice between the two changes nothing. */
static void tiles_of_bytes_give_the_bits_of_avx512(void **state)
{
    (void)state;
    const so_kernels *without = table_named("avx512");
    static const char *const name[] = {"amx-double", "amx"};
    so_rng rng;
    so_rng_init(&rng, 10, 1);
    for (int round = 0; without && round < 2 * TYPES * 4; round++) {
        product p = random_product(&rng, types[round % TYPES], so_rng_range(&rng, 9, 64));
        float *want = multiplied(&p, without, NULL);
        for (int i = 0; i < 2; i++) {
            if (!table_named(name[i])) continue;
            float *got = multiplied(&p, table_named(name[i]), NULL);
            if (memcmp(got, want, (size_t)(p.m * p.n) * sizeof *got))
                fail_msg("%s, %s, %lld rows: other bits than avx512", name[i], so_type_about(p.type)->name,
                         (long long)p.m);
            free(got);
        }
        free(want);
        drop(&p);
    }
}

static double distance(const float *a, const double *b, int64_t n)
{
    double sum = 0, all = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        all += b[i] * b[i];
    }
    return all > 0 ? sqrt(sum / all) : sqrt(sum);
}

/* The product of numbers that nobody rounded. */
static double *unrounded(const product *p)
{
    double *y = room((size_t)(p->m * p->n) * sizeof *y);
    float *w = room((size_t)p->k * sizeof *w);
    for (int64_t j = 0; j < p->n; j++) {
        so_dequantise_row(p->type, p->w + so_type_bytes(p->type, j * p->k), p->k, w);
        for (int64_t i = 0; i < p->m; i++) {
            double sum = p->bias ? (double)p->bias[j] : 0;
            for (int64_t c = 0; c < p->k; c++) sum += (double)w[c] * (double)p->x[i * p->k + c];
            y[i * p->n + j] = sum;
        }
    }
    free(w);
    return y;
}

/* As bf16 they stay nearer to unrounded products than bytes do; the same bits for every number of threads. */
static void tiles_of_bf16_are_finer_than_bytes(void **state)
{
    (void)state;
    so_rng rng;
    so_rng_init(&rng, 11, 1);
    for (int round = 0; round < 64 + TYPES; round++) {
        int64_t m = round < 64 ? round + 1 : 500; /* more rows than meet a piece of weights at a time */
        product p = random_product(&rng, types[round % TYPES], m);
        for (int64_t i = 0; i < p.m * p.k; i++) p.x[i] = (float)so_rng_normal(&rng);
        if (round >= 64) p.n = p.n < 40 ? p.n : 40;
        double *want = unrounded(&p);
        for (int i = 1; so_kernels_at(i); i++) {
            const so_kernels *k = so_kernels_at(i);
            if (!on_tiles(k)) continue;
            take_bytes(true);
            float *bytes = multiplied(&p, k, NULL);
            take_bytes(false);
            float *one = multiplied(&p, k, NULL), *many = multiplied(&p, k, pools[round % 2]);
            double coarse = distance(bytes, want, p.m * p.n), fine = distance(one, want, p.m * p.n);
            assert_memory_equal(one, many, (size_t)(p.m * p.n) * sizeof *one);
            if (m <= so_tiles.few ? memcmp(one, bytes, (size_t)(p.m * p.n) * sizeof *one) != 0
                                  : !(fine < 4e-3 && (fine < coarse || p.m * p.n < 100)))
                fail_msg("%s, %s, %lld x %lld x %lld: error %.3g as bf16, %.3g as bytes", k->name,
                         so_type_about(p.type)->name, (long long)m, (long long)p.n, (long long)p.k, fine, coarse);
            free(bytes);
            free(one);
            free(many);
        }
        free(want);
        drop(&p);
    }
    take_bytes(true);
}

/* The other cases once more with numbers in bf16, where their bars allow. */
static void tiles_of_bf16_keep_the_rules(void **state)
{
    take_bytes(false);
    a_number_that_is_not_finite_spoils_its_row_only(state);
    several_products_are_each_their_own(state);
    gated_products_are_their_factors(state);
    take_bytes(true);
}

static int open_pools(void **state)
{
    (void)state;
    so_error error;
    so_kernels_c(); /* the first call of all writes the plan */
    take_bytes(true);
    return so_pool_open(&pools[0], 2, &error) != SO_OK || so_pool_open(&pools[1], 3, &error) != SO_OK;
}

static int close_pools(void **state)
{
    (void)state;
    so_pool_close(&pools[0]);
    so_pool_close(&pools[1]);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(portable_is_what_the_blocks_say),
        cmocka_unit_test(tables_agree),
        cmocka_unit_test(a_number_that_is_not_finite_spoils_its_row_only),
        cmocka_unit_test(several_products_are_each_their_own),
        cmocka_unit_test(gated_products_are_their_factors),
        cmocka_unit_test(tiles_of_bytes_give_the_bits_of_avx512),
        cmocka_unit_test(tiles_of_bf16_are_finer_than_bytes),
        cmocka_unit_test(tiles_of_bf16_keep_the_rules),
    };
    return cmocka_run_group_tests(tests, open_pools, close_pools);
}
