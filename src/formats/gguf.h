/* GGUF version 3: reading and writing.
 *
 * Layout: "GGUF", version, counts, key-values, tensor infos, then the data, each tensor on a multiple of
 * general.alignment. GGUF lists dimensions fastest first; here they are row-major, dim[0] slowest, as everywhere.
 * Source: docs/files.md 2.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_FORMATS_GGUF_H
#define SO_FORMATS_GGUF_H

#include <stdbool.h>

#include "formats/view.h"

/* Value types, numbered as in the file. */
typedef enum so_gguf_type {
    SO_GGUF_U8,
    SO_GGUF_I8,
    SO_GGUF_U16,
    SO_GGUF_I16,
    SO_GGUF_U32,
    SO_GGUF_I32,
    SO_GGUF_F32,
    SO_GGUF_BOOL,
    SO_GGUF_STRING,
    SO_GGUF_ARRAY,
    SO_GGUF_U64,
    SO_GGUF_I64,
    SO_GGUF_F64,
    SO_GGUF_TYPE_COUNT
} so_gguf_type;

enum { SO_GGUF_ALIGNMENT = 32 /* of files written here */ };

typedef struct so_gguf so_gguf;

/* Maps `path` and checks all of it but the tensors' bytes. SO_ERR_IO, SO_ERR_FORMAT, SO_ERR_UNSUPPORTED (another
 * version, a big-endian file, a tensor of a ggml type without an so_type, an array of arrays). Of a split
 * model ("name-00001-of-00005.gguf") `path` is the first part: the tensors of all are given, in order. */
so_status so_gguf_open(so_gguf **out, const char *path, so_error *error);
/* The same from bytes in memory, lent until close; a part of a split is SO_ERR_UNSUPPORTED. */
so_status so_gguf_open_memory(so_gguf **out, const void *data, size_t size, so_error *error);
void so_gguf_close(so_gguf **gguf);

/* All tensors in file order. Lives until close. */
const so_views *so_gguf_views(const so_gguf *gguf);

int64_t so_gguf_keys(const so_gguf *gguf);           /* how many */
so_span so_gguf_key(const so_gguf *gguf, int64_t i); /* 0 <= i < keys */
bool so_gguf_has(const so_gguf *gguf, const char *key);

/* Getters: SO_ERR_MISSING when the key is absent, SO_ERR_TYPE when the value is of another kind. An integer of any
 * width that fits is accepted for u32 and i64, f32 and f64 for f32 (rounded). */
so_status so_gguf_u32(const so_gguf *gguf, const char *key, uint32_t *value, so_error *error);
so_status so_gguf_i64(const so_gguf *gguf, const char *key, int64_t *value, so_error *error);
so_status so_gguf_f32(const so_gguf *gguf, const char *key, float *value, so_error *error);
so_status so_gguf_bool(const so_gguf *gguf, const char *key, bool *value, so_error *error);
/* The text lies in the file: not terminated, lives until close. */
so_status so_gguf_string(const so_gguf *gguf, const char *key, so_span *value, so_error *error);

/* An array of n items in the file; lives until close. Items are read with the functions below, 0 <= i < n. */
typedef struct so_gguf_array {
    so_gguf_type type;
    int64_t n;
    const unsigned char *data; /* unaligned */
    const uint64_t *offset;    /* of each string's length, from data; NULL for other types */
} so_gguf_array;

/* SO_ERR_TYPE unless the value is an array of exactly `type`. */
so_status so_gguf_array_of(const so_gguf *gguf, const char *key, so_gguf_type type, so_gguf_array *array,
                           so_error *error);
so_span so_gguf_string_at(const so_gguf_array *array, int64_t i);

static inline float so_gguf_f32_at(const so_gguf_array *array, int64_t i)
{
    float value;
    memcpy(&value, array->data + 4 * i, 4);
    return value;
}

static inline int32_t so_gguf_i32_at(const so_gguf_array *array, int64_t i)
{
    int32_t value;
    memcpy(&value, array->data + 4 * i, 4);
    return value;
}

typedef struct so_gguf_writer so_gguf_writer;

/* Starts writing `path`, which appears whole at commit or not at all. Then: key-values and declarations in any order,
 * the data of every tensor in declared order, commit. Alignment is 32. */
so_status so_gguf_create(so_gguf_writer **out, const char *path, so_error *error);
/* Key-values, copied. A key that is already there is SO_ERR_ARG. Texts may hold any bytes. */
so_status so_gguf_set_u32(so_gguf_writer *writer, const char *key, uint32_t value, so_error *error);
so_status so_gguf_set_u16(so_gguf_writer *writer, const char *key, uint16_t value, so_error *error);
so_status so_gguf_set_i32(so_gguf_writer *writer, const char *key, int32_t value, so_error *error);
so_status so_gguf_set_i64(so_gguf_writer *writer, const char *key, int64_t value, so_error *error);
so_status so_gguf_set_f32(so_gguf_writer *writer, const char *key, float value, so_error *error);
so_status so_gguf_set_bool(so_gguf_writer *writer, const char *key, bool value, so_error *error);
so_status so_gguf_set_string(so_gguf_writer *writer, const char *key, const char *value, so_error *error);
so_status so_gguf_set_strings(so_gguf_writer *writer, const char *key, const so_span *value, int64_t n,
                              so_error *error);
so_status so_gguf_set_f32s(so_gguf_writer *writer, const char *key, const float *value, int64_t n, so_error *error);
so_status so_gguf_set_i32s(so_gguf_writer *writer, const char *key, const int32_t *value, int64_t n, so_error *error);
/* Declares a tensor of at most 4 dimensions, dim[0] slowest. U8 has no ggml type: SO_ERR_UNSUPPORTED. Names above 63
 * bytes are read here but not by ggml. */
so_status so_gguf_declare(so_gguf_writer *writer, const char *name, so_type type, int n_dims, const int64_t *dim,
                          so_error *error);
/* Writes the tensor `name`, which must be the next declared one and have exactly `bytes`; otherwise SO_ERR_STATE. */
so_status so_gguf_put(so_gguf_writer *writer, const char *name, const void *data, size_t bytes, so_error *error);
/* The bytes that a file with these keys and declarations begins with, padded, for whoever writes the data by other
 * means (each tensor padded to SO_GGUF_ALIGNMENT). `path` of create may be NULL then. The caller frees *head with
 * free(). */
so_status so_gguf_head(so_gguf_writer *writer, char **head, size_t *bytes, so_error *error);
/* Finishes the file and frees the writer, also on failure. SO_ERR_STATE when a declared tensor has no data yet. */
so_status so_gguf_commit(so_gguf_writer **writer, so_error *error);
/* Gives up: nothing is left on disk. Accepts NULL and a null writer. */
void so_gguf_drop(so_gguf_writer **writer);

/* The ggml type number of `type`, or -1. */
int so_gguf_type_number(so_type type);

#endif
