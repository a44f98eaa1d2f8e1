/* How much is computed behind a stop: nothing but the op that was on its way, in every phase of an answer. A watcher
 * stops the session in the middle of a network and counts the products that follow.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "check.h"

#include <stdbool.h>

#include "engine/session.h"
#include "toy.h"

static char folder[] = TOY_FOLDER;
static so_model *model;

static int open_model(void **state) { return (void)state, toy_open(&model, folder, 2, 512); }
static int close_model(void **state) { return (void)state, toy_close(&model, folder); }

/* Stops at product number `at` with a weight of this name, before or after the answer has begun. */
typedef struct stopper {
    so_session *session;
    const char *weight;
    bool begun;
    int at, seen; /* such products */
    int after;    /* products of any kind since the stop */
    bool stopped;
} stopper;

static void watch_product(void *context, const so_tensor *w, const so_tensor *x)
{
    stopper *s = context;
    (void)x;
    if (s->stopped) {
        s->after++;
        return;
    }
    if (!w->name || !strstr(w->name, s->weight) || (s->session->stage == SO_BEGUN) != s->begun) return;
    if (++s->seen < s->at) return;
    so_session_stop(s->session);
    s->stopped = true;
}

/* Words, a picture and speech, answered in words and units; or words to be said, which the top layers look at. */
static void ask(so_session *s, const char *words)
{
    so_error error;
    if (words) {
        CHECK_OK(so_say(s, words, SO_WANT_TEXT | SO_WANT_UNITS, &error), error);
        return;
    }
    uint8_t rgb[24 * 24 * 3];
    static float sound[16000];
    for (size_t k = 0; k < sizeof rgb; k++) rgb[k] = (uint8_t)(k * 9 % 251);
    for (int k = 0; k < 16000; k++) sound[k] = 0.3f * sinf((float)k * 0.06f) * sinf((float)k * 0.001f);
    CHECK_OK(so_feed_image(s, rgb, 24, 24, &error), error);
    CHECK_OK(so_feed_text(s, "where is the cat?", &error), error);
    CHECK_OK(so_feed_audio(s, sound, 16000, 16000, &error), error);
    CHECK_OK(so_reply_with(s, SO_WANT_TEXT | SO_WANT_UNITS, &(so_reply_options){.answer_silence = 1}, &error), error);
}

/* What a stop leaves behind: one DONE that says so, and a session that answers the next question. */
static void end_and_go_on(so_crew *crew, so_session *s, int done, const char *words)
{
    so_error error;
    so_event e;
    for (int turn = done; turn < 2; turn++) {
        if (turn) ask(s, words);
        for (int i = 0; i < 20000 && done == turn; i++) {
            if (crew) CHECK_OK(so_crew_step(crew, NULL, &error), error);
            CHECK_OK(so_next(s, &e, &error), error);
            assert_int_not_equal(e.kind, SO_EVENT_FAILED);
            if (e.kind != SO_EVENT_DONE) continue;
            done++;
            assert_int_equal(e.usage.stopped, turn == 0);
        }
        assert_int_equal(done, turn + 1);
    }
}

static void stop_saying(const char *words, const char *weight, bool begun, int at, bool alone)
{
    static const so_session_options plain = {.max_units = 40, .max_text = 30, .seed = 3, .patience = 1};
    so_crew *crew = NULL;
    so_session *s;
    so_error error;
    so_event e = {0};
    stopper stop = {.weight = weight, .begun = begun, .at = at};
    so_watch watch = {.product = watch_product, .context = &stop};
    if (alone) {
        CHECK_OK(so_session_open(&s, model, &plain, &error), error);
    } else {
        CHECK_OK(so_crew_open(&crew, model, NULL, &error), error);
        CHECK_OK(so_crew_session(crew, &s, &plain, &error), error);
    }
    stop.session = s;
    so_talk_watch(s->talk, &watch);
    ask(s, words);
    for (int i = 0; i < 20000 && !stop.stopped; i++) {
        if (crew) CHECK_OK(so_crew_step(crew, NULL, &error), error);
        CHECK_OK(so_next(s, &e, &error), error);
        if (e.kind == SO_EVENT_DONE && !stop.stopped) fail_msg("no product number %d with %s", at, weight);
    }
    if (!stop.stopped) fail_msg("no product number %d with %s", at, weight);
    if (stop.after) fail_msg("%s, product %d: %d products after the stop", weight, at, stop.after);
    so_talk_watch(s->talk, NULL);
    end_and_go_on(crew, s, e.kind == SO_EVENT_DONE, words);
    so_session_close(&s);
    so_crew_close(&crew);
}

static void stop_in(const char *weight, bool begun, int at, bool alone) { stop_saying(NULL, weight, begun, at, alone); }

/* A crew computes what stands before an answer; a question alone is computed by so_reply, before anybody can stop it.
 */
static void stops_before_the_answer(void **state)
{
    (void)state;
    stop_in("vision_tower", false, 3, false);
    stop_in("mm_projector", false, 1, false);
    stop_in("bottom_audio_layers", false, 5, false);
    stop_in("audio_to_text_proj", false, 1, false);
    stop_in("top_audio_layers", false, 5, false);
    stop_in("model.layers", false, 5, false);
}

static void stops_in_the_answer(void **state)
{
    (void)state;
    for (int alone = 0; alone < 2; alone++) {
        stop_in("model.layers", true, 2, alone);
        stop_in("lm_head", true, 2, alone);
        stop_in("bottom_audio_layers", true, 9, alone);
        stop_in("top_audio_layers", true, 9, alone);
        stop_in("audio_lm_head", true, 3, alone);
    }
}

/* Whatever product it comes after: what a layer does with nothing is another place each time. */
static void stops_anywhere_in_a_layer(void **state)
{
    (void)state;
    for (int at = 1; at <= 60; at++) stop_saying("the cat sat on the mat", "top_audio_layers", true, at, at % 2);
    for (int at = 1; at <= 24; at++) {
        stop_in("top_audio_layers", true, at, at % 2);
        stop_in("bottom_audio_layers", true, at, at % 2);
        stop_in("model.layers", true, at, at % 2);
        if (at <= 12) stop_in("top_audio_layers", false, at, false);
        if (at <= 6) stop_in("vision_tower", false, at, false);
    }
}

typedef struct counter {
    atomic_int stop;
    int left, after;
} counter;

static void count_product(void *context, const so_tensor *w, const so_tensor *x)
{
    counter *c = context;
    (void)w;
    (void)x;
    c->after += c->stop;
    if (--c->left == 0) c->stop = 1;
}

/* The ear shows nobody what it computes; its network by itself. */
static void stops_in_the_ear(void **state)
{
    (void)state;
    enum { FRAMES = 40 };
    static float mel[FRAMES * 128];
    so_error error;
    so_arena arena;
    so_pass pass;
    int32_t ids[FRAMES];
    CHECK_OK(so_arena_init(&arena, (size_t)64 << 20, &error), error);
    for (int i = 0; i < FRAMES * 128; i++) mel[i] = sinf((float)i * 0.37f);
    int stopped = 0;
    for (int at = 1; at <= 6; at++) { /* of the six of its one block */
        counter c = {.left = at};
        so_watch watch = {.product = count_product, .context = &c};
        so_arena_release(&arena, 0);
        so_pass_init(&pass, &arena, NULL, model->encoders);
        pass.watch = &watch;
        pass.stop = &c.stop;
        so_tensor *x = so_constant(&pass, 2, (int64_t[]){FRAMES, 128}, mel);
        so_status status = so_speech_tokenizer_ids(&pass, &model->codec.tokenizer, x, ids);
        assert_int_equal(c.after, 0);
        assert_int_equal(c.stop, 1);
        stopped += status == SO_ERR_STOPPED;
    }
    assert_int_equal(stopped, 6);
    so_arena_clear(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(stops_before_the_answer), cmocka_unit_test(stops_in_the_ear),
                                       cmocka_unit_test(stops_in_the_answer),
                                       cmocka_unit_test(stops_anywhere_in_a_layer)};
    return cmocka_run_group_tests(tests, open_model, close_model);
}
