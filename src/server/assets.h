/* The page's files, inside the program: a table, no paths.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_SERVER_ASSETS_H
#define SO_SERVER_ASSETS_H

#include <stddef.h>

#include "base/error.h"

typedef struct so_asset {
    const char *path;                 /* "/page.js"; that of the page itself is "/" */
    const char *type;                 /* of its content */
    const unsigned char *data, *gzip; /* gzip: the same, compressed; NULL where that gains nothing */
    size_t size, gzip_size;
    char tag[20]; /* changes with the content: for ETag, without quotes */
} so_asset;

/* The file that is asked for by `path` (without a query), or NULL. Static; from any thread. */
const so_asset *so_asset_find(const char *path);
/* The same read anew from `folder`, for work on the page: *data is freed with free(). SO_ERR_MISSING for what is not in
 * the table. */
so_status so_asset_read(const char *folder, const char *path, char **data, size_t *size, const char **type,
                        so_error *error);

/* Content-Security-Policy and Permissions-Policy that every answer of the table carries. */
extern const char so_asset_policy[], so_asset_permissions[];

#endif
