/* Real transforms by a half-length complex one: Stockham's self-sorting form with radices 4, 2, 3 and 5.
 * Source: C. Van Loan, "Computational Frameworks for the Fast Fourier Transform", sections 1.7 and 4.3.
 * SPDX-License-Identifier: Apache-2.0 */
#include "media/fft.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct so_fft {
    int m, stages; /* complex points, n / 2 */
    int radix[24];
    so_bin *turn; /* [m] exp(-2 pi i k / m) */
    so_bin *half; /* [m] exp(-2 pi i k / n) */
};

static inline so_bin add(so_bin a, so_bin b) { return (so_bin){a.re + b.re, a.im + b.im}; }
static inline so_bin sub(so_bin a, so_bin b) { return (so_bin){a.re - b.re, a.im - b.im}; }
static inline so_bin mul(so_bin a, so_bin b) { return (so_bin){a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re}; }

so_status so_fft_open(so_fft **out, int n, so_error *error)
{
    *out = NULL;
    if (n < 2 || n > SO_FFT_MAX || n % 2)
        return so_fail(error, SO_ERR_ARG, "FFT of %d points: not even or too long", n);
    so_fft *f = calloc(1, sizeof *f);
    if (!f) return so_fail(error, SO_ERR_NOMEM, "FFT plan of %d points", n);
    f->m = n / 2;
    static const int radices[] = {4, 2, 3, 5};
    int rest = f->m;
    for (int i = 0; i < 4; i++)
        for (; rest % radices[i] == 0; rest /= radices[i]) f->radix[f->stages++] = radices[i];
    if (rest != 1) {
        so_fft_close(&f);
        return so_fail(error, SO_ERR_ARG, "FFT of %d points: half of it has the factor %d, only 2, 3, 5 are possible",
                       n, rest);
    }
    f->turn = malloc((size_t)f->m * 2 * sizeof *f->turn);
    if (!f->turn) {
        so_fft_close(&f);
        return so_fail(error, SO_ERR_NOMEM, "FFT plan of %d points", n);
    }
    f->half = f->turn + f->m;
    const double pi = 3.14159265358979323846;
    for (int k = 0; k < f->m; k++) {
        f->turn[k] = (so_bin){cos(2 * pi * k / f->m), -sin(2 * pi * k / f->m)};
        f->half[k] = (so_bin){cos(pi * k / f->m), -sin(pi * k / f->m)};
    }
    *out = f;
    return SO_OK;
}

void so_fft_close(so_fft **fft)
{
    if (!fft || !*fft) return;
    free((*fft)->turn);
    free(*fft);
    *fft = NULL;
}

/* One butterfly of `r` inputs that lie `gap` apart, into b, without the turning factors. */
static inline void butterfly(int r, const so_bin *x, size_t gap, so_bin *b)
{
    if (r == 2) {
        b[0] = add(x[0], x[gap]);
        b[1] = sub(x[0], x[gap]);
    } else if (r == 4) {
        so_bin s = add(x[0], x[2 * gap]), d = sub(x[0], x[2 * gap]);
        so_bin t = add(x[gap], x[3 * gap]), e = sub(x[gap], x[3 * gap]);
        b[0] = add(s, t);
        b[1] = (so_bin){d.re + e.im, d.im - e.re};
        b[2] = sub(s, t);
        b[3] = (so_bin){d.re - e.im, d.im + e.re};
    } else if (r == 3) {
        const double s3 = 0.86602540378443864676;
        so_bin t = add(x[gap], x[2 * gap]), e = sub(x[gap], x[2 * gap]);
        so_bin c = {x[0].re - t.re / 2, x[0].im - t.im / 2};
        b[0] = add(x[0], t);
        b[1] = (so_bin){c.re + s3 * e.im, c.im - s3 * e.re};
        b[2] = (so_bin){c.re - s3 * e.im, c.im + s3 * e.re};
    } else {
        const double c1 = 0.30901699437494742410, c2 = -0.80901699437494742410;
        const double s1 = 0.95105651629515357212, s2 = 0.58778525229247312917;
        so_bin t1 = add(x[gap], x[4 * gap]), e1 = sub(x[gap], x[4 * gap]);
        so_bin t2 = add(x[2 * gap], x[3 * gap]), e2 = sub(x[2 * gap], x[3 * gap]);
        so_bin p = {x[0].re + c1 * t1.re + c2 * t2.re, x[0].im + c1 * t1.im + c2 * t2.im};
        so_bin q = {x[0].re + c2 * t1.re + c1 * t2.re, x[0].im + c2 * t1.im + c1 * t2.im};
        so_bin u = {s1 * e1.re + s2 * e2.re, s1 * e1.im + s2 * e2.im};
        so_bin v = {s2 * e1.re - s1 * e2.re, s2 * e1.im - s1 * e2.im};
        b[0] = add(x[0], add(t1, t2));
        b[1] = (so_bin){p.re + u.im, p.im - u.re};
        b[2] = (so_bin){q.re + v.im, q.im - v.re};
        b[3] = (so_bin){q.re - v.im, q.im + v.re};
        b[4] = (so_bin){p.re - u.im, p.im + u.re};
    }
}

/* One stage: x is [r, m, s], y is [m, r, s]; `turn` has m * r * s entries. */
static inline void stage(int r, int m, int s, const so_bin *turn, const so_bin *x, so_bin *y)
{
    for (int p = 0; p < m; p++)
        for (int q = 0; q < s; q++) {
            so_bin b[5];
            butterfly(r, x + q + (int64_t)s * p, (size_t)s * (size_t)m, b);
            so_bin *to = y + q + (int64_t)s * r * p;
            to[0] = b[0];
            for (int j = 1; j < r; j++) to[(int64_t)s * j] = mul(b[j], turn[p * j * s]);
        }
}

/* The radix as a constant lets the compiler specialise each body. */
static void run_stage(int r, int m, int s, const so_bin *turn, const so_bin *x, so_bin *y)
{
    switch (r) {
    case 2:
        stage(2, m, s, turn, x, y);
        break;
    case 3:
        stage(3, m, s, turn, x, y);
        break;
    case 4:
        stage(4, m, s, turn, x, y);
        break;
    default:
        stage(5, m, s, turn, x, y);
        break;
    }
}

void so_fft_real(const so_fft *f, const double *x, so_bin *spectrum, so_bin *scratch)
{
    int m = f->m, left = m, s = 1;
    so_bin *from = f->stages % 2 ? scratch : spectrum, *to = f->stages % 2 ? spectrum : scratch;
    for (int k = 0; k < m; k++) from[k] = (so_bin){x[2 * k], x[2 * k + 1]};
    for (int i = 0; i < f->stages; i++) {
        int r = f->radix[i];
        left /= r;
        run_stage(r, left, s, f->turn, from, to);
        s *= r;
        so_bin *swap = from;
        from = to;
        to = swap;
    }
    /* The result stands in `spectrum`; pairs k and m - k are untangled in place. */
    so_bin z = spectrum[0];
    spectrum[0] = (so_bin){z.re + z.im, 0};
    spectrum[m] = (so_bin){z.re - z.im, 0};
    for (int k = 1; k <= m - k; k++) {
        so_bin a = spectrum[k], b = spectrum[m - k];
        so_bin even = {(a.re + b.re) / 2, (a.im - b.im) / 2}, odd = {(a.im + b.im) / 2, (b.re - a.re) / 2};
        so_bin t = mul(odd, f->half[k]);
        spectrum[k] = add(even, t);
        spectrum[m - k] = (so_bin){even.re - t.re, t.im - even.im};
    }
}
