/* WenetSpeech.json: hours of recordings, cut into segments.
 * Source: data-eval.md A.6.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "dataset/readers/reading.h"

static bool in_subset(const json_t *segment, const char *wanted)
{
    const json_t *subsets = json_object_get(segment, "subsets");
    for (size_t i = 0; wanted && i < json_array_size(subsets); i++) {
        const char *name = json_string_value(json_array_get(subsets, i));
        if (name && strcmp(name, wanted) == 0) return true;
    }
    return !wanted;
}

static so_status segment(so_reading *r, const json_t *json, const char *path, int64_t number, so_error *error)
{
    const char *sid = json_string_value(json_object_get(json, "sid")),
               *text = json_string_value(json_object_get(json, "text"));
    const json_t *begin = json_object_get(json, "begin_time"), *end = json_object_get(json, "end_time");
    if (!in_subset(json, r->options->subset)) return SO_OK;
    if (!sid || !text || !json_is_number(begin) || !json_is_number(end))
        return so_sink_bad(r->sink, SO_BAD_FORM, r->path, number, error, "a segment without sid, text or times");
    char *joined = so_join_chinese(text);
    if (!joined) return so_fail(error, SO_ERR_NOMEM, "no memory for a transcript");
    so_utterance u = {.id = sid, .text = joined, .path = path, .lang = "zh"};
    u.begin = json_number_value(begin);
    u.end = json_number_value(end);
    so_status status = u.end > u.begin && u.begin >= 0 ? so_reading_utterance(r, &u, r->path, number, error)
                                                       : so_sink_bad(r->sink, SO_BAD_DURATION, r->path, number, error,
                                                                     "%s: from %g to %g", sid, u.begin, u.end);
    free(joined);
    return status;
}

static so_status recording(void *context, const char *text, size_t size, int64_t number, so_error *error)
{
    so_reading *r = context;
    json_error_t why;
    json_t *json = json_loadb(text, size, 0, &why);
    const json_t *segments = json_object_get(json, "segments");
    const char *path = json_string_value(json_object_get(json, "path"));
    so_status status = SO_OK;
    if (!json)
        status = so_sink_bad(r->sink, json_error_code(&why) == json_error_invalid_utf8 ? SO_BAD_UTF8 : SO_BAD_JSON,
                             r->path, number, error, "%s", why.text);
    else if (!path || !json_is_array(segments))
        status = so_sink_bad(r->sink, SO_BAD_FORM, r->path, number, error, "no path or no segments");
    for (size_t i = 0; path && i < json_array_size(segments) && status == SO_OK; i++)
        status = segment(r, json_array_get(segments, i), path, number, error);
    json_decref(json);
    return status;
}

static void broken(void *context, so_bad reason, int64_t number, const char *what)
{
    so_reading *r = context;
    so_error error;
    so_sink_bad(r->sink, reason, r->path, number, &error, "%s", what);
}

so_status so_read_wenetspeech(so_reading *r, so_error *error)
{
    so_map map;
    SO_TRY(so_map_open(&map, r->path, error));
    const so_json_list list = {(const char *)map.data, map.size, "audios", broken, r, recording};
    so_status status = so_json_each(&list, error);
    so_map_close(&map);
    return status;
}
