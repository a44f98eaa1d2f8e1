/* Answers out of the stores: the simultaneous generation of text and units.
 *
 * so_talk_begin starts an answer after the slots held. Every step makes at most one text token or one unit. Many
 * conversations of one model are stepped together: what they want of a stack goes through it as one batch, so that its
 * weights are read once. A conversation's answer does not depend on those beside it.
 *
 * Source: docs/model.md 6.3; paper, algorithm 1.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_ENGINE_STEP_H
#define SO_ENGINE_STEP_H

#include "engine/prompt.h"

enum { SO_STEP_MOST = 16 /* conversations stepped together; up to so many rows a product sums alike (backend) */ };

/* Starts an answer after the slots held. `voice`: with units, which needs slots on the speech side. */
so_status so_talk_begin(so_talk *talk, bool voice, so_error *error);
/* The answer after the next begin is chosen so; with `anew` the random numbers begin anew, from how->seed. */
void so_talk_sampling(so_talk *talk, const so_sampling *how, bool anew);
/* After begin with `voice`: the answer's text is these ids, lent until the answer ends; the backbone writes nothing. */
void so_talk_recite(so_talk *talk, const int32_t *ids, int64_t n);
/* For a talk that is `watched`: the first n text tokens may be spoken; the last ones may still be taken back. */
void so_talk_ready(so_talk *talk, int64_t n);
/* The answer's text ends behind its first n tokens, which are `ready`; a voice speaks what is left of them. */
void so_talk_cut(so_talk *talk, int64_t n);
/* Makes the next text token or unit; kind END, again and again, after the last. */
so_status so_talk_step(so_talk *talk, so_made *made, so_error *error);
/* The same for each of up to SO_STEP_MOST conversations of one model, computed by one worker. After an error some may
 * have moved on: step them alone. */
so_status so_talks_step(so_worker *worker, so_talk *const *talk, int64_t n, so_made *made, so_error *error);
/* The same, but kind and id are given, for instance by another model's conversation: this model's own choice is
 * computed and dropped, so that a watcher sees its numbers along the other's path. Kind END hears a last unit. */
so_status so_talk_take(so_talk *talk, const so_made *given, so_error *error);

/* For the dry run: `n` conversations like this one. */
so_status so_talk_rehearse_steps(so_talk *talk, int64_t n, so_error *error);

#endif
