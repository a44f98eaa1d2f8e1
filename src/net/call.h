/* A WebSocket as a client has it: a connection, the handshake, messages. One thread owns it; only opening waits.
 * Source: RFC 6455.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_NET_CALL_H
#define SO_NET_CALL_H

#include "net/dial.h"
#include "net/ws.h"

typedef struct so_call so_call;

/* What a server said that did not agree to a WebSocket. */
typedef struct so_call_refusal {
    int status;      /* of HTTP; 0: there was no answer */
    char body[4096]; /* the beginning of its text, terminated */
} so_call_refusal;

typedef struct so_call_options {
    const char *path;     /* asked for where the place has none */
    const char *key;      /* "Authorization: Bearer <key>"; NULL: none */
    const char *protocol; /* the subprotocol that is offered; NULL: none */
    size_t most;          /* bytes of a message; 0: 20 MiB */
    double quiet;         /* seconds without a byte after which the server is gone; 0: 90 (servers ping) */
    so_dial_options dial;
} so_call_options;

/* Connects and shakes hands; messages are told to the sink by so_call_turn. SO_ERR_FORMAT (what answers is no such
 * server), SO_ERR_ARG (an answer of 400 and more, then *refusal says more), and what so_dial_open gives. */
so_status so_call_open(so_call **out, const so_place *place, const so_call_options *options, const so_ws_sink *sink,
                       so_call_refusal *refusal, so_error *error);
/* Says good-bye without waiting for an answer, and closes. */
void so_call_close(so_call **call);
/* Gives one text message to be sent; so_call_turn sends it. */
so_status so_call_send(so_call *call, const char *text, size_t n, so_error *error);
/* Sends and reads what can be without waiting. SO_ERR_IO: the connection is lost or the server has closed it, and what
 * it said; SO_ERR_FORMAT: it breaks the protocol. */
so_status so_call_turn(so_call *call, so_error *error);
/* Waits at most `seconds` for something to read or to send, or a signal, and takes a turn. */
so_status so_call_wait(so_call *call, double seconds, so_error *error);
/* For somebody who waits for many: the descriptor, and whether it waits for room to write. */
int so_call_fd(const so_call *call);
bool so_call_wants_write(const so_call *call);
size_t so_call_pending(const so_call *call); /* bytes that are not sent yet */

#endif
