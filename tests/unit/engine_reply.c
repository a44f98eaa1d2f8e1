/* What one reply may be asked for: seeds, limits, what is remembered, why it ended, what it took in.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "toy.h"

static char folder[] = TOY_FOLDER;
static so_model *model;

static int open_model(void **state) { return (void)state, toy_open(&model, folder, 1, 1024); }
static int close_model(void **state) { return (void)state, toy_close(&model, folder); }

typedef struct told {
    char text[8192];
    int32_t unit[1024];
    size_t units;
    so_usage usage;
} told;

static so_session *open_session(const so_session_options *options)
{
    so_session *s;
    so_error error;
    CHECK_OK(so_session_open(&s, model, options, &error), error);
    return s;
}

static void collect(so_session *s, told *t)
{
    so_event e = {0};
    so_error error;
    *t = (told){0};
    while (e.kind != SO_EVENT_DONE) {
        CHECK_OK(so_next(s, &e, &error), error);
        if (e.kind == SO_EVENT_TEXT) strcat(t->text, e.text);
        for (size_t i = 0; e.kind == SO_EVENT_UNITS && i < e.n_units; i++) t->unit[t->units++] = e.units[i];
    }
    t->usage = e.usage;
}

static void ask(so_session *s, const char *words, unsigned want, const so_reply_options *options, told *t)
{
    so_error error;
    if (words) CHECK_OK(so_feed_text(s, words, &error), error);
    CHECK_OK(so_reply_with(s, want, options, &error), error);
    collect(s, t);
}

/* The same seed gives the same answer again, in words and in units, in the same session; another one another. */
static void a_seed_is_the_answer(void **state)
{
    (void)state;
    for (int voice = 0; voice < 2; voice++) {
        told a, b, c;
        so_session *s = open_session(NULL);
        so_reply_options o = {
            .temperature = 1.5, .top_p = 0.98, .top_k = 200, .seed = 7, .max_text = 40, .max_units = 60, .forget = 1};
        unsigned want = voice ? SO_WANT_TEXT | SO_WANT_UNITS : SO_WANT_TEXT;
        ask(s, "where is the cat?", want, &o, &a);
        o.seed = 8;
        ask(s, NULL, want, &o, &b);
        o.seed = 7;
        ask(s, NULL, want, &o, &c);
        if (voice) {
            assert_int_equal(a.units, c.units);
            assert_memory_equal(a.unit, c.unit, a.units * sizeof *a.unit);
            assert_true(a.units != b.units || memcmp(a.unit, b.unit, a.units * sizeof *a.unit) != 0);
        } else {
            assert_string_equal(a.text, c.text);
            assert_string_not_equal(a.text, b.text);
        }
        so_session_close(&s);
    }
}

/* Options of one reply are gone with it. */
static void options_do_not_stay(void **state)
{
    (void)state;
    told before, after, other;
    so_session *s = open_session(&(so_session_options){.max_text = 30});
    so_reply_options greedy = {.forget = 1}, few = {.temperature = 2, .seed = 3, .max_text = 5, .forget = 1};
    ask(s, "what color is the star?", SO_WANT_TEXT, &greedy, &before);
    ask(s, NULL, SO_WANT_TEXT, &few, &other);
    assert_int_equal(other.usage.text_tokens, 5);
    assert_int_equal(other.usage.end, SO_END_LENGTH);
    ask(s, NULL, SO_WANT_TEXT, NULL, &after);
    assert_string_equal(before.text, after.text);
    assert_true(after.usage.text_tokens > 5);
    so_session_close(&s);
}

/* More than the session's limit is the session's. */
static void limits_are_the_sessions_at_most(void **state)
{
    (void)state;
    told t;
    so_session *s = open_session(&(so_session_options){.max_text = 12, .max_units = 20, .units_per_token = -1});
    ask(s, "hello", SO_WANT_UNITS, &(so_reply_options){.max_text = 1 << 30, .max_units = 1 << 30}, &t);
    assert_in_range(t.units, 1, 20);
    assert_in_range(t.usage.text_tokens, 1, 12);
    so_session_close(&s);
}

/* A forgotten answer leaves no trace in what comes after. */
static void a_forgotten_answer_leaves_no_trace(void **state)
{
    (void)state;
    told a[2], again;
    for (int i = 0; i < 2; i++) {
        so_session *s = open_session(&(so_session_options){.max_text = 25, .max_units = 30});
        if (i) ask(s, "one two", SO_WANT_TEXT | SO_WANT_UNITS, &(so_reply_options){.seed = 9, .forget = 1}, &again);
        ask(s, i ? NULL : "one two", SO_WANT_TEXT, NULL, &a[i]);
        ask(s, "three four", SO_WANT_TEXT | SO_WANT_UNITS, NULL, &a[i]);
        so_session_close(&s);
    }
    assert_string_equal(a[0].text, a[1].text);
    assert_int_equal(a[0].units, a[1].units);
    assert_memory_equal(a[0].unit, a[1].unit, a[0].units * sizeof *a[0].unit);
    assert_int_equal(a[0].usage.prompt_positions, a[1].usage.prompt_positions);
}

static void positions_are_told_apart(void **state)
{
    (void)state;
    told t;
    so_error error;
    int32_t units[30];
    uint8_t rgb[20 * 20 * 3] = {0};
    so_session *s = open_session(&(so_session_options){.max_text = 20});
    for (int i = 0; i < 30; i++) units[i] = i;
    CHECK_OK(so_feed_image(s, rgb, 20, 20, &error), error);
    CHECK_OK(so_feed_units(s, units, 30, &error), error);
    ask(s, NULL, SO_WANT_TEXT, NULL, &t);
    int first = t.usage.prompt_positions;
    assert_int_equal(t.usage.audio_in, 30);
    assert_int_equal(t.usage.image_in, 16);
    assert_true(t.usage.text_in > 0);
    assert_int_equal(t.usage.text_in + t.usage.audio_in + t.usage.image_in, first);
    assert_int_equal(t.usage.cached_positions, 0);
    ask(s, "what color is the star?", SO_WANT_TEXT, NULL, &t);
    assert_int_equal(t.usage.text_in + t.usage.audio_in + t.usage.image_in, t.usage.prompt_positions);
    assert_true(t.usage.cached_positions > 0 && t.usage.cached_positions < t.usage.prompt_positions);
    so_session_close(&s);
}

static void ends_have_reasons(void **state)
{
    (void)state;
    told t;
    so_error error;
    so_session *s = open_session(&(so_session_options){.max_text = 200});
    CHECK_OK(so_feed_text(s, "hello", &error), error);
    CHECK_OK(so_reply(s, SO_WANT_TEXT, &error), error);
    so_session_stop(s);
    collect(s, &t);
    assert_int_equal(t.usage.end, SO_END_STOPPED);
    ask(s, "hello", SO_WANT_UNITS, &(so_reply_options){.max_units = 3}, &t);
    assert_int_equal(t.usage.end, SO_END_LENGTH);
    so_session_close(&s);
}

static void numbers_out_of_range_are_refused(void **state)
{
    (void)state;
    so_error error;
    so_session *s = open_session(NULL);
    const so_reply_options bad[] = {{.temperature = -1}, {.temperature = NAN},    {.temperature = INFINITY},
                                    {.top_p = 1.5},      {.top_p = NAN},          {.top_k = -1},
                                    {.max_text = -1},    {.max_units = INT32_MIN}};
    CHECK_OK(so_feed_text(s, "hello", &error), error);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(so_reply_with(s, SO_WANT_TEXT, &bad[i], &error), SO_ERR_ARG);
    CHECK_OK(so_reply_with(s, SO_WANT_TEXT, &(so_reply_options){.top_k = INT32_MAX, .max_text = 2}, &error), error);
    assert_int_equal(so_reply_with(s, SO_WANT_TEXT, NULL, &error), SO_ERR_STATE);
    so_session_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_seed_is_the_answer),
        cmocka_unit_test(options_do_not_stay),
        cmocka_unit_test(limits_are_the_sessions_at_most),
        cmocka_unit_test(a_forgotten_answer_leaves_no_trace),
        cmocka_unit_test(positions_are_told_apart),
        cmocka_unit_test(ends_have_reasons),
        cmocka_unit_test(numbers_out_of_range_are_refused),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
