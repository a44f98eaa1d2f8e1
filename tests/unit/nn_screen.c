/* so_best_row: the same row as all exact products choose, on random heads, on rows that differ by next to nothing, on
 * outliers, zeros, ties and numbers that are not finite; every block type, every table.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "backend/cpu/ref/portable.h"
#include "base/quantise.h"
#include "nn/ops.h"
#include "nn/screen.h"

enum { D = 512, V = 3000, TYPES = 6 };
static const so_type types[TYPES] = {SO_Q8_0, SO_Q4_0, SO_Q5_0, SO_Q4_K, SO_Q5_K, SO_Q6_K};

typedef struct world {
    so_arena arena;
    so_pass pass;
    float *w, *x, *reach;
    so_tensor head;
} world;

static void open_world(world *a, so_type type)
{
    so_error error;
    memset(a, 0, sizeof *a);
    CHECK_OK(so_arena_init(&a->arena, (size_t)64 << 20, &error), error);
    so_pass_init(&a->pass, &a->arena, NULL, so_kernels_c());
    a->w = malloc(sizeof(float) * D * V);
    a->x = malloc(sizeof(float) * D);
    a->reach = malloc(sizeof(float) * V);
    a->head = (so_tensor){.type = type, .n_dims = 2, .dim = {V, D}, .data = malloc(so_type_bytes(type, D * V))};
    assert_non_null(a->head.data);
}

static void close_world(world *a)
{
    free(a->w);
    free(a->x);
    free(a->reach);
    free(a->head.data);
    so_arena_clear(&a->arena);
}

static void store(world *a)
{
    so_error error;
    for (int j = 0; j < V; j++)
        CHECK_OK(so_quantise_row(a->head.type, a->w + j * D, D,
                                 (char *)a->head.data + so_type_bytes(a->head.type, j * D), &error),
                 error);
    so_row_reach(NULL, &a->head, a->reach);
    for (int j = 0; j < V; j++) {
        float row[D];
        double sum = 0;
        so_dequantise_row(a->head.type, (char *)a->head.data + so_type_bytes(a->head.type, j * D), D, row);
        for (int i = 0; i < D; i++) sum += (double)row[i] * (double)row[i];
        assert_true((double)a->reach[j] >= sqrt(sum));
    }
}

/* Every table; gives the mean number of exact products. */
static int64_t agree(world *a)
{
    int64_t exact = 0, tables = 0;
    for (; so_kernels_at((int)tables); tables++) {
        a->pass.k = so_kernels_at((int)tables);
        so_tensor *x = so_constant(&a->pass, 2, (int64_t[]){1, D}, a->x);
        so_tensor *z = so_linear(&a->pass, x, &a->head, NULL);
        int64_t best = 0;
        for (int64_t j = 1; j < V; j++)
            if (so_data(z)[j] > so_data(z)[best]) best = j;
        assert_int_equal(so_best_row(&a->pass, x, &a->head, a->reach, &exact), best);
        assert_int_equal(so_best_row(&a->pass, x, &a->head, NULL, NULL), best);
        assert_int_equal(a->pass.error.status, SO_OK);
        so_arena_release(&a->arena, 0);
    }
    return exact / tables;
}

static void random_heads(void **state)
{
    (void)state;
    so_rng rng;
    so_rng_init(&rng, 3, 3);
    for (int t = 0; t < TYPES; t++) {
        world a;
        open_world(&a, types[t]);
        for (int i = 0; i < D * V; i++) a.w[i] = (float)so_rng_normal(&rng);
        store(&a);
        for (int round = 0; round < 4; round++) {
            for (int i = 0; i < D; i++) a.x[i] = (float)so_rng_normal(&rng) * (round == 3 && i % 97 == 5 ? 300 : 1);
            int64_t exact = agree(&a);
            assert_true(exact <
                        (round == 3 ? V / 10 : V / 50)); /* the screen spares work even where nothing stands out */
        }
        close_world(&a);
    }
}

/* A thousand rows that are almost one: the screen cannot tell them apart, the exact products must. */
static void rows_that_hardly_differ(void **state)
{
    (void)state;
    so_rng rng;
    so_rng_init(&rng, 4, 3);
    for (int t = 0; t < TYPES; t++)
        for (int round = 0; round < 3; round++) {
            world a;
            open_world(&a, types[t]);
            for (int i = 0; i < D; i++) a.x[i] = (float)so_rng_normal(&rng);
            for (int j = 0; j < V; j++)
                for (int i = 0; i < D; i++) {
                    double far = (double)a.x[i] * (round == 2 ? -1 : 0.1) + so_rng_normal(&rng) * 0.1;
                    a.w[j * D + i] = j % 10 == 7 ? a.x[i] + (float)(round * 1e-3 * so_rng_normal(&rng)) : (float)far;
                }
            store(&a);
            agree(&a);
            close_world(&a);
        }
}

/* Rows along the error of rounding: the screened order is the reverse of the exact one. */
static void rows_along_the_error(void **state)
{
    (void)state;
    so_rng rng;
    so_rng_init(&rng, 5, 3);
    for (int t = 0; t < TYPES; t++) {
        world a;
        open_world(&a, types[t]);
        float off[D];
        for (int i = 0; i < D; i++) a.x[i] = i % 32 == 0 ? 127 : (float)(floor(so_rng_uniform(&rng) * 20) + 0.49);
        for (int i = 0; i < D; i++) off[i] = a.x[i] - nearbyintf(a.x[i]);
        for (int j = 0; j < V; j++)
            for (int i = 0; i < D; i++)
                a.w[j * D + i] = off[i] * (float)(j % 50) / 50 + (float)so_rng_normal(&rng) * 0.02f;
        store(&a);
        agree(&a);
        close_world(&a);
    }
}

/* The same for so many rows at once that a scale serves 128 numbers, or that weights are rounded too: each row has the
 * best of all exact products. */
static void many_rows_at_once(void **state)
{
    (void)state;
    enum { M = 12 };
    so_rng rng;
    so_rng_init(&rng, 6, 3);
    for (int t = 0; t < TYPES; t++) {
        world a;
        open_world(&a, types[t]);
        float *x = malloc(sizeof(float) * M * D);
        for (int i = 0; i < D; i++) a.x[i] = i % 128 == 0 ? 127 : (float)(floor(so_rng_uniform(&rng) * 20) + 0.49);
        for (int j = 0; j < V; j++)
            for (int i = 0; i < D; i++)
                a.w[j * D + i] =
                    (a.x[i] - nearbyintf(a.x[i])) * (float)(j % 50) / 50 + (float)so_rng_normal(&rng) * 0.02f;
        store(&a);
        for (int i = 0; i < M * D; i++) x[i] = i < 6 * D ? a.x[i % D] * (float)(1 + i / D) : (float)so_rng_normal(&rng);
        for (int k = 0; so_kernels_at(k); k++) {
            int32_t best[M];
            a.pass.k = so_kernels_at(k);
            so_best_rows(&a.pass, so_constant(&a.pass, 2, (int64_t[]){M, D}, x), &a.head, a.reach, best, NULL);
            for (int r = 0; r < M; r++)
                if (best[r] !=
                    so_best_row(&a.pass, so_constant(&a.pass, 2, (int64_t[]){1, D}, x + r * D), &a.head, NULL, NULL))
                    fail_msg("%s, %s: row %d has another best row among %d", a.pass.k->name,
                             so_type_about(types[t])->name, r, M);
            so_arena_release(&a.arena, 0);
        }
        free(x);
        close_world(&a);
    }
}

static void ties_zeros_and_what_is_not_finite(void **state)
{
    (void)state;
    for (int t = 0; t < TYPES; t++) {
        world a;
        open_world(&a, types[t]);
        memset(a.w, 0, sizeof(float) * D * V);
        for (int i = 0; i < D; i++) a.x[i] = 1;
        store(&a);
        agree(&a); /* all are 0: the first */
        for (int j = 1000; j < V; j += 500)
            for (int i = 0; i < D; i++) a.w[j * D + i] = (float)(i % 9);
        store(&a);
        agree(&a); /* several are largest */
        memset(a.x, 0, sizeof(float) * D);
        agree(&a);
        a.x[7] = NAN;
        agree(&a);
        a.x[7] = INFINITY;
        agree(&a);
        a.x[7] = 1e38f;
        agree(&a);
        close_world(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_heads),
        cmocka_unit_test(rows_that_hardly_differ),
        cmocka_unit_test(rows_along_the_error),
        cmocka_unit_test(many_rows_at_once),
        cmocka_unit_test(ties_zeros_and_what_is_not_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
