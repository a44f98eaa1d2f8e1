/* media/image: every container against Pillow's reading of small files (tests/pictures, made by make.py there), and
 * what happens to the same files cut, changed and over the limit. SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "base/file.h"
#include "base/rng.h"
#include "media/image.h"

typedef struct picture {
    char name[64], expected[64];
    int frames, bar;
} picture;

enum { MOST = 200 };

static picture list[MOST];
static int pictures;

static const char *place(const char *name)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/tests/pictures/%s", SO_SOURCE_DIR, name);
    return path;
}

static int read_list(void **state)
{
    (void)state;
    FILE *file = fopen(place("list.txt"), "r");
    if (!file) return -1;
    while (pictures < MOST && fscanf(file, "%63s %63s %d %d", list[pictures].name, list[pictures].expected,
                                     &list[pictures].frames, &list[pictures].bar) == 4)
        pictures++;
    fclose(file);
    return pictures > 60 ? 0 : -1;
}

static bool is_heif(const picture *p) { return strstr(p->name, ".heic") || strstr(p->name, ".avif"); }

/* 1: as expected, 0: no libheif here. */
static int check_picture(const picture *p)
{
    so_error error = {0};
    so_image got, expected;
    so_status status = so_image_read(&got, place(p->name), 0, &error);
    if (status == SO_ERR_MISSING && is_heif(p)) {
        assert_non_null(strstr(error.text, "libheif1"));
        return 0;
    }
    if (status != SO_OK) fail_msg("%s", error.text);
    CHECK_OK(so_image_read(&expected, place(p->expected), 0, &error), error);
    if (got.w != expected.w || got.h != expected.h || got.frames != p->frames)
        fail_msg("%s: %d x %d, %d pictures; expected %d x %d, %d", p->name, got.w, got.h, got.frames, expected.w,
                 expected.h, p->frames);
    int worst = 0;
    for (size_t i = 0; i < (size_t)got.w * (size_t)got.h * 3; i++) {
        int d = abs(got.rgb[i] - expected.rgb[i]);
        if (d > worst) worst = d;
    }
    if (worst > p->bar) fail_msg("%s: a value differs by %d, at most %d is allowed", p->name, worst, p->bar);
    so_image_clear(&got);
    so_image_clear(&expected);
    return 1;
}

static void everything_is_read_as_pillow_reads_it(void **state)
{
    (void)state;
    for (int i = 0; i < pictures; i++)
        if (!is_heif(&list[i])) assert_int_equal(check_picture(&list[i]), 1);
}

static void heic_and_avif_are_read_where_libheif_is(void **state)
{
    (void)state;
    for (int i = 0; i < pictures; i++)
        if (is_heif(&list[i]) && !check_picture(&list[i])) {
            fprintf(stderr, "# SKIP: libheif is absent\n");
            skip();
        }
}

static void load(const char *name, char **data, size_t *size)
{
    so_error error;
    CHECK_OK(so_file_read(place(name), 1 << 20, data, size, &error), error);
}

/* Where the pixels end is known to each form, but the bytes behind them need not be there. */
static void cut_files_are_refused_or_whole(void **state)
{
    (void)state;
    static const char *const names[] = {"plain.gif", "rgb24.bmp",   "four.bmp",    "rle8.bmp",  "rle4.bmp",
                                        "bits.pbm",  "text.pgm",    "rgba.pam",    "raw.tif",   "lzw.tif",
                                        "fax.tif",   "turn3.webp",  "deflate.tif", "alpha.bmp", "animation.webp",
                                        "os2.bmp",   "packbits.tif"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *data;
        size_t size;
        so_error error = {0};
        so_image whole, got;
        load(names[i], &data, &size);
        CHECK_OK(so_image_decode(&whole, data, size, 0, &error), error);
        size_t bytes = (size_t)whole.w * (size_t)whole.h * 3;
        for (size_t cut = 1; cut < size; cut += 1 + size / 200) {
            char *part = malloc(cut); /* a block of its own, so that a step too far is seen */
            memcpy(part, data, cut);
            if (so_image_decode(&got, part, cut, 0, &error) != SO_OK) {
                assert_null(got.rgb);
                assert_true(strlen(error.text) > 10);
            } else if (memcmp(got.rgb, whole.rgb, bytes) != 0) {
                fail_msg("%s: cut after %zu of %zu bytes, it was read as another picture", names[i], cut, size);
            }
            so_image_clear(&got);
            free(part);
        }
        so_image_clear(&whole);
        free(data);
    }
}

static void limits_hold_before_pixels_are_taken(void **state)
{
    (void)state;
    for (int i = 0; i < pictures; i++) {
        char *data;
        size_t size;
        so_error error = {0};
        so_image got;
        load(list[i].name, &data, &size);
        so_status status = so_image_decode(&got, data, size, 100, &error);
        bool absent = is_heif(&list[i]) && status == SO_ERR_MISSING;
        if (status != SO_ERR_LIMIT && !absent) fail_msg("%s: %s", list[i].name, so_status_name(status));
        free(data);
    }
    /* announced sizes that memory would not hold */
    static const struct {
        size_t size;
        const char *data;
    } huge[] = {
        {19, "GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\1"},
        {54, "BM\0\0\0\0\0\0\0\0\66\0\0\0\50\0\0\0\xff\xff\0\0\xff\xff\0\0\1\0\30\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
             "\0\0\0"
             "\0\0\0"},
        {64, "P7\nWIDTH 60000\nHEIGHT 60000\nDEPTH 3\nMAXVAL 255\nENDHDR\n0123456789"},
        {20, "P1 60000 60000 010101"},
    };
    for (size_t i = 0; i < sizeof huge / sizeof *huge; i++) {
        so_error error = {0};
        so_image got;
        so_status status = so_image_decode(&got, huge[i].data, huge[i].size, 0, &error);
        if (status != SO_ERR_LIMIT && status != SO_ERR_FORMAT) fail_msg("huge %zu: %s", i, so_status_name(status));
        assert_null(got.rgb);
    }
}

/* A file of 1,154 bytes, found by fuzzing, whose pictures are to be laid on a canvas that takes 2.2 GB. */
static void a_canvas_is_no_larger_than_the_picture(void **state)
{
    (void)state;
    char *data;
    size_t size;
    so_error error = {0};
    so_image got;
    load("../fuzz/seeds/image/canvas.heic", &data, &size);
    so_status status = so_image_decode(&got, data, size, 0, &error);
    free(data);
    assert_null(got.rgb);
    if (status == SO_ERR_MISSING) {
        fprintf(stderr, "# SKIP: libheif is absent\n");
        skip();
    }
    if (status != SO_ERR_FORMAT && status != SO_ERR_LIMIT) fail_msg("%s: %s", so_status_name(status), error.text);
}

/* Bytes changed here and there: whatever comes, a picture of the announced size or an error. */
static void changed_files_do_no_harm(void **state)
{
    (void)state;
    so_rng rng;
    so_rng_init(&rng, 11, 0);
    for (int i = 0; i < pictures; i++) {
        char *data, *copy;
        size_t size;
        load(list[i].name, &data, &size);
        copy = malloc(size);
        for (int turn = 0; turn < 60; turn++) {
            so_error error = {0};
            so_image got;
            memcpy(copy, data, size);
            for (int k = 0; k <= turn % 4; k++)
                copy[so_rng_below(&rng, turn % 2 && size > 64 ? 64 : (int64_t)size)] = (char)so_rng_u64(&rng);
            if (so_image_decode(&got, copy, size, 1 << 20, &error) == SO_OK)
                assert_true(got.w > 0 && got.h > 0 && got.frames > 0 && got.rgb);
            so_image_clear(&got);
        }
        free(copy);
        free(data);
    }
}

static void what_is_no_picture_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *data, *said;
    } strangers[] = {
        {"<!DOCTYPE html><html><body>Sign in</body></html>", "an HTML page"},
        {"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", "a git-lfs pointer"},
        {"%PDF-1.7 ............", "a PDF document"},
        {"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"},
        {"8BPS............", "a Photoshop picture"},
        {"RIFF....WAVEfmt ", "a WAV recording"},
        {"hello", "a text"},
        {"P9 1 1 255 x", "a text"},
        {"....ftypisom....", "an MP4 or QuickTime file"},
    };
    for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++) {
        so_error error = {0};
        so_image got;
        so_status status = so_image_decode(&got, strangers[i].data, strlen(strangers[i].data), 0, &error);
        if (status != SO_ERR_UNSUPPORTED || !strstr(error.text, strangers[i].said))
            fail_msg("%s: '%s', expected '%s'", so_status_name(status), error.text, strangers[i].said);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_is_read_as_pillow_reads_it),
        cmocka_unit_test(heic_and_avif_are_read_where_libheif_is),
        cmocka_unit_test(cut_files_are_refused_or_whole),
        cmocka_unit_test(limits_hold_before_pixels_are_taken),
        cmocka_unit_test(a_canvas_is_no_larger_than_the_picture),
        cmocka_unit_test(changed_files_do_no_harm),
        cmocka_unit_test(what_is_no_picture_is_named),
    };
    return cmocka_run_group_tests(tests, read_list, NULL);
}
