/* Checkpoints: named blocks of bytes in one file that is whole or absent.
 *
 * Layout, little-endian: "SOTRAIN1"; blocks of {u32 name length, name, u64 bytes, data}; an entry with name length 0; a
 * u64 checksum of everything before it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TRAIN_CHECKPOINT_H
#define SO_TRAIN_CHECKPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/file.h"

/* Writing: open, put any number of blocks, commit (or drop). */
typedef struct so_saver {
    so_writer writer;
    uint64_t sum;
} so_saver;

so_status so_saver_open(so_saver *saver, const char *path, so_error *error);
/* `name` has 1 to 1000 bytes. */
so_status so_saver_put(so_saver *saver, const char *name, const void *data, size_t bytes, so_error *error);
so_status so_saver_commit(so_saver *saver, so_error *error);
/* Does nothing after a commit. */
void so_saver_drop(so_saver *saver);

/* Reading: the whole file is checked (layout and checksum) when it is opened. */
typedef struct so_block {
    const char *name; /* not terminated */
    size_t name_length, bytes;
    const void *data; /* any alignment */
} so_block;

typedef struct so_loader {
    so_map map;
    so_block *block;
    int64_t count, capacity;
} so_loader;

/* SO_ERR_IO, SO_ERR_FORMAT (with the place). */
so_status so_loader_open(so_loader *loader, const char *path, so_error *error);
void so_loader_close(so_loader *loader);
/* NULL when absent. */
const so_block *so_loader_find(const so_loader *loader, const char *name);
/* Copies the block `name`, which must have exactly `bytes`: SO_ERR_MISSING, SO_ERR_FORMAT. */
so_status so_loader_take(const so_loader *loader, const char *name, void *data, size_t bytes, so_error *error);

#endif
