/* Adapters on their way between forms, and into the weights they are for.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "checkpoint/convert_gguf.h"

static so_status check_fits(const so_adapter *adapter, const so_source *source, so_error *error)
{
    char found[96];
    for (int64_t i = 0; i < adapter->count; i++) {
        const so_adapter_pair *p = &adapter->pair[i];
        const so_view *v = so_views_find(&source->views, p->name);
        if (!v) return so_fail(error, SO_ERR_FORMAT, "the adapter is for '%s', which the model does not have", p->name);
        if (v->n_dims != 2 || v->dim[0] != p->n || v->dim[1] != p->k)
            return so_fail(error, SO_ERR_FORMAT, "the adapter of '%s' is for [%lld, %lld], and the model has %s",
                           p->name, (long long)p->n, (long long)p->k, so_view_describe(v, found, sizeof found));
    }
    return SO_OK;
}

so_status so_convert_open_adapter(so_adapter *adapter, const char *path, const so_source *source, so_error *error)
{
    const so_llama_config *c = &source->setup.omni.llama;
    SO_TRY(so_adapter_open(adapter, path, error));
    so_status status = so_adapter_turn(adapter, c->heads, c->kv_heads, error);
    if (status == SO_OK) status = check_fits(adapter, source, error);
    if (status == SO_OK) return SO_OK;
    so_adapter_close(adapter);
    return so_fail_in(error, "%s", path);
}

static void tell(const so_convert_options *options, const char *line)
{
    if (options && options->note) options->note(options->context, line);
}

so_status so_convert_tell_merged(const so_convert_job *job, so_error *error)
{
    char line[256];
    int64_t rounded[SO_TYPE_COUNT] = {0};
    if (!job->lora.count) return SO_OK;
    if (!job->merged)
        return so_fail(error, SO_ERR_MISSING, "none of the %lld adapted matrices is part of what is written",
                       (long long)job->lora.count);
    for (int64_t i = 0; i < job->list.count; i++) rounded[job->list.item[i].type] += job->list.item[i].lora != NULL;
    int n = snprintf(line, sizeof line, "adapters added to %lld matrices", (long long)job->merged);
    for (int t = 0; t < SO_TYPE_COUNT; t++)
        if (rounded[t] && t != SO_F32 && n < (int)sizeof line)
            n += snprintf(line + n, sizeof line - (size_t)n, ", %lld of them rounded to %s", (long long)rounded[t],
                          so_type_about((so_type)t)->name);
    tell(job->options, line);
    if (job->merged == job->lora.count) return SO_OK;
    snprintf(line, sizeof line, "%lld adapted matrices are no part of what is written",
             (long long)(job->lora.count - job->merged));
    tell(job->options, line);
    return SO_OK;
}

int so_is_adapter(const char *path) { return path && so_adapter_is(path); }

/* ---- from one form into the other */

static so_status open_model(so_source *source, const so_adapter *adapter, const char *model, so_error *error)
{
    struct stat st;
    if (!model && adapter->model && adapter->model[0] && stat(adapter->model, &st) == 0) model = adapter->model;
    if (model) return so_source_open(source, &model, 1, NULL, error);
    return so_fail(error, SO_ERR_MISSING,
                   "the adapter says it was trained on '%s', which is no model here: say what it is for "
                   "(convert --model)",
                   adapter->model ? adapter->model : "");
}

static bool is_gguf(const char *path)
{
    size_t n = strlen(path);
    return n > 5 && strcmp(path + n - 5, ".gguf") == 0;
}

static so_status write(const so_adapter *adapter, const char *out, const so_source *source,
                       const so_convert_options *options, so_error *error)
{
    const so_llama_config *c = &source->setup.omni.llama;
    int64_t own;
    char line[160];
    if (!is_gguf(out)) return so_adapter_save_peft(adapter, out, error);
    SO_TRY(so_adapter_save_gguf(adapter, out, c->heads, c->kv_heads, &own, error));
    snprintf(line, sizeof line, "%lld matrices have no name in llama.cpp, which will not open this file",
             (long long)own);
    if (own) tell(options, line);
    return SO_OK;
}

static void describe(so_convert_result *r, const so_adapter *adapter, const so_source *source, const char *out)
{
    snprintf(r->name, sizeof r->name, "adapters for %.40s", source->setup.name);
    snprintf(r->path, sizeof r->path, "%.4000s", out);
    r->files = is_gguf(out) ? 1 : 2;
    r->tensors = 2 * adapter->count;
    for (int64_t i = 0; i < adapter->count; i++)
        r->parameters += adapter->pair[i].rank * (adapter->pair[i].n + adapter->pair[i].k);
    r->bytes = (double)r->parameters * sizeof(float);
}

so_status so_convert_adapter(const char *in, const char *model, const char *out, const so_convert_options *options,
                             so_convert_result *result, so_error *error)
{
    if (!in || !out || !result) return so_fail(error, SO_ERR_ARG, "no adapter, target or place for the result");
    so_adapter adapter;
    so_source source = {.n_voices = 0};
    *result = (so_convert_result){0};
    SO_TRY(so_adapter_open(&adapter, in, error));
    so_status status = open_model(&source, &adapter, model, error);
    const so_llama_config *c = &source.setup.omni.llama;
    if (status == SO_OK) status = so_adapter_turn(&adapter, c->heads, c->kv_heads, error);
    if (status == SO_OK) status = check_fits(&adapter, &source, error);
    if (status != SO_OK) so_fail_in(error, "%s", in);
    if (status == SO_OK) status = write(&adapter, out, &source, options, error);
    if (status == SO_OK) describe(result, &adapter, &source, out);
    so_source_close(&source);
    so_adapter_close(&adapter);
    return status;
}
