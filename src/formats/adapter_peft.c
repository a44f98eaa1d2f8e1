/* PEFT's folders of adapters.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/string.h"
#include "formats/adapter.h"
#include "formats/safetensors.h"

enum { PATH_ROOM = 4200, CONFIG_MOST = 1 << 20 };
#define PREFIX "base_model.model."

static void path_in(char path[PATH_ROOM], const char *folder, const char *name)
{
    snprintf(path, PATH_ROOM, "%.4000s/%s", folder, name);
}

/* ---- reading */

/* What a configuration says besides names. */
typedef struct rule {
    int64_t rank;
    double alpha, scale;
} rule;

static bool is_empty(const json_t *value)
{
    return !value || json_is_null(value) || json_is_false(value) ||
           (json_is_object(value) && !json_object_size(value)) || (json_is_array(value) && !json_array_size(value));
}

/* Settings under which the numbers would mean something else. */
static so_status check_kind(const json_t *config, const char *path, so_error *error)
{
    static const char *const strange[] = {
        "use_dora",         "modules_to_save", "rank_pattern", "alpha_pattern",           "fan_in_fan_out",
        "lora_bias",        "megatron_config", "use_qalora",   "alora_invocation_tokens", "trainable_token_indices",
        "target_parameters"};
    const char *type = json_string_value(json_object_get(config, "peft_type"));
    const char *bias = json_string_value(json_object_get(config, "bias"));
    if (!type || strcmp(type, "LORA") != 0)
        return so_fail(error, SO_ERR_UNSUPPORTED, "%s: an adapter of type '%.40s', expected LORA", path,
                       type ? type : "none");
    if (bias && strcmp(bias, "none") != 0)
        return so_fail(error, SO_ERR_UNSUPPORTED, "%s: bias '%.40s', expected none", path, bias);
    for (size_t i = 0; i < sizeof strange / sizeof *strange; i++)
        if (!is_empty(json_object_get(config, strange[i])))
            return so_fail(error, SO_ERR_UNSUPPORTED, "%s: '%s' is set, expected adapters of matrices alone", path,
                           strange[i]);
    return SO_OK;
}

static so_status read_rule(const json_t *config, const char *path, rule *r, so_error *error)
{
    r->rank = json_integer_value(json_object_get(config, "r"));
    r->alpha = json_number_value(json_object_get(config, "lora_alpha"));
    if (r->rank < 1 || r->rank > SO_ADAPTER_RANK_MOST || !(r->alpha > 0 && r->alpha < 1e6))
        return so_fail(error, SO_ERR_FORMAT, "%s: r %lld and lora_alpha %g, expected 1 to %d and more than 0", path,
                       (long long)r->rank, r->alpha, SO_ADAPTER_RANK_MOST);
    bool root = json_is_true(json_object_get(config, "use_rslora"));
    r->scale = r->alpha / (root ? sqrt((double)r->rank) : (double)r->rank);
    return SO_OK;
}

/* A list of names; a text is a pattern, or all-linear, and says nothing that the tensors do not. */
static so_status read_targets(so_adapter *adapter, const json_t *config, const char *path, so_error *error)
{
    const json_t *targets = json_object_get(config, "target_modules");
    so_string text = {0};
    if (json_is_string(targets) || is_empty(targets)) return SO_OK;
    so_status status = SO_OK;
    for (size_t i = 0; i < json_array_size(targets) && status == SO_OK; i++) {
        const char *name = json_string_value(json_array_get(targets, i));
        if (!name || !*name || strchr(name, ','))
            status = so_fail(error, SO_ERR_FORMAT, "%s: entry %zu of target_modules is no name", path, i);
        if (status == SO_OK && i) status = so_string_put(&text, ",", error);
        if (status == SO_OK) status = so_string_put(&text, name, error);
    }
    adapter->targets = text.data;
    return status;
}

static so_status read_config(so_adapter *adapter, const char *folder, rule *r, so_error *error)
{
    char path[PATH_ROOM], *text;
    size_t size;
    json_error_t where;
    path_in(path, folder, "adapter_config.json");
    SO_TRY(so_file_read(path, CONFIG_MOST, &text, &size, error));
    json_t *config = json_loadb(text, size, 0, &where);
    free(text);
    so_status status = SO_OK;
    if (!json_is_object(config))
        status = so_fail(error, SO_ERR_FORMAT, "%s: line %d: %s", path, config ? 1 : where.line,
                         config ? "expected an object" : where.text);
    if (status == SO_OK) status = check_kind(config, path, error);
    if (status == SO_OK) status = read_rule(config, path, r, error);
    if (status == SO_OK) status = read_targets(adapter, config, path, error);
    const char *model = json_string_value(json_object_get(config, "base_model_name_or_path"));
    if (status == SO_OK) adapter->model = strdup(model ? model : "");
    json_decref(config);
    return status;
}

/* The weight that "base_model.model.X.lora_A.weight" belongs to: "X.weight"; "" when the name has another form. */
static bool weight_of(const char *name, const char *which, char out[SO_VIEW_NAME_MAX + 1])
{
    static const char *const ends[] = {".weight", ".default.weight"};
    size_t n = strlen(name), w = strlen(which);
    out[0] = 0;
    if (strncmp(name, PREFIX, strlen(PREFIX)) != 0) return false;
    for (int i = 0; i < 2; i++) {
        size_t e = strlen(ends[i]);
        if (n < strlen(PREFIX) + w + e + 1 || strcmp(name + n - e, ends[i]) != 0) continue;
        if (strncmp(name + n - e - w, which, w) != 0) continue;
        snprintf(out, SO_VIEW_NAME_MAX + 1, "%.*s.weight", (int)(n - e - w - strlen(PREFIX)), name + strlen(PREFIX));
        return true;
    }
    return false;
}

/* The other half of a pair. */
static const so_view *half_of(const so_views *views, const char *weight, const char *which)
{
    char name[SO_VIEW_NAME_MAX + 1];
    for (int64_t i = 0; i < views->count; i++)
        if (weight_of(views->view[i].name, which, name) && strcmp(name, weight) == 0) return &views->view[i];
    return NULL;
}

static so_status read_pairs(so_adapter *adapter, const so_views *views, const rule *r, so_error *error)
{
    char weight[SO_VIEW_NAME_MAX + 1];
    for (int64_t i = 0; i < views->count; i++) {
        const so_view *v = &views->view[i];
        if (weight_of(v->name, ".lora_A", weight)) {
            so_adapter_pair about = {.name = weight, .rank = r->rank, .scale = (float)r->scale};
            SO_TRY(so_adapter_add_views(adapter, &about, v, half_of(views, weight, ".lora_B"), error));
        } else if (!weight_of(v->name, ".lora_B", weight)) {
            return so_fail(error, SO_ERR_UNSUPPORTED,
                           "'%s' is no half of an adapter (" PREFIX "WEIGHT.lora_A.weight or lora_B)", v->name);
        } else if (!half_of(views, weight, ".lora_A")) {
            return so_fail(error, SO_ERR_FORMAT, "'%s' has no lora_A", v->name);
        }
    }
    return SO_OK;
}

/* Whether "model.layers.0.self_attn.q_proj.weight" is of a module that ends as [n] of `target`. */
static bool ends_as(const char *weight, const char *target, size_t n)
{
    so_span module = so_adapter_module(weight);
    size_t length = (size_t)(module.data - weight) + module.length;
    if (length < n || memcmp(weight + length - n, target, n) != 0) return false;
    return length == n || weight[length - n - 1] == '.';
}

/* Every target has a matrix, and every matrix a target. */
static so_status check_targets(const so_adapter *adapter, so_error *error)
{
    const char *list = adapter->targets;
    for (const char *at = list; at && *at; at += strcspn(at, ","), at += *at == ',') {
        bool used = false;
        for (int64_t i = 0; i < adapter->count && !used; i++)
            used = ends_as(adapter->pair[i].name, at, strcspn(at, ","));
        if (!used)
            return so_fail(error, SO_ERR_FORMAT, "target_modules names '%.*s', of which there is no adapter",
                           (int)strcspn(at, ","), at);
    }
    for (int64_t i = 0; i < adapter->count && list; i++) {
        bool named = false;
        for (const char *at = list; *at && !named; at += strcspn(at, ","), at += *at == ',')
            named = ends_as(adapter->pair[i].name, at, strcspn(at, ","));
        if (!named)
            return so_fail(error, SO_ERR_FORMAT, "'%s' has an adapter, but target_modules does not name it (%s)",
                           adapter->pair[i].name, list);
    }
    return SO_OK;
}

static so_status open_tensors(so_safetensors **file, char path[PATH_ROOM], const char *folder, so_error *error)
{
    path_in(path, folder, "adapter_model.bin");
    bool pickled = access(path, F_OK) == 0;
    path_in(path, folder, "adapter_model.safetensors");
    if (pickled && access(path, F_OK) != 0)
        return so_fail(
            error, SO_ERR_UNSUPPORTED,
            "%s holds adapter_model.bin alone: save_pretrained(..., safe_serialization=True) writes the form "
            "that is read here",
            folder);
    return so_safetensors_open(file, path, error);
}

so_status so_adapter_read_peft(so_adapter *adapter, const char *folder, so_error *error)
{
    char path[PATH_ROOM];
    rule r = {0};
    so_safetensors *file = NULL;
    SO_TRY(read_config(adapter, folder, &r, error));
    if (!adapter->model) return so_fail(error, SO_ERR_NOMEM, "no memory for an adapter");
    SO_TRY(open_tensors(&file, path, folder, error));
    so_status status = read_pairs(adapter, so_safetensors_views(file), &r, error);
    if (status == SO_OK) status = check_targets(adapter, error);
    so_safetensors_close(&file);
    return status == SO_OK ? SO_OK : so_fail_in(error, "%s", path);
}

/* ---- writing */

static so_status check_alike(const so_adapter *adapter, so_error *error)
{
    const so_adapter_pair *p = adapter->pair;
    for (int64_t i = 1; i < adapter->count; i++)
        if (p[i].rank != p->rank || !(fabsf(p[i].scale - p->scale) <= 1e-6f * p->scale))
            return so_fail(error, SO_ERR_ARG,
                           "'%s' has rank %lld and scale %g, '%s' rank %lld and %g: one for all is "
                           "expected in a folder",
                           p->name, (long long)p->rank, (double)p->scale, p[i].name, (long long)p[i].rank,
                           (double)p[i].scale);
    return adapter->count ? SO_OK : so_fail(error, SO_ERR_ARG, "an adapter of no matrices");
}

static so_status save_config(const so_adapter *adapter, const char *folder, so_error *error)
{
    char path[PATH_ROOM];
    const so_adapter_pair *p = adapter->pair;
    json_t *targets = json_array();
    for (int64_t i = 0; i < adapter->count; i++) {
        so_span module = so_adapter_module(p[i].name);
        json_t *name = json_stringn(module.data, module.length);
        bool there = false;
        for (size_t j = 0; j < json_array_size(targets); j++)
            there |= json_equal(json_array_get(targets, j), name) != 0;
        there ? json_decref(name) : (void)json_array_append_new(targets, name);
    }
    json_t *config =
        json_pack("{ss ss ss sI sf sf ss sb sb so}", "peft_type", "LORA", "task_type", "CAUSAL_LM",
                  "base_model_name_or_path", adapter->model ? adapter->model : "", "r", (json_int_t)p->rank,
                  "lora_alpha", (double)p->scale * (double)p->rank, "lora_dropout", 0.0, "bias", "none",
                  "fan_in_fan_out", 0, "inference_mode", 1, "target_modules", targets);
    char *text = config ? json_dumps(config, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(config);
    if (!text) return so_fail(error, SO_ERR_NOMEM, "no memory for an adapter's configuration");
    path_in(path, folder, "adapter_config.json");
    so_status status = so_file_write(path, text, strlen(text), error);
    free(text);
    return status;
}

static void half_name(char out[SO_VIEW_NAME_MAX + 1], const char *weight, const char *which)
{
    size_t n = strlen(weight) - strlen("weight");
    snprintf(out, SO_VIEW_NAME_MAX + 1, PREFIX "%.*s%s.weight", (int)n, weight, which);
}

static so_status put_pairs(const so_adapter *adapter, so_safetensors_writer *writer, so_error *error)
{
    char name[SO_VIEW_NAME_MAX + 1];
    SO_TRY(so_safetensors_set(writer, "format", "pt", error));
    for (int turn = 0; turn < 2; turn++)
        for (int64_t i = 0; i < 2 * adapter->count; i++) {
            const so_adapter_pair *p = &adapter->pair[i / 2];
            bool b = i % 2;
            int64_t dim[2] = {b ? p->n : p->rank, b ? p->rank : p->k};
            half_name(name, p->name, b ? "lora_B" : "lora_A");
            if (!turn)
                SO_TRY(so_safetensors_declare(writer, name, SO_F32, 2, dim, error));
            else
                SO_TRY(so_safetensors_put(writer, name, b ? p->b : p->a, (size_t)(dim[0] * dim[1]) * sizeof(float),
                                          error));
        }
    return SO_OK;
}

so_status so_adapter_save_peft(const so_adapter *adapter, const char *folder, so_error *error)
{
    char path[PATH_ROOM];
    so_safetensors_writer *writer;
    SO_TRY(check_alike(adapter, error));
    SO_TRY(so_make_folder(folder, error));
    path_in(path, folder, "adapter_model.safetensors");
    SO_TRY(so_safetensors_create(&writer, path, error));
    so_status status = put_pairs(adapter, writer, error);
    if (status == SO_OK) status = so_safetensors_commit(&writer, error);
    so_safetensors_drop(&writer);
    return status == SO_OK ? save_config(adapter, folder, error) : status;
}
