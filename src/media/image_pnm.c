/* Netpbm's pictures: PBM, PGM and PPM as text (P1 to P3) and bytes (P4 to P6), PAM (P7); up to 16 bits a value.
 * Source: the format pages of Netpbm (pbm, pgm, ppm, pam).
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "media/image_decode.h"

enum { MOST_VALUE = 65535, MOST_LINE = 256 };

typedef struct reader {
    const unsigned char *data;
    size_t at, size;
} reader;

typedef struct head {
    int w, h, most, channels; /* 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha */
    bool text, bits;          /* numbers written out; one bit a pixel, 1 is black */
} head;

/* Steps over blanks, and comments from # to the end of a line. */
static void skip_blanks(reader *r)
{
    for (bool comment = false; r->at < r->size; r->at++) {
        int c = r->data[r->at];
        comment = comment ? c != '\n' && c != '\r' : c == '#';
        if (!comment && (c < 9 || c > 13) && c != ' ') break;
    }
}

/* The next number, -1 when there is none; beyond a million it is cut to something as large. */
static int number(reader *r)
{
    int value = -1;
    skip_blanks(r);
    for (; r->at < r->size && r->data[r->at] >= '0' && r->data[r->at] <= '9'; r->at++) {
        int digit = r->data[r->at] - '0';
        value = value < 0 ? digit : value < 1000000 ? value * 10 + digit : value;
    }
    return value;
}

/* One pixel of P1, where digits need no blanks between them. */
static int bit(reader *r)
{
    skip_blanks(r);
    if (r->at >= r->size || (r->data[r->at] != '0' && r->data[r->at] != '1')) return -1;
    return r->data[r->at++] - '0';
}

/* A line of a PAM header without its end; false when the data stops before one. */
static bool next_line(reader *r, char line[MOST_LINE])
{
    const unsigned char *begin = r->data + r->at, *end = memchr(begin, '\n', r->size - r->at);
    if (!end || end - begin >= MOST_LINE) return false;
    memcpy(line, begin, (size_t)(end - begin));
    line[end - begin] = 0;
    r->at += (size_t)(end - begin) + 1;
    return true;
}

/* "WIDTH 12" into *value when the line's first word is the key. */
static void take(const char *line, const char *key, int *value)
{
    size_t n = strlen(key);
    if (strncmp(line, key, n) != 0 || (line[n] != ' ' && line[n] != '\t')) return;
    char *end;
    long given = strtol(line + n, &end, 10);
    *value = end == line + n || given < 0 || given > 1000000 ? -1 : (int)given;
}

static so_status pam_head(reader *r, head *h, so_error *error)
{
    char line[MOST_LINE];
    for (int lines = 0; lines < 1000 && next_line(r, line); lines++) {
        if (strcmp(line, "ENDHDR") != 0) {
            take(line, "WIDTH", &h->w);
            take(line, "HEIGHT", &h->h);
            take(line, "DEPTH", &h->channels);
            take(line, "MAXVAL", &h->most);
            continue;
        }
        if (h->most >= 1 && h->most <= MOST_VALUE && h->channels >= 1 && h->channels <= 4) return SO_OK;
        return so_fail(error, SO_ERR_FORMAT, "PAM of %d channels up to %d, expected 1 to 4 up to %d", h->channels,
                       h->most, MOST_VALUE);
    }
    return so_fail(error, SO_ERR_FORMAT, "PAM: damaged header");
}

static so_status read_head(reader *r, head *h, so_error *error)
{
    int kind = r->data[1] - '0';
    *h = (head){.w = -1, .h = -1, .most = -1, .channels = kind == 3 || kind == 6 ? 3 : 1, .text = kind <= 3};
    h->bits = kind == 1 || kind == 4;
    r->at = 2;
    if (kind == 7) {
        char line[MOST_LINE];
        h->channels = -1;
        if (next_line(r, line)) return pam_head(r, h, error);
        return so_fail(error, SO_ERR_FORMAT, "PAM: damaged header");
    }
    h->w = number(r);
    h->h = number(r);
    h->most = h->bits ? 1 : number(r);
    if (h->most < 1 || h->most > MOST_VALUE || r->at >= r->size)
        return so_fail(error, SO_ERR_FORMAT, "PNM: damaged header");
    if (!h->text) r->at++; /* one blank, whatever comes then */
    return SO_OK;
}

/* What is left must be able to hold the picture, before memory for it is taken. */
static so_status check_left(const reader *r, const head *h, so_error *error)
{
    size_t w = (size_t)h->w, rows = (size_t)h->h, left = r->size - r->at, need;
    if (h->bits)
        need = h->text ? w * rows : (w + 7) / 8 * rows;
    else
        need = w * rows * (size_t)h->channels * (h->text || h->most < 256 ? 1 : 2);
    if (left >= need) return SO_OK;
    return so_fail(error, SO_ERR_FORMAT, "truncated PNM: at least %zu bytes expected, %zu found", need, left);
}

static uint8_t scale(int value, int most)
{
    if (value > most) value = most;
    return (uint8_t)((value * 255 + most / 2) / most);
}

/* One row as values of a byte each, [w * channels]; false when the data stops. */
static bool read_row(reader *r, const head *h, uint8_t *row)
{
    int n = h->w * h->channels;
    if (h->bits && !h->text) {
        const unsigned char *p = r->data + r->at;
        for (int i = 0; i < n; i++) row[i] = p[i / 8] >> (7 - i % 8) & 1 ? 0 : 255;
        r->at += (size_t)(n + 7) / 8;
        return true;
    }
    for (int i = 0; i < n; i++) {
        int value;
        if (h->text) {
            value = h->bits ? bit(r) : number(r);
            if (value < 0) return false;
            if (h->bits) value = !value;
        } else {
            value = h->most < 256 ? r->data[r->at] : r->data[r->at] << 8 | r->data[r->at + 1];
            r->at += h->most < 256 ? 1 : 2;
        }
        row[i] = scale(value, h->most);
    }
    return true;
}

static void put_row(const uint8_t *row, const head *h, uint8_t *out)
{
    int c = h->channels, alpha = c % 2 == 0;
    for (int x = 0; x < h->w; x++, row += c, out += 3)
        for (int k = 0; k < 3; k++) {
            int v = row[c < 3 ? 0 : k], a = alpha ? row[c - 1] : 255;
            out[k] = (uint8_t)((v * a + 255 * (255 - a) + 127) / 255);
        }
}

so_status so_image_decode_pnm(so_image *out, const so_image_source *s, so_error *error)
{
    reader r = {s->data, 0, s->size};
    head h;
    SO_TRY(read_head(&r, &h, error));
    SO_TRY(so_image_allow(s, h.w, h.h, error));
    SO_TRY(check_left(&r, &h, error));
    SO_TRY(so_image_init(out, h.w, h.h, error));
    uint8_t *row = malloc((size_t)h.w * (size_t)h.channels);
    if (!row) return so_fail(error, SO_ERR_NOMEM, "a row of %d pixels", h.w);
    int y = 0;
    while (y < h.h && read_row(&r, &h, row)) {
        put_row(row, &h, out->rgb + (size_t)y * (size_t)h.w * 3);
        y++;
    }
    free(row);
    if (y < h.h) return so_fail(error, SO_ERR_FORMAT, "truncated PNM: row %d of %d is not whole", y + 1, h.h);
    return SO_OK;
}
