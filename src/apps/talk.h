/* The inside of the verb talk, for its files: with a model here (talk.c), and by microphone with a server (talk_far.c).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_APPS_TALK_H
#define SO_APPS_TALK_H

#include "apps/exchange.h"
#include "apps/loudspeaker.h"

/* Pieces of 40 ms: kept from before the first sound; taken at once from a microphone that never runs dry. */
enum { SO_LEAD = 10, SO_DRAIN = 50 };

static const char so_talking_prompt[] = "speak; Ctrl-C ends the conversation\n";

typedef struct so_talking {
    so_setting setting;
    so_far far;
    const char *wav, *microphone, *speaker, *picture, *text;
    bool interrupt, list, json, no_cancel;
    int turns;       /* answered */
    so_operand seen; /* the picture of the turns to come */
    so_model *model; /* these two, */
    so_session *session;
    so_remote *remote; /* or this */
    so_audio_device *device;
    so_sound_writer writer;
    float piece[SO_PIECE_MAX], lead[SO_LEAD][SO_PIECE_MAX]; /* of the microphone: this piece, and those not fed yet */
} so_talking;

void so_talking_show(so_talking *t, so_show *show);
/* After a turn: a JSON object on a line of its own, or how fast it was where nobody listens meanwhile. */
void so_talking_tell(so_talking *t, const so_answer *answer, bool speed);
/* The whole conversation by microphone and speaker with a server. */
so_status so_talking_far(so_talking *t, so_error *error);

#endif
