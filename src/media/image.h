/* Pictures: reading, writing, resizing as Pillow does, and the views that a vision tower is fed.
 *
 * A picture is 8-bit RGB, row-major, [h, w, 3]. Source: spec of Stream-Omni, sections 3.1, 3.2 and 3.5.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_MEDIA_IMAGE_H
#define SO_MEDIA_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/pool.h"

typedef struct so_image {
    int w, h;
    uint8_t *rgb; /* [h, w, 3]; freed with so_image_clear */
    int frames;   /* pictures in the file it was read from (animations, pages), of which this is the first; else 0 */
} so_image;

enum { SO_IMAGE_MAX_SIDE = 65500, SO_IMAGE_MAX_PIXELS = 100000000 };

/* A picture of the given size, not initialised. SO_ERR_LIMIT above the two limits, SO_ERR_ARG below one pixel. */
so_status so_image_init(so_image *image, int w, int h, so_error *error);
/* Accepts a zeroed image. */
void so_image_clear(so_image *image);

/* Reads JPEG, PNG, WebP, GIF, BMP, TIFF, PBM to PAM and, where libheif is installed, HEIC and AVIF, told apart by their
 * first bytes. Grey, palette, 16-bit and CMYK become RGB, alpha is laid on white, the orientation that a file asks for
 * (EXIF; TIFF's and HEIF's own) is applied. Of animations and pages the first is read; out->frames tells how many there
 * are. Pictures of more than `max_pixels` (0 means SO_IMAGE_MAX_PIXELS) are refused with SO_ERR_LIMIT before memory for
 * them is taken. SO_ERR_FORMAT for what is damaged or cut, SO_ERR_UNSUPPORTED for other files, naming what they are,
 * SO_ERR_MISSING without libheif. */
so_status so_image_read(so_image *out, const char *path, int64_t max_pixels, so_error *error);
so_status so_image_decode(so_image *out, const void *data, size_t size, int64_t max_pixels, so_error *error);

/* A PNG file's bytes; the caller frees `*data` with free(). */
so_status so_image_encode_png(const so_image *image, unsigned char **data, size_t *size, so_error *error);
/* The same into a file that is whole or absent. */
so_status so_image_write_png(const so_image *image, const char *path, so_error *error);

/* Pillow's bicubic resize, bit for bit, into a new picture. The work is spread over the pool (NULL: this thread). */
so_status so_image_resize(so_image *out, const so_image *in, int w, int h, so_pool *pool, so_error *error);

/* A picture lying at (x, y) on a canvas of one grey value. The canvas may be far larger than memory would hold. */
typedef struct so_image_canvas {
    const so_image *image;
    int x, y, w, h;
    uint8_t fill;
} so_image_canvas;

/* The same for the picture on its canvas. The picture must lie inside. */
so_status so_image_resize_canvas(so_image *out, const so_image_canvas *in, int w, int h, so_pool *pool,
                                 so_error *error);

typedef enum so_image_mode {
    SO_IMAGE_SQUARE, /* squashed to S x S */
    SO_IMAGE_PAD,    /* centred on a square of grey 127 */
    SO_IMAGE_ANYRES  /* the squashed whole, then tiles of the best grid */
} so_image_mode;

enum { SO_IMAGE_MAX_PINPOINTS = 256, SO_IMAGE_MAX_VIEWS = 257 };

/* How pictures become views: the vision tower's pixel preprocessing. */
typedef struct so_image_spec {
    int size;              /* S, pixels */
    float mean[3], std[3]; /* of values in 0..1 */
    so_image_mode mode;
    int max_tiles;                           /* K of "anyres_max_K", 0 when there is none; used when views are merged */
    int pinpoints;                           /* resolutions that SO_IMAGE_ANYRES chooses from */
    int pinpoint[SO_IMAGE_MAX_PINPOINTS][2]; /* width, height */
} so_image_spec;

/* SigLIP's: mean and deviation 0.5, square. SO_ERR_ARG when size is not 1..4096. */
so_status so_image_spec_init(so_image_spec *spec, int size, so_error *error);
/* Takes config.json's image_aspect_ratio: "pad", "anyres", "anyres_max_K"; others mean square, except the unsupported
 * "highres" and "crop_split". */
so_status so_image_spec_set_mode(so_image_spec *spec, const char *aspect_ratio, so_error *error);
/* Takes config.json's image_grid_pinpoints as text: a list "[[384, 768], (768, 384)]", or a range "(1x1),...,(6x6)" of
 * tiles of size S. Set the size first. */
so_status so_image_spec_set_pinpoints(so_image_spec *spec, const char *text, so_error *error);
/* The pinpoint that keeps most of a w x h picture's pixels, among equals the one that wastes least. */
void so_image_best_resolution(const so_image_spec *spec, int w, int h, int best[2]);

/* The views of one picture, 8 bit. */
typedef struct so_image_views {
    int n, size;
    int grid_w, grid_h;   /* tiles of SO_IMAGE_ANYRES, else 0 */
    int image_w, image_h; /* of the picture */
    uint8_t *rgb;         /* [n, S, S, 3]; freed with so_image_views_clear */
} so_image_views;

so_status so_image_views_make(so_image_views *out, const so_image *image, const so_image_spec *spec, so_pool *pool,
                              so_error *error);
void so_image_views_clear(so_image_views *views);
/* What the tower is fed: (v / 255 - mean) / std as float [n, 3, S, S], each step rounded as the reference does. */
void so_image_normalise(const so_image_views *views, const so_image_spec *spec, float *out);

#endif
