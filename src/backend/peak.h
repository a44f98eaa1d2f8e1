/* What this machine can do at most, measured by loops that do nothing else: the yardstick of `stream-omni bench`.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_PEAK_H
#define SO_BACKEND_PEAK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/pool.h"

/* All threads of a pool together. Rates of products count two operations for a multiply and an add, in 1e9 a second; 0
 * where the kernels of this machine do not use such an instruction. */
typedef struct so_peak {
    double f32, bf16, int8;
    double read; /* GB/s of memory beyond the caches */
} so_peak;

/* Each rate is the best of several short runs; about a second in all. `processor_time` counts the calling thread's time
 * (the pool should then be NULL). SO_ERR_NOMEM without memory to read. */
so_status so_peak_measure(so_peak *peak, so_pool *pool, bool processor_time, so_error *error);

/* GB/s of reading `bytes` at `data` (much more than the caches hold; of more than a GB the first), once, by all
 * threads: what memory gives at this moment, which neighbours on a shared machine change from one second to the next.
 */
double so_peak_read(so_pool *pool, const void *data, size_t bytes, bool processor_time);

#endif
