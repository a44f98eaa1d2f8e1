/* Ids to text, whole or as they come, and which tokens can be spoken.
 * Source: stream-omni.md sections 5.3 and 6.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "text/table.h"

static so_status check_id(const so_tokenizer *t, int32_t id, so_error *error)
{
    if (so_tokenizer_kind(t, id) != SO_TOKEN_NONE) return SO_OK;
    return so_fail(error, SO_ERR_ARG, "id %d is no token of a vocabulary of %d", id, t->n);
}

/* Replaces `from` by `to`, which is shorter, in place. */
static void replace(so_string *text, size_t start, const char *from, const char *to)
{
    size_t a = strlen(from), b = strlen(to), put = start;
    for (size_t at = start; at < text->size;) {
        if (text->size - at >= a && memcmp(text->data + at, from, a) == 0) {
            memcpy(text->data + put, to, b);
            put += b;
            at += a;
        } else {
            text->data[put++] = text->data[at++];
        }
    }
    text->size = put;
    if (text->data) text->data[put] = 0;
}

static void clean_up(so_string *text, size_t start)
{
    static const char *const pairs[][2] = {
        {" .", "."},     {" ?", "?"},   {" !", "!"},   {" ,", ","},     {" ' ", "'"},
        {" n't", "n't"}, {" 'm", "'m"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) replace(text, start, pairs[i][0], pairs[i][1]);
}

so_status so_tokenizer_decode(const so_tokenizer *t, const int32_t *ids, size_t n, unsigned flags, so_string *text,
                              so_error *error)
{
    so_status status = SO_OK;
    so_string raw = {0};
    size_t start = text->size;
    for (size_t i = 0; i < n; i++) {
        SO_TRY_GO(check_id(t, ids[i], error));
        if (flags & SO_DECODE_SKIP_SPECIAL && t->kinds[ids[i]] == SO_TOKEN_SPECIAL) continue;
        size_t size;
        const char *bytes = so_token_bytes(t, ids[i], &size);
        SO_TRY_GO(so_string_add(&raw, bytes, size, error));
    }
    SO_TRY_GO(so_utf8_add_lossy(text, raw.data, raw.size, error));
    if (flags & SO_DECODE_CLEAN_UP) clean_up(text, start);
done:
    so_string_clear(&raw);
    return status;
}

void so_decoder_init(so_decoder *decoder, const so_tokenizer *tokenizer, unsigned flags)
{
    *decoder = (so_decoder){.tokenizer = tokenizer, .flags = flags};
}

/* Appends what is certain of the held bytes and keeps the rest; `held` is at most 4 and `decoder->bytes` has room. */
static so_status settle(so_decoder *decoder, so_string *text, so_error *error)
{
    while (decoder->held) {
        int32_t c;
        int length = so_utf8_next(decoder->bytes, (size_t)decoder->held, &c);
        if (c == -2) return SO_OK;
        SO_TRY(so_string_add(text, c < 0 ? "\xef\xbf\xbd" : decoder->bytes, c < 0 ? 3 : (size_t)length, error));
        decoder->held -= length;
        memmove(decoder->bytes, decoder->bytes + length, (size_t)decoder->held);
    }
    return SO_OK;
}

/* Bytes at the end of the text that a pattern of clean_up could still reach across: those after the last byte that no
 * pattern contains. */
static size_t unsettled(const so_string *text, size_t start)
{
    size_t at = text->size;
    while (at > start && text->data[at - 1] && strchr(" .?!,'ntmsver", text->data[at - 1])) at--;
    return text->size - at;
}

static so_status take_waiting(so_decoder *decoder, so_string *text, so_error *error)
{
    SO_TRY(so_string_add(text, decoder->tail, (size_t)decoder->waiting, error));
    decoder->waiting = 0;
    return SO_OK;
}

/* Cleans what is settled of the text from `start` on and keeps the rest waiting. */
static void clean_settled(so_decoder *decoder, so_string *text, size_t start)
{
    size_t wait = unsettled(text, start);
    if (wait > sizeof decoder->tail) wait = sizeof decoder->tail / 2;
    memcpy(decoder->tail, text->data + text->size - wait, wait);
    decoder->waiting = (int)wait;
    text->size -= wait;
    text->data[text->size] = 0;
    clean_up(text, start);
}

so_status so_decoder_feed(so_decoder *decoder, int32_t id, so_string *text, so_error *error)
{
    const so_tokenizer *t = decoder->tokenizer;
    size_t size, start = text->size;
    SO_TRY(check_id(t, id, error));
    if (decoder->flags & SO_DECODE_SKIP_SPECIAL && t->kinds[id] == SO_TOKEN_SPECIAL) return SO_OK;
    const char *bytes = so_token_bytes(t, id, &size);
    SO_TRY(take_waiting(decoder, text, error));
    for (size_t i = 0; i < size; i++) {
        decoder->bytes[decoder->held++] = bytes[i];
        SO_TRY(settle(decoder, text, error));
    }
    if (decoder->flags & SO_DECODE_CLEAN_UP) clean_settled(decoder, text, start);
    return SO_OK;
}

so_status so_decoder_flush(so_decoder *decoder, so_string *text, so_error *error)
{
    size_t start = text->size;
    SO_TRY(take_waiting(decoder, text, error));
    SO_TRY(so_utf8_add_lossy(text, decoder->bytes, (size_t)decoder->held, error));
    decoder->held = 0;
    if (decoder->flags & SO_DECODE_CLEAN_UP) clean_up(text, start);
    return SO_OK;
}

so_status so_tokenizer_pronounceable(const so_tokenizer *t, unsigned char *bitmap, so_error *error)
{
    static const char spoken[] = "[\\p{L}\\p{N}_。，',.、“”\"！？!?]";
    so_status status;
    so_string text = {0};
    pcre2_match_data *match = NULL;
    pcre2_code *code;
    SO_TRY_GO(so_pattern_compile(&code, spoken, error));
    match = pcre2_match_data_create(1, NULL);
    if (!match) {
        status = so_fail(error, SO_ERR_NOMEM, "no memory for matching");
        goto done;
    }
    memset(bitmap, 0, ((size_t)t->n + 7) / 8);
    for (int32_t id = 0; id < t->n; id++) {
        size_t size;
        const char *bytes = so_token_bytes(t, id, &size);
        text.size = 0;
        SO_TRY_GO(so_utf8_add_lossy(&text, bytes, size, error));
        if (pcre2_match(code, (PCRE2_SPTR)text.data, text.size, 0, PCRE2_NO_UTF_CHECK, match, NULL) >= 0)
            bitmap[id >> 3] |= (unsigned char)(1 << (id & 7));
    }
done:
    pcre2_match_data_free(match);
    pcre2_code_free(code);
    so_string_clear(&text);
    return status;
}
