/* Recordings of any length, heard piece by piece.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_APPS_RECORDING_H
#define SO_APPS_RECORDING_H

#include "apps/turn.h"

/* What is said in a recording: it is cut where nobody speaks, every piece is heard as a turn of its own, and the pieces
 * are joined in `answer`: text, words with the times of the recording, usage. Where `front` is false pieces go to the
 * model as they are, else as the front end makes them; the session's own must be off in any case. With `print` every
 * piece is printed as soon as it is known. A recording that takes long shows progress on stderr. */
so_status so_listen(so_session *session, const so_audio *recording, bool front, bool print, so_answer *answer,
                    so_error *error);

#endif
