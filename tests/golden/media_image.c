/* media: the views of pictures against the reference's hashes, and decoded JPEGs against its decoder.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <stdbool.h>

#include <jansson.h>

#include "media/image.h"

static uint32_t turn(uint32_t x, int n) { return x >> n | x << (32 - n); }

/* The fractional bits of a root, as FIPS 180-4 defines SHA-256's constants, of the i-th prime. */
static uint32_t prime_root(int i, bool cube)
{
    int prime = 1;
    for (int found = -1; found < i;) {
        bool divides = false;
        prime++;
        for (int d = 2; d * d <= prime; d++) divides |= prime % d == 0;
        found += !divides;
    }
    long double root = cube ? cbrtl(prime) : sqrtl(prime);
    return (uint32_t)((root - floorl(root)) * 4294967296.0L);
}

static void sha256_block(uint32_t state[8], const uint32_t k[64], const unsigned char *p)
{
    uint32_t w[64], s[8];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 | (uint32_t)p[4 * i + 2] << 8 |
               (uint32_t)p[4 * i + 3];
    for (int i = 16; i < 64; i++)
        w[i] = w[i - 16] + (turn(w[i - 15], 7) ^ turn(w[i - 15], 18) ^ w[i - 15] >> 3) + w[i - 7] +
               (turn(w[i - 2], 17) ^ turn(w[i - 2], 19) ^ w[i - 2] >> 10);
    memcpy(s, state, sizeof s);
    for (int i = 0; i < 64; i++) {
        uint32_t a = s[0], e = s[4];
        uint32_t t = s[7] + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & s[5]) ^ (~e & s[6])) + k[i] + w[i];
        uint32_t u = (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));
        memmove(s + 1, s, 7 * sizeof *s);
        s[4] += t;
        s[0] = t + u;
    }
    for (int i = 0; i < 8; i++) state[i] += s[i];
}

static void check_sha256(const char *what, const void *data, size_t n, const char *expected)
{
    uint32_t k[64], state[8];
    unsigned char tail[128] = {0};
    char got[65];
    for (int i = 0; i < 64; i++) k[i] = prime_root(i, true);
    for (int i = 0; i < 8; i++) state[i] = prime_root(i, false);
    size_t whole = n / 64 * 64, rest = n - whole, padded = rest < 56 ? 64 : 128;
    for (size_t i = 0; i < whole; i += 64) sha256_block(state, k, (const unsigned char *)data + i);
    memcpy(tail, (const unsigned char *)data + whole, rest);
    tail[rest] = 0x80;
    for (int i = 0; i < 8; i++) tail[padded - 1 - (size_t)i] = (unsigned char)((uint64_t)n * 8 >> (8 * i));
    for (size_t i = 0; i < padded; i += 64) sha256_block(state, k, tail + i);
    for (int i = 0; i < 8; i++) snprintf(got + 8 * i, 9, "%08x", state[i]);
    if (strcmp(got, expected)) fail_msg("%s: SHA-256 %s, expected %s", what, got, expected);
}

static const char *text(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static void check_mode(const so_image *image, const char *name, const json_t *mode)
{
    so_error error;
    so_image_spec spec;
    so_image_views views;
    CHECK_OK(so_image_spec_init(&spec, 384, &error), error);
    CHECK_OK(so_image_spec_set_mode(&spec, text(mode, "mode"), &error), error);
    json_t *pinpoints = json_object_get(mode, "pinpoints");
    if (pinpoints) {
        char *dumped = json_is_string(pinpoints) ? strdup(json_string_value(pinpoints)) : json_dumps(pinpoints, 0);
        CHECK_OK(so_image_spec_set_pinpoints(&spec, dumped, &error), error);
        free(dumped);
    }
    CHECK_OK(so_image_views_make(&views, image, &spec, NULL, &error), error);
    json_t *hashes = json_object_get(mode, "view_sha256_u8_hwc");
    assert_int_equal(views.n, json_array_size(hashes));
    size_t bytes = 384 * 384 * 3;
    for (int i = 0; i < views.n; i++)
        check_sha256(name, views.rgb + (size_t)i * bytes, bytes, json_string_value(json_array_get(hashes, (size_t)i)));
    float *pixels = malloc((size_t)views.n * bytes * sizeof *pixels);
    so_image_normalise(&views, &spec, pixels);
    check_sha256(name, pixels, (size_t)views.n * bytes * sizeof *pixels, text(mode, "pixels_sha256_f32le"));
    free(pixels);
    so_image_views_clear(&views);
}

static void views_are_the_reference_views(void **state)
{
    (void)state;
    so_error error;
    json_t *golden = json_load_file(check_shared("reference/stream-omni-tiny/golden.json"), 0, NULL), *entry;
    assert_non_null(golden);
    size_t i;
    json_array_foreach(json_object_get(golden, "images"), i, entry)
    {
        char path[256];
        so_image image;
        snprintf(path, sizeof path, "inputs/%s", text(entry, "decoded_file"));
        CHECK_OK(so_image_read(&image, check_shared(path), 0, &error), error);
        check_sha256(path, image.rgb, (size_t)image.w * (size_t)image.h * 3, text(entry, "decoded_rgb_sha256"));
        const char *name;
        json_t *mode;
        json_object_foreach(json_object_get(entry, "modes"), name, mode) check_mode(&image, name, mode);
        so_image_clear(&image);
    }
    assert_int_equal(i, 2);
    json_decref(golden);
}

/* The same decoder gives the same bytes; another one may be a level or two off. */
static void jpegs_decode_as_the_reference_does(void **state)
{
    (void)state;
    static const char *const names[][2] = {{"inputs/cat.jpg", "inputs/decoded/cat.ppm"},
                                           {"inputs/zebra.jpg", "inputs/decoded/zebra.ppm"},
                                           {"inputs/cat2.jpeg", "inputs/decoded/cat2.ppm"},
                                           {"inputs/waterview.jpg", "inputs/decoded/waterview.ppm"}};
    for (size_t i = 0; i < 4; i++) {
        so_error error;
        so_image got, expected;
        CHECK_OK(so_image_read(&got, check_shared(names[i][0]), 0, &error), error);
        CHECK_OK(so_image_read(&expected, check_shared(names[i][1]), 0, &error), error);
        assert_int_equal(got.w, expected.w);
        assert_int_equal(got.h, expected.h);
        int worst = 0;
        for (size_t k = 0; k < (size_t)got.w * (size_t)got.h * 3; k++) {
            int d = abs(got.rgb[k] - expected.rgb[k]);
            if (d > worst) worst = d;
        }
        if (worst > 2) fail_msg("%s: a value is %d levels off", names[i][0], worst);
        so_image_clear(&got);
        so_image_clear(&expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(views_are_the_reference_views),
        cmocka_unit_test(jpegs_decode_as_the_reference_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
