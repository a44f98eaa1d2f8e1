/* What every verb of the program shares: options, errors, progress, colour, JSON.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_APPS_CLI_H
#define SO_APPS_CLI_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "apps/signals.h"
#include "so_status.h"

enum { SO_EXIT_OK = 0, SO_EXIT_FAILURE = 1, SO_EXIT_USAGE = 2 };

typedef enum so_option_kind {
    SO_OPTION_FLAG, /* bool */
    SO_OPTION_INT,  /* int64_t */
    SO_OPTION_REAL, /* double */
    SO_OPTION_TEXT, /* const char * */
    SO_OPTION_TEXTS /* so_texts: may be given again */
} so_option_kind;

typedef struct so_texts {
    const char *text[64];
    int n;
} so_texts;

/* One --name of a verb. `value` points to a variable that holds the default. */
typedef struct so_option {
    const char *name; /* "threads"; a table ends with NULL */
    so_option_kind kind;
    void *value;
    const char *meta; /* "N"; NULL for flags */
    const char *help;
    double least, most; /* of numbers, both 0: any */
} so_option;

typedef struct so_verb {
    const char *name, *summary; /* one line */
    const char *usage;          /* "ask [FILE...] [options]", the lines after it are examples and remarks */
    const char *details;
    int (*run)(int argc, char **argv); /* without the verb itself; gives the exit status */
} so_verb;

/* Splits argv into options, written to their variables, and operands, moved to the front of argv. *operands gets their
 * number. Returns -1 to go on, else the exit status: 0 after --help, 2 after a mistake that was told to stderr. */
int so_cli_parse(const so_verb *verb, const so_option *options, int argc, char **argv, int *operands);
/* "stream-omni VERB: text" to stderr, for mistakes in the arguments; gives SO_EXIT_USAGE. */
int so_cli_usage(const so_verb *verb, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The error as one line to stderr; gives SO_EXIT_FAILURE. */
int so_cli_fail(const so_error *error);
/* so_cli_fail unless `status` is SO_OK. */
int so_cli_end(so_status status, const so_error *error);

/* Colours and redrawing are for terminals only (and not with NO_COLOR set or TERM=dumb). */
bool so_cli_colour(FILE *file);
/* Escape sequences, empty where the file is no such terminal. */
const char *so_cli_bold(FILE *file);
const char *so_cli_dim(FILE *file);
const char *so_cli_red(FILE *file);
const char *so_cli_green(FILE *file);
const char *so_cli_plain(FILE *file);

/* Columns of a terminal; 80 where it does not say. */
size_t so_cli_width(FILE *file);
/* Columns that valid UTF-8 takes; wide characters of East Asia take two. */
size_t so_cli_columns(const char *text);
/* The end of a text, as much of it as fits into so many columns. */
const char *so_cli_tail(const char *text, size_t columns);

/* Seconds on a clock that only goes forward. */
double so_cli_now(void);

/* A line on stderr with the share done, the rate and the time left; it appears after two seconds and is redrawn on a
 * terminal only (elsewhere a new line every thirty seconds). */
typedef struct so_bar {
    const char *what, *unit; /* "scenes" */
    double started, drawn;
    bool shown;
} so_bar;
void so_bar_start(so_bar *bar, const char *what, const char *unit);
void so_bar_step(so_bar *bar, double done, double total);
void so_bar_end(so_bar *bar);

/* Text of a file, a hub or a model, made plain (base/plain.h): nothing in it commands the terminal. With `lines`, line
 * breaks and tabs stay. */
void so_cli_put(FILE *out, const char *text, size_t length, bool lines);

/* JSON text: a string with its quotes and escapes, and a number (null when it is not finite). */
void so_json_text(FILE *out, const char *text);
void so_json_number(FILE *out, double x);

/* "1.2 GB", "23.4 M": rounded for people. Returns `text`. */
const char *so_cli_size(double bytes, char text[32]);
const char *so_cli_count(double n, char text[32]);

/* models/tabletop.gguf: beside the working folder, the program, or installed; the name alone when it is nowhere. */
const char *so_cli_model(const char *given);
/* A file that is shipped with the program, found the same way; NULL when it is nowhere. Lives until the next call. */
const char *so_cli_shipped(const char *relative);

#endif
