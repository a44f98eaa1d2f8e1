/* Finding and opening a device by its name.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/gpu/cuda_api.h"
#if __has_include(<vulkan/vulkan.h>)
#include "backend/gpu/vulkan_api.h"
#else
#define SO_NO_VULKAN 1
#endif

static const char *const libcuda = "libcuda.so.1";

typedef enum family { VULKAN, CUDA } family;

/* "vulkan", "cuda:1": the family, and the number or -1. */
static so_status read_name(const char *name, family *of, long *number, so_error *error)
{
    static const char *const known[] = {"vulkan", "cuda"};
    char *end = NULL;
    *number = -1;
    for (int i = 0; i < 2; i++) {
        size_t n = strlen(known[i]);
        if (strncmp(name, known[i], n) != 0 || (name[n] && name[n] != ':')) continue;
        *of = (family)i;
        if (!name[n]) return SO_OK;
        *number = strtol(name + n + 1, &end, 10);
        if (*end || !name[n + 1] || *number < 0 || *number > 1000)
            return so_fail(error, SO_ERR_ARG, "'%.60s' is no device, expected %s:NUMBER", name, known[i]);
        return SO_OK;
    }
    return so_fail(error, SO_ERR_ARG,
                   "there is no device '%.60s', expected cpu, vulkan, cuda or one of them with :NUMBER", name);
}

static so_status no_such(const char *name, const char *whose, int n, so_error *error)
{
    return so_fail(error, SO_ERR_MISSING, "there is no device '%.60s': %s has %d (stream-omni inspect --devices)", name,
                   whose, n);
}

/* Whether a is to be taken rather than b: a card, then what has most memory. b.lacks is not empty at first. */
static bool better(const so_device_info *a, const so_device_info *b)
{
    if (a->lacks[0]) return false;
    return b->lacks[0] || (a->card && !b->card) || (a->card == b->card && a->memory > b->memory);
}

/* ---- CUDA */

static so_status list_cuda(so_device_info *out, int most, int *n, so_error *error)
{
    so_cuda c;
    SO_TRY(so_cuda_start(&c, libcuda, error));
    const so_cuda_code *code;
    bool kernels = so_cuda_module(&code, NULL) == SO_OK;
    for (int i = 0; i < c.n && *n < most; i++) {
        so_device_info *info = &out[(*n)++];
        so_cuda_describe(&c, i, info);
        if (!kernels && !info->lacks[0]) snprintf(info->lacks, sizeof info->lacks, "kernels-for-CUDA (docs/gpu.md)");
    }
    so_cuda_stop(&c);
    return SO_OK;
}

static so_status open_cuda(so_device **out, const char *name, long i, so_error *error)
{
    so_cuda c;
    so_device_info info, best = {.lacks = "?"};
    const so_cuda_code *code;
    int found = 0;
    SO_TRY(so_cuda_start(&c, libcuda, error));
    if (i >= c.n) {
        int n = c.n;
        so_cuda_stop(&c);
        return no_such(name, "CUDA", n, error);
    }
    for (int k = 0; k < c.n && i < 0; k++) {
        so_cuda_describe(&c, k, &info);
        if (!better(&info, &best)) continue;
        best = info;
        found = k;
    }
    so_status status = so_cuda_module(&code, error);
    if (status == SO_OK) return so_cuda_open(out, &c, i < 0 ? found : (int)i, code, error);
    so_cuda_stop(&c);
    return status;
}

/* ---- Vulkan */

#ifndef SO_NO_VULKAN
static so_status list_vulkan(so_device_info *out, int most, int *n, so_error *error)
{
    so_vulkan_instance v;
    SO_TRY(so_vulkan_start(&v, error));
    for (int i = 0; i < v.n && *n < most; i++) so_vulkan_describe(&v, i, &out[(*n)++]);
    so_vulkan_stop(&v);
    return SO_OK;
}

/* The best of those that can be used; or the first, to say what it lacks. */
static int best_of(const so_vulkan_instance *v)
{
    so_device_info info, best = {.lacks = "?"};
    int found = 0;
    for (int i = 0; i < v->n; i++) {
        so_vulkan_describe(v, i, &info);
        if (!better(&info, &best)) continue;
        best = info;
        found = i;
    }
    return found;
}

static so_status open_vulkan(so_device **out, const char *name, long i, so_error *error)
{
    so_vulkan_instance v;
    SO_TRY(so_vulkan_start(&v, error));
    if (i >= v.n) {
        int n = v.n;
        so_vulkan_stop(&v);
        return no_such(name, "Vulkan", n, error);
    }
    return so_vulkan_open(out, &v, i < 0 ? best_of(&v) : (int)i, error);
}
#else
static so_status list_vulkan(so_device_info *out, int most, int *n, so_error *error)
{
    (void)out;
    (void)most;
    (void)n;
    return so_fail(error, SO_ERR_UNSUPPORTED, "this program was built without Vulkan (Debian's package libvulkan-dev)");
}

static so_status open_vulkan(so_device **out, const char *name, long i, so_error *error)
{
    (void)out;
    (void)i;
    return so_fail(error, SO_ERR_UNSUPPORTED,
                   "device '%.60s': this program was built without Vulkan (Debian's package libvulkan-dev)", name);
}
#endif

so_status so_device_list(so_device_info *out, int most, int *n, so_error *error)
{
    so_error vulkan = {0}, cuda = {0};
    *n = 0;
    so_status first = list_vulkan(out, most, n, &vulkan), second = list_cuda(out, most, n, &cuda);
    if (first == SO_OK || second == SO_OK) return SO_OK;
    return so_fail(error, first, "%.400s; %.400s", vulkan.text, cuda.text);
}

so_status so_device_open(so_device **out, const char *name, so_error *error)
{
    family of = VULKAN;
    long i;
    *out = NULL;
    SO_TRY(read_name(name, &of, &i, error));
    return of == CUDA ? open_cuda(out, name, i, error) : open_vulkan(out, name, i, error);
}
