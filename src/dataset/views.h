/* What can be done with a folder of records besides training: looking, checking, plotting, packing, making units.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_DATASET_VIEWS_H
#define SO_DATASET_VIEWS_H

#include <signal.h>

#include "base/string.h"
#include "dataset/dataset.h"
#include "dataset/sink.h"

typedef struct so_show_options {
    so_render_options render;
    const char *tokenizer;     /* a tokenizer.json or a folder with one; NULL: no ids are counted */
    const char *learn, *plain; /* what is written where learnt text begins and ends: colours, or marks */
} so_show_options;

/* Appends record i as a person may read it: where it is from, what it points to, and its template with what is learnt
 * of it between marks. */
so_status so_dataset_show(const so_dataset *dataset, int64_t i, const so_show_options *options, so_string *out,
                          so_error *error);

/* What a check found in a record. */
typedef void (*so_check_fn)(void *context, int64_t i, const char *id, so_bad reason, const char *what);

/* Compares records.jsonl with its hash, then decodes every picture and recording. *bad: records in which something is
 * wrong. Nothing is written. */
so_status so_dataset_check(const so_dataset *dataset, const so_sink_options *options, so_check_fn each, void *context,
                           int64_t *bad, so_error *error);

/* Appends a summary for people (json: one object), and writes a page with histograms where `page` is not NULL. */
so_status so_dataset_stats(const so_dataset *dataset, const char *page, bool json, so_string *out, so_error *error);

typedef struct so_shard_options {
    uint64_t bytes; /* of a shard at most, if a sample fits; 0: 1 GiB */
    const volatile sig_atomic_t *stop;
    void (*progress)(void *context, int64_t done); /* may be NULL */
    void *context;
} so_shard_options;

/* Writes FOLDER/part-000000.tar, ...: per record KEY.json, KEY.0.jpg, KEY.t0.flac, KEY.t0.u16, in WebDataset's manner.
 * Pictures and whole recordings keep their bytes, clips become FLAC. Shards appear whole; those that are there are kept
 * and passed over, so that a stopped run may be run again. *shards (may be NULL): how many there are. */
so_status so_dataset_shard(const so_dataset *dataset, const char *folder, const so_shard_options *options,
                           int64_t *shards, so_error *error);

/* Makes units of speech: *units [n], freed by the caller with free(). */
typedef so_status (*so_unit_fn)(void *context, const float *pcm, int64_t n, int rate, int32_t **units, int64_t *n_units,
                                so_error *error);

typedef struct so_unit_options {
    so_unit_fn tokenise;
    void *tokeniser;
    const char *identity; /* of the tokenizer: a run goes on only where it is the same; one line */
    bool again;           /* make units also of turns that have some */
    const volatile sig_atomic_t *stop;
    void (*progress)(void *context, int64_t done, int64_t total); /* may be NULL */
    void *context;
} so_unit_options;

/* Writes another dataset into `folder`, the same records with units in place of nothing: units.u16 holds them, 2 bytes
 * each. A stopped run goes on. */
so_status so_dataset_units(const so_dataset *dataset, const char *folder, const so_unit_options *options,
                           so_sink_counts *counts, so_error *error);

#endif
