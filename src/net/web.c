/* HTTP/1.1 on the connections of a port.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "net/web.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { HEAD, BODY, ANSWER, SOCKET, CLOSING };
enum { REQUESTS_A_TURN = 16, TURN_BYTES = SO_PORT_READ, OUT_MOST = 1 << 18 /* waiting output that stops input */ };

struct so_web_host {
    so_web_handler handler;
    so_web_options options;
    so_protocol protocol;
    size_t bodies; /* bytes that all bodies take now */
};

/* ---- answers */
static void date(char text[40])
{
    time_t now = time(NULL);
    struct tm parts;
    gmtime_r(&now, &parts);
    strftime(text, 40, "%a, %d %b %Y %H:%M:%S GMT", &parts);
}

static void forget_body(so_web *w)
{
    w->host->bodies -= w->body.capacity;
    so_bytes_clear(&w->body);
}

static void over(so_web *w, bool lost)
{
    if (w->host->handler.over) w->host->handler.over(w->host->handler.context, w, lost);
    w->user = NULL;
    forget_body(w);
}

static bool put_head(so_web *w, int status, const char *type, const char *fields, int64_t length)
{
    char text[2048], now[40], size[64] = "";
    date(now);
    bool old = w->head.minor == 0;
    /* A body that was not read would be taken for the next request. */
    if (w->reading) w->keep = false;
    w->chunked = length < 0 && !old;
    if (length < 0 && old) w->keep = false;
    if (length >= 0 && status != 204 && status != 304)
        snprintf(size, sizeof size, "Content-Length: %lld\r\n", (long long)length);
    int n = snprintf(text, sizeof text, "HTTP/1.1 %d %s\r\nDate: %s\r\n%s%s%s%s%s%s%s\r\n", status,
                     so_http_reason(status), now, type ? "Content-Type: " : "", type ? type : "", type ? "\r\n" : "",
                     size, w->chunked ? "Transfer-Encoding: chunked\r\n" : "",
                     !w->keep ? "Connection: close\r\n"
                     : old    ? "Connection: keep-alive\r\n"
                              : "",
                     fields);
    w->status = status;
    w->head_sent = w->conn->sent + so_conn_pending(w->conn);
    if (n < 0 || (size_t)n >= sizeof text) {
        so_conn_drop(w->conn);
        return false;
    }
    return so_conn_put(w->conn, text, (size_t)n);
}

/* The answer is complete: the next request, or the end. */
static void complete(so_web *w)
{
    over(w, false);
    free(w->text);
    w->text = NULL;
    w->seen = 0;
    w->head_began = 0;
    w->state = w->keep ? HEAD : CLOSING;
    w->conn->idle = w->keep;
    if (!w->keep) {
        so_conn_end(w->conn);
        return;
    }
    w->conn->deadline = so_poll_now() + w->host->options.idle;
    so_conn_again(w->conn);
}

void so_web_reply(so_web *w, int status, const char *type, const char *fields, const void *body, size_t size)
{
    bool sends = strcmp(w->head.method, "HEAD") != 0 && status != 204 && status != 304;
    if (w->state != ANSWER && w->state != BODY) return;
    w->state = ANSWER;
    if (put_head(w, status, type, fields, (int64_t)size) && sends) so_conn_put(w->conn, body, size);
    complete(w);
}

bool so_web_begin(so_web *w, int status, const char *type, const char *fields)
{
    if (w->state != ANSWER) return false;
    return put_head(w, status, type, fields, -1);
}

bool so_web_piece(so_web *w, const void *data, size_t size)
{
    char head[24];
    if (w->state != ANSWER || w->conn->dead) return false;
    if (size == 0 || strcmp(w->head.method, "HEAD") == 0) return true;
    if (!w->chunked) return so_conn_put(w->conn, data, size);
    int n = snprintf(head, sizeof head, "%zx\r\n", size);
    return so_conn_put(w->conn, head, (size_t)n) && so_conn_put(w->conn, data, size) && so_conn_put(w->conn, "\r\n", 2);
}

void so_web_finish(so_web *w)
{
    if (w->state != ANSWER) return;
    if (w->chunked && strcmp(w->head.method, "HEAD")) so_conn_put(w->conn, "0\r\n\r\n", 5);
    complete(w);
}

void so_web_abort(so_web *w) { so_conn_drop(w->conn); }

/* ---- refusing what is no request */
static void refuse(so_web *w, const so_http_refusal *refusal)
{
    char body[512];
    int n =
        snprintf(body, sizeof body,
                 "{\"error\":{\"message\":\"%s\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":null}}\n",
                 refusal->why);
    if (w->host->handler.refused) w->host->handler.refused(w->host->handler.context, w, refusal->status);
    w->keep = false;
    if (!w->head.method) w->head.method = "";
    bool asked = w->state == BODY;
    w->state = ANSWER;
    put_head(w, refusal->status, "application/json",
             refusal->status == 426 ? "Sec-WebSocket-Version: 13\r\nUpgrade: websocket\r\n" : "", n);
    so_conn_put(w->conn, body, (size_t)n);
    if (asked) over(w, false);
    w->state = CLOSING;
    w->conn->idle = false;
    so_conn_end(w->conn);
}

/* ---- requests */
void so_web_collect(so_web *w, size_t most)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    const so_http_refusal large = {413, "a body above what this route takes"};
    if (w->state != ANSWER) return;
    w->state = BODY;
    w->most = most;
    w->chunks = (so_http_chunks){0};
    w->body_received = 0;
    w->body_began = so_poll_now();
    if (w->head.length > 0 && (uint64_t)w->head.length > most) {
        refuse(w, &large);
        return;
    }
    if (w->reading && w->head.expect && so_bytes_left(&w->conn->in) == 0) so_conn_put(w->conn, go_on, sizeof go_on - 1);
    w->conn->deadline = w->body_began + w->host->options.grace;
}

static bool keep_body(so_web *w, const char *data, size_t n, so_http_refusal *refusal)
{
    size_t before = w->body.capacity;
    if (n > w->most - w->body.size) {
        *refusal = (so_http_refusal){413, "a body above what this route takes"};
        return false;
    }
    if (w->host->bodies + n > w->host->options.bodies || !so_bytes_put(&w->body, data, n)) {
        *refusal = (so_http_refusal){503, "no room for a body now"};
        return false;
    }
    w->host->bodies += w->body.capacity - before;
    return true;
}

/* Gives whether the state moved on. */
static bool step_body(so_web *w)
{
    so_bytes *in = &w->conn->in;
    so_http_refusal refusal = {0, NULL};
    const char *piece = (const char *)so_bytes_front(in);
    size_t n = so_bytes_left(in);
    int64_t used;
    if (w->head.chunked)
        used = so_http_chunks_feed(&w->chunks, piece, n, &piece, &n, &refusal);
    else {
        uint64_t left = (uint64_t)w->head.length - w->body.size;
        if (n > left) n = (size_t)left;
        used = (int64_t)n;
    }
    if (used < 0 || !keep_body(w, piece, n, &refusal)) {
        refuse(w, &refusal);
        return false;
    }
    so_bytes_take(in, (size_t)used);
    w->body_received += (uint64_t)used;
    w->conn->deadline = w->body_began + w->host->options.grace + (double)w->body_received / w->host->options.rate;
    if (w->head.chunked ? !w->chunks.done : w->body.size < (uint64_t)w->head.length) return used > 0;
    w->state = ANSWER;
    w->reading = false;
    w->conn->deadline = 0;
    w->host->handler.request(w->host->handler.context, w, so_bytes_front(&w->body), so_bytes_left(&w->body));
    return true;
}

static bool step_head(so_web *w)
{
    so_bytes *in = &w->conn->in;
    so_http_refusal refusal = {0, NULL};
    if (so_bytes_left(in) == 0) return false;
    if (w->head_began == 0) {
        w->head_began = so_poll_now();
        w->conn->deadline = w->head_began + w->host->options.head;
    }
    int64_t size = so_http_head_end((const char *)so_bytes_front(in), so_bytes_left(in), &w->seen, &refusal);
    if (size == 0) return false;
    w->head = (so_http_head){.method = "", .target = "", .host = "", .minor = 1};
    if (size > 0) {
        w->text = malloc((size_t)size);
        if (!w->text) {
            so_conn_drop(w->conn);
            return false;
        }
        memcpy(w->text, so_bytes_front(in), (size_t)size);
        so_bytes_take(in, (size_t)size);
    }
    if (size < 0 || !so_http_head_read(w->text, (size_t)size, &w->head, &refusal)) {
        refuse(w, &refusal);
        return false;
    }
    w->began = so_poll_now();
    w->keep = w->head.keep && !w->closing;
    w->status = 0;
    w->reading = w->head.chunked || w->head.length > 0;
    w->state = ANSWER;
    w->conn->idle = false;
    w->conn->deadline = 0;
    w->host->handler.head(w->host->handler.context, w, &w->head);
    if (w->state == BODY && !w->reading) {
        w->state = ANSWER;
        w->host->handler.request(w->host->handler.context, w, "", 0);
    }
    return true;
}

/* ---- WebSocket */
static void on_message(void *context, bool text, const void *data, size_t size)
{
    so_web *w = context;
    if (w->state == SOCKET) w->host->handler.message(w->host->handler.context, w, text, data, size);
}

so_status so_web_upgrade(so_web *w, const char *protocol, const char *fields, so_error *error)
{
    const so_ws_sink sink = {w, on_message};
    char text[1024], accept[32];
    if (w->state != ANSWER || !w->head.websocket) return so_fail(error, SO_ERR_STATE, "no WebSocket was asked for");
    SO_TRY(so_ws_open(&w->ws, w->host->options.message, &sink, error));
    so_ws_accept(so_http_field_of(&w->head, "sec-websocket-key"), accept);
    int n = snprintf(text, sizeof text,
                     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Accept: %s\r\n%s%s%s%s\r\n",
                     accept, protocol ? "Sec-WebSocket-Protocol: " : "", protocol ? protocol : "",
                     protocol ? "\r\n" : "", fields);
    if (n < 0 || (size_t)n >= sizeof text) return so_fail(error, SO_ERR_LIMIT, "a head of %d bytes", n);
    w->status = 101;
    w->state = SOCKET;
    w->pings = 0;
    w->conn->deadline = so_poll_now() + w->host->options.quiet / 3;
    so_conn_put(w->conn, text, (size_t)n);
    return SO_OK;
}

static void end_socket(so_web *w)
{
    if (w->state == SOCKET) over(w, false);
    w->state = CLOSING;
    so_conn_end(w->conn);
}

static void step_socket(so_web *w)
{
    bool more = false;
    so_error error = {0};
    w->pings = 0;
    so_status status = so_ws_read(w->ws, &w->conn->in, TURN_BYTES, so_conn_out(w->conn), &more, &error);
    so_conn_sent(w->conn);
    if (status != SO_OK || so_ws_ended(w->ws))
        end_socket(w);
    else if (more)
        so_conn_again(w->conn);
}

bool so_web_open(const so_web *w) { return w->state == SOCKET && !w->conn->dead; }

bool so_web_send(so_web *w, bool text, const void *data, size_t size)
{
    if (!so_web_open(w)) return false;
    bool good = so_ws_send(w->ws, text, data, size, so_conn_out(w->conn), NULL) == SO_OK;
    so_conn_sent(w->conn);
    return good;
}

void so_web_close(so_web *w, int code, const char *reason)
{
    if (w->state != SOCKET) return;
    so_ws_end(w->ws, code, reason, so_conn_out(w->conn), NULL);
    so_conn_sent(w->conn);
    end_socket(w);
}

/* ---- what the port tells */
static bool on_open(void *context, so_conn *c)
{
    so_web *w = calloc(1, sizeof *w);
    if (!w) return false;
    w->host = context;
    w->conn = c;
    c->user = w;
    return true;
}

static void on_input(void *context, so_conn *c)
{
    so_web *w = c->user;
    (void)context;
    int requests = 0;
    for (bool moved = true; moved && !c->dead && !c->closing;) {
        if (so_conn_pending(c) > OUT_MOST) return; /* until on_room: it sends and does not read */
        moved = false;
        if (w->state == HEAD) {
            if (requests++ == REQUESTS_A_TURN) {
                so_conn_again(c);
                return;
            }
            moved = step_head(w);
        } else if (w->state == BODY)
            moved = step_body(w);
        else if (w->state == SOCKET)
            step_socket(w);
    }
    if (w->state == CLOSING) so_bytes_clear(&c->in);
}

static void on_room(void *context, so_conn *c)
{
    so_web *w = c->user;
    (void)context;
    if (w->host->handler.room && (w->state == ANSWER || w->state == SOCKET))
        w->host->handler.room(w->host->handler.context, w);
    if (so_bytes_left(&c->in)) so_conn_again(c);
}

/* A WebSocket is pinged while it is quiet and given up in the end; a request that is not complete is refused. Pings are
 * counted, not seconds: a machine that stood still has not read yet what came meanwhile. */
static void on_late(void *context, so_conn *c)
{
    so_web *w = c->user;
    const so_web_options *o = &w->host->options;
    const so_http_refusal late = {408, "a request that does not come in time"};
    (void)context;
    if (w->state == SOCKET && w->pings < 3) {
        w->pings++;
        so_ws_ping(w->ws, so_conn_out(c), NULL);
        so_conn_sent(c);
        c->deadline = so_poll_now() + o->quiet / 3;
    } else if (w->state == SOCKET)
        so_conn_drop(c);
    else if (w->state == BODY || (w->state == HEAD && w->head_began > 0)) {
        if (w->state == HEAD) w->head = (so_http_head){.method = "", .minor = 1};
        refuse(w, &late);
    } else
        so_conn_end(c);
}

static void on_half(void *context, so_conn *c)
{
    const so_web *w = c->user;
    (void)context;
    /* A complete answer is sent to its end; who waits for one that is not there yet has left. */
    if (w->state == HEAD)
        so_conn_end(c);
    else
        so_conn_drop(c);
}

static void on_gone(void *context, so_conn *c)
{
    so_web *w = c->user;
    (void)context;
    if (!w) return;
    if (w->state == ANSWER || w->state == BODY || w->state == SOCKET) over(w, true);
    so_ws_close(&w->ws);
    forget_body(w);
    free(w->text);
    free(w);
    c->user = NULL;
}

so_status so_web_host_open(so_web_host **out, const so_web_handler *handler, const so_web_options *options,
                           so_error *error)
{
    so_web_host *h = calloc(1, sizeof *h);
    *out = h;
    if (!h) return so_fail(error, SO_ERR_NOMEM, "no memory for a server");
    h->handler = *handler;
    if (options) h->options = *options;
    so_web_options *o = &h->options;
    if (o->head <= 0) o->head = 5;
    if (o->grace <= 0) o->grace = 5;
    if (o->rate <= 0) o->rate = 1024;
    if (o->idle <= 0) o->idle = 60;
    if (o->quiet <= 0) o->quiet = 60;
    if (o->message == 0) o->message = ((size_t)20 << 20) + (64 << 10); /* 15 MiB in base64, and a frame of JSON */
    if (o->bodies == 0) o->bodies = (size_t)256 << 20;
    h->protocol = (so_protocol){h, on_open, on_input, on_room, on_late, on_half, on_gone};
    return SO_OK;
}

void so_web_host_close(so_web_host **host)
{
    if (!host) return;
    free(*host);
    *host = NULL;
}

const so_protocol *so_web_protocol(const so_web_host *host) { return &host->protocol; }
so_web *so_web_of(so_conn *conn) { return conn->user; }

void so_web_wind_down(so_web *w)
{
    w->closing = true;
    w->keep = false;
    if (w->state == HEAD && w->head_began == 0) so_conn_end(w->conn);
    if (w->state == SOCKET) so_web_close(w, SO_WS_CLOSE_AWAY, "the server goes down");
}
