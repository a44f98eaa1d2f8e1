/* The codec's kernels under the same harness. Included by table.c.
 * SPDX-License-Identifier: Apache-2.0 */

static so_conv geometry(trial *t)
{
    so_conv c = {size(t, 1, 3), size(t, 1, 70)};
    for (int i = 0; i < 2; i++) {
        bool flat = i == 0 && size(t, 0, 2) > 0;
        c.in[i] = flat ? 1 : size(t, 1, 20);
        c.kernel[i] = flat ? 1 : size(t, 1, 5);
        c.stride[i] = flat ? 1 : size(t, 1, 3);
        c.dilation[i] = flat ? 1 : size(t, 1, 3);
        c.pad[i] = flat ? 0 : size(t, 0, 6);
        int64_t span = c.in[i] + 2 * c.pad[i] - c.dilation[i] * (c.kernel[i] - 1);
        c.out[i] = span < 1 ? 1 : (span - 1) / c.stride[i] + 1;
    }
    return c;
}

static void patches_case(trial *t)
{
    so_conv c = geometry(t);
    int64_t all = c.batch * c.out[0] * c.out[1], row0 = size(t, 0, all - 1), rows = size(t, 0, all - row0);
    int64_t width = c.kernel[0] * c.kernel[1] * c.channels, n = c.batch * c.in[0] * c.in[1] * c.channels;
    t->k->im2col(t->pool, &c, row0, rows, in(t, n), out(t, rows * width));
    t->k->col2im(t->pool, &c, row0, rows, in(t, rows * width), out(t, n));
}

static void group_norm_case(trial *t)
{
    int64_t B = size(t, 1, 3), R = size(t, 1, 40), G = size(t, 1, 4), C = G * size(t, 1, 40);
    float *x = in(t, B * R * C), *w = in(t, C), *b = in(t, C), *dy = in(t, B * R * C);
    t->k->group_norm(t->pool, &(so_norm){.batch = B,
                                         .rows = R,
                                         .cols = C,
                                         .groups = G,
                                         .eps = 1e-3f,
                                         .x = x,
                                         .w = w,
                                         .b = b,
                                         .y = out(t, B * R * C)});
    float *dx = out(t, B * R * C), *dw = out(t, C);
    t->k->group_norm_back(t->pool, &(so_norm){.batch = B,
                                              .rows = R,
                                              .cols = C,
                                              .groups = G,
                                              .eps = 1e-3f,
                                              .x = x,
                                              .w = w,
                                              .dy = dy,
                                              .dx = dx,
                                              .dw = dw,
                                              .db = out(t, C)});
}

static void snake_case(trial *t)
{
    int64_t R = size(t, 1, 50), C = size(t, 1, 140);
    float *x = in(t, R * C), *a = in(t, C), *dy = in(t, R * C);
    for (int64_t i = 0; i < C; i++) a[i] = 0.5f + fabsf(a[i]) / 4;
    t->k->snake(t->pool, R, C, x, a, out(t, R * C));
    float *dx = out(t, R * C);
    t->k->snake_back(t->pool, R, C, &(so_snake_back){.x = x, .alpha = a, .dy = dy, .dx = dx, .dalpha = out(t, C)});
}

static void fourier_case(trial *t)
{
    int64_t R = size(t, 1, 40), n = (int64_t)1 << size(t, 1, 9);
    float *work = keep(t, (size_t)SO_RFFT_WORK(R, n) * sizeof *work);
    t->k->rfft(t->pool, R, n, in(t, R * n), work, out(t, R * (n + 2)));
    t->k->rfft_adjoint(t->pool, R, n, in(t, R * (n + 2)), work, out(t, R * n));
}

CASE(patches, 2e-6, 2e-6)
CASE(group_norm, 2e-5, 2e-5)
CASE(snake, 2e-5, 1e-5)
CASE(fourier, 1e-5, 1e-5)

/* The polynomial against the library's sine. */
static void snake_is_accurate(void **state)
{
    (void)state;
    enum { N = 1 << 14 };
    static float x[N], y[N];
    for (int t = 0; so_kernels_at(t); t++) {
        for (int i = 0; i < N; i++) x[i] = (float)(i - N / 2) * 200 / N;
        so_kernels_at(t)->snake(NULL, N, 1, x, &(float){1.3f}, y);
        for (int i = 0; i < N; i++) {
            double u = (double)(1.3f * x[i]), want = (double)x[i] + sin(u) * sin(u) / ((double)1.3f + 1e-9);
            if (fabs((double)y[i] - want) > 4e-7 + 1e-7 * fabs((double)x[i]))
                fail_msg("snake(%g) is %.9g, expected %.9g", (double)x[i], (double)y[i], want);
        }
    }
}
