/* stream-omni, training: what a program needs to show how models are made.
 *
 * Runs themselves are started by recipes, which bring a corpus; this header lists the stages and turns the logs that
 * runs leave into a report.
 *
 * `error` may be NULL, other pointers not unless it is said: SO_ERR_ARG.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TRAIN_H
#define SO_TRAIN_H

#include <stddef.h>

#include "so_status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One stage of the table, in words. Strings live as long as the program. */
typedef struct so_stage_info {
    const char *name, *about;
    const char *network; /* "omni", "tokenizer", "flow", "vocoder" */
    char learns[128];    /* groups of weights, comma between */
    char tasks[128];     /* "asr 0.4, tts 0.3, s-s 0.3": how often each is drawn */
    char losses[128];    /* "ctc 1, units 1, template 0.5": their weights */
    double rate;         /* peak learning rate */
} so_stage_info;
/* Stage i (from 0). Returns 0 after the last, else 1. */
int so_stage_about(int i, so_stage_info *info);

/* Writes one HTML file that tells the runs below `folder`: the folder itself and every folder in it that holds a
 * log.jsonl, in order of their names, each with its curves. SO_ERR_MISSING when there is no log; SO_ERR_IO. */
so_status so_train_report(const char *folder, const char *html, so_error *error);

/* What a report shows besides its curves. */
typedef enum so_report_kind {
    SO_REPORT_HEADING,
    SO_REPORT_TEXT,    /* a paragraph */
    SO_REPORT_ROWS,    /* a table of two columns: a line each, a tab between name and value */
    SO_REPORT_PICTURE, /* bytes of a file, and text as its caption */
    SO_REPORT_SOUND
} so_report_kind;

typedef struct so_report_part {
    so_report_kind kind;
    const char *text; /* UTF-8; may be NULL */
    const char *type; /* "image/png", "audio/flac": what `data` is; PICTURE and SOUND only */
    const void *data;
    size_t bytes;
    int width; /* PICTURE: pixels on the page; 0: its own, scrolled sideways where it is wider than the page */
} so_report_part;

/* The same report with `n` parts ahead of the curves. SO_ERR_ARG for a picture or a sound without bytes, or of a type
 * that is no "image/..." or "audio/...". */
so_status so_train_report_with(const char *folder, const char *html, const so_report_part *parts, int n,
                               so_error *error);

#ifdef __cplusplus
}
#endif
#endif
