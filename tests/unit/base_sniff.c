/* base/sniff: kinds of files by their first bytes, however short they are cut.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "base/sniff.h"

#define CASE(bytes, content)                                                                                           \
    {                                                                                                                  \
        bytes, sizeof bytes - 1, content                                                                               \
    }

static const struct {
    const char *bytes;
    size_t size;
    so_content content;
} cases[] = {
    CASE("RIFF\x24\0\0\0WAVEfmt ", SO_CONTENT_SOUND),
    CASE("RIFF\x24\0\0\0WEBPVP8 ", SO_CONTENT_PICTURE),
    CASE("\0\0\0\x1c"
         "ftypM4A ",
         SO_CONTENT_SOUND),
    CASE("\0\0\0\x1c"
         "ftypheic",
         SO_CONTENT_PICTURE),
    CASE("\0\0\0\x1c"
         "ftypavif",
         SO_CONTENT_PICTURE),
    CASE("\x1a\x45\xdf\xa3\x01", SO_CONTENT_SOUND),
    CASE("\xff\xfb\x90\x00", SO_CONTENT_SOUND),   /* MPEG 1, layer III, 128 kbit/s */
    CASE("\xff\xf1\x50\x80", SO_CONTENT_SOUND),   /* ADTS */
    CASE("\xff\xff\xff\xff", SO_CONTENT_UNKNOWN), /* no frame has such numbers */
    CASE("\xff\xd8\xff\xe0", SO_CONTENT_PICTURE),
    CASE("P6 1 1 255\nabc", SO_CONTENT_PICTURE),
    CASE("P6x", SO_CONTENT_TEXT),
    CASE("BM\x36\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\1\0\0\0\1\0\0\0", SO_CONTENT_PICTURE),
    CASE("BMW is a car", SO_CONTENT_TEXT),
    CASE("GGUF\3\0\0\0", SO_CONTENT_MODEL),
    CASE("\x10\0\0\0\0\0\0\0{\"a\":1}", SO_CONTENT_MODEL),
    CASE("%PDF-1.7", SO_CONTENT_OTHER),
    CASE("PK\3\4", SO_CONTENT_OTHER),
    CASE("version https://git-lfs.github.com/spec/v1\n", SO_CONTENT_OTHER),
    CASE("\n <!DOCTYPE html><title>404</title>", SO_CONTENT_OTHER),
    CASE("<svg xmlns=", SO_CONTENT_OTHER),
    CASE("\xff\xfeH\0i\0", SO_CONTENT_OTHER),
    CASE("What color is the star?\n", SO_CONTENT_TEXT),
    CASE("\xef\xbb\xbfGr\xc3\xbc\xc3\x9f"
         "e",
         SO_CONTENT_TEXT),
    CASE("Gr\xfc\xdf"
         "e",
         SO_CONTENT_UNKNOWN), /* Latin-1 */
    CASE("a\0b", SO_CONTENT_UNKNOWN),
    CASE("a\033[2J", SO_CONTENT_UNKNOWN),
    CASE("", SO_CONTENT_EMPTY),
};

static void kinds_are_told(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        so_sniffed is = so_sniff(cases[i].bytes, cases[i].size);
        if (is.content != cases[i].content)
            fail_msg("case %zu: content %d (%s), expected %d", i, is.content, is.what, cases[i].content);
        assert_non_null(is.what);
    }
}

/* Each prefix from memory of exactly its size: a sanitizer sees a read behind it. */
static void prefixes_are_safe(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t n = 0; n <= cases[i].size; n++) {
            char *copy = malloc(n ? n : 1);
            memcpy(copy, cases[i].bytes, n);
            assert_int_equal(so_sniff(copy, n).content == SO_CONTENT_EMPTY, n == 0);
            free(copy);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds_are_told),
        cmocka_unit_test(prefixes_are_safe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
