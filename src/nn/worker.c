/* Passes and their scratch memory. See worker.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "nn/worker.h"

so_status so_worker_open(so_worker *worker, size_t bytes, so_pool *pool, const so_kernels *kernels, so_error *error)
{
    *worker = (so_worker){0};
    const size_t worth = (size_t)8 << 20;
    SO_TRY(so_arena_init(&worker->scratch, bytes, error));
    if (bytes >= worth) so_arena_large(&worker->scratch);
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
    so_status status = so_worker_measure_on(&(so_site){.kernels = kernels}, rehearse, context, &need, error);
    *bytes = need.host;
    return status;
}

static so_status open_device(so_worker *w, const so_site *place, so_need need, so_error *error)
{
    SO_TRY(so_device_reserve(place->device, need.device, &w->block, error));
    so_arena_over(&w->numbers, w->block, need.device);
    w->pass.device = place->device;
    if (!place->beside) return SO_OK;
    SO_TRY(so_arena_init(&w->beside_scratch, need.beside, error));
    so_pass_init(&w->beside, &w->beside_scratch, place->pool, place->beside);
    return SO_OK;
}

void so_worker_moved(so_worker *w)
{
    w->pass.arena = w->pass.data = &w->scratch;
    if (w->pass.device) so_pass_use(&w->pass, w->pass.device, &w->numbers);
    if (w->beside.arena) w->beside.arena = w->beside.data = &w->beside_scratch;
    w->pass.beside = w->beside.arena ? &w->beside : NULL;
}

so_status so_worker_open_on(so_worker *worker, const so_site *place, so_need need, so_error *error)
{
    SO_TRY(so_worker_open(worker, need.host, place->pool, place->kernels, error));
    if (!place->device) return SO_OK;
    so_status status = open_device(worker, place, need, error);
    if (status == SO_OK)
        so_worker_moved(worker);
    else
        so_worker_clear(worker);
    return status;
}

so_status so_worker_measure_on(const so_site *place, so_rehearsal_fn rehearse, void *context, so_need *need,
                               so_error *error)
{
    so_worker worker;
    *need = (so_need){0};
    SO_TRY(so_worker_open_dry(&worker, place->kernels, error));
    if (place->device) {
        SO_TRY(so_arena_dry(&worker.numbers, error));
        SO_TRY(so_arena_dry(&worker.beside_scratch, error));
        worker.pass.device = place->device;
        if (place->beside) so_pass_init(&worker.beside, &worker.beside_scratch, NULL, place->beside);
        worker.beside.dry = true;
        so_worker_moved(&worker);
    }
    so_status status = rehearse(&worker, context, error);
    *need = (so_need){worker.scratch.peak, worker.numbers.peak, worker.beside_scratch.peak};
    so_worker_clear(&worker);
    return status;
}

so_need so_need_both(so_need a, so_need b)
{
    return (so_need){a.host > b.host ? a.host : b.host, a.device > b.device ? a.device : b.device,
                     a.beside > b.beside ? a.beside : b.beside};
}

void so_worker_clear(so_worker *worker)
{
    so_arena_clear(&worker->scratch);
    so_arena_clear(&worker->numbers);
    so_arena_clear(&worker->beside_scratch);
    so_device_release(worker->pass.device, worker->block);
    worker->block = NULL;
}

so_pass *so_worker_begin(so_worker *worker)
{
    so_pass_begin(&worker->pass);
    return &worker->pass;
}

so_pass *so_worker_begin_step(so_worker *worker)
{
    so_pass *pass = so_worker_begin(worker);
    if (!pass->dry) so_device_step_begin(pass->device);
    return pass;
}

so_status so_worker_end(const so_worker *worker, so_error *error)
{
    if (!worker->pass.dry) so_device_step_end(worker->pass.device);
    return so_pass_end(&worker->pass, error);
}
