/* Realtime sessions: the client's events, and the conversation as the engine has it.
 *
 * The engine holds the first n_given items as they stand. What is appended is given when an answer is asked for, or
 * when speech begins, whose sound then follows piece by piece, so that it is heard while it is spoken. Whatever changes
 * an item that was given makes the engine forget, and everything is given anew.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/realtime_session.h"

enum {
    TRANSCRIPT_WAIT = 300 /* ms that a committed turn waits for its response before it is written down without one */
};

/* ---- sending */

void so_realtime_new_id(so_realtime *r, const char *prefix, char out[64])
{
    /* splitmix64 */
    uint64_t z = (r->random += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    snprintf(out, 64, "%s_%016llx", prefix, (unsigned long long)(z ^ z >> 31));
}

void so_realtime_send(so_realtime *r, const char *type, json_t *event)
{
    char id[64];
    if (r->closed || !event) {
        json_decref(event);
        return;
    }
    snprintf(id, sizeof id, "event_%06u", ++r->events);
    json_object_set_new(event, "type", json_string(type));
    json_object_set_new(event, "event_id", json_string(id));
    r->port.send(r->port.context, event);
}

void so_realtime_error(so_realtime *r, const char *event_id, const so_realtime_fault *f)
{
    const char *kind = strcmp(f->code, "server_error") == 0 ? "server_error" : "invalid_request_error";
    so_realtime_send(r, "error",
                     json_pack("{s:{s:s, s:s, s:s, s:s?, s:s?}}", "error", "type", kind, "code", f->code, "message",
                               f->text, "param", f->param[0] ? f->param : NULL, "event_id", event_id));
}

void so_realtime_reject(so_realtime *r, const char *event_id, const char *code, const char *param, const char *text)
{
    so_realtime_fault fault;
    so_realtime_refuse(&fault, code, param, "%s", text);
    so_realtime_error(r, event_id, &fault);
}

static const char *instructions(const so_realtime *r)
{
    return r->once ? r->once : r->config.instructions ? r->config.instructions : r->own_instructions;
}

static json_t *session_json(const so_realtime *r)
{
    json_t *json =
        so_realtime_config_json(&r->config, r->config.instructions ? r->config.instructions : r->own_instructions);
    json_object_set_new(json, "id", json_string(r->id));
    json_object_set_new(json, "model", json_string(r->model));
    json_object_set_new(json, "expires_at", json_integer((json_int_t)(r->unix_s + 86400)));
    return json;
}

/* ---- items */

so_realtime_item *so_realtime_find(const so_realtime *r, const char *id, int *at)
{
    for (int i = 0; id && i < r->n_items; i++)
        if (strcmp(r->item[i]->id, id) == 0) {
            if (at) *at = i;
            return r->item[i];
        }
    return NULL;
}

void so_realtime_forget(so_realtime *r, int at)
{
    if (at < r->n_given || at == 0) {
        r->n_given = 0;
        r->given_system = false;
        r->fed = false;
        r->heard_id[0] = 0;
    }
}

/* Old sound and pictures go when too much is kept; of sound its transcript stays. */
static void keep_less(so_realtime *r)
{
    for (int i = 0; i < r->n_items && r->kept > SO_REALTIME_KEPT; i++)
        for (int k = 0; k < r->item[i]->n_parts; k++) {
            so_realtime_part *part = &r->item[i]->part[k];
            if (r->kept <= SO_REALTIME_KEPT || !part->data) continue;
            r->kept -= part->size;
            free(part->data);
            part->data = NULL;
            part->size = 0;
        }
}

bool so_realtime_insert(so_realtime *r, so_realtime_item *item, int at, bool given)
{
    so_realtime_item **all =
        r->n_items < SO_REALTIME_ITEMS ? realloc(r->item, (size_t)(r->n_items + 1) * sizeof *all) : NULL;
    if (!all) {
        so_realtime_item_free(item);
        return false;
    }
    r->item = all;
    memmove(all + at + 1, all + at, (size_t)(r->n_items - at) * sizeof *all);
    all[at] = item;
    r->n_items++;
    if (given && at == r->n_given)
        r->n_given++;
    else if (at < r->n_given)
        so_realtime_forget(r, at);
    if (r->active && !r->out_of_band && item->role != SO_ROLE_ASSISTANT && at < r->answer_at) r->answer_at++;
    for (int k = 0; k < item->n_parts; k++) r->kept += item->part[k].size;
    keep_less(r);
    const char *before = at > 0 ? all[at - 1]->id : NULL;
    so_realtime_send(r, "conversation.item.added",
                     json_pack("{s:s?, s:o}", "previous_item_id", before, "item", so_realtime_item_json(item, false)));
    if (!item->live)
        so_realtime_send(
            r, "conversation.item.done",
            json_pack("{s:s?, s:o}", "previous_item_id", before, "item", so_realtime_item_json(item, false)));
    return true;
}

/* What the engine will tell of is this item's sound from here on. */
void so_realtime_hear(so_realtime *r, const char *id, bool added)
{
    bool more =
        r->heard && r->n_given > 0 && r->item[r->n_given - 1]->role == SO_ROLE_USER && r->heard_turn == r->generation;
    so_realtime_settle(r);
    r->heard_base = more ? strlen(r->heard) : 0;
    r->heard_turn = r->generation;
    snprintf(r->heard_id, sizeof r->heard_id, "%s", id);
    r->told = 0;
    r->added = added;
    r->final = false;
}

/* `answered`: an answer follows, so that of the user's speech only the words matter any more. */
static void give_part(so_realtime *r, const so_realtime_item *item, const so_realtime_part *part, bool answered)
{
    void *to = r->port.context;
    if (part->kind == SO_PART_PICTURE) {
        if (part->data) r->port.picture(to, part->data, part->size);
    } else if (part->kind == SO_PART_AUDIO && part->data && !answered) {
        if (!part->text) so_realtime_hear(r, item->id, true);
        r->port.audio(to, part->data, part->size / 2, part->rate);
    } else if (part->kind == SO_PART_AUDIO && !(part->text && part->text[0])) {
        r->port.text(to, "\xe2\x80\xa6"); /* it was answered, whatever it was */
    } else if (part->text && part->text[0]) {
        if (item->role == SO_ROLE_ASSISTANT)
            r->port.answer(to, part->text);
        else if (item->role == SO_ROLE_SYSTEM)
            r->port.system(to, part->text);
        else
            r->port.text(to, part->text);
    }
}

static void give_items(so_realtime *r, so_realtime_item *const *item, int n)
{
    int last = n - 1;
    while (last >= 0 && !(item[last] && item[last]->role == SO_ROLE_ASSISTANT)) last--;
    for (int i = 0; i < n; i++)
        for (int k = 0; item[i] && k < item[i]->n_parts; k++) give_part(r, item[i], &item[i]->part[k], i < last);
}

static void give_head(so_realtime *r)
{
    if (r->given_system) return;
    r->port.clear(r->port.context);
    if (instructions(r)) r->port.system(r->port.context, instructions(r));
    r->given_system = true;
    r->n_given = 0;
    free(r->heard);
    r->heard = NULL;
}

void so_realtime_give(so_realtime *r)
{
    give_head(r);
    int from = r->n_given;
    r->n_given = r->n_items;
    if (from < r->n_items) give_items(r, r->item + from, r->n_items - from);
}

void so_realtime_give_only(so_realtime *r, so_realtime_item *const *item, int n)
{
    give_head(r);
    give_items(r, item, n);
}

/* ---- what is heard */

static void told_delta(so_realtime *r, const char *text, size_t to)
{
    if (!r->added || to <= r->told) return;
    json_t *delta = json_stringn(text + r->told, to - r->told);
    if (!delta) return;
    so_realtime_send(r, "conversation.item.input_audio_transcription.delta",
                     json_pack("{s:s, s:i, s:o}", "item_id", r->heard_id, "content_index", 0, "delta", delta));
    r->told = to;
}

static void heard_all(so_realtime *r, const char *text)
{
    so_realtime_item *item = so_realtime_find(r, r->heard_id, NULL);
    size_t seconds = 0;
    for (int k = 0; item && k < item->n_parts; k++) {
        so_realtime_part *part = &item->part[k];
        if (part->kind != SO_PART_AUDIO) continue;
        seconds += part->rate ? part->size / 2 * 1000 / (size_t)part->rate : 0;
        if (!part->text) part->text = strdup(text);
    }
    so_realtime_send(r, "conversation.item.input_audio_transcription.completed",
                     json_pack("{s:s, s:i, s:s, s:{s:s, s:f}}", "item_id", r->heard_id, "content_index", 0,
                               "transcript", text, "usage", "type", "duration", "seconds", (double)seconds / 1000));
    r->heard_id[0] = 0;
    r->final = true;
    r->committed_ms = -1;
}

/* When the words from byte `base` on were said, their bytes counted from there. */
static json_t *words_of(const so_realtime_transcript *t, size_t base)
{
    json_t *all = json_array();
    size_t size = strlen(t->text); /* a zero among the bytes that a model makes up ends it */
    for (size_t i = 0; all && i < t->n_words; i++) {
        const so_heard_word *w = &t->words[i];
        if (w->text_begin < base || w->text_end < w->text_begin || w->text_end > size) continue;
        json_array_append_new(all, json_pack("{s:I, s:I, s:I, s:I}", "text_begin", (json_int_t)(w->text_begin - base),
                                             "text_end", (json_int_t)(w->text_end - base), "begin_ms",
                                             (json_int_t)lrint(w->begin_s * 1000), "end_ms",
                                             (json_int_t)lrint(w->end_s * 1000)));
    }
    return all;
}

static void told_live(so_realtime *r, const so_realtime_transcript *t, size_t base, size_t stable)
{
    bool final = t->final && r->added;
    json_t *event = json_pack("{s:s, s:s, s:I, s:b, s:I}", "item_id", r->heard_id, "text", t->text + base, "stable",
                              (json_int_t)stable, "final", final, "end_ms", (json_int_t)t->end_ms);
    if (event && final) json_object_set_new(event, "words", words_of(t, base));
    so_realtime_send(r, "stream_omni.input_transcript", event);
}

void so_realtime_heard(so_realtime *r, const so_realtime_transcript *t)
{
    if (r->closed || !r->heard_id[0] || t->turn != r->heard_turn) return;
    char *copy = strdup(t->text);
    if (!copy) return;
    free(r->heard);
    r->heard = copy;
    size_t n = strlen(copy), base = r->heard_base < n ? r->heard_base : n,
           stable = t->final || t->stable > n ? n : t->stable;
    while (copy[base] == ' ') base++;
    stable = stable > base ? stable - base : 0;
    if (r->config.live) told_live(r, t, base, stable);
    told_delta(r, copy + base, stable);
    if (t->final && r->added) heard_all(r, copy + base);
}

void so_realtime_settle(so_realtime *r)
{
    if (!r->heard_id[0] || !r->added) return;
    size_t n = r->heard ? strlen(r->heard) : 0, base = r->heard_base < n ? r->heard_base : n;
    while (n > base && r->heard[base] == ' ') base++;
    if (r->heard) told_delta(r, r->heard + base, n - base);
    heard_all(r, r->heard ? r->heard + base : "");
}

/* ---- items from the client */

static void on_item_create(so_realtime *r, const json_t *event, const char *event_id)
{
    so_realtime_fault fault;
    so_realtime_item *item;
    int at = r->n_items;
    const json_t *previous = json_object_get(event, "previous_item_id");
    const char *before = json_string_value(previous);
    if (before && strcmp(before, "root") == 0)
        at = 0;
    else if (before && so_realtime_find(r, before, &at))
        at++;
    else if (before || (previous && !json_is_null(previous))) {
        so_realtime_reject(r, event_id, "item_not_found", "previous_item_id", "The previous item was not found.");
        return;
    }
    if (!so_realtime_item_read(&item, json_object_get(event, "item"), &fault)) {
        so_realtime_error(r, event_id, &fault);
        return;
    }
    if (!item->id[0]) so_realtime_new_id(r, "item", item->id);
    if (so_realtime_find(r, item->id, NULL)) {
        so_realtime_refuse(&fault, "invalid_value", "item.id", "An item '%s' is there already.", item->id);
        so_realtime_error(r, event_id, &fault);
        so_realtime_item_free(item);
        return;
    }
    if (!so_realtime_insert(r, item, at, false))
        so_realtime_reject(r, event_id, "invalid_value", "item",
                           "The conversation holds as many items as it may (1000).");
}

static so_realtime_item *asked_item(so_realtime *r, const json_t *event, const char *event_id, int *at)
{
    so_realtime_item *item = so_realtime_find(r, json_string_value(json_object_get(event, "item_id")), at);
    if (!item) so_realtime_reject(r, event_id, "item_not_found", "item_id", "No such item.");
    return item;
}

static void on_retrieve(so_realtime *r, const json_t *event, const char *event_id)
{
    so_realtime_item *item = asked_item(r, event, event_id, NULL);
    if (item)
        so_realtime_send(r, "conversation.item.retrieved",
                         json_pack("{s:o}", "item", so_realtime_item_json(item, true)));
}

static void on_delete(so_realtime *r, const json_t *event, const char *event_id)
{
    int at;
    so_realtime_item *item = asked_item(r, event, event_id, &at);
    if (!item) return;
    if (item == r->answer) so_realtime_cancel(r, "client_cancelled");
    so_realtime_send(r, "conversation.item.deleted", json_pack("{s:s}", "item_id", item->id));
    for (int k = 0; k < item->n_parts; k++) r->kept -= item->part[k].size;
    if (strcmp(item->id, r->heard_id) == 0) r->heard_id[0] = 0;
    so_realtime_item_free(item);
    memmove(r->item + at, r->item + at + 1, (size_t)(r->n_items - at - 1) * sizeof *r->item);
    r->n_items--;
    if (r->active && at < r->answer_at) r->answer_at--;
    so_realtime_forget(r, at);
}

/* ---- the session's settings */

static bool same_text(const char *a, const char *b) { return a == b || (a && b && strcmp(a, b) == 0); }

static void on_update(so_realtime *r, const json_t *event, const char *event_id)
{
    so_realtime_fault fault;
    so_realtime_config before = r->config;
    char *old = before.instructions ? strdup(before.instructions) : NULL;
    before.kept = NULL;
    if (!so_realtime_config_update(&r->config, "session", json_object_get(event, "session"), r->speaks, &fault)) {
        so_realtime_error(r, event_id, &fault);
        free(old);
        return;
    }
    if (!same_text(old, r->config.instructions)) so_realtime_forget(r, 0);
    free(old);
    bool detector = before.detection != r->config.detection || before.threshold != r->config.threshold ||
                    before.padding_ms != r->config.padding_ms || before.silence_ms != r->config.silence_ms;
    if (before.in != r->config.in || detector) {
        int64_t ms = r->before_ms + r->appended * 1000 / so_realtime_rate(before.in);
        /* Speech that was under way is the client's to commit from here on; in another format it can't go on. */
        if (before.in != r->config.in) so_realtime_drop_turn(r);
        if (r->config.detection == SO_DETECT_NONE) r->speaking = false;
        so_vad_close(&r->vad);
        r->before_ms = ms;
        r->appended = 0;
    }
    so_realtime_send(r, "session.updated", json_pack("{s:o}", "session", session_json(r)));
}

static void on_cancel(so_realtime *r, const json_t *event, const char *event_id)
{
    const char *id = json_string_value(json_object_get(event, "response_id"));
    if (!r->active || (id && strcmp(id, r->response_id) != 0))
        so_realtime_reject(r, event_id, "response_cancel_not_active", "response_id",
                           "Cancellation failed: no active response found.");
    else
        so_realtime_cancel(r, "client_cancelled");
}

static void on_nothing(so_realtime *r, const json_t *event, const char *event_id)
{
    (void)r, (void)event, (void)event_id;
}

/* ---- messages */

static const struct {
    const char *type;
    void (*take)(so_realtime *r, const json_t *event, const char *event_id);
} messages[] = {{"input_audio_buffer.append", so_realtime_append},
                {"input_audio_buffer.commit", so_realtime_commit},
                {"input_audio_buffer.clear", so_realtime_clear},
                {"output_audio_buffer.clear", on_nothing}, /* the client plays by itself */
                {"session.update", on_update},
                {"transcription_session.update", on_update},
                {"conversation.item.create", on_item_create},
                {"conversation.item.retrieve", on_retrieve},
                {"conversation.item.delete", on_delete},
                {"conversation.item.truncate", so_realtime_truncate},
                {"response.create", so_realtime_create},
                {"response.cancel", on_cancel}};

static void take_event(so_realtime *r, const json_t *event)
{
    const char *type = json_string_value(json_object_get(event, "type")),
               *id = json_string_value(json_object_get(event, "event_id"));
    so_realtime_fault fault;
    if (id && strlen(id) > 512) id = NULL;
    if (!type) {
        so_realtime_reject(r, id, "missing_required_parameter", "type", "Missing required parameter: 'type'.");
        return;
    }
    for (size_t i = 0; i < sizeof messages / sizeof *messages; i++)
        if (strcmp(type, messages[i].type) == 0) {
            messages[i].take(r, event, id);
            return;
        }
    so_realtime_refuse(&fault, "invalid_value", "type", "Invalid value: '%.60s' is no event that a client sends.",
                       type);
    so_realtime_error(r, id, &fault);
}

void so_realtime_message(so_realtime *r, const char *text, size_t n, int64_t ms)
{
    json_error_t where;
    so_realtime_fault fault;
    r->now_ms = ms;
    json_t *event = json_loadb(text, n, 0, &where);
    if (json_is_object(event)) {
        take_event(r, event);
    } else {
        so_realtime_refuse(&fault, "invalid_json", NULL, "The message is no JSON object: %s",
                           event ? "another kind of value" : where.text);
        so_realtime_error(r, NULL, &fault);
    }
    json_decref(event);
    so_realtime_listen(r);
}

void so_realtime_tick(so_realtime *r, int64_t ms)
{
    r->now_ms = ms;
    if (r->committed_ms >= 0 && ms - r->committed_ms >= TRANSCRIPT_WAIT && !r->active && !r->turn.n)
        so_realtime_transcribe(r);
    so_realtime_wait(r);
    so_realtime_listen(r);
}

void so_realtime_playing(so_realtime *r, double level)
{
    if (r->vad) so_vad_playing(r->vad, level);
}

/* ---- opening */

so_status so_realtime_open(so_realtime **out, const so_realtime_port *port, const so_realtime_options *options,
                           so_error *error)
{
    *out = NULL;
    so_realtime *r = calloc(1, sizeof *r);
    bool fine = r && so_realtime_config_init(&r->config, options->voice, options->speaks);
    if (fine) {
        r->port = *port;
        r->speaks = options->speaks;
        r->random = options->seed;
        r->unix_s = options->unix_s;
        r->ended_ms = r->idle_since = r->committed_ms = -1;
        r->model = strdup(options->model ? options->model : "stream-omni");
        r->own_instructions = options->instructions ? strdup(options->instructions) : NULL;
        fine = r->model && (r->own_instructions || !options->instructions);
    }
    if (!fine) {
        so_realtime_close(&r);
        if (error) *error = (so_error){SO_ERR_NOMEM, "no memory for a realtime session"};
        return SO_ERR_NOMEM;
    }
    char id[64];
    so_realtime_new_id(r, "sess", id);
    snprintf(r->id, sizeof r->id, "%.39s", id);
    *out = r;
    so_realtime_send(r, "session.created", json_pack("{s:o}", "session", session_json(r)));
    return SO_OK;
}

void so_realtime_close(so_realtime **realtime)
{
    if (!realtime || !*realtime) return;
    so_realtime *r = *realtime;
    r->closed = true;
    if (r->active) r->port.stop(r->port.context, r->generation);
    if (r->out_of_band) so_realtime_item_free(r->answer);
    for (int i = 0; i < r->n_items; i++) so_realtime_item_free(r->item[i]);
    free(r->item);
    so_vad_close(&r->vad);
    so_realtime_config_clear(&r->config);
    json_decref(r->metadata);
    free(r->ring.pcm);
    free(r->turn.pcm);
    free(r->heard);
    free(r->once);
    free(r->model);
    free(r->own_instructions);
    free(r);
    *realtime = NULL;
}
