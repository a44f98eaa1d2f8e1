/* The page, from the table inside the program.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "server/assets.h"
#include "server/inside.h"

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
    bool packed = a->gzip && so_http_lists(codings, "gzip");
    snprintf(tag, sizeof tag, "\"%.18s%s\"", a->tag, packed ? "z" : "");
    snprintf(fields, sizeof fields,
             "ETag: %s\r\nCache-Control: no-cache\r\nVary: Accept-Encoding\r\nContent-Security-Policy: %s\r\n"
             "Permissions-Policy: %s\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n%s",
             tag, so_asset_policy, so_asset_permissions, packed ? "Content-Encoding: gzip\r\n" : "");
    if (known && strstr(known, tag))
        so_web_reply(ask->web, 304, NULL, fields, "", 0);
    else
        so_web_reply(ask->web, 200, a->type, fields, packed ? a->gzip : a->data, packed ? a->gzip_size : a->size);
}
