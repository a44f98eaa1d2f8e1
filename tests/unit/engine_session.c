/* Sessions of a toy model: every combination of modalities with sound, streams, stops, history, one file.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "check.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "engine/session.h"
#include "toy.h"

static char folder[] = TOY_FOLDER;
static so_model *model;

static int open_model(void **state) { return (void)state, toy_open(&model, folder, 1, 1024); }
static int close_model(void **state) { return (void)state, toy_close(&model, folder); }

typedef struct told {
    char text[8192], heard[4096];
    int32_t unit[1024];
    float *pcm;
    size_t units, samples, text_end;
    int first_voice_after; /* units told before the first sound */
    bool heard_final;
    so_usage usage;
} told;

static void collect(so_session *s, told *t, double stop_after_s)
{
    so_event e;
    so_error error;
    *t = (told){.first_voice_after = -1};
    for (int steps = 0;; steps++) {
        CHECK_OK(so_next(s, &e, &error), error);
        if (e.kind == SO_EVENT_DONE) break;
        if (e.kind == SO_EVENT_TEXT) strcat(t->text, e.text);
        if (e.kind == SO_EVENT_HEARD) {
            snprintf(t->heard, sizeof t->heard, "%s", e.text);
            t->heard_final = e.final;
        }
        for (size_t i = 0; e.kind == SO_EVENT_UNITS && i < e.n_units; i++) t->unit[t->units++] = e.units[i];
        if (e.kind == SO_EVENT_VOICE) {
            if (t->first_voice_after < 0) t->first_voice_after = (int)t->units;
            assert_true(e.text_begin <= e.text_end && e.text_end >= t->text_end);
            t->text_end = e.text_end;
            assert_float_equal(e.begin_s, (double)t->samples / SO_VOICE_RATE, 1e-9);
            t->pcm = realloc(t->pcm, (t->samples + e.samples) * sizeof *t->pcm);
            memcpy(t->pcm + t->samples, e.pcm, e.samples * sizeof *t->pcm);
            t->samples += e.samples;
        }
        if (stop_after_s > 0 && (double)t->samples / SO_VOICE_RATE >= stop_after_s) so_session_stop(s);
        assert_true(steps < 20000);
    }
    t->usage = e.usage;
}

static void feed_picture(so_session *s)
{
    uint8_t rgb[40 * 30 * 3];
    so_error error;
    for (size_t i = 0; i < sizeof rgb; i++) rgb[i] = (uint8_t)(i * 7 % 251);
    CHECK_OK(so_feed_image(s, rgb, 40, 30, &error), error);
}

static void feed_tone(so_session *s, int rate, double seconds, double silence)
{
    so_error error;
    size_t n = (size_t)(seconds * rate), all = n + (size_t)(silence * rate);
    float *x = calloc(all + 1, sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = 0.3f * sinf((float)i * 0.06f) * sinf((float)(i % 3001) * 0.002f);
    for (size_t at = 0; at < all; at += 777)
        CHECK_OK(so_feed_audio(s, x + at, all - at < 777 ? all - at : 777, rate, &error), error);
    free(x);
}

static void combinations(void **state)
{
    (void)state;
    for (int i = 0; i < 12; i++) { /* picture or none, words or speech or both, text or voice */
        bool picture = i & 1, voice = i & 2, words = i / 4 != 1, speech = i / 4 != 0;
        so_session *s;
        so_error error;
        told t;
        CHECK_OK(so_session_open(&s, model, &(so_session_options){.max_units = 60, .max_text = 40}, &error), error);
        if (picture) feed_picture(s);
        if (words) CHECK_OK(so_feed_text(s, "what color is the star?", &error), error);
        if (speech) feed_tone(s, 22050, 1.3, 0);
        CHECK_OK(so_reply(s, voice ? SO_WANT_TEXT | SO_WANT_VOICE | SO_WANT_UNITS : SO_WANT_TEXT, &error), error);
        collect(s, &t, 0);
        assert_true(t.text[0]);
        assert_int_equal(t.heard_final, speech);
        assert_true(t.usage.total_s > 0 && t.usage.first_text_s > 0 && !t.usage.stopped);
        assert_float_equal((float)t.usage.heard_s, speech ? 1.3f : 0, 0.001);
        if (voice) {
            assert_int_equal(t.units, t.usage.units);
            int64_t frames = so_flow_frames(&model->codec.flow.config, (int64_t)t.units);
            assert_int_equal(t.samples, frames * 256);
            assert_true(t.units < 40 || t.first_voice_after < 40);
        } else {
            assert_int_equal(t.units + t.samples, 0);
        }
        free(t.pcm);
        so_session_close(&s);
    }
}

/* The same conversation in a GGUF file, and with the picture fed after the speech. */
static void one_file_answers_alike(void **state)
{
    (void)state;
    char path[512];
    so_error error;
    so_model *copy;
    told a, b;
    toy_path(path, folder, "model.gguf");
    CHECK_OK(so_model_save(model, path, NULL, &error), error);
    CHECK_OK(so_model_open(&copy, path, &(so_model_options){.threads = 1, .context = 1024}, &error), error);
    so_model_info info;
    so_model_about(copy, &info);
    assert_true(info.speaks && info.takes_audio && info.sees && info.takes_units);
    assert_string_equal(info.name, "toy");
    for (int i = 0; i < 2; i++) {
        so_session *s;
        CHECK_OK(so_session_open(&s, i ? copy : model, &(so_session_options){.max_units = 50, .seed = 3}, &error),
                 error);
        if (!i) feed_picture(s);
        feed_tone(s, 16000, 1, 0);
        if (i) feed_picture(s);
        CHECK_OK(so_reply(s, SO_WANT_TEXT | SO_WANT_VOICE | SO_WANT_UNITS, &error), error);
        collect(s, i ? &b : &a, 0);
        so_session_close(&s);
    }
    assert_string_equal(a.text, b.text);
    assert_string_equal(a.heard, b.heard);
    assert_int_equal(a.samples, b.samples);
    assert_memory_equal(a.unit, b.unit, a.units * sizeof *a.unit);
    check_close("voice", b.pcm, a.pcm, (int64_t)a.samples, 1e-3, 1e-3);
    free(a.pcm);
    free(b.pcm);
    so_model_close(&copy);
}

/* After three turns the stores hold what a computation from nothing gives: the slots are replayed in a second talk. */
static void kept_turns_equal_new_ones(void **state)
{
    (void)state;
    so_session *s;
    so_error error;
    told t;
    so_talk *fresh;
    int64_t speech[2];
    for (int history = 0; history < 2; history++) {
        model->setup.speech_history = history;
        CHECK_OK(so_session_open(&s, model, &(so_session_options){.max_units = 30, .max_text = 15}, &error), error);
        feed_picture(s);
        for (int i = 0; i < 3; i++) {
            if (i != 1) feed_tone(s, 16000, 0.7 + 0.2 * i, 0);
            if (i != 0) CHECK_OK(so_feed_text(s, "where is the cat?", &error), error);
            CHECK_OK(so_reply(s, i == 1 ? SO_WANT_TEXT : SO_WANT_TEXT | SO_WANT_VOICE, &error), error);
            if (i < 2) collect(s, &t, 0);
            if (i < 2) free(t.pcm);
        }
        CHECK_OK(so_talk_open(&fresh, model, &s->talk->options, &error), error);
        memcpy(fresh->vectors, s->talk->vectors, (size_t)(s->talk->n_vectors * 32) * sizeof(so_real));
        fresh->n_vectors = s->talk->n_vectors;
        CHECK_OK(so_talk_sync(fresh, s->slots.slot, s->slots.n, &error), error);
        assert_int_equal(fresh->bottom.len, s->talk->bottom.len);
        assert_int_equal(fresh->backbone.len, s->talk->backbone.len);
        assert_int_equal(fresh->top.len, s->talk->top.len);
        check_close("h", s->talk->h, fresh->h, 32, 1e-4, 1e-4);
        check_close("thought", s->talk->thought, fresh->thought, 32, 1e-4, 1e-4);
        check_close("keys", so_kv_k(&s->talk->backbone, 2), so_kv_k(&fresh->backbone, 2), fresh->backbone.len * 16,
                    1e-4, 1e-4);
        check_close("values", so_kv_v(&s->talk->bottom, 1), so_kv_v(&fresh->bottom, 1), fresh->bottom.len * 16, 1e-4,
                    1e-4);
        speech[history] = fresh->bottom.len;
        so_talk_close(&fresh);
        so_session_close(&s);
    }
    assert_true(speech[0] < speech[1]);
}

static void stopped_answers_are_cut(void **state)
{
    (void)state;
    so_session *s;
    so_error error;
    told t;
    CHECK_OK(so_session_open(&s, model, &(so_session_options){.max_units = 400}, &error), error);
    CHECK_OK(so_feed_text(s, "hello", &error), error);
    CHECK_OK(so_reply(s, SO_WANT_TEXT | SO_WANT_VOICE | SO_WANT_UNITS, &error), error);
    collect(s, &t, 1.0);
    assert_int_equal(t.usage.stopped, 1);
    assert_true(t.usage.units < 400);
    int64_t before = s->slots.n;
    CHECK_OK(so_session_heard(s, 0.4, &error), error);
    assert_true(s->slots.n < before);
    int64_t units = 0;
    for (int64_t i = s->answer_at; i < s->slots.n; i++) units += s->slots.slot[i].where == SO_SLOT_SPEECH;
    assert_true(units >= 10 && units <= 12);
    assert_int_equal(s->slots.slot[s->slots.n - 1].id, model->eot);
    CHECK_OK(so_feed_text(s, "go on", &error), error);
    assert_int_equal(so_session_heard(s, 0.2, &error), SO_ERR_STATE);
    CHECK_OK(so_reply(s, SO_WANT_TEXT, &error), error);
    free(t.pcm);
    collect(s, &t, 0);
    assert_int_equal(t.usage.stopped, 0);
    so_session_close(&s);
}

/* The loop as the paper prints it; a full context ends everything where that is wanted, and a clear heals it. */
static void other_loops_and_limits(void **state)
{
    (void)state;
    so_session *s;
    so_error error;
    told t;
    so_session_options options = {.loop = SO_LOOP_PAPER,
                                  .max_units = 50,
                                  .lookahead = 2,
                                  .window = -1,
                                  .temperature = 0.8,
                                  .top_p = 0.9,
                                  .seed = 11};
    char again[8192];
    for (int i = 0; i < 2; i++) { /* the same seed, the same answer */
        CHECK_OK(so_session_open(&s, model, &options, &error), error);
        feed_tone(s, 8000, 1, 0);
        CHECK_OK(so_reply(s, SO_WANT_TEXT | SO_WANT_UNITS, &error), error);
        collect(s, &t, 0);
        if (i) assert_string_equal(t.text, again);
        strcpy(again, t.text);
        so_session_close(&s);
    }
    options = (so_session_options){.max_text = 300, .on_full = SO_FULL_ERROR};
    CHECK_OK(so_session_open(&s, model, &options, &error), error);
    so_status status = SO_OK;
    for (int i = 0; i < 10 && status == SO_OK; i++) {
        status = so_feed_text(s, "one two three four five", &error);
        if (status == SO_OK) status = so_reply(s, SO_WANT_TEXT, &error);
        if (status == SO_OK) collect(s, &t, 0);
    }
    assert_int_equal(status, SO_ERR_LIMIT);
    CHECK_OK(so_session_clear(s, &error), error);
    CHECK_OK(so_feed_text(s, "hello", &error), error);
    CHECK_OK(so_reply(s, SO_WANT_TEXT, &error), error);
    collect(s, &t, 0);
    so_session_close(&s);
}

static int32_t first_choice; /* the best allowed row of the first logits seen */

static void watch_units(void *context, const char *what, const so_tensor *t)
{
    (void)context;
    if (strcmp(what, "unit_logits") != 0 || first_choice >= 0) return;
    so_real most = -INFINITY;
    for (int64_t i = 0; i < so_cols(t); i++) {
        bool unit = i >= model->first_unit && i < model->first_unit + model->units;
        if ((unit || so_model_stops(model, (int32_t)i)) && so_data(t)[i] > most)
            most = so_data(t)[i], first_choice = (int32_t)i;
    }
}

/* With large rows of text (the toy's are zero) the voice chooses text ids, too, which are told as none. With only_units
 * every choice is a unit or the end. */
static void a_voice_of_units_only(void **state)
{
    (void)state;
    so_tensor *head = model->net.unit_head;
    const so_watch watch = {.tensor = watch_units};
    assert_int_equal(head->type, SO_F32);
    for (int64_t i = 0; i < model->first_unit * so_cols(head); i++) so_data(head)[i] = (so_real)(i * 37 % 17 - 8);
    for (int way = 0; way < 3; way++) {
        so_session *s;
        so_error error;
        told t;
        so_session_options options = {
            .max_units = 80, .only_units = way > 0, .temperature = way == 2 ? 1 : 0, .seed = 5};
        CHECK_OK(so_session_open(&s, model, &options, &error), error);
        if (way == 0) so_talk_watch(s->talk, &watch), first_choice = -1;
        feed_tone(s, 16000, 1, 0);
        CHECK_OK(so_reply(s, SO_WANT_TEXT | SO_WANT_UNITS, &error), error);
        collect(s, &t, 0);
        if (way == 0) assert_true(t.units < (size_t)s->talk->n_units);
        if (way > 0) assert_int_equal(t.units, s->talk->n_units - (s->talk->end == SO_END_STOP));
        if (way == 1) assert_int_equal(t.units ? model->first_unit + t.unit[0] : s->talk->last_unit, first_choice);
        so_session_close(&s);
    }
    for (int64_t i = 0; i < model->first_unit * so_cols(head); i++) so_data(head)[i] = 0;
}

/* ---- memory */

static atomic_long allocations;
static atomic_int counting;

static inline void *counted(size_t bytes)
{
    static void *(*real)(size_t);
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, "malloc");
    if (atomic_load(&counting)) atomic_fetch_add(&allocations, 1);
    return real(bytes);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
void *malloc(size_t bytes) { return counted(bytes); }
void *realloc(void *old, size_t bytes)
{
    static void *(*real)(void *, size_t);
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, "realloc");
    if (atomic_load(&counting)) atomic_fetch_add(&allocations, 1);
    return real(old, bytes);
}
#endif

static void answering_allocates_nothing(void **state)
{
    (void)state;
    so_session *s;
    so_error error;
    so_event e;
    int32_t units[20];
    for (int i = 0; i < 20; i++) units[i] = i * 3;
    CHECK_OK(so_session_open(&s, model, &(so_session_options){.max_units = 60}, &error), error);
    for (int round = 0; round < 2; round++) {
        /* The first round fills what the text floor keeps (ids of the transcript). */
        atomic_store(&allocations, 0);
        atomic_store(&counting, round);
        CHECK_OK(so_feed_units(s, units, 20, &error), error);
        CHECK_OK(so_reply(s, SO_WANT_TEXT | SO_WANT_VOICE | SO_WANT_UNITS, &error), error);
        do CHECK_OK(so_next(s, &e, &error), error);
        while (e.kind != SO_EVENT_DONE);
        atomic_store(&counting, 0);
    }
    assert_int_equal(atomic_load(&allocations), 0);
    so_session_close(&s);
}

/* After a crew's sessions are open, it computes for them without a word to the heap. */
static void a_crew_allocates_nothing(void **state)
{
    (void)state;
    so_crew *crew;
    so_session *s[3];
    so_error error;
    so_event e;
    int32_t units[20];
    int made, busy;
    for (int i = 0; i < 20; i++) units[i] = i * 3;
    CHECK_OK(so_crew_open(&crew, model, NULL, &error), error);
    for (int i = 0; i < 3; i++)
        CHECK_OK(so_crew_session(crew, &s[i], &(so_session_options){.max_units = 60}, &error), error);
    for (int round = 0; round < 2; round++) {
        atomic_store(&allocations, 0);
        atomic_store(&counting, round);
        for (int i = 0; i < 3; i++) {
            CHECK_OK(so_feed_units(s[i], units, 20, &error), error);
            CHECK_OK(so_reply(s[i], SO_WANT_TEXT | SO_WANT_VOICE | SO_WANT_UNITS, &error), error);
        }
        for (int done = 0; done < 3;) {
            CHECK_OK(so_crew_step(crew, &busy, &error), error);
            CHECK_OK(so_crew_speak(crew, &made, &error), error);
            for (int i = 0; i < 3; i++) {
                do CHECK_OK(so_next(s[i], &e, &error), error);
                while (e.kind != SO_EVENT_NONE && e.kind != SO_EVENT_DONE);
                done += e.kind == SO_EVENT_DONE;
            }
        }
        atomic_store(&counting, 0);
    }
    assert_int_equal(atomic_load(&allocations), 0);
    for (int i = 0; i < 3; i++) so_session_close(&s[i]);
    so_crew_close(&crew);
}

/* When the backbone reads what is heard is a property of the session, by itself chosen from the model's measured speed;
 * what it has read in the end is the same. */
static void thinking_is_a_matter_of_when(void **state)
{
    (void)state;
    enum { WIDTH = 32 };
    so_session *s[2];
    so_error error;
    told t[2];
    long speed = model->positions_per_s;
    for (int late = 0; late < 2; late++) {
        model->positions_per_s = late ? SO_THINKING / 2 : SO_THINKING * 2;
        CHECK_OK(so_session_open(&s[late], model, &(so_session_options){.max_text = 20}, &error), error);
        assert_int_equal(so_session_thinks(s[late]), !late);
        so_session_close(&s[late]);
    }
    model->positions_per_s = speed;
    for (int late = 0; late < 2; late++) {
        so_session_options options = {.max_text = 20, .think = late ? -1 : 1};
        CHECK_OK(so_session_open(&s[late], model, &options, &error), error);
        feed_tone(s[late], 16000, 2, 0);
    }
    assert_true(s[0]->talk->backbone.len > s[1]->talk->backbone.len);
    for (int late = 0; late < 2; late++)
        CHECK_OK(so_reply_with(s[late], SO_WANT_TEXT, &(so_reply_options){.answer_silence = 1}, &error), error);
    assert_int_equal(s[0]->talk->backbone.len, s[1]->talk->backbone.len);
    check_close("thought", s[1]->talk->thought, s[0]->talk->thought, WIDTH, 1e-4, 1e-4);
    for (int late = 0; late < 2; late++) {
        collect(s[late], &t[late], 0);
        so_session_close(&s[late]);
    }
    assert_string_equal(t[0].heard, t[1].heard);
}

static void the_end_of_speech_is_noticed(void **state)
{
    (void)state;
    so_session *s;
    so_error error;
    CHECK_OK(so_session_open(&s, model, &(so_session_options){.patience = 0.4}, &error), error);
    assert_int_equal(so_heard_end(s), 0);
    feed_tone(s, 16000, 1, 0);
    assert_int_equal(so_heard_end(s), 0);
    so_session_close(&s);
}

/* Silence before speech is dropped, a pause within it is not, and of that behind it 200 ms are left. */
static void the_gate_trims_silence(void **state)
{
    (void)state;
    enum { N = 16000 };
    static float quiet[N];
    so_ear *a, *b;
    so_error error;
    bool news;
    float *x = malloc(N * sizeof *x);
    for (int i = 0; i < N; i++) {
        x[i] = 0.3f * sinf((float)i * 0.06f) * sinf((float)(i % 3001) * 0.002f);
        quiet[i] = 1e-4f * sinf((float)i);
    }
    x[0] = 0.3f;
    so_codec codec = model->codec;
    codec.trims = true;
    CHECK_OK(so_ear_open(&a, &codec, NULL, &(so_site){.kernels = model->kernels}, 20, &error), error);
    CHECK_OK(so_ear_open(&b, &model->codec, NULL, &(so_site){.kernels = model->kernels}, 20, &error), error);
    for (int at = 0; at < 8000; at += 80) CHECK_OK(so_ear_feed(a, quiet + at, 80, 16000, &news, &error), error);
    assert_int_equal(a->n, 0);
    for (int part = 0; part < 2; part++) {
        CHECK_OK(so_ear_feed(a, x, N, 16000, &news, &error), error);
        CHECK_OK(so_ear_feed(b, x, N, 16000, &news, &error), error);
        CHECK_OK(so_ear_feed(a, quiet, N, 16000, &news, &error), error);
        CHECK_OK(so_ear_feed(b, quiet, part ? 3200 : N, 16000, &news, &error), error);
        assert_true(a->quiet_s > 0.9);
    }
    CHECK_OK(so_ear_finish(a, &error), error);
    CHECK_OK(so_ear_finish(b, &error), error);
    assert_int_equal(a->lead, 8000);
    assert_int_equal(a->n, b->n);
    assert_memory_equal(a->units, b->units, (size_t)a->n * sizeof *a->units);
    so_ear_reset(a);
    CHECK_OK(so_ear_feed(a, quiet, N, 16000, &news, &error), error);
    CHECK_OK(so_ear_finish(a, &error), error);
    so_ear_close(&a);
    so_ear_close(&b);
    free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(combinations),
        cmocka_unit_test(one_file_answers_alike),
        cmocka_unit_test(kept_turns_equal_new_ones),
        cmocka_unit_test(stopped_answers_are_cut),
        cmocka_unit_test(other_loops_and_limits),
        cmocka_unit_test(a_voice_of_units_only),
        cmocka_unit_test(thinking_is_a_matter_of_when),
        cmocka_unit_test(the_end_of_speech_is_noticed),
        cmocka_unit_test(the_gate_trims_silence),
        cmocka_unit_test(answering_allocates_nothing),
        cmocka_unit_test(a_crew_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
