/* What a record must be before it is written down.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "dataset/inspect_record.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sniff.h"
#include "dataset/record.h"
#include "media/sound.h"
#include "text/chat.h"

static bool bad(so_inspected *out, so_bad reason, const char *format, ...) __attribute__((format(printf, 3, 4)));
static bool bad(so_inspected *out, so_bad reason, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    out->bad = reason;
    if (vasprintf(&out->what, format, args) < 0) out->what = NULL;
    va_end(args);
    return false;
}

/* ---- files */

static const char *const picture_endings[] = {".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", NULL};
static const char *const sound_endings[] = {".flac", ".wav", ".opus", ".ogg", ".mp3", ".m4a", NULL};

/* A file of the same name with another ending, as many downloads have it; NULL when there is none. Caller frees. */
static char *other_ending(const char *path, const char *const *endings)
{
    const char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');
    size_t stem = dot && (!slash || dot > slash) ? (size_t)(dot - path) : strlen(path);
    for (; *endings; endings++) {
        char *other;
        if (asprintf(&other, "%.*s%s", (int)stem, path, *endings) < 0) return NULL;
        if (strcasecmp(other, path) != 0 && access(other, R_OK) == 0) return other;
        free(other);
    }
    return NULL;
}

/* Opens what a value names; a string that leads nowhere is tried with other endings and, where found, replaced by
 * *other (to be put in its place, and freed). */
static so_status find(const json_t *json, const char *const *endings, so_locator *at, char **other)
{
    const json_t *range = json_object_get(json, "at");
    *other = NULL;
    at->path = json_is_string(json) ? json_string_value(json) : json_string_value(json_object_get(json, "path"));
    if (!at->path) return SO_ERR_FORMAT;
    at->offset = (uint64_t)json_integer_value(json_array_get(range, 0));
    at->size = (uint64_t)json_integer_value(json_array_get(range, 1));
    if (access(at->path, R_OK) == 0) return SO_OK;
    if (range || !(*other = other_ending(at->path, endings))) return SO_ERR_MISSING;
    at->path = *other;
    return SO_OK;
}

/* By its first bytes and its size, or by decoding all of it. */
static bool look_at_picture(const so_locator *at, bool deep, so_inspected *out)
{
    so_map map;
    so_error error = {0};
    const unsigned char *data;
    size_t size;
    if (so_locator_open(at, &map, &data, &size, &error) != SO_OK) return bad(out, SO_BAD_PICTURE, "%s", error.text);
    so_sniffed sniffed = so_sniff(data, size);
    bool fine = sniffed.content == SO_CONTENT_PICTURE;
    if (!fine) bad(out, SO_BAD_PICTURE, "'%s' is %s", at->path, sniffed.what ? sniffed.what : "no picture");
    if (fine && deep) {
        so_image image = {0};
        fine = so_image_decode(&image, data, size, 0, &error) == SO_OK;
        so_image_clear(&image);
        if (!fine) bad(out, SO_BAD_PICTURE, "'%s': %s", at->path, error.text);
    }
    so_map_close(&map);
    return fine;
}

static bool picture(json_t *images, size_t i, const so_sink_options *o, so_inspected *out)
{
    so_locator at;
    char *other;
    if (find(json_array_get(images, i), picture_endings, &at, &other) != SO_OK)
        return bad(out, SO_BAD_NO_PICTURE, "'%s' is not there", at.path ? at.path : "");
    bool fine = look_at_picture(&at, o->deep, out);
    if (other) {
        json_array_set_new(images, i, json_string(other));
        out->odd[SO_ODD_ENDING]++;
        free(other);
    }
    return fine;
}

/* Seconds of a sound file: those announced or, where none are or `deep`, those that are there. */
static bool measure(const so_locator *at, bool deep, double *seconds, so_inspected *out)
{
    const so_sound_options options = {.max_seconds = 100 * 3600.0, .name = at->path};
    so_map map;
    so_error error = {0};
    const unsigned char *data;
    size_t size;
    so_sound *sound = NULL;
    if (so_locator_open(at, &map, &data, &size, &error) != SO_OK) return bad(out, SO_BAD_SOUND, "%s", error.text);
    so_status status = so_sound_open(&sound, data, size, &options, &error);
    if (status == SO_OK) *seconds = so_sound_seconds(sound);
    if (status == SO_OK && (deep || *seconds < 0)) {
        float heap[4096];
        int64_t got = 0, n = 0;
        do n += got;
        while ((status = so_sound_read(sound, heap, 4096, &got, &error)) == SO_OK && got);
        *seconds = (double)n / so_sound_rate(sound);
    }
    so_sound_close(&sound);
    so_map_close(&map);
    return status == SO_OK || bad(out, SO_BAD_SOUND, "'%s': %s", at->path, error.text);
}

static bool recording(json_t *turn, json_t *audio, const so_sink_options *o, so_inspected *out)
{
    so_locator at;
    char *other;
    double length = 0, begin = json_number_value(json_object_get(audio, "begin")),
           end = json_number_value(json_object_get(audio, "end")),
           told = json_number_value(json_object_get(turn, "seconds"));
    if (find(audio, sound_endings, &at, &other) != SO_OK)
        return bad(out, SO_BAD_NO_SOUND, "'%s' is not there", at.path ? at.path : "");
    /* A piece of a long recording: all of it need not be decoded for that. */
    bool fine = measure(&at, o->deep && begin <= 0 && end <= 0, &length, out);
    if (fine && (!isfinite(begin) || !isfinite(end) || begin < 0 || begin >= length || end > length + 0.1 ||
                 (end > 0 && end <= begin)))
        fine = bad(out, SO_BAD_DURATION, "'%s' is %.2f s long, the clip is from %.2f to %.2f", at.path, length, begin,
                   end);
    double seconds = (end > 0 ? end : length) - begin;
    if (fine && told > 0 && fabs(told - seconds) > 0.1 + 0.05 * seconds)
        fine = bad(out, SO_BAD_DURATION, "'%s' is %.2f s long, %.2f were told", at.path, seconds, told);
    if (fine) json_object_set_new(turn, "seconds", json_real(round(seconds * 1e4) / 1e4));
    if (other) {
        json_object_set_new(audio, "path", json_string(other));
        out->odd[SO_ODD_ENDING]++;
        free(other);
    }
    return fine;
}

/* ---- turns */

static int64_t marks_in(const char *text)
{
    int64_t n = 0;
    for (const char *p = text; (p = strstr(p, SO_IMAGE_MARK)); p += strlen(SO_IMAGE_MARK)) n++;
    return n;
}

static bool is_blank(const char *text) { return text[strspn(text, " \t\r\n")] == 0; }

static bool units_of(const json_t *turn, double seconds, so_inspected *out)
{
    const json_t *units = json_object_get(turn, "units"), *at = json_object_get(units, "at");
    int64_t n =
        json_is_array(units) ? (int64_t)json_array_size(units) : (int64_t)json_integer_value(json_array_get(at, 1)) / 2;
    if (!units) return true;
    if (seconds > 0.5 && fabs((double)n / seconds - 25) > 2 + 1 / seconds)
        return bad(out, SO_BAD_UNITS, "%lld units for %.2f s: %.1f a second, expected 25 +- 2", (long long)n, seconds,
                   (double)n / seconds);
    out->lengths.units += (uint32_t)(n > 0 ? n : 0);
    return true;
}

static bool look_at_turn(json_t *turn, const so_sink_options *o, int64_t *marks, so_inspected *out)
{
    const char *text = json_string_value(json_object_get(turn, "text")),
               *role = json_string_value(json_object_get(turn, "role"));
    json_t *audio = json_object_get(turn, "audio");
    if (!text || !role) return bad(out, SO_BAD_FORM, "a turn without a text or a role");
    bool answers = strcmp(role, "assistant") == 0;
    size_t size = strlen(text);
    if (size > SO_RECORD_TEXT) return bad(out, SO_BAD_TEXT, "%zu bytes, at most %d", size, SO_RECORD_TEXT);
    if (is_blank(text) && strcmp(role, "system") != 0) return bad(out, SO_BAD_EMPTY, "the %s says nothing", role);
    if (audio && !o->lax && !recording(turn, audio, o, out)) return false;
    double seconds = json_number_value(json_object_get(turn, "seconds"));
    if ((audio || seconds > 0) && !o->lax && (seconds < o->least_s || seconds > o->most_s))
        return bad(out, SO_BAD_DURATION, "%.3f s, expected %g to %g", seconds, o->least_s, o->most_s);
    if (seconds > 0 && seconds < 1e6) out->lengths.ms += (uint32_t)(seconds * 1e3 + 0.5);
    *marks += marks_in(text);
    out->lengths.text += (uint32_t)size;
    if (answers) out->lengths.answers += (uint32_t)size;
    return units_of(turn, seconds, out);
}

void so_inspect_record(json_t *record, const so_sink_options *o, so_inspected *out)
{
    json_t *turns = json_object_get(record, "turns"), *images = json_object_get(record, "images");
    size_t n = json_array_size(turns), m = json_array_size(images);
    int64_t marks = 0;
    if (n < 1 || n > SO_RECORD_TURNS || m > SO_RECORD_IMAGES) {
        bad(out, SO_BAD_FORM, "%zu turns and %zu pictures, expected 1 to %d and at most %d", n, m, SO_RECORD_TURNS,
            SO_RECORD_IMAGES);
        return;
    }
    out->lengths.turns = (uint16_t)n;
    out->lengths.images = (uint16_t)m;
    for (size_t i = 0; i < n; i++)
        if (!look_at_turn(json_array_get(turns, i), o, &marks, out)) return;
    if (m && marks != (int64_t)m) {
        bad(out, SO_BAD_PLACEHOLDER, "%lld placeholders for %zu pictures", (long long)marks, m);
        return;
    }
    for (size_t i = 0; i < m && !o->lax; i++)
        if (!picture(images, i, o, out)) return;
    so_record read;
    so_error error;
    if (so_record_of(&read, record, "", &error) != SO_OK) /* what is written down can be read */
        bad(out, SO_BAD_FORM, "%s", error.text);
    else
        so_record_clear(&read);
}
