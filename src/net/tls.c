/* TLS 1.2 and later over OpenSSL, for connections that never block.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "net/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct so_tls_context {
    SSL_CTX *ssl;
};

struct so_tls {
    SSL *ssl;
};

static so_status failed(so_error *error, so_status status, const char *what)
{
    char reason[160] = "";
    unsigned long code = ERR_peek_error();
    if (code) ERR_error_string_n(code, reason, sizeof reason);
    ERR_clear_error();
    return so_fail(error, status, "%s: %s", what, reason[0] ? reason : "OpenSSL gives no reason");
}

static so_status load(SSL_CTX *ssl, const char *chain, const char *key, so_error *error)
{
    struct stat about;
    if (stat(key, &about) != 0) return so_fail(error, SO_ERR_IO, "%s: cannot be read", key);
    if (about.st_mode & S_IRWXO)
        return so_fail(error, SO_ERR_ARG, "%s may be read by everybody (mode %03o), expected 600", key,
                       (unsigned)about.st_mode & 0777u);
    if (SSL_CTX_use_certificate_chain_file(ssl, chain) != 1) return failed(error, SO_ERR_FORMAT, chain);
    if (SSL_CTX_use_PrivateKey_file(ssl, key, SSL_FILETYPE_PEM) != 1) return failed(error, SO_ERR_FORMAT, key);
    if (SSL_CTX_check_private_key(ssl) != 1) return so_fail(error, SO_ERR_ARG, "%s is not the key of %s", key, chain);
    return SO_OK;
}

so_status so_tls_context_open(so_tls_context **out, const char *chain, const char *key, so_error *error)
{
    *out = NULL;
    so_tls_context *c = calloc(1, sizeof *c);
    if (c) c->ssl = SSL_CTX_new(TLS_server_method());
    if (!c || !c->ssl) {
        free(c);
        return so_fail(error, SO_ERR_NOMEM, "no memory for TLS");
    }
    SSL_CTX_set_min_proto_version(c->ssl, TLS1_2_VERSION);
    SSL_CTX_set_options(c->ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(c->ssl,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    so_status status = load(c->ssl, chain, key, error);
    if (status != SO_OK) {
        so_tls_context_close(&c);
        return status;
    }
    *out = c;
    return SO_OK;
}

void so_tls_context_close(so_tls_context **context)
{
    if (!context || !*context) return;
    SSL_CTX_free((*context)->ssl);
    free(*context);
    *context = NULL;
}

so_status so_tls_open(so_tls **out, so_tls_context *context, int fd, so_error *error)
{
    *out = NULL;
    so_tls *t = calloc(1, sizeof *t);
    if (t) t->ssl = SSL_new(context->ssl);
    if (!t || !t->ssl || SSL_set_fd(t->ssl, fd) != 1) {
        so_tls_close(&t);
        return so_fail(error, SO_ERR_NOMEM, "no memory for a TLS connection");
    }
    SSL_set_accept_state(t->ssl);
    *out = t;
    return SO_OK;
}

/* ---- a client's side */
so_status so_tls_trust(so_tls_context **out, const char *authority, so_error *error)
{
    *out = NULL;
    so_tls_context *c = calloc(1, sizeof *c);
    if (c) c->ssl = SSL_CTX_new(TLS_client_method());
    if (!c || !c->ssl) {
        free(c);
        return so_fail(error, SO_ERR_NOMEM, "no memory for TLS");
    }
    SSL_CTX_set_min_proto_version(c->ssl, TLS1_2_VERSION);
    SSL_CTX_set_mode(c->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_verify(c->ssl, SSL_VERIFY_PEER, NULL);
    so_status status = SO_OK;
    if (authority && access(authority, R_OK) != 0)
        status = so_fail(error, SO_ERR_IO, "%s: %s", authority, strerror(errno));
    else if (authority && SSL_CTX_load_verify_file(c->ssl, authority) != 1)
        status = so_fail(error, SO_ERR_FORMAT, "%s holds no certificate (PEM)", authority);
    else if (!authority && SSL_CTX_set_default_verify_paths(c->ssl) != 1)
        status = failed(error, SO_ERR_IO, "the system's certificates");
    ERR_clear_error();
    if (status != SO_OK) {
        so_tls_context_close(&c);
        return status;
    }
    *out = c;
    return SO_OK;
}

so_status so_tls_dial(so_tls **out, so_tls_context *context, int fd, const char *host, so_error *error)
{
    *out = NULL;
    so_tls *t = calloc(1, sizeof *t);
    if (t) t->ssl = SSL_new(context->ssl);
    bool good = t && t->ssl && SSL_set_fd(t->ssl, fd) == 1;
    if (good) {
        X509_VERIFY_PARAM *param = SSL_get0_param(t->ssl);
        SSL_set_connect_state(t->ssl);
        if (X509_VERIFY_PARAM_set1_ip_asc(param, host) != 1) /* an address is no name */
            good = SSL_set1_host(t->ssl, host) == 1 && SSL_set_tlsext_host_name(t->ssl, host) == 1;
    }
    ERR_clear_error();
    if (!good) {
        so_tls_close(&t);
        return so_fail(error, SO_ERR_NOMEM, "no memory for a TLS connection");
    }
    *out = t;
    return SO_OK;
}

so_status so_tls_greet(so_tls *tls, bool *done, bool *wants_write, so_error *error)
{
    ERR_clear_error();
    int result = SSL_do_handshake(tls->ssl), reason = SSL_get_error(tls->ssl, result);
    *done = result == 1;
    *wants_write = reason == SSL_ERROR_WANT_WRITE;
    if (*done || reason == SSL_ERROR_WANT_READ || reason == SSL_ERROR_WANT_WRITE) return SO_OK;
    long verdict = SSL_get_verify_result(tls->ssl);
    int what = ERR_GET_REASON(ERR_peek_error());
    if (what == SSL_R_CERTIFICATE_VERIFY_FAILED)
        return ERR_clear_error(),
               so_fail(error, SO_ERR_ARG, "its certificate is not trusted: %s", X509_verify_cert_error_string(verdict));
    if (what == SSL_R_WRONG_VERSION_NUMBER || what == SSL_R_HTTP_REQUEST)
        return ERR_clear_error(), so_fail(error, SO_ERR_FORMAT, "it does not speak TLS (is it http, not https?)");
    if (reason == SSL_ERROR_SYSCALL || reason == SSL_ERROR_ZERO_RETURN)
        return ERR_clear_error(), so_fail(error, SO_ERR_IO, "it closed the connection during the TLS handshake");
    return failed(error, SO_ERR_IO, "TLS");
}

void so_tls_close(so_tls **tls)
{
    if (!tls || !*tls) return;
    SSL_free((*tls)->ssl);
    free(*tls);
    *tls = NULL;
}

static ssize_t outcome(so_tls *tls, int result, bool *wants_write)
{
    int reason = SSL_get_error(tls->ssl, result);
    ERR_clear_error();
    *wants_write = reason == SSL_ERROR_WANT_WRITE;
    if (reason == SSL_ERROR_WANT_READ || reason == SSL_ERROR_WANT_WRITE) return SO_TLS_AGAIN;
    return reason == SSL_ERROR_ZERO_RETURN ? SO_TLS_ENDED : SO_TLS_FAILED;
}

ssize_t so_tls_read(so_tls *tls, void *data, size_t size, bool *wants_write)
{
    size_t n = 0;
    *wants_write = false;
    ERR_clear_error();
    int result = SSL_read_ex(tls->ssl, data, size, &n);
    return result == 1 ? (ssize_t)n : outcome(tls, result, wants_write);
}

ssize_t so_tls_write(so_tls *tls, const void *data, size_t size, bool *wants_write)
{
    size_t n = 0;
    *wants_write = false;
    ERR_clear_error();
    int result = SSL_write_ex(tls->ssl, data, size, &n);
    return result == 1 ? (ssize_t)n : outcome(tls, result, wants_write);
}

size_t so_tls_pending(const so_tls *tls) { return (size_t)SSL_pending(tls->ssl); }

void so_tls_end(so_tls *tls)
{
    ERR_clear_error();
    if (SSL_is_init_finished(tls->ssl)) SSL_shutdown(tls->ssl);
    ERR_clear_error();
}
