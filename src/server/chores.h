/* Work that takes longer than the network thread may: done by a few threads, its end told to the one that gave it.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_SERVER_CHORES_H
#define SO_SERVER_CHORES_H

#include "base/error.h"

typedef struct so_chores so_chores;
typedef void (*so_chore_fn)(void *subject);

/* `wake` is called by a worker when something is done. SO_ERR_NOMEM, SO_ERR_IO. */
so_status so_chores_open(so_chores **out, int threads, void (*wake)(void *context), void *context, so_error *error);
/* Waits for the threads; what was not begun is only ended (`done` is called), by this thread. */
void so_chores_close(so_chores **chores);
/* `work` runs in a worker, then `done` in so_chores_collect. False without memory: neither is called. */
int so_chores_put(so_chores *chores, so_chore_fn work, so_chore_fn done, void *subject);
/* Calls `done` for all that is done. By the thread that owns the chores. */
void so_chores_collect(so_chores *chores);

#endif
