/* Threads: sessions that share a model, its pool and each other's time; a stop from outside. Made for ThreadSanitizer
 * (./run test --tsan), and right without it.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "check.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

#include "so.h"
#include "toy.h"

enum { SESSIONS = 3, MOST = 40 };

static char folder[] = TOY_FOLDER;
static so_model *model;

static int open_model(void **state) { return (void)state, toy_open(&model, folder, 2, 512); }
static int close_model(void **state) { return (void)state, toy_close(&model, folder); }

/* One spoken question and its spoken answer. cmocka's checks belong to the main thread: `failed` tells it. */
typedef struct talk {
    so_session *session;
    double pitch;
    bool failed;
    so_error error;
    int32_t unit[MOST];
    size_t units;
    double sum; /* of the voice's samples */
    size_t samples;
    so_usage usage;
} talk;

static so_status take(talk *t, so_event *e)
{
    do {
        so_status status = so_next(t->session, e, &t->error);
        if (status != SO_OK) return status;
        for (size_t i = 0; e->kind == SO_EVENT_UNITS && i < e->n_units && t->units < MOST; i++)
            t->unit[t->units++] = e->units[i];
        for (size_t i = 0; e->kind == SO_EVENT_VOICE && i < e->samples; i++)
            t->sum += (double)e->pcm[i] * (double)((t->samples + i) % 13);
        if (e->kind == SO_EVENT_VOICE) t->samples += e->samples;
    } while (e->kind != SO_EVENT_NONE && e->kind != SO_EVENT_DONE);
    return SO_OK;
}

static so_status ask(talk *t)
{
    so_event e = {0};
    float pcm[640];
    uint8_t rgb[20 * 20 * 3];
    memset(rgb, 90, sizeof rgb);
    so_status status = so_feed_image(t->session, rgb, 20, 20, &t->error);
    for (int piece = 0; piece < 20 && status == SO_OK; piece++) {
        for (int i = 0; i < 640; i++) pcm[i] = 0.3f * (float)sin(t->pitch * (piece * 640 + i) / 16000);
        status = so_feed_audio(t->session, pcm, 640, 16000, &t->error);
        if (status == SO_OK) status = take(t, &e);
    }
    if (status == SO_OK) status = so_reply(t->session, SO_WANT_TEXT | SO_WANT_VOICE | SO_WANT_UNITS, &t->error);
    while (status == SO_OK && e.kind != SO_EVENT_DONE) status = take(t, &e);
    t->usage = e.usage;
    return status;
}

static void *ask_apart(void *p)
{
    talk *t = p;
    t->failed = ask(t) != SO_OK;
    return NULL;
}

static void open_talk(talk *t, int i, int max_units)
{
    so_session_options options = {.max_units = max_units, .max_text = 24, .seed = 4};
    memset(t, 0, sizeof *t);
    t->pitch = 600 + 300 * i;
    CHECK_OK(so_session_open(&t->session, model, &options, &t->error), t->error);
}

static void sessions_share_a_model(void **state)
{
    (void)state;
    static talk alone[SESSIONS], together[SESSIONS];
    pthread_t thread[SESSIONS];
    for (int i = 0; i < SESSIONS; i++) {
        open_talk(&alone[i], i, MOST);
        CHECK_OK(ask(&alone[i]), alone[i].error);
        so_session_close(&alone[i].session);
    }
    for (int i = 0; i < SESSIONS; i++) open_talk(&together[i], i, MOST);
    for (int i = 0; i < SESSIONS; i++) assert_int_equal(pthread_create(&thread[i], NULL, ask_apart, &together[i]), 0);
    for (int i = 0; i < SESSIONS; i++) pthread_join(thread[i], NULL);
    for (int i = 0; i < SESSIONS; i++) {
        if (together[i].failed) fail_msg("%s", together[i].error.text);
        assert_true(together[i].units > 0 && together[i].samples > 0);
        assert_int_equal(together[i].units, alone[i].units);
        assert_memory_equal(together[i].unit, alone[i].unit, alone[i].units * sizeof(int32_t));
        assert_int_equal(together[i].samples, alone[i].samples);
        assert_true(together[i].sum == alone[i].sum);
        so_session_close(&together[i].session);
    }
}

static void a_stop_comes_from_anywhere(void **state)
{
    (void)state;
    static talk t;
    pthread_t thread;
    open_talk(&t, 0, 400);
    assert_int_equal(pthread_create(&thread, NULL, ask_apart, &t), 0);
    for (int i = 0; i < 200; i++) { /* a turn that begins forgets a stop that came before it */
        struct timespec pause = {0, 1000000};
        so_session_stop(t.session);
        nanosleep(&pause, NULL);
    }
    pthread_join(thread, NULL);
    if (t.failed) fail_msg("%s", t.error.text);
    assert_in_range(t.usage.units, 0, 400);
    so_session_close(&t.session);
}

static void *open_and_close(void *p)
{
    talk *t = p;
    for (int i = 0; i < 3 && !t->failed; i++) {
        t->failed = so_session_open(&t->session, model, NULL, &t->error) != SO_OK;
        so_session_close(&t->session);
    }
    return NULL;
}

static void sessions_open_at_once(void **state)
{
    (void)state;
    static talk t[SESSIONS];
    pthread_t thread[SESSIONS];
    memset(t, 0, sizeof t);
    for (int i = 0; i < SESSIONS; i++) assert_int_equal(pthread_create(&thread[i], NULL, open_and_close, &t[i]), 0);
    for (int i = 0; i < SESSIONS; i++) pthread_join(thread[i], NULL);
    for (int i = 0; i < SESSIONS; i++)
        if (t[i].failed) fail_msg("%s", t[i].error.text);
}

/* One thread works a crew, two others make its voices, a fourth stops one of them. */
typedef struct mouths {
    so_crew *crew;
    atomic_bool over;
    atomic_int made;
} mouths;

static void *make_voices(void *p)
{
    mouths *m = p;
    so_error error;
    while (!atomic_load(&m->over)) {
        int made = 0;
        if (so_crew_speak(m->crew, &made, &error) != SO_OK) return p;
        if (made)
            atomic_fetch_add(&m->made, 1);
        else
            sched_yield();
    }
    return NULL;
}

static void *stop_one(void *p)
{
    struct timespec some = {0, 20000000};
    nanosleep(&some, NULL);
    so_session_stop(p);
    return NULL;
}

static void voices_are_made_beside_a_crew(void **state)
{
    (void)state;
    enum { N = 4 };
    so_session *s[N];
    so_usage usage[N] = {0};
    size_t samples[N] = {0};
    so_event e;
    so_error error;
    pthread_t speaker[2], stopper;
    mouths m = {0};
    CHECK_OK(so_crew_open(&m.crew, model, &(so_crew_options){.sessions = N, .voices = 3}, &error), error);
    for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(&speaker[i], NULL, make_voices, &m), 0);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < N; i++) {
            CHECK_OK(so_crew_session(m.crew, &s[i], &(so_session_options){.max_units = MOST, .seed = 2}, &error),
                     error);
            CHECK_OK(so_feed_text(s[i], i % 2 ? "hello" : "where is the cat?", &error), error);
            CHECK_OK(so_reply(s[i], SO_WANT_TEXT | SO_WANT_VOICE, &error), error);
            samples[i] = 0;
        }
        assert_int_equal(pthread_create(&stopper, NULL, stop_one, s[0]), 0);
        for (int done = 0; done < N;) {
            CHECK_OK(so_crew_step(m.crew, NULL, &error), error);
            for (int i = 0; i < N; i++) {
                do CHECK_OK(so_next(s[i], &e, &error), error);
                while (e.kind != SO_EVENT_NONE && e.kind != SO_EVENT_DONE && (samples[i] += e.samples, true));
                if (e.kind == SO_EVENT_DONE) usage[i] = e.usage, done++;
            }
        }
        pthread_join(stopper, NULL);
        for (int i = 1; i < N; i++) {
            assert_int_equal(samples[i], (size_t)(usage[i].voice_s * SO_VOICE_RATE + 0.5));
            assert_true(samples[i] > 0 && !usage[i].stopped);
        }
        for (int i = 0; i < N; i++) so_session_close(&s[i]);
    }
    atomic_store(&m.over, true);
    for (int i = 0; i < 2; i++) {
        void *failed;
        pthread_join(speaker[i], &failed);
        assert_null(failed);
    }
    assert_true(atomic_load(&m.made) > 0);
    so_crew_close(&m.crew);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sessions_share_a_model), cmocka_unit_test(a_stop_comes_from_anywhere),
        cmocka_unit_test(sessions_open_at_once), cmocka_unit_test(voices_are_made_beside_a_crew)};
    return cmocka_run_group_tests(tests, open_model, close_model);
}
