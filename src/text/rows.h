/* Tables as text: fields between commas, tabs or anything else, one row a line.
 * Source: RFC 4180; pandas reads the same.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TEXT_ROWS_H
#define SO_TEXT_ROWS_H

#include "text/buffer.h"

/* Start from {.at = text, .end = text + size, .separator = '\t', ...}. A byte order mark is passed over. */
typedef struct so_rows {
    const char *at, *end;
    char separator;
    bool quoted;       /* a field may stand in double quotes, line breaks and separators among it, "" for a quote */
    int64_t line;      /* of the row that was read last, from 1; lines inside quotes count */
    int64_t next_line; /* where the next one begins; private */
    so_string text;    /* of the row's fields, each terminated; private */
    size_t *begin;     /* of each field in it; private */
    size_t capacity;   /* private */
    int n;             /* fields of the row */
} so_rows;

/* Reads the next row that is not empty; false at the end and on failure (*status tells). A row of more than `limit`
 * bytes is SO_ERR_LIMIT, a quote without an end SO_ERR_FORMAT; reading may go on behind it. */
bool so_rows_next(so_rows *rows, size_t limit, so_status *status, so_error *error);
/* A field of the row, lent until the next one is read; "" beyond the last. */
const char *so_rows_field(const so_rows *rows, int i);
/* The number of the field with this text (of a heading), or -1. */
int so_rows_find(const so_rows *rows, const char *name);
void so_rows_clear(so_rows *rows);

#endif
