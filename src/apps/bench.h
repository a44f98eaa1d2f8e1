/* What the two halves of the verb bench share: printing figures.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_APPS_BENCH_H
#define SO_APPS_BENCH_H

#include <stdbool.h>
#include <stdint.h>

#include "eval/speed/speed.h"

typedef struct so_bench_page {
    bool json;
    int printed;
    so_peak peak;
} so_bench_page;

/* Measures the limits and begins the page. `model` is its name; members of JSON may follow until so_bench_page_rows. */
so_status so_bench_page_begin(so_bench_page *page, const char *model, so_pool *pool, bool processor_time,
                              so_error *error);
void so_bench_page_rows(so_bench_page *page);
void so_bench_page_row(so_bench_page *page, const so_bench_row *row);
/* Memory, and the end. */
void so_bench_page_end(so_bench_page *page);

/* Networks of published sizes with random weights. */
typedef struct so_bench_ask {
    const char *name, *type, *only, *kv; /* "llama-8b", "q4_k"; parts, NULL: all; of keys and values */
    const char *device;                  /* where; NULL: the host */
    int64_t threads, repeats, seconds, prompt;
    bool json, processor_time, f32;
} so_bench_ask;
so_status so_bench_random(const so_bench_ask *ask, so_error *error);

/* Which kernels this machine has and why: lines, or members of a JSON object. */
so_status so_bench_machine(bool json, so_error *error);
/* That, and every entry of every table with its rate; `seconds` of the processor's time for each. */
so_status so_bench_print_tables(bool json, double seconds, so_error *error);

#endif
