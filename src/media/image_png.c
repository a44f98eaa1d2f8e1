/* PNG in, with its animations' first picture and its EXIF orientation, and out.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <spng.h>

#include "base/file.h"
#include "media/image_decode.h"

enum { MAX_CHUNK = 1 << 26 };

static bool png_has_alpha(spng_ctx *png, const struct spng_ihdr *header)
{
    struct spng_trns trns;
    return header->color_type == SPNG_COLOR_TYPE_GRAYSCALE_ALPHA ||
           header->color_type == SPNG_COLOR_TYPE_TRUECOLOR_ALPHA || spng_get_trns(png, &trns) == 0;
}

/* Pictures of an animated PNG, as its acTL chunk says; it comes before the first IDAT. */
static int png_frames(const so_image_source *s)
{
    size_t at = 8;
    while (s->size - at >= 12) {
        const unsigned char *p = s->data + at;
        size_t n = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
        if (!memcmp(p + 4, "IDAT", 4) || n > s->size - at - 12) break;
        if (!memcmp(p + 4, "acTL", 4) && n >= 4) return p[8] || p[9] ? 1 << 16 : p[10] << 8 | p[11];
        at += n + 12;
    }
    return 1;
}

static int digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* The EXIF block that older programs wrote as a text of hexadecimal digits: a line break, "exif" on a line, its length
 * on another, then the digits in lines. */
static int orientation_in_text(const char *text, size_t size)
{
    enum { ENOUGH = 4096 }; /* the orientation stands near the beginning */
    unsigned char block[ENOUGH];
    size_t n = 0, at = 0;
    for (int lines = 0; lines < 3 && at < size; at++) lines += text[at] == '\n';
    for (int high = -1; at < size && n < ENOUGH; at++) {
        int d = digit(text[at]);
        if (d < 0) continue;
        if (high >= 0) block[n++] = (unsigned char)(high << 4 | d);
        high = high >= 0 ? -1 : d;
    }
    return so_image_exif(block, n);
}

/* Of the eXIf chunk, which may stand behind the pixels, else of the text. What is damaged there is passed over, as the
 * pixels are whole. */
static int orientation_of(spng_ctx *png)
{
    struct spng_exif exif;
    struct spng_text *text = NULL;
    uint32_t n = 0;
    int orientation = 1;
    spng_decode_chunks(png);
    if (spng_get_exif(png, &exif) == 0) return so_image_exif((const unsigned char *)exif.data, exif.length);
    if (spng_get_text(png, NULL, &n) != 0 || !n || !(text = calloc(n, sizeof *text))) return 1;
    if (spng_get_text(png, text, &n) == 0)
        for (uint32_t i = 0; i < n && orientation == 1; i++)
            if (!strcmp(text[i].keyword, "Raw profile type exif") || !strcmp(text[i].keyword, "Raw profile type APP1"))
                orientation = orientation_in_text(text[i].text, text[i].length);
    free(text);
    return orientation;
}

static so_status png_body(spng_ctx *png, so_image *out, const so_image_source *s, so_error *error)
{
    struct spng_ihdr header;
    size_t bytes;
    spng_set_image_limits(png, SO_IMAGE_MAX_SIDE, SO_IMAGE_MAX_SIDE);
    spng_set_chunk_limits(png, MAX_CHUNK, MAX_CHUNK);
    int failed = spng_set_png_buffer(png, s->data, s->size);
    if (!failed) failed = spng_get_ihdr(png, &header);
    if (failed) return so_fail(error, SO_ERR_FORMAT, "PNG: %s", spng_strerror(failed));
    SO_TRY(so_image_allow(s, header.width, header.height, error));
    bool alpha = png_has_alpha(png, &header);
    int format = alpha ? SPNG_FMT_RGBA8 : SPNG_FMT_RGB8;
    failed = spng_decoded_image_size(png, format, &bytes);
    if (failed) return so_fail(error, SO_ERR_FORMAT, "PNG: %s", spng_strerror(failed));
    out->rgb = malloc(bytes);
    if (!out->rgb) return so_fail(error, SO_ERR_NOMEM, "a picture of %u x %u pixels", header.width, header.height);
    out->w = (int)header.width;
    out->h = (int)header.height;
    failed = spng_decode_image(png, out->rgb, bytes, format, alpha ? SPNG_DECODE_TRNS : 0);
    if (failed) return so_fail(error, SO_ERR_FORMAT, "PNG: %s", spng_strerror(failed));
    if (alpha) out->rgb = so_image_flatten(out->rgb, (size_t)out->w * (size_t)out->h);
    out->frames = png_frames(s);
    return so_image_orient(out, orientation_of(png), error);
}

so_status so_image_decode_png(so_image *out, const so_image_source *s, so_error *error)
{
    spng_ctx *png = spng_ctx_new(0);
    if (!png) return so_fail(error, SO_ERR_NOMEM, "a PNG reader");
    so_status status = png_body(png, out, s, error);
    spng_ctx_free(png);
    return status;
}

so_status so_image_encode_png(const so_image *image, unsigned char **data, size_t *size, so_error *error)
{
    *data = NULL;
    *size = 0;
    spng_ctx *png = spng_ctx_new(SPNG_CTX_ENCODER);
    if (!png) return so_fail(error, SO_ERR_NOMEM, "a PNG writer");
    struct spng_ihdr header = {.width = (uint32_t)image->w,
                               .height = (uint32_t)image->h,
                               .bit_depth = 8,
                               .color_type = SPNG_COLOR_TYPE_TRUECOLOR};
    int failed = spng_set_option(png, SPNG_ENCODE_TO_BUFFER, 1);
    if (!failed) failed = spng_set_ihdr(png, &header);
    if (!failed)
        failed = spng_encode_image(png, image->rgb, (size_t)image->w * (size_t)image->h * 3, SPNG_FMT_PNG,
                                   SPNG_ENCODE_FINALIZE);
    if (!failed) *data = spng_get_png_buffer(png, size, &failed);
    spng_ctx_free(png);
    if (failed) return so_fail(error, SO_ERR_IO, "writing PNG: %s", spng_strerror(failed));
    return SO_OK;
}

so_status so_image_write_png(const so_image *image, const char *path, so_error *error)
{
    unsigned char *data;
    size_t size;
    SO_TRY(so_image_encode_png(image, &data, &size, error));
    so_status status = so_file_write(path, data, size, error);
    free(data);
    return status;
}
