/* train: packing by length.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "train/pack.h"

enum { N = 1000 };

static void every_item_once_within_the_budget(void **state)
{
    (void)state;
    so_error error;
    so_rng rng;
    so_rng_init(&rng, 1, 0);
    int64_t length[N];
    for (int i = 0; i < N; i++) length[i] = so_rng_range(&rng, 20, 400);
    length[17] = 5000; /* longer than the budget: alone */
    so_packing p, q;
    so_pack_options o = {.budget = 2000, .most = 40, .window = 500};
    so_rng again = rng;
    CHECK_OK(so_pack(&p, length, N, &o, &rng, &error), error);
    CHECK_OK(so_pack(&q, length, N, &o, &again, &error), error);
    assert_memory_equal(p.item, q.item, N * sizeof *p.item);
    int seen[N] = {0};
    int64_t padded = 0;
    for (int64_t b = 0; b < p.batches; b++) {
        int64_t longest = 0, n = p.start[b + 1] - p.start[b];
        assert_in_range(n, 1, 40);
        for (int64_t i = p.start[b]; i < p.start[b + 1]; i++) {
            seen[p.item[i]]++;
            if (length[p.item[i]] > longest) longest = length[p.item[i]];
        }
        assert_true(n * longest <= 2000 || n == 1);
        padded += n * longest;
    }
    for (int i = 0; i < N; i++) assert_int_equal(seen[i], 1);
    assert_int_equal(padded, p.padded);
    assert_true((double)p.padded < (double)p.rows * 1.06); /* 1.6 or more without sorting */
    so_packing_close(&p);
    CHECK_OK(so_pack(&p, length, N, &o, &rng, &error), error); /* another epoch, another order */
    assert_memory_not_equal(p.item, q.item, N * sizeof *p.item);
    so_packing_close(&p);
    so_packing_close(&q);
}

static void odd_requests(void **state)
{
    (void)state;
    so_error error;
    so_rng rng;
    so_rng_init(&rng, 1, 0);
    so_packing p;
    int64_t length[2] = {0, -1};
    CHECK_OK(so_pack(&p, length, 0, &(so_pack_options){.budget = 5}, &rng, &error), error);
    assert_int_equal(p.batches, 0);
    so_packing_close(&p);
    CHECK_OK(so_pack(&p, length, 1, &(so_pack_options){.budget = 5}, &rng, &error), error);
    assert_int_equal(p.batches, 1);
    so_packing_close(&p);
    assert_int_equal(so_pack(&p, length, 2, &(so_pack_options){.budget = 5}, &rng, &error), SO_ERR_ARG);
    assert_int_equal(so_pack(&p, length, 1, &(so_pack_options){.budget = 0}, &rng, &error), SO_ERR_ARG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_item_once_within_the_budget),
                                       cmocka_unit_test(odd_requests)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
