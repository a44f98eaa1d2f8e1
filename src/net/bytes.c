/* A row of bytes that grows at the end and is taken from the front.
 * SPDX-License-Identifier: Apache-2.0 */
#include "net/bytes.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { LEAST = 1024, KEPT = 65536 /* room that an empty row may keep */ };

bool so_bytes_room(so_bytes *b, size_t size)
{
    if (b->at && b->at >= b->size - b->at) { /* moving costs no more than taking did */
        memmove(b->data, b->data + b->at, b->size - b->at);
        b->size -= b->at;
        b->at = 0;
    }
    if (b->capacity - b->size >= size) return true;
    if (size > SIZE_MAX / 4 || b->size > SIZE_MAX / 4) return false;
    size_t capacity = b->size + size;
    capacity += capacity / 2 + LEAST;
    unsigned char *data = realloc(b->data, capacity);
    if (!data) return false;
    b->data = data;
    b->capacity = capacity;
    return true;
}

bool so_bytes_put(so_bytes *b, const void *data, size_t size)
{
    if (size == 0) return true;
    if (!so_bytes_room(b, size)) return false;
    memcpy(b->data + b->size, data, size);
    b->size += size;
    return true;
}

void so_bytes_take(so_bytes *b, size_t n)
{
    b->at += n < so_bytes_left(b) ? n : so_bytes_left(b);
    if (b->at < b->size) return;
    b->at = b->size = 0;
    if (b->capacity > KEPT) so_bytes_clear(b);
}

void so_bytes_clear(so_bytes *b)
{
    free(b->data);
    *b = (so_bytes){0};
}
