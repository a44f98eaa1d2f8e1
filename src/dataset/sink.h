/* Where readers put records: checked, counted, written with an index.
 *
 * A reader hands over records as JSON values in the form of dataset/record.h, or says why there is none. Every record
 * is looked at (texts, pictures, recordings, units), by several threads at once, and written in the order in which it
 * came: the same files give the same bytes, whatever the number of threads. Nothing that is wrong is replaced by
 * anything else; it is left out, counted by its reason, and named in bad.jsonl.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_DATASET_SINK_H
#define SO_DATASET_SINK_H

#include <jansson.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define SO_INDEX_MAGIC "SOINDEX1"

/* The head of records.idx; so_lengths follow. Little endian, as all machines are that this runs on. */
typedef struct so_index_head {
    char magic[8];
    uint64_t count;
    char hash[64]; /* SHA-256 of records.jsonl, in hexadecimal digits */
} so_index_head;

/* Why something is left out. */
typedef enum so_bad {
    SO_BAD_NONE,
    SO_BAD_JSON,        /* not JSON */
    SO_BAD_LONG,        /* a line of more than 16 MiB */
    SO_BAD_UTF8,        /* text that is not UTF-8 */
    SO_BAD_FORM,        /* a record of a form that no reader knows, or without what it must have */
    SO_BAD_ROLES,       /* turns that do not alternate */
    SO_BAD_EMPTY,       /* an answer, or a text that was to be heard, without a word */
    SO_BAD_PLACEHOLDER, /* "<image>" not as often as there are pictures */
    SO_BAD_TEXT,        /* a text of more than 64 KiB */
    SO_BAD_PATH,        /* a path that leaves its folder */
    SO_BAD_NO_PICTURE,
    SO_BAD_PICTURE, /* missing; broken */
    SO_BAD_NO_SOUND,
    SO_BAD_SOUND,
    SO_BAD_DURATION, /* outside the bounds, or not the one told */
    SO_BAD_UNITS,    /* not 25 +- 8 % a second, or a broken list */
    SO_BAD_NO_TEXT,  /* a recording that no line of the transcript names */
    SO_BAD_COMMAND,  /* a pipe in place of a file */
    SO_BAD_CUT,      /* the end of a shard that was cut off */
    SO_BADS
} so_bad;
const char *so_bad_name(so_bad bad); /* "picture missing"; static */

/* What was odd and taken all the same. */
typedef enum so_odd {
    SO_ODD_ENDING, /* a picture or recording found under another ending */
    SO_ODD_TWICE,  /* an id that was there before */
    SO_ODD_FIRST,  /* a first turn that is not the user's, left out */
    SO_ODD_MARK,   /* a placeholder that had to be put in front */
    SO_ODD_UNITS,  /* units of another codec, left out */
    SO_ODDS
} so_odd;
const char *so_odd_name(so_odd odd);

typedef struct so_sink_options {
    double least_s, most_s; /* of a recording; 0: 0.1 and 60 */
    bool deep;              /* decode every picture and recording, not only their heads */
    bool lax;               /* do not look at files at all */
    int threads;            /* 0: one per core */
    const volatile sig_atomic_t *stop;
    void (*progress)(void *context, int64_t records); /* may be NULL */
    void *context;
} so_sink_options;

typedef struct so_sink so_sink;

/* Files appear in `folder` (made if needed) at commit, or not at all. SO_ERR_STATE when another process writes there.
 */
so_status so_sink_open(so_sink **out, const char *folder, const so_sink_options *options, so_error *error);
/* Takes a record, and the reference to it (also when it fails). `file` and `number` (line or element, from 1) say where
 * it came from. Fails only where writing does, or to stop. NULL is SO_ERR_NOMEM. */
so_status so_sink_put(so_sink *sink, json_t *record, const char *file, int64_t number, so_error *error);
/* Notes that there is no record, and why. `format` gives details. */
so_status so_sink_bad(so_sink *sink, so_bad reason, const char *file, int64_t number, so_error *error,
                      const char *format, ...) __attribute__((format(printf, 6, 7)));
void so_sink_odd(so_sink *sink, so_odd odd);

typedef struct so_sink_counts {
    int64_t records, bad[SO_BADS], odd[SO_ODDS], all_bad;
    int64_t turns, images, units, text;
    double seconds;
    char identity[65]; /* after commit */
} so_sink_counts;
const so_sink_counts *so_sink_counts_of(const so_sink *sink);

/* Writes what is left, and dataset.json with `about` (lent) under "sources". */
so_status so_sink_commit(so_sink *sink, const json_t *about, so_error *error);
/* Without a commit nothing of it stays. Accepts NULL and a null sink. */
void so_sink_close(so_sink **sink);

#endif
