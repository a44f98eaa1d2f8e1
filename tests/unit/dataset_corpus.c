/* Tabletop corpora: built twice the same, resumed, stopped, read back, read tolerantly.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <dirent.h>
#include <sndfile.h>
#include <spng.h>
#include <sys/stat.h>

#include "base/file.h"
#include "dataset/tabletop/tabletop_corpus.h"
#include "place.h"

static char root[] = "/tmp/so_corpus_XXXXXX";

static int make_root(void **state)
{
    (void)state;
    return place_make(root);
}

static int remove_root(void **state)
{
    (void)state;
    return place_remove(root);
}

static const char *in_root(const char *name)
{
    static char paths[4][256];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", root, name);
    return path;
}

static so_tabletop_options small(const char *folder)
{
    return (so_tabletop_options){
        .folder = folder, .seed = 6, .scenes = 5, .turns = 3, .talk = 6, .answers = true, .processes = 2};
}

static void same_file(const char *a, const char *b)
{
    so_error error;
    char *x, *y;
    size_t n, m;
    CHECK_OK(so_file_read(a, 1 << 26, &x, &n, &error), error);
    CHECK_OK(so_file_read(b, 1 << 26, &y, &m, &error), error);
    if (n != m || memcmp(x, y, n) != 0) fail_msg("%s and %s differ", a, b);
    free(x);
    free(y);
}

static int same_folder(const char *a, const char *b)
{
    DIR *folder = opendir(a);
    int files = 0;
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder));) {
        char x[600], y[600];
        if (entry->d_name[0] == '.') continue;
        assert_null(strstr(entry->d_name, "tmp"));
        snprintf(x, sizeof x, "%s/%s", a, entry->d_name);
        snprintf(y, sizeof y, "%s/%s", b, entry->d_name);
        if (entry->d_type == DT_DIR) {
            files += same_folder(x, y);
        } else {
            same_file(x, y);
            files++;
        }
    }
    closedir(folder);
    return files;
}

static bool count_until(void *context, int64_t done, int64_t total)
{
    int64_t *left = context;
    (void)done;
    assert_int_equal(total, 11);
    return --*left > 0;
}

static void build_is_the_same_again_and_resumes(void **state)
{
    (void)state;
    so_error error;
    int64_t left = 4;
    so_tabletop_options one = small(in_root("one")), two = small(in_root("two"));
    two.processes = 1;
    two.progress = count_until;
    two.context = &left;
    CHECK_OK(so_tabletop_build(&one, &error), error);
    assert_int_equal(so_tabletop_build(&two, &error), SO_ERR_STOPPED);
    assert_int_not_equal(access(in_root("two/records.jsonl"), F_OK), 0);
    left = 100;
    CHECK_OK(so_tabletop_build(&two, &error), error);
    assert_int_equal(left, 89);
    assert_int_equal(same_folder(in_root("one"), in_root("two")), 4 + 5 + 2 * (15 + 6));
    assert_int_equal(same_folder(in_root("two"), in_root("one")),
                     4 + 5 + 2 * (15 + 6)); /* nothing half-written stays */
    two.seed++;
    assert_int_equal(so_tabletop_build(&two, &error), SO_ERR_STATE);
    one.turns = 0;
    assert_int_equal(so_tabletop_build(&one, &error), SO_ERR_ARG);
}

static void cut(const char *folder, const char *name, const char *ending, int share)
{
    char path[4096];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s%s", folder, name, ending);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(truncate(path, share == 3 ? st.st_size - 2 : st.st_size * share / 3), 0);
}

/* Files that a full disk or a broken copy left are made again, and are what they were. */
static void cut_files_are_made_again(void **state)
{
    (void)state;
    so_error error;
    for (int wav = 0; wav < 2; wav++) {
        const char *ending = wav ? ".wav" : ".flac";
        so_tabletop_options whole = small(in_root(wav ? "wavs" : "whole")),
                            again = small(in_root(wav ? "cutw" : "cut"));
        whole.wav = again.wav = wav != 0;
        CHECK_OK(so_tabletop_build(&whole, &error), error);
        CHECK_OK(so_tabletop_build(&again, &error), error);
        for (int share = 0; share < 4; share++) {
            cut(again.folder, "images/000001", ".png", share);
            cut(again.folder, "speech/v000001-00", ending, share);
            cut(again.folder, "answers/t000003", ending, share);
            cut(again.folder, "tabletop", ".json", share);
            CHECK_OK(so_tabletop_build(&again, &error), error);
            assert_int_equal(same_folder(whole.folder, again.folder), 4 + 5 + 2 * (15 + 6));
        }
    }
}

static void check_picture(const so_tabletop_item *item)
{
    so_error error;
    so_scene scene;
    char *png;
    size_t size, bytes;
    static uint8_t wanted[112 * 112 * 3], got[112 * 112 * 3];
    so_scene_make(&scene, (uint64_t)item->scene_seed);
    so_scene_render(&scene, wanted);
    CHECK_OK(so_file_read(item->image, 1 << 20, &png, &size, &error), error);
    spng_ctx *context = spng_ctx_new(0);
    assert_int_equal(spng_set_png_buffer(context, png, size), 0);
    assert_int_equal(spng_decoded_image_size(context, SPNG_FMT_RGB8, &bytes), 0);
    assert_int_equal(bytes, sizeof got);
    assert_int_equal(spng_decode_image(context, got, sizeof got, SPNG_FMT_RGB8, 0), 0);
    assert_memory_equal(got, wanted, sizeof got);
    spng_ctx_free(context);
    free(png);
    assert_int_equal(item->objects, scene.count);
    for (int i = 0; i < scene.count; i++) {
        assert_int_equal(item->object[i].shape, scene.objects[i].shape);
        assert_int_equal(item->object[i].colour, scene.objects[i].colour);
        assert_int_equal(item->object[i].big, scene.objects[i].big);
        assert_int_equal(item->object[i].cell, scene.objects[i].cell);
        assert_memory_equal(item->object[i].rgb, scene.objects[i].rgb, 3);
    }
}

static void records_are_read_back(void **state)
{
    (void)state;
    so_error error;
    so_tabletop_corpus corpus;
    CHECK_OK(so_tabletop_open(&corpus, in_root("one"), &error), error);
    assert_int_equal(corpus.count, 21);
    for (int64_t i = 0; i < corpus.count; i++) {
        const so_tabletop_item *item = &corpus.items[i];
        SF_INFO info = {0};
        SNDFILE *file = sf_open(item->speech, SFM_READ, &info);
        assert_non_null(file);
        sf_close(file);
        assert_int_equal(info.samplerate, 22050);
        assert_true(fabs(item->duration - (double)info.frames / 22050) < 1e-3);
        assert_true(item->answer_duration > 0.1 && access(item->answer_speech, R_OK) == 0);
        assert_true(item->question && item->answer && item->kind >= 0);
        assert_false(so_voice_is_reserved(&item->voice));
        assert_true(item->voice.accent[0] && item->voice.speed >= 130);
        assert_int_equal(item->image != NULL, item->kind < SO_QA_PICTURE_KINDS);
        if (item->image) check_picture(item);
    }
    so_tabletop_close(&corpus);
    CHECK_OK(so_tabletop_open(&corpus, in_root("one/asr.jsonl"), &error), error);
    assert_int_equal(corpus.count, 21);
    assert_true(corpus.items[0].duration > 0 && access(corpus.items[0].speech, R_OK) == 0);
    assert_null(corpus.items[0].answer);
    so_tabletop_close(&corpus);
    CHECK_OK(so_tabletop_open(&corpus, in_root("one/llava.json"), &error), error);
    assert_int_equal(corpus.count, 21);
    assert_null(strstr(corpus.items[0].question, "<image>"));
    assert_true(corpus.items[2].answer && access(corpus.items[2].speech, R_OK) == 0);
    assert_int_equal(access(corpus.items[2].image, R_OK), 0);
    assert_null(corpus.items[20].image);
    so_tabletop_close(&corpus);
}

static void reserved_corpora_hold_only_reserved_things(void **state)
{
    (void)state;
    so_error error;
    so_tabletop_corpus corpus;
    so_tabletop_options options = {
        .folder = in_root("reserved"), .part = SO_TABLETOP_RESERVED, .scenes = 4, .turns = 2, .talk = 4, .wav = true};
    CHECK_OK(so_tabletop_build(&options, &error), error);
    CHECK_OK(so_tabletop_open(&corpus, options.folder, &error), error);
    assert_int_equal(corpus.count, 12);
    for (int64_t i = 0; i < corpus.count; i++) {
        const so_tabletop_item *item = &corpus.items[i];
        assert_true(so_voice_is_reserved(&item->voice));
        assert_non_null(strstr(item->speech, ".wav"));
        if (item->image) assert_true(item->scene_seed >= SO_TABLETOP_RESERVED_SCENE);
    }
    so_tabletop_close(&corpus);
}

static void strangers_are_read_tolerantly(void **state)
{
    (void)state;
    static const char text[] =
        "{\"text\": \"Where is it?\", \"audio_filepath\": \"speech/a.flac\", \"id\": 7}\r\n"
        "\n  \n"
        "{\"question\": \"Q\", \"answer\": \"A\", \"kind\": \"new\", \"image\": \"/abs.png\", \"scene\": \"x\", "
        "\"duration\": \"1\","
        " \"objects\": [1, {\"shape\": \"star\", \"colour\": \"red\", \"cell\": 4, \"rgb\": [1e99, -3, 5]},"
        " {\"shape\": \"moon\"}], \"voice\": {\"accent\": \"a name that is far too long for the field\", \"speed\": "
        "1e300}}";
    so_error error;
    so_tabletop_corpus corpus;
    CHECK_OK(so_make_folder(in_root("other/speech"), &error), error);
    CHECK_OK(so_file_write(in_root("other/manifest.jsonl"), text, sizeof text - 1, &error), error);
    CHECK_OK(so_file_write(in_root("other/speech/a.wav"), "", 0, &error), error);
    CHECK_OK(so_tabletop_open(&corpus, in_root("other"), &error), error);
    assert_int_equal(corpus.count, 2);
    assert_string_equal(corpus.items[0].id, "7");
    assert_string_equal(corpus.items[0].question, "Where is it?");
    assert_string_equal(corpus.items[0].speech, in_root("other/speech/a.wav"));
    assert_int_equal(corpus.items[0].scene_seed, -1);
    const so_tabletop_item *item = &corpus.items[1];
    assert_string_equal(item->image, "/abs.png");
    assert_int_equal(item->kind, -1);
    assert_string_equal(item->kind_name, "new");
    assert_int_equal(item->objects, 1);
    assert_int_equal(item->object[0].cell, 4);
    assert_int_equal(item->object[0].rgb[2], 5);
    assert_int_equal(item->voice.speed, 0);
    so_tabletop_close(&corpus);
    so_tabletop_close(&corpus);
}

static void broken_files_are_named(void **state)
{
    (void)state;
    static const char *const broken[] = {"{\"question\": 5}", "[1]", "{\"question\": \"a\"",
                                         "\"text\"",          "{}",  "\xff\xfe"};
    so_error error;
    so_tabletop_corpus corpus;
    for (int i = 0; i < 6; i++) {
        char text[64];
        int n = snprintf(text, sizeof text, "{\"text\": \"fine\"}\n%s\n", broken[i]);
        CHECK_OK(so_file_write(in_root("broken.jsonl"), text, (size_t)n, &error), error);
        assert_int_equal(so_tabletop_open(&corpus, in_root("broken.jsonl"), &error), SO_ERR_FORMAT);
        assert_non_null(strstr(error.text, "line 2"));
        assert_int_equal(corpus.count, 0);
    }
    static const char *const strange[][2] = {{"\xef\xbb\xbf{\"text\": \"fine\"}", "a byte order mark"},
                                             {"<html></html>", "an HTML page"},
                                             {"version https://git-lfs.github.com/spec/v1\n", "a git-lfs pointer"}};
    for (int i = 0; i < 6; i++) {
        const char *file = in_root(i % 2 ? "strange.json" : "strange.jsonl"), *text = strange[i / 2][0];
        CHECK_OK(so_file_write(file, text, strlen(text), &error), error);
        assert_int_equal(so_tabletop_open(&corpus, file, &error), SO_ERR_FORMAT);
        assert_non_null(strstr(error.text, strange[i / 2][1]));
    }
    static const char llava[] = "[{\"id\": \"a\", \"conversations\": [{\"from\": \"human\"}, {\"from\": \"gpt\"}]}]";
    CHECK_OK(so_file_write(in_root("broken.json"), llava, sizeof llava - 1, &error), error);
    assert_int_equal(so_tabletop_open(&corpus, in_root("broken.json"), &error), SO_ERR_FORMAT);
    assert_int_equal(so_tabletop_open(&corpus, in_root("nothing here"), &error), SO_ERR_MISSING);
    CHECK_OK(so_make_folder(in_root("empty"), &error), error);
    assert_int_equal(so_tabletop_open(&corpus, in_root("empty"), &error), SO_ERR_MISSING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(build_is_the_same_again_and_resumes),
        cmocka_unit_test(cut_files_are_made_again),
        cmocka_unit_test(records_are_read_back),
        cmocka_unit_test(reserved_corpora_hold_only_reserved_things),
        cmocka_unit_test(strangers_are_read_tolerantly),
        cmocka_unit_test(broken_files_are_named),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
