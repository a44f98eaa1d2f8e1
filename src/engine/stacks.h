/* One conversation inside the networks: three stacks with their stores, and the state of an answer.
 *
 * Prompts enter the stores through prompt.h; answers come out of them through step.h. What they compute with belongs to
 * a worker, which many conversations may share: they take turns.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_ENGINE_STACKS_H
#define SO_ENGINE_STACKS_H

#include "base/pace.h"
#include "checkpoint/model.h"
#include "checkpoint/picture.h"
#include "nn/sampler.h"
#include "nn/worker.h"
#include "text/repeat.h"

enum {
    SO_SLOT_SPEECH = 1, /* enters the speech side */
    SO_SLOT_EXPECT = 2, /* enters the backbone as softmax(CTC) x text_embed (needs SO_SLOT_SPEECH) */
    SO_SLOT_TEXT = 4,   /* enters the backbone as its text embedding */
    SO_SLOT_IMAGE = 8,  /* enters the backbone as picture vector number `id` */
    SO_SLOT_LABEL = 16, /* its CTC label is wanted, although it enters no backbone (needs SO_SLOT_SPEECH) */
    SO_ON_BACKBONE = SO_SLOT_EXPECT | SO_SLOT_TEXT | SO_SLOT_IMAGE
};

typedef struct so_slot {
    int32_t id;
    uint32_t where;
} so_slot;

/* Slots on their way into the stores. */
typedef struct so_wanted {
    const so_slot *slot;                /* [n], lent by the owner until all are in; NULL: none are wanted */
    int64_t n, at;                      /* slots; those that have been dealt with */
    int64_t speech, backbone;           /* positions that were kept */
    int64_t seen_speech, seen_backbone; /* positions among those dealt with */
} so_wanted;

enum {
    SO_PROMPT_ROWS = 512,
    SO_TEXT_AHEAD = 2,   /* text tokens that a device keeps at hand beside a voice */
    SO_TEXT_AT_ONCE = 4, /* that are named for one read, where so many are due */
    SO_LABEL_ROWS = 64   /* whose whole CTC distribution is in memory at a time */
};
typedef struct so_slice so_slice;
/* Kinds of work before an answer (base/pace.h): what a piece's size is told in is multiplications, where it varies. */
enum {
    SO_WORK_OTHER,
    SO_WORK_LAYERS,
    SO_WORK_LABELS,
    SO_WORK_EXPECT,
    SO_WORK_CUT,
    SO_WORK_TOWER,
    SO_WORK_PROJECT,
    SO_WORK_EAR
};

/* How far the picture is that is being looked at. */
typedef struct so_looking {
    int view;
    bool cut;     /* the view's patches are inside */
    int64_t half; /* of a layer, the next */
    int64_t row;  /* the next that is projected */
} so_looking;

typedef struct so_talk_options {
    so_loop loop;
    int64_t lookahead, window;   /* K and W; W < 0: unbounded */
    int64_t max_text, max_units; /* per answer */
    int64_t units_per_token;     /* units without a further word of the text after which a voice is ended; 0: none */
    bool circles;                /* text alone may go round in circles */
    bool only_units;             /* a voice chooses among units and what ends it, not among all rows */
    int64_t context;             /* positions of each store */
    bool sees, speaks;           /* take memory for pictures, for the top layers */
    int64_t rows;                /* rows of a prompt that are computed together; 0: SO_PROMPT_ROWS */
    int pictures;                /* most that are remembered at a time; 0: one */
    int64_t slice_layers;        /* of a stack that a slice of a prompt passes in a piece; 0: as many as are short */
    int64_t tower_halves;        /* the same of the vision tower, in halves of layers */
    int64_t label_rows;   /* of a slice that are labelled together, at most SO_LABEL_ROWS; 0: as many as are short */
    int64_t expect_rows;  /* of the vocabulary that what is expected is summed over in a piece; 0: as many as are short;
                             below 0: all */
    so_worker *worker;    /* who computes; NULL: one of its own */
    so_type kv;           /* of the stores: SO_F32, SO_F16, SO_BF16, SO_Q8_0 */
    so_sampling sampling; /* of text without units; of units; text beside units is greedy */
} so_talk_options;

typedef enum so_step_kind { SO_STEP_TEXT, SO_STEP_UNIT, SO_STEP_END } so_step_kind;

/* What a step made. */
typedef struct so_made {
    so_step_kind kind;
    int32_t id;       /* TEXT: text id; UNIT: id on the speech side (not always a unit) */
    bool stop;        /* the id is one that ends the stream */
    int64_t position; /* of the row in its stack that the id was read from */
} so_made;

/* Log-probabilities of an answer's text tokens: of those chosen, and of the `most` likeliest beside each. */
typedef struct so_odds {
    int most;
    int64_t n, capacity;
    so_token_logprob *chosen, *likely; /* [capacity], [capacity, most] */
} so_odds;

typedef struct so_talk {
    const so_model *model;
    so_talk_options options;
    so_worker *worker, own; /* who computes; one of its own, unless it was given one */
    so_arena memory;        /* everything below but what lies on a device */
    so_arena numbers;       /* of a device: stores, h and thought */
    void *block;            /* addresses of `numbers` */
    so_kv bottom, backbone, top;
    so_kv shown;    /* of the answer's text that the top layers see, or have just seen; capacity 0: not kept */
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
    so_looking looking;
    so_real *inside, *seen; /* of the picture that is looked at: [P, Dv] in the tower; [max_views * P, D] behind it */
    const int32_t *begin;   /* [n_begin] what prompts begin with; 0: nothing is known of it */
    int64_t n_begin;
    so_shelf_place *beginning[2]; /* where it is put by: read as text; as expected embeddings. NULL: nowhere */
    int64_t kept;                 /* positions of the backbone that the last so_talk_want found in place */
    so_wanted wanted;
    so_slice *slice; /* of a prompt, on its way (engine/prompt.c) */

    /* the answer */
    int32_t *text, *memory_ids;                        /* [max_text] all text ids; those the top layers may see */
    int64_t n_text, n_read, n_memory, n_units, target; /* n_read: text tokens that the backbone has read */
    int64_t n_shown;                                   /* of memory_ids, those that `shown` has had */
    int64_t n_ready, n_given; /* text tokens that may be spoken already; those the memory was offered */
    bool early;               /* in company it names text now, although nobody's is due */
    bool watched;             /* somebody else says how many are ready */
    bool cut;                 /* the text was ended from outside */
    so_repeat repeat;
    so_odds *odds;         /* where log-probabilities of text go; NULL: nowhere */
    bool voice, typed;     /* with units; the prompt entered the backbone as text */
    bool spoke;            /* the last step made a unit, which is still to be heard */
    const int32_t *script; /* text to be spoken in place of the backbone's own, then <|eot_id|>; NULL: none */
    int64_t n_script;
    int32_t last_unit, last_label, last_symbol;
    bool ahead; /* on a device: ahead_unit was heard when it was made, at the next position; its label is known */
    int32_t ahead_unit, ahead_label;
    int32_t next_text[SO_TEXT_AT_ONCE]; /* [n_next] on a device: text tokens that are known but not made yet */
    int64_t n_next;
    int64_t n_spoken, idle; /* words heard in the own voice; units since the last one that the text holds */
    so_end end;
    so_rng rng;
    so_sampler sampler;
} so_talk;

/* Takes all memory that will ever be needed, its size foretold by a dry run. */
so_status so_talk_open(so_talk **out, const so_model *model, const so_talk_options *options, so_error *error);
void so_talk_close(so_talk **talk);
/* Bytes that open takes for stores and lists; bytes that its worker needs, when up to `steps` conversations (0: one)
 * are stepped together. */
so_status so_talk_plan(const so_model *model, const so_talk_options *options, int64_t steps, so_need *session,
                       so_need *scratch, so_error *error);
/* Bytes of the stores for one more position. */
size_t so_talk_per_position(const so_model *model, const so_talk_options *options);

/* Shows all that is computed from now on to `watch` (nn/pass.h), lent until the next call or close; NULL: to nobody. */
void so_talk_watch(so_talk *talk, const so_watch *watch);

#endif
