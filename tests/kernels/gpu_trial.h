/* Kernels of graphics cards against the portable table: over fibers with subgroups of 8, 32 and 64, threads and
 * launches in random order, and over Vulkan where there is a device (Mesa's lavapipe will do).
 *
 * A case draws its shapes and numbers from a seeded stream, so that host and device see the same; the harness gives it
 * memory of either and compares what it wrote, with guard bands.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TESTS_KERNELS_GPU_TRIAL_H
#define SO_TESTS_KERNELS_GPU_TRIAL_H

#include "check.h"

#include "backend/cpu/ref/portable.h"
#include "backend/device.h"
#include "backend/gpu/fibers/fiber_device.h"
#include "base/rng.h"
#include "card.h"

enum { GUARD = 16, BLOCKS = 128, ROUNDS = 6 };

typedef struct block {
    void *memory; /* of the device */
    float *got;   /* [n], of an output, when it has run */
    int64_t n;
    bool out;
} block;

typedef struct trial {
    so_device *device; /* NULL: the host */
    const so_kernels *k;
    so_pool *pool;
    so_rng rng;
    int n_blocks;
    block block[BLOCKS];
} trial;

static const float GUARD_VALUE = -12345.678f;
static so_device *device[4];
static int n_devices;

static int64_t size(trial *t, int64_t lo, int64_t hi) { return so_rng_range(&t->rng, lo, hi); }

static block *take(trial *t, const void *from, size_t bytes)
{
    so_error error;
    assert_true(t->n_blocks < BLOCKS);
    block *b = &t->block[t->n_blocks++];
    *b = (block){0};
    if (t->device) {
        CHECK_OK(so_device_reserve(t->device, bytes, &b->memory, &error), error);
    } else {
        b->memory = malloc(bytes ? bytes : 1);
        assert_non_null(b->memory);
    }
    so_device_write(t->device, b->memory, from, bytes);
    return b;
}

static void *stored(trial *t, const void *from, size_t bytes) { return take(t, from, bytes)->memory; }

static float *numbers(trial *t, int64_t n, double scale)
{
    float *p = malloc((size_t)(n + 1) * sizeof *p);
    for (int64_t i = 0; i < n; i++) p[i] = (float)(scale * so_rng_normal(&t->rng));
    float *at = stored(t, p, (size_t)n * sizeof *p);
    free(p);
    return at;
}

/* n numbers that the case writes, random before, between guards. */
static float *out(trial *t, int64_t n)
{
    float *p = malloc((size_t)(n + 2 * GUARD) * sizeof *p);
    for (int64_t i = 0; i < n + 2 * GUARD; i++)
        p[i] = i < GUARD || i >= GUARD + n ? GUARD_VALUE : (float)so_rng_normal(&t->rng);
    block *b = take(t, p, (size_t)(n + 2 * GUARD) * sizeof *p);
    free(p);
    b->out = true;
    b->n = n;
    return (float *)b->memory + GUARD;
}

/* Rows of weights of a type; blocks of random codes and small scales. */
static void *weights(trial *t, so_type type, int64_t n, int64_t k)
{
    size_t bytes = so_type_bytes(type, n * k), one = (size_t)so_type_about(type)->bytes;
    unsigned char *w = malloc(bytes + 1);
    bool blocks = so_type_about(type)->block > 1;
    for (size_t i = 0; i < bytes; i++) w[i] = (unsigned char)so_rng_u64(&t->rng);
    for (size_t i = 0; i < bytes; i += one) {
        float x = (float)so_rng_normal(&t->rng);
        uint16_t a = so_to_f16(blocks ? x / 64 : x), b = so_to_f16((float)so_rng_normal(&t->rng) / 64);
        if (type == SO_BF16) a = so_to_bf16(x);
        memcpy(w + i + (type == SO_Q6_K ? 208 : 0), type == SO_F32 ? (const void *)&x : (const void *)&a,
               type == SO_F32 ? 4 : 2);
        if (type == SO_Q4_K || type == SO_Q5_K) memcpy(w + i + 2, &b, 2);
    }
    void *at = stored(t, w, bytes);
    free(w);
    return at;
}

typedef void (*case_fn)(trial *t);
typedef struct kernel_case {
    const char *name;
    case_fn run;
    double max_abs, rel_l2;
    int rounds;
} kernel_case;

static void run(trial *t, const kernel_case *c, so_device *d, int round)
{
    so_error error = {0};
    *t = (trial){
        .device = d, .k = d ? so_device_kernels(d, false) : so_kernels_c(), .pool = d ? so_device_pool(d) : NULL};
    so_rng_init(&t->rng, (uint64_t)round, 77);
    c->run(t);
    for (int i = 0; i < t->n_blocks; i++) {
        block *b = &t->block[i];
        if (b->out) {
            float *all = malloc((size_t)(b->n + 2 * GUARD) * sizeof *all);
            so_device_read(d, all, b->memory, (size_t)(b->n + 2 * GUARD) * sizeof *all);
            for (int g = 0; g < GUARD; g++)
                if (all[g] != GUARD_VALUE || all[GUARD + b->n + g] != GUARD_VALUE)
                    fail_msg("%s (%s), round %d: wrote outside an output", c->name, t->k->name, round);
            b->got = malloc((size_t)(b->n + 1) * sizeof *all);
            memcpy(b->got, all + GUARD, (size_t)b->n * sizeof *all);
            free(all);
        }
        if (d)
            so_device_release(d, b->memory);
        else
            free(b->memory);
    }
    CHECK_OK(so_device_state(d, &error), error);
}

static void drop(trial *t)
{
    for (int i = 0; i < t->n_blocks; i++) free(t->block[i].got);
}

static void compare(const kernel_case *c)
{
    for (int round = 0; round < c->rounds; round++) {
        trial want;
        run(&want, c, NULL, round);
        for (int d = 0; d < n_devices; d++) {
            trial got;
            run(&got, c, device[d], round);
            for (int i = 0; i < got.n_blocks; i++) {
                char name[400];
                snprintf(name, sizeof name, "%s (%s), round %d, block %d", c->name, got.k->name, round, i);
                if (got.block[i].out)
                    check_close(name, got.block[i].got, want.block[i].got, got.block[i].n, c->max_abs, c->rel_l2);
            }
            drop(&got);
        }
        drop(&want);
    }
}

#define CASE(NAME, MAX, L2, TIMES)                                                                                     \
    static void NAME##_agrees(void **state)                                                                            \
    {                                                                                                                  \
        (void)state;                                                                                                   \
        compare(&(kernel_case){#NAME, NAME##_case, MAX, L2, TIMES});                                                   \
    }

static int open_devices(void **state)
{
    (void)state;
    static const int subgroup[] = {8, 32, 64};
    so_error error;
    for (int i = 0; i < 3; i++) {
        so_fibers_options o = {.subgroup = subgroup[i], .seed = (uint64_t)i, .watches = true};
        if (so_fibers_open(&device[n_devices], &o, &error) != SO_OK) return -1;
        n_devices++;
    }
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    fprintf(stderr, "# SKIP: kernels over Vulkan: its drivers do not free what they hold, which sanitizers tell\n");
    return 0;
#endif
    /* With the validation layer, whose complaints are the device's failures, where it is installed. */
    setenv("SO_VULKAN_VALIDATE", "1", 0);
    so_status status = so_device_open(&device[n_devices], card_name(), &error);
    if (status != SO_OK && strstr(error.text, "validation layer")) {
        fprintf(stderr, "# SKIP: validation of what Vulkan is asked: %s\n", error.text);
        unsetenv("SO_VULKAN_VALIDATE");
        status = so_device_open(&device[n_devices], card_name(), &error);
    }
    n_devices += status == SO_OK;
    if (status != SO_OK) fprintf(stderr, "# SKIP: kernels on %s: %s\n", card_name(), error.text);
    return status != SO_OK && card_wished() ? -1 : 0; /* one that was named has to be there */
}

static int close_devices(void **state)
{
    (void)state;
    for (int i = 0; i < n_devices; i++) so_device_close(&device[i]);
    return 0;
}

#endif
