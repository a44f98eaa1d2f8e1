/* Heads and chunks of HTTP: what is read, what is refused, and that pieces make no difference; base64.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "net/base64.h"
#include "net/http.h"

/* Reads a head that comes in pieces of `step` bytes. Gives the refusal's status, 0 when it was read, -1 when it is not
 * complete. `copy` holds the bytes that `head` points into. */
static int read_in_steps(const char *text, size_t size, size_t step, char *copy, so_http_head *head)
{
    so_http_refusal refusal = {0, NULL};
    size_t seen = 0;
    for (size_t have = step < size ? step : size;; have += step) {
        if (have > size) have = size;
        int64_t end = so_http_head_end(text, have, &seen, &refusal);
        if (end < 0) return refusal.status;
        if (end > 0) {
            memcpy(copy, text, (size_t)end);
            return so_http_head_read(copy, (size_t)end, head, &refusal) ? 0 : refusal.status;
        }
        if (have == size) return -1;
    }
}

static int verdict(const char *text, so_http_head *head)
{
    static char copy[SO_HTTP_HEAD_MOST];
    size_t size = strlen(text);
    int whole = read_in_steps(text, size, size, copy, head);
    for (size_t step = 1; step < 8; step++) {
        int pieces = read_in_steps(text, size, step, copy, head);
        if (pieces != whole) fail_msg("%d whole, %d in pieces of %zu: %s", whole, pieces, step, text);
    }
    return whole;
}

static void heads_are_read(void **state)
{
    (void)state;
    so_http_head h;
    assert_int_equal(verdict("GET / HTTP/1.1\r\nHost: a\r\n\r\n", &h), 0);
    assert_string_equal(h.method, "GET");
    assert_string_equal(h.target, "/");
    assert_string_equal(h.host, "a");
    assert_int_equal(h.minor, 1);
    assert_int_equal(h.length, -1);
    assert_true(h.keep && !h.chunked && !h.websocket && !h.expect);
    assert_int_equal(verdict("POST /v1/x?q=%20 HTTP/1.1\r\nhost:[::1]:8080\r\nContent-LENGTH: 007\r\n"
                             "X-a:\t b \t\r\nX-Empty:\r\nConnection: Keep-Alive, Close\r\nExpect: 100-Continue\r\n\r\n",
                             &h),
                     0);
    assert_int_equal(h.length, 7);
    assert_string_equal(h.host, "[::1]:8080");
    assert_string_equal(so_http_field_of(&h, "x-a"), "b");
    assert_string_equal(so_http_field_of(&h, "x-empty"), "");
    assert_null(so_http_field_of(&h, "x-none"));
    assert_true(h.expect && !h.keep);
    assert_int_equal(verdict("GET /a HTTP/1.0\r\n\r\n", &h), 0);
    assert_true(h.minor == 0 && !h.keep && h.host[0] == 0);
    assert_int_equal(verdict("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", &h), 0);
    assert_true(h.keep);
    assert_int_equal(verdict("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n", &h), 0);
    assert_true(h.chunked);
    assert_int_equal(verdict("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", &h), 0);
    assert_int_equal(verdict("GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n"
                             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
                             &h),
                     0);
    assert_true(h.websocket);
    assert_int_equal(verdict("GET / HTTP/1.1\r\nHost: a\r\n", &h), -1);
}

/* What two readers could understand in two ways is refused, with the status that says why. */
static void bad_heads_are_refused(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *text;
    } bad[] = {
        {400, "GET / HTTP/1.1\r\n\r\n"},                          /* no Host */
        {400, "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"},    /* two */
        {400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"},             /* a blank in it */
        {400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"},             /* a path in it */
        {400, "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"},             /* a user in it */
        {400, "GET / HTTP/1.1\nHost: a\n\n"},                     /* bare line feeds */
        {400, "GET / HTTP/1.1\r\nHost: a\n\r\n"},                 /* one of them */
        {400, "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n"},             /* a bare carriage return */
        {400, "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n"},    /* inside a value */
        {400, "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n"}, /* a folded line */
        {400, "GET / HTTP/1.1\r\n Host: a\r\n\r\n"},              /* at the beginning */
        {400, "GET / HTTP/1.1\r\nHost : a\r\n\r\n"},              /* a blank before the colon */
        {400, "GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n"},        /* no name */
        {400, "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n"},          /* no colon */
        {400, "GET / HTTP/1.1\r\nHost: a\r\nX(: y\r\n\r\n"},      /* a name that is no token */
        {400, "GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n"},    /* a control character */
        {400, "GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n"},    /* another */
        {400, "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"},           /* an empty line before it */
        {400, "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"},              /* two blanks */
        {400, "GET /  HTTP/1.1\r\nHost: a\r\n\r\n"},              /* two blanks */
        {400, "GET /\tHTTP/1.1\r\nHost: a\r\n\r\n"},              /* no blank */
        {400, "GET / HTTP/1.1 \r\nHost: a\r\n\r\n"},              /* something behind it */
        {400, "GET /\r\nHost: a\r\n\r\n"},                        /* HTTP/0.9 */
        {400, " GET / HTTP/1.1\r\nHost: a\r\n\r\n"},              /* a blank before it */
        {400, "G\xc3\xa9T / HTTP/1.1\r\nHost: a\r\n\r\n"},        /* no token */
        {400, "GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n"},       /* not ASCII */
        {400, "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n"},       /* absolute form */
        {400, "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n"},        /* authority form */
        {400, "GET * HTTP/1.1\r\nHost: a\r\n\r\n"},               /* of OPTIONS only */
        {400, "GET /#a HTTP/1.1\r\nHost: a\r\n\r\n"},             /* a fragment */
        {400, "GET / http/1.1\r\nHost: a\r\n\r\n"},               /* no version */
        {400, "GET / HTTP/11\r\nHost: a\r\n\r\n"},                /* no version */
        {505, "GET / HTTP/2.0\r\nHost: a\r\n\r\n"},               /* another version */
        {505, "GET / HTTP/1.2\r\nHost: a\r\n\r\n"},               /* another version */
        {501, "ABCDEFGHIJKLMNOPQ / HTTP/1.1\r\nHost: a\r\n\r\n"}, /* a method of 17 characters */
        {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n"}, /* twice the same */
        {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n"},                   /* a list */
        {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n"},                     /* a sign */
        {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n"},                     /* a sign */
        {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\n"},                    /* hexadecimal */
        {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 1\r\n\r\n"},                    /* a blank */
        {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n"},                        /* nothing */
        {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1234567890123456789\r\n\r\n"},    /* 19 digits */
        {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"}, /* both */
        {400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n"}, /* both */
        {400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"},
        {400, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"},                     /* HTTP/1.0 has none */
        {501, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"},    /* another coding */
        {501, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n"}, /* twice */
        {501, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n"},         /* a known trick */
        {501, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0b"
              "chunked\r\n\r\n"},
        {417, "POST / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\n\r\n"},
        {426, "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 8\r\n"
              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 13\r\n"
              "Sec-WebSocket-Key: short\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 13\r\n"
              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"},
    };
    so_http_head head;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int status = verdict(bad[i].text, &head);
        /* a control character is seen before the coding is read */
        int expected = strstr(bad[i].text, "\x0b") ? 400 : bad[i].status;
        if (status != expected) fail_msg("%d, expected %d: %s", status, expected, bad[i].text);
    }
    const char zero[] = "GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n";
    static char copy[SO_HTTP_HEAD_MOST];
    assert_int_equal(read_in_steps(zero, sizeof zero - 1, 3, copy, &head), 400);
}

/* Each limit from both sides. */
static void limits_of_heads(void **state)
{
    (void)state;
    static char text[2 * SO_HTTP_HEAD_MOST], copy[2 * SO_HTTP_HEAD_MOST];
    so_http_head head;
    for (int over = 0; over <= 1; over++) {
        int n = sprintf(text, "GET / HTTP/1.1\r\nHost: a\r\n");
        for (int i = 1; i < SO_HTTP_FIELDS_MOST + over; i++) n += sprintf(text + n, "X-%d: y\r\n", i);
        n += sprintf(text + n, "\r\n");
        assert_int_equal(read_in_steps(text, (size_t)n, 100, copy, &head), over ? 431 : 0);
        n = sprintf(text, "GET /");
        memset(text + n, 'a', SO_HTTP_TARGET_MOST);
        n += SO_HTTP_TARGET_MOST - 1 + over;
        n += sprintf(text + n, " HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_int_equal(read_in_steps(text, (size_t)n, 100, copy, &head), over ? 414 : 0);
        n = sprintf(text, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
        int fill = SO_HTTP_HEAD_MOST + over - n - 4;
        memset(text + n, 'a', (size_t)fill);
        n += fill;
        n += sprintf(text + n, "\r\n\r\n");
        assert_int_equal(n, SO_HTTP_HEAD_MOST + over);
        assert_int_equal(read_in_steps(text, (size_t)n, 100, copy, &head), over ? 431 : 0);
    }
}

/* Gives the status of a refusal, 0 when the last chunk was read, -1 when more must come. */
static int dechunk(const char *text, size_t size, size_t step, char *body, size_t *length, size_t *used)
{
    so_http_chunks chunks = {0};
    so_http_refusal refusal = {0, NULL};
    *length = *used = 0;
    while (*used < size && !chunks.done) {
        const char *piece;
        size_t n, most = size - *used < step ? size - *used : step;
        int64_t took = so_http_chunks_feed(&chunks, text + *used, most, &piece, &n, &refusal);
        if (took < 0) return refusal.status;
        memcpy(body + *length, piece, n);
        *length += n;
        *used += (size_t)took;
    }
    return chunks.done ? 0 : -1;
}

static void chunks_are_read(void **state)
{
    (void)state;
    static const char text[] = "5\r\nhello\r\n00A\r\n, 90123456\r\n0\r\n\r\nGET";
    static const char *const bad[] = {"5 \r\nhello\r\n0\r\n\r\n",
                                      "5;a=b\r\nhello\r\n0\r\n\r\n",
                                      "5\nhello\r\n0\r\n\r\n",
                                      "5\r\nhello!\r\n0\r\n\r\n",
                                      "5\r\nhell\r\n0\r\n\r\n",
                                      "5\r\nhello\n0\r\n\r\n",
                                      "\r\n",
                                      "-5\r\nhello\r\n",
                                      "0x5\r\nhello\r\n",
                                      "123456789\r\n",
                                      "5\rhello",
                                      "g\r\n",
                                      "0\r\nTrailer: x\r\n\r\n",
                                      "0\r\n\n",
                                      "5\r\nhello\r\n0\n\r\n",
                                      " 5\r\nhello\r\n"};
    char body[256];
    size_t length, used;
    for (size_t step = 1; step <= sizeof text; step++) {
        assert_int_equal(dechunk(text, sizeof text - 1, step, body, &length, &used), 0);
        assert_int_equal(length, 15);
        assert_memory_equal(body, "hello, 90123456", 15);
        assert_int_equal(used, sizeof text - 1 - 3); /* what follows is the next request's */
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        for (size_t step = 1; step < 6; step++)
            if (dechunk(bad[i], strlen(bad[i]), step, body, &length, &used) != 400) fail_msg("accepted: %s", bad[i]);
    assert_int_equal(dechunk("5\r\nhel", 6, 6, body, &length, &used), -1);
}

static void paths_and_queries(void **state)
{
    (void)state;
    char path[32], value[16];
    const char *query;
    assert_true(so_http_path("/v1/a%20b?x=1&model=t%41+b&e=", path, sizeof path, &query));
    assert_string_equal(path, "/v1/a b");
    assert_true(so_http_query(query, "model", value, sizeof value));
    assert_string_equal(value, "tA b");
    assert_true(so_http_query(query, "e", value, sizeof value));
    assert_string_equal(value, "");
    assert_false(so_http_query(query, "mode", value, sizeof value));
    assert_false(so_http_query("a=%zz", "a", value, sizeof value));
    assert_false(so_http_query("a=0123456789012345", "a", value, sizeof value));
    static const char *const bad[] = {"/%00",  "/a/%2e%2e/b", "/..",  "/a/./b", "//a",
                                      "/a//b", "/%2",         "/%zz", "/a%5cb", "/0123456789012345678901234567890"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (so_http_path(bad[i], path, sizeof path, &query)) fail_msg("accepted: %s", bad[i]);
    assert_true(so_http_lists("gzip, Chunked;q=1 , x", "chunked"));
    assert_false(so_http_lists("gzip, xchunked", "chunked"));
    assert_string_equal(so_http_reason(404), "Not Found");
}

static void base64_in_pieces(void **state)
{
    (void)state;
    unsigned char data[64], back[64];
    char text[96];
    for (size_t i = 0; i < sizeof data; i++) data[i] = (unsigned char)(i * 37 + 11);
    for (size_t n = 0; n <= sizeof data; n++) {
        so_base64_write(data, n, text);
        assert_int_equal(strlen(text), so_base64_length(n));
        for (size_t step = 1; step < 7; step++) {
            so_base64 s = {0};
            size_t length = 0, wrote;
            for (size_t at = 0; text[at]; at += step) {
                size_t left = strlen(text + at);
                assert_true(so_base64_feed(&s, text + at, left < step ? left : step, back + length, &wrote));
                length += wrote;
                if (left < step) break;
            }
            assert_true(so_base64_end(&s));
            assert_int_equal(length, n);
            assert_memory_equal(back, data, n);
        }
    }
    static const char *const bad[] = {"A",
                                      "AA=",
                                      "A===",
                                      "=",
                                      "AA=A",
                                      "AAAA=",
                                      "AA==A",
                                      "A A=",
                                      "AA\n=",
                                      "AB==",
                                      "AAB=",
                                      "AA=="
                                      "="};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        so_base64 s = {0};
        size_t wrote;
        if (so_base64_feed(&s, bad[i], strlen(bad[i]), back, &wrote) && so_base64_end(&s))
            fail_msg("accepted: %s", bad[i]);
    }
    so_base64 s = {0};
    size_t wrote;
    assert_true(so_base64_feed(&s, "-_8", 3, back, &wrote) && so_base64_end(&s)); /* the other alphabet, no padding */
    assert_int_equal(wrote, 2);
    assert_int_equal(back[0], 0xfb);
}

/* Heads of answers, as a client reads them. */
static void answers_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int status; /* 0: refused */
        bool websocket;
        int64_t length;
    } answers[] = {
        {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\r\n", 101, true,
         -1},
        {"HTTP/1.1 101\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", 101, true, -1},
        {"HTTP/1.1 101 x\r\nUpgrade: websocket\r\n\r\n", 101, false, -1},
        {"HTTP/1.1 101 x\r\nConnection: upgrade\r\n\r\n", 101, false, -1},
        {"HTTP/1.1 101 x\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n", 101, false, -1},
        {"HTTP/1.0 101 x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", 101, false, -1},
        {"HTTP/1.1 200 OK\r\nUpgrade: websocket\r\nConnection: upgrade\r\nContent-Length: 5\r\n\r\n", 200, false, 5},
        {"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", 401, false, 0},
        {"HTTP/1.1 099 x\r\n\r\n", 0, false, 0},
        {"HTTP/1.1 1010 x\r\n\r\n", 0, false, 0},
        {"HTTP/1.1 10 x\r\n\r\n", 0, false, 0},
        {"HTTP/1.1 101x\r\n\r\n", 0, false, 0},
        {"HTTP/1.1  101 x\r\n\r\n", 0, false, 0},
        {"HTTP/2 101 x\r\n\r\n", 0, false, 0},
        {"SSH-2.0-OpenSSH_9.2\r\n\r\n", 0, false, 0},
        {"GET / HTTP/1.1\r\n\r\n", 0, false, 0},
        {"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", 0, false, 0},
        {"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", 0, false, 0},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 0, false, 0},
        {"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", 0, false, 0}};
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        char copy[512];
        so_http_head head;
        so_http_refusal refusal;
        strcpy(copy, answers[i].text);
        bool read = so_http_answer_read(copy, strlen(answers[i].text), &head, &refusal);
        if (read != (answers[i].status != 0)) fail_msg("%s: %s", answers[i].text, read ? "accepted" : refusal.why);
        if (!read) continue;
        assert_int_equal(head.status, answers[i].status);
        if (head.websocket != answers[i].websocket) fail_msg("%s: websocket %d", answers[i].text, head.websocket);
        assert_int_equal(head.length, answers[i].length);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_read), cmocka_unit_test(heads_are_read),  cmocka_unit_test(bad_heads_are_refused),
        cmocka_unit_test(limits_of_heads),  cmocka_unit_test(chunks_are_read), cmocka_unit_test(paths_and_queries),
        cmocka_unit_test(base64_in_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
