/* A crew on a toy model: answers do not depend on company, chaos stays in order, memory is foretold, context is made.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "check.h"

#include <malloc.h>
#include <stdbool.h>

#include "base/rng.h"
#include "engine/session.h"
#include "toy.h"

enum { MOST = 8, UNITS = 70 };

static char folder[] = TOY_FOLDER;
static so_model *model;

static int open_model(void **state) { return (void)state, toy_open(&model, folder, 2, 512); }
static int close_model(void **state) { return (void)state, toy_close(&model, folder); }

/* How often something is tried: SO_FEW_ROUNDS for slow sanitizers, SO_THOROUGH for long runs. */
static int times(int few, int usual, int thorough)
{
    return getenv("SO_FEW_ROUNDS") ? few : getenv("SO_THOROUGH") ? thorough : usual;
}

/* All that a session has told. */
typedef struct told {
    char text[4096], heard[2048], failure[1024];
    int32_t unit[2 * UNITS];
    float pcm[2 * UNITS * 900];
    size_t units, samples;
    int done, forgot;
    so_usage usage;
} told;

static void take(so_session *s, told *t)
{
    so_event e;
    so_error error;
    for (;;) {
        CHECK_OK(so_next(s, &e, &error), error);
        switch (e.kind) {
        case SO_EVENT_NONE:
            return;
        case SO_EVENT_TEXT:
            strcat(t->text, e.text);
            break;
        case SO_EVENT_HEARD:
            snprintf(t->heard, sizeof t->heard, "%s", e.text);
            break;
        case SO_EVENT_UNITS:
            for (size_t i = 0; i < e.n_units; i++) t->unit[t->units++] = e.units[i];
            break;
        case SO_EVENT_VOICE:
            assert_float_equal(e.begin_s, (double)t->samples / SO_VOICE_RATE, 1e-9);
            memcpy(t->pcm + t->samples, e.pcm, e.samples * sizeof *e.pcm);
            t->samples += e.samples;
            break;
        case SO_EVENT_DONE:
            t->done++;
            t->usage = e.usage;
            break;
        case SO_EVENT_FORGOT:
            t->forgot += atoi(e.text);
            break;
        case SO_EVENT_FAILED:
            snprintf(t->failure, sizeof t->failure, "%s", e.text);
            break;
        }
    }
}

/* A question of session i: words, a picture and speech in all combinations. */
static void ask(so_session *s, int i)
{
    so_error error;
    static const char *const words[] = {"where is the cat?", "what color is the star?", "hello", "the red circle"};
    int kind = i % 4;
    if (i & 1) {
        uint8_t rgb[24 * 24 * 3];
        for (size_t k = 0; k < sizeof rgb; k++) rgb[k] = (uint8_t)(k * (size_t)(7 + i) % 251);
        CHECK_OK(so_feed_image(s, rgb, 24, 24, &error), error);
    }
    if (kind != 2) CHECK_OK(so_feed_text(s, words[i / 2 % 4], &error), error);
    if (kind >= 2) {
        static float x[16000];
        for (int k = 0; k < 16000; k++)
            x[k] = 0.3f * sinf((float)k * (0.05f + 0.01f * (float)i)) * sinf((float)k * 0.001f);
        CHECK_OK(so_feed_audio(s, x, 12000 + 400 * (size_t)i, 16000, &error), error);
    }
    CHECK_OK(so_reply(s, SO_WANT_TEXT | SO_WANT_UNITS | (kind == 0 ? 0 : SO_WANT_VOICE), &error), error);
}

static const so_session_options plain = {.max_units = UNITS, .max_text = 40, .seed = 3};

/* Sessions join a crew one after another, `gap` steps apart; each must answer as it does alone. */
static void answers_do_not_depend_on_company(void **state)
{
    (void)state;
    static told alone[MOST], beside[MOST];
    so_error error;
    so_session *s[MOST];
    int made, busy;
    memset(alone, 0, sizeof alone);
    for (int i = 0; i < MOST; i++) {
        CHECK_OK(so_session_open(&s[0], model, &plain, &error), error);
        ask(s[0], i);
        while (!alone[i].done) take(s[0], &alone[i]);
        assert_int_equal(s[0]->talk->n_next, 0);
        so_session_close(&s[0]);
    }
    for (int gap = 0; gap < 12; gap += 5) {
        so_crew *crew;
        CHECK_OK(so_crew_open(&crew, model, &(so_crew_options){.voices = gap ? 2 : MOST}, &error), error);
        memset(beside, 0, sizeof beside);
        int joined = 0, done = 0;
        bool ahead = false; /* some text was named along with that of others */
        for (int step = 0; done < MOST; step++) {
            assert_true(step < 20000);
            while (joined < MOST && step >= joined * gap) {
                int i = gap % 2 ? MOST - 1 - joined : joined;
                CHECK_OK(so_crew_session(crew, &s[i], &plain, &error), error);
                if (gap == 5) s[i]->talk->options.slice_layers = 1 + i % 2; /* however prompts are cut on their way */
                ask(s[i], i);
                joined++;
            }
            CHECK_OK(so_crew_step(crew, &busy, &error), error);
            CHECK_OK(so_crew_speak(crew, &made, &error), error);
            done = 0;
            for (int k = 0; k < joined; k++) {
                int i = gap % 2 ? MOST - 1 - k : k;
                take(s[i], &beside[i]);
                done += beside[i].done;
                ahead |= s[i]->talk->n_next > 0;
            }
        }
        assert_true(ahead);
        for (int i = 0; i < MOST; i++) {
            assert_string_equal(beside[i].failure, "");
            assert_string_equal(beside[i].text, alone[i].text);
            assert_string_equal(beside[i].heard, alone[i].heard);
            assert_int_equal(beside[i].units, alone[i].units);
            assert_memory_equal(beside[i].unit, alone[i].unit, alone[i].units * sizeof *alone[i].unit);
            assert_int_equal(beside[i].samples, alone[i].samples);
            assert_memory_equal(beside[i].pcm, alone[i].pcm, alone[i].samples * sizeof *alone[i].pcm);
            assert_int_equal(beside[i].usage.prompt_positions, alone[i].usage.prompt_positions);
            so_session_close(&s[i]);
        }
        so_crew_close(&crew);
    }
}

/* Question i to a session with its own way of asking: words, or units. */
static void ask_alike(so_session *s, bool spoken, told *t)
{
    so_error error;
    int32_t unit[40];
    memset(t, 0, sizeof *t);
    for (int i = 0; i < 40; i++) unit[i] = i * 7 % 25;
    if (spoken)
        CHECK_OK(so_feed_units(s, unit, 40, &error), error);
    else
        CHECK_OK(so_feed_text(s, "what color is the star?", &error), error);
    CHECK_OK(so_reply(s, SO_WANT_TEXT | SO_WANT_UNITS, &error), error);
    for (int step = 0; !t->done; step++) {
        assert_true(step < 20000);
        if (s->crew) CHECK_OK(so_crew_step(s->crew, NULL, &error), error);
        take(s, t);
    }
}

/* What all conversations begin with is computed by the first, and copied by others, alone and in a crew: their answers
 * are the same, and their prompts tell that it was in place. */
static void others_copy_the_beginning(void **state)
{
    (void)state;
    static told first, other;
    so_error error;
    so_crew *crew;
    so_session_options options = plain;
    CHECK_OK(so_crew_open(&crew, model, NULL, &error), error);
    options.system = "Nobody else begins like this.";
    for (int spoken = 0; spoken < 2; spoken++) {
        so_session *s;
        CHECK_OK(so_session_open(&s, model, &options, &error), error);
        ask_alike(s, spoken, &first);
        assert_int_equal(first.usage.cached_positions, 0);
        so_session_close(&s);
        for (int i = 0; i < 4; i++) {
            if (i % 2)
                CHECK_OK(so_crew_session(crew, &s, &options, &error), error);
            else
                CHECK_OK(so_session_open(&s, model, &options, &error), error);
            int head = (int)s->head.n;
            ask_alike(s, spoken, &other);
            assert_int_equal(other.usage.cached_positions, head);
            assert_int_equal(other.usage.prompt_positions, first.usage.prompt_positions);
            assert_string_equal(other.text, first.text);
            assert_string_equal(other.heard, first.heard);
            assert_int_equal(other.units, first.units);
            assert_memory_equal(other.unit, first.unit, first.units * sizeof *first.unit);
            if (i == 3) { /* and behind another conversation, whose beginning is another */
                CHECK_OK(so_session_clear(s, &error), error);
                CHECK_OK(so_feed_system(s, "Nobody else at all.", &error), error);
                ask_alike(s, !spoken, &other);
                CHECK_OK(so_session_clear(s, &error), error);
                CHECK_OK(so_feed_system(s, options.system, &error), error);
                ask_alike(s, spoken, &other);
                assert_int_equal(other.usage.cached_positions, head);
                assert_string_equal(other.text, first.text);
                assert_memory_equal(other.unit, first.unit, first.units * sizeof *first.unit);
            }
            so_session_close(&s);
        }
    }
    so_crew_close(&crew);
}

/* Keys and values of the text that the top layers see are kept, for any window; an answer is as without. */
static void text_in_sight_is_kept(void **state)
{
    (void)state;
    static const int64_t window[] = {1, 2, 5, 16};
    static told t[2];
    so_error error;
    for (size_t i = 0; i < sizeof window / sizeof *window; i++) {
        for (int kept = 0; kept < 2; kept++) {
            so_session *s;
            so_session_options options = plain;
            options.window = (int)window[i];
            CHECK_OK(so_session_open(&s, model, &options, &error), error);
            assert_int_equal(s->talk->shown.capacity, 2 * window[i]);
            if (!kept) s->talk->shown.capacity = 0;
            ask_alike(s, false, &t[kept]);
            if (kept) assert_true(s->talk->n_shown > 0 && s->talk->shown.len <= 2 * window[i]);
            so_session_close(&s);
        }
        assert_int_equal(t[0].units, t[1].units);
        assert_true(t[0].units > 0);
        assert_memory_equal(t[0].unit, t[1].unit, t[0].units * sizeof *t[0].unit);
    }
}

/* A clock that goes on by a second when it is read: whatever is done between two readings takes one. */
static double tick(void *at) { return ++*(double *)at; }

/* A piece of work in every step of the crew, and no more. */
static void one_piece_at_a_time(so_crew *crew, double *at)
{
    so_pace *pace = so_crew_pace(crew);
    *pace = (so_pace){.clock = tick, .context = at, .guess = 1};
    for (int k = 0; k < SO_PACE_KINDS; k++) pace->rate[k] = 1;
}

/* Arrivals, stops, slow readers, barge-in, branches and closes in any order, by a scheduler that is told by a seed.
 * Every answer ends with one DONE, and what a session says once stopped is nothing. */
static void chaos(uint64_t seed, int rounds)
{
    enum { SLOTS = 5 };
    static told t[SLOTS];
    so_session *s[SLOTS] = {0};
    bool asked[SLOTS] = {0}, stopped[SLOTS] = {0};
    size_t samples_then[SLOTS] = {0};
    so_error error;
    so_crew *crew;
    so_rng rng;
    int made, busy, forks = 0;
    so_rng_init(&rng, seed, 0);
    CHECK_OK(so_crew_open(&crew, model, &(so_crew_options){.sessions = SLOTS, .voices = 2, .prompt_rows = 16}, &error),
             error);
    for (int round = 0; round < rounds; round++) {
        int i = (int)so_rng_below(&rng, SLOTS), what = (int)so_rng_below(&rng, 16);
        if (!s[i]) {
            CHECK_OK(so_crew_session(crew, &s[i], &plain, &error), error);
            s[i]->talk->options.slice_layers = 1 + (int64_t)so_rng_below(&rng, 3);
            s[i]->talk->options.tower_halves = 1 + (int64_t)so_rng_below(&rng, 2);
            s[i]->talk->options.label_rows = 1 + (int64_t)so_rng_below(&rng, SO_LABEL_ROWS);
            asked[i] = stopped[i] = false;
        }
        if (what == 0 && so_rng_below(&rng, 6) == 0) {
            so_session_close(&s[i]);
            continue;
        }
        if (what < 4 && !asked[i]) {
            memset(&t[i], 0, sizeof t[i]);
            ask(s[i], (int)so_rng_below(&rng, MOST));
            asked[i] = true;
            stopped[i] = false;
        } else if (what == 4 && asked[i]) {
            so_session_stop(s[i]);
            take(s[i], &t[i]);
            stopped[i] = true;
            samples_then[i] = t[i].samples;
        } else if (what == 5) {
            float x[640];
            for (int k = 0; k < 640; k++) x[k] = 0.2f * sinf((float)k * 0.1f);
            if (asked[i]) CHECK_OK(so_feed_audio(s[i], x, 640, 16000, &error), error);
        } else if (what == 6 && asked[i]) {
            assert_int_equal(so_feed_text(s[i], "no", &error), SO_ERR_STATE);
        } else if (what < 9) {
            CHECK_OK(so_crew_speak(crew, &made, &error), error);
        } else if (what < 14) {
            CHECK_OK(so_crew_step(crew, &busy, &error), error);
        } else if (what == 14 && !asked[(i + 1) % SLOTS]) {
            int k = (i + 1) % SLOTS; /* a branch, which answers next to what it came from */
            so_session_close(&s[k]);
            so_status status = so_session_fork(&s[k], s[i], &error);
            if (asked[i]) assert_int_equal(status, SO_ERR_STATE);
            assert_true(status == SO_ERR_STATE || (status == SO_OK && s[k]));
            forks += status == SO_OK;
            asked[k] = stopped[k] = false;
        } else {
            take(s[i], &t[i]);
        }
        if (s[i] && asked[i] && t[i].done) {
            assert_int_equal(t[i].done, 1);
            assert_string_equal(t[i].failure, "");
            assert_int_equal(t[i].usage.stopped, stopped[i] && t[i].usage.end == SO_END_STOPPED);
            if (stopped[i]) assert_int_equal(t[i].samples, samples_then[i]);
            asked[i] = false;
            if (so_rng_below(&rng, 2)) CHECK_OK(so_session_clear(s[i], &error), error);
        }
    }
    assert_true(forks > 0);
    for (int i = 0; i < SLOTS; i++) so_session_close(&s[i]);
    so_crew_close(&crew);
}

static void any_order_of_calls(void **state)
{
    (void)state;
    int runs = times(1, 2, 60), rounds = times(2000, 4000, 4000);
    for (int i = 0; i < runs; i++) chaos((uint64_t)i + 1, rounds);
}

/* A stop ends an answer whose prompt is still being read; the session goes on. */
static void a_prompt_can_be_stopped(void **state)
{
    (void)state;
    so_crew *crew;
    so_session *s;
    so_error error;
    static told t;
    memset(&t, 0, sizeof t);
    double at = 0;
    CHECK_OK(so_crew_open(&crew, model, &(so_crew_options){.prompt_rows = 4}, &error), error);
    one_piece_at_a_time(crew, &at);
    CHECK_OK(so_crew_session(crew, &s, &plain, &error), error);
    ask(s, 3);
    for (int i = 0; i < 4; i++) CHECK_OK(so_crew_step(crew, NULL, &error), error);
    assert_true(s->stage < SO_BEGUN);
    take(s, &t);
    assert_false(t.done);
    so_session_stop(s);
    take(s, &t);
    assert_int_equal(t.done, 1);
    assert_int_equal(t.usage.stopped, 1);
    assert_int_equal(t.usage.end, SO_END_STOPPED);
    assert_int_equal(t.text[0] + (int)t.units + (int)t.samples, 0);
    CHECK_OK(so_feed_text(s, "hello", &error), error);
    CHECK_OK(so_reply(s, SO_WANT_TEXT, &error), error);
    for (int i = 0; i < 2000 && t.done < 2; i++) {
        CHECK_OK(so_crew_step(crew, NULL, &error), error);
        take(s, &t);
    }
    assert_int_equal(t.done, 2);
    assert_true(t.text[0]);
    so_session_close(&s);
    so_crew_close(&crew);
}

/* A picture is looked at in pieces, between which others are answered; the answer is that of a whole look. It may be
 * stopped, or dropped, between them. */
static void a_picture_is_looked_at_in_pieces(void **state)
{
    (void)state;
    static told alone, t, other;
    so_error error;
    so_crew *crew;
    so_session *s, *talker;
    memset(&alone, 0, sizeof alone);
    memset(&other, 0, sizeof other);
    CHECK_OK(so_session_open(&s, model, &plain, &error), error);
    ask(s, 5);
    while (!alone.done) take(s, &alone);
    so_session_close(&s);
    double at = 0;
    CHECK_OK(so_crew_open(&crew, model, NULL, &error), error);
    one_piece_at_a_time(crew, &at);
    CHECK_OK(so_crew_session(crew, &talker, &plain, &error), error);
    for (int way = 0; way < 3; way++) { /* to the end; stopped on the way, then asked anew; dropped on the way */
        memset(&t, 0, sizeof t);
        CHECK_OK(so_crew_session(crew, &s, &plain, &error), error);
        if (talker->phase != SO_ANSWERING) {
            memset(&other, 0, sizeof other);
            ask(talker, 0);
        }
        for (int i = 0; i < 100 && talker->stage < SO_BEGUN; i++) CHECK_OK(so_crew_step(crew, NULL, &error), error);
        ask(s, 5);
        int steps = 0, before = talker->usage.text_tokens + talker->usage.units;
        while (s->waiting && ++steps < (way ? 2 : 20)) CHECK_OK(so_crew_step(crew, NULL, &error), error);
        assert_true(talker->usage.text_tokens + talker->usage.units >= before + steps - 1);
        if (way) {
            assert_int_equal(s->waiting, 1);
            assert_true(s->talk->looking.cut);
            so_session_stop(s);
            while (!t.done) take(s, &t);
            CHECK_OK(so_crew_step(crew, NULL, &error), error);
            CHECK_OK(so_session_clear(s, &error), error);
            assert_int_equal(s->waiting + s->talk->looking.cut + s->talk->looking.view, 0);
            memset(&t, 0, sizeof t);
            ask(s, 5);
        } else {
            assert_int_equal(steps, 3); /* patches, layers, the projector */
        }
        for (int i = 0; i < 4000 && !t.done; i++) {
            int made;
            CHECK_OK(so_crew_step(crew, NULL, &error), error);
            CHECK_OK(so_crew_speak(crew, &made, &error), error);
            take(s, &t);
            take(talker, &other);
        }
        assert_int_equal(t.done, 1);
        assert_string_equal(t.text, alone.text);
        assert_int_equal(t.units, alone.units);
        assert_memory_equal(t.unit, alone.unit, t.units * sizeof *t.unit);
        so_session_close(&s);
    }
    so_session_close(&talker);
    so_crew_close(&crew);
}

/* Sound of a question that was given up before the ear had it does not begin the next one. */
static void a_question_given_up_leaves_no_sound(void **state)
{
    (void)state;
    static told t;
    static float x[32000];
    so_error error;
    so_crew *crew;
    so_session *s;
    for (int k = 0; k < 32000; k++) x[k] = 0.3f * sinf((float)k * 0.07f) * sinf((float)k * 0.002f);
    memset(&t, 0, sizeof t);
    CHECK_OK(so_crew_open(&crew, model, NULL, &error), error);
    CHECK_OK(so_crew_session(crew, &s, &plain, &error), error);
    CHECK_OK(so_feed_audio(s, x, 32000, 16000, &error), error);
    CHECK_OK(so_reply(s, SO_WANT_TEXT, &error), error);
    CHECK_OK(so_crew_step(crew, NULL, &error), error);
    CHECK_OK(so_feed_audio(s, x, 4000, 16000, &error), error); /* said into the answer: kept */
    so_session_stop(s);
    while (!t.done) take(s, &t);
    CHECK_OK(so_feed_audio(s, x, 12000, 16000, &error), error);
    CHECK_OK(so_reply(s, SO_WANT_TEXT, &error), error);
    for (int i = 0; i < 4000 && t.done < 2; i++) {
        CHECK_OK(so_crew_step(crew, NULL, &error), error);
        take(s, &t);
    }
    assert_int_equal(t.done, 2);
    assert_float_equal(t.usage.heard_s, 1.0, 1e-6);
    so_session_close(&s);
    so_crew_close(&crew);
}

/* What is said into an answer is the beginning of the next turn: nothing of it is lost, in a crew and without. */
static void barge_in_keeps_its_first_words(void **state)
{
    (void)state;
    static told t;
    static float x[24000];
    for (int k = 0; k < 24000; k++) x[k] = 0.3f * sinf((float)k * 0.07f) * sinf((float)k * 0.002f);
    for (int way = 0; way < 2; way++) {
        so_crew *crew = NULL;
        so_session *s;
        so_error error;
        memset(&t, 0, sizeof t);
        if (way) CHECK_OK(so_crew_open(&crew, model, NULL, &error), error);
        if (way)
            CHECK_OK(so_crew_session(crew, &s, &plain, &error), error);
        else
            CHECK_OK(so_session_open(&s, model, &plain, &error), error);
        CHECK_OK(so_feed_text(s, "hello", &error), error);
        CHECK_OK(so_reply(s, SO_WANT_TEXT | SO_WANT_UNITS, &error), error);
        for (int i = 0; i < 3 && way; i++) CHECK_OK(so_crew_step(crew, NULL, &error), error);
        CHECK_OK(so_feed_audio(s, x, 8000, 16000, &error), error);
        assert_int_equal(so_feed_audio(s, x, 10, 8000, &error), SO_ERR_ARG); /* the rate is settled */
        so_session_stop(s);
        while (!t.done) take(s, &t);
        CHECK_OK(so_feed_audio(s, x + 8000, 16000, 16000, &error), error);
        CHECK_OK(so_reply(s, SO_WANT_TEXT, &error), error);
        for (int i = 0; i < 4000 && t.done < 2; i++) {
            if (way) CHECK_OK(so_crew_step(crew, NULL, &error), error);
            take(s, &t);
        }
        assert_float_equal(t.usage.heard_s, 1.5, 1e-6);
        so_session_close(&s);
        so_crew_close(&crew);
    }
}

/* The slots are what a computation from nothing gives, with the pictures of this session. */
static void holds_what_slots_say(so_session *s)
{
    so_talk *fresh;
    so_error error;
    CHECK_OK(so_talk_open(&fresh, model, &s->talk->options, &error), error);
    memcpy(fresh->vectors, s->talk->vectors, (size_t)(s->talk->n_vectors * 32) * sizeof(so_real));
    fresh->n_vectors = s->talk->n_vectors;
    CHECK_OK(so_talk_sync(fresh, s->slots.slot, s->slots.n, &error), error);
    assert_int_equal(fresh->backbone.len, s->talk->backbone.len);
    check_close("thought", s->talk->thought, fresh->thought, 32, 1e-4, 1e-4);
    so_talk_close(&fresh);
}

/* A conversation far longer than its context: the oldest turns leave, the system text stays, and what is left is what a
 * computation from nothing gives. */
static void a_full_context_is_no_end(void **state)
{
    (void)state;
    so_session *s;
    so_error error;
    static told t;
    int turns = times(40, 60, 1000);
    for (int error_wanted = 0; error_wanted < 2; error_wanted++) {
        so_session_options options = {.max_text = 12, .on_full = error_wanted ? SO_FULL_ERROR : SO_FULL_FORGET};
        so_status status = SO_OK;
        memset(&t, 0, sizeof t);
        CHECK_OK(so_session_open(&s, model, &options, &error), error);
        for (int i = 0; i < turns && status == SO_OK; i++) {
            t.text[0] = 0;
            if (i % 3 == 0 && !error_wanted) {
                uint8_t rgb[16 * 16 * 3];
                memset(rgb, i, sizeof rgb);
                CHECK_OK(so_feed_image(s, rgb, 16, 16, &error), error);
            }
            CHECK_OK(so_feed_text(s, i % 2 ? "where is the red star?" : "and the cat on the mat?", &error), error);
            status = so_reply(s, SO_WANT_TEXT, &error);
            while (status == SO_OK && t.done == i) take(s, &t);
            assert_true(s->talk->backbone.len <= 512);
        }
        if (error_wanted) {
            assert_int_equal(status, SO_ERR_LIMIT);
            assert_int_equal(t.forgot, 0);
        } else {
            assert_int_equal(status, SO_OK);
            assert_true(t.forgot > turns / 2 && t.forgot < turns);
            assert_memory_equal(&s->slots.slot[0].id, s->head.data, sizeof(int32_t));
            for (size_t i = 0; i < s->head.n; i++) assert_int_equal(s->slots.slot[i].id, s->head.data[i]);
            CHECK_OK(so_feed_text(s, "hello", &error), error);
            CHECK_OK(so_reply(s, SO_WANT_TEXT, &error), error);
            holds_what_slots_say(s);
        }
        so_session_close(&s);
    }
}

/* What is foretold is what is taken; a crew whose memory is spent says what is missing. */
static void memory_is_foretold(void **state)
{
    (void)state;
    so_forecast f, g;
    so_error error;
    so_crew *crew;
    so_session *s[3];
    so_model *longer;
    so_session_options options = plain;
    for (int front = -1; front <= 1; front += 2) {
        options.front = front;
        CHECK_OK(so_session_forecast(model, &options, &f, &error), error);
        struct mallinfo2 before = mallinfo2();
        CHECK_OK(so_session_open(&s[0], model, &options, &error), error);
        struct mallinfo2 after = mallinfo2();
        size_t heap = after.uordblks + after.hblkhd - before.uordblks - before.hblkhd;
        size_t maps = s[0]->talk->memory.capacity + s[0]->memory.capacity + s[0]->mouth->memory.capacity +
                      s[0]->ear->memory.capacity;
        size_t all = f.fixed + f.voice + 512 * f.per_position;
        if (heap) assert_true(heap + maps <= all + all / 100 && all <= heap + maps + all / 100);
        so_session_close(&s[0]);
    }
    CHECK_OK(so_session_forecast(model, &plain, &f, &error), error);
    assert_true(f.fixed && f.per_position && f.scratch && f.voice);
    CHECK_OK(so_model_open(&longer, folder, &(so_model_options){.threads = 1, .context = 1024}, &error), error);
    CHECK_OK(so_session_forecast(longer, &plain, &g, &error), error);
    assert_int_equal(g.per_position, f.per_position);
    assert_int_equal(g.voice, f.voice);
    assert_true(g.fixed <= f.fixed + 8192 && f.fixed <= g.fixed + 8192); /* whole pages */
    so_model_close(&longer);
    size_t one = f.fixed + f.voice + 512 * f.per_position;
    CHECK_OK(so_crew_open(&crew, model, &(so_crew_options){.memory = 2 * one}, &error), error);
    for (int i = 0; i < 2; i++) {
        CHECK_OK(so_crew_session(crew, &s[i], &plain, &error), error);
        size_t taken = s[i]->talk->memory.capacity + s[i]->memory.capacity + s[i]->mouth->memory.capacity;
        assert_true(s[i]->bytes == one && taken < one && taken > one / 2);
    }
    assert_int_equal(so_crew_session(crew, &s[2], &plain, &error), SO_ERR_LIMIT);
    assert_null(s[2]);
    assert_non_null(strstr(error.text, "0 are free"));
    so_session_close(&s[0]);
    CHECK_OK(so_crew_session(crew, &s[2], &plain, &error), error);
    so_session_close(&s[1]);
    so_session_close(&s[2]);
    so_crew_close(&crew);
    CHECK_OK(so_crew_open(&crew, model, &(so_crew_options){.sessions = 1}, &error), error);
    CHECK_OK(so_crew_session(crew, &s[0], &plain, &error), error);
    assert_int_equal(so_crew_session(crew, &s[1], &plain, &error), SO_ERR_LIMIT);
    assert_int_equal(so_crew_session(crew, &s[1], &(so_session_options){.first_units = 99}, &error), SO_ERR_LIMIT);
    so_session_close(&s[0]);
    assert_int_equal(so_crew_session(crew, &s[1], &(so_session_options){.first_units = 99}, &error), SO_ERR_ARG);
    int opens = times(20, 100, 10000);
    for (int i = 0; i < opens; i++) {
        CHECK_OK(so_crew_session(crew, &s[0], &(so_session_options){.max_units = 20, .max_text = 20}, &error), error);
        so_session_close(&s[0]);
    }
    so_crew_close(&crew);
    assert_int_equal(so_crew_open(&crew, model, &(so_crew_options){.sessions = -1}, &error), SO_ERR_ARG);
    assert_null(crew);
    assert_int_equal(so_crew_open(&crew, NULL, NULL, &error), SO_ERR_ARG);
    so_crew_close(NULL);
}

static void answer(so_session *s, told *t)
{
    so_error error;
    t->done = 0;
    t->text[0] = 0;
    CHECK_OK(so_reply(s, SO_WANT_TEXT, &error), error);
    while (!t->done) take(s, t);
}

/* A small model knows one picture at a time: with a new one the turn of the older one leaves, and is told. Several in
 * one turn stay, and a model that is not small keeps them. */
static void a_new_picture_takes_the_place_of_an_older_one(void **state)
{
    (void)state;
    static told t;
    so_session *s;
    so_error error;
    uint8_t rgb[16 * 16 * 3];
    assert_true(model->one_picture);
    for (int one = 0; one < 2; one++) {
        model->one_picture = one;
        memset(&t, 0, sizeof t);
        CHECK_OK(so_session_open(&s, model, &plain, &error), error);
        for (int turn = 0; turn < 3; turn++) {
            for (int k = 0; k < (turn == 2 ? 2 : turn == 0); k++) {
                memset(rgb, 40 * turn + k, sizeof rgb);
                CHECK_OK(so_feed_image(s, rgb, 16, 16, &error), error);
            }
            CHECK_OK(so_feed_text(s, "where is the cat?", &error), error);
            answer(s, &t);
            assert_int_equal(t.usage.image_in, s->vectors[0] * (turn < 2 ? 1 : one ? 2 : 3));
        }
        assert_int_equal(t.forgot, one); /* the turn with the picture; the one behind it stays */
        so_session_close(&s);
    }
}

/* Where pictures are kept their turns leave without them: they stand in the oldest turn that is left, or in the open
 * one, behind its header and in their order. */
static void kept_pictures_stay(void **state)
{
    (void)state;
    static told t;
    so_session *s;
    so_error error;
    uint8_t rgb[16 * 16 * 3];
    memset(&t, 0, sizeof t);
    so_session_options options = {.max_text = 12, .on_full = SO_FULL_KEEP_PICTURES};
    CHECK_OK(so_session_open(&s, model, &options, &error), error);
    for (int turn = 0; turn < 40; turn++) {
        memset(rgb, 40 * turn + 1, sizeof rgb);
        if (turn == 0 || turn == 2) CHECK_OK(so_feed_image(s, rgb, 16, 16, &error), error);
        int64_t each = s->talk->n_vectors / (turn < 2 ? 1 : 2);
        CHECK_OK(so_feed_text(s, turn % 2 ? "where is the red star?" : "and the cat on the mat?", &error), error);
        answer(s, &t);
        assert_int_equal(t.usage.image_in, each * (turn < 2 ? 1 : 2));
    }
    assert_true(t.forgot > 20);
    for (size_t i = 0; i < s->head.n; i++) assert_int_equal(s->slots.slot[i].id, s->head.data[i]);
    for (int64_t i = 0, seen = 0; seen < s->talk->n_vectors; i++) {
        if (s->slots.slot[(int64_t)s->head.n + i].where != SO_SLOT_IMAGE) continue;
        assert_int_equal(s->slots.slot[(int64_t)s->head.n + i].id, seen++);
        assert_true(i < s->talk->n_vectors + 2 * (int64_t)s->after_picture.n);
    }
    CHECK_OK(so_feed_text(s, "hello", &error), error);
    CHECK_OK(so_reply(s, SO_WANT_TEXT, &error), error);
    holds_what_slots_say(s);
    for (t.done = 0; !t.done;) take(s, &t);
    CHECK_OK(so_feed_text(s, "and now?", &error), error);
    while (so_session_drop_turn(s)) continue;
    assert_int_equal(s->history, 0);
    answer(s, &t);
    assert_int_equal(t.usage.image_in, s->talk->n_vectors);
    so_session_close(&s);
    assert_int_equal(so_session_open(&s, model, &(so_session_options){.on_full = 3}, &error), SO_ERR_ARG);
}

/* A client that keeps the conversation itself finds its first turn in place with the second request, also where the
 * speech side remembers nothing and history is words alone. */
static void a_second_request_finds_the_first(void **state)
{
    (void)state;
    so_session *a, *b;
    so_error error;
    static told t;
    for (int remembers = 0; remembers < 2; remembers++) {
        bool before = model->setup.speech_history;
        model->setup.speech_history = remembers;
        memset(&t, 0, sizeof t);
        CHECK_OK(so_session_open(&a, model, &plain, &error), error);
        CHECK_OK(so_session_open(&b, model, &plain, &error), error);
        CHECK_OK(so_feed_text(a, "what color is the star?", &error), error);
        answer(a, &t);
        CHECK_OK(so_feed_text(b, "what color is the star?", &error), error);
        CHECK_OK(so_feed_answer(b, t.text, &error), error);
        int64_t question = t.usage.prompt_positions;
        CHECK_OK(so_feed_text(b, "and the circle?", &error), error);
        assert_true(so_session_shared(a, b) >= question);
        CHECK_OK(so_feed_text(a, "and the circle?", &error), error);
        answer(a, &t);
        assert_true(t.usage.cached_positions >= question);
        so_session_close(&a);
        so_session_close(&b);
        model->setup.speech_history = before;
    }
}

/* A conversation that is fed as a client keeps it, told apart from others by what they share; and a branch of it. */
static void history_comes_from_outside(void **state)
{
    (void)state;
    so_session *a, *b, *c;
    so_error error;
    static told one, two, three;
    CHECK_OK(so_session_open(&a, model, &plain, &error), error);
    CHECK_OK(so_session_open(&b, model, &plain, &error), error);
    assert_int_equal(so_feed_answer(a, "red", &error), SO_ERR_STATE);
    CHECK_OK(so_feed_system(a, "Be brief.", &error), error);
    CHECK_OK(so_feed_system(b, "Be brief.", &error), error);
    for (int i = 0; i < 2; i++) {
        so_session *s = i ? b : a;
        CHECK_OK(so_feed_text(s, "what color is the star?", &error), error);
        CHECK_OK(so_feed_answer(s, "the red star", &error), error);
        assert_int_equal(so_feed_system(s, "late", &error), SO_ERR_STATE);
        CHECK_OK(so_feed_text(s, i ? "where is the cat?" : "hello", &error), error);
        if (!i) answer(a, &one);
    }
    int64_t shared = so_session_shared(a, b), all = 0;
    for (int64_t i = 0; i < b->slots.n; i++) all += (b->slots.slot[i].where & SO_SLOT_TEXT) != 0;
    assert_true(shared > all / 2 && shared < all);
    assert_int_equal(so_session_shared(b, a), 0); /* b has computed nothing yet */
    answer(b, &two);
    assert_int_equal(two.usage.cached_positions, 0);
    /* What a had, without the answer of its own, is the beginning of b's: cleared and fed the same it computes the
     * rest. */
    CHECK_OK(so_session_clear(a, &error), error);
    CHECK_OK(so_feed_system(a, "Be brief.", &error), error);
    CHECK_OK(so_feed_text(a, "what color is the star?", &error), error);
    CHECK_OK(so_feed_answer(a, "the red star", &error), error);
    CHECK_OK(so_feed_text(a, "where is the cat?", &error), error);
    CHECK_OK(so_session_fork(&c, a, &error), error);
    answer(a, &one);
    assert_int_equal(one.usage.cached_positions, shared);
    assert_string_equal(one.text, two.text);
    answer(c, &three);
    assert_int_equal(three.usage.cached_positions, shared);
    assert_string_equal(three.text, two.text);
    so_session_close(&c);
    CHECK_OK(so_session_fork(&c, a, &error), error); /* behind an answer */
    CHECK_OK(so_feed_text(c, "and the circle?", &error), error);
    CHECK_OK(so_feed_text(a, "and the circle?", &error), error);
    answer(a, &one);
    answer(c, &three);
    assert_string_equal(one.text, three.text);
    assert_int_equal(one.usage.prompt_positions, three.usage.prompt_positions);
    CHECK_OK(so_feed_text(a, "hello", &error), error);
    CHECK_OK(so_reply(a, SO_WANT_TEXT, &error), error);
    so_session_close(&c);
    assert_int_equal(so_session_fork(&c, a, &error), SO_ERR_STATE);
    assert_null(c);
    so_session_close(&a);
    so_session_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(answers_do_not_depend_on_company),
                                       cmocka_unit_test(any_order_of_calls),
                                       cmocka_unit_test(others_copy_the_beginning),
                                       cmocka_unit_test(text_in_sight_is_kept),
                                       cmocka_unit_test(a_prompt_can_be_stopped),
                                       cmocka_unit_test(a_picture_is_looked_at_in_pieces),
                                       cmocka_unit_test(a_question_given_up_leaves_no_sound),
                                       cmocka_unit_test(barge_in_keeps_its_first_words),
                                       cmocka_unit_test(a_full_context_is_no_end),
                                       cmocka_unit_test(memory_is_foretold),
                                       cmocka_unit_test(history_comes_from_outside),
                                       cmocka_unit_test(a_second_request_finds_the_first),
                                       cmocka_unit_test(a_new_picture_takes_the_place_of_an_older_one),
                                       cmocka_unit_test(kept_pictures_stay)};
    return cmocka_run_group_tests(tests, open_model, close_model);
}
