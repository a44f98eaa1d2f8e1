/* Stop strings: an answer ends before the first of them, wherever tokens begin and end.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TEXT_STOPS_H
#define SO_TEXT_STOPS_H

#include "text/buffer.h"

enum { SO_STOPS_MOST = 16, SO_STOPS_BYTES = 256 };

/* Start from a zeroed struct. */
typedef struct so_stops {
    so_string bytes; /* one behind the other */
    size_t end[SO_STOPS_MOST];
    int n;
} so_stops;

/* Copies the strings (NULL with n 0: none). SO_ERR_ARG for more than SO_STOPS_MOST, for an empty one, for one of more
 * than SO_STOPS_BYTES bytes, and for one that is not valid UTF-8. */
so_status so_stops_set(so_stops *stops, const char *const *string, int n, so_error *error);
void so_stops_clear(so_stops *stops);
/* Where the first stop string begins that ends behind byte `from` of the text; SIZE_MAX: none does. */
size_t so_stops_find(const so_stops *stops, const char *text, size_t size, size_t from);
/* Bytes at the end of the text that may be the beginning of a stop string. */
size_t so_stops_held(const so_stops *stops, const char *text, size_t size);

#endif
