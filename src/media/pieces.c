/* Recordings in pieces.
 * SPDX-License-Identifier: Apache-2.0 */
#include "media/pieces.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "media/front.h"
#include "media/resample.h"

enum {
    BLOCK = 800,               /* samples of the recording taken at once */
    MOST = 30 * SO_FRONT_RATE, /* samples of a piece */
    SPANS = 256
};

static const double TALK_S = 15;       /* who speaks for longer says more than one sentence; */
static const double TALK_PAUSE = 0.45; /* s: then so much ends one */

struct so_pieces {
    so_pieces_read read;
    void *context;
    int rate;
    int64_t taken; /* samples of the recording */
    bool read_all, finished;
    so_front *front;
    so_resampler *resampler;
    so_resample_stream *stream;
    float raw[BLOCK], *block; /* block: resampled */
    /* the piece: its samples, and where stretches of them lie in the recording */
    float *pcm; /* [MOST] */
    int64_t n;
    struct {
        int64_t out, at;
    } span[SPANS];
    int spans;
};

so_status so_pieces_open(so_pieces **out, int rate, bool plain, so_pieces_read read, void *context, so_error *error)
{
    so_front_options options = {.plain = plain};
    so_status status;
    *out = NULL;
    if (rate < 4000 || rate > 384000)
        return so_fail(error, SO_ERR_ARG, "audio at %d Hz, expected 4000 to 384000", rate);
    so_pieces *p = calloc(1, sizeof *p);
    if (!p) return so_fail(error, SO_ERR_NOMEM, "no memory for listening");
    p->read = read;
    p->context = context;
    p->rate = rate;
    SO_TRY_GO(so_front_open(&p->front, &options, error));
    SO_TRY_GO(so_resampler_open(&p->resampler, rate, SO_FRONT_RATE, error));
    SO_TRY_GO(so_resample_stream_open(&p->stream, p->resampler, error));
    int64_t most = so_resampler_length(p->resampler, BLOCK) + SO_FRONT_PIECE;
    p->block = malloc((size_t)most * sizeof *p->block);
    p->pcm = malloc((size_t)MOST * sizeof *p->pcm);
    if (!p->block || !p->pcm) status = so_fail(error, SO_ERR_NOMEM, "no memory for listening");
done:
    if (status == SO_OK)
        *out = p;
    else
        so_pieces_close(&p);
    return status;
}

void so_pieces_close(so_pieces **pieces)
{
    if (!pieces || !*pieces) return;
    so_pieces *p = *pieces;
    so_resample_stream_close(&p->stream);
    so_resampler_close(&p->resampler);
    so_front_close(&p->front);
    free(p->block);
    free(p->pcm);
    free(p);
    *pieces = NULL;
}

void so_pieces_length(so_pieces *p, double seconds)
{
    if (seconds > TALK_S) so_front_pause(p->front, TALK_PAUSE);
}

double so_pieces_spoken(const float *x, int64_t n, int rate)
{
    int64_t frame = rate / 100, first = n, last = 0;
    double most = 0;
    for (int find = 0; find < 2 && frame > 0; find++)
        for (int64_t at = 0; at + frame <= n; at += frame) {
            double power = 0;
            for (int64_t i = at; i < at + frame; i++) power += (double)x[i] * (double)x[i];
            if (find == 0) {
                most = fmax(most, power);
            } else if (power > most * 1e-4) {
                first = at < first ? at : first;
                last = at + frame;
            }
        }
    return last > first ? (double)(last - first) / rate : 0;
}

static void add_run(so_pieces *p, const so_front_run *run)
{
    if (run->first) p->n = p->spans = 0;
    int64_t n = run->n < MOST - p->n ? run->n : MOST - p->n;
    if (n <= 0) return;
    if (p->spans == SPANS) p->spans--;
    p->span[p->spans].out = p->n;
    p->span[p->spans].at = run->at;
    p->spans++;
    memcpy(p->pcm + p->n, run->pcm, (size_t)n * sizeof *p->pcm);
    p->n += n;
}

/* More of the recording to the front end; what it holds back comes when all is read. */
static so_status feed(so_pieces *p, so_error *error)
{
    int64_t got = 0;
    if (p->read_all) {
        so_front_finish(p->front);
        p->finished = true;
        return SO_OK;
    }
    SO_TRY(p->read(p->context, p->raw, BLOCK, &got, error));
    p->taken += got;
    p->read_all = got == 0;
    int64_t n = got ? so_resample_stream_feed(p->stream, p->raw, got, p->block)
                    : so_resample_stream_finish(p->stream, p->block);
    so_front_feed(p->front, p->block, n);
    return SO_OK;
}

so_status so_pieces_next(so_pieces *p, const float **pcm, int64_t *n, so_error *error)
{
    so_front_run run;
    *pcm = p->pcm;
    *n = 0;
    p->n = p->spans = 0;
    for (;;) {
        while (so_front_next(p->front, &run)) {
            add_run(p, &run);
            if (!run.last || p->n == 0) continue;
            *n = p->n;
            return SO_OK;
        }
        if (p->finished) return SO_OK;
        SO_TRY(feed(p, error));
    }
}

double so_pieces_seconds(const so_pieces *p) { return (double)p->taken / p->rate; }

double so_pieces_time(const so_pieces *p, double seconds)
{
    int64_t sample = (int64_t)llround(seconds * SO_FRONT_RATE), at = sample;
    for (int i = 0; i < p->spans && (i == 0 || p->span[i].out <= sample); i++)
        at = p->span[i].at + sample - p->span[i].out;
    return fmax(0, fmin((double)at / SO_FRONT_RATE, so_pieces_seconds(p)));
}
