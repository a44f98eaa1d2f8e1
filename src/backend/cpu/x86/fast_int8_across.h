/* Products of one stretch of 256 weights of four or five bits with one row, for AVX-512: each lane belongs to one
 * group.
 *
 * In the order of the file 64 codes lie in two groups, so that every vpdpbusd needs a conversion and a scale of its
 * own. With the codes taken across (eighths or halves of four groups side by side in a register, and the row's codes
 * put in the same order when it is rounded) four vpdpbusd end in two sums, whose lanes belong to one group each: two
 * conversions and two scales.
 *
 * A part of fast_int8.h, which includes it where its names are known.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_CPU_X86_FAST_INT8_ACROSS_H
#define SO_BACKEND_CPU_X86_FAST_INT8_ACROSS_H

enum { ORDERS = 2 };

/* Which order of the row's codes; -1: that of the file. */
INLINE int order_of(so_type type) { return type == SO_Q4_K || type == SO_Q5_K ? 0 : type == SO_Q4_0 ? 1 : -1; }

/* Of a rounded row: a place for each order, behind all rows. */
INLINE int8_t *ordered_at(const void *rounded, int64_t rows, int64_t row, int64_t k)
{
    return (int8_t *)(uintptr_t)rounded + (size_t)rows * so_int8_stride(k) +
           (size_t)row * ORDERS * (size_t)so_int8_width(k);
}

/* 256 codes q in both orders: four vectors, lanes of the first and third belong to the first sum, the others to the
 * second. */
INLINE void put_in_order(const int8_t *q, int8_t *eighths, int8_t *halves)
{
    for (int v = 0; v < 4; v++)
        for (int h = 0; h < 2; h++)
            for (int p = 0; p < 4; p++)
                memcpy(eighths + 64 * v + 32 * h + 8 * p, q + 32 * (2 * p + v % 2) + 8 * (v / 2 * 2 + h), 8);
    for (int v = 0; v < 4; v++)
        for (int p = 0; p < 4; p++) memcpy(halves + 64 * v + 16 * p, q + 32 * (v % 2 * 4 + p) + 16 * (v / 2), 16);
}

/* The nibbles of four blocks of q4_0 (nine words each, the first is the scale). */
INLINE __m512i four_blocks(const unsigned char *w)
{
    const __m512i words = _mm512_set_epi16(63, 62, 61, 60, 31, 30, 29, 28, 26, 25, 24, 23, 22, 21, 20, 19, 17, 16, 15,
                                           14, 13, 12, 11, 10, 8, 7, 6, 5, 4, 3, 2, 1);
    return _mm512_permutex2var_epi16(_mm512_loadu_si512(w), words, _mm512_loadu_si512(w + 8));
}

/* The codes of a stretch in that order. Those of q4_k for the second sum are sixteen times as large: high nibbles stay
 * where they are. */
INLINE void codes_across(so_type type, const unsigned char *w, __m512i c[4])
{
    const __m512i low = _mm512_set1_epi8(15), high = _mm512_set1_epi8((char)0xf0);
    __m512i a, b;
    if (type == SO_Q4_0) {
        a = four_blocks(w);
        b = four_blocks(w + 72);
        c[0] = _mm512_and_si512(a, low);
        c[1] = _mm512_and_si512(b, low);
        c[2] = _mm512_and_si512(_mm512_srli_epi16(a, 4), low);
        c[3] = _mm512_and_si512(_mm512_srli_epi16(b, 4), low);
        return;
    }
    const unsigned char *q = w + (type == SO_Q4_K ? 16 : 48);
    a = _mm512_loadu_si512(q);
    b = _mm512_loadu_si512(q + 64);
    __m512i first = _mm512_permutex2var_epi64(a, _mm512_setr_epi64(0, 4, 8, 12, 1, 5, 9, 13), b);
    __m512i second = _mm512_permutex2var_epi64(a, _mm512_setr_epi64(2, 6, 10, 14, 3, 7, 11, 15), b);
    c[0] = _mm512_and_si512(first, low);
    c[2] = _mm512_and_si512(second, low);
    if (type == SO_Q4_K) {
        c[1] = _mm512_and_si512(first, high);
        c[3] = _mm512_and_si512(second, high);
        return;
    }
    c[1] = _mm512_and_si512(_mm512_srli_epi16(first, 4), low);
    c[3] = _mm512_and_si512(_mm512_srli_epi16(second, 4), low);
    __m512i fifth = _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)(w + 16)));
    __m512i f[2] = {_mm512_permutexvar_epi64(_mm512_setr_epi64(0, 0, 0, 0, 1, 1, 1, 1), fifth),
                    _mm512_permutexvar_epi64(_mm512_setr_epi64(2, 2, 2, 2, 3, 3, 3, 3), fifth)};
    __m512i bit = _mm512_broadcast_i64x4(
        _mm256_setr_epi64x(0x0101010101010101LL, 0x0404040404040404LL, 0x1010101010101010LL, 0x4040404040404040LL));
    __m512i next = _mm512_add_epi8(bit, bit);
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++)
        c[v] =
            _mm512_mask_add_epi8(c[v], _mm512_test_epi8_mask(f[v / 2], v % 2 ? next : bit), c[v], _mm512_set1_epi8(16));
}

/* The scale of each lane's group in sum v, from products of scales in lanes 0-7. */
INLINE vec of_sum(so_type type, vec scales, int v)
{
    __m512i eighths = _mm512_setr_epi32(0, 0, 2, 2, 4, 4, 6, 6, 0, 0, 2, 2, 4, 4, 6, 6);
    __m512i halves = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    __m512i lane = order_of(type) ? _mm512_add_epi32(halves, _mm512_set1_epi32(4 * v))
                                  : _mm512_add_epi32(eighths, _mm512_set1_epi32(v));
    return _mm512_permutexvar_ps(lane, scales);
}

/* Sum v of a stretch of the row. */
INLINE vec sum_across(const __m512i c[4], const int8_t *x, int v)
{
    __m512i s = _mm512_dpbusd_epi32(_mm512_setzero_si512(), c[v], _mm512_loadu_si512(x + 64 * v));
    return _mm512_cvtepi32_ps(_mm512_dpbusd_epi32(s, c[v + 2], _mm512_loadu_si512(x + 64 * v + 128)));
}

/* Every other group of q4_k has codes sixteen times as large. Lanes 8-15 are minima. */
INLINE vec nibble_factors(so_type type)
{
    const float f = type == SO_Q4_K ? 1.0f / 16 : 1;
    return _mm512_setr_ps(1, f, 1, f, 1, f, 1, f, 1, 1, 1, 1, 1, 1, 1, 1);
}

#endif
