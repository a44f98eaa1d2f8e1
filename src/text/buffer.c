/* Token ids and UTF-8.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/buffer.h"

#include <stdlib.h>
#include <string.h>

#include "base/grow.h"

so_status so_ids_add(so_ids *ids, const int32_t *from, size_t n, so_error *error)
{
    if (n == 0) return SO_OK;
    int32_t *grown = n > SIZE_MAX - ids->n ? NULL : so_grow_to(ids->data, &ids->capacity, ids->n + n, sizeof *grown);
    if (!grown) return so_fail(error, SO_ERR_NOMEM, "no memory for %zu ids after %zu", n, ids->n);
    ids->data = grown;
    memcpy(grown + ids->n, from, n * sizeof *from);
    ids->n += n;
    return SO_OK;
}

so_status so_ids_put(so_ids *ids, int32_t id, so_error *error) { return so_ids_add(ids, &id, 1, error); }

void so_ids_clear(so_ids *ids)
{
    free(ids->data);
    *ids = (so_ids){0};
}

int so_utf8_next(const char *bytes, size_t size, int32_t *c)
{
    const unsigned char *s = (const unsigned char *)bytes;
    unsigned lead = s[0], low = 0x80, high = 0xbf;
    int length;
    *c = -1;
    if (lead < 0x80) {
        *c = (int32_t)lead;
        return 1;
    }
    if (lead < 0xc2 || lead > 0xf4) return 1;
    length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    /* The second byte alone rules out overlong forms, surrogates and code points above 10FFFF. */
    if (lead == 0xe0) low = 0xa0;
    if (lead == 0xed) high = 0x9f;
    if (lead == 0xf0) low = 0x90;
    if (lead == 0xf4) high = 0x8f;
    int32_t value = (int32_t)(lead & (0xffu >> (length + 1)));
    for (int i = 1; i < length; i++) {
        if ((size_t)i == size) {
            *c = -2;
            return i;
        }
        if (s[i] < low || s[i] > high) return i;
        low = 0x80;
        high = 0xbf;
        value = value << 6 | (s[i] & 0x3f);
    }
    *c = value;
    return length;
}

int so_utf8_put(char out[4], int32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    int length = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (int i = length - 1; i > 0; i--, c >>= 6) out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)(0xf00u >> length | (unsigned)c);
    return length;
}

so_status so_utf8_add_lossy(so_string *text, const char *bytes, size_t size, so_error *error)
{
    size_t from = 0, at = 0;
    if (size == 0) return so_string_add(text, "", 0, error);
    while (at < size) {
        int32_t c;
        int length = so_utf8_next(bytes + at, size - at, &c);
        if (c < 0) {
            SO_TRY(so_string_add(text, bytes + from, at - from, error));
            SO_TRY(so_string_add(text, "\xef\xbf\xbd", 3, error));
            from = at + (size_t)length;
        }
        at += (size_t)length;
    }
    return so_string_add(text, bytes + from, at - from, error);
}

bool so_utf8_valid(const char *bytes, size_t size)
{
    for (size_t at = 0; at < size;) {
        int32_t c;
        uint64_t eight;
        if (size - at >= 8) {
            memcpy(&eight, bytes + at, 8);
            if (!(eight & 0x8080808080808080u)) {
                at += 8;
                continue;
            }
        }
        at += (size_t)so_utf8_next(bytes + at, size - at, &c);
        if (c < 0) return false;
    }
    return true;
}

bool so_is_space(int32_t c)
{
    return (c >= 9 && c <= 13) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

void so_strip(const char **bytes, size_t *size)
{
    int32_t c;
    while (*size) {
        int length = so_utf8_next(*bytes, *size, &c);
        if (!so_is_space(c)) break;
        *bytes += length;
        *size -= (size_t)length;
    }
    while (*size) {
        size_t start = *size - 1;
        while (start > 0 && *size - start < 4 && ((*bytes)[start] & 0xc0) == 0x80) start--;
        int length = so_utf8_next(*bytes + start, *size - start, &c);
        if ((size_t)length != *size - start || !so_is_space(c)) break;
        *size = start;
    }
}
