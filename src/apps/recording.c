/* Recordings of any length: each of their pieces is one turn of a session.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "apps/recording.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "media/front.h"
#include "media/pieces.h"

enum { LONG = 30 /* seconds of a recording from which progress is shown */ };

typedef struct listener {
    so_session *session;
    const so_audio *recording;
    int64_t at; /* samples of it that were read */
    so_pieces *pieces;
    so_answer *answer;
    bool print, printed;
} listener;

static so_status read_samples(void *context, float *out, int64_t n, int64_t *got, so_error *error)
{
    listener *l = context;
    (void)error;
    *got = l->recording->n - l->at < n ? l->recording->n - l->at : n;
    memcpy(out, l->recording->samples + l->at, (size_t)*got * sizeof *out);
    l->at += *got;
    return SO_OK;
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
        word[a->words].begin = so_pieces_time(l->pieces, said->word[i].begin);
        word[a->words].end = so_pieces_time(l->pieces, said->word[i].end);
        a->words++;
    }
    if (l->print) printf("%s%s", l->printed ? " " : "", said->heard);
    l->printed = true;
    return fflush(stdout) == 0 ? SO_OK : so_fail(error, SO_ERR_IO, "standard output cannot be written");
}

static so_status hear_piece(listener *l, const float *pcm, int64_t n, so_error *error)
{
    so_answer said = {.first_heard_s = NAN};
    so_status status;
    SO_TRY_GO(so_feed_audio(l->session, pcm, (size_t)n, SO_FRONT_RATE, error));
    SO_TRY_GO(so_turn_drain(l->session, &said, NULL, error));
    SO_TRY_GO(so_turn_transcript(l->session, &said, NULL, error));
    SO_TRY_GO(so_session_clear(l->session, error));
    SO_TRY_GO(join(l, &said, error));
done:
    so_answer_clear(&said);
    return status;
}

static so_status run_through(listener *l, so_error *error)
{
    so_bar bar;
    double all = (double)l->recording->n / l->recording->rate;
    const float *pcm;
    int64_t n = 0;
    so_status status;
    if (all >= LONG) so_bar_start(&bar, "listening", "s");
    while ((status = so_pieces_next(l->pieces, &pcm, &n, error)) == SO_OK && n) {
        if ((status = so_turn_stopped(error)) != SO_OK) break;
        if ((status = hear_piece(l, pcm, n, error)) != SO_OK) break;
        if (all >= LONG) so_bar_step(&bar, so_pieces_seconds(l->pieces), all);
    }
    if (all >= LONG) so_bar_end(&bar);
    return status;
}

so_status so_listen(so_session *session, const so_audio *recording, bool front, bool print, so_answer *answer,
                    so_error *error)
{
    listener l = {.session = session, .recording = recording, .answer = answer, .print = print};
    SO_TRY(so_pieces_open(&l.pieces, recording->rate, !front, read_samples, &l, error));
    so_pieces_length(l.pieces, so_pieces_spoken(recording->samples, recording->n, recording->rate));
    so_status status = run_through(&l, error);
    if (print && (l.printed || status == SO_OK)) printf("\n");
    answer->usage.heard_s = (double)recording->n / recording->rate;
    so_pieces_close(&l.pieces);
    if (status == SO_OK && !answer->heard) answer->heard = strdup("");
    return status;
}
