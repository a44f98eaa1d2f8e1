/* The flow model's U-Net: the velocity of a mel. See flow.h for the figure.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stddef.h>
#include <stdio.h>

#include "models/flow_parts.h"

#define NET(field, name, axes, init, scale)                                                                            \
    {                                                                                                                  \
        offsetof(so_flow, field), name, axes, NULL, init, scale, false                                                 \
    }
static const so_bind_row unet_table[] = {
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

/* The convolution that ends a stage: k is 3, or 4 where it is transposed. */
typedef struct stage_end {
    so_tensor *w, *b;
} stage_end;
static const so_bind_row change_table[] = {
    {offsetof(stage_end, w), "weight", "C C k", NULL, SO_INIT_FAN_IN, 1, false},
    {offsetof(stage_end, b), "bias", "C", NULL, SO_INIT_VALUE, 0, false},
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

/* Rows that count, at one resolution. */
typedef struct sight {
    int64_t B, T;
    const so_real *mask, *key_bias; /* [B, T] or NULL */
    bool add;
    so_batch *batch;
} sight;

/* The time that f is asked for: mish of its embedding [B, 4C]; or, where resnets are joined, what it adds in every
 * stage [B, C]. */
typedef struct moment {
    so_tensor *time, **added;
    int64_t stage; /* the next one */
} moment;

static so_tensor *masked(so_pass *pass, const sight *s, so_tensor *x)
{
    return s->mask ? so_scale_rows(pass, x, s->mask) : x;
}

static so_tensor *conv_norm_mish(so_pass *pass, so_tensor *x, so_tensor *conv_w, so_tensor *conv_b, so_tensor *norm_w,
                                 so_tensor *norm_b)
{
    x = so_conv1d(pass, x, conv_w, conv_b, so_conv_same(3, 1));
    return so_apply(pass, SO_MISH, so_group_norm(pass, x, norm_w, norm_b, 8, SO_FLOW_NORM_EPS));
}

/* The same in four steps, where nothing is masked: what the time adds is known, and y is written where it stays. */
static so_tensor *joined_resnet(so_pass *pass, const so_flow_resnet *r, so_tensor *x, so_tensor *time)
{
    so_tensor *y = so_new3(pass, x->dim[0], x->dim[1], r->conv1_w->dim[0]), *skip = NULL;
    so_mark mark = so_pass_mark(pass);
    so_ends ends = {.eps = SO_FLOW_NORM_EPS, .then = 1 + SO_MISH, .each = time};
    so_tensor *h = so_conv1d_with(pass, x, (so_weights){r->conv1_w, r->conv1_b}, so_conv_same(3, 1),
                                  &(so_conv_ends){.side = {r->skip_w, r->skip_b}, .skip = &skip});
    h = so_group_norm_with(pass, h, r->norm1_w, r->norm1_b, 8, &ends);
    h = so_conv1d_with(pass, h, (so_weights){r->conv2_w, r->conv2_b}, so_conv_same(3, 1), &(so_conv_ends){.then = 0});
    ends.each = NULL;
    ends.residual = skip;
    ends.into = y;
    return so_keep(pass, mark, so_group_norm_with(pass, h, r->norm2_w, r->norm2_b, 8, &ends));
}

static so_tensor *resnet(so_pass *pass, const so_flow_resnet *r, const sight *s, so_tensor *x, const moment *m)
{
    if (!so_ok(pass) || !x) return NULL;
    if (m->added) return joined_resnet(pass, r, x, m->added[m->stage]);
    so_tensor *mish_time = m->time;
    so_mark mark = so_pass_mark(pass);
    x = masked(pass, s, x);
    so_tensor *h = conv_norm_mish(pass, x, r->conv1_w, r->conv1_b, r->norm1_w, r->norm1_b);
    h = so_add_each(pass, masked(pass, s, h), so_linear(pass, mish_time, r->time_w, r->time_b));
    h = masked(pass, s, conv_norm_mish(pass, masked(pass, s, h), r->conv2_w, r->conv2_b, r->norm2_w, r->norm2_b));
    return so_keep(pass, mark, so_residual(pass, h, so_conv1d(pass, x, r->skip_w, r->skip_b, so_conv_same(1, 1))));
}

static so_tensor *attention(so_pass *pass, const so_flow *net, const so_flow_attention *l, const sight *s, so_tensor *x)
{
    so_heads heads = {net->config.est_heads, net->config.est_heads, net->config.head_width};
    so_ends norm1 = {.norm_w = l->norm1_w, .norm_b = l->norm1_b, .eps = SO_FLOW_NORM_EPS};
    so_ends norm3 = {.norm_w = l->norm3_w, .norm_b = l->norm3_b, .eps = SO_FLOW_NORM_EPS, .then = 1 + SO_GELU};
    so_tensor *q = NULL, *k = NULL, *v = NULL, *y = pass->device ? so_new_like(pass, x) : NULL;
    so_mark mark = so_pass_mark(pass);
    so_linears_with(pass, x, &norm1, 3, (so_weights[]){{l->q_w, NULL}, {l->k_w, NULL}, {l->v_w, NULL}},
                    (so_tensor * *[]){&q, &k, &v});
    so_score score = {.heads = heads.heads, .key_bias = s->key_bias, .of_query = s->add ? s->mask : NULL};
    so_tensor *a = s->key_bias ? so_score_attention(pass, q, k, v, &score)
                               : so_attention(pass, q, k, v, s->batch, 0, heads, false);
    x = so_linear_with(pass, a, l->o_w, l->o_b, &(so_ends){.residual = x});
    so_tensor *h = so_linear_with(pass, x, l->fc1_w, l->fc1_b, &norm3);
    return so_keep(pass, mark, so_linear_with(pass, h, l->fc2_w, l->fc2_b, &(so_ends){.residual = x, .into = y}));
}

/* One stage, "down.0" or the like for who watches. */
static so_tensor *stage(so_pass *pass, const so_flow *net, const so_flow_stage *st, const char *name, const sight *s,
                        so_tensor *x, moment *m)
{
    x = resnet(pass, &st->resnet, s, x, m);
    m->stage++;
    so_label(pass, x, "unet.%s.resnet", name);
    for (int64_t i = 0; i < net->config.est_blocks; i++) {
        x = attention(pass, net, &st->attention[i], s, x);
        so_label(pass, x, "unet.%s.block.%lld", name, (long long)i);
    }
    return x;
}

so_tensor *so_flow_times(so_pass *pass, const so_flow *net, int64_t B, const so_real *t)
{
    int64_t half = 2 * net->config.mels;
    so_tensor *x = so_new2(pass, B, 2 * half);
    so_real *to = so_write_begin(pass, x);
    if (!to) return NULL;
    for (int64_t b = 0; b < B && !pass->dry; b++)
        for (int64_t k = 0; k < half; k++) {
            /* Rounded as in the network that the published weights were trained in: angles reach 1000. */
            float rate = (float)exp((double)((float)k * (float)(-log(10000) / (double)(half - 1))));
            double angle = (double)(1000 * t[b] * (so_real)rate);
            to[b * 2 * half + k] = (so_real)sin(angle);
            to[b * 2 * half + half + k] = (so_real)cos(angle);
        }
    return so_write_end(pass, x, to);
}

/* [B, 4M] of sines and cosines -> mish of the time embedding [B, 4C]. */
static so_tensor *time_embedding(so_pass *pass, const so_flow *net, so_tensor *x)
{
    x = so_linear_with(pass, x, net->time1_w, net->time1_b, &(so_ends){.then = 1 + SO_SILU});
    if (so_joins(pass) && !pass->watch)
        return so_linear_with(pass, x, net->time2_w, net->time2_b, &(so_ends){.then = 1 + SO_MISH});
    x = so_linear(pass, x, net->time2_w, net->time2_b);
    so_label(pass, x, "unet.time");
    return so_apply(pass, SO_MISH, x);
}

/* All stages in the order in which x goes through them. */
static const so_flow_stage *stage_at(const so_flow *net, int64_t i)
{
    if (i < 2) return &net->down[i];
    return i < 2 + net->config.mid ? &net->mid[i - 2] : &net->up[i - 2 - net->config.mid];
}

static bool moment_of(so_pass *pass, const so_flow *net, const sight *s, so_tensor *times, moment *m)
{
    enum { STAGES = 64 };
    so_weights of[STAGES];
    int64_t stages = 4 + net->config.mid;
    *m = (moment){.time = time_embedding(pass, net, times)};
    if (!so_joins(pass) || s->mask || stages > STAGES || s->B > SO_FEW_ROWS) return m->time != NULL;
    m->added = so_take(pass, (size_t)stages * sizeof *m->added, false);
    for (int64_t i = 0; i < stages; i++)
        of[i] = (so_weights){stage_at(net, i)->resnet.time_w, stage_at(net, i)->resnet.time_b};
    if (m->added) so_stacked(pass, m->time, (int)stages, of, m->added);
    return so_ok(pass) && m->added;
}

static bool sight_of(so_pass *pass, sight *s, int64_t B, int64_t T, const so_real *mask, bool add)
{
    *s = (sight){B, T, mask, mask ? so_flow_mask_bias(pass, B * T, mask, add) : NULL, add, NULL};
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
    if (y && !pass->dry) pass->k->fill(pass->pool, so_count(y), 0, so_data(y));
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

so_tensor *so_flow_answer(so_pass *pass, const so_flow *net, so_tensor *x, const so_flow_ask *ask)
{
    sight full, half;
    moment m;
    if (!so_want_dims(pass, "flow", x, 3)) return NULL;
    if (!sight_of(pass, &full, x->dim[0], x->dim[1], ask->mask, ask->add_mask)) return NULL;
    if (!halve(pass, &full, ask->add_mask, &half)) return NULL;
    so_tensor *times = ask->times ? ask->times : so_flow_times(pass, net, full.B, ask->t), *skip0, *skip1;
    if (!moment_of(pass, net, &full, times, &m)) return NULL;
    so_conv1 down = {2, 1, 1, -1}, same = so_conv_same(3, 1);
    skip0 = stage(pass, net, &net->down[0], "down.0", &full, x, &m);
    x = so_conv1d(pass, masked(pass, &full, skip0), net->down[0].change_w, net->down[0].change_b, down);
    so_label(pass, x, "unet.down.0.out");
    skip1 = stage(pass, net, &net->down[1], "down.1", &half, x, &m);
    x = so_conv1d(pass, masked(pass, &half, skip1), net->down[1].change_w, net->down[1].change_b, same);
    so_label(pass, x, "unet.down.1.out");
    for (int64_t i = 0; i < net->config.mid; i++)
        x = stage(pass, net, &net->mid[i], i + 1 < net->config.mid ? "mid" : "mid.last", &half, x, &m);
    x = stage(pass, net, &net->up[0], "up.0", &half, so_join_cols(pass, 2, (so_tensor *[]){x, skip1}), &m);
    x = so_conv_transpose1d_to(pass, masked(pass, &half, x), (so_weights){net->up[0].change_w, net->up[0].change_b}, 2,
                               1, full.T);
    so_label(pass, x, "unet.up.0.out");
    x = stage(pass, net, &net->up[1], "up.1", &full, so_join_cols(pass, 2, (so_tensor *[]){x, skip0}), &m);
    x = so_conv1d(pass, masked(pass, &full, x), net->up[1].change_w, net->up[1].change_b, same);
    so_label(pass, x, "unet.up.1.out");
    x = so_conv1d(pass, masked(pass, &full, x), net->final_conv_w, net->final_conv_b, same);
    x = so_group_norm_with(pass, x, net->final_norm_w, net->final_norm_b, 8,
                           &(so_ends){.eps = SO_FLOW_NORM_EPS, .then = 1 + SO_MISH});
    so_label(pass, x, "unet.final");
    x = so_conv1d(pass, masked(pass, &full, x), net->final_w, net->final_b, so_conv_same(1, 1));
    return masked(pass, &full, x);
}

so_tensor *so_flow_velocity(so_pass *pass, const so_flow *net, so_tensor *x, const so_flow_ask *ask)
{
    if (!so_want_dims(pass, "flow", x, 3) || !so_want_cols(pass, "flow", x, net->config.mels)) return NULL;
    return so_flow_answer(pass, net, question(pass, x, ask), ask);
}

/* ---- binding */

so_status so_flow_bind_unet(so_flow *net, const char *prefix, so_binder *binder, so_error *error)
{
    return SO_BIND(binder, prefix, 0, unet_table, net, error);
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
    stage_end p = {0};
    snprintf(full, sizeof full, "%s%s", prefix, change);
    SO_TRY(SO_BIND(binder, full, 0, change_table, &p, error));
    stage->change_w = p.w;
    stage->change_b = p.b;
    return SO_OK;
}

so_status so_flow_bind_unet_stages(so_flow *net, const char *prefix, so_binder *binder, so_error *error)
{
    const so_flow_config *c = &net->config;
    char full[256];
    net->mid = so_arena_zalloc(&binder->store->memory, (size_t)(c->mid + 1) * sizeof *net->mid);
    if (!net->mid) return so_fail(error, SO_ERR_NOMEM, "no memory for a flow model");
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
