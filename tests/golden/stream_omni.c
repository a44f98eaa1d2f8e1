/* Everything that so_golden_run compares: the model with stream-omni-tiny, the codec with cosyvoice-tiny.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "so_eval.h"

static void each(void *context, const so_golden_check *c)
{
    int verbose = getenv("SO_VERBOSE") != NULL;
    (void)context;
    if (c->reason) {
        fprintf(stderr, "%s %s/%s: %s\n", c->passed ? "not compared:" : "FAIL", c->set, c->what ? c->what : "*",
                c->reason);
        return;
    }
    if (!c->passed || verbose)
        fprintf(stderr, "%s %s/%s: %s%.3g, bar %.3g, relative L2 %.2g, %lld compared, %lld not finite\n",
                c->passed ? "ok  " : "FAIL", c->set, c->what, c->exact ? "places that differ " : "deviation ",
                c->deviation, c->bar, c->relative_l2, (long long)c->compared, (long long)c->not_finite);
}

static void compare(const char *set, int keep_types, int threads, int64_t checks, int64_t skipped)
{
    char folder[4096];
    so_golden_result result;
    so_error error;
    snprintf(folder, sizeof folder, "%s", check_shared(set));
    so_golden_options options = {.threads = threads, .keep_types = keep_types, .only = getenv("SO_ONLY")};
    CHECK_OK(so_golden_run(folder, &options, each, NULL, &result, &error), error);
    fprintf(stderr, "# %lld comparisons in %lld sets, %lld failed, %lld skipped\n", (long long)result.checks,
            (long long)result.sets, (long long)result.failed, (long long)result.skipped);
    assert_int_equal(result.failed, 0);
    if (options.only) return;
    assert_true(result.checks >= checks);
    assert_true(result.skipped <= skipped);
    assert_int_equal(result.left, 0);
}

static void expanded_to_f32(void **state)
{
    (void)state;
    compare("reference/stream-omni-tiny", 0, 1, 450, 0);
}

static void in_the_stored_type(void **state)
{
    (void)state;
    compare("reference/stream-omni-tiny", 1, 1, 440, 1);
}

static void codec(void **state)
{
    (void)state;
    compare("reference/cosyvoice-tiny", 0, 1, 410, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(expanded_to_f32), cmocka_unit_test(in_the_stored_type),
                                       cmocka_unit_test(codec)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
