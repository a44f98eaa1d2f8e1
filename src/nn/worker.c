/* Passes and their scratch memory. See worker.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "nn/worker.h"

so_status so_worker_open(so_worker *worker, size_t bytes, so_pool *pool, const so_kernels *kernels, so_error *error)
{
    *worker = (so_worker){0};
    SO_TRY(so_arena_init(&worker->scratch, bytes, error));
    so_pass_init(&worker->pass, &worker->scratch, pool, kernels);
    return SO_OK;
}

so_status so_worker_open_dry(so_worker *worker, const so_kernels *kernels, so_error *error)
{
    *worker = (so_worker){0};
    SO_TRY(so_arena_dry(&worker->scratch, error));
    so_pass_init(&worker->pass, &worker->scratch, NULL, kernels);
    worker->pass.dry = true;
    return SO_OK;
}

so_status so_worker_measure(const so_kernels *kernels, so_rehearsal_fn rehearse, void *context, size_t *bytes,
                            so_error *error)
{
    so_need need;
    so_status status = so_worker_measure_on(NULL, kernels, rehearse, context, &need, error);
    *bytes = need.host;
    return status;
}

so_status so_worker_open_on(so_worker *worker, so_device *device, so_need need, so_pool *pool,
                            const so_kernels *kernels, so_error *error)
{
    SO_TRY(so_worker_open(worker, need.host, pool, kernels, error));
    if (!device) return SO_OK;
    so_status status = so_device_reserve(device, need.device, &worker->block, error);
    if (status != SO_OK) {
        so_worker_clear(worker);
        return status;
    }
    so_arena_over(&worker->numbers, worker->block, need.device);
    so_pass_use(&worker->pass, device, &worker->numbers);
    return SO_OK;
}

so_status so_worker_measure_on(so_device *device, const so_kernels *kernels, so_rehearsal_fn rehearse, void *context,
                               so_need *need, so_error *error)
{
    so_worker worker;
    *need = (so_need){0};
    SO_TRY(so_worker_open_dry(&worker, kernels, error));
    if (device) {
        SO_TRY(so_arena_dry(&worker.numbers, error));
        so_pass_use(&worker.pass, device, &worker.numbers);
    }
    so_status status = rehearse(&worker, context, error);
    *need = (so_need){worker.scratch.peak, worker.numbers.peak};
    so_worker_clear(&worker);
    return status;
}

void so_worker_clear(so_worker *worker)
{
    so_arena_clear(&worker->scratch);
    so_arena_clear(&worker->numbers);
    so_device_release(worker->pass.device, worker->block);
    worker->block = NULL;
}

so_pass *so_worker_begin(so_worker *worker)
{
    so_pass_begin(&worker->pass);
    return &worker->pass;
}

so_status so_worker_end(const so_worker *worker, so_error *error) { return so_pass_end(&worker->pass, error); }
