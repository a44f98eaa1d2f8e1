/* Files of events as TensorBoard reads them: what a run reports, as curves.
 *
 * A file is records {u64 length, u32 check of it, bytes, u32 check of them}, little-endian, each an Event of protocol
 * buffers: wall_time 1 (double), step 2, file_version 3 ("brain.Event:2", the first record), summary 5 { value 1 { tag
 * 1, simple_value 2 (float) } }, session_log 7 { status 1 }. A check is CRC-32C, turned right by 15 bits, plus
 * 0xa282ead8.
 *
 * Source: TensorFlow's record format (tsl/lib/io/record_writer), event.proto and summary.proto, Apache-2.0.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TRAIN_EVENTS_H
#define SO_TRAIN_EVENTS_H

#include "train/trainer.h"

typedef struct so_events so_events;

/* One curve's next point. */
typedef struct so_event_value {
    const char *tag; /* "train/loss" */
    double value;    /* written as float */
} so_event_value;

/* Begins the file `path` with its first record. SO_ERR_IO. */
so_status so_events_create(so_events **out, const char *path, double wall_time, so_error *error);
/* Begins events.out.tfevents.TIME.HOST.PID.N in `folder`. It says at which step the run begins or goes on: what
 * earlier files have from that step on no longer counts. */
so_status so_events_open(so_events **out, const char *folder, int64_t step, so_error *error);
/* Accepts NULL and a null file. */
void so_events_close(so_events **events);

/* One record with `n` values, all the way to the file. Values that are not finite are left out. */
so_status so_events_add(so_events *events, double wall_time, int64_t step, int n, const so_event_value *value,
                        so_error *error);
/* The same of what a run reports, as "train/NAME" and "eval/NAME", now. NULL events: does nothing. */
so_status so_events_write(so_events *events, const so_progress *progress, so_error *error);

#endif
