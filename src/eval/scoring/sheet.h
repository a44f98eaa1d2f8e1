/* A spreadsheet file (xlsx) of plain cells, as MMBench's server wants answers.
 * Source: ECMA-376 (SpreadsheetML); APPNOTE.TXT (zip, stored).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_EVAL_SCORING_SHEET_H
#define SO_EVAL_SCORING_SHEET_H

#include <jansson.h>

#include "base/error.h"

/* Rows {"index", "question", "choices": [A..D], "prediction"} under the headings index, question, A, B, C, D,
 * prediction. */
so_status so_sheet_write(const char *path, const json_t *rows, so_error *error);

#endif
