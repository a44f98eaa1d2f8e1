/* media: resampler and log-mel features against the numbers of the miniature speech codec.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <jansson.h>

#include "base/file.h"
#include "media/mel.h"
#include "media/resample.h"

static so_map golden;
static json_t *header;

static int close_golden(void **state)
{
    (void)state;
    json_decref(header);
    so_map_close(&golden);
    return 0;
}

/* An F32 tensor of golden.safetensors; it lives as long as the map. */
static const float *tensor(const char *name, int64_t *n)
{
    so_error error;
    if (!header) {
        CHECK_OK(so_map_open(&golden, check_shared("reference/cosyvoice-tiny/golden.safetensors"), &error), error);
        uint64_t length;
        memcpy(&length, golden.data, 8);
        header = json_loadb((const char *)golden.data + 8, length, 0, NULL);
        assert_non_null(header);
    }
    json_t *offsets = json_object_get(json_object_get(header, name), "data_offsets");
    if (!offsets) fail_msg("no tensor %s", name);
    uint64_t length;
    memcpy(&length, golden.data, 8);
    int64_t from = json_integer_value(json_array_get(offsets, 0)), to = json_integer_value(json_array_get(offsets, 1));
    *n = (to - from) / 4;
    const unsigned char *data = golden.data + 8 + length + from;
    assert_int_equal((uintptr_t)data % 4, 0);
    return (const float *)(const void *)data;
}

static void check_resampler(const char *in, const char *out, int from, int to)
{
    so_error error;
    so_resampler *r;
    int64_t n, expected_n;
    const float *x = tensor(in, &n), *expected = tensor(out, &expected_n);
    CHECK_OK(so_resampler_open(&r, from, to, &error), error);
    assert_int_equal(so_resampler_length(r, n), expected_n);
    float *got = malloc((size_t)expected_n * sizeof *got);
    CHECK_OK(so_resample(r, x, n, got, &error), error);
    check_close(out, got, expected, expected_n, 1e-6, 5e-7);
    free(got);
    so_resampler_close(&r);
}

static void resampler_gives_the_reference_samples(void **state)
{
    (void)state;
    static const int rates[][2] = {{48000, 16000}, {44100, 16000}, {8000, 16000},
                                   {24000, 16000}, {16000, 22050}, {11025, 16000}};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        char in[64], out[64];
        snprintf(in, sizeof in, "resample.%d_%d.in", rates[i][0], rates[i][1]);
        snprintf(out, sizeof out, "resample.%d_%d.out", rates[i][0], rates[i][1]);
        check_resampler(in, out, rates[i][0], rates[i][1]);
    }
    check_resampler("tok.speech.audio_22050", "tok.speech.audio_16k", 22050, 16000);
}

/* The golden has [bins, frames] unless `frame_major`. Bars are absolute: the features are logarithms. */
static void check_mel(so_mel_kind kind, const char *in, const char *out, bool frame_major, double bar)
{
    so_error error;
    so_mel *mel;
    int64_t n, expected_n;
    const float *x = tensor(in, &n), *expected = tensor(out, &expected_n);
    CHECK_OK(so_mel_open(&mel, kind, &error), error);
    int64_t frames = so_mel_frames(mel, n);
    int bins = so_mel_bins(mel);
    assert_int_equal(frames * bins, expected_n);
    float *got = malloc((size_t)expected_n * 2 * sizeof *got), *turned = got + expected_n;
    CHECK_OK(so_mel_compute(mel, x, n, got, NULL, &error), error);
    if (strstr(out, "_cmn")) so_mel_subtract_mean(got, frames, bins);
    so_mel_transpose(got, frames, bins, turned);
    if (frame_major) turned = got;
    double worst = 0;
    for (int64_t i = 0; i < expected_n; i++) {
        double d = fabs((double)turned[i] - (double)expected[i]);
        worst = d <= worst ? worst : d; /* NaN counts */
    }
    if (!(worst <= bar)) fail_msg("%s: largest difference %.3g, bar %.3g", out, worst, bar);
    free(got);
    so_mel_close(&mel);
}

/* The bars are about twice the rounding noise that golden.json states for the reference itself. */
static void features_are_the_reference_features(void **state)
{
    (void)state;
    check_mel(SO_MEL_WHISPER, "tok.chirp.audio_16k", "tok.chirp.logmel", false, 2e-5);
    check_mel(SO_MEL_WHISPER, "tok.min.audio_16k", "tok.min.logmel", false, 5e-6);
    check_mel(SO_MEL_WHISPER, "tok.speech.audio_16k", "tok.speech.logmel", false, 4e-5);
    check_mel(SO_MEL_VOCODER, "mel22050.audio_22050", "mel22050.mel_8000", false, 3e-4);
    check_mel(SO_MEL_VOCODER_GAN, "mel22050.audio_22050", "mel22050.mel_11025", false, 6e-4);
    check_mel(SO_MEL_VOCODER, "mel22050.short.audio_22050", "mel22050.short.mel_8000", false, 2e-6);
    check_mel(SO_MEL_KALDI, "kaldi.audio_16k", "kaldi.fbank", true, 8e-4);
    check_mel(SO_MEL_KALDI, "kaldi.audio_16k", "kaldi.fbank_cmn", true, 8e-4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resampler_gives_the_reference_samples),
        cmocka_unit_test(features_are_the_reference_features),
    };
    return cmocka_run_group_tests(tests, NULL, close_golden);
}
