/* Tables as text, row by row.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/rows.h"

#include <stdlib.h>
#include <string.h>

#include "base/grow.h"

static so_status begin_field(so_rows *r, so_error *error)
{
    size_t *begin = so_grow_to(r->begin, &r->capacity, (size_t)r->n + 1, sizeof *begin);
    if (!begin) return so_fail(error, SO_ERR_NOMEM, "no memory for %d fields", r->n + 1);
    r->begin = begin;
    begin[r->n++] = r->text.size;
    return SO_OK;
}

/* A quoted field from behind its first quote; its end is behind the last. */
static so_status quoted(so_rows *r, size_t limit, so_error *error)
{
    const char *from = r->at;
    for (;;) {
        const char *quote = memchr(r->at, '"', (size_t)(r->end - r->at));
        if (!quote || (size_t)(quote - from) > limit) {
            const char *line = memchr(from, '\n', (size_t)(r->end - from));
            r->at = line ? line + 1 : r->end; /* the next line is tried */
            return so_fail(error, SO_ERR_FORMAT, "line %lld: a quote without its end", (long long)r->line);
        }
        for (const char *p = r->at; p < quote; p++) r->next_line += *p == '\n';
        SO_TRY(so_string_add(&r->text, r->at, (size_t)(quote - r->at), error));
        r->at = quote + 1;
        if (r->at == r->end || *r->at != '"') return SO_OK;
        SO_TRY(so_string_add(&r->text, "\"", 1, error));
        r->at++;
    }
}

static so_status row(so_rows *r, size_t limit, so_error *error)
{
    const char *from = r->at;
    r->n = 0;
    r->text.size = 0;
    for (;;) {
        SO_TRY(begin_field(r, error));
        if (r->quoted && r->at < r->end && *r->at == '"') {
            r->at++;
            SO_TRY(quoted(r, limit, error));
        }
        const char *field = r->at;
        while (r->at < r->end && *r->at != r->separator && *r->at != '\n') r->at++;
        size_t size = (size_t)(r->at - field);
        if (size && (r->at == r->end || *r->at == '\n') && field[size - 1] == '\r') size--;
        if ((size_t)(r->at - from) > limit) {
            while (r->at < r->end && *r->at++ != '\n') continue;
            return so_fail(error, SO_ERR_LIMIT, "line %lld: a row of more than %zu bytes", (long long)r->line, limit);
        }
        SO_TRY(so_string_add(&r->text, field, size, error));
        SO_TRY(so_string_add(&r->text, "", 1, error));
        if (r->at == r->end) return SO_OK;
        if (*r->at++ == '\n') return SO_OK;
    }
}

bool so_rows_next(so_rows *r, size_t limit, so_status *status, so_error *error)
{
    *status = SO_OK;
    if (r->next_line == 0) {
        r->next_line = 1;
        if (r->end - r->at >= 3 && memcmp(r->at, "\xef\xbb\xbf", 3) == 0) r->at += 3; /* what marks UTF-8 */
    }
    while (r->at < r->end && (*r->at == '\n' || *r->at == '\r')) r->next_line += *r->at++ == '\n';
    if (r->at == r->end) return false;
    r->line = r->next_line++;
    *status = row(r, limit, error);
    return *status == SO_OK;
}

const char *so_rows_field(const so_rows *r, int i) { return i >= 0 && i < r->n ? r->text.data + r->begin[i] : ""; }

int so_rows_find(const so_rows *r, const char *name)
{
    for (int i = 0; i < r->n; i++)
        if (strcmp(so_rows_field(r, i), name) == 0) return i;
    return -1;
}

void so_rows_clear(so_rows *r)
{
    so_string_clear(&r->text);
    free(r->begin);
    *r = (so_rows){0};
}
