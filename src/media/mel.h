/* Log-mel features of speech: Whisper's, HiFi-GAN's and Kaldi's.
 *
 * | kind               | rate  | bins | window, hop | frames of n samples      | least n |
 * | SO_MEL_WHISPER     | 16000 | 128  | 400, 160    | n / 160                  | 201     |
 * | SO_MEL_VOCODER     | 22050 | 80   | 1024, 256   | n / 256 (0 to 8000 Hz)   | 385     |
 * | SO_MEL_VOCODER_GAN | 22050 | 80   | 1024, 256   | n / 256 (0 to 11025 Hz)  | 385     |
 * | SO_MEL_KALDI       | 16000 | 80   | 400, 160    | 1 + (n - 400) / 160      | 400     |
 *
 * Samples are mono in [-1, 1]; features are [frames, bins], row-major. Source: spec of the speech codec, sections 1.2,
 * 5 and 2.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_MEDIA_MEL_H
#define SO_MEDIA_MEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/pool.h"

typedef enum so_mel_kind {
    SO_MEL_WHISPER,     /* (max(log10 mel, clip's maximum - 8) + 4) / 4 */
    SO_MEL_VOCODER,     /* natural log, floor 1e-5 */
    SO_MEL_VOCODER_GAN, /* the same over the whole band, for the GAN's mel loss */
    SO_MEL_KALDI        /* natural log filterbank of CAM++, not yet mean-normalised */
} so_mel_kind;

/* Windows, filters and the transform of one kind; read-only after it is opened, may be shared by threads and streams.
 */
typedef struct so_mel so_mel;

so_status so_mel_open(so_mel **out, so_mel_kind kind, so_error *error);
void so_mel_close(so_mel **mel);
int so_mel_bins(const so_mel *mel);
int so_mel_rate(const so_mel *mel); /* Hz */
int so_mel_hop(const so_mel *mel);  /* samples */

/* Frames of a clip of n samples; 0 when it is shorter than the least. */
int64_t so_mel_frames(const so_mel *mel, int64_t n);

/* The features of a whole clip into `out` [frames, bins]; frames are spread over the pool (NULL: this thread only) and
 * do not depend on it. SO_ERR_ARG when the clip is shorter than the least; a caller who must accept it pads with zeros.
 */
so_status so_mel_compute(const so_mel *mel, const float *x, int64_t n, float *out, so_pool *pool, so_error *error);

/* [frames, bins] to [bins, frames]. */
void so_mel_transpose(const float *in, int64_t frames, int bins, float *out);
/* Subtracts every bin's mean over time in place (what CAM++ is fed). */
void so_mel_subtract_mean(float *features, int64_t frames, int bins);

/* Whisper features of audio that arrives in pieces. Raw log10 mel frames are kept as they become final; the floor,
 * which hangs on the loudest bin heard, is applied when they are read. After finish all frames equal the whole clip's,
 * bit for bit. */
typedef struct so_mel_stream so_mel_stream;

/* Room for `limit` samples is taken here; nothing is allocated later. Borrows a SO_MEL_WHISPER plan until close. */
so_status so_mel_stream_open(so_mel_stream **out, const so_mel *mel, int64_t limit, so_error *error);
/* Bytes that it has taken. */
size_t so_mel_stream_bytes(const so_mel_stream *stream);
void so_mel_stream_close(so_mel_stream **stream);
/* A new clip begins. */
void so_mel_stream_reset(so_mel_stream *stream);
/* SO_ERR_LIMIT when more than the limit would be held (nothing is then taken); SO_ERR_STATE after finish. */
so_status so_mel_stream_feed(so_mel_stream *stream, const float *x, int64_t n, so_error *error);
/* The clip ends: the last frames, which reflect its end, become final. SO_ERR_ARG below 201 samples. */
so_status so_mel_stream_finish(so_mel_stream *stream, so_error *error);
/* Frames that are final. */
int64_t so_mel_stream_frames(const so_mel_stream *stream);
/* Features [count, bins] of final frames from..from+count-1 under the floor known now. */
so_status so_mel_stream_read(const so_mel_stream *stream, int64_t from, int64_t count, float *out, so_error *error);
/* The loudest log10 mel value so far; a reader sees by it that earlier frames may read differently now. */
float so_mel_stream_peak(const so_mel_stream *stream);

#endif
