/* POST /v1/audio/transcriptions: a recording written down, whole or while it is read.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "media/audio.h"
#include "net/multipart.h"
#include "server/inside.h"
#include "server/words.h"

enum { FIELD_MOST = 4096 };

typedef struct transcription {
    /* of the form */
    char *type;
    so_bytes body;
    so_fault fault;
    so_bytes file;
    char name[SO_MULTIPART_NAME_MOST + 1], value[FIELD_MOST + 1];
    size_t length;
    bool has_file, in_file;
    char format[32];
    bool stream, want_words, want_segments;
    so_audio audio;
    /* of the answer */
    double seconds;
    so_words words;
    char *text;
    size_t told; /* bytes that went out as deltas */
    bool ended;
} transcription;

static void free_transcription(void *own)
{
    transcription *t = own;
    free(t->type);
    so_bytes_clear(&t->body);
    so_bytes_clear(&t->file);
    so_audio_clear(&t->audio);
    so_words_clear(&t->words);
    free(t->text);
    free(t);
}

/* ---- the form, read by another thread */
static bool on_part(void *context, const char *name, const char *file)
{
    transcription *t = context;
    (void)file;
    snprintf(t->name, sizeof t->name, "%s", name);
    t->length = 0;
    t->in_file = strcmp(name, "file") == 0;
    if (t->in_file && t->has_file) return so_fault_set(&t->fault, "file", "a second file");
    t->has_file |= t->in_file;
    return true;
}

static bool on_data(void *context, const void *data, size_t size)
{
    transcription *t = context;
    if (t->in_file)
        return so_bytes_put(&t->file, data, size) || so_fault_set(&t->fault, "file", "no memory for the file");
    if (size > FIELD_MOST - t->length) return so_fault_set(&t->fault, t->name, "a field above %d bytes", FIELD_MOST);
    memcpy(t->value + t->length, data, size);
    t->length += size;
    return true;
}

static bool is_true(const char *value) { return strcmp(value, "true") == 0 || strcmp(value, "1") == 0; }

static bool granularity(transcription *t)
{
    if (strcmp(t->value, "word") == 0)
        t->want_words = true;
    else if (strcmp(t->value, "segment") == 0)
        t->want_segments = true;
    else
        return so_fault_set(&t->fault, "timestamp_granularities", "'%.40s' is not supported (word, segment are)",
                            t->value);
    return true;
}

static bool on_end(void *context)
{
    static const char *const accepted[] = {"model",     "language",    "prompt",   "temperature", "chunking_strategy",
                                           "languages", "languages[]", "keywords", "keywords[]",  "vad_filter",
                                           "hotwords"};
    static const char *const formats[] = {"json", "text", "srt", "vtt", "verbose_json"};
    transcription *t = context;
    if (t->in_file) return true;
    t->value[t->length] = 0;
    if (strcmp(t->name, "response_format") == 0) {
        for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
            if (strcmp(t->value, formats[i]) == 0) {
                snprintf(t->format, sizeof t->format, "%s", formats[i]);
                return true;
            }
        return so_fault_set(&t->fault, t->name,
                            "the format '%.40s' is not supported (json, text, srt, vtt, verbose_json are)", t->value);
    }
    if (strcmp(t->name, "stream") == 0) {
        t->stream = is_true(t->value);
        return true;
    }
    if (strncmp(t->name, "timestamp_granularities", 23) == 0) return granularity(t);
    for (size_t i = 0; i < sizeof accepted / sizeof *accepted; i++)
        if (strcmp(t->name, accepted[i]) == 0) return true;
    return so_fault_set(&t->fault, t->name, "the field '%.60s' is not supported", t->name);
}

static void read_form(void *own)
{
    transcription *t = own;
    so_multipart *form = malloc(sizeof *form);
    const so_multipart_sink sink = {t, on_part, on_data, on_end};
    so_error error = {0};
    bool good = form && so_multipart_init(form, t->type, &sink) &&
                so_multipart_feed(form, so_bytes_front(&t->body), so_bytes_left(&t->body)) && so_multipart_end(form);
    if (!good && t->fault.status == 0)
        so_fault_set(&t->fault, NULL, "the form cannot be read: %s", form ? form->why : "no memory");
    free(form);
    so_bytes_clear(&t->body);
    if (t->fault.status) return;
    if (!t->has_file) {
        so_fault_set(&t->fault, "file", "a form without a file");
        return;
    }
    if (so_audio_decode(&t->audio, so_bytes_front(&t->file), so_bytes_left(&t->file), 0, &error) != SO_OK)
        so_fault_set(&t->fault, "file", "the sound cannot be read: %s", error.text);
    so_bytes_clear(&t->file);
}

/* ---- what goes out */
static json_t *duration(const transcription *t)
{
    return json_pack("{s:s,s:f}", "type", "duration", "seconds", t->seconds);
}

static json_t *segments(const transcription *t)
{
    json_t *list = json_array();
    so_caption c;
    for (size_t at = 0, k = 0; so_words_caption(&t->words, at, &c); at += c.n, k++) {
        char *text = NULL;
        size_t size;
        FILE *out = open_memstream(&text, &size);
        for (size_t i = 0; out && i < c.n; i++) fprintf(out, "%s%s", i ? " " : "", t->words.word[c.first + i].text);
        if (out) fclose(out);
        json_array_append_new(list,
                              json_pack("{s:i,s:i,s:f,s:f,s:s,s:[],s:f,s:f,s:f,s:f}", "id", (int)k, "seek", 0, "start",
                                        c.begin, "end", c.end, "text", text ? text : "", "tokens", "temperature", 0.0,
                                        "avg_logprob", 0.0, "compression_ratio", 1.0, "no_speech_prob", 0.0));
        free(text);
    }
    return list;
}

static void answer_verbose(so_ask *ask)
{
    const transcription *t = ask->own;
    json_t *j = json_pack("{s:s,s:s,s:f,s:s,s:o}", "task", "transcribe", "language", "english", "duration", t->seconds,
                          "text", t->text ? t->text : "", "usage", duration(t));
    if (t->want_segments || !t->want_words) json_object_set_new(j, "segments", segments(t));
    if (t->want_words) json_object_set_new(j, "words", so_words_json(&t->words));
    so_ask_json(ask, 200, j);
}

static void answer_whole(so_ask *ask)
{
    const transcription *t = ask->own;
    const char *text = t->text ? t->text : "";
    char *made = NULL;
    if (strcmp(t->format, "verbose_json") == 0)
        answer_verbose(ask);
    else if (strcmp(t->format, "srt") == 0)
        so_ask_text(ask, 200, "text/plain; charset=utf-8", (made = so_words_srt(&t->words)) ? made : "");
    else if (strcmp(t->format, "vtt") == 0)
        so_ask_text(ask, 200, "text/vtt; charset=utf-8", (made = so_words_vtt(&t->words)) ? made : "");
    else if (strcmp(t->format, "text") == 0)
        so_ask_text(ask, 200, "text/plain; charset=utf-8", asprintf(&made, "%s\n", text) > 0 ? made : "");
    else
        so_ask_json(ask, 200, json_pack("{s:s,s:o}", "text", text, "usage", duration(t)));
    free(made);
}

/* Bytes of `text` up to `n`, as a delta. */
static void delta(so_ask *ask, const char *text, size_t n)
{
    transcription *t = ask->own;
    if (n <= t->told) return;
    json_t *piece = json_stringn(text + t->told, n - t->told);
    if (!piece) return;
    t->told = n;
    so_ask_event(ask, "transcript.text.delta", json_pack("{s:s,s:o}", "type", "transcript.text.delta", "delta", piece));
}

static void end_stream(so_ask *ask, const so_usage *u)
{
    transcription *t = ask->own;
    const char *text = t->text ? t->text : "";
    so_ask_begin(ask, NULL);
    delta(ask, text, strlen(text));
    int out = (int)t->words.n;
    so_ask_event(ask, "transcript.text.done",
                 json_pack("{s:s,s:s,s:{s:s,s:i,s:{s:i,s:i},s:i,s:i}}", "type", "transcript.text.done", "text", text,
                           "usage", "type", "tokens", "input_tokens", u->audio_in, "input_token_details", "text_tokens",
                           0, "audio_tokens", u->audio_in, "output_tokens", out, "total_tokens", u->audio_in + out));
    so_ask_end(ask);
}

/* ---- what is told */
/* A transcript is revised while it grows, and deltas can only be added to: they are told once it is final. */
static void on_told(so_ask *ask, so_told *told)
{
    transcription *t = ask->own;
    if (t->ended) return;
    if (told->kind == SO_TOLD_HEARD) {
        so_words_set(&t->words, told->text, told->words, told->n_words);
        free(t->text);
        t->text = strdup(told->text);
    } else if (told->kind == SO_TOLD_FAILED) {
        t->ended = true;
        so_ask_failed(ask, told);
    } else if (told->kind == SO_TOLD_DONE) {
        t->ended = true;
        if (t->stream)
            end_stream(ask, &told->usage);
        else
            answer_whole(ask);
    }
}

static void on_read(so_ask *ask)
{
    transcription *t = ask->own;
    so_model_info info;
    so_server_model(ask->server, &info);
    if (t->fault.status == 0 && !info.takes_audio) so_fault_set(&t->fault, "file", "this model takes no audio");
    if (t->fault.status) {
        so_ask_fault(ask, &t->fault);
        return;
    }
    so_order *audio = so_order_new(SO_ORDER_AUDIO, NULL), *listen = so_order_new(SO_ORDER_LISTEN, NULL);
    if (!audio || !listen || !so_ask_sit(ask)) {
        so_order_free(audio);
        so_order_free(listen);
        so_ask_error(ask, 503, NULL, NULL, "no memory for the request"); /* unless it was answered */
        return;
    }
    t->seconds = (double)t->audio.n / t->audio.rate;
    audio->pcm = t->audio.samples;
    audio->samples = (size_t)t->audio.n;
    audio->rate = t->audio.rate;
    t->audio.samples = NULL;
    listen->turn = 1;
    so_ask_order(ask, audio);
    so_ask_order(ask, listen);
}

void so_answer_transcription(so_ask *ask)
{
    transcription *t = calloc(1, sizeof *t);
    if (!t) {
        so_ask_error(ask, 503, NULL, NULL, "no memory for the request");
        return;
    }
    strcpy(t->format, "json");
    t->type = ask->type;
    ask->type = NULL;
    t->body = ask->body;
    ask->body = (so_bytes){0};
    ask->own = t;
    ask->free = free_transcription;
    ask->told = on_told;
    so_ask_work(ask, read_form, on_read);
}
