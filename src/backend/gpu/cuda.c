/* A device driven through CUDA: one stream, in which everything runs in its order; recordings are graphs. See launch.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/gpu/cuda_api.h"

enum { SHARED_BYTES = 16 << 20 };

typedef struct block {
    uint64_t at;
    size_t bytes;
} block;

typedef struct cuda {
    so_cuda api;
    const so_cuda_code *code;
    int device;
    void *context, *stream;
    void *shared; /* pinned memory of the host that the device sees */
    void *module[SO_GPU_TEXT_COUNT];
    void *function[SO_GPU_TEXT_COUNT][SO_GPU_KINDS];
    block *block;
    int n_blocks, room;
    struct graph *recording; /* that is being made */
    void *owner;             /* the so_device, for so_gpu_fail */
} cuda;

/* A recording. */
typedef struct graph {
    void *graph, *exec;
} graph;

static void word(const cuda *c, int result, char *text, size_t size)
{
    const char *name = NULL;
    if (c->api.GetErrorName(result, &name) != SO_CUDA_OK || !name) name = "unknown";
    const char *advice = "";
    switch (result) {
    case SO_CUDA_NO_MEMORY:
        advice = ": out of device memory";
        break;
    case SO_CUDA_NO_BINARY:
        advice = ": the program has no kernels for this card: build it with SO_CUDA_ARCHS naming its architecture";
        break;
    case SO_CUDA_OLD_DRIVER:
        advice = ": the driver is older than the compiler of the kernels: a newer driver is needed, or a build with "
                 "SO_CUDA_ARCHS naming the card's architecture";
        break;
    case SO_CUDA_UNAVAILABLE:
        advice = ": another program has the card for itself";
        break;
    case SO_CUDA_ECC:
    case SO_CUDA_ILLEGAL_ADDRESS:
    case SO_CUDA_TIMEOUT:
    case SO_CUDA_FAILED:
        advice =
            ": the device is lost for this process (a kernel failed or hung, or memory did): start the program again";
        break;
    default:
        break;
    }
    snprintf(text, size, "%.80s (%d)%s", name, result, advice);
}

static bool fine(cuda *c, int result, const char *doing)
{
    char text[400];
    if (result == SO_CUDA_OK) return true;
    word(c, result, text, sizeof text);
    so_gpu_fail(c->owner, result == SO_CUDA_NO_MEMORY ? SO_ERR_NOMEM : SO_ERR_IO, "%s: %s", doing, text);
    return false;
}

/* Calls come from several threads, in turn: the context has to be the caller's. */
static bool enter(cuda *c) { return fine(c, c->api.CtxSetCurrent(c->context), "entering"); }

/* ---- memory */

static so_status reserve(void *self, size_t bytes, uint64_t *address, so_error *error)
{
    cuda *c = self;
    char text[400];
    if (c->n_blocks == c->room) {
        int room = c->room ? 2 * c->room : 16;
        block *more = realloc(c->block, (size_t)room * sizeof *more);
        if (!more) return so_fail(error, SO_ERR_NOMEM, "no memory for a list of blocks");
        c->block = more;
        c->room = room;
    }
    int result = c->api.CtxSetCurrent(c->context);
    if (result == SO_CUDA_OK) result = c->api.MemAlloc(address, bytes);
    if (result != SO_CUDA_OK) {
        word(c, result, text, sizeof text);
        return so_fail(error, SO_ERR_NOMEM, "the device has no %zu bytes in one piece left: %s", bytes, text);
    }
    c->block[c->n_blocks++] = (block){*address, bytes};
    return SO_OK;
}

static size_t release(void *self, uint64_t address)
{
    cuda *c = self;
    size_t bytes = 0;
    for (int i = 0; i < c->n_blocks; i++) {
        if (c->block[i].at != address) continue;
        bytes = c->block[i].bytes;
        c->block[i] = c->block[--c->n_blocks];
        if (enter(c)) fine(c, c->api.MemFree(address), "giving memory back");
        break;
    }
    return bytes;
}

static void copy(void *self, uint64_t to, uint64_t from, size_t bytes)
{
    cuda *c = self;
    if (enter(c)) fine(c, c->api.MemcpyAsync(to, from, bytes, c->stream), "copying");
}

/* ---- launches */

static void *find_function(cuda *c, so_gpu_text text, int kind)
{
    char name[64];
    if (!c->module[text] &&
        !fine(c, c->api.ModuleLoadData(&c->module[text], c->code[text].data), so_gpu_text_name[text]))
        return NULL;
    snprintf(name, sizeof name, "%s_%d", so_gpu_text_name[text], kind);
    void **function = &c->function[text][kind];
    if (!*function && !fine(c, c->api.ModuleGetFunction(function, c->module[text], name), name)) *function = NULL;
    return *function;
}

static void launch(void *self, const so_gpu_launch *l)
{
    cuda *c = self;
    unsigned char params[SO_GPU_PARAMS];
    void *list[] = {params};
    if (!enter(c)) return;
    void *function = find_function(c, l->text, l->kind);
    if (!function) return;
    memcpy(params, l->params, l->bytes);
    fine(c,
         c->api.LaunchKernel(function, l->groups[0], l->groups[1], l->groups[2], (unsigned)so_gpu_text_threads[l->text],
                             1, 1, 0, c->stream, list, NULL),
         so_gpu_text_name[l->text]);
}

/* In one stream launches wait for each other, and begin by themselves. */
static void nothing(void *self) { (void)self; }

static void wait_done(void *self)
{
    cuda *c = self;
    if (c->stream && enter(c)) fine(c, c->api.StreamSynchronize(c->stream), "waiting");
}

/* ---- recordings */

static void *record(void *self)
{
    cuda *c = self;
    graph *g = calloc(1, sizeof *g);
    if (g && enter(c) && fine(c, c->api.StreamBeginCapture(c->stream, SO_CUDA_CAPTURE_RELAXED), "recording")) {
        c->recording = g;
        return g;
    }
    free(g);
    return NULL;
}

static void recorded(void *self)
{
    cuda *c = self;
    graph *g = c->recording;
    c->recording = NULL;
    if (fine(c, c->api.StreamEndCapture(c->stream, &g->graph), "recording"))
        fine(c, c->api.GraphInstantiate(&g->exec, g->graph, 0), "recording");
}

static void replay(void *self, void *recording, const so_gpu_launch *now)
{
    (void)now;
    cuda *c = self;
    const graph *g = recording;
    if (enter(c)) fine(c, c->api.GraphLaunch(g->exec, c->stream), "replaying");
}

static void forget(void *self, void *recording)
{
    cuda *c = self;
    graph *g = recording;
    if (enter(c)) {
        if (g->exec) c->api.GraphExecDestroy(g->exec);
        if (g->graph) c->api.GraphDestroy(g->graph);
    }
    free(g);
}

/* ---- opening */

static void drive(void *self, void *device) { ((cuda *)self)->owner = device; }

static void close_cuda(void *self)
{
    cuda *c = self;
    c->owner = NULL;
    if (c->context && c->api.CtxSetCurrent(c->context) == SO_CUDA_OK) {
        for (int i = 0; i < c->n_blocks; i++) c->api.MemFree(c->block[i].at);
        for (int t = 0; t < SO_GPU_TEXT_COUNT; t++)
            if (c->module[t]) c->api.ModuleUnload(c->module[t]);
        if (c->shared) c->api.MemFreeHost(c->shared);
        if (c->stream) c->api.StreamDestroy(c->stream);
    }
    if (c->context) c->api.PrimaryRelease(c->device);
    so_cuda_stop(&c->api);
    free(c->block);
    free(c);
}

static so_status refused(const cuda *c, const char *doing, int result, so_error *error)
{
    char text[400];
    word(c, result, text, sizeof text);
    return so_fail(error, result == SO_CUDA_NO_MEMORY ? SO_ERR_NOMEM : SO_ERR_IO, "%s: %s", doing, text);
}

static so_status open_parts(cuda *c, int i, so_gpu_opened *opened, so_error *error)
{
    size_t all;
    so_cuda_describe(&c->api, i, &opened->about);
    const so_device_info *about = &opened->about;
    if (about->lacks[0])
        return so_fail(error, SO_ERR_UNSUPPORTED, "%s (%s, %s) cannot be used, it lacks: %s", about->name, about->title,
                       about->driver, about->lacks);
    int result = c->api.DeviceGet(&c->device, i);
    if (result == SO_CUDA_OK) result = c->api.PrimaryRetain(&c->context, c->device);
    if (result == SO_CUDA_OK) result = c->api.CtxSetCurrent(c->context);
    if (result == SO_CUDA_OK) result = c->api.StreamCreate(&c->stream, SO_CUDA_STREAM_APART);
    if (result == SO_CUDA_OK) result = c->api.MemGetInfo(&opened->about.free, &all);
    if (result != SO_CUDA_OK) return refused(c, about->name, result, error);
    result = c->api.MemHostAlloc(&c->shared, SHARED_BYTES, SO_CUDA_HOST_MAPPED);
    if (result == SO_CUDA_OK) result = c->api.MemHostGetDevicePointer(&opened->shared_at, c->shared, 0);
    if (result != SO_CUDA_OK) return refused(c, "memory that host and device share", result, error);
    opened->shared = c->shared;
    opened->shared_bytes = SHARED_BYTES;
    opened->largest = (size_t)1 << 30;
    return SO_OK;
}

so_status so_cuda_open(so_device **out, so_cuda *api, int i, const so_cuda_code *code, so_error *error)
{
    static const so_gpu_driver driver = {.drive = drive,
                                         .reserve = reserve,
                                         .release = release,
                                         .launch = launch,
                                         .copy = copy,
                                         .barrier = nothing,
                                         .submit = nothing,
                                         .wait = wait_done,
                                         .close = close_cuda,
                                         .record = record,
                                         .recorded = recorded,
                                         .replay = replay,
                                         .forget = forget};
    cuda *c = calloc(1, sizeof *c);
    *out = NULL;
    if (!c) {
        so_cuda_stop(api);
        return so_fail(error, SO_ERR_NOMEM, "no memory for a device");
    }
    c->api = *api;
    c->code = code;
    so_gpu_opened opened = {.driver = &driver, .self = c};
    so_status status = open_parts(c, i, &opened, error);
    if (status != SO_OK) {
        close_cuda(c);
        return status;
    }
    return so_gpu_open(out, &opened, error);
}
