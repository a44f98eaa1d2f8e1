/* Unit tests of hashes and of files that come into being over several runs.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/part.h"
#include "base/sha.h"
#include "place.h"

static const char *hash(so_sha_kind kind, const char *text, size_t repeat, size_t piece)
{
    static char hex[65];
    so_sha sha;
    size_t n = strlen(text);
    so_sha_init(&sha, kind);
    for (size_t i = 0; i < repeat; i++)
        for (size_t at = 0; at < n; at += piece) so_sha_feed(&sha, text + at, n - at < piece ? n - at : piece);
    so_sha_end(&sha, hex);
    return hex;
}

/* FIPS 180-4's examples, however they are cut. */
static void hashes_are_the_standard_s(void **state)
{
    (void)state;
    static const char two_blocks[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    for (size_t piece = 1; piece < 60; piece += 7) {
        assert_string_equal(hash(SO_SHA256, "abc", 1, piece),
                            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_string_equal(hash(SO_SHA256, two_blocks, 1, piece),
                            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
        assert_string_equal(hash(SO_SHA1, "abc", 1, piece), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_string_equal(hash(SO_SHA1, two_blocks, 1, piece), "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
    }
    assert_string_equal(hash(SO_SHA256, "", 1, 1), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_string_equal(hash(SO_SHA1, "a", 1000000, 1), "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
    /* lengths around the padding's corners do not crash into each other */
    char text[130] = "", seen[130][65];
    for (int n = 0; n < 129; n++) {
        strcpy(seen[n], hash(SO_SHA256, text, 1, 1000));
        for (int k = 0; k < n; k++) assert_string_not_equal(seen[n], seen[k]);
        strcat(text, "x");
    }
}

static char place[64], target[96], part_path[104];

static int setup(void **state)
{
    (void)state;
    strcpy(place, "/tmp/so-part-XXXXXX");
    if (place_make(place)) return -1;
    snprintf(target, sizeof target, "%s/whole", place);
    snprintf(part_path, sizeof part_path, "%s.part", target);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return place_remove(place);
}

static void parts_go_on(void **state)
{
    (void)state;
    so_part part;
    so_error error;
    char *data;
    size_t size;
    CHECK_OK(so_part_open(&part, target, "one", &error), error);
    assert_int_equal(part.size, 0);
    CHECK_OK(so_part_put(&part, "hello ", 6, &error), error);
    so_part_close(&part);
    assert_int_not_equal(access(target, F_OK), 0);
    /* bytes that the log does not vouch for are cut off */
    FILE *f = fopen(part_path, "a");
    fputs("garbage", f);
    fclose(f);
    CHECK_OK(so_part_open(&part, target, "one", &error), error);
    assert_int_equal(part.size, 6);
    CHECK_OK(so_part_put(&part, "world", 5, &error), error);
    CHECK_OK(so_part_commit(&part, &error), error);
    CHECK_OK(so_file_read(target, 100, &data, &size, &error), error);
    assert_string_equal(data, "hello world");
    free(data);
    assert_int_not_equal(access(part_path, F_OK), 0);
}

static void another_identity_begins_anew(void **state)
{
    (void)state;
    so_part part;
    so_error error;
    CHECK_OK(so_part_open(&part, target, "one", &error), error);
    CHECK_OK(so_part_put(&part, "hello", 5, &error), error);
    so_part_close(&part);
    CHECK_OK(so_part_open(&part, target, "on", &error), error);
    assert_int_equal(part.size, 0);
    so_part_drop(&part);
    assert_int_not_equal(access(part_path, F_OK), 0);
    so_part_close(&part);
    so_part zero = {0};
    so_part_close(&zero);
    so_part_drop(&zero);
}

static void writers_exclude_each_other(void **state)
{
    (void)state;
    so_part one, two;
    so_error error;
    CHECK_OK(so_part_open(&one, target, "same", &error), error);
    assert_int_equal(so_part_open(&two, target, "same", &error), SO_ERR_STATE);
    assert_non_null(strstr(error.text, "being written by another process"));
    CHECK_OK(so_part_put(&one, "x", 1, &error), error);
    CHECK_OK(so_part_commit(&one, &error), error);
    CHECK_OK(so_part_open(&two, target, "same", &error), error);
    assert_int_equal(two.size, 0);
    so_part_drop(&two);
    assert_int_equal(access(target, F_OK), 0);
}

/* A limit on the size of files stands for a full disk. */
static void a_full_disk_is_told_and_survived(void **state)
{
    (void)state;
    static char block[100000];
    so_part part;
    so_error error;
    pid_t child = fork();
    if (child == 0) {
        struct rlimit limit = {150000, 150000};
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit);
        if (so_part_open(&part, target, "big", &error) != SO_OK) _exit(1);
        if (so_part_put(&part, block, sizeof block, &error) != SO_OK) _exit(2);
        if (so_part_put(&part, block, sizeof block, &error) != SO_ERR_IO) _exit(3);
        if (!strstr(error.text, "larger than the system allows") || !strstr(error.text, "goes on from there")) _exit(4);
        so_part_close(&part);
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_not_equal(access(target, F_OK), 0);
    CHECK_OK(so_part_open(&part, target, "big", &error), error);
    assert_in_range(part.size, 100000, 150000);
    assert_int_equal(so_part_room(&part, UINT64_MAX / 4, &error), SO_ERR_IO);
    CHECK_OK(so_part_room(&part, 1, &error), error);
    CHECK_OK(so_part_cut(&part, 7, &error), error);
    assert_int_equal(so_part_cut(&part, 8, &error), SO_ERR_IO);
    so_part_close(&part);
    CHECK_OK(so_part_open(&part, target, "big", &error), error);
    assert_int_equal(part.size, 7);
    so_part_drop(&part);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_are_the_standard_s),
        cmocka_unit_test_setup_teardown(parts_go_on, setup, teardown),
        cmocka_unit_test_setup_teardown(another_identity_begins_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(writers_exclude_each_other, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_disk_is_told_and_survived, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
