/* Products of stored blocks with rows rounded to int8, for one ISA.
 *
 * Few rows (decode): rows of weights stream by once as they lie in the file. Codes of one stretch of 256 weights are
 * taken apart in registers, multiplied as bytes (one vpdpbusd for 64 of them; vpmaddubsw for 32), and join the sum in
 * float, times the product of both scales, which are made for 8 groups at a time. Codes are unsigned: what that adds,
 * an offset or a minimum times the sum of the row's codes, is taken off once a stretch. Codes of four and five bits go
 * another way with AVX-512: fast_int8_across.h. Bound by memory there, as long as it gives a core less than 50 to 70
 * GB/s.
 *
 * More rows, with AVX-512: fast_int8_panels.h. AVX2 repeats the streaming kernel for 8 rows at a time.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_CPU_X86_FAST_INT8_H
#define SO_BACKEND_CPU_X86_FAST_INT8_H

#include "backend/cpu/int8.h"
#include "backend/cpu/ref/portable.h"
#include "backend/cpu/x86/simd.h"

#if defined(__AVX512F__)
enum { UNIT = 64 };
typedef __m512i ivec;
#else
enum { UNIT = 32 };
typedef __m256i ivec;
#endif
enum { AHEAD = 6144 }; /* bytes: the weights come from memory in one stream */
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

#if defined(__AVX512F__)
#include "backend/cpu/x86/fast_int8_across.h"
#else
INLINE int order_of(so_type type) { return (void)type, -1; }
INLINE int8_t *ordered_at(const void *rounded, int64_t rows, int64_t row, int64_t k)
{
    (void)rows, (void)row, (void)k;
    return (int8_t *)(uintptr_t)rounded; /* not used */
}
#endif

#include "backend/cpu/x86/fast_int8_round.h"

/* ---- few rows */

typedef struct int8_job {
    so_type type;
    const unsigned char *w, *up; /* up: of gated_int8, or NULL */
    size_t stride;               /* bytes of a row of w */
    int64_t n, k, m;
    const void *rounded;
    const float *bias;
    float *y;
} int8_job;

typedef struct int8_sums {
    vec sum[8][4];
    groups least[8];
} int8_sums;

/* Rounded rows, `stride` bytes apart; of few rows the codes, kp a row, stand at `ordered` in other orders too. */
typedef struct int8_x {
    const char *rows;
    size_t stride;
    const int8_t *ordered;
    int64_t kp;
} int8_x;

/* One stretch of weights times M rows of x from number s on. `chains` sums of each row are in flight. */
INLINE void int8_stretch(so_type type, const int M, const int chains, const unsigned char *w, const int8_x *x,
                         int64_t s, int8_sums *to)
{
    const int64_t kp = x->kp;
    groups scale, least, both[8];
#pragma GCC unroll 5
    for (size_t p = 0; p < stretch_bytes(type); p += 64)
        _mm_prefetch((const char *)((uintptr_t)w + AHEAD + p), _MM_HINT_T0);
    const bool beside = UNIT == 64 && (type == SO_Q4_K || type == SO_Q5_K);
    if (beside)
        scale.v[0] = six_both(w) * nibble_factors(type);
    else
        stretch_scales(type, w, &scale, &least);
#pragma GCC unroll 8
    for (int i = 0; i < M; i++) {
        const char *row = x->rows + (size_t)i * x->stride;
        const float *scales = (const float *)(const void *)(row + kp), *sum32 = scales + kp / 32,
                    *sum16 = sum32 + kp / 32;
        if (beside) { /* lanes 0-7: products of scales; lanes 8-15: minima times sums */
            both[i].v[0] = scale.v[0] * two_eights(scales + s / 32, sum32 + s / 32);
            to->least[i].v[0] = v_add(to->least[i].v[0], both[i].v[0]);
            continue;
        }
        both[i] = times_row(type, &scale, scales + s / 32);
        if (type == SO_Q6_K) {
            for (int v = 0; v < GROUP_VECS(type); v++)
                to->least[i].v[v] = v_fma(least.v[v], v_load(sum16 + s / 16 + v * W), to->least[i].v[v]);
        } else {
            to->least[i].v[0] = v_fma(least.v[0], eight(_mm256_loadu_ps(sum32 + s / 32)), to->least[i].v[0]);
        }
    }
#if defined(__AVX512F__)
    if (order_of(type) >= 0) {
        __m512i c[4];
        codes_across(type, w, c);
#pragma GCC unroll 8
        for (int i = 0; i < M; i++) {
            const int8_t *q = x->ordered + (i * ORDERS + order_of(type)) * kp + s;
#pragma GCC unroll 2
            for (int v = 0; v < 2; v++) {
                vec *sum = &to->sum[i][v % chains];
                *sum = v_fma(sum_across(c, q, v), of_sum(type, both[i].v[0], v), *sum);
            }
        }
        return;
    }
#endif
#pragma GCC unroll 8
    for (int u = 0; u < SO_STRETCH / UNIT; u++) {
        ivec c = codes(type, w, u);
#pragma GCC unroll 8
        for (int i = 0; i < M; i++) {
            const int8_t *q = (const int8_t *)(x->rows + (size_t)i * x->stride) + s + u * UNIT;
            vec *sum = &to->sum[i][u % chains];
            *sum = v_fma(code_products(type, c, q), of_unit(type, &both[i], u), *sum);
        }
    }
}

/* y[i * ldy] of one row of weights and M rows of x, which are at `ordered` in other orders. */
INLINE void int8_dots(so_type type, const int M, const unsigned char *w, int64_t k, const void *x,
                      const int8_t *ordered, float *y, int64_t ldy)
{
    const int chains = M == 1 ? (order_of(type) >= 0 ? 2 : 4) : M == 2 ? 2 : 1;
    const int8_x rows = {x, so_int8_stride(k), ordered, so_int8_width(k)};
    int8_sums to;
#pragma GCC unroll 8
    for (int i = 0; i < M; i++) {
#pragma GCC unroll 4
        for (int c = 0; c < chains; c++) to.sum[i][c] = v_set(0);
        to.least[i].v[0] = to.least[i].v[1] = v_set(0);
    }
    int64_t s = 0;
    for (; s + SO_STRETCH <= k; s += SO_STRETCH, w += stretch_bytes(type))
        int8_stretch(type, M, chains, w, &rows, s, &to);
    if (s < k) {
        unsigned char part[8 * 34] = {0};
        memcpy(part, w, so_type_bytes(type, k - s));
        int8_stretch(type, M, chains, part, &rows, s, &to);
    }
#pragma GCC unroll 8
    for (int i = 0; i < M; i++) {
        vec sum = to.sum[i][0];
        for (int c = 1; c < chains; c++) sum = v_add(sum, to.sum[i][c]);
        if (UNIT == 64 && (type == SO_Q4_K || type == SO_Q5_K)) to.least[i].v[0] = upper_eight(to.least[i].v[0]);
        sum = sum - to.least[i].v[0];
        if (GROUP_VECS(type) > 1) sum = sum - to.least[i].v[1];
        y[i * ldy] = v_sum(sum);
    }
}

enum { GATED = 256 }; /* most columns of a task of gated_int8 */

/* y = silu(gate) * up; y may be the gate. */
INLINE void gate_row(float *y, const float *gate, const float *up, int64_t n)
{
    for (int64_t i = 0; i < n; i += W) {
        vmask m = v_tail(n - i);
        vec g = v_load_m(gate + i, m);
        v_store_m(y + i, m, g * v_sigmoid(g) * v_load_m(up + i, m));
    }
}

/* Columns j0 .. j1 of y from M rows of x; of a gated product the other factor as well. */
INLINE void int8_rows_of(so_type type, const int M, const int8_job *g, int64_t i, int64_t j0, int64_t j1)
{
    float up[8][GATED], *y = g->y + i * g->n + j0;
    const char *x = (const char *)g->rounded + (size_t)i * so_int8_stride(g->k);
    const int8_t *ordered = ordered_at(g->rounded, g->m, i, g->k);
    const unsigned char *w = g->w;
    float *to = y;
    int64_t step = g->n;
    for (int part = 0; part < (g->up ? 2 : 1); part++, w = g->up, to = up[0], step = GATED)
        for (int64_t j = j0; j < j1; j++)
            int8_dots(type, M, w + (size_t)j * g->stride, g->k, x, ordered, to + j - j0, step);
    for (int r = 0; r < M && g->up; r++) gate_row(y + r * g->n, y + r * g->n, up[r], j1 - j0);
}

INLINE void int8_few_of(so_type type, const int8_job *g, int64_t j0, int64_t j1)
{
    int64_t i = 0;
    for (; i + 8 <= g->m; i += 8) int8_rows_of(type, 8, g, i, j0, j1);
    for (; i + 4 <= g->m; i += 4) int8_rows_of(type, 4, g, i, j0, j1);
    for (; i + 2 <= g->m; i += 2) int8_rows_of(type, 2, g, i, j0, j1);
    if (i < g->m) int8_rows_of(type, 1, g, i, j0, j1);
}

static void int8_few(const int8_job *g, int64_t j0, int64_t j1)
{
    switch (g->type) {
    case SO_Q8_0:
        int8_few_of(SO_Q8_0, g, j0, j1);
        break;
    case SO_Q4_0:
        int8_few_of(SO_Q4_0, g, j0, j1);
        break;
    case SO_Q5_0:
        int8_few_of(SO_Q5_0, g, j0, j1);
        break;
    case SO_Q4_K:
        int8_few_of(SO_Q4_K, g, j0, j1);
        break;
    case SO_Q5_K:
        int8_few_of(SO_Q5_K, g, j0, j1);
        break;
    default:
        int8_few_of(SO_Q6_K, g, j0, j1);
        break;
    }
    for (int64_t i = 0; i < g->m && g->bias; i++)
        for (int64_t j = j0; j < j1; j++) g->y[i * g->n + j] += g->bias[j];
}

#if defined(__AVX512F__)
#include "backend/cpu/x86/fast_int8_panels.h"
#endif

/* ---- tasks: columns of several products */

typedef struct int8_jobs {
    int count;
    int64_t step[SO_PRODUCTS], first[SO_PRODUCTS]; /* columns of a task, number of a product's first task */
    int8_job job[SO_PRODUCTS];
} int8_jobs;

static void int8_task(void *p, int64_t task, int thread)
{
    (void)thread;
    const int8_jobs *all = p;
    int at = all->count - 1;
    while (task < all->first[at]) at--;
    const int8_job *g = &all->job[at];
    int64_t j0 = (task - all->first[at]) * all->step[at], j1 = j0 + all->step[at];
    if (j1 > g->n) j1 = g->n;
#if defined(__AVX512F__)
    if (g->m > SO_FEW_ROWS) {
        int8_many(g, j0, j1);
        return;
    }
#endif
    int8_few(g, j0, j1);
}

/* Tasks of 64 to 512 KiB of weights, 16 or more for each thread where that is possible: a task ends one stream of
 * memory and begins another. With many rows of up to 128 columns. */
static int64_t columns_of_task(const int8_job *g, int64_t threads)
{
#if defined(__AVX512F__)
    if (g->m > SO_FEW_ROWS) return g->n >= 1024 ? (g->up ? 2 : 4) * ACROSS : ACROSS;
#endif
    int64_t column = (int64_t)g->stride * (g->up ? 2 : 1), bytes = g->n * column / (16 * threads);
    bytes = bytes < 64 << 10 ? 64 << 10 : bytes > 512 << 10 ? 512 << 10 : bytes;
    int64_t n = 1 + bytes / (column + 1);
    return g->up && n > GATED ? GATED : n;
}

static void int8_run(so_pool *pool, int8_jobs *all)
{
    int64_t tasks = 0;
    for (int i = 0; i < all->count; i++) {
        all->first[i] = tasks;
        all->step[i] = columns_of_task(&all->job[i], so_pool_threads(pool));
        tasks += (all->job[i].n + all->step[i] - 1) / all->step[i];
    }
    so_pool_for(pool, tasks, int8_task, all);
}

static void linear_int8(so_pool *pool, int count, const so_product *p, int64_t k, const void *rounded, int64_t m)
{
    int8_jobs all = {.count = m > 0 ? count : 0};
    for (int i = 0; i < all.count; i++)
        all.job[i] =
            (int8_job){p[i].type, p[i].w, NULL, so_type_bytes(p[i].type, k), p[i].n, k, m, rounded, p[i].bias, p[i].y};
    int8_run(pool, &all);
}

static void gated_int8(so_pool *pool, const so_product *gate, const void *up, int64_t k, const void *rounded, int64_t m)
{
    int8_jobs all = {.count = m > 0};
    size_t stride = so_type_bytes(gate->type, k);
    all.job[0] = (int8_job){gate->type, gate->w, up, stride, gate->n, k, m, rounded, NULL, gate->y};
    int8_run(pool, &all);
}

void SO_FILL_INT8(so_kernels *table)
{
    table->round_int8 = round_int8;
    table->linear_int8 = linear_int8;
    table->gated_int8 = gated_int8;
}

#endif
