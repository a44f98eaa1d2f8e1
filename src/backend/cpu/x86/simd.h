/* One vector of floats, of the width that the including file's flags allow, and the functions of analysis on it.
 * Included by fast_avx2.c and fast_avx512.c only, so that every fast kernel is written once.
 *
 * Relative error against double, exhaustively over the ranges of tests/kernels: exp 1.2e-7, expm1 2e-7, sigmoid 2.4e-7,
 * tanh 3e-7, sin 1.2e-7 of 1 for |x| < 4e4. Polynomials: own minimax fits (Lawson iteration).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_CPU_X86_SIMD_H
#define SO_BACKEND_CPU_X86_SIMD_H

#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)

enum { W = 16 };
typedef __m512 vec;
typedef __mmask16 vmask;

static inline vec v_load(const float *p) { return _mm512_loadu_ps(p); }
static inline void v_store(float *p, vec a) { _mm512_storeu_ps(p, a); }
static inline vec v_set(float a) { return _mm512_set1_ps(a); }
static inline vec v_fma(vec a, vec b, vec c) { return _mm512_fmadd_ps(a, b, c); }
static inline vec v_fnma(vec a, vec b, vec c) { return _mm512_fnmadd_ps(a, b, c); }
static inline vec v_add(vec a, vec b) { return _mm512_add_ps(a, b); }
static inline vec v_max(vec a, vec b) { return _mm512_max_ps(a, b); } /* b where either is NaN */
static inline vec v_min(vec a, vec b) { return _mm512_min_ps(a, b); }
static inline vec v_abs(vec a) { return _mm512_abs_ps(a); }
static inline vec v_round(vec a) { return _mm512_roundscale_ps(a, 0); }
static inline vmask v_tail(int64_t n) { return (vmask)(n >= W ? 0xffff : (1u << n) - 1); }
static inline vec v_load_m(const float *p, vmask m) { return _mm512_maskz_loadu_ps(m, p); }
static inline void v_store_m(float *p, vmask m, vec a) { _mm512_mask_storeu_ps(p, m, a); }
static inline vmask v_gt(vec a, vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ); }
static inline vec v_pick(vmask m, vec yes, vec no) { return _mm512_mask_blend_ps(m, no, yes); }
static inline int v_any(vmask m) { return m != 0; }
static inline vec v_scale2(vec a, vec n) { return _mm512_scalef_ps(a, n); } /* a 2^n, n whole */
static inline float v_sum(vec a) { return _mm512_reduce_add_ps(a); }
/* v_sum of four, to the bit, in half the steps that four of them take. */
static inline __m128 v_sum4(vec a, vec b, vec c, vec d)
{
    vec ab = v_add(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
    vec cd = v_add(_mm512_shuffle_f32x4(c, d, 0x44), _mm512_shuffle_f32x4(c, d, 0xee));
    vec s = v_add(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xdd));
    s = v_add(s, _mm512_permute_ps(s, 0x4e));
    s = v_add(s, _mm512_permute_ps(s, 0xb1));
    const __m512i first = _mm512_setr_epi32(0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12);
    return _mm512_castps512_ps128(_mm512_permutexvar_ps(first, s));
}
static inline float v_largest(vec a) { return _mm512_reduce_max_ps(a); }
typedef struct vsum { /* sums in double, lane by lane */
    __m512d a, b;
} vsum;
static inline vsum v_sum_start(void) { return (vsum){_mm512_setzero_pd(), _mm512_setzero_pd()}; }
static inline void v_sum_add(vsum *s, vec x)
{
    s->a = _mm512_add_pd(s->a, _mm512_cvtps_pd(_mm512_castps512_ps256(x)));
    s->b = _mm512_add_pd(s->b, _mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1)));
}
static inline double v_sum_end(vsum s) { return _mm512_reduce_add_pd(_mm512_add_pd(s.a, s.b)); }
/* -a where the whole number n is odd */
static inline vec v_flip_odd(vec a, vec n)
{
    __m512i sign = _mm512_slli_epi32(_mm512_cvtps_epi32(n), 31);
    return _mm512_castsi512_ps(_mm512_xor_si512(_mm512_castps_si512(a), sign));
}
static inline vec v_load_bf16(const uint16_t *p)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p)), 16));
}
static inline vec v_load_f16(const uint16_t *p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p)); }
static inline vec v_load_i8(const void *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
}

#else

enum { W = 8 };
typedef __m256 vec;
typedef __m256 vmask; /* all bits of a lane */

static inline vec v_load(const float *p) { return _mm256_loadu_ps(p); }
static inline void v_store(float *p, vec a) { _mm256_storeu_ps(p, a); }
static inline vec v_set(float a) { return _mm256_set1_ps(a); }
static inline vec v_fma(vec a, vec b, vec c) { return _mm256_fmadd_ps(a, b, c); }
static inline vec v_fnma(vec a, vec b, vec c) { return _mm256_fnmadd_ps(a, b, c); }
static inline vec v_add(vec a, vec b) { return _mm256_add_ps(a, b); }
static inline vec v_max(vec a, vec b) { return _mm256_max_ps(a, b); }
static inline vec v_min(vec a, vec b) { return _mm256_min_ps(a, b); }
static inline vec v_abs(vec a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
static inline vec v_round(vec a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
static inline vmask v_tail(int64_t n)
{
    __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(n > W ? W : (int)n), lane));
}
static inline vec v_load_m(const float *p, vmask m) { return _mm256_maskload_ps(p, _mm256_castps_si256(m)); }
static inline void v_store_m(float *p, vmask m, vec a) { _mm256_maskstore_ps(p, _mm256_castps_si256(m), a); }
static inline vmask v_gt(vec a, vec b) { return _mm256_cmp_ps(a, b, _CMP_GT_OQ); }
static inline vec v_pick(vmask m, vec yes, vec no) { return _mm256_blendv_ps(no, yes, m); }
static inline int v_any(vmask m) { return _mm256_movemask_ps(m) != 0; }
static inline vec v_pow2(__m256i n)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}
static inline vec v_scale2(vec a, vec n) /* in two steps, so that the ends of the range come out */
{
    __m256i i = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(i, 1);
    return a * v_pow2(half) * v_pow2(_mm256_sub_epi32(i, half));
}
static inline float v_sum(vec a)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
}
/* v_sum of four, to the bit, in half the steps that four of them take. */
static inline __m128 v_sum4(vec a, vec b, vec c, vec d)
{
    vec ab = v_add(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));
    vec cd = v_add(_mm256_permute2f128_ps(c, d, 0x20), _mm256_permute2f128_ps(c, d, 0x31));
    vec s = v_add(_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xee)); /* a and c, b and d */
    s = v_add(s, _mm256_permute_ps(s, 0xb1));
    return _mm_unpacklo_ps(_mm_permute_ps(_mm256_castps256_ps128(s), 0x08),
                           _mm_permute_ps(_mm256_extractf128_ps(s, 1), 0x08));
}
static inline float v_largest(vec a)
{
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_shuffle_ps(s, s, 1)));
}
typedef struct vsum { /* sums in double, lane by lane */
    __m256d a, b;
} vsum;
static inline vsum v_sum_start(void) { return (vsum){_mm256_setzero_pd(), _mm256_setzero_pd()}; }
static inline void v_sum_add(vsum *s, vec x)
{
    s->a = _mm256_add_pd(s->a, _mm256_cvtps_pd(_mm256_castps256_ps128(x)));
    s->b = _mm256_add_pd(s->b, _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1)));
}
static inline double v_sum_end(vsum s)
{
    __m256d ab = _mm256_add_pd(s.a, s.b);
    __m128d t = _mm_add_pd(_mm256_castpd256_pd128(ab), _mm256_extractf128_pd(ab, 1));
    return _mm_cvtsd_f64(t) + _mm_cvtsd_f64(_mm_unpackhi_pd(t, t));
}
static inline vec v_flip_odd(vec a, vec n)
{
    __m256i sign = _mm256_slli_epi32(_mm256_cvtps_epi32(n), 31);
    return _mm256_castsi256_ps(_mm256_xor_si256(_mm256_castps_si256(a), sign));
}
static inline vec v_load_bf16(const uint16_t *p)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p)), 16));
}
static inline vec v_load_f16(const uint16_t *p) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)); }
static inline vec v_load_i8(const void *p)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}

#endif

/* x = n ln 2 + r; gives e^r - 1 and n. */
static inline vec v_expm1_reduced(vec x, vec *n)
{
    *n = v_round(x * v_set(0x1.715476p0f));
    vec r = v_fnma(*n, v_set(0x1.62e430p-1f), x);
    r = v_fma(*n, v_set(0x1.05c610p-29f), r);
    vec q = v_set(0.000199179703486152f);
    q = v_fma(q, r, v_set(0.0013946190010756254f));
    q = v_fma(q, r, v_set(0.008333264850080013f));
    q = v_fma(q, r, v_set(0.041666269302368164f));
    q = v_fma(q, r, v_set(0.1666666716337204f));
    q = v_fma(q, r, v_set(0.5f));
    return v_fma(r * r, q, r);
}

/* Zero below -104, infinity above 88.73; NaN stays. */
static inline vec v_exp(vec x)
{
    vec n, p = v_expm1_reduced(v_min(v_set(90), v_max(v_set(-105), x)), &n);
    return v_scale2(p + v_set(1), n);
}

static inline vec v_expm1(vec x)
{
    vec n, p = v_expm1_reduced(v_min(v_set(90), v_max(v_set(-105), x)), &n), one = v_set(1);
    vec power = v_scale2(one, v_min(n, v_set(126))), rest = v_scale2(one, n - v_min(n, v_set(126)));
    return v_fma(power, p, power - one) * rest;
}

/* 2^x for x <= 0, good to 4e-5, which rounding to bf16 hides; 0 below 2^-126. */
static inline vec v_exp2_short(vec x)
{
    vec n = v_round(x), r = x - n;
    vec p = v_fma(v_set(9.6181291e-3f), r, v_set(5.5504109e-2f));
    p = v_fma(p, r, v_set(2.4022651e-1f));
    p = v_fma(p, r, v_set(6.9314718e-1f));
    return v_pick(v_gt(x, v_set(-126)), v_scale2(v_fma(p, r, v_set(1)), n), v_set(0));
}

static inline vec v_sigmoid(vec x) { return v_set(1) / (v_set(1) + v_exp(-x)); }

static inline vec v_tanh(vec x)
{
    vec e = v_expm1(v_min(v_set(20), v_max(v_set(-20), x + x)));
    return e / (e + v_set(2));
}

/* Standard normal distribution function and density. Phi(-t) = e^(-t^2/2) g(t), g a polynomial in 1 / (1 + 0.3 t). */
static inline vec v_normal(vec x, vec *density)
{
    vec t = v_abs(x), u = v_set(1) / v_fma(t, v_set(0.3f), v_set(1)), e = v_exp(t * t * v_set(-0.5f));
    static const float c[11] = {9.561357501297607e-07f, 0.11966470628976822f,  0.11979036778211594f,
                                0.10899677127599716f,   0.08282633125782013f,  0.08564525842666626f,
                                -0.0627087652683258f,   0.17413461208343506f,  -0.21634426712989807f,
                                0.10783596336841583f,   -0.019841933622956276f};
    vec g = v_set(c[10]);
    for (int i = 9; i >= 0; i--) g = v_fma(g, u, v_set(c[i]));
    g = g * e;
    *density = e * v_set(0.39894228040143267794f);
    return v_pick(v_gt(x, v_set(0)), v_set(1) - g, g);
}

/* sin(x - shift pi), |x| < 4e4. */
static inline vec v_sin_near(vec x, float shift)
{
    vec n = v_round(v_fma(x, v_set(0x1.45f306p-2f), v_set(-shift))), m = n + v_set(shift);
    vec r = v_fnma(m, v_set(0x1.921fb6p1f), x); /* pi in three pieces */
    r = v_fma(m, v_set(0x1.777a5cp-24f), r);
    r = v_fma(m, v_set(0x1.ee59dap-49f), r);
    vec s = r * r, q = v_set(-2.3907359647523663e-08f);
    q = v_fma(q, s, v_set(2.7526518806553213e-06f));
    q = v_fma(q, s, v_set(-0.00019840891764033586f));
    q = v_fma(q, s, v_set(0.008333330973982811f));
    q = v_fma(q, s, v_set(-0.1666666716337204f));
    return v_flip_odd(v_fma(r * s, q, r), n);
}

static inline vec v_sin_or_cos(vec x, int cosine)
{
    if (v_any(v_gt(v_abs(x), v_set(4e4f)))) {
        float a[W];
        v_store(a, x);
        for (int i = 0; i < W; i++) a[i] = (float)(cosine ? cos((double)a[i]) : sin((double)a[i]));
        return v_load(a);
    }
    /* cos x = -sin(x - pi/2) = sin of the rest to (n + 1/2) pi, with the sign the other way */
    return cosine ? -v_sin_near(x, 0.5f) : v_sin_near(x, 0);
}
static inline vec v_sin(vec x) { return v_sin_or_cos(x, 0); }
static inline vec v_cos(vec x) { return v_sin_or_cos(x, 1); }

/* r[i] lane j becomes r[j] lane i. */
static inline void transpose(vec r[W])
{
#if defined(__AVX512F__)
    __m512 t[16];
#pragma GCC unroll 8
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
#define PD(x) _mm512_castps_pd(x)
#define PS(x) _mm512_castpd_ps(x)
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) {
        r[i] = PS(_mm512_unpacklo_pd(PD(t[i]), PD(t[i + 2])));
        r[i + 1] = PS(_mm512_unpackhi_pd(PD(t[i]), PD(t[i + 2])));
        r[i + 2] = PS(_mm512_unpacklo_pd(PD(t[i + 1]), PD(t[i + 3])));
        r[i + 3] = PS(_mm512_unpackhi_pd(PD(t[i + 1]), PD(t[i + 3])));
    }
#undef PD
#undef PS
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        t[i] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0xdd);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        r[i] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0x88);
        r[i + 8] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0xdd);
        r[i + 4] = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0x88);
        r[i + 12] = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0xdd);
    }
#else
    __m256 t[8];
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
        r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
        r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
    for (int i = 0; i < 4; i++) {
        t[i] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x20);
        t[i + 4] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x31);
    }
    for (int i = 0; i < 8; i++) r[i] = t[i];
#endif
}

static inline int least(int64_t a, int64_t b) { return (int)(a < b ? a : b); }

#endif
