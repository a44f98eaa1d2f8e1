/* Picture files: which of the readers gets the bytes, JPEG, orientation. Libraries decode; the limits are set before
 * they take memory. SPDX-License-Identifier: Apache-2.0 */
#include "media/image_decode.h"

#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

#include "base/file.h"
#include "base/guess.h"

enum { MAX_JPEG_SCANS = 64 };

so_status so_image_allow(const so_image_source *s, int64_t w, int64_t h, so_error *error)
{
    if (w < 1 || h < 1)
        return so_fail(error, SO_ERR_FORMAT, "a picture of %lld x %lld pixels", (long long)w, (long long)h);
    if (w > SO_IMAGE_MAX_SIDE || h > SO_IMAGE_MAX_SIDE || w * h > s->max_pixels)
        return so_fail(error, SO_ERR_LIMIT,
                       "a picture of %lld x %lld pixels, expected sides up to %d and %lld pixels in all", (long long)w,
                       (long long)h, SO_IMAGE_MAX_SIDE, (long long)s->max_pixels);
    return SO_OK;
}

int so_image_exif(const unsigned char *p, size_t size)
{
    if (size >= 6 && !memcmp(p, "Exif\0\0", 6)) {
        p += 6;
        size -= 6;
    }
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

so_status so_image_orient(so_image *image, int orientation, so_error *error)
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
    out.frames = image->frames;
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
            return so_image_exif(m->data, m->data_length);
    return 1;
}

/* Everything that may jump; the caller cleans up. */
static so_status jpeg_body(jpeg_state *j, const so_image_source *s, so_image *out, int *orientation)
{
    struct jpeg_decompress_struct *info = &j->info;
    if (setjmp(j->escape)) return j->status;
    jpeg_mem_src(info, s->data, (unsigned long)s->size);
    jpeg_save_markers(info, JPEG_APP0 + 1, 0xffff);
    jpeg_read_header(info, TRUE);
    SO_TRY(so_image_allow(s, info->image_width, info->image_height, j->error));
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

static so_status decode_jpeg(so_image *out, const so_image_source *s, so_error *error)
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
    if (status == SO_OK) status = so_image_orient(out, orientation, error);
    return status;
}

uint8_t *so_image_flatten(uint8_t *rgba, size_t pixels)
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

static bool begins(const so_image_source *s, size_t at, const char *bytes, size_t n)
{
    return s->size >= at + n && !memcmp(s->data + at, bytes, n);
}

static bool is_pnm(const so_image_source *s)
{
    const unsigned char *p = s->data;
    return s->size >= 3 && p[0] == 'P' && p[1] >= '1' && p[1] <= '7' &&
           (p[2] == ' ' || p[2] == '#' || (p[2] >= 9 && p[2] <= 13));
}

/* An ISO file whose brand, or one of the first that it is compatible with, is one of pictures. */
static bool is_heif(const so_image_source *s)
{
    static const char brands[] = "heic heix heim heis hevc hevx mif1 mif2 msf1 avif avis";
    if (!begins(s, 4, "ftyp", 4)) return false;
    for (size_t at = 8; at + 4 <= s->size && at < 64; at += at == 8 ? 8 : 4)
        for (size_t i = 0; i + 4 < sizeof brands; i += 5)
            if (!memcmp(s->data + at, brands + i, 4)) return true;
    return false;
}

static so_status decode_any(so_image *out, const so_image_source *s, so_error *error)
{
    if (begins(s, 0, "\xff\xd8\xff", 3)) return decode_jpeg(out, s, error);
    if (begins(s, 0, "\x89PNG\r\n\x1a\n", 8)) return so_image_decode_png(out, s, error);
    if (begins(s, 0, "RIFF", 4) && begins(s, 8, "WEBP", 4)) return so_image_decode_webp(out, s, error);
    if (begins(s, 0, "GIF87a", 6) || begins(s, 0, "GIF89a", 6)) return so_image_decode_gif(out, s, error);
    if (begins(s, 0, "BM", 2)) return so_image_decode_bmp(out, s, error);
    if (begins(s, 0, "II*\0", 4) || begins(s, 0, "MM\0*", 4) || begins(s, 0, "II+\0", 4) || begins(s, 0, "MM\0+", 4))
        return so_image_decode_tiff(out, s, error);
    if (is_pnm(s)) return so_image_decode_pnm(out, s, error);
    if (is_heif(s)) return so_image_decode_heif(out, s, error);
    const char *what = so_guess(s->data, s->size);
    return so_fail(error, SO_ERR_UNSUPPORTED,
                   "%s, expected a picture: JPEG, PNG, WebP, GIF, BMP, TIFF, PNM, HEIC or AVIF (other forms: convert "
                   "them to PNG first)",
                   what ? what : "not a picture that can be read");
}

so_status so_image_decode(so_image *out, const void *data, size_t size, int64_t max_pixels, so_error *error)
{
    so_image_source s = {data, size,
                         max_pixels > 0 && max_pixels < SO_IMAGE_MAX_PIXELS ? max_pixels : SO_IMAGE_MAX_PIXELS};
    memset(out, 0, sizeof *out);
    if (size == 0) return so_fail(error, SO_ERR_FORMAT, "the picture file is empty");
    so_status status = decode_any(out, &s, error);
    if (status != SO_OK)
        so_image_clear(out);
    else if (out->frames < 1)
        out->frames = 1;
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
