/* Text of files, hubs and models made fit for a terminal: nothing in it is a command to the terminal.
 *
 * Control characters (C0, DEL, C1), marks that turn the direction of a line, and bytes that are not UTF-8 become \n,
 * \t, \xNN or \uNNNN; all other characters stay as they are. What was made plain stays the same when it is made plain
 * again.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BASE_PLAIN_H
#define SO_BASE_PLAIN_H

#include <stdbool.h>
#include <stddef.h>

/* The plain form of the first character of text[length], terminated; gives how many bytes it was made of (0 at length
 * 0). With `lines`, line breaks and tabs stay. */
size_t so_plain_one(const char *text, size_t length, bool lines, char out[8]);
/* All of text[length] into out[size], terminated, cut between characters. Returns out. */
const char *so_plain(char *out, size_t size, const char *text, size_t length, bool lines);

#endif
