/* CosyVoice's server: what is asked, sample for sample what comes, and one that never answers.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "dataset/voices/cosyvoice.h"
#include "dataset/voices/speaker.h"

static int listening;
static char asked[4096];

static int listen_on(char url[64])
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof a;
    listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listening, (struct sockaddr *)&a, size), 0);
    assert_int_equal(listen(listening, 4), 0);
    assert_int_equal(getsockname(listening, (struct sockaddr *)&a, &size), 0);
    return snprintf(url, 64, "cosyvoice+http://127.0.0.1:%d/", ntohs(a.sin_port));
}

/* One request whose form ends with "=ann", and four samples: 1, -1, 256, the lowest. */
static void *answer(void *unused)
{
    static const char reply[] = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n\x01\x00\xff\xff\x00\x01\x00\x80";
    (void)unused;
    int c = accept(listening, NULL, NULL);
    for (size_t n = 0; !strstr(asked, "=ann");) {
        ssize_t got = recv(c, asked + n, sizeof asked - 1 - n, 0);
        if (got <= 0) break;
        n += (size_t)got;
    }
    send(c, reply, sizeof reply - 1, MSG_NOSIGNAL);
    close(c);
    return NULL;
}

static void samples_are_those_that_were_sent(void **state)
{
    static const float expected[4] = {1 / 32768.0f, -1 / 32768.0f, 256 / 32768.0f, -1};
    char url[64];
    so_cosyvoice server;
    so_audio audio;
    so_error error;
    pthread_t thread;
    (void)state;
    listen_on(url);
    assert_int_equal(pthread_create(&thread, NULL, answer, NULL), 0);
    assert_int_equal(so_cosyvoice_parse(url, &server, &error), SO_OK);
    if (so_cosyvoice_speak(&server, NULL, "ann", "Hi & \xc3\xa9", 30, &audio, &error) != SO_OK)
        fail_msg("%s", error.text);
    pthread_join(thread, NULL);
    assert_int_equal(audio.n, 4);
    assert_int_equal(audio.rate, 22050);
    assert_memory_equal(audio.samples, expected, sizeof expected);
    assert_int_equal(strncmp(asked, "POST /inference_sft HTTP/1.1\r\n", 30), 0);
    assert_non_null(strstr(asked, "\r\n\r\ntts_text=Hi%20%26%20%C3%A9&spk_id=ann"));
    so_audio_clear(&audio);
    close(listening);
}

/* The kernel takes the connection, nobody answers. */
static void one_that_never_answers_is_given_up(void **state)
{
    char url[64];
    so_speakers *s;
    so_error error;
    float *x;
    int64_t n, times, failed;
    (void)state;
    listen_on(url);
    const so_speakers_options options = {.engines = "command", .endpoint = url, .voices = "ann", .seconds = 0.2};
    assert_int_equal(so_speakers_open(&s, &options, &error), SO_OK);
    assert_int_equal(so_speakers_speak(s, 0, "Hello.", 1, &x, &n, &error), SO_ERR_STATE);
    assert_null(x);
    assert_non_null(strstr(error.text, "cosyvoice voice 'ann' did not say 'Hello.'"));
    assert_non_null(strstr(error.text, "timed out"));
    so_speakers_counts(s, 0, &times, &failed);
    assert_int_equal(times, 1);
    assert_int_equal(failed, 1);
    close(listening);
    assert_int_equal(so_speakers_speak(s, 0, "Hello.", 1, &x, &n, &error), SO_ERR_IO); /* nobody is there any more */
    so_speakers_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(samples_are_those_that_were_sent),
                                       cmocka_unit_test(one_that_never_answers_is_given_up)};
    setenv("no_proxy", "*", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
