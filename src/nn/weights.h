/* Named weights, and the tables that bind them to a network's fields.
 *
 * A network lists its weights once, in a bind table: field, name in the published checkpoint, axes in shape letters,
 * group, initialisation. The same table loads, checks shapes, makes random weights, and says what learns.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_NN_WEIGHTS_H
#define SO_NN_WEIGHTS_H

#include "backend/device.h"
#include "backend/kernels.h"
#include "base/arena.h"
#include "base/pool.h"
#include "base/rng.h"
#include "formats/view.h"
#include "nn/tensor.h"

typedef struct so_weight {
    so_tensor tensor;  /* its address never changes; tensor.name is the full name */
    const char *group; /* "backbone", "bottom", ... from the bind table */
    const char *axes;
    bool multiplies; /* a matrix or kernel of products, not a table or a vector */
} so_weight;

/* All weights of one model. Owns converted and random ones; those of the file's own type are lent from the reader's
 * map. */
typedef struct so_store {
    so_arena memory;
    so_weight **weight; /* in the order of binding */
    int64_t count, capacity;
    so_names names;
} so_store;

/* Memory for converted weights, gradients and moments: grows as it is needed; or, where all of it must lie in one
 * piece, at most `capacity` bytes of address space, of which only what is used is backed by memory. */
so_status so_store_open(so_store *store, size_t capacity, so_error *error);
void so_store_close(so_store *store);
/* NULL when absent. */
so_weight *so_store_find(const so_store *store, const char *name);
/* The weights of `group` (NULL: all) learn from now on: wants_grad is set and a zeroed gradient is made; or, with
 * `learn` false, they no longer do. A weight that is not SO_F32 cannot learn: SO_ERR_TYPE. */
so_status so_store_learn(so_store *store, const char *group, bool learn, so_error *error);
/* Parameters in `group` (NULL: all). */
int64_t so_store_parameters(const so_store *store, const char *group);

typedef enum so_init {
    SO_INIT_NORMAL, /* N(0, scale^2) */
    SO_INIT_FAN_IN, /* N(0, scale^2 / product of all axes but the first) */
    SO_INIT_VALUE   /* scale everywhere */
} so_init;

typedef struct so_bind_row {
    size_t field;     /* offsetof the so_tensor * in the network's struct */
    const char *name; /* "self_attn.q_proj.weight"; "{}" stands for the index */
    const char *
        axes; /* shape letters and numbers, one axis per blank: "V D", "Hd D", "C C 3"; letters side by side multiply */
    const char *group; /* NULL: the binder's */
    so_init init;
    double scale;
    bool optional; /* absent in the file: the field becomes NULL */
} so_bind_row;

/* Sizes by shape letter (ASCII). */
typedef struct so_sizes {
    int64_t of[128];
} so_sizes;

/* Lays a weight of any stored type out for products rounded to bf16, if the kernels gain by it: [N, K] for so_linear,
 * [O, C, k] for so_conv1d. `memory` holds the layout. For inference only: what `t` holds must not change afterwards. */
so_status so_tensor_lay_bf16(so_tensor *t, const so_kernels *kernels, so_arena *memory, so_pool *pool, so_error *error);
/* The same for every weight of products in `group` (NULL: all). */
so_status so_store_lay_bf16(so_store *store, const char *group, const so_kernels *kernels, so_pool *pool,
                            so_error *error);

/* Of a store bound to views of a mapped file: gives back the pages of weights that now lie in memory in another form,
 * expanded or laid out. */
void so_store_forget(const so_store *store, const so_views *source);

/* Moves all weights but those that stay with the host (tensor.host) into memory of a device, in blocks that go with it:
 * tensors' data are its addresses from then on. SO_ERR_NOMEM says how much they need. */
so_status so_store_upload(so_store *store, so_device *device, so_error *error);
/* Bytes that they take there. */
size_t so_store_device_bytes(const so_store *store);
/* The same for any tensors. */
so_status so_tensors_upload(so_tensor *const *list, int64_t n, so_device *device, so_error *error);
size_t so_tensors_device_bytes(so_tensor *const *list, int64_t n);

/* What networks expect: names and shapes in the order of their tables, collected instead of weights. `row` tells what
 * is optional and how it starts; only the numbers in it live on. Zeroed before, cleared with so_manifest_clear. */
typedef struct so_manifest {
    so_views views; /* type SO_F32, no data */
    so_bind_row *row;
    int64_t capacity;
} so_manifest;
void so_manifest_clear(so_manifest *manifest);

/* One walk over a network's tables. Problems (missing, wrong shape, wrong type) are all collected, then reported by
 * so_binder_finish, so that a file's defects are listed together. */
typedef struct so_binder {
    so_store *store;
    const so_views *source; /* NULL: make random weights */
    so_sizes sizes;
    const char *group;
    so_rng *rng;              /* for random weights */
    const char *const *fresh; /* groups that are random though there is a source, NULL behind the last; may be NULL */
    bool quick;               /* random weights by so_random_fill, matrices in the type `made`: for measuring speed */
    so_type made;
    so_pool *pool;              /* for conversion, may be NULL */
    bool expand;                /* every weight to SO_F32; otherwise matrices keep a type that `linear` knows */
    const char *const *expands; /* or those of these groups, NULL behind the last; may be NULL */
    bool products;              /* but those of products and convolutions keep it all the same: for devices */
    const so_kernels *kernels;  /* decode what is expanded; NULL: the portable ones */
    bool q8;               /* matrices of products that are stored as SO_Q8_0 keep that although others expand, if the
                              kernels gain by it */
    bool bf16;             /* matrices of products keep their type although others expand, if the kernels gain by bf16:
                              so_store_lay_bf16 is going to lay them out */
    bool check_finite;     /* NaN or infinity in a loaded weight is a problem */
    so_manifest *manifest; /* not NULL: weights are listed there, fields stay NULL, nothing is loaded or made */
    int problems;
    char text[900]; /* the first problems, one a line */
} so_binder;

/* Binds `n` rows of `table` into `owner`. The full name is prefix + name with {} replaced by `index`. A name bound
 * before is shared. Stops only for SO_ERR_NOMEM. */
so_status so_bind(so_binder *binder, const char *prefix, int64_t index, const so_bind_row *table, int n, void *owner,
                  so_error *error);
#define SO_BIND(binder, prefix, index, table, owner, error)                                                            \
    so_bind(binder, prefix, index, table, (int)(sizeof(table) / sizeof *(table)), owner, error)
/* SO_ERR_FORMAT with all problems collected, naming `what`; SO_OK when there were none. */
so_status so_binder_finish(const so_binder *binder, const char *what, so_error *error);
/* n numbers (whole blocks) of mean near 0 and deviation `scale`, evenly spread, in the layout of `type`: F32, F16,
 * BF16, or a quantised type, whose blocks get random bits and equal scales. The same for every number of threads. */
void so_random_fill(so_pool *pool, so_type type, int64_t n, double scale, uint64_t seed, void *out);
/* Evaluates "Hd" and the like. */
int64_t so_axis(const so_sizes *sizes, const char *axis);

#endif
