/* Sockets to listen at.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/port.h"

enum { BACKLOG = 512 };

static int listen_at(const struct addrinfo *a)
{
    static const int one = 1;
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0) return fd;
    int reason = errno;
    close(fd);
    errno = reason;
    return -1;
}

so_status so_listen_tcp(const char *host, int port, int *fd, int *bound, so_error *error)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    char service[16];
    snprintf(service, sizeof service, "%d", port);
    int wrong = getaddrinfo(host, service, &hints, &list);
    if (wrong) return so_fail(error, SO_ERR_IO, "the address '%s': %s", host, gai_strerror(wrong));
    *fd = -1;
    for (struct addrinfo *a = list; a && *fd < 0; a = a->ai_next) *fd = listen_at(a);
    int reason = errno;
    freeaddrinfo(list);
    if (*fd < 0) return so_fail(error, SO_ERR_IO, "listening at %s port %d: %s", host, port, strerror(reason));
    struct sockaddr_storage own = {0};
    socklen_t size = sizeof own;
    getsockname(*fd, (struct sockaddr *)&own, &size);
    *bound = ntohs(own.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&own)->sin6_port
                                             : ((struct sockaddr_in *)&own)->sin_port);
    return SO_OK;
}

so_status so_listen_unix(const char *path, unsigned mode, int *fd, so_error *error)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof a.sun_path)
        return so_fail(error, SO_ERR_LIMIT, "the socket '%s' has a path of %zu bytes, at most %zu are possible", path,
                       strlen(path), sizeof a.sun_path - 1);
    strcpy(a.sun_path, path);
    *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (*fd < 0) return so_fail(error, SO_ERR_IO, "a unix socket: %s", strerror(errno));
    /* What an ended server left behind refuses connections. */
    struct stat about;
    if (lstat(path, &about) == 0 && S_ISSOCK(about.st_mode) && connect(*fd, (struct sockaddr *)&a, sizeof a) != 0 &&
        errno == ECONNREFUSED)
        unlink(path);
    mode_t before = umask(~(mode_t)mode & 0777);
    bool good = bind(*fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(*fd, BACKLOG) == 0;
    int reason = errno;
    umask(before);
    if (good) return SO_OK;
    close(*fd);
    *fd = -1;
    return so_fail(error, SO_ERR_IO, "listening at %s: %s", path, strerror(reason));
}
