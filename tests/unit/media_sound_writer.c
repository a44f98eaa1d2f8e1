/* media/sound_writer: the form that a name's ending says, into files and down pipes.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <fcntl.h>

#include "media/sound_writer.h"
#include "place.h"

enum { N = 22050, RATE = 22050 };

static char place[64];
static float tone[N];

static int setup(void **state)
{
    (void)state;
    for (int i = 0; i < N; i++) tone[i] = 0.5f * sinf((float)(2 * M_PI * 440 * i / RATE));
    strcpy(place, "/tmp/so-sound-XXXXXX");
    return place_make(place);
}

static int teardown(void **state)
{
    (void)state;
    return place_remove(place);
}

static const char *at(const char *name)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s", place, name);
    return path;
}

/* In pieces, as a voice comes. */
static void write_tone(const char *path)
{
    so_sound_writer w;
    so_error error;
    CHECK_OK(so_sound_writer_open(&w, path, RATE, &error), error);
    for (int i = 0; i < N; i += 441) CHECK_OK(so_sound_writer_put(&w, tone + i, 441, &error), error);
    CHECK_OK(so_sound_writer_put(&w, NULL, 0, &error), error);
    CHECK_OK(so_sound_writer_close(&w, &error), error);
    so_sound_writer_drop(&w);
}

/* As long, as loud and as high as what was written. */
static void expect_tone(const so_audio *a)
{
    double energy = 0;
    int ups = 0;
    for (int64_t i = 1; i < a->n; i++) {
        energy += (double)a->samples[i] * (double)a->samples[i];
        ups += a->samples[i - 1] < 0 && a->samples[i] >= 0;
    }
    assert_true(fabs((double)a->n / a->rate - 1) < 0.11); /* MP3 and Opus begin early and end late */
    assert_true(fabs(sqrt(energy / (double)a->rate) - 0.3536) < 0.03);
    assert_in_range(ups, 432, 452);
}

static void the_ending_chooses(void **state)
{
    (void)state;
    static const struct {
        const char *name, *magic;
    } cases[] = {{"a.wav", "RIFF"}, {"a.WAV", "RIFF"},  {"a.flac", "fLaC"},
                 {"a.ogg", "OggS"}, {"a.Opus", "OggS"}, {"a.mp3", NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        so_audio got;
        so_error error;
        char *data;
        size_t size;
        so_audio_format format;
        if (so_sound_writer_form(cases[i].name, RATE, &format, &error) == SO_ERR_UNSUPPORTED && !cases[i].magic) {
            fprintf(stderr, "# libsndfile has no encoder for MP3 here\n");
            continue;
        }
        write_tone(at(cases[i].name));
        CHECK_OK(so_file_read(at(cases[i].name), 1 << 20, &data, &size, &error), error);
        if (cases[i].magic) assert_memory_equal(data, cases[i].magic, 4);
        free(data);
        CHECK_OK(so_audio_read(&got, at(cases[i].name), 0, &error), error);
        expect_tone(&got);
        so_audio_clear(&got);
    }
}

static void other_endings_are_refused(void **state)
{
    (void)state;
    static const char *const names[] = {"a.m4a", "a.txt", "a", "a.wav.", "dir.wav/a"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        so_sound_writer w;
        so_error error;
        assert_int_equal(so_sound_writer_open(&w, at(names[i]), RATE, &error), SO_ERR_UNSUPPORTED);
        assert_non_null(strstr(error.text, ".flac"));
        so_sound_writer_drop(&w);
        assert_int_not_equal(access(at(names[i]), F_OK), 0);
    }
}

static void a_pipe_gets_wav(void **state)
{
    (void)state;
    int ends[2];
    char path[64];
    static unsigned char bytes[2 * N + 100];
    assert_int_equal(pipe(ends), 0);
    fcntl(ends[1], F_SETPIPE_SZ, 1 << 20);
    snprintf(path, sizeof path, "/dev/fd/%d", ends[1]);
    write_tone(path);
    close(ends[1]);
    size_t n = 0;
    for (ssize_t got; (got = read(ends[0], bytes + n, sizeof bytes - n)) > 0;) n += (size_t)got;
    assert_int_equal(n, SO_WAV_HEADER + 2 * N);
    so_audio got;
    so_error error;
    CHECK_OK(so_audio_decode(&got, bytes, n, 0, &error), error);
    assert_int_equal(got.n, N);
    so_audio_clear(&got);
    /* a file behind a descriptor has its length */
    int fd = open(at("kept"), O_RDWR | O_CREAT, 0666);
    snprintf(path, sizeof path, "/dev/fd/%d", fd);
    write_tone(path);
    assert_int_equal(pread(fd, bytes, SO_WAV_HEADER, 0), SO_WAV_HEADER);
    assert_int_equal(bytes[40] | bytes[41] << 8, 2 * N & 0xffff);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_ending_chooses),
        cmocka_unit_test(other_endings_are_refused),
        cmocka_unit_test(a_pipe_gets_wav),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
