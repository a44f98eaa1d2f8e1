/* Lessons of the language model. See lesson.h for the figure.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/lesson.h"

#include <math.h>
#include <string.h>

/* Where a sample's rows lie in the bottom layers' batch: its prompt without pictures, then its answer's units. */
typedef struct place {
    so_sample s;
    int64_t heard0, prompt, answer; /* first row; rows of the prompt; rows of the answer's units (0: not spoken here) */
    bool speaks;                    /* takes the speech route */
} place;

typedef struct plan {
    const so_lesson *lesson;
    so_micro *micro;
    place *place;
    int64_t n, hear_rows, pictures;
    double text, units, ctc, template, pairs; /* weights of the stage */
    so_tensor *hidden, *logits;               /* of the bottom layers; logits of all its rows, or NULL */
    so_batch *hear_batch;
    int parts;
    so_tensor *loss[SO_MAX_INPUTS];
    so_real weight[SO_MAX_INPUTS];
} plan;

static bool is_unit(const so_lesson *l, int32_t id) { return id >= l->first_unit && id < l->first_unit + l->units; }

static void add_loss(plan *p, const char *name, so_tensor *loss, double weight, int64_t count)
{
    if (!loss || p->parts == SO_MAX_INPUTS) return;
    p->loss[p->parts] = loss;
    p->weight[p->parts++] = (so_real)weight;
    so_notes_add(p->micro->notes, name, (double)so_data(loss)[0], (double)count);
}

/* ---- drawing samples */

static bool usable(const so_lesson *l, const so_sample *s)
{
    int64_t longest = l->longest ? l->longest : l->rows ? l->rows : 2048;
    return s->n + s->n_text + s->n_units <= longest && s->n > 0;
}

/* A sample takes its place in the batches; gives its rows. */
static int64_t seat(plan *p, const so_sample *s, int64_t patches)
{
    place *at = &p->place[p->n++];
    *at = (place){.s = *s, .heard0 = p->hear_rows};
    for (int64_t i = 0; i < s->n; i++) {
        at->speaks |= is_unit(p->lesson, s->ids[i]);
        at->prompt += s->ids[i] != SO_PICTURE_ID;
    }
    if (p->units > 0 || p->ctc > 0) at->answer = s->n_units;
    if (!at->speaks && !at->answer) at->prompt = 0;
    p->pictures += p->text > 0 || p->pairs > 0 ? s->pictures : 0;
    if (p->pairs > 0) return s->pictures * patches + s->n_text;
    p->hear_rows += at->prompt + at->answer;
    return at->prompt + at->answer + (p->text > 0 ? s->n + s->n_text + s->pictures * patches : 0);
}

static so_status draw(plan *p, so_pass *pass, int64_t patches, so_error *error)
{
    const so_lesson *l = p->lesson;
    int64_t rows = 0, budget = l->rows ? l->rows : 2048, tries = 0, limit = l->samples > 0 ? l->samples : 256;
    p->place = so_take(pass, (size_t)limit * sizeof *p->place, true);
    if (!p->place) return SO_OK;
    while (p->n < limit && rows < budget && tries++ < 4 * limit) {
        so_sample s = {0};
        const char *task = so_stage_draw(l->stage, &p->micro->rng);
        SO_TRY(l->source.next(l->source.context, task, &p->micro->rng, pass->arena, &s, error));
        if (usable(l, &s))
            rows += seat(p, &s, patches);
        else
            so_notes_add(p->micro->notes, "left_out", 1, 1);
    }
    p->micro->tokens = rows;
    return SO_OK;
}

/* What was planned for this portion. */
static so_status gather(plan *p, so_pass *pass, int64_t patches, so_error *error)
{
    const so_lesson *l = p->lesson;
    const so_sample *sample;
    int64_t n, rows = 0;
    SO_TRY(l->source.gather(l->source.context, p->micro, pass->arena, &sample, &n, error));
    p->place = so_take(pass, (size_t)(n + 1) * sizeof *p->place, true);
    for (int64_t i = 0; i < n && p->place; i++) rows += seat(p, &sample[i], patches);
    p->micro->tokens = rows;
    return SO_OK;
}

/* ---- the bottom layers */

static void hear(plan *p, so_pass *pass)
{
    if (p->hear_rows == 0) return;
    int32_t *ids = so_take(pass, (size_t)p->hear_rows * sizeof *ids, false);
    int64_t *lengths = so_take(pass, (size_t)p->n * sizeof *lengths, false), n = 0, at = 0;
    if (!ids || !lengths) return;
    for (int64_t i = 0; i < p->n; i++) {
        const place *q = &p->place[i];
        if (q->prompt + q->answer == 0) continue;
        for (int64_t k = 0; k < q->s.n && q->prompt; k++)
            if (q->s.ids[k] != SO_PICTURE_ID) ids[at++] = q->s.ids[k];
        for (int64_t k = 0; k < q->answer; k++) ids[at++] = q->s.units[k];
        lengths[n++] = q->prompt + q->answer;
    }
    p->hear_batch = so_batch_many(pass, n, lengths, NULL);
    p->hidden = so_omni_hear(pass, p->lesson->net, p->hear_rows, ids, p->hear_batch);
    p->logits = so_omni_ctc(pass, p->lesson->net, p->hidden);
}

/* Rows of the prompt's units: [*from, *from + result) in the bottom batch. */
static int64_t unit_rows(const plan *p, const place *q, int64_t *from)
{
    int64_t row = q->heard0, first = -1, last = -1;
    for (int64_t k = 0; k < q->s.n; k++) {
        if (q->s.ids[k] == SO_PICTURE_ID) continue;
        if (is_unit(p->lesson, q->s.ids[k])) {
            if (first < 0) first = row;
            last = row;
        }
        row++;
    }
    *from = first;
    return first < 0 ? 0 : last - first + 1;
}

/* The answer's spoken tokens without the end of turn: what its units say. Returns how many. */
static int64_t spoken_text(const plan *p, const so_sample *s, bool with_end, int32_t *out)
{
    int64_t n = 0;
    for (int64_t i = 0; i < s->n_text; i++)
        if ((!s->spoken || s->spoken[i]) && (with_end || s->text[i] != p->lesson->eot)) out[n++] = s->text[i];
    return n;
}

typedef struct ctc_lists {
    int64_t n, labels, *row0, *rows, *label0, *n_labels;
    int32_t *label;
} ctc_lists;

static bool ctc_take(plan *p, so_pass *pass, ctc_lists *c)
{
    int64_t labels = 1;
    for (int64_t i = 0; i < p->n; i++) labels += p->place[i].s.n_heard + p->place[i].s.n_text;
    *c = (ctc_lists){.n = 0};
    c->row0 = so_take(pass, (size_t)p->n * 8 * sizeof(int64_t), false);
    c->label = so_take(pass, (size_t)labels * sizeof *c->label, false);
    if (!c->row0 || !c->label) return false;
    c->rows = c->row0 + 2 * p->n;
    c->label0 = c->rows + 2 * p->n;
    c->n_labels = c->label0 + 2 * p->n;
    return true;
}

static void ctc_add(ctc_lists *c, int64_t row0, int64_t rows, int64_t n_labels)
{
    c->row0[c->n] = row0;
    c->rows[c->n] = rows;
    c->label0[c->n] = c->labels;
    c->n_labels[c->n++] = n_labels;
    c->labels += n_labels;
}

/* Share of sequences whose greedy reading is the transcript. */
static void note_reading(plan *p, so_pass *pass, const ctc_lists *c)
{
    int64_t V = so_cols(p->logits), right = 0;
    size_t mark = so_arena_mark(pass->arena);
    int32_t *read = so_take(pass, (size_t)(p->hear_rows + 1) * sizeof *read, false);
    for (int64_t i = 0; i < c->n && read; i++) {
        int64_t n = so_ctc_greedy(so_data(p->logits) + c->row0[i] * V, c->rows[i], V, p->lesson->blank, NULL, read);
        right += n == c->n_labels[i] && memcmp(read, c->label + c->label0[i], (size_t)n * sizeof *read) == 0;
    }
    so_arena_release(pass->arena, mark);
    so_notes_add(p->micro->notes, "ctc_right", (double)right / (double)c->n, (double)c->n);
}

static void transcribe(plan *p, so_pass *pass)
{
    ctc_lists c;
    if (!p->logits || p->ctc <= 0 || !ctc_take(p, pass, &c)) return;
    for (int64_t i = 0; i < p->n; i++) {
        const place *q = &p->place[i];
        int64_t from, rows = unit_rows(p, q, &from);
        if (rows && q->s.n_heard) {
            memcpy(c.label + c.labels, q->s.heard, (size_t)q->s.n_heard * sizeof *c.label);
            ctc_add(&c, from, rows, q->s.n_heard);
        }
        if (q->answer && q->s.n_text)
            ctc_add(&c, q->heard0 + q->prompt, q->answer, spoken_text(p, &q->s, false, c.label + c.labels));
    }
    if (c.n == 0) return;
    int64_t infeasible = 0, divide = c.labels ? c.labels : 1;
    so_ctc ctc = {c.n,     c.row0,           c.rows,         c.label0, c.n_labels,
                  c.label, p->lesson->blank, (double)divide, NULL,     &infeasible};
    so_tensor *loss = so_ctc_loss(pass, p->logits, &ctc);
    if (!loss) return;
    add_loss(p, "ctc", loss, p->ctc, divide);
    if (infeasible) so_notes_add(p->micro->notes, "unaligned", (double)infeasible / (double)c.n, (double)c.n);
    note_reading(p, pass, &c);
}

/* Template ids must come out as themselves: they reach the backbone by the same road as speech. */
static void keep_template(plan *p, so_pass *pass)
{
    if (!p->logits || p->template <= 0) return;
    int32_t *label = so_take(pass, (size_t)p->hear_rows * sizeof *label, false);
    int64_t n = 0;
    if (!label) return;
    for (int64_t i = 0; i < p->hear_rows; i++) label[i] = -1;
    for (int64_t i = 0; i < p->n; i++) {
        const place *q = &p->place[i];
        int64_t row = q->heard0;
        for (int64_t k = 0; k < q->s.n && q->prompt; k++) {
            if (q->s.ids[k] == SO_PICTURE_ID) continue;
            if (!is_unit(p->lesson, q->s.ids[k])) label[row] = q->s.ids[k], n++;
            row++;
        }
    }
    if (n) add_loss(p, "template", so_cross_entropy(pass, p->logits, label), p->template, n);
}

/* ---- the top layers */

/* Rows that predict a unit (row, label), and those of them that take text in (the fusion's lists). */
typedef struct speech {
    so_fusion fusion;
    int64_t rows;
    int32_t *row, *label, *fused, *pos, *lo, *hi, *memory_ids, *memory_pos;
    int64_t *seq_rows, *memory0, *memory_rows;
} speech;

static bool speech_take(plan *p, so_pass *pass, speech *s)
{
    int64_t rows = p->hear_rows + p->n, memory = 0;
    for (int64_t i = 0; i < p->n; i++) memory += p->place[i].s.n_text;
    *s = (speech){.row = so_take(pass, (size_t)(6 * rows + 2 * memory) * sizeof(int32_t), false),
                  .seq_rows = so_take(pass, (size_t)(3 * p->n) * sizeof(int64_t), false)};
    if (!s->row || !s->seq_rows) return false;
    s->label = s->row + rows;
    s->fused = s->label + rows;
    s->pos = s->fused + rows;
    s->lo = s->pos + rows;
    s->hi = s->lo + rows;
    s->memory_ids = s->hi + rows;
    s->memory_pos = s->memory_ids + memory;
    s->memory0 = s->seq_rows + p->n;
    s->memory_rows = s->memory0 + p->n;
    return true;
}

/* heard[j]: tokens of the memory that j units have spoken, by forced alignment; in proportion where that is impossible.
 */
static so_status align(plan *p, const place *q, const int32_t *memory, int64_t n, int32_t *heard, so_error *error)
{
    int64_t V = so_cols(p->logits), U = q->answer;
    const so_real *scores = so_data(p->logits) + (q->heard0 + q->prompt) * V;
    heard[0] = 0;
    so_status status = so_ctc_align(&(so_ctc_ask){scores, U, V, memory, n, p->lesson->blank}, heard + 1, NULL, error);
    so_notes_add(p->micro->notes, "unaligned", status == SO_ERR_LIMIT, 1);
    if (status != SO_ERR_LIMIT) return status;
    for (int64_t j = 1; j <= U; j++) heard[j] = (int32_t)(j * n / U);
    return SO_OK;
}

/* The rows of one answer: from the last of the prompt to the last unit, each predicting what follows. */
static so_status add_answer(plan *p, so_pass *pass, const place *q, speech *s, so_error *error)
{
    so_fusion *f = &s->fusion;
    so_window window = p->lesson->window;
    if (window.width == 0 && window.ahead == 0) window = (so_window){5, 3};
    int64_t seq = f->n_seqs, m0 = f->memory_rows;
    int64_t said = spoken_text(p, &q->s, false, s->memory_ids + m0); /* first without, then with the end */
    size_t mark = so_arena_mark(pass->arena);
    int32_t *heard = so_take(pass, (size_t)(q->answer + 1) * sizeof *heard, false);
    if (!heard) return SO_OK;
    SO_TRY(align(p, q, s->memory_ids + m0, said, heard, error));
    int64_t memory = spoken_text(p, &q->s, true, s->memory_ids + m0);
    for (int64_t k = 0; k < memory; k++) s->memory_pos[m0 + k] = (int32_t)k;
    s->memory0[seq] = m0;
    s->memory_rows[seq] = memory;
    s->seq_rows[seq] = 0;
    for (int64_t j = 0; j <= q->answer; j++) {
        int64_t r = f->rows, row = q->prompt - 1 + j;
        s->row[s->rows] = (int32_t)(q->heard0 + row);
        s->label[s->rows++] = j < q->answer ? q->s.units[j] : p->lesson->eot;
        so_window_of(&window, heard[j], memory, &s->lo[r], &s->hi[r]);
        if (s->lo[r] == s->hi[r]) continue; /* nothing to see yet: an empty window would mean all of it */
        s->fused[r] = (int32_t)(q->heard0 + row);
        s->pos[r] = (int32_t)row;
        s->seq_rows[seq]++;
        f->rows++;
    }
    so_arena_release(pass->arena, mark);
    f->n_seqs++;
    f->memory_rows += memory;
    return SO_OK;
}

/* Share of rows whose argmax is the label. */
static double right_share(const so_tensor *logits, const int32_t *label)
{
    int64_t V = so_cols(logits), right = 0, n = 0;
    for (int64_t r = 0; r < so_rows(logits); r++) {
        const so_real *x = so_data(logits) + r * V;
        if (label[r] < 0) continue;
        int64_t best = 0;
        for (int64_t c = 1; c < V; c++)
            if (x[c] > x[best]) best = c;
        right += best == label[r];
        n++;
    }
    return n ? (double)right / (double)n : 0;
}

static void speak(plan *p, so_pass *pass)
{
    speech s;
    so_error error;
    if (!p->logits || p->units <= 0 || !so_ok(pass) || !speech_take(p, pass, &s)) return;
    for (int64_t i = 0; i < p->n; i++) {
        const place *q = &p->place[i];
        if (!q->answer || !q->prompt || !q->s.n_text) continue;
        if (add_answer(p, pass, q, &s, &error) != SO_OK) {
            so_pass_fail(pass, error.status, "%s", error.text);
            return;
        }
    }
    so_fusion *f = &s.fusion;
    if (s.rows == 0) return;
    f->memory_ids = s.memory_ids;
    f->memory_pos = s.memory_pos;
    f->row = s.fused;
    f->pos = s.pos;
    f->seq_rows = s.seq_rows;
    f->ranges = (so_memory){s.memory0, s.memory_rows, s.lo, s.hi};
    so_tensor *top = so_omni_speak(pass, p->lesson->net, p->hidden, p->hear_batch, f);
    so_tensor *logits = so_omni_voice(pass, p->lesson->net, so_take_rows(pass, top, s.rows, s.row));
    so_tensor *loss = so_cross_entropy(pass, logits, s.label);
    if (!loss) return;
    add_loss(p, "units", loss, p->units, s.rows);
    so_notes_add(p->micro->notes, "units_right", right_share(logits, s.label), (double)s.rows);
}

/* ---- the backbone */

enum { READ, SEE, EXPECT, PARTS };

typedef struct thought {
    int64_t rows, n, reads;
    int64_t *lengths;             /* per sequence */
    int32_t *part_of, *row, *ids; /* per row: where its input comes from; ids of the READ part */
    int32_t *label;               /* per row: the id that follows, or -1 */
} thought;

static void think_row(thought *t, int part, int64_t row, int32_t label)
{
    t->part_of[t->rows] = part;
    t->row[t->rows] = (int32_t)row;
    t->label[t->rows++] = label;
}

/* What row k of prompt and answer must predict. */
static int32_t next_label(const so_sample *s, int64_t k)
{
    if (k + 1 >= s->n + s->n_text) return -1;
    if (k + 1 >= s->n) return s->text[k + 1 - s->n];
    int32_t id = s->ids[k + 1];
    bool wanted = s->learn ? s->learn[k + 1] != 0 : s->n_text == 0;
    return wanted && id >= 0 ? id : -1;
}

static void add_thought(thought *t, const place *q, int64_t patches, int64_t *picture)
{
    const so_sample *s = &q->s;
    int64_t before = t->rows, hear_row = q->heard0, seen = 0;
    for (int64_t k = 0; k < s->n + s->n_text; k++) {
        int32_t id = k < s->n ? s->ids[k] : s->text[k - s->n];
        int32_t label = next_label(s, k);
        if (id == SO_PICTURE_ID) {
            if (seen++ >= s->pictures) continue;
            for (int64_t i = 0; i < patches; i++)
                think_row(t, SEE, *picture * patches + i, i + 1 == patches ? label : -1);
            ++*picture;
        } else if (k < s->n && q->speaks) {
            think_row(t, EXPECT, hear_row++, label);
        } else {
            t->ids[t->reads] = id;
            think_row(t, READ, t->reads++, label);
        }
    }
    *picture += s->pictures - (seen < s->pictures ? seen : s->pictures);
    t->lengths[t->n++] = t->rows - before;
}

static bool thought_take(plan *p, so_pass *pass, int64_t patches, thought *t)
{
    int64_t rows = 0;
    for (int64_t i = 0; i < p->n; i++)
        rows += p->place[i].s.n + p->place[i].s.n_text + p->place[i].s.pictures * patches;
    *t = (thought){.part_of = so_take(pass, (size_t)(4 * rows) * sizeof(int32_t), false),
                   .lengths = so_take(pass, (size_t)p->n * sizeof(int64_t), false)};
    if (!t->part_of || !t->lengths) return false;
    t->row = t->part_of + rows;
    t->ids = t->row + rows;
    t->label = t->ids + rows;
    return true;
}

/* All pictures of the micro-batch through the vision tower at once. */
static so_tensor *see(plan *p, so_pass *pass)
{
    const so_siglip_config *c = &p->lesson->net->config.siglip;
    int64_t each = 3 * c->image * c->image, at = 0;
    float *pixels = so_take(pass, (size_t)(p->pictures * each) * sizeof *pixels, false);
    if (!pixels) return NULL;
    for (int64_t i = 0; i < p->n; i++) {
        const so_sample *s = &p->place[i].s;
        if (s->pictures) memcpy(pixels + at * each, s->pixels, (size_t)(s->pictures * each) * sizeof *pixels);
        at += s->pictures;
    }
    return so_omni_see(pass, p->lesson->net, p->pictures, pixels);
}

/* Moves the rows that have a label to the front of row[] and label[]; returns how many. */
static int64_t keep_labelled(thought *t)
{
    int64_t n = 0;
    for (int64_t r = 0; r < t->rows; r++)
        if (t->label[r] >= 0) {
            t->row[n] = (int32_t)r;
            t->label[n++] = t->label[r];
        }
    return n;
}

/* What the backbone gets of what the bottom layers hear. */
static so_tensor *pass_on(plan *p, so_pass *pass)
{
    const so_omni *net = p->lesson->net;
    if (!p->lesson->hard || !p->logits) return so_omni_expect(pass, net, p->logits);
    int64_t rows = so_rows(p->logits), V = so_cols(p->logits);
    int32_t *likeliest = so_take(pass, (size_t)rows * sizeof *likeliest, false);
    for (int64_t r = 0; likeliest && r < rows; r++) {
        const so_real *x = so_data(p->logits) + r * V;
        likeliest[r] = 0;
        for (int32_t c = 1; c < V; c++)
            if (x[c] > x[likeliest[r]]) likeliest[r] = c;
    }
    return likeliest ? so_omni_read(pass, net, rows, likeliest) : NULL;
}

static void answer(plan *p, so_pass *pass)
{
    thought t;
    const so_omni *net = p->lesson->net;
    int64_t grid = p->pictures ? so_siglip_grid(&net->config.siglip) : 0, picture = 0;
    if (p->text <= 0 || !so_ok(pass) || !thought_take(p, pass, grid * grid, &t)) return;
    if (p->pictures && !net->config.vision) {
        so_pass_fail(pass, SO_ERR_UNSUPPORTED, "a sample with a picture, but the model has no vision tower");
        return;
    }
    bool speaks = false;
    for (int64_t i = 0; i < p->n; i++) {
        add_thought(&t, &p->place[i], grid * grid, &picture);
        speaks |= p->place[i].speaks;
    }
    so_tensor *part[PARTS] = {so_omni_read(pass, net, t.reads, t.ids)};
    part[SEE] = p->pictures ? see(p, pass) : part[READ];
    part[EXPECT] = speaks ? pass_on(p, pass) : part[READ];
    so_tensor *x = so_splice(pass, PARTS, part, t.rows, t.part_of, t.row);
    so_tensor *h = so_omni_think(pass, net, x, so_batch_many(pass, t.n, t.lengths, NULL));
    int64_t n = keep_labelled(&t);
    if (n == 0) return;
    so_tensor *logits = so_omni_write(pass, net, so_take_rows(pass, h, n, t.row));
    so_tensor *loss = so_cross_entropy(pass, logits, t.label);
    if (!loss) return;
    add_loss(p, "text", loss, p->text, n);
    so_notes_add(p->micro->notes, "text_right", right_share(logits, t.label), (double)n);
}

/* ---- pictures and captions */

/* The mean of each run of rows, as a product with a constant matrix. */
static so_tensor *mean_rows(so_pass *pass, so_tensor *x, int64_t n, const int64_t *lengths)
{
    if (!x) return NULL;
    so_tensor *w = so_new2(pass, n, so_rows(x));
    if (!w) return NULL;
    memset(w->data, 0, (size_t)so_count(w) * sizeof(so_real));
    for (int64_t i = 0, at = 0; i < n; at += lengths[i++])
        for (int64_t k = 0; k < lengths[i]; k++) so_data(w)[i * so_rows(x) + at + k] = 1 / (so_real)lengths[i];
    return so_matmul(pass, w, x);
}

/* Share of pictures whose own caption is nearest to them. */
static double matched(const so_tensor *a, const so_tensor *b)
{
    int64_t n = so_rows(a), D = so_cols(a), right = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t best = 0;
        double most = -INFINITY;
        for (int64_t k = 0; k < n; k++) {
            double x = 0;
            for (int64_t d = 0; d < D; d++) x += (double)so_data(a)[i * D + d] * (double)so_data(b)[k * D + d];
            if (x > most) most = x, best = k;
        }
        right += best == i;
    }
    return (double)right / (double)n;
}

static void match_captions(plan *p, so_pass *pass, double weight)
{
    const so_lesson *l = p->lesson;
    int64_t rows = 0, *patches = so_take(pass, (size_t)(2 * p->n) * sizeof *patches, false), *words = patches + p->n;
    for (int64_t i = 0; i < p->n; i++) rows += p->place[i].s.n_text;
    int32_t *ids = so_take(pass, (size_t)rows * sizeof *ids, false);
    if (!ids || !l->pairs_scale || !l->pairs_bias) {
        so_pass_fail(pass, SO_ERR_STATE, "the loss 'pairs' needs its scale and bias");
        return;
    }
    int64_t grid = so_siglip_grid(&l->net->config.siglip);
    for (int64_t i = 0, at = 0; i < p->n; i++) {
        const so_sample *s = &p->place[i].s;
        if (s->pictures != 1 || s->n_text < 1) {
            so_pass_fail(pass, SO_ERR_ARG, "a caption sample with %lld pictures and %lld tokens of text",
                         (long long)s->pictures, (long long)s->n_text);
            return;
        }
        patches[i] = grid * grid;
        words[i] = s->n_text;
        memcpy(ids + at, s->text, (size_t)s->n_text * sizeof *ids);
        at += s->n_text;
    }
    so_tensor *a = so_l2_norm(pass, mean_rows(pass, see(p, pass), p->n, patches), 1e-6);
    so_tensor *h =
        so_omni_think(pass, l->net, so_omni_read(pass, l->net, rows, ids), so_batch_many(pass, p->n, words, NULL));
    so_tensor *b = so_l2_norm(pass, mean_rows(pass, h, p->n, words), 1e-6);
    so_tensor *loss = so_sigmoid_pairs(pass, a, b, l->pairs_scale, l->pairs_bias);
    if (!loss) return;
    add_loss(p, "pairs", loss, weight, p->n);
    so_notes_add(p->micro->notes, "pairs_right", matched(a, b), (double)p->n);
}

/* ---- all together */

so_tensor *so_lesson_micro(void *context, so_pass *pass, so_micro *micro)
{
    const so_lesson *l = context;
    plan *p = so_take(pass, sizeof *p, true);
    if (!p) return NULL;
    *p = (plan){.lesson = l,
                .micro = micro,
                .text = so_stage_weight(l->stage, "text"),
                .units = so_stage_weight(l->stage, "units"),
                .ctc = so_stage_weight(l->stage, "ctc"),
                .template = so_stage_weight(l->stage, "template"),
                .pairs = so_stage_weight(l->stage, "pairs")};
    so_error error;
    int64_t grid = l->net->config.vision ? so_siglip_grid(&l->net->config.siglip) : 0;
    if ((l->source.gather ? gather : draw)(p, pass, grid * grid, &error) != SO_OK)
        return so_pass_fail(pass, error.status, "%s", error.text);
    if (p->n == 0 || !p->place) return NULL;
    if (p->pairs > 0) {
        match_captions(p, pass, p->pairs);
    } else {
        hear(p, pass);
        transcribe(p, pass);
        keep_template(p, pass);
        speak(p, pass);
        answer(p, pass);
    }
    if (!so_ok(pass) || p->parts == 0) return NULL;
    return so_weighted_sum(pass, p->parts, p->loss, p->weight);
}
