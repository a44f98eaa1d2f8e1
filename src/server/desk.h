/* The engine's thread: it owns the model and all sessions, and is spoken to by messages only.
 *
 * A seat is a conversation's place at the desk, named by a number that is never used again; a message for a seat that
 * is gone is dropped. Orders go in, from one thread; what is told of them comes out, to the same thread. At most
 * `sessions` seats have a session at a time, which they get with their first order and keep; others wait for one in the
 * order in which they came, up to `waiting`.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_SERVER_WORKER_H
#define SO_SERVER_WORKER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/outlet.h"
#include "so.h"

typedef struct so_desk so_desk;

enum { SO_ORDER_STOPS = 4 };

typedef enum so_order_kind {
    SO_ORDER_SYSTEM,  /* text, before anything else of a conversation; "" : the model's own */
    SO_ORDER_TEXT,    /* text */
    SO_ORDER_PICTURE, /* data: a picture file of any kind; or pixels that were read already: data, width, height; or
                       * text: why it could not be read */
    SO_ORDER_AUDIO,   /* pcm, rate */
    SO_ORDER_ANSWER,  /* text: an answer that was given earlier */
    SO_ORDER_REPLY,   /* want, reply, sound; `turn` names it */
    SO_ORDER_LISTEN,  /* ends the turn for its transcript's sake */
    SO_ORDER_SAY,     /* text, sound */
    SO_ORDER_HEARD,   /* ms: of the answer that was stopped only so much was heard */
    SO_ORDER_CLEAR    /* the conversation is forgotten */
} so_order_kind;

/* Zeroed but for what its kind wants. Made by so_order_new, given to the desk, which frees it with what it owns. */
typedef struct so_order {
    so_order_kind kind;
    uint32_t turn;
    char *text;  /* owned */
    void *data;  /* owned */
    size_t size; /* bytes */
    int width, height;
    float *pcm; /* owned */
    size_t samples;
    int rate;
    int64_t ms;
    unsigned want;
    char *stop[SO_ORDER_STOPS]; /* owned; of the reply */
    bool own;                   /* `reply` counts; else what the session was opened with */
    so_reply_options reply;
    so_outlet_kind sound;
    bool whole;     /* the sound is told at its end */
    char voice[64]; /* its name; "", and one that there is not: the usual */
    int sound_rate;
    struct so_order *next;
} so_order;

typedef enum so_told_kind {
    SO_TOLD_SEATED, /* it has a session; queue_s */
    SO_TOLD_HEARD,
    SO_TOLD_TEXT,
    SO_TOLD_UNITS,
    SO_TOLD_SOUND,
    SO_TOLD_DONE,  /* the answer of `turn` is complete */
    SO_TOLD_FAILED /* an order or an answer came to nothing: status, text. Orders that follow are carried out */
} so_told_kind;

typedef struct so_told {
    so_told_kind kind;
    uint64_t seat;
    uint32_t turn; /* of the reply, say or listen; before one: of the last */
    char *text;
    json_t *logprobs; /* of the tokens of a TEXT, as the chat interface tells them; NULL: not asked for */
    bool final;
    size_t stable;        /* HEARD: bytes of the text that will not change */
    so_heard_word *words; /* HEARD: n_words of them */
    size_t n_words;
    double begin_s, end_s;
    unsigned char *data; /* SOUND: bytes of the format; for SO_OUTLET_PCM 16-bit samples of this machine */
    size_t size;
    int32_t *units;
    size_t n_units;
    size_t text_begin, text_end;
    so_usage usage;
    so_status status;
    bool answer; /* FAILED: of an answer, `turn`; else of what was fed: the answer after it fails by it */
    double queue_s;
    struct so_told *next;
} so_told;

typedef enum so_desk_state { SO_DESK_LOADING, SO_DESK_READY, SO_DESK_FAILED } so_desk_state;

typedef struct so_desk_options {
    /* Opens the model, in the desk's thread. */
    so_status (*open)(void *context, so_model **model, so_error *error);
    void (*wake)(void *context); /* something is to be heard; from the desk's thread */
    void *context;
    so_session_options session; /* strings are lent until close */
    int sessions, waiting;      /* 0: 8, 64 */
    int speaking;               /* voices at a time; 0: one for every core */
    so_clone *const *clones;    /* n_clones voices made of recordings, lent until close; those of other models are left
                                 * alone */
    int n_clones;
    const char *voice; /* the usual one, by name; NULL: the model's own */
} so_desk_options;

typedef struct so_desk_stats {
    int most;                                         /* sessions at a time */
    int sessions, waiting, answering, speaking, kept; /* kept: sessions of conversations that are over */
    uint64_t steps, rows;                             /* of the crew; answers that they computed for */
    size_t memory, memory_most;                       /* bytes of its sessions */
    uint64_t text_tokens, units, prompt_positions, cached_positions;
    double audio_s, busy_s;
} so_desk_stats;

so_status so_desk_open(so_desk **out, const so_desk_options *options, so_error *error);
/* Ends all answers, closes sessions and model, joins the thread. */
void so_desk_close(so_desk **desk);
so_desk_state so_desk_about(so_desk *desk, so_model_info *info, so_error *why, so_desk_stats *stats);

/* The model, once it is ready; lent until the desk is closed. What so.h allows to any thread may be done with it. */
const so_model *so_desk_model(so_desk *desk);

/* A new seat. *ahead: how many wait before it. SO_ERR_LIMIT when too many wait. */
so_status so_desk_sit(so_desk *desk, uint64_t *seat, int *ahead, so_error *error);
/* Gives it up, with all that was ordered and will be told. */
void so_desk_leave(so_desk *desk, uint64_t seat);
so_order *so_order_new(so_order_kind kind, const char *text); /* the text is copied, may be NULL; NULL without memory */
void so_order_free(so_order *order);
/* The seat's conversation is told whole, from its system text to its reply, and never again: before the reply it moves
 * to the session of an earlier one that holds most of it already, and when it leaves its own is kept for later ones, as
 * long as nobody else wants the room. To be called before its first order. */
void so_desk_share(so_desk *desk, uint64_t seat);
/* Sound that the seat's session is given went through the front end of hearing already, or shall not. To be called
 * before its first order. */
void so_desk_plain(so_desk *desk, uint64_t seat);
/* Takes the order, or several that hang together by `next`, also when the seat is gone. */
void so_desk_order(so_desk *desk, uint64_t seat, so_order *order);
/* Ends the answer of `turn` and everything ordered before it at once; it is told as DONE, stopped. */
void so_desk_stop(so_desk *desk, uint64_t seat, uint32_t turn);
/* While paused no more of its answer is made: whoever hears it is behind. */
void so_desk_pause(so_desk *desk, uint64_t seat, bool paused);
/* What was told since the last call, oldest first; to be freed one by one. NULL: nothing. */
so_told *so_desk_hear(so_desk *desk);
void so_told_free(so_told *told);

#endif
