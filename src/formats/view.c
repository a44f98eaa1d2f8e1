/* Views and their table.
 * SPDX-License-Identifier: Apache-2.0 */
#include "formats/view.h"
#include "base/own.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "stored tensors are little-endian and used in place");

const so_view *so_views_find(const so_views *views, const char *name)
{
    int64_t i = so_names_find(&views->names, so_span_of(name));
    return i < 0 ? NULL : &views->view[i];
}

so_status so_views_add(so_views *views, so_span name, const so_view *view, so_error *error)
{
    SO_TRY(so_name_check(name, error));
    if (so_names_find(&views->names, name) >= 0)
        return so_fail(error, SO_ERR_FORMAT, "tensor '%.*s' appears twice", SO_SPAN_ARGS(name));
    SO_TRY(so_grow(&views->view, views->count, &views->capacity, sizeof *views->view, error));
    char *copy = malloc(name.length + 1);
    if (!copy) return so_fail(error, SO_ERR_NOMEM, "no memory for a name");
    memcpy(copy, name.data, name.length);
    copy[name.length] = 0;
    so_status status = so_names_add(&views->names, (so_span){copy, name.length}, error);
    if (status != SO_OK) {
        free(copy);
        return status;
    }
    views->view[views->count] = *view;
    views->view[views->count++].name = copy;
    return SO_OK;
}

bool so_views_owns(const so_views *views, const so_view *view)
{
    for (int64_t i = 0; i < views->n_owned; i++)
        if (views->owned[i] == view->data) return true;
    return false;
}

void *so_views_own(so_views *views, size_t bytes)
{
    if (so_grow(&views->owned, views->n_owned, &views->owned_capacity, sizeof *views->owned, NULL) != SO_OK)
        return NULL;
    void *block = malloc(bytes ? bytes : 1);
    if (block) views->owned[views->n_owned++] = block;
    return block;
}

static size_t boundary(so_type type)
{
    const so_type_info *info = so_type_about(type);
    return info->block == 1 ? (size_t)info->bytes : 2;
}

so_status so_views_align(so_views *views, so_error *error)
{
    for (int64_t i = 0; i < views->count; i++) {
        so_view *view = &views->view[i];
        if (!view->bytes || (uintptr_t)view->data % boundary(view->type) == 0) continue;
        void *copy = so_views_own(views, view->bytes);
        if (!copy) return so_fail(error, SO_ERR_NOMEM, "no memory for %zu bytes of '%s'", view->bytes, view->name);
        memcpy(copy, view->data, view->bytes);
        view->data = copy;
    }
    return SO_OK;
}

void so_views_clear(so_views *views)
{
    for (int64_t i = 0; i < views->count; i++) free(so_mutable(views->view[i].name));
    for (int64_t i = 0; i < views->n_owned; i++) free(views->owned[i]);
    free(views->view);
    free(views->owned);
    so_names_clear(&views->names);
    memset(views, 0, sizeof *views);
}

int64_t so_view_elements(const so_view *view)
{
    int64_t n = 1;
    for (int i = 0; i < view->n_dims; i++) n *= view->dim[i];
    return n;
}

so_status so_view_measure(so_view *view, so_span name, so_error *error)
{
    if (view->n_dims < 0 || view->n_dims > SO_VIEW_DIMS)
        return so_fail(error, SO_ERR_FORMAT, "tensor '%.*s' has %d dimensions, expected at most %d", SO_SPAN_ARGS(name),
                       view->n_dims, SO_VIEW_DIMS);
    int64_t n = 1, empty = 0; /* an axis of 0 counts as 1 here, so that every partial product is known to fit */
    for (int i = 0; i < view->n_dims; i++) {
        if (view->dim[i] < 0)
            return so_fail(error, SO_ERR_FORMAT, "tensor '%.*s' has a dimension of %lld", SO_SPAN_ARGS(name),
                           (long long)view->dim[i]);
        if (view->dim[i] == 0)
            empty = 1;
        else if (__builtin_mul_overflow(n, view->dim[i], &n))
            return so_fail(error, SO_ERR_FORMAT, "tensor '%.*s' has more than 2^63 elements", SO_SPAN_ARGS(name));
    }
    const so_type_info *info = so_type_about(view->type);
    int64_t row = view->n_dims ? view->dim[view->n_dims - 1] : 1;
    if (row % info->block != 0)
        return so_fail(error, SO_ERR_FORMAT, "tensor '%.*s' of type %s has rows of %lld, expected a multiple of %d",
                       SO_SPAN_ARGS(name), info->name, (long long)row, info->block);
    view->bytes = 0;
    if (empty) return SO_OK;
    view->bytes = so_type_bytes(view->type, n);
    if (!view->bytes) return so_fail(error, SO_ERR_FORMAT, "tensor '%.*s' exceeds 2^63 bytes", SO_SPAN_ARGS(name));
    return SO_OK;
}

/* Length of the valid UTF-8 sequence at s, 0 if there is none. Source: RFC 3629. */
static size_t utf8(const unsigned char *s, size_t left)
{
    if (s[0] < 0x80) return 1;
    size_t n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4 || n > left) return 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80) return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f)) return 0;
    if ((s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f)) return 0;
    return n;
}

so_status so_name_check(so_span name, so_error *error)
{
    if (name.length < 1 || name.length > SO_VIEW_NAME_MAX)
        return so_fail(error, SO_ERR_FORMAT, "a name has %zu bytes, expected 1 to %d", name.length, SO_VIEW_NAME_MAX);
    const unsigned char *s = (const unsigned char *)name.data;
    for (size_t i = 0; i < name.length;) {
        size_t n = utf8(s + i, name.length - i);
        if (!n || s[i] < 0x20 || s[i] == 0x7f)
            return so_fail(error, SO_ERR_FORMAT, "a name has byte 0x%02x at %zu, expected printable UTF-8", s[i], i);
        i += n;
    }
    return SO_OK;
}

const char *so_view_describe(const so_view *view, char *text, size_t size)
{
    int at = snprintf(text, size, "%s [", so_type_about(view->type)->name);
    for (int i = 0; i < view->n_dims && at >= 0 && (size_t)at < size; i++)
        at += snprintf(text + at, size - (size_t)at, "%s%lld", i ? ", " : "", (long long)view->dim[i]);
    if (at >= 0 && (size_t)at < size) snprintf(text + at, size - (size_t)at, "]");
    return text;
}
