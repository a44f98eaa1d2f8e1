/* A set of byte strings numbered in the order of their coming.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TEXT_INTERN_H
#define SO_TEXT_INTERN_H

#include "text/buffer.h"

/* Start from a zeroed struct. */
typedef struct so_intern {
    so_string bytes;
    size_t *ends;   /* [n] */
    int32_t *slots; /* -1: empty */
    size_t n, ends_capacity, mask;
} so_intern;

/* `*index` is the string's number; `n` has grown by one if it was new. */
so_status so_intern_add(so_intern *set, const char *bytes, size_t size, int32_t *index, so_error *error);
/* -1 when absent. */
int32_t so_intern_find(const so_intern *set, const char *bytes, size_t size);
const char *so_intern_get(const so_intern *set, int32_t index, size_t *size);
void so_intern_clear(so_intern *set);

#endif
