/* POST /v1/audio/speech: words said in the model's voice, streamed as sound or as events.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "server/inside.h"

enum { INPUT_MOST = 4096 /* characters, as the published interface has it */ };

typedef struct speech {
    so_outlet_kind format;
    bool events, spoke;
    char voice[64];
    so_bytes rest; /* sound that makes no whole group of base64 yet */
} speech;

static void free_speech(void *own)
{
    so_bytes_clear(&((speech *)own)->rest);
    free(own);
}

static void send_event(so_ask *ask, bool last)
{
    speech *s = ask->own;
    size_t n = so_bytes_left(&s->rest);
    if (!last) n -= n % 6;
    if (n == 0) return;
    so_ask_event(
        ask, "speech.audio.delta",
        json_pack("{s:s,s:o}", "type", "speech.audio.delta", "audio", so_json_base64(so_bytes_front(&s->rest), n)));
    so_bytes_take(&s->rest, n);
}

static void take_sound(so_ask *ask, const so_told *t)
{
    speech *s = ask->own;
    if (!s->spoke) so_times_add(&ask->server->first_audio, so_poll_now() - ask->began);
    s->spoke = true;
    so_ask_begin(ask, s->events ? NULL : so_outlet_type(s->format));
    if (!s->events) {
        so_ask_piece(ask, t->data, t->size);
        return;
    }
    so_bytes_put(&s->rest, t->data, t->size);
    send_event(ask, false);
}

static void on_told(so_ask *ask, so_told *t)
{
    speech *s = ask->own;
    if (t->kind == SO_TOLD_SOUND) take_sound(ask, t);
    if (t->kind == SO_TOLD_FAILED && ask->begun && !s->events)
        so_web_abort(ask->web); /* a sound that breaks off must not look complete */
    else if (t->kind == SO_TOLD_FAILED)
        so_ask_failed(ask, t);
    if (t->kind != SO_TOLD_DONE) return;
    so_ask_begin(ask, s->events ? NULL : so_outlet_type(s->format));
    if (s->events) {
        send_event(ask, true);
        so_ask_event(ask, "speech.audio.done",
                     json_pack("{s:s,s:{s:i,s:i,s:i}}", "type", "speech.audio.done", "usage", "input_tokens",
                               t->usage.text_tokens, "output_tokens", t->usage.units, "total_tokens",
                               t->usage.text_tokens + t->usage.units));
    }
    so_ask_end(ask);
}

static bool text_field(json_t *root, const char *name, const char *otherwise, const char **out, so_fault *fault)
{
    json_t *v = json_object_get(root, name);
    *out = v && !json_is_null(v) ? json_string_value(v) : otherwise;
    return *out || so_fault_set(fault, name, "%s must be a text", name);
}

/* Any name is taken, and one that there is not means the usual voice: stock clients know only names of others. */
static bool read_voice(json_t *root, char voice[64], so_fault *fault)
{
    json_t *v = json_object_get(root, "voice"), *id = json_is_object(v) ? json_object_get(v, "id") : v;
    if (v && !json_is_string(id)) return so_fault_set(fault, "voice", "voice must be a name, or an object with an id");
    so_voice_named(id, voice);
    return true;
}

static bool read_request(json_t *root, speech *s, const char **input, so_fault *fault)
{
    const char *format, *stream;
    json_t *speed = json_object_get(root, "speed"), *how = json_object_get(root, "instructions");
    if (!text_field(root, "input", NULL, input, fault)) return false;
    size_t characters = 0;
    for (const char *p = *input; *p; p++) characters += (*p & 0xc0) != 0x80;
    if (characters == 0) return so_fault_set(fault, "input", "there is nothing to say");
    if (characters > INPUT_MOST)
        return so_fault_set(fault, "input", "%zu characters, at most %d are taken", characters, INPUT_MOST);
    if (!read_voice(root, s->voice, fault) || !text_field(root, "response_format", "mp3", &format, fault) ||
        !text_field(root, "stream_format", "audio", &stream, fault))
        return false;
    if (!so_outlet_named(format, &s->format) || strcmp(format, "pcm16") == 0)
        return so_fault_set(fault, "response_format",
                            "the format '%.40s' is not supported (mp3, opus, flac, wav, pcm are)", format);
    if (strcmp(stream, "audio") && strcmp(stream, "sse"))
        return so_fault_set(fault, "stream_format", "the format of streams '%.40s' is not supported (audio, sse are)",
                            stream);
    s->events = strcmp(stream, "sse") == 0;
    double x = json_number_value(speed);
    if (speed && !json_is_null(speed) && (!json_is_number(speed) || x < 1 || x > 1))
        return so_fault_set(fault, "speed", "a speed other than 1 is not supported");
    if (how && !json_is_null(how) && !json_is_string(how))
        return so_fault_set(fault, "instructions", "instructions must be a text");
    return true;
}

void so_answer_speech(so_ask *ask)
{
    so_fault fault = {0};
    so_model_info info;
    const char *input = NULL;
    speech *s = calloc(1, sizeof *s);
    so_server_model(ask->server, &info);
    ask->own = s;
    ask->free = free_speech;
    ask->told = on_told;
    json_t *root = s ? so_json_read(so_bytes_front(&ask->body), so_bytes_left(&ask->body), &fault) : NULL;
    if (!s || (root && !info.speaks)) {
        fault.status = s ? 400 : 503;
        so_fault_set(&fault, NULL, s ? "this model gives no audio" : "no memory for the request");
    } else if (root)
        read_request(root, s, &input, &fault);
    so_order *say = fault.status == 0 ? so_order_new(SO_ORDER_SAY, input) : NULL;
    json_decref(root);
    if (!say) {
        if (fault.status == 0) fault.status = 503;
        so_ask_fault(ask, &fault);
        return;
    }
    say->turn = 1;
    say->want = SO_WANT_TEXT | SO_WANT_VOICE;
    say->sound = s->format;
    memcpy(say->voice, s->voice, sizeof say->voice);
    if (so_ask_sit(ask))
        so_ask_order(ask, say);
    else
        so_order_free(say);
}
