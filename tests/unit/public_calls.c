/* The whole public header called with nothing, with absurd numbers and in the wrong order: a status that says what was
 * expected, never a crash.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/prctl.h>

#include "so_checkpoint.h"
#include "so_eval.h"
#include "so_recipes.h"
#include "so_train.h"
#include "toy.h"

static char folder[] = TOY_FOLDER;
static so_model *model;

static int open_model(void **state) { return (void)state, toy_open(&model, folder, 1, 512); }
static int close_model(void **state) { return (void)state, toy_close(&model, folder); }

#define REFUSED(call, expected)                                                                                        \
    do {                                                                                                               \
        so_error refused_ = {0};                                                                                       \
        so_error *error = &refused_;                                                                                   \
        so_status status_ = (call);                                                                                    \
        if (status_ != (expected) || !refused_.text[0] || refused_.status != status_)                                  \
            fail_msg("%s: %s, '%s'", #call, so_status_name(status_), refused_.text);                                   \
        error = NULL; /* nobody wants to know */                                                                       \
        assert_int_equal((call), (expected));                                                                          \
    } while (0)

static so_session *open_session(const so_session_options *options)
{
    so_session *s;
    so_error error;
    CHECK_OK(so_session_open(&s, model, options, &error), error);
    return s;
}

static void tokens_of_nothing(void **state)
{
    (void)state;
    int32_t *ids, unit = 0;
    size_t n;
    char *text;
    REFUSED(so_text_tokens(NULL, "x", 0, &ids, &n, error), SO_ERR_ARG);
    REFUSED(so_text_tokens(model, NULL, 0, &ids, &n, error), SO_ERR_ARG);
    REFUSED(so_text_tokens(model, "x", 0, NULL, &n, error), SO_ERR_ARG);
    REFUSED(so_tokens_text(NULL, &unit, 1, &text, error), SO_ERR_ARG);
    REFUSED(so_tokens_text(model, NULL, 1, &text, error), SO_ERR_ARG);
    REFUSED(so_tokens_text(model, &(int32_t){-1}, 1, &text, error), SO_ERR_ARG);
    REFUSED(so_tokens_text(model, &unit, 1, NULL, error), SO_ERR_ARG);
    so_error e;
    CHECK_OK(so_text_tokens(model, "", 0, &ids, &n, &e), e);
    assert_int_equal(n, 0);
    so_free(ids);
    CHECK_OK(so_tokens_text(model, NULL, 0, &text, &e), e);
    assert_string_equal(text, "");
    so_free(text);
    CHECK_OK(so_text_tokens(model, "a \xff b", 0, &ids, &n, &e), e);
    assert_true(n > 0);
    CHECK_OK(so_tokens_text(model, ids, n, &text, &e), e);
    assert_non_null(strstr(text, " b"));
    so_free(text);
    so_free(ids);
}

static void nothing_is_given(void **state)
{
    (void)state;
    so_session *s = open_session(NULL), *other = s;
    so_model *m = model;
    so_event event;
    so_forecast forecast;
    so_crew *crew;
    float pcm[4] = {0}, *made;
    int32_t unit = 0;
    size_t n;
    char *text;
    uint8_t rgb[3] = {0};
    REFUSED(so_model_open(NULL, folder, NULL, error), SO_ERR_ARG);
    REFUSED(so_model_open(&m, NULL, NULL, error), SO_ERR_ARG);
    assert_null(m);
    REFUSED(so_model_save(NULL, "/tmp/x", NULL, error), SO_ERR_ARG);
    REFUSED(so_model_save(model, NULL, NULL, error), SO_ERR_ARG);
    REFUSED(so_session_open(NULL, model, NULL, error), SO_ERR_ARG);
    REFUSED(so_session_open(&other, NULL, NULL, error), SO_ERR_ARG);
    assert_null(other);
    REFUSED(so_session_clear(NULL, error), SO_ERR_ARG);
    REFUSED(so_feed_text(NULL, "x", error), SO_ERR_ARG);
    REFUSED(so_feed_text(s, NULL, error), SO_ERR_ARG);
    REFUSED(so_feed_image(NULL, rgb, 1, 1, error), SO_ERR_ARG);
    REFUSED(so_feed_image(s, NULL, 1, 1, error), SO_ERR_ARG);
    REFUSED(so_feed_audio(NULL, pcm, 1, 16000, error), SO_ERR_ARG);
    REFUSED(so_feed_audio(s, NULL, 1, 16000, error), SO_ERR_ARG);
    REFUSED(so_feed_units(NULL, &unit, 1, error), SO_ERR_ARG);
    REFUSED(so_feed_units(s, NULL, 1, error), SO_ERR_ARG);
    REFUSED(so_feed_system(NULL, "x", error), SO_ERR_ARG);
    REFUSED(so_feed_system(s, NULL, error), SO_ERR_ARG);
    REFUSED(so_feed_answer(NULL, "x", error), SO_ERR_ARG);
    REFUSED(so_feed_answer(s, NULL, error), SO_ERR_ARG);
    REFUSED(so_reply(NULL, SO_WANT_TEXT, error), SO_ERR_ARG);
    REFUSED(so_reply_with(NULL, SO_WANT_TEXT, NULL, error), SO_ERR_ARG);
    REFUSED(so_say(NULL, "x", SO_WANT_VOICE, error), SO_ERR_ARG);
    REFUSED(so_say(s, NULL, SO_WANT_VOICE, error), SO_ERR_ARG);
    REFUSED(so_next(NULL, &event, error), SO_ERR_ARG);
    REFUSED(so_next(s, NULL, error), SO_ERR_ARG);
    REFUSED(so_session_heard(NULL, 1, error), SO_ERR_ARG);
    REFUSED(so_session_heard_ms(NULL, 1, &n, error), SO_ERR_ARG);
    REFUSED(so_session_forecast(NULL, NULL, &forecast, error), SO_ERR_ARG);
    REFUSED(so_session_forecast(model, NULL, NULL, error), SO_ERR_ARG);
    REFUSED(so_session_fork(NULL, s, error), SO_ERR_ARG);
    REFUSED(so_session_fork(&other, NULL, error), SO_ERR_ARG);
    REFUSED(so_crew_open(NULL, model, NULL, error), SO_ERR_ARG);
    REFUSED(so_crew_open(&crew, NULL, NULL, error), SO_ERR_ARG);
    REFUSED(so_crew_session(NULL, &other, NULL, error), SO_ERR_ARG);
    REFUSED(so_crew_step(NULL, NULL, error), SO_ERR_ARG);
    REFUSED(so_crew_speak(NULL, NULL, error), SO_ERR_ARG);
    REFUSED(so_tokenize_speech(NULL, pcm, 4, 16000, NULL, 0, &n, error), SO_ERR_ARG);
    REFUSED(so_tokenize_speech(model, NULL, 4, 16000, NULL, 0, &n, error), SO_ERR_ARG);
    REFUSED(so_tokenize_speech(model, pcm, 4, 16000, NULL, 0, NULL, error), SO_ERR_ARG);
    REFUSED(so_synthesize(NULL, &unit, 1, 1, &made, &n, error), SO_ERR_ARG);
    REFUSED(so_synthesize(model, NULL, 1, 1, &made, &n, error), SO_ERR_ARG);
    REFUSED(so_synthesize(model, &unit, 1, 1, NULL, &n, error), SO_ERR_ARG);
    REFUSED(so_spoken_text(NULL, NULL, &text, error), SO_ERR_ARG);
    REFUSED(so_spoken_text("x", NULL, NULL, error), SO_ERR_ARG);
    REFUSED(so_unspeakable(NULL, "x", &text, error), SO_ERR_ARG);
    REFUSED(so_unspeakable(model, NULL, &text, error), SO_ERR_ARG);
    so_model_close(NULL);
    so_session_close(NULL);
    so_crew_close(NULL);
    so_model_about(NULL, NULL);
    so_model_about(model, NULL);
    so_session_stop(NULL);
    so_free(NULL);
    assert_int_equal(so_heard_end(NULL), 0);
    assert_int_equal(so_session_shared(NULL, s), 0);
    assert_int_equal(so_session_shared(s, NULL), 0);
    assert_int_equal(so_sentence(NULL), 0);
    so_session_close(&s);
    so_session_close(&s);
}

static void no_voice_is_given(void **state)
{
    (void)state;
    float pcm[4] = {0}, *made;
    int32_t unit = 0;
    size_t n;
    so_clone *clone = NULL;
    so_clone_info told;
    const so_clone_sound sound = {pcm, 4, 16000};
    REFUSED(so_clone_make(NULL, model, "x", &sound, 1, error), SO_ERR_ARG);
    REFUSED(so_clone_make(&clone, NULL, "x", &sound, 1, error), SO_ERR_ARG);
    REFUSED(so_clone_make(&clone, model, NULL, &sound, 1, error), SO_ERR_ARG);
    REFUSED(so_clone_make(&clone, model, "x", NULL, 1, error), SO_ERR_ARG);
    REFUSED(so_clone_make(&clone, model, "x", &(so_clone_sound){NULL, 4, 16000}, 1, error), SO_ERR_ARG);
    REFUSED(so_clone_make(&clone, model, "x", &sound, SIZE_MAX, error), SO_ERR_ARG);
    REFUSED(so_clone_make(&clone, model, "x", &sound, 1, error), SO_ERR_UNSUPPORTED); /* it has no CAM++ */
    assert_null(clone);
    REFUSED(so_clone_name(NULL, error), SO_ERR_ARG);
    REFUSED(so_clone_load(NULL, "/tmp/x", error), SO_ERR_ARG);
    REFUSED(so_clone_load(&clone, NULL, error), SO_ERR_ARG);
    REFUSED(so_clone_save(NULL, "/tmp/x", error), SO_ERR_ARG);
    REFUSED(so_clone_fits(NULL, model, error), SO_ERR_ARG);
    REFUSED(so_session_voice(NULL, NULL, error), SO_ERR_ARG);
    REFUSED(so_synthesize_as(NULL, NULL, &unit, 1, 1, &made, &n, error), SO_ERR_ARG);
    so_clone_about(NULL, NULL);
    so_clone_about(NULL, &told);
    assert_string_equal(told.name, "");
    so_clone_close(NULL);
    so_clone_close(&clone);
}

static void the_other_headers(void **state)
{
    (void)state;
    const char *in[] = {folder, NULL};
    so_convert_result result;
    so_golden_result golden;
    so_quant_options quant = {0};
    so_turns_options turns = {0};
    so_recipe_options recipe = {0};
    REFUSED(so_convert(NULL, 1, "/tmp/x", NULL, &result, error), SO_ERR_ARG);
    REFUSED(so_convert(in, 0, "/tmp/x", NULL, &result, error), SO_ERR_ARG);
    REFUSED(so_convert(in, 2, "/tmp/x", NULL, &result, error), SO_ERR_ARG);
    REFUSED(so_convert(in, INT32_MAX, "/tmp/x", NULL, &result, error), SO_ERR_ARG);
    REFUSED(so_convert(in, 1, NULL, NULL, &result, error), SO_ERR_ARG);
    REFUSED(so_convert(in, 1, "/tmp/x", NULL, NULL, error), SO_ERR_ARG);
    REFUSED(so_convert_adapter(NULL, NULL, "/tmp/x", NULL, &result, error), SO_ERR_ARG);
    REFUSED(so_convert_adapter("/tmp", NULL, NULL, NULL, &result, error), SO_ERR_ARG);
    REFUSED(so_convert_adapter("/tmp", NULL, "/tmp/x", NULL, NULL, error), SO_ERR_ARG);
    REFUSED(so_convert_adapter("/nowhere/at/all", NULL, "/tmp/x", NULL, &result, error), SO_ERR_IO);
    assert_false(so_is_adapter(NULL));
    assert_false(so_is_adapter("/nowhere/at/all"));
    REFUSED(so_export(NULL, -1, "/tmp/x", SO_EXPORT_LLAMA, NULL, &result, error), SO_ERR_ARG);
    REFUSED(so_export(in, 1, NULL, SO_EXPORT_LLAMA, NULL, &result, error), SO_ERR_ARG);
    REFUSED(so_golden_run(NULL, NULL, NULL, NULL, &golden, error), SO_ERR_ARG);
    REFUSED(so_golden_run(folder, NULL, NULL, NULL, NULL, error), SO_ERR_ARG);
    REFUSED(so_eval_tabletop(NULL, NULL, NULL, NULL, error), SO_ERR_ARG);
    REFUSED(so_eval_quant(NULL, NULL, NULL, error), SO_ERR_ARG);
    REFUSED(so_eval_quant(&quant, NULL, NULL, error), SO_ERR_ARG);
    REFUSED(so_calibrate(NULL, "/tmp/x", NULL, NULL, error), SO_ERR_ARG);
    REFUSED(so_calibrate(&turns, "/tmp/x", NULL, NULL, error), SO_ERR_ARG);
    REFUSED(so_tabletop_recipe(NULL, error), SO_ERR_ARG);
    REFUSED(so_tabletop_recipe(&recipe, error), SO_ERR_ARG);
    REFUSED(so_train_report(NULL, "/tmp/x", error), SO_ERR_ARG);
    REFUSED(so_train_report_with(folder, NULL, NULL, 0, error), SO_ERR_ARG);
    REFUSED(so_train_report_with(folder, "/tmp/x", NULL, INT32_MAX, error), SO_ERR_ARG);
    so_convert_result_clear(NULL);
    assert_non_null(so_licence_notes());
    assert_int_equal(so_stage_about(INT32_MAX, NULL), 0);
    assert_int_equal(so_stage_about(-1, NULL), 0);
    assert_int_equal(so_stage_about(0, NULL), 1);
    assert_null(so_tabletop_recipe_part(INT32_MAX, NULL, NULL, NULL));
    assert_null(so_tabletop_recipe_part(INT32_MIN, NULL, NULL, NULL));
    assert_non_null(so_tabletop_recipe_part(0, NULL, NULL, NULL));
}

static void absurd_numbers(void **state)
{
    (void)state;
    so_session *s = open_session(NULL), *other;
    so_model *m;
    so_crew *crew;
    float pcm[4] = {0}, bad[2] = {NAN, INFINITY}, *made;
    int32_t units[2] = {0, INT32_MAX};
    uint8_t rgb[12] = {0};
    size_t n;
    const so_session_options wrong[] = {
        {.max_text = -1},
        {.max_text = INT32_MAX},
        {.max_units = INT32_MIN},
        {.lookahead = -1},
        {.window = -2},
        {.window = INT32_MAX},
        {.temperature = NAN},
        {.temperature = -INFINITY},
        {.top_p = 2},
        {.top_k = -5},
        {.patience = NAN},
        {.patience = -1},
        {.first_units = -1},
        {.units_per_token = -2},
        {.units_per_token = INT32_MAX},
        {.loop = (so_loop)77},
        {.kv = "f99"},
        {.max_units = INT32_MAX},
        {.clones = -1},
        {.clones = 2},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        REFUSED(so_session_open(&other, model, &wrong[i], error), SO_ERR_ARG);
        assert_null(other);
    }
    REFUSED(so_model_open(&m, folder, &(so_model_options){.threads = INT32_MAX}, error), SO_ERR_ARG);
    REFUSED(so_model_open(&m, folder, &(so_model_options){.threads = -1}, error), SO_ERR_ARG);
    REFUSED(so_model_open(&m, folder, &(so_model_options){.context = INT32_MAX}, error), SO_ERR_ARG);
    REFUSED(so_model_open(&m, folder, &(so_model_options){.context = -1}, error), SO_ERR_ARG);
    REFUSED(so_crew_open(&crew, model, &(so_crew_options){.sessions = INT32_MAX}, error), SO_ERR_ARG);
    REFUSED(so_crew_open(&crew, model, &(so_crew_options){.voices = -1}, error), SO_ERR_ARG);
    REFUSED(so_feed_image(s, rgb, INT32_MAX, INT32_MAX, error), SO_ERR_ARG);
    REFUSED(so_feed_image(s, rgb, -1, 2, error), SO_ERR_ARG);
    REFUSED(so_feed_image(s, rgb, 2, 0, error), SO_ERR_ARG);
    REFUSED(so_feed_audio(s, pcm, SIZE_MAX, 16000, error), SO_ERR_LIMIT);
    REFUSED(so_feed_audio(s, pcm, (size_t)1 << 63, 16000, error), SO_ERR_LIMIT);
    REFUSED(so_feed_audio(s, pcm, 4, 0, error), SO_ERR_ARG);
    REFUSED(so_feed_audio(s, pcm, 4, INT32_MAX, error), SO_ERR_ARG);
    REFUSED(so_feed_audio(s, pcm, 4, INT32_MIN, error), SO_ERR_ARG);
    REFUSED(so_feed_audio(s, bad, 2, 16000, error), SO_ERR_NUMBER);
    REFUSED(so_feed_units(s, units, SIZE_MAX, error), SO_ERR_LIMIT);
    REFUSED(so_feed_units(s, units, (size_t)1 << 63, error), SO_ERR_LIMIT);
    REFUSED(so_feed_units(s, units, 2, error), SO_ERR_ARG);
    REFUSED(so_tokenize_speech(model, pcm, SIZE_MAX, 16000, NULL, 0, &n, error), SO_ERR_LIMIT);
    REFUSED(so_tokenize_speech(model, pcm, 4, INT32_MAX, NULL, 0, &n, error), SO_ERR_ARG);
    REFUSED(so_tokenize_speech(model, pcm, 4, 1, NULL, 0, &n, error), SO_ERR_ARG);
    REFUSED(so_tokenize_speech(model, bad, 2, 16000, NULL, 0, &n, error), SO_ERR_NUMBER);
    REFUSED(so_synthesize(model, units, SIZE_MAX, 1, &made, &n, error), SO_ERR_ARG);
    REFUSED(so_synthesize(model, units, 2, 1, &made, &n, error), SO_ERR_ARG);
    REFUSED(so_synthesize(model, units, 0, 1, &made, &n, error), SO_ERR_ARG);
    REFUSED(so_session_heard(s, NAN, error), SO_ERR_STATE);
    so_session_close(&s);
}

static void drain(so_session *s)
{
    so_event e = {0};
    so_error error;
    while (e.kind != SO_EVENT_DONE) CHECK_OK(so_next(s, &e, &error), error);
}

static void the_wrong_order(void **state)
{
    (void)state;
    so_error e;
    so_event event;
    const int32_t units[4] = {1, 2, 3, 4};
    const float pcm[4] = {0};
    so_session *s = open_session(&(so_session_options){.max_text = 10, .max_units = 20}), *other;
    CHECK_OK(so_next(s, &event, &e), e);
    assert_int_equal(event.kind, SO_EVENT_NONE);
    REFUSED(so_reply(s, SO_WANT_TEXT, error), SO_ERR_STATE);
    REFUSED(so_session_heard(s, 1, error), SO_ERR_STATE);
    REFUSED(so_feed_answer(s, "an answer", error), SO_ERR_STATE);
    so_session_stop(s);
    CHECK_OK(so_session_clear(s, &e), e);
    CHECK_OK(so_feed_text(s, "hello", &e), e);
    REFUSED(so_feed_system(s, "too late", error), SO_ERR_STATE);
    REFUSED(so_say(s, "words", SO_WANT_UNITS, error), SO_ERR_STATE);
    REFUSED(so_reply(s, 0, error), SO_ERR_ARG);
    REFUSED(so_reply(s, 1u << 31, error), SO_ERR_ARG);
    CHECK_OK(so_reply(s, SO_WANT_TEXT | SO_WANT_UNITS, &e), e);
    REFUSED(so_reply(s, SO_WANT_TEXT, error), SO_ERR_STATE);
    REFUSED(so_feed_text(s, "more", error), SO_ERR_STATE);
    REFUSED(so_feed_units(s, units, 4, error), SO_ERR_STATE);
    REFUSED(so_feed_image(s, (const uint8_t *)"abc", 1, 1, error), SO_ERR_STATE);
    REFUSED(so_say(s, "words", SO_WANT_UNITS, error), SO_ERR_STATE);
    REFUSED(so_session_fork(&other, s, error), SO_ERR_STATE);
    CHECK_OK(so_feed_audio(s, pcm, 4, 16000, &e), e); /* said into the answer: for the next turn */
    drain(s);
    CHECK_OK(so_session_clear(s, &e), e);
    CHECK_OK(so_feed_text(s, "hello", &e), e);
    CHECK_OK(so_reply(s, SO_WANT_TEXT, &e), e);
    CHECK_OK(so_session_clear(s, &e), e); /* in the middle of an answer */
    CHECK_OK(so_next(s, &event, &e), e);
    assert_int_equal(event.kind, SO_EVENT_NONE);
    CHECK_OK(so_feed_text(s, "hello", &e), e);
    CHECK_OK(so_reply(s, SO_WANT_TEXT | SO_WANT_VOICE, &e), e);
    drain(s);
    so_session_close(&s);
}

/* After every kind of refusal a session answers as one that was never asked for it. */
static void errors_leave_no_trace(void **state)
{
    (void)state;
    char text[2][4096] = {"", ""};
    for (int i = 0; i < 2; i++) {
        so_error e;
        so_event event = {0};
        float bad[1] = {NAN};
        int32_t unit = -7;
        so_session *s = open_session(&(so_session_options){.max_text = 30});
        if (i) {
            assert_int_equal(so_feed_audio(s, bad, 1, 16000, &e), SO_ERR_NUMBER);
            assert_int_equal(so_feed_units(s, &unit, 1, &e), SO_ERR_ARG);
            assert_int_equal(so_feed_image(s, (const uint8_t *)"", 0, 0, &e), SO_ERR_ARG);
        }
        CHECK_OK(so_feed_text(s, "where is the cat?", &e), e);
        if (i) {
            assert_int_equal(so_reply(s, 0, &e), SO_ERR_ARG);
            assert_int_equal(so_reply_with(s, SO_WANT_TEXT, &(so_reply_options){.top_p = 9}, &e), SO_ERR_ARG);
            assert_int_equal(so_reply_with(s, SO_WANT_TEXT, &(so_reply_options){.n_stop = 3}, &e), SO_ERR_ARG);
        }
        CHECK_OK(so_reply(s, SO_WANT_TEXT, &e), e);
        while (event.kind != SO_EVENT_DONE) {
            CHECK_OK(so_next(s, &event, &e), e);
            if (event.kind == SO_EVENT_TEXT) strcat(text[i], event.text);
        }
        so_session_close(&s);
    }
    assert_string_equal(text[0], text[1]);
}

/* ---- stops from another thread, many sessions, many turns */

typedef struct hammer {
    so_session *session;
    atomic_int go;
} hammer;

static void *stop_always(void *p)
{
    hammer *h = p;
    while (atomic_load(&h->go)) {
        so_session_stop(h->session);
        for (volatile int i = 0; i < 2000; i++) continue;
    }
    return NULL;
}

static void stops_from_another_thread(void **state)
{
    (void)state;
    so_error e;
    pthread_t thread;
    hammer h = {.session = open_session(&(so_session_options){.max_text = 20, .max_units = 20})};
    atomic_store(&h.go, 1);
    assert_int_equal(pthread_create(&thread, NULL, stop_always, &h), 0);
    for (int i = 0; i < 60; i++) {
        if (i % 10 == 0) CHECK_OK(so_session_clear(h.session, &e), e);
        CHECK_OK(so_feed_text(h.session, "hello", &e), e);
        CHECK_OK(so_reply(h.session, i % 2 ? SO_WANT_TEXT : SO_WANT_TEXT | SO_WANT_VOICE, &e), e);
        drain(h.session);
    }
    atomic_store(&h.go, 0);
    pthread_join(thread, NULL);
    CHECK_OK(so_session_clear(h.session, &e), e);
    CHECK_OK(so_feed_text(h.session, "hello", &e), e);
    CHECK_OK(so_reply(h.session, SO_WANT_TEXT, &e), e);
    drain(h.session);
    so_session_close(&h.session);
}

static void a_hundred_sessions(void **state)
{
    (void)state;
    enum { N = 100 };
    so_session *s[N];
    so_error e;
    for (int i = 0; i < N; i++) s[i] = open_session(&(so_session_options){.max_text = 4, .max_units = 8});
    for (int i = 0; i < N; i++) {
        CHECK_OK(so_feed_text(s[i], "one two", &e), e);
        CHECK_OK(so_reply(s[i], SO_WANT_TEXT, &e), e);
    }
    for (int i = N - 1; i >= 0; i--) drain(s[i]);
    for (int i = 0; i < N; i += 2) so_session_close(&s[i]);
    for (int i = 1; i < N; i += 2) so_session_close(&s[i]);
}

/* Bytes that the heap has given out. */
static long in_use(void)
{
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    return (long)mallinfo2().uordblks;
#else
    return 0;
#endif
}

/* Kilobytes of this process that are in memory. */
static long kilobytes(void)
{
    long pages = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%ld %ld", &pages, &resident) != 2) resident = 0;
    if (f) fclose(f);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return 0;
#else
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
#endif
}

/* A thousand turns in one conversation, the oldest leaving: after the first hundred nothing more is taken from the
 * heap. */
static void a_thousand_turns(void **state)
{
    (void)state;
    so_error e;
    long before = 0, resident = 0;
    float pcm[1600];
    for (int i = 0; i < 1600; i++) pcm[i] = 0.3f * sinf((float)i * 0.06f);
    so_session *s = open_session(&(so_session_options){.max_text = 4, .max_units = 6});
    for (int i = 0; i < 1000; i++) {
        if (i % 50 == 7)
            CHECK_OK(so_feed_audio(s, pcm, 1600, 16000, &e), e);
        else
            CHECK_OK(so_feed_text(s, i % 3 ? "where is the cat?" : "hello", &e), e);
        CHECK_OK(so_reply_with(s, i % 25 ? SO_WANT_TEXT : SO_WANT_TEXT | SO_WANT_VOICE,
                               &(so_reply_options){.answer_silence = 1}, &e),
                 e);
        drain(s);
        if (i == 99) before = in_use();
        if (i == 399) resident = kilobytes();
    }
    long grown = in_use() - before;
    if (grown > 4096) fail_msg("%ld bytes more in use after 900 turns", grown);
    long more = kilobytes() - resident; /* pages that were touched for the first time were so long before */
    if (resident && more > 256) fail_msg("%ld kB more in memory after 600 turns", more);
    so_session_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_of_nothing),     cmocka_unit_test(nothing_is_given),
        cmocka_unit_test(no_voice_is_given),     cmocka_unit_test(the_other_headers),
        cmocka_unit_test(absurd_numbers),        cmocka_unit_test(the_wrong_order),
        cmocka_unit_test(errors_leave_no_trace), cmocka_unit_test(stops_from_another_thread),
        cmocka_unit_test(a_hundred_sessions),    cmocka_unit_test(a_thousand_turns),
    };
    /* The system joins small pages to large ones at moments of its own: then more is in memory, and nothing was taken.
     */
    prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
    return cmocka_run_group_tests(tests, open_model, close_model);
}
