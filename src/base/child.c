/* The end of child processes.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "base/child.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>

so_status so_child_status(int status, const char *what, so_error *error)
{
    if (WIFSIGNALED(status))
        return so_fail(error, SO_ERR_STATE, "%s was ended by signal %d (%s)", what, WTERMSIG(status),
                       strsignal(WTERMSIG(status)));
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return so_fail(error, SO_ERR_STATE, "%s ended with status %d", what, WEXITSTATUS(status));
    return SO_OK;
}

so_status so_child_wait(pid_t child, const char *what, so_error *error)
{
    int status = 0;
    for (;;) {
        pid_t ended = waitpid(child, &status, 0);
        if (ended == child) return so_child_status(status, what, error);
        if (ended < 0 && errno == EINTR) continue;
        return so_fail(error, SO_ERR_STATE, "%s cannot be waited for: %s", what, strerror(errno));
    }
}
