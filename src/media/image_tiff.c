/* TIFF, by libtiff: the first page, upright, whatever its compression, depth (to 16 bits) and colours.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tiffio.h>

#include "media/image_decode.h"

enum { DNG_VERSION = 50706, CFA = 32803 };

static const tmsize_t MOST_BLOCK = (tmsize_t)1 << 29; /* bytes that libtiff may take at once */

/* A file in memory, as libtiff reads it, and its first complaint. */
typedef struct stream {
    const unsigned char *data;
    toff_t at, size;
    char complaint[256];
} stream;

static tmsize_t read_bytes(thandle_t handle, void *out, tmsize_t n)
{
    stream *s = handle;
    toff_t left = s->at < s->size ? s->size - s->at : 0, take = n < 0 ? 0 : (toff_t)n < left ? (toff_t)n : left;
    if (take) memcpy(out, s->data + s->at, take);
    s->at += take;
    return (tmsize_t)take;
}

static tmsize_t write_bytes(thandle_t handle, void *data, tmsize_t n)
{
    (void)handle, (void)data, (void)n;
    return 0;
}

static toff_t seek_to(thandle_t handle, toff_t offset, int whence)
{
    stream *s = handle;
    s->at = whence == SEEK_SET ? offset : whence == SEEK_CUR ? s->at + offset : s->size + offset;
    return s->at;
}

static int close_stream(thandle_t handle)
{
    (void)handle;
    return 0;
}

static toff_t size_of(thandle_t handle) { return ((stream *)handle)->size; }

static int complain(TIFF *tiff, void *user, const char *module, const char *format, va_list args)
{
    stream *s = user;
    (void)tiff, (void)module;
    if (!s->complaint[0]) vsnprintf(s->complaint, sizeof s->complaint, format, args);
    return 1;
}

static int ignore(TIFF *tiff, void *user, const char *module, const char *format, va_list args)
{
    (void)tiff, (void)user, (void)module, (void)format, (void)args;
    return 1;
}

static TIFF *open_stream(stream *s)
{
    TIFFOpenOptions *options = TIFFOpenOptionsAlloc();
    if (!options) return NULL;
    TIFFOpenOptionsSetMaxSingleMemAlloc(options, MOST_BLOCK);
    TIFFOpenOptionsSetErrorHandlerExtR(options, complain, s);
    TIFFOpenOptionsSetWarningHandlerExtR(options, ignore, s);
    TIFF *tiff = TIFFClientOpenExt("picture", "rm", s, read_bytes, write_bytes, seek_to, close_stream, size_of, NULL,
                                   NULL, options);
    TIFFOpenOptionsFree(options);
    return tiff;
}

static so_status damaged(const stream *s, so_error *error)
{
    return so_fail(error, SO_ERR_FORMAT, "TIFF: %s", s->complaint[0] ? s->complaint : "damaged");
}

/* What libtiff would turn into something else than people see. */
static so_status refuse(TIFF *tiff, so_error *error)
{
    uint16_t photometric = 0;
    void *version = NULL;
    TIFFGetField(tiff, TIFFTAG_PHOTOMETRIC, &photometric);
    if (photometric == CFA || TIFFGetField(tiff, DNG_VERSION, &version))
        return so_fail(error, SO_ERR_UNSUPPORTED,
                       "a camera's raw picture, expected one that was developed (JPEG, TIFF)");
    char why[1024] = "";
    if (!TIFFRGBAImageOK(tiff, why)) return so_fail(error, SO_ERR_UNSUPPORTED, "TIFF: %s", why);
    return SO_OK;
}

/* Whether the fourth channel is alpha: the file says so, and libtiff's own guess for files that say nothing is left. */
static bool has_alpha(TIFF *tiff)
{
    uint16_t n = 0, *kind = NULL;
    if (!TIFFGetField(tiff, TIFFTAG_EXTRASAMPLES, &n, &kind) || !n) return false;
    return kind[0] == EXTRASAMPLE_ASSOCALPHA || kind[0] == EXTRASAMPLE_UNASSALPHA;
}

/* Rows as they are stored, from the first on: 32 bits a pixel, colours already multiplied by alpha. */
static so_status read_raster(TIFF *tiff, stream *s, so_image *out, uint32_t *raster, so_error *error)
{
    TIFFRGBAImage image;
    char why[1024] = "";
    if (!TIFFRGBAImageBegin(&image, tiff, 1, why)) return so_fail(error, SO_ERR_FORMAT, "TIFF: %s", why);
    image.req_orientation = image.orientation;
    int read = TIFFRGBAImageGet(&image, raster, (uint32_t)out->w, (uint32_t)out->h);
    TIFFRGBAImageEnd(&image);
    return read && !s->complaint[0] ? SO_OK : damaged(s, error);
}

static void to_rgb(const uint32_t *raster, bool alpha, so_image *out)
{
    uint8_t *p = out->rgb;
    for (size_t i = 0; i < (size_t)out->w * (size_t)out->h; i++, p += 3) {
        uint32_t white = alpha ? 255 - TIFFGetA(raster[i]) : 0;
        uint32_t c[3] = {TIFFGetR(raster[i]) + white, TIFFGetG(raster[i]) + white, TIFFGetB(raster[i]) + white};
        for (int k = 0; k < 3; k++) p[k] = (uint8_t)(c[k] < 255 ? c[k] : 255);
    }
}

static so_status read_page(TIFF *tiff, stream *s, const so_image_source *source, so_image *out, so_error *error)
{
    uint32_t w = 0, h = 0;
    uint16_t orientation = 1;
    TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &w);
    TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &h);
    SO_TRY(so_image_allow(source, w, h, error));
    SO_TRY(refuse(tiff, error));
    SO_TRY(so_image_init(out, (int)w, (int)h, error));
    uint32_t *raster = calloc((size_t)w * h, sizeof *raster);
    if (!raster) return so_fail(error, SO_ERR_NOMEM, "a picture of %u x %u pixels", w, h);
    so_status status = read_raster(tiff, s, out, raster, error);
    if (status == SO_OK) to_rgb(raster, has_alpha(tiff), out);
    free(raster);
    SO_TRY(status);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_ORIENTATION, &orientation);
    SO_TRY(so_image_orient(out, orientation >= 1 && orientation <= 8 ? orientation : 1, error));
    out->frames = (int)TIFFNumberOfDirectories(tiff);
    if (out->frames < 1) out->frames = 1;
    return SO_OK;
}

so_status so_image_decode_tiff(so_image *out, const so_image_source *source, so_error *error)
{
    stream s = {.data = source->data, .size = source->size};
    TIFF *tiff = open_stream(&s);
    if (!tiff) return damaged(&s, error);
    so_status status = read_page(tiff, &s, source, out, error);
    TIFFClose(tiff);
    return status;
}
