/* golden: CTC and label-smoothed cross entropy against the reference's numbers (cosyvoice-tiny: ctc.*,
 * label_smoothing.*).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "base/pool.h"
#include "formats/safetensors.h"
#include "nn/ops.h"

typedef struct fixture {
    so_safetensors *file;
    so_arena arena;
    so_pool *pool;
} fixture;

static void open_fixture(fixture *f)
{
    so_error error;
    const char *path = check_shared("reference/cosyvoice-tiny/golden.safetensors");
    CHECK_OK(so_safetensors_open(&f->file, path, &error), error);
    CHECK_OK(so_arena_init(&f->arena, (size_t)1 << 28, &error), error);
    CHECK_OK(so_pool_open(&f->pool, 2, &error), error);
}

static void close_fixture(fixture *f)
{
    so_pool_close(&f->pool);
    so_arena_clear(&f->arena);
    so_safetensors_close(&f->file);
}

static const so_view *view(fixture *f, const char *case_name, const char *tensor)
{
    char name[256];
    snprintf(name, sizeof name, "%s.%s", case_name, tensor);
    const so_view *v = so_views_find(so_safetensors_views(f->file), name);
    if (!v) fail_msg("'%s' is not in the reference", name);
    return v;
}

/* Runs one CTC case: logits are [T, B, V] there and B times [T, V] here. Returns the sum of the feasible losses. */
static void ctc_case(fixture *f, const char *name, int32_t blank)
{
    const so_view *logits = view(f, name, "logits"), *targets = view(f, name, "targets");
    const int32_t *frames = view(f, name, "input_lengths")->data, *count = view(f, name, "target_lengths")->data;
    int64_t T = logits->dim[0], B = logits->dim[1], V = logits->dim[2], row0[8], rows[8], label0[8], n_labels[8],
            bad = 0;
    so_pass pass;
    so_pass_init(&pass, &f->arena, f->pool, so_kernels_best());
    pass.recording = true;
    so_tensor *x = so_new2(&pass, B * T, V);
    x->wants_grad = true;
    for (int64_t t = 0; t < T; t++)
        for (int64_t b = 0; b < B; b++)
            memcpy(so_data(x) + (b * T + t) * V, (const float *)logits->data + (t * B + b) * V,
                   (size_t)V * sizeof(float));
    for (int64_t b = 0; b < B; b++) {
        row0[b] = b * T;
        rows[b] = frames[b];
        label0[b] = b * targets->dim[1];
        n_labels[b] = count[b];
    }
    float each[8], grad[20000];
    so_ctc ctc = {B, row0, rows, label0, n_labels, targets->data, blank, 1, each, &bad};
    so_tensor *loss = so_ctc_loss(&pass, x, &ctc);
    assert_true(so_ok(&pass));
    const float *expected = view(f, name, "loss")->data;
    double sum = 0;
    for (int64_t b = 0; b < B; b++) {
        if (isinf(expected[b])) {
            assert_true(isinf(each[b]) && each[b] > 0);
            assert_int_equal(bad, 1);
        } else {
            sum += (double)expected[b];
            check_close(name, &each[b], &expected[b], 1, 2e-6, -1);
        }
    }
    assert_true(fabs((double)so_data(loss)[0] - sum) <= 2e-6 * fabs(sum));
    if (so_backward(&pass, loss, 1) != SO_OK) fail_msg("%s", pass.error.text);
    assert_true(B * T * V <= 20000);
    for (int64_t t = 0; t < T; t++)
        for (int64_t b = 0; b < B; b++)
            memcpy(grad + (t * B + b) * V, x->grad + (b * T + t) * V, (size_t)V * sizeof(float));
    check_close(name, grad, view(f, name, "grad_logits")->data, B * T * V, 2e-6, 2e-6);
}

static void ctc_matches_the_reference(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int32_t blank;
    } cases[] = {{"ctc.basic", 0},      {"ctc.repeats", 0}, {"ctc.blank5", 5}, {"ctc.exact", 3},  {"ctc.tight", 3},
                 {"ctc.infeasible", 3}, {"ctc.empty", 4},   {"ctc.one", 0},    {"ctc.batch", 10}, {"ctc.longer", 33}};
    fixture f;
    open_fixture(&f);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) ctc_case(&f, cases[i].name, cases[i].blank);
    close_fixture(&f);
}

static void smoothing_case(fixture *f, const char *name, so_ce ce)
{
    const so_view *logits = view(f, name, "logits");
    so_pass pass;
    so_pass_init(&pass, &f->arena, f->pool, so_kernels_best());
    pass.recording = true;
    so_tensor *x = so_constant(&pass, 3, logits->dim, logits->data);
    x->wants_grad = true;
    so_tensor *loss = so_cross_entropy_with(&pass, x, view(f, name, "targets")->data, &ce);
    if (so_backward(&pass, loss, 1) != SO_OK) fail_msg("%s", pass.error.text);
    check_close(name, so_data(loss), view(f, name, "loss")->data, 1, 1e-6, -1);
    check_close(name, x->grad, view(f, name, "grad_logits")->data, so_count(x), 1e-6, 1e-6);
}

static void label_smoothing_matches_the_reference(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    double batch = (double)view(&f, "label_smoothing.kl_batch", "logits")->dim[0];
    smoothing_case(&f, "label_smoothing.ce", (so_ce){.smoothing = 0.1, .convention = SO_SMOOTH_ALL});
    smoothing_case(&f, "label_smoothing.kl_tokens", (so_ce){.smoothing = 0.1, .convention = SO_SMOOTH_OTHERS});
    smoothing_case(&f, "label_smoothing.kl_batch",
                   (so_ce){.smoothing = 0.1, .convention = SO_SMOOTH_OTHERS, .divide = batch});
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(ctc_matches_the_reference),
                                       cmocka_unit_test(label_smoothing_matches_the_reference)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
