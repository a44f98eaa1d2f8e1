/* Voices made of recordings, as they are kept for a user: a folder with a file for each.
 *
 * The folder is $STREAM_OMNI_VOICES_DIR, else $XDG_DATA_HOME/stream-omni/voices, else
 * ~/.local/share/stream-omni/voices; a voice NAME is NAME.safetensors in it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_APPS_CLONES_H
#define SO_APPS_CLONES_H

#include "apps/cli.h"
#include "so.h"

enum { SO_CLONES_PATH = 4096, SO_CLONES_MOST = 1000 };

/* Voices of the folder by name. */
typedef struct so_clones {
    so_clone **clone; /* [n] */
    int n, broken;    /* broken: files that could not be read, told on stderr */
} so_clones;

so_status so_clones_folder(char path[SO_CLONES_PATH], so_error *error);
/* Where the voice of that name lies or would lie. */
so_status so_clones_path(const char *name, char path[SO_CLONES_PATH], so_error *error);
/* All that is there; a folder that is not there holds none. To be cleared in any case. */
so_status so_clones_open(so_clones *clones, so_error *error);
void so_clones_clear(so_clones *clones);
/* The voice of that name or, where `name` has a slash or ends in .safetensors, of that file. SO_ERR_MISSING names those
 * that there are. */
so_status so_clones_find(const char *name, so_clone **clone, so_error *error);
/* Makes one of recordings (files, "-", URLs), and says on stderr which of them were too long. */
so_status so_clones_make(so_model *model, const char *name, const char *const *recordings, int n, so_clone **clone,
                         so_error *error);

#endif
