/* A conversation: what was said, what is being said, and the events that tell of it.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_ENGINE_SESSION_H
#define SO_ENGINE_SESSION_H

#include <stdatomic.h>

#include "engine/ear.h"
#include "engine/mouth.h"
#include "engine/step.h"
#include "engine/stops.h"
#include "engine/worker.h"

typedef enum so_phase { SO_LISTENING, SO_ANSWERING, SO_ANSWERED } so_phase;

struct so_session {
    so_model *model;
    so_session_options options;
    so_talk *talk;
    so_ear *ear;     /* NULL: the model takes no audio */
    so_mouth *mouth; /* NULL: the model gives no audio */
    so_worker voice; /* computes what the mouth asks for */
    so_phase phase;
    atomic_int stop;
    bool speech; /* the model has speech layers */

    /* template pieces, in ids */
    so_ids head, header, reply, after_picture;
    int64_t break_ids; /* ids of the line breaks that end a header */

    /* the conversation in slots: finished turns, then the current one */
    so_slots slots;
    int64_t history, answer_at;

    /* the user's turn */
    so_string typed;
    so_ids typed_ids, heard_ids;
    int32_t *units; /* given as units; audio's are the ear's */
    int64_t n_units, max_units_in;
    int64_t cached; /* fewest positions that a sync of this turn found in place */
    bool audio, fed;
    int64_t picture, picture_vectors; /* first vector and their number; 0 vectors: none in this turn */
    int64_t content_at;               /* position on the speech side where the turn's content begins */

    /* what was heard */
    so_string heard, heard_before;
    so_heard_word *words; /* [context] of the transcript */
    size_t n_words;
    bool heard_news, heard_final;
    /* Segments of speech before the current one: words by now, which the backbone reads as text. */
    so_string settled;
    so_ids settled_ids;
    size_t n_settled;
    int revised;

    /* the answer */
    unsigned want;
    bool forget;                 /* the answer will not be remembered */
    int64_t max_text, max_units; /* of the longest answer */
    so_sampling sampling;        /* of a reply without options */
    so_stops stops;
    so_odds odds;
    int64_t odds_told; /* tokens whose log-probabilities events have told */
    so_ids script;     /* of so_say */
    so_decoder decoder;
    so_string answer;
    int32_t *text_end;     /* [max_text] bytes of the answer after each text token */
    so_string piece;       /* the part of it that a TEXT event tells */
    so_ids rest;           /* of a token that a stop string cut in two */
    int64_t whole;         /* text tokens all of whose characters are complete */
    int64_t piece_at;      /* bytes of the answer that events have told */
    size_t sure;           /* bytes that no stop string can take back any more */
    int64_t answer_speech; /* position on the speech side of the first generated id */
    int64_t n_said;        /* speech units made */
    int32_t said;          /* the last one, for its event */
    bool unit_news, done_told;
    so_usage usage;
    double started; /* seconds of the clock at so_reply */
};

/* Appends the turn's picture, if it has one. */
so_status so_session_lay_picture(so_session *session, uint32_t where, so_error *error);

#endif
