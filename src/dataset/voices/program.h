/* Running a program of somebody else's: with words in, words out, and a limit of time.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_DATASET_VOICES_PROGRAM_H
#define SO_DATASET_VOICES_PROGRAM_H

#include <signal.h>
#include <stddef.h>

#include "base/error.h"

typedef struct so_program {
    const char *const *argv;           /* found along PATH; ends with NULL */
    const char *input;                 /* what it reads from standard input; NULL: nothing */
    double seconds;                    /* it is killed after so long, with all that it started; 0: 60. Time in which the
                                        * machine had too much to do does not count, up to ten times as long */
    const volatile sig_atomic_t *stop; /* non-zero: likewise; may be NULL */
    char *output;                      /* what it prints, cut at `size` - 1 bytes and terminated; may be NULL */
    size_t size;
} so_program;

/* SO_ERR_MISSING: there is no such program. SO_ERR_STATE: it ended with an error, whose first line the text tells.
 * SO_ERR_LIMIT: it took too long. SO_ERR_STOPPED, SO_ERR_IO. From any thread. */
so_status so_program_run(const so_program *program, so_error *error);

/* A command line as a list of words: blanks part them, '...' and "..." keep them together, a backslash takes the next
 * character as it is. No shell is asked. Words stand in `words` (terminated by NULL), their bytes in `room`.
 * SO_ERR_FORMAT for a quote without its end, SO_ERR_LIMIT. */
enum { SO_PROGRAM_WORDS = 64 };
so_status so_program_split(const char *line, char *room, size_t size, const char *words[SO_PROGRAM_WORDS],
                           so_error *error);

#endif
