/* What a file is that is not what it should be, told by its first bytes, for errors.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BASE_GUESS_H
#define SO_BASE_GUESS_H

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

#endif
