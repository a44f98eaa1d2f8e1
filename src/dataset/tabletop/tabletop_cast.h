/* Who speaks a corpus of the tabletop world where more engines than espeak-ng shall.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_DATASET_TABLETOP_TABLETOP_CAST_H
#define SO_DATASET_TABLETOP_TABLETOP_CAST_H

#include "dataset/tabletop/tabletop.h"
#include "dataset/voices/speaker.h"

enum { SO_TABLETOP_CAST_NAME = 96 };

typedef struct so_tabletop_cast so_tabletop_cast;

/* Finds the speakers of a part: for the reserved one those that are reserved, and those of a command or an endpoint;
 * for training those that are not reserved. SO_ERR_MISSING when there is none. Close with so_tabletop_cast_close. */
so_status so_tabletop_cast_open(so_tabletop_cast **out, const so_speakers_options *options, so_tabletop_part part,
                                so_error *error);
void so_tabletop_cast_close(so_tabletop_cast **cast);
const so_speakers *so_tabletop_cast_speakers(const so_tabletop_cast *cast);
/* A number that tells one cast from another. */
uint64_t so_tabletop_cast_mark(const so_tabletop_cast *cast);

/* What somebody said. */
typedef struct so_tabletop_said {
    char name[SO_TABLETOP_CAST_NAME]; /* who: "flite:rms" */
    char skipped[256];                /* who failed before, and why; empty: nobody */
    float *samples;                   /* [count], as of so_speakers_speak; the caller frees */
    int64_t count;
} so_tabletop_said;

/* Utterance `number` of a corpus: engine drawn evenly, then one of its voices. Where that one fails, the next takes its
 * place. Fails when nobody can speak. */
so_status so_tabletop_cast_speak(so_tabletop_cast *cast, uint64_t seed, uint64_t number, const char *text,
                                 so_tabletop_said *out, so_error *error);

#endif
