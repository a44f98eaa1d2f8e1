/* A client's connection: an address as people write it, TCP, and TLS where the address says so.
 *
 * Opening waits, for at most so long and only while nobody asks it to stop; reading and writing never wait.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_NET_DIAL_H
#define SO_NET_DIAL_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

/* Where a URL leads. */
typedef struct so_place {
    bool secure; /* https, wss */
    char host[256];
    int port;
    char path[1024];      /* with its query; "" when the URL has none, or only "/" */
    char shown[256 + 32]; /* "http://host:port", for messages */
    char field[256 + 16]; /* for the field Host */
} so_place;

/* http, https, ws or wss; without a scheme http. SO_ERR_ARG for anything else, and for names and passwords in it. */
so_status so_place_read(so_place *out, const char *url, so_error *error);

typedef struct so_dial so_dial;
typedef struct so_dial_options {
    const char *authority;             /* PEM file of whom to trust in place of the system's authorities; NULL: these */
    double patience;                   /* seconds to connect and greet; 0: 10 */
    const volatile sig_atomic_t *stop; /* anything but 0 ends it with SO_ERR_STOPPED; may be NULL */
} so_dial_options;

/* SO_ERR_IO (refused, no such host, no answer in time), SO_ERR_ARG (not trusted), SO_ERR_STOPPED, SO_ERR_NOMEM. */
so_status so_dial_open(so_dial **out, const so_place *place, const so_dial_options *options, so_error *error);
void so_dial_close(so_dial **dial);
int so_dial_fd(const so_dial *dial);
/* Bytes moved, or what is named in net/tls.h. *wants_write: waits for room to write. */
ssize_t so_dial_read(so_dial *dial, void *data, size_t size, bool *wants_write);
ssize_t so_dial_write(so_dial *dial, const void *data, size_t size, bool *wants_write);
/* Waits until it can be read (or written, with `write`), at most `seconds`, or until a signal comes. */
void so_dial_wait(so_dial *dial, bool write, double seconds);

#endif
