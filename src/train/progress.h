/* A run's progress as a line for people.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TRAIN_PROGRESS_H
#define SO_TRAIN_PROGRESS_H

#include "train/trainer.h"

/* "eyes 150/6000  loss 0.8213  rate 0.0015  norm 0.61  5200 tok/s  31 s, 1210 s left  shape 0.2", cut at `size`. */
void so_progress_line(const so_progress *progress, const char *name, char *line, size_t size);

#endif
