/* Word errors between two lists of transcripts.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_EVAL_SCORING_COMPARE_H
#define SO_EVAL_SCORING_COMPARE_H

#include <stdbool.h>

#include "base/string.h"

/* Compares two files: plain lines, in order, or JSON lines {"id", "text" | "transcription"} matched by id; appends what
 * the authors' count, Whisper's normaliser and characters say, with substitutions, deletions, insertions, and the ten
 * worst (json: one object). SO_ERR_FORMAT where they do not belong together. */
so_status so_compare_transcripts(const char *reference, const char *hypothesis, const char *spelling, bool json,
                                 so_string *out, so_error *error);

/* The lines of a file in a form: "english", "basic", "plain", "split", "authors", "chinese", "evalai". Appends, a line
 * break behind each. SO_ERR_ARG for another form. */
so_status so_normalise_lines(const char *path, const char *form, const char *spelling, so_string *out, so_error *error);

#endif
