/* The loops behind so_peak_measure, one set for each instruction set.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_CPU_PEAK_LOOPS_H
#define SO_BACKEND_CPU_PEAK_LOOPS_H

#include <stddef.h>
#include <stdint.h>

enum { SO_PEAK_AHEAD = 4096 }; /* bytes that reading asks for ahead: without, two threads got 43 of 50 GB/s */

/* n turns of independent chains, `ops_*` operations a turn; NULL where the kernels have no such instruction. The
 * results mean nothing. */
typedef struct so_peak_loops {
    float (*f32)(int64_t n), (*bf16)(int64_t n), (*int8)(int64_t n);
    double ops_f32, ops_bf16, ops_int8;
    float (*read)(const void *p, size_t bytes); /* touches every byte once; bytes a multiple of 64 */
} so_peak_loops;

void so_peak_loops_avx2(so_peak_loops *loops);
void so_peak_loops_avx512(so_peak_loops *loops);
void so_peak_loops_amx(so_peak_loops *loops);

#endif
