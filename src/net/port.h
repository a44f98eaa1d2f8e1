/* Listening sockets and the connections that come through them: limits, budgets, deadlines, TLS by the first byte.
 *
 * One thread owns a port and everything here. A turn reads at most SO_PORT_READ bytes of each connection, so that one
 * that sends without end does not keep others waiting. What a protocol does not take stays in conn->in, and past
 * SO_PORT_IN_MOST nothing more is read; what it gives is sent as the other side takes it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_NET_PORT_H
#define SO_NET_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include "net/bytes.h"
#include "net/loop.h"
#include "net/tls.h"

enum {
    SO_PORT_READ = 65536,    /* bytes of a connection that a turn reads */
    SO_PORT_IN_MOST = 65536, /* bytes that wait for their protocol */
    SO_PORT_ACCEPTS = 64,    /* connections that a turn takes from a listener */
    SO_PORT_LISTENERS = 16
};

typedef struct so_port so_port;
typedef struct so_conn so_conn;

/* What the connections of a listener speak. All but `input` may be NULL. */
typedef struct so_protocol {
    void *context;
    bool (*open)(void *context, so_conn *conn);  /* a new one; false: close it */
    void (*input)(void *context, so_conn *conn); /* new bytes in conn->in, or asked for by so_conn_again */
    void (*room)(void *context, so_conn *conn);  /* all that was given is on its way */
    void (*late)(void *context, so_conn *conn);  /* conn->deadline has passed; it is 0 now */
    void (*half)(void *context, so_conn *conn);  /* the other side sends no more; NULL: closes it */
    void (*gone)(void *context, so_conn *conn);  /* the last call: frees conn->user */
} so_protocol;

struct so_conn {
    /* for the protocol */
    void *user;
    so_bytes in;     /* it takes from the front */
    double deadline; /* of so_poll_now; 0: none */
    bool idle;       /* nothing is asked of it: may be given up for a new one when the port is full */
    /* to be read */
    so_port *port;
    uint64_t id;      /* names it in messages; never used again */
    double opened;    /* of so_poll_now */
    char address[48]; /* "127.0.0.1", "unix" */
    bool local;       /* a loopback address or a unix socket */
    bool secure;      /* TLS */
    uint64_t received, sent;
    /* private */
    const so_protocol *protocol;
    so_bytes out;
    so_tls *tls;
    int fd;
    unsigned wanted;
    double moved; /* when output last moved, or began to wait */
    bool met, again, listed, tls_writes, ended, closing, shut, dead;
};

typedef struct so_port_options {
    int connections;     /* at most; 0: 1024 */
    int per_address;     /* of one address, not counted for local ones; 0: 64 */
    double stall;        /* seconds without any output taken; 0: 30 */
    double first;        /* seconds for the first byte (and TLS); 0: 10 */
    so_tls_context *tls; /* NULL: none; not owned */
} so_port_options;

typedef struct so_port_stats {
    int open;    /* connections, those counted that only wait to be closed by the other side */
    int closing; /* these: all that was given is sent */
    uint64_t accepted, refused_full, refused_address, given_up, stalled;
} so_port_stats;

so_status so_port_open(so_port **out, so_poll *loop, const so_port_options *options, so_error *error);
/* Closes listeners and connections at once. */
void so_port_close(so_port **port);
/* Takes a listening descriptor. The protocol must outlive the port. SO_ERR_LIMIT above SO_PORT_LISTENERS. */
so_status so_port_listen(so_port *port, int fd, const so_protocol *protocol, so_error *error);
/* Takes no more connections; those there are live on. */
void so_port_deaf(so_port *port);
/* Exchanges the certificate for connections to come; gives the old context back. It must live as long as connections
 * made with it, which OpenSSL sees to by counting. */
so_tls_context *so_port_tls(so_port *port, so_tls_context *tls);
/* Calls what is due, sends what was given; to be called before every so_poll_turn. Gives the seconds that the turn may
 * wait: 0 when work is left, negative when nothing is due. */
double so_port_tend(so_port *port);
so_conn *so_port_find(so_port *port, uint64_t id); /* NULL: gone */
void so_port_about(const so_port *port, so_port_stats *stats);
/* Calls `fn` for every connection; it may close them. */
void so_port_each(so_port *port, void (*fn)(void *context, so_conn *conn), void *context);

/* Appends to the output; false when the connection is closing or there is no memory (then it closes). */
bool so_conn_put(so_conn *conn, const void *data, size_t size);
/* Where others may append output themselves: so_conn_sent must be called afterwards. */
so_bytes *so_conn_out(so_conn *conn);
void so_conn_sent(so_conn *conn);
size_t so_conn_pending(const so_conn *conn); /* bytes of output not taken yet */
/* Has `input` called in the next turn again. */
void so_conn_again(so_conn *conn);
/* Sends what was given, tells the other side, drops what still comes for at most two seconds, closes. */
void so_conn_end(so_conn *conn);
/* Closes at the end of the turn, without sending. */
void so_conn_drop(so_conn *conn);

/* A listening socket at a host (address or name) and port (0: any; *bound gets it). SO_ERR_IO tells what is wrong. */
so_status so_listen_tcp(const char *host, int port, int *fd, int *bound, so_error *error);
/* At a path of the file system, which is removed first when nobody listens there. Mode 0600 or as `mode` says. */
so_status so_listen_unix(const char *path, unsigned mode, int *fd, so_error *error);
/* Whether an address is reachable from this machine only. */
bool so_address_local(const char *address);

#endif
