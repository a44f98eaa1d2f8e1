/* Microphone and speaker through PortAudio's blocking streams, which are never made to block for long.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "apps/speaker.h"

#include <fcntl.h>
#include <portaudio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "so.h"

struct so_device {
    PaStream *in, *out;
    float *queue;
    size_t queued, capacity, played;
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

static so_status open_stream(PaStream **stream, const char *name, int input, so_error *error)
{
    PaStreamParameters p = {.device = find_device(name, input), .channelCount = 1, .sampleFormat = paFloat32};
    if (p.device == paNoDevice)
        return so_fail(error, SO_ERR_MISSING,
                       "no %s%s%s; files can stand in: stream-omni talk question.wav --wav answer.wav",
                       input ? "microphone" : "speaker", name ? " named " : "", name ? name : "");
    const PaDeviceInfo *info = Pa_GetDeviceInfo(p.device);
    p.suggestedLatency = input ? info->defaultLowInputLatency : info->defaultHighOutputLatency;
    PaError code =
        Pa_OpenStream(stream, input ? &p : NULL, input ? NULL : &p, input ? SO_MICROPHONE_RATE : SO_VOICE_RATE,
                      input ? SO_MICROPHONE_PIECE : paFramesPerBufferUnspecified, paNoFlag, NULL, NULL);
    if (code == paNoError) code = Pa_StartStream(*stream);
    return code == paNoError ? SO_OK : failed(error, info->name, code);
}

so_status so_device_open(so_device **out, const char *microphone, const char *speaker, so_error *error)
{
    *out = calloc(1, sizeof **out);
    if (!*out) return so_fail(error, SO_ERR_NOMEM, "no memory for the audio devices");
    PaError code = initialise();
    if (code != paNoError) {
        free(*out);
        *out = NULL;
        return failed(error, "PortAudio", code);
    }
    so_status status = open_stream(&(*out)->in, microphone, 1, error);
    if (status == SO_OK) status = open_stream(&(*out)->out, speaker, 0, error);
    if (status != SO_OK) so_device_close(out);
    return status;
}

void so_device_close(so_device **device)
{
    if (!device || !*device) return;
    if ((*device)->in) Pa_CloseStream((*device)->in);
    if ((*device)->out) Pa_CloseStream((*device)->out);
    Pa_Terminate();
    free((*device)->queue);
    free(*device);
    *device = NULL;
}

so_status so_device_read(so_device *device, float *pcm, so_error *error)
{
    PaError code = Pa_ReadStream(device->in, pcm, SO_MICROPHONE_PIECE);
    /* Sound that came while the model was at work may have been lost: that is no failure. */
    return code == paNoError || code == paInputOverflowed ? SO_OK : failed(error, "microphone", code);
}

int so_device_ready(so_device *device) { return Pa_GetStreamReadAvailable(device->in) >= SO_MICROPHONE_PIECE; }

so_status so_device_play(so_device *device, size_t *queued, so_error *error)
{
    signed long room = Pa_GetStreamWriteAvailable(device->out);
    size_t n = room > 0 ? (size_t)room : 0;
    if (n > device->queued) n = device->queued;
    if (n > 0) {
        PaError code = Pa_WriteStream(device->out, device->queue, n);
        if (code != paNoError && code != paOutputUnderflowed) return failed(error, "speaker", code);
        memmove(device->queue, device->queue + n, (device->queued - n) * sizeof *device->queue);
        device->queued -= n;
        device->played += n;
    }
    if (queued) *queued = device->queued;
    return SO_OK;
}

so_status so_device_write(so_device *device, const float *pcm, size_t samples, so_error *error)
{
    if (device->queued + samples > device->capacity) {
        size_t capacity = 2 * (device->queued + samples);
        float *grown = realloc(device->queue, capacity * sizeof *grown);
        if (!grown) return so_fail(error, SO_ERR_NOMEM, "no memory for %zu samples", capacity);
        device->queue = grown;
        device->capacity = capacity;
    }
    memcpy(device->queue + device->queued, pcm, samples * sizeof *pcm);
    device->queued += samples;
    return so_device_play(device, NULL, error);
}

double so_device_hush(so_device *device)
{
    double seconds = (double)device->played / SO_VOICE_RATE;
    device->queued = device->played = 0;
    return seconds;
}

so_status so_device_list(so_error *error)
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
