/* Writing and forwarding errors.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BASE_ERROR_H
#define SO_BASE_ERROR_H

#include "so_status.h"

/* Writes the formatted text and `status` into `error` (which may be NULL) and returns `status`. Call it once, where the
 * failure is seen, naming what was found and what was expected. Names from files may stand in it as they are: the text
 * is made plain (base/plain.h). */
so_status so_fail(so_error *error, so_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Puts "prefix: " before the text of an error that a lower floor wrote, and returns its status. */
so_status so_fail_in(so_error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Forwards a failure to the caller. */
#define SO_TRY(call)                                                                                                   \
    do {                                                                                                               \
        so_status so_try_status_ = (call);                                                                             \
        if (so_try_status_ != SO_OK) return so_try_status_;                                                            \
    } while (0)

/* Forwards a failure to the one exit of a function that owns things: needs `so_status status` and a label `done`. */
#define SO_TRY_GO(call)                                                                                                \
    do {                                                                                                               \
        status = (call);                                                                                               \
        if (status != SO_OK) goto done;                                                                                \
    } while (0)

#endif
