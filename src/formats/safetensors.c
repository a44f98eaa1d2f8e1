/* safetensors: reading and checking.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "formats/safetensors.h"

#include <dirent.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/guess.h"

enum { HEADER_MAX = 100000000 };

typedef struct shard {
    so_map map;
    json_t *metadata; /* NULL when the file has none */
} shard;

struct so_safetensors {
    so_views views;
    shard *shards;
    int64_t n_shards, capacity;
};

typedef struct extent {
    uint64_t begin, end; /* bytes from the start of the data */
    const char *name;
} extent;

static so_status type_of(const char *dtype, const char *name, so_type *type, so_error *error)
{
    static const struct {
        const char *dtype;
        so_type type;
    } table[] = {{"F32", SO_F32}, {"F16", SO_F16}, {"BF16", SO_BF16}, {"I32", SO_I32},
                 {"I64", SO_I64}, {"U8", SO_U8},   {"BOOL", SO_U8},   {"F64", SO_F64}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (strcmp(dtype, table[i].dtype) != 0) continue;
        *type = table[i].type;
        return SO_OK;
    }
    return so_fail(error, SO_ERR_UNSUPPORTED, "tensor '%.200s' has the element type '%.40s', which is not supported",
                   name, dtype);
}

/* One entry of the header into a measured view and its place in the data. */
static so_status read_entry(const char *name, json_t *entry, size_t data_size, so_view *view, extent *place,
                            so_error *error)
{
    so_span text = so_span_of(name);
    SO_TRY(so_name_check(text, error));
    const char *dtype = json_string_value(json_object_get(entry, "dtype"));
    json_t *shape = json_object_get(entry, "shape"), *offsets = json_object_get(entry, "data_offsets");
    json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    if (!dtype || !json_is_array(shape) || json_array_size(offsets) != 2 || !json_is_integer(begin) ||
        !json_is_integer(end))
        return so_fail(error, SO_ERR_FORMAT, "tensor '%.200s' has no proper dtype, shape and data_offsets", name);
    SO_TRY(type_of(dtype, name, &view->type, error));
    size_t n = json_array_size(shape);
    if (n > SO_VIEW_DIMS)
        return so_fail(error, SO_ERR_FORMAT, "tensor '%.200s' has %zu dimensions, expected at most %d", name, n,
                       SO_VIEW_DIMS);
    view->n_dims = (int)n;
    for (size_t i = 0; i < n; i++) {
        json_t *dim = json_array_get(shape, i);
        if (!json_is_integer(dim))
            return so_fail(error, SO_ERR_FORMAT, "tensor '%.200s' has a dimension that is not an integer", name);
        view->dim[i] = json_integer_value(dim);
    }
    SO_TRY(so_view_measure(view, text, error));
    int64_t from = json_integer_value(begin), to = json_integer_value(end);
    if (from >= 0 && to >= from && (uint64_t)to > data_size)
        return so_fail(
            error, SO_ERR_FORMAT,
            "tensor '%.200s' lies at [%lld, %lld) of %zu bytes of data: the file was cut (a download that was not "
            "finished?)",
            name, (long long)from, (long long)to, data_size);
    if (from < 0 || to < from || (uint64_t)to > data_size)
        return so_fail(error, SO_ERR_FORMAT, "tensor '%.200s' lies at [%lld, %lld) of %zu bytes of data", name,
                       (long long)from, (long long)to, data_size);
    if ((uint64_t)(to - from) != view->bytes)
        return so_fail(error, SO_ERR_FORMAT, "tensor '%.200s' has %lld bytes, its type and shape say %zu", name,
                       (long long)(to - from), view->bytes);
    *place = (extent){(uint64_t)from, (uint64_t)to, name};
    return SO_OK;
}

static int by_place(const void *a, const void *b)
{
    const extent *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

/* The data must be covered once, without overlap and without holes. */
static so_status check_cover(extent *places, size_t n, size_t data_size, so_error *error)
{
    if (n) qsort(places, n, sizeof *places, by_place);
    uint64_t at = 0;
    for (size_t i = 0; i < n; i++) {
        if (places[i].begin != at)
            return so_fail(error, SO_ERR_FORMAT, "tensor '%.200s' begins at byte %llu of the data, expected %llu (%s)",
                           places[i].name, (unsigned long long)places[i].begin, (unsigned long long)at,
                           places[i].begin < at ? "tensors overlap" : "a hole");
        at = places[i].end;
    }
    if (at != data_size)
        return so_fail(error, SO_ERR_FORMAT, "tensors end at byte %llu of the data, the file has %zu",
                       (unsigned long long)at, data_size);
    return SO_OK;
}

static so_status read_metadata(json_t *metadata, so_error *error)
{
    const char *key;
    json_t *value;
    if (!json_is_object(metadata)) return so_fail(error, SO_ERR_FORMAT, "__metadata__ is not an object");
    json_object_foreach(metadata, key, value) if (!json_is_string(value)) return so_fail(
        error, SO_ERR_FORMAT, "__metadata__ '%.200s' is not a string", key);
    return SO_OK;
}

static so_status read_entries(so_safetensors *file, shard *into, json_t *header, so_span data, so_error *error)
{
    const char *name;
    json_t *entry;
    size_t n = 0;
    so_status status = SO_OK;
    extent *places = malloc((json_object_size(header) + 1) * sizeof *places);
    if (!places) return so_fail(error, SO_ERR_NOMEM, "no memory for %zu tensors", json_object_size(header));
    json_object_foreach(header, name, entry)
    {
        if (strcmp(name, "__metadata__") == 0) {
            SO_TRY_GO(read_metadata(entry, error));
            into->metadata = json_incref(entry);
            continue;
        }
        so_view view = {0};
        SO_TRY_GO(read_entry(name, entry, data.length, &view, &places[n], error));
        if (view.bytes) view.data = data.data + places[n].begin;
        n++;
        SO_TRY_GO(so_views_add(&file->views, so_span_of(name), &view, error));
    }
    status = check_cover(places, n, data.length, error);
done:
    free(places);
    return status;
}

static so_status read_shard(so_safetensors *file, shard *into, const void *bytes, size_t size, so_error *error)
{
    const char *data = bytes;
    uint64_t length;
    SO_TRY(so_refuse_stranger(bytes, size, "a safetensors file", error));
    if (size < 8) return so_fail(error, SO_ERR_FORMAT, "%zu bytes, expected at least the 8 of a header length", size);
    memcpy(&length, data, 8);
    const char *what = size > 8 && data[8] != '{' ? so_guess(bytes, size) : NULL;
    if (what) return so_fail(error, SO_ERR_FORMAT, "%s, expected a safetensors file", what);
    if (length > HEADER_MAX)
        return so_fail(error, SO_ERR_LIMIT, "header of %llu bytes, expected at most %d", (unsigned long long)length,
                       HEADER_MAX);
    if (length > size - 8)
        return so_fail(error, SO_ERR_FORMAT,
                       "header of %llu bytes in a file of %zu: it was cut (a download that was not finished?)",
                       (unsigned long long)length, size);
    if (length < 2 || data[8] != '{') return so_fail(error, SO_ERR_FORMAT, "the header does not begin with '{'");
    json_error_t why;
    json_t *header = json_loadb(data + 8, length, JSON_REJECT_DUPLICATES, &why);
    if (!header) return so_fail(error, SO_ERR_FORMAT, "header: byte %d: %.200s", why.position, why.text);
    so_span rest = {data + 8 + length, size - 8 - (size_t)length};
    so_status status = read_entries(file, into, header, rest, error);
    json_decref(header);
    return status;
}

static so_status add_shard(so_safetensors *file, shard **out, so_error *error)
{
    SO_TRY(so_grow(&file->shards, file->n_shards, &file->capacity, sizeof *file->shards, error));
    *out = &file->shards[file->n_shards++];
    memset(*out, 0, sizeof **out);
    return SO_OK;
}

static so_status open_shard(so_safetensors *file, const char *path, so_error *error)
{
    shard *added;
    SO_TRY(add_shard(file, &added, error));
    SO_TRY(so_map_open(&added->map, path, error));
    if (read_shard(file, added, added->map.data, added->map.size, error) != SO_OK)
        return so_fail_in(error, "'%.300s'", path);
    return SO_OK;
}

/* The path of `name` beside `beside`; NULL without memory. The caller frees it. */
static char *sibling(const char *beside, const char *name)
{
    const char *slash = strrchr(beside, '/');
    size_t folder = slash ? (size_t)(slash - beside) + 1 : 0, length = strlen(name);
    char *path = malloc(folder + length + 1);
    if (!path) return NULL;
    memcpy(path, beside, folder);
    memcpy(path + folder, name, length + 1);
    return path;
}

static so_status open_named_shard(so_safetensors *file, const char *index, const char *name, so_error *error)
{
    if (!*name || strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return so_fail(error, SO_ERR_FORMAT, "'%.300s' names the shard '%.200s', expected a plain file name", index,
                       name);
    char *path = sibling(index, name);
    if (!path) return so_fail(error, SO_ERR_NOMEM, "no memory for a path");
    so_status status;
    char found[4096];
    if (access(path, F_OK) == 0)
        status = open_shard(file, path, error);
    else if (so_unfinished(path, found, sizeof found))
        status = so_fail(error, SO_ERR_MISSING,
                         "the shard '%.300s' is not there, its download was not finished ('%.300s')", path, found);
    else
        status = so_fail(error, SO_ERR_MISSING, "the shard '%.300s' that the index names does not exist", path);
    free(path);
    return status;
}

/* Opens every shard of the map {tensor: file} once, then looks for each tensor in the shard that should hold it. */
static so_status open_shards(so_safetensors *file, const char *index, json_t *map, so_error *error)
{
    const char *name;
    json_t *value;
    int64_t *first = NULL; /* per shard: number of its first tensor */
    int64_t capacity = 0;
    so_names shards = {0};
    so_status status = SO_OK;
    json_object_foreach(map, name, value)
    {
        const char *part = json_string_value(value);
        if (!part) {
            status = so_fail(error, SO_ERR_FORMAT, "'%.300s': weight_map '%.200s' is not a string", index, name);
            goto done;
        }
        if (so_names_find(&shards, so_span_of(part)) >= 0) continue;
        SO_TRY_GO(so_grow(&first, shards.count, &capacity, sizeof *first, error));
        first[shards.count] = file->views.count;
        SO_TRY_GO(so_names_add(&shards, so_span_of(part), error));
        SO_TRY_GO(open_named_shard(file, index, part, error));
    }
    json_object_foreach(map, name, value)
    {
        int64_t at = so_names_find(&file->views.names, so_span_of(name));
        int64_t holder = so_names_find(&shards, so_span_of(json_string_value(value)));
        int64_t end = holder + 1 < shards.count ? first[holder + 1] : file->views.count;
        if (at >= first[holder] && at < end) continue;
        status = so_fail(error, SO_ERR_MISSING, "tensor '%.200s' is not in '%.200s', where '%.300s' says it is", name,
                         json_string_value(value), index);
        goto done;
    }
done:
    free(first);
    so_names_clear(&shards);
    return status;
}

static so_status open_index(so_safetensors *file, const char *path, so_error *error)
{
    char *text;
    size_t size;
    json_error_t why;
    SO_TRY(so_file_read(path, HEADER_MAX, &text, &size, error));
    so_status known = so_refuse_strange_text(text, size, error);
    json_t *index = known == SO_OK ? json_loadb(text, size, JSON_REJECT_DUPLICATES, &why) : NULL;
    free(text);
    if (known != SO_OK) return so_fail_in(error, "'%.300s'", path);
    if (!index) return so_fail(error, SO_ERR_FORMAT, "'%.300s': byte %d: %.200s", path, why.position, why.text);
    json_t *map = json_object_get(index, "weight_map");
    so_status status;
    if (json_is_object(map))
        status = open_shards(file, path, map, error);
    else
        status = so_fail(error, SO_ERR_FORMAT, "'%.300s' has no object weight_map", path);
    json_decref(index);
    return status;
}

static int ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* The first file of a folder, by name, that holds weights under another name. */
static bool other_weights(const char *path, char found[256])
{
    static const char *const endings[] = {".safetensors", ".bin", ".pth", ".gguf"};
    DIR *folder = opendir(path);
    found[0] = 0;
    for (struct dirent *entry; folder && (entry = readdir(folder));)
        for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
            if (ends_with(entry->d_name, endings[i]) && (!found[0] || strcmp(entry->d_name, found) < 0))
                snprintf(found, 256, "%s", entry->d_name);
    if (folder) closedir(folder);
    return found[0] != 0;
}

static so_status open_folder(so_safetensors *file, const char *path, so_error *error)
{
    static const char *const names[] = {"model.safetensors", "model.safetensors.index.json"};
    char unfinished[4096] = "";
    for (int i = 0; i < 2; i++) {
        char *inside;
        if (asprintf(&inside, "%s/%s", path, names[i]) < 0) return so_fail(error, SO_ERR_NOMEM, "no memory for a path");
        so_status status = SO_ERR_MISSING;
        int found = access(inside, F_OK) == 0;
        if (found) status = i ? open_index(file, inside, error) : open_shard(file, inside, error);
        if (!found && !unfinished[0] && !so_unfinished(inside, unfinished, sizeof unfinished)) unfinished[0] = 0;
        free(inside);
        if (found) return status;
    }
    if (unfinished[0])
        return so_fail(error, SO_ERR_MISSING, "'%.300s' is a download that was not finished", unfinished);
    char other[256];
    if (other_weights(path, other))
        return so_fail(error, SO_ERR_MISSING, "'%.300s' holds neither %s nor %s; there is '%s'%s", path, names[0],
                       names[1], other, strstr(other, "-of-") ? ", a shard without the index" : "");
    return so_fail(error, SO_ERR_MISSING, "'%s' holds neither %s nor %s", path, names[0], names[1]);
}

static so_status open_path(so_safetensors **out, const char *path, int align, so_error *error)
{
    *out = NULL;
    so_safetensors *file = calloc(1, sizeof *file);
    if (!file) return so_fail(error, SO_ERR_NOMEM, "no memory to open '%s'", path);
    struct stat st;
    so_status status;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        status = open_folder(file, path, error);
    else if (ends_with(path, ".json"))
        status = open_index(file, path, error);
    else
        status = open_shard(file, path, error);
    if (status == SO_OK && align) status = so_views_align(&file->views, error);
    if (status == SO_OK)
        *out = file;
    else
        so_safetensors_close(&file);
    return status;
}

so_status so_safetensors_open(so_safetensors **out, const char *path, so_error *error)
{
    return open_path(out, path, 1, error);
}

so_status so_safetensors_open_unaligned(so_safetensors **out, const char *path, so_error *error)
{
    return open_path(out, path, 0, error);
}

so_status so_safetensors_open_memory(so_safetensors **out, const void *data, size_t size, so_error *error)
{
    *out = NULL;
    so_safetensors *file = calloc(1, sizeof *file);
    if (!file) return so_fail(error, SO_ERR_NOMEM, "no memory to read a safetensors file");
    shard *only;
    so_status status = add_shard(file, &only, error);
    if (status == SO_OK) status = read_shard(file, only, data, size, error);
    if (status == SO_OK) status = so_views_align(&file->views, error);
    if (status == SO_OK)
        *out = file;
    else
        so_safetensors_close(&file);
    return status;
}

void so_safetensors_close(so_safetensors **file)
{
    if (!file || !*file) return;
    so_views_clear(&(*file)->views);
    for (int64_t i = 0; i < (*file)->n_shards; i++) {
        json_decref((*file)->shards[i].metadata);
        so_map_close(&(*file)->shards[i].map);
    }
    free((*file)->shards);
    free(*file);
    *file = NULL;
}

const so_views *so_safetensors_views(const so_safetensors *file) { return &file->views; }

const char *so_safetensors_metadata(const so_safetensors *file, const char *key)
{
    for (int64_t i = 0; i < file->n_shards; i++) {
        const char *value = json_string_value(json_object_get(file->shards[i].metadata, key));
        if (value) return value;
    }
    return NULL;
}
