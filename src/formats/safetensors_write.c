/* safetensors: writing one file.
 * SPDX-License-Identifier: Apache-2.0 */
#include "formats/safetensors.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "formats/declared.h"

struct so_safetensors_writer {
    so_writer file;
    so_views declared;
    json_t *metadata, *header; /* header: tensors only, until the metadata goes before them */
    uint64_t data_bytes;
    int64_t next; /* first tensor without data */
    int started;  /* the header is written */
};

so_status so_safetensors_create(so_safetensors_writer **out, const char *path, so_error *error)
{
    *out = NULL;
    so_safetensors_writer *writer = calloc(1, sizeof *writer);
    if (!writer) return so_fail(error, SO_ERR_NOMEM, "no memory to write '%s'", path ? path : "a header");
    writer->metadata = json_object();
    writer->header = json_object();
    so_status status = SO_OK;
    if (!writer->metadata || !writer->header)
        status = so_fail(error, SO_ERR_NOMEM, "no memory to write '%s'", path ? path : "a header");
    if (status == SO_OK && path) status = so_writer_open(&writer->file, path, error);
    if (status == SO_OK)
        *out = writer;
    else
        so_safetensors_drop(&writer);
    return status;
}

so_status so_safetensors_set(so_safetensors_writer *writer, const char *key, const char *value, so_error *error)
{
    if (writer->started) return so_fail(error, SO_ERR_STATE, "metadata '%s' comes after the first data", key);
    if (json_object_set_new(writer->metadata, key, json_string(value)) != 0)
        return so_fail(error, SO_ERR_ARG, "metadata '%.200s' is not UTF-8", key);
    return SO_OK;
}

static const char *dtype_of(so_type type)
{
    switch (type) {
    case SO_F32:
        return "F32";
    case SO_F16:
        return "F16";
    case SO_BF16:
        return "BF16";
    case SO_I32:
        return "I32";
    case SO_I64:
        return "I64";
    case SO_U8:
        return "U8";
    case SO_F64:
        return "F64";
    default:
        return NULL;
    }
}

so_status so_safetensors_declare(so_safetensors_writer *writer, const char *name, so_type type, int n_dims,
                                 const int64_t *dim, so_error *error)
{
    if (writer->started) return so_fail(error, SO_ERR_STATE, "tensor '%s' is declared after the first data", name);
    const char *dtype = dtype_of(type);
    if (!dtype)
        return so_fail(error, SO_ERR_UNSUPPORTED, "tensor '%s': safetensors has no type %s", name,
                       so_type_about(type)->name);
    so_view view = {.type = type, .n_dims = n_dims};
    for (int i = 0; i < n_dims && i < SO_VIEW_DIMS; i++) view.dim[i] = dim[i];
    SO_TRY(so_view_measure(&view, so_span_of(name), error));
    uint64_t end;
    if (__builtin_add_overflow(writer->data_bytes, (uint64_t)view.bytes, &end) || end > INT64_MAX)
        return so_fail(error, SO_ERR_LIMIT, "tensor '%s' makes the file larger than 2^63 bytes", name);
    if (strcmp(name, "__metadata__") == 0) return so_fail(error, SO_ERR_ARG, "a tensor cannot be called '%s'", name);
    SO_TRY(so_views_add(&writer->declared, so_span_of(name), &view, error));
    json_t *shape = json_array();
    int failed = !shape;
    for (int i = 0; i < n_dims && !failed; i++) failed = json_array_append_new(shape, json_integer(dim[i])) != 0;
    json_t *entry = json_pack("{s:s, s:o, s:[I, I]}", "dtype", dtype, "shape", shape, "data_offsets",
                              (json_int_t)writer->data_bytes, (json_int_t)end);
    if (failed) {
        json_decref(entry);
        entry = NULL;
    }
    if (json_object_set_new(writer->header, name, entry) != 0)
        return so_fail(error, SO_ERR_NOMEM, "no memory to declare '%s'", name);
    writer->data_bytes = end;
    return SO_OK;
}

static so_status head_text(so_safetensors_writer *writer, char **text, so_error *error)
{
    json_t *header = json_object();
    int failed = !header;
    if (json_object_size(writer->metadata)) failed = json_object_set(header, "__metadata__", writer->metadata) != 0;
    failed = failed || json_object_update(header, writer->header) != 0;
    *text = failed ? NULL : json_dumps(header, JSON_COMPACT);
    json_decref(header);
    return *text ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for the header");
}

so_status so_safetensors_head(so_safetensors_writer *writer, char **head, size_t *bytes, so_error *error)
{
    char *text;
    *head = NULL;
    SO_TRY(head_text(writer, &text, error));
    uint64_t length = strlen(text), padded = (length + 7) / 8 * 8;
    char *out = malloc(padded + 8);
    if (out) {
        memcpy(out, &padded, 8);
        memcpy(out + 8, text, length);
        memset(out + 8 + length, ' ', padded - length);
    }
    free(text);
    *head = out;
    *bytes = padded + 8;
    return out ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for the header");
}

static so_status put_header(so_safetensors_writer *writer, so_error *error)
{
    char *head;
    size_t bytes;
    SO_TRY(so_safetensors_head(writer, &head, &bytes, error));
    so_status status = so_writer_put(&writer->file, head, bytes, error);
    free(head);
    writer->started = 1;
    return status;
}

so_status so_safetensors_put(so_safetensors_writer *writer, const char *name, const void *data, size_t bytes,
                             so_error *error)
{
    if (!writer->started) SO_TRY(put_header(writer, error));
    SO_TRY(so_declared_next(&writer->declared, writer->next, name, bytes, error));
    SO_TRY(so_writer_put(&writer->file, data, bytes, error));
    writer->next++;
    return SO_OK;
}

so_status so_safetensors_commit(so_safetensors_writer **writer, so_error *error)
{
    so_safetensors_writer *w = *writer;
    so_status status = w->started ? SO_OK : put_header(w, error);
    if (status == SO_OK) status = so_declared_all(&w->declared, w->next, error);
    if (status == SO_OK) status = so_writer_commit(&w->file, error);
    so_safetensors_drop(writer);
    return status;
}

void so_safetensors_drop(so_safetensors_writer **writer)
{
    if (!writer || !*writer) return;
    so_writer_drop(&(*writer)->file);
    so_views_clear(&(*writer)->declared);
    json_decref((*writer)->metadata);
    json_decref((*writer)->header);
    free(*writer);
    *writer = NULL;
}
