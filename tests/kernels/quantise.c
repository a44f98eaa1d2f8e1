/* so_quantise_row: every type read back by the tables' `row`, refusals, ties.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "backend/cpu/portable.h"
#include "backend/quantise.h"
#include "base/rng.h"

static void numbers_come_back_within_half_a_step(void **state)
{
    (void)state;
    enum { K = 32 * 7 };
    static const so_type types[] = {SO_F32, SO_F16, SO_BF16, SO_Q8_0};
    static const double step[] = {0, 0x1p-11, 0x1p-8, 0};
    so_error error;
    so_rng rng;
    so_rng_init(&rng, 1, 1);
    for (int t = 0; t < 4; t++)
        for (int round = 0; round < 50; round++) {
            float x[K], y[K];
            unsigned char stored[K * 4];
            for (int i = 0; i < K; i++) x[i] = (float)(so_rng_normal(&rng) * (i / 32 == round % 9 ? 0 : 1));
            CHECK_OK(so_quantise_row(types[t], x, K, stored, &error), error);
            for (int k = 0; so_kernels_at(k); k++) {
                so_kernels_at(k)->row(types[t], stored, 0, K, y);
                for (int i = 0; i < K; i++) {
                    double max = 0;
                    for (int b = i / 32 * 32; b < i / 32 * 32 + 32; b++) max = fmax(max, fabs((double)x[b]));
                    /* a q8_0 step is max/127; its scale is off by 2^-11 of up to 127 steps */
                    double bar = types[t] == SO_Q8_0 ? max / 127 * (0.5 + 127 * 0x1p-11) : fabs((double)x[i]) * step[t];
                    bar *= 1.0001;
                    assert_true(fabs((double)x[i] - (double)y[i]) <= bar);
                }
            }
        }
}

static void a_block_is_what_gguf_has(void **state)
{
    (void)state;
    so_error error;
    float x[32] = {127, -127, 0.5f, -0.5f, 1.5f, 0.49f, 3};
    unsigned char out[34];
    CHECK_OK(so_quantise_row(SO_Q8_0, x, 32, out, &error), error);
    static const signed char want[8] = {127, -127, 1, -1, 2, 0, 3, 0};
    uint16_t scale;
    memcpy(&scale, out, 2);
    assert_int_equal(scale, so_to_f16(1));
    assert_memory_equal(out + 2, want, 8);
}

static void what_cannot_be_held_is_refused(void **state)
{
    (void)state;
    so_error error;
    float x[33] = {0};
    unsigned char out[200];
    assert_int_equal(so_quantise_row(SO_Q8_0, x, 33, out, &error), SO_ERR_SHAPE);
    assert_int_equal(so_quantise_row(SO_Q4_K, x, 32, out, &error), SO_ERR_TYPE);
    x[5] = 70000;
    assert_int_equal(so_quantise_row(SO_F16, x, 32, out, &error), SO_ERR_NUMBER);
    assert_int_equal(so_quantise_row(SO_Q8_0, x, 32, out, &error), SO_OK);
    x[5] = 1e30f;
    assert_int_equal(so_quantise_row(SO_Q8_0, x, 32, out, &error), SO_ERR_NUMBER);
    x[5] = NAN;
    for (so_type t = SO_F32; t <= SO_Q8_0; t++)
        if (t != SO_I32 && t != SO_I64 && t != SO_U8 && t != SO_F64)
            assert_int_equal(so_quantise_row(t, x, 32, out, &error), SO_ERR_NUMBER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_come_back_within_half_a_step),
        cmocka_unit_test(a_block_is_what_gguf_has),
        cmocka_unit_test(what_cannot_be_held_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
