/* A device: memory of its own and a table of kernels that compute in it.
 *
 * What tensors and kernels call a pointer is an address of the device; the host follows none of them. Small inputs that
 * kernels are given by the host (ids, positions, lists of sequences) stay host pointers and are taken along when a
 * kernel is called. Calls on a device are recorded and computed in their order; only so_device_read waits. Where a
 * device is NULL it is the host: addresses are pointers, writing and reading are memcpy.
 *
 * One device may be used from several threads; calls take turns.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_BACKEND_DEVICE_H
#define SO_BACKEND_DEVICE_H

#include <stdbool.h>

#include "backend/kernels.h"
#include "base/error.h"

typedef struct so_device so_device;

enum { SO_DEVICE_TEXT = 256, SO_DEVICES = 16 };

/* What is known of a device before it is opened. */
typedef struct so_device_info {
    char name[SO_DEVICE_TEXT];   /* what so_device_open takes: "vulkan:0" */
    char title[SO_DEVICE_TEXT];  /* what its maker calls it */
    char driver[SO_DEVICE_TEXT]; /* the driver and its version */
    char lacks[SO_DEVICE_TEXT];  /* features it would need, with blanks between them; empty: it can be opened */
    bool card;                   /* memory of its own, not a processor */
    size_t memory, free;         /* bytes; free: as the driver tells it, or all */
    int subgroup;
    int piece[3]; /* rows, columns and depth of products in f16 that it does at once (tensor cores); 0: it has none */
    bool piece_bf16; /* in bf16, too */
} so_device_info;

/* What a device has done since it was opened. */
typedef struct so_device_counts {
    int64_t launches, barriers, submits, waits;
    int64_t replayed; /* of the launches, those of recordings and of steps that were asked before */
    int64_t bytes;    /* that launches said they read and write */
    size_t reserved;  /* bytes of memory in use */
} so_device_counts;

/* Lists what can be found, at most `most`; *n is their number. SO_ERR_MISSING where there is no driver to ask. */
so_status so_device_list(so_device_info *out, int most, int *n, so_error *error);
/* "vulkan": the first card that has all features, else the first device; "vulkan:1": by its number in the list.
 * SO_ERR_MISSING, SO_ERR_UNSUPPORTED with the features that it lacks. */
so_status so_device_open(so_device **out, const char *name, so_error *error);
/* Everything reserved goes with it. Accepts NULL and a null device. */
void so_device_close(so_device **device);

const so_device_info *so_device_about(const so_device *device);
/* Its kernels: of numbers as they are, or with products of block types in int8 and, where it has tensor cores for
 * them, those of many rows with weights of f16 or bf16 in that. Entries that it lacks are NULL. */
const so_kernels *so_device_kernels(const so_device *device, bool int8);
/* What its kernels are given as their pool. */
so_pool *so_device_pool(const so_device *device);
void so_device_count(const so_device *device, so_device_counts *counts);

/* Bytes of device memory at an address that is a multiple of 256, not zeroed. SO_ERR_NOMEM says how much there is. */
so_status so_device_reserve(so_device *device, size_t bytes, void **address, so_error *error);
/* Gives back what reserve gave, when all that was recorded is done. Accepts NULL. */
void so_device_release(so_device *device, void *address);
/* Bytes that were free when it was opened and have not been reserved since. */
size_t so_device_left(so_device *device);
/* Pieces up to this are given by every driver; larger ones by most. */
size_t so_device_largest(const so_device *device);

/* Takes `bytes` at `from` along, to be written at `to` in turn. */
void so_device_write(so_device *device, void *to, const void *from, size_t bytes);
/* Waits for all that was recorded, and reads. */
void so_device_read(so_device *device, void *to, const void *from, size_t bytes);
/* Bytes a second that it reads and writes when it copies: measured, in a fraction of a second. */
so_status so_device_rate(so_device *device, double *bytes_per_s, so_error *error);
/* Both addresses of the device, which do not overlap. */
void so_device_copy(so_device *device, void *to, const void *from, size_t bytes);
/* Lets what is recorded begin, without waiting. */
void so_device_flush(so_device *device);
/* From here to so_device_recorded what is asked of the device is kept, not computed, and no other thread's calls come
 * in between. False where the device keeps nothing, or as many recordings as it can (4): then nothing has begun. */
bool so_device_record(so_device *device);
/* What was kept; NULL where it had more inputs of the host than there is room for, or the device has failed. */
typedef struct so_recording so_recording;
so_recording *so_device_recorded(so_device *device);
/* Computes it in its turn, as often as wanted: with the inputs that the host gave then, and what lies at the device's
 * addresses now. */
void so_device_replay(so_device *device, const so_recording *recording);
/* Accepts NULL and a null recording. */
void so_device_forget(so_device *device, so_recording **recording);
/* What is asked from here to the next read (and from there to another) is a step of many alike, an answer's for
 * instance. A step that has been asked before, with the same kernels and addresses, is recorded, and replayed whenever
 * it comes again; inputs of the host may differ. Until end no other thread's calls come in between. Both accept NULL;
 * end without begin, and begin within a step or a recording, do nothing. */
void so_device_step_begin(so_device *device);
void so_device_step_end(so_device *device);
/* The first thing that went wrong on the device since it was opened: it stays. SO_OK for NULL. Waits for
 * nothing. */
so_status so_device_state(so_device *device, so_error *error);

#endif
