/* What readers share.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "dataset/readers/reading.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "text/buffer.h"
#include "text/json_scan.h"

so_status so_reading_start(so_reading *r, const char *path, const so_read_options *options, so_sink *sink,
                           so_error *error)
{
    struct stat st;
    char folder[SO_READ_PATH];
    *r = (so_reading){.options = options, .sink = sink, .path = path};
    if (strlen(path) >= sizeof folder) return so_fail(error, SO_ERR_LIMIT, "a path of %zu bytes", strlen(path));
    if (stat(path, &st) != 0) return so_fail(error, SO_ERR_IO, "'%s': %s", path, strerror(errno));
    strcpy(folder, options->root ? options->root : path);
    if (!options->root && !S_ISDIR(st.st_mode)) {
        char *slash = strrchr(folder, '/');
        strcpy(slash ? slash + (slash == folder) : folder, slash ? "" : ".");
    }
    char *real = realpath(folder, NULL);
    if (!real) return so_fail(error, SO_ERR_IO, "'%s': %s", folder, strerror(errno));
    bool fits = strlen(real) < sizeof r->root;
    if (fits) strcpy(r->root, real);
    free(real);
    if (!fits) return so_fail(error, SO_ERR_LIMIT, "'%s': too long a path", folder);
    const char *slash = strrchr(path, '/'), *base = slash && slash[1] ? slash + 1 : path;
    snprintf(r->source, sizeof r->source, "%s", options->source ? options->source : base);
    char *dot = options->source ? NULL : strrchr(r->source, '.');
    if (dot && dot > r->source) *dot = 0;
    return SO_OK;
}

bool so_reading_path(const so_reading *r, const char *name, char out[SO_READ_PATH])
{
    size_t n = strlen(r->root);
    const char *rest = name;
    if (r->trusted && name[0] == '/') return snprintf(out, SO_READ_PATH, "%s", name) < SO_READ_PATH;
    if (name[0] == '/') {
        if (strncmp(name, r->root, n) != 0 || (name[n] != '/' && n > 1)) return false;
        rest = name + n;
    }
    for (const char *p = rest; p; p = strchr(p, '/') ? strchr(p, '/') + 1 : NULL)
        if (p[0] == '.' && p[1] == '.' && (p[2] == '/' || p[2] == 0)) return false;
    while (*rest == '/') rest++;
    while (strncmp(rest, "./", 2) == 0) rest += 2;
    return rest[0] && snprintf(out, SO_READ_PATH, "%s/%s", n > 1 ? r->root : "", rest) < SO_READ_PATH;
}

json_t *so_reading_file(const so_reading *r, const char *name, so_file_kind kind, so_bad *bad)
{
    char path[SO_READ_PATH];
    *bad = SO_BAD_NONE;
    if (r->sample) return so_tar_sample_file(r->sample, name, kind, bad);
    if (!so_reading_path(r, name, path)) {
        *bad = SO_BAD_PATH;
        return NULL;
    }
    if (kind == SO_FILE_PICTURE) return json_string(path);
    return json_pack("{s:s}", "path", path);
}

json_t *so_reading_record(const so_reading *r, const char *id)
{
    const so_read_options *o = r->options;
    return json_pack("{s:s*, s:s, s:s*, s:s*, s:[]}", "id", id, "source", r->source, "lang", o->lang, "license",
                     o->license, "turns");
}

json_t *so_reading_turn(json_t *record, const char *role, const char *text)
{
    json_t *turn = json_pack("{s:s, s:s}", "role", role, "text", text);
    json_array_append_new(json_object_get(record, "turns"), turn);
    return turn;
}

so_status so_reading_utterance(so_reading *r, const so_utterance *u, const char *file, int64_t number, so_error *error)
{
    so_bad bad;
    if (!so_utf8_valid(u->text, strlen(u->text)) || !so_utf8_valid(u->id, strlen(u->id)))
        return so_sink_bad(r->sink, SO_BAD_UTF8, file, number, error, "a transcript that is not UTF-8");
    json_t *audio = so_reading_file(r, u->path, SO_FILE_SOUND, &bad);
    if (!audio) return so_sink_bad(r->sink, bad ? bad : SO_BAD_UTF8, file, number, error, "'%s'", u->path);
    json_t *record = so_reading_record(r, u->id), *turn = so_reading_turn(record, "user", u->text);
    if (u->begin > 0) json_object_set_new(audio, "begin", json_real(u->begin));
    if (u->end > 0) json_object_set_new(audio, "end", json_real(u->end));
    json_object_set_new(turn, "audio", audio);
    if (u->told > 0) json_object_set_new(turn, "seconds", json_real(u->told));
    if (u->speaker) json_object_set_new(turn, "speaker", json_string(u->speaker));
    if (u->lang && !r->options->lang) json_object_set_new(record, "lang", json_string(u->lang));
    return so_sink_put(r->sink, record, file, number, error);
}

/* ---- folders */

static int by_bytes(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }

static bool ends_with(const char *text, const char *ending)
{
    size_t n = strlen(text), m = strlen(ending);
    return n >= m && strcmp(text + n - m, ending) == 0;
}

static so_status walk(const char *folder, const char *ending, int depth, so_walk_fn each, void *context,
                      so_error *error)
{
    struct dirent **list = NULL;
    so_status status = SO_OK;
    if (depth > 16) return so_fail(error, SO_ERR_LIMIT, "'%s': folders in folders without an end", folder);
    int n = scandir(folder, &list, NULL, by_bytes);
    if (n < 0) return so_fail(error, SO_ERR_IO, "'%s': %s", folder, strerror(errno));
    for (int i = 0; i < n; i++) {
        char path[SO_READ_PATH];
        struct stat st;
        bool fits = snprintf(path, sizeof path, "%s/%s", folder, list[i]->d_name) < (int)sizeof path;
        if (status == SO_OK && fits && list[i]->d_name[0] != '.' && stat(path, &st) == 0) {
            if (S_ISDIR(st.st_mode))
                status = walk(path, ending, depth + 1, each, context, error);
            else if (ends_with(path, ending))
                status = each(context, path, error);
        }
        free(list[i]);
    }
    free(list);
    return status;
}

so_status so_walk(const char *folder, const char *ending, so_walk_fn each, void *context, so_error *error)
{
    return walk(folder, ending, 0, each, context, error);
}

/* ---- texts */

char *so_join_chinese(const char *text)
{
    size_t size = strlen(text), n = 0;
    char *out = malloc(size + 1);
    int32_t before = 0, c;
    bool blank = false;
    if (!out) return NULL;
    for (size_t at = 0; at < size;) {
        at += (size_t)so_utf8_next(text + at, size - at, &c);
        if (c >= 0xff01 && c <= 0xff5e) c -= 0xfee0;
        if (c == 0x3000 || c == 0xa0 || so_is_space(c)) blank = true;
        if (c < 0 || c == 0x3a9 || c == 0x3000 || c == 0xa0 || so_is_space(c)) continue;
        if (blank && before && before < 0x2e80 && c < 0x2e80) out[n++] = ' '; /* between Latin words only */
        blank = false;
        n += (size_t)so_utf8_put(out + n, c);
        before = c;
    }
    out[n] = 0;
    return out;
}

void so_recase(char *text)
{
    for (char *p = text; *p; p++) {
        bool begins = p == text || p[-1] == ' ', ends = p[0] && (p[1] == 0 || p[1] == ' ' || p[1] == '\'');
        if (*p >= 'A' && *p <= 'Z' && p != text && !(*p == 'I' && begins && ends)) *p = (char)(*p + 'a' - 'A');
    }
}

/* ---- JSON, value by value */

static so_status hand(const so_json_list *l, const char *text, size_t size, int64_t number, so_error *error)
{
    if (size < SO_READ_LINE) return l->each(l->context, text, size, number, error);
    if (l->broken) l->broken(l->context, SO_BAD_LONG, number, "16 MiB or more");
    return SO_OK;
}

static so_status array(const so_json_list *l, so_scan *scan, so_error *error)
{
    bool first = true;
    int64_t number = 1;
    for (; so_scan_next(scan, &first, ']'); number++) {
        so_scan value;
        if (!so_scan_skip(scan, &value)) break;
        SO_TRY(hand(l, value.at, (size_t)(value.end - value.at), number, error));
    }
    if (scan->bad && l->broken) l->broken(l->context, SO_BAD_JSON, number, "the array breaks off or is no JSON");
    return SO_OK;
}

static so_status lines(const so_json_list *l, const char *at, const char *end, so_error *error)
{
    for (int64_t number = 1; at < end; number++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        if (!stop) stop = end;
        size_t size = (size_t)(stop - at), blank = 0;
        while (blank < size && strchr(" \t\r", at[blank]) && at[blank]) blank++;
        if (blank < size) SO_TRY(hand(l, at, size, number, error));
        at = stop + 1;
    }
    return SO_OK;
}

/* The array in a member of the object that the text is. */
static bool member(const so_json_list *l, so_scan *scan)
{
    bool first = true, nomem = false, found = false;
    so_string key = {0};
    if (!l->member || !so_scan_take(scan, '{')) return false;
    while (!found && so_scan_next(scan, &first, '}') && so_scan_key(scan, &key, &nomem)) {
        if (key.data && strcmp(key.data, l->member) == 0 && so_scan_peek(scan) == '[')
            found = true;
        else if (!so_scan_skip(scan, NULL))
            break;
    }
    so_string_clear(&key);
    return found && so_scan_take(scan, '[');
}

so_status so_json_each(const so_json_list *l, so_error *error)
{
    const char *at = l->data, *end = l->data + l->size;
    if (l->size >= 3 && memcmp(at, "\xef\xbb\xbf", 3) == 0) at += 3;
    so_scan scan = {at, end, false};
    char c = so_scan_peek(&scan);
    if (c == '[') {
        /* An array of records, or lines that are arrays: one value and nothing behind it is the former. */
        const char *line = memchr(scan.at, '\n', (size_t)(end - scan.at));
        so_scan first = {scan.at, line ? line : end, false}, rest = {line ? line : end, end, false};
        if (line && so_scan_skip(&first, NULL) && so_scan_peek(&rest)) return lines(l, at, end, error);
        so_scan_take(&scan, '[');
        return array(l, &scan, error);
    }
    so_scan inside = scan;
    if (member(l, &inside)) return array(l, &inside, error);
    return lines(l, at, end, error);
}
