/* Merging the views of a picture.
 * SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint/picture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct plan {
    bool flat, newline, pool, base;
    int64_t h, w;           /* of the mosaic of tiles */
    int64_t y0, y1, x0, x1; /* what is left of it after the padding is cut */
    int64_t out_h, out_w;   /* rows and columns after resizing, without the newline column */
} plan;

/* The tiles were padded to the grid; cuts the mosaic back to the picture's aspect. */
static void unpad(plan *p, const so_picture *pic)
{
    double ow = pic->image_w, oh = pic->image_h;
    if (ow / oh > (double)p->w / (double)p->h) {
        int64_t kept = (int64_t)(oh * ((double)p->w / ow)), cut = (p->h - kept) / 2;
        p->y0 = cut;
        p->y1 = p->h - cut;
    } else {
        int64_t kept = (int64_t)(ow * ((double)p->h / oh)), cut = (p->w - kept) / 2;
        p->x0 = cut;
        p->x1 = p->w - cut;
    }
}

static int64_t tiles_allowed(const so_setup *setup)
{
    const char *k = strstr(setup->aspect, "anyres_max_");
    return k ? strtol(k + strlen("anyres_max_"), NULL, 10) : 0;
}

static plan plan_of(const so_setup *setup, const so_picture *pic)
{
    plan p = {.base = !strstr(setup->merge, "nobase")};
    bool spatial = strstr(setup->merge, "spatial") != NULL, unpads = strstr(setup->merge, "unpad") != NULL;
    p.flat = !pic->list || !spatial;
    if (p.flat) return p;
    p.pool = strstr(setup->merge, "maxpool2x2") != NULL;
    p.newline = unpads && !p.pool;
    if (pic->views < 2) return p;
    p.h = p.y1 = (int64_t)pic->grid_h * pic->side;
    p.w = p.x1 = (int64_t)pic->grid_w * pic->side;
    if (p.newline) unpad(&p, pic);
    p.out_h = p.pool ? p.h / 2 : p.y1 - p.y0;
    p.out_w = p.pool ? p.w / 2 : p.x1 - p.x0;
    int64_t most = p.newline ? tiles_allowed(setup) : 0;
    double t = most ? sqrt((double)(p.out_h * p.out_w) / (double)(most * pic->side * pic->side)) : 0;
    if (t > 1.1) {
        p.out_h = (int64_t)floor((double)p.out_h / t);
        p.out_w = (int64_t)floor((double)p.out_w / t);
    }
    return p;
}

int64_t so_picture_vectors(const so_setup *setup, const so_picture *pic)
{
    plan p = plan_of(setup, pic);
    int64_t view = (int64_t)pic->side * pic->side;
    if (p.flat) return view * pic->views;
    if (pic->views < 2) return view + p.newline;
    return (p.base ? view : 0) + p.out_h * (p.out_w + p.newline);
}

int64_t so_picture_most(const so_setup *setup, const so_image_spec *spec, int *views)
{
    int side = (int)so_siglip_grid(&setup->omni.siglip);
    bool list = spec->mode == SO_IMAGE_ANYRES;
    so_picture pic = {1, 0, 0, spec->size, spec->size, side, list};
    int64_t most = so_picture_vectors(setup, &pic);
    *views = 1;
    for (int i = 0; list && i < spec->pinpoints; i++) {
        pic.grid_w = (spec->pinpoint[i][0] + spec->size - 1) / spec->size;
        pic.grid_h = (spec->pinpoint[i][1] + spec->size - 1) / spec->size;
        pic.views = 1 + pic.grid_w * pic.grid_h;
        pic.image_w = spec->pinpoint[i][0];
        pic.image_h = spec->pinpoint[i][1];
        if (pic.views > *views) *views = pic.views;
        int64_t vectors = so_picture_vectors(setup, &pic);
        if (vectors > most) most = vectors;
    }
    return most;
}

/* The vector at (y, x) of the mosaic of tiles. */
static const so_real *mosaic(const so_picture *pic, int64_t width, const so_real *in, int64_t y, int64_t x)
{
    int64_t s = pic->side, tile = 1 + y / s * pic->grid_w + x / s;
    return in + ((tile * s + y % s) * s + x % s) * width;
}

static void pooled(const so_picture *pic, int64_t width, const so_real *in, int64_t y, int64_t x, so_real *out)
{
    for (int i = 0; i < 4; i++) {
        const so_real *v = mosaic(pic, width, in, 2 * y + i / 2, 2 * x + i % 2);
        for (int64_t c = 0; c < width; c++)
            if (i == 0 || v[c] > out[c]) out[c] = v[c];
    }
}

typedef struct between {
    int64_t a, b;
    float weight; /* of b */
} between;

static between source(int64_t i, int64_t n, int64_t from)
{
    float at = ((float)i + 0.5f) * ((float)from / (float)n) - 0.5f;
    if (at < 0) at = 0;
    int64_t a = (int64_t)at;
    if (a > from - 1) a = from - 1;
    return (between){a, a + (a < from - 1), at - (float)a};
}

static void resized(const so_picture *pic, const plan *p, int64_t width, const so_real *in, int64_t y, int64_t x,
                    so_real *out)
{
    between v = source(y, p->out_h, p->y1 - p->y0), u = source(x, p->out_w, p->x1 - p->x0);
    const so_real *aa = mosaic(pic, width, in, p->y0 + v.a, p->x0 + u.a);
    const so_real *ab = mosaic(pic, width, in, p->y0 + v.a, p->x0 + u.b);
    const so_real *ba = mosaic(pic, width, in, p->y0 + v.b, p->x0 + u.a);
    const so_real *bb = mosaic(pic, width, in, p->y0 + v.b, p->x0 + u.b);
    for (int64_t c = 0; c < width; c++)
        out[c] = (1 - v.weight) * ((1 - u.weight) * aa[c] + u.weight * ab[c]) +
                 v.weight * ((1 - u.weight) * ba[c] + u.weight * bb[c]);
}

static so_real *merge_tiles(const so_picture *pic, const plan *p, int64_t width, const so_real *in,
                            const so_real *newline, so_real *out)
{
    bool same = p->out_h == p->y1 - p->y0 && p->out_w == p->x1 - p->x0;
    size_t bytes = (size_t)width * sizeof *out;
    for (int64_t y = 0; y < p->out_h; y++) {
        for (int64_t x = 0; x < p->out_w; x++, out += width) {
            if (p->pool)
                pooled(pic, width, in, y, x, out);
            else if (same)
                memcpy(out, mosaic(pic, width, in, p->y0 + y, p->x0 + x), bytes);
            else
                resized(pic, p, width, in, y, x, out);
        }
        if (!p->newline) continue;
        memcpy(out, newline, bytes);
        out += width;
    }
    return out;
}

so_status so_picture_merge(const so_setup *setup, const so_picture *pic, int64_t width, const so_real *in,
                           const so_real *newline, so_real *out, so_error *error)
{
    plan p = plan_of(setup, pic);
    size_t view = (size_t)(pic->side * pic->side * width);
    if (p.newline && !newline)
        return so_fail(error, SO_ERR_MISSING, "the merge type '%s' needs 'model.image_newline', which the model lacks",
                       setup->merge);
    if (p.flat) {
        memcpy(out, in, view * (size_t)pic->views * sizeof *in);
        return SO_OK;
    }
    if (p.base || pic->views < 2) {
        memcpy(out, in, view * sizeof *in);
        out += view;
    }
    if (pic->views > 1)
        merge_tiles(pic, &p, width, in, newline, out);
    else if (p.newline)
        memcpy(out, newline, (size_t)width * sizeof *out);
    return SO_OK;
}
