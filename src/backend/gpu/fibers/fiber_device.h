/* A device for tests: the kernels' texts run on the host, threads as fibers (fibers.h). Its addresses are no pointers.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_GPU_FIBERS_FIBER_DEVICE_H
#define SO_BACKEND_GPU_FIBERS_FIBER_DEVICE_H

#include "backend/device.h"

/* Subgroups of 8, 16, 32 or 64 threads, resumed in an order drawn from `seed`. `watches`: after every launch all memory
 * is compared with what it was, but for what the launch declared to write; what goes wrong is the device's state. Only
 * one such device computes at a time. */
so_status so_fibers_open(so_device **out, int subgroup, uint64_t seed, bool watches, so_error *error);

#endif
