/* Ranks that MPI started: a module of its own, which train/ranks.c opens (stream-omni-mpi.so).
 *
 * Source: MPI 3.1, chapters 5 (collective communication) and 8 (errors).
 * SPDX-License-Identifier: Apache-2.0 */
#include <mpi.h>
#include <stdlib.h>

#include "train/ranks.h"

/* MPI counts with an int: large pieces travel in blocks of this many bytes, which they are rounded up to. */
enum { BLOCK = 4096 };

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
    *type = blocks ? *(MPI_Datatype *)ranks->context : MPI_BYTE;
    return (int)(blocks ? each / BLOCK : each);
}

static so_status check(size_t each, so_error *error)
{
    if (each < (size_t)1 << 30 || each % BLOCK == 0) return SO_OK;
    return so_fail(error, SO_ERR_ARG, "%zu bytes for a rank, expected a multiple of %d when over 1 GiB", each, BLOCK);
}

static so_status mpi_exchange(so_ranks *ranks, const void *send, void *receive, size_t each, so_error *error)
{
    MPI_Datatype type;
    SO_TRY(check(each, error));
    int count = counted(ranks, each, &type);
    return told(MPI_Alltoall(send, count, type, receive, count, type, MPI_COMM_WORLD), "an exchange", error);
}

static so_status mpi_gather(so_ranks *ranks, const void *mine, void *all, size_t each, so_error *error)
{
    MPI_Datatype type;
    SO_TRY(check(each, error));
    if (each == 0) return told(MPI_Barrier(MPI_COMM_WORLD), "waiting", error);
    int count = counted(ranks, each, &type);
    return told(MPI_Allgather(mine, count, type, all, count, type, MPI_COMM_WORLD), "a gathering", error);
}

static void mpi_abort(so_ranks *ranks, int status)
{
    (void)ranks;
    MPI_Abort(MPI_COMM_WORLD, status);
    exit(status);
}

static void mpi_close(so_ranks *ranks)
{
    MPI_Type_free(ranks->context);
    free(ranks->context);
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
    MPI_Datatype *block = malloc(sizeof(MPI_Datatype));
    if (!ranks || !block) {
        free(ranks);
        free(block);
        return so_fail(error, SO_ERR_NOMEM, "no memory for a rank");
    }
    MPI_Type_contiguous(BLOCK, MPI_BYTE, block);
    MPI_Type_commit(block);
    *ranks = (so_ranks){rank, size, "MPI", block, mpi_exchange, mpi_gather, mpi_abort, mpi_close};
    *out = ranks;
    return SO_OK;
}
