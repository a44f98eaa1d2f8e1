/* Items of a Realtime conversation: read from a client, told to it.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "server/realtime_parts.h"

void so_realtime_item_free(so_realtime_item *item)
{
    if (!item) return;
    for (int i = 0; i < item->n_parts; i++) {
        free(item->part[i].text);
        free(item->part[i].data);
    }
    free(item->part);
    free(item->mark);
    free(item);
}

so_realtime_part *so_realtime_item_part(so_realtime_item *item, so_realtime_kind kind, char *text, void *data,
                                        size_t size)
{
    so_realtime_part *part = realloc(item->part, (size_t)(item->n_parts + 1) * sizeof *part);
    if (!part) {
        free(text);
        free(data);
        return NULL;
    }
    item->part = part;
    part += item->n_parts++;
    *part = (so_realtime_part){.kind = kind, .text = text, .data = data, .size = size};
    return part;
}

void *so_realtime_decode(const char *text, size_t n, size_t *size)
{
    so_base64 state = {0};
    unsigned char *out = malloc(n / 4 * 3 + 4);
    if (!out) return NULL;
    if (so_base64_feed(&state, text, n, out, size) && so_base64_end(&state)) return out;
    free(out);
    return NULL;
}

/* ---- reading */

static bool wrong(so_realtime_fault *fault, const char *param, const char *expected)
{
    return so_realtime_refuse(fault, "invalid_value", param, "Invalid value for '%s': expected %s.", param, expected);
}

static bool no_memory(so_realtime_fault *fault)
{
    return so_realtime_refuse(fault, "server_error", "item", "no memory for the item");
}

static bool read_text(so_realtime_item *item, const json_t *part, so_realtime_fault *fault)
{
    const char *text = json_string_value(json_object_get(part, "text"));
    if (!text) return wrong(fault, "item.content.text", "a text");
    char *copy = strdup(text);
    return (copy && so_realtime_item_part(item, SO_PART_TEXT, copy, NULL, 0)) || no_memory(fault);
}

static bool read_audio(so_realtime_item *item, const json_t *part, so_realtime_fault *fault)
{
    const json_t *audio = json_object_get(part, "audio");
    const char *transcript = json_string_value(json_object_get(part, "transcript"));
    size_t size = 0;
    if (!json_is_string(audio)) return wrong(fault, "item.content.audio", "base64 of 24 kHz 16-bit mono sound");
    if (json_string_length(audio) / 4 * 3 > SO_REALTIME_APPEND)
        return so_realtime_refuse(fault, "invalid_value", "item.content.audio",
                                  "%zu bytes of sound, at most %d are taken at a time",
                                  json_string_length(audio) / 4 * 3, SO_REALTIME_APPEND);
    void *data = so_realtime_decode(json_string_value(audio), json_string_length(audio), &size);
    if (!data || size % 2) {
        free(data);
        return wrong(fault, "item.content.audio", "base64 of 24 kHz 16-bit mono sound");
    }
    so_realtime_part *p =
        so_realtime_item_part(item, SO_PART_AUDIO, transcript ? strdup(transcript) : NULL, data, size);
    if (p) p->rate = SO_REALTIME_RATE;
    return p || no_memory(fault);
}

static bool read_picture(so_realtime_item *item, const json_t *part, so_realtime_fault *fault)
{
    static const char begin[] = "data:image/", base64[] = ";base64,";
    const json_t *value = json_object_get(part, "image_url");
    if (json_is_object(value)) value = json_object_get(value, "url");
    const char *url = json_string_value(value),
               *at = url && strncmp(url, begin, sizeof begin - 1) == 0 ? strstr(url, base64) : NULL;
    size_t size = 0;
    if (!at) return wrong(fault, "item.content.image_url", "a data URI 'data:image/...;base64,...'");
    at += sizeof base64 - 1;
    void *data = so_realtime_decode(at, strlen(at), &size);
    if (!data) return wrong(fault, "item.content.image_url", "base64 of a picture file");
    return so_realtime_item_part(item, SO_PART_PICTURE, NULL, data, size) || no_memory(fault);
}

static bool read_part(so_realtime_item *item, const json_t *part, so_realtime_fault *fault)
{
    static const struct {
        const char *type;
        bool (*read)(so_realtime_item *item, const json_t *part, so_realtime_fault *fault);
        unsigned roles; /* bits of so_realtime_role */
    } known[] = {{"input_text", read_text, 3},
                 {"text", read_text, 7},
                 {"output_text", read_text, 4},
                 {"input_audio", read_audio, 2},
                 {"input_image", read_picture, 2}};
    const char *type = json_string_value(json_object_get(part, "type"));
    if (!type) return wrong(fault, "item.content.type", "the name of a kind of content");
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(type, known[i].type) == 0 && known[i].roles >> item->role & 1)
            return known[i].read(item, part, fault);
    return so_realtime_refuse(fault, "invalid_value", "item.content.type",
                              "Content '%.40s' does not go with role '%s'.", type,
                              item->role == SO_ROLE_USER     ? "user"
                              : item->role == SO_ROLE_SYSTEM ? "system"
                                                             : "assistant");
}

static bool read_head(so_realtime_item *item, const json_t *json, so_realtime_fault *fault)
{
    const char *type = json_string_value(json_object_get(json, "type")),
               *role = json_string_value(json_object_get(json, "role"));
    const json_t *id = json_object_get(json, "id");
    if (!type || strcmp(type, "message") != 0)
        return so_realtime_refuse(fault, "unsupported_value", "item.type",
                                  "Items of type '%.40s' are not supported: expected 'message'.", type ? type : "?");
    if (role && strcmp(role, "user") == 0)
        item->role = SO_ROLE_USER;
    else if (role && strcmp(role, "assistant") == 0)
        item->role = SO_ROLE_ASSISTANT;
    else if (role && strcmp(role, "system") == 0)
        item->role = SO_ROLE_SYSTEM;
    else
        return wrong(fault, "item.role", "'user', 'assistant' or 'system'");
    if (id && !json_is_null(id)) {
        if (!json_is_string(id) || !json_string_length(id) || json_string_length(id) >= sizeof item->id)
            return wrong(fault, "item.id", "1 to 63 characters");
        strcpy(item->id, json_string_value(id));
    }
    return true;
}

bool so_realtime_item_read(so_realtime_item **out, const json_t *json, so_realtime_fault *fault)
{
    const json_t *content = json_object_get(json, "content");
    size_t n = json_array_size(content);
    *out = NULL;
    if (!json_is_object(json)) return wrong(fault, "item", "an object");
    so_realtime_item *item = calloc(1, sizeof *item);
    if (!item) return no_memory(fault);
    item->heard_ms = -1;
    item->whole = true;
    bool fine = read_head(item, json, fault);
    if (fine && (!json_is_array(content) || n == 0 || n > SO_REALTIME_PARTS))
        fine = wrong(fault, "item.content", "1 to 32 parts");
    for (size_t i = 0; i < n && fine; i++) fine = read_part(item, json_array_get(content, i), fault);
    if (fine)
        *out = item;
    else
        so_realtime_item_free(item);
    return fine;
}

/* ---- telling */

static json_t *part_json(const so_realtime_item *item, const so_realtime_part *part, bool audio)
{
    bool mine = item->role == SO_ROLE_ASSISTANT;
    json_t *json = json_object();
    if (part->kind == SO_PART_PICTURE) {
        json_object_set_new(json, "type", json_string("input_image"));
    } else if (part->kind == SO_PART_TEXT && !item->spoken) {
        json_object_set_new(json, "type", json_string(mine ? "output_text" : "input_text"));
        json_object_set_new(json, "text", json_string(part->text ? part->text : ""));
    } else {
        json_object_set_new(json, "type", json_string(mine ? "output_audio" : "input_audio"));
        json_object_set_new(json, "transcript", part->text ? json_string(part->text) : json_null());
        if (audio && part->data) {
            char *text = malloc(so_base64_length(part->size) + 1);
            if (text) so_base64_write(part->data, part->size, text);
            json_object_set_new(json, "audio", json_string(text ? text : ""));
            free(text);
        }
    }
    return json;
}

json_t *so_realtime_item_json(const so_realtime_item *item, bool audio)
{
    static const char *const roles[] = {"system", "user", "assistant"};
    json_t *content = json_array();
    for (int i = 0; i < item->n_parts; i++) json_array_append_new(content, part_json(item, &item->part[i], audio));
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:o}", "id", item->id, "object", "realtime.item", "type", "message",
                     "status",
                     item->live    ? "in_progress"
                     : item->whole ? "completed"
                                   : "incomplete",
                     "role", roles[item->role], "content", content);
}
