/* Speech for corpora: espeak-ng's English voices, lightly disturbed.
 *
 * Every utterance is spoken in a child process of its own, because the library carries state from one utterance to the
 * next: the same text, voice and seed give the same samples whatever was spoken before, and threads may speak at once.
 * The library is looked for when something is first to be spoken (dataset/voices/espeak.h): without it, that is an
 * error. Source: the tabletop spec, "Voices". SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_DATASET_VOICES_VOICE_H
#define SO_DATASET_VOICES_VOICE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "dataset/tabletop/tabletop.h"

enum { SO_ESPEAK_RATE = 22050 }; /* Hz */

typedef struct so_voice {
    char accent[24];    /* "en-us" */
    char variant[8];    /* "+f3", or empty */
    int speed;          /* words a minute, 80 to 450 */
    int pitch;          /* 0 to 99 */
    int amplitude;      /* 0 to 200 */
    bool disturbed;     /* noise and reverberation, their strength drawn from the seed of so_voice_speak */
    char invented[768]; /* an espeak-ng voice file that stands for accent and variant; empty: they are installed ones */
} so_voice;

/* The voice of answers that are spoken to measure by (and of models that learned it): en-us+f3, 160 words a minute,
 * pitch 50, never disturbed. */
so_voice so_voice_own(void);
/* A user's voice. Training draws one of six accents with one of ten variants; the reserved part draws the reserved
 * accent, a reserved variant, or both, a third each. A third of all are disturbed. */
so_voice so_voice_draw(so_tabletop_part part, uint64_t seed, uint64_t index);
/* A voice that nobody has, on the ground of one of the six training accents: another throat (formants, pitch, breath),
 * another rhythm, and some of its vowels and consonants exchanged for neighbours. Who learns from many of these
 * understands accents that he never heard. Nothing of the reserved accent or variants is in them. */
so_voice so_voice_invent(uint64_t seed, uint64_t index);
/* Whether the accent or the variant is one that training never uses. */
bool so_voice_is_reserved(const so_voice *voice);
/* "en-us+f3"; returns `name`. */
const char *so_voice_name(const so_voice *voice, char name[32]);

/* Speaks UTF-8 text. Gives `*count` samples of mono sound at 22050 Hz within [-1, 1] that the caller frees with free().
 * At most 100 ms of silence follow the last sound. SO_ERR_MISSING when espeak-ng or the voice is not installed,
 * SO_ERR_ARG when nothing is to be said or the voice's numbers are outside their ranges, SO_ERR_LIMIT above 120 s. */
so_status so_voice_speak(const char *text, const so_voice *voice, uint64_t seed, float **samples, int64_t *count,
                         so_error *error);

/* How a text is pronounced: espeak-ng's names of its phonemes, stress marks among them, '|' or '_' or a blank between
 * them and a line break behind each clause. `accent` as in so_voice. The caller frees with free(). SO_ERR_MISSING when
 * espeak-ng or the accent is not installed. Unlike speech this is worked out in the calling process, one text at a
 * time. */
so_status so_voice_phonemes(const char *text, const char *accent, char **phonemes, so_error *error);

#endif
