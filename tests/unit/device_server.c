/* A server whose graphics card is lost while it answers: who waits for an answer is told, as is whoever comes later; it
 * goes on telling so, and ends when it is asked to. The card is one of fibers, which is lost after so many waits.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "backend/gpu/fibers/fiber_device.h"
#include "plan/plan.h"
#include "server/server.h"
#include "toy.h"

enum { ANSWER = 1 << 16 };

static char folder[] = TOY_FOLDER, place[64];
static const so_gpu_driver *real;
static so_gpu_driver driver;
static so_device *device;
static atomic_int lost_after = -1; /* waits until the device is lost; -1: never */
static volatile sig_atomic_t stop;

static void wait_or_lose(void *self)
{
    real->wait(self);
    if (lost_after > 0) lost_after--;
    if (lost_after == 0) so_gpu_fail(device, SO_ERR_IO, "waiting: the device is lost: start the program again");
}

static so_status open_model(void *context, so_model **model, so_error *error)
{
    so_gpu_opened opened;
    (void)context;
    *model = NULL;
    SO_TRY(so_fibers_driver(&opened, &(so_fibers_options){.subgroup = 8, .seed = 2}, error));
    real = opened.driver;
    driver = *real;
    driver.wait = wait_or_lose;
    opened.driver = &driver;
    SO_TRY(so_gpu_open(&device, &opened, error));
    return so_model_open_on(model, folder, &(so_model_options){.threads = 1, .context = 128}, device, error);
}

static void *serve(void *context)
{
    const char *listen[] = {place, NULL};
    so_server_options o = {.open = open_model, .listen = listen, .sessions = 2, .speaking = 1, .drain_s = 5};
    o.session.max_text = 40;
    static so_error error;
    so_status status = so_server_run(&o, &stop, &error);
    if (status != SO_OK) fprintf(stderr, "# the server ended: %s\n", error.text);
    *(so_status *)context = status;
    return NULL;
}

/* What is answered to a request, as text; false: nobody is there. */
static bool ask(const char *method, const char *path, const char *body, char *out)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    char head[512];
    size_t n = 0;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(at.sun_path, sizeof at.sun_path, "%s", place + strlen("unix:"));
    *out = 0;
    if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof at) != 0) {
        if (fd >= 0) close(fd);
        return false;
    }
    snprintf(head, sizeof head,
             "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
             "Content-Length: %zu\r\n\r\n",
             method, path, strlen(body));
    bool sent = write(fd, head, strlen(head)) == (ssize_t)strlen(head) &&
                write(fd, body, strlen(body)) == (ssize_t)strlen(body);
    for (ssize_t got = 1; sent && got > 0 && n<ANSWER - 1; n += got> 0 ? (size_t)got : 0)
        got = read(fd, out + n, ANSWER - 1 - n);
    out[n] = 0;
    close(fd);
    return n > 0;
}

static const char question[] =
    "{\"messages\": [{\"role\": \"user\", \"content\": \"where is the cat?\"}], \"max_tokens\": 30}";

static void *ask_in_a_thread(void *out)
{
    ask("POST", "/v1/chat/completions", question, out);
    return NULL;
}

static void told_of_it(const char *answer)
{
    if (!strstr(answer, "503 ") || !strstr(answer, "device_lost") || !strstr(answer, "start the program again"))
        fail_msg("expected 503, device_lost and what to do, found:\n%s", answer);
}

static void a_server_outlives_its_card(void **state)
{
    (void)state;
    static char out[3][ANSWER];
    pthread_t server, client[2];
    so_status status = SO_ERR_STATE;
    snprintf(place, sizeof place, "unix:/tmp/so-lost-%ld", (long)getpid());
    assert_int_equal(pthread_create(&server, NULL, serve, &status), 0);
    for (int i = 0; i < 6000 && !(ask("GET", "/health", "", out[0]) && strstr(out[0], " 200 ")); i++) usleep(10000);
    assert_non_null(strstr(out[0], " 200 "));
    assert_true(ask("POST", "/v1/chat/completions", question, out[0]));
    if (!strstr(out[0], " 200 ")) fail_msg("%s", out[0]);
    lost_after = 3;
    for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(&client[i], NULL, ask_in_a_thread, out[i]), 0);
    for (int i = 0; i < 2; i++) {
        pthread_join(client[i], NULL);
        told_of_it(out[i]);
    }
    assert_true(ask("GET", "/health", "", out[2]));
    told_of_it(out[2]);
    assert_true(ask("POST", "/v1/chat/completions", question, out[2]));
    told_of_it(out[2]);
    assert_true(ask("GET", "/version", "", out[2]));
    assert_non_null(strstr(out[2], " 200 "));
    stop = 1;
    pthread_join(server, NULL);
    assert_int_equal(status, SO_OK);
}

static int make(void **state)
{
    so_model *m = NULL;
    (void)state;
    int failed = toy_open(&m, folder, 1, 128);
    so_model_close(&m);
    return failed;
}

static int clear(void **state)
{
    so_model *none = NULL;
    (void)state;
    return toy_close(&none, folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_server_outlives_its_card)};
    return cmocka_run_group_tests(tests, make, clear);
}
