/* Locks between processes.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "base/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static so_status taken(int fd, const char *what, so_error *error)
{
    char text[32] = "";
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    long pid = n > 0 ? strtol(text, NULL, 10) : 0;
    if (pid > 0) return so_fail(error, SO_ERR_STATE, "%s is in use by process %ld", what, pid);
    return so_fail(error, SO_ERR_STATE, "%s is in use by another process", what);
}

so_status so_lock_take(so_lock *lock, const char *path, const char *what, so_error *error)
{
    char text[32];
    lock->fd = 0;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) return so_fail(error, SO_ERR_IO, "cannot lock '%s': %s", path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        so_status status = errno == EWOULDBLOCK
                               ? taken(fd, what, error)
                               : so_fail(error, SO_ERR_IO, "cannot lock '%s': %s", path, strerror(errno));
        close(fd);
        return status;
    }
    int n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)n, 0) != n) { /* only the name of the owner is lost */
        close(fd);
        return so_fail(error, SO_ERR_IO, "cannot write '%s': %s", path, strerror(errno));
    }
    lock->fd = fd;
    return SO_OK;
}

void so_lock_release(so_lock *lock)
{
    if (lock->fd > 0) close(lock->fd);
    lock->fd = 0;
}
