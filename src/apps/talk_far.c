/* The verb talk by microphone and speaker with a server: it finds the turns in what the microphone brings.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "apps/talk.h"
#include "base/error.h"
#include "media/resample.h"

enum { PENDING = 256 << 10 /* bytes on their way to the server, above which the microphone waits */ };

typedef struct exchange {
    so_talking *talk;
    so_answer answer;
    so_show show;
    so_resampler *resampler; /* NULL: the microphone gives the server's rate */
    so_resample_stream *stream;
    float *sound; /* resampled */
    bool answers; /* an answer is being made */
    bool made;    /* it is complete, and may still be played */
    bool cut;     /* the user spoke into it */
    size_t queued;
    so_status played; /* of the speaker */
    so_error error;
} exchange;

static void play(void *context, const float *pcm, size_t samples)
{
    exchange *x = context;
    if (x->played == SO_OK && !x->cut) x->played = so_audio_device_write(x->talk->device, pcm, samples, &x->error);
    x->queued = 1;
}

static void begin_turn(exchange *x)
{
    so_answer_clear(&x->answer);
    x->answer.first_heard_s = NAN;
    so_talking_show(x->talk, &x->show);
    x->show.voice = play;
    x->show.context = x;
    x->answers = x->made = x->cut = false;
    x->queued = 0;
}

static void end_turn(exchange *x)
{
    so_turn_end(&x->show);
    if (x->answer.text || x->answer.samples)
        so_talking_tell(x->talk, &x->answer, false);
    else if (x->made && !x->cut)
        fprintf(stderr, "note: nothing was heard\n");
    begin_turn(x);
}

/* ---- the microphone */
static so_status open_stream(exchange *x, so_error *error)
{
    int rate = so_audio_device_rate(x->talk->device);
    if (rate == SO_REMOTE_RATE) return SO_OK;
    SO_TRY(so_resampler_open(&x->resampler, rate, SO_REMOTE_RATE, error));
    SO_TRY(so_resample_stream_open(&x->stream, x->resampler, error));
    x->sound = malloc((size_t)so_resample_stream_bound(x->stream, SO_PIECE_MAX) * sizeof *x->sound);
    return x->sound ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for the microphone");
}

/* While an answer plays that must not be interrupted, the server hears nothing. */
static so_status send_sound(exchange *x, so_error *error)
{
    so_talking *t = x->talk;
    bool deaf = !t->interrupt && (x->answers || x->queued);
    for (int i = 0; i < SO_DRAIN && so_audio_device_ready(t->device) && so_remote_pending(t->remote) < PENDING; i++) {
        size_t n;
        SO_TRY(so_audio_device_read(t->device, t->piece, &n, error));
        if (deaf) continue;
        if (!x->stream) {
            SO_TRY(so_remote_append(t->remote, t->piece, n, error));
            continue;
        }
        int64_t made = so_resample_stream_feed(x->stream, t->piece, (int64_t)n, x->sound);
        SO_TRY(so_remote_append(t->remote, x->sound, (size_t)made, error));
    }
    return SO_OK;
}

/* ---- the server */

/* The user speaks: an answer that sounds is ended here at once, and the server is told how much of it was heard. */
static so_status take_voice_of_user(exchange *x, so_error *error)
{
    so_talking *t = x->talk;
    if (!x->answers && !x->queued) {
        begin_turn(x);
        return SO_OK;
    }
    if (!t->interrupt) return SO_OK;
    double heard = so_audio_device_hush(t->device);
    x->cut = true;
    x->queued = 0;
    SO_TRY(so_remote_heard(t->remote, heard, error));
    if (x->made) end_turn(x);
    return SO_OK;
}

static so_status take_event(exchange *x, const so_remote_event *e, so_error *error)
{
    bool done;
    switch (e->kind) {
    case SO_REMOTE_BEGAN:
        return take_voice_of_user(x, error);
    case SO_REMOTE_ENDED:
        x->answer.asked_at = so_cli_now();
        return SO_OK;
    case SO_REMOTE_ANSWERS:
        x->answers = true;
        return SO_OK;
    case SO_REMOTE_REFUSED:
    case SO_REMOTE_NONE:
    case SO_REMOTE_CREATED:
    case SO_REMOTE_UPDATED:
    case SO_REMOTE_ITEM:
    case SO_REMOTE_MORE:
    case SO_REMOTE_HEARD:
    case SO_REMOTE_TEXT:
    case SO_REMOTE_UNITS:
    case SO_REMOTE_VOICE:
    case SO_REMOTE_DONE:
        break;
    }
    SO_TRY(so_far_take(&x->answer, &x->show, e, &done, error));
    if (!done) return SO_OK;
    x->answers = false;
    x->made = true;
    if (x->cut || (!x->answer.samples && !x->queued)) {
        end_turn(x);
        return SO_OK;
    }
    return so_audio_device_finish(x->talk->device, error);
}

static so_status step(exchange *x, so_error *error)
{
    so_talking *t = x->talk;
    so_remote_event event;
    so_error lost = {0};
    SO_TRY(send_sound(x, error));
    so_status status = so_remote_turn(t->remote, 0.005, &lost);
    while (so_remote_next(t->remote, &event)) SO_TRY(take_event(x, &event, error));
    if (x->played != SO_OK) return *error = x->error, x->played;
    SO_TRY(so_audio_device_play(t->device, &x->queued, error));
    if (x->made && !x->queued) {
        so_audio_device_hush(t->device);
        end_turn(x);
    }
    if (status != SO_OK) *error = lost;
    return status;
}

so_status so_talking_far(so_talking *t, so_error *error)
{
    exchange x = {.talk = t};
    so_status status = SO_OK;
    begin_turn(&x);
    if (t->seen.name) {
        unsigned char *data = NULL;
        size_t size = 0;
        status = so_image_encode_png(&t->seen.picture, &data, &size, error);
        if (status == SO_OK) status = so_remote_picture(t->remote, data, size, error);
        free(data);
    }
    if (status == SO_OK) status = open_stream(&x, error);
    if (status == SO_OK) fprintf(stderr, "%s", so_talking_prompt);
    while (status == SO_OK && !so_cli_stop) status = step(&x, error);
    so_turn_end(&x.show);
    so_answer_clear(&x.answer);
    so_resample_stream_close(&x.stream);
    so_resampler_close(&x.resampler);
    free(x.sound);
    return status;
}
