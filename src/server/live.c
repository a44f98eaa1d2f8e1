/* GET /v1/realtime: a WebSocket joined to a realtime session (realtime.h) and a conversation at the desk.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "media/image.h"
#include "server/inside.h"
#include "server/realtime.h"

/* A sound of so long that no words were found in is answered all the same: somebody who hums, or speaks a language that
 * the model does not know, waits for an answer. A cough is shorter. */
enum { LONG_SOUND_MS = 1250 };

enum { LEVELS = 64, LIVE_PENDING = 1 << 20, SO_LIVE_PIXELS = 50000000 };

/* Sound that the client has got, and when it plays it, as far as the server can know. */
typedef struct playing {
    double until;
    double level; /* root of the mean square, 0 to 1 */
} playing;

struct so_live {
    so_ask *ask;
    so_realtime *session;
    so_order *held, *last_held; /* orders behind a picture that is being read by another thread; it is the first */
    unsigned generation;        /* of the last reply */
    int rate;                   /* Hz of its voice */
    int64_t fed_ms;             /* of sound in the user's turn */
    double queue_s;
    playing level[LEVELS];
    int levels;
    double plays_until;
    double stopped_at, lag_s;       /* when speech_stopped went out, and how long nobody had spoken then; 0: answered */
    double asked_at;                /* when the reply was ordered; 0: its first words came */
    bool spoke;                     /* so did its first sound */
    double barged_at;               /* when the user's voice ended an answer; 0: its last byte left */
    uint64_t barge_end;             /* of the connection's bytes */
    struct so_live *before, *after; /* all of the server's */
};

static int64_t now_ms(void) { return (int64_t)(so_poll_now() * 1000); }

/* ---- what the session sends and orders */
static void on_send(void *context, json_t *event)
{
    so_live *l = context;
    char *text = event ? json_dumps(event, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(event);
    so_ask *ask = l->ask;
    if (text && ask->web) so_web_send(ask->web, true, text, strlen(text));
    free(text);
    if (ask->web && !ask->paused && so_conn_pending(ask->web->conn) > LIVE_PENDING) {
        ask->paused = true;
        so_desk_pause(ask->server->desk, ask->seat, true);
    }
}

/* ---- pictures are read by other threads; what was ordered after one waits, so that all comes in its order */
typedef struct reading {
    so_live *live;
    so_order *picture;
} reading;

static void read_picture(void *subject)
{
    so_order *o = ((reading *)subject)->picture;
    so_image image = {0};
    so_error error = {0};
    if (so_image_decode(&image, o->data, o->size, SO_LIVE_PIXELS, &error) != SO_OK) o->text = strdup(error.text);
    free(o->data); /* without data and with a text it fails the answer that would have seen it */
    o->data = image.rgb;
    o->size = 0;
    o->width = image.w;
    o->height = image.h;
}

static void pump(so_live *l);

static void picture_is_read(void *subject)
{
    reading *r = subject;
    so_live *l = r->live;
    so_ask *ask = l->ask;
    free(r);
    ask->working = false;
    if (ask->web)
        pump(l);
    else
        so_ask_release(ask);
}

/* Whether its file is still to be read. */
static bool is_file(const so_order *o) { return o->kind == SO_ORDER_PICTURE && o->size > 0; }

static void pump(so_live *l)
{
    while (l->held && !l->ask->working) {
        so_order *o = l->held;
        reading *r = is_file(o) ? malloc(sizeof *r) : NULL;
        if (r) {
            *r = (reading){l, o};
            l->ask->working = so_chores_put(l->ask->server->chores, read_picture, picture_is_read, r) != 0;
            if (l->ask->working) return;
            free(r);
        }
        l->held = o->next; /* without memory to have it read, the engine reads it */
        o->next = NULL;
        so_ask_order(l->ask, o);
    }
}

static void order(so_live *l, so_order *o)
{
    if (!o) return;
    if (o->turn == 0) o->turn = l->generation;
    if (!l->held && !is_file(o)) {
        so_ask_order(l->ask, o);
        return;
    }
    if (l->held)
        l->last_held->next = o;
    else
        l->held = o;
    l->last_held = o;
    pump(l);
}

static void drop_held(so_live *l)
{
    while (l->held) {
        so_order *o = l->held;
        l->held = o->next;
        so_order_free(o);
    }
}

static void on_clear(void *context)
{
    ((so_live *)context)->fed_ms = 0;
    order(context, so_order_new(SO_ORDER_CLEAR, NULL));
}

static void on_system(void *context, const char *utf8) { order(context, so_order_new(SO_ORDER_SYSTEM, utf8)); }
static void on_text(void *context, const char *utf8) { order(context, so_order_new(SO_ORDER_TEXT, utf8)); }
static void on_answer(void *context, const char *utf8) { order(context, so_order_new(SO_ORDER_ANSWER, utf8)); }

static void on_picture(void *context, const void *file, size_t bytes)
{
    so_order *o = so_order_new(SO_ORDER_PICTURE, NULL);
    if (o && (o->data = malloc(bytes + 1)) != NULL) {
        memcpy(o->data, file, bytes);
        o->size = bytes;
    }
    order(context, o);
}

static void on_audio(void *context, const int16_t *pcm, size_t n, int rate)
{
    so_order *o = so_order_new(SO_ORDER_AUDIO, NULL);
    if (o && (o->pcm = malloc((n + 1) * sizeof *o->pcm)) != NULL) {
        for (size_t i = 0; i < n; i++) o->pcm[i] = (float)pcm[i] / 32768;
        o->samples = n;
        o->rate = rate;
    }
    ((so_live *)context)->fed_ms += (int64_t)n * 1000 / rate;
    order(context, o);
}

static void on_reply(void *context, const so_realtime_reply *reply)
{
    so_live *l = context;
    so_order *o = so_order_new(reply->transcript_only ? SO_ORDER_LISTEN : SO_ORDER_REPLY, NULL);
    l->generation = reply->generation;
    if (!o) return;
    o->turn = reply->generation;
    o->want = SO_WANT_TEXT | (reply->voice ? SO_WANT_VOICE | SO_WANT_UNITS : 0);
    o->own = true;
    o->reply.max_text = reply->most;
    o->reply.max_units = reply->voice ? reply->most : 0;
    o->reply.temperature = reply->temperature > 0 ? reply->temperature : 0;
    o->reply.forget = !reply->remembered;
    o->reply.answer_silence = reply->answers_silence || l->fed_ms >= LONG_SOUND_MS;
    l->fed_ms = 0;
    o->sound = SO_OUTLET_PCM;
    snprintf(o->voice, sizeof o->voice, "%s", reply->name ? reply->name : "");
    o->sound_rate = l->rate = reply->rate;
    l->asked_at = so_poll_now();
    l->spoke = false;
    order(l, o);
}

static void on_stop(void *context, unsigned generation)
{
    so_live *l = context;
    l->levels = 0;
    l->plays_until = 0;
    for (so_order *o = l->held; o; o = o->next)
        if (o->turn == generation && (o->kind == SO_ORDER_REPLY || o->kind == SO_ORDER_LISTEN)) o->ms = -1;
    so_desk_stop(l->ask->server->desk, l->ask->seat, generation);
}

static void on_heard(void *context, int64_t ms)
{
    so_order *o = so_order_new(SO_ORDER_HEARD, NULL);
    if (o) o->ms = ms > 0 ? ms : 0;
    order(context, o);
}

/* The old answer's last byte has left. */
static void end_barge(so_live *l)
{
    so_web *web = l->ask->web;
    if (l->barged_at <= 0 || !web || web->conn->sent < l->barge_end) return;
    so_times_add(&l->ask->server->barge, so_poll_now() - l->barged_at);
    l->barged_at = 0;
}

static void on_room(so_ask *ask) { end_barge(ask->own); }

static void on_note(void *context, so_realtime_note note, int64_t ms)
{
    so_live *l = context;
    so_server *s = l->ask->server;
    if (note == SO_NOTE_STARTED) s->counts.voiced++;
    if (note == SO_NOTE_STOPPED) {
        l->stopped_at = so_poll_now();
        l->lag_s = ms > 0 ? (double)ms / 1000 : 0;
        so_times_add(&s->end_to_stop, l->lag_s);
    }
    if (note != SO_NOTE_BARGED || !l->ask->web) return;
    s->counts.barged++;
    l->barged_at = so_poll_now();
    l->barge_end = l->ask->web->conn->sent + so_conn_pending(l->ask->web->conn);
    end_barge(l);
}

/* ---- what the desk tells */
static void count_first_sound(so_live *l)
{
    so_server *s = l->ask->server;
    double now = so_poll_now();
    if (!l->spoke) so_times_add(&s->first_audio, now - l->asked_at);
    l->spoke = true;
    if (l->stopped_at <= 0) return;
    so_times_add(&s->stop_to_audio, now - l->stopped_at);
    so_times_add(&s->end_to_audio, now - l->stopped_at + l->lag_s);
    l->stopped_at = 0;
}

static void note_level(so_live *l, const int16_t *pcm, size_t n)
{
    double sum = 0, now = so_poll_now();
    if (l->spoke && l->plays_until < now) l->ask->server->counts.underruns++; /* of those who play what comes at once */
    for (size_t i = 0; i < n; i++) sum += (double)pcm[i] * pcm[i];
    if (l->plays_until < now) l->plays_until = now;
    l->plays_until += (double)n / l->rate;
    if (l->levels == LEVELS) memmove(l->level, l->level + 1, (size_t)(--l->levels) * sizeof *l->level);
    l->level[l->levels++] = (playing){l->plays_until, n ? sqrt(sum / (double)n) / 32768 : 0};
}

static void take_sound(so_live *l, const so_told *t)
{
    const int16_t *pcm = (const int16_t *)(const void *)t->data; /* taken by malloc: aligned for anything */
    so_realtime_voice_piece piece = {.pcm = pcm,
                                     .samples = t->size / 2,
                                     .text_begin = t->text_begin,
                                     .text_end = t->text_end,
                                     .begin_ms = (int64_t)(t->begin_s * 1000 + 0.5),
                                     .end_ms = (int64_t)(t->end_s * 1000 + 0.5)};
    note_level(l, pcm, t->size / 2);
    count_first_sound(l);
    so_realtime_voice(l->session, t->turn, &piece);
}

static int64_t ms_of(double seconds) { return (int64_t)(seconds * 1000 + 0.5); }

static void take_done(so_live *l, const so_told *t)
{
    const so_usage *u = &t->usage;
    so_realtime_end end = {.cut_short =
                               u->end == SO_END_LENGTH || u->end == SO_END_CONTEXT || u->end == SO_END_RUN_AWAY,
                           .text_in = u->text_in,
                           .audio_in = u->audio_in,
                           .image_in = u->image_in,
                           .cached = u->cached_positions,
                           .text_out = u->text_tokens,
                           .audio_out = u->units,
                           .queue_ms = ms_of(l->queue_s),
                           .first_text_ms = ms_of(u->first_text_s),
                           .first_audio_ms = ms_of(u->first_voice_s),
                           .audio_ms = ms_of(u->voice_s),
                           .total_ms = ms_of(u->total_s)};
    end.nothing_heard = t->kind == SO_TOLD_FAILED && t->status == SO_ERR_NOTHING_HEARD;
    if (t->kind == SO_TOLD_FAILED && !end.nothing_heard) end.failure = t->text ? t->text : "the engine failed";
    l->queue_s = 0;
    so_realtime_done(l->session, t->turn, &end);
}

static void on_told(so_ask *ask, so_told *t)
{
    so_live *l = ask->own;
    so_realtime_transcript heard = {.turn = t->turn,
                                    .text = t->text,
                                    .stable = t->stable,
                                    .final = t->final,
                                    .end_ms = ms_of(t->end_s),
                                    .words = t->words,
                                    .n_words = t->n_words};
    switch (t->kind) {
    case SO_TOLD_SEATED:
        l->queue_s = t->queue_s;
        return;
    case SO_TOLD_HEARD:
        so_realtime_heard(l->session, &heard);
        return;
    case SO_TOLD_TEXT:
        if (l->asked_at > 0 && t->turn == l->generation) {
            so_times_add(&ask->server->first_text, so_poll_now() - l->asked_at);
            l->asked_at = 0;
        }
        so_realtime_text(l->session, t->turn, t->text);
        return;
    case SO_TOLD_UNITS:
        so_realtime_units(l->session, t->turn, t->units, t->n_units);
        return;
    case SO_TOLD_SOUND:
        take_sound(l, t);
        return;
    case SO_TOLD_DONE:
        take_done(l, t);
        return;
    case SO_TOLD_FAILED:
        if (t->answer) take_done(l, t); /* what a failed order before it says, too */
        return;
    }
}

/* ---- the connection */
static void on_message(so_ask *ask, bool text, const void *data, size_t size)
{
    so_live *l = ask->own;
    if (text)
        so_realtime_message(l->session, data, size, now_ms());
    else
        so_web_close(ask->web, SO_WS_CLOSE_DATA, "messages are JSON text");
}

static void on_over(so_ask *ask)
{
    so_live *l = ask->own;
    if (l->before) l->before->after = l->after;
    if (l->after) l->after->before = l->before;
    if (ask->server->lives == l) ask->server->lives = l->after;
    so_realtime_close(&l->session);
    ask->server->counts.live--;
}

static void free_live(void *own)
{
    drop_held(own);
    free(own);
}

void so_live_tick(so_server *s)
{
    double now = so_poll_now();
    for (so_live *l = s->lives, *next; l; l = next) {
        next = l->after;
        int at = 0;
        while (at < l->levels && l->level[at].until < now) at++;
        end_barge(l);
        so_realtime_playing(l->session, at < l->levels ? l->level[at].level : 0);
        so_realtime_tick(l->session, now_ms());
    }
}

static bool open_session(so_live *l, so_error *error)
{
    so_ask *ask = l->ask;
    so_model_info info;
    const char *name = so_server_model(ask->server, &info);
    char asked[128];
    const so_realtime_port port = {l,        on_send,   on_clear, on_system, on_text,  on_picture,
                                   on_audio, on_answer, on_reply, on_stop,   on_heard, on_note};
    so_realtime_options options = {.model = so_http_query(ask->query, "model", asked, sizeof asked) ? asked : name,
                                   .voice = ask->server->options->voice ? ask->server->options->voice : info.voice,
                                   .instructions = ask->server->options->session.system,
                                   .speaks = info.speaks,
                                   .seed = so_server_random(ask->server),
                                   .unix_s = time(NULL)};
    return so_realtime_open(&l->session, &port, &options, error) == SO_OK;
}

/* The settings that came with a client's secret. */
static void apply_secret(so_live *l)
{
    json_t *event = l->ask->secret ? json_pack("{s:s,s:O}", "type", "session.update", "session", l->ask->secret) : NULL;
    char *text = event ? json_dumps(event, JSON_COMPACT) : NULL;
    if (text) so_realtime_message(l->session, text, strlen(text), now_ms());
    json_decref(event);
    free(text);
}

void so_answer_realtime(so_ask *ask)
{
    so_error error = {0};
    const char *offered = so_http_field_of(&ask->web->head, "sec-websocket-protocol");
    so_live *l = calloc(1, sizeof *l);
    if (!ask->web->head.websocket || !l) {
        free(l);
        so_ask_error(ask, 426, NULL, NULL, "this is a WebSocket: ask for an upgrade");
        return;
    }
    *l = (so_live){.ask = ask, .rate = SO_SPEECH_RATE};
    ask->own = l;
    ask->free = free_live;
    ask->told = on_told;
    if (!so_ask_sit(ask)) return;
    if (so_web_upgrade(ask->web, so_http_lists(offered, "realtime") ? "realtime" : NULL, so_ask_fields(ask, ""),
                       &error) != SO_OK) {
        so_web_abort(ask->web);
        return;
    }
    l->after = ask->server->lives;
    if (l->after) l->after->before = l;
    ask->server->lives = l;
    ask->server->counts.realtime++;
    ask->server->counts.live++;
    ask->over = on_over;
    ask->room = on_room;
    ask->message = on_message;
    if (open_session(l, &error))
        apply_secret(l);
    else
        so_web_close(ask->web, SO_WS_CLOSE_ERROR, "no memory for a session");
}
