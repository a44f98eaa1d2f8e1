/* The speech tokenizer. See speech_tokenizer.h for the figure.
 * SPDX-License-Identifier: Apache-2.0 */
#include "models/speech_tokenizer.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define NET(field, name, axes, group, init, scale)                                                                     \
    {                                                                                                                  \
        offsetof(so_speech_tokenizer, field), name, axes, group, init, scale, false                                    \
    }
static const so_bind_row net_table[] = {
    NET(conv1_w, "encoder.conv1.weight", "D M 3", NULL, SO_INIT_FAN_IN, 1),
    NET(conv1_b, "encoder.conv1.bias", "D", NULL, SO_INIT_VALUE, 0),
    NET(conv2_w, "encoder.conv2.weight", "D D 3", NULL, SO_INIT_FAN_IN, 1),
    NET(conv2_b, "encoder.conv2.bias", "D", NULL, SO_INIT_VALUE, 0),
    NET(position, "encoder.positional_embedding", "P D", NULL, SO_INIT_VALUE, 0),
    NET(codes, "quantizer._codebook.embed", "K D", "codebook", SO_INIT_NORMAL, 0.1),
};
static const so_bind_row follow_table[] = {
    NET(code_count, "quantizer._codebook.cluster_size", "K", "codebook", SO_INIT_VALUE, 1),
    NET(code_sum, "quantizer._codebook.embed_avg", "K D", "codebook", SO_INIT_NORMAL, 0.1),
    NET(post_w, "second.ln_post.weight", "D", NULL, SO_INIT_VALUE, 1),
    NET(post_b, "second.ln_post.bias", "D", NULL, SO_INIT_VALUE, 0),
    NET(ctc_w, "second.ctc.weight", "V D", NULL, SO_INIT_FAN_IN, 0.1),
    NET(ctc_b, "second.ctc.bias", "V", NULL, SO_INIT_VALUE, 0),
};
static const so_bind_row inner_table[] = {
    NET(inner_w, "inner.ctc.weight", "V D", NULL, SO_INIT_FAN_IN, 0.1),
    NET(inner_b, "inner.ctc.bias", "V", NULL, SO_INIT_VALUE, 0),
};

#define ROW(field, name, axes, init, scale)                                                                            \
    {                                                                                                                  \
        offsetof(so_speech_block, field), name, axes, NULL, init, scale, false                                         \
    }
static const so_bind_row block_table[] = {
    ROW(norm1_w, "attn_ln.weight", "D", SO_INIT_VALUE, 1),   ROW(norm1_b, "attn_ln.bias", "D", SO_INIT_VALUE, 0),
    ROW(q_w, "attn.query.weight", "D D", SO_INIT_FAN_IN, 1), ROW(q_b, "attn.query.bias", "D", SO_INIT_VALUE, 0),
    ROW(k_w, "attn.key.weight", "D D", SO_INIT_FAN_IN, 1),   ROW(v_w, "attn.value.weight", "D D", SO_INIT_FAN_IN, 1),
    ROW(v_b, "attn.value.bias", "D", SO_INIT_VALUE, 0),      ROW(o_w, "attn.out.weight", "D D", SO_INIT_FAN_IN, 0.5),
    ROW(o_b, "attn.out.bias", "D", SO_INIT_VALUE, 0),        ROW(norm2_w, "mlp_ln.weight", "D", SO_INIT_VALUE, 1),
    ROW(norm2_b, "mlp_ln.bias", "D", SO_INIT_VALUE, 0),      ROW(fc1_w, "mlp.0.weight", "F D", SO_INIT_FAN_IN, 1),
    ROW(fc1_b, "mlp.0.bias", "F", SO_INIT_VALUE, 0),         ROW(fc2_w, "mlp.2.weight", "D F", SO_INIT_FAN_IN, 0.5),
    ROW(fc2_b, "mlp.2.bias", "D", SO_INIT_VALUE, 0),
};

static const double norm_eps = 1e-5;

static so_tensor *attend(so_pass *pass, const so_speech_tokenizer *net, const so_speech_block *l, so_tensor *x,
                         const so_batch *batch)
{
    so_heads heads = {net->config.heads, net->config.heads, net->config.width / net->config.heads};
    so_ends norm1 = {.norm_w = l->norm1_w, .norm_b = l->norm1_b, .eps = norm_eps};
    so_tensor *q = NULL, *k = NULL, *v = NULL;
    so_linears_with(pass, x, &norm1, 3, (so_weights[]){{l->q_w, l->q_b}, {l->k_w, NULL}, {l->v_w, l->v_b}},
                    (so_tensor * *[]){&q, &k, &v});
    so_tensor *a = so_attention(pass, q, k, v, batch, 0, heads, false);
    return so_linear_with(pass, a, l->o_w, l->o_b, &(so_ends){.residual = x});
}

static so_tensor *feed(so_pass *pass, const so_speech_block *l, so_tensor *x, so_tensor *into)
{
    so_ends norm2 = {.norm_w = l->norm2_w, .norm_b = l->norm2_b, .eps = norm_eps, .then = 1 + SO_GELU};
    so_tensor *h = so_linear_with(pass, x, l->fc1_w, l->fc1_b, &norm2);
    return so_linear_with(pass, h, l->fc2_w, l->fc2_b, &(so_ends){.residual = x, .into = into});
}

static so_tensor *block(so_pass *pass, const so_speech_tokenizer *net, const so_speech_block *l, so_tensor *x,
                        const so_batch *batch)
{
    if (so_pass_stopped(pass)) return NULL;
    so_tensor *y = pass->device ? so_new_like(pass, x) : NULL;
    so_mark mark = so_pass_mark(pass);
    return so_keep(pass, mark, feed(pass, l, attend(pass, net, l, x, batch), y));
}

so_tensor *so_speech_tokenizer_halves(so_pass *pass, const so_speech_tokenizer *net, so_tensor *x,
                                      const so_batch *batch, int64_t first, int64_t last)
{
    for (int64_t h = first, n = 1; h < last && x && !so_pass_stopped(pass); h += n) {
        const so_speech_block *l = &net->block[h / 2];
        so_mark mark = so_pass_mark(pass);
        n = h % 2 == 0 && h + 1 < last ? 2 : 1;
        x = n == 2 ? block(pass, net, l, x, batch)
                   : so_keep(pass, mark, h % 2 ? feed(pass, l, x, NULL) : attend(pass, net, l, x, batch));
    }
    return x;
}

static int64_t strided(int64_t frames, int64_t stride) { return (frames + stride - 1) / stride; }

int64_t so_speech_tokenizer_units(const so_speech_tokenizer_config *config, int64_t F)
{
    return strided(strided(F, config->stride[0]), config->stride[1]);
}

/* The two convolutions; what the first one makes of padding is zeroed before the second. [B, T, D] */
static so_tensor *convolve(so_pass *pass, const so_speech_tokenizer *net, so_tensor *mel, const int64_t *frames)
{
    const int64_t *stride = net->config.stride;
    so_conv_ends gelu = {.then = 1 + SO_GELU};
    so_weights first = {net->conv1_w, net->conv1_b};
    so_tensor *h = so_conv1d_with(pass, mel, first, (so_conv1){stride[0], 1, 1, -1}, &gelu);
    if (h && mel->dim[0] > 1) {
        int64_t T = h->dim[1], rows = so_rows(h);
        so_real *keep = so_take(pass, (size_t)rows * sizeof *keep, false);
        for (int64_t r = 0; keep && r < rows; r++) keep[r] = r % T < strided(frames[r / T], stride[0]);
        h = keep ? so_scale_rows(pass, h, keep) : NULL;
    }
    so_weights second = {net->conv2_w, net->conv2_b};
    return so_conv1d_with(pass, h, second, (so_conv1){stride[1], 1, 1, -1}, &gelu);
}

so_tensor *so_speech_tokenizer_front(so_pass *pass, const so_speech_tokenizer *net, so_tensor *mel,
                                     const int64_t *frames, so_batch **batch)
{
    const so_speech_tokenizer_config *c = &net->config;
    if (!so_want_dims(pass, "speech tokenizer", mel, 3) || !so_want_cols(pass, "speech tokenizer", mel, c->mels))
        return NULL;
    int64_t B = mel->dim[0], T = so_speech_tokenizer_units(c, mel->dim[1]);
    int64_t *units = so_take(pass, (size_t)B * sizeof *units, false);
    for (int64_t b = 0; units && b < B; b++) {
        units[b] = so_speech_tokenizer_units(c, frames[b]);
        if (frames[b] < 1 || frames[b] > mel->dim[1] || units[b] > c->context)
            return so_pass_fail(pass, SO_ERR_LIMIT, "speech tokenizer: %lld frames, expected 1 to %lld",
                                (long long)frames[b], (long long)(c->context * c->stride[0] * c->stride[1]));
    }
    *batch = units ? so_batch_many(pass, B, units, NULL) : NULL;
    so_tensor *x = convolve(pass, net, mel, frames);
    int32_t *index = *batch ? so_take(pass, (size_t)(*batch)->rows * sizeof *index, false) : NULL;
    if (!x || !index) return NULL;
    for (int64_t b = 0; b < B; b++)
        for (int64_t t = 0; t < units[b]; t++) index[(*batch)->seq[b].row0 + t] = (int32_t)(b * T + t);
    x = so_take_rows(pass, x, (*batch)->rows, index);
    return so_add(pass, x, so_embed(pass, net->position, (*batch)->rows, (*batch)->pos));
}

so_tensor *so_speech_tokenizer_encode(so_pass *pass, const so_speech_tokenizer *net, so_tensor *mel,
                                      const int64_t *frames, so_batch **batch, so_tensor **inner)
{
    const so_speech_tokenizer_config *c = &net->config;
    int64_t at = inner && net->inner_w ? c->inner_layer : 0;
    if (inner) *inner = NULL;
    so_tensor *x = so_speech_tokenizer_front(pass, net, mel, frames, batch);
    if (x) x = so_speech_tokenizer_halves(pass, net, x, *batch, 0, 2 * at);
    if (x && at) *inner = so_linear(pass, x, net->inner_w, net->inner_b);
    return x ? so_speech_tokenizer_halves(pass, net, x, *batch, 2 * at, 2 * c->layers) : NULL;
}

so_tensor *so_speech_tokenizer_quantise(so_pass *pass, const so_speech_tokenizer *net, so_tensor *hidden, int32_t *ids,
                                        so_tensor **unit)
{
    so_tensor *e = so_l2_norm(pass, hidden, 1e-12);
    if (unit) *unit = e;
    if (!e || so_vq_nearest(pass, e, net->codes, ids) != SO_OK) return NULL;
    return so_vq_pass(pass, e, net->codes, ids);
}

/* [T, D]: sines in the first half of the columns, cosines in the second. */
static void sinusoids(so_real *table, int64_t T, int64_t D)
{
    int64_t half = D / 2;
    for (int64_t t = 0; t < T; t++)
        for (int64_t i = 0; i < half; i++) {
            double angle = (double)t * exp(-log(10000) * (double)i / (double)(half > 1 ? half - 1 : 1));
            table[t * D + i] = (so_real)sin(angle);
            table[t * D + half + i] = (so_real)cos(angle);
        }
}

/* The codes have unit length: positions are added at a like scale. */
static so_tensor *second_positions(so_pass *pass, const so_batch *batch, int64_t D)
{
    int64_t longest = 0;
    for (int64_t s = 0; s < batch->n_seqs; s++)
        if (batch->seq[s].rows > longest) longest = batch->seq[s].rows;
    so_tensor *table = so_new2(pass, longest, D);
    if (table && !pass->dry) {
        memset(table->data, 0, (size_t)so_count(table) * sizeof(so_real));
        sinusoids(so_data(table), longest, D);
    }
    return table ? so_embed(pass, table, batch->rows, batch->pos) : NULL;
}

so_tensor *so_speech_tokenizer_recognise(so_pass *pass, const so_speech_tokenizer *net, so_tensor *codes,
                                         const so_batch *batch)
{
    const so_speech_tokenizer_config *c = &net->config;
    if (!net->ctc_w) return so_pass_fail(pass, SO_ERR_STATE, "this speech tokenizer has no second half");
    if (!codes) return NULL;
    so_tensor *x = so_scale(pass, codes, (so_real)sqrt((double)c->width));
    x = so_add(pass, x, second_positions(pass, batch, c->width));
    for (int64_t i = 0; i < c->second_layers; i++) x = block(pass, net, &net->second[i], x, batch);
    return so_linear(pass, so_layer_norm(pass, x, net->post_w, net->post_b, norm_eps), net->ctc_w, net->ctc_b);
}

so_status so_speech_tokenizer_ids(so_pass *pass, const so_speech_tokenizer *net, so_tensor *mel, int32_t *ids)
{
    if (!so_want_dims(pass, "speech tokenizer", mel, 2)) return pass->error.status;
    so_batch *batch;
    so_tensor *one = so_reshape(pass, mel, 3, (int64_t[]){1, mel->dim[0], mel->dim[1]});
    so_tensor *h = so_speech_tokenizer_encode(pass, net, one, &mel->dim[0], &batch, NULL);
    so_speech_tokenizer_quantise(pass, net, h, ids, NULL);
    return pass->error.status;
}

int64_t so_speech_tokenizer_follow(so_speech_tokenizer *net, const so_vq_rule *rule, const so_tensor *unit,
                                   const int32_t *ids, so_rng *rng)
{
    return so_vq_update(rule,
                        &(so_vq_book){so_rows(net->codes), so_cols(net->codes), so_data(net->code_count),
                                      so_data(net->code_sum), so_data(net->codes)},
                        so_rows(unit), so_data(unit), ids, rng);
}

void so_speech_tokenizer_start_codes(so_speech_tokenizer *net, const so_tensor *unit, so_rng *rng)
{
    int64_t K = so_rows(net->codes), D = so_cols(net->codes), n = so_rows(unit);
    for (int64_t j = 0; j < K && n > 0; j++) {
        const so_real *from = so_data(unit) + so_rng_below(rng, n) * D;
        memcpy(so_data(net->codes) + j * D, from, (size_t)D * sizeof *from);
        memcpy(so_data(net->code_sum) + j * D, from, (size_t)D * sizeof *from);
        so_data(net->code_count)[j] = 1;
    }
}

static so_status bind_blocks(so_binder *binder, const char *prefix, const char *name, int64_t n,
                             so_speech_block **blocks, so_error *error)
{
    *blocks = so_arena_zalloc(&binder->store->memory, (size_t)(n + 1) * sizeof **blocks);
    if (!*blocks) return so_fail(error, SO_ERR_NOMEM, "no memory for a speech tokenizer");
    for (int64_t i = 0; i < n; i++) {
        char full[256];
        snprintf(full, sizeof full, "%s%s.%lld.", prefix, name, (long long)i);
        SO_TRY(SO_BIND(binder, full, i, block_table, *blocks + i, error));
    }
    return SO_OK;
}

static so_status bind(so_speech_tokenizer *net, const so_speech_tokenizer_config *config, const char *prefix,
                      so_binder *binder, so_error *error)
{
    int64_t *of = binder->sizes.of;
    of['M'] = config->mels;
    of['D'] = config->width;
    of['F'] = config->ff;
    of['K'] = config->codes;
    of['P'] = config->context;
    of['V'] = config->vocab;
    SO_TRY(SO_BIND(binder, prefix, 0, net_table, net, error));
    SO_TRY(bind_blocks(binder, prefix, "encoder.blocks", config->layers, &net->block, error));
    if (config->vocab) {
        SO_TRY(SO_BIND(binder, prefix, 0, follow_table, net, error));
        SO_TRY(bind_blocks(binder, prefix, "second.blocks", config->second_layers, &net->second, error));
    }
    if (config->vocab && config->inner_layer) SO_TRY(SO_BIND(binder, prefix, 0, inner_table, net, error));
    if (!binder->source && net->position) sinusoids(so_data(net->position), config->context, config->width);
    return SO_OK;
}

so_status so_speech_tokenizer_bind(so_speech_tokenizer *net, const so_speech_tokenizer_config *config,
                                   const char *prefix, so_binder *binder, so_error *error)
{
    *net = (so_speech_tokenizer){.config = *config};
    const char *group = binder->group;
    if (!group) binder->group = "tokenizer";
    so_status status = bind(net, config, prefix, binder, error);
    binder->group = group;
    return status;
}
