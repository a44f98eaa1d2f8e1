/* Ranks in shared memory, and the way to MPI's.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "train/ranks.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/child.h"
#include "base/module.h"

void so_ranks_close(so_ranks **ranks)
{
    if (*ranks && (*ranks)->close) (*ranks)->close(*ranks);
    *ranks = NULL;
}

/* ---- shared memory */

enum { STAGE = 1 << 20 /* bytes that a rank lays out for the others at a time */ };

struct so_region {
    size_t bytes;
    int size;
    pthread_barrier_t barrier;
    atomic_long came[SO_RANKS_MOST];    /* how often each rank has come to meet the others */
    atomic_long patience;               /* milliseconds that ranks wait for one of them; 0: for ever */
    _Alignas(64) unsigned char stage[]; /* [size][STAGE] */
};

so_status so_region_open(so_region **out, int size, so_error *error)
{
    *out = NULL;
    if (size < 1 || size > SO_RANKS_MOST)
        return so_fail(error, SO_ERR_ARG, "%d ranks, expected 1 to %d", size, SO_RANKS_MOST);
    size_t bytes = sizeof(so_region) + (size_t)size * STAGE;
    so_region *r = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (r == MAP_FAILED) return so_fail(error, SO_ERR_NOMEM, "no %zu bytes of memory for %d ranks", bytes, size);
    pthread_barrierattr_t attributes;
    pthread_barrierattr_init(&attributes);
    pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    int failed = pthread_barrier_init(&r->barrier, &attributes, (unsigned)size);
    pthread_barrierattr_destroy(&attributes);
    if (failed) {
        munmap(r, bytes);
        return so_fail(error, SO_ERR_STATE, "no barrier for %d ranks: %s", size, strerror(failed));
    }
    r->bytes = bytes;
    r->size = size;
    *out = r;
    return SO_OK;
}

/* The barrier is left as it is: a rank that was killed may have stood in it, and nobody will wait there again. */
void so_region_close(so_region **region)
{
    if (*region) munmap(*region, (*region)->bytes);
    *region = NULL;
}

static unsigned char *stage_of(so_region *r, int rank) { return r->stage + (size_t)rank * STAGE; }

static void wait_for_all(so_region *r, int rank)
{
    atomic_fetch_add(&r->came[rank], 1);
    pthread_barrier_wait(&r->barrier);
}

static so_status shared_exchange(so_ranks *ranks, const void *send, void *receive, size_t each, so_error *error)
{
    (void)error;
    so_region *r = ranks->context;
    size_t room = STAGE / (size_t)ranks->size;
    for (size_t from = 0; from < each; from += room) {
        size_t n = each - from < room ? each - from : room;
        for (int q = 0; q < ranks->size; q++)
            memcpy(stage_of(r, ranks->rank) + (size_t)q * room, (const char *)send + (size_t)q * each + from, n);
        wait_for_all(r, ranks->rank);
        for (int q = 0; q < ranks->size; q++)
            memcpy((char *)receive + (size_t)q * each + from, stage_of(r, q) + (size_t)ranks->rank * room, n);
        wait_for_all(r, ranks->rank);
    }
    return SO_OK;
}

static so_status shared_gather(so_ranks *ranks, const void *mine, void *all, size_t each, so_error *error)
{
    (void)error;
    so_region *r = ranks->context;
    if (each == 0) wait_for_all(r, ranks->rank);
    for (size_t from = 0; from < each; from += STAGE) {
        size_t n = each - from < STAGE ? each - from : STAGE;
        memcpy(stage_of(r, ranks->rank), (const char *)mine + from, n);
        wait_for_all(r, ranks->rank);
        for (int q = 0; q < ranks->size; q++) memcpy((char *)all + (size_t)q * each + from, stage_of(r, q), n);
        wait_for_all(r, ranks->rank);
    }
    return SO_OK;
}

static void shared_abort(so_ranks *ranks, int status)
{
    (void)ranks;
    _exit(status); /* the parent ends the others */
}

static void shared_close(so_ranks *ranks) { free(ranks); }

/* Of processes of this machine the first one's word counts: it is the last to go on to what is done alone. */
void so_ranks_patience(so_ranks *ranks, double seconds)
{
    if (!ranks) return;
    ranks->patience = seconds;
    if (ranks->close != shared_close || ranks->rank) return;
    so_region *r = ranks->context;
    atomic_store(&r->patience, (long)(seconds * 1000));
}

so_status so_ranks_join(so_region *region, int rank, so_ranks **out, so_error *error)
{
    *out = NULL;
    if (rank < 0 || rank >= region->size)
        return so_fail(error, SO_ERR_ARG, "rank %d, expected 0 to %d", rank, region->size - 1);
    so_ranks *ranks = malloc(sizeof *ranks);
    if (!ranks) return so_fail(error, SO_ERR_NOMEM, "no memory for a rank");
    *ranks = (so_ranks){.rank = rank,
                        .size = region->size,
                        .kind = "shared memory",
                        .context = region,
                        .exchange = shared_exchange,
                        .gather = shared_gather,
                        .abort = shared_abort,
                        .close = shared_close};
    *out = ranks;
    return SO_OK;
}

typedef struct together {
    so_region *region;
    so_ranks_work work;
    void *context;
} together;

static so_status be_a_rank(void *context, int number, so_error *error)
{
    const together *t = context;
    so_ranks *ranks;
    SO_TRY(so_ranks_join(t->region, number, &ranks, error));
    so_status status = t->work(t->context, ranks, error);
    so_ranks_close(&ranks);
    return status;
}

/* The parent's view: who others wait for, and since when. */
typedef struct vigil {
    const so_region *region;
    double since;  /* when anybody last came */
    long came;     /* of all together, then */
    long patience; /* then */
} vigil;

static double clock_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Whoever has come less often than another is waited for. */
static so_status look(void *context, so_error *error)
{
    vigil *v = context;
    const so_region *r = v->region;
    long all = 0, most = 0, patience = atomic_load(&r->patience);
    char late[200] = "";
    for (int i = 0; i < r->size; i++) {
        long came = atomic_load(&r->came[i]);
        all += came;
        if (came > most) most = came;
    }
    if (all != v->came || patience != v->patience) {
        v->came = all;
        v->patience = patience;
        v->since = clock_seconds();
    }
    bool late_enough = (clock_seconds() - v->since) * 1000 >= (double)patience;
    if (patience <= 0 || all == most * r->size || !late_enough) return SO_OK;
    for (int i = 0; i < r->size; i++) {
        size_t used = strlen(late);
        if (atomic_load(&r->came[i]) < most && used + 8 < sizeof late)
            snprintf(late + used, sizeof late - used, "%s%d", used ? ", " : "", i + 1);
    }
    return so_fail(error, SO_ERR_STATE, "rank %s of %d has not come for %.0f s, and the others wait for it", late,
                   r->size, clock_seconds() - v->since);
}

so_status so_ranks_run(int size, so_ranks_work work, void *context, so_ranks_watch *watch, so_error *error)
{
    together t = {NULL, work, context};
    SO_TRY(so_region_open(&t.region, size, error));
    vigil v = {.region = t.region, .since = clock_seconds()};
    so_children_watch children = {.stop = watch->stop, .look = look, .context = &v};
    so_status status = so_children_run_watched(size, "rank", be_a_rank, &t, &children, error);
    watch->lost = children.lost;
    so_region_close(&t.region);
    return status;
}

/* ---- MPI */

bool so_ranks_launched(void)
{
    static const char *const size_of[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"};
    for (size_t i = 0; i < sizeof size_of / sizeof *size_of; i++) {
        const char *size = getenv(size_of[i]);
        if (size && atoi(size) > 1) return true;
    }
    return getenv("PMIX_RANK") != NULL;
}

so_status so_ranks_mpi(so_ranks **out, so_error *error)
{
    char told[SO_MODULE_TRIED];
    so_ranks_open_fn open;
    *out = NULL;
    /* Open MPI's own plug-ins look for its symbols among everybody's. */
    void *module = so_module_open("stream-omni-mpi.so", "SO_MPI_MODULE", true, told);
    if (!module) {
        const char *why = dlerror();
        return so_fail(error, SO_ERR_MISSING,
                       "no module for MPI (%s): it is built where libopenmpi-dev is installed, and needs openmpi-bin; "
                       "the last try said: %s",
                       told, why ? why : "nothing");
    }
    *(void **)&open = dlsym(module, SO_RANKS_MPI_OPEN);
    if (!open) return so_fail(error, SO_ERR_FORMAT, "the module for MPI (%s) has no %s", told, SO_RANKS_MPI_OPEN);
    return open(out, error);
}
