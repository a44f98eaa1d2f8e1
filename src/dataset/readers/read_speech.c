/* Corpora of speech as their folders are: LibriSpeech, AISHELL-1 and -3, Common Voice, Kaldi's.
 * Source: data-eval.md A.3 to A.5, A.7.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/names.h"
#include "dataset/readers/reading.h"
#include "text/rows.h"

/* A text file, line by line; each line is terminated and may be written to. */
typedef struct lines {
    char *data, *next;
    size_t size;
    int64_t number;
} lines;

static so_status open_lines(lines *l, const char *path, so_error *error)
{
    *l = (lines){0};
    SO_TRY(so_file_read(path, (size_t)4 << 30, &l->data, &l->size, error));
    l->next = l->data;
    return SO_OK;
}

static char *next_line(lines *l)
{
    while (l->next && l->next < l->data + l->size) {
        char *line = l->next, *stop = memchr(line, '\n', (size_t)(l->data + l->size - line));
        l->next = stop ? stop + 1 : NULL;
        if (stop) *stop = 0;
        l->number++;
        size_t n = strlen(line);
        if (n && line[n - 1] == '\r') line[n - 1] = 0;
        if (line[0]) return line;
    }
    return NULL;
}

/* Cuts the first word off: what follows its blank or tab; "" where nothing does. */
static char *after_word(char *line)
{
    char *rest = line + strcspn(line, " \t");
    if (*rest) *rest++ = 0;
    return rest + strspn(rest, " \t");
}

/* ---- LibriSpeech */

static so_status chapter(void *context, const char *path, so_error *error)
{
    so_reading *r = context;
    lines l;
    SO_TRY(open_lines(&l, path, error));
    so_status status = SO_OK;
    const char *slash = strrchr(path, '/');
    for (char *line; status == SO_OK && (line = next_line(&l));) {
        char file[SO_READ_PATH], *text = after_word(line), speaker[64];
        snprintf(speaker, sizeof speaker, "librispeech-%.*s", (int)(strcspn(line, "-") < 40 ? strcspn(line, "-") : 40),
                 line);
        snprintf(file, sizeof file, "%.*s/%.200s.flac", (int)(slash - path), path, line);
        if (!r->options->as_is) so_recase(text);
        so_utterance u = {.id = line, .text = text, .path = file, .speaker = speaker, .lang = "en"};
        status = so_reading_utterance(r, &u, path, l.number, error);
    }
    free(l.data);
    return status;
}

so_status so_read_librispeech(so_reading *r, so_error *error)
{
    return so_walk(r->root, ".trans.txt", chapter, r, error);
}

/* ---- transcripts by id */

typedef struct transcript {
    so_reading *r;
    lines l;
    so_names ids;
    char **text; /* [ids.count] */
    int64_t capacity;
    const char *prefix; /* of speakers */
} transcript;

static so_status load(transcript *t, const char *path, so_error *error)
{
    SO_TRY(open_lines(&t->l, path, error));
    for (char *line; (line = next_line(&t->l));) {
        char *text = after_word(line);
        so_span id = so_span_of(line);
        if (so_names_find(&t->ids, id) >= 0) continue;
        if (t->ids.count == t->capacity) {
            int64_t n = t->capacity ? t->capacity * 2 : 1024;
            char **longer = realloc(t->text, (size_t)n * sizeof *longer);
            if (!longer) return so_fail(error, SO_ERR_NOMEM, "no memory for a transcript");
            t->text = longer;
            t->capacity = n;
        }
        t->text[t->ids.count] = text;
        SO_TRY(so_names_add(&t->ids, id, error));
    }
    return SO_OK;
}

static void clear(transcript *t)
{
    so_names_clear(&t->ids);
    free(t->text);
    free(t->l.data);
}

static char *find(const transcript *t, const char *id)
{
    int64_t i = so_names_find(&t->ids, so_span_of(id));
    return i < 0 ? NULL : t->text[i];
}

/* ---- AISHELL-1 */

static so_status aishell_wav(void *context, const char *path, so_error *error)
{
    transcript *t = context;
    char id[256], speaker[64];
    const char *base = strrchr(path, '/') + 1;
    snprintf(id, sizeof id, "%.*s", (int)(strlen(base) - 4), base);
    char *text = find(t, id), *joined = text ? so_join_chinese(text) : NULL;
    if (!text)
        return so_sink_bad(t->r->sink, SO_BAD_NO_TEXT, path, 0, error, "no line of the transcript begins with %s", id);
    if (!joined) return so_fail(error, SO_ERR_NOMEM, "no memory for a transcript");
    for (char *p = joined; *p; p++)
        if (*p >= 'a' && *p <= 'z') *p = (char)(*p + 'A' - 'a');
    snprintf(speaker, sizeof speaker, "aishell-%.5s", strlen(id) > 11 ? id + 6 : id);
    so_utterance u = {.id = id, .text = joined, .path = path, .speaker = speaker, .lang = "zh"};
    so_status status = so_reading_utterance(t->r, &u, path, 0, error);
    free(joined);
    return status;
}

so_status so_read_aishell1(so_reading *r, so_error *error)
{
    transcript t = {.r = r};
    char path[SO_READ_PATH], folder[SO_READ_PATH];
    snprintf(path, sizeof path, "%.4000s/transcript/aishell_transcript_v0.8.txt", r->root);
    snprintf(folder, sizeof folder, "%.4000s/wav", r->root);
    so_status status = load(&t, path, error);
    if (status == SO_OK) status = so_walk(folder, ".wav", aishell_wav, &t, error);
    clear(&t);
    return status;
}

/* ---- AISHELL-3 */

/* "character pinyin character pinyin ...": the characters; false where one of a pair is missing. */
static bool characters(char *text)
{
    char *out = text, *save = NULL;
    int n = 0;
    for (char *word = strtok_r(text, " \t", &save); word; word = strtok_r(NULL, " \t", &save), n++) {
        size_t size = strlen(word);
        if (n % 2 == 0) memmove(out, word, size), out += size;
    }
    *out = 0;
    return n && n % 2 == 0;
}

static so_status contents(void *context, const char *path, so_error *error)
{
    so_reading *r = context;
    lines l;
    so_status status = SO_OK;
    SO_TRY(open_lines(&l, path, error));
    for (char *line; status == SO_OK && (line = next_line(&l));) {
        char file[SO_READ_PATH], speaker[32], *text = after_word(line);
        snprintf(speaker, sizeof speaker, "aishell3-%.7s", line);
        snprintf(file, sizeof file, "%.*s/wav/%.7s/%.200s", (int)(strrchr(path, '/') - path), path, line, line);
        if (!characters(text)) {
            status = so_sink_bad(r->sink, SO_BAD_FORM, path, l.number, error,
                                 "'%.100s': a character without its pinyin", line);
            continue;
        }
        line[strcspn(line, ".")] = 0;
        so_utterance u = {.id = line, .text = text, .path = file, .speaker = speaker, .lang = "zh"};
        status = so_reading_utterance(r, &u, path, l.number, error);
    }
    free(l.data);
    return status;
}

so_status so_read_aishell3(so_reading *r, so_error *error)
{
    return so_walk(r->root, "content.txt", contents, r, error);
}

/* ---- Common Voice */

so_status so_read_commonvoice(so_reading *r, so_error *error)
{
    so_map map;
    so_status status;
    SO_TRY(so_map_open(&map, r->path, error));
    so_rows rows = {.at = (const char *)map.data, .end = (const char *)map.data + map.size, .separator = '\t'};
    bool more = so_rows_next(&rows, SO_READ_LINE, &status, error);
    int path = so_rows_find(&rows, "path"), text = so_rows_find(&rows, "sentence"),
        who = so_rows_find(&rows, "client_id"), lang = so_rows_find(&rows, "locale");
    if (status == SO_OK && (!more || path < 0 || text < 0))
        status = so_fail(error, SO_ERR_FORMAT, "'%s': no columns path and sentence", r->path);
    while (status == SO_OK) {
        char file[SO_READ_PATH], clip[SO_READ_PATH], id[256], speaker[64];
        so_error why = {0};
        if (!so_rows_next(&rows, SO_READ_LINE, &status, &why)) {
            if (status == SO_OK) break;
            status = so_sink_bad(r->sink, SO_BAD_LONG, r->path, rows.line, error, "%s", why.text);
            continue;
        }
        snprintf(id, sizeof id, "%s", so_rows_field(&rows, path));
        snprintf(clip, sizeof clip, "clips/%s", so_rows_field(&rows, path));
        snprintf(file, sizeof file, "%.2000s/%.2000s", r->root, clip);
        snprintf(speaker, sizeof speaker, "commonvoice-%.16s", so_rows_field(&rows, who));
        so_utterance u = {.id = id, .text = so_rows_field(&rows, text), .speaker = who < 0 ? NULL : speaker};
        u.path = access(file, F_OK) == 0 || !r->root[0] ? clip : so_rows_field(&rows, path);
        u.lang = lang < 0 || !so_rows_field(&rows, lang)[0] ? NULL : so_rows_field(&rows, lang);
        status = so_reading_utterance(r, &u, r->path, rows.line, error);
    }
    so_rows_clear(&rows);
    so_map_close(&map);
    return status;
}

/* ---- Kaldi */

/* What a line of wav.scp leads to: a file, or the file of a pipe that only unpacks one. NULL for other pipes. */
static char *scp_file(char *rest)
{
    size_t n = strlen(rest);
    while (n && (rest[n - 1] == ' ' || rest[n - 1] == '\t')) rest[--n] = 0;
    if (!n || rest[n - 1] != '|') return rest;
    rest[n - 1] = 0;
    if (strpbrk(rest, "|;&<>`$\"'\\")) return NULL;
    char *save = NULL, *program = strtok_r(rest, " \t", &save), *file = NULL;
    bool flac = program && strcmp(program, "flac") == 0, sox = program && strcmp(program, "sox") == 0;
    for (char *word; (flac || sox) && (word = strtok_r(NULL, " \t", &save));) {
        if (sox && file && word[0] == '-') break; /* what sox writes: told by its output, which is ours to choose */
        if (word[0] == '-') continue;
        if (file) return NULL;
        file = word;
    }
    return file;
}

typedef struct kaldi {
    transcript texts, recordings, speakers;
    bool segments, spoken;
} kaldi;

static so_status load_table(const so_reading *r, const char *name, bool needed, transcript *t, bool *there,
                            so_error *error)
{
    char path[SO_READ_PATH];
    snprintf(path, sizeof path, "%.2000s/%.60s", r->path, name);
    if (there) *there = access(path, R_OK) == 0;
    if (!needed && access(path, R_OK) != 0) return SO_OK;
    return load(t, path, error);
}

static so_status kaldi_utterance(so_reading *r, const kaldi *k, so_utterance *u, const char *recording, int64_t number,
                                 so_error *error)
{
    char *file = find(&k->recordings, recording), copy[SO_READ_PATH];
    u->text = find(&k->texts, u->id);
    u->speaker = k->spoken ? find(&k->speakers, u->id) : NULL;
    if (!u->text) return so_sink_bad(r->sink, SO_BAD_NO_TEXT, r->path, number, error, "no text for '%.100s'", u->id);
    if (!file) return so_sink_bad(r->sink, SO_BAD_NO_SOUND, r->path, number, error, "no recording '%.100s'", recording);
    snprintf(copy, sizeof copy, "%s", file);
    if (!(u->path = scp_file(copy)))
        return so_sink_bad(r->sink, SO_BAD_COMMAND, r->path, number, error, "'%.200s' is a command", file);
    return so_reading_utterance(r, u, r->path, number, error);
}

static so_status kaldi_segments(so_reading *r, const kaldi *k, so_error *error)
{
    char path[SO_READ_PATH];
    lines l;
    so_status status = SO_OK;
    snprintf(path, sizeof path, "%.2000s/segments", r->path);
    SO_TRY(open_lines(&l, path, error));
    for (char *line; status == SO_OK && (line = next_line(&l));) {
        char *recording = after_word(line), *times = after_word(recording), *rest;
        double begin = strtod(times, &rest), end = strtod(rest, &rest);
        if (rest == times || *rest || !(begin >= 0) || !(end < 1e6) || (end >= 0 && end <= begin)) {
            status =
                so_sink_bad(r->sink, SO_BAD_DURATION, path, l.number, error, "'%.100s': from where to where?", line);
            continue;
        }
        so_utterance u = {.id = line, .begin = begin, .end = end > 0 ? end : 0};
        status = kaldi_utterance(r, k, &u, recording, l.number, error);
    }
    free(l.data);
    return status;
}

so_status so_read_kaldi(so_reading *r, so_error *error)
{
    kaldi k = {0};
    so_status status = load_table(r, "wav.scp", true, &k.recordings, NULL, error);
    if (status == SO_OK) status = load_table(r, "text", true, &k.texts, NULL, error);
    if (status == SO_OK) status = load_table(r, "utt2spk", false, &k.speakers, &k.spoken, error);
    char path[SO_READ_PATH];
    snprintf(path, sizeof path, "%.2000s/segments", r->path);
    if (status == SO_OK && access(path, R_OK) == 0)
        status = kaldi_segments(r, &k, error);
    else
        for (int64_t i = 0; i < k.recordings.ids.count && status == SO_OK; i++) {
            so_utterance u = {.id = k.recordings.ids.key[i].data};
            status = kaldi_utterance(r, &k, &u, u.id, i + 1, error);
        }
    clear(&k.texts);
    clear(&k.recordings);
    clear(&k.speakers);
    return status;
}
