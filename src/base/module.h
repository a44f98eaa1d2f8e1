/* Modules of the program that are opened when they are asked for: what not everybody needs, or can build.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BASE_MODULE_H
#define SO_BASE_MODULE_H

#include <stdbool.h>

enum { SO_MODULE_TRIED = 2048 };

/* Opens `file` ("stream-omni-mpi.so"): what the variable `named` of the environment says, else beside the program (a
 * test's is one folder deeper), where packages put it, or the same of the library that this is in. `shared`: its
 * symbols are everybody's. NULL: `tried` names the places; dlerror says why the last one would not do. */
void *so_module_open(const char *file, const char *named, bool shared, char tried[static SO_MODULE_TRIED]);

#endif
