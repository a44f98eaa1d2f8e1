/* What the kernels on matrix tiles do with stored blocks, and how the system is asked for the tiles.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_CPU_TILES_H
#define SO_BACKEND_CPU_TILES_H

#include <stdbool.h>
#include <stdint.h>

#include "backend/kernels.h"

/* How products with blocks are made. One plan for the process, written before kernels run (and by tests, between). */
typedef struct so_tile_plan {
    int64_t few;               /* up to so many rows go the way of the table below; at least SO_FEW_ROWS */
    bool bytes[SO_TYPE_COUNT]; /* more of them: weights and rows as signed bytes, the same sums as without tiles to the
                                  last bit; else both rounded to bf16, finer than int8 rounds the rows */
} so_tile_plan;
extern so_tile_plan so_tiles;

/* One operation by itself, for tests: c [16][64 bytes] += a [16][64], of whose rows `bytes` count, times b [bytes /
 * 4][64]. */
typedef enum so_tile_dot { SO_TILE_INT8, SO_TILE_INT8_SU, SO_TILE_INT8_US, SO_TILE_BF16 } so_tile_dot;
typedef void so_tile_try_fn(so_tile_dot dot, int bytes, const void *a, const void *b, void *c);
#if !defined(SO_DOUBLE) && defined(__x86_64__)
so_tile_try_fn so_tile_try_amx, so_tile_try_amx_double, so_tile_try_amx_plain; /* only where their tables are */
#endif

/* What the processor and the system say; a double of them in tests. */
typedef struct so_tile_system {
    /* Leaf and subleaf; false where the processor does not have it. Registers: a, b, c, d. */
    bool (*cpuid)(unsigned leaf, unsigned sub, unsigned reg[4]);
    uint64_t (*xgetbv)(void);   /* register 0; only asked where the system has enabled the instruction */
    long (*request)(int state); /* asks the system for the state of the tiles; 0, or -errno */
} so_tile_system;

/* Whether tiles may be used by every thread of this process; asks for permission. If not, `why` (128 bytes) says what
 * is missing, in a few words. */
bool so_tiles_granted(const so_tile_system *system, char why[128]);
/* This machine's; asked once, `why` stays readable. */
bool so_tiles_here(const char **why);

#endif
