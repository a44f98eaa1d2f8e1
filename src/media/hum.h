/* Hum of the mains in a recording: lines at 50 or 60 Hz and their multiples that stand still while everything else
 * comes and goes.
 *
 * Every 50 ms the last 200 ms tell how high each line is and where it is in its turn (a Hann window, in which multiples
 * of 10 Hz do not see each other). A line is found once it has said the same for long enough; from then on it is
 * followed, in frequency too, and can be taken out of a frame: what lies beside it stays as it is. Where none is found
 * nothing is changed.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_MEDIA_HUM_H
#define SO_MEDIA_HUM_H

#include <stdbool.h>
#include <stdint.h>

#include "media/fft.h"

enum {
    SO_HUM_FRAME = 160,   /* samples at 16 kHz */
    SO_HUM_HARMONICS = 8, /* of 50 Hz, then as many of 60 Hz */
    SO_HUM_LINES = 2 * SO_HUM_HARMONICS,
    SO_HUM_STEPS = 800 /* of a window, at 4 kHz */
};

typedef struct so_hum_line {
    so_bin is;         /* height and turn at the end of the last 50 ms: x = re cos - im sin of its nominal frequency */
    so_bin first;      /* measurement of the run */
    so_bin from, to;   /* what is taken of it at the beginning and at the end of the frame fed last */
    int run;           /* measurements in a row that agree */
    int astray;        /* that do not, of a line that was found */
    bool found, fresh; /* fresh: since the frame fed last */
} so_hum_line;

typedef struct so_hum {
    double step[SO_HUM_STEPS]; /* the last window, each at its number's place */
    so_hum_line line[SO_HUM_LINES];
    double drift; /* Hz that the mains are off */
    int known;    /* measurements that tell so */
    int64_t n;    /* samples fed */
    int found;    /* lines */
} so_hum;

/* Hz of a line. */
double so_hum_hertz(int line);
void so_hum_reset(so_hum *hum);
/* Takes a frame [SO_HUM_FRAME]. True where there is something to take out of it: of a line that is fresh all there is,
 * where the frame before it will be cleaned, too (`backwards`), and more and more, where it is gone. */
bool so_hum_feed(so_hum *hum, const float *x, bool backwards);
/* The lines have ended: nothing is taken any more. */
void so_hum_forget(so_hum *hum);
/* Whether one has been found in it that was not known before. */
bool so_hum_fresh(const so_hum *hum);
/* Takes the lines out of the frame fed last, which went through a filter of this response [SO_HUM_LINES] at them. */
void so_hum_clean(const so_hum *hum, const so_bin *response, float *x);
/* Takes lines that are fresh out of the frame `back` frames before it, as far back as they are known to reach. */
void so_hum_clean_back(const so_hum *hum, const so_bin *response, int64_t back, float *x);
/* The power that it takes out there. */
double so_hum_power_back(const so_hum *hum, const so_bin *response, int64_t back);
/* The power of all lines that are known. */
double so_hum_power(const so_hum *hum, const so_bin *response);

#endif
