/* GGUF: reading and checking.
 * SPDX-License-Identifier: Apache-2.0 */
#include "formats/gguf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/guess.h"

enum { KEY_MAX = 65535, ALIGNMENT_MAX = 1 << 16, PARTS_MAX = 9999 };

typedef struct entry {
    so_gguf_type type;
    so_gguf_array array; /* of one item for a plain value */
} entry;

struct so_gguf {
    so_map map;
    so_views views;
    so_names keys;
    entry *entries;
    int64_t capacity;
    void **offsets; /* string tables of arrays */
    int64_t n_offsets, offsets_capacity;
    int64_t part, parts; /* of a split; 0 and 1 for a file that is whole */
    so_gguf **more;      /* [parts - 1] the others, of the first */
};

typedef struct cursor {
    const unsigned char *data;
    size_t at, size;
} cursor;

static const char *const type_names[SO_GGUF_TYPE_COUNT] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                                           "bool", "string", "array", "u64", "i64", "f64"};
/* Bytes per item; 0 for those of no fixed size. */
static const unsigned char type_sizes[SO_GGUF_TYPE_COUNT] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

static const struct {
    const char *name;
    int type; /* so_type, or -1: not supported */
} ggml_types[] = {
    {"F32", SO_F32},    {"F16", SO_F16},    {"Q4_0", SO_Q4_0},  {"Q4_1", -1},     {"Q4_2", -1},    {"Q4_3", -1},
    {"Q5_0", SO_Q5_0},  {"Q5_1", -1},       {"Q8_0", SO_Q8_0},  {"Q8_1", -1},     {"Q2_K", -1},    {"Q3_K", -1},
    {"Q4_K", SO_Q4_K},  {"Q5_K", SO_Q5_K},  {"Q6_K", SO_Q6_K},  {"Q8_K", -1},     {"IQ2_XXS", -1}, {"IQ2_XS", -1},
    {"IQ3_XXS", -1},    {"IQ1_S", -1},      {"IQ4_NL", -1},     {"IQ3_S", -1},    {"IQ2_S", -1},   {"IQ4_XS", -1},
    {"I8", -1},         {"I16", -1},        {"I32", SO_I32},    {"I64", SO_I64},  {"F64", SO_F64}, {"IQ1_M", -1},
    {"BF16", SO_BF16},  {"Q4_0_4_4", -1},   {"Q4_0_4_8", -1},   {"Q4_0_8_8", -1}, {"TQ1_0", -1},   {"TQ2_0", -1},
    {"IQ4_NL_4_4", -1}, {"IQ4_NL_4_8", -1}, {"IQ4_NL_8_8", -1}, {"MXFP4", -1},    {"NVFP4", -1},
};
enum { GGML_TYPES = sizeof ggml_types / sizeof *ggml_types };

int so_gguf_type_number(so_type type)
{
    for (int i = 0; i < GGML_TYPES; i++)
        if (ggml_types[i].type == (int)type) return i;
    return -1;
}

static so_status take(cursor *c, void *out, size_t bytes, so_error *error)
{
    if (bytes > c->size - c->at)
        return so_fail(error, SO_ERR_FORMAT,
                       "the file ends at byte %zu, expected %zu more at byte %zu: it was cut (a download that was not "
                       "finished?)",
                       c->size, bytes, c->at);
    memcpy(out, c->data + c->at, bytes);
    c->at += bytes;
    return SO_OK;
}

static so_status take_text(cursor *c, so_span *text, so_error *error)
{
    uint64_t length = 0;
    SO_TRY(take(c, &length, 8, error));
    if (length > c->size - c->at)
        return so_fail(error, SO_ERR_FORMAT,
                       "a string of %llu bytes at byte %zu of a file of %zu: it was cut, or is damaged",
                       (unsigned long long)length, c->at, c->size);
    *text = (so_span){(const char *)c->data + c->at, (size_t)length};
    c->at += (size_t)length;
    return SO_OK;
}

static so_status take_strings(so_gguf *gguf, cursor *c, so_gguf_array *array, so_error *error)
{
    SO_TRY(so_grow(&gguf->offsets, gguf->n_offsets, &gguf->offsets_capacity, sizeof *gguf->offsets, error));
    uint64_t *offset = malloc((size_t)(array->n ? array->n : 1) * sizeof *offset);
    if (!offset) return so_fail(error, SO_ERR_NOMEM, "no memory for %lld strings", (long long)array->n);
    gguf->offsets[gguf->n_offsets++] = offset;
    array->offset = offset;
    size_t begin = c->at;
    so_span skipped;
    for (int64_t i = 0; i < array->n; i++) {
        offset[i] = c->at - begin;
        SO_TRY(take_text(c, &skipped, error));
    }
    return SO_OK;
}

/* Reads `array->n` items of `array->type`. Every item has at least one byte in the file, so that a count beyond what
 * is left is refused before memory is taken for it. */
static so_status take_items(so_gguf *gguf, cursor *c, so_gguf_array *array, so_error *error)
{
    size_t least = array->type == SO_GGUF_STRING ? 8 : type_sizes[array->type];
    if ((uint64_t)array->n > (c->size - c->at) / least)
        return so_fail(error, SO_ERR_FORMAT,
                       "%lld items of type %s at byte %zu of a file of %zu: it was cut, or is damaged",
                       (long long)array->n, type_names[array->type], c->at, c->size);
    array->data = c->data + c->at;
    if (array->type == SO_GGUF_STRING) return take_strings(gguf, c, array, error);
    if (array->type == SO_GGUF_BOOL)
        for (int64_t i = 0; i < array->n; i++)
            if (array->data[i] > 1)
                return so_fail(error, SO_ERR_FORMAT, "a bool of %d at byte %zu", array->data[i], c->at + (size_t)i);
    c->at += (size_t)array->n * least;
    return SO_OK;
}

static so_status take_entry(so_gguf *gguf, cursor *c, so_error *error)
{
    so_span key = {0};
    uint32_t type = 0;
    uint64_t n = 1;
    SO_TRY(take_text(c, &key, error));
    if (!key.length || key.length > KEY_MAX)
        return so_fail(error, SO_ERR_FORMAT, "a key of %zu bytes, expected 1 to %d", key.length, KEY_MAX);
    if (so_names_find(&gguf->keys, key) >= 0)
        return so_fail(error, SO_ERR_FORMAT, "key '%.*s' appears twice", SO_SPAN_ARGS(key));
    SO_TRY(take(c, &type, 4, error));
    SO_TRY(so_grow(&gguf->entries, gguf->keys.count, &gguf->capacity, sizeof *gguf->entries, error));
    entry *e = &gguf->entries[gguf->keys.count];
    memset(e, 0, sizeof *e);
    e->type = (so_gguf_type)type;
    if (type == SO_GGUF_ARRAY) {
        SO_TRY(take(c, &type, 4, error));
        SO_TRY(take(c, &n, 8, error));
        if (type == SO_GGUF_ARRAY)
            return so_fail(error, SO_ERR_UNSUPPORTED, "key '%.*s' is an array of arrays", SO_SPAN_ARGS(key));
    }
    if (type >= SO_GGUF_TYPE_COUNT)
        return so_fail(error, SO_ERR_FORMAT, "key '%.*s' has a value of type %u, expected 0 to %d", SO_SPAN_ARGS(key),
                       type, SO_GGUF_TYPE_COUNT - 1);
    if (n > INT64_MAX) return so_fail(error, SO_ERR_FORMAT, "key '%.*s' has 2^63 items or more", SO_SPAN_ARGS(key));
    e->array.type = (so_gguf_type)type;
    e->array.n = (int64_t)n;
    SO_TRY(take_items(gguf, c, &e->array, error));
    return so_names_add(&gguf->keys, key, error);
}

/* One tensor info; view->data is left for later, the offset goes to *offset. */
static so_status take_info(so_gguf *gguf, cursor *c, uint64_t *offset, so_error *error)
{
    so_span name = {0};
    uint32_t n_dims = 0, type = 0;
    uint64_t dim = 0;
    so_view view = {0};
    SO_TRY(take_text(c, &name, error));
    SO_TRY(so_name_check(name, error));
    SO_TRY(take(c, &n_dims, 4, error));
    if (n_dims > 4)
        return so_fail(error, SO_ERR_FORMAT, "tensor '%.*s' has %u dimensions, expected at most 4", SO_SPAN_ARGS(name),
                       n_dims);
    view.n_dims = (int)n_dims;
    for (int i = view.n_dims - 1; i >= 0; i--) {
        SO_TRY(take(c, &dim, 8, error));
        if (dim > INT64_MAX)
            return so_fail(error, SO_ERR_FORMAT, "tensor '%.*s' has a dimension of %llu", SO_SPAN_ARGS(name),
                           (unsigned long long)dim);
        view.dim[i] = (int64_t)dim;
    }
    SO_TRY(take(c, &type, 4, error));
    if (type >= GGML_TYPES)
        return so_fail(error, SO_ERR_UNSUPPORTED, "tensor '%.*s' has the unknown ggml type %u", SO_SPAN_ARGS(name),
                       type);
    if (ggml_types[type].type < 0)
        return so_fail(error, SO_ERR_UNSUPPORTED, "tensor '%.*s' has the ggml type %s (%u), which is not supported",
                       SO_SPAN_ARGS(name), ggml_types[type].name, type);
    view.type = (so_type)ggml_types[type].type;
    SO_TRY(take(c, offset, 8, error));
    SO_TRY(so_view_measure(&view, name, error));
    return so_views_add(&gguf->views, name, &view, error);
}

typedef struct place {
    uint64_t offset;
    const so_view *view;
} place;

static int by_offset(const void *a, const void *b)
{
    const place *x = a, *y = b;
    if (x->offset != y->offset) return x->offset < y->offset ? -1 : 1;
    return x->view->bytes < y->view->bytes ? -1 : x->view->bytes > y->view->bytes;
}

/* Sets every view's data. Tensors may leave holes (padding), but may not overlap or leave the file. */
static so_status place_tensors(so_gguf *gguf, place *places, so_span data, size_t alignment, so_error *error)
{
    int64_t n = gguf->views.count;
    for (int64_t i = 0; i < n; i++) {
        so_view *view = &gguf->views.view[i];
        places[i].view = view;
        uint64_t offset = places[i].offset;
        if (offset % alignment)
            return so_fail(error, SO_ERR_FORMAT, "tensor '%.200s' lies at %llu of the data, expected a multiple of %zu",
                           view->name, (unsigned long long)offset, alignment);
        if (view->bytes && (offset > data.length || view->bytes > data.length - offset))
            return so_fail(
                error, SO_ERR_FORMAT,
                "tensor '%.200s' has %zu bytes at %llu of %zu bytes of data: the file was cut (a download that was not "
                "finished?)",
                view->name, view->bytes, (unsigned long long)offset, data.length);
        if (view->bytes) view->data = data.data + offset;
    }
    if (n) qsort(places, (size_t)n, sizeof *places, by_offset);
    const so_view *before = NULL;
    for (int64_t i = 0; i < n; i++) {
        const so_view *view = places[i].view;
        if (!view->bytes) continue;
        if (before && (const char *)before->data + before->bytes > (const char *)view->data)
            return so_fail(error, SO_ERR_FORMAT, "tensors '%.200s' and '%.200s' overlap", before->name, view->name);
        before = view;
    }
    return SO_OK;
}

static so_status take_header(cursor *c, uint64_t *tensors, uint64_t *keys, so_error *error)
{
    char magic[4] = {0};
    uint32_t version = 0;
    const char *what = c->size >= 4 && memcmp(c->data, "GGUF", 4) == 0 ? NULL : so_guess(c->data, c->size);
    if (what) return so_fail(error, SO_ERR_FORMAT, "%s, expected a GGUF file", what);
    SO_TRY(take(c, magic, 4, error));
    if (memcmp(magic, "GGUF", 4) != 0) return so_fail(error, SO_ERR_FORMAT, "the file does not begin with 'GGUF'");
    SO_TRY(take(c, &version, 4, error));
    if (version == __builtin_bswap32(3)) return so_fail(error, SO_ERR_UNSUPPORTED, "a big-endian GGUF file");
    if (version != 3) return so_fail(error, SO_ERR_UNSUPPORTED, "GGUF version %u, expected 3", version);
    SO_TRY(take(c, tensors, 8, error));
    SO_TRY(take(c, keys, 8, error));
    /* the shortest key-value has 8 + 1 + 4 + 1 bytes, the shortest tensor info 8 + 1 + 4 + 4 + 8 */
    size_t left = c->size - c->at;
    if (*keys > left / 14 || *tensors > left / 25)
        return so_fail(error, SO_ERR_FORMAT, "%llu key-values and %llu tensors announced in a file of %zu bytes",
                       (unsigned long long)*keys, (unsigned long long)*tensors, c->size);
    return SO_OK;
}

static so_status read_settings(so_gguf *gguf, size_t *alignment, so_error *error)
{
    uint32_t align = 32;
    int64_t parts = 1;
    if (so_gguf_has(gguf, "general.alignment")) SO_TRY(so_gguf_u32(gguf, "general.alignment", &align, error));
    if (align < 8 || align % 8 || align > ALIGNMENT_MAX)
        return so_fail(error, SO_ERR_FORMAT, "general.alignment is %u, expected a multiple of 8 up to %d", align,
                       ALIGNMENT_MAX);
    *alignment = align;
    if (so_gguf_has(gguf, "split.count")) SO_TRY(so_gguf_i64(gguf, "split.count", &parts, error));
    if (so_gguf_has(gguf, "split.no")) SO_TRY(so_gguf_i64(gguf, "split.no", &gguf->part, error));
    if (parts < 1 || parts > PARTS_MAX || gguf->part < 0 || gguf->part >= parts)
        return so_fail(error, SO_ERR_FORMAT, "part %lld of %lld, expected at most %d", (long long)gguf->part,
                       (long long)parts, PARTS_MAX);
    gguf->parts = parts;
    return SO_OK;
}

static so_status read_gguf(so_gguf *gguf, const void *data, size_t size, so_error *error)
{
    cursor c = {data, 0, size};
    uint64_t tensors = 0, keys = 0;
    size_t alignment = 32;
    SO_TRY(take_header(&c, &tensors, &keys, error));
    for (uint64_t i = 0; i < keys; i++) SO_TRY(take_entry(gguf, &c, error));
    SO_TRY(read_settings(gguf, &alignment, error));
    place *places = malloc((size_t)(tensors ? tensors : 1) * sizeof *places);
    if (!places) return so_fail(error, SO_ERR_NOMEM, "no memory for %llu tensors", (unsigned long long)tensors);
    so_status status = SO_OK;
    for (uint64_t i = 0; i < tensors && status == SO_OK; i++) status = take_info(gguf, &c, &places[i].offset, error);
    if (status == SO_OK) {
        size_t begin = (c.at + alignment - 1) / alignment * alignment;
        so_span rest = {(const char *)data + (begin < size ? begin : size), begin < size ? size - begin : 0};
        status = place_tensors(gguf, places, rest, alignment, error);
    }
    free(places);
    return status == SO_OK ? so_views_align(&gguf->views, error) : status;
}

static so_status open_memory(so_gguf **out, const void *data, size_t size, so_error *error)
{
    *out = NULL;
    so_gguf *gguf = calloc(1, sizeof *gguf);
    if (!gguf) return so_fail(error, SO_ERR_NOMEM, "no memory to read a GGUF file");
    so_status status = read_gguf(gguf, data, size, error);
    if (status == SO_OK)
        *out = gguf;
    else
        so_gguf_close(&gguf);
    return status;
}

so_status so_gguf_open_memory(so_gguf **out, const void *data, size_t size, so_error *error)
{
    SO_TRY(open_memory(out, data, size, error));
    if ((*out)->parts == 1) return SO_OK;
    int64_t parts = (*out)->parts;
    so_gguf_close(out);
    return so_fail(error, SO_ERR_UNSUPPORTED, "one of %lld parts of a split GGUF", (long long)parts);
}

static so_status open_file(so_gguf **out, const char *path, so_error *error)
{
    so_map map;
    *out = NULL;
    SO_TRY(so_map_open(&map, path, error));
    so_status status = open_memory(out, map.data, map.size, error);
    if (status == SO_OK) {
        (*out)->map = map;
        return SO_OK;
    }
    so_map_close(&map);
    so_fail_in(error, "'%.300s'", path);
    return status;
}

/* Opens part `i` beside the first and lends its tensors. */
static so_status open_part(so_gguf *gguf, const char *path, int64_t i, so_error *error)
{
    char name[4096], ending[40];
    size_t length = strlen(path), tail = strlen("-00001-of-00001.gguf");
    snprintf(ending, sizeof ending, "-%05d-of-%05d.gguf", (int)i + 1, (int)gguf->parts);
    snprintf(name, sizeof name, "%.*s%s", (int)(length - tail), path, ending);
    so_gguf *part = NULL;
    SO_TRY(open_file(&gguf->more[i - 1], name, error));
    part = gguf->more[i - 1];
    if (part->part != i || part->parts != gguf->parts)
        return so_fail(error, SO_ERR_FORMAT, "'%.300s' is part %lld of %lld, expected %lld of %lld", name,
                       (long long)part->part + 1, (long long)part->parts, (long long)i + 1, (long long)gguf->parts);
    for (int64_t k = 0; k < part->views.count; k++) {
        const so_view *view = &part->views.view[k];
        if (so_views_add(&gguf->views, so_span_of(view->name), view, error) != SO_OK)
            return so_fail_in(error, "'%.300s'", name);
    }
    return SO_OK;
}

static so_status open_parts(so_gguf *gguf, const char *path, so_error *error)
{
    char ending[40];
    size_t length = strlen(path);
    int64_t tensors = 0;
    int n = snprintf(ending, sizeof ending, "-00001-of-%05d.gguf", (int)gguf->parts);
    if (gguf->part != 0 || length < (size_t)n || length > 4000 || strcmp(path + length - (size_t)n, ending) != 0)
        return so_fail(error, SO_ERR_UNSUPPORTED,
                       "'%.300s' is part %lld of %lld of a split model; give the first part, whose name ends in %s",
                       path, (long long)gguf->part + 1, (long long)gguf->parts, ending);
    gguf->more = calloc((size_t)gguf->parts, sizeof *gguf->more);
    if (!gguf->more) return so_fail(error, SO_ERR_NOMEM, "no memory for %lld parts", (long long)gguf->parts);
    for (int64_t i = 1; i < gguf->parts; i++) SO_TRY(open_part(gguf, path, i, error));
    if (so_gguf_has(gguf, "split.tensors.count")) {
        SO_TRY(so_gguf_i64(gguf, "split.tensors.count", &tensors, error));
        if (tensors != gguf->views.count)
            return so_fail(error, SO_ERR_FORMAT, "'%.300s': %lld tensors announced, its parts hold %lld", path,
                           (long long)tensors, (long long)gguf->views.count);
    }
    return SO_OK;
}

so_status so_gguf_open(so_gguf **out, const char *path, so_error *error)
{
    SO_TRY(open_file(out, path, error));
    if ((*out)->parts == 1) return SO_OK;
    so_status status = open_parts(*out, path, error);
    if (status != SO_OK) so_gguf_close(out);
    return status;
}

void so_gguf_close(so_gguf **gguf)
{
    if (!gguf || !*gguf) return;
    for (int64_t i = 0; (*gguf)->more && i + 1 < (*gguf)->parts; i++) so_gguf_close(&(*gguf)->more[i]);
    free((*gguf)->more);
    so_views_clear(&(*gguf)->views);
    so_names_clear(&(*gguf)->keys);
    for (int64_t i = 0; i < (*gguf)->n_offsets; i++) free((*gguf)->offsets[i]);
    free((*gguf)->offsets);
    free((*gguf)->entries);
    so_map_close(&(*gguf)->map);
    free(*gguf);
    *gguf = NULL;
}

const so_views *so_gguf_views(const so_gguf *gguf) { return &gguf->views; }

int64_t so_gguf_keys(const so_gguf *gguf) { return gguf->keys.count; }

so_span so_gguf_key(const so_gguf *gguf, int64_t i) { return gguf->keys.key[i]; }

bool so_gguf_has(const so_gguf *gguf, const char *key) { return so_names_find(&gguf->keys, so_span_of(key)) >= 0; }

static so_status find(const so_gguf *gguf, const char *key, const entry **out, so_error *error)
{
    int64_t i = so_names_find(&gguf->keys, so_span_of(key));
    if (i < 0) return so_fail(error, SO_ERR_MISSING, "key '%s' is missing", key);
    *out = &gguf->entries[i];
    return SO_OK;
}

static so_status wrong_type(const char *key, const entry *e, const char *expected, so_error *error)
{
    return so_fail(error, SO_ERR_TYPE, "key '%s' is %s%s, expected %s", key,
                   e->type == SO_GGUF_ARRAY ? "an array of " : "", type_names[e->array.type], expected);
}

/* A plain integer of any width; a u64 above 2^63 does not fit. */
static so_status integer(const entry *e, int64_t *value)
{
    const unsigned char *p = e->array.data;
    uint16_t half;
    uint32_t word;
    uint64_t wide = 0;
    switch (e->type) {
    case SO_GGUF_U8:
        *value = *p;
        break;
    case SO_GGUF_I8:
        *value = (int8_t)*p;
        break;
    case SO_GGUF_U16:
    case SO_GGUF_I16:
        memcpy(&half, p, 2);
        *value = e->type == SO_GGUF_U16 ? half : (int16_t)half;
        break;
    case SO_GGUF_U32:
    case SO_GGUF_I32:
        memcpy(&word, p, 4);
        *value = e->type == SO_GGUF_U32 ? (int64_t)word : (int32_t)word;
        break;
    case SO_GGUF_U64:
    case SO_GGUF_I64:
        memcpy(&wide, p, 8);
        *value = (int64_t)wide;
        break;
    default:
        return SO_ERR_TYPE;
    }
    return e->type == SO_GGUF_U64 && wide > INT64_MAX ? SO_ERR_TYPE : SO_OK;
}

so_status so_gguf_i64(const so_gguf *gguf, const char *key, int64_t *value, so_error *error)
{
    const entry *e = NULL;
    SO_TRY(find(gguf, key, &e, error));
    return integer(e, value) == SO_OK ? SO_OK : wrong_type(key, e, "an integer below 2^63", error);
}

so_status so_gguf_u32(const so_gguf *gguf, const char *key, uint32_t *value, so_error *error)
{
    const entry *e = NULL;
    int64_t wide;
    SO_TRY(find(gguf, key, &e, error));
    if (integer(e, &wide) != SO_OK) return wrong_type(key, e, "a u32", error);
    if (wide < 0 || wide > UINT32_MAX)
        return so_fail(error, SO_ERR_TYPE, "key '%s' is %lld, expected a u32", key, (long long)wide);
    *value = (uint32_t)wide;
    return SO_OK;
}

so_status so_gguf_f32(const so_gguf *gguf, const char *key, float *value, so_error *error)
{
    const entry *e = NULL;
    double wide;
    SO_TRY(find(gguf, key, &e, error));
    if (e->type == SO_GGUF_F32) {
        memcpy(value, e->array.data, 4);
    } else if (e->type == SO_GGUF_F64) {
        memcpy(&wide, e->array.data, 8);
        *value = (float)wide;
    } else {
        return wrong_type(key, e, "an f32", error);
    }
    return SO_OK;
}

so_status so_gguf_bool(const so_gguf *gguf, const char *key, bool *value, so_error *error)
{
    const entry *e = NULL;
    SO_TRY(find(gguf, key, &e, error));
    if (e->type != SO_GGUF_BOOL) return wrong_type(key, e, "a bool", error);
    *value = *e->array.data != 0;
    return SO_OK;
}

so_status so_gguf_string(const so_gguf *gguf, const char *key, so_span *value, so_error *error)
{
    const entry *e = NULL;
    SO_TRY(find(gguf, key, &e, error));
    if (e->type != SO_GGUF_STRING) return wrong_type(key, e, "a string", error);
    *value = so_gguf_string_at(&e->array, 0);
    return SO_OK;
}

so_status so_gguf_array_of(const so_gguf *gguf, const char *key, so_gguf_type type, so_gguf_array *array,
                           so_error *error)
{
    const entry *e = NULL;
    SO_TRY(find(gguf, key, &e, error));
    if (e->type != SO_GGUF_ARRAY || e->array.type != type) {
        char expected[32] = "an array of ";
        return wrong_type(key, e, strncat(expected, type_names[type], 15), error);
    }
    *array = e->array;
    return SO_OK;
}

so_span so_gguf_string_at(const so_gguf_array *array, int64_t i)
{
    uint64_t length;
    memcpy(&length, array->data + array->offset[i], 8);
    return (so_span){(const char *)array->data + array->offset[i] + 8, (size_t)length};
}
