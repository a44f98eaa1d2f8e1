/* Passes and their scratch memory. See worker.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "engine/worker.h"

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

void so_worker_clear(so_worker *worker) { so_arena_clear(&worker->scratch); }

so_pass *so_worker_begin(so_worker *worker)
{
    worker->pass.error = (so_error){0};
    so_arena_release(&worker->scratch, 0);
    return &worker->pass;
}

so_status so_worker_end(const so_worker *worker, so_error *error)
{
    const so_error *found = &worker->pass.error;
    return found->status == SO_OK ? SO_OK : so_fail(error, found->status, "%s", found->text);
}
