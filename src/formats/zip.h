/* The directory of a zip archive whose entries are stored without compression; zip64 too.
 *
 * Only what PyTorch writes: one disk, no encryption. Checksums are not looked at.
 * Source: PKWARE APPNOTE 6.3, sections 4.3 to 4.5.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_FORMATS_ZIP_H
#define SO_FORMATS_ZIP_H

#include "formats/view.h"

typedef struct so_zip_entry {
    uint64_t offset; /* of the local header, bytes */
    uint64_t stored, size;
    uint16_t flags, method;
} so_zip_entry;

/* Lends the archive's bytes. Read `names` (in directory order); the rest is private. */
typedef struct so_zip {
    const unsigned char *data;
    size_t size;
    so_names names;
    so_zip_entry *entry;
    int64_t capacity;
} so_zip;

/* Reads the directory. SO_ERR_FORMAT for anything that is not a whole zip archive. so_zip_clear after failure too. */
so_status so_zip_init(so_zip *zip, const void *data, size_t size, so_error *error);
/* The bytes of the entry `name`. SO_ERR_MISSING; SO_ERR_UNSUPPORTED when it is compressed or encrypted. */
so_status so_zip_find(const so_zip *zip, so_span name, so_span *bytes, so_error *error);
void so_zip_clear(so_zip *zip);

#endif
