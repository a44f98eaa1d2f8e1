/* train: many processes that train one model together: the same bits for any number of them, in shared memory and with
 * MPI; stopped and resumed on another number; one that dies.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/child.h"
#include "base/file.h"
#include "nn/ops.h"
#include "train/checkpoint.h"
#include "train/log.h"
#include "train/share.h"
#include "train/trainer.h"

enum { IN = 24, WIDE = 900, OUT = 3, ROWS = 6, STEPS = 50, SLOTS = 8 };

static char program[512]; /* this one */

typedef struct net {
    so_tensor *w, *b, *out;
} net;

typedef struct toy {
    so_store store, critic_store;
    net net, critic;
    so_optim optim, critic_optim;
    int64_t stop_at, die_at, nan_at, hang_at;
    so_real codes[4];  /* what the run keeps besides weights: the last micro-batch moves it */
    so_real moved;     /* by the last micro-batch of this process */
    bool follows;      /* the loss depends on it */
    int64_t die_after; /* microseconds after the micro-batch of die_at; 0: in it */
    int64_t held;      /* of a hundred of its moments, a rank may hold so many; 0: any */
    int64_t limit;     /* bytes that a file may have from step 15 on; 0: any */
    so_ranks *ranks;
    volatile sig_atomic_t stop;
} toy;

static so_status make_net(so_store *store, net *n, uint64_t seed, so_error *error)
{
    static const so_bind_row table[] = {
        {offsetof(net, w), "w", "F D", NULL, SO_INIT_FAN_IN, 1, false},
        {offsetof(net, b), "b", "F", NULL, SO_INIT_VALUE, 0.1, false},
        {offsetof(net, out), "out", "C F", NULL, SO_INIT_FAN_IN, 1, false},
    };
    so_rng rng;
    so_rng_init(&rng, seed, 0);
    SO_TRY(so_store_open(store, (size_t)1 << 26, error));
    so_binder binder = {.store = store, .group = "main", .rng = &rng};
    binder.sizes.of['D'] = IN, binder.sizes.of['F'] = WIDE, binder.sizes.of['C'] = OUT;
    SO_TRY(SO_BIND(&binder, "", 0, table, n, error));
    return so_store_learn(store, NULL, true, error);
}

static void killed(int number)
{
    (void)number;
    raise(SIGKILL);
}

static void die(const toy *t)
{
    if (!t->die_after) raise(SIGKILL);
    signal(SIGALRM, killed);
    setitimer(ITIMER_REAL, &(struct itimerval){.it_value = {0, (suseconds_t)t->die_after}}, NULL);
}

/* Hundredths of its moments that an optimiser holds. */
static int64_t held_of(const so_optim *o)
{
    int64_t held = 0;
    for (int64_t i = 0; i < o->pieces; i++)
        if (so_optim_moment(o, i, 0) && so_optim_moment(o, i, 1)) held += o->piece[i].count;
    return 100 * held / so_optim_parameters(o);
}

static so_tensor *micro(void *context, so_pass *pass, so_micro *m)
{
    toy *t = context;
    so_real x[ROWS * IN], y[ROWS * OUT];
    for (int i = 0; i < ROWS * IN; i++) x[i] = (so_real)so_rng_normal(&m->rng);
    for (int i = 0; i < ROWS * OUT; i++) y[i] = x[i / OUT * IN + i % OUT] * 2;
    for (int i = 0; i < ROWS * OUT && t->follows; i++) y[i] += t->codes[i % 4];
    t->moved = x[0];
    net *n = m->player ? &t->critic : &t->net;
    so_tensor *h = so_apply(pass, SO_GELU, so_linear(pass, so_constant(pass, 2, (int64_t[]){ROWS, IN}, x), n->w, n->b));
    so_tensor *target = so_constant(pass, 2, (int64_t[]){ROWS, OUT}, y);
    so_tensor *loss = so_mse(pass, so_linear(pass, so_dropout(pass, h, 0.1, &m->rng), n->out, NULL), target, NULL);
    if (t->held && (held_of(&t->optim) > t->held || held_of(&t->critic_optim) > t->held))
        so_pass_fail(pass, SO_ERR_STATE, "%lld %% of the moments are held", (long long)held_of(&t->optim));
    if (m->step == t->nan_at && m->index == 5) so_data(loss)[0] = NAN;
    if (m->step == t->die_at && m->index == SLOTS / 2) die(t);
    if (t->limit && m->step == 15) setrlimit(RLIMIT_FSIZE, &(struct rlimit){(rlim_t)t->limit, (rlim_t)t->limit});
    bool hangs = t->hang_at && m->step == t->hang_at;
    if (hangs && m->index == 0) so_ranks_patience(t->ranks, 3); /* until now all had the time that a slow disk takes */
    if (hangs && m->index == SLOTS / 2) raise(SIGSTOP);
    if (m->step == t->stop_at && m->index == 0) t->stop = 1;
    so_notes_add(m->notes, "mse", (double)so_data(loss)[0], ROWS + m->index);
    m->tokens = ROWS;
    return loss;
}

static so_status updated(void *context, int64_t step, so_error *error)
{
    toy *t = context;
    (void)error;
    for (int i = 0; i < 4 && t->follows; i++) t->codes[i] = (t->codes[i] + t->moved) / (so_real)(2 + step % 3);
    return SO_OK;
}

typedef struct job {
    so_region *region;
    const char *folder;
    int64_t stop_at, die_at, nan_at, hang_at; /* hang_at 0: never */
    int64_t die_after, limit, save_every;
    int players, extras;
    double patience;
    int64_t held;
    bool save_now;
} job;

/* What one rank does; ranks NULL: alone. */
static so_status train(const job *j, so_ranks *ranks, so_error *error)
{
    toy t = {.stop_at = j->stop_at, .die_at = j->die_at, .nan_at = j->nan_at, .hang_at = j->hang_at};
    t.die_after = j->die_after;
    t.limit = j->limit;
    t.held = j->held;
    t.ranks = ranks;
    so_adamw adamw = {.decay = 0.01, .clip = 1, .average = 0.9};
    t.follows = j->extras > 0;
    so_extra extra = {"codes", t.codes, sizeof t.codes};
    SO_TRY(make_net(&t.store, &t.net, 1, error));
    SO_TRY(make_net(&t.critic_store, &t.critic, 2, error));
    SO_TRY(so_optim_open(&t.optim, &adamw, error));
    SO_TRY(so_optim_add(&t.optim, &t.store, NULL, 0, error));
    SO_TRY(so_optim_open(&t.critic_optim, &(so_adamw){.clip = 5}, error));
    SO_TRY(so_optim_add(&t.critic_optim, &t.critic_store, NULL, 0, error));
    so_trainer trainer = {.plan = {.steps = STEPS,
                                   .accumulate = SLOTS,
                                   .ranks = ranks,
                                   .patience = j->patience,
                                   .seed = 7,
                                   .report_every = 5,
                                   .save_every = j->save_every ? j->save_every : 10,
                                   .save_now = j->save_now,
                                   .folder = j->folder,
                                   .schedule = {SO_RATE_COSINE, 3e-3, 0.1, 3},
                                   .arena_bytes = (size_t)1 << 26},
                          .hooks = {.context = &t, .micro = micro, .updated = updated, .stop = &t.stop},
                          .player = {&t.optim, &t.critic_optim},
                          .players = j->players ? j->players : 2,
                          .extra = &extra,
                          .extras = j->extras};
    so_status status = so_trainer_run(&trainer, NULL, so_kernels_c(), error);
    so_optim_close(&t.optim);
    so_optim_close(&t.critic_optim);
    so_store_close(&t.store);
    so_store_close(&t.critic_store);
    return status;
}

static so_status be_a_rank(void *context, int number, so_error *error)
{
    const job *j = context;
    so_ranks *ranks;
    SO_TRY(so_ranks_join(j->region, number, &ranks, error));
    so_status status = train(j, ranks, error);
    so_ranks_close(&ranks);
    return status;
}

/* n processes train in the job's folder. */
static so_status run(job j, int n, so_error *error)
{
    SO_TRY(so_region_open(&j.region, n, error));
    so_status status = so_children_run(n, "rank", be_a_rank, &j, NULL, error);
    so_region_close(&j.region);
    return status;
}

static void new_folder(char path[64])
{
    strcpy(path, "/tmp/so_ranks_XXXXXX");
    assert_non_null(mkdtemp(path));
}

static void remove_folder(const char *folder)
{
    static const char *const names[] = {"checkpoint.so", "log.jsonl"};
    for (int i = 0; i < 2; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(folder), 0);
}

/* All weights, moments and averages of two checkpoints. */
static void same_checkpoints(const char *one, const char *two)
{
    char path[2][128];
    so_loader a, b;
    so_error error;
    snprintf(path[0], 128, "%s/checkpoint.so", one);
    snprintf(path[1], 128, "%s/checkpoint.so", two);
    CHECK_OK(so_loader_open(&a, path[0], &error), error);
    CHECK_OK(so_loader_open(&b, path[1], &error), error);
    assert_int_equal(a.count, b.count);
    assert_true(a.count > 20);
    for (int64_t i = 0; i < a.count; i++) {
        assert_int_equal(a.block[i].bytes, b.block[i].bytes);
        assert_memory_equal(a.block[i].name, b.block[i].name, a.block[i].name_length);
        if (strncmp(a.block[i].name, "standing", 8) != 0) /* which tells the time */
            assert_memory_equal(a.block[i].data, b.block[i].data, a.block[i].bytes);
    }
    so_loader_close(&a);
    so_loader_close(&b);
}

/* These, and what the logs say. */
static void same_bits(const char *one, const char *two)
{
    char path[2][128];
    so_history h[2];
    so_error error;
    same_checkpoints(one, two);
    for (int i = 0; i < 2; i++) {
        snprintf(path[i], 128, "%s/log.jsonl", i ? two : one);
        CHECK_OK(so_history_load(&h[i], path[i], &error), error);
    }
    static const char *const curves[] = {"loss", "mse", "norm"};
    for (int k = 0; k < 3; k++) {
        const so_curve *x = so_history_find(&h[0], curves[k]), *y = so_history_find(&h[1], curves[k]);
        assert_true(x && y && x->count == STEPS / 5 && y->count == x->count);
        for (int64_t i = 0; i < x->count; i++) assert_true(x->value[i] == y->value[i]);
    }
    so_history_close(&h[0]);
    so_history_close(&h[1]);
}

/* Where a run that goes on begins. */
static int64_t saved_step(const char *folder)
{
    char path[128];
    so_error error;
    so_loader loader;
    int64_t step;
    snprintf(path, sizeof path, "%s/checkpoint.so", folder);
    CHECK_OK(so_loader_open(&loader, path, &error), error);
    const so_block *standing = so_loader_find(&loader, "standing");
    assert_non_null(standing);
    memcpy(&step, standing->data, sizeof step);
    so_loader_close(&loader);
    return step;
}

static const job plain = {.stop_at = -1, .die_at = -1, .nan_at = 12};

static void any_number_of_ranks_gives_the_same_bits(void **state)
{
    (void)state;
    so_error error;
    char alone[64], folder[64];
    job j = plain;
    new_folder(alone);
    j.folder = alone;
    CHECK_OK(train(&j, NULL, &error), error);
    for (int n = 1; n <= SLOTS; n *= 2) {
        new_folder(folder);
        j.folder = folder;
        CHECK_OK(run(j, n, &error), error);
        same_bits(alone, folder);
        remove_folder(folder);
    }
    remove_folder(alone);
}

static void a_run_goes_on_under_another_number_of_ranks(void **state)
{
    (void)state;
    so_error error;
    char whole[64], folder[64];
    job j = plain;
    new_folder(whole);
    j.folder = whole;
    CHECK_OK(run(j, 2, &error), error);
    for (int n = 1; n <= 2; n++) {
        new_folder(folder);
        j = plain;
        j.folder = folder;
        j.stop_at = 24; /* with the report of step 25; no checkpoint is due before the stop's own */
        assert_int_equal(run(j, 4, &error), SO_ERR_STOPPED);
        assert_non_null(strstr(error.text, "stopped as asked after step 25"));
        assert_int_equal(saved_step(folder), 25);
        j.stop_at = -1;
        CHECK_OK(run(j, n, &error), error);
        same_bits(whole, folder);
        remove_folder(folder);
    }
    remove_folder(whole);
}

static void a_rank_that_dies_ends_the_others(void **state)
{
    (void)state;
    so_error error;
    char whole[64], folder[64];
    job j = plain;
    new_folder(whole);
    new_folder(folder);
    j.folder = whole;
    CHECK_OK(run(j, 1, &error), error);
    j.folder = folder;
    static const int64_t at[] = {3, 17, 33};
    for (int i = 0; i < 3; i++) {
        j.die_at = at[i];
        assert_int_equal(run(j, 4, &error), SO_ERR_STATE);
        assert_non_null(strstr(error.text, "signal 9"));
    }
    j.die_at = -1;
    CHECK_OK(run(j, 4, &error), error);
    same_bits(whole, folder);
    remove_folder(whole);
    remove_folder(folder);
}

/* Killed at any moment, 20 times with SO_THOROUGH, also while numbers are exchanged and checkpoints written: the end is
 * that of a run that lost nobody. */
static void ranks_that_die_at_random(void **state)
{
    (void)state;
    so_error error;
    so_rng rng;
    char whole[64], folder[64];
    job j = plain;
    int lost = 0, times = getenv("SO_THOROUGH") ? 20 : 4;
    so_rng_init(&rng, 20, 0);
    new_folder(whole);
    new_folder(folder);
    j.folder = whole;
    CHECK_OK(run(j, 1, &error), error);
    j.folder = folder;
    j.save_every = 1; /* most of the time is spent on writing */
    for (int i = 0; i < times; i++) {
        j.die_at = 1 + i * (STEPS - 10) / times;
        j.die_after = 1 + so_rng_below(&rng, 4000);
        lost += run(j, 4, &error) != SO_OK;
    }
    assert_true(lost > 0);
    j.die_at = -1;
    CHECK_OK(run(j, 4, &error), error);
    same_checkpoints(whole, folder); /* a report after a loss is of the updates since */
    remove_folder(whole);
    remove_folder(folder);
}

/* No room for a checkpoint from some byte on: the run ends and says so, the one before is whole, and any number of
 * ranks goes on from it. */
static void a_checkpoint_that_is_cut_leaves_the_one_before(void **state)
{
    (void)state;
    so_error error;
    char whole[64], folder[64];
    job j = plain;
    new_folder(whole);
    j.folder = whole;
    CHECK_OK(train(&j, NULL, &error), error);
    static const int64_t limit[] = {20000, 100000, 200000, 300000};
    for (int i = 0; i < 4; i++) {
        new_folder(folder);
        j.folder = folder;
        j.limit = limit[i];
        assert_int_equal(run(j, i % 2 ? 1 : 4 >> (i / 2), &error), SO_ERR_IO);
        assert_non_null(strstr(error.text, "File too large"));
        j.limit = 0;
        CHECK_OK(run(j, 1 + i % 2, &error), error);
        same_bits(whole, folder);
        remove_folder(folder);
    }
    remove_folder(whole);
}

/* Parts of ranks, as they lie there while a run goes on: another number of ranks reads them, and names what is missing.
 */
static void parts_are_read_by_any_number_of_ranks(void **state)
{
    (void)state;
    so_error error;
    char whole[64], folder[64], path[160], away[170];
    job j = plain;
    new_folder(whole);
    j.folder = whole;
    CHECK_OK(run(j, 2, &error), error);
    for (int n = 1; n <= 4; n *= 4) {
        new_folder(folder);
        j.folder = folder;
        j.die_at = 49; /* the checkpoints of 10 and 20 were named when that of 40 began */
        assert_int_equal(run(j, 2, &error), SO_ERR_STATE);
        int64_t step = saved_step(folder);
        assert_true(step == 30 || step == 40);
        snprintf(path, sizeof path, "%s/checkpoint-%lld-1-of-2.so", folder, (long long)step);
        snprintf(away, sizeof away, "%s.away", path);
        assert_int_equal(rename(path, away), 0);
        j.die_at = -1;
        assert_int_equal(run(j, n, &error), SO_ERR_IO);
        assert_non_null(strstr(error.text, "-1-of-2.so"));
        assert_int_equal(rename(away, path), 0);
        CHECK_OK(run(j, n, &error), error);
        same_bits(whole, folder);
        remove_folder(folder);
    }
    remove_folder(whole);
}

/* Of 2 and of 4 ranks each has its share of the moments, pieces being what they are; and all there is in the end. */
static void moments_are_held_in_parts(void **state)
{
    (void)state;
    so_error error;
    char whole[64], folder[64];
    job j = plain;
    new_folder(whole);
    j.folder = whole;
    CHECK_OK(train(&j, NULL, &error), error);
    for (int n = 2; n <= 4; n *= 2) {
        new_folder(folder);
        j.folder = folder;
        j.held = 70; /* one piece is 65 of a hundred */
        CHECK_OK(run(j, n, &error), error);
        same_bits(whole, folder);
        remove_folder(folder);
    }
    j.held = 10;
    new_folder(folder);
    j.folder = folder;
    assert_int_equal(run(j, 2, &error), SO_ERR_STATE);
    assert_non_null(strstr(error.text, " % of the moments are held"));
    remove_folder(folder);
    remove_folder(whole);
}

static so_status work(void *context, so_ranks *ranks, so_error *error) { return train(context, ranks, error); }

/* One that stands still is named, and all are ended; what they had saved is gone on with. */
static void a_rank_that_hangs_is_named(void **state)
{
    (void)state;
    so_error error;
    char whole[64], folder[64];
    job j = plain;
    new_folder(whole);
    new_folder(folder);
    j.folder = whole;
    CHECK_OK(train(&j, NULL, &error), error);
    j.folder = folder;
    j.hang_at = 13;
    j.save_now = true; /* so that it stands by then */
    j.patience = 600;
    so_ranks_watch watch = {.stop = NULL};
    assert_int_equal(so_ranks_run(2, work, &j, &watch, &error), SO_ERR_STATE);
    assert_non_null(strstr(error.text, "rank 2 of 2 has not come for "));
    assert_true(watch.lost);
    assert_int_equal(saved_step(folder), 10);
    j.hang_at = 0;
    j.patience = 600;
    CHECK_OK(so_ranks_run(2, work, &j, &watch, &error), error);
    assert_false(watch.lost);
    same_bits(whole, folder);
    remove_folder(whole);
    remove_folder(folder);
}

static void what_cannot_be_shared_is_refused(void **state)
{
    (void)state;
    so_error error;
    so_region *region;
    so_share *share;
    so_optim optim = {0};
    so_ranks ranks = {.size = 3};
    assert_int_equal(so_share_open(&share, &optim, &ranks, 8, &error), SO_ERR_ARG);
    assert_non_null(strstr(error.text, "3 ranks do not divide 8 slots an update; allowed: 1, 2, 4, 8"));
    ranks.size = 2;
    assert_int_equal(so_share_open(&share, &optim, &ranks, 6, &error), SO_ERR_ARG);
    assert_non_null(strstr(error.text, "expected a power of two"));
    assert_int_equal(so_share_open(&share, &optim, NULL, 0, &error), SO_ERR_ARG);
    assert_int_equal(so_region_open(&region, 0, &error), SO_ERR_ARG);
    assert_null(region);
}

/* A codebook follows the last micro-batch wherever that is computed. */
static void what_is_kept_besides_weights_is_the_same_for_all(void **state)
{
    (void)state;
    so_error error;
    char alone[64], folder[64];
    job j = plain;
    j.extras = 1;
    new_folder(alone);
    j.folder = alone;
    CHECK_OK(train(&j, NULL, &error), error);
    for (int n = 2; n <= 4; n *= 2) {
        new_folder(folder);
        j.folder = folder;
        CHECK_OK(run(j, n, &error), error);
        same_bits(alone, folder);
        remove_folder(folder);
    }
    remove_folder(alone);
}

/* The log of ranks says how long numbers moved, and which part of that lay behind computing; that of one says nothing.
 */
static void the_log_accounts_for_the_exchange(void **state)
{
    (void)state;
    so_error error;
    for (int n = 1; n <= 2; n++) {
        char folder[64], path[128];
        so_history h;
        job j = plain;
        new_folder(folder);
        j.folder = folder;
        CHECK_OK(run(j, n, &error), error);
        snprintf(path, sizeof path, "%s/log.jsonl", folder);
        CHECK_OK(so_history_load(&h, path, &error), error);
        const so_curve *moved = so_history_find(&h, "exchange_s"), *hidden = so_history_find(&h, "exchange_hidden");
        assert_true((moved != NULL) == (n > 1) && (hidden != NULL) == (n > 1));
        for (int64_t i = 0; moved && i < moved->count; i++) {
            assert_true(moved->value[i] > 0);
            assert_true(hidden->value[i] >= 0 && hidden->value[i] < 1); /* sums of squares are waited for */
        }
        so_history_close(&h);
        remove_folder(folder);
    }
}

static bool has(const char *program_name)
{
    char command[128];
    snprintf(command, sizeof command, "command -v %s >/dev/null 2>&1", program_name);
    return system(command) == 0;
}

static void mpi_gives_the_same_bits(void **state)
{
    (void)state;
    so_error error;
    char alone[64], folder[64], command[1024];
    snprintf(command, sizeof command, "%.*s/../stream-omni-mpi.so", (int)(strrchr(program, '/') - program), program);
    if (!has("mpirun") || access(command, R_OK) != 0) {
        fprintf(stderr, "# SKIP: no Open MPI (openmpi-bin, libopenmpi-dev)\n");
        skip();
    }
    job j = plain;
    new_folder(alone);
    j.folder = alone;
    CHECK_OK(train(&j, NULL, &error), error);
    for (int n = 2; n <= 4; n += 2) {
        new_folder(folder);
        snprintf(command, sizeof command,
                 "ASAN_OPTIONS=detect_leaks=0 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 mpirun "
                 "--oversubscribe --mca "
                 "mpi_yield_when_idle 1 --mca btl self,vader -np %d '%s' rank %s >&2",
                 n, program, folder);
        assert_int_equal(system(command), 0);
        same_bits(alone, folder);
        remove_folder(folder);
    }
    remove_folder(alone);
}

/* A rank of mpirun's. */
static int mpi_rank(const char *folder)
{
    so_error error = {0};
    so_ranks *ranks = NULL;
    job j = plain;
    j.folder = folder;
    so_status status = so_ranks_launched() ? so_ranks_mpi(&ranks, &error)
                                           : so_fail(&error, SO_ERR_STATE, "mpirun did not start this process");
    if (status == SO_OK) status = train(&j, ranks, &error);
    if (status != SO_OK) fprintf(stderr, "# %s\n", error.text);
    if (status == SO_OK) so_ranks_close(&ranks);
    return status != SO_OK;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_number_of_ranks_gives_the_same_bits),
        cmocka_unit_test(a_run_goes_on_under_another_number_of_ranks),
        cmocka_unit_test(a_rank_that_dies_ends_the_others),
        cmocka_unit_test(ranks_that_die_at_random),
        cmocka_unit_test(a_checkpoint_that_is_cut_leaves_the_one_before),
        cmocka_unit_test(parts_are_read_by_any_number_of_ranks),
        cmocka_unit_test(moments_are_held_in_parts),
        cmocka_unit_test(a_rank_that_hangs_is_named),
        cmocka_unit_test(what_cannot_be_shared_is_refused),
        cmocka_unit_test(what_is_kept_besides_weights_is_the_same_for_all),
        cmocka_unit_test(the_log_accounts_for_the_exchange),
        cmocka_unit_test(mpi_gives_the_same_bits),
    };
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    program[n < 0 ? 0 : n] = 0;
    if (argc == 3 && strcmp(argv[1], "rank") == 0) return mpi_rank(argv[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
