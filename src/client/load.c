/* Load for a server.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "client/load.h"

#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/loop.h"

enum { PIECE = SO_REMOTE_RATE / 25 /* samples of 40 ms */ };
static const double piece_s = 0.04, stopped_most = 15, answer_most = 120, lead = 0.06, into = 0.4;

typedef enum doing { QUIET, SPEAKING, WAITING, ANSWERED } doing;

typedef struct speaker {
    so_remote *remote;
    doing doing;
    int next, answers; /* the turn to be spoken next; answers so far */
    double due;        /* when the next piece is to be sent: it was recorded in the 40 ms before */
    double ready;      /* QUIET: not before */
    /* the turn that is spoken */
    const so_load_turn *turn;
    size_t at;      /* samples of it sent */
    double began;   /* when its first sample was spoken */
    double until;   /* when it is given up */
    double stopped; /* speech_stopped; 0: not yet */
    bool intrudes;  /* it is spoken into an answer */
    double started; /* that answer was ended by speech_started; 0: not yet */
    /* its answer */
    so_load_player player;
    double created, first_text, first_audio, last_audio, length;
    bool intrude; /* it is to be spoken into */
} speaker;

typedef struct load {
    const so_load_options *o;
    so_load_result *result;
    speaker *all;
    int busy; /* speak or are answered */
    double began;
} load;

void so_load_turn_find(so_load_turn *turn)
{
    float most = 0;
    for (size_t i = 0; i < turn->n; i++) most = fmaxf(most, fabsf(turn->pcm[i]));
    size_t first = 0, last = most > 0 ? turn->n : 0;
    while (first < last && fabsf(turn->pcm[first]) < most / 100) first++;
    while (last > first && fabsf(turn->pcm[last - 1]) < most / 100) last--;
    turn->begin_s = (double)first / SO_REMOTE_RATE;
    turn->end_s = (double)last / SO_REMOTE_RATE;
}

void so_load_result_clear(so_load_result *result)
{
    for (int i = 0; i < SO_LOAD_FIGURES; i++) free(result->figure[i].x);
    *result = (so_load_result){0};
}

static so_status note(load *l, so_load_figure figure, double x, so_error *error)
{
    return so_load_add(&l->result->figure[figure], x, error);
}

/* ---- turns */
static void speak(load *l, speaker *s, double now)
{
    s->turn = &l->o->turn[s->next++ % l->o->turns];
    s->doing = SPEAKING;
    s->at = 0;
    s->began = s->due - piece_s;
    s->until = now + (double)s->turn->n / SO_REMOTE_RATE + stopped_most;
    s->stopped = s->started = 0;
}

static void forget_answer(load *l, speaker *s)
{
    int every = l->o->interrupt;
    s->created = s->first_text = s->first_audio = s->last_audio = s->length = 0;
    s->player = (so_load_player){.lead = lead};
    s->intrude = every && (s->answers + 1) % every == 0;
}

static void rest(load *l, speaker *s, double now)
{
    if (s->doing != QUIET) l->busy--;
    s->doing = QUIET;
    s->ready = now + l->o->pause;
    s->intrudes = false;
    forget_answer(l, s);
}

static void give_up(load *l, speaker *s, double now)
{
    if (s->doing == SPEAKING || s->doing == WAITING)
        l->result->unheard++;
    else
        l->result->failed++;
    so_error nobody;
    so_remote_cancel(s->remote, &nobody);
    rest(l, s, now);
}

/* ---- what comes */
static so_status end_of_voice(load *l, speaker *s, double at, so_error *error)
{
    double end = s->began + s->turn->end_s;
    if (s->doing != SPEAKING && s->doing != WAITING) return SO_OK;
    if (at < end) { /* a pause within the turn was taken for its end */
        l->result->split++;
        return SO_OK;
    }
    s->stopped = at;
    s->until = at + answer_most;
    s->doing = ANSWERED;
    s->intrudes = false;
    forget_answer(l, s);
    return note(l, SO_LOAD_STOPPED, at - end, error);
}

static so_status beginning_of_voice(load *l, speaker *s, double at, so_error *error)
{
    if (!s->intrudes || s->started != 0) return SO_OK;
    s->started = at;
    l->result->interrupted++;
    return note(l, SO_LOAD_STARTED, fmax(0, at - s->began - s->turn->begin_s), error);
}

static so_status take_voice(load *l, speaker *s, const so_remote_event *e, so_error *error)
{
    double seconds = (double)e->samples / SO_REMOTE_RATE;
    l->result->pieces++;
    l->result->underruns += so_load_play(&s->player, e->at, seconds);
    s->length += seconds;
    s->last_audio = e->at;
    if (s->first_audio != 0) return SO_OK;
    s->first_audio = e->at;
    if (s->doing != ANSWERED || s->stopped == 0) return SO_OK;
    SO_TRY(note(l, SO_LOAD_AUDIO, e->at - s->stopped, error));
    return note(l, SO_LOAD_ANSWER, e->at - s->began - s->turn->end_s, error);
}

static so_status take_text(load *l, speaker *s, double at, so_error *error)
{
    if (s->first_text != 0) return SO_OK;
    s->first_text = at;
    return s->doing == ANSWERED && s->stopped != 0 ? note(l, SO_LOAD_TEXT, at - s->stopped, error) : SO_OK;
}

static so_status take_done(load *l, speaker *s, const so_remote_event *e, so_error *error)
{
    if (e->end == SO_REMOTE_FAILED) {
        l->result->failed++;
        rest(l, s, e->at);
        return SO_OK;
    }
    l->result->voice_s += s->length;
    s->answers++;
    if (s->started != 0 && e->end == SO_REMOTE_CANCELLED) { /* the answer that this turn was spoken into */
        l->result->turns++;
        return note(l, SO_LOAD_SILENT, fmax(0, s->last_audio - s->started), error);
    }
    if (s->doing != ANSWERED) return SO_OK;
    if (s->length == 0 && s->first_text == 0) {
        l->result->unheard++;
        rest(l, s, e->at);
        return SO_OK;
    }
    l->result->turns++;
    if (s->length > 0) SO_TRY(note(l, SO_LOAD_FACTOR, (s->last_audio - s->created) / s->length, error));
    s->until = s->player.dry_at + 1;
    s->stopped = 0; /* made: what is left is to be played */
    return SO_OK;
}

static so_status take_event(load *l, speaker *s, const so_remote_event *e, so_error *error)
{
    switch (e->kind) {
    case SO_REMOTE_BEGAN:
        return beginning_of_voice(l, s, e->at, error);
    case SO_REMOTE_ENDED:
        return end_of_voice(l, s, e->at, error);
    case SO_REMOTE_ANSWERS:
        s->created = e->at;
        return SO_OK;
    case SO_REMOTE_TEXT:
        return take_text(l, s, e->at, error);
    case SO_REMOTE_VOICE:
        return take_voice(l, s, e, error);
    case SO_REMOTE_DONE:
        return take_done(l, s, e, error);
    case SO_REMOTE_REFUSED:
        if (!l->result->told_why[0]) snprintf(l->result->told_why, sizeof l->result->told_why, "%.255s", e->text);
        return SO_OK;
    default:
        return SO_OK;
    }
}

static void lose(load *l, speaker *s, const so_error *why)
{
    if (!l->result->told_why[0]) snprintf(l->result->told_why, sizeof l->result->told_why, "%.255s", why->text);
    l->result->lost++;
    if (s->doing != QUIET) l->busy--;
    so_remote_close(&s->remote);
}

/* ---- what goes */
static so_status send_piece(load *l, speaker *s, double now, so_error *error)
{
    static const float silence[PIECE];
    float mixed[PIECE] = {0};
    const float *pcm = silence;
    if (s->doing == SPEAKING) {
        size_t n = s->turn->n - s->at < PIECE ? s->turn->n - s->at : PIECE;
        memcpy(mixed, s->turn->pcm + s->at, n * sizeof *mixed);
        s->at += n;
        if (s->at == s->turn->n) s->doing = WAITING;
        pcm = mixed;
    }
    l->result->late_s = fmax(l->result->late_s, now - s->due);
    s->due += piece_s;
    return so_remote_append(s->remote, pcm, PIECE, error);
}

/* What a session does by itself, as time goes by. */
static void decide(load *l, speaker *s, double now)
{
    const so_load_options *o = l->o;
    bool goes_on = now - l->began < o->seconds;
    if (s->doing == QUIET) {
        if (!goes_on || now < s->ready || (o->speaking && l->busy >= o->speaking)) return;
        l->busy++;
        speak(l, s, now);
        return;
    }
    if (s->doing == ANSWERED && s->intrude && goes_on && s->first_audio != 0 && now - s->first_audio >= into &&
        now < s->player.dry_at) {
        speak(l, s, now);
        s->intrudes = true;
        s->intrude = false;
        return;
    }
    if (s->doing == ANSWERED && s->stopped == 0 && now >= s->player.dry_at) {
        rest(l, s, now);
        return;
    }
    if (now > s->until) give_up(l, s, now);
}

static so_status tend(load *l, speaker *s, double now, so_error *error)
{
    so_error why = {0};
    so_remote_event event;
    so_status status = so_remote_turn(s->remote, 0, &why);
    while (so_remote_next(s->remote, &event)) SO_TRY(take_event(l, s, &event, error));
    while (status == SO_OK && s->due <= now) {
        decide(l, s, now);
        status = send_piece(l, s, now, &why);
    }
    if (status == SO_OK) status = so_remote_turn(s->remote, 0, &why);
    if (status != SO_OK) lose(l, s, &why);
    return SO_OK;
}

/* ---- all of them */
static so_status open_all(load *l, so_error *error)
{
    so_remote_options remote = l->o->remote;
    remote.voice = remote.detect = remote.interrupts = true;
    for (int i = 0; i < l->o->sessions; i++) {
        speaker *s = &l->all[i];
        SO_TRY(so_remote_open(&s->remote, &remote, error));
        s->next = i;
        if (l->o->picture) SO_TRY(so_remote_picture(s->remote, l->o->picture, l->o->picture_size, error));
    }
    /* Their microphones do not tick together. */
    l->began = so_poll_now();
    for (int i = 0; i < l->o->sessions; i++) {
        l->all[i].due = l->began + piece_s * (1 + (double)i / l->o->sessions);
        forget_answer(l, &l->all[i]);
    }
    return SO_OK;
}

static void await(load *l, struct pollfd *fd)
{
    double next = so_poll_now() + piece_s;
    int n = 0;
    for (int i = 0; i < l->o->sessions; i++) {
        speaker *s = &l->all[i];
        if (!s->remote) continue;
        next = fmin(next, s->due);
        fd[n++] = (struct pollfd){so_remote_fd(s->remote),
                                  (short)(POLLIN | (so_remote_wants_write(s->remote) ? POLLOUT : 0)), 0};
    }
    double wait = next - so_poll_now();
    poll(fd, (nfds_t)n, wait > 0 ? (int)ceil(wait * 1000) : 0);
}

static so_status drive(load *l, struct pollfd *fd, so_error *error)
{
    const so_load_options *o = l->o;
    for (;;) {
        double now = so_poll_now();
        int open = 0;
        for (int i = 0; i < o->sessions; i++) {
            if (l->all[i].remote) SO_TRY(tend(l, &l->all[i], now, error));
            open += l->all[i].remote != NULL;
        }
        l->result->seconds = now - l->began;
        if (!open || (l->busy == 0 && l->result->seconds >= o->seconds)) return SO_OK;
        if (o->step) SO_TRY(o->step(o->context, l->result->seconds, o->seconds, error));
        await(l, fd);
    }
}

so_status so_load_run(const so_load_options *options, so_load_result *result, so_error *error)
{
    load l = {.o = options, .result = result};
    *result = (so_load_result){0};
    size_t n = (size_t)options->sessions;
    struct pollfd *fd = calloc(n + 1, sizeof *fd);
    l.all = calloc(n + 1, sizeof *l.all);
    so_status status = fd && l.all ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for %zu sessions", n);
    if (status == SO_OK) status = open_all(&l, error);
    if (status == SO_OK) status = drive(&l, fd, error);
    for (int i = 0; l.all && i < options->sessions; i++) so_remote_close(&l.all[i].remote);
    free(l.all);
    free(fd);
    for (int i = 0; i < SO_LOAD_FIGURES; i++) so_load_sort(&result->figure[i]);
    return status;
}
