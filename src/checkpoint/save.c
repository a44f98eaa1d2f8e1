/* Saving a model as one GGUF file: configuration, tokenizer and every weight.
 * SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/save.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/quantise.h"
#include "checkpoint/quant_rules.h"
#include "checkpoint/tokenizer_gguf.h"

typedef struct convert_job {
    const so_tensor *t;
    so_type type;
    unsigned char *out;
    const float *importance;
    const so_kernels *k;
    float *row;       /* [threads, cols] */
    so_error *errors; /* [threads] */
} convert_job;

static void convert_rows(void *p, int64_t task, int thread)
{
    const convert_job *j = p;
    int64_t cols = so_cols(j->t);
    float *x = j->row + thread * cols;
    size_t bytes = so_type_bytes(j->type, cols);
    for (int64_t r = task * 64; r < (task + 1) * 64 && r < so_rows(j->t); r++) {
        j->k->row(j->t->type, j->t->data, r, cols, x);
        so_quantise_row_by(j->type, x, j->importance, cols, j->out + (size_t)r * bytes, &j->errors[thread]);
    }
}

static so_status convert(const so_save_parts *all, const convert_job *given, so_error *error)
{
    convert_job job = *given;
    int threads = so_pool_threads(all->pool);
    job.row = malloc((size_t)(threads * so_cols(job.t)) * sizeof *job.row + 1);
    job.errors = calloc((size_t)threads, sizeof *job.errors);
    so_status status = SO_OK;
    if (job.row && job.errors)
        so_pool_for(all->pool, (so_rows(job.t) + 63) / 64, convert_rows, &job);
    else
        status = so_fail(error, SO_ERR_NOMEM, "no memory to convert '%s'", job.t->name);
    for (int i = 0; status == SO_OK && i < threads; i++)
        if (job.errors[i].status != SO_OK)
            status = so_fail(error, job.errors[i].status, "'%s': %s", job.t->name, job.errors[i].text);
    free(job.row);
    free(job.errors);
    return status;
}

static so_status put_weight(const so_save_parts *all, const so_quant_rules *rules, so_gguf_writer *writer,
                            const so_tensor *t, const char *name, so_type type, so_error *error)
{
    size_t bytes = so_type_bytes(type, so_count(t));
    if (t->type == type) return so_gguf_put(writer, name, t->data, bytes, error);
    unsigned char *out = malloc(bytes + 1);
    if (!out) return so_fail(error, SO_ERR_NOMEM, "no memory to convert '%s'", t->name);
    convert_job job = {.t = t,
                       .type = type,
                       .out = out,
                       .importance = so_quant_rules_importance(rules, name, so_cols(t)),
                       .k = so_kernels_c()};
    so_status status = convert(all, &job, error);
    if (status == SO_OK) status = so_gguf_put(writer, name, out, bytes, error);
    free(out);
    return status;
}

typedef struct codec_part {
    const so_store *store;
    const char *prefix;
} codec_part;

static void saved_name(const codec_part *part, const char *name, char *out, size_t size)
{
    bool has = strncmp(name, part->prefix, strlen(part->prefix)) == 0;
    snprintf(out, size, "%s%s", has ? "" : part->prefix, name);
}

/* Everything that is stored, in order: the model's weights, then the codec's. */
typedef so_status (*each_fn)(void *context, const so_tensor *t, const char *name, so_error *error);
static so_status each_weight(const so_save_parts *all, each_fn each, void *context, so_error *error)
{
    const so_codec *c = all->codec;
    const codec_part parts[] = {{&c->ears.store, "codec.tokenizer."},
                                {&c->flow_part.store, "codec.flow."},
                                {&c->hift_part.store, "codec.hift."},
                                {&c->cam_part.store, SO_CODEC_CAM}};
    char name[512];
    for (int64_t i = 0; i < all->store->count; i++) {
        const so_tensor *t = &all->store->weight[i]->tensor;
        SO_TRY(each(context, t, t->name, error));
    }
    for (size_t p = 0; p < sizeof parts / sizeof *parts; p++)
        for (int64_t i = 0; i < parts[p].store->count; i++) {
            const so_tensor *t = &parts[p].store->weight[i]->tensor;
            saved_name(&parts[p], t->name, name, sizeof name);
            SO_TRY(each(context, t, name, error));
        }
    return SO_OK;
}

typedef struct saving {
    const so_save_parts *all;
    so_quant_rules *rules;
    so_gguf_writer *writer;
    so_type *type; /* of each weight, as declared */
    int64_t n, capacity, put;
} saving;

static so_status learn(void *context, const so_tensor *t, const char *name, so_error *error)
{
    (void)t;
    return so_quant_rules_learn(((saving *)context)->rules, name, error);
}

static so_status declare(void *context, const so_tensor *t, const char *name, so_error *error)
{
    saving *s = context;
    so_type type = so_quant_rules_type(s->rules, name, t->type, t->n_dims, t->dim);
    SO_TRY(so_grow(&s->type, s->n, &s->capacity, sizeof *s->type, error));
    s->type[s->n++] = type;
    return so_gguf_declare(s->writer, name, type, t->n_dims, t->dim, error);
}

static so_status put(void *context, const so_tensor *t, const char *name, so_error *error)
{
    saving *s = context;
    return put_weight(s->all, s->rules, s->writer, t, name, s->type[s->put++], error);
}

static so_status write_all(saving *s, so_error *error)
{
    const so_save_parts *all = s->all;
    const so_codec *c = all->codec;
    int64_t width = c->flow.config.speaker;
    SO_TRY(so_setup_save(all->setup, s->writer, error));
    SO_TRY(so_tokenizer_to_gguf(all->tokenizer, s->writer, error));
    if (c->config) SO_TRY(so_gguf_set_string(s->writer, "stream_omni.codec", c->config, error));
    SO_TRY(each_weight(all, learn, s, error));
    SO_TRY(each_weight(all, declare, s, error));
    if (c->speaker) SO_TRY(so_gguf_declare(s->writer, "codec.speaker", SO_F32, 1, &width, error));
    SO_TRY(each_weight(all, put, s, error));
    if (!c->speaker) return SO_OK;
    return so_gguf_put(s->writer, "codec.speaker", c->speaker, (size_t)width * sizeof *c->speaker, error);
}

so_status so_save_parts_to(const so_save_parts *parts, const char *path, const so_save_options *options,
                           so_error *error)
{
    saving s = {.all = parts};
    so_status status;
    SO_TRY_GO(so_quant_rules_open(&s.rules, options, error));
    SO_TRY_GO(so_gguf_create(&s.writer, path, error));
    SO_TRY_GO(write_all(&s, error));
    SO_TRY_GO(so_gguf_commit(&s.writer, error));
    if (options) so_quant_rules_tell(s.rules, options->note, options->context);
done:
    so_gguf_drop(&s.writer);
    so_quant_rules_close(&s.rules);
    free(s.type);
    return status;
}
