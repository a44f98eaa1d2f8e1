/* Conversations through the public header against the reference's answers.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <jansson.h>
#include <stdbool.h>

#include "media/image.h"
#include "so.h"

#define TINY "reference/stream-omni-tiny/"

static json_t *golden;
static so_model *model;

static int open_model(void **state)
{
    (void)state;
    char folder[4096], tokenizer[4096], codec[4096];
    so_error error;
    if (!check_has_shared(TINY "golden.json")) return 0; /* each test skips */
    golden = json_load_file(check_shared(TINY "golden.json"), 0, NULL);
    snprintf(folder, sizeof folder, "%s", check_shared(TINY "model"));
    snprintf(tokenizer, sizeof tokenizer, "%s", check_shared("reference/llama3-tokenizer"));
    snprintf(codec, sizeof codec, "%s", check_shared("reference/cosyvoice-tiny"));
    so_model_options options = {.threads = 1, .context = 2048, .tokenizer = tokenizer, .codec = codec};
    CHECK_OK(so_model_open(&model, folder, &options, &error), error);
    return 0;
}

static int close_model(void **state)
{
    (void)state;
    so_model_close(&model);
    json_decref(golden);
    return 0;
}

static const json_t *case_of(const char *name)
{
    size_t i;
    json_t *c;
    json_array_foreach(json_object_get(golden, "cases"), i,
                       c) if (strcmp(json_string_value(json_object_get(c, "name")), name) == 0) return c;
    fail_msg("no case %s", name);
    return NULL;
}

typedef struct told {
    char text[4096], heard[4096];
    int32_t unit[512];
    size_t units, samples;
    int heard_events, heard_final;
    float *pcm;
    so_usage usage;
} told;

static void listen_to(so_session *s, told *t, size_t stop_after)
{
    so_event e;
    so_error error;
    int steps = 0;
    do {
        CHECK_OK(so_next(s, &e, &error), error);
        if (e.kind == SO_EVENT_TEXT) strcat(t->text, e.text);
        if (e.kind == SO_EVENT_HEARD) {
            snprintf(t->heard, sizeof t->heard, "%s", e.text);
            t->heard_events++;
            t->heard_final = e.final;
        }
        for (size_t i = 0; e.kind == SO_EVENT_UNITS && i < e.n_units; i++) t->unit[t->units++] = e.units[i];
        if (e.kind == SO_EVENT_VOICE) {
            assert_true(e.text_end >= e.text_begin);
            t->pcm = realloc(t->pcm, (t->samples + e.samples) * sizeof *t->pcm);
            memcpy(t->pcm + t->samples, e.pcm, e.samples * sizeof *t->pcm);
            t->samples += e.samples;
        }
        if (stop_after && t->units >= stop_after) so_session_stop(s);
        assert_true(++steps < 5000);
    } while (e.kind != SO_EVENT_DONE);
    t->usage = e.usage;
}

static void feed_case(so_session *s, const json_t *c)
{
    so_error error;
    const char *picture = json_string_value(json_object_get(c, "image"));
    if (picture) {
        so_image image;
        char path[128];
        snprintf(path, sizeof path, "inputs/decoded/%.*s.ppm", (int)strcspn(picture, "."), picture);
        CHECK_OK(so_image_read(&image, check_shared(path), 0, &error), error);
        CHECK_OK(so_feed_image(s, image.rgb, image.w, image.h, &error), error);
        so_image_clear(&image);
    }
    const json_t *units = json_object_get(c, "input_units");
    int32_t id[512];
    size_t n = json_array_size(units);
    for (size_t i = 0; i < n; i++) id[i] = (int32_t)json_integer_value(json_array_get(units, i));
    /* In uneven pieces. */
    for (size_t at = 0, step = 1; at < n; at += step, step = step * 2 % 7 + 1)
        CHECK_OK(so_feed_units(s, id + at, n - at < step ? n - at : step, &error), error);
    const char *user = json_string_value(json_object_get(c, "user"));
    if (!n) CHECK_OK(so_feed_text(s, strncmp(user, "<image>\n", 8) ? user : user + 8, &error), error);
}

static void expect_case(const char *name, const told *t)
{
    const json_t *c = case_of(name);
    if (strcmp(t->text, json_string_value(json_object_get(c, "llm_text"))) != 0)
        fail_msg("%s: text \"%s\", expected \"%s\"", name, t->text, json_string_value(json_object_get(c, "llm_text")));
    const char *heard = json_string_value(json_object_get(c, "asr_text"));
    if (heard) {
        assert_string_equal(t->heard, heard);
        assert_true(t->heard_final);
    }
    const json_t *units = json_object_get(c, "units");
    if (!units) return;
    assert_int_equal(t->units, json_array_size(units));
    for (size_t i = 0; i < t->units; i++) assert_int_equal(t->unit[i], json_integer_value(json_array_get(units, i)));
}

static void six_combinations(void **state)
{
    check_shared(TINY "golden.json");
    (void)state;
    static const char *const names[] = {"t2t",   "t2t_image", "s2t",       "s2t_image", "s2s",      "s2s_2",
                                        "s2s_3", "s2s_4",     "s2s_image", "t2s",       "t2s_image"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const json_t *c = case_of(names[i]);
        const char *mode = json_string_value(json_object_get(c, "inference_type"));
        int most = (int)json_integer_value(json_object_get(c, "max_new_tokens"));
        bool voice = strstr(mode, "_to_speech");
        so_session_options options = {.max_units = voice ? most : 0, .max_text = voice ? 0 : most};
        so_session *s;
        so_error error;
        CHECK_OK(so_session_open(&s, model, &options, &error), error);
        for (int round = 0; round < 2; round++) { /* and once more after a clear */
            told t = {0};
            feed_case(s, c);
            CHECK_OK(so_reply(s, voice ? SO_WANT_TEXT | SO_WANT_UNITS : SO_WANT_TEXT, &error), error);
            listen_to(s, &t, 0);
            expect_case(names[i], &t);
            CHECK_OK(so_session_clear(s, &error), error);
        }
        so_session_close(&s);
    }
}

/* What a session kept from the turns before is what it would compute anew. */
static void turns_build_on_turns(void **state)
{
    check_shared(TINY "golden.json");
    (void)state;
    so_session *s, *fresh;
    so_error error;
    so_session_options options = {.max_units = 40, .max_text = 20};
    CHECK_OK(so_session_open(&s, model, &options, &error), error);
    CHECK_OK(so_session_open(&fresh, model, &options, &error), error);
    const char *cases[] = {"s2s", "t2t", "s2s_2"};
    told first[3] = {0}, second = {0};
    for (int i = 0; i < 3; i++) {
        feed_case(s, case_of(cases[i]));
        CHECK_OK(so_reply(s, i == 1 ? SO_WANT_TEXT : SO_WANT_TEXT | SO_WANT_UNITS, &error), error);
        listen_to(s, &first[i], 0);
        assert_true(first[i].usage.prompt_positions > (i ? first[i - 1].usage.prompt_positions : 0));
    }
    assert_true(first[2].text[0]);
    /* Stopping, cutting to nothing, and asking again gives the same answer again. */
    feed_case(s, case_of("s2s"));
    CHECK_OK(so_reply(s, SO_WANT_UNITS, &error), error);
    listen_to(s, &second, 5);
    assert_int_equal(second.usage.stopped, 1);
    assert_true(second.units >= 5 && second.units <= 6);
    CHECK_OK(so_session_heard(s, 0.04, &error), error);
    so_session_close(&fresh);
    so_session_close(&s);
    for (int i = 0; i < 3; i++) free(first[i].pcm);
}

static void wrong_calls_are_refused(void **state)
{
    check_shared(TINY "golden.json");
    (void)state;
    so_session *s;
    so_error error;
    so_event e;
    int32_t unit = 4096;
    uint8_t rgb[3] = {0};
    CHECK_OK(so_session_open(&s, model, NULL, &error), error);
    assert_int_equal(so_reply(s, SO_WANT_TEXT, &error), SO_ERR_STATE);
    CHECK_OK(so_next(s, &e, &error), error);
    assert_int_equal(e.kind, SO_EVENT_NONE);
    assert_int_equal(so_feed_units(s, &unit, 1, &error), SO_ERR_ARG);
    assert_int_equal(so_feed_image(s, rgb, 0, 1, &error), SO_ERR_ARG);
    assert_int_equal(so_session_heard(s, 1, &error), SO_ERR_STATE);
    CHECK_OK(so_feed_text(s, "Hello.", &error), error);
    assert_int_equal(so_reply(s, 0, &error), SO_ERR_ARG);
    CHECK_OK(so_reply(s, SO_WANT_TEXT, &error), error);
    assert_int_equal(so_feed_text(s, "More.", &error), SO_ERR_STATE);
    so_session_close(&s);
}

static float *noise(size_t n)
{
    float *x = malloc(n * sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = 0.3f * sinf((float)i * 0.05f) * sinf((float)i * 0.0003f + (float)(i % 97) * 0.01f);
    return x;
}

/* Audio in pieces of any size gives the units of the whole. */
static void audio_in_pieces(void **state)
{
    check_shared(TINY "golden.json");
    (void)state;
    so_session *s;
    so_error error;
    size_t n = 3 * 22050, count, at = 0;
    float *x = noise(n);
    int32_t whole[512];
    CHECK_OK(so_tokenize_speech(model, x, n, 22050, whole, 512, &count, &error), error);
    assert_int_equal(count, 75);
    CHECK_OK(so_session_open(&s, model, &(so_session_options){.max_units = 30, .max_text = 30}, &error), error);
    for (size_t step = 1; at < n; at += step, step = step * 3 % 5001 + 1)
        CHECK_OK(so_feed_audio(s, x + at, n - at < step ? n - at : step, 22050, &error), error);
    assert_int_equal(so_feed_audio(s, x, 1, 16000, &error), SO_ERR_ARG);
    told heard = {0}, units = {0};
    CHECK_OK(so_reply(s, SO_WANT_TEXT | SO_WANT_UNITS, &error), error);
    listen_to(s, &heard, 0);
    assert_true(heard.heard_events >= 1 && heard.heard_final);
    CHECK_OK(so_session_clear(s, &error), error);
    CHECK_OK(so_feed_units(s, whole, count, &error), error);
    CHECK_OK(so_reply(s, SO_WANT_TEXT | SO_WANT_UNITS, &error), error);
    listen_to(s, &units, 0);
    assert_string_equal(heard.text, units.text);
    assert_string_equal(heard.heard, units.heard);
    assert_int_equal(heard.units, units.units);
    assert_memory_equal(heard.unit, units.unit, units.units * sizeof *units.unit);
    fprintf(stderr, "# %d words withdrawn while listening\n", heard.usage.revised);
    so_session_close(&s);
    free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(six_combinations),
        cmocka_unit_test(turns_build_on_turns),
        cmocka_unit_test(wrong_calls_are_refused),
        cmocka_unit_test(audio_in_pieces),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
