/* Where the tabletop world ends: questions, pictures and sounds from outside, and that training and tests share none.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "dataset/tabletop/tabletop_outside.h"
#include "dataset/tabletop/tabletop_outside_lists.h"

enum { PIXELS = SO_TABLETOP_SIDE * SO_TABLETOP_SIDE * 3 };

static void share_nothing(const so_list *both)
{
    for (int64_t i = 0; i < both[0].count; i++)
        for (int64_t k = 0; k < both[1].count; k++) assert_string_not_equal(both[0].item[i], both[1].item[k]);
}

static void reserved_lists_are_kept_apart(void **state)
{
    (void)state;
    const so_list *const lists[] = {so_outside_people, so_outside_places, so_outside_things, so_outside_topics,
                                    so_outside_dishes};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) share_nothing(lists[i]);
    for (int what = 0; what < 4; what++) share_nothing(so_outside_questions[what]);
    for (int64_t i = 0; i < so_outside_languages[0].count; i++)
        for (int64_t k = 0; k < so_outside_languages[1].count; k++)
            assert_string_not_equal(so_outside_languages[0].item[i][0], so_outside_languages[1].item[k][0]);
}

static void talk_from_outside_is_well_formed(void **state)
{
    (void)state;
    int seen[SO_TABLETOP_KINDS] = {0};
    for (int part = 0; part < 2; part++)
        for (uint64_t i = 0; i < 4000; i++) {
            so_qa a, b;
            so_tabletop_talk((so_tabletop_part)part, 3, i, SO_TALK_WIDER, &a);
            so_tabletop_talk((so_tabletop_part)part, 3, i, SO_TALK_WIDER, &b);
            assert_string_equal(a.question, b.question);
            assert_string_equal(a.answer, b.answer);
            seen[a.kind]++;
            assert_in_range(strlen(a.question), 2, 158);
            assert_in_range(strlen(a.answer), 2, 158);
            assert_null(strchr(a.question, '%'));
            assert_true(strchr(".?", a.question[strlen(a.question) - 1]) != NULL);
            assert_int_equal(a.kind == SO_TALK_FOREIGN, a.language[0] != 0);
            bool inside = a.kind == SO_TALK_ABLE || a.kind == SO_TALK_CHAT;
            assert_int_equal(so_tabletop_declines(a.answer), !inside);
        }
    for (int kind = SO_TALK_OUTSIDE; kind <= SO_TALK_NO_PICTURE; kind++) assert_in_range(seen[kind], 1200, 2000);
    assert_true(so_tabletop_declines("i heard nothing"));
    assert_false(so_tabletop_declines("Three."));
    assert_false(so_tabletop_declines(""));
}

static void the_measured_mixture_never_declines(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 4000; i++) {
        so_qa qa;
        so_tabletop_talk(SO_TABLETOP_RESERVED, 7, i, 0, &qa);
        assert_in_range(qa.kind, SO_QA_PICTURE_KINDS, SO_TALK_REPEAT);
        assert_false(so_tabletop_declines(qa.answer));
    }
}

static int times(const so_scene *scene, const char *word)
{
    int n = 0;
    for (int i = 0; i < scene->count; i++)
        n += strcmp(so_shape_name(scene->objects[i].shape), word) == 0 ||
             strcmp(so_colour_name(scene->objects[i].colour), word) == 0;
    return n;
}

static void what_is_not_there_is_not_answered(void **state)
{
    (void)state;
    so_rng rng;
    int nothing = 0, shapes = 0;
    so_rng_init(&rng, 1, 1);
    for (uint64_t i = 0; i < 3000; i++) {
        so_scene scene;
        so_qa qa;
        char word[32];
        so_scene_make(&scene, i);
        so_scene_ask_wider(&scene, &rng, &qa);
        shapes += strcmp(qa.answer, "I only see shapes in this picture.") == 0;
        if (sscanf(qa.question, "What color is the %31[a-z]?", word) != 1 || so_shape_find(word) < 0) continue;
        assert_int_not_equal(times(&scene, word), 1);
        nothing += strncmp(qa.answer, "There is no ", 12) == 0;
        assert_int_equal(times(&scene, word) == 0, strncmp(qa.answer, "There is no ", 12) == 0);
    }
    assert_true(nothing > 50);
    assert_in_range(shapes, 350, 650);
}

static void other_pictures_are_no_scenes(void **state)
{
    (void)state;
    static uint8_t a[PIXELS], b[PIXELS];
    for (int part = 0; part < 2; part++)
        for (uint64_t i = 0; i < 60; i++) {
            so_scene scene;
            uint64_t seed = so_tabletop_other_seed((so_tabletop_part)part, 5, i);
            so_scene_make(&scene, seed);
            assert_true(so_scene_is_other(&scene));
            assert_int_equal(scene.count, 0);
            assert_int_equal(seed - SO_TABLETOP_OTHER_SCENE >= SO_TABLETOP_RESERVED_SCENE, part);
            so_scene_render(&scene, a);
            so_scene_render(&scene, b);
            assert_memory_equal(a, b, PIXELS);
        }
}

static void sounds_are_the_same_again(void **state)
{
    (void)state;
    for (int part = 0; part < 2; part++)
        for (uint64_t i = 0; i < 20; i++) {
            float *x, *y;
            int64_t n, m;
            assert_int_equal(so_tabletop_sound((so_tabletop_part)part, 1, i, &x, &n, NULL), SO_OK);
            assert_int_equal(so_tabletop_sound((so_tabletop_part)part, 1, i, &y, &m, NULL), SO_OK);
            assert_int_equal(n, m);
            assert_in_range(n, SO_TABLETOP_SOUND_RATE / 2, 4 * SO_TABLETOP_SOUND_RATE);
            assert_memory_equal(x, y, (size_t)n * sizeof *x);
            for (int64_t k = 0; k < n; k++) assert_true(x[k] >= -1 && x[k] <= 1);
            free(x);
            free(y);
        }
}

static void a_corpus_has_the_whole_world(void **state)
{
    (void)state;
    int declined = 0, pictures = 0, others = 0, nothing = 0;
    for (uint64_t i = 0; i < 5000; i++) {
        so_qa qa;
        uint64_t scene;
        so_tabletop_draw(SO_TABLETOP_TRAIN, 1, i, &qa, &scene);
        declined += so_tabletop_declines(qa.answer);
        pictures += scene != ~(uint64_t)0;
        others += qa.kind == SO_QA_OTHER;
        nothing += qa.kind == SO_TALK_NOTHING;
        assert_int_equal(qa.kind == SO_QA_OTHER, scene != ~(uint64_t)0 && scene >= SO_TABLETOP_OTHER_SCENE);
    }
    assert_in_range(pictures, 1900, 2200);
    assert_in_range(others, 60, 150);
    assert_in_range(nothing, 60, 150);
    assert_in_range(declined, 500, 1000);
}

static void long_conversations_show_pictures_late_and_change_them(void **state)
{
    (void)state;
    enum { TURNS = 60, MANY = 200 };
    int shown = 0, late = 0, about = 0;
    for (uint64_t i = 0; i < MANY; i++) {
        so_tabletop_turn a[TURNS], b[TURNS];
        so_tabletop_conversation(SO_TABLETOP_RESERVED, 9, i, TURNS, a);
        so_tabletop_conversation(SO_TABLETOP_RESERVED, 9, i, TURNS, b);
        uint64_t now = SO_TABLETOP_NO_SCENE;
        for (int t = 0; t < TURNS; t++) {
            assert_string_equal(a[t].qa.question, b[t].qa.question);
            assert_true(a[t].scene == b[t].scene && a[t].shown == b[t].shown);
            if (!a[t].shown) assert_true(a[t].scene == now);
            now = a[t].scene;
            bool picture = a[t].qa.kind < SO_QA_PICTURE_KINDS || a[t].qa.kind >= SO_QA_ABSENT;
            assert_true(!picture || now != SO_TABLETOP_NO_SCENE);
            assert_true(a[t].qa.kind != SO_TALK_NO_PICTURE || now == SO_TABLETOP_NO_SCENE);
            assert_true(now == SO_TABLETOP_NO_SCENE || now % SO_TABLETOP_OTHER_SCENE >= SO_TABLETOP_RESERVED_SCENE);
            shown += a[t].shown;
            late += a[t].shown && t >= 30;
            about += picture;
        }
    }
    assert_in_range(shown, 8 * MANY, 20 * MANY);
    assert_true(late > 3 * MANY);
    assert_in_range(about, 25 * MANY, 45 * MANY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reserved_lists_are_kept_apart),
        cmocka_unit_test(talk_from_outside_is_well_formed),
        cmocka_unit_test(the_measured_mixture_never_declines),
        cmocka_unit_test(what_is_not_there_is_not_answered),
        cmocka_unit_test(other_pictures_are_no_scenes),
        cmocka_unit_test(sounds_are_the_same_again),
        cmocka_unit_test(a_corpus_has_the_whole_world),
        cmocka_unit_test(long_conversations_show_pictures_late_and_change_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
