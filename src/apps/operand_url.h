/* URLs as arguments: data: is decoded, http: and https: are fetched, others are refused.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_APPS_OPERAND_URL_H
#define SO_APPS_OPERAND_URL_H

#include <stdbool.h>

#include "base/input.h"

/* Whether the argument begins like a URL: data:, or a scheme and "://". */
bool so_url_scheme(const char *argument);
/* The bytes that it means, at most 256 MB. SO_ERR_UNSUPPORTED for other schemes, SO_ERR_FORMAT for a data: URL that is
 * none, and what so_fetch_text gives. */
so_status so_url_read(so_input *input, const char *url, so_error *error);

#endif
