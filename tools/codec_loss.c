/* What a codec of fewer bits loses: units that two models hear alike, and how far their speech is from each other.
 *
 *   codec_loss MODEL OTHER RECORDING...      (bf16:OTHER opens it with products in bf16)
 *
 * For every recording: the share of units that both hear alike; both say the first one's units with the same noise, and
 * the mean distance of the two log-mels (nats, 80 bins) and the share of units that the first one's ears hear alike in
 * them are told.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "media/audio.h"
#include "media/mel.h"
#include "so.h"

enum { MOST = 4096 };

typedef struct sums {
    double units, alike, bins, nats, said, heard;
} sums;

static double mel_distance(so_mel *mel, const float *a, const float *b, int64_t n, double *bins)
{
    int64_t frames = so_mel_frames(mel, n), all = frames * so_mel_bins(mel);
    float *x = malloc((size_t)all * 2 * sizeof *x), *y = x + all;
    so_error error;
    double sum = 0;
    if (!x || so_mel_compute(mel, a, n, x, NULL, &error) || so_mel_compute(mel, b, n, y, NULL, &error)) all = 0;
    for (int64_t i = 0; i < all; i++) sum += fabs((double)x[i] - (double)y[i]);
    free(x);
    *bins += (double)all;
    return sum;
}

static double alike(const int32_t *a, size_t n, const int32_t *b, size_t m, double *all)
{
    double same = 0;
    for (size_t i = 0; i < n && i < m; i++) same += a[i] == b[i];
    *all += (double)(n > m ? n : m);
    return same;
}

static so_status one(so_model *const model[2], so_mel *mel, const char *path, sums *s, so_error *error)
{
    static int32_t heard[2][MOST], said[2][MOST];
    so_audio clip;
    float *pcm[2] = {0};
    size_t n[2], samples[2] = {0}, m[2];
    SO_TRY(so_audio_read(&clip, path, 30, error));
    so_status status = SO_OK;
    for (int i = 0; i < 2 && status == SO_OK; i++)
        status = so_tokenize_speech(model[i], clip.samples, (size_t)clip.n, clip.rate, heard[i], MOST, &n[i], error);
    if (status == SO_OK) s->alike += alike(heard[0], n[0], heard[1], n[1], &s->units);
    for (int i = 0; i < 2 && status == SO_OK; i++)
        status = so_synthesize(model[i], heard[0], n[0], 1, &pcm[i], &samples[i], error);
    if (status == SO_OK && samples[0] == samples[1])
        s->nats += mel_distance(mel, pcm[0], pcm[1], (int64_t)samples[0], &s->bins);
    for (int i = 0; i < 2 && status == SO_OK; i++)
        status = so_tokenize_speech(model[0], pcm[i], samples[i], SO_VOICE_RATE, said[i], MOST, &m[i], error);
    if (status == SO_OK) s->heard += alike(said[0], m[0], said[1], m[1], &s->said);
    so_free(pcm[0]);
    so_free(pcm[1]);
    so_audio_clear(&clip);
    return status;
}

int main(int argc, char **argv)
{
    so_model *model[2] = {0};
    so_mel *mel = NULL;
    so_error error = {0};
    so_model_options options = {.threads = 1};
    sums s = {0};
    if (argc < 4) {
        fprintf(stderr, "usage: codec_loss MODEL OTHER RECORDING...\n");
        return 2;
    }
    so_status status = so_mel_open(&mel, SO_MEL_VOCODER, &error);
    for (int i = 0; i < 2 && status == SO_OK; i++) {
        options.bf16 = strncmp(argv[1 + i], "bf16:", 5) == 0;
        status = so_model_open(&model[i], argv[1 + i] + 5 * options.bf16, &options, &error);
    }
    for (int i = 3; i < argc && status == SO_OK; i++) status = one(model, mel, argv[i], &s, &error);
    if (status == SO_OK)
        printf("%d recordings: units heard alike %.2f %% of %.0f; said: log-mel %.4f nats apart, heard alike %.2f %%\n",
               argc - 3, 100 * s.alike / s.units, s.units, s.nats / s.bins, 100 * s.heard / s.said);
    else
        fprintf(stderr, "%s\n", error.text);
    so_model_close(&model[0]);
    so_model_close(&model[1]);
    so_mel_close(&mel);
    return status != SO_OK;
}
