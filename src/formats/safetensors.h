/* safetensors: reading one file or a sharded folder, and writing one file.
 *
 * Layout: u64 length of the header, the header as JSON {"name": {"dtype", "shape", "data_offsets"}, "__metadata__":
 * {string: string}}, then the data without holes. Source: docs/files.md 1.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_FORMATS_SAFETENSORS_H
#define SO_FORMATS_SAFETENSORS_H

#include "formats/view.h"

typedef struct so_safetensors so_safetensors;

/* Opens `path`: a file, an index ("*.index.json"), or a folder that holds model.safetensors or
 * model.safetensors.index.json with its shards. Tensors are used in the map; those that do not lie on their type's
 * boundary are copied. The whole layout is checked. SO_ERR_IO, SO_ERR_FORMAT, SO_ERR_MISSING (a shard or a tensor that
 * the index names), SO_ERR_UNSUPPORTED (an element type without an so_type), SO_ERR_LIMIT (a header above 100 MB). */
so_status so_safetensors_open(so_safetensors **out, const char *path, so_error *error);
/* The same without copies, whatever a file's size: data may lie on any boundary. */
so_status so_safetensors_open_unaligned(so_safetensors **out, const char *path, so_error *error);
/* The same as so_safetensors_open from one file's bytes in memory, lent until close. */
so_status so_safetensors_open_memory(so_safetensors **out, const void *data, size_t size, so_error *error);
void so_safetensors_close(so_safetensors **file);

/* All tensors, in header order; BOOL is given as U8. Lives until close. */
const so_views *so_safetensors_views(const so_safetensors *file);
/* A value of "__metadata__" (of the first shard that has the key), or NULL. Lives until close. */
const char *so_safetensors_metadata(const so_safetensors *file, const char *key);

typedef struct so_safetensors_writer so_safetensors_writer;

/* Starts writing `path`, which appears whole at commit or not at all. Then, in this order: metadata and declarations,
 * the data of every tensor in declared order, commit. */
so_status so_safetensors_create(so_safetensors_writer **out, const char *path, so_error *error);
so_status so_safetensors_set(so_safetensors_writer *writer, const char *key, const char *value, so_error *error);
/* Declares a tensor of a plain type (not a block type: SO_ERR_UNSUPPORTED). The format has no padding: declare wide
 * types first and every tensor lies on its boundary. */
so_status so_safetensors_declare(so_safetensors_writer *writer, const char *name, so_type type, int n_dims,
                                 const int64_t *dim, so_error *error);
/* Writes the tensor `name`, which must be the next declared one and have exactly `bytes`; otherwise SO_ERR_STATE. */
so_status so_safetensors_put(so_safetensors_writer *writer, const char *name, const void *data, size_t bytes,
                             so_error *error);
/* The bytes that a file with these declarations begins with, for whoever writes the data by other means. `path` of
 * create may be NULL then. The caller frees *head with free(). */
so_status so_safetensors_head(so_safetensors_writer *writer, char **head, size_t *bytes, so_error *error);
/* Finishes the file and frees the writer, also on failure. SO_ERR_STATE when a declared tensor has no data yet. */
so_status so_safetensors_commit(so_safetensors_writer **writer, so_error *error);
/* Gives up: nothing is left on disk. Accepts NULL and a null writer. */
void so_safetensors_drop(so_safetensors_writer **writer);

#endif
