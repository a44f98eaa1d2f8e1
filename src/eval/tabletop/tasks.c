/* One question, one conversation, or something from outside of the world. See tasks.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "eval/tabletop/tasks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Whether the right answer is that the question is not of the world. */
static bool is_outside(const so_tabletop_item *item) { return so_tabletop_declines(item->answer); }

bool so_tabletop_fits(const so_tabletop_mode *m, const so_tabletop_item *item)
{
    if (!item->answer || !item->question || is_outside(item)) return false;
    return m->recites || ((item->image != NULL) == m->sees && (!m->hears || item->speech));
}

/* ---- what came of it */

static void fail_work(so_tabletop_work *all, so_status status, const so_error *error)
{
    if (status == SO_OK || all->failure != SO_OK) return;
    all->failure = status;
    all->error = *error;
}

/* `label` is the row of the table; `r` goes to the scores when the condition is the undisturbed one. */
static void keep_result(so_tabletop_work *all, const so_asker *w, const so_tabletop_task *t,
                        const so_tabletop_item *item, const char *label, const so_tabletop_result *r)
{
    bool outside = is_outside(item), refused = so_tabletop_declines(r->got);
    bool right = outside ? refused : so_tabletop_match(item->answer, r->got);
    so_tabletop_reply reply = {t->mode->name, item->id, item->kind_name, item->question, item->answer, w->heard,
                               r->got,        w->echo,  w->offline,      right,          label};
    so_condition_result result = {.condition = label,
                                  .mode = t->mode->name,
                                  .voice = t->mode->hears ? item->speaker : "",
                                  .right = right,
                                  .inside = !outside,
                                  .refused = refused,
                                  .spoken = outside ? NULL : r->spoken,
                                  .heard = r->heard};
    so_error error;
    pthread_mutex_lock(&all->lock);
    if (t->condition == so_condition_at(0)) fail_work(all, so_tabletop_score_add(all->score, r, &error), &error);
    fail_work(all, so_condition_table_add(all->table, &result, &error), &error);
    if (all->options->each) all->options->each(all->options->context, &reply);
    pthread_mutex_unlock(&all->lock);
}

/* ---- one question */

/* Puts the item's question and takes the answer; *end: seconds of speech. The picture is there before the question. */
static so_status put_question(so_asker *w, const so_tabletop_mode *m, const so_tabletop_item *item, bool show,
                              double *end, so_error *error)
{
    *end = 0;
    if (show) SO_TRY(so_asker_show(w, item->image, error));
    w->ready = so_asker_now();
    if (m->hears) return so_asker_hear(w, item->speech, end, error);
    return m->recites ? SO_OK : so_feed_text(w->session, item->question, error);
}

static void note_answer(const so_asker *w, const so_tabletop_mode *m, const so_tabletop_item *item, double end,
                        so_tabletop_result *r)
{
    r->mode = m->name;
    r->kind = item->kind_name ? item->kind_name : "";
    r->answer = item->answer;
    r->got = w->got ? w->got : "";
    r->measured[SO_MEASURE_FIRST_WORD] = (w->first_text - end) * 1000;
    if (!m->hears) return;
    r->spoken = item->question;
    r->heard = w->heard ? w->heard : "";
    r->measured[SO_MEASURE_FIRST_TRANSCRIPT] = (w->first_heard - end) * 1000;
    r->measured[SO_MEASURE_EARLY_WORDS] = (double)w->early_words;
    r->withdrawn = w->usage.revised;
}

/* The answer's voice: how long it took, what its own ears make of it, how it compares with espeak-ng's. */
static so_status note_voice(so_asker *w, double spent, double end, so_tabletop_result *r, so_error *error)
{
    double spoken = w->samples ? (double)w->samples / SO_VOICE_RATE : (double)w->n_units * SO_UNIT_MS / 1000;
    r->measured[SO_MEASURE_FIRST_SAMPLE] = (w->first_voice - end) * 1000;
    if (spoken > 0) r->measured[SO_MEASURE_REAL_TIME] = spent / spoken;
    if (spoken > 0) SO_TRY(so_asker_echo(w, error));
    r->echo = w->echo ? w->echo : "";
    if (!w->samples || !w->got || !w->got[0]) return SO_OK;
    return so_asker_compare(w, &r->measured[SO_MEASURE_DURATION_RATIO], &r->measured[SO_MEASURE_MEL_DISTANCE], error);
}

static so_status ask_item(so_tabletop_work *all, so_asker *w, const so_tabletop_task *t, so_error *error)
{
    const so_tabletop_item *item = t->item;
    const so_tabletop_mode *m = t->mode;
    bool clean = t->condition == so_condition_at(0);
    double end;
    so_tabletop_result r = so_tabletop_result_none();
    so_asker_forget(w);
    SO_TRY(so_session_clear(w->session, error));
    SO_TRY(put_question(w, m, item, m->sees, &end, error));
    double begun = so_asker_now();
    SO_TRY(m->recites ? so_say(w->session, item->answer, SO_WANT_TEXT | m->want, error)
                      : so_asker_reply(w, SO_WANT_TEXT | m->want, error));
    SO_TRY(so_asker_drain(w, SO_EVENT_DONE, error));
    double spent = so_asker_now() - begun;
    note_answer(w, m, item, end, &r);
    if (m->want) SO_TRY(note_voice(w, spent, end, &r, error));
    if (m->hears && clean) {
        SO_TRY(so_asker_hear_whole(w, m, item, error));
        r.shown = w->shown;
        r.offline = w->offline;
    }
    keep_result(all, w, t, item, t->condition->name, &r);
    return SO_OK;
}

/* ---- long conversations */

/* The n-th of the items that are, or are not, about a picture, in the corpus's order and round again. */
static const so_tabletop_item *nth_item(const so_tabletop_work *all, const so_tabletop_mode *m, bool picture, int64_t n)
{
    so_tabletop_mode asked = *m;
    int64_t fitting = 0;
    asked.sees = picture;
    for (int64_t i = 0; i < all->corpus.count; i++) fitting += so_tabletop_fits(&asked, &all->corpus.items[i]);
    if (!fitting) return NULL;
    n %= fitting;
    for (int64_t i = 0; i < all->corpus.count; i++)
        if (so_tabletop_fits(&asked, &all->corpus.items[i]) && n-- == 0) return &all->corpus.items[i];
    return NULL;
}

/* Turn `turn` of a conversation: two of three are about a picture, which changes where the corpus's does. */
static const so_tabletop_item *turn_item(const so_tabletop_work *all, const so_tabletop_task *t, int64_t turn)
{
    int64_t length = all->options->turns > 0 ? all->options->turns : SO_TABLETOP_LONG_TURNS,
            at = t->index * length + turn;
    bool picture = t->mode->sees && at % 3 != 0;
    int64_t n = picture ? at / 3 * 2 + at % 3 - 1 : t->mode->sees ? at / 3 : at;
    const so_tabletop_item *item = nth_item(all, t->mode, picture, n);
    return item ? item : nth_item(all, t->mode, !picture && t->mode->sees, at);
}

static const char *bucket(int64_t turn, char label[40])
{
    static const int ends[] = {10, 30, 60, 100, 300, 1000};
    int from = 1;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; from = ends[i++] + 1)
        if (turn < ends[i]) {
            snprintf(label, 40, "turns %d-%d", from, ends[i]);
            return label;
        }
    return "turns 1001-";
}

static so_status converse(so_tabletop_work *all, so_asker *w, const so_tabletop_task *t, so_error *error)
{
    int64_t length = all->options->turns > 0 ? all->options->turns : SO_TABLETOP_LONG_TURNS;
    const char *image = NULL;
    char label[40];
    SO_TRY(so_session_clear(w->session, error));
    for (int64_t turn = 0; turn < length && !(all->options->stop && *all->options->stop); turn++) {
        const so_tabletop_item *item = turn_item(all, t, turn);
        so_tabletop_result r = so_tabletop_result_none();
        double end;
        if (!item) return so_fail(error, SO_ERR_MISSING, "the corpus has no item for a conversation");
        so_asker_forget(w);
        bool show = item->image && (!image || strcmp(image, item->image) != 0);
        if (item->image) image = item->image;
        SO_TRY(put_question(w, t->mode, item, show, &end, error));
        SO_TRY(so_asker_reply(w, SO_WANT_TEXT, error));
        SO_TRY(so_asker_drain(w, SO_EVENT_DONE, error));
        note_answer(w, t->mode, item, end, &r);
        keep_result(all, w, t, item, bucket(turn, label), &r);
    }
    return SO_OK;
}

/* ---- outside of the world */

static so_status show_other(so_asker *w, uint64_t seed, so_error *error)
{
    uint8_t rgb[SO_TABLETOP_SIDE * SO_TABLETOP_SIDE * 3];
    so_scene scene;
    so_scene_make(&scene, seed);
    so_scene_render(&scene, rgb);
    return so_feed_image(w->session, rgb, SO_TABLETOP_SIDE, SO_TABLETOP_SIDE, error);
}

/* Sound without words: that nothing was heard may be told by the status or in words. */
static so_status hear_other(so_asker *w, uint64_t seed, int64_t index, bool *nothing, so_error *error)
{
    float *samples;
    int64_t n;
    double end;
    SO_TRY(so_tabletop_sound(SO_TABLETOP_RESERVED, seed, (uint64_t)index, &samples, &n, error));
    so_status status = so_asker_listen(w, samples, n, SO_TABLETOP_SOUND_RATE, &end, error);
    free(samples);
    SO_TRY(status);
    status = so_reply(w->session, SO_WANT_TEXT, error);
    *nothing = status == SO_ERR_NOTHING_HEARD;
    return *nothing ? SO_OK : status;
}

/* Three in five are questions, one a picture, one a sound; made from the reserved part of the world. */
static so_status ask_outside(so_tabletop_work *all, so_asker *w, const so_tabletop_task *t, so_error *error)
{
    static const char *const labels[] = {"outside questions", "outside pictures", "outside sounds"};
    enum { OTHER_LANGUAGES = 10 };
    uint64_t seed = all->options->seed;
    bool nothing = false;
    char id[32];
    so_qa qa;
    so_rng rng;
    int what = t->mode->sees ? 1 : t->mode->hears ? 2 : 0;
    so_asker_forget(w);
    SO_TRY(so_session_clear(w->session, error));
    w->ready = so_asker_now();
    so_rng_init(&rng, seed, (uint64_t)t->index);
    if (what == 1)
        so_scene_ask_other(SO_TABLETOP_RESERVED, &rng, &qa);
    else
        so_tabletop_talk(SO_TABLETOP_RESERVED, seed, (uint64_t)t->index,
                         what == 2                         ? 1u << SO_TALK_NOTHING
                         : t->index % OTHER_LANGUAGES == 0 ? 1u << SO_TALK_FOREIGN
                                                           : 1u << SO_TALK_OUTSIDE,
                         &qa);
    if (what == 1) SO_TRY(show_other(w, so_tabletop_other_seed(SO_TABLETOP_RESERVED, seed, (uint64_t)t->index), error));
    if (what == 2)
        SO_TRY(hear_other(w, seed, t->index, &nothing, error));
    else
        SO_TRY(so_feed_text(w->session, qa.question, error));
    if (what != 2) SO_TRY(so_asker_reply(w, SO_WANT_TEXT, error));
    if (!nothing) SO_TRY(so_asker_drain(w, SO_EVENT_DONE, error));
    snprintf(id, sizeof id, "outside-%lld", (long long)t->index);
    so_tabletop_item item = {.id = id,
                             .kind_name = so_tabletop_kind_name((int)qa.kind),
                             .question = qa.question,
                             .answer = qa.answer,
                             .kind = (int)qa.kind};
    so_tabletop_result r = so_tabletop_result_none();
    note_answer(w, t->mode, &item, 0, &r);
    if (nothing) r.got = qa.answer;
    keep_result(all, w, t, &item, labels[what], &r);
    return SO_OK;
}

so_status so_tabletop_do(so_tabletop_work *all, so_asker *w, const so_tabletop_task *t, so_error *error)
{
    w->condition = t->condition;
    so_status status = t->condition->kind == SO_CONDITION_LONG ? converse(all, w, t, error)
                       : t->item                               ? ask_item(all, w, t, error)
                                                               : ask_outside(all, w, t, error);
    return status;
}
