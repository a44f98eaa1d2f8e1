/* Who speaks in the tabletop recipe's corpus: a share of the questions for each speaker of dataset/voices/speaker.h
 * that this machine has, speech that was recorded or made beforehand, and the model's own voice.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_RECIPES_TABLETOP_PART_CAST_H
#define SO_RECIPES_TABLETOP_PART_CAST_H

#include "dataset/voices/speaker.h"
#include "recipes/tabletop/recipe.h"

enum { SO_TT_SPEAKERS = 64, SO_TT_FAMILIES = 8 };

/* A question that somebody has spoken already. */
typedef struct so_tt_recording {
    char path[512], speaker[48];
    so_tt_item item; /* kind, scene, question, answer */
} so_tt_recording;

typedef struct so_tt_cast {
    so_speakers *speakers;
    int own;                     /* the model's voice */
    int fallback[2];             /* by so_tabletop_part: who speaks where another fails */
    int user[SO_TT_SPEAKERS];    /* speakers of the part that is learned from */
    double upto[SO_TT_SPEAKERS]; /* their shares, summed up; the last is 1 */
    int users, reserved[SO_TT_SPEAKERS], reserved_n;
    bool given_up[256]; /* failed again and again */
    int failed_in_row[256];
    so_tt_recording *recording[2]; /* by so_tabletop_part */
    int64_t recordings[2];
} so_tt_cast;

/* SO_ERR_MISSING without espeak-ng, or without the own voice when that was asked for by name; SO_ERR_ARG for a folder
 * of recordings of which nothing can be taken. What else is missing is told (so_tt_say). */
so_status so_tt_cast_open(so_tt_cast **out, const so_tt *tt, so_error *error);
void so_tt_cast_close(so_tt_cast **cast);
/* Who asks question `i` of a part. */
int so_tt_cast_draw(const so_tt_cast *cast, const so_tt *tt, so_tabletop_part part, int64_t i);
/* "flite/rms" in `name`, cut to fit. */
void so_tt_cast_name(const so_tt_cast *cast, int speaker, char name[48]);

/* One utterance: samples [n] at SO_SPEAKER_RATE, freed with free(), and who spoke. */
typedef struct so_tt_said {
    float *samples;
    int64_t n;
    int speaker;
} so_tt_said;

/* What one speaker is to say: n texts, with a seed for each. */
typedef struct so_tt_lines {
    so_tabletop_part part;
    int speaker, n;
    const char *const *text;
    const uint64_t *seed;
} so_tt_lines;

/* Speaks them; those that fail are spoken by the fallback of their part. A speaker that fails eight times in a row is
 * asked no more by this process. What was said stays in said[n] even after a failure. */
enum { SO_TT_TOGETHER = 50 };
so_status so_tt_cast_speak(so_tt_cast *cast, const so_tt *tt, const so_tt_lines *lines, so_tt_said *said,
                           so_error *error);

/* What speakers make alike: "espeak-ng", "flite", "festival", "command", "endpoint", "recorded". */
void so_tt_family(const char *speaker, char family[16]);

#endif
