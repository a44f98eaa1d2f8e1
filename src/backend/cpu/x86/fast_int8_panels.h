/* Products of stored blocks with many rows rounded to int8, for AVX-512.
 *
 * 32 rows of weights are taken apart and laid across, 768 deep: codes and scales are 30 KiB and stay in the first
 * cache, while panels of 6 rows of x come by, up to 756 rows that stay in the second. A tile's 12 sums of whole numbers
 * and its 12 sums in float live in registers for a span of 128 numbers, which share a scale of x. For 384 vpdpbusd the
 * same two pipes execute 12 multiply-adds for each of 4 groups with a scale of w (8 of q6_k) and 12 with the scale of
 * x; with minima 24 vpdpwssd and 12 multiplications more. So at most 86 % of the rate of vpdpbusd can be had (q6_k 78
 * %, with minima 80 %); 82 to 86 % (75, 77 %) was measured. See docs/lab/speed.md.
 *
 * A part of fast_int8.h, which includes it where its names are known.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_CPU_X86_FAST_INT8_PANELS_H
#define SO_BACKEND_CPU_X86_FAST_INT8_PANELS_H

enum { ACROSS = 32, DEEP = 768, BLOCK = 756 /* rows */ };
typedef struct so_four {
    int32_t all;
} __attribute__((may_alias)) so_four; /* codes side by side */

/* What 32 rows of weights are packed into; lies in the scratch of the thread. */
typedef struct int8_panel {
    __m512i code[DEEP / 4][2];          /* lane r: four codes of row r, of row 16 + r */
    float scale[DEEP / 16][ACROSS];     /* by groups of 32, or of 16 for q6_k */
    int32_t least[DEEP / 64][ACROSS];   /* six-bit minima of two groups, 16 bits each */
    float of_least[DEEP / 256][ACROSS]; /* what they are multiplied by */
    vec sum[SO_PANEL][2];               /* of a tile, between its spans */
} int8_panel;
_Static_assert(sizeof(int8_panel) <= sizeof(((so_scratch *)NULL)->b), "the scratch holds a panel");
_Static_assert(BLOCK * 4 * ACROSS <= SO_PACK_A, "the scratch holds the sums of a task's columns");

/* Scales and minima of sixteen rows of q4_k or q5_k, a row to a lane; the packing is told at so_block_six. */
INLINE void pack_six_bits(const unsigned char *const w[16], int s, int side, int8_panel *out)
{
    __m512i r[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        r[i] = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)w[i]));
        r[i] = _mm512_inserti32x4(r[i], _mm_loadu_si128((const __m128i *)w[i + 4]), 1);
        r[i] = _mm512_inserti32x4(r[i], _mm_loadu_si128((const __m128i *)w[i + 8]), 2);
        r[i] = _mm512_inserti32x4(r[i], _mm_loadu_si128((const __m128i *)w[i + 12]), 3);
    }
    __m512i lo0 = _mm512_unpacklo_epi32(r[0], r[1]), lo1 = _mm512_unpacklo_epi32(r[2], r[3]);
    __m512i hi0 = _mm512_unpackhi_epi32(r[0], r[1]), hi1 = _mm512_unpackhi_epi32(r[2], r[3]);
    __m512i both = _mm512_unpacklo_epi64(lo0, lo1), a = _mm512_unpackhi_epi64(lo0, lo1);
    __m512i b = _mm512_unpacklo_epi64(hi0, hi1), c = _mm512_unpackhi_epi64(hi0, hi1);
    vec d = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(both)),
        least = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(both, 16)));
    const __m512i low = _mm512_set1_epi32(15), high = _mm512_set1_epi32(0x30), six = _mm512_set1_epi32(63);
    __m512i even = six;
#define AND _mm512_and_si512
#define DOWN(x, n) _mm512_srli_epi32(x, (unsigned)(n))
#pragma GCC unroll 8
    for (int g = 0; g < 8; g++) {
        int at = 8 * (g % 4);
        __m512i x = AND(DOWN(a, at), six), y = AND(DOWN(b, at), six);
        if (g >= 4) {
            x = _mm512_or_si512(AND(DOWN(c, at), low), AND(DOWN(a, at + 2), high));
            y = _mm512_or_si512(AND(DOWN(c, at + 4), low), AND(DOWN(b, at + 2), high));
        }
        v_store(&out->scale[8 * s + g][side * 16], _mm512_cvtepi32_ps(x) * d);
        if (g % 2 == 0)
            even = y;
        else
            _mm512_storeu_si512(&out->least[4 * s + g / 2][side * 16], _mm512_or_si512(even, _mm512_slli_epi32(y, 16)));
    }
    v_store(&out->of_least[s][side * 16], least);
#undef AND
#undef DOWN
}

/* Added to codes, so that they stand 128 above the weights; 0: codes that have minima stay. */
INLINE int lift(so_type type) { return type == SO_Q4_0 ? 120 : type == SO_Q5_0 ? 112 : type == SO_Q6_K ? 96 : 0; }

/* Sixteen rows of one stretch; row r of them begins at w[r]. */
INLINE void pack_stretch(so_type type, const unsigned char *const w[16], int s, int side, int8_panel *out)
{
#pragma GCC unroll 4
    for (int u = 0; u < 4; u++) {
        vec r[16];
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++)
            r[i] = _mm512_castsi512_ps(_mm512_add_epi8(codes(type, w[i], u), _mm512_set1_epi8((char)lift(type))));
        transpose(r);
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++) out->code[s * 64 + u * 16 + i][side] = _mm512_castps_si512(r[i]);
    }
    if (type == SO_Q4_K || type == SO_Q5_K) {
        pack_six_bits(w, s, side, out);
        return;
    }
    vec scale[16];
    for (int i = 0; i < 16; i++) {
        groups a, b;
        stretch_scales(type, w[i], &a, &b);
        scale[i] = a.v[0];
    }
    const int n = type == SO_Q6_K ? 16 : 8;
    transpose(scale);
    for (int g = 0; g < n; g++) v_store(&out->scale[s * n + g][side * 16], scale[g]);
}

INLINE void pack_int8(so_type type, const int8_job *g, const unsigned char *from, int64_t j0, int64_t l0, int64_t l1,
                      int8_panel *out)
{
    unsigned char part[16][8 * 34];
    for (int side = 0; side < 2; side++)
        for (int64_t l = l0; l < l1; l += SO_STRETCH) {
            const unsigned char *w[16];
            for (int i = 0; i < 16; i++) {
                int64_t j = j0 + side * 16 + i < g->n ? j0 + side * 16 + i : g->n - 1;
                w[i] = from + (size_t)j * g->stride + (size_t)(l / SO_STRETCH) * stretch_bytes(type);
                if (l + SO_STRETCH <= g->k) continue;
                memset(part[i], 0, sizeof part[i]);
                memcpy(part[i], w[i], so_type_bytes(type, g->k - l));
                w[i] = part[i];
            }
            pack_stretch(type, w, (int)((l - l0) / SO_STRETCH), side, out);
        }
}

#define EACH_ROW(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5)

/* Where the sums of up to six rows begin and end. */
typedef struct int8_tile {
    const float *from;
    float *to;
    int64_t from_stride, stride;
    int rows;
    vmask m0, m1;  /* columns */
    int64_t ahead; /* bytes from this panel of x to one that is fetched */
} int8_tile;

/* Sums of a panel of weights times six rows of x, which have a scale for each of their n spans. Groups of 4 * STEPS
 * weights; codes stand 128 above the weights, or minima are taken off. All sums of a span are variables of their own
 * and the product is spelled out: arrays, or the intrinsic, make gcc 12 keep them in memory. */
INLINE void int8_micro(const int STEPS, const bool affine, int64_t n, so_int8_panel x, int8_panel *w,
                       const int8_tile *t)
{
    const __m512i *b = &w->code[0][0];
    const float *s = &w->scale[0][0];
    const int32_t *minus = STEPS == 8 ? x.minus32 : x.minus16;
    const so_four *four = (const so_four *)(const void *)x.q;
    for (int64_t span = 0; span < n; span++) {
        __m512i a;
#define STEP(OP, i, from)                                                                                              \
    a = _mm512_set1_epi32(from);                                                                                       \
    __asm__(OP " %2, %1, %0" : "+v"(lo##i) : "v"(b0), "v"(a));                                                         \
    __asm__(OP " %2, %1, %0" : "+v"(hi##i) : "v"(b1), "v"(a));
#define NONE(i) vec left##i = v_set(0), right##i = left##i;
        EACH_ROW(NONE)
#undef NONE
        if (affine) {
            vec s0 = v_load(w->of_least[span / 2]), s1 = v_load(w->of_least[span / 2] + 16);
            const __m512i *pair = (const __m512i *)(const void *)w->least[2 * span];
            const int32_t *pairs = x.pairs + 2 * span * SO_PANEL;
#define BEGIN(i) __m512i lo##i = _mm512_setzero_si512(), hi##i = lo##i;
            EACH_ROW(BEGIN)
#undef BEGIN
#pragma GCC unroll 2
            for (int p = 0; p < 2; p++) {
                __m512i b0 = pair[2 * p], b1 = pair[2 * p + 1];
#define PAIR(i) STEP("vpdpwssd", i, pairs[p * SO_PANEL + i])
                EACH_ROW(PAIR)
#undef PAIR
            }
#define END(i) left##i = _mm512_cvtepi32_ps(lo##i) * s0, right##i = _mm512_cvtepi32_ps(hi##i) * s1;
            EACH_ROW(END)
#undef END
        }
        for (int g = 0; g < SO_SPAN / 4 / STEPS; g++, minus += SO_PANEL, s += ACROSS) {
            for (int p = 0; p < STEPS * SO_PANEL * 4; p += 64)
                _mm_prefetch((const char *)four + t->ahead + p, _MM_HINT_T0);
            if (!affine) _mm_prefetch((const char *)minus + t->ahead, _MM_HINT_T0);
#define BEGIN(i) __m512i lo##i = affine ? _mm512_setzero_si512() : _mm512_set1_epi32(minus[i]), hi##i = lo##i;
            EACH_ROW(BEGIN)
#undef BEGIN
#pragma GCC unroll 8
            for (int step = 0; step < STEPS; step++, four += SO_PANEL, b += 2) {
                __m512i b0 = b[0], b1 = b[1];
#define BYTES(i) STEP("vpdpbusd", i, four[i].all)
                EACH_ROW(BYTES)
#undef BYTES
            }
            vec s0 = v_load(s), s1 = v_load(s + 16);
#define END(i)                                                                                                         \
    left##i = v_fma(_mm512_cvtepi32_ps(lo##i), s0, left##i);                                                           \
    right##i = v_fma(_mm512_cvtepi32_ps(hi##i), s1, right##i);
            EACH_ROW(END)
#undef END
        }
#undef STEP
        const float *scales = x.scale + span * SO_PANEL, *from = span ? (const float *)&w->sum[0][0] : t->from;
        int64_t from_stride = span ? ACROSS : t->from_stride;
        int last = t->rows - 1;
        if (span + 1 < n) {
#define KEEP(i)                                                                                                        \
    {                                                                                                                  \
        const float *f = from + (i < last ? i : last) * from_stride;                                                   \
        vec scale = v_set(scales[i]);                                                                                  \
        w->sum[i][0] = v_fma(left##i, scale, v_load_m(f, t->m0));                                                      \
        w->sum[i][1] = v_fma(right##i, scale, v_load_m(f + 16, t->m1));                                                \
    }
            EACH_ROW(KEEP)
#undef KEEP
        } else {
#define SAVE(i)                                                                                                        \
    if (i <= last) {                                                                                                   \
        vec scale = v_set(scales[i]);                                                                                  \
        const float *f = from + i * from_stride;                                                                       \
        v_store_m(t->to + i * t->stride, t->m0, v_fma(left##i, scale, v_load_m(f, t->m0)));                            \
        v_store_m(t->to + i * t->stride + 16, t->m1, v_fma(right##i, scale, v_load_m(f + 16, t->m1)));                 \
    }
            EACH_ROW(SAVE)
#undef SAVE
        }
    }
}

INLINE void int8_micro_of(so_type type, int64_t depth, so_int8_panel x, int8_panel *w, const int8_tile *t)
{
    const bool affine = type == SO_Q4_K || type == SO_Q5_K;
    int8_micro(type == SO_Q6_K ? 4 : 8, affine, depth / SO_SPAN, x, w, t);
}

/* What is packed next, in memory: `lines` cache lines of each of ACROSS rows, to be fetched while tiles are computed.
 */
typedef struct int8_soon {
    const unsigned char *w;
    size_t stride;
    int64_t lines;
} int8_soon;

/* Lines `from` to `to` of all. */
INLINE void fetch_soon(const int8_soon *soon, int64_t from, int64_t to)
{
    for (int64_t i = from; i < to; i++)
        _mm_prefetch((const char *)((uintptr_t)soon->w + (size_t)(i / soon->lines) * soon->stride +
                                    64 * (size_t)(i % soon->lines)),
                     _MM_HINT_T1);
}

/* Rows i0 .. i0 + m of x, numbers l .. l1 of them. */
typedef struct int8_part {
    int64_t i0, m, l, l1;
} int8_part;

/* One panel of weights times a part of x. `place` says where the sums of the first row are. */
INLINE void int8_rows(so_type type, const int8_job *g, int8_panel *panel, int8_part part, int8_tile place,
                      const int8_soon *soon)
{
    const int64_t i0 = part.i0, m = part.m, l = part.l, l1 = part.l1;
    const int64_t all = ACROSS * soon->lines, tiles = (m + SO_PANEL - 1) / SO_PANEL;
    const int64_t far = (int64_t)so_int8_panel_bytes(g->k); /* from a panel of x to the next */
    const bool ahead = m * far > SO_PANEL << 20;            /* it exceeds the second cache */
    for (int64_t i = 0; i < m; i += SO_PANEL) {
        so_int8_panel x = so_int8_panel_at(g->rounded, (i0 + i) / SO_PANEL, g->k);
        x = (so_int8_panel){x.q + l * SO_PANEL, x.scale + l / SO_SPAN * SO_PANEL, x.pairs + l / 64 * SO_PANEL,
                            x.minus32 + l / 32 * SO_PANEL, x.minus16 + l / 16 * SO_PANEL};
        int8_tile t = place;
        t.from += i * t.from_stride;
        t.to += i * t.stride;
        t.rows = least(m - i, SO_PANEL);
        t.ahead = ahead && i + SO_PANEL < m ? far : 0;
        fetch_soon(soon, i / SO_PANEL * all / tiles, (i / SO_PANEL + 1) * all / tiles);
        int8_micro_of(type, l1 - l, x, panel, &t);
    }
}

/* After columns l .. l1 of the rows at j: the other factor's, the next rows', the next columns of the first, or the
 * rows of the next task, which as a rule is this thread's too. */
INLINE int8_soon soon_after(so_type type, const int8_job *g, int part, int64_t j, int64_t j0, int64_t j1, int64_t l,
                            int64_t l1)
{
    const size_t bytes = stretch_bytes(type);
    bool other = g->up && part == 0, rows = !other && j + ACROSS < j1;
    const unsigned char *w = other ? g->up : g->w;
    if (!other) j = rows ? j + ACROSS : l1 < g->k ? j0 : j1, l = rows ? l : l1 < g->k ? l1 : 0;
    if (j >= g->n) return (int8_soon){w, 0, 0};
    int64_t last = g->k - l < DEEP ? g->k : l + DEEP;
    return (int8_soon){w + (size_t)j * g->stride + (size_t)(l / SO_STRETCH) * bytes, g->stride,
                       (int64_t)((size_t)((last - l + SO_STRETCH - 1) / SO_STRETCH) * bytes + 63) / 64 + 1};
}

/* Columns j0 .. j1 of y, all rows. Between pieces of k the sums wait in scratch a, where rows lie side by side: those
 * of y are a power of two apart as a rule and would throw one another out of the caches. */
INLINE void int8_columns(so_type type, const int8_job *g, int64_t j0, int64_t j1)
{
    static const float zeros[ACROSS];
    int8_panel *panel = (int8_panel *)(void *)so_scratch_here()->b;
    int64_t kp = so_int8_width(g->k), pieces = (g->m + BLOCK - 1) / BLOCK;
    int64_t step = ((g->m + pieces - 1) / pieces + SO_PANEL - 1) / SO_PANEL * SO_PANEL;
    for (int64_t i0 = 0; i0 < g->m; i0 += step)
        for (int64_t l = 0; l < kp; l += DEEP) {
            int64_t m = least(g->m - i0, step), l1 = l + DEEP < kp ? l + DEEP : kp;
            float *wait = so_scratch_here()->a;
            for (int64_t j = j0; j < j1; j += ACROSS) {
                int n = least(j1 - j, ACROSS);
                float *y = g->y + i0 * g->n + j, *gate = wait;
                const unsigned char *w = g->w;
                for (int part = 0; part < (g->up ? 2 : 1); part++, w = g->up, wait += m * ACROSS) {
                    int8_tile t = {wait, wait, ACROSS, ACROSS, 0, v_tail(n), v_tail(n > 16 ? n - 16 : 0), 0};
                    if (l == 0) t.from = g->bias ? g->bias + j : zeros, t.from_stride = 0;
                    if (l1 == kp && !g->up) t.to = y, t.stride = g->n;
                    pack_int8(type, g, w, j, l, l1, panel);
                    int8_soon soon = soon_after(type, g, part, j, j0, j1, l, l1);
                    int8_rows(type, g, panel, (int8_part){i0, m, l, l1}, t, &soon);
                }
                for (int64_t i = 0; i < m && g->up && l1 == kp; i++)
                    gate_row(y + i * g->n, gate + i * ACROSS, gate + (m + i) * ACROSS, n);
            }
        }
}

static void int8_many(const int8_job *g, int64_t j0, int64_t j1)
{
    switch (g->type) {
    case SO_Q8_0:
        int8_columns(SO_Q8_0, g, j0, j1);
        break;
    case SO_Q4_0:
        int8_columns(SO_Q4_0, g, j0, j1);
        break;
    case SO_Q5_0:
        int8_columns(SO_Q5_0, g, j0, j1);
        break;
    case SO_Q4_K:
        int8_columns(SO_Q4_K, g, j0, j1);
        break;
    case SO_Q5_K:
        int8_columns(SO_Q5_K, g, j0, j1);
        break;
    default:
        int8_columns(SO_Q6_K, g, j0, j1);
        break;
    }
}

#endif
