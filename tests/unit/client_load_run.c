/* A load against a server that is made up here, in a time that is made up here: every figure is known beforehand.
 *
 * The server sees a voice 0.1 s after it began and its end 0.5 s after it ended; answers with text 0.1 s and voice 0.2
 * s later, in pieces of 0.2 s every 0.1 s, ten of them; a voice within that ends the answer at once.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "check.h"

#include <poll.h>

#include "client/load.h"

static double now_s = 100;
#define poll fake_poll
static int fake_poll(struct pollfd *fd, nfds_t n, int ms)
{
    (void)fd, (void)n;
    now_s += ms > 0 ? (double)ms / 1000 : 0.0001;
    return 0;
}

#include "client/load.c"

double so_poll_now(void) { return now_s; }

enum { EVENTS = 64 };
struct so_remote {
    so_remote_event event[EVENTS]; /* to come, with their times */
    int n, appended;
    bool speaks, answers;
    double loud; /* when the last loud piece came */
    int answer;
};
static struct {
    int open, most, speaking, most_speaking, pictures, lose_at;
    bool deaf;
} server;

static void add(so_remote *r, so_remote_kind kind, double after, size_t samples)
{
    assert_true(r->n < EVENTS);
    so_remote_event *e = &r->event[r->n++];
    *e = (so_remote_event){.kind = kind, .at = now_s + after, .samples = samples};
    for (; e > r->event && e[-1].at > e->at; e--) { /* in their order */
        so_remote_event other = e[-1];
        e[-1] = *e;
        *e = other;
    }
}

so_status so_remote_open(so_remote **out, const so_remote_options *options, so_error *error)
{
    (void)error;
    assert_true(options->voice && options->detect && options->interrupts);
    *out = calloc(1, sizeof **out);
    server.most = ++server.open > server.most ? server.open : server.most;
    return SO_OK;
}
void so_remote_close(so_remote **remote)
{
    if (*remote) server.open--;
    free(*remote);
    *remote = NULL;
}
so_status so_remote_picture(so_remote *remote, const void *png, size_t size, so_error *error)
{
    (void)remote, (void)error;
    assert_memory_equal(png, "png", size);
    server.pictures++;
    return SO_OK;
}
so_status so_remote_cancel(so_remote *remote, so_error *error) { return (void)remote, (void)error, SO_OK; }
int so_remote_fd(const so_remote *remote) { return (void)remote, 0; }
bool so_remote_wants_write(const so_remote *remote) { return (void)remote, false; }

so_status so_remote_turn(so_remote *remote, double seconds, so_error *error)
{
    (void)seconds;
    return server.lose_at && remote->appended >= server.lose_at ? so_fail(error, SO_ERR_IO, "pulled out") : SO_OK;
}

static void stop_answer(so_remote *r)
{
    int kept = 0;
    for (int i = 0; i < r->n; i++)
        if (r->event[i].kind == SO_REMOTE_BEGAN || r->event[i].kind == SO_REMOTE_ENDED) r->event[kept++] = r->event[i];
    r->n = kept;
    add(r, SO_REMOTE_DONE, 0.001, 0);
    r->event[r->n - 1].end = SO_REMOTE_CANCELLED;
    r->answers = false;
}

so_status so_remote_append(so_remote *r, const float *pcm, size_t n, so_error *error)
{
    bool loud = false;
    (void)error;
    for (size_t i = 0; i < n; i++) loud |= pcm[i] != 0;
    r->appended++;
    if (server.deaf) return SO_OK;
    if (loud && !r->speaks) {
        add(r, SO_REMOTE_BEGAN, 0.1 - 0.04, 0); /* the piece began 40 ms ago */
        r->speaks = true;
        server.most_speaking = ++server.speaking > server.most_speaking ? server.speaking : server.most_speaking;
    }
    if (loud) r->loud = now_s;
    if (r->speaks && now_s - r->loud > 0.499) {
        r->speaks = false;
        server.speaking--;
        r->answers = true;
        add(r, SO_REMOTE_ENDED, 0, 0);
        add(r, SO_REMOTE_ANSWERS, 0, 0);
        add(r, SO_REMOTE_TEXT, 0.1, 0);
        for (int i = 0; i < 10; i++) add(r, SO_REMOTE_VOICE, 0.2 + 0.1 * i, SO_REMOTE_RATE / 5);
        add(r, SO_REMOTE_DONE, 1.2, 0);
    }
    return SO_OK;
}

bool so_remote_next(so_remote *r, so_remote_event *event)
{
    if (r->n == 0 || r->event[0].at > now_s) return false;
    *event = r->event[0];
    r->n--;
    memmove(r->event, r->event + 1, (size_t)r->n * sizeof *r->event);
    if (event->kind == SO_REMOTE_BEGAN && r->answers) stop_answer(r);
    if (event->kind == SO_REMOTE_DONE) r->answers = false;
    return true;
}

static float voice[SO_REMOTE_RATE * 12 / 10]; /* 0.2 s of silence, 0.8 s of voice, 0.2 s of silence */

static so_load_options usual(so_load_turn *turn)
{
    for (int i = SO_REMOTE_RATE / 5; i < SO_REMOTE_RATE; i++) voice[i] = 0.5f;
    *turn = (so_load_turn){.pcm = voice, .n = sizeof voice / sizeof *voice};
    so_load_turn_find(turn);
    memset(&server, 0, sizeof server);
    return (so_load_options){.turn = turn, .turns = 1, .sessions = 5, .seconds = 20, .pause = 0.5};
}

static void near(const so_load_result *r, so_load_figure figure, double expected)
{
    const so_load_figures *f = &r->figure[figure];
    if (f->n == 0 || fabs(f->x[0] - expected) > 0.045 || fabs(f->x[f->n - 1] - expected) > 0.045)
        fail_msg("%s: %zu figures from %.3f to %.3f, expected %.3f", so_load_words(figure), f->n, f->n ? f->x[0] : 0,
                 f->n ? f->x[f->n - 1] : 0, expected);
}

static void figures_are_what_they_are(void **state)
{
    (void)state;
    so_load_turn turn;
    so_load_result r;
    so_error error;
    so_load_options o = usual(&turn);
    o.picture = "png";
    o.picture_size = 3;
    o.speaking = 2;
    CHECK_OK(so_load_run(&o, &r, &error), error);
    assert_true(server.open == 0 && server.most == 5 && server.pictures == 5 && server.most_speaking == 2);
    /* A turn takes 1.0 + 0.5 + 0.2 + 2 s and a little; two at a time for 20 s. */
    assert_in_range(r.turns, 10, 12);
    assert_true(r.interrupted == 0 && r.unheard == 0 && r.split == 0 && r.failed == 0 && r.lost == 0 &&
                r.underruns == 0);
    near(&r, SO_LOAD_STOPPED, 0.5);
    near(&r, SO_LOAD_TEXT, 0.1);
    near(&r, SO_LOAD_AUDIO, 0.2);
    near(&r, SO_LOAD_ANSWER, 0.7);
    near(&r, SO_LOAD_FACTOR, 1.1 / 2);
    assert_true(fabs(r.voice_s - 2 * r.turns) < 1e-6 && r.pieces == 10 * r.turns);
    so_load_result_clear(&r);
}

/* Every second answer is spoken into after 0.4 s: the voice of that turn comes 0.2 s later, and is seen 0.1 s after it.
 */
static void answers_are_spoken_into(void **state)
{
    (void)state;
    so_load_turn turn;
    so_load_result r;
    so_error error;
    so_load_options o = usual(&turn);
    o.interrupt = 2;
    CHECK_OK(so_load_run(&o, &r, &error), error);
    assert_true(r.interrupted > 5 && r.interrupted * 2 <= r.turns + 5 && r.unheard == 0 && r.failed == 0);
    near(&r, SO_LOAD_STARTED, 0.1);
    near(&r, SO_LOAD_SILENT, 0);
    near(&r, SO_LOAD_STOPPED, 0.5);
    so_load_result_clear(&r);
}

static void what_goes_wrong_is_counted(void **state)
{
    (void)state;
    so_load_turn turn;
    so_load_result r;
    so_error error;
    so_load_options o = usual(&turn);
    server.deaf = true;
    CHECK_OK(so_load_run(&o, &r, &error), error);
    assert_true(r.turns == 0 && r.unheard >= 5 && r.failed == 0);
    so_load_result_clear(&r);
    o = usual(&turn);
    server.lose_at = 100;
    CHECK_OK(so_load_run(&o, &r, &error), error);
    assert_int_equal(r.lost, 5);
    assert_string_equal(r.told_why, "pulled out");
    assert_int_equal(server.open, 0);
    so_load_result_clear(&r);
    /* A pause of 0.6 s within a turn is taken for its end. */
    o = usual(&turn);
    static float two[SO_REMOTE_RATE * 2];
    for (int i = 0; i < SO_REMOTE_RATE * 2; i++)
        two[i] = i < SO_REMOTE_RATE / 2 || i > SO_REMOTE_RATE * 5 / 4 ? 0.5f : 0;
    turn = (so_load_turn){.pcm = two, .n = sizeof two / sizeof *two};
    so_load_turn_find(&turn);
    o.seconds = 1;
    CHECK_OK(so_load_run(&o, &r, &error), error);
    assert_int_equal(r.split, 5);
    so_load_result_clear(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(figures_are_what_they_are),
                                       cmocka_unit_test(answers_are_spoken_into),
                                       cmocka_unit_test(what_goes_wrong_is_counted)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
