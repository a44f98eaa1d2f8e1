/* Questions about a scene of the tabletop world and their answers.
 *
 * First every question that fits the scene is listed as a few numbers (a "fact"), which is also what sampling is
 * balanced over; only the facts that are wanted become sentences.
 * Source: the tabletop spec, "Questions about a picture, and their answers".
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "dataset/tabletop/tabletop.h"

enum { CELLS = SO_TABLETOP_GRID * SO_TABLETOP_GRID, ABOVE = 0, BELOW, LEFT_OF, RIGHT_OF, RELATIONS };

/* form: which paraphrase. a, b: what the kind says (object numbers, a shape, a colour, a cell). */
typedef struct fact {
    uint8_t kind, group, form, relation;
    int8_t a, b;
} fact;

typedef struct facts {
    int count;
    fact list[SO_TABLETOP_QA_MAX];
} facts;

static const char *const kinds[SO_TABLETOP_KINDS] = {
    "colour",    "shape",    "size",       "count all",  "count some", "place",        "what is at", "relation",
    "existence", "describe", "sum",        "difference", "counting",   "day",          "month",      "letter",
    "opposite",  "thing",    "small talk", "repeat",     "initial",    "first",        "outside",    "foreign",
    "able",      "chat",     "no picture", "nothing",    "absent",     "other picture"};
static const char *const relations[RELATIONS] = {"above", "below", "left of", "right of"};
static const char *const numbers[] = {"no", "one", "two", "three", "four"};

const char *so_tabletop_kind_name(int kind) { return kind >= 0 && kind < SO_TABLETOP_KINDS ? kinds[kind] : NULL; }

int so_tabletop_kind_find(const char *name)
{
    for (int i = 0; name && i < SO_TABLETOP_KINDS; i++)
        if (strcmp(name, kinds[i]) == 0) return i;
    return -1;
}

static int count_shape(const so_scene *scene, int shape)
{
    int n = 0;
    for (int i = 0; i < scene->count; i++) n += (int)scene->objects[i].shape == shape;
    return n;
}

static int count_colour(const so_scene *scene, int colour)
{
    int n = 0;
    for (int i = 0; i < scene->count; i++) n += (int)scene->objects[i].colour == colour;
    return n;
}

static int find_pair(const so_scene *scene, int shape, int colour)
{
    for (int i = 0; i < scene->count; i++)
        if ((int)scene->objects[i].shape == shape && (int)scene->objects[i].colour == colour) return i;
    return -1;
}

static int find_cell(const so_scene *scene, int cell)
{
    for (int i = 0; i < scene->count; i++)
        if (scene->objects[i].cell == cell) return i;
    return -1;
}

/* Adds a fact once for each of its paraphrases. */
static void add(facts *out, fact f, int forms)
{
    for (int i = 0; i < forms && out->count < SO_TABLETOP_QA_MAX; i++) {
        f.form = (uint8_t)i;
        out->list[out->count++] = f;
    }
}

static bool holds(const so_scene *scene, int a, int b, int relation)
{
    int ca = scene->objects[a].cell, cb = scene->objects[b].cell;
    int rows = ca / SO_TABLETOP_GRID - cb / SO_TABLETOP_GRID, columns = ca % SO_TABLETOP_GRID - cb % SO_TABLETOP_GRID;
    return relation == ABOVE     ? rows < 0
           : relation == BELOW   ? rows > 0
           : relation == LEFT_OF ? columns < 0
                                 : columns > 0;
}

static void list_objects(const so_scene *scene, facts *out)
{
    for (int i = 0; i < scene->count; i++) {
        const so_scene_object *object = &scene->objects[i];
        bool only_shape = count_shape(scene, object->shape) == 1;
        if (only_shape) add(out, (fact){.kind = SO_QA_COLOUR, .a = (int8_t)i}, 2);
        if (count_colour(scene, object->colour) == 1) add(out, (fact){.kind = SO_QA_SHAPE, .a = (int8_t)i}, 2);
        if (only_shape) add(out, (fact){.kind = SO_QA_SIZE, .group = object->big, .a = (int8_t)i}, 2);
        add(out, (fact){.kind = SO_QA_PLACE, .a = (int8_t)i}, 1);
        for (int j = 0; j < scene->count && only_shape; j++) {
            if (j == i || count_shape(scene, scene->objects[j].shape) != 1) continue;
            for (int r = 0; r < RELATIONS; r++)
                add(out,
                    (fact){.kind = SO_QA_RELATION,
                           .group = holds(scene, i, j, r),
                           .relation = (uint8_t)r,
                           .a = (int8_t)i,
                           .b = (int8_t)j},
                    1);
        }
    }
}

static uint8_t few(int n) { return (uint8_t)(n > 2 ? 2 : n); }

static void list_facts(const so_scene *scene, facts *out)
{
    out->count = 0;
    list_objects(scene, out);
    add(out, (fact){.kind = SO_QA_COUNT_ALL}, 2);
    add(out, (fact){.kind = SO_QA_DESCRIBE}, 2);
    for (int s = 0; s < SO_SHAPES; s++)
        add(out, (fact){.kind = SO_QA_COUNT_SOME, .group = few(count_shape(scene, s)), .a = (int8_t)s, .b = -1}, 1);
    for (int c = 0; c < SO_COLOURS; c++)
        add(out, (fact){.kind = SO_QA_COUNT_SOME, .group = few(count_colour(scene, c)), .a = -1, .b = (int8_t)c}, 1);
    for (int cell = 0; cell < CELLS; cell++)
        add(out, (fact){.kind = SO_QA_WHAT_AT, .group = find_cell(scene, cell) >= 0, .a = (int8_t)cell}, 1);
    for (int s = 0; s < SO_SHAPES; s++)
        for (int c = 0; c < SO_COLOURS; c++)
            add(out,
                (fact){.kind = SO_QA_EXISTENCE, .group = find_pair(scene, s, c) >= 0, .a = (int8_t)s, .b = (int8_t)c},
                1);
}

static const char *plural(int shape)
{
    static const char *const names[SO_SHAPES] = {"circles", "squares", "triangles", "stars", "crosses"};
    return names[shape];
}

static const char *article(const char *word) { return strchr("aeiou", word[0]) ? "an" : "a"; }

/* "a small red star" */
static void noun(const so_scene_object *object, char *text, size_t size)
{
    snprintf(text, size, "a %s %s %s", object->big ? "big" : "small", so_colour_name(object->colour),
             so_shape_name(object->shape));
}

static void say_count(const char *one, const char *many, int n, so_qa *out)
{
    snprintf(out->question, sizeof out->question, "How many %s are there?", many);
    snprintf(out->answer, sizeof out->answer, "There %s %s %s.", n == 1 ? "is" : "are", numbers[n],
             n == 1 ? one : many);
}

static void say_count_some(const so_scene *scene, const fact *f, so_qa *out)
{
    if (f->a >= 0) {
        say_count(so_shape_name(f->a), plural(f->a), count_shape(scene, f->a), out);
        return;
    }
    char one[32], many[32];
    snprintf(one, sizeof one, "%s object", so_colour_name(f->b));
    snprintf(many, sizeof many, "%s objects", so_colour_name(f->b));
    say_count(one, many, count_colour(scene, f->b), out);
}

static void say_describe(const so_scene *scene, const fact *f, so_qa *out)
{
    snprintf(out->question, sizeof out->question, "%s", f->form ? "Describe the picture." : "What do you see?");
    int at = snprintf(out->answer, sizeof out->answer, "I see ");
    for (int i = 0; i < scene->count; i++) {
        char text[48];
        noun(&scene->objects[i], text, sizeof text);
        const char *before = i == 0 ? "" : i == scene->count - 1 ? " and " : ", ";
        at += snprintf(out->answer + at, sizeof out->answer - (size_t)at, "%s%s", before, text);
    }
    snprintf(out->answer + at, sizeof out->answer - (size_t)at, ".");
}

static void say_what_at(const so_scene *scene, const fact *f, so_qa *out)
{
    char text[48] = "nothing";
    int object = find_cell(scene, f->a);
    if (object >= 0) noun(&scene->objects[object], text, sizeof text);
    snprintf(out->question, sizeof out->question, "What is in the %s?", so_cell_name(f->a));
    snprintf(out->answer, sizeof out->answer, "There is %s in the %s.", text, so_cell_name(f->a));
}

static void say_relation(const so_scene *scene, const fact *f, so_qa *out)
{
    const char *a = so_shape_name(scene->objects[f->a].shape), *b = so_shape_name(scene->objects[f->b].shape);
    snprintf(out->question, sizeof out->question, "Is the %s %s the %s?", a, relations[f->relation], b);
    snprintf(out->answer, sizeof out->answer, f->group ? "Yes, the %s is %s the %s." : "No, the %s is not %s the %s.",
             a, relations[f->relation], b);
}

static void say_existence(const fact *f, so_qa *out)
{
    const char *shape = so_shape_name(f->a), *colour = so_colour_name(f->b), *an = article(colour);
    snprintf(out->question, sizeof out->question, "Is there %s %s %s?", an, colour, shape);
    if (f->group)
        snprintf(out->answer, sizeof out->answer, "Yes, there is %s %s %s.", an, colour, shape);
    else
        snprintf(out->answer, sizeof out->answer, "No, there is no %s %s.", colour, shape);
}

/* Colour, shape, size and place: one object is asked about. */
static void say_object(const so_scene_object *object, const fact *f, so_qa *out)
{
    static const char *const questions[][2] = {
        [SO_QA_COLOUR] = {"What color is the %s?", "What is the color of the %s?"},
        [SO_QA_SHAPE] = {"What shape is the %s object?", "Which shape is %s?"},
        [SO_QA_SIZE] = {"How big is the %s?", "Is the %s big or small?"}};
    const char *shape = so_shape_name(object->shape), *colour = so_colour_name(object->colour);
    size_t size = sizeof out->answer;
    if (f->kind == SO_QA_PLACE) {
        snprintf(out->question, sizeof out->question, "Where is the %s %s?", colour, shape);
        snprintf(out->answer, size, "The %s %s is in the %s.", colour, shape, so_cell_name(object->cell));
        return;
    }
    snprintf(out->question, sizeof out->question, questions[f->kind][f->form], f->kind == SO_QA_SHAPE ? colour : shape);
    if (f->kind == SO_QA_COLOUR) snprintf(out->answer, size, "The %s is %s.", shape, colour);
    if (f->kind == SO_QA_SHAPE) snprintf(out->answer, size, "The %s object is a %s.", colour, shape);
    if (f->kind == SO_QA_SIZE) snprintf(out->answer, size, "The %s is %s.", shape, object->big ? "big" : "small");
}

static void say(const so_scene *scene, const fact *f, so_qa *out)
{
    out->kind = (so_tabletop_kind)f->kind;
    out->group = f->group;
    out->language[0] = 0;
    switch (f->kind) {
    case SO_QA_COUNT_ALL:
        say_count("object", "objects", scene->count, out);
        if (f->form) snprintf(out->question, sizeof out->question, "How many things do you see?");
        break;
    case SO_QA_COUNT_SOME:
        say_count_some(scene, f, out);
        break;
    case SO_QA_WHAT_AT:
        say_what_at(scene, f, out);
        break;
    case SO_QA_RELATION:
        say_relation(scene, f, out);
        break;
    case SO_QA_EXISTENCE:
        say_existence(f, out);
        break;
    case SO_QA_DESCRIBE:
        say_describe(scene, f, out);
        break;
    default:
        say_object(&scene->objects[f->a], f, out);
    }
}

int so_scene_questions(const so_scene *scene, so_qa *out)
{
    facts all;
    list_facts(scene, &all);
    for (int i = 0; i < all.count; i++) say(scene, &all.list[i], &out[i]);
    return all.count;
}

/* A bit per kind or per group that occurs among the facts of `kinds`. */
static uint32_t present(const facts *all, uint32_t kinds_wanted, bool groups)
{
    uint32_t seen = 0;
    for (int i = 0; i < all->count; i++)
        if (kinds_wanted >> all->list[i].kind & 1) seen |= 1u << (groups ? all->list[i].group : all->list[i].kind);
    return seen;
}

/* One of the set bits, uniformly. */
static int pick_bit(uint32_t bits, so_rng *rng)
{
    int nth = (int)so_rng_below(rng, __builtin_popcount(bits));
    while (nth-- > 0) bits &= bits - 1;
    return __builtin_ctz(bits);
}

static bool pick_fact(const facts *all, uint32_t kinds_wanted, so_rng *rng, fact *out)
{
    uint32_t there = present(all, kinds_wanted, false);
    if (!there) return false;
    int kind = pick_bit(there, rng), group = pick_bit(present(all, 1u << kind, true), rng), fits = 0;
    for (int i = 0; i < all->count; i++) fits += all->list[i].kind == kind && all->list[i].group == group;
    int nth = (int)so_rng_below(rng, fits);
    for (int i = 0; i < all->count; i++) {
        if (all->list[i].kind != kind || all->list[i].group != group || nth-- > 0) continue;
        *out = all->list[i];
        return true;
    }
    return false;
}

bool so_scene_ask(const so_scene *scene, uint32_t kinds_wanted, so_rng *rng, so_qa *out)
{
    facts all;
    fact f;
    list_facts(scene, &all);
    if (!pick_fact(&all, kinds_wanted ? kinds_wanted : UINT32_MAX, rng, &f)) return false;
    say(scene, &f, out);
    return true;
}

/* Whether two facts ask the same, apart from the paraphrase. */
static bool same_matter(const fact *x, const fact *y)
{
    return x->kind == y->kind && x->a == y->a && x->b == y->b && x->relation == y->relation;
}

void so_tabletop_dialogue(so_tabletop_part part, uint64_t seed, uint64_t index, int turns, so_dialogue *out)
{
    static const uint64_t LOTS = 0x6469616c6f677565u;
    const uint32_t every = (1u << SO_QA_PICTURE_KINDS) - 1;
    so_rng rng;
    facts all;
    so_scene_make(&out->scene, so_tabletop_scene_seed(part, seed, index));
    so_rng_init(&rng, seed ^ LOTS ^ (uint64_t)part << 60, index);
    list_facts(&out->scene, &all);
    uint32_t left = every;
    if (turns > SO_TABLETOP_TURNS_MAX) turns = SO_TABLETOP_TURNS_MAX;
    for (out->turns = 0; out->turns < turns && all.count > 0; out->turns++) {
        fact f;
        if (!pick_fact(&all, left, &rng, &f)) {
            left = every;
            pick_fact(&all, left, &rng, &f);
        }
        say(&out->scene, &f, &out->turn[out->turns]);
        left &= ~(1u << f.kind);
        int kept = 0;
        for (int i = 0; i < all.count; i++)
            if (!same_matter(&all.list[i], &f)) all.list[kept++] = all.list[i];
        all.count = kept;
    }
}
