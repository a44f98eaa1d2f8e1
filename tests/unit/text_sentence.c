/* Cutting text into sentences.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "text/sentence.h"

static void sentences_end_where_people_end_them(void **state)
{
    (void)state;
    static const struct {
        const char *text, *first;
    } cases[] = {
        {"One. Two.", "One."},
        {"One", "One"},
        {"Really?! Yes.", "Really?!"},
        {"\"Stop.\" He did.", "\"Stop.\""},
        {"It costs 3.5 euros. Yes.", "It costs 3.5 euros."},
        {"Dr. Smith came. He sat.", "Dr. Smith came."},
        {"J. S. Bach wrote. Much.", "J. S. Bach wrote."},
        {"Use e.g. this. Or that.", "Use e.g. this."},
        {"At 3 p.m. she left. Then.", "At 3 p.m. she left."},
        {"Wait... what? No.", "Wait... what?"},
        {"One line\nAnother", "One line"},
        {"No.1 is here. Two.", "No.1 is here."},
        {"你好。世界!", "你好。"},
        {"你好!世界", "你好!"},
        {"真的？！是。", "真的？！"},
        {"See example.com now. Then.", "See example.com now."},
        {"", ""},
        {"...", "..."},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n = so_sentence_size(cases[i].text, strlen(cases[i].text));
        if (n != strlen(cases[i].first)) fail_msg("'%s': %.*s", cases[i].text, (int)n, cases[i].text);
    }
}

/* Whatever the bytes, the walk goes on and ends. */
static void any_bytes_are_walked(void **state)
{
    (void)state;
    unsigned seed = 1;
    char text[200];
    for (int round = 0; round < 2000; round++) {
        size_t n = (size_t)(round % 200);
        for (size_t i = 0; i < n; i++) text[i] = (char)((seed = seed * 1103515245 + 12345) >> 16 & 255);
        for (size_t at = 0; at < n;) {
            size_t size = so_sentence_size(text + at, n - at);
            assert_true(size <= n - at);
            at += size ? size : 1;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sentences_end_where_people_end_them),
        cmocka_unit_test(any_bytes_are_walked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
