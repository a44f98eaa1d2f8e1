/* Child processes, and their ends told truly.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "base/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif
#include <sys/wait.h>
#include <unistd.h>

#include "base/writer.h"

so_status so_child_status(int status, const char *what, so_error *error)
{
    if (WIFSIGNALED(status))
        return so_fail(error, SO_ERR_STATE, "%s was ended by signal %d (%s)", what, WTERMSIG(status),
                       strsignal(WTERMSIG(status)));
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return so_fail(error, SO_ERR_STATE, "%s ended with status %d", what, WEXITSTATUS(status));
    return SO_OK;
}

so_status so_child_wait(pid_t child, const char *what, so_error *error)
{
    int status = 0;
    for (;;) {
        pid_t ended = waitpid(child, &status, 0);
        if (ended == child) return so_child_status(status, what, error);
        if (ended < 0 && errno == EINTR) continue;
        return so_fail(error, SO_ERR_STATE, "%s cannot be waited for: %s", what, strerror(errno));
    }
}

/* ---- several at once */

/* What a child that fails sends before it ends; smaller than PIPE_BUF, so that they may share one pipe. */
typedef struct report {
    int number;
    so_error error;
} report;

typedef struct brood {
    pid_t pid[SO_CHILDREN_MOST]; /* 0: ended */
    int n, living;
    const char *what;
    so_status status; /* of the first failure */
    double failed;    /* when */
    bool lost;        /* it was no failure that a child told of */
    so_error *error;
} brood;

/* A child that is to end leaves no temporary. */
static void end_child(int number)
{
    so_writer_abandon(); /* getpid and unlink; NOLINT(bugprone-signal-handler,cert-sig30-c) */
    _exit(128 + number);
}

_Noreturn static void live(so_child_work work, void *context, int number, int fd, pid_t parent)
{
    report r;
    memset(&r, 0, sizeof r);
    r.number = number;
    signal(SIGINT, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, end_child);
#ifdef PR_SET_PDEATHSIG
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* nobody is left to hear of it */
    if (getppid() != parent) _exit(1);
#endif
    r.error.status = work(context, number, &r.error);
    if (r.error.status == SO_OK) _exit(0);
    (void)!write(fd, &r, sizeof r);
    _exit(1);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void end_all(const brood *b, int number)
{
    for (int i = 0; i < b->n; i++)
        if (b->pid[i]) kill(b->pid[i], number);
}

/* The first failure is told; the others, which it ends, are not. */
static void fail(brood *b, so_status status, const char *text)
{
    if (b->status != SO_OK) return;
    b->status = so_fail(b->error, status, "%s", text);
    b->failed = now();
    end_all(b, SIGTERM);
}

/* What the children have told until now. */
static void take_reports(brood *b, int fd)
{
    report r;
    char text[sizeof r.error.text];
    for (;;) {
        ssize_t n = read(fd, &r, sizeof r);
        if (n < 0 && errno == EINTR) continue;
        if (n != (ssize_t)sizeof r) return;
        r.error.text[sizeof r.error.text - 1] = 0;
        int used = snprintf(text, sizeof text, "%s %d of %d: ", b->what, r.number + 1, b->n);
        snprintf(text + used, sizeof text - (size_t)used, "%s", r.error.text);
        fail(b, r.error.status, text);
    }
}

/* Children that have ended. One that failed has told why before it did. */
static void take_ends(brood *b, int fd)
{
    for (int i = 0; i < b->n; i++) {
        int status = 0;
        char name[128];
        so_error end = {0};
        if (!b->pid[i]) continue;
        pid_t ended = waitpid(b->pid[i], &status, WNOHANG);
        if (ended == 0 || (ended < 0 && errno == EINTR)) continue;
        b->pid[i] = 0;
        b->living--;
        snprintf(name, sizeof name, "%.100s %d of %d", b->what, i + 1, b->n);
        if (ended > 0 && so_child_status(status, name, &end) == SO_OK) continue;
        take_reports(b, fd);
        b->lost = b->lost || (b->status == SO_OK && ended > 0 && WIFSIGNALED(status));
        fail(b, SO_ERR_STATE, ended > 0 ? end.text : name);
    }
}

static void start(brood *b, so_child_work work, void *context, const int ends[2], int n)
{
    for (; b->n < n; b->n++) {
        char text[256];
        pid_t parent = getpid(), pid = fork();
        if (pid == 0) {
            close(ends[0]);
            live(work, context, b->n, ends[1], parent);
        }
        if (pid < 0) {
            snprintf(text, sizeof text, "%.100s %d of %d cannot be started: %s", b->what, b->n + 1, n, strerror(errno));
            fail(b, SO_ERR_NOMEM, text);
            return;
        }
        b->pid[b->n] = pid;
        b->living++;
    }
}

static void look(brood *b, const so_children_watch *watch)
{
    so_error error;
    if (watch->stop && *watch->stop) fail(b, SO_ERR_STOPPED, "stopped as asked");
    if (b->status == SO_OK && watch->look && watch->look(watch->context, &error) != SO_OK) {
        b->lost = true;
        fail(b, error.status, error.text);
    }
    /* One that stands still does not hear it. */
    if (b->status != SO_OK && now() - b->failed > SO_CHILDREN_GRACE) end_all(b, SIGKILL);
}

so_status so_children_run(int n, const char *what, so_child_work work, void *context, const volatile sig_atomic_t *stop,
                          so_error *error)
{
    return so_children_run_watched(n, what, work, context, &(so_children_watch){.stop = stop}, error);
}

so_status so_children_run_watched(int n, const char *what, so_child_work work, void *context, so_children_watch *watch,
                                  so_error *error)
{
    int ends[2];
    brood b = {.what = what, .error = error};
    if (n < 1 || n > SO_CHILDREN_MOST)
        return so_fail(error, SO_ERR_ARG, "%d processes, expected 1..%d", n, SO_CHILDREN_MOST);
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
        return so_fail(error, SO_ERR_IO, "cannot open a pipe: %s", strerror(errno));
    start(&b, work, context, ends, n);
    close(ends[1]);
    while (b.living) {
        struct pollfd ready = {.fd = ends[0], .events = POLLIN};
        (void)poll(&ready, 1, 50);
        take_reports(&b, ends[0]);
        take_ends(&b, ends[0]);
        look(&b, watch);
    }
    take_reports(&b, ends[0]);
    close(ends[0]);
    watch->lost = b.lost;
    return b.status;
}
