/* The flow model. See flow.h for the figure.
 * SPDX-License-Identifier: Apache-2.0 */
#include "models/flow.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define NET(field, name, axes, init, scale)                                                                            \
    {                                                                                                                  \
        offsetof(so_flow, field), name, axes, NULL, init, scale, false                                                 \
    }
static const so_bind_row net_table[] = {
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
    NET(time1_w, "decoder.estimator.time_mlp.linear_1.weight", "4C 4M", SO_INIT_FAN_IN, 1),
    NET(time1_b, "decoder.estimator.time_mlp.linear_1.bias", "4C", SO_INIT_VALUE, 0),
    NET(time2_w, "decoder.estimator.time_mlp.linear_2.weight", "4C 4C", SO_INIT_FAN_IN, 1),
    NET(time2_b, "decoder.estimator.time_mlp.linear_2.bias", "4C", SO_INIT_VALUE, 0),
    NET(final_conv_w, "decoder.estimator.final_block.block.0.weight", "C C 3", SO_INIT_FAN_IN, 1.4),
    NET(final_conv_b, "decoder.estimator.final_block.block.0.bias", "C", SO_INIT_VALUE, 0),
    NET(final_norm_w, "decoder.estimator.final_block.block.1.weight", "C", SO_INIT_VALUE, 1),
    NET(final_norm_b, "decoder.estimator.final_block.block.1.bias", "C", SO_INIT_VALUE, 0),
    NET(final_w, "decoder.estimator.final_proj.weight", "M C 1", SO_INIT_FAN_IN, 0.5),
    NET(final_b, "decoder.estimator.final_proj.bias", "M", SO_INIT_VALUE, 0),
};

/* Bound at &net->regulator[i]; the index in the name is 3 i and 3 i + 1. */
typedef struct pair {
    so_tensor *w, *b;
} pair;
static const so_bind_row regulator_conv[] = {
    {offsetof(pair, w), "length_regulator.model.{}.weight", "M M 3", NULL, SO_INIT_FAN_IN, 1, false},
    {offsetof(pair, b), "length_regulator.model.{}.bias", "M", NULL, SO_INIT_VALUE, 0, false},
};
static const so_bind_row regulator_norm[] = {
    {offsetof(pair, w), "length_regulator.model.{}.weight", "M", NULL, SO_INIT_VALUE, 1, false},
    {offsetof(pair, b), "length_regulator.model.{}.bias", "M", NULL, SO_INIT_VALUE, 0, false},
};
/* The convolution that ends a stage: k is 3, or 4 where it is transposed. */
static const so_bind_row change_table[] = {
    {offsetof(pair, w), "weight", "C C k", NULL, SO_INIT_FAN_IN, 1, false},
    {offsetof(pair, b), "bias", "C", NULL, SO_INIT_VALUE, 0, false},
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

#define RESNET(field, name, axes, init, scale)                                                                         \
    {                                                                                                                  \
        offsetof(so_flow_resnet, field), name, axes, NULL, init, scale, false                                          \
    }
static const so_bind_row resnet_table[] = {
    RESNET(conv1_w, "0.block1.block.0.weight", "C I 3", SO_INIT_FAN_IN, 1.4),
    RESNET(conv1_b, "0.block1.block.0.bias", "C", SO_INIT_VALUE, 0),
    RESNET(norm1_w, "0.block1.block.1.weight", "C", SO_INIT_VALUE, 1),
    RESNET(norm1_b, "0.block1.block.1.bias", "C", SO_INIT_VALUE, 0),
    RESNET(time_w, "0.mlp.1.weight", "C 4C", SO_INIT_FAN_IN, 1),
    RESNET(time_b, "0.mlp.1.bias", "C", SO_INIT_VALUE, 0),
    RESNET(conv2_w, "0.block2.block.0.weight", "C C 3", SO_INIT_FAN_IN, 1.4),
    RESNET(conv2_b, "0.block2.block.0.bias", "C", SO_INIT_VALUE, 0),
    RESNET(norm2_w, "0.block2.block.1.weight", "C", SO_INIT_VALUE, 1),
    RESNET(norm2_b, "0.block2.block.1.bias", "C", SO_INIT_VALUE, 0),
    RESNET(skip_w, "0.res_conv.weight", "C I 1", SO_INIT_FAN_IN, 1),
    RESNET(skip_b, "0.res_conv.bias", "C", SO_INIT_VALUE, 0),
};

#define ATT(field, name, axes, init, scale)                                                                            \
    {                                                                                                                  \
        offsetof(so_flow_attention, field), name, axes, NULL, init, scale, false                                       \
    }
static const so_bind_row attention_table[] = {
    ATT(norm1_w, "norm1.weight", "C", SO_INIT_VALUE, 1),
    ATT(norm1_b, "norm1.bias", "C", SO_INIT_VALUE, 0),
    ATT(q_w, "attn1.to_q.weight", "A C", SO_INIT_FAN_IN, 1),
    ATT(k_w, "attn1.to_k.weight", "A C", SO_INIT_FAN_IN, 1),
    ATT(v_w, "attn1.to_v.weight", "A C", SO_INIT_FAN_IN, 1),
    ATT(o_w, "attn1.to_out.0.weight", "C A", SO_INIT_FAN_IN, 0.5),
    ATT(o_b, "attn1.to_out.0.bias", "C", SO_INIT_VALUE, 0),
    ATT(norm3_w, "norm3.weight", "C", SO_INIT_VALUE, 1),
    ATT(norm3_b, "norm3.bias", "C", SO_INIT_VALUE, 0),
    ATT(fc1_w, "ff.net.0.proj.weight", "4C C", SO_INIT_FAN_IN, 1),
    ATT(fc1_b, "ff.net.0.proj.bias", "4C", SO_INIT_VALUE, 0),
    ATT(fc2_w, "ff.net.2.weight", "C 4C", SO_INIT_FAN_IN, 0.5),
    ATT(fc2_b, "ff.net.2.bias", "C", SO_INIT_VALUE, 0),
};

static const double norm_eps = 1e-5;
static const double quarter = 1.57079632679489661923; /* of a turn */

/* ---- the encoder */

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
    size_t mark = so_arena_mark(pass->arena);
    so_tensor *n = so_layer_norm(pass, x, l->norm_mha_w, l->norm_mha_b, norm_eps);
    so_tensor *q = so_linear(pass, n, l->q_w, l->q_b);
    so_tensor *k = so_linear(pass, n, l->k_w, l->k_b);
    so_tensor *v = so_linear(pass, n, l->v_w, l->v_b);
    so_score score = {net->config.heads, key_bias, NULL, so_linear(pass, positions, l->pos_w, NULL), l->u, l->v};
    so_tensor *a = so_score_attention(pass, q, k, v, &score);
    x = so_residual(pass, x, so_linear(pass, a, l->o_w, l->o_b));
    n = so_layer_norm(pass, x, l->norm_ff_w, l->norm_ff_b, norm_eps);
    so_tensor *h = so_apply(pass, SO_SILU, so_linear(pass, n, l->w1_w, l->w1_b));
    return so_keep(pass, mark, so_residual(pass, x, so_linear(pass, h, l->w2_w, l->w2_b)));
}

/* 1 within each length, [B, T]. */
static so_real *length_mask(so_pass *pass, int64_t B, int64_t T, const int64_t *lengths)
{
    so_real *mask = so_take(pass, (size_t)(B * T) * sizeof *mask, false);
    for (int64_t i = 0; mask && i < B * T; i++) mask[i] = i % T < lengths[i / T];
    return mask;
}

/* What hides keys outside of the mask, or adds it as it is. */
static so_real *mask_bias(so_pass *pass, int64_t n, const so_real *mask, bool add)
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
        so_real *mask = length_mask(pass, B, N, lengths);
        x = mask ? so_scale_rows(pass, x, mask) : NULL;
        key_bias = mask ? mask_bias(pass, B * N, mask, false) : NULL;
    }
    if (!x) return NULL;
    x = so_linear(pass, so_reshape(pass, x, 3, (int64_t[]){B, N, c->width}), net->in_w, net->in_b);
    x = so_scale(pass, so_layer_norm(pass, x, net->in_norm_w, net->in_norm_b, norm_eps),
                 (so_real)sqrt((double)c->width));
    so_tensor *positions = so_relative_positions(pass, N, c->width);
    for (int64_t i = 0; i < c->layers; i++) x = encoder_layer(pass, net, &net->layer[i], x, positions, key_bias);
    return so_layer_norm(pass, x, net->after_w, net->after_b, norm_eps);
}

so_tensor *so_flow_project(so_pass *pass, const so_flow *net, so_tensor *h)
{
    return so_linear(pass, h, net->proj_w, net->proj_b);
}

so_tensor *so_flow_smooth(so_pass *pass, const so_flow *net, so_tensor *x)
{
    for (int i = 0; i < 4; i++) {
        x = so_conv1d(pass, x, net->regulator[i].conv_w, net->regulator[i].conv_b, so_conv_same(3, 1));
        x = so_group_norm(pass, x, net->regulator[i].norm_w, net->regulator[i].norm_b, 1, norm_eps);
        x = so_apply(pass, SO_MISH, x);
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

/* ---- the U-Net */

/* Rows that count, at one resolution. */
typedef struct sight {
    int64_t B, T;
    const so_real *mask, *key_bias; /* [B, T] or NULL */
    bool add;
    so_batch *batch;
} sight;

static so_tensor *masked(so_pass *pass, const sight *s, so_tensor *x)
{
    return s->mask ? so_scale_rows(pass, x, s->mask) : x;
}

static so_tensor *conv_norm_mish(so_pass *pass, so_tensor *x, so_tensor *conv_w, so_tensor *conv_b, so_tensor *norm_w,
                                 so_tensor *norm_b)
{
    x = so_conv1d(pass, x, conv_w, conv_b, so_conv_same(3, 1));
    return so_apply(pass, SO_MISH, so_group_norm(pass, x, norm_w, norm_b, 8, norm_eps));
}

static so_tensor *resnet(so_pass *pass, const so_flow_resnet *r, const sight *s, so_tensor *x, so_tensor *mish_time)
{
    size_t mark = so_arena_mark(pass->arena);
    x = masked(pass, s, x);
    so_tensor *h = conv_norm_mish(pass, x, r->conv1_w, r->conv1_b, r->norm1_w, r->norm1_b);
    h = so_add_each(pass, masked(pass, s, h), so_linear(pass, mish_time, r->time_w, r->time_b));
    h = masked(pass, s, conv_norm_mish(pass, masked(pass, s, h), r->conv2_w, r->conv2_b, r->norm2_w, r->norm2_b));
    return so_keep(pass, mark, so_residual(pass, h, so_conv1d(pass, x, r->skip_w, r->skip_b, so_conv_same(1, 1))));
}

static so_tensor *attention(so_pass *pass, const so_flow *net, const so_flow_attention *l, const sight *s, so_tensor *x)
{
    so_heads heads = {net->config.est_heads, net->config.est_heads, net->config.head_width};
    size_t mark = so_arena_mark(pass->arena);
    so_tensor *n = so_layer_norm(pass, x, l->norm1_w, l->norm1_b, norm_eps);
    so_tensor *q = so_linear(pass, n, l->q_w, NULL);
    so_tensor *k = so_linear(pass, n, l->k_w, NULL);
    so_tensor *v = so_linear(pass, n, l->v_w, NULL);
    so_score score = {.heads = heads.heads, .key_bias = s->key_bias, .of_query = s->add ? s->mask : NULL};
    so_tensor *a = s->key_bias ? so_score_attention(pass, q, k, v, &score)
                               : so_attention(pass, q, k, v, s->batch, 0, heads, false);
    x = so_residual(pass, x, so_linear(pass, a, l->o_w, l->o_b));
    n = so_layer_norm(pass, x, l->norm3_w, l->norm3_b, norm_eps);
    so_tensor *h = so_apply(pass, SO_GELU, so_linear(pass, n, l->fc1_w, l->fc1_b));
    return so_keep(pass, mark, so_residual(pass, x, so_linear(pass, h, l->fc2_w, l->fc2_b)));
}

static so_tensor *stage(so_pass *pass, const so_flow *net, const so_flow_stage *st, const sight *s, so_tensor *x,
                        so_tensor *mish_time)
{
    x = resnet(pass, &st->resnet, s, x, mish_time);
    for (int64_t i = 0; i < net->config.est_blocks; i++) x = attention(pass, net, &st->attention[i], s, x);
    return x;
}

/* [B, 4M] of sines and cosines -> mish of the time embedding [B, 4C]. */
static so_tensor *time_embedding(so_pass *pass, const so_flow *net, int64_t B, const so_real *t)
{
    int64_t half = 2 * net->config.mels;
    so_tensor *x = so_new2(pass, B, 2 * half);
    if (!x) return NULL;
    for (int64_t b = 0; b < B && !pass->dry; b++)
        for (int64_t k = 0; k < half; k++) {
            /* Rounded as in the network that the published weights were trained in: angles reach 1000. */
            float rate = (float)exp((double)((float)k * (float)(-log(10000) / (double)(half - 1))));
            double angle = (double)(1000 * t[b] * (so_real)rate);
            so_data(x)[b * 2 * half + k] = (so_real)sin(angle);
            so_data(x)[b * 2 * half + half + k] = (so_real)cos(angle);
        }
    x = so_apply(pass, SO_SILU, so_linear(pass, x, net->time1_w, net->time1_b));
    return so_apply(pass, SO_MISH, so_linear(pass, x, net->time2_w, net->time2_b));
}

static bool sight_of(so_pass *pass, sight *s, int64_t B, int64_t T, const so_real *mask, bool add)
{
    *s = (sight){B, T, mask, mask ? mask_bias(pass, B * T, mask, add) : NULL, add, NULL};
    int64_t *rows = so_take(pass, (size_t)B * sizeof *rows, false);
    for (int64_t b = 0; rows && b < B; b++) rows[b] = T;
    s->batch = rows ? so_batch_many(pass, B, rows, NULL) : NULL;
    return s->batch != NULL;
}

/* The sight at half the resolution: every second frame. */
static bool halve(so_pass *pass, const sight *s, bool add, sight *half)
{
    int64_t T = (s->T + 1) / 2;
    so_real *mask = NULL;
    if (s->mask) {
        mask = so_take(pass, (size_t)(s->B * T) * sizeof *mask, false);
        if (!mask) return false;
        for (int64_t i = 0; i < s->B * T; i++) mask[i] = s->mask[i / T * s->T + i % T * 2];
    }
    return sight_of(pass, half, s->B, T, mask, add);
}

static so_tensor *zeros_like(so_pass *pass, so_tensor *x)
{
    so_tensor *y = so_new_like(pass, x);
    if (y && !pass->dry) memset(y->data, 0, (size_t)so_count(y) * sizeof(so_real));
    return y;
}

/* [x | mu | speaker on every row | cond] */
static so_tensor *question(so_pass *pass, so_tensor *x, const so_flow_ask *ask)
{
    int64_t B = x->dim[0], T = x->dim[1], M = x->dim[2];
    so_tensor *none = ask->mu && ask->cond && ask->speaker ? NULL : zeros_like(pass, x), *speaker = none;
    if (ask->speaker) {
        int32_t *index = so_take(pass, (size_t)(B * T) * sizeof *index, false);
        for (int64_t i = 0; index && i < B * T; i++) index[i] = (int32_t)(i / T);
        speaker = index ? so_take_rows(pass, ask->speaker, B * T, index) : NULL;
        speaker = speaker ? so_reshape(pass, speaker, 3, (int64_t[]){B, T, M}) : NULL;
    }
    so_tensor *part[4] = {x, ask->mu ? ask->mu : none, speaker, ask->cond ? ask->cond : none};
    return so_join_cols(pass, 4, part);
}

/* Rows 0..T of every item of x[B, T or T+1, C]. */
static so_tensor *crop(so_pass *pass, so_tensor *x, int64_t T)
{
    if (!x || x->dim[1] == T) return x;
    int64_t B = x->dim[0], C = x->dim[2];
    int32_t *index = so_take(pass, (size_t)(B * T) * sizeof *index, false);
    for (int64_t i = 0; index && i < B * T; i++) index[i] = (int32_t)(i / T * x->dim[1] + i % T);
    so_tensor *y = index ? so_take_rows(pass, x, B * T, index) : NULL;
    return y ? so_reshape(pass, y, 3, (int64_t[]){B, T, C}) : NULL;
}

so_tensor *so_flow_velocity(so_pass *pass, const so_flow *net, so_tensor *x, const so_flow_ask *ask)
{
    if (!so_want_dims(pass, "flow", x, 3) || !so_want_cols(pass, "flow", x, net->config.mels)) return NULL;
    sight full, half;
    if (!sight_of(pass, &full, x->dim[0], x->dim[1], ask->mask, ask->add_mask)) return NULL;
    if (!halve(pass, &full, ask->add_mask, &half)) return NULL;
    so_tensor *time = time_embedding(pass, net, full.B, ask->t), *skip0, *skip1;
    so_conv1 down = {2, 1, 1, -1}, same = so_conv_same(3, 1);
    x = question(pass, x, ask);
    skip0 = stage(pass, net, &net->down[0], &full, x, time);
    x = so_conv1d(pass, masked(pass, &full, skip0), net->down[0].change_w, net->down[0].change_b, down);
    skip1 = stage(pass, net, &net->down[1], &half, x, time);
    x = so_conv1d(pass, masked(pass, &half, skip1), net->down[1].change_w, net->down[1].change_b, same);
    for (int64_t i = 0; i < net->config.mid; i++) x = stage(pass, net, &net->mid[i], &half, x, time);
    x = stage(pass, net, &net->up[0], &half, so_join_cols(pass, 2, (so_tensor *[]){x, skip1}), time);
    x = so_conv_transpose1d(pass, masked(pass, &half, x), net->up[0].change_w, net->up[0].change_b, 2, 1);
    x = crop(pass, x, full.T);
    x = stage(pass, net, &net->up[1], &full, so_join_cols(pass, 2, (so_tensor *[]){x, skip0}), time);
    x = so_conv1d(pass, masked(pass, &full, x), net->up[1].change_w, net->up[1].change_b, same);
    x = conv_norm_mish(pass, masked(pass, &full, x), net->final_conv_w, net->final_conv_b, net->final_norm_w,
                       net->final_norm_b);
    x = so_conv1d(pass, masked(pass, &full, x), net->final_w, net->final_b, so_conv_same(1, 1));
    return masked(pass, &full, x);
}

/* ---- sampling */

/* Both branches of the guidance as a batch of two: x twice; the conditions, and zeros. */
static so_tensor *twice(so_pass *pass, so_tensor *a, bool same)
{
    int64_t n = so_count(a);
    so_tensor *y = so_new3(pass, 2, so_rows(a), so_cols(a));
    if (!y || pass->dry) return y;
    memcpy(y->data, a->data, (size_t)n * sizeof(so_real));
    if (same)
        memcpy(so_data(y) + n, a->data, (size_t)n * sizeof(so_real));
    else
        memset(so_data(y) + n, 0, (size_t)n * sizeof(so_real));
    return y;
}

void so_flow_step(so_pass *pass, const so_flow *net, int64_t i, so_tensor *x, so_tensor *mu, so_tensor *speaker,
                  so_tensor *cond)
{
    if (!so_ok(pass) || !x || !mu || !speaker) return;
    size_t mark = so_arena_mark(pass->arena);
    int64_t n = so_count(x), steps = net->config.steps;
    double t0 = 1 - cos(quarter * (double)i / (double)steps), t1 = 1 - cos(quarter * (double)(i + 1) / (double)steps);
    so_flow_ask ask = {twice(pass, mu, false), twice(pass, speaker, false), cond ? twice(pass, cond, false) : NULL};
    if (!so_ok(pass)) return;
    ask.speaker = so_reshape(pass, ask.speaker, 2, (int64_t[]){2, so_count(speaker)});
    ask.t = (so_real[]){(so_real)t0, (so_real)t0};
    so_tensor *v = so_flow_velocity(pass, net, twice(pass, x, true), &ask);
    so_real g = (so_real)net->config.guidance, dt = (so_real)(t1 - t0);
    for (int64_t j = 0; v && j < n && !pass->dry; j++)
        so_data(x)[j] += dt * ((1 + g) * so_data(v)[j] - g * so_data(v)[n + j]);
    so_arena_release(pass->arena, mark);
}

so_tensor *so_flow_sample(so_pass *pass, const so_flow *net, so_tensor *z, so_tensor *mu, so_tensor *speaker,
                          so_tensor *cond)
{
    if (!so_ok(pass) || !z || !mu || !speaker) return NULL;
    if (pass->recording) return so_pass_fail(pass, SO_ERR_STATE, "flow: the sampler cannot be recorded");
    if (!so_want_same(pass, "flow", z, mu) || (cond && !so_want_same(pass, "flow", z, cond))) return NULL;
    so_tensor *x = so_constant(pass, 2, (int64_t[]){so_rows(z), so_cols(z)}, so_data(z));
    for (int64_t i = 0; i < net->config.steps; i++) so_flow_step(pass, net, i, x, mu, speaker, cond);
    return so_ok(pass) ? x : NULL;
}

/* The first K rows of x replaced by others. */
static so_tensor *replace_rows(so_pass *pass, so_tensor *x, int64_t K, const so_real *rows)
{
    if (!x || K < 1) return x;
    if (K > so_rows(x))
        return so_pass_fail(pass, SO_ERR_ARG, "flow: %lld frames from before, %lld in all", (long long)K,
                            (long long)so_rows(x));
    so_tensor *y = so_constant(pass, 2, (int64_t[]){so_rows(x), so_cols(x)}, so_data(x));
    if (y && !pass->dry) memcpy(y->data, rows, (size_t)(K * so_cols(x)) * sizeof *rows);
    return y;
}

so_tensor *so_flow_mel(so_pass *pass, const so_flow *net, const so_flow_request *r, so_tensor **mu)
{
    int64_t M = net->config.mels, all = r->M1 + r->frames;
    so_tensor *vector = so_constant(pass, 2, (int64_t[]){1, net->config.speaker}, r->vector);
    so_tensor *speaker = so_flow_speaker(pass, net, vector);
    so_tensor *h = so_flow_project(pass, net, so_flow_encoder(pass, net, 1, r->P + r->N, r->ids, NULL));
    so_tensor *m = so_flow_regulate(pass, net, h, r->P, r->M1, r->frames), *cond = NULL;
    if (mu) *mu = m;
    so_tensor *z = so_constant(pass, 2, (int64_t[]){all, M}, r->z);
    if (r->M1) {
        cond = so_new2(pass, all, M);
        if (cond && !pass->dry) {
            memset(cond->data, 0, (size_t)so_count(cond) * sizeof(so_real));
            memcpy(cond->data, r->prompt, (size_t)(r->M1 * M) * sizeof(so_real));
        }
    }
    z = replace_rows(pass, z, r->K, r->z_before);
    m = replace_rows(pass, m, r->K, r->mu_before);
    so_tensor *mel = so_flow_sample(pass, net, z, m, speaker, cond);
    if (!mel || r->M1 == 0) return mel;
    return so_constant(pass, 2, (int64_t[]){r->frames, M}, so_data(mel) + r->M1 * M);
}

/* ---- training */

/* factor[b] on all rows of item b. */
static so_tensor *scale_items(so_pass *pass, so_tensor *x, const so_real *factor)
{
    if (!so_ok(pass) || !x) return NULL;
    int64_t rows = so_rows(x), each = rows / x->dim[0];
    so_real *f = so_take(pass, (size_t)rows * sizeof *f, false);
    for (int64_t r = 0; f && r < rows; r++) f[r] = factor[r / each];
    return f ? so_scale_rows(pass, x, f) : NULL;
}

so_tensor *so_flow_matching_loss(so_pass *pass, const so_flow *net, so_tensor *x1, const so_flow_ask *given,
                                 so_tensor *z, const so_real *keep)
{
    if (!so_want_dims(pass, "flow loss", x1, 3) || !so_want_same(pass, "flow loss", x1, z)) return NULL;
    int64_t B = x1->dim[0];
    so_real rest = (so_real)(1 - net->config.sigma_min);
    so_flow_ask ask = *given;
    so_real *away = so_take(pass, (size_t)B * sizeof *away, false);
    if (!away) return NULL;
    for (int64_t b = 0; b < B; b++) away[b] = 1 - rest * ask.t[b];
    so_tensor *y = so_add(pass, scale_items(pass, z, away), scale_items(pass, x1, ask.t));
    so_tensor *target = so_add(pass, x1, so_scale(pass, z, -rest));
    if (keep) {
        ask.mu = ask.mu ? scale_items(pass, ask.mu, keep) : NULL;
        ask.speaker = ask.speaker ? scale_items(pass, ask.speaker, keep) : NULL;
        ask.cond = ask.cond ? scale_items(pass, ask.cond, keep) : NULL;
    }
    return so_mse(pass, so_flow_velocity(pass, net, y, &ask), target, ask.mask);
}

/* mel[B, T, M] with everything but the first shown[b] frames zeroed. */
static so_tensor *shown_frames(so_pass *pass, const so_flow_lesson *l, so_tensor *mel)
{
    if (!l->shown || !mel) return NULL;
    so_real *f = length_mask(pass, l->B, l->T, l->shown);
    return f ? so_scale_rows(pass, mel, f) : NULL;
}

/* In training the padded axis is interpolated as a whole. */
static so_tensor *regulate_padded(so_pass *pass, const so_flow *net, so_tensor *h, const so_flow_lesson *l,
                                  const so_real *mask)
{
    int64_t B = l->B, N = l->N, T = l->T, M = net->config.mels;
    int32_t *index = so_take(pass, (size_t)(B * T) * sizeof *index, false);
    so_real *weight = so_take(pass, (size_t)(B * T) * sizeof *weight, false);
    if (!weight) return NULL;
    for (int64_t b = 0; b < B; b++) so_lerp_index(b * N, N, T, index + b * T, weight + b * T);
    so_tensor *x = so_lerp_rows(pass, h, B * T, index, weight);
    if (!x) return NULL;
    x = so_flow_smooth(pass, net, so_reshape(pass, x, 3, (int64_t[]){B, T, M}));
    return so_scale_rows(pass, x, mask);
}

so_tensor *so_flow_loss(so_pass *pass, const so_flow *net, const so_flow_lesson *l, so_tensor **mu)
{
    int64_t B = l->B, T = l->T, M = net->config.mels;
    for (int64_t b = 0; b < B; b++)
        if (l->units[b] < 1 || l->units[b] > l->N || l->frames[b] < 1 || l->frames[b] > T)
            return so_pass_fail(pass, SO_ERR_ARG,
                                "flow: recording %lld has %lld units and %lld frames, of %lld and %lld", (long long)b,
                                (long long)l->units[b], (long long)l->frames[b], (long long)l->N, (long long)T);
    so_real *mask = length_mask(pass, B, T, l->frames);
    if (!mask) return NULL;
    so_tensor *speaker =
        so_flow_speaker(pass, net, so_constant(pass, 2, (int64_t[]){B, net->config.speaker}, l->vector));
    so_tensor *h = so_flow_project(pass, net, so_flow_encoder(pass, net, B, l->N, l->ids, l->units));
    so_tensor *m = regulate_padded(pass, net, h, l, mask);
    if (mu) *mu = m;
    so_tensor *mel = so_constant(pass, 3, (int64_t[]){B, T, M}, l->mel);
    so_tensor *z = so_constant(pass, 3, (int64_t[]){B, T, M}, l->z);
    so_flow_ask ask = {m, speaker, shown_frames(pass, l, mel), l->t, mask, l->add_mask};
    return so_flow_matching_loss(pass, net, mel, &ask, z, l->keep);
}

/* ---- binding */

so_flow_config so_flow_published(void)
{
    return (so_flow_config){.units = 4096,
                            .width = 512,
                            .heads = 8,
                            .ff = 2048,
                            .layers = 6,
                            .channels = 256,
                            .est_heads = 8,
                            .head_width = 64,
                            .est_blocks = 4,
                            .mid = 12,
                            .speaker = 192,
                            .mels = 80,
                            .unit_rate = 25,
                            .rate = 22050,
                            .hop = 256,
                            .border = 20,
                            .steps = 10,
                            .guidance = 0.7,
                            .sigma_min = 1e-6};
}

static so_status bind_stage(so_flow_stage *stage, const so_flow_config *c, const char *prefix, int64_t inputs,
                            const char *change, int64_t kernel, so_binder *binder, so_error *error)
{
    char full[320];
    binder->sizes.of['I'] = inputs;
    binder->sizes.of['k'] = kernel;
    SO_TRY(SO_BIND(binder, prefix, 0, resnet_table, &stage->resnet, error));
    stage->attention = so_arena_zalloc(&binder->store->memory, (size_t)(c->est_blocks + 1) * sizeof *stage->attention);
    if (!stage->attention) return so_fail(error, SO_ERR_NOMEM, "no memory for a flow model");
    for (int64_t i = 0; i < c->est_blocks; i++) {
        snprintf(full, sizeof full, "%s1.%lld.", prefix, (long long)i);
        SO_TRY(SO_BIND(binder, full, i, attention_table, &stage->attention[i], error));
    }
    if (!change) return SO_OK;
    pair p = {0};
    snprintf(full, sizeof full, "%s%s", prefix, change);
    SO_TRY(SO_BIND(binder, full, 0, change_table, &p, error));
    stage->change_w = p.w;
    stage->change_b = p.b;
    return SO_OK;
}

static so_status bind_estimator(so_flow *net, const char *prefix, so_binder *binder, so_error *error)
{
    const so_flow_config *c = &net->config;
    char full[256];
    for (int i = 0; i < 2; i++) {
        snprintf(full, sizeof full, "%sdecoder.estimator.down_blocks.%d.", prefix, i);
        SO_TRY(
            bind_stage(&net->down[i], c, full, i ? c->channels : 4 * c->mels, i ? "2." : "2.conv.", 3, binder, error));
        snprintf(full, sizeof full, "%sdecoder.estimator.up_blocks.%d.", prefix, i);
        SO_TRY(bind_stage(&net->up[i], c, full, 2 * c->channels, i ? "2." : "2.conv.", i ? 3 : 4, binder, error));
    }
    for (int64_t i = 0; i < c->mid; i++) {
        snprintf(full, sizeof full, "%sdecoder.estimator.mid_blocks.%lld.", prefix, (long long)i);
        SO_TRY(bind_stage(&net->mid[i], c, full, c->channels, NULL, 0, binder, error));
    }
    return SO_OK;
}

static so_status bind_regulator(so_flow *net, const char *prefix, so_binder *binder, so_error *error)
{
    for (int i = 0; i < 4; i++) {
        pair conv = {0}, norm = {0};
        SO_TRY(SO_BIND(binder, prefix, 3 * i, regulator_conv, &conv, error));
        SO_TRY(SO_BIND(binder, prefix, 3 * i + 1, regulator_norm, &norm, error));
        net->regulator[i].conv_w = conv.w;
        net->regulator[i].conv_b = conv.b;
        net->regulator[i].norm_w = norm.w;
        net->regulator[i].norm_b = norm.b;
    }
    return SO_OK;
}

static so_status bind(so_flow *net, const so_flow_config *config, const char *prefix, so_binder *binder,
                      so_error *error)
{
    if (config->heads < 1 || config->width % config->heads || config->channels % 8)
        return so_fail(error, SO_ERR_ARG, "flow: width %lld in %lld heads, %lld channels in 8 groups",
                       (long long)config->width, (long long)config->heads, (long long)config->channels);
    int64_t *of = binder->sizes.of;
    of['V'] = config->units;
    of['D'] = config->width;
    of['H'] = config->heads;
    of['d'] = config->width / config->heads;
    of['F'] = config->ff;
    of['M'] = config->mels;
    of['S'] = config->speaker;
    of['C'] = config->channels;
    of['A'] = config->est_heads * config->head_width;
    net->layer = so_arena_zalloc(&binder->store->memory, (size_t)(config->layers + 1) * sizeof *net->layer);
    net->mid = so_arena_zalloc(&binder->store->memory, (size_t)(config->mid + 1) * sizeof *net->mid);
    if (!net->layer || !net->mid) return so_fail(error, SO_ERR_NOMEM, "no memory for a flow model");
    SO_TRY(SO_BIND(binder, prefix, 0, net_table, net, error));
    for (int64_t i = 0; i < config->layers; i++) {
        char full[256];
        snprintf(full, sizeof full, "%sencoder.encoders.%lld.", prefix, (long long)i);
        SO_TRY(SO_BIND(binder, full, i, layer_table, &net->layer[i], error));
    }
    SO_TRY(bind_regulator(net, prefix, binder, error));
    return bind_estimator(net, prefix, binder, error);
}

so_status so_flow_bind(so_flow *net, const so_flow_config *config, const char *prefix, so_binder *binder,
                       so_error *error)
{
    *net = (so_flow){.config = *config};
    const char *group = binder->group;
    if (!group) binder->group = "flow";
    so_status status = bind(net, config, prefix, binder, error);
    binder->group = group;
    return status;
}
