/* HTTP/1.1 on the connections of a port: requests in, answers out, and going on as WebSocket.
 *
 * One request at a time for each connection; what a client sends ahead waits. Bodies are collected in memory, each up
 * to what its route allows and all together up to `bodies`. Deadlines: a head within `head` seconds of its first byte,
 * a body at no less than `rate` bytes a second after `grace` seconds, the next request within `idle` seconds, a
 * WebSocket that says nothing for `quiet` seconds (it is pinged three times meanwhile).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_NET_WEB_H
#define SO_NET_WEB_H

#include "net/http.h"
#include "net/port.h"
#include "net/ws.h"

typedef struct so_web so_web;
typedef struct so_web_host so_web_host;

typedef struct so_web_handler {
    void *context;
    /* A head was read. Answer at once, or call so_web_collect for the body, or so_web_upgrade. */
    void (*head)(void *context, so_web *web, const so_http_head *head);
    /* The whole request is there; answer now or later. The body is lent until the answer is complete. */
    void (*request)(void *context, so_web *web, const void *body, size_t size);
    /* A message of a WebSocket. */
    void (*message)(void *context, so_web *web, bool text, const void *data, size_t size);
    /* All output is on its way: more may be given. */
    void (*room)(void *context, so_web *web);
    /* The answer is complete, or (`lost`) the client left before it was, or the WebSocket ended. web->user is to be
     * given up. */
    void (*over)(void *context, so_web *web, bool lost);
    /* Bytes that were no request were refused with `status`. May be NULL. */
    void (*refused)(void *context, so_web *web, int status);
} so_web_handler;

struct so_web {
    void *user; /* of the handler, for one request or one WebSocket */
    so_conn *conn;
    so_http_head head;  /* of the request that is answered */
    int status;         /* sent; 0: none yet */
    uint64_t head_sent; /* bytes sent on the connection before this answer */
    double began;       /* when the head was complete */
    /* private */
    so_web_host *host;
    int state;
    char *text; /* the head's bytes */
    size_t seen;
    so_bytes body;
    size_t most;
    so_http_chunks chunks;
    double body_began, head_began;
    int pings; /* since anything came */
    uint64_t body_received;
    so_ws *ws;
    bool keep, chunked, closing, pinged, reading;
};

typedef struct so_web_options {
    double head, grace, rate, idle, quiet; /* seconds, bytes a second; 0: 5, 5, 1024, 60, 60 */
    size_t message;                        /* bytes of a WebSocket message; 0: 20 MiB and 64 KiB */
    size_t bodies;                         /* bytes of all bodies together; 0: 256 MiB */
} so_web_options;

/* What a listener speaks; the handler is copied. SO_ERR_NOMEM. */
so_status so_web_host_open(so_web_host **out, const so_web_handler *handler, const so_web_options *options,
                           so_error *error);
void so_web_host_close(so_web_host **host);
const so_protocol *so_web_protocol(const so_web_host *host);
/* The web of a connection that speaks it. */
so_web *so_web_of(so_conn *conn);
/* The connection closes after the present answer (when the server goes down); idle ones at once. */
void so_web_wind_down(so_web *web);

/* ---- from the handler */
/* The body is wanted, up to `most` bytes (more is answered 413). */
void so_web_collect(so_web *web, size_t most);
/* A whole answer. `fields`: lines "Name: value\r\n", or "". `type` NULL: no Content-Type. */
void so_web_reply(so_web *web, int status, const char *type, const char *fields, const void *body, size_t size);
/* An answer of unknown length in pieces: begin, pieces, end. False when the connection is lost. */
bool so_web_begin(so_web *web, int status, const char *type, const char *fields);
bool so_web_piece(so_web *web, const void *data, size_t size);
void so_web_finish(so_web *web);
/* Gives the connection up: an answer that cannot be completed. */
void so_web_abort(so_web *web);
/* Goes on as WebSocket; `protocol` is the subprotocol chosen, NULL: none. */
so_status so_web_upgrade(so_web *web, const char *protocol, const char *fields, so_error *error);
/* False when it is closed or memory is short. */
bool so_web_send(so_web *web, bool text, const void *data, size_t size);
/* Says good-bye; nothing is told any more but `over`. */
void so_web_close(so_web *web, int code, const char *reason);
/* Whether it is a WebSocket that may be sent to. */
bool so_web_open(const so_web *web);

#endif
