/* Reading JSON text front to back without building values: for the two members of a tokenizer.json that hold hundreds
 * of thousands of strings, where a tree of values would take most of the loading time.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TEXT_JSON_SCAN_H
#define SO_TEXT_JSON_SCAN_H

#include "text/buffer.h"

/* What is left to read. Every function below returns false, and moves no further, once something is not JSON. */
typedef struct so_scan {
    const char *at, *end;
    bool bad;
} so_scan;

/* The next byte that is not white space; 0 at the end. */
char so_scan_peek(so_scan *scan);
/* Takes that byte if it is `c`; else the text is bad. */
bool so_scan_take(so_scan *scan, char c);
/* Steps to the next element of an array or object whose opening bracket was taken: true when there is one, false after
 * the closing bracket. `*first` starts as true. */
bool so_scan_next(so_scan *scan, bool *first, char close);
/* A string into `out`, whose content it replaces. `*nomem` is set when that fails for want of memory. */
bool so_scan_string(so_scan *scan, so_string *out, bool *nomem);
/* A string and the colon after it. */
bool so_scan_key(so_scan *scan, so_string *out, bool *nomem);
bool so_scan_integer(so_scan *scan, int64_t *out);
/* true, false or null (as false). */
bool so_scan_bool(so_scan *scan, bool *out);
/* Any value; `span`, if not NULL, gets its text. */
bool so_scan_skip(so_scan *scan, so_scan *span);

#endif
