/* Weights onto a device.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/own.h"
#include "nn/weights.h"

enum { ALIGN = 256 };

static size_t whole_bytes(const so_tensor *t)
{
    return t->type == SO_F32 ? (size_t)so_count(t) * sizeof(so_real) : so_type_bytes(t->type, so_count(t));
}

static size_t bytes_of(const so_tensor *t) { return (whole_bytes(t) + ALIGN - 1) / ALIGN * ALIGN; }

size_t so_tensors_device_bytes(so_tensor *const *list, int64_t n)
{
    size_t all = 0;
    for (int64_t i = 0; i < n; i++) all += list[i]->host ? 0 : bytes_of(list[i]);
    return all;
}

size_t so_store_device_bytes(const so_store *store)
{
    size_t all = 0;
    for (int64_t i = 0; i < store->count; i++) {
        const so_tensor *t = &store->weight[i]->tensor;
        all += t->host ? 0 : bytes_of(t);
    }
    return all;
}

/* Tensors from..to of the list lie in one block. */
static so_status upload_some(so_tensor *const *list, so_device *device, int64_t from, int64_t to, size_t bytes,
                             so_error *error)
{
    void *block = NULL;
    so_status status = so_device_reserve(device, bytes, &block, error);
    if (status != SO_OK)
        return so_fail(error, status, "%.2f GB of weights on the device: %.600s", (double)bytes * 1e-9,
                       error ? error->text : "");
    char *at = block;
    for (int64_t i = from; i < to; i++) {
        so_tensor *t = list[i];
        if (t->host) continue;
        so_device_write(device, at, t->data, whole_bytes(t));
        t->data = at;
        at += bytes_of(t);
    }
    return so_device_state(device, error);
}

so_status so_tensors_upload(so_tensor *const *list, int64_t n, so_device *device, so_error *error)
{
    size_t bytes = 0;
    int64_t from = 0;
    for (int64_t i = 0; i < n; i++) {
        const so_tensor *t = list[i];
        size_t one = t->host ? 0 : bytes_of(t);
        if (bytes && bytes + one > so_device_largest(device)) { /* what is larger by itself has a block of its own */
            SO_TRY(upload_some(list, device, from, i, bytes, error));
            from = i;
            bytes = 0;
        }
        bytes += one;
    }
    return bytes ? upload_some(list, device, from, n, bytes, error) : SO_OK;
}

so_status so_store_upload(so_store *store, so_device *device, so_error *error)
{
    so_tensor **list = malloc((size_t)(store->count + 1) * sizeof *list);
    if (!list) return so_fail(error, SO_ERR_NOMEM, "no memory for a list of weights");
    for (int64_t i = 0; i < store->count; i++) list[i] = &store->weight[i]->tensor;
    so_status status = so_tensors_upload(list, store->count, device, error);
    free(list);
    return status;
}
