/* media/sound: files whose headers lie, channels that cancel, and containers that FFmpeg's libraries read.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "base/file.h"
#include "media/audio.h"
#include "media/sound_source.h"

enum { RATE = 16000, N = 1600 };

/* A file that grows: bytes, names, little-endian numbers. */
typedef struct file {
    unsigned char bytes[40000];
    size_t n;
} file;

static void add(file *f, const void *bytes, size_t n)
{
    assert_true(f->n + n <= sizeof f->bytes);
    memcpy(f->bytes + f->n, bytes, n);
    f->n += n;
}

static void number(file *f, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++) {
        unsigned char byte = (unsigned char)(value >> (8 * i));
        add(f, &byte, 1);
    }
}

static void fmt(file *f, int channels)
{
    add(f, "fmt ", 4);
    number(f, 16, 4);
    number(f, 1, 2);
    number(f, (uint64_t)channels, 2);
    number(f, RATE, 4);
    number(f, (uint64_t)(RATE * 2 * channels), 4);
    number(f, (uint64_t)(2 * channels), 2);
    number(f, 16, 2);
}

static int value(int i) { return (int)lround(8000 * sin(i * 0.11) + 100); }

static void samples(file *f, int n)
{
    for (int i = 0; i < n; i++) number(f, (uint16_t)value(i), 2);
}

static void begin(file *f, const char *riff)
{
    f->n = 0;
    add(f, riff, 4);
    number(f, 0xffffffffu, 4);
    add(f, "WAVE", 4);
}

static void data(file *f, uint32_t announced, int n)
{
    add(f, "data", 4);
    number(f, announced, 4);
    samples(f, n);
}

/* The file gives n samples, bit for bit, and the warning holds `warning` ("" : there is none). */
static void expect(const file *f, int n, const char *warning)
{
    so_audio got;
    so_error error;
    so_sound_options options = {0};
    CHECK_OK(so_audio_decode_with(&got, f->bytes, f->n, &options, &error), error);
    if (got.n != n) fail_msg("%lld samples, expected %d", (long long)got.n, n);
    for (int i = 0; i < n; i++) assert_true(got.samples[i] == (float)value(i) / 32768);
    if (warning[0] ? !strstr(got.warning, warning) : got.warning[0] != 0)
        fail_msg("warning '%s', expected '%s'", got.warning, warning);
    so_audio_clear(&got);
}

static void lengths_that_lie_are_seen_through(void **state)
{
    (void)state;
    static file f;
    static const uint32_t streamed[] = {0xffffffffu, 0x7fffffffu, 0x7fffff00u, 0xfffffff0u};
    for (size_t i = 0; i < 4; i++) {
        begin(&f, "RIFF");
        fmt(&f, 1);
        data(&f, streamed[i], N);
        expect(&f, N, "");
    }
    begin(&f, "RIFF");
    fmt(&f, 1);
    data(&f, 0, N); /* a recorder that was killed */
    expect(&f, N, "announces no samples");
    begin(&f, "RIFF");
    fmt(&f, 1);
    data(&f, 2 * N + 16, N);
    expect(&f, N, "cut off: 3216 bytes of samples announced, 3200 found");
    begin(&f, "RIFF");
    fmt(&f, 1);
    data(&f, 1 << 30, N);
    expect(&f, N, "cut off");
    begin(&f, "RIFF");
    fmt(&f, 1);
    data(&f, 2 * N, N);
    add(&f, "LIST\x04\0\0\0INFO", 12);
    expect(&f, N, "");
}

static void odd_chunks_are_passed(void **state)
{
    (void)state;
    static file f;
    begin(&f, "RIFF");
    add(&f, "LIST\x05\0\0\0INFOx", 13); /* without its padding byte */
    fmt(&f, 1);
    data(&f, 2 * N, N);
    expect(&f, N, "padding byte");
    begin(&f, "RIFF");
    add(&f, "LIST\x05\0\0\0INFOx", 14);
    fmt(&f, 1);
    data(&f, 2 * N, N);
    expect(&f, N, "");
    begin(&f, "RIFF");
    fmt(&f, 1);
    add(&f, "LIST\xff\xff\xff\x7fINFO", 12); /* longer than the file */
    data(&f, 2 * N, N);
    expect(&f, N, "false length");
    begin(&f, "RIFF");
    fmt(&f, 1);
    add(&f, "\0\0\0\0\0\0\0\0\0\0\0\0", 12);
    data(&f, 2 * N, N);
    expect(&f, N, "false length");
}

/* Samples that look like a chunk, in an odd number of bytes without padding (found by fuzzing). libsndfile wanted to go
 * on behind the padding, could not, took the samples for a chunk of 4 GB and was busy for hours. */
static void samples_are_no_chunks(void **state)
{
    (void)state;
    static file f;
    so_audio got;
    so_error error;
    so_sound_options options = {0};
    begin(&f, "RIFF");
    add(&f, "fmt \x10\0\0\0\3\0\3\0\x80\x2e\0\0\0\xfa\0\0\4\0\x20\0", 24); /* floats, 3 channels in 4 bytes */
    add(&f, "data\0\0\0\0LIST\0\0\0\xff", 16);
    for (int i = 0; i < 94; i++) number(&f, i == 52 ? 0xf7 : 0xff, 1);
    add(&f, "\0\0\0\xe8\x99\x19\x3e\xcd\xcc", 9);
    assert_int_not_equal(so_audio_decode_with(&got, f.bytes, f.n, &options, &error), SO_OK);
    assert_non_null(strstr(error.text, "not finite"));
}

/* Lists of 4 GB in files of a hundred bytes, without samples, or with those of the other byte order (found by fuzzing).
 */
static void lists_that_are_not_there_are_not_read(void **state)
{
    (void)state;
    static const struct {
        const char *riff, *length, *text;
    } files[] = {{"RIFF", "\xae\0\xff\xff", "no 'fmt ' or no 'data' chunk"},
                 {"RF64", "\xae\0\xff\xff", "no 'fmt ' or no 'data' chunk"},
                 {"RIFX", "\xff\xff\0\xae", "a LIST chunk that is longer"}};
    for (size_t i = 0; i < 3; i++) {
        static file f;
        so_audio got;
        so_error error;
        so_sound_options options = {0};
        begin(&f, files[i].riff);
        add(&f, "LIST", 4);
        add(&f, files[i].length, 4);
        for (int k = 0; k < 97; k++) number(&f, k == 92 ? 0xf7 : k == 90 || k == 91 ? 0 : 0xff, 1);
        assert_int_equal(so_audio_decode_with(&got, f.bytes, f.n, &options, &error), SO_ERR_FORMAT);
        if (!strstr(error.text, files[i].text)) fail_msg("%s: %s", files[i].riff, error.text);
    }
}

static void wide_files_are_read(void **state)
{
    (void)state;
    static file f;
    begin(&f, "RF64");
    add(&f, "ds64", 4);
    number(&f, 28, 4);
    number(&f, 0, 8);
    number(&f, 2 * N, 8);
    number(&f, N, 8);
    number(&f, 0, 4);
    fmt(&f, 1);
    data(&f, 0xffffffffu, N);
    f.n += 100; /* behind what ds64 announces */
    expect(&f, N, "");
    f.n -= 100;
    f.bytes[29] = 0x7f; /* ds64 now tells of more */
    expect(&f, N, "cut off");
}

static void a_cut_container_says_so(void **state)
{
    (void)state;
    so_error error;
    so_audio got;
    so_sound_options lenient = {0}, strict = {.strict = true};
    float x[8000];
    unsigned char *flac;
    size_t size;
    for (int i = 0; i < 8000; i++) x[i] = (float)sin(i * 0.2) * 0.5f;
    CHECK_OK(so_audio_encode(SO_AUDIO_FLAC, x, 8000, RATE, &flac, &size, &error), error);
    CHECK_OK(so_audio_decode_with(&got, flac, size * 7 / 8, &lenient, &error), error);
    assert_true(got.n < 8000 && got.n > 0);
    assert_non_null(strstr(got.warning, "cut off: 0.50 s announced"));
    so_audio_clear(&got);
    assert_int_equal(so_audio_decode_with(&got, flac, size * 7 / 8, &strict, &error), SO_ERR_FORMAT);
    free(flac);
    unsigned char *ogg;
    static float longer[80000];
    for (int i = 0; i < 80000; i++) longer[i] = x[i % 8000];
    CHECK_OK(so_audio_encode(SO_AUDIO_OGG, longer, 80000, RATE, &ogg, &size, &error), error);
    CHECK_OK(so_audio_decode_with(&got, ogg, size, &lenient, &error), error);
    assert_string_equal(got.warning, "");
    so_audio_clear(&got);
    CHECK_OK(so_audio_decode_with(&got, ogg, size - 200, &lenient, &error), error);
    assert_non_null(strstr(got.warning, "cut off"));
    so_audio_clear(&got);
    free(ogg);
    /* An AIFF file's FORM chunk counts all bytes. */
    static file f = {.n = 0};
    add(&f,
        "FORM\0\0\x0f\xa0"
        "AIFFCOMM\0\0\0\x12\0\x01\0\0\x07\xbc\0\x10\x40\x0c\xfa\0\0\0\0\0\0\0SSND\0\0\x0f\x80\0\0\0\0\0\0\0\0",
        12 + 26 + 16);
    samples(&f, N / 2);
    CHECK_OK(so_audio_decode_with(&got, f.bytes, f.n, &lenient, &error), error);
    assert_non_null(strstr(got.warning, "cut off"));
    so_audio_clear(&got);
}

/* Two channels of N samples, each a tone with its own height; the second's angle is shifted. */
static void stereo(file *f, double left, double right, double shift)
{
    begin(f, "RIFF");
    fmt(f, 2);
    add(f, "data", 4);
    number(f, 4 * N, 4);
    for (int i = 0; i < N; i++) {
        number(f, (uint16_t)(int)lround(left * sin(i * 0.1)), 2);
        number(f, (uint16_t)(int)lround(right * sin(i * 0.1 + shift)), 2);
    }
}

static double height_of(const file *f, int channel, const char *warning)
{
    so_audio got;
    so_error error;
    so_sound_options options = {.channel = channel};
    double energy = 0;
    CHECK_OK(so_audio_decode_with(&got, f->bytes, f->n, &options, &error), error);
    for (int64_t i = 0; i < got.n; i++) energy += (double)got.samples[i] * (double)got.samples[i];
    if (warning[0] ? !strstr(got.warning, warning) : got.warning[0] != 0)
        fail_msg("warning '%s', expected '%s'", got.warning, warning);
    so_audio_clear(&got);
    return sqrt(2 * energy / N) * 32768;
}

static void channels_never_cancel(void **state)
{
    (void)state;
    static file f;
    stereo(&f, 8000, 4000, 0);
    assert_true(fabs(height_of(&f, 0, "") - 6000) < 20);
    assert_true(fabs(height_of(&f, 1, "") - 8000) < 20);
    assert_true(fabs(height_of(&f, 2, "") - 4000) < 20);
    stereo(&f, 8000, 8000, M_PI);
    assert_true(fabs(height_of(&f, 0, "channel 2 is the opposite of channel 1") - 8000) < 20);
    stereo(&f, 8000, 0, 0);
    assert_true(fabs(height_of(&f, 0, "") - 8000) < 20);
    stereo(&f, 0, 8000, 0);
    assert_true(fabs(height_of(&f, 0, "") - 8000) < 20);
    stereo(&f, 8000, 8000, M_PI / 2); /* nothing in common: the mean keeps half the energy */
    assert_true(fabs(height_of(&f, 0, "") - 8000 / sqrt(2)) < 60);
    so_audio got;
    so_error error;
    so_sound_options third = {.channel = 3};
    assert_int_equal(so_audio_decode_with(&got, f.bytes, f.n, &third, &error), SO_ERR_ARG);
    assert_non_null(strstr(error.text, "channel 3 of a recording that has 2"));
}

/* ---- what needs FFmpeg's libraries */

static const struct {
    const char *name;
    int rate;
    double seconds;
} foreign[] = {{"memo.m4a", 44100, 1.97},
               {"memo_alac.m4a", 22050, 1.96},
               {"memo.aac", 44100, 2.0},
               {"browser.webm", 48000, 1.96},
               {"win.wma", 22050, 1.95}};
enum { FOREIGN = sizeof foreign / sizeof *foreign };

static so_map map_of(const char *name)
{
    char path[512];
    so_error error;
    so_map map;
    snprintf(path, sizeof path, "%s/tests/sounds/%s", SO_SOURCE_DIR, name);
    CHECK_OK(so_map_open(&map, path, &error), error);
    return map;
}

static void phones_and_browsers_are_read(void **state)
{
    (void)state;
    so_error error;
    unsetenv("SO_LIBAV");
    for (int i = 0; i < FOREIGN; i++) {
        so_map map = map_of(foreign[i].name);
        so_audio got;
        so_sound_options options = {0}, brief = {.max_seconds = 1};
        so_status status = so_audio_decode_with(&got, map.data, map.size, &options, &error);
        if (status == SO_ERR_MISSING) {
            assert_non_null(strstr(error.text, "libavformat59"));
            so_map_close(&map);
            fprintf(stderr, "# SKIP: FFmpeg's libraries are absent\n");
            skip();
        }
        CHECK_OK(status, error);
        assert_int_equal(got.rate, foreign[i].rate);
        assert_true(fabs((double)got.n / got.rate - foreign[i].seconds) < 0.02);
        double energy = 0;
        for (int64_t k = 0; k < got.n; k++) energy += (double)got.samples[k] * (double)got.samples[k];
        assert_true(fabs(sqrt(energy / (double)got.n) - 0.098) < 0.002);
        assert_string_equal(got.warning, "");
        so_audio_clear(&got);
        assert_int_equal(so_audio_decode_with(&got, map.data, map.size, &brief, &error), SO_ERR_LIMIT);
        status = so_audio_decode_with(&got, map.data, map.size * 2 / 3, &options, &error);
        if (status == SO_OK && !strstr(got.warning, "cut off") && strcmp(foreign[i].name, "memo.aac"))
            fail_msg("%s cut: warning '%s'", foreign[i].name, got.warning);
        so_audio_clear(&got);
        so_map_close(&map);
    }
}

/* Silent frames of both kinds of AMR, as their format says: a byte that names the mode, then its bits. */
static void a_phone_of_old_is_read(void **state)
{
    (void)state;
    static const struct {
        const char *head;
        int mode, bytes, rate;
    } kind[] = {{"#!AMR\n", 7, 31, 8000}, {"#!AMR-WB\n", 0, 17, 16000}};
    unsetenv("SO_LIBAV");
    for (int i = 0; i < 2; i++) {
        static file f;
        so_audio got;
        so_error error;
        so_sound_options options = {0};
        f.n = 0;
        add(&f, kind[i].head, strlen(kind[i].head));
        for (int k = 0; k < 100; k++) {
            unsigned char frame[32] = {(unsigned char)(kind[i].mode << 3 | 4)};
            add(&f, frame, (size_t)kind[i].bytes + 1);
        }
        so_status status = so_audio_decode_with(&got, f.bytes, f.n, &options, &error);
        if (status == SO_ERR_MISSING) {
            fprintf(stderr, "# SKIP: FFmpeg's libraries are absent\n");
            skip();
        }
        CHECK_OK(status, error);
        assert_int_equal(got.rate, kind[i].rate);
        assert_int_equal(got.n, 2 * kind[i].rate);
        so_audio_clear(&got);
    }
}

/* G.722 is bits without any mark: two samples a byte, 8,000 bytes a second. */
static void telephone_prompts_go_by_their_name(void **state)
{
    (void)state;
    static file f;
    so_audio got;
    so_error error;
    so_sound_options options = {.name = "prompts/Hello.G722"};
    f.n = 0;
    for (int i = 0; i < 8000; i++) number(&f, (uint64_t)(i * 37 % 251 | 0x40), 1);
    unsetenv("SO_LIBAV");
    so_status status = so_audio_decode_with(&got, f.bytes, f.n, &options, &error);
    if (status == SO_ERR_MISSING || status == SO_ERR_FORMAT) {
        assert_non_null(strstr(error.text, "FFmpeg"));
        fprintf(stderr, "# SKIP: FFmpeg's libraries are absent\n");
        skip();
    }
    CHECK_OK(status, error);
    assert_int_equal(got.rate, 16000);
    assert_int_equal(got.n, 16000);
    double energy = 0;
    for (int64_t k = 0; k < got.n; k++) energy += fabs((double)got.samples[k]);
    assert_true(energy > 1);
    so_audio_clear(&got);
    for (int i = 0; i < 3; i++) {
        options.name = (const char *[]){NULL, "prompts.g722/hello", "hello.g7222"}[i];
        assert_int_equal(so_audio_decode_with(&got, f.bytes, f.n, &options, &error), SO_ERR_FORMAT);
    }
}

static void without_libraries_the_way_out_is_told(void **state)
{
    (void)state;
    so_error error;
    so_audio got;
    setenv("SO_LIBAV", "none", 1);
    for (int i = 0; i < FOREIGN; i++) {
        so_map map = map_of(foreign[i].name);
        assert_int_equal(so_audio_decode(&got, map.data, map.size, 0, &error), SO_ERR_MISSING);
        assert_non_null(strstr(error.text, "FFmpeg"));
        so_map_close(&map);
    }
    assert_int_equal(so_audio_decode(&got, "nothing of the kind", 19, 0, &error), SO_ERR_FORMAT);
    unsetenv("SO_LIBAV");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lengths_that_lie_are_seen_through),
        cmocka_unit_test(odd_chunks_are_passed),
        cmocka_unit_test(samples_are_no_chunks),
        cmocka_unit_test(lists_that_are_not_there_are_not_read),
        cmocka_unit_test(wide_files_are_read),
        cmocka_unit_test(a_cut_container_says_so),
        cmocka_unit_test(channels_never_cancel),
        cmocka_unit_test(phones_and_browsers_are_read),
        cmocka_unit_test(a_phone_of_old_is_read),
        cmocka_unit_test(telephone_prompts_go_by_their_name),
        cmocka_unit_test(without_libraries_the_way_out_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
