/* The regular expression that cuts text into pieces: compiled once, run over valid UTF-8.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/table.h"

#include <stdlib.h>

#define SPACE "\\t-\\r \\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
#define PATTERN_BYTES_MAX 65536
#define MATCH_LIMIT 50000000u /* steps of one match; a run of white space of the longest text stays below it */
#define HEAP_LIMIT 65536u     /* KiB, for the interpreter where the compiled matcher's stack is too small */

/* The pattern with `\s` and `\S` spelled out. */
static so_status spell_out(so_string *out, const char *pattern, so_error *error)
{
    bool in_class = false;
    for (const char *p = pattern; *p; p++) {
        if (*p == '\\' && p[1]) {
            p++;
            if (*p == 's')
                SO_TRY(so_string_put(out, in_class ? SPACE : "[" SPACE "]", error));
            else if (*p == 'S' && !in_class)
                SO_TRY(so_string_put(out, "[^" SPACE "]", error));
            else
                SO_TRY(so_string_add(out, p - 1, 2, error));
            continue;
        }
        if (*p == '[' && !in_class) {
            in_class = true;
            SO_TRY(so_string_add(out, p, 1, error));
            if (p[1] == '^') SO_TRY(so_string_add(out, ++p, 1, error));
            if (p[1] == ']') SO_TRY(so_string_add(out, ++p, 1, error));
            continue;
        }
        if (*p == ']') in_class = false;
        SO_TRY(so_string_add(out, p, 1, error));
    }
    return SO_OK;
}

so_status so_pattern_compile(pcre2_code **out, const char *pattern, so_error *error)
{
    so_status status;
    so_string spelled = {0};
    *out = NULL;
    if (strlen(pattern) > PATTERN_BYTES_MAX)
        return so_fail(error, SO_ERR_LIMIT, "pattern of %zu bytes, more than %d", strlen(pattern), PATTERN_BYTES_MAX);
    SO_TRY_GO(spell_out(&spelled, pattern, error));
    int code;
    PCRE2_SIZE at;
    *out = pcre2_compile((PCRE2_SPTR)(spelled.data ? spelled.data : ""), spelled.size,
                         PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &code, &at, NULL);
    if (!*out) {
        PCRE2_UCHAR message[128];
        pcre2_get_error_message(code, message, sizeof message);
        status = so_fail(error, SO_ERR_FORMAT, "pattern of pieces, byte %zu of %.200s: %s", (size_t)at, spelled.data,
                         (const char *)message);
        goto done;
    }
    pcre2_jit_compile(*out, PCRE2_JIT_COMPLETE); /* where it cannot, the interpreter gives the same matches */
    status = SO_OK;
done:
    so_string_clear(&spelled);
    return status;
}

static so_status match_failed(int result, size_t at, so_error *error)
{
    PCRE2_UCHAR message[128] = "";
    pcre2_get_error_message(result, message, sizeof message);
    return so_fail(error, SO_ERR_LIMIT, "pattern of pieces at byte %zu of the text: %s", at, (const char *)message);
}

so_status so_pattern_split(const pcre2_code *code, const char *text, size_t size, so_piece_fn piece, void *context,
                           so_error *error)
{
    if (size == 0) return SO_OK;
    so_status status = SO_OK;
    pcre2_match_data *match = pcre2_match_data_create(1, NULL);
    pcre2_match_context *limits = pcre2_match_context_create(NULL);
    if (!match || !limits) {
        status = so_fail(error, SO_ERR_NOMEM, "no memory for matching the pattern of pieces");
        goto done;
    }
    pcre2_set_match_limit(limits, MATCH_LIMIT);
    pcre2_set_heap_limit(limits, HEAP_LIMIT);
    size_t from = 0, at = 0; /* bytes from..at have no match so far */
    while (at < size) {
        int result = pcre2_match(code, (PCRE2_SPTR)text, size, at, PCRE2_NO_UTF_CHECK, match, limits);
        if (result == PCRE2_ERROR_JIT_STACKLIMIT)
            result = pcre2_match(code, (PCRE2_SPTR)text, size, at, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, match, limits);
        if (result == PCRE2_ERROR_NOMATCH) break;
        if (result < 0) {
            status = match_failed(result, at, error);
            goto done;
        }
        const PCRE2_SIZE *span = pcre2_get_ovector_pointer(match);
        if (span[1] <= at && span[1] <= span[0]) { /* an empty match here: step over one character */
            int32_t c;
            at += (size_t)so_utf8_next(text + at, size - at, &c);
            continue;
        }
        if (span[1] < span[0] || span[0] < at) { /* \K can do this */
            status = so_fail(error, SO_ERR_UNSUPPORTED, "a pattern of pieces whose matches move backwards");
            goto done;
        }
        if (span[1] == span[0]) {
            at = span[0];
            continue;
        }
        if (span[0] > from) SO_TRY_GO(piece(context, text + from, span[0] - from, error));
        SO_TRY_GO(piece(context, text + span[0], span[1] - span[0], error));
        from = at = span[1];
    }
    if (from < size) status = piece(context, text + from, size - from, error);
done:
    pcre2_match_context_free(limits);
    pcre2_match_data_free(match);
    return status;
}
