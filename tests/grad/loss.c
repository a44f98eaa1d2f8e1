/* grad: every loss against central finite differences, in double.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "base/rng.h"
#include "nn/ops.h"

enum { MAX_LEAVES = 4 };

typedef struct problem {
    so_tensor leaf[MAX_LEAVES];
    int leaves;
    so_tensor *(*loss)(so_pass *pass, so_tensor *leaf);
} problem;

static void leaf_init(so_tensor *t, int64_t rows, int64_t cols, uint64_t seed)
{
    so_rng rng;
    so_rng_init(&rng, 11, seed);
    *t = (so_tensor){.type = SO_F32, .n_dims = 2, .dim = {rows, cols}, .wants_grad = true};
    so_real *x = malloc((size_t)(rows * cols) * sizeof *x);
    for (int64_t i = 0; i < rows * cols; i++) x[i] = so_rng_normal(&rng);
    t->data = x;
}

static double value(problem *p, so_arena *arena, bool record)
{
    so_pass pass;
    size_t mark = so_arena_mark(arena);
    so_pass_init(&pass, arena, NULL, so_kernels_c());
    pass.recording = record;
    for (int i = 0; i < p->leaves; i++)
        p->leaf[i].grad = record ? calloc((size_t)so_count(&p->leaf[i]), sizeof(so_real)) : p->leaf[i].grad;
    so_tensor *loss = p->loss(&pass, p->leaf);
    if (!so_ok(&pass)) fail_msg("%s", pass.error.text);
    double result = so_data(loss)[0];
    if (record && so_backward(&pass, loss, 1.5) != SO_OK) fail_msg("%s", pass.error.text);
    so_arena_release(arena, mark);
    return result;
}

/* Every element of every leaf; the seed is 1.5 so that a way back that forgets it is caught. */
static void check(problem *p)
{
    so_error error;
    so_arena arena;
    CHECK_OK(so_arena_init(&arena, (size_t)1 << 26, &error), error);
    double recorded = value(p, &arena, true), plain = value(p, &arena, false);
    assert_true(recorded == plain);
    double worst = 0, largest = 0;
    for (int l = 0; l < p->leaves; l++) {
        so_tensor *t = &p->leaf[l];
        for (int64_t i = 0; i < so_count(t); i++) {
            double x = so_data(t)[i], h = 1e-5;
            so_data(t)[i] = x + h;
            double up = value(p, &arena, false);
            so_data(t)[i] = x - h;
            double down = value(p, &arena, false);
            so_data(t)[i] = x;
            double numeric = 1.5 * (up - down) / (2 * h), error_now = fabs(numeric - t->grad[i]);
            if (error_now > worst) worst = error_now;
            if (fabs(numeric) > largest) largest = fabs(numeric);
        }
    }
    assert_true(largest > 1e-4);
    if (worst > 1e-6 * largest) fail_msg("gradient off by %.3g of %.3g", worst, largest);
    for (int l = 0; l < p->leaves; l++) {
        free(p->leaf[l].data);
        free(p->leaf[l].grad);
    }
    so_arena_clear(&arena);
}

static const int32_t LABEL[7] = {3, 0, -1, 5, 5, -100, 1};
static const so_real WEIGHT[7] = {1, 0.5, 3, 0.25, 0.25, 1, 2};

static so_tensor *plain_entropy(so_pass *pass, so_tensor *x) { return so_cross_entropy(pass, x, LABEL); }
static so_tensor *smooth_all(so_pass *pass, so_tensor *x)
{
    return so_cross_entropy_with(pass, x, LABEL, &(so_ce){.smoothing = 0.1, .weight = WEIGHT});
}
static so_tensor *smooth_others(so_pass *pass, so_tensor *x)
{
    return so_cross_entropy_with(pass, x, LABEL,
                                 &(so_ce){.smoothing = 0.2, .convention = SO_SMOOTH_OTHERS, .divide = 3});
}

static void cross_entropy(void **state)
{
    (void)state;
    so_tensor *(*each[])(so_pass *, so_tensor *) = {plain_entropy, smooth_all, smooth_others};
    for (int i = 0; i < 3; i++) {
        problem p = {.leaves = 1, .loss = each[i]};
        leaf_init(&p.leaf[0], 7, 6, 1);
        check(&p);
    }
}

/* Three sequences: repeats, an infeasible one, no labels; rows 0 and 20.. belong to nobody. */
static so_tensor *ctc(so_pass *pass, so_tensor *x)
{
    static const int64_t row0[] = {1, 11, 14}, rows[] = {10, 3, 6}, label0[] = {0, 4, 0}, n_labels[] = {4, 3, 0};
    static const int32_t labels[] = {1, 1, 4, 1, 2, 2, 0};
    return so_ctc_loss(pass, x,
                       &(so_ctc){.n_seqs = 3,
                                 .row0 = row0,
                                 .rows = rows,
                                 .label0 = label0,
                                 .n_labels = n_labels,
                                 .labels = labels,
                                 .blank = 3,
                                 .divide = 2.5});
}

static void ctc_loss(void **state)
{
    (void)state;
    problem p = {.leaves = 1, .loss = ctc};
    leaf_init(&p.leaf[0], 22, 5, 2);
    check(&p);
}

/* Labels that may not stand before a row of their own; the second sequence has one way only. */
static so_tensor *patient(so_pass *pass, so_tensor *x)
{
    static const int64_t row0[] = {0, 5}, rows[] = {5, 3}, label0[] = {0, 2}, n_labels[] = {2, 2};
    static const int32_t labels[] = {1, 2, 2, 2}, earliest[] = {1, 3, 0, 1};
    return so_ctc_loss(pass, x,
                       &(so_ctc){.n_seqs = 2,
                                 .row0 = row0,
                                 .rows = rows,
                                 .label0 = label0,
                                 .n_labels = n_labels,
                                 .labels = labels,
                                 .earliest = earliest,
                                 .blank = 0,
                                 .divide = 1});
}

/* Probability that rows [n] of three classes spell the labels, each standing on no row before its earliest: all 3^n
 * paths. */
static double by_paths(const so_real *x, int n, const int32_t *label, const int32_t *earliest, int labels)
{
    double sum = 0;
    for (int path = 0, all = (int)(pow(3, n) + 0.5); path < all; path++) {
        int at = -1, before = 0, rest = path, right = 1;
        double p = 1;
        for (int t = 0; t < n; t++, rest /= 3) {
            int now = rest % 3;
            const so_real *row = x + 3 * t;
            p *= exp(row[now]) / (exp(row[0]) + exp(row[1]) + exp(row[2]));
            if (now && now != before && (++at >= labels || label[at] != now)) right = 0;
            if (now && right && t < earliest[at]) right = 0;
            before = now;
        }
        if (right && at == labels - 1) sum += p;
    }
    return sum;
}

static void ctc_waits_for_what_is_heard(void **state)
{
    (void)state;
    problem p = {.leaves = 1, .loss = patient};
    leaf_init(&p.leaf[0], 8, 3, 9);
    so_error error;
    so_arena arena;
    CHECK_OK(so_arena_init(&arena, (size_t)1 << 20, &error), error);
    double expected = -log(by_paths(so_data(&p.leaf[0]), 5, (int32_t[]){1, 2}, (int32_t[]){1, 3}, 2)) -
                      log(by_paths(so_data(&p.leaf[0]) + 15, 3, (int32_t[]){2, 2}, (int32_t[]){0, 1}, 2));
    double found = value(&p, &arena, false);
    assert_true(fabs(found - expected) < 1e-12 * expected);
    so_arena_clear(&arena);
    check(&p);
}

static so_tensor *pairs(so_pass *pass, so_tensor *leaf)
{
    return so_sigmoid_pairs(pass, so_l2_norm(pass, &leaf[0], 1e-12), so_l2_norm(pass, &leaf[1], 1e-12), &leaf[2],
                            &leaf[3]);
}

static void sigmoid_pairs(void **state)
{
    (void)state;
    problem p = {.leaves = 4, .loss = pairs};
    for (int i = 0; i < 4; i++) leaf_init(&p.leaf[i], i < 2 ? 5 : 1, i < 2 ? 4 : 1, 3 + (uint64_t)i);
    so_data(&p.leaf[3])[0] = -2;
    check(&p);
}

static so_tensor *differences(so_pass *pass, so_tensor *leaf)
{
    static const so_real rows[] = {1, 0, 2, 0.5};
    so_tensor *parts[] = {so_mse(pass, &leaf[0], &leaf[1], rows), so_l1(pass, &leaf[0], &leaf[1], NULL),
                          so_mse(pass, &leaf[1], &leaf[0], NULL), so_l1(pass, &leaf[1], &leaf[0], rows)};
    return so_weighted_sum(pass, 4, parts, (so_real[]){1, 45, 0.5, -2});
}

static void mse_and_l1(void **state)
{
    (void)state;
    problem p = {.leaves = 2, .loss = differences};
    leaf_init(&p.leaf[0], 4, 3, 7);
    leaf_init(&p.leaf[1], 4, 3, 8);
    check(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(cross_entropy), cmocka_unit_test(ctc_loss),
                                       cmocka_unit_test(ctc_waits_for_what_is_heard), cmocka_unit_test(sigmoid_pairs),
                                       cmocka_unit_test(mse_and_l1)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
