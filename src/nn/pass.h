/* A pass: one walk through a network, forward and, when it records, back.
 *
 * Ops (nn/ops.h) check shapes, take their output from the pass's arena, call the backend's kernel, and push a step on
 * the tape when the pass records and an input wants a gradient. Errors are sticky: the first is kept in `error`, later
 * ops return NULL and do nothing, and every op accepts the NULL tensors that result. The owner asks once, at the end.
 *
 * A dry pass checks shapes and takes memory but computes nothing: arena->peak then foretells the need exactly.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_NN_PASS_H
#define SO_NN_PASS_H

#include <stdatomic.h>

#include "backend/device.h"
#include "backend/kernels.h"
#include "base/arena.h"
#include "base/pool.h"
#include "base/rng.h"
#include "nn/tensor.h"

typedef struct so_pass so_pass;
typedef struct so_step so_step;
typedef void (*so_backward_fn)(so_pass *pass, const so_step *step);

enum { SO_MAX_INPUTS = 6 };

/* One recorded op. */
struct so_step {
    so_backward_fn backward;
    const char *op;
    so_tensor *out;
    so_tensor *in[SO_MAX_INPUTS]; /* NULL where an optional input is absent */
    void *saved;                  /* what the backward needs besides, in the arena */
    so_step *before;              /* the step recorded before this one */
};

/* Watches a pass from outside: reference comparison, calibration. Functions may be NULL. What a watcher is shown is
 * lent for the call; a watcher takes nothing from the pass and changes nothing. Dry passes show nothing. */
typedef struct so_watch {
    /* A tensor that a network names, "backbone.in.3" (the input of layer 3), "ctc": the model's file lists its names.
     */
    void (*tensor)(void *context, const char *name, const so_tensor *t);
    /* Every product x w^T, before it is computed. */
    void (*product)(void *context, const so_tensor *w, const so_tensor *x);
    void *context;
} so_watch;

/* Follows a pass of training from outside, to work beside it (train/share.h). */
typedef struct so_follow {
    void *context;
    /* Before the pass computes anything: weights may still be on their way. */
    void (*first)(void *context);
    /* On the way back: nothing more is added to the gradient of this weight (of those with `followed`). Weights that
     * nothing has used are not told of. NULL: nobody wants to know. */
    void (*complete)(void *context, so_tensor *weight);
    so_tensor **met; /* weights that a layer used that is computed again; the pass's own, freed by so_follow_clear */
    int64_t n, capacity;
    bool begun; /* `first` was called */
} so_follow;
void so_follow_clear(so_follow *follow);

struct so_pass {
    so_arena *arena;   /* structs, ids, lists */
    so_arena *data;    /* numbers: on the host the same arena, else addresses of the device */
    so_device *device; /* whose memory numbers lie in; NULL: the host */
    so_pool *pool;
    const so_kernels *k;
    bool recording, dry;
    bool rehearsing; /* a layer is computed that will be computed again, recording, on the way back */
    so_step *tape;   /* the last step */
    so_error error;
    const atomic_int *stop; /* not NULL: when it is set, the next op is not computed: SO_ERR_STOPPED */
    const so_watch *watch;  /* NULL: nobody watches; lent by who set it */
    so_follow *follow;      /* NULL: nobody follows; lent by who set it */
    so_pass *beside;        /* of a device: a pass of the host, for layers whose weights lie there; NULL: none do */
};

static inline bool so_ok(const so_pass *pass) { return pass->error.status == SO_OK; }

/* Readies a pass of the host over `arena`; nothing is taken from it yet. `pool` may be NULL. */
void so_pass_init(so_pass *pass, so_arena *arena, so_pool *pool, const so_kernels *kernels);

/* Lets it compute on a device (NULL: the host) with numbers in `data`. */
void so_pass_use(so_pass *pass, so_device *device, so_arena *data);

/* What a pass has taken so far, to be released to. */
typedef struct so_mark {
    size_t arena, data;
} so_mark;
so_mark so_pass_mark(const so_pass *pass);
void so_pass_release(so_pass *pass, so_mark mark);

/* Readies a pass for new work in the memory that it has: no error, an empty arena. */
void so_pass_begin(so_pass *pass);
/* What became of the work. */
so_status so_pass_end(const so_pass *pass, so_error *error);

/* Shows t to the watcher under this name, if anybody watches. */
void so_label(so_pass *pass, const so_tensor *t, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* A new activation from the arena, not zeroed; wants no gradient. NULL (and an error) when memory ends. */
so_tensor *so_new(so_pass *pass, int n_dims, const int64_t *dim);
so_tensor *so_new1(so_pass *pass, int64_t a);
so_tensor *so_new2(so_pass *pass, int64_t rows, int64_t cols);
so_tensor *so_new3(so_pass *pass, int64_t a, int64_t b, int64_t c);
/* Same shape as `t`. */
so_tensor *so_new_like(so_pass *pass, const so_tensor *t);
/* Bytes of the pass's arena, for ids, ranges and saved values. Zeroed when `zero`. */
void *so_take(so_pass *pass, size_t bytes, bool zero);
/* Bytes where numbers lie, for what kernels alone read and write. */
void *so_take_data(so_pass *pass, size_t bytes);
/* The numbers of t for the host to read: where they lie, or read from the device into the pass's arena. A dry pass gets
 * memory with nothing in it. */
const so_real *so_read(so_pass *pass, const so_tensor *t);
/* Where the host puts the numbers of t, which so_write_end takes there: where they lie, or memory of the pass's arena.
 * Nothing else may be taken between the two but from the arena of numbers. A dry pass gets memory, too. */
so_real *so_write_begin(so_pass *pass, const so_tensor *t);
/* Returns t; NULL when `from` is NULL. */
so_tensor *so_write_end(so_pass *pass, so_tensor *t, so_real *from);
/* False, and the pass's error, when the pass computes on a device, for an op whose loops are the host's. */
bool so_on_host(so_pass *pass, const char *op);

/* Records `op` when the pass records and one of the n inputs wants a gradient; sets out->wants_grad. `saved_bytes` of
 * zeroed memory become step->saved, returned through the result (a dummy block when nothing is recorded: callers may
 * fill it either way only if the result is not NULL). Returns NULL when nothing is recorded. */
so_step *so_tape_put(so_pass *pass, const char *op, so_backward_fn backward, so_tensor *out, int n,
                     so_tensor *const *in, size_t saved_bytes);

/* The gradient buffer of `t`, made and zeroed at first use; NULL when t is NULL or wants none. */
so_real *so_grad(so_pass *pass, so_tensor *t);
/* The same without zeroing: *beta is 0 when the buffer is new and must be written whole, 1 when it must be added to. */
so_real *so_grad_beta(so_pass *pass, so_tensor *t, so_real *beta);

/* Whether there is no more to compute, since somebody stopped the pass or it failed. Every op asks when it makes its
 * output. */
bool so_pass_stopped(so_pass *pass);
/* Sets the sticky error (the first one stays) and returns NULL. */
void *so_pass_fail(so_pass *pass, so_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Walks the tape back from `loss` (one element): its gradient becomes `seed`. Gradients are added to grad buffers. The
 * tape is empty afterwards; memory is the caller's to release. */
so_status so_backward(so_pass *pass, so_tensor *loss, so_real seed);
/* The same from any tensor, whose grad the caller has set. */
so_status so_backward_from(so_pass *pass);

/* Runs `layer(pass, context, x)` as one recorded step: forward without recording (its inner memory is released), and
 * once more, recording, on the way back. `layer` must depend on x, weights and unchanging context only. */
typedef so_tensor *(*so_layer_fn)(so_pass *pass, void *context, so_tensor *x);
so_tensor *so_checkpoint(so_pass *pass, so_layer_fn layer, void *context, size_t context_bytes, so_tensor *x);
/* For inference (a recording pass must not ask): what layer(pass, context, x) gives is written to `out`, of x's shape
 * and often x itself, and all else that the layer took from the arena is released. */
so_tensor *so_run_layer(so_pass *pass, so_layer_fn layer, void *context, so_tensor *x, so_tensor *out);
/* The same on the host, for a pass of a device that has a pass beside it: x comes from the device and the result goes
 * back there. */
so_tensor *so_run_beside(so_pass *pass, so_layer_fn layer, void *context, so_tensor *x, so_tensor *out);

#endif
