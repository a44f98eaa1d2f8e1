/* Quantised models against themselves: lockstep, calibration, keys and values in fewer bits, what cannot be saved.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "check.h"

#include "eval/quant/calibrate.h"
#include "eval/quant/lockstep.h"
#include "toy.h"

static char folder[] = TOY_FOLDER;
static so_model *model;

static int open_model(void **state) { return (void)state, toy_open(&model, folder, 1, 512); }
static int close_model(void **state) { return (void)state, toy_close(&model, folder); }

static const so_session_options sizes = {.max_units = 40, .max_text = 20};

static void ask_three(so_lockstep *l)
{
    static uint8_t rgb[40 * 30 * 3];
    int32_t units[30];
    so_error error;
    for (size_t i = 0; i < sizeof rgb; i++) rgb[i] = (uint8_t)(i * 7 % 251);
    for (int i = 0; i < 30; i++) units[i] = i * 11 % TOY_UNITS;
    CHECK_OK(so_lockstep_ask(l, &(so_turn){.text = "where is the cat?"}, &error), error);
    CHECK_OK(
        so_lockstep_ask(l, &(so_turn){.text = "hello", .rgb = rgb, .width = 40, .height = 30, .voice = true}, &error),
        error);
    CHECK_OK(so_lockstep_ask(l, &(so_turn){.units = units, .n_units = 30, .voice = true}, &error), error);
}

/* Mean KL of all three kinds of distributions; fails unless each was compared. */
static double drift_of(so_model *other, const char *kv, bool same)
{
    so_lockstep *l;
    so_error error;
    so_session_options options = sizes;
    double kl = 0;
    options.kv = kv;
    CHECK_OK(so_lockstep_open(&l, model, other, &sizes, &options, &error), error);
    ask_three(l);
    for (int i = 0; i < SO_DRIFTS; i++) {
        const so_drift *d = &so_lockstep_drift(l)[i];
        assert_true(d->rows >= 20 && d->agree <= d->rows && d->firm_agree <= d->firm && d->firm <= d->rows);
        if (same) assert_int_equal(d->agree, d->rows);
        kl += d->kl / (double)d->rows;
    }
    so_lockstep_close(&l);
    assert_null(l);
    return kl / SO_DRIFTS;
}

static double drift_as(const char *type, const char *importance)
{
    char path[512];
    so_error error;
    so_model *copy;
    toy_path(path, folder, "copy.gguf");
    CHECK_OK(so_model_save(model, path, &(so_save_options){.type = type, .importance = importance}, &error), error);
    CHECK_OK(so_model_open(&copy, path, &(so_model_options){.threads = 1, .context = 512, .keep_types = 1}, &error),
             error);
    double kl = drift_of(copy, NULL, false);
    so_model_close(&copy);
    return kl;
}

static void drift_grows_as_bits_go(void **state)
{
    (void)state;
    assert_true(drift_of(model, NULL, true) < 1e-12);
    double f16 = drift_as("f16", NULL), q8 = drift_as("q8_0", NULL);
    double q5 = drift_as("q5_0", NULL), q4 = drift_as("q4_0", NULL);
    assert_true(f16 > 0 && f16 < q8 && q8 < q5 && q5 < q4);
    assert_true(drift_as("q4_k_m", NULL) > 0); /* rows of 32 fall back */
}

static void keys_and_values_in_fewer_bits(void **state)
{
    (void)state;
    so_error error;
    so_session *s;
    double f16 = drift_of(model, "f16", false), bf16 = drift_of(model, "bf16", false);
    assert_true(f16 > 0 && f16 < bf16 && bf16 < 1e-3);
    assert_int_equal(so_session_open(&s, model, &(so_session_options){.kv = "q3"}, &error), SO_ERR_ARG);
    assert_int_equal(so_session_open(&s, model, &(so_session_options){.kv = "q8_0"}, &error), SO_ERR_ARG);
    assert_non_null(strstr(error.text, "32")); /* the toy's heads are 8 wide */
    so_need bytes[2], scratch;
    so_talk_options options = {.speaks = true, .sees = true};
    for (int i = 0; i < 2; i++) {
        options.kv = i ? SO_F16 : SO_F32;
        CHECK_OK(so_talk_plan(model, &options, 1, &bytes[i], &scratch, &error), error);
    }
    int64_t numbers = 2 * (2 + 3 + 2) * 16 * 512; /* keys and values of all layers, 16 wide, 512 positions */
    assert_true(llabs((long long)(bytes[0].host - bytes[1].host) - (long long)numbers * 2) < 4096);
}

static void calibration_counts_what_meets_a_matrix(void **state)
{
    (void)state;
    char path[512];
    so_error error;
    so_calibration *c;
    so_session *s;
    so_safetensors *file;
    so_made made;
    int64_t least;
    toy_path(path, folder, "importance");
    CHECK_OK(so_calibration_open(&c, &error), error);
    assert_int_equal(so_calibration_save(c, path, &error), SO_ERR_STATE);
    CHECK_OK(so_session_open(&s, model, &sizes, &error), error);
    so_calibration_watch(c, s);
    CHECK_OK(so_turn_give(s, &(so_turn){.text = "where is the cat?", .voice = true}, &error), error);
    do CHECK_OK(so_talk_step(s->talk, &made, &error), error);
    while (made.kind != SO_STEP_END);
    /* seven matrices a layer, four of fusion in each top layer, three heads; no picture, so no vision */
    assert_int_equal(so_calibration_count(c, &least), 7 * 7 + 2 * 4 + 3);
    assert_true(least > 0);
    CHECK_OK(so_calibration_save(c, path, &error), error);
    so_session_close(&s);
    so_calibration_close(&c);
    CHECK_OK(so_safetensors_open(&file, path, &error), error);
    const so_view *head = so_views_find(so_safetensors_views(file), "lm_head.weight");
    assert_non_null(head);
    assert_int_equal(head->dim[0], 32);
    /* The head reads a normed row: without the norm's weights its mean square is 1. */
    double sum = 0;
    const float *mean = head->data;
    for (int i = 0; i < 32; i++) sum += (double)mean[i] / pow((double)so_data(model->net.backbone.norm)[i], 2);
    assert_float_equal(sum / 32, 1, 1e-3);
    so_safetensors_close(&file);
    double plain = drift_as("q4_0", NULL), weighted = drift_as("q4_0", path);
    assert_true(weighted < plain);
}

static void what_a_type_cannot_hold_is_named(void **state)
{
    (void)state;
    char path[512];
    so_error error;
    toy_path(path, folder, "broken.gguf");
    so_real *x = so_data(model->net.text_head), before = x[7];
    static const char *const types[] = {"q8_0", "q5_0", "q4_0", "f16"};
    for (int i = 0; i < 4; i++) {
        x[7] = 1e30f;
        assert_int_equal(so_model_save(model, path, &(so_save_options){.type = types[i]}, &error), SO_ERR_NUMBER);
        assert_non_null(strstr(error.text, "lm_head.weight"));
        assert_int_not_equal(access(path, F_OK), 0);
    }
    x[7] = before;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drift_grows_as_bits_go),
        cmocka_unit_test(keys_and_values_in_fewer_bits),
        cmocka_unit_test(calibration_counts_what_meets_a_matrix),
        cmocka_unit_test(what_a_type_cannot_hold_is_named),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
