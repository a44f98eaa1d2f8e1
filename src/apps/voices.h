/* The voices that this machine has, for corpora.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_APPS_VOICES_H
#define SO_APPS_VOICES_H

#include <stdbool.h>

#include "dataset/voices/speaker.h"

/* Lists them, and lets each say `text` into `folder`, where one is given. Gives the program's exit status. */
int so_voices_list(const so_speakers_options *options, const char *text, const char *folder, bool json);

#endif
