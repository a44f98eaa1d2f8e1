/* Shares of the speakers, and what happens when one of them fails.
 * SPDX-License-Identifier: Apache-2.0 */
#include "recipes/tabletop/part_cast.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dataset/tabletop/tabletop_corpus.h"

enum { TIMES_IN_ROW = 8, SECONDS = 20 /* for one utterance */ };

static const char OWN_VOICE[] = "festival/cmu_us_slt_arctic_hts";

/* How much each speaker is to say of what no recording is; those that this machine lacks leave their share to others.
 * Voices of other make are what teaches hearing people (docs/lab/training.md). */
static const struct {
    const char *engine, *voice; /* NULL: any */
    double share;
} shares[] = {
    {"espeak-ng", "drawn", 0.12},
    {"espeak-ng", "invented", 0.26},
    {"flite", "slt", 0.12},
    {"flite", "awb", 0.12},
    {"flite", "kal16", 0.08},
    {"flite", "kal", 0.04},
    {"flite", NULL, 0.08},
    {"festival", "cmu_us_slt_arctic_hts", 0.1},
    {"festival", "kal_diphone", 0.08},
    {"festival", NULL, 0.08},
    {"command", NULL, 0.1},
    {"endpoint", NULL, 0.1},
    {"cosyvoice", NULL, 0.1},
};

void so_tt_family(const char *speaker, char family[16])
{
    snprintf(family, 16, "%.*s", (int)strcspn(speaker, "/"), speaker);
}

void so_tt_cast_name(const so_tt_cast *cast, int speaker, char name[48])
{
    const so_speaker *s = so_speakers_at(cast->speakers, speaker);
    snprintf(name, 48, "%s%s%.30s", s->engine, s->voice[0] ? "/" : "", s->voice);
}

static int find(const so_tt_cast *cast, const char *engine, const char *voice)
{
    for (int i = 0; i < so_speakers_count(cast->speakers); i++) {
        const so_speaker *s = so_speakers_at(cast->speakers, i);
        if (strcmp(s->engine, engine) == 0 && strcmp(s->voice, voice) == 0) return i;
    }
    return -1;
}

static double share_of(const so_speaker *s)
{
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++)
        if (strcmp(shares[i].engine, s->engine) == 0 && (!shares[i].voice || strcmp(shares[i].voice, s->voice) == 0))
            return shares[i].share;
    return 0;
}

static so_status share_out(so_tt_cast *cast, const so_tt *tt, so_error *error)
{
    double sum = 0;
    const char *absent, *package;
    for (int i = 0; i < so_speakers_count(cast->speakers); i++) {
        const so_speaker *s = so_speakers_at(cast->speakers, i);
        if (s->reserved && cast->reserved_n < SO_TT_SPEAKERS) cast->reserved[cast->reserved_n++] = i;
        double share = s->reserved ? 0 : share_of(s);
        if (share <= 0 || cast->users == SO_TT_SPEAKERS) continue;
        sum += share;
        cast->user[cast->users] = i;
        cast->upto[cast->users++] = sum;
    }
    for (int i = 0; i < cast->users; i++) cast->upto[i] /= sum;
    for (int i = 0; (absent = so_speakers_absent(cast->speakers, i, &package)); i++)
        so_tt_say(tt, "corpus: no %s here, its voices are missing (Debian: %s)", absent, package);
    cast->fallback[SO_TABLETOP_TRAIN] = find(cast, "espeak-ng", "invented");
    cast->fallback[SO_TABLETOP_RESERVED] = find(cast, "espeak-ng", "reserved");
    if (cast->fallback[0] < 0 || cast->fallback[1] < 0)
        return so_fail(error, SO_ERR_MISSING,
                       "the corpus needs espeak-ng, for its phonemes too (Debian: libespeak-ng1 and espeak-ng-data)");
    return SO_OK;
}

/* The model's own voice: the one asked for, else the natural one where it is installed, else espeak-ng's. */
static so_status choose_own(so_tt_cast *cast, const so_tt *tt, so_error *error)
{
    const char *name = tt->casting.own ? tt->casting.own : OWN_VOICE, *slash = strchr(name, '/');
    char engine[16];
    so_tt_family(name, engine);
    cast->own = find(cast, engine, slash ? slash + 1 : "");
    if (cast->own >= 0 && !so_speakers_at(cast->speakers, cast->own)->reserved) return SO_OK;
    cast->own = -1;
    if (tt->casting.own && strcmp(engine, "espeak-ng") != 0)
        return so_fail(error, SO_ERR_MISSING,
                       "no voice '%s' for the model itself, or a reserved one; 'data voices' lists what there is",
                       tt->casting.own);
    if (!tt->casting.own)
        so_tt_say(tt, "corpus: no %s here: the model speaks as espeak-ng does, which people find hard to follow",
                  OWN_VOICE);
    return SO_OK;
}

/* ---- recordings */

static bool take_recording(so_tt_recording *r, const so_tabletop_item *t)
{
    memset(r, 0, sizeof *r);
    if (!t->speech || !t->answer || t->kind < 0 || strlen(t->speech) >= sizeof r->path ||
        strlen(t->question) >= sizeof r->item.question || strlen(t->answer) >= sizeof r->item.answer)
        return false;
    snprintf(r->path, sizeof r->path, "%s", t->speech);
    snprintf(r->speaker, sizeof r->speaker, "recorded/%.38s", t->voice.accent[0] ? t->voice.accent : "somebody");
    r->item.kind = (so_tabletop_kind)t->kind;
    r->item.scene = t->scene_seed < 0 ? ~(uint64_t)0 : (uint64_t)t->scene_seed;
    snprintf(r->item.question, sizeof r->item.question, "%s", t->question);
    snprintf(r->item.answer, sizeof r->item.answer, "%s", t->answer);
    return true;
}

/* Adds the spoken questions of a folder. A corpus tells in tabletop.json whether it is of the reserved part. */
static so_status add_recordings(so_tt_cast *cast, const so_tt *tt, const char *folder, so_error *error)
{
    char path[1024], *text = NULL;
    size_t size;
    so_tabletop_corpus corpus;
    snprintf(path, sizeof path, "%s/tabletop.json", folder);
    SO_TRY(so_file_read(path, 1 << 16, &text, &size, error));
    int part = strstr(text, "\"reserved\"") ? SO_TABLETOP_RESERVED : SO_TABLETOP_TRAIN;
    free(text);
    snprintf(path, sizeof path, "%s/spoken.jsonl", folder);
    SO_TRY(so_tabletop_open(&corpus, access(path, R_OK) == 0 ? path : folder, error));
    int64_t before = cast->recordings[part], n = before + corpus.count;
    so_tt_recording *r = realloc(cast->recording[part], (size_t)(n + 1) * sizeof *r);
    if (r) cast->recording[part] = r;
    for (int64_t i = 0; i < corpus.count && r; i++)
        cast->recordings[part] += take_recording(&r[cast->recordings[part]], &corpus.items[i]);
    so_tabletop_close(&corpus);
    if (!r) return so_fail(error, SO_ERR_NOMEM, "no memory for %lld recordings", (long long)n);
    if (cast->recordings[part] == before)
        return so_fail(error, SO_ERR_ARG, "'%s' holds no spoken questions of the tabletop world", folder);
    so_tt_say(tt, "corpus: %lld recordings from '%s'%s", (long long)(cast->recordings[part] - before), folder,
              part == SO_TABLETOP_RESERVED ? ", for measuring" : "");
    return SO_OK;
}

static so_status add_all_recordings(so_tt_cast *cast, const so_tt *tt, so_error *error)
{
    char folder[900];
    for (const char *p = tt->casting.recordings; p && *p;) {
        size_t n = strcspn(p, ",");
        if (n >= sizeof folder) return so_fail(error, SO_ERR_ARG, "a folder's name of %zu bytes", n);
        snprintf(folder, sizeof folder, "%.*s", (int)n, p);
        if (n) SO_TRY(add_recordings(cast, tt, folder, error));
        p += n + (p[n] == ',');
    }
    return SO_OK;
}

/* ---- all together */

so_status so_tt_cast_open(so_tt_cast **out, const so_tt *tt, so_error *error)
{
    so_speakers_options options = {.command = tt->casting.command,
                                   .endpoint = tt->casting.endpoint,
                                   .voices = tt->casting.voices,
                                   .seconds = tt->casting.seconds > 0 ? tt->casting.seconds : SECONDS,
                                   .stop = tt->stop};
    *out = NULL;
    so_tt_cast *cast = calloc(1, sizeof *cast);
    if (!cast) return so_fail(error, SO_ERR_NOMEM, "no memory for a list of speakers");
    so_status status = so_speakers_open(&cast->speakers, &options, error);
    if (status == SO_OK) status = share_out(cast, tt, error);
    if (status == SO_OK) status = choose_own(cast, tt, error);
    if (status == SO_OK) status = add_all_recordings(cast, tt, error);
    if (status != SO_OK)
        so_tt_cast_close(&cast);
    else
        *out = cast;
    return status;
}

void so_tt_cast_close(so_tt_cast **cast)
{
    if (!*cast) return;
    so_speakers_close(&(*cast)->speakers);
    free((*cast)->recording[0]);
    free((*cast)->recording[1]);
    free(*cast);
    *cast = NULL;
}

int so_tt_cast_draw(const so_tt_cast *cast, const so_tt *tt, so_tabletop_part part, int64_t i)
{
    if (part == SO_TABLETOP_RESERVED) return cast->reserved[i % cast->reserved_n];
    so_rng rng;
    so_rng_init(&rng, tt->seed, 0x6361737400000000u + (uint64_t)i);
    double which = so_rng_uniform(&rng);
    int k = 0;
    while (k < cast->users - 1 && which >= cast->upto[k]) k++;
    return cast->user[k];
}

/* Asks for lines at..at + n - 1 at once; counts failures in a row. */
static so_status ask_for(so_tt_cast *cast, const so_tt *tt, const so_tt_lines *lines, int at, int n, so_tt_said *said,
                         so_error *error)
{
    float *samples[SO_TT_TOGETHER];
    int64_t counts[SO_TT_TOGETHER];
    so_error why = {0};
    int *failed = &cast->failed_in_row[lines->speaker];
    char name[48];
    if (so_speakers_speak_many(cast->speakers, lines->speaker, n, lines->text + at, lines->seed + at, samples, counts,
                               &why) == SO_ERR_STOPPED)
        return so_fail(error, SO_ERR_STOPPED, "%s", why.text);
    if (why.status != SO_OK) so_tt_say(tt, "corpus: %s", why.text);
    for (int k = 0; k < n; k++) {
        said[at + k] = (so_tt_said){samples[k], counts[k], lines->speaker};
        *failed = samples[k] ? 0 : *failed + 1;
    }
    if (*failed < TIMES_IN_ROW) return SO_OK;
    cast->given_up[lines->speaker] = true;
    so_tt_cast_name(cast, lines->speaker, name);
    so_tt_say(tt, "corpus: %s failed %d times in a row and is asked no more", name, *failed);
    return SO_OK;
}

so_status so_tt_cast_speak(so_tt_cast *cast, const so_tt *tt, const so_tt_lines *lines, so_tt_said *said,
                           so_error *error)
{
    /* festival starts once for many; of others that hang no more are waited for than needed. */
    bool festival = strcmp(so_speakers_at(cast->speakers, lines->speaker)->engine, "festival") == 0;
    int most = festival ? SO_TT_TOGETHER : TIMES_IN_ROW, n = lines->n;
    for (int k = 0; k < n; k++) said[k] = (so_tt_said){NULL, 0, lines->speaker};
    for (int at = 0; at < n && !cast->given_up[lines->speaker]; at += most)
        SO_TRY(ask_for(cast, tt, lines, at, n - at < most ? n - at : most, said, error));
    for (int k = 0; k < n; k++) {
        if (said[k].samples) continue;
        said[k].speaker = cast->fallback[lines->part];
        SO_TRY(so_speakers_speak(cast->speakers, said[k].speaker, lines->text[k], lines->seed[k], &said[k].samples,
                                 &said[k].n, error));
    }
    return SO_OK;
}
