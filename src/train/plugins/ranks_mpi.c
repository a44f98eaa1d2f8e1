/* Ranks that MPI started: a module of its own, which train/ranks.c opens (stream-omni-mpi.so).
 *
 * Nobody waits inside of MPI, where a processor would be kept busy and nobody could look at the clock: what is under
 * way is asked about, with rests between, and whoever has waited too long calls the roll.
 *
 * Source: MPI 3.1, chapters 5 (collective communication) and 8 (errors).
 * SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "train/ranks.h"

/* MPI counts with an int: large pieces travel in blocks of this many bytes, which they are rounded up to. */
enum { BLOCK = 4096 };
enum { CALL = 1, HERE = 2 };  /* messages without content: "are you waiting, too?", "yes" */
static const double ROLL = 5; /* seconds that an answer may take */

typedef struct world {
    MPI_Datatype block;
    MPI_Comm calls; /* for CALL and HERE */
} world;

static so_status told(int code, const char *what, so_error *error)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int n = 0;
    if (code == MPI_SUCCESS) return SO_OK;
    MPI_Error_string(code, text, &n);
    return so_fail(error, SO_ERR_IO, "%s between ranks failed: %s", what, text);
}

/* The type and the count of `each` bytes. */
static int counted(so_ranks *ranks, size_t each, MPI_Datatype *type)
{
    bool blocks = each % BLOCK == 0;
    *type = blocks ? ((world *)ranks->context)->block : MPI_BYTE;
    return (int)(blocks ? each / BLOCK : each);
}

static so_status check(size_t each, so_error *error)
{
    if (each < (size_t)1 << 30 || each % BLOCK == 0) return SO_OK;
    return so_fail(error, SO_ERR_ARG, "%zu bytes for a rank, expected a multiple of %d when over 1 GiB", each, BLOCK);
}

/* ---- waiting */

/* At first short rests, which a quick network fills; then such as cost nothing. */
static void rest(int64_t turn)
{
    long nanoseconds = turn < 50 ? 10000 : turn < 200 ? 50000 : 200000;
    nanosleep(&(struct timespec){.tv_nsec = nanoseconds}, NULL);
}

/* Takes a message of a kind, if one has come: from whom, else -1. */
static int take(const world *w, int kind)
{
    int there = 0;
    MPI_Status from;
    MPI_Iprobe(MPI_ANY_SOURCE, kind, w->calls, &there, &from);
    if (!there) return -1;
    MPI_Recv(NULL, 0, MPI_BYTE, from.MPI_SOURCE, kind, w->calls, MPI_STATUS_IGNORE);
    return from.MPI_SOURCE;
}

/* Without waiting for whoever is to get it. */
static void say(const world *w, int to, int kind)
{
    MPI_Request request;
    MPI_Isend(NULL, 0, MPI_BYTE, to, kind, w->calls, &request);
    MPI_Request_free(&request);
}

static void answer(const world *w)
{
    for (int from = take(w, CALL); from >= 0; from = take(w, CALL)) say(w, from, HERE);
}

/* Whoever waits, too, answers; those that do not are named, and the end of all is asked for. */
static void call_roll(so_ranks *ranks, double waited)
{
    const world *w = ranks->context;
    char late[200] = "";
    bool *here = calloc((size_t)ranks->size, sizeof *here);
    if (!here) return;
    int missing = ranks->size - 1;
    for (int q = 0; q < ranks->size; q++)
        if (q != ranks->rank) say(w, q, CALL);
    double from = MPI_Wtime();
    for (int64_t turn = 0; missing > 0 && MPI_Wtime() - from < ROLL; turn++) {
        answer(w);
        for (int q = take(w, HERE); q >= 0; q = take(w, HERE)) {
            missing -= !here[q];
            here[q] = true;
        }
        rest(turn);
    }
    for (int q = 0; q < ranks->size && missing > 0; q++) {
        size_t used = strlen(late);
        if (q != ranks->rank && !here[q] && used + 8 < sizeof late)
            snprintf(late + used, sizeof late - used, "%s%d", used ? ", " : "", q + 1);
    }
    free(here);
    if (missing == 0) return;
    fprintf(stderr, "error: rank %s of %d has not come for %.0f s, and the others wait for it\n", late, ranks->size,
            waited + ROLL);
    MPI_Abort(MPI_COMM_WORLD, SO_RANKS_LOST);
    exit(SO_RANKS_LOST);
}

/* What was begun ends. */
static so_status finish(so_ranks *ranks, int code, MPI_Request *request, const char *what, so_error *error)
{
    int done = 0;
    double from = MPI_Wtime();
    SO_TRY(told(code, what, error));
    for (int64_t turn = 0;; turn++) {
        SO_TRY(told(MPI_Test(request, &done, MPI_STATUS_IGNORE), what, error));
        if (done) return SO_OK;
        answer(ranks->context);
        double waited = MPI_Wtime() - from;
        if (ranks->patience > 0 && waited > ranks->patience) {
            call_roll(ranks, waited);
            from = MPI_Wtime(); /* all are there: it is the network that is slow */
        }
        rest(turn);
    }
}

static so_status mpi_exchange(so_ranks *ranks, const void *send, void *receive, size_t each, so_error *error)
{
    MPI_Datatype type;
    MPI_Request request;
    SO_TRY(check(each, error));
    int count = counted(ranks, each, &type);
    int code = MPI_Ialltoall(send, count, type, receive, count, type, MPI_COMM_WORLD, &request);
    return finish(ranks, code, &request, "an exchange", error);
}

static so_status mpi_gather(so_ranks *ranks, const void *mine, void *all, size_t each, so_error *error)
{
    MPI_Datatype type;
    MPI_Request request;
    SO_TRY(check(each, error));
    if (each == 0) return finish(ranks, MPI_Ibarrier(MPI_COMM_WORLD, &request), &request, "waiting", error);
    int count = counted(ranks, each, &type);
    int code = MPI_Iallgather(mine, count, type, all, count, type, MPI_COMM_WORLD, &request);
    return finish(ranks, code, &request, "a gathering", error);
}

static void mpi_abort(so_ranks *ranks, int status)
{
    (void)ranks;
    MPI_Abort(MPI_COMM_WORLD, status);
    exit(status);
}

static void mpi_close(so_ranks *ranks)
{
    world *w = ranks->context;
    answer(w); /* of somebody who called while the last meeting ended */
    MPI_Type_free(&w->block);
    MPI_Comm_free(&w->calls);
    free(w);
    free(ranks);
    MPI_Finalize();
}

/* What train/ranks.c looks for by name. */
so_status so_ranks_mpi_open(so_ranks **out, so_error *error);
so_status so_ranks_mpi_open(so_ranks **out, so_error *error)
{
    int rank = 0, size = 1, begun = 0, given = 0;
    *out = NULL;
    MPI_Initialized(&begun);
    if (begun) return so_fail(error, SO_ERR_STATE, "MPI is open already");
    SO_TRY(told(MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &given), "opening MPI", error));
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    so_ranks *ranks = malloc(sizeof *ranks);
    world *w = malloc(sizeof *w);
    if (!ranks || !w) {
        free(ranks);
        free(w);
        return so_fail(error, SO_ERR_NOMEM, "no memory for a rank");
    }
    MPI_Comm_dup(MPI_COMM_WORLD, &w->calls);
    MPI_Type_contiguous(BLOCK, MPI_BYTE, &w->block);
    MPI_Type_commit(&w->block);
    *ranks = (so_ranks){.rank = rank,
                        .size = size,
                        .kind = "MPI",
                        .context = w,
                        .exchange = mpi_exchange,
                        .gather = mpi_gather,
                        .abort = mpi_abort,
                        .close = mpi_close};
    *out = ranks;
    return SO_OK;
}
