/* The inside of a Realtime session, for its files.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_SERVER_REALTIME_SESSION_H
#define SO_SERVER_REALTIME_SESSION_H

#include "server/realtime_parts.h"

typedef struct so_samples {
    int16_t *pcm;
    size_t n, room;
} so_samples;
bool so_samples_put(so_samples *samples, const int16_t *pcm, size_t n);
void so_samples_drop(so_samples *samples, size_t n); /* the first n */

struct so_realtime {
    so_realtime_port port;
    so_realtime_config config;
    char *model, *own_instructions, id[40];
    bool speaks, closed;
    uint64_t random;
    int64_t unix_s, opened_ms, now_ms;
    unsigned events; /* sent */

    /* the conversation: items, and how many of them the engine holds as they are */
    so_realtime_item **item;
    int n_items, n_given;
    bool given_system;
    size_t kept; /* bytes of sound and pictures */

    /* the user's sound */
    so_vad *vad;
    int vad_rate;
    int64_t appended;   /* samples since the format was set */
    int64_t sounded_ms; /* when the last of them came */
    int64_t before_ms;  /* of sound before that */
    uint8_t odd;        /* half a sample that came last */
    bool has_odd;
    so_samples ring;    /* what precedes speech, at most the padding */
    so_samples turn;    /* the turn that is being spoken, not committed */
    bool speaking;      /* the voice began and did not end */
    bool fed;           /* `turn` is with the engine already */
    char turn_id[64];   /* the item that `turn` becomes */
    int64_t ended_ms;   /* semantic: when the voice ended, -1: it did not */
    int64_t idle_since; /* -1: no timeout is due */

    /* what is heard */
    char heard_id[64]; /* the item that the engine's transcript is of; "": none */
    char *heard;       /* the engine's transcript of its turn */
    size_t heard_base; /* bytes of it that belong to earlier items */
    size_t told;       /* bytes of it that went out as deltas */
    unsigned heard_turn;
    bool added, final;    /* the item was told; its transcript is final */
    int64_t committed_ms; /* when, if its transcript is still owed; else -1 */

    /* the answer */
    unsigned generation;
    bool active, transcribing;
    bool out_of_band; /* it does not join the conversation */
    bool voice;
    char speaker[64]; /* the name of that voice */
    so_realtime_format out;
    char response_id[64];
    int answer_at;            /* where its item goes */
    so_realtime_item *answer; /* told already; one of item[] unless out_of_band */
    json_t *metadata;
    int most;
    char *once; /* instructions of this response alone */
};

/* ---- realtime.c */
/* Adds "type" and "event_id" and sends; takes `event`, NULL when there was no memory. */
void so_realtime_send(so_realtime *r, const char *type, json_t *event);
void so_realtime_error(so_realtime *r, const char *event_id, const so_realtime_fault *fault);
void so_realtime_new_id(so_realtime *r, const char *prefix, char out[64]);
so_realtime_item *so_realtime_find(const so_realtime *r, const char *id, int *at);
/* Takes the item in at `at`, and tells it; `given`: the engine has it already. False, and freed, without room. */
bool so_realtime_insert(so_realtime *r, so_realtime_item *item, int at, bool given);
/* The engine gets what it lacks. */
void so_realtime_give(so_realtime *r);
/* The engine gets these items alone; the conversation is to be given anew after it. */
void so_realtime_give_only(so_realtime *r, so_realtime_item *const *item, int n);
/* Everything that the engine holds is void from item `at` on. */
void so_realtime_forget(so_realtime *r, int at);

/* Tells the client with an error event why its message is refused; `param` may be NULL. */
void so_realtime_reject(so_realtime *r, const char *event_id, const char *code, const char *param, const char *text);
/* What the engine will tell of is this item's sound from here on; `added`: the client knows the item. */
void so_realtime_hear(so_realtime *r, const char *id, bool added);

/* ---- realtime_sound.c */
/* The client's events. */
void so_realtime_append(so_realtime *r, const json_t *event, const char *event_id);
void so_realtime_commit(so_realtime *r, const json_t *event, const char *event_id);
void so_realtime_clear(so_realtime *r, const json_t *event, const char *event_id);
/* The engine hears the turn while it is spoken, as soon as it answers nothing any more. */
void so_realtime_listen(so_realtime *r);
/* The turn that is being spoken is void. */
void so_realtime_drop_turn(so_realtime *r);
/* What follows when no sound comes: a turn is over, or the user is asked. */
void so_realtime_wait(so_realtime *r);

/* ---- realtime_response.c */
void so_realtime_create(so_realtime *r, const json_t *event, const char *event_id);
/* What is heard so far of a committed turn is all: nothing more will come of it. */
void so_realtime_settle(so_realtime *r);
/* Begins an answer to what stands there. */
void so_realtime_respond(so_realtime *r, bool answers_silence);
/* Ends it on the client's side at once. */
void so_realtime_cancel(so_realtime *r, const char *reason);
void so_realtime_transcribe(so_realtime *r);
void so_realtime_truncate(so_realtime *r, const json_t *event, const char *event_id);

#endif
