/* PyTorch's zip files: from the pickle's values to named views.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "formats/torchzip.h"
#include "base/own.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "formats/pickle.h"
#include "formats/zip.h"

enum { DEPTH_MAX = 64, COPIES_MAX = 4 /* times the file's size */ };

struct so_torchzip {
    so_map map;
    so_views views;
    so_torchzip_scalar *scalar;
    int64_t n_scalars, capacity;
};

typedef struct walk {
    so_torchzip *file;
    so_zip zip;
    so_pickle pickle;
    so_span root; /* folder inside the archive, with its '/' */
    char name[SO_VIEW_NAME_MAX + 1];
    size_t budget;   /* values that may still be visited */
    uint64_t copies; /* bytes that may still be copied */
    so_error *error;
} walk;

static so_status storage_bytes(walk *w, so_span key, so_span *bytes)
{
    char path[SO_VIEW_NAME_MAX + 1];
    int length =
        snprintf(path, sizeof path, "%.*sdata/%.*s", (int)w->root.length, w->root.data, (int)key.length, key.data);
    if (key.length > 100 || length < 0 || (size_t)length >= sizeof path)
        return so_fail(w->error, SO_ERR_FORMAT, "a storage has a key of %zu bytes", key.length);
    return so_zip_find(&w->zip, (so_span){path, (size_t)length}, bytes, w->error);
}

/* Whether the elements lie in row-major order without gaps; *reach becomes the last element's place plus one. Checks
 * that it does not overflow. The tensor has elements. */
static so_status measure_strides(walk *w, const so_pickle_tensor *t, int *contiguous, int64_t *reach)
{
    int64_t run = 1, last = t->offset;
    *contiguous = 1;
    for (int i = t->n_dims - 1; i >= 0; i--) {
        int64_t span;
        if (t->dim[i] > 1 && t->stride[i] != run) *contiguous = 0;
        if (__builtin_mul_overflow(t->dim[i] - 1, t->stride[i], &span) || __builtin_add_overflow(last, span, &last))
            return so_fail(w->error, SO_ERR_FORMAT, "tensor '%.200s' reaches beyond 2^63 elements", w->name);
        run *= t->dim[i]; /* so_view_measure has seen that it fits */
    }
    if (__builtin_add_overflow(last, 1, reach))
        return so_fail(w->error, SO_ERR_FORMAT, "tensor '%.200s' reaches beyond 2^63 elements", w->name);
    return SO_OK;
}

static void gather(char *to, const char *from, const so_pickle_tensor *t, size_t size, int64_t n)
{
    int64_t index[SO_VIEW_DIMS] = {0}, at = t->offset;
    for (int64_t k = 0; k < n; k++) {
        memcpy(to + (size_t)k * size, from + (size_t)at * size, size);
        for (int i = t->n_dims - 1; i >= 0; i--) {
            at += t->stride[i];
            if (++index[i] < t->dim[i]) break;
            at -= t->stride[i] * t->dim[i];
            index[i] = 0;
        }
    }
}

/* A strided copy, within what the whole file may ask for. */
static so_status copy_tensor(walk *w, const so_pickle_tensor *t, const char *from, so_view *view)
{
    if (view->bytes > w->copies)
        return so_fail(w->error, SO_ERR_LIMIT, "tensor '%.200s': strided copies exceed %d times the file's size",
                       w->name, COPIES_MAX);
    w->copies -= view->bytes;
    char *to = so_views_own(&w->file->views, view->bytes);
    if (!to) return so_fail(w->error, SO_ERR_NOMEM, "no memory for %zu bytes of '%.200s'", view->bytes, w->name);
    gather(to, from, t, (size_t)so_type_about(view->type)->bytes, so_view_elements(view));
    view->data = to;
    return SO_OK;
}

static so_status add_tensor(walk *w, const so_pickle_tensor *t)
{
    const so_pickle_value *storage = &w->pickle.value[t->storage];
    so_span name = so_span_of(w->name), bytes = {0};
    so_view view = {.type = (so_type)storage->storage.type, .n_dims = t->n_dims};
    memcpy(view.dim, t->dim, sizeof view.dim);
    SO_TRY(so_name_check(name, w->error));
    SO_TRY(so_view_measure(&view, name, w->error));
    if (view.bytes) {
        int contiguous;
        int64_t reach = 0;
        size_t size = (size_t)so_type_about(view.type)->bytes;
        SO_TRY(storage_bytes(w, storage->storage.key, &bytes));
        SO_TRY(measure_strides(w, t, &contiguous, &reach));
        if ((uint64_t)storage->elements > bytes.length / size || reach > storage->elements)
            return so_fail(w->error, SO_ERR_FORMAT, "tensor '%s' reaches element %lld of %lld in %zu bytes of type %s",
                           w->name, (long long)reach, (long long)storage->elements, bytes.length,
                           so_type_about(view.type)->name);
        if (contiguous)
            view.data = bytes.data + (size_t)t->offset * size;
        else
            SO_TRY(copy_tensor(w, t, bytes.data, &view));
    }
    return so_views_add(&w->file->views, name, &view, w->error);
}

static so_status add_scalar(walk *w, const so_pickle_value *value)
{
    static const so_torchzip_kind kinds[] = {
        [SO_PICKLE_NONE] = SO_TORCHZIP_NONE,     [SO_PICKLE_BOOL] = SO_TORCHZIP_BOOL,
        [SO_PICKLE_INT] = SO_TORCHZIP_INT,       [SO_PICKLE_FLOAT] = SO_TORCHZIP_FLOAT,
        [SO_PICKLE_STRING] = SO_TORCHZIP_STRING,
    };
    so_torchzip *file = w->file;
    SO_TRY(so_name_check(so_span_of(w->name), w->error));
    SO_TRY(so_grow(&file->scalar, file->n_scalars, &file->capacity, sizeof *file->scalar, w->error));
    so_torchzip_scalar scalar = {.kind = kinds[value->kind]};
    if (value->kind == SO_PICKLE_BOOL || value->kind == SO_PICKLE_INT) scalar.i = value->i;
    if (value->kind == SO_PICKLE_FLOAT) scalar.f = value->f;
    if (value->kind == SO_PICKLE_STRING) scalar.s = value->s;
    scalar.name = strdup(w->name);
    if (!scalar.name) return so_fail(w->error, SO_ERR_NOMEM, "no memory for a name");
    file->scalar[file->n_scalars++] = scalar;
    return SO_OK;
}

/* Appends ".part" to the name, whose length so far is `at`. */
static so_status extend(walk *w, size_t at, so_span part, size_t *length)
{
    size_t dot = at ? 1 : 0;
    if (part.length > SO_VIEW_NAME_MAX - at - dot || memchr(part.data, 0, part.length))
        return so_fail(w->error, SO_ERR_FORMAT, "below '%.200s': a name holds a zero byte or makes more than %d bytes",
                       w->name, SO_VIEW_NAME_MAX);
    if (dot) w->name[at] = '.';
    memcpy(w->name + at + dot, part.data, part.length);
    *length = at + dot + part.length;
    w->name[*length] = 0;
    return SO_OK;
}

static so_status visit(walk *w, int32_t number, size_t at, int depth);

static so_status visit_items(walk *w, const so_pickle_value *value, size_t at, int depth)
{
    int step = value->kind == SO_PICKLE_DICT ? 2 : 1;
    if (depth >= DEPTH_MAX)
        return so_fail(w->error, SO_ERR_LIMIT, "'%.200s' is nested deeper than %d", w->name, DEPTH_MAX);
    for (int64_t i = 0; i < value->items.n; i += step) {
        char digits[24];
        long long number = i;
        so_span part = {digits, 0};
        if (step == 2) {
            const so_pickle_value *key = &w->pickle.value[value->items.item[i]];
            if (key->kind == SO_PICKLE_STRING)
                part = key->s;
            else if (key->kind == SO_PICKLE_INT)
                number = key->i;
            else
                return so_fail(w->error, SO_ERR_UNSUPPORTED, "below '%.200s': a key is no string", w->name);
        }
        if (part.data == digits) part.length = (size_t)snprintf(digits, sizeof digits, "%lld", number);
        size_t length = 0;
        SO_TRY(extend(w, at, part, &length));
        SO_TRY(visit(w, value->items.item[i + step - 1], length, depth + 1));
        w->name[at] = 0;
    }
    return SO_OK;
}

/* Values may be shared: a genuine file visits no more of them than its pickle has bytes, a bomb many more. */
static so_status visit(walk *w, int32_t number, size_t at, int depth)
{
    const so_pickle_value *value = &w->pickle.value[number];
    if (w->budget-- == 0) return so_fail(w->error, SO_ERR_LIMIT, "at '%.200s': too many shared values", w->name);
    switch (value->kind) {
    case SO_PICKLE_TENSOR:
        return add_tensor(w, &w->pickle.tensor[value->i]);
    case SO_PICKLE_DICT:
    case SO_PICKLE_LIST:
    case SO_PICKLE_TUPLE:
        return visit_items(w, value, at, depth);
    case SO_PICKLE_GLOBAL:
    case SO_PICKLE_STORAGE:
        return so_fail(w->error, SO_ERR_UNSUPPORTED, "'%.200s' is neither a tensor nor a plain value", w->name);
    default:
        return add_scalar(w, value);
    }
}

/* The archive holds one folder of any name with data.pkl in it. */
static so_status find_pickle(walk *w, so_span *pickle)
{
    static const char end[] = "/data.pkl";
    size_t n = sizeof end - 1;
    const so_span *found = NULL;
    for (int64_t i = 0; i < w->zip.names.count; i++) {
        const so_span *name = &w->zip.names.key[i];
        if (name->length < n || memcmp(name->data + name->length - n, end, n) != 0) continue;
        if (found) return so_fail(w->error, SO_ERR_FORMAT, "the archive holds more than one data.pkl");
        found = name;
    }
    if (!found) return so_fail(w->error, SO_ERR_MISSING, "the archive holds no data.pkl");
    w->root = (so_span){found->data, found->length - n + 1};
    if (w->root.length > 512)
        return so_fail(w->error, SO_ERR_FORMAT, "the archive's folder has %zu bytes of name", w->root.length);
    return so_zip_find(&w->zip, *found, pickle, w->error);
}

static so_status check_byte_order(walk *w)
{
    char path[600];
    int length = snprintf(path, sizeof path, "%.*sbyteorder", (int)w->root.length, w->root.data);
    so_span name = {path, (size_t)length}, order = {0};
    if (so_names_find(&w->zip.names, name) < 0) return SO_OK;
    SO_TRY(so_zip_find(&w->zip, name, &order, w->error));
    if (order.length != 6 || memcmp(order.data, "little", 6) != 0)
        return so_fail(w->error, SO_ERR_UNSUPPORTED, "byte order '%.*s', expected 'little'", SO_SPAN_ARGS(order));
    return SO_OK;
}

static so_status read_archive(walk *w, const void *data, size_t size)
{
    so_span pickle = {0};
    SO_TRY(so_zip_init(&w->zip, data, size, w->error));
    SO_TRY(find_pickle(w, &pickle));
    SO_TRY(check_byte_order(w));
    SO_TRY(so_pickle_init(&w->pickle, pickle, w->error));
    if (w->pickle.value[w->pickle.root].kind != SO_PICKLE_DICT)
        return so_fail(w->error, SO_ERR_UNSUPPORTED, "the file does not hold a dict");
    w->budget = pickle.length;
    w->copies = (uint64_t)size * COPIES_MAX;
    SO_TRY(visit(w, w->pickle.root, 0, 0));
    return so_views_align(&w->file->views, w->error);
}

so_status so_torchzip_open_memory(so_torchzip **out, const void *data, size_t size, so_error *error)
{
    *out = NULL;
    walk w = {.error = error};
    w.file = calloc(1, sizeof *w.file);
    if (!w.file) return so_fail(error, SO_ERR_NOMEM, "no memory to read a PyTorch file");
    so_status status = read_archive(&w, data, size);
    so_zip_clear(&w.zip);
    so_pickle_clear(&w.pickle);
    if (status == SO_OK)
        *out = w.file;
    else
        so_torchzip_close(&w.file);
    return status;
}

so_status so_torchzip_open(so_torchzip **out, const char *path, so_error *error)
{
    so_map map;
    *out = NULL;
    SO_TRY(so_map_open(&map, path, error));
    so_status status = so_torchzip_open_memory(out, map.data, map.size, error);
    if (status == SO_OK) {
        (*out)->map = map;
        return SO_OK;
    }
    so_map_close(&map);
    so_fail_in(error, "'%.300s'", path);
    return status;
}

void so_torchzip_close(so_torchzip **file)
{
    if (!file || !*file) return;
    so_views_clear(&(*file)->views);
    for (int64_t i = 0; i < (*file)->n_scalars; i++) free(so_mutable((*file)->scalar[i].name));
    free((*file)->scalar);
    so_map_close(&(*file)->map);
    free(*file);
    *file = NULL;
}

const so_views *so_torchzip_views(const so_torchzip *file) { return &file->views; }

int64_t so_torchzip_scalars(const so_torchzip *file) { return file->n_scalars; }

const so_torchzip_scalar *so_torchzip_scalar_at(const so_torchzip *file, int64_t i) { return &file->scalar[i]; }

const so_torchzip_scalar *so_torchzip_find_scalar(const so_torchzip *file, const char *name)
{
    for (int64_t i = 0; i < file->n_scalars; i++)
        if (strcmp(file->scalar[i].name, name) == 0) return &file->scalar[i];
    return NULL;
}
