/* Picture files: JPEG, PNG, WebP and PNM in, PNG out. Libraries decode; the limits are set before they take memory.
 * SPDX-License-Identifier: Apache-2.0 */
#include "media/image.h"

#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>
#include <spng.h>
#include <webp/decode.h>

#include "base/file.h"

enum { MAX_JPEG_SCANS = 64, MAX_CHUNK = 1 << 26 };

typedef struct source {
    const unsigned char *data;
    size_t size;
    int64_t max_pixels;
} source;

static so_status check_size(const source *s, int64_t w, int64_t h, so_error *error)
{
    if (w < 1 || h < 1)
        return so_fail(error, SO_ERR_FORMAT, "a picture of %lld x %lld pixels", (long long)w, (long long)h);
    if (w > SO_IMAGE_MAX_SIDE || h > SO_IMAGE_MAX_SIDE || w * h > s->max_pixels)
        return so_fail(error, SO_ERR_LIMIT,
                       "a picture of %lld x %lld pixels, expected sides up to %d and %lld pixels in all", (long long)w,
                       (long long)h, SO_IMAGE_MAX_SIDE, (long long)s->max_pixels);
    return SO_OK;
}

/* The orientation 1..8 that an EXIF (TIFF) block names, 1 when it names none. */
static int exif_orientation(const unsigned char *p, size_t size)
{
    if (size < 8 || (memcmp(p, "II*\0", 4) && memcmp(p, "MM\0*", 4))) return 1;
    bool little = p[0] == 'I';
#define AT16(o) (little ? p[o] | p[(o) + 1] << 8 : p[o] << 8 | p[(o) + 1])
    size_t at = little ? (size_t)AT16(4) | (size_t)AT16(6) << 16 : (size_t)AT16(4) << 16 | (size_t)AT16(6);
    if (at > size - 2) return 1;
    size_t entries = (size_t)AT16(at);
    at += 2;
    for (; entries > 0 && size - at >= 12; entries--, at += 12)
        if (AT16(at) == 0x112) {
            int value = AT16(at + 8);
            return value >= 1 && value <= 8 ? value : 1;
        }
#undef AT16
    return 1;
}

/* Replaces the picture by the upright one. Orientations 5..8 swap the axes. */
static so_status orient(so_image *image, int orientation, so_error *error)
{
    if (orientation == 1) return SO_OK;
    bool swap = orientation >= 5, flip_x, flip_y;
    flip_x = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    flip_y = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    so_image out;
    SO_TRY(so_image_init(&out, swap ? image->h : image->w, swap ? image->w : image->h, error));
    for (int y = 0; y < out.h; y++)
        for (int x = 0; x < out.w; x++) {
            int sx = swap ? y : x, sy = swap ? x : y;
            if (flip_x) sx = image->w - 1 - sx;
            if (flip_y) sy = image->h - 1 - sy;
            memcpy(out.rgb + ((size_t)y * (size_t)out.w + (size_t)x) * 3,
                   image->rgb + ((size_t)sy * (size_t)image->w + (size_t)sx) * 3, 3);
        }
    so_image_clear(image);
    *image = out;
    return SO_OK;
}

typedef struct jpeg_state {
    struct jpeg_decompress_struct info;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf escape;
    so_error *error;
    so_status status;
    unsigned char *line; /* one CMYK row */
} jpeg_state;

static void jpeg_stop(j_common_ptr info)
{
    jpeg_state *j = info->client_data;
    char text[JMSG_LENGTH_MAX];
    info->err->format_message(info, text);
    if (j->status == SO_OK) j->status = so_fail(j->error, SO_ERR_FORMAT, "JPEG: %s", text);
    longjmp(j->escape, 1);
}

/* Missing data would be filled with grey: a cut file is an error. Other warnings pass, as in other readers. */
static void jpeg_message(j_common_ptr info, int level)
{
    if (level < 0 && info->err->msg_code == JWRN_JPEG_EOF) jpeg_stop(info);
}

/* A progressive file of many tiny scans costs a full pass each. */
static void jpeg_watch(j_common_ptr info)
{
    jpeg_state *j = info->client_data;
    if (j->info.input_scan_number <= MAX_JPEG_SCANS) return;
    j->status = so_fail(j->error, SO_ERR_LIMIT, "JPEG with more than %d scans", MAX_JPEG_SCANS);
    longjmp(j->escape, 1);
}

static uint8_t times(int a, int b)
{
    int t = a * b + 128;
    return (uint8_t)(((t >> 8) + t) >> 8);
}

/* Four-colour JPEGs are stored inverted (Adobe's convention): c, m, y, k here are 255 minus the amount of ink. */
static void cmyk_to_rgb(const unsigned char *in, int n, uint8_t *out)
{
    for (int i = 0; i < n; i++, in += 4, out += 3)
        for (int c = 0; c < 3; c++) {
            int v = in[3] - times(255 - in[c], in[3]);
            out[c] = (uint8_t)(v < 0 ? 0 : v);
        }
}

static void jpeg_rows(jpeg_state *j, so_image *image)
{
    struct jpeg_decompress_struct *info = &j->info;
    while (info->output_scanline < info->output_height) {
        uint8_t *row = image->rgb + (size_t)info->output_scanline * (size_t)image->w * 3;
        JSAMPROW target = j->line ? j->line : row;
        if (jpeg_read_scanlines(info, &target, 1) != 1) break;
        if (j->line) cmyk_to_rgb(j->line, image->w, row);
    }
}

static int jpeg_orientation(const struct jpeg_decompress_struct *info)
{
    for (jpeg_saved_marker_ptr m = info->marker_list; m; m = m->next)
        if (m->marker == JPEG_APP0 + 1 && m->data_length > 6 && !memcmp(m->data, "Exif\0\0", 6))
            return exif_orientation(m->data + 6, m->data_length - 6);
    return 1;
}

/* Everything that may jump; the caller cleans up. */
static so_status jpeg_body(jpeg_state *j, const source *s, so_image *out, int *orientation)
{
    struct jpeg_decompress_struct *info = &j->info;
    if (setjmp(j->escape)) return j->status;
    jpeg_mem_src(info, s->data, (unsigned long)s->size);
    jpeg_save_markers(info, JPEG_APP0 + 1, 0xffff);
    jpeg_read_header(info, TRUE);
    SO_TRY(check_size(s, info->image_width, info->image_height, j->error));
    *orientation = jpeg_orientation(info);
    bool cmyk = info->jpeg_color_space == JCS_CMYK || info->jpeg_color_space == JCS_YCCK;
    info->out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
    info->dct_method = JDCT_ISLOW;
    info->do_fancy_upsampling = TRUE;
    SO_TRY(so_image_init(out, (int)info->image_width, (int)info->image_height, j->error));
    if (cmyk && !(j->line = malloc((size_t)out->w * 4)))
        return so_fail(j->error, SO_ERR_NOMEM, "a row of %d pixels", out->w);
    jpeg_start_decompress(info);
    jpeg_rows(j, out);
    jpeg_finish_decompress(info);
    return SO_OK;
}

static so_status decode_jpeg(so_image *out, const source *s, so_error *error)
{
    jpeg_state j = {.error = error};
    int orientation = 1;
    j.info.err = jpeg_std_error(&j.errors);
    j.errors.error_exit = jpeg_stop;
    j.errors.emit_message = jpeg_message;
    j.info.client_data = &j;
    if (setjmp(j.escape)) return j.status;
    jpeg_create_decompress(&j.info);
    j.progress.progress_monitor = jpeg_watch;
    j.info.progress = &j.progress;
    so_status status = jpeg_body(&j, s, out, &orientation);
    jpeg_destroy_decompress(&j.info);
    free(j.line);
    if (status == SO_OK) status = orient(out, orientation, error);
    return status;
}

/* RGBA, in place, to RGB on white; the memory given back. */
static uint8_t *flatten(uint8_t *rgba, size_t pixels)
{
    for (size_t i = 0; i < pixels; i++) {
        const uint8_t *p = rgba + i * 4;
        int a = p[3];
        uint8_t rgb[3];
        for (int c = 0; c < 3; c++) rgb[c] = (uint8_t)((p[c] * a + 255 * (255 - a) + 127) / 255);
        memcpy(rgba + i * 3, rgb, 3);
    }
    uint8_t *rgb = realloc(rgba, pixels * 3);
    return rgb ? rgb : rgba;
}

static bool png_has_alpha(spng_ctx *png, const struct spng_ihdr *header)
{
    struct spng_trns trns;
    return header->color_type == SPNG_COLOR_TYPE_GRAYSCALE_ALPHA ||
           header->color_type == SPNG_COLOR_TYPE_TRUECOLOR_ALPHA || spng_get_trns(png, &trns) == 0;
}

static so_status png_body(spng_ctx *png, so_image *out, const source *s, so_error *error)
{
    struct spng_ihdr header;
    size_t bytes;
    spng_set_image_limits(png, SO_IMAGE_MAX_SIDE, SO_IMAGE_MAX_SIDE);
    spng_set_chunk_limits(png, MAX_CHUNK, MAX_CHUNK);
    int failed = spng_set_png_buffer(png, s->data, s->size);
    if (!failed) failed = spng_get_ihdr(png, &header);
    if (failed) return so_fail(error, SO_ERR_FORMAT, "PNG: %s", spng_strerror(failed));
    SO_TRY(check_size(s, header.width, header.height, error));
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
    if (alpha) out->rgb = flatten(out->rgb, (size_t)out->w * (size_t)out->h);
    struct spng_exif exif;
    if (spng_get_exif(png, &exif) != 0) return SO_OK;
    return orient(out, exif_orientation((const unsigned char *)exif.data, exif.length), error);
}

static so_status decode_png(so_image *out, const source *s, so_error *error)
{
    spng_ctx *png = spng_ctx_new(0);
    if (!png) return so_fail(error, SO_ERR_NOMEM, "a PNG reader");
    so_status status = png_body(png, out, s, error);
    spng_ctx_free(png);
    return status;
}

static so_status decode_webp(so_image *out, const source *s, so_error *error)
{
    WebPBitstreamFeatures about;
    if (WebPGetFeatures(s->data, s->size, &about) != VP8_STATUS_OK)
        return so_fail(error, SO_ERR_FORMAT, "WebP: damaged header");
    if (about.has_animation) return so_fail(error, SO_ERR_UNSUPPORTED, "an animated WebP, expected a still picture");
    SO_TRY(check_size(s, about.width, about.height, error));
    size_t pixels = (size_t)about.width * (size_t)about.height, channels = about.has_alpha ? 4 : 3;
    out->rgb = malloc(pixels * channels);
    if (!out->rgb) return so_fail(error, SO_ERR_NOMEM, "a picture of %d x %d pixels", about.width, about.height);
    out->w = about.width;
    out->h = about.height;
    int stride = about.width * (int)channels;
    if (!(about.has_alpha ? WebPDecodeRGBAInto : WebPDecodeRGBInto)(s->data, s->size, out->rgb, pixels * channels,
                                                                    stride))
        return so_fail(error, SO_ERR_FORMAT, "WebP: truncated or damaged");
    if (about.has_alpha) out->rgb = flatten(out->rgb, pixels);
    return SO_OK;
}

/* The next number of a PNM header, after blanks and comments; -1 when there is none. */
static int pnm_number(const source *s, size_t *at)
{
    for (bool comment = false; *at < s->size; (*at)++) {
        int c = s->data[*at];
        comment = comment ? c != '\n' : c == '#';
        if (!comment && (c < 9 || c > 13) && c != ' ') break;
    }
    int value = -1;
    for (; *at < s->size && s->data[*at] >= '0' && s->data[*at] <= '9'; (*at)++) {
        int digit = s->data[*at] - '0';
        value = value < 0 ? digit : value < 1000000 ? value * 10 + digit : value;
    }
    return value;
}

static so_status decode_pnm(so_image *out, const source *s, so_error *error)
{
    size_t at = 2, channels = s->data[1] == '6' ? 3 : 1;
    int w = pnm_number(s, &at), h = pnm_number(s, &at), most = pnm_number(s, &at);
    if (most < 1 || most > 65535 || at >= s->size) return so_fail(error, SO_ERR_FORMAT, "PNM: damaged header");
    SO_TRY(check_size(s, w, h, error));
    at++;
    size_t deep = most > 255 ? 2 : 1, values = (size_t)w * (size_t)h * channels;
    if ((s->size - at) / deep < values)
        return so_fail(error, SO_ERR_FORMAT, "truncated PNM: %zu values expected, %zu found", values,
                       (s->size - at) / deep);
    SO_TRY(so_image_init(out, w, h, error));
    const unsigned char *p = s->data + at;
    for (size_t i = 0; i < values; i++, p += deep) {
        int v = deep == 2 ? p[0] << 8 | p[1] : p[0];
        if (v > most) v = most;
        uint8_t value = (uint8_t)((v * 255 + most / 2) / most);
        if (channels == 3)
            out->rgb[i] = value;
        else
            memset(out->rgb + i * 3, value, 3);
    }
    return SO_OK;
}

so_status so_image_decode(so_image *out, const void *data, size_t size, int64_t max_pixels, so_error *error)
{
    source s = {data, size, max_pixels > 0 && max_pixels < SO_IMAGE_MAX_PIXELS ? max_pixels : SO_IMAGE_MAX_PIXELS};
    const unsigned char *p = data;
    so_status status;
    memset(out, 0, sizeof *out);
    if (size == 0) return so_fail(error, SO_ERR_FORMAT, "the picture file is empty");
    if (size >= 3 && !memcmp(p, "\xff\xd8\xff", 3))
        status = decode_jpeg(out, &s, error);
    else if (size >= 8 && !memcmp(p, "\x89PNG\r\n\x1a\n", 8))
        status = decode_png(out, &s, error);
    else if (size >= 12 && !memcmp(p, "RIFF", 4) && !memcmp(p + 8, "WEBP", 4))
        status = decode_webp(out, &s, error);
    else if (size >= 3 && p[0] == 'P' && (p[1] == '5' || p[1] == '6'))
        status = decode_pnm(out, &s, error);
    else
        status =
            so_fail(error, SO_ERR_UNSUPPORTED, "not a picture that can be read, expected JPEG, PNG, WebP, PPM or PGM");
    if (status != SO_OK) so_image_clear(out);
    return status;
}

so_status so_image_read(so_image *out, const char *path, int64_t max_pixels, so_error *error)
{
    so_map map;
    memset(out, 0, sizeof *out);
    SO_TRY(so_map_open(&map, path, error));
    so_status status = so_image_decode(out, map.data, map.size, max_pixels, error);
    so_map_close(&map);
    if (status != SO_OK) so_fail_in(error, "%s", path);
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
