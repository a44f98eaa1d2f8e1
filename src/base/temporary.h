/* Files and folders that other programs are told to write into, or that are needed for a while.
 *
 * Small ones stand in /dev/shm where that may be written, else in /tmp; large ones in $TMPDIR, else in /tmp. They are
 * locked while they are in use: one that a killed process left is removed when another process makes its first.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BASE_TEMPORARY_H
#define SO_BASE_TEMPORARY_H

#include "base/error.h"

enum { SO_TEMPORARY_PATH = 512 };

typedef struct so_temporary {
    char path[SO_TEMPORARY_PATH]; /* empty: none */
    int fd;                       /* holds the lock */
} so_temporary;

/* An empty small file whose name has the given ending (".wav", or ""): to be written, not to be replaced. SO_ERR_IO. */
so_status so_temporary_file(so_temporary *out, const char *ending, so_error *error);
/* An empty folder. SO_ERR_IO. */
so_status so_temporary_folder(so_temporary *out, int large, so_error *error);
/* Removes the file, or the folder with the files in it. Harmless on one that was removed. */
void so_temporary_remove(so_temporary *temporary);

#endif
