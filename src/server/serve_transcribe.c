/* POST /v1/audio/transcriptions: a recording of up to four hours written down, piece by piece (media/pieces.h), told
 * whole or while it is read. Other threads read the file, never further than the piece that is heard next.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "media/front.h"
#include "media/pieces.h"
#include "media/sound.h"
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
    /* of the recording */
    bool front; /* the front end of hearing makes its pieces */
    so_sound *sound;
    so_pieces *pieces;
    const float *pcm; /* the piece that was read last */
    int64_t n;
    /* of the answer */
    uint32_t turn; /* of the piece that is heard */
    so_words words;
    so_bytes text;  /* of the pieces before */
    so_told *heard; /* the last that was told of this piece; owned */
    size_t told;    /* bytes of it that went out as deltas */
    int positions;  /* of sound */
    bool ended;
} transcription;

static void free_transcription(void *own)
{
    transcription *t = own;
    free(t->type);
    so_bytes_clear(&t->body);
    so_bytes_clear(&t->file);
    so_pieces_close(&t->pieces);
    so_sound_close(&t->sound);
    so_words_clear(&t->words);
    so_bytes_clear(&t->text);
    so_told_free(t->heard);
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

static so_status read_sound(void *context, float *out, int64_t n, int64_t *got, so_error *error)
{
    return so_sound_read(context, out, n, got, error);
}

static void read_piece(void *own)
{
    transcription *t = own;
    so_error error = {0};
    if (so_pieces_next(t->pieces, &t->pcm, &t->n, &error) != SO_OK)
        so_fault_set(&t->fault, "file", "the sound cannot be read: %s", error.text);
}

/* How long somebody speaks in the recording; of one that is long in any case, how long it is. */
static double spoken_seconds(const transcription *t)
{
    enum { SURELY_LONG_S = 60 };
    const so_sound_options options = {.max_seconds = SURELY_LONG_S};
    double seconds = so_sound_seconds(t->sound);
    int64_t most = (int64_t)SURELY_LONG_S * so_sound_rate(t->sound), n = 0, got = 1;
    so_error error;
    so_sound *sound;
    if (seconds < 0 || seconds >= SURELY_LONG_S) return seconds;
    if (so_sound_open(&sound, so_bytes_front(&t->file), so_bytes_left(&t->file), &options, &error) != SO_OK)
        return seconds;
    float *x = malloc((size_t)most * sizeof *x);
    so_status status = SO_OK;
    while (x && status == SO_OK && got > 0 && n < most) {
        status = so_sound_read(sound, x + n, most - n, &got, &error);
        n += status == SO_OK ? got : 0;
    }
    if (x && status == SO_OK) seconds = so_pieces_spoken(x, n, so_sound_rate(sound));
    free(x);
    so_sound_close(&sound);
    return seconds;
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
    const so_sound_options options = {.max_seconds = SO_PIECES_MOST_S, .strict = true};
    if (so_sound_open(&t->sound, so_bytes_front(&t->file), so_bytes_left(&t->file), &options, &error) != SO_OK ||
        so_pieces_open(&t->pieces, so_sound_rate(t->sound), !t->front, read_sound, t->sound, &error) != SO_OK)
        so_fault_set(&t->fault, "file", "the sound cannot be read: %s", error.text);
    if (t->fault.status) return;
    so_pieces_length(t->pieces, spoken_seconds(t));
    read_piece(t);
}

/* ---- what goes out */
static json_t *duration(const transcription *t)
{
    return json_pack("{s:s,s:f}", "type", "duration", "seconds", so_pieces_seconds(t->pieces));
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

/* The whole text, which ends with a 0. */
static const char *text_of(transcription *t)
{
    return so_bytes_put(&t->text, "", 1) ? (const char *)so_bytes_front(&t->text) : "";
}

/* A guess by the letters: three bytes that begin with E4 to E9 are Chinese characters. */
static const char *language_of(const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p; p++)
        if (*p >= 0xe4 && *p <= 0xe9) return "chinese";
    return "english";
}

static void answer_verbose(so_ask *ask, const char *text)
{
    const transcription *t = ask->own;
    json_t *j = json_pack("{s:s,s:s,s:f,s:s,s:o}", "task", "transcribe", "language", language_of(text), "duration",
                          so_pieces_seconds(t->pieces), "text", text, "usage", duration(t));
    if (t->want_segments || !t->want_words) json_object_set_new(j, "segments", segments(t));
    if (t->want_words) json_object_set_new(j, "words", so_words_json(&t->words));
    so_ask_json(ask, 200, j);
}

static void answer_whole(so_ask *ask)
{
    transcription *t = ask->own;
    const char *text = text_of(t);
    char *made = NULL;
    if (strcmp(t->format, "verbose_json") == 0)
        answer_verbose(ask, text);
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

/* A piece of the transcript for those who read along. */
static void delta(so_ask *ask, const char *text, size_t n)
{
    json_t *piece = n ? json_stringn(text, n) : NULL;
    if (!piece) return;
    so_ask_begin(ask, NULL);
    so_ask_event(ask, "transcript.text.delta", json_pack("{s:s,s:o}", "type", "transcript.text.delta", "delta", piece));
}

static void end_stream(so_ask *ask)
{
    transcription *t = ask->own;
    int out = (int)t->words.n;
    so_ask_begin(ask, NULL);
    so_ask_event(ask, "transcript.text.done",
                 json_pack("{s:s,s:s,s:{s:s,s:i,s:{s:i,s:i},s:i,s:i}}", "type", "transcript.text.done", "text",
                           text_of(t), "usage", "type", "tokens", "input_tokens", t->positions, "input_token_details",
                           "text_tokens", 0, "audio_tokens", t->positions, "output_tokens", out, "total_tokens",
                           t->positions + out));
    so_ask_end(ask);
}

/* ---- what is told */
/* Bytes of this piece's transcript up to `n`: they will not be revised any more. */
static void tell_stable(so_ask *ask, const char *text, size_t n)
{
    transcription *t = ask->own;
    if (!t->stream || n <= t->told) return;
    if (t->told == 0 && so_bytes_left(&t->text)) delta(ask, " ", 1);
    delta(ask, text + t->told, n - t->told);
    t->told = n;
}

static void hear(so_ask *ask, so_told *told)
{
    transcription *t = ask->own;
    size_t size = strlen(told->text);
    tell_stable(ask, told->text, told->final || told->stable > size ? size : told->stable);
    so_told_free(t->heard);
    t->heard = malloc(sizeof *t->heard);
    if (!t->heard) return;
    *t->heard = (so_told){.text = told->text, .words = told->words, .n_words = told->n_words};
    told->text = NULL;
    told->words = NULL;
}

static void hear_piece(so_ask *ask);

/* The piece is written down: its words get the times of the recording. */
static bool join(so_ask *ask)
{
    transcription *t = ask->own;
    const so_told *h = t->heard;
    size_t first = t->words.n, size = h ? strlen(h->text) : 0;
    if (size == 0) return true;
    tell_stable(ask, h->text, size);
    if (so_bytes_left(&t->text) && !so_bytes_put(&t->text, " ", 1)) return false;
    if (!so_bytes_put(&t->text, h->text, size)) return false;
    if (h->n_words && !so_words_add(&t->words, h->text, h->words, h->n_words)) return false;
    for (size_t i = first; i < t->words.n; i++) {
        t->words.word[i].begin = so_pieces_time(t->pieces, t->words.word[i].begin);
        t->words.word[i].end = so_pieces_time(t->pieces, t->words.word[i].end);
    }
    return true;
}

static void on_told(so_ask *ask, so_told *told)
{
    transcription *t = ask->own;
    if (t->ended || told->turn != t->turn) return;
    if (told->kind == SO_TOLD_HEARD) {
        hear(ask, told);
    } else if (told->kind == SO_TOLD_FAILED) {
        t->ended = true;
        so_ask_failed(ask, told);
    } else if (told->kind == SO_TOLD_DONE) {
        t->positions += told->usage.audio_in;
        if (join(ask))
            so_ask_work(ask, read_piece, hear_piece);
        else
            so_ask_error(ask, 503, NULL, NULL, "no memory for the transcript");
    }
}

/* Has the piece that was read heard, or ends when there is none. */
static void hear_piece(so_ask *ask)
{
    transcription *t = ask->own;
    if (t->fault.status || t->n == 0) {
        t->ended = true;
        if (t->fault.status)
            so_ask_fault(ask, &t->fault);
        else if (t->stream)
            end_stream(ask);
        else
            answer_whole(ask);
        return;
    }
    so_order *clear = so_order_new(SO_ORDER_CLEAR, NULL), *audio = so_order_new(SO_ORDER_AUDIO, NULL),
             *listen = so_order_new(SO_ORDER_LISTEN, NULL);
    if (audio) audio->pcm = malloc((size_t)t->n * sizeof *audio->pcm);
    if (!clear || !audio || !listen || !audio->pcm) {
        so_order_free(clear);
        so_order_free(audio);
        so_order_free(listen);
        so_ask_error(ask, 503, NULL, NULL, "no memory for the request");
        return;
    }
    memcpy(audio->pcm, t->pcm, (size_t)t->n * sizeof *audio->pcm);
    audio->samples = (size_t)t->n;
    audio->rate = SO_FRONT_RATE;
    so_told_free(t->heard);
    t->heard = NULL;
    t->told = 0;
    audio->turn = listen->turn = ++t->turn;
    clear->next = audio;
    audio->next = listen;
    so_ask_order(ask, clear);
}

static void on_read(so_ask *ask)
{
    transcription *t = ask->own;
    if (t->fault.status || t->n == 0) {
        hear_piece(ask);
        return;
    }
    if (!so_ask_sit(ask)) return;
    so_desk_plain(ask->server->desk, ask->seat);
    hear_piece(ask);
}

void so_answer_transcription(so_ask *ask)
{
    transcription *t = calloc(1, sizeof *t);
    if (!t) {
        so_ask_error(ask, 503, NULL, NULL, "no memory for the request");
        return;
    }
    so_model_info info;
    so_server_model(ask->server, &info);
    int front = ask->server->options->session.front;
    t->front = front > 0 || (front == 0 && info.front);
    if (!info.takes_audio) so_fault_set(&t->fault, "file", "this model takes no audio");
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
