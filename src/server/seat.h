/* The inside of the desk, for its files.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_SERVER_WORKER_SEAT_H
#define SO_SERVER_WORKER_SEAT_H

#include "media/resample.h"
#include "server/desk.h"

/* What others than the engine thread may know of a seat. */
typedef struct so_seat_shown {
    bool session, answering, voice;
    bool busy; /* an answer's order is carried out, or the answer is made; `turn` is its */
    uint32_t turn;
} so_seat_shown;

typedef struct so_seat {
    /* guarded by the desk's lock */
    uint64_t id, number; /* number: the order in which seats came to wait */
    so_order *first, *last;
    bool gone, paused, stop, shares, plain;
    double waits_since; /* of its first order without a session; 0: it does not wait */
    so_seat_shown shown;
    /* the engine thread's */
    so_session *session;
    char *system;
    bool answering, listening, voice;
    so_order *given, *last_given; /* where it shares: what its session was fed */
    bool hearing;                 /* the user's turn has sound */
    uint32_t turn, said;          /* of the answer; the number that came with the turn's first sound */
    so_error failure;             /* of what was fed: the next answer fails by it; status 0: none */
    so_outlet *outlet;
    so_resample_stream *resample;
    float *resampled;
    int16_t *samples;
    size_t room;
    so_bytes sound;
} so_seat;

struct so_desk;

/* Carries an order out; what comes of it is told. */
void so_seat_order(struct so_desk *desk, so_seat *seat, so_order *order);
/* Tells what its session has to say. True when there was something. */
bool so_seat_hear(struct so_desk *desk, so_seat *seat);
/* Before its reply: moves to whichever of n idle sessions holds most of its conversation. Gives that one's place, and
 * its own session there, or -1. */
int so_seat_move(so_seat *seat, so_session **idle, int n);
/* Lets go of session and voice. */
void so_seat_clear(so_seat *seat);

/* ---- what desk.c does for them */
so_crew *so_desk_crew(struct so_desk *desk);
/* Closes the oldest session that is kept for later; false when there is none. */
bool so_desk_drop_kept(struct so_desk *desk);
const so_session_options *so_desk_session(struct so_desk *desk);
/* The voice of that name, or the usual one; NULL: the model's own. */
const so_clone *so_desk_voice(struct so_desk *desk, const char *name);
/* Kernel from the model's rate to `rate`, which lives as long as the desk. */
so_status so_desk_resampler(struct so_desk *desk, int rate, const so_resampler **out, so_error *error);
/* Takes a told that was filled; the seat and the turn are added. NULL: there was no memory for it. */
void so_desk_tell(struct so_desk *desk, const so_seat *seat, so_told *told);
so_told *so_told_new(so_told_kind kind, const char *text);
void so_desk_tell_failure(struct so_desk *desk, const so_seat *seat, const so_error *error, bool answer);
void so_desk_count(struct so_desk *desk, const so_usage *usage);
double so_desk_now(void);

#endif
