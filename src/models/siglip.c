/* The SigLIP vision tower. See siglip.h for the figure.
 * SPDX-License-Identifier: Apache-2.0 */
#include "models/siglip.h"

#include <stddef.h>
#include <stdio.h>

static const so_bind_row tower_table[] = {
    {offsetof(so_siglip, patch_w), "embeddings.patch_embedding.weight", "D 3 p p", NULL, SO_INIT_FAN_IN, 1, false},
    {offsetof(so_siglip, patch_b), "embeddings.patch_embedding.bias", "D", NULL, SO_INIT_VALUE, 0, false},
    {offsetof(so_siglip, position), "embeddings.position_embedding.weight", "P D", NULL, SO_INIT_NORMAL, 0.1, false},
    {offsetof(so_siglip, post_w), "post_layernorm.weight", "D", NULL, SO_INIT_VALUE, 1, true},
    {offsetof(so_siglip, post_b), "post_layernorm.bias", "D", NULL, SO_INIT_VALUE, 0, true},
};

#define ROW(field, name, axes, init, scale)                                                                            \
    {                                                                                                                  \
        offsetof(so_siglip_layer, field), name, axes, NULL, init, scale, false                                         \
    }
static const so_bind_row layer_table[] = {
    ROW(norm1_w, "layer_norm1.weight", "D", SO_INIT_VALUE, 1),
    ROW(norm1_b, "layer_norm1.bias", "D", SO_INIT_VALUE, 0),
    ROW(q_w, "self_attn.q_proj.weight", "D D", SO_INIT_FAN_IN, 1),
    ROW(q_b, "self_attn.q_proj.bias", "D", SO_INIT_VALUE, 0),
    ROW(k_w, "self_attn.k_proj.weight", "D D", SO_INIT_FAN_IN, 1),
    ROW(k_b, "self_attn.k_proj.bias", "D", SO_INIT_VALUE, 0),
    ROW(v_w, "self_attn.v_proj.weight", "D D", SO_INIT_FAN_IN, 1),
    ROW(v_b, "self_attn.v_proj.bias", "D", SO_INIT_VALUE, 0),
    ROW(o_w, "self_attn.out_proj.weight", "D D", SO_INIT_FAN_IN, 0.5),
    ROW(o_b, "self_attn.out_proj.bias", "D", SO_INIT_VALUE, 0),
    ROW(norm2_w, "layer_norm2.weight", "D", SO_INIT_VALUE, 1),
    ROW(norm2_b, "layer_norm2.bias", "D", SO_INIT_VALUE, 0),
    ROW(fc1_w, "mlp.fc1.weight", "F D", SO_INIT_FAN_IN, 1),
    ROW(fc1_b, "mlp.fc1.bias", "F", SO_INIT_VALUE, 0),
    ROW(fc2_w, "mlp.fc2.weight", "D F", SO_INIT_FAN_IN, 0.5),
    ROW(fc2_b, "mlp.fc2.bias", "D", SO_INIT_VALUE, 0),
};

int64_t so_siglip_grid(const so_siglip_config *config) { return config->image / config->patch; }

typedef struct tower_layer {
    const so_siglip *net;
    int64_t i;
    const so_batch *batch;
    so_tensor *into; /* where the result may be written; NULL: anywhere */
} tower_layer;

static so_tensor *attend(so_pass *pass, void *context, so_tensor *x)
{
    const tower_layer *t = context;
    const so_siglip *net = t->net;
    const so_siglip_layer *l = &net->layer[t->i];
    so_heads heads = {net->config.heads, net->config.heads, net->config.width / net->config.heads};
    so_ends norm1 = {.norm_w = l->norm1_w, .norm_b = l->norm1_b, .eps = net->config.norm_eps};
    so_tensor *q = NULL, *k = NULL, *v = NULL;
    so_linears_with(pass, x, &norm1, 3, (so_weights[]){{l->q_w, l->q_b}, {l->k_w, l->k_b}, {l->v_w, l->v_b}},
                    (so_tensor * *[]){&q, &k, &v});
    so_tensor *a = so_attention(pass, q, k, v, t->batch, 0, heads, false);
    return so_linear_with(pass, a, l->o_w, l->o_b, &(so_ends){.residual = x});
}

static so_tensor *feed(so_pass *pass, void *context, so_tensor *x)
{
    const tower_layer *t = context;
    const so_siglip_layer *l = &t->net->layer[t->i];
    so_ends norm2 = {
        .norm_w = l->norm2_w, .norm_b = l->norm2_b, .eps = t->net->config.norm_eps, .then = 1 + SO_GELU_TANH};
    so_tensor *h = so_linear_with(pass, x, l->fc1_w, l->fc1_b, &norm2);
    return so_linear_with(pass, h, l->fc2_w, l->fc2_b, &(so_ends){.residual = x, .into = t->into});
}

static so_tensor *run_layer(so_pass *pass, void *context, so_tensor *x)
{
    return feed(pass, context, attend(pass, context, x));
}

/* The stride-p convolution is a linear layer over patches in the weight's own order [3, p, p]. */
static so_tensor *cut_patches(so_pass *pass, const so_siglip_config *c, int64_t pictures, const float *pixels)
{
    int64_t grid = so_siglip_grid(c), p = c->patch, s = c->image;
    so_tensor *x = so_new2(pass, pictures * grid * grid, 3 * p * p);
    if (!x) return NULL;
    size_t bytes = (size_t)so_count(x) * sizeof(so_real);
    so_real *first = pass->device ? so_take(pass, bytes, false) : so_data(x), *out = first;
    if (!x || !out || pass->dry) return x && out ? x : NULL;
    for (int64_t row = 0; row < so_rows(x); row++) {
        int64_t b = row / (grid * grid), y0 = row / grid % grid * p, x0 = row % grid * p;
        for (int64_t ch = 0; ch < 3; ch++)
            for (int64_t dy = 0; dy < p; dy++)
                for (int64_t dx = 0; dx < p; dx++) *out++ = (so_real)pixels[((b * 3 + ch) * s + y0 + dy) * s + x0 + dx];
    }
    if (pass->device) so_device_write(pass->device, x->data, first, bytes);
    return x;
}

so_tensor *so_siglip_patches(so_pass *pass, const so_siglip *net, int64_t pictures, const float *pixels)
{
    const so_siglip_config *c = &net->config;
    int64_t patches = so_siglip_grid(c) * so_siglip_grid(c), rows = pictures * patches;
    so_tensor *patch_w = so_reshape(pass, net->patch_w, 2, (int64_t[]){c->width, 3 * c->patch * c->patch});
    so_tensor *x = so_linear(pass, cut_patches(pass, c, pictures, pixels), patch_w, net->patch_b);
    so_label(pass, x, "vision.patches");
    int32_t *index = so_take(pass, (size_t)rows * sizeof *index, false);
    if (!index) return NULL;
    for (int64_t i = 0; i < rows; i++) index[i] = (int32_t)(i % patches);
    return so_add(pass, x, so_embed(pass, net->position, rows, index));
}

so_tensor *so_siglip_halves(so_pass *pass, const so_siglip *net, int64_t pictures, so_tensor *x, int64_t first,
                            int64_t last)
{
    int64_t *lengths = so_take(pass, (size_t)pictures * sizeof *lengths, false);
    if (!lengths || !x) return NULL;
    for (int64_t i = 0; i < pictures; i++) lengths[i] = so_rows(x) / pictures;
    so_batch *batch = so_batch_many(pass, pictures, lengths, NULL);
    so_tensor *kept = pass->recording ? NULL : so_new_like(pass, x);
    for (int64_t h = first, n; h < last; h += n) {
        tower_layer layer = {net, h / 2, batch, kept};
        so_layer_fn half = h % 2 ? feed : h + 1 < last ? run_layer : attend;
        n = half == run_layer ? 2 : 1;
        if (h % 2 == 0) so_label(pass, x, "vision.in.%lld", (long long)h / 2);
        if (half == feed && x == kept) layer.into = NULL; /* it is the residual */
        x = kept ? so_run_layer(pass, half, &layer, x, kept) : half(pass, &layer, x);
    }
    if (last == 2 * net->config.layers) so_label(pass, x, "vision.out");
    return x;
}

so_tensor *so_siglip_forward(so_pass *pass, const so_siglip *net, int64_t pictures, const float *pixels)
{
    so_tensor *x = so_siglip_patches(pass, net, pictures, pixels);
    return so_siglip_halves(pass, net, pictures, x, 0, 2 * net->config.layers);
}

so_status so_siglip_bind(so_siglip *net, const so_siglip_config *config, const char *prefix, so_binder *binder,
                         so_error *error)
{
    *net = (so_siglip){.config = *config};
    binder->sizes.of['D'] = config->width;
    binder->sizes.of['F'] = config->ff;
    binder->sizes.of['p'] = config->patch;
    binder->sizes.of['P'] = so_siglip_grid(config) * so_siglip_grid(config);
    net->layer = so_arena_zalloc(&binder->store->memory, (size_t)(config->layers + 1) * sizeof *net->layer);
    if (!net->layer) return so_fail(error, SO_ERR_NOMEM, "no memory for a vision tower");
    SO_TRY(SO_BIND(binder, prefix, 0, tower_table, net, error));
    for (int64_t i = 0; i < config->layers; i++) {
        char full[256];
        snprintf(full, sizeof full, "%sencoder.layers.%lld.", prefix, (long long)i);
        SO_TRY(SO_BIND(binder, full, i, layer_table, &net->layer[i], error));
    }
    return SO_OK;
}
