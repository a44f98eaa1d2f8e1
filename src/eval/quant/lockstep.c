/* Two models on one path: leading, watching, comparing.
 * SPDX-License-Identifier: Apache-2.0 */
#include "eval/quant/lockstep.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/golden/golden.h"

typedef struct watcher {
    so_watch watch;
    so_heap rows[SO_DRIFTS];
    so_status status;
    so_error error;
} watcher;

struct so_lockstep {
    so_session *first, *other;
    watcher seen[2];
    so_drift drift[SO_DRIFTS];
};

static void see(void *context, const char *what, const so_tensor *t)
{
    static const struct {
        const char *what;
        int drift;
    } wanted[] = {
        {"ctc", SO_DRIFT_CTC},
        {"text_logits", SO_DRIFT_TEXT},
        {"unit_logits", SO_DRIFT_UNIT},
    };
    watcher *w = context;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        if (strcmp(what, wanted[i].what) == 0 && w->status == SO_OK)
            w->status = so_heap_add(&w->rows[wanted[i].drift], so_rows(t), so_cols(t), so_data(t), &w->error);
}

static void watch_session(so_session *session, watcher *w)
{
    w->watch = (so_watch){.tensor = see, .context = w};
    so_talk_watch(session->talk, &w->watch);
}

static so_status open_both(so_lockstep *l, so_model *first, so_model *other, const so_session_options *options,
                           const so_session_options *other_options, so_error *error)
{
    const so_omni_config *a = &first->setup.omni, *b = &other->setup.omni;
    if (a->text_rows != b->text_rows || a->audio_rows != b->audio_rows || a->speech != b->speech)
        return so_fail(error, SO_ERR_SHAPE, "models of %lld and %lld text rows, %lld and %lld audio rows",
                       (long long)a->text_rows, (long long)b->text_rows, (long long)a->audio_rows,
                       (long long)b->audio_rows);
    SO_TRY(so_session_open(&l->first, first, options, error));
    SO_TRY(so_session_open(&l->other, other, other_options, error));
    watch_session(l->first, &l->seen[0]);
    watch_session(l->other, &l->seen[1]);
    return SO_OK;
}

so_status so_lockstep_open(so_lockstep **out, so_model *first, so_model *other, const so_session_options *options,
                           const so_session_options *other_options, so_error *error)
{
    *out = NULL;
    so_lockstep *l = calloc(1, sizeof *l);
    if (!l) return so_fail(error, SO_ERR_NOMEM, "no memory for two conversations");
    so_status status = open_both(l, first, other, options, other_options, error);
    if (status == SO_OK)
        *out = l;
    else
        so_lockstep_close(&l);
    return status;
}

void so_lockstep_close(so_lockstep **lockstep)
{
    if (!lockstep || !*lockstep) return;
    so_lockstep *l = *lockstep;
    so_session_close(&l->first);
    so_session_close(&l->other);
    for (int i = 0; i < 2; i++)
        for (int d = 0; d < SO_DRIFTS; d++) free(l->seen[i].rows[d].data);
    free(l);
    *lockstep = NULL;
}

const so_drift *so_lockstep_drift(const so_lockstep *lockstep) { return lockstep->drift; }

so_status so_turn_give(so_session *session, const so_turn *turn, so_error *error)
{
    SO_TRY(so_session_clear(session, error));
    if (turn->rgb) SO_TRY(so_feed_image(session, turn->rgb, turn->width, turn->height, error));
    if (turn->text) SO_TRY(so_feed_text(session, turn->text, error));
    if (turn->n_units) SO_TRY(so_feed_units(session, turn->units, (size_t)turn->n_units, error));
    return so_reply(session, turn->voice ? SO_WANT_TEXT | SO_WANT_UNITS : SO_WANT_TEXT, error);
}

/* log sum e^x */
static double log_sum(const so_real *x, int64_t n, so_real most)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += exp((double)x[i] - (double)most);
    return (double)most + log(sum);
}

static so_status compare_row(so_drift *d, const so_real *p, const so_real *q, int64_t n, so_error *error)
{
    int32_t best = so_argmax(p, n), other = so_argmax(q, n);
    double zp = log_sum(p, n, p[best]), zq = log_sum(q, n, q[other]), kl = 0;
    for (int64_t i = 0; i < n; i++) {
        double lp = (double)p[i] - zp, lq = (double)q[i] - zq;
        kl += exp(lp) * (lp - lq);
    }
    if (!isfinite(kl)) return so_fail(error, SO_ERR_NUMBER, "logits are not finite");
    bool firm = exp((double)p[best] - zp) > 0.5;
    d->rows++;
    d->agree += best == other;
    d->firm += firm;
    d->firm_agree += firm && best == other;
    d->kl += kl > 0 ? kl : 0;
    if (kl > d->kl_most) d->kl_most = kl;
    return SO_OK;
}

static so_status compare(so_lockstep *l, so_error *error)
{
    for (int i = 0; i < 2; i++)
        if (l->seen[i].status != SO_OK) return so_fail(error, l->seen[i].status, "%s", l->seen[i].error.text);
    for (int d = 0; d < SO_DRIFTS; d++) {
        const so_heap *a = &l->seen[0].rows[d], *b = &l->seen[1].rows[d];
        if (a->rows != b->rows || a->cols != b->cols)
            return so_fail(error, SO_ERR_STATE, "%lld rows of logits of one model, %lld of the other",
                           (long long)a->rows, (long long)b->rows);
        for (int64_t r = 0; r < a->rows; r++)
            SO_TRY(compare_row(&l->drift[d], so_heap_at(a, r), so_heap_at(b, r), a->cols, error));
    }
    return SO_OK;
}

static so_status answer(so_lockstep *l, so_error *error)
{
    so_made made;
    for (;;) {
        SO_TRY(so_talk_step(l->first->talk, &made, error));
        /* The end, too: the first may have heard a last unit of its own. */
        SO_TRY(so_talk_take(l->other->talk, &made, error));
        if (made.kind == SO_STEP_END) break;
    }
    return SO_OK;
}

so_status so_lockstep_ask(so_lockstep *l, const so_turn *turn, so_error *error)
{
    for (int i = 0; i < 2; i++)
        for (int d = 0; d < SO_DRIFTS; d++) l->seen[i].rows[d].rows = 0;
    SO_TRY(so_turn_give(l->first, turn, error));
    SO_TRY(so_turn_give(l->other, turn, error));
    so_talk *talk[2] = {l->first->talk, l->other->talk};
    const int64_t text = talk[0]->options.max_text, units = talk[0]->options.max_units;
    for (int i = 0; i < 2 && turn->most > 0; i++) {
        int64_t *limit = turn->voice ? &talk[i]->options.max_units : &talk[i]->options.max_text;
        if (turn->most < *limit) *limit = turn->most;
    }
    so_status status = answer(l, error);
    for (int i = 0; i < 2; i++) talk[i]->options.max_text = text, talk[i]->options.max_units = units;
    return status == SO_OK ? compare(l, error) : status;
}
