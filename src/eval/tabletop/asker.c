/* One worker that puts questions to a model. See asker.h.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "eval/tabletop/asker.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/grow.h"
#include "eval/tabletop/warp.h"
#include "media/audio.h"
#include "media/front.h"
#include "media/image.h"
#include "media/pieces.h"

double so_asker_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* The listener's clock moves on by the real time that passed since the last call. */
static void tick(so_asker *w)
{
    double now = so_asker_now();
    w->clock += now - w->ready;
    w->ready = now;
}

void so_asker_forget(so_asker *w)
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

static so_status take(so_asker *w, const so_event *e, so_error *error)
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

so_status so_asker_drain(so_asker *w, so_event_kind until, so_error *error)
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
so_status so_asker_listen(so_asker *w, const float *pcm, int64_t n, int rate, double *end, so_error *error)
{
    int64_t step = rate * SO_UNIT_MS / 1000;
    *end = (double)n / rate;
    for (int64_t at = 0; at < n; at += step) {
        int64_t count = n - at < step ? n - at : step;
        tick(w);
        w->clock = fmax(w->clock, (double)(at + count) / rate);
        SO_TRY(so_feed_audio(w->session, pcm + at, (size_t)count, rate, error));
        SO_TRY(so_asker_drain(w, SO_EVENT_NONE, error));
        if (w->clock <= *end && w->heard) w->early_words = count_words(w->heard);
    }
    return SO_OK;
}

so_status so_asker_show(so_asker *w, const char *path, so_error *error)
{
    so_image image = {0};
    SO_TRY(so_image_read(&image, path, 0, error));
    so_status status = so_feed_image(w->session, image.rgb, image.w, image.h, error);
    so_image_clear(&image);
    return status;
}

/* The same samples for the same sound under the same condition. */
static so_status surround(const so_asker *w, so_audio *audio, so_error *error)
{
    float *out;
    int64_t n;
    if (!w->condition || w->condition == so_condition_at(0)) return SO_OK;
    SO_TRY(so_surroundings_apply(&w->condition->surroundings, audio->samples, audio->n, audio->rate, (uint64_t)audio->n,
                                 &out, &n, error));
    free(audio->samples);
    audio->samples = out;
    audio->n = n;
    return SO_OK;
}

so_status so_asker_hear(so_asker *w, const char *path, double *end, so_error *error)
{
    so_audio audio = {0};
    SO_TRY(so_audio_read(&audio, path, 0, error));
    so_status status = surround(w, &audio, error);
    if (status == SO_OK) status = so_asker_listen(w, audio.samples, audio.n, audio.rate, end, error);
    so_audio_clear(&audio);
    w->shown = strdup(w->heard ? w->heard : "");
    return status;
}

so_status so_asker_reply(so_asker *w, unsigned want, so_error *error)
{
    so_reply_options options = {.seed = w->options->seed, .answer_silence = 1};
    return so_reply_with(w->session, want, &options, error);
}

/* The final transcript; the answer to it is not waited for. */
static so_status last_words(so_asker *w, so_error *error)
{
    so_event event = {0};
    while (event.kind != SO_EVENT_DONE) {
        SO_TRY(so_next(w->session, &event, error));
        if (event.kind == SO_EVENT_HEARD) SO_TRY(take(w, &event, error));
        if (event.kind == SO_EVENT_HEARD && event.final) so_session_stop(w->session);
    }
    return SO_OK;
}

so_status so_asker_echo(so_asker *w, so_error *error)
{
    char *heard = w->heard;
    double ignored;
    w->heard = NULL;
    so_status status = so_session_clear(w->session, error);
    if (status == SO_OK && w->samples)
        status = so_asker_listen(w, w->pcm, (int64_t)w->samples, SO_VOICE_RATE, &ignored, error);
    else if (status == SO_OK)
        status = so_feed_units(w->session, w->units, w->n_units, error);
    if (status == SO_OK) status = so_asker_reply(w, SO_WANT_TEXT, error);
    if (status == SO_OK) status = last_words(w, error);
    w->echo = w->heard ? w->heard : strdup("");
    w->heard = heard;
    return status;
}

/* A clip that is read from `at` on, as so_pieces_read. */
typedef struct reading {
    const so_audio *audio;
    int64_t at;
} reading;

static so_status read_clip(void *context, float *out, int64_t n, int64_t *got, so_error *error)
{
    reading *r = context;
    (void)error;
    *got = r->audio->n - r->at < n ? r->audio->n - r->at : n;
    if (*got) memcpy(out, r->audio->samples + r->at, (size_t)*got * sizeof *out);
    r->at += *got;
    return SO_OK;
}

/* What the front end of hearing leaves of a clip, for models whose sessions have it on, so that the whole differs from
 * its pieces in nothing but being whole. */
static so_status front_of(const so_asker *w, so_audio *audio, so_error *error)
{
    so_model_info about;
    so_pieces *pieces;
    reading from = {audio, 0};
    float *out = NULL;
    size_t count = 0;
    so_model_about(w->model, &about);
    if (!about.front) return SO_OK;
    SO_TRY(so_pieces_open(&pieces, audio->rate, false, read_clip, &from, error));
    so_status status;
    const float *pcm;
    int64_t n = 0;
    do {
        status = so_pieces_next(pieces, &pcm, &n, error);
        if (status == SO_OK && n) status = so_append(&out, &count, sizeof *out, pcm, (size_t)n, error);
    } while (status == SO_OK && n);
    so_pieces_close(&pieces);
    free(audio->samples);
    *audio = (so_audio){.samples = out, .n = (int64_t)count, .rate = SO_FRONT_RATE};
    return status;
}

/* What the model hears when it is given the whole utterance at once: the clip becomes units in one piece, and the units
 * a transcript in another. What it heard in pieces is left as it is. */
static so_status transcribe_whole(so_asker *w, const so_audio *audio, so_error *error)
{
    size_t room = (size_t)(audio->n / audio->rate + 2) * 1000 / SO_UNIT_MS, n = 0;
    int32_t *units = malloc(room * sizeof *units);
    char *heard = w->heard;
    so_status status;
    w->heard = NULL;
    if (!units) SO_TRY_GO(so_fail(error, SO_ERR_NOMEM, "no memory for %zu units", room));
    SO_TRY_GO(so_tokenize_speech(w->model, audio->samples, (size_t)audio->n, audio->rate, units, room, &n, error));
    SO_TRY_GO(so_feed_units(w->session, units, n < room ? n : room, error));
    SO_TRY_GO(so_asker_reply(w, SO_WANT_TEXT, error));
    SO_TRY_GO(last_words(w, error));
done:
    free(units);
    w->offline = w->heard ? w->heard : strdup("");
    w->heard = heard;
    return status;
}

so_status so_asker_hear_whole(so_asker *w, const so_tabletop_mode *mode, const so_tabletop_item *item, so_error *error)
{
    so_audio audio = {0};
    SO_TRY(so_session_clear(w->session, error));
    if (mode->sees) SO_TRY(so_asker_show(w, item->image, error));
    SO_TRY(so_audio_read(&audio, item->speech, 0, error));
    so_status status = front_of(w, &audio, error);
    if (status == SO_OK) status = transcribe_whole(w, &audio, error);
    so_audio_clear(&audio);
    return status;
}

/* ---- speech against espeak-ng's */

so_status so_asker_compare(so_asker *w, double *ratio, double *distance, so_error *error)
{
    so_voice own = so_voice_own();
    float *reference = NULL, *a = NULL, *b = NULL;
    int64_t n;
    so_status status;
    status = so_voice_speak(w->got, &own, 0, &reference, &n, error);
    if (status == SO_ERR_ARG) return SO_OK; /* an answer such as "." has no sound to compare with */
    if (status != SO_OK) return status;
    *ratio = (double)w->samples / (double)n;
    const so_mel *mel = w->mel;
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

so_status so_asker_open(so_asker *w, const so_tabletop_eval_options *options, so_mel *mel, so_error *error)
{
    so_model_options one = {.threads = 1, .keep_types = options->keep_types, .lora = options->lora};
    /* Four times the longest answer of the world: a model that never ends is stopped there. */
    so_session_options session = {.seed = options->seed, .max_text = 128, .max_units = 512, .kv = options->kv};
    *w = (so_asker){.options = options, .mel = mel};
    SO_TRY(so_model_open(&w->model, options->model, &one, error));
    return so_session_open(&w->session, w->model, &session, error);
}

void so_asker_close(so_asker *w)
{
    so_asker_forget(w);
    so_session_close(&w->session);
    so_model_close(&w->model);
}
