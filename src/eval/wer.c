/* Edit distance with its kinds counted.
 * SPDX-License-Identifier: Apache-2.0 */
#include "eval/wer.h"

#include <stdlib.h>
#include <string.h>

typedef struct span {
    const char *text;
    size_t size;
} span;

/* The best way to a cell of the table. */
typedef struct path {
    int32_t edits, substitutions, deletions, insertions;
} path;

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

static bool same(const span *a, const span *b) { return a->size == b->size && memcmp(a->text, b->text, a->size) == 0; }

static path better(path a, path b)
{
    if (a.edits != b.edits) return a.edits < b.edits ? a : b;
    return a.substitutions >= b.substitutions ? a : b;
}

/* `row` has hypothesis_n + 1 cells and ends as the last row of the table. */
static void align(const span *reference, size_t n, const span *hypothesis, size_t m, path *row)
{
    for (size_t j = 0; j <= m; j++) row[j] = (path){(int32_t)j, 0, 0, (int32_t)j};
    for (size_t i = 1; i <= n; i++) {
        path corner = row[0];
        row[0] = (path){(int32_t)i, 0, (int32_t)i, 0};
        for (size_t j = 1; j <= m; j++) {
            path up = row[j], left = row[j - 1], here = corner;
            corner = up;
            if (!same(&reference[i - 1], &hypothesis[j - 1])) {
                here.edits++;
                here.substitutions++;
                up.edits++;
                up.deletions++;
                left.edits++;
                left.insertions++;
                here = better(here, better(up, left));
            }
            row[j] = here;
        }
    }
}

typedef size_t (*split_fn)(const char *text, size_t size, span *out);

static so_status measure(so_wer *wer, span reference, span hypothesis, split_fn split, so_error *error)
{
    if (reference.size >= INT32_MAX / 2 || hypothesis.size >= INT32_MAX / 2)
        return so_fail(error, SO_ERR_LIMIT, "texts of %zu and %zu bytes to compare", reference.size, hypothesis.size);
    so_status status = SO_OK;
    span *a = malloc((reference.size + 1) * sizeof *a), *b = malloc((hypothesis.size + 1) * sizeof *b);
    path *row = malloc((hypothesis.size + 1) * sizeof *row);
    if (!a || !b || !row) {
        status = so_fail(error, SO_ERR_NOMEM, "no memory to compare texts of %zu and %zu bytes", reference.size,
                         hypothesis.size);
        goto done;
    }
    size_t n = split(reference.text, reference.size, a), m = split(hypothesis.text, hypothesis.size, b);
    align(a, n, b, m, row);
    wer->units += (int64_t)n;
    wer->substitutions += row[m].substitutions;
    wer->deletions += row[m].deletions;
    wer->insertions += row[m].insertions;
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
