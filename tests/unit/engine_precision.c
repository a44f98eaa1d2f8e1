/* int8 activations beside f32 on the shipped model: the same likeliest text tokens, labels and units along its own
 * answers.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "eval/quant/lockstep.h"

static const char *const questions[] = {
    "What is on the table?",           "How many cups do you see?",
    "Where is the red ball?",          "Who are you?",
    "What colour is the small box?",   "Which thing is left of the blue cube?",
    "What is two and three?",          "Is there a green ring on the table?",
    "What is behind the white plate?", "Tell me about the picture.",
};
enum { QUESTIONS = 10 };

static so_model *open_as(so_precision precision)
{
    so_error error;
    so_model *model;
    char path[4096];
    snprintf(path, sizeof path, "%s/models/tabletop.gguf", SO_SOURCE_DIR);
    if (access(path, R_OK) != 0) {
        fprintf(stderr, "# SKIP: models/tabletop.gguf is absent\n");
        skip();
    }
    CHECK_OK(so_model_open(&model, path, &(so_model_options){.threads = 1, .precision = precision}, &error), error);
    return model;
}

static void likeliest_ids_agree(void **state)
{
    (void)state;
    so_model *exact = open_as(SO_PRECISION_EXACT), *rounded = open_as(SO_PRECISION_INT8);
    assert_false(exact->kernels->int8);
    assert_true(rounded->kernels->int8);
    assert_int_equal(rounded->net.text_head->type, SO_Q8_0);
    static uint8_t rgb[112 * 112 * 3];
    for (size_t i = 0; i < sizeof rgb; i++) rgb[i] = (uint8_t)(i / 3 % 112 + i % 3 * 60);
    so_error error;
    int64_t rows = 0, agree = 0;
    for (int q = 0; q < QUESTIONS; q++) {
        so_lockstep *l;
        so_session_options options = {.max_text = 60, .max_units = 120};
        CHECK_OK(so_lockstep_open(&l, exact, rounded, &options, &options, &error), error);
        so_turn turn = {.text = questions[q], .voice = true, .rgb = q % 2 ? rgb : NULL, .width = 112, .height = 112};
        CHECK_OK(so_lockstep_ask(l, &turn, &error), error);
        for (int i = 0; i < SO_DRIFTS; i++) {
            rows += so_lockstep_drift(l)[i].rows;
            agree += so_lockstep_drift(l)[i].agree;
        }
        so_lockstep_close(&l);
    }
    fprintf(stderr, "# %lld of %lld agree\n", (long long)agree, (long long)rows);
    assert_true(rows > 500);
    assert_true((double)agree >= 0.995 * (double)rows);
    so_model_close(&exact);
    so_model_close(&rounded);
}

static void the_environment_chooses(void **state)
{
    (void)state;
    so_error error;
    so_model *model;
    setenv("SO_PRECISION", "int8", 1);
    model = open_as(SO_PRECISION_AUTO);
    assert_true(model->kernels->int8);
    assert_non_null(model->ctc_reach);
    so_model_close(&model);
    setenv("SO_PRECISION", "quick", 1);
    char path[4096];
    snprintf(path, sizeof path, "%s/models/tabletop.gguf", SO_SOURCE_DIR);
    assert_int_equal(so_model_open(&model, path, NULL, &error), SO_ERR_ARG);
    setenv("SO_PRECISION", "", 1);
    CHECK_OK(so_model_open(&model, path, &(so_model_options){.threads = 1, .prefault = 1}, &error), error);
    assert_false(model->kernels->int8);
    so_model_close(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(likeliest_ids_agree),
        cmocka_unit_test(the_environment_chooses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
