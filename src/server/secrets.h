/* Secrets that live for minutes: a page gets one from its own server and opens a realtime session with it, without ever
 * seeing a key ("ek_...", client_secrets of the published interface).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_SERVER_SECRETS_H
#define SO_SERVER_SECRETS_H

#include <jansson.h>
#include <stdint.h>

#include "base/error.h"

enum {
    SO_SECRETS_MOST = 1024, /* of more the oldest is void */
    SO_SECRET_LEAST_S = 10,
    SO_SECRET_MOST_S = 7200,
    SO_SECRET_S = 600
};

typedef struct so_secrets so_secrets;
so_status so_secrets_open(so_secrets **out, so_error *error);
void so_secrets_close(so_secrets **secrets);
/* Keeps a secret (any text of up to 63 bytes) that is good until `until`, with the settings of its session (NULL:
 * none), of which it takes a reference. */
void so_secrets_put(so_secrets *secrets, const char *value, int64_t until, json_t *session);
/* Whether it is good; *session gets its settings, lent, or NULL. All secrets are compared, each whole. */
int so_secrets_find(const so_secrets *secrets, const char *value, int64_t now, json_t **session);

#endif
