/* Blocks of weights taken apart, for one ISA: a stretch of 256 weights as unsigned codes (signed ones of q8_0 with
 * AVX2) and as scales and minima of its groups.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_CPU_X86_FAST_INT8_CODES_H
#define SO_BACKEND_CPU_X86_FAST_INT8_CODES_H

#include "backend/cpu/int8.h"
#include "backend/cpu/x86/simd.h"

#if defined(__AVX512F__)
enum { UNIT = 64 };
typedef __m512i ivec;
#else
enum { UNIT = 32 };
typedef __m256i ivec;
#endif
#define INLINE static inline __attribute__((always_inline))

/* One number for each group of a stretch: lanes 0-7 of v[0], or of q6_k 16 groups (two vectors of 8 lanes). */
typedef struct groups {
    vec v[2];
} groups;

/* Number of vectors in use. */
#define GROUP_VECS(type) ((type) == SO_Q6_K ? 16 / W : 1)
#if defined(__AVX512F__)
#undef GROUP_VECS
#define GROUP_VECS(type) 1
#endif

INLINE vec eight(__m256 a)
{
#if defined(__AVX512F__)
    return _mm512_zextps256_ps512(a);
#else
    return a;
#endif
}

INLINE size_t stretch_bytes(so_type type)
{
    switch (type) {
    case SO_Q8_0:
        return 8 * 34;
    case SO_Q4_0:
        return 8 * 18;
    case SO_Q5_0:
        return 8 * 22;
    case SO_Q4_K:
        return 144;
    case SO_Q5_K:
        return 176;
    default:
        return 210; /* SO_Q6_K */
    }
}

INLINE float f16_at(const unsigned char *p)
{
    uint16_t h;
    memcpy(&h, p, 2);
    return _cvtsh_ss(h);
}

/* The scales of 8 blocks of 32. */
INLINE __m256 block_scales(const unsigned char *w, size_t block)
{
    uint16_t h[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) memcpy(h + i, w + (size_t)i * block, 2);
    __m128i all = _mm_setr_epi16((short)h[0], (short)h[1], (short)h[2], (short)h[3], (short)h[4], (short)h[5],
                                 (short)h[6], (short)h[7]);
    return _mm256_cvtph_ps(all);
}

/* Scales and minima of the 8 groups of q4_k and q5_k; the packing is told at so_block_six. */
INLINE void six_bit_scales(const unsigned char *w, groups *scale, groups *least)
{
    uint32_t a, b, c;
    memcpy(&a, w + 4, 4);
    memcpy(&b, w + 8, 4);
    memcpy(&c, w + 12, 4);
    uint64_t s = (a & 0x3f3f3f3fu) | (uint64_t)((c & 0x0f0f0f0fu) | (a >> 2 & 0x30303030u)) << 32;
    uint64_t m = (b & 0x3f3f3f3fu) | (uint64_t)((c >> 4 & 0x0f0f0f0fu) | (b >> 2 & 0x30303030u)) << 32;
    __m256 fs = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)s)));
    __m256 fm = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)m)));
    scale->v[0] = eight(fs * _mm256_set1_ps(f16_at(w)));
    least->v[0] = eight(fm * _mm256_set1_ps(f16_at(w + 2)));
}

#if defined(__AVX512F__)
/* The scales of eight blocks of q4_0, nine words each. */
INLINE __m256 scales_of_eight(const unsigned char *w)
{
    const __m512i words = _mm512_zextsi128_si512(_mm_setr_epi16(0, 9, 18, 27, 32, 41, 50, 59));
    return _mm256_cvtph_ps(
        _mm512_castsi512_si128(_mm512_permutex2var_epi16(_mm512_loadu_si512(w), words, _mm512_loadu_si512(w + 72))));
}

/* The same side by side: scales in lanes 0-7, minima in lanes 8-15. */
INLINE vec six_both(const unsigned char *w)
{
    __m128i all = _mm_loadu_si128((const __m128i *)w);
    __m128i low = _mm_srlv_epi32(_mm_shuffle_epi32(all, 0xed), _mm_setr_epi32(0, 0, 0, 4));
    __m128i high = _mm_srli_epi32(_mm_shuffle_epi32(all, 0xa5), 2);
    low = _mm_and_si128(low, _mm_setr_epi32(0x3f3f3f3f, 0x0f0f0f0f, 0x3f3f3f3f, 0x0f0f0f0f));
    high = _mm_and_si128(high, _mm_setr_epi32(0, 0x30303030, 0, 0x30303030));
    vec factor = _mm512_permutexvar_ps(_mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1),
                                       _mm512_castps128_ps512(_mm_cvtph_ps(all)));
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_or_si128(low, high))) * factor;
}

INLINE vec two_eights(const float *a, const float *b)
{
    return _mm512_insertf32x8(_mm512_castps256_ps512(_mm256_loadu_ps(a)), _mm256_loadu_ps(b), 1);
}

INLINE vec upper_eight(vec a) { return _mm512_maskz_mov_ps(0xff00, a); }
#else
INLINE __m256 scales_of_eight(const unsigned char *w) { return block_scales(w, 18); }
INLINE vec six_both(const unsigned char *w) { return v_set(w[0]); } /* not used */
INLINE vec two_eights(const float *a, const float *b) { return v_set(a[0] + b[0]); }
INLINE vec upper_eight(vec a) { return a; }
INLINE vec nibble_factors(so_type type) { return v_set(type == SO_Q4_K); } /* not used */
#endif

/* Scales of a stretch, and what the offsets and minima of its weights come to: w = scale code - least. */
INLINE void stretch_scales(so_type type, const unsigned char *w, groups *scale, groups *least)
{
    switch (type) {
    case SO_Q8_0:
        scale->v[0] = eight(block_scales(w, 34));
#if defined(__AVX512F__)
        least->v[0] = scale->v[0] * v_set(128);
#else
        least->v[0] = v_set(0);                                            /* signed codes */
#endif
        break;
    case SO_Q4_0:
        scale->v[0] = eight(scales_of_eight(w));
        least->v[0] = scale->v[0] * v_set(8);
        break;
    case SO_Q5_0:
        scale->v[0] = eight(block_scales(w, 22));
        least->v[0] = scale->v[0] * v_set(16);
        break;
    case SO_Q6_K: {
        vec d = v_set(f16_at(w + 208));
        for (int i = 0; i < GROUP_VECS(type); i++) {
            scale->v[i] = v_load_i8(w + 192 + i * W) * d;
            least->v[i] = scale->v[i] * v_set(32);
        }
        break;
    }
    default:
        six_bit_scales(w, scale, least);
        break; /* SO_Q4_K, SO_Q5_K */
    }
}

/* Products with the scales of a row's 8 groups, each for both halves of q6_k's. */
INLINE groups times_row(so_type type, const groups *w, const float *x)
{
    groups out;
    __m256 all = _mm256_loadu_ps(x);
#if defined(__AVX512F__)
    if (type == SO_Q6_K) {
        __m512i twice = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
        out.v[0] = w->v[0] * _mm512_permutexvar_ps(twice, _mm512_castps256_ps512(all));
    } else {
        out.v[0] = w->v[0] * eight(all);
    }
    out.v[1] = out.v[0];
#else
    out.v[0] = out.v[1] = w->v[0] * all;
    if (type == SO_Q6_K) {
        out.v[0] = w->v[0] * _mm256_permutevar8x32_ps(all, _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3));
        out.v[1] = w->v[1] * _mm256_permutevar8x32_ps(all, _mm256_setr_epi32(4, 4, 5, 5, 6, 6, 7, 7));
    }
#endif
    return out;
}

/* The scale of each lane's group in unit u of a stretch. */
INLINE vec of_unit(so_type type, const groups *s, int u)
{
#if defined(__AVX512F__)
    __m512i near = type == SO_Q6_K ? _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3)
                                   : _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
    return _mm512_permutexvar_ps(_mm512_add_epi32(near, _mm512_set1_epi32(type == SO_Q6_K ? 4 * u : 2 * u)), s->v[0]);
#else
    if (type != SO_Q6_K) return _mm256_permutevar8x32_ps(s->v[0], _mm256_set1_epi32(u));
    __m256i near = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1);
    return _mm256_permutevar8x32_ps(s->v[u / 4], _mm256_add_epi32(near, _mm256_set1_epi32(2 * u % 8)));
#endif
}

/* The codes of unit u of a stretch, in the order of the weights. */
#if defined(__AVX512F__)
INLINE __m512i two_rows(const unsigned char *a, const unsigned char *b) /* 32 bytes each */
{
    return _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)a)),
                              _mm256_loadu_si256((const __m256i *)b), 1);
}

INLINE ivec both_nibbles(__m512i twice) /* low ones of the lower half, high ones of the upper */
{
    __m512i down = _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_set1_epi16(4), 1);
    return _mm512_and_si512(_mm512_srlv_epi16(twice, down), _mm512_set1_epi8(15));
}

INLINE ivec nibbles_of_two(const unsigned char *a, const unsigned char *b) /* 16 bytes each */
{
    __m512i all = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)a));
    all = _mm512_mask_broadcast_i32x4(all, 0xff00, _mm_loadu_si128((const __m128i *)b));
    __m512i down =
        _mm512_setr_epi64(0, 0, 0x4000400040004LL, 0x4000400040004LL, 0, 0, 0x4000400040004LL, 0x4000400040004LL);
    return _mm512_and_si512(_mm512_srlv_epi16(all, down), _mm512_set1_epi8(15));
}

INLINE ivec six_bit_codes(const unsigned char *w, int u)
{
    __m512i low = _mm512_loadu_si512(w + 64 * (u / 2)), bits = _mm512_set1_epi8(0x30);
    __m512i high = _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)(w + 128 + 32 * (u / 2))));
    if (u % 2) {
        low = _mm512_srli_epi16(low, 4);
        high = _mm512_srlv_epi16(high, _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_set1_epi16(2), 1));
    } else {
        high = _mm512_sllv_epi16(high, _mm512_inserti64x4(_mm512_set1_epi16(4), _mm256_set1_epi16(2), 1));
    }
    return _mm512_or_si512(_mm512_and_si512(low, _mm512_set1_epi8(15)), _mm512_and_si512(high, bits));
}

INLINE ivec codes(so_type type, const unsigned char *w, int u)
{
    switch (type) {
    case SO_Q8_0:
        return _mm512_xor_si512(two_rows(w + 68 * u + 2, w + 68 * u + 36), _mm512_set1_epi8(-128));
    case SO_Q4_0:
        return nibbles_of_two(w + 36 * u + 2, w + 36 * u + 20);
    case SO_Q5_0: {
        uint32_t a, b;
        memcpy(&a, w + 44 * u + 2, 4);
        memcpy(&b, w + 44 * u + 24, 4);
        ivec low = nibbles_of_two(w + 44 * u + 6, w + 44 * u + 28);
        return _mm512_mask_add_epi8(low, _cvtu64_mask64(a | (uint64_t)b << 32), low, _mm512_set1_epi8(16));
    }
    case SO_Q4_K:
        return both_nibbles(_mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)(w + 16 + 32 * u))));
    case SO_Q5_K: {
        ivec low = both_nibbles(_mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)(w + 48 + 32 * u))));
        __m512i high = _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)(w + 16)));
        __m512i bit = _mm512_inserti64x4(_mm512_set1_epi8((char)(1 << 2 * u)), _mm256_set1_epi8((char)(2 << 2 * u)), 1);
        return _mm512_mask_add_epi8(low, _mm512_test_epi8_mask(high, bit), low, _mm512_set1_epi8(16));
    }
    default:
        return six_bit_codes(w, u); /* SO_Q6_K */
    }
}

INLINE vec code_products(so_type type, ivec c, const int8_t *x)
{
    (void)type;
    return _mm512_cvtepi32_ps(_mm512_dpbusd_epi32(_mm512_setzero_si512(), c, _mm512_loadu_si512(x)));
}
#else
INLINE ivec nibbles_of(const unsigned char *p) /* 16 bytes */
{
    __m128i a = _mm_loadu_si128((const __m128i *)p);
    return _mm256_and_si256(_mm256_set_m128i(_mm_srli_epi16(a, 4), a), _mm256_set1_epi8(15));
}

INLINE ivec nibbles_at(const unsigned char *p, bool high) /* 32 bytes */
{
    __m256i a = _mm256_loadu_si256((const __m256i *)p);
    return _mm256_and_si256(high ? _mm256_srli_epi16(a, 4) : a, _mm256_set1_epi8(15));
}

/* 16 where a bit of the word is set. */
INLINE ivec fifth_bits(const unsigned char *p)
{
    int32_t word;
    memcpy(&word, p, 4);
    __m256i spread = _mm256_setr_epi64x(0, 0x0101010101010101LL, 0x0202020202020202LL, 0x0303030303030303LL);
    __m256i byte = _mm256_shuffle_epi8(_mm256_set1_epi32(word), spread),
            bit = _mm256_set1_epi64x((long long)0x8040201008040201ull);
    return _mm256_and_si256(_mm256_cmpeq_epi8(_mm256_and_si256(byte, bit), bit), _mm256_set1_epi8(16));
}

INLINE ivec six_bit_codes(const unsigned char *w, int u)
{
    int half = u / 4, c = u % 4;
    __m256i high = _mm256_loadu_si256((const __m256i *)(w + 128 + 32 * half));
    high = c == 0   ? _mm256_slli_epi16(high, 4)
           : c == 1 ? _mm256_slli_epi16(high, 2)
           : c == 2 ? high
                    : _mm256_srli_epi16(high, 2);
    return _mm256_or_si256(nibbles_at(w + 64 * half + 32 * (c % 2), c >= 2),
                           _mm256_and_si256(high, _mm256_set1_epi8(0x30)));
}

INLINE ivec codes(so_type type, const unsigned char *w, int u)
{
    switch (type) {
    case SO_Q8_0:
        return _mm256_loadu_si256((const __m256i *)(w + 34 * u + 2)); /* signed */
    case SO_Q4_0:
        return nibbles_of(w + 18 * u + 2);
    case SO_Q5_0:
        return _mm256_or_si256(nibbles_of(w + 22 * u + 6), fifth_bits(w + 22 * u + 2));
    case SO_Q4_K:
        return nibbles_at(w + 16 + 32 * (u / 2), u % 2);
    case SO_Q5_K: {
        __m256i bit = _mm256_set1_epi8((char)(1 << u)), high = _mm256_loadu_si256((const __m256i *)(w + 16));
        high = _mm256_cmpeq_epi8(_mm256_and_si256(high, bit), bit);
        return _mm256_or_si256(nibbles_at(w + 48 + 32 * (u / 2), u % 2), _mm256_and_si256(high, _mm256_set1_epi8(16)));
    }
    default:
        return six_bit_codes(w, u); /* SO_Q6_K */
    }
}

INLINE vec code_products(so_type type, ivec c, const int8_t *p)
{
    __m256i x = _mm256_loadu_si256((const __m256i *)p);
    /* vpmaddubsw saturates sums of two products above 32767: 128 x 127 + 128 x 127 and 63 x 127 x 2 stay below. */
    __m256i pairs =
        type == SO_Q8_0 ? _mm256_maddubs_epi16(_mm256_abs_epi8(c), _mm256_sign_epi8(x, c)) : _mm256_maddubs_epi16(c, x);
    return _mm256_cvtepi32_ps(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
#endif

#endif
