/* GIF: the first picture of the file, and how many there are.
 *
 * What the first picture leaves uncovered, and its transparent pixels, are white.
 * Source: GIF89a specification (1990); appendix F for the code lengths of LZW.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "media/image_decode.h"

enum { CODES = 4096, BLOCK_IMAGE = 0x2c, BLOCK_EXTENSION = 0x21, BLOCK_END = 0x3b, GRAPHIC = 0xf9 };

typedef struct gif {
    const unsigned char *data;
    size_t at, size;
    int w, h;
    const unsigned char *palette; /* of the file or of the picture; NULL: grey */
    int colours, transparent;     /* transparent: an index or -1 */
} gif;

static int u16(const unsigned char *p) { return p[0] | p[1] << 8; }

static bool has(const gif *g, size_t n) { return g->size - g->at >= n; }

/* Steps behind a chain of sub-blocks; false when the file stops in it. */
static bool skip_chain(gif *g)
{
    while (has(g, 1)) {
        size_t n = g->data[g->at++];
        if (!n) return true;
        if (!has(g, n)) break;
        g->at += n;
    }
    g->at = g->size;
    return false;
}

/* The palette that the packed byte announces, and stands behind it. */
static so_status take_palette(gif *g, int packed, so_error *error)
{
    if (!(packed & 0x80)) return SO_OK;
    int n = 2 << (packed & 7);
    if (!has(g, (size_t)n * 3)) return so_fail(error, SO_ERR_FORMAT, "truncated GIF: a palette of %d colours", n);
    g->palette = g->data + g->at;
    g->colours = n;
    g->at += (size_t)n * 3;
    return SO_OK;
}

static void take_extension(gif *g)
{
    int label = has(g, 1) ? g->data[g->at++] : 0;
    if (label == GRAPHIC && has(g, 5) && g->data[g->at] == 4) {
        const unsigned char *p = g->data + g->at + 1;
        g->transparent = p[0] & 1 ? p[3] : -1;
    }
    skip_chain(g);
}

/* ---- LZW */

typedef struct bits {
    gif *g;
    size_t left; /* bytes of the sub-block */
    uint32_t word;
    int n;
} bits;

/* The next code of so many bits, -1 at the end of the data. */
static int next_code(bits *b, int width)
{
    gif *g = b->g;
    while (b->n < width) {
        if (!b->left) {
            if (!has(g, 1) || !g->data[g->at]) return -1; /* the chain's end stays for whoever skips the chain */
            b->left = g->data[g->at++];
        }
        if (!has(g, 1)) return -1;
        b->word |= (uint32_t)g->data[g->at++] << b->n;
        b->n += 8;
        b->left--;
    }
    int code = (int)(b->word & ((1u << width) - 1));
    b->word >>= width;
    b->n -= width;
    return code;
}

typedef struct table {
    uint16_t before[CODES];
    uint8_t last[CODES], first[CODES];
    uint16_t length[CODES];
} table;

/* Writes the string of a code; what passes the end is dropped. */
static size_t spell(const table *t, int code, uint8_t *out, size_t room)
{
    size_t n = t->length[code];
    for (size_t i = n; i > 0; i--) {
        if (i - 1 < room) out[i - 1] = t->last[code];
        code = t->before[code];
    }
    return n < room ? n : room;
}

static void plant(table *t, int clear)
{
    for (int i = 0; i < clear; i++) {
        t->before[i] = 0;
        t->last[i] = t->first[i] = (uint8_t)i;
        t->length[i] = 1;
    }
}

static void join(table *t, int code, int before, int last)
{
    t->before[code] = (uint16_t)before;
    t->last[code] = (uint8_t)last;
    t->first[code] = t->first[before];
    t->length[code] = (uint16_t)(t->length[before] + 1);
}

/* Indices of a picture into out[n]; gives how many came. */
static size_t unpack(gif *g, table *t, uint8_t *out, size_t n)
{
    int least = g->data[g->at++];
    if (least < 1 || least > 8) return 0;
    int clear = 1 << least, end = clear + 1, next = end + 1, width = least + 1, before = -1;
    bits b = {.g = g};
    size_t done = 0;
    plant(t, clear);
    while (done < n) {
        int code = next_code(&b, width);
        if (code < 0 || code == end) break;
        if (code == clear) {
            next = end + 1;
            width = least + 1;
            before = -1;
            continue;
        }
        if (code > next || (before < 0 && code > clear)) break;
        if (before >= 0 && next < CODES) {
            join(t, next, before, t->first[code == next ? before : code]);
            next++;
        }
        if (code >= next) break;
        done += spell(t, code, out + done, n - done);
        before = code;
        if (next == 1 << width && width < 12) width++;
    }
    g->at += b.left < g->size - g->at ? b.left : g->size - g->at;
    return done;
}

/* ---- pictures */

typedef struct frame {
    int x, y, w, h;
    bool interlaced;
} frame;

/* Row number `i` of the data is which of the picture: every 8th from 0, from 4, every 4th from 2, every 2nd from 1. */
static int row_of(const frame *f, int i)
{
    static const int from[] = {0, 4, 2, 1}, step[] = {8, 8, 4, 2};
    for (int pass = 0; f->interlaced && pass < 4; pass++) {
        int rows = f->h > from[pass] ? (f->h - from[pass] + step[pass] - 1) / step[pass] : 0;
        if (i < rows) return from[pass] + i * step[pass];
        i -= rows;
    }
    return i;
}

static void put(const gif *g, const frame *f, const uint8_t *index, so_image *out)
{
    for (int i = 0; i < f->h; i++) {
        int y = row_of(f, i);
        uint8_t *p = out->rgb + ((size_t)(f->y + y) * (size_t)out->w + (size_t)f->x) * 3;
        for (int x = 0; x < f->w; x++, p += 3) {
            int k = *index++;
            if (k == g->transparent) continue;
            if (!g->palette)
                memset(p, k, 3);
            else if (k < g->colours)
                memcpy(p, g->palette + 3 * k, 3);
            else
                memset(p, 0, 3);
        }
    }
}

static so_status read_pixels(gif *g, const frame *f, so_image *out, so_error *error)
{
    size_t n = (size_t)f->w * (size_t)f->h;
    uint8_t *index = malloc(n);
    table *t = malloc(sizeof *t);
    so_status status = SO_OK;
    if (!index || !t) {
        status = so_fail(error, SO_ERR_NOMEM, "%d x %d pixels", f->w, f->h);
    } else {
        size_t found = unpack(g, t, index, n);
        if (found < n)
            status =
                so_fail(error, SO_ERR_FORMAT, "truncated or damaged GIF: %zu pixels expected, %zu found", n, found);
        else
            put(g, f, index, out);
    }
    free(index);
    free(t);
    return status;
}

static so_status read_first(gif *g, const so_image_source *s, so_image *out, so_error *error)
{
    if (!has(g, 9)) return so_fail(error, SO_ERR_FORMAT, "truncated GIF: no picture");
    const unsigned char *p = g->data + g->at;
    frame f = {u16(p), u16(p + 2), u16(p + 4), u16(p + 6), (p[8] & 0x40) != 0};
    g->at += 9;
    SO_TRY(take_palette(g, p[8], error));
    if (f.w < 1 || f.h < 1 || !has(g, 1)) return so_fail(error, SO_ERR_FORMAT, "GIF: a picture of %d x %d", f.w, f.h);
    int w = f.x + f.w > g->w ? f.x + f.w : g->w, h = f.y + f.h > g->h ? f.y + f.h : g->h;
    SO_TRY(so_image_allow(s, w, h, error));
    SO_TRY(so_image_init(out, w, h, error));
    memset(out->rgb, 255, (size_t)w * (size_t)h * 3);
    return read_pixels(g, &f, out, error);
}

static void skip_picture(gif *g)
{
    if (!has(g, 9)) return;
    int packed = g->data[g->at + 8];
    g->at += 9;
    size_t palette = packed & 0x80 ? (size_t)(2 << (packed & 7)) * 3 : 0;
    if (!has(g, palette + 1)) {
        g->at = g->size;
        return;
    }
    g->at += palette + 1;
    skip_chain(g);
}

so_status so_image_decode_gif(so_image *out, const so_image_source *s, so_error *error)
{
    gif g = {.data = s->data, .size = s->size, .at = 13, .transparent = -1};
    int pictures = 0;
    if (s->size < 13) return so_fail(error, SO_ERR_FORMAT, "truncated GIF: %zu bytes", s->size);
    g.w = u16(s->data + 6);
    g.h = u16(s->data + 8);
    SO_TRY(take_palette(&g, s->data[10], error));
    while (has(&g, 1)) {
        int block = g.data[g.at++];
        if (block == BLOCK_EXTENSION) {
            take_extension(&g);
        } else if (block == BLOCK_IMAGE) {
            if (pictures++) {
                skip_picture(&g);
                continue;
            }
            SO_TRY(read_first(&g, s, out, error));
            if (!skip_chain(&g)) break;
        } else if (block == BLOCK_END) {
            break;
        }
    }
    if (!pictures) return so_fail(error, SO_ERR_FORMAT, "GIF without a picture");
    out->frames = pictures;
    return SO_OK;
}
