/* Questions about a picture that it does not answer: they name what is not there, or what is there twice, or the
 * picture is no tabletop at all.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "dataset/tabletop/tabletop_outside.h"

static const char *const plurals[SO_SHAPES] = {"circles", "squares", "triangles", "stars", "crosses"};
static const char *const numbers[] = {"no", "one", "two", "three", "four"};
static const char *const relations[] = {"above", "below", "left of", "right of"};

static const char *const described[] = {"What is this?", "What is in the picture?", "What does the picture show?",
                                        "Tell me about the picture."};

static int count(const so_scene *scene, int shape, int colour)
{
    int n = 0;
    for (int i = 0; i < scene->count; i++)
        n += (shape < 0 || (int)scene->objects[i].shape == shape) &&
             (colour < 0 || (int)scene->objects[i].colour == colour);
    return n;
}

/* One of `many` that the scene has not once, -1 when there is none. */
static int wrong(const so_scene *scene, bool shape, so_rng *rng)
{
    int many = shape ? SO_SHAPES : SO_COLOURS, first = (int)so_rng_below(rng, many);
    for (int i = 0; i < many; i++) {
        int x = (first + i) % many;
        if (count(scene, shape ? x : -1, shape ? -1 : x) != 1) return x;
    }
    return -1;
}

static void answer_shape(const so_scene *scene, int shape, so_qa *out)
{
    int n = count(scene, shape, -1);
    if (n == 0)
        snprintf(out->answer, sizeof out->answer, "There is no %s.", so_shape_name(shape));
    else
        snprintf(out->answer, sizeof out->answer, "There are %s %s.", numbers[n], plurals[shape]);
}

static void ask_shape(const so_scene *scene, so_rng *rng, so_qa *out)
{
    static const char *const forms[] = {"What color is the %s?", "What is the color of the %s?", "How big is the %s?",
                                        "Is the %s big or small?"};
    int shape = wrong(scene, true, rng);
    snprintf(out->question, sizeof out->question, forms[so_rng_below(rng, 4)], so_shape_name(shape));
    answer_shape(scene, shape, out);
}

static void ask_colour(const so_scene *scene, so_rng *rng, so_qa *out)
{
    int colour = wrong(scene, false, rng), n = count(scene, -1, colour);
    const char *name = so_colour_name(colour);
    snprintf(out->question, sizeof out->question,
             so_rng_below(rng, 2) ? "What shape is the %s object?" : "Which shape is %s?", name);
    if (n == 0)
        snprintf(out->answer, sizeof out->answer, "There is no %s object.", name);
    else
        snprintf(out->answer, sizeof out->answer, "There are %s %s objects.", numbers[n], name);
}

static void ask_place(const so_scene *scene, so_rng *rng, so_qa *out)
{
    int shape, colour;
    do {
        shape = (int)so_rng_below(rng, SO_SHAPES);
        colour = (int)so_rng_below(rng, SO_COLOURS);
    } while (count(scene, shape, colour));
    snprintf(out->question, sizeof out->question, "Where is the %s %s?", so_colour_name(colour), so_shape_name(shape));
    snprintf(out->answer, sizeof out->answer, "There is no %s %s.", so_colour_name(colour), so_shape_name(shape));
}

/* The first of the two that is not there once is the one that the answer is about. */
static void ask_relation(const so_scene *scene, so_rng *rng, so_qa *out)
{
    int a = wrong(scene, true, rng), b;
    do b = (int)so_rng_below(rng, SO_SHAPES);
    while (b == a);
    bool swap = so_rng_below(rng, 2) && count(scene, b, -1) == 1;
    snprintf(out->question, sizeof out->question, "Is the %s %s the %s?", so_shape_name(swap ? b : a),
             relations[so_rng_below(rng, 4)], so_shape_name(swap ? a : b));
    answer_shape(scene, a, out);
}

static void ask_thing(so_tabletop_part part, so_rng *rng, so_qa *out)
{
    static const char *const forms[] = {"Where is the %s?", "Is there a %s?", "Do you see a %s?", "How big is the %s?",
                                        "What color is the %s?"};
    snprintf(out->question, sizeof out->question, forms[so_rng_below(rng, 5)], so_tabletop_foreign_thing(part, rng));
    snprintf(out->answer, sizeof out->answer, "%s", so_tabletop_decline(SO_DECLINE_SHAPES));
}

/* What the world asks too, as others would say it. */
static void ask_in_other_words(const so_scene *scene, so_rng *rng, so_qa *out)
{
    static const char *const counts[] = {"How many objects do you see?", "How many shapes are there?",
                                         "How many things are there?", "Count the objects."};
    bool counted = so_rng_below(rng, 3) == 0;
    so_scene_ask(scene, 1u << (counted ? SO_QA_COUNT_ALL : SO_QA_DESCRIBE), rng, out);
    snprintf(out->question, sizeof out->question, "%s", (counted ? counts : described)[so_rng_below(rng, 4)]);
}

void so_scene_ask_wider(const so_scene *scene, so_rng *rng, so_qa *out)
{
    int which = (int)so_rng_below(rng, 6);
    switch (which) {
    case 0:
        ask_shape(scene, rng, out);
        break;
    case 1:
        ask_colour(scene, rng, out);
        break;
    case 2:
        ask_place(scene, rng, out);
        break;
    case 3:
        ask_relation(scene, rng, out);
        break;
    case 4:
        ask_in_other_words(scene, rng, out);
        break;
    default:
        ask_thing(scene->seed % SO_TABLETOP_OTHER_SCENE >= SO_TABLETOP_RESERVED_SCENE ? SO_TABLETOP_RESERVED
                                                                                      : SO_TABLETOP_TRAIN,
                  rng, out);
    }
    out->kind = SO_QA_ABSENT;
    out->language[0] = 0;
    out->group = which;
}

void so_scene_ask_other(so_tabletop_part part, so_rng *rng, so_qa *out)
{
    so_scene scene;
    so_scene_make(&scene, so_tabletop_scene_seed(part, so_rng_u64(rng), 0));
    int64_t lot = so_rng_below(rng, 10);
    if (lot < 2)
        snprintf(out->question, sizeof out->question, "%s", described[so_rng_below(rng, 4)]);
    else if (lot < 4)
        so_scene_ask(&scene, 1u << SO_QA_DESCRIBE, rng, out);
    else
        so_scene_ask(&scene, 0, rng, out);
    snprintf(out->answer, sizeof out->answer, "%s", so_tabletop_decline(SO_DECLINE_PICTURE));
    out->kind = SO_QA_OTHER;
    out->group = 0;
    out->language[0] = 0;
}
