/* The tabletop world as a dataset.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "dataset/tabletop/tabletop_dataset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sha.h"

enum { TURNS = 80 };

static const char PREFIX[] = "tabletop:";
static const char *const names[SO_TABLETOP_STREAMS] = {"pictures", "hard", "talk", "conversations", "others"};

/* A record before it is one: what is asked, and which picture is shown with it. */
typedef struct turns {
    int n, pictures;
    so_tabletop_turn turn[TURNS];
} turns;

/* ---- what a record is */

int so_tabletop_hard(const so_scene *scene, int most, so_rng *rng, so_qa *out)
{
    const uint32_t kinds = 1u << SO_QA_RELATION | 1u << SO_QA_COUNT_SOME | 1u << SO_QA_PLACE | 1u << SO_QA_EXISTENCE;
    int n = 0;
    for (int tries = 0; tries < 3 * most && n < most; tries++) {
        bool relation = so_rng_uniform(rng) < 0.5;
        bool asked = !so_scene_ask(scene, relation ? 1u << SO_QA_RELATION : kinds, rng, &out[n]);
        for (int i = 0; i < n && !asked; i++) asked = strcmp(out[i].question, out[n].question) == 0;
        n += !asked;
    }
    return n;
}

static void put(turns *t, const so_qa *qa, uint64_t scene)
{
    bool shown = scene != SO_TABLETOP_NO_SCENE && t->n == 0;
    t->turn[t->n++] = (so_tabletop_turn){*qa, scene, shown};
    t->pictures += shown;
}

static void draw_pictures(const so_tabletop_stream_options *o, uint64_t i, int n, turns *t)
{
    so_dialogue d;
    so_tabletop_dialogue(o->part, o->seed, i, n, &d);
    for (int k = 0; k < d.turns; k++) put(t, &d.turn[k], d.scene.seed);
}

static void draw_hard(const so_tabletop_stream_options *o, uint64_t i, int n, turns *t)
{
    so_scene scene;
    so_qa qa[TURNS];
    so_rng rng;
    so_scene_make(&scene, so_tabletop_scene_seed(o->part, o->seed, i));
    so_rng_init(&rng, o->seed ^ 0x68617264u ^ (uint64_t)o->part << 60, i);
    int asked = so_tabletop_hard(&scene, n, &rng, qa);
    for (int k = 0; k < asked; k++) put(t, &qa[k], scene.seed);
    /* A scene of one thing may allow none of them. */
    if (!asked) draw_pictures(o, i, n, t);
}

static void draw_talk(const so_tabletop_stream_options *o, uint64_t i, int n, turns *t)
{
    so_qa qa;
    for (int k = 0; k < n && k < SO_TABLETOP_TALK_TURNS; k++) {
        so_tabletop_talk(o->part, o->seed, i * SO_TABLETOP_TALK_TURNS + (uint64_t)k, o->kinds, &qa);
        put(t, &qa, SO_TABLETOP_NO_SCENE);
    }
}

static void draw_other(const so_tabletop_stream_options *o, uint64_t i, turns *t)
{
    so_qa qa;
    so_rng rng;
    so_rng_init(&rng, o->seed ^ 0x6f74686572u ^ (uint64_t)o->part << 60, i);
    so_scene_ask_other(o->part, &rng, &qa);
    put(t, &qa, so_tabletop_other_seed(o->part, o->seed, i));
}

static void draw(const so_tabletop_stream_options *o, uint64_t i, turns *t)
{
    int n = o->turns;
    t->n = t->pictures = 0;
    if (o->vary) {
        so_rng rng;
        so_rng_init(&rng, o->seed ^ 0x7475726e73u, i);
        n = 1 + (int)so_rng_below(&rng, n);
    }
    switch (o->stream) {
    case SO_TABLETOP_HARD:
        draw_hard(o, i, n, t);
        break;
    case SO_TABLETOP_TALK:
        draw_talk(o, i, n, t);
        break;
    case SO_TABLETOP_CONVERSATIONS:
        so_tabletop_conversation(o->part, o->seed, i, n, t->turn);
        t->n = n;
        for (int k = 0; k < n; k++) t->pictures += t->turn[k].shown;
        break;
    case SO_TABLETOP_OTHERS:
        draw_other(o, i, t);
        break;
    default:
        draw_pictures(o, i, n, t);
    }
}

/* ---- the dataset */

typedef struct world {
    so_tabletop_stream_options options;
    so_lengths *lengths;
} world;

static so_status put_turn(so_record *r, int k, const so_tabletop_turn *turn, so_error *error)
{
    size_t room = sizeof turn->qa.question + 16;
    char *question = so_record_take(r, room), *answer = so_record_take(r, sizeof turn->qa.answer);
    if (!question || !answer) return so_fail(error, SO_ERR_NOMEM, "no memory for a record");
    snprintf(question, room, "%s%s", turn->shown ? "<image>\n" : "", turn->qa.question);
    strcpy(answer, turn->qa.answer);
    r->turn[2 * k] =
        (so_record_turn){.role = SO_ROLE_USER, .text = question, .kind = so_tabletop_kind_name((int)turn->qa.kind)};
    r->turn[2 * k + 1] = (so_record_turn){.role = SO_ROLE_ASSISTANT, .text = answer};
    if (turn->shown) r->turn[2 * k].say = question + strlen("<image>\n");
    return SO_OK;
}

static so_status read_world(const so_dataset *d, int64_t i, so_record *out, so_error *error)
{
    const world *w = d->own;
    const so_tabletop_stream_options *o = &w->options;
    turns t;
    char id[60];
    draw(o, (uint64_t)i, &t);
    snprintf(id, sizeof id, "%s-%llu-%lld", names[o->stream], (unsigned long long)o->seed, (long long)i);
    SO_TRY(so_record_make(out, id, 2 * t.n, t.pictures, error));
    so_status status = SO_OK;
    int shown = 0;
    for (int k = 0; k < t.n && status == SO_OK; k++) {
        status = put_turn(out, k, &t.turn[k], error);
        if (status == SO_OK && t.turn[k].shown)
            status = so_record_scene(out, &out->image[shown++], t.turn[k].scene, error);
    }
    out->source = "tabletop";
    out->lang = "en";
    if (status != SO_OK) so_record_clear(out);
    return status;
}

static void close_world(so_dataset *d)
{
    world *w = d->own;
    if (w) free(w->lengths);
    free(w);
    free(d);
}

static so_status measure(so_dataset *d, world *w, so_error *error)
{
    turns t;
    w->lengths = calloc((size_t)d->count + 1, sizeof *w->lengths);
    if (!w->lengths) return so_fail(error, SO_ERR_NOMEM, "no memory for %lld records", (long long)d->count);
    for (int64_t i = 0; i < d->count; i++) {
        so_lengths *l = &w->lengths[i];
        draw(&w->options, (uint64_t)i, &t);
        l->turns = (uint16_t)(2 * t.n);
        l->images = (uint16_t)t.pictures;
        for (int k = 0; k < t.n; k++) {
            l->answers += (uint32_t)strlen(t.turn[k].qa.answer);
            l->text += (uint32_t)strlen(t.turn[k].qa.question);
        }
        l->text += l->answers;
    }
    d->lengths = w->lengths;
    return SO_OK;
}

/* What decides all records; a change of the world's own lists shows in the first of them. */
static void identify(so_dataset *d, const world *w)
{
    const so_tabletop_stream_options *o = &w->options;
    so_sha sha;
    turns t;
    char text[200];
    so_sha_init(&sha, SO_SHA256);
    snprintf(text, sizeof text, "tabletop %s part %d seed %llu count %lld turns %d vary %d kinds %x", names[o->stream],
             (int)o->part, (unsigned long long)o->seed, (long long)o->count, o->turns, o->vary, o->kinds);
    so_sha_feed(&sha, text, strlen(text));
    for (int64_t i = 0; i < d->count && i < 64; i++) {
        draw(o, (uint64_t)i, &t);
        for (int k = 0; k < t.n; k++) {
            so_sha_feed(&sha, t.turn[k].qa.question, strlen(t.turn[k].qa.question));
            so_sha_feed(&sha, t.turn[k].qa.answer, strlen(t.turn[k].qa.answer));
        }
    }
    so_sha_end(&sha, d->identity);
}

so_status so_tabletop_stream_open(so_dataset **out, const so_tabletop_stream_options *options, so_error *error)
{
    *out = NULL;
    if (options->turns < 1 || options->turns > TURNS || options->count < 0 || options->count > INT32_MAX)
        return so_fail(error, SO_ERR_ARG, "%lld records of %d turns, expected up to 2^31 of 1 to %d",
                       (long long)options->count, options->turns, TURNS);
    so_dataset *d = calloc(1, sizeof *d);
    world *w = calloc(1, sizeof *w);
    if (!d || !w) {
        free(d);
        free(w);
        return so_fail(error, SO_ERR_NOMEM, "no memory for a dataset");
    }
    w->options = *options;
    d->own = w;
    d->count = options->count;
    d->read = read_world;
    d->close = close_world;
    so_status status = options->measured ? measure(d, w, error) : SO_OK;
    if (status != SO_OK) {
        close_world(d);
        return status;
    }
    identify(d, w);
    *out = d;
    return SO_OK;
}

/* ---- its name */

bool so_tabletop_stream_is(const char *path) { return strncmp(path, PREFIX, sizeof PREFIX - 1) == 0; }

static so_status unknown(const char *name, const char *what, size_t size, so_error *error)
{
    return so_fail(error, SO_ERR_ARG,
                   "'%.100s': '%.*s', expected tabletop:KIND[,count=N][,turns=N][,seed=N], KIND one of pictures, hard, "
                   "talk, conversations, others",
                   name, (int)(size < 60 ? size : 60), what);
}

so_status so_tabletop_stream_parse(const char *name, so_tabletop_stream_options *out, so_error *error)
{
    const char *at = name + sizeof PREFIX - 1;
    size_t n = strcspn(at, ",");
    int stream = -1;
    *out = (so_tabletop_stream_options){.seed = 1, .count = 10000, .turns = 4, .measured = true};
    for (int i = 0; i < SO_TABLETOP_STREAMS; i++)
        if (strlen(names[i]) == n && memcmp(names[i], at, n) == 0) stream = i;
    if (stream < 0) return unknown(name, at, n, error);
    out->stream = (so_tabletop_stream)stream;
    while (at[n] == ',') {
        at += n + 1;
        n = strcspn(at, ",");
        const char *equals = memchr(at, '=', n);
        char *end = NULL;
        size_t word = equals ? (size_t)(equals - at) : 0;
        unsigned long long value = equals && equals[1] >= '0' && equals[1] <= '9' ? strtoull(equals + 1, &end, 10) : 0;
        if (!end || end != at + n) return unknown(name, at, n, error);
        if (word == 5 && memcmp(at, "count", 5) == 0 && value >= 1 && value <= 10000000)
            out->count = (int64_t)value;
        else if (word == 5 && memcmp(at, "turns", 5) == 0 && value >= 1 && value <= TURNS)
            out->turns = (int)value, out->vary = value > 1;
        else if (word == 4 && memcmp(at, "seed", 4) == 0)
            out->seed = value;
        else
            return unknown(name, at, n, error);
    }
    if (!strstr(name, "turns=")) out->vary = true;
    return SO_OK;
}
