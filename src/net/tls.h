/* TLS 1.2 and later over OpenSSL, for connections that never block; and a small authority of one's own.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_NET_TLS_H
#define SO_NET_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

typedef struct so_tls_context so_tls_context;
typedef struct so_tls so_tls;

/* Reads a chain and its key, both PEM. SO_ERR_IO, SO_ERR_FORMAT, SO_ERR_ARG when they do not belong together or the key
 * may be read by others than its owner. */
so_status so_tls_context_open(so_tls_context **out, const char *chain, const char *key, so_error *error);
void so_tls_context_close(so_tls_context **context);

/* For clients: the other side must be certified by `authority` (a PEM file), or, where it is NULL, by an authority that
 * the system trusts. SO_ERR_IO, SO_ERR_FORMAT. */
so_status so_tls_trust(so_tls_context **out, const char *authority, so_error *error);

/* The server's side of a connection on a socket that does not block and stays the caller's. The context must outlive
 * it. */
so_status so_tls_open(so_tls **out, so_tls_context *context, int fd, so_error *error);
/* The client's side, to a server that must be certified for `host` (a name or an address). */
so_status so_tls_dial(so_tls **out, so_tls_context *context, int fd, const char *host, so_error *error);
/* Goes on with the handshake, which reading and writing do unasked: for who wants to know why it fails. */
so_status so_tls_greet(so_tls *tls, bool *done, bool *wants_write, so_error *error);
void so_tls_close(so_tls **tls);
/* What a call ended with when it moved no bytes. */
enum { SO_TLS_AGAIN = -1, SO_TLS_ENDED = -2, SO_TLS_FAILED = -3 };
/* Bytes read or written, or one of the above. Does the handshake on the way. *wants_write: waits for room to write. */
ssize_t so_tls_read(so_tls *tls, void *data, size_t size, bool *wants_write);
ssize_t so_tls_write(so_tls *tls, const void *data, size_t size, bool *wants_write);
/* Bytes decrypted already, which the socket does not tell of. */
size_t so_tls_pending(const so_tls *tls);
/* Tells the other side that nothing more comes. */
void so_tls_end(so_tls *tls);

typedef struct so_tls_files {
    char authority[4096], chain[4096], key[4096];
} so_tls_files;

/* Makes in `folder` (which is made, 0700), unless they are there and valid for a month more and for these names: a
 * small authority (authority.pem, to be trusted by browsers; its key is thrown away), and a certificate by it for
 * `names` (host names and addresses, ended by NULL) with its key (chain.pem, key.pem, 0600). Valid for 397 days. */
so_status so_tls_make(const char *folder, const char *const *names, so_tls_files *files, so_error *error);

#endif
