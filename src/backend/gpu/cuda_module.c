/* Kernels for CUDA: a module of its own, since nvcc takes minutes for them and most machines have no card for it.
 * SPDX-License-Identifier: Apache-2.0 */
#include <dlfcn.h>
#include <string.h>

#include "backend/gpu/cuda_api.h"
#include "base/module.h"
#include SO_GPU_SUM_FILE

so_status so_cuda_module(const so_cuda_code **code, so_error *error)
{
    char tried[SO_MODULE_TRIED];
    *code = NULL;
    void *module = so_module_open("stream-omni-cuda.so", "SO_CUDA_MODULE", false, tried);
    if (!module)
        return so_fail(error, SO_ERR_UNSUPPORTED,
                       "there are no kernels for CUDA (%.400s): './run build' makes them where nvcc is (docs/gpu.md); "
                       "vulkan may do",
                       tried);
    const char *sum = dlsym(module, "so_cuda_sum");
    const void *kernels = dlsym(module, "so_cuda_kernels");
    if (!sum || !kernels || strcmp(sum, SO_GPU_SUM) != 0) {
        dlclose(module);
        return so_fail(error, SO_ERR_UNSUPPORTED,
                       "the kernels for CUDA are not those of this program (%.400s): './run build' makes them anew",
                       tried);
    }
    *code = kernels; /* the module stays */
    return SO_OK;
}
