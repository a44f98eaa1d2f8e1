/* Where a run stands, written and read back.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "train/courier.h"
#include "train/settings.h"
#include "train/snapshot.h"

static int accumulate_of(const so_train_plan *plan) { return plan->accumulate > 0 ? plan->accumulate : 1; }

so_standing so_standing_of(const so_trainer *t)
{
    so_standing now = {.step = t->step,
                       .skipped = t->skipped,
                       .seed = t->plan.seed,
                       .accumulate = accumulate_of(&t->plan),
                       .players = t->players,
                       .elapsed = t->elapsed};
    for (int p = 0; p < t->players; p++) now.updates[p] = t->player[p]->updates;
    return now;
}

/* One array of a learning weight, in a file under its name: of the pieces first .. end - 1. */
typedef struct array {
    const so_optim *optim;
    int64_t first, end;
    int kind;
    size_t bytes;
    char name[1100];
} array;

typedef so_status (*array_fn)(void *file, const array *a, so_error *error);
static so_status each_array(const so_trainer *t, array_fn visit, void *file, so_error *error)
{
    for (int p = 0; p < t->players; p++) {
        const so_optim *o = t->player[p];
        for (int64_t first = 0, end; first < o->pieces && o->piece[first].param < o->count; first = end) {
            const so_param *q = &o->param[o->piece[first].param];
            for (end = first + 1; end < o->pieces && o->piece[end].param == o->piece[first].param;) end++;
            for (int k = 0; k < so_part_kinds(o); k++) {
                array a = {o, first, end, k, (size_t)q->count * sizeof(so_real), ""};
                snprintf(a.name, sizeof a.name, "%d.%s.%s", p, so_part_kind[k], q->weight->tensor.name);
                SO_TRY(visit(file, &a, error));
            }
        }
    }
    return SO_OK;
}

/* Whoever writes holds all pieces: the first one's numbers go on with those of the others. */
static so_status save_array(void *file, const array *a, so_error *error)
{
    const so_real *data = so_part_array(a->optim, a->first, a->kind);
    if (!data || (a->kind && !so_part_array(a->optim, a->end - 1, a->kind)))
        return so_fail(error, SO_ERR_STATE, "moments of '%s' are another rank's", a->name);
    return so_saver_put(file, a->name, data, a->bytes, error);
}

/* A rank reads what it holds. */
static so_status load_array(void *file, const array *a, so_error *error)
{
    const so_block *block = so_loader_find(file, a->name);
    if (!block) return so_fail(error, SO_ERR_MISSING, "the checkpoint has no '%s'", a->name);
    if (block->bytes != a->bytes)
        return so_fail(error, SO_ERR_FORMAT, "the checkpoint's '%s' has %zu bytes, expected %zu", a->name, block->bytes,
                       a->bytes);
    for (int64_t i = a->first; i < a->end; i++) {
        const so_piece *p = &a->optim->piece[i];
        so_real *to = so_part_array(a->optim, i, a->kind);
        const char *from = (const char *)block->data + (size_t)p->from * sizeof *to;
        if (to) memcpy(to, from, (size_t)p->count * sizeof *to);
    }
    return SO_OK;
}

static so_status count_array(void *count, const array *a, so_error *error)
{
    (void)a, (void)error;
    ++*(int64_t *)count;
    return SO_OK;
}

so_status so_trainer_save(const so_trainer *t, const char *path, so_error *error)
{
    so_saver saver;
    char *settings;
    SO_TRY(so_settings_of(&t->plan, &settings, error));
    so_standing now = so_standing_of(t);
    so_status status = so_saver_open(&saver, path, error);
    if (status == SO_OK) status = so_saver_put(&saver, "standing", &now, sizeof now, error);
    if (status == SO_OK) status = so_saver_put(&saver, "settings", settings, strlen(settings), error);
    for (int i = 0; i < t->extras && status == SO_OK; i++) {
        char name[256];
        snprintf(name, sizeof name, "extra.%s", t->extra[i].name);
        status = so_saver_put(&saver, name, t->extra[i].data, t->extra[i].bytes, error);
    }
    if (status == SO_OK) status = each_array(t, save_array, &saver, error);
    if (status == SO_OK) status = so_saver_commit(&saver, error);
    so_saver_drop(&saver);
    free(settings);
    return status;
}

/* A checkpoint of an earlier version has no settings; its seed stands in "standing". */
static so_status check_settings(const so_trainer *t, const so_loader *loader, bool *any, so_error *error)
{
    char *now;
    const so_block *had = so_loader_find(loader, "settings");
    *any = had != NULL;
    if (!had) return SO_OK;
    SO_TRY(so_settings_of(&t->plan, &now, error));
    so_status status = so_settings_same(had->data, had->bytes, now, error);
    free(now);
    return status;
}

static so_status check_standing(const so_trainer *t, const so_standing *s, so_error *error)
{
    if (s->players != t->players || s->accumulate != accumulate_of(&t->plan) || s->seed != t->plan.seed)
        return so_fail(
            error, SO_ERR_FORMAT,
            "the checkpoint belongs to another run: seed %llu, %lld micro-batches a step, %lld players; expected "
            "%llu, %d, %d",
            (unsigned long long)s->seed, (long long)s->accumulate, (long long)s->players,
            (unsigned long long)t->plan.seed, accumulate_of(&t->plan), t->players);
    if (s->step < 0 || s->skipped < 0 || !isfinite(s->elapsed))
        return so_fail(error, SO_ERR_FORMAT, "the checkpoint stands at step %lld", (long long)s->step);
    return SO_OK;
}

/* ---- parts of ranks */

/* What rank r of n updated of one player's arrays of one kind. */
static so_status take_pieces(const so_loader *loader, const so_optim *o, const uint8_t *owner, int player, int kind,
                             so_error *error)
{
    char name[40];
    size_t at = 0;
    const so_block *head = so_loader_find(loader, "part"), *block;
    so_part_head part;
    memcpy(&part, head->data, sizeof part);
    snprintf(name, sizeof name, "%d.%s", player, so_part_kind[kind]);
    block = so_loader_find(loader, name);
    if (!block) return so_fail(error, SO_ERR_MISSING, "it has no '%s'", name);
    for (int64_t i = 0; i < o->pieces; i++) {
        const so_piece *p = &o->piece[i];
        size_t n = (size_t)p->count * sizeof(so_real);
        if (owner[i] != part.rank) continue;
        if (block->bytes - at < n) return so_fail(error, SO_ERR_FORMAT, "its '%s' is too short", name);
        so_real *to = so_part_array(o, i, kind);
        if (to) memcpy(to, (const char *)block->data + at, n);
        at += n;
    }
    return at == block->bytes
               ? SO_OK
               : so_fail(error, SO_ERR_FORMAT, "its '%s' has %zu bytes, expected %zu", name, block->bytes, at);
}

static so_status load_part(const so_trainer *t, const so_loader *loader, so_part_head expected, so_error *error)
{
    so_part_head found;
    SO_TRY(so_loader_take(loader, "part", &found, sizeof found, error));
    if (memcmp(&found, &expected, sizeof found) != 0)
        return so_fail(error, SO_ERR_FORMAT, "it is part %lld of %lld of step %lld, expected %lld of %lld of step %lld",
                       (long long)found.rank, (long long)found.ranks, (long long)found.step, (long long)expected.rank,
                       (long long)expected.ranks, (long long)expected.step);
    for (int p = 0; p < t->players; p++) {
        const so_optim *o = t->player[p];
        uint8_t *owner = malloc((size_t)o->pieces + 1);
        if (!owner) return so_fail(error, SO_ERR_NOMEM, "no memory for a checkpoint's pieces");
        so_courier_deal(o, (int)found.ranks, owner);
        so_status status = SO_OK;
        for (int k = 0; k < so_part_kinds(o) && status == SO_OK; k++)
            status = take_pieces(loader, o, owner, p, k, error);
        free(owner);
        SO_TRY(status);
    }
    return SO_OK;
}

static so_status load_parts(const so_trainer *t, const char *path, const so_block *parts, int64_t step, so_error *error)
{
    int64_t ranks = 0;
    if (parts->bytes == sizeof ranks) memcpy(&ranks, parts->data, sizeof ranks);
    if (ranks < 2 || ranks > SO_RANKS_MOST)
        return so_fail(error, SO_ERR_FORMAT, "the checkpoint is of %lld parts", (long long)ranks);
    for (int64_t r = 0; r < ranks; r++) {
        so_loader loader;
        char *name;
        SO_TRY(so_part_path(path, step, r, ranks, &name, error));
        so_status status = so_loader_open(&loader, name, error);
        if (status == SO_OK) {
            so_part_head head = {step, r, ranks, t->player[0]->pieces, t->plan.seed};
            status = load_part(t, &loader, head, error);
            so_loader_close(&loader);
        }
        if (status != SO_OK) status = so_fail_in(error, "%s", name);
        free(name);
        SO_TRY(status);
    }
    return SO_OK;
}

static so_status load_from(so_trainer *t, const char *path, so_loader *loader, so_error *error)
{
    so_standing s;
    int64_t arrays = 0;
    bool any;
    SO_TRY(check_settings(t, loader, &any, error));
    SO_TRY(so_loader_take(loader, "standing", &s, sizeof s, error));
    SO_TRY(check_standing(t, &s, error));
    const so_block *parts = so_loader_find(loader, "parts");
    if (!parts) SO_TRY(each_array(t, count_array, &arrays, error));
    arrays += parts != NULL;
    if (loader->count != arrays + t->extras + 1 + any)
        return so_fail(error, SO_ERR_FORMAT,
                       "the checkpoint has %lld blocks, expected %lld: other weights learned then",
                       (long long)loader->count, (long long)(arrays + t->extras + 1 + any));
    for (int i = 0; i < t->extras; i++) {
        char name[256];
        snprintf(name, sizeof name, "extra.%s", t->extra[i].name);
        SO_TRY(so_loader_take(loader, name, t->extra[i].data, t->extra[i].bytes, error));
    }
    SO_TRY(parts ? load_parts(t, path, parts, s.step, error) : each_array(t, load_array, loader, error));
    for (int p = 0; p < t->players; p++) t->player[p]->updates = s.updates[p];
    t->step = s.step;
    t->skipped = s.skipped;
    t->elapsed = s.elapsed;
    return SO_OK;
}

so_status so_trainer_load(so_trainer *t, const char *path, so_error *error)
{
    so_loader loader;
    SO_TRY(so_loader_open(&loader, path, error));
    so_status status = load_from(t, path, &loader, error);
    so_loader_close(&loader);
    return status == SO_OK ? SO_OK : so_fail_in(error, "%s", path);
}
