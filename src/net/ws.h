/* WebSocket messages over libwslay, of a server or a client: bytes in, messages out, and back. No sockets, no time.
 *
 * Messages are whole when they are told, of valid UTF-8 when they are text, and at most `most` bytes long; more than
 * SO_WS_FRAGMENTS_MOST fragments end the connection, as do masks that lack (of a server: masks), reserved bits (no
 * extension is spoken) and everything else RFC 6455 forbids. Pings are answered. Source: RFC 6455.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_NET_WS_H
#define SO_NET_WS_H

#include <stdint.h>

#include "base/error.h"
#include "net/bytes.h"

enum {
    SO_WS_FRAGMENTS_MOST = 4096, /* of one message */
    SO_WS_FRAMES_A_TURN = 256,   /* read by one so_ws_read: more wait for the next */
    SO_WS_CONTROLS_A_TURN = 64,  /* pings answered by one so_ws_read */
    SO_WS_REASON_MOST = 123,     /* bytes */
    SO_WS_CLOSE_NORMAL = 1000,
    SO_WS_CLOSE_AWAY = 1001, /* the server goes down */
    SO_WS_CLOSE_PROTOCOL = 1002,
    SO_WS_CLOSE_DATA = 1003, /* a kind of message that is not wanted */
    SO_WS_CLOSE_POLICY = 1008,
    SO_WS_CLOSE_SIZE = 1009,
    SO_WS_CLOSE_ERROR = 1011,
    SO_WS_CLOSE_FULL = 1013 /* try again later */
};

typedef struct so_ws so_ws;

typedef struct so_ws_sink {
    void *context;
    /* A whole message; text is valid UTF-8. The data is lent during the call. */
    void (*message)(void *context, bool text, const void *data, size_t size);
} so_ws_sink;

/* Text that proves that the key was understood, 28 characters, terminated. */
void so_ws_accept(const char *key, char accept[32]);

/* `most`: bytes of a message. SO_ERR_NOMEM. */
so_status so_ws_open(so_ws **out, size_t most, const so_ws_sink *sink, so_error *error);
/* The client's side: what it sends is masked by random bytes of the system. */
so_status so_ws_open_client(so_ws **out, size_t most, const so_ws_sink *sink, so_error *error);
void so_ws_close(so_ws **ws);
/* Reads what lies in `in`, at most `budget` bytes and SO_WS_FRAMES_A_TURN frames; tells messages to the sink; writes
 * what must be answered (pongs, a close) behind `out`. *more: something is left that a further call could read now.
 * SO_ERR_FORMAT when the connection must end, after `out` was sent. */
so_status so_ws_read(so_ws *ws, so_bytes *in, size_t budget, so_bytes *out, bool *more, so_error *error);
/* Writes one message behind `out`. SO_ERR_STATE after a close, SO_ERR_NOMEM. */
so_status so_ws_send(so_ws *ws, bool text, const void *data, size_t size, so_bytes *out, so_error *error);
so_status so_ws_ping(so_ws *ws, so_bytes *out, so_error *error);
/* Writes a close behind `out`; once. `reason` at most SO_WS_REASON_MOST bytes of UTF-8. */
so_status so_ws_end(so_ws *ws, int code, const char *reason, so_bytes *out, so_error *error);
/* Both sides said that they close: nothing comes any more. */
bool so_ws_ended(const so_ws *ws);
/* The code that the other side closed with; 0: it has not, 1005: without one. */
int so_ws_code(const so_ws *ws);
/* The words it closed with, valid UTF-8, "" when there were none. */
const char *so_ws_reason(const so_ws *ws);

#endif
