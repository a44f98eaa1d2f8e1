/* A recording as speech units, and back as the model's voice: codec MODEL IN.wav OUT.wav
 *
 *     cc codec.c $(pkg-config --cflags --libs stream-omni) -o codec
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <sndfile.h>
#include <so.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST_UNITS = 4096 };

static int failed(const so_error *error)
{
    fprintf(stderr, "%s\n", error->text);
    return 1;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: codec MODEL IN.wav OUT.wav\n");
        return 2;
    }
    SF_INFO in = {0};
    SNDFILE *file = sf_open(argv[2], SFM_READ, &in);
    float *pcm = file && in.channels == 1 ? malloc((size_t)in.frames * sizeof *pcm) : NULL;
    if (!pcm || sf_readf_float(file, pcm, in.frames) != in.frames) {
        fprintf(stderr, "%s: not a recording with one channel\n", argv[2]);
        return 1;
    }
    sf_close(file);

    so_error error;
    so_model *model;
    int32_t units[MOST_UNITS];
    size_t n, samples;
    float *speech;
    if (so_model_open(&model, argv[1], NULL, &error) ||
        so_tokenize_speech(model, pcm, (size_t)in.frames, in.samplerate, units, MOST_UNITS, &n, &error))
        return failed(&error);
    if (n > MOST_UNITS) n = MOST_UNITS;
    for (size_t i = 0; i < n; i++) printf("%d%c", units[i], i + 1 == n ? '\n' : ' ');
    if (so_synthesize(model, units, n, 1, &speech, &samples, &error)) return failed(&error);

    SF_INFO out = {.samplerate = SO_VOICE_RATE, .channels = 1, .format = SF_FORMAT_WAV | SF_FORMAT_PCM_16};
    file = sf_open(argv[3], SFM_WRITE, &out);
    if (!file || sf_writef_float(file, speech, (sf_count_t)samples) != (sf_count_t)samples) {
        fprintf(stderr, "%s: cannot be written\n", argv[3]);
        return 1;
    }
    sf_close(file);
    so_free(speech);
    free(pcm);
    so_model_close(&model);
    return 0;
}
