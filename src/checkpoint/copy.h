/* Copying tensors from maps into one file, a few megabytes at a time: types are changed and rows reordered on the way.
 *
 * What is written is decided before the first byte (head and items), so that a run that was cut off goes on at the
 * tensor where it stopped. Memory stays below about 100 MB however large the tensors are.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_CHECKPOINT_COPY_H
#define SO_CHECKPOINT_COPY_H

#include "base/part.h"
#include "base/pool.h"
#include "formats/adapter.h"
#include "formats/view.h"

typedef struct so_copy_item {
    const so_view *view; /* lent; its data may be unaligned */
    char *name;          /* in the target; owned by the list */
    so_type type;        /* in the target */
    int n_dims;
    int64_t dim[SO_VIEW_DIMS];
    const float *importance;     /* of the columns, for types that are searched for; NULL: all the same */
    const so_adapter_pair *lora; /* added to the rows; NULL: none */
    int64_t heads; /* > 0: rows change from halves to pairs within each of so many heads, as llama.cpp rotates */
    size_t bytes;  /* in the target */
    bool mapped;   /* the view's data lies in a map of a file: pages are given back once read */
} so_copy_item;

typedef struct so_copy_list {
    so_copy_item *item;
    int64_t count, capacity;
} so_copy_list;

/* Adds a tensor with the shape of `view`. SO_ERR_SHAPE when its rows do not divide into blocks of `type`. */
so_status so_copy_add(so_copy_list *list, const char *name, const so_view *view, so_type type, int64_t heads,
                      so_error *error);
void so_copy_clear(so_copy_list *list);

/* Told after every few megabytes: bytes of the target done and in all, for the whole work. Anything but SO_OK stops;
 * what is written stays. */
typedef so_status (*so_copy_step)(void *context, double done, double total, so_error *error);

typedef struct so_copy_work {
    so_pool *pool;
    so_copy_step step; /* may be NULL */
    void *context;
    double before, total; /* bytes done in files before this one; bytes of all files */
    so_status (*trusted)(const void *source, so_error *error); /* asked before a file appears; may be NULL */
    const void *source;
} so_copy_work;

/* One file to write: head and items [first, first + n) of a list, each padded with zeros to `alignment`. */
typedef struct so_copy_target {
    const so_copy_list *list;
    int64_t first, n;
    const char *path, *identity; /* see base/part.h */
    const char *head;
    size_t head_bytes, alignment;
} so_copy_target;
/* Writes it; see base/part.h for what may fail. */
so_status so_copy_file(const so_copy_target *target, so_copy_work *work, so_error *error);

#endif
