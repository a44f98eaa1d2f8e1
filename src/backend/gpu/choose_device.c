/* Finding and opening a device by its name.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/device.h"
#include "base/error.h"

static so_status check_name(const char *name, long *number, so_error *error)
{
    char *end = NULL;
    *number = -1;
    if (strcmp(name, "vulkan") != 0 && strncmp(name, "vulkan:", 7) != 0)
        return so_fail(error, SO_ERR_ARG, "there is no device '%.60s', expected cpu, vulkan or vulkan:NUMBER", name);
    if (name[6]) *number = strtol(name + 7, &end, 10);
    if (end && (*end || end == name + 7 || *number < 0))
        return so_fail(error, SO_ERR_ARG, "'%.60s' is no device, expected vulkan:NUMBER", name);
    return SO_OK;
}

#if __has_include(<vulkan/vulkan.h>)
#include "backend/gpu/vulkan_api.h"

so_status so_device_list(so_device_info *out, int most, int *n, so_error *error)
{
    so_vulkan_instance v;
    *n = 0;
    SO_TRY(so_vulkan_start(&v, error));
    for (int i = 0; i < v.n && i < most; i++) so_vulkan_describe(&v, i, &out[(*n)++]);
    so_vulkan_stop(&v);
    return SO_OK;
}

/* The best of those that can be used: a card, then what has most memory; or the first, to say what it lacks. */
static int best_of(const so_vulkan_instance *v)
{
    so_device_info info, best = {.lacks = "?"};
    int found = 0;
    for (int i = 0; i < v->n; i++) {
        so_vulkan_describe(v, i, &info);
        bool better =
            best.lacks[0] || (info.card && !best.card) || (info.card == best.card && info.memory > best.memory);
        if (info.lacks[0] || !better) continue;
        best = info;
        found = i;
    }
    return found;
}

so_status so_device_open(so_device **out, const char *name, so_error *error)
{
    so_vulkan_instance v;
    long i;
    *out = NULL;
    SO_TRY(check_name(name, &i, error));
    SO_TRY(so_vulkan_start(&v, error));
    if (i >= v.n) {
        int n = v.n;
        so_vulkan_stop(&v);
        return so_fail(error, SO_ERR_MISSING,
                       "there is no device '%.60s': Vulkan has %d (stream-omni inspect --devices)", name, n);
    }
    return so_vulkan_open(out, &v, i < 0 ? best_of(&v) : (int)i, error);
}
#else
so_status so_device_list(so_device_info *out, int most, int *n, so_error *error)
{
    (void)out;
    (void)most;
    *n = 0;
    return so_fail(error, SO_ERR_UNSUPPORTED, "this program was built without Vulkan (Debian's package libvulkan-dev)");
}

so_status so_device_open(so_device **out, const char *name, so_error *error)
{
    long i;
    *out = NULL;
    SO_TRY(check_name(name, &i, error));
    return so_fail(error, SO_ERR_UNSUPPORTED,
                   "device '%.60s': this program was built without Vulkan (Debian's package libvulkan-dev)", name);
}
#endif
