/* Pictures that show no tabletop, for tabletop_scene.c.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_DATASET_TABLETOP_TABLETOP_OTHER_H
#define SO_DATASET_TABLETOP_TABLETOP_OTHER_H

#include "dataset/tabletop/tabletop.h"

/* Draws the picture of a seed from SO_TABLETOP_OTHER_SCENE up into rgb[112 * 112 * 3]. */
void so_tabletop_other_picture(uint64_t seed, uint8_t *rgb);

#endif
