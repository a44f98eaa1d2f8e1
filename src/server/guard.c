/* Who may ask: hosts, origins, keys.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "server/guard.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/sha.h"

/* The host without its port, in brackets or not. False when it is too long. */
static bool without_port(const char *host, char out[256])
{
    size_t n = strlen(host);
    const char *end = host + n;
    if (host[0] == '[') {
        const char *close = strchr(host, ']');
        if (!close || (close[1] && close[1] != ':')) return false;
        host++;
        end = close;
    } else if (strchr(host, ':'))
        end = strchr(host, ':');
    n = (size_t)(end - host);
    if (n >= 256) return false;
    memcpy(out, host, n);
    out[n] = 0;
    return true;
}

static bool is_number(const char *host)
{
    unsigned char address[16];
    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

bool so_guard_host(const char *host, const char *const *names)
{
    char plain[256];
    if (!without_port(host, plain)) return false;
    size_t n = strlen(plain);
    if (n && plain[n - 1] == '.') plain[--n] = 0;
    if (is_number(plain) || strcasecmp(plain, "localhost") == 0) return true;
    if (n > 10 && strcasecmp(plain + n - 10, ".localhost") == 0) return true;
    for (int i = 0; names && names[i]; i++)
        if (strcmp(names[i], "*") == 0 || strcasecmp(names[i], plain) == 0) return true;
    return false;
}

/* A port that goes without saying makes no difference. */
static bool same_place(const char *origin, const char *host)
{
    const char *usual = strncasecmp(origin, "https:", 6) == 0 ? ":443" : ":80";
    const char *place = strstr(origin, "://");
    if (!place) return false;
    place += 3;
    size_t n = strlen(place), m = strlen(host), k = strlen(usual);
    if (n > k && strcmp(place + n - k, usual) == 0) n -= k;
    if (m > k && strcmp(host + m - k, usual) == 0) m -= k;
    return n == m && strncasecmp(place, host, n) == 0;
}

bool so_guard_origin(const char *origin, const char *host, const char *const *list)
{
    if (!origin) return true;
    for (int i = 0; list && list[i]; i++)
        if (strcmp(list[i], "*") == 0 || strcasecmp(list[i], origin) == 0) return true;
    return host && host[0] && same_place(origin, host);
}

/* ---- keys */
static void digest_of(const char *key, unsigned char digest[32])
{
    char hex[65];
    so_sha sha;
    so_sha_init(&sha, SO_SHA256);
    so_sha_feed(&sha, key, strlen(key));
    so_sha_end(&sha, hex);
    for (int i = 0; i < 32; i++) {
        char two[3] = {hex[2 * i], hex[2 * i + 1], 0};
        digest[i] = (unsigned char)strtoul(two, NULL, 16);
    }
}

static so_status room(so_keys *keys, const char *name, so_key **out, so_error *error)
{
    if (keys->n == SO_KEYS_MOST) return so_fail(error, SO_ERR_LIMIT, "more than %d keys", SO_KEYS_MOST);
    if (!name[0] || strlen(name) >= SO_KEY_NAME_MOST)
        return so_fail(error, SO_ERR_FORMAT, "a key's name has 1 to %d bytes", SO_KEY_NAME_MOST - 1);
    *out = &keys->key[keys->n++];
    snprintf((*out)->name, sizeof(*out)->name, "%s", name);
    return SO_OK;
}

so_status so_keys_add(so_keys *keys, const char *name, const char *key, so_error *error)
{
    so_key *k;
    if (!key[0]) return so_fail(error, SO_ERR_ARG, "an empty key");
    SO_TRY(room(keys, name, &k, error));
    digest_of(key, k->digest);
    return SO_OK;
}

static bool is_digest(const char *text) { return strlen(text) == 64 && strspn(text, "0123456789abcdefABCDEF") == 64; }

static so_status add_line(so_keys *keys, const char *path, int number, char *line, so_error *error)
{
    so_key *k;
    size_t n = strlen(line);
    while (n && strchr(" \t\r", line[n - 1])) line[--n] = 0;
    if (!line[0] || line[0] == '#') return SO_OK;
    char *colon = strchr(line, ':');
    if (!colon || colon == line || !colon[1])
        return so_fail(error, SO_ERR_FORMAT, "%s, line %d: expected 'name:SHA-256' or 'name:key'", path, number);
    *colon = 0;
    if (!is_digest(colon + 1)) return so_keys_add(keys, line, colon + 1, error);
    SO_TRY(room(keys, line, &k, error));
    for (int i = 0; i < 32; i++) {
        char two[3] = {colon[1 + 2 * i], colon[2 + 2 * i], 0};
        k->digest[i] = (unsigned char)strtoul(two, NULL, 16);
    }
    return SO_OK;
}

so_status so_keys_read(so_keys *keys, const char *path, so_error *error)
{
    char *text;
    size_t size;
    SO_TRY(so_file_read(path, 1 << 20, &text, &size, error));
    so_status status = SO_OK;
    int number = 1;
    for (char *line = text, *next; status == SO_OK && *line; line = next, number++) {
        next = line + strcspn(line, "\n");
        if (*next) *next++ = 0;
        status = add_line(keys, path, number, line, error);
    }
    memset(text, 0, size);
    free(text);
    return status;
}

so_key *so_keys_find(so_keys *keys, const char *key)
{
    unsigned char digest[32];
    int found = -1;
    digest_of(key, digest);
    for (int i = 0; i < keys->n; i++) {
        unsigned differ = 0;
        for (int k = 0; k < 32; k++) differ |= (unsigned)(digest[k] ^ keys->key[i].digest[k]);
        if (differ == 0) found = i;
    }
    return found < 0 ? NULL : &keys->key[found];
}

bool so_key_sounds(so_key *key, double most, double now, double *wait)
{
    if (most <= 0) return true;
    double left = key->sound_at > 0 ? key->sound + (now - key->sound_at) * most / 60 : most;
    key->sound = left < most ? left : most;
    key->sound_at = now;
    *wait = key->sound <= 0 ? (1 - key->sound) * 60 / most : 0;
    return key->sound > 0;
}

void so_key_heard(so_key *key, double most, double seconds, double now)
{
    double wait;
    so_key_sounds(key, most, now, &wait);
    if (most > 0) key->sound -= seconds;
}

void so_keys_carry(so_keys *keys, const so_keys *old)
{
    for (int i = 0; i < keys->n; i++)
        for (int k = 0; k < old->n; k++) {
            so_key *to = &keys->key[i];
            const so_key *from = &old->key[k];
            if (strcmp(to->name, from->name)) continue;
            to->left = from->left;
            to->asked_at = from->asked_at;
            to->sound = from->sound;
            to->sound_at = from->sound_at;
            to->sessions = from->sessions;
        }
}

bool so_key_admit(so_key *key, double most, double now, double *wait)
{
    if (most <= 0) return true;
    double left = key->asked_at > 0 ? key->left + (now - key->asked_at) * most / 60 : most;
    key->left = left < most ? left : most;
    key->asked_at = now;
    *wait = key->left < 1 ? (1 - key->left) * 60 / most : 0;
    if (key->left < 1) return false;
    key->left -= 1;
    return true;
}
