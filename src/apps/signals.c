/* What ends the program from outside, and the descriptors that it starts with.
 *
 * A second is all that a user waits after Ctrl-C. Verbs that look at so_cli_stop end by themselves and say why; a timer
 * ends those that are deep in a product or a read, and every file under its final name is whole at any moment.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "apps/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdbool.h>
#include <time.h>
#include <unistd.h>

#include "apps/cli.h"
#include "base/writer.h"

volatile sig_atomic_t so_cli_stop;

static timer_t timer;
static bool has_timer;
static struct itimerspec grace = {.it_value = {0, 700000000}};

_Noreturn static void leave(int number)
{
    so_writer_abandon();
    _exit(128 + number);
}

static void on_signal(int number)
{
    int before = errno;
    if (so_cli_stop && number != SIGPIPE) leave(number);
    if (!so_cli_stop) {
        so_cli_stop = number;
        if (has_timer) timer_settime(timer, 0, &grace, NULL);
    }
    errno = before;
}

static void on_timer(int number)
{
    (void)number;
    if (so_cli_stop) leave(so_cli_stop);
}

/* A mapped file that is cut short while it is read raises this; whatever was being written is still under another name.
 */
static void on_lost_file(int number)
{
    static const char text[] =
        "error: a file that was being read (a model, most likely) was cut short by somebody else\n";
    (void)number;
    so_writer_abandon();
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0) _exit(SO_EXIT_USAGE);
    _exit(SO_EXIT_FAILURE);
}

static void handle(int number, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler};
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
}

void so_cli_grace(double seconds)
{
    double whole = floor(seconds);
    grace.it_value.tv_sec = (time_t)whole;
    grace.it_value.tv_nsec = (long)((seconds - whole) * 1e9);
}

void so_cli_catch(void)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
    struct sigaction hangup;
    handle(SIGBUS, on_lost_file);
    handle(SIGALRM, on_timer);
    handle(SIGXFSZ, SIG_IGN);
    has_timer = timer_create(CLOCK_MONOTONIC, &event, &timer) == 0;
    handle(SIGINT, on_signal);
    handle(SIGTERM, on_signal);
    handle(SIGPIPE, on_signal);
    if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler != SIG_IGN) handle(SIGHUP, on_signal);
}

void so_cli_secure(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
        /* The other way round: what is closed must not seem to work. */
        if (open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd) _exit(SO_EXIT_FAILURE);
    }
}
