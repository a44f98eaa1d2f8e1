/* Parts of the server that need neither sockets nor a model: who may ask, requests of chat, words with times, sound
 * formats, answers that are kept.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "media/audio.h"
#include "net/base64.h"
#include "server/chat_request.h"
#include "server/keeper.h"
#include "server/secrets.h"
#include "server/words.h"

/* ---- who may ask */
static void hosts(void **state)
{
    (void)state;
    static const char *const names[] = {"box.example", NULL}, *const any[] = {"*", NULL};
    static const char *const good[] = {"127.0.0.1",   "127.0.0.1:8080", "localhost:1", "LocalHost",    "[::1]:8080",
                                       "192.168.1.5", "a.localhost",    "localhost.",  "BOX.example:9"};
    static const char *const bad[] = {"",       "evil.example", "127.0.0.1.evil.example", "box.example.evil",
                                      "[::1",   "[::1]x",       "localhost.evil",         "xlocalhost",
                                      "0x7f.1", "[evil]:80"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!so_guard_host(good[i], names)) fail_msg("refused: %s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (so_guard_host(bad[i], names)) fail_msg("accepted: %s", bad[i]);
    assert_true(so_guard_host("evil.example", any));
    assert_false(so_guard_host("box.example", NULL));
}

static void origins(void **state)
{
    (void)state;
    static const char *const list[] = {"https://page.example", NULL}, *const any[] = {"*", NULL};
    assert_true(so_guard_origin(NULL, "a", NULL)); /* no browser */
    assert_true(so_guard_origin("http://127.0.0.1:8080", "127.0.0.1:8080", NULL));
    assert_true(so_guard_origin("https://a.example", "A.example:443", NULL));
    assert_true(so_guard_origin("http://a:80", "a", NULL));
    assert_true(so_guard_origin("https://page.example", "a", list));
    assert_true(so_guard_origin("null", "a", any));
    assert_false(so_guard_origin("null", "a", list));
    assert_false(so_guard_origin("http://127.0.0.1:8081", "127.0.0.1:8080", NULL)); /* another port */
    assert_false(so_guard_origin("https://page.example.evil", "a", list));
    assert_false(so_guard_origin("http://a.evil", "a", NULL));
    assert_false(so_guard_origin("https://page.example", NULL, NULL));
}

static void keys(void **state)
{
    (void)state;
    so_keys k = {0};
    so_error error;
    char path[] = "/tmp/so-keys-XXXXXX";
    int fd = mkstemp(path);
    static const char text[] =
        "# people\n\nann: \nbob:plain words\r\n"
        "eve:2BB80D537B1DA3E38BD30361AA855686BDE0EACD7162FEF6A25FE97BF527A25B\n"; /* of "secret" */
    assert_true(write(fd, text, sizeof text - 1) == (ssize_t)sizeof text - 1);
    assert_int_equal(so_keys_read(&k, path, &error), SO_ERR_FORMAT);
    assert_non_null(strstr(error.text, "line 3"));
    k.n = 0;
    assert_int_equal(pwrite(fd, "#  ", 3, 10), 3);
    CHECK_OK(so_keys_read(&k, path, &error), error);
    CHECK_OK(so_keys_add(&k, "default", "sk-1", &error), error);
    assert_string_equal(so_keys_find(&k, "plain words")->name, "bob");
    assert_string_equal(so_keys_find(&k, "secret")->name, "eve");
    assert_string_equal(so_keys_find(&k, "sk-1")->name, "default");
    assert_null(so_keys_find(&k, "secret "));
    assert_null(so_keys_find(&k, ""));
    assert_null(so_keys_find(&k, "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"));
    close(fd);
    unlink(path);
}

static void rates_of_keys(void **state)
{
    (void)state;
    so_key k = {.name = "a"};
    double wait = 0;
    for (int i = 0; i < 6; i++) assert_true(so_key_admit(&k, 6, 1000, &wait));
    assert_false(so_key_admit(&k, 6, 1000, &wait));
    assert_true(fabs(wait - 10) < 1e-6);
    assert_false(so_key_admit(&k, 6, 1009, &wait));
    assert_true(so_key_admit(&k, 6, 1010.1, &wait));
    assert_false(so_key_admit(&k, 6, 1010.2, &wait));
    for (int i = 0; i < 6; i++) assert_true(so_key_admit(&k, 6, 5000, &wait)); /* never more than at once */
    assert_false(so_key_admit(&k, 6, 5000, &wait));
    assert_true(so_key_admit(&k, 0, 5000, &wait));
}

static void secrets_for_minutes(void **state)
{
    (void)state;
    so_secrets *s;
    so_error error;
    json_t *session = json_pack("{s:i}", "a", 5), *got;
    CHECK_OK(so_secrets_open(&s, &error), error);
    so_secrets_put(s, "ek_1", 1000, session);
    so_secrets_put(s, "ek_2", 2000, NULL);
    assert_true(so_secrets_find(s, "ek_1", 999, &got) && got == session);
    assert_false(so_secrets_find(s, "ek_1", 1000, &got));
    assert_true(so_secrets_find(s, "ek_2", 1000, &got) && !got);
    assert_false(so_secrets_find(s, "ek_", 0, &got));
    assert_false(so_secrets_find(s, "", 0, &got));
    assert_false(so_secrets_find(s, "0123456789012345678901234567890123456789012345678901234567890123", 0, &got));
    for (int i = 0; i < SO_SECRETS_MOST; i++) so_secrets_put(s, "ek_3", 2000, NULL);
    assert_false(so_secrets_find(s, "ek_2", 1000, &got));
    json_decref(session);
    so_secrets_close(&s);
}

/* ---- chat */
static so_chat_request read_chat(const char *json)
{
    so_chat_request r = {0};
    so_bytes_put(&r.body, json, strlen(json));
    so_chat_read(&r);
    return r;
}

#define HI "\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}]"

static void chat_requests_are_read(void **state)
{
    (void)state;
    so_chat_request r = read_chat("{\"model\": \"m\", \"stream\": true, \"stream_options\": {\"include_usage\": true}, "
                                  "\"modalities\": [\"text\", \"audio\"],"
                                  " \"audio\": {\"voice\": \"alloy\", \"format\": \"pcm16\"}, \"seed\": 7, \"stop\": "
                                  "[\"\\n\", \"END\"], \"temperature\": 0.5,"
                                  " \"max_completion_tokens\": 9, \"user\": \"u\", \"tools\": [], "
                                  "\"frequency_penalty\": 0, \"n\": 1, \"logprobs\": true,"
                                  " \"top_logprobs\": 2, \"response_format\": {\"type\": \"text\"}, \"messages\": ["
                                  "{\"role\": \"developer\", \"content\": [{\"type\": \"text\", \"text\": \"be\"}, "
                                  "{\"type\": \"text\", \"text\": \" brief\"}]},"
                                  "{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": "
                                  "null, \"audio\": {\"id\": \"audio_1\"}},"
                                  "{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"b\"}]}]}");
    assert_string_equal(r.fault.message, "");
    assert_int_equal(r.fault.status, 0);
    assert_true(r.stream && r.usage && r.voice && r.sound == SO_OUTLET_PCM);
    assert_int_equal(r.reply.seed, 7);
    assert_int_equal(r.reply.max_text, 9);
    assert_int_equal(r.reply.likeliest, 2);
    assert_int_equal(r.n_stop, 2);
    assert_string_equal(r.stop[1], "END");
    static const struct {
        so_order_kind kind;
        const char *text;
    } expected[] = {
        {SO_ORDER_SYSTEM, "be brief"}, {SO_ORDER_TEXT, "a"}, {SO_ORDER_ANSWER, "audio_1"}, {SO_ORDER_TEXT, "b"}};
    const so_order *o = r.first;
    for (size_t i = 0; i < 4; i++, o = o->next) {
        assert_non_null(o);
        assert_int_equal(o->kind, expected[i].kind);
        assert_string_equal(o->text, expected[i].text);
        assert_int_equal(o->size, i == 2);
    }
    assert_null(o);
    so_chat_clear(&r);
}

/* What cannot be done is refused by its name, never left out. */
static void chat_requests_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *param, *json;
    } bad[] = {
        {"", "{"},
        {"", "[]"},
        {"", "{\"a\": 1, \"a\": 2}"},
        {"", "{\"messages\": \"\xff\"}"},
        {"messages", "{}"},
        {"messages", "{\"messages\": []}"},
        {"messages",
         "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"b\"}]}"},
        {"messages[0].role", "{\"messages\": [{\"role\": \"tool\", \"content\": \"a\"}]}"},
        {"messages[0].content", "{\"messages\": [{\"role\": \"user\", \"content\": 5}]}"},
        {"messages[0].content[0]", "{\"messages\": [{\"role\": \"user\", \"content\": [{}]}]}"},
        {"messages[0].content[0].type", "{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"file\"}]}]}"},
        {"messages[0].content[0].image_url",
         "{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"image_url\","
         " \"image_url\": {\"url\": \"https://example.org/a.png\"}}]}]}"},
        {"messages[0].content[0].image_url",
         "{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"image_url\","
         " \"image_url\": {\"url\": \"data:image/png;base64,iVBORw0KGgo=\"}}]}]}"},
        {"messages[0].content[0].input_audio",
         "{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"input_audio\","
         " \"input_audio\": {\"data\": \"?\", \"format\": \"wav\"}}]}]}"},
        {"n", "{" HI ", \"n\": 2}"},
        {"temperature", "{" HI ", \"temperature\": 3}"},
        {"temperature", "{" HI ", \"temperature\": \"hot\"}"},
        {"seed", "{" HI ", \"seed\": 1.5}"},
        {"stop", "{" HI ", \"stop\": \"\"}"},
        {"stop", "{" HI ", \"stop\": [\"a\", \"b\", \"c\", \"d\", \"e\"]}"},
        {"stream", "{" HI ", \"stream\": 1}"},
        {"tools", "{" HI ", \"tools\": [{\"type\": \"function\"}]}"},
        {"frequency_penalty", "{" HI ", \"frequency_penalty\": 1}"},
        {"response_format", "{" HI ", \"response_format\": {\"type\": \"json_object\"}}"},
        {"top_logprobs", "{" HI ", \"top_logprobs\": 3}"},
        {"no_such_field", "{" HI ", \"no_such_field\": 1}"},
        {"modalities", "{" HI ", \"modalities\": [\"smell\"]}"},
        {"audio", "{" HI ", \"modalities\": [\"text\", \"audio\"]}"},
        {"audio.format", "{" HI ", \"modalities\": [\"text\", \"audio\"], \"audio\": {\"format\": \"aac\"}}"},
        {"audio.format",
         "{" HI ", \"stream\": true, \"modalities\": [\"text\", \"audio\"], \"audio\": {\"format\": \"wav\"}}"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        so_chat_request r = read_chat(bad[i].json);
        if (r.fault.status != 400 || strcmp(r.fault.param, bad[i].param) || !r.fault.message[0])
            fail_msg("%d, param '%s', '%s', of %s", r.fault.status, r.fault.param, r.fault.message, bad[i].json);
        so_chat_clear(&r);
    }
    char deep[400] = "{\"a\": ";
    for (int over = 0; over <= 1; over++) {
        size_t n = 6;
        for (int i = 0; i < SO_JSON_DEPTH - 1 + over; i++) deep[n++] = '[';
        for (int i = 0; i < SO_JSON_DEPTH - 1 + over; i++) deep[n++] = ']';
        deep[n++] = '}';
        so_fault fault = {0};
        json_t *json = so_json_read(deep, n, &fault);
        assert_int_equal(json == NULL, over);
        json_decref(json);
    }
}

static void pictures_and_sounds_are_read(void **state)
{
    (void)state;
    char path[4096], *json = NULL, *text;
    unsigned char file[200000];
    static const struct {
        const char *file, *before;
    } parts[] = {{"table.png", "{\"type\": \"image_url\", \"image_url\": {\"url\": \"data:image/png;base64,"},
                 {"question.wav", "{\"type\": \"input_audio\", \"input_audio\": {\"format\": \"wav\", \"data\": \""}};
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/examples/%s", SO_SOURCE_DIR, parts[i].file);
        FILE *in = fopen(path, "rb");
        assert_non_null(in);
        size_t n = fread(file, 1, sizeof file, in);
        fclose(in);
        text = malloc(so_base64_length(n) + 1);
        so_base64_write(file, n, text);
        assert_true(asprintf(&json, "{\"messages\": [{\"role\": \"user\", \"content\": [%s%s\"}}]}]}", parts[i].before,
                             text) > 0);
        so_chat_request r = read_chat(json);
        assert_string_equal(r.fault.message, "");
        assert_int_equal(r.first->kind, i ? SO_ORDER_AUDIO : SO_ORDER_PICTURE);
        assert_true(i ? r.first->samples > 20000 && r.first->rate > 0 : r.first->width > 100 && r.first->height > 100);
        so_chat_clear(&r);
        free(text);
        free(json);
    }
}

/* ---- words */
static void words_and_captions(void **state)
{
    (void)state;
    so_words w = {0};
    static const char text[] = "one two three four five";
    static const so_heard_word heard[] = {
        {0, 3, 0, 0.2}, {4, 7, 0.3, 0.4}, {8, 13, 0.4, 1}, {14, 18, 1, 1.2}, {19, 23, 3, 3.5}};
    assert_true(so_words_add(&w, text, heard, 2));
    assert_true(so_words_add(&w, text, heard + 2, 3));
    assert_int_equal(w.n, 5);
    assert_string_equal(w.word[2].text, "three");
    char *srt = so_words_srt(&w), *vtt = so_words_vtt(&w);
    assert_string_equal(srt, "1\n00:00:00,000 --> 00:00:01,200\none two three four\n\n"
                             "2\n00:00:03,000 --> 00:00:03,500\nfive\n\n");
    assert_string_equal(vtt, "WEBVTT\n\n00:00:00.000 --> 00:00:01.200\none two three four\n\n"
                             "00:00:03.000 --> 00:00:03.500\nfive\n\n");
    free(srt);
    free(vtt);
    so_words_clear(&w);
    assert_true(so_words_add(&w, "short", &(so_heard_word){3, 99, 0, 1}, 1)); /* never beyond the text */
    assert_string_equal(w.word[0].text, "rt");
    so_words_clear(&w);
}

/* ---- sounds */
/* Every format, whole and in pieces, is read again with the length and the loudness it had. */
static void formats_are_read_again(void **state)
{
    (void)state;
    static int16_t pcm[SO_SPEECH_RATE];
    static const char *const names[] = {"wav", "flac", "opus", "mp3", "pcm"};
    so_error error;
    double loud = 0;
    for (int i = 0; i < SO_SPEECH_RATE; i++) {
        pcm[i] = (int16_t)(8000 * sin(2 * M_PI * 440 * i / SO_SPEECH_RATE));
        loud += (double)pcm[i] * pcm[i] / 32768 / 32768 / SO_SPEECH_RATE;
    }
    for (size_t f = 0; f < 5; f++)
        for (int whole = 0; whole <= 1; whole++) {
            so_outlet_kind kind;
            so_outlet *o;
            so_bytes out = {0};
            so_audio back = {0};
            size_t early = 0;
            assert_true(so_outlet_named(names[f], &kind));
            CHECK_OK(so_outlet_open(&o, kind, SO_SPEECH_RATE, whole, &error), error);
            for (int at = 0; at < SO_SPEECH_RATE; at += 2400) {
                CHECK_OK(so_outlet_feed(o, pcm + at, 2400, &out, &error), error);
                early = so_bytes_left(&out);
            }
            CHECK_OK(so_outlet_finish(o, &out, &error), error);
            so_outlet_close(&o);
            assert_int_equal(early > 0, !whole); /* streamed, or held back */
            if (kind == SO_OUTLET_PCM) {
                assert_int_equal(so_bytes_left(&out), sizeof pcm);
                assert_memory_equal(so_bytes_front(&out), pcm, sizeof pcm);
            } else {
                CHECK_OK(so_audio_decode(&back, so_bytes_front(&out), so_bytes_left(&out), 0, &error), error);
                double seconds = (double)back.n / back.rate, sum = 0;
                for (int64_t i = 0; i < back.n; i++)
                    sum += (double)back.samples[i] * (double)back.samples[i] / (double)back.n;
                if (fabs(seconds - 1) > 0.15 || fabs(sum / loud * seconds - 1) > 0.1)
                    fail_msg("%s: %g s, %g times as loud", names[f], seconds, sum / loud);
                so_audio_clear(&back);
            }
            so_bytes_clear(&out);
        }
}

static void answers_are_kept(void **state)
{
    (void)state;
    so_keeper *k;
    so_error error;
    char id[32];
    CHECK_OK(so_keeper_open(&k, &error), error);
    so_keeper_put(k, "a", "first", 1000);
    assert_string_equal(so_keeper_get(k, "a", 1000 + SO_KEEPER_S - 1), "first");
    assert_null(so_keeper_get(k, "a", 1000 + SO_KEEPER_S));
    assert_null(so_keeper_get(k, "b", 1000));
    for (int i = 0; i < SO_KEEPER_MOST; i++) {
        snprintf(id, sizeof id, "id%d", i);
        so_keeper_put(k, id, "x", 1000);
    }
    assert_null(so_keeper_get(k, "a", 1000));
    assert_string_equal(so_keeper_get(k, "id0", 1000), "x");
    so_keeper_close(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hosts),
        cmocka_unit_test(origins),
        cmocka_unit_test(keys),
        cmocka_unit_test(rates_of_keys),
        cmocka_unit_test(secrets_for_minutes),
        cmocka_unit_test(chat_requests_are_read),
        cmocka_unit_test(chat_requests_are_refused),
        cmocka_unit_test(pictures_and_sounds_are_read),
        cmocka_unit_test(words_and_captions),
        cmocka_unit_test(formats_are_read_again),
        cmocka_unit_test(answers_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
