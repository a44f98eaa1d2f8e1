/* One turn with a model, as most verbs have it: opening it, feeding files, collecting and showing the answer.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_APPS_TURN_H
#define SO_APPS_TURN_H

#include "apps/cli.h"
#include "media/audio.h"
#include "media/image.h"
#include "media/sound_writer.h"
#include "so.h"

/* What options say about the model and the session; start from so_setting_defaults. */
typedef struct so_setting {
    const char *model, *tokenizer, *codec, *speaker, *system, *loop, *precision, *kv, *front, *device, *lora,
        *codec_device, *device_layers;
    const char *voice; /* made of recordings, by name or file; NULL: the model's own */
    so_texts like;     /* recordings to make one of, for this run */
    int64_t threads, context, seed, max_text, max_units, lookahead, window, top_k, first_units, units_per_token;
    double temperature, top_p, patience;
    bool keep_types, prefault, bf16, only_units;
    bool no_front; /* sessions get no front end of hearing, whatever the model has */
} so_setting;

/* Rows of an option table: the model, and the session. */
#define SO_MODEL_OPTIONS(s)                                                                                            \
    {"model", SO_OPTION_TEXT, &(s).model, "FILE|DIR", "the model; models/tabletop.gguf when not given"},               \
        {"tokenizer", SO_OPTION_TEXT, &(s).tokenizer, "PATH", "its tokenizer, when that lies elsewhere"},              \
        {"codec", SO_OPTION_TEXT, &(s).codec, "DIR", "its speech codec, when that lies elsewhere"},                    \
        {"speaker", SO_OPTION_TEXT, &(s).speaker, "NAME", "the voice it speaks with"},                                 \
        {"lora", SO_OPTION_TEXT, &(s).lora, "DIR|FILE",                                                                \
         "adapters to put beside its weights: a folder of PEFT or a GGUF file"},                                       \
        {"threads", SO_OPTION_INT, &(s).threads, "N", "threads; all cores when not given", 1, 1024},                   \
        {"precision", SO_OPTION_TEXT, &(s).precision, "NAME", "of products with quantised weights: exact or int8"},    \
        {"device", SO_OPTION_TEXT, &(s).device, "NAME",                                                                \
         "where it computes: cpu, vulkan, cuda, vulkan:1 (inspect --devices)"},                                        \
        {"codec-device", SO_OPTION_TEXT, &(s).codec_device, "cpu", "keeps the speech codec on the processor"},         \
        {"device-layers", SO_OPTION_TEXT, &(s).device_layers, "N|auto",                                                \
         "so many layers of the backbone on the device, the rest on the processor; auto: as many as fit"},             \
        {"prefault", SO_OPTION_FLAG, &(s).prefault, NULL, "read the whole model into memory first"},                   \
        {"keep-types", SO_OPTION_FLAG, &(s).keep_types, NULL, "do not expand small models to f32"},                    \
    {                                                                                                                  \
        "bf16", SO_OPTION_FLAG, &(s).bf16, NULL, "faster eyes, ears and voice: their products in bf16"                 \
    }
#define SO_SESSION_OPTIONS(s)                                                                                          \
    {"voice", SO_OPTION_TEXT, &(s).voice, "NAME|FILE", "speak with this voice, of those that 'voices' made"},          \
        {"system", SO_OPTION_TEXT, &(s).system, "TEXT", "system text; the model's own when not given"},                \
        {"temperature", SO_OPTION_REAL, &(s).temperature, "X", "0 takes the likeliest", 0, 100},                       \
        {"top-p", SO_OPTION_REAL, &(s).top_p, "X", "share of probability that is sampled from", 0, 1},                 \
        {"top-k", SO_OPTION_INT, &(s).top_k, "N", "how many candidates are sampled from", 0, 1e6},                     \
        {"seed", SO_OPTION_INT, &(s).seed, "N", "of everything random", 0, 9e15},                                      \
        {"max-text", SO_OPTION_INT, &(s).max_text, "N", "text tokens per answer", 0, 1e6},                             \
        {"max-units", SO_OPTION_INT, &(s).max_units, "N", "speech units (40 ms) per answer", 0, 1e6},                  \
        {"context", SO_OPTION_INT, &(s).context, "N", "positions of a conversation", 0, 1e6},                          \
        {"kv", SO_OPTION_TEXT, &(s).kv, "TYPE", "keys and values of the past: f32, f16, bf16 or q8_0"},                \
        {"loop", SO_OPTION_TEXT, &(s).loop, "NAME", "released (as published code does) or paper (algorithm 1)"},       \
        {"units-per-token",                                                                                            \
         SO_OPTION_INT,                                                                                                \
         &(s).units_per_token,                                                                                         \
         "N",                                                                                                          \
         "end a voice that makes so many units without a further word; -1: never",                                     \
         -1,                                                                                                           \
         1e6},                                                                                                         \
        {"only-units", SO_OPTION_FLAG, &(s).only_units, NULL,                                                          \
         "a voice chooses among units and its end, not among all rows (faster; no text ids in it)"},                   \
        {"lookahead", SO_OPTION_INT, &(s).lookahead, "K", "text tokens before the first unit", 0, 1000},               \
    {                                                                                                                  \
        "window", SO_OPTION_INT, &(s).window, "W", "text tokens the top layers see; -1: all", -1, 1000                 \
    }

#define SO_LIKE_OPTION(s)                                                                                              \
    {                                                                                                                  \
        "like", SO_OPTION_TEXTS, &(s).like, "RECORDING", "speak with the voice in this recording; may be given again"  \
    }
#define SO_FRONT_OPTION(s)                                                                                             \
    {                                                                                                                  \
        "front", SO_OPTION_TEXT, &(s).front, "on|off|auto",                                                            \
            "level, offset, hum and silence put right before hearing; auto: as the model says, on for small ones"      \
    }

so_status so_setting_open(const so_setting *setting, so_model **model, so_error *error);
/* What they say about a session; strings are lent by the setting. */
so_status so_setting_options(const so_setting *setting, so_session_options *options, so_error *error);
so_status so_setting_session(const so_setting *setting, so_model *model, so_session **session, so_error *error);
/* The voice that they ask for, loaded or made now; NULL: the model's own. */
so_status so_setting_voice(const so_setting *setting, so_model *model, so_clone **clone, so_error *error);

/* A word of the transcript, and a piece of the answer, with their times in seconds. */
typedef struct so_timed {
    double begin, end;
    char text[64];
} so_timed;

typedef struct so_answer {
    char *heard, *text; /* "" when nothing came */
    char *unsaid;       /* words that the voice gave up; NULL: none */
    float *pcm;
    size_t samples;
    int32_t *units;
    size_t n_units;
    so_timed *word, *piece;
    size_t placed; /* bytes of the answer that pieces have so far: one that a border cuts belongs to the first */
    size_t words, pieces;
    double first_heard_s; /* from so_reply (or before it: negative) to the first transcript; NaN: none */
    size_t early_words;   /* words recognised before so_reply */
    size_t said_before;   /* bytes of the text that earlier calls of so_say said */
    double asked_at;      /* so_cli_now() of so_reply */
    int rate;             /* Hz of pcm; 0: SO_VOICE_RATE */
    bool final;           /* the transcript will not change any more */
    so_usage usage;
} so_answer;
void so_answer_clear(so_answer *answer);

/* What is shown while an answer is made. */
typedef struct so_show {
    bool transcript, text, labels; /* on stdout as they come; with "heard:" and "answer:" before them */
    so_sound_writer *wav;          /* the voice goes there too; may be NULL */
    void (*voice)(void *context, const float *pcm, size_t samples); /* and there; may be NULL */
    void *context;
    /* private */
    size_t column; /* of the answer's text so far */
    bool in_text;
} so_show;

/* What a turn consists of; any may be NULL. */
typedef struct so_asking {
    const so_image *seen;
    const so_audio *said;
    const char *text;
    const char *seen_name, *said_name; /* for errors */
} so_asking;

/* Says on stderr which letters of a question no token of the model holds: it was not trained on their language. */
so_status so_turn_foreign(const so_model *model, const char *text, so_error *error);

/* After SO_ERR_NOTHING_HEARD: says so on stderr, after `name` where there is one, and takes the empty transcript. */
so_status so_turn_silent(so_session *session, const char *name, so_answer *answer, so_show *show, so_error *error);
/* SO_ERR_STOPPED once a signal has asked the program to end. */
so_status so_turn_stopped(so_error *error);
/* Feeds picture, speech (in pieces, taking what is heard meanwhile) and words. */
so_status so_turn_feed(so_session *session, const so_asking *question, so_answer *answer, so_show *show,
                       so_error *error);
/* The same in steps: so_reply; one event; the line break after the text shown. */
so_status so_turn_begin(so_session *session, unsigned want, so_answer *answer, so_error *error);
so_status so_turn_step(so_session *session, so_answer *answer, so_show *show, bool *done, so_error *error);
void so_turn_end(so_show *show);
/* What an event brings is added to the answer and shown: for events that another than so_next gives. */
so_status so_turn_take(so_answer *answer, so_show *show, const so_event *event, so_error *error);
/* so_reply, then events until DONE. */
so_status so_turn_reply(so_session *session, unsigned want, so_answer *answer, so_show *show, so_error *error);
/* Says a text of any length, a few sentences at a time, each as a conversation of its own where there are several. */
so_status so_turn_say(so_session *session, const char *text, unsigned want, so_answer *answer, so_show *show,
                      so_error *error);
/* Ends the turn for its transcript's sake only: no answer is made. */
so_status so_turn_transcript(so_session *session, so_answer *answer, so_show *show, so_error *error);
/* Takes what is ready now, without a reply. */
so_status so_turn_drain(so_session *session, so_answer *answer, so_show *show, so_error *error);

/* Members of one JSON object, without its braces. */
void so_answer_json(FILE *out, const so_answer *answer);
/* One line of times and speeds. */
void so_answer_speed(FILE *out, const so_answer *answer);

/* Units of a clip as the model hears it; the caller frees *units with free(). */
so_status so_turn_units(so_model *model, const so_audio *speech, int32_t **units, size_t *n, so_error *error);

/* A picture of how things lie in time: the question's waveform and words, the answer's waveform, units and text.
 * `speech` may be NULL. */
so_status so_alignment_write(const char *path, const so_audio *speech, const int32_t *heard_units, size_t n_heard_units,
                             const so_answer *answer, so_error *error);
/* The same drawing into memory; the caller clears `image`. */
so_status so_alignment_draw(so_image *image, const so_audio *speech, const int32_t *heard_units, size_t n_heard_units,
                            const so_answer *answer, so_error *error);

#endif
