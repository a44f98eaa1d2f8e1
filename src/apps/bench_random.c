/* bench --random: networks of published sizes whose weights are made on the spot.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "apps/bench.h"
#include "apps/cli.h"

static void row(void *context, const so_bench_row *r) { so_bench_page_row(context, r); }

static void say(void *context, const char *what)
{
    (void)context;
    if (so_cli_colour(stderr)) fprintf(stderr, "%s...\n", what);
}

static const struct {
    const char *part;
    so_status (*run)(so_bench *bench, so_error *error);
} parts[] = {{"see", so_bench_siglip}, {"hear", so_bench_tokenizer}, {"flow", so_bench_flow}, {"vocoder", so_bench_hift}};
enum { PARTS = sizeof parts / sizeof parts[0] };

static so_status run_parts(const so_bench_ask *ask, so_bench *bench, so_error *error)
{
    for (int i = 0; i < PARTS; i++)
        if (!ask->only || strstr(ask->only, parts[i].part)) SO_TRY(parts[i].run(bench, error));
    return SO_OK;
}

so_status so_bench_random(const so_bench_ask *ask, so_error *error)
{
    so_bench_page page = {.json = ask->json};
    so_bench bench = {.threads = ask->threads, .repeats = ask->repeats, .seconds = (double)ask->seconds,
                      .processor_time = ask->processor_time, .bf16 = !ask->f32, .row = row, .say = say, .stop = &so_cli_stop,
                      .context = &page};
    so_status status;
    if (ask->threads != 1) SO_TRY(so_pool_open(&bench.pool, (int)ask->threads, error));
    SO_TRY_GO(so_bench_page_begin(&page, ask->name, bench.pool, ask->processor_time, error));
    so_bench_page_rows(&page);
    bench.peak = page.peak;
    SO_TRY_GO(run_parts(ask, &bench, error));
    so_bench_page_end(&page);
done:
    so_pool_close(&bench.pool);
    return status;
}
