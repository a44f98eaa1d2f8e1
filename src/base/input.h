/* Reading all of a file, whatever kind it is: regular files are mapped, FIFOs, devices, sockets and descriptors read.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BASE_INPUT_H
#define SO_BASE_INPUT_H

#include <signal.h>

#include "base/file.h"

typedef struct so_input_options {
    size_t limit;                      /* most bytes of what is no regular file; 0: 1 GiB */
    double patience;                   /* seconds that a FIFO may be without a writer; 0: 10 */
    const volatile sig_atomic_t *stop; /* non-zero: give up; may be NULL */
} so_input_options;

/* The bytes, read-only until close. */
typedef struct so_input {
    const unsigned char *data; /* never NULL while open */
    size_t size;
    so_map map; /* of a regular file */
    char *own;  /* of all others */
} so_input;

/* Reads `path` to its end; "-" is standard input, and /dev/stdin, /dev/fd/N and /proc/self/fd/N are the descriptors.
 * `options` may be NULL. SO_ERR_IO: it is not there, a folder, cannot be read, or a FIFO into which nobody writes.
 * SO_ERR_LIMIT, SO_ERR_STOPPED. */
so_status so_input_open(so_input *input, const char *path, const so_input_options *options, so_error *error);
/* Accepts a zeroed input. */
void so_input_close(so_input *input);

#endif
