/* Frames of the Wyoming protocol.
 * SPDX-License-Identifier: Apache-2.0 */
#include "server/wyoming_frame.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Brackets outside strings: the JSON here has a handful of levels. */
static bool shallow(const char *text, size_t n)
{
    int depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < n; i++) {
        if (quoted && text[i] == '\\')
            i++;
        else if (text[i] == '"')
            quoted = !quoted;
        else if (!quoted && (text[i] == '{' || text[i] == '[') && ++depth > 32)
            return false;
        else if (!quoted && (text[i] == '}' || text[i] == ']'))
            depth--;
    }
    return true;
}

static so_status parse(const char *text, size_t n, const char *what, json_t **out, so_error *error)
{
    json_error_t why = {0};
    *out = shallow(text, n) ? json_loadb(text, n, JSON_REJECT_DUPLICATES, &why) : NULL;
    if (*out && json_is_object(*out)) return SO_OK;
    json_decref(*out);
    *out = NULL;
    return so_fail(error, SO_ERR_FORMAT, "the %s of a frame is no JSON object: %s", what, why.text);
}

static so_status length(json_t *head, const char *name, size_t most, size_t *out, so_error *error)
{
    json_t *v = json_object_get(head, name);
    *out = 0;
    if (!v || json_is_null(v)) return SO_OK;
    if (!json_is_integer(v) || json_integer_value(v) < 0)
        return so_fail(error, SO_ERR_FORMAT, "the %s of a frame is no length", name);
    if ((json_int_t)most < json_integer_value(v))
        return so_fail(error, SO_ERR_LIMIT, "a %s of %lld bytes, at most %zu are taken", name,
                       (long long)json_integer_value(v), most);
    *out = (size_t)json_integer_value(v);
    return SO_OK;
}

/* With the head read: whether all of the frame is there, and what it holds. */
static so_status read_rest(const char *text, size_t n, json_t *head, so_wyoming_frame *f, size_t *used, so_error *error)
{
    size_t data, payload;
    json_t *more = NULL, *inside = json_object_get(head, "data");
    const char *type = json_string_value(json_object_get(head, "type"));
    if (!type || !type[0] || strlen(type) >= sizeof f->type)
        return so_fail(error, SO_ERR_FORMAT, "a frame without a type of 1 to %zu bytes", sizeof f->type - 1);
    SO_TRY(length(head, "data_length", SO_WYOMING_DATA, &data, error));
    SO_TRY(length(head, "payload_length", SO_WYOMING_PAYLOAD, &payload, error));
    if (n < data + payload) return SO_OK;
    if (inside && !json_is_object(inside) && !json_is_null(inside))
        return so_fail(error, SO_ERR_FORMAT, "the data of a frame is no JSON object");
    if (data) SO_TRY(parse(text, data, "data", &more, error));
    f->data = json_is_object(inside) ? json_incref(inside) : json_object();
    if (more && f->data) json_object_update(f->data, more);
    json_decref(more);
    if (!f->data) return so_fail(error, SO_ERR_NOMEM, "no memory for a frame");
    snprintf(f->type, sizeof f->type, "%s", type);
    f->payload = (const unsigned char *)text + data;
    f->size = payload;
    *used = data + payload;
    return SO_OK;
}

so_status so_wyoming_read(const void *bytes, size_t n, so_wyoming_frame *f, size_t *used, so_error *error)
{
    const char *text = bytes, *end = n ? memchr(text, '\n', n < SO_WYOMING_LINE ? n : SO_WYOMING_LINE) : NULL;
    json_t *head;
    size_t rest = 0;
    *f = (so_wyoming_frame){.size = 0};
    *used = 0;
    if (!end && n >= SO_WYOMING_LINE) return so_fail(error, SO_ERR_LIMIT, "a line above %d bytes", SO_WYOMING_LINE);
    if (n && text[0] != '{') return so_fail(error, SO_ERR_FORMAT, "a frame that does not begin with '{'");
    if (!end) return SO_OK;
    size_t line = (size_t)(end - text) + 1;
    SO_TRY(parse(text, line, "line", &head, error));
    so_status status = read_rest(text + line, n - line, head, f, &rest, error);
    json_decref(head);
    if (status == SO_OK && f->data) *used = line + rest;
    return status;
}

bool so_wyoming_write(so_bytes *out, const char *type, json_t *data, const void *payload, size_t size)
{
    char head[256], *text = data ? json_dumps(data, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    bool good = !data || text;
    size_t n = text ? strlen(text) : 0;
    json_decref(data);
    int length = snprintf(head, sizeof head, "{\"type\":\"%.60s\",\"version\":\"1.9.0\"", type);
    if (n) length += snprintf(head + length, sizeof head - (size_t)length, ",\"data_length\":%zu", n);
    if (size) length += snprintf(head + length, sizeof head - (size_t)length, ",\"payload_length\":%zu", size);
    length += snprintf(head + length, sizeof head - (size_t)length, "}\n");
    good = good && so_bytes_put(out, head, (size_t)length) && so_bytes_put(out, text, n) &&
           so_bytes_put(out, payload, size);
    free(text);
    return good;
}
