/* What lies between a speaker and a corpus: a throat, a room, a microphone, a line, a pause. Every disturbance is a
 * number that is drawn from a seed and told with the recording; the same numbers and seed give the same samples.
 *
 * Source: Allen and Berkley, "Image method for efficiently simulating small-room acoustics" (1979); ITU-T G.711.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_DATASET_VOICES_SURROUNDINGS_H
#define SO_DATASET_VOICES_SURROUNDINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/rng.h"

typedef enum so_line { SO_LINE_NONE, SO_LINE_ULAW, SO_LINE_8_BITS, SO_LINES } so_line;

/* Zero is undisturbed throughout, but for `formants` and `speed`, where it means 1. */
typedef struct so_surroundings {
    double formants;                     /* all formants and the pitch times this, 0.75 to 1.35: another throat */
    double speed;                        /* 0.7 to 1.4 times as fast, at the same pitch */
    double room_s;                       /* seconds until an echo has fallen by 60 dB, to 1; 0: no room */
    double room_m;                       /* longest wall, 2 to 12 metres */
    double low_hz, high_hz;              /* band of the microphone; 0: all */
    double noise_db;                     /* noise so far below the speech (5: loud); 0: none */
    double noise_tilt;                   /* dB an octave: 0 white, -3 pink, -6 brown */
    double hum_db;                       /* a mains hum of 50 Hz and its harmonics so far below the speech; 0: none */
    double offset;                       /* constant that is added, -0.5 to 0.5 */
    double peak_db;                      /* level of the loudest sample; 0: full scale */
    double clip_db;                      /* so many dB are cut off the peaks */
    so_line line;                        /* what coded it on the way; all but NONE at 8 kHz */
    double before_s, inside_s, behind_s; /* silence (of the same noise) added, to 10 s */
} so_surroundings;

/* Draws some: most recordings have a few of them, a quarter has none but a level. `strength` 0 to 1 scales how many and
 * how far. */
so_surroundings so_surroundings_draw(so_rng *rng, double strength);

/* Puts `n` samples at `rate` Hz into surroundings: *out, *count, freed with free(). SO_ERR_ARG for numbers outside
 * their ranges, SO_ERR_NOMEM. The silence inside goes to the quietest place of the middle half. */
so_status so_surroundings_apply(const so_surroundings *surroundings, const float *x, int64_t n, int rate, uint64_t seed,
                                float **out, int64_t *count, so_error *error);

#endif
