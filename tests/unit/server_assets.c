/* The page inside the program: whole, small, asking nobody else for anything, the same words in every language.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "server/assets.h"

static const char *const paths[] = {"/",           "/page.css", "/page.js",    "/client.js",  "/audio.js",
                                    "/history.js", "/view.js",  "/strings.js", "/worklet.js", "/example.png"};
enum { PATHS = sizeof paths / sizeof *paths };

static void every_file_is_there_as_it_is(void **state)
{
    (void)state;
    size_t all = 0;
    for (int i = 0; i < PATHS; i++) {
        const so_asset *a = so_asset_find(paths[i]);
        char name[4096], *data;
        size_t size;
        so_error error;
        assert_non_null(a);
        const char *file = i == 0 ? "/src/server/web/index.html" : i == PATHS - 1 ? "/examples/table.png" : NULL;
        if (file)
            snprintf(name, sizeof name, "%s%s", SO_SOURCE_DIR, file);
        else
            snprintf(name, sizeof name, "%s/src/server/web%s", SO_SOURCE_DIR, paths[i]);
        assert_int_equal(so_file_read(name, 1 << 20, &data, &size, &error), SO_OK);
        assert_int_equal(a->size, size);
        assert_memory_equal(a->data, data, size);
        free(data);
        assert_int_equal(strlen(a->tag), sizeof a->tag - 1);
        if (i == PATHS - 1) continue;
        all += a->size;
        assert_true(a->gzip_size > 100 && a->gzip_size < a->size);
        assert_memory_equal(a->gzip, "\x1f\x8b\x08", 3);
        /* The last four bytes of a gzip file are the length that it unpacks to. */
        const unsigned char *end = a->gzip + a->gzip_size - 4;
        assert_int_equal(end[0] | end[1] << 8 | end[2] << 16, a->size);
    }
    assert_in_range(all, 1000, 120000);
}

static void nothing_else_is_found(void **state)
{
    (void)state;
    static const char *const others[] = {"",          "/..",       "/../page.js",  "/PAGE.JS",
                                         "/page.js/", "//page.js", "/web/page.js", "/etc/passwd"};
    char *data;
    size_t size;
    const char *type;
    so_error error;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        assert_null(so_asset_find(others[i]));
        assert_int_equal(so_asset_read("/", others[i], &data, &size, &type, &error), SO_ERR_MISSING);
    }
    assert_ptr_equal(so_asset_find("/index.html"), so_asset_find("/"));
    assert_int_equal(so_asset_read(SO_SOURCE_DIR "/src/server/web", "/page.css", &data, &size, &type, &error), SO_OK);
    assert_int_equal(size, so_asset_find("/page.css")->size);
    free(data);
}

/* Whether `text` holds `part`. */
static bool holds(const so_asset *a, const char *part) { return memmem(a->data, a->size, part, strlen(part)) != NULL; }

static void the_page_keeps_its_rules(void **state)
{
    (void)state;
    static const char *const never[] = {"innerHTML",  "outerHTML",    "insertAdjacentHTML", "document.write",
                                        "eval(",      "new Function", "http://cdn",         "https://",
                                        "onclick=\"", "style=\"",     "<script>",           "javascript:"};
    for (int i = 0; i < PATHS - 1; i++)
        for (size_t k = 0; k < sizeof never / sizeof *never; k++)
            if (holds(so_asset_find(paths[i]), never[k])) fail_msg("%s holds %s", paths[i], never[k]);
    assert_null(strstr(so_asset_policy, "unsafe"));
}

/* Names of one language in strings.js, in order of their lines: what stands before a colon. */
static int names_of(const char *from, const char *to, char names[256][32])
{
    int n = 0;
    for (const char *p = from; p < to && n < 256; p++) {
        if (*p == '\'') { /* a text: skipped */
            for (p++; p < to && *p != '\''; p++) p += *p == '\\';
            continue;
        }
        size_t length = strspn(p, "abcdefghijklmnopqrstuvwxyz0123456789");
        if (length && length < 32 && p[length] == ':') {
            memcpy(names[n], p, length);
            names[n++][length] = 0;
        }
        if (length) p += length - 1;
    }
    return n;
}

static void languages_have_the_same_words(void **state)
{
    (void)state;
    static char english[256][32], chinese[256][32];
    const so_asset *a = so_asset_find("/strings.js");
    char *text = malloc(a->size + 1);
    memcpy(text, a->data, a->size);
    text[a->size] = 0;
    const char *en = strstr(text, "  en: {"), *zh = strstr(text, "  zh: {"), *end = strstr(zh, "\n};");
    assert_true(en && zh && end && en < zh);
    int n = names_of(en + 6, zh, english), m = names_of(zh + 6, end, chinese);
    assert_in_range(n, 60, 250);
    assert_int_equal(n, m);
    for (int i = 0; i < n; i++) assert_string_equal(english[i], chinese[i]);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_file_is_there_as_it_is), cmocka_unit_test(nothing_else_is_found),
        cmocka_unit_test(the_page_keeps_its_rules), cmocka_unit_test(languages_have_the_same_words)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
