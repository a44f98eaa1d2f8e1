/* A file that comes into being over one or several runs and appears whole or not at all.
 *
 * Bytes go to "<path>.part", which is locked while it is open: a second writer of the same path is refused. How many of
 * its bytes are surely on the disk stands in "<path>.part.log", together with the identity of what is written, so that
 * a run that was cut off, by a signal, a full disk or a power failure, goes on where it stopped. Links are followed;
 * devices, FIFOs and descriptors are written through (base/writer.h).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BASE_PART_H
#define SO_BASE_PART_H

#include "base/error.h"
#include "base/file.h"

typedef struct so_part {
    int fd, log;
    char *path, *part, *log_path;
    uint64_t size;   /* bytes written, earlier runs counted */
    uint64_t synced; /* of these, surely on the disk */
    bool through;    /* no file: nothing is kept, cut or renamed */
} so_part;

/* Opens or makes "<path>.part" and locks it. `identity` (one line) says what the bytes are; where an earlier run wrote
 * under the same identity, part->size tells how far it came, else 0. SO_ERR_STATE when another process writes it. */
so_status so_part_open(so_part *part, const char *path, const char *identity, so_error *error);
/* Appends. SO_ERR_IO; a full disk is told as such. What was written stays for the next run. */
so_status so_part_put(so_part *part, const void *data, size_t size, so_error *error);
/* Makes sure that all that was put survives whatever happens to this process; done by itself every 256 MB. */
so_status so_part_sync(so_part *part, so_error *error);
/* Cuts to `size` bytes, at most part->size. */
so_status so_part_cut(so_part *part, uint64_t size, so_error *error);
/* SO_ERR_IO unless the disk has room for `bytes` more. */
so_status so_part_room(const so_part *part, uint64_t bytes, so_error *error);
/* Syncs, renames to `path`, syncs the folder, closes. After a failure the part stays. */
so_status so_part_commit(so_part *part, so_error *error);
/* Lets go and keeps the part for the next run. Accepts a zeroed part. */
void so_part_close(so_part *part);
/* Lets go and removes the part. */
void so_part_drop(so_part *part);

#endif
