/* Pictures, looked at in pieces. See engine/see.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/see.h"

#include <string.h>

#include "engine/prompt.h"

static so_picture picture_of(const so_talk *talk, const so_image_views *views)
{
    return (so_picture){views->n,
                        views->grid_w,
                        views->grid_h,
                        views->image_w,
                        views->image_h,
                        (int)so_siglip_grid(&talk->model->setup.omni.siglip),
                        talk->model->pictures.mode == SO_IMAGE_ANYRES};
}

so_status so_talk_place(so_talk *talk, const so_image_views *views, int64_t *first, int64_t *n, so_error *error)
{
    if (!talk->model->setup.omni.vision || !talk->options.sees)
        return so_fail(error, SO_ERR_UNSUPPORTED, "the model does not see");
    so_picture pic = picture_of(talk, views);
    *n = so_picture_vectors(&talk->model->setup, &pic);
    *first = talk->n_vectors;
    if (views->n > talk->max_views || *n > talk->max_vectors - talk->n_vectors)
        return so_fail(error, SO_ERR_LIMIT, "a picture of %lld vectors in %d views, there is room for %lld in %d",
                       (long long)*n, views->n, (long long)(talk->max_vectors - talk->n_vectors), talk->max_views);
    talk->n_vectors += *n;
    return SO_OK;
}

static const so_siglip_config *tower_of(const so_talk *talk) { return &talk->model->setup.omni.siglip; }

static int64_t patches_of(const so_talk *talk)
{
    return so_siglip_grid(tower_of(talk)) * so_siglip_grid(tower_of(talk));
}

/* What the layers made so far of the view that is looked at. */
static so_tensor *inside(so_talk *talk)
{
    return so_lent(&talk->worker->pass, patches_of(talk), tower_of(talk)->width, talk->inside);
}

static void keep(const so_talk *talk, const so_tensor *x, so_real *out)
{
    const so_pass *pass = &talk->worker->pass;
    if (so_ok(pass) && x && !pass->dry) so_device_read(pass->device, out, x->data, (size_t)so_count(x) * sizeof *out);
}

/* What enters the first layer; views NULL: a dry run of the most. */
static void cut_patches(so_talk *talk, const so_image_views *views)
{
    so_pass *pass = &talk->worker->pass;
    int64_t side = tower_of(talk)->image, view = 3 * side * side, n = views ? views->n : talk->max_views;
    float *pixels = so_take(pass, (size_t)(n * view) * sizeof *pixels, false);
    if (!pixels) return;
    if (views) so_image_normalise(views, &talk->model->pictures, pixels);
    keep(talk, so_siglip_patches(pass, &talk->model->net.siglip, 1, pixels + talk->looking.view * view), talk->inside);
}

static int64_t halves_of(const so_talk *talk) { return 2 * tower_of(talk)->layers; }

/* Halves of layers up to which the next piece goes. */
static int64_t halves_to(const so_talk *talk)
{
    int64_t last = talk->looking.half + talk->options.tower_halves;
    return last < halves_of(talk) ? last : halves_of(talk);
}

static void run_layers(so_talk *talk)
{
    keep(talk,
         so_siglip_halves(&talk->worker->pass, &talk->model->net.siglip, 1, inside(talk), talk->looking.half,
                          halves_to(talk)),
         talk->inside);
}

enum { PROJECTED = 128 /* rows that are projected at a time */ };

static int64_t rows_to_project(const so_talk *talk)
{
    int64_t left = patches_of(talk) - talk->looking.row;
    return left < PROJECTED ? left : PROJECTED;
}

static void project(so_talk *talk)
{
    so_pass *pass = &talk->worker->pass;
    int64_t first = talk->looking.row, width = talk->model->setup.omni.llama.width, inner = tower_of(talk)->width;
    so_tensor *x = so_lent(pass, rows_to_project(talk), inner, talk->inside + first * inner);
    keep(talk, x ? so_projector_forward(pass, &talk->model->net.projector, x) : NULL,
         talk->seen + (talk->looking.view * patches_of(talk) + first) * width);
}

/* A view is cut, goes through the layers, is projected; then comes the next. */
static void look_at_view(so_talk *talk, const so_image_views *views)
{
    so_looking *at = &talk->looking;
    so_pass *pass = so_worker_begin(talk->worker);
    const so_kernels *rest = pass->k;
    if (!pass->device) pass->k = talk->model->encoders;
    if (!at->cut)
        cut_patches(talk, views);
    else if (at->half < halves_of(talk))
        run_layers(talk);
    else
        project(talk);
    pass->k = rest;
    if (!so_ok(pass)) return;
    if (!at->cut)
        at->cut = true;
    else if (at->half < halves_of(talk))
        at->half = halves_to(talk);
    else if ((at->row += rows_to_project(talk)) == patches_of(talk))
        *at = (so_looking){.view = at->view + 1};
}

so_work so_talk_look_next(const so_talk *talk)
{
    const so_looking *at = &talk->looking;
    const so_siglip_config *c = tower_of(talk);
    double patches = (double)patches_of(talk), width = (double)c->width, size = 0;
    double out = (double)talk->model->setup.omni.llama.width;
    if (!at->cut) return (so_work){SO_WORK_CUT, patches * width * (double)(3 * c->patch * c->patch)};
    for (int64_t h = at->half, last = halves_to(talk); h < last; h++)
        size += patches * width * (h % 2 ? 2 * (double)c->ff : 4 * width + 2 * patches);
    if (size > 0) return (so_work){SO_WORK_TOWER, size};
    return (so_work){SO_WORK_PROJECT, (double)rows_to_project(talk) * out * (width + out)};
}

void so_talk_look_away(so_talk *talk) { talk->looking = (so_looking){0}; }

so_status so_talk_look(so_talk *talk, const so_image_views *views, int64_t first, bool *done, so_error *error)
{
    const so_model *model = talk->model;
    const so_tensor *newline = model->net.image_newline;
    int64_t width = model->setup.omni.llama.width;
    *done = false;
    look_at_view(talk, views);
    SO_TRY(so_worker_end(talk->worker, error));
    if (talk->looking.view < views->n) return SO_OK;
    so_picture pic = picture_of(talk, views);
    so_talk_look_away(talk);
    *done = true;
    return so_picture_merge(&model->setup, &pic, width, talk->seen, newline ? so_data(newline) : NULL,
                            talk->vectors + first * width, error);
}

so_status so_talk_see(so_talk *talk, const so_image_views *views, int64_t first, so_error *error)
{
    so_talk_look_away(talk);
    for (bool done = false; !done;) SO_TRY(so_talk_look(talk, views, first, &done, error));
    return SO_OK;
}

void so_talk_drop(so_talk *talk, int64_t n)
{
    int64_t width = talk->model->setup.omni.llama.width;
    so_talk_unwant(talk);
    talk->n_vectors -= n;
    memmove(talk->vectors, talk->vectors + n * width, (size_t)(talk->n_vectors * width) * sizeof *talk->vectors);
    for (int64_t i = 0; i < talk->backbone.len; i++) {
        so_slot *read = &talk->read[i];
        if (read->where != SO_SLOT_IMAGE) continue;
        if (read->id < n)
            talk->backbone.len = i;
        else
            read->id -= (int32_t)n;
    }
}

void so_talk_forget(so_talk *talk, int64_t first)
{
    so_talk_unwant(talk);
    /* The same vector numbers will stand for another picture: what the backbone read of them is void. */
    for (int64_t i = 0; i < talk->backbone.len; i++)
        if (talk->read[i].where == SO_SLOT_IMAGE && talk->read[i].id >= first) talk->backbone.len = i;
    if (first < talk->n_vectors) talk->n_vectors = first;
}

so_status so_talk_rehearse_look(so_talk *talk, so_error *error)
{
    if (!talk->options.sees) return SO_OK;
    so_talk_look_away(talk);
    while (talk->looking.view == 0) {
        look_at_view(talk, NULL);
        SO_TRY(so_worker_end(talk->worker, error));
    }
    so_talk_look_away(talk);
    return SO_OK;
}
