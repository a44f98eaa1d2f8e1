/* Writing a file: a regular one appears whole or not at all, anything else is written through.
 *
 * Symbolic links are followed to what they name. A regular file is replaced: bytes go to "<name>.so-tmp" beside it,
 * which is synced and renamed and gets the mode of the file that was there. Devices, FIFOs, sockets, terminals and
 * descriptors
 * (/dev/stdout, /dev/fd/N) are never replaced: what is put goes to them as it comes.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BASE_WRITER_H
#define SO_BASE_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/error.h"

/* A file being written. Zero it before open; drop is harmless on a zeroed writer and after a commit. */
typedef struct so_writer {
    FILE *file;
    char *path;      /* as it was given */
    char *target;    /* what the path's links lead to */
    char *temporary; /* NULL: written through */
    long begin;      /* of what is written through: where the writer began; -1 where one cannot go back */
    bool quick;      /* to be set after open: one of very many files, not worth the wait for the disk on commit */
} so_writer;

/* SO_ERR_IO: it cannot be made, is a folder, may not be written, or is a FIFO that nobody reads within ten seconds. */
so_status so_writer_open(so_writer *writer, const char *path, so_error *error);
so_status so_writer_put(so_writer *writer, const void *data, size_t size, so_error *error);
/* Whether what was put can be gone back to, as for a length that is known at the end. */
bool so_writer_seeks(const so_writer *writer);
/* Puts `size` bytes over those at `offset` from the first; what is put afterwards goes on behind them. */
so_status so_writer_patch(so_writer *writer, long offset, const void *data, size_t size, so_error *error);
/* Flushes, syncs, renames, syncs the folder. On failure the temporary is removed and the old file stays. */
so_status so_writer_commit(so_writer *writer, so_error *error);
/* Removes the temporary. */
void so_writer_drop(so_writer *writer);

/* Removes the temporaries of all writers that this process has open. For signal handlers, before _exit. */
void so_writer_abandon(void);

/* Room for a mask of signals (sigset_t, which strict C does not know). */
typedef struct so_mask {
    unsigned long room[16];
} so_mask;

/* For other temporaries that so_writer_abandon is to remove (a folder where it is empty): one is created and remembered
 * between the two calls, of which the first keeps handlers away from this thread. */
void so_writer_creates(so_mask *before);
void so_writer_remember(const char *path);
void so_writer_created(const so_mask *before);
void so_writer_forget(const char *path);

/* Removes the temporaries in a folder that no process has open: those of processes that were killed. */
void so_writer_sweep(const char *folder);

/* What a path leads to when it is to be written. *target is allocated: the path with its last links followed. *through
 * is a descriptor where it is nothing that may be replaced, else -1. */
so_status so_output_find(const char *path, char **target, int *through, so_error *error);

/* The number of the descriptor that /dev/stdin, /dev/stdout, /dev/stderr, /dev/fd/N and /proc/self/fd/N mean, else -1.
 */
int so_descriptor_of(const char *path);

#endif
