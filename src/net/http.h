/* HTTP/1.0 and 1.1 as a server reads and writes them, and heads of answers as a client reads them: bytes in, a verdict
 * out. No sockets, no time.
 *
 * Strict by design: what a proxy in front could read differently is refused, never repaired. One Host, one
 * Content-Length, none with Transfer-Encoding, no bare line feed, no folded line, no blank before a colon, no chunk
 * extension, no trailer, targets in origin form ("/path?query", and "*" for OPTIONS). Source: RFC 9110, RFC 9112.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_NET_HTTP_H
#define SO_NET_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SO_HTTP_HEAD_MOST = 16384,  /* bytes of a head, its last empty line counted */
    SO_HTTP_FIELDS_MOST = 64,   /* lines after the first */
    SO_HTTP_TARGET_MOST = 4096, /* bytes of a target */
    SO_HTTP_METHOD_MOST = 16
};

typedef struct so_http_field {
    const char *name, *value; /* the name in lower case, the value without blanks around it */
} so_http_field;

/* A head that was read. Strings point into the bytes it was read from, which are changed for it. */
typedef struct so_http_head {
    const char *method, *target, *host; /* host: "" where HTTP/1.0 sent none; all are "" in an answer */
    int status;                         /* of an answer; 0: this is a request */
    int minor;                          /* HTTP/1.minor */
    int64_t length;                     /* Content-Length; -1: none */
    bool chunked;                       /* the body comes in chunks */
    bool keep;                          /* the connection lives on after the answer */
    bool expect;                        /* 100-continue is awaited */
    bool websocket;                     /* asks to go on as WebSocket, with all that it takes; agrees to it (101) */
    int fields;
    so_http_field field[SO_HTTP_FIELDS_MOST];
} so_http_head;

/* Why bytes were refused: an HTTP status to answer with, and a reason in words. */
typedef struct so_http_refusal {
    int status; /* 0: nothing was refused */
    const char *why;
} so_http_refusal;

/* Looks for the end of a head in the first `size` bytes; *seen (0 at first) keeps how far earlier calls looked. Gives
 * the head's length with its last empty line, 0 when more must come, or -1 and the refusal: bytes that no head may have
 * are refused as soon as they are seen. */
int64_t so_http_head_end(const char *data, size_t size, size_t *seen, so_http_refusal *refusal);
/* Reads a head of `size` bytes, as so_http_head_end measured it. False with the refusal. */
bool so_http_head_read(char *data, size_t size, so_http_head *head, so_http_refusal *refusal);
/* The same for the head of an answer, as a client reads it: false with why. */
bool so_http_answer_read(char *data, size_t size, so_http_head *head, so_http_refusal *refusal);
/* The value of a field (name in lower case), NULL when it is absent. Of several the first. */
const char *so_http_field_of(const so_http_head *head, const char *name);
/* Whether `list` ("a, b;q=1") holds the token, whatever the case. */
bool so_http_lists(const char *list, const char *token);

/* The body's chunks. Start from a zeroed struct. */
typedef struct so_http_chunks {
    int state;
    int digits;
    uint64_t left; /* of the current chunk */
    bool done;     /* the last chunk and the empty line after it were read */
} so_http_chunks;

/* Takes bytes at `data`: gives how many of the `size` were read, or -1 and the refusal. Where they hold a part of the
 * body, *piece and *n tell it (one part a call, n may be 0); after `done` nothing more is read. */
int64_t so_http_chunks_feed(so_http_chunks *chunks, const char *data, size_t size, const char **piece, size_t *n,
                            so_http_refusal *refusal);

/* The words that belong to a status ("Not Found"). */
const char *so_http_reason(int status);

/* Splits the target at '?' and decodes the path ("%41") into `path`: false for a wrong escape, a zero byte, or a path
 * that does not fit or has "." or ".." or "//" in it. *query points behind the '?', "" when there is none. */
bool so_http_path(const char *target, char *path, size_t room, const char **query);
/* The decoded value of a name in a query ("a=1&b=2"): false when it is absent, wrong or does not fit. */
bool so_http_query(const char *query, const char *name, char *value, size_t room);

#endif
