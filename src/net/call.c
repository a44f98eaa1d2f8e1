/* A WebSocket as a client has it.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "net/call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "net/base64.h"
#include "net/http.h"
#include "net/loop.h"
#include "net/tls.h"

enum { READ = 65536, READS = 16 /* of a turn */, MESSAGE = 20 << 20 };

struct so_call {
    so_dial *dial;
    so_ws *ws;
    so_bytes in, out;
    so_call_options options;
    char shown[sizeof((so_place *)0)->shown];
    double heard; /* when the last byte came */
    bool blocked; /* output waits for room */
};

/* ---- moving bytes */
static so_status lost(const so_call *c, so_error *error)
{
    return so_fail(error, SO_ERR_IO, "%s: the connection is lost", c->shown);
}

static so_status write_out(so_call *c, so_error *error)
{
    bool wants_write = false;
    c->blocked = false;
    while (so_bytes_left(&c->out)) {
        ssize_t n = so_dial_write(c->dial, so_bytes_front(&c->out), so_bytes_left(&c->out), &wants_write);
        if (n == SO_TLS_AGAIN) {
            c->blocked = wants_write;
            return SO_OK;
        }
        if (n < 0) return lost(c, error);
        so_bytes_take(&c->out, (size_t)n);
    }
    return SO_OK;
}

/* *n: bytes that came; *ended: no more will. */
static so_status read_in(so_call *c, size_t *n, bool *ended, so_error *error)
{
    bool wants_write = false;
    *n = 0;
    *ended = false;
    if (!so_bytes_room(&c->in, READ)) return so_fail(error, SO_ERR_NOMEM, "no memory for a message");
    ssize_t got = so_dial_read(c->dial, c->in.data + c->in.size, READ, &wants_write);
    if (got > 0) {
        c->in.size += (size_t)got;
        c->heard = so_poll_now();
        *n = (size_t)got;
        return SO_OK;
    }
    if (got == SO_TLS_FAILED) return lost(c, error);
    *ended = got == SO_TLS_ENDED;
    return SO_OK;
}

/* ---- the handshake */
static so_status ask(so_call *c, const so_place *place, char key[32], so_error *error)
{
    unsigned char nonce[16];
    char *text = NULL;
    const so_call_options *o = &c->options;
    if (getrandom(nonce, sizeof nonce, 0) != sizeof nonce) return so_fail(error, SO_ERR_IO, "no random bytes");
    so_base64_write(nonce, sizeof nonce, key);
    for (const char *p = o->key ? o->key : ""; *p; p++)
        if (*p <= 0x20 || *p >= 0x7f)
            return so_fail(error, SO_ERR_ARG, "a key holds printable characters of ASCII and no blanks");
    const char *path = place->path[0] ? place->path : o->path;
    int n = asprintf(
        &text,
        "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\nUser-Agent: stream-omni\r\n%s%s%s%s%s%s\r\n",
        path, place->field, key, o->protocol ? "Sec-WebSocket-Protocol: " : "", o->protocol ? o->protocol : "",
        o->protocol ? "\r\n" : "", o->key ? "Authorization: Bearer " : "", o->key ? o->key : "", o->key ? "\r\n" : "");
    if (n < 0) return so_fail(error, SO_ERR_NOMEM, "no memory for a request");
    bool put = so_bytes_put(&c->out, text, (size_t)n);
    free(text);
    return put ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for a request");
}

static so_status patient(const so_call *c, double until, so_error *error)
{
    const so_dial_options *d = &c->options.dial;
    if (d->stop && *d->stop) return so_fail(error, SO_ERR_STOPPED, "stopped");
    return so_poll_now() < until ? SO_OK : so_fail(error, SO_ERR_IO, "%s: no answer to the request", c->shown);
}

/* Reads until the head of the answer is whole; its length. */
static so_status await_head(so_call *c, double until, size_t *length, so_error *error)
{
    so_http_refusal refusal = {0, NULL};
    size_t seen = 0, n;
    for (;;) {
        bool ended;
        SO_TRY(write_out(c, error));
        SO_TRY(read_in(c, &n, &ended, error));
        int64_t end = so_http_head_end((const char *)so_bytes_front(&c->in), so_bytes_left(&c->in), &seen, &refusal);
        if (end < 0)
            return so_fail(error, SO_ERR_FORMAT, "%s: what answers there does not speak HTTP (%s)", c->shown,
                           refusal.why);
        *length = (size_t)end;
        if (end > 0) return SO_OK;
        if (ended)
            return so_fail(error, SO_ERR_FORMAT, "%s: it closed the connection without an answer in HTTP", c->shown);
        SO_TRY(patient(c, until, error));
        if (n == 0) so_dial_wait(c->dial, c->blocked, 0.05);
    }
}

/* The text of a refusal, as much of it as comes soon. */
static void take_body(so_call *c, const so_http_head *head, so_call_refusal *refusal)
{
    size_t most = sizeof refusal->body - 1, n;
    bool ended = false;
    so_error nobody;
    if (head->length >= 0 && (uint64_t)head->length < most) most = (size_t)head->length;
    for (double until = so_poll_now() + 1; so_bytes_left(&c->in) < most && !ended && so_poll_now() < until;) {
        if (read_in(c, &n, &ended, &nobody) != SO_OK) break;
        if (n == 0 && !ended) so_dial_wait(c->dial, false, 0.05);
    }
    n = so_bytes_left(&c->in) < most ? so_bytes_left(&c->in) : most;
    if (n) memcpy(refusal->body, so_bytes_front(&c->in), n);
    refusal->body[n] = 0;
}

/* The answer to the handshake: *text holds the head, its strings point there. */
static so_status read_answer(so_call *c, char *text, size_t length, const char *key, so_call_refusal *refusal,
                             so_error *error)
{
    so_http_head head;
    so_http_refusal wrong;
    char accept[32];
    if (!so_http_answer_read(text, length, &head, &wrong))
        return so_fail(error, SO_ERR_FORMAT, "%s: what answers there does not speak HTTP (%s)", c->shown, wrong.why);
    if (head.status != 101) {
        refusal->status = head.status;
        take_body(c, &head, refusal);
        if (head.status < 400)
            return so_fail(error, SO_ERR_FORMAT, "%s: it answers %d and opens no WebSocket; is it such a server?",
                           c->shown, head.status);
        return so_fail(error, SO_ERR_ARG, "%s: refused with %d %s", c->shown, head.status, so_http_reason(head.status));
    }
    so_ws_accept(key, accept);
    const char *told = so_http_field_of(&head, "sec-websocket-accept"),
               *protocol = so_http_field_of(&head, "sec-websocket-protocol"), *offered = c->options.protocol;
    if (!head.websocket || !told || strcmp(told, accept))
        return so_fail(error, SO_ERR_FORMAT, "%s: its agreement to a WebSocket does not prove that it read the request",
                       c->shown);
    if (so_http_field_of(&head, "sec-websocket-extensions"))
        return so_fail(error, SO_ERR_FORMAT, "%s: it uses an extension that was not offered", c->shown);
    if (protocol && (!offered || strcmp(protocol, offered)))
        return so_fail(error, SO_ERR_FORMAT, "%s: it chose the subprotocol '%s', which was not offered", c->shown,
                       protocol);
    return SO_OK;
}

static so_status shake_hands(so_call *c, const so_place *place, so_call_refusal *refusal, so_error *error)
{
    char key[32];
    size_t length = 0;
    double until = so_poll_now() + c->options.dial.patience;
    SO_TRY(ask(c, place, key, error));
    SO_TRY(await_head(c, until, &length, error));
    char *text = malloc(length);
    if (!text) return so_fail(error, SO_ERR_NOMEM, "no memory for an answer");
    memcpy(text, so_bytes_front(&c->in), length);
    so_bytes_take(&c->in, length);
    so_status status = read_answer(c, text, length, key, refusal, error);
    free(text);
    return status;
}

so_status so_call_open(so_call **out, const so_place *place, const so_call_options *options, const so_ws_sink *sink,
                       so_call_refusal *refusal, so_error *error)
{
    so_call *c = calloc(1, sizeof *c);
    *out = NULL;
    *refusal = (so_call_refusal){0};
    if (!c) return so_fail(error, SO_ERR_NOMEM, "no memory for a connection");
    c->options = *options;
    if (c->options.dial.patience <= 0) c->options.dial.patience = 10;
    if (c->options.quiet <= 0) c->options.quiet = 90;
    snprintf(c->shown, sizeof c->shown, "%s", place->shown);
    so_status status = so_dial_open(&c->dial, place, &c->options.dial, error);
    if (status == SO_OK) status = shake_hands(c, place, refusal, error);
    if (status == SO_OK) status = so_ws_open_client(&c->ws, options->most ? options->most : MESSAGE, sink, error);
    if (status != SO_OK) {
        so_call_close(&c);
        return status;
    }
    *out = c;
    return SO_OK;
}

void so_call_close(so_call **call)
{
    if (!call || !*call) return;
    so_call *c = *call;
    so_error nobody;
    if (c->ws && so_ws_end(c->ws, SO_WS_CLOSE_NORMAL, "", &c->out, &nobody) == SO_OK) write_out(c, &nobody);
    so_ws_close(&c->ws);
    so_dial_close(&c->dial);
    so_bytes_clear(&c->in);
    so_bytes_clear(&c->out);
    free(c);
    *call = NULL;
}

/* ---- messages */
so_status so_call_send(so_call *call, const char *text, size_t n, so_error *error)
{
    return so_ws_send(call->ws, true, text, n, &call->out, error);
}

static so_status said_good_bye(const so_call *c, so_error *error)
{
    const char *why = so_ws_reason(c->ws);
    return so_fail(error, SO_ERR_IO, "%s: the server closed the connection (%d%s%s)", c->shown, so_ws_code(c->ws),
                   why[0] ? ": " : "", why);
}

static so_status take_frames(so_call *c, so_error *error)
{
    bool more = true;
    while (more) {
        so_status status = so_ws_read(c->ws, &c->in, READ, &c->out, &more, error);
        if (status == SO_ERR_FORMAT) return so_fail_in(error, "%s", c->shown);
        SO_TRY(status);
    }
    return SO_OK;
}

/* Reads and tells what there is. */
static so_status read_all(so_call *c, so_error *error)
{
    size_t n = 0;
    bool ended = false;
    int reads = 0;
    do {
        SO_TRY(take_frames(c, error));
        if (so_ws_code(c->ws)) {
            so_error nobody;
            write_out(c, &nobody); /* the good-bye's answer */
            return said_good_bye(c, error);
        }
        SO_TRY(read_in(c, &n, &ended, error));
    } while (n > 0 && ++reads < READS);
    return ended ? lost(c, error) : SO_OK;
}

so_status so_call_turn(so_call *call, so_error *error)
{
    so_error nobody;
    so_status written = write_out(call, &nobody);
    SO_TRY(read_all(call, error)); /* also where nothing can be sent any more: what the server said last matters */
    if (written != SO_OK) return lost(call, error);
    if (so_poll_now() - call->heard > call->options.quiet)
        return so_fail(error, SO_ERR_IO, "%s: nothing came for %.0f s, the connection is lost", call->shown,
                       call->options.quiet);
    return write_out(call, error);
}

so_status so_call_wait(so_call *call, double seconds, so_error *error)
{
    SO_TRY(so_call_turn(call, error));
    so_dial_wait(call->dial, call->blocked, seconds);
    return so_call_turn(call, error);
}

int so_call_fd(const so_call *call) { return so_dial_fd(call->dial); }
bool so_call_wants_write(const so_call *call) { return call->blocked; }
size_t so_call_pending(const so_call *call) { return so_bytes_left(&call->out); }
