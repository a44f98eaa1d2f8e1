/* How much work is done at a time. See pace.h.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "base/pace.h"

#include <time.h>

enum { PATIENCE = 3 /* turns that are longer than usual, after which there is a piece all the same */ };

static const double over = 1.2; /* of a turn in the median, with all that follows it */

double so_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double so_pace_now(const so_pace *pace) { return pace->clock ? pace->clock(pace->context) : so_clock(); }

double so_pace_foretell(const so_pace *pace, so_work work) { return pace->rate[work.kind] * work.size; }

void so_pace_note(so_pace *pace, so_work work, double seconds)
{
    double *rate = &pace->rate[work.kind], now = seconds / work.size;
    if (!(work.size > 0)) return;
    *rate = *rate > 0 ? *rate + (now - *rate) / 4 : now;
}

void so_pace_turn(so_pace *pace, double seconds) { pace->turn[pace->turns++ % SO_PACE_TURNS] = seconds; }

double so_pace_median(const so_pace *pace)
{
    double sorted[SO_PACE_TURNS];
    int n = pace->turns < SO_PACE_TURNS ? (int)pace->turns : SO_PACE_TURNS;
    if (!n) return pace->guess;
    for (int i = 0; i < n; i++) {
        int at = i;
        for (; at > 0 && sorted[at - 1] > pace->turn[i]; at--) sorted[at] = sorted[at - 1];
        sorted[at] = pace->turn[i];
    }
    return sorted[n / 2];
}

double so_pace_room(const so_pace *pace, double turn)
{
    double room = over * so_pace_median(pace) - turn;
    return room > pace->least ? room : pace->least;
}

bool so_pace_must(so_pace *pace, double turn)
{
    bool must = turn <= 1.1 * so_pace_median(pace) || ++pace->waited > PATIENCE;
    if (must) pace->waited = 0;
    return must;
}
