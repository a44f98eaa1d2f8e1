/* Corpora of the tabletop world on disk: writing them, and reading them wherever they were made.
 *
 *     DIR/tabletop.json     what was asked for: format, version, seed, part, scenes, turns, talk, audio, answers
 *     DIR/images/NNNNNN.png 112 x 112 RGB, one per scene
 *     DIR/speech/ID.flac    a question in a user's voice, 22050 Hz mono, 16 bits (.wav when asked for)
 *     DIR/answers/ID.flac   its answer in one voice of espeak-ng (only when asked for)
 *     DIR/records.jsonl     one object per question, see below; written last: a folder that has it is complete
 *     DIR/llava.json        array of LLaVA conversations: one per scene with all its turns, one per exchange of talk
 *     DIR/asr.jsonl         ASR manifest of everything under speech/: {"audio_filepath", "duration", "text"}
 *
 * ID is vNNNNNN-TT (scene, turn), tNNNNNN (talk) or oNNNNNN (from outside). A conversation is {"id", "image"?,
 * "speech"?: [path per question], "conversations": [{"from": "human", "value": "<image>\nQuestion"}, {"from": "gpt",
 * "value": "Answer"}, ...]}; the placeholder stands in the first question only.
 *
 * A line of records.jsonl:
 *
 *     {"id": "v000012-03", "kind": "relation", "question": "Is the star above the circle?",
 *      "answer": "Yes, the star is above the circle.",
 *      "image": "images/000012.png", "scene": 48213,                       with a picture only
 *      "objects": [{"shape": "star", "color": "red", "size": "small", "cell": "top left",
 *                   "x": 18.2, "y": 17.5, "diameter": 15.1, "rgb": [221, 35, 48]}, ...],
 *      "speech": "speech/v000012-03.flac", "duration": 1.873,
 *      "voice": {"accent": "en-gb", "variant": "+f2", "speed": 151, "pitch": 40, "amplitude": 97, "disturbed": false},
 *      "answer_speech": "answers/v000012-03.flac", "answer_duration": 2.031}
 *
 * Where other engines speak, voice is {"engine": "flite", "name": "rms"}. kind is a name of so_tabletop_kind_name. The
 * reader needs only question (or "text", "transcription") and takes the rest when it is there. Paths are relative to
 * DIR or absolute; where a .flac is named and only the .wav exists, or the other way round, the one that exists is
 * taken. "audio", "audio_filepath" and "wav" also name the speech; "colour" may stand for "color"; "cell" may be a
 * number 0 to 8. A folder without records.jsonl is read by its llava.json (question and answer of every turn), else by
 * its asr.jsonl or manifest.jsonl. Source: the tabletop spec; LLaVA conversation JSON; NeMo manifests.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_DATASET_TABLETOP_TABLETOP_CORPUS_H
#define SO_DATASET_TABLETOP_TABLETOP_CORPUS_H

#include "base/error.h"
#include "dataset/tabletop/tabletop.h"
#include "dataset/voices/speaker.h"
#include "dataset/voices/voice.h"

/* Called after every piece of work in the process that called; false stops the work. */
typedef bool (*so_tabletop_progress)(void *context, int64_t done, int64_t total);

typedef struct so_tabletop_options {
    const char *folder;
    uint64_t seed;
    so_tabletop_part part;
    int64_t scenes;                    /* pictures, 0 to 1,000,000 */
    int turns;                         /* questions per picture, 1 to 16 */
    int64_t talk;                      /* exchanges without a picture, 0 to 1,000,000 */
    int64_t outside;                   /* questions from outside of the world, in English and not, 0 to 1,000,000 */
    const so_speakers_options *voices; /* who asks, besides espeak-ng; NULL: espeak-ng alone */
    void (*note)(void *context, const char *line); /* a voice that failed, an engine that is absent; may be NULL */
    bool mute;                                     /* no speech at all */
    bool answers;                                  /* speak the answers too */
    bool wav;                                      /* .wav instead of .flac */
    int processes;                                 /* 0 means one per core */
    so_tabletop_progress progress;                 /* may be NULL */
    void *context;
} so_tabletop_options;

/* Writes the corpus. Every file appears whole or not at all, and files that are there and whole are kept, so that a
 * stopped run may be run again; empty and cut ones are made again; the bytes depend on the options only. SO_ERR_STATE
 * when the folder holds a corpus of other options, SO_ERR_STOPPED when progress said so, SO_ERR_ARG for numbers outside
 * their ranges. Forks: call it before starting threads that hold locks. */
so_status so_tabletop_build(const so_tabletop_options *options, so_error *error);

/* One question of a corpus. Strings live as long as the corpus; the optional ones are NULL when absent, durations 0. */
typedef struct so_tabletop_item {
    const char *id, *kind_name;
    int kind; /* a so_tabletop_kind, -1 when the name is none */
    const char *question, *answer;
    const char *image, *speech, *answer_speech; /* paths that can be opened */
    double duration, answer_duration;           /* seconds */
    int64_t scene_seed;                         /* -1 when not told */
    int objects;
    so_scene_object object[SO_TABLETOP_OBJECTS]; /* shape, colour, big and cell; the rest when told */
    so_voice voice;                              /* accent empty when not told */
    char speaker[96];                            /* who asks: "espeak-ng", "flite:rms"; empty when not told */
} so_tabletop_item;

typedef struct so_tabletop_corpus {
    int64_t count;
    so_tabletop_item *items;
} so_tabletop_corpus;

/* Reads a folder, or one file: .json holds LLaVA conversations, any other name records line by line. The caller closes.
 * SO_ERR_FORMAT names the file and the line. */
so_status so_tabletop_open(so_tabletop_corpus *corpus, const char *path, so_error *error);
void so_tabletop_close(so_tabletop_corpus *corpus);

#endif
