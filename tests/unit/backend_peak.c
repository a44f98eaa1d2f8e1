/* The limits of the machine are numbers that make sense; no time is asserted.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "backend/peak.h"

static void limits_are_positive(void **state)
{
    (void)state;
    so_error error = {0};
    so_peak peak;
    so_pool *pool = NULL;
    CHECK_OK(so_pool_open(&pool, 2, &error), error);
    for (int i = 0; i < 2; i++) {
        CHECK_OK(so_peak_measure(&peak, i ? pool : NULL, !i, &error), error);
        assert_true(isfinite(peak.f32) && peak.f32 > 0);
        assert_true(isfinite(peak.read) && peak.read > 0);
        assert_true(isfinite(peak.bf16) && peak.bf16 >= 0);
        assert_true(isfinite(peak.int8) && peak.int8 >= 0);
    }
    so_pool_close(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(limits_are_positive)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
