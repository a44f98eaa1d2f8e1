/* Who may ask: hosts, origins, keys. Pure functions over what the options say.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_SERVER_GUARD_H
#define SO_SERVER_GUARD_H

#include <stdbool.h>

#include "base/error.h"

enum { SO_KEYS_MOST = 256, SO_KEY_NAME_MOST = 64 };

/* Against DNS rebinding, where a page's own name leads to this server: an address written as a number is accepted,
 * "localhost" and names below it, and the given names (`names` ends with NULL; "*" accepts all). The port does not
 * count. */
bool so_guard_host(const char *host, const char *const *names);
/* Whether a page from `origin` may send requests that do something: an absent origin (NULL: no browser) and the one of
 * `host` itself may, and those of the list ("*": all). */
bool so_guard_origin(const char *origin, const char *host, const char *const *list);

typedef struct so_key {
    char name[SO_KEY_NAME_MOST];
    unsigned char digest[32];
    double left, asked_at;  /* requests that it may still send, as of then */
    double sound, sound_at; /* seconds of sound, negative when more was taken than there was */
    int sessions;           /* conversations it has now */
} so_key;

typedef struct so_keys {
    int n;
    so_key key[SO_KEYS_MOST];
} so_keys;

/* Adds a key by its text. */
so_status so_keys_add(so_keys *keys, const char *name, const char *key, so_error *error);
/* Adds those of a file: lines "name:SHA-256 in hexadecimal" or "name:key"; empty lines and those that begin with '#'
 * are left out. SO_ERR_FORMAT names the line. */
so_status so_keys_read(so_keys *keys, const char *path, so_error *error);
/* The key, lent, NULL when it is none of them. Takes the same time for every text of the same length: digests are
 * compared, all of them, whole. */
so_key *so_keys_find(so_keys *keys, const char *key);
/* Whether the key may send one more request now (seconds of any clock), at `most` a minute, as many at once. 0: no
 * limit. *wait gets the seconds until it may, when it may not. */
bool so_key_admit(so_key *key, double most, double now, double *wait);
/* The same for sound, at `most` seconds a minute, which is counted when it is known (so_key_heard): a key that has none
 * left waits. */
bool so_key_sounds(so_key *key, double most, double now, double *wait);
void so_key_heard(so_key *key, double most, double seconds, double now);
/* What was counted for keys of the same names goes on to count. */
void so_keys_carry(so_keys *keys, const so_keys *old);

#endif
