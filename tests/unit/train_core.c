/* train: optimiser, schedule, loop, checkpoints, log, on a toy network.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <sys/stat.h>

#include "base/file.h"
#include "nn/ops.h"
#include "train/checkpoint.h"
#include "train/log.h"
#include "train/trainer.h"

typedef struct net {
    so_tensor *w, *b, *out;
} net;

enum { IN = 40, WIDE = 700, OUT = 3, ROWS = 8 };

/* A toy problem: two layers learn a fixed random map; `critic` weights are a second player's. */
typedef struct toy {
    so_store store, critic_store;
    net net, critic;
    so_optim optim, critic_optim;
    so_trainer trainer;
    double state; /* an extra: must survive a resume */
    volatile sig_atomic_t stop;
    int64_t stop_at, nan_at, nan_from;
    int64_t reports, evaluations;
    double last_loss;
} toy;

static void make_net(so_store *store, net *n, const char *group, uint64_t seed)
{
    static const so_bind_row table[] = {
        {offsetof(net, w), "w", "F D", NULL, SO_INIT_FAN_IN, 1, false},
        {offsetof(net, b), "b", "F", NULL, SO_INIT_VALUE, 0.1, false},
        {offsetof(net, out), "out", "C F", NULL, SO_INIT_FAN_IN, 1, false},
    };
    so_error error;
    so_rng rng;
    so_rng_init(&rng, seed, 0);
    CHECK_OK(so_store_open(store, (size_t)1 << 28, &error), error);
    so_binder binder = {.store = store, .group = group, .rng = &rng};
    binder.sizes.of['D'] = IN, binder.sizes.of['F'] = WIDE, binder.sizes.of['C'] = OUT;
    CHECK_OK(SO_BIND(&binder, "", 0, table, n, &error), error);
    CHECK_OK(so_store_learn(store, NULL, true, &error), error);
}

static so_tensor *toy_micro(void *context, so_pass *pass, so_micro *micro)
{
    toy *t = context;
    so_real x[ROWS * IN], y[ROWS * OUT];
    for (int i = 0; i < ROWS * IN; i++) x[i] = (so_real)so_rng_normal(&micro->rng);
    for (int i = 0; i < ROWS * OUT; i++) y[i] = x[i / OUT * IN + i % OUT] * 2;
    net *n = micro->player ? &t->critic : &t->net;
    so_tensor *in = so_constant(pass, 2, (int64_t[]){ROWS, IN}, x);
    so_tensor *h = so_apply(pass, SO_GELU, so_linear(pass, in, n->w, n->b));
    so_tensor *target = so_constant(pass, 2, (int64_t[]){ROWS, OUT}, y);
    so_tensor *loss = so_mse(pass, so_linear(pass, so_dropout(pass, h, 0.1, &micro->rng), n->out, NULL), target, NULL);
    if (micro->step == t->nan_at || (t->nan_from > 0 && micro->step >= t->nan_from)) so_data(loss)[0] = NAN;
    if (micro->step == t->stop_at) t->stop = 1;
    so_notes_add(micro->notes, "mse", (double)so_data(loss)[0], ROWS);
    micro->tokens = ROWS;
    t->state += so_rng_uniform(&micro->rng);
    return loss;
}

static so_status toy_evaluate(void *context, so_pass *pass, int64_t step, so_notes *notes, so_error *error)
{
    toy *t = context;
    (void)step, (void)error;
    assert_false(pass->recording);
    t->evaluations++;
    so_notes_add(notes, "first", (double)so_data(t->net.w)[0], 1);
    return SO_OK;
}

static void toy_progress(void *context, const so_progress *progress)
{
    toy *t = context;
    if (progress->evaluation) return;
    t->reports++;
    t->last_loss = progress->loss;
}

static void toy_open(toy *t, const char *folder, int players)
{
    so_error error;
    so_adamw adamw = {.decay = 0.01, .clip = 1, .average = 0.9};
    memset(t, 0, sizeof *t);
    t->stop_at = t->nan_at = -1;
    make_net(&t->store, &t->net, "main", 1);
    make_net(&t->critic_store, &t->critic, "critic", 2);
    CHECK_OK(so_optim_open(&t->optim, &adamw, &error), error);
    CHECK_OK(so_optim_add(&t->optim, &t->store, NULL, 0, &error), error);
    CHECK_OK(so_optim_open(&t->critic_optim, &(so_adamw){.clip = 5}, &error), error);
    CHECK_OK(so_optim_add(&t->critic_optim, &t->critic_store, NULL, 0, &error), error);
    static so_extra extra;
    extra = (so_extra){"state", &t->state, sizeof t->state};
    t->trainer = (so_trainer){.plan = {.steps = 24,
                                       .accumulate = 2,
                                       .seed = 7,
                                       .report_every = 4,
                                       .evaluate_every = 10,
                                       .folder = folder,
                                       .schedule = {SO_RATE_COSINE, 3e-3, 0.1, 3},
                                       .arena_bytes = (size_t)1 << 28},
                              .hooks = {.context = t,
                                        .micro = toy_micro,
                                        .evaluate = toy_evaluate,
                                        .progress = toy_progress,
                                        .stop = &t->stop},
                              .player = {&t->optim, &t->critic_optim},
                              .players = players,
                              .extra = &extra,
                              .extras = 1};
}

static void toy_close(toy *t)
{
    so_optim_close(&t->optim);
    so_optim_close(&t->critic_optim);
    so_store_close(&t->store);
    so_store_close(&t->critic_store);
}

static so_status toy_run(toy *t, int threads, so_error *error)
{
    so_pool *pool;
    CHECK_OK(so_pool_open(&pool, threads, error), *error);
    so_status status = so_trainer_run(&t->trainer, pool, so_kernels_c(), error);
    so_pool_close(&pool);
    return status;
}

static void same_weights(const toy *a, const toy *b)
{
    for (int64_t i = 0; i < a->store.count; i++) {
        size_t bytes = (size_t)so_count(&a->store.weight[i]->tensor) * sizeof(so_real);
        assert_memory_equal(a->store.weight[i]->tensor.data, b->store.weight[i]->tensor.data, bytes);
        assert_memory_equal(a->critic_store.weight[i]->tensor.data, b->critic_store.weight[i]->tensor.data, bytes);
        assert_memory_equal(a->optim.param[i].average, b->optim.param[i].average, bytes);
        assert_memory_equal(a->optim.param[i].v, b->optim.param[i].v, bytes);
    }
    assert_true(a->state == b->state);
}

static const char *new_folder(char *path)
{
    strcpy(path, "/tmp/so_train_XXXXXX");
    assert_non_null(mkdtemp(path));
    return path;
}

static void remove_folder(const char *folder)
{
    char path[256];
    snprintf(path, sizeof path, "%s/checkpoint.so", folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/log.jsonl", folder);
    unlink(path);
    assert_int_equal(rmdir(folder), 0);
}

static void adamw_follows_its_formula(void **state)
{
    (void)state;
    so_error error;
    toy t;
    toy_open(&t, NULL, 1);
    t.optim.adamw.clip = 0.5;
    double w0 = (double)so_data(t.net.w)[5], b0 = (double)so_data(t.net.b)[5], wm = 0, wv = 0, bm = 0, bv = 0;
    for (int step = 1; step <= 3; step++) {
        for (int64_t i = 0; i < t.optim.count; i++) {
            so_tensor *x = &t.optim.param[i].weight->tensor;
            for (int64_t k = 0; k < so_count(x); k++) x->grad[k] = (so_real)(0.01 * step);
        }
        double n = (double)so_optim_parameters(&t.optim), norm = so_optim_norm(&t.optim, NULL);
        assert_true(fabs(norm - 0.01 * step * sqrt(n)) < 1e-6 * norm);
        so_optim_update(&t.optim, NULL, 0.02, norm);
        double g = 0.01 * step * (0.5 / norm), lr = 0.02;
        wm = 0.9 * wm + 0.1 * g, wv = 0.95 * wv + 0.05 * g * g;
        bm = wm, bv = wv;
        double c1 = 1 - pow(0.9, step), c2 = 1 - pow(0.95, step);
        w0 = w0 * (1 - lr * 0.01) - lr * (wm / c1) / (sqrt(wv / c2) + 1e-8);
        b0 = b0 - lr * (bm / c1) / (sqrt(bv / c2) + 1e-8); /* a bias does not decay */
        assert_true(fabs((double)so_data(t.net.w)[5] - w0) < 1e-6);
        assert_true(fabs((double)so_data(t.net.b)[5] - b0) < 1e-6);
        assert_true(t.net.w->grad[5] == 0);
    }
    (void)error;
    toy_close(&t);
}

static void groups_have_their_own_rates(void **state)
{
    (void)state;
    so_error error;
    so_store store;
    net n;
    make_net(&store, &n, "slow", 3);
    so_optim optim;
    CHECK_OK(so_optim_open(&optim, &(so_adamw){0}, &error), error);
    CHECK_OK(so_optim_add(&optim, &store, (so_group_rule[]){{"other", 5, 1}, {"slow", 0.1, 0}}, 2, &error), error);
    so_real before = so_data(n.w)[0];
    for (int64_t i = 0; i < so_count(n.w); i++) n.w->grad[i] = 1;
    so_optim_update(&optim, NULL, 0.5, 1);
    assert_true(fabs((double)(before - so_data(n.w)[0]) - 0.05) < 1e-5);
    so_optim_close(&optim);
    CHECK_OK(so_optim_open(&optim, &(so_adamw){0}, &error), error);
    so_real *grad = n.w->grad;
    n.w->grad = NULL;
    assert_int_equal(so_optim_add(&optim, &store, NULL, 0, &error), SO_ERR_STATE);
    n.w->grad = grad;
    so_optim_close(&optim);
    assert_int_equal(so_optim_open(&optim, &(so_adamw){.beta1 = 1}, &error), SO_ERR_ARG);
    so_store_close(&store);
}

static void schedules_rise_and_fall(void **state)
{
    (void)state;
    so_schedule s = {SO_RATE_COSINE, 2, 0.1, 10};
    assert_true(fabs(so_rate(&s, 0, 0) - 0.2) < 1e-12 && so_rate(&s, 9, 0.09) == 2);
    assert_true(fabs(so_rate(&s, 50, 0.5) - 1.1) < 1e-12 && fabs(so_rate(&s, 99, 1) - 0.2) < 1e-12);
    s.shape = SO_RATE_LINEAR;
    assert_true(fabs(so_rate(&s, 50, 0.5) - 1.1) < 1e-12);
    s.shape = SO_RATE_ROOT;
    assert_true(fabs(so_rate(&s, 39, 0.5) - 1) < 1e-12);
    s.shape = SO_RATE_CONSTANT;
    assert_true(so_rate(&s, 39, 0.5) == 2);
}

static void training_learns_and_threads_do_not_matter(void **state)
{
    (void)state;
    so_error error;
    toy a, b;
    toy_open(&a, NULL, 1);
    toy_open(&b, NULL, 1);
    a.trainer.plan.steps = b.trainer.plan.steps = 200;
    CHECK_OK(toy_run(&a, 1, &error), error);
    CHECK_OK(toy_run(&b, 3, &error), error);
    assert_true(a.last_loss < 1); /* 4 without learning */
    assert_int_equal(a.reports, 50);
    assert_int_equal(a.evaluations, 20);
    same_weights(&a, &b);
    toy_close(&a);
    toy_close(&b);
}

static void a_resumed_run_is_the_run_that_was_not_stopped(void **state)
{
    (void)state;
    so_error error;
    char one[64], two[64];
    toy whole, part, rest;
    toy_open(&whole, new_folder(one), 2);
    CHECK_OK(toy_run(&whole, 2, &error), error);
    toy_open(&part, new_folder(two), 2);
    part.stop_at = 8;
    assert_int_equal(toy_run(&part, 2, &error), SO_ERR_STOPPED);
    assert_int_equal(part.trainer.step, 9);
    toy_open(&rest, two, 2);
    CHECK_OK(toy_run(&rest, 2, &error), error);
    assert_int_equal(rest.trainer.step, 24);
    same_weights(&whole, &rest);
    char log[128];
    so_history h;
    snprintf(log, sizeof log, "%s/log.jsonl", two);
    CHECK_OK(so_history_load(&h, log, &error), error);
    const so_curve *mse = so_history_find(&h, "mse"), *first = so_history_find(&h, "eval.first");
    assert_non_null(mse);
    assert_true(mse->count == 6 && mse->step[5] == 24 && first && first->count == 3);
    so_history_close(&h);
    toy_close(&whole);
    toy_close(&part);
    toy_close(&rest);
    remove_folder(one);
    remove_folder(two);
}

static void a_run_goes_on_with_the_settings_it_was_begun_with(void **state)
{
    (void)state;
    so_error error;
    char folder[64];
    toy part, other, rest;
    toy_open(&part, new_folder(folder), 2);
    part.trainer.plan.settings = "fusion cross\nwindow 5\n";
    part.stop_at = 8;
    assert_int_equal(toy_run(&part, 2, &error), SO_ERR_STOPPED);
    toy_open(&other, folder, 2);
    other.trainer.plan.settings = "fusion add_layer\nwindow 5\nbf16 yes\n";
    other.trainer.plan.steps = 99;
    assert_int_equal(toy_run(&other, 2, &error), SO_ERR_STATE);
    assert_non_null(strstr(error.text, "steps 24 (now 99), fusion cross (now add_layer), bf16 not said (now yes);"));
    assert_null(strstr(error.text, "window"));
    toy_open(&rest, folder, 2);
    rest.trainer.plan.settings = "fusion cross\nwindow 5\n";
    CHECK_OK(toy_run(&rest, 2, &error), error);
    assert_int_equal(rest.trainer.step, 24);
    toy_close(&part);
    toy_close(&other);
    toy_close(&rest);
    remove_folder(folder);
}

static void what_is_not_finite_is_skipped_or_ends_the_run(void **state)
{
    (void)state;
    so_error error;
    toy t;
    toy_open(&t, NULL, 1);
    t.nan_at = 5;
    CHECK_OK(toy_run(&t, 1, &error), error);
    assert_int_equal(t.trainer.skipped, 1);
    assert_int_equal(t.optim.updates, 23);
    assert_true(isfinite(t.last_loss) && isfinite((double)so_data(t.net.w)[0]));
    toy_close(&t);
    toy_open(&t, NULL, 1);
    t.nan_from = 10;
    t.trainer.plan.bad_in_a_row = 4;
    assert_int_equal(toy_run(&t, 1, &error), SO_ERR_NUMBER);
    assert_int_equal(t.trainer.step, 14);
    assert_non_null(strstr(error.text, "the loss"));
    toy_close(&t);
}

static void a_foreign_or_damaged_checkpoint_is_refused(void **state)
{
    (void)state;
    so_error error;
    char folder[64], path[128], bad[128], *data;
    size_t size;
    toy t;
    toy_open(&t, new_folder(folder), 1);
    t.trainer.plan.steps = 2;
    CHECK_OK(toy_run(&t, 1, &error), error);
    snprintf(path, sizeof path, "%s/checkpoint.so", folder);
    snprintf(bad, sizeof bad, "%s/bad", folder);
    t.trainer.plan.seed = 8;
    assert_int_equal(so_trainer_load(&t.trainer, path, &error), SO_ERR_STATE);
    t.trainer.plan.seed = 7;
    t.trainer.players = 2;
    assert_int_equal(so_trainer_load(&t.trainer, path, &error), SO_ERR_FORMAT);
    t.trainer.players = 1;
    t.optim.count--;
    assert_int_equal(so_trainer_load(&t.trainer, path, &error), SO_ERR_FORMAT);
    t.optim.count++;
    CHECK_OK(so_trainer_load(&t.trainer, path, &error), error);
    CHECK_OK(so_file_read(path, (size_t)1 << 24, &data, &size, &error), error);
    for (size_t cut = 0; cut < size; cut += cut < 600 ? 1 : 40009) {
        CHECK_OK(so_file_write(bad, data, cut, &error), error);
        assert_int_equal(so_trainer_load(&t.trainer, bad, &error), SO_ERR_FORMAT);
    }
    for (size_t at = 0; at < size; at += at < 600 ? 1 : 40009) {
        data[at] ^= 0x10;
        CHECK_OK(so_file_write(bad, data, size, &error), error);
        assert_int_equal(so_trainer_load(&t.trainer, bad, &error), SO_ERR_FORMAT);
        data[at] ^= 0x10;
    }
    free(data);
    unlink(bad);
    toy_close(&t);
    remove_folder(folder);
}

static void a_budget_of_seconds_ends_the_run(void **state)
{
    (void)state;
    so_error error;
    toy t;
    toy_open(&t, NULL, 1);
    t.trainer.plan.steps = 1000000;
    t.trainer.plan.seconds = 0.3;
    t.trainer.plan.anneal_by_time = true;
    CHECK_OK(toy_run(&t, 1, &error), error);
    assert_true(t.trainer.step >= 1 && t.trainer.step < 1000000); /* how many is the machine's affair */
    assert_true(t.trainer.elapsed >= 0.3);
    toy_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adamw_follows_its_formula),
        cmocka_unit_test(groups_have_their_own_rates),
        cmocka_unit_test(schedules_rise_and_fall),
        cmocka_unit_test(training_learns_and_threads_do_not_matter),
        cmocka_unit_test(a_resumed_run_is_the_run_that_was_not_stopped),
        cmocka_unit_test(a_run_goes_on_with_the_settings_it_was_begun_with),
        cmocka_unit_test(what_is_not_finite_is_skipped_or_ends_the_run),
        cmocka_unit_test(a_foreign_or_damaged_checkpoint_is_refused),
        cmocka_unit_test(a_budget_of_seconds_ends_the_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
