/* From the end of the user's turn to the first token of the answer.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "engine/session.h"

#include <stdlib.h>
#include <string.h>

#include "checkpoint/limits.h"
#include "engine/said.h"
#include "text/sentence.h"

enum { UNITS_PER_S = 1000 / SO_UNIT_MS, SAY_UNITS = 50 };

/* What of the prompt is words, speech and pictures. */
static void count_prompt(so_session *s)
{
    so_usage *u = &s->usage;
    *u = (so_usage){.prompt_positions = (int)s->talk->backbone.len, .cached_positions = (int)s->cached};
    u->revised = s->revised;
    for (int64_t i = 0; i < s->slots.n; i++) {
        const so_slot *slot = &s->slots.slot[i];
        bool unit = so_tokenizer_unit_of(s->model->tokenizer, slot->id) >= 0;
        if (slot->where & SO_SLOT_IMAGE)
            u->image_in++;
        else if (slot->where & SO_SLOT_EXPECT && unit)
            u->audio_in++;
        else if (slot->where & (SO_SLOT_TEXT | SO_SLOT_EXPECT))
            u->text_in++;
    }
}

/* How the next answer is made; NULL: as the session's options say. */
static void settle(so_session *s, const so_reply_options *o)
{
    so_talk_options *t = &s->talk->options;
    so_sampling how = o ? so_session_sampling(o->temperature, o->top_p, o->top_k, o->seed) : s->sampling;
    t->max_text = o && o->max_text && o->max_text < s->max_text ? o->max_text : s->max_text;
    t->max_units = o && o->max_units && o->max_units < s->max_units ? o->max_units : s->max_units;
    so_talk_sampling(s->talk, &how, o != NULL);
    t->circles = s->options.units_per_token < 0;
    s->forget = o && o->forget;
    s->answers_silence = o && o->answer_silence;
}

/* Room for the log-probabilities that are asked for; kept for later answers. */
static so_status take_odds(so_session *s, const so_reply_options *o, so_error *error)
{
    so_odds *odds = &s->odds;
    int most = o ? o->likeliest : 0;
    odds->n = s->odds_told = 0;
    s->talk->odds = NULL;
    if (!o || !(o->logprobs || most)) return SO_OK;
    if (!odds->chosen || most > odds->most) {
        free(odds->chosen);
        free(odds->likely);
        *odds = (so_odds){.most = most, .capacity = s->max_text};
        odds->chosen = malloc((size_t)s->max_text * sizeof *odds->chosen);
        odds->likely = malloc((size_t)(s->max_text * most + 1) * sizeof *odds->likely);
        if (!odds->chosen || !odds->likely) {
            free(odds->chosen);
            free(odds->likely);
            *odds = (so_odds){0};
            return so_fail(error, SO_ERR_NOMEM, "no memory for log-probabilities of %lld tokens",
                           (long long)s->max_text);
        }
    }
    odds->most = most;
    s->talk->odds = odds;
    return SO_OK;
}

static so_status check_want(const so_session *s, unsigned want, so_error *error)
{
    if (!(want & (SO_WANT_TEXT | SO_WANT_VOICE | SO_WANT_UNITS)))
        return so_fail(error, SO_ERR_ARG, "an answer in neither text nor voice nor units");
    if (want & (SO_WANT_VOICE | SO_WANT_UNITS) && !s->speech)
        return so_fail(error, SO_ERR_UNSUPPORTED, "the model has no speech layers");
    if (want & SO_WANT_VOICE && !s->mouth)
        return so_fail(error, SO_ERR_UNSUPPORTED, "the model gives no audio: it has no flow and vocoder");
    return SO_OK;
}

/* From here on the session answers; what is missing before the first token is work. */
static so_status begin_answer(so_session *s, unsigned want, so_error *error)
{
    SO_TRY(check_want(s, want, error));
    s->started = so_clock();
    s->want = want;
    s->phase = SO_ANSWERING;
    s->stage = SO_NOTED;
    s->syncing = false;
    s->inbox.mine = s->inbox.n;
    s->answer.size = s->sure = 0;
    s->piece_at = s->n_said = s->said_told = s->whole = 0;
    s->ended = false;
    so_said_begin(s);
    s->sentence = 0;
    s->heard_units = -1;
    s->talk->n_text = 0;
    so_decoder_init(&s->decoder, s->model->tokenizer, SO_DECODE_SKIP_SPECIAL);
    s->usage = (so_usage){0};
    if (s->crew) return SO_OK;
    so_status status = so_session_catch_up(s, error);
    if (status != SO_OK) s->phase = SO_LISTENING;
    return status;
}

/* The question was to be sound alone, and there were no words in it. */
static bool nothing_heard(const so_session *s)
{
    if (!s->audio || s->n_units || s->typed_ids.n) return false;
    if (!s->voiced) return true;
    return !so_has_words(s->heard.data, s->heard.size);
}

/* The turn goes on without the sound it had; that nothing was heard in it is still told. */
static void drop_audio(so_session *s)
{
    so_ear_reset(s->ear);
    so_vad_reset(s->vad);
    so_promise_reset(&s->promise);
    s->heard.size = s->settled.size = s->settled_ids.n = 0; /* words that a model finds in noise */
    s->n_words = s->n_settled = 0;
    if (s->heard.data) s->heard.data[0] = 0;
    s->voiced = s->audio = s->dirty = s->syncing = s->closing = false;
    s->fed = s->pictures > 0;
}

/* A further sentence of what is to be said, after the same prompt. */
static so_status begin_sentence(so_session *s, so_error *error)
{
    SO_TRY(so_talk_begin(s->talk, true, error));
    s->answer_speech = s->talk->bottom.len;
    so_session_recite(s);
    s->stage = SO_BEGUN;
    return SO_OK;
}

so_status so_session_begin(so_session *s, so_error *error)
{
    if (s->sentence) return begin_sentence(s, error);
    if (so_session_spoken(s)) SO_TRY(so_session_transcribe(s, true, error));
    double heard_s = s->audio ? (double)s->ear->samples / SO_CODEC_RATE_IN : (double)s->n_units / UNITS_PER_S;
    if (nothing_heard(s) && !s->answers_silence) {
        drop_audio(s);
        return so_fail(error, SO_ERR_NOTHING_HEARD, "nothing was heard in %.1f s of audio", heard_s);
    }
    SO_TRY(so_talk_begin(s->talk, s->want & (SO_WANT_VOICE | SO_WANT_UNITS), error));
    s->talk->watched = s->stops.n > 0;
    count_prompt(s);
    s->usage.heard_s = heard_s;
    s->answer_at = s->slots.n;
    s->answer_speech = s->talk->bottom.len;
    so_session_recite(s);
    if (s->mouth) so_mouth_reset(s->mouth, s->talk->options.sampling.seed);
    s->stage = SO_BEGUN;
    return SO_OK;
}

static int64_t units_per_token(const so_session *s, int64_t otherwise)
{
    int64_t own = s->model->setup.units_per_token, asked = s->options.units_per_token;
    return asked < 0 ? 0 : asked > 0 ? asked : own > 0 ? own : otherwise;
}

so_status so_reply_with(so_session *s, unsigned want, const so_reply_options *options, so_error *error)
{
    if (!s) return so_fail(error, SO_ERR_ARG, "no session");
    if (s->phase == SO_ANSWERED && s->inbox.n) {
        SO_TRY(so_session_open_turn(s, error));
        s->audio = s->fed = true;
    }
    if (s->phase != SO_LISTENING || !s->fed) return so_fail(error, SO_ERR_STATE, "a reply to nothing");
    SO_TRY(check_want(s, want, error));
    if (options) SO_TRY(so_check_reply(options, error));
    SO_TRY(so_stops_set(&s->stops, options ? options->stop : NULL, options ? options->n_stop : 0, error));
    SO_TRY(take_odds(s, options, error));
    settle(s, options);
    s->script.n = 0;
    s->talk->options.units_per_token = units_per_token(s, 0);
    return begin_answer(s, want, error);
}

so_status so_reply(so_session *s, unsigned want, so_error *error) { return so_reply_with(s, want, NULL, error); }

so_status so_say(so_session *s, const char *utf8, unsigned want, so_error *error)
{
    if (!s || !utf8) return so_fail(error, SO_ERR_ARG, "no session, or no text");
    if (!(want & (SO_WANT_VOICE | SO_WANT_UNITS)))
        return so_fail(error, SO_ERR_ARG, "a text is said in voice or in units");
    SO_TRY(so_session_open_turn(s, error));
    if (s->fed) return so_fail(error, SO_ERR_STATE, "a question was fed and wants a reply");
    SO_TRY(so_session_script(s, utf8, error));
    if (s->script.n == 0) return so_fail(error, SO_ERR_ARG, "there is nothing to say");
    settle(s, NULL);
    SO_TRY(so_stops_set(&s->stops, NULL, 0, error));
    SO_TRY(take_odds(s, NULL, error));
    if ((int64_t)s->script.n >= s->talk->options.max_text)
        return so_fail(error, SO_ERR_LIMIT, "a text of %zu tokens, an answer holds %lld", s->script.n,
                       (long long)s->talk->options.max_text);
    s->talk->options.units_per_token = units_per_token(s, SAY_UNITS);
    return begin_answer(s, want, error);
}

void so_session_stop(so_session *s)
{
    if (s) atomic_store(&s->stop, 1);
}
