/* Conversations that are kept: words, sound and pictures, in one SQLite file.
 *
 * What a call has reported as kept is on the disk: every change is a transaction of its own, synced before the call
 * returns (write-ahead log, synchronous FULL), so that a process killed at any moment loses nothing that somebody was
 * told is kept. One thread at a time. The file is made with mode 0600.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_SERVER_HISTORY_H
#define SO_SERVER_HISTORY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "so_status.h"

enum { SO_HISTORY_BLOBS = 16, SO_HISTORY_ID = 64, SO_HISTORY_MOST = 200 /* rows of one listing */ };

typedef struct so_history so_history;

/* Opens or makes the file. SO_ERR_FORMAT when it is no history, or one of a later version; SO_ERR_IO. */
so_status so_history_open(so_history **out, const char *path, so_error *error);
void so_history_close(so_history **history);

/* Bytes that belong to an item, lent during the call. */
typedef struct so_history_blob {
    const char *type; /* "audio/wav", "image/png" */
    const void *data;
    size_t size;
} so_history_blob;

typedef struct so_history_item {
    const char *conversation, *id; /* at most SO_HISTORY_ID - 1 bytes, not empty */
    const char *role;              /* "user", "assistant", "system" */
    const char *text;              /* UTF-8; may be empty */
    int64_t made_ms;               /* since 1970 */
    int64_t heard_ms;              /* of a spoken answer that was interrupted; -1: all of it */
    int n_blobs;
    so_history_blob blob[SO_HISTORY_BLOBS];
} so_history_item;

/* Keeps an item behind those that the conversation has, which begins with its first. An item of the same id is replaced
 * where it stands: its words and what of it was heard; blobs are added only when some are given, in place of the old
 * ones. */
so_status so_history_keep(so_history *history, const so_history_item *item, so_error *error);
/* SO_ERR_MISSING when there is none. */
so_status so_history_delete_item(so_history *history, const char *conversation, const char *id, so_error *error);
so_status so_history_delete(so_history *history, const char *conversation, so_error *error);
/* All conversations; the file gives its room back. */
so_status so_history_delete_all(so_history *history, so_error *error);

/* Conversations, the one changed last first: [{id, title, items, made_ms, changed_ms}]. `before_ms` > 0: changed before
 * that. The caller owns *out. */
so_status so_history_list(so_history *history, int64_t before_ms, int most, json_t **out, so_error *error);
/* {id, title, made_ms, changed_ms, items: [{id, role, text, made_ms, heard_ms, blobs: [{number, type, size}]}]}; with
 * `whole` every blob has "data", its bytes in base64. SO_ERR_MISSING. */
so_status so_history_get(so_history *history, const char *conversation, bool whole, json_t **out, so_error *error);
/* Items whose text holds all words of `query`, or, of a single one, that sequence of characters (letters' case aside):
 * [{conversation, title, id, role, text, made_ms}], the newest first. */
so_status so_history_search(so_history *history, const char *query, int most, json_t **out, so_error *error);
/* The bytes of one blob, to be freed with free(). SO_ERR_MISSING. */
so_status so_history_blob_get(so_history *history, int64_t number, void **data, size_t *size, char type[64],
                              so_error *error);

#endif
