/* Plain text: a record a paragraph; and what wikiextractor writes, an article between <doc> and </doc>.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <string.h>

#include "dataset/readers/reading.h"
#include "text/buffer.h"

typedef struct paragraph {
    so_string text;
    int64_t line; /* where it begins */
    char id[64];
} paragraph;

static so_status finish(so_reading *r, paragraph *p, so_error *error)
{
    const char *text = p->text.data;
    size_t size = p->text.size;
    so_strip(&text, &size);
    so_status status = SO_OK;
    if (size && !so_utf8_valid(text, size))
        status = so_sink_bad(r->sink, SO_BAD_UTF8, r->path, p->line, error, "a paragraph that is not UTF-8");
    else if (size && memchr(text, 0, size))
        status = so_sink_bad(r->sink, SO_BAD_UTF8, r->path, p->line, error, "a paragraph with zero bytes");
    else if (size > SO_READ_LINE)
        status = so_sink_bad(r->sink, SO_BAD_LONG, r->path, p->line, error, "a paragraph of %zu bytes", size);
    else if (size) {
        json_t *record = so_reading_record(r, p->id[0] ? p->id : NULL);
        json_t *turn = so_reading_turn(record, "assistant", "");
        json_object_set_new(turn, "text", json_stringn(text, size));
        status = so_sink_put(r->sink, record, r->path, p->line, error);
    }
    p->text.size = 0;
    return status;
}

so_status so_read_text(so_reading *r, so_error *error)
{
    so_map map;
    paragraph p = {.line = 1};
    so_status status = SO_OK;
    SO_TRY(so_map_open(&map, r->path, error));
    const char *at = (const char *)map.data, *end = at + map.size;
    int64_t number = 1;
    bool inside = false; /* an article: blank lines do not part it */
    for (; at < end && status == SO_OK; number++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t size = stop ? (size_t)(stop - at) : (size_t)(end - at), blank = 0;
        while (blank < size && (at[blank] == ' ' || at[blank] == '\t' || at[blank] == '\r')) blank++;
        bool opens = size > 5 && memcmp(at, "<doc ", 5) == 0, closes = size >= 6 && memcmp(at, "</doc>", 6) == 0;
        if (opens || closes || (blank == size && !inside)) {
            status = finish(r, &p, error);
            p.line = number + 1;
            p.id[0] = 0;
            inside = opens ? true : closes ? false : inside;
            const char *id = opens ? memmem(at, size, "id=\"", 4) : NULL;
            size_t room = id ? (size_t)(at + size - id - 4) : 0, n = 0;
            while (n < room && n < sizeof p.id - 1 && id[4 + n] > ' ' && id[4 + n] < 127 && id[4 + n] != '"') n++;
            if (id) snprintf(p.id, sizeof p.id, "%.*s", (int)n, id + 4);
        } else {
            status = so_string_add(&p.text, at, size, error);
            if (status == SO_OK) status = so_string_put(&p.text, "\n", error);
        }
        at = stop ? stop + 1 : end;
    }
    if (status == SO_OK) status = finish(r, &p, error);
    so_string_clear(&p.text);
    so_map_close(&map);
    return status;
}
