/* Frames of Wyoming: what is read, in any pieces, what is refused, and what is written.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "server/wyoming_frame.h"

static void frames_are_read(void **state)
{
    (void)state;
    static const char bytes[] =
        "{\"type\": \"audio-chunk\", \"data\": {\"rate\": 1, \"a\": \"\\n{\"}, \"data_length\": 14, "
        "\"payload_length\": 5, \"version\": \"1.5.0\"}\n{\"rate\": 1600}\n\0\1{}next";
    so_wyoming_frame f;
    so_error error;
    size_t used;
    const char *line = strchr(bytes, '\n') + 1;
    size_t total = (size_t)(line - bytes) + 14 + 5;
    for (size_t n = 0; n < total; n++) {
        CHECK_OK(so_wyoming_read(bytes, n, &f, &used, &error), error);
        assert_int_equal(used, 0);
    }
    CHECK_OK(so_wyoming_read(bytes, sizeof bytes - 1, &f, &used, &error), error);
    assert_int_equal(used, total);
    assert_string_equal(f.type, "audio-chunk");
    assert_int_equal(json_integer_value(json_object_get(f.data, "rate")), 1600); /* what comes behind counts */
    assert_string_equal(json_string_value(json_object_get(f.data, "a")), "\n{");
    assert_int_equal(f.size, 5);
    assert_memory_equal(f.payload, "\n\0\1{}", 5);
    json_decref(f.data);
    so_bytes out = {0};
    assert_true(so_wyoming_write(&out, "pong", json_pack("{s:s}", "text", "x"), "abc", 3));
    CHECK_OK(so_wyoming_read(so_bytes_front(&out), so_bytes_left(&out), &f, &used, &error), error);
    assert_int_equal(used, so_bytes_left(&out));
    assert_string_equal(json_string_value(json_object_get(f.data, "text")), "x");
    assert_int_equal(f.size, 3);
    json_decref(f.data);
    so_bytes_clear(&out);
    assert_true(so_wyoming_write(&out, "audio-stop", NULL, NULL, 0));
    CHECK_OK(so_wyoming_read(so_bytes_front(&out), so_bytes_left(&out), &f, &used, &error), error);
    assert_int_equal(json_object_size(f.data), 0);
    json_decref(f.data);
    so_bytes_clear(&out);
}

static void wrong_frames_are_refused(void **state)
{
    (void)state;
    static const struct {
        so_status status;
        const char *text;
    } bad[] = {{SO_ERR_FORMAT, "GET / HTTP/1.1\r\n"},
               {SO_ERR_FORMAT, "{}\n"},
               {SO_ERR_FORMAT, "{\"type\": 5}\n"},
               {SO_ERR_FORMAT, "{\"type\": \"\"}\n"},
               {SO_ERR_FORMAT, "{\"type\": \"a\"\n"},
               {SO_ERR_FORMAT, "{\"type\": \"a\", \"data\": []}\n"},
               {SO_ERR_FORMAT, "{\"type\": \"a\", \"data_length\": \"1\"}\nx"},
               {SO_ERR_FORMAT, "{\"type\": \"a\", \"data_length\": 1}\nx"},
               {SO_ERR_FORMAT, "{\"type\": \"a\", \"payload_length\": -1}\n"},
               {SO_ERR_LIMIT, "{\"type\": \"a\", \"payload_length\": 40961}\n"},
               {SO_ERR_LIMIT, "{\"type\": \"a\", \"data_length\": 16385}\n"}};
    static char line[SO_WYOMING_LINE + 1];
    so_wyoming_frame f;
    so_error error;
    size_t used;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        so_status status = so_wyoming_read(bad[i].text, strlen(bad[i].text), &f, &used, &error);
        if (status != bad[i].status || !error.text[0]) fail_msg("%s: %s", so_status_name(status), bad[i].text);
        assert_null(f.data);
    }
    memset(line, '{', sizeof line);
    CHECK_OK(so_wyoming_read(line, SO_WYOMING_LINE - 1, &f, &used, &error), error);
    assert_int_equal(used, 0);
    assert_int_equal(so_wyoming_read(line, SO_WYOMING_LINE, &f, &used, &error), SO_ERR_LIMIT);
    line[100] = '\n'; /* nested deeper than anything here is */
    assert_int_equal(so_wyoming_read(line, 101, &f, &used, &error), SO_ERR_FORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_are_read),
        cmocka_unit_test(wrong_frames_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
