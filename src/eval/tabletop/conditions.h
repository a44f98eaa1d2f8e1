/* Conditions under which a model is asked about the tabletop world, and a table of what came of it.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_EVAL_TABLETOP_CONDITIONS_H
#define SO_EVAL_TABLETOP_CONDITIONS_H

#include <stddef.h>

#include "dataset/voices/surroundings.h"

typedef enum so_condition_kind {
    SO_CONDITION_SOUND,   /* every question alone, its speech in some surroundings */
    SO_CONDITION_LONG,    /* conversations of many turns, with pictures that come late and change */
    SO_CONDITION_OUTSIDE, /* questions, pictures and sounds from outside of the world */
} so_condition_kind;

typedef struct so_condition {
    const char *name, *about;
    so_condition_kind kind;
    so_surroundings surroundings;
} so_condition;

/* Condition i, the undisturbed one first; NULL after the last. */
const so_condition *so_condition_at(int i);
/* By name, `length` bytes; NULL when there is none. */
const so_condition *so_condition_find(const char *name, size_t length);

/* One question under a condition; lent until the call returns. */
typedef struct so_condition_result {
    const char *condition; /* row of the table: "noise", "turns 1-10" */
    const char *mode;      /* "V+S>T" */
    const char *voice;     /* whose speech it was; "" for none */
    bool right;
    bool inside, refused;       /* the question is of the world; and was answered as if it were not */
    const char *spoken, *heard; /* for word errors; NULL: not spoken */
} so_condition_result;

typedef struct so_condition_table so_condition_table;

so_status so_condition_table_open(so_condition_table **out, so_error *error);
void so_condition_table_close(so_condition_table **table);
so_status so_condition_table_add(so_condition_table *table, const so_condition_result *result, so_error *error);
/* The table for a person, and an array of JSON objects: {"condition", "mode", "voice", "n", "right", "inside",
 * "refused", "words", "errors"}. The caller frees with free(); NULL only without memory. */
char *so_condition_table_text(const so_condition_table *table);
char *so_condition_table_json(const so_condition_table *table);

#endif
