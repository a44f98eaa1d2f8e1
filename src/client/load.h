/* Load for a server: sessions of the Realtime protocol that speak recorded turns in real time, as people with
 * microphones do, listen to the answers with a player that can run dry, speak into some, and take the times.
 *
 * One thread drives them all. A session's microphone is always on: between its turns it sends silence.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_CLIENT_LOAD_H
#define SO_CLIENT_LOAD_H

#include "client/load_figures.h"
#include "client/remote.h"

/* A recording, at SO_REMOTE_RATE, and where in it the voice is. */
typedef struct so_load_turn {
    float *pcm;
    size_t n;
    double begin_s, end_s;
} so_load_turn;
/* Finds the voice: what is louder than a hundredth (-40 dB) of the loudest sample. */
void so_load_turn_find(so_load_turn *turn);

typedef struct so_load_options {
    so_remote_options remote; /* where; what turns and answers need is set by so_load_run */
    const so_load_turn *turn; /* [turns], taken one after another, each session beginning with another one */
    int turns;
    const void *picture; /* a PNG file that every session shows first; NULL: none */
    size_t picture_size;
    int sessions;   /* open at a time */
    int speaking;   /* of these, so many speak or are answered at a time; 0: all */
    double seconds; /* turns begin for so long, and are gone through with */
    double pause;   /* seconds between an answer and the session's next turn */
    int interrupt;  /* every so many'th answer of a session is spoken into; 0: none */
    /* Tells now and then how far it is; anything but SO_OK stops. May be NULL. */
    so_status (*step)(void *context, double done, double total, so_error *error);
    void *context;
} so_load_options;

typedef struct so_load_result {
    so_load_figures figure[SO_LOAD_FIGURES];
    int turns;               /* answered, those counted that were spoken into */
    int interrupted;         /* answers that were spoken into */
    int unheard;             /* turns whose end the server did not see within 15 s, or that it did not answer */
    int split;               /* turns that it ended before their voice did */
    int failed;              /* answers that failed or never ended */
    int lost;                /* sessions whose connection broke; told_why is the first one's reason */
    int pieces, underruns;   /* of voice that came; where the player had run dry before */
    double voice_s, seconds; /* of answers; the whole run */
    double late_s;           /* by how much a piece of a microphone was sent too late here, at most */
    char told_why[256];
} so_load_result;
void so_load_result_clear(so_load_result *result);

/* SO_ERR_IO and others when a session cannot be opened; what happens to open ones is in the result. */
so_status so_load_run(const so_load_options *options, so_load_result *result, so_error *error);

#endif
