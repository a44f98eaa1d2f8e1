/* What the engine's thread does for one conversation: orders in, what is told of them out.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "server/seat.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "media/image.h"

enum { MOVE_LEAST = 32 /* positions that another session must hold to be worth the way */ };

void so_seat_clear(so_seat *seat)
{
    so_session_close(&seat->session);
    so_outlet_close(&seat->outlet);
    so_resample_stream_close(&seat->resample);
    so_bytes_clear(&seat->sound);
    free(seat->resampled);
    free(seat->samples);
    seat->resampled = NULL;
    seat->samples = NULL;
    seat->room = 0;
    seat->answering = seat->listening = seat->voice = seat->hearing = false;
}

static so_status need_session(so_desk *w, so_seat *seat, so_error *error)
{
    if (seat->session) return SO_OK;
    so_session_options options = *so_desk_session(w);
    if (seat->system) options.system = seat->system;
    if (seat->plain) options.front = -1;
    so_status status;
    do status = so_crew_session(so_desk_crew(w), &seat->session, &options, error);
    while (status == SO_ERR_LIMIT && so_desk_drop_kept(w));
    if (status == SO_ERR_LIMIT) status = error->status = SO_ERR_NOMEM; /* it is no fault of the client's */
    return status;
}

/* ---- what is told */
static void tell_heard(so_desk *w, const so_seat *seat, const so_event *e)
{
    so_told *t = so_told_new(SO_TOLD_HEARD, e->text);
    if (t) {
        t->final = e->final != 0;
        t->begin_s = e->begin_s;
        t->end_s = e->end_s;
        t->stable = e->stable;
        t->words = malloc((e->n_words + 1) * sizeof *t->words);
    }
    if (t && t->words && e->n_words) {
        memcpy(t->words, e->words, e->n_words * sizeof *t->words);
        t->n_words = e->n_words;
    }
    so_desk_tell(w, seat, t);
}

static void tell_units(so_desk *w, const so_seat *seat, const so_event *e)
{
    so_told *t = so_told_new(SO_TOLD_UNITS, NULL);
    if (t && (t->units = malloc(e->n_units * sizeof *t->units + 1)) != NULL) {
        memcpy(t->units, e->units, e->n_units * sizeof *t->units);
        t->n_units = e->n_units;
    }
    so_desk_tell(w, seat, t);
}

static void tell_done(so_desk *w, const so_seat *seat, const so_usage *usage)
{
    so_told *t = so_told_new(SO_TOLD_DONE, NULL);
    if (t) t->usage = *usage;
    so_desk_tell(w, seat, t);
}

/* A token's text when it is whole characters, else its bytes in hexadecimal. */
static json_t *token_text(const so_token_logprob *t)
{
    json_t *text = json_stringn(t->text, t->bytes);
    if (text) return text;
    char hex[8 + 4 * 32] = "bytes:";
    for (size_t i = 0, at = 6; i < t->bytes && i < 32; i++, at += 4)
        snprintf(hex + at, 5, "\\x%02x", (unsigned char)t->text[i]);
    return json_string(hex);
}

static json_t *token_json(const so_token_logprob *t)
{
    json_t *bytes = json_array();
    for (size_t i = 0; i < t->bytes; i++) json_array_append_new(bytes, json_integer((unsigned char)t->text[i]));
    return json_pack("{s:o,s:f,s:o}", "token", token_text(t), "logprob", (double)t->logprob, "bytes", bytes);
}

static void tell_text(so_desk *w, const so_seat *seat, const so_event *e)
{
    so_told *t = so_told_new(SO_TOLD_TEXT, e->text);
    if (t && e->n_logprobs) t->logprobs = json_array();
    for (size_t i = 0; t && i < e->n_logprobs; i++) {
        json_t *one = token_json(&e->logprobs[i]), *others = json_array();
        for (int k = 0; k < e->logprobs[i].n_likeliest; k++)
            json_array_append_new(others, token_json(&e->logprobs[i].likeliest[k]));
        json_object_set_new(one, "top_logprobs", others);
        json_array_append_new(t->logprobs, one);
    }
    so_desk_tell(w, seat, t);
}

/* ---- the voice */
static so_status begin_voice(so_desk *w, so_seat *seat, const so_order *order, so_error *error)
{
    const so_resampler *kernel = NULL;
    int rate = order->sound_rate ? order->sound_rate : SO_SPEECH_RATE;
    so_outlet_close(&seat->outlet);
    so_resample_stream_close(&seat->resample);
    SO_TRY(so_outlet_open(&seat->outlet, order->sound, rate, order->whole, error));
    SO_TRY(so_desk_resampler(w, rate, &kernel, error));
    return so_resample_stream_open(&seat->resample, kernel, error);
}

static so_status need_room(so_seat *seat, size_t n, so_error *error)
{
    if (n <= seat->room) return SO_OK;
    float *resampled = realloc(seat->resampled, n * sizeof *resampled);
    if (resampled) seat->resampled = resampled;
    int16_t *samples = realloc(seat->samples, n * sizeof *samples);
    if (samples) seat->samples = samples;
    if (!resampled || !samples) return so_fail(error, SO_ERR_NOMEM, "no memory for a voice of %zu samples", n);
    seat->room = n;
    return SO_OK;
}

/* `n` samples at the model's rate, or, with NULL, the rest. */
static so_status voice(so_desk *w, so_seat *seat, const so_event *e, so_error *error)
{
    int64_t n = e ? (int64_t)e->samples : 0;
    SO_TRY(need_room(seat, (size_t)so_resample_stream_bound(seat->resample, n) + 1, error));
    int64_t made = e ? so_resample_stream_feed(seat->resample, e->pcm, n, seat->resampled)
                     : so_resample_stream_finish(seat->resample, seat->resampled);
    for (int64_t i = 0; i < made; i++) {
        double x = 32767.0 * (double)seat->resampled[i];
        seat->samples[i] = (int16_t)lrint(x > 32767 ? 32767 : x < -32768 ? -32768 : x);
    }
    SO_TRY(so_outlet_feed(seat->outlet, seat->samples, (size_t)made, &seat->sound, error));
    if (!e) SO_TRY(so_outlet_finish(seat->outlet, &seat->sound, error));
    if (!e && so_bytes_left(&seat->sound) == 0) return SO_OK;
    so_told *t = so_told_new(SO_TOLD_SOUND, NULL);
    if (!t || (t->data = malloc(so_bytes_left(&seat->sound) + 1)) == NULL) {
        so_told_free(t);
        return so_fail(error, SO_ERR_NOMEM, "no memory for a piece of voice");
    }
    t->size = so_bytes_left(&seat->sound);
    memcpy(t->data, so_bytes_front(&seat->sound), t->size);
    so_bytes_take(&seat->sound, t->size);
    if (e) {
        t->begin_s = e->begin_s;
        t->end_s = e->end_s;
        t->text_begin = e->text_begin;
        t->text_end = e->text_end;
    }
    so_desk_tell(w, seat, t);
    return SO_OK;
}

/* ---- answering */
static so_status take(so_desk *w, so_seat *seat, const so_event *e, so_error *error)
{
    switch (e->kind) {
    case SO_EVENT_HEARD:
        tell_heard(w, seat, e);
        if (seat->listening && e->final) so_session_stop(seat->session);
        return SO_OK;
    case SO_EVENT_TEXT:
        if (seat->listening)
            so_session_stop(seat->session);
        else
            tell_text(w, seat, e);
        return SO_OK;
    case SO_EVENT_UNITS:
        tell_units(w, seat, e);
        return SO_OK;
    case SO_EVENT_VOICE:
        return seat->voice ? voice(w, seat, e, error) : SO_OK;
    case SO_EVENT_DONE:
        if (seat->voice) SO_TRY(voice(w, seat, NULL, error));
        seat->answering = seat->listening = seat->voice = seat->hearing = false;
        so_desk_count(w, &e->usage);
        tell_done(w, seat, &e->usage);
        return SO_OK;
    default:
        return SO_OK;
    }
}

static so_status failed(so_desk *w, so_seat *seat, const so_event *e)
{
    so_error error;
    so_fail(&error, e->status, "%s", e->text ? e->text : "");
    if (seat->answering)
        so_desk_tell_failure(w, seat, &error, true);
    else {
        seat->failure = error;
        so_desk_tell_failure(w, seat, &error, false);
    }
    seat->answering = seat->listening = seat->voice = seat->hearing = false;
    return SO_OK;
}

bool so_seat_hear(so_desk *w, so_seat *seat)
{
    so_error error = {0};
    so_event event = {0};
    bool news = false;
    do {
        so_status status = so_next(seat->session, &event, &error);
        if (status == SO_OK && event.kind == SO_EVENT_FAILED)
            status = failed(w, seat, &event);
        else if (status == SO_OK)
            status = take(w, seat, &event, &error);
        if (status != SO_OK) {
            so_seat_clear(seat); /* nobody knows what a session is like after this: its next order begins a new one */
            so_desk_tell_failure(w, seat, &error, true);
            return true;
        }
        news |= event.kind != SO_EVENT_NONE;
    } while (event.kind != SO_EVENT_NONE);
    return news;
}

/* ---- orders */
static so_status feed_picture(so_session *session, const so_order *o, so_error *error)
{
    so_image image = {0};
    if (o->width) return so_feed_image(session, o->data, o->width, o->height, error);
    if (o->text) return so_fail(error, SO_ERR_FORMAT, "%s", o->text);
    SO_TRY(so_image_decode(&image, o->data, o->size, 0, error));
    so_status status = so_feed_image(session, image.rgb, image.w, image.h, error);
    so_image_clear(&image);
    return status;
}

/* Numbers and the like are said as words. */
static so_status say(so_session *session, const char *text, unsigned want, so_error *error)
{
    char *words = NULL;
    SO_TRY(so_spoken_text(text, NULL, &words, error));
    so_status status = so_say(session, words, want, error);
    so_free(words);
    return status;
}

static so_status begin(so_desk *w, so_seat *seat, const so_order *o, so_error *error)
{
    const so_reply_options listen = {.forget = 1, .answer_silence = 1};
    so_reply_options reply = o->reply;
    reply.stop = (const char *const *)o->stop;
    reply.n_stop = 0;
    while (reply.n_stop < SO_ORDER_STOPS && o->stop[reply.n_stop]) reply.n_stop++;
    unsigned want = o->kind == SO_ORDER_LISTEN ? SO_WANT_TEXT : o->want;
    seat->turn = o->turn;
    if (want & SO_WANT_VOICE) SO_TRY(begin_voice(w, seat, o, error));
    if (want & SO_WANT_VOICE && so_desk_session(w)->clones)
        SO_TRY(so_session_voice(seat->session, so_desk_voice(w, o->voice), error));
    if (o->kind == SO_ORDER_LISTEN)
        SO_TRY(so_reply_with(seat->session, want, &listen, error));
    else if (o->kind == SO_ORDER_SAY)
        SO_TRY(say(seat->session, o->text, want, error));
    else
        SO_TRY(so_reply_with(seat->session, want, o->own ? &reply : NULL, error));
    seat->answering = true;
    seat->listening = o->kind == SO_ORDER_LISTEN;
    seat->voice = (want & SO_WANT_VOICE) != 0;
    return SO_OK;
}

/* A session takes a system text of its own; the model's own comes with opening it. */
static so_status set_system(so_desk *w, so_seat *seat, const char *text, so_error *error)
{
    char *copy = text && text[0] ? strdup(text) : NULL;
    if (text && text[0] && !copy) return so_fail(error, SO_ERR_NOMEM, "no memory for a system text");
    if (!copy && seat->system) so_seat_clear(seat);
    free(seat->system);
    seat->system = copy;
    return seat->session && copy ? so_feed_system(seat->session, copy, error) : need_session(w, seat, error);
}

static so_status feed(so_session *session, const so_order *o, so_error *error)
{
    switch (o->kind) {
    case SO_ORDER_SYSTEM:
        return o->text && o->text[0] ? so_feed_system(session, o->text, error) : SO_OK;
    case SO_ORDER_TEXT:
        return so_feed_text(session, o->text ? o->text : "", error);
    case SO_ORDER_PICTURE:
        return feed_picture(session, o, error);
    case SO_ORDER_AUDIO:
        return so_feed_audio(session, o->pcm, o->samples, o->rate, error);
    case SO_ORDER_ANSWER:
        return so_feed_answer(session, o->text ? o->text : "", error);
    default:
        return SO_OK;
    }
}

int so_seat_move(so_seat *seat, so_session **idle, int n)
{
    int64_t most = MOVE_LEAST;
    int best = -1;
    so_error error;
    for (int i = 0; i < n; i++) {
        int64_t held = so_session_shared(idle[i], seat->session);
        if (held > most) most = held, best = i;
    }
    if (best < 0 || so_session_clear(idle[best], &error) != SO_OK) return -1;
    for (const so_order *o = seat->given; o; o = o->next)
        if (feed(idle[best], o, &error) != SO_OK) return -1; /* it stays where it is */
    so_session *own = seat->session;
    seat->session = idle[best];
    idle[best] = own;
    return best;
}

static so_status carry_out(so_desk *w, so_seat *seat, const so_order *o, so_error *error)
{
    if (o->kind == SO_ORDER_SYSTEM) return set_system(w, seat, o->text, error);
    SO_TRY(need_session(w, seat, error));
    switch (o->kind) {
    case SO_ORDER_AUDIO:
        if (!seat->hearing) seat->said = o->turn;
        seat->hearing = true;
        return feed(seat->session, o, error);
    case SO_ORDER_TEXT:
    case SO_ORDER_PICTURE:
    case SO_ORDER_ANSWER:
        return feed(seat->session, o, error);
    case SO_ORDER_HEARD:
        return so_session_heard_ms(seat->session, o->ms, NULL, error);
    case SO_ORDER_CLEAR:
        seat->hearing = false;
        seat->failure.status = SO_OK;
        return so_session_clear(seat->session, error);
    default:
        return begin(w, seat, o, error);
    }
}

static bool answers(const so_order *o)
{
    return o->kind == SO_ORDER_REPLY || o->kind == SO_ORDER_LISTEN || o->kind == SO_ORDER_SAY;
}

void so_seat_order(so_desk *w, so_seat *seat, so_order *order)
{
    so_error error = seat->failure;
    bool answer = answers(order), spoilt = answer && error.status != SO_OK;
    so_status status = spoilt ? error.status : carry_out(w, seat, order, &error);
    if (answer) {
        seat->turn = order->turn;
        seat->failure.status = SO_OK;
    } else if (status != SO_OK)
        seat->failure = error;
    if (status != SO_OK) so_desk_tell_failure(w, seat, &error, answer);
}
