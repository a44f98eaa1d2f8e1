/* What is used of CUDA's driver, which is opened at run time: no toolkit is needed to build. Names and numbers are
 * those of its documentation ("CUDA Driver API"). SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_GPU_CUDA_API_H
#define SO_BACKEND_GPU_CUDA_API_H

#include "backend/gpu/launch.h"

enum so_cuda_numbers {
    SO_CUDA_OLDEST = 11040, /* version of the driver API: 11.4 */
    SO_CUDA_CAPABILITY = 75,
    SO_CUDA_MAJOR = 75, /* attributes of a device */
    SO_CUDA_MINOR = 76,
    SO_CUDA_INTEGRATED = 18,
    SO_CUDA_WARP = 10,
    SO_CUDA_HOST_MAPPED = 2, /* flags */
    SO_CUDA_STREAM_APART = 1,
    SO_CUDA_CAPTURE_RELAXED = 2 /* kernels may be loaded meanwhile */
};

enum so_cuda_result {
    SO_CUDA_OK = 0,
    SO_CUDA_NO_MEMORY = 2,
    SO_CUDA_UNAVAILABLE = 46,
    SO_CUDA_NO_DEVICE = 100,
    SO_CUDA_NO_BINARY = 209,
    SO_CUDA_ECC = 214,
    SO_CUDA_OLD_DRIVER = 222,
    SO_CUDA_NOT_FOUND = 500,
    SO_CUDA_ILLEGAL_ADDRESS = 700,
    SO_CUDA_TIMEOUT = 702,
    SO_CUDA_FAILED = 719,
    SO_CUDA_MISMATCH = 803
};

#define SO_CUDA_LAUNCH                                                                                                 \
    (void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared,    \
     void *stream, void **params, void **extra)

/* Field, name in libcuda, parameters. Addresses of the device are 64-bit numbers; contexts, modules, functions, streams
 * and graphs are pointers that only the driver follows. */
#define SO_CUDA_CALLS(X)                                                                                               \
    X(Init, "cuInit", (unsigned flags))                                                                                \
    X(DriverGetVersion, "cuDriverGetVersion", (int *version))                                                          \
    X(GetErrorName, "cuGetErrorName", (int result, const char **name))                                                 \
    X(DeviceGetCount, "cuDeviceGetCount", (int *n))                                                                    \
    X(DeviceGet, "cuDeviceGet", (int *device, int number))                                                             \
    X(DeviceGetName, "cuDeviceGetName", (char *name, int bytes, int device))                                           \
    X(DeviceTotalMem, "cuDeviceTotalMem_v2", (size_t * bytes, int device))                                             \
    X(DeviceGetAttribute, "cuDeviceGetAttribute", (int *value, int attribute, int device))                             \
    X(PrimaryRetain, "cuDevicePrimaryCtxRetain", (void **context, int device))                                         \
    X(PrimaryRelease, "cuDevicePrimaryCtxRelease_v2", (int device))                                                    \
    X(CtxSetCurrent, "cuCtxSetCurrent", (void *context))                                                               \
    X(MemGetInfo, "cuMemGetInfo_v2", (size_t * free, size_t * total))                                                  \
    X(MemAlloc, "cuMemAlloc_v2", (uint64_t * address, size_t bytes))                                                   \
    X(MemFree, "cuMemFree_v2", (uint64_t address))                                                                     \
    X(MemHostAlloc, "cuMemHostAlloc", (void **memory, size_t bytes, unsigned flags))                                   \
    X(MemFreeHost, "cuMemFreeHost", (void *memory))                                                                    \
    X(MemHostGetDevicePointer, "cuMemHostGetDevicePointer_v2", (uint64_t * address, void *memory, unsigned flags))     \
    X(MemcpyAsync, "cuMemcpyAsync", (uint64_t to, uint64_t from, size_t bytes, void *stream))                          \
    X(ModuleLoadData, "cuModuleLoadData", (void **module, const void *image))                                          \
    X(ModuleUnload, "cuModuleUnload", (void *module))                                                                  \
    X(ModuleGetFunction, "cuModuleGetFunction", (void **function, void *module, const char *name))                     \
    X(StreamCreate, "cuStreamCreate", (void **stream, unsigned flags))                                                 \
    X(StreamDestroy, "cuStreamDestroy_v2", (void *stream))                                                             \
    X(StreamSynchronize, "cuStreamSynchronize", (void *stream))                                                        \
    X(StreamBeginCapture, "cuStreamBeginCapture_v2", (void *stream, int mode))                                         \
    X(StreamEndCapture, "cuStreamEndCapture", (void *stream, void **graph))                                            \
    X(GraphInstantiate, "cuGraphInstantiateWithFlags", (void **exec, void *graph, unsigned long long flags))           \
    X(GraphLaunch, "cuGraphLaunch", (void *exec, void *stream))                                                        \
    X(GraphExecDestroy, "cuGraphExecDestroy", (void *exec))                                                            \
    X(GraphDestroy, "cuGraphDestroy", (void *graph))                                                                   \
    X(LaunchKernel, "cuLaunchKernel", SO_CUDA_LAUNCH)

/* The driver, opened. */
typedef struct so_cuda {
    void *library;
    int version, n; /* of the driver API; devices */
#define SO_CUDA_ONE(FIELD, NAME, PARAMS) int(*FIELD) PARAMS;
    SO_CUDA_CALLS(SO_CUDA_ONE)
#undef SO_CUDA_ONE
} so_cuda;

/* A text's kernels as the driver loads them (a fat binary, a cubin or PTX). */
typedef struct so_cuda_code {
    const void *data;
} so_cuda_code;
/* Those of all texts, from the module stream-omni-cuda.so; it stays open. SO_ERR_UNSUPPORTED where it is not there, or
 * of another build. */
so_status so_cuda_module(const so_cuda_code **code, so_error *error);

/* Opens the library of this name and counts its devices. SO_ERR_MISSING, SO_ERR_UNSUPPORTED where it is too old. */
so_status so_cuda_start(so_cuda *cuda, const char *library, so_error *error);
/* Accepts a zeroed one. */
void so_cuda_stop(so_cuda *cuda);
/* What device i is, and what it lacks. */
void so_cuda_describe(const so_cuda *cuda, int i, so_device_info *out);
/* Opens device i; takes the driver, also when it fails. */
so_status so_cuda_open(so_device **out, so_cuda *cuda, int i, const so_cuda_code *code, so_error *error);

#endif
