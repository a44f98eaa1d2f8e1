/* train: alignment, windows, stages and lessons, on a small language model that learns a made-up language.
 *
 * The language: a text is 2 to 5 letters; its speech is three units per letter (4 l, 4 l + 1, 4 l + 2), each said once
 * or twice, and a pause; the answer to a text is every letter moved on by one. A picture is all of one brightness and
 * its answer is that brightness's letter.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "base/rng.h"
#include "train/lesson.h"

enum { LETTERS = 6, BLANK = 6, EOT = 7, USER = 8, ASSISTANT = 9, TEXT_ROWS = 10, UNITS = 4 * LETTERS, SIDE = 8 };

/* ---- alignment */

static double path_score(const float *x, int64_t V, const int32_t *states, int64_t rows)
{
    double sum = 0;
    for (int64_t t = 0; t < rows; t++) sum += (double)x[t * V + states[t]];
    return sum;
}

/* Tries every assignment of symbols to 6 rows whose collapsed reading is the text. */
static void alignment_is_the_best_path(void **state)
{
    (void)state;
    enum { V = 3, T = 6 };
    so_rng rng;
    so_error error;
    so_rng_init(&rng, 5, 0);
    const int32_t text[3] = {1, 1, 2};
    for (int round = 0; round < 20; round++) {
        float x[T * V];
        for (int i = 0; i < T * V; i++) x[i] = (float)so_rng_normal(&rng);
        int32_t heard[T], where[T], best_path[T], path[T];
        double best = -1e30;
        for (int code = 0; code < 729; code++) {
            int rest = code, n = 0, ok = 1;
            for (int t = 0; t < T; t++, rest /= 3) path[t] = rest % 3;
            for (int t = 0; t < T; t++)
                if (path[t] != 0 && (t == 0 || path[t] != path[t - 1])) ok = ok && n < 3 && path[t] == text[n], n++;
            double score = path_score(x, V, path, T);
            if (ok && n == 3 && score > best) {
                best = score;
                memcpy(best_path, path, sizeof path);
            }
        }
        CHECK_OK(so_ctc_align(&(so_ctc_ask){x, T, V, text, 3, 0}, heard, where, &error), error);
        for (int t = 0; t < T; t++) path[t] = where[t] < 0 ? 0 : text[where[t]];
        assert_true(fabs(path_score(x, V, path, T) - best) < 1e-5);
        int n = 0;
        for (int t = 0; t < T; t++) {
            if (path[t] != 0 && (t == 0 || path[t] != path[t - 1])) n++;
            assert_int_equal(heard[t], n);
        }
    }
    float x[T * V] = {0};
    int32_t heard[T];
    assert_int_equal(so_ctc_align(&(so_ctc_ask){x, 3, V, text, 3, 0}, heard, NULL, &error), SO_ERR_LIMIT);
    assert_int_equal(so_ctc_align(&(so_ctc_ask){x, T, V, text, 3, 1}, heard, NULL, &error), SO_ERR_ARG);
    assert_int_equal(so_ctc_align(&(so_ctc_ask){x, T, 2, text, 3, 0}, heard, NULL, &error), SO_ERR_ARG);
    CHECK_OK(so_ctc_align(&(so_ctc_ask){x, T, V, text, 0, 0}, heard, NULL, &error), error);
    assert_int_equal(heard[T - 1], 0);
}

static void greedy_reading_counts_as_generation_does(void **state)
{
    (void)state;
    const int path[] = {0, 2, 2, 0, 2, 1, 0, 1, 2}; /* 0 is blank: a label after a blank counts only if it is another */
    float x[27] = {0};
    int32_t heard[9], labels[9];
    for (int t = 0; t < 9; t++) x[t * 3 + path[t]] = 1;
    assert_int_equal(so_ctc_greedy(x, 9, 3, 0, heard, labels), 3);
    const int32_t expected[] = {0, 1, 1, 1, 1, 2, 2, 2, 3};
    assert_memory_equal(heard, expected, sizeof expected);
    assert_true(labels[0] == 2 && labels[1] == 1 && labels[2] == 2);
}

static void windows_follow_what_was_heard(void **state)
{
    (void)state;
    int32_t lo, hi;
    so_window w = {5, 3};
    so_window_of(&w, 0, 10, &lo, &hi);
    assert_true(lo == 0 && hi == 3);
    so_window_of(&w, 4, 10, &lo, &hi);
    assert_true(lo == 2 && hi == 7);
    so_window_of(&w, 9, 10, &lo, &hi);
    assert_true(lo == 5 && hi == 10);
    so_window_of(&(so_window){0, 1}, 4, 10, &lo, &hi);
    assert_true(lo == 0 && hi == 5);
}

/* ---- the made-up language */

typedef struct school {
    so_store store;
    so_omni net;
    so_lesson lesson;
} school;

static void school_open(school *s, so_fuse fuse)
{
    so_error error;
    so_rng rng;
    so_rng_init(&rng, 3, 0);
    memset(s, 0, sizeof *s);
    CHECK_OK(so_store_open(&s->store, (size_t)1 << 28, &error), error);
    so_binder binder = {.store = &s->store, .group = "backbone", .rng = &rng};
    so_omni_config config = {
        .llama =
            {.width = 32, .heads = 4, .kv_heads = 2, .head_width = 8, .ff = 64, .rms_eps = 1e-5, .rope_theta = 1000},
        .bottom = 1,
        .backbone = 2,
        .top = 2,
        .text_rows = TEXT_ROWS,
        .audio_rows = TEXT_ROWS + UNITS,
        .speech = true,
        .vision = true,
        .siglip = {.width = 16, .heads = 2, .ff = 32, .layers = 1, .image = SIDE, .patch = 4, .norm_eps = 1e-6},
        .fuse = fuse};
    CHECK_OK(so_omni_bind(&s->net, &config, &binder, &error), error);
    CHECK_OK(so_binder_finish(&binder, "toy", &error), error);
    s->lesson =
        (so_lesson){.net = &s->net, .blank = BLANK, .eot = EOT, .first_unit = TEXT_ROWS, .units = UNITS, .rows = 500};
}

static int64_t say(const int32_t *text, int64_t n, int32_t *units)
{
    int64_t k = 0;
    for (int64_t i = 0; i < n; i++) {
        for (int u = 0; u < 3; u++)
            for (int64_t times = 1 + (text[i] + u) % 2; times; times--) units[k++] = TEXT_ROWS + 4 * text[i] + u;
        units[k++] = TEXT_ROWS + 3; /* a pause */
    }
    return k;
}

static so_status next_sample(void *context, const char *task, so_rng *rng, so_arena *memory, so_sample *out,
                             so_error *error)
{
    (void)context, (void)error;
    int32_t *ids = so_arena_zalloc(memory, 4096), *text = ids + 200, *units = ids + 300, *heard = ids + 600, words[5];
    int64_t n = so_rng_range(rng, 2, 4), k = 0;
    bool picture = strncmp(task, "vt", 2) == 0 || strncmp(task, "vs", 2) == 0 || strcmp(task, "caption") == 0;
    bool speech = strcmp(task, "asr") == 0 || strstr(task, "s-") != NULL, aloud = strcmp(task, "tts") == 0;
    *out = (so_sample){.ids = ids, .text = text, .units = units, .heard = heard};
    for (int64_t i = 0; i < n; i++) words[i] = (int32_t)so_rng_below(rng, LETTERS);
    for (int64_t i = 1; i < n; i++)
        if (words[i] == words[i - 1]) words[i] = (words[i] + 1) % LETTERS;
    ids[k++] = USER;
    if (picture) {
        float *pixels = so_arena_alloc(memory, 3 * SIDE * SIDE * sizeof *pixels);
        words[0] = (int32_t)so_rng_below(rng, LETTERS);
        n = 1;
        for (int i = 0; i < 3 * SIDE * SIDE; i++)
            pixels[i] = (float)words[0] / 3 - 1 + 0.02f * (float)so_rng_normal(rng);
        ids[k++] = SO_PICTURE_ID;
        out->pixels = pixels;
        out->pictures = 1;
    }
    if (speech) {
        k += say(words, n, ids + k);
        memcpy(heard, words, (size_t)n * sizeof *heard);
        out->n_heard = n;
    } else if (!aloud) {
        memcpy(ids + k, words, (size_t)(picture ? 0 : n) * sizeof *ids);
        k += picture ? 0 : n;
    }
    ids[k++] = ASSISTANT;
    out->n = k;
    if (strcmp(task, "asr") == 0) return SO_OK;
    for (int64_t i = 0; i < n; i++) text[i] = (words[i] + !aloud) % LETTERS;
    out->n_units = say(text, n, units);
    text[n] = EOT;
    out->n_text = n + 1;
    return SO_OK;
}

typedef struct seen {
    double first, last, text_right, units_right, ctc_right;
} seen;

static void see_progress(void *context, const so_progress *p)
{
    seen *s = ((seen **)context)[1];
    if (s->first == 0) s->first = p->loss;
    s->last = p->loss;
    s->text_right = so_notes_mean(p->notes, "text_right");
    s->units_right = so_notes_mean(p->notes, "units_right");
    s->ctc_right = so_notes_mean(p->notes, "ctc_right");
}

static so_tensor *micro(void *context, so_pass *pass, so_micro *m)
{
    return so_lesson_micro(((void **)context)[0], pass, m);
}

static uint64_t hash_group(const so_store *store, const char *group)
{
    uint64_t h = 1469598103934665603u;
    for (int64_t i = 0; i < store->count; i++) {
        const unsigned char *p = store->weight[i]->tensor.data;
        size_t bytes = (size_t)so_count(&store->weight[i]->tensor) * sizeof(so_real);
        for (size_t k = 0; k < bytes && strcmp(store->weight[i]->group, group) == 0; k++)
            h = (h ^ p[k]) * 1099511628211u;
    }
    return h;
}

static seen teach(school *s, const char *stage, int64_t steps, double rate)
{
    static const char *const groups[] = {"backbone", "bottom", "top", "vision", "projector"};
    so_error error;
    so_optim optim;
    seen result = {0};
    uint64_t before[5];
    s->lesson.stage = so_stage_find(stage);
    assert_non_null(s->lesson.stage);
    s->lesson.source = (so_sample_source){NULL, next_sample};
    for (int i = 0; i < 5; i++) before[i] = hash_group(&s->store, groups[i]);
    CHECK_OK(so_stage_ready(s->lesson.stage, &s->store, &optim, &error), error);
    void *context[] = {&s->lesson, &result};
    so_trainer trainer = {.plan = {.steps = steps, .seed = 1, .report_every = 10, .arena_bytes = (size_t)1 << 30},
                          .hooks = {.context = context, .micro = micro, .progress = see_progress},
                          .player = {&optim},
                          .players = 1};
    so_stage_plan(s->lesson.stage, &trainer.plan);
    trainer.plan.schedule.peak = rate;
    CHECK_OK(so_trainer_run(&trainer, NULL, so_kernels_best(), &error), error);
    for (int i = 0; i < 5; i++) {
        bool learns = false;
        for (int k = 0; k < SO_STAGE_GROUPS && s->lesson.stage->learns[k].group; k++)
            learns |= strcmp(s->lesson.stage->learns[k].group, groups[i]) == 0;
        assert_int_equal(before[i] != hash_group(&s->store, groups[i]), learns);
    }
    if (getenv("SO_VERBOSE"))
        fprintf(stderr, "%s: loss %.3f -> %.3f, right: text %.3f units %.3f ctc %.3f\n", stage, result.first,
                result.last, result.text_right, result.units_right, result.ctc_right);
    assert_true(isfinite(result.last) && result.last < result.first);
    so_optim_close(&optim);
    return result;
}

static void the_three_stages_teach_the_language(void **state)
{
    (void)state;
    school s;
    school_open(&s, SO_FUSE_CROSS);
    assert_true(teach(&s, "text", 150, 5e-3).text_right > 0.4);
    assert_true(teach(&s, "vision-text-scratch", 150, 5e-3).text_right > 0.5);
    assert_true(teach(&s, "hear", 150, 5e-3).ctc_right > 0.9);
    seen spoke = teach(&s, "speech-text", 200, 5e-3);
    assert_true(spoke.units_right > 0.93 && spoke.ctc_right > 0.9);
    assert_true(teach(&s, "tri-modal", 150, 3e-3).text_right > 0.6);
    so_store_close(&s.store);
}

static void the_ablations_learn_too(void **state)
{
    (void)state;
    for (int fuse = SO_FUSE_ADD_INPUT; fuse <= SO_FUSE_ADD_LAYER; fuse++) {
        school s;
        school_open(&s, (so_fuse)fuse);
        s.lesson.window = (so_window){1, 1};
        teach(&s, "hear", 60, 5e-3);
        assert_true(teach(&s, "speak", 100, 5e-3).units_right > 0.9);
        so_store_close(&s.store);
    }
}

/* The test above means something only if units cannot be guessed without the text. */
static void without_the_text_speech_is_guesswork(void **state)
{
    (void)state;
    school s;
    school_open(&s, SO_FUSE_CROSS);
    s.lesson.window = (so_window){5, -100};
    double right = teach(&s, "speak", 150, 5e-3).units_right;
    assert_true(right > 0.3 && right < 0.89);
    so_store_close(&s.store);
}

static void captions_find_their_pictures(void **state)
{
    (void)state;
    school s;
    so_error error;
    school_open(&s, SO_FUSE_CROSS);
    typedef struct pair {
        so_tensor *scale, *bias;
    } pair;
    static const so_bind_row table[] = {{offsetof(pair, scale), "pairs.scale", "1", "pairs", SO_INIT_VALUE, 2.3, false},
                                        {offsetof(pair, bias), "pairs.bias", "1", "pairs", SO_INIT_VALUE, -4, false}};
    pair p;
    so_binder binder = {.store = &s.store};
    CHECK_OK(SO_BIND(&binder, "", 0, table, &p, &error), error);
    s.lesson.pairs_scale = p.scale;
    s.lesson.pairs_bias = p.bias;
    s.lesson.samples = 12;
    seen r = teach(&s, "pairs", 60, 3e-3);
    assert_true(r.last < 0.9 * r.first);
    so_store_close(&s.store);
}

static void stages_are_well_formed(void **state)
{
    (void)state;
    so_rng rng;
    so_rng_init(&rng, 1, 1);
    int n = 0;
    for (; so_stage_at(n); n++) {
        const so_stage *s = so_stage_at(n);
        assert_true(so_stage_find(s->name) == s && s->learns[0].group && s->task[0].name && s->loss[0].name &&
                    s->rate > 0);
        double share = 0;
        for (int i = 0; i < SO_STAGE_TASKS && s->task[i].name; i++) share += s->task[i].share;
        assert_true(fabs(share - 1) < 1e-9);
        int last = 0, draws = 4000;
        for (int i = 0; i < draws; i++) last += strcmp(so_stage_draw(s, &rng), s->task[0].name) == 0;
        assert_true(fabs((double)last / draws - s->task[0].share) < 0.04);
    }
    assert_true(n >= 9 && !so_stage_find("nothing"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alignment_is_the_best_path),
        cmocka_unit_test(greedy_reading_counts_as_generation_does),
        cmocka_unit_test(windows_follow_what_was_heard),
        cmocka_unit_test(stages_are_well_formed),
        cmocka_unit_test(the_three_stages_teach_the_language),
        cmocka_unit_test(the_ablations_learn_too),
        cmocka_unit_test(without_the_text_speech_is_guesswork),
        cmocka_unit_test(captions_find_their_pictures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
