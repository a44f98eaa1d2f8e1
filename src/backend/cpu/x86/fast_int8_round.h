/* Rows rounded to int8, for one ISA: one by one for few rows, six side by side for many (backend/cpu/int8.h says how
 * they lie).
 *
 * A part of fast_int8.h, which includes it where its names are known.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_CPU_X86_FAST_INT8_ROUND_H
#define SO_BACKEND_CPU_X86_FAST_INT8_ROUND_H

typedef struct round_job {
    int64_t m, k;
    const float *x;
    void *out;
} round_job;

/* Columns at .. at + 256 of row i: where they lie, or copied with zeros behind. */
INLINE const float *stretch_at(const round_job *j, int64_t i, int64_t at, float part[SO_STRETCH])
{
    int64_t n = i < j->m ? j->k - at : 0;
    const float *x = j->x + i * j->k + at;
    if (n >= SO_STRETCH) return x;
    memset(part, 0, SO_STRETCH * sizeof *part);
    if (n > 0) memcpy(part, x, (size_t)n * sizeof *part);
    return part;
}

#if defined(__AVX512F__)
/* The larger of neighbouring quarters: those of a, then those of b. */
INLINE __m512i larger(__m512i a, __m512i b)
{
    return _mm512_max_epu32(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xdd));
}

/* The largest magnitude of each group of a stretch, as bits, so that what is not finite is largest. */
INLINE __m256i largest_bits(const float *x, __m512i turn)
{
    __m512i a[8], bits = _mm512_set1_epi32(0x7fffffff);
#pragma GCC unroll 8
    for (int g = 0; g < 8; g++)
        a[g] = _mm512_max_epu32(_mm512_and_si512(_mm512_loadu_si512(x + 32 * g), bits),
                                _mm512_and_si512(_mm512_loadu_si512(x + 32 * g + 16), bits));
    __m512i p = larger(larger(a[0], a[1]), larger(a[2], a[3])), q = larger(larger(a[4], a[5]), larger(a[6], a[7]));
    p = _mm512_max_epu32(_mm512_unpacklo_epi32(p, q), _mm512_unpackhi_epi32(p, q));
    p = _mm512_max_epu32(p, _mm512_shuffle_epi32(p, 0x4e));
    return _mm512_castsi512_si256(_mm512_permutexvar_epi32(turn, p));
}

/* 256 numbers: codes to q, scales of the 8 groups, which those of a span of 32 or 128 share; gives the sums of 16 codes
 * each. */
INLINE __m512i round_stretch(const int span, const float *x, int8_t *q, __m256 *scale)
{
    const __m512i turn = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15),
                  zero = _mm512_setzero_si512();
    __m256i top = largest_bits(x, turn);
    if (span == SO_SPAN) {
        top = _mm256_max_epu32(top, _mm256_shuffle_epi32(top, 0xb1));
        top = _mm256_max_epu32(top, _mm256_shuffle_epi32(top, 0x4e));
    }
    __m256 most = _mm256_castsi256_ps(top), all = _mm256_set1_ps(127);
    __mmask8 bad = _mm256_cmpge_epu32_mask(top, _mm256_set1_epi32(0x7f800000));
    __mmask8 some = _mm256_cmp_ps_mask(most, _mm256_set1_ps(1e-30f), _CMP_GE_OQ);
    *scale = _mm256_mask_mov_ps(_mm256_maskz_div_ps(some, most, all), bad, _mm256_set1_ps(NAN));
    float inverse[8];
    _mm256_storeu_ps(inverse, _mm256_maskz_div_ps((__mmask8)(some & ~bad), all, most));
    __m512i eights[4];
#pragma GCC unroll 4
    for (int u = 0; u < 4; u++) {
        vec low = v_set(inverse[2 * u]), high = v_set(inverse[2 * u + 1]);
        __m512i a = _mm512_cvtps_epi32(v_load(x + 64 * u) * low), b = _mm512_cvtps_epi32(v_load(x + 64 * u + 16) * low);
        __m512i c = _mm512_cvtps_epi32(v_load(x + 64 * u + 32) * high),
                d = _mm512_cvtps_epi32(v_load(x + 64 * u + 48) * high);
        a = _mm512_permutexvar_epi32(turn, _mm512_packs_epi16(_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d)));
        _mm512_storeu_si512(q + 64 * u, a);
        eights[u] = _mm512_sad_epu8(_mm512_xor_si512(a, _mm512_set1_epi8(-128)), zero);
    }
#define EVEN(a, b) _mm512_castps_si512(_mm512_shuffle_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b), 0x88))
    __m512i a = EVEN(eights[0], eights[1]), b = EVEN(eights[2], eights[3]);
    a = _mm512_add_epi32(a, _mm512_srli_epi64(a, 32));
    b = _mm512_add_epi32(b, _mm512_srli_epi64(b, 32));
    __m512i sum = _mm512_sub_epi32(_mm512_permutexvar_epi32(turn, EVEN(a, b)), _mm512_set1_epi32(16 * 128));
#undef EVEN
    if (__builtin_expect(bad, 0))
        for (int g = 0; g < 8; g++) {
            if (!(bad >> g & 1)) continue;
            memset(q + 32 * g, 0, 32);
            sum = _mm512_mask_mov_epi32(sum, (__mmask16)(3 << 2 * g), zero);
        }
    return sum;
}

/* Sums of 32 codes from sums of 16. */
INLINE __m256i sums_of_32(__m512i sum)
{
    __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 0, 2, 4, 6, 8, 10, 12, 14);
    return _mm512_castsi512_si256(_mm512_permutexvar_epi32(even, _mm512_add_epi32(sum, _mm512_srli_epi64(sum, 32))));
}

static void round_rows(void *p, int64_t row0, int64_t row1)
{
    const round_job *j = p;
    const __m512i twice = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    float part[SO_STRETCH];
    for (int64_t i = row0; i < row1; i++) {
        so_int8_row row = so_int8_row_at(j->out, i, j->k);
        int8_t *ordered = ordered_at(j->out, j->m, i, j->k);
        for (int64_t at = 0; at < so_int8_width(j->k); at += SO_STRETCH) {
            __m256 scale;
            __m512i sum = round_stretch(32, stretch_at(j, i, at, part), row.q + at, &scale);
            put_in_order(row.q + at, ordered + at, ordered + so_int8_width(j->k) + at);
            _mm256_storeu_ps(row.scale + at / 32, scale);
            _mm256_storeu_ps(row.sum32 + at / 32, _mm256_cvtepi32_ps(sums_of_32(sum)) * scale);
            v_store(row.sum16 + at / 16,
                    _mm512_cvtepi32_ps(sum) * _mm512_permutexvar_ps(twice, _mm512_castps256_ps512(scale)));
        }
    }
}

/* A stretch of the six rows of a panel, one after the other; the longest vectors first, for they are stored whole. */
typedef struct six_rows {
    int32_t q[SO_PANEL][SO_STRETCH / 4], minus16[SO_PANEL][16], minus32[SO_PANEL][8], scale[SO_PANEL][8],
        pairs[SO_PANEL][4];
} six_rows;

/* to[c][r] = from[r * stride + c]; n a multiple of 4. */
INLINE void six_across(const int32_t *from, const int stride, const int n, void *to)
{
    for (int c = 0; c < n; c += 4) {
        const int32_t *f = from + c;
        char *t = (char *)to + c * SO_PANEL * 4;
#define FOUR(r) _mm_load_si128((const __m128i *)(const void *)(f + (r)*stride))
        __m128i a = _mm_unpacklo_epi32(FOUR(0), FOUR(1)), b = _mm_unpackhi_epi32(FOUR(0), FOUR(1));
        __m128i d = _mm_unpacklo_epi32(FOUR(2), FOUR(3)), e = _mm_unpackhi_epi32(FOUR(2), FOUR(3));
        __m128i g = _mm_unpacklo_epi32(FOUR(4), FOUR(5)), h = _mm_unpackhi_epi32(FOUR(4), FOUR(5));
#undef FOUR
        const __m128i four[4] = {_mm_unpacklo_epi64(a, d), _mm_unpackhi_epi64(a, d), _mm_unpacklo_epi64(b, e),
                                 _mm_unpackhi_epi64(b, e)};
        const __m128i two[4] = {g, _mm_unpackhi_epi64(g, g), h, _mm_unpackhi_epi64(h, h)};
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            _mm_storeu_si128((__m128i *)(void *)(t + 24 * i), four[i]);
            _mm_storel_epi64((__m128i *)(void *)(t + 24 * i + 16), two[i]);
        }
    }
}

/* The lower halves of 8 numbers side by side. */
INLINE __m128i in_pairs(__m256i a)
{
    return _mm256_cvtepi64_epi32(_mm256_blend_epi16(a, _mm256_srli_epi64(a, 16), 0xaa));
}

static void round_panels(void *p, int64_t panel0, int64_t panel1)
{
    const round_job *j = p;
    float part[SO_STRETCH];
    six_rows six __attribute__((aligned(64)));
    const __m512i zero = _mm512_setzero_si512();
    for (int64_t panel = panel0; panel < panel1; panel++) {
        so_int8_panel to = so_int8_panel_at(j->out, panel, j->k);
        for (int64_t at = 0; at < so_int8_width(j->k); at += SO_STRETCH) {
            for (int r = 0; r < SO_PANEL; r++) {
                __m256 scale;
                __m512i sum =
                    round_stretch(SO_SPAN, stretch_at(j, panel * SO_PANEL + r, at, part), (int8_t *)six.q[r], &scale);
                __m256i minus = _mm256_sub_epi32(_mm256_setzero_si256(), sums_of_32(sum));
                _mm256_store_ps((float *)(void *)six.scale[r], scale);
                _mm_store_si128((__m128i *)(void *)six.pairs[r], in_pairs(minus));
                _mm256_store_si256((__m256i *)(void *)six.minus32[r], _mm256_slli_epi32(minus, 7));
                _mm512_store_si512(six.minus16[r], _mm512_slli_epi32(_mm512_sub_epi32(zero, sum), 7));
            }
            int64_t g = at / 32 * SO_PANEL;
            six_across(six.q[0], SO_STRETCH / 4, SO_STRETCH / 4, to.q + at * SO_PANEL);
            for (int r = 0; r < 2 * SO_PANEL; r++)
                memcpy(to.scale + g / 4 + r, &six.scale[r % SO_PANEL][r / SO_PANEL * 4], 4);
            six_across(six.pairs[0], 4, 4, to.pairs + g / 2);
            six_across(six.minus32[0], 8, 8, to.minus32 + g);
            six_across(six.minus16[0], 16, 16, to.minus16 + 2 * g);
        }
    }
}
#else
INLINE int32_t sum_lanes(__m128i a)
{
    a = _mm_add_epi32(a, _mm_shuffle_epi32(a, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(a, _mm_shuffle_epi32(a, 0xb1)));
}

/* 16 numbers times `inverse`, as bytes; gives the sum of the codes. */
INLINE int32_t round_16(const float *x, float inverse, int8_t *q)
{
    __m256i a = _mm256_cvtps_epi32(v_load(x) * v_set(inverse)), b = _mm256_cvtps_epi32(v_load(x + 8) * v_set(inverse));
    __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8), s = _mm256_add_epi32(a, b);
    __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storeu_si128((__m128i *)q, bytes);
    return sum_lanes(_mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1)));
}

/* A span of n numbers: codes to q, sums of 16 codes each to `sum`; gives the scale. */
INLINE float round_span(const int64_t n, const float *x, int8_t *q, int32_t sum[SO_SPAN / 16])
{
    vec most = v_set(0), bad = v_set(0);
#pragma GCC unroll 4
    for (int64_t i = 0; i < n; i += W) {
        vec a = v_load(x + i);
        most = v_max(v_abs(a), most);
        bad = v_fma(a, v_set(0), bad);
    }
    float top = v_largest(most), wrong = v_sum(bad), inverse = top < 1e-30f || wrong != 0 ? 0 : 127 / top;
    for (int64_t i = 0; i < n / 16; i++) sum[i] = round_16(x + 16 * i, inverse, q + 16 * i);
    if (wrong != 0) {
        memset(q, 0, (size_t)n);
        memset(sum, 0, SO_SPAN / 16 * sizeof *sum);
    }
    return (top < 1e-30f ? 0 : top / 127) + wrong;
}

static void round_rows(void *p, int64_t row0, int64_t row1)
{
    const round_job *j = p;
    float part[SO_STRETCH];
    const int64_t span = so_int8_span(j->m);
    for (int64_t i = row0; i < row1; i++) {
        so_int8_row row = so_int8_row_at(j->out, i, j->k);
        for (int64_t at = 0; at < so_int8_width(j->k); at += SO_STRETCH) {
            const float *x = stretch_at(j, i, at, part);
            for (int64_t s = at; s < at + SO_STRETCH; s += span) {
                int32_t sum[SO_SPAN / 16];
                float scale = round_span(span, x + s - at, row.q + s, sum);
                for (int64_t g = 0; g < span / 16; g++) row.sum16[s / 16 + g] = scale * (float)sum[g];
                for (int64_t g = 0; g < span / 32; g++) {
                    row.scale[s / 32 + g] = scale;
                    row.sum32[s / 32 + g] = scale * (float)(sum[2 * g] + sum[2 * g + 1]);
                }
            }
        }
    }
}
#endif

static void round_int8(so_pool *pool, int64_t m, int64_t k, const float *x, void *out)
{
    round_job job = {m, k, x, out};
#if defined(__AVX512F__)
    if (m > SO_FEW_ROWS) {
        so_for_rows(pool, (m + SO_PANEL - 1) / SO_PANEL, 1, round_panels, &job);
        return;
    }
#endif
    so_for_rows(pool, m, 8, round_rows, &job);
}

#endif
