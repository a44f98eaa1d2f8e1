/* What the ears of the tabletop recipe are to write: the words of the world as they are, others as unknown.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "place.h"

#include "base/file.h"
#include "formats/safetensors.h"
#include "recipes/tabletop/part_batch.h"
#include "recipes/tabletop/part_speak.h"
#include "recipes/tabletop/part_units.h"
#include "recipes/tabletop/tt_dataset.h"
#include "text/bpe_train.h"

#include <unistd.h>

static void decode(const so_tt *tt, const so_ids *ids, char text[256])
{
    so_string s = {0};
    assert_int_equal(so_tokenizer_decode(tt->tokenizer, ids->data, ids->n, 0, &s, NULL), SO_OK);
    snprintf(text, 256, "%.*s", (int)s.size, s.data);
    so_string_clear(&s);
}

static void words_from_outside_are_unknown(void **state)
{
    so_tt *tt = *state;
    static const char *const both[][2] = {
        {"What is the capital of France?", "What is the capital of \xe2\x80\xa6?"},
        {"Who is Albert Einstein?", "Who is \xe2\x80\xa6 \xe2\x80\xa6?"},
        {"Zorblat fimquon.", "\xe2\x80\xa6 \xe2\x80\xa6."},
        {"Repeat after me: giraffe, river, soap.", "Repeat after me: giraffe, river, soap."},
        {"", ""}};
    for (size_t i = 0; i < sizeof both / sizeof *both; i++) {
        so_ids ids = {0};
        char text[256];
        assert_int_equal(so_tt_heard(tt, both[i][0], &ids, NULL), SO_OK);
        decode(tt, &ids, text);
        assert_string_equal(text, both[i][1]);
        so_ids_clear(&ids);
    }
}

/* Every token of what the world asks is a word or a mark, and hearing changes none of it. */
static void the_world_is_heard_word_for_word(void **state)
{
    so_tt *tt = *state;
    so_ids heard = {0}, written = {0};
    for (uint64_t i = 0; i < 2000; i++) {
        so_qa qa;
        if (i % 2) {
            so_scene scene;
            so_rng rng;
            so_rng_init(&rng, i, 1);
            so_scene_make(&scene, i);
            assert_true(so_scene_ask(&scene, 0, &rng, &qa));
        } else {
            so_tabletop_talk(SO_TABLETOP_RESERVED, 1, i, i % 4 ? 0 : 1u << SO_TALK_CHAT | 1u << SO_TALK_NO_PICTURE,
                             &qa);
        }
        heard.n = written.n = 0;
        assert_int_equal(so_tt_heard(tt, qa.question, &heard, NULL), SO_OK);
        assert_int_equal(so_tt_encode(tt, qa.question, &written, NULL), SO_OK);
        assert_int_equal(heard.n, written.n);
        assert_memory_equal(heard.data, written.data, heard.n * sizeof *heard.data);
    }
    so_ids_clear(&heard);
    so_ids_clear(&written);
}

/* Typed or heard, a question asks the same; and most are left as they are. */
static void people_type_as_they_like(void **state)
{
    so_tt *tt = *state;
    so_rng rng;
    int same = 0, digits = 0, unknown = 0;
    so_rng_init(&rng, 1, 1);
    for (uint64_t i = 0; i < 2000; i++) {
        so_qa qa, before;
        so_tabletop_talk(SO_TABLETOP_TRAIN, 1, i, 1u << SO_TALK_SUM | 1u << SO_TALK_REPEAT | 1u << SO_TALK_OUTSIDE,
                         &qa);
        before = qa;
        so_tt_retype(tt, &qa, &rng);
        assert_string_equal(qa.answer, before.answer);
        same += strcmp(qa.question, before.question) == 0;
        digits += qa.question[strcspn(qa.question, "0123456789")] != 0;
        if (strstr(qa.question, SO_TABLETOP_UNKNOWN)) {
            assert_int_equal(qa.kind, SO_TALK_OUTSIDE);
            unknown++;
        }
    }
    assert_in_range(same, 1200, 1800);
    assert_true(digits > 20 && unknown > 100);
}

/* Every word of the lists has a twin with a capital, and the twin's is the word. */
static void words_have_capitals(void **state)
{
    so_tt *tt = *state;
    so_ids ids = {0};
    for (int i = 0; i < SO_TABLETOP_WORDS; i++) {
        char text[64];
        ids.n = 0;
        snprintf(text, sizeof text, " %s", so_tabletop_words[i]);
        assert_int_equal(so_tt_encode(tt, text, &ids, NULL), SO_OK);
        snprintf(text, sizeof text, "%c%s", so_tabletop_words[i][0] - 'a' + 'A', so_tabletop_words[i] + 1);
        assert_int_equal(so_tt_encode(tt, text, &ids, NULL), SO_OK);
        assert_int_equal(ids.n, 2);
        assert_int_equal(tt->twin[ids.data[0]], ids.data[1]);
        assert_int_equal(tt->twin[ids.data[1]], ids.data[0]);
    }
    assert_int_equal(tt->twin[tt->id->eot], tt->id->eot);
    so_ids_clear(&ids);
}

/* Of what is asked beyond the exchanges half is to be repeated, and every word comes behind which another stands,
 * with a capital, those too that open no list in training. */
static void every_word_is_said_with_a_capital(void **state)
{
    so_tt *tt = *state;
    int repeats = 0, joined = 0, opened[SO_TABLETOP_WORDS] = {0};
    enum { DRAWS = 12000, FIRST_RESERVED = SO_TABLETOP_WORDS - SO_TABLETOP_RESERVED_WORDS };
    for (int64_t i = 0; i < DRAWS; i++) {
        so_tt_item item;
        so_tt_draw_heard(tt, i, &item);
        assert_true(item.answer[0] && strlen(item.answer) < sizeof item.answer - 1);
        if (item.kind != SO_TALK_REPEAT || strncmp(item.question, "Repeat after me: ", 17) != 0) continue;
        repeats++;
        assert_string_equal(item.question + 18, item.answer + 1);
        size_t n = strcspn(item.answer, " ,.");
        bool list = item.answer[n] == ',';
        joined += !list;
        for (int w = 0; w < SO_TABLETOP_WORDS; w++) {
            if (strlen(so_tabletop_words[w]) != n || strncmp(item.answer + 1, so_tabletop_words[w] + 1, n - 1) != 0 ||
                (item.answer[0] | 32) != so_tabletop_words[w][0])
                continue;
            opened[w]++;
            assert_false(list && w >= FIRST_RESERVED);
        }
    }
    assert_in_range(repeats, DRAWS * 45 / 100, DRAWS * 55 / 100);
    assert_in_range(joined, DRAWS * 6 / 100, DRAWS * 8 / 100);
    for (int w = 0; w < SO_TABLETOP_WORDS; w++) assert_true(opened[w] >= (w < FIRST_RESERVED ? 2 : 5));
}

/* Records of questions that are only heard say so: tasks that need a spoken answer leave them out. */
static void questions_without_a_spoken_answer_are_told(void **state)
{
    (void)state;
    static const int16_t pcm[40];
    static const uint16_t unit[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    so_tt_item item[2] = {{.scene = SO_TABLETOP_NO_SCENE, .question = "Say red.", .answer = "red"}};
    item[1] = item[0];
    item[0].q_count = item[1].q_count = 20;
    item[0].a_count = 20;
    const so_tt_spoken spoken[2] = {{0, 4, 4, 4, {0, 0}, {4, 4}}, {0, 4, 0, 0, {0, 0}, {4, 4}}};
    so_tt tt = {.folder = "nowhere", .corpus = {.item = item, .count = 2, .q = pcm, .a = pcm}};
    so_tt_units_file units = {.item = spoken, .unit = unit, .count = 2};
    so_dataset *d;
    so_error error;
    so_record r;
    CHECK_OK(so_tt_dataset_of(&d, &tt, &units, 0, 2, &error), error);
    assert_int_equal(d->count, 2 * (1 + SO_TT_DISGUISES));
    for (int64_t i = 0; i < d->count; i++) {
        assert_int_equal(d->answers(d, i), i % 2 == 0);
        CHECK_OK(so_dataset_read(d, i, &r, &error), error);
        assert_int_equal(r.turn[0].n_listed, 4);
        assert_int_equal(r.turn[1].n_listed, i % 2 ? 0 : 4);
        so_record_clear(&r);
    }
    so_dataset_close(&d);
}

/* What the part 'units' hears, which comes through the dataset, is what stands in the corpus' files, bit for bit. */
static void speech_is_that_of_the_files(void **state)
{
    enum { N = 900 };
    static int16_t q[2 * N], a[2 * N];
    so_tt tt = *(so_tt *)*state;
    so_tt_item item[2] = {{.scene = SO_TABLETOP_NO_SCENE, .question = "Say red.", .answer = "red"}};
    item[1] = item[0];
    for (int i = 0; i < 2 * N; i++) {
        q[i] = (int16_t)(i * 7919 % 65536 - 32768);
        a[i] = (int16_t)(i * 104729 % 65536 - 32768);
    }
    item[0].q_count = item[0].a_count = 5; /* the second begins somewhere inside */
    item[1].q_at = 5, item[1].q_count = 2 * N - 5;
    item[1].a_at = 17, item[1].a_count = N;
    tt.corpus = (so_tt_corpus){.item = item, .count = 2, .q = q, .a = a};
    so_error error;
    float *pcm, wide[N], *narrow;
    int64_t n;
    CHECK_OK(so_tt_dataset_of(&tt.spoken, &tt, NULL, 0, 2, &error), error);
    CHECK_OK(so_tt_speech(&tt, &item[1], false, &pcm, &n, &error), error);
    assert_int_equal(n, 2 * N - 5);
    for (int64_t i = 0; i < n; i++) assert_true(pcm[i] == (float)q[i + 5] / 32768.0f);
    free(pcm);
    CHECK_OK(so_tt_speech(&tt, &item[1], true, &pcm, &n, &error), error);
    assert_int_equal(n, so_resampler_length(tt.down, N));
    for (int64_t i = 0; i < N; i++) wide[i] = (float)a[i + 17] / 32768.0f;
    narrow = malloc((size_t)n * sizeof *narrow);
    CHECK_OK(so_resample(tt.down, wide, N, narrow, &error), error);
    assert_memory_equal(pcm, narrow, (size_t)n * sizeof *narrow);
    free(narrow);
    free(pcm);
    so_dataset_close(&tt.spoken);
}

/* A model of another vocabulary: rows go by their tokens, new tokens begin as the mean of what spelled them. */
static void an_earlier_model_is_gone_on_from(void **state)
{
    so_tt *tt = *state;
    char from[80], path[128];
    const char *words[] = {"What is two plus two?", "Is the star red?"};
    so_bpe_trainer *trainer;
    so_tokenizer *old;
    so_safetensors_writer *writer;
    so_bpe_options options = {.size = 300, .pieces = 20, .units = SO_TT_UNITS};
    snprintf(from, sizeof from, "%s/from", tt->folder);
    assert_int_equal(so_make_folder(from, NULL), SO_OK);
    assert_int_equal(so_bpe_trainer_open(&trainer, &options, NULL), SO_OK);
    for (int i = 0; i < 200; i++)
        assert_int_equal(so_bpe_trainer_feed(trainer, words[i % 2], strlen(words[i % 2]), NULL), SO_OK);
    assert_int_equal(so_bpe_trainer_finish(trainer, &old, NULL), SO_OK);
    so_bpe_trainer_close(&trainer);
    snprintf(path, sizeof path, "%s/tokenizer.json", from);
    assert_int_equal(so_tokenizer_save_json(old, path, NULL), SO_OK);
    int64_t rows = so_tokenizer_names(old)->first_unit, wide = 192;
    float *table = malloc((size_t)(rows * wide) * sizeof *table);
    for (int64_t i = 0; i < rows * wide; i++) table[i] = (float)(i / wide);
    snprintf(path, sizeof path, "%s/model.safetensors", from);
    assert_int_equal(so_safetensors_create(&writer, path, NULL), SO_OK);
    assert_int_equal(
        so_safetensors_declare(writer, "model.embed_tokens.weight", SO_F32, 2, (int64_t[]){rows, wide}, NULL), SO_OK);
    assert_int_equal(so_safetensors_put(writer, "model.embed_tokens.weight", table, (size_t)(rows * wide) * 4, NULL),
                     SO_OK);
    assert_int_equal(so_safetensors_commit(&writer, NULL), SO_OK);
    free(table);

    so_store store;
    so_omni net;
    assert_int_equal(so_tt_start(tt, from, NULL), SO_OK);
    assert_int_equal(so_tt_omni_open(tt, &store, &net, NULL, NULL), SO_OK);
    so_weight *w = so_store_find(&store, "model.embed_tokens.weight");
    assert_non_null(w);
    const so_real *row = so_data(&w->tensor);
    int32_t star = so_tokenizer_find(tt->tokenizer, " star", 5), eot = tt->id->eot;
    assert_true(star >= 0);
    assert_true(row[star * wide] == (float)so_tokenizer_find(old, " star", 5));
    assert_true(row[eot * wide] == (float)so_tokenizer_names(old)->eot);
    int32_t giraffe = so_tokenizer_find(tt->tokenizer, " giraffe", 8); /* spelled before */
    so_ids spelled = {0};
    double mean = 0;
    assert_int_equal(so_tokenizer_encode(old, " giraffe", 8, 0, &spelled, NULL), SO_OK);
    assert_true(spelled.n > 1);
    for (size_t i = 0; i < spelled.n; i++) mean += spelled.data[i] / (double)spelled.n;
    assert_true(fabs((double)row[giraffe * wide] - mean) < 0.01);
    so_ids_clear(&spelled);
    so_store_close(&store);
    so_tokenizer_close(&old);
}

static void same_file(const so_tt *a, const so_tt *b, const char *name)
{
    char path[1024], *first, *second;
    size_t n, m;
    so_error error;
    CHECK_OK(so_file_read(so_tt_path(a, name, path), 1 << 28, &first, &n, &error), error);
    CHECK_OK(so_file_read(so_tt_path(b, name, path), 1 << 28, &second, &m, &error), error);
    assert_int_equal(n, m);
    assert_memory_equal(first, second, n);
    free(first);
    free(second);
}

/* A finished model gives its vocabulary and its ears back, bit for bit; one that does not hear has none to give. */
static void parts_are_cut_out_of_a_model(void **state)
{
    so_tt *tt = *state;
    char model[1024], path[1100];
    so_store store;
    so_speech_tokenizer ears;
    so_error error;
    CHECK_OK(so_tt_ears_open(tt, false, &store, &ears, &error), error); /* random: as good as others here */
    CHECK_OK(so_tt_keep(tt, &store, NULL, "ears", &error), error);
    so_store_close(&store);
    CHECK_OK(so_tt_model(tt, &error), error);
    so_tt_path(tt, "model", model);
    for (int deaf = 0; deaf < 2; deaf++) {
        char to[64];
        snprintf(to, sizeof to, "%s/cut%d", tt->folder, deaf);
        so_tt cut = {.folder = to, .seed = 9, .kernels = so_kernels_best()};
        CHECK_OK(so_tt_open(&cut, &error), error);
        assert_null(cut.tokenizer);
        if (deaf) {
            assert_int_equal(so_tt_cut(&cut, model, &error), SO_ERR_MISSING);
            assert_non_null(strstr(error.text, "no speech tokenizer"));
            assert_false(so_tt_done(&cut, "ears"));
        } else {
            CHECK_OK(so_tt_cut(&cut, model, &error), error);
            assert_non_null(cut.tokenizer);
            same_file(tt, &cut, "tokenizer.json");
            same_file(tt, &cut, "ears.safetensors");
            CHECK_OK(so_tt_cut(&cut, "nowhere", &error), error); /* done already */
        }
        so_tt_close(&cut);
        snprintf(path, sizeof path, "%s/codec/speech_tokenizer_v1.safetensors", model);
        assert_int_equal(unlink(path), deaf ? -1 : 0);
    }
}

static char folder[] = "/tmp/so-heard-XXXXXX";

static int open_recipe(void **state)
{
    static so_tt tt;
    if (place_make(folder) != 0) return -1;
    tt = (so_tt){.folder = folder, .seed = 1};
    assert_int_equal(so_tt_open(&tt, NULL), SO_OK);
    assert_int_equal(so_tt_vocabulary(&tt, NULL), SO_OK);
    *state = &tt;
    return 0;
}

static int close_recipe(void **state)
{
    so_tt_close(*state);
    return place_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_from_outside_are_unknown),
        cmocka_unit_test(the_world_is_heard_word_for_word),
        cmocka_unit_test(people_type_as_they_like),
        cmocka_unit_test(questions_without_a_spoken_answer_are_told),
        cmocka_unit_test(speech_is_that_of_the_files),
        cmocka_unit_test(an_earlier_model_is_gone_on_from),
        cmocka_unit_test(parts_are_cut_out_of_a_model),
        cmocka_unit_test(words_have_capitals),
        cmocka_unit_test(every_word_is_said_with_a_capital),
    };
    return cmocka_run_group_tests(tests, open_recipe, close_recipe);
}
