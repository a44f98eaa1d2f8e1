/* Launches of kernels, and the line between what is the same for every graphics card and its driver.
 *
 * Every launch declares the memory that it reads and writes. The queue (queue.c) puts a barrier before a launch that
 * touches what another has written since the last one, or writes what another has read; drivers may otherwise run
 * launches in any order, and the one of the tests does.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_GPU_LAUNCH_H
#define SO_BACKEND_GPU_LAUNCH_H

#include "backend/device.h"

/* One for each text of gpu/texts, and the threads of its groups. */
#define SO_GPU_TEXTS(X)                                                                                                \
    X(attention, 64)                                                                                                   \
    X(attention_merge, 64)                                                                                             \
    X(best, 256)                                                                                                       \
    X(columns, 64)                                                                                                     \
    X(conv, 256)                                                                                                       \
    X(element, 128)                                                                                                    \
    X(fourier, 64)                                                                                                     \
    X(gated, 64)                                                                                                       \
    X(gated_int8, 64)                                                                                                  \
    X(group_norm, 256)                                                                                                 \
    X(lerp, 64)                                                                                                        \
    X(matmul, 256)                                                                                                     \
    X(matmul_half, 256)                                                                                                \
    X(matvec, 64)                                                                                                      \
    X(matvec_int8, 64)                                                                                                 \
    X(mix, 64)                                                                                                         \
    X(mix_sum, 64)                                                                                                     \
    X(norm, 128)                                                                                                       \
    X(norm_round, 128)                                                                                                 \
    X(polar, 64)                                                                                                       \
    X(question, 64)                                                                                                    \
    X(relative, 64)                                                                                                    \
    X(rope, 64)                                                                                                        \
    X(rotate, 64)                                                                                                      \
    X(round_int8, 64)                                                                                                  \
    X(rows, 64)                                                                                                        \
    X(softmax, 256)                                                                                                    \
    X(store, 64)

typedef enum so_gpu_text {
#define SO_GPU_ONE(NAME, THREADS) SO_GPU_##NAME,
    SO_GPU_TEXTS(SO_GPU_ONE)
#undef SO_GPU_ONE
        SO_GPU_TEXT_COUNT
} so_gpu_text;

extern const char *const so_gpu_text_name[SO_GPU_TEXT_COUNT];
extern const int so_gpu_text_threads[SO_GPU_TEXT_COUNT];

/* SPIR-V of a text: words, and bytes; NULL where there was no glslc when the program was built. */
typedef struct so_gpu_code {
    const uint32_t *words;
    size_t bytes;
} so_gpu_code;
extern const so_gpu_code so_gpu_spirv[SO_GPU_TEXT_COUNT];
/* matmul_half by cooperative matrices; NULL where the glslc of the build did not know them. */
extern const so_gpu_code so_gpu_spirv_matrices;

enum { SO_GPU_KINDS = 48, SO_GPU_PARAMS = 128, SO_GPU_RANGES = 40 };

typedef struct so_gpu_range {
    uint64_t at, bytes;
    bool writes;
} so_gpu_range;

typedef struct so_gpu_launch {
    so_gpu_text text;
    int kind; /* KIND of the text, below SO_GPU_KINDS */
    uint32_t groups[3];
    unsigned char params[SO_GPU_PARAMS];
    uint32_t bytes; /* of params */
    int n_ranges;
    so_gpu_range range[SO_GPU_RANGES];
} so_gpu_launch;

/* What a driver does. All are called with the queue's lock held; what goes wrong is told by so_gpu_fail. */
typedef struct so_gpu_driver {
    void (*drive)(void *self, void *device); /* called first: the device, for so_gpu_fail */
    so_status (*reserve)(void *self, size_t bytes, uint64_t *address, so_error *error);
    size_t (*release)(void *self, uint64_t address); /* its bytes, as they were asked for */
    void (*launch)(void *self, const so_gpu_launch *launch);
    /* Between device memory and the shared piece, in either direction. */
    void (*copy)(void *self, uint64_t to, uint64_t from, size_t bytes);
    void (*barrier)(void *self);
    void (*submit)(void *self);
    void (*wait)(void *self); /* until all that was submitted is done */
    void (*close)(void *self);
    /* Recordings: NULL where there are none. Between record, which may give NULL, and recorded, launches, copies and
     * barriers are kept, not done; replay does them in their turn: `now` are the same calls with what they declare this
     * time, for drivers that look at it, or NULL. Nothing is under way when one is forgotten. */
    void *(*record)(void *self);
    void (*recorded)(void *self);
    void (*replay)(void *self, void *recording, const so_gpu_launch *now);
    void (*forget)(void *self, void *recording);
} so_gpu_driver;

/* What a driver gives when it is opened. */
typedef struct so_gpu_opened {
    const so_gpu_driver *driver;
    void *self;
    so_device_info about;
    size_t largest; /* piece of memory */
    void *shared;   /* memory that host and device see, at an address of each */
    uint64_t shared_at;
    size_t shared_bytes;
} so_gpu_opened;

/* Makes a device of it. The driver is closed when that fails. */
so_status so_gpu_open(so_device **out, const so_gpu_opened *opened, so_error *error);
/* For drivers: notes what went wrong, the first time. */
void so_gpu_fail(void *device, so_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* ---- for the table */
so_device *so_gpu_of(so_pool *pool);
/* Between the two no other thread records anything: for entries that share or use scratch. */
void so_gpu_hold(so_device *device);
void so_gpu_let(so_device *device);
/* Declares memory that a launch reads or writes; NULL and nothing are left out. */
void so_gpu_reads(so_gpu_launch *launch, const void *address, size_t bytes);
void so_gpu_writes(so_gpu_launch *launch, const void *address, size_t bytes);
void so_gpu_launch_now(so_device *device, so_gpu_launch *launch);
/* Room in the shared piece for a launch that follows: *at is its address for the device. Lives until the launch is
 * recorded; NULL, and a failed device, when it is larger than the piece. */
void *so_gpu_share(so_device *device, size_t bytes, uint64_t *at);
/* Scratch memory of the device for kernels in several steps, the same for all; NULL when there is not so much. */
void *so_gpu_scratch(so_device *device, size_t bytes);
/* The cosines and sines of a rotation, [rows, half, 2], in shared memory; those of the last call are found again. */
uint64_t so_gpu_turns(so_device *device, const so_rotation *rotation, size_t *bytes);

/* Fills the entries that these devices have. */
void so_gpu_fill(so_kernels *table);
void so_gpu_fill_matrix(so_kernels *table); /* products */
void so_gpu_fill_codec(so_kernels *table);
/* Products of many rows with weights of f16, and of bf16, by fragments (texts/fragment.h): rows are rounded to their
 * type. */
void so_gpu_fill_half(so_kernels *table, bool bf16);

#endif
