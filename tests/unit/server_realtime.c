/* Realtime sessions without sockets and without a model: a port that writes everything down, an engine that the test
 * plays. SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "net/base64.h"
#include "server/g711.h"
#include "server/realtime.h"

/* ---- a port that writes down */

typedef struct notes {
    json_t *sent;        /* array of events, oldest first */
    char commands[8192]; /* "clear, text Hi, reply 1 voice, ..." */
    size_t samples;      /* of audio, all together since the last clear */
    unsigned generation;
    bool transcript_only, replying, answers_silence;
    int rate;
    char voice[64]; /* of the last reply */
} notes;

static void say(notes *n, const char *format, ...)
{
    va_list args;
    size_t used = strlen(n->commands);
    if (used > sizeof n->commands - 256) n->commands[used = 0] = 0;
    va_start(args, format);
    vsnprintf(n->commands + used, sizeof n->commands - used, format, args);
    va_end(args);
}
static void on_send(void *c, json_t *event) { json_array_append_new(((notes *)c)->sent, event); }
static void on_clear(void *c)
{
    say(c, "clear,");
    ((notes *)c)->samples = 0;
}
static void on_system(void *c, const char *t) { say(c, "system %s,", t); }
static void on_text(void *c, const char *t) { say(c, "text %s,", t); }
static void on_picture(void *c, const void *file, size_t bytes)
{
    (void)file;
    say(c, "picture %zu,", bytes);
}
static void on_audio(void *c, const int16_t *pcm, size_t n, int rate)
{
    (void)pcm;
    ((notes *)c)->samples += n;
    ((notes *)c)->rate = rate;
}
static void on_answer(void *c, const char *t) { say(c, "answer %s,", t); }
static void on_reply(void *c, const so_realtime_reply *r)
{
    notes *n = c;
    n->generation = r->generation;
    n->transcript_only = r->transcript_only;
    n->answers_silence = r->answers_silence;
    n->replying = true;
    snprintf(n->voice, sizeof n->voice, "%s", r->name ? r->name : "");
    say(c, "%s %s,", r->transcript_only ? "transcribe" : "reply", r->voice ? "voice" : "text");
}
static void on_stop(void *c, unsigned generation)
{
    (void)generation;
    ((notes *)c)->replying = false;
    say(c, "stop,");
}
static void on_heard(void *c, int64_t ms) { say(c, "heard %lld,", (long long)ms); }

static so_realtime *open_session(notes *n)
{
    so_realtime *r;
    so_error error;
    *n = (notes){.sent = json_array()};
    so_realtime_port port = {n,        on_send,   on_clear, on_system, on_text, on_picture,
                             on_audio, on_answer, on_reply, on_stop,   on_heard};
    so_realtime_options options = {.model = "test", .voice = "one", .speaks = true, .seed = 7, .unix_s = 1000};
    assert_int_equal(so_realtime_open(&r, &port, &options, &error), SO_OK);
    return r;
}
static void close_session(notes *n, so_realtime *r)
{
    so_realtime_close(&r);
    assert_null(r);
    json_decref(n->sent);
}

static void send_to(so_realtime *r, const char *text) { so_realtime_message(r, text, strlen(text), 0); }

static const char *type_of(const notes *n, size_t i)
{
    return json_string_value(json_object_get(json_array_get(n->sent, i), "type"));
}
static size_t count(const notes *n, const char *type)
{
    size_t found = 0;
    for (size_t i = 0; i < json_array_size(n->sent); i++) found += strcmp(type_of(n, i), type) == 0;
    return found;
}
static json_t *last(const notes *n, const char *type)
{
    for (size_t i = json_array_size(n->sent); i-- > 0;)
        if (strcmp(type_of(n, i), type) == 0) return json_array_get(n->sent, i);
    fail_msg("no %s was sent", type);
    return NULL;
}
static const char *string_at(const json_t *json, const char *a, const char *b)
{
    json_t *v = json_object_get(json, a);
    return json_string_value(b ? json_object_get(v, b) : v);
}

/* Seconds of a voice-like buzz, or of near silence, appended in pieces of 20 ms. */
static void append(so_realtime *r, double seconds, bool loud, uint64_t seed)
{
    so_rng rng;
    so_rng_init(&rng, seed, 1);
    int16_t pcm[480];
    char text[2048], base64[1500];
    for (int64_t at = 0; at < (int64_t)(seconds * 50); at++) {
        for (int i = 0; i < 480; i++) {
            double t = (double)(at * 480 + i) / 24000, x = 0;
            for (int h = 1; h < 20 && loud; h++) x += sin(6.283185307179586 * 120 * h * t) / h;
            pcm[i] = (int16_t)(loud ? 6000 * x * (0.6 + 0.4 * sin(6.283 * 4 * t)) : 10 * so_rng_normal(&rng));
        }
        so_base64_write(pcm, sizeof pcm, base64);
        int n = snprintf(text, sizeof text, "{\"type\":\"input_audio_buffer.append\",\"audio\":\"%s\"}", base64);
        so_realtime_message(r, text, (size_t)n, at * 20);
    }
}

static void hear(so_realtime *r, unsigned turn, const char *text, size_t stable, bool final)
{
    so_heard_word word = {.text_end = strcspn(text, " "), .begin_s = 0.04, .end_s = 0.12};
    so_realtime_transcript t = {turn, text, stable, final, 0, &word, 1};
    so_realtime_heard(r, &t);
}

/* ---- tests */

static void a_session_tells_its_settings(void **state)
{
    (void)state;
    notes n;
    so_realtime *r = open_session(&n);
    json_t *session = json_object_get(last(&n, "session.created"), "session");
    assert_string_equal(string_at(session, "type", NULL), "realtime");
    assert_string_equal(string_at(session, "model", NULL), "test");
    send_to(r,
            "{\"type\":\"session.update\",\"session\":{\"type\":\"realtime\",\"instructions\":\"Be "
            "brief.\",\"tracing\":\"auto\","
            "\"output_modalities\":[\"text\"],\"audio\":{\"input\":{\"turn_detection\":null,\"noise_reduction\":null},"
            "\"output\":{\"voice\":\"alloy\",\"speed\":1.0}}}}");
    session = json_object_get(last(&n, "session.updated"), "session");
    assert_string_equal(string_at(session, "instructions", NULL), "Be brief.");
    assert_string_equal(string_at(session, "tracing", NULL), "auto");
    assert_true(
        json_is_null(json_object_get(json_object_get(json_object_get(session, "audio"), "input"), "turn_detection")));
    close_session(&n, r);
}

/* Every wrong message is answered, names what is wrong, and changes nothing. */
static void wrong_messages_are_answered(void **state)
{
    (void)state;
    static const struct {
        const char *message, *code, *param;
    } cases[] = {
        {"{", "invalid_json", NULL},
        {"[]", "invalid_json", NULL},
        {"{}", "missing_required_parameter", "type"},
        {"{\"type\":\"no.such\"}", "invalid_value", "type"},
        {"{\"type\":\"session.update\",\"session\":{\"colour\":1}}", "unknown_parameter", "session.colour"},
        {"{\"type\":\"session.update\",\"session\":{\"tools\":[{\"type\":\"function\"}]}}", "unsupported_value",
         "session.tools"},
        {"{\"type\":\"session.update\",\"session\":{\"audio\":{\"input\":{\"format\":{\"type\":\"audio/"
         "pcm\",\"rate\":16000}}}}}",
         "invalid_value", "session.audio.input.format"},
        {"{\"type\":\"session.update\",\"session\":{\"max_output_tokens\":0}}", "invalid_value",
         "session.max_output_tokens"},
        {"{\"type\":\"input_audio_buffer.append\",\"audio\":\"***\"}", "invalid_value", "audio"},
        {"{\"type\":\"input_audio_buffer.append\"}", "invalid_value", "audio"},
        {"{\"type\":\"input_audio_buffer.commit\"}", "input_audio_buffer_commit_empty", NULL},
        {"{\"type\":\"response.cancel\"}", "response_cancel_not_active", "response_id"},
        {"{\"type\":\"conversation.item.delete\",\"item_id\":\"x\"}", "item_not_found", "item_id"},
        {"{\"type\":\"conversation.item.retrieve\"}", "item_not_found", "item_id"},
        {"{\"type\":\"conversation.item.truncate\",\"item_id\":\"x\",\"audio_end_ms\":1}", "item_not_found", "item_id"},
        {"{\"type\":\"conversation.item.create\",\"item\":{\"type\":\"message\",\"role\":\"user\",\"content\":[]}}",
         "invalid_value", "item.content"},
        {"{\"type\":\"conversation.item.create\",\"item\":{\"type\":\"function_call\",\"role\":\"user\",\"content\":[{}"
         "]}}",
         "unsupported_value", "item.type"},
        {"{\"type\":\"conversation.item.create\",\"item\":{\"type\":\"message\",\"role\":\"assistant\",\"content\":[{"
         "\"type\":"
         "\"output_audio\"}]}}",
         "invalid_value", "item.content.type"},
        {"{\"type\":\"conversation.item.create\",\"item\":{\"type\":\"message\",\"role\":\"user\",\"content\":[{"
         "\"type\":\"input_image\","
         "\"image_url\":\"http://127.0.0.1/x\"}]}}",
         "invalid_value", "item.content.image_url"},
        {"{\"type\":\"response.create\",\"response\":{\"conversation\":\"other\"}}", "invalid_value",
         "response.conversation"}};
    notes n;
    so_realtime *r = open_session(&n);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t before = json_array_size(n.sent);
        send_to(r, cases[i].message);
        assert_int_equal(json_array_size(n.sent), before + 1);
        json_t *error = json_object_get(last(&n, "error"), "error");
        assert_string_equal(string_at(error, "code", NULL), cases[i].code);
        if (cases[i].param) assert_string_equal(string_at(error, "param", NULL), cases[i].param);
    }
    assert_int_equal(count(&n, "response.created"), 0);
    assert_string_equal(n.commands, "");
    close_session(&n, r);
}

/* The session's voice, or the one that a response asks for this once. */
static void answers_have_the_voice_asked_for(void **state)
{
    (void)state;
    static const char *const asked[][2] = {
        {"{\"type\":\"response.create\"}", "ada"},
        {"{\"type\":\"response.create\",\"response\":{\"audio\":{\"output\":{\"voice\":{\"id\":\"ben\"}}}}}", "ben"},
        {"{\"type\":\"response.create\"}", "ada"}};
    notes n;
    so_realtime *r = open_session(&n);
    send_to(
        r,
        "{\"type\":\"session.update\",\"session\":{\"type\":\"realtime\",\"audio\":{\"output\":{\"voice\":\"ada\"}}}}");
    for (int i = 0; i < 3; i++) {
        send_to(r,
                "{\"type\":\"conversation.item.create\",\"item\":{\"type\":\"message\",\"role\":\"user\",\"content\":[{"
                "\"type\":\"input_text\",\"text\":\"What is it?\"}]}}");
        send_to(r, asked[i][0]);
        assert_string_equal(n.voice, asked[i][1]);
        so_realtime_text(r, n.generation, "A star.");
        so_realtime_end end = {.text_in = 5, .text_out = 2};
        so_realtime_done(r, n.generation, &end);
        json_t *response = json_object_get(last(&n, "response.done"), "response");
        json_t *output = json_object_get(json_object_get(response, "audio"), "output");
        assert_string_equal(json_string_value(json_object_get(output, "voice")), asked[i][1]);
    }
    close_session(&n, r);
}

static void a_written_turn_is_answered(void **state)
{
    (void)state;
    notes n;
    so_realtime *r = open_session(&n);
    send_to(r, "{\"type\":\"conversation.item.create\",\"item\":{\"id\":\"mine\",\"type\":\"message\",\"role\":"
               "\"user\",\"content\":[{\"type\":"
               "\"input_image\",\"image_url\":\"data:image/"
               "png;base64,iVBORw0KGgo=\"},{\"type\":\"input_text\",\"text\":\"What is it?\"}]}}");
    assert_string_equal(n.commands, "");
    send_to(r, "{\"type\":\"response.create\"}");
    assert_string_equal(n.commands, "clear,picture 8,text What is it?,reply voice,");
    send_to(r, "{\"type\":\"response.create\",\"event_id\":\"again\"}");
    assert_string_equal(string_at(last(&n, "error"), "error", "event_id"), "again");
    so_realtime_text(r, n.generation, "A star");
    int16_t pcm[4] = {1, 2, 3, -4};
    so_realtime_voice_piece piece = {pcm, 4, 0, 6, 0, 40};
    so_realtime_voice(r, n.generation, &piece);
    so_realtime_text(r, n.generation - 1, "of another answer");
    so_realtime_text(r, n.generation, ".");
    so_realtime_end end = {.text_in = 5, .image_in = 9, .text_out = 2, .audio_out = 1, .audio_ms = 40};
    so_realtime_done(r, n.generation, &end);
    so_realtime_text(r, n.generation, "late");
    static const char *const order[] = {"session.created",
                                        "conversation.item.added",
                                        "conversation.item.done",
                                        "response.created",
                                        "error",
                                        "response.output_item.added",
                                        "conversation.item.added",
                                        "response.content_part.added",
                                        "response.output_audio_transcript.delta",
                                        "response.output_audio.delta",
                                        "response.output_audio_transcript.delta",
                                        "response.output_audio.done",
                                        "response.output_audio_transcript.done",
                                        "response.content_part.done",
                                        "response.output_item.done",
                                        "conversation.item.done",
                                        "response.done"};
    assert_int_equal(json_array_size(n.sent), sizeof order / sizeof *order);
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) assert_string_equal(type_of(&n, i), order[i]);
    assert_string_equal(string_at(last(&n, "response.output_audio.delta"), "delta", NULL), "AQACAAMA/P8=");
    json_t *response = json_object_get(last(&n, "response.done"), "response");
    assert_string_equal(string_at(response, "status", NULL), "completed");
    assert_int_equal(json_integer_value(json_object_get(json_object_get(response, "usage"), "input_tokens")), 14);
    /* What was given is not given again. */
    n.commands[0] = 0;
    send_to(r, "{\"type\":\"conversation.item.create\",\"item\":{\"type\":\"message\",\"role\":\"user\",\"content\":[{"
               "\"type\":\"input_text\","
               "\"text\":\"Why?\"}]}}");
    send_to(r, "{\"type\":\"response.create\"}");
    assert_string_equal(n.commands, "text Why?,reply voice,");
    so_realtime_done(r, n.generation, &(so_realtime_end){0});
    /* An item that was given goes: everything is given anew. */
    n.commands[0] = 0;
    send_to(r, "{\"type\":\"conversation.item.delete\",\"item_id\":\"mine\"}");
    send_to(r, "{\"type\":\"response.create\",\"response\":{\"output_modalities\":[\"text\"]}}");
    assert_string_equal(n.commands, "clear,answer A star.,text Why?,reply text,");
    close_session(&n, r);
}

static void speech_becomes_a_turn(void **state)
{
    (void)state;
    notes n;
    so_realtime *r = open_session(&n);
    send_to(r, "{\"type\":\"session.update\",\"session\":{\"stream_omni\":{\"input_transcript\":true}}}");
    append(r, 1, false, 1);
    assert_int_equal(count(&n, "input_audio_buffer.speech_started"), 0);
    append(r, 1, true, 2);
    assert_int_equal(count(&n, "input_audio_buffer.speech_started"), 1);
    json_int_t from =
        json_integer_value(json_object_get(last(&n, "input_audio_buffer.speech_started"), "audio_start_ms"));
    assert_in_range(from, 500, 1000);
    /* It is with the engine while it is spoken. */
    assert_int_equal(strncmp(n.commands, "clear,", 6), 0);
    assert_in_range(n.samples, 24000 * 9 / 10, 24000 * 15 / 10);
    hear(r, 0, "what", 0, false);
    assert_string_equal(string_at(last(&n, "stream_omni.input_transcript"), "text", NULL), "what");
    assert_int_equal(count(&n, "conversation.item.input_audio_transcription.delta"), 0);
    append(r, 1, false, 3);
    assert_int_equal(count(&n, "input_audio_buffer.speech_stopped"), 1);
    assert_int_equal(count(&n, "input_audio_buffer.committed"), 1);
    assert_int_equal(count(&n, "response.created"), 1);
    assert_true(n.replying && !n.transcript_only && !n.answers_silence);
    /* Nothing was fed twice: the item is no longer than the pieces. */
    size_t fed = n.samples;
    hear(r, 0, "what is", 4, false);
    hear(r, 0, "what is it?", 0, true);
    json_t *done = last(&n, "conversation.item.input_audio_transcription.completed");
    assert_string_equal(string_at(done, "transcript", NULL), "what is it?");
    json_t *words = json_object_get(last(&n, "stream_omni.input_transcript"), "words");
    assert_int_equal(json_array_size(words), 1);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(words, 0), "text_end")), 4);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(words, 0), "end_ms")), 120);
    /* Deltas are append-only and make the transcript. */
    char all[64] = "";
    for (size_t i = 0; i < json_array_size(n.sent); i++)
        if (strcmp(type_of(&n, i), "conversation.item.input_audio_transcription.delta") == 0)
            strcat(all, string_at(json_array_get(n.sent, i), "delta", NULL));
    assert_string_equal(all, "what is it?");
    const char *id = string_at(last(&n, "input_audio_buffer.committed"), "item_id", NULL);
    char retrieve[200];
    snprintf(retrieve, sizeof retrieve, "{\"type\":\"conversation.item.retrieve\",\"item_id\":\"%s\"}", id);
    send_to(r, retrieve);
    json_t *item = json_object_get(last(&n, "conversation.item.retrieved"), "item");
    const char *audio = string_at(json_array_get(json_object_get(item, "content"), 0), "audio", NULL);
    assert_int_equal(strlen(audio) / 4, (fed * 2 + 2) / 3);
    close_session(&n, r);
}

static void speech_interrupts_an_answer(void **state)
{
    (void)state;
    notes n;
    so_realtime *r = open_session(&n);
    append(r, 0.5, false, 1);
    append(r, 1, true, 2);
    append(r, 1, false, 3);
    hear(r, 0, "say it", 0, true);
    unsigned first = n.generation;
    so_realtime_text(r, first, "One two three");
    int16_t pcm[2400] = {0};
    so_realtime_voice_piece piece = {pcm, 2400, 0, 3, 0, 100}, next = {pcm, 2400, 3, 7, 100, 200};
    so_realtime_voice(r, first, &piece);
    so_realtime_voice(r, first, &next);
    const char *id = string_at(last(&n, "response.output_audio.delta"), "item_id", NULL);
    char truncate[200];
    snprintf(truncate, sizeof truncate,
             "{\"type\":\"conversation.item.truncate\",\"item_id\":\"%s\",\"content_index\":0,\"audio_end_ms\":150}",
             id);
    append(r, 1, true, 4);
    json_t *response = json_object_get(last(&n, "response.done"), "response");
    assert_string_equal(string_at(response, "status", NULL), "cancelled");
    assert_string_equal(string_at(response, "status_details", "reason"), "turn_detected");
    assert_non_null(strstr(n.commands, "stop,"));
    size_t sent = json_array_size(n.sent);
    so_realtime_text(r, first, " four");
    so_realtime_voice(r, first, &next);
    so_realtime_done(r, first, &(so_realtime_end){0});
    assert_int_equal(json_array_size(n.sent), sent);
    /* Told later than the new speech began: only the words that were heard stay. */
    send_to(r, truncate);
    assert_int_equal(count(&n, "conversation.item.truncated"), 1);
    assert_non_null(strstr(n.commands, "heard 150,"));
    send_to(r, truncate); /* once more, and beyond what was made: no error */
    assert_int_equal(count(&n, "conversation.item.truncated"), 2);
    assert_int_equal(count(&n, "error"), 0);
    append(r, 1, false, 5);
    assert_int_equal(count(&n, "response.created"), 2);
    assert_int_equal(count(&n, "response.done"), 1);
    close_session(&n, r);
}

static void a_client_may_commit_by_itself(void **state)
{
    (void)state;
    notes n;
    so_realtime *r = open_session(&n);
    send_to(r, "{\"type\":\"session.update\",\"session\":{\"audio\":{\"input\":{\"turn_detection\":null}}}}");
    append(r, 0.5, true, 1);
    assert_int_equal(n.samples, 12000);
    send_to(r, "{\"type\":\"input_audio_buffer.clear\"}");
    append(r, 0.4, true, 1);
    assert_int_equal(n.samples, 9600); /* the conversation began anew without what was cleared */
    send_to(r, "{\"type\":\"input_audio_buffer.commit\"}");
    assert_int_equal(count(&n, "response.created"), 0);
    /* Nobody asks for an answer: it is written down, and given again when somebody does. */
    so_realtime_tick(r, 5000);
    assert_true(n.transcript_only);
    hear(r, 0, "hello", 0, true);
    assert_string_equal(
        string_at(last(&n, "conversation.item.input_audio_transcription.completed"), "transcript", NULL), "hello");
    so_realtime_done(r, n.generation, &(so_realtime_end){0});
    n.commands[0] = 0;
    send_to(r, "{\"type\":\"response.create\"}");
    assert_string_equal(n.commands, "clear,reply voice,");
    assert_int_equal(n.samples, 9600);
    close_session(&n, r);
}

/* What could not be written down is told as such, once, and what comes later is heard again. */
static void a_transcript_may_fail(void **state)
{
    (void)state;
    notes n;
    so_realtime *r = open_session(&n);
    static const char failed[] = "conversation.item.input_audio_transcription.failed";
    send_to(r, "{\"type\":\"session.update\",\"session\":{\"audio\":{\"input\":{\"turn_detection\":null}}}}");
    append(r, 0.4, true, 1);
    send_to(r, "{\"type\":\"input_audio_buffer.commit\"}");
    const char *id = string_at(last(&n, "input_audio_buffer.committed"), "item_id", NULL);
    so_realtime_tick(r, 5000);
    assert_true(n.transcript_only);
    so_realtime_done(r, n.generation, &(so_realtime_end){.failure = "no memory"});
    assert_int_equal(count(&n, failed), 1);
    assert_string_equal(string_at(last(&n, failed), "item_id", NULL), id);
    assert_string_equal(string_at(last(&n, failed), "error", "message"), "no memory");
    assert_int_equal(count(&n, "conversation.item.input_audio_transcription.completed"), 0);
    append(r, 0.4, true, 2);
    send_to(r, "{\"type\":\"input_audio_buffer.commit\"}");
    so_realtime_tick(r, 9000);
    assert_int_equal(count(&n, failed), 1);
    close_session(&n, r);
}

/* A conversation that is told anew: of speech that was answered, its words; of the last turn, its sound. */
static void history_is_given_in_words(void **state)
{
    (void)state;
    notes n;
    so_realtime *r = open_session(&n);
    static const char *const items[] = {
        "{\"type\":\"message\",\"role\":\"user\",\"content\":[{\"type\":\"input_audio\",\"audio\":\"AAAAAA==\","
        "\"transcript\":\"hello\"}]}",
        "{\"type\":\"message\",\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\",\"text\":\"Hi.\"}]}",
        "{\"type\":\"message\",\"role\":\"user\",\"content\":[{\"type\":\"input_audio\",\"audio\":\"AAAAAA==\"}]}",
        "{\"type\":\"message\",\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\",\"text\":\"Well.\"}]}",
        "{\"type\":\"message\",\"role\":\"user\",\"content\":[{\"type\":\"input_audio\",\"audio\":\"AAAAAAAA\","
        "\"transcript\":\"what\"}]}"};
    for (size_t i = 0; i < sizeof items / sizeof *items; i++) {
        char message[400];
        snprintf(message, sizeof message, "{\"type\":\"conversation.item.create\",\"item\":%s}", items[i]);
        send_to(r, message);
    }
    send_to(r, "{\"type\":\"response.create\"}");
    assert_string_equal(n.commands, "clear,text hello,answer Hi.,text \xe2\x80\xa6,answer Well.,reply voice,");
    assert_int_equal(n.samples, 3);
    close_session(&n, r);
}

static void telephones_are_heard(void **state)
{
    (void)state;
    notes n;
    so_realtime *r = open_session(&n);
    send_to(r, "{\"type\":\"session.update\",\"session\":{\"audio\":{\"input\":{\"format\":{\"type\":\"audio/"
               "pcmu\"},\"turn_detection\":null},"
               "\"output\":{\"format\":{\"type\":\"audio/pcma\"}}}}}");
    send_to(r, "{\"type\":\"input_audio_buffer.append\",\"audio\":\"/38A\"}");
    assert_int_equal(n.samples, 3);
    assert_int_equal(n.rate, 8000);
    send_to(r, "{\"type\":\"input_audio_buffer.commit\"}");
    send_to(r, "{\"type\":\"response.create\"}");
    int16_t pcm[2] = {0, 1000};
    so_realtime_voice_piece piece = {pcm, 2, 0, 0, 0, 1};
    so_realtime_text(r, n.generation, "x");
    so_realtime_voice(r, n.generation, &piece);
    assert_int_equal(strlen(string_at(last(&n, "response.output_audio.delta"), "delta", NULL)), 4);
    close_session(&n, r);
}

/* G.711 against the recommendation's own corner values, and there and back. */
static void g711_is_g711(void **state)
{
    (void)state;
    assert_int_equal(so_ulaw_decode(0x00), -32124);
    assert_int_equal(so_ulaw_decode(0x80), 32124);
    assert_int_equal(so_ulaw_decode(0xff), 0);
    assert_int_equal(so_alaw_decode(0xd5), 8);
    assert_int_equal(so_alaw_decode(0x55), -8);
    assert_int_equal(so_alaw_decode(0xaa), 32256);
    assert_int_equal(so_alaw_decode(0x2a), -32256);
    for (int code = 0; code < 256; code++) {
        int16_t u = so_ulaw_decode((uint8_t)code), a = so_alaw_decode((uint8_t)code);
        assert_int_equal(so_alaw_encode(a), code);
        if (code != 0x7f) assert_int_equal(so_ulaw_encode(u), code); /* two zeros */
    }
    for (int x = -32768; x < 32768; x += 7) {
        int far = abs(x) / 16 + 16;
        assert_in_range(so_ulaw_decode(so_ulaw_encode((int16_t)x)) - x + far + 660, 0, 2 * far + 1320);
        assert_in_range(so_alaw_decode(so_alaw_encode((int16_t)x)) - x + far, 0, 2 * far);
    }
}

/* ---- any order: one answer at a time, each ended once, nothing after its end */

/* A client that stops sending is as silent as one that sends silence. */
static void a_client_that_sends_no_more(void **state)
{
    (void)state;
    notes n;
    so_realtime *r = open_session(&n);
    send_to(
        r,
        "{\"type\":\"session.update\",\"session\":{\"audio\":{\"input\":{\"turn_detection\":{\"type\":\"semantic_vad\","
        "\"eagerness\":\"high\"}}}}}");
    append(r, 0.4, false, 1);
    append(r, 1.0, true, 2);
    append(r, 0.9, false, 3);
    so_realtime_tick(r, 500);
    assert_int_equal(count(&n, "input_audio_buffer.speech_started"), 1);
    assert_int_equal(count(&n, "input_audio_buffer.speech_stopped"), 0);
    so_realtime_tick(r, 2500);
    assert_int_equal(count(&n, "input_audio_buffer.speech_stopped"), 1);
    assert_int_equal(count(&n, "response.created"), 1);
    close_session(&n, r);
}

static void check_invariants(const notes *n)
{
    bool active = false;
    size_t created = 0, done = 0, added = 0, ended = 0;
    for (size_t i = 0; i < json_array_size(n->sent); i++) {
        const char *type = type_of(n, i);
        if (strcmp(type, "response.created") == 0) {
            assert_false(active);
            active = true;
            created++;
        } else if (strcmp(type, "response.done") == 0) {
            assert_true(active);
            active = false;
            done++;
        } else if (strncmp(type, "response.", 9) == 0) {
            assert_true(active);
        }
        added += strcmp(type, "conversation.item.added") == 0;
        ended += strcmp(type, "conversation.item.done") == 0;
        if (strcmp(type, "response.done") == 0) assert_int_equal(added, ended);
    }
    assert_in_range(created - done, 0, 1);
}

static void any_order_keeps_the_rules(void **state)
{
    (void)state;
    static const char *const messages[] = {
        "{\"type\":\"response.create\"}",
        "{\"type\":\"response.cancel\"}",
        "{\"type\":\"input_audio_buffer.commit\"}",
        "{\"type\":\"input_audio_buffer.clear\"}",
        "{\"type\":\"response.create\",\"response\":{\"conversation\":\"none\"}}",
        "{\"type\":\"response.create\",\"response\":{\"instructions\":\"x\",\"input\":[{\"type\":\"message\",\"role\":"
        "\"user\",\"content\":[{"
        "\"type\":\"input_text\",\"text\":\"y\"}]}]}}",
        "{\"type\":\"conversation.item.create\",\"item\":{\"type\":\"message\",\"role\":\"user\",\"content\":[{"
        "\"type\":\"input_text\",\"text\":"
        "\"hi\"}]}}",
        "{\"type\":\"conversation.item.create\",\"previous_item_id\":\"root\",\"item\":{\"type\":\"message\",\"role\":"
        "\"system\",\"content\":[{"
        "\"type\":\"input_text\",\"text\":\"s\"}]}}",
        "{\"type\":\"session.update\",\"session\":{\"audio\":{\"input\":{\"turn_detection\":null}}}}",
        "{\"type\":\"session.update\",\"session\":{\"audio\":{\"input\":{\"turn_detection\":{\"type\":\"server_vad\","
        "\"silence_duration_ms\":"
        "200}}}}}",
        "{\"type\":\"session.update\",\"session\":{\"audio\":{\"input\":{\"turn_detection\":{\"type\":\"semantic_vad\","
        "\"eagerness\":\"high\"}}}}}"};
    enum { MESSAGES = sizeof messages / sizeof *messages };
    int runs = getenv("SO_THOROUGH") ? 400 : 30;
    for (int run = 0; run < runs; run++) {
        notes n;
        so_rng rng;
        so_realtime *r = open_session(&n);
        so_rng_init(&rng, 99, (uint64_t)run);
        for (int step = 0; step < 60; step++) {
            int64_t what = so_rng_below(&rng, MESSAGES + 7);
            int16_t pcm[240] = {0};
            so_realtime_voice_piece piece = {pcm, 240, 0, 2, 0, 10};
            so_realtime_end end = {.failure = so_rng_below(&rng, 5) ? NULL : "it broke", .audio_ms = 10};
            unsigned generation = n.generation - (unsigned)(so_rng_below(&rng, 4) == 0);
            if (what < MESSAGES)
                send_to(r, messages[what]);
            else if (what == MESSAGES)
                append(r, 0.3, true, (uint64_t)step);
            else if (what == MESSAGES + 1)
                append(r, 0.4, false, (uint64_t)step);
            else if (what == MESSAGES + 2)
                so_realtime_text(r, generation, "word ");
            else if (what == MESSAGES + 3)
                so_realtime_voice(r, generation, &piece);
            else if (what == MESSAGES + 4)
                so_realtime_done(r, generation, &end);
            else if (what == MESSAGES + 5)
                hear(r, generation, "some words", (size_t)so_rng_below(&rng, 20), so_rng_below(&rng, 2));
            else
                so_realtime_tick(r, 1000 * step);
        }
        check_invariants(&n);
        close_session(&n, r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_session_tells_its_settings),
                                       cmocka_unit_test(wrong_messages_are_answered),
                                       cmocka_unit_test(a_written_turn_is_answered),
                                       cmocka_unit_test(answers_have_the_voice_asked_for),
                                       cmocka_unit_test(speech_becomes_a_turn),
                                       cmocka_unit_test(speech_interrupts_an_answer),
                                       cmocka_unit_test(a_client_may_commit_by_itself),
                                       cmocka_unit_test(a_transcript_may_fail),
                                       cmocka_unit_test(history_is_given_in_words),
                                       cmocka_unit_test(telephones_are_heard),
                                       cmocka_unit_test(g711_is_g711),
                                       cmocka_unit_test(a_client_that_sends_no_more),
                                       cmocka_unit_test(any_order_keeps_the_rules)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
