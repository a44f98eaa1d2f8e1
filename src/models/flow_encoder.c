/* The flow model's encoder: units to mu, the regulated encoding. See flow.h for the figure.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stddef.h>
#include <stdio.h>

#include "models/flow_parts.h"

#define NET(field, name, axes, init, scale)                                                                            \
    {                                                                                                                  \
        offsetof(so_flow, field), name, axes, NULL, init, scale, false                                                 \
    }
static const so_bind_row encoder_table[] = {
    NET(embedding, "input_embedding.weight", "V D", SO_INIT_NORMAL, 1),
    NET(speaker_w, "spk_embed_affine_layer.weight", "M S", SO_INIT_FAN_IN, 1),
    NET(speaker_b, "spk_embed_affine_layer.bias", "M", SO_INIT_VALUE, 0),
    NET(in_w, "encoder.embed.out.0.weight", "D D", SO_INIT_FAN_IN, 1),
    NET(in_b, "encoder.embed.out.0.bias", "D", SO_INIT_VALUE, 0),
    NET(in_norm_w, "encoder.embed.out.1.weight", "D", SO_INIT_VALUE, 1),
    NET(in_norm_b, "encoder.embed.out.1.bias", "D", SO_INIT_VALUE, 0),
    NET(after_w, "encoder.after_norm.weight", "D", SO_INIT_VALUE, 1),
    NET(after_b, "encoder.after_norm.bias", "D", SO_INIT_VALUE, 0),
    NET(proj_w, "encoder_proj.weight", "M D", SO_INIT_FAN_IN, 1),
    NET(proj_b, "encoder_proj.bias", "M", SO_INIT_VALUE, 0),
    NET(regulator_w, "length_regulator.model.12.weight", "M M 1", SO_INIT_FAN_IN, 1),
    NET(regulator_b, "length_regulator.model.12.bias", "M", SO_INIT_VALUE, 0),
};

/* Bound at &net->regulator[i]; the index in the name is 3 i and 3 i + 1. */
typedef struct regulator_pair {
    so_tensor *w, *b;
} regulator_pair;
static const so_bind_row regulator_conv[] = {
    {offsetof(regulator_pair, w), "length_regulator.model.{}.weight", "M M 3", NULL, SO_INIT_FAN_IN, 1, false},
    {offsetof(regulator_pair, b), "length_regulator.model.{}.bias", "M", NULL, SO_INIT_VALUE, 0, false},
};
static const so_bind_row regulator_norm[] = {
    {offsetof(regulator_pair, w), "length_regulator.model.{}.weight", "M", NULL, SO_INIT_VALUE, 1, false},
    {offsetof(regulator_pair, b), "length_regulator.model.{}.bias", "M", NULL, SO_INIT_VALUE, 0, false},
};
#define LAYER(field, name, axes, init, scale)                                                                          \
    {                                                                                                                  \
        offsetof(so_flow_layer, field), name, axes, NULL, init, scale, false                                           \
    }
static const so_bind_row layer_table[] = {
    LAYER(norm_mha_w, "norm_mha.weight", "D", SO_INIT_VALUE, 1),
    LAYER(norm_mha_b, "norm_mha.bias", "D", SO_INIT_VALUE, 0),
    LAYER(q_w, "self_attn.linear_q.weight", "D D", SO_INIT_FAN_IN, 1),
    LAYER(q_b, "self_attn.linear_q.bias", "D", SO_INIT_VALUE, 0),
    LAYER(k_w, "self_attn.linear_k.weight", "D D", SO_INIT_FAN_IN, 1),
    LAYER(k_b, "self_attn.linear_k.bias", "D", SO_INIT_VALUE, 0),
    LAYER(v_w, "self_attn.linear_v.weight", "D D", SO_INIT_FAN_IN, 1),
    LAYER(v_b, "self_attn.linear_v.bias", "D", SO_INIT_VALUE, 0),
    LAYER(o_w, "self_attn.linear_out.weight", "D D", SO_INIT_FAN_IN, 0.5),
    LAYER(o_b, "self_attn.linear_out.bias", "D", SO_INIT_VALUE, 0),
    LAYER(pos_w, "self_attn.linear_pos.weight", "D D", SO_INIT_FAN_IN, 1),
    LAYER(u, "self_attn.pos_bias_u", "H d", SO_INIT_NORMAL, 0.1),
    LAYER(v, "self_attn.pos_bias_v", "H d", SO_INIT_NORMAL, 0.1),
    LAYER(norm_ff_w, "norm_ff.weight", "D", SO_INIT_VALUE, 1),
    LAYER(norm_ff_b, "norm_ff.bias", "D", SO_INIT_VALUE, 0),
    LAYER(w1_w, "feed_forward.w_1.weight", "F D", SO_INIT_FAN_IN, 1),
    LAYER(w1_b, "feed_forward.w_1.bias", "F", SO_INIT_VALUE, 0),
    LAYER(w2_w, "feed_forward.w_2.weight", "D F", SO_INIT_FAN_IN, 0.5),
    LAYER(w2_b, "feed_forward.w_2.bias", "D", SO_INIT_VALUE, 0),
};

int64_t so_flow_frames(const so_flow_config *c, int64_t N)
{
    return (int64_t)((double)N / (double)c->unit_rate * (double)c->rate / (double)c->hop);
}

so_tensor *so_flow_speaker(so_pass *pass, const so_flow *net, so_tensor *vector)
{
    return so_linear(pass, so_l2_norm(pass, vector, 1e-12), net->speaker_w, net->speaker_b);
}

static so_tensor *encoder_layer(so_pass *pass, const so_flow *net, const so_flow_layer *l, so_tensor *x,
                                so_tensor *positions, const so_real *key_bias)
{
    so_ends mha = {.norm_w = l->norm_mha_w, .norm_b = l->norm_mha_b, .eps = SO_FLOW_NORM_EPS};
    so_ends ff = {.norm_w = l->norm_ff_w, .norm_b = l->norm_ff_b, .eps = SO_FLOW_NORM_EPS, .then = 1 + SO_SILU};
    so_tensor *q = NULL, *k = NULL, *v = NULL, *y = pass->device ? so_new_like(pass, x) : NULL;
    so_mark mark = so_pass_mark(pass);
    so_linears_with(pass, x, &mha, 3, (so_weights[]){{l->q_w, l->q_b}, {l->k_w, l->k_b}, {l->v_w, l->v_b}},
                    (so_tensor * *[]){&q, &k, &v});
    so_score score = {net->config.heads, key_bias, NULL, so_linear(pass, positions, l->pos_w, NULL), l->u, l->v};
    so_tensor *a = so_score_attention(pass, q, k, v, &score);
    x = so_linear_with(pass, a, l->o_w, l->o_b, &(so_ends){.residual = x});
    so_tensor *h = so_linear_with(pass, x, l->w1_w, l->w1_b, &ff);
    return so_keep(pass, mark, so_linear_with(pass, h, l->w2_w, l->w2_b, &(so_ends){.residual = x, .into = y}));
}

/* What hides keys outside of the mask, or adds it as it is. */
so_real *so_flow_mask_bias(so_pass *pass, int64_t n, const so_real *mask, bool add)
{
    so_real *bias = so_take(pass, (size_t)n * sizeof *bias, false);
    for (int64_t i = 0; bias && i < n; i++) bias[i] = add ? mask[i] : (1 - mask[i]) * (so_real)-1e10;
    return bias;
}

so_tensor *so_flow_encoder(so_pass *pass, const so_flow *net, int64_t B, int64_t N, const int32_t *ids,
                           const int64_t *lengths)
{
    const so_flow_config *c = &net->config;
    if (B < 1 || N < 1) return so_pass_fail(pass, SO_ERR_ARG, "flow: %lld units", (long long)N);
    int32_t *id = so_take(pass, (size_t)(B * N) * sizeof *id, false);
    if (!id) return NULL;
    for (int64_t i = 0; i < B * N; i++) id[i] = ids[i] > 0 && (!lengths || i % N < lengths[i / N]) ? ids[i] : 0;
    so_tensor *x = so_embed(pass, net->embedding, B * N, id);
    so_real *key_bias = NULL;
    if (lengths) {
        so_real *mask = so_length_mask(pass, B, N, lengths);
        x = mask ? so_scale_rows(pass, x, mask) : NULL;
        key_bias = mask ? so_flow_mask_bias(pass, B * N, mask, false) : NULL;
    }
    if (!x) return NULL;
    x = so_linear(pass, so_reshape(pass, x, 3, (int64_t[]){B, N, c->width}), net->in_w, net->in_b);
    x = so_scale(pass, so_layer_norm(pass, x, net->in_norm_w, net->in_norm_b, SO_FLOW_NORM_EPS),
                 (so_real)sqrt((double)c->width));
    so_label(pass, x, "flow.embedded");
    so_tensor *positions = so_relative_positions(pass, N, c->width);
    for (int64_t i = 0; i < c->layers; i++) {
        x = encoder_layer(pass, net, &net->layer[i], x, positions, key_bias);
        so_label(pass, x, "flow.layer.%lld", (long long)i);
    }
    return so_layer_norm(pass, x, net->after_w, net->after_b, SO_FLOW_NORM_EPS);
}

so_tensor *so_flow_project(so_pass *pass, const so_flow *net, so_tensor *h)
{
    so_tensor *y = so_linear(pass, h, net->proj_w, net->proj_b);
    so_label(pass, y, "flow.projected");
    return y;
}

so_tensor *so_flow_smooth(so_pass *pass, const so_flow *net, so_tensor *x)
{
    for (int i = 0; i < 4; i++) {
        x = so_conv1d(pass, x, net->regulator[i].conv_w, net->regulator[i].conv_b, so_conv_same(3, 1));
        x = so_group_norm_with(pass, x, net->regulator[i].norm_w, net->regulator[i].norm_b, 1,
                               &(so_ends){.eps = SO_FLOW_NORM_EPS, .then = 1 + SO_MISH});
    }
    return so_conv1d(pass, x, net->regulator_w, net->regulator_b, so_conv_same(1, 1));
}

so_tensor *so_flow_regulate(so_pass *pass, const so_flow *net, so_tensor *h, int64_t P, int64_t M1, int64_t frames)
{
    const so_flow_config *c = &net->config;
    if (!so_want_cols(pass, "flow", h, c->mels)) return NULL;
    int64_t N = so_rows(h) - P, b = c->border, head = so_flow_frames(c, b), all = M1 + frames;
    int32_t *index = so_take(pass, (size_t)all * sizeof *index, false);
    so_real *weight = so_take(pass, (size_t)all * sizeof *weight, false);
    if (!weight) return NULL;
    if (N < 1 || (P > 0) != (M1 > 0) || frames < 1 || (N > 2 * b && frames <= 2 * head))
        return so_pass_fail(pass, SO_ERR_ARG, "flow: %lld units for %lld frames after %lld units for %lld",
                            (long long)N, (long long)frames, (long long)P, (long long)M1);
    if (P) so_lerp_index(0, P, M1, index, weight);
    index += M1;
    weight += M1;
    if (N > 2 * b) {
        so_lerp_index(P, b, head, index, weight);
        so_lerp_index(P + b, N - 2 * b, frames - 2 * head, index + head, weight + head);
        so_lerp_index(P + N - b, b, head, index + frames - head, weight + frames - head);
    } else {
        so_lerp_index(P, N, frames, index, weight);
    }
    so_tensor *x = so_lerp_rows(pass, h, all, index - M1, weight - M1);
    if (!x) return NULL;
    x = so_flow_smooth(pass, net, so_reshape(pass, x, 3, (int64_t[]){1, all, c->mels}));
    return x ? so_reshape(pass, x, 2, (int64_t[]){all, c->mels}) : NULL;
}

/* ---- binding */

so_status so_flow_bind_encoder(so_flow *net, const char *prefix, so_binder *binder, so_error *error)
{
    return SO_BIND(binder, prefix, 0, encoder_table, net, error);
}

static so_status bind_regulator(so_flow *net, const char *prefix, so_binder *binder, so_error *error)
{
    for (int i = 0; i < 4; i++) {
        regulator_pair conv = {0}, norm = {0};
        SO_TRY(SO_BIND(binder, prefix, 3 * i, regulator_conv, &conv, error));
        SO_TRY(SO_BIND(binder, prefix, 3 * i + 1, regulator_norm, &norm, error));
        net->regulator[i].conv_w = conv.w;
        net->regulator[i].conv_b = conv.b;
        net->regulator[i].norm_w = norm.w;
        net->regulator[i].norm_b = norm.b;
    }
    return SO_OK;
}

so_status so_flow_bind_encoder_layers(so_flow *net, const char *prefix, so_binder *binder, so_error *error)
{
    net->layer = so_arena_zalloc(&binder->store->memory, (size_t)(net->config.layers + 1) * sizeof *net->layer);
    if (!net->layer) return so_fail(error, SO_ERR_NOMEM, "no memory for a flow model");
    for (int64_t i = 0; i < net->config.layers; i++) {
        char full[256];
        snprintf(full, sizeof full, "%sencoder.encoders.%lld.", prefix, (long long)i);
        SO_TRY(SO_BIND(binder, full, i, layer_table, &net->layer[i], error));
    }
    return bind_regulator(net, prefix, binder, error);
}
