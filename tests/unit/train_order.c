/* The order of data, and what each update learns from.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "train/batches.h"

static void a_permutation_meets_everything_once(void **state)
{
    (void)state;
    static uint8_t met[5000];
    for (int64_t n = 1; n < 5000; n = n * 2 + 1) {
        int64_t moved = 0;
        memset(met, 0, sizeof met);
        for (int64_t i = 0; i < n; i++) {
            int64_t at = so_shuffled(77, i, n);
            assert_true(at >= 0 && at < n && !met[at]);
            met[at] = 1;
            moved += at != i;
        }
        assert_true(n < 8 || moved > n / 2);
    }
}

static void blocks_hold_exact_shares(void **state)
{
    (void)state;
    so_error error;
    so_data_order o;
    const int64_t count[] = {70, 4000, 33};
    const double weight[] = {2, 7, 1};
    CHECK_OK(so_order_open(&o, 5, 3, count, weight, &error), error);
    assert_int_equal(o.block, 1000);
    int64_t first[1000];
    for (int block = 0; block < 3; block++) {
        int64_t met[3] = {0}, same = 0;
        for (int64_t g = 0; g < 1000; g++) {
            so_order_place p = so_order_at(&o, block * 1000 + g);
            met[p.source]++;
            if (block == 0) first[g] = p.source;
            same += first[g] == p.source;
        }
        assert_true(met[0] == 200 && met[1] == 700 && met[2] == 100);
        assert_true(block == 0 || same < 800); /* each block in an order of its own */
    }
    assert_true(fabs(so_order_epochs(&o, 0, 3500) - 10) < 1e-9);
    so_order_close(&o);
}

/* Records come once in an epoch, in another order in the next. */
static void epochs_are_whole(void **state)
{
    (void)state;
    so_error error;
    so_data_order o;
    const int64_t count[] = {70, 4000};
    const double weight[] = {1, 4};
    static uint8_t met[2][60][4000];
    int64_t last[2] = {0};
    CHECK_OK(so_order_open(&o, 9, 2, count, weight, &error), error);
    memset(met, 0, sizeof met);
    for (int64_t g = 0; g < 14000; g++) {
        so_order_place p = so_order_at(&o, g);
        assert_true(p.index >= 0 && p.index < count[p.source] && p.epoch < 60);
        assert_false(met[p.source][p.epoch][p.index]);
        assert_true(p.epoch >= last[p.source]); /* an epoch is over before the next begins */
        last[p.source] = p.epoch;
        met[p.source][p.epoch][p.index] = 1;
    }
    assert_int_equal(last[0], 39); /* 14 blocks of 200: 40 epochs of 70 */
    for (int e = 0; e < 40; e++)
        for (int i = 0; i < 70; i++) assert_true(met[0][e][i]);
    so_order_close(&o);
}

static void small_shares_make_larger_blocks(void **state)
{
    (void)state;
    so_error error;
    so_data_order o;
    const int64_t count[] = {10, 50000};
    const double weight[] = {10, 50000};
    CHECK_OK(so_order_open(&o, 1, 2, count, weight, &error), error);
    assert_true(o.block > 1000 && fabs(so_order_epochs(&o, 0, 50010) - 1) < 0.006);
    so_order_close(&o);
    const double tiny[] = {1e-9, 1};
    assert_int_equal(so_order_open(&o, 1, 2, count, tiny, &error), SO_ERR_ARG);
    assert_non_null(strstr(error.text, "less than one sample in 1000000"));
    const double none[] = {0, 1};
    assert_int_equal(so_order_open(&o, 1, 2, count, none, &error), SO_ERR_ARG);
    assert_int_equal(so_order_open(&o, 1, 0, count, none, &error), SO_ERR_ARG);
}

static so_batch_size length_of(void *context, const so_order_place *p)
{
    (void)context;
    int64_t rows = 20 + (p->index * 37 + p->source * 11) % 300;
    return (so_batch_size){rows, rows};
}

static void open_batches(so_batches *b, so_data_order *o, const so_batches_options *options)
{
    so_error error;
    const int64_t count[] = {500, 120};
    const double weight[] = {3, 1};
    CHECK_OK(so_order_open(o, 3, 2, count, weight, &error), error);
    CHECK_OK(so_batches_open(b, o, options, &error), error);
}

static void every_sample_is_dealt_once(void **state)
{
    (void)state;
    so_error error;
    so_data_order o;
    so_batches b;
    int64_t updates, next = 0, seen = 0;
    open_batches(&b, &o,
                 &(so_batches_options){.records = 48, .total = 1000, .slots = 8, .portion = 600, .measure = length_of});
    CHECK_OK(so_batches_count(&b, &updates, &error), error);
    assert_int_equal(updates, 21);
    for (int64_t u = 0; u < updates; u++) {
        uint8_t met[48] = {0};
        int64_t rows = 0;
        CHECK_OK(so_batches_plan(&b, u, &error), error);
        assert_int_equal(b.first, next);
        assert_int_equal(b.n, u + 1 < updates ? 48 : 1000 - 20 * 48);
        for (int slot = 0; slot < 8; slot++) {
            bool more = true;
            int64_t slot_rows = 0;
            for (int portion = 0; more; portion++) {
                int64_t from, n = so_batches_portion(&b, slot, portion, &from, &more), portion_rows = 0;
                for (int64_t i = from; i < from + n; i++) {
                    const so_batch_item *item = &b.item[i];
                    so_order_place at = so_order_at(&o, item->g);
                    assert_true(item->slot == slot && item->portion == portion && !met[item->g - b.first]);
                    assert_true(at.source == item->place.source && at.index == item->place.index);
                    met[item->g - b.first] = 1;
                    portion_rows += item->rows;
                    seen++;
                }
                assert_true(n == 1 || portion_rows <= 600);
                slot_rows += portion_rows;
            }
            rows += slot_rows;
            assert_true(b.n < 48 || slot_rows * 8 < 2 * b.rows); /* no slot waits long for another */
        }
        assert_int_equal(rows, b.rows);
        next = b.next;
    }
    assert_int_equal(seen, 1000);
    CHECK_OK(so_batches_plan(&b, updates, &error), error);
    assert_int_equal(b.n, 0);
    so_batches_close(&b);
    so_order_close(&o);
}

/* By a budget, any update can be asked for first. */
static void a_budget_is_kept_in_any_order(void **state)
{
    (void)state;
    so_error error;
    so_data_order o;
    so_batches b, other;
    int64_t updates;
    const so_batches_options options = {.budget = 3000, .total = 900, .slots = 4, .portion = 500, .measure = length_of};
    open_batches(&b, &o, &options);
    CHECK_OK(so_batches_count(&b, &updates, &error), error);
    assert_true(updates > 20);
    int64_t next = 0;
    for (int64_t u = 0; u < updates; u++) {
        CHECK_OK(so_batches_plan(&b, u, &error), error);
        assert_true(b.first == next && b.rows <= 3000 && b.n > 0);
        next = b.next;
    }
    assert_int_equal(next, 900);
    CHECK_OK(so_batches_open(&other, &o, &options, &error), error);
    const int64_t asked[] = {17, 3, 4, 20};
    for (int i = 0; i < 4; i++) {
        CHECK_OK(so_batches_plan(&b, asked[i], &error), error);
        so_batches_close(&other);
        CHECK_OK(so_batches_open(&other, &o, &options, &error), error);
        CHECK_OK(so_batches_plan(&other, asked[i], &error), error);
        assert_true(b.n == other.n && b.first == other.first);
        for (int64_t k = 0; k < b.n; k++)
            assert_true(b.item[k].g == other.item[k].g && b.item[k].slot == other.item[k].slot &&
                        b.item[k].portion == other.item[k].portion);
    }
    so_batches_close(&b);
    so_batches_close(&other);
    so_order_close(&o);
    so_batches_options both = options;
    both.records = 3;
    assert_int_equal(so_batches_open(&b, &o, &both, &error), SO_ERR_ARG);
    both = options;
    both.slots = 257;
    assert_int_equal(so_batches_open(&b, &o, &both, &error), SO_ERR_ARG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_permutation_meets_everything_once),
        cmocka_unit_test(blocks_hold_exact_shares),
        cmocka_unit_test(epochs_are_whole),
        cmocka_unit_test(small_shares_make_larger_blocks),
        cmocka_unit_test(every_sample_is_dealt_once),
        cmocka_unit_test(a_budget_is_kept_in_any_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
