/* GGUF: writing.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "formats/gguf.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "formats/declared.h"

enum { ALIGNMENT = 32 };

/* Bytes of the head, gathered until the first data. */
typedef struct buffer {
    char *data;
    size_t size, capacity;
} buffer;

struct so_gguf_writer {
    so_writer file;
    buffer keys, infos;
    so_names key_names;
    so_views declared;
    char **owned; /* copies of keys */
    int64_t owned_capacity;
    uint64_t data_bytes; /* declared so far, padded */
    int64_t next;        /* first tensor without data */
    int started;         /* the head is written */
};

static so_status append(buffer *b, const void *data, size_t bytes, so_error *error)
{
    if (bytes > b->capacity - b->size) {
        size_t capacity = b->capacity * 2 > b->size + bytes ? b->capacity * 2 : b->size + bytes + 256;
        char *grown = realloc(b->data, capacity);
        if (!grown) return so_fail(error, SO_ERR_NOMEM, "no memory for %zu bytes of a GGUF head", capacity);
        b->data = grown;
        b->capacity = capacity;
    }
    if (bytes) memcpy(b->data + b->size, data, bytes);
    b->size += bytes;
    return SO_OK;
}

static so_status append_u32(buffer *b, uint32_t value, so_error *error) { return append(b, &value, 4, error); }

static so_status append_u64(buffer *b, uint64_t value, so_error *error) { return append(b, &value, 8, error); }

static so_status append_text(buffer *b, so_span text, so_error *error)
{
    SO_TRY(append_u64(b, text.length, error));
    return append(b, text.data, text.length, error);
}

so_status so_gguf_create(so_gguf_writer **out, const char *path, so_error *error)
{
    *out = NULL;
    so_gguf_writer *writer = calloc(1, sizeof *writer);
    if (!writer) return so_fail(error, SO_ERR_NOMEM, "no memory to write '%s'", path ? path : "a head");
    so_status status = path ? so_writer_open(&writer->file, path, error) : SO_OK;
    if (status == SO_OK)
        *out = writer;
    else
        free(writer);
    return status;
}

static so_status begin_key(so_gguf_writer *writer, const char *key, so_gguf_type type, so_error *error)
{
    size_t length = strlen(key);
    if (writer->started) return so_fail(error, SO_ERR_STATE, "key '%.200s' comes after the first data", key);
    if (!length || length > 65535) return so_fail(error, SO_ERR_ARG, "a key of %zu bytes, expected 1 to 65535", length);
    if (so_names_find(&writer->key_names, so_span_of(key)) >= 0)
        return so_fail(error, SO_ERR_ARG, "key '%.200s' is already set", key);
    SO_TRY(so_grow(&writer->owned, writer->key_names.count, &writer->owned_capacity, sizeof *writer->owned, error));
    char *copy = strdup(key);
    if (!copy) return so_fail(error, SO_ERR_NOMEM, "no memory for a key");
    so_status status = so_names_add(&writer->key_names, so_span_of(copy), error);
    if (status != SO_OK) {
        free(copy);
        return status;
    }
    writer->owned[writer->key_names.count - 1] = copy;
    SO_TRY(append_text(&writer->keys, so_span_of(copy), error));
    return append_u32(&writer->keys, type, error);
}

static so_status set_plain(so_gguf_writer *writer, const char *key, so_gguf_type type, const void *value, size_t bytes,
                           so_error *error)
{
    SO_TRY(begin_key(writer, key, type, error));
    return append(&writer->keys, value, bytes, error);
}

so_status so_gguf_set_u32(so_gguf_writer *writer, const char *key, uint32_t value, so_error *error)
{
    return set_plain(writer, key, SO_GGUF_U32, &value, 4, error);
}

so_status so_gguf_set_u16(so_gguf_writer *writer, const char *key, uint16_t value, so_error *error)
{
    return set_plain(writer, key, SO_GGUF_U16, &value, 2, error);
}

so_status so_gguf_set_i32(so_gguf_writer *writer, const char *key, int32_t value, so_error *error)
{
    return set_plain(writer, key, SO_GGUF_I32, &value, 4, error);
}

so_status so_gguf_set_i64(so_gguf_writer *writer, const char *key, int64_t value, so_error *error)
{
    return set_plain(writer, key, SO_GGUF_I64, &value, 8, error);
}

so_status so_gguf_set_f32(so_gguf_writer *writer, const char *key, float value, so_error *error)
{
    return set_plain(writer, key, SO_GGUF_F32, &value, 4, error);
}

so_status so_gguf_set_bool(so_gguf_writer *writer, const char *key, bool value, so_error *error)
{
    unsigned char byte = value;
    return set_plain(writer, key, SO_GGUF_BOOL, &byte, 1, error);
}

so_status so_gguf_set_string(so_gguf_writer *writer, const char *key, const char *value, so_error *error)
{
    SO_TRY(begin_key(writer, key, SO_GGUF_STRING, error));
    return append_text(&writer->keys, so_span_of(value), error);
}

static so_status begin_array(so_gguf_writer *writer, const char *key, so_gguf_type type, int64_t n, so_error *error)
{
    if (n < 0) return so_fail(error, SO_ERR_ARG, "key '%.200s' has %lld items", key, (long long)n);
    SO_TRY(begin_key(writer, key, SO_GGUF_ARRAY, error));
    SO_TRY(append_u32(&writer->keys, type, error));
    return append_u64(&writer->keys, (uint64_t)n, error);
}

so_status so_gguf_set_strings(so_gguf_writer *writer, const char *key, const so_span *value, int64_t n, so_error *error)
{
    SO_TRY(begin_array(writer, key, SO_GGUF_STRING, n, error));
    for (int64_t i = 0; i < n; i++) SO_TRY(append_text(&writer->keys, value[i], error));
    return SO_OK;
}

so_status so_gguf_set_f32s(so_gguf_writer *writer, const char *key, const float *value, int64_t n, so_error *error)
{
    SO_TRY(begin_array(writer, key, SO_GGUF_F32, n, error));
    return append(&writer->keys, value, (size_t)n * 4, error);
}

so_status so_gguf_set_i32s(so_gguf_writer *writer, const char *key, const int32_t *value, int64_t n, so_error *error)
{
    SO_TRY(begin_array(writer, key, SO_GGUF_I32, n, error));
    return append(&writer->keys, value, (size_t)n * 4, error);
}

so_status so_gguf_declare(so_gguf_writer *writer, const char *name, so_type type, int n_dims, const int64_t *dim,
                          so_error *error)
{
    if (writer->started) return so_fail(error, SO_ERR_STATE, "tensor '%s' is declared after the first data", name);
    int number = so_gguf_type_number(type);
    if (number < 0)
        return so_fail(error, SO_ERR_UNSUPPORTED, "tensor '%s': GGUF has no type %s", name, so_type_about(type)->name);
    if (n_dims < 0 || n_dims > 4)
        return so_fail(error, SO_ERR_ARG, "tensor '%s' has %d dimensions, expected at most 4", name, n_dims);
    so_view view = {.type = type, .n_dims = n_dims};
    for (int i = 0; i < n_dims; i++) view.dim[i] = dim[i];
    SO_TRY(so_view_measure(&view, so_span_of(name), error));
    uint64_t end;
    if (__builtin_add_overflow(writer->data_bytes, (uint64_t)view.bytes, &end) || end > INT64_MAX - ALIGNMENT)
        return so_fail(error, SO_ERR_LIMIT, "tensor '%s' makes the file larger than 2^63 bytes", name);
    SO_TRY(so_views_add(&writer->declared, so_span_of(name), &view, error));
    SO_TRY(append_text(&writer->infos, so_span_of(name), error));
    SO_TRY(append_u32(&writer->infos, (uint32_t)n_dims, error));
    for (int i = n_dims - 1; i >= 0; i--) SO_TRY(append_u64(&writer->infos, (uint64_t)dim[i], error));
    SO_TRY(append_u32(&writer->infos, (uint32_t)number, error));
    SO_TRY(append_u64(&writer->infos, writer->data_bytes, error));
    writer->data_bytes = (end + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return SO_OK;
}

static so_status put_padding(so_gguf_writer *writer, size_t bytes, so_error *error)
{
    static const char zeros[ALIGNMENT];
    return so_writer_put(&writer->file, zeros, (ALIGNMENT - bytes % ALIGNMENT) % ALIGNMENT, error);
}

so_status so_gguf_head(so_gguf_writer *writer, char **head, size_t *bytes, so_error *error)
{
    struct {
        char magic[4];
        uint32_t version;
        uint64_t tensors, keys;
    } start = {{'G', 'G', 'U', 'F'}, 3, (uint64_t)writer->declared.count, (uint64_t)writer->key_names.count};
    size_t size = sizeof start + writer->keys.size + writer->infos.size;
    *bytes = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    *head = calloc(1, *bytes);
    if (!*head) return so_fail(error, SO_ERR_NOMEM, "no memory for %zu bytes of a GGUF head", *bytes);
    memcpy(*head, &start, sizeof start);
    if (writer->keys.size) memcpy(*head + sizeof start, writer->keys.data, writer->keys.size);
    if (writer->infos.size) memcpy(*head + sizeof start + writer->keys.size, writer->infos.data, writer->infos.size);
    return SO_OK;
}

static so_status put_head(so_gguf_writer *writer, so_error *error)
{
    char *head;
    size_t bytes;
    writer->started = 1;
    SO_TRY(so_gguf_head(writer, &head, &bytes, error));
    so_status status = so_writer_put(&writer->file, head, bytes, error);
    free(head);
    return status;
}

so_status so_gguf_put(so_gguf_writer *writer, const char *name, const void *data, size_t bytes, so_error *error)
{
    if (!writer->started) SO_TRY(put_head(writer, error));
    SO_TRY(so_declared_next(&writer->declared, writer->next, name, bytes, error));
    SO_TRY(so_writer_put(&writer->file, data, bytes, error));
    SO_TRY(put_padding(writer, bytes, error));
    writer->next++;
    return SO_OK;
}

so_status so_gguf_commit(so_gguf_writer **writer, so_error *error)
{
    so_gguf_writer *w = *writer;
    so_status status = w->started ? SO_OK : put_head(w, error);
    if (status == SO_OK) status = so_declared_all(&w->declared, w->next, error);
    if (status == SO_OK) status = so_writer_commit(&w->file, error);
    so_gguf_drop(writer);
    return status;
}

void so_gguf_drop(so_gguf_writer **writer)
{
    if (!writer || !*writer) return;
    so_gguf_writer *w = *writer;
    so_writer_drop(&w->file);
    so_views_clear(&w->declared);
    for (int64_t i = 0; i < w->key_names.count; i++) free(w->owned[i]);
    free(w->owned);
    so_names_clear(&w->key_names);
    free(w->keys.data);
    free(w->infos.data);
    free(w);
    *writer = NULL;
}
