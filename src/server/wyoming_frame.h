/* Frames of the Wyoming protocol: a line of JSON, then the JSON of its data, then bytes. A pure function of bytes.
 *
 *     {"type": "audio-chunk", "version": "1.5.0", "data_length": 40, "payload_length": 2048}\n  data  payload
 *
 * Data may also stand in the line itself ("data": {...}); what comes behind it adds to that. Source: the protocol's
 * description in the wyoming package.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_SERVER_WYOMING_FRAME_H
#define SO_SERVER_WYOMING_FRAME_H

#include <jansson.h>

#include "base/error.h"
#include "net/bytes.h"

enum {
    SO_WYOMING_LINE = 8192,    /* bytes of the line */
    SO_WYOMING_DATA = 16384,   /* of the data */
    SO_WYOMING_PAYLOAD = 40960 /* of the payload: a whole frame is no more than a connection holds (net/port.h) */
};

typedef struct so_wyoming_frame {
    char type[64];
    json_t *data;                 /* an object; owned */
    const unsigned char *payload; /* lent by the bytes it was read from */
    size_t size;                  /* of the payload */
} so_wyoming_frame;

/* Reads the frame at the front of n bytes. *used is its length, 0 when more must come. SO_ERR_FORMAT, SO_ERR_LIMIT,
 * both with what is wrong. The data is to be given back with json_decref. */
so_status so_wyoming_read(const void *bytes, size_t n, so_wyoming_frame *frame, size_t *used, so_error *error);
/* Appends a frame; takes `data` (NULL: none). False without memory. */
bool so_wyoming_write(so_bytes *out, const char *type, json_t *data, const void *payload, size_t size);

#endif
