/* Microphone and speaker through PortAudio's blocking streams, which are never made to block for long.
 *
 * A device that knows other rates than those of the model is opened at its own: what it records is handed on as it is,
 * what it plays is resampled.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "apps/loudspeaker.h"

#include <fcntl.h>
#include <math.h>
#include <portaudio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apps/cli.h"
#include "base/error.h"
#include "base/grow.h"
#include "media/echo.h"
#include "media/resample.h"
#include "so.h"

enum { CHANNELS_MAX = 2, OTHER_RATES = 5 };
/* Tried in this order where a device takes neither the model's rate nor the one that it calls its own. */
static const int other_rate[OTHER_RATES] = {48000, 44100, 32000, 22050, 16000};

typedef struct line {
    PaStream *stream;
    int rate, channels;
    double latency; /* seconds that the device holds */
} line;

/* Seconds of silence between two writes after which what is played begins anew; by which a microphone's clock is off
 * when sound of it was lost. */
static const double gap_s = 0.05, lost_s = 0.1;

/* What the microphone hears of the speaker. */
typedef struct far_end {
    so_echo *echo;           /* NULL: nothing is cancelled */
    so_resampler *resampler; /* from the speaker's rate to the microphone's; NULL: they are one */
    so_resample_stream *stream;
    float *samples;
    size_t room;
    double epoch; /* so_cli_now() of the microphone's first sample */
    bool timed;   /* it is known */
    int64_t next; /* the microphone's sample at which what is written next will sound; -1: not known */
} far_end;

struct so_audio_device {
    line in, out;
    far_end far;
    size_t piece;            /* frames of 40 ms of the microphone */
    int rate;                /* of what is to be played */
    so_resampler *resampler; /* NULL: the speaker takes that rate */
    so_resample_stream *resample;
    float *queue, *frames; /* mono at the speaker's rate; [capacity * channels] on their way to the device */
    size_t queued, capacity, played;
    double silent_at; /* so_cli_now() when the device will have played all that it was given */
};

static so_status failed(so_error *error, const char *what, PaError code)
{
    return so_fail(error, SO_ERR_IO, "%s: %s", what, Pa_GetErrorText(code));
}

/* PortAudio asks every sound system of the machine, and those that are not there say so on stderr at length: it looks
 * elsewhere meanwhile. */
static PaError initialise(void)
{
    fflush(stderr);
    int kept = dup(STDERR_FILENO), nowhere = open("/dev/null", O_WRONLY);
    if (kept >= 0 && nowhere >= 0) dup2(nowhere, STDERR_FILENO);
    PaError code = Pa_Initialize();
    if (kept >= 0 && nowhere >= 0) dup2(kept, STDERR_FILENO);
    if (kept >= 0) close(kept);
    if (nowhere >= 0) close(nowhere);
    return code;
}

/* The device whose name contains `name`, else the default one. */
static PaDeviceIndex find_device(const char *name, int input)
{
    if (!name) return input ? Pa_GetDefaultInputDevice() : Pa_GetDefaultOutputDevice();
    for (PaDeviceIndex i = 0; i < Pa_GetDeviceCount(); i++) {
        const PaDeviceInfo *info = Pa_GetDeviceInfo(i);
        if (info && strstr(info->name, name) && (input ? info->maxInputChannels : info->maxOutputChannels) > 0)
            return i;
    }
    return paNoDevice;
}

/* With the wanted rate if the device takes it, else its own, else a common one. Asking whether a format is supported
 * does not help: PortAudio then refuses some of what it opens. */
static PaError open_stream(line *l, const PaStreamParameters *p, int input, int wanted, int own)
{
    int candidate[2 + OTHER_RATES] = {wanted, own};
    PaError code = paInvalidSampleRate;
    memcpy(candidate + 2, other_rate, sizeof other_rate);
    for (int i = 0; i < 2 + OTHER_RATES && code == paInvalidSampleRate; i++) {
        if (candidate[i] < SO_RATE_MIN || candidate[i] > SO_RATE_MAX) continue;
        l->rate = candidate[i];
        l->channels = p->channelCount;
        unsigned long piece = input ? (unsigned long)(l->rate / SO_PIECES_PER_S) : paFramesPerBufferUnspecified;
        code = Pa_OpenStream(&l->stream, input ? p : NULL, input ? NULL : p, l->rate, piece, paNoFlag, NULL, NULL);
        if (code != paNoError) l->stream = NULL;
    }
    return code;
}

static so_status open_line(line *l, const char *name, int input, int wanted, so_error *error)
{
    PaStreamParameters p = {.device = find_device(name, input), .channelCount = 1, .sampleFormat = paFloat32};
    if (p.device == paNoDevice)
        return so_fail(error, SO_ERR_MISSING,
                       "no %s%s%s; files can stand in: stream-omni talk question.wav --wav answer.wav",
                       input ? "microphone" : "speaker", name ? " named " : "", name ? name : "");
    const PaDeviceInfo *info = Pa_GetDeviceInfo(p.device);
    p.suggestedLatency = input ? info->defaultLowInputLatency : info->defaultHighOutputLatency;
    if (!input && info->maxOutputChannels >= CHANNELS_MAX) p.channelCount = CHANNELS_MAX;
    PaError code = open_stream(l, &p, input, wanted, (int)info->defaultSampleRate);
    if (code == paNoError) code = Pa_StartStream(l->stream);
    if (code != paNoError) return failed(error, info->name, code);
    const PaStreamInfo *opened = Pa_GetStreamInfo(l->stream);
    l->latency = !opened ? 0 : input ? opened->inputLatency : opened->outputLatency;
    return SO_OK;
}

/* ---- what the microphone hears of the speaker */
static so_status open_far(so_audio_device *d, so_error *error)
{
    far_end *f = &d->far;
    so_error why;
    f->next = -1;
    if (so_echo_open(&f->echo, d->in.rate, d->piece, &why) != SO_OK) {
        fprintf(stderr, "note: no echo cancellation: %s; wear headphones\n", why.text);
        return SO_OK;
    }
    if (d->in.rate == d->out.rate) return SO_OK;
    SO_TRY(so_resampler_open(&f->resampler, d->out.rate, d->in.rate, error));
    return so_resample_stream_open(&f->stream, f->resampler, error);
}

static void close_far(far_end *f)
{
    so_echo_close(&f->echo);
    so_resample_stream_close(&f->stream);
    so_resampler_close(&f->resampler);
    free(f->samples);
}

/* A piece was read: when did its first sample come? Reading is late, never early, so the earliest estimate is right
 * until sound of the microphone is lost. */
static void note_read(so_audio_device *d)
{
    far_end *f = &d->far;
    signed long waiting = Pa_GetStreamReadAvailable(d->in.stream);
    double after = (double)so_echo_at(f->echo) + (double)d->piece + (waiting > 0 ? (double)waiting : 0);
    double epoch = so_cli_now() - d->in.latency - after / d->in.rate;
    if (f->timed && epoch >= f->epoch && epoch - f->epoch < lost_s) return;
    f->epoch = epoch;
    f->timed = true;
}

/* Mono samples go to the speaker now, whose buffer had room for `room` of them. */
static void note_played(so_audio_device *d, const float *pcm, size_t n, size_t room)
{
    far_end *f = &d->far;
    double now = so_cli_now(), begin = now + fmax(0, d->out.latency - (double)room / d->out.rate);
    if (!f->timed) f->epoch = now - d->in.latency;
    int64_t at = llround((begin - f->epoch) * d->in.rate);
    if (f->next < 0 || fabs((double)(at - f->next)) > gap_s * d->in.rate) {
        if (f->stream) so_resample_stream_reset(f->stream);
        f->next = at;
    }
    if (!f->stream) {
        so_echo_played(f->echo, pcm, n, f->next);
        f->next += (int64_t)n;
        return;
    }
    size_t bound = (size_t)so_resample_stream_bound(f->stream, (int64_t)n);
    float *samples = so_grow_to(f->samples, &f->room, bound, sizeof *samples);
    if (!samples) return; /* an echo that is heard is better than no answer */
    f->samples = samples;
    int64_t made = so_resample_stream_feed(f->stream, pcm, (int64_t)n, samples);
    so_echo_played(f->echo, samples, (size_t)made, f->next);
    f->next += made;
}

static so_status open_lines(so_audio_device *device, const so_audio_device_options *o, so_error *error)
{
    device->rate = o->rate ? o->rate : SO_VOICE_RATE;
    SO_TRY(open_line(&device->in, o->microphone, 1, SO_MICROPHONE_RATE, error));
    SO_TRY(open_line(&device->out, o->speaker, 0, device->rate, error));
    device->piece = (size_t)(device->in.rate / SO_PIECES_PER_S);
    if (o->cancel) SO_TRY(open_far(device, error));
    if (device->out.rate == device->rate) return SO_OK;
    SO_TRY(so_resampler_open(&device->resampler, device->rate, device->out.rate, error));
    return so_resample_stream_open(&device->resample, device->resampler, error);
}

bool so_audio_device_cancels(const so_audio_device *device) { return device->far.echo != NULL; }

so_status so_audio_device_open(so_audio_device **out, const so_audio_device_options *options, so_error *error)
{
    *out = calloc(1, sizeof **out);
    if (!*out) return so_fail(error, SO_ERR_NOMEM, "no memory for the audio devices");
    PaError code = initialise();
    if (code != paNoError) {
        free(*out);
        *out = NULL;
        return failed(error, "PortAudio", code);
    }
    so_status status = open_lines(*out, options, error);
    if (status != SO_OK) so_audio_device_close(out);
    return status;
}

void so_audio_device_close(so_audio_device **device)
{
    if (!device || !*device) return;
    so_audio_device *d = *device;
    if (d->in.stream) Pa_CloseStream(d->in.stream);
    if (d->out.stream) Pa_CloseStream(d->out.stream);
    Pa_Terminate();
    so_resample_stream_close(&d->resample);
    so_resampler_close(&d->resampler);
    close_far(&d->far);
    free(d->queue);
    free(d->frames);
    free(d);
    *device = NULL;
}

int so_audio_device_rate(const so_audio_device *device) { return device->in.rate; }

so_status so_audio_device_read(so_audio_device *device, float *pcm, size_t *samples, so_error *error)
{
    PaError code = Pa_ReadStream(device->in.stream, pcm, device->piece);
    *samples = device->piece;
    /* Sound that came while the model was at work may have been lost: that is no failure. */
    if (code != paNoError && code != paInputOverflowed) return failed(error, "microphone", code);
    if (device->far.echo) {
        note_read(device);
        so_echo_clean(device->far.echo, pcm);
    }
    return SO_OK;
}

int so_audio_device_ready(so_audio_device *device)
{
    return Pa_GetStreamReadAvailable(device->in.stream) >= (signed long)device->piece;
}

so_status so_audio_device_play(so_audio_device *device, size_t *queued, so_error *error)
{
    const line *out = &device->out;
    signed long available = Pa_GetStreamWriteAvailable(out->stream);
    size_t room = available > 0 ? (size_t)available : 0, n = room < device->queued ? room : device->queued;
    double now = so_cli_now();
    if (n > 0) {
        if (device->far.echo) note_played(device, device->queue, n, room);
        for (size_t i = 0; i < n * (size_t)out->channels; i++)
            device->frames[i] = device->queue[i / (size_t)out->channels];
        PaError code = Pa_WriteStream(out->stream, device->frames, n);
        if (code != paNoError && code != paOutputUnderflowed) return failed(error, "speaker", code);
        memmove(device->queue, device->queue + n, (device->queued - n) * sizeof *device->queue);
        device->queued -= n;
        device->played += n;
        device->silent_at = now + out->latency;
    }
    if (queued) *queued = device->queued || now >= device->silent_at ? device->queued : 1;
    return SO_OK;
}

/* Room for n more samples. */
static so_status grow_queue(so_audio_device *device, size_t n, so_error *error)
{
    if (device->queued + n <= device->capacity) return SO_OK;
    size_t capacity = 2 * (device->queued + n);
    float *queue = realloc(device->queue, capacity * sizeof *queue);
    if (queue) device->queue = queue;
    float *frames = queue ? realloc(device->frames, capacity * CHANNELS_MAX * sizeof *frames) : NULL;
    if (!frames) return so_fail(error, SO_ERR_NOMEM, "no memory for %zu samples", capacity);
    device->frames = frames;
    device->capacity = capacity;
    return SO_OK;
}

so_status so_audio_device_write(so_audio_device *device, const float *pcm, size_t samples, so_error *error)
{
    int64_t n = device->resample ? so_resample_stream_bound(device->resample, (int64_t)samples) : (int64_t)samples;
    SO_TRY(grow_queue(device, (size_t)n, error));
    float *to = device->queue + device->queued;
    if (device->resample)
        n = so_resample_stream_feed(device->resample, pcm, (int64_t)samples, to);
    else
        memcpy(to, pcm, samples * sizeof *pcm);
    device->queued += (size_t)n;
    return so_audio_device_play(device, NULL, error);
}

so_status so_audio_device_finish(so_audio_device *device, so_error *error)
{
    if (!device->resample) return SO_OK;
    SO_TRY(grow_queue(device, (size_t)so_resample_stream_bound(device->resample, 0), error));
    device->queued += (size_t)so_resample_stream_finish(device->resample, device->queue + device->queued);
    return SO_OK;
}

double so_audio_device_hush(so_audio_device *device)
{
    double held = device->silent_at - so_cli_now();
    double seconds = (double)device->played / device->out.rate - (held > 0 ? held : 0);
    device->queued = device->played = 0;
    device->silent_at = 0;
    if (device->resample) so_resample_stream_reset(device->resample);
    device->far.next = -1;
    return seconds > 0 ? seconds : 0;
}

so_status so_audio_device_list(so_error *error)
{
    PaError code = initialise();
    if (code != paNoError) return failed(error, "PortAudio", code);
    if (Pa_GetDeviceCount() == 0) printf("no microphone and no speaker\n");
    for (PaDeviceIndex i = 0; i < Pa_GetDeviceCount(); i++) {
        const PaDeviceInfo *info = Pa_GetDeviceInfo(i);
        printf("%s%s%s  %s\n", info->maxInputChannels ? "in " : "   ", info->maxOutputChannels ? "out" : "   ",
               i == Pa_GetDefaultInputDevice() || i == Pa_GetDefaultOutputDevice() ? " *" : "  ", info->name);
    }
    Pa_Terminate();
    return SO_OK;
}
