/* Copying tensors from maps into files.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "checkpoint/copy.h"

#include <stdlib.h>
#include <string.h>

#include "backend/kernels.h"
#include "base/quantise.h"

enum { BATCH = 16 << 20 /* bytes of the target */, SPAN = 1 << 14 /* elements that plain types change at a time */ };

so_status so_copy_add(so_copy_list *list, const char *name, const so_view *view, so_type type, int64_t heads,
                      so_error *error)
{
    SO_TRY(so_grow(&list->item, list->count, &list->capacity, sizeof *list->item, error));
    so_copy_item *item = &list->item[list->count];
    so_view target = *view;
    target.type = type;
    if (so_view_measure(&target, so_span_of(name), error) != SO_OK) return SO_ERR_SHAPE;
    if (heads && (view->n_dims != 2 || view->dim[0] % (2 * heads)))
        return so_fail(error, SO_ERR_SHAPE, "'%s' does not divide into %lld heads", name, (long long)heads);
    *item = (so_copy_item){.view = view, .type = type, .n_dims = view->n_dims, .heads = heads, .bytes = target.bytes};
    memcpy(item->dim, view->dim, sizeof item->dim);
    item->name = strdup(name);
    if (!item->name) return so_fail(error, SO_ERR_NOMEM, "no memory for a name");
    list->count++;
    return SO_OK;
}

void so_copy_clear(so_copy_list *list)
{
    for (int64_t i = 0; i < list->count; i++) free(list->item[i].name);
    free(list->item);
    *list = (so_copy_list){0};
}

/* A tensor as rows of equal length: those of its last axis, or spans of any length where no block is larger than one
 * element. */
typedef struct rows {
    const so_copy_item *item;
    int64_t elements, cols, count;
    size_t in_bytes, out_bytes; /* per row */
    bool same;                  /* rows are copied */
} rows;

static rows rows_of(const so_copy_item *item)
{
    const so_view *v = item->view;
    rows r = {.item = item, .elements = so_view_elements(v), .same = v->type == item->type && !item->lora};
    bool plain =
        !item->lora && so_type_about(v->type)->block == 1 && so_type_about(item->type)->block == 1 && !item->heads;
    r.cols = plain ? SPAN : v->n_dims ? v->dim[v->n_dims - 1] : 1;
    r.count = r.cols ? (r.elements + r.cols - 1) / r.cols : 0;
    r.in_bytes = so_type_bytes(v->type, r.cols);
    r.out_bytes = so_type_bytes(item->type, r.cols);
    return r;
}

/* Which stored row becomes row `r`. */
static int64_t source_row(const rows *all, int64_t r)
{
    int64_t heads = all->item->heads;
    if (!heads) return r;
    int64_t width = all->count / heads, within = r % width;
    return r - within + within % 2 * (width / 2) + within / 2;
}

/* Per thread: room for a row as it is stored (aligned) and as numbers. */
typedef struct worker {
    unsigned char *stored;
    float *number;
    so_error error;
    bool failed;
} worker;

typedef struct batch {
    const rows *rows;
    int64_t first, n, per_task;
    unsigned char *out;
    worker *worker;
} batch;

static void change_row(const rows *all, int64_t r, unsigned char *out, worker *b)
{
    const so_view *v = all->item->view;
    int64_t cols = r == all->count - 1 ? all->elements - r * all->cols : all->cols;
    const unsigned char *in = (const unsigned char *)v->data + (size_t)source_row(all, r) * all->in_bytes;
    if (all->same) {
        memcpy(out, in, so_type_bytes(v->type, cols));
        return;
    }
    memcpy(b->stored, in, so_type_bytes(v->type, cols));
    so_kernels_c()->row(v->type, b->stored, 0, cols, b->number);
    if (all->item->lora) so_adapter_add_row(all->item->lora, source_row(all, r), b->number);
    if (so_quantise_row_by(all->item->type, b->number, all->item->importance, cols, out, &b->error) == SO_OK) return;
    b->failed = true;
    so_fail_in(&b->error, "'%s', row %lld", v->name, (long long)r);
}

static void change_rows(void *p, int64_t task, int thread)
{
    const batch *b = p;
    worker *mine = &b->worker[thread];
    int64_t end = (task + 1) * b->per_task < b->n ? (task + 1) * b->per_task : b->n;
    for (int64_t r = task * b->per_task; r < end && !mine->failed; r++)
        change_row(b->rows, b->first + r, b->out + (size_t)r * b->rows->out_bytes, mine);
}

typedef struct copying {
    so_part part;
    so_copy_work *work;
    worker *worker;
    int threads;
    unsigned char *out;
    size_t room; /* bytes of out */
} copying;

static so_status make_room(copying *p, const rows *r, so_error *error)
{
    size_t row = r->out_bytes > BATCH ? r->out_bytes : BATCH;
    if (row > p->room) {
        unsigned char *larger = realloc(p->out, row);
        if (!larger) return so_fail(error, SO_ERR_NOMEM, "no memory for a row of '%s'", r->item->name);
        p->out = larger;
        p->room = row;
    }
    for (int i = 0; i < p->threads && !r->same; i++) {
        worker *b = &p->worker[i];
        free(b->stored);
        free(b->number);
        b->stored = malloc(r->in_bytes + 1);
        b->number = malloc((size_t)r->cols * sizeof *b->number + 1);
        if (!b->stored || !b->number) return so_fail(error, SO_ERR_NOMEM, "no memory for a row of '%s'", r->item->name);
    }
    return SO_OK;
}

static so_status step(copying *p, so_error *error)
{
    so_copy_work *w = p->work;
    return w->step ? w->step(w->context, w->before + (double)p->part.size, w->total, error) : SO_OK;
}

static so_status copy_rows(copying *p, const rows *r, so_error *error)
{
    SO_TRY(make_room(p, r, error));
    int64_t at_once = r->out_bytes ? (int64_t)(p->room / r->out_bytes) : r->count;
    for (int64_t first = 0; first < r->count; first += at_once) {
        int64_t n = r->count - first < at_once ? r->count - first : at_once;
        batch b = {r, first, n, (n + 4 * p->threads - 1) / (4 * p->threads), p->out, p->worker};
        so_pool_for(p->work->pool, (n + b.per_task - 1) / b.per_task, change_rows, &b);
        for (int i = 0; i < p->threads; i++)
            if (p->worker[i].failed) return so_fail(error, p->worker[i].error.status, "%s", p->worker[i].error.text);
        bool last = first + n == r->count;
        size_t bytes = last ? r->item->bytes - (size_t)first * r->out_bytes : (size_t)n * r->out_bytes;
        SO_TRY(so_part_put(&p->part, p->out, bytes, error));
        size_t read = (size_t)first * r->in_bytes,
               left = r->item->view->bytes - read; /* the last span may be shorter */
        size_t now = (size_t)n * r->in_bytes < left ? (size_t)n * r->in_bytes : left;
        if (r->item->mapped && !r->item->heads) so_map_forget((const char *)r->item->view->data + read, now);
        SO_TRY(step(p, error));
    }
    if (r->item->mapped && r->item->heads) so_map_forget(r->item->view->data, r->item->view->bytes);
    return SO_OK;
}

static so_status pad(copying *p, size_t bytes, size_t alignment, so_error *error)
{
    static const char zeros[64];
    return so_part_put(&p->part, zeros, (alignment - bytes % alignment) % alignment, error);
}

static so_status copy_items(copying *p, const so_copy_target *to, so_error *error)
{
    const so_copy_item *item = to->list->item + to->first;
    const size_t alignment = to->alignment;
    uint64_t at = to->head_bytes;
    for (int64_t i = 0; i < to->n; i++, item++) {
        uint64_t end = at + (item->bytes + alignment - 1) / alignment * alignment;
        if (end > p->part.size) {
            if (at < p->part.size) SO_TRY(so_part_cut(&p->part, at, error));
            rows r = rows_of(item);
            SO_TRY(copy_rows(p, &r, error));
            SO_TRY(pad(p, item->bytes, alignment, error));
        }
        at = end;
    }
    return SO_OK;
}

static uint64_t whole_size(const so_copy_target *to)
{
    const so_copy_item *item = to->list->item + to->first;
    uint64_t size = to->head_bytes;
    for (int64_t i = 0; i < to->n; i++) size += (item[i].bytes + to->alignment - 1) / to->alignment * to->alignment;
    return size;
}

static so_status copy(copying *p, const so_copy_target *to, so_error *error)
{
    uint64_t size = whole_size(to);
    if (p->part.size < to->head_bytes || p->part.size > size) {
        SO_TRY(so_part_cut(&p->part, 0, error));
        SO_TRY(so_part_room(&p->part, size, error));
        SO_TRY(so_part_put(&p->part, to->head, to->head_bytes, error));
    } else {
        SO_TRY(so_part_room(&p->part, size - p->part.size, error));
    }
    SO_TRY(step(p, error));
    return copy_items(p, to, error);
}

so_status so_copy_file(const so_copy_target *target, so_copy_work *work, so_error *error)
{
    copying p = {.work = work, .threads = so_pool_threads(work->pool)};
    SO_TRY(so_part_open(&p.part, target->path, target->identity, error));
    p.worker = calloc((size_t)p.threads, sizeof *p.worker);
    so_status status =
        p.worker ? copy(&p, target, error) : so_fail(error, SO_ERR_NOMEM, "no memory to write '%s'", target->path);
    if (status == SO_OK && work->trusted) status = work->trusted(work->source, error);
    if (status == SO_OK) {
        work->before += (double)p.part.size;
        status = so_part_commit(&p.part, error);
    } else if (status == SO_ERR_IO || status == SO_ERR_STOPPED) {
        so_part_close(&p.part);
    } else {
        so_part_drop(&p.part); /* the next run would stop at the same place */
    }
    for (int i = 0; i < p.threads && p.worker; i++) {
        free(p.worker[i].stored);
        free(p.worker[i].number);
    }
    free(p.worker);
    free(p.out);
    return status;
}
