/* kernels: a decoded row does not depend on the rows beside it; threads with small stacks can run them, and what they
 * take goes with them.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "check.h"

#include <pthread.h>

#include "backend/cpu/ref/portable.h"
#include "base/quantise.h"

enum { STACK = 256 << 10, N = 96 };

static float w[N * N], x[N * N], y[2][N * N];

static void *multiply(void *out)
{
    so_kernels_best()->linear(NULL, &(so_product){.type = SO_F32, .w = w, .n = N, .y = out}, N, x, N);
    return NULL;
}

static void small_stacks_are_enough(void **state)
{
    (void)state;
    pthread_attr_t attr;
    for (int i = 0; i < N * N; i++) w[i] = (float)(i % 17) - 8, x[i] = (float)(i % 13) - 6;
    multiply(y[0]);
    assert_int_equal(pthread_attr_init(&attr), 0);
    assert_int_equal(pthread_attr_setstacksize(&attr, (size_t)STACK), 0);
    for (int i = 0; i < 300; i++) { /* a megabyte left behind by each would show */
        pthread_t thread;
        memset(y[1], 0, sizeof y[1]);
        assert_int_equal(pthread_create(&thread, &attr, multiply, y[1]), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_memory_equal(y[0], y[1], sizeof y[0]);
    }
    pthread_attr_destroy(&attr);
    char line[256];
    long kilobytes = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status)) sscanf(line, "VmRSS: %ld", &kilobytes);
    if (status) fclose(status);
    assert_true(kilobytes < 100000);
}

/* Up to 16 rows: what sessions decode together. */
static void rows_do_not_depend_on_their_number(void **state)
{
    (void)state;
    static const so_type types[] = {SO_F32, SO_F16, SO_BF16, SO_Q8_0};
    enum { ROWS = 16, K = 96 };
    static unsigned char stored[N * K * 4];
    static float one[ROWS * N], all[ROWS * N];
    so_error error;
    for (int i = 0; i < N * N; i++)
        w[i] = (float)((i * 7919) % 1013) / 500 - 1, x[i] = (float)((i * 104729) % 997) / 400 - 1;
    for (size_t t = 0; t < sizeof types / sizeof *types; t++)
        for (int64_t k = types[t] == SO_Q8_0 ? 96 : 89; k <= K; k += 7) {
            const so_kernels *table = so_kernels_best();
            if (types[t] == SO_F32)
                memcpy(stored, w, sizeof(float) * N * (size_t)k);
            else
                for (int64_t j = 0; j < N; j++)
                    CHECK_OK(so_quantise_row(types[t], w + j * k, k, stored + so_type_bytes(types[t], j * k), &error),
                             error);
            for (int64_t r = 0; r < ROWS; r++)
                table->linear(NULL, &(so_product){.type = types[t], .w = stored, .n = N - 1, .y = one + r * (N - 1)}, k,
                              x + r * k, 1);
            for (int64_t rows = 2; rows <= ROWS; rows++) {
                table->linear(NULL, &(so_product){.type = types[t], .w = stored, .n = N - 1, .y = all}, k, x, rows);
                assert_memory_equal(all, one, sizeof *all * (size_t)(rows * (N - 1)));
            }
        }
}

/* Where small models keep q8_0 instead of being expanded: the numbers and the order of their sums are those of f32. */
static void q8_gives_the_bits_of_f32(void **state)
{
    (void)state;
    enum { ROWS = 40, K = 96 };
    static unsigned char stored[N * K * 2];
    static float decoded[N * K], want[ROWS * N], got[ROWS * N];
    so_error error;
    int tables = 0;
    for (int i = 0; i < N * N; i++)
        w[i] = (float)((i * 7919) % 1013) / 500 - 1, x[i] = (float)((i * 104729) % 997) / 400 - 1;
    for (int64_t j = 0; j < N; j++)
        CHECK_OK(so_quantise_row(SO_Q8_0, w + j * K, K, stored + so_type_bytes(SO_Q8_0, j * K), &error), error);
    for (int64_t j = 0; j < N; j++) so_kernels_c()->row(SO_Q8_0, stored, j, K, decoded + j * K);
    for (int t = 0; so_kernels_at(t); t++) {
        const so_kernels *table = so_kernels_at(t);
        if (!table->q8_gains) continue;
        tables++;
        for (int64_t m = 1; m <= ROWS; m++) {
            table->linear(NULL, &(so_product){.type = SO_F32, .w = decoded, .n = N, .y = want}, K, x, m);
            table->linear(NULL, &(so_product){.type = SO_Q8_0, .w = stored, .n = N, .y = got}, K, x, m);
            assert_memory_equal(got, want, sizeof *got * (size_t)(m * N));
        }
    }
    if (!tables) {
        print_message("# SKIP: no table of this machine multiplies q8_0 in registers\n");
        skip();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(q8_gives_the_bits_of_f32),
                                       cmocka_unit_test(rows_do_not_depend_on_their_number),
                                       cmocka_unit_test(small_stacks_are_enough)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
