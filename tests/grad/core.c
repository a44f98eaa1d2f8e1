/* grad: every op of products, elements, rows, norms and attention against central finite differences, in double.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "base/quantise.h"
#include "base/rng.h"
#include "nn/ops.h"

enum { MAX_LEAVES = 6 };

/* An op under test: leaf shapes (rows x cols, ended by a 0) and what it makes of them. */
typedef so_tensor *(*op_fn)(so_pass *pass, so_tensor **x);
typedef struct problem {
    const char *name;
    op_fn op;
    int64_t dim[MAX_LEAVES][2];
} problem;

typedef struct trial {
    const problem *p;
    so_tensor leaf[MAX_LEAVES];
    int leaves;
    bool wrapped; /* leaves reach the op through another op, twice: gradients of activations, new and added to */
} trial;

/* A scalar that weighs every element of y differently: mean of (y - t)^2. */
static so_tensor *probe(so_pass *pass, so_tensor *y)
{
    if (!y) return NULL;
    so_rng rng;
    so_rng_init(&rng, 5, 6);
    so_tensor *t = so_new_like(pass, y);
    for (int64_t i = 0; t && i < so_count(t); i++) so_data(t)[i] = so_rng_normal(&rng);
    return so_mse(pass, y, t, NULL);
}

static double value(trial *t, so_arena *arena, so_pool *pool, bool record)
{
    so_pass pass;
    size_t mark = so_arena_mark(arena);
    so_pass_init(&pass, arena, pool, so_kernels_c());
    pass.recording = record;
    so_tensor *x[MAX_LEAVES] = {0}, *again[MAX_LEAVES] = {0};
    for (int i = 0; i < t->leaves; i++) {
        if (record) memset(t->leaf[i].grad, 0, (size_t)so_count(&t->leaf[i]) * sizeof(so_real));
        x[i] = t->wrapped ? so_scale(&pass, &t->leaf[i], 1.25) : &t->leaf[i];
        again[i] = x[i];
    }
    so_tensor *loss = probe(&pass, t->p->op(&pass, x));
    if (t->wrapped) {
        so_tensor *second = probe(&pass, so_scale(&pass, t->p->op(&pass, again), 0.75));
        loss = so_weighted_sum(&pass, 2, (so_tensor *[]){loss, second}, (so_real[]){1, 0.5});
    }
    if (!so_ok(&pass)) fail_msg("%s: %s", t->p->name, pass.error.text);
    double result = so_data(loss)[0];
    if (record && so_backward(&pass, loss, 1.5) != SO_OK) fail_msg("%s: %s", t->p->name, pass.error.text);
    so_arena_release(arena, mark);
    return result;
}

static void check_leaf(trial *t, so_arena *arena, so_tensor *leaf)
{
    double worst = 0, largest = 0;
    for (int64_t i = 0; i < so_count(leaf); i++) {
        double x = so_data(leaf)[i], h = 1e-5;
        so_data(leaf)[i] = x + h;
        double up = value(t, arena, NULL, false);
        so_data(leaf)[i] = x - h;
        double down = value(t, arena, NULL, false);
        so_data(leaf)[i] = x;
        double numeric = 1.5 * (up - down) / (2 * h);
        worst = fmax(worst, fabs(numeric - leaf->grad[i]));
        largest = fmax(largest, fabs(numeric));
    }
    if (!(largest > 1e-6)) fail_msg("%s: leaf %d has no influence", t->p->name, (int)(leaf - t->leaf));
    if (!(worst <= 1e-6 * largest))
        fail_msg("%s: gradient of leaf %d off by %.3g of %.3g", t->p->name, (int)(leaf - t->leaf), worst, largest);
}

static void check_problem(const problem *p, bool wrapped)
{
    so_error error;
    so_arena arena;
    trial t = {.p = p, .wrapped = wrapped};
    CHECK_OK(so_arena_init(&arena, (size_t)1 << 26, &error), error);
    so_rng rng;
    so_rng_init(&rng, 3, 4);
    for (; t.leaves < MAX_LEAVES && p->dim[t.leaves][0]; t.leaves++) {
        so_tensor *leaf = &t.leaf[t.leaves];
        *leaf = (so_tensor){
            .type = SO_F32, .n_dims = 2, .dim = {p->dim[t.leaves][0], p->dim[t.leaves][1]}, .wants_grad = true};
        leaf->data = malloc((size_t)so_count(leaf) * sizeof(so_real));
        leaf->grad = calloc((size_t)so_count(leaf), sizeof(so_real));
        for (int64_t i = 0; i < so_count(leaf); i++) so_data(leaf)[i] = so_rng_normal(&rng);
    }
    so_pool *pool;
    CHECK_OK(so_pool_open(&pool, 2, &error), error);
    double recorded = value(&t, &arena, pool, true), plain = value(&t, &arena, NULL, false);
    if (recorded != plain) fail_msg("%s: recording changes the result", p->name);
    for (int l = 0; l < t.leaves; l++) check_leaf(&t, &arena, &t.leaf[l]);
    for (int l = 0; l < t.leaves; l++) {
        free(t.leaf[l].data);
        free(t.leaf[l].grad);
    }
    so_pool_close(&pool);
    so_arena_clear(&arena);
}

static void check_all(const problem *p)
{
    for (; p->name; p++) {
        check_problem(p, false);
        check_problem(p, true);
    }
}

static so_tensor *linear(so_pass *s, so_tensor **x) { return so_linear(s, x[0], x[1], x[2]); }
/* A weight of int8 blocks, which does not learn: the way back to x, and to an adapter's weights. */
static so_tensor *stored(void)
{
    static uint8_t blocks[4 * 68];
    static so_tensor w = {.data = blocks, .dim = {4, 64}, .type = SO_Q8_0, .n_dims = 2, .name = "stored"};
    so_rng rng;
    float row[64];
    so_rng_init(&rng, 8, 1);
    for (int i = 0; i < 4; i++) {
        for (int k = 0; k < 64; k++) row[k] = (float)so_rng_normal(&rng);
        assert_int_equal(so_quantise_row(SO_Q8_0, row, 64, blocks + i * 68, NULL), SO_OK);
    }
    w.lora = NULL;
    return &w;
}
static so_tensor *quantised(so_pass *s, so_tensor **x) { return so_linear(s, x[0], stored(), NULL); }
static so_tensor *adapted(so_pass *s, so_tensor **x)
{
    so_lora lora = {.a = x[1], .b = x[2], .scale = 0.5};
    so_tensor *w = stored();
    w->lora = &lora;
    so_tensor *y = so_linear(s, x[0], w, NULL);
    w->lora = NULL;
    return y;
}
static so_tensor *bare(so_pass *s, so_tensor **x) { return so_linear(s, x[0], x[1], NULL); }
static so_tensor *mix(so_pass *s, so_tensor **x) { return so_matmul(s, so_softmax(s, x[0]), x[1]); }
static so_tensor *embed(so_pass *s, so_tensor **x) { return so_embed(s, x[0], 5, (int32_t[]){2, 0, 2, 4, 2}); }

static void products(void **state)
{
    (void)state;
    check_all((problem[]){{"linear", linear, {{5, 7}, {4, 7}, {1, 4}}},
                          {"linear without bias", bare, {{1, 3}, {4, 3}}},
                          {"linear by int8 blocks", quantised, {{5, 64}}},
                          {"linear by int8 blocks with an adapter", adapted, {{5, 64}, {3, 64}, {4, 3}}},
                          {"mix", mix, {{3, 9}, {9, 4}}},
                          {"embed", embed, {{5, 3}}},
                          {0}});
}

static so_unary function;
static so_tensor *apply(so_pass *s, so_tensor **x) { return so_apply(s, function, x[0]); }

static void functions(void **state)
{
    (void)state;
    for (int f = 0; f < SO_UNARY_COUNT; f++) {
        function = (so_unary)f;
        char name[32];
        snprintf(name, sizeof name, "function %d", f);
        check_all((problem[]){{name, apply, {{4, 6}}}, {0}});
    }
}

static so_tensor *add(so_pass *s, so_tensor **x) { return so_add(s, x[0], x[1]); }
static so_tensor *add_self(so_pass *s, so_tensor **x) { return so_add(s, x[0], so_add(s, x[0], x[0])); }
static so_tensor *add_row(so_pass *s, so_tensor **x) { return so_add_row(s, x[0], x[1]); }
static so_tensor *mul(so_pass *s, so_tensor **x) { return so_mul(s, x[0], x[1]); }
static so_tensor *square(so_pass *s, so_tensor **x) { return so_mul(s, x[0], x[0]); }
static so_tensor *scale(so_pass *s, so_tensor **x) { return so_scale(s, x[0], -0.3); }
static so_tensor *swiglu(so_pass *s, so_tensor **x) { return so_swiglu(s, x[0], x[1]); }
static so_tensor *residual(so_pass *s, so_tensor **x) { return so_residual(s, x[0], so_linear(s, x[0], x[1], NULL)); }
static so_tensor *scale_rows(so_pass *s, so_tensor **x) { return so_scale_rows(s, x[0], (so_real[]){0.5, 0, -2, 1}); }

static void elements(void **state)
{
    (void)state;
    check_all((problem[]){{"add", add, {{3, 4}, {3, 4}}},
                          {"add to itself", add_self, {{3, 4}}},
                          {"add_row", add_row, {{3, 4}, {1, 4}}},
                          {"mul", mul, {{3, 4}, {3, 4}}},
                          {"mul by itself", square, {{3, 4}}},
                          {"scale", scale, {{3, 4}}},
                          {"swiglu", swiglu, {{3, 4}, {3, 4}}},
                          {"residual", residual, {{3, 4}, {4, 4}}},
                          {"scale_rows", scale_rows, {{4, 3}}},
                          {0}});
}

static so_tensor *take_rows(so_pass *s, so_tensor **x)
{
    return so_take_rows(s, x[0], 6, (int32_t[]){3, -1, 0, 3, 2, 3});
}
static so_tensor *splice(so_pass *s, so_tensor **x)
{
    return so_splice(s, 2, x, 5, (int32_t[]){0, 1, 1, 0, 1}, (int32_t[]){2, 0, 1, -1, 1});
}
static so_tensor *cut(so_pass *s, so_tensor **x) { return so_cut_cols(s, x[0], 2, 3); }
static so_tensor *join(so_pass *s, so_tensor **x) { return so_join_cols(s, 3, (so_tensor *[]){x[0], x[1], x[0]}); }
static so_tensor *reshape(so_pass *s, so_tensor **x)
{
    return so_linear(s, so_reshape(s, x[0], 3, (int64_t[]){2, 2, 3}), x[1], NULL);
}

static void rows(void **state)
{
    (void)state;
    check_all((problem[]){{"take_rows", take_rows, {{4, 3}}},
                          {"splice", splice, {{3, 3}, {2, 3}}},
                          {"cut_cols", cut, {{3, 6}}},
                          {"join_cols", join, {{3, 2}, {3, 4}}},
                          {"reshape", reshape, {{3, 4}, {2, 3}}},
                          {0}});
}

static so_tensor *rms_norm(so_pass *s, so_tensor **x) { return so_rms_norm(s, x[0], x[1], 1e-3); }
static so_tensor *layer_norm(so_pass *s, so_tensor **x) { return so_layer_norm(s, x[0], x[1], x[2], 1e-3); }
static so_tensor *l2_norm(so_pass *s, so_tensor **x) { return so_l2_norm(s, x[0], 1e-12); }
static so_tensor *l2_floor(so_pass *s, so_tensor **x) { return so_l2_norm(s, x[0], 100); }
static so_tensor *softmax(so_pass *s, so_tensor **x) { return so_softmax(s, x[0]); }

static void norms(void **state)
{
    (void)state;
    check_all((problem[]){{"rms_norm", rms_norm, {{4, 5}, {1, 5}}},
                          {"layer_norm", layer_norm, {{4, 5}, {1, 5}, {1, 5}}},
                          {"l2_norm", l2_norm, {{4, 5}}},
                          {"l2_norm under its floor", l2_floor, {{4, 5}}},
                          {"softmax", softmax, {{4, 5}}},
                          {0}});
}

static const so_heads H = {4, 2, 3}; /* q has 12 columns, k and v 6 */

static so_batch *ragged(so_pass *s) { return so_batch_many(s, 3, (int64_t[]){4, 1, 3}, NULL); }
static so_tensor *rope(so_pass *s, so_tensor **x)
{
    static const double freq[] = {1, 0.1, 0.01}; /* lent until the way back */
    return so_rope(s, x[0], 2, 6, (int32_t[]){0, 3, 11, 2}, freq);
}
static so_tensor *causal(so_pass *s, so_tensor **x) { return so_attention(s, x[0], x[1], x[2], ragged(s), 0, H, true); }
static so_tensor *full(so_pass *s, so_tensor **x) { return so_attention(s, x[0], x[1], x[2], ragged(s), 0, H, false); }
static so_tensor *self(so_pass *s, so_tensor **x)
{
    return so_attention(s, x[0], x[0], x[0], ragged(s), 0, (so_heads){2, 2, 3}, true);
}

/* Ranges with one and more entries, and empty ones: at the beginning, inside, at the end. */
static const int32_t LO[] = {0, 1, 5, 0, 2, 3, 0, 0}, HI[] = {5, 3, 5, 0, 2, 4, 1, 4};
static so_tensor *memory(so_pass *s, so_tensor **x)
{
    so_memory m = {(int64_t[]){0, 5, 7}, (int64_t[]){5, 2, 4}, LO, HI};
    return so_memory_attention(s, x[0], x[1], x[2], ragged(s), &m, H);
}
static so_tensor *shared(so_pass *s, so_tensor **x) /* all three read the same entries */
{
    so_memory m = {(int64_t[]){0, 0, 0}, (int64_t[]){5, 5, 5}, LO, HI};
    return so_memory_attention(s, x[0], x[1], x[2], ragged(s), &m, H);
}

static void attentions(void **state)
{
    (void)state;
    check_all((problem[]){{"rope", rope, {{4, 12}}},
                          {"causal attention", causal, {{8, 12}, {8, 6}, {8, 6}}},
                          {"full attention", full, {{8, 12}, {8, 6}, {8, 6}}},
                          {"attention of one tensor to itself", self, {{8, 6}}},
                          {"memory attention", memory, {{8, 12}, {11, 6}, {11, 6}}},
                          {"memory attention into one memory", shared, {{8, 12}, {5, 6}, {5, 6}}},
                          {0}});
}

/* A pre-norm layer with everything a transformer has: w[0] norm, w[1] to q, w[2] to k, w[3] to v, w[4] back. */
typedef struct layer {
    so_tensor *w[5];
    so_batch *batch;
} layer;

static so_tensor *run_layer(so_pass *s, void *context, so_tensor *x)
{
    const layer *l = context;
    so_tensor *n = so_rms_norm(s, x, l->w[0], 1e-5);
    so_tensor *q = so_linear(s, n, l->w[1], NULL), *k = so_linear(s, n, l->w[2], NULL),
              *v = so_linear(s, n, l->w[3], NULL);
    so_tensor *a = so_attention(s, q, k, v, l->batch, 0, H, true);
    return so_residual(s, x, so_linear(s, a, l->w[4], NULL));
}

static bool checkpointed;
static so_tensor *stack(so_pass *s, so_tensor **x)
{
    layer l = {{x[1], x[2], x[3], x[4], x[5]}, ragged(s)};
    so_tensor *y = x[0];
    for (int i = 0; i < 2; i++) y = checkpointed ? so_checkpoint(s, run_layer, &l, sizeof l, y) : run_layer(s, &l, y);
    return y;
}

static void whole_layers_with_and_without_checkpoints(void **state)
{
    (void)state;
    problem p = {"stack", stack, {{8, 5}, {1, 5}, {12, 5}, {6, 5}, {6, 5}, {5, 12}}};
    checkpointed = false;
    check_problem(&p, false);
    checkpointed = true;
    p.name = "checkpointed stack";
    check_problem(&p, false);
}

static void dropout_keeps_what_it_passes_back(void **state)
{
    (void)state;
    so_error error;
    so_arena arena;
    so_pass pass;
    so_rng rng;
    so_rng_init(&rng, 9, 9);
    CHECK_OK(so_arena_init(&arena, 1 << 20, &error), error);
    so_pass_init(&pass, &arena, NULL, so_kernels_c());
    pass.recording = true;
    so_real x[400], grad[400] = {0};
    int dropped = 0;
    for (int i = 0; i < 400; i++) x[i] = 1;
    so_tensor leaf = {.data = x, .grad = grad, .dim = {1, 400}, .n_dims = 2, .wants_grad = true};
    so_tensor *y = so_dropout(&pass, &leaf, 0.25, &rng);
    assert_int_equal(so_backward(&pass, so_mse(&pass, y, so_constant(&pass, 2, leaf.dim, grad), NULL), 1), SO_OK);
    for (int i = 0; i < 400; i++) {
        bool out = so_data(y)[i] == 0;
        dropped += out;
        assert_true(fabs(so_data(y)[i] - (out ? 0 : 4.0 / 3)) < 1e-12);
        assert_true(fabs(grad[i] - (out ? 0 : 2 * (4.0 / 3) * (4.0 / 3) / 400)) < 1e-12);
    }
    assert_in_range(dropped, 70, 130);
    so_arena_clear(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products),
        cmocka_unit_test(functions),
        cmocka_unit_test(elements),
        cmocka_unit_test(rows),
        cmocka_unit_test(norms),
        cmocka_unit_test(attentions),
        cmocka_unit_test(whole_layers_with_and_without_checkpoints),
        cmocka_unit_test(dropout_keeps_what_it_passes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
