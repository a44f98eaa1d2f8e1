/* Growing arrays of token ids, and UTF-8.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TEXT_BUFFER_H
#define SO_TEXT_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/string.h"

/* Token ids. Start from a zeroed struct. */
typedef struct so_ids {
    int32_t *data;
    size_t n, capacity;
} so_ids;

/* Appends, as so_string_add does. */
so_status so_ids_add(so_ids *ids, const int32_t *from, size_t n, so_error *error);
so_status so_ids_put(so_ids *ids, int32_t id, so_error *error);
void so_ids_clear(so_ids *ids);

/* The character at the front of `size` > 0 bytes: returns how many bytes it takes and puts its code point in `*c`.
 * Not valid UTF-8: `*c` is -1 and the result is the longest start of a valid sequence, at least 1 (the span that
 * one U+FFFD stands for). Cut off by the end of the bytes: `*c` is -2 and the result is `size`. */
int so_utf8_next(const char *bytes, size_t size, int32_t *c);
/* Writes a code point as 1 to 4 bytes and returns how many. */
int so_utf8_put(char out[4], int32_t c);
/* Appends `size` bytes, with U+FFFD for every span that is not valid UTF-8. */
so_status so_utf8_add_lossy(so_string *text, const char *bytes, size_t size, so_error *error);
bool so_utf8_valid(const char *bytes, size_t size);

/* What Python's str.isspace() calls white space. */
bool so_is_space(int32_t c);
/* Moves `*bytes` and `*size` past white space at both ends. */
void so_strip(const char **bytes, size_t *size);

#endif
