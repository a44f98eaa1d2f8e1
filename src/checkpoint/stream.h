/* Pouring tensors from maps into one file, a few megabytes at a time: types are changed and rows reordered on the way.
 *
 * What is written is decided before the first byte (head and items), so that a run that was cut off goes on at the
 * tensor where it stopped. Memory stays below about 100 MB however large the tensors are.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_CHECKPOINT_STREAM_H
#define SO_CHECKPOINT_STREAM_H

#include "base/part.h"
#include "base/pool.h"
#include "formats/view.h"

typedef struct so_pour_item {
    const so_view *view; /* lent; its data may be unaligned */
    char *name;          /* in the target; owned by the list */
    so_type type;        /* in the target */
    int n_dims;
    int64_t dim[SO_VIEW_DIMS];
    const float *importance; /* of the columns, for types that are searched for; NULL: all the same */
    int64_t heads; /* > 0: rows change from halves to pairs within each of so many heads, as llama.cpp rotates */
    size_t bytes;  /* in the target */
    bool mapped;   /* the view's data lies in a map of a file: pages are given back once read */
} so_pour_item;

typedef struct so_pour_list {
    so_pour_item *item;
    int64_t count, capacity;
} so_pour_list;

/* Adds a tensor with the shape of `view`. SO_ERR_SHAPE when its rows do not divide into blocks of `type`. */
so_status so_pour_add(so_pour_list *list, const char *name, const so_view *view, so_type type, int64_t heads,
                      so_error *error);
void so_pour_clear(so_pour_list *list);

/* Told after every few megabytes: bytes of the target done and in all, for the whole work. Anything but SO_OK stops;
 * what is written stays. */
typedef so_status (*so_pour_step)(void *context, double done, double total, so_error *error);

typedef struct so_pour_work {
    so_pool *pool;
    so_pour_step step; /* may be NULL */
    void *context;
    double before, total; /* bytes done in files before this one; bytes of all files */
    so_status (*trusted)(const void *source, so_error *error); /* asked before a file appears; may be NULL */
    const void *source;
} so_pour_work;

/* Writes head and items [first, first + n), each padded with zeros to `alignment`, to `path` under the identity; see
 * base/part.h for what may fail. */
so_status so_pour_file(const so_pour_list *list, int64_t first, int64_t n, const char *path, const char *identity,
                       const char *head, size_t head_bytes, size_t alignment, so_pour_work *work, so_error *error);

#endif
