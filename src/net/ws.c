/* WebSocket messages over libwslay.
 *
 * The library's own collecting of messages is off: it keeps a block of memory for every fragment, which a flood of tiny
 * ones turns into a multiple of the message. Fragments go into one row of bytes here, and are counted.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "net/ws.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <wslay/wslay.h>

#include "net/base64.h"

/* Bytes given to the library at once: it reads all frames in them before it asks again, whatever a turn allows. */
enum { PORTION = 512 };

struct so_ws {
    wslay_event_context_ptr context;
    so_ws_sink sink;
    size_t most;
    /* the message on its way in */
    so_bytes message;
    int opcode, fragments;
    bool fin, control;
    /* during a call */
    so_bytes *in, *out;
    size_t budget;
    int frames, controls;
    bool failed;
    int refuse; /* a close code that ends the connection; 0: none */
    const char *why;
    /* closing */
    bool closing, received;
    int code;
    char reason[SO_WS_REASON_MOST + 1];
};

void so_ws_accept(const char *key, char accept[32])
{
    static const char magic[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    char text[128];
    unsigned char digest[SHA_DIGEST_LENGTH];
    int n = snprintf(text, sizeof text, "%.64s%s", key, magic);
    SHA1((const unsigned char *)text, (size_t)n, digest);
    so_base64_write(digest, sizeof digest, accept);
}

static void refuse(so_ws *ws, int code, const char *why)
{
    if (ws->refuse) return;
    ws->refuse = code;
    ws->why = why;
}

/* ---- what libwslay calls */
static ssize_t on_recv(wslay_event_context_ptr context, uint8_t *data, size_t size, int flags, void *user)
{
    so_ws *ws = user;
    size_t n = so_bytes_left(ws->in);
    (void)flags;
    bool spent = ws->frames >= SO_WS_FRAMES_A_TURN || ws->controls >= SO_WS_CONTROLS_A_TURN;
    if (n > ws->budget) n = ws->budget;
    if (n > PORTION) n = PORTION;
    if (n > size) n = size;
    if (n == 0 || spent || ws->refuse) {
        wslay_event_set_error(context, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    memcpy(data, so_bytes_front(ws->in), n);
    so_bytes_take(ws->in, n);
    ws->budget -= n;
    return (ssize_t)n;
}

static ssize_t on_send(wslay_event_context_ptr context, const uint8_t *data, size_t size, int flags, void *user)
{
    so_ws *ws = user;
    (void)flags;
    if (so_bytes_put(ws->out, data, size)) return (ssize_t)size;
    ws->failed = true;
    wslay_event_set_error(context, WSLAY_ERR_CALLBACK_FAILURE);
    return -1;
}

static void on_start(wslay_event_context_ptr context, const struct wslay_event_on_frame_recv_start_arg *frame,
                     void *user)
{
    so_ws *ws = user;
    (void)context;
    ws->frames++;
    ws->control = wslay_is_ctrl_frame(frame->opcode);
    ws->controls += ws->control;
    if (frame->opcode == WSLAY_CONNECTION_CLOSE && frame->payload_length == 1)
        refuse(ws, SO_WS_CLOSE_PROTOCOL, "a close with half a code"); /* which the library lets pass */
    if (ws->control) return;
    if (frame->opcode != WSLAY_CONTINUATION_FRAME) {
        ws->opcode = frame->opcode;
        ws->fragments = 0;
        so_bytes_clear(&ws->message);
    }
    ws->fin = frame->fin;
    if (++ws->fragments > SO_WS_FRAGMENTS_MOST) refuse(ws, SO_WS_CLOSE_SIZE, "a message in too many fragments");
    if (frame->payload_length > ws->most || ws->message.size > ws->most - frame->payload_length)
        refuse(ws, SO_WS_CLOSE_SIZE, "a message above the limit");
}

static void on_chunk(wslay_event_context_ptr context, const struct wslay_event_on_frame_recv_chunk_arg *chunk,
                     void *user)
{
    so_ws *ws = user;
    (void)context;
    if (ws->control || ws->refuse) return;
    if (!so_bytes_put(&ws->message, chunk->data, chunk->data_length)) ws->failed = true;
}

static void on_message(wslay_event_context_ptr context, const struct wslay_event_on_msg_recv_arg *message, void *user)
{
    so_ws *ws = user;
    (void)context;
    if (message->opcode == WSLAY_CONNECTION_CLOSE) {
        ws->received = true;
        ws->code = message->status_code ? message->status_code : WSLAY_CODE_NO_STATUS_RCVD;
        size_t n = message->msg_length > 2 ? message->msg_length - 2 : 0;
        if (n && n <= SO_WS_REASON_MOST) memcpy(ws->reason, message->msg + 2, n);
    }
    if (wslay_is_ctrl_frame(message->opcode) || ws->refuse || ws->failed) return;
    const void *data = ws->message.data ? (const void *)ws->message.data : "";
    if (!ws->closing) ws->sink.message(ws->sink.context, ws->opcode == WSLAY_TEXT_FRAME, data, ws->message.size);
    so_bytes_clear(&ws->message);
}

static int on_mask(wslay_event_context_ptr context, uint8_t *data, size_t size, void *user)
{
    (void)context, (void)user;
    return getrandom(data, size, 0) == (ssize_t)size ? 0 : -1;
}

static so_status open_side(so_ws **out, bool client, size_t most, const so_ws_sink *sink, so_error *error)
{
    const struct wslay_event_callbacks callbacks = {on_recv, on_send,   client ? on_mask : NULL, on_start, on_chunk,
                                                    NULL,    on_message};
    so_ws *ws = calloc(1, sizeof *ws);
    *out = NULL;
    if (!ws || (client ? wslay_event_context_client_init : wslay_event_context_server_init)(&ws->context, &callbacks,
                                                                                            ws) != 0) {
        free(ws);
        return so_fail(error, SO_ERR_NOMEM, "no memory for a WebSocket");
    }
    wslay_event_config_set_no_buffering(ws->context, 1);
    wslay_event_config_set_max_recv_msg_length(ws->context, most);
    ws->most = most;
    ws->sink = *sink;
    *out = ws;
    return SO_OK;
}

so_status so_ws_open(so_ws **out, size_t most, const so_ws_sink *sink, so_error *error)
{
    return open_side(out, false, most, sink, error);
}

so_status so_ws_open_client(so_ws **out, size_t most, const so_ws_sink *sink, so_error *error)
{
    return open_side(out, true, most, sink, error);
}

void so_ws_close(so_ws **ws)
{
    if (!ws || !*ws) return;
    wslay_event_context_free((*ws)->context);
    so_bytes_clear(&(*ws)->message);
    free(*ws);
    *ws = NULL;
}

/* Writes all that is queued. */
static so_status flush(so_ws *ws, so_bytes *out, so_error *error)
{
    ws->out = out;
    while (wslay_event_want_write(ws->context))
        if (wslay_event_send(ws->context) != 0) {
            ws->failed = true;
            break;
        }
    ws->out = NULL;
    return ws->failed ? so_fail(error, SO_ERR_NOMEM, "no memory for WebSocket frames") : SO_OK;
}

so_status so_ws_read(so_ws *ws, so_bytes *in, size_t budget, so_bytes *out, bool *more, so_error *error)
{
    *more = false;
    if (ws->received || !wslay_event_get_read_enabled(ws->context)) {
        so_bytes_take(in, so_bytes_left(in));
        return SO_OK;
    }
    ws->in = in;
    ws->budget = budget;
    ws->frames = ws->controls = 0;
    int result = wslay_event_recv(ws->context);
    ws->in = NULL;
    if (ws->refuse) SO_TRY(so_ws_end(ws, ws->refuse, ws->why, out, error));
    if (result != 0) SO_TRY(so_ws_end(ws, SO_WS_CLOSE_PROTOCOL, "", out, error)); /* unless it has closed already */
    SO_TRY(flush(ws, out, error));
    if (result == WSLAY_ERR_NOMEM || ws->failed) return so_fail(error, SO_ERR_NOMEM, "no memory for a message");
    if (ws->refuse) return so_fail(error, SO_ERR_FORMAT, "%s", ws->why);
    /* The library answers what is forbidden with a close of its own. */
    if (result != 0 || (!wslay_event_get_read_enabled(ws->context) && !ws->received))
        return so_fail(error, SO_ERR_FORMAT, "frames that RFC 6455 forbids (closed with %d)",
                       wslay_event_get_status_code_sent(ws->context));
    *more = so_bytes_left(in) > 0;
    return SO_OK;
}

static so_status queue(so_ws *ws, uint8_t opcode, const void *data, size_t size, so_error *error)
{
    const struct wslay_event_msg message = {opcode, data, size};
    int result = wslay_event_queue_msg(ws->context, &message);
    if (result == 0) return SO_OK;
    return result == WSLAY_ERR_NOMEM ? so_fail(error, SO_ERR_NOMEM, "no memory for a message")
                                     : so_fail(error, SO_ERR_STATE, "a message after the close");
}

so_status so_ws_send(so_ws *ws, bool text, const void *data, size_t size, so_bytes *out, so_error *error)
{
    SO_TRY(queue(ws, text ? WSLAY_TEXT_FRAME : WSLAY_BINARY_FRAME, data, size, error));
    return flush(ws, out, error);
}

so_status so_ws_ping(so_ws *ws, so_bytes *out, so_error *error)
{
    SO_TRY(queue(ws, WSLAY_PING, "", 0, error));
    return flush(ws, out, error);
}

so_status so_ws_end(so_ws *ws, int code, const char *reason, so_bytes *out, so_error *error)
{
    if (ws->closing) return SO_OK;
    ws->closing = true;
    size_t n = strlen(reason);
    if (n > SO_WS_REASON_MOST) n = SO_WS_REASON_MOST;
    wslay_event_queue_close(ws->context, (uint16_t)code, (const uint8_t *)reason, n);
    return flush(ws, out, error);
}

bool so_ws_ended(const so_ws *ws)
{
    return wslay_event_get_close_sent(ws->context) && (ws->received || ws->refuse != 0);
}

int so_ws_code(const so_ws *ws) { return ws->code; }
const char *so_ws_reason(const so_ws *ws) { return ws->reason; }
