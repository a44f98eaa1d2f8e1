/* Growing arrays.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BASE_GROW_H
#define SO_BASE_GROW_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* `items` points to the array's pointer. On SO_ERR_NOMEM the array and its count are as before. */

/* Makes room for one more item of `size` bytes in the array *items with `count` of *capacity used. */
so_status so_grow(void *items, int64_t count, int64_t *capacity, size_t size, so_error *error);
/* The same for `more` items. */
so_status so_grow_by(void *items, int64_t count, int64_t more, int64_t *capacity, size_t size, so_error *error);
/* Appends n items to an array of *count without a capacity: it holds the next power of two. */
so_status so_append(void *items, size_t *count, size_t size, const void *more, size_t n, so_error *error);
/* `array` of `*capacity` elements of `width` bytes made to hold at least `need`; NULL (and the old one kept) on
 * failure. */
void *so_grow_to(void *array, size_t *capacity, size_t need, size_t width);

#endif
