/* Low-rank adapters and PEFT's files of them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "models/lora.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "formats/safetensors.h"

static const char *const modules[] = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"};
enum { MODULES = sizeof modules / sizeof *modules };
#define PEFT_PREFIX "base_model.model."

typedef struct pair {
    so_tensor *a, *b;
} pair;

static const so_bind_row pair_table[] = {
    {offsetof(pair, a), "lora_A.weight", "R K", "lora", SO_INIT_FAN_IN, 1, false},
    {offsetof(pair, b), "lora_B.weight", "N R", "lora", SO_INIT_VALUE, 0, false},
};

/* Whether a list with commas between has the word [n]. */
static bool listed(const char *list, const char *word, size_t n)
{
    for (const char *at = list; *at; at += strcspn(at, ","), at += *at == ',')
        if (strcspn(at, ",") == n && strncmp(at, word, n) == 0) return true;
    return false;
}

static so_status check_targets(const char *targets, so_error *error)
{
    char all[96] = "";
    for (int i = 0; i < MODULES; i++) {
        strcat(all, i ? "," : "");
        strcat(all, modules[i]);
    }
    for (const char *at = targets; *at; at += strcspn(at, ","), at += *at == ',')
        if (!listed(all, at, strcspn(at, ",")))
            return so_fail(error, SO_ERR_ARG, "no matrix '%.*s' to adapt; there are %s", (int)strcspn(at, ","), at,
                           all);
    return SO_OK;
}

/* "q_proj" of "model.layers.0.self_attn.q_proj.weight"; *n is its length, 0 when the name has another form. */
static const char *module_of(const char *name, size_t *n)
{
    const char *end = strrchr(name, '.'), *from = end;
    *n = 0;
    if (!end || strcmp(end, ".weight") != 0) return name;
    while (from > name && from[-1] != '.') from--;
    *n = (size_t)(end - from);
    return from;
}

static bool adapted(const so_weight *w, const char *group, const char *targets)
{
    size_t n;
    const char *module = module_of(w->tensor.name, &n);
    return n && (!group || strcmp(w->group, group) == 0) && w->tensor.n_dims == 2 && listed(targets, module, n);
}

static so_status open_set(so_lora_set *set, const so_store *base, int rank, double alpha, so_error *error)
{
    memset(set, 0, sizeof *set);
    if (rank < 1 || rank > SO_LORA_RANK_MOST || !(alpha > 0 && alpha < 1e6))
        return so_fail(error, SO_ERR_ARG, "an adapter of rank %d and alpha %g, expected 1 to %d and more than 0", rank,
                       alpha, SO_LORA_RANK_MOST);
    set->rank = rank;
    set->alpha = alpha;
    set->lora = calloc((size_t)base->count + 1, sizeof *set->lora);
    set->of = calloc((size_t)base->count + 1, sizeof(so_tensor *));
    SO_TRY(so_store_open(&set->store, 0, error));
    return set->lora && set->of ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for adapters");
}

/* Binds one pair and attaches it. */
static so_status attach(so_lora_set *set, so_weight *w, so_binder *binder, so_error *error)
{
    char prefix[512];
    pair p;
    size_t n = strlen(w->tensor.name) - strlen("weight");
    snprintf(prefix, sizeof prefix, PEFT_PREFIX "%.*s", (int)n, w->tensor.name);
    binder->sizes.of['R'] = set->rank;
    binder->sizes.of['N'] = w->tensor.dim[0];
    binder->sizes.of['K'] = w->tensor.dim[1];
    int problems = binder->problems;
    SO_TRY(SO_BIND(binder, prefix, 0, pair_table, &p, error));
    if (binder->problems > problems) return SO_OK; /* the binder tells of all at the end */
    set->lora[set->count] = (so_lora){p.a, p.b, (so_real)(set->alpha / set->rank)};
    set->of[set->count] = &w->tensor;
    w->tensor.lora = &set->lora[set->count++];
    return SO_OK;
}

static so_status attach_all(so_lora_set *set, so_store *base, const char *group, so_binder *binder, so_error *error)
{
    for (int64_t i = 0; i < base->count; i++)
        if (adapted(base->weight[i], group, set->targets)) SO_TRY(attach(set, base->weight[i], binder, error));
    SO_TRY(so_binder_finish(binder, "the adapter", error));
    if (set->count) return SO_OK;
    return so_fail(error, SO_ERR_MISSING, "no weight of '%s' is one of %s", group ? group : "the model", set->targets);
}

so_status so_lora_make(so_lora_set *set, so_store *base, const char *group, const so_lora_options *options,
                       uint64_t seed, so_error *error)
{
    static const so_lora_options none;
    if (!options) options = &none;
    int rank = options->rank ? options->rank : 8;
    so_rng rng;
    so_rng_init(&rng, seed, 0x6c6f7261);
    so_status status = open_set(set, base, rank, options->alpha > 0 ? options->alpha : 2.0 * rank, error);
    if (status == SO_OK && options->targets) status = check_targets(options->targets, error);
    for (int i = 0; i < MODULES && status == SO_OK; i++) {
        if (options->targets && !listed(options->targets, modules[i], strlen(modules[i]))) continue;
        if (set->targets[0]) strcat(set->targets, ",");
        strcat(set->targets, modules[i]);
    }
    so_binder binder = {.store = &set->store, .rng = &rng};
    if (status == SO_OK) status = attach_all(set, base, group, &binder, error);
    if (status != SO_OK) so_lora_close(set);
    return status;
}

void so_lora_close(so_lora_set *set)
{
    for (int64_t i = 0; i < set->count; i++) set->of[i]->lora = NULL;
    so_store_close(&set->store);
    free(set->lora);
    free(set->of);
    memset(set, 0, sizeof *set);
}

/* ---- files */

static void path_in(char path[1200], const char *folder, const char *name)
{
    snprintf(path, 1200, "%.1000s/%s", folder, name);
}

static so_status save_config(const so_lora_set *set, const char *folder, const char *model, so_error *error)
{
    char path[1200];
    json_t *targets = json_array();
    for (const char *at = set->targets; *at; at += strcspn(at, ","), at += *at == ',')
        json_array_append_new(targets, json_stringn(at, strcspn(at, ",")));
    json_t *config = json_pack("{ss ss ss si sf sf ss sb sb so}", "peft_type", "LORA", "task_type", "CAUSAL_LM",
                               "base_model_name_or_path", model ? model : "", "r", set->rank, "lora_alpha", set->alpha,
                               "lora_dropout", 0.0, "bias", "none", "fan_in_fan_out", 0, "inference_mode", 1,
                               "target_modules", targets);
    char *text = config ? json_dumps(config, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(config);
    if (!text) return so_fail(error, SO_ERR_NOMEM, "no memory for an adapter's configuration");
    path_in(path, folder, "adapter_config.json");
    so_status status = so_file_write(path, text, strlen(text), error);
    free(text);
    return status;
}

so_status so_lora_save(const so_lora_set *set, const char *folder, const char *model, so_error *error)
{
    char path[1200];
    so_safetensors_writer *writer;
    SO_TRY(so_make_folder(folder, error));
    path_in(path, folder, "adapter_model.safetensors");
    SO_TRY(so_safetensors_create(&writer, path, error));
    so_status status = so_safetensors_set(writer, "format", "pt", error);
    for (int64_t i = 0; i < set->store.count && status == SO_OK; i++) {
        const so_tensor *t = &set->store.weight[i]->tensor;
        status = so_safetensors_declare(writer, t->name, SO_F32, 2, t->dim, error);
    }
    for (int64_t i = 0; i < set->store.count && status == SO_OK; i++) {
        const so_tensor *t = &set->store.weight[i]->tensor;
        status = so_safetensors_put(writer, t->name, t->data, (size_t)so_count(t) * sizeof(float), error);
    }
    if (status == SO_OK) status = so_safetensors_commit(&writer, error);
    so_safetensors_drop(&writer);
    return status == SO_OK ? save_config(set, folder, model, error) : status;
}

/* Rank, alpha and targets of a configuration. */
static so_status read_config(so_lora_set *set, const so_store *base, const char *path, so_error *error)
{
    char *text;
    size_t size;
    json_error_t where;
    SO_TRY(so_file_read(path, 1 << 20, &text, &size, error));
    json_t *config = json_loadb(text, size, 0, &where);
    free(text);
    if (!json_is_object(config)) {
        json_decref(config);
        return so_fail(error, SO_ERR_FORMAT, "%s: line %d: %s", path, where.line, where.text);
    }
    const char *type = json_string_value(json_object_get(config, "peft_type"));
    const json_t *targets = json_object_get(config, "target_modules");
    so_status status =
        type && strcmp(type, "LORA") == 0 && json_is_array(targets)
            ? SO_OK
            : so_fail(error, SO_ERR_FORMAT, "%s: an adapter of type %.40s, expected LORA with a list of target_modules",
                      path, type ? type : "none");
    if (status == SO_OK)
        status = open_set(set, base, (int)json_integer_value(json_object_get(config, "r")),
                          json_number_value(json_object_get(config, "lora_alpha")), error);
    for (size_t i = 0; status == SO_OK && i < json_array_size(targets); i++) {
        const char *module = json_string_value(json_array_get(targets, i));
        size_t used = strlen(set->targets);
        if (!module || used + strlen(module) + 2 > sizeof set->targets)
            status = so_fail(error, SO_ERR_FORMAT, "%s: target_modules has no such matrix as '%.40s'", path,
                             module ? module : "?");
        else
            snprintf(set->targets + used, sizeof set->targets - used, "%s%s", used ? "," : "", module);
    }
    json_decref(config);
    return status == SO_OK ? check_targets(set->targets, error) : status;
}

so_status so_lora_load(so_lora_set *set, so_store *base, const char *folder, so_error *error)
{
    char path[1200];
    so_safetensors *file;
    memset(set, 0, sizeof *set);
    path_in(path, folder, "adapter_config.json");
    so_status status = read_config(set, base, path, error);
    if (status != SO_OK) {
        so_lora_close(set);
        return status;
    }
    path_in(path, folder, "adapter_model.safetensors");
    status = so_safetensors_open(&file, path, error);
    if (status == SO_OK) {
        so_binder binder = {
            .store = &set->store, .source = so_safetensors_views(file), .expand = true, .check_finite = true};
        status = attach_all(set, base, NULL, &binder, error);
        /* What lies in the map goes with the file. */
        for (int64_t i = 0; i < set->store.count && status == SO_OK; i++) {
            so_tensor *t = &set->store.weight[i]->tensor;
            void *copy = so_arena_alloc(&set->store.memory, (size_t)so_count(t) * sizeof(so_real));
            if (!copy) status = so_fail(error, SO_ERR_NOMEM, "no memory for an adapter");
            if (copy) t->data = memcpy(copy, t->data, (size_t)so_count(t) * sizeof(so_real));
        }
        if (status == SO_OK && binder.source->count != set->store.count)
            status = so_fail(error, SO_ERR_FORMAT, "%s holds %lld tensors, but %lld belong to matrices of this model",
                             path, (long long)binder.source->count, (long long)set->store.count);
        so_safetensors_close(&file);
    }
    if (status != SO_OK) so_lora_close(set);
    return status;
}

so_status so_lora_merge(so_lora_set *set, so_error *error)
{
    for (int64_t i = 0; i < set->count; i++)
        if (set->of[i]->type != SO_F32)
            return so_fail(error, SO_ERR_TYPE, "'%s' is stored as %s; adapters are added to f32 only", set->of[i]->name,
                           so_type_about(set->of[i]->type)->name);
    for (int64_t i = 0; i < set->count; i++) {
        const so_lora *l = &set->lora[i];
        int64_t n = set->of[i]->dim[0], k = set->of[i]->dim[1], r = set->rank;
        for (int64_t row = 0; row < n; row++)
            for (int64_t j = 0; j < r; j++) {
                so_real by = l->scale * so_data(l->b)[row * r + j], *w = so_data(set->of[i]) + row * k;
                for (int64_t c = 0; c < k; c++) w[c] += by * so_data(l->a)[j * k + c];
            }
        set->of[i]->lora = NULL;
    }
    return SO_OK;
}
