/* Reports: one HTML file that needs nothing else, for a person to open.
 *
 * Parts are appended in the order they are to be read. A failure (memory) is remembered and given by so_report_save;
 * what the calls take is copied. Text is UTF-8 and is escaped.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TRAIN_REPORT_H
#define SO_TRAIN_REPORT_H

#include <stddef.h>
#include <stdint.h>

#include "train/log.h"

typedef struct so_report so_report;

so_status so_report_open(so_report **out, const char *title, so_error *error);
/* Accepts NULL and a null report. */
void so_report_close(so_report **report);
/* Writes the file, whole or not at all. */
so_status so_report_save(const so_report *report, const char *path, so_error *error);

void so_report_heading(so_report *report, const char *text);
void so_report_text(so_report *report, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* cells[rows * cols], row by row; the first row is the head. Cells may be NULL. */
void so_report_table(so_report *report, int rows, int cols, const char *const *cells);
/* Curves over one pair of axes; the vertical one is logarithmic where all values are positive and span a factor of 50.
 */
void so_report_curves(so_report *report, const char *title, const so_curve *const *curve, int n);
/* rgb[height * width * 3]; every pixel is shown `zoom` times as large. */
void so_report_picture(so_report *report, const char *caption, const uint8_t *rgb, int width, int height, int zoom);
/* Bytes of a file that browsers know, of type "image/..." or "audio/...". `width` of a picture in pixels of the page;
 * 0: its own, scrolled sideways where it is wider than the page. */
void so_report_file(so_report *report, const char *caption, const char *type, const void *data, size_t bytes,
                    int width);
/* Mono samples in [-1, 1], as a 16-bit WAV with a player. */
void so_report_sound(so_report *report, const char *caption, const float *pcm, size_t samples, int rate);
/* A matrix as a picture, rows downwards, from its smallest value (dark) to its largest: attention, alignment, spectra.
 * Names of rows and columns may be NULL, and so may single names. */
void so_report_matrix(so_report *report, const char *caption, int rows, int cols, const float *value,
                      const char *const *row_name, const char *const *col_name);
/* Everything that <folder>/log.jsonl tells: losses, evaluations, rate, gradient norm, speed, and a table of first, best
 * and last values. SO_ERR_IO without a log. */
so_status so_report_run(so_report *report, const char *folder, so_error *error);

#endif
