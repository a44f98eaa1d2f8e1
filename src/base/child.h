/* Child processes, and their ends told truly.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BASE_CHILD_H
#define SO_BASE_CHILD_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

/* Fails with SO_ERR_STATE unless a status of waitpid says that the child ended with 0: "`what` was ended by signal 9
 * (Killed)", "`what` ended with status 1". */
so_status so_child_status(int status, const char *what, so_error *error);
/* Waits for the child, through interruptions by signals, and tells of its end as above. */
so_status so_child_wait(pid_t child, const char *what, so_error *error);

/* What a child does: number 0 .. n - 1. What it prints and writes is its own affair; its failure is told here. */
typedef so_status (*so_child_work)(void *context, int number, so_error *error);

/* Runs the work in `n` processes at once (at most SO_CHILDREN_MOST) and waits for all. The first failure, told as
 * "`what` 2 of 4: ...", ends the others, as does *stop (may be NULL) once it is not 0, with SO_ERR_STOPPED. A child
 * that is ended removes its temporary files (base/writer.h) and does not see the terminal's Ctrl-C, which is the
 * parent's. */
enum {
    SO_CHILDREN_MOST = 256,
    SO_CHILDREN_GRACE = 3 /* seconds that one that is to end has for it */
};
so_status so_children_run(int n, const char *what, so_child_work work, void *context, const volatile sig_atomic_t *stop,
                          so_error *error);

/* What the parent looks after meanwhile. */
typedef struct so_children_watch {
    const volatile sig_atomic_t *stop; /* may be NULL */
    /* Called every 50 ms; a failure ends all children. May be NULL. */
    so_status (*look)(void *context, so_error *error);
    void *context;
    bool lost; /* set: a child was ended by a signal, or by `look`; it did not fail by itself */
} so_children_watch;
so_status so_children_run_watched(int n, const char *what, so_child_work work, void *context, so_children_watch *watch,
                                  so_error *error);

#endif
