/* Reading JSON text front to back.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/json_scan.h"

#include <string.h>

#define DEPTH_MAX 64

static bool fail(so_scan *scan)
{
    scan->bad = true;
    scan->at = scan->end;
    return false;
}

char so_scan_peek(so_scan *scan)
{
    while (scan->at < scan->end && (*scan->at == ' ' || *scan->at == '\n' || *scan->at == '\r' || *scan->at == '\t'))
        scan->at++;
    return scan->at < scan->end ? *scan->at : 0;
}

bool so_scan_take(so_scan *scan, char c)
{
    if (so_scan_peek(scan) != c || scan->at == scan->end) return fail(scan);
    scan->at++;
    return true;
}

bool so_scan_next(so_scan *scan, bool *first, char close)
{
    if (scan->bad) return false;
    if (so_scan_peek(scan) == close) {
        scan->at++;
        return false;
    }
    if (!*first && !so_scan_take(scan, ',')) return false;
    *first = false;
    return so_scan_peek(scan) ? true : fail(scan);
}

static int hex4(const char *text)
{
    int value = 0;
    for (int i = 0; i < 4; i++) {
        char c = text[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0) return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* After "\u". Half a pair of surrogates is refused. */
static bool escaped_character(so_scan *scan, int32_t *c)
{
    if (scan->end - scan->at < 4 || (*c = hex4(scan->at)) < 0) return fail(scan);
    scan->at += 4;
    if (*c < 0xd800 || *c > 0xdfff) return true;
    if (*c > 0xdbff || scan->end - scan->at < 6 || scan->at[0] != '\\' || scan->at[1] != 'u') return fail(scan);
    int low = hex4(scan->at + 2);
    if (low < 0xdc00 || low > 0xdfff) return fail(scan);
    scan->at += 6;
    *c = 0x10000 + ((*c - 0xd800) << 10) + (low - 0xdc00);
    return true;
}

/* After the backslash: the character's bytes. */
static bool escape(so_scan *scan, char bytes[4], int *size)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    int32_t c;
    if (scan->at == scan->end) return fail(scan);
    const char *found = memchr(names, *scan->at, sizeof names - 1);
    if (found) {
        bytes[0] = values[found - names];
        *size = 1;
        scan->at++;
        return true;
    }
    if (*scan->at++ != 'u' || !escaped_character(scan, &c)) return fail(scan);
    *size = so_utf8_put(bytes, c);
    return true;
}

/* Moves past the bytes of a string that stand for themselves. */
static void plain(so_scan *scan)
{
    while (scan->at < scan->end && *scan->at != '"' && *scan->at != '\\' && (unsigned char)*scan->at >= 0x20)
        scan->at++;
}

/* `out` may be NULL. */
static bool string(so_scan *scan, so_string *out, bool *nomem)
{
    if (!so_scan_take(scan, '"')) return false;
    if (out) out->size = 0;
    for (;;) {
        char bytes[4];
        int size = 0;
        const char *from = scan->at;
        plain(scan);
        if (scan->at == scan->end || (unsigned char)*scan->at < 0x20) return fail(scan);
        if (out && so_string_add(out, from, (size_t)(scan->at - from), NULL) != SO_OK) return *nomem = true, fail(scan);
        if (*scan->at++ == '"') return true;
        if (!escape(scan, bytes, &size)) return false;
        if (out && so_string_add(out, bytes, (size_t)size, NULL) != SO_OK) return *nomem = true, fail(scan);
    }
}

bool so_scan_string(so_scan *scan, so_string *out, bool *nomem) { return string(scan, out, nomem); }

bool so_scan_key(so_scan *scan, so_string *out, bool *nomem)
{
    return string(scan, out, nomem) && so_scan_take(scan, ':');
}

bool so_scan_integer(so_scan *scan, int64_t *out)
{
    bool minus = so_scan_peek(scan) == '-';
    int64_t value = 0;
    scan->at += minus;
    const char *from = scan->at;
    while (scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9') {
        if (value > INT64_MAX / 10 - 1) return fail(scan);
        value = value * 10 + (*scan->at++ - '0');
    }
    if (scan->at == from || (scan->at < scan->end && (*scan->at == '.' || *scan->at == 'e' || *scan->at == 'E')))
        return fail(scan);
    *out = minus ? -value : value;
    return true;
}

static bool literal(so_scan *scan, const char *word)
{
    size_t size = strlen(word);
    if (scan->bad || (size_t)(scan->end - scan->at) < size || memcmp(scan->at, word, size) != 0) return false;
    scan->at += size;
    return true;
}

bool so_scan_bool(so_scan *scan, bool *out)
{
    so_scan_peek(scan);
    *out = literal(scan, "true");
    return *out || literal(scan, "false") || literal(scan, "null") || fail(scan);
}

static bool skip(so_scan *scan, int depth)
{
    bool first = true;
    char c = so_scan_peek(scan);
    if (depth > DEPTH_MAX) return fail(scan);
    if (c == '"') return string(scan, NULL, NULL);
    if (c == '{' || c == '[') {
        scan->at++;
        while (so_scan_next(scan, &first, c == '{' ? '}' : ']')) {
            if (c == '{' && !(string(scan, NULL, NULL) && so_scan_take(scan, ':'))) return false;
            if (!skip(scan, depth + 1)) return false;
        }
        return !scan->bad;
    }
    if (literal(scan, "true") || literal(scan, "false") || literal(scan, "null")) return true;
    const char *from = scan->at;
    while (scan->at < scan->end && *scan->at && strchr("+-.0123456789eE", *scan->at)) scan->at++;
    return scan->at > from ? true : fail(scan);
}

bool so_scan_skip(so_scan *scan, so_scan *span)
{
    so_scan_peek(scan);
    const char *from = scan->at;
    if (!skip(scan, 0)) return false;
    if (span) *span = (so_scan){from, scan->at, false};
    return true;
}
