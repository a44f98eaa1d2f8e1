/* Streaming in: audio that arrives in pieces becomes speech units while the user still speaks.
 *
 * The speech tokenizer looks both ways, so that units near the end of what was heard may change when more arrives. The stream
 * recomputes a window behind the newest audio, commits units once enough context stands to their right, and counts how
 * many committed ones had to be revised. After finish the units equal those of the whole clip computed at once, bit for
 * bit: resampling and features are the whole clip's already, and the network then runs over all of it once.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_ENGINE_EARS_H
#define SO_ENGINE_EARS_H

#include "media/mel.h"
#include "media/resample.h"
#include "models/speech_tokenizer.h"

typedef struct so_ears so_ears;

typedef struct so_ears_options {
    double right;  /* seconds of context to the right of a unit before it is committed; 0: 0.32 */
    double every;  /* seconds of new audio between two looks; 0: 0.24 */
    double window; /* seconds behind the newest audio that a look computes again, at least; 0: 10 */
    double limit;  /* seconds of audio a turn may hold; 0: 60, or the tokenizer's context where that is less */
} so_ears_options;

/* Everything is allocated here, but for the resampling kernel, which is made when a rate is first heard and kept until
 * another one is. `net` and `mel` (SO_MEL_WHISPER) are lent until close. */
so_status so_ears_open(so_ears **out, const so_speech_tokenizer *net, const so_mel *mel, const so_ears_options *options,
                       so_error *error);
void so_ears_close(so_ears **ears);
/* Bytes of a pass's arena that feed and finish need at most. */
so_status so_ears_plan(const so_ears *ears, const so_kernels *kernels, size_t *bytes, so_error *error);
/* A new turn begins. */
void so_ears_reset(so_ears *ears);
/* Takes mono samples at `rate` Hz (the same within a turn) and, when enough are new, looks again. The pass's arena is used
 * and released. SO_ERR_LIMIT beyond the limit, SO_ERR_NUMBER for a sample that is not finite, SO_ERR_ARG for another rate
 * than before (nothing is then taken), SO_ERR_STATE after finish. */
so_status so_ears_feed(so_ears *ears, so_pass *pass, const float *pcm, size_t samples, int rate, so_error *error);
/* The turn is over: every unit becomes final. A clip too short to hear is padded with silence; one without any sample has
 * no units. Nothing happens when it was over already. */
so_status so_ears_finish(so_ears *ears, so_pass *pass, so_error *error);

/* All units known now, valid until the next call: the first `*committed` are committed; `*changed_from` is the lowest index
 * that is new or changed since the previous call (the count where none is): whoever has built on later ones goes back to
 * there. */
const int32_t *so_ears_units(so_ears *ears, int64_t *count, int64_t *committed, int64_t *changed_from);
/* Times that a committed unit changed afterwards, this turn. */
int64_t so_ears_revised(const so_ears *ears);
/* Seconds since the voice was last heard: since energy was last near the turn's loudest (30 dB below it, or clearly above
 * the background); all of the turn while nothing but silence was heard. */
double so_ears_quiet(const so_ears *ears);
/* Seconds heard this turn. */
double so_ears_seconds(const so_ears *ears);

#endif
