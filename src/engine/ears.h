/* Streaming in: audio that arrives in pieces becomes speech units while the user still speaks.
 *
 * The speech tokenizer looks both ways, so that units near the end of what was heard may change when more arrives. The stream
 * recomputes a window behind the newest audio, commits units once enough context stands to their right, and reports how
 * many committed ones had to be revised. After finish the units equal those of the whole clip computed at once.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_ENGINE_EARS_H
#define SO_ENGINE_EARS_H

#include "media/mel.h"
#include "media/resample.h"
#include "models/speech_tokenizer.h"

typedef struct so_ears so_ears;

typedef struct so_ears_options {
    double right; /* seconds of context to the right of a unit before it is committed; 0: the default */
    double every; /* seconds of new audio between two looks; 0: the default */
    double limit; /* seconds of audio a turn may hold; 0: 60, or the tokenizer's context */
} so_ears_options;

/* Everything is allocated here. `net` and `mel` are lent until close. */
so_status so_ears_open(so_ears **out, const so_speech_tokenizer *net, const so_mel *mel, const so_ears_options *options,
                       so_error *error);
void so_ears_close(so_ears **ears);
/* A new turn begins. */
void so_ears_reset(so_ears *ears);
/* Takes mono samples at `rate` (the same within a turn) and, when enough are new, looks again. SO_ERR_LIMIT beyond the
 * limit (nothing is then taken), SO_ERR_NUMBER for a sample that is not finite. */
so_status so_ears_feed(so_ears *ears, so_pass *pass, const float *pcm, size_t samples, int rate, so_error *error);
/* The turn is over: every unit becomes final. A clip too short to hear is padded with silence. */
so_status so_ears_finish(so_ears *ears, so_pass *pass, so_error *error);

/* All units known now: the first `*committed` are committed; `*changed_from` is the lowest index that changed since the
 * previous call (equal to the count where nothing did): whoever has built on later ones goes back to there. */
const int32_t *so_ears_units(so_ears *ears, int64_t *count, int64_t *committed, int64_t *changed_from);
/* Committed units that changed afterwards, this turn. */
int64_t so_ears_revised(const so_ears *ears);
/* Seconds since energy was last near speech level (relative to the turn's loudest), and seconds heard. */
double so_ears_quiet(const so_ears *ears);
double so_ears_seconds(const so_ears *ears);

#endif
