/* Measuring networks on a device.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "eval/speed/speed_run.h"

so_status so_bench_open_device(so_bench *b, const char *name, so_error *error)
{
    double rate = 0;
    if (!name || strcmp(name, "cpu") == 0) return SO_OK;
    SO_TRY(so_device_open(&b->device, name, error));
    b->kernels = so_device_kernels(b->device, false);
    SO_TRY(so_device_rate(b->device, &rate, error));
    b->device_rate = 1e-9 * rate;
    return SO_OK;
}

void so_bench_close_device(so_bench *b) { so_device_close(&b->device); }

so_status so_bench_use_device(const so_bench *b, so_pass *pass, so_arena *numbers, void **block, so_error *error)
{
    if (!b->device) return SO_OK;
    size_t most = so_device_largest(b->device), left = so_device_left(b->device) / 2 / 4096 * 4096;
    size_t bytes = left < most ? left : most;
    SO_TRY(so_device_reserve(b->device, bytes, block, error));
    so_arena_over(numbers, *block, bytes);
    so_pass_use(pass, b->device, numbers);
    return SO_OK;
}

void so_bench_wait(so_pass *pass)
{
    float one;
    if (pass->device) so_device_read(pass->device, &one, pass->data->base, sizeof one);
}
