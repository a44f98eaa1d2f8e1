/* Printing what bench measured: for people, a line each; for programs, JSON.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/resource.h>

#include "apps/bench.h"
#include "apps/cli.h"

/* The system counts the largest resident memory anew, where it can: what the limits were measured with is not the
 * model's. */
static void forget_largest(void)
{
    FILE *f = fopen("/proc/self/clear_refs", "w");
    if (!f) return;
    fputs("5", f);
    fclose(f);
}

/* Bytes since then; of the whole run where the system does not tell. */
static double largest_resident(void)
{
    char line[256];
    long long kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmHWM: %lld", &kib) == 1) break;
    if (f) fclose(f);
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return 1024.0 * (kib > 0 ? (double)kib : (double)use.ru_maxrss);
}

so_status so_bench_page_begin(so_bench_page *page, const char *model, so_pool *pool, bool processor_time,
                              so_error *error)
{
    const so_kernels *chosen;
    SO_TRY(so_kernels_choose(&chosen, error));
    SO_TRY(so_peak_measure(&page->peak, pool, processor_time, error));
    forget_largest();
    const so_peak *p = &page->peak;
    int threads = so_pool_threads(pool);
    const char *kernels = chosen->name;
    if (page->json) {
        printf("{\"model\": ");
        so_json_text(stdout, model);
        printf(", \"threads\": %d, \"kernels\": \"%s\", \"limits\": {\"f32_gflops\": %.1f, \"bf16_gflops\": %.1f, "
               "\"int8_gops\": %.1f, \"read_gb_s\": %.2f}",
               threads, kernels, p->f32, p->bf16, p->int8, p->read);
    } else {
        const char *why = so_kernels_without_tiles();
        printf("%s, %d thread%s, kernels %s%s%s%s\nlimits of this machine: reads %.1f GB/s; products f32 %.0f", model,
               threads, threads > 1 ? "s" : "", kernels, why ? " (no matrix tiles: " : "", why ? why : "",
               why ? ")" : "", p->read, p->f32);
        if (p->bf16 > 0) printf(", bf16 %.0f", p->bf16);
        if (p->int8 > 0) printf(", int8 %.0f", p->int8);
        printf(" G operations/s\n");
    }
    fflush(stdout);
    return SO_OK;
}

void so_bench_page_rows(so_bench_page *page)
{
    if (page->json) printf(", \"results\": [");
}

void so_bench_page_row(so_bench_page *page, const so_bench_row *r)
{
    if (page->json) {
        printf(
            "%s\n  {\"what\": \"%s\", \"unit\": \"%s\", \"median\": %.6g, \"least\": %.6g, \"most\": %.6g, \"n\": %lld",
            page->printed ? "," : "", r->what, r->unit, r->median, r->least, r->most, (long long)r->n);
        if (r->share > 0) printf(", \"limit\": \"%s\", \"share\": %.4f", r->limit, r->share);
        printf("}");
    } else {
        printf("  %-42s %10.4g %-18s (%.4g to %.4g)", r->what, r->median, r->unit, r->least, r->most);
        if (r->share > 0) printf("  %.0f %% of %s", 100 * r->share, r->limit);
        printf("\n");
    }
    page->printed++;
    fflush(stdout);
}

void so_bench_page_end(so_bench_page *page)
{
    char text[32];
    double bytes = largest_resident();
    if (page->json)
        printf("\n], \"memory_bytes\": %.0f}\n", bytes);
    else
        printf("  largest resident memory %s\n", so_cli_size(bytes, text));
}
