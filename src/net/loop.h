/* Waiting for many descriptors at once: epoll behind one header, woken from other threads through a pipe.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_NET_LOOP_H
#define SO_NET_LOOP_H

#include <stdint.h>

#include "base/error.h"

typedef struct so_poll so_poll;

enum {
    SO_POLL_READ = 1,
    SO_POLL_WRITE = 2,
    SO_POLL_GONE =
        4 /* the other side sends no more; told unasked when both halves are closed or the connection is lost */
};

/* Hears what a descriptor is ready for. It may watch, change and forget any descriptor. */
typedef void (*so_poll_fn)(void *context, int fd, unsigned ready);

/* SO_ERR_IO, SO_ERR_NOMEM. */
so_status so_poll_open(so_poll **out, so_error *error);
void so_poll_close(so_poll **loop);

/* SO_ERR_IO, SO_ERR_NOMEM. */
so_status so_poll_watch(so_poll *loop, int fd, unsigned wanted, so_poll_fn fn, void *context, so_error *error);
void so_poll_change(so_poll *loop, int fd, unsigned wanted);
/* To be called before the descriptor is closed. What is known of it already is not told any more. */
void so_poll_forget(so_poll *loop, int fd);

/* Waits for at most `seconds` (negative: for ever) and tells what is ready. A signal ends the wait. */
so_status so_poll_turn(so_poll *loop, double seconds, so_error *error);
/* Ends the wait of the present or the next turn; from any thread and from signal handlers. */
void so_poll_wake(so_poll *loop);

/* Seconds of a clock that only goes forward. */
double so_poll_now(void);

#endif
