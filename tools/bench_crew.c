/* What a crew gains, how soon an answer stops in each of its phases, and whether a voice runs dry:
 *
 *   bench_crew MODEL [THREADS] [together] [stops [N] [PHASE...]] [gaps]
 *
 * all three where none is named; N stops (20) in each phase, or in those named: prompt, picture, hearing, text, units,
 * voice.
 *
 * Throughput is told by the clock and by the processor's time (in which a thread that waits counts, too), gaps by the
 * processor's time, stops and the longest steps by the clock: what the clock tells wants a machine that has nothing
 * else to do. The whole of a large model, for instance: bench_crew omni8b.gguf stops 4. For gaps everything runs on one
 * thread, whose processor time stands for the clock: a second thread only makes them rarer.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "so.h"

enum { SESSIONS = 8, ANSWERS = 100, STOPS = 20, MOST_STOPS = 1000, MOST = 1 << 17, SECONDS = 5, RATE = 16000 };

static const char *const questions[] = {"what color is the star?", "where is the circle?", "how many shapes are there?",
                                        "what is above the square?"};
static so_model *model;
static uint8_t picture[64 * 64 * 3];
static int stops_each = STOPS;

static double seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void must(so_status status, const so_error *error)
{
    if (status == SO_OK) return;
    fprintf(stderr, "bench_crew: %s\n", error->text);
    exit(1);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void tell(const char *what, double *x, size_t n)
{
    if (!n) return;
    qsort(x, n, sizeof *x, by_size);
    printf("%-28s median %6.1f ms, p95 %6.1f, longest %6.1f (%zu)\n", what, 1e3 * x[n / 2], 1e3 * x[n * 95 / 100],
           1e3 * x[n - 1], n);
}

static void ask(so_session *s, int i, unsigned want)
{
    so_error error = {0};
    if (i % 3 == 0) must(so_feed_image(s, picture, 64, 64, &error), &error);
    must(so_feed_text(s, questions[i % 4], &error), &error);
    must(so_reply(s, want, &error), &error);
}

/* ---- eight sessions, text and units: one after another, and together. They are open before. */

typedef struct times {
    double clock, processor;
} times;

static times time_since(times from)
{
    return (times){seconds(CLOCK_MONOTONIC) - from.clock, seconds(CLOCK_PROCESS_CPUTIME_ID) - from.processor};
}

static times one_after_another(void)
{
    so_error error = {0};
    so_event e;
    so_session *s[SESSIONS];
    for (int i = 0; i < SESSIONS; i++)
        must(so_session_open(&s[i], model, &(so_session_options){.max_units = 200}, &error), &error);
    times began = time_since((times){0});
    for (int i = 0; i < SESSIONS; i++) {
        ask(s[i], i, SO_WANT_TEXT | SO_WANT_UNITS);
        do must(so_next(s[i], &e, &error), &error);
        while (e.kind != SO_EVENT_DONE);
    }
    times took = time_since(began);
    for (int i = 0; i < SESSIONS; i++) so_session_close(&s[i]);
    return took;
}

static times together(void)
{
    so_error error = {0};
    so_session *s[SESSIONS];
    so_crew *crew;
    so_event e;
    must(so_crew_open(&crew, model, &(so_crew_options){.sessions = SESSIONS}, &error), &error);
    for (int i = 0; i < SESSIONS; i++)
        must(so_crew_session(crew, &s[i], &(so_session_options){.max_units = 200}, &error), &error);
    times began = time_since((times){0});
    for (int i = 0; i < SESSIONS; i++) ask(s[i], i, SO_WANT_TEXT | SO_WANT_UNITS);
    for (int done = 0; done < SESSIONS;) {
        must(so_crew_step(crew, NULL, &error), &error);
        for (int i = 0; i < SESSIONS; i++) {
            do must(so_next(s[i], &e, &error), &error);
            while (e.kind != SO_EVENT_NONE && e.kind != SO_EVENT_DONE);
            done += e.kind == SO_EVENT_DONE;
        }
    }
    times took = time_since(began);
    for (int i = 0; i < SESSIONS; i++) so_session_close(&s[i]);
    so_crew_close(&crew);
    return took;
}

static void throughput(void)
{
    double clock[5], processor[5], one[5], many[5];
    for (int i = 0; i < 5; i++) {
        times alone = one_after_another(), all = together();
        clock[i] = alone.clock / all.clock;
        processor[i] = alone.processor / all.processor;
        one[i] = 1e3 * alone.clock;
        many[i] = 1e3 * all.clock;
    }
    qsort(clock, 5, sizeof *clock, by_size);
    qsort(processor, 5, sizeof *processor, by_size);
    qsort(one, 5, sizeof *one, by_size);
    qsort(many, 5, sizeof *many, by_size);
    printf("%d answers of text and units: one after another %.0f ms (at best %.0f), together %.0f (%.0f)\n", SESSIONS,
           one[2], one[0], many[2], many[0]);
    printf("%d sessions, text and units: together %.2f times as fast as one after another (%.2f to %.2f); by the "
           "processor's time %.2f times (%.2f to %.2f)\n",
           SESSIONS, clock[2], clock[0], clock[4], processor[2], processor[0], processor[4]);
}

/* ---- stops */

/* What is being done when the stop comes. */
typedef enum phase { PROMPT, PICTURE, HEARING, TEXT, UNITS, VOICE, PHASES } phase;
static const char *const phase_name[] = {"prompt", "picture", "hearing", "text", "units", "voice"};
static bool named[PHASES], some_named;
static const unsigned phase_want[] = {SO_WANT_TEXT, SO_WANT_TEXT,  SO_WANT_TEXT,
                                      SO_WANT_TEXT, SO_WANT_UNITS, SO_WANT_VOICE};
static const so_event_kind phase_first[] = {SO_EVENT_TEXT, SO_EVENT_TEXT,  SO_EVENT_TEXT,
                                            SO_EVENT_TEXT, SO_EVENT_UNITS, SO_EVENT_VOICE};

typedef struct stop {
    so_session *session;
    double after, at; /* seconds from so_reply; seconds of the clock when it was called */
} stop;

static void *stop_later(void *p)
{
    stop *s = p;
    nanosleep(&(struct timespec){(time_t)s->after, (long)(1e9 * (s->after - floor(s->after)))}, NULL);
    s->at = seconds(CLOCK_MONOTONIC);
    so_session_stop(s->session);
    return NULL;
}

static atomic_bool over;

static void *speak(void *crew)
{
    so_error error = {0};
    while (!atomic_load(&over)) {
        int made = 0;
        must(so_crew_speak(crew, &made, &error), &error);
        if (!made) nanosleep(&(struct timespec){0, 500000}, NULL);
    }
    return NULL;
}

/* A question that is long in this phase. */
static void ask_at_length(so_session *s, phase which)
{
    static char words[8192];
    static float sound[SECONDS * RATE];
    so_error error = {0};
    so_reply_options options = {.answer_silence = 1};
    if (which == PROMPT) {
        for (words[0] = 0; strlen(words) < 3000;) strcat(words, "the red star is above the blue square and ");
        must(so_feed_text(s, words, &error), &error);
    } else if (which == PICTURE) {
        must(so_feed_image(s, picture, 64, 64, &error), &error);
        must(so_feed_text(s, questions[0], &error), &error);
    } else if (which == HEARING) {
        for (int i = 0; i < SECONDS * RATE; i++) {
            double t = (double)i / RATE;
            sound[i] = (float)(0.3 * sin(754 * t) * sin(9 * t));
        }
        must(so_feed_audio(s, sound, SECONDS * RATE, RATE, &error), &error);
    } else {
        must(so_feed_text(s, questions[0], &error), &error);
    }
    must(so_reply_with(s, SO_WANT_TEXT | phase_want[which], &options, &error), &error);
}

typedef struct answer {
    double began, first, ended; /* seconds of the clock */
    bool stopped;
} answer;

/* Runs the crew until its session is done. */
static answer run(so_crew *crew, so_session *s, phase which, double *step, size_t *steps)
{
    so_error error = {0};
    answer a = {.began = seconds(CLOCK_MONOTONIC)};
    so_event e;
    int busy;
    do {
        double before = seconds(CLOCK_MONOTONIC);
        must(so_crew_step(crew, &busy, &error), &error);
        double now = seconds(CLOCK_MONOTONIC);
        if (*steps < MOST) step[(*steps)++] = now - before;
        must(so_next(s, &e, &error), &error);
        if (e.kind == phase_first[which] && a.first == 0) a.first = now;
        if (!busy && e.kind == SO_EVENT_NONE) nanosleep(&(struct timespec){0, 500000}, NULL);
    } while (e.kind != SO_EVENT_DONE);
    a.ended = seconds(CLOCK_MONOTONIC);
    a.stopped = e.usage.stopped;
    if (a.first == 0) a.first = a.ended;
    return a;
}

static void stops_in(so_crew *crew, phase which)
{
    static double waited[MOST_STOPS], step[MOST];
    const so_session_options options = {.max_text = 48, .max_units = 150};
    size_t n = 0, steps = 0;
    so_error error = {0};
    answer whole = {0};
    char name[64];
    int missed = 0;                         /* answers that ended before their stop */
    for (int i = -1; i < stops_each; i++) { /* the first is not stopped */
        so_session *s;
        pthread_t stopper;
        must(so_crew_session(crew, &s, &options, &error), &error);
        double from = whole.first - whole.began, to = whole.ended - whole.began;
        bool answers = which >= TEXT;
        stop job = {.session = s,
                    .after =
                        (answers ? from : 0) + (answers ? to - from : from) * (i + 0.5) / stops_each / (1 + missed)};
        ask_at_length(s, which);
        if (i >= 0 && pthread_create(&stopper, NULL, stop_later, &job) != 0) exit(1);
        answer a = run(crew, s, which, step, &steps);
        if (i >= 0) pthread_join(stopper, NULL);
        if (i < 0) whole = a;
        if (i < 0)
            printf("%s: first event of the answer after %.0f ms, all of it after %.0f\n", phase_name[which],
                   1e3 * (a.first - a.began), 1e3 * (a.ended - a.began));
        if (i >= 0 && a.stopped) waited[n++] = a.ended - job.at;
        so_session_close(&s);
        if (i >= 0 && !a.stopped && missed < 2 * stops_each) missed++, i--;
    }
    snprintf(name, sizeof name, "stop in %s to DONE", phase_name[which]);
    tell(name, waited, n);
    snprintf(name, sizeof name, "  a step of the crew there");
    tell(name, step, steps);
}

static void stops(void)
{
    so_error error = {0};
    so_crew *crew;
    so_model_info info;
    pthread_t speaker;
    so_model_about(model, &info);
    must(so_crew_open(&crew, model, &(so_crew_options){.sessions = 2, .voices = 2}, &error), &error);
    atomic_store(&over, false);
    if (pthread_create(&speaker, NULL, speak, crew) != 0) exit(1);
    for (phase p = PROMPT; p < PHASES; p++)
        if ((!some_named || named[p]) && (p != PICTURE || info.sees) && (p != HEARING || info.takes_audio) &&
            (p != UNITS || info.takes_units) && (p != VOICE || info.speaks))
            stops_in(crew, p);
    atomic_store(&over, true);
    pthread_join(speaker, NULL);
    so_crew_close(&crew);
}

/* ---- gaps */

/* What a player hears who starts at the first sound: by the processor's time of one thread, or by the clock. */
static void gaps(int threads)
{
    const clockid_t clock = threads > 1 ? CLOCK_MONOTONIC : CLOCK_PROCESS_CPUTIME_ID;
    so_error error = {0};
    so_event e;
    double sound = 0, spent = 0, least = 1e9;
    int dry = 0;
    for (int i = 0; i < ANSWERS; i++) {
        so_session *s;
        double first = 0, given = 0;
        int gap = 0;
        must(so_session_open(&s, model, &(so_session_options){.max_units = 300}, &error), &error);
        double began = seconds(clock);
        ask(s, i, SO_WANT_TEXT | SO_WANT_VOICE);
        do {
            must(so_next(s, &e, &error), &error);
            if (e.kind != SO_EVENT_VOICE) continue;
            double now = seconds(clock), lead = first > 0 ? first + given - now : 1e9;
            if (first <= 0) first = now;
            if (lead < least) least = lead;
            gap |= lead < 0;
            given += (double)e.samples / SO_VOICE_RATE;
        } while (e.kind != SO_EVENT_DONE);
        spent += seconds(clock) - began;
        sound += given;
        dry += gap;
        so_session_close(&s);
    }
    printf("%d spoken answers by %d threads, %s: %d with a gap, least lead %.0f ms, real-time factor %.2f\n", ANSWERS,
           threads, threads > 1 ? "by the clock" : "by the processor's time", dry, 1e3 * least, spent / sound);
}

static bool name_phase(const char *name)
{
    for (phase p = PROMPT; p < PHASES; p++)
        if (strcmp(name, phase_name[p]) == 0) return some_named = named[p] = true;
    return false;
}

int main(int argc, char **argv)
{
    so_error error = {0};
    so_model_options options = {0}, one = {.threads = 1};
    bool all = true, together_too = false, stops_too = false, gaps_too = false;
    if (argc < 2)
        return fprintf(stderr, "usage: bench_crew MODEL [THREADS] [together] [stops [N] [PHASE...]] [gaps]\n"), 2;
    for (int i = 2; i < argc; i++) {
        bool *part = strcmp(argv[i], "together") == 0 ? &together_too
                     : strcmp(argv[i], "stops") == 0  ? &stops_too
                     : strcmp(argv[i], "gaps") == 0   ? &gaps_too
                                                      : NULL;
        if (part)
            *part = true, all = false;
        else if (stops_too && name_phase(argv[i]))
            continue;
        else if (strcmp(argv[i - 1], "stops") == 0)
            stops_each = atoi(argv[i]);
        else
            options.threads = atoi(argv[i]);
    }
    if (stops_each < 1 || stops_each > MOST_STOPS) return fprintf(stderr, "1 to %d stops\n", MOST_STOPS), 2;
    for (size_t i = 0; i < sizeof picture; i++) picture[i] = (uint8_t)(i * 13 % 255);
    must(so_model_open(&model, argv[1], &options, &error), &error);
    if (all || together_too) throughput();
    if (all || stops_too) stops();
    so_model_close(&model);
    if (!all && !gaps_too) return 0;
    if (options.threads > 1) one.threads = options.threads;
    must(so_model_open(&model, argv[1], &one, &error), &error);
    gaps(one.threads);
    so_model_close(&model);
    return 0;
}
