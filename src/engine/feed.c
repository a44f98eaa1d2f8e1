/* What the user gives in a turn.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "engine/session.h"

#include <math.h>
#include <string.h>

#include "base/own.h"
#include "media/vad.h"
#include "text/chat.h"

enum { UNITS_PER_S = 1000 / SO_UNIT_MS, MOST_SAMPLES = 1 << 30 };

void so_session_watch(so_session *s, const float *pcm, size_t samples, int rate)
{
    if (s->voiced || rate < 8000 || rate > 384000) {
        s->voiced = true;
        return;
    }
    if (s->vad_rate != rate) {
        so_vad_retune(s->vad, rate);
        s->vad_rate = rate;
    }
    s->voiced = so_vad_notices(s->vad, pcm, samples);
}

/* Sound into the ear, segment by segment. */
static so_status hear(so_session *s, const float *pcm, size_t samples, int rate, so_error *error)
{
    bool news;
    for (;;) {
        SO_TRY(so_ear_feed(s->ear, pcm, samples, rate, &news, error));
        so_session_watch(s, pcm, s->ear->ended ? s->ear->taken : samples, rate);
        s->audio = s->audio || samples > 0;
        s->fed = s->fed || samples > 0;
        s->dirty = s->dirty || news;
        if (!s->ear->ended) return SO_OK;
        SO_TRY(so_session_catch_up(s, error));
        pcm += s->ear->taken;
        samples -= s->ear->taken;
    }
}

/* What was said into an answer belongs to the turn behind it. */
static so_status hear_waiting(so_session *s, so_error *error)
{
    int64_t n = s->inbox.n;
    if (!n || s->crew) return SO_OK;
    s->inbox.n = 0;
    return hear(s, s->inbox.pcm, (size_t)n, s->inbox.rate, error);
}

so_status so_session_open_turn(so_session *s, so_error *error)
{
    if (s->phase == SO_ANSWERING)
        return so_fail(error, SO_ERR_STATE, "the answer is not complete: stop it or take all of it");
    if (s->phase != SO_ANSWERED) return SO_OK;
    if (s->turns == s->max_turns) so_session_drop_turn(s);
    s->turn_at[s->turns++] = s->history;
    s->history = s->slots.n;
    so_session_new_turn(s);
    return hear_waiting(s, error);
}

so_status so_feed_text(so_session *s, const char *utf8, so_error *error)
{
    if (!s || !utf8) return so_fail(error, SO_ERR_ARG, "no session, or no text");
    SO_TRY(so_session_open_turn(s, error));
    size_t before = s->typed.size;
    so_status status = so_string_put(&s->typed, utf8, error);
    const char *text = s->typed.data;
    size_t size = s->typed.size;
    if (status == SO_OK) {
        if (size) so_strip(&text, &size);
        s->typed_ids.n = 0;
        status = so_tokenizer_encode(s->model->tokenizer, text, size, 0, &s->typed_ids, error);
    }
    if (status == SO_OK && (int64_t)s->typed_ids.n > s->talk->options.context)
        status = so_fail(error, SO_ERR_LIMIT, "a text of %zu tokens, the context holds %lld positions", s->typed_ids.n,
                         (long long)s->talk->options.context);
    if (status == SO_OK) {
        s->fed = true;
        return SO_OK;
    }
    s->typed.size = before;
    s->typed_ids.n = 0;
    if (before) {
        text = s->typed.data;
        so_strip(&text, &before);
        so_tokenizer_encode(s->model->tokenizer, text, before, 0, &s->typed_ids, NULL);
    }
    return status;
}

static bool history_has_picture(const so_session *s)
{
    for (int64_t i = 0; i < s->history; i++)
        if (s->slots.slot[i].where == SO_SLOT_IMAGE) return true;
    return false;
}

/* A model that learned with one picture at a time does not know which of two is meant, less and less the longer the
 * conversation goes on: with a new one, the turns up to that of the older one leave (docs/lab/long-conversation.md). */
static void make_way_for_picture(so_session *s)
{
    bool one = s->model->one_picture && s->options.on_full == SO_FULL_FORGET && !s->pictures;
    while (one && history_has_picture(s) && so_session_drop_turn(s)) {
    }
}

so_status so_feed_image(so_session *s, const uint8_t *rgb, int width, int height, so_error *error)
{
    if (!s || !rgb) return so_fail(error, SO_ERR_ARG, "no session, or no picture");
    const so_model *m = s->model;
    if (!m->setup.omni.vision) return so_fail(error, SO_ERR_UNSUPPORTED, "the model does not see");
    SO_TRY(so_session_open_turn(s, error));
    if (width < 1 || height < 1 || (int64_t)width * height > SO_IMAGE_MAX_PIXELS || width > SO_IMAGE_MAX_SIDE ||
        height > SO_IMAGE_MAX_SIDE)
        return so_fail(error, SO_ERR_ARG, "a picture of %d x %d pixels", width, height);
    if (s->pictures == SO_PICTURES || s->waiting == SO_PICTURES)
        return so_fail(error, SO_ERR_LIMIT, "more than %d pictures in one turn, or waiting to be looked at",
                       SO_PICTURES);
    so_image image = {.w = width, .h = height, .rgb = so_mutable(rgb)};
    so_image_views views; /* in its place only at the end: turns that leave take views along that wait */
    int64_t *first = &s->picture[s->pictures], *n = &s->vectors[s->pictures];
    SO_TRY(so_image_views_make(&views, &image, &m->pictures, m->pool, error));
    make_way_for_picture(s);
    so_status status = so_talk_place(s->talk, &views, first, n, error);
    while (status == SO_ERR_LIMIT && s->options.on_full == SO_FULL_FORGET && so_session_drop_turn(s))
        status = so_talk_place(s->talk, &views, first, n, error);
    if (status != SO_OK) {
        so_image_views_clear(&views);
        return status;
    }
    bool before = s->fed;
    s->views[s->waiting] = views;
    s->place[s->waiting++] = *first;
    s->pictures++;
    s->fed = true;
    status = s->crew ? SO_OK : so_session_catch_up(s, error);
    if (status != SO_OK) { /* it was never here */
        s->fed = before;
        so_session_drop_views(s, s->picture[--s->pictures]);
        so_talk_forget(s->talk, s->picture[s->pictures]);
    }
    return status;
}

so_status so_feed_units(so_session *s, const int32_t *units, size_t n, so_error *error)
{
    if (!s || (!units && n)) return so_fail(error, SO_ERR_ARG, "no session, or no units");
    if (!s->speech) return so_fail(error, SO_ERR_UNSUPPORTED, "the model has no speech layers");
    SO_TRY(so_session_open_turn(s, error));
    if (n > (size_t)(s->max_units_in - s->n_units))
        return so_fail(error, SO_ERR_LIMIT, "a turn of more than %lld speech units", (long long)s->max_units_in);
    for (size_t i = 0; i < n; i++)
        if (units[i] < 0 || units[i] >= s->model->units)
            return so_fail(error, SO_ERR_ARG, "speech unit %d, expected 0 to %lld", units[i],
                           (long long)s->model->units - 1);
    if (n == 0) return SO_OK;
    memcpy(s->units + s->n_units, units, n * sizeof *units);
    s->n_units += (int64_t)n;
    s->dirty = true;
    so_status status = s->crew ? SO_OK : so_session_catch_up(s, error);
    if (status != SO_OK) s->n_units -= (int64_t)n;
    s->fed = s->fed || status == SO_OK;
    return status;
}

/* Takes note of samples: in a crew, and while an answer is given. */
static so_status put_by(so_session *s, const float *pcm, size_t samples, int rate, so_error *error)
{
    so_inbox *in = &s->inbox;
    if (rate < 4000 || rate > 384000)
        return so_fail(error, SO_ERR_ARG, "audio at %d Hz, expected 4000 to 384000", rate);
    if (in->n && in->rate != rate)
        return so_fail(error, SO_ERR_ARG, "audio at %d Hz in a turn that began at %d Hz", rate, in->rate);
    if (samples > (size_t)(in->capacity - in->n))
        return so_fail(error, SO_ERR_LIMIT, "%lld samples wait to be heard, there is room for %lld", (long long)in->n,
                       (long long)in->capacity);
    for (size_t i = 0; i < samples; i++)
        if (!isfinite(pcm[i])) return so_fail(error, SO_ERR_NUMBER, "sample %zu is not a finite number", i);
    if (samples) memcpy(in->pcm + in->n, pcm, samples * sizeof *pcm);
    in->n += (int64_t)samples;
    in->rate = rate;
    return SO_OK;
}

so_status so_feed_audio(so_session *s, const float *pcm, size_t samples, int rate, so_error *error)
{
    if (!s || (!pcm && samples)) return so_fail(error, SO_ERR_ARG, "no session, or no audio");
    if (samples > MOST_SAMPLES)
        return so_fail(error, SO_ERR_LIMIT, "%zu samples at once, expected at most %d", samples, MOST_SAMPLES);
    if (!s->ear) return so_fail(error, SO_ERR_UNSUPPORTED, "the model takes no audio: it has no speech tokenizer");
    if (s->phase == SO_ANSWERING) return put_by(s, pcm, samples, rate, error);
    SO_TRY(so_session_open_turn(s, error));
    if (s->crew) {
        SO_TRY(put_by(s, pcm, samples, rate, error));
        if (samples) s->audio = s->fed = true;
        return SO_OK;
    }
    SO_TRY(hear(s, pcm, samples, rate, error));
    return so_session_catch_up(s, error);
}

int so_heard_end(const so_session *s)
{
    if (!s) return 0;
    const so_talk *t = s->talk;
    if (s->phase != SO_LISTENING || !so_session_spoken(s)) return 0;
    int64_t blanks = 0, at = t->bottom.len - 1;
    for (; at >= s->content_at && t->label[at] == s->model->blank; at--) blanks++;
    bool words = s->heard.size > 0;
    double patience = s->options.patience;
    if (s->audio && s->ear->front) return words && so_front_quiet(s->ear->front) >= patience;
    /* A gate keeps silence from the tokenizer: then the level alone tells. */
    if (s->audio && s->ear->held) return words && s->ear->quiet_s >= patience;
    /* The last units are not given out yet; the level knows of them. */
    double held = s->audio ? s->ear->quiet_s - (double)blanks / UNITS_PER_S : 0;
    if (s->audio && s->ear->quiet_s < patience) return 0;
    return words && ((double)blanks / UNITS_PER_S + (held > 0 ? fmin(held, 0.4) : 0) >= patience);
}
