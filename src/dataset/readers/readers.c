/* Which reader reads what.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "dataset/readers/readers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dataset/readers/reading.h"
#include "text/json_scan.h"

static const struct {
    const char *name;
    so_reader_fn read;
} formats[] = {
    {"llava", so_read_json},
    {"messages", so_read_json},
    {"ultrachat", so_read_json},
    {"alpaca", so_read_json},
    {"instructs2s", so_read_json},
    {"manifest", so_read_json},
    {"wikipedia", so_read_json},
    {"records", so_read_json},
    {"text", so_read_text},
    {"librispeech", so_read_librispeech},
    {"aishell1", so_read_aishell1},
    {"aishell3", so_read_aishell3},
    {"commonvoice", so_read_commonvoice},
    {"kaldi", so_read_kaldi},
    {"wenetspeech", so_read_wenetspeech},
    {"llava-yaml", so_read_yaml},
    {"tar", so_read_tar},
};
enum { FORMATS = sizeof formats / sizeof *formats };

const char *so_read_format(int i) { return i >= 0 && i < FORMATS ? formats[i].name : NULL; }

static bool has(const char *folder, const char *name)
{
    char path[SO_READ_PATH];
    return snprintf(path, sizeof path, "%s/%s", folder, name) < (int)sizeof path && access(path, R_OK) == 0;
}

static so_status stop_at_first(void *context, const char *path, so_error *error)
{
    (void)path, (void)error;
    *(bool *)context = true;
    return SO_ERR_STOPPED;
}

static const char *guess_folder(const char *path)
{
    bool found = false;
    so_error error;
    if (has(path, "wav.scp")) return "kaldi";
    if (has(path, "transcript/aishell_transcript_v0.8.txt")) return "aishell1";
    if (has(path, "content.txt") || has(path, "train/content.txt") || has(path, "test/content.txt")) return "aishell3";
    if (has(path, "WenetSpeech.json")) return "wenetspeech";
    if (has(path, "records.jsonl")) return "records";
    so_walk(path, ".trans.txt", stop_at_first, &found, &error);
    return found ? "librispeech" : NULL;
}

static bool ends(const char *path, const char *ending)
{
    size_t n = strlen(path), m = strlen(ending);
    return n > m && strcasecmp(path + n - m, ending) == 0;
}

static const char *guess_file(const char *path)
{
    so_map map;
    so_error error;
    if (ends(path, ".tar")) return "tar";
    if (ends(path, ".yaml") || ends(path, ".yml")) return "llava-yaml";
    if (ends(path, ".tsv")) return "commonvoice";
    if (ends(path, "WenetSpeech.json")) return "wenetspeech";
    if (so_map_open(&map, path, &error) != SO_OK) return NULL;
    so_scan scan = {(const char *)map.data, (const char *)map.data + map.size, false};
    if (map.size >= 3 && memcmp(map.data, "\xef\xbb\xbf", 3) == 0) scan.at += 3;
    char c = so_scan_peek(&scan);
    bool json = c == '{' || c == '[';
    so_map_close(&map);
    return json ? "llava" : "text";
}

static so_status read_one(const char *path, const so_read_options *o, so_sink *sink, so_error *error)
{
    struct stat st;
    so_reading r;
    char inside[SO_READ_PATH];
    if (stat(path, &st) != 0) return so_fail(error, SO_ERR_IO, "'%s': %s", path, strerror(errno));
    const char *name = o->format ? o->format : S_ISDIR(st.st_mode) ? guess_folder(path) : guess_file(path);
    if (!name)
        return so_fail(error, SO_ERR_UNSUPPORTED,
                       "'%s': no corpus that is known by what is in it; say which with --format", path);
    for (int i = 0; i < FORMATS; i++) {
        if (strcmp(formats[i].name, name) != 0) continue;
        if (S_ISDIR(st.st_mode) && (strcmp(name, "wenetspeech") == 0 || strcmp(name, "records") == 0)) {
            snprintf(inside, sizeof inside, "%.4000s/%s", path,
                     strcmp(name, "records") == 0 ? "records.jsonl" : "WenetSpeech.json");
            path = inside;
        }
        SO_TRY(so_reading_start(&r, path, o, sink, error));
        r.trusted = strcmp(name, "records") == 0 && !o->root;
        return formats[i].read(&r, error);
    }
    return so_fail(error, SO_ERR_ARG, "no format '%s'", name);
}

/* "part-{000000..000127}.tar": every file of the range, in order. */
so_status so_read_corpus(const char *path, const so_read_options *options, so_sink *sink, so_error *error)
{
    const so_read_options none = {0}, *o = options ? options : &none;
    const char *open = strchr(path, '{'), *dots = open ? strstr(open, "..") : NULL,
               *close = dots ? strchr(dots, '}') : NULL;
    char one[SO_READ_PATH], *end;
    if (!close || access(path, F_OK) == 0) return read_one(path, o, sink, error);
    long first = strtol(open + 1, &end, 10), last = strtol(dots + 2, NULL, 10);
    if (end != dots || first < 0 || last < first || last - first > 1000000)
        return so_fail(error, SO_ERR_ARG, "'%s': no range like {000000..000127}", path);
    for (long i = first; i <= last; i++) {
        int n =
            snprintf(one, sizeof one, "%.*s%0*ld%s", (int)(open - path), path, (int)(dots - open - 1), i, close + 1);
        if (n >= (int)sizeof one) return so_fail(error, SO_ERR_LIMIT, "a path of %d bytes", n);
        SO_TRY(read_one(one, o, sink, error));
    }
    return SO_OK;
}
