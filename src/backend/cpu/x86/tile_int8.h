/* Products of stored blocks with many rows on matrix tiles.
 *
 * As numbers rounded to bf16: 32 rows of weights, 512 deep, stay in the first cache while strips of 16 rows of x, laid
 * out as right factors when they were rounded, come by from the second, up to 512 rows, and the next 32 rows are taken
 * apart (tile_weights.h). Sums are transposed blocks, [32 weights][16 rows], that wait in scratch between pieces of k,
 * for up to 512 columns. A block of 32 x 32 sums is 64 cycles of the unit for 32 numbers along k.
 *
 * As bytes the unit is half used, for a product of tiles ends with each group of 32 (16: a quarter), and every sum of
 * whole numbers becomes a float, times its scale, in the vector unit: 3 loads, a conversion and a multiply-add for 16
 * sums of 32. There the order of operations is that of fast_int8_panels.h, so that results are the same bits.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_CPU_X86_TILE_INT8_H
#define SO_BACKEND_CPU_X86_TILE_INT8_H

#include <math.h>

#include "backend/cpu/tiles.h"
#include "backend/cpu/x86/tile_weights.h"

enum { STRIP_ROWS = 16, NEAR_ROWS = 512, NEAR_COLS = 512, SUMS = WEIGHT_ROWS * STRIP_ROWS };
_Static_assert(NEAR_ROWS *NEAR_COLS <= SO_PACK_B, "the scratch holds the sums of a task");

/* Rounded rows, strips of 16. As bf16: [kp/512][strips][16] tiles, so that what a piece of k meets lies together
 * (strips a whole k apart would share few sets of the second cache). Behind them strips as bytes. */
typedef struct tile_x {
    int8_t *code;   /* [kp/32][8][16][4] */
    float *scale;   /* [kp/128][16] */
    int32_t *minus; /* [kp/64][16]: minus the sums of the codes of two groups, 16 bits each */
} tile_x;

static tile_x strip_at(const void *rounded, int64_t m, int64_t k, int64_t strip)
{
    const int64_t kp = so_int8_width(k), all = tiles_of(m, STRIP_ROWS);
    char *numbers = (char *)(uintptr_t)rounded, *bytes = numbers + all * kp * 32 + strip * (kp * 16 + kp / 2 + kp);
    tile_x x = {.code = (int8_t *)bytes};
    x.scale = (float *)(void *)(bytes + kp * 16);
    x.minus = (int32_t *)(void *)(bytes + kp * 16 + kp / 2);
    return x;
}

/* The strip's numbers from l on, a multiple of DEEP_BLOCK. */
static uint16_t *numbers_at(const void *rounded, int64_t m, int64_t k, int64_t strip, int64_t l)
{
    const int64_t deep = least(so_int8_width(k) - l, DEEP_BLOCK);
    return (uint16_t *)(uintptr_t)rounded + (l * tiles_of(m, STRIP_ROWS) + strip * deep) * STRIP_ROWS;
}

/* Which forms of x any type wants. */
static void wanted_forms(bool *numbers, bool *bytes)
{
    static const so_type type[] = {SO_Q8_0, SO_Q4_0, SO_Q5_0, SO_Q4_K, SO_Q5_K, SO_Q6_K};
    *numbers = *bytes = false;
    for (size_t i = 0; i < sizeof type / sizeof type[0]; i++) *(so_tiles.bytes[type[i]] ? bytes : numbers) = true;
}

/* ---- rounding */

typedef struct tile_round_job {
    int64_t m, k;
    const float *x;
    void *out;
    bool numbers, bytes;
} tile_round_job;

/* A span of 128 numbers, n of them there, as codes; gives the scale. */
static float round_span(const float *x, int64_t n, int8_t code[SO_SPAN])
{
    float part[SO_SPAN] = {0};
    uint32_t most = 0;
    memcpy(part, x, (size_t)n * sizeof *part);
    for (int i = 0; i < SO_SPAN; i++) {
        uint32_t bits;
        memcpy(&bits, &part[i], 4);
        bits &= 0x7fffffff;
        if (bits > most) most = bits;
    }
    float top;
    memcpy(&top, &most, 4);
    memset(code, 0, SO_SPAN);
    if (most >= 0x7f800000) return NAN;
    if (top < 1e-30f) return 0;
    const float inverse = 127 / top;
#if defined(__AVX512F__)
    for (int i = 0; i < SO_SPAN; i += 16)
        _mm_storeu_si128((__m128i *)(void *)(code + i),
                         _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v_load(part + i) * v_set(inverse))));
#else
    for (int i = 0; i < SO_SPAN; i++) code[i] = (int8_t)nearbyintf(part[i] * inverse);
#endif
    return top / 127;
}

/* Columns from `at` on, one span, of row r of the strip. */
static void put_span(const tile_x *x, int64_t at, int r, const int8_t code[SO_SPAN], float scale)
{
    x->scale[at / SO_SPAN * 16 + r] = scale;
    for (int g = 0; g < SO_SPAN / 32; g++) {
        int8_t *to = x->code + (at / 32 + g) * 512 + 4 * r;
        for (int q = 0; q < 8; q++) memcpy(to + 64 * q, code + 32 * g + 4 * q, 4);
    }
    for (int p = 0; p < SO_SPAN / 64; p++) {
        int sum[2] = {0, 0};
        for (int i = 0; i < 64; i++) sum[i / 32] -= code[64 * p + i];
        x->minus[(at / 64 + p) * 16 + r] = (int32_t)((uint32_t)(sum[0] & 0xffff) | (uint32_t)sum[1] << 16);
    }
}

static void round_strips(void *p, int64_t strip0, int64_t strip1)
{
    const tile_round_job *j = p;
    const int64_t kp = so_int8_width(j->k);
    for (int64_t strip = strip0; strip < strip1; strip++) {
        tile_x x = strip_at(j->out, j->m, j->k, strip);
        const float *from = j->x + strip * STRIP_ROWS * j->k;
        int64_t rows = least(j->m - strip * STRIP_ROWS, STRIP_ROWS);
        for (int64_t l = 0; j->numbers && l < kp; l += DEEP_BLOCK) {
            uint16_t *to = numbers_at(j->out, j->m, j->k, strip, l);
            int64_t deep = least(j->k - l, DEEP_BLOCK), done = tiles_of(deep, TILE_DEEP) * TILE_DEEP;
            pack_strips(false, false, from + l, j->k, rows, deep, to, 0);
            memset(to + done * 16, 0, (size_t)(least(kp - l, DEEP_BLOCK) - done) * 16 * sizeof *to);
        }
        for (int64_t at = 0; j->bytes && at < kp; at += SO_SPAN)
            for (int r = 0; r < STRIP_ROWS; r++) {
                int8_t code[SO_SPAN];
                int64_t n = r < rows && at < j->k ? least(j->k - at, SO_SPAN) : 0;
                float scale = round_span(n ? from + r * j->k + at : from, n, code);
                put_span(&x, at, r, code, scale);
            }
    }
}

static void round_int8(so_pool *pool, int64_t m, int64_t k, const float *x, void *out)
{
    if (m <= so_tiles.few) {
        tiles_below.round_int8(pool, m, k, x, out);
        return;
    }
    tile_round_job job = {m, k, x, out, false, false};
    wanted_forms(&job.numbers, &job.bytes);
    so_for_rows(pool, tiles_of(m, STRIP_ROWS), 1, round_strips, &job);
}

/* ---- products */

typedef struct tile_product {
    so_type type;
    const unsigned char *w, *up; /* up: of gated_int8, or NULL */
    size_t stride;
    int64_t n, k, m, step, first; /* columns of a task, number of the first task */
    const void *rounded;
    const float *bias;
    float *y;
} tile_product;

/* Weights that are taken apart next: bytes from .. to of rows `row` to `rows`. They are asked for, row by row, while
 * strips of x come by. */
typedef struct tile_soon {
    const unsigned char *w;
    size_t stride, from, to;
    int rows;
} tile_soon;

TILE_INLINE void fetch_soon(const tile_soon *t, int64_t row, int64_t row1)
{
    for (; row < row1 && row < t->rows; row++)
        for (size_t at = t->from; at < t->to; at += 64) __builtin_prefetch(t->w + (size_t)row * t->stride + at, 0, 2);
}

/* A piece of a product: strips s0 .. s1 of x, numbers l .. l1. */
typedef struct tile_piece {
    int64_t s0, s1, l, l1;
    tile_soon soon;
} tile_piece;

/* Rows that are asked for beside strip s. */
TILE_INLINE void fetch_beside(const tile_piece *p, int64_t s, int64_t strips)
{
    const int64_t all = p->s1 - p->s0;
    fetch_soon(&p->soon, (s - p->s0) * WEIGHT_ROWS / all, (s - p->s0 + strips) * WEIGHT_ROWS / all);
}

/* What is done beside `turns` steps of products: the next piece of weights is taken apart, lines of the strips' next
 * piece are asked for. So much at each step, in a rhythm: more at once would hold up the loads of tiles, and a branch
 * that is not foreseen stops the unit. */
typedef struct tile_beside {
    tile_taking *taking;
    int64_t every, often, wait; /* at each step of `every`, `often` stretches */
    const unsigned char *x, *x_end;
    int64_t lines;
} tile_beside;

static tile_beside beside_of(tile_taking *taking, int64_t turns, const unsigned char *x, const unsigned char *x_end)
{
    const int64_t stretches = (int64_t)WEIGHT_ROWS * taking->stretches;
    return (tile_beside){.taking = taking,
                         .every = turns > stretches ? turns / stretches : 1,
                         .often = tiles_of(stretches, turns),
                         .x = x,
                         .x_end = x_end,
                         .lines = tiles_of((x_end - x) / 64, turns)};
}

TILE_INLINE void work_beside(tile_beside *t)
{
    for (int64_t i = 0; i < t->lines && t->x < t->x_end; i++, t->x += 64) __builtin_prefetch(t->x, 0, 2);
    if (++t->wait < t->every) return;
    t->wait = 0;
    for (int64_t i = 0; i < t->often; i++) take_stretch(t->taking);
}

/* The next block's sums into a register: none yet, or those at `from`. */
#define TAKE_SUMS(t, first, from)                                                                                      \
    if (first)                                                                                                         \
        tile_zero(t);                                                                                                  \
    else                                                                                                               \
        tile_load_once(t, from, TILE_BYTES)

/* sum[w][x] = (where `first`) or += a piece of 32 rows of weights times `pairs` pairs of strips. Sums of a block go
 * out, and those of the next one come in, between its last products. */
static void pairs_of_strips(bool first, const uint16_t *a, const uint16_t *a1, const uint16_t *b, int64_t depth,
                            int64_t pairs, float *sum, tile_beside *beside)
{
    const uint16_t *b1 = b + depth * TILE_NUMBERS;
    TAKE_SUMS(0, first, sum);
    TAKE_SUMS(1, first, sum + SUMS);
    TAKE_SUMS(2, first, sum + 256);
    TAKE_SUMS(3, first, sum + SUMS + 256);
    for (int64_t p = 0; p < pairs;
         p++, b += 2 * depth * TILE_NUMBERS, b1 += 2 * depth * TILE_NUMBERS, sum += 2 * SUMS) {
        for (int64_t l = 0; l < depth - 1; l++) {
            tile_load_once(6, b + l * TILE_NUMBERS, TILE_BYTES);
            tile_load(4, a + l * TILE_NUMBERS, TILE_BYTES);
            tile_dot_bf16(0, 4, 6);
            tile_load(5, a1 + l * TILE_NUMBERS, TILE_BYTES);
            tile_dot_bf16(2, 5, 6);
            tile_load_once(7, b1 + l * TILE_NUMBERS, TILE_BYTES);
            tile_dot_bf16(1, 4, 7);
            tile_dot_bf16(3, 5, 7);
            work_beside(beside);
        }
        const float *next = p + 1 < pairs ? sum + 2 * SUMS : sum;
        tile_load_once(6, b + (depth - 1) * TILE_NUMBERS, TILE_BYTES);
        tile_load(4, a + (depth - 1) * TILE_NUMBERS, TILE_BYTES);
        tile_dot_bf16(0, 4, 6);
        tile_load(5, a1 + (depth - 1) * TILE_NUMBERS, TILE_BYTES);
        tile_dot_bf16(2, 5, 6);
        tile_load_once(7, b1 + (depth - 1) * TILE_NUMBERS, TILE_BYTES);
        tile_store(0, sum, TILE_BYTES);
        TAKE_SUMS(0, first, next);
        tile_dot_bf16(1, 4, 7);
        tile_store(2, sum + 256, TILE_BYTES);
        TAKE_SUMS(2, first, next + 256);
        tile_dot_bf16(3, 5, 7);
        tile_store(1, sum + SUMS, TILE_BYTES);
        TAKE_SUMS(1, first, next + SUMS);
        tile_store(3, sum + SUMS + 256, TILE_BYTES);
        TAKE_SUMS(3, first, next + SUMS + 256);
        work_beside(beside);
    }
}

/* The last strip of an odd number. */
static void single_strip(bool first, const uint16_t *a, const uint16_t *a1, const uint16_t *b, int64_t depth,
                         float *sum, tile_beside *beside)
{
    TAKE_SUMS(0, first, sum);
    TAKE_SUMS(2, first, sum + 256);
    for (int64_t l = 0; l < depth; l++) {
        tile_load_once(6, b + l * TILE_NUMBERS, TILE_BYTES);
        tile_load(4, a + l * TILE_NUMBERS, TILE_BYTES);
        tile_dot_bf16(0, 4, 6);
        tile_load(5, a1 + l * TILE_NUMBERS, TILE_BYTES);
        tile_dot_bf16(2, 5, 6);
        work_beside(beside);
    }
    tile_store(0, sum, TILE_BYTES);
    tile_store(2, sum + 256, TILE_BYTES);
}
#undef TAKE_SUMS

/* sums = or += a piece of weights times the strips. */
static void products_of_numbers(const tile_product *g, const uint16_t *w, const tile_piece *at, float *sum,
                                tile_beside *beside)
{
    const int64_t depth = (at->l1 - at->l) / TILE_DEEP, strips = at->s1 - at->s0, pairs = strips / 2;
    const uint16_t *b = numbers_at(g->rounded, g->m, g->k, at->s0, at->l);
    if (pairs) pairs_of_strips(at->l == 0, w, w + HALF_PANEL, b, depth, pairs, sum, beside);
    if (strips % 2)
        single_strip(at->l == 0, w, w + HALF_PANEL, b + 2 * pairs * depth * TILE_NUMBERS, depth, sum + 2 * pairs * SUMS,
                     beside);
}

/* What a span's sums of whole numbers, `groups` of them, add to the sums of 16 rows of weights and 16 of x. */
typedef struct tile_span {
    int groups;
    const int32_t (*whole)[16][16]; /* [groups] */
    const float *scale;             /* [groups][WEIGHT_ROWS], from the first of the 16 rows on */
    const int32_t *least;           /* [2][WEIGHT_ROWS]: pairs of groups, or NULL */
    const float *of_least;
    const float *x_scale;
    const int32_t *x_minus; /* [2][16] */
} tile_span;

TILE_INLINE void add_span(const tile_span *t, float *sum)
{
#if defined(__AVX512F__)
    const vec x_scale = v_load(t->x_scale);
    for (int r = 0; r < 16; r++) {
        vec left = v_set(0);
        if (t->least) {
            __m512i lo = _mm512_setzero_si512();
            lo = _mm512_dpwssd_epi32(lo, _mm512_loadu_si512(t->x_minus), _mm512_set1_epi32(t->least[r]));
            lo = _mm512_dpwssd_epi32(lo, _mm512_loadu_si512(t->x_minus + 16),
                                     _mm512_set1_epi32(t->least[WEIGHT_ROWS + r]));
            left = _mm512_cvtepi32_ps(lo) * v_set(t->of_least[r]);
        }
        for (int g = 0; g < t->groups; g++)
            left = v_fma(_mm512_cvtepi32_ps(_mm512_loadu_si512(t->whole[g][r])), v_set(t->scale[WEIGHT_ROWS * g + r]),
                         left);
        v_store(sum + 16 * r, v_fma(left, x_scale, v_load(sum + 16 * r)));
    }
#else
    for (int r = 0; r < 16; r++)
        for (int i = 0; i < 16; i++) {
            float left = 0;
            if (t->least) {
                int lo = 0;
                for (int p = 0; p < 2; p++)
                    lo += (int16_t)t->x_minus[16 * p + i] * (t->least[WEIGHT_ROWS * p + r] & 0xffff) +
                          (t->x_minus[16 * p + i] >> 16) * (t->least[WEIGHT_ROWS * p + r] >> 16);
                left = (float)lo * t->of_least[r];
            }
            for (int g = 0; g < t->groups; g++) left += (float)t->whole[g][r][i] * t->scale[WEIGHT_ROWS * g + r];
            sum[16 * r + i] += left * t->x_scale[i];
        }
#endif
}

/* Four groups of a span: 16 rows of weights, `step` bytes between groups of 64, times a strip. */
TILE_INLINE void four_products(bool sixteens, const int8_t *w, const int8_t *x, int32_t whole[4][16][16])
{
    tile_zero(0);
    tile_zero(1);
    tile_zero(2);
    tile_zero(3);
#define ONE(t, a, b, i)                                                                                                \
    {                                                                                                                  \
        const int64_t at = sixteens ? (i)*16 : (i)*32;                                                                 \
        tile_load(a, w + at / 64 * (16 * 64) + at % 64, 64);                                                           \
        tile_load(b, x + at * 16, 64);                                                                                 \
        tile_dot_int8(t, a, b);                                                                                        \
        tile_store(t, whole[i], 64);                                                                                   \
    }
    ONE(0, 4, 6, 0)
    ONE(1, 5, 7, 1)
    ONE(2, 4, 6, 2)
    ONE(3, 5, 7, 3)
#undef ONE
}

static void products_of_bytes(const tile_product *g, const tile_codes *w, const tile_piece *piece, float *sum)
{
    int32_t(*whole)[16][16] = (int32_t(*)[16][16])(void *)so_scratch_here()->rows;
    const bool sixteens = g->type == SO_Q6_K;
    const int per_span = sixteens ? 8 : 4;
    for (int64_t s = piece->s0; s < piece->s1; s++, sum += SUMS) {
        tile_x x = strip_at(g->rounded, g->m, g->k, s);
        fetch_beside(piece, s, 1);
        for (int half = 0; half < 2; half++)
            for (int64_t at = piece->l; at < piece->l1; at += SO_SPAN) {
                const int span = (int)((at - piece->l) / SO_SPAN);
                const int8_t *code = w->code[half][2 * span][0], *x_code = x.code + at * 16;
                four_products(sixteens, code, x_code, whole);
                if (sixteens) four_products(true, code + 16 * 64, x_code + 64 * 16, whole + 4);
                tile_span t = {per_span,
                               (const int32_t(*)[16][16])whole,
                               w->scale[span * per_span] + 16 * half,
                               NULL,
                               NULL,
                               x.scale + at / SO_SPAN * 16,
                               x.minus + at / 64 * 16};
                if (is_affine(g->type)) {
                    t.least = w->least[2 * span] + 16 * half;
                    t.of_least = w->of_least[span / 2] + 16 * half;
                }
                add_span(&t, sum + 256 * half);
            }
    }
}

/* ---- what becomes of sums */

TILE_INLINE float silu_times(float gate, float up) { return gate / (1 + expf(-gate)) * up; }

/* y[rows, cols] of one strip: from sums [32 weights][16 rows], which are turned in place; bias [cols] or NULL. */
static void put_strip(float *sum, float *up, int64_t rows, int64_t cols, const float *bias, float *y, int64_t ldy)
{
    for (int half = 0; half * 16 < cols; half++, sum += 256, y += 16) {
        int64_t n = least(cols - 16 * half, 16);
        turn_tile(sum);
        if (up) turn_tile(up + 256 * half);
#if defined(__AVX512F__)
        const vmask m = v_tail(n);
        const vec add = bias ? v_load_m(bias + 16 * half, m) : v_set(0);
        for (int64_t i = 0; i < rows; i++) {
            vec x = v_load(sum + 16 * i);
            v_store_m(y + i * ldy, m, up ? (vec)(x * v_sigmoid(x) * v_load(up + 256 * half + 16 * i)) : (vec)(x + add));
        }
#else
        for (int64_t i = 0; i < rows; i++)
            for (int64_t c = 0; c < n; c++) {
                float x = sum[16 * i + c];
                y[i * ldy + c] = up ? silu_times(x, up[256 * half + 16 * i + c]) : bias ? x + bias[16 * half + c] : x;
            }
#endif
    }
}

/* Of products of bytes, which add to what is there in the order of fast_int8_panels.h. */
static void begin_sums(const tile_product *g, int64_t j, int64_t strips, float *sum)
{
    for (int64_t s = 0; s < strips; s++)
        for (int64_t r = 0; r < WEIGHT_ROWS; r++)
            for (int i = 0; i < 16; i++) *sum++ = g->bias && j + r < g->n ? g->bias[j + r] : 0;
}

/* What comes after the 32 rows at j: the other factor's, the next rows, the next piece of the first. */
static tile_soon weights_after(const tile_product *g, const tile_weights *t, bool last_part, int64_t j0, int64_t j1)
{
    const size_t stretch = bytes_of_stretch(g->type);
    const unsigned char *w = last_part ? g->w : g->up;
    int64_t j = t->j, l = t->l, l1 = t->l1;
    if (last_part && j + WEIGHT_ROWS < j1)
        j += WEIGHT_ROWS;
    else if (last_part)
        j = j0, l = l1, l1 = l + DEEP_BLOCK < g->k ? l + DEEP_BLOCK : g->k;
    if (l >= g->k) return (tile_soon){.w = w};
    return (tile_soon){w + (size_t)j * g->stride, g->stride, (size_t)(l / SO_STRETCH) * stretch,
                       (size_t)tiles_of(l1, SO_STRETCH) * stretch, least(g->n - j, WEIGHT_ROWS)};
}

/* Sums of columns j0 .. j1, whole along k, to y: strip by strip, so that rows are written from left to right. */
static void put_columns(const tile_product *g, int64_t s0, int64_t s1, int64_t j0, int64_t j1, float *sums)
{
    const int64_t one = (s1 - s0) * SUMS, block = g->up ? 2 * one : one;
    const float *bias = so_tiles.bytes[g->type] ? NULL : g->bias;
    for (int64_t s = s0; s < s1; s++, sums += SUMS) {
        int64_t row = s * STRIP_ROWS;
        float *sum = sums;
        for (int64_t j = j0; j < j1; j += WEIGHT_ROWS, sum += block)
            put_strip(sum, g->up ? sum + one : NULL, least(g->m - row, STRIP_ROWS), least(j1 - j, WEIGHT_ROWS),
                      bias ? bias + j : NULL, g->y + row * g->n + j, g->n);
    }
}

/* As bytes: columns j0 .. j1 of y from strips s0 .. s1. */
static void columns_of_bytes(const tile_product *g, int64_t s0, int64_t s1, int64_t j0, int64_t j1)
{
    const int64_t kp = so_int8_width(g->k), strips = s1 - s0, parts = g->up ? 2 : 1;
    tile_codes *apart = (tile_codes *)(void *)so_scratch_here()->a;
    for (int64_t l = 0; l < kp; l += DEEP_BLOCK) {
        float *sum = so_scratch_here()->b;
        tile_piece at = {s0, s1, l, l + DEEP_BLOCK < kp ? l + DEEP_BLOCK : kp, {0}};
        for (int64_t j = j0; j < j1; j += WEIGHT_ROWS) {
            for (int part = 0; part < parts; part++, sum += strips * SUMS) {
                tile_weights t = {part ? g->up : g->w, g->stride, g->n, g->k, j, l, at.l1};
                if (l == 0) begin_sums(g, j, strips, sum);
                take_codes(g->type, &t, apart);
                at.soon = weights_after(g, &t, part + 1 == parts, j0, j1);
                products_of_bytes(g, apart, &at, sum);
            }
        }
    }
    put_columns(g, s0, s1, j0, j1, so_scratch_here()->b);
}

/* Piece i of the weights of columns j0 .. j1: the factors of 32 rows, then the next 32 rows, then further along k. */
static tile_weights weights_at(const tile_product *g, int64_t i, int64_t j0, int64_t j1)
{
    const int64_t parts = g->up ? 2 : 1, all = tiles_of(j1 - j0, WEIGHT_ROWS) * parts, kp = so_int8_width(g->k);
    const int64_t l = i / all * DEEP_BLOCK, l1 = l + DEEP_BLOCK < kp ? l + DEEP_BLOCK : kp;
    if (l >= kp) return (tile_weights){0};
    return (tile_weights){i % parts ? g->up : g->w, g->stride, g->n, g->k, j0 + i % all / parts * WEIGHT_ROWS, l, l1};
}

static tile_taking taking_of(const tile_product *g, int64_t i, int64_t j0, int64_t j1, uint16_t *panels)
{
    const tile_weights of = weights_at(g, i, j0, j1);
    return (tile_taking){.type = g->type,
                         .of = of,
                         .then = weights_at(g, i + 1, j0, j1),
                         .to = panels + i % 2 * 2 * HALF_PANEL,
                         .row = of.w ? 0 : WEIGHT_ROWS,
                         .stretches = of.w ? (int)((of.l1 - of.l) / SO_STRETCH) : 1};
}

/* The same as numbers. While a piece of weights meets the strips, the next one is taken apart. */
static void columns_of_numbers(const tile_product *g, int64_t s0, int64_t s1, int64_t j0, int64_t j1)
{
    const int64_t kp = so_int8_width(g->k), strips = s1 - s0;
    const int64_t all = tiles_of(j1 - j0, WEIGHT_ROWS) * (g->up ? 2 : 1), pieces = all * tiles_of(kp, DEEP_BLOCK);
    uint16_t *panels = (uint16_t *)(void *)so_scratch_here()->a;
    tile_taking next = taking_of(g, 0, j0, j1, panels);
    while (next.row < WEIGHT_ROWS) take_stretch(&next);
    for (int64_t i = 0; i < pieces; i++) {
        const int64_t l = i / all * DEEP_BLOCK, l1 = l + DEEP_BLOCK < kp ? l + DEEP_BLOCK : kp, part = i % all;
        const unsigned char *x = (const unsigned char *)panels;
        int64_t lines = 0; /* of the strips further along k */
        if (l1 < kp) {
            lines = strips * least(kp - l1, DEEP_BLOCK) / 2;
            x = (const unsigned char *)numbers_at(g->rounded, g->m, g->k, s0, l1);
        }
        next = taking_of(g, i + 1, j0, j1, panels);
        tile_beside beside = beside_of(&next, tiles_of(strips, 2) * ((l1 - l) / TILE_DEEP), x + lines * part / all * 64,
                                       x + lines * (part + 1) / all * 64);
        products_of_numbers(g, panels + i % 2 * 2 * HALF_PANEL, &(tile_piece){s0, s1, l, l1, {0}},
                            so_scratch_here()->b + part * strips * SUMS, &beside);
        while (next.row < WEIGHT_ROWS) take_stretch(&next);
    }
    put_columns(g, s0, s1, j0, j1, so_scratch_here()->b);
}

typedef struct tile_products {
    int count;
    tile_product of[SO_PRODUCTS];
} tile_products;

static void products_task(void *p, int64_t task, int thread)
{
    (void)thread;
    const tile_products *all = p;
    int at = all->count - 1;
    while (task < all->of[at].first) at--;
    const tile_product *g = &all->of[at];
    const int64_t j0 = (task - g->first) * g->step, strips = tiles_of(g->m, STRIP_ROWS);
    const int bytes = !so_tiles.bytes[g->type] ? TILE_BYTES : group_of(g->type);
    const tile_shape shape = tile_shape_of(bytes);
    const int64_t near = tiles_of(strips, tiles_of(strips, NEAR_ROWS / STRIP_ROWS));
    tile_setup(&shape);
    for (int64_t s = 0; s < strips; s += near)
        (so_tiles.bytes[g->type] ? columns_of_bytes : columns_of_numbers)(g, s, least(strips, s + near), j0,
                                                                          least(g->n, j0 + g->step));
    tile_release();
}

/* As many columns as sums may wait of, fewer where threads would have nothing to do. */
static void run_products(so_pool *pool, tile_products *all)
{
    int64_t tasks = 0;
    for (int i = 0; i < all->count; i++) {
        tile_product *g = &all->of[i];
        int64_t most = NEAR_COLS / (g->up ? 2 : 1),
                fair = g->n / (4 * so_pool_threads(pool)) / WEIGHT_ROWS * WEIGHT_ROWS;
        g->step = fair < WEIGHT_ROWS ? WEIGHT_ROWS : fair < most ? fair : most;
        g->first = tasks;
        tasks += tiles_of(g->n, g->step);
    }
    so_pool_for(pool, tasks, products_task, all);
}

static void linear_int8(so_pool *pool, int count, const so_product *p, int64_t k, const void *rounded, int64_t m)
{
    if (m <= so_tiles.few) {
        tiles_below.linear_int8(pool, count, p, k, rounded, m);
        return;
    }
    const int n = count < SO_PRODUCTS ? count : SO_PRODUCTS; /* no more are asked for */
    tile_products all = {.count = n};
    for (int i = 0; i < n; i++)
        all.of[i] = (tile_product){.type = p[i].type,
                                   .w = p[i].w,
                                   .stride = so_type_bytes(p[i].type, k),
                                   .n = p[i].n,
                                   .k = k,
                                   .m = m,
                                   .rounded = rounded,
                                   .bias = p[i].bias,
                                   .y = p[i].y};
    run_products(pool, &all);
}

static void gated_int8(so_pool *pool, const so_product *gate, const void *up, int64_t k, const void *rounded, int64_t m)
{
    if (m <= so_tiles.few) {
        tiles_below.gated_int8(pool, gate, up, k, rounded, m);
        return;
    }
    tile_products all = {.count = 1};
    all.of[0] = (tile_product){.type = gate->type,
                               .w = gate->w,
                               .up = up,
                               .stride = so_type_bytes(gate->type, k),
                               .n = gate->n,
                               .k = k,
                               .m = m,
                               .rounded = rounded,
                               .y = gate->y};
    run_products(pool, &all);
}

#endif
