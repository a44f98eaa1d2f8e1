/* Asking CosyVoice's server.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "dataset/voices/cosyvoice.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataset/voices/speaker.h"
#include "net/fetch.h"

static const char prefix[] = "cosyvoice+";

bool so_cosyvoice_is(const char *address) { return strncmp(address, prefix, sizeof prefix - 1) == 0; }

so_status so_cosyvoice_parse(const char *address, so_cosyvoice *out, so_error *error)
{
    const char *url = address + (so_cosyvoice_is(address) ? sizeof prefix - 1 : 0);
    const char *query = strchr(url, '?');
    size_t n = query ? (size_t)(query - url) : strlen(url);
    long rate = 22050;
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
        return so_fail(error, SO_ERR_ARG, "'%.80s' is no address of CosyVoice's server, expected cosyvoice+http://HOST",
                       address);
    if (query) {
        char *end;
        bool named = strncmp(query, "?rate=", 6) == 0;
        rate = named ? strtol(query + 6, &end, 10) : 0;
        if (!named || *end || rate < 8000 || rate > 48000)
            return so_fail(error, SO_ERR_ARG, "'%.80s' ends with '%.40s', expected ?rate=HZ of 8000 to 48000", address,
                           query);
    }
    while (n && url[n - 1] == '/') n--;
    if (n + sizeof "/inference_sft" > sizeof out->url)
        return so_fail(error, SO_ERR_LIMIT, "an address of %zu bytes, expected at most %zu", n, sizeof out->url);
    snprintf(out->url, sizeof out->url, "%.*s/inference_sft", (int)n, url);
    out->rate = (int)rate;
    return SO_OK;
}

/* Whether all of the first bytes are text: eight samples in a row never look so by chance. */
static bool is_text(const unsigned char *data, size_t n)
{
    size_t i = 0;
    while (i < n && i < 16 &&
           ((data[i] >= 32 && data[i] < 127) || data[i] == '\n' || data[i] == '\r' || data[i] == '\t'))
        i++;
    return i == n || i == 16;
}

static so_status check(const so_cosyvoice *server, const so_fetched *got, so_error *error)
{
    static const char *const headers[] = {"RIFF", "OggS", "fLaC", "ID3"};
    if (got->size == 0) return so_fail(error, SO_ERR_FORMAT, "%s sent nothing, expected sound", server->url);
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++)
        if (strncmp(got->data, headers[i], strlen(headers[i])) == 0)
            return so_fail(error, SO_ERR_FORMAT, "%s sent a sound file ('%s'), expected samples of 16 bits at %d Hz",
                           server->url, headers[i], server->rate);
    if (is_text((const unsigned char *)got->data, got->size))
        return so_fail(error, SO_ERR_FORMAT, "%s sent text, expected sound: '%.*s'", server->url,
                       (int)strcspn(got->data, "\r\n") < 60 ? (int)strcspn(got->data, "\r\n") : 60, got->data);
    if (got->size % 2)
        return so_fail(error, SO_ERR_FORMAT, "%s sent %zu bytes, expected an even number: samples of 16 bits",
                       server->url, got->size);
    return SO_OK;
}

static so_status take(const so_cosyvoice *server, const so_fetched *got, so_audio *out, so_error *error)
{
    const unsigned char *data = (const unsigned char *)got->data;
    int64_t n = (int64_t)(got->size / 2);
    float *x = malloc((size_t)n * sizeof *x);
    if (!x) return so_fail(error, SO_ERR_NOMEM, "no memory for %lld samples", (long long)n);
    for (int64_t i = 0; i < n; i++) x[i] = (float)(int16_t)(data[2 * i] | data[2 * i + 1] << 8) / 32768.0f;
    *out = (so_audio){.samples = x, .n = n, .rate = server->rate};
    return SO_OK;
}

so_status so_cosyvoice_speak(const so_cosyvoice *server, const char *key, const char *speaker, const char *text,
                             double seconds, so_audio *out, so_error *error)
{
    const char *const fields[] = {"tts_text", text, "spk_id", speaker, NULL};
    const so_fetch_options options = {.token = key, .tries = 1, .patience = seconds, .seconds = seconds};
    const size_t most = (size_t)server->rate * 2 * SO_SPEAKER_SECONDS;
    so_fetcher *f = NULL;
    so_fetched got = {0};
    SO_TRY(so_fetcher_open(&f, &options, error));
    so_status status = so_fetch_form(f, server->url, fields, most, &got, error);
    if (status == SO_ERR_IO && so_fetcher_reached(f)) {
        const so_error why = *error; /* one text that it cannot say; others may be fine */
        status = so_fail(error, SO_ERR_STATE, "%s", why.text);
    }
    if (status == SO_OK) status = check(server, &got, error);
    if (status == SO_OK) status = take(server, &got, out, error);
    so_fetched_clear(&got);
    so_fetcher_close(&f);
    return status;
}
