/* Log-mel features: window, transform, sparse triangles, logarithm.
 * SPDX-License-Identifier: Apache-2.0 */
#include "media/mel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "media/fft.h"

enum { MAX_FFT = 1024, MAX_BINS = 128, FRAMES_PER_TASK = 64 };

static const double PI = 3.14159265358979323846;

typedef struct recipe {
    int rate, window, fft, hop, bins;
    int pad; /* samples reflected at each end */
    double low, high;
} recipe;

static const recipe recipes[] = {
    [SO_MEL_WHISPER] = {16000, 400, 400, 160, 128, 200, 0, 8000},
    [SO_MEL_VOCODER] = {22050, 1024, 1024, 256, 80, 384, 0, 8000},
    [SO_MEL_VOCODER_GAN] = {22050, 1024, 1024, 256, 80, 384, 0, 11025},
    [SO_MEL_KALDI] = {16000, 400, 512, 160, 80, 0, 20, 8000},
};

struct so_mel {
    recipe r;
    so_mel_kind kind;
    so_fft *fft;
    float window[MAX_FFT];
    int first[MAX_BINS], count[MAX_BINS]; /* the spectrum's bins under each triangle */
    float *weights;                       /* the triangles one after the other */
};

static double slaney_mel(double hz) { return hz < 1000 ? hz * 3 / 200 : 15 + log(hz / 1000) * 27 / log(6.4); }
static double slaney_hz(double mel) { return mel < 15 ? mel * 200 / 3 : 1000 * exp((mel - 15) * log(6.4) / 27); }
static double kaldi_mel(double hz) { return 1127 * log(1 + hz / 700); }

/* The height of triangle b at frequency bin k: Slaney's in Hz with equal areas, Kaldi's in mel with height one. */
static double triangle(const recipe *r, bool kaldi, int b, int k)
{
    double f[3], at = (double)k * r->rate / r->fft;
    for (int i = 0; i < 3; i++) {
        double low = kaldi ? kaldi_mel(r->low) : slaney_mel(r->low);
        double high = kaldi ? kaldi_mel(r->high) : slaney_mel(r->high);
        f[i] = low + (high - low) * (b + i) / (r->bins + 1);
        if (!kaldi) f[i] = slaney_hz(f[i]);
    }
    if (kaldi) at = kaldi_mel(at);
    double rise = (at - f[0]) / (f[1] - f[0]), fall = (f[2] - at) / (f[2] - f[1]);
    double height = fmax(0, fmin(rise, fall));
    return kaldi ? height : height * 2 / (f[2] - f[0]);
}

static so_status build_triangles(so_mel *m, so_error *error)
{
    const recipe *r = &m->r;
    bool kaldi = m->kind == SO_MEL_KALDI;
    int last = r->fft / 2 - (kaldi ? 1 : 0); /* Kaldi leaves the highest bin out */
    size_t used = 0;
    m->weights = malloc((size_t)(r->fft / 2 + 1) * 3 * sizeof *m->weights + MAX_BINS * sizeof *m->weights);
    if (!m->weights) return so_fail(error, SO_ERR_NOMEM, "mel filters");
    for (int b = 0; b < r->bins; b++) {
        m->first[b] = 0;
        m->count[b] = 0;
        for (int k = 0; k <= last; k++) {
            float w = (float)triangle(r, kaldi, b, k);
            if (w <= 0) continue;
            if (!m->count[b]) m->first[b] = k;
            m->count[b]++;
            m->weights[used++] = w;
        }
    }
    return SO_OK;
}

so_status so_mel_open(so_mel **out, so_mel_kind kind, so_error *error)
{
    *out = NULL;
    if ((unsigned)kind > SO_MEL_KALDI) return so_fail(error, SO_ERR_ARG, "mel kind %d, expected 0..3", (int)kind);
    so_mel *m = calloc(1, sizeof *m);
    if (!m) return so_fail(error, SO_ERR_NOMEM, "mel plan");
    m->r = recipes[kind];
    m->kind = kind;
    int period = kind == SO_MEL_KALDI ? m->r.window - 1 : m->r.window; /* Kaldi's window is symmetric */
    for (int i = 0; i < m->r.window; i++) {
        double hann = 0.5 - 0.5 * cos(2 * PI * i / period);
        m->window[i] = (float)(kind == SO_MEL_KALDI ? pow(hann, 0.85) : hann);
    }
    so_status status = so_fft_open(&m->fft, m->r.fft, error);
    if (status == SO_OK) status = build_triangles(m, error);
    if (status != SO_OK) so_mel_close(&m);
    *out = m;
    return status;
}

void so_mel_close(so_mel **mel)
{
    if (!mel || !*mel) return;
    so_fft_close(&(*mel)->fft);
    free((*mel)->weights);
    free(*mel);
    *mel = NULL;
}

int so_mel_bins(const so_mel *m) { return m->r.bins; }
int so_mel_rate(const so_mel *m) { return m->r.rate; }
int so_mel_hop(const so_mel *m) { return m->r.hop; }

static int64_t least(const so_mel *m) { return m->r.pad ? m->r.pad + 1 : m->r.window; }

int64_t so_mel_frames(const so_mel *m, int64_t n)
{
    if (n < least(m)) return 0;
    return m->kind == SO_MEL_KALDI ? 1 + (n - m->r.window) / m->r.hop : n / m->r.hop;
}

/* The samples of frame f, windowed, as lane `lane`; both ends of the clip are mirrored without repeating the end
 * sample.
 */
static void gather(const so_mel *m, const float *x, int64_t n, int64_t f, so_two *frame, int lane)
{
    int64_t at = f * m->r.hop - m->r.pad;
    int length = m->r.window;
    if (at >= 0 && at + length <= n) {
        for (int i = 0; i < length; i++) frame[i][lane] = (double)x[at + i] * (double)m->window[i];
        return;
    }
    for (int i = 0; i < length; i++) {
        int64_t t = at + i < 0 ? -(at + i) : at + i;
        if (t >= n) t = 2 * (n - 1) - t;
        frame[i][lane] = (double)x[t] * (double)m->window[i];
    }
}

/* Kaldi's frame: no mirror, mean removed, pre-emphasis 0.97, zeros up to the transform's length. */
static void gather_kaldi(const so_mel *m, const float *x, int64_t f, so_two *frame, int lane)
{
    int length = m->r.window;
    double mean = 0;
    x += f * m->r.hop;
    for (int i = 0; i < length; i++) mean += (double)x[i];
    mean /= length;
    for (int i = 0; i < length; i++)
        frame[i][lane] = ((double)x[i] - mean - 0.97 * ((double)x[i ? i - 1 : 0] - mean)) * (double)m->window[i];
    for (int i = length; i < m->r.fft; i++) frame[i][lane] = 0;
}

/* Rows of features of frames f and, where `both`, f + 1; Whisper's still without the floor of the clip. */
static void frame_rows(const so_mel *m, const float *x, int64_t n, int64_t f, bool both, float *row)
{
    so_two frame[MAX_FFT], power[MAX_FFT / 2 + 1];
    so_bin_two spectrum[MAX_FFT / 2 + 1], scratch[MAX_FFT / 2];
    for (int lane = 0; lane < 2; lane++)
        if (m->kind == SO_MEL_KALDI)
            gather_kaldi(m, x, f + (both ? lane : 0), frame, lane);
        else
            gather(m, x, n, f + (both ? lane : 0), frame, lane);
    so_fft_real_two(m->fft, frame, spectrum, scratch);
    for (int k = 0; k <= m->r.fft / 2; k++)
        power[k] = spectrum[k].re * spectrum[k].re + spectrum[k].im * spectrum[k].im;
    if (m->kind == SO_MEL_VOCODER || m->kind == SO_MEL_VOCODER_GAN)
        for (int k = 0; k <= m->r.fft / 2; k++) power[k] = (so_two){sqrt(power[k][0] + 1e-9), sqrt(power[k][1] + 1e-9)};
    const float *w = m->weights;
    for (int b = 0; b < m->r.bins; w += m->count[b], b++) {
        so_two sum = {0};
        for (int k = 0; k < m->count[b]; k++) sum += (double)w[k] * power[m->first[b] + k];
        for (int lane = 0; lane < 1 + both; lane++)
            row[lane * m->r.bins + b] =
                m->kind == SO_MEL_WHISPER
                    ? log10f(fmaxf((float)sum[lane], 1e-10f))
                    : logf(fmaxf((float)sum[lane], m->kind == SO_MEL_KALDI ? 1.1920929e-7f : 1e-5f));
    }
}

static float peak_of(const float *x, int64_t n, float peak)
{
    for (int64_t i = 0; i < n; i++) peak = x[i] > peak ? x[i] : peak;
    return peak;
}

static void apply_floor(const float *raw, int64_t n, float peak, float *out)
{
    for (int64_t i = 0; i < n; i++) out[i] = ((raw[i] > peak - 8 ? raw[i] : peak - 8) + 4) / 4;
}

typedef struct batch {
    const so_mel *m;
    const float *x;
    int64_t n, frames;
    float *out;
} batch;

static void batch_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const batch *b = context;
    int64_t from = task * FRAMES_PER_TASK, to = from + FRAMES_PER_TASK < b->frames ? from + FRAMES_PER_TASK : b->frames;
    for (int64_t f = from; f < to; f += 2) frame_rows(b->m, b->x, b->n, f, f + 1 < to, b->out + f * b->m->r.bins);
}

so_status so_mel_compute(const so_mel *m, const float *x, int64_t n, float *out, so_pool *pool, so_error *error)
{
    if (n < least(m))
        return so_fail(error, SO_ERR_ARG, "a clip of %lld samples is too short for features, expected at least %lld",
                       (long long)n, (long long)least(m));
    batch b = {m, x, n, so_mel_frames(m, n), out};
    so_pool_for(pool, (b.frames + FRAMES_PER_TASK - 1) / FRAMES_PER_TASK, batch_task, &b);
    if (m->kind == SO_MEL_WHISPER) {
        int64_t all = b.frames * m->r.bins;
        apply_floor(out, all, peak_of(out, all, -10), out);
    }
    return SO_OK;
}

void so_mel_transpose(const float *in, int64_t frames, int bins, float *out)
{
    for (int64_t f = 0; f < frames; f++)
        for (int b = 0; b < bins; b++) out[b * frames + f] = in[f * bins + b];
}

void so_mel_subtract_mean(float *x, int64_t frames, int bins)
{
    for (int b = 0; b < bins; b++) {
        double sum = 0;
        for (int64_t f = 0; f < frames; f++) sum += (double)x[f * bins + b];
        float mean = frames ? (float)(sum / (double)frames) : 0;
        for (int64_t f = 0; f < frames; f++) x[f * bins + b] -= mean;
    }
}

struct so_mel_stream {
    const so_mel *m;
    int64_t limit, n; /* samples: most, and fed so far */
    int64_t frames;
    bool finished;
    float peak;
    float *samples; /* [limit] */
    float *raw;     /* [limit / hop, bins] log10 mel */
};

so_status so_mel_stream_open(so_mel_stream **out, const so_mel *m, int64_t limit, so_error *error)
{
    *out = NULL;
    if (m->kind != SO_MEL_WHISPER) return so_fail(error, SO_ERR_ARG, "only Whisper features can be streamed");
    if (limit < least(m) || limit > (int64_t)1 << 32)
        return so_fail(error, SO_ERR_ARG, "a feature stream of %lld samples, expected 201..2^32", (long long)limit);
    so_mel_stream *s = calloc(1, sizeof *s);
    if (s) s->samples = malloc((size_t)limit * sizeof *s->samples);
    if (s) s->raw = malloc((size_t)(limit / m->r.hop * m->r.bins + 1) * sizeof *s->raw);
    if (!s || !s->samples || !s->raw) {
        so_mel_stream_close(&s);
        return so_fail(error, SO_ERR_NOMEM, "a feature stream of %lld samples", (long long)limit);
    }
    s->m = m;
    s->limit = limit;
    so_mel_stream_reset(s);
    *out = s;
    return SO_OK;
}

size_t so_mel_stream_bytes(const so_mel_stream *s)
{
    size_t frames = (size_t)(s->limit / s->m->r.hop);
    return sizeof *s + (size_t)s->limit * sizeof *s->samples + (frames * (size_t)s->m->r.bins + 1) * sizeof *s->raw;
}

void so_mel_stream_close(so_mel_stream **stream)
{
    if (!stream || !*stream) return;
    free((*stream)->samples);
    free((*stream)->raw);
    free(*stream);
    *stream = NULL;
}

void so_mel_stream_reset(so_mel_stream *s)
{
    s->n = s->frames = 0;
    s->finished = false;
    s->peak = -10;
}

static void make_frames(so_mel_stream *s, int64_t frames)
{
    int bins = s->m->r.bins;
    while (s->frames < frames) {
        float *row = s->raw + s->frames * bins;
        int count = s->frames + 1 < frames ? 2 : 1;
        frame_rows(s->m, s->samples, s->n, s->frames, count == 2, row);
        s->peak = peak_of(row, count * bins, s->peak);
        s->frames += count;
    }
}

so_status so_mel_stream_feed(so_mel_stream *s, const float *x, int64_t n, so_error *error)
{
    if (s->finished) return so_fail(error, SO_ERR_STATE, "audio fed to a finished feature stream");
    if (n < 0 || n > s->limit - s->n)
        return so_fail(error, SO_ERR_LIMIT, "%lld + %lld samples fed to a feature stream of at most %lld",
                       (long long)s->n, (long long)n, (long long)s->limit);
    if (n == 0) return SO_OK;
    memcpy(s->samples + s->n, x, (size_t)n * sizeof *x);
    s->n += n;
    /* A frame is final when its window ends inside what was fed; the first also mirrors one sample further. */
    int64_t pad = s->m->r.pad, hop = s->m->r.hop;
    if (s->n > pad) make_frames(s, (s->n - pad) / hop + 1);
    return SO_OK;
}

so_status so_mel_stream_finish(so_mel_stream *s, so_error *error)
{
    if (s->n < least(s->m))
        return so_fail(error, SO_ERR_ARG, "a clip of %lld samples is too short for features, expected at least %lld",
                       (long long)s->n, (long long)least(s->m));
    make_frames(s, so_mel_frames(s->m, s->n));
    s->finished = true;
    return SO_OK;
}

int64_t so_mel_stream_frames(const so_mel_stream *s) { return s->frames; }
float so_mel_stream_peak(const so_mel_stream *s) { return s->peak; }

so_status so_mel_stream_read(const so_mel_stream *s, int64_t from, int64_t count, float *out, so_error *error)
{
    if (from < 0 || count < 0 || from > s->frames || count > s->frames - from)
        return so_fail(error, SO_ERR_ARG, "frames %lld..%lld of %lld final ones", (long long)from,
                       (long long)(from + count), (long long)s->frames);
    int bins = s->m->r.bins;
    apply_floor(s->raw + from * bins, count * bins, s->peak, out);
    return SO_OK;
}
