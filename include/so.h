/* stream-omni: a language-vision-speech model that sees, hears, writes and speaks at the same time.
 *
 *     so_model *model;  so_session *session;  so_event event;
 *     so_model_open(&model, "tabletop.gguf", NULL, &error);
 *     so_session_open(&session, model, NULL, &error);
 *     so_feed_image(session, rgb, width, height, &error);
 *     so_feed_audio(session, pcm, samples, 16000, &error);     // as often as audio arrives
 *     so_reply(session, SO_WANT_TEXT | SO_WANT_VOICE, &error); // the user's turn is over
 *     while (so_next(session, &event, &error) == SO_OK && event.kind != SO_EVENT_DONE) ...
 *     so_session_close(&session);  so_model_close(&model);
 *
 * Nothing here calls back, starts threads of its own beyond the model's pool, or keeps globals (a thread's first
 * computation maps a megabyte of scratch, which goes with the thread). A model may be shared
 * by sessions; one session is used by one thread at a time, except so_session_stop, which any thread may call. Every
 * function that returns so_status writes `error` (which may be NULL) when it fails; a failed feed leaves the session as
 * it was. Other pointers must not be NULL unless it is said where they stand: SO_ERR_ARG else, as for numbers that make
 * no sense. Closing, freeing and stopping nothing does nothing.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_H
#define SO_H

#include <stddef.h>
#include <stdint.h>

#include "so_status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SO_VERSION "0.2.0"
#define SO_VOICE_RATE 22050 /* Hz of VOICE events */
#define SO_TURN_S 120       /* seconds of audio that one turn takes at most */
#define SO_UNIT_MS 40       /* milliseconds of speech per unit */

typedef struct so_model so_model;
typedef struct so_session so_session;

/* ---- models */
/* How products with quantised weights (q8_0, q4_k, ...) are made. */
typedef enum so_precision {
    SO_PRECISION_AUTO,  /* what SO_PRECISION in the environment says (exact, int8); else int8 for models above 1 GiB,
                           exact below */
    SO_PRECISION_EXACT, /* weights as numbers, activations f32 */
    SO_PRECISION_INT8   /* weights as stored (keep_types), activations rounded to int8 in groups of 32: several times as
                           fast */
} so_precision;

typedef struct so_model_options {
    int threads;    /* 0: all cores */
    int context;    /* positions of the backbone per session; 0: the model's own, at most 8192 */
    int keep_types; /* 1: keep stored types (less memory); 0: expand small models to f32, but for what the kernels read
                     * as fast (q8_0 on x86) */
    int bf16; /* 1: vision tower and codec multiply numbers rounded to bf16, about twice as fast where the machine can
               */
    const char *tokenizer; /* folder or file of the tokenizer; NULL: where the model is */
    const char *codec;     /* folder of the speech codec; NULL: codec/ where the model is, or the same file */
    const char *speaker;   /* name of the voice in the codec's file; NULL: its English woman, else the first */
    so_precision precision;
    const char *device; /* where the networks compute: "vulkan", "cuda", "vulkan:1" (a graphics card, the one of that
                         * number); NULL or "cpu": the host. Weights keep their types there. Not every program has been
                         * built for one: SO_ERR_UNSUPPORTED; SO_ERR_MISSING where there is none */
    const char *codec_device; /* where the speech codec computes: "cpu"; NULL: where the networks do */
    int device_layers;        /* layers of the backbone on the device, from the first on: 0 all, -1 as many as fit;
                               * others stay on the host */
    int prefault; /* 1: read all stored tensors into memory now; 0: those of a model above 1 GiB by a thread,
                     beside other work, where memory has room for them; -1: when they are first used */
    int front;    /* the front end of hearing of sessions that do not say: 1 on; -1 off; 0 as the codec says, off where
                   * it says nothing; 2 the same, but then on for models below 300 M parameters */
    const char *lora; /* low-rank adapters to put beside the weights, which stay as they are: a folder of PEFT
                       * (adapter_config.json, adapter_model.safetensors) or a GGUF file of adapters; NULL: none.
                       * SO_ERR_FORMAT when one is for a matrix that the model lacks or has in another shape */
} so_model_options;

/* Opens a GGUF file made by stream-omni, or a folder in the published layout (config.json, *.safetensors,
 * tokenizer.json, and optionally the codec's files). `options` may be NULL. */
so_status so_model_open(so_model **out, const char *path, const so_model_options *options, so_error *error);
/* Closes it; sessions must be closed before. Accepts NULL and a null model. */
void so_model_close(so_model **model);

typedef struct so_model_info {
    const char *name, *path;
    int64_t parameters, text_rows, audio_rows, units;
    int width, bottom, backbone, top;
    int takes_units, sees, speaks;     /* takes speech units; takes pictures; gives audio (speech layers and a codec) */
    int takes_audio;                   /* takes audio: the codec has a speech tokenizer */
    const char *voice;                 /* name of the voice it speaks with; "" when it has none */
    int picture_side, picture_vectors; /* pixels; backbone positions per picture */
    const char *unused;                /* names of stored tensors that no network uses, one a line; NULL: none */
    int64_t n_unused;
    int front;          /* sessions that do not say have the front end of hearing on */
    int int8;           /* products with quantised weights round activations to int8 */
    const char *device; /* "cpu", or the device's name */
    const char *lora;   /* the adapters it was opened with; "" when there are none */
    int n_lora;         /* matrices that have one */
    const char *codec_device;
    int device_layers; /* of the backbone, on the device */
} so_model_info;
typedef struct so_save_options {
    const char *type;       /* of matrices: f32, bf16, f16, q8_0, q6_k, q5_k, q5_k_m, q4_k, q4_k_m, q4_0, q5_0; NULL: as
                               they are in memory */
    const char *types;      /* file of rules "PATTERN TYPE", asked before those of `type`; NULL: none */
    const char *importance; /* file that so_calibration_save wrote, for types below q8_0; NULL: none */
    void (*note)(void *context, const char *line); /* is told of matrices that could not have their type; may be NULL */
    void *context;
} so_save_options;
/* Writes the whole model (configuration, tokenizer, weights) as one GGUF file, which appears whole or not at all.
 * Vectors are stored as f32 whatever the options say. `options` may be NULL. SO_ERR_NUMBER names a tensor with a number
 * that its type cannot hold. */
so_status so_model_save(const so_model *model, const char *path, const so_save_options *options, so_error *error);
/* What drivers of graphics cards (Vulkan, CUDA) offer, for so_model_options.device. */
typedef struct so_device_entry {
    char name[64], title[256], driver[256]; /* "vulkan:0"; what its maker calls it; the driver and its version */
    char lacks[256];                        /* features it would need, with blanks between them; "": none */
    size_t memory, free;                    /* bytes; free: as the driver tells it, or all */
    int card;                               /* 1: a graphics card with memory of its own */
    int subgroup;                           /* threads that compute in step */
    int piece[3]; /* rows, columns, depth of products in f16 that it does at once, as used here; 0: none */
} so_device_entry;
/* Writes at most `most` of them; *n is their number. SO_ERR_MISSING where there is none, or no driver. */
so_status so_list_devices(so_device_entry *out, int most, int *n, so_error *error);
/* What the model's device has done since it was opened; zeros for the host. */
typedef struct so_device_work {
    int64_t launches, replayed; /* of kernels; of them, those in recordings */
    int64_t waits;              /* of the host for it */
    int64_t bytes;              /* that launches read and write */
    size_t memory;              /* bytes taken */
} so_device_work;
void so_model_device_work(const so_model *model, so_device_work *work);
/* SO_OK, or what went wrong with the model's device: it stays so, and nothing computes on it any more. SO_OK for the
 * host. May be called from any thread, and waits for nothing. */
so_status so_model_device_state(const so_model *model, so_error *error);
/* Bytes a second that the device reads and writes at most, measured by copies within its memory; 0 for the host. */
so_status so_model_device_rate(const so_model *model, double *bytes_per_s, so_error *error);
/* The halves of so_synthesize: units to mel frames, mel frames to samples. */
typedef enum so_half { SO_HALF_FLOW, SO_HALF_VOCODER } so_half;
/* Seconds that one of them takes for `units` made-up units (at most 4096), once; a device is waited for. */
so_status so_time_half(so_model *model, so_half half, size_t units, double *seconds, so_error *error);
/* Strings live as long as the model. */
void so_model_about(const so_model *model, so_model_info *info);

/* ---- sessions */
typedef enum so_loop {
    SO_LOOP_RELEASED, /* what the published code does */
    SO_LOOP_PAPER     /* algorithm 1 of the paper as printed */
} so_loop;

/* A full context. FORGET: the oldest turns leave, each with its pictures, never the system text, until half of the
 * context is free; an event says how many. The same with a new picture, where a model below 300 million parameters
 * (which learned with one at a time) has an older one before it: the turns up to that one leave. ERROR: the turn is
 * refused with SO_ERR_LIMIT, and older pictures stay. KEEP_PICTURES: turns leave, their pictures (up to 8) go to the
 * oldest turn that is left; no picture leaves for another, and more of them than are remembered are SO_ERR_LIMIT. */
enum { SO_FULL_FORGET, SO_FULL_ERROR, SO_FULL_KEEP_PICTURES };

typedef struct so_session_options {
    so_loop loop;
    int lookahead;             /* K, text tokens before the first unit; 0: 3 */
    int window;                /* W, text tokens the top layers see; 0: 5; -1: unbounded */
    int max_text, max_units;   /* per answer; 0: 1024 */
    double temperature, top_p; /* 0: greedy. In speech modes they apply to units, text stays greedy */
    int top_k;                 /* 0: 50 where temperature > 0 */
    uint64_t seed;
    const char *system;  /* system text; NULL: the model's own */
    int first_units;     /* units before the first audio leaves; 0: the default */
    int units_per_token; /* a voice that makes so many units without a further word of its text is ended: it has
                          * said all, or goes round in circles. 0: the model's own number, which published models
                          * do not have, and 50 (2 s) in so_say; -1: never. Text without a voice is ended when it has
                          * repeated itself, with a period of at most 32 tokens, for 64 tokens or more; -1: never */
    int only_units;  /* 1: a voice chooses among units and what ends it. 0: among all rows of the head, text ids too, as
                      * the  published code does; they take a fifth of the time of a unit of the published model */
    double patience; /* seconds of silence that end the user's turn in so_heard_end; 0: 0.5 */
    int front;   /* the front end of hearing: offset, hum and silence taken away, quiet speech made louder, speech cut
                  * at pauses, each segment heard on its own. 1: on; -1: off, so that units are those of the
                  * reference; 0: as the model has it */
    int on_full; /* what a full context does: SO_FULL_FORGET (0), SO_FULL_ERROR, SO_FULL_KEEP_PICTURES */
    int think; /* whether the backbone reads what is heard while it is being heard: 1 always, -1 never (it reads all of
                * it when the turn ends), 0: if it is fast enough, as measured once for a model */
    const char *kv; /* how keys and values are kept: "f32", "f16", "bf16", "q8_0" (heads of 32, 64, ...); NULL: f16
                     * where the  precision is int8, else f32 */
    int clones; /* 1: room for the voices of so_session_voice: a prompt of up to 3 s is computed before every piece */
} so_session_options;

so_status so_session_open(so_session **out, so_model *model, const so_session_options *options, so_error *error);
void so_session_close(so_session **session);
/* Forgets the conversation. */
so_status so_session_clear(so_session *session, so_error *error);

/* ---- feed: what the user gives in this turn, in any order and combination */
so_status so_feed_text(so_session *session, const char *utf8, so_error *error);
/* width x height pixels, 3 bytes each, rows top to bottom. Published models were trained with one picture, before the
 * first question; more are taken, up to 8 in a turn, and what they do then is the model's own affair. A conversation
 * remembers as many vectors as 4 pictures have at most; with more, its oldest turns leave (so_session_options.on_full).
 */
so_status so_feed_image(so_session *session, const uint8_t *rgb, int width, int height, so_error *error);
/* Mono samples in [-1, 1] at any rate from 4 to 384 kHz; the rate must stay the same within a turn. HEARD events become
 * available through so_next while feeding. While an answer is given, samples wait, up to 33 s at 48 kHz: they are the
 * beginning of the next turn. SO_ERR_LIMIT when there is no room for them. */
so_status so_feed_audio(so_session *session, const float *pcm, size_t samples, int rate, so_error *error);
/* Speech units instead of audio (0 .. units - 1). */
so_status so_feed_units(so_session *session, const int32_t *units, size_t n, so_error *error);
/* ---- history from outside, as clients keep it that send a whole conversation each time: the system text, then
 * questions (fed as ever, in words and pictures) and their answers. What of it the session holds already is not
 * computed again. */
/* In place of the system text that the session was opened with. SO_ERR_STATE unless the conversation is empty. */
so_status so_feed_system(so_session *session, const char *utf8, so_error *error);
/* An answer given earlier, in words, to what was fed since the last one. SO_ERR_STATE when that holds speech. */
so_status so_feed_answer(so_session *session, const char *utf8, so_error *error);
/* Of the conversation that `described` has been fed, how many positions the other session, of the same model and idle,
 * holds already. Whoever has most of it is cleared and fed the same: it computes the rest only. */
int64_t so_session_shared(const so_session *session, so_session *described);
/* A branch: another session, of the same crew if any, with the same options, conversation and words of the turn that is
 * open. SO_ERR_STATE while an answer is given or speech is heard; SO_ERR_LIMIT when there is no room for it. */
so_status so_session_fork(so_session **out, const so_session *from, so_error *error);

/* 1 when the user seems to have finished speaking (CTC blanks and low energy for `patience`), else 0. */
int so_heard_end(const so_session *session);

/* ---- reply and next */
enum { SO_WANT_TEXT = 1, SO_WANT_VOICE = 2, SO_WANT_UNITS = 4 };
enum { SO_LIKELIEST = 20 };

/* A text token and the logarithm of its probability: softmax over the whole vocabulary, before any temperature. */
typedef struct so_token_logprob {
    const char
        *text; /* its bytes, `bytes` of them, lent by the model: not zero-terminated, not always whole characters */
    size_t bytes;
    int32_t id;
    float logprob;
    const struct so_token_logprob *likeliest; /* n_likeliest of them, the likeliest first */
    int n_likeliest;
} so_token_logprob;

/* What one answer is made with, in place of what the session was opened with. All zero: greedy, seed 0, the session's
 * limits. */
typedef struct so_reply_options {
    double temperature, top_p; /* as in so_session_options */
    int top_k;
    uint64_t seed;           /* the streams of random numbers begin anew with it: same seed, same answer */
    int max_text, max_units; /* 0, or more than the session's: the session's */
    const char *const *stop; /* n_stop strings, at most 16 of at most 256 bytes, valid UTF-8: the answer ends before the
                              * first of them; no part of it is told, spoken or remembered */
    int n_stop;
    int logprobs;       /* 1: TEXT events bring log-probabilities of their tokens */
    int likeliest;      /* and of so many that were the likeliest beside each, at most SO_LIKELIEST */
    int answer_silence; /* 1: audio in which nothing was heard is answered, too */
    int forget; /* 1: the answer is not remembered. The user's turn stays open behind it: it may be replied to again, or
                 * be given more words; audio no more */
} so_reply_options;

/* Ends the user's turn and starts the answer. VOICE needs a model that speaks. `options` are read during the call only;
 * NULL: what the session was opened with, its stream of random numbers going on. SO_ERR_ARG for a number that is out of
 * range. SO_ERR_NOTHING_HEARD when the question was audio alone and there were no words in it: so_next tells of an
 * empty transcript, the audio is dropped, and the turn goes on with what else it has. */
so_status so_reply_with(so_session *session, unsigned want, const so_reply_options *options, so_error *error);
/* so_reply_with without options. */
so_status so_reply(so_session *session, unsigned want, so_error *error);

/* In place of a reply: says this text in the model's voice, sentence by sentence, with the same events; where the
 * voice ends before it was given all of a sentence, it goes on with what is left, and what it then gives up, a word or
 * the rest, DONE tells. The turn must hold nothing else; the
 * conversation remembers the text as an answer. Words are said as they are written: see so_spoken_text. SO_ERR_LIMIT
 * for more tokens than an answer holds. */
so_status so_say(so_session *session, const char *utf8, unsigned want, so_error *error);

/* Text as it is said: numbers, money, times, dates, units, abbreviations, addresses and signs as words, marks of a
 * document gone. `language` is "en", "zh", or NULL: told by the script. *out is the caller's, to be freed with so_free.
 */
so_status so_spoken_text(const char *utf8, const char *language, char **out, so_error *error);
/* Bytes of the first sentence of a text, white space before it counted; 0 when there is none. NULL is an empty text. */
size_t so_sentence(const char *utf8);
/* Letters and digits of the text that the model has no sound for, a blank between them; *out is NULL when there are
 * none, else the caller's, to be freed with so_free. */
so_status so_unspeakable(const so_model *model, const char *utf8, char **out, so_error *error);

/* Text as the model's tokens: *n ids at *ids, the caller's, to be freed with so_free. Special tokens are text like any
 * other but for SO_TOKENS_SPECIAL; SO_TOKENS_BOS puts the one in front that the tokenizer puts there by itself, if any.
 * From any thread. */
enum { SO_TOKENS_SPECIAL = 1, SO_TOKENS_BOS = 2 };
so_status so_text_tokens(const so_model *model, const char *utf8, unsigned flags, int32_t **ids, size_t *n,
                         so_error *error);
/* And back: always valid UTF-8, with U+FFFD where the bytes are not. SO_ERR_ARG names an id outside the vocabulary.
 * *out is the caller's, to be freed with so_free. From any thread. */
so_status so_tokens_text(const so_model *model, const int32_t *ids, size_t n, char **out, so_error *error);

typedef enum so_event_kind {
    SO_EVENT_NONE,   /* nothing new: feed more, or reply */
    SO_EVENT_HEARD,  /* transcript of the user so far */
    SO_EVENT_TEXT,   /* new answer text */
    SO_EVENT_UNITS,  /* new speech units (SO_WANT_UNITS) */
    SO_EVENT_VOICE,  /* new answer audio */
    SO_EVENT_DONE,   /* the answer is complete */
    SO_EVENT_FORGOT, /* the context was full: `text` is the number of turns, the oldest ones, that have left it */
    SO_EVENT_FAILED  /* of a crew's session: what went wrong is `text`; the turn is forgotten, the session goes on */
} so_event_kind;

/* Why an answer ended. */
typedef enum so_end {
    SO_END_NONE,      /* it has not */
    SO_END_STOP,      /* the model ended it */
    SO_END_STOP_TEXT, /* a stop string of so_reply_options */
    SO_END_LENGTH,    /* max_text or max_units */
    SO_END_CONTEXT,   /* the context is full */
    SO_END_RUN_AWAY,  /* the voice went on without words, or text alone in circles: see units_per_token */
    SO_END_STOPPED    /* so_session_stop */
} so_end;

typedef struct so_usage {
    int prompt_positions, text_tokens, units;
    int text_in, audio_in, image_in; /* positions of the prompt by what they are; their sum is prompt_positions */
    int cached_positions; /* of the prompt, those in place: from before this turn, or others' beginning, copied */
    so_end end;
    double heard_s;                              /* seconds of user audio */
    double voice_s;                              /* seconds of answer audio */
    double first_text_s, first_voice_s, total_s; /* since so_reply */
    int revised;                                 /* transcript words withdrawn while listening */
    int stopped;                                 /* 1 after so_session_stop */
    int ran_away;                                /* 1 when the answer was ended because of units_per_token */
} so_usage;

/* A word of a transcript: its bytes, and when it was said, in seconds of the turn's audio. */
typedef struct so_heard_word {
    size_t text_begin, text_end;
    double begin_s, end_s;
} so_heard_word;

typedef struct so_event {
    so_event_kind kind;
    const char *text;                 /* HEARD: whole transcript; TEXT: the new piece, valid UTF-8; DONE: of so_say,
                                       * the words that were not spoken, blanks between them; NULL for none */
    const so_token_logprob *logprobs; /* TEXT, where asked for: of the tokens that the piece is made of */
    size_t n_logprobs;
    size_t stable;         /* HEARD: bytes at the front of the transcript that will not be revised; they only grow */
    int final;             /* HEARD: will not change any more */
    double begin_s, end_s; /* HEARD: of the last word; VOICE: of this piece in the answer */
    const int32_t *units;  /* UNITS */
    size_t n_units;
    const float *pcm; /* VOICE: 22050 Hz mono */
    size_t samples;
    size_t text_begin, text_end; /* VOICE: bytes of the answer text that this piece speaks */
    so_usage usage;              /* DONE */
    const so_heard_word *words;  /* HEARD: of the whole transcript */
    size_t n_words;
    so_status status; /* FAILED */
} so_event;

/* The next event; pointers live until the next call on the session. A session of no crew computes here, in every call
 * at most one text token or unit, or one piece of its voice (an evaluation of the flow's network): NONE while it
 * answers means that there is more to come. */
so_status so_next(so_session *session, so_event *event, so_error *error);
/* Ends the answer, also while so_reply reads its prompt; from any thread. No more is finished than the one
 * op that is being computed for this session (a product, an attention), or a crew's step of several sessions. */
void so_session_stop(so_session *session);
/* After a stop: only the first `seconds` of the answer's audio were heard; the history keeps the text spoken until
 * then. */
so_status so_session_heard(so_session *session, double seconds, so_error *error);
/* The same in milliseconds, for those who cannot know how far an answer is: at any time until the next answer begins,
 * also when the next question is being fed already. What was not made was not heard, and what was cut stays cut. An
 * answer that is still being made is stopped first. *text_end (may be NULL): bytes of the answer's text that were
 * heard; of an answer without a voice, all. */
so_status so_session_heard_ms(so_session *session, int64_t ms, size_t *text_end, so_error *error);

/* ---- the user's voice, without a model */
/* Tells where speech begins and ends in a stream of 16-bit samples: what stands out of the noise and has a pitch.
 * Independent of models and sessions; one thread at a time; after opening nothing is allocated. */
typedef struct so_vad so_vad;
typedef struct so_vad_options {
    int rate;         /* Hz, 8000 to 384000; 0: 16000 */
    double threshold; /* 0 to 1, higher for loud surroundings: speech is 3 + 12 threshold dB above the noise; 0: 0.5 */
    int padding_ms;   /* how much earlier a beginning is told */
    int silence_ms;   /* of quiet that end speech; 0: 500 */
    int least_ms;     /* of sound that are speech; 0: 80 */
} so_vad_options;

typedef enum so_vad_kind { SO_VAD_NONE, SO_VAD_BEGAN, SO_VAD_ENDED } so_vad_kind;
typedef struct so_vad_event {
    so_vad_kind kind;
    int64_t at_ms; /* since opening; of a beginning and of an end, which are told some time after it */
} so_vad_event;

/* `options` may be NULL. Close with so_vad_close, which accepts NULL and a null detector. */
so_status so_vad_open(so_vad **out, const so_vad_options *options, so_error *error);
void so_vad_close(so_vad **vad);
/* Another stream: as after opening. Accepts NULL. */
void so_vad_reset(so_vad *vad);
/* Takes samples up to the next event; *used (may be NULL) says how many: feed the rest again. event->kind is
 * SO_VAD_NONE when all were taken and nothing happened. A null detector, null samples and a null event are accepted. */
void so_vad_feed(so_vad *vad, const int16_t *pcm, size_t samples, size_t *used, so_vad_event *event);
/* How loud the speaker is from now on (root mean square, 0 to 1; 0: silent): while it plays, and 250 ms longer, speech
 * must stand out of what may come back from it. */
void so_vad_playing(so_vad *vad, double level);

/* ---- memory */
/* Bytes of a session: `fixed` + `per_position` for each position of the model's context + `voice` of its own, and
 * `scratch` to compute with, which the sessions of a crew share. All are taken when it is opened; a page of them
 * becomes memory when it is first used. */
typedef struct so_forecast {
    size_t fixed, per_position, scratch, voice;
} so_forecast;
so_status so_session_forecast(so_model *model, const so_session_options *options, so_forecast *out, so_error *error);

/* ---- many sessions: a crew computes for all of them together
 *
 * One thread works a crew: it opens and closes the crew's sessions, feeds them, asks for replies, and calls
 * so_crew_step and so_next. Calls on a session only take note (so_feed_image scales the picture); so_next gives what is
 * ready, SO_EVENT_NONE when nothing is, and never computes. Only so_session_stop and so_crew_speak come from other
 * threads. */
typedef struct so_crew so_crew;
typedef struct so_crew_options {
    int sessions;    /* most at a time; 0: 8 */
    int voices;      /* most that speak at a time, further replies with a voice wait; 0: one per core */
    int prompt_rows; /* positions of a prompt that are computed together; 0: 64 to 512, fewer the larger the model */
    size_t memory;   /* bytes for sessions; 0: half of what is free */
    int clones;      /* 1: its sessions may be opened with so_session_options.clones */
} so_crew_options;
/* `options` may be NULL. */
so_status so_crew_open(so_crew **out, so_model *model, const so_crew_options *options, so_error *error);
/* Its sessions must be closed before. Accepts NULL and a null crew. */
void so_crew_close(so_crew **crew);
/* Opens a session of the crew, which so_session_close closes. SO_ERR_LIMIT, with what is missing in the text, when the
 * crew is full or the session does not fit its memory: nothing of a session fails for memory later. */
so_status so_crew_session(so_crew *crew, so_session **out, const so_session_options *options, so_error *error);
/* Bytes that its sessions hold; *most (may be NULL) is what they may. By the thread that works it. */
size_t so_crew_memory(const so_crew *crew, size_t *most);
/* One text token or unit for every session that answers, computed together, and one piece of the other work of one of
 * them: a slice of a prompt, a picture, a stretch of what was heard. *busy (may be NULL): sessions with such work left.
 * What goes wrong for one session is its event, SO_EVENT_FAILED; the status is the crew's. */
so_status so_crew_step(so_crew *crew, int *busy, so_error *error);
/* Makes the next piece of the voice that would run dry first, no more than one evaluation of the flow's network, on the
 * calling thread alone. From any thread, from up to `voices` at a time. *made is 0 when nothing is due. */
so_status so_crew_speak(so_crew *crew, int *made, so_error *error);

/* ---- abilities on their own */
/* Speech to units: out gets at most `capacity`; *n is the true number. */
so_status so_tokenize_speech(so_model *model, const float *pcm, size_t samples, int rate, int32_t *out, size_t capacity,
                             size_t *n, so_error *error);
/* Units to 22050 Hz speech: *pcm is the caller's, to be freed with so_free. */
so_status so_synthesize(so_model *model, const int32_t *units, size_t n, uint64_t seed, float **pcm, size_t *samples,
                        so_error *error);
void so_free(void *memory);

/* ---- voices made of recordings
 * Models whose codec has CAM++ (campplus.safetensors beside its other files) speak with the voice of a recording:
 *
 *     so_clone_make(&clone, model, "ada", &(so_clone_sound){pcm, samples, 44100}, 1, &error);
 *     so_session_open(&session, model, &(so_session_options){.clones = 1}, &error);
 *     so_session_voice(session, clone, &error);
 *     so_say(session, "Good morning.", SO_WANT_VOICE, &error);
 *
 * Speech in a recording is found, levelled and cut free of silence; it must last a second at least, and 30 s of it are
 * used. 5 to 15 s are enough. Of the first recording 3 s are kept as a prompt. Only use voices of people who agreed. */
typedef struct so_clone so_clone;
typedef struct so_clone_sound {
    const float *pcm; /* mono, in [-1, 1] */
    size_t samples;
    int rate; /* Hz, 8000 to 384000 */
} so_clone_sound;
typedef struct so_clone_info {
    const char *name, *source; /* SHA-256 of the samples; both live as long as the voice */
    int recordings, cut;       /* cut: of them, those that were longer than is used; not kept in files */
    double seconds;            /* of speech in them that was used */
    int prompt_units;          /* of 40 ms */
} so_clone_info;
/* SO_OK if the name can be a voice's: 1 to 63 bytes of UTF-8 without slashes and control characters, no dot or dash in
 * front. SO_ERR_ARG else. */
so_status so_clone_name(const char *name, so_error *error);
/* Makes a voice of n (1 to 64) recordings of one person; close it with so_clone_close. Takes memory for the longest of
 * them while it works. SO_ERR_UNSUPPORTED: the model has no CAM++; SO_ERR_NOTHING_HEARD: a recording holds no speech;
 * SO_ERR_ARG: less than a second of it; SO_ERR_NUMBER: a sample that is no number. */
so_status so_clone_make(so_clone **out, so_model *model, const char *name, const so_clone_sound *sounds, size_t n,
                        so_error *error);
/* Accepts NULL and a null voice. */
void so_clone_close(so_clone **clone);
/* As a file (safetensors), which appears whole or not at all; and back: SO_ERR_FORMAT, SO_ERR_SHAPE, SO_ERR_MISSING,
 * SO_ERR_NUMBER for one that is none. A file holds for the model that it was made with. */
so_status so_clone_save(const so_clone *clone, const char *path, so_error *error);
so_status so_clone_load(so_clone **out, const char *path, so_error *error);
/* Of NULL: empty texts and zeros. */
void so_clone_about(const so_clone *clone, so_clone_info *info);
/* Whether the model can speak with this voice: SO_OK, or SO_ERR_UNSUPPORTED or SO_ERR_SHAPE for one that was made with
 * another model. From any thread. */
so_status so_clone_fits(const so_clone *clone, const so_model *model, so_error *error);
/* The session's answers have this voice from the next one on; NULL: the model's own. The voice is copied. SO_ERR_STATE
 * while an answer is given, or when the session was opened without `clones`; SO_ERR_UNSUPPORTED or SO_ERR_SHAPE for a
 * voice that was made with another model. */
so_status so_session_voice(so_session *session, const so_clone *clone, so_error *error);
/* so_synthesize in this voice; NULL: the model's own. */
so_status so_synthesize_as(so_model *model, const so_clone *clone, const int32_t *units, size_t n, uint64_t seed,
                           float **pcm, size_t *samples, so_error *error);

#ifdef __cplusplus
}
#endif
#endif
