/* Turns with a model that a server has.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "apps/far.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "media/resample.h"

void so_far_settle(so_far *far)
{
    const struct {
        const char **value, *name;
    } twin[] = {
        {&far->server, "STREAM_OMNI_SERVER"}, {&far->key, "STREAM_OMNI_KEY"}, {&far->authority, "STREAM_OMNI_TLS_CA"}};
    for (size_t i = 0; i < sizeof twin / sizeof *twin; i++) {
        const char *value = getenv(twin[i].name);
        if (!*twin[i].value && value && value[0]) *twin[i].value = value;
    }
}

/* The first option that was given and that a server has no ear for; NULL: none. */
static const char *only_here(const so_setting *s)
{
    const struct {
        bool given;
        const char *name;
    } option[] = {{s->model != NULL, "model"},
                  {s->tokenizer != NULL, "tokenizer"},
                  {s->codec != NULL, "codec"},
                  {s->lora != NULL, "lora"},
                  {s->speaker != NULL, "speaker"},
                  {s->like.n != 0, "like"},
                  {s->threads != 0, "threads"},
                  {s->precision != NULL, "precision"},
                  {s->prefault, "prefault"},
                  {s->keep_types, "keep-types"},
                  {s->bf16, "bf16"},
                  {s->front != NULL, "front"},
                  {s->top_p != 0, "top-p"},
                  {s->top_k != 0, "top-k"},
                  {s->seed != 0, "seed"},
                  {s->max_units != 0, "max-units"},
                  {s->context != 0, "context"},
                  {s->kv != NULL, "kv"},
                  {s->loop != NULL, "loop"},
                  {s->units_per_token != 0, "units-per-token"},
                  {s->only_units, "only-units"},
                  {s->lookahead != 0, "lookahead"},
                  {s->window != 0, "window"}};
    for (size_t i = 0; i < sizeof option / sizeof *option; i++)
        if (option[i].given) return option[i].name;
    return NULL;
}

so_status so_far_open(so_remote **out, const so_far *far, const so_setting *s, const so_far_ask *ask, so_error *error)
{
    const char *name = only_here(s);
    if (name)
        return so_fail(error, SO_ERR_ARG,
                       "--%s is for a model that is opened here; with --server it is the server's to choose", name);
    const so_remote_options options = {.url = far->server,
                                       .key = far->key,
                                       .authority = far->authority,
                                       .instructions = s->system,
                                       .temperature = s->temperature,
                                       .most = (int)s->max_text,
                                       .voice = ask->voice,
                                       .speaker = s->voice,
                                       .units = ask->units,
                                       .detect = ask->microphone,
                                       .interrupts = ask->interrupt,
                                       .silence_ms = ask->microphone ? (int)(s->patience * 1000) : 0,
                                       .stop = &so_cli_stop};
    return so_remote_open(out, &options, error);
}

/* ---- what is given */
static so_status give_picture(so_remote *remote, const so_image *picture, so_error *error)
{
    unsigned char *data = NULL;
    size_t size = 0;
    SO_TRY(so_image_encode_png(picture, &data, &size, error));
    so_status status = so_remote_picture(remote, data, size, error);
    free(data);
    return status;
}

static so_status give_sound(so_remote *remote, const so_audio *sound, so_error *error)
{
    float *pcm;
    int64_t n;
    if ((double)sound->n > (double)SO_TURN_S * sound->rate)
        return so_fail(error, SO_ERR_LIMIT, "%.0f s of audio, a turn takes %d s", (double)sound->n / sound->rate,
                       SO_TURN_S);
    if (sound->rate == SO_REMOTE_RATE) return so_remote_sound(remote, sound->samples, (size_t)sound->n, error);
    SO_TRY(so_resample_to(sound->rate, SO_REMOTE_RATE, sound->samples, sound->n, &pcm, &n, error));
    so_status status = so_remote_sound(remote, pcm, (size_t)n, error);
    free(pcm);
    return status;
}

static so_status give(so_remote *remote, const so_asking *q, so_error *error)
{
    if (q->seen && give_picture(remote, q->seen, error) != SO_OK)
        return q->seen_name ? so_fail_in(error, "%s", q->seen_name) : error->status;
    if (q->said && give_sound(remote, q->said, error) != SO_OK)
        return q->said_name ? so_fail_in(error, "%s", q->said_name) : error->status;
    return q->text ? so_remote_text(remote, q->text, error) : SO_OK;
}

/* ---- what comes */
static double since(const so_answer *a) { return a->asked_at != 0 ? so_cli_now() - a->asked_at : 0; }

static so_status take_voice(so_answer *a, so_show *show, const so_remote_event *e, so_error *error)
{
    double before = (double)a->samples / SO_REMOTE_RATE;
    so_event event = {.kind = SO_EVENT_VOICE, .pcm = e->pcm, .samples = e->samples, .begin_s = before};
    event.end_s = before + (double)e->samples / SO_REMOTE_RATE;
    if (e->marked) {
        event.text_begin = e->text_begin;
        event.text_end = e->text_end;
    }
    a->rate = SO_REMOTE_RATE;
    if (a->samples == 0) a->usage.first_voice_s = since(a);
    a->usage.voice_s = event.end_s;
    return so_turn_take(a, show, &event, error);
}

/* Counts are the server's, times are those of here. */
static void take_done(so_answer *a, const so_remote_event *e)
{
    a->usage.prompt_positions = e->positions;
    a->usage.text_tokens = e->text_tokens;
    a->usage.units = e->audio_tokens;
    a->usage.total_s = since(a);
    a->usage.stopped = e->end == SO_REMOTE_CANCELLED;
    a->usage.end = e->end == SO_REMOTE_COMPLETED ? SO_END_STOP : a->usage.stopped ? SO_END_STOPPED : SO_END_LENGTH;
}

so_status so_far_take(so_answer *a, so_show *show, const so_remote_event *e, bool *done, so_error *error)
{
    so_event event = {.text = e->text,
                      .stable = e->stable,
                      .final = e->final,
                      .units = e->units,
                      .n_units = e->n_units,
                      .words = e->words,
                      .n_words = e->n_words};
    *done = false;
    switch (e->kind) {
    case SO_REMOTE_HEARD:
        /* The same final words come once as a live transcript and once as the protocol's. */
        if (a->heard && a->final && strcmp(a->heard, e->text) == 0) return SO_OK;
        a->final = e->final;
        event.kind = SO_EVENT_HEARD;
        return so_turn_take(a, show, &event, error);
    case SO_REMOTE_TEXT:
        if (!a->text) a->usage.first_text_s = since(a);
        event.kind = SO_EVENT_TEXT;
        return so_turn_take(a, show, &event, error);
    case SO_REMOTE_UNITS:
        event.kind = SO_EVENT_UNITS;
        return so_turn_take(a, show, &event, error);
    case SO_REMOTE_VOICE:
        return take_voice(a, show, e, error);
    case SO_REMOTE_DONE:
        *done = true;
        take_done(a, e);
        return e->end == SO_REMOTE_FAILED ? so_fail(error, SO_ERR_IO, "the server: the answer failed") : SO_OK;
    case SO_REMOTE_REFUSED:
        return so_fail(error, SO_ERR_IO, "the server: %s", e->text);
    default:
        return SO_OK;
    }
}

/* Takes all that came. */
static so_status take_all(so_remote *remote, so_answer *answer, so_show *show, bool *done, so_error *error)
{
    so_remote_event event;
    while (!*done && so_remote_next(remote, &event)) SO_TRY(so_far_take(answer, show, &event, done, error));
    return SO_OK;
}

so_status so_far_turn(so_remote *remote, const so_asking *q, so_answer *answer, so_show *show, so_error *error)
{
    bool done = false;
    so_status status = give(remote, q, error);
    if (status == SO_OK) status = so_remote_reply(remote, error);
    if (!answer->heard) answer->first_heard_s = NAN;
    answer->asked_at = so_cli_now();
    if (q->said) answer->usage.heard_s = (double)q->said->n / q->said->rate;
    while (status == SO_OK && !done) {
        so_error lost = {0};
        so_status exchanged = so_remote_turn(remote, 0.1, &lost);
        status = take_all(remote, answer, show, &done, error); /* what the server said last explains more */
        if (status != SO_OK || done) continue;
        if (exchanged != SO_OK) *error = lost;
        status = exchanged == SO_OK ? so_turn_stopped(error) : exchanged;
    }
    so_turn_end(show);
    return status;
}
