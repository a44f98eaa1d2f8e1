/* Saying given words: sentence by sentence, each as an answer of its own to the same prompt, because that is what
 * models learn; told and remembered as one answer. SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "engine/said.h"
#include "text/sentence.h"

/* One sentence more at the end of the script; between two, a blank that is told and remembered but not spoken. */
static so_status add_sentence(so_session *s, const char *text, size_t size, bool parted, so_error *error)
{
    const so_tokenizer *t = s->model->tokenizer;
    if (parted && s->script.n) SO_TRY(so_tokenizer_encode(t, " ", 1, 0, &s->script, error));
    SO_TRY(so_ids_put(&s->script_at, (int32_t)s->script.n, error));
    SO_TRY(so_tokenizer_encode(t, text, size, 0, &s->script, error));
    return so_ids_put(&s->script_end, (int32_t)s->script.n, error);
}

so_status so_session_script(so_session *s, const char *utf8, so_error *error)
{
    size_t left = strlen(utf8);
    bool parted = false;
    s->script.n = s->script_at.n = s->script_end.n = s->unsaid.size = 0;
    SO_TRY(so_string_reserve(&s->unsaid, 2 * strlen(utf8) + 16, error));
    s->sentence = s->barren = 0;
    for (const char *p = utf8; left > 0;) {
        if (strchr(" \t\r\n", *p)) {
            parted = true;
            p++;
            left--;
            continue;
        }
        size_t n = so_sentence_size(p, left);
        SO_TRY(add_sentence(s, p, n, parted, error));
        parted = false;
        p += n;
        left -= n;
    }
    return SO_OK;
}

void so_session_recite(so_session *s)
{
    if (!s->script.n) return;
    int32_t from = s->script_at.data[s->sentence], to = s->script_end.data[s->sentence];
    s->talk->options.max_units = s->max_units - s->n_said;
    so_talk_recite(s->talk, s->script.data + from, to - from);
}

/* Tokens of the sentence that the voice ended before: what has no sound is told all the same. */
static so_status tell_rest(so_session *s, int64_t from, int64_t to, so_error *error)
{
    const int32_t *id = s->script.data;
    bool silent = true;
    for (int64_t i = from; i < to; i++) silent = silent && !so_model_spoken(s->model, id[i]);
    for (int64_t i = from; i < to; i++) {
        if (silent) SO_TRY(so_decoder_feed(&s->decoder, id[i], &s->answer, error));
        s->text_end[i] = (int32_t)s->answer.size;
    }
    return so_decoder_flush(&s->decoder, &s->answer, error);
}

/* ---- a sentence that the voice ends before it has been given all of it */

/* First token, from `at` on, that begins a word. */
static int64_t next_word(const so_session *s, int64_t at, int64_t end)
{
    size_t bytes;
    for (; at < end; at++) {
        const char *text = so_tokenizer_piece(s->model->tokenizer, s->script.data[at], &bytes);
        if (bytes && strchr(" \t\r\n", text[0])) break;
    }
    return at;
}

/* Words of the script that will not be spoken are kept, to be told when all is said. */
static so_status give_up(so_session *s, int64_t from, int64_t to, so_error *error)
{
    size_t bytes;
    for (int64_t i = from; i < to; i++) {
        const char *text = so_tokenizer_piece(s->model->tokenizer, s->script.data[i], &bytes);
        SO_TRY(so_string_add(&s->unsaid, text, bytes, error));
    }
    return from < to ? so_string_add(&s->unsaid, " ", 1, error) : SO_OK;
}

/* Where the voice goes on: at the word that it was in, behind the first one where it came to none; `end` to give up.
 * Two pieces in a row without a word are enough. */
static int64_t where_to_go_on(so_session *s, int64_t end)
{
    int64_t from = s->spoken.base_text, reached = s->spoken.text[s->spoken.units], word = from;
    s->barren = reached > from ? 0 : s->barren + 1;
    if (s->barren > 1) return end;
    for (int64_t at = from; at <= reached && at < end; at = next_word(s, at + 1, end)) word = at;
    if (word == from) word = next_word(s, from + 1, end);
    for (int64_t i = word; i < end; i++)
        if (so_model_spoken(s->model, s->script.data[i])) return word;
    return end;
}

/* What is left becomes a sentence of its own. */
static so_status go_on(so_session *s, int64_t made, int64_t at, int64_t end, so_error *error)
{
    size_t i = (size_t)++s->sentence;
    SO_TRY(so_ids_put(&s->script_at, 0, error));
    SO_TRY(so_ids_put(&s->script_end, 0, error));
    memmove(s->script_at.data + i + 1, s->script_at.data + i, (s->script_at.n - 1 - i) * sizeof(int32_t));
    memmove(s->script_end.data + i + 1, s->script_end.data + i, (s->script_end.n - 1 - i) * sizeof(int32_t));
    s->script_at.data[i] = (int32_t)at;
    s->script_end.data[i] = (int32_t)end;
    for (int64_t k = made; k < at; k++) {
        SO_TRY(so_decoder_feed(&s->decoder, s->script.data[k], &s->answer, error));
        s->text_end[k] = (int32_t)s->answer.size;
    }
    if (at > s->whole) s->whole = at;
    s->spoken.base_text = at;
    return SO_OK;
}

so_status so_session_next_sentence(so_session *s, bool *more, so_error *error)
{
    *more = false;
    if (!s->script.n || s->usage.stopped) return SO_OK;
    int64_t end = s->script_end.data[s->sentence], made = s->spoken.base_text + s->talk->n_text, at = end;
    if (s->n_said >= s->max_units) return give_up(s, made, (int64_t)s->script.n, error);
    bool last = (size_t)s->sentence + 1 == s->script_at.n;
    if (last && made >= end) return SO_OK;
    SO_TRY(so_said_sentence(s, error));
    if (made < end) {
        at = where_to_go_on(s, end);
        if (s->barren) SO_TRY(give_up(s, s->spoken.base_text, at, error));
    }
    if (last && at == end) return SO_OK;
    *more = true;
    if (at < end) {
        SO_TRY(go_on(s, made, at, end, error));
    } else {
        int64_t next = s->script_at.data[++s->sentence];
        if (made < end) SO_TRY(tell_rest(s, made, end, error));
        if (next > end) SO_TRY(so_string_add(&s->answer, " ", 1, error));
        for (int64_t i = end; i < next; i++) s->text_end[i] = (int32_t)s->answer.size;
        s->spoken.base_text = s->whole = next;
        s->barren = 0;
    }
    s->sure = s->answer.size;
    s->talk->n_text = 0;
    s->stage = SO_NOTED;
    return SO_OK;
}
