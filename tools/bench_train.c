/* Tokens per second of training a small Llama with AdamW: forward, back, clip, update. Its twin is
 * bench_train_torch.py. Not a test.
 *
 *     [BF16=1] [CPU_TIME=1] bench_train [threads] [steps] [checkpoint]
 *
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "models/llama.h"
#include "train/optim.h"

enum { B = 4, T = 256, V = 1024, L = 8 };

static double now(void)
{
    struct timespec t;
    clock_gettime(getenv("CPU_TIME") ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#define OK(call)                                                                                                       \
    if ((call) != SO_OK) {                                                                                             \
        fprintf(stderr, "%s\n", error.text);                                                                           \
        return 1;                                                                                                      \
    }

typedef struct ends {
    so_tensor *embed, *head;
} ends;

int main(int argc, char **argv)
{
    int threads = argc > 1 ? atoi(argv[1]) : 2, steps = argc > 2 ? atoi(argv[2]) : 10;
    so_error error;
    so_store store;
    so_pool *pool;
    so_arena arena;
    so_rng rng;
    so_rng_init(&rng, 1, 1);
    OK(so_store_open(&store, 0, &error))
    OK(so_pool_open(&pool, threads, &error))
    OK(so_arena_reserve(&arena, (size_t)8 << 30, &error)) /* as the trainer does */
    so_llama_config config = {
        .width = 320, .heads = 5, .kv_heads = 5, .head_width = 64, .ff = 864, .rms_eps = 1e-5, .rope_theta = 10000};
    so_binder binder = {.store = &store, .group = "all", .rng = &rng};
    so_llama_sizes(&config, &binder.sizes);
    binder.sizes.of['V'] = V;
    static const so_bind_row table[] = {{offsetof(ends, embed), "embed", "V D", NULL, SO_INIT_NORMAL, 0.02, false},
                                        {offsetof(ends, head), "head", "V D", NULL, SO_INIT_FAN_IN, 1, false}};
    so_llama net = {0};
    ends part;
    OK(SO_BIND(&binder, "", 0, table, &part, &error))
    OK(so_llama_bind(&net, &config, L, "layers.{}.", "norm", &binder, &error))
    OK(so_store_learn(&store, NULL, true, &error))
    net.checkpoint = argc > 3;
    so_optim optim;
    OK(so_optim_open(&optim, &(so_adamw){.decay = 0.1, .clip = 1}, &error))
    OK(so_optim_add(&optim, &store, NULL, 0, &error))
    static int32_t ids[B * T], label[B * T];
    for (int i = 0; i < B * T; i++) ids[i] = (int32_t)so_rng_below(&rng, V);
    for (int i = 0; i < B * T; i++) label[i] = (ids[i] * 7 + 3) % V;
    double best = 1e9, total = 0;
    for (int step = 0; step < steps; step++) {
        double t0 = now();
        so_pass pass;
        so_pass_init(&pass, &arena, pool, getenv("BF16") ? so_kernels_best()->train_bf16 : so_kernels_best());
        pass.recording = true;
        so_batch *batch = so_batch_many(&pass, B, (int64_t[]){T, T, T, T}, NULL);
        so_tensor *x = so_llama_forward(&pass, &net, so_embed(&pass, part.embed, B * T, ids), batch);
        so_tensor *loss = so_cross_entropy(&pass, so_linear(&pass, x, part.head, NULL), label);
        so_backward(&pass, loss, 1);
        if (!so_ok(&pass)) return fprintf(stderr, "%s\n", pass.error.text), 1;
        float value = so_data(loss)[0];
        double t1 = now();
        so_optim_update(&optim, pool, 1e-3, so_optim_norm(&optim, pool));
        so_arena_release(&arena, 0);
        double t2 = now();
        if (step == 0 || step == steps - 1)
            printf("step %d loss %.5f  %.1f ms + update %.1f ms, peak %.0f MB\n", step, (double)value, 1e3 * (t1 - t0),
                   1e3 * (t2 - t1), (double)arena.peak / 1e6);
        if (step && t2 - t0 < best) best = t2 - t0;
        if (step) total += t2 - t0;
    }
    printf("%lld parameters, %d threads: %.0f tok/s best, %.0f mean\n", (long long)so_optim_parameters(&optim), threads,
           B * T / best, B * T * (steps - 1) / total);
    return 0;
}
