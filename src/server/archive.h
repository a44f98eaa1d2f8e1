/* Conversations that are kept: words, sound and pictures, in one SQLite file.
 *
 * What a call has reported as kept is on the disk: every change is a transaction of its own, synced before the call
 * returns (write-ahead log, synchronous FULL), so that a process killed at any moment loses nothing that somebody was
 * told is kept. One thread at a time. The file is made with mode 0600.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_SERVER_ARCHIVE_H
#define SO_SERVER_ARCHIVE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "so_status.h"

enum { SO_ARCHIVE_BLOBS = 16, SO_ARCHIVE_ID = 64, SO_ARCHIVE_MOST = 200 /* rows of one listing */ };

typedef struct so_archive so_archive;

/* Opens or makes the file. SO_ERR_FORMAT when it is no archive, or one of a later version; SO_ERR_IO. */
so_status so_archive_open(so_archive **out, const char *path, so_error *error);
void so_archive_close(so_archive **archive);

/* Whose conversations the calls after this are about: nobody sees those of others. "" when it is opened; at most
 * SO_ARCHIVE_ID - 1 bytes. */
void so_archive_owner(so_archive *archive, const char *owner);

/* How much all conversations take on the disk. */
so_status so_archive_bytes(so_archive *archive, int64_t *bytes, so_error *error);

/* Bytes that belong to an item, lent during the call. */
typedef struct so_archive_blob {
    const char *type; /* "audio/wav", "image/png" */
    const void *data;
    size_t size;
} so_archive_blob;

typedef struct so_archive_item {
    const char *conversation, *id; /* at most SO_ARCHIVE_ID - 1 bytes, not empty */
    const char *role;              /* "user", "assistant", "system" */
    const char *text;              /* UTF-8; may be empty */
    int64_t made_ms;               /* since 1970 */
    int64_t heard_ms;              /* of a spoken answer that was interrupted; -1: all of it */
    int n_blobs;
    so_archive_blob blob[SO_ARCHIVE_BLOBS];
} so_archive_item;

/* Keeps an item behind those that the conversation has, which begins with its first. An item of the same id is replaced
 * where it stands: its words and what of it was heard; blobs are added only when some are given, in place of the old
 * ones. */
so_status so_archive_keep(so_archive *archive, const so_archive_item *item, so_error *error);
/* SO_ERR_MISSING when there is none. */
so_status so_archive_delete_item(so_archive *archive, const char *conversation, const char *id, so_error *error);
so_status so_archive_delete(so_archive *archive, const char *conversation, so_error *error);
/* All conversations of the owner; the file gives its room back. */
so_status so_archive_delete_all(so_archive *archive, so_error *error);

/* Conversations, the one changed last first: [{id, title, items, made_ms, changed_ms}]. `before_ms` > 0: changed before
 * that. The caller owns *out. */
so_status so_archive_list(so_archive *archive, int64_t before_ms, int most, json_t **out, so_error *error);
/* {id, title, made_ms, changed_ms, items: [{id, role, text, made_ms, heard_ms, blobs: [{number, type, size}]}]}; with
 * `whole` every blob has "data", its bytes in base64. SO_ERR_MISSING. */
so_status so_archive_get(so_archive *archive, const char *conversation, bool whole, json_t **out, so_error *error);
/* Items whose text holds all words of `query`, or, of a single one, that sequence of characters (letters' case aside):
 * [{conversation, title, id, role, text, made_ms}], the newest first. */
so_status so_archive_search(so_archive *archive, const char *query, int most, json_t **out, so_error *error);
/* The bytes of one blob, to be freed with free(). SO_ERR_MISSING. */
so_status so_archive_blob_get(so_archive *archive, int64_t number, void **data, size_t *size, char type[64],
                              so_error *error);

#endif
