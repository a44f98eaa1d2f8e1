/* train/events: the bytes of records, and what a run leaves for TensorBoard.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <glob.h>
#include <unistd.h>

#include "base/file.h"
#include "nn/ops.h"
#include "train/events.h"
#include "train/optim.h"

/* Bytes as TensorFlow's own writer makes them: a file of version "brain.Event:2" at wall time 1, and at wall time 2 of
 * step 7 "loss" 0.5. */
static const char golden[] = "1800000000000000a37f4b2209000000000000f03f1a0d627261696e2e4576656e743a3286bf577a"
                             "1a00000000000000129bd82d09000000000000004010072a0d0a0b0a046c6f7373150000003fc33fc24a";

static void records_are_tensorflows(void **state)
{
    (void)state;
    so_error error;
    so_events *e;
    char path[] = "/tmp/so_events_XXXXXX", *data, hex[3];
    size_t size;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    CHECK_OK(so_events_create(&e, path, 1, &error), error);
    const so_event_value value[] = {{"loss", 0.5}, {"norm", NAN}};
    CHECK_OK(so_events_add(e, 2, 7, 2, value, &error), error);
    CHECK_OK(so_events_add(e, 2, 8, 1, value + 1, &error), error); /* nothing finite: no record */
    so_events_close(&e);
    assert_null(e);
    CHECK_OK(so_file_read(path, 1 << 20, &data, &size, &error), error);
    assert_int_equal(size, strlen(golden) / 2);
    for (size_t i = 0; i < size; i++) {
        snprintf(hex, sizeof hex, "%02x", (unsigned char)data[i]);
        assert_memory_equal(hex, golden + 2 * i, 2);
    }
    free(data);
    unlink(path);
}

static so_tensor *square(void *context, so_pass *pass, so_micro *micro)
{
    so_store *store = context;
    so_notes_add(micro->notes, "toy", 3, 1);
    return so_mse(pass, &store->weight[0]->tensor, so_constant(pass, 2, (int64_t[]){1, 4}, (so_real[]){1, 2, 3, 4}),
                  NULL);
}

static so_status measure(void *context, so_pass *pass, int64_t step, so_notes *notes, so_error *error)
{
    (void)context, (void)pass, (void)error;
    so_notes_add(notes, "errors", (double)step, 1);
    return SO_OK;
}

static volatile sig_atomic_t stop;

static so_status stop_at_10(void *context, int64_t step, so_error *error)
{
    (void)context, (void)error;
    stop = step == 10;
    return SO_OK;
}

static bool holds(const char *data, size_t size, const char *what)
{
    return memmem(data, size, what, strlen(what)) != NULL;
}

/* Trains 20 steps in `folder`, stopped after 10, and gone on with when it is called again. */
static void train(const char *folder, so_status expected)
{
    so_error error;
    so_store store;
    so_optim optim;
    so_rng rng;
    so_tensor *w;
    static const so_bind_row table[] = {{0, "w", "1 4", "toy", SO_INIT_NORMAL, 1, false}};
    so_rng_init(&rng, 1, 0);
    CHECK_OK(so_store_open(&store, 0, &error), error);
    so_binder binder = {.store = &store, .rng = &rng};
    CHECK_OK(SO_BIND(&binder, "", 0, table, &w, &error), error);
    CHECK_OK(so_store_learn(&store, NULL, true, &error), error);
    CHECK_OK(so_optim_open(&optim, &(so_adamw){0}, &error), error);
    CHECK_OK(so_optim_add(&optim, &store, NULL, 0, &error), error);
    so_trainer t = {
        .plan = {.steps = 20,
                 .schedule = {.peak = 1e-2},
                 .report_every = 5,
                 .folder = folder,
                 .tensorboard = true,
                 .arena_bytes = 1 << 24},
        .hooks = {.context = &store, .micro = square, .evaluate = measure, .updated = stop_at_10, .stop = &stop},
        .player = {&optim},
        .players = 1};
    stop = 0;
    assert_int_equal(so_trainer_run(&t, NULL, so_kernels_c(), &error), expected);
    so_optim_close(&optim);
    so_store_close(&store);
}

static void a_run_leaves_events(void **state)
{
    (void)state;
    so_error error;
    char folder[] = "/tmp/so_events_XXXXXX", pattern[64], *data;
    size_t size;
    glob_t found;
    assert_non_null(mkdtemp(folder));
    train(folder, SO_ERR_STOPPED);
    snprintf(pattern, sizeof pattern, "%s/events.out.tfevents.*", folder);
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    assert_int_equal(found.gl_pathc, 1);
    CHECK_OK(so_file_read(found.gl_pathv[0], 1 << 20, &data, &size, &error), error);
    const char *const tags[] = {"brain.Event:2", "train/loss", "train/rate", "train/norm", "train/toy"};
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
        if (!holds(data, size, tags[i])) fail_msg("no %s", tags[i]);
    free(data);
    globfree(&found);
    train(folder, SO_OK); /* goes on */
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    assert_int_equal(found.gl_pathc, 2);
    CHECK_OK(so_file_read(found.gl_pathv[1], 1 << 20, &data, &size, &error), error);
    assert_true(holds(data, size, "eval/errors"));
    assert_true(holds(data, size, "\x10\x0a\x3a\x02\x08\x01")); /* step 10, session log, status START */
    free(data);
    globfree(&found);
    snprintf(pattern, sizeof pattern, "rm -r %s", folder);
    assert_int_equal(system(pattern), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_are_tensorflows),
        cmocka_unit_test(a_run_leaves_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
