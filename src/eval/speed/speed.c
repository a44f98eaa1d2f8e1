/* Measuring networks: repetitions, and what the machine did in one of them.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "eval/speed/speed.h"

#include <stdlib.h>
#include <time.h>

#include "eval/speed/speed_run.h"

/* ---- counting: a table whose products count themselves and then run as ever. One measurement at a time. */

static struct {
    const so_kernels *inner;
    double flops, bytes;
} tally;

static void count_gemm(so_pool *pool, const so_gemm *g)
{
    tally.flops += 2.0 * (double)g->m * (double)g->n * (double)g->k;
    tally.inner->gemm(pool, g);
}

static void count(const so_product *p, int64_t k, int64_t m)
{
    tally.flops += 2.0 * (double)m * (double)p->n * (double)k;
    tally.bytes += (double)so_type_bytes(p->type, p->n * k);
}

static void count_linear(so_pool *pool, const so_product *p, int64_t k, const so_real *x, int64_t m)
{
    count(p, k, m);
    tally.inner->linear(pool, p, k, x, m);
}

static void count_linear_int8(so_pool *pool, int n, const so_product *product, int64_t k, const void *x, int64_t m)
{
    for (int i = 0; i < n; i++) count(&product[i], k, m);
    tally.inner->linear_int8(pool, n, product, k, x, m);
}

static void count_gated_int8(so_pool *pool, const so_product *gate, const void *up, int64_t k, const void *x, int64_t m)
{
    for (int i = 0; i < 2; i++) count(gate, k, m);
    tally.inner->gated_int8(pool, gate, up, k, x, m);
}

static void count_linears(so_pool *pool, int n, const so_product *p, int64_t k, const so_real *x, int64_t m)
{
    for (int i = 0; i < n; i++) count(&p[i], k, m);
    tally.inner->linears(pool, n, p, k, x, m);
}

static void count_gated(so_pool *pool, const so_product *gate, const void *up, int64_t k, const so_real *x, int64_t m)
{
    for (int i = 0; i < 2; i++) count(gate, k, m);
    tally.inner->gated(pool, gate, up, k, x, m);
}

static void count_joined(so_pool *pool, const so_joined *j)
{
    for (int64_t i = 0; i < j->count; i++) count(&j->product[i], j->k, j->m);
    tally.inner->joined(pool, j);
}

static void count_attention(so_pool *pool, const so_attn *attn, const so_real *q, so_real *out, so_real *lse)
{
    for (int64_t s = 0; s < attn->n_segs; s++) {
        const so_attn_seg *g = &attn->seg[s];
        double keys = attn->causal ? (double)g->pos0 + 0.5 * (double)g->q_rows : (double)g->kv_rows;
        tally.flops += 4 * (double)g->q_rows * keys * (double)(attn->heads * attn->width);
    }
    tally.inner->attention(pool, attn, q, out, lse);
}

static void count_bf16_linear(so_pool *pool, const so_bf16_product *p)
{
    tally.flops += 2.0 * (double)p->m * (double)p->n * (double)p->k;
    tally.bytes += (double)so_type_bytes(SO_BF16, p->n * p->k);
    tally.inner->bf16_linear(pool, p);
}

static void count_bf16_joined(so_pool *pool, int count, const so_bf16_product *p, const so_bf16_ends *ends)
{
    for (int i = 0; i < count; i++) {
        tally.flops += 2.0 * (double)p[i].m * (double)p[i].n * (double)p[i].k;
        tally.bytes += (double)so_type_bytes(SO_BF16, p[i].n * p[i].k);
    }
    tally.inner->bf16_joined(pool, count, p, ends);
}

static bool count_bf16_conv(so_pool *pool, const so_conv *conv, const so_bf16_product *p)
{
    bool done = tally.inner->bf16_conv(pool, conv, p);
    if (done)
        tally.flops +=
            2.0 * (double)(conv->batch * conv->out[1]) * (double)p->n * (double)(conv->kernel[1] * conv->channels);
    return done;
}

static so_kernels counting(const so_kernels *k)
{
    so_kernels c = *k;
    tally.inner = k;
    tally.flops = tally.bytes = 0;
    c.gemm = count_gemm;
    c.linear = count_linear;
    if (k->linears) c.linears = count_linears;
    if (k->gated) c.gated = count_gated;
    if (k->joined) c.joined = count_joined;
    c.linear_int8 = count_linear_int8;
    c.gated_int8 = count_gated_int8;
    c.attention = count_attention;
    c.bf16_linear = count_bf16_linear;
    if (k->bf16_joined) c.bf16_joined = count_bf16_joined;
    c.bf16_conv = count_bf16_conv;
    return c;
}

/* ---- repetitions */

const so_kernels *so_bench_kernels(const so_bench *b) { return b->bf16 ? b->kernels->with_bf16 : b->kernels; }

double so_bench_now(const so_bench *b)
{
    struct timespec t;
    clock_gettime(b->processor_time ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static so_status once(so_bench_fn fn, void *work, so_pass *pass, so_error *error)
{
    fn(pass, work);
    so_bench_wait(pass);
    return so_pass_end(pass, error);
}

static bool reads(const so_bench_row *row) { return row->limit && row->limit[0] == 'r'; }

static double limit_of(const so_peak *p, const char *limit)
{
    if (!limit) return 0;
    return limit[0] == 'i' ? p->int8 : limit[0] == 'b' ? p->bf16 : p->f32;
}

static double median(double *x, int64_t n)
{
    qsort(x, (size_t)n, sizeof *x, ascending);
    return n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

static void figures(const so_bench *b, so_bench_row *row, double *t)
{
    double middle = median(t, row->n), of[3] = {middle, t[0], t[row->n - 1]}, limit = limit_of(&b->peak, row->limit);
    if (!reads(row)) row->share = limit > 0 ? 1e-9 * row->flops / limit / middle : 0;
    for (int i = 0; i < 3; i++) of[i] = row->inverse ? of[i] / row->amount : row->amount / of[i];
    row->median = of[0];
    row->least = row->inverse ? of[1] : of[2];
    row->most = row->inverse ? of[2] : of[1];
}

static double reading_now(const so_bench *b, const so_bench_row *row)
{
    if (b->device) return b->device_rate;
    return reads(row) ? so_peak_read(b->pool, row->weights, row->weights_bytes, b->processor_time) : 0;
}

/* row->n repetitions in t[n]; of rows that read, share[n] is how much each read of what memory gave just before and
 * after. */
static so_status repeat(so_bench *b, so_bench_row *row, so_pass *pass, so_bench_fn fn, void *work, double *t,
                        double *share, so_error *error)
{
    so_status status = SO_OK;
    so_mark mark = so_pass_mark(pass);
    double before = reading_now(b, row);
    for (row->n = 0; row->n < b->repeats && status == SO_OK; row->n++) {
        if (b->stop && *b->stop) return so_fail(error, SO_ERR_STOPPED, "stopped");
        double began = so_bench_now(b);
        status = once(fn, work, pass, error);
        t[row->n] = so_bench_now(b) - began;
        so_pass_release(pass, mark);
        double after = reading_now(b, row);
        if (reads(row)) share[row->n] = 1e-9 * row->bytes / t[row->n] / (0.5 * (before + after));
        before = after;
    }
    return status;
}

so_status so_bench_measure(so_bench *b, so_bench_row row, so_pass *pass, so_bench_fn fn, void *work, so_error *error)
{
    double *t = malloc((size_t)b->repeats * 2 * sizeof *t), *share = t + b->repeats;
    if (!t) return so_fail(error, SO_ERR_NOMEM, "no memory for %lld times", (long long)b->repeats);
    const so_kernels *k = pass->k;
    so_kernels counted = counting(k);
    so_mark mark = so_pass_mark(pass);
    if (b->device && !reads(&row)) row.limit = NULL; /* what its products can at most is not known */
    if (b->say) b->say(b->context, row.what);
    pass->k = &counted;
    so_status status = once(fn, work, pass, error); /* warms up, too */
    pass->k = k;
    row.flops = tally.flops;
    row.bytes = tally.bytes;
    so_pass_release(pass, mark);
    if (status == SO_OK) status = repeat(b, &row, pass, fn, work, t, share, error);
    if (status == SO_OK) {
        if (reads(&row)) row.share = median(share, row.n);
        figures(b, &row, t);
        if (b->device && reads(&row)) row.limit = "copying there";
        if (b->row) b->row(b->context, &row);
    }
    free(t);
    return status;
}
