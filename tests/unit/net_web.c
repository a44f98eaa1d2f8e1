/* The HTTP floor on real sockets: raw bytes in every cut, floods, slow and vanished clients, TLS beside plain.
 *
 * The server runs in a thread of its own; its handler echoes bodies and messages, answers /health, and sends without
 * end at /endless.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "net/web.h"

enum { CONNECTIONS = 48, BODY = 1 << 20, MESSAGE = 1 << 16 };

typedef struct server {
    so_poll *loop;
    so_port *port;
    so_web_host *host;
    so_tls_context *tls;
    pthread_t thread;
    int number;
    atomic_int stop, over, lost, requests;
    atomic_ulong endless;
    _Atomic uint64_t given_up;
} server;
static server serving;

/* ---- the server */
static void on_head(void *context, so_web *w, const so_http_head *head)
{
    so_error error;
    (void)context;
    if (strcmp(head->target, "/health") == 0)
        so_web_reply(w, 200, "text/plain", "", "ok", 2);
    else if (head->websocket)
        assert_int_equal(so_web_upgrade(w, NULL, "", &error), SO_OK);
    else if (strcmp(head->target, "/endless") == 0)
        so_web_begin(w, 200, "text/plain", "");
    else if (strcmp(head->target, "/never") != 0)
        so_web_collect(w, BODY);
}

static void on_request(void *context, so_web *w, const void *body, size_t size)
{
    (void)context;
    serving.requests++;
    if (strcmp(w->head.target, "/pieces") == 0) {
        so_web_begin(w, 200, "text/plain", "");
        for (size_t i = 0; i < size; i++) so_web_piece(w, (const char *)body + i, 1);
        so_web_finish(w);
    } else
        so_web_reply(w, 200, "text/plain", "X-Test: 1\r\n", body, size);
}

static void on_message(void *context, so_web *w, bool text, const void *data, size_t size)
{
    (void)context;
    so_web_send(w, text, data, size);
}

static void on_room(void *context, so_web *w)
{
    static const char block[65536];
    (void)context;
    if (strcmp(w->head.target, "/endless") == 0 && so_web_piece(w, block, sizeof block))
        serving.endless += sizeof block;
}

static void on_over(void *context, so_web *w, bool lost)
{
    (void)context, (void)w;
    serving.over++;
    serving.lost += lost;
}

static void *serve(void *context)
{
    so_error error;
    (void)context;
    while (!serving.stop) {
        double wait = so_port_tend(serving.port);
        so_port_stats stats;
        so_port_about(serving.port, &stats);
        serving.given_up = stats.given_up;
        if (so_poll_turn(serving.loop, wait, &error) != SO_OK) break;
    }
    return NULL;
}

static int start(void **state)
{
    so_error error;
    int fd;
    const so_web_handler handler = {NULL, on_head, on_request, on_message, on_room, on_over, NULL};
    const so_web_options options = {.head = 3, .grace = 3, .rate = 1e6, .idle = 10, .quiet = 2.4, .message = MESSAGE};
    so_tls_files files;
    static char place[64];
    const char *const names[] = {"localhost", "127.0.0.1", NULL};
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    strcpy(place, "/tmp/so-web-XXXXXX");
    assert_non_null(mkdtemp(place));
    CHECK_OK(so_tls_make(place, names, &files, &error), error);
    CHECK_OK(so_tls_context_open(&serving.tls, files.chain, files.key, &error), error);
    struct stat about;
    assert_int_equal(stat(files.key, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
    CHECK_OK(so_poll_open(&serving.loop, &error), error);
    const so_port_options port = {.connections = CONNECTIONS, .tls = serving.tls, .stall = 3, .first = 3};
    CHECK_OK(so_port_open(&serving.port, serving.loop, &port, &error), error);
    CHECK_OK(so_web_host_open(&serving.host, &handler, &options, &error), error);
    CHECK_OK(so_listen_tcp("127.0.0.1", 0, &fd, &serving.number, &error), error);
    CHECK_OK(so_port_listen(serving.port, fd, so_web_protocol(serving.host), &error), error);
    assert_int_equal(pthread_create(&serving.thread, NULL, serve, NULL), 0);
    unlink(files.authority), unlink(files.chain), unlink(files.key), rmdir(place);
    return 0;
}

static int finish(void **state)
{
    (void)state;
    serving.stop = 1;
    so_poll_wake(serving.loop);
    pthread_join(serving.thread, NULL);
    so_port_close(&serving.port);
    so_web_host_close(&serving.host);
    so_poll_close(&serving.loop);
    so_tls_context_close(&serving.tls);
    return 0;
}

/* ---- a client */
static int dial(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)serving.number)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

static void say(int fd, const void *data, size_t n)
{
    const char *p = data;
    while (n) {
        ssize_t wrote = send(fd, p, n, MSG_NOSIGNAL);
        if (wrote <= 0) return; /* it was closed: the answer tells why */
        p += wrote;
        n -= (size_t)wrote;
    }
}

static void tell(int fd, const char *text) { say(fd, text, strlen(text)); }

/* What comes until the other side closes, or until `until` was read. Fails after two minutes of nothing. */
static const char *hear(int fd, const char *until)
{
    static char text[1 << 18];
    size_t n = 0;
    for (;;) {
        struct pollfd p = {fd, POLLIN, 0};
        text[n] = 0;
        if (until && strstr(text, until)) return text;
        if (poll(&p, 1, 120000) != 1) fail_msg("nothing came; so far: %s", text);
        ssize_t got = recv(fd, text + n, sizeof text - 1 - n, 0);
        if (got <= 0) return text;
        n += (size_t)got;
    }
}

static int descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int n = 0;
    while (readdir(folder)) n++;
    closedir(folder);
    return n;
}

static void healthy(void)
{
    int fd = dial();
    tell(fd, "GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_non_null(strstr(hear(fd, NULL), "\r\n\r\nok"));
    close(fd);
}

/* Waits, for at most two minutes, until a number is reached. */
static void reaches(const atomic_int *value, int least)
{
    for (int i = 0; i < 12000 && *value < least; i++) usleep(10000);
    assert_true(*value >= least);
}

/* ---- tests */
/* Two requests behind each other, cut in two at every byte: the same two answers. */
static void cut_at_every_byte(void **state)
{
    static const char text[] =
        "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
        "POST /pieces HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        "2\r\nde\r\n1\r\nf\r\n0\r\n\r\n";
    (void)state;
    for (size_t cut = 1; cut < sizeof text; cut++) {
        int fd = dial();
        say(fd, text, cut);
        if (cut % 8 == 0) usleep(1000); /* mostly one read, sometimes two */
        say(fd, text + cut, sizeof text - 1 - cut);
        const char *answer = hear(fd, NULL);
        if (!strstr(answer, "X-Test: 1\r\n\r\nabcHTTP/1.1 200 OK") ||
            !strstr(answer, "1\r\nd\r\n1\r\ne\r\n1\r\nf\r\n0\r\n\r\n"))
            fail_msg("cut at %zu: %s", cut, answer);
        close(fd);
    }
}

/* What is refused is answered and closed, and what stands behind it is never taken for a request. */
static void smuggling(void **state)
{
    static const char *const bad[] = {
        "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd",
        "POST /a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x\r\nabcde\r\n0\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n",
        "POST /a HTTP/1.1\nHost: a\n\n",
        "\x01\x02\x03\x04"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int fd = dial(), before = serving.requests;
        say(fd, bad[i], strlen(bad[i]));
        tell(fd, "GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
        const char *answer = hear(fd, NULL);
        if (strncmp(answer, "HTTP/1.1 400 Bad Request\r\n", 26) || strstr(answer, "\r\n\r\nok"))
            fail_msg("%s\nwas answered: %s", bad[i], answer);
        assert_non_null(strstr(answer, "Connection: close"));
        assert_int_equal(serving.requests, before);
        close(fd);
    }
}

static void bodies_above_the_limit(void **state)
{
    static char block[4096];
    (void)state;
    int fd = dial();
    tell(fd, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n"); /* told at once */
    assert_non_null(strstr(hear(fd, NULL), "413 Content Too Large"));
    close(fd);
    fd = dial();
    tell(fd, "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 300; i++) {
        tell(fd, "1000\r\n");
        say(fd, block, sizeof block);
        tell(fd, "\r\n");
    }
    assert_non_null(strstr(hear(fd, NULL), "413 Content Too Large"));
    close(fd);
    fd = dial();
    tell(fd, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    assert_non_null(strstr(hear(fd, "\r\n\r\n"), "100 Continue"));
    tell(fd, "ab");
    assert_non_null(strstr(hear(fd, "ab"), "200 OK"));
    close(fd);
}

/* A head and a body that do not come in time are answered 408; a client that says nothing is closed. */
static void slow_clients(void **state)
{
    (void)state;
    int head = dial(), body = dial(), silent = dial();
    tell(head, "GET / HTT");
    tell(body, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    assert_non_null(strstr(hear(head, NULL), "408 Request Timeout"));
    assert_non_null(strstr(hear(body, NULL), "408 Request Timeout"));
    assert_string_equal(hear(silent, NULL), "");
    close(head), close(body), close(silent);
}

/* More half heads than there are places: the next client is served all the same. */
static void half_open_flood(void **state)
{
    int fd[3 * CONNECTIONS];
    (void)state;
    uint64_t before = serving.given_up;
    for (int i = 0; i < 3 * CONNECTIONS; i++) {
        fd[i] = dial();
        tell(fd[i], "GET /he");
    }
    healthy();
    assert_true(serving.given_up > before);
    for (int i = 0; i < 3 * CONNECTIONS; i++) close(fd[i]);
}

static void keep_alive_clients_that_leave(void **state)
{
    (void)state;
    healthy();
    usleep(100000);
    int before = descriptors();
    for (int round = 0; round < 30; round++) {
        int fd[40];
        for (int i = 0; i < 40; i++) {
            fd[i] = dial();
            tell(fd[i], "GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
        }
        for (int i = 0; i < 40; i++) hear(fd[i], "\r\n\r\nok");
        for (int i = 0; i < 40; i++) close(fd[i]);
    }
    int after = descriptors();
    for (int i = 0; i < 500 && after > before; i++) {
        usleep(10000);
        after = descriptors();
    }
    assert_in_range(after, 0, before); /* fewer where the connection before was still being closed */
}

static int websocket(void)
{
    static const char text[] = "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                               "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    int fd = dial();
    say(fd, text, sizeof text - 1);
    assert_non_null(strstr(hear(fd, "\r\n\r\n"), "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
    return fd;
}

typedef struct flood {
    pthread_t thread;
    int fd;
    const char *what;
    size_t size;
    atomic_int stop;
} flood;

static void *send_flat_out(void *context)
{
    flood *f = context;
    while (!f->stop && send(f->fd, f->what, f->size, MSG_NOSIGNAL) > 0) {
    }
    return NULL;
}

/* Clients that send as fast as they can, and read nothing, do not keep others from being answered. */
static void flat_out_senders(void **state)
{
    static char pings[6 * 1000], body[65536], gets[34 * 100];
    static flood floods[3];
    (void)state;
    for (int i = 0; i < 1000; i++) memcpy(pings + 6 * i, "\x89\x80\0\0\0\0", 6);
    for (int i = 0; i < 100; i++) memcpy(gets + 34 * i, "GET /health HTTP/1.1\r\nHost: a\r\n\r\n", 34);
    floods[0] = (flood){.fd = websocket(), .what = pings, .size = sizeof pings};
    floods[1] = (flood){.fd = dial(), .what = body, .size = sizeof body};
    say(floods[1].fd, "GET /never HTTP/1.1\r\nHost: a\r\n\r\n", 33);
    floods[2] = (flood){.fd = dial(), .what = gets, .size = sizeof gets};
    for (int i = 0; i < 3; i++) pthread_create(&floods[i].thread, NULL, send_flat_out, &floods[i]);
    for (int i = 0; i < 50; i++) healthy();
    for (int i = 0; i < 3; i++) {
        floods[i].stop = 1;
        shutdown(floods[i].fd, SHUT_RDWR);
        pthread_join(floods[i].thread, NULL);
        close(floods[i].fd);
    }
}

/* Who does not read gets no more made than fits, and is given up after the stall. */
static void slow_reader(void **state)
{
    (void)state;
    int fd = dial(), lost = serving.lost;
    serving.endless = 0;
    tell(fd, "GET /endless HTTP/1.1\r\nHost: a\r\n\r\n");
    reaches(&serving.lost, lost + 1);
    assert_in_range(serving.endless, 1, 32 << 20); /* what the kernel's buffers took */
    close(fd);
}

static void a_client_that_leaves_is_noticed(void **state)
{
    (void)state;
    int lost = serving.lost, fd = dial();
    tell(fd, "GET /never HTTP/1.1\r\nHost: a\r\n\r\n");
    usleep(20000);
    close(fd);
    reaches(&serving.lost, lost + 1);
    fd = dial(); /* a complete answer is sent to one that closed its half */
    tell(fd, "GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
    shutdown(fd, SHUT_WR);
    assert_non_null(strstr(hear(fd, NULL), "\r\n\r\nok"));
    close(fd);
}

static void websockets_live_and_end(void **state)
{
    static char frame[6 + 8 + 200000];
    (void)state;
    int fd = websocket(), over = serving.over;
    say(fd, "\x81\x82\0\0\0\0hi", 8);
    assert_memory_equal(hear(fd, "hi"), "\x81\x02hi", 4);
    assert_memory_equal(hear(fd, NULL), "\x89\0\x89", 3); /* pinged while it is quiet; without an answer closed */
    reaches(&serving.over, over + 1);
    close(fd);
    fd = websocket();
    memcpy(frame, "\x82\xff\0\0\0\0\0\1\0\1\0\0\0\0", 14);
    say(fd, frame, 14 + MESSAGE + 1);
    assert_memory_equal(hear(fd, NULL), "\x88", 1);
    close(fd);
}

/* TLS and plain on one port. */
static void tls_beside_plain(void **state)
{
    (void)state;
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    char answer[1024];
    int fd = dial(), got, n = 0;
    SSL *ssl = SSL_new(context);
    SSL_set_fd(ssl, fd);
    assert_int_equal(SSL_connect(ssl), 1);
    X509 *own = SSL_get1_peer_certificate(ssl);
    assert_int_equal(X509_check_host(own, "localhost", 0, 0, NULL), 1);
    assert_int_equal(X509_check_ip_asc(own, "127.0.0.1", 0), 1);
    X509_free(own);
    SSL_write(ssl, "GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 53);
    while ((got = SSL_read(ssl, answer + n, (int)sizeof answer - 1 - n)) > 0) n += got;
    answer[n] = 0;
    assert_non_null(strstr(answer, "\r\n\r\nok"));
    SSL_free(ssl);
    close(fd);
    healthy();
    fd = dial();
    ssl = SSL_new(context);
    SSL_set_max_proto_version(ssl, TLS1_1_VERSION); /* too old */
    SSL_set_fd(ssl, fd);
    assert_int_not_equal(SSL_connect(ssl), 1);
    SSL_free(ssl);
    SSL_CTX_free(context);
    close(fd);
    fd = dial();
    tell(fd, "\x16garbage that is no handshake");
    hear(fd, NULL);
    close(fd);
    healthy();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cut_at_every_byte),
        cmocka_unit_test(smuggling),
        cmocka_unit_test(bodies_above_the_limit),
        cmocka_unit_test(slow_clients),
        cmocka_unit_test(half_open_flood),
        cmocka_unit_test(keep_alive_clients_that_leave),
        cmocka_unit_test(flat_out_senders),
        cmocka_unit_test(slow_reader),
        cmocka_unit_test(a_client_that_leaves_is_noticed),
        cmocka_unit_test(websockets_live_and_end),
        cmocka_unit_test(tls_beside_plain),
    };
    return cmocka_run_group_tests(tests, start, finish);
}
