/* The codec in its published sizes against reference numbers. The weights are too big to ship: a formula makes them.
 *
 * Element j of a tensor is base + factor v, v in -1 .. 1 from splitmix64 at hash(name) + (j+1) 0x9e3779b97f4a7c15.
 * Source: README of the reference folder, "Real sizes, weights by formula".
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "eval/golden/golden_codec.h"

/* FNV-1a. */
static uint64_t hash_of(const char *name)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (; *name; name++) h = (h ^ (unsigned char)*name) * 0x100000001b3u;
    return h;
}

static bool ends(const char *name, const char *with)
{
    size_t n = strlen(name), m = strlen(with);
    return n >= m && strcmp(name + n - m, with) == 0;
}

static bool begins(const char *name, const char *with) { return strncmp(name, with, strlen(with)) == 0; }

static void rule_of(const so_tensor *t, double *base, double *factor)
{
    const char *name = t->name;
    double gain = begins(name, "ups.") ? 2 : strstr(name, "resblocks.") ? 0.4 : begins(name, "conv_post") ? 0.3 : 1;
    *base = 0;
    if (ends(name, ".alpha"))
        *base = 1, *factor = 0.5;
    else if (ends(name, "weight_g"))
        *base = gain, *factor = 0.3 * gain;
    else if (ends(name, "weight_v"))
        *factor = 1;
    else if (strcmp(name, "f0_predictor.classifier.weight") == 0)
        *factor = 200 * sqrt(3.0 / 512);
    else if (strcmp(name, "conv_post.bias") == 0)
        *base = -1, *factor = 0.5;
    else if (t->n_dims == 1 && ends(name, ".weight"))
        *base = 1, *factor = 0.2;
    else if (t->n_dims == 1)
        *factor = 0.1;
    else if (strcmp(name, "input_embedding.weight") == 0)
        *factor = 1.5;
    else if (strstr(name, "pos_bias_"))
        *factor = 0.3;
    else if (strcmp(name, "encoder.positional_embedding") == 0)
        *factor = 1.5;
    else
        *factor = sqrt(3.0 / (double)(so_count(t) / t->dim[0]));
}

static void fill(so_tensor *t)
{
    double base, factor;
    rule_of(t, &base, &factor);
    uint64_t x = hash_of(t->name);
    for (int64_t i = 0; i < so_count(t); i++) {
        double v = (double)(so_splitmix(&x) >> 40) / 8388608 - 1;
        so_data(t)[i] = (so_real)(base + factor * v);
    }
}

/* The weights of which the reference tells the first values and sums. */
static void compare_weights(so_codec_golden *b, const so_store *store)
{
    const char *name;
    json_t *told;
    json_object_foreach(json_object_get(json_object_get(b->json, "values"), "weights"), name, told)
    {
        char what[512];
        const so_weight *w = so_store_find(store, name);
        double sum = 0, all = 0, expected = json_number_value(json_object_get(told, "sum_abs"));
        for (int64_t i = 0; w && i < so_count(&w->tensor); i++) {
            sum += (double)so_data(&w->tensor)[i];
            all += fabs((double)so_data(&w->tensor)[i]);
        }
        snprintf(what, sizeof what, "sum of %.400s", name);
        double signed_sum = json_number_value(json_object_get(told, "sum"));
        so_golden_value(b->g, b->name, what, w ? sum : (double)NAN, signed_sum, 1e-9 * expected);
        snprintf(what, sizeof what, "sum |%.400s|", name);
        so_golden_value(b->g, b->name, what, w ? all : (double)NAN, expected, 1e-9 * expected);
    }
}

static so_status bind(so_codec_golden *b, const char *kind, so_binder *binder, so_error *error)
{
    so_codec *c = &b->codec;
    so_speech_tokenizer_config ears = c->tokenizer.config;
    so_flow_config flow = c->flow.config;
    so_hift_config hift = c->hift.config;
    if (strcmp(kind, "tok") == 0) {
        SO_TRY(so_speech_tokenizer_bind(&c->tokenizer, &ears, "", binder, error));
        c->has_tokenizer = true;
    } else if (strcmp(kind, "flow") == 0) {
        SO_TRY(so_flow_bind(&c->flow, &flow, "", binder, error));
        c->has_vocoder = true;
    } else {
        SO_TRY(so_hift_bind(&c->hift, &hift, "", binder, error));
        c->has_vocoder = true;
    }
    return so_binder_finish(binder, kind, error);
}

/* A case named "<something>.tok", ".flow" or ".hift" with a network of its own. */
static so_status one(so_codec_golden *b, const json_t *json, const json_t *config, so_error *error)
{
    const char *name = json_string_value(json_object_get(json, "name")), *kind = name ? strrchr(name, '.') : NULL;
    if (!name || !so_golden_wants(b->g, name)) return SO_OK;
    if (!kind || (strcmp(kind, ".tok") && strcmp(kind, ".flow") && strcmp(kind, ".hift"))) {
        so_golden_skip(b->g, name, NULL, "no case of this name is known");
        return SO_OK;
    }
    so_codec kept = b->codec;
    so_rng rng;
    so_rng_init(&rng, 1, 0);
    so_codec_part part = {0};
    b->codec = (so_codec){0};
    so_status status = so_codec_sizes(&b->codec, config, error);
    if (status == SO_OK) status = so_store_open(&part.store, 0, error);
    so_binder binder = {.store = &part.store, .rng = &rng};
    if (status == SO_OK) status = bind(b, kind + 1, &binder, error);
    for (int64_t i = 0; status == SO_OK && i < part.store.count; i++) fill(&part.store.weight[i]->tensor);
    b->json = json;
    b->name = name;
    if (status == SO_OK) compare_weights(b, &part.store);
    if (status == SO_OK) status = so_codec_golden_case(b, json, error);
    so_codec_part_close(&part);
    b->codec = kept;
    return status;
}

so_status so_codec_golden_real(so_codec_golden *b, so_error *error)
{
    char path[4096];
    if (access(so_golden_path(b->g, "real_shape.json", path), R_OK) != 0) return SO_OK;
    json_error_t where;
    so_safetensors *numbers = NULL, *kept = b->g->single;
    json_t *root = json_load_file(path, 0, &where), *json;
    if (!root) return so_fail(error, SO_ERR_FORMAT, "%s, line %d: %s", path, where.line, where.text);
    so_status status = so_safetensors_open(&numbers, so_golden_path(b->g, "real_shape.safetensors", path), error);
    size_t i;
    if (status == SO_OK) b->g->single = numbers;
    json_array_foreach(json_object_get(root, "cases"), i, json)
    {
        if (status == SO_OK) status = one(b, json, json_object_get(root, "config"), error);
    }
    b->g->single = kept;
    so_safetensors_close(&numbers);
    json_decref(root);
    return status;
}
