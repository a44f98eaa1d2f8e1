/* The codec's networks by themselves: small ones with random weights.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "models/discriminators.h"
#include "models/flow.h"
#include "models/hift.h"
#include "models/speech_tokenizer.h"
#include "nn/ops_wave.h"
#include "train/loss_adversarial.h"
#include "train/loss_flow.h"

static so_store store;
static so_arena arena;
static so_rng rng;
static so_speech_tokenizer tokenizer;
static so_flow flow;
static so_hift hift;
static so_discriminators discriminators;
static float numbers[1 << 18];

static int start(void **state)
{
    (void)state;
    so_error error = {0};
    so_rng_init(&rng, 3, 0);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) numbers[i] = (float)so_rng_normal(&rng);
    so_binder binder = {.store = &store, .rng = &rng};
    so_speech_tokenizer_config tc = {16, 32, 2, 64, 2, 24, 50, {2, 2}, 1, 9, 1};
    so_flow_config fc = so_flow_published();
    fc.units = 24, fc.width = 32, fc.heads = 2, fc.ff = 48, fc.layers = 1, fc.channels = 16, fc.est_heads = 2;
    fc.head_width = 8, fc.est_blocks = 1, fc.mid = 1, fc.speaker = 12, fc.mels = 20, fc.steps = 3;
    so_hift_config hc = so_hift_published();
    hc.channels = hc.f0_channels = 8, hc.mels = 20;
    so_discriminators_config jc = {2, {2, 3}, {2, 2, 2, 2, 2}, 1, {64}, 2};
    if (so_store_open(&store, (size_t)1 << 30, &error) || so_arena_init(&arena, (size_t)2 << 30, &error)) return 1;
    return so_speech_tokenizer_bind(&tokenizer, &tc, "t.", &binder, &error) ||
           so_flow_bind(&flow, &fc, "f.", &binder, &error) || so_hift_bind(&hift, &hc, "h.", &binder, &error) ||
           so_discriminators_bind(&discriminators, &jc, "j.", &binder, &error) ||
           so_binder_finish(&binder, "random weights", &error);
}

static int stop(void **state)
{
    (void)state;
    so_store_close(&store);
    so_arena_clear(&arena);
    return 0;
}

static so_tensor *noise(so_pass *pass, int64_t a, int64_t b, int64_t c)
{
    return so_constant(pass, c ? 3 : 2, (int64_t[]){a, b, c}, numbers);
}

/* ---- one walk through everything, which the tests below vary */

static so_tensor *speak(so_pass *pass)
{
    static const int32_t ids[45] = {1, 2, 3, 23, 0, -5, 7};
    so_flow_request request = {
        .N = 45, .frames = so_flow_frames(&flow.config, 45), .ids = ids, .vector = numbers, .z = numbers};
    so_tensor *mel = so_flow_mel(pass, &flow, &request, NULL);
    if (!mel) return NULL;
    int64_t T = 12; /* the first frames are enough */
    so_tensor *head =
        so_reshape(pass, so_constant(pass, 2, (int64_t[]){T, 20}, so_data(mel)), 3, (int64_t[]){1, T, 20});
    so_tensor *harmonics = so_new3(pass, 1, T * 256, 9), *f0 = so_hift_f0(pass, &hift, head);
    if (!f0 || !harmonics) return NULL;
    so_hift_phase phase = {0};
    if (!pass->dry) so_hift_harmonics(&hift.config, T, so_data(f0), numbers, numbers, &phase, so_data(harmonics));
    return so_hift_wave(pass, &hift, head, so_hift_source(pass, &hift, harmonics));
}

static so_tensor *hear(so_pass *pass)
{
    static int32_t ids[64];
    int64_t frames[2] = {37, 21};
    so_batch *batch;
    so_tensor *inner,
        *hidden = so_speech_tokenizer_encode(pass, &tokenizer, noise(pass, 2, 37, 16), frames, &batch, &inner);
    so_tensor *codes = so_speech_tokenizer_quantise(pass, &tokenizer, hidden, ids, NULL);
    so_tensor *logits = so_speech_tokenizer_recognise(pass, &tokenizer, codes, batch);
    static const int32_t label[16] = {1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8};
    if (!logits) return NULL;
    assert_int_equal(so_rows(logits), 10 + 6);
    return so_weighted_sum(pass, 2,
                           (so_tensor *[]){so_cross_entropy(pass, logits, label), so_cross_entropy(pass, inner, label)},
                           (so_real[]){1, 0.5f});
}

static so_tensor *flow_lesson(so_pass *pass)
{
    static const int32_t ids[20] = {3, 4, 5};
    int64_t units[2] = {10, 7}, frames[2] = {35, 20}, shown[2] = {5, 0};
    so_flow_lesson lesson = {
        2, 10, 35, ids, units, frames, numbers, numbers, shown, numbers + 99, (so_real[]){0.2f, 0.9f}, NULL, false};
    return so_flow_loss(pass, &flow, &lesson, NULL);
}

static so_tensor *game(so_pass *pass)
{
    so_tensor *real = noise(pass, 2, 1024, 0), *source = so_hift_source(pass, &hift, noise(pass, 2, 1024, 9));
    so_tensor *made = so_hift_wave(pass, &hift, noise(pass, 2, 4, 20), source);
    so_discrimination vr, vm;
    if (!so_discriminate(pass, &discriminators, real, &vr) || !so_discriminate(pass, &discriminators, made, &vm))
        return NULL;
    so_wave_mel mel = {22050, 256, 64, 20, 0, 8000};
    so_tensor *part[6] = {so_generator_loss(pass, &vm),
                          so_feature_loss(pass, &vr, &vm),
                          so_relative_loss(pass, &vr, &vm, 0.04),
                          so_l1(pass, so_wave_log_mel(pass, made, &mel), so_wave_log_mel(pass, real, &mel), NULL),
                          so_wave_stft_loss(pass, made, real, 128),
                          so_discriminator_loss(pass, &vr, &vm)};
    return so_weighted_sum(pass, 6, part, (so_real[]){1, 1, 1, 1, 1, 1});
}

typedef so_tensor *(*walk_fn)(so_pass *pass);
static const walk_fn walks[] = {speak, hear, flow_lesson, game};

static so_tensor *walk(walk_fn fn, so_pass *pass, so_pool *pool, bool dry, bool recording)
{
    so_arena_release(&arena, 0);
    arena.peak = 0;
    so_pass_init(pass, &arena, pool, so_kernels_best());
    pass->dry = dry;
    pass->recording = recording;
    so_tensor *y = fn(pass);
    if (!so_ok(pass)) fail_msg("%s", pass->error.text);
    if (recording && so_backward(pass, y, 1) != SO_OK) fail_msg("%s", pass->error.text);
    return y;
}

static void dry_passes_foretell_memory(void **state)
{
    (void)state;
    so_error error = {0};
    for (int learning = 0; learning < 2; learning++) {
        CHECK_OK(so_store_learn(&store, NULL, learning, &error), error);
        for (int i = 0; i < 4; i++) {
            if (learning && walks[i] == speak) continue;
            so_pass pass;
            walk(walks[i], &pass, NULL, true, learning);
            size_t dry = arena.peak;
            walk(walks[i], &pass, NULL, false, learning);
            if (dry != arena.peak) fail_msg("walk %d: %zu bytes foretold, %zu taken", i, dry, arena.peak);
        }
    }
    CHECK_OK(so_store_learn(&store, NULL, false, &error), error);
}

static void threads_do_not_matter(void **state)
{
    (void)state;
    so_error error = {0};
    so_pool *pool;
    CHECK_OK(so_pool_open(&pool, 3, &error), error);
    for (int i = 0; i < 4; i++) {
        static float kept[1 << 14];
        so_pass pass;
        so_tensor *y = walk(walks[i], &pass, NULL, false, false);
        int64_t n = so_count(y);
        assert_true(n <= 1 << 14);
        for (int64_t j = 0; j < n; j++) assert_true(isfinite((double)so_data(y)[j]));
        memcpy(kept, y->data, (size_t)n * sizeof *kept);
        y = walk(walks[i], &pass, pool, false, false);
        assert_memory_equal(kept, y->data, (size_t)n * sizeof *kept);
    }
    so_pool_close(&pool);
}

/* Fifteen steps of plain descent on one batch make each loss smaller. */
static void lessons_are_learnt(void **state)
{
    (void)state;
    so_error error = {0};
    static const double rate[] = {0, 0.02, 0.003, 0.0003};
    static const char *const group[] = {NULL, "tokenizer", "flow", "hift"};
    for (int i = 1; i < 4; i++) {
        CHECK_OK(so_store_learn(&store, group[i], true, &error), error);
        float first = 0, last = 0;
        for (int step = 0; step < 15; step++) {
            so_pass pass;
            for (int64_t w = 0; w < store.count; w++) {
                so_tensor *t = &store.weight[w]->tensor;
                if (t->wants_grad) memset(t->grad, 0, (size_t)so_count(t) * sizeof(float));
            }
            last = so_data(walk(walks[i], &pass, NULL, false, true))[0];
            if (step == 0) first = last;
            for (int64_t w = 0; w < store.count; w++) {
                so_tensor *t = &store.weight[w]->tensor;
                for (int64_t j = 0; t->wants_grad && j < so_count(t); j++) so_data(t)[j] -= (float)rate[i] * t->grad[j];
            }
        }
        if (!(last < first * 0.99f)) fail_msg("walk %d: loss %g, then %g", i, (double)first, (double)last);
        CHECK_OK(so_store_learn(&store, NULL, false, &error), error);
    }
}

static void harmonics_go_on(void **state)
{
    (void)state;
    static float whole[8 * 256 * 9], parts[8 * 256 * 9];
    float f0[8] = {100, 120, 5, 80, 300, 250, 9, 110};
    so_hift_phase phase = {0};
    so_hift_harmonics(&hift.config, 8, f0, numbers, numbers, &phase, whole);
    phase = (so_hift_phase){0};
    so_hift_harmonics(&hift.config, 3, f0, numbers, numbers, &phase, parts);
    so_hift_harmonics(&hift.config, 5, f0 + 3, numbers, numbers + 3 * 256 * 9, &phase, parts + 3 * 256 * 9);
    assert_memory_equal(whole, parts, sizeof whole);
}

static so_pass *fresh(void)
{
    static so_pass pass;
    so_arena_release(&arena, 0);
    so_pass_init(&pass, &arena, NULL, so_kernels_best());
    return &pass;
}

static void wrong_input_is_refused(void **state)
{
    (void)state;
    int32_t ids[64] = {24};
    so_batch *batch;
    so_pass *pass = fresh();
    so_flow_request request = {.N = 1, .frames = 3, .ids = ids, .vector = numbers, .z = numbers};
    assert_null(so_flow_mel(pass, &flow, &request, NULL));
    assert_int_equal(pass->error.status, SO_ERR_ARG); /* unit 24 of 24 */
    pass = fresh();
    request.N = 0;
    assert_null(so_flow_mel(pass, &flow, &request, NULL));
    assert_int_equal(pass->error.status, SO_ERR_ARG);
    pass = fresh();
    pass->recording = true;
    so_tensor *z = noise(pass, 3, 20, 0);
    assert_null(so_flow_sample(pass, &flow, z, z, noise(pass, 1, 20, 0), NULL));
    assert_int_equal(pass->error.status, SO_ERR_STATE);
    pass = fresh();
    assert_null(so_hift_wave(pass, &hift, noise(pass, 1, 4, 20), noise(pass, 1, 1000, 0)));
    assert_int_equal(pass->error.status, SO_ERR_SHAPE);
    pass = fresh();
    assert_null(so_hift_wave(pass, &hift, noise(pass, 1, 4, 19), noise(pass, 1, 1024, 0)));
    assert_int_equal(pass->error.status, SO_ERR_SHAPE);
    pass = fresh(); /* 51 units, the position table has 50 */
    assert_null(so_speech_tokenizer_encode(pass, &tokenizer, noise(pass, 1, 204, 16), (int64_t[]){204}, &batch, NULL));
    assert_int_equal(pass->error.status, SO_ERR_LIMIT);
    pass = fresh();
    assert_int_equal(so_speech_tokenizer_ids(pass, &tokenizer, noise(pass, 8, 15, 0), ids), SO_ERR_SHAPE);
    pass = fresh();
    assert_null(so_stft(pass, noise(pass, 1, 8, 0), &(so_frames){16, 4, 8, numbers}));
    assert_int_equal(pass->error.status, SO_ERR_ARG);
    pass = fresh();
    assert_null(so_conv1d(pass, noise(pass, 2, 16, 0), tokenizer.conv1_w, NULL, (so_conv1){1, 0, 1, 0}));
    assert_int_equal(pass->error.status, SO_ERR_SHAPE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dry_passes_foretell_memory), cmocka_unit_test(threads_do_not_matter),
        cmocka_unit_test(lessons_are_learnt),         cmocka_unit_test(harmonics_go_on),
        cmocka_unit_test(wrong_input_is_refused),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
