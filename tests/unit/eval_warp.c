/* Distances of speech at different pace.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "eval/tabletop/warp.h"

enum { BINS = 3 };

static void fill(float *x, int64_t n, int64_t every)
{
    for (int64_t i = 0; i < n; i++)
        for (int k = 0; k < BINS; k++) x[i * BINS + k] = (float)((i / every) * (i / every) % 17) + 0.5f * (float)k;
}

static void stretched_speech_is_equal(void **state)
{
    (void)state;
    float a[20 * BINS], b[60 * BINS];
    double d = -1;
    so_error e;
    fill(a, 20, 1);
    fill(b, 60, 3);
    CHECK_OK(so_warp(a, 20, b, 60, BINS, &d, &e), e);
    assert_true(d == 0);
    CHECK_OK(so_warp(b, 60, a, 20, BINS, &d, &e), e);
    assert_true(d == 0);
}

static void a_shift_of_level_is_its_size(void **state)
{
    (void)state;
    float a[10 * BINS], b[10 * BINS];
    double d = -1;
    so_error e;
    for (int i = 0; i < 10 * BINS; i++) a[i] = 1, b[i] = 1.25f;
    CHECK_OK(so_warp(a, 10, b, 10, BINS, &d, &e), e);
    assert_true(fabs(d - 0.25) < 1e-6);
}

/* Three frames against two, worked out by hand: the path (0,0) (1,0) (2,1) costs 0 + 1 + 0, one step more than two. */
static void by_hand(void **state)
{
    (void)state;
    const float a[] = {0, 1, 5}, b[] = {0, 5};
    double d = -1;
    so_error e;
    CHECK_OK(so_warp(a, 3, b, 2, 1, &d, &e), e);
    assert_true(fabs(d - 1.0 / 3) < 1e-12);
}

static void no_frames_are_refused(void **state)
{
    (void)state;
    float a[BINS] = {0};
    double d;
    so_error e;
    assert_int_equal(so_warp(a, 1, a, 0, BINS, &d, &e), SO_ERR_ARG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stretched_speech_is_equal),
        cmocka_unit_test(a_shift_of_level_is_its_size),
        cmocka_unit_test(by_hand),
        cmocka_unit_test(no_frames_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
