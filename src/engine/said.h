/* What of an answer was said by when, and what of it is remembered.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_ENGINE_SAID_H
#define SO_ENGINE_SAID_H

#include "engine/session.h"

/* Room for an answer of so many units. Start from a zeroed struct. */
so_status so_said_open(so_spoken *said, int64_t units, so_error *error);
void so_said_clear(so_spoken *said);
/* Bytes of the answer that is being made that its first `units` units have spoken. */
size_t so_said_bytes(const so_session *session, int64_t units);
/* A new answer. */
void so_said_begin(so_session *session);
/* A sentence of it has been said. */
so_status so_said_sentence(so_session *session, so_error *error);
/* Puts the answer that was just made behind its question. */
so_status so_said_remember(so_session *session, so_error *error);
/* In place of an answer that was made: puts these words behind the turn. */
so_status so_said_put(so_session *session, const so_ids *text, so_error *error);

#endif
