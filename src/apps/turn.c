/* Opening models, feeding files, collecting and showing answers.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "apps/turn.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apps/clones.h"
#include "apps/operand.h"
#include "base/error.h"
#include "base/grow.h"
#include "base/plain.h"

/* A path that was named must be there; the reader of models would go on without. */
static so_status check_named(const char *option, const char *path, so_error *error)
{
    if (!path || access(path, R_OK) == 0) return SO_OK;
    return so_fail(error, SO_ERR_IO, "%s %s: %s", option, path, strerror(errno));
}

static so_status choose_front(const char *wish, int *front, so_error *error)
{
    static const struct {
        const char *name;
        int front;
    } known[] = {{"on", 1}, {"off", -1}, {"auto", 2}};
    *front = 2;
    for (int i = 0; i < 3 && wish; i++)
        if (strcmp(wish, known[i].name) == 0) {
            *front = known[i].front;
            return SO_OK;
        }
    return wish ? so_fail(error, SO_ERR_ARG, "--front is 'on', 'off' or 'auto', found '%s'", wish) : SO_OK;
}

static so_status choose_layers(const char *wish, int *layers, so_error *error)
{
    char *end = NULL;
    *layers = 0;
    if (!wish) return SO_OK;
    if (strcmp(wish, "auto") == 0) {
        *layers = -1;
        return SO_OK;
    }
    long n = strtol(wish, &end, 10);
    if (!*wish || *end || n < 1 || n > 10000)
        return so_fail(error, SO_ERR_ARG, "--device-layers is 'auto' or a number from 1 to 10000, found '%s'", wish);
    *layers = (int)n;
    return SO_OK;
}

so_status so_setting_open(const so_setting *s, so_model **model, so_error *error)
{
    so_model_options options = {.threads = (int)s->threads,
                                .context = (int)s->context,
                                .keep_types = s->keep_types,
                                .bf16 = s->bf16,
                                .tokenizer = s->tokenizer,
                                .codec = s->codec,
                                .speaker = s->speaker,
                                .device = s->device,
                                .lora = s->lora,
                                .codec_device = s->codec_device,
                                .prefault = s->prefault};
    SO_TRY(choose_front(s->front, &options.front, error));
    SO_TRY(choose_layers(s->device_layers, &options.device_layers, error));
    SO_TRY(so_operand_check_model(s->model, error));
    SO_TRY(check_named("--tokenizer", s->tokenizer, error));
    SO_TRY(check_named("--codec", s->codec, error));
    SO_TRY(check_named("--lora", s->lora, error));
    if (s->precision && strcmp(s->precision, "exact") && strcmp(s->precision, "int8"))
        return so_fail(error, SO_ERR_ARG, "--precision is 'exact' or 'int8', found '%s'", s->precision);
    if (s->precision) options.precision = strcmp(s->precision, "int8") ? SO_PRECISION_EXACT : SO_PRECISION_INT8;
    if (!s->model && access(so_cli_model(NULL), R_OK) != 0)
        return so_fail(error, SO_ERR_MISSING, "%s is neither here nor installed; name a model with --model",
                       so_cli_model(NULL));
    return so_model_open(model, so_cli_model(s->model), &options, error);
}

so_status so_setting_options(const so_setting *s, so_session_options *options, so_error *error)
{
    *options = (so_session_options){.lookahead = (int)s->lookahead,
                                    .window = (int)s->window,
                                    .max_text = (int)s->max_text,
                                    .max_units = (int)s->max_units,
                                    .temperature = s->temperature,
                                    .top_p = s->top_p,
                                    .top_k = (int)s->top_k,
                                    .seed = (uint64_t)s->seed,
                                    .system = s->system,
                                    .units_per_token = (int)s->units_per_token,
                                    .first_units = (int)s->first_units,
                                    .only_units = s->only_units,
                                    .patience = s->patience,
                                    .kv = s->kv};
    if (s->loop && strcmp(s->loop, "paper") == 0)
        options->loop = SO_LOOP_PAPER;
    else if (s->loop && strcmp(s->loop, "released") != 0)
        return so_fail(error, SO_ERR_ARG, "--loop is 'released' or 'paper', found '%s'", s->loop);
    return SO_OK;
}

so_status so_setting_voice(const so_setting *s, so_model *model, so_clone **clone, so_error *error)
{
    so_model_info info;
    *clone = NULL;
    if (s->voice && s->like.n) return so_fail(error, SO_ERR_ARG, "a voice is --voice or --like, found both");
    if (s->like.n) return so_clones_make(model, "like", s->like.text, s->like.n, clone, error);
    if (!s->voice) return SO_OK;
    so_model_about(model, &info);
    if (info.voice[0] && strcmp(s->voice, info.voice) == 0) return SO_OK;
    return so_clones_find(s->voice, clone, error);
}

so_status so_setting_session(const so_setting *s, so_model *model, so_session **session, so_error *error)
{
    so_session_options options;
    so_clone *clone = NULL;
    *session = NULL;
    SO_TRY(so_setting_options(s, &options, error));
    SO_TRY(so_setting_voice(s, model, &clone, error));
    options.front = s->no_front ? -1 : 0;
    options.clones = clone != NULL;
    so_status status = so_session_open(session, model, &options, error);
    if (status == SO_OK && clone) status = so_session_voice(*session, clone, error);
    if (status != SO_OK) so_session_close(session);
    so_clone_close(&clone);
    return status;
}

void so_answer_clear(so_answer *a)
{
    free(a->heard);
    free(a->text);
    free(a->unsaid);
    free(a->pcm);
    free(a->units);
    free(a->word);
    free(a->piece);
    *a = (so_answer){0};
}

/* ---- showing */
static void show_heard(so_show *show, const so_event *e)
{
    if (!show || !show->transcript) return;
    bool live = so_cli_colour(stdout);
    if (!live && !e->final) return;
    if (live) printf("\r\033[K");
    if (show->labels) printf("%sheard:%s  ", so_cli_dim(stdout), so_cli_plain(stdout));
    /* A line that is to be redrawn must stay one line: of a long transcript the end is shown until it is final. */
    size_t room = so_cli_width(stdout) - 1, label = show->labels ? 8 : 0;
    const char *text = e->final || room <= label ? e->text : so_cli_tail(e->text, room - label);
    so_cli_put(stdout, text, strlen(text), e->final); /* no model is trusted with a terminal */
    if (e->final) printf("\n");
    fflush(stdout);
}

static void show_text(so_show *show, const so_event *e)
{
    if (!show || !show->text) return;
    if (so_cli_colour(stdout)) printf("\033[K"); /* how much speech there is, below */
    if (!show->in_text) {
        if (show->labels) printf("%sanswer:%s ", so_cli_dim(stdout), so_cli_plain(stdout));
        show->column = show->labels ? 8 : 0;
    }
    show->in_text = true;
    so_cli_put(stdout, e->text, strlen(e->text), true);
    const char *line = strrchr(e->text, '\n');
    show->column = line ? so_cli_columns(line + 1) : show->column + so_cli_columns(e->text);
    fflush(stdout);
}

/* Speech takes longer than its text: behind the text on a terminal stands how much of it is there. Where it plays, it
 * is heard. */
static void show_voice(const so_show *show, double seconds)
{
    char text[32];
    if (!show || !show->in_text || show->voice || !so_cli_colour(stdout)) return;
    size_t width = so_cli_width(stdout);
    int n = snprintf(text, sizeof text, "  [%.1f s of speech]", seconds);
    if (show->column % width + (size_t)n >= width) return; /* it would not stay on the line */
    printf("\0337%s%s%s\033[K\0338", so_cli_dim(stdout), text, so_cli_plain(stdout));
    fflush(stdout);
}

/* ---- collecting */
static so_status take_words(so_answer *a, const so_event *e, so_error *error)
{
    a->words = 0;
    for (size_t i = 0; i < e->n_words; i++) {
        const so_heard_word *w = &e->words[i];
        so_timed t = {.begin = w->begin_s, .end = w->end_s};
        snprintf(t.text, sizeof t.text, "%.*s", (int)(w->text_end - w->text_begin), a->heard + w->text_begin);
        SO_TRY(so_append(&a->word, &a->words, sizeof t, &t, 1, error));
    }
    return SO_OK;
}

static so_status take_heard(so_answer *a, const so_event *e, so_error *error)
{
    char *copy = strdup(e->text ? e->text : "");
    if (!copy) return so_fail(error, SO_ERR_NOMEM, "no memory for a transcript");
    if (!a->heard || isnan(a->first_heard_s)) a->first_heard_s = a->asked_at != 0 ? so_cli_now() - a->asked_at : -1;
    free(a->heard);
    a->heard = copy;
    SO_TRY(take_words(a, e, error));
    if (a->asked_at == 0) a->early_words = a->words;
    return SO_OK;
}

static so_status take_voice(so_answer *a, so_show *show, const so_event *e, so_error *error)
{
    double before = (double)a->samples / (a->rate ? a->rate : SO_VOICE_RATE);
    so_timed t = {.begin = before, .end = before + e->end_s - e->begin_s};
    size_t length = a->text ? strlen(a->text) : 0, begin = e->text_begin + a->said_before;
    size_t end = e->text_end + a->said_before, from = begin < length ? begin : length, to = end < length ? end : length;
    if (from < a->placed) from = a->placed;
    if (to > a->placed) a->placed = to;
    if (to > from) snprintf(t.text, sizeof t.text, "%.*s", (int)(to - from), a->text + from);
    SO_TRY(so_append(&a->pcm, &a->samples, sizeof *e->pcm, e->pcm, e->samples, error));
    SO_TRY(so_append(&a->piece, &a->pieces, sizeof t, &t, 1, error));
    show_voice(show, t.end);
    if (show && show->wav) SO_TRY(so_sound_writer_put(show->wav, e->pcm, (int64_t)e->samples, error));
    if (show && show->voice) show->voice(show->context, e->pcm, e->samples);
    return SO_OK;
}

/* Of several answers to one request: what is counted adds up, the first sound is the first one's. */
static void take_usage(so_answer *a, const so_usage *u)
{
    so_usage before = a->usage;
    a->usage = *u;
    if (!a->said_before) return;
    a->usage.text_tokens += before.text_tokens;
    a->usage.units += before.units;
    a->usage.voice_s += before.voice_s;
    a->usage.total_s += before.total_s;
    a->usage.first_text_s = before.first_text_s;
    a->usage.first_voice_s = before.first_voice_s;
    a->usage.ran_away |= before.ran_away;
    if (before.end != SO_END_STOP) a->usage.end = before.end;
}

/* Of several parts of one text: one behind the other, single blanks between words. */
static so_status take_unsaid(so_answer *a, const char *words, so_error *error)
{
    static const char blanks[] = " \t\r\n";
    size_t length = a->unsaid ? strlen(a->unsaid) : 0;
    if (!words) return SO_OK;
    for (size_t n; *(words += strspn(words, blanks)); words += n) {
        n = strcspn(words, blanks);
        if (length) SO_TRY(so_append(&a->unsaid, &length, 1, " ", 1, error));
        SO_TRY(so_append(&a->unsaid, &length, 1, words, n, error));
        SO_TRY(so_append(&a->unsaid, &length, 1, "", 1, error));
        length--;
    }
    return SO_OK;
}

so_status so_turn_take(so_answer *a, so_show *show, const so_event *e, so_error *error)
{
    size_t length;
    switch (e->kind) {
    case SO_EVENT_HEARD:
        show_heard(show, e);
        return take_heard(a, e, error);
    case SO_EVENT_TEXT:
        show_text(show, e);
        length = a->text ? strlen(a->text) : 0;
        return so_append(&a->text, &length, 1, e->text, strlen(e->text) + 1, error);
    case SO_EVENT_UNITS:
        return so_append(&a->units, &a->n_units, sizeof *e->units, e->units, e->n_units, error);
    case SO_EVENT_VOICE:
        return take_voice(a, show, e, error);
    case SO_EVENT_DONE:
        take_usage(a, &e->usage);
        return take_unsaid(a, e->text, error);
    default:
        return SO_OK;
    }
}

so_status so_turn_drain(so_session *session, so_answer *answer, so_show *show, so_error *error)
{
    so_event event = {0};
    do {
        SO_TRY(so_next(session, &event, error));
        SO_TRY(so_turn_take(answer, show, &event, error));
    } while (event.kind != SO_EVENT_NONE && event.kind != SO_EVENT_DONE);
    return SO_OK;
}

/* ---- feeding */
so_status so_turn_stopped(so_error *error) { return so_cli_stop ? so_fail(error, SO_ERR_STOPPED, "stopped") : SO_OK; }

static so_status feed_speech(so_session *session, const so_audio *audio, so_answer *answer, so_show *show,
                             so_error *error)
{
    if ((double)audio->n > (double)SO_TURN_S * audio->rate)
        return so_fail(error, SO_ERR_LIMIT,
                       "%.0f s of audio, a turn takes %d s (transcribe takes recordings of any length)",
                       (double)audio->n / audio->rate, SO_TURN_S);
    int64_t step = audio->rate / 5 + 1; /* pieces of 200 ms, as a microphone would bring them */
    for (int64_t at = 0; at < audio->n; at += step) {
        SO_TRY(so_turn_stopped(error));
        int64_t n = audio->n - at < step ? audio->n - at : step;
        SO_TRY(so_feed_audio(session, audio->samples + at, (size_t)n, audio->rate, error));
        SO_TRY(so_turn_drain(session, answer, show, error));
    }
    return SO_OK;
}

so_status so_turn_feed(so_session *session, const so_asking *q, so_answer *answer, so_show *show, so_error *error)
{
    if (q->seen && so_feed_image(session, q->seen->rgb, q->seen->w, q->seen->h, error) != SO_OK)
        return q->seen_name ? so_fail_in(error, "%s", q->seen_name) : error->status;
    if (q->said && feed_speech(session, q->said, answer, show, error) != SO_OK)
        return q->said_name ? so_fail_in(error, "%s", q->said_name) : error->status;
    return q->text ? so_feed_text(session, q->text, error) : SO_OK;
}

so_status so_turn_begin(so_session *session, unsigned want, so_answer *answer, so_error *error)
{
    if (!answer->heard) answer->first_heard_s = NAN;
    answer->asked_at = so_cli_now();
    return so_reply(session, want, error);
}

so_status so_turn_step(so_session *session, so_answer *answer, so_show *show, bool *done, so_error *error)
{
    so_event event = {0};
    SO_TRY(so_next(session, &event, error));
    *done = event.kind == SO_EVENT_DONE;
    return so_turn_take(answer, show, &event, error);
}

void so_turn_end(so_show *show)
{
    if (show && show->in_text) printf("%s\n", so_cli_colour(stdout) ? "\033[K" : "");
    fflush(stdout);
    if (show) show->in_text = false;
}

static so_status until_done(so_session *session, so_answer *answer, so_show *show, so_error *error)
{
    bool done = false;
    while (!done) {
        if (so_cli_stop) so_session_stop(session);
        SO_TRY(so_turn_step(session, answer, show, &done, error));
    }
    return so_turn_stopped(error);
}

static so_status finish(so_session *session, so_answer *answer, so_show *show, so_error *error)
{
    so_status status = until_done(session, answer, show, error);
    so_turn_end(show);
    return status;
}

/* Bytes of as many sentences as one call may say: what a voice makes of them is well within its units. */
static size_t some_sentences(const char *text)
{
    size_t n = so_sentence(text), most = 250;
    for (size_t more; n && text[n] && (more = so_sentence(text + n)) && n + more <= most;) n += more;
    n += strspn(text + n, " \t\r\n");
    return n ? n : strlen(text);
}

/* A blank between what one call said and the next. */
static so_status join(so_answer *answer, so_show *show, so_error *error)
{
    if (answer->text) SO_TRY(so_turn_take(answer, show, &(so_event){.kind = SO_EVENT_TEXT, .text = " "}, error));
    answer->said_before = answer->text ? strlen(answer->text) : 0;
    return SO_OK;
}

so_status so_turn_reply(so_session *session, unsigned want, so_answer *answer, so_show *show, so_error *error)
{
    SO_TRY(so_turn_begin(session, want, answer, error));
    return finish(session, answer, show, error);
}

static void tell_unsaid(const char *words)
{
    enum { MOST = 400 };
    char plain[2 * MOST];
    if (!words) return;
    size_t n = strlen(words), most = n < MOST ? n : MOST;
    while (most < n && most && (words[most] & 0xc0) == 0x80) most--; /* no half of a character */
    so_plain(plain, sizeof plain, words, most, false);
    fprintf(stderr, "warning: the voice gave up and did not speak: %s%s\n", plain, n > most ? " ..." : "");
}

so_status so_turn_say(so_session *session, const char *text, unsigned want, so_answer *answer, so_show *show,
                      so_error *error)
{
    answer->asked_at = so_cli_now();
    for (const char *p = text; *p;) {
        size_t n = some_sentences(p);
        char *part = strndup(p, n);
        if (!part) return so_fail(error, SO_ERR_NOMEM, "no memory for what is to be said");
        if (p > text) SO_TRY(so_session_clear(session, error));
        so_status status = so_say(session, part, want, error);
        free(part);
        if (status == SO_OK) status = until_done(session, answer, show, error);
        if (status == SO_OK && p[n]) status = join(answer, show, error);
        if (status != SO_OK) so_turn_end(show);
        SO_TRY(status);
        p += n;
    }
    so_turn_end(show);
    tell_unsaid(answer->unsaid);
    return SO_OK;
}

so_status so_turn_transcript(so_session *session, so_answer *answer, so_show *show, so_error *error)
{
    so_event event = {0};
    if (!answer->heard) answer->first_heard_s = NAN;
    answer->asked_at = so_cli_now();
    so_status status = so_reply(session, SO_WANT_TEXT, error);
    if (status == SO_ERR_NOTHING_HEARD) return so_turn_drain(session, answer, show, error);
    SO_TRY(status);
    while (event.kind != SO_EVENT_DONE) {
        SO_TRY(so_turn_stopped(error));
        SO_TRY(so_next(session, &event, error));
        if (event.kind == SO_EVENT_HEARD || event.kind == SO_EVENT_DONE)
            SO_TRY(so_turn_take(answer, show, &event, error));
        if (event.kind == SO_EVENT_TEXT || (event.kind == SO_EVENT_HEARD && event.final)) so_session_stop(session);
    }
    return SO_OK;
}

so_status so_turn_foreign(const so_model *model, const char *text, so_error *error)
{
    char *letters = NULL;
    SO_TRY(so_unspeakable(model, text, &letters, error));
    if (letters) fprintf(stderr, "note: no token of this model holds %s: its answer may make no sense\n", letters);
    so_free(letters);
    return SO_OK;
}

so_status so_turn_silent(so_session *session, const char *name, so_answer *answer, so_show *show, so_error *error)
{
    fprintf(stderr, "note: %s%snothing was heard\n", name ? name : "", name ? ": " : "");
    return so_turn_drain(session, answer, show, error);
}

so_status so_turn_units(so_model *model, const so_audio *speech, int32_t **units, size_t *n, so_error *error)
{
    size_t samples = (size_t)speech->n;
    SO_TRY(so_tokenize_speech(model, speech->samples, samples, speech->rate, NULL, 0, n, error));
    *units = malloc((*n + 1) * sizeof **units);
    if (!*units) return so_fail(error, SO_ERR_NOMEM, "no memory for %zu units", *n);
    return so_tokenize_speech(model, speech->samples, samples, speech->rate, *units, *n, n, error);
}

/* ---- telling */
void so_answer_json(FILE *out, const so_answer *a)
{
    const so_usage *u = &a->usage;
    if (a->heard) {
        fprintf(out, "\"heard\": ");
        so_json_text(out, a->heard);
        fprintf(out, ", \"words\": [");
        for (size_t i = 0; i < a->words; i++) {
            fprintf(out, "%s{\"word\": ", i ? ", " : "");
            so_json_text(out, a->word[i].text);
            fprintf(out, ", \"begin_s\": %.3f, \"end_s\": %.3f}", a->word[i].begin, a->word[i].end);
        }
        fprintf(out, "], ");
    }
    fprintf(out, "\"text\": ");
    so_json_text(out, a->text);
    if (a->unsaid) {
        fprintf(out, ", \"unsaid\": ");
        so_json_text(out, a->unsaid);
    }
    if (a->n_units) {
        fprintf(out, ", \"units\": [");
        for (size_t i = 0; i < a->n_units; i++) fprintf(out, "%s%d", i ? ", " : "", a->units[i]);
        fprintf(out, "]");
    }
    fprintf(out,
            ", \"usage\": {\"prompt_positions\": %d, \"text_tokens\": %d, \"units\": %d, \"heard_s\": %.3f, "
            "\"voice_s\": %.3f, \"first_text_s\": %.4f, \"first_voice_s\": %.4f, \"total_s\": %.4f, \"revised\": %d, "
            "\"stopped\": %s, \"ran_away\": %s}",
            u->prompt_positions, u->text_tokens, u->units, u->heard_s, u->voice_s, u->first_text_s, u->first_voice_s,
            u->total_s, u->revised, u->stopped ? "true" : "false", u->ran_away ? "true" : "false");
}

void so_answer_speed(FILE *out, const so_answer *a)
{
    const so_usage *u = &a->usage;
    fprintf(out, "%s%d text tokens", so_cli_dim(out), u->text_tokens);
    if (u->units) fprintf(out, ", %d units (%.2f s of speech)", u->units, u->units * SO_UNIT_MS / 1000.0);
    fprintf(out, " in %.2f s; first word after %.0f ms", u->total_s, 1000 * u->first_text_s);
    if (u->voice_s > 0)
        fprintf(out, ", first sound after %.0f ms, %.1f times as fast as speech", 1000 * u->first_voice_s,
                u->total_s > 0 ? u->voice_s / u->total_s : 0);
    if (u->ran_away) fprintf(out, "; the voice went on without words and was ended");
    fprintf(out, "%s\n", so_cli_plain(out));
}
