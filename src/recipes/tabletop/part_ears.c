/* The ears: a speech tokenizer learned as the first half of a phoneme recogniser, its units taken in the middle.
 *
 * Two CTC losses: an inner one before the quantiser and the main one behind it. Short utterances come first, and the
 * quantiser is switched on only once the encoder hears (docs/lab/training.md). Then the corpus
 * becomes units.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/edit.h"
#include "models/speech_tokenizer.h"
#include "recipes/tabletop/part_cast.h"
#include "recipes/tabletop/part_stages.h"
#include "recipes/tabletop/part_units.h"

enum { FRAMES = 6000, MOST = 64, QUANTISE_FROM = 1800, SHORT_UNTIL = 900 };

static const double STRENGTH = 1; /* of the surroundings (dataset/voices/surroundings.h) */

so_speech_tokenizer_config so_tt_ears_config(bool training)
{
    so_speech_tokenizer_config c = {.mels = 128,
                                    .width = 192,
                                    .heads = 6,
                                    .ff = 768,
                                    .layers = 4,
                                    .codes = SO_TT_UNITS,
                                    .context = 1500,
                                    .stride = {2, 2}};
    if (training) {
        c.second_layers = 2;
        c.vocab = SO_TT_PHONES;
        c.inner_layer = 4;
    }
    return c;
}

typedef struct context {
    const so_tt *tt;
    so_speech_tokenizer net;
    int32_t *order; /* utterances (item * 2 + answer) by duration */
    int64_t utterances;
    so_rng rng;
    bool quantising;
    /* what the last training batch quantised, for the codebook */
    so_real *unit;
    int32_t *ids;
    int64_t rows;
    int64_t revived;
} context;

int64_t so_tt_utterance_samples(const so_tt *tt, int32_t u)
{
    const so_tt_item *item = &tt->corpus.item[u / 2];
    return u % 2 ? item->a_count * 16000 / 22050 : item->q_count;
}

static const so_tt *sorting;
static int by_duration(const void *a, const void *b)
{
    int64_t x = so_tt_utterance_samples(sorting, *(const int32_t *)a),
            y = so_tt_utterance_samples(sorting, *(const int32_t *)b);
    return x < y ? -1 : x > y ? 1 : *(const int32_t *)a - *(const int32_t *)b;
}

typedef struct hearing {
    int64_t n, frames[MOST], row0[MOST], rows[MOST], label0[MOST], labels[MOST];
    int32_t *label;
    so_tensor *mel;
} hearing;

so_tensor *so_tt_pad(so_pass *pass, int64_t n, float *const *mel, const int64_t *frames)
{
    int64_t longest = 0;
    for (int64_t i = 0; i < n; i++) longest = frames[i] > longest ? frames[i] : longest;
    so_tensor *t = so_new3(pass, n, longest, 128);
    for (int64_t i = 0; i < n && t; i++) {
        so_real *to = so_data(t) + i * longest * 128;
        memcpy(to, mel[i], (size_t)frames[i] * 128 * sizeof *to);
        memset(to + frames[i] * 128, 0, (size_t)(longest - frames[i]) * 128 * sizeof *to);
    }
    return t;
}

/* Log-mels of the utterances, padded to the longest, and their phonemes; with a stream of random numbers, from other
 * surroundings and throats. */
static hearing *gather(const context *c, so_pass *pass, int64_t n, const int32_t *utterance, so_rng *rng)
{
    hearing *h = so_take(pass, sizeof *h, true);
    float *mels[MOST] = {0};
    int64_t total = 0;
    if (!h) return NULL;
    h->n = n;
    h->label = so_take(pass, (size_t)n * 256 * 4, false);
    for (int64_t i = 0; i < n && so_ok(pass); i++) {
        const so_tt_item *item = &c->tt->corpus.item[utterance[i] / 2];
        bool answer = utterance[i] % 2;
        float *pcm;
        int64_t count;
        if (so_tt_speech(c->tt, item, answer, &pcm, &count, &pass->error) != SO_OK) break;
        so_status status = so_tt_hear(c->tt, pcm, count, rng, STRENGTH, &mels[i], &h->frames[i], &pass->error);
        free(pcm);
        if (status != SO_OK) break;
        h->label0[i] = total;
        h->labels[i] = answer ? item->a_phones : item->q_phones;
        for (int64_t k = 0; k < h->labels[i]; k++) h->label[total++] = answer ? item->a_phone[k] : item->q_phone[k];
    }
    if (so_ok(pass)) h->mel = so_tt_pad(pass, n, mels, h->frames);
    for (int64_t i = 0; i < n; i++) free(mels[i]);
    return so_ok(pass) ? h : NULL;
}

/* Phoneme errors of one batch, all together and by who spoke. */
typedef struct mistakes {
    int64_t errors[MOST], labels[MOST];
} mistakes;

static so_tensor *ctc(so_pass *pass, const hearing *h, const so_batch *batch, so_tensor *logits, mistakes *found)
{
    int64_t row0[MOST], rows[MOST];
    for (int64_t i = 0; batch && i < h->n; i++) {
        row0[i] = batch->seq[i].row0;
        rows[i] = batch->seq[i].rows;
    }
    so_ctc spec = {h->n,      row0,     rows, h->label0,
                   h->labels, h->label, 0,    (double)h->label0[h->n - 1] + (double)h->labels[h->n - 1],
                   NULL,      NULL};
    so_tensor *loss = so_ctc_loss(pass, logits, &spec);
    if (!loss || !found) return loss;
    int64_t v = so_cols(logits);
    for (int64_t i = 0; i < h->n; i++) { /* phoneme errors of the greedy reading */
        int32_t got[512];
        int64_t n = 0, previous = 0;
        for (int64_t r = row0[i]; r < row0[i] + rows[i] && n < 512; r++) {
            int64_t best = 0;
            for (int64_t k = 1; k < v; k++)
                if (so_data(logits)[r * v + k] > so_data(logits)[r * v + best]) best = k;
            if (best && best != previous) got[n++] = (int32_t)best;
            previous = best;
        }
        so_edits row[513];
        found->errors[i] = so_edit_distance(h->label + h->label0[i], h->labels[i], got, n, row);
        found->labels[i] = h->labels[i];
    }
    return loss;
}

/* How strange the surroundings of what is heard are, and what of it is told. */
typedef enum manner { LEARN, LEARN_AND_TELL, MEASURE, MEASURE_ELSEWHERE } manner;

static void tell_mistakes(const context *c, const hearing *h, const int32_t *utterance, const mistakes *found,
                          manner how, so_notes *notes)
{
    for (int64_t i = 0; i < h->n; i++) {
        char family[16], name[48];
        double labels = (double)found->labels[i], errors = labels > 0 ? (double)found->errors[i] / labels : 0;
        so_notes_add(notes, how == MEASURE_ELSEWHERE ? "errors elsewhere" : "phoneme errors", errors, labels);
        if (how != MEASURE) continue;
        so_tt_family(c->tt->corpus.item[utterance[i] / 2].speaker, family);
        snprintf(name, sizeof name, "errors %s", family);
        so_notes_add(notes, name, errors, labels);
    }
}

static so_tensor *listen(context *c, so_pass *pass, int64_t n, const int32_t *utterance, bool quantise, so_notes *notes,
                         manner how)
{
    so_batch *batch;
    so_tensor *inner = NULL, *unit = NULL;
    hearing *h = gather(c, pass, n, utterance, how == MEASURE ? NULL : &c->rng);
    mistakes found = {0};
    if (!h) return NULL;
    so_tensor *x = so_speech_tokenizer_encode(pass, &c->net, h->mel, h->frames, &batch, &inner);
    so_tensor *codes;
    if (quantise) {
        c->rows = x ? so_rows(x) : 0;
        c->ids = so_take(pass, (size_t)(c->rows + 1) * 4, false);
        codes = so_speech_tokenizer_quantise(pass, &c->net, x, c->ids, &unit);
        c->unit = unit ? so_data(unit) : NULL;
    } else {
        codes = so_l2_norm(pass, x, 1e-12);
    }
    so_tensor *logits = so_speech_tokenizer_recognise(pass, &c->net, codes, batch);
    so_tensor *loss[3] = {ctc(pass, h, batch, inner, NULL), ctc(pass, h, batch, logits, how == LEARN ? NULL : &found),
                          NULL};
    int losses = 2;
    if (quantise) { /* commitment: the encoder stays near the codes it chose */
        so_tensor *fixed = so_constant(pass, 2, (int64_t[]){c->rows, so_cols(x)}, codes ? so_data(codes) : NULL);
        loss[losses++] = so_mse(pass, unit, fixed, NULL);
    }
    if (!so_ok(pass)) return NULL;
    so_notes_add(notes, "inner", so_data(loss[0])[0], 1);
    so_notes_add(notes, "ctc", so_data(loss[1])[0], 1);
    if (quantise) so_notes_add(notes, "commit", (double)so_data(loss[2])[0] * (double)so_cols(x), 1);
    if (how != LEARN) tell_mistakes(c, h, utterance, &found, how, notes);
    return so_weighted_sum(pass, losses, loss,
                           (so_real[]){so_tt_weight("ears", "inner"), so_tt_weight("ears", "ctc"),
                                       so_tt_weight("ears", "commit") * (so_real)so_cols(x)});
}

static int64_t draw(context *c, so_rng *rng, double most, int32_t *utterance)
{
    int64_t limit = (int64_t)((double)c->utterances * most), centre = so_rng_below(rng, limit), n = 0, frames = 0;
    int64_t span = c->utterances / 50 + MOST;
    while (n < MOST) {
        int64_t at = centre - span / 2 + so_rng_below(rng, span);
        at = at < 0 ? 0 : at >= c->utterances ? c->utterances - 1 : at;
        int64_t f = so_tt_utterance_samples(c->tt, c->order[at]) / 160;
        if (n && frames + f > FRAMES) break;
        utterance[n++] = c->order[at];
        frames += f;
    }
    return n;
}

static so_tensor *micro(void *p, so_pass *pass, so_micro *m)
{
    context *c = p;
    int32_t utterance[MOST];
    double most = m->step < SHORT_UNTIL ? 0.3 + 0.7 * (double)m->step / SHORT_UNTIL : 1;
    int64_t n = draw(c, &m->rng, most, utterance);
    for (int64_t i = 0; i < n; i++) m->tokens += so_tt_utterance_samples(c->tt, utterance[i]) / 640;
    bool quantise = m->step >= QUANTISE_FROM;
    c->unit = NULL;
    c->rng = m->rng;
    if (m->step == QUANTISE_FROM) { /* the codes begin as what the encoder gives now */
        size_t mark = so_arena_mark(pass->arena);
        bool recording = pass->recording;
        so_batch *batch;
        pass->recording = false;
        hearing *h = gather(c, pass, n, utterance, NULL);
        so_tensor *x = h ? so_speech_tokenizer_encode(pass, &c->net, h->mel, h->frames, &batch, NULL) : NULL;
        so_tensor *unit = so_l2_norm(pass, x, 1e-12);
        if (so_ok(pass)) so_speech_tokenizer_start_codes(&c->net, unit, &c->rng);
        pass->recording = recording;
        so_arena_release(pass->arena, mark);
    }
    return listen(c, pass, n, utterance, quantise, m->notes, m->step % 20 == 0 ? LEARN_AND_TELL : LEARN);
}

/* Phoneme errors of questions in the reserved voices, by make; and of the same in strange surroundings. */
static so_status evaluate(void *p, so_pass *pass, int64_t step, so_notes *notes, so_error *error)
{
    context *c = p;
    int64_t first = c->tt->corpus.count - SO_TT_HELD_OUT;
    so_rng_init(&c->rng, c->tt->seed, 11);
    for (int how = MEASURE; how <= MEASURE_ELSEWHERE; how++)
        for (int64_t i = 0; i + 21 <= SO_TT_HELD_OUT && so_ok(pass); i += 21 * (how == MEASURE ? 1 : 3)) {
            size_t mark = so_arena_mark(pass->arena);
            int32_t utterance[21];
            for (int64_t k = 0; k < 21; k++) utterance[k] = (int32_t)(first + i + k) * 2;
            listen(c, pass, 21, utterance, step > QUANTISE_FROM, notes, (manner)how);
            so_arena_release(pass->arena, mark);
        }
    c->unit = NULL; /* what was heard here moves no code */
    *error = pass->error;
    return error->status;
}

static so_status updated(void *p, int64_t step, so_error *error)
{
    context *c = p;
    (void)step;
    (void)error;
    if (!c->unit) return SO_OK;
    so_vq_rule rule = {.decay = 0.98, .epsilon = 1e-5, .revive_below = 0.1};
    so_tensor unit = {.data = c->unit, .type = SO_F32, .n_dims = 2, .dim = {c->rows, c->net.config.width}};
    c->revived += so_speech_tokenizer_follow(&c->net, &rule, &unit, c->ids, &c->rng);
    return SO_OK;
}

so_status so_tt_ears_open(const so_tt *tt, bool training, so_store *store, so_speech_tokenizer *net, so_error *error)
{
    so_speech_tokenizer_config config = so_tt_ears_config(training);
    so_rng rng;
    so_rng_init(&rng, tt->seed, 3);
    so_binder binder = {.store = store, .rng = &rng};
    SO_TRY(so_store_open(store, 0, error));
    return so_speech_tokenizer_bind(net, &config, "", &binder, error);
}

const char *so_tt_ears_part(const so_tt *tt) { return so_tt_done(tt, "steady") ? "steady" : "ears"; }

/* Every question, and every answer once however often it is given: many voices teach more than much of one. */
static so_status order_utterances(context *c, so_error *error)
{
    int64_t items = c->tt->corpus.count - SO_TT_HELD_OUT, given = 0;
    c->order = malloc((size_t)(items > 0 ? 2 * items : 1) * sizeof *c->order);
    if (!c->order || items <= 0) return so_fail(error, SO_ERR_STATE, "the ears need the corpus first");
    for (int64_t i = 0; i < items; i++) {
        const so_tt_item *item = &c->tt->corpus.item[i];
        c->order[c->utterances++] = (int32_t)(2 * i);
        if (!item->a_count || item->a_at < given) continue;
        given = item->a_at + item->a_count;
        c->order[c->utterances++] = (int32_t)(2 * i + 1);
    }
    sorting = c->tt;
    qsort(c->order, (size_t)c->utterances, sizeof *c->order, by_duration);
    return SO_OK;
}

so_status so_tt_ears(so_tt *tt, so_error *error)
{
    if (so_tt_done(tt, "ears")) return SO_OK;
    context c = {.tt = tt};
    so_store store;
    SO_TRY(so_tt_ears_open(tt, true, &store, &c.net, error));
    SO_TRY(order_utterances(&c, error));
    so_extra extra[] = {{"codes", c.net.codes->data, (size_t)so_count(c.net.codes) * sizeof(so_real)},
                        {"code_count", c.net.code_count->data, (size_t)so_count(c.net.code_count) * sizeof(so_real)},
                        {"code_sum", c.net.code_sum->data, (size_t)so_count(c.net.code_sum) * sizeof(so_real)}};
    so_tt_job job = {.part = "ears",
                     .store = &store,
                     .extra = extra,
                     .extras = 3,
                     .hooks = {.context = &c, .micro = micro, .updated = updated, .evaluate = evaluate}};
    so_status status = so_tt_learn(tt, &job, error);
    so_store_close(&store);
    free(c.order);
    return status;
}

/* ---- the corpus as units */
enum {
    ITEMS = 6,
    VERSIONS = 2 + SO_TT_DISGUISES,
    UTTERANCES = ITEMS * VERSIONS
}; /* that go through the ears together */

/* Units of an answer, by where its samples are. */
typedef struct answer_units {
    int64_t a_at;
    int32_t at, count; /* count 0: none yet */
} answer_units;

typedef struct scribe {
    const so_tt *tt;
    so_speech_tokenizer net;
    so_pass pass;
    so_writer index, units;
    int32_t at;           /* units written */
    answer_units *answer; /* [2 items + 1] */
} scribe;

/* Features [*frames, 128] of an item's question (version 0), of its answer as it is to be spoken (1), or of the
 * question in other surroundings (2..). The caller frees. */
static float *features(const scribe *s, const so_tt_item *item, int version, so_rng *rng, int64_t *frames,
                       so_error *error)
{
    float *pcm, *mel = NULL;
    int64_t n;
    if (so_tt_speech(s->tt, item, version == 1, &pcm, &n, error) != SO_OK) return NULL;
    if (version == 1) { /* every frame of it is to be said: nothing is cut */
        *frames = so_mel_frames(s->tt->whisper, n);
        mel = malloc((size_t)(*frames + 1) * 128 * sizeof *mel);
        if (!mel)
            so_fail(error, SO_ERR_NOMEM, "no memory for %lld frames", (long long)*frames);
        else if (so_mel_compute(s->tt->whisper, pcm, n, mel, NULL, error) != SO_OK) {
            free(mel);
            mel = NULL;
        }
    } else {
        so_tt_hear(s->tt, pcm, n, version ? rng : NULL, STRENGTH, &mel, frames, error);
    }
    free(pcm);
    return mel;
}

/* Units of n utterances in one batch; `batch` tells which rows of `ids` are whose. */
static so_status hear_units(scribe *s, int64_t n, float *const *mel, const int64_t *frames, int32_t **ids,
                            so_batch **batch, so_error *error)
{
    so_pass *pass = &s->pass;
    so_tensor *input = so_tt_pad(pass, n, mel, frames);
    so_tensor *x = so_speech_tokenizer_encode(pass, &s->net, input, frames, batch, NULL);
    *ids = so_take(pass, (size_t)(x ? so_rows(x) : 1) * 4, false);
    so_speech_tokenizer_quantise(pass, &s->net, x, *ids, NULL);
    if (!so_ok(pass)) *error = pass->error;
    return pass->error.status;
}

static so_status put_units(scribe *s, const int32_t *ids, int64_t n, int32_t *at, int32_t *count, so_error *error)
{
    uint16_t small[4096];
    if (n > 4096)
        return so_fail(error, SO_ERR_LIMIT, "an utterance of %lld units, expected at most 4096", (long long)n);
    for (int64_t i = 0; i < n; i++) small[i] = (uint16_t)ids[i];
    *at = s->at;
    *count = (int32_t)n;
    s->at += (int32_t)n;
    return so_writer_put(&s->units, small, (size_t)n * 2, error);
}

/* Where the units of an answer are that was heard before; a free place when it was not. */
static answer_units *find_answer(const scribe *s, int64_t a_at)
{
    int64_t size = 2 * s->tt->corpus.count + 1, at = (int64_t)((uint64_t)a_at * 0x9e3779b97f4a7c15u % (uint64_t)size);
    while (s->answer[at].count && s->answer[at].a_at != a_at) at = (at + 1) % size;
    return &s->answer[at];
}

/* The place of a version's units in an item's entry. */
static void place_of(so_tt_spoken *u, int version, int32_t **at, int32_t **count)
{
    *at = version == 0 ? &u->q_at : version == 1 ? &u->a_at : &u->d_at[version - 2];
    *count = version == 0 ? &u->q_count : version == 1 ? &u->a_count : &u->d_count[version - 2];
}

/* Features of what must be heard of the items: an answer that was given before is not heard again. */
static so_status gather_items(scribe *s, int64_t first, int64_t n, float **mel, int64_t *frames, int *of,
                              int64_t *heard, so_error *error)
{
    for (int64_t i = 0; i < n * VERSIONS; i++) {
        const so_tt_item *item = &s->tt->corpus.item[first + i / VERSIONS];
        so_rng rng;
        if (i % VERSIONS == 1 && (!item->a_count || find_answer(s, item->a_at)->count)) continue;
        so_rng_init(&rng, s->tt->seed, 0x6469736775000000u + (uint64_t)(first * VERSIONS + i));
        mel[*heard] = features(s, item, (int)(i % VERSIONS), &rng, &frames[*heard], error);
        if (!mel[*heard]) return error->status;
        of[(*heard)++] = (int)i;
    }
    return SO_OK;
}

/* Writes the units of items first .. first + n - 1, n at most ITEMS. */
static so_status put_items(scribe *s, int64_t first, int64_t n, so_error *error)
{
    float *mel[UTTERANCES] = {0};
    int64_t frames[UTTERANCES], heard = 0;
    int of[UTTERANCES];
    int32_t *ids = NULL, *at, *count;
    so_tt_spoken entry[ITEMS] = {0};
    so_batch *batch = NULL;
    size_t mark = so_arena_mark(s->pass.arena);
    so_status status = gather_items(s, first, n, mel, frames, of, &heard, error);
    if (status == SO_OK) status = hear_units(s, heard, mel, frames, &ids, &batch, error);
    for (int64_t k = 0; k < heard && status == SO_OK; k++) {
        place_of(&entry[of[k] / VERSIONS], of[k] % VERSIONS, &at, &count);
        status = put_units(s, ids + batch->seq[k].row0, batch->seq[k].rows, at, count, error);
        if (of[k] % VERSIONS != 1) continue;
        int64_t a_at = s->tt->corpus.item[first + of[k] / VERSIONS].a_at;
        *find_answer(s, a_at) = (answer_units){a_at, *at, *count};
    }
    for (int64_t i = 0; i < n && status == SO_OK; i++) {
        const so_tt_item *item = &s->tt->corpus.item[first + i];
        const answer_units *a = item->a_count ? find_answer(s, item->a_at) : &(answer_units){0};
        entry[i].a_at = a->at;
        entry[i].a_count = a->count;
        status = so_writer_put(&s->index, &entry[i], sizeof *entry, error);
    }
    for (int i = 0; i < UTTERANCES; i++) free(mel[i]);
    so_arena_release(s->pass.arena, mark);
    return status;
}

so_status so_tt_units(so_tt *tt, so_error *error)
{
    char path[1024];
    if (access(so_tt_path(tt, "units.index", path), R_OK) == 0) return SO_OK;
    scribe s = {.tt = tt, .answer = calloc(2 * (size_t)tt->corpus.count + 1, sizeof *s.answer)};
    so_store store;
    so_arena arena;
    if (!s.answer) return so_fail(error, SO_ERR_NOMEM, "no memory for %lld answers", (long long)tt->corpus.count);
    SO_TRY(so_tt_ears_open(tt, false, &store, &s.net, error));
    SO_TRY(so_tt_overlay(tt, &store, so_tt_ears_part(tt), error));
    SO_TRY(so_arena_reserve(&arena, (size_t)4 << 30, error));
    so_pass_init(&s.pass, &arena, tt->pool, tt->kernels);
    SO_TRY(so_writer_open(&s.units, so_tt_path(tt, "units.u16", path), error));
    SO_TRY(so_writer_open(&s.index, so_tt_path(tt, "units.index", path), error));
    so_status status = SO_OK;
    for (int64_t i = 0; i < tt->corpus.count && status == SO_OK; i += ITEMS) {
        if (tt->stop && *tt->stop)
            status = so_fail(error, SO_ERR_STOPPED, "stopped as asked before item %lld", (long long)i);
        if (status != SO_OK) break;
        int64_t left = tt->corpus.count - i;
        status = put_items(&s, i, left < ITEMS ? left : ITEMS, error);
        if (i % 1002 == 0) so_tt_say(tt, "units: %lld of %lld items", (long long)i, (long long)tt->corpus.count);
    }
    if (status == SO_OK) status = so_writer_commit(&s.units, error);
    if (status == SO_OK) status = so_writer_commit(&s.index, error);
    so_writer_drop(&s.units);
    so_writer_drop(&s.index);
    so_arena_clear(&arena);
    so_store_close(&store);
    free(s.answer);
    return status;
}

so_status so_tt_units_open(so_tt_units_file *units, const so_tt *tt, so_error *error)
{
    char path[1024];
    memset(units, 0, sizeof *units);
    SO_TRY(so_map_open(&units->index_map, so_tt_path(tt, "units.index", path), error));
    SO_TRY(so_map_open(&units->unit_map, so_tt_path(tt, "units.u16", path), error));
    units->item = (const so_tt_spoken *)units->index_map.data;
    units->unit = (const uint16_t *)units->unit_map.data;
    units->count = (int64_t)(units->index_map.size / sizeof *units->item);
    return so_tt_check_units(units, tt, error) == SO_OK ? SO_OK : so_fail_in(error, "%s", tt->folder);
}

void so_tt_units_close(so_tt_units_file *units)
{
    so_map_close(&units->index_map);
    so_map_close(&units->unit_map);
}
