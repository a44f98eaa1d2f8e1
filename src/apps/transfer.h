/* What the verbs that convert, export and pull share.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_APPS_TRANSFER_H
#define SO_APPS_TRANSFER_H

#include <stdbool.h>
#include <stdio.h>

#include "apps/cli.h"
#include "so_checkpoint.h"

/* Draws the bar that `context` is, in megabytes; stops after SIGINT or SIGTERM. */
so_status so_transfer_step(void *context, double done, double total, so_error *error);
/* "4G", "500M", "1000": decimal. NULL is 0. */
so_status so_transfer_bytes(const char *text, int64_t *bytes, so_error *error);
/* Refuses sources that are no files or folders, and a file to write with parts that is none, before any work. `split`
 * is of the options. */
so_status so_transfer_check(int n, char *const *from, const char *to, int64_t split, so_error *error);
/* "note: LINE" to stderr: for the options' `note`. */
void so_transfer_note(void *context, const char *line);
/* What was written, or every tensor that is not as it should be. */
void so_transfer_report(const so_convert_result *result, so_status status, bool dropped);

#endif
