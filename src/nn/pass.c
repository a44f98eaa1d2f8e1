/* Passes, the tape, checkpoints.
 * SPDX-License-Identifier: Apache-2.0 */
#include "nn/pass.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "base/own.h"

const char *so_shape_text(const so_tensor *t, char *text)
{
    int n = 0;
    n += snprintf(text, 96, "[");
    for (int i = 0; i < t->n_dims; i++)
        n += snprintf(text + n, (size_t)(96 - n), "%s%lld", i ? ", " : "", (long long)t->dim[i]);
    snprintf(text + n, (size_t)(96 - n), "]");
    return text;
}

void so_pass_init(so_pass *pass, so_arena *arena, so_pool *pool, const so_kernels *kernels)
{
    *pass = (so_pass){.arena = arena, .data = arena, .pool = pool, .k = kernels};
}

void so_pass_use(so_pass *pass, so_device *device, so_arena *data)
{
    pass->device = device;
    pass->data = device ? data : pass->arena;
    if (device) pass->pool = so_device_pool(device);
}

so_mark so_pass_mark(const so_pass *pass) { return (so_mark){so_arena_mark(pass->arena), so_arena_mark(pass->data)}; }

void so_pass_release(so_pass *pass, so_mark mark)
{
    so_arena_release(pass->arena, mark.arena);
    if (pass->device) so_arena_release(pass->data, mark.data);
}

bool so_on_host(so_pass *pass, const char *op)
{
    if (!pass->device || !so_ok(pass)) return so_ok(pass);
    so_pass_fail(pass, SO_ERR_UNSUPPORTED, "op '%s' is not for %s: it computes on the host", op,
                 so_device_about(pass->device)->name);
    return false;
}

void *so_pass_fail(so_pass *pass, so_status status, const char *format, ...)
{
    if (!so_ok(pass)) return NULL;
    char text[sizeof pass->error.text];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    so_fail(&pass->error, status, "%s", text);
    return NULL;
}

void so_pass_begin(so_pass *pass)
{
    pass->error = (so_error){0};
    so_arena_release(pass->arena, 0);
    if (pass->device) so_arena_release(pass->data, 0);
}

so_status so_pass_end(const so_pass *pass, so_error *error)
{
    if (so_ok(pass) && !pass->dry) return so_device_state(pass->device, error);
    return so_ok(pass) ? SO_OK : so_fail(error, pass->error.status, "%s", pass->error.text);
}

void so_label(so_pass *pass, const so_tensor *t, const char *format, ...)
{
    if (!pass->watch || !pass->watch->tensor || !t || pass->dry || !so_ok(pass)) return;
    char name[64];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    so_mark mark = so_pass_mark(pass);
    so_tensor seen = *t;
    if (pass->device) seen.data = so_mutable(so_read(pass, t));
    if (so_ok(pass)) pass->watch->tensor(pass->watch->context, name, pass->device ? &seen : t);
    so_pass_release(pass, mark);
}

static void *took(so_pass *pass, void *p)
{
    const so_arena *a = pass->arena;
    if (!p && !pass->device && !a->grows && a->open < a->capacity)
        return so_pass_fail(pass, SO_ERR_NOMEM,
                            "a pass needs %zu bytes of memory, the system gave %zu and gives no more", a->peak,
                            a->open);
    if (!p)
        return so_pass_fail(pass, SO_ERR_NOMEM, "a pass needs more than the %zu bytes set aside for it%s",
                            pass->device ? pass->data->capacity : pass->arena->capacity,
                            pass->device ? " on the device" : "");
    return p;
}

void *so_take(so_pass *pass, size_t bytes, bool zero)
{
    if (!so_ok(pass)) return NULL;
    void *p = took(pass, so_arena_alloc(pass->arena, bytes ? bytes : 1));
    if (p && zero && !pass->dry) memset(p, 0, bytes);
    return p;
}

/* n numbers, which a dry pass has no memory for. */
static so_real *take_numbers(so_pass *pass, int64_t n)
{
    if (!so_ok(pass)) return NULL;
    return took(pass, so_arena_numbers(pass->data, n ? (size_t)n * sizeof(so_real) : 1));
}

void *so_take_data(so_pass *pass, size_t bytes)
{
    return so_ok(pass) ? took(pass, so_arena_numbers(pass->data, bytes ? bytes : 1)) : NULL;
}

const so_real *so_read(so_pass *pass, const so_tensor *t)
{
    if (!so_ok(pass) || !t) return NULL;
    if (!pass->device) return so_data(t);
    size_t bytes = (size_t)so_count(t) * sizeof(so_real);
    so_real *out = so_take(pass, bytes, false);
    if (out && !pass->dry) so_device_read(pass->device, out, t->data, bytes);
    return out;
}

so_real *so_write_begin(so_pass *pass, const so_tensor *t)
{
    if (!so_ok(pass) || !t) return NULL;
    return pass->device ? so_take(pass, (size_t)so_count(t) * sizeof(so_real), false) : so_data(t);
}

so_tensor *so_write_end(so_pass *pass, so_tensor *t, so_real *from)
{
    if (!from || !so_ok(pass)) return NULL;
    if (!pass->device) return t;
    if (!pass->dry) so_device_write(pass->device, t->data, from, (size_t)so_count(t) * sizeof(so_real));
    return t;
}

static so_tensor *make(so_pass *pass, int n_dims, const int64_t *dim)
{
    /* Tensor structs are read even in a dry pass; their numbers are not. */
    so_tensor *t = so_take(pass, sizeof *t, false);
    if (!t) return NULL;
    *t = (so_tensor){.type = SO_F32, .n_dims = (int8_t)n_dims};
    int64_t count = 1;
    for (int i = 0; i < n_dims; i++) {
        t->dim[i] = dim[i];
        if (dim[i] < 0 || (dim[i] && count > INT64_MAX / 16 / dim[i]))
            return so_pass_fail(pass, SO_ERR_LIMIT, "a tensor with an axis of %lld elements", (long long)dim[i]);
        count *= dim[i];
    }
    t->data = take_numbers(pass, count);
    return t->data ? t : NULL;
}

so_tensor *so_new(so_pass *pass, int n_dims, const int64_t *dim)
{
    if (so_pass_stopped(pass)) return NULL; /* before every op */
    if (pass->follow && !pass->follow->begun) {
        pass->follow->begun = true;
        pass->follow->first(pass->follow->context);
    }
    return make(pass, n_dims, dim);
}

so_tensor *so_new1(so_pass *pass, int64_t a) { return so_new(pass, 1, (int64_t[]){a}); }
so_tensor *so_new2(so_pass *pass, int64_t rows, int64_t cols) { return so_new(pass, 2, (int64_t[]){rows, cols}); }
so_tensor *so_new3(so_pass *pass, int64_t a, int64_t b, int64_t c) { return so_new(pass, 3, (int64_t[]){a, b, c}); }
so_tensor *so_new_like(so_pass *pass, const so_tensor *t) { return t ? so_new(pass, t->n_dims, t->dim) : NULL; }

/* ---- the way back, followed: each step takes off the uses that it was counted for */

void so_follow_clear(so_follow *follow)
{
    free(follow->met);
    follow->met = NULL;
    follow->n = follow->capacity = 0;
}

/* Weights of a layer that will be computed again, on the way back, by a step of which they are no inputs. */
static void meet(so_pass *pass, int n, so_tensor *const *in)
{
    so_follow *f = pass->follow;
    for (int i = 0; i < n && so_ok(pass); i++) {
        if (!in[i] || !in[i]->followed) continue;
        if (so_grow(&f->met, f->n, &f->capacity, sizeof *f->met, &pass->error) == SO_OK) f->met[f->n++] = in[i];
    }
}

typedef struct checkpoint {
    so_layer_fn layer;
    void *context;
    so_tensor **met; /* weights that are followed */
    int64_t n;
} checkpoint;

static void checkpoint_back(so_pass *pass, const so_step *step);

/* Calls visit for each weight that is followed and whose gradient the step may add to. */
static void each_followed(so_pass *pass, const so_step *step, void (*visit)(so_pass *pass, so_tensor *weight))
{
    for (int i = 0; i < SO_MAX_INPUTS; i++)
        if (step->in[i] && step->in[i]->followed && step->in[i]->wants_grad) visit(pass, step->in[i]);
    if (step->backward != checkpoint_back) return;
    const checkpoint *c = step->saved;
    for (int64_t i = 0; i < c->n; i++)
        if (c->met[i]->wants_grad) visit(pass, c->met[i]);
}

static void count_use(so_pass *pass, so_tensor *weight)
{
    (void)pass;
    weight->uses = (weight->uses < 0 ? 0 : weight->uses) + 1;
}

static void end_use(so_pass *pass, so_tensor *weight)
{
    if (--weight->uses > 0) return;
    weight->uses = -1;
    pass->follow->complete(pass->follow->context, weight);
}

so_step *so_tape_put(so_pass *pass, const char *op, so_backward_fn backward, so_tensor *out, int n,
                     so_tensor *const *in, size_t saved_bytes)
{
    if (pass->rehearsing && pass->follow && pass->follow->complete) meet(pass, n, in);
    if (!pass->recording || !so_ok(pass) || !so_on_host(pass, op)) return NULL;
    bool wanted = false;
    for (int i = 0; i < n; i++) wanted |= in[i] && in[i]->wants_grad;
    if (!wanted) return NULL;
    if (!backward)
        return so_pass_fail(pass, SO_ERR_UNSUPPORTED, "op '%s' cannot be trained through: it has no backward", op);
    so_step *step = so_take(pass, sizeof *step, false);
    if (!step) return NULL;
    *step = (so_step){.backward = backward, .op = op, .out = out, .before = pass->tape};
    for (int i = 0; i < n; i++) step->in[i] = in[i];
    if (saved_bytes) {
        step->saved = so_take(pass, saved_bytes, false);
        if (!step->saved) return NULL;
        memset(step->saved, 0, saved_bytes);
    }
    out->wants_grad = true;
    pass->tape = step;
    return step;
}

so_real *so_grad_beta(so_pass *pass, so_tensor *t, so_real *beta)
{
    *beta = 1;
    if (!t || !t->wants_grad || !so_ok(pass)) return NULL;
    if (t->followed && t->uses < 0 && pass->follow && pass->follow->complete)
        return so_pass_fail(pass, SO_ERR_STATE, "the gradient of '%s' was taken for complete", t->name ? t->name : "?");
    if (!t->grad) {
        t->grad = take_numbers(pass, so_count(t));
        *beta = 0;
    }
    return t->grad;
}

so_real *so_grad(so_pass *pass, so_tensor *t)
{
    so_real beta, *grad = so_grad_beta(pass, t, &beta);
    if (grad && beta == 0 && !pass->dry) memset(grad, 0, (size_t)so_count(t) * sizeof(so_real));
    return grad;
}

static void walk_back(so_pass *pass, so_step *step, const so_step *stop, bool followed)
{
    bool recording = pass->recording;
    pass->recording = false;
    for (; step != stop && so_ok(pass); step = step->before) {
        if (step->out->grad) step->backward(pass, step);
        if (followed && so_ok(pass)) each_followed(pass, step, end_use);
    }
    pass->recording = recording;
}

so_status so_backward_from(so_pass *pass)
{
    bool followed = pass->follow && pass->follow->complete && !pass->dry;
    for (const so_step *step = pass->tape; followed && step; step = step->before) each_followed(pass, step, count_use);
    walk_back(pass, pass->tape, NULL, followed);
    pass->tape = NULL;
    return pass->error.status;
}

so_status so_backward(so_pass *pass, so_tensor *loss, so_real seed)
{
    if (!so_ok(pass)) return pass->error.status;
    if (!loss || so_count(loss) != 1) {
        so_pass_fail(pass, SO_ERR_SHAPE, "the way back starts at a loss of one element");
        return pass->error.status;
    }
    if (!loss->wants_grad) {
        so_pass_fail(pass, SO_ERR_STATE, "nothing that learns contributed to the loss");
        return pass->error.status;
    }
    so_real *grad = so_grad(pass, loss);
    if (grad && !pass->dry) grad[0] += seed;
    return so_backward_from(pass);
}

static void checkpoint_back(so_pass *pass, const so_step *step)
{
    const checkpoint *c = step->saved;
    so_tensor *x = step->in[0];
    so_grad(pass, x); /* outlives the mark */
    size_t mark = so_arena_mark(pass->arena);
    so_step *outer = pass->tape;
    so_tensor inner = *x;
    pass->recording = true;
    so_tensor *out = c->layer(pass, c->context, &inner);
    so_step *last = pass->tape;
    pass->tape = outer;
    if (so_ok(pass)) {
        out->grad = step->out->grad;
        walk_back(pass, last, outer, false);
    }
    so_arena_release(pass->arena, mark);
}

bool so_pass_stopped(so_pass *pass)
{
    if (so_ok(pass) && pass->stop && atomic_load(pass->stop)) so_pass_fail(pass, SO_ERR_STOPPED, "stopped");
    return !so_ok(pass);
}

so_tensor *so_run_layer(so_pass *pass, so_layer_fn layer, void *context, so_tensor *x, so_tensor *out)
{
    if (so_pass_stopped(pass) || !x || !out) return NULL;
    if (pass->recording) return so_pass_fail(pass, SO_ERR_STATE, "a layer's memory was to be released while recording");
    so_mark mark = so_pass_mark(pass);
    so_tensor *y = layer(pass, context, x);
    if (!so_ok(pass)) return NULL;
    if (so_count(y) != so_count(out))
        return so_pass_fail(pass, SO_ERR_SHAPE, "a layer must keep the shape of its input");
    if (!pass->dry && y->data != out->data)
        so_device_copy(pass->device, out->data, y->data, (size_t)so_count(out) * sizeof(so_real));
    so_pass_release(pass, mark);
    return out;
}

so_tensor *so_run_beside(so_pass *pass, so_layer_fn layer, void *context, so_tensor *x, so_tensor *out)
{
    so_pass *host = pass->beside;
    if (so_pass_stopped(pass) || !x || !out) return NULL;
    if (!host) return so_pass_fail(pass, SO_ERR_STATE, "a layer of the host, and nobody who computes there");
    so_pass_begin(host);
    host->stop = pass->stop;
    host->watch = pass->watch;
    so_tensor *here = so_new(host, x->n_dims, x->dim);
    if (here && !pass->dry) so_device_read(pass->device, here->data, x->data, (size_t)so_count(x) * sizeof(so_real));
    so_tensor *y = here ? layer(host, context, here) : NULL;
    if (!so_ok(host)) return so_pass_fail(pass, host->error.status, "%s", host->error.text);
    if (!pass->dry) so_device_write(pass->device, out->data, y->data, (size_t)so_count(out) * sizeof(so_real));
    return out;
}

so_tensor *so_checkpoint(so_pass *pass, so_layer_fn layer, void *context, size_t context_bytes, so_tensor *x)
{
    if (!so_ok(pass) || !x) return NULL;
    bool recording = pass->recording;
    if (!recording) return layer(pass, context, x);
    so_tensor *out = so_new_like(pass, x);
    void *copy = so_take(pass, context_bytes, false);
    if (!copy) return NULL;
    memcpy(copy, context, context_bytes);
    size_t mark = so_arena_mark(pass->arena);
    pass->recording = false;
    pass->rehearsing = true;
    if (pass->follow) pass->follow->n = 0;
    so_tensor *y = layer(pass, copy, x);
    pass->rehearsing = false;
    pass->recording = true;
    if (!so_ok(pass)) return NULL;
    if (so_count(y) != so_count(x))
        return so_pass_fail(pass, SO_ERR_SHAPE, "a checkpointed layer must keep the shape of its input");
    if (!pass->dry) memcpy(out->data, y->data, (size_t)so_count(x) * sizeof(so_real));
    so_arena_release(pass->arena, mark);
    so_tensor always = {.wants_grad = true};
    so_step *step =
        so_tape_put(pass, "checkpoint", checkpoint_back, out, 2, (so_tensor *[]){x, &always}, sizeof(checkpoint));
    if (!step) return out;
    int64_t met = pass->follow ? pass->follow->n : 0;
    so_tensor **list = met ? so_take(pass, (size_t)met * sizeof(so_tensor *), false) : NULL;
    if (list) memcpy(list, pass->follow->met, (size_t)met * sizeof(so_tensor *));
    *(checkpoint *)step->saved = (checkpoint){layer, copy, list, list ? met : 0};
    step->in[1] = NULL;
    return out;
}
