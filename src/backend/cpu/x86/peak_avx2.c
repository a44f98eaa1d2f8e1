/* Limits of the machine with AVX2: f32 products, int8 products in three instructions, and reading.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_DOUBLE
#include <immintrin.h>

#include "backend/cpu/peak_loops.h"

enum { CHAINS = 12 };

static float chains_f32(int64_t n)
{
    __m256 a[CHAINS], x = _mm256_set1_ps(0.999f), y = _mm256_set1_ps(1e-3f);
    for (int i = 0; i < CHAINS; i++) a[i] = _mm256_set1_ps((float)i);
    for (int64_t k = 0; k < n; k++)
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++) a[i] = _mm256_fmadd_ps(a[i], x, y);
    for (int i = 1; i < CHAINS; i++) a[0] = _mm256_add_ps(a[0], a[i]);
    return _mm256_cvtss_f32(a[0]);
}

/* Pairs of products, sums of pairs, and their addition: 32 products a turn of a chain. */
static float chains_int8(int64_t n)
{
    __m256i a[CHAINS], x = _mm256_set1_epi32((int)n), y = _mm256_set1_epi16(1);
    for (int i = 0; i < CHAINS; i++) a[i] = _mm256_set1_epi32(i);
    for (int64_t k = 0; k < n; k++)
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++)
            a[i] = _mm256_add_epi32(a[i], _mm256_madd_epi16(_mm256_maddubs_epi16(x, a[i]), y));
    for (int i = 1; i < CHAINS; i++) a[0] = _mm256_add_epi32(a[0], a[i]);
    return (float)_mm256_cvtsi256_si32(a[0]);
}

static float read_lines(const void *p, size_t bytes)
{
    const char *at = p, *end = at + bytes;
    __m256i s[8];
    for (int i = 0; i < 8; i++) s[i] = _mm256_setzero_si256();
    for (; at + 256 <= end; at += 256) {
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++)
            _mm_prefetch((const char *)((uintptr_t)at + SO_PEAK_AHEAD + 64 * (uintptr_t)i), _MM_HINT_T0);
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++)
            s[i] = _mm256_xor_si256(s[i], _mm256_loadu_si256((const __m256i *)(const void *)(at + 32 * i)));
    }
    for (int i = 1; i < 8; i++) s[0] = _mm256_xor_si256(s[0], s[i]);
    return (float)_mm256_cvtsi256_si32(s[0]);
}

void so_peak_loops_avx2(so_peak_loops *loops)
{
    *loops = (so_peak_loops){chains_f32, NULL, chains_int8, CHAINS * 16, 0, CHAINS * 64, read_lines};
}
#endif
