/* models/lora: adapters over quantised matrices learn what the matrices do not know; files, merging, refusals.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <unistd.h>

#include "base/file.h"
#include "base/quantise.h"
#include "models/llama.h"
#include "models/lora.h"
#include "train/optim.h"

enum { D = 64, LAYERS = 2, ROWS = 6 };

typedef struct toy {
    so_store store;
    so_llama net;
    so_arena arena;
} toy;

static void toy_open(toy *t, bool quantised)
{
    so_error error;
    so_rng rng;
    memset(t, 0, sizeof *t);
    so_rng_init(&rng, 3, 0);
    CHECK_OK(so_store_open(&t->store, 0, &error), error);
    CHECK_OK(so_arena_reserve(&t->arena, (size_t)1 << 28, &error), error);
    so_binder binder = {.store = &t->store, .group = "backbone", .rng = &rng};
    so_llama_config config = {
        .width = D, .heads = 4, .kv_heads = 2, .head_width = 16, .ff = 96, .rms_eps = 1e-5, .rope_theta = 10000};
    CHECK_OK(so_llama_bind(&t->net, &config, LAYERS, "model.layers.", "model.norm.weight", &binder, &error), error);
    for (int64_t i = 0; quantised && i < t->store.count; i++) {
        so_tensor *w = &t->store.weight[i]->tensor;
        if (w->n_dims != 2) continue;
        size_t row = (size_t)w->dim[1] / 32 * 34;
        uint8_t *blocks = so_arena_alloc(&t->store.memory, (size_t)w->dim[0] * row);
        for (int64_t r = 0; r < w->dim[0]; r++)
            CHECK_OK(so_quantise_row(SO_Q8_0, so_data(w) + r * w->dim[1], w->dim[1], blocks + (size_t)r * row, &error),
                     error);
        w->data = blocks;
        w->type = SO_Q8_0;
    }
}

static void toy_close(toy *t)
{
    so_arena_clear(&t->arena);
    so_store_close(&t->store);
}

/* Mean squared distance of the network's outputs from fixed targets; recorded and walked back when `learn`. */
static double loss_of(toy *t, bool learn, so_real *out)
{
    so_pass pass;
    so_rng rng;
    so_real x[ROWS * D], y[ROWS * D];
    so_rng_init(&rng, 9, 0);
    for (int i = 0; i < ROWS * D; i++) x[i] = (so_real)so_rng_normal(&rng), y[i] = (so_real)so_rng_normal(&rng);
    size_t mark = so_arena_mark(&t->arena);
    so_pass_init(&pass, &t->arena, NULL, so_kernels_c());
    pass.recording = learn;
    so_batch *batch = so_batch_one(&pass, ROWS, NULL);
    so_tensor *h = so_llama_forward(&pass, &t->net, so_constant(&pass, 2, (int64_t[]){ROWS, D}, x), batch);
    so_tensor *loss = so_mse(&pass, h, so_constant(&pass, 2, (int64_t[]){ROWS, D}, y), NULL);
    if (!so_ok(&pass)) fail_msg("%s", pass.error.text);
    double value = (double)so_data(loss)[0];
    if (out) memcpy(out, so_data(h), ROWS * D * sizeof *out);
    if (learn) assert_int_equal(so_backward(&pass, loss, 1), SO_OK);
    so_arena_release(&t->arena, mark);
    return value;
}

static void learn(toy *t, so_lora_set *set, int steps)
{
    so_error error;
    so_optim optim;
    CHECK_OK(so_store_learn(&set->store, NULL, true, &error), error);
    CHECK_OK(so_optim_open(&optim, &(so_adamw){0}, &error), error);
    CHECK_OK(so_optim_add(&optim, &set->store, NULL, 0, &error), error);
    for (int i = 0; i < steps; i++) {
        loss_of(t, true, NULL);
        so_optim_update(&optim, NULL, 1e-2, so_optim_norm(&optim, NULL));
    }
    so_optim_close(&optim);
}

static void remove_adapter(const char *folder)
{
    char path[200];
    snprintf(path, sizeof path, "%s/adapter_config.json", folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/adapter_model.safetensors", folder);
    unlink(path);
    rmdir(folder);
}

static void adapters_learn_over_quantised_matrices(void **state)
{
    (void)state;
    so_error error;
    toy t;
    so_lora_set set, back;
    so_real before[ROWS * D], with[ROWS * D], again[ROWS * D];
    char folder[] = "/tmp/so_lora_XXXXXX";
    assert_non_null(mkdtemp(folder));
    toy_open(&t, true);
    double start = loss_of(&t, false, before);
    CHECK_OK(so_lora_make(&set, &t.store, "backbone", NULL, 1, &error), error);
    assert_int_equal(set.count, 7 * LAYERS);
    assert_true(loss_of(&t, false, with) == start); /* B is zero */
    learn(&t, &set, 150);
    double after = loss_of(&t, false, with);
    if (!(after < 0.6 * start)) fail_msg("from %g to %g only", start, after);
    CHECK_OK(so_lora_save(&set, folder, "toy", &error), error);
    so_lora_close(&set);
    assert_true(loss_of(&t, false, again) == start); /* the matrices themselves are as they were */
    assert_memory_equal(again, before, sizeof before);
    CHECK_OK(so_lora_load(&back, &t.store, folder, &error), error);
    loss_of(&t, false, again);
    assert_memory_equal(again, with, sizeof with);
    assert_int_equal(so_lora_merge(&back, &error), SO_ERR_TYPE);
    so_lora_close(&back);
    toy_close(&t);
    remove_adapter(folder);
}

/* What is dropped follows from the seed: layers that are computed again on the way back drop the same. */
static void dropout_is_the_same_when_layers_are_computed_again(void **state)
{
    (void)state;
    so_error error;
    toy t;
    so_lora_set set;
    double loss[4];
    toy_open(&t, true);
    CHECK_OK(so_lora_make(&set, &t.store, "backbone", &(so_lora_options){.dropout = 0.4}, 1, &error), error);
    learn(&t, &set, 3);
    so_tensor *w = &set.store.weight[0]->tensor;
    so_real *gradient[2];
    for (int i = 0; i < 4; i++) {
        *set.seed = i == 2 ? 8 : 7;
        t.net.checkpoint = i == 1;
        for (int64_t k = 0; k < set.store.count; k++) {
            so_tensor *each = &set.store.weight[k]->tensor;
            memset(each->grad, 0, (size_t)so_count(each) * sizeof(so_real));
        }
        loss[i] = loss_of(&t, i < 3, NULL);
        if (i > 1) continue;
        gradient[i] = malloc((size_t)so_count(w) * sizeof(so_real));
        assert_non_null(gradient[i]);
        memcpy(gradient[i], w->grad, (size_t)so_count(w) * sizeof(so_real));
    }
    assert_true(loss[0] == loss[1]);
    assert_memory_equal(gradient[0], gradient[1], (size_t)so_count(w) * sizeof(so_real));
    assert_true(loss[0] != loss[2] && loss[0] != loss[3]); /* another seed; no dropout where nothing is learnt */
    free(gradient[0]);
    free(gradient[1]);
    assert_int_equal(so_lora_make(&(so_lora_set){0}, &t.store, NULL, &(so_lora_options){.dropout = 1}, 1, &error),
                     SO_ERR_ARG);
    so_lora_close(&set);
    toy_close(&t);
}

/* Layers in which nothing learns are passed through: their output wants no gradient, computed again or not. */
static void frozen_layers_are_not_recorded(void **state)
{
    (void)state;
    toy t;
    so_pass pass;
    so_real x[ROWS * D] = {1, 2, 3};
    toy_open(&t, true);
    for (int again = 0; again < 2; again++) {
        size_t mark = so_arena_mark(&t.arena);
        so_pass_init(&pass, &t.arena, NULL, so_kernels_c());
        pass.recording = true;
        t.net.checkpoint = again == 1;
        so_batch *batch = so_batch_one(&pass, ROWS, NULL);
        so_tensor *h = so_llama_forward(&pass, &t.net, so_constant(&pass, 2, (int64_t[]){ROWS, D}, x), batch);
        if (!so_ok(&pass)) fail_msg("%s", pass.error.text);
        assert_false(h->wants_grad);
        assert_null(pass.tape);
        assert_true(pass.recording);
        so_arena_release(&t.arena, mark);
    }
    toy_close(&t);
}

enum { WIDE = 1000, DEEP = 512, MANY = 40 };

static so_linear_fn *whole_linear;
static bool q8_gains; /* the table multiplies q8_0 as it is, many rows at once */
/* Kernels for few rows decode a row of w for each product of rows: slow where there are many. */
static void linear_of_numbers(so_pool *pool, const so_product *p, int64_t k, const so_real *x, int64_t m)
{
    if (p->type != SO_F32 && !(p->type == SO_Q8_0 && q8_gains))
        fail_msg("%lld rows were multiplied row by row", (long long)m);
    whole_linear(pool, p, k, x, m);
}

/* What rows x give with w, and the gradient of the sum of squares of that at x; returns the bytes of the arena. */
static size_t product_of(const so_kernels *k, so_tensor *w, bool dry, so_real *y, so_real *dx)
{
    so_error error;
    so_arena arena = {0};
    so_pass pass;
    so_rng rng;
    static so_real x[MANY * DEEP], zero[MANY * WIDE], bias[WIDE];
    so_kernels table = *k;
    whole_linear = k->linear;
    q8_gains = k->q8_gains;
    table.linear = linear_of_numbers;
    so_rng_init(&rng, 4, 0);
    for (int i = 0; i < MANY * DEEP; i++) x[i] = (so_real)so_rng_normal(&rng);
    for (int i = 0; i < WIDE; i++) bias[i] = (so_real)so_rng_normal(&rng);
    CHECK_OK(so_arena_reserve(&arena, (size_t)1 << 28, &error), error);
    so_pass_init(&pass, &arena, NULL, &table);
    pass.recording = true;
    pass.dry = dry;
    so_tensor *in = so_new2(&pass, MANY, DEEP);
    assert_non_null(in);
    in->wants_grad = true;
    if (!dry) memcpy(so_data(in), x, sizeof x);
    so_tensor *out = so_linear(&pass, in, w, so_constant(&pass, 1, (int64_t[]){WIDE}, bias));
    so_tensor *target = so_constant(&pass, 2, (int64_t[]){MANY, WIDE}, zero);
    assert_int_equal(so_backward(&pass, so_mse(&pass, out, target, NULL), 1), SO_OK);
    if (y) memcpy(y, so_data(out), MANY * WIDE * sizeof *y);
    if (dx) memcpy(dx, in->grad, MANY * DEEP * sizeof *dx);
    size_t peak = arena.peak;
    so_arena_clear(&arena);
    return peak;
}

static void near(const so_real *found, const so_real *expected, int64_t n)
{
    double square = 0, off = 0;
    for (int64_t i = 0; i < n; i++) {
        square += (double)expected[i] * (double)expected[i];
        off += (double)(found[i] - expected[i]) * (double)(found[i] - expected[i]);
    }
    assert_true(square > 0);
    if (!(off < 1e-12 * square)) fail_msg("off by %g of %g", sqrt(off), sqrt(square));
}

/* Many rows meet a quantised weight block by block: the product is that of its numbers, forward and back, and memory is
 * what a dry pass foretells, less than the weight decoded would take. */
static void a_stored_weight_is_never_decoded_whole(void **state)
{
    (void)state;
    static so_real w[WIDE * DEEP], y[2][MANY * WIDE], dx[2][MANY * DEEP];
    static unsigned char blocks[WIDE * DEEP * 2];
    static const so_type types[] = {SO_Q8_0, SO_Q4_K, SO_Q6_K};
    so_error error;
    so_rng rng;
    so_rng_init(&rng, 5, 0);
    for (int i = 0; i < WIDE * DEEP; i++) w[i] = (so_real)so_rng_normal(&rng) / 20;
    for (size_t i = 0; i < 2 * sizeof types / sizeof *types; i++) {
        so_tensor stored = {.type = types[i / 2], .n_dims = 2, .dim = {WIDE, DEEP}, .data = blocks}, plain = stored;
        const so_kernels *k = i % 2 ? so_kernels_best() : so_kernels_c();
        size_t row = so_type_bytes(stored.type, DEEP);
        for (int64_t r = 0; r < WIDE; r++)
            CHECK_OK(so_quantise_row(stored.type, w + r * DEEP, DEEP, blocks + (size_t)r * row, &error), error);
        static so_real decoded[WIDE * DEEP];
        for (int64_t r = 0; r < WIDE; r++) k->row(stored.type, blocks, r, DEEP, decoded + r * DEEP);
        plain.type = SO_F32;
        plain.data = decoded;
        size_t bytes = product_of(k, &stored, false, y[0], dx[0]);
        size_t others = product_of(k, &plain, false, y[1], dx[1]);
        near(y[0], y[1], MANY * WIDE);
        near(dx[0], dx[1], MANY * DEEP);
        assert_int_equal(product_of(k, &stored, true, NULL, NULL), bytes);
        if (!(bytes < others + sizeof w / 3)) fail_msg("%zu bytes, and %zu with numbers", bytes, others);
    }
}

static void merged_weights_do_what_adapters_do(void **state)
{
    (void)state;
    so_error error;
    toy t;
    so_lora_set set;
    so_real with[ROWS * D], merged[ROWS * D];
    toy_open(&t, false);
    CHECK_OK(so_lora_make(&set, &t.store, "backbone",
                          &(so_lora_options){.rank = 4, .alpha = 4, .targets = "q_proj,down_proj"}, 1, &error),
             error);
    assert_int_equal(set.count, 2 * LAYERS);
    learn(&t, &set, 20);
    loss_of(&t, false, with);
    CHECK_OK(so_lora_merge(&set, &error), error);
    so_lora_close(&set);
    loss_of(&t, false, merged);
    for (int i = 0; i < ROWS * D; i++) assert_true(fabs((double)(with[i] - merged[i])) < 1e-4);
    toy_close(&t);
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    so_error error;
    toy t;
    so_lora_set set;
    char folder[] = "/tmp/so_lora_XXXXXX", path[200];
    assert_non_null(mkdtemp(folder));
    toy_open(&t, false);
    assert_int_equal(so_lora_make(&set, &t.store, "backbone", &(so_lora_options){.rank = 9999}, 1, &error), SO_ERR_ARG);
    assert_int_equal(
        so_lora_make(&set, &t.store, "backbone", &(so_lora_options){.targets = "q_proj,lm_head"}, 1, &error),
        SO_ERR_ARG);
    assert_non_null(strstr(error.text, "no matrix 'lm_head' to adapt; there are q_proj,"));
    assert_int_equal(so_lora_make(&set, &t.store, "top", NULL, 1, &error), SO_ERR_MISSING);
    assert_int_equal(so_lora_load(&set, &t.store, folder, &error), SO_ERR_MISSING);
    CHECK_OK(so_lora_make(&set, &t.store, "backbone", &(so_lora_options){.targets = "q_proj"}, 1, &error), error);
    CHECK_OK(so_lora_save(&set, folder, NULL, &error), error);
    so_lora_close(&set);
    snprintf(path, sizeof path, "%s/adapter_config.json", folder);
    const char *const wrong[] = {
        "{",
        "[]",
        "{\"peft_type\": \"IA3\", \"target_modules\": [\"q_proj\"]}",
        "{\"peft_type\": \"LORA\", \"r\": 8, \"lora_alpha\": 16, \"target_modules\": [\"c_attn\"]}",
        "{\"peft_type\": \"LORA\", \"r\": 4, \"lora_alpha\": 16, \"target_modules\": [\"q_proj\"]}",
        "{\"peft_type\": \"LORA\", \"r\": -1, \"lora_alpha\": 16, \"target_modules\": [\"q_proj\"]}",
        "{\"peft_type\": \"LORA\", \"r\": 8, \"lora_alpha\": 16, \"target_modules\": [\"q_proj\", \"k_proj\"]}"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        CHECK_OK(so_file_write(path, wrong[i], strlen(wrong[i]), &error), error);
        so_status status = so_lora_load(&set, &t.store, folder, &error);
        if (status == SO_OK || !error.text[0]) fail_msg("taken: %s", wrong[i]);
    }
    toy_close(&t);
    remove_adapter(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adapters_learn_over_quantised_matrices),
        cmocka_unit_test(dropout_is_the_same_when_layers_are_computed_again),
        cmocka_unit_test(frozen_layers_are_not_recorded),
        cmocka_unit_test(a_stored_weight_is_never_decoded_whole),
        cmocka_unit_test(merged_weights_do_what_adapters_do),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
