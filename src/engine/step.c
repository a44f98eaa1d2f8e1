/* Answers out of the stores. See step.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/step.h"

#include <string.h>

#include "engine/choose.h"
#include "text/recite.h"

enum { AHEAD_AFTER = 16 /* units of a voice: its first sound does not wait for text that is not due */ };

/* ---- the state of an answer */

so_status so_talk_begin(so_talk *talk, bool voice, so_error *error)
{
    if (talk->backbone.len == 0) return so_fail(error, SO_ERR_STATE, "an answer to nothing");
    if (voice && !talk->pending)
        return so_fail(error, SO_ERR_STATE, "a spoken answer without a prompt on the speech side");
    so_worker_begin(talk->worker);
    so_arena_trim(&talk->worker->scratch); /* an answer's rows need less than the prompt's */
    talk->n_text = talk->n_read = talk->n_memory = talk->n_units = talk->n_next = 0;
    talk->shown.len = talk->n_shown = 0;
    talk->voice = voice;
    talk->typed = talk->read[talk->backbone.len - 1].where != (SO_SLOT_SPEECH | SO_SLOT_EXPECT);
    talk->target = talk->options.lookahead;
    talk->last_label = talk->last_symbol = talk->model->blank;
    talk->n_spoken = talk->idle = 0;
    talk->spoke = talk->ahead = false;
    talk->script = NULL;
    talk->n_ready = talk->n_given = 0;
    talk->watched = talk->cut = false;
    talk->repeat = (so_repeat){0};
    talk->end = SO_END_NONE;
    return SO_OK;
}

void so_talk_sampling(so_talk *talk, const so_sampling *how, bool anew)
{
    talk->options.sampling = *how;
    if (anew) so_rng_init(&talk->rng, how->seed, 0);
}

void so_talk_recite(so_talk *talk, const int32_t *ids, int64_t n)
{
    talk->script = ids;
    talk->n_script = n;
}

/* Ready tokens go to where the top layers see them: as many as are due, or all. */
static void give(so_talk *talk, bool all)
{
    while (talk->n_given < talk->n_ready && (all || talk->n_memory < talk->target)) {
        int32_t id = talk->text[talk->n_given++];
        if (so_model_spoken(talk->model, id) || talk->options.loop == SO_LOOP_PAPER)
            talk->memory_ids[talk->n_memory++] = id;
    }
}

void so_talk_ready(so_talk *talk, int64_t n) { talk->n_ready = n; }

void so_talk_cut(so_talk *talk, int64_t n)
{
    talk->n_text = talk->n_ready = n;
    talk->n_next = 0;
    talk->cut = true;
    bool words = false;
    for (int64_t i = 0; i < n; i++) words |= so_model_spoken(talk->model, talk->text[i]);
    if (!talk->voice || !words) talk->end = SO_END_STOP_TEXT;
}

static so_made take_text(so_talk *talk, int32_t id)
{
    talk->text[talk->n_text++] = id;
    if (!talk->watched || talk->cut) talk->n_ready = talk->n_text;
    bool stop = talk->voice ? id == talk->model->eot : so_model_stops(talk->model, id);
    if (stop && !talk->voice) talk->end = SO_END_STOP;
    if (!talk->voice && !stop && talk->n_text == talk->options.max_text) talk->end = SO_END_LENGTH;
    bool circles = so_repeat_add(&talk->repeat, talk->text, talk->n_text);
    if (!talk->voice && !talk->end && circles && !talk->options.circles) talk->end = SO_END_RUN_AWAY;
    return (so_made){SO_STEP_TEXT, id, stop, talk->backbone.len - 1};
}

/* Beside units: whether one more text token is due. */
static bool text_is_due(so_talk *talk)
{
    give(talk, false);
    if (talk->n_memory >= talk->target || talk->n_text == talk->options.max_text) return false;
    if (talk->n_text && talk->backbone.len == talk->backbone.capacity) return false;
    int32_t last = talk->n_text ? talk->text[talk->n_text - 1] : -1;
    if ((talk->script || talk->cut) && last == talk->model->eot) return false;
    if (talk->n_memory == 0) return true;
    int32_t remembered = talk->memory_ids[talk->n_memory - 1];
    /* The published code asks for the last token in one mode, for the last remembered one in the other. */
    if (talk->typed && talk->options.loop == SO_LOOP_RELEASED)
        return remembered != talk->model->eot && remembered != talk->model->blank;
    return last != talk->model->eot;
}

/* A voice that has gone through its text, or that gets no further in it, may go on for ever. Words beyond those of the
 * text are repetitions and count as no progress. */
static void watch_progress(so_talk *talk, bool new_word, int64_t words)
{
    int64_t most = talk->options.units_per_token;
    talk->n_spoken += words;
    talk->idle = new_word && talk->n_spoken <= talk->n_memory ? 0 : talk->idle + 1;
    if (most > 0 && talk->idle >= most) talk->end = SO_END_RUN_AWAY;
}

static so_made take_unit(so_talk *talk, int32_t id)
{
    talk->pending = false;
    talk->last_unit = id;
    talk->spoke = true;
    talk->n_units++;
    bool stop = so_model_stops(talk->model, id);
    if (stop)
        talk->end = SO_END_STOP;
    else if (talk->n_units == talk->options.max_units)
        talk->end = SO_END_LENGTH;
    return (so_made){SO_STEP_UNIT, id, stop, talk->top.len - 1};
}

/* ---- batches */

/* Some of the conversations that are stepped, and what is computed for each. */
typedef struct group {
    so_talk *talk[SO_STEP_MOST];
    int32_t id[SO_STEP_MOST]; /* of the row that goes in; of what comes out */
    int64_t n;
} group;

static so_batch *batch_of(so_pass *pass, const group *g, size_t store)
{
    int64_t rows[SO_STEP_MOST];
    so_kv *kv[SO_STEP_MOST];
    for (int64_t i = 0; i < g->n; i++) {
        rows[i] = 1;
        kv[i] = (so_kv *)(void *)((char *)g->talk[i] + store);
    }
    return so_batch_many(pass, g->n, rows, kv);
}

/* Rows [n, D] that the conversations keep at `field`. */
static so_tensor *rows_of(so_pass *pass, const group *g, size_t field)
{
    int64_t width = g->talk[0]->model->setup.omni.llama.width;
    so_tensor *x = so_new2(pass, g->n, width);
    for (int64_t i = 0; x && i < g->n && !pass->dry; i++)
        so_device_copy(pass->device, so_data(x) + i * width, *(so_real **)(void *)((char *)g->talk[i] + field),
                       (size_t)width * sizeof(so_real));
    return x;
}

static void keep_rows(const so_pass *pass, const group *g, const so_tensor *x, size_t field)
{
    int64_t width = so_cols(x);
    for (int64_t i = 0; i < g->n; i++)
        so_device_copy(pass->device, *(so_real **)(void *)((char *)g->talk[i] + field), so_data(x) + i * width,
                       (size_t)width * sizeof(so_real));
}

/* ---- text ahead of need
 *
 * In an answer with a voice the backbone reads nothing but its own likeliest tokens, so that they can be named before
 * they are due: on a device they come back with what is read anyhow, on the host they share the products of others. The
 * rows they came from lie in its store behind backbone.len; each counts when the token that came from it is made. */

static bool runs_ahead(const so_talk *talk)
{
    return talk->voice && !talk->script && !talk->cut && !talk->backbone.beside;
}

/* Whether token k of the answer could be made: the position that it is read from exists. */
static bool has_room(const so_talk *talk, int64_t k)
{
    return k < talk->options.max_text && talk->backbone.len - talk->n_read + k <= talk->backbone.capacity;
}

/* Token n_text + n_next + more of each, into ids[n] on the device. The one before it is id[i], or lies at there[i]. */
static void name_ahead(so_pass *pass, group *g, const int32_t *there, int64_t more, int32_t *ids)
{
    const so_model *model = g->talk[0]->model;
    so_mark mark = so_pass_mark(pass);
    int64_t len[SO_STEP_MOST];
    for (int64_t i = 0; i < g->n; i++) {
        so_talk *talk = g->talk[i];
        len[i] = talk->backbone.len;
        if (!pass->dry) talk->backbone.len += talk->n_text + talk->n_next + more - 1 - talk->n_read;
        if (!pass->dry) talk->thought_at = 0; /* the row behind the last position is not kept */
    }
    so_batch *batch = batch_of(pass, g, offsetof(so_talk, backbone));
    so_tensor *x =
        there ? so_omni_read_there(pass, &model->net, g->n, there) : so_omni_read(pass, &model->net, g->n, g->id);
    so_choose_there(pass, g->talk, g->n, so_omni_think(pass, &model->net, x, batch), SO_HEAD_TEXT, ids);
    for (int64_t i = 0; i < g->n; i++) g->talk[i]->backbone.len = len[i];
    so_pass_release(pass, mark);
}

/* Whether its next text token can be named beside `most` that are known and not made yet; the one before that. */
static bool could_name(const so_talk *talk, int64_t most, int32_t *last)
{
    int64_t known = talk->n_text + talk->n_next;
    *last = talk->n_next ? talk->next_text[talk->n_next - 1] : known ? talk->text[known - 1] : -1;
    bool more = runs_ahead(talk) && talk->n_next < most && known && *last != talk->model->eot;
    return more && has_room(talk, known);
}

/* Of g, those whose next text token can be named along with a unit, and their last known tokens. */
static group readers(const so_pass *pass, const group *g)
{
    group r = {.n = 0};
    for (int64_t i = 0; i < g->n; i++) {
        so_talk *talk = g->talk[i];
        int32_t last;
        bool wants = could_name(talk, SO_TEXT_AHEAD, &last) && talk->n_units >= AHEAD_AFTER &&
                     so_choose_stays(pass, &talk, 1, SO_HEAD_TEXT);
        if (!wants && !pass->dry) continue;
        r.id[r.n] = pass->dry ? 0 : last;
        r.talk[r.n++] = talk;
    }
    return r;
}

/* The next token, where it is known; what it was named from counts as read. */
static bool at_hand(so_talk *talk, int32_t *id)
{
    if (!talk->n_next) return false;
    *id = talk->next_text[0];
    memmove(talk->next_text, talk->next_text + 1, (size_t)--talk->n_next * sizeof *id);
    if (talk->n_text == talk->n_read) return true;
    talk->read[talk->backbone.len++] = (so_slot){talk->text[talk->n_text - 1], SO_SLOT_TEXT};
    talk->n_read++;
    return true;
}

/* ---- units */

/* On a device: the speech side hears the units whose ids lie at both[0, n), and ids and their labels are read at once,
 * together with text that is named ahead. What was heard counts when the unit does: a voice that ends with it, or that
 * is given another, leaves it alone. */
static void hear_ahead(so_pass *pass, group *g, int32_t *both)
{
    const so_model *model = g->talk[0]->model;
    int32_t seen[3 * SO_STEP_MOST];
    group reads = readers(pass, g);
    so_batch *batch = batch_of(pass, g, offsetof(so_talk, bottom));
    so_tensor *h = so_omni_hear_there(pass, &model->net, g->n, both, batch);
    so_choose_there(pass, g->talk, g->n, h, SO_HEAD_CTC, both + g->n);
    if (so_ok(pass) && !pass->dry) keep_rows(pass, g, h, offsetof(so_talk, h));
    if (reads.n) name_ahead(pass, &reads, NULL, 0, both + 2 * g->n);
    if (!so_ok(pass) || pass->dry) return;
    so_device_read(pass->device, seen, both, (size_t)(2 * g->n + reads.n) * sizeof *seen);
    for (int64_t i = 0; i < reads.n; i++) reads.talk[i]->next_text[reads.talk[i]->n_next++] = seen[2 * g->n + i];
    for (int64_t i = 0; i < g->n; i++) {
        so_talk *talk = g->talk[i];
        talk->ahead = true;
        talk->ahead_unit = g->id[i] = seen[i];
        talk->ahead_label = seen[g->n + i];
    }
}

static bool hears_ahead(const so_pass *pass, const group *g)
{
    bool all = g->talk[0]->model->setup.omni.speech && so_choose_stays(pass, g->talk, g->n, SO_HEAD_UNIT) &&
               so_choose_stays(pass, g->talk, g->n, SO_HEAD_CTC);
    for (int64_t i = 0; i < g->n; i++) all &= pass->dry || g->talk[i]->bottom.len < g->talk[i]->bottom.capacity;
    return all;
}

/* The label of a unit that was heard ahead; false where the last unit was not. */
static bool heard_ahead(so_talk *talk, int32_t *label)
{
    bool known = talk->ahead && talk->ahead_unit == talk->last_unit;
    talk->ahead = false;
    if (!known) return false;
    *label = talk->ahead_label;
    talk->heard[talk->bottom.len] = talk->last_unit;
    talk->label[talk->bottom.len++] = *label;
    talk->pending = true;
    return true;
}

/* The speech side hears the units made last; their labels are what the voice has said. */
static void hear_rows(so_pass *pass, group *g)
{
    const so_model *model = g->talk[0]->model;
    int32_t label[SO_STEP_MOST];
    so_batch *batch = batch_of(pass, g, offsetof(so_talk, bottom));
    so_tensor *h = so_omni_hear(pass, &model->net, g->n, g->id, batch);
    so_choose(pass, g->talk, g->n, h, SO_HEAD_CTC, label);
    if (!so_ok(pass) || pass->dry) return;
    keep_rows(pass, g, h, offsetof(so_talk, h));
    for (int64_t i = 0; i < g->n; i++) {
        so_talk *talk = g->talk[i];
        talk->heard[talk->bottom.len] = g->id[i];
        talk->label[talk->bottom.len] = label[i];
        talk->pending = true;
    }
    so_batch_advance(batch);
    memcpy(g->id, label, sizeof label);
}

/* On the host, conversations that write no text now name their next token by the products that others need for theirs.
 */
static void join(const so_pass *pass, so_talk *const *talk, int64_t n, const so_step_kind *kind, group *reads,
                 group *writes)
{
    for (int64_t i = 0; i < n && !pass->device && !pass->watch; i++) {
        int32_t last;
        if (kind[i] != SO_STEP_UNIT || talk[i]->odds || !could_name(talk[i], SO_TEXT_AT_ONCE, &last)) continue;
        reads->id[reads->n] = last;
        reads->talk[reads->n++] = writes->talk[writes->n++] = talk[i];
    }
}

/* The backbone reads its own last tokens; behind the first `due` those of conversations that run ahead, whose rows wait
 * behind the end of the store. */
static void read_rows(so_pass *pass, const group *g, int64_t due)
{
    const so_model *model = g->talk[0]->model;
    int64_t ahead[SO_STEP_MOST] = {0};
    for (int64_t i = due; i < g->n; i++) {
        ahead[i] = g->talk[i]->n_text + g->talk[i]->n_next - 1 - g->talk[i]->n_read;
        g->talk[i]->backbone.len += ahead[i];
        g->talk[i]->thought_at = 0; /* the row behind the last position is not kept */
    }
    so_batch *batch = batch_of(pass, g, offsetof(so_talk, backbone));
    so_tensor *y = so_omni_think(pass, &model->net, so_omni_read(pass, &model->net, g->n, g->id), batch);
    for (int64_t i = due; i < g->n; i++) g->talk[i]->backbone.len -= ahead[i];
    if (!so_ok(pass) || pass->dry) return;
    keep_rows(pass, g, y, offsetof(so_talk, thought));
    for (int64_t i = 0; i < due; i++) {
        so_talk *talk = g->talk[i];
        talk->read[talk->backbone.len++] = (so_slot){g->id[i], SO_SLOT_TEXT};
        talk->thought_at = talk->backbone.len;
        talk->n_read++;
    }
}

/* Text tokens of each that are due at once, and can be named for one read. */
static int64_t due_at_once(const so_pass *pass, const group *g)
{
    int64_t n = SO_TEXT_AT_ONCE;
    if (!so_choose_stays(pass, g->talk, g->n, SO_HEAD_TEXT)) return 1;
    for (int64_t i = 0; i < g->n && !pass->dry; i++) {
        const so_talk *talk = g->talk[i];
        int64_t due = runs_ahead(talk) ? talk->target - talk->n_memory : 1;
        if (due < n) n = due;
        while (n > 1 && !has_room(talk, talk->n_text + n - 1)) n--;
    }
    return n < 1 ? 1 : n;
}

/* And names the next ones; those that are due behind them, too. */
static void write_rows(so_pass *pass, group *g)
{
    so_tensor *hidden = rows_of(pass, g, offsetof(so_talk, thought));
    int32_t seen[SO_TEXT_AT_ONCE * SO_STEP_MOST];
    int64_t n = due_at_once(pass, g), m = g->n;
    if (n == 1 || pass->dry) so_choose(pass, g->talk, m, hidden, SO_HEAD_TEXT, g->id);
    int32_t *ids = n > 1 ? so_take_data(pass, (size_t)(n * m) * sizeof *ids) : NULL;
    if (!ids) return;
    so_choose_there(pass, g->talk, m, hidden, SO_HEAD_TEXT, ids);
    for (int64_t k = 1; k < n; k++) name_ahead(pass, g, ids + (k - 1) * m, k, ids + k * m);
    if (!so_ok(pass) || pass->dry) return;
    so_device_read(pass->device, seen, ids, (size_t)(n * m) * sizeof *seen);
    for (int64_t i = 0; i < m; i++) {
        g->id[i] = seen[i];
        for (int64_t k = 1; k < n; k++) g->talk[i]->next_text[g->talk[i]->n_next++] = seen[k * m + i];
    }
}

/* Text tokens that a conversation's top layers see now; in a dry pass, the most they ever may. */
static int64_t visible(const so_pass *pass, const so_talk *talk)
{
    int64_t n = pass->dry ? talk->options.max_text : talk->n_memory, window = talk->options.window;
    return window < 0 || window > n ? n : window;
}

/* What of it is new; room for that in the store, behind what is still seen. */
static int64_t newly_visible(const so_pass *pass, so_talk *talk)
{
    int64_t m = visible(pass, talk), n = talk->n_memory - talk->n_shown;
    if (n > m || pass->dry) return m;
    if (talk->shown.len + n > talk->shown.capacity) so_kv_keep_last(&talk->shown, m - n);
    return n;
}

/* New text into the stores: in one product no more rows than are summed alike in any company. */
static void note_rows(so_pass *pass, const group *g)
{
    for (int64_t i = 0; i < g->n && so_ok(pass);) {
        so_mark mark = so_pass_mark(pass);
        so_kv *kv[SO_STEP_MOST];
        int64_t rows[SO_STEP_MOST], n = 0, all = 0, k = 0, from = i;
        for (int64_t m; i < g->n; i++, all += m) {
            m = newly_visible(pass, g->talk[i]);
            if (n && all + m > SO_STEP_MOST) break;
            kv[n] = &g->talk[i]->shown;
            rows[n++] = m;
        }
        int32_t *ids = so_take(pass, (size_t)(2 * all + 1) * sizeof *ids, false);
        for (int64_t s = 0; s < n && ids; s++)
            for (int64_t j = rows[s]; j > 0; j--, k++) {
                const so_talk *talk = g->talk[from + s];
                ids[k] = pass->dry ? 0 : talk->memory_ids[talk->n_memory - j];
                ids[all + k] = pass->dry ? 0 : (int32_t)(talk->n_memory - j);
            }
        so_batch *batch = all ? so_batch_many(pass, n, rows, kv) : NULL;
        so_omni_note(pass, &g->talk[0]->model->net, ids, ids + all, batch);
        if (so_ok(pass) && !pass->dry) so_batch_advance(batch);
        for (; from < i && so_ok(pass) && !pass->dry; from++) g->talk[from]->n_shown = g->talk[from]->n_memory;
        so_pass_release(pass, mark);
    }
}

/* The text windows of all, one behind the other. Those that see nothing yet are not listed. */
static so_fusion *windows(so_pass *pass, const group *g)
{
    int64_t all = 0, s = 0, at = 0;
    bool stored = g->talk[0]->shown.capacity > 0;
    if (stored) note_rows(pass, g);
    for (int64_t i = 0; i < g->n && !stored; i++) all += visible(pass, g->talk[i]);
    so_kv **kv = so_take(pass, SO_STEP_MOST * sizeof(so_kv *), true);
    so_fusion *u = so_take(pass, sizeof *u, true);
    int32_t *ids = so_take(pass, (size_t)(2 * all + 1) * sizeof *ids, true), *pos = ids ? ids + all : NULL;
    int32_t *row = so_take(pass, 4 * SO_STEP_MOST * sizeof *row, true);
    int64_t *seq = so_take(pass, 3 * SO_STEP_MOST * sizeof *seq, true);
    if (!u || !ids || !row || !seq) return NULL;
    int32_t *at_row = row + SO_STEP_MOST, *lo = row + 2 * SO_STEP_MOST, *hi = row + 3 * SO_STEP_MOST;
    int64_t *memory0 = seq + SO_STEP_MOST, *memory_rows = seq + 2 * SO_STEP_MOST;
    for (int64_t i = 0; i < g->n; i++) {
        const so_talk *talk = g->talk[i];
        int64_t m = visible(pass, talk), first = pass->dry ? 0 : talk->n_memory - m;
        if (m == 0) continue;
        kv[s] = &g->talk[i]->shown;
        for (int64_t j = 0; j < m && !stored; j++) {
            ids[at + j] = pass->dry ? 0 : talk->memory_ids[first + j];
            pos[at + j] = (int32_t)(first + j);
        }
        row[s] = (int32_t)i;
        at_row[s] = (int32_t)talk->top.len;
        hi[s] = (int32_t)m;
        lo[s] = 0;
        seq[s] = 1;
        memory0[s] = at;
        memory_rows[s++] = m;
        at += m;
    }
    *u = (so_fusion){.memory_rows = all, .memory_ids = ids, .memory_pos = pos, .rows = s, .row = row, .pos = at_row};
    u->n_seqs = s;
    u->seq_rows = seq;
    u->ranges = (so_memory){memory0, memory_rows, lo, hi};
    if (stored) u->store = kv;
    return u;
}

/* The waiting rows go through the top layers together with the text windows; the ids they say. */
static void speak_rows(so_pass *pass, group *g)
{
    const so_model *model = g->talk[0]->model;
    bool ahead = hears_ahead(pass, g);
    int32_t *both = ahead ? so_take_data(pass, (size_t)(3 * g->n) * sizeof *both) : NULL;
    so_mark mark = so_pass_mark(pass);
    so_fusion *u = windows(pass, g);
    so_batch *batch = batch_of(pass, g, offsetof(so_talk, top));
    so_tensor *y = u ? so_omni_speak(pass, &model->net, rows_of(pass, g, offsetof(so_talk, h)), batch, u) : NULL;
    if (both) so_choose_there(pass, g->talk, g->n, y, SO_HEAD_UNIT, both);
    if (!both || pass->dry) so_choose(pass, g->talk, g->n, y, SO_HEAD_UNIT, g->id);
    if (so_ok(pass) && !pass->dry) so_batch_advance(batch);
    so_pass_release(pass, mark);
    if (both && so_ok(pass)) hear_ahead(pass, g, both);
}

/* ---- steps */

/* After the speech side has heard a unit: a new word in it calls for one more text token. */
static void heard_unit(so_talk *talk, int32_t label)
{
    int32_t against = talk->options.loop == SO_LOOP_PAPER ? talk->last_symbol : talk->last_label;
    bool new_word = label != talk->model->blank && label != against;
    int64_t words = new_word;
    if (new_word && talk->model->setup.units_per_token) /* the published loop counts labels */
        words = so_recite_on(talk->model->tokenizer, talk->memory_ids, talk->n_memory, talk->n_spoken, label);
    if (talk->target < talk->n_memory + words) talk->target = talk->n_memory + words;
    if (label != talk->model->blank) talk->last_label = label;
    talk->last_symbol = label;
    talk->spoke = false;
    watch_progress(talk, new_word, words);
}

static so_status hear_units(so_worker *worker, so_talk *const *talk, int64_t n, so_error *error)
{
    group g = {.n = 0};
    for (int64_t i = 0; i < n; i++) {
        if (talk[i]->end || !talk[i]->spoke) continue;
        if (talk[i]->bottom.len == talk[i]->bottom.capacity) {
            talk[i]->end = SO_END_CONTEXT;
            continue;
        }
        int32_t label;
        if (heard_ahead(talk[i], &label)) {
            heard_unit(talk[i], label);
            continue;
        }
        g.id[g.n] = talk[i]->last_unit;
        g.talk[g.n++] = talk[i];
    }
    if (!g.n) return SO_OK;
    hear_rows(so_worker_begin_step(worker), &g);
    SO_TRY(so_worker_end(worker, error));
    for (int64_t i = 0; i < g.n; i++) heard_unit(g.talk[i], g.id[i]);
    return SO_OK;
}

/* What is due next, after the last unit was heard. */
static so_step_kind next_kind(so_talk *talk)
{
    if (talk->end) return SO_STEP_END;
    if (!talk->voice && talk->n_text && talk->backbone.len == talk->backbone.capacity) {
        talk->end = SO_END_CONTEXT;
        return SO_STEP_END;
    }
    return !talk->voice || text_is_due(talk) ? SO_STEP_TEXT : SO_STEP_UNIT;
}

/* Text that is not the backbone's own: one that is recited, or the end of one that was cut. */
static bool given_text(const so_talk *talk, int32_t *id)
{
    if (!talk->cut && !talk->script) return false;
    *id = !talk->cut && talk->n_text < talk->n_script ? talk->script[talk->n_text] : talk->model->eot;
    return true;
}

/* id[i] for every i whose kind is TEXT. */
static so_status choose_texts(so_worker *worker, so_talk *const *talk, int64_t n, const so_step_kind *kind, int32_t *id,
                              so_error *error)
{
    group reads = {.n = 0}, writes = {.n = 0};
    int64_t at[SO_STEP_MOST];
    for (int64_t i = 0; i < n; i++) {
        if (kind[i] != SO_STEP_TEXT || given_text(talk[i], &id[i]) || at_hand(talk[i], &id[i])) continue;
        if (talk[i]->n_text > talk[i]->n_read) {
            reads.id[reads.n] = talk[i]->text[talk[i]->n_text - 1];
            reads.talk[reads.n++] = talk[i];
        }
        at[writes.n] = i;
        writes.talk[writes.n++] = talk[i];
    }
    int64_t read = reads.n, due = writes.n;
    if (n > 1 && (due || talk[0]->early)) join(&worker->pass, talk, n, kind, &reads, &writes);
    if (!writes.n) return SO_OK;
    so_pass *pass = so_worker_begin_step(worker);
    if (reads.n) read_rows(pass, &reads, read);
    write_rows(pass, &writes);
    for (int64_t i = 0; i < due; i++) id[at[i]] = writes.id[i];
    SO_TRY(so_worker_end(worker, error));
    for (int64_t i = due; i < writes.n; i++) writes.talk[i]->next_text[writes.talk[i]->n_next++] = writes.id[i];
    return SO_OK;
}

static so_status choose_units(so_worker *worker, so_talk *const *talk, int64_t n, const so_step_kind *kind, int32_t *id,
                              so_error *error)
{
    group g = {.n = 0};
    int64_t at[SO_STEP_MOST];
    for (int64_t i = 0; i < n; i++) {
        if (kind[i] != SO_STEP_UNIT) continue;
        at[g.n] = i;
        g.talk[g.n++] = talk[i];
    }
    if (!g.n) return SO_OK;
    speak_rows(so_worker_begin_step(worker), &g);
    for (int64_t i = 0; i < g.n; i++) id[at[i]] = g.id[i];
    return so_worker_end(worker, error);
}

so_status so_talks_step(so_worker *worker, so_talk *const *talk, int64_t n, so_made *made, so_error *error)
{
    so_step_kind kind[SO_STEP_MOST] = {SO_STEP_END};
    int32_t id[SO_STEP_MOST] = {0};
    if (n > SO_STEP_MOST) return so_fail(error, SO_ERR_LIMIT, "%lld conversations stepped together", (long long)n);
    for (int64_t i = 0; i < n; i++) made[i] = (so_made){.kind = SO_STEP_END};
    SO_TRY(hear_units(worker, talk, n, error));
    for (int64_t i = 0; i < n; i++) kind[i] = next_kind(talk[i]);
    SO_TRY(choose_texts(worker, talk, n, kind, id, error));
    for (int64_t i = 0; i < n; i++)
        if (kind[i] == SO_STEP_TEXT) made[i] = take_text(talk[i], id[i]);
    SO_TRY(choose_units(worker, talk, n, kind, id, error));
    for (int64_t i = 0; i < n; i++)
        if (kind[i] == SO_STEP_UNIT) made[i] = take_unit(talk[i], id[i]);
    return SO_OK;
}

so_status so_talk_step(so_talk *talk, so_made *made, so_error *error)
{
    return so_talks_step(talk->worker, &talk, 1, made, error);
}

so_status so_talk_take(so_talk *talk, const so_made *given, so_error *error)
{
    int32_t id = given->id;
    SO_TRY(hear_units(talk->worker, &talk, 1, error));
    next_kind(talk);
    if (talk->end == SO_END_RUN_AWAY) talk->end = SO_END_NONE;
    if (talk->end || given->kind == SO_STEP_END) return SO_OK;
    give(talk, true);
    SO_TRY(choose_texts(talk->worker, &talk, 1, &given->kind, &id, error));
    SO_TRY(choose_units(talk->worker, &talk, 1, &given->kind, &id, error));
    if (given->kind == SO_STEP_TEXT && given->id != id) talk->n_next = 0;
    given->kind == SO_STEP_TEXT ? take_text(talk, given->id) : take_unit(talk, given->id);
    return SO_OK;
}

so_status so_talk_rehearse_steps(so_talk *talk, int64_t n, so_error *error)
{
    group g = {.n = n < SO_STEP_MOST ? n : SO_STEP_MOST};
    for (int64_t i = 0; i < g.n; i++) g.talk[i] = talk;
    so_pass *pass = so_worker_begin(talk->worker);
    read_rows(pass, &g, g.n);
    write_rows(pass, &g);
    SO_TRY(so_worker_end(talk->worker, error));
    if (talk->model->setup.omni.speech) hear_rows(so_worker_begin(talk->worker), &g);
    SO_TRY(so_worker_end(talk->worker, error));
    if (talk->options.speaks) speak_rows(so_worker_begin(talk->worker), &g);
    return so_worker_end(talk->worker, error);
}
