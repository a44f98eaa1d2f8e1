/* Every entry of every kernel table of this machine, how fast it is on one thread, and which one is used.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_EVAL_SPEED_SPEED_TABLES_H
#define SO_EVAL_SPEED_SPEED_TABLES_H

#include "backend/kernels.h"

enum { SO_TABLES_MOST = 6 };

/* Which kernels this machine gets, and why. */
typedef struct so_machine_kernels {
    const char *name, *how; /* of the table; measured when, named, or not measured */
    char tiles[256];        /* whether matrix tiles are used, for what, or why not */
    bool bf16_gains, q8_gains;
} so_machine_kernels;
so_status so_bench_machine_kernels(so_machine_kernels *out, so_error *error);

typedef struct so_table_row {
    const char *entry, *unit;    /* "linear_int8 q4_0, 64 rows"; "G op/s", "G num/s" */
    double rate[SO_TABLES_MOST]; /* of each table; 0: the table has another's entry */
    int used;                    /* which table's; -1: none of these (an unused one of a family) */
    char why[96];
} so_table_row;

typedef struct so_table_list {
    int count;
    const char *name[SO_TABLES_MOST];
} so_table_list;

/* Measures all entries of all tables but the doubles of instructions (one that is named by SO_CPU takes part), each
 * until `seconds` of the processor's time are spent, and gives them one by one. */
so_status so_bench_tables(double seconds, void (*begin)(void *context, const so_table_list *tables),
                          void (*row)(void *context, const so_table_row *row), void *context, volatile int *stop,
                          so_error *error);

#endif
