/* Steps of answers that a device has seen before are replayed (backend/gpu/steps.c), on fibers and on a card: what
 * comes of them is what the host makes; what is too long for a step, or is no step, is computed as ever.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "backend/device.h"
#include "backend/gpu/fibers/fiber_device.h"
#include "card.h"
#include "engine/step.h"
#include "plan/plan.h"
#include "toy.h"

static char folder[] = TOY_FOLDER;
static so_model *host;

/* Whose memory is looked at after every launch: what a replayed one may write is what its step declared. */
static so_device *fibers(bool watches)
{
    so_error error;
    so_device *d;
    so_fibers_options o = {.subgroup = 8, .seed = 11, .watches = watches};
    CHECK_OK(so_fibers_open(&d, &o, &error), error);
    return d;
}

static so_talk *about_to_speak(const so_model *m, bool voice, int units)
{
    so_error error;
    so_talk *t;
    so_talk_options o = {.context = 128, .speaks = true, .max_units = units, .max_text = 40, .circles = true};
    CHECK_OK(so_talk_open(&t, m, &o, &error), error);
    so_slot slot[12];
    for (int i = 0; i < 12; i++) slot[i] = (so_slot){m->first_unit + i % 8, SO_SLOT_SPEECH | SO_SLOT_EXPECT};
    CHECK_OK(so_talk_sync(t, slot, 12, &error), error);
    CHECK_OK(so_talk_begin(t, voice, &error), error);
    return t;
}

/* One answer here and there, step by step the same; launches and replayed ones of the steps behind the first `some`. */
static void answer(so_model *m, bool voice, int64_t some, so_device_counts *sum)
{
    so_error error;
    so_talk *here = about_to_speak(host, voice, 60), *there = about_to_speak(m, voice, 60);
    *sum = (so_device_counts){0};
    int64_t steps = 0;
    for (so_made want = {0}, got; want.kind != SO_STEP_END; steps++) {
        so_device_counts before, after;
        CHECK_OK(so_talk_step(here, &want, &error), error);
        so_device_count(m->device, &before);
        CHECK_OK(so_talk_step(there, &got, &error), error);
        so_device_count(m->device, &after);
        assert_int_equal(got.kind, want.kind);
        assert_int_equal(got.id, want.id);
        if (steps < some) continue;
        sum->launches += after.launches - before.launches;
        sum->replayed += after.replayed - before.replayed;
    }
    so_talk_close(&here);
    so_talk_close(&there);
    assert_true(steps > some && sum->launches > 0);
}

static void answers_on(so_device *d, int sessions)
{
    so_error error;
    so_model *m;
    so_device_counts sum;
    so_model_options o = {.threads = 1, .context = 128};
    CHECK_OK(so_model_open_on(&m, folder, &o, d, &error), error);
    /* Units: but for those behind which the window of the text, or how much of it is named, is another for the first
     * or second time, all of them. A second session takes the place of the first, whose recordings are gone. */
    for (int session = 0; session < sessions; session++) {
        answer(m, true, 30, &sum);
        assert_true(4 * sum.replayed >= 3 * sum.launches);
    }
    answer(m, false, 2, &sum); /* text alone */
    assert_int_equal(sum.replayed, sum.launches);
    so_model_close(&m);
}

static void steps_of_answers_are_replayed_on_fibers(void **state)
{
    (void)state;
    answers_on(fibers(true), 1);
}

static void steps_of_answers_are_replayed_on_a_card(void **state)
{
    (void)state;
    so_device *d = card_open("steps");
    if (!d) skip();
    answers_on(d, 2);
}

/* ---- what is asked of the device itself */

enum { N = 4096 };

/* y = factor x, for a step: x of the host. */
static void step(so_device *d, float factor, float *y[2], float *out)
{
    float x[N];
    const so_kernels *k = so_device_kernels(d, false);
    for (int i = 0; i < N; i++) x[i] = (float)i + factor;
    so_device_step_begin(d);
    so_device_write(d, y[0], x, sizeof x);
    k->scale(so_device_pool(d), N, 2, y[0], y[1]);
    if (out) so_device_read(d, out, y[1], sizeof x);
    so_device_step_end(d);
}

static int64_t replayed(so_device *d)
{
    so_device_counts counts;
    so_device_count(d, &counts);
    return counts.replayed;
}

/* A step is replayed from its second coming on, with what the host gives then; another address is another step; memory
 * that is given back takes the recordings along. */
static void the_second_time_is_recorded(void **state)
{
    (void)state;
    so_error error;
    so_device *d = fibers(true);
    float *y[3], *pair[2], out[N];
    for (int i = 0; i < 3; i++) CHECK_OK(so_device_reserve(d, sizeof out, (void **)&y[i], &error), error);
    for (int turn = 0; turn < 5; turn++) {
        pair[0] = y[0];
        pair[1] = y[turn == 3 ? 2 : 1];
        if (turn == 4) so_device_release(d, y[2]);
        int64_t before = replayed(d);
        step(d, (float)turn, pair, out);
        for (int i = 0; i < N; i++) assert_true(out[i] == 2 * ((float)i + (float)turn));
        assert_int_equal(replayed(d) - before, turn == 1 || turn == 2 || turn == 4);
    }
    CHECK_OK(so_device_state(d, &error), error);
    so_device_close(&d);
}

/* Inputs of a step without a read may still be needed when the next begins: that one is computed as it comes. One that
 * is longer than there is room is computed as it comes, too; a recording within a step is refused. */
static void what_is_no_step_is_computed_as_it_comes(void **state)
{
    (void)state;
    enum { LONG = 40 };
    so_error error;
    so_device *d = fibers(false);
    float *y[2], out[N], x[N];
    so_device_step_begin(NULL);
    so_device_step_end(NULL);
    so_device_step_end(d);
    for (int i = 0; i < 2; i++) CHECK_OK(so_device_reserve(d, sizeof out, (void **)&y[i], &error), error);
    for (int turn = 0; turn < 4; turn++) step(d, (float)turn, y, NULL);
    assert_int_equal(replayed(d), 0);
    so_device_read(d, out, y[1], sizeof out);
    assert_true(out[5] == 2 * (5.0F + 3));
    for (int turn = 0; turn < 3; turn++) {
        so_device_step_begin(d);
        assert_false(so_device_record(d));
        for (int part = 0; part < LONG; part++) { /* 16 KB each, of which there is room for 8 */
            for (int i = 0; i < N; i++) x[i] = (float)(turn + part);
            so_device_write(d, y[0], x, sizeof x);
            so_device_kernels(d, false)->axpy(so_device_pool(d), N, 1, y[0], y[1]);
        }
        so_device_read(d, x, y[1], sizeof x);
        so_device_step_end(d);
        for (int i = 0; i < N; i++) assert_true(x[i] == out[i] + (float)(LONG * turn + LONG * (LONG - 1) / 2));
        memcpy(out, x, sizeof x);
    }
    assert_int_equal(replayed(d), 0);
    CHECK_OK(so_device_state(d, &error), error);
    so_device_close(&d);
}

/* More kinds of steps than are kept do not push each other out; those that do not come any more go. */
static void the_oldest_recordings_go(void **state)
{
    (void)state;
    enum { KEPT = 24, KINDS = 30, ROUNDS = 20 };
    so_error error;
    so_device *d = fibers(false);
    float *y[KINDS + 1], out[N];
    for (int i = 0; i <= KINDS; i++) CHECK_OK(so_device_reserve(d, sizeof out, (void **)&y[i], &error), error);
    int64_t before = 0;
    for (int turn = 0; turn < 3 + ROUNDS; turn++) {
        before = replayed(d);
        for (int kind = turn < 3 ? 0 : KEPT; kind < KINDS; kind++) {
            step(d, (float)(turn + kind), (float *[]){y[0], y[kind + 1]}, out);
            assert_true(out[7] == 2 * (7.0F + (float)(turn + kind)));
        }
        if (turn < 3) assert_int_equal(replayed(d) - before, turn ? KEPT : 0);
        if (turn == 3) assert_int_equal(replayed(d) - before, 0);
    }
    assert_int_equal(replayed(d) - before, KINDS - KEPT);
    CHECK_OK(so_device_state(d, &error), error);
    so_device_close(&d);
}

/* A recording's inputs of the host stay, whatever steps of others come in between. */
static void steps_leave_a_recording_alone(void **state)
{
    (void)state;
    so_error error;
    so_device *d = fibers(false);
    float *y[4], x[N], out[N];
    for (int i = 0; i < 4; i++) CHECK_OK(so_device_reserve(d, sizeof out, (void **)&y[i], &error), error);
    for (int i = 0; i < N; i++) x[i] = (float)(3 * i);
    assert_true(so_device_record(d));
    so_device_write(d, y[2], x, sizeof x);
    so_device_kernels(d, false)->scale(so_device_pool(d), N, 5, y[2], y[3]);
    so_recording *r = so_device_recorded(d);
    assert_non_null(r);
    for (int turn = 0; turn < 4; turn++) {
        step(d, (float)turn, y, out);
        for (int i = 0; i < N; i++) assert_true(out[i] == 2 * ((float)i + (float)turn));
        so_device_replay(d, r);
        so_device_read(d, out, y[3], sizeof out);
        for (int i = 0; i < N; i++) assert_true(out[i] == (float)(15 * i));
    }
    so_device_forget(d, &r);
    CHECK_OK(so_device_state(d, &error), error);
    so_device_close(&d);
}

/* y[1] = 5 y[0], with y[0] of the host. */
static so_recording *record_one(so_device *d, float value, float *y[2])
{
    float x[N];
    for (int i = 0; i < N; i++) x[i] = value + (float)i;
    if (!so_device_record(d)) return NULL;
    so_device_write(d, y[0], x, sizeof x);
    so_device_kernels(d, false)->scale(so_device_pool(d), N, 5, y[0], y[1]);
    return so_device_recorded(d);
}

/* Each has room for its inputs, however many come and go while another stays; one more than there is room for is
 * refused. */
static void recordings_come_and_go(void **state)
{
    (void)state;
    enum { SLOTS = 4 };
    so_error error;
    so_device *d = fibers(false);
    float *y[2], out[N];
    so_recording *r[SLOTS];
    for (int i = 0; i < 2; i++) CHECK_OK(so_device_reserve(d, sizeof out, (void **)&y[i], &error), error);
    for (int k = 0; k < SLOTS; k++) assert_non_null(r[k] = record_one(d, (float)(100 * k), y));
    assert_null(record_one(d, 1, y));
    for (int turn = 0; turn < 40; turn++) {
        int again = 1 + turn % (SLOTS - 1); /* the first stays */
        so_device_forget(d, &r[again]);
        assert_non_null(r[again] = record_one(d, (float)(100 * again), y));
        for (int k = 0; k < SLOTS; k++) {
            so_device_replay(d, r[k]);
            so_device_read(d, out, y[1], sizeof out);
            assert_true(out[0] == (float)(500 * k) && out[N - 1] == (float)(5 * (100 * k + N - 1)));
        }
    }
    for (int k = 0; k < SLOTS; k++) so_device_forget(d, &r[k]);
    CHECK_OK(so_device_state(d, &error), error);
    so_device_close(&d);
}

static int open_host(void **state) { return (void)state, toy_open(&host, folder, 1, 128); }
static int close_host(void **state) { return (void)state, toy_close(&host, folder); }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_second_time_is_recorded),
        cmocka_unit_test(what_is_no_step_is_computed_as_it_comes),
        cmocka_unit_test(the_oldest_recordings_go),
        cmocka_unit_test(steps_leave_a_recording_alone),
        cmocka_unit_test(recordings_come_and_go),
        cmocka_unit_test(steps_of_answers_are_replayed_on_fibers),
        cmocka_unit_test(steps_of_answers_are_replayed_on_a_card),
    };
    return cmocka_run_group_tests(tests, open_host, close_host);
}
