/* What the readers of picture files share. Private to media/.
 *
 * A reader is given bytes whose first ones are its format's, checks the size with so_image_allow before it takes memory
 * for pixels, and gives an upright RGB picture on white with the number of pictures in the file. Nothing it leaves
 * behind after a failure matters: so_image_decode clears the picture.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_MEDIA_IMAGE_DECODE_H
#define SO_MEDIA_IMAGE_DECODE_H

#include "media/image.h"

typedef struct so_image_source {
    const unsigned char *data;
    size_t size;
    int64_t max_pixels;
} so_image_source;

/* SO_ERR_FORMAT without pixels, SO_ERR_LIMIT with more than the source may have. */
so_status so_image_allow(const so_image_source *source, int64_t w, int64_t h, so_error *error);
/* The orientation 1..8 that an EXIF (TIFF) block names, with or without "Exif\0\0" before it; 1 when it names none. */
int so_image_exif(const unsigned char *data, size_t size);
/* Replaces the picture by the upright one. Orientations 5..8 swap the axes. */
so_status so_image_orient(so_image *image, int orientation, so_error *error);
/* RGBA[pixels], in place, to RGB on white; the memory given back. */
uint8_t *so_image_flatten(uint8_t *rgba, size_t pixels);

so_status so_image_decode_png(so_image *out, const so_image_source *source, so_error *error);
so_status so_image_decode_webp(so_image *out, const so_image_source *source, so_error *error);
so_status so_image_decode_pnm(so_image *out, const so_image_source *source, so_error *error);
so_status so_image_decode_bmp(so_image *out, const so_image_source *source, so_error *error);
so_status so_image_decode_gif(so_image *out, const so_image_source *source, so_error *error);
so_status so_image_decode_tiff(so_image *out, const so_image_source *source, so_error *error);
/* HEIC and AVIF, by libheif, which is opened when it is first needed: SO_ERR_MISSING, naming the package, without it.
 */
so_status so_image_decode_heif(so_image *out, const so_image_source *source, so_error *error);

#endif
