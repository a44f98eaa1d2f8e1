/* bench --random: networks of published sizes whose weights are made on the spot.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "apps/bench.h"
#include "apps/cli.h"

/* Medians in seconds, for what follows from them. */
typedef struct page {
    so_bench_page page;
    double prefill, decode, unit, flow, vocoder,
        see; /* a prompt, a token, a unit, a second of speech twice, a picture */
} page;

static void row(void *context, const so_bench_row *r)
{
    page *p = context;
    const struct {
        const char *what;
        double *to;
        double seconds;
    } kept[] = {{"prefill", &p->prefill, 0},
                {"decode", &p->decode, 1 / r->median},
                {"units", &p->unit, 1 / r->median},
                {"speak: flow", &p->flow, r->median},
                {"speak: voc", &p->vocoder, r->median},
                {"see", &p->see, r->median / 1000}};
    so_bench_page_row(&p->page, r);
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++)
        if (strncmp(r->what, kept[i].what, strlen(kept[i].what)) == 0) *kept[i].to = kept[i].seconds;
    if (strncmp(r->what, "prefill", 7) == 0) p->prefill = r->amount / r->median;
}

/* What a listener waits for after a prompt, from the figures above: three text tokens, twelve units and four to the
 * right of them, and their waveform (the defaults of a session). */
static void first_sound(page *p)
{
    enum { TEXT = 3, FIRST = 12, RIGHT = 4, UNITS_A_SECOND = 25 };
    if (!(p->prefill > 0 && p->decode > 0 && p->unit > 0 && p->flow > 0 && p->vocoder > 0)) return;
    double seconds = (double)(FIRST + RIGHT) / UNITS_A_SECOND;
    double ms = 1000 * (p->prefill + TEXT * p->decode + (FIRST + RIGHT) * p->unit + seconds * (p->flow + p->vocoder));
    so_bench_row r = {.what = "first sound after the prompt (sum of the above)",
                      .unit = "ms",
                      .n = 1,
                      .median = ms,
                      .least = ms,
                      .most = ms};
    so_bench_page_row(&p->page, &r);
}

static void say(void *context, const char *what)
{
    (void)context;
    fprintf(stderr, "%s...\n", what);
}

static const struct {
    const char *part;
    so_status (*run)(so_bench *bench, so_error *error);
} parts[] = {
    {"see", so_bench_siglip}, {"hear", so_bench_tokenizer}, {"flow", so_bench_flow}, {"vocoder", so_bench_hift}};
enum { PARTS = sizeof parts / sizeof parts[0] };

static so_status run_parts(const so_bench_ask *ask, so_bench *bench, so_error *error)
{
    bool codec = strcmp(ask->name, "codec") == 0 || strcmp(ask->name, "stream-omni-8b") == 0;
    for (int i = 0; codec && i < PARTS; i++)
        if (!ask->only || strstr(ask->only, parts[i].part)) SO_TRY(parts[i].run(bench, error));
    bool any = !ask->only || strstr(ask->only, "prefill") || strstr(ask->only, "decode") || strstr(ask->only, "units");
    return so_bench_knows(ask->name) && any ? so_bench_llama(bench, ask->name, error) : SO_OK;
}

static void tell_device(const so_bench_ask *ask, const so_bench *bench)
{
    if (ask->json)
        printf(", \"device\": {\"name\": \"%s\", \"copy_gb_s\": %.3f}", ask->device, bench->device_rate);
    else
        printf("device %s: it copies %.2f GB/s, of which shares are told\n", ask->device, bench->device_rate);
}

so_status so_bench_random(const so_bench_ask *ask, so_error *error)
{
    page p = {.page = {.json = ask->json}};
    so_bench bench = {.repeats = ask->repeats,
                      .seconds = (double)ask->seconds,
                      .processor_time = ask->processor_time,
                      .bf16 = !ask->f32,
                      .only = ask->only,
                      .type = ask->type,
                      .kv = ask->kv,
                      .prompt = ask->prompt,
                      .row = row,
                      .say = say,
                      .stop = &so_cli_stop,
                      .context = &p};
    so_status status;
    if (strcmp(ask->name, "codec") != 0 && !so_bench_knows(ask->name))
        return so_fail(error, SO_ERR_ARG,
                       "no published size is called '%s'; there are stream-omni-8b, llama-8b, llama-1b, toy and codec",
                       ask->name);
    char title[128];
    snprintf(title, sizeof title, "%s%s%s, random weights", ask->name, so_bench_knows(ask->name) ? " " : "",
             so_bench_knows(ask->name) ? ask->type : "");
    SO_TRY(so_kernels_choose(&bench.kernels, error));
    if (ask->threads != 1) SO_TRY(so_pool_open(&bench.pool, (int)ask->threads, error));
    SO_TRY_GO(so_bench_open_device(&bench, ask->device, error));
    SO_TRY_GO(so_bench_page_begin(&p.page, title, bench.pool, ask->processor_time, error));
    if (bench.device) tell_device(ask, &bench);
    so_bench_page_rows(&p.page);
    bench.peak = p.page.peak;
    SO_TRY_GO(run_parts(ask, &bench, error));
    first_sound(&p);
    so_bench_page_end(&p.page);
done:
    so_bench_close_device(&bench);
    so_pool_close(&bench.pool);
    return status;
}
