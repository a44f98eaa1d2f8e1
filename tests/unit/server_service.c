/* What is told to a service manager, and what is taken from it.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/service.h"

/* A manager's socket, by path or by an abstract name. */
static void told_over(const char *name)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    char got[64] = "";
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    memcpy(at.sun_path, name, strlen(name));
    if (name[0] == '@') at.sun_path[0] = 0;
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name) + (name[0] == '/'));
    assert_int_equal(bind(fd, (struct sockaddr *)&at, length), 0);
    setenv("NOTIFY_SOCKET", name, 1);
    assert_true(so_service_tell("READY=1\nSTATUS=here"));
    assert_int_equal(recv(fd, got, sizeof got - 1, 0), 19);
    assert_string_equal(got, "READY=1\nSTATUS=here");
    close(fd);
    if (name[0] == '/') unlink(name);
    assert_false(so_service_tell("STOPPING=1"));
    unsetenv("NOTIFY_SOCKET");
}

static void a_manager_is_told(void **state)
{
    char name[64];
    (void)state;
    assert_false(so_service_tell("READY=1"));
    snprintf(name, sizeof name, "/tmp/so-service-%ld", (long)getpid());
    told_over(name);
    snprintf(name, sizeof name, "@so-service-%ld", (long)getpid());
    told_over(name);
    setenv("NOTIFY_SOCKET", "relative", 1);
    assert_false(so_service_tell("READY=1"));
    unsetenv("NOTIFY_SOCKET");
}

static void life_signs_are_as_often_as_asked(void **state)
{
    char pid[32];
    (void)state;
    assert_int_equal(so_service_watchdog(), 0);
    setenv("WATCHDOG_USEC", "3000000", 1);
    assert_int_equal(so_service_watchdog(), 1500);
    setenv("WATCHDOG_PID", "1", 1);
    assert_int_equal(so_service_watchdog(), 0);
    snprintf(pid, sizeof pid, "%ld", (long)getpid());
    setenv("WATCHDOG_PID", pid, 1);
    assert_int_equal(so_service_watchdog(), 1500);
    setenv("WATCHDOG_USEC", "soon", 1);
    assert_int_equal(so_service_watchdog(), 0);
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
}

/* In a child, whose descriptors from 3 on are the test's own. */
static int child_takes(bool mine)
{
    pid_t child = fork();
    if (child == 0) {
        char pid[32];
        int fd[SO_SERVICE_SOCKETS], found;
        int one = socket(AF_UNIX, SOCK_STREAM, 0), pipes[2];
        if (one != 3) dup2(one, 3);
        if (pipe(pipes) == 0 && pipes[0] != 4) dup2(pipes[0], 4); /* no socket: passed over */
        snprintf(pid, sizeof pid, "%ld", (long)getpid() + (mine ? 0 : 1));
        setenv("LISTEN_PID", pid, 1);
        setenv("LISTEN_FDS", "2", 1);
        found = so_service_sockets(fd);
        _exit(found == 1 && fd[0] != 3 ? 99 : getenv("LISTEN_FDS") ? 98 : found);
    }
    int status;
    waitpid(child, &status, 0);
    return WEXITSTATUS(status);
}

static void sockets_are_taken_when_they_are_meant_for_us(void **state)
{
    (void)state;
    int fd[SO_SERVICE_SOCKETS];
    assert_int_equal(so_service_sockets(fd), 0);
    assert_int_equal(child_takes(true), 1);
    assert_int_equal(child_takes(false), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_manager_is_told),
                                       cmocka_unit_test(life_signs_are_as_often_as_asked),
                                       cmocka_unit_test(sockets_are_taken_when_they_are_meant_for_us)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
