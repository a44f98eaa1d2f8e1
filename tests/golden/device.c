/* The reference numbers again with networks on a device: all of stream-omni-tiny and cosyvoice-tiny that a device
 * computes, with the host's bars, over Vulkan where there is a device; a few of them over fibers. SO_THOROUGH in the
 * environment: all sets, otherwise those that take seconds.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "backend/gpu/fibers/fiber_device.h"
#include "eval/golden/golden.h"

static void each(void *context, const so_golden_check *c)
{
    (void)context;
    if (getenv("SO_VERBOSE") && !c->reason)
        fprintf(stderr, "%s %s/%s: %.3g, bar %.3g\n", c->passed ? "ok  " : "FAIL", c->set, c->what, c->deviation,
                c->bar);
    if (!c->passed)
        fprintf(stderr, "FAIL %s/%s: %s off by %.3g, bar %.3g, relative L2 %.2g, %lld not finite\n", c->set,
                c->what ? c->what : "*", c->reason ? c->reason : "", c->deviation, c->bar, c->relative_l2,
                (long long)c->not_finite);
}

/* One folder on a device, which is closed. */
static void compare(so_device *device, const char *set, const char *only, int64_t checks)
{
    so_golden_result result;
    so_error error;
    so_golden_options options = {.threads = 1, .only = only};
    char folder[4096];
    snprintf(folder, sizeof folder, "%s", check_shared(set));
    CHECK_OK(so_golden_run_on(folder, device, &options, each, NULL, &result, &error), error);
    fprintf(stderr, "# %s %s: %lld comparisons in %lld sets, %lld failed, %lld skipped\n", set, only ? only : "",
            (long long)result.checks, (long long)result.sets, (long long)result.failed, (long long)result.skipped);
    assert_int_equal(result.failed, 0);
    assert_true(result.checks >= checks);
}

static so_device *fibers(void)
{
    so_error error;
    so_device *device;
    CHECK_OK(so_fibers_open(&device, &(so_fibers_options){.subgroup = 32, .seed = 11}, &error), error);
    return device;
}

/* NULL where there is no device, or where sanitizers would tell what its driver holds. */
static so_device *vulkan(void)
{
    so_error error;
    so_device *device = NULL;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    fprintf(stderr, "# SKIP: reference numbers over Vulkan: its drivers do not free what they hold\n");
    return NULL;
#endif
    if (so_device_open(&device, "vulkan", &error) != SO_OK)
        fprintf(stderr, "# SKIP: reference numbers over Vulkan: %s\n", error.text);
    return device;
}

static void model_on_fibers(void **state)
{
    (void)state;
    check_shared("reference/stream-omni-tiny");
    compare(fibers(), "reference/stream-omni-tiny", "s2s_2", 30);
}

static void model_over_vulkan(void **state)
{
    (void)state;
    bool all = getenv("SO_THOROUGH") != NULL;
    check_shared("reference/stream-omni-tiny");
    so_device *device = all ? vulkan() : NULL; /* minutes: a vocabulary of 128,000 rows on a processor's Vulkan */
    if (!all) fprintf(stderr, "# SKIP: reference numbers of a model over Vulkan take minutes (--thorough)\n");
    if (!device) skip();
    compare(device, "reference/stream-omni-tiny", NULL, 350);
}

static void codec_on_fibers(void **state)
{
    (void)state;
    check_shared("reference/cosyvoice-tiny");
    compare(fibers(), "reference/cosyvoice-tiny", "flow.n7", 8);
}

static void codec_over_vulkan(void **state)
{
    (void)state;
    static const char *const some[] = {"tok.", "hift.m10", "flow.n7"};
    check_shared("reference/cosyvoice-tiny");
    bool all = getenv("SO_THOROUGH") != NULL;
    for (int i = 0; i < (all ? 1 : 3); i++) {
        so_device *device = vulkan();
        if (!device) skip();
        compare(device, "reference/cosyvoice-tiny", all ? NULL : some[i], all ? 100 : 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(model_on_fibers),
        cmocka_unit_test(model_over_vulkan),
        cmocka_unit_test(codec_on_fibers),
        cmocka_unit_test(codec_over_vulkan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
