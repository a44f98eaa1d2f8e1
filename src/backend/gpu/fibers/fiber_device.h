/* A device for tests: the kernels' texts run on the host, threads as fibers (fibers.h). Its addresses are no pointers.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_GPU_FIBERS_FIBER_DEVICE_H
#define SO_BACKEND_GPU_FIBERS_FIBER_DEVICE_H

#include "backend/gpu/launch.h"

typedef struct so_fibers_options {
    int subgroup;   /* 8, 16, 32 or 64 threads */
    uint64_t seed;  /* of the order in which threads and launches run */
    bool watches;   /* after every launch all memory is compared with what it was, but for what the launch declared to
                       write; what goes wrong is the device's state */
    size_t memory;  /* bytes it has; 0: as many as the host gives */
    size_t largest; /* so_device_largest; 0: 1 GiB */
} so_fibers_options;

/* Only one such device computes at a time. */
so_status so_fibers_open(so_device **out, const so_fibers_options *options, so_error *error);
/* Its driver alone, for who drives it otherwise. */
so_status so_fibers_driver(so_gpu_opened *opened, const so_fibers_options *options, so_error *error);

#endif
