/* Attention: key/value stores, batches of sequences, rotary positions, self-attention, attention into a memory.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "base/own.h"
#include "base/quantise.h"
#include "nn/ops.h"

static size_t stored_bytes(so_type type, int64_t n)
{
    return type == SO_F32 ? (size_t)n * sizeof(so_real) : so_type_bytes(type, n);
}

size_t so_kv_bytes(so_type type, int64_t layers, int64_t width, int64_t capacity)
{
    return stored_bytes(type, 2 * layers * width * capacity);
}

static void *kv_part(const so_kv *kv, int64_t layer, int64_t part)
{
    bool beside = kv->beside && layer >= kv->split;
    int64_t at = 2 * (beside ? layer - kv->split : layer) + part;
    return (char *)(beside ? kv->beside : kv->data) + stored_bytes(kv->type, at * kv->width * kv->capacity);
}

void *so_kv_k(const so_kv *kv, int64_t layer) { return kv_part(kv, layer, 0); }
void *so_kv_v(const so_kv *kv, int64_t layer) { return kv_part(kv, layer, 1); }

void so_kv_copy(so_device *device, so_kv *to, const so_kv *from)
{
    size_t bytes = so_kv_bytes(from->type, 1, from->width, from->len) / 2;
    for (int64_t i = 0; i < from->layers && from->len; i++) {
        so_device *of = from->beside && i >= from->split ? NULL : device;
        so_device_copy(of, so_kv_k(to, i), so_kv_k(from, i), bytes);
        so_device_copy(of, so_kv_v(to, i), so_kv_v(from, i), bytes);
    }
    to->len = from->len;
}

void so_kv_keep_last(so_kv *kv, int64_t n)
{
    size_t from = stored_bytes(kv->type, (kv->len - n) * kv->width), bytes = stored_bytes(kv->type, n * kv->width);
    for (int64_t i = 0; i < 2 * kv->layers; i++) {
        char *part = kv_part(kv, i / 2, i % 2);
        memmove(part, part + from, bytes);
    }
    kv->len = n;
}

so_batch *so_batch_many(so_pass *pass, int64_t n, const int64_t *rows, so_kv *const *kv)
{
    so_batch *batch = so_take(pass, sizeof *batch, false);
    if (!batch) return NULL;
    *batch = (so_batch){.n_seqs = n};
    batch->seq = so_take(pass, (size_t)n * sizeof *batch->seq, false);
    if (!batch->seq) return NULL;
    for (int64_t s = 0; s < n; s++) {
        so_kv *store = kv ? kv[s] : NULL;
        batch->seq[s] = (so_seq){batch->rows, rows[s], store ? store->len : 0, store};
        batch->rows += rows[s];
        if (store && store->len + rows[s] > store->capacity)
            return so_pass_fail(pass, SO_ERR_LIMIT, "the context holds %lld positions, %lld are needed",
                                (long long)store->capacity, (long long)(store->len + rows[s]));
    }
    batch->pos = so_take(pass, (size_t)batch->rows * sizeof *batch->pos, false);
    if (!batch->pos) return NULL;
    for (int64_t s = 0; s < n; s++)
        for (int64_t r = 0; r < rows[s]; r++) batch->pos[batch->seq[s].row0 + r] = (int32_t)(batch->seq[s].pos0 + r);
    return batch;
}

so_batch *so_batch_one(so_pass *pass, int64_t rows, so_kv *kv)
{
    return so_batch_many(pass, 1, &rows, kv ? &kv : NULL);
}

void so_batch_advance(so_batch *batch)
{
    for (int64_t s = 0; batch && s < batch->n_seqs; s++)
        if (batch->seq[s].kv) batch->seq[s].kv->len += batch->seq[s].rows;
}

typedef struct rope {
    int64_t heads, width;
    const double *freq;
    int32_t *pos;
} rope;

static void rope_back(so_pass *pass, const so_step *step)
{
    const rope *r = step->saved;
    so_real beta, *dx = so_grad_beta(pass, step->in[0], &beta);
    if (dx && !pass->dry)
        pass->k->rope(pass->pool, &(so_rotation){.rows = so_rows(step->out),
                                                 .heads = r->heads,
                                                 .width = r->width,
                                                 .pos = r->pos,
                                                 .freq = r->freq,
                                                 .sign = -1,
                                                 .add = beta != 0,
                                                 .x = step->out->grad,
                                                 .y = dx});
}

so_tensor *so_rope(so_pass *pass, so_tensor *x, int64_t heads, int64_t width, const int32_t *pos, const double *freq)
{
    if (!so_want_cols(pass, "rope", x, heads * width)) return NULL;
    so_tensor *y = so_new_like(pass, x);
    if (!y) return NULL;
    if (!pass->dry)
        pass->k->rope(pass->pool, &(so_rotation){.rows = so_rows(x),
                                                 .heads = heads,
                                                 .width = width,
                                                 .pos = pos,
                                                 .freq = freq,
                                                 .sign = 1,
                                                 .x = so_data(x),
                                                 .y = so_data(y)});
    so_step *step = so_tape_put(pass, "rope", rope_back, y, 1, &x, sizeof(rope));
    if (step) {
        size_t bytes = (size_t)so_rows(x) * sizeof *pos;
        rope *r = step->saved;
        *r = (rope){heads, width, freq, so_take(pass, bytes, false)};
        if (!r->pos) return NULL;
        memcpy(r->pos, pos, bytes);
    }
    return y;
}

void so_rope_both(so_pass *pass, so_tensor **q, const int32_t *q_pos, so_tensor **k, const int32_t *k_pos,
                  const so_turning *t)
{
    bool one = so_joins(pass) && pass->k->rope_both && *q && *k;
    if (!one) {
        *q = so_rope(pass, *q, t->heads, t->width, q_pos, t->freq);
        *k = so_rope(pass, *k, t->heads, t->width, k_pos, t->freq);
        return;
    }
    if (!so_want_cols(pass, "rope", *q, t->heads * t->width) || !so_want_cols(pass, "rope", *k, t->heads * t->width))
        return;
    so_tensor *a = so_new_like(pass, *q), *b = so_new_like(pass, *k);
    if (!a || !b) return;
    so_rotation of_q = {.rows = so_rows(a), .heads = t->heads, .width = t->width, .pos = q_pos, .freq = t->freq};
    of_q.sign = 1;
    of_q.x = so_data(*q);
    of_q.y = so_data(a);
    so_rotation of_k = of_q;
    of_k.rows = so_rows(b);
    of_k.pos = k_pos;
    of_k.x = so_data(*k);
    of_k.y = so_data(b);
    if (!pass->dry) pass->k->rope_both(pass->pool, &of_q, &of_k);
    *q = a;
    *k = b;
}

typedef struct attention {
    so_attn attn;
    so_real *lse;
} attention;

static void attention_back(so_pass *pass, const so_step *step)
{
    attention *a = step->saved;
    so_tensor *q = step->in[0], *k = step->in[1], *v = step->in[2];
    so_real *dq = so_grad(pass, q), *dk = so_grad(pass, k), *dv = so_grad(pass, v);
    if (pass->dry || !so_ok(pass)) return;
    so_attn_seg *seg = so_mutable(a->attn.seg);
    for (int64_t s = 0; s < a->attn.n_segs; s++) {
        seg[s].dk = dk ? dk + (seg[s].k - so_data(k)) : NULL;
        seg[s].dv = dv ? dv + (seg[s].v - so_data(v)) : NULL;
    }
    pass->k->attention_back(
        pass->pool, &a->attn,
        &(so_attn_back){.q = so_data(q), .out = so_data(step->out), .lse = a->lse, .dout = step->out->grad, .dq = dq});
}

static so_tensor *attend(so_pass *pass, so_tensor *q, so_tensor *k, so_tensor *v, const so_attn *attn)
{
    so_tensor *y = so_new_like(pass, q);
    if (!y) return NULL;
    if (attn->rounded) {
        /* Asked for: taken where the shape allows it. */
        y->rounded = attn->width % 32 == 0 ? so_take_rounded(pass, y) : NULL;
        ((so_attn *)so_mutable(attn))->rounded = y->rounded;
    }
    so_step *step = so_tape_put(pass, "attention", attention_back, y, 3, (so_tensor *[]){q, k, v}, sizeof(attention));
    so_real *lse = NULL;
    if (step) {
        lse = so_take(pass, (size_t)(so_rows(q) * attn->heads) * sizeof *lse, false);
        if (!lse) return NULL;
        *(attention *)step->saved = (attention){*attn, lse};
    }
    if (!pass->dry && so_ok(pass)) pass->k->attention(pass->pool, attn, so_data(q), so_data(y), lse);
    return y;
}

static bool heads_fit(so_pass *pass, const so_tensor *q, const so_tensor *k, const so_tensor *v, so_heads h)
{
    if (h.kv_heads < 1 || h.heads % h.kv_heads != 0) {
        so_pass_fail(pass, SO_ERR_SHAPE, "attention: %lld heads over %lld key heads", (long long)h.heads,
                     (long long)h.kv_heads);
        return false;
    }
    return so_want_cols(pass, "attention q", q, h.heads * h.width) &&
           so_want_cols(pass, "attention k", k, h.kv_heads * h.width) && so_want_same(pass, "attention", k, v);
}

static so_attn *start(so_pass *pass, so_heads h, int64_t n_segs)
{
    so_attn *attn = so_take(pass, sizeof *attn, false);
    so_attn_seg *seg = so_take(pass, (size_t)n_segs * sizeof *seg, false);
    if (!seg) return NULL;
    *attn = (so_attn){h.heads, h.kv_heads, h.width, (so_real)(1 / sqrt((double)h.width)), .n_segs = n_segs, .seg = seg};
    if (h.rounded) attn->rounded = attn; /* to be replaced by its place */
    return attn;
}

/* What is wrong with keys and values that the host could not keep, in words. */
static bool not_kept(so_pass *pass, const so_kept *kept)
{
    enum { PIECE = 256 };
    so_error error = {.status = SO_ERR_NUMBER, .text = "a number that cannot be kept"};
    unsigned char out[PIECE * 4];
    float part[PIECE];
    bool found = false;
    for (int64_t i = 0; i < 2 * kept->n && !found; i += PIECE) {
        const so_real *x = i < kept->n ? kept->k + i : kept->v + (i - kept->n);
        int64_t left = i < kept->n ? kept->n - i : 2 * kept->n - i, some = left < PIECE ? left : PIECE;
        for (int64_t c = 0; c < some; c++) part[c] = (float)x[c];
        found = so_quantise_row(kept->type, part, some, out, &error) != SO_OK;
        if (some < PIECE && i < kept->n) i = kept->n - PIECE;
    }
    so_pass_fail(pass, error.status, "attention: a key or value: %s", error.text);
    return false;
}

/* Queries and keys that are turned on their way: a device does it while it stores. */
typedef struct turning {
    const double *freq;
    const int32_t *pos;
    const so_tensor *q, *to_q;
} turning;

static bool store(so_pass *pass, const so_seq *seq, int64_t layer, so_heads h, const so_tensor *k, const so_tensor *v,
                  const turning *t)
{
    so_kv *kv = seq->kv;
    int64_t c = so_cols(k);
    bool known = kv->type == SO_F32 || kv->type == SO_F16 || kv->type == SO_BF16 || kv->type == SO_Q8_0;
    if (!known || h.width % so_type_about(kv->type)->block) {
        so_pass_fail(pass, SO_ERR_TYPE, "attention: heads of %lld cannot be stored as %s", (long long)h.width,
                     so_type_about(kv->type)->name);
        return false;
    }
    if (pass->recording || kv->width != c || layer >= kv->layers || seq->pos0 != kv->len) {
        so_pass_fail(pass, SO_ERR_STATE,
                     "attention: a store of %lld layers x %lld, position %lld; found layer %lld, %lld "
                     "columns, position %lld%s",
                     (long long)kv->layers, (long long)kv->width, (long long)kv->len, (long long)layer, (long long)c,
                     (long long)seq->pos0, pass->recording ? ", while recording" : "");
        return false;
    }
    if (pass->dry) return true;
    size_t at = stored_bytes(kv->type, seq->pos0 * c);
    so_kept kept = {kv->type,
                    seq->rows * c,
                    so_data(k) + seq->row0 * c,
                    so_data(v) + seq->row0 * c,
                    (char *)so_kv_k(kv, layer) + at,
                    (char *)so_kv_v(kv, layer) + at};
    if (!t) return pass->k->keep(pass->pool, &kept) || not_kept(pass, &kept);
    int64_t q = seq->row0 * so_cols(t->q);
    pass->k->rotate_keep(pass->pool, &(so_rotated){.type = kv->type,
                                                   .rows = seq->rows,
                                                   .heads = h.heads,
                                                   .kv_heads = h.kv_heads,
                                                   .width = h.width,
                                                   .pos = t->pos + seq->row0,
                                                   .freq = t->freq,
                                                   .q = so_data(t->q) + q,
                                                   .k = kept.k,
                                                   .v = kept.v,
                                                   .to_q = so_data(t->to_q) + q,
                                                   .to_k = kept.to_k,
                                                   .to_v = kept.to_v});
    return true;
}

/* What a call of self-attention is about. */
typedef struct attending {
    so_tensor *q, *k, *v;
    const so_batch *batch;
    int64_t layer;
    so_heads heads;
    const turning *turn; /* NULL: all is turned already */
} attending;

static so_tensor *self_attention(so_pass *pass, const attending *a, bool causal)
{
    so_tensor *q = a->q, *k = a->k, *v = a->v;
    const so_batch *batch = a->batch;
    if (!so_ok(pass) || !q || !k || !v || !batch || !heads_fit(pass, q, k, v, a->heads)) return NULL;
    int64_t c = so_cols(k);
    if (so_rows(q) != batch->rows || so_rows(k) != batch->rows)
        return so_pass_fail(pass, SO_ERR_SHAPE, "attention: %lld rows, the batch has %lld", (long long)so_rows(q),
                            (long long)batch->rows);
    so_attn *attn = start(pass, a->heads, batch->n_seqs);
    if (!attn) return NULL;
    attn->causal = causal;
    so_attn_seg *seg = so_mutable(attn->seg);
    for (int64_t s = 0; s < batch->n_seqs; s++) {
        const so_seq *seq = &batch->seq[s];
        seg[s] = (so_attn_seg){
            seq->row0, seq->rows, so_data(k) + seq->row0 * c, so_data(v) + seq->row0 * c, NULL, NULL, seq->rows, c, 0};
        if (!seq->kv) continue;
        if (!store(pass, seq, a->layer, a->heads, k, v, a->turn)) return NULL;
        seg[s].k = so_kv_k(seq->kv, a->layer);
        seg[s].v = so_kv_v(seq->kv, a->layer);
        seg[s].kv_rows = seq->pos0 + seq->rows;
        seg[s].pos0 = seq->pos0;
        seg[s].kv_type = seq->kv->type;
    }
    return attend(pass, q, k, v, attn);
}

so_tensor *so_attention(so_pass *pass, so_tensor *q, so_tensor *k, so_tensor *v, const so_batch *batch, int64_t layer,
                        so_heads heads, bool causal)
{
    return self_attention(pass, &(attending){q, k, v, batch, layer, heads, NULL}, causal);
}

so_tensor *so_turned_attention(so_pass *pass, so_tensor *q, so_tensor *k, so_tensor *v, const so_batch *batch,
                               int64_t layer, so_heads h, const double *freq)
{
    if (!so_ok(pass) || !q || !k || !v || !batch) return NULL;
    bool one = pass->device && pass->k->rotate_keep && !pass->recording;
    for (int64_t s = 0; s < batch->n_seqs; s++) one &= batch->seq[s].kv != NULL;
    if (!one) {
        q = so_rope(pass, q, h.heads, h.width, batch->pos, freq);
        k = so_rope(pass, k, h.kv_heads, h.width, batch->pos, freq);
        return self_attention(pass, &(attending){q, k, v, batch, layer, h, NULL}, true);
    }
    turning turn = {freq, batch->pos, q, so_new_like(pass, q)};
    return self_attention(pass, &(attending){so_mutable(turn.to_q), k, v, batch, layer, h, &turn}, true);
}

so_tensor *so_memory_attention(so_pass *pass, so_tensor *q, so_tensor *k, so_tensor *v, const so_batch *batch,
                               const so_memory *memory, so_heads heads)
{
    if (!so_ok(pass) || !q || !k || !v || !batch || !heads_fit(pass, q, k, v, heads)) return NULL;
    int64_t c = so_cols(k);
    so_attn *attn = start(pass, heads, batch->n_seqs);
    size_t bytes = (size_t)batch->rows * sizeof(int32_t);
    int32_t *lo = so_take(pass, bytes, false), *hi = so_take(pass, bytes, false);
    if (!hi) return NULL;
    memcpy(lo, memory->lo, bytes);
    memcpy(hi, memory->hi, bytes);
    attn->lo = lo;
    attn->hi = hi;
    so_attn_seg *seg = so_mutable(attn->seg);
    for (int64_t s = 0; s < batch->n_seqs; s++) {
        const so_seq *seq = &batch->seq[s];
        int64_t row = memory->memory0[s], n = memory->memory_rows[s];
        if (row < 0 || n < 1 || row + n > so_rows(k))
            return so_pass_fail(pass, SO_ERR_ARG, "memory attention: rows %lld to %lld of a memory of %lld",
                                (long long)row, (long long)(row + n), (long long)so_rows(k));
        for (int64_t r = seq->row0; r < seq->row0 + seq->rows; r++)
            if (lo[r] < 0 || lo[r] > hi[r] || hi[r] > n)
                return so_pass_fail(pass, SO_ERR_ARG, "memory attention: range %d to %d in %lld rows", lo[r], hi[r],
                                    (long long)n);
        seg[s] = (so_attn_seg){seq->row0, seq->rows, so_data(k) + row * c, so_data(v) + row * c, NULL, NULL, n, c, 0};
    }
    return attend(pass, q, k, v, attn);
}

void so_keep_rows(so_pass *pass, so_tensor *k, so_tensor *v, const so_batch *batch, int64_t layer, so_heads heads)
{
    if (!so_ok(pass) || !k || !v || !batch || !so_want_same(pass, "attention", k, v)) return;
    for (int64_t s = 0; s < batch->n_seqs; s++)
        if (!store(pass, &batch->seq[s], layer, heads, k, v, NULL)) return;
}

so_tensor *so_stored_attention(so_pass *pass, so_tensor *q, const so_batch *batch, so_kv *const *kv,
                               const int64_t *rows, int64_t layer, so_heads heads)
{
    if (!so_ok(pass) || !q || !batch || !so_want_cols(pass, "attention q", q, heads.heads * heads.width)) return NULL;
    if (pass->recording) return so_pass_fail(pass, SO_ERR_STATE, "attention into a store, while recording");
    so_attn *attn = start(pass, heads, batch->n_seqs);
    if (!attn) return NULL;
    so_attn_seg *seg = so_mutable(attn->seg);
    for (int64_t s = 0; s < batch->n_seqs; s++) {
        const so_seq *seq = &batch->seq[s];
        int64_t c = kv[s]->width, first = pass->dry ? 0 : kv[s]->len - rows[s];
        if (c != heads.kv_heads * heads.width || layer >= kv[s]->layers || first < 0)
            return so_pass_fail(pass, SO_ERR_STATE, "attention into %lld of %lld positions of %lld columns",
                                (long long)rows[s], (long long)kv[s]->len, (long long)c);
        size_t at = stored_bytes(kv[s]->type, first * c);
        seg[s] = (so_attn_seg){.q_row0 = seq->row0, .q_rows = seq->rows, .kv_rows = rows[s], .kv_stride = c};
        seg[s].k = (void *)((char *)so_kv_k(kv[s], layer) + at);
        seg[s].v = (void *)((char *)so_kv_v(kv[s], layer) + at);
        seg[s].kv_type = kv[s]->type;
    }
    return attend(pass, q, NULL, NULL, attn);
}

static void softmax_back(so_pass *pass, const so_step *step)
{
    so_real *dx = so_grad(pass, step->in[0]);
    if (dx && !pass->dry)
        pass->k->softmax_back(pass->pool, so_rows(step->out), so_cols(step->out), so_data(step->out), step->out->grad,
                              dx);
}

so_tensor *so_softmax(so_pass *pass, so_tensor *x)
{
    so_tensor *y = so_new_like(pass, x);
    if (!y) return NULL;
    if (!pass->dry) pass->k->softmax(pass->pool, so_rows(x), so_cols(x), so_data(x), so_data(y));
    so_tape_put(pass, "softmax", softmax_back, y, 1, &x, 0);
    return y;
}
