/* Requests on their way: answers, errors, streams, work by others.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/base64.h"
#include "server/inside.h"

/* ---- faults */
bool so_fault_set(so_fault *f, const char *param, const char *format, ...)
{
    va_list args;
    if (f->status == 0) f->status = 400;
    snprintf(f->param, sizeof f->param, "%s", param ? param : "");
    va_start(args, format);
    vsnprintf(f->message, sizeof f->message, format, args);
    va_end(args);
    return false;
}

void so_fault_of(so_fault *f, so_status status, const char *text)
{
    static const so_status by_client[] = {SO_ERR_ARG,         SO_ERR_FORMAT, SO_ERR_LIMIT,
                                          SO_ERR_UNSUPPORTED, SO_ERR_NUMBER, SO_ERR_STATE};
    *f = (so_fault){.status = 500};
    for (size_t i = 0; i < sizeof by_client / sizeof *by_client; i++)
        if (by_client[i] == status) f->status = 400;
    if (status == SO_ERR_NOMEM) f->status = 503;
    snprintf(f->message, sizeof f->message, "%s", text ? text : "");
}

static const char *type_of(int status)
{
    if (status == 429) return "rate_limit_error";
    if (status == 503) return "unavailable_error";
    return status >= 500 ? "server_error" : "invalid_request_error";
}

static json_t *error_json(const so_fault *f)
{
    return json_pack("{s:{s:s,s:s,s:s?,s:s?}}", "error", "message", f->message, "type", type_of(f->status), "param",
                     f->param[0] ? f->param : NULL, "code", f->code);
}

/* ---- whole answers */
const char *so_ask_fields(so_ask *ask, const char *more)
{
    static char text[1024];
    const char *origin = so_http_field_of(&ask->web->head, "origin");
    const so_server_options *o = ask->server->options;
    bool foreign = origin && so_guard_origin(origin, NULL, o->origins);
    snprintf(text, sizeof text, "x-request-id: %s\r\n%s%.200s%s%s", ask->id,
             foreign ? "Access-Control-Allow-Origin: " : "", foreign ? origin : "",
             foreign ? "\r\nVary: Origin\r\nAccess-Control-Expose-Headers: x-request-id\r\n" : "", more ? more : "");
    return text;
}

void so_ask_text(so_ask *ask, int status, const char *type, const char *text)
{
    if (ask->web) so_web_reply(ask->web, status, type, so_ask_fields(ask, ""), text, strlen(text));
}

static void reply_json(so_ask *ask, int status, json_t *json, const char *more)
{
    char *text = json ? json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(json);
    if (ask->web && text)
        so_web_reply(ask->web, status, "application/json", so_ask_fields(ask, more), text, strlen(text));
    else if (ask->web)
        so_web_abort(ask->web);
    free(text);
}

void so_ask_json(so_ask *ask, int status, json_t *json) { reply_json(ask, status, json, ""); }

void so_ask_fault(so_ask *ask, const so_fault *f)
{
    char more[64] = "";
    int wait = ask->wait_s > 1 ? (int)(ask->wait_s + 0.999) : f->status == 503 ? 2 : 1;
    if (f->status == 503 || f->status == 429) snprintf(more, sizeof more, "Retry-After: %d\r\n", wait);
    if (f->status == 401) snprintf(more, sizeof more, "WWW-Authenticate: Bearer\r\n");
    if (!ask->web) return;
    if (ask->begun) {
        so_ask_event(ask, NULL, error_json(f));
        so_ask_end(ask);
    } else
        reply_json(ask, f->status, error_json(f), more);
}

void so_ask_error(so_ask *ask, int status, const char *code, const char *param, const char *format, ...)
{
    so_fault f = {.status = status, .code = code};
    va_list args;
    snprintf(f.param, sizeof f.param, "%s", param ? param : "");
    va_start(args, format);
    vsnprintf(f.message, sizeof f.message, format, args);
    va_end(args);
    so_ask_fault(ask, &f);
}

void so_ask_failed(so_ask *ask, const so_told *told)
{
    so_fault f;
    so_error why;
    so_fault_of(&f, told->status, told->text);
    if (so_server_lost(ask->server, &why)) {
        f.status = 503;
        f.code = "device_lost";
    }
    so_ask_fault(ask, &f);
}

/* ---- streams */
bool so_ask_begin(so_ask *ask, const char *type)
{
    if (ask->begun || !ask->web) return ask->web != NULL;
    ask->begun = true;
    bool events = type == NULL;
    ask->events = events;
    return so_web_begin(ask->web, 200, events ? "text/event-stream" : type,
                        so_ask_fields(ask, events ? "Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\n" : ""));
}

bool so_ask_piece(so_ask *ask, const void *data, size_t size)
{
    if (!ask->web || !so_web_piece(ask->web, data, size)) return false;
    if (!ask->paused && so_conn_pending(ask->web->conn) > SO_PENDING_MOST && ask->seat) {
        ask->paused = true; /* until what was given is on its way */
        so_desk_pause(ask->server->desk, ask->seat, true);
    }
    return true;
}

bool so_ask_event(so_ask *ask, const char *name, json_t *json)
{
    char *text = json ? json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL, *whole = NULL;
    json_decref(json);
    int n =
        text ? asprintf(&whole, "%s%s%sdata: %s\n\n", name ? "event: " : "", name ? name : "", name ? "\n" : "", text)
             : -1;
    bool good = n > 0 && so_ask_piece(ask, whole, (size_t)n);
    free(text);
    if (n > 0) free(whole);
    return good;
}

void so_ask_end(so_ask *ask)
{
    if (ask->web) so_web_finish(ask->web);
}

/* ---- what one key may have */
static so_key *key_of(const so_ask *ask)
{
    so_keys *keys = &ask->server->keys;
    for (int i = 0; i < keys->n && ask->key[0]; i++)
        if (strcmp(keys->key[i].name, ask->key) == 0) return &keys->key[i];
    return NULL;
}

static void count_sound(const so_ask *ask, double seconds)
{
    so_key *key = key_of(ask);
    if (key) so_key_heard(key, ask->server->options->audio_per_minute, seconds, so_poll_now());
}

static bool key_admits(so_ask *ask)
{
    const so_server_options *o = ask->server->options;
    so_key *key = key_of(ask);
    if (!key) return true;
    bool room = o->per_key <= 0 || key->sessions < o->per_key;
    if (room && so_key_sounds(key, o->audio_per_minute, so_poll_now(), &ask->wait_s)) return true;
    ask->server->counts.refused_rate++;
    if (room)
        so_ask_error(ask, 429, "audio_limit_exceeded", NULL, "more than %g seconds of sound a minute with this key",
                     o->audio_per_minute);
    else
        so_ask_error(ask, 429, "too_many_sessions", NULL, "%d conversations are under way with this key already",
                     key->sessions);
    return false;
}

/* ---- work by others */
typedef struct job {
    so_ask *ask;
    void (*work)(void *own);
    void (*done)(so_ask *ask);
} job;

static void do_work(void *subject)
{
    job *j = subject;
    j->work(j->ask->own);
}

static void work_done(void *subject)
{
    job *j = subject;
    j->ask->working = false;
    if (j->ask->web)
        j->done(j->ask);
    else
        so_ask_release(j->ask);
    free(j);
}

void so_ask_work(so_ask *ask, void (*work)(void *own), void (*done)(so_ask *ask))
{
    so_ask_work_by(ask, ask->server->chores, work, done);
}

void so_ask_work_by(so_ask *ask, so_chores *by, void (*work)(void *own), void (*done)(so_ask *ask))
{
    job *j = malloc(sizeof *j);
    if (j) *j = (job){ask, work, done};
    ask->working = true;
    if (j && so_chores_put(by, do_work, work_done, j)) return;
    ask->working = false;
    free(j);
    so_ask_error(ask, 503, NULL, NULL, "no memory for the request");
}

void so_ask_release(so_ask *ask)
{
    if (ask->working || ask->web) return;
    if (ask->seat) {
        so_server_hear(ask->server, ask->seat, NULL, NULL); /* what was told already finds nobody */
        so_desk_leave(ask->server->desk, ask->seat);
        so_key *key = key_of(ask);
        if (key && key->sessions > 0) key->sessions--;
    }
    if (ask->own && ask->free) ask->free(ask->own);
    so_bytes_clear(&ask->body);
    free(ask->type);
    free(ask);
}

static void on_told(void *context, so_told *told)
{
    so_ask *ask = context;
    if (told->kind == SO_TOLD_DONE && told->usage.voice_s > 0) count_sound(ask, told->usage.voice_s);
    if (told->kind == SO_TOLD_SEATED) so_times_add(&ask->server->queue, told->queue_s);
    if (ask->web) ask->told(ask, told);
}

bool so_ask_sit(so_ask *ask)
{
    int ahead = 0;
    so_error error = {0};
    if (!key_admits(ask)) return false;
    if (so_desk_sit(ask->server->desk, &ask->seat, &ahead, &error) != SO_OK) {
        ask->server->counts.refused_full++;
        so_ask_error(ask, 503, "server_busy", NULL, "the server is busy: %s", error.text);
        return false;
    }
    so_server_hear(ask->server, ask->seat, on_told, ask);
    so_key *key = key_of(ask);
    if (key) key->sessions++;
    return true;
}

void so_ask_order(so_ask *ask, so_order *order)
{
    for (const so_order *o = order; o; o = o->next)
        if (o->kind == SO_ORDER_AUDIO && o->rate > 0) count_sound(ask, (double)o->samples / o->rate);
    so_desk_order(ask->server->desk, ask->seat, order);
}

/* ---- JSON */
/* Brackets outside strings, before a parser recurses into them. */
static bool shallow(const char *text, size_t size)
{
    int depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < size; i++) {
        if (quoted) {
            if (text[i] == '\\') i++;
            if (i < size && text[i] == '"') quoted = false;
        } else if (text[i] == '"')
            quoted = true;
        else if (text[i] == '{' || text[i] == '[') {
            if (++depth > SO_JSON_DEPTH) return false;
        } else if (text[i] == '}' || text[i] == ']')
            depth--;
    }
    return true;
}

json_t *so_json_read(const void *data, size_t size, so_fault *fault)
{
    json_error_t why;
    if (!shallow(data, size)) {
        so_fault_set(fault, NULL, "JSON nested deeper than %d levels", SO_JSON_DEPTH);
        return NULL;
    }
    json_t *json = json_loadb(data, size, JSON_REJECT_DUPLICATES, &why);
    if (!json)
        so_fault_set(fault, NULL, "the body is no JSON: %s (line %d, column %d)", why.text, why.line, why.column);
    else if (!json_is_object(json)) {
        so_fault_set(fault, NULL, "the body is JSON, but no object");
        json_decref(json);
        json = NULL;
    }
    return json;
}

json_t *so_json_base64(const void *data, size_t size)
{
    size_t n = so_base64_length(size);
    char *text = malloc(n + 1);
    if (!text) return NULL;
    so_base64_write(data, size, text);
    json_t *json = json_stringn_nocheck(text, n);
    free(text);
    return json;
}

bool so_json_bytes(const char *text, size_t size, unsigned char **data, size_t *n)
{
    so_base64 state = {0};
    const char *comma = size > 5 && strncmp(text, "data:", 5) == 0 ? memchr(text, ',', size) : NULL;
    if (comma) {
        size -= (size_t)(comma + 1 - text);
        text = comma + 1;
    }
    *data = malloc(size / 4 * 3 + 4);
    if (*data && so_base64_feed(&state, text, size, *data, n) && so_base64_end(&state)) return true;
    free(*data);
    *data = NULL;
    return false;
}

void so_voice_named(const json_t *name, char voice[64])
{
    const char *text = json_string_value(name);
    snprintf(voice, 64, "%s", text && strlen(text) < 64 ? text : "");
}
