/* A row of bytes that grows at the end and is taken from the front: what came and is not read yet, what is to be sent.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_NET_BYTES_H
#define SO_NET_BYTES_H

#include <stdbool.h>
#include <stddef.h>

typedef struct so_bytes {
    unsigned char *data;
    size_t size, capacity; /* bytes from data on; room */
    size_t at;             /* of these, taken already */
} so_bytes;

/* Appends; false when there is no memory. What was there stays. */
bool so_bytes_put(so_bytes *bytes, const void *data, size_t size);
/* Makes room for `size` more at data + size; the caller writes there and adds to size. False without memory. */
bool so_bytes_room(so_bytes *bytes, size_t size);
/* Drops n bytes at the front, at most what is there. */
void so_bytes_take(so_bytes *bytes, size_t n);
/* Frees; harmless on a zeroed one. */
void so_bytes_clear(so_bytes *bytes);

static inline size_t so_bytes_left(const so_bytes *bytes) { return bytes->size - bytes->at; }
static inline const unsigned char *so_bytes_front(const so_bytes *bytes)
{
    return bytes->data ? bytes->data + bytes->at : (const unsigned char *)"";
}

#endif
