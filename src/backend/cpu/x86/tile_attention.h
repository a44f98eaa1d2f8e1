/* Attention of prompts on matrix tiles: scores, probabilities and values rounded to bf16.
 *
 * As in fast_bf16_layers.h queries lie along the lanes: scores[key][query] = keys x queries, the sums over keys are
 * vertical, and the probabilities are at once the right factor of values x probabilities. Keys and values of a block
 * of 512 are packed once for all queries of a task: `rows` rows of all heads that share them, row by row, so that 32
 * queries one behind the other see nearly the same keys.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_CPU_X86_TILE_ATTENTION_H
#define SO_BACKEND_CPU_X86_TILE_ATTENTION_H

#include <math.h>

#include "backend/cpu/x86/tile_pack.h"
#include "base/quantise.h"

enum {
    ASKING = 32 /* queries of a block */,
    KEYS = 512,
    WIDEST = 128 /* of a head */,
    ASKED = 512 /* queries of a task */
};
_Static_assert(KEYS *WIDEST * 2 * 2 <= SO_PACK_A * 4, "the scratch holds keys and values");
_Static_assert(KEYS *ASKING <= SO_SCORES && KEYS * ASKING / 2 + ASKING * WIDEST / 2 <= SO_SCORES,
               "the scratch holds scores, probabilities and queries");

static so_attention_fn *attention_before;
static so_row_fn *row_before; /* decodes keys and values */

typedef struct tile_attn_job {
    const so_attn *a;
    const float *q;
    float *y, *lse;          /* lse: NULL, or [rows, heads] */
    int64_t sharing, pieces; /* heads that share keys; tasks of a segment and key head */
} tile_attn_job;

typedef struct tile_head {
    const so_attn *a;
    const so_attn_seg *g;
    int64_t h, sharing, d, r0, rows, k0, keys; /* heads h .. h + sharing; rows r0 .. r0 + rows of the sequence; keys k0
                                                  .. k0 + keys of the block */
    int64_t asked;                             /* rows x sharing: query i is row i / sharing, head i % sharing */
    uint16_t *k, *v;                           /* left factors: rows are keys; rows are numbers of a value */
    uint16_t *q, *p;                           /* right factors of 32 queries: along the head, along keys */
    float *max, *sum, *o;                      /* [asked], [asked], [asked / 32][d padded to 16][32] */
    int32_t *lo, *hi;                          /* [asked] visible keys */
} tile_head;

TILE_INLINE int64_t head_rows(const tile_head *w) { return tiles_of(w->d, 16) * 16; }

/* Query i's numbers in q, or in y. */
TILE_INLINE int64_t place_of(const tile_head *w, int64_t i)
{
    return ((w->g->q_row0 + w->r0 + i / w->sharing) * w->a->heads + w->h + i % w->sharing) * w->d;
}

/* Keys or values of the block: where they lie, or decoded into `room`. */
static const float *block_rows(const tile_head *w, const float *base, float *room, int64_t *step)
{
    const so_attn_seg *g = w->g;
    int64_t at = w->h / w->sharing * w->d;
    *step = g->kv_type == SO_F32 ? g->kv_stride : w->d;
    if (g->kv_type == SO_F32) return base + w->k0 * g->kv_stride + at;
    for (int64_t i = 0; i < w->keys; i++) {
        const unsigned char *from =
            (const unsigned char *)base + so_type_bytes(g->kv_type, (w->k0 + i) * g->kv_stride + at);
        row_before(g->kv_type, from, 0, w->d, room + i * w->d);
    }
    return room;
}

static void take_keys(const tile_head *w)
{
    int64_t step, deep = tiles_of(w->d, TILE_DEEP), along = tiles_of(w->keys, TILE_DEEP);
    float *room = so_scratch_here()->scores; /* 512 x 60: scores come later */
    const float *k = block_rows(w, w->g->k, room, &step);
    pack_strips(true, false, k, step, w->keys, w->d, w->k, deep * TILE_NUMBERS);
    const float *v = block_rows(w, w->g->v, room, &step);
    pack_strips(true, true, v, step, w->d, w->keys, w->v, along * TILE_NUMBERS);
}

/* The queries from `at` on, scaled. */
static void take_queries(const tile_head *w, const tile_attn_job *j, int64_t at)
{
    const so_attn *a = w->a;
    int64_t n = least(w->asked - at, ASKING), deep = tiles_of(w->d, TILE_DEEP);
    float scaled[ASKING * WIDEST] = {0};
    for (int64_t i = 0; i < n; i++) {
        int64_t row = w->g->q_row0 + w->r0 + (at + i) / w->sharing;
        const float scale = a->lo && a->lo[row] == a->hi[row] ? 0 : a->scale * 1.44269504088896f;
        const float *q = j->q + place_of(w, at + i);
        for (int64_t c = 0; c < w->d; c++) scaled[i * w->d + c] = q[c] * scale;
    }
    pack_strips(false, false, scaled, w->d, ASKING, w->d, w->q, deep * TILE_NUMBERS);
}

/* Keys of the block that any of the queries from `at` on sees: the first `seen`; what all of them see is `from` ..
 * `to`. */
typedef struct tile_view {
    int64_t seen, from, to;
} tile_view;

static tile_view view_of(const tile_head *w, int64_t at)
{
    tile_view v = {0, 0, w->keys};
    for (int64_t i = at; i < w->asked && i < at + ASKING; i++) {
        const int64_t lo = w->lo[i] - w->k0, hi = w->hi[i] - w->k0;
        if (hi > v.seen) v.seen = hi;
        if (lo > v.from) v.from = lo;
        if (hi < v.to) v.to = hi;
    }
    if (v.seen > w->keys) v.seen = w->keys;
    if (w->asked - at < ASKING || v.from >= v.to) v.from = v.to = 0; /* look at all of them */
    return v;
}

/* Scores of keys that a query does not see, and of those behind the last, become -infinity. */
static void hide_keys(const tile_head *w, int64_t at, const tile_view *v, int64_t padded, float *s)
{
    int32_t lo[ASKING] = {0}, hi[ASKING] = {0};
    for (int i = 0; i < ASKING && at + i < w->asked; i++) lo[i] = w->lo[at + i], hi[i] = w->hi[at + i];
    for (int64_t key = 0; key < v->seen; key++) {
        if (key == v->from && v->to > key) key = v->to;
        if (key >= v->seen) break;
        for (int i = 0; i < ASKING; i++)
            if (w->k0 + key < lo[i] || w->k0 + key >= hi[i]) s[key * ASKING + i] = -INFINITY;
    }
    for (int64_t i = v->seen * ASKING; i < padded * ASKING; i++) s[i] = -INFINITY;
}

#if defined(__AVX512F__)
/* Sixteen queries: scores to probabilities, whose pairs of keys go to p; moves maximum and sum, gives by how much what
 * was summed before shrinks. */
static void soften(const float *s, int64_t keys, float *max, float *sum, uint16_t *p, float *shrink)
{
    vec before = v_load(max), top = before, top1 = before, total = v_set(0);
    for (int64_t i = 0; i < keys; i += 2) {
        top = v_max(top, v_load(s + i * ASKING));
        top1 = v_max(top1, v_load(s + (i + 1) * ASKING));
    }
    top = v_max(v_max(top, top1), v_set(-1e30f)); /* queries that saw nothing yet */
    for (int64_t i = 0; i < keys; i += 2, p += 32) {
        vec e0 = v_exp2_short(v_load(s + i * ASKING) - top), e1 = v_exp2_short(v_load(s + (i + 1) * ASKING) - top);
        total = v_add(total, v_add(e0, e1));
        pack_two(e0, e1, p);
    }
    vec by = v_exp2_short(before - top);
    v_store(max, top);
    v_store(sum, v_fma(v_load(sum), by, total));
    v_store(shrink, by);
}
#else
static void soften(const float *s, int64_t keys, float *max, float *sum, uint16_t *p, float *shrink)
{
    float top[16], total[16] = {0}, two[2][16];
    for (int i = 0; i < 16; i++) {
        top[i] = max[i] > -1e30f ? max[i] : -1e30f;
        for (int64_t key = 0; key < keys; key++)
            if (s[key * ASKING + i] > top[i]) top[i] = s[key * ASKING + i];
    }
    for (int64_t key = 0; key < keys; key += 2, p += 32) {
        for (int u = 0; u < 2; u++)
            for (int i = 0; i < 16; i++) {
                two[u][i] = exp2f(s[(key + u) * ASKING + i] - top[i]);
                total[i] += two[u][i];
            }
        pack_pairs_of(two[0], two[1], 16, p);
    }
    for (int i = 0; i < 16; i++) {
        shrink[i] = exp2f(max[i] - top[i]);
        sum[i] = sum[i] * shrink[i] + total[i];
        max[i] = top[i];
    }
}
#endif

/* A block of queries meets the keys of the block that it sees. */
static void ask(const tile_head *w, int64_t at, const tile_view *v)
{
    float *s = so_scratch_here()->scores, *o = w->o + at / ASKING * head_rows(w) * ASKING, shrink[ASKING];
    int64_t deep = tiles_of(w->d, TILE_DEEP), along = tiles_of(w->keys, TILE_DEEP), near = tiles_of(v->seen, TILE_DEEP);
    int64_t padded = near * TILE_DEEP, strip = along * TILE_NUMBERS;
    for (int64_t i = 0; i < v->seen; i += 32)
        block_at((tile_sums){s + i * ASKING, ASKING, 32, ASKING, false}, deep,
                 packed_strips(w->k + i / 16 * deep * TILE_NUMBERS, deep * TILE_NUMBERS),
                 packed_strips(w->q, deep * TILE_NUMBERS));
    hide_keys(w, at, v, padded, s);
    bool same = true;
    for (int half = 0; half < 2; half++)
        soften(s + 16 * half, padded, w->max + at + 16 * half, w->sum + at + 16 * half, w->p + half * strip,
               shrink + 16 * half);
    for (int i = 0; i < ASKING; i++) same &= shrink[i] == 1;
    for (int64_t c = 0; c < w->d && !same; c++)
        for (int i = 0; i < ASKING; i++) o[c * ASKING + i] *= shrink[i];
    for (int64_t c = 0; c < w->d; c += 32)
        block_at((tile_sums){o + c * ASKING, ASKING, least(head_rows(w) - c, 32), ASKING, true}, near,
                 packed_strips(w->v + c / 16 * strip, strip), packed_strips(w->p, strip));
}

/* Sums [d][32 queries] over the queries' sums of probabilities, turned 16 x 16 at a time. */
static void put_answers(const tile_head *w, const tile_attn_job *j)
{
    for (int64_t i = 0; i < w->asked; i += 16) {
        const float *o = w->o + i / ASKING * head_rows(w) * ASKING + i % ASKING;
        const int rows = least(w->asked - i, 16);
        const float *sum = w->sum + i;
        float *y[16];
        for (int r = 0; r < rows; r++) {
            y[r] = j->y + place_of(w, i + r);
            if (j->lse) j->lse[place_of(w, i + r) / w->d] = (w->max[i + r] + log2f(sum[r])) * 0.693147180559945f;
        }
        for (int64_t c = 0; c < w->d; c += 16) {
            const int n = least(w->d - c, 16);
#if defined(__AVX512F__)
            const vec all = v_load(sum), over = v_pick(v_gt(all, v_set(0)), v_set(1) / all, v_set(0));
            vec u[16];
#pragma GCC unroll 16
            for (int l = 0; l < 16; l++) u[l] = v_load(o + (c + l) * ASKING) * over;
            transpose(u);
            for (int r = 0; r < rows; r++) v_store_m(y[r] + c, v_tail(n), u[r]);
#else
            for (int r = 0; r < rows; r++)
                for (int l = 0; l < n; l++) y[r][c + l] = sum[r] > 0 ? o[(c + l) * ASKING + r] * (1 / sum[r]) : 0;
#endif
        }
    }
}

static void attend_group(tile_head *w, const tile_attn_job *j)
{
    int64_t first = w->g->kv_rows, last = 0, padded = tiles_of(w->asked, ASKING) * ASKING;
    for (int64_t i = 0; i < w->asked; i++) {
        int64_t lo, hi;
        bool mean;
        so_attn_visible(w->a, w->g, w->r0 + i / w->sharing, &lo, &hi, &mean);
        w->lo[i] = (int32_t)lo;
        w->hi[i] = (int32_t)hi;
        if (lo < first) first = lo;
        if (hi > last) last = hi;
    }
    for (int64_t r = 0; r < padded; r++) w->max[r] = -INFINITY, w->sum[r] = 0;
    memset(w->o, 0, (size_t)(padded * head_rows(w)) * sizeof *w->o);
    for (w->k0 = first; w->k0 < last; w->k0 += w->keys) {
        int64_t blocks = tiles_of(last - w->k0, KEYS);
        w->keys = least(last - w->k0, tiles_of(tiles_of(last - w->k0, blocks), TILE_DEEP) * TILE_DEEP);
        /* Decoded keys lie in the room of the scores: fewer of them where heads are wide. */
        if (w->g->kv_type != SO_F32 && w->keys * w->d > SO_SCORES) w->keys = SO_SCORES / w->d / TILE_DEEP * TILE_DEEP;
        take_keys(w);
        for (int64_t at = 0; at < w->asked; at += ASKING) {
            const tile_view v = view_of(w, at);
            if (v.seen <= 0) continue;
            take_queries(w, j, at);
            ask(w, at, &v);
        }
    }
    put_answers(w, j);
}

/* Rows of a task, at most what the scratch has room for. */
static int64_t rows_of_task(const so_attn *a, int64_t rows, int64_t sharing)
{
    const int64_t room = (SO_PACK_B - 2 * ASKING) / (tiles_of(a->width, 16) * 16 + 4) / ASKING * ASKING;
    int64_t most = ASKED / sharing;
    if (most < 1) most = 1;
    const int64_t step = even_step(rows, most, sharing < ASKING ? ASKING / sharing : 1);
    return step * sharing <= room ? step : room / sharing;
}

static void bf16_attention_task(void *p, int64_t task, int thread)
{
    (void)thread;
    const tile_attn_job *j = p;
    tile_head w = {.a = j->a,
                   .g = &j->a->seg[task / j->pieces / j->a->kv_heads],
                   .h = task / j->pieces % j->a->kv_heads * j->sharing,
                   .sharing = j->sharing,
                   .d = j->a->width};
    so_scratch *scratch = so_scratch_here();
    const int64_t rows = rows_of_task(w.a, w.g->q_rows, w.sharing), most = tiles_of(rows * w.sharing, ASKING) * ASKING;
    const tile_shape shape = tile_shape_of(TILE_BYTES);
    w.k = (uint16_t *)(void *)scratch->a;
    w.v = w.k + KEYS * tiles_of(w.d, TILE_DEEP) * TILE_DEEP;
    w.p = (uint16_t *)(void *)scratch->slopes;
    w.q = w.p + KEYS * ASKING;
    w.max = scratch->b;
    w.sum = w.max + most;
    w.lo = (int32_t *)(void *)(w.sum + most);
    w.hi = w.lo + most;
    w.o = (float *)(void *)(w.hi + most);
    tile_setup(&shape);
    for (w.r0 = task % j->pieces * rows; w.r0 < w.g->q_rows; w.r0 += j->pieces * rows) {
        w.rows = least(w.g->q_rows - w.r0, rows);
        w.asked = w.rows * w.sharing;
        attend_group(&w, j);
    }
    tile_release();
}

static void attend_on_tiles(so_pool *pool, const so_attn *attn, const float *q, float *out, float *lse)
{
    tile_attn_job job = {attn, q, out, lse, attn->heads / attn->kv_heads, 1};
    bool few = attn->width > WIDEST || attn->width < 1 || job.sharing > ASKED;
    for (int64_t s = 0; s < attn->n_segs && !few; s++) {
        const int64_t rows = attn->seg[s].q_rows;
        few |= rows < 8;
        if (few) break;
        const int64_t pieces = tiles_of(rows, rows_of_task(attn, rows, job.sharing));
        if (pieces > job.pieces) job.pieces = pieces;
    }
    if (few)
        attention_before(pool, attn, q, out, lse);
    else
        so_pool_for(pool, attn->n_segs * attn->kv_heads * job.pieces, bf16_attention_task, &job);
}

static void bf16_attention(so_pool *pool, const so_attn *attn, const float *q, float *out)
{
    attend_on_tiles(pool, attn, q, out, NULL);
}

#endif
