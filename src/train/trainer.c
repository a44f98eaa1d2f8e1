/* The training loop.
 * SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include "train/trainer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "train/events.h"
#include "train/keep.h"
#include "train/log.h"
#include "train/share.h"
#include "train/snapshot.h"

/* ---- notes */

void so_notes_add(so_notes *notes, const char *name, double value, double weight)
{
    int i = 0;
    while (i < notes->count && strcmp(notes->note[i].name, name) != 0) i++;
    if (i == SO_MAX_NOTES) return;
    if (i == notes->count) {
        notes->note[notes->count++] = (so_note){.sum = 0};
        strncpy(notes->note[i].name, name, sizeof notes->note[i].name - 1);
    }
    notes->note[i].sum += value * weight;
    notes->note[i].weight += weight;
}

double so_note_mean(const so_note *note) { return note->weight != 0 ? note->sum / note->weight : (double)NAN; }

double so_notes_mean(const so_notes *notes, const char *name)
{
    for (int i = 0; i < notes->count; i++)
        if (strcmp(notes->note[i].name, name) == 0) return so_note_mean(&notes->note[i]);
    return NAN;
}

static void notes_merge(so_notes *into, const so_notes *from)
{
    for (int i = 0; i < from->count; i++)
        if (from->note[i].weight != 0)
            so_notes_add(into, from->note[i].name, so_note_mean(&from->note[i]), from->note[i].weight);
}

static int accumulate_of(const so_train_plan *plan) { return plan->accumulate > 0 ? plan->accumulate : 1; }

/* ---- the loop */

typedef struct loop {
    so_trainer *t;
    so_arena arena;
    so_pass pass;
    so_pool *pool;
    FILE *log;
    so_events *events;
    so_share *share[SO_MAX_PLAYERS];
    so_follow follow;          /* of each pass of an update */
    so_share *turn;            /* whose last slot is computed; NULL: another slot */
    so_error awaited;          /* what failed when weights were waited for */
    struct slot *slot, *slots; /* of this rank's micro-batches, and of all */
    bool stop;                 /* as all ranks know it */
    double clock;              /* seconds of training, rank 0's, at the last update */
    char checkpoint[4096];
    so_snapshot *keeper;    /* NULL: no folder */
    so_snapshot_stage kept; /* how far all ranks are with a checkpoint that is being written */
    double started, before; /* clock at the start of this run; seconds of earlier runs */
    double saved;           /* seconds of training at the last checkpoint */
    int64_t saved_step;     /* where it stands */
    int64_t first_step;     /* of this run */
    int bad_in_a_row;
    so_notes notes; /* since the last report */
    double losses, norms, report_clock, last_rate;
    int64_t reported, tokens; /* steps and tokens since the last report */
} loop;

static double clock_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int rank_of(const loop *l) { return l->t->plan.ranks ? l->t->plan.ranks->rank : 0; }
static bool alone(const loop *l) { return !l->t->plan.ranks || l->t->plan.ranks->size == 1; }

static double elapsed(const loop *l) { return l->before + clock_seconds() - l->started; }
/* What decides anything must be the same for all ranks. */
static double agreed_time(const loop *l) { return alone(l) ? elapsed(l) : l->clock; }

static double done_part(const loop *l)
{
    const so_train_plan *plan = &l->t->plan;
    double by_step = plan->steps > 0 ? (double)l->t->step / (double)plan->steps : 0;
    double by_time = plan->anneal_by_time && plan->seconds > 0 ? agreed_time(l) / plan->seconds : 0;
    return by_step > by_time ? by_step : by_time;
}

/* What came of one micro-batch: all ranks show each other theirs, and add them up in the order of slots. */
typedef struct slot {
    so_notes notes;
    double loss, clock;
    int64_t tokens;
    char bad[64]; /* what was not finite */
    bool stop;
    so_snapshot_stage kept;
} slot;

typedef struct update {
    so_notes notes;
    double loss, norm;
    int64_t tokens;
    char bad[128];
} update;

/* ---- what other ranks are told, and wait for (train/courier.h) */

/* Before anything reads a weight. */
static so_status wait_for_weights(loop *l, so_error *error)
{
    for (int p = 0; p < l->t->players; p++) SO_TRY(so_share_wait(l->share[p], error));
    return SO_OK;
}

static void before_pass(void *context)
{
    loop *l = context;
    if (l->awaited.status == SO_OK) wait_for_weights(l, &l->awaited);
}

static void gradient_complete(void *context, so_tensor *weight)
{
    const loop *l = context;
    so_share_complete(l->turn, weight);
}

/* Forward and back of one portion; `bad` is set when its loss is not finite. */
static so_status run_portion(loop *l, so_micro *micro, slot *out, so_error *error)
{
    so_trainer *t = l->t;
    size_t mark = so_arena_mark(&l->arena);
    so_pass_init(&l->pass, &l->arena, l->pool, l->pass.k);
    l->pass.recording = true;
    l->follow.begun = alone(l);
    l->follow.complete = l->turn ? gradient_complete : NULL;
    l->pass.follow = alone(l) ? NULL : &l->follow;
    micro->more = false;
    micro->weight = 1;
    micro->tokens = 0;
    so_tensor *loss = t->hooks.micro(t->hooks.context, &l->pass, micro);
    if (micro->more) l->follow.complete = NULL; /* the next one adds to the same gradients */
    if (so_ok(&l->pass) && loss) {
        double value = (double)so_data(loss)[0], share = micro->weight / accumulate_of(&t->plan);
        if (!isfinite(value))
            strcpy(out->bad, "the loss");
        else
            so_backward(&l->pass, loss, (so_real)share);
        out->loss += value * share;
        out->tokens += micro->tokens;
    }
    so_arena_release(&l->arena, mark);
    l->pass.follow = NULL;
    if (l->awaited.status != SO_OK) return so_fail(error, l->awaited.status, "%s", l->awaited.text);
    if (so_ok(&l->pass)) return SO_OK;
    *error = l->pass.error;
    return so_fail_in(error, "training step %lld", (long long)t->step);
}

/* Forward and back of one micro-batch. */
static so_status run_micro(loop *l, int player, int index, slot *out, so_error *error)
{
    so_trainer *t = l->t;
    *out = (slot){.loss = 0};
    so_micro micro = {
        .step = t->step, .index = index, .player = player, .seed = t->plan.seed, .notes = &out->notes, .weight = 1};
    so_rng_init(&micro.rng, t->plan.seed,
                ((uint64_t)t->step * 256 + (uint64_t)index) * SO_MAX_PLAYERS + (uint64_t)player);
    do {
        SO_TRY(run_portion(l, &micro, out, error));
        micro.portion++;
    } while (micro.more);
    return SO_OK;
}

/* What became of all slots, in their order. */
static so_status sum_slots(loop *l, int count, update *turn, so_error *error)
{
    so_ranks *ranks = l->t->plan.ranks;
    const slot *all = l->slot;
    l->slot[0].stop = l->t->hooks.stop && *l->t->hooks.stop;
    l->slot[0].clock = elapsed(l);
    for (int i = 0; i < count; i++) l->slot[i].kept = l->keeper ? so_snapshot_state(l->keeper) : SO_SNAPSHOT_NOTHING;
    if (!alone(l)) {
        SO_TRY(wait_for_weights(l, error)); /* whoever learnt nothing has not asked for them */
        double from = clock_seconds();
        SO_TRY(ranks->gather(ranks, l->slot, l->slots, (size_t)count * sizeof *l->slot, error));
        so_share_spend(l->share[0], clock_seconds() - from);
        all = l->slots;
    }
    l->clock = all[0].clock;
    l->kept = all[0].kept;
    for (int i = 0; i < accumulate_of(&l->t->plan); i++) {
        notes_merge(&turn->notes, &all[i].notes);
        turn->loss += all[i].loss;
        turn->tokens += all[i].tokens;
        l->stop = l->stop || all[i].stop;
        if (all[i].kept == SO_SNAPSHOT_WRITING || all[i].kept == SO_SNAPSHOT_FAILED) l->kept = all[i].kept;
        if (!turn->bad[0]) strcpy(turn->bad, all[i].bad);
    }
    return SO_OK;
}

/* One player's micro-batches and update. */
static so_status run_turn(loop *l, int player, update *turn, so_error *error)
{
    so_trainer *t = l->t;
    so_optim *optim = t->player[player];
    so_share *share = l->share[player];
    int first, count;
    *turn = (struct update){.loss = 0};
    for (int p = 0; p < t->players && t->players > 1; p++) so_optim_turn(t->player[p], p == player);
    so_share_mine(share, &first, &count);
    so_share_begin(share);
    for (int i = 0; i < count; i++) {
        l->turn = i + 1 == count ? share : NULL;
        if (l->turn) so_share_last(share);
        SO_TRY(run_micro(l, player, first + i, &l->slot[i], error));
        SO_TRY(so_share_slot(share, l->pool, error));
    }
    SO_TRY(sum_slots(l, count, turn, error));
    SO_TRY(so_share_norm(share, l->pool, &turn->norm, error));
    if (!turn->bad[0] && !isfinite(turn->norm)) {
        const char *bad = so_optim_bad(optim);
        snprintf(turn->bad, sizeof turn->bad, "%s", bad ? bad : "the norm of all gradients");
    }
    l->last_rate = so_rate(&t->plan.schedule, t->step, done_part(l));
    if (turn->bad[0]) {
        so_optim_skip(optim);
        return SO_OK;
    }
    so_optim_update(optim, l->pool, l->last_rate, turn->norm);
    so_share_weights(share);
    return SO_OK;
}

/* What a run keeps besides weights follows the update's last micro-batch: all take it from the rank that has computed
 * that one. */
static so_status share_extras(loop *l, so_error *error)
{
    so_trainer *t = l->t;
    so_ranks *ranks = t->plan.ranks;
    size_t most = 0;
    if (alone(l) || !t->extras) return SO_OK;
    SO_TRY(wait_for_weights(l, error));
    for (int i = 0; i < t->extras; i++)
        if (t->extra[i].bytes > most) most = t->extra[i].bytes;
    char *all = malloc((size_t)ranks->size * most + 1);
    if (!all) return so_fail(error, SO_ERR_NOMEM, "no memory for what ranks exchange");
    double from = clock_seconds();
    so_status status = SO_OK;
    for (int i = 0; i < t->extras && status == SO_OK; i++) {
        const so_extra *e = &t->extra[i];
        status = ranks->gather(ranks, e->data, all, e->bytes, error);
        if (status == SO_OK) memcpy(e->data, all + (size_t)(ranks->size - 1) * e->bytes, e->bytes);
    }
    so_share_spend(l->share[0], clock_seconds() - from);
    free(all);
    return status;
}

static so_status after_update(loop *l, so_error *error)
{
    so_trainer *t = l->t;
    if (!t->hooks.updated) return SO_OK;
    SO_TRY(wait_for_weights(l, error));
    return t->hooks.updated(t->hooks.context, t->step, error);
}

static so_status run_step(loop *l, so_error *error)
{
    so_trainer *t = l->t;
    char bad[sizeof((update *)0)->bad] = "";
    for (int p = 0; p < t->players; p++) {
        update turn;
        SO_TRY(run_turn(l, p, &turn, error));
        l->tokens += turn.tokens;
        if (turn.bad[0]) {
            strcpy(bad, turn.bad);
            continue;
        }
        notes_merge(&l->notes, &turn.notes);
        l->losses += turn.loss;
        l->norms += turn.norm / t->players;
    }
    t->step++;
    if (!bad[0]) SO_TRY(after_update(l, error));
    SO_TRY(share_extras(l, error));
    if (!bad[0]) {
        l->reported++;
        l->bad_in_a_row = 0;
        return SO_OK;
    }
    t->skipped++;
    int limit = t->plan.bad_in_a_row > 0 ? t->plan.bad_in_a_row : 8;
    if (++l->bad_in_a_row < limit) return SO_OK;
    return so_fail(error, SO_ERR_NUMBER,
                   "training broke down: %d steps in a row, up to step %lld, where %s is not finite; "
                   "a lower rate or a checkpoint from before may help",
                   limit, (long long)t->step, bad);
}

static so_progress progress_of(loop *l)
{
    so_trainer *t = l->t;
    double n = l->reported ? (double)l->reported : (double)NAN, now = clock_seconds(), spent = now - l->started;
    so_progress p = {.step = t->step,
                     .steps = t->plan.steps,
                     .skipped = t->skipped,
                     .loss = l->losses / n,
                     .rate = l->last_rate,
                     .norm = l->norms / n,
                     .elapsed = elapsed(l),
                     .notes = &l->notes};
    p.tokens_per_second = (double)l->tokens / (now - l->report_clock + 1e-9);
    int64_t made = t->step - l->first_step;
    p.left = made ? spent / (double)made * (double)(t->plan.steps - t->step) : (double)NAN;
    double budget = t->plan.seconds - p.elapsed;
    if (t->plan.seconds > 0 && !(p.left <= budget)) p.left = budget > 0 ? budget : 0;
    return p;
}

static void tell(const loop *l, const so_progress *p)
{
    if (l->t->hooks.progress && rank_of(l) == 0) l->t->hooks.progress(l->t->hooks.context, p);
}

/* Seconds of an update since the last report. */
static void exchange_of(loop *l, so_progress *p)
{
    double n = l->reported ? (double)l->reported : 1, moved = 0, seen = 0, waited = 0;
    for (int i = 0; i < l->t->players && !alone(l); i++) {
        so_courier_times spent = so_share_spent(l->share[i]);
        moved += spent.moved;
        seen += spent.seen;
        waited += spent.waited;
    }
    p->exchange = alone(l) ? (double)NAN : moved / n;
    p->hidden = moved > 0 ? 1 - seen / moved : (double)NAN;
    p->waited = alone(l) ? (double)NAN : waited / n;
}

static so_status report(loop *l, so_error *error)
{
    so_progress p = progress_of(l);
    exchange_of(l, &p);
    tell(l, &p);
    so_status status = so_log_write(l->log, &p, error);
    if (status == SO_OK) status = so_events_write(l->events, &p, error);
    l->notes.count = 0;
    l->losses = l->norms = 0;
    l->reported = l->tokens = 0;
    l->report_clock = clock_seconds();
    return status;
}

static so_status evaluate(loop *l, so_error *error)
{
    so_trainer *t = l->t;
    if (!t->hooks.evaluate) return SO_OK;
    so_notes notes = {0};
    SO_TRY(wait_for_weights(l, error));
    for (int p = 0; p < t->players; p++) SO_TRY(so_share_averages(l->share[p], error));
    size_t mark = so_arena_mark(&l->arena);
    so_pass_init(&l->pass, &l->arena, l->pool, l->pass.k);
    for (int p = 0; p < t->players; p++) so_optim_swap(t->player[p]);
    so_status status = t->hooks.evaluate(t->hooks.context, &l->pass, t->step, &notes, error);
    for (int p = 0; p < t->players; p++) so_optim_swap(t->player[p]);
    so_arena_release(&l->arena, mark);
    SO_TRY(status);
    so_progress p = progress_of(l);
    p.evaluation = &notes;
    tell(l, &p);
    SO_TRY(so_log_write(l->log, &p, error));
    return so_events_write(l->events, &p, error);
}

/* What is still being written ends, for all ranks. */
static so_status end_keeping(loop *l, so_error *error)
{
    so_ranks *ranks = l->t->plan.ranks;
    SO_TRY(so_snapshot_wait(l->keeper, error));
    if (!alone(l)) SO_TRY(ranks->gather(ranks, NULL, NULL, 0, error));
    return so_snapshot_commit(l->keeper, error);
}

/* The checkpoint that stands gets its second name before the next takes the first. */
static void keep_older(const loop *l)
{
    const so_train_plan *plan = &l->t->plan;
    if (plan->keep <= 1) return;
    if (l->saved_step != l->t->step) so_keep_checkpoint(plan->folder, l->saved_step);
    so_keep_latest(plan->folder, plan->keep - 1);
}

/* Begins to write where the run stands, beside training. */
static so_status save_beside(loop *l, so_error *error)
{
    l->t->elapsed = elapsed(l);
    l->saved = agreed_time(l);
    if (!l->keeper) return SO_OK;
    SO_TRY(wait_for_weights(l, error));
    SO_TRY(end_keeping(l, error));
    keep_older(l);
    l->saved_step = l->t->step;
    return so_snapshot_begin(l->keeper, error);
}

/* Once all ranks have written. A failure is told by whoever has failed. */
static so_status look_after_keeping(loop *l, so_error *error)
{
    if (!l->keeper || l->kept == SO_SNAPSHOT_NOTHING || l->kept == SO_SNAPSHOT_WRITING) return SO_OK;
    if (l->kept == SO_SNAPSHOT_WRITTEN) return so_snapshot_commit(l->keeper, error);
    return so_snapshot_state(l->keeper) == SO_SNAPSHOT_FAILED ? so_snapshot_wait(l->keeper, error) : SO_OK;
}

/* Where the run stops or ends: nobody goes away before the checkpoint stands, in one file. */
static so_status save(loop *l, so_error *error)
{
    so_ranks *ranks = l->t->plan.ranks;
    l->t->elapsed = elapsed(l);
    l->saved = agreed_time(l);
    SO_TRY(wait_for_weights(l, error));
    if (!l->keeper) return SO_OK;
    SO_TRY(end_keeping(l, error));
    for (int p = 0; p < l->t->players; p++) SO_TRY(so_share_collect(l->share[p], error));
    if (rank_of(l) == 0) {
        keep_older(l);
        SO_TRY(so_trainer_save(l->t, l->checkpoint, error));
        so_snapshot_sweep(l->checkpoint, -1, INT64_MAX);
    }
    for (int p = 0; p < l->t->players; p++) SO_TRY(so_share_disperse(l->share[p], error));
    l->saved_step = l->t->step;
    return alone(l) ? SO_OK : ranks->gather(ranks, NULL, NULL, 0, error);
}

static bool due(int64_t every, int64_t step) { return every > 0 && step % every == 0; }

static so_status run_loop(loop *l, so_error *error)
{
    so_trainer *t = l->t;
    const so_train_plan *plan = &t->plan;
    int64_t report_every = plan->report_every > 0 ? plan->report_every : 10;
    int64_t evaluated = -1;
    while (t->step < plan->steps && (plan->seconds <= 0 || agreed_time(l) < plan->seconds)) {
        if (l->stop || (alone(l) && t->hooks.stop && *t->hooks.stop)) {
            SO_TRY(save(l, error));
            return so_fail(error, SO_ERR_STOPPED, "stopped as asked after step %lld of %lld", (long long)t->step,
                           (long long)plan->steps);
        }
        SO_TRY(run_step(l, error));
        SO_TRY(look_after_keeping(l, error));
        if (due(report_every, t->step)) SO_TRY(report(l, error));
        if (due(plan->evaluate_every, t->step)) {
            SO_TRY(evaluate(l, error));
            evaluated = t->step;
        }
        bool late = plan->save_seconds > 0 && agreed_time(l) - l->saved >= plan->save_seconds;
        /* An older checkpoint under another name is one file. */
        bool beside = !plan->save_now && (alone(l) || plan->keep <= 1);
        if (late || due(plan->save_every, t->step)) SO_TRY(beside ? save_beside(l, error) : save(l, error));
    }
    if (l->reported) SO_TRY(report(l, error));
    if (evaluated != t->step) SO_TRY(evaluate(l, error));
    return save(l, error);
}

static so_status check_trainer(const so_trainer *t, so_error *error)
{
    if (t->players < 1 || t->players > SO_MAX_PLAYERS || !t->hooks.micro || t->plan.steps < 0)
        return so_fail(error, SO_ERR_ARG, "a trainer with %d players and %lld steps", t->players,
                       (long long)t->plan.steps);
    if (accumulate_of(&t->plan) > 256)
        return so_fail(error, SO_ERR_ARG, "%d micro-batches a step, expected at most 256", accumulate_of(&t->plan));
    for (int p = 0; p < t->players; p++)
        if (!t->player[p] || t->player[p]->count == 0)
            return so_fail(error, SO_ERR_STATE, "player %d has no weights that learn", p);
    return SO_OK;
}

/* Who computes and updates what. */
static so_status share_out(loop *l, so_error *error)
{
    so_trainer *t = l->t;
    int slots = accumulate_of(&t->plan);
    for (int p = 0; p < t->players; p++) SO_TRY(so_share_open(&l->share[p], t->player[p], t->plan.ranks, slots, error));
    l->slot = calloc((size_t)slots, sizeof *l->slot);
    l->slots = calloc((size_t)slots, sizeof *l->slots);
    return l->slot && l->slots ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for %d slots", slots);
}

static so_status begin(loop *l, so_error *error)
{
    so_trainer *t = l->t;
    const char *folder = t->plan.folder;
    SO_TRY(share_out(l, error)); /* what this rank holds, before anything is read */
    if (folder) {
        char log[4096];
        struct stat st;
        SO_TRY(so_make_folder(folder, error));
        snprintf(l->checkpoint, sizeof l->checkpoint, "%s/checkpoint.so", folder);
        snprintf(log, sizeof log, "%s/log.jsonl", folder);
        SO_TRY(so_snapshot_open(&l->keeper, t, l->checkpoint, error));
        if (stat(l->checkpoint, &st) == 0)
            SO_TRY(so_trainer_load(t, l->checkpoint, error));
        else if (rank_of(l) == 0)
            so_keep_latest(folder, 0);                /* of an earlier run */
        if (rank_of(l) == 0) so_writer_sweep(folder); /* what was killed while it wrote */
        if (rank_of(l) == 0) so_snapshot_sweep(l->checkpoint, t->step, INT64_MAX);
        if (rank_of(l) == 0) SO_TRY(so_log_open(&l->log, log, t->step, error));
        if (rank_of(l) == 0 && t->plan.tensorboard) SO_TRY(so_events_open(&l->events, folder, t->step, error));
    }
    l->clock = t->elapsed;
    l->before = l->saved = t->elapsed;
    l->follow = (so_follow){.context = l, .first = before_pass};
    l->first_step = l->saved_step = t->step;
    l->started = l->report_clock = clock_seconds();
    return t->plan.arena_bytes ? so_arena_init(&l->arena, t->plan.arena_bytes, error)
                               : so_arena_reserve(&l->arena, (size_t)64 << 30, error);
}

so_status so_trainer_run(so_trainer *trainer, so_pool *pool, const so_kernels *kernels, so_error *error)
{
    SO_TRY(check_trainer(trainer, error));
    loop *l = calloc(1, sizeof *l);
    if (!l) return so_fail(error, SO_ERR_NOMEM, "no memory for a training loop");
    l->t = trainer;
    l->pool = pool;
    l->pass.k = kernels;
    for (int p = 0; p < trainer->players; p++) trainer->player[p]->k = kernels;
    so_status status = begin(l, error);
    so_ranks_patience(trainer->plan.ranks, trainer->plan.patience);
    if (status == SO_OK) status = run_loop(l, error);
    so_ranks_patience(trainer->plan.ranks, 0);
    for (int p = 0; p < trainer->players; p++) so_optim_turn(trainer->player[p], true);
    for (int p = 0; p < trainer->players; p++) so_share_close(&l->share[p]);
    so_snapshot_close(&l->keeper);
    so_follow_clear(&l->follow);
    free(l->slot);
    free(l->slots);
    if (l->log) fclose(l->log);
    so_events_close(&l->events);
    so_arena_clear(&l->arena);
    free(l);
    return status;
}
