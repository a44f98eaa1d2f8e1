/* Spectra of waveforms and back, as ops.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nn/ops.h"

#define TWO_PI 6.283185307179586476925

typedef struct spectrum {
    int64_t B, N, F, n, bins, hop, pad;
    const so_real *window;
} spectrum;

/* Small transforms, and those of a length that is no power of two, are a product with a matrix. */
static bool by_matrix(int64_t n) { return n <= 32 || (n & (n - 1)); }

/* [n, 2 bins]: column k cos, column bins + k -sin, of 2 pi k t / n. */
static so_real *transform_matrix(so_pass *pass, int64_t n)
{
    int64_t bins = n / 2 + 1;
    so_real *m = so_take(pass, (size_t)(n * 2 * bins) * sizeof *m, false);
    for (int64_t t = 0; m && t < n && !pass->dry; t++)
        for (int64_t k = 0; k < bins; k++) {
            double angle = TWO_PI * (double)(k * t % n) / (double)n;
            m[t * 2 * bins + k] = (so_real)cos(angle);
            m[t * 2 * bins + bins + k] = (so_real)-sin(angle);
        }
    return m;
}

/* spec[rows, 2 bins] = transform of x[rows, n], or x = adjoint of spec. Takes working memory. */
static void transform(so_pass *pass, bool adjoint, int64_t rows, int64_t n, const so_real *from, so_real *to)
{
    int64_t c = 2 * (n / 2 + 1);
    if (by_matrix(n)) {
        const so_real *m = transform_matrix(pass, n);
        if (!m || pass->dry) return;
        if (adjoint)
            pass->k->gemm(
                pass->pool,
                &(so_gemm){
                    .tb = true, .m = rows, .n = n, .k = c, .a = from, .lda = c, .b = m, .ldb = c, .c = to, .ldc = n});
        else
            pass->k->gemm(
                pass->pool,
                &(so_gemm){.m = rows, .n = c, .k = n, .a = from, .lda = n, .b = m, .ldb = c, .c = to, .ldc = c});
        return;
    }
    so_real *work = so_take(pass, (size_t)SO_RFFT_WORK(rows, n) * sizeof *work, false);
    if (work && !pass->dry) (adjoint ? pass->k->rfft_adjoint : pass->k->rfft)(pass->pool, rows, n, from, work, to);
}

/* The sample that element t of frame f sees, after reflection at both ends. */
static int64_t reflected(const spectrum *s, int64_t f, int64_t t)
{
    int64_t i = f * s->hop + t - s->pad;
    if (i < 0) i = -i;
    if (i >= s->N) i = 2 * (s->N - 1) - i;
    return i;
}

static void frame(const spectrum *s, const so_real *x, so_real *frames)
{
    for (int64_t r = 0; r < s->B * s->F; r++) {
        const so_real *from = x + r / s->F * s->N;
        so_real *to = frames + r * s->n;
        int64_t f = r % s->F, first = f * s->hop - s->pad;
        if (first >= 0 && first + s->n <= s->N)
            for (int64_t t = 0; t < s->n; t++) to[t] = from[first + t] * s->window[t];
        else
            for (int64_t t = 0; t < s->n; t++) to[t] = from[reflected(s, f, t)] * s->window[t];
    }
}

static void stft_back(so_pass *pass, const so_step *step)
{
    const spectrum *s = step->saved;
    so_real *dx = so_grad(pass, step->in[0]);
    size_t mark = so_arena_mark(pass->arena);
    so_real *frames = so_take(pass, (size_t)(s->B * s->F * s->n) * sizeof *frames, false);
    if (dx && frames) transform(pass, true, s->B * s->F, s->n, step->out->grad, frames);
    for (int64_t r = 0; dx && so_ok(pass) && !pass->dry && r < s->B * s->F; r++)
        for (int64_t t = 0; t < s->n; t++)
            dx[r / s->F * s->N + reflected(s, r % s->F, t)] += frames[r * s->n + t] * s->window[t];
    so_arena_release(pass->arena, mark);
}

/* On a device: short frames as one kernel. */
static so_tensor *on_device(so_pass *pass, const char *op, bool back, const spectrum *s, const so_tensor *x,
                            so_tensor *y)
{
    if (s->n > SO_SHORT_FRAME || !pass->k->short_stft || !pass->k->short_istft)
        return so_pass_fail(pass, SO_ERR_UNSUPPORTED, "%s: frames of %lld samples, %s has kernels for at most %d", op,
                            (long long)s->n, pass->k->name, SO_SHORT_FRAME);
    so_short_fourier f = {s->B, s->N, s->F, s->n, s->hop, s->pad, s->window, so_data(x), so_data(y)};
    if (!pass->dry) (back ? pass->k->short_istft : pass->k->short_stft)(pass->pool, &f);
    return y;
}

so_tensor *so_stft(so_pass *pass, so_tensor *x, const so_frames *frames)
{
    if (!so_want_f32(pass, "stft", x) || !so_want_dims(pass, "stft", x, 2)) return NULL;
    int64_t n = frames->n_fft, N = x->dim[1], whole = N + 2 * frames->pad;
    if (n < 2 || n % 2 || frames->hop < 1 || frames->pad < 0 || frames->pad >= N || whole < n)
        return so_pass_fail(pass, SO_ERR_ARG, "stft: frames of %lld every %lld with %lld reflected, on %lld samples",
                            (long long)n, (long long)frames->hop, (long long)frames->pad, (long long)N);
    spectrum s = {x->dim[0], N, 1 + (whole - n) / frames->hop, n, n / 2 + 1, frames->hop, frames->pad, frames->window};
    so_tensor *y = so_new3(pass, s.B, s.F, 2 * s.bins);
    if (!y) return NULL;
    if (pass->device) return on_device(pass, "stft", false, &s, x, y);
    size_t mark = so_arena_mark(pass->arena);
    so_real *cut = so_take(pass, (size_t)(s.B * s.F * n) * sizeof *cut, false);
    if (cut && !pass->dry) frame(&s, so_data(x), cut);
    if (cut) transform(pass, false, s.B * s.F, n, cut, so_data(y));
    so_arena_release(pass->arena, mark);
    so_step *step = so_tape_put(pass, "stft", stft_back, y, 1, &x, sizeof s);
    if (step) *(spectrum *)step->saved = s;
    return y;
}

/* 1 / sum of squared windows over each sample, before cutting; 0 where nothing covers it. */
static void envelope(const spectrum *s, so_real *inverse)
{
    int64_t whole = (s->F - 1) * s->hop + s->n;
    memset(inverse, 0, (size_t)whole * sizeof *inverse);
    for (int64_t f = 0; f < s->F; f++)
        for (int64_t t = 0; t < s->n; t++) inverse[f * s->hop + t] += s->window[t] * s->window[t];
    for (int64_t i = 0; i < whole; i++) inverse[i] = inverse[i] > (so_real)1e-11 ? 1 / inverse[i] : 0;
}

/* The factor of bin k in the inverse transform: both halves of the spectrum count, its two ends once. */
static so_real share(const spectrum *s, int64_t k)
{
    return (so_real)(k == 0 || 2 * k == s->n ? 1 : 2) / (so_real)s->n;
}

static void istft_back(so_pass *pass, const so_step *step)
{
    const spectrum *s = step->saved;
    so_real *dspec = so_grad(pass, step->in[0]);
    int64_t whole = (s->F - 1) * s->hop + s->n, rows = s->B * s->F;
    size_t mark = so_arena_mark(pass->arena);
    so_real *inverse = so_take(pass, (size_t)whole * sizeof *inverse, false);
    so_real *frames = so_take(pass, (size_t)(rows * s->n) * sizeof *frames, false);
    so_real *spec = so_take(pass, (size_t)(rows * 2 * s->bins) * sizeof *spec, false);
    if (spec && dspec && !pass->dry) {
        envelope(s, inverse);
        for (int64_t r = 0; r < rows; r++)
            for (int64_t t = 0; t < s->n; t++) {
                int64_t at = r % s->F * s->hop + t, i = at - s->pad;
                bool kept = i >= 0 && i < s->N;
                frames[r * s->n + t] = kept ? step->out->grad[r / s->F * s->N + i] * inverse[at] * s->window[t] : 0;
            }
    }
    if (spec && dspec) transform(pass, false, rows, s->n, frames, spec);
    if (spec && dspec && so_ok(pass) && !pass->dry)
        for (int64_t i = 0; i < rows * 2 * s->bins; i++) {
            int64_t k = i % s->bins;
            bool imaginary_end = i % (2 * s->bins) >= s->bins && (k == 0 || k == s->bins - 1);
            if (!imaginary_end) dspec[i] += share(s, k) * spec[i];
        }
    so_arena_release(pass->arena, mark);
}

static void overlap_add(const spectrum *s, const so_real *frames, const so_real *inverse, so_real *y)
{
    memset(y, 0, (size_t)(s->B * s->N) * sizeof *y);
    for (int64_t r = 0; r < s->B * s->F; r++) {
        so_real *to = y + r / s->F * s->N;
        int64_t first = r % s->F * s->hop - s->pad;
        for (int64_t t = 0; t < s->n; t++)
            if (first + t >= 0 && first + t < s->N) to[first + t] += frames[r * s->n + t] * s->window[t];
    }
    for (int64_t b = 0; b < s->B; b++)
        for (int64_t i = 0; i < s->N; i++) y[b * s->N + i] *= inverse[i + s->pad];
}

so_tensor *so_istft(so_pass *pass, so_tensor *spec, const so_frames *frames)
{
    if (!so_want_f32(pass, "istft", spec) || !so_want_dims(pass, "istft", spec, 3)) return NULL;
    int64_t n = frames->n_fft, F = spec->dim[1], whole = (F - 1) * frames->hop + n;
    if (n < 2 || n % 2 || frames->hop < 1 || F < 1 || whole - 2 * frames->pad < 1)
        return so_pass_fail(pass, SO_ERR_ARG, "istft: %lld frames of %lld every %lld, %lld cut off", (long long)F,
                            (long long)n, (long long)frames->hop, (long long)frames->pad);
    if (!so_want_cols(pass, "istft", spec, n + 2)) return NULL;
    spectrum s = {spec->dim[0], whole - 2 * frames->pad, F, n, n / 2 + 1, frames->hop, frames->pad, frames->window};
    so_tensor *y = so_new2(pass, s.B, s.N);
    if (!y) return NULL;
    if (pass->device) return on_device(pass, "istft", true, &s, spec, y);
    int64_t rows = s.B * F;
    size_t mark = so_arena_mark(pass->arena);
    so_real *inverse = so_take(pass, (size_t)whole * sizeof *inverse, false);
    so_real *scaled = so_take(pass, (size_t)(rows * 2 * s.bins) * sizeof *scaled, false);
    so_real *cut = so_take(pass, (size_t)(rows * n) * sizeof *cut, false);
    if (cut && !pass->dry)
        for (int64_t i = 0; i < rows * 2 * s.bins; i++) scaled[i] = so_data(spec)[i] * share(&s, i % s.bins);
    if (cut) transform(pass, true, rows, n, scaled, cut);
    if (so_ok(pass) && !pass->dry) {
        envelope(&s, inverse);
        overlap_add(&s, cut, inverse, so_data(y));
    }
    so_arena_release(pass->arena, mark);
    so_step *step = so_tape_put(pass, "istft", istft_back, y, 1, &spec, sizeof s);
    if (step) *(spectrum *)step->saved = s;
    return y;
}

static void magnitude_back(so_pass *pass, const so_step *step)
{
    so_tensor *x = step->in[0];
    int64_t bins = so_cols(step->out), rows = so_rows(x);
    so_real *dx = so_grad(pass, x);
    if (!dx || pass->dry) return;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t k = 0; k < bins; k++) {
            int64_t re = r * 2 * bins + k, im = re + bins;
            so_real y = so_data(step->out)[r * bins + k];
            so_real g = y > 0 ? step->out->grad[r * bins + k] / y : 0;
            dx[re] += g * so_data(x)[re];
            dx[im] += g * so_data(x)[im];
        }
}

/* A tensor like x with half its columns; NULL when they are odd. */
static so_tensor *half_columns(so_pass *pass, const char *op, const so_tensor *x)
{
    if (!so_want_f32(pass, op, x) || !so_want_cols(pass, op, x, so_cols(x) / 2 * 2)) return NULL;
    int64_t dim[SO_MAX_DIMS];
    memcpy(dim, x->dim, sizeof dim);
    dim[x->n_dims - 1] /= 2;
    return so_new(pass, x->n_dims, dim);
}

so_tensor *so_magnitude(so_pass *pass, so_tensor *spec, double eps)
{
    so_tensor *y = half_columns(pass, "magnitude", spec);
    if (!y || !so_on_host(pass, "magnitude")) return NULL;
    int64_t bins = so_cols(y), rows = so_rows(y);
    for (int64_t r = 0; r < rows && !pass->dry; r++)
        for (int64_t k = 0; k < bins; k++) {
            so_real re = so_data(spec)[r * 2 * bins + k], im = so_data(spec)[r * 2 * bins + bins + k];
            so_data(y)[r * bins + k] = (so_real)sqrt((double)(re * re + im * im + (so_real)eps));
        }
    so_tape_put(pass, "magnitude", magnitude_back, y, 1, &spec, 0);
    return y;
}

static void polar_back(so_pass *pass, const so_step *step)
{
    so_tensor *x = step->in[0];
    double limit = *(double *)step->saved;
    int64_t bins = so_cols(x) / 2;
    so_real *dx = so_grad(pass, x);
    if (!dx || pass->dry) return;
    for (int64_t r = 0; r < so_rows(x); r++)
        for (int64_t k = 0; k < bins; k++) {
            int64_t a = r * 2 * bins + k, b = a + bins;
            double p = (double)so_data(x)[b];
            double re = (double)so_data(step->out)[a], im = (double)so_data(step->out)[b];
            double dre = (double)step->out->grad[a], dim = (double)step->out->grad[b];
            if (exp((double)so_data(x)[a]) < limit) dx[a] += (so_real)(dre * re + dim * im);
            dx[b] += (so_real)((dim * re - dre * im) * cos(p));
        }
}

so_tensor *so_polar(so_pass *pass, so_tensor *x, double limit)
{
    if (!so_want_f32(pass, "polar", x) || !so_want_cols(pass, "polar", x, so_cols(x) / 2 * 2)) return NULL;
    so_tensor *y = so_new_like(pass, x);
    if (!y) return NULL;
    int64_t bins = so_cols(x) / 2;
    if (!pass->dry) pass->k->polar(pass->pool, so_rows(x), bins, (so_real)limit, so_data(x), so_data(y));
    so_step *step = so_tape_put(pass, "polar", polar_back, y, 1, &x, sizeof limit);
    if (step) *(double *)step->saved = limit;
    return y;
}

/* Mean, place and size of the largest magnitude of a row after the mean is gone. */
static so_real row_peak(const so_real *x, int64_t n, so_real *mean, int64_t *at)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)x[i];
    *mean = n ? (so_real)(sum / (double)n) : 0;
    so_real peak = 0;
    *at = 0;
    for (int64_t i = 0; i < n; i++) {
        so_real size = x[i] > *mean ? x[i] - *mean : *mean - x[i];
        if (size > peak) {
            peak = size;
            *at = i;
        }
    }
    return peak + (so_real)1e-9;
}

static void peak_normalise_back(so_pass *pass, const so_step *step)
{
    so_real peak = *(so_real *)step->saved, *dx = so_grad(pass, step->in[0]);
    int64_t n = so_cols(step->out);
    for (int64_t r = 0; dx && !pass->dry && r < so_rows(step->out); r++) {
        const so_real *x = so_data(step->in[0]) + r * n, *y = so_data(step->out) + r * n, *dy = step->out->grad + r * n;
        int64_t at;
        so_real mean, size = row_peak(x, n, &mean, &at), factor = peak / size;
        double dot = 0, sum = 0;
        for (int64_t i = 0; i < n; i++) {
            dot += (double)dy[i] * (double)y[i];
            sum += (double)dy[i];
        }
        /* What the divisor takes back lands on the largest element. */
        double pull = dot / (double)size * (x[at] > mean ? 1 : -1);
        so_real back = (so_real)(((double)factor * sum - pull) / (double)n);
        for (int64_t i = 0; i < n; i++) dx[r * n + i] += factor * dy[i] - back;
        dx[r * n + at] -= (so_real)pull;
    }
}

so_tensor *so_peak_normalise(so_pass *pass, so_tensor *x, double peak)
{
    if (!so_want_f32(pass, "peak_normalise", x) || !so_on_host(pass, "peak_normalise")) return NULL;
    so_tensor *y = so_new_like(pass, x);
    if (!y) return NULL;
    int64_t n = so_cols(x), at;
    so_real p = (so_real)peak;
    for (int64_t r = 0; r < so_rows(x) && !pass->dry; r++) {
        so_real mean, factor = p / row_peak(so_data(x) + r * n, n, &mean, &at);
        for (int64_t i = 0; i < n; i++) so_data(y)[r * n + i] = (so_data(x)[r * n + i] - mean) * factor;
    }
    so_step *step = so_tape_put(pass, "peak_normalise", peak_normalise_back, y, 1, &x, sizeof p);
    if (step) *(so_real *)step->saved = p;
    return y;
}

typedef struct median_loss {
    int64_t median, below; /* place of the median; entries under it */
    double active;         /* 1 while the mean stays under tau */
} median_loss;

typedef struct ranked {
    so_real d;
    int64_t at;
} ranked;

static int by_size(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    return (x->d > y->d) - (x->d < y->d);
}

static void median_loss_back(so_pass *pass, const so_step *step)
{
    const median_loss *l = step->saved;
    so_tensor *real = step->in[0], *made = step->in[1];
    so_real *dr = so_grad(pass, real), *dm = so_grad(pass, made);
    if (pass->dry || l->below == 0 || l->active == 0) return;
    so_real m = so_data(real)[l->median] - so_data(made)[l->median];
    double scale = 2 * (double)step->out->grad[0] / (double)l->below, back = 0;
    for (int64_t i = 0; i < so_count(real); i++) {
        so_real d = so_data(real)[i] - so_data(made)[i];
        if (!(d < m)) continue;
        so_real g = (so_real)(scale * (double)(d - m));
        back -= (double)g;
        if (dr) dr[i] += g;
        if (dm) dm[i] -= g;
    }
    if (dr) dr[l->median] += (so_real)back;
    if (dm) dm[l->median] -= (so_real)back;
}

so_tensor *so_median_loss(so_pass *pass, so_tensor *real, so_tensor *made, double tau)
{
    if (!so_want_same(pass, "median_loss", real, made) || !so_want_f32(pass, "median_loss", real)) return NULL;
    int64_t n = so_count(real);
    so_tensor *y = so_new1(pass, 1);
    so_step *step =
        so_tape_put(pass, "median_loss", median_loss_back, y, 2, (so_tensor *[]){real, made}, sizeof(median_loss));
    size_t mark = so_arena_mark(pass->arena);
    ranked *rank = so_take(pass, (size_t)n * sizeof *rank, false);
    if (!rank) return NULL;
    median_loss l = {0};
    double sum = 0;
    for (int64_t i = 0; i < n && !pass->dry; i++) rank[i] = (ranked){so_data(real)[i] - so_data(made)[i], i};
    if (n && !pass->dry) {
        qsort(rank, (size_t)n, sizeof *rank, by_size);
        const ranked *m = &rank[(n - 1) / 2];
        l.median = m->at;
        for (int64_t i = 0; rank[i].d < m->d; i++, l.below++) sum += pow((double)rank[i].d - (double)m->d, 2);
        if (l.below) sum /= (double)l.below;
        l.active = sum < tau;
        so_data(y)[0] = (so_real)(l.active != 0 ? sum : tau);
    }
    so_arena_release(pass->arena, mark);
    if (step) *(median_loss *)step->saved = l;
    return y;
}

static void log_floor_back(so_pass *pass, const so_step *step)
{
    so_real floor = *(so_real *)step->saved, *dx = so_grad(pass, step->in[0]);
    const so_real *x = so_data(step->in[0]);
    for (int64_t i = 0; dx && !pass->dry && i < so_count(step->out); i++)
        if (x[i] >= floor) dx[i] += step->out->grad[i] / x[i];
}

so_tensor *so_log_floor(so_pass *pass, so_tensor *x, double floor)
{
    if (!so_want_f32(pass, "log_floor", x) || !so_on_host(pass, "log_floor")) return NULL;
    so_tensor *y = so_new_like(pass, x);
    if (!y) return NULL;
    so_real low = (so_real)floor;
    for (int64_t i = 0; i < so_count(x) && !pass->dry; i++)
        so_data(y)[i] = (so_real)log((double)(so_data(x)[i] > low ? so_data(x)[i] : low));
    so_step *step = so_tape_put(pass, "log_floor", log_floor_back, y, 1, &x, sizeof low);
    if (step) *(so_real *)step->saved = low;
    return y;
}

const so_real *so_hann(so_pass *pass, int64_t n)
{
    so_real *w = so_take(pass, (size_t)n * sizeof *w, false);
    for (int64_t i = 0; w && i < n && !pass->dry; i++)
        w[i] = (so_real)(0.5 - 0.5 * cos(TWO_PI * (double)i / (double)n));
    return w;
}

static double mel_of(double hz) { return hz < 1000 ? hz * 3 / 200 : 15 + log(hz / 1000) * 27 / log(6.4); }
static double hz_of(double mel) { return mel < 15 ? mel * 200 / 3 : 1000 * exp((mel - 15) * log(6.4) / 27); }

so_tensor *so_slaney_bank(so_pass *pass, double rate, int64_t n_fft, int64_t M, double f_min, double f_max)
{
    int64_t bins = n_fft / 2 + 1;
    so_tensor *bank = so_new2(pass, M, bins);
    if (!bank || pass->dry) return bank;
    double low = mel_of(f_min), step = (mel_of(f_max) - low) / (double)(M + 1);
    for (int64_t m = 0; m < M; m++) {
        double a = hz_of(low + step * (double)m), b = hz_of(low + step * (double)(m + 1));
        double c = hz_of(low + step * (double)(m + 2));
        for (int64_t k = 0; k < bins; k++) {
            double f = (double)k * rate / (double)n_fft, rise = (f - a) / (b - a), fall = (c - f) / (c - b);
            double v = rise < fall ? rise : fall;
            so_data(bank)[m * bins + k] = (so_real)(v > 0 ? v * 2 / (c - a) : 0);
        }
    }
    return bank;
}
