/* The page, from the table inside the program.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/assets.h"
#include "server/inside.h"

static void put_fields(char *fields, size_t size, const char *tag, bool packed)
{
    snprintf(fields, size,
             "%s%s%sCache-Control: no-cache\r\nVary: Accept-Encoding\r\nContent-Security-Policy: %s\r\n"
             "Permissions-Policy: %s\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n%s",
             tag ? "ETag: " : "", tag ? tag : "", tag ? "\r\n" : "", so_asset_policy, so_asset_permissions,
             packed ? "Content-Encoding: gzip\r\n" : "");
}

/* For work on the page: its files as they are now. */
static void answer_from(so_ask *ask, const char *folder)
{
    so_error error = {0};
    char *data = NULL, fields[1536];
    size_t size = 0;
    const char *type = NULL;
    if (so_asset_read(folder, ask->path, &data, &size, &type, &error) != SO_OK) {
        so_ask_error(ask, 404, "not_found", NULL, "%s", error.text);
        return;
    }
    put_fields(fields, sizeof fields, NULL, false);
    so_web_reply(ask->web, 200, type, fields, data, size);
    free(data);
}

void so_answer_asset(so_ask *ask)
{
    const so_asset *a = so_asset_find(ask->path);
    const char *known = so_http_field_of(&ask->web->head, "if-none-match");
    const char *codings = so_http_field_of(&ask->web->head, "accept-encoding");
    char fields[1536], tag[24];
    if (!a) {
        so_ask_error(ask, 404, "not_found", NULL, "nothing is at '%.100s'", ask->path);
        return;
    }
    if (ask->server->options->web_folder) {
        answer_from(ask, ask->server->options->web_folder);
        return;
    }
    bool packed = a->gzip && so_http_lists(codings, "gzip");
    snprintf(tag, sizeof tag, "\"%.18s%s\"", a->tag, packed ? "z" : "");
    put_fields(fields, sizeof fields, tag, packed);
    if (known && strstr(known, tag))
        so_web_reply(ask->web, 304, NULL, fields, "", 0);
    else
        so_web_reply(ask->web, 200, a->type, fields, packed ? a->gzip : a->data, packed ? a->gzip_size : a->size);
}
