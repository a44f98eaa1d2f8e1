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
    s->script.n = s->script_at.n = s->script_end.n = 0;
    s->sentence = 0;
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

so_status so_session_next_sentence(so_session *s, bool *more, so_error *error)
{
    *more = s->script.n && (size_t)s->sentence + 1 < s->script_at.n && s->n_said < s->max_units && !s->usage.stopped;
    if (!*more) return SO_OK;
    int64_t end = s->script_end.data[s->sentence], next = s->script_at.data[++s->sentence];
    int64_t made = s->spoken.base_text + s->talk->n_text;
    SO_TRY(so_said_sentence(s, error));
    if (made < end) SO_TRY(tell_rest(s, made, end, error));
    if (next > end) SO_TRY(so_string_add(&s->answer, " ", 1, error));
    for (int64_t i = end; i < next; i++) s->text_end[i] = (int32_t)s->answer.size;
    s->spoken.base_text = s->whole = next;
    s->sure = s->answer.size;
    s->talk->n_text = 0;
    s->stage = SO_NOTED;
    return SO_OK;
}
