/* What a crew gains, how soon an answer stops, and whether a voice runs dry: bench_crew MODEL [THREADS].
 *
 * Throughput and gaps are told by the processor's time, stops and the longest steps by the clock: these want a machine
 * that has nothing else to do. For gaps everything runs on one thread, whose processor time stands for the clock: a
 * second thread only makes them rarer.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "so.h"

enum { SESSIONS = 8, ANSWERS = 100, STOPS = 60, MOST = 1 << 17 };

static const char *const questions[] = {"what color is the star?", "where is the circle?", "how many shapes are there?",
                                        "what is above the square?"};
static so_model *model;
static uint8_t picture[64 * 64 * 3];

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

/* ---- eight sessions, text and units: one after another, and together */

static double one_after_another(void)
{
    so_error error = {0};
    so_event e;
    double began = seconds(CLOCK_PROCESS_CPUTIME_ID);
    for (int i = 0; i < SESSIONS; i++) {
        so_session *s;
        must(so_session_open(&s, model, &(so_session_options){.max_units = 200}, &error), &error);
        ask(s, i, SO_WANT_TEXT | SO_WANT_UNITS);
        do must(so_next(s, &e, &error), &error);
        while (e.kind != SO_EVENT_DONE);
        so_session_close(&s);
    }
    return seconds(CLOCK_PROCESS_CPUTIME_ID) - began;
}

static double together(void)
{
    so_error error = {0};
    so_session *s[SESSIONS];
    so_crew *crew;
    so_event e;
    double began = seconds(CLOCK_PROCESS_CPUTIME_ID);
    must(so_crew_open(&crew, model, &(so_crew_options){.sessions = SESSIONS}, &error), &error);
    for (int i = 0; i < SESSIONS; i++) {
        must(so_crew_session(crew, &s[i], &(so_session_options){.max_units = 200}, &error), &error);
        ask(s[i], i, SO_WANT_TEXT | SO_WANT_UNITS);
    }
    for (int done = 0; done < SESSIONS;) {
        must(so_crew_step(crew, NULL, &error), &error);
        for (int i = 0; i < SESSIONS; i++) {
            do must(so_next(s[i], &e, &error), &error);
            while (e.kind != SO_EVENT_NONE && e.kind != SO_EVENT_DONE);
            done += e.kind == SO_EVENT_DONE;
        }
    }
    for (int i = 0; i < SESSIONS; i++) so_session_close(&s[i]);
    so_crew_close(&crew);
    return seconds(CLOCK_PROCESS_CPUTIME_ID) - began;
}

static void throughput(void)
{
    double ratio[5];
    for (int i = 0; i < 5; i++) {
        double alone = one_after_another();
        ratio[i] = alone / together();
    }
    qsort(ratio, 5, sizeof *ratio, by_size);
    printf("%d sessions, text and units: together %.2f times as fast as one after another (%.2f to %.2f)\n", SESSIONS,
           ratio[2], ratio[0], ratio[4]);
}

/* ---- stops */

typedef struct stop {
    so_session *session;
    long after_ns;
    double at;
} stop;

static void *stop_later(void *p)
{
    stop *s = p;
    nanosleep(&(struct timespec){0, s->after_ns}, NULL);
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

static void stops(void)
{
    static double waited[STOPS], stepped[MOST];
    size_t n_waited = 0, n_stepped = 0;
    so_error error = {0};
    so_crew *crew;
    so_event e;
    pthread_t speaker;
    must(so_crew_open(&crew, model, &(so_crew_options){.sessions = 2, .voices = 2}, &error), &error);
    if (pthread_create(&speaker, NULL, speak, crew) != 0) exit(1);
    for (int i = 0; i < STOPS; i++) {
        so_session *s;
        pthread_t stopper;
        int busy;
        must(so_crew_session(crew, &s, &(so_session_options){.max_units = 300}, &error), &error);
        stop job = {s, 1000000L + 11000000L * (i % 37), 0};
        if (pthread_create(&stopper, NULL, stop_later, &job) != 0) exit(1);
        ask(s, i, SO_WANT_TEXT | SO_WANT_VOICE);
        do {
            double began = seconds(CLOCK_MONOTONIC);
            must(so_crew_step(crew, &busy, &error), &error);
            if (n_stepped < MOST) stepped[n_stepped++] = seconds(CLOCK_MONOTONIC) - began;
            must(so_next(s, &e, &error), &error);
            if (!busy && e.kind == SO_EVENT_NONE) nanosleep(&(struct timespec){0, 500000}, NULL);
        } while (e.kind != SO_EVENT_DONE);
        double ended = seconds(CLOCK_MONOTONIC);
        pthread_join(stopper, NULL);
        if (e.usage.stopped) waited[n_waited++] = ended - job.at;
        so_session_close(&s);
    }
    atomic_store(&over, true);
    pthread_join(speaker, NULL);
    so_crew_close(&crew);
    tell("from stop to DONE", waited, n_waited);
    tell("a step of the crew", stepped, n_stepped);
}

/* ---- gaps */

static void gaps(void)
{
    so_error error = {0};
    so_event e;
    double sound = 0, spent = 0, least = 1e9;
    int dry = 0;
    for (int i = 0; i < ANSWERS; i++) {
        so_session *s;
        double first = 0, given = 0;
        int gap = 0;
        must(so_session_open(&s, model, &(so_session_options){.max_units = 300}, &error), &error);
        double began = seconds(CLOCK_PROCESS_CPUTIME_ID);
        ask(s, i, SO_WANT_TEXT | SO_WANT_VOICE);
        do {
            must(so_next(s, &e, &error), &error);
            if (e.kind != SO_EVENT_VOICE) continue;
            double now = seconds(CLOCK_PROCESS_CPUTIME_ID), lead = first > 0 ? first + given - now : 1e9;
            if (first <= 0) first = now;
            if (lead < least) least = lead;
            gap |= lead < 0;
            given += (double)e.samples / SO_VOICE_RATE;
        } while (e.kind != SO_EVENT_DONE);
        spent += seconds(CLOCK_PROCESS_CPUTIME_ID) - began;
        sound += given;
        dry += gap;
        so_session_close(&s);
    }
    printf("%d spoken answers on one thread: %d with a gap, least lead %.0f ms, real-time factor %.2f\n", ANSWERS, dry,
           1e3 * least, spent / sound);
}

int main(int argc, char **argv)
{
    so_error error = {0};
    so_model_options options = {.threads = argc > 2 ? atoi(argv[2]) : 0}, one = {.threads = 1};
    if (argc < 2) return fprintf(stderr, "usage: bench_crew MODEL [THREADS]\n"), 2;
    for (size_t i = 0; i < sizeof picture; i++) picture[i] = (uint8_t)(i * 13 % 255);
    must(so_model_open(&model, argv[1], &options, &error), &error);
    throughput();
    stops();
    so_model_close(&model);
    must(so_model_open(&model, argv[1], &one, &error), &error);
    gaps();
    so_model_close(&model);
    return 0;
}
