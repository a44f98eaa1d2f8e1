/* Named weights and bind tables.
 * SPDX-License-Identifier: Apache-2.0 */
#include "nn/weights.h"
#include "base/own.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "backend/kernels.h"
#include "base/quantise.h"

so_status so_store_open(so_store *store, size_t capacity, so_error *error)
{
    memset(store, 0, sizeof *store);
    so_arena_grow(&store->memory);
    if (capacity) SO_TRY(so_arena_reserve(&store->memory, capacity, error));
    so_arena_large(&store->memory);
    return SO_OK;
}

void so_store_close(so_store *store)
{
    so_arena_clear(&store->memory);
    so_names_clear(&store->names);
    free(store->weight);
    memset(store, 0, sizeof *store);
}

so_weight *so_store_find(const so_store *store, const char *name)
{
    int64_t i = so_names_find(&store->names, so_span_of(name));
    return i < 0 ? NULL : store->weight[i];
}

so_status so_store_learn(so_store *store, const char *group, bool learn, so_error *error)
{
    for (int64_t i = 0; i < store->count; i++) {
        so_weight *w = store->weight[i];
        if (group && strcmp(w->group, group) != 0) continue;
        if (learn && w->tensor.type != SO_F32)
            return so_fail(error, SO_ERR_TYPE, "'%s' is stored as %s and cannot learn; load the model expanded to f32",
                           w->tensor.name, so_type_about(w->tensor.type)->name);
        w->tensor.wants_grad = learn;
        if (!learn || w->tensor.grad) continue;
        w->tensor.grad = so_arena_zalloc(&store->memory, (size_t)so_count(&w->tensor) * sizeof(so_real));
        if (!w->tensor.grad) return so_fail(error, SO_ERR_NOMEM, "no memory for the gradient of '%s'", w->tensor.name);
    }
    return SO_OK;
}

int64_t so_store_parameters(const so_store *store, const char *group)
{
    int64_t n = 0;
    for (int64_t i = 0; i < store->count; i++)
        if (!group || strcmp(store->weight[i]->group, group) == 0) n += so_count(&store->weight[i]->tensor);
    return n;
}

int64_t so_axis(const so_sizes *sizes, const char *axis)
{
    int64_t n = 1;
    while (*axis && *axis != ' ') {
        if (isdigit((unsigned char)*axis)) {
            char *end;
            n *= strtol(axis, &end, 10);
            axis = end;
        } else {
            n *= sizes->of[*axis & 127];
            axis++;
        }
    }
    return n;
}

static int shape_of(const so_sizes *sizes, const char *axes, int64_t *dim)
{
    int n = 0;
    for (const char *a = axes; *a && n < SO_MAX_DIMS;) {
        dim[n++] = so_axis(sizes, a);
        while (*a && *a != ' ') a++;
        while (*a == ' ') a++;
    }
    return n;
}

static void problem(so_binder *binder, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void problem(so_binder *binder, const char *format, ...)
{
    size_t used = strlen(binder->text);
    binder->problems++;
    if (used + 2 >= sizeof binder->text) return;
    va_list args;
    va_start(args, format);
    if (used) binder->text[used++] = '\n';
    vsnprintf(binder->text + used, sizeof binder->text - used, format, args);
    va_end(args);
}

static const char *group_of(const so_binder *binder, const so_bind_row *row)
{
    return row->group ? row->group : binder->group ? binder->group : "";
}

static so_status add(so_binder *binder, const char *name, const so_bind_row *row, so_weight **out, so_error *error)
{
    so_store *store = binder->store;
    char *copy = so_arena_alloc(&store->memory, strlen(name) + 1);
    so_weight *w = so_arena_zalloc(&store->memory, sizeof *w);
    if (!w) return so_fail(error, SO_ERR_NOMEM, "no memory for the weight '%s'", name);
    strcpy(copy, name);
    w->tensor.name = copy;
    w->tensor.n_dims = (int8_t)shape_of(&binder->sizes, row->axes, w->tensor.dim);
    w->group = group_of(binder, row);
    w->axes = row->axes;
    w->multiplies = row->init == SO_INIT_FAN_IN && w->tensor.n_dims > 1;
    SO_TRY(so_names_add(&store->names, so_span_of(copy), error));
    SO_TRY(so_grow(&store->weight, store->count, &store->capacity, sizeof *store->weight, error));
    store->weight[store->count++] = *out = w;
    return SO_OK;
}

static so_status make_random(so_binder *binder, const so_bind_row *row, so_tensor *t, so_error *error)
{
    int64_t n = so_count(t), fan = t->n_dims > 1 ? n / (t->dim[0] ? t->dim[0] : 1) : 1;
    t->type = SO_F32;
    bool quick = binder->quick && row->init != SO_INIT_VALUE;
    if (quick && t->n_dims == 2 && t->dim[1] % so_type_about(binder->made)->block == 0) t->type = binder->made;
    size_t bytes = t->type == SO_F32 ? (size_t)n * sizeof(so_real) : so_type_bytes(t->type, n);
    t->data = so_arena_alloc(&binder->store->memory, bytes);
    if (!t->data) return so_fail(error, SO_ERR_NOMEM, "no memory for the weight '%s'", t->name);
    double scale = row->init == SO_INIT_FAN_IN ? row->scale / sqrt((double)fan) : row->scale;
    if (quick) {
        so_random_fill(binder->pool, t->type, n, scale, so_rng_u64(binder->rng), t->data);
        return SO_OK;
    }
    for (int64_t i = 0; i < n; i++)
        so_data(t)[i] = (so_real)(row->init == SO_INIT_VALUE ? scale : scale * so_rng_normal(binder->rng));
    return SO_OK;
}

typedef struct expand_job {
    const so_kernels *k;
    const so_view *view;
    int64_t cols;
    so_real *out;
} expand_job;

static void expand_task(void *p, int64_t task, int thread)
{
    (void)thread;
    const expand_job *j = p;
    for (int64_t r = task * 64; r < (task + 1) * 64 && r * j->cols < so_view_elements(j->view); r++) {
        so_real *out = j->out + r * j->cols;
        if (j->view->type == SO_F32)
            for (int64_t c = 0; c < j->cols; c++) out[c] = (so_real)((const float *)j->view->data)[r * j->cols + c];
        else
            j->k->row(j->view->type, j->view->data, r, j->cols, out);
    }
}

static bool listed(const char *const *groups, const char *name)
{
    for (; groups && *groups; groups++)
        if (strcmp(*groups, name) == 0) return true;
    return false;
}

/* Whether a weight is to be SO_F32 in memory of the store. */
static bool expanded(const so_binder *binder, const so_weight *w)
{
    return listed(binder->expands, w->group) || binder->expand;
}

static so_status load(so_binder *binder, const so_view *view, so_weight *w, so_error *error)
{
    so_tensor *t = &w->tensor;
    const so_kernels *k = binder->kernels ? binder->kernels : so_kernels_c();
    int64_t n = so_count(t);
    bool bf16 = binder->bf16 && w->multiplies && k->bf16_gains;
    bool q8 = binder->q8 && w->multiplies && k->q8_gains && view->type == SO_Q8_0;
    bool expand = expanded(binder, w);
    bool keep = ((!expand || bf16 || q8) && t->n_dims == 2) || (binder->products && w->multiplies);
#ifdef SO_DOUBLE
    keep = keep && view->type != SO_F32;
#else
    keep = keep || (view->type == SO_F32 && !expand);
#endif
    if (keep) {
        t->type = view->type;
        t->data = so_mutable(view->data);
        return SO_OK;
    }
    t->type = SO_F32;
    t->data = so_arena_alloc(&binder->store->memory, (size_t)n * sizeof(so_real));
    if (!t->data) return so_fail(error, SO_ERR_NOMEM, "no memory for the weight '%s'", t->name);
    int64_t cols = t->n_dims > 1 ? n / (t->dim[0] ? t->dim[0] : 1) : n;
    if (cols) so_pool_for(binder->pool, (n / cols + 63) / 64, expand_task, &(expand_job){k, view, cols, so_data(t)});
    return SO_OK;
}

static void check_finite(so_binder *binder, const so_tensor *t)
{
    if (t->type != SO_F32) return;
    for (int64_t i = 0; i < so_count(t); i++)
        if (!isfinite((double)so_data(t)[i])) {
            problem(binder, "'%s' holds a number that is not finite at element %lld", t->name, (long long)i);
            return;
        }
}

/* One axis of length 1 more or less does not matter: [80] and [80, 1] hold the same numbers. */
static bool same_shape(const so_view *view, const so_tensor *t)
{
    int64_t a[SO_VIEW_DIMS], b[SO_VIEW_DIMS];
    int na = 0, nb = 0;
    for (int i = 0; i < view->n_dims; i++)
        if (view->dim[i] != 1) a[na++] = view->dim[i];
    for (int i = 0; i < t->n_dims; i++)
        if (t->dim[i] != 1) b[nb++] = t->dim[i];
    return na == nb && memcmp(a, b, (size_t)na * sizeof *a) == 0;
}

void so_manifest_clear(so_manifest *manifest)
{
    so_views_clear(&manifest->views);
    free(manifest->row);
    *manifest = (so_manifest){0};
}

static so_status list_weight(so_binder *binder, const char *name, const so_bind_row *row, so_error *error)
{
    so_manifest *manifest = binder->manifest;
    if (so_views_find(&manifest->views, name)) return SO_OK;
    so_view view = {.type = SO_F32};
    view.n_dims = shape_of(&binder->sizes, row->axes, view.dim);
    SO_TRY(so_view_measure(&view, so_span_of(name), error));
    SO_TRY(so_grow(&manifest->row, manifest->views.count, &manifest->capacity, sizeof *manifest->row, error));
    SO_TRY(so_views_add(&manifest->views, so_span_of(name), &view, error));
    manifest->row[manifest->views.count - 1] = *row;
    return SO_OK;
}

static so_status bind_one(so_binder *binder, const char *name, const so_bind_row *row, so_tensor **field,
                          so_error *error)
{
    so_weight *w = so_store_find(binder->store, name);
    bool made = !binder->source || listed(binder->fresh, group_of(binder, row));
    const so_view *view = made ? NULL : so_views_find(binder->source, name);
    *field = NULL;
    if (binder->manifest) return list_weight(binder, name, row, error);
    if (w) {
        *field = &w->tensor;
        return SO_OK;
    }
    if (!made && !view) {
        if (!row->optional) problem(binder, "'%s' is missing", name);
        return SO_OK;
    }
    if (made && row->optional) return SO_OK;
    SO_TRY(add(binder, name, row, &w, error));
    *field = &w->tensor;
    if (!view) return make_random(binder, row, &w->tensor, error);
    char found[160], expected[96];
    if (!same_shape(view, &w->tensor)) {
        problem(binder, "'%s' is %s, expected %s (%s)", name, so_view_describe(view, found, sizeof found),
                so_shape_text(&w->tensor, expected), row->axes);
        return SO_OK;
    }
    if (!so_type_holds_numbers(view->type)) {
        problem(binder, "'%s' is %s, expected floats or blocks of them", name,
                so_view_describe(view, found, sizeof found));
        return SO_OK;
    }
    SO_TRY(load(binder, view, w, error));
    if (binder->check_finite) check_finite(binder, &w->tensor);
    return SO_OK;
}

static void full_name(char *out, size_t size, const char *prefix, const char *name, int64_t index)
{
    const char *hole = strstr(name, "{}");
    if (hole)
        snprintf(out, size, "%s%.*s%lld%s", prefix, (int)(hole - name), name, (long long)index, hole + 2);
    else
        snprintf(out, size, "%s%s", prefix, name);
}

so_status so_bind(so_binder *binder, const char *prefix, int64_t index, const so_bind_row *table, int n, void *owner,
                  so_error *error)
{
    for (int i = 0; i < n; i++) {
        char name[512];
        full_name(name, sizeof name, prefix, table[i].name, index);
        SO_TRY(bind_one(binder, name, &table[i], (so_tensor **)((char *)owner + table[i].field), error));
    }
    return SO_OK;
}

so_status so_binder_finish(const so_binder *binder, const char *what, so_error *error)
{
    if (binder->problems == 0) return SO_OK;
    return so_fail(error, SO_ERR_FORMAT, "%s: %d of its weights are not as expected:\n%s", what, binder->problems,
                   binder->text);
}
