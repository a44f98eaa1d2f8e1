/* The shipped model with vision tower and codec in bf16 beside itself in f32: what a listener and a reader would
 * notice.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "media/audio.h"
#include "so.h"

static so_model *model[2];

static int start(void **state)
{
    (void)state;
    so_error error;
    char path[4096];
    snprintf(path, sizeof path, "%s/models/tabletop.gguf", SO_SOURCE_DIR);
    for (int i = 0; i < 2; i++)
        if (so_model_open(&model[i], path, &(so_model_options){.threads = 1, .bf16 = i}, &error) != SO_OK) {
            fprintf(stderr, "%s\n", error.text);
            return 1;
        }
    return 0;
}

static int stop(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) so_model_close(&model[i]);
    return 0;
}

/* Share of places where two lists agree; of lists of different lengths, of the longer one. */
static double agreement(const int32_t *a, size_t na, const int32_t *b, size_t nb)
{
    size_t same = 0, n = na < nb ? na : nb;
    for (size_t i = 0; i < n; i++) same += a[i] == b[i];
    return (double)same / (double)(na > nb ? na : nb);
}

enum { MOST = 1000 };

static size_t units_of(int i, const float *pcm, size_t samples, int rate, int32_t *units)
{
    so_error error;
    size_t n = 0;
    CHECK_OK(so_tokenize_speech(model[i], pcm, samples, rate, units, MOST, &n, &error), error);
    assert_in_range(n, 10, MOST);
    return n;
}

static void hears_and_speaks_alike(void **state)
{
    (void)state;
    so_error error;
    so_audio audio;
    char path[4096];
    static int32_t heard[2][MOST], again[2][MOST];
    float *pcm[2];
    size_t n[2], m[2], samples[2];
    snprintf(path, sizeof path, "%s/examples/question.wav", SO_SOURCE_DIR);
    CHECK_OK(so_audio_read(&audio, path, 0, &error), error);
    for (int i = 0; i < 2; i++) n[i] = units_of(i, audio.samples, (size_t)audio.n, audio.rate, heard[i]);
    double hears = agreement(heard[0], n[0], heard[1], n[1]);
    if (hears < 0.95) fail_msg("units heard agree in %.3f of places (bar 0.95)", hears);
    for (int i = 0; i < 2; i++) {
        CHECK_OK(so_synthesize(model[i], heard[0], n[0], 1, &pcm[i], &samples[i], &error), error);
        m[i] = units_of(0, pcm[i], samples[i], 22050, again[i]);
    }
    assert_int_equal(samples[0], samples[1]);
    double speaks = agreement(again[0], m[0], again[1], m[1]);
    if (speaks < 0.85) fail_msg("what was said is heard alike in %.3f of places (bar 0.85)", speaks);
    for (int i = 0; i < 2; i++) so_free(pcm[i]);
    so_audio_clear(&audio);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(hears_and_speaks_alike)};
    return cmocka_run_group_tests(tests, start, stop);
}
