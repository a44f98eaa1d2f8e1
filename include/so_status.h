/* Statuses and the error text shared by every part of stream-omni.
 *
 * A function that can fail returns an so_status and writes an so_error once, at the place of failure, with what was
 * found and what was expected.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_STATUS_H
#define SO_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

typedef enum so_status {
    SO_OK = 0,
    SO_ERR_ARG,          /* a caller's argument is outside what the docstring allows */
    SO_ERR_IO,           /* the system refused: open, read, write, map, sync */
    SO_ERR_FORMAT,       /* bytes that are not what the format says */
    SO_ERR_SHAPE,        /* a tensor has another shape than expected */
    SO_ERR_TYPE,         /* a tensor has another type than expected */
    SO_ERR_MISSING,      /* a tensor, key, file or voice that must exist does not */
    SO_ERR_UNSUPPORTED,  /* well-formed, but not something this program can do */
    SO_ERR_NOMEM,        /* memory could not be had */
    SO_ERR_LIMIT,        /* longer, larger or deeper than a stated limit */
    SO_ERR_STATE,        /* called at a moment when it may not be */
    SO_ERR_NUMBER,       /* NaN or infinity where a finite number is required */
    SO_ERR_STOPPED,      /* the caller asked to stop */
    SO_ERR_NOTHING_HEARD /* there were no words in the audio that was to be a question */
} so_status;

/* What went wrong, for a person. `text` is always terminated. */
typedef struct so_error {
    so_status status;
    char text[1024];
} so_error;

/* A short fixed name of a status, for logs and JSON ("format", "shape", ...). Never NULL. */
const char *so_status_name(so_status status);

#ifdef __cplusplus
}
#endif
#endif
