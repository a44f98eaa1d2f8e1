/* Attention of few query rows (decode) for one ISA: bound by reading keys and values once, 4 d bytes a key and key head
 * at f16. The query heads of a key head go together, so that a key serves all of them while it is in the first cache,
 * and four of them once it is in a register; sums across the lanes of W of them are made together. Stored types are
 * turned into floats in registers. Widths that are multiples of W.
 *
 * A part of fast_attention.h, which includes it where its names are known.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_CPU_X86_FAST_ATTENTION_FEW_H
#define SO_BACKEND_CPU_X86_FAST_ATTENTION_FEW_H

enum { FEW_HEADS = 8, FEW_AHEAD = 64 }; /* keys or values that are fetched ahead: those of a head lie apart */
#define FEW static inline __attribute__((always_inline))

/* Lane i: the sum of s[i]. */
FEW vec sum_each(const vec s[W])
{
#if defined(__AVX512F__)
    vec t[8], u[4];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
        t[i] = _mm512_unpacklo_ps(s[2 * i], s[2 * i + 1]) + _mm512_unpackhi_ps(s[2 * i], s[2 * i + 1]);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        __m512d a = _mm512_castps_pd(t[2 * i]), b = _mm512_castps_pd(t[2 * i + 1]);
        u[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b)) + _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
    }
    vec a = _mm512_shuffle_f32x4(u[0], u[1], 0x88) + _mm512_shuffle_f32x4(u[0], u[1], 0xdd);
    vec b = _mm512_shuffle_f32x4(u[2], u[3], 0x88) + _mm512_shuffle_f32x4(u[2], u[3], 0xdd);
    return _mm512_shuffle_f32x4(a, b, 0x88) + _mm512_shuffle_f32x4(a, b, 0xdd);
#else
    vec a = _mm256_hadd_ps(_mm256_hadd_ps(s[0], s[1]), _mm256_hadd_ps(s[2], s[3]));
    vec b = _mm256_hadd_ps(_mm256_hadd_ps(s[4], s[5]), _mm256_hadd_ps(s[6], s[7]));
    return _mm256_permute2f128_ps(a, b, 0x20) + _mm256_permute2f128_ps(a, b, 0x31);
#endif
}

/* Keys or values of one block, of one head. */
typedef struct few_block {
    const unsigned char *at;
    size_t step; /* bytes from one to the next */
    int64_t n;
} few_block;

static few_block few_from(const so_attn_seg *g, const float *base, int64_t k0, int64_t n, int64_t column)
{
    size_t step = so_type_bytes(g->kv_type, g->kv_stride);
    return (few_block){(const unsigned char *)base + (size_t)k0 * step + so_type_bytes(g->kv_type, column), step, n};
}

/* `bytes` of row i, from byte `from` on, into the second cache: in the first, rows a power of two apart throw one
 * another out. */
FEW void fetch_row(const few_block *b, int64_t i, size_t from, size_t bytes)
{
    uintptr_t row = (uintptr_t)b->at + (size_t)i * b->step + from;
    for (size_t p = 0; p < bytes; p += 64) _mm_prefetch((const char *)(row + p), _MM_HINT_T1);
}

/* s[h][i0 ..]: H heads of q against W / H keys from i0 on. */
FEW void few_scores_of(so_type type, const int H, const few_block *k, int64_t i0, const float *q, int64_t d,
                       float s[][KB])
{
    const int T = W / H;
    const unsigned char *row[W];
    vec sum[W];
    float each[W];
#pragma GCC unroll 16
    for (int i = 0; i < T; i++) row[i] = k->at + (size_t)(i0 + i < k->n ? i0 + i : k->n - 1) * k->step;
#pragma GCC unroll 16
    for (int i = 0; i < W; i++) sum[i] = v_set(0);
    for (int64_t c = 0; c < d; c += W) {
        vec a[4];
#pragma GCC unroll 4
        for (int h = 0; h < H; h++) a[h] = v_load(q + h * d + c);
#pragma GCC unroll 16
        for (int i = 0; i < T; i++) {
            vec key = weights(type, row[i], c);
#pragma GCC unroll 4
            for (int h = 0; h < H; h++) sum[h * T + i] = v_fma(a[h], key, sum[h * T + i]);
        }
    }
    v_store(each, sum_each(sum));
#pragma GCC unroll 4
    for (int h = 0; h < H; h++) memcpy(s[h] + i0, each + h * T, (size_t)T * sizeof *each);
}

/* s[h][i]: head h of q against key i, up to W keys behind the last. */
FEW void few_scores(so_type type, const few_block *k, const float *q, int64_t heads, int64_t d, float s[][KB])
{
    const size_t bytes = so_type_bytes(type, d);
    for (int64_t i0 = 0; i0 < k->n; i0 += W) {
        for (int64_t i = i0 + FEW_AHEAD; i < i0 + FEW_AHEAD + W; i++) fetch_row(k, i, 0, bytes);
        int64_t h = 0;
        for (; h + 4 <= heads; h += 4)
            for (int64_t i = i0; i < i0 + W; i += W / 4) few_scores_of(type, 4, k, i, q + h * d, d, s + h);
        for (; h < heads; h++) few_scores_of(type, 1, k, i0, q + h * d, d, s + h);
    }
}

/* y[h][c ..] += s[h][i] times value i, columns c .. c + V W of H heads. */
FEW void few_weigh(so_type type, const int H, const int V, const few_block *v, const float s[][KB], int64_t c,
                   int64_t d, float *y)
{
    vec sum[4][4];
#pragma GCC unroll 4
    for (int h = 0; h < H; h++)
#pragma GCC unroll 4
        for (int u = 0; u < V; u++) sum[h][u] = v_load(y + h * d + c + u * W);
    const bool parts = type != SO_Q8_0; /* a block cannot be entered in its middle */
    const size_t from = so_type_bytes(type, c), bytes = so_type_bytes(type, V * W);
    const unsigned char *row = v->at + (parts ? from : 0);
    for (int64_t i = 0; i < v->n; i++, row += v->step) {
        vec x[4];
        fetch_row(v, i + FEW_AHEAD, from, bytes);
#pragma GCC unroll 4
        for (int u = 0; u < V; u++) x[u] = weights(type, row, (parts ? 0 : c) + u * W);
#pragma GCC unroll 4
        for (int h = 0; h < H; h++) {
            vec p = v_set(s[h][i]);
#pragma GCC unroll 4
            for (int u = 0; u < V; u++) sum[h][u] = v_fma(p, x[u], sum[h][u]);
        }
    }
#pragma GCC unroll 4
    for (int h = 0; h < H; h++)
#pragma GCC unroll 4
        for (int u = 0; u < V; u++) v_store(y + h * d + c + u * W, sum[h][u]);
}

FEW void few_values(so_type type, const few_block *v, const float s[][KB], int64_t heads, int64_t d, float *y)
{
    const int V = W == 16 ? 4 : 2;
    int64_t h = 0;
#define HEADS(H)                                                                                                       \
    for (; h + H <= heads; h += H) {                                                                                   \
        int64_t c = 0;                                                                                                 \
        for (; c + V * W <= d; c += V * W) few_weigh(type, H, V, v, s + h, c, d, y + h * d);                           \
        for (; c < d; c += W) few_weigh(type, H, 1, v, s + h, c, d, y + h * d);                                        \
    }
    HEADS(4)
    HEADS(1)
#undef HEADS
}

/* Up to FEW_HEADS query heads from h0 on, all of one key head, of row r. */
FEW void few_heads(so_type type, const attn_job *j, const so_attn_seg *g, int64_t r, int64_t h0, int64_t heads)
{
    const so_attn *a = j->a;
    int64_t d = a->width, row = g->q_row0 + r, lo, hi, at = (row * a->heads + h0) * d,
            kv = h0 / (a->heads / a->kv_heads) * d;
    float *y = j->y + at, max[FEW_HEADS], sum[FEW_HEADS] = {0}, (*s)[KB] = (float(*)[KB])(void *)scores;
    const size_t bytes = so_type_bytes(type, d);
    block_range(a, g, r, 1, &lo, &hi);
    memset(y, 0, (size_t)(heads * d) * sizeof *y);
    for (int64_t h = 0; h < heads; h++) max[h] = -INFINITY;
    for (int64_t k0 = lo; k0 < hi; k0 += KB) {
        few_block k = few_from(g, g->k, k0, least(hi - k0, KB), kv), v = few_from(g, g->v, k0, k.n, kv);
        for (int64_t i = 0; i < FEW_AHEAD; i++) {
            fetch_row(&k, i, 0, bytes);
            fetch_row(&v, i, 0, bytes);
        }
        few_scores(type, &k, j->q + at, heads, d, s);
        for (int64_t h = 0; h < heads; h++) {
            float top = mask_scores(a, g, r, k0, k.n, s[h]);
            if (top < max[h]) top = max[h];
            if (top == -INFINITY) { /* nothing seen so far */
                memset(s[h], 0, (size_t)k.n * sizeof **s);
                continue;
            }
            float shrink = k0 > lo ? expf(max[h] - top) : 1;
            if (shrink != 1) scale_to(y + h * d, d, shrink);
            sum[h] = sum[h] * shrink + exp_scores(s[h], k.n, top);
            max[h] = top;
        }
        few_values(type, &v, (const float(*)[KB])s, heads, d, y);
    }
    for (int64_t h = 0; h < heads; h++) {
        scale_to(y + h * d, d, 1 / sum[h]);
        if (j->lse) j->lse[row * a->heads + h0 + h] = max[h] + logf(sum[h]);
    }
}

/* All query heads of key head kv. */
static void attend_few(const attn_job *j, const so_attn_seg *g, int64_t kv)
{
    int64_t group = j->a->heads / j->a->kv_heads;
    for (int64_t r = 0; r < g->q_rows; r++)
        for (int64_t h = 0; h < group; h += FEW_HEADS) {
            int64_t h0 = kv * group + h, n = least(group - h, FEW_HEADS);
            switch (g->kv_type) {
            case SO_F32:
                few_heads(SO_F32, j, g, r, h0, n);
                break;
            case SO_F16:
                few_heads(SO_F16, j, g, r, h0, n);
                break;
            case SO_BF16:
                few_heads(SO_BF16, j, g, r, h0, n);
                break;
            default:
                few_heads(SO_Q8_0, j, g, r, h0, n);
                break;
            }
        }
}
#undef FEW

#endif
