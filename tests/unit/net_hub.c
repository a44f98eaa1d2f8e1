/* Unit tests of what the hubs answer and of where files are kept.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "net/hub.h"

#define SHA "0123456789012345678901234567890123456789012345678901234567890123"
#define GIT "0123456789012345678901234567890123456789"

static void trees_are_read(void **state)
{
    (void)state;
    so_hub_list list = {0};
    so_error error;
    CHECK_OK(so_hub_read_revision(&list, "{\"id\": \"a/b\", \"sha\": \"abc123\"}", &error), error);
    CHECK_OK(so_hub_read_tree(&list,
                              "[{\"type\": \"directory\", \"path\": \"x\", \"size\": 0, \"oid\": \"" GIT "\"},"
                              " {\"type\": \"file\", \"path\": \"config.json\", \"size\": 12, \"oid\": \"" GIT "\"},"
                              " {\"type\": \"file\", \"path\": \"x/m.safetensors\", \"size\": 130, \"oid\": \"" GIT
                              "\","
                              "  \"lfs\": {\"oid\": \"" SHA "\", \"size\": 5000000000}}]",
                              &error),
             error);
    assert_string_equal(list.commit, "abc123");
    assert_int_equal(list.count, 2);
    assert_string_equal(list.file[0].path, "config.json");
    assert_string_equal(list.file[0].hash, GIT);
    assert_false(list.file[0].lfs);
    assert_string_equal(list.file[1].hash, SHA);
    assert_true(list.file[1].lfs);
    assert_int_equal(list.file[1].size, 5000000000);
    so_hub_list_clear(&list);
    CHECK_OK(so_hub_read_files(&list,
                               "{\"Code\": 200, \"Data\": {\"Files\": [{\"Type\": \"tree\", \"Path\": \"y\"},"
                               " {\"Type\": \"blob\", \"Path\": \"flow.pt\", \"Size\": 7, \"Sha256\": \"" SHA "\"}]}}",
                               &error),
             error);
    assert_int_equal(list.count, 1);
    assert_string_equal(list.file[0].hash, SHA);
    so_hub_list_clear(&list);
}

/* Both hubs, every place and spelling; the name of a pointer is no hash of the file. */
static void hashes_of_every_kind(void **state)
{
    (void)state;
    static const char upper[] = "ABCDEF0123456789012345678901234567890123456789012345678901234567";
    static const char lower[] = "abcdef0123456789012345678901234567890123456789012345678901234567";
    so_hub_list list = {0};
    so_error error;
    char text[2000];
    snprintf(text, sizeof text,
             "[{\"type\": \"file\", \"path\": \"a\", \"size\": 1, \"lfs\": {\"oid\": \"sha256:%s\", \"size\": 2}},"
             " {\"type\": \"file\", \"path\": \"b\", \"size\": 1, \"oid\": \"" GIT "\", \"lfs\": {\"sha256\": \"%s\", "
             "\"size\": 2}},"
             " {\"type\": \"file\", \"path\": \"c\", \"size\": 1, \"oid\": \"" GIT "\", \"lfs\": {\"size\": 2}}]",
             upper, lower);
    CHECK_OK(so_hub_read_tree(&list, text, &error), error);
    assert_string_equal(list.file[0].hash, lower);
    assert_string_equal(list.file[1].hash, lower);
    assert_true(list.file[0].lfs && list.file[1].lfs);
    assert_string_equal(list.file[2].hash, "");
    so_hub_list_clear(&list);
    CHECK_OK(so_hub_read_files(&list,
                               "{\"Data\": {\"Files\": [{\"Path\": \"a\", \"Size\": 7, \"Id\": \"" GIT
                               "\", \"IsLFS\": false},"
                               " {\"Path\": \"b\", \"Size\": 7, \"Id\": \"" GIT "\", \"IsLFS\": true}]}}",
                               &error),
             error);
    assert_string_equal(list.file[0].hash, GIT);
    assert_false(list.file[0].lfs);
    assert_string_equal(list.file[1].hash, "");
    so_hub_list_clear(&list);
}

static void bad_answers_are_refused(void **state)
{
    (void)state;
    static const char *const trees[] = {"",
                                        "{}",
                                        "[",
                                        "[{\"type\": \"file\"}]",
                                        "[{\"type\": \"file\", \"path\": \"a\"}]",
                                        "[{\"type\": \"file\", \"path\": \"a\", \"size\": -1}]",
                                        "[{\"type\": \"file\", \"path\": \"/etc/passwd\", \"size\": 1}]",
                                        "[{\"type\": \"file\", \"path\": \"a/../../b\", \"size\": 1}]",
                                        "[{\"type\": \"file\", \"path\": \"a//b\", \"size\": 1}]",
                                        "[{\"type\": \"file\", \"path\": \"..\", \"size\": 1}]",
                                        "[{\"type\": \"file\", \"path\": \"a/\", \"size\": 1}]",
                                        "[{\"type\": \"file\", \"path\": \"a\\nb\", \"size\": 1}]"};
    static const char *const revisions[] = {
        "[]", "{}", "{\"sha\": \"\"}", "{\"sha\": \"../x\"}", "{\"sha\": \"..\"}", "{\"sha\": 7}"};
    so_hub_list list = {0};
    so_error error;
    for (size_t i = 0; i < sizeof trees / sizeof *trees; i++) {
        assert_int_equal(so_hub_read_tree(&list, trees[i], &error), SO_ERR_FORMAT);
        so_hub_list_clear(&list);
    }
    for (size_t i = 0; i < sizeof revisions / sizeof *revisions; i++)
        assert_int_equal(so_hub_read_revision(&list, revisions[i], &error), SO_ERR_FORMAT);
    assert_int_equal(so_hub_read_files(&list, "{\"Code\": 404, \"Message\": \"no such model\"}", &error),
                     SO_ERR_FORMAT);
    assert_non_null(strstr(error.text, "no such model"));
    /* a hash that is none is no part of a path */
    CHECK_OK(
        so_hub_read_tree(&list, "[{\"type\": \"file\", \"path\": \"a\", \"size\": 1, \"oid\": \"../../x\"}]", &error),
        error);
    assert_string_equal(list.file[0].hash, "");
    so_hub_list_clear(&list);
}

static void wanted_files(void **state)
{
    (void)state;
    static const char *const yes[] = {"config.json",       "model-00001-of-00006.safetensors",
                                      "model.safetensors", "flow.pt",
                                      "campplus.onnx",     "LICENSE",
                                      "LICENCE.txt",       "NOTICE",
                                      "tokenizer.model",   "model.safetensors.index.json"};
    static const char *const no[] = {"llm.pt",   "pytorch_model.bin", "x/config.json",
                                     "flow.zip", "original/LICENSE",  ".gitattributes"};
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
        if (!so_hub_wants(yes[i])) fail_msg("%s", yes[i]);
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        if (so_hub_wants(no[i])) fail_msg("%s", no[i]);
}

static void caches_are_the_usual_ones(void **state)
{
    (void)state;
    char path[4096];
    so_error error;
    so_hub_list list = {.commit = "abc"};
    unsetenv("HF_HUB_CACHE");
    unsetenv("HF_HOME");
    unsetenv("XDG_CACHE_HOME");
    unsetenv("MODELSCOPE_CACHE");
    setenv("HOME", "/h", 1);
    CHECK_OK(so_hub_cache(SO_HUB_HUGGINGFACE, path, &error), error);
    assert_string_equal(path, "/h/.cache/huggingface/hub");
    CHECK_OK(so_hub_cache(SO_HUB_MODELSCOPE, path, &error), error);
    assert_string_equal(path, "/h/.cache/modelscope/hub/models");
    setenv("XDG_CACHE_HOME", "/x", 1);
    CHECK_OK(so_hub_cache(SO_HUB_HUGGINGFACE, path, &error), error);
    assert_string_equal(path, "/x/huggingface/hub");
    setenv("HF_HOME", "/f", 1);
    CHECK_OK(so_hub_cache(SO_HUB_HUGGINGFACE, path, &error), error);
    assert_string_equal(path, "/f/hub");
    setenv("HF_HUB_CACHE", "/c", 1);
    CHECK_OK(so_hub_cache(SO_HUB_HUGGINGFACE, path, &error), error);
    assert_string_equal(path, "/c");
    so_hub hub = {SO_HUB_HUGGINGFACE, "http://none", "/c", "ICTNLP/stream-omni-8b", NULL};
    CHECK_OK(so_hub_folder(&hub, &list, path, &error), error);
    assert_string_equal(path, "/c/models--ICTNLP--stream-omni-8b/snapshots/abc");
    hub.kind = SO_HUB_MODELSCOPE;
    CHECK_OK(so_hub_folder(&hub, &list, path, &error), error);
    assert_string_equal(path, "/c/ICTNLP/stream-omni-8b");
    static const char *const bad[] = {"", "name", "a/b/c", "../b", "a/b?x", "/a/b"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        hub.repo = bad[i];
        assert_int_equal(so_hub_ask(&hub, NULL, &list, &error), SO_ERR_ARG);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trees_are_read),
        cmocka_unit_test(hashes_of_every_kind),
        cmocka_unit_test(bad_answers_are_refused),
        cmocka_unit_test(wanted_files),
        cmocka_unit_test(caches_are_the_usual_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
