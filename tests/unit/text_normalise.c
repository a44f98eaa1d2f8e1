/* text/normalise: number words, contractions, symbols, spelling.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "text/normalise.h"

static so_error error;

static void check_form(so_normaliser *normaliser, const char *text, const char *expected)
{
    so_string out = {0};
    CHECK_OK(so_normaliser_english(normaliser, text, strlen(text), &out, &error), error);
    const char *got = out.data;
    size_t size = out.size;
    so_strip(&got, &size);
    if (size != strlen(expected) || memcmp(got, expected, size) != 0)
        fail_msg("\"%s\" gave \"%.*s\", expected \"%s\"", text, (int)size, got, expected);
    so_string_clear(&out);
}

static void number_words_become_digits(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"two", "2"},
        {"thirty one", "31"},
        {"five twenty four", "524"},
        {"nineteen ninety nine", "1999"},
        {"twenty nineteen", "2019"},
        {"two point five million", "2500000"},
        {"four point two billions", "4200000000s"},
        {"200 thousand", "200000"},
        {"200 thousand dollars", "$200000"},
        {"$20 million", "$20000000"},
        {"€52.4 million", "€52400000"},
        {"£77 thousands", "£77000s"},
        {"two double o eight", "2008"},
        {"three thousand twenty nine", "3029"},
        {"forty three thousand two hundred sixty", "43260"},
        {"forty three thousand two hundred and sixty", "43260"},
        {"nineteen fifties", "1950s"},
        {"thirty first", "31st"},
        {"thirty three thousand and three hundred and third", "33303rd"},
        {"three billion", "3000000000"},
        {"two million three thousand", "2003000"},
        {"nine decillion one", "9000000000000000000000000000000001"},
        {"millions", "1000000s"},
        {"july third twenty twenty", "july 3rd 2020"},
        {"august twenty sixth twenty twenty one", "august 26th 2021"},
        {"3 14", "3 14"},
        {"3.14", "3.14"},
        {"3 point 2", "3.2"},
        {"3 point 14", "3.14"},
        {"fourteen point 4", "14.4"},
        {"zero point five", "0.5"},
        {"two point two five dollars", "$2.25"},
        {"two hundred million dollars", "$200000000"},
        {"$20.1 million", "$20100000"},
        {"ninety percent", "90%"},
        {"seventy six per cent", "76%"},
        {"seventy six per hour", "76 per hour"},
        {"double oh seven", "007"},
        {"double zero seven", "007"},
        {"nine one one", "911"},
        {"nine double one", "911"},
        {"one triple oh one", "10001"},
        {"two thousandth", "2000th"},
        {"thirty two thousandth", "32000th"},
        {"minus 500", "-500"},
        {"positive twenty thousand", "+20000"},
        {"two dollars and seventy cents", "$2.70"},
        {"two dollars and seven cents", "$2.07"},
        {"3 cents", "¢3"},
        {"$0.36", "¢36"},
        {"$0.07", "¢7"},
        {"three euros and sixty five cents", "€3.65"},
        {"three and a half million", "3500000"},
        {"forty eight and a half dollars", "$48.5"},
        {"a day and a half", "a day and a half"},
        {"b747", "b 747"},
        {"10 th", "10th"},
        {"10th", "10th"},
        {"one", "one"},
        {"the ones and twos", "the ones and 2s"},
        {"salt and pepper", "salt and pepper"},
        {"point of view", "point of view"},
        {"", ""},
    };
    so_normaliser *normaliser;
    CHECK_OK(so_normaliser_open(&normaliser, NULL, &error), error);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_form(normaliser, cases[i][0], cases[i][1]);
    so_normaliser_close(&normaliser);
}

static void words_take_one_form(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"Let's go", "let us go"},
        {"he's like", "he is like"},
        {"she's been like", "she has been like"},
        {"They'd gone; we won't, I can't", "they had gone we will not i can not"},
        {"10km", "10 km"},
        {"10mm", "10 mm"},
        {"RC232", "rc 232"},
        {"Mr. Park visited Assoc. Prof. Kim Jr.", "mister park visited associate professor kim junior"},
        {"Um, hmm <noise> [laughs] yes (really) .", "yes"},
        {"1,234,567 items", "1234567 items"},
        {"Café naïve Straße Łódź œuvre ﬁne", "cafe naive strasse lodz oeuvre fine"},
        {"½ ² Ｆｕｌｌ", "one 2 2 full"},
        {"C-3PO & R2-D2!", "c 3 po r 2 d 2"},
        {"ÉCOLE", "ecole"},
        {"50% off", "50% off"},
        {"\xff\x01", ""},
    };
    so_normaliser *normaliser;
    CHECK_OK(so_normaliser_open(&normaliser, NULL, &error), error);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_form(normaliser, cases[i][0], cases[i][1]);
    so_normaliser_close(&normaliser);
}

static void spelling_follows_the_table(void **state)
{
    (void)state;
    so_normaliser *normaliser;
    CHECK_OK(so_normaliser_open(&normaliser, check_shared("inputs/english.json"), &error), error);
    check_form(normaliser, "The colour of the Mobilisation centre", "the color of the mobilization center");
    so_normaliser_close(&normaliser);
    assert_int_equal(so_normaliser_open(&normaliser, "/nonexistent.json", &error), SO_ERR_IO);
    assert_null(normaliser);
}

static void asr_and_chinese_forms_keep_what_they_say(void **state)
{
    (void)state;
    static const char text[] = "Don't  stop, \xe4\xbd\xa0\xe5\xa5\xbd\xef\xbc\x81 caf\xc3\xa9 42";
    so_string out = {0};
    CHECK_OK(so_normalise_asr(text, sizeof text - 1, &out, &error), error);
    assert_string_equal(out.data, "DONT  STOP  CAF 42");
    out.size = 0;
    CHECK_OK(so_normalise_asr("well-known, don't", 17, &out, &error), error);
    assert_string_equal(out.data, "WELLKNOWN DONT");
    out.size = 0;
    CHECK_OK(so_normalise_chinese(text, sizeof text - 1, &out, &error), error);
    assert_string_equal(out.data, "\xe4\xbd\xa0\xe5\xa5\xbd");
    so_string_clear(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(number_words_become_digits),
        cmocka_unit_test(words_take_one_form),
        cmocka_unit_test(spelling_follows_the_table),
        cmocka_unit_test(asr_and_chinese_forms_keep_what_they_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
