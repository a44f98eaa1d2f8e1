/* media/image: pictures made here in every form, what must be refused, resizing against its definition, views.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <jpeglib.h>
#include <spng.h>
#include <webp/encode.h>

#include "base/rng.h"
#include "media/image.h"

/* Smooth enough for JPEG, different in every quarter. */
static so_image gradient(int w, int h)
{
    so_error error;
    so_image image;
    CHECK_OK(so_image_init(&image, w, h, &error), error);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            uint8_t *p = image.rgb + ((size_t)y * (size_t)w + (size_t)x) * 3;
            p[0] = (uint8_t)(x * 255 / w);
            p[1] = (uint8_t)(y * 255 / h);
            p[2] = (uint8_t)((x + y) * 127 / (w + h) + 40);
        }
    return image;
}

static so_image noise(int w, int h, uint64_t seed)
{
    so_error error;
    so_image image;
    so_rng rng;
    so_rng_init(&rng, seed, 0);
    CHECK_OK(so_image_init(&image, w, h, &error), error);
    for (size_t i = 0; i < (size_t)w * (size_t)h * 3; i++) image.rgb[i] = (uint8_t)so_rng_u64(&rng);
    return image;
}

static const uint8_t *pixel(const so_image *image, int x, int y)
{
    return image->rgb + ((size_t)y * (size_t)image->w + (size_t)x) * 3;
}

static void expect_refusal(const void *data, size_t size, int64_t most, so_status expected)
{
    so_image got;
    so_error error;
    so_status status = so_image_decode(&got, data, size, most, &error);
    if (status != expected) fail_msg("status %s, expected %s", so_status_name(status), so_status_name(expected));
    assert_null(got.rgb);
    assert_true(strlen(error.text) > 10);
}

/* A JPEG of `space`, with an EXIF orientation (big-endian for even ones) when it is not 0. The samples are RGB, grey or
 * (inverted) CMYK bytes. */
static unsigned char *jpeg(const uint8_t *samples, int w, int h, J_COLOR_SPACE space, int orientation,
                           unsigned long *size)
{
    struct jpeg_compress_struct info;
    struct jpeg_error_mgr errors;
    unsigned char *data = NULL;
    int channels = space == JCS_GRAYSCALE ? 1 : space == JCS_CMYK ? 4 : 3;
    info.err = jpeg_std_error(&errors);
    jpeg_create_compress(&info);
    jpeg_mem_dest(&info, &data, size);
    info.image_width = (JDIMENSION)w;
    info.image_height = (JDIMENSION)h;
    info.input_components = channels;
    info.in_color_space = space;
    jpeg_set_defaults(&info);
    jpeg_set_quality(&info, 95, TRUE);
    info.write_Adobe_marker = space == JCS_CMYK;
    for (int i = 0; i < info.num_components; i++) info.comp_info[i].h_samp_factor = info.comp_info[i].v_samp_factor = 1;
    jpeg_start_compress(&info, TRUE);
    unsigned char little[] = "Exif\0\0II*\0\10\0\0\0\1\0\x12\1\3\0\1\0\0\0o\0\0\0\0\0\0\0";
    unsigned char big[] = "Exif\0\0MM\0*\0\0\0\10\0\1\1\x12\0\3\0\0\0\1\0o\0\0\0\0\0\0";
    little[24] = big[25] = (unsigned char)orientation;
    if (orientation) jpeg_write_marker(&info, JPEG_APP0 + 1, orientation % 2 ? little : big, sizeof big - 1);
    for (int y = 0; y < h; y++) {
        JSAMPROW row = (JSAMPROW)(uintptr_t)(samples + (size_t)y * (size_t)w * (size_t)channels);
        jpeg_write_scanlines(&info, &row, 1);
    }
    jpeg_finish_compress(&info);
    jpeg_destroy_compress(&info);
    return data;
}

static void close_colour(const uint8_t *p, int r, int g, int b, int bar)
{
    if (abs(p[0] - r) > bar || abs(p[1] - g) > bar || abs(p[2] - b) > bar)
        fail_msg("colour (%d, %d, %d), expected (%d, %d, %d)", p[0], p[1], p[2], r, g, b);
}

static void jpegs_of_every_orientation_stand_upright(void **state)
{
    (void)state;
    /* Where the stored picture's top left corner (black) and top right corner (red) are seen: EXIF's table. */
    static const int corner[9][2][2] = {{{0}},
                                        {{0, 0}, {1, 0}},
                                        {{1, 0}, {0, 0}},
                                        {{1, 1}, {0, 1}},
                                        {{0, 1}, {1, 1}},
                                        {{0, 0}, {0, 1}},
                                        {{1, 0}, {1, 1}},
                                        {{1, 1}, {1, 0}},
                                        {{0, 1}, {0, 0}}};
    so_image image = gradient(64, 40);
    for (int o = 1; o <= 8; o++) {
        so_error error;
        so_image got;
        unsigned long size = 0;
        unsigned char *data = jpeg(image.rgb, 64, 40, JCS_RGB, o, &size);
        CHECK_OK(so_image_decode(&got, data, size, 0, &error), error);
        assert_int_equal(got.w, o < 5 ? 64 : 40);
        assert_int_equal(got.h, o < 5 ? 40 : 64);
        close_colour(pixel(&got, corner[o][0][0] * (got.w - 1), corner[o][0][1] * (got.h - 1)), 0, 0, 40, 8);
        close_colour(pixel(&got, corner[o][1][0] * (got.w - 1), corner[o][1][1] * (got.h - 1)), 251, 0, 116, 8);
        so_image_clear(&got);
        free(data);
    }
    so_image_clear(&image);
}

static void grey_and_cmyk_jpegs_become_rgb(void **state)
{
    (void)state;
    so_error error;
    so_image got;
    uint8_t grey[32 * 32], cmyk[32 * 32 * 4];
    unsigned long size = 0;
    memset(grey, 77, sizeof grey);
    for (int i = 0; i < 32 * 32; i++) { /* inverted: cyan ink 55, no magenta, full yellow, a fifth of black */
        cmyk[i * 4] = 200;
        cmyk[i * 4 + 1] = 255;
        cmyk[i * 4 + 2] = 0;
        cmyk[i * 4 + 3] = 204;
    }
    unsigned char *data = jpeg(grey, 32, 32, JCS_GRAYSCALE, 0, &size);
    CHECK_OK(so_image_decode(&got, data, size, 0, &error), error);
    close_colour(pixel(&got, 5, 5), 77, 77, 77, 1);
    so_image_clear(&got);
    free(data);
    size = 0;
    data = jpeg(cmyk, 32, 32, JCS_CMYK, 0, &size);
    CHECK_OK(so_image_decode(&got, data, size, 0, &error), error);
    close_colour(pixel(&got, 5, 5), 204 * 200 / 255, 204, 0, 2);
    so_image_clear(&got);
    free(data);
}

static unsigned char *png(const void *samples, size_t bytes, const struct spng_ihdr *head, struct spng_plte *plte,
                          struct spng_trns *trns, size_t *size)
{
    spng_ctx *ctx = spng_ctx_new(SPNG_CTX_ENCODER);
    struct spng_ihdr header = *head;
    int failed = 0;
    spng_set_option(ctx, SPNG_ENCODE_TO_BUFFER, 1);
    assert_int_equal(spng_set_ihdr(ctx, &header), 0);
    if (plte) assert_int_equal(spng_set_plte(ctx, plte), 0);
    if (trns) assert_int_equal(spng_set_trns(ctx, trns), 0);
    assert_int_equal(spng_encode_image(ctx, samples, bytes, SPNG_FMT_PNG, SPNG_ENCODE_FINALIZE), 0);
    unsigned char *data = spng_get_png_buffer(ctx, size, &failed);
    spng_ctx_free(ctx);
    assert_non_null(data);
    return data;
}

static void check_png(const void *samples, size_t bytes, int n, uint8_t type, uint8_t depth, struct spng_plte *plte,
                      struct spng_trns *trns, const uint8_t *expected)
{
    so_error error;
    so_image got;
    size_t size;
    unsigned char *data = png(
        samples, bytes,
        &(struct spng_ihdr){.width = (uint32_t)(n), .height = (uint32_t)(1), .bit_depth = depth, .color_type = type},
        plte, trns, &size);
    CHECK_OK(so_image_decode(&got, data, size, 0, &error), error);
    assert_int_equal(got.w, n);
    assert_memory_equal(got.rgb, expected, (size_t)n * 3);
    so_image_clear(&got);
    free(data);
}

static void pngs_of_every_kind_become_rgb(void **state)
{
    (void)state;
    const uint8_t rgba[] = {10, 20, 30, 255, 10, 20, 30, 0, 100, 0, 200, 128};
    check_png(rgba, 12, 3, SPNG_COLOR_TYPE_TRUECOLOR_ALPHA, 8, NULL, NULL,
              (const uint8_t[]){10, 20, 30, 255, 255, 255, 177, 127, 227});
    const uint8_t grey[] = {0, 128, 255}, grey_alpha[] = {50, 255, 50, 0};
    check_png(grey, 3, 3, SPNG_COLOR_TYPE_GRAYSCALE, 8, NULL, NULL,
              (const uint8_t[]){0, 0, 0, 128, 128, 128, 255, 255, 255});
    check_png(grey_alpha, 4, 2, SPNG_COLOR_TYPE_GRAYSCALE_ALPHA, 8, NULL, NULL,
              (const uint8_t[]){50, 50, 50, 255, 255, 255});
    const uint16_t deep[] = {0xffff, 0x8000, 0};
    check_png(deep, 6, 1, SPNG_COLOR_TYPE_TRUECOLOR, 16, NULL, NULL, (const uint8_t[]){255, 128, 0});
    struct spng_plte plte = {.n_entries = 2, .entries = {{1, 2, 3, 0}, {200, 100, 50, 0}}};
    struct spng_trns trns = {.n_type3_entries = 1, .type3_alpha = {0}};
    const uint8_t index[] = {0, 1};
    check_png(index, 2, 2, SPNG_COLOR_TYPE_INDEXED, 8, &plte, NULL, (const uint8_t[]){1, 2, 3, 200, 100, 50});
    check_png(index, 2, 2, SPNG_COLOR_TYPE_INDEXED, 8, &plte, &trns, (const uint8_t[]){255, 255, 255, 200, 100, 50});
    const uint8_t bits[] = {0xa0};
    check_png(bits, 1, 3, SPNG_COLOR_TYPE_GRAYSCALE, 1, NULL, NULL,
              (const uint8_t[]){255, 255, 255, 0, 0, 0, 255, 255, 255});
}

static void png_webp_and_pnm_come_back(void **state)
{
    (void)state;
    so_error error;
    so_image image = noise(37, 23, 1), got;
    unsigned char *data;
    size_t size, pixels = 37 * 23;
    CHECK_OK(so_image_encode_png(&image, &data, &size, &error), error);
    CHECK_OK(so_image_decode(&got, data, size, 0, &error), error);
    assert_memory_equal(got.rgb, image.rgb, pixels * 3);
    so_image_clear(&got);
    for (size_t cut = 0; cut + 12 < size; cut += 1 + cut / 16) /* all before the closing chunk is needed */
        if (so_image_decode(&got, data, cut, 0, &error) == SO_OK)
            fail_msg("a PNG cut after %zu bytes was accepted", cut);
    expect_refusal(data, size, 37 * 23 - 1, SO_ERR_LIMIT);
    free(data);
    size = WebPEncodeLosslessRGB(image.rgb, 37, 23, 37 * 3, &data);
    CHECK_OK(so_image_decode(&got, data, size, 0, &error), error);
    assert_memory_equal(got.rgb, image.rgb, pixels * 3);
    so_image_clear(&got);
    expect_refusal(data, size / 2, 0, SO_ERR_FORMAT);
    expect_refusal(data, size, 800, SO_ERR_LIMIT);
    WebPFree(data);
    const uint8_t half[] = {100, 0, 200, 128, 100, 0, 200, 255};
    size = WebPEncodeLosslessRGBA(half, 2, 1, 8, &data);
    CHECK_OK(so_image_decode(&got, data, size, 0, &error), error);
    close_colour(pixel(&got, 0, 0), 177, 127, 227, 0);
    close_colour(pixel(&got, 1, 0), 100, 0, 200, 0);
    so_image_clear(&got);
    WebPFree(data);
    const char *pnm[] = {"P5 # grey\n2 1\n# more\n255\nAz", "P5 2 1 65535 \x80\x00\x00\x01", "P5 2 1 3 \x01\x03"};
    const size_t sizes[] = {27, 17, 11};
    const int first[] = {'A', 128, 85}, second[] = {'z', 0, 255};
    for (int i = 0; i < 3; i++) {
        CHECK_OK(so_image_decode(&got, pnm[i], sizes[i], 0, &error), error);
        close_colour(pixel(&got, 0, 0), first[i], first[i], first[i], 0);
        close_colour(pixel(&got, 1, 0), second[i], second[i], second[i], 0);
        so_image_clear(&got);
        expect_refusal(pnm[i], sizes[i] - 1, 0, SO_ERR_FORMAT);
    }
    so_image_clear(&image);
}

static void hostile_pictures_are_refused(void **state)
{
    (void)state;
    expect_refusal("", 0, 0, SO_ERR_FORMAT);
    expect_refusal("GIF89a", 6, 0, SO_ERR_FORMAT);
    expect_refusal("P6 20000 20000 255 x", 20, 0, SO_ERR_LIMIT);
    expect_refusal("P6 99999999999 1 255 x", 22, 0, SO_ERR_LIMIT);
    expect_refusal("P6 0 1 255 x", 12, 0, SO_ERR_FORMAT);
    expect_refusal("P6 1 1 0 x", 10, 0, SO_ERR_FORMAT);
    expect_refusal("P6", 2, 0, SO_ERR_UNSUPPORTED);
    so_image image = gradient(64, 64);
    unsigned long size = 0;
    unsigned char *data = jpeg(image.rgb, 64, 64, JCS_RGB, 1, &size);
    for (unsigned long cut = 3; cut + 2 < size; cut += 13) {
        so_image got;
        so_error error;
        if (so_image_decode(&got, data, cut, 0, &error) == SO_OK)
            fail_msg("a JPEG cut after %lu bytes was accepted", cut);
    }
    expect_refusal(data, size, 64 * 63, SO_ERR_LIMIT);
    free(data);
    so_image_clear(&image);
}

/* The definition, in double precision and without any shortcut; one pass along x. */
static so_image resize_x(const so_image *in, int w)
{
    so_error error;
    so_image out;
    CHECK_OK(so_image_init(&out, w, in->h, &error), error);
    double scale = (double)in->w / w, f = scale > 1 ? scale : 1;
    for (int i = 0; i < w; i++) {
        double c = (i + 0.5) * scale, sum = 0;
        int from = (int)fmax(0, (int)(c - 2 * f + 0.5)), to = (int)fmin(in->w, (int)(c + 2 * f + 0.5));
        for (int pass = 0; pass < 2; pass++)
            for (int y = 0; y < (pass ? in->h : 1); y++)
                for (int k = 0; k < 3; k++) {
                    int64_t total = 1 << 21;
                    for (int j = from; j < to; j++) {
                        double x = fabs((j - c + 0.5) / f);
                        double v = x < 1 ? (1.5 * x - 2.5) * x * x + 1 : x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
                        if (!pass && k == 0) sum += v;
                        if (pass) total += (int64_t)llround(v / sum * (1 << 22)) * pixel(in, j, y)[k];
                    }
                    if (!pass) continue;
                    total >>= 22;
                    out.rgb[((size_t)y * (size_t)w + (size_t)i) * 3 + (size_t)k] = (uint8_t)(total < 0     ? 0
                                                                                             : total > 255 ? 255
                                                                                                           : total);
                }
    }
    return out;
}

static so_image transpose(const so_image *in)
{
    so_error error;
    so_image out;
    CHECK_OK(so_image_init(&out, in->h, in->w, &error), error);
    for (int y = 0; y < in->h; y++)
        for (int x = 0; x < in->w; x++)
            memcpy(out.rgb + ((size_t)x * (size_t)in->h + (size_t)y) * 3, pixel(in, x, y), 3);
    return out;
}

static void resizing_is_its_definition(void **state)
{
    (void)state;
    static const int sizes[][4] = {{1, 1, 7, 5},     {7, 5, 1, 1},    {40, 30, 40, 11}, {40, 30, 13, 30},
                                   {31, 17, 96, 50}, {300, 3, 5, 40}, {64, 64, 64, 64}, {129, 67, 64, 65}};
    for (size_t s = 0; s < 8; s++) {
        so_error error;
        so_image in = noise(sizes[s][0], sizes[s][1], s), got, threaded;
        so_pool *pool;
        CHECK_OK(so_pool_open(&pool, 2, &error), error);
        CHECK_OK(so_image_resize(&got, &in, sizes[s][2], sizes[s][3], NULL, &error), error);
        CHECK_OK(so_image_resize(&threaded, &in, sizes[s][2], sizes[s][3], pool, &error), error);
        so_image a = resize_x(&in, sizes[s][2]), b = transpose(&a), c = resize_x(&b, sizes[s][3]),
                 expected = transpose(&c);
        size_t bytes = (size_t)got.w * (size_t)got.h * 3, different = 0;
        assert_memory_equal(got.rgb, threaded.rgb, bytes);
        for (size_t i = 0; i < bytes;
             i++) { /* halves of a rounding may fall apart between two ways of writing a cubic */
            assert_true(abs(got.rgb[i] - expected.rgb[i]) <= 1);
            different += got.rgb[i] != expected.rgb[i];
        }
        if (different > bytes / 1000) fail_msg("%zu of %zu values differ", different, bytes);
        so_image *all[] = {&in, &got, &threaded, &a, &b, &c, &expected};
        for (int i = 0; i < 7; i++) so_image_clear(all[i]);
        so_pool_close(&pool);
    }
}

static void huge_and_tiny_pictures_become_views(void **state)
{
    (void)state;
    static const int sizes[][2] = {{1, 1}, {20000, 2}, {3, 20000}, {20000, 1000}, {2, 65500}};
    for (int mode = 0; mode < 3; mode++)
        for (size_t s = 0; s < 5; s++) {
            so_error error;
            so_image image;
            so_image_spec spec;
            so_image_views views;
            CHECK_OK(so_image_init(&image, sizes[s][0], sizes[s][1], &error), error);
            memset(image.rgb, 200, (size_t)image.w * (size_t)image.h * 3);
            CHECK_OK(so_image_spec_init(&spec, 64, &error), error);
            CHECK_OK(so_image_spec_set_mode(&spec,
                                            mode == 0   ? "square"
                                            : mode == 1 ? "pad"
                                                        : "anyres_max_9",
                                            &error),
                     error);
            CHECK_OK(so_image_spec_set_pinpoints(&spec, "(1x1),...,(3x3)", &error), error);
            CHECK_OK(so_image_views_make(&views, &image, &spec, NULL, &error), error);
            assert_int_equal(views.n, 1 + views.grid_w * views.grid_h);
            const uint8_t *middle = views.rgb + (32 * 64 + 32) * 3;
            if (mode != 1 || s == 0)
                assert_int_equal(middle[0], 200);
            else                                      /* a strip on grey */
                assert_in_range(middle[0], 127, 215); /* bicubic overshoots a little */
            float *x = malloc((size_t)views.n * 3 * 64 * 64 * sizeof *x);
            so_image_normalise(&views, &spec, x);
            if (mode == 0) assert_true(x[0] == ((float)(200 / 255.0) - 0.5f) / 0.5f);
            free(x);
            so_image_views_clear(&views);
            so_image_clear(&image);
        }
}

static void padding_equals_a_real_canvas(void **state)
{
    (void)state;
    so_error error;
    so_image in = noise(50, 21, 4), square = noise(50, 50, 5), expected;
    so_image_spec spec;
    so_image_views views;
    memset(square.rgb, 127, 50 * 50 * 3);
    memcpy(square.rgb + 14 * 50 * 3, in.rgb, 50 * 21 * 3);
    CHECK_OK(so_image_spec_init(&spec, 33, &error), error);
    CHECK_OK(so_image_spec_set_mode(&spec, "pad", &error), error);
    CHECK_OK(so_image_views_make(&views, &in, &spec, NULL, &error), error);
    CHECK_OK(so_image_resize(&expected, &square, 33, 33, NULL, &error), error);
    assert_memory_equal(views.rgb, expected.rgb, 33 * 33 * 3);
    so_image_views_clear(&views);
    so_image_clear(&expected);
    so_image turned = transpose(&in), turned_square = transpose(&square);
    CHECK_OK(so_image_views_make(&views, &turned, &spec, NULL, &error), error);
    CHECK_OK(so_image_resize(&expected, &turned_square, 33, 33, NULL, &error), error);
    assert_memory_equal(views.rgb, expected.rgb, 33 * 33 * 3);
    so_image_views_clear(&views);
    so_image *all[] = {&in, &square, &expected, &turned, &turned_square};
    for (int i = 0; i < 5; i++) so_image_clear(all[i]);
}

static void settings_are_read_or_refused(void **state)
{
    (void)state;
    so_error error;
    so_image_spec spec;
    int best[2];
    CHECK_OK(so_image_spec_init(&spec, 384, &error), error);
    CHECK_OK(so_image_spec_set_mode(&spec, "anyres_max_12", &error), error);
    assert_int_equal(spec.mode, SO_IMAGE_ANYRES);
    assert_int_equal(spec.max_tiles, 12);
    CHECK_OK(so_image_spec_set_pinpoints(&spec, "[[384, 768], (768, 384),[768,768], [1152, 384]]", &error), error);
    assert_int_equal(spec.pinpoints, 4);
    so_image_best_resolution(&spec, 1000, 300, best);
    assert_int_equal(best[0], 1152);
    so_image_best_resolution(&spec, 300, 1000, best);
    assert_int_equal(best[1], 768);
    assert_int_equal(best[0], 384);
    CHECK_OK(so_image_spec_set_pinpoints(&spec, "(1x1),...,(6x6)", &error), error);
    assert_int_equal(spec.pinpoints, 36);
    assert_int_equal(spec.pinpoint[6][0], 768);
    assert_int_equal(spec.pinpoint[6][1], 384);
    static const struct {
        const char *text;
        so_status status;
    } bad[] = {{"", SO_ERR_FORMAT},
               {"[[384]]", SO_ERR_FORMAT},
               {"[[0, 384]]", SO_ERR_LIMIT},
               {"hello", SO_ERR_FORMAT},
               {"(3x3),...,(1x1)", SO_ERR_FORMAT},
               {"[[99999999999999, 1]]", SO_ERR_LIMIT},
               {"(1x1),...,(99x99)", SO_ERR_LIMIT},
               {"[[384.5, 384]]", SO_ERR_FORMAT}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(so_image_spec_set_pinpoints(&spec, bad[i].text, &error), bad[i].status);
    assert_int_equal(so_image_spec_set_mode(&spec, "highres", &error), SO_ERR_UNSUPPORTED);
    assert_int_equal(so_image_spec_set_mode(&spec, "anyres_max_x", &error), SO_ERR_FORMAT);
    assert_int_equal(so_image_spec_init(&spec, 0, &error), SO_ERR_ARG);
    so_image image;
    assert_int_equal(so_image_init(&image, 20000, 20000, &error), SO_ERR_LIMIT);
    assert_int_equal(so_image_init(&image, 0, 5, &error), SO_ERR_ARG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jpegs_of_every_orientation_stand_upright),
        cmocka_unit_test(grey_and_cmyk_jpegs_become_rgb),
        cmocka_unit_test(pngs_of_every_kind_become_rgb),
        cmocka_unit_test(png_webp_and_pnm_come_back),
        cmocka_unit_test(hostile_pictures_are_refused),
        cmocka_unit_test(resizing_is_its_definition),
        cmocka_unit_test(huge_and_tiny_pictures_become_views),
        cmocka_unit_test(padding_equals_a_real_canvas),
        cmocka_unit_test(settings_are_read_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
