/* multipart/form-data, piece by piece.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "net/multipart.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { FIRST, AFTER_MARK, AFTER_CR, AFTER_DASH, HEAD, BODY, LAST };

static bool fail(so_multipart *m, const char *why)
{
    if (!m->why) m->why = why;
    return false;
}

/* The value of a parameter ("; name=value" or "; name=\"value\"") behind the first ';': false when it is absent, stands
 * twice, or does not fit. Inside quotes a backslash hides a quote or a backslash and is itself else (as browsers write
 * file names). */
static bool parameter(const char *text, const char *name, char *out, size_t room)
{
    bool found = false;
    size_t length = strlen(name);
    text += strcspn(text, ";");
    while (*text == ';') {
        text += 1 + strspn(text + 1, " \t");
        size_t n = strcspn(text, "=;");
        bool wanted = n == length && strncasecmp(text, name, n) == 0 && text[n] == '=';
        if (wanted && found) return false;
        text += n;
        size_t wrote = 0;
        if (*text == '=' && text[1] == '"') {
            for (text += 2; *text && *text != '"'; text++) {
                if (*text == '\\' && (text[1] == '"' || text[1] == '\\')) text++;
                if (wanted && wrote + 1 >= room) return false;
                if (wanted) out[wrote++] = *text;
            }
            if (*text != '"') return false;
            text++;
            text += strspn(text, " \t");
            if (*text && *text != ';') return false;
        } else if (*text == '=') {
            for (text++; *text && *text != ';'; text++) {
                if (wanted && wrote + 1 >= room) return false;
                if (wanted && *text != ' ' && *text != '\t') out[wrote++] = *text;
            }
        }
        if (wanted) {
            out[wrote] = 0;
            found = true;
        }
    }
    return found;
}

bool so_multipart_init(so_multipart *m, const char *type, const so_multipart_sink *sink)
{
    static const char kind[] = "multipart/form-data";
    char boundary[SO_MULTIPART_BOUNDARY_MOST + 1];
    memset(m, 0, sizeof *m);
    m->sink = *sink;
    size_t n = sizeof kind - 1;
    if (!type || strncasecmp(type, kind, n) || (type[n] && !strchr("; \t", type[n])))
        return fail(m, "a Content-Type other than multipart/form-data");
    if (!parameter(type, "boundary", boundary, sizeof boundary) || !boundary[0])
        return fail(m, "a multipart body without one boundary of at most 70 characters");
    for (const char *p = boundary; *p; p++)
        if (*p < 0x20 || *p >= 0x7f) return fail(m, "a boundary with characters that it may not have");
    m->length = (size_t)snprintf(m->mark, sizeof m->mark, "\r\n--%s", boundary);
    m->met = 2; /* the first one may stand at the very beginning */
    return true;
}

static bool read_head(so_multipart *m)
{
    char name[SO_MULTIPART_NAME_MOST + 1] = "", file[256] = "";
    bool found = false;
    m->text[m->head] = 0;
    if (strlen(m->text) != m->head) return fail(m, "a zero byte in the head of a part");
    for (char *line = m->text, *next; *line; line = next) {
        char *stop = strstr(line, "\r\n");
        next = stop ? stop + 2 : line + strlen(line);
        if (stop) *stop = 0;
        if (strncasecmp(line, "Content-Transfer-Encoding:", 26) == 0) {
            const char *v = line + 26 + strspn(line + 26, " \t");
            if (strcasecmp(v, "binary") && strcasecmp(v, "8bit") && strcasecmp(v, "7bit"))
                return fail(m, "a part in a Content-Transfer-Encoding");
        }
        if (strncasecmp(line, "Content-Disposition:", 20)) continue;
        const char *v = line + 20 + strspn(line + 20, " \t");
        if (found || strncasecmp(v, "form-data", 9) || !parameter(v, "name", name, sizeof name))
            return fail(m, "a part without one Content-Disposition: form-data with a name of at most 128 bytes");
        if (strcasestr(v, "filename") && !parameter(v, "filename", file, sizeof file)) file[0] = '?', file[1] = 0;
        found = true;
    }
    if (!found) return fail(m, "a part without one Content-Disposition: form-data with a name of at most 128 bytes");
    if (++m->parts > SO_MULTIPART_PARTS_MOST) return fail(m, "more than 64 parts");
    m->state = BODY;
    m->head = 0;
    if (!m->sink.part(m->sink.context, name, file)) return fail(m, "a part that is not wanted");
    m->met = 0;
    return true;
}

/* A byte around a boundary or in a part's head. */
static bool outside(so_multipart *m, char c)
{
    switch (m->state) {
    case AFTER_MARK:
        if (c == '\r')
            m->state = AFTER_CR;
        else if (c == '-')
            m->state = AFTER_DASH;
        else
            return fail(m, "a boundary that does not end its line");
        return true;
    case AFTER_CR:
        if (c != '\n') return fail(m, "a boundary that does not end its line");
        m->state = HEAD;
        m->head = 0;
        return true;
    case AFTER_DASH:
        if (c != '-') return fail(m, "a boundary that does not end its line");
        m->state = LAST;
        return true;
    case HEAD:
        if (m->head == SO_MULTIPART_HEAD_MOST) return fail(m, "a part's head above 2048 bytes");
        m->text[m->head++] = c;
        if (m->head >= 4 && memcmp(m->text + m->head - 4, "\r\n\r\n", 4) == 0) return read_head(m);
        if (m->head == 2 && memcmp(m->text, "\r\n", 2) == 0) return fail(m, "a part without a head");
        return true;
    default: /* LAST: what follows the last boundary does not count */
        return true;
    }
}

static bool give(so_multipart *m, const char *data, size_t n)
{
    if (n == 0 || m->state == FIRST) return true; /* what stands before the first boundary does not count */
    return m->sink.data(m->sink.context, data, n) || fail(m, "a part that is not wanted");
}

/* Bytes of a part up to a boundary: gives how many were read. No part of a boundary but its first byte is a carriage
 * return, so that one that fails can begin again only at the byte where it fails. */
static bool inside(so_multipart *m, const char *data, size_t size, size_t *used)
{
    size_t from = 0, at = 0;
    while (at < size) {
        if (m->met == 0) {
            const char *cr = memchr(data + at, '\r', size - at);
            at = cr ? (size_t)(cr - data) : size;
            if (!cr) break;
        }
        if (data[at] == m->mark[m->met]) {
            if (m->met == 0) {
                if (!give(m, data + from, at - from)) return false;
                from = at;
            }
            at++;
            if (++m->met < m->length) continue;
            *used = at;
            bool first = m->state == FIRST;
            m->state = AFTER_MARK;
            m->met = 0;
            return first || m->sink.end(m->sink.context) || fail(m, "a part that is not wanted");
        }
        size_t held = m->met; /* these were no boundary; they stand before data + at, or came with earlier bytes */
        m->met = 0;
        if (held > at - from && !give(m, m->mark, held)) return false;
        if (held > at - from) from = at;
    }
    *used = size;
    /* A mark that has begun is held back. */
    size_t keep = m->met < size - from ? m->met : size - from;
    return give(m, data + from, size - from - keep);
}

bool so_multipart_feed(so_multipart *m, const void *data, size_t size)
{
    const char *p = data;
    while (size && !m->why) {
        size_t used = 1;
        if (m->state == FIRST || m->state == BODY) {
            if (!inside(m, p, size, &used)) break;
        } else if (!outside(m, *p))
            break;
        p += used;
        size -= used;
    }
    return !m->why;
}

bool so_multipart_end(so_multipart *m)
{
    if (m->why) return false;
    return m->state == LAST || fail(m, "a multipart body that breaks off");
}
