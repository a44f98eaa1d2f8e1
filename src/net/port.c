/* Listening sockets and the connections that come through them.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "net/port.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LINGER_S = 2, PAUSE_MS = 100 };

typedef struct listener {
    so_port *port;
    const so_protocol *protocol;
    int fd;
} listener;

struct so_port {
    so_poll *loop;
    so_port_options options;
    listener listeners[SO_PORT_LISTENERS];
    int n_listeners;
    so_conn **slot;
    uint32_t *generation;
    so_conn **ready; /* those that wait for tend */
    int n_ready;
    bool reap;
    double paused; /* accepting again at this time: descriptors ran out */
    so_port_stats stats;
};

static void on_listener(void *context, int fd, unsigned ready);
static void on_conn(void *context, int fd, unsigned ready);

/* ---- the port */
so_status so_port_open(so_port **out, so_poll *loop, const so_port_options *options, so_error *error)
{
    *out = NULL;
    so_port *p = calloc(1, sizeof *p);
    if (!p) return so_fail(error, SO_ERR_NOMEM, "no memory for a port");
    p->loop = loop;
    p->options = *options;
    if (p->options.connections <= 0) p->options.connections = 1024;
    if (p->options.per_address <= 0) p->options.per_address = 64;
    if (p->options.stall <= 0) p->options.stall = 30;
    if (p->options.first <= 0) p->options.first = 10;
    size_t n = (size_t)p->options.connections;
    p->slot = calloc(n, sizeof *p->slot);
    p->ready = calloc(2 * n, sizeof *p->ready); /* one that is tended may want it again */
    p->generation = calloc(n, sizeof *p->generation);
    *out = p;
    if (p->slot && p->ready && p->generation) return SO_OK;
    so_port_close(out);
    return so_fail(error, SO_ERR_NOMEM, "no memory for %zu connections", n);
}

static void release(so_conn *c)
{
    so_port *p = c->port;
    uint32_t slot = (uint32_t)c->id;
    if (c->protocol->gone) c->protocol->gone(c->protocol->context, c);
    so_poll_forget(p->loop, c->fd);
    so_tls_close(&c->tls);
    close(c->fd);
    so_bytes_clear(&c->in);
    so_bytes_clear(&c->out);
    p->slot[slot] = NULL;
    p->generation[slot]++;
    p->stats.open--;
    free(c);
}

void so_port_close(so_port **port)
{
    if (!port || !*port) return;
    so_port *p = *port;
    so_port_deaf(p);
    for (int i = 0; p->slot && i < p->options.connections; i++)
        if (p->slot[i]) release(p->slot[i]);
    free(p->slot);
    free(p->ready);
    free(p->generation);
    free(p);
    *port = NULL;
}

so_status so_port_listen(so_port *p, int fd, const so_protocol *protocol, so_error *error)
{
    if (p->n_listeners == SO_PORT_LISTENERS)
        return so_fail(error, SO_ERR_LIMIT, "more than %d addresses to listen at", SO_PORT_LISTENERS);
    listener *l = &p->listeners[p->n_listeners];
    *l = (listener){p, protocol, fd};
    SO_TRY(so_poll_watch(p->loop, fd, SO_POLL_READ, on_listener, l, error));
    p->n_listeners++;
    return SO_OK;
}

void so_port_deaf(so_port *p)
{
    for (int i = 0; i < p->n_listeners; i++) {
        so_poll_forget(p->loop, p->listeners[i].fd);
        close(p->listeners[i].fd);
    }
    p->n_listeners = 0;
}

so_tls_context *so_port_tls(so_port *p, so_tls_context *tls)
{
    so_tls_context *old = p->options.tls;
    p->options.tls = tls;
    return old;
}

so_conn *so_port_find(so_port *p, uint64_t id)
{
    uint32_t slot = (uint32_t)id;
    if (slot >= (uint32_t)p->options.connections) return NULL;
    so_conn *c = p->slot[slot];
    return c && c->id == id && !c->dead ? c : NULL;
}

void so_port_about(const so_port *p, so_port_stats *stats)
{
    *stats = p->stats;
    for (int i = 0; i < p->options.connections; i++) stats->closing += p->slot[i] && p->slot[i]->shut;
}

void so_port_each(so_port *p, void (*fn)(void *context, so_conn *conn), void *context)
{
    for (int i = 0; i < p->options.connections; i++)
        if (p->slot[i] && !p->slot[i]->dead) fn(context, p->slot[i]);
}

/* ---- states of a connection */
static void wish(so_conn *c)
{
    unsigned wanted = 0;
    bool full = so_bytes_left(&c->in) >= SO_PORT_IN_MOST;
    if (!c->ended) wanted |= SO_POLL_GONE;
    if (!c->ended && (!full || c->closing)) wanted |= SO_POLL_READ;
    if (so_bytes_left(&c->out) || c->tls_writes) wanted |= SO_POLL_WRITE;
    if (wanted == c->wanted) return;
    c->wanted = wanted;
    so_poll_change(c->port->loop, c->fd, wanted);
}

static void list(so_conn *c)
{
    if (c->listed) return;
    c->listed = true;
    c->port->ready[c->port->n_ready++] = c;
}

void so_conn_drop(so_conn *c)
{
    c->dead = true;
    c->port->reap = true;
}

void so_conn_end(so_conn *c)
{
    if (c->closing) return;
    c->closing = true;
    c->deadline = 0;
    list(c);
}

void so_conn_again(so_conn *c)
{
    c->again = true;
    list(c);
}

size_t so_conn_pending(const so_conn *c) { return so_bytes_left(&c->out); }
so_bytes *so_conn_out(so_conn *c) { return &c->out; }

void so_conn_sent(so_conn *c)
{
    if (so_bytes_left(&c->out) == 0) return;
    if (c->moved == 0) c->moved = so_poll_now();
    list(c);
}

bool so_conn_put(so_conn *c, const void *data, size_t size)
{
    if (c->closing || c->dead) return false;
    if (!so_bytes_put(&c->out, data, size)) {
        so_conn_drop(c);
        return false;
    }
    so_conn_sent(c);
    return true;
}

/* ---- output */
/* Bytes taken, 0 to wait, negative when the connection is lost. */
static ssize_t write_some(so_conn *c)
{
    const void *data = so_bytes_front(&c->out);
    size_t size = so_bytes_left(&c->out);
    if (c->tls) {
        ssize_t n = so_tls_write(c->tls, data, size, &c->tls_writes);
        return n == SO_TLS_AGAIN ? 0 : n;
    }
    ssize_t n = send(c->fd, data, size, MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return 0;
    return n;
}

static void flush(so_conn *c)
{
    bool had = so_bytes_left(&c->out) > 0;
    while (so_bytes_left(&c->out) && !c->dead) {
        ssize_t n = write_some(c);
        if (n == 0) break;
        if (n < 0) {
            so_conn_drop(c);
            return;
        }
        so_bytes_take(&c->out, (size_t)n);
        c->sent += (uint64_t)n;
        c->moved = so_poll_now();
    }
    if (so_bytes_left(&c->out)) return;
    c->moved = 0;
    if (had && !c->closing && c->protocol->room) c->protocol->room(c->protocol->context, c);
    if (!c->closing || c->shut || so_bytes_left(&c->out)) return;
    c->shut = true;
    if (c->tls) so_tls_end(c->tls);
    shutdown(c->fd, SHUT_WR);
    c->deadline = so_poll_now() + LINGER_S;
    if (c->ended) so_conn_drop(c);
}

/* ---- input */
static ssize_t read_some(so_conn *c, void *data, size_t size)
{
    if (c->tls) return so_tls_read(c->tls, data, size, &c->tls_writes);
    ssize_t n = recv(c->fd, data, size, 0);
    if (n == 0) return SO_TLS_ENDED;
    if (n < 0) return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? SO_TLS_AGAIN : SO_TLS_FAILED;
    return n;
}

/* The first byte of a TLS connection is 22 (handshake), which no other protocol here begins with. */
static bool meet(so_conn *c)
{
    unsigned char first;
    ssize_t n = recv(c->fd, &first, 1, MSG_PEEK);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return false;
    if (n <= 0) {
        so_conn_drop(c);
        return false;
    }
    c->met = true;
    if (first != 22) return true;
    c->secure = true;
    if (c->port->options.tls && so_tls_open(&c->tls, c->port->options.tls, c->fd, NULL) == SO_OK) return true;
    so_conn_drop(c);
    return false;
}

static void half_closed(so_conn *c)
{
    c->ended = true;
    if (c->closing && so_bytes_left(&c->out) == 0)
        so_conn_drop(c);
    else if (!c->closing && c->protocol->half)
        c->protocol->half(c->protocol->context, c);
    else if (!c->closing)
        so_conn_drop(c);
}

/* A connection that closes: what still comes is dropped, until its last deadline. */
static void drain(so_conn *c)
{
    unsigned char waste[16384];
    ssize_t n = read_some(c, waste, sizeof waste);
    if (n > 0) c->received += (uint64_t)n;
    if (n == SO_TLS_ENDED || n == SO_TLS_FAILED) half_closed(c);
}

static void take_input(so_conn *c)
{
    if (!c->met && !meet(c)) return;
    if (c->closing) {
        drain(c);
        return;
    }
    size_t room = SO_PORT_IN_MOST - (so_bytes_left(&c->in) < SO_PORT_IN_MOST ? so_bytes_left(&c->in) : SO_PORT_IN_MOST);
    ssize_t n = SO_TLS_AGAIN;
    if (room && !so_bytes_room(&c->in, room)) {
        so_conn_drop(c);
        return;
    }
    if (room) n = read_some(c, c->in.data + c->in.size, room);
    if (n > 0) {
        c->in.size += (size_t)n;
        c->received += (uint64_t)n;
        if (c->tls && so_tls_pending(c->tls)) so_conn_again(c);
        c->protocol->input(c->protocol->context, c);
    } else if (n == SO_TLS_ENDED)
        half_closed(c);
    else if (n == SO_TLS_FAILED)
        so_conn_drop(c);
}

static void on_conn(void *context, int fd, unsigned ready)
{
    so_conn *c = context;
    (void)fd;
    if (c->dead) return;
    if (c->tls_writes && ready & SO_POLL_WRITE) ready |= SO_POLL_READ;
    if (ready & SO_POLL_READ)
        take_input(c);
    else if (ready & SO_POLL_GONE && c->ended)
        so_conn_drop(c); /* the other half too */
    else if (ready & SO_POLL_GONE)
        half_closed(c); /* also noticed while nothing is read */
    if (!c->dead) list(c);
}

/* ---- accepting */
bool so_address_local(const char *address)
{
    if (strncmp(address, "::ffff:", 7) == 0) address += 7;
    return strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0 || strcmp(address, "unix") == 0 ||
           strcmp(address, "localhost") == 0;
}

static void name_address(const struct sockaddr_storage *from, so_conn *c)
{
    strcpy(c->address, "unix");
    if (from->ss_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)from)->sin_addr, c->address, sizeof c->address);
    if (from->ss_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)from)->sin6_addr, c->address, sizeof c->address);
    c->local = so_address_local(c->address);
}

/* A full port gives up the connection that has been idle for longest. */
static bool give_up_one(so_port *p)
{
    so_conn *oldest = NULL;
    for (int i = 0; i < p->options.connections; i++) {
        so_conn *c = p->slot[i];
        if (c && (c->dead || c->closing)) {
            oldest = c;
            break;
        }
        if (c && c->idle && (!oldest || c->opened < oldest->opened)) oldest = c;
    }
    if (!oldest) return false;
    for (int i = 0; i < p->n_ready; i++)
        if (p->ready[i] == oldest) p->ready[i] = p->ready[--p->n_ready];
    p->stats.given_up += !oldest->dead && !oldest->closing;
    release(oldest);
    return true;
}

static bool address_full(so_port *p, const so_conn *c)
{
    int same = 0;
    for (int i = 0; !c->local && i < p->options.connections; i++)
        same += p->slot[i] && strcmp(p->slot[i]->address, c->address) == 0;
    return same >= p->options.per_address;
}

static void admit(listener *l, int fd, const struct sockaddr_storage *from)
{
    static const int one = 1;
    so_port *p = l->port;
    so_conn *c = calloc(1, sizeof *c);
    uint32_t slot = 0;
    p->stats.accepted++;
    if (p->stats.open == p->options.connections && !give_up_one(p)) p->stats.refused_full++;
    while (slot < (uint32_t)p->options.connections && p->slot[slot]) slot++;
    if (!c || slot == (uint32_t)p->options.connections) {
        free(c);
        close(fd);
        return;
    }
    *c = (so_conn){.port = p, .fd = fd, .protocol = l->protocol, .idle = true, .opened = so_poll_now()};
    name_address(from, c);
    c->id = (uint64_t)p->generation[slot] << 32 | slot;
    c->deadline = c->opened + p->options.first;
    c->wanted = SO_POLL_READ | SO_POLL_GONE;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    bool crowded = address_full(p, c);
    p->stats.refused_address += crowded;
    if (crowded || so_poll_watch(p->loop, fd, c->wanted, on_conn, c, NULL) != SO_OK) {
        close(fd);
        free(c);
        return;
    }
    p->slot[slot] = c;
    p->stats.open++;
    if (c->protocol->open && !c->protocol->open(c->protocol->context, c)) so_conn_drop(c);
}

static void on_listener(void *context, int fd, unsigned ready)
{
    listener *l = context;
    (void)ready;
    for (int i = 0; i < SO_PORT_ACCEPTS; i++) {
        struct sockaddr_storage from = {0};
        socklen_t size = sizeof from;
        int conn = accept4(fd, (struct sockaddr *)&from, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (conn < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
                l->port->paused = so_poll_now() + PAUSE_MS / 1000.0;
                for (int k = 0; k < l->port->n_listeners; k++)
                    so_poll_change(l->port->loop, l->port->listeners[k].fd, 0);
            }
            return;
        }
        admit(l, conn, &from);
    }
}

/* ---- what is due */
static void tend_one(so_conn *c)
{
    c->listed = false;
    if (c->dead) return;
    if (c->again) {
        c->again = false;
        bool more = c->tls && so_tls_pending(c->tls) && so_bytes_left(&c->in) < SO_PORT_IN_MOST;
        if (more || c->closing)
            take_input(c);
        else
            c->protocol->input(c->protocol->context, c);
    }
    if (!c->dead) flush(c);
    if (!c->dead) wish(c);
}

static void look_at_clock(so_conn *c, double now)
{
    if (c->dead) return;
    if (c->moved > 0 && now - c->moved > c->port->options.stall) {
        c->port->stats.stalled++;
        so_conn_drop(c);
    } else if (c->deadline > 0 && now >= c->deadline) {
        c->deadline = 0;
        if (c->closing || !c->met || !c->protocol->late)
            so_conn_drop(c);
        else
            c->protocol->late(c->protocol->context, c);
        if (!c->dead) list(c);
    }
}

/* When the next deadline of all is; 0: there is none. */
static double next_due(const so_port *p)
{
    double due = p->paused;
    for (int i = 0; i < p->options.connections; i++) {
        const so_conn *c = p->slot[i];
        if (!c) continue;
        double stall = c->moved > 0 ? c->moved + p->options.stall : 0;
        if (stall > 0 && (due == 0 || stall < due)) due = stall;
        if (c->deadline > 0 && (due == 0 || c->deadline < due)) due = c->deadline;
    }
    return due;
}

double so_port_tend(so_port *p)
{
    double now = so_poll_now();
    if (p->paused > 0 && now >= p->paused) {
        p->paused = 0;
        for (int i = 0; i < p->n_listeners; i++) so_poll_change(p->loop, p->listeners[i].fd, SO_POLL_READ);
    }
    for (int i = 0; i < p->options.connections; i++)
        if (p->slot[i]) look_at_clock(p->slot[i], now);
    int n = p->n_ready;
    for (int i = 0; i < n; i++) tend_one(p->ready[i]);
    memmove(p->ready, p->ready + n, (size_t)(p->n_ready - n) * sizeof *p->ready);
    p->n_ready -= n;
    for (int i = 0; p->reap && i < p->options.connections; i++) {
        so_conn *c = p->slot[i];
        if (!c || !c->dead) continue;
        for (int k = 0; k < p->n_ready; k++)
            if (p->ready[k] == c) p->ready[k] = p->ready[--p->n_ready];
        release(c);
    }
    p->reap = false;
    if (p->n_ready) return 0;
    double due = next_due(p);
    return due == 0 ? -1 : due > now ? due - now : 0;
}
