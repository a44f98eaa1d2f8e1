/* The limits of the machine. See backend/peak.h.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "backend/peak.h"

#include <math.h>
#include <string.h>
#include <time.h>

#include "backend/cpu/peak_loops.h"
#include "backend/cpu/ref/portable.h"
#include "base/arena.h"

enum {
    ROUNDS = 60,
    READ_ROUNDS = 5,
    SLICES = 16
}; /* a tenth of a second: a thread may need time to find a core of its own */

static const size_t read_bytes = (size_t)256 << 20;

/* Independent chains of multiply-adds, as wide as the compiler makes them for any machine. */
static float chains_f32(int64_t n)
{
    float a[32], s = 0;
    for (int i = 0; i < 32; i++) a[i] = (float)i;
    for (int64_t k = 0; k < n; k++)
        for (int i = 0; i < 32; i++) a[i] = a[i] * 0.999f + 1e-3f;
    for (int i = 0; i < 32; i++) s += a[i];
    return s;
}

static float read_words(const void *p, size_t bytes)
{
    const uint64_t *w = p;
    uint64_t sum[8] = {0};
    for (size_t i = 0; i + 8 <= bytes / 8; i += 8)
        for (int j = 0; j < 8; j++) sum[j] ^= w[i + (size_t)j];
    for (int j = 1; j < 8; j++) sum[0] ^= sum[j];
    return (float)(sum[0] & 1);
}

static so_peak_loops loops(void)
{
    so_peak_loops l = {.f32 = chains_f32, .ops_f32 = 64, .read = read_words};
#if defined(__x86_64__) && !defined(SO_DOUBLE)
    const so_kernels *k = so_kernels_best();
    const char *name = k ? k->name : "c";
    if (strcmp(name, "avx2") == 0) so_peak_loops_avx2(&l);
    if (strcmp(name, "avx512") == 0) so_peak_loops_avx512(&l);
    if (strcmp(name, "amx") == 0) so_peak_loops_amx(&l);
#endif
    return l;
}

static double now(bool processor)
{
    struct timespec t;
    clock_gettime(processor ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef struct peak_job {
    float (*chains)(int64_t n);
    float (*read)(const void *p, size_t bytes);
    int64_t n;
    const char *memory;
    size_t bytes;
    volatile float sink;
} peak_job;

static void peak_task(void *p, int64_t task, int thread)
{
    (void)thread;
    peak_job *j = p;
    float x = j->chains ? j->chains(j->n) : j->read(j->memory + (size_t)task * j->bytes, j->bytes);
    if (isnan(x)) j->sink = x; /* never: the loops must not be thrown away */
}

/* Seconds of the fastest of several runs of `tasks` tasks. */
static double fastest(so_pool *pool, peak_job *job, int64_t tasks, int rounds, bool processor)
{
    double best = INFINITY;
    for (int r = 0; r < rounds; r++) {
        double t = now(processor);
        so_pool_for(pool, tasks, peak_task, job);
        t = now(processor) - t;
        if (t > 0 && t < best) best = t;
    }
    return best;
}

static double rate(so_pool *pool, float (*chains)(int64_t), double ops, bool processor)
{
    enum { TURNS = 400000 };
    if (!chains) return 0;
    peak_job job = {.chains = chains, .n = TURNS};
    int64_t tasks = so_pool_threads(pool);
    return 1e-9 * ops * TURNS * (double)tasks / fastest(pool, &job, tasks, ROUNDS, processor);
}

static peak_job reading(const void *data, size_t bytes)
{
    return (peak_job){.read = loops().read, .memory = data, .bytes = bytes / SLICES / 512 * 512};
}

double so_peak_read(so_pool *pool, const void *data, size_t bytes, bool processor_time)
{
    const size_t most = (size_t)1 << 30;
    peak_job job = reading(data, bytes < most ? bytes : most);
    return 1e-9 * (double)(SLICES * job.bytes) / fastest(pool, &job, SLICES, 1, processor_time);
}

so_status so_peak_measure(so_peak *peak, so_pool *pool, bool processor_time, so_error *error)
{
    so_peak_loops l = loops();
    *peak = (so_peak){.f32 = rate(pool, l.f32, l.ops_f32, processor_time),
                      .bf16 = rate(pool, l.bf16, l.ops_bf16, processor_time),
                      .int8 = rate(pool, l.int8, l.ops_int8, processor_time)};
    so_arena memory;
    SO_TRY(so_arena_init(&memory, read_bytes, error));
    so_arena_large(&memory);
    memset(memory.base, 1, read_bytes);
    peak_job job = reading(memory.base, read_bytes);
    peak->read = 1e-9 * (double)read_bytes / fastest(pool, &job, SLICES, READ_ROUNDS, processor_time);
    so_arena_clear(&memory);
    return SO_OK;
}
