/* Scenes of the tabletop world: drawing lots for objects, and drawing the picture.
 * Pixels: 112 x 112 RGB, 8 bits. Shapes are tested at 4 x 4 points a pixel and blended over the background.
 * Source: the tabletop spec, "Pictures".
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "dataset/tabletop/tabletop_other.h"

enum { CELLS = SO_TABLETOP_GRID * SO_TABLETOP_GRID, JITTER = 20, NOISE = 4, POINTS = 4 };

static const uint64_t LOTS = 0x7461626c65746f70u, GRAIN = 0x677261696e000000u;

static const char *const shapes[SO_SHAPES] = {"circle", "square", "triangle", "star", "cross"};
static const char *const colours[SO_COLOURS] = {"red", "green", "blue", "yellow", "orange", "purple", "black", "pink"};
static const char *const cells[CELLS] = {"top left",     "top middle",  "top right",     "middle left", "center",
                                         "middle right", "bottom left", "bottom middle", "bottom right"};
static const uint8_t named[SO_COLOURS][3] = {{220, 40, 40},  {40, 160, 60},  {40, 80, 220}, {235, 215, 45},
                                             {235, 135, 30}, {130, 50, 170}, {25, 25, 25},  {235, 140, 185}};

static int find(const char *name, const char *const *names, int count)
{
    for (int i = 0; name && i < count; i++)
        if (strcmp(name, names[i]) == 0) return i;
    return -1;
}

const char *so_shape_name(int shape) { return shape >= 0 && shape < SO_SHAPES ? shapes[shape] : NULL; }
const char *so_colour_name(int colour) { return colour >= 0 && colour < SO_COLOURS ? colours[colour] : NULL; }
const char *so_cell_name(int cell) { return cell >= 0 && cell < CELLS ? cells[cell] : NULL; }
const uint8_t *so_colour_rgb(so_colour colour) { return named[colour]; }
int so_shape_find(const char *name) { return find(name, shapes, SO_SHAPES); }
int so_colour_find(const char *name) { return find(name, colours, SO_COLOURS); }

static bool pair_taken(const so_scene *scene, int shape, int colour)
{
    for (int i = 0; i < scene->count; i++)
        if ((int)scene->objects[i].shape == shape && (int)scene->objects[i].colour == colour) return true;
    return false;
}

static so_scene_object draw_lot(so_rng *rng, int shape, int colour, int cell)
{
    const float side = (float)SO_TABLETOP_SIDE / SO_TABLETOP_GRID;
    so_scene_object object = {.shape = (so_shape)shape, .colour = (so_colour)colour, .cell = cell};
    object.big = so_rng_below(rng, 2);
    object.diameter = (float)(object.big ? 24 + 6 * so_rng_uniform(rng) : 14 + 4 * so_rng_uniform(rng));
    float slack = side - object.diameter - 1; /* half a pixel of background on both sides */
    float left = (float)(cell % SO_TABLETOP_GRID) * side, top = (float)(cell / SO_TABLETOP_GRID) * side;
    object.x = left + side / 2 + slack * (float)(so_rng_uniform(rng) - 0.5);
    object.y = top + side / 2 + slack * (float)(so_rng_uniform(rng) - 0.5);
    for (int c = 0; c < 3; c++) object.rgb[c] = (uint8_t)(named[colour][c] + so_rng_range(rng, -JITTER, JITTER));
    return object;
}

void so_scene_make(so_scene *scene, uint64_t seed)
{
    so_rng rng;
    so_rng_init(&rng, seed, LOTS);
    memset(scene, 0, sizeof *scene);
    scene->seed = seed;
    for (int c = 0; c < 3; c++) scene->background[c] = (uint8_t)so_rng_range(&rng, 225, 255);
    if (so_scene_is_other(scene)) return;
    int count = (int)so_rng_range(&rng, 1, SO_TABLETOP_OBJECTS), free_cells[CELLS];
    for (int i = 0; i < CELLS; i++) free_cells[i] = i;
    while (scene->count < count) {
        int shape = (int)so_rng_below(&rng, SO_SHAPES), colour = (int)so_rng_below(&rng, SO_COLOURS);
        if (pair_taken(scene, shape, colour)) continue;
        int pick = (int)so_rng_range(&rng, scene->count, CELLS - 1), cell = free_cells[pick], at = scene->count;
        free_cells[pick] = free_cells[at];
        free_cells[at] = cell;
        so_scene_object object = draw_lot(&rng, shape, colour, cell);
        for (; at > 0 && scene->objects[at - 1].cell > cell; at--) scene->objects[at] = scene->objects[at - 1];
        scene->objects[at] = object;
        scene->count++;
    }
}

/* Corners of a star of radius 1, a point at the top, inner radius 0.45; y downward. */
static const float star[10][2] = {
    {0, -1},    {0.2645f, -0.3641f}, {0.9511f, -0.3090f}, {0.4280f, 0.1391f},   {0.5878f, 0.8090f},
    {0, 0.45f}, {-0.5878f, 0.8090f}, {-0.4280f, 0.1391f}, {-0.9511f, -0.3090f}, {-0.2645f, -0.3641f}};

static bool in_star(float u, float v)
{
    bool inside = false;
    for (int i = 0, j = 9; i < 10; j = i++) {
        float yi = star[i][1], yj = star[j][1];
        if ((yi > v) != (yj > v) && u < (star[j][0] - star[i][0]) * (v - yi) / (yj - yi) + star[i][0]) inside = !inside;
    }
    return inside;
}

/* u, v in radii from the middle. */
static bool covers(so_shape shape, float u, float v)
{
    switch (shape) {
    case SO_CIRCLE:
        return u * u + v * v <= 1;
    case SO_SQUARE:
        return fabsf(u) <= 0.9f && fabsf(v) <= 0.9f;
    case SO_TRIANGLE:
        return v <= 0.9f && fabsf(u) <= (v + 0.95f) * 0.54f;
    case SO_STAR:
        return in_star(u, v);
    default:
        return (fabsf(u) <= 0.3f && fabsf(v) <= 1) || (fabsf(v) <= 0.3f && fabsf(u) <= 1);
    }
}

static void draw_object(const so_scene_object *object, uint8_t *rgb)
{
    float radius = object->diameter / 2;
    int x0 = (int)(object->x - radius), x1 = (int)(object->x + radius);
    int y0 = (int)(object->y - radius), y1 = (int)(object->y + radius);
    for (int y = y0; y <= y1; y++) {
        for (int x = x0; x <= x1; x++) {
            int hits = 0;
            for (int p = 0; p < POINTS * POINTS; p++) {
                float px = (float)x + ((float)(p % POINTS) + 0.5f) / POINTS;
                float py = (float)y + ((float)(p / POINTS) + 0.5f) / POINTS;
                hits += covers(object->shape, (px - object->x) / radius, (py - object->y) / radius);
            }
            uint8_t *pixel = rgb + (y * SO_TABLETOP_SIDE + x) * 3;
            for (int c = 0; c < 3; c++)
                pixel[c] =
                    (uint8_t)((pixel[c] * (POINTS * POINTS - hits) + object->rgb[c] * hits + 8) / (POINTS * POINTS));
        }
    }
}

void so_scene_render(const so_scene *scene, uint8_t *rgb)
{
    if (so_scene_is_other(scene)) {
        so_tabletop_other_picture(scene->seed, rgb);
        return;
    }
    so_rng rng;
    so_rng_init(&rng, scene->seed, GRAIN);
    uint64_t bits = 0;
    for (int i = 0; i < SO_TABLETOP_SIDE * SO_TABLETOP_SIDE * 3; i++) {
        if (i % 8 == 0) bits = so_rng_u64(&rng);
        int grain = (int)((bits & 255) * (2 * NOISE + 1) >> 8) - NOISE, value = scene->background[i % 3] + grain;
        bits >>= 8;
        rgb[i] = (uint8_t)(value > 255 ? 255 : value);
    }
    for (int i = 0; i < scene->count; i++) draw_object(&scene->objects[i], rgb);
}
