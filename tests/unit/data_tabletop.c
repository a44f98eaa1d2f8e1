/* The tabletop world: pictures, questions, talk, what is reserved.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "data/tabletop.h"

enum { PIXELS = SO_TABLETOP_SIDE * SO_TABLETOP_SIDE * 3 };

static void scenes_are_the_same_again_and_keep_the_rules(void **state)
{
    (void)state;
    int counts[5] = {0};
    static uint8_t a[PIXELS], b[PIXELS];
    for (uint64_t i = 0; i < 4000; i++) {
        so_scene s, t;
        so_scene_make(&s, i * 251);
        so_scene_make(&t, i * 251);
        assert_memory_equal(&s, &t, sizeof s);
        assert_in_range(s.count, 1, 4);
        counts[s.count]++;
        for (int k = 0; k < s.count; k++) {
            const so_scene_object *o = &s.objects[k];
            float r = o->diameter / 2, side = 112.0f / 3;
            if (o->big) assert_true(o->diameter >= 24 && o->diameter <= 30);
            else assert_true(o->diameter >= 14 && o->diameter <= 18);
            assert_true(o->x - r >= (float)(o->cell % 3) * side && o->x + r <= (float)(o->cell % 3 + 1) * side);
            assert_true(o->y - r >= (float)(o->cell / 3) * side && o->y + r <= (float)(o->cell / 3 + 1) * side);
            for (int c = 0; c < 3; c++) assert_true(abs(o->rgb[c] - so_colour_rgb(o->colour)[c]) <= 20);
            for (int j = 0; j < k; j++) {
                assert_true(s.objects[j].cell < o->cell);
                assert_false(s.objects[j].shape == o->shape && s.objects[j].colour == o->colour);
            }
        }
        if (i % 100) continue;
        so_scene_render(&s, a);
        so_scene_render(&t, b);
        assert_memory_equal(a, b, PIXELS);
    }
    for (int n = 1; n <= 4; n++) assert_in_range(counts[n], 850, 1150);
}

static void pictures_show_the_objects_where_they_are(void **state)
{
    (void)state;
    static uint8_t rgb[PIXELS];
    for (uint64_t seed = 0; seed < 200; seed++) {
        so_scene s;
        so_scene_make(&s, seed);
        so_scene_render(&s, rgb);
        for (int k = 0; k < s.count; k++) /* the middle of every shape is covered */
            for (int c = 0; c < 3; c++)
                assert_int_equal(rgb[((int)s.objects[k].y * 112 + (int)s.objects[k].x) * 3 + c], s.objects[k].rgb[c]);
        for (int cell = 0; cell < 9; cell++) {
            bool full = false, dirty = false;
            for (int k = 0; k < s.count; k++) full |= s.objects[k].cell == cell;
            for (int y = cell / 3 * 112 / 3 + 1; y < (cell / 3 + 1) * 112 / 3; y++)
                for (int x = cell % 3 * 112 / 3 + 1; x < (cell % 3 + 1) * 112 / 3; x++)
                    for (int c = 0; c < 3; c++) dirty |= abs(rgb[(y * 112 + x) * 3 + c] - s.background[c]) > 4;
            assert_int_equal(dirty, full);
        }
    }
}

static void reserved_things_stay_reserved(void **state)
{
    (void)state;
    static uint8_t seen[SO_TABLETOP_RESERVED_SCENE];
    for (uint64_t i = 0; i < 20000; i++) {
        uint64_t train = so_tabletop_scene_seed(SO_TABLETOP_TRAIN, 5, i);
        uint64_t test = so_tabletop_scene_seed(SO_TABLETOP_RESERVED, 5, i);
        assert_true(train < SO_TABLETOP_RESERVED_SCENE && test >= SO_TABLETOP_RESERVED_SCENE);
        assert_int_equal(seen[test - SO_TABLETOP_RESERVED_SCENE]++, 0);
        for (int part = 0; part < 2; part++) {
            so_qa qa;
            char first[32];
            int word = 0;
            so_tabletop_talk((so_tabletop_part)part, 5, i, 1u << SO_TALK_REPEAT, &qa);
            assert_int_equal(sscanf(qa.question, "Repeat after me: %31[a-z]", first), 1);
            while (word < SO_TABLETOP_WORDS && strcmp(so_tabletop_words[word], first) != 0) word++;
            assert_true(word < SO_TABLETOP_WORDS);
            assert_int_equal(word >= SO_TABLETOP_WORDS - SO_TABLETOP_RESERVED_WORDS, part == SO_TABLETOP_RESERVED);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scenes_are_the_same_again_and_keep_the_rules),
        cmocka_unit_test(pictures_show_the_objects_where_they_are),
        cmocka_unit_test(reserved_things_stay_reserved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
