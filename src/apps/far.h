/* Turns with a model that a server has, in place of one that is opened here.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_APPS_FAR_H
#define SO_APPS_FAR_H

#include "apps/turn.h"
#include "client/remote.h"

/* Where it is. Each has a twin in the environment: STREAM_OMNI_SERVER, _KEY, _TLS_CA. */
typedef struct so_far {
    const char *server, *key, *authority;
} so_far;

#define SO_FAR_OPTIONS(f)                                                                                              \
    {"server", SO_OPTION_TEXT, &(f).server, "URL", "talk with a server (stream-omni serve), not with a model here"},   \
        {"key", SO_OPTION_TEXT, &(f).key, "KEY", "for a server that wants one; better in STREAM_OMNI_KEY"},            \
    {                                                                                                                  \
        "tls-ca", SO_OPTION_TEXT, &(f).authority, "FILE", "trust this authority (the server's authority.pem)"          \
    }

/* How a conversation goes on there. */
typedef struct so_far_ask {
    bool voice, units;
    bool microphone; /* the server finds the turns in what is appended */
    bool interrupt;
} so_far_ask;

/* Takes what the environment says where nothing was given. */
void so_far_settle(so_far *far);
/* Connects. Settings that only a model here has are refused by their names (SO_ERR_ARG). */
so_status so_far_open(so_remote **out, const so_far *far, const so_setting *setting, const so_far_ask *ask,
                      so_error *error);
/* One turn with files: its pieces, and the answer until it is complete. Of an answer that breaks off, what came is
 * there. */
so_status so_far_turn(so_remote *remote, const so_asking *question, so_answer *answer, so_show *show, so_error *error);
/* What an event of the server means for the answer: adds it and shows it, and takes times. *done: the answer is over.
 * SO_ERR_IO with the server's word when it failed. */
so_status so_far_take(so_answer *answer, so_show *show, const so_remote_event *event, bool *done, so_error *error);

#endif
