/* A conversation: what was said, what is being said, and the events that tell of it.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_ENGINE_SESSION_H
#define SO_ENGINE_SESSION_H

#include <stdatomic.h>

#include "engine/see.h"
#include "engine/step.h"
#include "nn/worker.h"
#include "speech/ear.h"
#include "speech/mouth.h"
#include "text/stops.h"
#include "text/transcript.h"

typedef enum so_phase { SO_LISTENING, SO_ANSWERING, SO_ANSWERED } so_phase;
/* How far the way from so_reply to the first token is: noted; the prompt enters the stores; it is in; steps are made.
 */
typedef enum so_reply_stage { SO_NOTED, SO_PROMPTING, SO_PROMPTED, SO_BEGUN } so_reply_stage;

enum { SO_PICTURES = 8 /* most in one turn */ };

/* Samples on their way to the ear, in front of it while an answer is given. */
typedef struct so_inbox {
    float *pcm; /* [capacity] */
    int64_t n, capacity;
    int64_t mine; /* of them, those that belong to the turn that is being answered */
    int rate;     /* Hz of the newest */
} so_inbox;

/* The answer that was remembered last. */
typedef struct so_spoken {
    bool open;                 /* it was spoken, and can be cut */
    int64_t at, n_text, n_ids; /* its first slot; its slots of text, and those of speech behind them */
    int64_t units, capacity;
    int64_t base_text, base_units; /* of the sentences before this one */
    so_ids ids;                    /* of their speech */
    int32_t *text, *span;          /* [units + 1] text tokens, and ids of speech, that so many units take */
} so_spoken;

struct so_session {
    so_model *model;
    so_session_options options;
    so_talk *talk;
    so_ear *ear;       /* NULL: the model takes no audio */
    so_mouth *mouth;   /* NULL: the model gives no audio */
    so_worker worker;  /* of a session that has no crew */
    so_worker speaker; /* and of its ear and voice, where a device computes the rest */
    so_crew *crew;     /* who computes; NULL: the calls on the session themselves */
    so_arena memory;   /* inbox and lists */
    so_phase phase;
    so_reply_stage stage; /* while ANSWERING */
    bool dirty;           /* the turn has grown beyond what the stores hold */
    bool syncing;         /* the stores are being brought to it */
    bool closing;         /* to the whole of a segment of speech, which has ended */
    so_inbox inbox;
    so_image_views views[SO_PICTURES]; /* pictures that are still to be looked at, */
    int64_t place[SO_PICTURES];        /* and where their vectors belong */
    int waiting;
    size_t bytes;     /* that its crew counts for it */
    so_error failure; /* what a crew met on this session's behalf, untold */
    atomic_int stop;
    bool speech; /* the model has speech layers */

    /* template pieces, in ids */
    so_ids head, header, reply, after_picture;
    int64_t break_ids; /* ids of the line breaks that end a header */

    /* the conversation in slots: finished turns, then the current one */
    so_slots slots;
    int64_t history, answer_at;
    int64_t *turn_at; /* [max_turns] where the finished turns begin */
    int64_t turns, max_turns;
    int left, left_told; /* turns that had to leave, those that events have told of */
    char note[64];

    /* the user's turn */
    so_string typed;
    so_ids typed_ids, heard_ids;
    int32_t *units; /* given as units; audio's are the ear's */
    int64_t n_units, max_units_in;
    int64_t cached; /* fewest positions that a sync of this turn found in place */
    bool audio, fed;
    so_vad *vad; /* of the turn's audio */
    int vad_rate;
    bool voiced;                                        /* it held somebody's voice */
    int64_t picture[SO_PICTURES], vectors[SO_PICTURES]; /* of the turn's pictures: first vector, their number */
    int pictures;
    int64_t content_at; /* position on the speech side where the turn's content begins */

    /* what was heard */
    so_string heard, heard_before;
    so_promise promise;   /* what of it was told as stable */
    so_heard_word *words; /* [context] of the transcript */
    size_t n_words;
    bool heard_news, heard_final;
    /* Segments of speech before the current one: words by now, which the backbone reads as text. */
    so_string settled;
    so_ids settled_ids;
    size_t n_settled;
    int revised;

    /* the answer */
    unsigned want;
    bool answers_silence;
    bool forget;                 /* the answer will not be remembered */
    int64_t max_text, max_units; /* of the longest answer */
    so_sampling sampling;        /* of a reply without options */
    so_stops stops;
    so_odds odds;
    int64_t odds_told;            /* tokens whose log-probabilities events have told */
    so_ids script;                /* of so_say: all sentences */
    so_ids script_at, script_end; /* where each begins and ends in it */
    int sentence;                 /* that is being said */
    int barren;                   /* pieces of it, one after the other, in which no word was heard */
    so_string unsaid;             /* words of it that the voice gave up, a blank behind each stretch */
    so_decoder decoder;
    so_string answer;
    int32_t *text_end;     /* [max_text] bytes of the answer after each text token */
    so_string piece;       /* the part of it that a TEXT event tells */
    so_ids rest;           /* of a token that a stop string cut in two */
    int64_t whole;         /* text tokens all of whose characters are complete */
    int64_t piece_at;      /* bytes of the answer that events have told */
    size_t sure;           /* bytes that no stop string can take back any more */
    int64_t answer_speech; /* position on the speech side of the first generated id */
    int64_t n_said;        /* speech units made */
    int32_t *said;         /* [max_units] */
    int64_t said_told;     /* of them, those that events have told */
    bool ended;            /* no more text or units will be made */
    so_spoken spoken;
    int64_t heard_units; /* of the answer that is being made, those that will have been heard; -1: unknown */
    so_usage usage;
    double started; /* seconds of the clock at so_reply */
};

/* ---- session.c */
enum { SO_THINKING = 300 /* positions a second that listening needs */ };
so_sampling so_session_sampling(double temperature, double top_p, int top_k, uint64_t seed);
/* Whether the backbone reads what is heard while it is heard. */
bool so_session_thinks(const so_session *session);
static inline bool so_session_spoken(const so_session *s) { return s->audio || s->n_units > 0; }
/* How a session's conversation and voice are opened. */
so_status so_session_talk_options(const so_model *model, const so_session_options *options, so_talk_options *out,
                                  so_error *error);
/* What a session takes for itself, for its conversation and its voice; scratch for `steps` conversations stepped
 * together, for listening and, where `voice` is not NULL, for its voice. Where the codec computes elsewhere than the
 * networks, listening and voice have scratch of their own: `codec`. */
typedef struct so_session_need {
    so_need talk, mouth, scratch, codec;
} so_session_need;
so_status so_session_plan(const so_model *model, const so_talk_options *talk, const so_session_options *voice,
                          int64_t steps, so_session_need *need, so_error *error);
/* Bytes that a session has taken, but for the scratch it computes with. */
size_t so_session_bytes(const so_session *session);
/* Opens a session that computes with `worker` (NULL: one of its own) and, in a crew, makes its voice elsewhere. */
so_status so_session_make(so_session **out, so_model *model, const so_session_options *options, so_crew *crew,
                          so_worker *worker, so_error *error);
/* The turn as slots; with `whole` also the header of the answer. Where the context is too small, the oldest turns leave
 * first, unless the options want an error. */
so_status so_session_lay_out(so_session *session, bool whole, so_error *error);
/* The transcript anew, from the labels in the stores. */
so_status so_session_transcribe(so_session *session, bool final, so_error *error);
/* A segment of speech, which the stores hold as a whole, becomes words for good; the speech side begins anew, as it
 * learned to hear: one utterance at a time. */
so_status so_session_settle(so_session *session, so_error *error);
/* Appends the turn's pictures. */
so_status so_session_lay_pictures(so_session *session, uint32_t where, so_error *error);
/* Forgets what was fed since the last answer. */
void so_session_new_turn(so_session *session);
/* The prompt is in the stores: the first token may be made. */
so_status so_session_begin(so_session *session, so_error *error);

/* Whether somebody speaks at all, whatever the model makes of it: for every sample that goes to the ear. */
void so_session_watch(so_session *session, const float *pcm, size_t samples, int rate);
/* Opens a turn behind an answer that is complete; SO_ERR_STATE while one is given. */
so_status so_session_open_turn(so_session *session, so_error *error);
/* Cuts the pieces of the template out of a conversation with this system text. */
so_status so_session_cut_template(so_session *session, const char *system, so_error *error);
/* The first picture that waits will not, or no longer, be looked at. */
void so_session_pop_view(so_session *session);
/* Nor will those from vector `first` on. */
void so_session_drop_views(so_session *session, int64_t first);

/* ---- say.c */
/* The sentences of a text become the script. */
so_status so_session_script(so_session *session, const char *utf8, so_error *error);
/* The sentence that is due is recited by the answer which has just begun. */
void so_session_recite(so_session *session);
/* The voice has ended: the next sentence, if there is *more, is work. */
so_status so_session_next_sentence(so_session *session, bool *more, so_error *error);

/* ---- room.c */
/* Makes the oldest finished turn leave; false when there is none. */
bool so_session_drop_turn(so_session *session);

/* ---- work.c */
/* One bounded piece of what stands between a session and its next token: a picture, a stretch of sound, a slice of the
 * prompt. *did is false when there is nothing to do, or when that waits for a voice to become free. */
so_status so_session_work(so_session *session, bool *did, so_error *error);
/* What that piece is. */
so_work so_session_next(const so_session *session);
/* Whether the next piece is a part of a prompt or a picture, which touches this session alone. */
bool so_session_computes(const so_session *session);
/* Whether such work is left. */
bool so_session_has_work(const so_session *session);
/* All of it, until the session is stopped. */
so_status so_session_catch_up(so_session *session, so_error *error);

/* ---- answer.c */
/* What a step made becomes text, units, voice. */
so_status so_session_took(so_session *session, const so_made *made, so_error *error);
/* The answer ends here, if it was stopped. True when it was. */
bool so_session_halt(so_session *session);

/* ---- crew.c */
/* Whether one more voice may begin. */
bool so_crew_voice_free(so_crew *crew);
/* Rows of a slice of its sessions' prompts; 0: as the model has it. */
int so_crew_prompt_rows(const so_crew *crew);
void so_crew_forget(so_crew *crew, so_session *session);
/* How much of the work before answers goes into a step. */
so_pace *so_crew_pace(so_crew *crew);

#endif
