/* Samples for a report: what a finished model does with questions of the tabletop world.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_APPS_SAMPLES_H
#define SO_APPS_SAMPLES_H

#include "apps/turn.h"
#include "so_train.h"

/* Parts of a report, with what they hold. Start from a zeroed struct. */
typedef struct so_sample_list {
    so_report_part *part;
    int n;
} so_sample_list;

/* Opens the model and asks it `n` questions of the reserved part in reserved voices of this
 * machine's engines, two about a picture for every one
 * without. Each becomes: what was asked, heard and answered; the picture (PNG); question and answer (FLAC); and the
 * drawing of their alignment (PNG), as the demo makes it. A model without a voice answers in text. */
so_status so_samples_make(so_sample_list *samples, const so_setting *setting, int64_t n, uint64_t seed,
                          so_error *error);
/* The table that 'eval tabletop --condition ... --json' printed into a file. SO_ERR_FORMAT for another file. */
so_status so_samples_conditions(so_sample_list *samples, const char *path, so_error *error);
void so_samples_clear(so_sample_list *samples);

#endif
