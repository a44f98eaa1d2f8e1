/* Scores of the tabletop world against counts made by hand.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <jansson.h>

#include "eval/tabletop/scores.h"

static void plain_text_forgets_case_and_points(void **state)
{
    (void)state;
    char *plain = so_tabletop_plain("  Yes,  there is\ta red star!? ");
    assert_string_equal(plain, "yes there is a red star");
    free(plain);
    plain = so_tabletop_plain(" ... ");
    assert_string_equal(plain, "");
    free(plain);
    assert_true(so_tabletop_match("River, candle, window.", "river candle window"));
    assert_false(so_tabletop_match("The star is red.", "The star is blue."));
    assert_false(so_tabletop_match("", NULL));
}

static so_tabletop_result answer(const char *kind, const char *wanted, const char *got)
{
    so_tabletop_result result = so_tabletop_result_none();
    result.mode = "V+S>T";
    result.kind = kind;
    result.answer = wanted;
    result.got = got;
    return result;
}

static json_int_t integer(json_t *json, const char *a, const char *b)
{
    json_t *inner = json_object_get(json, a);
    return json_integer_value(json_object_get(inner, b));
}

static void counts_are_right(void **state)
{
    (void)state;
    so_error error;
    so_tabletop_score *score;
    CHECK_OK(so_tabletop_score_open(&score, &error), error);
    so_tabletop_result r = answer("colour", "The star is red.", "the star is red");
    r.spoken = "What color is the star?";
    r.heard = "what color the bright stars";
    r.shown = "what color";
    r.offline = r.heard;
    r.withdrawn = 2;
    r.echo = "the star is bed";
    r.measured[SO_MEASURE_FIRST_SAMPLE] = 30;
    CHECK_OK(so_tabletop_score_add(score, &r, &error), error);
    r = answer("colour", "The star is red.", "The star is blue.");
    r.echo = "The star is red";
    r.measured[SO_MEASURE_FIRST_SAMPLE] = 10;
    CHECK_OK(so_tabletop_score_add(score, &r, &error), error);
    r = answer("size", "The star is big.", "");
    r.spoken = "";
    r.heard = "hello";
    r.shown = "hell";
    r.offline = "Hello";
    r.measured[SO_MEASURE_FIRST_SAMPLE] = 20;
    CHECK_OK(so_tabletop_score_add(score, &r, &error), error);
    char *text = so_tabletop_score_json(score);
    json_t *all = json_loads(text, 0, NULL), *mode = json_array_get(json_object_get(all, "modes"), 0);
    assert_string_equal(json_string_value(json_object_get(mode, "mode")), "V+S>T");
    assert_int_equal(integer(mode, "answers", "n"), 3);
    assert_int_equal(integer(mode, "answers", "right"), 1);
    json_t *kinds = json_object_get(json_object_get(mode, "answers"), "kinds");
    assert_int_equal(integer(kinds, "colour", "n"), 2);
    assert_int_equal(integer(kinds, "colour", "right"), 1);
    assert_int_equal(integer(kinds, "size", "right"), 0);
    assert_int_equal(integer(mode, "transcript", "words"), 5);
    assert_int_equal(integer(mode, "transcript", "substituted") + integer(mode, "transcript", "deleted") +
                         integer(mode, "transcript", "inserted"),
                     4);
    assert_int_equal(integer(mode, "streamed", "n"), 2);
    assert_int_equal(integer(mode, "streamed", "equal"), 1);
    assert_int_equal(integer(mode, "streamed", "beginnings"), 1);
    assert_int_equal(integer(mode, "streamed", "words"), 6);
    assert_int_equal(integer(mode, "streamed", "withdrawn"), 2);
    assert_int_equal(integer(mode, "streamed", "revised"), 1);
    assert_int_equal(integer(mode, "echo", "substituted"), 2);
    assert_int_equal(integer(mode, "echo", "right"), 1);
    json_t *sample = json_object_get(json_object_get(mode, "measures"), "first sample ms");
    assert_int_equal(json_integer_value(json_object_get(sample, "n")), 3);
    assert_true(json_number_value(json_object_get(sample, "p50")) == 20);
    assert_true(json_number_value(json_object_get(sample, "p90")) == 30);
    assert_true(json_number_value(json_object_get(sample, "mean")) == 20);
    assert_null(json_object_get(json_object_get(mode, "measures"), "real-time factor"));
    json_decref(all);
    free(text);
    text = so_tabletop_score_text(score);
    assert_non_null(strstr(text, "V+S>T"));
    assert_non_null(strstr(text, "33.33 %"));
    assert_non_null(strstr(text, "80.00 % errors"));
    assert_non_null(strstr(text, "50.00 % equal to the transcript of the whole"));
    assert_non_null(strstr(text, "33.33 % as many withdrawn (2, in 50.00 % of utterances)"));
    free(text);
    so_tabletop_score_close(&score);
    assert_null(score);
    so_tabletop_score_close(&score);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_text_forgets_case_and_points),
        cmocka_unit_test(counts_are_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
