/* Pillow's bicubic resize in integers: horizontal pass, 8-bit rows, vertical pass.
 *
 * Per output value a shrink by f costs 4f multiplications across and 4f down; the rows in between, [canvas h, out w, 3],
 * are the only large memory.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "media/image.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PRECISION = 22, ROWS_PER_TASK = 16 };

/* For each output index the first input, their number, and weights with PRECISION fractional bits. */
typedef struct taps {
    int *first, *count;
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
    t->first = malloc((size_t)out * 2 * sizeof *t->first);
    t->weight = calloc((size_t)out * (size_t)t->most, sizeof *t->weight);
    double *k = malloc((size_t)t->most * sizeof *k);
    if (!t->first || !t->weight || !k) {
        clear_taps(t);
        free(k);
        return so_fail(error, SO_ERR_NOMEM, "resizing weights %d -> %d", in, out);
    }
    t->count = t->first + out;
    for (int i = 0; i < out; i++) {
        double centre = (i + 0.5) * scale, sum = 0;
        int from = (int)(centre - support + 0.5), to = (int)(centre + support + 0.5);
        if (from < 0) from = 0;
        if (to > in) to = in;
        for (int j = from; j < to; j++) sum += k[j - from] = bicubic((j - centre + 0.5) * (1 / filter));
        for (int j = from; j < to; j++) {
            double w = (sum != 0 ? k[j - from] / sum : k[j - from]) * (1 << PRECISION);
            t->weight[(size_t)i * t->most + (j - from)] = (int32_t)(w < 0 ? w - 0.5 : w + 0.5);
        }
        t->first[i] = from;
        t->count[i] = to - from;
    }
    free(k);
    return SO_OK;
}

static inline uint8_t clip(int32_t sum)
{
    int32_t v = sum >> PRECISION;
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

typedef struct pass {
    const so_image_canvas *in; /* horizontal */
    const uint8_t *rows;       /* vertical: [in h, row] bytes */
    uint8_t *out;
    int w, h; /* of the output of this pass */
    const taps *taps;
    uint8_t **line; /* per thread, one canvas row, when the picture is narrower than its canvas */
} pass;

static void across(const uint8_t *row, const taps *t, int w, uint8_t *out)
{
    for (int i = 0; i < w; i++, out += 3) {
        int32_t r = 1 << (PRECISION - 1), g = r, b = r;
        const int32_t *k = t->weight + (size_t)i * t->most;
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
    const pass *p = context;
    const so_image_canvas *c = p->in;
    size_t width = (size_t)p->w * 3, image_bytes = (size_t)c->image->w * 3;
    for (int64_t y = task * ROWS_PER_TASK; y < (task + 1) * ROWS_PER_TASK && y < c->h; y++) {
        uint8_t *out = p->out + (size_t)y * width;
        if (y < c->y || y >= c->y + c->image->h) { /* weights sum to one: a row of one value keeps it */
            memset(out, c->fill, width);
            continue;
        }
        const uint8_t *row = c->image->rgb + (size_t)(y - c->y) * image_bytes;
        if (p->line) {
            memcpy(p->line[thread] + (size_t)c->x * 3, row, image_bytes);
            row = p->line[thread];
        }
        if (p->taps)
            across(row, p->taps, p->w, out);
        else
            memcpy(out, row, width);
    }
}

static void down_task(void *context, int64_t task, int thread)
{
    (void)thread;
    enum { BLOCK = 192 };
    const pass *p = context;
    size_t width = (size_t)p->w * 3;
    const int32_t *k = p->taps->weight + (size_t)task * p->taps->most;
    const uint8_t *in = p->rows + (size_t)p->taps->first[task] * width;
    for (size_t x = 0; x < width; x += BLOCK) {
        int n = (int)(width - x < BLOCK ? width - x : BLOCK);
        int32_t sum[BLOCK];
        for (int i = 0; i < n; i++) sum[i] = 1 << (PRECISION - 1);
        for (int j = 0; j < p->taps->count[task]; j++) {
            const uint8_t *row = in + (size_t)j * width + x;
            for (int i = 0; i < n; i++) sum[i] += k[j] * row[i];
        }
        for (int i = 0; i < n; i++) p->out[(size_t)task * width + x + (size_t)i] = clip(sum[i]);
    }
}

/* One line per thread, filled with the canvas's grey. */
static so_status make_lines(uint8_t ***out, const so_image_canvas *c, int threads, so_error *error)
{
    size_t bytes = (size_t)c->w * 3;
    uint8_t **line = malloc((size_t)threads * (sizeof *line + bytes));
    if (!line) return so_fail(error, SO_ERR_NOMEM, "%d canvas rows of %zu bytes", threads, bytes);
    for (int i = 0; i < threads; i++) {
        line[i] = (uint8_t *)(line + threads) + (size_t)i * bytes;
        memset(line[i], c->fill, bytes);
    }
    *out = line;
    return SO_OK;
}

so_status so_image_resize_canvas(so_image *out, const so_image_canvas *in, int w, int h, so_pool *pool, so_error *error)
{
    so_status status = SO_OK;
    taps horizontal = {0}, vertical = {0};
    so_image rows = {0};
    uint8_t **line = NULL;
    memset(out, 0, sizeof *out);
    if (w < 1 || h < 1 || in->x < 0 || in->y < 0 || in->w - in->x < in->image->w || in->h - in->y < in->image->h)
        return so_fail(error, SO_ERR_ARG, "resizing %d x %d at (%d, %d) on %d x %d to %d x %d", in->image->w,
                       in->image->h, in->x, in->y, in->w, in->h, w, h);
    SO_TRY_GO(so_image_init(&rows, w, in->h, error));
    if (in->w != in->image->w) SO_TRY_GO(make_lines(&line, in, so_pool_threads(pool), error));
    if (in->w != w) SO_TRY_GO(make_taps(&horizontal, in->w, w, error));
    pass first = {.in = in, .out = rows.rgb, .w = w, .h = in->h, .taps = in->w != w ? &horizontal : NULL, .line = line};
    so_pool_for(pool, (in->h + ROWS_PER_TASK - 1) / ROWS_PER_TASK, across_task, &first);
    if (in->h == h) {
        *out = rows;
        memset(&rows, 0, sizeof rows);
        goto done;
    }
    SO_TRY_GO(make_taps(&vertical, in->h, h, error));
    SO_TRY_GO(so_image_init(out, w, h, error));
    pass second = {.rows = rows.rgb, .out = out->rgb, .w = w, .h = h, .taps = &vertical};
    so_pool_for(pool, h, down_task, &second);
done:
    so_image_clear(&rows);
    clear_taps(&horizontal);
    clear_taps(&vertical);
    free(line);
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
