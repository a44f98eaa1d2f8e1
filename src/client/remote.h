/* A conversation on a server, by the Realtime protocol over a WebSocket: what a session of so.h is for a model here.
 *
 * One thread owns it. Sending only takes note; so_remote_turn exchanges with the server, so_remote_next gives what
 * came.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_CLIENT_REMOTE_H
#define SO_CLIENT_REMOTE_H

#include <signal.h>

#include "client/remote_event.h"

typedef struct so_remote so_remote;

/* Zeroed: text alone, turns that the client ends, what the server does by itself. Strings are lent during opening. */
typedef struct so_remote_options {
    const char *url;                   /* http(s)://host:port, with the path where it is not /v1/realtime */
    const char *key;                   /* NULL: none */
    const char *authority;             /* PEM file of whom to trust; NULL: the system's authorities */
    const char *instructions;          /* system text; NULL: the server's */
    double temperature;                /* 0: not said */
    int most;                          /* tokens of an answer; 0: no limit of its own */
    bool voice;                        /* answers are spoken */
    const char *speaker;               /* by the voice of that name; NULL: the server's usual one */
    bool units;                        /* and their units told, where the server can */
    bool detect;                       /* the server finds where turns end in what is appended, and answers */
    bool interrupts;                   /* the user's voice ends an answer */
    int silence_ms;                    /* that ends a turn, with detect; 0: the server's own */
    double patience;                   /* seconds to connect; 0: 10 */
    const volatile sig_atomic_t *stop; /* ends opening; may be NULL */
} so_remote_options;

/* Connects and has the settings taken. SO_ERR_IO: nobody there, or the connection was lost; SO_ERR_ARG: refused (a key
 * is wanted, a setting is not taken); SO_ERR_FORMAT: what answers is no such server; SO_ERR_STOPPED; SO_ERR_NOMEM. */
so_status so_remote_open(so_remote **out, const so_remote_options *options, so_error *error);
void so_remote_close(so_remote **remote);

/* ---- of the user's turn, whole pieces. Copied. */
so_status so_remote_text(so_remote *remote, const char *utf8, so_error *error);
so_status so_remote_picture(so_remote *remote, const void *png, size_t size, so_error *error);
/* A recording at SO_REMOTE_RATE. */
so_status so_remote_sound(so_remote *remote, const float *pcm, size_t n, so_error *error);
/* Asks for the answer to them. */
so_status so_remote_reply(so_remote *remote, so_error *error);

/* ---- with detect: what the microphone brings, at SO_REMOTE_RATE */
so_status so_remote_append(so_remote *remote, const float *pcm, size_t n, so_error *error);
/* Ends the answer; nothing happens when there is none. */
so_status so_remote_cancel(so_remote *remote, so_error *error);
/* Of the last answer only so much was heard. */
so_status so_remote_heard(so_remote *remote, double seconds, so_error *error);

/* Sends and reads, waiting at most `seconds` for something to come. SO_ERR_IO, SO_ERR_FORMAT: the connection is lost;
 * what came before is still given by so_remote_next. */
so_status so_remote_turn(so_remote *remote, double seconds, so_error *error);
/* The next of what came, in order; false when there is nothing. Pointers live until the next call. Pieces of answers
 * that are over are left out. */
bool so_remote_next(so_remote *remote, so_remote_event *event);
/* Bytes that wait to be sent. */
size_t so_remote_pending(const so_remote *remote);
/* For who waits for many. */
int so_remote_fd(const so_remote *remote);
bool so_remote_wants_write(const so_remote *remote);

#endif
