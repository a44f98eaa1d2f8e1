/* What a run of training was begun with, kept in its checkpoint so that it goes on as it began.
 *
 * A text of lines "name value".
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TRAIN_SETTINGS_H
#define SO_TRAIN_SETTINGS_H

#include "train/trainer.h"

/* The plan's own settings and those of plan->settings. The caller frees *text with free(). */
so_status so_settings_of(const so_train_plan *plan, char **text, so_error *error);
/* SO_ERR_STATE, naming each setting that differs with both values, unless had[size] says what `now` says. */
so_status so_settings_same(const char *had, size_t size, const char *now, so_error *error);

#endif
