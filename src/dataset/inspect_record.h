/* Looking at one record as a reader gave it: texts, pictures, recordings, units.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_DATASET_INSPECT_RECORD_H
#define SO_DATASET_INSPECT_RECORD_H

#include "dataset/dataset.h"
#include "dataset/sink.h"

typedef struct so_inspected {
    so_bad bad;
    char *what; /* details of `bad`; freed by the caller */
    so_lengths lengths;
    uint8_t odd[SO_ODDS];
} so_inspected;

/* Fills `out`, which is zeroed. Of the record it may change paths (files found under another ending) and "seconds".
 * From any thread, on different records. */
void so_inspect_record(json_t *record, const so_sink_options *options, so_inspected *out);

#endif
