/* Operations on matrix tiles: eight registers of up to 16 rows of 64 bytes, and products of two of them added to a
 * third. Two sets of them: the instructions of AMX, and with SO_TILE_DOUBLE the same in plain C, so that what is
 * written over them runs on every machine.
 *
 *   tile_setup(shape)           how many rows and bytes of a row each register has; all become zero
 *   tile_release()              back to the state in which the system has nothing to save
 *   tile_zero(t)
 *   tile_load(t, from, stride)  the register's rows, `stride` bytes apart; what lies beyond its shape becomes zero
 *   tile_load_once(t, from, stride)  the same, where the rows pass by: leaves the first cache to what is read again
 *   tile_store(t, to, stride)
 *   tile_dot_int8(c, a, b)      c[i][j] += sum over l, u < 4 of a[i][4 l + u] b[l][4 j + u], signed bytes, in 32 bits
 * that wrap; _su: b is unsigned, _us: a is tile_dot_bf16(c, a, b)      c[i][j] += the sum over even places of a row of
 * a plus the sum over odd ones, each made upwards by fused multiply-adds in float from 0, a[i][2 l + u] b[l][2 j + u];
 * every result rounds to nearest even; subnormal numbers, read or made, are 0
 *
 * Registers are numbers known to the compiler. The instructions stand as text: the intrinsics of gcc 12 do not tell the
 * compiler that a load reads memory, so that it may move stores behind them.
 *
 * Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, and Instruction Set Extensions
 * Programming Reference, chapter 3 (AMX).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_CPU_X86_TILE_H
#define SO_BACKEND_CPU_X86_TILE_H

#include <stdint.h>

#include "backend/cpu/ref/portable.h"

enum { TILE_ROWS = 16, TILE_BYTES = 64, TILES = 8 };

/* As the instruction reads it. */
typedef struct tile_shape {
    uint8_t palette, start, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
} tile_shape;
_Static_assert(sizeof(tile_shape) == 64, "the processor reads 64 bytes");

/* Registers 0-3 hold sums, 4 and 5 rows of the left factor, 6 and 7 of the right one: `bytes` of a row of the left one,
 * a row of the right one for each 4 of them. */
static inline tile_shape tile_shape_of(int bytes)
{
    tile_shape s = {.palette = 1};
    for (int t = 0; t < TILES; t++) {
        s.rows[t] = (uint8_t)(t < 6 ? TILE_ROWS : bytes / 4);
        s.bytes[t] = (uint16_t)(t == 4 || t == 5 ? bytes : TILE_BYTES);
    }
    return s;
}

#if !defined(SO_TILE_DOUBLE)

static inline void tile_setup(const tile_shape *shape) { __asm__ volatile("ldtilecfg %0" ::"m"(*shape) : "memory"); }
static inline void tile_release(void) { __asm__ volatile("tilerelease" ::: "memory"); }
#define tile_zero(t) __asm__ volatile("tilezero %%tmm" #t ::: "memory")
#define tile_load(t, from, stride)                                                                                     \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #t ::"r"(from), "r"((int64_t)(stride)) : "memory")
#define tile_load_once(t, from, stride)                                                                                \
    __asm__ volatile("tileloaddt1 (%0,%1,1), %%tmm" #t ::"r"(from), "r"((int64_t)(stride)) : "memory")
#define tile_store(t, to, stride)                                                                                      \
    __asm__ volatile("tilestored %%tmm" #t ", (%0,%1,1)" ::"r"(to), "r"((int64_t)(stride)) : "memory")
#define tile_dot_int8(c, a, b) __asm__ volatile("tdpbssd %%tmm" #b ", %%tmm" #a ", %%tmm" #c ::: "memory")
#define tile_dot_int8_su(c, a, b) __asm__ volatile("tdpbsud %%tmm" #b ", %%tmm" #a ", %%tmm" #c ::: "memory")
#define tile_dot_int8_us(c, a, b) __asm__ volatile("tdpbusd %%tmm" #b ", %%tmm" #a ", %%tmm" #c ::: "memory")
#define tile_dot_bf16(c, a, b) __asm__ volatile("tdpbf16ps %%tmm" #b ", %%tmm" #a ", %%tmm" #c ::: "memory")

#else
#include "backend/cpu/x86/tile_double.h"
#endif
#endif
