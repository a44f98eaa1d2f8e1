/* Spoken answers by their ids.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "server/keeper.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct entry {
    char id[64];
    char *words;
    time_t until;
} entry;

struct so_keeper {
    entry entry[SO_KEEPER_MOST];
    int next;
};

so_status so_keeper_open(so_keeper **out, so_error *error)
{
    *out = calloc(1, sizeof **out);
    return *out ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for %d answers", SO_KEEPER_MOST);
}

void so_keeper_close(so_keeper **keeper)
{
    if (!keeper || !*keeper) return;
    for (int i = 0; i < SO_KEEPER_MOST; i++) free((*keeper)->entry[i].words);
    free(*keeper);
    *keeper = NULL;
}

void so_keeper_put(so_keeper *k, const char *id, const char *words, time_t now)
{
    entry *e = &k->entry[k->next];
    char *copy = strdup(words);
    if (!copy) return;
    free(e->words);
    *e = (entry){.words = copy, .until = now + SO_KEEPER_S};
    snprintf(e->id, sizeof e->id, "%s", id);
    k->next = (k->next + 1) % SO_KEEPER_MOST;
}

const char *so_keeper_get(const so_keeper *k, const char *id, time_t now)
{
    for (int i = 0; i < SO_KEEPER_MOST; i++)
        if (k->entry[i].words && k->entry[i].until > now && strcmp(k->entry[i].id, id) == 0) return k->entry[i].words;
    return NULL;
}
