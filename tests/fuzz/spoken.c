/* Fuzzes the rules that write text as it is said, and the cutting into sentences: any text is written, in English and
 * in Chinese, and its sentences lie one behind the other. SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/sentence.h"
#include "text/spoken.h"
#include "text/unicode.h"

static void cut(const char *text, size_t size)
{
    for (size_t at = 0, n; at < size; at += n) {
        while (at < size && strchr(" \t\r\n", text[at])) at++;
        if (at == size) break;
        n = so_sentence_size(text + at, size - at);
        if (n == 0 || n > size - at) abort();
    }
}

static void say(so_spoken_rules *rules, const uint8_t *data, size_t size, so_tongue tongue)
{
    so_string out = {0}, whole = {0};
    so_error error;
    if (so_spoken_write(rules, (const char *)data, size, tongue, &out, &error) != SO_OK) {
        fprintf(stderr, "%s\n", error.text);
        abort();
    }
    /* What comes out is UTF-8: nothing of it is replaced. */
    if (out.size && so_utf8_add_lossy(&whole, out.data, out.size, &error) != SO_OK) abort();
    if (whole.size != out.size || (out.size && memcmp(whole.data, out.data, out.size) != 0)) abort();
    if (out.size) cut(out.data, out.size);
    so_string_clear(&out);
    so_string_clear(&whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static so_spoken_rules *rules;
    so_error error;
    if (!rules && so_spoken_open(&rules, &error) != SO_OK) abort();
    for (int tongue = SO_TONGUE_TOLD; tongue <= SO_TONGUE_CHINESE; tongue++) say(rules, data, size, (so_tongue)tongue);
    char *text = malloc(size + 1); /* right up to its end */
    if (!text) abort();
    memcpy(text, data, size);
    for (size_t i = 0; i < size; i++)
        if (!text[i]) text[i] = ' ';
    text[size] = 0;
    cut(text, size);
    free(text);
    return 0;
}
