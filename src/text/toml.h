/* Settings that people write: a strict part of TOML 1.0.
 *
 * Read are tables, arrays of tables one level deep, dotted keys, strings ("..." with escapes, '...' without), whole
 * numbers (decimal, _ between digits), reals, booleans, arrays of any of these, and comments. Not read, and named where
 * they are met: dates, inline tables, strings over several lines, numbers to other bases.
 *
 * What was read is a flat list: a key with its tables before it, "plan.steps", and of [[data]] which one it is of.
 *
 * Source: toml.io, version 1.0.0.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TEXT_TOML_H
#define SO_TEXT_TOML_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"

typedef enum so_toml_kind { SO_TOML_TEXT, SO_TOML_WHOLE, SO_TOML_REAL, SO_TOML_BOOL, SO_TOML_LIST } so_toml_kind;

typedef struct so_toml_value {
    so_toml_kind kind;
    const char *text; /* TEXT: valid UTF-8 without a zero byte */
    int64_t whole;
    double real; /* also of a WHOLE */
    bool yes;
    const struct so_toml_value *item; /* LIST */
    int64_t items;
} so_toml_value;

typedef struct so_toml_entry {
    const char *name; /* "seed", "plan.steps", "data.path" */
    int64_t number;   /* of an array of tables: which of them, from 0; else -1 */
    so_toml_value value;
    int line; /* from 1; 0: not from a file */
} so_toml_entry;

typedef struct so_toml {
    so_arena memory;
    so_toml_entry *entry;
    int64_t count, capacity;
    struct so_toml_table *table; /* private: which names are tables */
    int64_t tables, tables_capacity;
} so_toml;

enum { SO_TOML_MOST = 1 << 20 /* bytes */, SO_TOML_DEEP = 8 /* arrays in arrays */ };

/* SO_ERR_FORMAT "line 3: ..." for what is wrong, SO_ERR_UNSUPPORTED for what is not read, SO_ERR_LIMIT. `toml` is
 * closed by so_toml_close also after a failure. */
so_status so_toml_parse(so_toml *toml, const char *text, size_t size, so_error *error);
void so_toml_close(so_toml *toml);

/* "NAME=VALUE" as somebody types it in a shell: what is no value of TOML is taken as a text. `name` gets the bytes
 * before the "=". Memory is `toml`'s, which is zeroed or open. */
so_status so_toml_assign(so_toml *toml, const char *text, const char **name, so_toml_value *value, so_error *error);

/* How many tables an array of tables has: 0 when there is none. */
int64_t so_toml_tables(const so_toml *toml, const char *array);
/* Static; "a text", "a whole number", ... */
const char *so_toml_kind_name(so_toml_kind kind);

#endif
