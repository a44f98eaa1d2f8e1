/* Who speaks a corpus of the tabletop world. See tabletop_cast.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "dataset/tabletop/tabletop_cast.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 512, MOST_ENGINES = 8 };

static const uint64_t LOTS = 0x6361737400000000u;

struct so_tabletop_cast {
    so_speakers *speakers;
    int voice[MOST], count;               /* numbers of those that fit, engine by engine */
    int first[MOST_ENGINES + 1], engines; /* where each engine's begin */
};

static bool fits(const so_speaker *who, so_tabletop_part part)
{
    return part == SO_TABLETOP_RESERVED ? who->reserved || who->given : !who->reserved;
}

static void list_voices(so_tabletop_cast *c, so_tabletop_part part)
{
    const char *engine = "";
    for (int i = 0; i < so_speakers_count(c->speakers) && c->count < MOST; i++) {
        const so_speaker *who = so_speakers_at(c->speakers, i);
        if (!fits(who, part)) continue;
        if (strcmp(engine, who->engine) != 0 && c->engines < MOST_ENGINES) c->first[c->engines++] = c->count;
        engine = who->engine;
        c->voice[c->count++] = i;
    }
    c->first[c->engines] = c->count;
}

so_status so_tabletop_cast_open(so_tabletop_cast **out, const so_speakers_options *options, so_tabletop_part part,
                                so_error *error)
{
    so_tabletop_cast *c = calloc(1, sizeof *c);
    *out = c;
    if (!c) return so_fail(error, SO_ERR_NOMEM, "no memory for a list of speakers");
    so_status status = so_speakers_open(&c->speakers, options, error);
    if (status == SO_OK) list_voices(c, part);
    if (status == SO_OK && !c->count)
        status = so_fail(error, SO_ERR_MISSING, "none of %d voices of this machine is for the %s part",
                         so_speakers_count(c->speakers), part == SO_TABLETOP_RESERVED ? "reserved" : "training");
    if (status != SO_OK) so_tabletop_cast_close(out);
    return status;
}

void so_tabletop_cast_close(so_tabletop_cast **cast)
{
    if (!*cast) return;
    so_speakers_close(&(*cast)->speakers);
    free(*cast);
    *cast = NULL;
}

const so_speakers *so_tabletop_cast_speakers(const so_tabletop_cast *cast) { return cast->speakers; }

uint64_t so_tabletop_cast_mark(const so_tabletop_cast *cast)
{
    uint64_t mark = 14695981039346656037u; /* FNV-1a */
    for (int i = 0; i < cast->count; i++) {
        const so_speaker *who = so_speakers_at(cast->speakers, cast->voice[i]);
        for (const char *p = who->engine; *p; p++) mark = (mark ^ (uint8_t)*p) * 1099511628211u;
        for (const char *p = who->voice; *p; p++) mark = (mark ^ (uint8_t)*p) * 1099511628211u;
    }
    return mark;
}

so_status so_tabletop_cast_speak(so_tabletop_cast *c, uint64_t seed, uint64_t number, const char *text,
                                 so_tabletop_said *out, so_error *error)
{
    so_rng rng;
    so_status status = SO_OK;
    so_rng_init(&rng, seed ^ LOTS, number);
    int engine = (int)so_rng_below(&rng, c->engines);
    int at = c->first[engine] + (int)so_rng_below(&rng, c->first[engine + 1] - c->first[engine]);
    uint64_t say = so_rng_u64(&rng);
    *out = (so_tabletop_said){.count = 0};
    for (int tries = 0; tries < c->count; tries++, at = (at + 1) % c->count) {
        const so_speaker *who = so_speakers_at(c->speakers, c->voice[at]);
        status = so_speakers_speak(c->speakers, c->voice[at], text, say, &out->samples, &out->count, error);
        snprintf(out->name, sizeof out->name, "%s:%s", who->engine, who->voice);
        if (status == SO_OK || status == SO_ERR_STOPPED || status == SO_ERR_ARG) return status;
        if (!out->skipped[0])
            snprintf(out->skipped, sizeof out->skipped, "%.80s did not say '%.40s': %.100s", out->name, text,
                     error->text);
    }
    return status;
}
