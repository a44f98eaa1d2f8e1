/* What every test program includes: cmocka, paths to the reference files, and the three bars of a numeric comparison.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#ifndef SO_TESTS_CHECK_H
#define SO_TESTS_CHECK_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "so_status.h"

#define CHECK_OK(call, error)                                                                                          \
    do {                                                                                                               \
        so_status check_status_ = (call);                                                                              \
        if (check_status_ != SO_OK) fail_msg("%s: %s", #call, (error).text);                                           \
    } while (0)

/* Path of a file below the reference folder (SO_SHARED, else ../shared beside the checkout), which may be absent. The
 * result lives until the next call. */
static inline const char *check_shared_path(const char *relative)
{
    static char path[4096];
    const char *root = getenv("SO_SHARED");
    if (root)
        snprintf(path, sizeof path, "%s/%s", root, relative);
    else
        snprintf(path, sizeof path, "%s/../shared/%s", SO_SOURCE_DIR, relative);
    return path;
}

static inline bool check_has_shared(const char *relative) { return access(check_shared_path(relative), R_OK) == 0; }

/* The same path, of a file that is there: skips the test, loudly and counted, when it is not. Not for the setup of a
 * group, where skipping is a failure. */
static inline const char *check_shared(const char *relative)
{
    if (!check_has_shared(relative)) {
        fprintf(stderr, "# SKIP: %s is absent\n", relative);
        skip();
    }
    return check_shared_path(relative);
}

/* Fails unless got is finite, within max_abs of expected relative to the largest expected value (at least 1e-30), and
 * within rel_l2 as a whole. A bar of 0 demands equality, a negative one is not checked. */
static inline void check_close(const char *name, const float *got, const float *expected, int64_t n, double max_abs,
                               double rel_l2)
{
    double worst = 0, scale = 1e-30, d2 = 0, e2 = 1e-300;
    int64_t bad = 0;
    for (int64_t i = 0; i < n; i++) {
        double d = fabs((double)got[i] - (double)expected[i]);
        if (!isfinite((double)got[i]) && isfinite((double)expected[i])) bad++;
        if (d > worst) worst = d;
        if (fabs((double)expected[i]) > scale) scale = fabs((double)expected[i]);
        d2 += d * d;
        e2 += (double)expected[i] * (double)expected[i];
    }
    double l2 = sqrt(d2 / e2);
    if (bad || (max_abs >= 0 && worst / scale > max_abs) || (rel_l2 >= 0 && l2 > rel_l2))
        fail_msg("%s: max-abs/scale %.3g (bar %.3g), relative L2 %.3g (bar %.3g), %lld non-finite", name, worst / scale,
                 max_abs, l2, rel_l2, (long long)bad);
}

#endif
