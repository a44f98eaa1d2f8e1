/* Growing text.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BASE_STRING_H
#define SO_BASE_STRING_H

#include <stddef.h>

#include "base/error.h"

/* Bytes of text. `data` is NULL or ends with a zero byte that `size` does not count. Start from a zeroed struct. */
typedef struct so_string {
    char *data;
    size_t size, capacity;
} so_string;

/* Appends. Amortised constant time; SO_ERR_NOMEM when memory cannot be had, the content then being as before. */
so_status so_string_add(so_string *text, const char *bytes, size_t size, so_error *error);
so_status so_string_put(so_string *text, const char *string, so_error *error);
/* Room for so many bytes more, which may then be appended without allocating. */
so_status so_string_reserve(so_string *text, size_t bytes, so_error *error);
void so_string_clear(so_string *text);

#endif
