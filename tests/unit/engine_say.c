/* Saying given words: the text is theirs, whatever the weights are.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
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
    if (!mkdtemp(folder)) return 1;
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
    char command[128];
    so_model_close(&model);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
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
        cmocka_unit_test(says_what_it_is_given),
        cmocka_unit_test(refuses_what_it_cannot_say),
    };
    return cmocka_run_group_tests(tests, make_model, remove_model);
}
