/* The vocal parts of the tabletop recipe on a corpus of hums: they learn, and a run that was stopped and resumed equals
 * the run that was not.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <sys/stat.h>

#include "recipes/tabletop/part_units.h"
#include "recipes/tabletop/part_vocal.h"
#include "so_recipes.h"
#include "train/checkpoint.h"

enum { ITEMS = SO_TT_HELD_OUT + 200, LENGTH = 9000, UNITS = 10 }; /* an answer: 0.41 s */

static void put(const char *folder, const char *name, const void *data, size_t bytes)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, bytes, f), bytes);
    assert_int_equal(fclose(f), 0);
}

static void hum(int16_t *wave, double pitch)
{
    double phase = 0;
    for (int k = 0; k < LENGTH; k++, phase += pitch / 22050) {
        double x = 0;
        for (int h = 1; h < 12; h++) x += sin(6.283185307 * h * phase) / h;
        wave[k] = (int16_t)(4000 * x);
    }
}

/* Hums of three pitches; the units say which. */
static void make_corpus(const char *folder)
{
    so_tt_item *item = calloc(ITEMS, sizeof *item);
    so_tt_spoken *spoken = calloc(ITEMS, sizeof *spoken);
    int16_t *wave = malloc((size_t)ITEMS * LENGTH * sizeof *wave);
    uint16_t unit[ITEMS * UNITS];
    assert_true(item && spoken && wave);
    for (int i = 0; i < ITEMS; i++) {
        item[i].scene = ~0ull;
        item[i].q_count = LENGTH; /* all ask the same */
        item[i].a_at = (int64_t)i * LENGTH;
        item[i].a_count = LENGTH - i % 2 * 500;
        spoken[i] = (so_tt_spoken){.a_at = i * UNITS, .a_count = UNITS};
        for (int k = 0; k < UNITS; k++) unit[i * UNITS + k] = (uint16_t)(i % 3);
        if (i < 3)
            hum(wave + i * LENGTH, 150 + 50 * i);
        else
            memcpy(wave + (size_t)i * LENGTH, wave + i % 3 * LENGTH, LENGTH * sizeof *wave);
    }
    put(folder, "corpus.index", item, ITEMS * sizeof *item);
    put(folder, "corpus.q16", wave, LENGTH * sizeof *wave);
    put(folder, "corpus.a22", wave, (size_t)ITEMS * LENGTH * sizeof *wave);
    put(folder, "units.index", spoken, ITEMS * sizeof *spoken);
    put(folder, "units.u16", unit, sizeof unit);
    free(item);
    free(spoken);
    free(wave);
}

/* Stops the run at a report of `at`; reports say "<part> <step>/". */
typedef struct witness {
    const char *part, *at;
    volatile sig_atomic_t stop;
    double loss;
} witness;

static void hear(void *context, const char *line)
{
    witness *w = context;
    char text[64];
    const char *loss = strstr(line, "loss ");
    snprintf(text, sizeof text, "%s %s/", w->part, w->at);
    if (strncmp(line, text, strlen(text)) == 0) w->stop = 1;
    if (loss) w->loss = atof(loss + 5);
}

typedef so_status (*part_fn)(so_tt *tt, so_error *error);

static double run_until(const char *folder, const char *part, part_fn fn, const char *at)
{
    so_error error = {0};
    witness w = {.part = part, .at = at};
    so_tt tt = {
        .folder = folder, .seed = 3, .say = hear, .say_context = &w, .stop = &w.stop, .kernels = so_kernels_best()};
    CHECK_OK(so_pool_open(&tt.pool, 1, &error), error);
    CHECK_OK(so_tt_open(&tt, &error), error);
    assert_int_equal(fn(&tt, &error), SO_ERR_STOPPED);
    so_tt_close(&tt);
    so_pool_close(&tt.pool);
    return w.loss;
}

static void same_weights(const char *one, const char *two, const char *part)
{
    char path[2][1024];
    so_loader a, b;
    so_error error;
    snprintf(path[0], sizeof path[0], "%s/%s/checkpoint.so", one, part);
    snprintf(path[1], sizeof path[1], "%s/%s/checkpoint.so", two, part);
    CHECK_OK(so_loader_open(&a, path[0], &error), error);
    CHECK_OK(so_loader_open(&b, path[1], &error), error);
    assert_int_equal(a.count, b.count);
    for (int64_t i = 1; i < a.count; i++) { /* the first holds the time spent */
        assert_int_equal(a.block[i].bytes, b.block[i].bytes);
        assert_memory_equal(a.block[i].data, b.block[i].data, a.block[i].bytes);
    }
    so_loader_close(&a);
    so_loader_close(&b);
}

static void check_part(const char *part, part_fn fn)
{
    char one[] = "/tmp/so-vocal-XXXXXX", two[] = "/tmp/so-vocal-XXXXXX", remove[128];
    assert_non_null(mkdtemp(one));
    assert_non_null(mkdtemp(two));
    make_corpus(one);
    make_corpus(two);
    double first = run_until(one, part, fn, "20"), last = run_until(one, part, fn, "40");
    run_until(two, part, fn, "40");
    same_weights(one, two, part);
    assert_true(last < 0.9 * first);
    snprintf(remove, sizeof remove, "rm -r %s %s", one, two);
    assert_int_equal(system(remove), 0);
}

/* Opens what make_corpus made after one of its files was cut to `bytes`; the file is restored from `whole`. */
static void cut_is_told(const char *folder, const char *name, off_t bytes, const char *says)
{
    char path[1024], kept[1100];
    so_error error = {0};
    struct stat st;
    so_recipe_options options = {.folder = folder, .part = "flow", .seed = 3, .threads = 1, .steps = 1};
    snprintf(path, sizeof path, "%s/%s", folder, name);
    snprintf(kept, sizeof kept, "cp %s/%s %s/kept", folder, name, folder);
    assert_int_equal(system(kept), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(truncate(path, bytes < 0 ? st.st_size + bytes : bytes), 0);
    assert_int_equal(so_tabletop_recipe(&options, &error), SO_ERR_FORMAT);
    if (!strstr(error.text, says) || !strstr(error.text, "again")) fail_msg("%s: %s", name, error.text);
    snprintf(kept, sizeof kept, "%s/kept", folder);
    assert_int_equal(rename(kept, path), 0);
}

/* Corpora and units that a full disk or a broken copy cut are found before anything reads them. */
static void cut_corpora_are_found(void **state)
{
    (void)state;
    char folder[] = "/tmp/so-vocal-XXXXXX", remove[128];
    so_error error = {0};
    assert_non_null(mkdtemp(folder));
    make_corpus(folder);
    put(folder, "ears.safetensors", "", 0); /* done, as far as the flow asks */
    cut_is_told(folder, "corpus.a22", -1002, "corpus.a22 has 6335499 samples where 6335500 are listed");
    cut_is_told(folder, "corpus.a22", 0, "corpus.a22 has 0 samples");
    cut_is_told(folder, "corpus.index", -8, "corpus.index has");
    cut_is_told(folder, "corpus.index", 0, "corpus.index has 0 bytes");
    cut_is_told(folder, "units.u16", -2, "units.u16 has 7039 units, item 703 lies beyond");
    cut_is_told(folder, "units.index", -(off_t)sizeof(so_tt_spoken), "units.index has");
    so_recipe_options options = {.folder = folder, .part = "flow", .seed = 3, .threads = 1, .items = 7};
    assert_int_equal(so_tabletop_recipe(&options, &error), SO_ERR_STATE);
    assert_non_null(strstr(error.text, "holds a corpus of 200 exchanges (now 7)"));
    options.items = 0;
    options.seed = 4;
    assert_int_equal(so_tabletop_recipe(&options, &error), SO_ERR_STATE);
    assert_non_null(strstr(error.text, "was begun with seed 3 (now seed 4)"));
    snprintf(remove, sizeof remove, "rm -r %s", folder);
    assert_int_equal(system(remove), 0);
}

static void vocoder_learns_and_resumes(void **state)
{
    (void)state;
    check_part("vocoder", so_tt_vocoder);
}

/* The contest begins with what the vocoder left; one report is enough to see both players. */
static void adversarial_training_runs(void **state)
{
    (void)state;
    char folder[] = "/tmp/so-vocal-XXXXXX", remove[128];
    so_error error = {0};
    so_store store;
    so_hift net;
    assert_non_null(mkdtemp(folder));
    make_corpus(folder);
    so_tt tt = {.folder = folder, .seed = 3};
    CHECK_OK(so_tt_vocoder_open(&tt, &store, &net, &error), error);
    CHECK_OK(so_tt_keep(&tt, &store, NULL, "vocoder", &error), error);
    so_store_close(&store);
    assert_true(run_until(folder, "adversarial", so_tt_adversarial, "20") > 0);
    snprintf(remove, sizeof remove, "rm -r %s", folder);
    assert_int_equal(system(remove), 0);
}

static void flow_learns_and_resumes(void **state)
{
    (void)state;
    check_part("flow", so_tt_flow);
}

/* The ears go on learning, and what they number stays: the codes are those of before, to the bit. */
static void steady_ears_keep_their_codes(void **state)
{
    (void)state;
    char folder[] = "/tmp/so-vocal-XXXXXX", remove[128];
    so_error error = {0};
    so_store before, after;
    so_speech_tokenizer net[2];
    int same = 0;
    assert_non_null(mkdtemp(folder));
    make_corpus(folder);
    so_tt tt = {.folder = folder, .seed = 3, .steps = 2, .kernels = so_kernels_best()};
    CHECK_OK(so_tt_ears_open(&tt, false, &before, &net[0], &error), error);
    CHECK_OK(so_tt_keep(&tt, &before, NULL, "ears", &error), error);
    assert_string_equal(so_tt_ears_part(&tt), "ears");
    CHECK_OK(so_pool_open(&tt.pool, 1, &error), error);
    CHECK_OK(so_tt_open(&tt, &error), error);
    CHECK_OK(so_tt_steady(&tt, &error), error);
    assert_string_equal(so_tt_ears_part(&tt), "steady");
    CHECK_OK(so_tt_ears_open(&tt, false, &after, &net[1], &error), error);
    CHECK_OK(so_tt_overlay(&tt, &after, "steady", &error), error);
    assert_memory_equal(net[0].codes->data, net[1].codes->data, (size_t)so_count(net[0].codes) * sizeof(so_real));
    for (int64_t i = 0; i < before.count; i++) {
        const so_tensor *was = &before.weight[i]->tensor, *is = &after.weight[i]->tensor;
        same += memcmp(was->data, is->data, (size_t)so_count(was) * sizeof(so_real)) == 0;
    }
    assert_in_range(same, 1, before.count / 2);
    CHECK_OK(so_tt_steady(&tt, &error), error); /* done: not again */
    so_tt_close(&tt);
    so_pool_close(&tt.pool);
    so_store_close(&before);
    so_store_close(&after);
    snprintf(remove, sizeof remove, "rm -r %s", folder);
    assert_int_equal(system(remove), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cut_corpora_are_found),        cmocka_unit_test(vocoder_learns_and_resumes),
        cmocka_unit_test(adversarial_training_runs),    cmocka_unit_test(flow_learns_and_resumes),
        cmocka_unit_test(steady_ears_keep_their_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
