/* Base64 as RFC 4648 writes it, piece by piece.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_NET_BASE64_H
#define SO_NET_BASE64_H

#include <stdbool.h>
#include <stddef.h>

/* Start from a zeroed struct. */
typedef struct so_base64 {
    unsigned bits;          /* digits that make no whole byte yet */
    int digits, padding;    /* of the group so far */
    bool ended;             /* after padding nothing may follow */
    unsigned long long all; /* digits in all */
} so_base64;

/* Takes n characters and writes at most n / 4 * 3 + 3 bytes to `out`, which may be `text` itself. Blanks and line
 * breaks are not base64. Both alphabets ("+/" and "-_") are taken. False at the first wrong character; *wrote tells the
 * bytes. */
bool so_base64_feed(so_base64 *state, const char *text, size_t n, void *out, size_t *wrote);
/* False when the text broke off: a lone digit, wrong padding. Missing padding is accepted. */
bool so_base64_end(const so_base64 *state);

/* Characters for n bytes, padding counted. */
static inline size_t so_base64_length(size_t n) { return (n + 2) / 3 * 4; }
/* Writes so_base64_length(n) characters and a zero byte. */
void so_base64_write(const void *data, size_t n, char *out);

#endif
