/* multipart/form-data as RFC 7578 and RFC 2046 write it, piece by piece: parts in, their bytes out.
 *
 * Nothing is kept but the boundary and the head of the current part. A part has one Content-Disposition "form-data"
 * with a name; other fields of its head are read and dropped, except Content-Transfer-Encoding, which is refused unless
 * it says "binary", "8bit" or "7bit".
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_NET_MULTIPART_H
#define SO_NET_MULTIPART_H

#include <stdbool.h>
#include <stddef.h>

enum {
    SO_MULTIPART_BOUNDARY_MOST = 70, /* RFC 2046 */
    SO_MULTIPART_HEAD_MOST = 2048,   /* bytes of a part's head */
    SO_MULTIPART_PARTS_MOST = 64,
    SO_MULTIPART_NAME_MOST = 128
};

typedef struct so_multipart_sink {
    void *context;
    /* A part begins; `file` is "" without a file name. False stops with "a part that is not wanted". */
    bool (*part)(void *context, const char *name, const char *file);
    /* Bytes of the current part. False stops. */
    bool (*data)(void *context, const void *data, size_t size);
    /* The current part is complete. False stops. */
    bool (*end)(void *context);
} so_multipart_sink;

typedef struct so_multipart {
    so_multipart_sink sink;
    char mark[4 + SO_MULTIPART_BOUNDARY_MOST + 1]; /* CR LF -- boundary */
    size_t length, met;                            /* of the mark; how much of it stands at the end of what was fed */
    int state, parts;
    size_t head;
    char text[SO_MULTIPART_HEAD_MOST + 1];
    const char *why; /* of a failure */
} so_multipart;

/* Takes the boundary out of a Content-Type. False, with multipart->why, when it is no multipart/form-data with one. */
bool so_multipart_init(so_multipart *multipart, const char *content_type, const so_multipart_sink *sink);
/* False, with multipart->why, at the first wrong byte. */
bool so_multipart_feed(so_multipart *multipart, const void *data, size_t size);
/* False, with multipart->why, unless the last boundary was read. */
bool so_multipart_end(so_multipart *multipart);

#endif
