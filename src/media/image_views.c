/* From a picture to the views of a vision tower: aspect modes, tiles, normalisation.
 * SPDX-License-Identifier: Apache-2.0 */
#include "media/image.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SIZE = 4096, MAX_PINPOINT = 32768 };

so_status so_image_spec_init(so_image_spec *spec, int size, so_error *error)
{
    memset(spec, 0, sizeof *spec);
    if (size < 1 || size > MAX_SIZE)
        return so_fail(error, SO_ERR_ARG, "views of %d pixels, expected 1..%d", size, MAX_SIZE);
    spec->size = size;
    for (int i = 0; i < 3; i++) spec->mean[i] = spec->std[i] = 0.5f;
    return SO_OK;
}

so_status so_image_spec_set_mode(so_image_spec *spec, const char *name, so_error *error)
{
    spec->max_tiles = 0;
    if (!strcmp(name, "highres") || !strcmp(name, "crop_split"))
        return so_fail(error, SO_ERR_UNSUPPORTED, "image_aspect_ratio \"%s\"", name);
    if (!strcmp(name, "pad")) {
        spec->mode = SO_IMAGE_PAD;
    } else if (!strcmp(name, "anyres") || strstr(name, "anyres_max")) {
        spec->mode = SO_IMAGE_ANYRES;
        const char *k = strstr(name, "anyres_max_");
        long most = k ? strtol(k + strlen("anyres_max_"), NULL, 10) : 0;
        if (strstr(name, "anyres_max") && (most < 1 || most > SO_IMAGE_MAX_VIEWS))
            return so_fail(error, SO_ERR_FORMAT, "image_aspect_ratio \"%s\", expected anyres_max_<1..%d>", name,
                           SO_IMAGE_MAX_VIEWS);
        spec->max_tiles = (int)most;
    } else {
        spec->mode = SO_IMAGE_SQUARE;
    }
    return SO_OK;
}

static so_status add_pinpoint(so_image_spec *spec, int64_t w, int64_t h, so_error *error)
{
    if (w < 1 || h < 1 || w > MAX_PINPOINT || h > MAX_PINPOINT || w * h > SO_IMAGE_MAX_PIXELS)
        return so_fail(error, SO_ERR_LIMIT, "image_grid_pinpoints holds %lld x %lld", (long long)w, (long long)h);
    int64_t tiles = ((w + spec->size - 1) / spec->size) * ((h + spec->size - 1) / spec->size);
    if (tiles >= SO_IMAGE_MAX_VIEWS)
        return so_fail(error, SO_ERR_LIMIT,
                       "image_grid_pinpoints %lld x %lld makes %lld tiles, at most %d are possible", (long long)w,
                       (long long)h, (long long)tiles, SO_IMAGE_MAX_VIEWS - 1);
    if (spec->pinpoints == SO_IMAGE_MAX_PINPOINTS)
        return so_fail(error, SO_ERR_LIMIT, "more than %d image_grid_pinpoints", SO_IMAGE_MAX_PINPOINTS);
    spec->pinpoint[spec->pinpoints][0] = (int)w;
    spec->pinpoint[spec->pinpoints++][1] = (int)h;
    return SO_OK;
}

/* All unsigned numbers of a text that otherwise holds only `allowed` characters. */
static so_status numbers(const char *text, const char *allowed, int *out, int most, int *n, so_error *error)
{
    *n = 0;
    for (const char *p = text; *p;) {
        if (*p >= '0' && *p <= '9') {
            int value = 0;
            for (; *p >= '0' && *p <= '9'; p++) value = value < 100000 ? value * 10 + (*p - '0') : value;
            if (*n == most) return so_fail(error, SO_ERR_LIMIT, "image_grid_pinpoints has more than %d numbers", most);
            out[(*n)++] = value;
        } else if (!strchr(allowed, *p)) {
            return so_fail(error, SO_ERR_FORMAT, "image_grid_pinpoints: '%c' at byte %td of \"%.80s\"", *p, p - text,
                           text);
        } else {
            p++;
        }
    }
    return SO_OK;
}

so_status so_image_spec_set_pinpoints(so_image_spec *spec, const char *text, so_error *error)
{
    int found[2 * SO_IMAGE_MAX_PINPOINTS], n;
    bool range = strchr(text, 'x') != NULL;
    spec->pinpoints = 0;
    SO_TRY(numbers(text, range ? "(x), .\n" : "[](), \n\t\r", found, 2 * SO_IMAGE_MAX_PINPOINTS, &n, error));
    if (n == 0 || n % 2)
        return so_fail(error, SO_ERR_FORMAT, "image_grid_pinpoints has %d numbers, expected pairs: \"%.80s\"", n, text);
    if (!range) {
        for (int i = 0; i < n; i += 2) SO_TRY(add_pinpoint(spec, found[i], found[i + 1], error));
        return SO_OK;
    }
    for (int64_t i = found[0]; i <= found[n - 2]; i++)
        for (int64_t j = found[1]; j <= found[n - 1]; j++)
            SO_TRY(add_pinpoint(spec, i * spec->size, j * spec->size, error));
    if (!spec->pinpoints)
        return so_fail(error, SO_ERR_FORMAT, "image_grid_pinpoints \"%.80s\" is an empty range", text);
    return SO_OK;
}

void so_image_best_resolution(const so_image_spec *spec, int w, int h, int best[2])
{
    int64_t most = -1, least_waste = 0;
    best[0] = best[1] = spec->size;
    for (int i = 0; i < spec->pinpoints; i++) {
        int pw = spec->pinpoint[i][0], ph = spec->pinpoint[i][1];
        double scale = fmin((double)pw / w, (double)ph / h);
        int64_t kept = (int64_t)(w * scale) * (int64_t)(h * scale), all = (int64_t)w * h;
        if (kept > all) kept = all;
        int64_t waste = (int64_t)pw * ph - kept;
        if (kept > most || (kept == most && waste < least_waste)) {
            most = kept;
            least_waste = waste;
            best[0] = pw;
            best[1] = ph;
        }
    }
}

/* The picture's size inside the target: the tighter side fills it, the other is rounded up. */
static void fit(int w, int h, const int target[2], int *fw, int *fh)
{
    double sx = (double)target[0] / w, sy = (double)target[1] / h;
    *fw = sx < sy ? target[0] : (int)fmin(ceil(w * sy), target[0]);
    *fh = sx < sy ? (int)fmin(ceil(h * sx), target[1]) : target[1];
}

/* Tile (tx, ty) of a picture lying at (left, top) of a black canvas. */
static void cut_tile(const so_image *image, int left, int top, int tx, int ty, int size, uint8_t *out)
{
    memset(out, 0, (size_t)size * (size_t)size * 3);
    for (int y = 0; y < size; y++) {
        int from = tx * size - left, row = ty * size + y - top, skip = from < 0 ? -from : 0;
        int count = image->w - from - skip < size - skip ? image->w - from - skip : size - skip;
        if (row < 0 || row >= image->h || count <= 0) continue;
        memcpy(out + ((size_t)y * (size_t)size + (size_t)skip) * 3,
               image->rgb + ((size_t)row * (size_t)image->w + (size_t)(from + skip)) * 3, (size_t)count * 3);
    }
}

static so_status add_tiles(so_image_views *v, const so_image *image, const int target[2], so_pool *pool,
                           so_error *error)
{
    int fw, fh;
    so_image fitted;
    fit(image->w, image->h, target, &fw, &fh);
    SO_TRY(so_image_resize(&fitted, image, fw, fh, pool, error));
    size_t bytes = (size_t)v->size * (size_t)v->size * 3;
    for (int ty = 0; ty < v->grid_h; ty++)
        for (int tx = 0; tx < v->grid_w; tx++)
            cut_tile(&fitted, (target[0] - fw) / 2, (target[1] - fh) / 2, tx, ty, v->size,
                     v->rgb + (size_t)v->n++ * bytes);
    so_image_clear(&fitted);
    return SO_OK;
}

so_status so_image_views_make(so_image_views *out, const so_image *image, const so_image_spec *spec, so_pool *pool,
                              so_error *error)
{
    so_status status = SO_OK;
    so_image view = {0};
    int S = spec->size, best[2] = {S, S};
    *out = (so_image_views){.size = S, .image_w = image->w, .image_h = image->h};
    if (spec->mode == SO_IMAGE_ANYRES) {
        if (!spec->pinpoints) return so_fail(error, SO_ERR_MISSING, "anyres without image_grid_pinpoints");
        so_image_best_resolution(spec, image->w, image->h, best);
        out->grid_w = (best[0] + S - 1) / S;
        out->grid_h = (best[1] + S - 1) / S;
    }
    size_t bytes = (size_t)S * (size_t)S * 3, views = 1 + (size_t)out->grid_w * (size_t)out->grid_h;
    out->rgb = malloc(views * bytes);
    if (!out->rgb) return so_fail(error, SO_ERR_NOMEM, "%zu views of %d x %d pixels", views, S, S);
    so_image_canvas canvas = {image, 0, 0, image->w, image->h, 127};
    if (spec->mode == SO_IMAGE_PAD) {
        canvas.w = canvas.h = image->w > image->h ? image->w : image->h;
        canvas.x = (canvas.w - image->w) / 2;
        canvas.y = (canvas.h - image->h) / 2;
    }
    SO_TRY_GO(so_image_resize_canvas(&view, &canvas, S, S, pool, error));
    memcpy(out->rgb, view.rgb, bytes);
    out->n = 1;
    if (spec->mode == SO_IMAGE_ANYRES) SO_TRY_GO(add_tiles(out, image, best, pool, error));
done:
    so_image_clear(&view);
    if (status != SO_OK) so_image_views_clear(out);
    return status;
}

void so_image_views_clear(so_image_views *views)
{
    if (!views) return;
    free(views->rgb);
    memset(views, 0, sizeof *views);
}

void so_image_normalise(const so_image_views *v, const so_image_spec *spec, float *out)
{
    size_t area = (size_t)v->size * (size_t)v->size;
    for (int c = 0; c < 3; c++) {
        float value[256];
        for (int i = 0; i < 256; i++) value[i] = ((float)(i * (1.0 / 255)) - spec->mean[c]) / spec->std[c];
        for (int view = 0; view < v->n; view++) {
            const uint8_t *in = v->rgb + (size_t)view * area * 3 + c;
            float *to = out + ((size_t)view * 3 + (size_t)c) * area;
            for (size_t i = 0; i < area; i++) to[i] = value[in[i * 3]];
        }
    }
}
