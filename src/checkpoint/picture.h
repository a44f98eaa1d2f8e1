/* From a picture's views to the vectors that stand for it in the backbone: the merge rules of several views.
 * Source: docs/model.md 4.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_CHECKPOINT_PICTURE_H
#define SO_CHECKPOINT_PICTURE_H

#include "checkpoint/config.h"

/* How the views of one picture lie. */
typedef struct so_picture {
    int views;
    int grid_w, grid_h;   /* tiles, for more than one view */
    int image_w, image_h; /* pixels of the picture */
    int side;             /* patches a side of one view */
    bool list;            /* views came as a list (anyres), where even one view is merged */
} so_picture;

/* Vectors after merging under the setup's rules; at least one. */
int64_t so_picture_vectors(const so_setup *setup, const so_picture *picture);
/* The most vectors any picture can become, and the most views. */
int64_t so_picture_most(const so_setup *setup, const so_image_spec *spec, int *views);
/* `in` [views, side^2, D] -> `out` [so_picture_vectors, D]. `newline` [D] stands at the end of each row where the rules
 * want it; SO_ERR_MISSING when they do and it is NULL. */
so_status so_picture_merge(const so_setup *setup, const so_picture *picture, int64_t width, const so_real *in,
                           const so_real *newline, so_real *out, so_error *error);

#endif
