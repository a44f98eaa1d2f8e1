/* bench --tables and inspect --machine: which kernels this machine has, how fast each is, which are used and why.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include "apps/bench.h"
#include "apps/cli.h"
#include "eval/speed/speed_tables.h"

typedef struct tables_page {
    bool json;
    int rows;
    so_table_list list;
} tables_page;

so_status so_bench_machine(bool json, so_error *error)
{
    so_machine_kernels m;
    SO_TRY(so_bench_machine_kernels(&m, error));
    if (json) {
        printf("\"kernels\": \"%s\", \"choice\": ", m.name);
        so_json_text(stdout, m.how);
        printf(", \"matrix_tiles\": ");
        so_json_text(stdout, m.tiles);
        printf(", \"bf16_gains\": %s", m.bf16_gains ? "true" : "false");
        return SO_OK;
    }
    printf("kernels %s; choice: %s\nmatrix tiles: %s\nproducts in bf16 %s\n", m.name, m.how, m.tiles,
           m.bf16_gains ? "gain" : "gain nothing: not taken");
    return SO_OK;
}

static void begin(void *context, const so_table_list *list)
{
    tables_page *p = context;
    p->list = *list;
    if (p->json) return;
    printf("one thread, the processor's time; * marks what is used\n\n%s%-28s %8s", so_cli_bold(stdout), "entry", "");
    for (int i = 0; i < list->count; i++) printf(" %10s", list->name[i]);
    printf("%s\n", so_cli_plain(stdout));
}

static void json_row(tables_page *p, const so_table_row *r)
{
    printf("%s\n  {\"entry\": \"%s\", \"unit\": \"%s\", \"rates\": {", p->rows ? "," : "", r->entry, r->unit);
    for (int i = 0, n = 0; i < p->list.count; i++)
        if (r->rate[i] > 0) printf("%s\"%s\": %.4g", n++ ? ", " : "", p->list.name[i], r->rate[i]);
    printf("}, \"used\": ");
    if (r->used < 0)
        printf("null");
    else
        printf("\"%s\"", p->list.name[r->used]);
    printf(", \"why\": \"%s\"}", r->why);
}

static void row(void *context, const so_table_row *r)
{
    tables_page *p = context;
    if (p->json) {
        json_row(p, r);
    } else {
        printf("%-28s %8s", r->entry, r->unit);
        for (int i = 0; i < p->list.count; i++) {
            char figure[24] = "";
            if (r->rate[i] > 0) snprintf(figure, sizeof figure, "%.4g%s", r->rate[i], i == r->used ? "*" : " ");
            printf(" %10s", figure);
        }
        printf("%s%s\n", r->why[0] ? "  " : "", r->why);
    }
    p->rows++;
    fflush(stdout);
}

so_status so_bench_print_tables(bool json, double seconds, so_error *error)
{
    tables_page page = {.json = json};
    if (json) printf("{");
    SO_TRY(so_bench_machine(json, error));
    if (json) printf(", \"entries\": [");
    SO_TRY(so_bench_tables(seconds, begin, row, &page, &so_cli_stop, error));
    if (json) printf("\n]}\n");
    return SO_OK;
}
