/* A crew of sessions asks the questions of a benchmark.
 * Source: data-eval.md D.0, E.2, G.8.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "eval/scoring/run.h"

#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/grow.h"
#include "base/lock.h"
#include "base/names.h"
#include "media/audio.h"
#include "media/image.h"
#include "text/buffer.h"

/* A session and the question that it is at. */
typedef struct asker {
    so_session *session;
    int64_t item; /* -1: free */
    so_string text;
    float *pcm; /* of a voice */
    size_t samples;
    bool failed, done;
} asker;

typedef struct asking {
    const so_bench *bench;
    const char *folder;
    const so_ask_options *o;
    so_ask_counts *counts;
    json_t *questions;
    bool *there; /* [questions] */
    so_model *model;
    so_crew *crew;    /* NULL where voices are heard again: one question at a time */
    so_session *ears; /* which hear them */
    asker *asker;
    int n;
    int fd, unsynced;
} asking;

/* ---- what is there */

static so_status mark_file(asking *a, const so_names *ids, const char *path, so_error *error)
{
    char *data;
    size_t size;
    SO_TRY(so_file_read(path, (size_t)4 << 30, &data, &size, error));
    for (char *at = data, *stop; (stop = memchr(at, '\n', (size_t)(data + size - at))); at = stop + 1) {
        json_t *line = json_loadb(at, (size_t)(stop - at), 0, NULL);
        int64_t i = so_names_find(ids, so_span_of(so_bench_text(line, "question_id")));
        if (i >= 0) a->there[i] = true;
        json_decref(line);
    }
    free(data);
    return SO_OK;
}

/* Cuts a last line that a killed process left half. */
static so_status mend(const char *path, so_error *error)
{
    char *data;
    size_t size;
    if (access(path, F_OK) != 0) return SO_OK;
    SO_TRY(so_file_read(path, (size_t)4 << 30, &data, &size, error));
    size_t whole = size;
    while (whole && data[whole - 1] != '\n') whole--;
    free(data);
    if (whole == size || truncate(path, (off_t)whole) == 0) return SO_OK;
    return so_fail(error, SO_ERR_IO, "'%s' cannot be written", path);
}

static so_status mark_answers(asking *a, so_error *error)
{
    char pattern[4096];
    glob_t found = {0};
    so_names ids = {0};
    json_t *one;
    size_t i;
    so_status status = SO_OK;
    json_array_foreach(a->questions, i, one)
    {
        so_span id = so_span_of(so_bench_text(one, "id"));
        if (status == SO_OK && so_names_find(&ids, id) >= 0)
            status = so_fail(error, SO_ERR_FORMAT, "questions.jsonl: two questions '%.100s'", id.data);
        if (status == SO_OK) status = so_names_add(&ids, id, error);
    }
    snprintf(pattern, sizeof pattern, "%.4000s/answers*.jsonl", a->folder);
    if (status == SO_OK && glob(pattern, 0, NULL, &found) == 0)
        for (size_t k = 0; k < found.gl_pathc && status == SO_OK; k++)
            status = mark_file(a, &ids, found.gl_pathv[k], error);
    globfree(&found);
    so_names_clear(&ids);
    return status;
}

/* ---- one question */

static so_status show(asking *a, so_session *s, const char *name, so_error *error)
{
    char path[4096];
    so_image image = {0};
    snprintf(path, sizeof path, "%s%s%.2000s", name[0] == '/' ? "" : a->folder, name[0] == '/' ? "" : "/", name);
    SO_TRY(so_image_read(&image, path, 0, error));
    so_status status = so_feed_image(s, image.rgb, image.w, image.h, error);
    so_image_clear(&image);
    return status;
}

static so_status say(asking *a, so_session *s, const json_t *audio, so_error *error)
{
    const char *name = json_is_string(audio) ? json_string_value(audio) : so_bench_text(audio, "path");
    double begin = json_number_value(json_object_get(audio, "begin")),
           end = json_number_value(json_object_get(audio, "end"));
    const json_t *at = json_object_get(audio, "at");
    char path[4096];
    so_audio sound = {0};
    so_map map = {0};
    so_status status;
    snprintf(path, sizeof path, "%s%s%.2000s", name[0] == '/' ? "" : a->folder, name[0] == '/' ? "" : "/", name);
    if (at) {
        SO_TRY(so_map_open(&map, path, error));
        size_t offset = (size_t)json_integer_value(json_array_get(at, 0)),
               size = (size_t)json_integer_value(json_array_get(at, 1));
        status = offset <= map.size && size <= map.size - offset
                     ? so_audio_decode(&sound, map.data + offset, size, 0, error)
                     : so_fail(error, SO_ERR_FORMAT, "'%s' is shorter than it should be", path);
        so_map_close(&map);
    } else
        status = so_audio_read(&sound, path, end > 0 ? 36000 : 0, error);
    if (status != SO_OK) return status;
    int64_t from = (int64_t)(begin * sound.rate), to = end > 0 ? (int64_t)(end * sound.rate) : sound.n;
    if (from < 0 || to > sound.n || from >= to)
        status = so_fail(error, SO_ERR_FORMAT, "'%s' has no sound from %g to %g", path, begin, end);
    else
        status = so_feed_audio(s, sound.samples + from, (size_t)(to - from), sound.rate, error);
    so_audio_clear(&sound);
    return status;
}

static so_status put(asking *a, asker *k, const json_t *question, so_error *error)
{
    const json_t *audio = json_object_get(question, "audio"), *image = json_object_get(question, "image");
    const char *text = so_bench_text(question, "text");
    so_reply_options reply = {.max_text = a->bench->hears ? 1 : a->bench->max_tokens, .answer_silence = 1};
    SO_TRY(so_session_clear(k->session, error));
    k->text.size = 0;
    k->failed = k->done = false;
    if (json_is_string(image)) SO_TRY(show(a, k->session, json_string_value(image), error));
    if (audio && !a->o->in_words)
        SO_TRY(say(a, k->session, audio, error));
    else
        SO_TRY(so_feed_text(k->session, text, error));
    return so_reply_with(k->session, a->bench->speaks ? SO_WANT_TEXT | SO_WANT_VOICE : SO_WANT_TEXT, &reply, error);
}

static void fail_item(asking *a, const json_t *question, const char *why)
{
    if (a->counts->failed++ == 0)
        snprintf(a->counts->first, sizeof a->counts->first, "'%.100s': %.350s", so_bench_text(question, "id"), why);
}

/* ---- answers */

static so_status write_answer(asking *a, asker *k, so_error *error)
{
    const json_t *question = json_array_get(a->questions, (size_t)k->item);
    so_model_info info;
    const char *text = k->text.data ? k->text.data : "";
    size_t size = k->text.size;
    so_model_about(a->model, &info);
    so_strip(&text, &size);
    json_t *words = json_stringn(text, size),
           *line = json_pack("{s:s, s:s, s:o, s:s, s:{}}", "question_id", so_bench_text(question, "id"), "prompt",
                             so_bench_text(question, "text"), "text", words ? words : json_string(""), "model_id",
                             info.name, "metadata");
    char *out = json_dumps(line, JSON_COMPACT);
    json_decref(line);
    if (!out) return so_fail(error, SO_ERR_NOMEM, "no memory for an answer");
    size_t n = strlen(out);
    out[n++] = '\n';
    bool fine = write(a->fd, out, n) == (ssize_t)n;
    free(out);
    if (fine && ++a->unsynced >= 20) fine = fdatasync(a->fd) == 0, a->unsynced = 0;
    return fine ? SO_OK : so_fail(error, SO_ERR_IO, "'%s': answers cannot be written (is the disk full?)", a->folder);
}

static so_status take(asking *a, asker *k, so_error *error)
{
    so_event e = {0};
    do {
        SO_TRY(so_next(k->session, &e, error));
        if (e.kind == SO_EVENT_FAILED) {
            fail_item(a, json_array_get(a->questions, (size_t)k->item), e.text);
            k->failed = true;
        }
        bool wanted = e.kind == (a->bench->hears ? SO_EVENT_HEARD : SO_EVENT_TEXT);
        if (wanted && a->bench->hears) k->text.size = 0;
        if (wanted) SO_TRY(so_string_put(&k->text, e.text, error));
        if (e.kind == SO_EVENT_VOICE) SO_TRY(so_append(&k->pcm, &k->samples, sizeof *k->pcm, e.pcm, e.samples, error));
        if (e.kind == SO_EVENT_DONE || e.kind == SO_EVENT_FAILED) k->done = true;
    } while (e.kind != SO_EVENT_NONE && !k->done);
    return SO_OK;
}

/* The next question without an answer that is this rank's; -1: none. */
static int64_t next_item(asking *a, int64_t *at)
{
    int64_t n = (int64_t)json_array_size(a->questions), most = a->o->items && a->o->items < n ? a->o->items : n;
    int ranks = a->o->ranks > 0 ? a->o->ranks : 1;
    for (; *at < most; ++*at)
        if (*at % ranks == a->o->rank && !a->there[*at]) return (*at)++;
    return -1;
}

/* What the model's own ears make of its voice, in place of what it wrote; the voice is kept in voice/N.wav. */
static so_status hear_again(asking *a, asker *k, so_error *error)
{
    const so_reply_options reply = {.max_text = 1, .answer_silence = 1};
    so_event e = {0};
    char path[4096];
    snprintf(path, sizeof path, "%.4000s/voice", a->folder);
    SO_TRY(so_make_folder(path, error));
    snprintf(path, sizeof path, "%.4000s/voice/%lld.wav", a->folder, (long long)k->item);
    k->text.size = 0;
    if (k->samples == 0) return SO_OK; /* it said nothing */
    SO_TRY(so_audio_write(path, SO_AUDIO_WAV_S16, k->pcm, (int64_t)k->samples, SO_VOICE_RATE, error));
    SO_TRY(so_session_clear(a->ears, error));
    SO_TRY(so_feed_audio(a->ears, k->pcm, k->samples, SO_VOICE_RATE, error));
    SO_TRY(so_reply_with(a->ears, SO_WANT_TEXT, &reply, error));
    while (e.kind != SO_EVENT_DONE) {
        SO_TRY(so_next(a->ears, &e, error));
        if (e.kind != SO_EVENT_HEARD) continue;
        k->text.size = 0;
        SO_TRY(so_string_put(&k->text, e.text, error));
    }
    return SO_OK;
}

/* A step of everybody who answers. */
static so_status advance(asking *a, so_error *error) { return a->crew ? so_crew_step(a->crew, NULL, error) : SO_OK; }

/* An answer that is whole, or that failed. */
static so_status finish_item(asking *a, asker *k, int64_t total, so_error *error)
{
    if (!k->failed && a->bench->speaks) SO_TRY(hear_again(a, k, error));
    if (!k->failed) {
        SO_TRY(write_answer(a, k, error));
        a->counts->asked++;
    }
    k->item = -1;
    k->samples = 0;
    if (a->o->progress) a->o->progress(a->o->context, a->counts->asked + a->counts->failed, total);
    return SO_OK;
}

static so_status ask_all(asking *a, so_error *error)
{
    int64_t at = 0, total = 0, probe = 0;
    int active = 0;
    while (next_item(a, &probe) >= 0) total++;
    for (;;) {
        for (int i = 0; i < a->n; i++) {
            asker *k = &a->asker[i];
            while (k->item < 0 && (k->item = next_item(a, &at)) >= 0) {
                so_error why = {0};
                const json_t *question = json_array_get(a->questions, (size_t)k->item);
                if (put(a, k, question, &why) == SO_OK) {
                    active++;
                    break;
                }
                fail_item(a, question, why.text);
                k->item = -1;
            }
        }
        if (!active) return SO_OK;
        if (a->o->stop && *a->o->stop) return so_fail(error, SO_ERR_STOPPED, "stopped; started again it goes on");
        SO_TRY(advance(a, error));
        for (int i = 0; i < a->n; i++) {
            asker *k = &a->asker[i];
            if (k->item < 0) continue;
            SO_TRY(take(a, k, error));
            if (!k->done) continue;
            SO_TRY(finish_item(a, k, total, error));
            active--;
        }
    }
}

/* ---- the whole */

static so_status tell_run(const asking *a, so_error *error)
{
    so_model_info info;
    char path[4096];
    so_model_about(a->model, &info);
    const char *asked = a->bench->speech && !a->o->in_words ? "in speech" : "in words",
               *answers = a->bench->speaks ? "speech, heard by the model's own ears: that flatters" : "text",
               *weights = info.int8 ? "as stored, int8 products" : "as stored";
    json_t *run = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "model", info.name, "decoding", "greedy", "image_mode",
                            a->o->image_mode ? a->o->image_mode : "as the model has it", "weights",
                            a->o->weights ? a->o->weights : weights, "asked", asked, "answers", answers);
    char *text = run ? json_dumps(run, JSON_INDENT(1)) : NULL;
    json_decref(run);
    if (!text) return so_fail(error, SO_ERR_NOMEM, "no memory for run.json");
    snprintf(path, sizeof path, "%.4000s/run.json", a->folder);
    so_status status = so_file_write(path, text, strlen(text), error);
    free(text);
    return status;
}

static so_status open_crew(asking *a, so_error *error)
{
    so_crew_options crew = {.sessions = a->o->sessions > 0 ? a->o->sessions : 8};
    SO_TRY(so_model_open(&a->model, a->o->model, a->o->opened, error));
    if (!a->bench->speaks) SO_TRY(so_crew_open(&a->crew, a->model, &crew, error));
    if (a->bench->speaks) crew.sessions = 1;
    a->asker = calloc((size_t)crew.sessions, sizeof *a->asker);
    if (!a->asker) return so_fail(error, SO_ERR_NOMEM, "no memory for sessions");
    if (a->bench->speaks) {
        a->asker[a->n++].item = -1;
        SO_TRY(so_session_open(&a->asker[0].session, a->model, NULL, error));
        SO_TRY(so_session_open(&a->ears, a->model, NULL, error));
        return tell_run(a, error);
    }
    for (; a->n < crew.sessions; a->n++) {
        a->asker[a->n].item = -1;
        so_error why;
        so_status status = so_crew_session(a->crew, &a->asker[a->n].session, NULL, a->n ? &why : error);
        if (status != SO_OK && a->n) break; /* as many as fit the memory */
        SO_TRY(status);
    }
    return tell_run(a, error);
}

static void close_all(asking *a)
{
    for (int i = 0; i < a->n; i++) {
        so_session_close(&a->asker[i].session);
        so_string_clear(&a->asker[i].text);
        free(a->asker[i].pcm);
    }
    free(a->asker);
    so_session_close(&a->ears);
    so_crew_close(&a->crew);
    so_model_close(&a->model);
    json_decref(a->questions);
    free(a->there);
    if (a->fd >= 0) close(a->fd);
}

so_status so_bench_ask(const so_bench *bench, const char *folder, const so_ask_options *options, so_ask_counts *counts,
                       so_error *error)
{
    asking a = {.bench = bench, .folder = folder, .o = options, .counts = counts, .fd = -1};
    char path[4096], lock_path[4200];
    so_lock lock = {0};
    int ranks = options->ranks > 0 ? options->ranks : 1;
    *counts = (so_ask_counts){0};
    if (options->rank < 0 || options->rank >= ranks)
        return so_fail(error, SO_ERR_ARG, "rank %d of %d", options->rank, ranks);
    snprintf(path, sizeof path, "%.4000s/answers-%d-of-%d.jsonl", folder, options->rank, ranks);
    snprintf(lock_path, sizeof lock_path, "%s.lock", path);
    SO_TRY(so_bench_json(folder, "questions.jsonl", &a.questions, error));
    so_status status = so_lock_take(&lock, lock_path, "this rank's answers", error);
    if (status == SO_OK && !(a.there = calloc(json_array_size(a.questions) + 1, sizeof *a.there)))
        status = so_fail(error, SO_ERR_NOMEM, "no memory for questions");
    if (status == SO_OK) status = mend(path, error);
    if (status == SO_OK) status = mark_answers(&a, error);
    for (size_t i = 0; status == SO_OK && i < json_array_size(a.questions); i++) counts->there += a.there[i];
    if (status == SO_OK && (a.fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666)) < 0)
        status = so_fail(error, SO_ERR_IO, "'%s' cannot be written", path);
    if (status == SO_OK) status = open_crew(&a, error);
    if (status == SO_OK) status = ask_all(&a, error);
    close_all(&a);
    so_lock_release(&lock);
    return status;
}
