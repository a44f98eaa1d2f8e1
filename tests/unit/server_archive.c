/* The kept conversations: keeping, finding, deleting; killed at any moment; files that are none.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/archive.h"

static char folder[64], path[96];

static int set_up(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/so-archive-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/archive.db", folder);
    return 0;
}
static int tear_down(void **state)
{
    (void)state;
    static const char *const ends[] = {"", "-wal", "-shm", "-journal"};
    char name[128];
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "%s%s", path, ends[i]);
        unlink(name);
    }
    return rmdir(folder);
}

static so_archive *open_it(void)
{
    so_archive *h;
    so_error error;
    if (so_archive_open(&h, path, &error) != SO_OK) fail_msg("%s", error.text);
    return h;
}
static void keep(so_archive *h, const char *conversation, const char *id, const char *role, const char *text,
                 int64_t ms)
{
    so_error error;
    so_archive_item item = {conversation, id, role, text, ms, -1, 0, {{0}}};
    if (so_archive_keep(h, &item, &error) != SO_OK) fail_msg("%s", error.text);
}
static const char *at(const json_t *list, size_t i, const char *key)
{
    return json_string_value(json_object_get(json_array_get(list, i), key));
}

static void what_is_kept_is_told(void **state)
{
    (void)state;
    so_error error;
    json_t *json;
    so_archive *h = open_it();
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    keep(h, "a", "1", "user", "What color is the star?", 1000);
    keep(h, "b", "1", "user", "Hello", 1500);
    so_archive_item answer = {"a",  "2", "assistant", "The star is red.",
                              2000, -1,  2,           {{"audio/wav", "RIFF\0x", 6}, {"image/png", "", 0}}};
    assert_int_equal(so_archive_keep(h, &answer, &error), SO_OK);
    /* Interrupted later: the same item with fewer words; its sound stays. */
    answer = (so_archive_item){"a", "2", "assistant", "The star", 2000, 400, 0, {{0}}};
    assert_int_equal(so_archive_keep(h, &answer, &error), SO_OK);
    so_archive_close(&h);
    assert_null(h);
    h = open_it();
    assert_int_equal(so_archive_list(h, 0, 0, &json, &error), SO_OK);
    assert_int_equal(json_array_size(json), 2);
    assert_string_equal(at(json, 0, "id"), "a");
    assert_string_equal(at(json, 0, "title"), "What color is the star?");
    json_decref(json);
    assert_int_equal(so_archive_list(h, 2000, 0, &json, &error), SO_OK);
    assert_int_equal(json_array_size(json), 1);
    json_decref(json);
    assert_int_equal(so_archive_get(h, "a", true, &json, &error), SO_OK);
    json_t *items = json_object_get(json, "items"), *blobs = json_object_get(json_array_get(items, 1), "blobs");
    assert_int_equal(json_array_size(items), 2);
    assert_string_equal(at(items, 1, "text"), "The star");
    assert_int_equal(json_integer_value(json_object_get(json_array_get(items, 1), "heard_ms")), 400);
    assert_int_equal(json_array_size(blobs), 2);
    assert_string_equal(at(blobs, 0, "data"), "UklGRgB4");
    int64_t number = json_integer_value(json_object_get(json_array_get(blobs, 0), "number"));
    json_decref(json);
    void *data;
    size_t size;
    char type[64];
    assert_int_equal(so_archive_blob_get(h, number, &data, &size, type, &error), SO_OK);
    assert_int_equal(size, 6);
    assert_memory_equal(data, "RIFF\0x", 6);
    assert_string_equal(type, "audio/wav");
    free(data);
    assert_int_equal(so_archive_blob_get(h, 999, &data, &size, type, &error), SO_ERR_MISSING);
    so_archive_close(&h);
}

static size_t found(so_archive *h, const char *query)
{
    json_t *json;
    so_error error;
    if (so_archive_search(h, query, 0, &json, &error) != SO_OK) fail_msg("%s", error.text);
    size_t n = json_array_size(json);
    json_decref(json);
    return n;
}

static void words_are_found_until_they_are_deleted(void **state)
{
    (void)state;
    so_error error;
    json_t *json;
    so_archive *h = open_it();
    keep(h, "a", "1", "user", "Where is the GREEN circle?", 1);
    keep(h, "a", "2", "assistant", "The green circle is \"here\" OR there; DROP TABLE item.", 2);
    keep(h, "b", "1", "user", "\xe6\x98\x9f\xe6\x98\x9f\xe6\x98\xaf\xe4\xbb\x80\xe4\xb9\x88\xe9\xa2\x9c\xe8\x89\xb2?",
         3); /* 星星是什么颜色? */
    assert_int_equal(found(h, "green"), 2);
    assert_int_equal(found(h, "circle green"), 2);
    assert_int_equal(found(h, "green there"), 1);
    assert_int_equal(found(h, "\"here\""), 1);
    assert_int_equal(found(h, "OR\" *"), 0);
    assert_int_equal(found(h, "is"), 2);
    assert_int_equal(found(h, "\xe9\xa2\x9c\xe8\x89\xb2"), 1); /* 颜色 */
    assert_int_equal(found(h, "\xe4\xbb\x80\xe4\xb9\x88\xe9\xa2\x9c\xe8\x89\xb2"), 1);
    assert_int_equal(so_archive_search(h, "  ", 0, &json, &error), SO_ERR_ARG);
    keep(h, "a", "2", "assistant", "Nowhere.", 2);
    assert_int_equal(found(h, "green"), 1);
    assert_int_equal(found(h, "nowhere"), 1);
    assert_int_equal(so_archive_delete_item(h, "a", "2", &error), SO_OK);
    assert_int_equal(so_archive_delete_item(h, "a", "2", &error), SO_ERR_MISSING);
    assert_int_equal(found(h, "nowhere"), 0);
    assert_int_equal(so_archive_delete(h, "a", &error), SO_OK);
    assert_int_equal(so_archive_delete(h, "a", &error), SO_ERR_MISSING);
    assert_int_equal(so_archive_get(h, "a", false, &json, &error), SO_ERR_MISSING);
    assert_int_equal(found(h, "green"), 0);
    assert_int_equal(so_archive_delete_all(h, &error), SO_OK);
    assert_int_equal(so_archive_list(h, 0, 0, &json, &error), SO_OK);
    assert_int_equal(json_array_size(json), 0);
    json_decref(json);
    so_archive_close(&h);
}

/* A child keeps items and tells each one when it is kept; it is killed at some moment. */
static void nothing_told_is_lost(void **state)
{
    (void)state;
    for (int run = 0; run < 8; run++) {
        int ends[2], kept = 0, got;
        assert_int_equal(pipe(ends), 0);
        pid_t child = fork();
        if (child == 0) {
            so_error error;
            so_archive *h;
            char id[32], sound[3000] = {1};
            if (so_archive_open(&h, path, &error) != SO_OK) _exit(1);
            for (int i = 0;; i++) {
                snprintf(id, sizeof id, "%d-%d", run, i);
                so_archive_item item = {"c", id, "user", id, i, -1, 1, {{"audio/wav", sound, sizeof sound}}};
                if (so_archive_keep(h, &item, &error) != SO_OK || write(ends[1], &i, sizeof i) != sizeof i) _exit(1);
            }
        }
        close(ends[1]);
        assert_int_equal(read(ends[0], &got, sizeof got), sizeof got);
        nanosleep(&(struct timespec){0, 1000000L * (3 + 7 * run)}, NULL);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        while (read(ends[0], &got, sizeof got) == sizeof got) kept = got;
        close(ends[0]);
        so_archive *h = open_it();
        json_t *json;
        so_error error;
        assert_int_equal(so_archive_get(h, "c", false, &json, &error), SO_OK);
        json_t *items = json_object_get(json, "items");
        int here = 0;
        for (size_t i = 0; i < json_array_size(items); i++) {
            int r, k;
            assert_int_equal(sscanf(at(items, i, "id"), "%d-%d", &r, &k), 2);
            here += r == run;
            assert_int_equal(json_array_size(json_object_get(json_array_get(items, i), "blobs")), 1);
        }
        assert_in_range(here, kept + 1, kept + 2);
        json_decref(json);
        so_archive_close(&h);
    }
}

static void other_files_are_refused(void **state)
{
    (void)state;
    so_archive *h;
    so_error error;
    FILE *f = fopen(path, "w");
    for (int i = 0; i < 200; i++) fputs("no database at all\n", f);
    fclose(f);
    assert_int_equal(so_archive_open(&h, path, &error), SO_ERR_FORMAT);
    assert_null(h);
    assert_non_null(strstr(error.text, path));
    unlink(path);
    assert_int_equal(so_archive_open(&h, folder, &error), SO_ERR_IO);
    h = open_it();
    so_archive_item item = {"", "1", "user", "x", 1, -1, 0, {{0}}};
    assert_int_equal(so_archive_keep(h, &item, &error), SO_ERR_ARG);
    char longest[100];
    memset(longest, 'a', sizeof longest);
    longest[99] = 0;
    item.conversation = longest;
    assert_int_equal(so_archive_keep(h, &item, &error), SO_ERR_ARG);
    so_archive_close(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_kept_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(words_are_found_until_they_are_deleted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_told_is_lost, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_files_are_refused, set_up, tear_down)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
