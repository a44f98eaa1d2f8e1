/* Writing the finished model: what the run began with, with what was learnt.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/convert_gguf.h"
#include "checkpoint/export_gguf.h"
#include "recipes/run/training.h"

/* A weight that the source does not have, or of another shape. */
static so_status put_new(so_convert_job *job, const so_tensor *t, so_error *error)
{
    so_views *views = &job->source.views;
    const so_view *found = so_views_find(views, t->name);
    so_view view = {.type = SO_F32, .n_dims = t->n_dims, .data = t->data};
    memcpy(view.dim, t->dim, sizeof(int64_t) * (size_t)t->n_dims);
    SO_TRY(so_view_measure(&view, so_span_of(t->name), error));
    if (!found)
        SO_TRY(so_views_add(views, so_span_of(t->name), &view, error));
    else {
        view.name = found->name;
        views->view[found - views->view] = view;
    }
    if (so_names_find(&job->source.copied, so_span_of(t->name)) >= 0) return SO_OK;
    return so_names_add(&job->source.copied, so_span_of(t->name), error);
}

/* A tensor is taken from memory in place of the source's. */
static so_status put_one(so_convert_job *job, const so_tensor *t, so_error *error)
{
    const so_view *found = so_views_find(&job->source.views, t->name);
    if (!found || so_view_elements(found) != so_count(t)) return put_new(job, t, error); /* of fresh layers */
    so_view *view = &job->source.views.view[found - job->source.views.view];
    view->type = SO_F32;
    view->data = t->data;
    view->bytes = (size_t)so_count(t) * sizeof(float);
    if (so_names_find(&job->source.copied, so_span_of(view->name)) >= 0) return SO_OK;
    return so_names_add(&job->source.copied, so_span_of(view->name), error);
}

static so_status put_learnt(const so_run *run, so_convert_job *job, so_error *error)
{
    for (int64_t i = 0; i < run->optim.count; i++) {
        const so_weight *w = run->optim.param[i].weight;
        if (strcmp(w->group, "pairs") != 0) SO_TRY(put_one(job, &w->tensor, error)); /* those are the loss's own */
    }
    return SO_OK;
}

/* Codes of a speech tokenizer learn by following, not by gradients. */
static so_status put_codes(const so_run *run, so_convert_job *job, so_error *error)
{
    const so_tensor *codes = so_run_codec_codes(run);
    return codes ? put_one(job, codes, error) : SO_OK;
}

/* What stays must have a type that the layout knows: blocks become f16, or save.type. */
static bool has_blocks(const so_run *run)
{
    for (int64_t i = 0; i < run->source.views.count; i++) {
        const so_view *v = &run->source.views.view[i];
        if (strncmp(v->name, "codec.", 6) != 0 && so_type_about(v->type)->block > 1) return true;
    }
    return false;
}

so_status so_run_keep(so_run *run, so_error *error)
{
    char folder[1100];
    snprintf(folder, sizeof folder, "%s/adapter", run->folder);
    if (run->lora.count) return so_lora_save(&run->lora, folder, run->config.model, error);
    const char *in = run->config.model;
    so_convert_job job;
    so_convert_result result = {0};
    so_convert_options how = {.type = run->config.save.type, .threads = run->options->threads, .drop_extra = 1};
    if (!how.type && has_blocks(run)) how.type = "f16";
    snprintf(folder, sizeof folder, "%s/model", run->folder);
    so_status status = so_convert_job_open(&job, &in, 1, &how, &result, error);
    if (status == SO_OK) status = put_learnt(run, &job, error);
    if (status == SO_OK) status = put_codes(run, &job, error);
    if (status == SO_OK) {
        job.source.setup.window = run->source.setup.window;
        job.source.setup.lookahead = run->source.setup.lookahead;
        job.source.setup.omni = run->source.setup.omni;
        memcpy(job.source.setup.fuse, run->source.setup.fuse, sizeof job.source.setup.fuse);
        if (!run->source.text[0]) {
            /* the configuration was changed: it is written anew */
            free(job.source.text[0]);
            job.source.text[0] = NULL;
        }
        status = so_export_safetensors(&job, folder, error);
    }
    so_convert_job_close(&job);
    so_convert_result_clear(&result);
    return status;
}
