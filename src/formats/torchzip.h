/* PyTorch's zip files (.pt): the tensors and plain values of a saved dictionary, without running its pickle.
 *
 * Source: docs/files.md 3.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_FORMATS_TORCHZIP_H
#define SO_FORMATS_TORCHZIP_H

#include "formats/view.h"

typedef struct so_torchzip so_torchzip;

typedef enum so_torchzip_kind {
    SO_TORCHZIP_NONE,
    SO_TORCHZIP_BOOL,
    SO_TORCHZIP_INT,
    SO_TORCHZIP_FLOAT,
    SO_TORCHZIP_STRING
} so_torchzip_kind;

/* An entry of the dictionary that is not a tensor. */
typedef struct so_torchzip_scalar {
    const char *name;
    so_torchzip_kind kind;
    int64_t i; /* bool and int */
    double f;  /* float */
    so_span s; /* string, in the file */
} so_torchzip_scalar;

/* Opens a file written by torch.save whose root is a dict. Names of nested dicts are joined by '.', items of lists and
 * tuples are numbered from 0. Contiguous tensors are used in the map, others are copied; bool is given as U8.
 * SO_ERR_IO, SO_ERR_FORMAT, SO_ERR_MISSING (an entry of the archive), SO_ERR_UNSUPPORTED (anything that is not a tensor
 * or plain container, compressed entries, big-endian), SO_ERR_LIMIT (nesting beyond 64, bombs). */
so_status so_torchzip_open(so_torchzip **out, const char *path, so_error *error);
/* The same from bytes in memory, lent until close. */
so_status so_torchzip_open_memory(so_torchzip **out, const void *data, size_t size, so_error *error);
void so_torchzip_close(so_torchzip **file);

/* All tensors, in the order of the dictionary. Lives until close. */
const so_views *so_torchzip_views(const so_torchzip *file);
int64_t so_torchzip_scalars(const so_torchzip *file);                                /* how many */
const so_torchzip_scalar *so_torchzip_scalar_at(const so_torchzip *file, int64_t i); /* 0 <= i < scalars */
/* The first scalar of that name, or NULL. */
const so_torchzip_scalar *so_torchzip_find_scalar(const so_torchzip *file, const char *name);

#endif
