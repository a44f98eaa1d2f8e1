/* How much work is done at a time where others wait for their turn: what a piece of it will take is foretold from what
 * pieces of its kind took lately, and measured again when it is done.
 *
 * Time may be told by somebody else's clock, so that what is done when can be tested.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BASE_PACE_H
#define SO_BASE_PACE_H

#include <stdbool.h>
#include <stdint.h>

enum { SO_PACE_KINDS = 8, SO_PACE_TURNS = 16 };

/* A piece of work: pieces of one kind take about as long as they are large. */
typedef struct so_work {
    int kind; /* 0 to SO_PACE_KINDS - 1 */
    double size;
} so_work;

typedef struct so_pace {
    double (*clock)(void *context); /* seconds; NULL: the system's monotonic clock */
    void *context;
    double least;               /* seconds: pieces that fit into them are always made */
    double guess;               /* seconds of a turn of the others, until one was measured */
    double rate[SO_PACE_KINDS]; /* seconds of a piece of size 1, lately; 0: unknown */
    double turn[SO_PACE_TURNS]; /* seconds of their last turns */
    int64_t turns;              /* so many there were */
    int64_t waited;             /* turns without a piece */
} so_pace;

/* Seconds of the monotonic clock. */
double so_clock(void);
double so_pace_now(const so_pace *pace);
/* What the piece will take; 0 where nothing is known of its kind. */
double so_pace_foretell(const so_pace *pace, so_work work);
void so_pace_note(so_pace *pace, so_work work, double seconds);
/* The others had a turn of so many seconds. */
void so_pace_turn(so_pace *pace, double seconds);
/* Their turns in the median. */
double so_pace_median(const so_pace *pace);
/* Seconds of pieces that may follow a turn of `turn` seconds (0: nobody had one), so that both are hardly longer than
 * a turn in the median. */
double so_pace_room(const so_pace *pace, double turn);
/* Whether one piece must be made although it does not fit: after any usual turn, and after a few unusual ones. */
bool so_pace_must(so_pace *pace, double turn);

#endif
