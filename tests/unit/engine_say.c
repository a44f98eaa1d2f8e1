/* Saying given words: the text is theirs, whatever the weights are.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <stdbool.h>

#include "checkpoint/model.h"
#include "place.h"
#include "so.h"
#include "so_recipes.h"

static char folder[64];
static so_model *model;

/* A model of the tabletop's shape with random weights. */
static int make_model(void **state)
{
    (void)state;
    so_error e = {0};
    char path[128];
    snprintf(folder, sizeof folder, "/tmp/so-say-XXXXXX");
    if (place_make(folder)) return 1;
    so_recipe_options recipe = {.folder = folder, .part = "vocabulary", .seed = 1, .threads = 1};
    if (so_tabletop_recipe(&recipe, &e) != SO_OK) return fprintf(stderr, "%s\n", e.text), 1;
    recipe.part = "model";
    if (so_tabletop_recipe(&recipe, &e) != SO_OK) return fprintf(stderr, "%s\n", e.text), 1;
    snprintf(path, sizeof path, "%s/model", folder);
    so_model_options options = {.threads = 1};
    if (so_model_open(&model, path, &options, &e) != SO_OK) return fprintf(stderr, "%s\n", e.text), 1;
    return 0;
}

static int remove_model(void **state)
{
    (void)state;
    so_model_close(&model);
    return place_remove(folder);
}

static void says_what_it_is_given(void **state)
{
    (void)state;
    const char *words = "The star is red.";
    char got[256] = "";
    int units = 0;
    so_error e;
    so_session *session;
    so_event event = {0};
    so_session_options options = {.max_units = 300};
    CHECK_OK(so_session_open(&session, model, &options, &e), e);
    for (int round = 0; round < 2; round++) { /* the second as a later turn */
        got[0] = 0;
        units = 0;
        CHECK_OK(so_say(session, words, SO_WANT_TEXT | SO_WANT_UNITS, &e), e);
        do {
            CHECK_OK(so_next(session, &event, &e), e);
            if (event.kind == SO_EVENT_TEXT) strncat(got, event.text, sizeof got - strlen(got) - 1);
            if (event.kind == SO_EVENT_UNITS) units += (int)event.n_units;
        } while (event.kind != SO_EVENT_DONE);
        assert_true(strlen(got) > 0);
        assert_memory_equal(got, words, strlen(got));
        assert_int_equal(units, event.usage.units);
    }
    so_session_close(&session);
}

/* Units of one answer, at most 300; *usage is the answer's. */
static int answer(int units_per_token, bool say, int32_t *unit, so_usage *usage)
{
    so_error e;
    so_session *session;
    so_event event = {0};
    so_session_options options = {.max_units = 300, .max_text = 64, .units_per_token = units_per_token};
    int n = 0;
    CHECK_OK(so_session_open(&session, model, &options, &e), e);
    if (say) {
        CHECK_OK(so_say(session, "The star is red.", SO_WANT_UNITS, &e), e);
    } else {
        CHECK_OK(so_feed_text(session, "Hello.", &e), e);
        CHECK_OK(so_reply(session, SO_WANT_UNITS, &e), e);
    }
    do {
        CHECK_OK(so_next(session, &event, &e), e);
        for (size_t i = 0; i < event.n_units && event.kind == SO_EVENT_UNITS; i++) unit[n++] = event.units[i];
    } while (event.kind != SO_EVENT_DONE);
    *usage = event.usage;
    so_session_close(&session);
    return n;
}

/* Random weights never come to an end by themselves, nor do they say what they should. */
static void a_voice_that_runs_away_is_ended(void **state)
{
    (void)state;
    int32_t free_run[300], held[300];
    so_usage usage;
    int whole = answer(-1, true, free_run, &usage);
    assert_int_equal(usage.ran_away, 0);
    assert_int_equal(whole, usage.units);
    for (int most = 5; most <= 40; most += 7) {
        int n = answer(most, true, held, &usage);
        assert_int_equal(usage.ran_away, 1);
        assert_int_equal(usage.stopped, 0);
        assert_in_range(n, 0, most * (usage.text_tokens + 1));
        assert_true(n < whole);
        assert_memory_equal(held, free_run, (size_t)n * sizeof *held); /* and until then nothing is different */
    }
    int said = answer(0, true, held, &usage);
    assert_int_equal(usage.ran_away, 1);
    assert_true(said < whole);
    /* This model's configuration asks for the same in conversation; -1 takes it away. */
    int asked = answer(0, false, held, &usage);
    assert_int_equal(usage.ran_away, 1);
    int never = answer(-1, false, free_run, &usage);
    assert_int_equal(usage.ran_away, 0);
    assert_true(asked < never);
    assert_memory_equal(held, free_run, (size_t)asked * sizeof *held);
}

/* A head whose rows are all alike, so that the lowest id is chosen, and what it was. */
typedef struct level {
    so_tensor *head;
    so_real *kept;
    size_t bytes;
} level;

static void flatten(level *l, so_tensor *head)
{
    *l = (level){.head = head, .bytes = (size_t)so_count(head) * sizeof(so_real)};
    l->kept = malloc(l->bytes);
    assert_non_null(l->kept);
    memcpy(l->kept, head->data, l->bytes);
    memset(head->data, 0, l->bytes);
}

static void restore(level *l)
{
    memcpy(l->head->data, l->kept, l->bytes);
    free(l->kept);
}

/* A voice that ends before it was given all words goes on with those that are left: each is told once, in order. */
static void goes_on_where_a_voice_ended(void **state)
{
    (void)state;
    const char *words = "The star is red and the square is blue and the circle is green and the cross is big. No.";
    int gave_up = 0;
    for (int most = 1; most <= 14; most += most == 1 ? 3 : 5) {
        level ctc_head;
        int32_t blank = model->blank;
        bool deaf = most == 14; /* a voice that hears nothing of itself comes to no word */
        char got[512] = "";
        int units = 0;
        so_error e;
        so_session *session;
        so_event event = {0};
        so_session_options options = {.max_units = 250, .max_text = 128, .units_per_token = most};
        if (deaf) flatten(&ctc_head, model->net.ctc_head), model->blank = 0;
        CHECK_OK(so_session_open(&session, model, &options, &e), e);
        CHECK_OK(so_say(session, words, SO_WANT_TEXT | SO_WANT_UNITS, &e), e);
        do {
            CHECK_OK(so_next(session, &event, &e), e);
            if (event.kind == SO_EVENT_TEXT) strncat(got, event.text, sizeof got - strlen(got) - 1);
            if (event.kind == SO_EVENT_UNITS) units += (int)event.n_units;
        } while (event.kind != SO_EVENT_DONE);
        assert_int_equal(units, event.usage.units);
        size_t n = strlen(got) - 4; /* " No." */
        assert_memory_equal(got, words, n);
        assert_string_equal(got + n, " No.");
        /* What was given up is told, and all of it. */
        char rest[128];
        snprintf(rest, sizeof rest, "%.*s", (int)(strlen(words) - 4 - n), words + n);
        if (rest[0]) {
            assert_non_null(event.text);
            assert_non_null(strstr(event.text, rest + strspn(rest, " ")));
            assert_null(strstr(event.text, "No"));
            gave_up++;
        }
        size_t end = 0;
        CHECK_OK(so_session_heard_ms(session, 1000000, &end, &e), e);
        assert_in_range(end, deaf ? 0 : strlen(got), strlen(got));
        so_session_close(&session);
        if (deaf) restore(&ctc_head), model->blank = blank;
    }
    assert_true(gave_up > 0);
}

/* A head without preferences ends a voice at once, where the published loop runs; one that follows its words waits for
 * them. */
static void a_voice_does_not_end_before_its_words(void **state)
{
    (void)state;
    enum { PATIENCE = 15 };
    level unit_head, ctc_head;
    int32_t unit[300], stop = model->setup.stop[0];
    int64_t follows = model->setup.units_per_token;
    so_usage usage;
    assert_true(follows > PATIENCE);
    flatten(&unit_head, model->net.unit_head);
    flatten(&ctc_head, model->net.ctc_head);
    int32_t blank = model->blank;
    model->setup.stop[0] = model->blank = 0; /* the lowest of equals: nothing is heard */
    int waits = answer(-1, true, unit, &usage);
    model->setup.units_per_token = 0;
    int ends = answer(-1, true, unit, &usage);
    model->setup.units_per_token = follows;
    model->setup.stop[0] = stop;
    model->blank = blank;
    restore(&unit_head);
    restore(&ctc_head);
    assert_int_equal(ends, 0);
    assert_in_range(waits, PATIENCE, 299);
    assert_int_equal(waits % PATIENCE, 0); /* of each piece that was tried */
}

static void refuses_what_it_cannot_say(void **state)
{
    (void)state;
    so_error e;
    so_session *session;
    so_session_options options = {.max_text = 8};
    CHECK_OK(so_session_open(&session, model, &options, &e), e);
    assert_int_equal(so_say(session, "Hello.", SO_WANT_TEXT, &e), SO_ERR_ARG);
    assert_int_equal(so_say(session, "", SO_WANT_UNITS, &e), SO_ERR_ARG);
    assert_int_equal(
        so_say(session, "one two three four five six seven eight nine ten eleven twelve", SO_WANT_UNITS, &e),
        SO_ERR_LIMIT);
    assert_int_equal(so_say(session, "Hello.", SO_WANT_UNITS | SO_WANT_VOICE, &e), SO_ERR_UNSUPPORTED);
    CHECK_OK(so_feed_text(session, "Hello.", &e), e);
    assert_int_equal(so_say(session, "Hello.", SO_WANT_UNITS, &e), SO_ERR_STATE);
    so_session_close(&session);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_what_it_is_given),       cmocka_unit_test(a_voice_that_runs_away_is_ended),
        cmocka_unit_test(goes_on_where_a_voice_ended), cmocka_unit_test(a_voice_does_not_end_before_its_words),
        cmocka_unit_test(refuses_what_it_cannot_say),
    };
    return cmocka_run_group_tests(tests, make_model, remove_model);
}
