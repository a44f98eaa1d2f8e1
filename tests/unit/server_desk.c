/* The engine's thread with the shipped model: several conversations at once, waiting, stopping, leaving.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <pthread.h>
#include <time.h>

#include "server/desk.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t news = PTHREAD_COND_INITIALIZER, heard_it = PTHREAD_COND_INITIALIZER;
static int woken;
static bool in_step; /* the desk's thread goes on only when what it told was heard */

static so_status open_model(void *context, so_model **model, so_error *error)
{
    (void)context;
    const so_model_options options = {.threads = 1};
    return so_model_open(model, SO_SOURCE_DIR "/models/tabletop.gguf", &options, error);
}

static void wake(void *context)
{
    (void)context;
    pthread_mutex_lock(&lock);
    woken++;
    pthread_cond_signal(&news);
    while (in_step && woken) pthread_cond_wait(&heard_it, &lock);
    pthread_mutex_unlock(&lock);
}

/* Whether the desk's thread waits from now on until it was heard. What it told until now was. */
static void keep_in_step(bool yes)
{
    pthread_mutex_lock(&lock);
    in_step = yes;
    woken = 0;
    pthread_cond_signal(&heard_it);
    pthread_mutex_unlock(&lock);
}

/* What was told of one seat. */
typedef struct heard {
    char text[512], why[256];
    int done, failed, seated, sounds;
    size_t bytes;
    so_usage usage;
} heard;

enum { SEATS = 12 };
static uint64_t seat[SEATS];
static heard of[SEATS];
static int after_leaving; /* told of a seat that had left */

static void take(const so_told *t)
{
    for (int i = 0; i < SEATS; i++) {
        if (seat[i] != t->seat) continue;
        heard *h = &of[i];
        if (t->kind == SO_TOLD_TEXT) strncat(h->text, t->text, sizeof h->text - strlen(h->text) - 1);
        if (t->kind == SO_TOLD_SOUND) h->sounds++, h->bytes += t->size;
        if (t->kind == SO_TOLD_DONE) h->done++, h->usage = t->usage;
        if (t->kind == SO_TOLD_SEATED) h->seated++;
        if (t->kind == SO_TOLD_FAILED) h->failed++, snprintf(h->why, sizeof h->why, "%s", t->text);
        return;
    }
    after_leaving++;
}

static void hear(so_desk *desk)
{
    for (so_told *t = so_desk_hear(desk), *next; t; t = next) {
        next = t->next;
        take(t);
        so_told_free(t);
    }
}

/* Waits for news, which stay unheard: two minutes at most. */
static void await_news(const char *what)
{
    struct timespec limit;
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += 120;
    pthread_mutex_lock(&lock);
    while (woken == 0)
        if (pthread_cond_timedwait(&news, &lock, &limit) != 0) {
            pthread_mutex_unlock(&lock);
            fail_msg("nothing more is told: %s", what);
        }
    pthread_mutex_unlock(&lock);
}

/* Listens until all of the first n seats are done or failed. */
static void until_done(so_desk *desk, int n)
{
    char what[64];
    for (;;) {
        hear(desk);
        int ended = 0;
        for (int i = 0; i < n; i++) ended += of[i].done + of[i].failed > 0;
        if (ended == n) return;
        snprintf(what, sizeof what, "%d of %d ended", ended, n);
        await_news(what);
        keep_in_step(false);
    }
}

static so_desk *opened(const so_desk_options *more)
{
    so_desk *desk;
    so_error error;
    so_desk_options options = *more;
    options.open = open_model;
    options.wake = wake;
    memset(of, 0, sizeof of);
    memset(seat, 0, sizeof seat);
    CHECK_OK(so_desk_open(&desk, &options, &error), error);
    return desk;
}

static void ask(so_desk *desk, int i, const char *text, unsigned want)
{
    so_order *reply = so_order_new(SO_ORDER_REPLY, NULL);
    reply->turn = 1;
    reply->want = want;
    reply->own = true;
    so_desk_order(desk, seat[i], so_order_new(SO_ORDER_TEXT, text));
    so_desk_order(desk, seat[i], reply);
}

static void sit(so_desk *desk, int i)
{
    so_error error;
    int ahead;
    CHECK_OK(so_desk_sit(desk, &seat[i], &ahead, &error), error);
}

/* Twelve conversations over three sessions: everybody is answered, with the same words as alone. */
static void many_are_answered(void **state)
{
    (void)state;
    so_desk *desk = opened(&(so_desk_options){.sessions = 3, .waiting = SEATS, .speaking = 1});
    for (int i = 0; i < SEATS; i++) {
        sit(desk, i);
        ask(desk, i, i % 2 ? "Good morning." : "What is two plus two?",
            SO_WANT_TEXT | (i % 5 == 4 ? SO_WANT_VOICE : 0));
    }
    for (int i = 0; i < SEATS; i++) { /* a seat that is done makes room for one that waits */
        until_done(desk, i + 1);
        so_desk_leave(desk, seat[i]);
    }
    for (int i = 0; i < SEATS; i++) {
        if (of[i].failed) fail_msg("%s", of[i].why);
        assert_int_equal(of[i].done, 1);
        assert_int_equal(of[i].seated, 1);
        assert_true(of[i].text[0]);
        if (i % 5 == 4)
            assert_true(of[i].sounds > 0 && of[i].usage.units > 0);
        else
            assert_string_equal(of[i].text, of[i % 2 ? 1 : 0].text);
    }
    so_model_info info;
    so_desk_stats stats;
    assert_int_equal(so_desk_about(desk, &info, NULL, &stats), SO_DESK_READY);
    assert_true(info.speaks && stats.text_tokens > 0 && stats.audio_s > 0);
    so_desk_close(&desk);
}

/* A full waiting room sends away, and says how many wait. */
static void the_waiting_room_is_bounded(void **state)
{
    (void)state;
    so_error error;
    uint64_t one_more;
    int ahead;
    so_desk *desk = opened(&(so_desk_options){.sessions = 1, .waiting = 2});
    for (int i = 0; i < 3; i++) {
        sit(desk, i);
        ask(desk, i, "Good morning.", SO_WANT_TEXT);
        if (i == 0) until_done(desk, 1); /* it keeps its session */
    }
    assert_int_equal(so_desk_sit(desk, &one_more, &ahead, &error), SO_ERR_LIMIT);
    assert_int_equal(ahead, 2);
    so_desk_leave(desk, seat[0]);
    until_done(desk, 2);
    assert_int_equal(of[2].done, 0);
    CHECK_OK(so_desk_sit(desk, &one_more, &ahead, &error), error);
    so_desk_close(&desk);
}

/* A stop ends an answer under way, and one that has not begun; both are told as done. */
static void stops_are_told(void **state)
{
    (void)state;
    so_desk *desk = opened(&(so_desk_options){.sessions = 2});
    so_order *say =
        so_order_new(SO_ORDER_SAY, "The red star is left of the blue circle, and the green cube is on the table.");
    sit(desk, 0);
    sit(desk, 1);
    say->turn = 5;
    say->want = SO_WANT_TEXT | SO_WANT_VOICE;
    keep_in_step(true);
    so_desk_order(desk, seat[0], say);
    for (hear(desk); of[0].sounds == 0 && of[0].failed == 0; hear(desk)) {
        await_news("no sound");
        hear(desk);
        if (of[0].sounds == 0) keep_in_step(true);
    }
    so_desk_stop(desk, seat[0], 4); /* another one: no effect */
    so_desk_pause(desk, seat[0], true);
    so_desk_stop(desk, seat[0], 5); /* also while it is paused */
    keep_in_step(false);            /* no more was made meanwhile */
    until_done(desk, 1);
    assert_int_equal(of[0].usage.stopped, 1);
    assert_true(of[0].usage.voice_s < 4);
    ask(desk, 1, "Good morning.", SO_WANT_TEXT);
    so_desk_stop(desk, seat[1], 1);
    until_done(desk, 2);
    assert_int_equal(of[1].done, 1);
    so_desk_close(&desk);
}

/* Who leaves in the middle costs only itself; nothing of it is told to its successor. */
static void leaving_at_any_moment(void **state)
{
    (void)state;
    so_desk *desk = opened(&(so_desk_options){.sessions = 2});
    so_error error;
    int ahead;
    for (int round = 0; round < 20; round++) {
        uint64_t passing;
        CHECK_OK(so_desk_sit(desk, &passing, &ahead, &error), error);
        so_order *say = so_order_new(SO_ORDER_SAY, "The red star is left of the blue circle.");
        say->want = SO_WANT_TEXT | SO_WANT_VOICE;
        so_desk_order(desk, passing, say);
        usleep((useconds_t)(round * 3000));
        so_desk_leave(desk, passing);
        so_desk_order(desk, passing, so_order_new(SO_ORDER_TEXT, "too late"));
    }
    sit(desk, 0);
    ask(desk, 0, "Good morning.", SO_WANT_TEXT);
    until_done(desk, 1);
    assert_int_equal(of[0].done, 1);
    so_desk_close(&desk);
}

static void failures_are_told(void **state)
{
    (void)state;
    so_desk *desk = opened(&(so_desk_options){.sessions = 1});
    so_order *picture = so_order_new(SO_ORDER_PICTURE, NULL);
    picture->data = strdup("no picture");
    picture->size = 10;
    sit(desk, 0);
    so_desk_order(desk, seat[0], picture);
    until_done(desk, 1);
    assert_int_equal(of[0].failed, 1);
    assert_true(of[0].why[0]);
    ask(desk, 0, "What is this?", SO_WANT_TEXT); /* an answer that leaves the picture out would be wrong */
    of[0].failed = 0;
    until_done(desk, 1);
    assert_int_equal(of[0].failed, 1);
    of[0].failed = 0;
    ask(desk, 0, "Good morning.", SO_WANT_TEXT); /* the seat lives on */
    until_done(desk, 1);
    assert_int_equal(of[0].done, 1);
    so_desk_close(&desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_are_answered), cmocka_unit_test(the_waiting_room_is_bounded),
        cmocka_unit_test(stops_are_told),    cmocka_unit_test(leaving_at_any_moment),
        cmocka_unit_test(failures_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
