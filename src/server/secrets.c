/* Secrets that live for minutes.
 * SPDX-License-Identifier: Apache-2.0 */
#include "server/secrets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct secret {
    char value[64]; /* filled with zeros */
    int64_t until;
    json_t *session;
} secret;

struct so_secrets {
    secret secret[SO_SECRETS_MOST];
    int next;
};

so_status so_secrets_open(so_secrets **out, so_error *error)
{
    *out = calloc(1, sizeof **out);
    return *out ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for %d secrets", SO_SECRETS_MOST);
}

void so_secrets_close(so_secrets **secrets)
{
    if (!secrets || !*secrets) return;
    for (int i = 0; i < SO_SECRETS_MOST; i++) json_decref((*secrets)->secret[i].session);
    free(*secrets);
    *secrets = NULL;
}

void so_secrets_put(so_secrets *s, const char *value, int64_t until, json_t *session)
{
    secret *e = &s->secret[s->next];
    s->next = (s->next + 1) % SO_SECRETS_MOST;
    json_decref(e->session);
    *e = (secret){.until = until, .session = json_incref(session)};
    snprintf(e->value, sizeof e->value, "%s", value);
}

int so_secrets_find(const so_secrets *s, const char *value, int64_t now, json_t **session)
{
    char whole[64] = "";
    int found = -1;
    size_t n = strlen(value);
    *session = NULL;
    if (n == 0 || n >= sizeof whole) return 0;
    memcpy(whole, value, n);
    for (int i = 0; i < SO_SECRETS_MOST; i++) {
        unsigned differ = s->secret[i].until <= now;
        for (size_t k = 0; k < sizeof whole; k++) differ |= (unsigned)(whole[k] ^ s->secret[i].value[k]);
        if (differ == 0) found = i;
    }
    if (found < 0) return 0;
    *session = s->secret[found].session;
    return 1;
}
