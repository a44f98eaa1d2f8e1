/* A subset of Python pickles: the machine.
 * SPDX-License-Identifier: Apache-2.0 */
#include "formats/pickle.h"

#include <stdlib.h>
#include <string.h>

#include "base/grow.h"

enum { SIZE_LIMIT = 1 << 24, MARK = -1, UNSET = -2 };

/* Things a pickle may name. Storages follow the two callables, their element type beside them. */
enum { REBUILD_TENSOR, ORDERED_DICT, FIRST_STORAGE };
static const struct {
    const char *module, *name;
    so_type type;
} globals[] = {
    {"torch._utils", "_rebuild_tensor_v2", SO_F32},
    {"collections", "OrderedDict", SO_F32},
    {"torch", "FloatStorage", SO_F32},
    {"torch", "HalfStorage", SO_F16},
    {"torch", "BFloat16Storage", SO_BF16},
    {"torch", "IntStorage", SO_I32},
    {"torch", "LongStorage", SO_I64},
    {"torch", "ByteStorage", SO_U8},
    {"torch", "BoolStorage", SO_U8},
    {"torch", "DoubleStorage", SO_F64},
};
enum { GLOBALS = sizeof globals / sizeof *globals };

typedef struct machine {
    so_pickle *out;
    const unsigned char *data;
    size_t at, size;
    int32_t *stack, *memo;
    int64_t n_stack, stack_capacity, n_memo;
    so_error *error;
} machine;

static so_status broken(machine *m, const char *what)
{
    return so_fail(m->error, SO_ERR_FORMAT, "pickle: %s before byte %zu of %zu", what, m->at, m->size);
}

static so_status push(machine *m, int32_t value)
{
    SO_TRY(so_grow(&m->stack, m->n_stack, &m->stack_capacity, sizeof *m->stack, m->error));
    m->stack[m->n_stack++] = value;
    return SO_OK;
}

/* Takes a value (not a mark) from the stack. */
static so_status pop(machine *m, int32_t *value)
{
    *value = 0;
    if (m->n_stack == 0 || m->stack[m->n_stack - 1] == MARK) return broken(m, "a value is missing on the stack");
    *value = m->stack[--m->n_stack];
    return SO_OK;
}

static so_pickle_value *get(machine *m, int32_t value) { return &m->out->value[value]; }

static so_status push_new(machine *m, so_pickle_value value)
{
    so_pickle *out = m->out;
    SO_TRY(so_grow(&out->value, out->n_values, &out->values_capacity, sizeof *out->value, m->error));
    SO_TRY(push(m, (int32_t)out->n_values));
    out->value[out->n_values++] = value;
    return SO_OK;
}

static so_status container(machine *m, so_pickle_kind kind)
{
    return push_new(m, (so_pickle_value){.kind = kind, .items = {0}});
}

static so_status push_int(machine *m, so_pickle_kind kind, int64_t i)
{
    return push_new(m, (so_pickle_value){.kind = kind, .i = i});
}

static so_status take(machine *m, size_t bytes, so_span *text)
{
    if (bytes > m->size - m->at) {
        *text = (so_span){0};
        return broken(m, "the pickle ends inside an instruction");
    }
    *text = (so_span){(const char *)m->data + m->at, bytes};
    m->at += bytes;
    return SO_OK;
}

/* A little-endian number of 1, 2, 4 or 8 bytes. */
static so_status take_number(machine *m, size_t bytes, uint64_t *number)
{
    so_span text;
    *number = 0;
    SO_TRY(take(m, bytes, &text));
    memcpy(number, text.data, bytes);
    return SO_OK;
}

static so_status take_line(machine *m, so_span *line)
{
    const unsigned char *end = memchr(m->data + m->at, '\n', m->size - m->at);
    *line = (so_span){0};
    if (!end) return broken(m, "a line has no end");
    SO_TRY(take(m, (size_t)(end - (m->data + m->at)), line));
    m->at++;
    return SO_OK;
}

static so_status push_string(machine *m, size_t length_bytes)
{
    uint64_t length;
    so_pickle_value value = {.kind = SO_PICKLE_STRING};
    SO_TRY(take_number(m, length_bytes, &length));
    if (length > m->size - m->at) return broken(m, "a string is longer than the pickle");
    SO_TRY(take(m, (size_t)length, &value.s));
    return push_new(m, value);
}

static so_status push_long(machine *m)
{
    uint64_t bytes, number;
    SO_TRY(take_number(m, 1, &bytes));
    if (bytes > 8)
        return so_fail(m->error, SO_ERR_UNSUPPORTED, "pickle: an integer of %d bytes, expected at most 8", (int)bytes);
    SO_TRY(take_number(m, (size_t)bytes, &number));
    if (bytes > 0 && bytes < 8 && number >> (8 * bytes - 1)) number |= UINT64_MAX << 8 * bytes;
    return push_int(m, SO_PICKLE_INT, (int64_t)number);
}

static so_status push_float(machine *m)
{
    uint64_t bits;
    so_pickle_value value = {.kind = SO_PICKLE_FLOAT};
    SO_TRY(take_number(m, 8, &bits));
    bits = __builtin_bswap64(bits);
    memcpy(&value.f, &bits, 8);
    return push_new(m, value);
}

static int same(so_span text, const char *string)
{
    return text.length == strlen(string) && memcmp(text.data, string, text.length) == 0;
}

static so_status push_global(machine *m, so_span module, so_span name)
{
    for (int i = 0; i < GLOBALS; i++)
        if (same(module, globals[i].module) && same(name, globals[i].name))
            return push_new(m, (so_pickle_value){.kind = SO_PICKLE_GLOBAL, .global = i});
    return so_fail(m->error, SO_ERR_UNSUPPORTED, "pickle: it asks for '%.*s.%.*s', expected tensors and containers",
                   SO_SPAN_ARGS(module), SO_SPAN_ARGS(name));
}

static so_status stack_global(machine *m)
{
    int32_t name, module;
    SO_TRY(pop(m, &name));
    SO_TRY(pop(m, &module));
    if (get(m, name)->kind != SO_PICKLE_STRING || get(m, module)->kind != SO_PICKLE_STRING)
        return broken(m, "a global is not named by strings");
    return push_global(m, get(m, module)->s, get(m, name)->s);
}

/* Moves the top `n` of the stack into a container. */
static so_status append(machine *m, so_pickle_items *items, int64_t n)
{
    SO_TRY(so_grow_by(&items->item, items->n, n, &items->capacity, sizeof *items->item, m->error));
    if (n) memcpy(items->item + items->n, m->stack + m->n_stack - n, (size_t)n * sizeof *items->item);
    items->n += n;
    m->n_stack -= n;
    return SO_OK;
}

static so_status make_tuple(machine *m, int64_t n)
{
    for (int64_t i = 1; i <= n; i++)
        if (m->n_stack < i || m->stack[m->n_stack - i] == MARK) return broken(m, "a tuple lacks items");
    so_pickle_value value = {.kind = SO_PICKLE_TUPLE};
    SO_TRY(append(m, &value.items, n));
    so_status status = push_new(m, value);
    if (status != SO_OK) free(value.items.item);
    return status;
}

/* Number of values above the topmost mark, or -1. */
static int64_t above_mark(const machine *m)
{
    int64_t i = m->n_stack;
    while (i > 0 && m->stack[i - 1] != MARK) i--;
    return i ? m->n_stack - i : -1;
}

static so_status mark_tuple(machine *m)
{
    int64_t n = above_mark(m);
    if (n < 0) return broken(m, "no mark for a tuple");
    SO_TRY(make_tuple(m, n));
    m->stack[m->n_stack - 2] = m->stack[m->n_stack - 1]; /* over the mark */
    m->n_stack--;
    return SO_OK;
}

/* Adds the top `n` values, above a mark or not, to the list or dict below them. */
static so_status add_items(machine *m, so_pickle_kind kind, int64_t n, int marked)
{
    int64_t at = m->n_stack - n - marked - 1;
    if (n < 0 || at < 0 || m->stack[at] == MARK || get(m, m->stack[at])->kind != kind ||
        (kind == SO_PICKLE_DICT && n % 2))
        return broken(m, "items are added to what is not their container");
    for (int64_t i = 1; i <= n; i++)
        if (m->stack[m->n_stack - i] == MARK) return broken(m, "an item is missing");
    SO_TRY(append(m, &get(m, m->stack[at])->items, n));
    m->n_stack -= marked;
    return SO_OK;
}

static so_status memo_put(machine *m, uint64_t index)
{
    if (m->n_stack == 0 || m->stack[m->n_stack - 1] == MARK) return broken(m, "nothing to remember");
    if (index > m->size) return broken(m, "a memo number beyond the pickle's size"); /* bounds the memory */
    if ((int64_t)index >= m->n_memo) {
        int64_t n = (int64_t)index + 1 > m->n_memo * 2 ? (int64_t)index + 1 : m->n_memo * 2;
        int32_t *grown = realloc(m->memo, (size_t)n * sizeof *grown);
        if (!grown) return so_fail(m->error, SO_ERR_NOMEM, "pickle: no memory for a memo of %lld", (long long)n);
        for (int64_t i = m->n_memo; i < n; i++) grown[i] = UNSET;
        m->memo = grown;
        m->n_memo = n;
    }
    m->memo[index] = m->stack[m->n_stack - 1];
    return SO_OK;
}

static so_status memo_get(machine *m, uint64_t index)
{
    if (index >= (uint64_t)m->n_memo || m->memo[index] == UNSET) return broken(m, "an unknown memo number");
    return push(m, m->memo[index]);
}

/* The item `i` of a tuple if it has that kind, else NULL. */
static so_pickle_value *item(machine *m, int32_t tuple, int64_t i, so_pickle_kind kind)
{
    so_pickle_value *t = get(m, tuple);
    if (t->kind != SO_PICKLE_TUPLE || i >= t->items.n) return NULL;
    so_pickle_value *value = get(m, t->items.item[i]);
    return value->kind == kind ? value : NULL;
}

/* ('storage', class, key, device, number of elements) */
static so_status persistent_id(machine *m)
{
    int32_t id;
    SO_TRY(pop(m, &id));
    so_pickle_value *what = item(m, id, 0, SO_PICKLE_STRING), *class = item(m, id, 1, SO_PICKLE_GLOBAL);
    so_pickle_value *key = item(m, id, 2, SO_PICKLE_STRING), *n = item(m, id, 4, SO_PICKLE_INT);
    if (!what || !same(what->s, "storage") || !class || class->global < FIRST_STORAGE || !key || !n || n->i < 0)
        return broken(m, "a persistent id that is not a storage");
    so_pickle_value value = {.kind = SO_PICKLE_STORAGE, .elements = n->i};
    value.storage.key = key->s;
    value.storage.type = (int32_t)globals[class->global].type;
    return push_new(m, value);
}

static so_status read_sizes(machine *m, const so_pickle_value *tuple, int64_t *size)
{
    for (int64_t i = 0; i < tuple->items.n; i++) {
        const so_pickle_value *v = get(m, tuple->items.item[i]);
        if (v->kind != SO_PICKLE_INT || v->i < 0) return broken(m, "a tensor's size or stride is not a number");
        size[i] = v->i;
    }
    return SO_OK;
}

/* (storage, offset, size, stride, requires_grad, backward hooks[, metadata]) */
static so_status rebuild_tensor(machine *m, int32_t args)
{
    so_pickle *out = m->out;
    so_pickle_value *storage = item(m, args, 0, SO_PICKLE_STORAGE), *offset = item(m, args, 1, SO_PICKLE_INT);
    so_pickle_value *size = item(m, args, 2, SO_PICKLE_TUPLE), *stride = item(m, args, 3, SO_PICKLE_TUPLE);
    if (!storage || !offset || offset->i < 0 || !size || !stride || size->items.n != stride->items.n)
        return broken(m, "a tensor is not made of storage, offset, size and stride");
    if (size->items.n > SO_VIEW_DIMS)
        return so_fail(m->error, SO_ERR_UNSUPPORTED, "pickle: a tensor of %lld dimensions, expected at most %d",
                       (long long)size->items.n, SO_VIEW_DIMS);
    so_pickle_tensor tensor = {(int32_t)(storage - out->value), (int)size->items.n, offset->i, {0}, {0}};
    SO_TRY(read_sizes(m, size, tensor.dim));
    SO_TRY(read_sizes(m, stride, tensor.stride));
    SO_TRY(so_grow(&out->tensor, out->n_tensors, &out->tensors_capacity, sizeof *out->tensor, m->error));
    out->tensor[out->n_tensors++] = tensor;
    return push_int(m, SO_PICKLE_TENSOR, out->n_tensors - 1);
}

static so_status reduce(machine *m)
{
    int32_t args, callable;
    SO_TRY(pop(m, &args));
    SO_TRY(pop(m, &callable));
    const so_pickle_value *c = get(m, callable), *a = get(m, args);
    if (c->kind != SO_PICKLE_GLOBAL || a->kind != SO_PICKLE_TUPLE) return broken(m, "a call of what is no function");
    if (c->global == REBUILD_TENSOR) return rebuild_tensor(m, args);
    if (c->global == ORDERED_DICT && a->items.n == 0) return container(m, SO_PICKLE_DICT);
    return so_fail(m->error, SO_ERR_UNSUPPORTED, "pickle: a call of %s.%s with %lld arguments",
                   globals[c->global].module, globals[c->global].name, (long long)a->items.n);
}

/* An ordered dict may carry attributes (a state dict's _metadata): they are dropped. */
static so_status build(machine *m)
{
    int32_t state;
    SO_TRY(pop(m, &state));
    if (m->n_stack == 0 || m->stack[m->n_stack - 1] == MARK ||
        get(m, m->stack[m->n_stack - 1])->kind != SO_PICKLE_DICT || get(m, state)->kind != SO_PICKLE_DICT)
        return broken(m, "attributes for what is not a dict");
    return SO_OK;
}

static so_status protocol(machine *m)
{
    uint64_t version;
    SO_TRY(take_number(m, 1, &version));
    if (version < 2 || version > 5)
        return so_fail(m->error, SO_ERR_UNSUPPORTED, "pickle: protocol %llu, expected 2 to 5",
                       (unsigned long long)version);
    return SO_OK;
}

static so_status named_global(machine *m)
{
    so_span module, name;
    SO_TRY(take_line(m, &module));
    SO_TRY(take_line(m, &name));
    return push_global(m, module, name);
}

static so_status integer(machine *m, size_t bytes)
{
    uint64_t number;
    SO_TRY(take_number(m, bytes, &number));
    return push_int(m, SO_PICKLE_INT, bytes == 4 ? (int64_t)(int32_t)number : (int64_t)number);
}

static so_status from_memo(machine *m, size_t bytes)
{
    uint64_t index;
    SO_TRY(take_number(m, bytes, &index));
    return memo_get(m, index);
}

static so_status to_memo(machine *m, size_t bytes)
{
    uint64_t index;
    SO_TRY(take_number(m, bytes, &index));
    return memo_put(m, index);
}

/* MEMOIZE takes the next free number, which counting up finds. */
static so_status memoize(machine *m, int64_t *next)
{
    SO_TRY(memo_put(m, (uint64_t)*next));
    ++*next;
    return SO_OK;
}

static so_status step(machine *m, int opcode, int64_t *next_memo)
{
    so_span skipped;
    switch (opcode) {
    case 0x80:
        return protocol(m);
    case 0x95:
        return take(m, 8, &skipped); /* FRAME */
    case '(':
        return push(m, MARK);
    case ')':
        return make_tuple(m, 0);
    case 0x85:
        return make_tuple(m, 1);
    case 0x86:
        return make_tuple(m, 2);
    case 0x87:
        return make_tuple(m, 3);
    case 't':
        return mark_tuple(m);
    case ']':
        return container(m, SO_PICKLE_LIST);
    case 'a':
        return add_items(m, SO_PICKLE_LIST, 1, 0);
    case 'e':
        return add_items(m, SO_PICKLE_LIST, above_mark(m), 1);
    case '}':
        return container(m, SO_PICKLE_DICT);
    case 's':
        return add_items(m, SO_PICKLE_DICT, 2, 0);
    case 'u':
        return add_items(m, SO_PICKLE_DICT, above_mark(m), 1);
    case 'N':
        return push_int(m, SO_PICKLE_NONE, 0);
    case 0x88:
        return push_int(m, SO_PICKLE_BOOL, 1);
    case 0x89:
        return push_int(m, SO_PICKLE_BOOL, 0);
    case 'K':
        return integer(m, 1);
    case 'M':
        return integer(m, 2);
    case 'J':
        return integer(m, 4);
    case 0x8a:
        return push_long(m);
    case 'G':
        return push_float(m);
    case 0x8c:
        return push_string(m, 1);
    case 'X':
        return push_string(m, 4);
    case 0x8d:
        return push_string(m, 8);
    case 'q':
        return to_memo(m, 1);
    case 'r':
        return to_memo(m, 4);
    case 0x94:
        return memoize(m, next_memo);
    case 'h':
        return from_memo(m, 1);
    case 'j':
        return from_memo(m, 4);
    case 'c':
        return named_global(m);
    case 0x93:
        return stack_global(m);
    case 'Q':
        return persistent_id(m);
    case 'R':
        return reduce(m);
    case 'b':
        return build(m);
    default:
        return so_fail(m->error, SO_ERR_UNSUPPORTED, "pickle: instruction 0x%02x at byte %zu", opcode, m->at - 1);
    }
}

static so_status run(machine *m)
{
    int64_t next_memo = 0;
    for (;;) {
        if (m->at >= m->size) return broken(m, "no end");
        int opcode = m->data[m->at++];
        if (opcode == '.') break;
        SO_TRY(step(m, opcode, &next_memo));
    }
    if (m->n_stack != 1 || m->stack[0] == MARK) return broken(m, "not exactly one value at the end");
    m->out->root = m->stack[0];
    return SO_OK;
}

so_status so_pickle_init(so_pickle *pickle, so_span data, so_error *error)
{
    memset(pickle, 0, sizeof *pickle);
    if (data.length > SIZE_LIMIT)
        return so_fail(error, SO_ERR_LIMIT, "pickle: %zu bytes, expected at most %d", data.length, SIZE_LIMIT);
    machine m = {.out = pickle, .data = (const unsigned char *)data.data, .size = data.length, .error = error};
    so_status status = run(&m);
    free(m.stack);
    free(m.memo);
    return status;
}

void so_pickle_clear(so_pickle *pickle)
{
    for (int64_t i = 0; i < pickle->n_values; i++) {
        so_pickle_kind kind = pickle->value[i].kind;
        if (kind == SO_PICKLE_TUPLE || kind == SO_PICKLE_LIST || kind == SO_PICKLE_DICT)
            free(pickle->value[i].items.item);
    }
    free(pickle->value);
    free(pickle->tensor);
    memset(pickle, 0, sizeof *pickle);
}
