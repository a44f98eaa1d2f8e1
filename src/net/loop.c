/* Waiting for many descriptors at once: epoll.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "net/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 256 };

/* Of a descriptor. The generation tells a closed descriptor's last events from those of its successor. */
typedef struct watch {
    so_poll_fn fn; /* NULL: not watched */
    void *context;
    uint32_t generation;
} watch;

struct so_poll {
    int epoll, wake[2];
    watch *watched;
    int count;
};

double so_poll_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void on_wake(void *context, int fd, unsigned ready)
{
    char drop[256];
    (void)context, (void)ready;
    while (read(fd, drop, sizeof drop) > 0) {
    }
}

so_status so_poll_open(so_poll **out, so_error *error)
{
    *out = NULL;
    so_poll *l = calloc(1, sizeof *l);
    if (!l) return so_fail(error, SO_ERR_NOMEM, "no memory for an event loop");
    l->wake[0] = l->wake[1] = -1;
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll < 0 || pipe2(l->wake, O_NONBLOCK | O_CLOEXEC) != 0) {
        so_status status = so_fail(error, SO_ERR_IO, "an event loop: %s", strerror(errno));
        so_poll_close(&l);
        return status;
    }
    so_status status = so_poll_watch(l, l->wake[0], SO_POLL_READ, on_wake, NULL, error);
    if (status == SO_OK)
        *out = l;
    else
        so_poll_close(&l);
    return status;
}

void so_poll_close(so_poll **loop)
{
    if (!loop || !*loop) return;
    so_poll *l = *loop;
    for (int i = 0; i < 2; i++)
        if (l->wake[i] >= 0) close(l->wake[i]);
    if (l->epoll >= 0) close(l->epoll);
    free(l->watched);
    free(l);
    *loop = NULL;
}

static struct epoll_event wish(const so_poll *l, int fd, unsigned wanted)
{
    struct epoll_event e = {0};
    if (wanted & SO_POLL_GONE) e.events |= EPOLLRDHUP;
    if (wanted & SO_POLL_READ) e.events |= EPOLLIN;
    if (wanted & SO_POLL_WRITE) e.events |= EPOLLOUT;
    e.data.u64 = (uint64_t)l->watched[fd].generation << 32 | (uint32_t)fd;
    return e;
}

so_status so_poll_watch(so_poll *l, int fd, unsigned wanted, so_poll_fn fn, void *context, so_error *error)
{
    if (fd >= l->count) {
        int count = fd + fd / 2 + 64;
        watch *watched = realloc(l->watched, (size_t)count * sizeof *watched);
        if (!watched) return so_fail(error, SO_ERR_NOMEM, "no memory to watch %d descriptors", count);
        memset(watched + l->count, 0, (size_t)(count - l->count) * sizeof *watched);
        l->watched = watched;
        l->count = count;
    }
    l->watched[fd] = (watch){fn, context, l->watched[fd].generation + 1};
    struct epoll_event e = wish(l, fd, wanted);
    if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &e) == 0) return SO_OK;
    l->watched[fd].fn = NULL;
    return so_fail(error, SO_ERR_IO, "watching a descriptor: %s", strerror(errno));
}

void so_poll_change(so_poll *l, int fd, unsigned wanted)
{
    struct epoll_event e = wish(l, fd, wanted);
    epoll_ctl(l->epoll, EPOLL_CTL_MOD, fd, &e);
}

void so_poll_forget(so_poll *l, int fd)
{
    if (fd < 0 || fd >= l->count || !l->watched[fd].fn) return;
    l->watched[fd].fn = NULL;
    epoll_ctl(l->epoll, EPOLL_CTL_DEL, fd, NULL);
}

so_status so_poll_turn(so_poll *l, double seconds, so_error *error)
{
    struct epoll_event ready[EVENTS];
    int wait = seconds < 0 ? -1 : seconds > 3600 ? 3600000 : (int)(seconds * 1000 + 0.999);
    int n = epoll_wait(l->epoll, ready, EVENTS, wait);
    if (n < 0) return errno == EINTR ? SO_OK : so_fail(error, SO_ERR_IO, "waiting for events: %s", strerror(errno));
    for (int i = 0; i < n; i++) {
        int fd = (int)(uint32_t)ready[i].data.u64;
        const watch w = l->watched[fd]; /* the table may move while it is called */
        if (!w.fn || w.generation != (uint32_t)(ready[i].data.u64 >> 32)) continue;
        unsigned what = 0, e = ready[i].events;
        if (e & EPOLLIN) what |= SO_POLL_READ;
        if (e & EPOLLOUT) what |= SO_POLL_WRITE;
        if (e & (EPOLLHUP | EPOLLERR | EPOLLRDHUP)) what |= SO_POLL_GONE;
        w.fn(w.context, fd, what);
    }
    return SO_OK;
}

void so_poll_wake(so_poll *l)
{
    int before = errno;
    ssize_t n = write(l->wake[1], "", 1); /* a full pipe wakes as well */
    (void)n;
    errno = before;
}
