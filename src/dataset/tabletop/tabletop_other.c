/* Pictures that show no tabletop: noise, patterns, scribbles, landscapes, and heaps of shapes whose statistics are
 * those of photographs. Training draws eight families, the reserved part five others.
 *
 * Source: Lee, Mumford and Huang, "Occlusion models for natural images" (2001), for the heaps ("dead leaves").
 * SPDX-License-Identifier: Apache-2.0 */
#include "dataset/tabletop/tabletop_other.h"

#include <math.h>
#include <string.h>

enum { SIDE = SO_TABLETOP_SIDE, AREA = SIDE * SIDE, TRAINED = 8, RESERVED = 5 };

static const uint64_t LOTS = 0x6f74686572000000u;

typedef struct canvas {
    so_rng rng;
    float p[AREA][3]; /* 0 to 1 */
} canvas;

typedef struct rgb3 {
    float c[3];
} rgb3;

static float uniform(canvas *v) { return (float)so_rng_uniform(&v->rng); }
static float between(canvas *v, float lo, float hi) { return lo + (hi - lo) * uniform(v); }

static rgb3 any_colour(canvas *v)
{
    float grey = uniform(v), spread = between(v, 0, 0.8f);
    rgb3 x;
    for (int c = 0; c < 3; c++) x.c[c] = fminf(1, fmaxf(0, grey + spread * (uniform(v) - 0.5f)));
    return x;
}

static void blend(float *pixel, const rgb3 *x, float amount)
{
    for (int c = 0; c < 3; c++) pixel[c] += amount * (x->c[c] - pixel[c]);
}

static void fill(canvas *v, const rgb3 *x)
{
    for (int i = 0; i < AREA; i++) blend(v->p[i], x, 1);
}

/* Smooth noise 0 to 1 at a point of a lattice, the same for the same seed. */
static float lattice(uint64_t seed, int x, int y)
{
    uint64_t s = seed ^ (uint64_t)(uint32_t)x << 32 ^ (uint64_t)(uint32_t)y * 0x9e3779b97f4a7c15u;
    return (float)(so_splitmix(&s) >> 40) * 0x1p-24f;
}

static float smooth(uint64_t seed, float x, float y)
{
    int ix = (int)floorf(x), iy = (int)floorf(y);
    float fx = x - (float)ix, fy = y - (float)iy;
    fx = fx * fx * (3 - 2 * fx);
    fy = fy * fy * (3 - 2 * fy);
    float top = lattice(seed, ix, iy) * (1 - fx) + lattice(seed, ix + 1, iy) * fx;
    float low = lattice(seed, ix, iy + 1) * (1 - fx) + lattice(seed, ix + 1, iy + 1) * fx;
    return top * (1 - fy) + low * fy;
}

/* Octaves of noise whose strength falls with frequency: 0 to 1. `rough` 0.3 to 0.8. */
static float fractal(uint64_t seed, float x, float y, float cell, float rough)
{
    float sum = 0, weight = 1, all = 0;
    for (int o = 0; o < 6 && cell >= 1; o++) {
        sum += weight * smooth(seed + (uint64_t)o, x / cell, y / cell);
        all += weight;
        weight *= rough;
        cell /= 2;
    }
    return sum / all;
}

static void draw_noise(canvas *v)
{
    float cell = expf(between(v, 0, 2.5f)), grey = uniform(v) < 0.4f ? 0.0f : 1.0f;
    uint64_t seed = so_rng_u64(&v->rng);
    for (int i = 0; i < AREA; i++)
        for (int c = 0; c < 3; c++)
            v->p[i][c] =
                smooth(seed + (uint64_t)(grey > 0 ? c : 0), (float)(i % SIDE) / cell, (float)(i / SIDE) / cell);
}

static void draw_gradient(canvas *v)
{
    rgb3 a = any_colour(v), b = any_colour(v);
    float angle = between(v, 0, 6.2832f), cx = between(v, 0, SIDE), cy = between(v, 0, SIDE);
    bool round = so_rng_below(&v->rng, 2);
    for (int i = 0; i < AREA; i++) {
        float x = (float)(i % SIDE), y = (float)(i / SIDE);
        float t = round ? hypotf(x - cx, y - cy) / SIDE
                        : 0.5f + ((x - SIDE / 2) * cosf(angle) + (y - SIDE / 2) * sinf(angle)) / SIDE;
        blend(v->p[i], &a, 1);
        blend(v->p[i], &b, fminf(1, fmaxf(0, t)));
    }
}

static void draw_clouds(canvas *v)
{
    rgb3 a = any_colour(v), b = any_colour(v), d = any_colour(v);
    float cell = between(v, 12, 70), rough = between(v, 0.4f, 0.8f);
    uint64_t seed = so_rng_u64(&v->rng), other = so_rng_u64(&v->rng);
    for (int i = 0; i < AREA; i++) {
        float x = (float)(i % SIDE), y = (float)(i / SIDE);
        blend(v->p[i], &a, 1);
        blend(v->p[i], &b, fminf(1, fmaxf(0, 2 * fractal(seed, x, y, cell, rough) - 0.5f)));
        blend(v->p[i], &d, 0.6f * fractal(other, x, y, cell * 0.7f, rough));
    }
}

static void draw_stripes(canvas *v)
{
    rgb3 a = any_colour(v), b = any_colour(v);
    float angle = between(v, 0, 3.1416f), wide = between(v, 3, 24), u = cosf(angle), w = sinf(angle);
    int64_t kind = so_rng_below(&v->rng, 3); /* stripes, checks, grid */
    for (int i = 0; i < AREA; i++) {
        float x = (float)(i % SIDE), y = (float)(i / SIDE), s = (x * u + y * w) / wide, t = (y * u - x * w) / wide;
        bool first = ((int)floorf(s)) & 1, second = ((int)floorf(t)) & 1;
        bool thin = s - floorf(s) < 0.2f || t - floorf(t) < 0.2f;
        blend(v->p[i], &a, 1);
        if (kind == 0 ? first : kind == 1 ? first != second : thin) blend(v->p[i], &b, 1);
    }
}

/* Discs, one over the other, many small and few large. */
static void draw_discs(canvas *v)
{
    rgb3 ground = any_colour(v);
    fill(v, &ground);
    int many = (int)so_rng_range(&v->rng, 25, 160);
    float grain = between(v, 0, 0.15f);
    for (int n = 0; n < many; n++) {
        rgb3 x = any_colour(v);
        float r = 4 / (0.08f + uniform(v)), cx = between(v, 0, SIDE), cy = between(v, 0, SIDE);
        for (int i = 0; i < AREA; i++)
            if (hypotf((float)(i % SIDE) - cx, (float)(i / SIDE) - cy) < r) blend(v->p[i], &x, 1);
    }
    for (int i = 0; i < AREA; i++)
        for (int c = 0; c < 3; c++) v->p[i][c] += grain * (uniform(v) - 0.5f);
}

/* Lines of a pen on light paper, or of chalk on a dark board. */
static void draw_scribbles(canvas *v)
{
    bool dark = so_rng_below(&v->rng, 4) == 0;
    rgb3 ground = {{dark ? 0.1f : 0.95f, dark ? 0.1f : 0.94f, dark ? 0.12f : 0.92f}};
    fill(v, &ground);
    int many = (int)so_rng_range(&v->rng, 3, 30);
    for (int n = 0; n < many; n++) {
        rgb3 x = any_colour(v);
        float px = between(v, 0, SIDE), py = between(v, 0, SIDE), angle = between(v, 0, 6.28f),
              turn = between(v, -0.3f, 0.3f);
        float wide = between(v, 0.6f, 2.5f);
        int steps = (int)so_rng_range(&v->rng, 10, 120);
        for (int s = 0; s < steps; s++, px += cosf(angle), py += sinf(angle), angle += turn) {
            int reach = (int)wide + 1;
            for (int y = (int)py - reach; y <= (int)py + reach; y++)
                for (int c = (int)px - reach; c <= (int)px + reach; c++)
                    if (c >= 0 && c < SIDE && y >= 0 && y < SIDE && hypotf((float)c - px, (float)y - py) < wide)
                        blend(v->p[y * SIDE + c], &x, 0.8f);
        }
    }
}

static void draw_plain(canvas *v)
{
    rgb3 x = any_colour(v);
    float grain = between(v, 0, 0.03f);
    int64_t which = so_rng_below(&v->rng, 4);
    if (which < 2)
        for (int c = 0; c < 3; c++) x.c[c] = which ? 1 : 0;
    fill(v, &x);
    for (int i = 0; i < AREA; i++)
        for (int c = 0; c < 3; c++) v->p[i][c] += grain * (uniform(v) - 0.5f);
}

/* A sky, hills one before the other, maybe a sun. */
static void draw_landscape(canvas *v)
{
    rgb3 sky = any_colour(v), light = any_colour(v), sun = {{1, between(v, 0.7f, 1), between(v, 0.2f, 0.9f)}};
    float horizon = between(v, 30, 80), sx = between(v, 10, 100), sy = between(v, 5, 40), r = between(v, 0, 14);
    uint64_t seed = so_rng_u64(&v->rng);
    for (int i = 0; i < AREA; i++) {
        float x = (float)(i % SIDE), y = (float)(i / SIDE);
        blend(v->p[i], &sky, 1);
        blend(v->p[i], &light, fminf(1, y / horizon));
        blend(v->p[i], &light, 0.4f * fractal(seed, x, 2 * y, 40, 0.6f));
        if (hypotf(x - sx, y - sy) < r) blend(v->p[i], &sun, 0.9f);
    }
    for (int hill = 0; hill < 3; hill++, horizon += between(v, 8, 22)) {
        rgb3 earth = any_colour(v);
        float cell = between(v, 15, 60), high = between(v, 5, 35);
        for (int i = 0; i < AREA; i++) {
            float x = (float)(i % SIDE), y = (float)(i / SIDE);
            if (y < horizon - high * fractal(seed + 99 + (uint64_t)hill, x, 0, cell, 0.5f)) continue;
            blend(v->p[i], &earth, 0.75f + 0.25f * fractal(seed + 7, x, y, 12, 0.7f));
        }
    }
}

/* ---- reserved families */

static void draw_stones(canvas *v)
{
    enum { MOST = 40 };
    rgb3 colour[MOST], gap = any_colour(v);
    float cx[MOST], cy[MOST];
    int many = (int)so_rng_range(&v->rng, 8, MOST);
    for (int n = 0; n < many; n++) {
        colour[n] = any_colour(v);
        cx[n] = between(v, 0, SIDE);
        cy[n] = between(v, 0, SIDE);
    }
    for (int i = 0; i < AREA; i++) {
        float best = 1e9f, second = 1e9f;
        int nearest = 0;
        for (int n = 0; n < many; n++) {
            float d = hypotf((float)(i % SIDE) - cx[n], (float)(i / SIDE) - cy[n]);
            if (d < best) {
                second = best;
                best = d;
                nearest = n;
            } else if (d < second)
                second = d;
        }
        blend(v->p[i], second - best < 2 ? &gap : &colour[nearest], 1);
    }
}

static void draw_wood(canvas *v)
{
    rgb3 a = any_colour(v), b = any_colour(v);
    float cx = between(v, -40, 150), cy = between(v, -40, 150), rings = between(v, 3, 10);
    uint64_t seed = so_rng_u64(&v->rng);
    for (int i = 0; i < AREA; i++) {
        float x = (float)(i % SIDE), y = (float)(i / SIDE);
        float d = hypotf(x - cx, (y - cy) * 0.5f) + 18 * fractal(seed, x, y, 30, 0.5f);
        blend(v->p[i], &a, 1);
        blend(v->p[i], &b, 0.5f + 0.5f * sinf(d / rings * 3));
    }
}

/* Shaded boards, one over the other. */
static void draw_boards(canvas *v)
{
    rgb3 ground = any_colour(v);
    fill(v, &ground);
    int many = (int)so_rng_range(&v->rng, 15, 70);
    for (int n = 0; n < many; n++) {
        rgb3 x = any_colour(v), shade = any_colour(v);
        float cx = between(v, 0, SIDE), cy = between(v, 0, SIDE), w = 3 / (0.06f + uniform(v)),
              h = 3 / (0.06f + uniform(v));
        float angle = between(v, 0, 3.14f), c = cosf(angle), s = sinf(angle);
        for (int i = 0; i < AREA; i++) {
            float dx = (float)(i % SIDE) - cx, dy = (float)(i / SIDE) - cy, u = dx * c + dy * s, t = dy * c - dx * s;
            if (fabsf(u) > w || fabsf(t) > h) continue;
            blend(v->p[i], &x, 1);
            blend(v->p[i], &shade, 0.25f + 0.25f * u / w);
        }
    }
}

static void draw_waves(canvas *v)
{
    rgb3 a = any_colour(v), b = any_colour(v);
    float f[4];
    for (int k = 0; k < 4; k++) f[k] = between(v, 0.04f, 0.35f);
    for (int i = 0; i < AREA; i++) {
        float x = (float)(i % SIDE), y = (float)(i / SIDE);
        float t = sinf(x * f[0]) + sinf(y * f[1]) + sinf((x + y) * f[2]) + sinf(hypotf(x, y - 50) * f[3]);
        blend(v->p[i], &a, 1);
        blend(v->p[i], &b, 0.5f + 0.125f * t);
    }
}

/* A bright form before a blurred ground: a face, a fruit, a lamp. */
static void draw_portrait(canvas *v)
{
    draw_clouds(v);
    for (int part = 0; part < 4; part++) {
        rgb3 x = any_colour(v);
        float cx = between(v, 40, 72), cy = between(v, 35, 80), w = between(v, 6, 40), h = between(v, 6, 45);
        uint64_t seed = so_rng_u64(&v->rng);
        for (int i = 0; i < AREA; i++) {
            float px = (float)(i % SIDE), py = (float)(i / SIDE);
            float d = hypotf((px - cx) / w, (py - cy) / h) + 0.3f * fractal(seed, px, py, 25, 0.5f);
            blend(v->p[i], &x,
                  fminf(1, fmaxf(0, (1.1f - d) * 6)) * (0.7f + 0.3f * fractal(seed + 1, px, py, 30, 0.5f)));
        }
    }
}

void so_tabletop_other_picture(uint64_t seed, uint8_t *rgb)
{
    static void (*const families[TRAINED + RESERVED])(canvas *) = {
        draw_noise,     draw_gradient, draw_clouds, draw_stripes, draw_discs, draw_scribbles, draw_plain,
        draw_landscape, draw_stones,   draw_wood,   draw_boards,  draw_waves, draw_portrait};
    canvas v;
    memset(&v, 0, sizeof v);
    so_rng_init(&v.rng, seed, LOTS);
    bool reserved = seed - SO_TABLETOP_OTHER_SCENE >= SO_TABLETOP_RESERVED_SCENE;
    families[reserved ? TRAINED + so_rng_below(&v.rng, RESERVED) : so_rng_below(&v.rng, TRAINED)](&v);
    for (int i = 0; i < AREA; i++)
        for (int c = 0; c < 3; c++) rgb[3 * i + c] = (uint8_t)(255 * fminf(1, fmaxf(0, v.p[i][c])) + 0.5f);
}
