/* Windows and OS/2 bitmaps: 1 to 32 bits a pixel, run lengths of 4 and 8 bits, bit fields, headers of every length.
 *
 * Alpha counts where bit fields name it and not every pixel of it is 0 (many programs leave it 0 for "no alpha").
 * Source: Microsoft's pages on BITMAPFILEHEADER, BITMAPINFOHEADER, BITMAPV4HEADER, BITMAPV5HEADER and bitmap
 * compression. SPDX-License-Identifier: Apache-2.0 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "media/image_decode.h"

enum { FILE_HEAD = 14, RLE8 = 1, RLE4 = 2, FIELDS = 3, ALPHA_FIELDS = 6 };

typedef struct bitmap {
    const unsigned char *data;
    size_t size, pixels_at;
    int64_t w, h;
    int bits, way; /* a pixel; how they are packed */
    bool top_down;
    uint32_t mask[4]; /* red, green, blue, alpha */
    uint8_t palette[256][3];
    int colours;
} bitmap;

static uint32_t u16(const unsigned char *p) { return (uint32_t)p[0] | (uint32_t)p[1] << 8; }
static uint32_t u32(const unsigned char *p) { return u16(p) | u16(p + 2) << 16; }

static so_status damaged(so_error *error) { return so_fail(error, SO_ERR_FORMAT, "BMP: damaged header"); }

/* Sizes and packing from any of the headers, which begin alike. */
static so_status read_info(bitmap *b, uint32_t head, so_error *error)
{
    const unsigned char *p = b->data + FILE_HEAD;
    uint32_t planes;
    if (head == 12) {
        b->w = u16(p + 4);
        b->h = (int16_t)u16(p + 6);
        planes = u16(p + 8);
        b->bits = (int)u16(p + 10);
    } else {
        b->w = (int32_t)u32(p + 4);
        b->h = (int32_t)u32(p + 8);
        planes = u16(p + 12);
        b->bits = (int)u16(p + 14);
        b->way = head >= 20 ? (int)(u32(p + 16) & 0x7fffffff) : 0;
    }
    b->top_down = b->h < 0;
    if (b->top_down) b->h = -b->h;
    bool depth =
        b->bits == 1 || b->bits == 2 || b->bits == 4 || b->bits == 8 || b->bits == 16 || b->bits == 24 || b->bits == 32;
    bool run = b->way == RLE8 || b->way == RLE4, fields = b->way == FIELDS || b->way == ALPHA_FIELDS;
    if (planes != 1 || !depth) return damaged(error);
    if ((head == 64 && b->way > 2) || (b->way && !run && !fields))
        return so_fail(error, SO_ERR_UNSUPPORTED, "BMP of compression %d, expected none, run lengths or bit fields",
                       b->way);
    if ((run && (b->top_down || b->bits != (b->way == RLE8 ? 8 : 4))) || (fields && b->bits != 16 && b->bits != 32))
        return so_fail(error, SO_ERR_FORMAT, "BMP of compression %d with %d bits a pixel", b->way, b->bits);
    return SO_OK;
}

static void default_masks(bitmap *b)
{
    static const uint32_t five[] = {0x7c00, 0x3e0, 0x1f, 0}, eight[] = {0xff0000, 0xff00, 0xff, 0};
    memcpy(b->mask, b->bits == 16 ? five : eight, sizeof b->mask);
}

/* Masks stand in the header, or behind one that is too short for them. A mask is one run of bits. */
static so_status read_masks(bitmap *b, uint32_t head, so_error *error)
{
    int n = b->way == ALPHA_FIELDS || head >= 56 ? 4 : 3;
    size_t at = FILE_HEAD + 40;
    if (at + (size_t)n * 4 > b->size) return damaged(error);
    for (int i = 0; i < n; i++) b->mask[i] = u32(b->data + at + (size_t)i * 4);
    for (int i = 0; i < 4; i++) {
        uint32_t m = b->mask[i], low = m & (0u - m);
        bool run = m == 0 || ((m + low) & m) == 0, fits = b->bits == 32 || m < 0x10000;
        if (!run || !fits || (i < 3 && m == 0))
            return so_fail(error, SO_ERR_FORMAT, "BMP: the bits of channel %d are 0x%x", i, m);
    }
    return SO_OK;
}

/* The palette lies behind the header and its masks, and before the pixels. */
static so_status read_palette(bitmap *b, uint32_t head, so_error *error)
{
    size_t entry = head == 12 ? 3 : 4, at = FILE_HEAD + (size_t)head;
    if (b->bits > 8) return SO_OK;
    int64_t used = head >= 36 ? (int64_t)u32(b->data + FILE_HEAD + 32) : 0, room = 1 << b->bits;
    if (used < 1 || used > room) used = room;
    int64_t fit = b->pixels_at > at ? (int64_t)((b->pixels_at - at) / entry) : 0;
    if (used > fit) used = fit;
    if (used < 1) return so_fail(error, SO_ERR_FORMAT, "BMP of %d bits a pixel without a palette", b->bits);
    b->colours = (int)used;
    for (int i = 0; i < b->colours; i++, at += entry)
        for (int c = 0; c < 3; c++) b->palette[i][c] = b->data[at + 2 - (size_t)c];
    return SO_OK;
}

static so_status read_head(bitmap *b, const so_image_source *s, so_error *error)
{
    if (b->size < FILE_HEAD + 12) return damaged(error);
    uint32_t head = u32(b->data + FILE_HEAD);
    bool known = head == 12 || head == 16 || (head >= 40 && head <= 124);
    if (!known || b->size < FILE_HEAD + (size_t)head) return damaged(error);
    b->pixels_at = u32(b->data + 10);
    SO_TRY(read_info(b, head, error));
    SO_TRY(so_image_allow(s, b->w, b->h, error));
    default_masks(b);
    if (b->way == FIELDS || b->way == ALPHA_FIELDS) SO_TRY(read_masks(b, head, error));
    if (b->pixels_at > b->size) return so_fail(error, SO_ERR_FORMAT, "truncated BMP: no pixels in %zu bytes", b->size);
    return read_palette(b, head, error);
}

static void put_index(const bitmap *b, int index, uint8_t *out)
{
    static const uint8_t black[3];
    memcpy(out, index < b->colours ? b->palette[index] : black, 3);
}

/* ---- packed rows */

static int channel(uint32_t pixel, uint32_t mask)
{
    int low = __builtin_ctz(mask);
    uint64_t most = mask >> low;
    return (int)((uint64_t)((pixel & mask) >> low) * 255 / most);
}

static void deep_row(const bitmap *b, const unsigned char *p, uint8_t *out, uint8_t *alpha)
{
    for (int64_t x = 0; x < b->w; x++, out += 3) {
        if (b->bits == 24) {
            for (int c = 0; c < 3; c++) out[c] = p[3 * x + 2 - c];
            continue;
        }
        uint32_t pixel = b->bits == 16 ? u16(p + 2 * x) : u32(p + 4 * x);
        for (int c = 0; c < 3; c++) out[c] = (uint8_t)channel(pixel, b->mask[c]);
        if (alpha) alpha[x] = (uint8_t)channel(pixel, b->mask[3]);
    }
}

static void palette_row(const bitmap *b, const unsigned char *p, uint8_t *out)
{
    for (int64_t x = 0; x < b->w; x++, out += 3) {
        int64_t bit = x * b->bits;
        int index = p[bit / 8] >> (8 - b->bits - bit % 8) & ((1 << b->bits) - 1);
        put_index(b, index, out);
    }
}

static so_status read_rows(const bitmap *b, so_image *out, uint8_t *alpha, so_error *error)
{
    size_t stride = ((size_t)b->w * (size_t)b->bits + 31) / 32 * 4, left = b->size - b->pixels_at;
    size_t last = ((size_t)b->w * (size_t)b->bits + 7) / 8, need = stride * (size_t)(b->h - 1) + last;
    if (left < need)
        return so_fail(error, SO_ERR_FORMAT, "truncated BMP: %zu bytes of pixels expected, %zu found", need, left);
    for (int64_t y = 0; y < b->h; y++) {
        const unsigned char *p = b->data + b->pixels_at + stride * (size_t)y;
        size_t row = (size_t)(b->top_down ? y : b->h - 1 - y) * (size_t)b->w;
        if (b->bits <= 8)
            palette_row(b, p, out->rgb + row * 3);
        else
            deep_row(b, p, out->rgb + row * 3, alpha ? alpha + row : NULL);
    }
    return SO_OK;
}

static void lay_on_white(so_image *image, const uint8_t *alpha)
{
    size_t n = (size_t)image->w * (size_t)image->h;
    bool any = false;
    for (size_t i = 0; i < n && !any; i++) any = alpha[i] != 0;
    for (size_t i = 0; i < 3 * n && any; i++) {
        int a = alpha[i / 3];
        image->rgb[i] = (uint8_t)((image->rgb[i] * a + 255 * (255 - a) + 127) / 255);
    }
}

/* ---- run lengths */

typedef struct pen {
    int64_t x, y;
    uint8_t *index; /* [h, w], the first row is the lowest */
} pen;

static void dot(const bitmap *b, pen *at, int index)
{
    if (at->x < b->w && at->y < b->h) at->index[at->y * b->w + at->x] = (uint8_t)index;
    at->x++;
}

/* `n` pixels from bytes of one or two indices each; a run has one byte for all. */
static void dots(const bitmap *b, pen *at, const unsigned char *p, int n, bool run)
{
    for (int i = 0; i < n; i++) {
        int byte = b->bits == 8 ? p[run ? 0 : i] : p[run ? 0 : i / 2];
        dot(b, at, b->bits == 8 ? byte : i % 2 ? byte & 15 : byte >> 4);
    }
}

/* False when the data stops before the picture's end. */
static bool read_runs(const bitmap *b, pen *at)
{
    const unsigned char *p = b->data + b->pixels_at, *end = b->data + b->size;
    while (end - p >= 2) {
        int n = p[0], what = p[1];
        p += 2;
        if (n) {
            dots(b, at, p - 1, n, true);
        } else if (what == 0) {
            at->x = 0;
            at->y++;
        } else if (what == 1) {
            return true;
        } else if (what == 2) {
            if (end - p < 2) return false;
            at->x += p[0];
            at->y += p[1];
            p += 2;
        } else {
            int bytes = b->bits == 8 ? what : (what + 1) / 2;
            if (end - p < bytes) return false;
            dots(b, at, p, what, false);
            p += bytes + bytes % 2;
        }
        if (at->y >= b->h) return true;
    }
    return at->y == b->h - 1 && at->x >= b->w;
}

static so_status read_run_lengths(const bitmap *b, so_image *out, so_error *error)
{
    pen at = {.index = calloc((size_t)b->h, (size_t)b->w)};
    if (!at.index) return so_fail(error, SO_ERR_NOMEM, "%lld x %lld pixels", (long long)b->w, (long long)b->h);
    bool whole = read_runs(b, &at);
    for (int64_t y = 0; y < b->h && whole; y++)
        for (int64_t x = 0; x < b->w; x++)
            put_index(b, at.index[(b->h - 1 - y) * b->w + x], out->rgb + (y * b->w + x) * 3);
    free(at.index);
    return whole ? SO_OK
                 : so_fail(error, SO_ERR_FORMAT, "truncated BMP: the run lengths stop in row %lld of %lld",
                           (long long)at.y + 1, (long long)b->h);
}

so_status so_image_decode_bmp(so_image *out, const so_image_source *s, so_error *error)
{
    bitmap b = {.data = s->data, .size = s->size};
    SO_TRY(read_head(&b, s, error));
    SO_TRY(so_image_init(out, (int)b.w, (int)b.h, error));
    if (b.way == RLE8 || b.way == RLE4) return read_run_lengths(&b, out, error);
    uint8_t *alpha = b.bits > 8 && b.mask[3] ? malloc((size_t)b.w * (size_t)b.h) : NULL;
    if (b.bits > 8 && b.mask[3] && !alpha) return so_fail(error, SO_ERR_NOMEM, "%d x %d pixels", out->w, out->h);
    so_status status = read_rows(&b, out, alpha, error);
    if (status == SO_OK && alpha) lay_on_white(out, alpha);
    free(alpha);
    return status;
}
