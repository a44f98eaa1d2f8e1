/* How fast networks of published sizes are on this machine, on random weights, beside what the machine can do at most.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_EVAL_SPEED_SPEED_H
#define SO_EVAL_SPEED_SPEED_H

#include "backend/device.h"
#include "backend/kernels.h"
#include "backend/peak.h"
#include "nn/weights.h"

typedef struct so_bench so_bench;

/* One measured thing: seconds of each repetition, and what the machine did in one of them. */
typedef struct so_bench_row {
    const char *what, *unit;
    double amount; /* units of work of one repetition: the figure is amount / seconds, or with `inverse` seconds /
                      amount */
    bool inverse;
    int64_t n;
    double median, least, most; /* of the figure */
    double flops, bytes;        /* of products, and of weights read, in one repetition */
    double share;      /* of the limit: the time that the limits allow over the time it took; 0: not asked. Of reading:
                          of what memory gave just before and after each repetition, for neighbours change that */
    const char *limit; /* "read", "int8", "bf16", "f32": the one that is asked; of a device "copying there" */
    const void *weights; /* of "read": memory like that which is read */
    size_t weights_bytes;
} so_bench_row;

struct so_bench {
    int64_t repeats;
    double seconds;      /* of speech heard and made */
    bool processor_time; /* count the processor's time instead of the clock's */
    bool bf16;           /* products of encoders and codec in bf16 */
    so_pool *pool;
    const so_kernels *kernels; /* the chosen table (so_kernels_choose), or the device's */
    so_device *device;         /* where it computes; NULL: the host. Closed by so_bench_close_device */
    double device_rate;        /* GB/s that it copies */
    so_peak peak;
    void (*row)(void *context, const so_bench_row *row); /* a result */
    void (*say)(void *context, const char *what);        /* what is done next */
    const char *only;                                    /* of prefill, decode, together, units; NULL: all */
    const char *type;                                    /* of the weights of so_bench_llama: "q4_k" */
    const char
        *kv; /* how it keeps keys and values: f32, f16, bf16, q8_0; NULL: as a session, f16 with blocks, else f32 */
    int64_t prompt;     /* positions that it reads */
    double memory;      /* bytes it may take; 0: four fifths of what is free */
    volatile int *stop; /* may be NULL: SO_ERR_STOPPED when it becomes nonzero */
    void *context;
};

/* Opens a device for what is measured and tells how fast it copies; "cpu": nothing. */
so_status so_bench_open_device(so_bench *bench, const char *name, so_error *error);
void so_bench_close_device(so_bench *bench);

/* SigLIP so400m, one picture of 384 pixels; the speech tokenizer; flow and vocoder of CosyVoice-300M-25Hz. */
so_status so_bench_siglip(so_bench *bench, so_error *error);
so_status so_bench_tokenizer(so_bench *bench, so_error *error);
so_status so_bench_flow(so_bench *bench, so_error *error);
so_status so_bench_hift(so_bench *bench, so_error *error);
/* "llama-8b", "llama-1b", or "stream-omni-8b", which has speech layers besides: reading a prompt, making text, making
 * units. Where memory does not allow all layers fewer are made, `say` tells, and times of layers are scaled. */
so_status so_bench_llama(so_bench *bench, const char *name, so_error *error);
bool so_bench_knows(const char *name);

#endif
