/* The eyes: the vision tower learns to name, for the cell under each patch, the object that stands there.
 *
 * The published model starts from a SigLIP that web pictures taught; here the world itself supplies the labels. Four
 * linear heads read every patch and are thrown away afterwards: shape, colour, size ("nothing" is a class of each, and
 * "no tabletop at all" one of the shapes, for pictures from outside of the world), and
 * the place: which cell the patch belongs to, or, for all but one patch of a cell, that it is not the one that stands
 * for its cell. Thus the language model finds where things are as easily as what they are, and nine patches that count.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <stdlib.h>

#include "dataset/tabletop/tabletop_dataset.h"
#include "recipes/tabletop/part_stages.h"

enum {
    BATCH = 32,
    EVERY_OTHER = 8 /* picture in so many shows no tabletop */,
    GRID = 8,
    PATCHES = GRID * GRID,
    AREA = 3 * SO_TABLETOP_SIDE * SO_TABLETOP_SIDE
};

typedef struct eyes {
    so_siglip tower;
    so_tensor *shape_w, *shape_b, *colour_w, *colour_b, *size_w, *size_b, *place_w, *place_b;
} eyes;

#define ROW(field, axes, init)                                                                                         \
    {                                                                                                                  \
        offsetof(eyes, field), "eyes." #field, axes, "heads", init, 1, false                                           \
    }
static const so_bind_row head_table[] = {
    ROW(shape_w, "7 D", SO_INIT_FAN_IN),
    {offsetof(eyes, shape_b), "eyes.shape_b", "7", "heads", SO_INIT_VALUE, 0, false},
    ROW(colour_w, "9 D", SO_INIT_FAN_IN),
    {offsetof(eyes, colour_b), "eyes.colour_b", "9", "heads", SO_INIT_VALUE, 0, false},
    ROW(size_w, "3 D", SO_INIT_FAN_IN),
    {offsetof(eyes, size_b), "eyes.size_b", "3", "heads", SO_INIT_VALUE, 0, false},
    ROW(place_w, "18 D", SO_INIT_FAN_IN),
    {offsetof(eyes, place_b), "eyes.place_b", "18", "heads", SO_INIT_VALUE, 0, false},
};

/* Third of the picture in which the middle of the n-th row or column of patches lies. */
static int third(int n) { return (n * 14 + 7) * 3 / SO_TABLETOP_SIDE; }

static bool stands_for_third(int n) { return n == 1 || n == 4 || n == 6; }

static void label(uint64_t seed, int32_t *shape, int32_t *colour, int32_t *size, int32_t *place)
{
    so_scene scene;
    so_scene_make(&scene, seed);
    for (int p = 0; p < PATCHES; p++) {
        int row = third(p / GRID), col = third(p % GRID);
        place[p] = row * 3 + col + (stands_for_third(p / GRID) && stands_for_third(p % GRID) ? 0 : 9);
        shape[p] = so_scene_is_other(&scene) ? 1 + SO_SHAPES : 0;
        colour[p] = size[p] = 0;
        for (int o = 0; o < scene.count; o++)
            if (scene.objects[o].cell == row * 3 + col) {
                shape[p] = 1 + (int)scene.objects[o].shape;
                colour[p] = 1 + (int)scene.objects[o].colour;
                size[p] = 1 + scene.objects[o].big;
            }
    }
}

static double accuracy(const so_tensor *logits, const int32_t *label)
{
    int64_t right = 0, rows = so_rows(logits), c = so_cols(logits);
    for (int64_t r = 0; r < rows; r++) {
        int64_t best = 0;
        for (int64_t i = 1; i < c; i++)
            if (so_data(logits)[r * c + i] > so_data(logits)[r * c + best]) best = i;
        right += best == label[r];
    }
    return (double)right / (double)rows;
}

/* Pictures first .. first + BATCH - 1 of the two streams, tabletops and others. */
static so_tensor *look(so_pass *pass, const eyes *net, so_dataset *const stream[2], uint64_t first, so_notes *notes)
{
    float *pixels = so_take(pass, sizeof(float) * BATCH * AREA, false);
    int32_t *shape = so_take(pass, 4 * BATCH * PATCHES, false), *colour = so_take(pass, 4 * BATCH * PATCHES, false);
    int32_t *size = so_take(pass, 4 * BATCH * PATCHES, false), *place = so_take(pass, 4 * BATCH * PATCHES, false);
    if (!place) return NULL;
    for (int b = 0; b < BATCH; b++) {
        uint64_t index = first + (uint64_t)b;
        uint64_t scene = 0;
        so_record r;
        if (so_dataset_read(stream[b % EVERY_OTHER == 0], (int64_t)index, &r, &pass->error) != SO_OK) return NULL;
        so_locator_scene(&r.image[0], &scene);
        so_record_clear(&r);
        so_tt_picture(scene, pixels + b * AREA);
        label(scene, shape + b * PATCHES, colour + b * PATCHES, size + b * PATCHES, place + b * PATCHES);
    }
    so_tensor *x = so_siglip_forward(pass, &net->tower, BATCH, pixels);
    so_tensor *s = so_linear(pass, x, net->shape_w, net->shape_b),
              *c = so_linear(pass, x, net->colour_w, net->colour_b);
    so_tensor *z = so_linear(pass, x, net->size_w, net->size_b);
    so_tensor *w = so_linear(pass, x, net->place_w, net->place_b);
    so_tensor *loss[] = {so_cross_entropy(pass, s, shape), so_cross_entropy(pass, c, colour),
                         so_cross_entropy(pass, z, size), so_cross_entropy(pass, w, place)};
    if (!so_ok(pass)) return NULL;
    if (notes) {
        so_notes_add(notes, "shape", accuracy(s, shape), 1);
        so_notes_add(notes, "colour", accuracy(c, colour), 1);
        so_notes_add(notes, "size", accuracy(z, size), 1);
        so_notes_add(notes, "place", accuracy(w, place), 1);
    }
    return so_weighted_sum(pass, 4, loss,
                           (so_real[]){so_tt_weight("eyes", "shape"), so_tt_weight("eyes", "colour"),
                                       so_tt_weight("eyes", "size"), so_tt_weight("eyes", "place")});
}

typedef struct context {
    eyes net;
    so_dataset *learned[2], *reserved[2];
} context;

static so_status open_streams(so_dataset *stream[2], so_tabletop_part part, uint64_t seed, so_error *error)
{
    so_tabletop_stream_options o = {.part = part, .seed = seed, .count = INT32_MAX, .turns = 1};
    SO_TRY(so_tabletop_stream_open(&stream[0], &o, error));
    o.stream = SO_TABLETOP_OTHERS;
    return so_tabletop_stream_open(&stream[1], &o, error);
}

static so_tensor *micro(void *p, so_pass *pass, so_micro *m)
{
    context *c = p;
    m->tokens = BATCH * PATCHES;
    return look(pass, &c->net, c->learned, (uint64_t)m->step * BATCH, m->notes);
}

static so_status evaluate(void *p, so_pass *pass, int64_t step, so_notes *notes, so_error *error)
{
    context *c = p;
    (void)step;
    for (uint64_t i = 0; i < 8; i++) {
        size_t mark = so_arena_mark(pass->arena);
        look(pass, &c->net, c->reserved, i * BATCH, notes);
        so_arena_release(pass->arena, mark);
        if (!so_ok(pass)) {
            *error = pass->error;
            return error->status;
        }
    }
    return SO_OK;
}

so_status so_tt_eyes(so_tt *tt, so_error *error)
{
    if (so_tt_done(tt, "eyes")) return SO_OK;
    context c = {.learned = {NULL}};
    so_store store;
    so_rng rng;
    so_omni_config config = so_tt_config(tt);
    so_rng_init(&rng, tt->seed, 2);
    so_binder binder = {.store = &store, .rng = &rng, .group = "vision"};
    SO_TRY(so_store_open(&store, 0, error));
    SO_TRY(
        so_siglip_bind(&c.net.tower, &config.siglip, "model.vision_tower.vision_tower.vision_model.", &binder, error));
    SO_TRY(SO_BIND(&binder, "", 0, head_table, &c.net, error));
    SO_TRY(so_tt_begin(tt, &store, error));
    SO_TRY(open_streams(c.learned, SO_TABLETOP_TRAIN, tt->seed, error));
    SO_TRY(open_streams(c.reserved, SO_TABLETOP_RESERVED, 1, error));
    so_tt_job job = {.part = "eyes",
                     .store = &store,
                     .hooks = {.context = &c, .micro = micro, .evaluate = evaluate},
                     .keep = (const char *[]){"vision", NULL}};
    so_status status = so_tt_learn(tt, &job, error);
    for (int i = 0; i < 2; i++) {
        so_dataset_close(&c.learned[i]);
        so_dataset_close(&c.reserved[i]);
    }
    so_store_close(&store);
    return status;
}
