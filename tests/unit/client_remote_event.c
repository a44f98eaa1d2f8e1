/* What a server tells: messages that are read, and those that are refused by what is wrong with them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "client/remote_event.h"

static so_status read_text(so_remote_event *event, const char *text, so_error *error)
{
    return so_remote_event_read(event, text, strlen(text), error);
}

static void good_messages(void **state)
{
    (void)state;
    so_remote_event e;
    so_error error;
    CHECK_OK(read_text(&e,
                       "{\"type\":\"stream_omni.input_transcript\",\"item_id\":\"i\",\"text\":\"Who is\",\"stable\":3,"
                       "\"final\":false,\"end_ms\":120,\"event_id\":\"x\"}",
                       &error),
             error);
    assert_int_equal(e.kind, SO_REMOTE_HEARD);
    assert_string_equal(e.text, "Who is");
    assert_string_equal(e.id, "i");
    assert_int_equal(e.stable, 3);
    assert_false(e.final);
    assert_int_equal(e.n_words, 0);
    so_remote_event_clear(&e);
    CHECK_OK(read_text(&e,
                       "{\"type\":\"stream_omni.input_transcript\",\"item_id\":\"i\",\"text\":\"Who is\",\"stable\":6,"
                       "\"final\":true,\"words\":[{\"text_begin\":0,\"text_end\":3,\"begin_ms\":40,\"end_ms\":80},"
                       "{\"text_begin\":4,\"text_end\":6,\"begin_ms\":120,\"end_ms\":120}]}",
                       &error),
             error);
    assert_int_equal(e.n_words, 2);
    assert_true(e.words[0].text_end == 3 && e.words[0].begin_s == 0.04 && e.words[0].end_s == 0.08);
    assert_true(e.words[1].text_begin == 4 && e.words[1].text_end == 6 && e.words[1].end_s == 0.12);
    so_remote_event_clear(&e);
    CHECK_OK(read_text(&e,
                       "{\"type\":\"response.output_audio.delta\",\"response_id\":\"r\",\"delta\":\"AAAAQACA/38=\","
                       "\"stream_omni\":{\"text_begin\":1,\"text_end\":3,\"begin_ms\":40,\"end_ms\":80}}",
                       &error),
             error);
    assert_int_equal(e.kind, SO_REMOTE_VOICE);
    assert_int_equal(e.samples, 4);
    assert_true(e.pcm[0] == 0 && e.pcm[1] == 0.5f && e.pcm[2] == -1 && e.pcm[3] == 32767.0f / 32768);
    assert_true(e.marked && e.text_begin == 1 && e.text_end == 3 && e.begin_s == 0.04 && e.end_s == 0.08);
    so_remote_event_clear(&e);
    CHECK_OK(read_text(&e,
                       "{\"type\":\"response.done\",\"response\":{\"id\":\"r\",\"status\":\"cancelled\",\"usage\":"
                       "{\"input_tokens\":7,\"output_token_details\":{\"text_tokens\":2,\"audio_tokens\":30}}}}",
                       &error),
             error);
    assert_int_equal(e.kind, SO_REMOTE_DONE);
    assert_int_equal(e.end, SO_REMOTE_CANCELLED);
    assert_true(e.positions == 7 && e.text_tokens == 2 && e.audio_tokens == 30);
    CHECK_OK(read_text(&e, "{\"type\":\"response.done\",\"response\":{\"id\":\"r\",\"status\":\"completed\"}}", &error),
             error);
    CHECK_OK(read_text(&e, "{\"type\":\"stream_omni.units\",\"response_id\":\"r\",\"units\":[0,5]}", &error), error);
    assert_true(e.n_units == 2 && e.units[1] == 5);
    so_remote_event_clear(&e);
    CHECK_OK(read_text(&e, "{\"type\":\"error\",\"error\":{\"message\":\"no\",\"code\":null,\"param\":\"session.x\"}}",
                       &error),
             error);
    assert_int_equal(e.kind, SO_REMOTE_REFUSED);
    assert_string_equal(e.text, "no");
    assert_string_equal(e.param, "session.x");
    so_remote_event_clear(&e);
    CHECK_OK(read_text(&e, "{\"type\":\"something.new\",\"delta\":5}", &error), error);
    assert_int_equal(e.kind, SO_REMOTE_NONE);
}

static void bad_messages(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "[]",
        "5",
        "{",
        "{}",
        "{\"type\":5}",
        "{\"type\":\"error\"}",
        "{\"type\":\"error\",\"error\":{}}",
        "{\"type\":\"error\",\"type\":\"error\",\"error\":{\"message\":\"twice\"}}",
        "{\"type\":\"error\",\"error\":{\"message\":\"\xff\"}}",
        "{\"type\":\"input_audio_buffer.speech_started\"}",
        "{\"type\":\"input_audio_buffer.speech_started\",\"audio_start_ms\":-1}",
        "{\"type\":\"input_audio_buffer.speech_stopped\",\"audio_end_ms\":1.5}",
        "{\"type\":\"stream_omni.input_transcript\",\"item_id\":\"i\",\"text\":\"ab\",\"stable\":3,\"final\":true}",
        "{\"type\":\"stream_omni.input_transcript\",\"item_id\":\"i\",\"text\":\"ab\",\"stable\":1,\"final\":1}",
        "{\"type\":\"stream_omni.input_transcript\",\"text\":\"ab\",\"stable\":1,\"final\":true}",
        "{\"type\":\"stream_omni.input_transcript\",\"item_id\":\"i\",\"text\":\"ab\",\"stable\":1,\"final\":true,"
        "\"words\":7}",
        "{\"type\":\"stream_omni.input_transcript\",\"item_id\":\"i\",\"text\":\"ab\",\"stable\":1,\"final\":true,"
        "\"words\":[3]}",
        "{\"type\":\"stream_omni.input_transcript\",\"item_id\":\"i\",\"text\":\"ab\",\"stable\":1,\"final\":true,"
        "\"words\":[{\"text_begin\":0,\"text_end\":3,\"begin_ms\":0,\"end_ms\":0}]}",
        "{\"type\":\"stream_omni.input_transcript\",\"item_id\":\"i\",\"text\":\"ab\",\"stable\":1,\"final\":true,"
        "\"words\":[{\"text_begin\":2,\"text_end\":1,\"begin_ms\":0,\"end_ms\":0}]}",
        "{\"type\":\"stream_omni.input_transcript\",\"item_id\":\"i\",\"text\":\"ab\",\"stable\":1,\"final\":true,"
        "\"words\":[{},{},{},{}]}",
        "{\"type\":\"response.created\",\"response\":{\"id\":\"\"}}",
        "{\"type\":\"response.output_text.delta\",\"response_id\":\"r\",\"delta\":null}",
        "{\"type\":\"response.output_audio.delta\",\"response_id\":\"r\",\"delta\":\"AAA!\"}",
        "{\"type\":\"response.output_audio.delta\",\"response_id\":\"r\",\"delta\":\"AAAA\"}", /* one sample and a half
                                                                                                */
        "{\"type\":\"response.output_audio.delta\",\"response_id\":\"r\",\"delta\":7}",
        "{\"type\":\"response.output_audio.delta\",\"response_id\":\"r\",\"delta\":\"\",\"stream_omni\":{\"text_"
        "begin\":3,"
        "\"text_end\":1,\"begin_ms\":0,\"end_ms\":0}}",
        "{\"type\":\"response.output_audio.delta\",\"response_id\":\"r\",\"delta\":\"\",\"stream_omni\":5}",
        "{\"type\":\"response.done\",\"response\":{\"id\":\"r\",\"status\":\"fine\"}}",
        "{\"type\":\"stream_omni.units\",\"response_id\":\"r\",\"units\":[-1]}",
        "{\"type\":\"stream_omni.units\",\"response_id\":\"r\",\"units\":{}}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        so_remote_event e;
        so_error error = {0};
        if (read_text(&e, bad[i], &error) != SO_ERR_FORMAT) fail_msg("accepted: %s", bad[i]);
        assert_true(error.text[0]);
        so_remote_event_clear(&e);
    }
    char id[300] = "{\"type\":\"response.output_text.delta\",\"delta\":\"\",\"response_id\":\"";
    memset(id + strlen(id), 'x', 130);
    strcat(id, "\"}");
    so_remote_event e;
    so_error error;
    assert_int_equal(read_text(&e, id, &error), SO_ERR_FORMAT);
    so_remote_event_clear(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(good_messages), cmocka_unit_test(bad_messages)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
