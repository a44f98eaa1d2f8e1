/* POSIX tar: ustar, GNU's long names, pax' path and size. Everything else is refused: sparse files, links that matter,
 * sizes in base 256.
 * Source: POSIX.1-2017, pax; data-eval.md A.8.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_DATASET_READERS_TAR_H
#define SO_DATASET_READERS_TAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { SO_TAR_NAME = 1024 };

/* A reader over the bytes of a whole file. Start from {.data, .size}. */
typedef struct so_tar {
    const unsigned char *data;
    size_t size, at;
    bool ended; /* the two zero blocks were met, or nothing follows */
} so_tar;

typedef struct so_tar_entry {
    char name[SO_TAR_NAME];
    uint64_t offset, size; /* of its bytes in the file */
    bool file;             /* a regular file */
} so_tar_entry;

/* The next entry; false at the end and on failure (*status). SO_ERR_LIMIT: the file ends before the entry does.
 * SO_ERR_FORMAT, SO_ERR_UNSUPPORTED. */
bool so_tar_next(so_tar *tar, so_tar_entry *entry, so_status *status, so_error *error);

/* Writing: the header of 512 bytes before a file; longer names than 100 bytes (255 with a prefix) are SO_ERR_LIMIT. */
so_status so_tar_header(unsigned char header[512], const char *name, uint64_t size, so_error *error);
/* Bytes of zeros behind a file of this size. */
static inline size_t so_tar_padding(uint64_t size) { return (size_t)((512 - size % 512) % 512); }

#endif
