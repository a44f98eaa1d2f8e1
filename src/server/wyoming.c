/* Wyoming, the protocol of Home Assistant's voice: speech to text, text to speech, and answers to what was said.
 *
 * A connection does one thing at a time: audio that comes is heard (and written down at its end), a text is spoken, or
 * a transcript is answered. What it asks for while the engine works waits.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "server/inside.h"
#include "server/wyoming_frame.h"

enum { AUDIO_RATE = 16000, TEXT_MOST = 8192, PIECES_A_TURN = 64 };

typedef enum task { IDLE, HEARING, SPEAKING, ANSWERING } task;

typedef struct wyoming {
    so_server *server;
    so_conn *conn;
    uint64_t seat; /* 0: none */
    task task;
    uint32_t turn;
    int rate, width, channels; /* of the audio that comes */
    so_bytes odd;              /* bytes that make no whole sample yet */
    so_bytes text;             /* of the answer, or of a text that comes in pieces */
    char *heard;
    json_t *context;
    char voice[64]; /* name of the one that is wanted */
    bool streaming; /* synthesize-start: the text comes in pieces, and again whole */
    bool started;   /* audio-start was sent */
    bool paused;
} wyoming;

static void send(wyoming *w, const char *type, json_t *data, const void *payload, size_t size)
{
    if (!so_wyoming_write(so_conn_out(w->conn), type, data, payload, size)) so_conn_drop(w->conn);
    so_conn_sent(w->conn);
}

static void send_error(wyoming *w, const char *text)
{
    send(w, "error", json_pack("{s:s,s:s}", "text", text, "code", "failed"), NULL, 0);
}

/* ---- describing itself */
static json_t *artifact(const char *name, const char *description)
{
    return json_pack("{s:s,s:{s:s,s:s},s:b,s:s,s:s}", "name", name, "attribution", "name", "stream-omni", "url", "",
                     "installed", 1, "description", description, "version", SO_VERSION);
}

/* A voice for each made of recordings, behind the model's own, as `program` wants them. */
static void add_clones(const wyoming *w, json_t *programs)
{
    const so_server_options *o = w->server->options;
    json_t *voices = json_object_get(json_array_get(programs, 0), "voices");
    for (int i = 0; voices && i < o->n_clones; i++) {
        so_clone_info about;
        so_error error;
        if (so_clone_fits(o->clones[i], so_desk_model(w->server->desk), &error) != SO_OK) continue;
        so_clone_about(o->clones[i], &about);
        json_t *entry = artifact(about.name, "made of recordings");
        json_object_set_new(entry, "languages", json_pack("[s]", "en"));
        json_object_set_new(entry, "speakers", json_null());
        json_array_append_new(voices, entry);
    }
}

static json_t *program(json_t *own, const char *list, json_t *entry)
{
    json_t *p = artifact("stream-omni", "sees, hears, writes and speaks");
    json_object_update(p, own);
    json_decref(own);
    json_object_set_new(entry, "languages", json_pack("[s]", "en"));
    json_object_set_new(p, list, json_pack("[o]", entry));
    return json_pack("[o]", p);
}

static void describe(wyoming *w)
{
    so_model_info info;
    const char *name = so_server_model(w->server, &info);
    json_t *j = json_pack("{s:[],s:[],s:[],s:[]}", "intent", "wake", "mic", "snd"),
           *voice = artifact(info.voice && info.voice[0] ? info.voice : name, "its voice");
    json_object_set_new(voice, "speakers", json_null());
    json_object_set_new(j, "asr",
                        info.takes_audio ? program(json_pack("{s:b,s:b}", "supports_transcript_streaming", 0,
                                                             "requires_external_vad", 1),
                                                   "models", artifact(name, "writes down what is said"))
                                         : json_array());
    json_object_set_new(
        j, "tts",
        info.speaks ? program(json_pack("{s:b}", "supports_synthesize_streaming", 1), "voices", json_incref(voice))
                    : json_array());
    if (info.speaks) add_clones(w, json_object_get(j, "tts"));
    json_object_set_new(j, "handle",
                        program(json_pack("{s:b,s:b}", "supports_handled_streaming", 1, "supports_home_control", 0),
                                "models", artifact(name, "answers")));
    json_decref(voice);
    send(w, "info", j, NULL, 0);
}

/* ---- what the desk tells */
static void finish(wyoming *w)
{
    w->task = IDLE;
    w->started = false;
    w->text.size = w->text.at = 0;
    json_decref(w->context);
    w->context = NULL;
    if (w->server->draining)
        so_conn_end(w->conn);
    else
        so_conn_again(w->conn); /* what waited */
}

static void spoken(wyoming *w, const so_told *t)
{
    json_t *form = json_pack("{s:i,s:i,s:i}", "rate", SO_VOICE_RATE, "width", 2, "channels", 1);
    if (!w->started) send(w, "audio-start", json_incref(form), NULL, 0);
    w->started = true;
    if (t->size)
        send(w, "audio-chunk", form, t->data, t->size);
    else
        json_decref(form);
}

static const char *terminated(so_bytes *text)
{
    if (!so_bytes_put(text, "", 1)) return "";
    text->size--;
    return (const char *)so_bytes_front(text);
}

static json_t *with_context(const wyoming *w, json_t *data)
{
    if (w->context) json_object_set(data, "context", w->context);
    return data;
}

static void done(wyoming *w)
{
    if (w->task == HEARING)
        send(w, "transcript",
             with_context(w, json_pack("{s:s,s:s}", "text", w->heard ? w->heard : "", "language", "en")), NULL, 0);
    if (w->task == SPEAKING) {
        if (!w->started) spoken(w, &(so_told){.size = 0});
        send(w, "audio-stop", NULL, NULL, 0);
        if (w->streaming) send(w, "synthesize-stopped", NULL, NULL, 0);
        w->streaming = false;
    }
    if (w->task == ANSWERING) {
        const char *text = terminated(&w->text);
        while (*text == ' ') text++;
        send(w, "handled", with_context(w, json_pack("{s:s}", "text", text)), NULL, 0);
    }
    finish(w);
}

static void on_told(void *context, so_told *t)
{
    wyoming *w = context;
    if (t->kind == SO_TOLD_HEARD) {
        free(w->heard);
        w->heard = strdup(t->text);
    } else if (t->kind == SO_TOLD_TEXT && w->task == ANSWERING)
        so_bytes_put(&w->text, t->text, strlen(t->text));
    else if (t->kind == SO_TOLD_SOUND && w->task == SPEAKING)
        spoken(w, t);
    else if (t->kind == SO_TOLD_DONE && t->turn == w->turn && w->task != IDLE)
        done(w);
    else if (t->kind == SO_TOLD_FAILED && t->answer && w->task == ANSWERING) {
        send(w, "not-handled", with_context(w, json_pack("{s:s}", "text", t->text)), NULL, 0);
        finish(w);
    } else if (t->kind == SO_TOLD_FAILED && t->answer && w->task != IDLE) {
        send_error(w, t->text);
        finish(w);
    }
    if (!w->paused && so_conn_pending(w->conn) > SO_PENDING_MOST) {
        w->paused = true;
        so_desk_pause(w->server->desk, w->seat, true);
    }
}

/* ---- what a client asks */
/* A seat of its own for the connection, kept for what follows. */
static bool sit(wyoming *w)
{
    so_error error = {0};
    int ahead;
    if (w->seat) return true;
    if (w->server->draining || so_desk_about(w->server->desk, NULL, NULL, NULL) != SO_DESK_READY) {
        send_error(w, "the server is not ready");
        return false;
    }
    if (so_desk_sit(w->server->desk, &w->seat, &ahead, &error) != SO_OK) {
        send_error(w, error.text);
        return false;
    }
    so_server_hear(w->server, w->seat, on_told, w);
    return true;
}

static void order(wyoming *w, so_order *o)
{
    if (o) o->turn = w->turn;
    so_desk_order(w->server->desk, w->seat, o);
}

static int whole(const json_t *data, const char *name, int otherwise)
{
    json_t *v = json_object_get(data, name);
    return json_is_integer(v) && json_integer_value(v) > 0 && json_integer_value(v) <= 384000
               ? (int)json_integer_value(v)
               : otherwise;
}

static void begin_audio(wyoming *w, const json_t *data)
{
    w->rate = whole(data, "rate", AUDIO_RATE);
    w->width = whole(data, "width", 2);
    w->channels = whole(data, "channels", 1);
    w->odd.size = w->odd.at = 0;
    free(w->heard);
    w->heard = NULL;
    if (sit(w)) order(w, so_order_new(SO_ORDER_CLEAR, NULL));
}

/* 16-bit samples of any number of channels; others are refused when they begin. */
static void take_audio(wyoming *w, const so_wyoming_frame *f)
{
    if (w->rate == 0) begin_audio(w, f->data);
    if (w->width != 2 || w->channels > 8 || w->rate < 4000) {
        send_error(w, "audio must be 16 bits a sample, at 4 kHz or more, in at most 8 channels");
        so_conn_end(w->conn);
        return;
    }
    if (!w->seat || !so_bytes_put(&w->odd, f->payload, f->size)) return;
    size_t frame = 2 * (size_t)w->channels, n = so_bytes_left(&w->odd) / frame;
    const unsigned char *p = so_bytes_front(&w->odd);
    so_order *o = n ? so_order_new(SO_ORDER_AUDIO, NULL) : NULL;
    if (o && (o->pcm = malloc(n * sizeof *o->pcm)) != NULL) {
        for (size_t i = 0; i < n; i++) {
            int sum = 0;
            for (int c = 0; c < w->channels; c++, p += 2) sum += (int16_t)(p[0] | p[1] << 8);
            o->pcm[i] = (float)sum / (float)w->channels / 32768;
        }
        o->samples = n;
        o->rate = w->rate;
    }
    so_bytes_take(&w->odd, n * frame);
    if (o) order(w, o);
}

static void end_audio(wyoming *w)
{
    w->rate = 0;
    if (!sit(w)) return;
    w->turn++;
    w->task = HEARING;
    order(w, so_order_new(SO_ORDER_LISTEN, NULL));
}

/* {"voice": {"name": ..}}; without it the usual one. */
static void take_voice(wyoming *w, const json_t *data)
{
    so_voice_named(json_object_get(json_object_get(data, "voice"), "name"), w->voice);
}

static void speak(wyoming *w, const char *text)
{
    so_order *o = so_order_new(SO_ORDER_SAY, text);
    if (!o || !sit(w)) {
        so_order_free(o);
        return;
    }
    order(w, so_order_new(SO_ORDER_CLEAR, NULL));
    w->turn++;
    w->task = SPEAKING;
    o->want = SO_WANT_TEXT | SO_WANT_VOICE;
    o->sound_rate = SO_VOICE_RATE;
    memcpy(o->voice, w->voice, sizeof o->voice);
    order(w, o);
}

/* What was said becomes a question; its answer is handed to whoever speaks it. */
static void answer(wyoming *w, const json_t *data, const char *text)
{
    so_order *o = so_order_new(SO_ORDER_REPLY, NULL);
    if (!o || !sit(w)) {
        so_order_free(o);
        return;
    }
    json_decref(w->context);
    w->context = json_incref(json_object_get(data, "context"));
    w->turn++;
    w->task = ANSWERING;
    order(w, so_order_new(SO_ORDER_TEXT, text));
    o->want = SO_WANT_TEXT;
    o->own = true;
    order(w, o);
}

static void take_text(wyoming *w, const so_wyoming_frame *f)
{
    const char *text = json_string_value(json_object_get(f->data, "text"));
    if (!text || strlen(text) > TEXT_MOST) {
        send_error(w, "a text of at most 8192 bytes is wanted");
        so_conn_end(w->conn);
    } else if (strcmp(f->type, "synthesize-chunk") == 0) {
        if (so_bytes_left(&w->text) + strlen(text) <= TEXT_MOST) so_bytes_put(&w->text, text, strlen(text));
    } else if (strcmp(f->type, "transcript") == 0)
        answer(w, f->data, text);
    else if (!w->streaming) { /* while pieces come it is the same text again, for older servers */
        take_voice(w, f->data);
        speak(w, text);
    }
}

static void take(wyoming *w, const so_wyoming_frame *f)
{
    static const char *const texts[] = {"synthesize", "synthesize-chunk", "transcript"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (strcmp(f->type, texts[i]) == 0) {
            take_text(w, f);
            return;
        }
    if (strcmp(f->type, "describe") == 0)
        describe(w);
    else if (strcmp(f->type, "ping") == 0)
        send(w, "pong", json_incref(f->data), NULL, 0);
    else if (strcmp(f->type, "transcribe") == 0) {
        json_decref(w->context);
        w->context = json_incref(json_object_get(f->data, "context"));
    } else if (strcmp(f->type, "audio-start") == 0)
        begin_audio(w, f->data);
    else if (strcmp(f->type, "audio-chunk") == 0)
        take_audio(w, f);
    else if (strcmp(f->type, "audio-stop") == 0)
        end_audio(w);
    else if (strcmp(f->type, "synthesize-start") == 0) {
        w->streaming = true;
        take_voice(w, f->data);
        w->text.size = w->text.at = 0;
    } else if (strcmp(f->type, "synthesize-stop") == 0 && w->streaming) {
        so_bytes text = w->text;
        w->text = (so_bytes){0};
        speak(w, terminated(&text));
        so_bytes_clear(&text);
    }
}

/* ---- the connection */
static bool on_open(void *context, so_conn *c)
{
    wyoming *w = calloc(1, sizeof *w);
    if (!w) return false;
    w->server = context;
    w->conn = c;
    c->user = w;
    return true;
}

static void on_input(void *context, so_conn *c)
{
    wyoming *w = c->user;
    so_error error = {0};
    (void)context;
    c->deadline = 0; /* a voice assistant keeps its connection */
    for (int i = 0; w->task == IDLE && !c->dead; i++) {
        so_wyoming_frame f;
        size_t used;
        if (i == PIECES_A_TURN || so_conn_pending(c) > SO_PENDING_MOST) {
            so_conn_again(c);
            return;
        }
        if (so_wyoming_read(so_bytes_front(&c->in), so_bytes_left(&c->in), &f, &used, &error) != SO_OK) {
            send_error(w, error.text);
            so_conn_end(c);
            return;
        }
        if (used == 0) break;
        c->idle = false;
        take(w, &f);
        json_decref(f.data);
        so_bytes_take(&c->in, used);
    }
}

static void on_room(void *context, so_conn *c)
{
    wyoming *w = c->user;
    (void)context;
    if (w->paused) so_desk_pause(w->server->desk, w->seat, false);
    w->paused = false;
    if (so_bytes_left(&c->in)) so_conn_again(c);
}

static void on_gone(void *context, so_conn *c)
{
    wyoming *w = c->user;
    (void)context;
    if (!w) return;
    if (w->seat) so_server_hear(w->server, w->seat, NULL, NULL);
    if (w->seat) so_desk_leave(w->server->desk, w->seat);
    json_decref(w->context);
    so_bytes_clear(&w->odd);
    so_bytes_clear(&w->text);
    free(w->heard);
    free(w);
    c->user = NULL;
}

void so_wyoming_wind_down(so_conn *c)
{
    const wyoming *w = c->user;
    if (w->task == IDLE) so_conn_end(c);
}

void so_wyoming_protocol(so_server *server, so_protocol *protocol)
{
    *protocol = (so_protocol){.context = server, .open = on_open, .input = on_input, .room = on_room, .gone = on_gone};
}
