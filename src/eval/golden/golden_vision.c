/* Pictures, vision tower, merging, and the training form of the fusion against reference numbers.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval/golden/golden_omni.h"
#include "text/chat.h"

static const so_bars usual = {5e-5, 5e-4}, exact = {0, 0};

static const char *text_of(const json_t *json, const char *key)
{
    return json_string_value(json_object_get(json, key));
}

/* A pass with memory of its own for as long as it is used. */
typedef struct desk {
    so_arena arena;
    so_pass pass;
    so_worker worker; /* where the model is on a device; its pass is copied */
} desk;

static so_status open_desk(desk *d, const so_model *model, so_error *error)
{
    if (model->device) {
        SO_TRY(so_golden_worker(&d->worker, model, error));
        d->pass = *so_worker_begin(&d->worker);
        return SO_OK;
    }
    SO_TRY(so_arena_reserve(&d->arena, (size_t)1 << 38, error));
    so_pass_init(&d->pass, &d->arena, model->pool, model->kernels);
    return SO_OK;
}

static so_status close_desk(desk *d, so_status status, so_error *error)
{
    if (status == SO_OK) status = so_pass_end(&d->pass, error);
    so_arena_clear(&d->arena);
    so_worker_clear(&d->worker);
    return status;
}

/* ---- preprocessing */

static so_status make_spec(const so_model *model, const char *mode, const json_t *pinpoints, so_image_spec *spec,
                           so_error *error)
{
    SO_TRY(so_image_spec_init(spec, (int)model->setup.omni.siglip.image, error));
    SO_TRY(so_image_spec_set_mode(spec, mode ? mode : "square", error));
    if (!pinpoints || json_is_null(pinpoints)) return SO_OK;
    if (json_is_string(pinpoints)) return so_image_spec_set_pinpoints(spec, json_string_value(pinpoints), error);
    char *text = json_dumps(pinpoints, 0);
    if (!text) return so_fail(error, SO_ERR_NOMEM, "no memory for pinpoints");
    so_status status = so_image_spec_set_pinpoints(spec, text, error);
    free(text);
    return status;
}

static so_status make_pixels(const so_model *model, const so_image *image, const so_image_spec *spec,
                             so_image_views *views, float **pixels, so_error *error)
{
    SO_TRY(so_image_views_make(views, image, spec, model->pool, error));
    *pixels = malloc((size_t)views->n * 3 * (size_t)(spec->size * spec->size) * sizeof **pixels);
    if (!*pixels) return so_fail(error, SO_ERR_NOMEM, "no memory for %d views", views->n);
    so_image_normalise(views, spec, *pixels);
    return SO_OK;
}

static so_status compare_mode(so_golden *g, const so_model *model, const so_image *image, const char *set,
                              const char *mode, const json_t *json, so_error *error)
{
    so_image_spec spec;
    so_image_views views = {0};
    float *pixels = NULL;
    so_status status;
    SO_TRY_GO(make_spec(model, text_of(json, "mode"), json_object_get(json, "pinpoints"), &spec, error));
    SO_TRY_GO(make_pixels(model, image, &spec, &views, &pixels, error));
    int64_t s = spec.size, step = (s + 15) / 16, n = (s + step - 1) / step, planes = (int64_t)views.n * 3;
    so_real *some = malloc((size_t)(planes * n * n) * sizeof *some);
    for (int64_t i = 0; some && i < planes * n * n; i++)
        some[i] = pixels[(i / (n * n) * s + i / n % n * step) * s + i % n * step];
    char what[64];
    snprintf(what, sizeof what, "%s_16x16", mode);
    if (some) so_golden_numbers(g, set, what, some, planes * n * n, exact);
    free(some);
done:
    free(pixels);
    so_image_views_clear(&views);
    return status;
}

so_status so_golden_pictures(so_golden *g, const so_model *model, so_error *error)
{
    size_t i;
    json_t *entry, *json;
    const char *mode;
    if (!so_golden_wants(g, "image")) return SO_OK;
    json_array_foreach(json_object_get(g->root, "images"), i, entry)
    {
        so_image image = {0};
        char set[128];
        const char *file = text_of(entry, "file");
        so_status status = so_golden_picture(g, file, &image, error);
        snprintf(set, sizeof set, "image/%.*s", (int)strcspn(file, "."), file);
        json_object_foreach(json_object_get(entry, "modes"), mode, json) if (status == SO_OK) status =
            compare_mode(g, model, &image, set, mode, json, error);
        so_image_clear(&image);
        SO_TRY(status);
        g->result->sets++;
    }
    return SO_OK;
}

/* ---- tower */

static void some_rows(so_golden *g, const char *set, const char *what, const so_tensor *t, int64_t stride)
{
    const so_view *view = so_golden_view(g, set, what, NULL);
    if (!view || !t) return;
    int64_t cols = so_cols(t), n = (so_rows(t) + stride - 1) / stride;
    so_real *found = malloc((size_t)(n * cols) * sizeof *found);
    for (int64_t i = 0; found && i < n; i++)
        memcpy(found + i * cols, so_data(t) + i * stride * cols, (size_t)cols * sizeof *found);
    if (found) so_golden_numbers(g, set, what, found, n * cols, usual);
    free(found);
}

typedef struct tower_watch {
    so_golden *g;
    const char *set;
    int64_t layers;
} tower_watch;

/* The reference counts a layer's output, the network its input: the input of layer i + 1 is the output of layer i. */
static void compare_tower(void *context, const char *name, const so_tensor *t)
{
    enum { STRIDE = 29 };
    const tower_watch *w = context;
    char what[64];
    long long layer;
    if (strcmp(name, "vision.patches") == 0) some_rows(w->g, w->set, "patch_rows", t, STRIDE);
    if (strcmp(name, "vision.in.0") == 0) some_rows(w->g, w->set, "embed_rows", t, STRIDE);
    bool out = strcmp(name, "vision.out") == 0;
    if (out) layer = w->layers;
    if (out || (sscanf(name, "vision.in.%lld", &layer) == 1 && layer > 0)) {
        snprintf(what, sizeof what, "layer%lld_rows", layer - 1);
        some_rows(w->g, w->set, what, t, STRIDE);
    }
    const char *end = out ? "features" : strcmp(name, "projector.out") == 0 ? "projected" : NULL;
    if (!end) return;
    snprintf(what, sizeof what, "%s_rows", end);
    some_rows(w->g, w->set, what, t, STRIDE);
    some_rows(w->g, w->set, end, t, 1);
}

static so_status tower(so_golden *g, const so_model *model, const char *set, const char *name, so_error *error)
{
    so_image image = {0};
    so_image_views views = {0};
    float *pixels = NULL;
    desk d = {0};
    so_status status;
    so_image_spec spec;
    SO_TRY_GO(open_desk(&d, model, error));
    SO_TRY_GO(so_golden_picture(g, name, &image, error));
    SO_TRY_GO(make_spec(model, "square", NULL, &spec, error));
    SO_TRY_GO(make_pixels(model, &image, &spec, &views, &pixels, error));
    so_golden_numbers(g, set, "pixels", pixels, 3 * (int64_t)spec.size * spec.size, exact);
    so_watch watch = {.tensor = compare_tower, .context = &(tower_watch){g, set, model->net.siglip.config.layers}};
    d.pass.watch = &watch;
    so_omni_see(&d.pass, &model->net, 1, pixels);
done:
    free(pixels);
    so_image_views_clear(&views);
    so_image_clear(&image);
    g->result->sets++;
    return close_desk(&d, status, error);
}

so_status so_golden_vision(so_golden *g, const so_model *model, so_error *error)
{
    const char *set;
    json_t *json;
    json_object_foreach(json_object_get(g->root, "vision"), set, json)
    {
        const char *name = text_of(json, "image");
        if (name && so_golden_wants(g, set)) SO_TRY(tower(g, model, set, name, error));
    }
    return SO_OK;
}

/* ---- merging */

typedef struct merged {
    so_heap vectors;
    int64_t first[8], pictures;
} merged;

static so_status add_picture(so_golden *g, const so_model *model, const json_t *json, const char *name, bool one_view,
                             merged *m, so_error *error)
{
    so_setup setup = model->setup;
    so_image image = {0};
    so_image_views views = {0};
    so_image_spec spec;
    float *pixels = NULL;
    desk d = {0};
    so_status status;
    int64_t width = setup.omni.llama.width;
    snprintf(setup.merge, sizeof setup.merge, "%s", text_of(json, "mm_patch_merge_type"));
    snprintf(setup.aspect, sizeof setup.aspect, "%s", text_of(json, "image_aspect_ratio"));
    SO_TRY_GO(open_desk(&d, model, error));
    SO_TRY_GO(so_golden_picture(g, name, &image, error));
    SO_TRY_GO(make_spec(model, one_view ? "square" : setup.aspect, json_object_get(json, "pinpoints"), &spec, error));
    SO_TRY_GO(make_pixels(model, &image, &spec, &views, &pixels, error));
    int side = (int)so_siglip_grid(&setup.omni.siglip);
    so_picture pic = {views.n,
                      views.grid_w,
                      views.grid_h,
                      views.image_w,
                      views.image_h,
                      side,
                      strncmp(setup.aspect, "anyres", 6) == 0};
    so_tensor *all = so_new2(&d.pass, (int64_t)views.n * side * side, width);
    for (int i = 0; all && i < views.n && so_ok(&d.pass); i++) {
        so_tensor *v = so_omni_see(&d.pass, &model->net, 1, pixels + (size_t)i * 3 * (size_t)(spec.size * spec.size));
        if (v) memcpy(so_data(all) + (int64_t)i * so_count(v), so_data(v), (size_t)so_count(v) * sizeof(so_real));
    }
    so_tensor *out = so_new2(&d.pass, so_picture_vectors(&setup, &pic), width);
    const so_view *newline = so_golden_view(g, "merge", "image_newline", NULL);
    if (!so_ok(&d.pass)) goto done;
    SO_TRY_GO(so_picture_merge(&setup, &pic, width, so_data(all), newline ? newline->data : NULL, so_data(out), error));
    SO_TRY_GO(so_heap_add(&m->vectors, so_rows(out), width, so_data(out), error));
    m->first[++m->pictures] = m->vectors.rows;
done:
    free(pixels);
    so_image_views_clear(&views);
    so_image_clear(&image);
    return close_desk(&d, status, error);
}

/* The embedded sequence, compared by every stride-th row, its length, its sum and its absolute sum. */
static so_status compare_sequence(so_golden *g, const so_model *model, const json_t *json, const so_slots *slots,
                                  const merged *m, so_error *error)
{
    const char *name = text_of(json, "name");
    int64_t width = model->setup.omni.llama.width, stride = json_integer_value(json_object_get(json, "row_stride"));
    double sum = 0, absolute = 0;
    so_heap some = {0};
    so_status status = SO_OK;
    so_real *row = malloc((size_t)width * sizeof *row);
    if (!row) return so_fail(error, SO_ERR_NOMEM, "no memory for a row");
    for (int64_t i = 0; i < slots->n && status == SO_OK; i++) {
        const so_tensor *table = model->net.text_embed;
        if (slots->slot[i].where == SO_SLOT_IMAGE)
            memcpy(row, so_heap_at(&m->vectors, slots->slot[i].id), (size_t)width * sizeof *row);
        else
            model->kernels->row(table->type, table->data, slots->slot[i].id, width, row);
        for (int64_t c = 0; c < width; c++) {
            sum += (double)row[c];
            absolute += fabs((double)row[c]);
        }
        if (stride > 0 && i % stride == 0) status = so_heap_add(&some, 1, width, row, error);
    }
    char what[128];
    snprintf(what, sizeof what, "%s_rows", name);
    so_golden_numbers(g, "merge", what, some.data, some.rows * some.cols, usual);
    double n = (double)(slots->n * width);
    so_golden_value(g, name, "sequence_length", (double)slots->n,
                    json_number_value(json_object_get(json, "sequence_length")), 0);
    so_golden_value(g, name, "sum", sum, json_number_value(json_object_get(json, "sum")), 1e-6 * n);
    so_golden_value(g, name, "abs_sum", absolute, json_number_value(json_object_get(json, "abs_sum")), 1e-6 * n);
    free(some.data);
    free(row);
    return status;
}

static so_status one_merge(so_golden *g, const so_model *model, const json_t *json, so_error *error)
{
    char what[128];
    merged m = {0};
    so_slots slots = {.capacity = 65536};
    so_status status;
    const json_t *shape = json_object_get(json, "input_shape"), *first = json_array_get(shape, 0);
    bool one_view = json_is_array(first) && json_integer_value(json_array_get(first, 0)) == 1;
    int64_t pictures = json_is_array(first) ? 1 : json_integer_value(first);
    snprintf(what, sizeof what, "%s_ids", text_of(json, "name"));
    const so_view *ids = so_golden_view(g, "merge", what, NULL);
    if (!ids) return SO_OK;
    slots.slot = malloc((size_t)slots.capacity * sizeof *slots.slot);
    if (!slots.slot) return so_fail(error, SO_ERR_NOMEM, "no memory for a sequence");
    /* A second picture is the next of the list. */
    const char *name = text_of(json, "image");
    for (int64_t k = 0; k < pictures; k++) {
        if (k) name = text_of(json_array_get(json_object_get(g->root, "images"), (size_t)k), "file");
        SO_TRY_GO(add_picture(g, model, json, name, one_view, &m, error));
    }
    SO_TRY_GO(so_slots_add(&slots, ids->data, so_view_elements(ids), SO_SLOT_TEXT, m.first, m.pictures, error));
    so_golden_limit(&slots, json_integer_value(json_object_get(json, "tokenizer_model_max_length")));
    SO_TRY_GO(compare_sequence(g, model, json, &slots, &m, error));
done:
    free(slots.slot);
    free(m.vectors.data);
    return status;
}

so_status so_golden_merge(so_golden *g, const so_model *model, so_error *error)
{
    size_t i;
    json_t *json;
    if (!so_golden_wants(g, "merge")) return SO_OK;
    json_array_foreach(json_object_get(g->root, "merge"), i, json) SO_TRY(one_merge(g, model, json, error));
    g->result->sets++;
    return SO_OK;
}

/* ---- the top layers as they are trained */

typedef struct lesson {
    const so_view *x, *text, *mask, *visible, *window;
    int64_t B, S, n, rows;
    int32_t *row, *pos, *lo, *hi, *memory_pos;
    int64_t *seq_rows, *memory0, *memory_rows, *lengths;
    so_fusion fusion;
} lesson;

/* Rows that take text in, and what each sees: as the masks say, or (inference) the last row of each sequence,
 * everything. */
static void fill_lesson(lesson *l, bool inference)
{
    const float *mask = l->mask->data;
    const int32_t *visible = l->visible->data, *window = l->window->data;
    l->rows = 0;
    for (int64_t b = 0; b < l->B; b++) {
        l->seq_rows[b] = 0;
        l->memory0[b] = b * l->n;
        l->memory_rows[b] = l->n;
        l->lengths[b] = l->S;
        for (int64_t j = 0; j < l->n; j++) l->memory_pos[b * l->n + j] = (int32_t)j;
        for (int64_t t = 0; t < l->S; t++) {
            int64_t i = b * l->S + t;
            if (inference ? t + 1 < l->S : mask[i] == 0) continue;
            l->row[l->rows] = (int32_t)i;
            l->pos[l->rows] = (int32_t)t;
            l->hi[l->rows] = inference ? (int32_t)l->n : visible[i];
            l->lo[l->rows] = inference || visible[i] < window[i] ? 0 : visible[i] - window[i];
            l->rows++;
            l->seq_rows[b]++;
        }
    }
    l->fusion = (so_fusion){.memory_rows = l->B * l->n,
                            .memory_pos = l->memory_pos,
                            .rows = l->rows,
                            .row = l->row,
                            .pos = l->pos,
                            .n_seqs = l->B,
                            .seq_rows = l->seq_rows,
                            .ranges = {l->memory0, l->memory_rows, l->lo, l->hi}};
}

static bool take_lesson(lesson *l, so_pass *pass)
{
    int64_t R = l->B * l->S;
    int32_t *ids = so_take(pass, (size_t)(4 * R + l->B * l->n) * sizeof *ids, false);
    int64_t *counts = so_take(pass, (size_t)(4 * l->B) * sizeof *counts, false);
    if (!counts) return false;
    l->row = ids;
    l->pos = ids + R;
    l->lo = ids + 2 * R;
    l->hi = ids + 3 * R;
    l->memory_pos = ids + 4 * R;
    l->seq_rows = counts;
    l->memory0 = counts + l->B;
    l->memory_rows = counts + 2 * l->B;
    l->lengths = counts + 3 * l->B;
    return true;
}

static so_tensor *leaf(so_pass *pass, const so_view *view, bool wants)
{
    int64_t cols = view->dim[view->n_dims - 1], rows = so_view_elements(view) / cols;
    so_tensor *t = so_constant(pass, 2, (int64_t[]){rows, cols}, view->data);
    if (t) t->wants_grad = wants;
    return t;
}

static void compare_gradients(so_golden *g, const so_model *model)
{
    static const char prefix[] = "tlayer/grad_layer";
    const so_views *views = so_safetensors_views(g->fine ? g->fine : g->single);
    for (int64_t i = 0; i < views->count; i++) {
        const char *name = views->view[i].name;
        if (strncmp(name, prefix, sizeof prefix - 1) != 0) continue;
        char full[256];
        snprintf(full, sizeof full, "model.top_audio_layers.%s", name + sizeof prefix - 1);
        const so_weight *w = so_store_find(&model->store, full);
        if (w && w->tensor.grad)
            so_golden_numbers(g, "tlayer", name + strlen("tlayer/"), w->tensor.grad, so_count(&w->tensor), usual);
    }
}

static void compare_layers(void *context, const char *name, const so_tensor *t)
{
    char what[64];
    long long layer;
    if (sscanf(name, "top.in.%lld", &layer) != 1 || layer == 0) return;
    snprintf(what, sizeof what, "after_layer%lld", layer - 1);
    so_golden_numbers(context, "tlayer", what, so_data(t), so_count(t), usual);
}

static so_status train_form(so_golden *g, so_model *model, desk *d, lesson *l, so_error *error)
{
    so_pass *pass = &d->pass;
    const so_view *weights = so_golden_view(g, "tlayer", "loss_weights", NULL);
    so_tensor *x = leaf(pass, l->x, true), *text = leaf(pass, l->text, true);
    so_watch watch = {.tensor = compare_layers, .context = g};
    fill_lesson(l, false);
    l->fusion.memory = text;
    pass->recording = true;
    pass->watch = &watch;
    so_batch *batch = so_batch_many(pass, l->B, l->lengths, NULL);
    so_tensor *out = so_omni_speak(pass, &model->net, x, batch, &l->fusion);
    pass->watch = NULL;
    if (!out) return so_fail(error, pass->error.status, "%s", pass->error.text);
    so_golden_numbers(g, "tlayer", "out", so_data(out), so_count(out), usual);
    const float *w = weights->data;
    double loss = 0;
    so_real *grad = so_grad(pass, out);
    for (int64_t i = 0; grad && i < so_count(out); i++) {
        loss += (double)so_data(out)[i] * (double)w[i];
        grad[i] = w[i];
    }
    so_real one = (so_real)loss;
    so_golden_numbers(g, "tlayer", "loss", &one, 1, usual);
    if (so_backward_from(pass) != SO_OK) return so_fail(error, pass->error.status, "%s", pass->error.text);
    so_golden_numbers(g, "tlayer", "grad_x", x->grad, so_count(x), usual);
    so_golden_numbers(g, "tlayer", "grad_text_rep", text->grad, so_count(text), usual);
    compare_gradients(g, model);
    return SO_OK;
}

static void inference_form(so_golden *g, const so_model *model, desk *d, lesson *l)
{
    so_pass *pass = &d->pass;
    pass->recording = false;
    fill_lesson(l, true);
    l->fusion.memory = leaf(pass, l->text, false);
    so_batch *batch = so_batch_many(pass, l->B, l->lengths, NULL);
    so_tensor *out = so_omni_speak(pass, &model->net, leaf(pass, l->x, false), batch, &l->fusion);
    if (out) so_golden_numbers(g, "tlayer", "out_inference_branch", so_data(out), so_count(out), usual);
}

so_status so_golden_fusion(so_golden *g, so_model *model, so_error *error)
{
    lesson l = {.x = so_golden_view(g, "tlayer", "x", NULL),
                .text = so_golden_view(g, "tlayer", "text_rep", NULL),
                .mask = so_golden_view(g, "tlayer", "fusion_mask", NULL),
                .visible = so_golden_view(g, "tlayer", "visible", NULL),
                .window = so_golden_view(g, "tlayer", "window", NULL)};
    desk d = {0};
    so_status status;
    if (!l.x || !l.text || !l.mask || !l.visible || !l.window || !so_golden_wants(g, "tlayer")) return SO_OK;
    /* Gradients need weights in f32. */
    if (model->net.top.layers == 0 || model->net.top.layer[0].q->type != SO_F32) {
        so_golden_skip(g, "tlayer", NULL, "its gradients need weights in f32, and these keep their stored type");
        return SO_OK;
    }
    l.B = l.x->dim[0];
    l.S = l.x->dim[1];
    l.n = l.text->dim[1];
    SO_TRY_GO(open_desk(&d, model, error));
    SO_TRY_GO(so_store_learn(&model->store, "top", true, error));
    if (!take_lesson(&l, &d.pass)) goto done;
    SO_TRY_GO(train_form(g, model, &d, &l, error));
    SO_TRY_GO(so_store_learn(&model->store, "top", false, error));
    inference_form(g, model, &d, &l);
    g->result->sets++;
done:
    return close_desk(&d, status, error);
}
