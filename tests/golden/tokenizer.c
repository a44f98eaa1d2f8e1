/* The tokenizer and the chat template against the reference's results for the vocabulary of Llama 3.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <jansson.h>
#include <time.h>

#include "text/chat.h"
#include "text/tokenizer.h"

#define UNITS 4096

static json_t *golden;
static so_tokenizer *from_json, *from_ranks;
static so_error error;

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void need_reference(void)
{
    if (golden) return;
    golden = json_load_file(check_shared("reference/llama3-tokenizer/golden-tokenizer.json"), 0, NULL);
    assert_non_null(golden);
    double start = seconds();
    CHECK_OK(so_tokenizer_load_json(&from_json, check_shared("reference/llama3-tokenizer/tokenizer.json"), &error),
             error);
    double middle = seconds();
    CHECK_OK(
        so_tokenizer_load_ranks(&from_ranks, check_shared("reference/llama3-tokenizer/tokenizer.model"), UNITS, &error),
        error);
    fprintf(stderr, "# load: tokenizer.json %.0f ms, ranks %.0f ms\n", 1e3 * (middle - start),
            1e3 * (seconds() - middle));
}

static so_ids ids_of(const json_t *list)
{
    so_ids ids = {0};
    size_t i;
    json_t *id;
    json_array_foreach(list, i, id) CHECK_OK(so_ids_put(&ids, (int32_t)json_integer_value(id), &error), error);
    return ids;
}

static void check_ids(const char *what, const so_ids *got, const json_t *expected)
{
    so_ids wanted = ids_of(expected);
    size_t i = 0;
    while (i < got->n && i < wanted.n && got->data[i] == wanted.data[i]) i++;
    if (i < got->n || i < wanted.n)
        fail_msg("\"%s\": %zu ids, expected %zu, they part at %zu (%d, expected %d)", what, got->n, wanted.n, i,
                 i < got->n ? got->data[i] : -1, i < wanted.n ? wanted.data[i] : -1);
    so_ids_clear(&wanted);
}

static void encodes_every_string(void **state)
{
    (void)state;
    need_reference();
    size_t i;
    json_t *item, *list = json_object_get(golden, "encode");
    assert_true(json_array_size(list) >= 90);
    json_array_foreach(list, i, item)
    {
        const json_t *text = json_object_get(item, "text");
        for (int k = 0; k < 2; k++) {
            so_ids ids = {0};
            CHECK_OK(so_tokenizer_encode(k ? from_ranks : from_json, json_string_value(text), json_string_length(text),
                                         SO_ENCODE_ALL, &ids, &error),
                     error);
            check_ids(json_string_value(text), &ids, json_object_get(item, "ids"));
            so_ids_clear(&ids);
        }
    }
}

static void decodes_every_list(void **state)
{
    (void)state;
    need_reference();
    static const char *const keys[] = {"text", "text_skip_special", "text_skip_special_cleaned"};
    static const unsigned flags[] = {0, SO_DECODE_SKIP_SPECIAL, SO_DECODE_SKIP_SPECIAL | SO_DECODE_CLEAN_UP};
    size_t i;
    json_t *item, *list = json_object_get(golden, "decode");
    assert_true(json_array_size(list) >= 10);
    json_array_foreach(list, i, item)
    {
        so_ids ids = ids_of(json_object_get(item, "ids"));
        for (int k = 0; k < 3; k++) {
            so_string text = {0}, streamed = {0};
            CHECK_OK(so_tokenizer_decode(from_json, ids.data, ids.n, flags[k], &text, &error), error);
            assert_string_equal(text.data, json_string_value(json_object_get(item, keys[k])));
            so_decoder decoder;
            so_decoder_init(&decoder, from_ranks, flags[k]);
            for (size_t at = 0; at < ids.n; at++) {
                CHECK_OK(so_decoder_feed(&decoder, ids.data[at], &streamed, &error), error);
                assert_true(so_utf8_valid(streamed.data ? streamed.data : "", streamed.size));
            }
            CHECK_OK(so_decoder_flush(&decoder, &streamed, &error), error);
            assert_string_equal(streamed.data, text.data);
            so_string_clear(&text);
            so_string_clear(&streamed);
        }
        so_ids_clear(&ids);
    }
}

/* The same tokenizer with a BOS of its own. */
static so_tokenizer *adding_bos(void)
{
    so_tokenizer *tokenizer;
    so_tokenizer_parts parts;
    so_tokenizer_parts_of(from_ranks, &parts);
    parts.add_bos = true;
    CHECK_OK(so_tokenizer_build(&tokenizer, &parts, &error), error);
    return tokenizer;
}

static void check_conversation(const so_tokenizer *bos, const json_t *item)
{
    const json_t *turns = json_object_get(item, "turns");
    so_message messages[8];
    size_t n = json_array_size(turns);
    bool picture = false;
    assert_true(n <= 8);
    for (size_t i = 0; i < n; i++) {
        const json_t *turn = json_array_get(turns, i), *content = json_object_get(turn, "content");
        messages[i] = (so_message){json_string_value(json_object_get(turn, "role")), json_string_value(content),
                                   json_string_length(content)};
        picture = picture || strstr(messages[i].content, SO_IMAGE_MARK);
    }
    so_string text = {0};
    CHECK_OK(so_chat_render(messages, n, NULL, &text, &error), error);
    assert_string_equal(text.data, json_string_value(json_object_get(item, "prompt")));
    for (int literal = 0; literal < 2; literal++) {
        so_chat_options options = {.literal_contents = literal};
        so_prompt prompt = {0};
        CHECK_OK(so_chat_encode(from_json, messages, n, &options, &prompt, &error), error);
        check_ids(text.data, &prompt.ids, json_object_get(item, "ids_no_bos_added"));
        assert_int_equal(prompt.images, picture);
        assert_int_equal(prompt.prefix, 45);
        assert_int_equal(prompt.suffix, 5);
        assert_int_equal(prompt.label_first, 43);
        assert_int_equal(prompt.label_last, (int32_t)prompt.ids.n - prompt.images - 3);
        CHECK_OK(so_chat_encode(bos, messages, n, &options, &prompt, &error), error);
        check_ids(text.data, &prompt.ids, json_object_get(item, "ids_bos_added"));
        assert_int_equal(prompt.label_first, 44);
        so_prompt_clear(&prompt);
    }
    so_string_clear(&text);
}

static void renders_every_conversation(void **state)
{
    (void)state;
    need_reference();
    size_t i;
    json_t *item, *list = json_object_get(golden, "chat");
    so_tokenizer *bos = adding_bos();
    assert_true(json_array_size(list) >= 5);
    json_array_foreach(list, i, item) check_conversation(bos, item);
    so_tokenizer_close(&bos);
}

static void knows_what_can_be_spoken(void **state)
{
    (void)state;
    need_reference();
    size_t n = ((size_t)so_tokenizer_size(from_json) + 7) / 8, i = 0;
    unsigned char *bitmap = malloc(n);
    CHECK_OK(so_tokenizer_pronounceable(from_json, bitmap, &error), error);
    json_t *silent = json_object_get(json_object_get(golden, "pronounceable"), "unpronounceable_ids");
    assert_int_equal(json_array_size(silent), 4871);
    for (int32_t id = 0; id < so_tokenizer_size(from_json); id++) {
        bool is_silent = i < json_array_size(silent) && json_integer_value(json_array_get(silent, i)) == id;
        i += is_silent;
        if ((bitmap[id >> 3] >> (id & 7) & 1) == is_silent) fail_msg("id %d is wrong", id);
    }
    free(bitmap);
}

static void finds_specials_and_units_by_name(void **state)
{
    (void)state;
    need_reference();
    const so_token_names *names = so_tokenizer_names(from_json);
    assert_memory_equal(names, so_tokenizer_names(from_ranks), sizeof *names);
    const int32_t got[] = {names->bos, names->eos, names->blank,      names->start_header, names->end_header,
                           names->eom, names->eot, names->first_unit, names->units};
    const int32_t expected[] = {128000, 128001, 128002, 128006, 128007, 128008, 128009, 128256, UNITS};
    assert_memory_equal(got, expected, sizeof got);
    assert_int_equal(so_tokenizer_unit_id(from_json, 4095), 132351);
    assert_int_equal(so_tokenizer_unit_id(from_json, 4096), -1);
    assert_int_equal(so_tokenizer_unit_of(from_json, 128255), -1);
    assert_int_equal(so_tokenizer_unit_of(from_json, 128257), 1);
}

/* Both files hold one tokenizer, and the merges follow from the ranks. */
static void both_files_say_the_same(void **state)
{
    (void)state;
    need_reference();
    so_tokenizer_parts a, b;
    so_tokenizer_parts_of(from_json, &a);
    so_tokenizer_parts_of(from_ranks, &b);
    assert_int_equal(a.n, b.n);
    assert_memory_equal(a.ends, b.ends, (size_t)a.n * sizeof *a.ends);
    assert_memory_equal(a.kinds, b.kinds, (size_t)a.n);
    assert_memory_equal(a.bytes, b.bytes, a.ends[a.n - 1]);
    assert_string_equal(a.pattern, b.pattern);
    int32_t(*merges)[2], n;
    CHECK_OK(so_tokenizer_list_merges(from_ranks, &merges, &n, &error), error);
    assert_int_equal(n, a.n_merges);
    assert_memory_equal(merges, a.merges, (size_t)n * sizeof *merges);
    free(merges);
}

static int close_reference(void **state)
{
    (void)state;
    json_decref(golden);
    so_tokenizer_close(&from_json);
    so_tokenizer_close(&from_ranks);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encodes_every_string),
        cmocka_unit_test(decodes_every_list),
        cmocka_unit_test(renders_every_conversation),
        cmocka_unit_test(knows_what_can_be_spoken),
        cmocka_unit_test(finds_specials_and_units_by_name),
        cmocka_unit_test(both_files_say_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, close_reference);
}
