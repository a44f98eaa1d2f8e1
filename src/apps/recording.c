/* Recordings of any length: the front end of hearing cuts them, each piece is one turn of a session.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "apps/recording.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "media/front.h"
#include "media/resample.h"

enum {
    BLOCK = 800,               /* samples of the recording taken at once */
    MOST = 30 * SO_FRONT_RATE, /* samples of a piece */
    SPANS = 256,
    LONG = 30 /* seconds of a recording from which progress is shown */
};

/* A piece: its samples, and where stretches of them lie in the recording. */
typedef struct piece {
    float *pcm; /* [MOST] */
    int64_t n;
    struct {
        int64_t out, at;
    } span[SPANS];
    int spans;
} piece;

typedef struct listener {
    so_session *session;
    so_front *front;
    so_resampler *resampler;
    so_resample_stream *stream;
    float *block; /* resampled */
    piece piece;
    so_answer *answer;
    double seconds; /* of the recording */
    bool print, printed;
} listener;

static double time_of(const listener *l, double s)
{
    const piece *p = &l->piece;
    int64_t sample = (int64_t)llround(s * SO_FRONT_RATE), at = sample;
    for (int i = 0; i < p->spans && (i == 0 || p->span[i].out <= sample); i++)
        at = p->span[i].at + sample - p->span[i].out;
    return fmax(0, fmin((double)at / SO_FRONT_RATE, l->seconds));
}

static void add_usage(so_usage *sum, const so_usage *one)
{
    sum->prompt_positions += one->prompt_positions;
    sum->audio_in += one->audio_in;
    sum->text_in += one->text_in;
    sum->total_s += one->total_s;
}

/* Appends what a piece said. */
static so_status join(listener *l, const so_answer *said, so_error *error)
{
    so_answer *a = l->answer;
    add_usage(&a->usage, &said->usage);
    if (!said->heard || !said->heard[0]) return SO_OK;
    char *joined;
    bool first = !a->heard || !a->heard[0];
    if (asprintf(&joined, "%s%s%s", first ? "" : a->heard, first ? "" : " ", said->heard) < 0)
        return so_fail(error, SO_ERR_NOMEM, "no memory for a transcript");
    free(a->heard);
    a->heard = joined;
    so_timed *word = realloc(a->word, (a->words + said->words + 1) * sizeof *word);
    if (!word) return so_fail(error, SO_ERR_NOMEM, "no memory for %zu words", a->words + said->words);
    a->word = word;
    for (size_t i = 0; i < said->words; i++) {
        word[a->words] = said->word[i];
        word[a->words].begin = time_of(l, said->word[i].begin);
        word[a->words].end = time_of(l, said->word[i].end);
        a->words++;
    }
    if (l->print) printf("%s%s", l->printed ? " " : "", said->heard);
    l->printed = true;
    return fflush(stdout) == 0 ? SO_OK : so_fail(error, SO_ERR_IO, "standard output cannot be written");
}

static so_status hear_piece(listener *l, so_error *error)
{
    so_answer said = {.first_heard_s = NAN};
    so_status status;
    if (l->piece.n == 0) return SO_OK;
    SO_TRY_GO(so_feed_audio(l->session, l->piece.pcm, (size_t)l->piece.n, SO_FRONT_RATE, error));
    SO_TRY_GO(so_turn_drain(l->session, &said, NULL, error));
    SO_TRY_GO(so_turn_transcript(l->session, &said, NULL, error));
    SO_TRY_GO(so_session_clear(l->session, error));
    SO_TRY_GO(join(l, &said, error));
done:
    so_answer_clear(&said);
    return status;
}

static void add_run(piece *p, const so_front_run *run)
{
    if (run->first) p->n = p->spans = 0;
    int64_t n = run->n < MOST - p->n ? run->n : MOST - p->n;
    if (n <= 0) return;
    if (p->spans == SPANS) p->spans--;
    p->span[p->spans].out = p->n;
    p->span[p->spans].at = run->at;
    p->spans++;
    memcpy(p->pcm + p->n, run->pcm, (size_t)n * sizeof *p->pcm);
    p->n += n;
}

static so_status take_runs(listener *l, so_error *error)
{
    so_front_run run;
    while (so_front_next(l->front, &run)) {
        add_run(&l->piece, &run);
        if (!run.last) continue;
        SO_TRY(so_turn_stopped(error));
        SO_TRY(hear_piece(l, error));
        l->piece.n = 0;
    }
    return SO_OK;
}

static so_status run_through(listener *l, const so_audio *recording, so_error *error)
{
    so_bar bar;
    bool shown = l->seconds >= LONG;
    if (shown) so_bar_start(&bar, "listening", "s");
    so_status status = SO_OK;
    for (int64_t at = 0; at < recording->n && status == SO_OK; at += BLOCK) {
        int64_t n = recording->n - at < BLOCK ? recording->n - at : BLOCK;
        n = so_resample_stream_feed(l->stream, recording->samples + at, n, l->block);
        so_front_feed(l->front, l->block, n);
        status = take_runs(l, error);
        if (shown) so_bar_step(&bar, (double)at / recording->rate, l->seconds);
    }
    if (status == SO_OK) {
        so_front_feed(l->front, l->block, so_resample_stream_finish(l->stream, l->block));
        status = take_runs(l, error);
    }
    if (status == SO_OK) {
        so_front_finish(l->front);
        status = take_runs(l, error);
    }
    if (shown) so_bar_end(&bar);
    return status;
}

static so_status open_listener(listener *l, const so_audio *recording, bool front, so_error *error)
{
    so_front_options options = {.plain = !front};
    SO_TRY(so_front_open(&l->front, &options, error));
    SO_TRY(so_resampler_open(&l->resampler, recording->rate, SO_FRONT_RATE, error));
    SO_TRY(so_resample_stream_open(&l->stream, l->resampler, error));
    int64_t most = so_resampler_length(l->resampler, BLOCK) + SO_FRONT_PIECE;
    l->block = malloc((size_t)most * sizeof *l->block);
    l->piece.pcm = malloc((size_t)MOST * sizeof *l->piece.pcm);
    return l->block && l->piece.pcm ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for listening");
}

so_status so_listen(so_session *session, const so_audio *recording, bool front, bool print, so_answer *answer,
                    so_error *error)
{
    listener l = {.session = session, .answer = answer, .print = print};
    l.seconds = (double)recording->n / recording->rate;
    if (recording->rate < 4000 || recording->rate > 384000)
        return so_fail(error, SO_ERR_ARG, "audio at %d Hz, expected 4000 to 384000", recording->rate);
    so_status status = open_listener(&l, recording, front, error);
    if (status == SO_OK) status = run_through(&l, recording, error);
    if (print && (l.printed || status == SO_OK)) printf("\n");
    answer->usage.heard_s = l.seconds;
    so_resample_stream_close(&l.stream);
    so_resampler_close(&l.resampler);
    so_front_close(&l.front);
    free(l.block);
    free(l.piece.pcm);
    if (status == SO_OK && !answer->heard) answer->heard = strdup("");
    return status;
}
