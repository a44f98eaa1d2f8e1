/* One conversation inside the networks: three stacks with their stores, and the simultaneous generation of text and
 * units.
 *
 * A prompt is a row of slots. Every slot says which stacks it enters: the speech side (bottom layers, whose output the
 * top layers read), and the backbone, as the expected text embedding of the speech side, as a text embedding, or as a
 * picture's vector. So-called modes differ in slots only. so_talk_sync brings the stores to a given row of slots,
 * computing what is not there yet; so_talk_begin starts an answer after them; every so_talk_step makes at most one text
 * token or one unit.
 *
 * Source: spec/stream-omni.md sections 4.3, 4.4, 5; paper, algorithm 1.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_ENGINE_GENERATE_H
#define SO_ENGINE_GENERATE_H

#include "engine/model.h"
#include "engine/picture.h"
#include "engine/repeat.h"
#include "engine/sample.h"

enum {
    SO_SLOT_SPEECH = 1, /* enters the speech side */
    SO_SLOT_EXPECT = 2, /* enters the backbone as softmax(CTC) x text_embed (needs SO_SLOT_SPEECH) */
    SO_SLOT_TEXT = 4,   /* enters the backbone as its text embedding */
    SO_SLOT_IMAGE = 8,  /* enters the backbone as picture vector number `id` */
    SO_SLOT_LABEL = 16  /* its CTC label is wanted, although it enters no backbone (needs SO_SLOT_SPEECH) */
};

typedef struct so_slot {
    int32_t id;
    uint32_t where;
} so_slot;

/* Rows of slots being listed. Start from a zeroed struct; `capacity` slots are lent by the owner. */
typedef struct so_slots {
    so_slot *slot;
    int64_t n, capacity;
} so_slots;

/* Appends ids with the given flags; SO_IMAGE_ID stands for all vectors of the next picture: picture k is vectors
 * first[k] .. first[k + 1]. With more places than pictures the last picture is used again; without pictures the places
 * vanish. SO_ERR_LIMIT when the capacity is passed. */
so_status so_slots_add(so_slots *slots, const int32_t *ids, int64_t n, uint32_t where, const int64_t *first,
                       int64_t pictures, so_error *error);
/* Cuts the row so that at most `limit` slots enter the backbone (0: no limit), as tokenizer_model_max_length does. */
void so_slots_limit(so_slots *slots, int64_t limit);

typedef struct so_talk_options {
    so_loop loop;
    int64_t lookahead, window;   /* K and W; W < 0: unbounded */
    int64_t max_text, max_units; /* per answer */
    int64_t units_per_token;     /* units without a further word of the text after which a voice is ended; 0: none */
    bool circles;                /* text alone may go round in circles */
    bool only_units;             /* a voice chooses among units and what ends it, not among all rows */
    int64_t context;             /* positions of each store */
    bool sees, speaks;           /* take memory for pictures, for the top layers */
    so_type kv;                  /* of the stores: SO_F32, SO_F16, SO_BF16, SO_Q8_0 */
    so_sampling sampling;        /* of text without units; of units; text beside units is greedy */
} so_talk_options;

typedef enum so_step_kind { SO_STEP_TEXT, SO_STEP_UNIT, SO_STEP_END } so_step_kind;

/* Log-probabilities of an answer's text tokens: of those chosen, and of the `most` likeliest beside each. */
typedef struct so_odds {
    int most;
    int64_t n, capacity;
    so_token_logprob *chosen, *likely; /* [capacity], [capacity, most] */
} so_odds;

/* What a step made. */
typedef struct so_made {
    so_step_kind kind;
    int32_t id;       /* TEXT: text id; UNIT: id on the speech side (not always a unit) */
    bool stop;        /* the id is one that ends the stream */
    int64_t position; /* of the row in its stack that the id was read from */
} so_made;

typedef struct so_talk {
    const so_model *model;
    so_talk_options options;
    so_arena memory; /* everything below */
    so_arena scratch;
    so_pass pass;
    so_kv bottom, backbone, top;
    int32_t *heard; /* [bottom.len] ids of the speech side */
    int32_t *label; /* [bottom.len] CTC labels, -1 where none was asked for */
    so_slot *read;  /* [backbone.len] */
    so_real *h;     /* [D] the speech side's last row, not yet in the top layers when `pending` */
    bool pending;
    so_real *thought; /* [D] the backbone's row thought_at - 1 after its norm */
    int64_t thought_at;
    so_real *vectors; /* [max_vectors, D] of pictures */
    int64_t n_vectors, max_vectors;
    int max_views;
    int64_t kept; /* positions of the backbone that the last so_talk_sync found in place */

    /* the answer */
    int32_t *text, *memory_ids; /* [max_text] all text ids; those the top layers may see */
    int64_t n_text, n_memory, n_units, target;
    int64_t n_ready, n_given; /* text tokens that may be spoken already; those the memory was offered */
    bool watched;             /* somebody else says how many are ready */
    bool cut;                 /* the text was ended from outside */
    so_repeat repeat;
    so_odds *odds;         /* where log-probabilities of text go; NULL: nowhere */
    bool voice, typed;     /* with units; the prompt entered the backbone as text */
    bool spoke;            /* the last step made a unit, which is still to be heard */
    const int32_t *script; /* text to be spoken in place of the backbone's own, then <|eot_id|>; NULL: none */
    int64_t n_script;
    int32_t last_unit, last_label, last_symbol;
    int64_t n_spoken, idle; /* words heard in the own voice; units since the last one that the text holds */
    so_end end;
    so_rng rng;
    so_sampler sampler;
} so_talk;

/* Takes all memory that will ever be needed, its size foretold by a dry run. */
so_status so_talk_open(so_talk **out, const so_model *model, const so_talk_options *options, so_error *error);
void so_talk_close(so_talk **talk);
/* Bytes that open would take: stores and lists; activations. */
so_status so_talk_plan(const so_model *model, const so_talk_options *options, size_t *session, size_t *scratch,
                       so_error *error);

/* Encodes a picture and appends its vectors; *first is the number of the first. */
so_status so_talk_see(so_talk *talk, const so_image_views *views, int64_t *first, int64_t *n, so_error *error);
/* Forgets pictures from vector `first` on. */
void so_talk_forget(so_talk *talk, int64_t first);

/* Makes the stores hold exactly these slots: keeps the common beginning of each, computes the rest. */
so_status so_talk_sync(so_talk *talk, const so_slot *slot, int64_t n, so_error *error);

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
/* The same, but kind and id are given, for instance by another model's conversation: this model's own choice is
 * computed and dropped, so that a watcher sees its numbers along the other's path. Kind END hears a last unit. */
so_status so_talk_take(so_talk *talk, const so_made *given, so_error *error);

/* Shows all that is computed from now on to `watch` (nn/pass.h), lent until the next call or close; NULL: to nobody. */
void so_talk_watch(so_talk *talk, const so_watch *watch);

#endif
