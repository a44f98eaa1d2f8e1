/* One session of the Realtime protocol (GA events of /v1/realtime) as a pure state machine.
 *
 * In: the client's events, what the engine tells, and the time. Out: events for the client, and commands to a
 * conversation, both through a port. No sockets, no threads, no clock of its own: the owner calls in from one thread,
 * and every outcome follows from the calls. Whatever a client sends is answered; nothing is passed over in silence
 * (docs/server.md lists the fields that are accepted without effect).
 *
 * Invariants, which tests hold it to: at most one response is active; one response.done for every response.created;
 * after it nothing of that response; every "added" has its "done"; no audio is lost or used twice.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_SERVER_REALTIME_H
#define SO_SERVER_REALTIME_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "so.h"

enum {
    SO_REALTIME_RATE = 24000, /* Hz of audio/pcm, both ways */
    SO_REALTIME_G711_RATE = 8000,
    SO_REALTIME_APPEND = 15 << 20, /* most bytes of audio in one append */
    SO_REALTIME_ITEMS = 1000,      /* most items of a conversation */
    SO_REALTIME_KEPT = 64 << 20    /* bytes of the user's sound and pictures kept to build a conversation again */
};

typedef struct so_realtime so_realtime;

/* How the turn is to be answered. */
typedef struct so_realtime_reply {
    unsigned generation;  /* comes back with everything the engine tells of this answer */
    bool voice;           /* speech with its text, or text alone */
    bool transcript_only; /* no answer: only what was heard, finally */
    bool remembered;      /* the answer joins the conversation */
    bool answers_silence; /* a turn in which nothing was heard is answered all the same */
    int rate;             /* Hz of the voice wanted */
    int most;             /* tokens of text, or units; 0: no limit of its own */
    double temperature;   /* negative: not said */
    const char *name;     /* of its voice */
} so_realtime_reply;

/* What is measured by others. */
typedef enum so_realtime_note {
    SO_NOTE_STARTED, /* somebody began to speak */
    SO_NOTE_BARGED,  /* which ends the answer: nothing more of it is sent */
    SO_NOTE_STOPPED  /* speech is over; ms: since it was */
} so_realtime_note;

/* Where events and commands go. Commands only take note and are carried out in order; nothing may call back into the
 * session before it returns. Pointers are lent during the call. */
typedef struct so_realtime_port {
    void *context;
    void (*send)(void *context, json_t *event);                           /* takes the reference */
    void (*clear)(void *context);                                         /* the conversation is forgotten */
    void (*system)(void *context, const char *utf8);                      /* where a turn begins */
    void (*text)(void *context, const char *utf8);                        /* of the user's turn, as are the next two */
    void (*picture)(void *context, const void *file, size_t bytes);       /* a picture file of any kind */
    void (*audio)(void *context, const int16_t *pcm, size_t n, int rate); /* mono */
    void (*answer)(void *context, const char *utf8); /* an answer that was given: the turn is over */
    void (*reply)(void *context, const so_realtime_reply *reply);
    void (*stop)(void *context, unsigned generation);
    void (*heard)(void *context, int64_t ms);                       /* of the last answer only so much was played */
    void (*note)(void *context, so_realtime_note note, int64_t ms); /* may be NULL */
} so_realtime_port;

typedef struct so_realtime_options {
    const char *model, *voice; /* names to tell */
    const char *instructions;  /* the model's own system text; NULL: none */
    bool speaks;               /* it can answer in speech */
    uint64_t seed;             /* of ids */
    int64_t unix_s;            /* now, as people count */
} so_realtime_options;

/* Opens a session and sends session.created. `port` is copied. SO_ERR_NOMEM. */
so_status so_realtime_open(so_realtime **out, const so_realtime_port *port, const so_realtime_options *options,
                           so_error *error);
/* Sends nothing any more. Accepts NULL and a null session. */
void so_realtime_close(so_realtime **realtime);

/* One text message of the client. `ms`: the owner's clock. Wrong messages are answered by error events. */
void so_realtime_message(so_realtime *realtime, const char *text, size_t n, int64_t ms);
/* Time has passed: to be called every 100 ms or so. */
void so_realtime_tick(so_realtime *realtime, int64_t ms);

/* ---- what the engine tells */

/* The transcript of a turn that is being heard, or was; a final one comes once its reply begins. */
typedef struct so_realtime_transcript {
    unsigned turn;    /* the generation of the last reply that was commanded before this turn; 0: none was */
    const char *text; /* whole */
    size_t stable;    /* bytes of it that will not change */
    bool final;
    int64_t end_ms;             /* of the last word, in the turn's sound */
    const so_heard_word *words; /* of the text */
    size_t n_words;
} so_realtime_transcript;
void so_realtime_heard(so_realtime *realtime, const so_realtime_transcript *transcript);
void so_realtime_text(so_realtime *realtime, unsigned generation, const char *text);
void so_realtime_units(so_realtime *realtime, unsigned generation, const int32_t *units, size_t n);
/* A piece of the voice at the reply's rate; bytes [text_begin, text_end) of the answer's text are spoken in it. */
typedef struct so_realtime_voice_piece {
    const int16_t *pcm;
    size_t samples, text_begin, text_end;
    int64_t begin_ms, end_ms;
} so_realtime_voice_piece;
void so_realtime_voice(so_realtime *realtime, unsigned generation, const so_realtime_voice_piece *piece);

typedef struct so_realtime_end {
    const char *failure;                     /* NULL: it went well; else why not */
    bool nothing_heard;                      /* the turn held no words: no answer was made */
    bool cut_short;                          /* a limit of length ended it */
    int text_in, audio_in, image_in, cached; /* positions */
    int text_out, audio_out;
    int64_t queue_ms, first_text_ms, first_audio_ms, audio_ms, total_ms;
} so_realtime_end;
/* The answer is complete, or failed, or was stopped. */
void so_realtime_done(so_realtime *realtime, unsigned generation, const so_realtime_end *end);

/* How loud the answer is that plays now, 0 to 1: the threshold for the user's voice rises with it. */
void so_realtime_playing(so_realtime *realtime, double level);

#endif
