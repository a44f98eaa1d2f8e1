/* What a file is that is not what it should be, told by its first bytes, for errors.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BASE_GUESS_H
#define SO_BASE_GUESS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* "an HTML page (of a server's error, or a login, saved instead of the file)", "a git-lfs pointer (...)", "an empty
 * file", "zeros (...)", "JSON", "a zip archive", "a JPEG picture"; NULL when it is nothing known. Never looks beyond
 * `size`. */
const char *so_guess(const void *data, size_t size);

/* Fails with SO_ERR_FORMAT "what is found, expected `expected`" when data[size] is something that no reader of models
 * or settings takes: nothing, an HTML page, a git-lfs pointer, zeros, a download that was not finished. SO_OK
 * otherwise. */
so_status so_refuse_stranger(const void *data, size_t size, const char *expected, so_error *error);

/* The same for a text of settings, which is UTF-8 without a byte order mark: UTF-16 and such a mark are named too. */
so_status so_refuse_strange_text(const void *data, size_t size, so_error *error);

/* The name of an unfinished download that lies in place of or beside `path` ("model.safetensors.part", ".incomplete",
 * ".crdownload", ...) in `found`; false when there is none. */
bool so_unfinished(const char *path, char *found, size_t size);

#endif
