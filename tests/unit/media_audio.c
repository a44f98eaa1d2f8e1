/* media/audio: sound files of every kind there and back, and what must be refused.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <sndfile.h>

#include "base/rng.h"
#include "media/audio.h"
#include "media/resample.h"

static float *tone(int64_t n, int rate, float height)
{
    float *x = malloc((size_t)n * sizeof *x);
    for (int64_t i = 0; i < n; i++) x[i] = height * sinf((float)(2 * M_PI * 440 * (double)i / rate));
    return x;
}

static void expect_refusal(const void *data, size_t size, double seconds, so_status expected)
{
    so_audio got;
    so_error error;
    so_status status = so_audio_decode(&got, data, size, seconds, &error);
    if (status != expected) fail_msg("status %s, expected %s", so_status_name(status), so_status_name(expected));
    assert_null(got.samples);
    assert_true(strlen(error.text) > 10);
}

static void each_format_comes_back(void **state)
{
    (void)state;
    static const struct {
        so_audio_format format;
        double bar;
    } cases[] = {{SO_AUDIO_WAV_F32, 0}, {SO_AUDIO_WAV_S16, 1.6e-5}, {SO_AUDIO_FLAC, 1.6e-5}, {SO_AUDIO_OGG, 0.05}};
    static const int rates[] = {8000, 16000, 22050, 48000, 192000};
    for (size_t c = 0; c < 4; c++)
        for (size_t r = 0; r < 5; r++) {
            if (cases[c].format == SO_AUDIO_OGG && rates[r] < 16000)
                continue; /* the tone's onset rings too much there */
            int64_t n = 12345;
            float *x = tone(n, rates[r], 0.5f);
            so_error error;
            unsigned char *data;
            size_t size;
            so_audio got;
            CHECK_OK(so_audio_encode(cases[c].format, x, n, rates[r], &data, &size, &error), error);
            CHECK_OK(so_audio_decode(&got, data, size, 0, &error), error);
            assert_int_equal(got.n, n);
            assert_int_equal(got.rate, rates[r]);
            assert_int_equal(got.channels, 1);
            for (int64_t i = 0; i < n; i++)
                if (!(fabsf(got.samples[i] - x[i]) <= (float)cases[c].bar))
                    fail_msg("format %zu at %d Hz, sample %lld: %g, expected %g", c, rates[r], (long long)i,
                             (double)got.samples[i], (double)x[i]);
            so_audio_clear(&got);
            free(data);
            free(x);
        }
}

static void one_sample_silence_and_clipping(void **state)
{
    (void)state;
    so_error error;
    unsigned char *data;
    size_t size;
    so_audio got;
    float one[] = {0.25f}, loud[] = {2, -2, 1, -1, 0.5f}, silent[1000] = {0};
    CHECK_OK(so_audio_encode(SO_AUDIO_WAV_S16, one, 1, 16000, &data, &size, &error), error);
    assert_int_equal(size, 46);
    CHECK_OK(so_audio_decode(&got, data, size, 0, &error), error);
    assert_int_equal(got.n, 1);
    so_audio_clear(&got);
    free(data);
    CHECK_OK(so_audio_encode(SO_AUDIO_WAV_S16, loud, 5, 16000, &data, &size, &error), error);
    CHECK_OK(so_audio_decode(&got, data, size, 0, &error), error);
    assert_true(got.samples[0] > 0.999f && got.samples[1] < -0.999f && got.samples[2] == got.samples[0]);
    so_audio_clear(&got);
    free(data);
    CHECK_OK(so_audio_encode(SO_AUDIO_FLAC, silent, 1000, 16000, &data, &size, &error), error);
    CHECK_OK(so_audio_decode(&got, data, size, 0, &error), error);
    for (int i = 0; i < 1000; i++) assert_true(got.samples[i] == 0);
    so_audio_clear(&got);
    free(data);
}

/* A PCM16 WAV with any header values. */
static size_t forge(unsigned char *out, int channels, uint32_t rate, uint32_t announced, int values)
{
    so_wav_header(out, SO_AUDIO_WAV_S16, 16000, values);
    out[22] = (unsigned char)channels;
    out[23] = (unsigned char)(channels >> 8);
    for (int i = 0; i < 4; i++) out[24 + i] = (unsigned char)(rate >> (8 * i));
    out[32] = (unsigned char)(channels * 2);
    out[33] = (unsigned char)(channels * 2 >> 8);
    for (int i = 0; i < 4; i++) out[40 + i] = (unsigned char)(announced >> (8 * i));
    for (int i = 0; i < values; i++) {
        out[44 + 2 * i] = 0;
        out[45 + 2 * i] = (unsigned char)(i % 2 ? 0x20 : 0x40); /* 0.5, 0.25, ... */
    }
    return 44 + 2 * (size_t)values;
}

static void stereo_becomes_the_mean(void **state)
{
    (void)state;
    unsigned char file[300];
    so_error error;
    so_audio got;
    size_t size = forge(file, 2, 44100, 200, 100);
    CHECK_OK(so_audio_decode(&got, file, size, 0, &error), error);
    assert_int_equal(got.n, 50);
    assert_int_equal(got.channels, 2);
    for (int i = 0; i < 50; i++) assert_true(got.samples[i] == 0.375f);
    so_audio_clear(&got);
}

static void hostile_files_are_refused(void **state)
{
    (void)state;
    unsigned char file[300];
    so_error error;
    so_audio got;
    size_t size = forge(file, 1, 16000, 200, 100);
    expect_refusal(file, 0, 0, SO_ERR_FORMAT);
    expect_refusal("hello, world", 12, 0, SO_ERR_FORMAT);
    expect_refusal(file, size - 50, 0, SO_ERR_FORMAT);
    expect_refusal(file, 44, 0, SO_ERR_FORMAT);
    for (size_t cut = 1; cut < size; cut++) { /* a cut file is never accepted */
        so_status status = so_audio_decode(&got, file, cut, 0, &error);
        if (status == SO_OK) fail_msg("a WAV cut after %zu bytes was accepted", cut);
    }
    forge(file, 1, 16000, 0xffffffffu, 100); /* streamed: the length is unknown */
    CHECK_OK(so_audio_decode(&got, file, size, 0, &error), error);
    assert_int_equal(got.n, 100);
    so_audio_clear(&got);
    forge(file, 65, 16000, 200, 100);
    expect_refusal(file, size, 0, SO_ERR_LIMIT);
    forge(file, 1, 4000000000u, 200, 100);
    assert_int_not_equal(so_audio_decode(&got, file, size, 0, &error), SO_OK);
    forge(file, 1, 1, 200, 100);
    expect_refusal(file, size, 0, SO_ERR_LIMIT);
    forge(file, 0, 16000, 200, 100);
    assert_int_not_equal(so_audio_decode(&got, file, size, 0, &error), SO_OK);
    float bad[3] = {0, NAN, 0};
    unsigned char wav[56];
    so_wav_header(wav, SO_AUDIO_WAV_F32, 16000, 3);
    memcpy(wav + 44, bad, 12);
    expect_refusal(wav, 56, 0, SO_ERR_NUMBER);
    unsigned char *data;
    size_t n;
    assert_int_equal(so_audio_encode(SO_AUDIO_FLAC, bad, 3, 16000, &data, &n, &error), SO_ERR_NUMBER);
    assert_int_equal(so_audio_encode(SO_AUDIO_WAV_S16, bad, 1, 0, &data, &n, &error), SO_ERR_ARG);
    assert_int_equal(so_audio_read(&got, "/nonexistent.wav", 0, &error), SO_ERR_IO);
}

static void cut_flac_is_refused(void **state)
{
    (void)state;
    so_error error;
    unsigned char *data;
    size_t size;
    float *x = tone(50000, 16000, 0.5f);
    CHECK_OK(so_audio_encode(SO_AUDIO_FLAC, x, 50000, 16000, &data, &size, &error), error);
    expect_refusal(data, size / 2, 0, SO_ERR_FORMAT);
    free(data);
    free(x);
}

static void mp3_is_read(void **state)
{
    (void)state;
    char path[] = "/tmp/so_audio_XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    SF_INFO info = {.samplerate = 22050, .channels = 1, .format = SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III};
    SNDFILE *file = sf_open_fd(fd, SFM_WRITE, &info, 1);
    if (!file) {
        unlink(path);
        fprintf(stderr, "# SKIP: this libsndfile does not write MP3\n");
        skip();
    }
    float *x = tone(22050, 22050, 0.5f);
    sf_writef_float(file, x, 22050);
    sf_close(file);
    so_error error;
    so_audio got;
    CHECK_OK(so_audio_read(&got, path, 0, &error), error);
    assert_int_equal(got.rate, 22050);
    assert_true(llabs((long long)got.n - 22050) < 3000);
    double energy = 0;
    for (int64_t i = 0; i < got.n; i++) energy += (double)got.samples[i] * (double)got.samples[i];
    assert_true(fabs(energy / 22050 - 0.125) < 0.02);
    so_audio_clear(&got);
    free(x);
    unlink(path);
}

static void ten_minutes_and_the_limit(void **state)
{
    (void)state;
    so_error error;
    unsigned char *data;
    size_t size;
    so_audio got;
    int64_t n = 600 * 8000;
    float *x = tone(n + 1, 8000, 0.9f);
    CHECK_OK(so_audio_encode(SO_AUDIO_WAV_S16, x, n, 8000, &data, &size, &error), error);
    CHECK_OK(so_audio_decode(&got, data, size, 0, &error), error);
    assert_int_equal(got.n, n);
    so_audio_clear(&got);
    expect_refusal(data, size, 30, SO_ERR_LIMIT);
    free(data);
    CHECK_OK(so_audio_encode(SO_AUDIO_WAV_S16, x, n + 1, 8000, &data, &size, &error), error);
    expect_refusal(data, size, 0, SO_ERR_LIMIT);
    free(data);
    free(x);
}

static void streamed_writing_equals_whole_writing(void **state)
{
    (void)state;
    char folder[] = "/tmp/so_audio_XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/a.wav", folder);
    float *x = tone(10000, 22050, 0.7f);
    for (int f = SO_AUDIO_WAV_F32; f <= SO_AUDIO_WAV_S16; f++) {
        so_error error;
        so_wav_writer writer;
        unsigned char *expected;
        char *got;
        size_t expected_size, size;
        so_rng rng;
        so_rng_init(&rng, 7, (uint64_t)f);
        CHECK_OK(so_wav_open(&writer, path, (so_audio_format)f, 22050, &error), error);
        for (int64_t at = 0, n; at < 10000; at += n) {
            n = so_rng_range(&rng, 0, 3000);
            if (n > 10000 - at) n = 10000 - at;
            CHECK_OK(so_wav_put(&writer, x + at, n, &error), error);
        }
        assert_int_not_equal(access(path, F_OK), f == SO_AUDIO_WAV_F32 ? 0 : 2);
        CHECK_OK(so_wav_close(&writer, &error), error);
        so_wav_drop(&writer);
        CHECK_OK(so_audio_encode((so_audio_format)f, x, 10000, 22050, &expected, &expected_size, &error), error);
        CHECK_OK(so_file_read(path, 1 << 20, &got, &size, &error), error);
        assert_int_equal(size, expected_size);
        assert_memory_equal(got, expected, size);
        free(got);
        free(expected);
    }
    so_error error;
    so_audio_format format;
    CHECK_OK(so_audio_format_of("x/y.flac", &format, &error), error);
    assert_int_equal(format, SO_AUDIO_FLAC);
    assert_int_equal(so_audio_format_of("wav", &format, &error), SO_ERR_UNSUPPORTED);
    CHECK_OK(so_audio_write(path, SO_AUDIO_OGG, x, 10000, 22050, &error), error);
    unlink(path);
    assert_int_equal(rmdir(folder), 0);
    free(x);
}

/* A clip at another rate in samples of its own; at its own rate a copy, bit for bit; rates that are none are refused.
 */
static void clips_change_their_rate(void **state)
{
    enum { N = 4410, FROM = 22050, TO = 16000 };
    float *x = tone(N, FROM, 0.5f), *y, *z;
    int64_t n, length;
    so_resampler *r;
    so_error error;
    (void)state;
    CHECK_OK(so_resample_to(FROM, TO, x, N, &y, &n, &error), error);
    CHECK_OK(so_resampler_open(&r, FROM, TO, &error), error);
    length = so_resampler_length(r, N);
    z = malloc((size_t)length * sizeof *z);
    CHECK_OK(so_resample(r, x, N, z, &error), error);
    assert_int_equal(n, length);
    assert_memory_equal(y, z, (size_t)n * sizeof *y);
    free(y);
    CHECK_OK(so_resample_clip(r, x, N, &y, &n, &error), error);
    assert_memory_equal(y, z, (size_t)n * sizeof *y);
    free(y);
    CHECK_OK(so_resample_to(TO, TO, x, N, &y, &n, &error), error);
    assert_int_equal(n, N);
    assert_memory_equal(y, x, N * sizeof *y);
    free(y);
    CHECK_OK(so_resample_to(FROM, TO, x, 0, &y, &n, &error), error);
    assert_int_equal(n, 0);
    free(y);
    assert_int_equal(so_resample_to(FROM, 7, x, N, &y, &n, &error), SO_ERR_ARG);
    assert_null(y);
    so_resampler_close(&r);
    free(z);
    free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_format_comes_back),
        cmocka_unit_test(one_sample_silence_and_clipping),
        cmocka_unit_test(stereo_becomes_the_mean),
        cmocka_unit_test(hostile_files_are_refused),
        cmocka_unit_test(clips_change_their_rate),
        cmocka_unit_test(cut_flac_is_refused),
        cmocka_unit_test(mp3_is_read),
        cmocka_unit_test(ten_minutes_and_the_limit),
        cmocka_unit_test(streamed_writing_equals_whole_writing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
