/* Settings of a Realtime session: read, checked, told again. GA names; the beta's flat ones are read, too.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/realtime_parts.h"

bool so_realtime_refuse(so_realtime_fault *fault, const char *code, const char *param, const char *text, ...)
{
    va_list args;
    fault->code = code;
    snprintf(fault->param, sizeof fault->param, "%s", param ? param : "");
    va_start(args, text);
    vsnprintf(fault->text, sizeof fault->text, text, args);
    va_end(args);
    return false;
}

static bool wrong(so_realtime_fault *fault, const char *param, const char *expected)
{
    return so_realtime_refuse(fault, "invalid_value", param, "Invalid value for '%s': expected %s.", param, expected);
}

int so_realtime_rate(so_realtime_format format)
{
    return format == SO_REALTIME_PCM ? SO_REALTIME_RATE : SO_REALTIME_G711_RATE;
}

json_t *so_realtime_format_json(so_realtime_format format)
{
    if (format == SO_REALTIME_PCM) return json_pack("{s:s, s:i}", "type", "audio/pcm", "rate", SO_REALTIME_RATE);
    return json_pack("{s:s}", "type", format == SO_REALTIME_ULAW ? "audio/pcmu" : "audio/pcma");
}

bool so_realtime_config_init(so_realtime_config *c, const char *voice, bool speaks)
{
    *c = (so_realtime_config){.voice_out = speaks,
                              .detection = SO_DETECT_VOICE,
                              .threshold = 0.5,
                              .padding_ms = 300,
                              .silence_ms = 500,
                              .eagerness_ms = 4000,
                              .eagerness = "auto",
                              .creates = true,
                              .interrupts = true,
                              .temperature = -1};
    snprintf(c->voice, sizeof c->voice, "%s", voice && voice[0] ? voice : "default");
    c->kept = json_object();
    return c->kept != NULL;
}

void so_realtime_config_clear(so_realtime_config *c)
{
    free(c->instructions);
    json_decref(c->kept);
    *c = (so_realtime_config){0};
}

/* ---- reading */

typedef struct reader {
    so_realtime_config *c;
    bool speaks;
    so_realtime_fault *fault;
} reader;

typedef bool (*read_fn)(reader *r, const char *path, const json_t *value);

typedef struct field {
    const char *name;
    read_fn read; /* NULL: accepted without effect, and told again */
} field;

/* Reads an object by a table of its fields; a name that is not there is an error. */
static bool read_object(reader *r, const char *path, const json_t *object, const field *table, size_t n)
{
    const char *name;
    json_t *value;
    char where[64];
    if (!json_is_object(object)) return wrong(r->fault, path, "an object");
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        size_t i = 0;
        while (i < n && strcmp(table[i].name, name) != 0) i++;
        snprintf(where, sizeof where, "%s.%.30s", path, name);
        if (i == n) return so_realtime_refuse(r->fault, "unknown_parameter", where, "Unknown parameter: '%s'.", where);
        if (table[i].read ? !table[i].read(r, where, value) : json_object_set(r->c->kept, where, value) != 0)
            return false;
    }
    return true;
}
#define READ(r, path, value, table) read_object(r, path, value, table, sizeof table / sizeof *(table))

static bool read_type(reader *r, const char *path, const json_t *v)
{
    const char *s = json_string_value(v);
    if (!s || (strcmp(s, "realtime") != 0 && strcmp(s, "transcription") != 0))
        return wrong(r->fault, path, "'realtime' or 'transcription'");
    r->c->transcription = s[0] == 't';
    return true;
}

static bool read_modalities(reader *r, const char *path, const json_t *v)
{
    bool audio = false, text = false;
    for (size_t i = 0; i < json_array_size(v); i++) {
        const char *s = json_string_value(json_array_get(v, i));
        audio = audio || (s && strcmp(s, "audio") == 0);
        text = text || (s && strcmp(s, "text") == 0);
    }
    if (!audio && !text) return wrong(r->fault, path, "[\"audio\"] or [\"text\"]");
    if (audio && !r->speaks)
        return so_realtime_refuse(r->fault, "invalid_value", path, "This model does not speak: expected [\"text\"].");
    r->c->voice_out = audio;
    return true;
}

static bool read_instructions(reader *r, const char *path, const json_t *v)
{
    const char *s = json_string_value(v);
    if (!s) return wrong(r->fault, path, "a text");
    char *copy = strdup(s);
    if (!copy) return so_realtime_refuse(r->fault, "server_error", path, "no memory for the instructions");
    free(r->c->instructions);
    r->c->instructions = copy;
    return true;
}

static bool read_most(reader *r, const char *path, const json_t *v)
{
    json_int_t n = json_integer_value(v);
    if (json_is_string(v) && strcmp(json_string_value(v), "inf") == 0)
        n = 0;
    else if (!json_is_integer(v) || n < 1 || n > 4096)
        return wrong(r->fault, path, "'inf' or a number from 1 to 4096");
    r->c->most = (int)n;
    return true;
}

static bool read_temperature(reader *r, const char *path, const json_t *v)
{
    double t = json_number_value(v);
    if (!json_is_number(v) || !(t >= 0 && t <= 2)) return wrong(r->fault, path, "a number from 0 to 2");
    r->c->temperature = t;
    return true;
}

/* Functions cannot be called by these models: saying so beats calling none. */
static bool read_tools(reader *r, const char *path, const json_t *v)
{
    if (json_is_null(v) || (json_is_array(v) && json_array_size(v) == 0)) return true;
    return so_realtime_refuse(r->fault, "unsupported_value", path, "This model calls no tools: expected [].");
}

static bool read_any_format(reader *r, const char *path, const json_t *v, so_realtime_format *format)
{
    static const struct {
        const char *name;
        so_realtime_format format;
    } known[] = {{"audio/pcm", SO_REALTIME_PCM}, {"audio/pcmu", SO_REALTIME_ULAW}, {"audio/pcma", SO_REALTIME_ALAW},
                 {"pcm16", SO_REALTIME_PCM},     {"g711_ulaw", SO_REALTIME_ULAW},  {"g711_alaw", SO_REALTIME_ALAW}};
    const json_t *rate = json_object_get(v, "rate");
    const char *s = json_is_object(v) ? json_string_value(json_object_get(v, "type")) : json_string_value(v);
    for (size_t i = 0; s && i < sizeof known / sizeof *known; i++) {
        if (strcmp(s, known[i].name) != 0) continue;
        if (rate && json_integer_value(rate) != so_realtime_rate(known[i].format))
            return so_realtime_refuse(r->fault, "invalid_value", path, "Invalid rate for '%s': expected %d.", path,
                                      so_realtime_rate(known[i].format));
        *format = known[i].format;
        return true;
    }
    return wrong(r->fault, path, "audio/pcm (rate 24000), audio/pcmu or audio/pcma");
}
static bool read_in(reader *r, const char *path, const json_t *v) { return read_any_format(r, path, v, &r->c->in); }
static bool read_out(reader *r, const char *path, const json_t *v) { return read_any_format(r, path, v, &r->c->out); }

static bool read_voice(reader *r, const char *path, const json_t *v)
{
    const char *s = json_is_object(v) ? json_string_value(json_object_get(v, "id")) : json_string_value(v);
    if (!s || !s[0] || strlen(s) >= sizeof r->c->voice) return wrong(r->fault, path, "the name of a voice");
    strcpy(r->c->voice, s);
    return true;
}

static bool read_ms(reader *r, const char *path, const json_t *v, int least, int most, int *out)
{
    char expected[64];
    json_int_t n = json_integer_value(v);
    snprintf(expected, sizeof expected, "milliseconds from %d to %d", least, most);
    if (!json_is_integer(v) || n < least || n > most) return wrong(r->fault, path, expected);
    *out = (int)n;
    return true;
}

static bool read_flag(reader *r, const char *path, const json_t *v, bool *out)
{
    if (!json_is_boolean(v)) return wrong(r->fault, path, "true or false");
    *out = json_is_true(v);
    return true;
}

static bool read_threshold(reader *r, const char *path, const json_t *v)
{
    double t = json_number_value(v);
    if (!json_is_number(v) || !(t >= 0 && t <= 1)) return wrong(r->fault, path, "a number from 0 to 1");
    r->c->threshold = t;
    return true;
}
static bool read_padding(reader *r, const char *path, const json_t *v)
{
    return read_ms(r, path, v, 0, 5000, &r->c->padding_ms);
}
static bool read_silence(reader *r, const char *path, const json_t *v)
{
    return read_ms(r, path, v, 50, 10000, &r->c->silence_ms);
}
static bool read_idle(reader *r, const char *path, const json_t *v)
{
    if (!json_is_null(v)) return read_ms(r, path, v, 1000, 600000, &r->c->idle_ms);
    r->c->idle_ms = 0;
    return true;
}
static bool read_creates(reader *r, const char *path, const json_t *v) { return read_flag(r, path, v, &r->c->creates); }
static bool read_interrupts(reader *r, const char *path, const json_t *v)
{
    return read_flag(r, path, v, &r->c->interrupts);
}
static bool read_eagerness(reader *r, const char *path, const json_t *v)
{
    static const struct {
        const char *name;
        int ms;
    } known[] = {{"low", 8000}, {"medium", 4000}, {"auto", 4000}, {"high", 2000}};
    for (size_t i = 0; json_is_string(v) && i < sizeof known / sizeof *known; i++)
        if (strcmp(json_string_value(v), known[i].name) == 0) {
            r->c->eagerness_ms = known[i].ms;
            strcpy(r->c->eagerness, known[i].name);
            return true;
        }
    return wrong(r->fault, path, "'low', 'medium', 'high' or 'auto'");
}
static bool read_detection_type(reader *r, const char *path, const json_t *v)
{
    const char *s = json_string_value(v);
    if (!s || (strcmp(s, "server_vad") != 0 && strcmp(s, "semantic_vad") != 0))
        return wrong(r->fault, path, "'server_vad' or 'semantic_vad'");
    r->c->detection = s[1] == 'e' && s[2] == 'r' ? SO_DETECT_VOICE : SO_DETECT_MEANING;
    return true;
}

static bool read_detection(reader *r, const char *path, const json_t *v)
{
    static const field table[] = {{"type", read_detection_type},           {"threshold", read_threshold},
                                  {"prefix_padding_ms", read_padding},     {"silence_duration_ms", read_silence},
                                  {"idle_timeout_ms", read_idle},          {"create_response", read_creates},
                                  {"interrupt_response", read_interrupts}, {"eagerness", read_eagerness}};
    if (json_is_null(v)) {
        r->c->detection = SO_DETECT_NONE;
        return true;
    }
    if (r->c->detection == SO_DETECT_NONE) r->c->detection = SO_DETECT_VOICE;
    return READ(r, path, v, table);
}

/* Heard is always written down; asking for it, or not, changes nothing. */
static const field audio_in[] = {
    {"format", read_in}, {"transcription", NULL}, {"noise_reduction", NULL}, {"turn_detection", read_detection}};
static const field audio_out[] = {{"format", read_out}, {"voice", read_voice}, {"speed", NULL}};
static bool read_input(reader *r, const char *path, const json_t *v) { return READ(r, path, v, audio_in); }
static bool read_output(reader *r, const char *path, const json_t *v) { return READ(r, path, v, audio_out); }
static bool read_audio(reader *r, const char *path, const json_t *v)
{
    static const field table[] = {{"input", read_input}, {"output", read_output}};
    return READ(r, path, v, table);
}

static bool read_live(reader *r, const char *path, const json_t *v) { return read_flag(r, path, v, &r->c->live); }
static bool read_marks(reader *r, const char *path, const json_t *v) { return read_flag(r, path, v, &r->c->marks); }
static bool read_units(reader *r, const char *path, const json_t *v) { return read_flag(r, path, v, &r->c->units); }
static bool read_own(reader *r, const char *path, const json_t *v)
{
    static const field table[] = {{"input_transcript", read_live}, {"marks", read_marks}, {"units", read_units}};
    return READ(r, path, v, table);
}
static bool skip(reader *r, const char *path, const json_t *v)
{
    (void)r, (void)path, (void)v;
    return true;
}

/* A client may send the whole object back that it was given; what only servers say is no error then. */
static const field session_table[] = {{"type", read_type},
                                      {"object", skip},
                                      {"id", skip},
                                      {"model", skip},
                                      {"expires_at", skip},
                                      {"output_modalities", read_modalities},
                                      {"modalities", read_modalities},
                                      {"instructions", read_instructions},
                                      {"audio", read_audio},
                                      {"max_output_tokens", read_most},
                                      {"max_response_output_tokens", read_most},
                                      {"temperature", read_temperature},
                                      {"tools", read_tools},
                                      {"tool_choice", NULL},
                                      {"parallel_tool_calls", NULL},
                                      {"reasoning", NULL},
                                      {"tracing", NULL},
                                      {"truncation", NULL},
                                      {"prompt", NULL},
                                      {"include", NULL},
                                      {"voice", read_voice},
                                      {"speed", NULL},
                                      {"input_audio_format", read_in},
                                      {"output_audio_format", read_out},
                                      {"input_audio_transcription", NULL},
                                      {"input_audio_noise_reduction", NULL},
                                      {"turn_detection", read_detection},
                                      {"client_secret", skip},
                                      {"stream_omni", read_own}};

bool so_realtime_config_update(so_realtime_config *c, const char *path, const json_t *session, bool speaks,
                               so_realtime_fault *fault)
{
    so_realtime_config next = *c;
    reader r = {&next, speaks, fault};
    fault->code = NULL;
    next.instructions = c->instructions ? strdup(c->instructions) : NULL;
    next.kept = json_copy(c->kept);
    bool fine = next.kept && (next.instructions || !c->instructions) && READ(&r, path, session, session_table);
    if (!fine && !fault->code) so_realtime_refuse(fault, "server_error", path, "no memory for the settings");
    so_realtime_config_clear(fine ? c : &next);
    if (fine) *c = next;
    return fine;
}

/* ---- telling */

static json_t *kept(const so_realtime_config *c, const char *path, const char *old)
{
    json_t *v = json_object_get(c->kept, path);
    if (!v && old) v = json_object_get(c->kept, old);
    return v ? json_incref(v) : json_null();
}

static json_t *detection_json(const so_realtime_config *c)
{
    if (c->detection == SO_DETECT_NONE) return json_null();
    if (c->detection == SO_DETECT_MEANING)
        return json_pack("{s:s, s:s, s:b, s:b}", "type", "semantic_vad", "eagerness", c->eagerness, "create_response",
                         c->creates, "interrupt_response", c->interrupts);
    return json_pack("{s:s, s:f, s:i, s:i, s:o, s:b, s:b}", "type", "server_vad", "threshold", c->threshold,
                     "prefix_padding_ms", c->padding_ms, "silence_duration_ms", c->silence_ms, "idle_timeout_ms",
                     c->idle_ms ? json_integer(c->idle_ms) : json_null(), "create_response", c->creates,
                     "interrupt_response", c->interrupts);
}

json_t *so_realtime_config_json(const so_realtime_config *c, const char *instructions)
{
    json_t *speed = kept(c, "session.audio.output.speed", "session.speed"),
           *choice = kept(c, "session.tool_choice", NULL);
    json_t *truncation = kept(c, "session.truncation", NULL);
    json_t *in =
        json_pack("{s:o, s:o, s:o, s:o}", "format", so_realtime_format_json(c->in), "transcription",
                  kept(c, "session.audio.input.transcription", "session.input_audio_transcription"), "noise_reduction",
                  kept(c, "session.audio.input.noise_reduction", "session.input_audio_noise_reduction"),
                  "turn_detection", detection_json(c));
    if (c->transcription)
        return json_pack("{s:s, s:s, s:o, s:{s:o}}", "type", "transcription", "object",
                         "realtime.transcription_session", "include", kept(c, "session.include", NULL), "audio",
                         "input", in);
    json_t *out = json_pack("{s:o, s:s, s:o}", "format", so_realtime_format_json(c->out), "voice", c->voice, "speed",
                            json_is_null(speed) ? json_real(1) : speed);
    return json_pack("{s:s, s:s, s:[s], s:s, s:[], s:o, s:o, s:o, s:o, s:o, s:o, s:{s:o, s:o}}", "type", "realtime",
                     "object", "realtime.session", "output_modalities", c->voice_out ? "audio" : "text", "instructions",
                     instructions ? instructions : "", "tools", "tool_choice",
                     json_is_null(choice) ? json_string("auto") : choice, "max_output_tokens",
                     c->most ? json_integer(c->most) : json_string("inf"), "truncation",
                     json_is_null(truncation) ? json_string("auto") : truncation, "tracing",
                     kept(c, "session.tracing", NULL), "prompt", kept(c, "session.prompt", NULL), "include",
                     kept(c, "session.include", NULL), "audio", "input", in, "output", out);
}
