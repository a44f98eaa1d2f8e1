/* Devices that a model may be opened on.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <stdio.h>
#include <time.h>

#include "checkpoint/model.h"

so_status so_list_devices(so_device_entry *out, int most, int *n, so_error *error)
{
    so_device_info found[SO_DEVICES];
    if (!out || !n) return so_fail(error, SO_ERR_ARG, "no place for a list of devices");
    SO_TRY(so_device_list(found, most < SO_DEVICES ? most : SO_DEVICES, n, error));
    for (int i = 0; i < *n; i++) {
        const so_device_info *f = &found[i];
        out[i] = (so_device_entry){.memory = f->memory, .free = f->free, .card = f->card, .subgroup = f->subgroup};
        for (int k = 0; k < 3; k++) out[i].piece[k] = f->piece[k];
        snprintf(out[i].name, sizeof out[i].name, "%.60s", f->name);
        snprintf(out[i].title, sizeof out[i].title, "%s", f->title);
        snprintf(out[i].driver, sizeof out[i].driver, "%s", f->driver);
        snprintf(out[i].lacks, sizeof out[i].lacks, "%s", f->lacks);
    }
    return SO_OK;
}

void so_model_device_work(const so_model *model, so_device_work *work)
{
    so_device_counts c;
    *work = (so_device_work){0};
    if (!model || !model->device) return;
    so_device_count(model->device, &c);
    *work = (so_device_work){c.launches, c.replayed, c.waits, c.bytes, c.reserved};
}

so_status so_model_device_state(const so_model *model, so_error *error)
{
    return so_device_state(model ? model->device : NULL, error);
}

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

so_status so_model_device_rate(const so_model *model, double *bytes_per_s, so_error *error)
{
    enum { LEAST = 1 << 18, MOST = 1 << 26, TIMES = 4 };
    const double enough = 0.02;
    void *block = NULL;
    *bytes_per_s = 0;
    if (!model || !model->device) return SO_OK;
    so_device *d = model->device;
    int64_t n = MOST;
    while (n > LEAST && so_device_reserve(d, 2 * (size_t)n * sizeof(so_real), &block, error) != SO_OK) n /= 2;
    if (!block) SO_TRY(so_device_reserve(d, 2 * (size_t)n * sizeof(so_real), &block, error));
    so_device_kernels(d, false)->fill(so_device_pool(d), 2 * n, 1, block);
    for (int64_t some = LEAST; some <= n; some *= 2) {
        double took = time_copies(d, block, some, TIMES), rate = 2.0 * (double)some * sizeof(so_real) * TIMES / took;
        if (rate > *bytes_per_s) *bytes_per_s = rate;
        if (took > enough) break;
    }
    so_device_release(d, block);
    return so_device_state(d, error);
}
