/* Stage 2 of the paper: the bottom speech layers learn to write down units (CTC), the top speech layers learn to speak
 * text (cross entropy on units, with the ground-truth text and its alignment).
 *
 * The top layers see, at a row with N text tokens heard so far in the answer, the tokens [N + K - W, N + K): what
 * generation will show them. N comes from forced alignment of the answer on the bottom layers' own posteriors.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <stdio.h>

#include "base/edit.h"
#include "recipes/tabletop/part_batch.h"
#include "recipes/tabletop/part_cast.h"
#include "recipes/tabletop/part_stages.h"
#include "recipes/tabletop/part_units.h"
#include "recipes/tabletop/tt_dataset.h"
#include "train/align.h"

enum { PHONE_LAYER = 1, BOTTOM_BATCH = 36, EARLY_BATCH = 28, EARLY_STEPS = 3000, EARLY_AGAIN = 200, TOP_BATCH = 24 };
enum { MOST_PHONES = 2 * 256 /* of one segment */ };

static so_batch *sequences(so_tt_speech_batch *b) { return so_batch_many(b->pass, b->seqs, b->seq_rows, NULL); }

/* ---- what both stages measure */
/* What is said in a segment. */
typedef struct said {
    int64_t item, next; /* the second of two questions; -1 */
    bool answer;        /* the item's answer, not its question */
} said;

static so_tensor *ctc_loss(so_tt_speech_batch *b, so_tensor *logits, const int32_t *label, const int64_t *label0,
                           const int64_t *labels, const int32_t *earliest, int32_t blank, int64_t total)
{
    int64_t *row0 = so_take(b->pass, (size_t)b->segments * 8, false),
            *rows = so_take(b->pass, (size_t)b->segments * 8, false);
    if (!rows) return NULL;
    for (int64_t i = 0; i < b->segments; i++) {
        row0[i] = b->segment[i].row0;
        rows[i] = b->segment[i].rows;
    }
    so_ctc ctc = {.n_seqs = b->segments,
                  .row0 = row0,
                  .rows = rows,
                  .label0 = label0,
                  .n_labels = labels,
                  .labels = label,
                  .earliest = earliest,
                  .blank = blank,
                  .divide = (double)total};
    return so_ctc_loss(b->pass, logits, &ctc);
}

static so_tensor *text_ctc(so_tt_speech_batch *b, so_tensor *logits, const int32_t *earliest)
{
    int64_t *label0 = so_take(b->pass, (size_t)b->segments * 8, false),
            *labels = so_take(b->pass, (size_t)b->segments * 8, false);
    if (!labels) return NULL;
    for (int64_t i = 0; i < b->segments; i++) {
        label0[i] = b->segment[i].label0;
        labels[i] = b->segment[i].labels;
    }
    return ctc_loss(b, logits, b->label, label0, labels, earliest, b->tt->id->blank, b->labels);
}

/* Token errors of the greedy CTC reading of one segment. */
static int64_t errors_of(const so_tt_speech_batch *b, const so_tensor *logits, const so_tt_segment *g)
{
    int64_t v = so_cols(logits), n = 0;
    int32_t got[1024], previous = b->tt->id->blank;
    so_edits row[1025];
    for (int64_t r = g->row0; r < g->row0 + g->rows && n < 1024; r++) {
        int64_t best = 0;
        for (int64_t k = 1; k < v; k++)
            if (so_data(logits)[r * v + k] > so_data(logits)[r * v + best]) best = k;
        if (best != b->tt->id->blank && best != previous) got[n++] = (int32_t)best;
        previous = (int32_t)best;
    }
    return so_edit_distance(b->label + g->label0, g->labels, got, n, row);
}

/* Token errors over all segments; `apart`: those of questions once more, by who speaks. */
static void tell_errors(const so_tt_speech_batch *b, const so_tensor *logits, const said *what, bool apart,
                        so_notes *notes)
{
    for (int64_t s = 0; s < b->segments; s++) {
        const so_tt_segment *g = &b->segment[s];
        int64_t wrong = errors_of(b, logits, g);
        double labels = (double)g->labels, share = g->labels ? (double)wrong / labels : 0;
        char family[16], name[48];
        so_notes_add(notes, "token errors", share, labels);
        so_notes_add(notes, "whole", wrong == 0, 1);
        if (!apart || what[s].answer) continue;
        so_tt_family(b->tt->corpus.item[what[s].item].speaker, family);
        snprintf(name, sizeof name, "errors %s", family);
        so_notes_add(notes, name, share, labels);
    }
}

/* ---- the bottom layers */
typedef struct context {
    const so_tt *tt;
    so_omni net;
    so_tt_units_file units;
    so_dataset *data; /* the corpus with its units */
    so_ids scratch;
    so_tensor *phone_w; /* the auxiliary phoneme head, thrown away afterwards */
    int64_t answered;   /* items below have a spoken answer; those from there to `train` are only heard */
    int64_t train;      /* items below are for training, the rest for evaluation */
    int64_t ahead, window;
} context;

/* Phonemes of a segment, MOST_PHONES at most. */
static int64_t phones_of(const so_tt_speech_batch *b, const said *x, int32_t *out)
{
    int64_t n = 0;
    for (int64_t i = x->item, turn = 0; i >= 0 && turn < 2; i = x->next, turn++) {
        const so_tt_item *item = &b->tt->corpus.item[i];
        int64_t count = x->answer ? item->a_phones : item->q_phones;
        for (int64_t k = 0; k < count; k++) out[n++] = x->answer ? item->a_phone[k] : item->q_phone[k];
    }
    return n;
}

static int64_t letters(const char *text, size_t n)
{
    int64_t found = 0;
    for (size_t i = 0; i < n; i++) found += (text[i] | 32) >= 'a' && (text[i] | 32) <= 'z';
    return found;
}

/* Letters of what is said in a segment. */
static int64_t letters_of(const so_tt_speech_batch *b, const said *x)
{
    const so_tt_item *item = b->tt->corpus.item;
    const char *text = x->answer ? item[x->item].answer : item[x->item].question;
    return letters(text, strlen(text)) +
           (x->next >= 0 ? letters(item[x->next].question, strlen(item[x->next].question)) : 0);
}

static so_tensor *phone_ctc(so_tt_speech_batch *b, const said *what, so_tensor *logits)
{
    int32_t *label = so_take(b->pass, (size_t)b->segments * MOST_PHONES * 4, false);
    int64_t *label0 = so_take(b->pass, (size_t)b->segments * 8, false),
            *labels = so_take(b->pass, (size_t)b->segments * 8, false);
    int64_t total = 0;
    if (!labels) return NULL;
    for (int64_t i = 0; i < b->segments; i++) {
        label0[i] = total;
        labels[i] = phones_of(b, &what[i], label + total);
        total += labels[i];
    }
    return ctc_loss(b, logits, label, label0, labels, NULL, 0, total);
}

/* The first row of its segment on which each label of the batch may be written: where, by the phoneme head's alignment,
 * all but the last phoneme of what it stands for have been heard. Which phoneme ends a token is told from its share of
 * the text's letters. NULL, which demands nothing, on a failure.
 *
 * Left alone, CTC writes words as soon as it can guess that some word must come, where it has heard little of it ("
 * bridge" for "brick") or nothing: a month after "What month comes before", any month, for good. */
static const int32_t *spoken_by(so_tt_speech_batch *b, const said *what, const so_tensor *phones)
{
    int64_t v = so_cols(phones);
    int32_t *earliest = so_take(b->pass, (size_t)b->labels * 4 + 4, true),
            *heard = so_take(b->pass, (size_t)b->rows * 4, false);
    int32_t *wanted = so_take(b->pass, MOST_PHONES * 4, false);
    for (int64_t i = 0; i < b->segments && wanted; i++) {
        const so_tt_segment *g = &b->segment[i];
        int64_t n = phones_of(b, &what[i], wanted), total = letters_of(b, &what[i]), passed = 0, row = 0;
        so_error error;
        if (!n || !total ||
            so_ctc_align(&(so_ctc_ask){so_data(phones) + g->row0 * v, g->rows, v, wanted, n, 0}, heard, NULL, &error) !=
                SO_OK)
            continue;
        for (int64_t j = 0; j < g->labels; j++) {
            size_t size;
            const char *piece = so_tokenizer_piece(b->tt->tokenizer, b->label[g->label0 + j], &size);
            passed += letters(piece, size);
            int64_t phone = (2 * passed * n + total) / (2 * total) - 1; /* how many before the last one */
            while (row < g->rows - 1 && heard[row] < phone) row++;
            int64_t latest = g->rows - 2 * (g->labels - j);
            earliest[g->label0 + j] = (int32_t)(row < latest ? row : latest > 0 ? latest : 0);
        }
        /* Tokens that stand for words which are none have other letters: nothing is known of their places. */
        if (passed != total) memset(earliest + g->label0, 0, (size_t)g->labels * sizeof *earliest);
    }
    return wanted ? earliest : NULL;
}

/* What one sequence of the bottom layers is. */
typedef enum manner {
    ECHO,     /* the model's own voice alone */
    ANSWERED, /* a question and its answer */
    ALONE,    /* a question */
    PAIR      /* two questions in one turn */
} manner;

typedef struct company {
    int64_t item, next;
    manner manner;
} company;

/* How much of what is heard alone is two questions: who says two sentences in a breath, or stops between them, is heard
 * in one turn. */
static const double PAIRS = 0.08;

/* Whether an item's answer tells its last word before it is spoken. */
static bool guessed(const context *c, int64_t item)
{
    return (1u << SO_TALK_DAY | 1u << SO_TALK_MONTH) >> c->tt->corpus.item[item].kind & 1;
}

static void add_company(context *c, so_tt_speech_batch *b, const company *x)
{
    if (x->manner == ECHO)
        so_tt_speech_echo(b, c->data, x->item, &c->scratch);
    else if (x->manner == PAIR)
        so_tt_speech_pair(b, c->data, x->item, x->next, &c->scratch);
    else
        so_tt_speech_add(b, c->data, x->item, true, x->manner == ANSWERED, &c->scratch);
}

/* `patient`: no token is to be written before what it stands for has been heard. */
static so_tensor *hear(context *c, so_pass *pass, int64_t n, const company *list, bool patient, so_notes *notes,
                       bool measure, so_rng *slips)
{
    so_tt_speech_batch *b = so_tt_speech_start(pass, c->tt);
    said *what = so_take(pass, (size_t)n * 2 * sizeof *what, false);
    if (!b || !what) return NULL;
    b->slips = slips;
    for (int64_t i = 0; i < n; i++) {
        int64_t before = b->segments;
        add_company(c, b, &list[i]);
        for (int64_t g = before; g < b->segments; g++)
            what[g] =
                (said){list[i].item, list[i].manner == PAIR ? list[i].next : -1, list[i].manner == ECHO || g > before};
    }
    so_batch *batch = sequences(b);
    so_tensor *x = so_embed(pass, c->net.audio_embed, b->rows, b->id);
    const so_llama *bottom = &c->net.bottom;
    so_tensor *inner = so_llama_layers(pass, bottom, x, batch, 0, PHONE_LAYER);
    x = so_llama_layers(pass, bottom, inner, batch, PHONE_LAYER, bottom->layers);
    so_tensor *h = so_llama_norm(pass, bottom, x);
    so_tensor *logits = so_omni_ctc(pass, &c->net, h);
    so_tensor *phones = c->phone_w ? so_linear(pass, inner, c->phone_w, NULL) : NULL;
    if (!so_ok(pass)) return NULL;
    const int32_t *earliest = phones && patient ? spoken_by(b, what, phones) : NULL;
    so_tensor *loss[3] = {text_ctc(b, logits, earliest), so_cross_entropy(pass, logits, b->same), NULL};
    int losses = 2;
    if (phones && so_ok(pass)) loss[losses++] = phone_ctc(b, what, phones);
    if (!so_ok(pass)) return NULL;
    so_notes_add(notes, "ctc", so_data(loss[0])[0], 1);
    so_notes_add(notes, "template", so_data(loss[1])[0], 1);
    if (losses == 3) so_notes_add(notes, "phonemes", so_data(loss[2])[0], 1);
    if (measure) tell_errors(b, logits, what, !slips, notes);
    return so_weighted_sum(pass, losses, loss,
                           (so_real[]){so_tt_weight("bottom", "ctc"), so_tt_weight("bottom", "template"),
                                       so_tt_weight("bottom", "phonemes")});
}

/* One voice, always the same, is what lifts CTC over whole words off its plateau: at first nearly every question comes
 * with its answer (with one answer in three, 2,000 steps taught less than 500). Then questions take the room that the
 * answers no longer need.
 *
 * What comes last are words of a small closed set at the end of a question: letters, numbers, and above all days and
 * months, which the layers would rather guess from the words before them, as they can in answers ("May comes after
 * April."): these questions come more often, those of days and months always alone. */
static int64_t draw(const context *c, so_rng *rng)
{
    const uint32_t closed = SO_TT_RECKONING | 1u << SO_TALK_LETTER | 1u << SO_TALK_OPPOSITE | 1u << SO_TALK_COUNTING,
                   named = 1u << SO_TALK_DAY | 1u << SO_TALK_MONTH;
    int64_t item = so_rng_below(rng, c->train);
    double which = so_rng_uniform(rng);
    uint32_t kinds = which < 0.08 ? named : which < 0.25 ? closed : 0;
    for (int tries = 0; kinds && tries < 256 && !(kinds >> c->tt->corpus.item[item].kind & 1); tries++)
        item = so_rng_below(rng, c->train);
    return item;
}

static company draw_company(const context *c, so_rng *rng)
{
    double which = so_rng_uniform(rng), echo = so_tt_share("bottom", "echo") / BOTTOM_BATCH,
           answered = so_tt_share("bottom", "asr, answered") / BOTTOM_BATCH;
    company x = {draw(c, rng), -1, ALONE};
    if (which < echo + answered) {
        x.item = so_rng_below(rng, c->answered);
        x.manner = which < echo ? ECHO : guessed(c, x.item) ? ALONE : ANSWERED;
    } else if (so_rng_uniform(rng) < PAIRS) {
        x.manner = PAIR;
        x.next = draw(c, rng);
    }
    return x;
}

static so_tensor *bottom_micro(void *p, so_pass *pass, so_micro *m)
{
    context *c = p;
    company list[BOTTOM_BATCH];
    bool early = m->step < (so_tt_done(c->tt, "start") ? EARLY_AGAIN : EARLY_STEPS);
    int n = early ? EARLY_BATCH : BOTTOM_BATCH;
    for (int i = 0; i < n; i++) {
        list[i] = early ? (company){so_rng_below(&m->rng, c->answered), -1, ANSWERED} : draw_company(c, &m->rng);
        m->tokens += c->units.item[list[i].item].q_count;
    }
    return hear(c, pass, n, list, !early, m->notes, m->step % 25 == 0, &m->rng);
}

static so_status bottom_evaluate(void *p, so_pass *pass, int64_t step, so_notes *notes, so_error *error)
{
    context *c = p;
    (void)step;
    for (int64_t at = c->train; at + BOTTOM_BATCH <= c->units.count && so_ok(pass); at += BOTTOM_BATCH) {
        size_t mark = so_arena_mark(pass->arena);
        company list[BOTTOM_BATCH];
        for (int i = 0; i < BOTTOM_BATCH; i++) list[i] = (company){at + i, -1, guessed(c, at + i) ? ALONE : ANSWERED};
        hear(c, pass, BOTTOM_BATCH, list, false, notes, true, NULL);
        so_arena_release(pass->arena, mark);
    }
    *error = pass->error;
    return error->status;
}

static so_status open_context(context *c, so_tt *tt, so_store *store, const char *const *parts, so_error *error)
{
    *c = (context){.tt = tt, .ahead = tt->lookahead, .window = tt->window};
    SO_TRY(so_tt_omni_open(tt, store, &c->net, parts, error));
    SO_TRY(so_tt_units_open(&c->units, tt, error));
    SO_TRY(so_tt_dataset_of(&c->data, tt, &c->units, 0, c->units.count, error));
    c->train = c->units.count - SO_TT_HELD_OUT;
    c->answered = so_tt_answered(tt);
    if (c->answered < 100)
        return so_fail(error, SO_ERR_STATE, "%lld items of speech, expected some thousands", (long long)c->units.count);
    return SO_OK;
}

so_status so_tt_bottom(so_tt *tt, so_error *error)
{
    if (so_tt_done(tt, "bottom")) return SO_OK;
    context c;
    so_store store;
    so_rng rng;
    SO_TRY(open_context(&c, tt, &store, NULL, error));
    so_rng_init(&rng, tt->seed, 4);
    so_binder binder = {.store = &store, .rng = &rng};
    binder.sizes.of['D'] = c.net.config.llama.width;
    const so_bind_row phone[] = {{offsetof(context, phone_w), "phones", "64 D", "phones", SO_INIT_FAN_IN, 1, false}};
    SO_TRY(SO_BIND(&binder, "", 0, phone, &c, error));
    SO_TRY(so_tt_begin(tt, &store, error)); /* that head, where it was kept */
    so_tt_job job = {.part = "bottom",
                     .store = &store,
                     .keep = (const char *[]){"bottom", NULL},
                     .hooks = {.context = &c, .micro = bottom_micro, .evaluate = bottom_evaluate}};
    so_status status = so_tt_learn(tt, &job, error);
    so_dataset_close(&c.data);
    so_tt_units_close(&c.units);
    so_ids_clear(&c.scratch);
    so_store_close(&store);
    return status;
}

/* ---- the top layers */

/* How often the place in the text is off by one from a token on, and how often one that is off is found again. */
static const double LOST = 0.06, FOUND = 0.44;

/* Makes the place in the text, `heard` of n units, what it is while the model speaks: behind where a word is not heard
 * while it is said, ahead where one is heard twice. Who has only ever seen the right place trusts it, and leaves words
 * out. */
static void mislead(int32_t *heard, int64_t n, int64_t most, so_rng *rng)
{
    int32_t before = 0, off = 0;
    for (int64_t i = 0; i < n; i++) {
        if (heard[i] != before) {
            double which = so_rng_uniform(rng);
            if (which < LOST)
                off = so_rng_below(rng, 2) ? 1 : -1;
            else if (which < LOST + FOUND)
                off = 0;
            before = heard[i];
        }
        int64_t at = heard[i] + off;
        heard[i] = (int32_t)(at < 0 ? 0 : at > most ? most : at);
    }
}

/* How many tokens of the memory every fused row has behind it, by forced alignment on the CTC logits, and its window.
 */
static bool align(const context *c, so_tt_speech_batch *b, const so_tensor *logits, int32_t *lo, int32_t *hi)
{
    int64_t v = so_cols(logits);
    so_window window = {c->window, c->ahead};
    int32_t *heard = so_take(b->pass, SO_TT_SPEECH_ROWS * 4, false);
    for (int64_t s = 0; s < b->seqs && heard; s++) {
        if (b->answer_segment[s] < 0) continue;
        const so_tt_segment *g = &b->segment[b->answer_segment[s]];
        so_error error;
        if (so_ctc_align(&(so_ctc_ask){so_data(logits) + g->row0 * v, g->rows, v, b->label + g->label0, g->labels,
                                       b->tt->id->blank},
                         heard, NULL, &error) != SO_OK)
            for (int64_t r = 0; r < g->rows; r++) heard[r] = (int32_t)(g->labels * (r + 1) / g->rows);
        if (b->slips) mislead(heard, g->rows, g->labels, b->slips);
        for (int64_t r = 0; r < b->fused_rows[s]; r++)
            so_window_of(&window, r ? heard[r - 1] : 0, b->memory_rows[s], &lo[b->fused0[s] + r],
                         &hi[b->fused0[s] + r]);
    }
    return heard != NULL;
}

static so_tensor *speak(context *c, so_pass *pass, so_tt_speech_batch *b, so_notes *notes)
{
    so_batch *batch = sequences(b);
    so_tensor *h = so_omni_hear(pass, &c->net, b->rows, b->id, batch);
    so_tensor *ctc = so_omni_ctc(pass, &c->net, h);
    size_t bytes = (size_t)(b->fused + 1) * 4;
    int32_t *lo = so_take(pass, bytes, false), *hi = so_take(pass, bytes, false), *target = so_take(pass, bytes, false);
    if (!target || !align(c, b, ctc, lo, hi)) return NULL;
    for (int64_t r = 0; r < b->fused; r++) target[r] = b->target[b->fused_row[r]];
    so_fusion fusion = {.memory_rows = b->memories,
                        .memory_ids = b->memory_id,
                        .memory_pos = b->memory_pos,
                        .rows = b->fused,
                        .row = b->fused_row,
                        .pos = b->fused_pos,
                        .n_seqs = b->seqs,
                        .seq_rows = b->fused_rows,
                        .ranges = {b->memory0, b->memory_rows, lo, hi}};
    so_tensor *x = so_omni_speak(pass, &c->net, h, batch, &fusion);
    so_tensor *logits = so_omni_voice(pass, &c->net, so_take_rows(pass, x, b->fused, b->fused_row));
    so_tensor *loss = so_cross_entropy(pass, logits, target);
    if (!so_ok(pass)) return NULL;
    int64_t right = 0, v = so_cols(logits);
    for (int64_t r = 0; r < b->fused; r++) {
        const so_real *z = so_data(logits) + r * v;
        int64_t best = 0;
        for (int64_t k = 1; k < v; k++)
            if (z[k] > z[best]) best = k;
        right += best == target[r];
    }
    so_notes_add(notes, "units", so_data(loss)[0], 1);
    so_notes_add(notes, "units right", (double)right / (double)b->fused, (double)b->fused);
    return loss;
}

static so_tensor *top_micro(void *p, so_pass *pass, so_micro *m)
{
    context *c = p;
    so_tt_speech_batch *b = so_tt_speech_start(pass, c->tt);
    if (b) b->slips = &m->rng;
    for (int i = 0; b && i < TOP_BATCH; i++) {
        int64_t item = so_rng_below(&m->rng, c->answered);
        bool hear = so_rng_uniform(&m->rng) < so_tt_share("top", "s-s") / TOP_BATCH;
        so_tt_speech_add(b, c->data, item, hear, true, &c->scratch);
    }
    if (!b || !so_ok(pass)) return NULL;
    m->tokens = b->rows;
    return speak(c, pass, b, m->notes);
}

static so_status top_evaluate(void *p, so_pass *pass, int64_t step, so_notes *notes, so_error *error)
{
    context *c = p;
    (void)step;
    for (int64_t at = c->train; at + TOP_BATCH <= c->units.count && so_ok(pass); at += TOP_BATCH) {
        size_t mark = so_arena_mark(pass->arena);
        so_tt_speech_batch *b = so_tt_speech_start(pass, c->tt);
        for (int i = 0; b && i < TOP_BATCH; i++) so_tt_speech_add(b, c->data, at + i, i % 2, true, &c->scratch);
        if (b) speak(c, pass, b, notes);
        so_arena_release(pass->arena, mark);
    }
    *error = pass->error;
    return error->status;
}

so_status so_tt_top(so_tt *tt, so_error *error)
{
    if (so_tt_done(tt, "top")) return SO_OK;
    context c;
    so_store store;
    SO_TRY(open_context(&c, tt, &store, (const char *[]){"bottom", NULL}, error));
    so_tt_job job = {.part = "top",
                     .store = &store,
                     .keep = (const char *[]){"top", NULL},
                     .hooks = {.context = &c, .micro = top_micro, .evaluate = top_evaluate}};
    so_status status = so_tt_learn(tt, &job, error);
    so_dataset_close(&c.data);
    so_tt_units_close(&c.units);
    so_ids_clear(&c.scratch);
    so_store_close(&store);
    return status;
}
