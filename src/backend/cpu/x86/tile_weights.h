/* Stored blocks of weights as left factors on matrix tiles: rows of weights are rows of a tile, so that nothing is
 * transposed. Either numbers rounded to bf16, scales and minima applied, or the codes as signed bytes with scales and
 * minima beside them.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_CPU_X86_TILE_WEIGHTS_H
#define SO_BACKEND_CPU_X86_TILE_WEIGHTS_H

#include "backend/cpu/int8.h"
#include "backend/cpu/x86/tile_pack.h"
#include "base/block.h"
#include "base/quantise.h"

#if defined(__AVX512F__)
#include "backend/cpu/x86/fast_int8_codes.h"
#endif

enum { WEIGHT_ROWS = 32 };

/* 32 rows of weights, up to 512 deep, as bytes. */
typedef struct tile_codes {
    int8_t code[2][DEEP_BLOCK / 64][16][64];       /* bytes: tiles of 16 rows x 64 */
    float scale[DEEP_BLOCK / 16][WEIGHT_ROWS];     /* by groups of 32, or of 16 for q6_k */
    int32_t least[DEEP_BLOCK / 64][WEIGHT_ROWS];   /* six-bit minima of two groups, 16 bits each */
    float of_least[DEEP_BLOCK / 256][WEIGHT_ROWS]; /* what they are multiplied by */
} tile_codes;
_Static_assert(sizeof(tile_codes) <= SO_PACK_A * 4, "the scratch holds weights taken apart");

TILE_INLINE bool is_affine(so_type type) { return type == SO_Q4_K || type == SO_Q5_K; }
TILE_INLINE int group_of(so_type type) { return type == SO_Q6_K ? 16 : 32; }
TILE_INLINE size_t bytes_of_stretch(so_type type)
{
    return type == SO_Q8_0 ? 272 : type == SO_Q5_0 || type == SO_Q5_K ? 176 : type == SO_Q6_K ? 210 : 144;
}

#if defined(__AVX512F__)
TILE_INLINE void put_32(vec a, vec b, uint16_t *to) { _mm512_storeu_si512(to, (__m512i)_mm512_cvtne2ps_pbh(b, a)); }

TILE_INLINE vec lane_of(vec a, int i) { return _mm512_permutexvar_ps(_mm512_set1_epi32(i), a); }

/* Nibbles are looked up among the sixteen numbers that a group has, rounded before: 32 with one instruction, which
 * reads five bits of each index and finds the sixteen twice. */
TILE_INLINE void nibble_numbers(so_type type, const unsigned char *w, uint16_t *to)
{
    const vec steps = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i high = _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_set1_epi16(4), 1);
    groups scale, minus;
    stretch_scales(type, w, &scale, &minus);
#pragma GCC unroll 8
    for (int g = 0; g < 8; g++, to += TILE_NUMBERS) {
        const vec by = lane_of(scale.v[0], g);
        const vec all =
            type == SO_Q4_0 ? (vec)((steps - v_set(8)) * by) : (vec)_mm512_fmsub_ps(steps, by, lane_of(minus.v[0], g));
        const __m512i table = (__m512i)_mm512_cvtne2ps_pbh(all, all);
        __m512i index;
        if (type == SO_Q4_0) {
            index = _mm512_cvtepu8_epi16(
                _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)(w + 18 * g + 2))));
            index = _mm512_srlv_epi16(index, high);
        } else {
            index = _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)(const void *)(w + 16 + 32 * (g / 2))));
            if (g % 2) index = _mm512_srli_epi16(index, 4);
        }
        _mm512_storeu_si512(to, _mm512_permutexvar_epi16(index, table));
    }
}

/* What is to be taken off codes, so that they are signed. */
TILE_INLINE int code_offset(so_type type)
{
    return type == SO_Q8_0 ? 128 : type == SO_Q4_0 ? 8 : type == SO_Q5_0 ? 16 : type == SO_Q6_K ? 32 : 0;
}
#endif

/* Row r of 16, stretch s of the block. */
TILE_INLINE void stretch_numbers(so_type type, const unsigned char *w, int s, uint16_t *to)
{
    to += s * 8 * TILE_NUMBERS;
#if defined(__AVX512F__)
    if (type == SO_Q4_0 || type == SO_Q4_K) {
        nibble_numbers(type, w, to);
        return;
    }
    groups scale, minus;
    stretch_scales(type, w, &scale, &minus);
#pragma GCC unroll 4
    for (int u = 0; u < 4; u++, to += 2 * TILE_NUMBERS) {
        const ivec c = _mm512_sub_epi8(codes(type, w, u), _mm512_set1_epi8((char)code_offset(type)));
        const __m128i part[4] = {_mm512_castsi512_si128(c), _mm512_extracti32x4_epi32(c, 1),
                                 _mm512_extracti32x4_epi32(c, 2), _mm512_extracti32x4_epi32(c, 3)};
        vec f[4];
#pragma GCC unroll 4
        for (int q = 0; q < 4; q++) {
            const int group = type == SO_Q6_K ? 4 * u + q : 2 * u + q / 2;
            const vec code = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(part[q])), by = lane_of(scale.v[0], group);
            f[q] = is_affine(type) ? (vec)_mm512_fmsub_ps(code, by, lane_of(minus.v[0], group)) : (vec)(code * by);
        }
        put_32(f[0], f[1], to);
        put_32(f[2], f[3], to + TILE_NUMBERS);
    }
#else
    float x[SO_STRETCH];
    so_dequantise_row(type, w, SO_STRETCH, x);
    for (int i = 0; i < SO_STRETCH; i += TILE_DEEP, to += TILE_NUMBERS) pack_32(x + i, TILE_DEEP, to);
#endif
}

#if !defined(__AVX512F__)
/* Weight i of a stretch as a code, what is subtracted from it taken off. */
static int8_t code_at(so_type type, const unsigned char *w, int i)
{
    const unsigned char *b = w + (size_t)(i / 32) * (size_t)so_type_about(type)->bytes;
    int g = i / 32, l = i % 32, high;
    switch (type) {
    case SO_Q8_0:
        return (int8_t)b[2 + l];
    case SO_Q4_0:
        return (int8_t)((b[2 + l % 16] >> l / 16 * 4 & 15) - 8);
    case SO_Q5_0:
        return (int8_t)(((b[6 + l % 16] >> l / 16 * 4 & 15) | (b[2 + l / 8] >> l % 8 & 1) << 4) - 16);
    case SO_Q4_K:
        return (int8_t)(((const so_block_q4_k *)w)->q[g / 2 * 32 + l] >> g % 2 * 4 & 15);
    case SO_Q5_K:
        high = ((const so_block_q5_k *)w)->high[l] >> g & 1;
        return (int8_t)((((const so_block_q5_k *)w)->q[g / 2 * 32 + l] >> g % 2 * 4 & 15) | high << 4);
    default: { /* SO_Q6_K */
        const so_block_q6_k *q = (const so_block_q6_k *)w;
        high = q->high[32 * (g / 4) + l] >> 2 * (g % 4) & 3;
        return (int8_t)(((q->low[64 * (g / 4) + 32 * (g % 2) + l] >> g % 4 / 2 * 4 & 15) | high << 4) - 32);
    }
    }
}
#endif

/* Scales and minima of row `row` of the block's 32. */
TILE_INLINE void stretch_factors(so_type type, const unsigned char *w, int s, int row, tile_codes *out)
{
    const int n = SO_STRETCH / group_of(type);
    if (is_affine(type)) {
        uint8_t scale[8], least[8];
        float d = so_block_f16(w);
        so_block_six(w + 4, scale, least);
        for (int g = 0; g < n; g++) out->scale[s * n + g][row] = d * (float)scale[g];
        for (int g = 0; g < 4; g++) out->least[4 * s + g][row] = least[2 * g] | least[2 * g + 1] << 16;
        out->of_least[s][row] = so_block_f16(w + 2);
        return;
    }
    for (int g = 0; g < n; g++)
        out->scale[s * n + g][row] = type == SO_Q6_K ? so_block_f16(w + 208) * (float)(int8_t)w[192 + g]
                                                     : so_block_f16(w + (size_t)g * (size_t)so_type_about(type)->bytes);
}

TILE_INLINE void stretch_codes(so_type type, const unsigned char *w, int s, int row, tile_codes *out)
{
    int8_t(*to)[16][64] = out->code[row / 16] + 4 * s;
#if defined(__AVX512F__)
#pragma GCC unroll 4
    for (int u = 0; u < 4; u++)
        _mm512_storeu_si512(to[u][row % 16],
                            _mm512_sub_epi8(codes(type, w, u), _mm512_set1_epi8((char)code_offset(type))));
#else
    for (int i = 0; i < SO_STRETCH; i++) to[i / 64][row % 16][i % 64] = code_at(type, w, i);
#endif
    stretch_factors(type, w, s, row, out);
}

/* Rows j .. j + 32 of n rows of k weights, columns l .. l1 (of which those from k on are zeros); rows behind the last
 * repeat it. */
typedef struct tile_weights {
    const unsigned char *w;
    size_t stride;
    int64_t n, k, j, l, l1;
} tile_weights;

/* Row r, stretch s from l on; where it is cut by the end of the row, a copy with zeros behind in `part`. */
TILE_INLINE const unsigned char *stretch_at(so_type type, const tile_weights *t, int row, int s,
                                            unsigned char part[272])
{
    const int64_t j = t->j + row < t->n ? t->j + row : t->n - 1, l = t->l + s * (int64_t)SO_STRETCH;
    const unsigned char *from = t->w + (size_t)j * t->stride + (size_t)(l / SO_STRETCH) * bytes_of_stretch(type);
    if (l + SO_STRETCH <= t->k) return from;
    memset(part, 0, 272);
    return memcpy(part, from, so_type_bytes(type, t->k - l));
}

TILE_INLINE void take_codes_of(so_type type, const tile_weights *t, tile_codes *out)
{
    unsigned char part[272];
    for (int row = 0; row < WEIGHT_ROWS; row++)
        for (int s = 0; s < (int)((t->l1 - t->l) / SO_STRETCH); s++)
            stretch_codes(type, stretch_at(type, t, row, s, part), s, row, out);
}

/* A piece of 32 rows as bytes. */
static void take_codes(so_type type, const tile_weights *t, tile_codes *out)
{
    switch (type) {
    case SO_Q8_0:
        take_codes_of(SO_Q8_0, t, out);
        break;
    case SO_Q4_0:
        take_codes_of(SO_Q4_0, t, out);
        break;
    case SO_Q5_0:
        take_codes_of(SO_Q5_0, t, out);
        break;
    case SO_Q4_K:
        take_codes_of(SO_Q4_K, t, out);
        break;
    case SO_Q5_K:
        take_codes_of(SO_Q5_K, t, out);
        break;
    default:
        take_codes_of(SO_Q6_K, t, out);
        break;
    }
}

/* A piece of 32 rows as numbers, a stretch at a time: the vector units do it while matrix tiles work. Bytes of the rows
 * that follow soon are asked for: `ahead` rows further into the first cache, those of `then` into the second. */
typedef struct tile_taking {
    so_type type;
    tile_weights of, then; /* then.w NULL: nothing */
    uint16_t *to;          /* [2][l1 - l / 32] tiles, halves HALF_PANEL apart */
    int row, s, stretches; /* next; of a row */
} tile_taking;
enum { HALF_PANEL = DEEP_BLOCK * 16, ROWS_AHEAD = 3 };

TILE_INLINE void ask_for(const tile_weights *t, size_t at, size_t bytes, int row, bool near)
{
    if (t->j + row >= t->n) return;
    const unsigned char *from = t->w + (size_t)(t->j + row) * t->stride + at;
    for (size_t i = 0; i < bytes + 63; i += 64) {
        if (near)
            __builtin_prefetch(from + i, 0, 3);
        else
            __builtin_prefetch(from + i, 0, 2);
    }
}

TILE_INLINE void take_stretch_of(so_type type, tile_taking *t)
{
    unsigned char part[272];
    const size_t bytes = bytes_of_stretch(type), at = (size_t)(t->of.l / SO_STRETCH + t->s) * bytes;
    if (t->row + ROWS_AHEAD < WEIGHT_ROWS) ask_for(&t->of, at, bytes, t->row + ROWS_AHEAD, true);
    if (t->then.w && t->then.l + t->s * (int64_t)SO_STRETCH < t->then.k)
        ask_for(&t->then, (size_t)(t->then.l / SO_STRETCH + t->s) * bytes, bytes, t->row, false);
    stretch_numbers(type, stretch_at(type, &t->of, t->row, t->s, part), t->s,
                    t->to + t->row / 16 * HALF_PANEL + t->row % 16 * 32);
    if (++t->s == t->stretches) t->s = 0, t->row++;
}

/* The next stretch; does nothing when all are taken. */
static void take_stretch(tile_taking *t)
{
    if (t->row == WEIGHT_ROWS) return;
    switch (t->type) {
    case SO_Q8_0:
        take_stretch_of(SO_Q8_0, t);
        break;
    case SO_Q4_0:
        take_stretch_of(SO_Q4_0, t);
        break;
    case SO_Q5_0:
        take_stretch_of(SO_Q5_0, t);
        break;
    case SO_Q4_K:
        take_stretch_of(SO_Q4_K, t);
        break;
    case SO_Q5_K:
        take_stretch_of(SO_Q5_K, t);
        break;
    default:
        take_stretch_of(SO_Q6_K, t);
        break;
    }
}

#endif
