/* Weights laid out for products rounded to bf16.
 * SPDX-License-Identifier: Apache-2.0 */
#include "backend/kernels.h"
#include "nn/weights.h"

enum { LEAST = 32 }; /* rows and columns below which a layout is not worth its memory */

/* The weight as numbers: its own, or decoded into the arena behind what is used. */
static const so_real *numbers(const so_tensor *t, so_arena *memory, so_error *error)
{
    if (t->type == SO_F32) return so_data(t);
    int64_t rows = t->dim[0], cols = so_count(t) / rows;
    so_real *out = so_arena_alloc(memory, (size_t)(rows * cols) * sizeof *out);
    if (!out) so_fail(error, SO_ERR_NOMEM, "no memory to lay out the weight '%s'", t->name);
    for (int64_t r = 0; out && r < rows; r++) so_kernels_best()->row(t->type, t->data, r, cols, out + r * cols);
    return out;
}

so_status so_tensor_halve(so_tensor *t, so_arena *memory, so_pool *pool, so_error *error)
{
    const so_kernels *k = so_kernels_best();
    if (!t || t->half || !k->half_gains || (t->n_dims != 2 && t->n_dims != 3) || t->dim[0] < LEAST || t->dim[1] < LEAST)
        return SO_OK;
    if (t->type != SO_F32 && t->type != SO_F16 && t->type != SO_BF16) return SO_OK;
    bool conv = t->n_dims == 3;
    size_t bytes = conv ? k->half_conv_bytes(t->dim[0], t->dim[1], t->dim[2]) : k->half_bytes(t->dim[0], t->dim[1]);
    void *layout = so_arena_alloc(memory, bytes);
    if (!layout) return so_fail(error, SO_ERR_NOMEM, "no memory to lay out the weight '%s'", t->name);
    size_t mark = so_arena_mark(memory);
    const so_real *w = numbers(t, memory, error);
    if (!w) return SO_ERR_NOMEM;
    if (conv)
        k->half_conv_pack(pool, t->dim[0], t->dim[1], t->dim[2], w, layout);
    else
        k->half_pack(pool, t->dim[0], t->dim[1], w, layout);
    so_arena_release(memory, mark);
    t->half = layout;
    return SO_OK;
}

so_status so_store_halve(so_store *store, const char *group, so_pool *pool, so_error *error)
{
    for (int64_t i = 0; i < store->count; i++) {
        so_weight *w = store->weight[i];
        if (w->multiplies && (!group || strcmp(w->group, group) == 0))
            SO_TRY(so_tensor_halve(&w->tensor, &store->memory, pool, error));
    }
    return SO_OK;
}
