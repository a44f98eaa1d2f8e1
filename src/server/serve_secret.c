/* POST /v1/realtime/client_secrets: a secret for one page and some minutes.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "server/inside.h"
#include "server/secrets.h"

static bool read_seconds(json_t *root, json_int_t *seconds, so_fault *fault)
{
    json_t *after = json_object_get(root, "expires_after"), *anchor = json_object_get(after, "anchor");
    json_t *given = json_object_get(after, "seconds");
    *seconds = SO_SECRET_S;
    if (anchor && (!json_is_string(anchor) || strcmp(json_string_value(anchor), "created_at")))
        return so_fault_set(fault, "expires_after.anchor", "the anchor can only be created_at");
    if (!given || json_is_null(given)) return true;
    *seconds = json_integer_value(given);
    if (!json_is_integer(given) || *seconds < SO_SECRET_LEAST_S || *seconds > SO_SECRET_MOST_S)
        return so_fault_set(fault, "expires_after.seconds", "seconds must be a whole number from %d to %d",
                            SO_SECRET_LEAST_S, SO_SECRET_MOST_S);
    return true;
}

void so_answer_secret(so_ask *ask)
{
    so_fault fault = {0};
    json_int_t seconds = 0;
    char value[64];
    const void *body = so_bytes_left(&ask->body) ? (const void *)so_bytes_front(&ask->body) : "{}";
    json_t *root = so_json_read(body, so_bytes_left(&ask->body) ? so_bytes_left(&ask->body) : 2, &fault);
    json_t *session = json_object_get(root, "session");
    if (root && session && !json_is_object(session)) so_fault_set(&fault, "session", "session must be an object");
    if (root && fault.status == 0) read_seconds(root, &seconds, &fault);
    if (fault.status) {
        json_decref(root);
        so_ask_fault(ask, &fault);
        return;
    }
    int64_t until = (int64_t)time(NULL) + seconds;
    so_server_id(ask->server, "ek_", value);
    so_secrets_put(ask->server->secrets, value, until, session);
    so_ask_json(ask, 200,
                json_pack("{s:s,s:I,s:O}", "value", value, "expires_at", (json_int_t)until, "session",
                          session ? session : json_null()));
    json_decref(root);
}
