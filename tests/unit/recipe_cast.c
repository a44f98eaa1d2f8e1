/* Who speaks in the recipe's corpus when engines are missing, fail, hang or write rubbish; and what the ears are given.
 * Commands are shell scripts of the test's own; espeak-ng is the only engine that must be there.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "check.h"

#include <sys/stat.h>
#include <unistd.h>

#include "media/audio.h"
#include "recipes/tabletop/part_cast.h"
#include "recipes/tabletop/part_speak.h"

static char folder[64], old_path[4096], told[8192];

static void note(void *context, const char *line)
{
    (void)context;
    size_t used = strlen(told);
    snprintf(told + used, sizeof told - used, "%s\n", line);
}

static void write_script(const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    assert_int_equal(chmod(path, 0755), 0);
}

/* Says a tone, but nothing with "fail", rubbish for "rubbish", and never ends for "hang". */
static const char speaker[] = "#!/bin/sh\n"
                              "case \"$1\" in\n"
                              "*fail*) echo 'no breath' >&2; exit 1;;\n"
                              "*rubbish*) echo rubbish >\"$2\";;\n"
                              "*hang*) sleep 100;;\n"
                              "*) cp \"$SO_TEST_FOLDER/tone.wav\" \"$2\";;\n"
                              "esac\n";

static int set_up(void **state)
{
    char path[128];
    float x[8000];
    so_error error;
    (void)state;
    strcpy(folder, "/tmp/so-cast-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(old_path, sizeof old_path, "%s", getenv("PATH"));
    setenv("SO_TEST_FOLDER", folder, 1);
    for (int i = 0; i < 8000; i++) x[i] = 0.3f * (float)(i % 40 < 20 ? 1 : -1);
    snprintf(path, sizeof path, "%s/tone.wav", folder);
    if (so_audio_write(path, SO_AUDIO_WAV_S16, x, 8000, 16000, &error) != SO_OK) return -1;
    write_script("speaker", speaker);
    /* flite and festival are there, and broken. */
    write_script("flite", "#!/bin/sh\nexit 3\n");
    write_script("festival", "#!/bin/sh\nexit 3\n");
    char search[5000];
    snprintf(search, sizeof search, "%s:%s", folder, old_path);
    setenv("PATH", search, 1);
    told[0] = 0;
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

static so_tt make_tt(char line[128])
{
    snprintf(line, 128, "%s/speaker {text} {wav}", folder);
    return (so_tt){.folder = folder, .seed = 1, .say = note, .casting = {.command = line, .seconds = 120}};
}

static so_tt_cast *open_cast(const so_tt *tt)
{
    so_tt_cast *cast;
    so_error error;
    if (so_tt_cast_open(&cast, tt, &error) != SO_OK) fail_msg("%s", error.text);
    return cast;
}

static int command_of(const so_tt_cast *cast)
{
    for (int i = 0; i < so_speakers_count(cast->speakers); i++)
        if (strcmp(so_speakers_at(cast->speakers, i)->engine, "command") == 0) return i;
    fail_msg("no command among the speakers");
    return -1;
}

static void engines_that_are_missing_are_told(void **state)
{
    char line[128];
    (void)state;
    so_tt tt = make_tt(line);
    so_tt_cast *cast = open_cast(&tt);
    assert_non_null(strstr(told, "no flite here"));
    assert_non_null(strstr(told, "no festival here"));
    assert_non_null(strstr(told, "the model speaks as espeak-ng does"));
    assert_int_equal(cast->own, -1);
    /* All shares are taken by those that are there, none by a reserved one. */
    int asked[2] = {0};
    for (int i = 0; i < 400; i++) {
        const so_speaker *s = so_speakers_at(cast->speakers, so_tt_cast_draw(cast, &tt, SO_TABLETOP_TRAIN, i));
        assert_false(s->reserved);
        asked[strcmp(s->engine, "command") == 0]++;
        assert_true(so_speakers_at(cast->speakers, so_tt_cast_draw(cast, &tt, SO_TABLETOP_RESERVED, i))->reserved);
    }
    assert_true(asked[0] > 200 && asked[1] > 40);
    so_tt_cast_close(&cast);

    so_error error;
    tt.casting.own = "flite/slt";
    assert_int_equal(so_tt_cast_open(&cast, &tt, &error), SO_ERR_MISSING);
    assert_non_null(strstr(error.text, "flite/slt"));
}

/* Has the command say some lines; those that are marked with a 1 are spoken by another. */
static void say_lines(double seconds, int n, const char *const *text, const char *other)
{
    char line[128], name[48];
    const uint64_t seed[5] = {1, 2, 3, 4, 5};
    so_tt_said said[5];
    so_error error;
    int64_t asked, failed, others = 0;
    so_tt tt = make_tt(line);
    tt.casting.seconds = seconds;
    so_tt_cast *cast = open_cast(&tt);
    int command = command_of(cast);
    assert_int_equal(
        so_tt_cast_speak(cast, &tt, &(so_tt_lines){SO_TABLETOP_TRAIN, command, n, text, seed}, said, &error), SO_OK);
    for (int k = 0; k < n; k++) {
        assert_true(said[k].n > 1000);
        so_tt_cast_name(cast, said[k].speaker, name);
        assert_string_equal(name, other[k] == '1' ? "espeak-ng/invented" : "command");
        others += other[k] == '1';
        free(said[k].samples);
    }
    so_speakers_counts(cast->speakers, command, &asked, &failed);
    assert_int_equal(asked, n);
    assert_int_equal(failed, others);
    assert_false(cast->given_up[command]);
    so_tt_cast_close(&cast);
}

static void what_fails_is_spoken_by_another(void **state)
{
    const char *const text[] = {"One.", "This will fail.", "This is rubbish.", "Two."}, *const hangs[] = {
                                                                                            "This will hang."};
    (void)state;
    say_lines(120, 4, text, "0110");
    assert_non_null(strstr(told, "This will fail."));
    assert_non_null(strstr(told, "no breath"));
    say_lines(0.3, 1, hangs, "1"); /* apart: on a busy machine the others take as long */
    assert_non_null(strstr(told, "This will hang."));
}

static void who_fails_again_and_again_is_given_up(void **state)
{
    enum { TEXTS = 20 };
    char line[128];
    const char *text[TEXTS];
    uint64_t seed[TEXTS] = {0};
    so_tt_said said[TEXTS];
    so_error error;
    (void)state;
    for (int k = 0; k < TEXTS; k++) text[k] = "fail";
    so_tt tt = make_tt(line);
    so_tt_cast *cast = open_cast(&tt);
    int command = command_of(cast);
    int64_t asked, failed;
    assert_int_equal(
        so_tt_cast_speak(cast, &tt, &(so_tt_lines){SO_TABLETOP_RESERVED, command, TEXTS, text, seed}, said, &error),
        SO_OK);
    for (int k = 0; k < TEXTS; k++) {
        assert_true(so_speakers_at(cast->speakers, said[k].speaker)->reserved);
        free(said[k].samples);
    }
    so_speakers_counts(cast->speakers, command, &asked, &failed);
    assert_true(cast->given_up[command]);
    assert_true(asked < TEXTS);
    assert_non_null(strstr(told, "is asked no more"));
    so_tt_cast_close(&cast);
}

/* Questions that lie in a folder: those of training and those for measuring are kept apart. */
static void recordings_are_taken(void **state)
{
    char path[256], both[256], line[128];
    so_error error;
    (void)state;
    for (int part = 0; part < 2; part++) {
        snprintf(path, sizeof path, "%s/%s", folder, part ? "reserved" : "train");
        assert_int_equal(mkdir(path, 0755), 0);
        snprintf(path, sizeof path, "%s/tabletop.json", part ? "reserved" : "train");
        write_script(path, part ? "{\"part\":\"reserved\"}" : "{\"part\":\"train\"}");
        snprintf(path, sizeof path, "%s/spoken.jsonl", part ? "reserved" : "train");
        write_script(
            path, part ? "{\"id\":\"a\",\"kind\":\"thing\",\"question\":\"What color is snow?\",\"answer\":\"Snow is "
                         "white.\",\"speech\":\"../tone.wav\",\"voice\":{\"accent\":\"jm_kumo\"}}\n"
                       : "{\"id\":\"a\",\"kind\":\"thing\",\"question\":\"What color is grass?\",\"answer\":\"Grass is "
                         "green.\",\"speech\":\"../tone.wav\"}\n");
    }
    so_tt tt = make_tt(line);
    snprintf(both, sizeof both, "%s/train,%s/reserved", folder, folder);
    tt.casting.recordings = both;
    so_tt_cast *cast = open_cast(&tt);
    assert_int_equal(cast->recordings[SO_TABLETOP_TRAIN], 1);
    assert_int_equal(cast->recordings[SO_TABLETOP_RESERVED], 1);
    assert_string_equal(cast->recording[1]->speaker, "recorded/jm_kumo");
    so_tt_script script;
    assert_int_equal(so_tt_script_open(&script, &tt, cast, 10, 6, &error), SO_OK);
    assert_int_equal(script.items, 10 + SO_TT_COPIES + 6 + SO_TT_HELD_OUT);
    assert_string_equal(script.item[10].question, "What color is grass?");
    assert_string_equal(script.item[10 + SO_TT_COPIES + 6].question, "What color is snow?");
    assert_true(script.answers < script.items); /* what is answered twice is spoken once */
    for (int64_t i = 0; i < script.items; i++) {
        bool beyond = i >= 10 + SO_TT_COPIES && i < 10 + SO_TT_COPIES + 6;
        assert_int_equal(script.item[i].beyond, beyond);
        assert_string_equal(script.answer_text[script.answer[i]], script.item[i].answer);
    }
    so_tt_script_close(&script);
    so_tt_cast_close(&cast);
    tt.casting.recordings = folder;
    assert_int_not_equal(so_tt_cast_open(&cast, &tt, &error), SO_OK);
}

/* Silence around speech is gone, and the same numbers give the same features. */
static void ears_get_what_they_will_get(void **state)
{
    enum { N = 64000 };
    float *x = calloc(N, sizeof *x), *mel[3];
    int64_t frames[3];
    so_tt tt = {.seed = 1};
    so_error error;
    (void)state;
    assert_non_null(x);
    for (int i = 24000; i < 40000; i++) x[i] = 0.3f * (float)sin(i * 0.05) * (float)fabs(sin(i * 0.002));
    assert_int_equal(so_mel_open(&tt.whisper, SO_MEL_WHISPER, &error), SO_OK);
    assert_int_equal(so_tt_hear(&tt, x, N, NULL, 0, &mel[0], &frames[0], &error), SO_OK);
    assert_in_range(frames[0], 95, 200); /* a second of four */
    for (int k = 1; k < 3; k++) {
        so_rng rng;
        so_rng_init(&rng, 7, 7);
        assert_int_equal(so_tt_hear(&tt, x, N, &rng, 1, &mel[k], &frames[k], &error), SO_OK);
    }
    assert_int_equal(frames[1], frames[2]);
    assert_memory_equal(mel[1], mel[2], (size_t)frames[1] * 128 * sizeof(float));
    for (int k = 0; k < 3; k++) free(mel[k]);
    so_mel_close(&tt.whisper);
    free(x);
}

/* By how many frames mel[0] lags behind mel[1]: where their loudness goes best together. */
static int64_t lag_of(float *const mel[2], int64_t frames)
{
    int64_t best = 0;
    double most = -1e30;
    for (int64_t lag = -8; lag <= 8; lag++) {
        double sum[5] = {0}, n = 0;
        for (int64_t t = 8; t + 8 < frames; t++) {
            double v[2] = {0};
            for (int k = 0; k < 2; k++)
                for (int b = 0; b < 128; b++) v[k] += (double)mel[k][(t + (k ? 0 : lag)) * 128 + b];
            sum[0] += v[0], sum[1] += v[1], sum[2] += v[0] * v[0], sum[3] += v[1] * v[1], sum[4] += v[0] * v[1];
            n++;
        }
        double alike = (n * sum[4] - sum[0] * sum[1]) /
                       sqrt((n * sum[2] - sum[0] * sum[0] + 1e-9) * (n * sum[3] - sum[1] * sum[1] + 1e-9));
        if (alike > most) most = alike, best = lag;
    }
    return best;
}

/* What comes from elsewhere stands frame for frame beside what was said; the same numbers give the same features. */
static void sounds_are_heard_twice(void **state)
{
    enum { N = 40000, DRAWS = 40 };
    float *x = calloc(N, sizeof *x);
    so_tt tt = {.seed = 1};
    so_error error;
    int apart = 0, disturbed = 0;
    (void)state;
    assert_non_null(x);
    for (int i = 8000; i < 32000; i++)
        x[i] = 0.3f * (float)(sin(i * 0.05) + sin(i * 0.31)) * (float)pow(sin(i * 0.0021), 4);
    assert_int_equal(so_mel_open(&tt.whisper, SO_MEL_WHISPER, &error), SO_OK);
    for (uint64_t draw = 0; draw < DRAWS; draw++) {
        float *mel[2][2];
        int64_t frames[2];
        for (int again = 0; again < 2; again++) {
            so_rng rng;
            so_rng_init(&rng, draw, 7);
            assert_int_equal(so_tt_hear_twice(&tt, x, N, &rng, mel[again], &frames[again], &error), SO_OK);
        }
        assert_int_equal(frames[0], frames[1]);
        assert_in_range(frames[0], 100, 700);
        for (int k = 0; k < 2; k++) assert_memory_equal(mel[0][k], mel[1][k], (size_t)frames[0] * 128 * sizeof(float));
        disturbed += memcmp(mel[0][0], mel[0][1], (size_t)frames[0] * 128 * sizeof(float)) != 0;
        int64_t lag = lag_of(mel[0], frames[0]);
        apart += lag < -1 || lag > 1;
        for (int k = 0; k < 4; k++) free(mel[k / 2][k % 2]);
    }
    assert_in_range(disturbed, DRAWS / 2, DRAWS - 1); /* now and then nothing disturbs */
    assert_in_range(apart, 0, DRAWS / 10);            /* rooms and noise hide where a sound begins */
    so_mel_close(&tt.whisper);
    free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(engines_that_are_missing_are_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_fails_is_spoken_by_another, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_fails_again_and_again_is_given_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(recordings_are_taken, set_up, tear_down),
        cmocka_unit_test(ears_get_what_they_will_get),
        cmocka_unit_test(sounds_are_heard_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
