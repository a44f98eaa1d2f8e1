/* Functions of libraries that are opened at run time.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BASE_SYMBOL_H
#define SO_BASE_SYMBOL_H

#include <stdbool.h>

/* Puts the address of `name` in `library` (a handle of dlopen) into *function, a pointer to a function; false and NULL
 * where there is none. */
bool so_symbol(void *library, const char *name, void *function);

#endif
