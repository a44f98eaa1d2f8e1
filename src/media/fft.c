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

#define NUMBER double
#define BIN so_bin
#define NAME(x) x##_one
#include "media/fft_body.h"
#undef NUMBER
#undef BIN
#undef NAME
#define NUMBER so_two
#define BIN so_bin_two
#define NAME(x) x##_two
#include "media/fft_body.h"

void so_fft_real(const so_fft *f, const double *x, so_bin *spectrum, so_bin *scratch)
{
    real_one(f, x, spectrum, scratch);
}

void so_fft_real_two(const so_fft *f, const so_two *x, so_bin_two *spectrum, so_bin_two *scratch)
{
    real_two(f, x, spectrum, scratch);
}

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
