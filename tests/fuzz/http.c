/* Fuzzes heads, chunks, paths and base64; pieces must make no difference.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "net/base64.h"
#include "net/http.h"

/* The first byte says where the rest is cut. */
static size_t cut_of(const uint8_t *data, size_t size) { return size > 1 ? data[0] % size : 0; }

static int64_t head(const char *text, size_t size, size_t cut)
{
    so_http_refusal refusal = {0, NULL};
    size_t seen = 0;
    int64_t end = 0;
    if (cut) end = so_http_head_end(text, cut, &seen, &refusal);
    if (end == 0) end = so_http_head_end(text, size, &seen, &refusal);
    return end < 0 ? -refusal.status : end;
}

static void read_head(char *text, size_t size, size_t cut)
{
    int64_t end = head(text, size, 0), other = head(text, size, cut);
    so_http_refusal refusal;
    so_http_head h;
    char path[256], value[64];
    const char *query;
    if (end != other) abort();
    if (end <= 0 || !so_http_head_read(text, (size_t)end, &h, &refusal)) return;
    if (h.fields > SO_HTTP_FIELDS_MOST || (h.chunked && h.length >= 0) || h.length < -1) abort();
    for (int i = 0; i < h.fields; i++)
        if (!h.field[i].name[0] || strpbrk(h.field[i].value, "\r\n")) abort();
    if (so_http_path(h.target, path, sizeof path, &query)) {
        if (strstr(path, "/../") || strlen(path) >= sizeof path) abort();
        so_http_query(query, "model", value, sizeof value);
    }
}

static int chunks(const char *text, size_t size, size_t cut, size_t *length)
{
    so_http_chunks c = {0};
    so_http_refusal refusal;
    *length = 0;
    for (size_t at = 0; at < size && !c.done;) {
        const char *piece;
        size_t n, most = at < cut ? cut - at : size - at;
        int64_t used = so_http_chunks_feed(&c, text + at, most, &piece, &n, &refusal);
        if (used < 0) return -1;
        if (piece < text || piece + n > text + size) abort();
        *length += n;
        at += (size_t)used;
    }
    return c.done;
}

static void read_base64(const char *text, size_t size, size_t cut)
{
    unsigned char *out = malloc(size + 8);
    so_base64 whole = {0}, pieces = {0};
    size_t n, first = 0, second = 0;
    if (!out) return;
    bool good = so_base64_feed(&whole, text, size, out, &n);
    bool same = so_base64_feed(&pieces, text, cut, out, &first) &&
                so_base64_feed(&pieces, text + cut, size - cut, out + first, &second);
    if (good != same || (good && n != first + second) || n > size / 4 * 3 + 3) abort();
    if (good && so_base64_end(&whole) != so_base64_end(&pieces)) abort();
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t cut = cut_of(data, size), a, b;
    if (size < 2) return 0;
    char *text = malloc(size);
    if (!text) return 0;
    memcpy(text, data + 1, size - 1);
    text[--size] = 0;
    if (cut > size) cut = size;
    if (chunks(text, size, 0, &a) != chunks(text, size, cut, &b) || a != b) abort();
    read_base64(text, size, cut);
    read_head(text, size, cut);
    free(text);
    return 0;
}
