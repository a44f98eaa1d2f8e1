/* Realtime sessions: answers, from response.created to response.done.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "server/g711.h"
#include "server/realtime_session.h"

static const char *modality(const so_realtime *r) { return r->voice ? "audio" : "text"; }

static json_t *usage_json(const so_realtime_end *e)
{
    int in = e->text_in + e->audio_in + e->image_in, out = e->text_out + e->audio_out;
    return json_pack("{s:i, s:i, s:i, s:{s:i, s:i, s:i, s:i, s:{s:i, s:i, s:i}}, s:{s:i, s:i}}", "total_tokens",
                     in + out, "input_tokens", in, "output_tokens", out, "input_token_details", "text_tokens",
                     e->text_in, "audio_tokens", e->audio_in, "image_tokens", e->image_in, "cached_tokens", e->cached,
                     "cached_tokens_details", "text_tokens", 0, "audio_tokens", 0, "image_tokens", 0,
                     "output_token_details", "text_tokens", e->text_out, "audio_tokens", e->audio_out);
}

/* What one is told of how it ended; `reason` and `failure` may be NULL. */
static json_t *details_json(const char *status, const char *reason, const char *failure)
{
    json_t *json = json_pack("{s:s}", "type", status);
    if (reason) json_object_set_new(json, "reason", json_string(reason));
    if (failure)
        json_object_set_new(json, "error", json_pack("{s:s, s:s}", "type", "server_error", "code", "server_error"));
    return json;
}

static json_t *response_json(const so_realtime *r, const char *status, json_t *details, json_t *usage)
{
    json_t *output = json_array();
    if (r->answer) json_array_append_new(output, so_realtime_item_json(r->answer, false));
    return json_pack("{s:s, s:s, s:s, s:o, s:o, s:s?, s:[s], s:o, s:{s:{s:o, s:s}}, s:o, s:o}", "object",
                     "realtime.response", "id", r->response_id, "status", status, "status_details",
                     details ? details : json_null(), "output", output, "conversation_id",
                     r->out_of_band ? NULL : r->id, "output_modalities", modality(r), "max_output_tokens",
                     r->most ? json_integer(r->most) : json_string("inf"), "audio", "output", "format",
                     so_realtime_format_json(r->out), "voice", r->speaker, "usage", usage ? usage : json_null(),
                     "metadata", r->metadata ? json_incref(r->metadata) : json_null());
}

/* ---- beginning */

static void begin(so_realtime *r, bool answers_silence)
{
    r->generation++;
    r->active = true;
    r->answer = NULL;
    r->answer_at = r->n_items;
    r->idle_since = -1;
    r->committed_ms = -1;
    so_realtime_new_id(r, "resp", r->response_id);
    so_realtime_send(r, "response.created",
                     json_pack("{s:o}", "response", response_json(r, "in_progress", NULL, NULL)));
    so_realtime_reply reply = {.generation = r->generation,
                               .voice = r->voice,
                               .remembered = !r->out_of_band,
                               .answers_silence = answers_silence,
                               .rate = so_realtime_rate(r->out),
                               .most = r->most,
                               .temperature = r->config.temperature,
                               .name = r->speaker};
    r->port.reply(r->port.context, &reply);
}

static void usual(so_realtime *r)
{
    r->voice = r->config.voice_out;
    memcpy(r->speaker, r->config.voice, sizeof r->speaker);
    r->out = r->config.out;
    r->most = r->config.most;
    r->out_of_band = false;
    json_decref(r->metadata);
    r->metadata = NULL;
    free(r->once);
    r->once = NULL;
}

void so_realtime_respond(so_realtime *r, bool answers_silence)
{
    if (r->active) return; /* the turn waits for its own response.create */
    usual(r);
    /* Sound that is with the engine but not committed is no part of this turn. */
    if (r->fed) so_realtime_forget(r, 0);
    so_realtime_give(r);
    begin(r, answers_silence);
}

/* Takes what a response.create asks for this once. */
static bool read_response(so_realtime *r, const json_t *response, so_realtime_fault *fault)
{
    so_realtime_config once;
    json_t *rest = json_copy((json_t *)(uintptr_t)response), *kept;
    const json_t *metadata = json_object_get(response, "metadata"), *to = json_object_get(response, "conversation");
    const char *where = json_string_value(to);
    static const char *const own[] = {"metadata", "conversation", "input"};
    if (!rest || !(kept = json_object())) {
        json_decref(rest);
        return so_realtime_refuse(fault, "server_error", "response", "no memory for the response");
    }
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) json_object_del(rest, own[i]);
    once = r->config;
    once.instructions = NULL;
    once.kept = kept;
    bool fine = so_realtime_config_update(&once, "response", rest, r->speaks, fault);
    json_decref(rest);
    if (fine && to && !json_is_null(to) && (!where || (strcmp(where, "auto") != 0 && strcmp(where, "none") != 0)))
        fine = so_realtime_refuse(fault, "invalid_value", "response.conversation",
                                  "Invalid value for 'response.conversation': expected 'auto' or 'none'.");
    if (fine && metadata && !json_is_null(metadata) && !json_is_object(metadata))
        fine = so_realtime_refuse(fault, "invalid_value", "response.metadata",
                                  "Invalid value for 'response.metadata': expected an object.");
    if (fine) {
        r->voice = once.voice_out;
        memcpy(r->speaker, once.voice, sizeof r->speaker);
        r->out = once.out;
        r->most = once.most;
        r->out_of_band = where && strcmp(where, "none") == 0;
        r->metadata = json_is_object(metadata) ? json_copy((json_t *)(uintptr_t)metadata) : NULL;
        r->once = once.instructions;
        once.instructions = NULL;
    }
    so_realtime_config_clear(&once);
    return fine;
}

/* Items of the response's own, in place of the conversation's. */
static bool give_input(so_realtime *r, const json_t *input, so_realtime_fault *fault)
{
    int n = (int)json_array_size(input), made = 0;
    if (!json_is_array(input) || n > SO_REALTIME_PARTS)
        return so_realtime_refuse(fault, "invalid_value", "response.input",
                                  "Invalid value for 'response.input': expected at most %d items.", SO_REALTIME_PARTS);
    so_realtime_item *item[SO_REALTIME_PARTS], *use[SO_REALTIME_PARTS];
    bool fine = true;
    for (int i = 0; i < n && fine; i++) {
        const json_t *json = json_array_get(input, (size_t)i);
        const char *type = json_string_value(json_object_get(json, "type")),
                   *id = json_string_value(json_object_get(json, "id"));
        use[i] = NULL;
        if (type && strcmp(type, "item_reference") == 0) {
            use[i] = so_realtime_find(r, id, NULL);
            if (!use[i])
                fine = so_realtime_refuse(fault, "item_not_found", "response.input", "No item '%.60s'.", id ? id : "");
        } else if ((fine = so_realtime_item_read(&item[made], json, fault))) {
            use[i] = item[made++];
        }
    }
    if (fine) {
        so_realtime_forget(r, 0);
        so_realtime_give_only(r, use, n);
    }
    while (made--) so_realtime_item_free(item[made]);
    return fine;
}

void so_realtime_create(so_realtime *r, const json_t *event, const char *event_id)
{
    so_realtime_fault fault;
    const json_t *response = json_object_get(event, "response"), *input = json_object_get(response, "input");
    bool fine = true;
    if (r->active) {
        so_realtime_refuse(&fault, "conversation_already_has_active_response", "response",
                           "Response '%s' is still active.", r->response_id);
        so_realtime_error(r, event_id, &fault);
        return;
    }
    usual(r);
    if (response && !json_is_null(response)) fine = read_response(r, response, &fault);
    if (fine && (r->once || r->out_of_band || r->fed)) so_realtime_forget(r, 0);
    if (fine && input && !json_is_null(input)) {
        r->out_of_band = true;
        fine = give_input(r, input, &fault);
    } else if (fine) {
        so_realtime_give(r);
    }
    if (fine)
        begin(r, true);
    else
        so_realtime_error(r, event_id, &fault);
}

void so_realtime_transcribe(so_realtime *r)
{
    if (r->active || r->transcribing) return;
    r->transcribing = true;
    r->committed_ms = -1;
    r->generation++;
    so_realtime_give(r);
    so_realtime_reply reply = {
        .generation = r->generation, .transcript_only = true, .rate = SO_REALTIME_RATE, .temperature = -1};
    r->port.reply(r->port.context, &reply);
}

/* ---- what comes */

static json_t *ids(const so_realtime *r)
{
    return json_pack("{s:s, s:s, s:i, s:i}", "response_id", r->response_id, "item_id", r->answer->id, "output_index", 0,
                     "content_index", 0);
}

static void send_ids(so_realtime *r, const char *type, const char *name, json_t *value)
{
    json_t *event = ids(r);
    if (name) json_object_set_new(event, name, value);
    so_realtime_send(r, type, event);
}

/* The answer's item, made when its first piece comes. */
static bool need_item(so_realtime *r)
{
    if (r->answer) return true;
    so_realtime_item *item = calloc(1, sizeof *item);
    if (!item) return false;
    so_realtime_new_id(r, "item", item->id);
    item->role = SO_ROLE_ASSISTANT;
    item->spoken = r->voice;
    item->live = true;
    item->heard_ms = -1;
    so_realtime_send(r, "response.output_item.added",
                     json_pack("{s:s, s:i, s:o}", "response_id", r->response_id, "output_index", 0, "item",
                               so_realtime_item_json(item, false)));
    if (r->out_of_band)
        r->answer = item;
    else if (so_realtime_insert(r, item, r->answer_at, false))
        r->answer = item;
    if (!r->answer) return false;
    send_ids(r, "response.content_part.added", "part",
             r->voice ? json_pack("{s:s, s:s}", "type", "audio", "transcript", "")
                      : json_pack("{s:s, s:s}", "type", "text", "text", ""));
    return so_realtime_item_part(item, SO_PART_TEXT, strdup(""), NULL, 0) != NULL;
}

static bool mine(so_realtime *r, unsigned generation) { return !r->closed && r->active && generation == r->generation; }

void so_realtime_text(so_realtime *r, unsigned generation, const char *text)
{
    if (!mine(r, generation) || !need_item(r) || !r->answer->n_parts) return;
    so_realtime_part *part = &r->answer->part[0];
    size_t old = part->text ? strlen(part->text) : 0, n = strlen(text);
    char *all = realloc(part->text, old + n + 1);
    if (!all) return;
    memcpy(all + old, text, n + 1);
    part->text = all;
    send_ids(r, r->voice ? "response.output_audio_transcript.delta" : "response.output_text.delta", "delta",
             json_string(text));
}

void so_realtime_units(so_realtime *r, unsigned generation, const int32_t *units, size_t n)
{
    if (!mine(r, generation) || !r->config.units || !need_item(r)) return;
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) json_array_append_new(list, json_integer(units[i]));
    so_realtime_send(
        r, "stream_omni.units",
        json_pack("{s:s, s:s, s:o}", "response_id", r->response_id, "item_id", r->answer->id, "units", list));
}

/* The samples as the client wants them, in base64; the caller frees. */
static char *sound_text(const so_realtime *r, const int16_t *pcm, size_t n)
{
    bool wide = r->out == SO_REALTIME_PCM;
    size_t size = wide ? 2 * n : n;
    unsigned char *bytes = malloc(size + 1);
    char *text = malloc(so_base64_length(size) + 1);
    for (size_t i = 0; bytes && i < n; i++) {
        if (!wide)
            bytes[i] = r->out == SO_REALTIME_ULAW ? so_ulaw_encode(pcm[i]) : so_alaw_encode(pcm[i]);
        else
            bytes[2 * i] = (unsigned char)(pcm[i] & 0xff),
                      bytes[2 * i + 1] = (unsigned char)((unsigned)pcm[i] >> 8 & 0xff);
    }
    if (bytes && text) so_base64_write(bytes, size, text);
    free(bytes);
    return text;
}

static void add_mark(so_realtime_item *item, int64_t ms, size_t text_end)
{
    if (item->n_marks == item->room_marks) {
        size_t room = item->room_marks ? 2 * item->room_marks : 16;
        struct so_realtime_mark *mark = realloc(item->mark, room * sizeof *mark);
        if (!mark) return;
        item->mark = mark;
        item->room_marks = room;
    }
    item->mark[item->n_marks++] = (struct so_realtime_mark){ms, text_end};
}

void so_realtime_voice(so_realtime *r, unsigned generation, const so_realtime_voice_piece *piece)
{
    if (!mine(r, generation) || piece->samples == 0 || !need_item(r)) return;
    char *text = sound_text(r, piece->pcm, piece->samples);
    json_t *event = ids(r);
    json_object_set_new(event, "delta", json_string(text ? text : ""));
    free(text);
    if (r->config.marks)
        json_object_set_new(event, "stream_omni",
                            json_pack("{s:I, s:I, s:I, s:I}", "text_begin", (json_int_t)piece->text_begin, "text_end",
                                      (json_int_t)piece->text_end, "begin_ms", (json_int_t)piece->begin_ms, "end_ms",
                                      (json_int_t)piece->end_ms));
    r->answer->made_ms = piece->end_ms;
    add_mark(r->answer, piece->end_ms, piece->text_end);
    so_realtime_send(r, "response.output_audio.delta", event);
}

/* ---- ending */

static void close_item(so_realtime *r, bool whole)
{
    so_realtime_item *item = r->answer;
    const char *text = item->n_parts && item->part[0].text ? item->part[0].text : "";
    item->live = false;
    item->whole = whole;
    if (r->voice) {
        send_ids(r, "response.output_audio.done", NULL, NULL);
        send_ids(r, "response.output_audio_transcript.done", "transcript", json_string(text));
    } else {
        send_ids(r, "response.output_text.done", "text", json_string(text));
    }
    send_ids(r, "response.content_part.done", "part",
             json_pack("{s:s, s:s}", "type", r->voice ? "audio" : "text", r->voice ? "transcript" : "text", text));
    so_realtime_send(r, "response.output_item.done",
                     json_pack("{s:s, s:i, s:o}", "response_id", r->response_id, "output_index", 0, "item",
                               so_realtime_item_json(item, false)));
    if (r->out_of_band) return;
    int at = 0;
    so_realtime_find(r, item->id, &at);
    so_realtime_send(r, "conversation.item.done",
                     json_pack("{s:s?, s:o}", "previous_item_id", at > 0 ? r->item[at - 1]->id : NULL, "item",
                               so_realtime_item_json(item, false)));
}

static void finish(so_realtime *r, const char *status, const char *reason, const so_realtime_end *end)
{
    if (r->answer) close_item(r, strcmp(status, "completed") == 0);
    /* What was to be answered is with the engine, and so is the answer. */
    if (!r->out_of_band && r->answer && r->n_given == r->answer_at) r->n_given++;
    json_t *details = details_json(status, reason, end->failure);
    so_realtime_send(r, "response.done",
                     json_pack("{s:o}", "response", response_json(r, status, details, usage_json(end))));
    if (r->out_of_band) so_realtime_item_free(r->answer);
    if (r->out_of_band || r->once) so_realtime_forget(r, 0);
    r->active = false;
    r->answer = NULL;
    r->idle_since = r->now_ms + end->audio_ms;
}

void so_realtime_cancel(so_realtime *r, const char *reason)
{
    so_realtime_end end = {0};
    if (!r->active) return;
    end.audio_ms = r->answer ? r->answer->made_ms : 0;
    r->port.stop(r->port.context, r->generation);
    finish(r, "cancelled", reason, &end);
}

static void send_timing(so_realtime *r, const so_realtime_end *e)
{
    if (!r->config.live && !r->config.marks && !r->config.units) return;
    so_realtime_send(r, "stream_omni.timing",
                     json_pack("{s:s, s:I, s:I, s:I, s:I, s:I}", "response_id", r->response_id, "queue_ms",
                               (json_int_t)e->queue_ms, "first_text_ms", (json_int_t)e->first_text_ms, "first_audio_ms",
                               (json_int_t)e->first_audio_ms, "audio_ms", (json_int_t)e->audio_ms, "total_ms",
                               (json_int_t)e->total_ms));
}

static void transcription_failed(so_realtime *r, const char *why)
{
    so_realtime_send(r, "conversation.item.input_audio_transcription.failed",
                     json_pack("{s:s, s:i, s:{s:s, s:s, s:s, s:n}}", "item_id", r->heard_id, "content_index", 0,
                               "error", "type", "server_error", "code", "transcription_failed", "message", why,
                               "param"));
    r->heard_id[0] = 0;
}

void so_realtime_done(so_realtime *r, unsigned generation, const so_realtime_end *end)
{
    if (r->closed || generation != r->generation) return;
    if (r->transcribing) {
        r->transcribing = false;
        if (end->failure && r->heard_id[0] && r->added) transcription_failed(r, end->failure);
        so_realtime_settle(r);
        so_realtime_forget(r, 0);
        return;
    }
    if (!r->active) return;
    so_realtime_settle(r);
    if (end->failure) {
        so_realtime_fault fault;
        so_realtime_refuse(&fault, "server_error", NULL, "%s", end->failure);
        so_realtime_error(r, NULL, &fault);
        finish(r, "failed", NULL, end);
        so_realtime_forget(r, 0);
    } else {
        finish(r, end->cut_short ? "incomplete" : "completed", end->cut_short ? "max_output_tokens" : NULL, end);
    }
    send_timing(r, end);
}

/* ---- what of it was heard */

static size_t text_at(const so_realtime_item *item, int64_t ms)
{
    size_t end = 0;
    for (size_t i = 0; i < item->n_marks && item->mark[i].ms <= ms; i++)
        if (item->mark[i].text_end > end) end = item->mark[i].text_end;
    return end;
}

void so_realtime_truncate(so_realtime *r, const json_t *event, const char *event_id)
{
    so_realtime_fault fault;
    int at;
    const json_t *ms_json = json_object_get(event, "audio_end_ms");
    so_realtime_item *item = so_realtime_find(r, json_string_value(json_object_get(event, "item_id")), &at);
    json_int_t ms = json_integer_value(ms_json);
    bool fine = true;
    if (!item)
        fine = so_realtime_refuse(&fault, "item_not_found", "item_id", "No such item.");
    else if (item->role != SO_ROLE_ASSISTANT || !item->spoken)
        fine = so_realtime_refuse(&fault, "invalid_value", "item_id", "Item '%s' is no spoken answer.", item->id);
    else if (!json_is_integer(ms_json) || ms < 0)
        fine = so_realtime_refuse(&fault, "invalid_value", "audio_end_ms",
                                  "Invalid value for 'audio_end_ms': expected milliseconds from 0.");
    if (!fine) {
        so_realtime_error(r, event_id, &fault);
        return;
    }
    if (item == r->answer) so_realtime_cancel(r, "client_cancelled");
    if (ms < item->made_ms && (item->heard_ms < 0 || ms < item->heard_ms)) {
        so_realtime_part *part = item->n_parts ? &item->part[0] : NULL;
        size_t end = text_at(item, ms);
        if (part && part->text && end < strlen(part->text)) part->text[end] = 0;
        item->heard_ms = ms;
        bool last = true;
        for (int i = at + 1; i < r->n_items; i++) last = last && r->item[i]->role != SO_ROLE_ASSISTANT;
        if (last && at < r->n_given)
            r->port.heard(r->port.context, ms);
        else
            so_realtime_forget(r, at);
    }
    so_realtime_send(r, "conversation.item.truncated",
                     json_pack("{s:s, s:i, s:I}", "item_id", item->id, "content_index", 0, "audio_end_ms", ms));
}
