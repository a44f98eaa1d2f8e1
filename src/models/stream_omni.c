/* Stream-Omni: the composition. See stream_omni.h for the figure.
 * SPDX-License-Identifier: Apache-2.0 */
#include "models/stream_omni.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define ROW(field, name, axes, group, init, scale)                                                                     \
    {                                                                                                                  \
        offsetof(so_omni, field), name, axes, group, init, scale, false                                                \
    }
static const so_bind_row text_table[] = {
    ROW(text_embed, "model.embed_tokens.weight", "T D", "backbone", SO_INIT_NORMAL, 0.02),
    ROW(text_head, "lm_head.weight", "T D", "backbone", SO_INIT_FAN_IN, 1),
};
static const so_bind_row speech_table[] = {
    ROW(audio_embed, "model.audio_embed_tokens.weight", "A D", "bottom", SO_INIT_NORMAL, 0.02),
    ROW(ctc_head, "audio_to_text_proj.weight", "T D", "bottom", SO_INIT_FAN_IN, 1),
    ROW(unit_head, "audio_lm_head.weight", "A D", "top", SO_INIT_FAN_IN, 1),
    ROW(text_memory, "text_to_audio_proj.weight", "A D", "top", SO_INIT_NORMAL, 1),
};
static const so_bind_row newline_table[] = {
    {offsetof(so_omni, image_newline), "model.image_newline", "D", "projector", SO_INIT_NORMAL, 0.02, true},
};
#undef ROW
#define ROW(field, name, axes, scale)                                                                                  \
    {                                                                                                                  \
        offsetof(so_fusion_layer, field), name, axes, "top", SO_INIT_FAN_IN, scale, false                              \
    }
static const so_bind_row fusion_table[] = {
    ROW(q, "audio_text_attn.q_proj.weight", "Hd D", 1),
    ROW(k, "audio_text_attn.k_proj.weight", "Hd D", 1),
    ROW(v, "audio_text_attn.v_proj.weight", "Hd D", 1),
    ROW(o, "audio_text_attn.o_proj.weight", "D Hd", 0.5),
};

so_tensor *so_omni_hear(so_pass *pass, const so_omni *net, int64_t n, const int32_t *ids, const so_batch *batch)
{
    return so_llama_forward(pass, &net->bottom, so_embed(pass, net->audio_embed, n, ids), batch);
}

so_tensor *so_omni_hear_there(so_pass *pass, const so_omni *net, int64_t n, const int32_t *ids, const so_batch *batch)
{
    return so_llama_forward(pass, &net->bottom, so_embed_there(pass, net->audio_embed, n, ids), batch);
}

static so_tensor *head(so_pass *pass, so_tensor *x, so_tensor *w, const char *name)
{
    so_tensor *z = so_linear(pass, x, w, NULL);
    so_label(pass, z, "%s", name);
    return z;
}

so_tensor *so_omni_ctc(so_pass *pass, const so_omni *net, so_tensor *h) { return head(pass, h, net->ctc_head, "ctc"); }

so_tensor *so_omni_expect(so_pass *pass, const so_omni *net, so_tensor *ctc_logits)
{
    so_tensor *e = so_matmul(pass, so_softmax(pass, ctc_logits), net->text_embed);
    so_label(pass, e, "expect");
    return e;
}

so_tensor *so_omni_read(so_pass *pass, const so_omni *net, int64_t n, const int32_t *ids)
{
    return so_embed(pass, net->text_embed, n, ids);
}

so_tensor *so_omni_read_there(so_pass *pass, const so_omni *net, int64_t n, const int32_t *ids)
{
    return so_embed_there(pass, net->text_embed, n, ids);
}

so_tensor *so_omni_see(so_pass *pass, const so_omni *net, int64_t pictures, const float *pixels)
{
    return so_projector_forward(pass, &net->projector, so_siglip_forward(pass, &net->siglip, pictures, pixels));
}

so_tensor *so_omni_think(so_pass *pass, const so_omni *net, so_tensor *x, const so_batch *batch)
{
    return so_llama_forward(pass, &net->backbone, x, batch);
}

so_tensor *so_omni_write(so_pass *pass, const so_omni *net, so_tensor *hidden)
{
    return head(pass, hidden, net->text_head, "text_logits");
}

so_tensor *so_omni_voice(so_pass *pass, const so_omni *net, so_tensor *hidden)
{
    return head(pass, hidden, net->unit_head, "unit_logits");
}

/* A fusion readied once per pass: memory rows, the batch of the rows that take text in, and the way back to all rows.
 */
typedef struct fusing {
    const so_fusion *fusion;
    so_tensor *memory;
    so_batch *batch;
    int32_t *back;   /* [R] which entry of fusion->row a row is, or -1 */
    int32_t *newest; /* [rows] the newest visible memory row, or -1 */
    bool all;        /* on a device: every row is listed, in its place */
} fusing;

/* x and cross-attention of the listed rows into their windows. No norm on the query, no gate. */
static so_tensor *cross(so_pass *pass, const so_omni *net, int64_t i, so_tensor *x, const fusing *f)
{
    const so_fusion_layer *l = &net->fusion[i];
    const so_llama_config *c = &net->config.llama;
    so_heads heads = {c->heads, c->heads, c->head_width, so_rounds(pass, l->o)};
    const so_fusion *u = f->fusion;
    so_turning turn = {c->heads, c->head_width, net->top.freq};
    so_tensor *q = so_linear(pass, f->all ? x : so_take_rows(pass, x, u->rows, u->row), l->q, NULL), *k = NULL,
              *v = NULL, *y;
    if (pass->device) {
        so_linears(pass, f->memory, 2, (so_tensor *[]){l->k, l->v}, (so_tensor * *[]){&k, &v});
        so_rope_both(pass, &q, u->pos, &k, u->memory_pos, &turn);
    } else {
        q = so_rope(pass, q, c->heads, c->head_width, u->pos, net->top.freq);
    }
    if (!pass->device && !u->store) {
        k = so_linear(pass, f->memory, l->k, NULL);
        k = so_rope(pass, k, c->heads, c->head_width, u->memory_pos, net->top.freq);
        v = so_linear(pass, f->memory, l->v, NULL);
    }
    if (u->store)
        y = so_stored_attention(pass, q, f->batch, u->store, u->ranges.memory_rows, i, heads);
    else
        y = so_memory_attention(pass, q, k, v, f->batch, &u->ranges, heads);
    if (f->all) return so_linear_onto(pass, y, l->o, x, NULL);
    return so_residual(pass, x, so_take_rows(pass, so_linear(pass, y, l->o, NULL), so_rows(x), f->back));
}

/* The newest visible text row, on the listed rows; zeros for the others. */
static so_tensor *newest(so_pass *pass, int64_t rows, const fusing *f)
{
    return so_take_rows(pass, so_take_rows(pass, f->memory, f->fusion->rows, f->newest), rows, f->back);
}

/* The rows of text_memory with these ids. All layers read them: they are rounded once. */
static so_tensor *memory_of(so_pass *pass, const so_omni *net, int64_t n, const int32_t *ids)
{
    so_tensor *memory = so_embed(pass, net->text_memory, n, ids);
    bool once = memory && net->config.fuse == SO_FUSE_CROSS && net->top.layers && so_rounds(pass, net->fusion[0].k);
    if (once) memory->rounded = so_take_rounded(pass, memory);
    if (once && memory->rounded && !pass->dry)
        pass->k->round_int8(pass->pool, so_rows(memory), so_cols(memory), so_data(memory), memory->rounded);
    return memory;
}

void so_omni_note(so_pass *pass, const so_omni *net, const int32_t *ids, const int32_t *pos, const so_batch *batch)
{
    if (!so_ok(pass) || !batch) return;
    const so_llama_config *c = &net->config.llama;
    so_tensor *memory = memory_of(pass, net, batch->rows, ids);
    for (int64_t i = 0; i < net->top.layers && so_ok(pass); i++) {
        so_mark mark = so_pass_mark(pass);
        so_tensor *k = so_linear(pass, memory, net->fusion[i].k, NULL);
        k = so_rope(pass, k, c->heads, c->head_width, pos, net->top.freq);
        so_tensor *v = so_linear(pass, memory, net->fusion[i].v, NULL);
        so_keep_rows(pass, k, v, batch, i, (so_heads){c->heads, c->heads, c->head_width, false});
        so_pass_release(pass, mark);
    }
}

static fusing *ready(so_pass *pass, const so_omni *net, int64_t rows, const so_fusion *u)
{
    fusing *f = so_take(pass, sizeof *f, false);
    if (!f) return NULL;
    *f = (fusing){.fusion = u, .memory = u->memory, .batch = so_batch_many(pass, u->n_seqs, u->seq_rows, NULL)};
    f->back = so_take(pass, (size_t)rows * sizeof *f->back, false);
    f->newest = so_take(pass, (size_t)u->rows * sizeof *f->newest, false);
    if (!f->newest) return NULL;
    for (int64_t r = 0; r < rows; r++) f->back[r] = -1;
    for (int64_t r = 0; r < u->rows; r++) {
        if (u->row[r] < 0 || u->row[r] >= rows)
            return so_pass_fail(pass, SO_ERR_ARG, "fusion: row %d of %lld", u->row[r], (long long)rows);
        f->back[u->row[r]] = (int32_t)r;
    }
    f->all = pass->device && u->rows == rows && !pass->dry;
    for (int64_t r = 0; r < u->rows; r++) f->all &= u->row[r] == r;
    for (int64_t s = 0, r = 0; s < u->n_seqs; s++)
        for (int64_t i = 0; i < u->seq_rows[s]; i++, r++)
            f->newest[r] = u->ranges.hi[r] > u->ranges.lo[r] ? (int32_t)u->ranges.memory0[s] + u->ranges.hi[r] - 1 : -1;
    if (!f->memory && !u->store) f->memory = memory_of(pass, net, u->memory_rows, u->memory_ids);
    return f;
}

typedef struct top_layer {
    const so_omni *net;
    int64_t i;
    const so_batch *batch;
    const fusing *f; /* NULL: no text is taken in */
    so_tensor *into;
} top_layer;

static so_tensor *run_top(so_pass *pass, void *context, so_tensor *x)
{
    const top_layer *l = context;
    so_fuse how = l->net->config.fuse;
    x = so_llama_attend(pass, &l->net->top, l->i, x, l->batch);
    if (l->f && how == SO_FUSE_CROSS) x = cross(pass, l->net, l->i, x, l->f);
    if (l->f && how == SO_FUSE_ADD_LAYER) x = so_residual(pass, x, newest(pass, so_rows(x), l->f));
    return so_llama_feed(pass, &l->net->top, l->i, x, l->into);
}

so_tensor *so_omni_speak_layers(so_pass *pass, const so_omni *net, so_tensor *h, const so_batch *batch,
                                const so_fusion *fusion, int64_t first, int64_t last)
{
    if (!so_ok(pass) || !h || !batch) return NULL;
    fusing *f = fusion && fusion->rows ? ready(pass, net, so_rows(h), fusion) : NULL;
    so_tensor *x = h, *kept = pass->recording ? NULL : so_new_like(pass, h);
    if (f && net->config.fuse == SO_FUSE_ADD_INPUT && first == 0) x = so_add(pass, x, newest(pass, so_rows(x), f));
    for (int64_t i = first; i < last && so_ok(pass); i++) {
        top_layer layer = {net, i, batch, f, kept};
        so_label(pass, x, "top.in.%lld", (long long)i);
        x = kept ? so_run_layer(pass, run_top, &layer, x, kept) : run_top(pass, &layer, x);
    }
    return x;
}

so_tensor *so_omni_speak(so_pass *pass, const so_omni *net, so_tensor *h, const so_batch *batch,
                         const so_fusion *fusion)
{
    return so_llama_norm(pass, &net->top, so_omni_speak_layers(pass, net, h, batch, fusion, 0, net->top.layers));
}

static so_status bind_speech(so_omni *net, so_binder *binder, so_error *error)
{
    const so_omni_config *c = &net->config;
    SO_TRY(SO_BIND(binder, "", 0, speech_table, net, error));
    binder->group = "bottom";
    SO_TRY(so_llama_bind(&net->bottom, &c->llama, c->bottom, "model.bottom_audio_layers.", "model.audio_norm.weight",
                         binder, error));
    binder->group = "top";
    SO_TRY(so_llama_bind(&net->top, &c->llama, c->top, "model.top_audio_layers.", "model.top_audio_norm.weight", binder,
                         error));
    net->fusion = so_arena_zalloc(&binder->store->memory, (size_t)(c->top + 1) * sizeof *net->fusion);
    if (!net->fusion) return so_fail(error, SO_ERR_NOMEM, "no memory for %lld top layers", (long long)c->top);
    for (int64_t i = 0; i < c->top && c->fuse == SO_FUSE_CROSS; i++) {
        char prefix[64];
        snprintf(prefix, sizeof prefix, "model.top_audio_layers.%lld.", (long long)i);
        SO_TRY(SO_BIND(binder, prefix, i, fusion_table, &net->fusion[i], error));
    }
    return SO_OK;
}

static so_status bind_vision(so_omni *net, so_binder *binder, so_error *error)
{
    const so_omni_config *c = &net->config;
    binder->group = "vision";
    SO_TRY(so_siglip_bind(&net->siglip, &c->siglip, "model.vision_tower.vision_tower.vision_model.", binder, error));
    binder->group = "projector";
    return so_projector_bind(&net->projector, c->siglip.width, c->llama.width, "model.mm_projector.", binder, error);
}

so_status so_omni_bind(so_omni *net, const so_omni_config *config, so_binder *binder, so_error *error)
{
    *net = (so_omni){.config = *config};
    so_llama_sizes(&config->llama, &binder->sizes);
    binder->sizes.of['T'] = config->text_rows;
    binder->sizes.of['A'] = config->audio_rows;
    SO_TRY(SO_BIND(binder, "", 0, text_table, net, error));
    binder->group = "backbone";
    SO_TRY(so_llama_bind(&net->backbone, &config->llama, config->backbone, "model.layers.", "model.norm.weight", binder,
                         error));
    if (config->speech) SO_TRY(bind_speech(net, binder, error));
    if (config->vision) SO_TRY(bind_vision(net, binder, error));
    if (config->vision) SO_TRY(SO_BIND(binder, "", 0, newline_table, net, error));
    return SO_OK;
}
