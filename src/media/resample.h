/* Changing the sampling rate exactly as torchaudio's transforms.Resample does with its defaults.
 *
 * A windowed sinc with a Hann window of 6 zero crossings and roll-off 0.99. Source: spec of the speech codec, section
 * 1.1, including the float32 phase offsets and the float32 output length.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_MEDIA_RESAMPLE_H
#define SO_MEDIA_RESAMPLE_H

#include <stdint.h>

#include "base/error.h"

/* The kernel for one pair of rates; read-only after it is opened, may be shared by threads and streams. */
typedef struct so_resampler so_resampler;

/* Rates in Hz, 100..768000. SO_ERR_LIMIT when the pair is so odd that its kernel passes 4 M weights. */
so_status so_resampler_open(so_resampler **out, int from, int to, so_error *error);
void so_resampler_close(so_resampler **resampler);

/* Samples that a clip of n samples becomes. */
int64_t so_resampler_length(const so_resampler *resampler, int64_t n);
/* A whole clip: `out` has so_resampler_length(n) samples. Only SO_ERR_NOMEM. */
so_status so_resample(const so_resampler *resampler, const float *x, int64_t n, float *out, so_error *error);

/* A whole clip in samples of its own: *out has *count of them (and room for one more), freed with free(); NULL on
 * failure. SO_ERR_NOMEM. */
so_status so_resample_clip(const so_resampler *resampler, const float *x, int64_t n, float **out, int64_t *count,
                           so_error *error);
/* The same from one rate to another, without a kernel at hand. Errors as of so_resampler_open. */
so_status so_resample_to(int from, int to, const float *x, int64_t n, float **out, int64_t *count, so_error *error);

/* The same for audio that arrives in pieces: all outputs one after the other equal the whole clip's, bit for bit. */
typedef struct so_resample_stream so_resample_stream;

/* Borrows the resampler until close. Feeding allocates nothing. */
so_status so_resample_stream_open(so_resample_stream **out, const so_resampler *resampler, so_error *error);
void so_resample_stream_close(so_resample_stream **stream);
/* Forgets everything fed: a new clip begins. */
void so_resample_stream_reset(so_resample_stream *stream);
/* The most samples that feeding n more can give now; with n = 0, that finish can give. */
int64_t so_resample_stream_bound(const so_resample_stream *stream, int64_t n);
/* Takes n samples, writes those that are final to `out`, returns their number. */
int64_t so_resample_stream_feed(so_resample_stream *stream, const float *x, int64_t n, float *out);
/* Ends the clip: writes the rest, returns its number, and resets. */
int64_t so_resample_stream_finish(so_resample_stream *stream, float *out);

#endif
