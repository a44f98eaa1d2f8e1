/* Telling a service manager, and taking sockets from it.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "server/service.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { FIRST_FD = 3 };

bool so_service_tell(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t n = path ? strlen(path) : 0;
    if (n == 0 || n >= sizeof to.sun_path || (path[0] != '/' && path[0] != '@')) return false;
    memcpy(to.sun_path, path, n);
    if (path[0] == '@') to.sun_path[0] = 0;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return false;
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (path[0] == '/'));
    bool sent =
        sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&to, length) == (ssize_t)strlen(state);
    close(fd);
    return sent;
}

/* A variable's number within bounds, else 0. */
static long number_of(const char *name, long most)
{
    const char *text = getenv(name);
    char *end;
    if (!text || !text[0]) return 0;
    long value = strtol(text, &end, 10);
    return *end == 0 && value > 0 && value <= most ? value : 0;
}

int so_service_watchdog(void)
{
    long us = number_of("WATCHDOG_USEC", 1L << 40), pid = number_of("WATCHDOG_PID", 1L << 30);
    if (getenv("WATCHDOG_PID") && pid != (long)getpid()) return 0;
    long ms = us / 2000;
    return ms > 1 << 30 ? 1 << 30 : (int)(us && ms < 1 ? 1 : ms);
}

int so_service_sockets(int fd[SO_SERVICE_SOCKETS])
{
    long pid = number_of("LISTEN_PID", 1L << 30), n = number_of("LISTEN_FDS", SO_SERVICE_SOCKETS);
    int found = 0;
    for (int i = FIRST_FD; pid == (long)getpid() && i < FIRST_FD + n; i++) {
        struct stat st;
        if (fstat(i, &st) != 0 || !S_ISSOCK(st.st_mode)) continue;
        fcntl(i, F_SETFD, FD_CLOEXEC);
        fd[found++] = i;
    }
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return found;
}
