/* int8 activations beside f32 on the shipped model, on its own words: next text tokens, and labels of its own speech.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "engine/session.h"
#include "nn/ops.h"

static const char *const lines[] = {
    "What is on the table?",
    "There is a red ball left of the blue cube.",
    "How many cups do you see?",
    "I see two green cups and one yellow plate.",
    "Where is the small black box?",
    "It stands behind the white ring.",
};
enum { LINES = 6 };

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

/* The units with which the model says a line, then its text ids. */
static size_t own_words(so_model *model, const char *line, int32_t *units, int32_t *text, int64_t *n_text)
{
    so_error error;
    so_session *session;
    so_event event;
    size_t n = 0;
    CHECK_OK(so_session_open(&session, model, NULL, &error), error);
    CHECK_OK(so_say(session, line, SO_WANT_UNITS, &error), error);
    do {
        CHECK_OK(so_next(session, &event, &error), error);
        for (size_t i = 0; event.kind == SO_EVENT_UNITS && i < event.n_units && n < 1000; i++)
            units[n++] = model->first_unit + event.units[i];
    } while (event.kind != SO_EVENT_DONE);
    so_session_close(&session);
    *n_text = 0;
    so_ids ids = {0};
    CHECK_OK(so_tokenizer_encode(model->tokenizer, line, strlen(line), 0, &ids, &error), error);
    for (int64_t i = 0; i < (int64_t)ids.n; i++) text[(*n_text)++] = ids.data[i];
    so_ids_clear(&ids);
    return n;
}

typedef struct tally {
    int64_t same, rows;
} tally;

static void count(const so_tensor *a, const so_tensor *b, tally *t)
{
    for (int64_t r = 0; r < so_rows(a); r++) {
        int64_t n = so_cols(a);
        t->rows++;
        t->same += so_argmax(so_data(a) + r * n, n) == so_argmax(so_data(b) + r * n, n);
    }
}

static so_pass begin(so_arena *arena, const so_model *model)
{
    so_pass pass;
    so_pass_init(&pass, arena, NULL, model->kernels);
    return pass;
}

static void likeliest_ids_agree(void **state)
{
    (void)state;
    so_model *exact = open_as(SO_PRECISION_EXACT), *rounded = open_as(SO_PRECISION_INT8);
    assert_false(exact->kernels->int8);
    assert_true(rounded->kernels->int8);
    assert_int_equal(rounded->net.text_head->type, SO_Q8_0);
    so_arena arena;
    so_error error;
    CHECK_OK(so_arena_init(&arena, (size_t)1 << 30, &error), error);
    tally text = {0}, label = {0};
    for (int l = 0; l < LINES; l++) {
        int32_t units[1000], ids[1000];
        int64_t n_ids, n = (int64_t)own_words(exact, lines[l], units, ids, &n_ids);
        so_tensor *z[4];
        const so_model *model[2] = {exact, rounded};
        so_arena_release(&arena, 0);
        so_pass pass[2] = {begin(&arena, exact), begin(&arena, rounded)};
        for (int i = 0; i < 2; i++) {
            so_batch *heard = so_batch_one(&pass[i], n, NULL), *read = so_batch_one(&pass[i], n_ids, NULL);
            z[i] = so_omni_ctc(&pass[i], &model[i]->net, so_omni_hear(&pass[i], &model[i]->net, n, units, heard));
            so_tensor *x = so_omni_read(&pass[i], &model[i]->net, n_ids, ids);
            z[2 + i] = so_omni_write(&pass[i], &model[i]->net, so_omni_think(&pass[i], &model[i]->net, x, read));
            CHECK_OK(pass[i].error.status, pass[i].error);
        }
        count(z[0], z[1], &label);
        count(z[2], z[3], &text);
    }
    fprintf(stderr, "# labels %lld of %lld, text %lld of %lld\n", (long long)label.same, (long long)label.rows,
            (long long)text.same, (long long)text.rows);
    assert_true(label.rows > 100 && text.rows > 40);
    assert_true((double)(label.same + text.same) >= 0.995 * (double)(label.rows + text.rows));
    so_arena_clear(&arena);
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
