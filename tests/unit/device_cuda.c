/* The driver for CUDA over a stand-in for libcuda (tests/cuda/standin.c), whose kernels run as fibers: conversations
 * and voices are those of the host; what can go wrong is said, and everything is given back. SPDX-License-Identifier:
 * Apache-2.0 */
#define _GNU_SOURCE
#include "check.h"

#include <dlfcn.h>

#include "backend/gpu/cuda_api.h"
#include "base/symbol.h"
#include "plan/plan.h"
#include "toy.h"

static char folder[] = TOY_FOLDER;
static so_model *host;
static void *standin;
static void (*set)(const char *what, long value);
static int (*held)(void);
static so_cuda_code code[SO_GPU_TEXT_COUNT]; /* images are names here */

static so_status open_device(so_device **d, const so_cuda_code *with, so_error *error)
{
    so_cuda c;
    *d = NULL;
    SO_TRY(so_cuda_start(&c, SO_STANDIN, error));
    return so_cuda_open(d, &c, 0, with, error);
}

static so_status open_model(so_model **m, so_error *error)
{
    so_device *d;
    *m = NULL;
    SO_TRY(open_device(&d, code, error));
    return so_model_open_on(m, folder, &(so_model_options){.threads = 1, .context = 256}, d, error);
}

static void answer(so_model *model, char *text, int32_t *unit, size_t *n)
{
    so_error error;
    so_session *s;
    so_event e = {.kind = SO_EVENT_NONE};
    so_session_options o = {.max_text = 5, .max_units = 14, .think = -1, .only_units = 1};
    CHECK_OK(so_session_open(&s, model, &o, &error), error);
    CHECK_OK(so_feed_text(s, "where is the cat?", &error), error);
    CHECK_OK(so_reply(s, SO_WANT_TEXT | SO_WANT_UNITS, &error), error);
    for (*n = 0, *text = 0; e.kind != SO_EVENT_DONE;) {
        CHECK_OK(so_next(s, &e, &error), error);
        if (e.kind == SO_EVENT_TEXT) strcat(text, e.text);
        for (size_t i = 0; e.kind == SO_EVENT_UNITS && i < e.n_units; i++) unit[(*n)++] = e.units[i];
    }
    so_session_close(&s);
}

/* Words, units, what is heard and what is said; the flow's second step is a graph that is launched again. */
static void what_it_computes_is_what_the_host_does(void **state)
{
    (void)state;
    so_error error = {0};
    so_model *m;
    char text[2][512];
    int32_t unit[2][64], heard[2][64], said[4] = {1, 5, 9, 3};
    size_t n[2], count[2], samples[2];
    float sound[6400], *pcm[2];
    so_device_counts counts;
    CHECK_OK(open_model(&m, &error), error);
    assert_string_equal(so_device_about(m->device)->name, "cuda:0");
    for (int i = 0; i < 6400; i++) sound[i] = (float)(0.3 * sin(i * 0.05) * sin(i * 0.0007));
    for (int i = 0; i < 2; i++) {
        so_model *who = i ? m : host;
        answer(who, text[i], unit[i], &n[i]);
        if (i) so_device_count(m->device, &counts);
        if (i) assert_true(n[i] > 8 && 3 * counts.replayed > counts.launches); /* graphs of units */
        CHECK_OK(so_tokenize_speech(who, sound, 6400, 16000, heard[i], 64, &count[i], &error), error);
        CHECK_OK(so_synthesize(who, said, 4, 3, &pcm[i], &samples[i], &error), error);
    }
    assert_string_equal(text[0], text[1]);
    assert_int_equal(n[0], n[1]);
    assert_memory_equal(unit[0], unit[1], n[0] * sizeof **unit);
    assert_int_equal(count[0], count[1]);
    assert_memory_equal(heard[0], heard[1], count[0] * sizeof **heard);
    assert_int_equal(samples[0], samples[1]);
    check_close("sound", pcm[1], pcm[0], (int64_t)samples[0], 2e-3, 2e-3);
    /* The halves of a voice alone, there and here: what they launch is counted there. */
    for (int half = 0; half < 2; half++) {
        so_device_work before, after;
        double took[2];
        so_model_device_work(m, &before);
        CHECK_OK(so_time_half(m, (so_half)half, 4, &took[0], &error), error);
        so_model_device_work(m, &after);
        CHECK_OK(so_time_half(host, (so_half)half, 4, &took[1], &error), error);
        assert_true(after.launches > before.launches && after.bytes > before.bytes);
        assert_true((after.replayed > before.replayed) == (half == SO_HALF_FLOW));
        assert_true(took[0] > 0 && took[1] > 0);
    }
    assert_int_equal(so_time_half(m, SO_HALF_FLOW, 0, &(double){0}, &error), SO_ERR_ARG);
    for (int i = 0; i < 2; i++) so_free(pcm[i]);
    so_model_close(&m);
    assert_int_equal(held(), 0);
}

/* The device cannot be opened, and the message says why. */
static void refused(const char *what, const so_cuda_code *with, so_status expected, const char *why)
{
    so_error error = {0};
    so_device *d;
    so_status status = open_device(&d, with, &error);
    if (status != expected || !strstr(error.text, why))
        fail_msg("%s: status %d, '%s', expected %d with '%s'", what, status, error.text, expected, why);
    assert_null(d);
    assert_int_equal(held(), 0);
}

static void what_is_missing_is_said(void **state)
{
    (void)state;
    so_error error = {0};
    so_cuda c;
    assert_int_equal(so_cuda_start(&c, "libno-such-cuda.so.1", &error), SO_ERR_MISSING);
    assert_non_null(strstr(error.text, "not installed"));
    set("version", 11020);
    refused("an old driver", code, SO_ERR_UNSUPPORTED, "knows CUDA 11.2, expected 11.4");
    set("version", 12040);
    set("devices", 0);
    refused("no card", code, SO_ERR_MISSING, "no device");
    set("devices", 1);
    set("major", 6);
    refused("an old card", code, SO_ERR_UNSUPPORTED, "compute-capability-7.5");
    set("major", 8);
    set("memory", 4 << 20);
    refused("no memory", code, SO_ERR_NOMEM, "OUT_OF_MEMORY");
    set("memory", 1 << 30);
}

/* Kernels are a module of their own, which has to be of the same build. */
static void the_module_of_kernels_is_looked_for(void **state)
{
    (void)state;
    so_error error = {0};
    const so_cuda_code *found = NULL;
    assert_int_equal(setenv("SO_CUDA_MODULE", "/nowhere/kernels.so", 1), 0);
    assert_int_equal(so_cuda_module(&found, &error), SO_ERR_UNSUPPORTED);
    assert_null(found);
    assert_non_null(strstr(error.text, "no kernels for CUDA (/nowhere/kernels.so)"));
    assert_int_equal(setenv("SO_CUDA_MODULE", "libdl.so.2", 1), 0);
    assert_int_equal(so_cuda_module(&found, &error), SO_ERR_UNSUPPORTED);
    assert_null(found);
    assert_non_null(strstr(error.text, "not those of this program (libdl.so.2)"));
    assert_int_equal(setenv("SO_CUDA_MODULE", SO_STANDIN, 1), 0);
    CHECK_OK(so_cuda_module(&found, &error), error);
    for (int t = 0; t < SO_GPU_TEXT_COUNT; t++) assert_string_equal(found[t].data, so_gpu_text_name[t]);
    unsetenv("SO_CUDA_MODULE");
}

/* An allocation that fails is told; a model that does not fit is refused before it moves. */
static void memory_ends_with_a_message(void **state)
{
    (void)state;
    so_error error = {0};
    so_device *d;
    so_model *m;
    void *p;
    CHECK_OK(open_device(&d, code, &error), error);
    assert_int_equal(so_device_reserve(d, (size_t)2 << 30, &p, &error), SO_ERR_NOMEM);
    assert_non_null(strstr(error.text, "no 2147483648 bytes in one piece"));
    so_device_close(&d);
    set("memory", 10 << 20);
    assert_int_equal(open_model(&m, &error), SO_ERR_NOMEM);
    assert_null(m);
    assert_non_null(strstr(error.text, "would fit"));
    set("memory", 1 << 30);
    assert_int_equal(held(), 0);
}

/* A kernel that fails loses the device: sessions on it fail with advice, closing works, a new device does, too. */
static void a_lost_device_is_told(void **state)
{
    (void)state;
    so_error error = {0};
    so_model *m;
    so_session *s;
    so_event e = {.kind = SO_EVENT_NONE};
    CHECK_OK(open_model(&m, &error), error);
    CHECK_OK(so_session_open(&s, m, &(so_session_options){.max_text = 4, .think = -1}, &error), error);
    CHECK_OK(so_feed_text(s, "hello", &error), error);
    CHECK_OK(so_reply(s, SO_WANT_TEXT, &error), error);
    set("lost", 7);
    so_status status = SO_OK;
    for (int i = 0; i < 20 && status == SO_OK && e.kind != SO_EVENT_DONE; i++) status = so_next(s, &e, &error);
    assert_int_equal(status, SO_ERR_IO);
    assert_non_null(strstr(error.text, "cuda:0"));
    assert_non_null(strstr(error.text, "start the program again"));
    so_session_close(&s);
    so_model_close(&m);
    set("lost", -1);
    set("load", SO_CUDA_OLD_DRIVER);
    CHECK_OK(open_model(&m, &error), error);
    assert_int_not_equal(so_session_open(&s, m, NULL, &error), SO_OK);
    assert_non_null(strstr(error.text, "SO_CUDA_ARCHS"));
    set("load", 0);
    so_model_close(&m);
    assert_int_equal(held(), 0);
}

static int start(void **state)
{
    (void)state;
    for (int t = 0; t < SO_GPU_TEXT_COUNT; t++) code[t].data = so_gpu_text_name[t];
    standin = dlopen(SO_STANDIN, RTLD_NOW | RTLD_LOCAL);
    if (!standin || !so_symbol(standin, "standin_set", &set) || !so_symbol(standin, "standin_held", &held)) {
        fprintf(stderr, "%s\n", dlerror());
        return -1;
    }
    return toy_open(&host, folder, 1, 256);
}

static int stop(void **state)
{
    (void)state;
    dlclose(standin);
    return toy_close(&host, folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_it_computes_is_what_the_host_does),
        cmocka_unit_test(what_is_missing_is_said),
        cmocka_unit_test(the_module_of_kernels_is_looked_for),
        cmocka_unit_test(memory_ends_with_a_message),
        cmocka_unit_test(a_lost_device_is_told),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
