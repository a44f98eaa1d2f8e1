/* Conversations on a device answer as on the host, to the id: a toy on fibers, whose addresses no host can follow, in
 * every combination of words, pictures and speech; the shipped model over Vulkan, where there is a device. What a unit
 * costs in launches and in waits of the host is counted.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "check.h"

#include <sys/wait.h>

#include "backend/device.h"
#include "backend/gpu/fibers/fiber_device.h"
#include "backend/gpu/launch.h"
#include "base/quantise.h"
#include "card.h"
#include "engine/step.h"
#include "nn/ops_conv.h"
#include "plan/plan.h"
#include "toy.h"

enum { MOST_UNITS = 200 };

typedef struct told {
    char text[4096], heard[2048];
    int32_t unit[MOST_UNITS];
    size_t units;
    so_usage usage;
} told;

static char folder[] = TOY_FOLDER;
static so_model *host;

static void take_all(so_session *s, told *t)
{
    so_event e = {.kind = SO_EVENT_NONE};
    so_error error;
    while (e.kind != SO_EVENT_DONE) {
        CHECK_OK(so_next(s, &e, &error), error);
        if (e.kind == SO_EVENT_TEXT) strcat(t->text, e.text);
        if (e.kind == SO_EVENT_HEARD) snprintf(t->heard, sizeof t->heard, "%s", e.text);
        for (size_t i = 0; e.kind == SO_EVENT_UNITS && i < e.n_units; i++) t->unit[t->units++] = e.units[i];
        if (e.kind == SO_EVENT_DONE) t->usage = e.usage;
    }
}

/* So many turns; bit 0 of `kind` a picture, bit 1 speech, bit 2 a voice, bit 3 units alone, sampled when bit 4 is set.
 */
static void talk(so_model *model, int kind, int turns, told *out)
{
    so_error error;
    so_session *s;
    int most = turns > 1 ? 6 : 3;
    so_session_options o = {.max_text = most, .max_units = most, .seed = 3, .only_units = (kind & 8) != 0};
    o.think = -1;
    o.temperature = kind & 16 ? 0.8 : 0;
    memset(out, 0, sizeof *out);
    CHECK_OK(so_session_open(&s, model, &o, &error), error);
    for (int turn = 0; turn < turns; turn++) {
        uint8_t rgb[24 * 24 * 3];
        int32_t units[12];
        for (size_t k = 0; k < sizeof rgb; k++) rgb[k] = (uint8_t)(k * (size_t)(7 + kind + turn) % 251);
        for (int k = 0; k < 12; k++) units[k] = (k * 7 + kind) % 8;
        if (kind & 1) CHECK_OK(so_feed_image(s, rgb, 24, 24, &error), error);
        if (kind & 2)
            CHECK_OK(so_feed_units(s, units, 12, &error), error);
        else
            CHECK_OK(so_feed_text(s, turn ? "hello" : "where is the cat?", &error), error);
        CHECK_OK(so_reply(s, SO_WANT_TEXT | (kind & 4 ? SO_WANT_UNITS : 0), &error), error);
        take_all(s, out);
    }
    so_session_close(&s);
}

static void same(const char *what, int kind, const told *got, const told *want)
{
    if (strcmp(got->text, want->text) != 0 || strcmp(got->heard, want->heard) != 0)
        fail_msg("%s, kind %d: '%s' heard '%s', expected '%s' heard '%s'", what, kind, got->text, got->heard,
                 want->text, want->heard);
    assert_int_equal(got->units, want->units);
    assert_memory_equal(got->unit, want->unit, got->units * sizeof *got->unit);
}

static so_model *on_fibers(const char *path, int subgroup, const so_model_options *options)
{
    so_error error;
    so_device *d;
    so_model *m;
    CHECK_OK(so_fibers_open(&d, &(so_fibers_options){.subgroup = subgroup, .seed = 5}, &error), error);
    CHECK_OK(so_model_open_on(&m, path, options, d, &error), error);
    return m;
}

static void a_toy_on_fibers_answers_as_on_the_host(void **state)
{
    (void)state;
    static const int kinds[] = {0, 7, 4, 14, 6, 28};
    static const int subgroup[] = {8, 32};
    static told want, got;
    for (int d = 0; d < 2; d++) {
        so_model *m = on_fibers(folder, subgroup[d], &(so_model_options){.threads = 1, .context = 512});
        so_model_info about;
        so_model_about(m, &about);
        assert_non_null(strstr(about.device, "fibers"));
        for (size_t i = (size_t)d; i < sizeof kinds / sizeof *kinds; i += 2) {
            talk(host, kinds[i], 2, &want);
            talk(m, kinds[i], 2, &got);
            same("fibers", kinds[i], &got, &want);
        }
        so_model_close(&m);
    }
}

/* Listening and the voice stay on the host; sessions of a crew share a worker of the device; branches copy stores. */
static void a_crew_and_branches_work_on_a_device(void **state)
{
    (void)state;
    static told want, got[2];
    so_error error;
    so_model *m = on_fibers(folder, 8, &(so_model_options){.threads = 1, .context = 256});
    so_crew *crew;
    so_session *s[2];
    so_session_options o = {.max_text = 6, .max_units = 6};
    CHECK_OK(so_session_open(&s[0], host, &o, &error), error);
    CHECK_OK(so_feed_text(s[0], "where is the cat?", &error), error);
    CHECK_OK(so_reply(s[0], SO_WANT_TEXT | SO_WANT_UNITS, &error), error);
    memset(&want, 0, sizeof want);
    memset(got, 0, sizeof got);
    take_all(s[0], &want);
    so_session_close(&s[0]);
    CHECK_OK(so_crew_open(&crew, m, &(so_crew_options){.sessions = 2, .voices = 1}, &error), error);
    CHECK_OK(so_crew_session(crew, &s[0], &o, &error), error);
    CHECK_OK(so_feed_text(s[0], "where is the cat?", &error), error);
    CHECK_OK(so_session_fork(&s[1], s[0], &error), error);
    for (int i = 0; i < 2; i++) CHECK_OK(so_reply(s[i], SO_WANT_TEXT | SO_WANT_UNITS, &error), error);
    for (int i = 0, done = 0; done < 2 && i < 400; i++) {
        CHECK_OK(so_crew_step(crew, NULL, &error), error);
        for (int k = 0; k < 2; k++) {
            so_event e = {.kind = SO_EVENT_TEXT};
            while (e.kind != SO_EVENT_NONE) {
                CHECK_OK(so_next(s[k], &e, &error), error);
                if (e.kind == SO_EVENT_FAILED) fail_msg("%s", e.text);
                if (e.kind == SO_EVENT_TEXT) strcat(got[k].text, e.text);
                for (size_t u = 0; e.kind == SO_EVENT_UNITS && u < e.n_units; u++)
                    got[k].unit[got[k].units++] = e.units[u];
                done += e.kind == SO_EVENT_DONE;
            }
        }
    }
    for (int k = 0; k < 2; k++) {
        same("crew", k, &got[k], &want);
        so_session_close(&s[k]);
    }
    so_crew_close(&crew);
    so_model_close(&m);
}

/* Weights lie in blocks; one that is larger than a block has one of its own. */
static void a_weight_may_be_larger_than_a_block(void **state)
{
    (void)state;
    static told want, got;
    so_error error;
    so_device *d;
    so_model *m;
    so_device_counts counts;
    so_fibers_options o = {.subgroup = 8, .seed = 2, .largest = 8 << 10};
    CHECK_OK(so_fibers_open(&d, &o, &error), error);
    CHECK_OK(so_model_open_on(&m, folder, &(so_model_options){.threads = 1, .context = 256}, d, &error), error);
    so_device_count(d, &counts);
    assert_true(counts.reserved > o.largest);
    talk(host, 5, 1, &want);
    talk(m, 5, 1, &got);
    same("small blocks", 5, &got, &want);
    so_model_close(&m);
}

/* Layers of the backbone that stay on the host, with their keys and values, in two turns and a branch. */
static void layers_may_stay_on_the_host(void **state)
{
    (void)state;
    static told want, got;
    so_error error;
    so_model *m = on_fibers(folder, 8, &(so_model_options){.threads = 1, .context = 512, .device_layers = 1});
    so_model_info about;
    so_model_about(m, &about);
    assert_int_equal(about.device_layers, 1);
    static const int kinds[] = {7, 12};
    for (int i = 0; i < 2; i++) {
        talk(host, kinds[i], 2, &want);
        talk(m, kinds[i], 2, &got);
        same("layers of the host", kinds[i], &got, &want);
    }
    so_session *s[2];
    so_session_options o = {.max_text = 4};
    CHECK_OK(so_session_open(&s[0], m, &o, &error), error);
    CHECK_OK(so_feed_text(s[0], "where is the cat?", &error), error);
    CHECK_OK(so_reply(s[0], SO_WANT_TEXT, &error), error);
    memset(&want, 0, sizeof want);
    memset(&got, 0, sizeof got);
    take_all(s[0], &want);
    CHECK_OK(so_session_fork(&s[1], s[0], &error), error);
    for (int i = 0; i < 2; i++) {
        CHECK_OK(so_feed_text(s[i], "hello", &error), error);
        CHECK_OK(so_reply(s[i], SO_WANT_TEXT, &error), error);
        take_all(s[i], i ? &got : &want);
    }
    assert_non_null(strstr(want.text, got.text));
    for (int i = 0; i < 2; i++) so_session_close(&s[i]);
    so_model_close(&m);
}

static void what_a_device_cannot_do_is_said(void **state)
{
    (void)state;
    so_error error = {0};
    so_model *m = on_fibers(folder, 8, &(so_model_options){.threads = 1, .context = 64});
    assert_int_equal(so_model_save(m, "/tmp/never", NULL, &error), SO_ERR_STATE);
    assert_non_null(strstr(error.text, "fibers:8"));
    so_model_close(&m);
    assert_int_not_equal(so_model_open(&m, folder, &(so_model_options){.device = "tpu"}, &error), SO_OK);
    assert_null(m);
}

/* Nothing is computed elsewhere in silence: an op whose loops are the host's, and a kernel that a device's table lacks,
 * are errors that name them. */
static void what_a_device_has_no_kernel_for_is_named(void **state)
{
    (void)state;
    enum { ROWS = 4, COLS = 6 };
    so_error error = {0};
    so_device *d;
    so_worker worker;
    float x[ROWS * COLS] = {0};
    CHECK_OK(so_fibers_open(&d, &(so_fibers_options){.subgroup = 8}, &error), error);
    so_kernels lacking = *so_device_kernels(d, false);
    lacking.time_conv = NULL;
    so_site place = {d, &lacking, NULL, NULL};
    CHECK_OK(so_worker_open_on(&worker, &place, (so_need){1 << 20, 1 << 20, 0}, &error), error);
    so_pass *pass = so_worker_begin(&worker);
    assert_null(so_column_stats(pass, so_constant(pass, 2, (int64_t[]){ROWS, COLS}, x)));
    assert_int_equal(so_worker_end(&worker, &error), SO_ERR_UNSUPPORTED);
    assert_non_null(strstr(error.text, "'column_stats' is not for fibers:8"));
    pass = so_worker_begin(&worker);
    so_tensor *w = so_constant(pass, 3, (int64_t[]){2, COLS, 1}, x);
    so_conv1d(pass, so_constant(pass, 3, (int64_t[]){1, ROWS, COLS}, x), w, NULL,
              (so_conv1){.stride = 1, .dilation = 1});
    assert_int_equal(so_worker_end(&worker, &error), SO_ERR_UNSUPPORTED);
    assert_non_null(strstr(error.text, "no kernel time_conv"));
    so_worker_clear(&worker);
    so_device_close(&d);
}

/* A device of so many bytes, scratch and shared memory of its own among them. */
static so_status on_small(size_t memory, int context, so_model **m, so_error *error)
{
    so_device *d;
    so_fibers_options o = {.subgroup = 8, .memory = memory};
    CHECK_OK(so_fibers_open(&d, &o, error), *error);
    return so_model_open_on(m, folder, &(so_model_options){.threads = 1, .context = context}, d, error);
}

static void too_little_memory_is_told_before_it_is_taken(void **state)
{
    (void)state;
    enum { OWN = 9 << 20, CONTEXT = 512 };
    so_error error = {0};
    so_model *m;
    so_session *s;
    assert_int_equal(on_small(OWN + 4096, CONTEXT, &m, &error), SO_ERR_NOMEM);
    assert_non_null(strstr(error.text, "for weights"));
    assert_null(m);
    m = on_fibers(folder, 8, &(so_model_options){.threads = 1, .context = CONTEXT});
    so_device_counts counts;
    so_device_count(m->device, &counts);
    size_t weights = counts.reserved;
    CHECK_OK(so_session_open(&s, m, NULL, &error), error);
    so_device_count(m->device, &counts);
    size_t whole = counts.reserved;
    so_device_plan plan;
    CHECK_OK(so_plan_device(m, NULL, &plan, &error), error);
    assert_int_equal(plan.all - plan.weights - plan.codec, whole - weights); /* as was foretold, to the byte */
    assert_int_equal(plan.weights + plan.codec, weights - OWN + (1 << 20));
    so_session_close(&s);
    so_device_count(m->device, &counts);
    assert_int_equal(counts.reserved, weights); /* all of a session comes back */
    so_model_close(&m);
    assert_int_equal(on_small(whole + (1 << 20), 4096, &m, &error), SO_ERR_NOMEM);
    assert_non_null(strstr(error.text, "--context"));
    /* As much as was taken is enough, to the byte; less is told when a session opens. */
    CHECK_OK(on_small(whole + (1 << 20), CONTEXT, &m, &error), error);
    CHECK_OK(so_session_open(&s, m, NULL, &error), error);
    so_session *more;
    assert_int_equal(so_session_open(&more, m, NULL, &error), SO_ERR_NOMEM);
    so_session_close(&s);
    so_model_close(&m);
}

/* A device that is lost fails what computes on it, with a message; others go on, and everything closes. */
static void a_lost_device_fails_its_sessions_only(void **state)
{
    (void)state;
    so_error error = {0};
    so_event e = {.kind = SO_EVENT_NONE};
    so_model *m = on_fibers(folder, 8, &(so_model_options){.threads = 1, .context = 128});
    so_session *s;
    CHECK_OK(so_session_open(&s, m, &(so_session_options){.max_text = 6}, &error), error);
    CHECK_OK(so_feed_text(s, "hello", &error), error);
    CHECK_OK(so_reply(s, SO_WANT_TEXT, &error), error);
    so_gpu_fail(m->device, SO_ERR_IO, "the device is lost");
    so_status status = SO_OK;
    for (int i = 0; i < 20 && status == SO_OK && e.kind != SO_EVENT_DONE; i++) status = so_next(s, &e, &error);
    assert_int_equal(status, SO_ERR_IO);
    assert_non_null(strstr(error.text, "fibers:8: the device is lost"));
    so_session_close(&s);
    so_model_close(&m);
    static told t;
    talk(host, 0, 1, &t);
    assert_true(t.text[0] != 0);
}

/* ---- over Vulkan */

/* Two processes on one device at a time: both answer as the host does. Neither Vulkan nor a thread of it is in this
 * process before they begin. */
static void two_processes_share_a_device(void **state)
{
    (void)state;
    static told want, got;
    pid_t child[2];
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    fprintf(stderr,
            "# SKIP: two processes over Vulkan: its drivers do not free what they hold, which sanitizers tell\n");
    skip();
#endif
    talk(host, 4, 1, &want);
    for (int i = 0; i < 2; i++) {
        child[i] = fork();
        if (child[i]) continue;
        so_error error = {0};
        so_model *m;
        so_model_options o = {.threads = 1, .context = 256, .device = card_name()};
        if (so_model_open(&m, folder, &o, &error) != SO_OK) {
            fprintf(stderr, "# %s\n", error.text);
            _exit(77);
        }
        talk(m, 4, 1, &got);
        so_model_close(&m);
        _exit(strcmp(got.text, want.text) != 0 || got.units != want.units ||
              memcmp(got.unit, want.unit, got.units * sizeof *got.unit) != 0);
    }
    int gone = 0;
    for (int i = 0; i < 2; i++) {
        int status = 1;
        assert_true(child[i] > 0 && waitpid(child[i], &status, 0) == child[i]);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
            gone++;
        else
            assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    if (gone == 2) {
        card_absent("two processes", "there is no device");
        skip();
    }
    assert_int_equal(gone, 0);
}

static void the_shipped_model_over_vulkan(void **state)
{
    (void)state;
    static const int kinds[] = {1, 14, 0, 2, 3, 4, 5, 6, 7, 12, 15, 28};
    const size_t count = getenv("SO_THOROUGH") ? sizeof kinds / sizeof *kinds : 2;
    static told want, got;
    so_error error = {0};
    so_model *cpu, *card;
    const char *path = SO_SOURCE_DIR "/models/tabletop.gguf";
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    fprintf(stderr, "# SKIP: a model over Vulkan: its drivers do not free what they hold, which sanitizers tell\n");
    skip();
#endif
    so_model_options o = {.context = 512, .precision = SO_PRECISION_EXACT};
    CHECK_OK(so_model_open(&cpu, path, &o, &error), error);
    o.device = card_name();
    if (so_model_open(&card, path, &o, &error) != SO_OK) {
        so_model_close(&cpu);
        card_absent("a model", error.text);
        skip();
    }
    for (size_t i = 0; i < count; i++) {
        talk(cpu, kinds[i], 1, &want);
        talk(card, kinds[i], 1, &got);
        same("vulkan", kinds[i], &got, &want);
    }
    so_model_close(&card);
    so_model_close(&cpu);
}

/* A conversation that has heard 12 units, about to answer with a voice. */
static so_talk *about_to_speak(const so_model *m, int units, int text)
{
    so_error error;
    so_talk *t;
    so_talk_options o = {.context = 128, .speaks = true, .max_units = units, .max_text = text};
    CHECK_OK(so_talk_open(&t, m, &o, &error), error);
    so_slot slot[12];
    for (int i = 0; i < 12; i++) slot[i] = (so_slot){m->first_unit + i % 8, SO_SLOT_SPEECH | SO_SLOT_EXPECT};
    CHECK_OK(so_talk_sync(t, slot, 12, &error), error);
    CHECK_OK(so_talk_begin(t, true, &error), error);
    return t;
}

static void same_step(const so_made *got, const so_made *want)
{
    assert_int_equal(got->kind, want->kind);
    assert_int_equal(got->id, want->id);
    assert_int_equal(got->stop, want->stop);
    assert_int_equal(got->position, want->position);
}

/* Text runs ahead of speech: tokens that are due together are read together, and later ones come with a unit's read, so
 * that an answer waits hardly more often than it has units. What is made, and when, is what the host makes. */
static void text_runs_ahead_of_speech(void **state)
{
    (void)state;
    enum { UNITS = 60, FIRST = 16 };
    so_error error;
    so_model *m = on_fibers(folder, 8, &(so_model_options){.threads = 1, .context = 128});
    so_talk *here = about_to_speak(host, UNITS, 40), *there = about_to_speak(m, UNITS, 40);
    int64_t units = 0, text = 0, waited = 0;
    for (so_made want = {0}, got; want.kind != SO_STEP_END;) {
        so_device_counts before, after;
        CHECK_OK(so_talk_step(here, &want, &error), error);
        so_device_count(m->device, &before);
        CHECK_OK(so_talk_step(there, &got, &error), error);
        so_device_count(m->device, &after);
        same_step(&got, &want);
        assert_int_equal(here->backbone.len, there->backbone.len);
        int64_t waits = after.waits - before.waits;
        if (got.kind == SO_STEP_UNIT) assert_int_equal(waits, 1);
        assert_true(waits <= 1);
        if (got.kind == SO_STEP_TEXT && there->n_units > FIRST) {
            text++;
            waited += waits;
        }
        units += got.kind == SO_STEP_UNIT;
        if (there->n_text == 1) assert_int_equal(there->n_next, 2); /* the lookahead: three at once */
    }
    assert_true(units > FIRST && text > 0);
    assert_int_equal(waited, 0);
    assert_memory_equal(here->read, there->read, (size_t)here->backbone.len * sizeof *here->read);
    so_talk_close(&here);
    so_talk_close(&there);
    so_model_close(&m);
}

/* Tokens at hand go when the text is cut, and when another model's token takes the place of the next. */
static void text_at_hand_is_dropped(void **state)
{
    (void)state;
    enum { UNITS = 40 };
    so_error error;
    so_model *m = on_fibers(folder, 8, &(so_model_options){.threads = 1, .context = 128});
    for (int cut = 0; cut < 2; cut++) {
        so_talk *here = about_to_speak(host, UNITS, 40), *there = about_to_speak(m, UNITS, 40);
        bool dropped = false;
        for (so_made want = {0}, got; want.kind != SO_STEP_END;) {
            CHECK_OK(so_talk_step(here, &want, &error), error);
            CHECK_OK(so_talk_step(there, &got, &error), error);
            same_step(&got, &want);
            if (dropped || !there->n_next || (cut && there->n_units < 20)) continue;
            dropped = true;
            if (cut) {
                so_talk_cut(here, here->n_text);
                so_talk_cut(there, there->n_text);
            } else {
                so_made other = {SO_STEP_TEXT, there->next_text[0] ? 0 : 1, false, 0};
                CHECK_OK(so_talk_take(here, &other, &error), error);
                CHECK_OK(so_talk_take(there, &other, &error), error);
            }
            assert_int_equal(there->n_next, 0);
        }
        assert_true(dropped);
        assert_int_equal(here->backbone.len, there->backbone.len);
        so_talk_close(&here);
        so_talk_close(&there);
    }
    so_model_close(&m);
}

/* A step of a spoken answer waits for the device once, whatever it makes, and launches 8 kernels a layer (5 more where
 * text is taken in) and some around the stacks. */
static void a_unit_waits_once(void **state)
{
    (void)state;
    so_error error;
    so_model *m = on_fibers(folder, 8, &(so_model_options){.threads = 1, .context = 128});
    so_talk *t = about_to_speak(m, 20, 20);
    int units = 0;
    for (int i = 0; i < 12; i++) {
        so_device_counts before, after;
        so_made made;
        int64_t known = t->n_text + t->n_next;
        so_device_count(m->device, &before);
        CHECK_OK(so_talk_step(t, &made, &error), error);
        so_device_count(m->device, &after);
        if (made.kind == SO_STEP_END) break;
        int64_t named = t->n_text + t->n_next - known; /* text tokens; none, where one was at hand */
        assert_int_equal(after.waits - before.waits, named || made.kind == SO_STEP_UNIT);
        /* 3 layers of the backbone write; 2 that take text in speak, and 2 hear the unit at once. */
        int64_t most = (8 * 3 + 6) * named + (made.kind == SO_STEP_UNIT ? (8 + 5) * 2 + 7 + 8 * 2 + 5 : 0);
        assert_true(after.launches - before.launches <= most);
        units += made.kind == SO_STEP_UNIT;
    }
    assert_true(units > 0);
    so_talk_close(&t);
    so_model_close(&m);
}

/* ---- one layer in int8 */

enum { WIDTH = 256, FF = 512, KV = 128 };

/* Where a layer is: the device's memory, or the host's. */
typedef struct layer_place {
    so_device *device;
    so_worker worker;
    so_llama net;
    so_llama_layer layer;
    so_tensor weight[9];
    double freq[32];
    void *memory[10];
} layer_place;

static void *placed(layer_place *p, int i, const void *from, size_t bytes)
{
    so_error error;
    if (p->device)
        CHECK_OK(so_device_reserve(p->device, bytes, &p->memory[i], &error), error);
    else
        p->memory[i] = aligned_alloc(64, (bytes + 63) / 64 * 64);
    so_device_write(p->device, p->memory[i], from, bytes);
    return p->memory[i];
}

/* Weight i, [n, k] in q8_0; with k 0 a norm of n numbers. */
static so_tensor *weight_at(layer_place *p, int i, int64_t n, int64_t k)
{
    so_rng rng;
    so_error error;
    float row[FF];
    unsigned char *all = malloc((size_t)n * FF * 4);
    so_rng_init(&rng, (uint64_t)i, 3);
    size_t one = k ? so_type_bytes(SO_Q8_0, k) : 4;
    for (int64_t r = 0; r < n; r++) {
        for (int64_t c = 0; c < (k ? k : 1); c++)
            row[c] = (float)(so_rng_normal(&rng) * (k ? 0.06 : 0.1)) + (k ? 0 : 1);
        if (k)
            CHECK_OK(so_quantise_row(SO_Q8_0, row, k, all + (size_t)r * one, &error), error);
        else
            memcpy(all + (size_t)r * one, row, one);
    }
    p->weight[i] = (so_tensor){.type = k ? SO_Q8_0 : SO_F32, .n_dims = k ? 2 : 1, .dim = {n, k}};
    p->weight[i].data = placed(p, i, all, (size_t)n * one);
    free(all);
    return &p->weight[i];
}

/* What the layer makes of two rows, one after the other; *launches: of the second. */
static void run_layer_at(layer_place *p, const so_kernels *kernels, float *out, int64_t *launches)
{
    so_error error;
    so_site place = {p->device, kernels, NULL, NULL};
    float x[2][WIDTH];
    CHECK_OK(so_worker_open_on(&p->worker, &place, (so_need){16 << 20, 4 << 20, 0}, &error), error);
    p->layer = (so_llama_layer){weight_at(p, 0, WIDTH, 0),  weight_at(p, 1, WIDTH, WIDTH), weight_at(p, 2, KV, WIDTH),
                                weight_at(p, 3, KV, WIDTH), weight_at(p, 4, WIDTH, WIDTH), weight_at(p, 5, WIDTH, 0),
                                weight_at(p, 6, FF, WIDTH), weight_at(p, 7, FF, WIDTH),    weight_at(p, 8, WIDTH, FF)};
    p->net = (so_llama){.config = {WIDTH, 4, 2, 64, FF, 1e-5, 10000, 0, 0, 0, 0}, .name = "one", .layers = 1};
    p->net.layer = &p->layer;
    p->net.freq = p->freq;
    for (int i = 0; i < 32; i++) p->freq[i] = pow(10000, -i / 32.0);
    size_t bytes = so_kv_bytes(SO_F16, 1, KV, 8);
    void *zeros = calloc(1, bytes);
    so_kv kv = {
        .data = placed(p, 9, zeros, bytes), .type = SO_F16, .layers = 1, .width = KV, .capacity = 8, .split = 1};
    free(zeros);
    for (int i = 0; i < 2 * WIDTH; i++) x[i / WIDTH][i % WIDTH] = (float)sin(0.7 * i);
    for (int step = 0; step < 2; step++) {
        so_device_counts before = {0}, after = {0};
        so_pass *pass = so_worker_begin(&p->worker);
        so_batch *batch = so_batch_one(pass, 1, &kv);
        so_tensor *t = so_constant(pass, 2, (int64_t[]){1, WIDTH}, x[step]);
        if (p->device) so_device_count(p->device, &before);
        t = so_llama_layers(pass, &p->net, t, batch, 0, 1);
        if (p->device) so_device_count(p->device, &after);
        const float *y = so_read(pass, t);
        CHECK_OK(so_worker_end(&p->worker, &error), error);
        memcpy(out, y, WIDTH * sizeof *out);
        so_batch_advance(batch);
        *launches = after.launches - before.launches;
    }
    so_worker_clear(&p->worker);
    for (int i = 0; i < 10; i++) {
        if (p->device)
            so_device_release(p->device, p->memory[i]);
        else
            free(p->memory[i]);
    }
}

/* Eight launches a layer of few rows, in int8 as well: what attention and the gated product make comes rounded. */
static void a_layer_in_int8_launches_eight(void **state)
{
    (void)state;
    static layer_place here, there;
    so_error error;
    float want[WIDTH], got[WIDTH];
    int64_t launches;
    CHECK_OK(so_fibers_open(&there.device, &(so_fibers_options){.subgroup = 32, .seed = 9}, &error), error);
    run_layer_at(&there, so_device_kernels(there.device, true), got, &launches);
    assert_int_equal(launches, 8);
    run_layer_at(&here, so_kernels_best()->with_int8, want, &launches);
    check_close("a layer", got, want, WIDTH, 0.05, 0.01);
    so_device_close(&there.device);
}

static int open_host(void **state) { return (void)state, toy_open(&host, folder, 1, 512); }
static int close_host(void **state) { return (void)state, toy_close(&host, folder); }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_toy_on_fibers_answers_as_on_the_host),
        cmocka_unit_test(a_crew_and_branches_work_on_a_device),
        cmocka_unit_test(a_weight_may_be_larger_than_a_block),
        cmocka_unit_test(layers_may_stay_on_the_host),
        cmocka_unit_test(what_a_device_cannot_do_is_said),
        cmocka_unit_test(what_a_device_has_no_kernel_for_is_named),
        cmocka_unit_test(text_runs_ahead_of_speech),
        cmocka_unit_test(text_at_hand_is_dropped),
        cmocka_unit_test(a_unit_waits_once),
        cmocka_unit_test(a_layer_in_int8_launches_eight),
        cmocka_unit_test(too_little_memory_is_told_before_it_is_taken),
        cmocka_unit_test(a_lost_device_fails_its_sessions_only),
        cmocka_unit_test(two_processes_share_a_device),
        cmocka_unit_test(the_shipped_model_over_vulkan),
    };
    return cmocka_run_group_tests(tests, open_host, close_host);
}
