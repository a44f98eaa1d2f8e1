/* Engines for speech synthesis as they come: ones that speak, hang, fail, say nothing or write rubbish. All of them are
 * shell scripts of the test's own, so that nothing has to be installed. SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "dataset/voices/program.h"
#include "dataset/voices/speaker.h"
#include "media/audio.h"

static char folder[64], old_path[4096];

static void write_file(const char *name, const char *text, mode_t mode)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    assert_int_equal(chmod(path, mode), 0);
}

/* A tone of half a second at 16 kHz that the scripts copy. */
static void write_tone(void)
{
    char path[128];
    float x[8000];
    so_error error;
    for (int i = 0; i < 8000; i++) x[i] = 0.3f * (float)(i % 40 < 20 ? 1 : -1);
    snprintf(path, sizeof path, "%s/tone.wav", folder);
    assert_int_equal(so_audio_write(path, SO_AUDIO_WAV_S16, x, 8000, 16000, &error), SO_OK);
}

static int set_up(void **state)
{
    char path[5000];
    (void)state;
    strcpy(folder, "/tmp/so-speaker-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(old_path, sizeof old_path, "%s", getenv("PATH"));
    snprintf(path, sizeof path, "%s:%s", folder, old_path);
    setenv("PATH", path, 1);
    setenv("SO_TEST_FOLDER", folder, 1);
    write_tone();
    return 0;
}
static int tear_down(void **state)
{
    char command[128];
    (void)state;
    setenv("PATH", old_path, 1);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static so_speakers *open_them(const so_speakers_options *options)
{
    so_speakers *s;
    so_error error;
    if (so_speakers_open(&s, options, &error) != SO_OK) fail_msg("%s", error.text);
    return s;
}
static int find(const so_speakers *s, const char *engine, const char *voice)
{
    for (int i = 0; i < so_speakers_count(s); i++)
        if (strcmp(so_speakers_at(s, i)->engine, engine) == 0 && strcmp(so_speakers_at(s, i)->voice, voice) == 0)
            return i;
    return -1;
}

static const char flite[] = "#!/bin/sh\n"
                            "[ \"$1\" = -lv ] && echo 'Voices available: kal awb_time rms slt ' && exit 0\n"
                            "[ \"$2\" = slt ] || { echo \"no voice $2\" >&2; exit 3; }\n"
                            "printf '%s' \"$4\" >\"$SO_TEST_FOLDER/said\"\n"
                            "cp \"$SO_TEST_FOLDER/tone.wav\" \"$6\"\n";

static void voices_are_listed_and_speak(void **state)
{
    (void)state;
    so_error error;
    float *x;
    int64_t n, asked, failed;
    char said[64] = "", path[128];
    write_file("flite", flite, 0755);
    so_speakers *s = open_them(&(so_speakers_options){.engines = "flite"});
    assert_int_equal(so_speakers_count(s), 3);
    assert_int_equal(find(s, "flite", "awb_time"), -1);
    assert_true(so_speakers_at(s, find(s, "flite", "rms"))->reserved);
    int slt = find(s, "flite", "slt"), kal = find(s, "flite", "kal");
    assert_false(so_speakers_at(s, slt)->reserved);
    /* Words go through no shell; the rate becomes that of all. */
    assert_int_equal(so_speakers_speak(s, slt, "It's $HOME; \"x\" `y`", 1, &x, &n, &error), SO_OK);
    assert_in_range(n, SO_SPEAKER_RATE / 2 - 20, SO_SPEAKER_RATE / 2 + 20);
    free(x);
    snprintf(path, sizeof path, "%s/said", folder);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_non_null(fgets(said, sizeof said, f));
    fclose(f);
    assert_string_equal(said, "It's $HOME; \"x\" `y`");
    /* One that fails is asked twice, and named. */
    assert_int_equal(so_speakers_speak(s, kal, "Hi", 1, &x, &n, &error), SO_ERR_STATE);
    assert_null(x);
    assert_non_null(strstr(error.text, "flite voice 'kal'"));
    assert_non_null(strstr(error.text, "no voice kal"));
    so_speakers_counts(s, kal, &asked, &failed);
    assert_int_equal(asked, 1);
    assert_int_equal(failed, 1);
    assert_int_equal(so_speakers_speak(s, slt, "  ", 1, &x, &n, &error), SO_ERR_ARG);
    so_speakers_close(&s);
    assert_null(s);
}

static void commands_of_every_kind(void **state)
{
    static const struct {
        const char *name, *script;
        double seconds;
        so_status status;
        const char *told;
    } cases[] = {{"fine", "cp \"$SO_TEST_FOLDER/tone.wav\" \"$3\"", 0, SO_OK, ""},
                 {"hangs", "sleep 30", 0.3, SO_ERR_LIMIT, "longer than"},
                 {"mute", "exit 0", 0, SO_ERR_FORMAT, ""},
                 {"rubbish", "echo no sound >\"$3\"", 0, SO_ERR_FORMAT, ""},
                 {"crashes", "kill -SEGV $$", 0, SO_ERR_STATE, "signal 11"},
                 {"removes", "rm -f \"$3\"", 0, SO_ERR_FORMAT, "wrote no sound"},
                 {"chatters", "yes | head -c 300000; cp \"$SO_TEST_FOLDER/tone.wav\" \"$3\"", 0, SO_OK, ""},
                 {"once",
                  "[ -e \"$SO_TEST_FOLDER/tried\" ] || { : >\"$SO_TEST_FOLDER/tried\"; exit 1; }; cp "
                  "\"$SO_TEST_FOLDER/tone.wav\" \"$3\"",
                  0, SO_OK, ""}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char script[512], command[128];
        so_error error = {0};
        float *x;
        int64_t n;
        snprintf(script, sizeof script, "#!/bin/sh\n%s\n", cases[i].script);
        write_file(cases[i].name, script, 0755);
        snprintf(command, sizeof command, "%s {voice} '{text}' {wav}", cases[i].name);
        so_speakers *s = open_them(&(so_speakers_options){
            .engines = "command", .command = command, .voices = "ann,bob", .seconds = cases[i].seconds});
        assert_int_equal(so_speakers_count(s), 2);
        so_status status = so_speakers_speak(s, 1, "Some words.", 5, &x, &n, &error);
        if (status != cases[i].status) fail_msg("%s: %d, %s", cases[i].name, status, error.text);
        if (status != SO_OK) assert_non_null(strstr(error.text, cases[i].told));
        if (status != SO_OK) assert_non_null(strstr(error.text, "command voice 'bob'"));
        free(x);
        so_speakers_close(&s);
    }
}

static void what_cannot_be_asked_is_refused(void **state)
{
    (void)state;
    so_speakers *s;
    so_error error;
    assert_int_equal(so_speakers_open(&s, &(so_speakers_options){.engines = "flight"}, &error), SO_ERR_ARG);
    assert_non_null(strstr(error.text, "'flight'"));
    assert_int_equal(
        so_speakers_open(&s, &(so_speakers_options){.engines = "command", .command = "say {text}"}, &error),
        SO_ERR_ARG);
    assert_int_equal(
        so_speakers_open(&s, &(so_speakers_options){.engines = "endpoint", .endpoint = "http://127.0.0.1:1/v1"},
                         &error),
        SO_ERR_IO);
    assert_null(s);
    setenv("PATH", folder, 1);
    assert_int_equal(so_speakers_open(&s, &(so_speakers_options){.engines = "festival"}, &error), SO_ERR_MISSING);
    assert_non_null(strstr(error.text, "festvox"));
    const char *package;
    s = open_them(NULL);
    bool told = false;
    for (int i = 0; so_speakers_absent(s, i, &package); i++)
        told = told || strcmp(so_speakers_absent(s, i, &package), "festival") == 0;
    assert_true(told);
    so_speakers_close(&s);
}

/* festival as it is used: a list of voices, a script on standard input, text2wave for one text. It cannot say what has
 * "mute" in it; asked for many, it dies of "death" on the way. */
static const char festival[] =
    "#!/bin/sh\n"
    "[ \"$1\" = --pipe ] || { echo '(one two)'; exit; }\n"
    "echo start >>\"$SO_TEST_FOLDER/starts\"\n"
    "sed -n 's/.*Text \"\\(.*\\)\")) \"\\(.*\\)\" .*/\\2 \\1/p' | while read file words; do\n"
    "case \"$words\" in *mute*) ;; *death*) head -c 100 \"$SO_TEST_FOLDER/tone.wav\" >\"$file\"; kill -9 $$;;\n"
    "*) cp \"$SO_TEST_FOLDER/tone.wav\" \"$file\";; esac; done\n";
static const char text2wave[] = "#!/bin/sh\n"
                                "read words\n"
                                "case \"$words\" in *mute*) exit 1;; esac\n"
                                "cp \"$SO_TEST_FOLDER/tone.wav\" \"$4\"\n";

static void many_are_spoken_by_one_process(void **state)
{
    enum { N = 60 };
    const char *text[N];
    uint64_t seed[N] = {0};
    float *samples[N];
    int64_t counts[N], asked, failed, starts = 0;
    char path[128], line[64];
    so_error error;
    (void)state;
    write_file("festival", festival, 0755);
    write_file("text2wave", text2wave, 0755);
    so_speakers *s = open_them(&(so_speakers_options){.engines = "festival"});
    int two = find(s, "festival", "two");
    assert_true(two >= 0);
    for (int k = 0; k < N; k++) text[k] = k == 7 ? "mute \"quoted\"" : "Hello.";
    assert_int_equal(so_speakers_speak_many(s, two, N, text, seed, samples, counts, &error), SO_ERR_STATE);
    for (int k = 0; k < N; k++) {
        assert_true((samples[k] != NULL) == (k != 7));
        assert_true(k == 7 ? counts[k] == 0 : counts[k] > 11000);
        free(samples[k]);
    }
    so_speakers_counts(s, two, &asked, &failed);
    assert_int_equal(asked, N);
    assert_int_equal(failed, 1);
    snprintf(path, sizeof path, "%s/starts", folder);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) starts++;
    fclose(f);
    assert_int_equal(starts, 2);

    /* What a process that died had not finished is said again. */
    for (int k = 0; k < 4; k++) text[k] = k == 2 ? "death" : "Hello.";
    assert_int_equal(so_speakers_speak_many(s, two, 4, text, seed, samples, counts, &error), SO_OK);
    for (int k = 0; k < 4; k++) {
        assert_true(counts[k] > 11000);
        free(samples[k]);
    }
    so_speakers_close(&s);
}

static void lines_are_split_without_a_shell(void **state)
{
    (void)state;
    char room[128];
    const char *words[SO_PROGRAM_WORDS];
    so_error error;
    assert_int_equal(so_program_split(" a 'b c'  \"d \\\" e\"f g\\ h '' ", room, sizeof room, words, &error), SO_OK);
    static const char *const expected[] = {"a", "b c", "d \" ef", "g h", ""};
    for (int i = 0; i < 5; i++) assert_string_equal(words[i], expected[i]);
    assert_null(words[5]);
    assert_int_equal(so_program_split("a 'b", room, sizeof room, words, &error), SO_ERR_FORMAT);
    assert_int_equal(so_program_split("  ", room, sizeof room, words, &error), SO_ERR_ARG);
    assert_int_equal(so_program_split("abcdefgh", room, 5, words, &error), SO_ERR_LIMIT);
}

static void a_program_is_stopped_with_its_children(void **state)
{
    (void)state;
    static const volatile sig_atomic_t stop = 1;
    char output[8];
    so_error error;
    write_file("parent", "#!/bin/sh\nsleep 60 &\nwait\n", 0755);
    const char *const argv[] = {"parent", NULL};
    so_program program = {.argv = argv, .stop = &stop};
    assert_int_equal(so_program_run(&program, &error), SO_ERR_STOPPED);
    const char *const echo[] = {"cat", NULL};
    program = (so_program){.argv = echo, .input = "0123456789", .output = output, .size = sizeof output};
    assert_int_equal(so_program_run(&program, &error), SO_OK);
    assert_string_equal(output, "0123456");
    const char *const none[] = {"so-no-such-program", NULL};
    program = (so_program){.argv = none};
    assert_int_equal(so_program_run(&program, &error), SO_ERR_MISSING);
    /* One that does not read: its input may be longer than a pipe. */
    char *much = malloc(200001);
    memset(much, 'x', 200000);
    much[200000] = 0;
    const char *const deaf[] = {"true", NULL};
    program = (so_program){.argv = deaf, .input = much};
    assert_int_equal(so_program_run(&program, &error), SO_OK);
    free(much);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(voices_are_listed_and_speak, set_up, tear_down),
        cmocka_unit_test_setup_teardown(commands_of_every_kind, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_cannot_be_asked_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_are_spoken_by_one_process, set_up, tear_down),
        cmocka_unit_test(lines_are_split_without_a_shell),
        cmocka_unit_test_setup_teardown(a_program_is_stopped_with_its_children, set_up, tear_down)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
