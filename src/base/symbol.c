/* Functions of libraries that are opened at run time.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/symbol.h"

#include <dlfcn.h>
#include <string.h>

bool so_symbol(void *library, const char *name, void *function)
{
    /* POSIX lets a function's address stand in a void pointer, C does not: hence the copy. */
    void *address = dlsym(library, name);
    memcpy(function, &address, sizeof address);
    return address;
}
