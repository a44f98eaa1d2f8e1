/* `stream-omni train tabletop`: runs the tabletop recipe, or one part of it.
 * SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "recipes/tabletop.h"

static volatile sig_atomic_t stop;
static void on_signal(int s) { stop = s; }
static void say(void *context, const char *line)
{
    (void)context;
    printf("%s\n", line);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    so_error error = {0};
    if (argc < 3) return 2;
    so_tt tt = {.folder = argv[1], .seed = 1, .say = say, .stop = &stop, .kernels = so_kernels_best()};
    if (argc > 4) tt.minutes = atof(argv[4]);
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    so_status s = so_pool_open(&tt.pool, argc > 3 ? atoi(argv[3]) : 1, &error);
    if (s == SO_OK) s = so_tt_open(&tt, &error);
    if (s == SO_OK && strcmp(argv[2], "vocabulary") == 0) s = so_tt_vocabulary(&tt, &error);
    if (s == SO_OK && strcmp(argv[2], "corpus") == 0) s = so_tt_corpus_make(&tt, argc > 5 ? atol(argv[5]) : 9000, 2, &error);
    if (s == SO_OK && strcmp(argv[2], "eyes") == 0) s = so_tt_eyes(&tt, &error);
    if (s == SO_OK && strcmp(argv[2], "backbone") == 0) s = so_tt_backbone(&tt, &error);
    if (s == SO_OK && strcmp(argv[2], "ears") == 0) s = so_tt_ears(&tt, &error);
    if (s == SO_OK && strcmp(argv[2], "units") == 0) s = so_tt_units(&tt, &error);
    if (s == SO_OK && strcmp(argv[2], "omni") == 0) s = so_tt_omni(&tt, &error);
    if (s == SO_OK && strcmp(argv[2], "bottom") == 0) s = so_tt_bottom(&tt, &error);
    if (s == SO_OK && strcmp(argv[2], "top") == 0) s = so_tt_top(&tt, &error);
    if (s == SO_OK && strcmp(argv[2], "vocoder") == 0) s = so_tt_vocoder(&tt, &error);
    if (s == SO_OK && strcmp(argv[2], "flow") == 0) s = so_tt_flow(&tt, &error);
    if (s == SO_OK && strcmp(argv[2], "model") == 0) s = so_tt_model(&tt, &error);
    if (s != SO_OK) fprintf(stderr, "error: %s\n", error.text);
    so_tt_close(&tt);
    so_pool_close(&tt.pool);
    return s != SO_OK;
}
