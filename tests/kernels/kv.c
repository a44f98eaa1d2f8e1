/* Attention over keys and values that are stored in fewer bits: the same as over the numbers they stand for.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "backend/cpu/ref/portable.h"
#include "base/quantise.h"
#include "base/rng.h"

enum { HEADS = 4, KV_HEADS = 2, ROWS = 1300 };

static void compare(const so_kernels *k, so_type type, int64_t width, int64_t rows, int64_t q_rows)
{
    int64_t stride = KV_HEADS * width, n = rows * stride, cells = q_rows * HEADS * width;
    so_rng rng;
    so_error error;
    so_rng_init(&rng, (uint64_t)(width + rows), 4);
    float *plain[2], *q = malloc((size_t)cells * sizeof *q), *got = malloc((size_t)cells * sizeof *got);
    float *want = malloc((size_t)cells * sizeof *want);
    void *stored[2];
    for (int i = 0; i < 2; i++) {
        plain[i] = malloc((size_t)n * sizeof(float));
        stored[i] = malloc(so_type_bytes(type, n)); /* exact, so that reading past the end is seen */
        for (int64_t c = 0; c < n; c++) plain[i][c] = (float)so_rng_normal(&rng);
        CHECK_OK(so_quantise_row(type, plain[i], n, stored[i], &error), error);
        so_dequantise_row(type, stored[i], n, plain[i]);
    }
    for (int64_t c = 0; c < cells; c++) q[c] = (float)so_rng_normal(&rng);
    so_attn_seg seg = {
        .q_rows = q_rows, .k = plain[0], .v = plain[1], .kv_rows = rows, .kv_stride = stride, .pos0 = rows - q_rows};
    so_attn attn = {HEADS, KV_HEADS, width, 1 / sqrtf((float)width), true, NULL, NULL, 1, &seg};
    so_kernels_c()->attention(NULL, &attn, q, want, NULL);
    seg.k = stored[0];
    seg.v = stored[1];
    seg.kv_type = type;
    k->attention(NULL, &attn, q, got, NULL);
    check_close(so_type_about(type)->name, got, want, cells, 2e-5, 1e-5);
    for (int i = 0; i < 2; i++) {
        free(plain[i]);
        free(stored[i]);
    }
    free(q);
    free(got);
    free(want);
}

static void stored_types_mean_their_numbers(void **state)
{
    (void)state;
    static const so_type types[] = {SO_F16, SO_BF16, SO_Q8_0};
    static const int64_t widths[] = {32, 64, 128, 288};
    for (int k = 0; so_kernels_at(k); k++)
        for (int t = 0; t < 3; t++)
            for (int w = 0; w < 4; w++) {
                compare(so_kernels_at(k), types[t], widths[w], 1, 1);
                compare(so_kernels_at(k), types[t], widths[w], 37, 13);
                compare(so_kernels_at(k), types[t], widths[w], ROWS / 4, 3);
            }
    for (int k = 0; so_kernels_at(k); k++) {
        compare(so_kernels_at(k), SO_Q8_0, 64, ROWS, 70); /* several blocks of keys and of queries */
        compare(so_kernels_at(k), SO_F16, 24, ROWS, 2);   /* odd heads */
        compare(so_kernels_at(k), SO_BF16, 7, 100, 11);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stored_types_mean_their_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
