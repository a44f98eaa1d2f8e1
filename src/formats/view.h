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
#include "base/grow.h"
#include "base/names.h"
#include "base/type.h"

enum { SO_VIEW_DIMS = 8, SO_VIEW_NAME_MAX = 1023 /* bytes */ };

typedef struct so_view {
    const char *name; /* terminated UTF-8 without control characters */
    so_type type;
    int n_dims; /* 0 (one element) to 8 */
    int64_t dim[SO_VIEW_DIMS];
    const void *data; /* little-endian; NULL only if bytes is 0 */
    size_t bytes;
} so_view;

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

#endif
