/* Getting things over HTTP: small answers into memory, large files into a part that survives dropped connections.
 *
 * libcurl does the work: redirects (a token is never sent on to another host), proxies (http_proxy, https_proxy and the
 * like, or one that is given), TLS with the system's certificates. Nothing here knows what is fetched.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_NET_FETCH_H
#define SO_NET_FETCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/sha.h"

typedef struct so_fetcher so_fetcher;

typedef struct so_fetch_options {
    const char *token; /* "Authorization: Bearer <token>"; NULL: none */
    const char *proxy; /* URL; NULL: the environment's */
    int tries;         /* in a row without a byte of progress; 0: 5 */
    double pause;      /* seconds before the second try, doubled for each more up to 30; 0: 1 */
    double patience;   /* seconds without a byte before a connection is given up; 0: 60 */
    /* Bytes of a file there and expected (0: not known); anything but SO_OK stops. May be NULL. */
    so_status (*step)(void *context, double done, double total, so_error *error);
    void *context;
    double seconds; /* that a request may take; 0: any time */
    bool outside;   /* addresses come from strangers: https only, of hosts of the public network (outside.h) as their
                       names are resolved for the connection, with at most three redirects to such, by no proxy */
} so_fetch_options;

/* SO_ERR_NOMEM. The options' strings are lent until close. */
so_status so_fetcher_open(so_fetcher **out, const so_fetch_options *options, so_error *error);
void so_fetcher_close(so_fetcher **fetcher);

/* An answer in memory. `next` is the target of a Link header with rel="next" (made absolute), or NULL. */
typedef struct so_fetched {
    char *data; /* terminated */
    size_t size;
    char *next;
} so_fetched;
void so_fetched_clear(so_fetched *fetched);

/* Gets `url`, at most `limit` bytes. SO_ERR_IO (no connection, a status of 500 or more after all tries), SO_ERR_MISSING
 * (404), SO_ERR_ARG (401 and 403: a token is wanted or not enough), SO_ERR_LIMIT, SO_ERR_FORMAT (another status). */
so_status so_fetch_text(so_fetcher *fetcher, const char *url, size_t limit, so_fetched *out, so_error *error);

/* The same for the answer to a POST of `json`. */
so_status so_fetch_post(so_fetcher *fetcher, const char *url, const char *json, size_t limit, so_fetched *out,
                        so_error *error);

/* The same for the answer to a form: names and values in turn, NULL after the last. A server that answers 405 to POST
 * is asked by GET, with the form in the body all the same. */
so_status so_fetch_form(so_fetcher *fetcher, const char *url, const char *const *fields, size_t limit, so_fetched *out,
                        so_error *error);

/* Whether the last request found a server, whatever that answered, and if it did not. */
bool so_fetcher_reached(const so_fetcher *fetcher);

/* What a file must be. */
typedef struct so_fetch_file {
    const char *url, *path;
    int64_t size;     /* bytes; -1: not known */
    const char *hash; /* lower-case hexadecimal; NULL: not known */
    so_sha_kind kind; /* of the hash */
    bool git;         /* the hash is of "blob <size>\0" and the bytes, as git names files */
} so_fetch_file;

/* Gets a file to file->path by way of "<path>.part": what an earlier run or a dropped connection left is gone on with,
 * by range; where the server knows no ranges, from the beginning. Size and hash are checked before the file gets its
 * name. A file that is wrong is fetched once more from the beginning, then SO_ERR_FORMAT says what was found. Further
 * SO_ERR_STATE (another process fetches it), SO_ERR_IO, SO_ERR_STOPPED. */
so_status so_fetch(so_fetcher *fetcher, const so_fetch_file *file, so_error *error);

/* The hash of a file on disk, as so_fetch would check it. */
so_status so_fetch_hash(const char *path, const so_fetch_file *file, char hex[65], so_error *error);

#endif
