/* Weights onto a device.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/own.h"
#include "nn/weights.h"

enum { ALIGN = 256 };

static size_t bytes_of(const so_tensor *t)
{
    size_t bytes = t->type == SO_F32 ? (size_t)so_count(t) * sizeof(so_real) : so_type_bytes(t->type, so_count(t));
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

size_t so_store_device_bytes(const so_store *store, const so_tensor *keep)
{
    size_t all = 0;
    for (int64_t i = 0; i < store->count; i++)
        if (&store->weight[i]->tensor != keep) all += bytes_of(&store->weight[i]->tensor);
    return all;
}

/* Weights from..to of the store lie in one block. */
static so_status upload_some(so_store *store, so_device *device, const so_tensor *keep, int64_t from, int64_t to,
                             size_t bytes, so_error *error)
{
    void *block = NULL;
    so_status status = so_device_reserve(device, bytes, &block, error);
    if (status != SO_OK)
        return so_fail(error, status, "the weights need %.1f GB on the device: %.600s",
                       (double)so_store_device_bytes(store, keep) * 1e-9, error ? error->text : "");
    char *at = block;
    for (int64_t i = from; i < to; i++) {
        so_tensor *t = &store->weight[i]->tensor;
        if (t == keep) continue;
        size_t all = t->type == SO_F32 ? (size_t)so_count(t) * sizeof(so_real) : so_type_bytes(t->type, so_count(t));
        so_device_write(device, at, t->data, all);
        t->data = at;
        at += bytes_of(t);
    }
    return so_device_state(device, error);
}

so_status so_store_upload(so_store *store, so_device *device, const so_tensor *keep, so_error *error)
{
    size_t bytes = 0;
    int64_t from = 0;
    for (int64_t i = 0; i < store->count; i++) {
        const so_tensor *t = &store->weight[i]->tensor;
        size_t one = t == keep ? 0 : bytes_of(t);
        if (one > so_device_largest(device))
            return so_fail(error, SO_ERR_LIMIT, "'%s' has %zu bytes, one piece of the device's memory %zu", t->name,
                           one, so_device_largest(device));
        if (bytes + one > so_device_largest(device)) {
            SO_TRY(upload_some(store, device, keep, from, i, bytes, error));
            from = i;
            bytes = 0;
        }
        bytes += one;
    }
    return bytes ? upload_some(store, device, keep, from, store->count, bytes, error) : SO_OK;
}
