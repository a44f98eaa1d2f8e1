/* What one update of low-rank adapters takes beside the frozen backbone of the published model's shape, with random
 * weights of q4_k: seconds and memory. Usage: learn_8b [ROWS [THREADS [RANK]]]; with DRY=1 the memory alone.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "models/llama.h"
#include "models/lora.h"
#include "train/optim.h"

enum { ANSWER = 64, VOCABULARY = 128256, LAYERS = 32 };

typedef struct trial {
    so_pool *pool;
    const so_kernels *kernels;
    so_store store;
    so_llama net;
    so_tensor *embed, *head;
    so_lora_set lora;
    so_optim optim;
    so_arena arena;
} trial;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double peak_gb(void)
{
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return (double)use.ru_maxrss * 1024e-9;
}

static so_status make(trial *t, int threads, int rank, so_error *error)
{
    static const so_llama_config shape = {4096, 32, 8, 128, 14336, 1e-5, 500000, 8, 1, 4, 8192};
    static const so_bind_row tables[] = {
        {offsetof(trial, embed), "embed", "T D", "tables", SO_INIT_NORMAL, 0.02, false},
        {offsetof(trial, head), "head", "T D", "tables", SO_INIT_FAN_IN, 1, false},
    };
    so_rng rng;
    so_rng_init(&rng, 1, 0);
    SO_TRY(so_kernels_choose(&t->kernels, error));
    SO_TRY(so_pool_open(&t->pool, threads, error));
    SO_TRY(so_store_open(&t->store, 0, error));
    so_binder binder = {.store = &t->store,
                        .group = "backbone",
                        .rng = &rng,
                        .quick = true,
                        .made = SO_Q4_K,
                        .pool = t->pool,
                        .kernels = t->kernels};
    SO_TRY(so_llama_bind(&t->net, &shape, LAYERS, "model.layers.", "model.norm.weight", &binder, error));
    binder.sizes.of['T'] = VOCABULARY;
    SO_TRY(SO_BIND(&binder, "", 0, tables, t, error));
    t->net.checkpoint = true;
    SO_TRY(so_lora_make(&t->lora, &t->store, "backbone", &(so_lora_options){.rank = rank}, 1, error));
    SO_TRY(so_store_learn(&t->lora.store, NULL, true, error));
    SO_TRY(so_optim_open(&t->optim, &(so_adamw){.clip = 1}, error));
    SO_TRY(so_optim_add(&t->optim, &t->lora.store, NULL, 0, error));
    return so_arena_reserve(&t->arena, (size_t)64 << 30, error);
}

/* The last ANSWER rows are learnt. A dry one only tells the memory that it would take. */
static so_status update(trial *t, int64_t rows, bool dry, so_error *error)
{
    so_pass pass;
    double began = now();
    so_arena_release(&t->arena, 0);
    so_pass_init(&pass, &t->arena, t->pool, t->kernels);
    pass.recording = true;
    pass.dry = dry;
    int32_t *ids = so_take(&pass, (size_t)rows * sizeof *ids, false), row[ANSWER], label[ANSWER];
    if (!ids) return so_fail(error, SO_ERR_NOMEM, "no memory for %lld ids", (long long)rows);
    for (int64_t i = 0; i < rows; i++) ids[i] = (int32_t)(i * 7919 % VOCABULARY);
    for (int i = 0; i < ANSWER; i++) row[i] = (int32_t)rows - ANSWER + i, label[i] = 31 * i + 5;
    so_tensor *x = so_embed(&pass, t->embed, rows, ids);
    so_tensor *h = so_llama_forward(&pass, &t->net, x, so_batch_one(&pass, rows, NULL));
    so_tensor *logits = so_linear(&pass, so_take_rows(&pass, h, ANSWER, row), t->head, NULL);
    so_tensor *loss = so_cross_entropy(&pass, logits, label);
    double forward = now() - began;
    if (so_ok(&pass)) (void)so_backward(&pass, loss, 1);
    if (!so_ok(&pass)) return so_fail(error, pass.error.status, "%s", pass.error.text);
    if (dry) {
        printf("an update of %lld rows is to take %.2f GB more\n", (long long)rows, (double)t->arena.peak * 1e-9);
        fflush(stdout);
        return SO_OK;
    }
    double norm = so_optim_norm(&t->optim, t->pool);
    so_optim_update(&t->optim, t->pool, 1e-4, norm);
    printf("%lld rows: %.1f s forward, %.1f s in all, loss %.3f, norm %.3g; at most %.2f GB\n", (long long)rows,
           forward, now() - began, (double)so_data(loss)[0], norm, peak_gb());
    return SO_OK;
}

int main(int argc, char **argv)
{
    static trial t;
    so_error error = {0};
    int64_t rows = argc > 1 ? atoi(argv[1]) : 512;
    so_status status = rows > ANSWER && rows < 1 << 20 ? SO_OK : so_fail(&error, SO_ERR_ARG, "rows: more than 64");
    if (status == SO_OK) status = make(&t, argc > 2 ? atoi(argv[2]) : 0, argc > 3 ? atoi(argv[3]) : 16, &error);
    if (status == SO_OK)
        printf("%.2f GB of weights and adapters: %lld matrices, %.1f M numbers learn\n", peak_gb(),
               (long long)t.lora.count, (double)so_optim_parameters(&t.optim) * 1e-6);
    fflush(stdout);
    if (status == SO_OK) status = update(&t, rows, true, &error);
    if (status == SO_OK && !getenv("DRY")) status = update(&t, rows, false, &error);
    if (status != SO_OK) fprintf(stderr, "error: %s\n", error.text);
    so_optim_close(&t.optim);
    so_lora_close(&t.lora);
    so_store_close(&t.store);
    so_arena_clear(&t.arena);
    so_pool_close(&t.pool);
    return status == SO_OK ? 0 : 1;
}
