/* A folder of a test's own, below /tmp.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TESTS_PLACE_H
#define SO_TESTS_PLACE_H

#include <stdio.h>
#include <stdlib.h>

/* Makes it; `place` is "/tmp/so-NAME-XXXXXX" and becomes its path. Both give 0 when all is well, like fixtures. */
static inline int place_make(char *place) { return mkdtemp(place) ? 0 : -1; }

/* Removes it with all that lies in it. */
static inline int place_remove(const char *place)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", place);
    return system(command);
}

#endif
