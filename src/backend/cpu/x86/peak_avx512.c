/* Limits of the machine with AVX-512: f32, bf16 and int8 products, and reading.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_DOUBLE
#include <immintrin.h>

#include "backend/cpu/peak_loops.h"

enum { CHAINS = 24 };

static float chains_f32(int64_t n)
{
    __m512 a[CHAINS], x = _mm512_set1_ps(0.999f), y = _mm512_set1_ps(1e-3f);
    for (int i = 0; i < CHAINS; i++) a[i] = _mm512_set1_ps((float)i);
    for (int64_t k = 0; k < n; k++)
#pragma GCC unroll 24
        for (int i = 0; i < CHAINS; i++) a[i] = _mm512_fmadd_ps(a[i], x, y);
    for (int i = 1; i < CHAINS; i++) a[0] = _mm512_add_ps(a[0], a[i]);
    return _mm512_reduce_add_ps(a[0]);
}

static float chains_bf16(int64_t n)
{
    __m512 a[CHAINS];
    __m512bh x = (__m512bh)_mm512_set1_epi32(0x3f803f80 + (int)n), y = x;
    for (int i = 0; i < CHAINS; i++) a[i] = _mm512_set1_ps((float)i);
    for (int64_t k = 0; k < n; k++)
#pragma GCC unroll 24
        for (int i = 0; i < CHAINS; i++) a[i] = _mm512_dpbf16_ps(a[i], x, y);
    for (int i = 1; i < CHAINS; i++) a[0] = _mm512_add_ps(a[0], a[i]);
    return (float)(_mm512_reduce_add_ps(a[0]) > 0);
}

static float chains_int8(int64_t n)
{
    __m512i a[CHAINS], x = _mm512_set1_epi32((int)n), y = x;
#pragma GCC unroll 24
    for (int i = 0; i < CHAINS; i++) a[i] = _mm512_set1_epi32(i);
    for (int64_t k = 0; k < n; k++)
#pragma GCC unroll 24
        for (int i = 0; i < CHAINS; i++) __asm__("vpdpbusd %2, %1, %0" : "+v"(a[i]) : "v"(x), "v"(y));
#pragma GCC unroll 24
    for (int i = 1; i < CHAINS; i++) a[0] = _mm512_add_epi32(a[0], a[i]);
    return (float)_mm512_reduce_add_epi32(a[0]);
}

static float read_lines(const void *p, size_t bytes)
{
    const char *at = p, *end = at + bytes;
    __m512i s[8];
    for (int i = 0; i < 8; i++) s[i] = _mm512_setzero_si512();
    for (; at + 512 <= end; at += 512)
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) {
            _mm_prefetch((const char *)((uintptr_t)at + SO_PEAK_AHEAD + 64 * (uintptr_t)i), _MM_HINT_T0);
            s[i] = _mm512_xor_si512(s[i], _mm512_loadu_si512(at + 64 * i));
        }
    for (int i = 1; i < 8; i++) s[0] = _mm512_xor_si512(s[0], s[i]);
    return (float)_mm512_reduce_add_epi32(s[0]);
}

void so_peak_loops_avx512(so_peak_loops *loops)
{
    *loops = (so_peak_loops){chains_f32, chains_bf16, chains_int8, CHAINS * 32, CHAINS * 64, CHAINS * 128, read_lines};
}
#endif
