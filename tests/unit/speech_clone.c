/* Voices made of recordings, on a small random model: how they are made, kept and spoken with.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <sys/stat.h>

#include "engine/session.h"
#include "speech/clone.h"
#include "toy.h"

enum { RATE = 16000, MOST = 40 * RATE };

static char folder[] = TOY_FOLDER;
static so_model *model;
static float sound[MOST];

static int open_model(void **state)
{
    (void)state;
    toy_clones = true;
    return toy_open(&model, folder, 1, 512);
}

static int close_model(void **state) { return (void)state, toy_close(&model, folder); }

/* Syllables of a buzz, four a second, `from` seconds after a silence; as loud as speech. */
static const float *buzz(double seconds, double from, double pitch)
{
    int64_t n = (int64_t)(seconds * RATE);
    for (int64_t i = 0; i < n; i++) {
        double t = (double)i / RATE - from, x = 0;
        for (int h = 1; h < 12 && t > 0; h++) x += sin(2 * 3.141592653589793 * pitch * h * t) / h;
        double loud = 0.55 + 0.45 * sin(2 * 3.141592653589793 * 4 * t);
        sound[i] = t > 0 ? (float)(0.12 * loud * x) : 0;
    }
    return sound;
}

static so_clone *make(const char *name, double seconds, double pitch)
{
    so_clone *c;
    so_error error;
    const so_clone_sound one = {buzz(seconds, 0.3, pitch), (size_t)(seconds * RATE), RATE};
    CHECK_OK(so_clone_make(&c, model, name, &one, 1, &error), error);
    return c;
}

static void it_is_a_vector_and_a_prompt(void **state)
{
    (void)state;
    so_clone *a = make("ada", 6, 120), *again = make("ada", 6, 120), *other = make("ben", 6, 210), *both;
    so_clone_info info;
    so_error error;
    double sum = 0, apart = 0;
    for (int i = 0; i < 8; i++) {
        sum += pow((double)a->vector[i], 2);
        apart += fabs((double)(a->vector[i] - other->vector[i]));
    }
    assert_true(fabs(sum - 1) < 1e-5);
    assert_true(apart > 1e-3);
    assert_memory_equal(a->vector, again->vector, 8 * sizeof *a->vector);
    assert_string_equal(a->source, again->source);
    assert_string_not_equal(a->source, other->source);
    so_clone_about(a, &info);
    assert_string_equal(info.name, "ada");
    assert_int_equal(info.prompt_units, SO_CLONE_UNITS);
    assert_int_equal(info.recordings, 1);
    assert_int_equal(info.cut, 0);
    assert_true(info.seconds > 5 && info.seconds <= 6);
    assert_int_equal(a->frames, so_flow_frames(&model->codec.flow.config, SO_CLONE_UNITS));
    for (int64_t i = 0; i < a->n; i++) assert_in_range(a->units[i], 0, TOY_UNITS - 1);
    /* Of two recordings: the mean of their vectors, the prompt of the first. */
    float *first = malloc(6 * RATE * sizeof *first);
    memcpy(first, buzz(6, 0.3, 120), 6 * RATE * sizeof *first);
    const so_clone_sound two[2] = {{first, 6 * RATE, RATE}, {buzz(6, 0.3, 210), 6 * RATE, RATE}};
    CHECK_OK(so_clone_make(&both, model, "both", two, 2, &error), error);
    double length = 0;
    for (int i = 0; i < 8; i++) length += pow((double)(a->vector[i] + other->vector[i]), 2);
    for (int i = 0; i < 8; i++)
        assert_true(fabs((double)(a->vector[i] + other->vector[i]) / sqrt(length) - (double)both->vector[i]) < 1e-5);
    assert_memory_equal(both->units, a->units, (size_t)a->n * sizeof *a->units);
    free(first);
    so_clone_close(&a);
    so_clone_close(&again);
    so_clone_close(&other);
    so_clone_close(&both);
    assert_null(both);
    so_clone_close(&both);
    so_clone_close(NULL);
}

static so_status try(const float *pcm, double seconds, int rate, so_error *error)
{
    so_clone *c = NULL;
    so_status status = so_clone_make(&c, model, "x", &(so_clone_sound){pcm, (size_t)(seconds * RATE), rate}, 1, error);
    assert_true((c != NULL) == (status == SO_OK));
    if (c && c->cut) status = SO_ERR_LIMIT;
    so_clone_close(&c);
    return status;
}

static void recordings_that_make_none(void **state)
{
    (void)state;
    so_error error = {0};
    so_clone *c;
    memset(sound, 0, sizeof sound);
    assert_int_equal(try(sound, 3, RATE, &error), SO_ERR_NOTHING_HEARD);
    assert_non_null(strstr(error.text, "without speech"));
    assert_int_equal(try(sound, 0, RATE, &error), SO_ERR_NOTHING_HEARD);
    assert_int_equal(try(buzz(0.5, 0, 120), 0.5, RATE, &error), SO_ERR_ARG);
    assert_non_null(strstr(error.text, "at least one second"));
    assert_int_equal(try(buzz(40, 0, 120), 40, RATE, &error), SO_ERR_LIMIT); /* cut, and told so */
    buzz(3, 0, 120);
    sound[777] = NAN;
    assert_int_equal(try(sound, 3, RATE, &error), SO_ERR_NUMBER);
    assert_int_equal(try(sound, 3, 100, &error), SO_ERR_ARG);
    assert_int_equal(try(NULL, 3, RATE, &error), SO_ERR_ARG);
    const so_clone_sound one = {buzz(3, 0, 120), 3 * RATE, RATE};
    assert_int_equal(so_clone_make(NULL, model, "x", &one, 1, &error), SO_ERR_ARG);
    assert_int_equal(so_clone_make(&c, NULL, "x", &one, 1, &error), SO_ERR_ARG);
    assert_int_equal(so_clone_make(&c, model, NULL, &one, 1, &error), SO_ERR_ARG);
    assert_int_equal(so_clone_make(&c, model, "x", NULL, 1, &error), SO_ERR_ARG);
    assert_int_equal(so_clone_make(&c, model, "x", &one, 0, NULL), SO_ERR_ARG);
    assert_int_equal(so_clone_make(&c, model, "x", &one, 65, &error), SO_ERR_ARG);
    static const char *const bad[] = {"", ".x", "-x", "a/b", "a\\b", "a\nb", "\xff"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(so_clone_make(&c, model, bad[i], &one, 1, &error), SO_ERR_ARG);
    assert_null(c);
    CHECK_OK(so_clone_name("Ada 2 – ö", &error), error);
    model->codec.has_cam = false;
    assert_int_equal(so_clone_make(&c, model, "x", &one, 1, &error), SO_ERR_UNSUPPORTED);
    assert_non_null(strstr(error.text, "CAM++"));
    model->codec.has_cam = true;
}

static void it_is_kept_in_a_file(void **state)
{
    (void)state;
    char path[512], cut[512], *data;
    size_t size;
    so_error error = {0};
    so_clone *a = make("ada", 4, 120), *b = NULL;
    toy_path(path, folder, "ada.safetensors");
    toy_path(cut, folder, "cut.safetensors");
    CHECK_OK(so_clone_save(a, path, &error), error);
    CHECK_OK(so_clone_load(&b, path, &error), error);
    assert_string_equal(b->name, "ada");
    assert_string_equal(b->source, a->source);
    assert_string_equal(b->mark, model->codec.mark);
    assert_int_equal(strlen(b->mark), 16);
    assert_int_equal(b->n, a->n);
    assert_int_equal(b->recordings, 1);
    assert_memory_equal(b->vector, a->vector, 8 * sizeof *a->vector);
    assert_memory_equal(b->units, a->units, (size_t)a->n * sizeof *a->units);
    assert_memory_equal(b->mel, a->mel, (size_t)(a->frames * 80) * sizeof *a->mel);
    CHECK_OK(so_clone_fits(b, model, &error), error);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_true(st.st_size < 100000);
    so_clone_close(&b);
    /* Cut off anywhere, and with any one byte changed: refused, or still a voice that is checked before it is used. */
    CHECK_OK(so_file_read(path, 1 << 20, &data, &size, &error), error);
    for (size_t n = 0; n < size; n += size / 40) {
        CHECK_OK(so_file_write(cut, data, n, &error), error);
        assert_int_not_equal(so_clone_load(&b, cut, &error), SO_OK);
        assert_null(b);
        assert_non_null(strstr(error.text, "cut.safetensors"));
    }
    for (size_t n = 0; n < 1200; n += 7) {
        data[n] ^= 0x15;
        CHECK_OK(so_file_write(cut, data, size, &error), error);
        if (so_clone_load(&b, cut, &error) == SO_OK) (void)so_clone_fits(b, model, &error);
        so_clone_close(&b);
        data[n] ^= 0x15;
    }
    free(data);
    /* What is no voice, of another model, or not whole. */
    toy_path(cut, folder, "model.safetensors");
    assert_int_equal(so_clone_load(&b, cut, &error), SO_ERR_FORMAT);
    assert_int_equal(so_clone_load(&b, "/nowhere/x", NULL), SO_ERR_IO);
    assert_int_equal(so_clone_load(NULL, path, &error), SO_ERR_ARG);
    assert_int_equal(so_clone_save(NULL, path, &error), SO_ERR_ARG);
    assert_int_equal(so_clone_save(a, "/nowhere/x", &error), SO_ERR_IO);
    a->mark[0] ^= 1;
    assert_int_equal(so_clone_fits(a, model, &error), SO_ERR_UNSUPPORTED);
    assert_non_null(strstr(error.text, "another model"));
    a->mark[0] ^= 1;
    a->units[3] = TOY_UNITS;
    assert_int_equal(so_clone_fits(a, model, &error), SO_ERR_SHAPE);
    a->units[3] = 0;
    a->frames--;
    assert_int_equal(so_clone_fits(a, model, &error), SO_ERR_SHAPE);
    a->width = 7;
    assert_int_equal(so_clone_fits(a, model, &error), SO_ERR_SHAPE);
    assert_int_equal(so_clone_fits(NULL, model, &error), SO_ERR_ARG);
    unlink(path);
    toy_path(cut, folder, "cut.safetensors");
    unlink(cut);
    so_clone_close(&a);
}

/* All of an answer's sound. */
static size_t say(so_session *s, float **pcm)
{
    so_event event = {0};
    so_error error;
    size_t n = 0;
    *pcm = NULL;
    CHECK_OK(so_session_clear(s, &error), error);
    CHECK_OK(so_say(s, "the cat sees the star", SO_WANT_VOICE, &error), error);
    while (event.kind != SO_EVENT_DONE) {
        CHECK_OK(so_next(s, &event, &error), error);
        if (event.kind != SO_EVENT_VOICE) continue;
        *pcm = realloc(*pcm, (n + event.samples) * sizeof **pcm);
        memcpy(*pcm + n, event.pcm, event.samples * sizeof **pcm);
        n += event.samples;
    }
    assert_true(n > 0);
    return n;
}

static void answers_have_it(void **state)
{
    (void)state;
    so_error error = {0};
    so_clone *ada = make("ada", 4, 120), *ben = make("ben", 4, 210);
    so_session *plain, *s, *fork;
    so_forecast without, with;
    float *x[6];
    size_t n[6];
    so_session_options options = {.max_units = 60};
    CHECK_OK(so_session_open(&plain, model, &options, &error), error);
    CHECK_OK(so_session_forecast(model, &options, &without, &error), error);
    options.clones = 1;
    CHECK_OK(so_session_open(&s, model, &options, &error), error);
    CHECK_OK(so_session_forecast(model, &options, &with, &error), error);
    assert_true(with.voice > without.voice);
    assert_int_equal(with.voice, s->mouth->memory.capacity);

    n[0] = say(plain, &x[0]);
    n[1] = say(s, &x[1]);
    assert_int_equal(n[0], n[1]);
    assert_memory_equal(x[0], x[1], n[0] * sizeof *x[0]); /* room alone changes nothing */
    CHECK_OK(so_session_voice(s, ada, &error), error);
    n[2] = say(s, &x[2]);
    assert_int_equal(n[2], n[0]); /* the same units */
    assert_memory_not_equal(x[2], x[0], n[0] * sizeof *x[0]);
    CHECK_OK(so_session_clear(s, &error), error);
    CHECK_OK(so_session_fork(&fork, s, &error), error);
    CHECK_OK(so_session_voice(s, ben, &error), error);
    n[3] = say(s, &x[3]);
    assert_memory_not_equal(x[3], x[2], n[0] * sizeof *x[0]);
    n[4] = say(fork, &x[4]);
    assert_int_equal(n[4], n[2]);
    assert_memory_equal(x[4], x[2], n[2] * sizeof *x[2]); /* a branch has the voice that it was branched with */
    CHECK_OK(so_session_voice(s, NULL, &error), error);
    n[5] = say(s, &x[5]);
    assert_memory_equal(x[5], x[0], n[0] * sizeof *x[0]);
    /* Not when it may not be. */
    assert_int_equal(so_session_voice(NULL, ada, &error), SO_ERR_ARG);
    assert_int_equal(so_session_voice(plain, ada, &error), SO_ERR_STATE);
    CHECK_OK(so_session_voice(plain, NULL, &error), error);
    CHECK_OK(so_session_clear(s, &error), error);
    CHECK_OK(so_say(s, "the cat", SO_WANT_VOICE, &error), error);
    assert_int_equal(so_session_voice(s, ada, &error), SO_ERR_STATE);
    for (int i = 0; i < 6; i++) free(x[i]);
    so_session_close(&fork);
    so_session_close(&plain);
    so_session_close(&s);
    so_clone_close(&ada);
    so_clone_close(&ben);
}

static void units_have_it(void **state)
{
    (void)state;
    so_error error;
    so_clone *ada = make("ada", 4, 120);
    int32_t units[30];
    float *own, *plain, *hers;
    size_t a, b, c;
    for (int i = 0; i < 30; i++) units[i] = i * 7 % TOY_UNITS;
    CHECK_OK(so_synthesize(model, units, 30, 1, &own, &a, &error), error);
    CHECK_OK(so_synthesize_as(model, NULL, units, 30, 1, &plain, &b, &error), error);
    CHECK_OK(so_synthesize_as(model, ada, units, 30, 1, &hers, &c, &error), error);
    assert_true(a == b && b == c);
    assert_memory_equal(own, plain, a * sizeof *own);
    assert_memory_not_equal(own, hers, a * sizeof *own);
    so_free(own);
    so_free(plain);
    so_free(hers);
    /* By its vector alone, too. */
    ada->n = 0;
    CHECK_OK(so_synthesize_as(model, ada, units, 30, 1, &hers, &c, &error), error);
    assert_int_equal(c, a);
    so_free(hers);
    so_clone_close(&ada);
}

/* In a crew, whose voices are made by other threads' hands, the sound is that of a session alone. */
static void crews_have_it(void **state)
{
    (void)state;
    so_error error = {0};
    so_clone *ada = make("ada", 4, 120);
    so_crew *crew, *small;
    so_session *alone, *s[2], *none;
    float *expected, *got[2] = {NULL, NULL};
    size_t n, at[2] = {0, 0};
    const so_session_options options = {.max_units = 60, .clones = 1};
    CHECK_OK(so_session_open(&alone, model, &options, &error), error);
    CHECK_OK(so_session_voice(alone, ada, &error), error);
    n = say(alone, &expected);
    CHECK_OK(so_crew_open(&small, model, NULL, &error), error);
    assert_int_equal(so_crew_session(small, &none, &options, &error), SO_ERR_ARG);
    so_crew_close(&small);
    CHECK_OK(so_crew_open(&crew, model, &(so_crew_options){.sessions = 2, .clones = 1}, &error), error);
    for (int i = 0; i < 2; i++) {
        CHECK_OK(so_crew_session(crew, &s[i], &options, &error), error);
        if (i) CHECK_OK(so_session_voice(s[i], ada, &error), error);
        CHECK_OK(so_say(s[i], "the cat sees the star", SO_WANT_VOICE, &error), error);
    }
    for (int done = 0; done < 2;) {
        int busy, made = 1;
        CHECK_OK(so_crew_step(crew, &busy, &error), error);
        while (made) CHECK_OK(so_crew_speak(crew, &made, &error), error);
        for (int i = 0; i < 2; i++) {
            so_event event = {0};
            do {
                CHECK_OK(so_next(s[i], &event, &error), error);
                done += event.kind == SO_EVENT_DONE;
                if (event.kind != SO_EVENT_VOICE) continue;
                got[i] = realloc(got[i], (at[i] + event.samples) * sizeof **got);
                memcpy(got[i] + at[i], event.pcm, event.samples * sizeof **got);
                at[i] += event.samples;
            } while (event.kind != SO_EVENT_NONE);
        }
    }
    assert_int_equal(at[1], n);
    assert_memory_equal(got[1], expected, n * sizeof *expected);
    assert_int_equal(at[0], n);
    assert_memory_not_equal(got[0], expected, n * sizeof *expected);
    for (int i = 0; i < 2; i++) {
        free(got[i]);
        so_session_close(&s[i]);
    }
    free(expected);
    so_session_close(&alone);
    so_crew_close(&crew);
    so_clone_close(&ada);
}

/* A GGUF file keeps CAM++, and voices hold for it as for the folder. */
static void files_of_a_whole_model_keep_it(void **state)
{
    (void)state;
    char path[512];
    so_error error;
    so_model *other;
    so_clone *ada = make("ada", 4, 120), *again;
    toy_path(path, folder, "model.gguf");
    CHECK_OK(so_model_save(model, path, NULL, &error), error);
    CHECK_OK(so_model_open(&other, path, &(so_model_options){.threads = 1}, &error), error);
    assert_true(other->codec.has_cam);
    CHECK_OK(so_clone_fits(ada, other, &error), error);
    const so_clone_sound one = {buzz(4, 0.3, 120), 4 * RATE, RATE};
    CHECK_OK(so_clone_make(&again, other, "ada", &one, 1, &error), error);
    assert_memory_equal(again->vector, ada->vector, 8 * sizeof *ada->vector);
    so_clone_close(&again);
    so_clone_close(&ada);
    so_model_close(&other);
}

static so_status published(so_worker *worker, void *context, so_error *error)
{
    so_pass *pass = so_worker_begin(worker);
    so_cam_vector(pass, context, so_new2(pass, 2998, 80));
    return so_worker_end(worker, error);
}

/* The published CAM++ on the longest recording that is used: layer by layer, not all of them at once. */
static void it_takes_little_memory(void **state)
{
    (void)state;
    so_error error;
    so_store store;
    so_cam cam;
    so_rng rng;
    so_cam_config config = so_cam_published();
    size_t bytes = 0;
    so_rng_init(&rng, 1, 0);
    CHECK_OK(so_store_open(&store, 0, &error), error);
    so_binder binder = {.store = &store, .rng = &rng};
    CHECK_OK(so_cam_bind(&cam, &config, "", &binder, &error), error);
    CHECK_OK(so_worker_measure(so_kernels_c(), published, &cam, &bytes, &error), error);
    fprintf(stderr, "# CAM++ on 30 s: %.0f MB\n", (double)bytes / 1e6);
    assert_true(bytes < 250000000);
    so_store_close(&store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_a_vector_and_a_prompt),
        cmocka_unit_test(recordings_that_make_none),
        cmocka_unit_test(it_is_kept_in_a_file),
        cmocka_unit_test(answers_have_it),
        cmocka_unit_test(units_have_it),
        cmocka_unit_test(crews_have_it),
        cmocka_unit_test(files_of_a_whole_model_keep_it),
        cmocka_unit_test(it_takes_little_memory),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
