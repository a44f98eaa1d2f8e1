/* A conversation on a server.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "client/remote.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/grow.h"
#include "net/base64.h"
#include "net/call.h"
#include "net/loop.h"

struct so_remote {
    so_call *call;
    so_place place;
    so_remote_event *queue; /* [room], `queued` of them from `at` on */
    int64_t at, queued, room;
    so_remote_event given; /* lent by so_remote_next */
    char response[128];    /* the answer that is being given; "": none */
    char item[128];        /* of the last answer */
    char *heard;           /* the transcript as deltas have brought it */
    char heard_id[128];
    so_error broken; /* a message that could not be read */
};

/* ---- coming */
static void on_message(void *context, bool text, const void *data, size_t size)
{
    so_remote *r = context;
    so_remote_event event = {0};
    if (r->broken.status != SO_OK) return;
    if (!text) {
        so_fail(&r->broken, SO_ERR_FORMAT, "the server sent a message that is no text");
        return;
    }
    so_status status = so_remote_event_read(&event, data, size, &r->broken);
    if (status == SO_OK && event.kind != SO_REMOTE_NONE) {
        event.at = so_poll_now();
        if (r->at) {
            memmove(r->queue, r->queue + r->at, (size_t)r->queued * sizeof *r->queue);
            r->at = 0;
        }
        status = so_grow(&r->queue, r->queued, &r->room, sizeof *r->queue, &r->broken);
    }
    if (status == SO_OK && event.kind != SO_REMOTE_NONE)
        r->queue[r->queued++] = event;
    else
        so_remote_event_clear(&event);
}

so_status so_remote_turn(so_remote *remote, double seconds, so_error *error)
{
    so_status status = remote->queued ? so_call_turn(remote->call, error) : so_call_wait(remote->call, seconds, error);
    if (remote->broken.status == SO_OK) return status;
    return so_fail(error, remote->broken.status, "%s: %s", remote->place.shown, remote->broken.text);
}

/* Deltas make a transcript, as servers without live ones tell it. False without memory. */
static bool grow_heard(so_remote *r, so_remote_event *e)
{
    char *all = NULL;
    bool same = strcmp(e->id, r->heard_id) == 0;
    if (asprintf(&all, "%s%s", same && r->heard ? r->heard : "", e->text) < 0) return false;
    free(r->heard);
    r->heard = all;
    snprintf(r->heard_id, sizeof r->heard_id, "%s", e->id);
    free(e->text);
    e->text = strdup(all);
    e->kind = SO_REMOTE_HEARD;
    e->stable = strlen(all);
    return e->text != NULL;
}

/* Notes what an event means; false when it is of an answer that is over. */
static bool note(so_remote *r, so_remote_event *e)
{
    switch (e->kind) {
    case SO_REMOTE_ANSWERS:
        snprintf(r->response, sizeof r->response, "%s", e->id);
        r->item[0] = 0;
        return true;
    case SO_REMOTE_ITEM:
        snprintf(r->item, sizeof r->item, "%s", e->id);
        return true;
    case SO_REMOTE_TEXT:
    case SO_REMOTE_UNITS:
    case SO_REMOTE_VOICE:
        return strcmp(e->id, r->response) == 0;
    case SO_REMOTE_DONE:
        if (strcmp(e->id, r->response)) return false;
        r->response[0] = 0;
        return true;
    case SO_REMOTE_MORE:
        return grow_heard(r, e);
    case SO_REMOTE_REFUSED: /* an answer that ended by itself meanwhile */
        return strcmp(e->code, "response_cancel_not_active") != 0;
    default:
        return true;
    }
}

bool so_remote_next(so_remote *remote, so_remote_event *event)
{
    so_remote_event_clear(&remote->given);
    while (remote->queued) {
        remote->given = remote->queue[remote->at++];
        if (--remote->queued == 0) remote->at = 0;
        if (note(remote, &remote->given)) {
            *event = remote->given;
            return true;
        }
        so_remote_event_clear(&remote->given);
    }
    *event = (so_remote_event){0};
    return false;
}

/* ---- going. `json` is taken; NULL: there was no memory for it. */
static so_status send_json(so_remote *r, json_t *json, so_error *error)
{
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    if (!text) return so_fail(error, SO_ERR_NOMEM, "no memory for a message, or its text is not UTF-8");
    so_status status = so_call_send(r->call, text, strlen(text), error);
    free(text);
    return status;
}

/* Base64 of bytes behind a prefix; the caller frees. */
static char *base64_of(const char *prefix, const void *data, size_t size)
{
    size_t before = strlen(prefix);
    char *text = malloc(before + so_base64_length(size) + 1);
    if (!text) return NULL;
    memcpy(text, prefix, before);
    so_base64_write(data, size, text + before);
    return text;
}

static char *sound_text(const float *pcm, size_t n)
{
    unsigned char *bytes = malloc(2 * n + 1);
    for (size_t i = 0; bytes && i < n; i++) {
        double x = fmax(-32768, fmin(32767, rint((double)pcm[i] * 32768)));
        int sample = x == x ? (int)x : 0;
        bytes[2 * i] = (unsigned char)(sample & 0xff);
        bytes[2 * i + 1] = (unsigned char)((unsigned)sample >> 8 & 0xff);
    }
    char *text = bytes ? base64_of("", bytes, 2 * n) : NULL;
    free(bytes);
    return text;
}

static so_status send_part(so_remote *r, json_t *part, so_error *error)
{
    return send_json(r,
                     part ? json_pack("{s:s, s:{s:s, s:s, s:[o]}}", "type", "conversation.item.create", "item", "type",
                                      "message", "role", "user", "content", part)
                          : NULL,
                     error);
}

so_status so_remote_text(so_remote *remote, const char *utf8, so_error *error)
{
    return send_part(remote, json_pack("{s:s, s:s}", "type", "input_text", "text", utf8), error);
}

so_status so_remote_picture(so_remote *remote, const void *png, size_t size, so_error *error)
{
    char *url = base64_of("data:image/png;base64,", png, size);
    json_t *part = url ? json_pack("{s:s, s:s}", "type", "input_image", "image_url", url) : NULL;
    free(url);
    return send_part(remote, part, error);
}

so_status so_remote_sound(so_remote *remote, const float *pcm, size_t n, so_error *error)
{
    char *text = sound_text(pcm, n);
    json_t *part = text ? json_pack("{s:s, s:s}", "type", "input_audio", "audio", text) : NULL;
    free(text);
    return send_part(remote, part, error);
}

so_status so_remote_append(so_remote *remote, const float *pcm, size_t n, so_error *error)
{
    char *text = sound_text(pcm, n);
    json_t *event = text ? json_pack("{s:s, s:s}", "type", "input_audio_buffer.append", "audio", text) : NULL;
    free(text);
    return send_json(remote, event, error);
}

so_status so_remote_reply(so_remote *remote, so_error *error)
{
    return send_json(remote, json_pack("{s:s}", "type", "response.create"), error);
}

so_status so_remote_cancel(so_remote *remote, so_error *error)
{
    if (!remote->response[0]) return SO_OK;
    return send_json(remote, json_pack("{s:s}", "type", "response.cancel"), error);
}

so_status so_remote_heard(so_remote *remote, double seconds, so_error *error)
{
    if (!remote->item[0]) return SO_OK;
    return send_json(remote,
                     json_pack("{s:s, s:s, s:i, s:I}", "type", "conversation.item.truncate", "item_id", remote->item,
                               "content_index", 0, "audio_end_ms", (json_int_t)(fmax(0, seconds) * 1000)),
                     error);
}

/* ---- opening */
static json_t *detection_json(const so_remote_options *o)
{
    if (!o->detect) return json_null();
    json_t *json = json_pack("{s:s, s:b, s:b}", "type", "server_vad", "create_response", true, "interrupt_response",
                             o->interrupts);
    if (o->silence_ms) json_object_set_new(json, "silence_duration_ms", json_integer(o->silence_ms));
    return json;
}

/* `own`: with what servers of this project tell besides. */
static json_t *settings_json(const so_remote_options *o, bool own)
{
    json_t *session =
        json_pack("{s:s, s:[s], s:{s:{s:{s:s, s:i}, s:o}, s:{s:{s:s, s:i}}}}", "type", "realtime", "output_modalities",
                  o->voice ? "audio" : "text", "audio", "input", "format", "type", "audio/pcm", "rate", SO_REMOTE_RATE,
                  "turn_detection", detection_json(o), "output", "format", "type", "audio/pcm", "rate", SO_REMOTE_RATE);
    if (!session) return NULL;
    if (o->speaker)
        json_object_set_new(json_object_get(json_object_get(session, "audio"), "output"), "voice",
                            json_string(o->speaker));
    if (o->instructions) json_object_set_new(session, "instructions", json_string(o->instructions));
    if (o->most) json_object_set_new(session, "max_output_tokens", json_integer(o->most));
    if (o->temperature > 0) json_object_set_new(session, "temperature", json_real(o->temperature));
    if (own)
        json_object_set_new(session, "stream_omni",
                            json_pack("{s:b, s:b, s:b}", "input_transcript", true, "marks", true, "units", o->units));
    return json_pack("{s:s, s:o}", "type", "session.update", "session", session);
}

/* Waits for the server's word, one of the two. */
static so_status await(so_remote *r, const so_remote_options *o, so_remote_kind kind, so_remote_event *event,
                       so_error *error)
{
    for (double until = so_poll_now() + (o->patience > 0 ? o->patience : 10);;) {
        so_status status = so_remote_turn(r, 0.05, error);
        while (so_remote_next(r, event))
            if (event->kind == kind || event->kind == SO_REMOTE_REFUSED) return SO_OK;
        SO_TRY(status);
        if (o->stop && *o->stop) return so_fail(error, SO_ERR_STOPPED, "stopped");
        if (so_poll_now() > until)
            return so_fail(error, SO_ERR_FORMAT, "%s: it opens a WebSocket, but does not speak the Realtime protocol",
                           r->place.shown);
    }
}

static so_status settle(so_remote *r, const so_remote_options *o, so_error *error)
{
    so_remote_event event;
    SO_TRY(await(r, o, SO_REMOTE_CREATED, &event, error));
    if (event.kind == SO_REMOTE_REFUSED) return so_fail(error, SO_ERR_ARG, "%s: %s", r->place.shown, event.text);
    SO_TRY(send_json(r, settings_json(o, true), error));
    SO_TRY(await(r, o, SO_REMOTE_UPDATED, &event, error));
    if (event.kind == SO_REMOTE_REFUSED && strstr(event.param, "stream_omni")) { /* another project's server */
        SO_TRY(send_json(r, settings_json(o, false), error));
        SO_TRY(await(r, o, SO_REMOTE_UPDATED, &event, error));
    }
    if (event.kind == SO_REMOTE_REFUSED) return so_fail(error, SO_ERR_ARG, "%s: %s", r->place.shown, event.text);
    return SO_OK;
}

static bool says_loading(const so_call_refusal *refusal)
{
    json_t *json = refusal->status == 503 ? json_loads(refusal->body, 0, NULL) : NULL;
    const char *code = json_string_value(json_object_get(json_object_get(json, "error"), "code"));
    bool loading = code && strcmp(code, "loading") == 0;
    json_decref(json);
    return loading;
}

/* The reason that a refusal gives in JSON, behind our own. */
static so_status refused(const so_call_refusal *refusal, bool key, so_error *error)
{
    json_t *json = json_loads(refusal->body, 0, NULL);
    const char *why = json_string_value(json_object_get(json_object_get(json, "error"), "message"));
    const char *hint = refusal->status != 401 ? "" : key ? " (another key is wanted)" : " (a key is wanted: --key KEY)";
    char before[sizeof error->text];
    snprintf(before, sizeof before, "%s", error->text);
    if (why || hint[0])
        so_fail(error, error->status, "%.600s%s%.300s%s", before, why ? ": " : "", why ? why : "", hint);
    json_decref(json);
    return error->status;
}

/* "…/v1" is what clients of the other protocols are given. */
static void complete_path(so_place *place)
{
    size_t n = strlen(place->path);
    if (n && place->path[n - 1] == '/') place->path[--n] = 0;
    if (n >= 3 && strcmp(place->path + n - 3, "/v1") == 0 && n + sizeof "/realtime" <= sizeof place->path)
        memcpy(place->path + n, "/realtime", sizeof "/realtime");
}

/* A server that loads its model is waited for. */
static so_status dial(so_remote *r, const so_remote_options *o, so_error *error)
{
    enum { LOADING_S = 600 };
    const so_ws_sink sink = {r, on_message};
    const so_call_options call = {
        .path = "/v1/realtime", .key = o->key, .protocol = "realtime", .dial = {o->authority, o->patience, o->stop}};
    so_call_refusal refusal;
    so_status status;
    for (double until = so_poll_now() + LOADING_S;;) {
        status = so_call_open(&r->call, &r->place, &call, &sink, &refusal, error);
        if (status == SO_OK || !says_loading(&refusal) || so_poll_now() > until) break;
        nanosleep(&(struct timespec){0, 200000000}, NULL);
    }
    return status != SO_OK && refusal.status ? refused(&refusal, o->key != NULL, error) : status;
}

so_status so_remote_open(so_remote **out, const so_remote_options *options, so_error *error)
{
    so_remote *r = calloc(1, sizeof *r);
    *out = NULL;
    if (!r) return so_fail(error, SO_ERR_NOMEM, "no memory for a conversation");
    so_status status = so_place_read(&r->place, options->url, error);
    if (status == SO_OK) {
        complete_path(&r->place);
        status = dial(r, options, error);
    }
    if (status == SO_OK) status = settle(r, options, error);
    if (status != SO_OK) so_remote_close(&r);
    *out = r;
    return status;
}

void so_remote_close(so_remote **remote)
{
    if (!remote || !*remote) return;
    so_remote *r = *remote;
    so_call_close(&r->call);
    so_remote_event_clear(&r->given);
    for (int64_t i = 0; i < r->queued; i++) so_remote_event_clear(&r->queue[r->at + i]);
    free(r->queue);
    free(r->heard);
    free(r);
    *remote = NULL;
}

size_t so_remote_pending(const so_remote *remote) { return so_call_pending(remote->call); }
int so_remote_fd(const so_remote *remote) { return so_call_fd(remote->call); }
bool so_remote_wants_write(const so_remote *remote) { return so_call_wants_write(remote->call); }
