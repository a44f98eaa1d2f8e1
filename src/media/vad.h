/* Where speech begins and ends: what so.h has no need of.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_MEDIA_VAD_H
#define SO_MEDIA_VAD_H

#include <stdbool.h>

#include "so.h"

/* Bytes that a detector takes. */
size_t so_vad_bytes(void);
/* As after opening, for a stream of another rate, 8000 to 384000 Hz. */
void so_vad_retune(so_vad *vad, int rate);
/* Feeds samples until speech begins or ends among them; false where neither happens. */
bool so_vad_notices(so_vad *vad, const float *pcm, size_t samples);

#endif
