/* WebSocket frames: messages in and out, in pieces, and what ends a connection.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "net/ws.h"

typedef struct seen {
    int messages, texts;
    size_t size;
    char last[64];
} seen;

static void on_message(void *context, bool text, const void *data, size_t size)
{
    seen *s = context;
    s->messages++;
    s->texts += text;
    s->size = size;
    snprintf(s->last, sizeof s->last, "%.*s", (int)(size < 60 ? size : 60), (const char *)data);
}

/* A client's frame; `first`: FIN, reserved bits and opcode. */
static void frame(so_bytes *to, unsigned first, bool masked, const void *data, size_t n)
{
    unsigned char head[14] = {(unsigned char)first, (unsigned char)(masked ? 0x80 : 0)};
    static const unsigned char mask[4] = {1, 2, 3, 4};
    size_t at = 2;
    if (n < 126)
        head[1] |= (unsigned char)n;
    else if (n < 65536) {
        head[1] |= 126;
        head[2] = (unsigned char)(n >> 8);
        head[3] = (unsigned char)n;
        at = 4;
    } else {
        head[1] |= 127;
        for (int i = 0; i < 8; i++) head[2 + i] = (unsigned char)((uint64_t)n >> (56 - 8 * i));
        at = 10;
    }
    assert_true(so_bytes_put(to, head, at));
    if (masked) assert_true(so_bytes_put(to, mask, 4));
    for (size_t i = 0; i < n; i++) {
        unsigned char c = ((const unsigned char *)data)[i];
        if (masked) c ^= mask[i % 4];
        assert_true(so_bytes_put(to, &c, 1));
    }
}

static so_ws *opened(seen *s, size_t most)
{
    so_ws *ws;
    so_error error;
    const so_ws_sink sink = {s, on_message};
    *s = (seen){0};
    CHECK_OK(so_ws_open(&ws, most, &sink, &error), error);
    return ws;
}

/* The close code at the end of what was written, 0 when there is none. */
static int close_code(const so_bytes *out)
{
    const unsigned char *p = so_bytes_front(out);
    size_t n = so_bytes_left(out);
    for (size_t at = 0; at + 4 <= n; at += 2 + (p[at + 1] & 127))
        if (p[at] == 0x88) return p[at + 2] << 8 | p[at + 3];
    return 0;
}

static void the_key_of_the_standard(void **state)
{
    (void)state;
    char accept[32];
    so_ws_accept("dGhlIHNhbXBsZSBub25jZQ==", accept);
    assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

static void messages_in_pieces(void **state)
{
    (void)state;
    so_bytes all = {0}, in = {0}, out = {0};
    seen s;
    bool more;
    so_error error;
    frame(&all, 0x01, true, "h\xc3", 2); /* a character cut by a fragment, a ping between the two */
    frame(&all, 0x89, true, "p", 1);
    frame(&all, 0x80, true, "\xa9llo", 4);
    frame(&all, 0x82, true, "", 0);
    for (size_t step = 1; step <= all.size; step++) {
        so_ws *ws = opened(&s, 100);
        for (size_t at = 0; at < all.size; at += step) {
            assert_true(so_bytes_put(&in, all.data + at, all.size - at < step ? all.size - at : step));
            do CHECK_OK(so_ws_read(ws, &in, 7, &out, &more, &error), error);
            while (more);
        }
        assert_int_equal(s.messages, 2);
        assert_int_equal(s.texts, 1);
        assert_int_equal(so_bytes_left(&out), 3); /* the pong */
        assert_int_equal(so_bytes_front(&out)[0], 0x8a);
        so_bytes_clear(&out);
        CHECK_OK(so_ws_send(ws, true, "yes", 3, &out, &error), error);
        assert_memory_equal(so_bytes_front(&out), "\x81\x03yes", 5);
        frame(&in, 0x88, true, "\x03\xe8", 2);
        CHECK_OK(so_ws_read(ws, &in, 100, &out, &more, &error), error);
        assert_true(so_ws_ended(ws));
        assert_int_equal(so_ws_code(ws), 1000);
        assert_int_equal(so_ws_send(ws, true, "no", 2, &out, &error), SO_ERR_STATE);
        so_bytes_clear(&out);
        so_bytes_clear(&in);
        so_ws_close(&ws);
    }
    so_bytes_clear(&all);
}

static void what_ends_a_connection(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        unsigned first;
        bool masked;
        const char *data;
        size_t n;
        int code;
    } bad[] = {{"no mask", 0x81, false, "a", 1, 1002},
               {"a reserved bit", 0xc1, true, "a", 1, 1002},
               {"an unknown opcode", 0x83, true, "a", 1, 1002},
               {"a fragment of nothing", 0x80, true, "a", 1, 1002},
               {"a fragmented ping", 0x09, true, "a", 1, 0}, /* libwslay names no code in these two */
               {"a close of one byte", 0x88, true, "a", 1, 0},
               {"a close code that nobody may send", 0x88, true, "\x03\xed", 2, 1002},
               {"text that is not UTF-8", 0x81, true, "\xc3\x28", 2, 1007},
               {"text that breaks off", 0x81, true, "\xc3", 1, 1007},
               {"a message above the limit", 0x82, true, "0123456789012345678901234567890123456789", 33, 1009}};
    so_error error;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        so_bytes in = {0}, out = {0};
        seen s;
        bool more = true;
        so_ws *ws = opened(&s, 32);
        so_status status = SO_OK;
        frame(&in, bad[i].first, bad[i].masked, bad[i].data, bad[i].n);
        while (status == SO_OK && more) status = so_ws_read(ws, &in, 1000, &out, &more, &error);
        if (status != SO_ERR_FORMAT) fail_msg("%s: accepted", bad[i].what);
        if (close_code(&out) != bad[i].code) fail_msg("%s: closed with %d", bad[i].what, close_code(&out));
        assert_int_equal(s.messages, 0);
        so_bytes_clear(&in);
        so_bytes_clear(&out);
        so_ws_close(&ws);
    }
}

/* Fragments of one byte: as many as are allowed make a message, one more ends the connection. */
static void tiny_fragments(void **state)
{
    (void)state;
    so_error error;
    for (int over = 0; over <= 1; over++) {
        so_bytes in = {0}, out = {0};
        seen s;
        bool more = true;
        so_ws *ws = opened(&s, 1 << 20);
        so_status status = SO_OK;
        int turns = 0;
        for (int i = 0; i < SO_WS_FRAGMENTS_MOST + over; i++)
            frame(&in, (i ? 0u : 2u) | (i == SO_WS_FRAGMENTS_MOST + over - 1 ? 0x80u : 0u), true, "a", 1);
        while (status == SO_OK && more) {
            status = so_ws_read(ws, &in, 65536, &out, &more, &error);
            turns++;
        }
        assert_int_equal(status, over ? SO_ERR_FORMAT : SO_OK);
        assert_int_equal(s.messages, !over);
        assert_int_equal(close_code(&out), over ? 1009 : 0);
        assert_true(turns >= SO_WS_FRAGMENTS_MOST / (SO_WS_FRAMES_A_TURN + 512 / 7));
        so_bytes_clear(&in);
        so_bytes_clear(&out);
        so_ws_close(&ws);
    }
}

/* A turn answers so many pings and no more, however many came. */
static void pings_are_portioned(void **state)
{
    (void)state;
    so_bytes in = {0}, out = {0};
    seen s;
    bool more;
    so_error error;
    so_ws *ws = opened(&s, 100);
    for (int i = 0; i < 1000; i++) frame(&in, 0x89, true, "", 0);
    CHECK_OK(so_ws_read(ws, &in, 65536, &out, &more, &error), error);
    assert_true(more);
    assert_in_range(so_bytes_left(&out), 2, 2 * (SO_WS_CONTROLS_A_TURN + 512 / 6 + 1));
    while (more) CHECK_OK(so_ws_read(ws, &in, 65536, &out, &more, &error), error);
    assert_int_equal(so_bytes_left(&out), 2000);
    so_bytes_clear(&in);
    so_bytes_clear(&out);
    so_ws_close(&ws);
}

/* A client's frames are masked, each by another mask, and read back by the server's side; a server's frames must not be
 * masked; the words of a close are told. */
static void the_clients_side(void **state)
{
    (void)state;
    so_bytes to = {0}, back = {0}, none = {0};
    seen at_server, at_client;
    bool more;
    so_error error;
    so_ws *server = opened(&at_server, 1000), *client;
    const so_ws_sink sink = {&at_client, on_message};
    at_client = (seen){0};
    CHECK_OK(so_ws_open_client(&client, 1000, &sink, &error), error);
    CHECK_OK(so_ws_send(client, true, "hello", 5, &to, &error), error);
    CHECK_OK(so_ws_send(client, true, "hello", 5, &to, &error), error);
    assert_int_equal(to.size, 2 * (2 + 4 + 5));
    assert_int_equal(to.data[1], 0x80 | 5);
    assert_memory_not_equal(to.data + 2, to.data + 13, 4);
    CHECK_OK(so_ws_read(server, &to, 1000, &back, &more, &error), error);
    assert_int_equal(at_server.messages, 2);
    assert_string_equal(at_server.last, "hello");
    CHECK_OK(so_ws_send(server, true, "there", 5, &back, &error), error);
    CHECK_OK(so_ws_end(server, 1001, "the server goes down", &back, &error), error);
    CHECK_OK(so_ws_read(client, &back, 1000, &to, &more, &error), error);
    assert_int_equal(at_client.messages, 1);
    assert_string_equal(at_client.last, "there");
    assert_int_equal(so_ws_code(client), 1001);
    assert_string_equal(so_ws_reason(client), "the server goes down");
    so_ws_close(&client);
    CHECK_OK(so_ws_open_client(&client, 1000, &sink, &error), error);
    so_bytes_clear(&to);
    frame(&to, 0x81, true, "a", 1);
    assert_int_equal(so_ws_read(client, &to, 1000, &none, &more, &error), SO_ERR_FORMAT);
    so_ws_close(&client);
    so_ws_close(&server);
    so_bytes_clear(&to);
    so_bytes_clear(&back);
    so_bytes_clear(&none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_key_of_the_standard), cmocka_unit_test(the_clients_side),
        cmocka_unit_test(messages_in_pieces),      cmocka_unit_test(what_ends_a_connection),
        cmocka_unit_test(tiny_fragments),          cmocka_unit_test(pings_are_portioned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
