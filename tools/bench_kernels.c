/* Speed of the kernels against the peak of the machine and against the other tables. Not a test.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backend/cpu/portable.h"
#include "base/rng.h"

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
static float *numbers(int64_t n)
{
    float *p = aligned_alloc(64, (size_t)(n * 4 + 63) / 64 * 64);
    so_rng r;
    so_rng_init(&r, 1, 2);
    for (int64_t i = 0; i < n; i++) p[i] = (float)so_rng_normal(&r);
    return p;
}
int main(void)
{
    so_error e;
    so_pool *pool[3] = {0};
    so_pool_open(&pool[2], 2, &e);
    so_kernels own = *so_kernels_best(), dnnl = *so_kernels_c();
    int64_t shapes[][3] = {{2000, 256, 256}, {2000, 1024, 256}, {2000, 256, 1024}, {1024, 320, 320}, {1024, 864, 320}, {1024,320,864}, {256, 256, 2000}, {512,4096,4096}, {60, 60, 32}, {300, 300, 64}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        int64_t m = shapes[s][0], n = shapes[s][1], k = shapes[s][2];
        float *a = numbers(m * k), *b = numbers(n * k), *c = numbers(m * n);
        for (int t = 0; t < 3; t++)
            for (int threads = 1; threads <= 2; threads++) {
                double best[2] = {1e9, 1e9};
                int reps = (int)(2e8 / ((double)m * n * k)) + 1;
                for (int round = 0; round < 7; round++)
                    for (int v = 0; v < 2; v++) {
                        const so_kernels *K = v ? &dnnl : &own;
                        double t0 = now();
                        for (int r = 0; r < reps; r++)
                            K->gemm(pool[threads], t == 2, t == 1, m, n, k, a, t == 2 ? m : k, b, t == 1 ? k : n, 0, c, n);
                        t0 = (now() - t0) / reps;
                        if (t0 < best[v]) best[v] = t0;
                    }
                double f = 2e-9 * m * n * k;
                printf("%5ld %5ld %5ld %s %d threads: own %6.1f  dnnl %6.1f GFLOP/s\n", m, n, k, t == 0 ? "NN" : t == 1 ? "NT" : "TN", threads, f / best[0], f / best[1]);
            }
        free(a); free(b); free(c);
    }
    return 0;
}
