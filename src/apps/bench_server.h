/* The verb bench with a server: load, and what is shown of it.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_APPS_BENCH_SERVER_H
#define SO_APPS_BENCH_SERVER_H

#include "apps/far.h"
#include "client/load.h"

typedef struct so_bench_load {
    so_far far;
    int64_t sessions, speaking, interrupt;
    double seconds, pause;
    const char *plot; /* .svg or .html; NULL: none */
    bool json;
} so_bench_load;

/* Runs the load with the files' recordings (and at most one picture) as turns; the shipped question where there are
 * none. */
so_status so_bench_server(const so_bench_load *ask, int n, char **file, so_error *error);
/* Histograms of all figures, as SVG, or in a page where the name ends in .html. */
so_status so_bench_plot(const char *path, const char *title, const so_load_result *result, so_error *error);

#endif
