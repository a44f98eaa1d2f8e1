/* All tables of this machine, and how the one that is used came about: for tests, bench and inspect.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_CPU_TABLES_H
#define SO_BACKEND_CPU_TABLES_H

#include "backend/cpu/choice.h"

typedef struct so_choice {
    char how[256];                    /* named, measured when, or not measured */
    const char *table[SO_CPU_GROUPS]; /* whose entries */
    bool bf16_attention;
    so_cpu_ratios ratios;
} so_choice;

/* Never NULL. */
const so_choice *so_kernels_choice(void);

#endif
