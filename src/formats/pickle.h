/* A subset of Python pickles (protocols 2 to 4) that can build tensors and plain containers and nothing else.
 *
 * No code of the pickle is run: the only things it may call are torch._utils._rebuild_tensor_v2 and the constructor of
 * collections.OrderedDict, and both are written here. Memory stays proportional to the pickle's size. The values may
 * share and even contain each other, so that whoever walks them must bound depth and work.
 * Source: CPython's description of the opcodes (Lib/pickletools.py), the files themselves.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_FORMATS_PICKLE_H
#define SO_FORMATS_PICKLE_H

#include "formats/view.h"

typedef enum so_pickle_kind {
    SO_PICKLE_NONE,
    SO_PICKLE_BOOL,
    SO_PICKLE_INT,
    SO_PICKLE_FLOAT,
    SO_PICKLE_STRING,
    SO_PICKLE_TUPLE,
    SO_PICKLE_LIST,
    SO_PICKLE_DICT,
    SO_PICKLE_GLOBAL,
    SO_PICKLE_STORAGE,
    SO_PICKLE_TENSOR
} so_pickle_kind;

typedef struct so_pickle_items {
    int32_t *item; /* numbers of values; of a dict, key and value in turn */
    int64_t n, capacity;
} so_pickle_items;

typedef struct so_pickle_value {
    so_pickle_kind kind;
    union {
        int64_t i; /* bool, int; of a tensor, its number */
        double f;
        so_span s; /* string, in the pickle */
        so_pickle_items items;
        struct {
            so_span key;  /* which storage, in the pickle */
            int32_t type; /* so_type */
        } storage;
        int32_t global;
    };
    int64_t elements; /* of a storage */
} so_pickle_value;

typedef struct so_pickle_tensor {
    int32_t storage; /* number of a value */
    int n_dims;
    int64_t offset, dim[SO_VIEW_DIMS], stride[SO_VIEW_DIMS]; /* in elements; not negative; not checked further */
} so_pickle_tensor;

typedef struct so_pickle {
    so_pickle_value *value;
    so_pickle_tensor *tensor;
    int64_t n_values, values_capacity, n_tensors, tensors_capacity;
    int32_t root; /* number of the value that the pickle stands for */
} so_pickle;

/* Runs the pickle; strings stay in `data`, lent until clear. SO_ERR_FORMAT for a broken pickle, SO_ERR_UNSUPPORTED for
 * one that wants more than tensors, SO_ERR_LIMIT above 16 MB. so_pickle_clear after failure too. */
so_status so_pickle_init(so_pickle *pickle, so_span data, so_error *error);
void so_pickle_clear(so_pickle *pickle);

#endif
