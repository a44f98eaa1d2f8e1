/* A lock on a folder or file that two processes must not work on at once.
 *
 * The lock file stays behind, empty of meaning; the lock itself goes with the process, however it ends.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BASE_LOCK_H
#define SO_BASE_LOCK_H

#include "base/error.h"

typedef struct so_lock {
    int fd; /* 0: not locked */
} so_lock;

/* Locks the file `path`, which is made when it is not there. SO_ERR_STATE, naming the process that holds it, when it is
 * locked already; `what` says what is locked ("the folder 'work'"). SO_ERR_IO. */
so_status so_lock_take(so_lock *lock, const char *path, const char *what, so_error *error);
/* Accepts a zeroed lock. */
void so_lock_release(so_lock *lock);

#endif
