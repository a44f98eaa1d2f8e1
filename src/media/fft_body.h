/* The transform itself, over NUMBER: a double, or one of each of two frames side by side. Included by fft.c once for
 * each; BIN has NUMBER re, im; NAME(x) makes names of this text's functions.
 * SPDX-License-Identifier: Apache-2.0 */

static inline BIN NAME(add)(BIN a, BIN b) { return (BIN){a.re + b.re, a.im + b.im}; }
static inline BIN NAME(sub)(BIN a, BIN b) { return (BIN){a.re - b.re, a.im - b.im}; }
static inline BIN NAME(mul)(BIN a, so_bin b) { return (BIN){a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re}; }

/* One butterfly of `r` inputs that lie `gap` apart, into b, without the turning factors. */
static inline void NAME(butterfly)(int r, const BIN *x, size_t gap, BIN *b)
{
    if (r == 2) {
        b[0] = NAME(add)(x[0], x[gap]);
        b[1] = NAME(sub)(x[0], x[gap]);
    } else if (r == 4) {
        BIN s = NAME(add)(x[0], x[2 * gap]), d = NAME(sub)(x[0], x[2 * gap]);
        BIN t = NAME(add)(x[gap], x[3 * gap]), e = NAME(sub)(x[gap], x[3 * gap]);
        b[0] = NAME(add)(s, t);
        b[1] = (BIN){d.re + e.im, d.im - e.re};
        b[2] = NAME(sub)(s, t);
        b[3] = (BIN){d.re - e.im, d.im + e.re};
    } else if (r == 3) {
        const double s3 = 0.86602540378443864676;
        BIN t = NAME(add)(x[gap], x[2 * gap]), e = NAME(sub)(x[gap], x[2 * gap]);
        BIN c = {x[0].re - t.re / 2, x[0].im - t.im / 2};
        b[0] = NAME(add)(x[0], t);
        b[1] = (BIN){c.re + s3 * e.im, c.im - s3 * e.re};
        b[2] = (BIN){c.re - s3 * e.im, c.im + s3 * e.re};
    } else {
        const double c1 = 0.30901699437494742410, c2 = -0.80901699437494742410;
        const double s1 = 0.95105651629515357212, s2 = 0.58778525229247312917;
        BIN t1 = NAME(add)(x[gap], x[4 * gap]), e1 = NAME(sub)(x[gap], x[4 * gap]);
        BIN t2 = NAME(add)(x[2 * gap], x[3 * gap]), e2 = NAME(sub)(x[2 * gap], x[3 * gap]);
        BIN p = {x[0].re + c1 * t1.re + c2 * t2.re, x[0].im + c1 * t1.im + c2 * t2.im};
        BIN q = {x[0].re + c2 * t1.re + c1 * t2.re, x[0].im + c2 * t1.im + c1 * t2.im};
        BIN u = {s1 * e1.re + s2 * e2.re, s1 * e1.im + s2 * e2.im};
        BIN v = {s2 * e1.re - s1 * e2.re, s2 * e1.im - s1 * e2.im};
        b[0] = NAME(add)(x[0], NAME(add)(t1, t2));
        b[1] = (BIN){p.re + u.im, p.im - u.re};
        b[2] = (BIN){q.re + v.im, q.im - v.re};
        b[3] = (BIN){q.re - v.im, q.im + v.re};
        b[4] = (BIN){p.re - u.im, p.im + u.re};
    }
}

/* One stage: x is [r, m, s], y is [m, r, s]; `turn` has m * r * s entries. */
static inline void NAME(stage)(int r, int m, int s, const so_bin *turn, const BIN *x, BIN *y)
{
    for (int p = 0; p < m; p++)
        for (int q = 0; q < s; q++) {
            BIN b[5];
            NAME(butterfly)(r, x + q + (int64_t)s * p, (size_t)s * (size_t)m, b);
            BIN *to = y + q + (int64_t)s * r * p;
            to[0] = b[0];
            for (int j = 1; j < r; j++) to[(int64_t)s * j] = NAME(mul)(b[j], turn[p * j * s]);
        }
}

/* The radix as a constant lets the compiler specialise each body. */
static void NAME(run_stage)(int r, int m, int s, const so_bin *turn, const BIN *x, BIN *y)
{
    switch (r) {
    case 2:
        NAME(stage)(2, m, s, turn, x, y);
        break;
    case 3:
        NAME(stage)(3, m, s, turn, x, y);
        break;
    case 4:
        NAME(stage)(4, m, s, turn, x, y);
        break;
    default:
        NAME(stage)(5, m, s, turn, x, y);
        break;
    }
}

static void NAME(real)(const so_fft *f, const NUMBER *x, BIN *spectrum, BIN *scratch)
{
    int m = f->m, left = m, s = 1;
    BIN *from = f->stages % 2 ? scratch : spectrum, *to = f->stages % 2 ? spectrum : scratch;
    for (int k = 0; k < m; k++) from[k] = (BIN){x[2 * k], x[2 * k + 1]};
    for (int i = 0; i < f->stages; i++) {
        int r = f->radix[i];
        left /= r;
        NAME(run_stage)(r, left, s, f->turn, from, to);
        s *= r;
        BIN *swap = from;
        from = to;
        to = swap;
    }
    /* The result stands in `spectrum`; pairs k and m - k are untangled in place. */
    BIN z = spectrum[0];
    spectrum[0] = (BIN){z.re + z.im, (NUMBER){0}};
    spectrum[m] = (BIN){z.re - z.im, (NUMBER){0}};
    for (int k = 1; k <= m - k; k++) {
        BIN a = spectrum[k], b = spectrum[m - k];
        BIN even = {(a.re + b.re) / 2, (a.im - b.im) / 2}, odd = {(a.im + b.im) / 2, (b.re - a.re) / 2};
        BIN t = NAME(mul)(odd, f->half[k]);
        spectrum[k] = NAME(add)(even, t);
        spectrum[m - k] = (BIN){even.re - t.re, t.im - even.im};
    }
}
