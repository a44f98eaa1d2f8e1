/* The tabletop world as a dataset: records by number, the same again, with their lengths, and pictures that are drawn.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "dataset/tabletop/tabletop_dataset.h"

static so_dataset *open_stream(const char *name, so_tabletop_part part)
{
    so_tabletop_stream_options o;
    so_dataset *d;
    so_error e = {0};
    assert_int_equal(so_tabletop_stream_parse(name, &o, &e), SO_OK);
    o.part = part;
    assert_int_equal(so_tabletop_stream_open(&d, &o, &e), SO_OK);
    return d;
}

static void records_are_those_of_the_world(void **state)
{
    (void)state;
    so_dataset *d = open_stream("tabletop:pictures,count=50,turns=4,seed=9", SO_TABLETOP_TRAIN);
    so_error e = {0};
    assert_int_equal(d->count, 50);
    for (int64_t i = 0; i < d->count; i++) {
        so_record r;
        so_dialogue all;
        assert_int_equal(so_dataset_read(d, i, &r, &e), SO_OK);
        so_tabletop_dialogue(SO_TABLETOP_TRAIN, 9, (uint64_t)i, 4, &all);
        assert_in_range(r.turns, 2, 2 * all.turns);
        assert_int_equal(r.images, 1);
        uint64_t scene = 0, text = 0, answers = 0;
        assert_true(so_locator_scene(&r.image[0], &scene));
        assert_true(scene == all.scene.seed);
        for (int k = 0; k < r.turns / 2; k++) {
            assert_string_equal(k ? r.turn[2 * k].text : r.turn[0].say, all.turn[k].question);
            assert_string_equal(r.turn[2 * k + 1].text, all.turn[k].answer);
            assert_string_equal(r.turn[2 * k].kind, so_tabletop_kind_name((int)all.turn[k].kind));
            text += strlen(all.turn[k].question) + strlen(all.turn[k].answer);
            answers += strlen(all.turn[k].answer);
        }
        assert_int_equal(d->lengths[i].turns, r.turns);
        assert_int_equal(d->lengths[i].text, text);
        assert_int_equal(d->lengths[i].answers, answers);
        so_record_clear(&r);
    }
    so_record none;
    assert_int_equal(so_dataset_read(d, 50, &none, &e), SO_ERR_ARG);
    assert_int_equal(so_dataset_verify(d, &e), SO_OK);
    so_dataset_close(&d);
}

static void pictures_are_drawn_and_nothing_else_is(void **state)
{
    (void)state;
    so_dataset *d = open_stream("tabletop:others,count=3,seed=2", SO_TABLETOP_TRAIN);
    so_error e = {0};
    so_record r;
    so_image image;
    uint8_t rgb[SO_TABLETOP_SIDE * SO_TABLETOP_SIDE * 3];
    assert_int_equal(so_dataset_read(d, 1, &r, &e), SO_OK);
    assert_int_equal(so_locator_image(&r.image[0], &image, &e), SO_OK);
    so_scene scene;
    so_scene_make(&scene, so_tabletop_other_seed(SO_TABLETOP_TRAIN, 2, 1));
    so_scene_render(&scene, rgb);
    assert_int_equal(image.w * image.h * 3, (int)sizeof rgb);
    assert_memory_equal(image.rgb, rgb, sizeof rgb);
    so_image_clear(&image);
    so_record_clear(&r);
    so_dataset_close(&d);
    /* A file of a record can't be such a name: its path begins at the root. */
    const char line[] = "{\"id\":\"a\",\"images\":[\"scene:3\"],\"turns\":[{\"role\":\"user\",\"text\":\"x\"}]}";
    assert_int_equal(so_record_parse(&r, line, sizeof line - 1, "/data", &e), SO_OK);
    uint64_t found;
    assert_false(so_locator_scene(&r.image[0], &found));
    so_record_clear(&r);
}

static void every_kind_has_records(void **state)
{
    (void)state;
    const char *const name[] = {"tabletop:hard,count=40,turns=8", "tabletop:talk,count=40,turns=5,seed=3",
                                "tabletop:conversations,count=10,turns=60"};
    for (int n = 0; n < 3; n++) {
        so_dataset *d = open_stream(name[n], SO_TABLETOP_TRAIN), *reserved = open_stream(name[n], SO_TABLETOP_RESERVED);
        so_error e = {0};
        int longest = 0;
        assert_string_not_equal(d->identity, reserved->identity);
        for (int64_t i = 0; i < d->count; i++) {
            so_record r;
            assert_int_equal(so_dataset_read(d, i, &r, &e), SO_OK);
            assert_int_equal(d->lengths[i].turns, r.turns);
            assert_int_equal(d->lengths[i].images, r.images);
            int shown = 0;
            for (int k = 0; k < r.turns; k++) {
                assert_int_equal(r.turn[k].role, k % 2 ? SO_ROLE_ASSISTANT : SO_ROLE_USER);
                shown += strncmp(r.turn[k].text, "<image>\n", 8) == 0;
            }
            assert_int_equal(shown, r.images);
            longest = r.turns > longest ? r.turns : longest;
            so_record_clear(&r);
        }
        assert_true(longest > 4);
        so_dataset_close(&d);
        so_dataset_close(&reserved);
    }
}

static void wrong_names_are_told(void **state)
{
    (void)state;
    const char *const wrong[] = {"tabletop:",
                                 "tabletop:chairs",
                                 "tabletop:talk,count=0",
                                 "tabletop:talk,turns=81",
                                 "tabletop:talk,seed=x",
                                 "tabletop:talk,length=3",
                                 "tabletop:talk,count"};
    so_tabletop_stream_options o;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        so_error e = {0};
        assert_int_equal(so_tabletop_stream_parse(wrong[i], &o, &e), SO_ERR_ARG);
        assert_non_null(strstr(e.text, "expected tabletop:KIND"));
    }
    assert_true(so_tabletop_stream_is("tabletop:talk"));
    assert_false(so_tabletop_stream_is("tabletop/talk"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_are_those_of_the_world),
        cmocka_unit_test(pictures_are_drawn_and_nothing_else_is),
        cmocka_unit_test(every_kind_has_records),
        cmocka_unit_test(wrong_names_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
