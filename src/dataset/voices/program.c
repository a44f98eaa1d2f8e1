/* Running a program of somebody else's.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "dataset/voices/program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum { LOOK_MS = 100, BUSY = 10 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Seconds since this system began in which some process waited for a processor; 0 where the system does not tell. */
static double crowded(void)
{
    unsigned long long us = 0;
    FILE *f = fopen("/proc/pressure/cpu", "re");
    if (f && fscanf(f, "some avg10=%*f avg60=%*f avg300=%*f total=%llu", &us) != 1) us = 0;
    if (f) fclose(f);
    return 1e-6 * (double)us;
}

/* A limit of time. Time in which the machine had too much to do does not count, up to BUSY times the limit: a program
 * that is slow because others compute is no program that hangs. */
typedef struct limit {
    double seconds, begun, crowded;
} limit;

static bool is_over(const limit *l)
{
    double taken = now() - l->begun;
    if (taken <= l->seconds) return false;
    return taken > BUSY * l->seconds || taken - (crowded() - l->crowded) > l->seconds;
}

/* A child with its three pipes: 0 we write, 1 and 2 we read. */
typedef struct child {
    pid_t pid;
    int fd[3];
    size_t put, got, said; /* bytes so far */
    char first[200];       /* what it prints on standard error */
} child;

static void shut(int *fd)
{
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

static so_status start(const so_program *p, child *c, so_error *error)
{
    int ends[3][2] = {{-1, -1}, {-1, -1}, {-1, -1}};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t defaults, none;
    int failed = 0;
    for (int i = 0; i < 3 && !failed; i++) failed = pipe2(ends[i], O_CLOEXEC) != 0 ? errno : 0;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    for (int i = 0; i < 3 && !failed; i++) failed = posix_spawn_file_actions_adddup2(&actions, ends[i][i != 0], i);
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    sigaddset(&defaults, SIGINT);
    sigaddset(&defaults, SIGTERM);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setsigmask(&attributes, &none);
    if (!failed)
        failed = posix_spawnp(&c->pid, p->argv[0], &actions, &attributes, (char *const *)(uintptr_t)p->argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    for (int i = 0; i < 3; i++) {
        shut(&ends[i][i != 0]);
        c->fd[i] = ends[i][i == 0];
        if (failed)
            shut(&c->fd[i]);
        else
            fcntl(c->fd[i], F_SETFL, O_NONBLOCK);
    }
    if (failed == ENOENT) return so_fail(error, SO_ERR_MISSING, "no program '%s' is installed", p->argv[0]);
    return failed ? so_fail(error, SO_ERR_IO, "cannot start '%s': %s", p->argv[0], strerror(failed)) : SO_OK;
}

static void write_some(const so_program *p, child *c)
{
    size_t n = p->input ? strlen(p->input) - c->put : 0;
    ssize_t put = n ? write(c->fd[0], p->input + c->put, n) : 0;
    if (put > 0) c->put += (size_t)put;
    if (n == 0 || (put < 0 && errno != EAGAIN && errno != EINTR)) shut(&c->fd[0]);
}

/* Keeps what fits and lets the rest pass. */
static void read_some(int *fd, char *to, size_t size, size_t *have)
{
    char piece[4096];
    ssize_t n = read(*fd, piece, sizeof piece);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) shut(fd);
    size_t keep = n > 0 && size > 0 ? size - 1 - *have : 0;
    if (n > 0 && keep > (size_t)n) keep = (size_t)n;
    if (keep) memcpy(to + *have, piece, keep);
    *have += keep;
    if (size) to[*have] = 0;
}

static void look(const so_program *p, child *c)
{
    struct pollfd polled[3];
    for (int i = 0; i < 3; i++) polled[i] = (struct pollfd){c->fd[i], i == 0 ? POLLOUT : POLLIN, 0};
    if (poll(polled, 3, LOOK_MS) <= 0) return;
    if (polled[0].revents) write_some(p, c);
    if (polled[1].revents) read_some(&c->fd[1], p->output, p->output ? p->size : 0, &c->got);
    if (polled[2].revents) read_some(&c->fd[2], c->first, sizeof c->first, &c->said);
}

static so_status check_end(const so_program *p, child *c, int state, so_error *error)
{
    c->first[strcspn(c->first, "\n")] = 0;
    if (WIFEXITED(state) && WEXITSTATUS(state) == 0) return SO_OK;
    if (WIFEXITED(state) && WEXITSTATUS(state) == 127 && !c->first[0])
        return so_fail(error, SO_ERR_MISSING, "no program '%s' is installed", p->argv[0]);
    if (WIFEXITED(state))
        return so_fail(error, SO_ERR_STATE, "'%s' ended with status %d%s%s", p->argv[0], WEXITSTATUS(state),
                       c->first[0] ? ": " : "", c->first);
    return so_fail(error, SO_ERR_STATE, "'%s' was ended by signal %d", p->argv[0], WTERMSIG(state));
}

so_status so_program_run(const so_program *p, so_error *error)
{
    child c = {.fd = {-1, -1, -1}};
    limit most = {p->seconds > 0 ? p->seconds : 60, now(), crowded()};
    sigset_t pipes, before;
    so_status status = SO_OK;
    int state = 0;
    if (p->output && p->size) p->output[0] = 0;
    SO_TRY(start(p, &c, error));
    /* A program that does not read its input must not end this one. */
    sigemptyset(&pipes);
    sigaddset(&pipes, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipes, &before);
    bool ended = false;
    while (status == SO_OK && !ended) {
        bool open = c.fd[1] >= 0 || c.fd[2] >= 0;
        if (open) look(p, &c);
        pid_t got = waitpid(c.pid, &state, WNOHANG);
        ended = got == c.pid || (got < 0 && errno != EINTR);
        if (!ended && !open) nanosleep(&(struct timespec){0, 5000000}, NULL);
        if (!ended && p->stop && *p->stop)
            status = so_fail(error, SO_ERR_STOPPED, "'%s' was stopped", p->argv[0]);
        else if (!ended && is_over(&most))
            status = so_fail(error, SO_ERR_LIMIT, "'%s' took longer than %g s", p->argv[0], most.seconds);
    }
    /* What the pipes still hold; children of the child may keep them open. */
    for (int i = 0; i < 64 && ended && (c.fd[1] >= 0 || c.fd[2] >= 0); i++) {
        struct pollfd left = {c.fd[1] >= 0 ? c.fd[1] : c.fd[2], POLLIN, 0};
        if (poll(&left, 1, 0) <= 0) break;
        look(p, &c);
    }
    kill(-c.pid, SIGKILL);
    while (!ended && waitpid(c.pid, &state, 0) < 0 && errno == EINTR) {
    }
    for (int i = 0; i < 3; i++) shut(&c.fd[i]);
    sigtimedwait(&pipes, NULL, &(struct timespec){0, 0});
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return status == SO_OK ? check_end(p, &c, state, error) : status;
}

/* ---- command lines */

so_status so_program_split(const char *line, char *room, size_t size, const char *words[SO_PROGRAM_WORDS],
                           so_error *error)
{
    size_t used = 0;
    int n = 0;
    char quote = 0;
    bool inside = false;
    for (const char *p = line;; p++) {
        bool ends = *p == 0 || (!quote && (*p == ' ' || *p == '\t' || *p == '\n'));
        if (used + 2 > size) return so_fail(error, SO_ERR_LIMIT, "a command of more than %zu bytes", size);
        if (ends && quote)
            return so_fail(error, SO_ERR_FORMAT, "the command '%.60s' has a %c without its end", line, quote);
        if (ends && inside) room[used++] = 0, inside = false;
        if (*p == 0) break;
        if (ends) continue;
        if (!inside) {
            if (n == SO_PROGRAM_WORDS - 1)
                return so_fail(error, SO_ERR_LIMIT, "a command of more than %d words", SO_PROGRAM_WORDS - 1);
            words[n++] = room + used;
            inside = true;
        }
        if (quote && *p == quote)
            quote = 0;
        else if (!quote && (*p == '\'' || *p == '"'))
            quote = *p;
        else if (*p == '\\' && quote != '\'' && p[1])
            room[used++] = *++p;
        else
            room[used++] = *p;
    }
    words[n] = NULL;
    return n ? SO_OK : so_fail(error, SO_ERR_ARG, "an empty command");
}
