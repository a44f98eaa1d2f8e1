/* Reference numbers with networks on a device: what the programs that compare them share.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TESTS_GOLDEN_ON_DEVICE_H
#define SO_TESTS_GOLDEN_ON_DEVICE_H

#include "check.h"

#include "backend/gpu/fibers/fiber_device.h"
#include "card.h"
#include "eval/golden/golden.h"

static inline void each(void *context, const so_golden_check *c)
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
static inline void compare(so_device *device, const char *set, const char *only, int64_t checks)
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

static inline so_device *fibers(void)
{
    so_error error;
    so_device *device;
    CHECK_OK(so_fibers_open(&device, &(so_fibers_options){.subgroup = 32, .seed = 11}, &error), error);
    return device;
}

#endif
