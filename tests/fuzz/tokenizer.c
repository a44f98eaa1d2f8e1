/* Fuzzes the readers of tokenizer.json and of rank files, encoding and decoding, patterns, and the normaliser. The
 * first byte chooses which.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/bpe_train.h"
#include "text/chat.h"
#include "text/normalise.h"

static so_error error;

/* A small tokenizer, made once. */
static so_tokenizer *small(void)
{
    static so_tokenizer *tokenizer;
    static const char text[] =
        "the cat and the hat, the cats and the hats; it's 1234 \xc3\xa9\xc3\xa9\xc3\xa9 aaaa aaaa aaaaaaaa";
    if (tokenizer) return tokenizer;
    so_bpe_options options = {.size = 300, .units = 12, .add_bos = true};
    so_bpe_trainer *trainer;
    if (so_bpe_trainer_open(&trainer, &options, &error) ||
        so_bpe_trainer_feed(trainer, text, sizeof text - 1, &error) ||
        so_bpe_trainer_finish(trainer, &tokenizer, &error))
        abort();
    so_bpe_trainer_close(&trainer);
    return tokenizer;
}

static void both_ways(const so_tokenizer *t, const char *text, size_t size, unsigned flags)
{
    so_ids ids = {0};
    so_string back = {0}, streamed = {0}, expected = {0};
    so_decoder decoder;
    if (so_tokenizer_encode(t, text, size, flags, &ids, &error) == SO_OK) {
        if (so_tokenizer_decode(t, ids.data, ids.n, 0, &back, &error) ||
            so_utf8_add_lossy(&expected, text, size, &error))
            abort();
        if (back.size != expected.size || memcmp(back.data, expected.data, back.size) != 0) abort();
        so_decoder_init(&decoder, t, 0);
        for (size_t i = 0; i < ids.n; i++)
            if (so_decoder_feed(&decoder, ids.data[i], &streamed, &error)) abort();
        if (so_decoder_flush(&decoder, &streamed, &error)) abort();
        if (streamed.size != back.size || memcmp(streamed.data, back.data, back.size) != 0) abort();
        back.size = 0;
        if (so_tokenizer_decode(t, ids.data, ids.n, SO_DECODE_SKIP_SPECIAL | SO_DECODE_CLEAN_UP, &back, &error))
            abort();
        if (!so_utf8_valid(back.data, back.size)) abort();
    }
    so_ids_clear(&ids);
    so_string_clear(&back);
    so_string_clear(&streamed);
    so_string_clear(&expected);
}

/* A file whose vocabulary has the bytes already, so that what follows is reached. */
static so_string with_bytes(const char *text, size_t size)
{
    so_string json = {0};
    so_status status = so_string_put(&json, "{\"model\":{\"type\":\"BPE\",\"vocab\":{", &error);
    for (int byte = 0; byte < 256; byte++) {
        char entry[48];
        int c = byte <= 0x20                   ? 0x100 + byte
                : byte >= 0x7f && byte <= 0xa0 ? 0x121 + byte - 0x7f
                : byte == 0xad                 ? 0x143
                                               : byte;
        snprintf(entry, sizeof entry, "%s\"\\u%04x\":%d", byte ? "," : "", (unsigned)c, byte);
        status = status ? status : so_string_put(&json, entry, &error);
    }
    if (status || so_string_add(&json, text, size, &error)) abort();
    return json;
}

static void file(const char *json, size_t size)
{
    so_tokenizer *t;
    if (so_tokenizer_parse_json(&t, json, size, &error) != SO_OK) {
        if (t) abort();
        return;
    }
    unsigned char *bitmap = malloc(((size_t)so_tokenizer_size(t) + 7) / 8);
    if (!bitmap || so_tokenizer_pronounceable(t, bitmap, &error)) abort();
    free(bitmap);
    both_ways(t, "the cat's <|eot_id|> 12", 23, SO_ENCODE_ALL & ~(unsigned)SO_ENCODE_BOS);
    so_tokenizer_close(&t);
}

static void pattern(const char *text, size_t size)
{
    so_tokenizer *t;
    so_tokenizer_parts parts;
    char *own = malloc(size + 1);
    if (!own) abort();
    memcpy(own, text, size);
    own[size] = 0;
    so_tokenizer_parts_of(small(), &parts);
    parts.pattern = own;
    if (so_tokenizer_build(&t, &parts, &error) == SO_OK) both_ways(t, "the cat's\n\n  12345 \xc3\xa9", 20, 0);
    so_tokenizer_close(&t);
    free(own);
}

static void prompt(const char *text, size_t size)
{
    so_message messages[] = {{"user", text, size}, {"assistant", text, size / 2}};
    so_prompt made = {0};
    if (so_chat_encode(small(), messages, 2, NULL, &made, &error) == SO_OK)
        if (made.label_first < 0 || made.label_last > (int32_t)made.ids.n - made.images) abort();
    so_prompt_clear(&made);
}

static void transcript(const char *text, size_t size)
{
    static so_normaliser *normaliser;
    so_string out = {0};
    if (!normaliser && so_normaliser_open(&normaliser, NULL, &error)) abort();
    if (so_normaliser_english(normaliser, text, size, &out, &error) == SO_OK && !so_utf8_valid(out.data, out.size))
        abort();
    so_string_clear(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    so_tokenizer *t;
    if (size == 0) return 0;
    const char *text = (const char *)data + 1;
    so_string json;
    size--;
    switch (data[0] % 7) {
    case 0:
        file(text, size);
        break;
    case 1:
        json = with_bytes(text, size);
        file(json.data, json.size);
        so_string_clear(&json);
        break;
    case 2:
        so_tokenizer_parse_ranks(&t, text, size, 4, &error);
        so_tokenizer_close(&t);
        break;
    case 3:
        both_ways(small(), text, size, SO_ENCODE_SPECIAL | SO_ENCODE_ADDED);
        break;
    case 4:
        pattern(text, size);
        break;
    case 5:
        prompt(text, size);
        break;
    default:
        transcript(text, size);
        break;
    }
    return 0;
}
