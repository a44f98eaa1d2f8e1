/* What a server of the Realtime protocol tells.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "client/remote_event.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "net/base64.h"

enum { UNITS_MOST = 1 << 20 };

typedef struct reading {
    const json_t *json;
    const char *type;
    so_remote_event *out;
    so_error *error;
} reading;

void so_remote_event_clear(so_remote_event *event)
{
    free(event->text);
    free(event->pcm);
    free(event->units);
    free(event->words);
    *event = (so_remote_event){0};
}

/* ---- members */
static so_status wrong(const reading *r, const char *name, const char *expected)
{
    return so_fail(r->error, SO_ERR_FORMAT, "the server's '%.60s' has no '%s' that is %s", r->type, name, expected);
}

static so_status string_of(const reading *r, const json_t *object, const char *name, const char **out)
{
    *out = json_string_value(json_object_get(object, name));
    return *out ? SO_OK : wrong(r, name, "a text");
}

static so_status take_text(const reading *r, const json_t *object, const char *name)
{
    const char *text;
    SO_TRY(string_of(r, object, name, &text));
    r->out->text = strdup(text);
    return r->out->text ? SO_OK : so_fail(r->error, SO_ERR_NOMEM, "no memory for a text");
}

static so_status take_id(const reading *r, const json_t *object, const char *name)
{
    const char *id;
    SO_TRY(string_of(r, object, name, &id));
    size_t n = strlen(id);
    if (n == 0 || n >= sizeof r->out->id) return wrong(r, name, "an id of 1 to 127 bytes");
    memcpy(r->out->id, id, n + 1);
    return SO_OK;
}

static so_status number_of(const reading *r, const json_t *object, const char *name, int64_t most, int64_t *out)
{
    const json_t *value = json_object_get(object, name);
    *out = json_integer_value(value);
    if (json_is_integer(value) && *out >= 0 && *out <= most) return SO_OK;
    return wrong(r, name, "a whole number in its range");
}

/* ---- messages */
static so_status read_began(const reading *r)
{
    return number_of(r, r->json, "audio_start_ms", INT64_MAX, &r->out->ms);
}
static so_status read_ended(const reading *r) { return number_of(r, r->json, "audio_end_ms", INT64_MAX, &r->out->ms); }

static so_status read_words(const reading *r, const json_t *list)
{
    static const char *const name[] = {"text_begin", "text_end", "begin_ms", "end_ms"};
    size_t n = json_array_size(list), size = strlen(r->out->text);
    if (!json_is_array(list) || n > size + 1) return wrong(r, "words", "a list of words");
    r->out->words = calloc(n + 1, sizeof *r->out->words);
    if (!r->out->words) return so_fail(r->error, SO_ERR_NOMEM, "no memory for %zu words", n);
    for (size_t i = 0; i < n; i++) {
        int64_t value[4];
        for (int k = 0; k < 4; k++)
            SO_TRY(number_of(r, json_array_get(list, i), name[k], k < 2 ? (int64_t)size : (int64_t)1 << 40, &value[k]));
        if (value[0] > value[1] || value[2] > value[3])
            return wrong(r, "words", "a list of words whose ends are not before their beginnings");
        r->out->words[i] =
            (so_heard_word){(size_t)value[0], (size_t)value[1], (double)value[2] / 1000, (double)value[3] / 1000};
    }
    r->out->n_words = n;
    return SO_OK;
}

static so_status read_live(const reading *r)
{
    int64_t stable;
    SO_TRY(take_id(r, r->json, "item_id"));
    SO_TRY(take_text(r, r->json, "text"));
    SO_TRY(number_of(r, r->json, "stable", (int64_t)strlen(r->out->text), &stable));
    const json_t *final = json_object_get(r->json, "final");
    if (!json_is_boolean(final)) return wrong(r, "final", "true or false");
    r->out->stable = (size_t)stable;
    r->out->final = json_is_true(final);
    const json_t *words = json_object_get(r->json, "words");
    return words ? read_words(r, words) : SO_OK;
}

static so_status read_more(const reading *r)
{
    SO_TRY(take_id(r, r->json, "item_id"));
    return take_text(r, r->json, "delta");
}

static so_status read_heard(const reading *r)
{
    SO_TRY(take_id(r, r->json, "item_id"));
    SO_TRY(take_text(r, r->json, "transcript"));
    r->out->stable = strlen(r->out->text);
    r->out->final = true;
    return SO_OK;
}

static so_status read_answers(const reading *r)
{
    const json_t *response = json_object_get(r->json, "response");
    if (!json_is_object(response)) return wrong(r, "response", "an object");
    return take_id(r, response, "id");
}

static so_status read_item(const reading *r)
{
    const json_t *item = json_object_get(r->json, "item");
    if (!json_is_object(item)) return wrong(r, "item", "an object");
    return take_id(r, item, "id");
}

static so_status read_text(const reading *r)
{
    SO_TRY(take_id(r, r->json, "response_id"));
    return take_text(r, r->json, "delta");
}

static so_status read_units(const reading *r)
{
    const json_t *list = json_object_get(r->json, "units");
    size_t n = json_array_size(list);
    SO_TRY(take_id(r, r->json, "response_id"));
    if (!json_is_array(list) || n > UNITS_MOST) return wrong(r, "units", "a list");
    r->out->units = malloc((n + 1) * sizeof *r->out->units);
    if (!r->out->units) return so_fail(r->error, SO_ERR_NOMEM, "no memory for %zu units", n);
    for (size_t i = 0; i < n; i++) {
        const json_t *unit = json_array_get(list, i);
        json_int_t id = json_integer_value(unit);
        if (!json_is_integer(unit) || id < 0 || id > INT32_MAX) return wrong(r, "units", "a list of whole numbers");
        r->out->units[i] = (int32_t)id;
    }
    r->out->n_units = n;
    return SO_OK;
}

/* Base64 of 16-bit samples, little end first. */
static so_status take_sound(const reading *r, const json_t *delta)
{
    so_base64 state = {0};
    size_t length = json_string_length(delta), size = 0;
    if (!json_is_string(delta)) return wrong(r, "delta", "base64");
    unsigned char *bytes = malloc(length / 4 * 3 + 4);
    float *pcm = malloc((length / 8 * 3 + 4) * sizeof *pcm);
    r->out->pcm = pcm;
    so_status status = SO_OK;
    if (!bytes || !pcm)
        status = so_fail(r->error, SO_ERR_NOMEM, "no memory for sound");
    else if (!so_base64_feed(&state, json_string_value(delta), length, bytes, &size) || !so_base64_end(&state) ||
             size % 2)
        status = wrong(r, "delta", "base64 of whole samples");
    for (size_t i = 0; status == SO_OK && i < size / 2; i++)
        pcm[i] = (float)(int16_t)(uint16_t)(bytes[2 * i] | (unsigned)bytes[2 * i + 1] << 8) / 32768;
    free(bytes);
    r->out->samples = size / 2;
    return status;
}

static so_status read_voice(const reading *r)
{
    const json_t *marks = json_object_get(r->json, "stream_omni");
    SO_TRY(take_id(r, r->json, "response_id"));
    SO_TRY(take_sound(r, json_object_get(r->json, "delta")));
    if (!marks) return SO_OK;
    int64_t value[4];
    static const char *const name[] = {"text_begin", "text_end", "begin_ms", "end_ms"};
    if (!json_is_object(marks)) return wrong(r, "stream_omni", "an object");
    for (int i = 0; i < 4; i++) SO_TRY(number_of(r, marks, name[i], (int64_t)1 << 40, &value[i]));
    if (value[0] > value[1] || value[2] > value[3]) return wrong(r, "stream_omni", "a span whose end is not before it");
    r->out->marked = true;
    r->out->text_begin = (size_t)value[0];
    r->out->text_end = (size_t)value[1];
    r->out->begin_s = (double)value[2] / 1000;
    r->out->end_s = (double)value[3] / 1000;
    return SO_OK;
}

/* Counts are for people to see: absent ones are 0. */
static int count_of(const json_t *object, const char *name)
{
    json_int_t n = json_integer_value(json_object_get(object, name));
    return n > 0 && n < INT32_MAX ? (int)n : 0;
}

static so_status read_done(const reading *r)
{
    static const char *const known[] = {"completed", "cancelled", "incomplete", "failed"};
    const json_t *response = json_object_get(r->json, "response"), *usage = json_object_get(response, "usage");
    const char *status;
    SO_TRY(read_answers(r));
    SO_TRY(string_of(r, response, "status", &status));
    int end = 0;
    while (end < 4 && strcmp(status, known[end])) end++;
    if (end == 4) return wrong(r, "status", "completed, cancelled, incomplete or failed");
    const json_t *made = json_object_get(usage, "output_token_details");
    r->out->end = (so_remote_end)end;
    r->out->positions = count_of(usage, "input_tokens");
    r->out->text_tokens = count_of(made, "text_tokens");
    r->out->audio_tokens = count_of(made, "audio_tokens");
    return SO_OK;
}

static so_status read_refused(const reading *r)
{
    const json_t *told = json_object_get(r->json, "error");
    if (!json_is_object(told)) return wrong(r, "error", "an object");
    const char *code = json_string_value(json_object_get(told, "code")),
               *param = json_string_value(json_object_get(told, "param"));
    snprintf(r->out->code, sizeof r->out->code, "%s", code ? code : "");
    snprintf(r->out->param, sizeof r->out->param, "%s", param ? param : "");
    return take_text(r, told, "message");
}

static so_status read_nothing(const reading *r) { return (void)r, SO_OK; }

static const struct {
    const char *type;
    so_remote_kind kind;
    so_status (*read)(const reading *r);
} messages[] = {{"session.created", SO_REMOTE_CREATED, read_nothing},
                {"session.updated", SO_REMOTE_UPDATED, read_nothing},
                {"input_audio_buffer.speech_started", SO_REMOTE_BEGAN, read_began},
                {"input_audio_buffer.speech_stopped", SO_REMOTE_ENDED, read_ended},
                {"stream_omni.input_transcript", SO_REMOTE_HEARD, read_live},
                {"conversation.item.input_audio_transcription.delta", SO_REMOTE_MORE, read_more},
                {"conversation.item.input_audio_transcription.completed", SO_REMOTE_HEARD, read_heard},
                {"response.created", SO_REMOTE_ANSWERS, read_answers},
                {"response.output_item.added", SO_REMOTE_ITEM, read_item},
                {"response.output_text.delta", SO_REMOTE_TEXT, read_text},
                {"response.output_audio_transcript.delta", SO_REMOTE_TEXT, read_text},
                {"response.output_audio.delta", SO_REMOTE_VOICE, read_voice},
                {"stream_omni.units", SO_REMOTE_UNITS, read_units},
                {"response.done", SO_REMOTE_DONE, read_done},
                {"error", SO_REMOTE_REFUSED, read_refused}};

so_status so_remote_event_read(so_remote_event *out, const char *text, size_t n, so_error *error)
{
    json_error_t where;
    *out = (so_remote_event){0};
    json_t *json = json_loadb(text, n, JSON_REJECT_DUPLICATES, &where);
    reading r = {json, json_string_value(json_object_get(json, "type")), out, error};
    so_status status = SO_OK;
    if (!json_is_object(json))
        status = so_fail(error, SO_ERR_FORMAT, "the server's message is no JSON object: %s",
                         json ? "another value" : where.text);
    else if (!r.type)
        status = so_fail(error, SO_ERR_FORMAT, "the server's message has no 'type'");
    for (size_t i = 0; status == SO_OK && i < sizeof messages / sizeof *messages; i++)
        if (strcmp(r.type, messages[i].type) == 0) {
            status = messages[i].read(&r);
            out->kind = messages[i].kind;
            break;
        }
    json_decref(json);
    return status;
}
