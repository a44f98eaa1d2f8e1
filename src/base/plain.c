/* Text made fit for a terminal.
 * Source: RFC 3629 for UTF-8; ECMA-48 for control characters; UAX #9 for marks of direction.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/plain.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* The character at s and its length in bytes, 0 when there is no UTF-8. */
static size_t utf8(const unsigned char *s, size_t left, uint32_t *c)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : s[0] >= 0xc0 ? 2 : 0;
    *c = s[0];
    if (n < 2) return n;
    if (n > left || s[0] > 0xf4) return 0;
    *c = s[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80) return 0;
        *c = *c << 6 | (s[i] & 0x3fu);
    }
    bool surrogate = *c >= 0xd800 && *c < 0xe000;
    return *c < least[n] || *c > 0x10ffff || surrogate ? 0 : n;
}

static bool turns_direction(uint32_t c)
{
    return c == 0x61c || c == 0x200e || c == 0x200f || (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

size_t so_plain_one(const char *text, size_t length, bool lines, char out[8])
{
    uint32_t c;
    out[0] = 0;
    if (!length) return 0;
    size_t n = utf8((const unsigned char *)text, length, &c);
    if (!n) {
        snprintf(out, 8, "\\x%02x", (unsigned)(unsigned char)text[0]);
        return 1;
    }
    bool kept = lines && (c == '\n' || c == '\t');
    if (!kept && (c == '\n' || c == '\t' || c == '\r')) {
        snprintf(out, 8, "\\%c", c == '\n' ? 'n' : c == '\t' ? 't' : 'r');
    } else if (!kept && (c < 0x20 || c == 0x7f)) {
        snprintf(out, 8, "\\x%02x", (unsigned)c);
    } else if ((c >= 0x80 && c < 0xa0) || c == 0x2028 || c == 0x2029 || turns_direction(c)) {
        snprintf(out, 8, "\\u%04x", (unsigned)c & 0xffffu);
    } else {
        memcpy(out, text, n);
        out[n] = 0;
    }
    return n;
}

const char *so_plain(char *out, size_t size, const char *text, size_t length, bool lines)
{
    size_t used = 0;
    char one[8];
    for (size_t at = 0; at < length;) {
        at += so_plain_one(text + at, length - at, lines, one);
        size_t n = strlen(one);
        if (used + n >= size) break;
        memcpy(out + used, one, n);
        used += n;
    }
    if (size) out[used] = 0;
    return out;
}
