/* What stands between a session and its next token, in pieces that are short.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "engine/session.h"

enum { LISTEN_MS = 400 /* sound that goes to the ear in one piece */ };

/* Samples in the inbox that belong to the turn which is open or being answered. */
static int64_t mine(const so_session *s)
{
    if (s->phase == SO_LISTENING) return s->inbox.n;
    return s->phase == SO_ANSWERING && s->stage < SO_BEGUN ? s->inbox.mine : 0;
}

static so_status listen(so_session *s, so_error *error)
{
    so_inbox *in = &s->inbox;
    int64_t n = mine(s), most = (int64_t)in->rate * LISTEN_MS / 1000;
    bool news = false;
    if (n > most) n = most;
    so_session_watch(s, in->pcm, (size_t)n, in->rate);
    so_status status = so_ear_feed(s->ear, in->pcm, (size_t)n, in->rate, &news, error);
    if (s->ear->ended) n = (int64_t)s->ear->taken; /* another segment begins there */
    in->n -= n;
    in->mine -= n < in->mine ? n : in->mine;
    memmove(in->pcm, in->pcm + n, (size_t)in->n * sizeof *in->pcm);
    s->audio = s->fed = true;
    s->dirty = s->dirty || news;
    return status;
}

static so_status listen_on(so_session *s, so_error *error)
{
    bool news;
    so_status status = so_ear_more(s->ear, &news, error);
    s->dirty = s->dirty || news;
    return status;
}

static so_status look(so_session *s, so_error *error)
{
    bool done;
    SO_TRY(so_talk_look(s->talk, &s->views[0], s->place[0], &done, error));
    if (done) so_session_pop_view(s);
    return SO_OK;
}

/* The slots of the turn as it is now are what the stores shall hold. */
static so_status want(so_session *s, bool whole, so_error *error)
{
    SO_TRY(so_session_lay_out(s, whole, error));
    SO_TRY(so_talk_want(s->talk, s->slots.slot, s->slots.n, error));
    if (s->talk->kept < s->cached) s->cached = s->talk->kept;
    s->dirty = false;
    return SO_OK;
}

static so_status prompt(so_session *s, so_error *error)
{
    bool done;
    SO_TRY(so_talk_more(s->talk, &done, error));
    if (!done) return SO_OK;
    if (s->closing) {
        s->closing = false;
        return so_session_settle(s, error);
    }
    if (s->phase == SO_ANSWERING) {
        s->stage = SO_PROMPTED;
        return SO_OK;
    }
    s->syncing = false;
    return so_session_transcribe(s, false, error);
}

static bool listens(const so_session *s) { return s->ear && so_ear_looks(s->ear); }

bool so_session_has_work(const so_session *s)
{
    if (s->phase == SO_ANSWERING) return s->stage < SO_BEGUN;
    bool ended = s->ear && s->ear->ended;
    return s->waiting || listens(s) || mine(s) > 0 || s->dirty || s->syncing || s->closing || ended;
}

so_work so_session_next(const so_session *s)
{
    bool prompting = s->phase == SO_ANSWERING && s->stage == SO_PROMPTING;
    if (s->phase == SO_ANSWERING && s->stage == SO_PROMPTED) return (so_work){SO_WORK_OTHER, 1};
    if (s->waiting) return so_talk_look_next(s->talk);
    if (listens(s)) return (so_work){SO_WORK_EAR, so_ear_products(s->ear)};
    bool sound = (s->ear && s->ear->ended) || mine(s) > 0;
    if (s->closing || (!sound && (s->syncing || prompting))) return so_talk_next(s->talk);
    return (so_work){SO_WORK_OTHER, 1};
}

bool so_session_computes(const so_session *s)
{
    bool answering = s->phase == SO_ANSWERING;
    if (answering && (s->stage >= SO_PROMPTED || atomic_load(&s->stop))) return false;
    if (s->waiting) return true;
    if (listens(s) || s->closing || (s->ear && s->ear->ended) || mine(s) > 0) return false;
    return s->syncing || (answering && s->stage == SO_PROMPTING);
}

static so_status work(so_session *s, bool *did, so_error *error)
{
    bool answering = s->phase == SO_ANSWERING;
    if (answering && s->stage == SO_PROMPTED) {
        if (s->crew && !s->sentence && s->want & SO_WANT_VOICE && !so_crew_voice_free(s->crew)) {
            *did = false;
            return SO_OK;
        }
        return so_session_begin(s, error);
    }
    if (s->waiting) return look(s, error);
    if (listens(s)) return listen_on(s, error);
    if (s->closing) return prompt(s, error);
    if (s->ear && s->ear->ended) {
        SO_TRY(so_ear_end_segment(s->ear, error));
        if (listens(s)) return SO_OK;
        SO_TRY(want(s, true, error));
        s->closing = true;
        s->syncing = false;
        return SO_OK;
    }
    if (mine(s) > 0) return listen(s, error);
    if (s->syncing || (answering && s->stage == SO_PROMPTING)) return prompt(s, error);
    if (answering) {
        if (s->audio && !s->ear->finished) SO_TRY(so_ear_finish(s->ear, error));
        if (s->audio && (s->ear->ended || listens(s))) return SO_OK;
        SO_TRY(want(s, true, error));
        s->stage = SO_PROMPTING;
        return SO_OK;
    }
    SO_TRY(want(s, false, error));
    s->syncing = true;
    return SO_OK;
}

so_status so_session_work(so_session *s, bool *did, so_error *error)
{
    *did = so_session_has_work(s) && !(s->phase == SO_ANSWERING && atomic_load(&s->stop));
    if (!*did) return SO_OK;
    so_worker *worker = s->talk->worker;
    worker->pass.stop = s->phase == SO_ANSWERING ? &s->stop : NULL;
    so_status status = work(s, did, error);
    worker->pass.stop = NULL;
    if (status == SO_ERR_STOPPED) status = SO_OK; /* whoever stopped it ends the answer */
    if (status != SO_OK) s->dirty = s->syncing = s->closing = false;
    return status;
}

so_status so_session_catch_up(so_session *s, so_error *error)
{
    for (bool did = true; did;) SO_TRY(so_session_work(s, &did, error));
    return SO_OK;
}
