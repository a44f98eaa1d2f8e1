/* Numbers into tiles of bf16, and sums out of them.
 *
 * A tile of the left factor has 16 rows of 32 numbers along k; one of the right factor has a row for each pair along k,
 * with 16 columns side by side. They are 1 KiB each; of a strip of 16 rows or columns the tiles follow each other along
 * k.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_CPU_X86_TILE_PACK_H
#define SO_BACKEND_CPU_X86_TILE_PACK_H

#include <string.h>

#include "backend/cpu/x86/tile.h"

#if defined(__AVX512F__)
#include "backend/cpu/x86/simd.h"
#else
static inline int least(int64_t a, int64_t b) { return (int)(a < b ? a : b); }
#endif

enum { TILE_DEEP = 32, TILE_NUMBERS = 512 /* of a tile of bf16 */, DEEP_BLOCK = 512 /* numbers along k at a time */ };
static so_kernels tiles_below; /* the table below: what few rows take, and single numbers */
#define TILE_INLINE static inline __attribute__((always_inline))

TILE_INLINE int64_t tiles_of(int64_t n, int64_t size) { return (n + size - 1) / size; }

/* n in equal pieces, each a multiple. */
TILE_INLINE int64_t even_step(int64_t n, int64_t most, int64_t multiple)
{
    int64_t pieces = n > most ? tiles_of(n, most) : 1;
    return tiles_of(tiles_of(n, pieces), multiple) * multiple;
}

/* 32 numbers of which n are there, zeros behind. */
TILE_INLINE void pack_32(const float *x, int64_t n, uint16_t *to)
{
#if defined(__AVX512F__)
    vec a = n >= 16 ? v_load(x) : v_load_m(x, v_tail(n));
    vec b = n >= 32 ? v_load(x + 16) : v_load_m(x + 16, v_tail(n > 16 ? n - 16 : 0));
    _mm512_storeu_si512(to, (__m512i)_mm512_cvtne2ps_pbh(b, a));
#else
    for (int i = 0; i < TILE_DEEP; i++) to[i] = i < n ? so_to_bf16(x[i]) : 0;
#endif
}

#if defined(__AVX512F__)
/* Pairs (a[i], b[i]). */
TILE_INLINE __m512i two_of(vec a, vec b)
{
    static const uint16_t order[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                       8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    return _mm512_permutexvar_epi16(_mm512_loadu_si512(order), (__m512i)_mm512_cvtne2ps_pbh(b, a));
}

TILE_INLINE void pack_two(vec a, vec b, uint16_t *to) { _mm512_storeu_si512(to, two_of(a, b)); }
#endif

/* 16 pairs (a[i], b[i]) of which n are there; b may be NULL: zeros. */
TILE_INLINE void pack_pairs_of(const float *a, const float *b, int64_t n, uint16_t *to)
{
#if defined(__AVX512F__)
    vmask m = v_tail(n);
    pack_two(v_load_m(a, m), b ? v_load_m(b, m) : v_set(0), to);
#else
    for (int i = 0; i < TILE_ROWS; i++) {
        to[2 * i] = i < n ? so_to_bf16(a[i]) : 0;
        to[2 * i + 1] = b && i < n ? so_to_bf16(b[i]) : 0;
    }
#endif
}

/* Rows of 16 times four bytes become columns, in place. */
TILE_INLINE void turn_tile(void *at)
{
#if defined(__AVX512F__)
    vec r[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) r[i] = v_load((const float *)at + 16 * i);
    transpose(r);
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) v_store((float *)at + 16 * i, r[i]);
#else
    unsigned char *p = at, q[4];
    for (int i = 0; i < TILE_ROWS; i++)
        for (int j = 0; j < i; j++) {
            memcpy(q, p + 64 * i + 4 * j, 4);
            memcpy(p + 64 * i + 4 * j, p + 64 * j + 4 * i, 4);
            memcpy(p + 64 * j + 4 * i, q, 4);
        }
#endif
}

/* One tile: rows of x, 32 numbers each. */
TILE_INLINE void pack_tile(bool left, const float *x, int64_t ld, int64_t rows, int64_t deep, uint16_t *to)
{
#if defined(__AVX512F__)
    if (rows == TILE_ROWS && deep == TILE_DEEP) {
        vec r[16];
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++) r[i] = (vec)_mm512_cvtne2ps_pbh(v_load(x + i * ld + 16), v_load(x + i * ld));
        if (!left) transpose(r);
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++) v_store((float *)(void *)to + 16 * i, r[i]);
        return;
    }
#endif
    for (int64_t r = 0; r < rows; r++) pack_32(x + r * ld, deep, to + 32 * r);
    memset(to + 32 * rows, 0, (size_t)(TILE_ROWS - rows) * TILE_BYTES);
    if (!left) turn_tile(to);
}

/* One tile: columns of x, `rows` of them, pairs of numbers that lie one above the other. */
TILE_INLINE void pack_tile_along(bool left, const float *x, int64_t ld, int64_t rows, int64_t deep, uint16_t *to)
{
#if defined(__AVX512F__)
    if (rows == TILE_ROWS && deep == TILE_DEEP) {
        vec r[16];
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++) r[i] = (vec)two_of(v_load(x + 2 * i * ld), v_load(x + (2 * i + 1) * ld));
        if (left) transpose(r);
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++) v_store((float *)(void *)to + 16 * i, r[i]);
        return;
    }
#endif
    for (int r = 0; r < TILE_ROWS; r++)
        if (2 * r < deep)
            pack_pairs_of(x + 2 * r * ld, 2 * r + 1 < deep ? x + (2 * r + 1) * ld : NULL, rows, to + 32 * r);
        else
            memset(to + 32 * r, 0, TILE_BYTES);
    if (left) turn_tile(to);
}

/* Strips of up to 16 rows, `count` rows in all, k numbers each: x[i * ld + l], or with `along` x[l * ld + i]. A strip
 * begins every `strip` numbers. `left`: as a left factor, else as a right one. */
static void pack_strips(bool left, bool along, const float *x, int64_t ld, int64_t count, int64_t k, uint16_t *to,
                        int64_t strip)
{
    if (along) { /* row by row of x */
        for (int64_t l = 0; l < k; l += TILE_DEEP)
            for (int64_t i = 0; i < count; i += TILE_ROWS)
                pack_tile_along(left, x + l * ld + i, ld, least(count - i, TILE_ROWS), least(k - l, TILE_DEEP),
                                to + i / TILE_ROWS * strip + l / TILE_DEEP * TILE_NUMBERS);
        return;
    }
    for (int64_t i = 0; i < count; i += TILE_ROWS)
        for (int64_t l = 0; l < k; l += TILE_DEEP)
            pack_tile(left, x + i * ld + l, ld, least(count - i, TILE_ROWS), least(k - l, TILE_DEEP),
                      to + i / TILE_ROWS * strip + l / TILE_DEEP * TILE_NUMBERS);
}

/* ---- blocks of 32 x 32 sums in registers 0 to 3 */

/* Which of the block's four tiles there are, and where they lie: `ldc` numbers between rows, `down` and `right` between
 * tiles. */
typedef struct tile_place {
    float *c;
    int64_t ldc, down, right;
    bool two_down, two_right;
} tile_place;

TILE_INLINE void block_begin(const tile_place *p, bool zero)
{
    if (zero) {
        tile_zero(0);
        tile_zero(1);
        tile_zero(2);
        tile_zero(3);
        return;
    }
    int64_t stride = p->ldc * 4;
    tile_load(0, p->c, stride);
    if (p->two_right) tile_load(1, p->c + p->right, stride);
    if (p->two_down) tile_load(2, p->c + p->down, stride);
    if (p->two_down && p->two_right) tile_load(3, p->c + p->down + p->right, stride);
}

TILE_INLINE void block_end(const tile_place *p)
{
    int64_t stride = p->ldc * 4;
    tile_store(0, p->c, stride);
    if (p->two_right) tile_store(1, p->c + p->right, stride);
    if (p->two_down) tile_store(2, p->c + p->down, stride);
    if (p->two_down && p->two_right) tile_store(3, p->c + p->down + p->right, stride);
}

/* A factor of a block: two strips, `stride` bytes between rows of a tile, `step` numbers between tiles along k. */
typedef struct tile_strips {
    const uint16_t *first, *second;
    int64_t stride, step;
} tile_strips;

/* `depth` tiles along k. The left factor passes while the right one, of 32 KiB, is read again and again: it must not
 * drive that one out of the first cache (1.3 times as fast at a depth of 16). */
TILE_INLINE void block_add(const tile_place *p, int64_t depth, tile_strips a, tile_strips b)
{
    for (int64_t l = 0; l < depth; l++) {
        tile_load(6, b.first + l * b.step, b.stride);
        tile_load_once(4, a.first + l * a.step, a.stride);
        tile_dot_bf16(0, 4, 6);
        if (p->two_right) {
            tile_load(7, b.second + l * b.step, b.stride);
            tile_dot_bf16(1, 4, 7);
        }
        if (p->two_down) {
            tile_load_once(5, a.second + l * a.step, a.stride);
            tile_dot_bf16(2, 5, 6);
            if (p->two_right) tile_dot_bf16(3, 5, 7);
        }
    }
}

TILE_INLINE tile_strips packed_strips(const uint16_t *first, int64_t strip)
{
    return (tile_strips){first, first + strip, TILE_BYTES, TILE_NUMBERS};
}

/* A block of `rows` x `cols` sums at c, 16 or 32 each, rows ldc apart; on top of what is there where `add` is set. */
typedef struct tile_sums {
    float *c;
    int64_t ldc;
    int rows, cols;
    bool add;
} tile_sums;

/* The block plus `depth` tiles of a and b. A sum is made in the same order wherever in a block it stands. (Inlined: a
 * call would write its arguments in halves and read them whole, and wait.) */
TILE_INLINE void block_at(tile_sums t, int64_t depth, tile_strips a, tile_strips b)
{
    tile_place p = {t.c, t.ldc, 16 * t.ldc, 16, t.rows > 16, t.cols > 16};
    block_begin(&p, !t.add);
    block_add(&p, depth, a, b);
    block_end(&p);
}

#endif
