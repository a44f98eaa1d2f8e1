/* Listing voices, and letting each say something.
 * SPDX-License-Identifier: Apache-2.0 */
#include "apps/voices.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "apps/verbs.h"
#include "media/audio.h"

/* A name for a file: what is no letter, digit, dot or dash becomes a dash. */
static void plain_name(const so_speaker *who, char name[96])
{
    snprintf(name, 96, "%s-%s.flac", who->engine, who->voice);
    for (char *p = name; *p; p++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", *p)) *p = '-';
}

static so_status say(so_speakers *s, int i, const char *text, const char *folder, double *seconds, so_error *error)
{
    char name[96], path[4096];
    float *x;
    int64_t n;
    plain_name(so_speakers_at(s, i), name);
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return so_fail(error, SO_ERR_LIMIT, "the folder's path is too long");
    SO_TRY(so_speakers_speak(s, i, text, 1, &x, &n, error));
    so_status status = so_audio_write(path, SO_AUDIO_FLAC, x, n, SO_SPEAKER_RATE, error);
    free(x);
    *seconds = (double)n / SO_SPEAKER_RATE;
    return status;
}

static void tell(const so_speaker *who, double seconds, const so_error *why, bool json, bool first)
{
    if (json) {
        printf("%s{\"engine\": \"%s\", \"voice\": ", first ? "" : ", ", who->engine);
        so_json_text(stdout, who->voice);
        printf(", \"reserved\": %s, \"deterministic\": %s", who->reserved ? "true" : "false",
               who->deterministic ? "true" : "false");
        if (seconds > 0) printf(", \"seconds\": %.3f", seconds);
        if (why->status != SO_OK) {
            printf(", \"error\": ");
            so_json_text(stdout, why->text);
        }
        printf("}");
        return;
    }
    printf("%-10s %-28s %s%s", who->engine, who->voice[0] ? who->voice : "(without a name)",
           who->reserved ? "reserved for tests" : "", who->deterministic ? "" : "not the same twice");
    if (seconds > 0) printf("  %.2f s", seconds);
    if (why->status != SO_OK) printf("  %s", why->text);
    printf("\n");
}

int so_voices_list(const so_speakers_options *options, const char *text, const char *folder, bool json)
{
    so_speakers *s;
    so_error error;
    const char *package, *name;
    int failed = 0;
    so_status status = so_speakers_open(&s, options, &error);
    if (status == SO_ERR_ARG) return so_cli_usage(&so_verb_data, "%s", error.text);
    if (status != SO_OK) return so_cli_fail(&error);
    if (folder && mkdir(folder, 0777) != 0 && errno != EEXIST) {
        fprintf(stderr, "cannot make the folder '%s': %s\n", folder, strerror(errno));
        so_speakers_close(&s);
        return SO_EXIT_FAILURE;
    }
    if (json) printf("[");
    for (int i = 0; i < so_speakers_count(s) && !so_cli_stop; i++) {
        double seconds = 0;
        so_error why = {0};
        if (folder) failed += say(s, i, text, folder, &seconds, &why) != SO_OK;
        tell(so_speakers_at(s, i), seconds, &why, json, i == 0);
    }
    if (json) printf("]\n");
    for (int i = 0; (name = so_speakers_absent(s, i, &package)); i++)
        fprintf(stderr, "%s is not installed (Debian: %s)\n", name, package);
    so_speakers_close(&s);
    return failed ? SO_EXIT_FAILURE : SO_EXIT_OK;
}
