/* The way back of attention on matrix tiles, for training in bf16: every factor of a product is rounded, sums are
 * float.
 *
 * As in tile_attention.h queries lie along the lanes. Keys and values of a block of 256 are packed once for all queries
 * that read them, which come by 64 at a time: p = e^(s - lse) and ds = p (dp - dot) scale leave the vector unit as left
 * factors of dv += p^T dout and dk += ds^T q (a row of a tile is one key's 32 queries), and ds as the right factor of
 * dq^T += k^T ds as well.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_CPU_X86_TILE_ATTENTION_BACK_H
#define SO_BACKEND_CPU_X86_TILE_ATTENTION_BACK_H

#include "backend/cpu/x86/tile_attention.h"

enum { BACK_KEYS = 256, BACK_ASKING = 2 * ASKING, BACK_STRIP = 2 * TILE_NUMBERS /* of 64 queries */ };
_Static_assert((3 * BACK_KEYS * WIDEST + 5 * BACK_KEYS * ASKING + 4 * BACK_ASKING * WIDEST) * 2 <= SO_PACK_A * 4,
               "the scratch holds all factors");
_Static_assert(2 * BACK_KEYS * ASKING + 2 * BACK_KEYS * WIDEST + WIDEST * ASKING + 2 * BACK_ASKING * WIDEST <=
                   SO_PACK_B,
               "the scratch holds all sums");

static so_attention_back_fn *attention_back_before;

typedef struct tile_back_job {
    const so_attn *a;
    so_attn_back back;
    bool in_turn; /* several sequences share keys: one task does them all */
} tile_back_job;

/* What 16 queries have for themselves. */
typedef struct tile_lanes {
    float scale[16] /* times log2(e); 0 of a mean */, lse[16] /* of two */, dot[16], slope[16] /* the scale again */;
    int32_t lo[16], hi[16]; /* visible keys of the block */
} tile_lanes;

typedef struct tile_back {
    const so_attn *a;
    const so_attn_seg *g;
    const so_attn_back *b;
    int64_t h, sharing, d, padded, deep; /* as in tile_head; d up to whole strips; tiles along d */
    int64_t k0, keys;                    /* of the block */
    int64_t at, seen;                    /* the first of the queries; keys of the block that any of them sees */
    uint16_t *k, *v, *k_along;           /* left factors: rows are keys, keys, numbers of a head */
    uint16_t *p, *ds, *ds_along;         /* left ones along 64 queries; a right one of 32 queries along keys */
    uint16_t *q, *dout;                  /* right ones of 32 queries along the head, twice */
    uint16_t *q_along, *dout_along;      /* right ones of the head along 64 queries */
    float *s, *dp;                       /* [keys][32] */
    float *dk, *dv, *dq;                 /* [keys][32 strips], [keys][32 strips], [padded][32] */
    float *rows_of_q, *rows_of_dout;     /* [64][d] */
    tile_lanes lanes[4];
} tile_back;

TILE_INLINE int64_t width_of_sums(const tile_back *w) { return tiles_of(w->d, 32) * 32; }

/* Where in the rows of all queries number i of those that share keys begins. */
TILE_INLINE int64_t asked_row(const tile_back *w, int64_t i) { return w->g->q_row0 + i / w->sharing; }

TILE_INLINE int64_t asked_place(const tile_back *w, int64_t i)
{
    return (asked_row(w, i) * w->a->heads + w->h + i % w->sharing) * w->d;
}

static void take_keys_back(const tile_back *w)
{
    const int64_t step = w->g->kv_stride, at = w->k0 * step + w->h / w->sharing * w->d;
    const int64_t strip = w->deep * TILE_NUMBERS, along = tiles_of(w->keys, TILE_DEEP) * TILE_NUMBERS;
    pack_strips(true, false, w->g->k + at, step, w->keys, w->d, w->k, strip);
    pack_strips(true, false, w->g->v + at, step, w->keys, w->d, w->v, strip);
    pack_strips(true, true, w->g->k + at, step, w->d, w->keys, w->k_along, along);
    memset(w->dk, 0, (size_t)(tiles_of(w->keys, 32) * 32 * width_of_sums(w)) * sizeof *w->dk);
    memset(w->dv, 0, (size_t)(tiles_of(w->keys, 32) * 32 * width_of_sums(w)) * sizeof *w->dv);
}

/* The next queries, up to 64 of `all`: what each has for itself, and both factors of their numbers. */
static void take_queries_back(tile_back *w, int64_t all)
{
    const float log2e = 1.44269504088896f;
    const int64_t n = least(all - w->at, BACK_ASKING), d = w->d, strip = w->deep * TILE_NUMBERS;
    memset(w->lanes, 0, sizeof w->lanes);
    w->seen = 0;
    for (int64_t i = 0; i < n; i++) {
        tile_lanes *t = &w->lanes[i / 16];
        const int64_t from = asked_place(w, w->at + i), row = asked_row(w, w->at + i), l = i % 16;
        const float *o = w->b->out + from, *dout = w->b->dout + from;
        int64_t lo, hi;
        bool mean;
        so_attn_visible(w->a, w->g, row - w->g->q_row0, &lo, &hi, &mean);
        float dot = 0;
        for (int64_t c = 0; c < d; c++) dot += o[c] * dout[c];
        t->dot[l] = dot;
        t->lse[l] = w->b->lse[from / d] * log2e;
        t->slope[l] = mean ? 0 : w->a->scale;
        t->scale[l] = t->slope[l] * log2e;
        t->lo[l] = (int32_t)(lo > w->k0 ? lo - w->k0 : 0);
        t->hi[l] = (int32_t)(hi < w->k0 ? 0 : hi - w->k0 < w->keys ? hi - w->k0 : w->keys);
        if (t->hi[l] > w->seen) w->seen = t->hi[l];
        memcpy(w->rows_of_q + i * d, w->b->q + from, (size_t)d * sizeof *o);
        memcpy(w->rows_of_dout + i * d, dout, (size_t)d * sizeof *o);
    }
    if (w->seen == 0) return;
    memset(w->rows_of_q + n * d, 0, (size_t)((BACK_ASKING - n) * d) * sizeof *w->dq);
    memset(w->rows_of_dout + n * d, 0, (size_t)((BACK_ASKING - n) * d) * sizeof *w->dq);
    pack_strips(false, false, w->rows_of_q, d, BACK_ASKING, d, w->q, strip);
    pack_strips(false, false, w->rows_of_dout, d, BACK_ASKING, d, w->dout, strip);
    pack_strips(false, true, w->rows_of_q, d, d, BACK_ASKING, w->q_along, BACK_STRIP);
    pack_strips(false, true, w->rows_of_dout, d, d, BACK_ASKING, w->dout_along, BACK_STRIP);
}

#if defined(__AVX512F__)
/* p and ds of a key and 16 queries; nothing of keys that they do not see, whatever stands there. */
TILE_INLINE void slopes_of(const tile_lanes *t, int32_t key, const float *s, const float *dp, vec *p, vec *ds)
{
    const __m512i at = _mm512_set1_epi32(key);
    const vmask there =
        _mm512_cmple_epi32_mask(_mm512_loadu_si512(t->lo), at) & _mm512_cmplt_epi32_mask(at, _mm512_loadu_si512(t->hi));
    const vec e = v_exp2_short(v_load(s) * v_load(t->scale) - v_load(t->lse));
    *p = v_pick(there, e, v_set(0));
    *ds = v_pick(there, e * (v_load(dp) - v_load(t->dot)) * v_load(t->slope), v_set(0));
}

TILE_INLINE __m512i row_of(vec a, vec b) { return (__m512i)_mm512_cvtne2ps_pbh(b, a); }

/* Keys `key` and the next one, 32 queries. */
static void slope_pair(const tile_back *w, int half, int64_t key, uint16_t *p, uint16_t *ds)
{
    const int64_t strip = tiles_of(w->keys, TILE_DEEP) * TILE_NUMBERS;
    const float *s = w->s + key * ASKING, *dp = w->dp + key * ASKING;
    vec e[2][2], f[2][2];
#pragma GCC unroll 2
    for (int u = 0; u < 2; u++) {
#pragma GCC unroll 2
        for (int i = 0; i < 2; i++)
            slopes_of(&w->lanes[2 * half + i], (int32_t)key + u, s + u * ASKING + 16 * i, dp + u * ASKING + 16 * i,
                      &e[u][i], &f[u][i]);
        _mm512_storeu_si512(p + 32 * u, row_of(e[u][0], e[u][1]));
        _mm512_storeu_si512(ds + 32 * u, row_of(f[u][0], f[u][1]));
    }
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) pack_two(f[0][i], f[1][i], w->ds_along + i * strip + key * 16);
}
#else
static void slope_pair(const tile_back *w, int half, int64_t key, uint16_t *p, uint16_t *ds)
{
    const int64_t strip = tiles_of(w->keys, TILE_DEEP) * TILE_NUMBERS;
    for (int u = 0; u < 2; u++)
        for (int i = 0; i < ASKING; i++) {
            const tile_lanes *t = &w->lanes[2 * half + i / 16];
            const int64_t at = (key + u) * ASKING + i, l = i % 16;
            const bool there = key + u >= t->lo[l] && key + u < t->hi[l];
            const float e = there ? exp2f(w->s[at] * t->scale[l] - t->lse[l]) : 0;
            const float f = there ? e * (w->dp[at] - t->dot[l]) * t->slope[l] : 0;
            p[32 * u + i] = so_to_bf16(e);
            ds[32 * u + i] = so_to_bf16(f);
            w->ds_along[i / 16 * strip + key * 16 + 2 * l + u] = so_to_bf16(f);
        }
}
#endif

/* dq of 32 queries, which waits as [padded][32]. */
static void put_slopes(const tile_back *w, int64_t at, int64_t rows)
{
    for (int64_t i = 0; i < rows; i += 16)
        for (int64_t c = 0; c < w->d; c += 16) {
            const int n = least(w->d - c, 16), m = least(rows - i, 16);
            float turned[16 * 16];
            for (int l = 0; l < 16; l++) memcpy(turned + 16 * l, w->dq + (c + l) * ASKING + i, 16 * sizeof *turned);
            turn_tile(turned);
            for (int r = 0; r < m; r++) {
                float *to = w->b->dq + asked_place(w, at + i + r) + c;
                for (int l = 0; l < n; l++) to[l] += turned[16 * r + l];
            }
        }
}

/* 32 of the queries: p and ds of all keys that any of them sees, and their dq. */
static void ask_back(const tile_back *w, int half, int64_t all)
{
    const int64_t strip = w->deep * TILE_NUMBERS, along = tiles_of(w->keys, TILE_DEEP) * TILE_NUMBERS;
    const int64_t near = tiles_of(w->seen, TILE_DEEP), rows = least(all - w->at - half * ASKING, ASKING);
    const tile_strips q = packed_strips(w->q + 2 * half * strip, strip),
                      dout = packed_strips(w->dout + 2 * half * strip, strip);
    for (int64_t i = 0; i < w->seen; i += 32) {
        const int64_t from = i / 16 * strip;
        block_at((tile_sums){w->s + i * ASKING, ASKING, 32, ASKING, false}, w->deep, packed_strips(w->k + from, strip),
                 q);
        block_at((tile_sums){w->dp + i * ASKING, ASKING, 32, ASKING, false}, w->deep, packed_strips(w->v + from, strip),
                 dout);
    }
    for (int64_t key = 0; key < near * TILE_DEEP; key += 2) {
        const int64_t to = key / 16 * BACK_STRIP + half * TILE_NUMBERS + key % 16 * 32;
        slope_pair(w, half, key, w->p + to, w->ds + to);
    }
    if (!w->b->dq) return;
    for (int64_t c = 0; c < w->d; c += 32)
        block_at((tile_sums){w->dq + c * ASKING, ASKING, least(w->padded - c, 32), ASKING, false}, near,
                 packed_strips(w->k_along + c / 16 * along, along), packed_strips(w->ds_along, along));
    put_slopes(w, w->at + half * ASKING, rows);
}

/* sums[keys][] += left^T right of 64 queries, or of 32. */
static void add_keys(const tile_back *w, float *sums, const uint16_t *left, const uint16_t *right, int64_t halves)
{
    const int64_t wide = width_of_sums(w);
    for (int64_t i = 0; i < w->seen; i += 32)
        for (int64_t c = 0; c < w->d; c += 32)
            block_at((tile_sums){sums + i * wide + c, wide, 32, least(w->padded - c, 32), true}, halves,
                     packed_strips(left + i / 16 * BACK_STRIP, BACK_STRIP),
                     packed_strips(right + c / 16 * BACK_STRIP, BACK_STRIP));
}

static void put_keys(const tile_back *w, const float *sums, float *to)
{
    const int64_t step = w->g->kv_stride, wide = width_of_sums(w);
    to += w->k0 * step + w->h / w->sharing * w->d;
    for (int64_t i = 0; i < w->keys; i++)
        for (int64_t c = 0; c < w->d; c++) to[i * step + c] += sums[i * wide + c];
}

/* All that reads one key head of one sequence. */
static void back_of_head(tile_back *w)
{
    const int64_t all = w->g->q_rows * w->sharing;
    for (w->k0 = 0; w->k0 < w->g->kv_rows; w->k0 += w->keys) {
        w->keys = least(w->g->kv_rows - w->k0, BACK_KEYS);
        take_keys_back(w);
        for (w->at = 0; w->at < all; w->at += BACK_ASKING) {
            const int halves = all - w->at > ASKING ? 2 : 1;
            take_queries_back(w, all);
            if (w->seen == 0) continue;
            for (int half = 0; half < halves; half++) ask_back(w, half, all);
            if (w->g->dv) add_keys(w, w->dv, w->p, w->dout_along, halves);
            if (w->g->dk) add_keys(w, w->dk, w->ds, w->q_along, halves);
        }
        if (w->g->dv) put_keys(w, w->dv, w->g->dv);
        if (w->g->dk) put_keys(w, w->dk, w->g->dk);
    }
}

/* One task per sequence and key head, so that dk and dv have one writer; per key head where sequences share keys. */
static void attention_back_task(void *p, int64_t task, int thread)
{
    (void)thread;
    const tile_back_job *j = p;
    const so_attn *a = j->a;
    const int64_t sharing = a->heads / a->kv_heads, d = a->width, s0 = j->in_turn ? 0 : task / a->kv_heads;
    so_scratch *scratch = so_scratch_here();
    tile_back w = {.a = a, .b = &j->back, .h = task % a->kv_heads * sharing, .sharing = sharing, .d = d};
    w.padded = tiles_of(d, 16) * 16;
    w.deep = tiles_of(d, TILE_DEEP);
    const int64_t block = BACK_KEYS * w.deep * TILE_DEEP, asking = BACK_ASKING * w.deep * TILE_DEEP;
    w.k = (uint16_t *)(void *)scratch->a;
    w.v = w.k + block;
    w.k_along = w.v + block;
    w.p = w.k_along + block;
    w.ds = w.p + BACK_KEYS * BACK_ASKING;
    w.ds_along = w.ds + BACK_KEYS * BACK_ASKING;
    w.q = w.ds_along + BACK_KEYS * ASKING;
    w.dout = w.q + asking;
    w.q_along = w.dout + asking;
    w.dout_along = w.q_along + asking;
    w.s = scratch->b;
    w.dp = w.s + BACK_KEYS * ASKING;
    w.dk = w.dp + BACK_KEYS * ASKING;
    w.dv = w.dk + BACK_KEYS * width_of_sums(&w);
    w.dq = w.dv + BACK_KEYS * width_of_sums(&w);
    w.rows_of_q = w.dq + width_of_sums(&w) * ASKING;
    w.rows_of_dout = w.rows_of_q + BACK_ASKING * d;
    const tile_shape shape = tile_shape_of(TILE_BYTES);
    tile_setup(&shape);
    for (int64_t s = s0; s < (j->in_turn ? a->n_segs : s0 + 1); s++) {
        w.g = &a->seg[s];
        back_of_head(&w);
    }
    tile_release();
}

/* Whether the tiles take it: keys as numbers, heads that the scratch has room for, and rows enough to fill tiles. */
static bool fills_tiles(const so_attn *a)
{
    bool fills = a->width >= 1 && a->width <= WIDEST && a->heads / a->kv_heads <= ASKED;
    for (int64_t s = 0; s < a->n_segs && fills; s++) fills = a->seg[s].q_rows >= 8 && a->seg[s].kv_type == SO_F32;
    return fills;
}

static void attention_bf16(so_pool *pool, const so_attn *attn, const float *q, float *out, float *lse)
{
    if (lse && fills_tiles(attn))
        attend_on_tiles(pool, attn, q, out, lse);
    else
        attention_before(pool, attn, q, out, lse);
}

static void attention_bf16_back(so_pool *pool, const so_attn *attn, const so_attn_back *back)
{
    const bool shared = so_attn_shares_keys(attn);
    if (!fills_tiles(attn)) {
        attention_back_before(pool, attn, back);
        return;
    }
    so_pool_for(pool, (shared ? 1 : attn->n_segs) * attn->kv_heads, attention_back_task,
                &(tile_back_job){attn, *back, shared});
}

#endif
