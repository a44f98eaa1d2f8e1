/* How fast a device copies within its memory.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <time.h>

#include "backend/device.h"

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Seconds that `times` copies of n numbers between two places take. */
static double time_copies(so_device *d, so_real *a, int64_t n, int times)
{
    float one;
    so_device_read(d, &one, a, sizeof one);
    double began = seconds();
    for (int i = 0; i < times; i++) so_device_kernels(d, false)->copy(so_device_pool(d), n, a, a + n);
    so_device_read(d, &one, a, sizeof one);
    return seconds() - began;
}

so_status so_device_rate(so_device *d, double *bytes_per_s, so_error *error)
{
    enum { LEAST = 1 << 14, MOST = 1 << 26, TIMES = 4 };
    const double enough = 0.02;
    void *block = NULL;
    *bytes_per_s = 0;
    int64_t n = MOST;
    while (n > LEAST && so_device_reserve(d, 2 * (size_t)n * sizeof(so_real), &block, error) != SO_OK) n /= 2;
    if (!block) SO_TRY(so_device_reserve(d, 2 * (size_t)n * sizeof(so_real), &block, error));
    for (int64_t some = LEAST; some <= n; some *= 2) {
        so_device_kernels(d, false)->fill(so_device_pool(d), 2 * some, 1, block);
        double took = time_copies(d, block, some, TIMES), rate = 2.0 * (double)some * sizeof(so_real) * TIMES / took;
        if (rate > *bytes_per_s) *bytes_per_s = rate;
        if (took > enough) break;
    }
    so_device_release(d, block);
    return so_device_state(d, error);
}
