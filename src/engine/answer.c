/* Sessions: the answer, event by event, and what of it becomes history.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/said.h"
#include "text/sentence.h"

enum { UNITS_PER_S = 1000 / SO_UNIT_MS };

static double since(const so_session *s) { return so_clock() - s->started; }

/* ---- events */

static void tell_heard(so_session *s, so_event *event)
{
    *event = (so_event){
        .kind = SO_EVENT_HEARD, .text = s->heard.data, .final = s->heard_final, .stable = s->promise.text.size};
    event->words = s->words;
    event->n_words = s->n_words;
    event->begin_s = s->n_words ? s->words[s->n_words - 1].begin_s : 0;
    event->end_s = s->n_words ? s->words[s->n_words - 1].end_s : 0;
    s->heard_news = false;
}

/* Of the tokens that have been told with this piece and not before. */
static void tell_odds(so_session *s, so_event *event)
{
    int64_t from = s->odds_told, to = from;
    if (!s->talk->odds) return;
    while (to < s->odds.n && to < s->whole && (size_t)s->text_end[to] <= s->sure &&
           !so_model_stops(s->model, s->talk->text[to]))
        to++;
    event->logprobs = s->odds.chosen + from;
    event->n_logprobs = (size_t)(to - from);
    s->odds_told = to;
}

static bool tell_text(so_session *s, so_event *event)
{
    if ((size_t)s->piece_at >= s->sure) return false;
    if (s->usage.first_text_s == 0) s->usage.first_text_s = since(s);
    s->piece.size = 0;
    if (so_string_add(&s->piece, s->answer.data + s->piece_at, s->sure - (size_t)s->piece_at, NULL) != SO_OK)
        return false;
    *event = (so_event){.kind = SO_EVENT_TEXT, .text = s->piece.data};
    s->piece_at = (int64_t)s->sure;
    tell_odds(s, event);
    return true;
}

static void tell_units(so_session *s, so_event *event)
{
    *event = (so_event){.kind = SO_EVENT_UNITS, .units = s->said + s->said_told};
    event->n_units = (size_t)(s->n_said - s->said_told);
    s->said_told = s->n_said;
}

static void tell_voice(so_session *s, const float *pcm, int64_t samples, so_event *event)
{
    double end = (double)so_mouth_samples(s->mouth) / SO_VOICE_RATE, begin = end - (double)samples / SO_VOICE_RATE;
    if (s->usage.first_voice_s == 0) s->usage.first_voice_s = since(s);
    *event = (so_event){.kind = SO_EVENT_VOICE, .pcm = pcm, .samples = (size_t)samples, .begin_s = begin, .end_s = end};
    event->text_begin = so_said_bytes(s, (int64_t)(begin * UNITS_PER_S));
    event->text_end = so_said_bytes(s, (int64_t)(end * UNITS_PER_S + 0.999));
}

/* ---- one step */

/* Every character begun is complete: tokens that share one all end with it. */
static void end_tokens(so_session *s)
{
    while (s->whole < s->spoken.base_text + s->talk->n_text) s->text_end[s->whole++] = (int32_t)s->answer.size;
}

/* The answer ends at byte `at`. Of a token that it cuts in two, the front is put into tokens of its own. */
static so_status cut_text(so_session *s, size_t at, so_error *error)
{
    int64_t n = 0, most = s->max_text;
    so_talk *t = s->talk;
    while (n < s->whole && (size_t)s->text_end[n] <= at) n++;
    size_t from = n ? (size_t)s->text_end[n - 1] : 0;
    s->rest.n = 0;
    if (from < at)
        SO_TRY(so_tokenizer_encode(s->model->tokenizer, s->answer.data + from, at - from, 0, &s->rest, error));
    for (size_t i = 0; i < s->rest.n && n < most; i++, n++) {
        t->text[n] = s->rest.data[i];
        s->text_end[n] = (int32_t)at;
    }
    s->answer.size = s->sure = at;
    s->answer.data[at] = 0;
    so_decoder_init(&s->decoder, s->model->tokenizer, SO_DECODE_SKIP_SPECIAL);
    s->whole = n;
    so_talk_cut(t, n);
    return SO_OK;
}

/* Looks for stop strings in what is new behind byte `from`, and says what may be told and spoken. */
static so_status look_for_stops(so_session *s, size_t from, bool last, so_error *error)
{
    so_talk *t = s->talk;
    s->sure = s->answer.size;
    if (!s->stops.n || t->cut || !s->answer.size) return SO_OK;
    size_t at = so_stops_find(&s->stops, s->answer.data, s->answer.size, from);
    if (at != SIZE_MAX) return cut_text(s, at, error);
    if (!last) s->sure -= so_stops_held(&s->stops, s->answer.data, s->answer.size);
    int64_t ready = last ? t->n_text : s->whole;
    while (!last && ready > 0 && (size_t)s->text_end[ready - 1] > s->sure) ready--;
    so_talk_ready(t, ready);
    return SO_OK;
}

static so_status took_text(so_session *s, const so_made *made, so_error *error)
{
    so_talk *t = s->talk;
    int64_t i = s->spoken.base_text + t->n_text - 1;
    size_t before = s->answer.size;
    if (i < s->whole) return SO_OK; /* told already, and said once more */
    if (!made->stop) SO_TRY(so_decoder_feed(&s->decoder, made->id, &s->answer, error));
    s->text_end[i] = (int32_t)s->answer.size;
    if (!s->decoder.held) end_tokens(s);
    s->usage.text_tokens += !t->cut;
    bool last = made->stop || t->n_text == t->options.max_text || t->backbone.len == t->backbone.capacity;
    return look_for_stops(s, before, last, error);
}

static so_status took_unit(so_session *s, const so_made *made, so_error *error)
{
    int32_t unit = so_tokenizer_unit_of(s->model->tokenizer, made->id);
    /* The top layers may emit an id of text; it is fed back like any other and has no sound. */
    if (unit < 0 || unit >= s->model->units) return SO_OK;
    s->said[s->n_said++] = unit;
    s->usage.units++;
    return s->want & SO_WANT_VOICE ? so_mouth_put(s->mouth, unit, error) : SO_OK;
}

static so_status complete(so_session *s, so_event *event, so_error *error)
{
    if (!s->talk->cut) SO_TRY(so_decoder_flush(&s->decoder, &s->answer, error));
    s->sure = s->answer.size;
    end_tokens(s);
    if (s->want & SO_WANT_TEXT && tell_text(s, event)) return SO_OK;
    if (!s->forget) SO_TRY(so_said_remember(s, error));
    s->usage.total_s = since(s);
    if (s->want & SO_WANT_VOICE) s->usage.voice_s = (double)so_mouth_samples(s->mouth) / SO_VOICE_RATE;
    s->usage.end = s->usage.stopped ? SO_END_STOPPED : s->talk->cut ? SO_END_STOP_TEXT : s->talk->end;
    s->cached = INT64_MAX;
    s->phase = s->forget ? SO_LISTENING : SO_ANSWERED;
    if (s->heard_units >= 0 && !s->forget) SO_TRY(so_session_heard_ms(s, s->heard_units * SO_UNIT_MS, NULL, error));
    const char *unsaid = s->script.n && so_has_words(s->unsaid.data, s->unsaid.size) ? s->unsaid.data : NULL;
    *event = (so_event){.kind = SO_EVENT_DONE, .usage = s->usage, .text = unsaid};
    return SO_OK;
}

so_status so_session_took(so_session *s, const so_made *made, so_error *error)
{
    if (made->kind == SO_STEP_TEXT) return took_text(s, made, error);
    if (made->kind == SO_STEP_UNIT) return took_unit(s, made, error);
    bool more;
    s->usage.ran_away |= s->talk->end == SO_END_RUN_AWAY;
    SO_TRY(so_session_next_sentence(s, &more, error));
    if (more) return SO_OK;
    s->ended = true;
    if (s->want & SO_WANT_VOICE) so_mouth_end(s->mouth);
    return SO_OK;
}

/* An answer that was stopped before it began: the turn is remembered as it is, with an empty answer. What of its sound
 * has not gone to the ear yet is dropped, so that the next turn does not begin with it. */
static void give_up(so_session *s)
{
    so_inbox *in = &s->inbox;
    s->stage = SO_BEGUN;
    so_talk_unwant(s->talk);
    in->n -= in->mine;
    if (in->mine) memmove(in->pcm, in->pcm + in->mine, (size_t)in->n * sizeof *in->pcm);
    in->mine = 0;
    if (s->sentence) return; /* between two sentences */
    s->talk->voice = s->talk->cut = false;
    s->talk->end = SO_END_NONE;
    s->usage.revised = s->revised;
    if (so_session_lay_out(s, true, NULL) != SO_OK) s->slots.n = s->history;
    s->answer_at = s->slots.n;
    s->answer_speech = s->talk->bottom.len;
}

bool so_session_halt(so_session *s)
{
    if (s->phase != SO_ANSWERING || !atomic_load(&s->stop)) return false;
    if (s->stage < SO_BEGUN) give_up(s);
    s->usage.stopped = 1;
    s->ended = true;
    if (s->mouth) so_mouth_quiet(s->mouth);
    return true;
}

/* ---- what there is to tell */

static void tell_note(so_session *s, so_event *event)
{
    snprintf(s->note, sizeof s->note, "%d", s->left - s->left_told);
    s->left_told = s->left;
    *event = (so_event){.kind = SO_EVENT_FORGOT, .text = s->note};
}

/* What a crew met on this session's behalf; the turn is lost. */
static void tell_failure(so_session *s, so_event *event)
{
    s->piece.size = 0;
    if (so_string_put(&s->piece, s->failure.text, NULL) != SO_OK) s->piece.size = 0;
    *event = (so_event){.kind = SO_EVENT_FAILED, .text = s->piece.size ? s->piece.data : "out of memory"};
    event->status = s->failure.status;
    s->failure = (so_error){0};
    if (s->pictures) {
        so_session_drop_views(s, s->picture[0]);
        so_talk_forget(s->talk, s->picture[0]);
    }
    s->slots.n = s->history;
    so_session_new_turn(s);
}

/* Text first. */
static so_status tell(so_session *s, so_event *event, bool *told, so_error *error)
{
    const float *pcm;
    int64_t samples;
    *told = true;
    if (s->want & SO_WANT_TEXT && tell_text(s, event)) return SO_OK;
    if (s->want & SO_WANT_UNITS && s->said_told < s->n_said) {
        tell_units(s, event);
        return SO_OK;
    }
    *told = false;
    if (!(s->want & SO_WANT_VOICE) || s->stage < SO_BEGUN || s->usage.stopped) return SO_OK;
    SO_TRY(so_mouth_take(s->mouth, &pcm, &samples, error));
    if (!samples) return SO_OK;
    tell_voice(s, pcm, samples, event);
    *told = true;
    return SO_OK;
}

/* A step of the voice with the worker of the conversation; who watches that is not shown it. */
static so_status speak(so_session *s, bool *spoke, so_error *error)
{
    so_pass *pass = so_model_codec_apart(s->model) ? &s->speaker.pass : &s->talk->worker->pass, before = *pass;
    pass->k = so_model_codec_place(s->model).kernels;
    pass->watch = NULL;
    pass->stop = &s->stop;
    so_status status = so_mouth_step(s->mouth, pass, spoke, error);
    pass->k = before.k;
    pass->watch = before.watch;
    pass->stop = NULL;
    return status == SO_ERR_STOPPED ? SO_OK : status;
}

/* A text token or a unit; nothing, where the session is stopped on the way. */
static so_status step(so_session *s, so_error *error)
{
    so_made made;
    so_pass *pass = &s->talk->worker->pass;
    pass->stop = &s->stop;
    so_status status = so_talk_step(s->talk, &made, error);
    pass->stop = NULL;
    if (status == SO_ERR_STOPPED) return SO_OK;
    return status == SO_OK ? so_session_took(s, &made, error) : status;
}

/* A step of the voice, if one is due, else of the text and the units. */
static so_status compute(so_session *s, so_error *error)
{
    bool spoke = false;
    if (s->want & SO_WANT_VOICE && !s->usage.stopped) SO_TRY(speak(s, &spoke, error));
    if (spoke || s->ended) return SO_OK;
    if (s->stage < SO_BEGUN) return so_session_work(s, &spoke, error);
    return step(s, error);
}

static bool all_is_told(const so_session *s)
{
    return s->ended && (!(s->want & SO_WANT_VOICE) || s->usage.stopped || so_mouth_complete(s->mouth));
}

so_status so_next(so_session *s, so_event *event, so_error *error)
{
    if (!s || !event) return so_fail(error, SO_ERR_ARG, "no session, or no place for an event");
    bool told = true;
    *event = (so_event){.kind = SO_EVENT_NONE};
    if (s->failure.status != SO_OK)
        tell_failure(s, event);
    else if (s->left_told < s->left)
        tell_note(s, event);
    else if (s->heard_news)
        tell_heard(s, event);
    else
        told = false;
    if (told || s->phase != SO_ANSWERING) return SO_OK;
    so_session_halt(s);
    SO_TRY(tell(s, event, &told, error));
    if (told) return SO_OK;
    if (!s->crew && !all_is_told(s)) {
        SO_TRY(compute(s, error));
        so_session_halt(s);
        SO_TRY(tell(s, event, &told, error));
    }
    return told || !all_is_told(s) ? SO_OK : complete(s, event, error);
}
