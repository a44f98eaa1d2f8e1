/* Spans of text, and names by number.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BASE_NAMES_H
#define SO_BASE_NAMES_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Bytes of text inside a file: not terminated, may be empty. */
typedef struct so_span {
    const char *data;
    size_t length; /* bytes */
} so_span;

/* A text from a terminated string, which must outlive it. */
so_span so_span_of(const char *string);

/* A text as arguments of "%.*s", cut so that it fits an error. */
#define SO_SPAN_ARGS(text) (int)((text).length < 200 ? (text).length : 200), (text).data

/* Names to numbers 0, 1, ... in the order of adding. Keys are lent: they must outlive the table. */
typedef struct so_names {
    so_span *key;
    int64_t count, capacity;
    uint32_t *slot; /* number + 1, 0 for empty */
    size_t slots;   /* a power of two */
} so_names;

/* The number of `key`, or -1. Accepts a zeroed table. */
int64_t so_names_find(const so_names *names, so_span key);
/* Adds a key that is not there yet; its number is the count before. SO_ERR_NOMEM, SO_ERR_LIMIT (2^30 names). */
so_status so_names_add(so_names *names, so_span key, so_error *error);
void so_names_clear(so_names *names);

#endif
