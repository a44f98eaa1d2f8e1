/* nn/pass: the way back, followed: each weight is told complete once, when no step still adds to its gradient, also
 * those of layers that are computed again; a step that adds to one that was told is refused.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <stdlib.h>

#include "models/llama.h"
#include "nn/ops.h"

enum { D = 32, LAYERS = 3, ROWS = 5, WORDS = 7 };

typedef struct toy {
    so_store store;
    so_llama net;
    so_tensor *table; /* of words, and of what is said: used at both ends */
    so_arena arena;
} toy;

/* What was told, and the gradient as it was then. */
typedef struct tellings {
    toy *toy;
    int64_t n, first;
    so_tensor *weight[100];
    so_real *gradient[100];
} tellings;

static void first(void *context) { ((tellings *)context)->first++; }

static void complete(void *context, so_tensor *weight)
{
    tellings *t = context;
    size_t bytes = (size_t)so_count(weight) * sizeof(so_real);
    assert_true(t->n < 100 && t->first == 1);
    for (int64_t i = 0; i < t->n; i++) assert_ptr_not_equal(t->weight[i], weight);
    t->gradient[t->n] = malloc(bytes);
    assert_non_null(t->gradient[t->n]);
    memcpy(t->gradient[t->n], weight->grad, bytes);
    t->weight[t->n++] = weight;
}

static void toy_open(toy *t, bool again)
{
    static const so_bind_row row[] = {{offsetof(toy, table), "table", "V D", NULL, SO_INIT_NORMAL, 1, false}};
    so_error error;
    so_rng rng;
    memset(t, 0, sizeof *t);
    so_rng_init(&rng, 3, 0);
    CHECK_OK(so_store_open(&t->store, (size_t)1 << 26, &error), error);
    CHECK_OK(so_arena_reserve(&t->arena, (size_t)1 << 28, &error), error);
    so_binder binder = {.store = &t->store, .group = "backbone", .rng = &rng};
    so_llama_config config = {
        .width = D, .heads = 2, .kv_heads = 1, .head_width = 16, .ff = 48, .rms_eps = 1e-5, .rope_theta = 10000};
    CHECK_OK(so_llama_bind(&t->net, &config, LAYERS, "model.layers.", "model.norm.weight", &binder, &error), error);
    binder.sizes.of['V'] = WORDS;
    CHECK_OK(SO_BIND(&binder, "", 0, row, t, &error), error);
    CHECK_OK(so_store_learn(&t->store, NULL, true, &error), error);
    t->net.checkpoint = again;
    for (int64_t i = 0; i < t->store.count; i++) t->store.weight[i]->tensor.followed = true;
}

static so_tensor *loss_of(toy *t, so_pass *pass)
{
    static const int32_t ids[ROWS] = {1, 2, 3, 1, 0}, label[ROWS] = {2, 3, 1, 0, 6};
    so_tensor *x = so_embed(pass, t->table, ROWS, ids);
    so_tensor *h = so_llama_forward(pass, &t->net, x, so_batch_one(pass, ROWS, NULL));
    return so_cross_entropy(pass, so_linear(pass, h, t->table, NULL), label);
}

static void each_gradient_is_told_complete_once(void **state)
{
    (void)state;
    for (int again = 0; again < 2; again++) {
        static toy t;
        tellings told = {.toy = &t};
        so_follow follow = {.context = &told, .first = first, .complete = complete};
        so_pass pass;
        toy_open(&t, again == 1);
        so_pass_init(&pass, &t.arena, NULL, so_kernels_c());
        pass.recording = true;
        pass.follow = &follow;
        so_tensor *loss = loss_of(&t, &pass);
        assert_int_equal(told.n, 0);
        assert_int_equal(so_backward(&pass, loss, 1), SO_OK);
        assert_int_equal(told.n, t.store.count);
        for (int64_t i = 0; i < told.n; i++) {
            const so_tensor *w = told.weight[i];
            assert_memory_equal(told.gradient[i], w->grad, (size_t)so_count(w) * sizeof(so_real));
            free(told.gradient[i]);
        }
        assert_ptr_equal(told.weight[told.n - 1], t.table); /* the first step reads it, too */
        for (int64_t i = 0; i < told.n; i++)                /* and the last layer's before the first's */
            if (told.weight[i] == t.net.layer[0].q)
                for (int64_t k = i; k < told.n; k++) assert_ptr_not_equal(told.weight[k], t.net.layer[LAYERS - 1].q);
        so_follow_clear(&follow);
        so_arena_clear(&t.arena);
        so_store_close(&t.store);
    }
}

static void a_gradient_that_was_told_is_not_touched(void **state)
{
    (void)state;
    static toy t;
    tellings told = {.toy = &t};
    so_follow follow = {.context = &told, .first = first, .complete = complete};
    so_pass pass;
    toy_open(&t, false);
    so_pass_init(&pass, &t.arena, NULL, so_kernels_c());
    pass.recording = true;
    pass.follow = &follow;
    assert_int_equal(so_backward(&pass, loss_of(&t, &pass), 1), SO_OK);
    assert_true(told.n > 0 && so_ok(&pass));
    assert_null(so_grad(&pass, t.net.norm));
    assert_int_equal(pass.error.status, SO_ERR_STATE);
    assert_non_null(strstr(pass.error.text, "'model.norm.weight' was taken for complete"));
    for (int64_t i = 0; i < told.n; i++) free(told.gradient[i]);
    so_follow_clear(&follow);
    so_arena_clear(&t.arena);
    so_store_close(&t.store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_gradient_is_told_complete_once),
        cmocka_unit_test(a_gradient_that_was_told_is_not_touched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
