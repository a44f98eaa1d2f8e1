/* Ranks: processes that train one model together, on one machine or on many.
 *
 * Training needs of them only two things: everybody gives everybody a piece (exchange), and everybody shows everybody a
 * piece (gather). Nobody adds anything up on the way, so that sums are made in an order of our own (train/share.h).
 *
 *     shared memory   processes of one machine, which their parent has forked   so_region_open, then so_ranks_join
 *     MPI             processes that mpirun or srun started                     so_ranks_mpi
 *
 * MPI lives in a module of its own (stream-omni-mpi.so) that is opened when it is asked for: nothing else needs MPI.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TRAIN_RANKS_H
#define SO_TRAIN_RANKS_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum {
    SO_RANKS_MOST = 256,
    SO_RANKS_LOST = 75 /* exit status of a run that lost a rank: worth another try */
};

typedef struct so_ranks so_ranks;
struct so_ranks {
    int rank, size;
    const char *kind;
    void *context;
    double patience; /* so_ranks_patience */
    /* One thread calls these at a time.
     * Piece q of send [size][each] goes to rank q; receive [size][each] holds what rank q had for this one. All ranks
     * call it with the same `each` (bytes). */
    so_status (*exchange)(so_ranks *ranks, const void *send, void *receive, size_t each, so_error *error);
    /* all [size][each] holds everybody's `mine`. With 0 bytes: everybody waits for everybody. */
    so_status (*gather)(so_ranks *ranks, const void *mine, void *all, size_t each, so_error *error);
    /* Ends every rank, this one with `status`. Does not come back. */
    void (*abort)(so_ranks *ranks, int status);
    void (*close)(so_ranks *ranks);
};

void so_ranks_close(so_ranks **ranks);
/* From now on a rank that others wait for longer than so many seconds is named, and all are ended: MPI's with
 * SO_RANKS_LOST, those of this machine by their parent (so_ranks_run). 0: whoever waits waits for ever, as while one
 * reads corpora or does a part of the work alone. All ranks call it. */
void so_ranks_patience(so_ranks *ranks, double seconds);

/* ---- processes of one machine */
typedef struct so_region so_region;
/* Memory that `size` processes will share; opened before they are forked. SO_ERR_ARG unless 1 to SO_RANKS_MOST. */
so_status so_region_open(so_region **region, int size, so_error *error);
void so_region_close(so_region **region);
/* In the process that is rank `rank`. The region is lent. Whoever forked them ends the others when one dies
 * (base/child.h does). */
so_status so_ranks_join(so_region *region, int rank, so_ranks **ranks, so_error *error);

/* What is looked after while ranks train. */
typedef struct so_ranks_watch {
    const volatile sig_atomic_t *stop; /* may be NULL */
    bool lost;                         /* set: a rank died or did not come; the run is worth another try */
} so_ranks_watch;

/* Runs `work` in `size` processes of this machine that train together, and waits for all. A failure of one ends the
 * others (base/child.h), as does *stop. `ranks` is closed by this, not by the work. */
typedef so_status (*so_ranks_work)(void *context, so_ranks *ranks, so_error *error);
so_status so_ranks_run(int size, so_ranks_work work, void *context, so_ranks_watch *watch, so_error *error);

/* ---- processes that a launcher started */
/* Whether mpirun, or srun with PMI, started this process as one of several. */
bool so_ranks_launched(void);
/* SO_ERR_MISSING when the module or MPI is not there, saying where it was looked for and what package brings it. */
so_status so_ranks_mpi(so_ranks **ranks, so_error *error);
/* What the module offers. */
#define SO_RANKS_MPI_OPEN "so_ranks_mpi_open"
typedef so_status (*so_ranks_open_fn)(so_ranks **ranks, so_error *error);

#endif
