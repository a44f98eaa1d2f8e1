/* The flow of the tabletop recipe: speech units to mel in the model's one voice.
 *
 * Learned on the answers, whole, in batches of like length. Besides the flow matching loss the encoder's own guess of
 * the mel is pulled towards it, which the published recipe does not do.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "recipes/tabletop/part_stages.h"
#include "recipes/tabletop/part_units.h"
#include "recipes/tabletop/part_vocal.h"
#include "train/loss_flow.h"

enum {
    MELS = 80,
    SPEAKER = 192,
    ROWS = 1600,
    MOST = 48, /* frames and recordings of a step, with padding */
    EVALUATED = 12,
    SAMPLES = 4,
};

so_flow_config so_tt_flow_config(void)
{
    so_flow_config c = so_flow_published();
    c.units = SO_TT_UNITS;
    c.width = 192;
    c.heads = 4;
    c.ff = 768;
    c.layers = 3;
    c.channels = 96;
    c.est_heads = 3;
    c.head_width = 32;
    c.est_blocks = 1;
    c.mid = 4;
    c.guidance = 2;
    c.temperature = 0.5;
    return c;
}

void so_tt_voice(so_real *vector)
{
    so_rng rng;
    so_rng_init(&rng, 1, 9);
    for (int i = 0; i < SPEAKER; i++) vector[i] = (so_real)so_rng_normal(&rng);
}

so_status so_tt_flow_open(const so_tt *tt, so_store *store, so_flow *net, so_error *error)
{
    so_flow_config config = so_tt_flow_config();
    so_rng rng;
    so_rng_init(&rng, tt->seed, 7);
    so_binder binder = {.store = store, .rng = &rng};
    SO_TRY(so_store_open(store, 0, error));
    return so_flow_bind(net, &config, "", &binder, error);
}

typedef struct context {
    const so_tt *tt;
    so_flow net;
    so_tt_units_file units;
    int32_t *order; /* answers that are learned from, by duration */
    int64_t count;
    so_hift vocoder;
    bool sounding; /* the vocoder is there */
} context;

/* ---- learning */

static int64_t frames_of(const context *c, int64_t item)
{
    int64_t real = c->tt->corpus.item[item].a_count / 256,
            most = so_flow_frames(&c->net.config, c->units.item[item].a_count);
    return real < most ? real : most;
}

static const so_tt_corpus *sorting;
static int by_duration(const void *a, const void *b)
{
    int32_t i = *(const int32_t *)a, j = *(const int32_t *)b;
    int64_t x = sorting->item[i].a_count, y = sorting->item[j].a_count;
    return x < y ? -1 : x > y ? 1 : i - j;
}

static so_status real_mel(const so_tt *tt, int64_t item, int64_t frames, so_real *mel, so_error *error)
{
    float *pcm;
    SO_TRY(so_tt_answer(tt, item, &pcm, error));
    so_status status = so_mel_compute(tt->vocoder, pcm, frames * 256, mel, NULL, error);
    free(pcm);
    return status;
}

/* The layers that end in mels begin at the mean mel, which a step of the rate would take long to reach. */
static so_status begin_at_mean(context *c, so_error *error)
{
    enum { LOOKED = 40 };
    double sum[MELS] = {0}, rows = 0;
    for (int64_t i = 0; i < LOOKED; i++) {
        int64_t item = c->order[i * c->count / LOOKED], T = frames_of(c, item);
        so_real *mel = malloc((size_t)(T * MELS) * sizeof *mel);
        if (!mel) return so_fail(error, SO_ERR_NOMEM, "no memory for a mel");
        so_status status = real_mel(c->tt, item, T, mel, error);
        for (int64_t k = 0; k < T * MELS && status == SO_OK; k++) sum[k % MELS] += (double)mel[k];
        rows += (double)T;
        free(mel);
        SO_TRY(status);
    }
    for (int m = 0; m < MELS; m++)
        so_data(c->net.regulator_b)[m] = so_data(c->net.final_b)[m] = (so_real)(sum[m] / rows);
    return SO_OK;
}

/* Answers of like length, about ROWS frames with their padding. */
static int64_t draw(const context *c, so_rng *rng, int64_t *item)
{
    int64_t at = so_rng_below(rng, c->count), span = MOST * 2, n = 0;
    int64_t from = at - span / 2 < 0 ? 0 : at + span / 2 > c->count ? c->count - span : at - span / 2;
    int64_t T = frames_of(c, c->order[from + span - 1 < c->count ? from + span - 1 : c->count - 1]);
    int64_t take = ROWS / (T + 1) < 1 ? 1 : ROWS / (T + 1) > MOST ? MOST : ROWS / (T + 1);
    while (n < take) item[n++] = c->order[from + so_rng_below(rng, span)];
    return n;
}

typedef struct sheet {
    so_flow_lesson l;
    int32_t *ids;
    int64_t units[MOST], frames[MOST], shown[MOST];
    so_real *mel, *vector, *z, t[MOST], keep[MOST];
} sheet;

static sheet *write_sheet(const context *c, so_pass *pass, so_rng *rng, int64_t B, const int64_t *item)
{
    sheet *s = so_take(pass, sizeof *s, true);
    int64_t N = 1, T;
    for (int64_t b = 0; b < B; b++) N = c->units.item[item[b]].a_count > N ? c->units.item[item[b]].a_count : N;
    T = so_flow_frames(&c->net.config, N);
    int32_t *ids = so_take(pass, (size_t)(B * N) * sizeof *ids, true);
    so_real *mel = so_take(pass, (size_t)(B * T * MELS) * sizeof *mel, true);
    so_real *z = so_take(pass, (size_t)(B * T * MELS) * sizeof *z, false);
    so_real *vector = so_take(pass, (size_t)(B * SPEAKER) * sizeof *vector, false);
    if (!s || !ids || !mel || !z || !vector) return NULL;
    for (int64_t b = 0; b < B && so_ok(pass); b++) {
        const so_tt_spoken *spoken = &c->units.item[item[b]];
        s->units[b] = spoken->a_count;
        s->frames[b] = frames_of(c, item[b]);
        for (int64_t i = 0; i < spoken->a_count; i++) ids[b * N + i] = c->units.unit[spoken->a_at + i];
        real_mel(c->tt, item[b], s->frames[b], mel + b * T * MELS, &pass->error);
        bool shows = so_rng_uniform(rng) < 0.5;
        int64_t most = (int64_t)(0.3 * (double)s->frames[b]);
        s->shown[b] = shows && most > 0 ? so_rng_below(rng, most) : 0;
        s->t[b] = (so_real)(1 - cos(1.5707963267948966 * so_rng_uniform(rng)));
        s->keep[b] = (double)so_rng_uniform(rng) < 0.2 ? 0.0f : 1.0f;
        so_tt_voice(vector + b * SPEAKER);
    }
    for (int64_t i = 0; i < B * T * MELS; i++) z[i] = (so_real)so_rng_normal(rng);
    s->l = (so_flow_lesson){.B = B,
                            .N = N,
                            .T = T,
                            .ids = ids,
                            .units = s->units,
                            .frames = s->frames,
                            .mel = mel,
                            .vector = vector,
                            .shown = s->shown,
                            .z = z,
                            .t = s->t,
                            .keep = s->keep};
    return s;
}

/* Mean |mu - mel| over frames that exist. */
static so_tensor *guess_loss(so_pass *pass, const so_flow_lesson *l, so_tensor *mu)
{
    so_real *weight = so_take(pass, (size_t)(l->B * l->T) * sizeof *weight, false);
    so_tensor *mel = so_constant(pass, 3, (int64_t[]){l->B, l->T, MELS}, l->mel);
    for (int64_t i = 0; weight && i < l->B * l->T; i++) weight[i] = i % l->T < l->frames[i / l->T];
    return weight ? so_l1(pass, mu, mel, weight) : NULL;
}

static so_tensor *micro(void *p, so_pass *pass, so_micro *m)
{
    context *c = p;
    int64_t item[MOST], B = draw(c, &m->rng, item);
    pass->k = so_tt_bf16_kernels(c->tt);
    sheet *s = write_sheet(c, pass, &m->rng, B, item);
    if (!s) return NULL;
    for (int64_t b = 0; b < B; b++) m->tokens += s->frames[b];
    so_tensor *mu, *loss[2];
    loss[0] = so_flow_loss(pass, &c->net, &s->l, &mu);
    loss[1] = guess_loss(pass, &s->l, mu);
    if (!so_ok(pass)) return NULL;
    so_notes_add(m->notes, "flow", so_data(loss[0])[0], (double)m->tokens);
    so_notes_add(m->notes, "guess", so_data(loss[1])[0], (double)m->tokens);
    return so_weighted_sum(pass, 2, loss, (so_real[]){so_tt_weight("flow", "flow"), so_tt_weight("flow", "guess")});
}

/* ---- judging */

static double distance(const so_real *a, const so_real *b)
{
    double sum = 0;
    for (int i = 0; i < MELS; i++) sum += fabs((double)a[i] - (double)b[i]);
    return sum / MELS;
}

/* Mean distance along the best path from the first frames to the last ones. */
static double warped(const so_real *a, int64_t n, const so_real *b, int64_t m)
{
    double *cost = malloc((size_t)(2 * (m + 1)) * sizeof *cost), *row = cost, *before = cost + m + 1, result;
    if (!cost) return NAN;
    for (int64_t j = 0; j <= m; j++) before[j] = j ? (double)INFINITY : 0;
    for (int64_t i = 0; i < n; i++) {
        row[0] = INFINITY;
        for (int64_t j = 0; j < m; j++) {
            double least = before[j] < before[j + 1] ? before[j] : before[j + 1];
            row[j + 1] = distance(a + i * MELS, b + j * MELS) + (row[j] < least ? row[j] : least);
        }
        double *swap = row;
        row = before;
        before = swap;
    }
    result = before[m] / (double)(n > m ? n : m);
    free(cost);
    return result;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static so_tensor *speak(const context *c, so_pass *pass, int64_t item, so_tensor **mu)
{
    so_rng rng;
    so_rng_init(&rng, (uint64_t)item, 8);
    const so_tt_spoken *spoken = &c->units.item[item];
    int64_t N = spoken->a_count, T = so_flow_frames(&c->net.config, N);
    int32_t *ids = so_take(pass, (size_t)N * sizeof *ids, false);
    so_real *z = so_take(pass, (size_t)(T * MELS) * sizeof *z, false), voice[SPEAKER];
    if (!ids || !z) return NULL;
    for (int64_t i = 0; i < N; i++) ids[i] = c->units.unit[spoken->a_at + i];
    for (int64_t i = 0; i < T * MELS; i++) z[i] = (so_real)(c->net.config.temperature * so_rng_normal(&rng));
    so_tt_voice(voice);
    so_flow_request r = {.N = N, .frames = T, .ids = ids, .vector = voice, .z = z};
    return so_flow_mel(pass, &c->net, &r, mu);
}

static so_status evaluate_one(const context *c, so_pass *pass, int64_t item, bool keep, so_notes *notes,
                              so_error *error)
{
    size_t mark = so_arena_mark(pass->arena);
    int64_t T = frames_of(c, item);
    so_tensor *real = so_new2(pass, T, MELS), *mu;
    double begin = now();
    so_tensor *mel = speak(c, pass, item, &mu);
    double spent = now() - begin;
    so_status status = mel ? real_mel(c->tt, item, T, so_data(real), error) : pass->error.status;
    if (!mel) *error = pass->error;
    if (status == SO_OK) {
        double sum = 0, guess = 0;
        for (int64_t t = 0; t < T; t++) {
            sum += distance(so_data(mel) + t * MELS, so_data(real) + t * MELS);
            guess += distance(so_data(mu) + t * MELS, so_data(real) + t * MELS);
        }
        so_notes_add(notes, "mel L1", sum / (double)T, (double)T);
        so_notes_add(notes, "guess L1", guess / (double)T, (double)T);
        so_notes_add(notes, "warped L1", warped(so_data(mel), so_rows(mel), so_data(real), T), (double)T);
        so_notes_add(notes, "s of work a s", spent * 22050 / 256 / (double)T, (double)T);
    }
    if (status == SO_OK && keep && c->sounding) {
        so_tensor *wave = so_tt_sing(pass, &c->vocoder, mel, (uint64_t)item);
        status = wave ? so_tt_sample(c->tt, "spoken", item, so_data(wave), so_count(wave), error) : pass->error.status;
        if (!wave) *error = pass->error;
    }
    so_arena_release(pass->arena, mark);
    return status;
}

static so_status evaluate(void *p, so_pass *pass, int64_t step, so_notes *notes, so_error *error)
{
    (void)step;
    const context *c = p;
    pass->k = c->tt->kernels;
    int64_t first = c->tt->corpus.count - SO_TT_HELD_OUT;
    for (int64_t i = 0; i < EVALUATED; i++)
        SO_TRY(evaluate_one(c, pass, first + i * (SO_TT_HELD_OUT / EVALUATED), i < SAMPLES, notes, error));
    return SO_OK;
}

/* ---- the part */

static so_status check_units(const context *c, so_error *error)
{
    int64_t all = (int64_t)(c->units.unit_map.size / sizeof *c->units.unit);
    SO_TRY(so_tt_check_answers(c->tt, 1, error));
    if (c->units.count != c->tt->corpus.count)
        return so_fail(error, SO_ERR_FORMAT, "units of %lld items, expected %lld", (long long)c->units.count,
                       (long long)c->tt->corpus.count);
    for (int64_t i = 0; i < c->units.count; i++) {
        const so_tt_spoken *s = &c->units.item[i];
        if (i >= c->count && i < c->units.count - SO_TT_HELD_OUT) continue;
        if (s->a_at < 0 || s->a_count < 1 || (int64_t)s->a_at + s->a_count > all || frames_of(c, i) < 2)
            return so_fail(error, SO_ERR_FORMAT, "answer %lld has %d units from %d on, of %lld", (long long)i,
                           s->a_count, s->a_at, (long long)all);
    }
    return SO_OK;
}

static so_status order_answers(context *c, so_error *error)
{
    SO_TRY(so_tt_units_open(&c->units, c->tt, error));
    c->count = so_tt_answered(c->tt);
    SO_TRY(check_units(c, error));
    if (c->count < 4 * MOST)
        return so_fail(error, SO_ERR_STATE, "%lld answers: the flow needs more", (long long)c->count);
    c->order = malloc((size_t)c->count * sizeof *c->order);
    if (!c->order) return so_fail(error, SO_ERR_NOMEM, "no memory for an order");
    for (int64_t i = 0; i < c->count; i++) c->order[i] = (int32_t)i;
    sorting = &c->tt->corpus;
    qsort(c->order, (size_t)c->count, sizeof *c->order, by_duration);
    return SO_OK;
}

static so_status learn(context *c, so_tt *tt, so_store *store, so_error *error)
{
    SO_TRY(begin_at_mean(c, error));
    so_tt_job job = {.part = "flow", .store = store, .hooks = {.context = c, .micro = micro, .evaluate = evaluate}};
    return so_tt_learn(tt, &job, error);
}

so_status so_tt_flow(so_tt *tt, so_error *error)
{
    if (so_tt_done(tt, "flow")) return SO_OK;
    context c = {.tt = tt};
    so_store store, vocoder = {0};
    SO_TRY(so_tt_flow_open(tt, &store, &c.net, error));
    SO_TRY(order_answers(&c, error));
    if (so_tt_done(tt, "vocoder")) {
        SO_TRY(so_tt_vocoder_open(tt, &vocoder, &c.vocoder, error));
        SO_TRY(so_tt_overlay(tt, &vocoder, "vocoder", error));
        c.sounding = true;
    }
    so_status status = learn(&c, tt, &store, error);
    if (c.sounding) so_store_close(&vocoder);
    so_store_close(&store);
    so_tt_units_close(&c.units);
    free(c.order);
    return status;
}
