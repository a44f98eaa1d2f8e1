/* Pages of results: HTML in one file, with tables and plots (SVG) and nothing to fetch.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TEXT_MARKUP_H
#define SO_TEXT_MARKUP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/string.h"

/* A page being written. The first failure stays in `status`, and what is put afterwards is dropped. Zero it. */
typedef struct so_page {
    so_string html;
    so_status status;
} so_page;

void so_page_begin(so_page *page, const char *title);
/* Markup as it is. */
void so_page_put(so_page *page, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Text, its marks escaped; bytes that are not UTF-8 become U+FFFD. */
void so_page_text(so_page *page, const char *text);
/* A cell of a table's row, escaped. `heading`: th in place of td. */
void so_page_cell(so_page *page, bool heading, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* A plot of counts over values, in bins of one width from 0 on; the last holds all that is beyond. */
typedef struct so_histogram {
    const char *title, *unit;
    double width; /* of a bin, in `unit` */
    int64_t bin[40];
    int64_t n;
    double sum, most;
} so_histogram;
enum { SO_HISTOGRAM_BINS = 40 };
void so_histogram_add(so_histogram *histogram, double value);
void so_page_histogram(so_page *page, const so_histogram *histogram);

/* Ends the page and writes it to a file that is whole or absent. Clears it in any case. */
so_status so_page_end(so_page *page, const char *path, so_error *error);

#endif
