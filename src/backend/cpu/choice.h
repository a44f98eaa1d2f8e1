/* Which of the kernels that a machine can run it gains by: measured once for a processor, in some milliseconds, and
 * kept in a file.
 *
 * What is measured are ratios of times on one thread, each the best of several in turn; what follows from them is fixed
 * (so_cpu_takes_*), with a margin, so that near ties always end the same way. Without a measurement everything is taken
 * that the machine has.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_CPU_CHOICE_H
#define SO_BACKEND_CPU_CHOICE_H

#include <stdbool.h>
#include <stddef.h>

#include "backend/cpu/tiles.h"
#include "backend/kernels.h"

/* Entries that are chosen together: they share layouts, or a way of summing. */
typedef enum so_cpu_group {
    SO_CPU_PRODUCTS, /* of floats: gemm, linear, row, attention and their ways back */
    SO_CPU_INT8,     /* round_int8, linear_int8, gated_int8 */
    SO_CPU_ELEMENTS, /* functions, norms, rope, softmax, sums */
    SO_CPU_CODEC,    /* patches, group norm, snake, Fourier transforms */
    SO_CPU_GROUPS
} so_cpu_group;

enum { SO_CPU_FORMS = 4 /* types whose forms on tiles are measured */, SO_CPU_FEW = 3 };
extern const so_type so_cpu_form_type[SO_CPU_FORMS]; /* q4_0, q8_0, q4_k, q6_k */
extern const int64_t so_cpu_few_rows[SO_CPU_FEW];    /* 16, 32, 64 */

/* How many times as fast; 0: not measured. */
typedef struct so_cpu_ratios {
    double wide[SO_CPU_GROUPS];  /* the table of widest vectors beside the one below */
    double bf16, bf16_attention; /* laid-out weights and convolutions, attention, beside the same of floats */
    double bytes[SO_CPU_FORMS];  /* on tiles: as bytes beside bf16, 128 rows */
    double tiles[SO_CPU_FEW];    /* on tiles beside the table below, in the better form */
} so_cpu_ratios;

bool so_cpu_takes_wide(const so_cpu_ratios *r, so_cpu_group group);
bool so_cpu_takes_bf16(const so_cpu_ratios *r);
bool so_cpu_takes_bf16_attention(const so_cpu_ratios *r);
so_tile_plan so_cpu_takes_tiles(const so_cpu_ratios *r);

/* Of the tables that are there, the one below and the one of widest vectors without tiles, and the one on tiles: times
 * of each on the calling thread. `below` and `tiles` may be NULL. Some milliseconds. */
typedef struct so_cpu_tables {
    const so_kernels *below, *wide, *tiles;
} so_cpu_tables;
void so_cpu_measure(const so_cpu_tables *tables, so_cpu_ratios *out);

/* What is kept: a line that names the processor, the program and its tables, then the ratios. Reading gives false for
 * anything else. */
enum { SO_CPU_TEXT = 1024 };
size_t so_cpu_write(const so_cpu_ratios *r, const char *key, char text[SO_CPU_TEXT]);
bool so_cpu_read(const char *text, const char *key, so_cpu_ratios *out);

/* The ratios from the file that SO_CPU_CACHE names (else stream-omni/cpu below the user's folder for caches), or
 * measured and written there; SO_CPU_CACHE=off: none, and nothing is measured. `how` says which, in a few words. What
 * cannot be read or written does no harm. */
void so_cpu_ratios_here(const so_cpu_tables *tables, so_cpu_ratios *out, char how[256]);

/* Copies the entries of a group. */
void so_cpu_take(so_kernels *to, const so_kernels *from, so_cpu_group group);

#endif
