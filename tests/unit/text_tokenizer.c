/* text/tokenizer: a small learnt vocabulary through every form, against a plain reference of the merges.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <time.h>

#include "base/file.h"
#include "base/rng.h"
#include "text/bpe_train.h"
#include "text/chat.h"
#include "text/tokenizer.h"
#include "text/transcript.h"

static so_error error;

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Sentences of made-up words: the same for every seed. */
static so_string corpus(uint64_t seed, size_t size)
{
    static const char *const words[] = {"the ",     "cat ",      "red ",  "ball ",        "isn't ",
                                        "left of ", "blue cube", ".\n",   "what ",        "colour ",
                                        "is ",      "12 ",       "3456 ", "caf\xc3\xa9 ", "\xe4\xbd\xa0\xe5\xa5\xbd",
                                        "  ",       "table",     "top ",  ", and ",       "It's "};
    so_string text = {0};
    so_rng rng;
    so_rng_init(&rng, seed, 0);
    while (text.size < size)
        CHECK_OK(so_string_put(&text, words[so_rng_below(&rng, sizeof words / sizeof *words)], &error), error);
    return text;
}

static so_tokenizer *trained(int32_t size, int32_t units, bool add_bos)
{
    so_bpe_trainer *trainer;
    so_tokenizer *tokenizer;
    so_bpe_options options = {.size = size, .units = units, .add_bos = add_bos};
    so_string text = corpus(1, 50000);
    CHECK_OK(so_bpe_trainer_open(&trainer, &options, &error), error);
    CHECK_OK(so_bpe_trainer_feed(trainer, text.data, text.size, &error), error);
    CHECK_OK(so_bpe_trainer_finish(trainer, &tokenizer, &error), error);
    so_tokenizer *again;
    assert_int_equal(so_bpe_trainer_finish(trainer, &again, &error), SO_ERR_STATE);
    so_bpe_trainer_close(&trainer);
    so_string_clear(&text);
    return tokenizer;
}

static void check_same(const so_tokenizer *x, const so_tokenizer *y)
{
    so_tokenizer_parts a, b;
    so_tokenizer_parts_of(x, &a);
    so_tokenizer_parts_of(y, &b);
    assert_int_equal(a.n, b.n);
    assert_memory_equal(a.ends, b.ends, (size_t)a.n * sizeof *a.ends);
    assert_memory_equal(a.kinds, b.kinds, (size_t)a.n);
    assert_memory_equal(a.bytes, b.bytes, a.ends[a.n - 1]);
    assert_int_equal(a.n_merges, b.n_merges);
    assert_memory_equal(a.merges, b.merges, (size_t)a.n_merges * sizeof *a.merges);
    assert_string_equal(a.pattern, b.pattern);
    assert_int_equal(a.add_bos, b.add_bos);
    assert_int_equal(a.whole_pieces, b.whole_pieces);
    assert_memory_equal(so_tokenizer_names(x), so_tokenizer_names(y), sizeof(so_token_names));
}

static void training_is_deterministic_and_finishes_once(void **state)
{
    (void)state;
    so_tokenizer *a = trained(400, 32, false), *b = trained(400, 32, false);
    check_same(a, b);
    const so_token_names *names = so_tokenizer_names(a);
    assert_int_equal(names->bos, so_tokenizer_find(a, "<|begin_of_text|>", 17));
    assert_true(names->bos >= 256 && names->blank > names->bos && names->eot > names->blank);
    assert_int_equal(names->units, 32);
    assert_int_equal(names->first_unit + 32, so_tokenizer_size(a));
    assert_int_equal(so_tokenizer_find(a, " the", 4) >= 256, 1);
    so_tokenizer_close(&a);
    so_tokenizer_close(&b);
}

/* The merges that raise the plain count most, computed anew at every step. */
static void first_merges_are_the_most_frequent_pairs(void **state)
{
    (void)state;
    static const char text[] = "ab ab ab abc abc bcd bcd bcd bcd bcd";
    so_bpe_trainer *trainer;
    so_tokenizer *t;
    so_bpe_options options = {.size = 1000};
    CHECK_OK(so_bpe_trainer_open(&trainer, &options, &error), error);
    CHECK_OK(so_bpe_trainer_feed(trainer, text, sizeof text - 1, &error), error);
    CHECK_OK(so_bpe_trainer_finish(trainer, &t, &error), error);
    so_bpe_trainer_close(&trainer);
    so_tokenizer_parts parts;
    so_tokenizer_parts_of(t, &parts);
    /* bc 7; then cd is gone into bc+d 5, " "+bc 5, ab 5, " "+a 4 ... ties by lower ids: (32, bc) before (97, 98). */
    static const char *const expected[] = {"bc", "ab"};
    size_t size;
    const char *first = so_tokenizer_piece(t, 256, &size);
    assert_int_equal(size, 2);
    assert_memory_equal(first, expected[0], 2);
    assert_int_equal(so_tokenizer_find(t, " bcd", 4) > 0, 1);
    assert_int_equal(so_tokenizer_find(t, "zz", 2), -1);
    assert_true(parts.n < 1000); /* the text runs out of pairs */
    so_tokenizer_close(&t);
}

/* Words lie in the text whatever white space was cut from its ends: that of other scripts is none within a text. */
static void words_of_a_transcript_lie_in_it(void **state)
{
    (void)state;
    static const struct {
        const char *bytes, *text;
        size_t words, end;
    } cases[] = {{" ab  cd ", "ab  cd", 2, 6},
                 {"\u00a0ab cd\u00a0", "ab cd", 2, 5},
                 {"ab \u00a0\u00a0", "ab", 1, 2},
                 {"\u00a0 ab", "ab", 1, 2},
                 {"\v\f", "", 0, 0},
                 {"", "", 0, 0}};
    so_tokenizer *t = trained(300, 0, false);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        int32_t label[64];
        so_heard_word word[16];
        so_words_found found = {word, 16, 0};
        so_string text = {0};
        int64_t n = 0;
        for (const char *p = cases[c].bytes; *p; p++) {
            label[n++] = (uint8_t)*p;
            label[n++] = 1000; /* the blank */
        }
        CHECK_OK(so_string_put(&text, "before ", &error), error);
        CHECK_OK(so_transcript_words(t, label, n, 1000, &text, &found, &error), error);
        assert_string_equal(text.data + 7, cases[c].text);
        assert_int_equal(found.n, cases[c].words);
        for (size_t i = 0; i < found.n; i++)
            assert_true(word[i].text_begin >= 7 && word[i].text_begin < word[i].text_end &&
                        word[i].text_end <= text.size);
        if (found.n) assert_int_equal(word[found.n - 1].text_end, 7 + cases[c].end);
        so_string_clear(&text);
    }
    so_tokenizer_close(&t);
}

/* Words that no merges lead to: the commonest ones, whole where they stand as a piece, cut where they do not. */
static void common_pieces_become_tokens_of_their_own(void **state)
{
    (void)state;
    static const char text[] = " window window window window candle candle candle river river lamp";
    so_bpe_trainer *trainer;
    so_tokenizer *t;
    so_bpe_options options = {.size = 258, .pieces = 2};
    CHECK_OK(so_bpe_trainer_open(&trainer, &options, &error), error);
    CHECK_OK(so_bpe_trainer_feed(trainer, text, sizeof text - 1, &error), error);
    CHECK_OK(so_bpe_trainer_finish(trainer, &t, &error), error);
    so_bpe_trainer_close(&trainer);
    so_ids ids = {0};
    so_string back = {0};
    assert_int_equal(so_tokenizer_find(t, " window", 7), 256);
    assert_int_equal(so_tokenizer_find(t, " candle", 7), 257);
    assert_int_equal(so_tokenizer_find(t, " river", 6), -1);
    CHECK_OK(so_tokenizer_encode(t, " candle windows", 15, 0, &ids, &error), error);
    assert_int_equal(ids.n, 1 + 8);
    assert_int_equal(ids.data[0], 257);
    CHECK_OK(so_tokenizer_decode(t, ids.data, ids.n, 0, &back, &error), error);
    assert_int_equal(back.size, 15);
    assert_memory_equal(back.data, " candle windows", 15);
    so_ids_clear(&ids);
    so_string_clear(&back);
    so_tokenizer_close(&t);
    options.pieces = 3;
    assert_int_equal(so_bpe_trainer_open(&trainer, &options, &error), SO_ERR_ARG);
}

/* One piece by the definition: again and again the pair of lowest rank, leftmost first. */
static size_t plain_merges(const so_tokenizer *t, const char *bytes, size_t size, int32_t *ids)
{
    so_tokenizer_parts parts;
    so_tokenizer_parts_of(t, &parts);
    size_t n = size;
    for (size_t i = 0; i < size; i++) ids[i] = so_tokenizer_find(t, bytes + i, 1);
    for (;;) {
        int32_t best = parts.n_merges;
        size_t at = 0;
        for (size_t i = 0; i + 1 < n; i++)
            for (int32_t m = 0; m < best; m++)
                if (parts.merges[m][0] == ids[i] && parts.merges[m][1] == ids[i + 1]) {
                    best = m;
                    at = i;
                }
        if (best == parts.n_merges) return n;
        char joined[512];
        size_t a, b;
        const char *x = so_tokenizer_piece(t, ids[at], &a), *y = so_tokenizer_piece(t, ids[at + 1], &b);
        memcpy(joined, x, a);
        memcpy(joined + a, y, b);
        ids[at] = so_tokenizer_find(t, joined, a + b);
        memmove(ids + at + 1, ids + at + 2, (n - at - 2) * sizeof *ids);
        n--;
    }
}

static void merges_follow_the_definition(void **state)
{
    (void)state;
    so_tokenizer *learnt = trained(340, 0, false), *t;
    so_tokenizer_parts parts;
    so_tokenizer_parts_of(learnt, &parts);
    parts.whole_pieces = false;
    parts.pattern = "[\\s\\S]+"; /* all one piece */
    CHECK_OK(so_tokenizer_build(&t, &parts, &error), error);
    for (uint64_t seed = 10; seed < 60; seed++) {
        so_string text = corpus(seed, 60);
        so_ids ids = {0};
        int32_t expected[512];
        size_t n = plain_merges(t, text.data, text.size, expected);
        CHECK_OK(so_tokenizer_encode(t, text.data, text.size, 0, &ids, &error), error);
        assert_int_equal(ids.n, n);
        assert_memory_equal(ids.data, expected, n * sizeof *expected);
        so_ids_clear(&ids);
        so_string_clear(&text);
    }
    so_tokenizer_close(&t);
    so_tokenizer_close(&learnt);
}

static void round_trips_through_json_and_parts(void **state)
{
    (void)state;
    char folder[] = "/tmp/so_unit_XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/tokenizer.json", folder);
    for (int bos = 0; bos < 2; bos++) {
        so_tokenizer *a = trained(500, 16, bos), *b, *c;
        so_tokenizer_parts parts;
        CHECK_OK(so_tokenizer_save_json(a, path, &error), error);
        double start = seconds();
        CHECK_OK(so_tokenizer_load_json(&b, path, &error), error);
        fprintf(stderr, "# load of %d tokens: %.1f ms\n", so_tokenizer_size(a), 1e3 * (seconds() - start));
        check_same(a, b);
        so_tokenizer_parts_of(a, &parts);
        CHECK_OK(so_tokenizer_build(&c, &parts, &error), error);
        check_same(a, c);
        so_tokenizer_close(&a);
        so_tokenizer_close(&b);
        so_tokenizer_close(&c);
    }
    unlink(path);
    rmdir(folder);
}

static void text_comes_back(void **state)
{
    (void)state;
    so_tokenizer *t = trained(400, 8, false);
    so_rng rng;
    so_rng_init(&rng, 5, 0);
    for (int round = 0; round < 200; round++) {
        char bytes[64];
        size_t size = (size_t)so_rng_below(&rng, sizeof bytes);
        for (size_t i = 0; i < size; i++) bytes[i] = (char)so_rng_below(&rng, round % 2 ? 128 : 256);
        so_string expected = {0}, whole = {0}, streamed = {0};
        so_ids ids = {0};
        so_decoder decoder;
        CHECK_OK(so_utf8_add_lossy(&expected, bytes, size, &error), error);
        CHECK_OK(so_tokenizer_encode(t, bytes, size, SO_ENCODE_ALL, &ids, &error), error);
        CHECK_OK(so_tokenizer_decode(t, ids.data, ids.n, 0, &whole, &error), error);
        assert_int_equal(whole.size, expected.size);
        assert_memory_equal(whole.data, expected.data, whole.size);
        /* any ids, also halves of characters, decode alike whole and streamed */
        for (size_t i = 0; i < ids.n; i++) ids.data[i] = (int32_t)so_rng_below(&rng, so_tokenizer_size(t));
        whole.size = 0;
        CHECK_OK(so_tokenizer_decode(t, ids.data, ids.n, SO_DECODE_SKIP_SPECIAL, &whole, &error), error);
        so_decoder_init(&decoder, t, SO_DECODE_SKIP_SPECIAL);
        for (size_t i = 0; i < ids.n; i++) CHECK_OK(so_decoder_feed(&decoder, ids.data[i], &streamed, &error), error);
        CHECK_OK(so_decoder_flush(&decoder, &streamed, &error), error);
        assert_int_equal(whole.size, streamed.size);
        if (whole.size) assert_memory_equal(whole.data, streamed.data, whole.size);
        so_string_clear(&expected);
        so_string_clear(&whole);
        so_string_clear(&streamed);
        so_ids_clear(&ids);
    }
    so_tokenizer_close(&t);
}

static void cleaning_up_streams(void **state)
{
    (void)state;
    so_tokenizer *t = trained(300, 0, false);
    static const char letters[] = "   ''n't.,!?msvreax";
    so_rng rng;
    so_rng_init(&rng, 6, 0);
    int changed = 0;
    for (int round = 0; round < 3000; round++) {
        char text[40];
        size_t size = (size_t)so_rng_below(&rng, sizeof text);
        for (size_t i = 0; i < size; i++) text[i] = letters[so_rng_below(&rng, sizeof letters - 1)];
        so_string whole = {0}, streamed = {0};
        so_ids ids = {0};
        so_decoder decoder;
        CHECK_OK(so_tokenizer_encode(t, text, size, 0, &ids, &error), error);
        CHECK_OK(so_tokenizer_decode(t, ids.data, ids.n, SO_DECODE_CLEAN_UP, &whole, &error), error);
        so_decoder_init(&decoder, t, SO_DECODE_CLEAN_UP);
        for (size_t i = 0; i < ids.n; i++) CHECK_OK(so_decoder_feed(&decoder, ids.data[i], &streamed, &error), error);
        CHECK_OK(so_decoder_flush(&decoder, &streamed, &error), error);
        assert_string_equal(streamed.data, whole.data);
        changed += whole.size != size;
        so_string_clear(&whole);
        so_string_clear(&streamed);
        so_ids_clear(&ids);
    }
    assert_true(changed > 1000);
    so_tokenizer_close(&t);
}

static void specials_are_seen_only_when_asked(void **state)
{
    (void)state;
    so_tokenizer *t = trained(300, 12, true);
    const so_token_names *names = so_tokenizer_names(t);
    static const char text[] = "a<|eot_id|><Audio_11><Audio_12>";
    so_ids ids = {0};
    CHECK_OK(so_tokenizer_encode(t, text, sizeof text - 1, SO_ENCODE_ALL, &ids, &error), error);
    assert_int_equal(ids.data[0], names->bos);
    assert_int_equal(ids.data[1], 'a');
    assert_int_equal(ids.data[2], names->eot);
    assert_int_equal(ids.data[3], names->first_unit + 11);
    for (size_t i = 4; i < ids.n; i++) assert_int_equal(so_tokenizer_kind(t, ids.data[i]), SO_TOKEN_NORMAL);
    ids.n = 0;
    CHECK_OK(so_tokenizer_encode(t, text, sizeof text - 1, SO_ENCODE_ADDED, &ids, &error), error);
    int units = 0;
    for (size_t i = 0; i < ids.n; i++) {
        assert_int_not_equal(so_tokenizer_kind(t, ids.data[i]), SO_TOKEN_SPECIAL);
        units += so_tokenizer_unit_of(t, ids.data[i]) >= 0;
    }
    assert_int_equal(units, 1);
    ids.n = 0;
    CHECK_OK(so_tokenizer_encode(t, text, sizeof text - 1, 0, &ids, &error), error);
    for (size_t i = 0; i < ids.n; i++) assert_int_equal(so_tokenizer_kind(t, ids.data[i]), SO_TOKEN_NORMAL);
    so_ids_clear(&ids);
    so_tokenizer_close(&t);
}

/* Seconds of the processor that a text of this size takes. */
static double seconds_of(so_tokenizer *t, const char *fill, size_t size)
{
    size_t width = strlen(fill);
    char *text = malloc(size);
    for (size_t i = 0; i < size; i++) text[i] = fill[i % width];
    so_ids ids = {0};
    double start = seconds();
    CHECK_OK(so_tokenizer_encode(t, text, size, SO_ENCODE_ALL, &ids, &error), error);
    double took = seconds() - start;
    so_ids_clear(&ids);
    free(text);
    return took;
}

/* Four times the size may take no more than about four times the time: eight is the bar, quadratic would be sixteen. A
 * machine with other work makes some of the runs longer: of as many as it takes, ten at most, the shortest count. */
static void long_runs_take_near_linear_time(void **state)
{
    (void)state;
    so_tokenizer *t = trained(400, 0, false);
    static const char *const fills[] = {"a", " ", "the ", "\n", "1"};
    for (size_t f = 0; f < sizeof fills / sizeof *fills; f++) {
        double took[2] = {1e9, 1e9};
        for (int run = 0; run < 10 && (run == 0 || took[1] > 8 * took[0] + 0.1); run++)
            for (int k = 0; k < 2; k++) {
                double now = seconds_of(t, fills[f], (size_t)1 << (18 + 2 * k));
                if (now < took[k]) took[k] = now;
            }
        if (took[1] > 8 * took[0] + 0.1)
            fail_msg("1 MiB of \"%s\": %.3f s, 256 KiB: %.3f s", fills[f], took[1], took[0]);
    }
    so_tokenizer_close(&t);
}

static void prompts_of_small_vocabularies_have_their_own_lengths(void **state)
{
    (void)state;
    so_tokenizer *t = trained(300, 12, false);
    const so_token_names *names = so_tokenizer_names(t);
    static const char content[] = "<image>\n<Audio_3><Audio_4>", forged[] = "a<|eot_id|>b";
    so_message message = {"user", content, sizeof content - 1};
    so_prompt prompt = {0};
    CHECK_OK(so_chat_encode(t, &message, 1, NULL, &prompt, &error), error);
    assert_int_equal(prompt.images, 1);
    assert_int_equal(prompt.ids.data[prompt.label_first], names->end_header);
    assert_int_equal(prompt.ids.data[prompt.prefix], SO_IMAGE_ID);
    assert_int_equal(prompt.last_message, prompt.prefix);
    assert_int_equal(prompt.ids.data[prompt.prefix + 1], names->first_unit + 3); /* the line break was dropped */
    assert_int_equal(prompt.ids.data[(int32_t)prompt.ids.n - prompt.suffix], names->eot);
    assert_int_equal(prompt.ids.data[prompt.label_last + prompt.images - 1], names->start_header);
    message = (so_message){"user", forged, sizeof forged - 1};
    for (int literal = 0; literal < 2; literal++) {
        so_chat_options options = {.system = "Be brief.", .literal_contents = literal};
        CHECK_OK(so_chat_encode(t, &message, 1, &options, &prompt, &error), error);
        int ends = 0;
        for (size_t i = 0; i < prompt.ids.n; i++) ends += prompt.ids.data[i] == names->eot;
        assert_int_equal(ends, literal ? 2 : 3);
    }
    assert_int_equal(so_chat_encode(t, &message, 0, NULL, &prompt, &error), SO_ERR_ARG);
    so_prompt_clear(&prompt);
    so_tokenizer_close(&t);
}

static void bad_files_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        so_status status;
        const char *says;
    } cases[] = {
        {"", SO_ERR_FORMAT, "an empty file"},
        {"\xef\xbb\xbf{}", SO_ERR_FORMAT, "a byte order mark"},
        {"<html></html>", SO_ERR_FORMAT, "an HTML page"},
        {"{\"a\":1,}", SO_ERR_FORMAT, "not a JSON object"},
        {"{\"model\":{\"type\":\"BPE\"}} x", SO_ERR_FORMAT, "not a JSON object"},
        {"{}", SO_ERR_UNSUPPORTED, "model.type"},
        {"{\"model\":{\"type\":\"Unigram\"}}", SO_ERR_UNSUPPORTED, "model.type"},
        {"{\"model\":{\"type\":\"BPE\",\"dropout\":0.1}}", SO_ERR_UNSUPPORTED, "dropout"},
        {"{\"model\":{\"type\":\"BPE\"},\"normalizer\":{\"type\":\"NFC\"}}", SO_ERR_UNSUPPORTED, "normalizer"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{},\"merges\":[]},\"pre_tokenizer\":{\"type\":\"ByteLevel\"}}",
         SO_ERR_FORMAT, "tokens"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":-1},\"merges\":[]},\"pre_tokenizer\":{\"type\":\"ByteLevel\"}}",
         SO_ERR_FORMAT, "id"},
    };
    so_tokenizer *t;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(so_tokenizer_parse_json(&t, cases[i].json, strlen(cases[i].json), &error), cases[i].status);
        assert_null(t);
        if (!strstr(error.text, cases[i].says)) fail_msg("case %zu says: %s", i, error.text);
    }
    static const char *const ranks[] = {"IQ== 1\n", "IQ 0\n", "IQ== \n", "I!== 0\n", "IQ==0\n", "IQ== 0\nIQ== 1\n"};
    for (size_t i = 0; i < sizeof ranks / sizeof *ranks; i++) {
        assert_int_equal(so_tokenizer_parse_ranks(&t, ranks[i], strlen(ranks[i]), 4, &error), SO_ERR_FORMAT);
        assert_null(t);
    }
}

static void bad_parts_are_refused(void **state)
{
    (void)state;
    so_tokenizer *good = trained(300, 4, false), *t;
    so_tokenizer_parts parts;
    so_tokenizer_parts_of(good, &parts);
    so_tokenizer_parts bad = parts;
    bad.pattern = "(";
    assert_int_equal(so_tokenizer_build(&t, &bad, &error), SO_ERR_FORMAT);
    const int32_t merge[1][2] = {{0, 100000}}, lost[1][2] = {{1, 2}};
    bad = parts;
    bad.n_merges = 1;
    bad.merges = merge;
    assert_int_equal(so_tokenizer_build(&t, &bad, &error), SO_ERR_FORMAT);
    bad.merges = lost;
    assert_int_equal(so_tokenizer_build(&t, &bad, &error), SO_ERR_FORMAT);
    bad = parts;
    bad.n = 200;
    assert_int_equal(so_tokenizer_build(&t, &bad, &error), SO_ERR_FORMAT);
    so_string text = {0};
    int32_t id = so_tokenizer_size(good);
    assert_int_equal(so_tokenizer_decode(good, &id, 1, 0, &text, &error), SO_ERR_ARG);
    id = -200;
    assert_int_equal(so_tokenizer_decode(good, &id, 1, 0, &text, &error), SO_ERR_ARG);
    so_string_clear(&text);
    so_tokenizer_close(&good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(training_is_deterministic_and_finishes_once),
        cmocka_unit_test(first_merges_are_the_most_frequent_pairs),
        cmocka_unit_test(words_of_a_transcript_lie_in_it),
        cmocka_unit_test(common_pieces_become_tokens_of_their_own),
        cmocka_unit_test(merges_follow_the_definition),
        cmocka_unit_test(round_trips_through_json_and_parts),
        cmocka_unit_test(text_comes_back),
        cmocka_unit_test(cleaning_up_streams),
        cmocka_unit_test(specials_are_seen_only_when_asked),
        cmocka_unit_test(long_runs_take_near_linear_time),
        cmocka_unit_test(prompts_of_small_vocabularies_have_their_own_lengths),
        cmocka_unit_test(bad_files_are_refused_by_name),
        cmocka_unit_test(bad_parts_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
