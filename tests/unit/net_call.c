/* A client's connection: addresses, and what a server may answer to the handshake, in pieces, wrong, or not at all.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <sys/socket.h>

#include "net/call.h"

static void addresses(void **state)
{
    (void)state;
    static const struct {
        const char *url, *host;
        int port;
        bool secure;
        const char *path, *field;
    } good[] = {{"http://127.0.0.1:8080", "127.0.0.1", 8080, false, "", "127.0.0.1:8080"},
                {"http://127.0.0.1:8080/", "127.0.0.1", 8080, false, "", "127.0.0.1:8080"},
                {"HTTPS://Voice.example.org", "Voice.example.org", 443, true, "", "Voice.example.org"},
                {"wss://a:444/v1/realtime?model=x", "a", 444, true, "/v1/realtime?model=x", "a:444"},
                {"ws://[::1]:80/v1", "::1", 80, false, "/v1", "[::1]"},
                {"https://[fe80::1]:8443", "fe80::1", 8443, true, "", "[fe80::1]:8443"},
                {"localhost:8080", "localhost", 8080, false, "", "localhost:8080"},
                {"host?x", "host", 80, false, "/?x", "host"}};
    static const char *const bad[] = {
        "",           "http://",        "ftp://a",         "http://a:",         "http://a:0",
        "http://a:x", "http://a:65536", "http://a:123456", "http://u:p@a",      "http://[::1",
        "http://::1", "http://a b",     "http://a/ b",     "http://a/\r\nX: y", "http://a#b",
        "http://[a]x"};
    so_place place;
    so_error error;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        CHECK_OK(so_place_read(&place, good[i].url, &error), error);
        assert_string_equal(place.host, good[i].host);
        assert_int_equal(place.port, good[i].port);
        assert_int_equal(place.secure, good[i].secure);
        assert_string_equal(place.path, good[i].path);
        assert_string_equal(place.field, good[i].field);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (so_place_read(&place, bad[i], &error) == SO_OK) fail_msg("accepted: '%s'", bad[i]);
    char path[2000] = "http://a/";
    memset(path + 9, 'x', sizeof path - 10);
    assert_int_equal(so_place_read(&place, path, &error), SO_ERR_LIMIT);
}

/* ---- a server that says what it is told to say, some bytes at a time */
typedef struct script {
    int fd, port;
    const char *answer; /* %s: the proof of the key */
    const char *after;  /* frames, n_after bytes of them */
    size_t n_after, step;
    char request[2048];
    pthread_t thread;
} script;

static void write_steps(int fd, const char *data, size_t n, size_t step)
{
    for (size_t at = 0; at < n; at += step)
        if (send(fd, data + at, n - at < step ? n - at : step, MSG_NOSIGNAL) <= 0) return;
}

static void *serve(void *context)
{
    script *s = context;
    int fd = accept(s->fd, NULL, NULL);
    char text[1024], key[64] = "", accept_text[32], byte[256];
    for (size_t n = 0; n + 1 < sizeof s->request && !strstr(s->request, "\r\n\r\n");) {
        ssize_t got = recv(fd, s->request + n, sizeof s->request - 1 - n, 0);
        if (got <= 0) break;
        n += (size_t)got;
    }
    const char *field = strstr(s->request, "Sec-WebSocket-Key: ");
    if (field) sscanf(field + 19, "%40s", key);
    so_ws_accept(key, accept_text);
    snprintf(text, sizeof text, s->answer, accept_text); /* of the tests below */
    write_steps(fd, text, strlen(text), s->step);
    if (s->n_after) write_steps(fd, s->after, s->n_after, s->step);
    shutdown(fd, SHUT_WR);
    while (recv(fd, byte, sizeof byte, 0) > 0) continue;
    close(fd);
    return NULL;
}

static void begin(script *s, const char *answer, size_t step)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof a;
    s->fd = socket(AF_INET, SOCK_STREAM, 0);
    s->answer = answer;
    s->step = step;
    assert_int_equal(bind(s->fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(s->fd, 4), 0);
    getsockname(s->fd, (struct sockaddr *)&a, &size);
    s->port = ntohs(a.sin_port);
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void end(script *s)
{
    pthread_join(s->thread, NULL);
    close(s->fd);
}

typedef struct seen {
    int n;
    char last[64];
} seen;

static void on_message(void *context, bool text, const void *data, size_t size)
{
    seen *s = context;
    s->n++;
    snprintf(s->last, sizeof s->last, "%s%.*s", text ? "" : "binary ", (int)(size < 50 ? size : 50),
             (const char *)data);
}

static so_status call(so_call **out, const script *s, seen *heard, so_call_refusal *refusal, so_error *error)
{
    const so_ws_sink sink = {heard, on_message};
    const so_call_options options = {.path = "/v1/realtime", .key = "secret", .protocol = "realtime"};
    so_place place;
    char url[64];
    *heard = (seen){0};
    snprintf(url, sizeof url, "http://127.0.0.1:%d", s->port);
    CHECK_OK(so_place_read(&place, url, error), *error);
    return so_call_open(out, &place, &options, &sink, refusal, error);
}

#define AGREED                                                                                                         \
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n"

/* Messages that come with the handshake, in pieces of any size; a close with its words; the request is as it should be.
 */
static void messages_and_a_good_bye(void **state)
{
    (void)state;
    static const size_t steps[] = {1, 7, 4096};
    for (size_t i = 0; i < 3; i++) {
        script s = {.after = "\x81\x05hello\x88\x07\x03\xe9gone.", .n_after = 16};
        so_call *c;
        so_call_refusal refusal;
        so_error error;
        seen heard;
        begin(&s, AGREED "Sec-WebSocket-Protocol: realtime\r\n\r\n", steps[i]);
        CHECK_OK(call(&c, &s, &heard, &refusal, &error), error);
        so_status status = SO_OK;
        while (status == SO_OK) status = so_call_wait(c, 1, &error);
        assert_int_equal(heard.n, 1);
        assert_string_equal(heard.last, "hello");
        assert_int_equal(status, SO_ERR_IO);
        assert_non_null(strstr(error.text, "closed the connection (1001: gone.)"));
        so_call_close(&c);
        assert_null(c);
        end(&s);
        char host[64];
        snprintf(host, sizeof host, "\r\nHost: 127.0.0.1:%d\r\n", s.port);
        assert_memory_equal(s.request, "GET /v1/realtime HTTP/1.1\r\n", 27);
        assert_non_null(strstr(s.request, host));
        assert_non_null(strstr(s.request, "\r\nAuthorization: Bearer secret\r\n"));
        assert_non_null(strstr(s.request, "\r\nSec-WebSocket-Protocol: realtime\r\n"));
        assert_non_null(strstr(s.request, "\r\nSec-WebSocket-Version: 13\r\n"));
    }
}

static void answers_that_are_none(void **state)
{
    (void)state;
    static const struct {
        const char *answer;
        so_status status;
        const char *text;
        int http;
    } bad[] = {
        {"SSH-2.0-OpenSSH_9.2\r\nmore\r\n\r\n", SO_ERR_FORMAT, "does not speak HTTP", 0},
        {"220 smtp ready\n", SO_ERR_FORMAT, "does not speak HTTP", 0},
        {"", SO_ERR_FORMAT, "closed the connection without an answer", 0},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", SO_ERR_FORMAT, "answers 200 and opens no WebSocket", 200},
        {"HTTP/1.1 401 No\r\nContent-Length: 40\r\n\r\n{\"error\":{\"message\":\"cut off", SO_ERR_ARG,
         "401 Unauthorized", 401},
        {"HTTP/1.1 503 Busy\r\n\r\n", SO_ERR_ARG, "503", 503},
        {"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: AAAA\r\n\r\n",
         SO_ERR_FORMAT, "does not prove", 0},
        {"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", SO_ERR_FORMAT, "does not prove", 0},
        {"HTTP/1.1 101 x\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", SO_ERR_FORMAT, "does not prove",
         0},
        {AGREED "Sec-WebSocket-Protocol: other\r\n\r\n", SO_ERR_FORMAT, "subprotocol 'other'", 0},
        {AGREED "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n", SO_ERR_FORMAT, "an extension", 0}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        script s = {0};
        so_call *c;
        so_call_refusal refusal;
        so_error error;
        seen heard;
        begin(&s, bad[i].answer, 5);
        so_status status = call(&c, &s, &heard, &refusal, &error);
        if (status != bad[i].status || !strstr(error.text, bad[i].text)) fail_msg("%s: %s", bad[i].answer, error.text);
        assert_int_equal(refusal.status, bad[i].http);
        assert_null(c);
        end(&s);
        if (bad[i].http == 401) assert_string_equal(refusal.body, "{\"error\":{\"message\":\"cut off");
    }
}

/* After the handshake: frames that no server may send, and a connection that is cut. */
static void connections_that_break(void **state)
{
    (void)state;
    static const struct {
        const char *frames;
        size_t n;
        so_status status;
        int messages;
    } broken[] = {{"\x81\x85\x01\x02\x03\x04hello", 11, SO_ERR_FORMAT, 0}, /* masked */
                  {"\x83\x01x", 3, SO_ERR_FORMAT, 0},
                  {"\xc1\x01x", 3, SO_ERR_FORMAT, 0},
                  {"\x81\x02\xc3\x28", 4, SO_ERR_FORMAT, 0},
                  {"\x81\x7f\x7f\xff\xff\xff\xff\xff\xff\xffx", 11, SO_ERR_FORMAT, 0},
                  {"\x81\x01x\x81\x05he", 7, SO_ERR_IO, 1},
                  {"\x81\x01x", 3, SO_ERR_IO, 1}};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        script s = {.after = broken[i].frames, .n_after = broken[i].n};
        so_call *c;
        so_call_refusal refusal;
        so_error error;
        seen heard;
        begin(&s, AGREED "\r\n", 1000);
        CHECK_OK(call(&c, &s, &heard, &refusal, &error), error);
        so_status status = SO_OK;
        while (status == SO_OK) status = so_call_wait(c, 1, &error);
        if (status != broken[i].status) fail_msg("%zu: %s", i, error.text);
        assert_int_equal(heard.n, broken[i].messages);
        so_call_close(&c);
        end(&s);
    }
}

static void nobody_there(void **state)
{
    (void)state;
    so_dial *dial;
    so_place place;
    so_error error;
    volatile sig_atomic_t stop = 1;
    CHECK_OK(so_place_read(&place, "http://127.0.0.1:1", &error), error);
    so_dial_options options = {.patience = 5};
    assert_int_equal(so_dial_open(&dial, &place, &options, &error), SO_ERR_IO);
    assert_non_null(strstr(error.text, "http://127.0.0.1:1: connection refused"));
    /* Somebody who listens and never answers. */
    script s = {0};
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof a;
    s.fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(s.fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(s.fd, 4), 0);
    getsockname(s.fd, (struct sockaddr *)&a, &size);
    char url[64];
    snprintf(url, sizeof url, "https://127.0.0.1:%d", ntohs(a.sin_port));
    CHECK_OK(so_place_read(&place, url, &error), error);
    options.patience = 0.1;
    assert_int_equal(so_dial_open(&dial, &place, &options, &error), SO_ERR_IO);
    assert_non_null(strstr(error.text, "no answer within"));
    options = (so_dial_options){.stop = &stop};
    assert_int_equal(so_dial_open(&dial, &place, &options, &error), SO_ERR_STOPPED);
    close(s.fd);
    options = (so_dial_options){.authority = "/nowhere/authority.pem"};
    assert_int_equal(so_dial_open(&dial, &place, &options, &error), SO_ERR_IO);
    CHECK_OK(so_place_read(&place, "http://no.such.host.invalid", &error), error);
    assert_int_equal(so_dial_open(&dial, &place, &options, &error), SO_ERR_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses),
        cmocka_unit_test(messages_and_a_good_bye),
        cmocka_unit_test(answers_that_are_none),
        cmocka_unit_test(connections_that_break),
        cmocka_unit_test(nobody_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
