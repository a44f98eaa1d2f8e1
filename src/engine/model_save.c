/* Saving a model as one GGUF file: configuration, tokenizer and every weight.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/quantise.h"
#include "engine/model.h"

/* Matrices get the wanted type where their width allows it, everything else is f32. SO_TYPE_COUNT keeps stored types.
 */
static so_type saved_type(const so_tensor *t, so_type wanted)
{
    if (t->n_dims != 2) return SO_F32;
    if (wanted == SO_TYPE_COUNT) return t->type;
    return wanted == SO_Q8_0 && so_cols(t) % 32 ? SO_F16 : wanted;
}

typedef struct convert_job {
    const so_tensor *t;
    so_type type;
    unsigned char *out;
    const so_kernels *k;
    float *row; /* [threads, cols] */
} convert_job;

static void convert_rows(void *p, int64_t task, int thread)
{
    const convert_job *j = p;
    int64_t cols = so_cols(j->t);
    float *x = j->row + thread * cols;
    size_t bytes = so_type_bytes(j->type, cols);
    for (int64_t r = task * 64; r < (task + 1) * 64 && r < so_rows(j->t); r++) {
        unsigned char *out = j->out + (size_t)r * bytes;
        j->k->row(j->t->type, j->t->data, r, cols, x);
        so_error ignored;
        so_quantise_row(j->type, x, cols, out, &ignored);
    }
}

static so_status put_weight(const so_model *model, so_gguf_writer *writer, const so_tensor *t, const char *name,
                            so_type type, so_error *error)
{
    size_t bytes = so_type_bytes(type, so_count(t));
    if (t->type == type) return so_gguf_put(writer, name, t->data, bytes, error);
    unsigned char *out = malloc(bytes + 1);
    float *row = malloc((size_t)(so_pool_threads(model->pool) * so_cols(t)) * sizeof *row + 1);
    so_status status = SO_OK;
    if (out && row) {
        convert_job job = {t, type, out, so_kernels_c(), row};
        so_pool_for(model->pool, (so_rows(t) + 63) / 64, convert_rows, &job);
        status = so_gguf_put(writer, name, out, bytes, error);
    } else {
        status = so_fail(error, SO_ERR_NOMEM, "no memory to convert '%s'", t->name);
    }
    free(out);
    free(row);
    return status;
}

/* The codec's networks: f32 when that is asked for (or stored types are kept), otherwise f16 for everything but
 * vectors. Units and sound hang on their digits more than text does; they are never quantised here. */
static so_type codec_type(const so_tensor *t, so_type wanted)
{
    return t->n_dims < 2 || wanted == SO_F32 || wanted == SO_TYPE_COUNT ? SO_F32 : SO_F16;
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

static so_status codec_tensors(const so_model *model, so_gguf_writer *writer, so_type wanted, bool put, so_error *error)
{
    const so_codec *c = &model->codec;
    const codec_part parts[] = {{&c->ears.store, "codec.tokenizer."}, {&c->flow_part.store, "codec.flow."},
                                {&c->hift_part.store, "codec.hift."}};
    char name[512];
    for (size_t p = 0; p < 3; p++)
        for (int64_t i = 0; i < parts[p].store->count; i++) {
            const so_tensor *t = &parts[p].store->weight[i]->tensor;
            saved_name(&parts[p], t->name, name, sizeof name);
            so_type type = codec_type(t, wanted);
            if (put)
                SO_TRY(put_weight(model, writer, t, name, type, error));
            else
                SO_TRY(so_gguf_declare(writer, name, type, t->n_dims, t->dim, error));
        }
    if (!put && c->config) SO_TRY(so_gguf_set_string(writer, "stream_omni.codec", c->config, error));
    if (!c->speaker) return SO_OK;
    int64_t width = c->flow.config.speaker;
    if (put) return so_gguf_put(writer, "codec.speaker", c->speaker, (size_t)width * sizeof *c->speaker, error);
    return so_gguf_declare(writer, "codec.speaker", SO_F32, 1, &width, error);
}

static so_status write_all(const so_model *model, so_gguf_writer *writer, so_type type, so_error *error)
{
    SO_TRY(so_setup_save(&model->setup, writer, error));
    SO_TRY(so_tokenizer_to_gguf(model->tokenizer, writer, error));
    for (int64_t i = 0; i < model->store.count; i++) {
        const so_tensor *t = &model->store.weight[i]->tensor;
        SO_TRY(so_gguf_declare(writer, t->name, saved_type(t, type), t->n_dims, t->dim, error));
    }
    SO_TRY(codec_tensors(model, writer, type, false, error));
    for (int64_t i = 0; i < model->store.count; i++) {
        const so_tensor *t = &model->store.weight[i]->tensor;
        SO_TRY(put_weight(model, writer, t, t->name, saved_type(t, type), error));
    }
    return codec_tensors(model, writer, type, true, error);
}

static so_status type_named(const char *name, so_type *type, so_error *error)
{
    static const so_type known[] = {SO_F32, SO_F16, SO_BF16, SO_Q8_0};
    *type = SO_TYPE_COUNT;
    if (!name) return SO_OK;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(name, so_type_about(known[i])->name) == 0) *type = known[i];
    if (*type == SO_TYPE_COUNT)
        return so_fail(error, SO_ERR_ARG, "type '%.40s', expected f32, f16, bf16 or q8_0", name);
    return SO_OK;
}

so_status so_model_save(const so_model *model, const char *path, const char *type_name, so_error *error)
{
    so_type type;
    so_gguf_writer *writer = NULL;
    SO_TRY(type_named(type_name, &type, error));
    SO_TRY(so_gguf_create(&writer, path, error));
    so_status status = write_all(model, writer, type, error);
    if (status == SO_OK) return so_gguf_commit(&writer, error);
    so_gguf_drop(&writer);
    return status;
}
