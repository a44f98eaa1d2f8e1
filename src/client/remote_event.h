/* What a server of the Realtime protocol (GA events) tells, read from its messages: a pure function, strict in what it
 * uses, silent about what it does not know.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_CLIENT_REMOTE_EVENT_H
#define SO_CLIENT_REMOTE_EVENT_H

#include <stdbool.h>

#include "base/error.h"
#include "so.h"

enum { SO_REMOTE_RATE = 24000 /* Hz of sound, both ways */ };

typedef enum so_remote_kind {
    SO_REMOTE_NONE,    /* nothing that matters here */
    SO_REMOTE_CREATED, /* session.created */
    SO_REMOTE_UPDATED, /* session.updated */
    SO_REMOTE_BEGAN,   /* the user's voice began (ms) */
    SO_REMOTE_ENDED,   /* it ended (ms): the turn is over */
    SO_REMOTE_HEARD,   /* the transcript of the user's turn, whole; id: its item */
    SO_REMOTE_MORE,    /* more of it, to be appended */
    SO_REMOTE_ANSWERS, /* an answer begins; id: its response */
    SO_REMOTE_ITEM,    /* id: the item that the answer becomes */
    SO_REMOTE_TEXT,    /* a piece of the answer's text */
    SO_REMOTE_UNITS,   /* of its speech units */
    SO_REMOTE_VOICE,   /* of its voice */
    SO_REMOTE_DONE,    /* it is over: end, usage, and text when it failed */
    SO_REMOTE_REFUSED  /* an error event: text, code, param */
} so_remote_kind;

typedef enum so_remote_end {
    SO_REMOTE_COMPLETED,
    SO_REMOTE_CANCELLED,
    SO_REMOTE_INCOMPLETE,
    SO_REMOTE_FAILED
} so_remote_end;

typedef struct so_remote_event {
    so_remote_kind kind;
    char *text; /* owned, as are pcm and units; valid UTF-8 */
    char id[128], code[64], param[96];
    size_t stable;        /* HEARD: bytes that will not be revised */
    bool final;           /* HEARD */
    so_heard_word *words; /* HEARD: of its text, where the server tells them; owned */
    size_t n_words;
    bool marked; /* VOICE: the bytes of text and the seconds below are told */
    float *pcm;  /* VOICE, at SO_REMOTE_RATE */
    size_t samples, text_begin, text_end;
    double begin_s, end_s;
    int32_t *units;
    size_t n_units;
    int64_t ms;
    so_remote_end end;
    int positions, text_tokens, audio_tokens; /* DONE: of the prompt, and made */
    double at;                                /* so_poll_now() when it came; set by who reads */
} so_remote_event;

/* Reads one message. SO_ERR_FORMAT names what is wrong with it, SO_ERR_NOMEM. To be cleared in any case. */
so_status so_remote_event_read(so_remote_event *out, const char *text, size_t n, so_error *error);
void so_remote_event_clear(so_remote_event *event);

#endif
