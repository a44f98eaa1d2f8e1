/* Files: read-only maps, and writing that is either whole or absent.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BASE_FILE_H
#define SO_BASE_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/writer.h"

/* A file mapped for reading. The map holds its own reference: the path may be replaced meanwhile. */
typedef struct so_map {
    const unsigned char *data; /* never NULL while open, of an empty file neither */
    size_t size;               /* bytes */
} so_map;

so_status so_map_open(so_map *map, const char *path, so_error *error);
void so_map_close(so_map *map);
/* Has the system read these bytes of a map into memory now. Accepts NULL and any alignment. */
void so_prefault(const void *data, size_t size);
/* Bytes of a map (and of nothing else: other memory would be lost) that were read and will not be soon: their pages no
 * longer count as this process's memory. Reading them again is allowed. */
void so_map_forget(const void *data, size_t size);

/* Reads a whole file into memory that the caller frees with free(); one zero byte follows the last. Files above
 * `limit` bytes are refused with SO_ERR_LIMIT. FIFOs and devices are read to their end (base/input.h). */
so_status so_file_read(const char *path, size_t limit, char **data, size_t *size, so_error *error);

/* Writes `size` bytes to `path` through a writer. */
so_status so_file_write(const char *path, const void *data, size_t size, so_error *error);
/* Makes the folder and its parents. An existing folder is success. */
so_status so_make_folder(const char *path, so_error *error);

#endif
