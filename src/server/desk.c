/* The engine's thread, its queues, and who is served next.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "server/desk.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "server/seat.h"

enum { RATES = 4, SEATS_MOST = 8192, SPEAKERS = 64, ORDERS_A_PASS = 64, KEPT = 8 };
static const double VOICE_WAIT_S = 0.02;

struct so_desk {
    so_desk_options options;
    pthread_t thread, speaker[SPEAKERS];
    int speakers;
    /* guarded by the lock */
    pthread_mutex_t lock;
    pthread_cond_t news;
    bool stop, silent;  /* the thread is to end; those that speak are */
    uint64_t steps;     /* of the crew */
    pthread_cond_t due; /* a step was made */
    so_desk_state state;
    so_error why;
    so_seat **seat;
    uint32_t *generation;
    int seats;       /* room of the two */
    uint64_t waited; /* seats that came to wait so far */
    so_told *first, *last;
    so_desk_stats stats;
    /* the engine thread's */
    so_model *model;
    so_crew *crew;
    int cursor;
    bool busy;              /* the last step left work */
    so_session *kept[KEPT]; /* of conversations that are over, the oldest first */
    int n_kept;
    int rate[RATES];
    so_resampler *resampler[RATES];
};

double so_desk_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

so_crew *so_desk_crew(so_desk *w) { return w->crew; }

bool so_desk_drop_kept(so_desk *w)
{
    if (w->n_kept == 0) return false;
    so_session_close(&w->kept[0]);
    memmove(w->kept, w->kept + 1, (size_t)--w->n_kept * sizeof *w->kept);
    return true;
}

/* The session of a conversation that is over. */
static void keep_session(so_desk *w, so_seat *s)
{
    so_error error;
    if (!s->session || s->answering || s->hearing || s->failure.status != SO_OK) return;
    so_event event = {0};
    while (so_next(s->session, &event, &error) == SO_OK && event.kind != SO_EVENT_NONE) {
    }
    if (w->n_kept == KEPT) so_desk_drop_kept(w);
    w->kept[w->n_kept++] = s->session;
    s->session = NULL;
}
const so_session_options *so_desk_session(so_desk *w) { return &w->options.session; }

static const so_clone *clone_of(const so_desk *w, const char *name)
{
    so_clone_info info;
    so_error error;
    for (int i = 0; i < w->options.n_clones && name; i++) {
        so_clone_about(w->options.clones[i], &info);
        if (strcmp(info.name, name) == 0 && so_clone_fits(w->options.clones[i], w->model, &error) == SO_OK)
            return w->options.clones[i];
    }
    return NULL;
}

const so_clone *so_desk_voice(so_desk *w, const char *name)
{
    so_model_info info;
    const so_clone *clone = clone_of(w, name);
    so_model_about(w->model, &info);
    if (clone || (name[0] && strcmp(name, info.voice) == 0)) return clone;
    return clone_of(w, w->options.voice);
}

/* Sessions have room for voices where there are any for this model. */
static so_status sort_voices(so_desk *w, so_error *error)
{
    so_desk_options *o = &w->options;
    so_clone_info info;
    so_error why = {0};
    o->session.clones = 0;
    for (int i = 0; i < o->n_clones; i++) {
        so_status status = so_clone_fits(o->clones[i], w->model, &why);
        so_clone_about(o->clones[i], &info);
        if (status == SO_OK) o->session.clones = 1;
        if (status != SO_OK && o->voice && strcmp(o->voice, info.name) == 0)
            return so_fail(error, status, "%s", why.text);
    }
    return SO_OK;
}

so_status so_desk_resampler(so_desk *w, int rate, const so_resampler **out, so_error *error)
{
    int i = 0;
    while (i < RATES && w->rate[i] && w->rate[i] != rate) i++;
    if (i == RATES) return so_fail(error, SO_ERR_LIMIT, "more than %d rates of voices", RATES);
    if (!w->rate[i]) {
        SO_TRY(so_resampler_open(&w->resampler[i], SO_VOICE_RATE, rate, error));
        w->rate[i] = rate;
    }
    *out = w->resampler[i];
    return SO_OK;
}

/* ---- messages */
so_order *so_order_new(so_order_kind kind, const char *text)
{
    so_order *o = calloc(1, sizeof *o);
    if (!o) return NULL;
    o->kind = kind;
    if (text && !(o->text = strdup(text))) {
        free(o);
        return NULL;
    }
    return o;
}

void so_order_free(so_order *o)
{
    if (!o) return;
    free(o->text);
    free(o->data);
    free(o->pcm);
    for (int i = 0; i < SO_ORDER_STOPS; i++) free(o->stop[i]);
    free(o);
}

so_told *so_told_new(so_told_kind kind, const char *text)
{
    so_told *t = calloc(1, sizeof *t);
    if (!t) return NULL;
    t->kind = kind;
    if (text && !(t->text = strdup(text))) {
        free(t);
        return NULL;
    }
    return t;
}

void so_told_free(so_told *t)
{
    if (!t) return;
    free(t->text);
    free(t->data);
    free(t->units);
    free(t->words);
    json_decref(t->logprobs);
    free(t);
}

void so_desk_tell(so_desk *w, const so_seat *seat, so_told *t)
{
    if (!t) return;
    t->seat = seat->id;
    t->turn = t->kind == SO_TOLD_HEARD ? seat->said : seat->turn;
    pthread_mutex_lock(&w->lock);
    bool first = w->first == NULL;
    if (w->last)
        w->last->next = t;
    else
        w->first = t;
    w->last = t;
    pthread_mutex_unlock(&w->lock);
    if (first) w->options.wake(w->options.context);
}

void so_desk_tell_failure(so_desk *w, const so_seat *seat, const so_error *error, bool answer)
{
    so_told *t = so_told_new(SO_TOLD_FAILED, error->text);
    if (t) t->status = error->status;
    if (t) t->answer = answer;
    so_desk_tell(w, seat, t);
}

void so_desk_count(so_desk *w, const so_usage *u)
{
    pthread_mutex_lock(&w->lock);
    w->stats.text_tokens += (uint64_t)u->text_tokens;
    w->stats.units += (uint64_t)u->units;
    w->stats.prompt_positions += (uint64_t)u->prompt_positions;
    w->stats.cached_positions += (uint64_t)u->cached_positions;
    w->stats.audio_s += u->voice_s;
    w->stats.busy_s += u->total_s;
    pthread_mutex_unlock(&w->lock);
}

/* ---- seats; all with the lock held */
static so_seat *find(so_desk *w, uint64_t id)
{
    uint32_t slot = (uint32_t)id;
    if (slot >= (uint32_t)w->seats) return NULL;
    so_seat *s = w->seat[slot];
    return s && s->id == id && !s->gone ? s : NULL;
}

static void remove_seat(so_desk *w, so_seat *s)
{
    uint32_t slot = (uint32_t)s->id;
    w->seat[slot] = NULL;
    w->generation[slot]++;
    while (s->first) {
        so_order *o = s->first;
        s->first = o->next;
        so_order_free(o);
    }
    while (s->given) {
        so_order *o = s->given;
        s->given = o->next;
        so_order_free(o);
    }
    free(s->system);
    free(s);
}

static so_status more_seats(so_desk *w, so_error *error)
{
    int n = w->seats ? 2 * w->seats : 64;
    if (n > SEATS_MOST) return so_fail(error, SO_ERR_LIMIT, "more than %d conversations", SEATS_MOST);
    so_seat **seat = realloc(w->seat, (size_t)n * sizeof *seat);
    if (seat) w->seat = seat;
    uint32_t *generation = realloc(w->generation, (size_t)n * sizeof *generation);
    if (generation) w->generation = generation;
    if (!seat || !generation) return so_fail(error, SO_ERR_NOMEM, "no memory for %d conversations", n);
    memset(seat + w->seats, 0, (size_t)(n - w->seats) * sizeof *seat);
    memset(generation + w->seats, 0, (size_t)(n - w->seats) * sizeof *generation);
    w->seats = n;
    return SO_OK;
}

static bool waits(const so_seat *s) { return !s->gone && !s->shown.session && s->first; }

/* Whether an order of it can be carried out now. */
static bool runnable(const so_desk *w, const so_seat *s)
{
    if (s->gone) return true;
    if (s->shown.answering || !s->first) return false;
    return s->shown.session || w->stats.sessions < w->options.sessions;
}

static void count_states(so_desk *w)
{
    w->stats.sessions = w->stats.waiting = w->stats.answering = w->stats.speaking = 0;
    for (int i = 0; i < w->seats; i++) {
        const so_seat *s = w->seat[i];
        if (!s) continue;
        w->stats.sessions += s->shown.session;
        w->stats.waiting += waits(s);
        w->stats.answering += s->shown.answering;
        w->stats.speaking += s->shown.answering && s->shown.voice;
    }
}

/* Everybody in turn; of those that wait for a session the one that came first. */
static so_seat *choose(so_desk *w)
{
    so_seat *oldest = NULL;
    count_states(w);
    for (int i = 0; i < w->seats; i++)
        if (w->seat[i] && waits(w->seat[i]) && (!oldest || w->seat[i]->number < oldest->number)) oldest = w->seat[i];
    for (int i = 1; i <= w->seats; i++) {
        int at = (w->cursor + i) % w->seats;
        so_seat *s = w->seat[at];
        if (!s || !runnable(w, s) || (waits(s) && s != oldest)) continue;
        w->cursor = at;
        return s;
    }
    return NULL;
}

/* ---- the thread */
/* An answer that was stopped before it began is told as such. */
static void tell_unbegun(so_desk *w, so_seat *s, const so_order *o)
{
    so_told *t = so_told_new(SO_TOLD_DONE, NULL);
    s->turn = o->turn;
    if (t) t->usage.stopped = 1;
    so_desk_tell(w, s, t);
}

static void tell_seated(so_desk *w, so_seat *s, double since)
{
    so_told *t = so_told_new(SO_TOLD_SEATED, NULL);
    if (t) t->queue_s = since > 0 ? so_desk_now() - since : 0;
    so_desk_tell(w, s, t);
}

static bool begins(const so_order *o)
{
    return o->kind == SO_ORDER_REPLY || o->kind == SO_ORDER_SAY || o->kind == SO_ORDER_LISTEN;
}

static void remove_gone(so_desk *w, so_seat *s)
{
    bool keep = s->shares && !w->stop;
    pthread_mutex_unlock(&w->lock);
    if (keep) keep_session(w, s);
    so_seat_clear(s);
    pthread_mutex_lock(&w->lock);
    remove_seat(w, s);
}

/* Once its conversation is told whole. */
static void share(so_desk *w, so_seat *s)
{
    if (!s->session || s->failure.status != SO_OK) return;
    int at = so_seat_move(s, w->kept, w->n_kept);
    if (at < 0) return;
    so_session_close(&w->kept[at]);
    memmove(w->kept + at, w->kept + at + 1, (size_t)(--w->n_kept - at) * sizeof *w->kept);
}

static void note_given(so_seat *s, so_order *o)
{
    o->next = NULL;
    if (s->last_given)
        s->last_given->next = o;
    else
        s->given = o;
    s->last_given = o;
}

static void show(so_seat *s)
{
    s->shown = (so_seat_shown){s->session != NULL, s->answering, s->voice, s->answering, s->turn};
    if (s->session) s->waits_since = 0;
}

/* One order. With the lock held, which is released meanwhile. */
static void serve(so_desk *w, so_seat *s)
{
    so_order *o = s->first;
    bool had = s->shown.session;
    double since = s->waits_since;
    s->first = o->next;
    if (!s->first) s->last = NULL;
    if (begins(o)) {
        s->stop = false;
        s->shown.busy = true;
        s->shown.turn = o->turn;
    }
    pthread_mutex_unlock(&w->lock);
    if (s->shares && o->kind == SO_ORDER_REPLY) share(w, s);
    if (o->ms < 0)
        tell_unbegun(w, s, o);
    else
        so_seat_order(w, s, o);
    if (!had && s->session) tell_seated(w, s, since);
    if (s->shares && !begins(o))
        note_given(s, o);
    else
        so_order_free(o);
    pthread_mutex_lock(&w->lock);
    show(s);
}

/* The orders that can be carried out. True when there were some. */
static bool take_orders(so_desk *w)
{
    so_seat *s;
    int n = 0;
    for (; n < ORDERS_A_PASS && (s = choose(w)) != NULL; n++)
        if (s->gone)
            remove_gone(w, s);
        else
            serve(w, s);
    return n > 0;
}

/* What all sessions have to say. True when there was something, or an answer was stopped. */
static bool hear_all(so_desk *w)
{
    bool news = false;
    for (int i = 0; i < w->seats; i++) {
        so_seat *s = w->seat[i];
        if (!s || !s->session || s->gone) continue;
        bool stop = s->stop, silent = s->paused && !stop;
        s->stop = false;
        pthread_mutex_unlock(&w->lock);
        if (stop) so_session_stop(s->session);
        if (!silent) news |= so_seat_hear(w, s) || stop;
        pthread_mutex_lock(&w->lock);
        show(s);
    }
    return news;
}

static void wait_for(pthread_cond_t *news, pthread_mutex_t *lock, double seconds)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += (long)(seconds * 1e9);
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(news, lock, &until);
}

/* Orders, a step of the crew, what came of it; waits when there is nothing of it. With the lock held. */
static void pass(so_desk *w)
{
    so_error error = {0};
    bool news = take_orders(w);
    count_states(w);
    int answering = w->stats.answering, busy = 0;
    if (news || w->busy || answering) {
        pthread_mutex_unlock(&w->lock);
        so_status status = so_crew_step(w->crew, &busy, &error);
        pthread_mutex_lock(&w->lock);
        w->steps++;
        w->stats.steps++;
        w->stats.rows += (uint64_t)answering;
        w->stats.memory = so_crew_memory(w->crew, &w->stats.memory_most);
        pthread_cond_broadcast(&w->due);
        if (status != SO_OK) {
            w->state = SO_DESK_FAILED;
            w->why = error;
            w->stop = true;
        }
    }
    w->busy = busy > 0;
    news |= hear_all(w);
    if (news || w->busy || w->stop) return;
    if (answering) /* a voice is being made by others */
        wait_for(&w->news, &w->lock, VOICE_WAIT_S);
    else if (!choose(w))
        pthread_cond_wait(&w->news, &w->lock);
}

/* A thread that makes voices: as long as there are pieces due, then after every step of the crew. */
static void *speak(void *context)
{
    so_desk *w = context;
    uint64_t seen = 0;
    pthread_mutex_lock(&w->lock);
    while (!w->silent) {
        if (w->steps == seen) {
            pthread_cond_wait(&w->due, &w->lock);
            continue;
        }
        uint64_t steps = w->steps;
        int made = 0;
        pthread_mutex_unlock(&w->lock);
        if (so_crew_speak(w->crew, &made, NULL) != SO_OK) made = 0;
        pthread_mutex_lock(&w->lock);
        if (made)
            pthread_cond_signal(&w->news);
        else
            seen = steps;
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

static so_status open_crew(so_desk *w, so_error *error)
{
    so_crew_options crew = {.sessions = w->options.sessions, .voices = w->options.speaking};
    SO_TRY(w->options.open(w->options.context, &w->model, error));
    SO_TRY(sort_voices(w, error));
    crew.clones = w->options.session.clones;
    SO_TRY(so_crew_open(&w->crew, w->model, &crew, error));
    while (w->speakers < w->options.speaking && w->speakers < SPEAKERS &&
           pthread_create(&w->speaker[w->speakers], NULL, speak, w) == 0)
        w->speakers++;
    return w->speakers ? SO_OK : so_fail(error, SO_ERR_IO, "no thread for voices can be started");
}

static void close_crew(so_desk *w)
{
    pthread_mutex_lock(&w->lock);
    w->silent = true;
    pthread_cond_broadcast(&w->due);
    pthread_mutex_unlock(&w->lock);
    for (int i = 0; i < w->speakers; i++) pthread_join(w->speaker[i], NULL);
    pthread_mutex_lock(&w->lock);
    for (int i = 0; i < w->seats; i++)
        if (w->seat[i]) remove_gone(w, w->seat[i]);
    pthread_mutex_unlock(&w->lock);
    while (so_desk_drop_kept(w)) {
    }
    for (int i = 0; i < RATES; i++) so_resampler_close(&w->resampler[i]);
    so_crew_close(&w->crew);
    so_model_close(&w->model);
}

static void *run(void *context)
{
    so_desk *w = context;
    so_error error = {0};
    so_status status = open_crew(w, &error);
    pthread_mutex_lock(&w->lock);
    w->state = status == SO_OK ? SO_DESK_READY : SO_DESK_FAILED;
    w->why = error;
    pthread_mutex_unlock(&w->lock);
    w->options.wake(w->options.context); /* whoever waits for the model sees it now */
    pthread_mutex_lock(&w->lock);
    while (!w->stop)
        if (status == SO_OK)
            pass(w);
        else
            pthread_cond_wait(&w->news, &w->lock);
    pthread_mutex_unlock(&w->lock);
    close_crew(w);
    return NULL;
}

so_status so_desk_open(so_desk **out, const so_desk_options *options, so_error *error)
{
    so_desk *w = calloc(1, sizeof *w);
    *out = NULL;
    if (!w) return so_fail(error, SO_ERR_NOMEM, "no memory for a desk");
    w->options = *options;
    if (w->options.sessions <= 0) w->options.sessions = 8;
    if (w->options.waiting <= 0) w->options.waiting = 64;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (w->options.speaking <= 0) w->options.speaking = cores > 0 ? (int)cores : 1;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->news, NULL);
    pthread_cond_init(&w->due, NULL);
    if (pthread_create(&w->thread, NULL, run, w) != 0) {
        pthread_cond_destroy(&w->due);
        pthread_mutex_destroy(&w->lock);
        pthread_cond_destroy(&w->news);
        free(w);
        return so_fail(error, SO_ERR_IO, "the engine's thread cannot be started");
    }
    *out = w;
    return SO_OK;
}

void so_desk_close(so_desk **desk)
{
    if (!desk || !*desk) return;
    so_desk *w = *desk;
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    pthread_cond_signal(&w->news);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    for (so_told *t = w->first, *next; t; t = next) {
        next = t->next;
        so_told_free(t);
    }
    pthread_cond_destroy(&w->due);
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->news);
    free(w->seat);
    free(w->generation);
    free(w);
    *desk = NULL;
}

/* ---- from outside */
so_desk_state so_desk_about(so_desk *w, so_model_info *info, so_error *why, so_desk_stats *stats)
{
    pthread_mutex_lock(&w->lock);
    so_desk_state state = w->state;
    if (info && state == SO_DESK_READY) so_model_about(w->model, info);
    if (why) *why = w->why;
    if (stats) {
        count_states(w);
        *stats = w->stats;
        stats->most = w->options.sessions;
    }
    pthread_mutex_unlock(&w->lock);
    return state;
}

const so_model *so_desk_model(so_desk *w)
{
    pthread_mutex_lock(&w->lock);
    const so_model *model = w->state == SO_DESK_READY ? w->model : NULL;
    pthread_mutex_unlock(&w->lock);
    return model;
}

so_status so_desk_sit(so_desk *w, uint64_t *id, int *ahead, so_error *error)
{
    so_status status = SO_OK;
    so_seat *s = calloc(1, sizeof *s);
    if (!s) return so_fail(error, SO_ERR_NOMEM, "no memory for a conversation");
    pthread_mutex_lock(&w->lock);
    count_states(w);
    *ahead = w->stats.waiting;
    int slot = 0;
    while (slot < w->seats && w->seat[slot]) slot++;
    if (*ahead >= w->options.waiting)
        status = so_fail(error, SO_ERR_LIMIT, "%d conversations wait already", *ahead);
    else if (slot == w->seats)
        status = more_seats(w, error);
    if (status == SO_OK) {
        s->id = (uint64_t)(w->generation[slot] + 1) << 32 | (uint32_t)slot; /* never 0 */
        w->seat[slot] = s;
        *id = s->id;
    }
    pthread_mutex_unlock(&w->lock);
    if (status != SO_OK) free(s);
    return status;
}

void so_desk_share(so_desk *w, uint64_t id)
{
    pthread_mutex_lock(&w->lock);
    so_seat *s = find(w, id);
    if (s) s->shares = true;
    pthread_mutex_unlock(&w->lock);
}

void so_desk_plain(so_desk *w, uint64_t id)
{
    pthread_mutex_lock(&w->lock);
    so_seat *s = find(w, id);
    if (s) s->plain = true;
    pthread_mutex_unlock(&w->lock);
}

void so_desk_leave(so_desk *w, uint64_t id)
{
    pthread_mutex_lock(&w->lock);
    so_seat *s = find(w, id);
    if (s) s->gone = true;
    pthread_cond_signal(&w->news);
    pthread_mutex_unlock(&w->lock);
}

void so_desk_order(so_desk *w, uint64_t id, so_order *o)
{
    if (!o) return;
    pthread_mutex_lock(&w->lock);
    so_seat *s = find(w, id);
    if (s) {
        if (!s->shown.session && s->waits_since <= 0) {
            s->number = w->waited++;
            s->waits_since = so_desk_now();
        }
        if (s->last)
            s->last->next = o;
        else
            s->first = o;
        for (s->last = o; s->last->next;) s->last = s->last->next;
    }
    pthread_cond_signal(&w->news);
    pthread_mutex_unlock(&w->lock);
    for (so_order *next; !s && o; o = next) {
        next = o->next;
        so_order_free(o);
    }
}

void so_desk_stop(so_desk *w, uint64_t id, uint32_t turn)
{
    pthread_mutex_lock(&w->lock);
    so_seat *s = find(w, id);
    if (s && s->shown.busy && s->shown.turn == turn) s->stop = true;
    for (so_order *o = s ? s->first : NULL; o; o = o->next)
        if (begins(o) && o->turn == turn) o->ms = -1;
    pthread_cond_signal(&w->news);
    pthread_mutex_unlock(&w->lock);
}

void so_desk_pause(so_desk *w, uint64_t id, bool paused)
{
    pthread_mutex_lock(&w->lock);
    so_seat *s = find(w, id);
    if (s) s->paused = paused;
    if (!paused) pthread_cond_signal(&w->news);
    pthread_mutex_unlock(&w->lock);
}

so_told *so_desk_hear(so_desk *w)
{
    pthread_mutex_lock(&w->lock);
    so_told *t = w->first;
    w->first = w->last = NULL;
    pthread_mutex_unlock(&w->lock);
    return t;
}
