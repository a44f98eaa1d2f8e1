/* What a load is measured by: lists of figures and their shares, and a player that knows when it runs dry.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_CLIENT_LOAD_FIGURES_H
#define SO_CLIENT_LOAD_FIGURES_H

#include <stddef.h>

#include "base/error.h"

typedef enum so_load_figure {
    SO_LOAD_STOPPED, /* end of the voice to speech_stopped; seconds, as are all but the last */
    SO_LOAD_TEXT,    /* speech_stopped to the first text */
    SO_LOAD_AUDIO,   /* speech_stopped to the first audio */
    SO_LOAD_ANSWER,  /* end of the voice to the first audio */
    SO_LOAD_STARTED, /* a voice that speaks into an answer to speech_started */
    SO_LOAD_SILENT,  /* speech_started to the last audio of the answer that was spoken into; 0: none came after it */
    SO_LOAD_FACTOR,  /* seconds that an answer's voice took to come, by its own length */
    SO_LOAD_FIGURES
} so_load_figure;

/* What they are called: for people, and in JSON. */
const char *so_load_words(so_load_figure figure);
const char *so_load_name(so_load_figure figure);

typedef struct so_load_figures {
    double *x;
    size_t n;
} so_load_figures;

so_status so_load_add(so_load_figures *figures, double x, so_error *error);
void so_load_sort(so_load_figures *figures);
/* Of sorted figures the least that `share` (0..1) of them do not pass (nearest rank); NaN of none. */
double so_load_share(const so_load_figures *figures, double share);
/* How many of sorted figures fall into each of `n` equal spans from 0 to `most`; the last takes all above. */
void so_load_count(const so_load_figures *figures, double most, int *count, int n);
/* A round number (1, 2 or 5 with zeros) of spans' width times n that covers 99 of 100. */
double so_load_scale(const so_load_figures *figures, int n);

/* Plays what comes, `lead` seconds after the first of it. */
typedef struct so_load_player {
    double lead;
    double dry_at; /* the clock's time at which it will have played all; 0: nothing came yet */
} so_load_player;
/* `seconds` of sound come at `now`; 1 when it had run dry before (it begins anew with its lead), else 0. */
int so_load_play(so_load_player *player, double now, double seconds);

#endif
