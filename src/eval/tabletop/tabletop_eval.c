/* Measuring a model on the tabletop world, through the public header alone, as any stranger would.
 *
 * Every worker has a model of one thread and a session of its own, and takes the next item. Speech arrives on a
 * listener's clock: a piece of 40 ms is there 40 ms after the one before, work on it begins when it is there and the
 * work before is done. Times are differences on that clock, so that they are what a person would see, though nothing
 * waits for them.
 *
 * Source: the tabletop spec, "What is measured on the reserved part".
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/grow.h"
#include "dataset/tabletop/tabletop_corpus.h"
#include "eval/tabletop/scores.h"
#include "eval/tabletop/warp.h"
#include "media/audio.h"
#include "media/image.h"
#include "media/mel.h"
#include "so.h"
#include "so_eval.h"

typedef struct mode {
    const char *name;
    bool sees, hears;
    unsigned want; /* besides text: SO_WANT_VOICE or SO_WANT_UNITS, which are then heard again */
    bool recites;  /* nothing is asked: the right answer is said */
} mode;

static const mode modes[] = {
    {"V+T>T", true, false, 0, false},
    {"V+S>T", true, true, 0, false},
    {"V+S>S", true, true, SO_WANT_VOICE, false},
    {"V+S>U", true, true, SO_WANT_UNITS, false},
    {"T>T", false, false, 0, false},
    {"S>T", false, true, 0, false},
    {"S>S", false, true, SO_WANT_VOICE, false},
    {"S>U", false, true, SO_WANT_UNITS, false},
    {"say>S", false, false, SO_WANT_VOICE, true},
    {"say>U", false, false, SO_WANT_UNITS, true},
};
enum { MODES = sizeof modes / sizeof modes[0] };

typedef struct task {
    const mode *mode;
    const so_tabletop_item *item;
} task;

typedef struct work {
    const so_tabletop_eval_options *options;
    so_tabletop_corpus corpus;
    task *task;
    int64_t tasks, next, done;
    so_tabletop_score *score;
    so_mel *mel;
    pthread_mutex_t lock; /* of next, done, score, failure, and the callbacks */
    so_status failure;
    so_error error;
} work;

/* What one worker keeps from item to item. */
typedef struct worker {
    work *work;
    so_model *model;
    so_session *session;
    double clock, ready; /* the listener's seconds; real time when work on it was last counted */
    /* the item at hand */
    char *heard, *got, *echo;
    char *shown, *offline; /* the transcript on view when the speech ended; that of the whole utterance at once */
    size_t got_length;
    float *pcm;
    size_t samples;
    int32_t *units;
    size_t n_units;
    so_usage usage;
    double first_heard, first_text, first_voice; /* on the listener's clock; NaN: not yet */
    int64_t early_words;
} worker;

static double real_time(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* The listener's clock moves on by the real time that passed since the last call. */
static void tick(worker *w)
{
    double now = real_time();
    w->clock += now - w->ready;
    w->ready = now;
}

static void forget(worker *w)
{
    free(w->heard);
    free(w->got);
    free(w->echo);
    free(w->shown);
    free(w->offline);
    free(w->pcm);
    free(w->units);
    w->heard = w->got = w->echo = w->shown = w->offline = NULL;
    w->pcm = NULL;
    w->units = NULL;
    w->got_length = w->samples = w->n_units = 0;
    w->usage = (so_usage){0};
    w->first_heard = w->first_text = w->first_voice = NAN;
    w->early_words = 0;
    w->clock = 0;
}

static int64_t count_words(const char *text)
{
    int64_t n = 0;
    for (const char *p = text; *p; p++) n += *p != ' ' && (p == text || p[-1] == ' ');
    return n;
}

static so_status take(worker *w, const so_event *e, so_error *error)
{
    tick(w);
    if (e->kind == SO_EVENT_HEARD) {
        if (isnan(w->first_heard) && e->text[0]) w->first_heard = w->clock;
        free(w->heard);
        w->heard = strdup(e->text);
        return w->heard ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for a transcript");
    }
    if (e->kind == SO_EVENT_TEXT) {
        if (isnan(w->first_text)) w->first_text = w->clock;
        SO_TRY(so_append(&w->got, &w->got_length, 1, e->text, strlen(e->text), error));
        w->got[w->got_length] = 0;
    }
    if (e->kind == SO_EVENT_VOICE) {
        if (isnan(w->first_voice)) w->first_voice = w->clock;
        return so_append(&w->pcm, &w->samples, sizeof *e->pcm, e->pcm, e->samples, error);
    }
    if (e->kind == SO_EVENT_UNITS)
        return so_append(&w->units, &w->n_units, sizeof *e->units, e->units, e->n_units, error);
    if (e->kind == SO_EVENT_DONE) w->usage = e->usage;
    return SO_OK;
}

static so_status drain(worker *w, so_event_kind until, so_error *error)
{
    so_event event = {0};
    do {
        SO_TRY(so_next(w->session, &event, error));
        SO_TRY(take(w, &event, error));
    } while (event.kind != until && event.kind != SO_EVENT_DONE);
    return SO_OK;
}

/* Speech at the pace of a speaker; afterwards the clock stands at the end of the work, *end at the end of the speech.
 */
static so_status listen(worker *w, const float *pcm, int64_t n, int rate, double *end, so_error *error)
{
    int64_t step = rate * SO_UNIT_MS / 1000;
    *end = (double)n / rate;
    for (int64_t at = 0; at < n; at += step) {
        int64_t count = n - at < step ? n - at : step;
        tick(w);
        w->clock = fmax(w->clock, (double)(at + count) / rate);
        SO_TRY(so_feed_audio(w->session, pcm + at, (size_t)count, rate, error));
        SO_TRY(drain(w, SO_EVENT_NONE, error));
        if (w->clock <= *end && w->heard) w->early_words = count_words(w->heard);
    }
    return SO_OK;
}

static so_status show(worker *w, const char *path, so_error *error)
{
    so_image image = {0};
    SO_TRY(so_image_read(&image, path, 0, error));
    so_status status = so_feed_image(w->session, image.rgb, image.w, image.h, error);
    so_image_clear(&image);
    return status;
}

static so_status hear(worker *w, const char *path, double *end, so_error *error)
{
    so_audio audio = {0};
    SO_TRY(so_audio_read(&audio, path, 0, error));
    so_status status = listen(w, audio.samples, audio.n, audio.rate, end, error);
    so_audio_clear(&audio);
    w->shown = strdup(w->heard ? w->heard : "");
    return status;
}

/* Silence is answered, too: it counts as a wrong answer, not as none. */
static so_status reply(worker *w, unsigned want, so_error *error)
{
    so_reply_options options = {.seed = w->work->options->seed, .answer_silence = 1};
    return so_reply_with(w->session, want, &options, error);
}

/* The final transcript; the answer to it is not waited for. */
static so_status last_words(worker *w, so_error *error)
{
    so_event event = {0};
    while (event.kind != SO_EVENT_DONE) {
        SO_TRY(so_next(w->session, &event, error));
        if (event.kind == SO_EVENT_HEARD) SO_TRY(take(w, &event, error));
        if (event.kind == SO_EVENT_HEARD && event.final) so_session_stop(w->session);
    }
    return SO_OK;
}

/* The answer's own voice or units, heard by a conversation that knows nothing of it. */
static so_status hear_again(worker *w, so_error *error)
{
    char *heard = w->heard;
    double ignored;
    w->heard = NULL;
    so_status status = so_session_clear(w->session, error);
    if (status == SO_OK && w->samples)
        status = listen(w, w->pcm, (int64_t)w->samples, SO_VOICE_RATE, &ignored, error);
    else if (status == SO_OK)
        status = so_feed_units(w->session, w->units, w->n_units, error);
    if (status == SO_OK) status = reply(w, SO_WANT_TEXT, error);
    if (status == SO_OK) status = last_words(w, error);
    w->echo = w->heard ? w->heard : strdup("");
    w->heard = heard;
    return status;
}

/* What the model hears when it is given the whole utterance at once: the clip becomes units in one piece, and the units
 * a transcript in another. What it heard in pieces is left as it is. */
static so_status transcribe_whole(worker *w, const so_audio *audio, so_error *error)
{
    size_t room = (size_t)(audio->n / audio->rate + 2) * 1000 / SO_UNIT_MS, n = 0;
    int32_t *units = malloc(room * sizeof *units);
    char *heard = w->heard;
    so_status status;
    w->heard = NULL;
    if (!units) SO_TRY_GO(so_fail(error, SO_ERR_NOMEM, "no memory for %zu units", room));
    SO_TRY_GO(so_tokenize_speech(w->model, audio->samples, (size_t)audio->n, audio->rate, units, room, &n, error));
    SO_TRY_GO(so_feed_units(w->session, units, n < room ? n : room, error));
    SO_TRY_GO(reply(w, SO_WANT_TEXT, error));
    SO_TRY_GO(last_words(w, error));
done:
    free(units);
    w->offline = w->heard ? w->heard : strdup("");
    w->heard = heard;
    return status;
}

static so_status hear_whole(worker *w, const task *t, so_error *error)
{
    so_audio audio = {0};
    SO_TRY(so_session_clear(w->session, error));
    if (t->mode->sees) SO_TRY(show(w, t->item->image, error));
    SO_TRY(so_audio_read(&audio, t->item->speech, 0, error));
    so_status status = transcribe_whole(w, &audio, error);
    so_audio_clear(&audio);
    return status;
}

/* ---- speech against espeak-ng's */

static so_status compare_voice(worker *w, double *ratio, double *distance, so_error *error)
{
    so_voice own = so_voice_own();
    float *reference = NULL, *a = NULL, *b = NULL;
    int64_t n;
    so_status status;
    status = so_voice_speak(w->got, &own, 0, &reference, &n, error);
    if (status == SO_ERR_ARG) return SO_OK; /* an answer such as "." has no sound to compare with */
    if (status != SO_OK) return status;
    *ratio = (double)w->samples / (double)n;
    const so_mel *mel = w->work->mel;
    int bins = so_mel_bins(mel);
    int64_t frames_a = so_mel_frames(mel, (int64_t)w->samples), frames_b = so_mel_frames(mel, n);
    status = SO_OK;
    if (frames_a == 0 || frames_b == 0) goto done;
    a = malloc((size_t)(frames_a * bins) * sizeof *a);
    b = malloc((size_t)(frames_b * bins) * sizeof *b);
    if (!a || !b) {
        status = so_fail(error, SO_ERR_NOMEM, "no memory for %lld mel frames", (long long)(frames_a + frames_b));
        goto done;
    }
    SO_TRY_GO(so_mel_compute(mel, w->pcm, (int64_t)w->samples, a, NULL, error));
    SO_TRY_GO(so_mel_compute(mel, reference, n, b, NULL, error));
    SO_TRY_GO(so_warp(a, frames_a, b, frames_b, bins, distance, error));
done:
    free(reference);
    free(a);
    free(b);
    return status;
}

/* ---- items */
static void keep_result(worker *w, const task *t, so_tabletop_result *r)
{
    work *all = w->work;
    so_tabletop_reply reply = {t->mode->name,
                               t->item->id,
                               t->item->kind_name,
                               t->item->question,
                               t->item->answer,
                               w->heard,
                               w->got,
                               w->echo,
                               w->offline,
                               so_tabletop_match(t->item->answer, w->got)};
    so_error error;
    pthread_mutex_lock(&all->lock);
    so_status status = so_tabletop_score_add(all->score, r, &error);
    if (status != SO_OK && all->failure == SO_OK) {
        all->failure = status;
        all->error = error;
    }
    all->done++;
    if (all->options->each) all->options->each(all->options->context, &reply);
    pthread_mutex_unlock(&all->lock);
}

static so_status run_item(worker *w, const task *t, so_error *error)
{
    const so_tabletop_item *item = t->item;
    double end = 0;
    so_tabletop_result r = so_tabletop_result_none();
    forget(w);
    SO_TRY(so_session_clear(w->session, error));
    /* The picture is there before the question. */
    if (t->mode->sees) SO_TRY(show(w, item->image, error));
    w->ready = real_time();
    if (t->mode->hears)
        SO_TRY(hear(w, item->speech, &end, error));
    else if (!t->mode->recites)
        SO_TRY(so_feed_text(w->session, item->question, error));
    double begun = real_time();
    SO_TRY(t->mode->recites ? so_say(w->session, item->answer, SO_WANT_TEXT | t->mode->want, error)
                            : reply(w, SO_WANT_TEXT | t->mode->want, error));
    SO_TRY(drain(w, SO_EVENT_DONE, error));
    double spent = real_time() - begun;
    r.mode = t->mode->name;
    r.kind = item->kind_name ? item->kind_name : "";
    r.answer = item->answer;
    r.got = w->got ? w->got : "";
    r.measured[SO_MEASURE_FIRST_WORD] = (w->first_text - end) * 1000;
    if (t->mode->hears) {
        r.spoken = item->question;
        r.heard = w->heard ? w->heard : "";
        r.measured[SO_MEASURE_FIRST_TRANSCRIPT] = (w->first_heard - end) * 1000;
        r.measured[SO_MEASURE_EARLY_WORDS] = (double)w->early_words;
        r.withdrawn = w->usage.revised;
    }
    if (t->mode->want) {
        double spoken = w->samples ? (double)w->samples / SO_VOICE_RATE : (double)w->n_units * SO_UNIT_MS / 1000;
        r.measured[SO_MEASURE_FIRST_SAMPLE] = (w->first_voice - end) * 1000;
        if (spoken > 0) r.measured[SO_MEASURE_REAL_TIME] = spent / spoken;
        if (spoken > 0) SO_TRY(hear_again(w, error));
        r.echo = w->echo ? w->echo : "";
        if (w->samples && w->got && w->got[0])
            SO_TRY(
                compare_voice(w, &r.measured[SO_MEASURE_DURATION_RATIO], &r.measured[SO_MEASURE_MEL_DISTANCE], error));
    }
    if (t->mode->hears) {
        SO_TRY(hear_whole(w, t, error));
        r.shown = w->shown;
        r.offline = w->offline;
    }
    keep_result(w, t, &r);
    return SO_OK;
}

static bool take_task(work *all, const task **t)
{
    pthread_mutex_lock(&all->lock);
    bool more = all->next < all->tasks && all->failure == SO_OK && !(all->options->stop && *all->options->stop);
    if (more) *t = &all->task[all->next++];
    pthread_mutex_unlock(&all->lock);
    return more;
}

static so_status run_worker(worker *w, so_error *error)
{
    so_model_options one = {.threads = 1, .keep_types = w->work->options->keep_types};
    /* Four times the longest answer of the world: a model that never ends is stopped there. */
    so_session_options session = {
        .seed = w->work->options->seed, .max_text = 128, .max_units = 512, .kv = w->work->options->kv};
    const task *t;
    so_status status;
    SO_TRY_GO(so_model_open(&w->model, w->work->options->model, &one, error));
    SO_TRY_GO(so_session_open(&w->session, w->model, &session, error));
    while (take_task(w->work, &t)) {
        status = run_item(w, t, error);
        if (status != SO_OK) {
            so_fail_in(error, "%s, item %s", t->mode->name, t->item->id ? t->item->id : "without id");
            goto done;
        }
    }
done:
    forget(w);
    so_session_close(&w->session);
    so_model_close(&w->model);
    return status;
}

static void *worker_main(void *context)
{
    worker *w = context;
    so_error error = {0};
    so_status status = run_worker(w, &error);
    pthread_mutex_lock(&w->work->lock);
    if (status != SO_OK && w->work->failure == SO_OK) {
        w->work->failure = status;
        w->work->error = error;
    }
    pthread_mutex_unlock(&w->work->lock);
    return NULL;
}

/* ---- lists */
static bool fits(const mode *m, const so_tabletop_item *item)
{
    if (m->recites) return item->answer && item->question;
    return (item->image != NULL) == m->sees && (!m->hears || item->speech) && item->answer && item->question;
}

static so_status add_mode(work *all, const char *name, size_t length, so_error *error)
{
    const mode *m = NULL;
    int64_t n = 0, fitting = 0;
    for (int i = 0; i < MODES; i++)
        if (strlen(modes[i].name) == length && strncmp(modes[i].name, name, length) == 0) m = &modes[i];
    if (!m)
        return so_fail(error, SO_ERR_ARG,
                       "modes are V+T>T, V+S>T, V+S>S, V+S>U, T>T, S>T, S>S, S>U, say>S, say>U; found '%.*s'",
                       (int)length, name);
    for (int64_t i = 0; i < all->corpus.count; i++) fitting += fits(m, &all->corpus.items[i]);
    if (fitting == 0) return so_fail(error, SO_ERR_MISSING, "the corpus has no item for %s", m->name);
    int64_t most = all->options->items > 0 && all->options->items < fitting ? all->options->items : fitting, seen = 0;
    task *grown = realloc(all->task, (size_t)(all->tasks + most) * sizeof *grown);
    if (!grown) return so_fail(error, SO_ERR_NOMEM, "no memory for %lld items", (long long)(all->tasks + most));
    all->task = grown;
    /* Spread over the whole corpus, which is sorted by picture. */
    for (int64_t i = 0; i < all->corpus.count; i++) {
        if (!fits(m, &all->corpus.items[i])) continue;
        if (seen * most / fitting == n && n < most) all->task[all->tasks + n++] = (task){m, &all->corpus.items[i]};
        seen++;
    }
    all->tasks += n;
    return SO_OK;
}

static so_status list_tasks(work *all, so_error *error)
{
    const char *list = all->options->modes ? all->options->modes : "V+T>T,V+S>T,S>T,V+S>S";
    while (*list) {
        size_t length = strcspn(list, ",");
        SO_TRY(add_mode(all, list, length, error));
        list += length + (list[length] == ',');
    }
    return SO_OK;
}

static so_status run_all(work *all, int threads, so_error *error)
{
    pthread_t *thread = calloc((size_t)threads, sizeof *thread);
    worker *workers = calloc((size_t)threads, sizeof *workers);
    int started = 0;
    if (!thread || !workers) {
        free(thread);
        free(workers);
        return so_fail(error, SO_ERR_NOMEM, "no memory for %d workers", threads);
    }
    for (; started < threads; started++) {
        workers[started].work = all;
        if (pthread_create(&thread[started], NULL, worker_main, &workers[started]) != 0) break;
    }
    for (bool busy = started > 0; busy;) {
        struct timespec pause = {0, 100000000};
        nanosleep(&pause, NULL);
        pthread_mutex_lock(&all->lock);
        busy = all->done < all->tasks && all->failure == SO_OK && !(all->options->stop && *all->options->stop);
        if (all->options->progress) all->options->progress(all->options->context, all->done, all->tasks);
        pthread_mutex_unlock(&all->lock);
    }
    for (int i = 0; i < started; i++) pthread_join(thread[i], NULL);
    free(thread);
    free(workers);
    if (started == 0) return so_fail(error, SO_ERR_NOMEM, "no thread could be started");
    if (all->failure != SO_OK && error) *error = all->error;
    return all->failure;
}

so_status so_eval_tabletop(const char *folder, const so_tabletop_eval_options *options, char **text, char **json,
                           so_error *error)
{
    if (!folder || !options) return so_fail(error, SO_ERR_ARG, "no folder, or no options");
    work all = {.options = options, .lock = PTHREAD_MUTEX_INITIALIZER};
    so_status status;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    SO_TRY_GO(so_tabletop_open(&all.corpus, folder, error));
    SO_TRY_GO(so_tabletop_score_open(&all.score, error));
    SO_TRY_GO(so_mel_open(&all.mel, SO_MEL_VOCODER, error));
    SO_TRY_GO(list_tasks(&all, error));
    SO_TRY_GO(run_all(&all, options->threads > 0 ? options->threads : cores > 0 ? (int)cores : 1, error));
    if (text && !(*text = so_tabletop_score_text(all.score)))
        status = so_fail(error, SO_ERR_NOMEM, "no memory for tables");
    if (json && !(*json = so_tabletop_score_json(all.score)))
        status = so_fail(error, SO_ERR_NOMEM, "no memory for tables");
done:
    free(all.task);
    so_mel_close(&all.mel);
    so_tabletop_score_close(&all.score);
    so_tabletop_close(&all.corpus);
    return status;
}
