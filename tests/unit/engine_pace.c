/* How much a crew does in a step: told by a clock that counts multiplications, so that every run is the same. And what
 * is cut into pieces is, to the bit, what it is in one.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "check.h"

#include <stdbool.h>

#include "base/rng.h"
#include "engine/session.h"
#include "nn/ops.h"
#include "toy.h"

enum { TALKERS = 12, ROWS = 16, READ_ROWS = 8 /* that cost as much as reading the weights */ };

static char folder[] = TOY_FOLDER, padded_folder[] = TOY_FOLDER;
static so_model *model, *padded; /* the second has a vocabulary of several blocks */

/* ---- a clock of work */

static so_kernels counting;
static const so_kernels *real;
static double work;

static void count_linear(so_pool *pool, const so_product *product, int64_t k, const so_real *x, int64_t m)
{
    work += (double)(product->n * k * (m + READ_ROWS));
    real->linear(pool, product, k, x, m);
}

static void count_gemm(so_pool *pool, const so_gemm *g)
{
    work += (double)(g->n * g->k * (g->m + READ_ROWS));
    real->gemm(pool, g);
}

static double clock_of_work(void *context) { return (void)context, work; }

static int open_models(void **state)
{
    (void)state;
    if (toy_open(&model, folder, 1, 512) != 0) return -1;
    real = model->kernels;
    counting = *real;
    counting.linear = count_linear;
    counting.gemm = count_gemm;
    model->kernels = model->encoders = &counting;
    toy_text_rows = 1300;
    return toy_open(&padded, padded_folder, 1, 256);
}

static int close_models(void **state)
{
    (void)state;
    toy_close(&padded, padded_folder);
    return toy_close(&model, folder);
}

/* ---- pace */

static void a_pace_is_kept(void **state)
{
    (void)state;
    so_pace p = {.least = 0.01, .guess = 0.2};
    so_work layer = {1, 50}, other = {0, 1};
    assert_float_equal(so_pace_median(&p), 0.2, 1e-12);
    assert_float_equal(so_pace_foretell(&p, layer), 0, 0);
    so_pace_note(&p, layer, 0.05);
    assert_float_equal(so_pace_foretell(&p, layer), 0.05, 1e-12);
    assert_float_equal(so_pace_foretell(&p, (so_work){1, 100}), 0.1, 1e-12);
    so_pace_note(&p, layer, 0.09); /* one that was disturbed counts for a quarter */
    assert_float_equal(so_pace_foretell(&p, layer), 0.06, 1e-12);
    assert_float_equal(so_pace_foretell(&p, other), 0, 0);
    for (int i = 0; i < 40; i++) so_pace_turn(&p, i % 5 ? 0.1 : 0.9);
    assert_float_equal(so_pace_median(&p), 0.1, 1e-12);
    assert_float_equal(so_pace_room(&p, 0), 0.12, 1e-12);
    assert_float_equal(so_pace_room(&p, 0.1), 0.02, 1e-12);
    assert_float_equal(so_pace_room(&p, 0.9), 0.01, 1e-12);
    assert_true(so_pace_must(&p, 0) && so_pace_must(&p, 0.1));
    for (int i = 0; i < 12; i++) assert_int_equal(so_pace_must(&p, 0.2), i % 4 == 3);
    double before = so_pace_now(&p);
    assert_true(so_pace_now(&p) >= before && before > 0);
}

/* ---- steps of a crew */

static void ask_for_units(so_session *s)
{
    so_error error;
    CHECK_OK(so_feed_text(s, "hello", &error), error);
    CHECK_OK(so_reply(s, SO_WANT_TEXT | SO_WANT_UNITS, &error), error);
}

/* A picture, words and speech. */
static void ask_for_all(so_session *s)
{
    static float sound[12000];
    uint8_t rgb[24 * 24 * 3];
    so_error error;
    for (size_t k = 0; k < sizeof rgb; k++) rgb[k] = (uint8_t)(k * 9 % 251);
    for (int k = 0; k < 12000; k++) sound[k] = 0.3f * sinf((float)k * 0.06f) * sinf((float)k * 0.001f);
    CHECK_OK(so_feed_image(s, rgb, 24, 24, &error), error);
    CHECK_OK(so_feed_text(s, "where is the cat? what color is the star?", &error), error);
    CHECK_OK(so_feed_audio(s, sound, 12000, 16000, &error), error);
    CHECK_OK(so_reply_with(s, SO_WANT_TEXT, &(so_reply_options){.answer_silence = 1}, &error), error);
}

/* The text of the answer so far; true once it is complete. */
static bool take(so_session *s, char *text)
{
    so_event e;
    so_error error;
    do {
        CHECK_OK(so_next(s, &e, &error), error);
        assert_int_not_equal(e.kind, SO_EVENT_FAILED);
        if (e.kind == SO_EVENT_TEXT) strcat(text, e.text);
    } while (e.kind != SO_EVENT_NONE && e.kind != SO_EVENT_DONE);
    return e.kind == SO_EVENT_DONE;
}

/* What one piece takes at most: a layer of a slice, a half of one of the tower, else what it says. */
static double one_piece(so_work next)
{
    const so_siglip_config *c = &model->setup.omni.siglip;
    double patches = (double)(so_siglip_grid(c) * so_siglip_grid(c)), width = (double)c->width;
    if (next.kind == SO_WORK_LAYERS) return (ROWS + READ_ROWS) * so_llama_products(&model->setup.omni.llama);
    if (next.kind == SO_WORK_TOWER) return 1.5 * patches * width * (4 * width + 2 * patches);
    return next.kind == SO_WORK_OTHER ? 0 : 1.5 * next.size;
}

/* Beside a crew that answers, a question of all kinds gets into the stores a piece at a time: no step does more than a
 * fifth more than answers do in the median, or one piece where that is larger. */
static void a_step_is_hardly_longer_than_one_of_answers(void **state)
{
    (void)state;
    static char text[4096], alone[4096], rest[4096];
    const so_session_options options = {.max_units = 400, .max_text = 30, .seed = 3, .think = -1};
    so_crew *crew;
    so_session *talker[TALKERS], *s;
    so_error error;
    int steps = 0;
    text[0] = alone[0] = rest[0] = 0;
    CHECK_OK(so_crew_open(&crew, model, &(so_crew_options){.sessions = TALKERS + 1, .prompt_rows = ROWS}, &error),
             error);
    so_pace *pace = so_crew_pace(crew);
    *pace = (so_pace){.clock = clock_of_work, .guess = 1};
    for (int k = SO_WORK_OTHER + 1; k < SO_PACE_KINDS; k++) pace->rate[k] = 1;
    for (int i = 0; i < TALKERS; i++) {
        CHECK_OK(so_crew_session(crew, &talker[i], &options, &error), error);
        ask_for_units(talker[i]);
        while (talker[i]->stage < SO_BEGUN) CHECK_OK(so_crew_step(crew, NULL, &error), error);
    }
    for (int i = 0; i < 20; i++) CHECK_OK(so_crew_step(crew, NULL, &error), error);
    CHECK_OK(so_crew_session(crew, &s, &options, &error), error);
    s->talk->options.slice_layers = s->talk->options.tower_halves = 1;
    ask_for_all(s);
    for (; s->stage < SO_BEGUN; steps++) {
        so_work next = so_session_next(s);
        double before = work, median = so_pace_median(pace);
        assert_true(steps < 5000);
        CHECK_OK(so_crew_step(crew, NULL, &error), error);
        double turn = pace->turn[(pace->turns - 1) % SO_PACE_TURNS], beside = work - before - turn;
        double room = fmax(1.2 * median - turn, 0), piece = one_piece(next);
        if (beside > fmax(1.3 * room, piece) && next.kind != SO_WORK_OTHER)
            fail_msg(
                "step %d, kind %d: %.0f beside answers of %.0f (%.0f in the median), room for %.0f, a piece of %.0f",
                steps, next.kind, beside, turn, median, room, piece);
        for (int i = 0; i < TALKERS; i++) take(talker[i], rest), rest[0] = 0;
    }
    assert_true(steps > 12); /* and many more pieces */
    for (int i = 0; i < 500 && !take(s, text); i++) CHECK_OK(so_crew_step(crew, NULL, &error), error);
    so_session_close(&s);
    for (int i = 0; i < TALKERS; i++) so_session_close(&talker[i]);
    so_crew_close(&crew);
    CHECK_OK(so_crew_open(&crew, model, &(so_crew_options){.prompt_rows = ROWS}, &error), error);
    CHECK_OK(so_crew_session(crew, &s, &options, &error), error);
    ask_for_all(s);
    for (int i = 0; i < 500 && !take(s, alone); i++) CHECK_OK(so_crew_step(crew, NULL, &error), error);
    assert_true(alone[0]);
    assert_string_equal(text, alone);
    so_session_close(&s);
    so_crew_close(&crew);
}

/* ---- pieces */

static void sums_in_parts_are_the_whole(void **state)
{
    (void)state;
    enum { M = 5, K = 1300, N = 24 };
    static float x[M * K], w[K * N];
    static double sum[M * N];
    so_error error;
    so_arena arena;
    so_pass pass;
    so_rng rng;
    so_rng_init(&rng, 4, 0);
    for (int i = 0; i < M * K; i++) x[i] = (float)so_rng_normal(&rng);
    for (int i = 0; i < K * N; i++) w[i] = (float)so_rng_normal(&rng);
    CHECK_OK(so_arena_init(&arena, (size_t)8 << 20, &error), error);
    so_pass_init(&pass, &arena, NULL, real);
    so_tensor *a = so_lent(&pass, M, K, x), *b = so_lent(&pass, K, N, w), *whole = so_matmul(&pass, a, b);
    for (int64_t at = 0, step = SO_MIX_ROWS; at < K; at += step, step = 2 * SO_MIX_ROWS)
        so_matmul_some(&pass, a, b, at, at + step < K ? at + step : K, sum);
    assert_true(so_ok(&pass));
    for (int i = 0; i < M * N; i++) assert_true(so_data(whole)[i] == (float)sum[i]);
    so_arena_clear(&arena);
}

/* A prompt of speech, what is expected of it summed over the vocabulary at once and in parts, and layers one at a time:
 * the stores hold the same. */
static void expectations_in_parts_are_the_same(void **state)
{
    (void)state;
    enum { N = 37, CONTEXT = 64 };
    so_talk *talk[2];
    so_slot slot[N];
    so_error error;
    int pieces[2] = {0};
    for (int i = 0; i < N; i++)
        slot[i] = (so_slot){i * 7 % 50, SO_SLOT_SPEECH | (i % 5 ? SO_SLOT_EXPECT : SO_SLOT_LABEL)};
    for (int k = 0; k < 2; k++) {
        so_talk_options o = {.context = CONTEXT, .speaks = true, .kv = SO_F32, .rows = 20, .label_rows = 16};
        o.expect_rows = k ? SO_MIX_ROWS : -1;
        o.slice_layers = k ? 1 : 100;
        CHECK_OK(so_talk_open(&talk[k], padded, &o, &error), error);
        CHECK_OK(so_talk_want(talk[k], slot, N, &error), error);
        for (bool done = false; !done; pieces[k]++) CHECK_OK(so_talk_more(talk[k], &done, &error), error);
        assert_int_equal(talk[k]->bottom.len, N);
        assert_int_equal(talk[k]->top.len, N - 1);
        assert_true(talk[k]->pending);
    }
    /* two slices: the stages, of which labels come in two or three parts; cut, 2 + 2 + 3 layers and 4 pieces a part */
    assert_true(pieces[1] > 2 * pieces[0]);
    const so_kv *a[] = {&talk[0]->bottom, &talk[0]->backbone, &talk[0]->top};
    const so_kv *b[] = {&talk[1]->bottom, &talk[1]->backbone, &talk[1]->top};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(a[i]->len, b[i]->len);
        assert_memory_equal(a[i]->data, b[i]->data, so_kv_bytes(SO_F32, a[i]->layers, a[i]->width, CONTEXT));
    }
    assert_memory_equal(talk[0]->label, talk[1]->label, N * sizeof(int32_t));
    assert_memory_equal(talk[0]->thought, talk[1]->thought, 32 * sizeof(so_real));
    for (int k = 0; k < 2; k++) so_talk_close(&talk[k]);
}

/* An ear that is worked piece by piece hears what another one hears at once, also across blocks of 30 s. */
static void an_ear_in_pieces_hears_the_same(void **state)
{
    (void)state;
    enum { SECONDS = 33, RATE = 16000, N = SECONDS * RATE, STEP = 4000 };
    float *x = malloc(N * sizeof *x);
    so_ear *whole, *ear;
    so_error error;
    so_site place = so_model_codec_place(model);
    int looks = 0, pieces = 0;
    bool news;
    assert_non_null(x);
    for (int i = 0; i < N; i++) x[i] = 0.3f * sinf((float)i * 0.06f) * sinf((float)i * 0.0007f);
    CHECK_OK(so_ear_open(&whole, &model->codec, NULL, &place, SECONDS + 1, &error), error);
    CHECK_OK(so_ear_open(&ear, &model->codec, NULL, &place, SECONDS + 1, &error), error);
    ear->pieces = true;
    for (int at = 0; at <= N; at += STEP) {
        if (at < N) CHECK_OK(so_ear_feed(whole, x + at, STEP, RATE, &news, &error), error);
        if (at < N) CHECK_OK(so_ear_feed(ear, x + at, STEP, RATE, &news, &error), error);
        if (at == N) CHECK_OK(so_ear_finish(whole, &error), error);
        if (at == N) CHECK_OK(so_ear_finish(ear, &error), error);
        for (looks += so_ear_looks(ear); so_ear_looks(ear); pieces++) {
            double foretold = so_ear_products(ear), before = work;
            CHECK_OK(so_ear_more(ear, &news, &error), error);
            assert_true(foretold > 0 && work - before < 3 * foretold);
        }
        assert_int_equal(ear->n, whole->n);
        assert_memory_equal(ear->units, whole->units, (size_t)ear->n * sizeof *ear->units);
    }
    assert_true(ear->n == whole->n && ear->n > 30 * 25);
    /* the convolutions, two halves of the one block, the codes; those of the first 30 s were convolved at once */
    assert_int_equal(pieces, 4 * looks - 1);
    so_ear_reset(ear);
    assert_false(so_ear_looks(ear));
    so_ear_close(&ear);
    so_ear_close(&whole);
    free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pace_is_kept), cmocka_unit_test(a_step_is_hardly_longer_than_one_of_answers),
        cmocka_unit_test(sums_in_parts_are_the_whole), cmocka_unit_test(expectations_in_parts_are_the_same),
        cmocka_unit_test(an_ear_in_pieces_hears_the_same)};
    return cmocka_run_group_tests(tests, open_models, close_models);
}
