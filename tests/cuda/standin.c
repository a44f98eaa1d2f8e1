/* A stand-in for libcuda, NVIDIA's driver library: the calls of src/backend/gpu/cuda_api.h over memory of the host.
 * Kernels are found by their names and run as fibers, which is a real computation; a stream runs everything in its
 * order, a graph keeps what was captured. Addresses of the device are no pointers. It is stricter than a driver: a call
 * without the context of the caller's thread, groups of another size than the kernel's, or memory that nobody has is an
 * error. standin_set makes it old, small, empty or lost; standin_held counts what was not given back.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/gpu/cuda_api.h"
#include "backend/gpu/fibers/fiber_device.h"
#include "backend/gpu/fibers/fibers.h"
#include SO_GPU_SUM_FILE

enum { INVALID_VALUE = 1, INVALID_CONTEXT = 201, MOST_OPS = 4096 };

#define ONE(NAME, THREADS) extern const so_fiber_kernel so_fiber_kernel_##NAME;
SO_GPU_TEXTS(ONE)
#undef ONE
static const so_fiber_kernel *const kernels[SO_GPU_TEXT_COUNT] = {
#define ONE(NAME, THREADS) &so_fiber_kernel_##NAME,
    SO_GPU_TEXTS(ONE)
#undef ONE
};

typedef struct op {
    so_gpu_launch launch;
    uint64_t to, from;
    size_t bytes; /* of a copy; 0: a launch */
} op;
typedef struct ops {
    op *item;
    int n;
} ops;
typedef struct module {
    int text;
} module;
typedef struct found {
    int text, kind;
    struct found *before;
} found;

static struct {
    int version, devices, major;
    size_t memory, taken; /* bytes of the device */
    int lost_after, load; /* launches until the device is lost, -1: never; what loading a module gives */
    bool lost;
    int contexts, streams, graphs, modules, blocks;
    so_gpu_opened fibers;
    ops *capturing;
    found *functions;
} at = {.version = 12040, .devices = 1, .major = 8, .memory = (size_t)1 << 30, .lost_after = -1};
static _Thread_local void *current;
static int context;

/* As stream-omni-cuda.so has them: an image is the name of its text. */
extern const so_cuda_code so_cuda_kernels[SO_GPU_TEXT_COUNT];
extern const char so_cuda_sum[];
#define ONE(NAME, THREADS) {#NAME},
__attribute__((visibility("default"))) const so_cuda_code so_cuda_kernels[SO_GPU_TEXT_COUNT] = {SO_GPU_TEXTS(ONE)};
#undef ONE
__attribute__((visibility("default"))) const char so_cuda_sum[] = SO_GPU_SUM;

void standin_set(const char *what, long value);
int standin_held(void);
__attribute__((visibility("default"))) void standin_set(const char *what, long value)
{
    if (strcmp(what, "version") == 0) at.version = (int)value;
    if (strcmp(what, "devices") == 0) at.devices = (int)value;
    if (strcmp(what, "major") == 0) at.major = (int)value;
    if (strcmp(what, "memory") == 0) at.memory = (size_t)value;
    if (strcmp(what, "lost") == 0) at.lost_after = (int)value, at.lost = false;
    if (strcmp(what, "load") == 0) at.load = (int)value;
}

/* Contexts, streams, graphs, modules and pieces of memory that are open. */
__attribute__((visibility("default"))) int standin_held(void)
{
    return at.contexts + at.streams + at.graphs + at.modules + at.blocks;
}

/* What is wrong with any call now. */
static int state(void)
{
    if (current != &context) return INVALID_CONTEXT;
    return at.lost ? SO_CUDA_FAILED : SO_CUDA_OK;
}

#define CALL __attribute__((visibility("default"))) int
int cuInit(unsigned);
int cuDriverGetVersion(int *);
int cuGetErrorName(int, const char **);
int cuDeviceGetCount(int *);
int cuDeviceGet(int *, int);
int cuDeviceGetName(char *, int, int);
int cuDeviceTotalMem_v2(size_t *, int);
int cuDeviceGetAttribute(int *, int, int);
int cuDevicePrimaryCtxRetain(void **, int);
int cuDevicePrimaryCtxRelease_v2(int);
int cuCtxSetCurrent(void *);
int cuMemGetInfo_v2(size_t *, size_t *);
int cuMemAlloc_v2(uint64_t *, size_t);
int cuMemFree_v2(uint64_t);
int cuMemHostAlloc(void **, size_t, unsigned);
int cuMemFreeHost(void *);
int cuMemHostGetDevicePointer_v2(uint64_t *, void *, unsigned);
int cuMemcpyAsync(uint64_t, uint64_t, size_t, void *);
int cuModuleLoadData(void **, const void *);
int cuModuleUnload(void *);
int cuModuleGetFunction(void **, void *, const char *);
int cuStreamCreate(void **, unsigned);
int cuStreamDestroy_v2(void *);
int cuStreamSynchronize(void *);
int cuStreamBeginCapture_v2(void *, int);
int cuStreamEndCapture(void *, void **);
int cuGraphInstantiateWithFlags(void **, void *, unsigned long long);
int cuGraphLaunch(void *, void *);
int cuGraphExecDestroy(void *);
int cuGraphDestroy(void *);
int cuLaunchKernel SO_CUDA_LAUNCH;

CALL cuInit(unsigned flags) { return flags ? INVALID_VALUE : SO_CUDA_OK; }
CALL cuDriverGetVersion(int *version) { return *version = at.version, SO_CUDA_OK; }
CALL cuDeviceGetCount(int *n) { return *n = at.devices, at.devices ? SO_CUDA_OK : SO_CUDA_NO_DEVICE; }
CALL cuDeviceGet(int *device, int number) { return *device = number, number < at.devices ? SO_CUDA_OK : INVALID_VALUE; }

CALL cuGetErrorName(int result, const char **name)
{
    *name = result == SO_CUDA_FAILED       ? "CUDA_ERROR_LAUNCH_FAILED"
            : result == SO_CUDA_NO_MEMORY  ? "CUDA_ERROR_OUT_OF_MEMORY"
            : result == SO_CUDA_OLD_DRIVER ? "CUDA_ERROR_UNSUPPORTED_PTX_VERSION"
            : result == INVALID_CONTEXT    ? "CUDA_ERROR_INVALID_CONTEXT"
                                           : "CUDA_ERROR_OF_THE_STANDIN";
    return SO_CUDA_OK;
}

CALL cuDeviceGetName(char *name, int bytes, int device)
{
    (void)device;
    snprintf(name, (size_t)bytes, "stand-in of the tests");
    return SO_CUDA_OK;
}

CALL cuDeviceTotalMem_v2(size_t *bytes, int device)
{
    (void)device;
    *bytes = at.memory;
    return SO_CUDA_OK;
}

CALL cuDeviceGetAttribute(int *value, int attribute, int device)
{
    (void)device;
    *value = attribute == SO_CUDA_MAJOR   ? at.major
             : attribute == SO_CUDA_MINOR ? 0
             : attribute == SO_CUDA_WARP  ? 32
                                          : 0;
    return SO_CUDA_OK;
}

CALL cuDevicePrimaryCtxRetain(void **out, int device)
{
    (void)device;
    so_error error;
    so_fibers_options o = {.subgroup = 32, .seed = 1};
    if (so_fibers_driver(&at.fibers, &o, &error) != SO_OK) return SO_CUDA_NO_MEMORY;
    at.contexts++;
    *out = &context;
    return SO_CUDA_OK;
}

CALL cuDevicePrimaryCtxRelease_v2(int device)
{
    (void)device;
    at.contexts--;
    at.fibers.driver->close(at.fibers.self);
    while (at.functions) {
        found *f = at.functions;
        at.functions = f->before;
        free(f);
    }
    current = NULL;
    return SO_CUDA_OK;
}

CALL cuCtxSetCurrent(void *c) { return current = c, SO_CUDA_OK; }

CALL cuMemGetInfo_v2(size_t *free_bytes, size_t *total)
{
    *total = at.memory;
    *free_bytes = at.memory - at.taken;
    return state();
}

/* ---- memory */

CALL cuMemAlloc_v2(uint64_t *address, size_t bytes)
{
    so_error error;
    if (state()) return state();
    if (bytes > at.memory - at.taken) return SO_CUDA_NO_MEMORY;
    at.taken += bytes;
    if (at.fibers.driver->reserve(at.fibers.self, bytes, address, &error) != SO_OK) return SO_CUDA_NO_MEMORY;
    at.blocks++;
    return SO_CUDA_OK;
}

CALL cuMemFree_v2(uint64_t address)
{
    if (current != &context) return INVALID_CONTEXT;
    size_t bytes = at.fibers.driver->release(at.fibers.self, address);
    if (!bytes) return INVALID_VALUE;
    at.taken -= bytes;
    at.blocks--;
    return SO_CUDA_OK;
}

CALL cuMemHostAlloc(void **memory, size_t bytes, unsigned flags)
{
    uint64_t address;
    if (!(flags & SO_CUDA_HOST_MAPPED)) return INVALID_VALUE;
    at.memory += bytes; /* it is the host's */
    int result = cuMemAlloc_v2(&address, bytes);
    if (result == SO_CUDA_OK) *memory = (void *)(uintptr_t)(address - SO_FIBER_AWAY);
    return result;
}

CALL cuMemFreeHost(void *memory)
{
    size_t before = at.taken;
    int result = cuMemFree_v2((uint64_t)(uintptr_t)memory + SO_FIBER_AWAY);
    at.memory -= before - at.taken;
    return result;
}

CALL cuMemHostGetDevicePointer_v2(uint64_t *address, void *memory, unsigned flags)
{
    *address = (uint64_t)(uintptr_t)memory + SO_FIBER_AWAY;
    return flags ? INVALID_VALUE : state();
}

/* ---- what runs */

static void do_op(const op *o)
{
    if (o->bytes)
        at.fibers.driver->copy(at.fibers.self, o->to, o->from, o->bytes);
    else
        at.fibers.driver->launch(at.fibers.self, &o->launch);
    at.fibers.driver->barrier(at.fibers.self); /* in the stream's order */
}

static int take(const op *o)
{
    if (state()) return state();
    if (!at.capturing) {
        if (!o->bytes && at.lost_after == 0) return at.lost = true, SO_CUDA_FAILED;
        if (!o->bytes && at.lost_after > 0) at.lost_after--;
        do_op(o);
        return SO_CUDA_OK;
    }
    if (at.capturing->n == MOST_OPS) return SO_CUDA_NO_MEMORY;
    at.capturing->item[at.capturing->n++] = *o;
    return SO_CUDA_OK;
}

CALL cuMemcpyAsync(uint64_t to, uint64_t from, size_t bytes, void *stream)
{
    return stream ? take(&(op){.to = to, .from = from, .bytes = bytes}) : INVALID_VALUE;
}

/* An image is the name of its text. */
CALL cuModuleLoadData(void **out, const void *image)
{
    if (state() || at.load) return state() ? state() : at.load;
    for (int t = 0; t < SO_GPU_TEXT_COUNT; t++) {
        if (strcmp(image, so_gpu_text_name[t]) != 0) continue;
        module *m = malloc(sizeof *m);
        if (!m) return SO_CUDA_NO_MEMORY;
        m->text = t;
        at.modules++;
        *out = m;
        return SO_CUDA_OK;
    }
    return SO_CUDA_NO_BINARY;
}

CALL cuModuleUnload(void *m)
{
    free(m);
    at.modules--;
    return SO_CUDA_OK;
}

CALL cuModuleGetFunction(void **out, void *of, const char *name)
{
    const module *m = of;
    size_t n = strlen(so_gpu_text_name[m->text]);
    if (state()) return state();
    if (strncmp(name, so_gpu_text_name[m->text], n) != 0 || name[n] != '_') return SO_CUDA_NOT_FOUND;
    found *f = malloc(sizeof *f);
    if (!f) return SO_CUDA_NO_MEMORY;
    *f = (found){m->text, atoi(name + n + 1), at.functions};
    *out = at.functions = f;
    return SO_CUDA_OK;
}

CALL cuLaunchKernel SO_CUDA_LAUNCH
{
    const found *f = function;
    const so_fiber_kernel *k = kernels[f->text];
    if (!stream || extra || shared || (int)bx != k->threads || by != 1 || bz != 1) return INVALID_VALUE;
    if (!gx || !gy || !gz || gy > 65535 || gz > 65535) return INVALID_VALUE;
    op o = {
        .launch = {.text = (so_gpu_text)f->text, .kind = f->kind, .groups = {gx, gy, gz}, .bytes = (uint32_t)k->bytes}};
    memcpy(o.launch.params, params[0], k->bytes);
    return take(&o);
}

/* ---- streams and graphs */

CALL cuStreamCreate(void **stream, unsigned flags)
{
    (void)flags;
    at.streams++;
    *stream = malloc(1);
    return state();
}

CALL cuStreamDestroy_v2(void *stream)
{
    at.streams--;
    free(stream);
    return SO_CUDA_OK;
}

CALL cuStreamSynchronize(void *stream) { return !stream || at.capturing ? INVALID_VALUE : state(); }

CALL cuStreamBeginCapture_v2(void *stream, int mode)
{
    if (!stream || mode != SO_CUDA_CAPTURE_RELAXED || at.capturing) return INVALID_VALUE;
    if (state()) return state();
    at.capturing = calloc(1, sizeof *at.capturing);
    if (at.capturing) at.capturing->item = calloc(MOST_OPS, sizeof *at.capturing->item);
    return at.capturing && at.capturing->item ? SO_CUDA_OK : SO_CUDA_NO_MEMORY;
}

CALL cuStreamEndCapture(void *stream, void **graph)
{
    if (!stream || !at.capturing) return INVALID_VALUE;
    *graph = at.capturing;
    at.capturing = NULL;
    at.graphs++;
    return state();
}

/* The graph itself: what is launched is what was captured. */
CALL cuGraphInstantiateWithFlags(void **exec, void *graph, unsigned long long flags)
{
    *exec = graph;
    return flags ? INVALID_VALUE : state();
}

CALL cuGraphLaunch(void *exec, void *stream)
{
    const ops *o = exec;
    if (!stream || at.capturing) return INVALID_VALUE;
    for (int i = 0; !state() && i < o->n; i++) do_op(&o->item[i]);
    return state();
}

CALL cuGraphExecDestroy(void *exec) { return exec ? SO_CUDA_OK : INVALID_VALUE; }

CALL cuGraphDestroy(void *graph)
{
    ops *o = graph;
    free(o->item);
    free(o);
    at.graphs--;
    return SO_CUDA_OK;
}
