/* What is heard: transcripts that keep what they promise, silence that is no question; and of answers, what of them was
 * heard. With the shipped model and the shipped recordings.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "base/rng.h"
#include "media/audio.h"
#include "so.h"
#include "text/transcript.h"

static so_model *model;

static int open_model(void **state)
{
    (void)state;
    so_error error;
    if (access(SO_SOURCE_DIR "/models/tabletop.gguf", R_OK) != 0) return 0;
    return so_model_open(&model, SO_SOURCE_DIR "/models/tabletop.gguf", &(so_model_options){.threads = 1}, &error);
}

static int close_model(void **state)
{
    (void)state;
    so_model_close(&model);
    return 0;
}

static so_session *open_session(void)
{
    so_session *s;
    so_error error;
    if (!model) {
        fprintf(stderr, "# SKIP: models/tabletop.gguf is absent\n");
        skip();
    }
    CHECK_OK(so_session_open(&s, model, NULL, &error), error);
    return s;
}

static void read_shipped(so_audio *audio, const char *name)
{
    char path[4096];
    so_error error;
    *audio = (so_audio){0};
    snprintf(path, sizeof path, "%s/examples/%s", SO_SOURCE_DIR, name);
    CHECK_OK(so_audio_read(audio, path, 0, &error), error);
}

/* Drains what is told while listening; `promised` is what was told as stable. */
static void listen(so_session *s, char *promised, size_t *told)
{
    so_event e;
    so_error error;
    for (;;) {
        CHECK_OK(so_next(s, &e, &error), error);
        if (e.kind == SO_EVENT_NONE) return;
        assert_int_equal(e.kind, SO_EVENT_HEARD);
        assert_true(e.stable >= strlen(promised) && e.stable <= strlen(e.text));
        assert_memory_equal(e.text, promised, strlen(promised));
        memcpy(promised, e.text, e.stable);
        promised[e.stable] = 0;
        if (e.final) assert_int_equal(e.stable, strlen(e.text));
        if (!e.final) *told = e.stable;
        if (e.final) return;
    }
}

static void finish(so_session *s, char *text, so_usage *usage)
{
    so_event e = {0};
    so_error error;
    while (e.kind != SO_EVENT_DONE) {
        CHECK_OK(so_next(s, &e, &error), error);
        if (e.kind == SO_EVENT_TEXT && text) strcat(text, e.text);
    }
    if (usage) *usage = e.usage;
}

static void look(so_promise *p, const char *transcript, bool final, const char *text, const char *promised)
{
    so_heard_word word[16];
    so_string s = {0};
    so_error error;
    size_t n = 0;
    CHECK_OK(so_string_put(&s, transcript, &error), error);
    for (size_t i = 0; i < s.size; i++) {
        if (s.data[i] == ' ') continue;
        if (i == 0 || s.data[i - 1] == ' ') word[n++] = (so_heard_word){i, i + 1, (double)i, (double)i};
        word[n - 1].text_end = i + 1;
    }
    CHECK_OK(so_promise_keep(p, &s, word, &n, final, &error), error);
    assert_string_equal(s.data, text);
    assert_int_equal(p->text.size, strlen(promised));
    assert_memory_equal(p->text.data ? p->text.data : "", promised, p->text.size);
    for (size_t i = 0; i < n; i++) { /* words lie where they are in the text */
        assert_true(word[i].text_begin < word[i].text_end && word[i].text_end <= s.size);
        assert_true(word[i].text_begin == 0 || s.data[word[i].text_begin - 1] == ' ');
        assert_true(word[i].text_end == s.size || s.data[word[i].text_end] == ' ');
    }
    so_string_clear(&s);
}

/* Words are promised when three looks agree and another has begun behind them; whatever comes then, they stand. */
static void promises_are_kept(void **state)
{
    (void)state;
    so_promise p = {0};
    so_error error;
    CHECK_OK(so_promise_open(&p, 16, 256, &error), error);
    look(&p, "say", false, "say", "");
    look(&p, "say valley tr", false, "say valley tr", "");
    look(&p, "say valley truck", false, "say valley truck", "");
    look(&p, "say valley truck, sha", false, "say valley truck, sha", "say valley");
    look(&p, "say, truck, shadow", false, "say valley shadow", "say valley");
    look(&p, "say", false, "say valley", "say valley");
    look(&p, "say: truck, shadow high.", true, "say valley shadow high.", "say valley shadow high.");
    look(&p, "", true, "say valley shadow high.", "say valley shadow high.");
    so_promise_reset(&p);
    look(&p, "other", true, "other", "other");
    so_promise_reset(&p);
    look(&p, "", true, "", "");
    so_promise_clear(&p);
}

/* In pieces of any size, what was told as stable stands to the end, and some of it is told before. */
static void what_is_stable_stays(void **state)
{
    (void)state;
    static const char *const names[] = {"question.wav", "talk.wav"};
    static const double pieces[] = {0.02, 0.04, 0.15, 0.6};
    size_t early = 0;
    so_session *s = open_session();
    for (int i = 0; i < 2; i++)
        for (size_t k = 0; k < 4; k++) {
            so_audio audio;
            so_error error;
            char promised[1024] = "";
            size_t told = 0;
            read_shipped(&audio, names[i]);
            int64_t step = (int64_t)(pieces[k] * audio.rate);
            for (int64_t at = 0; at < audio.n; at += step) {
                int64_t n = audio.n - at < step ? audio.n - at : step;
                CHECK_OK(so_feed_audio(s, audio.samples + at, (size_t)n, audio.rate, &error), error);
                listen(s, promised, &told);
            }
            early += told;
            CHECK_OK(so_reply(s, SO_WANT_TEXT, &error), error);
            listen(s, promised, &told);
            so_session_stop(s);
            finish(s, NULL, NULL);
            assert_string_equal(promised, i ? "What is the opposite of poor?" : "What shape is the red object?");
            CHECK_OK(so_session_clear(s, &error), error);
            so_audio_clear(&audio);
        }
    assert_true(early > 0);
    so_session_close(&s);
}

/* Silence and noise are no question; words beside them are; and the turn after them is as any other. */
static void silence_is_no_question(void **state)
{
    (void)state;
    enum { N = 16000 * 2 };
    so_error error;
    so_event e;
    so_audio audio;
    so_rng rng;
    float *x = calloc(N, sizeof *x);
    so_session *s = open_session();
    so_rng_init(&rng, 1, 1);
    for (int noise = 0; noise < 2; noise++) {
        for (int i = 0; i < N && noise; i++) x[i] = (float)(0.1 * so_rng_normal(&rng));
        CHECK_OK(so_feed_audio(s, x, N, 16000, &error), error);
        assert_int_equal(so_reply(s, SO_WANT_TEXT, &error), SO_ERR_NOTHING_HEARD);
        assert_non_null(strstr(error.text, "2.0 s"));
        CHECK_OK(so_next(s, &e, &error), error);
        while (e.kind == SO_EVENT_HEARD && !e.final) CHECK_OK(so_next(s, &e, &error), error);
        assert_int_equal(e.kind, SO_EVENT_HEARD);
        assert_string_equal(e.text, "");
        CHECK_OK(so_next(s, &e, &error), error);
        assert_int_equal(e.kind, SO_EVENT_NONE);
        assert_int_equal(so_reply(s, SO_WANT_TEXT, &error), SO_ERR_STATE);
        CHECK_OK(so_feed_audio(s, x, N, 16000, &error), error);
        CHECK_OK(so_reply_with(s, SO_WANT_TEXT, &(so_reply_options){.answer_silence = 1}, &error), error);
        so_session_stop(s);
        finish(s, NULL, NULL);
        CHECK_OK(so_feed_audio(s, x, N, 16000, &error), error);
        CHECK_OK(so_feed_text(s, "Hello.", &error), error);
        CHECK_OK(so_reply(s, SO_WANT_TEXT, &error), error);
        so_session_stop(s);
        finish(s, NULL, NULL);
    }
    read_shipped(&audio, "talk.wav");
    CHECK_OK(so_session_clear(s, &error), error);
    CHECK_OK(so_feed_audio(s, x, N, audio.rate, &error), error);
    assert_int_equal(so_reply(s, SO_WANT_TEXT, &error), SO_ERR_NOTHING_HEARD);
    CHECK_OK(so_feed_audio(s, audio.samples, (size_t)audio.n, audio.rate, &error), error);
    CHECK_OK(so_reply(s, SO_WANT_TEXT, &error), error);
    do CHECK_OK(so_next(s, &e, &error), error);
    while (e.kind != SO_EVENT_HEARD || !e.final);
    assert_string_equal(e.text, "What is the opposite of poor?");
    so_session_stop(s);
    finish(s, NULL, NULL);
    so_audio_clear(&audio);
    so_session_close(&s);
    free(x);
}

/* ---- of answers */

static void say(so_session *s, const char *words, char *text, so_usage *usage)
{
    so_error error;
    text[0] = 0;
    CHECK_OK(so_say(s, words, SO_WANT_TEXT | SO_WANT_VOICE, &error), error);
    finish(s, text, usage);
}

/* Milliseconds are clamped at both ends, what was heard only shrinks, and the answer's text is cut where it was. */
static void playback_is_told_at_any_time(void **state)
{
    (void)state;
    so_error error;
    char text[256];
    so_usage usage;
    size_t end = 1, last;
    so_session *s = open_session();
    CHECK_OK(so_session_heard_ms(s, 1000, &end, &error), error); /* nothing was said yet */
    assert_int_equal(end, 0);
    say(s, "The star is red.", text, &usage);
    CHECK_OK(so_session_heard_ms(s, INT64_MAX, &end, &error), error);
    assert_int_equal(end, strlen(text));
    last = end;
    for (int64_t ms = 2000; ms >= -200; ms -= 200) {
        CHECK_OK(so_session_heard_ms(s, ms, &end, &error), error);
        assert_true(end <= last);
        last = end;
    }
    assert_int_equal(last, 0);
    CHECK_OK(so_session_heard_ms(s, INT64_MAX, &end, &error),
             error); /* what was cut stays cut, but the words are told */
    CHECK_OK(so_session_heard_ms(s, INT64_MIN, NULL, &error), error);
    assert_int_equal(so_session_heard_ms(NULL, 0, &end, &error), SO_ERR_ARG);
    so_session_close(&s);
}

static void prompt_of(so_session *s, int *positions)
{
    so_error error;
    so_usage usage;
    CHECK_OK(so_feed_text(s, "Hello.", &error), error);
    CHECK_OK(so_reply(s, SO_WANT_TEXT, &error), error);
    finish(s, NULL, &usage);
    *positions = usage.prompt_positions;
}

/* Cutting while the answer is made, after it, and when the next question is being fed: the same history. */
static void when_it_is_told_makes_no_difference(void **state)
{
    (void)state;
    int positions[4];
    for (int when = 0; when < 4; when++) {
        so_error error;
        char text[256];
        size_t end = 0;
        so_usage usage = {0};
        so_session *s = open_session();
        if (when) {
            say(s, "The star is red.", text, &usage);
        } else {
            so_event e = {0};
            CHECK_OK(so_say(s, "The star is red.", SO_WANT_TEXT | SO_WANT_VOICE, &error), error);
            while (!(e.kind == SO_EVENT_VOICE && e.end_s > 0.6)) CHECK_OK(so_next(s, &e, &error), error);
            CHECK_OK(so_session_heard_ms(s, 400, &end, &error), error);
            finish(s, NULL, &usage);
            assert_int_equal(usage.end, SO_END_STOPPED);
        }
        if (when == 1) CHECK_OK(so_session_heard(s, 0.4, &error), error);
        if (when == 2) CHECK_OK(so_session_heard_ms(s, 400, &end, &error), error);
        if (when == 3) {
            CHECK_OK(so_feed_text(s, " ", &error), error);
            CHECK_OK(so_session_heard_ms(s, 400, &end, &error), error);
        }
        if (when != 1) assert_in_range(end, 1, strlen("The star is red.") - 1);
        prompt_of(s, &positions[when]);
        assert_int_equal(positions[when], positions[0]);
        so_session_close(&s);
    }
}

/* Several sentences are one answer: all are said, one after the other, and each is as it is when it is said alone. */
static void every_sentence_is_said(void **state)
{
    (void)state;
    static const char *const sentences[] = {"The star is red.", "The square is blue.", "The circle is small."};
    const char *all = "  The star is red. The square is blue.\nThe circle is small. ";
    so_error error;
    so_event e = {0};
    char text[256] = "", alone[256];
    int32_t unit[1024], single[3][512];
    size_t n = 0, from = 0, spoken = 0;
    double ends = 0;
    so_usage usage;
    so_session *s = open_session();
    CHECK_OK(so_say(s, all, SO_WANT_TEXT | SO_WANT_VOICE | SO_WANT_UNITS, &error), error);
    while (e.kind != SO_EVENT_DONE) {
        CHECK_OK(so_next(s, &e, &error), error);
        if (e.kind == SO_EVENT_TEXT) strcat(text, e.text);
        for (size_t i = 0; e.kind == SO_EVENT_UNITS && i < e.n_units; i++) unit[n++] = e.units[i];
        if (e.kind != SO_EVENT_VOICE) continue;
        assert_true(e.text_begin <= e.text_end && e.text_end >= spoken);
        assert_float_equal(e.begin_s, ends, 1e-9);
        spoken = e.text_end;
        ends = e.end_s;
    }
    assert_string_equal(text, "The star is red. The square is blue. The circle is small.");
    assert_true(spoken > strlen("The star is red. The square is blue. "));
    assert_int_equal(n, e.usage.units);
    assert_int_equal(e.usage.ran_away, 0);
    so_session_close(&s);
    for (int i = 0; i < 3; i++) {
        s = open_session();
        size_t k = 0;
        CHECK_OK(so_say(s, sentences[i], SO_WANT_UNITS, &error), error);
        do {
            CHECK_OK(so_next(s, &e, &error), error);
            for (size_t j = 0; e.kind == SO_EVENT_UNITS && j < e.n_units; j++) single[i][k++] = e.units[j];
        } while (e.kind != SO_EVENT_DONE);
        assert_true(from + k <= n);
        assert_memory_equal(unit + from, single[i], k * sizeof *unit);
        from += k;
        so_session_close(&s);
    }
    assert_int_equal(from, n);
    /* What is remembered ends where listening ended, in whichever sentence that was. */
    size_t end = 0, last = 0;
    int positions, fewer;
    s = open_session();
    say(s, all, alone, &usage);
    CHECK_OK(so_session_heard_ms(s, usage.units * SO_UNIT_MS, &end, &error), error);
    assert_in_range(end, strlen(alone) - 1, strlen(alone));
    prompt_of(s, &positions);
    so_session_close(&s);
    s = open_session();
    say(s, all, alone, &usage);
    for (int ms = usage.units * SO_UNIT_MS; ms >= 0; ms -= 500, last = end) {
        CHECK_OK(so_session_heard_ms(s, ms, &end, &error), error);
        assert_true(!last || end <= last);
    }
    prompt_of(s, &fewer);
    assert_true(fewer < positions);
    so_session_close(&s);
}

/* A stop in the second sentence, also between two. */
static void sentences_can_be_stopped(void **state)
{
    (void)state;
    so_error error;
    for (int units = 1; units < 70; units += 4) {
        so_event e = {0};
        int n = 0, positions;
        so_session *s = open_session();
        CHECK_OK(so_say(s, "The star is red. The square is blue.", SO_WANT_UNITS, &error), error);
        while (e.kind != SO_EVENT_DONE) {
            CHECK_OK(so_next(s, &e, &error), error);
            if (e.kind == SO_EVENT_UNITS) n += (int)e.n_units;
            if (n >= units) so_session_stop(s);
        }
        prompt_of(s, &positions);
        assert_true(positions > 0);
        so_session_close(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(promises_are_kept),
        cmocka_unit_test(what_is_stable_stays),
        cmocka_unit_test(silence_is_no_question),
        cmocka_unit_test(playback_is_told_at_any_time),
        cmocka_unit_test(every_sentence_is_said),
        cmocka_unit_test(sentences_can_be_stopped),
        cmocka_unit_test(when_it_is_told_makes_no_difference),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
