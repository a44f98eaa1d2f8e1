/* What can be said of written dialogues, and how speech is levelled.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "dataset/builder/instruct.h"
#include "dataset/builder/sayable.h"

static so_error error;

static void reasons(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"It is a star, I think.", NULL},
        {"那是一颗星星，我想。", NULL},
        {"Costs $3.50 (or 5%) - really!", NULL},
        {"One.\n- two\n- three", NULL},
        {"Use ```print(1)```.", "code"},
        {"So:\n    a = f(x);\n    b = g(y);\n", "code"},
        {"It is $x_1^2$ here.", "formula"},
        {"It is \\frac{1}{2}.", "formula"},
        {"| a | b |\n|---|---|", "table"},
        {"See https://example.org.", "address"},
        {"Write to a.b@example.org now.", "address"},
        {"It lies in /usr/share/doc here.", "address"},
        {"A <b>bold</b> word.", "markup"},
        {"At [0.12, 0.3, 0.5, 0.77].", "boxes"},
        {"{\"a\": 1}", "data"},
        {"So 3x + 2 = 8.", "arithmetic"},
        {"It is 3 * 4.", "arithmetic"},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "long word"},
        {"- a\n- b\n- c\n- d\n- e\n- f\n- g\n- h\n- i\n", "list"},
        {"#### ~~~~ ^^^^ &&&& yes", "signs"},
    };
    so_sayable *rules;
    CHECK_OK(so_sayable_open(&rules, &error), error);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *found = so_sayable_reason(rules, cases[i][0]);
        if ((found == NULL) != (cases[i][1] == NULL) || (found && strcmp(found, cases[i][1]) != 0))
            fail_msg("\"%s\": %s, expected %s", cases[i][0], found ? found : "fine",
                     cases[i][1] ? cases[i][1] : "fine");
    }
    so_sayable_close(&rules);
    assert_string_equal(so_sayable_lang("What is that?"), "en");
    assert_string_equal(so_sayable_lang("那是什么？"), "zh");
    assert_null(so_sayable_lang("Что это?"));
    assert_null(so_sayable_lang("half 一半一半"));
    assert_null(so_sayable_lang("123"));
}

static void questions_lose_their_instructions(void **state)
{
    (void)state;
    so_string out = {0};
    bool choice;
    CHECK_OK(so_sayable_question("<image>\nWhat is it?\nAnswer the question using a single word or phrase.", &out,
                                 &choice, &error),
             error);
    assert_string_equal(out.data, "What is it?");
    assert_false(choice);
    out.size = 0;
    CHECK_OK(so_sayable_question("Which?\nA. x\nAnswer with the option's letter from the given choices directly.", &out,
                                 &choice, &error),
             error);
    assert_true(choice);
    so_string_clear(&out);
    char text[] = "The first one is here. The second one is there. The third.";
    assert_true(so_sayable_cut(text, "en", 3.5));
    assert_string_equal(text, "The first one is here. The second one is there.");
    assert_false(so_sayable_cut(text, "en", 0.5));
}

static void speech_is_trimmed_and_levelled(void **state)
{
    (void)state;
    enum { RATE = 16000, N = 4 * RATE };
    float *x = calloc(N, sizeof *x);
    for (int i = RATE; i < 2 * RATE; i++) x[i] = 0.02f * sinf((float)i * 0.3f);
    int64_t n = N;
    so_instruct_level(x, &n, RATE);
    assert_in_range(n, RATE * 125 / 100, RATE * 135 / 100); /* a second, and 0.15 s at both ends */
    double sum = 0, peak = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)x[i] * (double)x[i], peak = fmax(peak, fabs((double)x[i]));
    assert_true(fabs(10 * log10(sum / RATE) + 23) < 0.2);
    assert_true(peak < 0.9);
    for (int64_t i = 0; i < n; i++) x[i] = 0;
    int64_t silent = n;
    so_instruct_level(x, &silent, RATE); /* nothing to level */
    assert_int_equal(silent, n);
    free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reasons),
        cmocka_unit_test(questions_lose_their_instructions),
        cmocka_unit_test(speech_is_trimmed_and_levelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
