/* Devices that CUDA's driver offers. See cuda_api.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "backend/gpu/cuda_api.h"
#include "base/symbol.h"

/* The first function that the library does not have, NULL: it has all. */
static const char *find_functions(so_cuda *c)
{
    const char *lacks = NULL;
#define ONE(FIELD, NAME, PARAMS)                                                                                       \
    if (!so_symbol(c->library, NAME, &c->FIELD) && !lacks) lacks = NAME;
    SO_CUDA_CALLS(ONE)
#undef ONE
    return lacks;
}

static so_status check_driver(so_cuda *c, so_error *error)
{
    const char *lacks = find_functions(c);
    if (c->DriverGetVersion && c->DriverGetVersion(&c->version) == SO_CUDA_OK && c->version < SO_CUDA_OLDEST)
        return so_fail(error, SO_ERR_UNSUPPORTED,
                       "the driver knows CUDA %d.%d, expected %d.%d or newer: a newer driver is needed",
                       c->version / 1000, c->version % 1000 / 10, SO_CUDA_OLDEST / 1000, SO_CUDA_OLDEST % 1000 / 10);
    if (lacks)
        return so_fail(error, SO_ERR_UNSUPPORTED, "the driver's libcuda has no %s: a newer driver is needed", lacks);
    int result = c->Init(0);
    if (result == SO_CUDA_OK) result = c->DeviceGetCount(&c->n);
    if (result == SO_CUDA_MISMATCH)
        return so_fail(error, SO_ERR_MISSING,
                       "CUDA cannot be used: its library and the driver in the kernel are of different versions (a "
                       "restart after an update mends that)");
    if (result != SO_CUDA_OK || c->n < 1)
        return so_fail(error, SO_ERR_MISSING, "CUDA has no device (error %d): no card, or this user may not use it",
                       result);
    return SO_OK;
}

so_status so_cuda_start(so_cuda *c, const char *library, so_error *error)
{
    *c = (so_cuda){.library = dlopen(library, RTLD_NOW | RTLD_LOCAL)};
    if (!c->library)
        return so_fail(error, SO_ERR_MISSING, "CUDA is not installed (%s, of NVIDIA's driver), or not to be had here",
                       library);
    so_status status = check_driver(c, error);
    if (status != SO_OK) so_cuda_stop(c);
    return status;
}

void so_cuda_stop(so_cuda *c)
{
    if (c->library) dlclose(c->library);
    *c = (so_cuda){0};
}

static int attribute(const so_cuda *c, int what, int device)
{
    int value = 0;
    return c->DeviceGetAttribute(&value, what, device) == SO_CUDA_OK ? value : 0;
}

void so_cuda_describe(const so_cuda *c, int i, so_device_info *out)
{
    int device = 0;
    *out = (so_device_info){.subgroup = 32, .piece = {16, 16, 16}};
    snprintf(out->name, sizeof out->name, "cuda:%d", i);
    snprintf(out->driver, sizeof out->driver, "CUDA %d.%d", c->version / 1000, c->version % 1000 / 10);
    if (c->DeviceGet(&device, i) != SO_CUDA_OK) {
        snprintf(out->lacks, sizeof out->lacks, "an-answer-of-the-driver");
        return;
    }
    int capability = 10 * attribute(c, SO_CUDA_MAJOR, device) + attribute(c, SO_CUDA_MINOR, device);
    if (c->DeviceGetName(out->title, (int)sizeof out->title, device) != SO_CUDA_OK) out->title[0] = 0;
    out->title[sizeof out->title - 1] = 0;
    if (c->DeviceTotalMem(&out->memory, device) != SO_CUDA_OK) out->memory = 0;
    out->free = out->memory;
    out->piece_bf16 = capability >= 80;
    out->card = !attribute(c, SO_CUDA_INTEGRATED, device);
    if (capability < SO_CUDA_CAPABILITY)
        snprintf(out->lacks, sizeof out->lacks, "compute-capability-%d.%d", SO_CUDA_CAPABILITY / 10,
                 SO_CUDA_CAPABILITY % 10);
    else if (attribute(c, SO_CUDA_WARP, device) != 32)
        snprintf(out->lacks, sizeof out->lacks, "warps-of-32");
}
