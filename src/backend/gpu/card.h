/* What the files of the kernel table of graphics cards share.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_GPU_CARD_H
#define SO_BACKEND_GPU_CARD_H

#include <string.h>

#include "backend/gpu/launch.h"
#include "backend/gpu/texts/params.h"

/* A launch of TEXT with KIND and the parameters p. */
#define LAUNCH(TEXT, KIND, X, Y, Z, p)                                                                                 \
    so_gpu_launch launch = {.text = SO_GPU_##TEXT,                                                                     \
                            .kind = (int)(KIND),                                                                       \
                            .groups = {(uint32_t)(X), (uint32_t)(Y), (uint32_t)(Z)},                                   \
                            .bytes = (uint32_t)sizeof(p)};                                                             \
    _Static_assert(sizeof(p) <= SO_GPU_PARAMS, "too many parameters");                                                 \
    memcpy(launch.params, &(p), sizeof(p))

static inline uint64_t at(const void *address) { return (uint64_t)(uintptr_t)address; }
static inline size_t reals(int64_t n) { return (size_t)n * sizeof(so_real); }
static inline int64_t over(int64_t n, int64_t by) { return (n + by - 1) / by; }

/* Host numbers in shared memory, for a launch that follows at once: between so_gpu_hold and so_gpu_let. 0, and a failed
 * device, where there is no room. */
uint64_t so_gpu_lend(so_device *device, const void *host, size_t bytes);

/* A launch of element.k. */
typedef struct so_numbers_job {
    int kind;
    int64_t n, xs, cols, ys, each; /* xs, ys: numbers of x (0: n) and of y */
    float factor;
    const so_real *x, *y;
    so_real *z;
} so_numbers_job;
void so_gpu_numbers(so_pool *pool, const so_numbers_job *job);
/* A launch of norm.k; `out` numbers a row of y. */
void so_gpu_norm(so_pool *pool, int kind, const so_norm *norm, int64_t out);

#endif
