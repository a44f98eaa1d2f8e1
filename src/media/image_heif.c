/* HEIC and AVIF, by libheif, which is opened at run time: its decoders are large, and most machines need none.
 *
 * libheif turns and mirrors as the file asks; the EXIF orientation, which repeats that, is not applied again.
 * Source: libheif's heif.h, version 1.15: the functions below are of its stable C interface.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/symbol.h"

#include "media/image_decode.h"

static const char library_name[] = "libheif.so.1";

enum { COLOURS_RGB = 1, CHROMA_RGB = 10, CHROMA_RGBA = 11, CHANNEL_INTERLEAVED = 10, NO_DECODER = 3000 };

typedef struct heif_error {
    int code, detail;
    const char *text;
} heif_error;

typedef struct heif_context heif_context;
typedef struct heif_handle heif_handle;
typedef struct heif_image heif_image;

/* The beginning of libheif's options, which it allocates itself. */
typedef struct heif_options {
    uint8_t version, ignore_transformations;
    void (*start)(int, int, void *);
    void (*step)(int, int, void *);
    void (*end)(int, void *);
    void *user;
    uint8_t to_8_bits; /* from version 2 */
} heif_options;

static struct {
    heif_context *(*context_alloc)(void);
    void (*context_free)(heif_context *);
    void (*set_limit)(heif_context *, int side);
    heif_error (*read_memory)(heif_context *, const void *, size_t, const void *options);
    heif_error (*primary)(heif_context *, heif_handle **);
    int (*count)(heif_context *);
    int (*width)(const heif_handle *);
    int (*height)(const heif_handle *);
    int (*whole_width)(const heif_handle *); /* before it is turned and cut; both may be absent */
    int (*whole_height)(const heif_handle *);
    int (*has_alpha)(const heif_handle *);
    void (*handle_release)(const heif_handle *);
    heif_options *(*options_alloc)(void);
    void (*options_free)(heif_options *);
    heif_error (*decode)(const heif_handle *, heif_image **, int colours, int chroma, const heif_options *);
    int (*image_width)(const heif_image *, int channel);
    int (*image_height)(const heif_image *, int channel);
    const uint8_t *(*plane)(const heif_image *, int channel, int *stride);
    void (*image_release)(const heif_image *);
} lib;
static so_error failure; /* status SO_OK: the library is open */

static void find(void *library, const char *name, void *function)
{
    if (!so_symbol(library, name, function) && failure.status == SO_OK)
        so_fail(&failure, SO_ERR_MISSING, "%s has no function %s", library_name, name);
}

static void open_library(void)
{
    void *library = dlopen(library_name, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        so_fail(&failure, SO_ERR_MISSING,
                "reading HEIC and AVIF needs libheif (Debian: libheif1), or convert the picture to JPEG or PNG");
        return;
    }
    find(library, "heif_context_alloc", &lib.context_alloc);
    find(library, "heif_context_free", &lib.context_free);
    find(library, "heif_context_set_maximum_image_size_limit", &lib.set_limit);
    find(library, "heif_context_read_from_memory_without_copy", &lib.read_memory);
    find(library, "heif_context_get_primary_image_handle", &lib.primary);
    find(library, "heif_context_get_number_of_top_level_images", &lib.count);
    find(library, "heif_image_handle_get_width", &lib.width);
    find(library, "heif_image_handle_get_height", &lib.height);
    so_symbol(library, "heif_image_handle_get_ispe_width", &lib.whole_width);
    so_symbol(library, "heif_image_handle_get_ispe_height", &lib.whole_height);
    find(library, "heif_image_handle_has_alpha_channel", &lib.has_alpha);
    find(library, "heif_image_handle_release", &lib.handle_release);
    find(library, "heif_decoding_options_alloc", &lib.options_alloc);
    find(library, "heif_decoding_options_free", &lib.options_free);
    find(library, "heif_decode_image", &lib.decode);
    find(library, "heif_image_get_width", &lib.image_width);
    find(library, "heif_image_get_height", &lib.image_height);
    find(library, "heif_image_get_plane_readonly", &lib.plane);
    find(library, "heif_image_release", &lib.image_release);
}

static so_status told(heif_error e, so_error *error)
{
    if (e.code == 0) return SO_OK;
    const char *text = e.text ? e.text : "damaged";
    if (e.detail == NO_DECODER)
        return so_fail(error, SO_ERR_UNSUPPORTED,
                       "HEIF: %s (some systems keep libheif's decoders in packages of their own, as "
                       "libheif-plugin-libde265 for HEIC and libheif-plugin-dav1d for AVIF)",
                       text);
    return so_fail(error, SO_ERR_FORMAT, "HEIF: %s", text);
}

/* Copies the rows, which may be longer than the picture is wide. */
static so_status take_pixels(so_image *out, const heif_image *image, size_t channels, so_error *error)
{
    int stride = 0, w = lib.image_width(image, CHANNEL_INTERLEAVED), h = lib.image_height(image, CHANNEL_INTERLEAVED);
    const uint8_t *rows = lib.plane(image, CHANNEL_INTERLEAVED, &stride);
    if (!rows || w != out->w || h != out->h || (size_t)stride < (size_t)w * channels)
        return so_fail(error, SO_ERR_FORMAT, "HEIF: a picture of %d x %d pixels was announced and %d x %d came", out->w,
                       out->h, w, h);
    size_t bytes = (size_t)w * channels;
    out->rgb = malloc(bytes * (size_t)h);
    if (!out->rgb) return so_fail(error, SO_ERR_NOMEM, "a picture of %d x %d pixels", w, h);
    for (int y = 0; y < h; y++) memcpy(out->rgb + (size_t)y * bytes, rows + (size_t)y * (size_t)stride, bytes);
    if (channels == 4) out->rgb = so_image_flatten(out->rgb, (size_t)w * (size_t)h);
    return SO_OK;
}

static so_status decode(so_image *out, const heif_handle *handle, so_error *error)
{
    heif_image *image = NULL;
    heif_options *options = lib.options_alloc();
    int alpha = lib.has_alpha(handle) != 0;
    if (options && options->version >= 2) options->to_8_bits = 1;
    so_status status = told(lib.decode(handle, &image, COLOURS_RGB, alpha ? CHROMA_RGBA : CHROMA_RGB, options), error);
    if (options) lib.options_free(options);
    if (status == SO_OK) status = take_pixels(out, image, alpha ? 4 : 3, error);
    if (image) lib.image_release(image);
    return status;
}

static uint32_t u32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Pictures of the longest track of an animation, which libheif does not tell: the count in
 * moov/trak/mdia/minf/stbl/stsz (ISO/IEC 14496-12). 0 without tracks. */
static int samples(const uint8_t *p, size_t size, int depth)
{
    static const char path[][5] = {"moov", "trak", "mdia", "minf", "stbl", "stsz"};
    enum { BOX = 8, LAST = 5 };
    int most = 0;
    while (size >= BOX) {
        size_t n = u32(p);
        if (n == 0) n = size; /* to the end */
        if (n < BOX || n > size) break;
        if (!memcmp(p + 4, path[depth], 4)) {
            int found = depth < LAST    ? samples(p + BOX, n - BOX, depth + 1)
                        : n >= BOX + 12 ? (int)(u32(p + BOX + 8) & 0xffffff)
                                        : 0;
            if (found > most) most = found;
        }
        p += n;
        size -= n;
    }
    return most;
}

/* A picture that is laid together of others has a canvas of which only the file tells, and libheif makes it before it
 * is asked about: no side of it may exceed those that the picture announces, whose square must not exceed four times
 * what pictures may have. */
static so_status limit_canvas(heif_context *context, const heif_handle *handle, const so_image_source *s,
                              const so_image *announced, so_error *error)
{
    int64_t side = announced->w > announced->h ? announced->w : announced->h;
    int whole[] = {lib.whole_width ? lib.whole_width(handle) : 0, lib.whole_height ? lib.whole_height(handle) : 0};
    for (int i = 0; i < 2; i++) side = whole[i] > side ? whole[i] : side;
    if (side * side > 4 * s->max_pixels)
        return so_fail(error, SO_ERR_LIMIT,
                       "HEIF: a picture with a side of %lld pixels, expected sides whose square is at most %lld",
                       (long long)side, (long long)(4 * s->max_pixels));
    lib.set_limit(context, (int)side);
    return SO_OK;
}

static so_status read_primary(so_image *out, heif_context *context, const so_image_source *s, so_error *error)
{
    heif_handle *handle = NULL;
    lib.set_limit(context, SO_IMAGE_MAX_SIDE);
    SO_TRY(told(lib.read_memory(context, s->data, s->size, NULL), error));
    SO_TRY(told(lib.primary(context, &handle), error));
    out->w = lib.width(handle);
    out->h = lib.height(handle);
    so_status status = so_image_allow(s, out->w, out->h, error);
    if (status == SO_OK) status = limit_canvas(context, handle, s, out, error);
    if (status == SO_OK) status = decode(out, handle, error);
    lib.handle_release(handle);
    out->frames = lib.count(context);
    int moving = samples(s->data, s->size, 0);
    if (moving > out->frames) out->frames = moving;
    if (out->frames < 1) out->frames = 1;
    return status;
}

so_status so_image_decode_heif(so_image *out, const so_image_source *source, so_error *error)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, open_library);
    if (failure.status != SO_OK) return so_fail(error, failure.status, "%s", failure.text);
    heif_context *context = lib.context_alloc();
    if (!context) return so_fail(error, SO_ERR_NOMEM, "a HEIF reader");
    so_status status = read_primary(out, context, source, error);
    lib.context_free(context);
    return status;
}
