/* The words of a transcript with their times.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "server/words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CAPTION_CHARACTERS = 84 };
static const double caption_s = 7, pause_s = 0.8;

void so_words_clear(so_words *w)
{
    for (size_t i = 0; i < w->n; i++) free(w->word[i].text);
    free(w->word);
    *w = (so_words){0};
}

bool so_words_add(so_words *w, const char *text, const so_heard_word *word, size_t n)
{
    size_t size = strlen(text);
    so_word *all = realloc(w->word, (w->n + n + 1) * sizeof *all);
    if (!all) return false;
    w->word = all;
    for (size_t i = 0; i < n; i++) {
        const so_heard_word *from = &word[i];
        size_t begin = from->text_begin < size ? from->text_begin : size;
        size_t end = from->text_end < begin ? begin : from->text_end < size ? from->text_end : size;
        so_word *to = &w->word[w->n];
        *to = (so_word){strndup(text + begin, end - begin), from->begin_s, from->end_s};
        if (!to->text) return false;
        w->n++;
    }
    return true;
}

json_t *so_words_json(const so_words *w)
{
    json_t *list = json_array();
    for (size_t i = 0; i < w->n; i++)
        json_array_append_new(list, json_pack("{s:s,s:f,s:f}", "word", w->word[i].text, "start", w->word[i].begin,
                                              "end", w->word[i].end));
    return list;
}

bool so_words_caption(const so_words *w, size_t from, so_caption *c)
{
    if (from >= w->n) return false;
    size_t characters = strlen(w->word[from].text);
    *c = (so_caption){from, 1, w->word[from].begin, w->word[from].end};
    for (size_t i = from + 1; i < w->n; i++) {
        characters += 1 + strlen(w->word[i].text);
        bool pause = w->word[i].begin - w->word[i - 1].end > pause_s;
        if (pause || characters > CAPTION_CHARACTERS || w->word[i].end - c->begin > caption_s) break;
        c->n++;
        c->end = w->word[i].end;
    }
    return true;
}

static void put_time(FILE *out, double seconds, char comma)
{
    long long ms = (long long)(seconds > 0 ? seconds * 1000 + 0.5 : 0);
    fprintf(out, "%02lld:%02lld:%02lld%c%03lld", ms / 3600000, ms / 60000 % 60, ms / 1000 % 60, comma, ms % 1000);
}

static char *captions(const so_words *w, const char *head, bool numbers, char comma)
{
    char *text = NULL;
    size_t size = 0;
    so_caption c;
    FILE *out = open_memstream(&text, &size);
    if (!out) return NULL;
    fputs(head, out);
    for (size_t at = 0, k = 1; so_words_caption(w, at, &c); at += c.n, k++) {
        if (numbers) fprintf(out, "%zu\n", k);
        put_time(out, c.begin, comma);
        fputs(" --> ", out);
        put_time(out, c.end, comma);
        for (size_t i = 0; i < c.n; i++) fprintf(out, "%c%s", i ? ' ' : '\n', w->word[c.first + i].text);
        fputs("\n\n", out);
    }
    fclose(out);
    return text;
}

char *so_words_srt(const so_words *w) { return captions(w, "", true, ','); }
char *so_words_vtt(const so_words *w) { return captions(w, "WEBVTT\n\n", false, '.'); }
