/* Fuzzes the reader of sound files; what it accepts must be whole, finite and written back. FFmpeg's libraries have a
 * fuzzer of their own.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "media/audio.h"

#include <math.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    so_error error;
    so_audio audio;
    setenv("SO_LIBAV", "none", 1);
    so_sound_options options = {.max_seconds = 10, .channel = size % 3 == 2, .strict = size % 2};
    if (so_audio_decode_with(&audio, data, size, &options, &error) != SO_OK) return 0;
    if (audio.n < 1 || audio.n > 10 * (int64_t)audio.rate) abort();
    for (int64_t i = 0; i < audio.n; i++)
        if (!isfinite(audio.samples[i])) abort();
    unsigned char *wav;
    size_t bytes;
    if (so_audio_encode(SO_AUDIO_WAV_S16, audio.samples, audio.n, audio.rate, &wav, &bytes, &error) != SO_OK) abort();
    free(wav);
    so_audio_clear(&audio);
    return 0;
}
