/* Beginning from an earlier model instead of random weights: start.safetensors.
 *
 * The earlier model may have had another vocabulary: rows of text tokens are found by the tokens' bytes, and a token
 * that it did not have begins as the mean of those that it spelled it with.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/safetensors.h"
#include "recipes/tabletop/recipe.h"

typedef struct earlier {
    const so_tt *tt;
    so_tokenizer *tokenizer;
    so_safetensors *file;
    int64_t text, units; /* rows of its text tokens and speech units */
    so_ids ids;
} earlier;

/* The mean of the earlier rows that spell token `id` of now, added to zero. */
static so_status mean_row(earlier *e, int32_t id, const float *rows, int64_t width, float *out, so_error *error)
{
    size_t size;
    const char *piece = so_tokenizer_piece(e->tt->tokenizer, id, &size);
    int32_t same = piece ? so_tokenizer_find(e->tokenizer, piece, size) : -1;
    e->ids.n = 0;
    if (same >= 0)
        SO_TRY(so_ids_put(&e->ids, same, error));
    else if (piece)
        SO_TRY(so_tokenizer_encode(e->tokenizer, piece, size, SO_ENCODE_SPECIAL, &e->ids, error));
    for (size_t i = 0; i < e->ids.n; i++)
        for (int64_t k = 0; k < width && e->ids.data[i] < e->text; k++)
            out[k] += rows[e->ids.data[i] * width + k] / (float)e->ids.n;
    return SO_OK;
}

/* Whether a tensor has a row for each text token, maybe with those of the speech units behind them. */
static bool has_words(const earlier *e, const so_view *view)
{
    return view->n_dims == 2 && (view->dim[0] == e->text || view->dim[0] == e->text + e->units);
}

static so_status put_words(earlier *e, so_safetensors_writer *writer, const so_view *view, so_error *error)
{
    int64_t width = view->dim[1], text = e->tt->id->first_unit, behind = view->dim[0] - e->text;
    const float *rows = view->data;
    float *out = calloc((size_t)((text + behind) * width), sizeof *out);
    if (!out) return so_fail(error, SO_ERR_NOMEM, "no memory for '%s'", view->name);
    so_status status = SO_OK;
    for (int32_t id = 0; id < text && status == SO_OK; id++)
        status = mean_row(e, id, rows, width, out + id * width, error);
    memcpy(out + text * width, rows + e->text * width, (size_t)(behind * width) * sizeof *out);
    if (status == SO_OK)
        status = so_safetensors_put(writer, view->name, out, (size_t)((text + behind) * width) * sizeof *out, error);
    free(out);
    return status;
}

static so_status declare(earlier *e, so_safetensors_writer *writer, const so_view *view, so_error *error)
{
    int64_t dim[SO_MAX_DIMS];
    if (view->type != SO_F32)
        return so_fail(error, SO_ERR_UNSUPPORTED, "'%s' is not of type f32: export the model with --type f32",
                       view->name);
    memcpy(dim, view->dim, sizeof dim);
    if (has_words(e, view)) dim[0] += e->tt->id->first_unit - e->text;
    return so_safetensors_declare(writer, view->name, SO_F32, view->n_dims, dim, error);
}

static so_status write_start(earlier *e, so_error *error)
{
    char path[1024];
    const so_views *views = so_safetensors_views(e->file);
    so_safetensors_writer *writer;
    SO_TRY(so_safetensors_create(&writer, so_tt_path(e->tt, "start.safetensors", path), error));
    so_status status = SO_OK;
    for (int64_t i = 0; i < views->count && status == SO_OK; i++) status = declare(e, writer, &views->view[i], error);
    for (int64_t i = 0; i < views->count && status == SO_OK; i++) {
        const so_view *view = &views->view[i];
        status = has_words(e, view) ? put_words(e, writer, view, error)
                                    : so_safetensors_put(writer, view->name, view->data, view->bytes, error);
    }
    if (status == SO_OK) return so_safetensors_commit(&writer, error);
    so_safetensors_drop(&writer);
    return status;
}

so_status so_tt_start(const so_tt *tt, const char *folder, so_error *error)
{
    char path[4096];
    earlier e = {.tt = tt};
    so_status status;
    if (so_tt_done(tt, "start")) return SO_OK;
    snprintf(path, sizeof path, "%.4000s/tokenizer.json", folder);
    SO_TRY_GO(so_tokenizer_load_json(&e.tokenizer, path, error));
    e.text = so_tokenizer_names(e.tokenizer)->first_unit;
    e.units = so_tokenizer_names(e.tokenizer)->units;
    snprintf(path, sizeof path, "%.4000s/model.safetensors", folder);
    SO_TRY_GO(so_safetensors_open(&e.file, path, error));
    SO_TRY_GO(write_start(&e, error));
    so_tt_say(tt, "start: weights of '%s'", folder);
done:
    so_safetensors_close(&e.file);
    so_tokenizer_close(&e.tokenizer);
    so_ids_clear(&e.ids);
    return status;
}

so_status so_tt_begin(const so_tt *tt, so_store *store, so_error *error)
{
    char path[1024];
    so_safetensors *file;
    if (!so_tt_done(tt, "start")) return SO_OK;
    SO_TRY(so_safetensors_open(&file, so_tt_path(tt, "start.safetensors", path), error));
    const so_views *views = so_safetensors_views(file);
    for (int64_t i = 0; i < views->count; i++) {
        const so_view *view = &views->view[i];
        so_weight *w = so_store_find(store, view->name);
        if (w && view->type == SO_F32 && so_view_elements(view) == so_count(&w->tensor))
            memcpy(w->tensor.data, view->data, view->bytes);
    }
    so_safetensors_close(&file);
    return SO_OK;
}
