/* Growing arrays of bytes and of token ids, and the UTF-8 they hold.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TEXT_BUFFER_H
#define SO_TEXT_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Bytes of text. `data` is NULL or ends with a zero byte that `size` does not count. Start from a zeroed struct. */
typedef struct so_string {
    char *data;
    size_t size, capacity;
} so_string;

/* Token ids. Start from a zeroed struct. */
typedef struct so_ids {
    int32_t *data;
    size_t n, capacity;
} so_ids;

/* Appends. Amortised constant time; SO_ERR_NOMEM when memory cannot be had, the content then being as before. */
so_status so_string_add(so_string *text, const char *bytes, size_t size, so_error *error);
so_status so_string_put(so_string *text, const char *string, so_error *error);
void so_string_clear(so_string *text);

so_status so_ids_add(so_ids *ids, const int32_t *from, size_t n, so_error *error);
so_status so_ids_put(so_ids *ids, int32_t id, so_error *error);
void so_ids_clear(so_ids *ids);

/* `array` of `*capacity` elements of `width` bytes made to hold at least `need`; NULL (and the old one kept) on
 * failure. */
void *so_buffer_grow(void *array, size_t *capacity, size_t need, size_t width);

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
