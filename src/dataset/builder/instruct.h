/* Spoken dialogues out of written ones: the builder of InstructOmni's kind of corpus, in stages.
 *
 *     select      which records, what is said of each turn, who says it       OUT/selected.jsonl, OUT/dropped.jsonl
 *     speak       every turn by a voice, one for each dialogue's user          OUT/speech/NNNNNNN.tN.flac
 *     units       the model's speech tokenizer hears it                        OUT/units/
 *     check       it is heard again: word errors, pace, clipping               OUT/records/, OUT/failed.jsonl
 *     shard       packed                                                       OUT/shards/
 *
 * Every stage goes on where it was stopped, and is passed over where its work is done. A record keeps where it is from:
 * source and licence, the voice of each turn, the seed, what was measured. The same input, voices and seed give the
 * same records.
 *
 * Source: data-eval.md section B; the paper, section 3.2.1 and appendix A.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_DATASET_BUILDER_INSTRUCT_H
#define SO_DATASET_BUILDER_INSTRUCT_H

#include "dataset/views.h"
#include "dataset/voices/speaker.h"

/* Hears a recording: *text is freed by the caller with free(). */
typedef so_status (*so_hear_fn)(void *context, const float *pcm, int64_t n, int rate, char **text, so_error *error);

typedef struct so_instruct_options {
    const char *folder; /* OUT */
    so_speakers *speakers;
    const char *own; /* voice of the answers, "engine:voice"; NULL: the first that is deterministic */
    uint64_t seed;
    double most_user_s, most_answer_s; /* 0: 30 and 60 */
    double disturb;                    /* surroundings of the users' speech, 0 to 1 */
    double most_wer;                   /* 0: 0.1, of characters in Chinese 0.08 */
    int64_t most_records;              /* 0: all */
    so_unit_fn tokenise;               /* NULL: no units */
    void *tokeniser;
    const char *identity; /* of the tokenizer */
    so_hear_fn hear;      /* NULL: word errors are not checked */
    void *hearer;
    bool shard;
    const volatile sig_atomic_t *stop;
    void (*progress)(void *context, const char *stage, int64_t done, int64_t total); /* may be NULL */
    void *context;
} so_instruct_options;

enum { SO_INSTRUCT_REASONS = 24 };
typedef struct so_instruct_counts {
    int64_t read, selected, spoken, kept;
    double seconds;                          /* of speech that was kept */
    const char *reason[SO_INSTRUCT_REASONS]; /* why records were dropped; static */
    int64_t dropped[SO_INSTRUCT_REASONS];
} so_instruct_counts;

so_status so_instruct_build(const so_dataset *dataset, const so_instruct_options *options, so_instruct_counts *counts,
                            so_error *error);

/* Speech trimmed to 0.15 s of silence at both ends, at -23 dB (root mean square of what is no silence), its peaks at
 * most -1 dB. *samples [n] is changed in place, *n may shrink. */
void so_instruct_level(float *samples, int64_t *n, int rate);

typedef struct so_visit_options {
    const char *csv, *folder; /* VisIT-Bench's table; where SpokenVisIT goes */
    const char *leave;        /* a file of ids to leave out, one a line; NULL: none */
    so_speakers *speakers;
    uint64_t seed;
    const volatile sig_atomic_t *stop;
} so_visit_options;

/* SpokenVisIT out of VisIT-Bench: VisIT_speech.jsonl {"id", "image", "instruction", "speech", "caption", "category"}
 * and speech/. *made and *left of its rows. SO_ERR_FORMAT where columns are missing. */
so_status so_visit_build(const so_visit_options *options, int64_t *made, int64_t *left, so_error *error);

#endif
