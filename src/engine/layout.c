/* A turn of the conversation as slots, and what was heard in it.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "engine/session.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "text/chat.h"
#include "text/transcript.h"

enum { UNITS_PER_S = 1000 / SO_UNIT_MS };

/* The template's pieces are cut out of a rendered conversation of one empty message. */
so_status so_session_cut_template(so_session *s, const char *system, so_error *error)
{
    const so_tokenizer *t = s->model->tokenizer;
    const so_token_names *names = so_tokenizer_names(t);
    so_chat_options chat = {.system = system[0] ? system : NULL, .literal_contents = true};
    so_message message = {"user", " ", 1};
    so_prompt prompt = {0};
    so_status status;
    so_tokenizer_parts parts;
    so_tokenizer_parts_of(t, &parts);
    SO_TRY_GO(so_chat_encode(t, &message, 1, &chat, &prompt, error));
    const int32_t *ids = prompt.ids.data;
    s->head.n = s->header.n = s->reply.n = s->after_picture.n = 0;
    s->talk->n_begin = 0;
    int32_t from = prompt.prefix;
    while (from > 0 && ids[from - 1] != names->start_header) from--;
    SO_TRY_GO(so_ids_add(&s->head, ids, (size_t)prompt.prefix, error));
    SO_TRY_GO(so_ids_add(&s->header, ids + from - 1, (size_t)(prompt.prefix - from + 1), error));
    SO_TRY_GO(so_ids_add(&s->reply, ids + prompt.prefix, prompt.ids.n - (size_t)prompt.prefix, error));
    s->break_ids = prompt.prefix - prompt.label_first - 1;
    /* The reference loses the line break after a picture, unless the tokenizer adds a BOS that is lost instead. */
    if (parts.add_bos) SO_TRY_GO(so_tokenizer_encode(t, "\n", 1, 0, &s->after_picture, error));
    so_talk_begins_with(s->talk, &s->head);
done:
    so_prompt_clear(&prompt);
    return status;
}

/* ---- the current turn in slots */

static uint32_t template_flags(const so_session *s)
{
    if (so_session_spoken(s)) return SO_SLOT_SPEECH | SO_SLOT_EXPECT;
    return s->speech ? SO_SLOT_TEXT | SO_SLOT_SPEECH : SO_SLOT_TEXT;
}

static so_status add_ids(so_session *s, const so_ids *ids, uint32_t where, so_error *error)
{
    return so_slots_add(&s->slots, ids->data, (int64_t)ids->n, where, NULL, 0, error);
}

static so_status add_units(so_session *s, const int32_t *unit, int64_t n, bool whole, so_error *error)
{
    uint32_t where = SO_SLOT_SPEECH | (whole || so_session_thinks(s) ? SO_SLOT_EXPECT : SO_SLOT_LABEL);
    for (int64_t i = 0; i < n; i++) {
        int32_t id = s->model->first_unit + unit[i];
        SO_TRY(so_slots_add(&s->slots, &id, 1, where, NULL, 0, error));
    }
    return SO_OK;
}

static int64_t speech_slots(const so_session *s)
{
    int64_t n = 0;
    for (int64_t i = 0; i < s->slots.n; i++) n += (s->slots.slot[i].where & SO_SLOT_SPEECH) != 0;
    return n;
}

so_status so_session_lay_pictures(so_session *s, uint32_t where, so_error *error)
{
    static const int32_t picture = SO_IMAGE_ID;
    for (int i = 0; i < s->pictures; i++) {
        int64_t first[2] = {s->picture[i], s->picture[i] + s->vectors[i]};
        SO_TRY(so_slots_add(&s->slots, &picture, 1, 0, first, 1, error));
        SO_TRY(add_ids(s, &s->after_picture, where, error));
    }
    return SO_OK;
}

/* The header of the user's turn. Where the speech side does not remember, it begins as a conversation does. */
static so_status lay_header(so_session *s, uint32_t where, so_error *error)
{
    if (!s->history) return add_ids(s, &s->head, where, error);
    if (s->model->setup.speech_history || !s->speech) return add_ids(s, &s->header, where, error);
    SO_TRY(add_ids(s, &s->head, SO_SLOT_SPEECH, error));
    return add_ids(s, &s->header, SO_SLOT_TEXT, error);
}

/* History, then header, picture, typed words, speech; with `whole` also the header of the answer. Typed words beside
 * speech enter the backbone as text: they need no recognition. */
static so_status lay_out(so_session *s, bool whole, so_error *error)
{
    uint32_t where = template_flags(s);
    s->slots.n = s->history;
    SO_TRY(lay_header(s, where, error));
    s->content_at = speech_slots(s);
    SO_TRY(so_session_lay_pictures(s, where, error));
    SO_TRY(add_ids(s, &s->typed_ids, SO_SLOT_TEXT, error));
    SO_TRY(add_ids(s, &s->settled_ids, SO_SLOT_TEXT, error));
    if (s->audio) SO_TRY(add_units(s, s->ear->units, s->ear->n, whole, error));
    SO_TRY(add_units(s, s->units, s->n_units, whole, error));
    return whole ? add_ids(s, &s->reply, where, error) : SO_OK;
}

/* Whether the slots and an answer behind them pass the context. */
static bool too_long(const so_session *s)
{
    int64_t positions = 0, speech = speech_slots(s), context = s->talk->options.context, room = context / 4;
    for (int64_t i = 0; i < s->slots.n; i++) positions += (s->slots.slot[i].where & SO_ON_BACKBONE) != 0;
    int64_t text = s->max_text < room ? s->max_text : room, units = s->max_units < room ? s->max_units : room;
    return positions + text > context || (s->speech && speech + units > context);
}

so_status so_session_lay_out(so_session *s, bool whole, so_error *error)
{
    so_status status = lay_out(s, whole, error);
    bool leave = s->options.on_full != SO_FULL_ERROR;
    if (!leave || !s->history || (status == SO_OK && !too_long(s))) return status;
    /* Those that leave do so in numbers: what is left is read anew, at once, not with every turn. */
    while (s->history * 2 > s->talk->options.context || status != SO_OK || too_long(s)) {
        if (!so_session_drop_turn(s)) break;
        status = lay_out(s, whole, error);
    }
    return status;
}

/* ---- hearing */

/* Seconds in place of positions. */
static void time_words(so_session *s, int64_t first)
{
    double end = s->audio ? (double)s->ear->samples / SO_CODEC_RATE_IN : (double)INFINITY;
    for (size_t i = s->n_settled; i < s->n_words; i++) {
        so_heard_word *w = &s->words[i];
        double before = i ? s->words[i - 1].end_s : 0, at[2] = {w->begin_s, w->end_s};
        for (int k = 0; k < 2; k++) {
            at[k] = fmax(0, (at[k] + (double)(first - s->content_at)) / UNITS_PER_S);
            if (s->audio) at[k] = so_ear_time(s->ear, at[k]);
        }
        w->begin_s = fmin(fmax(at[0], before), end);
        w->end_s = fmin(fmax(at[1], w->begin_s), end);
    }
}

so_status so_session_transcribe(so_session *s, bool final, so_error *error)
{
    const so_talk *t = s->talk;
    int64_t first = s->content_at - s->break_ids - 1, last = t->bottom.len;
    /* As the reference does, up to the second id behind the user's speech. */
    if (final) last -= (int64_t)s->reply.n - 2;
    if (first < 0 || last < first) return SO_OK;
    so_string swap = s->heard_before;
    s->heard_before = s->heard;
    s->heard = swap;
    s->heard.size = 0;
    SO_TRY(so_string_add(&s->heard, s->settled.data ? s->settled.data : "", s->settled.size, error));
    if (s->settled.size) SO_TRY(so_string_add(&s->heard, " ", 1, error));
    so_words_found found = {s->words, (size_t)s->max_units_in, s->n_settled};
    SO_TRY(so_transcript_words(s->model->tokenizer, t->label + first, last - first, s->model->blank, &s->heard, &found,
                               error));
    if (found.n == s->n_settled && s->settled.size) s->heard.data[--s->heard.size] = 0;
    s->n_words = found.n;
    time_words(s, first);
    const char *before = s->heard_before.data && s->heard_before.size ? s->heard_before.data : "";
    SO_TRY(so_promise_keep(&s->promise, &s->heard, s->words, &s->n_words, final, error));
    s->revised += so_words_withdrawn(before, s->heard.data);
    if (final || strcmp(before, s->heard.data) != 0) s->heard_news = true;
    s->heard_final = final;
    return SO_OK;
}

so_status so_session_settle(so_session *s, so_error *error)
{
    SO_TRY(so_session_transcribe(s, true, error));
    s->heard_final = false;
    s->settled.size = s->settled_ids.n = 0;
    SO_TRY(so_string_add(&s->settled, s->heard.data, s->heard.size, error));
    SO_TRY(so_tokenizer_encode(s->model->tokenizer, s->settled.data, s->settled.size, 0, &s->settled_ids, error));
    s->n_settled = s->n_words;
    so_ear_begin_segment(s->ear);
    return SO_OK;
}
