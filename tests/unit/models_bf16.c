/* The encoders and the codec's networks with products rounded to bf16, beside the same in f32: middle-sized, random
 * weights.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "models/flow.h"
#include "models/hift.h"
#include "models/siglip.h"
#include "models/speech_tokenizer.h"

static so_store store;
static so_arena arena;
static so_siglip eyes;
static so_speech_tokenizer ears;
static so_flow flow;
static so_hift hift;
static so_pool *pool;
static float numbers[1 << 17];

static so_status bind_all(so_error *error)
{
    so_rng rng;
    so_rng_init(&rng, 5, 0);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) numbers[i] = (float)so_rng_normal(&rng);
    so_binder binder = {.store = &store, .rng = &rng, .quick = true};
    so_siglip_config sc = {144, 2, 272, 4, 84, 14, 1e-6};
    so_speech_tokenizer_config tc = {
        .mels = 40, .width = 96, .heads = 3, .ff = 200, .layers = 3, .codes = 200, .context = 80, .stride = {2, 2}};
    so_flow_config fc = so_flow_published();
    fc.units = 50, fc.width = 64, fc.heads = 2, fc.ff = 96, fc.layers = 2, fc.channels = 64, fc.est_heads = 2;
    fc.head_width = 32, fc.est_blocks = 2, fc.mid = 2, fc.speaker = 12, fc.mels = 40, fc.steps = 4;
    so_hift_config hc = so_hift_published();
    hc.channels = 128, hc.f0_channels = 64, hc.mels = 40;
    SO_TRY(so_store_open(&store, (size_t)1 << 30, error));
    SO_TRY(so_arena_init(&arena, (size_t)2 << 30, error));
    SO_TRY(so_pool_open(&pool, 3, error));
    SO_TRY(so_siglip_bind(&eyes, &sc, "s.", &binder, error));
    SO_TRY(so_speech_tokenizer_bind(&ears, &tc, "t.", &binder, error));
    SO_TRY(so_flow_bind(&flow, &fc, "f.", &binder, error));
    SO_TRY(so_hift_bind(&hift, &hc, "h.", &binder, error));
    SO_TRY(so_hift_fold(&hift, so_kernels_best(), &store.memory, error));
    SO_TRY(so_store_lay_bf16(&store, NULL, so_kernels_best(), NULL, error));
    return so_hift_lay_bf16(&hift, so_kernels_best(), &store.memory, NULL, error);
}

static int start(void **state)
{
    (void)state;
    so_error error = {0};
    so_status status = bind_all(&error);
    if (status != SO_OK) fprintf(stderr, "%s\n", error.text);
    return status != SO_OK;
}

static int stop(void **state)
{
    (void)state;
    so_pool_close(&pool);
    so_store_close(&store);
    so_arena_clear(&arena);
    return 0;
}

typedef so_tensor *(*walk_fn)(so_pass *pass);

static so_tensor *look(so_pass *pass) { return so_siglip_forward(pass, &eyes, 2, numbers); }

static so_tensor *listen(so_pass *pass)
{
    so_batch *batch;
    so_tensor *mel = so_constant(pass, 3, (int64_t[]){2, 90, 40}, numbers);
    return so_speech_tokenizer_encode(pass, &ears, mel, (int64_t[]){90, 61}, &batch, NULL);
}

static so_tensor *draw(so_pass *pass)
{
    static const int32_t ids[30] = {1, 2, 3, 44, 0, 5, 7};
    so_flow_request request = {
        .N = 30, .frames = so_flow_frames(&flow.config, 30), .ids = ids, .vector = numbers, .z = numbers};
    return so_flow_mel(pass, &flow, &request, NULL);
}

static so_tensor *vocode(so_pass *pass)
{
    int64_t T = 20, n = T * so_hift_samples(&hift.config);
    so_tensor *mel = so_constant(pass, 3, (int64_t[]){1, T, 40}, numbers),
              *s = so_constant(pass, 2, (int64_t[]){1, n}, numbers);
    return so_hift_spectrum(pass, &hift, mel, s);
}

/* The layouts are used by tables that gain by them, and by these only; all numbers of threads give the same bits. */
static void compare(const char *name, walk_fn walk, double l2)
{
    so_pass pass;
    so_kernels plain = *so_kernels_best();
    plain.bf16_gains = false;
    so_pass_init(&pass, &arena, NULL, &plain);
    so_tensor *want = walk(&pass);
    CHECK_OK(pass.error.status, pass.error);
    so_pass_init(&pass, &arena, NULL, so_kernels_best()->with_bf16);
    so_tensor *got = walk(&pass);
    so_pass_init(&pass, &arena, pool, so_kernels_best()->with_bf16);
    so_tensor *many = walk(&pass);
    CHECK_OK(pass.error.status, pass.error);
    int64_t n = so_count(want);
    check_close(name, so_data(got), so_data(want), n, 5 * l2, l2);
    assert_memory_equal(so_data(got), so_data(many), (size_t)n * sizeof(float));
    if (so_kernels_best()->bf16_gains) assert_memory_not_equal(so_data(got), so_data(want), (size_t)n * sizeof(float));
    so_arena_release(&arena, 0);
}

static void eyes_agree(void **state)
{
    (void)state;
    compare("eyes", look, 8e-3);
}
static void ears_agree(void **state)
{
    (void)state;
    compare("ears", listen, 8e-3);
}
static void flow_agrees(void **state)
{
    (void)state;
    compare("flow", draw, 8e-3);
}
static void vocoder_agrees(void **state)
{
    (void)state;
    compare("vocoder", vocode, 8e-3);
}

/* Training never meets the layouts: what records computes with the numbers themselves. */
static void recording_is_exact(void **state)
{
    (void)state;
    so_pass pass;
    so_kernels plain = *so_kernels_best();
    plain.bf16_gains = false;
    so_pass_init(&pass, &arena, NULL, &plain);
    so_tensor *want = look(&pass);
    so_pass_init(&pass, &arena, NULL, so_kernels_best());
    pass.recording = true;
    so_tensor *got = look(&pass);
    CHECK_OK(pass.error.status, pass.error);
    assert_memory_equal(so_data(got), so_data(want), (size_t)so_count(want) * sizeof(float));
    so_arena_release(&arena, 0);
}

/* so_random_fill: mean near 0 (q4_0 has no middle), the deviation asked for, in every type, whatever the number of
 * threads. */
static void random_blocks_are_level(void **state)
{
    (void)state;
    enum { ROWS = 96, COLS = 1024, N = ROWS * COLS };
    static const so_type types[] = {SO_F32, SO_F16, SO_BF16, SO_Q8_0, SO_Q4_0, SO_Q4_K, SO_Q5_K, SO_Q6_K};
    static unsigned char one[N * 4], many[N * 4];
    static float row[COLS];
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        double sum = 0, square = 0;
        so_random_fill(NULL, types[i], N, 0.02, 9, one);
        so_random_fill(pool, types[i], N, 0.02, 9, many);
        assert_memory_equal(one, many, so_type_bytes(types[i], N));
        for (int r = 0; r < ROWS; r++) {
            so_kernels_c()->row(types[i], one, r, COLS, row);
            for (int c = 0; c < COLS; c++) {
                sum += (double)row[c];
                square += (double)row[c] * (double)row[c];
            }
        }
        double mean = sum / N, deviation = sqrt(square / N);
        if (fabs(mean) > 0.0025 || fabs(deviation - 0.02) > 0.001)
            fail_msg("%s: mean %.4g, deviation %.4g, expected 0 and 0.02", so_type_about(types[i])->name, mean,
                     deviation);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(eyes_agree),         cmocka_unit_test(ears_agree),
        cmocka_unit_test(flow_agrees),        cmocka_unit_test(vocoder_agrees),
        cmocka_unit_test(recording_is_exact), cmocka_unit_test(random_blocks_are_level),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
