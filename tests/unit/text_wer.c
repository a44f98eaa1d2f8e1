/* eval/wer: counts of edits.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "base/edit.h"
#include "base/rng.h"
#include "eval/wer.h"

static so_error error;

static so_wer words(const char *reference, const char *hypothesis)
{
    so_wer wer = {0};
    CHECK_OK(so_wer_words(&wer, reference, strlen(reference), hypothesis, strlen(hypothesis), &error), error);
    return wer;
}

static void counts_each_kind(void **state)
{
    (void)state;
    so_wer w = words("the cat sat on the mat", " the cat  sit on mat now ");
    assert_int_equal(w.units, 6);
    assert_int_equal(w.substitutions + w.deletions + w.insertions, 3);
    w = words("a b c", "a c");
    assert_int_equal(w.deletions, 1);
    assert_int_equal(w.substitutions + w.insertions, 0);
    w = words("a c", "a b c");
    assert_int_equal(w.insertions, 1);
    w = words("a b", "x y");
    assert_int_equal(w.substitutions, 2);
    assert_true(fabs(so_wer_rate(&w) - 1) < 1e-12);
    w = words("", "a b");
    assert_int_equal(w.insertions, 2);
    assert_true(so_wer_rate(&w) == 1);
    w = words("", "");
    assert_true(so_wer_rate(&w) == 0);
}

static void sums_over_pairs_and_counts_characters(void **state)
{
    (void)state;
    so_wer w = {0};
    CHECK_OK(so_wer_words(&w, "a b c d", 7, "a b c d", 7, &error), error);
    CHECK_OK(so_wer_words(&w, "a b c d", 7, "", 0, &error), error);
    assert_int_equal(w.pairs, 2);
    assert_true(fabs(so_wer_rate(&w) - 0.5) < 1e-12);
    so_wer c = {0};
    CHECK_OK(so_wer_characters(&c, "\xe4\xbd\xa0\xe5\xa5\xbd", 6, "\xe4\xbd\xa0", 3, &error), error);
    assert_int_equal(c.units, 2);
    assert_int_equal(c.deletions, 1);
}

static int naive(const char *a, int n, const char *b, int m)
{
    if (n == 0 || m == 0) return n + m;
    int best = naive(a, n - 1, b, m - 1) + (a[n - 1] != b[m - 1]), other = naive(a, n - 1, b, m) + 1;
    if (other < best) best = other;
    other = naive(a, n, b, m - 1) + 1;
    return other < best ? other : best;
}

static void agrees_with_the_definition(void **state)
{
    (void)state;
    so_rng rng;
    so_rng_init(&rng, 3, 0);
    for (int round = 0; round < 300; round++) {
        char a[7], b[7];
        int n = (int)so_rng_below(&rng, 8), m = (int)so_rng_below(&rng, 8);
        for (int i = 0; i < n; i++) a[i] = (char)('a' + so_rng_below(&rng, 3));
        for (int i = 0; i < m; i++) b[i] = (char)('a' + so_rng_below(&rng, 3));
        so_wer w = {0};
        CHECK_OK(so_wer_characters(&w, a, (size_t)n, b, (size_t)m, &error), error);
        assert_int_equal(w.substitutions + w.deletions + w.insertions, naive(a, n, b, m));
        assert_int_equal(n - w.deletions + w.insertions, m);
    }
}

static void ids_agree_with_letters(void **state)
{
    (void)state;
    so_edits row[8];
    const int32_t a[] = {1, 2, 3, 4}, b[] = {1, 3, 3, 4, 5, 6};
    assert_int_equal(so_edit_distance(a, 4, b, 6, row), 3);
    assert_int_equal(row[6].substitutions, 1);
    assert_int_equal(row[6].insertions, 2);
    assert_int_equal(so_edit_distance(a, 4, b, 0, row), 4);
    assert_int_equal(row[0].deletions, 4);
    assert_int_equal(so_edit_distance(a, 0, b, 6, row), 6);
    assert_int_equal(so_edit_distance(a, 4, a, 4, row), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_each_kind),
        cmocka_unit_test(sums_over_pairs_and_counts_characters),
        cmocka_unit_test(agrees_with_the_definition),
        cmocka_unit_test(ids_agree_with_letters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
