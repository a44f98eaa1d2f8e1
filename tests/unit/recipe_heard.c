/* What the ears of the tabletop recipe are to write: the words of the world as they are, others as unknown.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "place.h"

#include "recipes/tabletop/recipe.h"

static void decode(const so_tt *tt, const so_ids *ids, char text[256])
{
    so_string s = {0};
    assert_int_equal(so_tokenizer_decode(tt->tokenizer, ids->data, ids->n, 0, &s, NULL), SO_OK);
    snprintf(text, 256, "%.*s", (int)s.size, s.data);
    so_string_clear(&s);
}

static void words_from_outside_are_unknown(void **state)
{
    so_tt *tt = *state;
    static const char *const both[][2] = {
        {"What is the capital of France?", "What is the capital of \xe2\x80\xa6?"},
        {"Who is Albert Einstein?", "Who is \xe2\x80\xa6 \xe2\x80\xa6?"},
        {"Zorblat fimquon.", "\xe2\x80\xa6 \xe2\x80\xa6."},
        {"Repeat after me: giraffe, river, soap.", "Repeat after me: giraffe, river, soap."},
        {"", ""}};
    for (size_t i = 0; i < sizeof both / sizeof *both; i++) {
        so_ids ids = {0};
        char text[256];
        assert_int_equal(so_tt_heard(tt, both[i][0], &ids, NULL), SO_OK);
        decode(tt, &ids, text);
        assert_string_equal(text, both[i][1]);
        so_ids_clear(&ids);
    }
}

/* Every token of what the world asks is a word or a mark, and hearing changes none of it. */
static void the_world_is_heard_word_for_word(void **state)
{
    so_tt *tt = *state;
    so_ids heard = {0}, written = {0};
    for (uint64_t i = 0; i < 2000; i++) {
        so_qa qa;
        if (i % 2) {
            so_scene scene;
            so_rng rng;
            so_rng_init(&rng, i, 1);
            so_scene_make(&scene, i);
            assert_true(so_scene_ask(&scene, 0, &rng, &qa));
        } else {
            so_tabletop_talk(SO_TABLETOP_RESERVED, 1, i, i % 4 ? 0 : 1u << SO_TALK_CHAT | 1u << SO_TALK_NO_PICTURE,
                             &qa);
        }
        heard.n = written.n = 0;
        assert_int_equal(so_tt_heard(tt, qa.question, &heard, NULL), SO_OK);
        assert_int_equal(so_tt_encode(tt, qa.question, &written, NULL), SO_OK);
        assert_int_equal(heard.n, written.n);
        assert_memory_equal(heard.data, written.data, heard.n * sizeof *heard.data);
    }
    so_ids_clear(&heard);
    so_ids_clear(&written);
}

static char folder[] = "/tmp/so-heard-XXXXXX";

static int open_recipe(void **state)
{
    static so_tt tt;
    if (place_make(folder) != 0) return -1;
    tt = (so_tt){.folder = folder, .seed = 1};
    assert_int_equal(so_tt_open(&tt, NULL), SO_OK);
    assert_int_equal(so_tt_vocabulary(&tt, NULL), SO_OK);
    *state = &tt;
    return 0;
}

static int close_recipe(void **state)
{
    so_tt_close(*state);
    return place_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_from_outside_are_unknown),
        cmocka_unit_test(the_world_is_heard_word_for_word),
    };
    return cmocka_run_group_tests(tests, open_recipe, close_recipe);
}
