/* Pillow's bicubic resize in integers: horizontal pass, 8-bit rows, vertical pass.
 *
 * Per output value a shrink by f costs 4f multiplications across and 4f down; the rows in between, [picture h, out w,
 * 3], are the only large memory.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "media/image.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { PRECISION = 22, ROWS_PER_TASK = 16 };

/* For each output index the first input, their number, and weights with PRECISION fractional bits. Inputs are counted
 * from the picture's edge; the canvas around it, of one value, only enters by the sum of its weights. */
typedef struct taps {
    int *first, *count, *start; /* start: the first weight, from i * most */
    int32_t *outside;
    int32_t *weight; /* [out, most] */
    int most;
} taps;

static double bicubic(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
    return 0;
}

static void clear_taps(taps *t)
{
    free(t->first);
    free(t->weight);
    memset(t, 0, sizeof *t);
}

static so_status make_taps(taps *t, int in, int out, so_error *error)
{
    double scale = (double)in / out, filter = scale < 1 ? 1 : scale, support = 2 * filter;
    t->most = (int)ceil(support) * 2 + 1;
    t->first = malloc((size_t)out * 4 * sizeof *t->first);
    t->weight = calloc((size_t)out * (size_t)t->most, sizeof *t->weight);
    double *k = malloc((size_t)t->most * sizeof *k);
    if (!t->first || !t->weight || !k) {
        clear_taps(t);
        free(k);
        return so_fail(error, SO_ERR_NOMEM, "resizing weights %d -> %d", in, out);
    }
    t->count = t->first + out;
    t->start = t->count + out;
    t->outside = t->start + out;
    for (int i = 0; i < out; i++) {
        double centre = (i + 0.5) * scale, sum = 0;
        int from = (int)(centre - support + 0.5), to = (int)(centre + support + 0.5);
        if (from < 0) from = 0;
        if (to > in) to = in;
        for (int j = from; j < to; j++) sum += k[j - from] = bicubic((j - centre + 0.5) * (1 / filter));
        for (int j = from; j < to; j++) {
            double w = (sum != 0 ? k[j - from] / sum : k[j - from]) * (1 << PRECISION);
            t->weight[(int64_t)i * t->most + (j - from)] = (int32_t)(w < 0 ? w - 0.5 : w + 0.5);
        }
        t->first[i] = from;
        t->count[i] = to - from;
        t->start[i] = t->outside[i] = 0;
    }
    free(k);
    return SO_OK;
}

/* Leaves only the inputs of a picture of n that begins at `at`. */
static void cut_taps(taps *t, int out, int at, int n)
{
    for (int i = 0; i < out; i++) {
        const int32_t *k = t->weight + (int64_t)i * t->most + t->start[i];
        int from = t->first[i], to = from + t->count[i];
        int inner_from = from < at ? at : from, inner_to = to > at + n ? at + n : to;
        if (inner_to < inner_from) inner_from = inner_to = from; /* all outside */
        for (int j = from; j < to; j++) t->outside[i] += j >= inner_from && j < inner_to ? 0 : k[j - from];
        t->start[i] += inner_from - from;
        t->first[i] = inner_to > inner_from ? inner_from - at : 0;
        t->count[i] = inner_to - inner_from;
    }
}

static inline uint8_t clip(int32_t sum)
{
    int32_t v = sum >> PRECISION;
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

typedef struct pass {
    const uint8_t *in; /* [rows, in_w, 3] */
    uint8_t *out;      /* [rows or h, w, 3] */
    int in_w, w;
    int rows;             /* horizontal: rows of the picture */
    uint8_t fill;         /* horizontal: the canvas */
    const uint8_t *blank; /* vertical: one row of the canvas after the horizontal pass */
    const taps *taps;
} pass;

static void across(const uint8_t *row, const taps *t, int w, uint8_t fill, uint8_t *out)
{
    for (int i = 0; i < w; i++, out += 3) {
        int32_t r = (1 << (PRECISION - 1)) + fill * t->outside[i], g = r, b = r;
        const int32_t *k = t->weight + (int64_t)i * t->most + t->start[i];
        const uint8_t *p = row + (size_t)t->first[i] * 3;
        for (int j = 0; j < t->count[i]; j++, p += 3) {
            r += k[j] * p[0];
            g += k[j] * p[1];
            b += k[j] * p[2];
        }
        out[0] = clip(r);
        out[1] = clip(g);
        out[2] = clip(b);
    }
}

static void across_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const pass *p = context;
    for (int64_t y = task * ROWS_PER_TASK; y < (task + 1) * ROWS_PER_TASK && y < p->rows; y++)
        across(p->in + (size_t)y * (size_t)p->in_w * 3, p->taps, p->w, p->fill, p->out + (size_t)y * (size_t)p->w * 3);
}

static void down_task(void *context, int64_t task, int thread)
{
    (void)thread;
    enum { BLOCK = 192 };
    const pass *p = context;
    const taps *t = p->taps;
    size_t width = (size_t)p->w * 3;
    const int32_t *k = t->weight + (int64_t)task * t->most + t->start[task];
    const uint8_t *in = p->in + (size_t)t->first[task] * width;
    for (size_t x = 0; x < width; x += BLOCK) {
        int n = (int)(width - x < BLOCK ? width - x : BLOCK);
        int32_t sum[BLOCK];
        for (int i = 0; i < n; i++) sum[i] = (1 << (PRECISION - 1)) + t->outside[task] * p->blank[x + (size_t)i];
        for (int j = 0; j < t->count[task]; j++) {
            const uint8_t *row = in + (size_t)j * width + x;
            for (int i = 0; i < n; i++) sum[i] += k[j] * row[i];
        }
        for (int i = 0; i < n; i++) p->out[(size_t)task * width + x + (size_t)i] = clip(sum[i]);
    }
}

/* Both passes take a picture, its place on the canvas along their axis, and give a new picture. */
static so_status resize_across(so_image *out, uint8_t *blank, const so_image_canvas *c, int w, so_pool *pool,
                               so_error *error)
{
    taps t = {0};
    so_status status = make_taps(&t, c->w, w, error);
    if (status == SO_OK) status = so_image_init(out, w, c->image->h, error);
    if (status == SO_OK) {
        static const uint8_t nothing[3];
        cut_taps(&t, w, c->x, c->image->w);
        pass p = {c->image->rgb, out->rgb, c->image->w, w, c->image->h, c->fill, NULL, &t};
        so_pool_for(pool, (p.rows + ROWS_PER_TASK - 1) / ROWS_PER_TASK, across_task, &p);
        cut_taps(&t, w, 0, 0); /* now everything is outside: a row of the canvas alone */
        across(nothing, &t, w, c->fill, blank);
    }
    clear_taps(&t);
    return status;
}

static so_status resize_down(so_image *out, const uint8_t *blank, const so_image *in, const so_image_canvas *c, int h,
                             so_pool *pool, so_error *error)
{
    taps t = {0};
    so_status status = make_taps(&t, c->h, h, error);
    if (status == SO_OK) status = so_image_init(out, in->w, h, error);
    if (status == SO_OK) {
        cut_taps(&t, h, c->y, in->h);
        pass p = {.in = in->rgb, .out = out->rgb, .w = in->w, .blank = blank, .taps = &t};
        so_pool_for(pool, h, down_task, &p);
    }
    clear_taps(&t);
    return status;
}

so_status so_image_resize_canvas(so_image *out, const so_image_canvas *in, int w, int h, so_pool *pool, so_error *error)
{
    so_status status = SO_OK;
    so_image rows = {0};
    memset(out, 0, sizeof *out);
    if (w < 1 || h < 1 || in->x < 0 || in->y < 0 || in->w - in->x < in->image->w || in->h - in->y < in->image->h)
        return so_fail(error, SO_ERR_ARG, "resizing %d x %d at (%d, %d) on %d x %d to %d x %d", in->image->w,
                       in->image->h, in->x, in->y, in->w, in->h, w, h);
    uint8_t *blank = calloc((size_t)w, 3);
    if (!blank) return so_fail(error, SO_ERR_NOMEM, "a row of %d pixels", w);
    /* A pass that changes nothing is left out; on a canvas its weights are ones and zeros. */
    bool narrow = w != in->w || in->image->w != in->w, low = h != in->h || in->image->h != in->h;
    if (narrow)
        SO_TRY_GO(resize_across(&rows, blank, in, w, pool, error));
    else
        memset(blank, in->fill, (size_t)w * 3);
    if (low) {
        SO_TRY_GO(resize_down(out, blank, narrow ? &rows : in->image, in, h, pool, error));
    } else if (narrow) {
        *out = rows;
        memset(&rows, 0, sizeof rows);
    } else {
        SO_TRY_GO(so_image_init(out, w, h, error));
        memcpy(out->rgb, in->image->rgb, (size_t)w * (size_t)h * 3);
    }
done:
    so_image_clear(&rows);
    free(blank);
    return status;
}

so_status so_image_resize(so_image *out, const so_image *in, int w, int h, so_pool *pool, so_error *error)
{
    so_image_canvas canvas = {in, 0, 0, in->w, in->h, 0};
    return so_image_resize_canvas(out, &canvas, w, h, pool, error);
}

so_status so_image_init(so_image *image, int w, int h, so_error *error)
{
    memset(image, 0, sizeof *image);
    if (w < 1 || h < 1) return so_fail(error, SO_ERR_ARG, "a picture of %d x %d pixels", w, h);
    if (w > SO_IMAGE_MAX_SIDE || h > SO_IMAGE_MAX_SIDE || (int64_t)w * h > SO_IMAGE_MAX_PIXELS)
        return so_fail(error, SO_ERR_LIMIT, "a picture of %d x %d pixels, expected sides up to %d and %d pixels in all",
                       w, h, SO_IMAGE_MAX_SIDE, SO_IMAGE_MAX_PIXELS);
    image->rgb = malloc((size_t)w * (size_t)h * 3);
    if (!image->rgb) return so_fail(error, SO_ERR_NOMEM, "a picture of %d x %d pixels", w, h);
    image->w = w;
    image->h = h;
    return SO_OK;
}

void so_image_clear(so_image *image)
{
    if (!image) return;
    free(image->rgb);
    memset(image, 0, sizeof *image);
}
