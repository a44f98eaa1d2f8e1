/* What of an answer was said, and what of it is remembered. See said.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/said.h"

#include <stdlib.h>
#include <string.h>

enum { UNITS_PER_S = 1000 / SO_UNIT_MS };

so_status so_said_open(so_spoken *said, int64_t units, so_error *error)
{
    said->capacity = units;
    said->text = malloc((size_t)(units + 1) * sizeof *said->text);
    said->span = malloc((size_t)(units + 1) * sizeof *said->span);
    if (!said->text || !said->span) return so_fail(error, SO_ERR_NOMEM, "no memory for %lld units", (long long)units);
    memset(said->text, 0, (size_t)(units + 1) * sizeof *said->text);
    said->span[0] = 0;
    SO_TRY(so_ids_add(&said->ids, said->text, (size_t)units, error)); /* room, taken now */
    said->ids.n = 0;
    return SO_OK;
}

void so_said_clear(so_spoken *said)
{
    free(said->text);
    free(said->span);
    so_ids_clear(&said->ids);
}

/* ---- which text the speech has reached */

/* Ids on the speech side that the first `units` speech units of the answer span. */
static int64_t span_of(const so_session *s, int64_t units)
{
    const so_talk *t = s->talk;
    int64_t i = s->answer_speech, seen = 0;
    for (; i < t->bottom.len && seen < units; i++) seen += so_tokenizer_unit_of(s->model->tokenizer, t->heard[i]) >= 0;
    return i - s->answer_speech;
}

/* Words begun within the first `units` units, by the labels the model heard in its own speech. */
static int64_t words_by(const so_session *s, int64_t units)
{
    const so_talk *t = s->talk;
    int64_t words = 0, end = s->answer_speech + span_of(s, units);
    int32_t last = s->model->blank;
    for (int64_t i = s->answer_speech; i < end; i++) {
        int32_t label = t->label[i];
        if (label < 0 || label == s->model->blank || label == last) continue;
        last = label;
        words++;
    }
    return words < t->n_memory ? words : t->n_memory;
}

/* Text tokens up to and with the `words`-th that may be spoken. */
static int64_t text_by(const so_session *s, int64_t words)
{
    const so_talk *t = s->talk;
    int64_t i = 0, seen = 0;
    for (; i < t->n_text && seen < words; i++)
        seen += t->options.loop == SO_LOOP_PAPER || so_model_spoken(s->model, t->text[i]);
    return i;
}

size_t so_said_bytes(const so_session *s, int64_t units)
{
    const so_spoken *said = &s->spoken;
    int64_t n = units <= said->base_units ? said->text[units < 0 ? 0 : units]
                                          : said->base_text + text_by(s, words_by(s, units - said->base_units));
    return n ? (size_t)s->text_end[n - 1] : 0;
}

void so_said_begin(so_session *s)
{
    so_spoken *said = &s->spoken;
    said->open = false;
    said->units = said->base_units = said->base_text = 0;
    said->text[0] = said->span[0] = 0;
    said->ids.n = 0;
}

/* For every number of units: how much of the text and of the speech side they take. */
so_status so_said_sentence(so_session *s, so_error *error)
{
    so_spoken *said = &s->spoken;
    const so_talk *t = s->talk;
    int64_t words = 0, end = t->bottom.len;
    int32_t last = s->model->blank;
    while (end > s->answer_speech && so_model_stops(s->model, t->heard[end - 1])) end--;
    for (int64_t i = s->answer_speech; i < end && said->units < said->capacity; i++) {
        int32_t label = t->label[i];
        if (label >= 0 && label != s->model->blank && label != last) {
            last = label;
            words++;
        }
        SO_TRY(so_ids_put(&said->ids, t->heard[i], error));
        if (so_tokenizer_unit_of(s->model->tokenizer, t->heard[i]) < 0) continue;
        said->units++;
        said->text[said->units] = (int32_t)(said->base_text + text_by(s, words < t->n_memory ? words : t->n_memory));
        said->span[said->units] = (int32_t)said->ids.n;
    }
    said->base_units = said->units;
    s->answer_speech = t->bottom.len;
    return SO_OK;
}

static so_status add_words(so_session *s, const so_ids *ids, so_error *error)
{
    return so_slots_add(&s->slots, ids->data, (int64_t)ids->n, SO_SLOT_TEXT, NULL, 0, error);
}

/* The user's turn again, as words: what was heard stands for the speech. */
static so_status reword_turn(so_session *s, so_error *error)
{
    s->slots.n = s->history;
    SO_TRY(add_words(s, s->history ? &s->header : &s->head, error));
    SO_TRY(so_session_lay_pictures(s, SO_SLOT_TEXT, error));
    SO_TRY(add_words(s, &s->typed_ids, error));
    s->heard_ids.n = 0;
    SO_TRY(so_tokenizer_encode(s->model->tokenizer, s->heard.data, s->heard.size, 0, &s->heard_ids, error));
    SO_TRY(add_words(s, &s->heard_ids, error));
    return add_words(s, &s->reply, error);
}

/* What ends an answer is not remembered of its own; <|eot_id|> follows whatever is kept. */
static so_status end_answer(so_session *s, bool speech, so_error *error)
{
    uint32_t where = speech ? SO_SLOT_TEXT | SO_SLOT_SPEECH : SO_SLOT_TEXT;
    return so_slots_add(&s->slots, &s->model->eot, 1, where, NULL, 0, error);
}

static bool remembers_speech(const so_session *s) { return s->speech && s->model->setup.speech_history; }

so_status so_said_remember(so_session *s, so_error *error)
{
    const so_talk *t = s->talk;
    so_spoken *said = &s->spoken;
    bool speech = remembers_speech(s);
    int64_t n_text = t->n_text;
    while (n_text && so_model_stops(s->model, t->text[n_text - 1])) n_text--;
    said->open = t->voice;
    if (said->open) SO_TRY(so_said_sentence(s, error));
    s->slots.n = s->answer_at;
    if (!speech) SO_TRY(reword_turn(s, error));
    said->at = s->slots.n;
    said->n_text = said->base_text + n_text;
    said->n_ids = speech ? (int64_t)said->ids.n : 0;
    const int32_t *text = s->script.n ? s->script.data : t->text;
    SO_TRY(so_slots_add(&s->slots, text, said->n_text, SO_SLOT_TEXT, NULL, 0, error));
    if (said->n_ids) SO_TRY(so_slots_add(&s->slots, said->ids.data, said->n_ids, SO_SLOT_SPEECH, NULL, 0, error));
    return end_answer(s, speech, error);
}

so_status so_said_put(so_session *s, const so_ids *text, so_error *error)
{
    bool speech = remembers_speech(s);
    s->spoken.open = false;
    s->slots.n = s->answer_at;
    if (!speech) SO_TRY(reword_turn(s, error));
    SO_TRY(add_words(s, text, error));
    return end_answer(s, speech, error);
}

/* The answer that was remembered last, or what is left of it, goes down to its first `units` units. */
static so_status cut(so_session *s, int64_t units, so_error *error)
{
    so_spoken *said = &s->spoken;
    int64_t n_text = said->text[units], n_ids = said->span[units];
    if (n_text > said->n_text) n_text = said->n_text;
    if (n_ids > said->n_ids) n_ids = said->n_ids;
    so_slot *from = s->slots.slot + said->at;
    memmove(from + n_text, from + said->n_text, (size_t)n_ids * sizeof *from);
    said->n_text = n_text;
    said->n_ids = n_ids;
    s->slots.n = said->at + n_text + n_ids;
    SO_TRY(end_answer(s, remembers_speech(s), error));
    if (s->phase == SO_LISTENING) { /* the turn after it has begun, and stands elsewhere now */
        s->history = s->slots.n;
        so_talk_unwant(s->talk);
        s->syncing = false;
        s->dirty = s->fed;
    }
    return SO_OK;
}

so_status so_session_heard(so_session *s, double seconds, so_error *error)
{
    if (!s) return so_fail(error, SO_ERR_ARG, "no session");
    if (s->phase != SO_ANSWERED || !s->talk->voice)
        return so_fail(error, SO_ERR_STATE, "no spoken answer has just ended");
    if (!(seconds >= 0)) return so_fail(error, SO_ERR_ARG, "%g seconds were heard", seconds);
    if (seconds * UNITS_PER_S >= (double)s->spoken.units) {
        if (!s->usage.stopped) return SO_OK;
        return cut(s, s->spoken.units, error);
    }
    return cut(s, (int64_t)(seconds * UNITS_PER_S), error);
}

so_status so_session_heard_ms(so_session *s, int64_t ms, size_t *text_end, so_error *error)
{
    size_t none;
    if (!text_end) text_end = &none;
    *text_end = 0;
    if (!s) return so_fail(error, SO_ERR_ARG, "no session");
    int64_t units = ms < 0 ? 0 : ms / SO_UNIT_MS;
    if (s->phase == SO_ANSWERING) {
        so_session_stop(s);
        s->heard_units = units;
        *text_end = so_said_bytes(s, units);
        return SO_OK;
    }
    if (!s->spoken.open) {
        *text_end = s->answer.size;
        return SO_OK;
    }
    if (units > s->spoken.units) units = s->spoken.units;
    int32_t n = s->spoken.text[units];
    *text_end = n ? (size_t)s->text_end[n - 1] : 0;
    if (units == s->spoken.units && !s->usage.stopped) return SO_OK;
    return cut(s, units, error);
}
