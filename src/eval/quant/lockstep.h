/* Two models on one path: how far the second's distributions are from the first's.
 *
 * Both get the same turn; the first answers greedily, and the second is led along the first's text tokens and units, so
 * that every distribution of the one has its counterpart. Compared are the CTC rows of everything heard (the user's
 * speech and the own), the text logits of every answer token, and the logits of every unit.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_EVAL_QUANT_LOCKSTEP_H
#define SO_EVAL_QUANT_LOCKSTEP_H

#include "engine/session.h"

enum { SO_DRIFT_TEXT, SO_DRIFT_CTC, SO_DRIFT_UNIT, SO_DRIFTS };

typedef struct so_drift {
    int64_t rows, agree;      /* distributions compared; those with the same arg max */
    int64_t firm, firm_agree; /* of those where the first model gives its choice more than half */
    double kl, kl_most;       /* sum and maximum of sum p log(p / q), p the first model's, in nats */
} so_drift;

typedef struct so_turn {
    const char *text;     /* NULL: none */
    const int32_t *units; /* of the user's speech */
    int64_t n_units;
    const uint8_t *rgb; /* NULL: no picture */
    int width, height;
    bool voice;   /* the answer has units */
    int64_t most; /* units of the answer, or text where it has none; 0: as many as the session allows */
} so_turn;

typedef struct so_lockstep so_lockstep;

/* A session of each model, of the same sizes; models stay open until close. `other_options` may differ from `options`
 * in `kv` only. SO_ERR_SHAPE when the models differ in vocabulary. */
so_status so_lockstep_open(so_lockstep **out, so_model *first, so_model *other, const so_session_options *options,
                           const so_session_options *other_options, so_error *error);
void so_lockstep_close(so_lockstep **lockstep);
/* Asks both and adds to the drifts. */
so_status so_lockstep_ask(so_lockstep *lockstep, const so_turn *turn, so_error *error);
const so_drift *so_lockstep_drift(const so_lockstep *lockstep); /* [SO_DRIFTS] */
/* Feeds a turn to one session and replies, without computing the answer. */
so_status so_turn_give(so_session *session, const so_turn *turn, so_error *error);

#endif
