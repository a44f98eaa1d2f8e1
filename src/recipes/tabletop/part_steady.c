/* Ears that are steady: they go on learning to give, in noise, rooms, bad microphones and other throats, the units that
 * they gave before where nothing disturbs.
 *
 *     speech ─┬─ as it was said ──────────────────── the ears as they were ─ unit
 *             └─ from elsewhere, frame for frame ─── the ears that learn ─── cross entropy over the codes' nearness
 *
 * The codes stay, and so does what every unit stands for: layers that learned from the earlier ears need not learn
 * anew.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "models/speech_tokenizer.h"
#include "recipes/tabletop/part_stages.h"
#include "recipes/tabletop/part_units.h"

enum { FRAMES = 6000, MOST = 64, TRIED = 21 };

/* Rows and codes have unit length: products of the two are within 1, too flat for a distribution. */
static const double SHARPNESS = 15;

typedef struct context {
    const so_tt *tt;
    so_speech_tokenizer net, before;
} context;

/* One batch twice, padded to the longest. */
typedef struct twice {
    int64_t n, frames[MOST];
    so_tensor *mel[2];
} twice;

static twice *gather(const context *c, so_pass *pass, int64_t n, const int32_t *utterance, so_rng *rng)
{
    twice *t = so_take(pass, sizeof *t, true);
    float *mel[2][MOST] = {{0}};
    if (!t) return NULL;
    t->n = n;
    for (int64_t i = 0; i < n && so_ok(pass); i++) {
        float *pcm, *both[2];
        int64_t count;
        if (so_tt_speech(c->tt, &c->tt->corpus.item[utterance[i] / 2], utterance[i] % 2, &pcm, &count, &pass->error) !=
            SO_OK)
            break;
        so_tt_hear_twice(c->tt, pcm, count, rng, both, &t->frames[i], &pass->error);
        free(pcm);
        for (int k = 0; k < 2; k++) mel[k][i] = both[k];
    }
    for (int k = 0; k < 2 && so_ok(pass); k++) t->mel[k] = so_tt_pad(pass, n, mel[k], t->frames);
    for (int64_t i = 0; i < n; i++)
        for (int k = 0; k < 2; k++) free(mel[k][i]);
    return so_ok(pass) ? t : NULL;
}

/* The units that the ears gave before learning, nothing recorded. */
static int32_t *units_before(context *c, so_pass *pass, const twice *t)
{
    so_batch *batch;
    bool recording = pass->recording;
    pass->recording = false;
    so_tensor *x = so_speech_tokenizer_encode(pass, &c->before, t->mel[1], t->frames, &batch, NULL);
    int32_t *ids = so_take(pass, (size_t)(x ? so_rows(x) : 1) * sizeof *ids, false);
    if (ids) so_speech_tokenizer_quantise(pass, &c->before, x, ids, NULL);
    pass->recording = recording;
    return so_ok(pass) ? ids : NULL;
}

static so_tensor *listen(context *c, so_pass *pass, int64_t n, const int32_t *utterance, so_rng *rng, bool tell,
                         so_notes *notes, int64_t *rows)
{
    so_batch *batch;
    twice *t = gather(c, pass, n, utterance, rng);
    int32_t *wanted = t ? units_before(c, pass, t) : NULL;
    if (!wanted) return NULL;
    so_tensor *x = so_speech_tokenizer_encode(pass, &c->net, t->mel[0], t->frames, &batch, NULL);
    so_tensor *near = so_linear(pass, so_l2_norm(pass, x, 1e-12), c->net.codes, NULL);
    so_tensor *loss = so_cross_entropy(pass, so_scale(pass, near, (so_real)SHARPNESS), wanted);
    if (!so_ok(pass)) return NULL;
    *rows = so_rows(x);
    so_notes_add(notes, "units", so_data(loss)[0], 1);
    if (!tell) return loss;
    int64_t codes = so_cols(near), right = 0;
    for (int64_t r = 0; r < *rows; r++) {
        const so_real *row = so_data(near) + r * codes;
        int64_t best = 0;
        for (int64_t k = 1; k < codes; k++) best = row[k] > row[best] ? k : best;
        right += best == wanted[r];
    }
    so_notes_add(notes, "same units", (double)right / (double)*rows, (double)*rows);
    return loss;
}

/* Questions, and one answer in eight. */
static so_tensor *micro(void *p, so_pass *pass, so_micro *m)
{
    context *c = p;
    int32_t utterance[MOST];
    int64_t n = 0, frames = 0, train = c->tt->corpus.count - SO_TT_HELD_OUT, rows;
    for (int tries = 0; n < MOST && tries < 4 * MOST; tries++) {
        int32_t item = (int32_t)so_rng_below(&m->rng, train);
        bool answer = so_rng_below(&m->rng, 8) == 0 && c->tt->corpus.item[item].a_count;
        int64_t f = so_tt_utterance_samples(c->tt, 2 * item + answer) / 160;
        if (f < 20) continue;
        if (n && frames + f > FRAMES) break;
        utterance[n++] = 2 * item + answer;
        frames += f;
    }
    so_tensor *loss = listen(c, pass, n, utterance, &m->rng, m->step % 20 == 0, m->notes, &rows);
    m->tokens += loss ? rows : 0;
    return loss;
}

/* Questions of the reserved part in other surroundings. */
static so_status evaluate(void *p, so_pass *pass, int64_t step, so_notes *notes, so_error *error)
{
    context *c = p;
    int64_t first = c->tt->corpus.count - SO_TT_HELD_OUT, rows;
    so_rng rng;
    (void)step;
    so_rng_init(&rng, c->tt->seed, 12);
    for (int64_t i = 0; i + TRIED <= SO_TT_HELD_OUT && so_ok(pass); i += 2 * TRIED) {
        size_t mark = so_arena_mark(pass->arena);
        int32_t utterance[TRIED];
        for (int64_t k = 0; k < TRIED; k++) utterance[k] = (int32_t)(first + i + k) * 2;
        listen(c, pass, TRIED, utterance, &rng, true, notes, &rows);
        so_arena_release(pass->arena, mark);
    }
    *error = pass->error;
    return error->status;
}

static so_status open_both(const so_tt *tt, so_store store[2], context *c, so_error *error)
{
    so_speech_tokenizer *net[] = {&c->net, &c->before};
    for (int k = 0; k < 2; k++) {
        SO_TRY(so_tt_ears_open(tt, false, &store[k], net[k], error));
        SO_TRY(so_tt_overlay(tt, &store[k], "ears", error));
    }
    return SO_OK;
}

so_status so_tt_steady(so_tt *tt, so_error *error)
{
    if (so_tt_done(tt, "steady")) return SO_OK;
    context c = {.tt = tt};
    so_store store[2] = {0};
    so_status status = open_both(tt, store, &c, error);
    so_tt_job job = {
        .part = "steady", .store = &store[0], .hooks = {.context = &c, .micro = micro, .evaluate = evaluate}};
    if (status == SO_OK) status = so_tt_learn(tt, &job, error);
    for (int k = 0; k < 2; k++) so_store_close(&store[k]);
    return status;
}
