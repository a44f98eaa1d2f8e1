/* llama.cpp's files of adapters.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/adapter.h"
#include "formats/gguf.h"

/* Matrices of a Llama layer by both names. */
static const struct {
    const char *published, *short_name;
    bool in_pairs; /* rows lie in another order within each head */
} layer_names[] = {
    {"self_attn.q_proj.weight", "attn_q.weight", true},  {"self_attn.k_proj.weight", "attn_k.weight", true},
    {"self_attn.v_proj.weight", "attn_v.weight", false}, {"self_attn.o_proj.weight", "attn_output.weight", false},
    {"mlp.gate_proj.weight", "ffn_gate.weight", false},  {"mlp.up_proj.weight", "ffn_up.weight", false},
    {"mlp.down_proj.weight", "ffn_down.weight", false},
};
enum { LAYER_NAMES = sizeof layer_names / sizeof *layer_names };

/* The name in one form for `name` in the other; as it is where there is none. Returns whether there was. */
static bool renamed(const char *name, bool to_published, char out[SO_VIEW_NAME_MAX + 1], bool *in_pairs)
{
    const char *prefix = to_published ? "blk." : "model.layers.";
    snprintf(out, SO_VIEW_NAME_MAX + 1, "%s", name);
    *in_pairs = false;
    if (strncmp(name, prefix, strlen(prefix)) != 0) return false;
    char *rest;
    long layer = strtol(name + strlen(prefix), &rest, 10);
    for (int i = 0; i < LAYER_NAMES && *rest == '.' && layer >= 0; i++) {
        const char *from = to_published ? layer_names[i].short_name : layer_names[i].published;
        if (strcmp(rest + 1, from) != 0) continue;
        snprintf(out, SO_VIEW_NAME_MAX + 1, "%s%ld.%s", to_published ? "model.layers." : "blk.", layer,
                 to_published ? layer_names[i].published : layer_names[i].short_name);
        *in_pairs = layer_names[i].in_pairs;
        return true;
    }
    return false;
}

/* ---- reading */

static so_status want_text(const so_gguf *gguf, const char *key, const char *expected, so_error *error)
{
    so_span text;
    SO_TRY(so_gguf_string(gguf, key, &text, error));
    if (text.length == strlen(expected) && memcmp(text.data, expected, text.length) == 0) return SO_OK;
    return so_fail(error, SO_ERR_UNSUPPORTED, "%s is '%.*s', expected '%s'", key, SO_SPAN_ARGS(text), expected);
}

static so_status add_pair(so_adapter *adapter, const so_view *a, const so_view *b, double alpha, so_error *error)
{
    char base[SO_VIEW_NAME_MAX + 1], name[SO_VIEW_NAME_MAX + 1];
    snprintf(base, sizeof base, "%.*s", (int)(strlen(a->name) - strlen(".lora_a")), a->name);
    so_adapter_pair about = {.name = name, .scale = 1};
    renamed(base, true, name, &about.in_pairs);
    if (alpha > 0 && a->n_dims == 2 && a->dim[0] > 0) about.scale = (float)(alpha / (double)a->dim[0]);
    return so_adapter_add_views(adapter, &about, a, b, error);
}

static const so_view *other_half(const so_views *views, const so_view *v, const char *end)
{
    char name[SO_VIEW_NAME_MAX + 1];
    snprintf(name, sizeof name, "%.*s%s", (int)(strlen(v->name) - strlen(end)), v->name, end);
    return so_views_find(views, name);
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), e = strlen(end);
    return n > e && strcmp(text + n - e, end) == 0;
}

static so_status read_pairs(so_adapter *adapter, const so_views *views, double alpha, so_error *error)
{
    for (int64_t i = 0; i < views->count; i++) {
        const so_view *v = &views->view[i];
        if (ends_with(v->name, ".lora_a"))
            SO_TRY(add_pair(adapter, v, other_half(views, v, ".lora_b"), alpha, error));
        else if (!ends_with(v->name, ".lora_b"))
            return so_fail(error, SO_ERR_UNSUPPORTED, "'%s' is no half of an adapter (NAME.lora_a or .lora_b)",
                           v->name);
        else if (!other_half(views, v, ".lora_a"))
            return so_fail(error, SO_ERR_FORMAT, "'%s' has no lora_a", v->name);
    }
    return SO_OK;
}

static so_status read_file(so_adapter *adapter, const so_gguf *gguf, so_error *error)
{
    float alpha = 0;
    so_span model = {"", 0};
    if (!so_gguf_has(gguf, "general.type") || !so_gguf_has(gguf, "adapter.type"))
        return so_fail(error, SO_ERR_FORMAT, "a GGUF file of something else than an adapter (general.type)");
    SO_TRY(want_text(gguf, "general.type", "adapter", error));
    SO_TRY(want_text(gguf, "adapter.type", "lora", error));
    SO_TRY(so_gguf_f32(gguf, "adapter.lora.alpha", &alpha, error));
    if (!(alpha >= 0 && alpha < 1e6f))
        return so_fail(error, SO_ERR_FORMAT, "adapter.lora.alpha is %g, expected 0 or more", (double)alpha);
    if (so_gguf_has(gguf, "general.base_model.0.name"))
        SO_TRY(so_gguf_string(gguf, "general.base_model.0.name", &model, error));
    adapter->model = strndup(model.data, model.length);
    if (!adapter->model) return so_fail(error, SO_ERR_NOMEM, "no memory for an adapter");
    return read_pairs(adapter, so_gguf_views(gguf), (double)alpha, error);
}

so_status so_adapter_read_gguf(so_adapter *adapter, const char *path, so_error *error)
{
    so_gguf *gguf;
    SO_TRY(so_gguf_open(&gguf, path, error));
    so_status status = read_file(adapter, gguf, error);
    so_gguf_close(&gguf);
    return status == SO_OK ? SO_OK : so_fail_in(error, "%s", path);
}

/* ---- writing */

/* b with its rows as llama.cpp rotates them. The caller frees it. */
static so_status turned(const so_adapter_pair *p, int64_t heads, float **out, so_error *error)
{
    int64_t width = heads > 0 ? p->n / heads : 0, r = p->rank;
    *out = NULL;
    if (width < 2 || p->n % (2 * heads))
        return so_fail(error, SO_ERR_FORMAT, "the adapter of '%s' has %lld rows, which %lld heads do not divide",
                       p->name, (long long)p->n, (long long)heads);
    *out = malloc((size_t)(p->n * r) * sizeof **out);
    if (!*out) return so_fail(error, SO_ERR_NOMEM, "no memory for an adapter");
    for (int64_t row = 0; row < p->n; row++) {
        int64_t within = row % width, half = row - within + within % 2 * (width / 2) + within / 2;
        memcpy(*out + row * r, p->b + half * r, (size_t)r * sizeof **out);
    }
    return SO_OK;
}

static so_status put_b(so_gguf_writer *writer, const char *name, const so_adapter_pair *p, int64_t heads,
                       so_error *error)
{
    float *b = NULL;
    if (heads) SO_TRY(turned(p, heads, &b, error));
    so_status status = so_gguf_put(writer, name, b ? b : p->b, (size_t)(p->n * p->rank) * sizeof *b, error);
    free(b);
    return status;
}

static so_status put_pair(so_gguf_writer *writer, const so_adapter_pair *p, bool declare, const int64_t heads[2],
                          int64_t *own, so_error *error)
{
    char base[SO_VIEW_NAME_MAX + 1], a[SO_VIEW_NAME_MAX + 16], b[SO_VIEW_NAME_MAX + 16];
    bool in_pairs;
    if (!renamed(p->name, false, base, &in_pairs) && declare && own) ++*own;
    snprintf(a, sizeof a, "%s.lora_a", base);
    snprintf(b, sizeof b, "%s.lora_b", base);
    if (declare) {
        SO_TRY(so_gguf_declare(writer, a, SO_F32, 2, (int64_t[]){p->rank, p->k}, error));
        return so_gguf_declare(writer, b, SO_F32, 2, (int64_t[]){p->n, p->rank}, error);
    }
    SO_TRY(so_gguf_put(writer, a, p->a, (size_t)(p->rank * p->k) * sizeof(float), error));
    return put_b(writer, b, p, !in_pairs ? 0 : heads[so_adapter_module(p->name).data[0] != 'q'], error);
}

/* One alpha for all: scale = alpha / rank. */
static so_status alpha_of(const so_adapter *adapter, float *alpha, so_error *error)
{
    *alpha = 0;
    for (int64_t i = 0; i < adapter->count; i++) {
        const so_adapter_pair *p = &adapter->pair[i];
        float own = p->scale * (float)p->rank, far = own > *alpha ? own - *alpha : *alpha - own;
        if (i && !(far <= 1e-5f * own))
            return so_fail(error, SO_ERR_ARG, "'%s' has the alpha %g, '%s' %g: a GGUF file has one for all",
                           adapter->pair->name, (double)*alpha, p->name, (double)own);
        if (!i) *alpha = own;
    }
    return adapter->count ? SO_OK : so_fail(error, SO_ERR_ARG, "an adapter of no matrices");
}

so_status so_adapter_save_gguf(const so_adapter *adapter, const char *path, int64_t heads, int64_t kv_heads,
                               int64_t *own, so_error *error)
{
    const int64_t both[2] = {heads, kv_heads};
    so_gguf_writer *w;
    so_status status;
    float alpha;
    if (own) *own = 0;
    SO_TRY(alpha_of(adapter, &alpha, error));
    SO_TRY(so_gguf_create(&w, path, error));
    SO_TRY_GO(so_gguf_set_string(w, "general.architecture", "llama", error));
    SO_TRY_GO(so_gguf_set_string(w, "general.type", "adapter", error));
    SO_TRY_GO(so_gguf_set_string(w, "adapter.type", "lora", error));
    SO_TRY_GO(so_gguf_set_f32(w, "adapter.lora.alpha", alpha, error));
    if (adapter->model && adapter->model[0])
        SO_TRY_GO(so_gguf_set_string(w, "general.base_model.0.name", adapter->model, error));
    for (int turn = 0; turn < 2; turn++)
        for (int64_t i = 0; i < adapter->count; i++)
            SO_TRY_GO(put_pair(w, &adapter->pair[i], turn == 0, both, own, error));
    SO_TRY_GO(so_gguf_commit(&w, error));
done:
    so_gguf_drop(&w);
    return status;
}
