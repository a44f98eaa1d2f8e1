/* Weights laid out for products rounded to bf16.
 * SPDX-License-Identifier: Apache-2.0 */
#include "backend/kernels.h"
#include "base/file.h"
#include "nn/weights.h"

enum { LEAST = 32 }; /* rows and columns below which a layout is not worth its memory */

typedef struct decode_job {
    const so_kernels *k;
    const so_tensor *t;
    int64_t rows, cols;
    so_real *out;
} decode_job;

enum { DECODE_ROWS = 32 };

static void decode_task(void *p, int64_t task, int thread)
{
    (void)thread;
    const decode_job *j = p;
    for (int64_t r = task * DECODE_ROWS; r < (task + 1) * DECODE_ROWS && r < j->rows; r++)
        j->k->row(j->t->type, j->t->data, r, j->cols, j->out + r * j->cols);
}

/* The weight as numbers: its own, or decoded into the arena behind what is used. */
static const so_real *numbers(const so_tensor *t, const so_kernels *k, so_arena *memory, so_pool *pool, so_error *error)
{
    if (t->type == SO_F32) return so_data(t);
    decode_job job = {k, t, t->dim[0], so_count(t) / t->dim[0],
                      so_arena_alloc(memory, (size_t)so_count(t) * sizeof(so_real))};
    if (job.out)
        so_pool_for(pool, (job.rows + DECODE_ROWS - 1) / DECODE_ROWS, decode_task, &job);
    else
        so_fail(error, SO_ERR_NOMEM, "no memory to lay out the weight '%s'", t->name);
    return job.out;
}

so_status so_tensor_lay_bf16(so_tensor *t, const so_kernels *k, so_arena *memory, so_pool *pool, so_error *error)
{
    if (!t || t->bf16 || !k->bf16_gains || (t->n_dims != 2 && t->n_dims != 3) || t->dim[0] < LEAST || t->dim[1] < LEAST)
        return SO_OK;
    bool conv = t->n_dims == 3;
    size_t bytes = conv ? k->bf16_conv_bytes(t->dim[0], t->dim[1], t->dim[2]) : k->bf16_bytes(t->dim[0], t->dim[1]);
    void *layout = so_arena_alloc(memory, bytes);
    if (!layout) return so_fail(error, SO_ERR_NOMEM, "no memory to lay out the weight '%s'", t->name);
    size_t mark = so_arena_mark(memory);
    const so_real *w = numbers(t, k, memory, pool, error);
    if (!w) return SO_ERR_NOMEM;
    if (conv)
        k->bf16_conv_pack(pool, t->dim[0], t->dim[1], t->dim[2], w, layout);
    else
        k->bf16_pack(pool, t->dim[0], t->dim[1], w, layout);
    so_arena_release(memory, mark);
    t->bf16 = layout;
    return SO_OK;
}

so_status so_store_lay_bf16(so_store *store, const char *group, const so_kernels *kernels, so_pool *pool,
                            so_error *error)
{
    for (int64_t i = 0; i < store->count; i++) {
        so_weight *w = store->weight[i];
        if (w->multiplies && (!group || strcmp(w->group, group) == 0))
            SO_TRY(so_tensor_lay_bf16(&w->tensor, kernels, &store->memory, pool, error));
    }
    return SO_OK;
}

void so_store_forget(const so_store *store, const so_views *source)
{
    for (int64_t i = 0; i < store->count; i++) {
        const so_tensor *t = &store->weight[i]->tensor;
        const so_view *view = so_views_find(source, t->name);
        if (view && (t->bf16 || t->data != view->data)) so_map_forget(view->data, view->bytes);
    }
}
