/* Older checkpoints of a run, beside the one that it goes on from: <folder>/checkpoint-STEP.so.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TRAIN_KEEP_H
#define SO_TRAIN_KEEP_H

#include <stdint.h>

/* Gives <folder>/checkpoint.so, if it is there, its second name, by the step that it stands at. What the disk cannot do
 * is left: a checkpoint that is written next takes the place of the first name only. */
void so_keep_checkpoint(const char *folder, int64_t step);
/* Removes all but the `most` that stand at the latest steps. */
void so_keep_latest(const char *folder, int most);

#endif
