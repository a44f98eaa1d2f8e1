/* The end of child processes, told truly.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BASE_CHILD_H
#define SO_BASE_CHILD_H

#include <sys/types.h>

#include "base/error.h"

/* Fails with SO_ERR_STATE unless a status of waitpid says that the child ended with 0: "`what` was ended by signal 9
 * (Killed)", "`what` ended with status 1". */
so_status so_child_status(int status, const char *what, so_error *error);
/* Waits for the child, through interruptions by signals, and tells of its end as above. */
so_status so_child_wait(pid_t child, const char *what, so_error *error);

#endif
