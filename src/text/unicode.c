/* Forms of Unicode text.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/unicode.h"

#include <stdlib.h>
#include <utf8proc.h>

so_status so_lower(const char *text, size_t size, so_string *out, so_error *error)
{
    for (size_t at = 0; at < size;) {
        int32_t c;
        char bytes[4];
        at += (size_t)so_utf8_next(text + at, size - at, &c);
        if (c == 0x130) {
            SO_TRY(so_string_put(out, "i\xcc\x87", error));
            continue;
        }
        c = c < 0 ? 0xfffd : c < 128 ? (c >= 'A' && c <= 'Z' ? c + 32 : c) : utf8proc_tolower(c);
        SO_TRY(so_string_add(out, bytes, (size_t)so_utf8_put(bytes, c), error));
    }
    return so_string_add(out, "", 0, error);
}

static so_status map(const char *text, size_t size, utf8proc_option_t options, so_string *out, so_error *error)
{
    so_string valid = {0};
    utf8proc_uint8_t *mapped = NULL;
    so_status status = so_utf8_add_lossy(&valid, text, size, error);
    if (status == SO_OK) status = so_string_add(&valid, "", 0, error);
    utf8proc_ssize_t n = 0;
    if (status == SO_OK)
        n = utf8proc_map((const utf8proc_uint8_t *)valid.data, (utf8proc_ssize_t)valid.size, &mapped, options);
    if (n < 0)
        status = so_fail(error, SO_ERR_NOMEM, "%s", utf8proc_errmsg(n));
    else if (status == SO_OK)
        status = so_string_add(out, (const char *)mapped, (size_t)n, error);
    free(mapped);
    so_string_clear(&valid);
    return status;
}

so_status so_decompose(const char *text, size_t size, so_string *out, so_error *error)
{
    return map(text, size, UTF8PROC_STABLE | UTF8PROC_DECOMPOSE, out, error);
}

so_status so_decompose_compatible(const char *text, size_t size, so_string *out, so_error *error)
{
    return map(text, size, UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT, out, error);
}

so_status so_compose_compatible(const char *text, size_t size, so_string *out, so_error *error)
{
    return map(text, size, UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT, out, error);
}

char so_category(int32_t c, char *second)
{
    const char *name = utf8proc_category_string(c < 0 ? 0xfffd : c);
    if (second) *second = name[1];
    return name[0];
}

bool so_is_word_character(int32_t c)
{
    char kind = so_category(c, NULL);
    return kind == 'L' || kind == 'N' || kind == 'M';
}

int so_digit_value(int32_t c)
{
    char second;
    if (c >= '0' && c <= '9') return c - '0';
    if (c < 0x660 || so_category(c, &second) != 'N' || second != 'd') return -1;
    /* Digits come in runs of ten; the five runs of mathematical ones follow each other. */
    if (c >= 0x1d7ce && c <= 0x1d7ff) return (c - 0x1d7ce) % 10;
    int value = 0;
    while (value < 9 && so_category(c - value - 1, &second) == 'N' && second == 'd') value++;
    return value;
}
