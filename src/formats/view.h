/* Views: what every reader of stored tensors gives out, and the table that finds them by name.
 *
 * A view points into bytes that belong to the reader (its map, or a copy that its table owns) and lives as long as the
 * reader. Dimensions are row-major: dim[0] is the slowest axis.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_FORMATS_VIEW_H
#define SO_FORMATS_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/type.h"

enum { SO_VIEW_DIMS = 8, SO_VIEW_NAME_MAX = 1023 /* bytes */ };

/* Bytes of text inside a file: not terminated, may be empty. (The name so_span belongs to text/buffer.h.) */
typedef struct so_span {
    const char *data;
    size_t length; /* bytes */
} so_span;

/* A text from a terminated string, which must outlive it. */
so_span so_span_of(const char *string);

/* A text as arguments of "%.*s", cut so that it fits an error. */
#define SO_SPAN_ARGS(text) (int)((text).length < 200 ? (text).length : 200), (text).data

typedef struct so_view {
    const char *name; /* terminated UTF-8 without control characters */
    so_type type;
    int n_dims; /* 0 (one element) to 8 */
    int64_t dim[SO_VIEW_DIMS];
    const void *data; /* little-endian; NULL only if bytes is 0 */
    size_t bytes;
} so_view;

/* Names to numbers 0, 1, ... in the order of adding. Keys are lent: they must outlive the table. */
typedef struct so_names {
    so_span *key;
    int64_t count, capacity;
    uint32_t *slot; /* number + 1, 0 for empty */
    size_t slots;   /* a power of two */
} so_names;

/* The number of `key`, or -1. Accepts a zeroed table. */
int64_t so_names_find(const so_names *names, so_span key);
/* Adds a key that is not there yet; its number is the count before. SO_ERR_NOMEM, SO_ERR_LIMIT (2^30 names). */
so_status so_names_add(so_names *names, so_span key, so_error *error);
void so_names_clear(so_names *names);

/* Views in the order of their file. Read `view` and `count`; the rest is private. */
typedef struct so_views {
    so_view *view;
    int64_t count, capacity;
    so_names names;
    void **owned; /* copies of data */
    int64_t n_owned, owned_capacity;
} so_views;

/* The view of that name, or NULL. */
const so_view *so_views_find(const so_views *views, const char *name);
/* Adds a view under a copy of `name` (view->name is not looked at). A second tensor of one name is SO_ERR_FORMAT. */
so_status so_views_add(so_views *views, so_span name, const so_view *view, so_error *error);
/* Whether a view's data is a copy that the table owns rather than a place in a file. */
bool so_views_owns(const so_views *views, const so_view *view);
/* Memory of `bytes` (at least 1), aligned for any type, that lives as long as the table; NULL when there is none. */
void *so_views_own(so_views *views, size_t bytes);
/* Gives every view whose data does not lie on its type's natural boundary an aligned copy. */
so_status so_views_align(so_views *views, so_error *error);
/* Frees everything the table owns. Accepts a zeroed table. */
void so_views_clear(so_views *views);

/* Number of elements: the product of the dimensions. */
int64_t so_view_elements(const so_view *view);
/* Fills view->bytes from type and dimensions. SO_ERR_FORMAT, naming the tensor `name`: more than 8 or negative
 * dimensions, a size beyond 2^63, a last axis that is not a multiple of the type's block. */
so_status so_view_measure(so_view *view, so_span name, so_error *error);
/* SO_ERR_FORMAT unless `name` has 1..1023 bytes of valid UTF-8 without control characters. */
so_status so_name_check(so_span name, so_error *error);
/* Writes "bf16 [128, 64]" into `text` for an error; returns `text`. */
const char *so_view_describe(const so_view *view, char *text, size_t size);

/* Makes room for one more item of `size` bytes in the array *items with `count` of *capacity used. */
so_status so_grow(void *items, int64_t count, int64_t *capacity, size_t size, so_error *error);

#endif
