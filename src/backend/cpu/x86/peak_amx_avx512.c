/* Limits of the machine with AMX: products of tiles into four registers of sums.
 * SPDX-License-Identifier: Apache-2.0 */
#if !defined(SO_DOUBLE) && defined(__x86_64__)
#include "backend/cpu/peak_loops.h"
#include "backend/cpu/x86/tile.h"

enum { TURN = 4, OF = 16 }; /* products of a turn, and turns of other loops for one of these */

static float end_of(float *sums)
{
    tile_store(0, sums, TILE_BYTES);
    tile_release();
    return sums[0];
}

static void begin(const float *zeros)
{
    const tile_shape shape = tile_shape_of(TILE_BYTES);
    tile_setup(&shape);
    tile_load(4, zeros, TILE_BYTES);
    tile_load(5, zeros, TILE_BYTES);
    tile_load(6, zeros, TILE_BYTES);
    tile_load(7, zeros, TILE_BYTES);
}

static float tiles_bf16(int64_t n)
{
    float sums[TILE_ROWS * 16] = {0};
    begin(sums);
    for (int64_t i = 0; i < n / OF; i++) {
        tile_dot_bf16(0, 4, 6);
        tile_dot_bf16(1, 4, 7);
        tile_dot_bf16(2, 5, 6);
        tile_dot_bf16(3, 5, 7);
    }
    return end_of(sums);
}

static float tiles_int8(int64_t n)
{
    float sums[TILE_ROWS * 16] = {0};
    begin(sums);
    for (int64_t i = 0; i < n / OF; i++) {
        tile_dot_int8(0, 4, 6);
        tile_dot_int8(1, 4, 7);
        tile_dot_int8(2, 5, 6);
        tile_dot_int8(3, 5, 7);
    }
    return end_of(sums);
}

void so_peak_loops_amx(so_peak_loops *loops)
{
    so_peak_loops_avx512(loops);
    loops->bf16 = tiles_bf16;
    loops->int8 = tiles_int8;
    loops->ops_bf16 = TURN * 2.0 * 16 * 16 * 32 / OF;
    loops->ops_int8 = TURN * 2.0 * 16 * 16 * 64 / OF;
}
#endif
