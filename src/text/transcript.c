/* What was heard, from CTC labels.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/transcript.h"

#include "base/grow.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

so_status so_collapse(const int32_t *label, int64_t n, int32_t blank, so_ids *kept, so_error *error)
{
    for (int64_t i = 0; i < n; i++)
        if (label[i] != blank && label[i] >= 0 && (i == 0 || label[i] != label[i - 1]))
            SO_TRY(so_ids_put(kept, label[i], error));
    return SO_OK;
}

/* Bytes of the text from `from` on belong to the label at `at`. */
static void place(const so_string *text, size_t from, int64_t at, so_words_found *found, bool *open)
{
    for (size_t i = from; i < text->size; i++) {
        if (strchr(" \t\n\r", text->data[i])) {
            *open = false;
            continue;
        }
        if (!*open && found->n == found->most) return;
        if (!*open) found->word[found->n++] = (so_heard_word){.text_begin = i, .begin_s = (double)at};
        *open = true;
        found->word[found->n - 1].text_end = i + 1;
        found->word[found->n - 1].end_s = (double)at + 1;
    }
}

/* Takes the white space at both ends away. */
static void strip_from(so_string *text, size_t begin, so_words_found *found, size_t first)
{
    if (text->size == begin) return;
    const char *bytes = text->data + begin;
    size_t size = text->size - begin;
    so_strip(&bytes, &size);
    size_t cut = (size_t)(bytes - (text->data + begin));
    memmove(text->data + begin, bytes, size);
    text->size = begin + size;
    text->data[text->size] = 0;
    size_t kept = first;
    for (size_t i = first; i < found->n; i++) {
        so_heard_word w = found->word[i];
        w.text_begin = w.text_begin > begin + cut ? w.text_begin - cut : begin;
        w.text_end = w.text_end > begin + cut ? w.text_end - cut : begin;
        if (w.text_end > text->size) w.text_end = text->size; /* white space of other scripts counted as a word */
        if (w.text_begin < w.text_end) found->word[kept++] = w;
    }
    found->n = kept;
}

so_status so_transcript_words(const so_tokenizer *tokenizer, const int32_t *label, int64_t n, int32_t blank,
                              so_string *text, so_words_found *found, so_error *error)
{
    size_t begin = text->size, first = found->n, from;
    bool open = false;
    so_decoder decoder;
    so_decoder_init(&decoder, tokenizer, SO_DECODE_SKIP_SPECIAL);
    for (int64_t i = 0; i < n; i++) {
        from = text->size;
        if (label[i] < 0 || label[i] == blank) continue;
        if (i && label[i] == label[i - 1]) {
            if (open && found->n) found->word[found->n - 1].end_s = (double)i + 1;
            continue;
        }
        SO_TRY(so_decoder_feed(&decoder, label[i], text, error));
        place(text, from, i, found, &open);
    }
    from = text->size;
    SO_TRY(so_decoder_flush(&decoder, text, error));
    place(text, from, n - 1, found, &open);
    strip_from(text, begin, found, first);
    return SO_OK;
}

so_status so_transcript_text(const so_tokenizer *tokenizer, const int32_t *ids, size_t n, so_string *text,
                             so_error *error)
{
    size_t from = text->size;
    so_decoder decoder;
    so_decoder_init(&decoder, tokenizer, SO_DECODE_SKIP_SPECIAL);
    for (size_t i = 0; i < n; i++) SO_TRY(so_decoder_feed(&decoder, ids[i], text, error));
    SO_TRY(so_decoder_flush(&decoder, text, error));
    if (text->size == from) return SO_OK;
    const char *bytes = text->data + from;
    size_t size = text->size - from;
    so_strip(&bytes, &size);
    memmove(text->data + from, bytes, size);
    text->size = from + size;
    text->data[text->size] = 0;
    return SO_OK;
}

static so_status reserve(so_string *text, size_t bytes, so_error *error)
{
    char *grown = so_grow_to(text->data, &text->capacity, bytes, 1);
    if (!grown) return so_fail(error, SO_ERR_NOMEM, "no memory for %zu bytes of a transcript", bytes);
    text->data = grown;
    text->data[0] = 0;
    return SO_OK;
}

int so_words_withdrawn(const char *before, const char *after)
{
    size_t same = 0, begin = 0;
    while (before[same] && before[same] == after[same]) same++;
    /* Back to the beginning of the first word that differs; a word that only grows is not withdrawn. */
    if (!before[same]) return 0;
    for (size_t i = 0; i < same; i++)
        if (before[i] == ' ') begin = i + 1;
    int words = 0;
    for (size_t i = begin; before[i]; i++) words += before[i] != ' ' && (i == begin || before[i - 1] == ' ');
    return words;
}

so_status so_promise_open(so_promise *p, size_t words, size_t bytes, so_error *error)
{
    p->most = words;
    p->word = malloc((words + 1) * sizeof *p->word);
    if (!p->word) return so_fail(error, SO_ERR_NOMEM, "no memory for %zu words", words);
    SO_TRY(reserve(&p->text, bytes, error));
    SO_TRY(reserve(&p->last, bytes, error));
    return reserve(&p->whole, bytes, error);
}

void so_promise_clear(so_promise *p)
{
    so_string_clear(&p->text);
    so_string_clear(&p->last);
    so_string_clear(&p->whole);
    free(p->word);
}

void so_promise_reset(so_promise *p) { p->text.size = p->last.size = p->n = p->agreed = 0; }

/* Puts the promised words in front of those behind them. */
static so_status put_in_front(so_promise *p, so_string *text, so_heard_word *word, size_t *n, so_error *error)
{
    size_t from = p->n < *n ? word[p->n].text_begin : text->size;
    p->whole.size = 0;
    SO_TRY(so_string_add(&p->whole, p->text.data, p->text.size, error));
    if (from < text->size) SO_TRY(so_string_add(&p->whole, " ", 1, error));
    size_t to = p->whole.size;
    SO_TRY(so_string_add(&p->whole, text->data + from, text->size - from, error));
    text->size = 0;
    SO_TRY(so_string_add(text, p->whole.data, p->whole.size, error));
    for (size_t i = p->n; i < *n; i++) {
        word[i].text_begin += to - from;
        word[i].text_end += to - from;
    }
    memcpy(word, p->word, p->n * sizeof *word);
    if (*n < p->n) *n = p->n;
    return SO_OK;
}

so_status so_promise_keep(so_promise *p, so_string *text, so_heard_word *word, size_t *n, bool final, so_error *error)
{
    size_t same = 0, k = p->n;
    if (p->text.size && (text->size < p->text.size || memcmp(text->data, p->text.data, p->text.size) != 0))
        SO_TRY(put_in_front(p, text, word, n, error));
    while (same < text->size && same < p->last.size && text->data[same] == p->last.data[same]) same++;
    size_t agreed = same < p->agreed ? same : p->agreed;
    p->agreed = same;
    p->last.size = 0;
    SO_TRY(so_string_add(&p->last, text->data ? text->data : "", text->size, error));
    while (k < *n && k < p->most && (final || (k + 1 < *n && word[k].text_end < agreed))) k++;
    if (k == p->n) return SO_OK;
    size_t end = word[k - 1].text_end, begin = p->text.size;
    memcpy(p->word + p->n, word + p->n, (k - p->n) * sizeof *word);
    p->n = k;
    return so_string_add(&p->text, text->data + begin, end - begin, error);
}
