/* A crew: one engine that computes for many sessions.
 *
 * The thread that works the crew owns its sessions. Voices are made by any other threads: what they share with it is
 * one mouth each (speech/mouth.h), and the list of sessions, under the crew's lock. A voice is claimed under that lock
 * and made without it.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "checkpoint/limits.h"
#include "engine/session.h"

enum {
    SESSIONS = 8,
    PARTS = 4,
    EARLY = 4,      /* steps, in one of which all parts name text ahead: at once, so that none waits for another's */
    CARD_VOICES = 2 /* made at a time on a device: its calls take turns */
};

/* Who makes a step of some voice. */
typedef struct speaker {
    so_worker worker;
    bool taken;
} speaker;

struct so_crew {
    so_model *model;
    so_crew_options options;
    so_worker worker;            /* of everything but voices */
    so_worker beside[PARTS - 1]; /* where threads compute for some of the sessions each */
    int parts;                   /* that computing is cut into at most */
    size_t used;                 /* bytes of the sessions */
    int64_t turn;                /* whose work is next */
    so_pace pace;

    pthread_mutex_t lock; /* over what follows */
    so_session **session; /* [options.sessions], n of them */
    int n;
    speaker *speakers; /* [options.voices] */
};

/* Scratch for any step of any voice that a session of the crew may have. */
static so_status open_speakers(so_crew *c, so_error *error)
{
    const so_codec *codec = &c->model->codec;
    so_need fixed, scratch;
    so_site place = so_model_codec_place(c->model);
    if (!codec->has_vocoder) return SO_OK;
    place.pool = NULL;
    const so_session_options largest = {.first_units = SO_MOUTH_HOP, .clones = c->options.clones};
    so_mouth_options options = so_mouth_usual(&largest, 1024);
    SO_TRY(so_mouth_plan(codec, &options, &place, &fixed, &scratch, error));
    for (int i = 0; i < c->options.voices; i++)
        SO_TRY(so_worker_open_on(&c->speakers[i].worker, &place, scratch, error));
    return SO_OK;
}

/* What two slow cores would take, until it is measured. */
static void guess_pace(so_crew *c)
{
    const double floats = 1 / 100e9, bytes = 1 / 250e9, sums = 1 / 25e9, half_bytes = 0.5 / 42e9; /* seconds each */
    c->pace = (so_pace){.least = 0.01, .guess = half_bytes * c->model->elements};
    for (int i = SO_WORK_OTHER + 1; i < SO_PACE_KINDS; i++) c->pace.rate[i] = floats;
    if (c->model->kernels->int8) c->pace.rate[SO_WORK_LAYERS] = c->pace.rate[SO_WORK_LABELS] = bytes;
    c->pace.rate[SO_WORK_EXPECT] = sums;
}

static so_status open_crew(so_crew *c, so_error *error)
{
    so_crew_options *o = &c->options;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    SO_TRY(so_check_crew(o, error));
    guess_pace(c);
    if (!o->sessions) o->sessions = SESSIONS;
    if (!o->voices) o->voices = c->model->codec_device ? CARD_VOICES : cores > 0 ? (int)cores : 1;
    if (!o->memory) o->memory = so_memory_free() / 2;
    c->session = calloc((size_t)o->sessions, sizeof(so_session *));
    c->speakers = calloc((size_t)o->voices, sizeof *c->speakers);
    if (so_model_stays_near(c->model)) c->parts = so_pool_threads(c->model->pool);
    c->parts = c->parts < 1 ? 1 : c->parts > PARTS ? PARTS : c->parts;
    if (!c->session || !c->speakers)
        return so_fail(error, SO_ERR_NOMEM, "no memory for a crew of %d sessions", o->sessions);
    return open_speakers(c, error);
}

so_status so_crew_open(so_crew **out, so_model *model, const so_crew_options *options, so_error *error)
{
    if (out) *out = NULL;
    if (!out || !model) return so_fail(error, SO_ERR_ARG, "a crew without a model");
    so_crew *c = calloc(1, sizeof *c);
    if (!c) return so_fail(error, SO_ERR_NOMEM, "no memory for a crew");
    c->model = model;
    if (options) c->options = *options;
    pthread_mutex_init(&c->lock, NULL);
    so_status status = open_crew(c, error);
    if (status == SO_OK)
        *out = c;
    else
        so_crew_close(&c);
    return status;
}

void so_crew_close(so_crew **crew)
{
    if (!crew || !*crew) return;
    so_crew *c = *crew;
    for (int i = 0; c->speakers && i < c->options.voices; i++) so_worker_clear(&c->speakers[i].worker);
    so_worker_clear(&c->worker);
    for (int i = 0; i < PARTS - 1; i++) so_worker_clear(&c->beside[i]);
    pthread_mutex_destroy(&c->lock);
    free(c->speakers);
    free(c->session);
    free(c);
    *crew = NULL;
}

/* ---- sessions come and go */

/* The worker's scratch is void between steps, so that it may become larger. */
static so_status fit_worker(so_crew *c, so_need need, so_error *error)
{
    so_site place = so_model_place(c->model);
    const so_worker *w = &c->worker;
    if (w->scratch.base && need.host <= w->scratch.capacity && need.device <= w->numbers.capacity &&
        need.beside <= w->beside_scratch.capacity)
        return SO_OK;
    so_worker larger;
    SO_TRY(so_worker_open_on(&larger, &place, need, error));
    so_worker_clear(&c->worker);
    c->worker = larger;
    so_worker_moved(&c->worker);
    return SO_OK;
}

int so_crew_prompt_rows(const so_crew *c) { return c->options.prompt_rows; }
so_pace *so_crew_pace(so_crew *c) { return &c->pace; }

/* The same for those beside it. */
static so_status fit_beside(so_crew *c, so_need need, so_error *error)
{
    for (int i = 0; i < c->parts - 1; i++) {
        so_worker *w = &c->beside[i];
        if (w->scratch.base && need.host <= w->scratch.capacity) continue;
        so_worker_clear(w);
        *w = (so_worker){0};
        SO_TRY(so_worker_open(w, need.host, NULL, c->model->kernels, error));
    }
    return SO_OK;
}

/* Scratch for whatever the session may do. */
static so_status admit(so_crew *c, const so_session_options *options, so_error *error)
{
    so_talk_options talk;
    so_session_need need;
    if (c->n == c->options.sessions)
        return so_fail(error, SO_ERR_LIMIT, "a crew of %d sessions is full", c->options.sessions);
    if (options && options->first_units > SO_MOUTH_HOP)
        return so_fail(error, SO_ERR_ARG, "a first sound of %d units, a crew's voices begin with at most %d",
                       options->first_units, SO_MOUTH_HOP);
    if (options && options->clones && !c->options.clones)
        return so_fail(error, SO_ERR_ARG, "a session with room for voices in a crew without (so_crew_options.clones)");
    SO_TRY(so_session_talk_options(c->model, options, &talk, error));
    if (c->options.prompt_rows) talk.rows = c->options.prompt_rows;
    SO_TRY(so_session_plan(c->model, &talk, NULL, c->options.sessions, &need, error));
    SO_TRY(fit_beside(c, need.scratch, error));
    return fit_worker(c, need.scratch, error);
}

size_t so_crew_memory(const so_crew *c, size_t *most)
{
    if (most) *most = c ? c->options.memory : 0;
    return c ? c->used : 0;
}

/* What it takes is known once it is open; memory that nobody has written to yet costs nothing. */
static so_status charge(so_crew *c, so_session *s, so_error *error)
{
    size_t bytes = so_session_bytes(s), left = c->options.memory - c->used;
    if (bytes > left)
        return so_fail(error, SO_ERR_LIMIT, "a session of %zu bytes, of the %zu of the crew's sessions %zu are free",
                       bytes, c->options.memory, left);
    s->bytes = bytes;
    c->used += bytes;
    return SO_OK;
}

so_status so_crew_session(so_crew *c, so_session **out, const so_session_options *options, so_error *error)
{
    so_session *s;
    if (!c || !out) return so_fail(error, SO_ERR_ARG, "a session without a crew");
    *out = NULL;
    SO_TRY(admit(c, options, error));
    SO_TRY(so_session_make(&s, c->model, options, c, &c->worker, error));
    so_status status = charge(c, s, error);
    if (status != SO_OK) {
        so_session_close(&s);
        return status;
    }
    pthread_mutex_lock(&c->lock);
    c->session[c->n++] = s;
    pthread_mutex_unlock(&c->lock);
    *out = s;
    return SO_OK;
}

void so_crew_forget(so_crew *c, so_session *s)
{
    int at = 0;
    pthread_mutex_lock(&c->lock);
    while (at < c->n && c->session[at] != s) at++;
    if (at < c->n) {
        c->used -= s->bytes;
        memmove(c->session + at, c->session + at + 1, (size_t)(--c->n - at) * sizeof(so_session *));
    }
    pthread_mutex_unlock(&c->lock);
}

/* ---- voices */

static bool speaks(const so_session *s)
{
    return s->phase == SO_ANSWERING && s->stage == SO_BEGUN && s->want & SO_WANT_VOICE && !s->usage.stopped;
}

bool so_crew_voice_free(so_crew *c)
{
    int n = 0;
    for (int i = 0; i < c->n; i++) n += speaks(c->session[i]);
    return n < c->options.voices;
}

/* With the lock held: whose voice would run dry first, claimed; NULL: none is due. */
static so_session *most_urgent(so_crew *c)
{
    so_session *best = NULL;
    double at = so_clock(), soonest = 0;
    for (int i = 0; i < c->n; i++) {
        so_mouth *m = c->session[i]->mouth;
        double dry;
        if (!m || !so_mouth_wants(m, at, &dry) || (best && dry >= soonest)) continue;
        best = c->session[i];
        soonest = dry;
    }
    return best && so_mouth_claim(best->mouth) ? best : NULL;
}

so_status so_crew_speak(so_crew *c, int *made, so_error *error)
{
    speaker *who = NULL;
    so_session *speaks = NULL;
    if (!c || !made) return so_fail(error, SO_ERR_ARG, "a voice without a crew");
    pthread_mutex_lock(&c->lock);
    for (int i = 0; i < c->options.voices && !who; i++)
        if (!c->speakers[i].taken) who = &c->speakers[i];
    if (who) speaks = most_urgent(c);
    if (speaks) who->taken = true;
    pthread_mutex_unlock(&c->lock);
    *made = speaks != NULL;
    if (!speaks) return SO_OK;
    who->worker.pass.stop = &speaks->stop;                /* closing the session waits for the step */
    so_mouth_run(speaks->mouth, &who->worker.pass, NULL); /* the session tells what went wrong */
    who->worker.pass.stop = NULL;
    pthread_mutex_lock(&c->lock);
    who->taken = false;
    pthread_mutex_unlock(&c->lock);
    return SO_OK;
}

/* ---- steps */

static void fail_session(so_session *s, const so_error *error)
{
    s->failure = *error;
    s->ended = true;
    if (s->mouth) so_mouth_quiet(s->mouth);
    s->dirty = s->syncing = false;
}

static bool generates(const so_session *s)
{
    return s->phase == SO_ANSWERING && s->stage == SO_BEGUN && !s->ended && s->failure.status == SO_OK;
}

static void took(so_session *s, const so_made *made)
{
    so_error error;
    if (so_session_took(s, made, &error) != SO_OK) fail_session(s, &error);
}

/* What a pass for many failed at may be one session's alone: each is tried by itself. */
static void step_alone(so_crew *c, so_session *const *s, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        so_made made;
        so_error error;
        if (so_talks_step(&c->worker, &s[i]->talk, 1, &made, &error) == SO_OK)
            took(s[i], &made);
        else
            fail_session(s[i], &error);
    }
}

/* Sessions that are stepped together by one worker. */
typedef struct part {
    so_worker *worker;
    so_session *const *session;
    so_talk *const *talk;
    so_made *made;
    int64_t n;
    so_status status;
} part;

static void step_part(void *context, int64_t task, int thread)
{
    part *p = (part *)context + task;
    (void)thread;
    p->worker->pass.stop = p->n == 1 ? &p->session[0]->stop : NULL; /* others wait for nobody's stop */
    p->status = so_talks_step(p->worker, p->talk, p->n, p->made, NULL);
    p->worker->pass.stop = NULL;
}

/* Whether all threads at one product would wait for one that makes a voice: there are no more cores than they. */
static bool crowded(so_crew *c)
{
    int voices = 0;
    pthread_mutex_lock(&c->lock);
    for (int i = 0; i < c->options.voices; i++) voices += c->speakers[i].taken;
    for (int i = 0; !voices && i < c->n; i++) voices += c->session[i]->mouth && so_mouth_due(c->session[i]->mouth);
    pthread_mutex_unlock(&c->lock);
    return voices && so_pool_threads(c->model->pool) + voices > sysconf(_SC_NPROCESSORS_ONLN);
}

/* Large models have one part, whose weights are read once for all; of one that stays near, threads step some sessions
 * each and do not wait for one another after every product. */
static void step_some(so_crew *c, so_session *const *s, so_talk *const *talk, int64_t n)
{
    so_made made[SO_STEP_MOST];
    part each[PARTS];
    int64_t parts = c->worker.pass.watch ? 1 : n < c->parts ? n : c->parts;
    for (int64_t i = 0; i < parts; i++) {
        int64_t from = n * i / parts, to = n * (i + 1) / parts;
        each[i] = (part){i ? &c->beside[i - 1] : &c->worker, s + from, talk + from, made + from, to - from, 0};
    }
    if (parts == 1) { /* with all threads in each product, where a small model gains by them */
        if (c->parts > 1 && !c->worker.pass.watch && crowded(c)) each[0].worker = &c->beside[0];
        step_part(each, 0, 0);
    } else
        so_pool_for(c->model->pool, parts, step_part, each);
    for (int64_t i = 0; i < parts; i++) {
        if (each[i].status == SO_ERR_STOPPED) continue; /* its answer ends with the next step */
        if (each[i].status != SO_OK) step_alone(c, each[i].session, each[i].n);
        for (int64_t j = 0; each[i].status == SO_OK && j < each[i].n; j++) took(each[i].session[j], &each[i].made[j]);
    }
}

/* One token or unit for everybody who answers; returns the seconds that took, 0: nobody does. */
static double step_all(so_crew *c)
{
    bool any = false;
    double began = so_pace_now(&c->pace);
    for (int from = 0; from < c->n;) {
        so_session *s[SO_STEP_MOST];
        so_talk *talk[SO_STEP_MOST];
        int64_t n = 0;
        for (; from < c->n && n < SO_STEP_MOST; from++)
            if (generates(c->session[from])) {
                s[n] = c->session[from];
                talk[n] = c->session[from]->talk;
                talk[n++]->early = c->parts > 1 && c->pace.turns % EARLY == 0;
            }
        if (n) step_some(c, s, talk, n);
        any |= n > 0;
    }
    double took = so_pace_now(&c->pace) - began;
    if (any) so_pace_turn(&c->pace, took);
    return any ? took : 0;
}

/* Pieces of a prompt or a picture, made beside others. */
typedef struct piece {
    so_session *session;
    int place; /* behind the one whose turn it is */
    so_status status;
    so_error error;
} piece;

/* Pieces of several sessions. Those behind the first `parts` are left to another step when time is up. */
typedef struct pieces {
    so_crew *crew;
    double until; /* seconds of the clock */
    int n;
    atomic_int next, made;
    piece each[SO_STEP_MOST];
} pieces;

/* A worker goes on with one until time is up and then with another, so that it does not wait for others whose pieces
 * take longer. */
static void make_pieces(void *context, int64_t task, int thread)
{
    pieces *all = context;
    so_crew *c = all->crew;
    (void)thread;
    for (int k;
         (k = atomic_fetch_add(&all->next, 1)) < all->n && (k < c->parts || so_pace_now(&c->pace) < all->until);) {
        piece *p = &all->each[k];
        so_talk *talk = p->session->talk;
        so_worker *own = talk->worker;
        bool did;
        talk->worker = task ? &c->beside[task - 1] : &c->worker;
        do p->status = so_session_work(p->session, &did, &p->error);
        while (p->status == SO_OK && so_session_computes(p->session) && so_pace_now(&c->pace) < all->until);
        talk->worker = own;
        atomic_fetch_add(&all->made, 1);
    }
}

/* Prompts and pictures of several sessions of a model that stays near. False: there are not several. */
static bool work_beside(so_crew *c, double until)
{
    pieces all = {.crew = c, .until = until};
    for (int i = 0; i < c->n && all.n < SO_STEP_MOST && c->parts > 1 && !c->worker.pass.watch; i++) {
        so_session *s = c->session[(c->turn + i) % c->n];
        if (s->failure.status != SO_OK || !so_session_computes(s)) continue;
        all.each[all.n].session = s;
        all.each[all.n++].place = i;
    }
    if (all.n < 2) return false;
    so_pool_for(c->model->pool, c->parts, make_pieces, &all);
    for (int i = 0; i < all.made; i++)
        if (all.each[i].status != SO_OK) fail_session(all.each[i].session, &all.each[i].error);
    c->turn += all.each[all.made - 1].place + 1;
    return true;
}

/* Pieces of work for one session after the other, in turn, as many as have room in a step whose answers took `turn`
 * seconds. */
static void work_for_some(so_crew *c, double turn)
{
    so_pace *pace = &c->pace;
    double room = so_pace_room(pace, turn);
    bool beside = work_beside(c, so_pace_now(pace) + room), made = beside, asked = beside;
    int64_t next = c->turn;
    for (int i = 0; i < c->n && room > 0; i++) {
        so_session *s = c->session[(c->turn + i) % c->n];
        so_error error;
        for (bool did = true; did && room > 0 && s->failure.status == SO_OK && so_session_has_work(s);) {
            so_work work = so_session_next(s);
            if (beside && so_session_computes(s)) break;
            if (so_pace_foretell(pace, work) > room && (made || asked || (asked = true, !so_pace_must(pace, turn))))
                break;
            double began = so_pace_now(pace);
            if (so_session_work(s, &did, &error) != SO_OK) fail_session(s, &error);
            double took = so_pace_now(pace) - began;
            if (did) so_pace_note(pace, work, took);
            if (did && !made) next = c->turn + i + 1;
            made |= did;
            room -= took;
        }
    }
    c->turn = next;
}

so_status so_crew_step(so_crew *c, int *busy, so_error *error)
{
    if (!c) return so_fail(error, SO_ERR_ARG, "a step without a crew");
    for (int i = 0; i < c->n; i++) so_session_halt(c->session[i]);
    work_for_some(c, step_all(c));
    int left = 0;
    for (int i = 0; i < c->n; i++) {
        const so_session *s = c->session[i];
        left += s->failure.status == SO_OK && (generates(s) || so_session_has_work(s));
    }
    if (busy) *busy = left;
    return SO_OK;
}
