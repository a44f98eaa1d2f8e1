/* Llama decoder layers. See llama.h for the figure.
 * SPDX-License-Identifier: Apache-2.0 */
#include "models/llama.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>

#define ROW(field, name, axes, init, scale)                                                                            \
    {                                                                                                                  \
        offsetof(so_llama_layer, field), name, axes, NULL, init, scale, false                                          \
    }
static const so_bind_row layer_table[] = {
    ROW(attn_norm, "input_layernorm.weight", "D", SO_INIT_VALUE, 1),
    ROW(q, "self_attn.q_proj.weight", "Hd D", SO_INIT_FAN_IN, 1),
    ROW(k, "self_attn.k_proj.weight", "Kd D", SO_INIT_FAN_IN, 1),
    ROW(v, "self_attn.v_proj.weight", "Kd D", SO_INIT_FAN_IN, 1),
    ROW(o, "self_attn.o_proj.weight", "D Hd", SO_INIT_FAN_IN, 0.5),
    ROW(mlp_norm, "post_attention_layernorm.weight", "D", SO_INIT_VALUE, 1),
    ROW(gate, "mlp.gate_proj.weight", "F D", SO_INIT_FAN_IN, 1),
    ROW(up, "mlp.up_proj.weight", "F D", SO_INIT_FAN_IN, 1),
    ROW(down, "mlp.down_proj.weight", "D F", SO_INIT_FAN_IN, 0.5),
};

so_tensor *so_llama_attend(so_pass *pass, const so_llama *net, int64_t i, so_tensor *x, const so_batch *batch)
{
    const so_llama_layer *l = &net->layer[i];
    const so_llama_config *c = &net->config;
    so_heads heads = {c->heads, c->kv_heads, c->head_width, so_rounds(pass, l->o)};
    so_rms rms = {l->attn_norm, c->rms_eps, false};
    so_tensor *q = NULL, *k = NULL, *v = NULL;
    so_norm_linears(pass, x, &rms, 3, (so_tensor *[]){l->q, l->k, l->v}, (so_tensor * *[]){&q, &k, &v});
    so_tensor *a = so_turned_attention(pass, q, k, v, batch, i, heads, net->freq);
    return so_linear_onto(pass, a, l->o, x, NULL);
}

void so_llama_note(so_pass *pass, const so_llama *net, int64_t i, so_tensor *x, const so_batch *batch)
{
    if (!so_ok(pass) || !x || !batch) return;
    const so_llama_layer *l = &net->layer[i];
    const so_llama_config *c = &net->config;
    so_rms rms = {l->attn_norm, c->rms_eps, false};
    so_mark mark = so_pass_mark(pass);
    so_tensor *k = NULL, *v = NULL;
    so_norm_linears(pass, x, &rms, 2, (so_tensor *[]){l->k, l->v}, (so_tensor * *[]){&k, &v});
    k = so_rope(pass, k, c->kv_heads, c->head_width, batch->pos, net->freq);
    so_keep_rows(pass, k, v, batch, i, (so_heads){c->kv_heads, c->kv_heads, c->head_width, false});
    so_pass_release(pass, mark);
}

so_tensor *so_llama_feed(so_pass *pass, const so_llama *net, int64_t i, so_tensor *x, so_tensor *into)
{
    const so_llama_layer *l = &net->layer[i];
    so_rms rms = {l->mlp_norm, net->config.rms_eps, so_rounds(pass, l->down)};
    return so_linear_onto(pass, so_norm_gated(pass, x, &rms, l->gate, l->up), l->down, x, into);
}

typedef struct whole_layer {
    const so_llama *net;
    int64_t i;
    const so_batch *batch;
    so_tensor *into; /* where the result may be written; NULL: anywhere */
} whole_layer;

static so_tensor *run_layer(so_pass *pass, void *context, so_tensor *x)
{
    const whole_layer *l = context;
    return so_llama_feed(pass, l->net, l->i, so_llama_attend(pass, l->net, l->i, x, l->batch), l->into);
}

/* Layers of the host, of a pass of the host: from the first of them to the last of all. */
typedef struct rest {
    whole_layer from;
    int64_t last;
} rest;

static so_tensor *run_rest(so_pass *pass, void *context, so_tensor *x)
{
    const rest *r = context;
    return so_llama_layers(pass, r->from.net, x, r->from.batch, r->from.i, r->last);
}

/* Whether x, or anything in these layers, wants a gradient. */
static bool any_learns(const so_llama *net, const so_tensor *x, int64_t first, int64_t last)
{
    for (int64_t i = first; i < last; i++) {
        const so_llama_layer *l = &net->layer[i];
        const so_tensor *weight[] = {l->attn_norm, l->q, l->k, l->v, l->o, l->mlp_norm, l->gate, l->up, l->down};
        for (size_t k = 0; k < sizeof weight / sizeof *weight; k++)
            if (weight[k]->wants_grad || (weight[k]->lora && weight[k]->lora->a->wants_grad)) return true;
    }
    return x->wants_grad;
}

so_tensor *so_llama_layers(so_pass *pass, const so_llama *net, so_tensor *x, const so_batch *batch, int64_t first,
                           int64_t last)
{
    if (!so_ok(pass) || !x || !batch) return NULL;
    if (pass->recording && !any_learns(net, x, first, last)) {
        /* Nothing is kept of layers that are only passed through. */
        pass->recording = false;
        so_tensor *y = so_llama_layers(pass, net, x, batch, first, last);
        pass->recording = true;
        return y;
    }
    so_tensor *kept = pass->recording ? NULL : so_new_like(pass, x);
    for (int64_t i = first; i < last; i++) {
        whole_layer layer = {net, i, batch, kept};
        if (pass->device && net->layer[i].q->host) return so_run_beside(pass, run_rest, &(rest){layer, last}, x, kept);
        so_label(pass, x, "%s.in.%lld", net->name, (long long)i);
        x = kept              ? so_run_layer(pass, run_layer, &layer, x, kept)
            : net->checkpoint ? so_checkpoint(pass, run_layer, &layer, sizeof layer, x)
                              : run_layer(pass, &layer, x);
    }
    return x;
}

void so_llama_stay(so_llama *net, int64_t first)
{
    for (int64_t i = 0; i < net->layers; i++) {
        const so_llama_layer *l = &net->layer[i];
        so_tensor *weight[] = {l->attn_norm, l->q, l->k, l->v, l->o, l->mlp_norm, l->gate, l->up, l->down};
        for (size_t k = 0; k < sizeof weight / sizeof *weight; k++) {
            weight[k]->host = i >= first;
            if (weight[k]->lora) weight[k]->lora->a->host = weight[k]->lora->b->host = i >= first;
        }
    }
}

so_tensor *so_llama_norm(so_pass *pass, const so_llama *net, so_tensor *x)
{
    so_tensor *y = so_rms_norm(pass, x, net->norm, net->config.rms_eps);
    so_label(pass, y, "%s.out", net->name);
    return y;
}

so_tensor *so_llama_forward(so_pass *pass, const so_llama *net, so_tensor *x, const so_batch *batch)
{
    return so_llama_norm(pass, net, so_llama_layers(pass, net, x, batch, 0, net->layers));
}

/* Rotary frequencies theta^(-2i/d) with llama3 scaling: long wavelengths are divided, middle ones blended. */
static double frequency(const so_llama_config *c, int64_t i)
{
    /* The reference computes these in float. */
    float f = 1.0f / powf((float)c->rope_theta, (float)(2 * i) / (float)c->head_width);
    if (c->rope_factor <= 1) return f;
    float wavelength = 6.283185307179586f / f, low = (float)(c->rope_original / c->rope_low);
    float high = (float)(c->rope_original / c->rope_high);
    if (wavelength < high) return f;
    if (wavelength > low) return f / (float)c->rope_factor;
    float smooth = ((float)c->rope_original / wavelength - (float)c->rope_low) / (float)(c->rope_high - c->rope_low);
    return (1 - smooth) * f / (float)c->rope_factor + smooth * f;
}

void so_llama_sizes(const so_llama_config *c, so_sizes *sizes)
{
    sizes->of['D'] = c->width;
    sizes->of['H'] = c->heads;
    sizes->of['K'] = c->kv_heads;
    sizes->of['d'] = c->head_width;
    sizes->of['F'] = c->ff;
}

double so_llama_products(const so_llama_config *c)
{
    double heads = (double)(2 * (c->heads + c->kv_heads) * c->head_width);
    return (double)c->width * (heads + 3 * (double)c->ff);
}

so_status so_llama_bind(so_llama *net, const so_llama_config *config, int64_t layers, const char *prefix,
                        const char *norm_name, so_binder *binder, so_error *error)
{
    *net = (so_llama){.config = *config, .name = binder->group, .layers = layers};
    so_llama_sizes(config, &binder->sizes);
    so_arena *memory = &binder->store->memory;
    net->layer = so_arena_zalloc(memory, (size_t)(layers + 1) * sizeof *net->layer);
    net->freq = so_arena_alloc(memory, (size_t)(config->head_width / 2 + 1) * sizeof *net->freq);
    if (!net->layer || !net->freq) return so_fail(error, SO_ERR_NOMEM, "no memory for %lld layers", (long long)layers);
    for (int64_t i = 0; i < config->head_width / 2; i++) net->freq[i] = frequency(config, i);
    for (int64_t i = 0; i < layers; i++) {
        char full[256];
        snprintf(full, sizeof full, "%s%lld.", prefix, (long long)i);
        SO_TRY(SO_BIND(binder, full, i, layer_table, &net->layer[i], error));
    }
    const so_bind_row norm[] = {{offsetof(so_llama, norm), norm_name, "D", NULL, SO_INIT_VALUE, 1, false}};
    return SO_BIND(binder, "", 0, norm, net, error);
}
