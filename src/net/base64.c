/* Base64 as RFC 4648 writes it, piece by piece.
 * SPDX-License-Identifier: Apache-2.0 */
#include "net/base64.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int value(unsigned char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    if (c == '+' || c == '-') return 62;
    if (c == '/' || c == '_') return 63;
    return -1;
}

/* Padding ends the text: it fills a group of two or three digits up to four. */
static bool pad(so_base64 *s)
{
    if (s->ended || (s->padding == 0 && s->digits != 2 && s->digits != 3)) return false;
    s->padding++;
    s->ended = s->digits + s->padding == 4;
    return true;
}

bool so_base64_feed(so_base64 *s, const char *text, size_t n, void *out, size_t *wrote)
{
    unsigned char *to = out;
    *wrote = 0;
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '=') {
            if (!pad(s)) return false;
            continue;
        }
        int v = value((unsigned char)text[i]);
        if (v < 0 || s->padding) return false;
        s->bits = s->bits << 6 | (unsigned)v;
        s->all++;
        /* The second, third and fourth digit of a group each complete a byte. */
        if (s->digits == 0) {
            s->digits = 1;
            continue;
        }
        int spare = s->digits == 1 ? 4 : s->digits == 2 ? 2 : 0;
        to[(*wrote)++] = (unsigned char)(s->bits >> spare);
        s->bits &= (1u << spare) - 1;
        s->digits = (s->digits + 1) % 4;
    }
    return true;
}

bool so_base64_end(const so_base64 *s)
{
    if (s->padding && !s->ended) return false;
    return s->digits != 1 && s->bits == 0; /* bits left over were bytes that got lost */
}

void so_base64_write(const void *data, size_t n, char *out)
{
    const unsigned char *p = data;
    for (; n >= 3; n -= 3, p += 3) {
        unsigned v = (unsigned)p[0] << 16 | (unsigned)p[1] << 8 | p[2];
        for (int k = 18; k >= 0; k -= 6) *out++ = digits[v >> k & 63];
    }
    if (n) {
        unsigned v = (unsigned)p[0] << 16 | (n > 1 ? (unsigned)p[1] << 8 : 0);
        *out++ = digits[v >> 18];
        *out++ = digits[v >> 12 & 63];
        *out++ = n > 1 ? digits[v >> 6 & 63] : '=';
        *out++ = '=';
    }
    *out = 0;
}
