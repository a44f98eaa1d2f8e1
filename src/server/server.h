/* The server: HTTP, WebSocket and their protocols over the public header.
 *
 * Threads: the caller's (network: sockets, JSON of small messages), the engine's (desk.h), and a few for files and
 * large bodies (chores.h).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_SERVER_SERVER_H
#define SO_SERVER_SERVER_H

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>

#include "so.h"

typedef struct so_server_options {
    /* Opens the model, in a thread of its own; clients are answered meanwhile. */
    so_status (*open)(void *context, so_model **model, so_error *error);
    void *context;
    const char *model_name;     /* to tell clients; NULL: the model's own */
    so_session_options session; /* strings are lent until the server ends */
    const char *const *listen;  /* "127.0.0.1:8080", "[::1]:0", "unix:/path"; ends with NULL */
    const char *wyoming;        /* address for the Wyoming protocol, as in `listen`; NULL: none */
    bool quiet_wyoming;         /* it is not announced in the local network */
    const char *const *hosts;   /* names that requests may be for, besides numbers and localhost; ends with NULL; NULL:
                                   none */
    const char *const *origins; /* of pages that may ask, besides this server's own */
    const char *key, *key_file; /* NULL: none */
    bool no_key;                /* a public address without a key is meant */
    double per_minute;          /* requests of one key; 0: no limit */
    double audio_per_minute;    /* seconds of sound of one key, heard and spoken; 0: no limit */
    int per_key;                /* conversations of one key at a time; 0: no limit */
    bool query_key;             /* a key may stand in the query, as ?api_key= */
    bool fetch_images;          /* pictures named by https: addresses in the public network are fetched */
    const char *tls_chain, *tls_key;
    const char *tls_folder;                                    /* make a certificate of one's own there; NULL: do not */
    int sessions, waiting, speaking, connections, per_address; /* 0: the usual */
    so_clone *const *clones; /* n_clones voices made of recordings, lent until the server ends; those that were made
                              * with another model are left alone */
    int n_clones;
    const char *voice;             /* the usual one, by name; NULL: the model's own */
    volatile sig_atomic_t *reload; /* not 0: keys and certificates are read anew; NULL: never */
    double drain_s;                /* for answers that are being made when the server is to end; 0: 10 */
    const char *web_folder;   /* the page's files are read from there, anew each time; NULL: those in the program */
    const char *history;      /* file for conversations that clients ask to keep (archive.h); NULL: none are kept */
    double history_megabytes; /* that it may take; 0: 4096 */
    FILE *log;                /* a line of JSON for every request; NULL: none */
    FILE *say;                /* what people are told: addresses, how to trust; NULL: nothing */
} so_server_options;

/* Serves until *stop is not 0 (a second is let pass for signals that do not interrupt). SO_ERR_ARG for options that do
 * not go together, SO_ERR_IO when an address cannot be listened at, and the model's failure to open. */
so_status so_server_run(const so_server_options *options, volatile sig_atomic_t *stop, so_error *error);

#endif
