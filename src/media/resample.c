/* The windowed-sinc resampler: one row of taps per output phase, zeros at both ends left out.
 * SPDX-License-Identifier: Apache-2.0 */
#include "media/resample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LANES = 8, CHUNK = 4096, MAX_WEIGHTS = 1 << 22 };

struct so_resampler {
    int o, n;      /* rates divided by their greatest common divisor */
    int width;     /* zeros put before the clip */
    int taps;      /* per phase, a multiple of LANES, padded with zero weights */
    int *first;    /* [n] place of a phase's first tap, relative to the block's first input sample */
    float *kernel; /* [n, taps] */
};

struct so_resample_stream {
    const so_resampler *r;
    float *history; /* [capacity] the inputs from `start` on */
    int64_t capacity, filled;
    int64_t start;    /* index in the clip of history[0]; begins negative, in the zeros before the clip */
    int64_t received; /* samples fed */
    int64_t emitted;
};

static int gcd(int a, int b) { return b ? gcd(b, a % b) : a; }

/* The reference's value at phase p and tap index k in 0..2*width+o-1. */
static float weight(const so_resampler *r, int p, int k)
{
    const double pi = 3.14159265358979323846, zeros = 6;
    double base = (r->o < r->n ? r->o : r->n) * 0.99;
    float offset = (float)-p / (float)r->n; /* float32 in the reference, and visible in its numbers */
    double t = ((double)offset + (double)(k - r->width) / r->o) * base;
    if (t > zeros) t = zeros;
    if (t < -zeros) t = -zeros;
    t *= pi;
    double window = cos(t / zeros / 2);
    return (float)((t == 0 ? 1 : sin(t) / t) * (window * window * (base / r->o)));
}

static so_status build(so_resampler *r, so_error *error)
{
    double base = (r->o < r->n ? r->o : r->n) * 0.99;
    r->width = (int)ceil(6.0 * r->o / base);
    int all = 2 * r->width + r->o, reach = (int)ceil(12.0 * r->o / base) + 3;
    if (reach > all) reach = all;
    r->taps = (reach + LANES - 1) / LANES * LANES;
    if ((int64_t)r->taps * r->n > MAX_WEIGHTS)
        return so_fail(error, SO_ERR_LIMIT, "resampling %d:%d needs %lld weights, the limit is %d", r->o, r->n,
                       (long long)r->taps * r->n, MAX_WEIGHTS);
    r->first = malloc((size_t)r->n * sizeof *r->first);
    r->kernel = calloc((size_t)r->n * (size_t)r->taps, sizeof *r->kernel);
    if (!r->first || !r->kernel) return so_fail(error, SO_ERR_NOMEM, "resampling kernel %d:%d", r->o, r->n);
    for (int p = 0; p < r->n; p++) {
        /* |t| reaches the clamp outside [k0, k0 + reach): there the weight rounds to nothing. */
        int k0 = (int)floor(((double)p / r->n - 6 / base) * r->o) + r->width - 1;
        if (k0 < 0) k0 = 0;
        if (k0 > all - reach) k0 = all - reach;
        r->first[p] = k0;
        for (int k = 0; k < reach; k++) r->kernel[(int64_t)p * r->taps + k] = weight(r, p, k0 + k);
    }
    return SO_OK;
}

so_status so_resampler_open(so_resampler **out, int from, int to, so_error *error)
{
    *out = NULL;
    if (from < 100 || from > 768000 || to < 100 || to > 768000)
        return so_fail(error, SO_ERR_ARG, "sampling rates %d -> %d Hz, expected 100..768000", from, to);
    so_resampler *r = calloc(1, sizeof *r);
    if (!r) return so_fail(error, SO_ERR_NOMEM, "resampler");
    int g = gcd(from, to);
    r->o = from / g;
    r->n = to / g;
    so_status status = from == to ? SO_OK : build(r, error);
    if (status != SO_OK) so_resampler_close(&r);
    *out = r;
    return status;
}

void so_resampler_close(so_resampler **resampler)
{
    if (!resampler || !*resampler) return;
    free((*resampler)->first);
    free((*resampler)->kernel);
    free(*resampler);
    *resampler = NULL;
}

int64_t so_resampler_length(const so_resampler *r, int64_t n)
{
    if (r->o == r->n || n <= 0) return n > 0 ? n : 0;
    int64_t blocks = (n / r->o + 1) * r->n; /* what the reference's convolution gives before it is cut */
    int64_t length = (int64_t)ceilf((float)((double)r->n * (double)n / r->o));
    return length < blocks ? length : blocks;
}

so_status so_resample(const so_resampler *r, const float *x, int64_t n, float *out, so_error *error)
{
    so_resample_stream *stream;
    SO_TRY(so_resample_stream_open(&stream, r, error));
    int64_t done = so_resample_stream_feed(stream, x, n, out);
    so_resample_stream_finish(stream, out + done);
    so_resample_stream_close(&stream);
    return SO_OK;
}

so_status so_resample_clip(const so_resampler *r, const float *x, int64_t n, float **out, int64_t *count,
                           so_error *error)
{
    *count = so_resampler_length(r, n);
    *out = malloc(((size_t)*count + 1) * sizeof **out);
    so_status status = *out ? so_resample(r, x, n, *out, error)
                            : so_fail(error, SO_ERR_NOMEM, "no memory for %lld samples", (long long)*count);
    if (status == SO_OK) return SO_OK;
    free(*out);
    *out = NULL;
    *count = 0;
    return status;
}

so_status so_resample_to(int from, int to, const float *x, int64_t n, float **out, int64_t *count, so_error *error)
{
    so_resampler *r;
    *out = NULL;
    *count = 0;
    SO_TRY(so_resampler_open(&r, from, to, error));
    so_status status = so_resample_clip(r, x, n, out, count, error);
    so_resampler_close(&r);
    return status;
}

so_status so_resample_stream_open(so_resample_stream **out, const so_resampler *r, so_error *error)
{
    *out = NULL;
    so_resample_stream *s = calloc(1, sizeof *s);
    if (!s) return so_fail(error, SO_ERR_NOMEM, "resampling stream");
    s->r = r;
    s->capacity = 2 * r->width + r->o + r->taps + CHUNK;
    s->history = malloc((size_t)s->capacity * sizeof *s->history);
    if (!s->history) {
        so_resample_stream_close(&s);
        return so_fail(error, SO_ERR_NOMEM, "resampling stream");
    }
    so_resample_stream_reset(s);
    *out = s;
    return SO_OK;
}

void so_resample_stream_close(so_resample_stream **stream)
{
    if (!stream || !*stream) return;
    free((*stream)->history);
    free(*stream);
    *stream = NULL;
}

void so_resample_stream_reset(so_resample_stream *s)
{
    s->received = s->emitted = 0;
    s->start = -s->r->width;
    s->filled = s->r->width;
    memset(s->history, 0, (size_t)s->filled * sizeof *s->history);
}

int64_t so_resample_stream_bound(const so_resample_stream *s, int64_t n)
{
    const so_resampler *r = s->r;
    if (r->o == r->n) return n;
    int64_t blocks = (s->received + n) / r->o + 2;
    int64_t most = blocks * r->n - s->emitted;
    return most > 0 ? most : 0;
}

/* Eight sums keep the order of additions fixed and let the compiler use vectors. */
static float dot(const float *a, const float *b, int n)
{
    float sum[LANES] = {0};
    for (int k = 0; k < n; k += LANES)
        for (int i = 0; i < LANES; i++) sum[i] += a[k + i] * b[k + i];
    return ((sum[0] + sum[4]) + (sum[1] + sum[5])) + ((sum[2] + sum[6]) + (sum[3] + sum[7]));
}

/* Writes every output below `limit` whose taps lie in the history, then drops the inputs no longer needed. */
static int64_t emit(so_resample_stream *s, int64_t limit, float *out)
{
    const so_resampler *r = s->r;
    int64_t begun = s->emitted, j = s->emitted / r->n, end = s->start + s->filled;
    int p = (int)(s->emitted % r->n);
    for (; s->emitted < limit; s->emitted++) {
        int64_t at = j * r->o - r->width + r->first[p];
        if (at + r->taps > end) break;
        out[s->emitted - begun] = dot(r->kernel + (int64_t)p * r->taps, s->history + (at - s->start), r->taps);
        if (++p == r->n) {
            p = 0;
            j++;
        }
    }
    int64_t keep = j * r->o - r->width + r->first[p] - s->start;
    if (keep > s->filled) keep = s->filled;
    if (keep > 0) {
        memmove(s->history, s->history + keep, (size_t)(s->filled - keep) * sizeof *s->history);
        s->start += keep;
        s->filled -= keep;
    }
    return s->emitted - begun;
}

static int64_t push(so_resample_stream *s, const float *x, int64_t n, int64_t limit, float *out)
{
    int64_t written = 0;
    while (n > 0 && s->emitted < limit) {
        int64_t piece = s->capacity - s->filled < n ? s->capacity - s->filled : n;
        if (x) {
            memcpy(s->history + s->filled, x, (size_t)piece * sizeof *x);
            x += piece;
        } else {
            memset(s->history + s->filled, 0, (size_t)piece * sizeof *s->history);
        }
        s->filled += piece;
        n -= piece;
        written += emit(s, limit, out + written);
    }
    return written;
}

int64_t so_resample_stream_feed(so_resample_stream *s, const float *x, int64_t n, float *out)
{
    s->received += n;
    if (s->r->o == s->r->n) {
        memmove(out, x, (size_t)n * sizeof *x);
        return n;
    }
    return push(s, x, n, INT64_MAX, out);
}

int64_t so_resample_stream_finish(so_resample_stream *s, float *out)
{
    int64_t written = 0;
    if (s->r->o != s->r->n && s->received > 0)
        written =
            push(s, NULL, 2 * s->r->width + 2 * s->r->o + s->r->taps, so_resampler_length(s->r, s->received), out);
    so_resample_stream_reset(s);
    return written;
}
