/* URLs as arguments.
 * Source: RFC 2397 (data:), RFC 3986 (percent-encoding).
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "apps/operand_url.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "net/base64.h"
#include "net/fetch.h"

enum { LIMIT = 256 << 20, TRIES = 3 };

bool so_url_scheme(const char *a)
{
    size_t n = strspn(a, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.");
    if (n == 4 && strncasecmp(a, "data:", 5) == 0) return a[strcspn(a, ", \t\n")] == ',';
    return n > 1 && isalpha((unsigned char)a[0]) && strncmp(a + n, "://", 3) == 0;
}

/* In place, passing over blanks and line breaks; the number of bytes, or -1. */
static long decode64(char *text)
{
    so_base64 state = {0};
    size_t n = 0, wrote;
    for (const char *in = text; *in; in++)
        if (!isspace((unsigned char)*in)) text[n++] = *in;
    return so_base64_feed(&state, text, n, text, &wrote) && so_base64_end(&state) ? (long)wrote : -1;
}

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : isxdigit((unsigned char)c) ? tolower((unsigned char)c) - 'a' + 10 : -1;
}

/* In place; gives the length. */
static long decode_percent(char *text)
{
    char *out = text;
    for (const char *in = text; *in; in++) {
        bool escape = *in == '%' && hex(in[1]) >= 0 && hex(in[2]) >= 0;
        *out++ = (char)(escape ? hex(in[1]) << 4 | hex(in[2]) : *in);
        if (escape) in += 2;
    }
    *out = 0;
    return (long)(out - text);
}

static so_status read_data(so_input *input, const char *url, so_error *error)
{
    const char *comma = strchr(url, ',');
    bool base64 = comma - url >= 7 && strncasecmp(comma - 7, ";base64", 7) == 0;
    char *bytes = strdup(comma + 1);
    if (!bytes) return so_fail(error, SO_ERR_NOMEM, "no memory for a data: URL");
    long size = decode_percent(bytes);
    if (base64) size = decode64(bytes);
    if (size < 0) {
        free(bytes);
        return so_fail(error, SO_ERR_FORMAT, "the data: URL is no base64");
    }
    input->own = bytes;
    input->data = (const unsigned char *)(size ? bytes : "");
    input->size = (size_t)size;
    return SO_OK;
}

static so_status fetch(so_input *input, const char *url, so_error *error)
{
    so_fetch_options options = {.tries = TRIES};
    so_fetcher *fetcher = NULL;
    so_fetched got = {0};
    SO_TRY(so_fetcher_open(&fetcher, &options, error));
    so_status status = so_fetch_text(fetcher, url, LIMIT, &got, error);
    so_fetcher_close(&fetcher);
    if (status == SO_OK) {
        input->own = got.data;
        input->data = (const unsigned char *)(got.size ? got.data : "");
        input->size = got.size;
        got.data = NULL;
    }
    so_fetched_clear(&got);
    return status;
}

so_status so_url_read(so_input *input, const char *url, so_error *error)
{
    *input = (so_input){0};
    if (strncasecmp(url, "data:", 5) == 0) return read_data(input, url, error);
    if (strncasecmp(url, "http://", 7) == 0 || strncasecmp(url, "https://", 8) == 0) return fetch(input, url, error);
    if (strncasecmp(url, "file:///", 8) == 0) {
        char *path = strdup(url + 7);
        if (!path) return so_fail(error, SO_ERR_NOMEM, "no memory for a path");
        decode_percent(path);
        so_status status = so_input_open(input, path, NULL, error);
        free(path);
        return status;
    }
    return so_fail(error, SO_ERR_UNSUPPORTED,
                   "%.200s: expected a file, or a URL of data:, http:, https: or file:", url);
}
