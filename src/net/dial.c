/* A client's connection.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "net/dial.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/loop.h"
#include "net/tls.h"

struct so_dial {
    int fd;
    so_tls_context *context;
    so_tls *tls;
};

/* ---- addresses */
static so_status read_scheme(so_place *out, const char **rest, so_error *error)
{
    static const struct {
        const char *name;
        bool secure;
    } known[] = {{"http://", false}, {"https://", true}, {"ws://", false}, {"wss://", true}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        size_t n = strlen(known[i].name);
        if (strncasecmp(*rest, known[i].name, n)) continue;
        *rest += n;
        out->secure = known[i].secure;
        return SO_OK;
    }
    const char *mark = strstr(*rest, "://");
    return mark ? so_fail(error, SO_ERR_ARG, "'%s': a server is at http, https, ws or wss, not at %.*s", *rest,
                          (int)(mark - *rest < 40 ? mark - *rest : 40), *rest)
                : SO_OK;
}

/* "host", "host:port", "[::1]:port". */
static so_status read_host(so_place *out, const char *text, size_t n, so_error *error)
{
    const char *end = text + n, *name = text, *stop;
    bool bracket = n && text[0] == '[';
    if (memchr(text, '@', n))
        return so_fail(error, SO_ERR_ARG, "a server's address has no name and password in it; a key is given by --key");
    if (bracket) {
        name++;
        stop = memchr(name, ']', n - 1);
    } else {
        stop = memchr(text, ':', n);
        if (!stop) stop = end;
    }
    size_t length = stop && stop > name ? (size_t)(stop - name) : 0;
    const char *digits = bracket ? "0123456789abcdefABCDEF:.%" : "-._~0123456789";
    bool good = length && length < sizeof out->host;
    for (size_t i = 0; good && i < length; i++) {
        unsigned char c = (unsigned char)name[i], low = c | 0x20;
        good = strchr(digits, c) || (!bracket && low >= 'a' && low <= 'z');
    }
    const char *port = stop ? stop + bracket : end;
    if (!good || (port < end && *port != ':'))
        return so_fail(error, SO_ERR_ARG, "'%.*s' is no host and port", (int)(n < 200 ? n : 200), text);
    memcpy(out->host, name, length);
    out->host[length] = 0;
    out->port = out->secure ? 443 : 80;
    if (port == end) return SO_OK;
    size_t figures = (size_t)(end - ++port);
    out->port = 0;
    for (size_t i = 0; i < figures && i < 6 && port[i] >= '0' && port[i] <= '9'; i++)
        out->port = out->port * 10 + (port[i] - '0');
    if (figures == 0 || figures > 5 || strspn(port, "0123456789") < figures || out->port < 1 || out->port > 65535)
        return so_fail(error, SO_ERR_ARG, "'%.*s': a port is a number from 1 to 65535", (int)(n < 200 ? n : 200), text);
    return SO_OK;
}

so_status so_place_read(so_place *out, const char *url, so_error *error)
{
    *out = (so_place){0};
    const char *rest = url;
    SO_TRY(read_scheme(out, &rest, error));
    size_t n = strcspn(rest, "/?#");
    SO_TRY(read_host(out, rest, n, error));
    const char *path = rest + n;
    for (const char *p = path; *p; p++)
        if (*p <= 0x20 || *p >= 0x7f || *p == '#')
            return so_fail(error, SO_ERR_ARG, "'%.200s': a path with bytes that no path may have", path);
    if (strlen(path) + 2 > sizeof out->path)
        return so_fail(error, SO_ERR_LIMIT, "a path of %zu bytes, at most %zu are taken", strlen(path),
                       sizeof out->path - 2);
    if (strcmp(path, "/")) snprintf(out->path, sizeof out->path, "%s%s", *path == '?' ? "/" : "", path);
    bool long_one = strchr(out->host, ':') != NULL, usual = out->port == (out->secure ? 443 : 80);
    const char *open = long_one ? "[" : "", *close = long_one ? "]" : "";
    if (usual)
        snprintf(out->field, sizeof out->field, "%s%s%s", open, out->host, close);
    else
        snprintf(out->field, sizeof out->field, "%s%s%s:%d", open, out->host, close, out->port);
    snprintf(out->shown, sizeof out->shown, "http%s://%s", out->secure ? "s" : "", out->field);
    return SO_OK;
}

/* ---- connecting */
void so_dial_wait(so_dial *dial, bool write, double seconds)
{
    struct pollfd p = {dial->fd, (short)(POLLIN | (write ? POLLOUT : 0)), 0};
    poll(&p, 1, seconds < 0 ? 0 : (int)(seconds * 1000 + 0.999));
}

/* Whether there is time left, and nobody asks to stop. */
static so_status patient(const so_dial_options *o, double until, so_error *error)
{
    if (o->stop && *o->stop) return so_fail(error, SO_ERR_STOPPED, "stopped");
    return so_poll_now() < until ? SO_OK : so_fail(error, SO_ERR_IO, "no answer within %.0f s", o->patience);
}

/* *reason: errno of a failure. */
static so_status connect_to(so_dial *d, const struct addrinfo *a, const so_dial_options *o, double until, int *reason,
                            so_error *error)
{
    static const int one = 1;
    *reason = 0;
    d->fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (d->fd < 0) return *reason = errno, SO_OK;
    setsockopt(d->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(d->fd, a->ai_addr, a->ai_addrlen) == 0) return SO_OK;
    if (errno != EINPROGRESS) return *reason = errno, SO_OK;
    for (;;) {
        struct pollfd p = {d->fd, POLLOUT, 0};
        SO_TRY(patient(o, until, error));
        if (poll(&p, 1, 50) <= 0) continue;
        socklen_t size = sizeof *reason;
        if (getsockopt(d->fd, SOL_SOCKET, SO_ERROR, reason, &size) != 0) *reason = errno;
        return SO_OK;
    }
}

static so_status reach(so_dial *d, const so_place *place, const so_dial_options *o, double until, so_error *error)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    char service[16];
    snprintf(service, sizeof service, "%d", place->port);
    int wrong = getaddrinfo(place->host, service, &hints, &list), reason = 0;
    if (wrong) return so_fail(error, SO_ERR_IO, "%s", gai_strerror(wrong));
    so_status status = SO_OK;
    for (struct addrinfo *a = list; a && status == SO_OK; a = a->ai_next) {
        if (d->fd >= 0) close(d->fd);
        d->fd = -1;
        status = connect_to(d, a, o, until, &reason, error);
        if (reason == 0) break;
    }
    freeaddrinfo(list);
    SO_TRY(status);
    if (reason == ECONNREFUSED)
        return so_fail(error, SO_ERR_IO,
                       "connection refused: nothing listens there (stream-omni serve starts a server)");
    return reason ? so_fail(error, SO_ERR_IO, "%s", strerror(reason)) : SO_OK;
}

static so_status greet(so_dial *d, const so_place *place, const so_dial_options *o, double until, so_error *error)
{
    bool done = false, write = false;
    SO_TRY(so_tls_trust(&d->context, o->authority, error));
    SO_TRY(so_tls_dial(&d->tls, d->context, d->fd, place->host, error));
    for (;;) {
        SO_TRY(so_tls_greet(d->tls, &done, &write, error));
        if (done) return SO_OK;
        SO_TRY(patient(o, until, error));
        so_dial_wait(d, write, 0.05);
    }
}

so_status so_dial_open(so_dial **out, const so_place *place, const so_dial_options *options, so_error *error)
{
    so_dial_options o = *options;
    so_dial *d = calloc(1, sizeof *d);
    *out = NULL;
    if (!d) return so_fail(error, SO_ERR_NOMEM, "no memory for a connection");
    d->fd = -1;
    if (o.patience <= 0) o.patience = 10;
    double until = so_poll_now() + o.patience;
    so_status status = reach(d, place, &o, until, error);
    if (status == SO_OK && place->secure) status = greet(d, place, &o, until, error);
    if (status != SO_OK) {
        so_dial_close(&d);
        return so_fail_in(error, "%s", place->shown);
    }
    *out = d;
    return SO_OK;
}

void so_dial_close(so_dial **dial)
{
    if (!dial || !*dial) return;
    if ((*dial)->tls) so_tls_end((*dial)->tls);
    so_tls_close(&(*dial)->tls);
    so_tls_context_close(&(*dial)->context);
    if ((*dial)->fd >= 0) close((*dial)->fd);
    free(*dial);
    *dial = NULL;
}

int so_dial_fd(const so_dial *dial) { return dial->fd; }

/* ---- bytes */
static ssize_t outcome(ssize_t n)
{
    if (n > 0) return n;
    if (n == 0) return SO_TLS_ENDED;
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? SO_TLS_AGAIN : SO_TLS_FAILED;
}

ssize_t so_dial_read(so_dial *dial, void *data, size_t size, bool *wants_write)
{
    if (dial->tls) return so_tls_read(dial->tls, data, size, wants_write);
    *wants_write = false;
    return outcome(recv(dial->fd, data, size, 0));
}

ssize_t so_dial_write(so_dial *dial, const void *data, size_t size, bool *wants_write)
{
    if (dial->tls) return so_tls_write(dial->tls, data, size, wants_write);
    *wants_write = true;
    return outcome(send(dial->fd, data, size, MSG_NOSIGNAL));
}
