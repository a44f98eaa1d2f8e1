/* Configurations: config.json and GGUF key-values.
 * SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/config.h"

#include "base/guess.h"
#include "base/own.h"
#include "checkpoint/config_check.h"

#include <jansson.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum kind { INTEGER, NUMBER, TEXT } kind;
typedef enum section { ROOT, ROPE, VISION } section;

typedef struct field {
    section section;
    const char *name; /* in config.json; behind "stream_omni." or "stream_omni.vision." in GGUF */
    kind kind;
    size_t offset, size; /* size of a text's buffer */
    bool required;
    double value; /* when absent */
    double least, most;
} field;

#define AT(member) offsetof(so_setup, member)
#define COUNT(section, name, member, required, value, most)                                                            \
    {                                                                                                                  \
        section, name, INTEGER, AT(member), 0, required, value, 0, most                                                \
    }
#define REAL(section, name, member, required, value, least, most)                                                      \
    {                                                                                                                  \
        section, name, NUMBER, AT(member), 0, required, value, least, most                                             \
    }
#define WORDS(name, member)                                                                                            \
    {                                                                                                                  \
        ROOT, name, TEXT, AT(member), sizeof((so_setup *)0)->member, false, 0, 0, 0                                    \
    }

/* Defaults of the vision tower are SigLIP so400m patch14-384's. */
static const field fields[] = {
    COUNT(ROOT, "hidden_size", omni.llama.width, true, 0, 1 << 20),
    COUNT(ROOT, "intermediate_size", omni.llama.ff, true, 0, 1 << 22),
    COUNT(ROOT, "num_attention_heads", omni.llama.heads, true, 0, 1 << 12),
    COUNT(ROOT, "num_key_value_heads", omni.llama.kv_heads, false, 0, 1 << 12),
    COUNT(ROOT, "head_dim", omni.llama.head_width, false, 0, 1 << 16),
    COUNT(ROOT, "num_hidden_layers", omni.backbone, true, 0, 4096),
    COUNT(ROOT, "num_bottom_audio_layers", omni.bottom, false, 3, 4096),
    COUNT(ROOT, "num_top_audio_layers", omni.top, false, 5, 4096),
    REAL(ROOT, "rms_norm_eps", omni.llama.rms_eps, true, 1e-5, 0, 1),
    REAL(ROOT, "rope_theta", omni.llama.rope_theta, true, 500000, 1, 1e12),
    REAL(ROPE, "factor", omni.llama.rope_factor, false, 1, 1, 1e6),
    REAL(ROPE, "low_freq_factor", omni.llama.rope_low, false, 1, 1e-6, 1e6),
    REAL(ROPE, "high_freq_factor", omni.llama.rope_high, false, 4, 1e-6, 1e6),
    REAL(ROPE, "original_max_position_embeddings", omni.llama.rope_original, false, 8192, 1, 1e9),
    COUNT(ROOT, "max_position_embeddings", context, false, 131072, 1 << 30),
    COUNT(ROOT, "tokenizer_model_max_length", length_limit, false, 0, 1 << 30),
    COUNT(ROOT, "audio_vocab_size", audio_vocab, false, 0, 1 << 24),
    COUNT(ROOT, "text_lookahead", lookahead, false, 0, 1 << 16),
    COUNT(ROOT, "text_window", window, false, 0, 1 << 16),
    COUNT(ROOT, "units_per_token", units_per_token, false, 0, 1 << 20),
    COUNT(ROOT, "speech_history", speech_history, false, 1, 1),
    WORDS("model_name", name),
    WORDS("system_prompt", system),
    WORDS("image_aspect_ratio", aspect),
    WORDS("mm_patch_merge_type", merge),
    WORDS("image_grid_pinpoints", pinpoints),
    WORDS("mm_vision_tower", tower),
    WORDS("speech_fusion", fuse),
    COUNT(VISION, "hidden_size", omni.siglip.width, false, 1152, 1 << 20),
    COUNT(VISION, "intermediate_size", omni.siglip.ff, false, 4304, 1 << 22),
    COUNT(VISION, "num_attention_heads", omni.siglip.heads, false, 16, 1 << 12),
    COUNT(VISION, "num_hidden_layers", omni.siglip.layers, false, 27, 4096),
    COUNT(VISION, "image_size", omni.siglip.image, false, 384, 4096),
    COUNT(VISION, "patch_size", omni.siglip.patch, false, 14, 4096),
    REAL(VISION, "layer_norm_eps", omni.siglip.norm_eps, false, 1e-6, 0, 1),
};
enum { FIELDS = sizeof fields / sizeof *fields };

static void *at(const so_setup *setup, const field *f) { return (char *)so_mutable(setup) + f->offset; }

static so_status put_number(so_setup *setup, const field *f, double value, so_error *error)
{
    if (!(value >= f->least && value <= f->most))
        return so_fail(error, SO_ERR_FORMAT, "configuration: '%s' is %g, expected %g to %g", f->name, value, f->least,
                       f->most);
    if (f->kind == INTEGER)
        *(int64_t *)at(setup, f) = (int64_t)value;
    else
        *(double *)at(setup, f) = value;
    return SO_OK;
}

static so_status put_text(so_setup *setup, const field *f, const char *text, size_t length, so_error *error)
{
    if (length >= f->size || memchr(text, 0, length))
        return so_fail(error, SO_ERR_LIMIT, "configuration: '%s' has %zu bytes, at most %zu are read", f->name, length,
                       f->size - 1);
    memcpy(at(setup, f), text, length);
    ((char *)at(setup, f))[length] = 0;
    return SO_OK;
}

static so_status absent(so_setup *setup, const field *f, so_error *error)
{
    if (f->required) return so_fail(error, SO_ERR_MISSING, "configuration: '%s' is missing", f->name);
    return f->kind == TEXT ? SO_OK : put_number(setup, f, f->value, error);
}

static so_status add_stop(so_setup *setup, const json_t *id, so_error *error)
{
    if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) > INT32_MAX)
        return so_fail(error, SO_ERR_FORMAT, "configuration: 'eos_token_id' is neither an id nor a list of ids");
    if (setup->n_stop == SO_MAX_STOPS)
        return so_fail(error, SO_ERR_LIMIT, "configuration: more than %d ids in 'eos_token_id'", SO_MAX_STOPS);
    setup->stop[setup->n_stop++] = (int32_t)json_integer_value(id);
    return SO_OK;
}

static so_status read_stops(so_setup *setup, const json_t *root, so_error *error)
{
    const json_t *eos = json_object_get(root, "eos_token_id"), *id;
    size_t i;
    if (!eos || json_is_null(eos)) return SO_OK;
    setup->n_stop = 0;
    if (!json_is_array(eos)) return add_stop(setup, eos, error);
    json_array_foreach(eos, i, id) SO_TRY(add_stop(setup, id, error));
    return SO_OK;
}

static so_status read_json(so_setup *setup, const json_t *root, const field *f, so_error *error)
{
    const json_t *object = f->section == ROOT   ? root
                           : f->section == ROPE ? so_config_rope(root)
                                                : json_object_get(root, "vision_config");
    const json_t *value =
        f->offset == AT(omni.llama.rope_theta) ? so_config_theta(root) : json_object_get(object, f->name);
    if ((!value || json_is_null(value)) && f->section == VISION)
        return put_number(setup, f, so_config_tower_default(root, f->name, f->value), error);
    if (!value || json_is_null(value)) return absent(setup, f, error);
    if (f->kind != TEXT) {
        if (f->kind == INTEGER ? !json_is_integer(value) : !json_is_number(value))
            return so_fail(error, SO_ERR_FORMAT, "configuration: '%s' is not a number", f->name);
        return put_number(setup, f, json_number_value(value), error);
    }
    if (json_is_string(value)) return put_text(setup, f, json_string_value(value), json_string_length(value), error);
    char *text = json_dumps(value, JSON_ENCODE_ANY); /* pinpoints may be a list */
    if (!text) return so_fail(error, SO_ERR_NOMEM, "no memory for '%s'", f->name);
    so_status status = put_text(setup, f, text, strlen(text), error);
    free(text);
    return status;
}

static so_status settle(so_setup *setup, so_error *error)
{
    so_omni_config *c = &setup->omni;
    so_llama_config *l = &c->llama;
    if (l->width < 1 || l->heads < 1) return so_fail(error, SO_ERR_FORMAT, "configuration: no width or no heads");
    if (!l->kv_heads) l->kv_heads = l->heads;
    if (!l->head_width) l->head_width = l->width / l->heads;
    if (l->heads % l->kv_heads || l->head_width < 2 || l->head_width % 2)
        return so_fail(error, SO_ERR_FORMAT, "configuration: %lld heads of width %lld over %lld key heads",
                       (long long)l->heads, (long long)l->head_width, (long long)l->kv_heads);
    if (l->rope_factor > 1 && l->rope_high <= l->rope_low)
        return so_fail(error, SO_ERR_FORMAT, "configuration: rope factors %g to %g", l->rope_low, l->rope_high);
    so_siglip_config *v = &c->siglip;
    c->vision = setup->tower[0] != 0;
    if (c->vision && (v->width < 1 || v->heads < 1 || v->width % v->heads || v->patch < 1 || v->image < v->patch))
        return so_fail(error, SO_ERR_FORMAT, "configuration: a vision tower of width %lld, %lld heads, %lld pixels",
                       (long long)v->width, (long long)v->heads, (long long)v->image);
    if (!setup->fuse[0] || strcmp(setup->fuse, "cross") == 0)
        c->fuse = SO_FUSE_CROSS;
    else if (strcmp(setup->fuse, "add_input") == 0)
        c->fuse = SO_FUSE_ADD_INPUT;
    else if (strcmp(setup->fuse, "add_layer") == 0)
        c->fuse = SO_FUSE_ADD_LAYER;
    else
        return so_fail(error, SO_ERR_UNSUPPORTED, "configuration: speech_fusion '%s'", setup->fuse);
    return SO_OK;
}

static so_status read_root(so_setup *setup, const json_t *root, so_error *error)
{
    const char *type = json_string_value(json_object_get(root, "model_type"));
    if (type && strcmp(type, "stream_omni_llama") != 0)
        return so_fail(error, SO_ERR_UNSUPPORTED, "configuration: model_type '%.60s', expected 'stream_omni_llama'",
                       type);
    SO_TRY(so_config_check(root, error));
    for (int i = 0; i < FIELDS; i++) SO_TRY(read_json(setup, root, &fields[i], error));
    SO_TRY(read_stops(setup, root, error));
    if (setup->omni.siglip.layers > 0) setup->omni.siglip.layers--; /* the last layer's output is never used */
    return settle(setup, error);
}

static so_status parse(json_t **root, const char *text, const char *what, so_error *error)
{
    json_error_t where;
    *root = NULL;
    if (so_refuse_strange_text(text, strlen(text), error) != SO_OK) return so_fail_in(error, "%s", what);
    *root = json_loads(text, JSON_REJECT_DUPLICATES, &where);
    if (!*root || !json_is_object(*root)) {
        json_decref(*root);
        *root = NULL;
        return so_fail(error, SO_ERR_FORMAT, "%s, line %d: %s", what, where.line, where.text);
    }
    return SO_OK;
}

so_status so_setup_parse(so_setup *setup, const char *config, const char *generation, so_error *error)
{
    json_t *root = NULL;
    *setup = (so_setup){0};
    SO_TRY(parse(&root, config, "config.json", error));
    so_status status = read_root(setup, root, error);
    json_decref(root);
    if (status != SO_OK || !generation) return status;
    SO_TRY(parse(&root, generation, "generation_config.json", error));
    status = read_stops(setup, root, error);
    json_decref(root);
    return status;
}

static const char *full_key(const field *f, char *key, size_t size)
{
    static const char *const part[] = {"", "rope_scaling.", "vision."};
    snprintf(key, size, "stream_omni.%s%s", part[f->section], f->name);
    return key;
}

static so_status read_gguf(so_setup *setup, const so_gguf *gguf, const field *f, so_error *error)
{
    char key[128];
    full_key(f, key, sizeof key);
    if (!so_gguf_has(gguf, key)) return absent(setup, f, error);
    so_span text;
    int64_t integer = 0;
    float number = 0;
    switch (f->kind) {
    case TEXT:
        SO_TRY(so_gguf_string(gguf, key, &text, error));
        return put_text(setup, f, text.data, text.length, error);
    case INTEGER:
        SO_TRY(so_gguf_i64(gguf, key, &integer, error));
        return put_number(setup, f, (double)integer, error);
    default:
        SO_TRY(so_gguf_f32(gguf, key, &number, error));
        /* 1e-5 stored as float is 1e-5 again: the shortest decimal of the float is what was meant. */
        char digits[32];
        snprintf(digits, sizeof digits, "%.7g", (double)number);
        return put_number(setup, f, strtod(digits, NULL), error);
    }
}

so_status so_setup_load(so_setup *setup, const so_gguf *gguf, so_error *error)
{
    so_span name;
    so_gguf_array stops;
    *setup = (so_setup){0};
    SO_TRY(so_gguf_string(gguf, "general.architecture", &name, error));
    if (name.length != 11 || memcmp(name.data, "stream_omni", 11) != 0)
        return so_fail(error, SO_ERR_UNSUPPORTED, "a GGUF file of architecture '%.*s', expected 'stream_omni'",
                       SO_SPAN_ARGS(name));
    for (int i = 0; i < FIELDS; i++) SO_TRY(read_gguf(setup, gguf, &fields[i], error));
    if (so_gguf_has(gguf, "stream_omni.stop_ids")) {
        SO_TRY(so_gguf_array_of(gguf, "stream_omni.stop_ids", SO_GGUF_I32, &stops, error));
        if (stops.n > SO_MAX_STOPS) return so_fail(error, SO_ERR_LIMIT, "more than %d stop ids", SO_MAX_STOPS);
        for (int64_t i = 0; i < stops.n; i++) setup->stop[setup->n_stop++] = so_gguf_i32_at(&stops, i);
    }
    if (setup->omni.siglip.layers > 0) setup->omni.siglip.layers--;
    return settle(setup, error);
}

/* The published files count the unused last layer of the tower. */
static int64_t written_integer(const so_setup *setup, const field *f)
{
    int64_t value = *(int64_t *)at(setup, f);
    return f->offset == AT(omni.siglip.layers) ? value + 1 : value;
}

so_status so_setup_save(const so_setup *setup, so_gguf_writer *writer, so_error *error)
{
    SO_TRY(so_gguf_set_string(writer, "general.architecture", "stream_omni", error));
    if (setup->name[0]) SO_TRY(so_gguf_set_string(writer, "general.name", setup->name, error));
    for (int i = 0; i < FIELDS; i++) {
        const field *f = &fields[i];
        char key[128];
        full_key(f, key, sizeof key);
        if (f->section == VISION && !setup->omni.vision) continue;
        if (f->kind == INTEGER)
            SO_TRY(so_gguf_set_i64(writer, key, written_integer(setup, f), error));
        else if (f->kind == NUMBER)
            SO_TRY(so_gguf_set_f32(writer, key, (float)*(double *)at(setup, f), error));
        else if (*(char *)at(setup, f))
            SO_TRY(so_gguf_set_string(writer, key, at(setup, f), error));
    }
    return so_gguf_set_i32s(writer, "stream_omni.stop_ids", setup->stop, setup->n_stop, error);
}

so_status so_setup_print(const so_setup *setup, char **text, so_error *error)
{
    json_t *root = json_object(), *rope = json_object(), *vision = json_object(), *stops = json_array();
    json_object_set_new(root, "model_type", json_string("stream_omni_llama"));
    for (int i = 0; i < FIELDS; i++) {
        const field *f = &fields[i];
        json_t *into = f->section == ROOT ? root : f->section == ROPE ? rope : vision;
        if (f->kind == INTEGER)
            json_object_set_new(into, f->name, json_integer(written_integer(setup, f)));
        else if (f->kind == NUMBER)
            json_object_set_new(into, f->name, json_real(*(double *)at(setup, f)));
        else if (*(char *)at(setup, f))
            json_object_set_new(into, f->name, json_string(at(setup, f)));
    }
    json_object_set_new(rope, "rope_type", json_string("llama3"));
    for (int64_t i = 0; i < setup->n_stop; i++) json_array_append_new(stops, json_integer(setup->stop[i]));
    json_object_set_new(root, "eos_token_id", stops);
    json_object_set_new(root, "rope_scaling", rope);
    json_object_set_new(root, "vision_config", vision);
    *text = json_dumps(root, JSON_INDENT(2));
    json_decref(root);
    return *text ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for a configuration");
}

static int64_t rows_of(const so_views *views, const char *name)
{
    const so_view *view = so_views_find(views, name);
    return view && view->n_dims == 2 ? view->dim[0] : 0;
}

/* Trainers leave words before every name: the one before the name that is missing is told. */
static so_status no_table(const so_views *views, so_error *error)
{
    static const char name[] = "model.embed_tokens.weight";
    size_t n = sizeof name - 1;
    for (int64_t i = 0; i < views->count; i++) {
        const char *found = views->view[i].name;
        size_t length = strlen(found);
        if (length > n && strcmp(found + length - n, name) == 0)
            return so_fail(error, SO_ERR_MISSING,
                           "'%s' is missing, there is '%.200s': the checkpoint was saved from within a wrapper "
                           "(DistributedDataParallel, torch.compile or PEFT); save the model inside it",
                           name, found);
    }
    return so_fail(error, SO_ERR_MISSING, "'%s' is missing", name);
}

so_status so_setup_measure(so_setup *setup, const so_views *views, so_error *error)
{
    so_omni_config *c = &setup->omni;
    c->text_rows = rows_of(views, "model.embed_tokens.weight");
    c->audio_rows = rows_of(views, "model.audio_embed_tokens.weight");
    c->speech = c->audio_rows > 0;
    if (!c->text_rows) return no_table(views, error);
    /* A file without any tensor of the tower is one for text and speech. */
    if (c->vision && !so_views_find(views, "model.mm_projector.0.weight")) c->vision = false;
    return SO_OK;
}

so_status so_setup_pictures(const so_setup *setup, so_image_spec *spec, so_error *error)
{
    SO_TRY(so_image_spec_init(spec, (int)setup->omni.siglip.image, error));
    if (setup->aspect[0]) SO_TRY(so_image_spec_set_mode(spec, setup->aspect, error));
    if (setup->pinpoints[0]) SO_TRY(so_image_spec_set_pinpoints(spec, setup->pinpoints, error));
    return SO_OK;
}
