/* Edit distance with its kinds counted.
 * SPDX-License-Identifier: Apache-2.0 */
#include "eval/wer.h"

#include <stdlib.h>
#include <string.h>

#include "base/edit.h"

typedef struct span {
    const char *text;
    size_t size;
} span;

static bool is_space(char c) { return c == ' ' || (c >= 9 && c <= 13); }

static size_t split_words(const char *text, size_t size, span *out)
{
    size_t n = 0;
    for (size_t at = 0; at < size;) {
        size_t from = at;
        while (at < size && !is_space(text[at])) at++;
        if (at > from) out[n++] = (span){text + from, at - from};
        at++;
    }
    return n;
}

static size_t split_characters(const char *text, size_t size, span *out)
{
    size_t n = 0;
    for (size_t at = 0; at < size;) {
        size_t from = at++;
        while (at < size && at - from < 4 && ((unsigned char)text[at] & 0xc0) == 0x80) at++;
        out[n++] = (span){text + from, at - from};
    }
    return n;
}

typedef struct texts {
    const span *reference, *hypothesis;
} texts;

static bool same(const void *context, int64_t i, int64_t k)
{
    const span *a = ((const texts *)context)->reference + i, *b = ((const texts *)context)->hypothesis + k;
    return a->size == b->size && memcmp(a->text, b->text, a->size) == 0;
}

typedef size_t (*split_fn)(const char *text, size_t size, span *out);

static so_status measure(so_wer *wer, span reference, span hypothesis, split_fn split, so_error *error)
{
    if (reference.size >= INT32_MAX / 2 || hypothesis.size >= INT32_MAX / 2)
        return so_fail(error, SO_ERR_LIMIT, "texts of %zu and %zu bytes to compare", reference.size, hypothesis.size);
    so_status status = SO_OK;
    span *a = malloc((reference.size + 1) * sizeof *a), *b = malloc((hypothesis.size + 1) * sizeof *b);
    so_edits *row = malloc((hypothesis.size + 1) * sizeof *row);
    if (!a || !b || !row) {
        status = so_fail(error, SO_ERR_NOMEM, "no memory to compare texts of %zu and %zu bytes", reference.size,
                         hypothesis.size);
        goto done;
    }
    size_t n = split(reference.text, reference.size, a), m = split(hypothesis.text, hypothesis.size, b);
    so_edits edits = so_edits_between((int64_t)n, (int64_t)m, same, &(texts){a, b}, row);
    wer->units += (int64_t)n;
    wer->substitutions += edits.substitutions;
    wer->deletions += edits.deletions;
    wer->insertions += edits.insertions;
    wer->pairs++;
done:
    free(a);
    free(b);
    free(row);
    return status;
}

so_status so_wer_words(so_wer *wer, const char *reference, size_t reference_size, const char *hypothesis,
                       size_t hypothesis_size, so_error *error)
{
    return measure(wer, (span){reference, reference_size}, (span){hypothesis, hypothesis_size}, split_words, error);
}

so_status so_wer_characters(so_wer *wer, const char *reference, size_t reference_size, const char *hypothesis,
                            size_t hypothesis_size, so_error *error)
{
    return measure(wer, (span){reference, reference_size}, (span){hypothesis, hypothesis_size}, split_characters,
                   error);
}

double so_wer_rate(const so_wer *wer)
{
    int64_t edits = wer->substitutions + wer->deletions + wer->insertions;
    if (wer->units == 0) return edits ? 1 : 0;
    return (double)edits / (double)wer->units;
}
