/* Text to ids: special tokens, pieces, merges.
 *
 * The merges of a piece run over a linked list of its symbols with a heap of candidate pairs, so that one piece of n
 * bytes takes n log n steps whatever it holds.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/grow.h"
#include "text/table.h"

#define TEXT_BYTES_MAX ((size_t)1 << 30)

/* A symbol begins at every byte that has id >= 0; byte `next` is where it ends and the next begins. */
typedef struct symbol {
    int32_t id, previous, next;
} symbol;

typedef struct candidate {
    int32_t rank, at, left, right, joined;
} candidate;

typedef struct encoder {
    const so_tokenizer *t;
    so_ids *ids;
    symbol *symbols;
    candidate *heap;
    size_t heap_n, symbols_capacity, heap_capacity;
} encoder;

static bool before(const candidate *a, const candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

/* The heap has room: a piece of n bytes makes at most n - 1 candidates at first, and each of at most
 * n - 1 merges takes one out and puts two in. */
static void heap_push(encoder *e, candidate c)
{
    size_t i = e->heap_n++;
    for (; i > 0 && before(&c, &e->heap[(i - 1) / 2]); i = (i - 1) / 2) e->heap[i] = e->heap[(i - 1) / 2];
    e->heap[i] = c;
}

static candidate heap_pop(encoder *e)
{
    candidate top = e->heap[0], last = e->heap[--e->heap_n];
    size_t i = 0, child;
    while ((child = 2 * i + 1) < e->heap_n) {
        if (child + 1 < e->heap_n && before(&e->heap[child + 1], &e->heap[child])) child++;
        if (!before(&e->heap[child], &last)) break;
        e->heap[i] = e->heap[child];
        i = child;
    }
    e->heap[i] = last;
    return top;
}

static void consider(encoder *e, const char *bytes, int32_t size, int32_t at)
{
    const so_tokenizer *t = e->t;
    int32_t middle = e->symbols[at].next;
    if (middle >= size) return;
    int32_t left = e->symbols[at].id, right = e->symbols[middle].id, end = e->symbols[middle].next;
    if (t->merges) {
        const so_merge_slot *slot = so_merge_lookup(t, left, right);
        if (slot) heap_push(e, (candidate){slot->rank, at, left, right, slot->joined});
    } else if ((size_t)(end - at) <= t->longest) {
        int32_t joined = so_token_lookup(t, &t->normal, bytes + at, (size_t)(end - at));
        if (joined >= 0) heap_push(e, (candidate){joined, at, left, right, joined});
    }
}

static so_status reserve(encoder *e, size_t size, so_error *error)
{
    symbol *symbols = so_grow_to(e->symbols, &e->symbols_capacity, size + 1, sizeof *symbols);
    if (symbols) e->symbols = symbols;
    candidate *heap = so_grow_to(e->heap, &e->heap_capacity, 2 * size, sizeof *heap);
    if (heap) e->heap = heap;
    if (!symbols || !heap) return so_fail(error, SO_ERR_NOMEM, "no memory for the merges of %zu bytes", size);
    return SO_OK;
}

static so_status merge_piece(encoder *e, const char *bytes, size_t length, so_error *error)
{
    SO_TRY(reserve(e, length, error));
    symbol *s = e->symbols;
    int32_t size = (int32_t)length;
    e->heap_n = 0;
    for (int32_t i = 0; i < size; i++) s[i] = (symbol){e->t->of_byte[(unsigned char)bytes[i]], i - 1, i + 1};
    for (int32_t i = 0; i < size; i++) consider(e, bytes, size, i);
    while (e->heap_n) {
        candidate c = heap_pop(e);
        int32_t middle = s[c.at].next;
        if (s[c.at].id != c.left || middle >= size || s[middle].id != c.right)
            continue; /* joined otherwise meanwhile */
        s[c.at].id = c.joined;
        s[c.at].next = s[middle].next;
        s[middle].id = -1;
        if (s[c.at].next < size) s[s[c.at].next].previous = c.at;
        if (s[c.at].previous >= 0) consider(e, bytes, size, s[c.at].previous);
        consider(e, bytes, size, c.at);
    }
    for (int32_t i = 0; i < size; i = s[i].next) SO_TRY(so_ids_put(e->ids, s[i].id, error));
    return SO_OK;
}

static so_status encode_piece(void *context, const char *bytes, size_t size, so_error *error)
{
    encoder *e = context;
    if (e->t->whole_pieces && size <= e->t->longest) {
        int32_t id = so_token_lookup(e->t, &e->t->normal, bytes, size);
        if (id >= 0) return so_ids_put(e->ids, id, error);
    }
    return merge_piece(e, bytes, size, error);
}

/* The longest added token of the wanted kinds at the front of `text`, or -1; `*length` gets its bytes. */
static int32_t match_added(const so_tokenizer *t, const char *text, size_t size, unsigned flags, size_t *length)
{
    int32_t found = -1;
    int32_t node = t->trie_first[(unsigned char)text[0]];
    for (size_t i = 1; node; i++) {
        int32_t id = t->trie[node].id;
        if (id >= 0 && (flags & (t->kinds[id] == SO_TOKEN_SPECIAL ? SO_ENCODE_SPECIAL : SO_ENCODE_ADDED))) {
            found = id;
            *length = i;
        }
        if (i == size) break;
        node = t->trie[node].child;
        while (node && t->trie[node].byte != (unsigned char)text[i]) node = t->trie[node].sibling;
    }
    return found;
}

static so_status encode_valid(encoder *e, const char *text, size_t size, unsigned flags, so_error *error)
{
    size_t from = 0;
    for (size_t at = 0; at < size && (flags & (SO_ENCODE_SPECIAL | SO_ENCODE_ADDED));) {
        size_t length = 0;
        int32_t id = match_added(e->t, text + at, size - at, flags, &length);
        if (id < 0) {
            at++;
            continue;
        }
        SO_TRY(so_pattern_split(e->t->code, text + from, at - from, encode_piece, e, error));
        SO_TRY(so_ids_put(e->ids, id, error));
        from = at += length;
    }
    return so_pattern_split(e->t->code, text + from, size - from, encode_piece, e, error);
}

so_status so_tokenizer_encode(const so_tokenizer *t, const char *text, size_t size, unsigned flags, so_ids *ids,
                              so_error *error)
{
    so_status status;
    so_string repaired = {0};
    encoder e = {.t = t, .ids = ids};
    if (size > TEXT_BYTES_MAX) return so_fail(error, SO_ERR_LIMIT, "a text of %zu bytes, more than 1 GiB", size);
    if (flags & SO_ENCODE_BOS && t->add_bos) SO_TRY(so_ids_put(ids, t->names.bos, error));
    if (so_utf8_valid(text, size)) {
        status = encode_valid(&e, text, size, flags, error);
    } else {
        SO_TRY_GO(so_utf8_add_lossy(&repaired, text, size, error));
        SO_TRY_GO(encode_valid(&e, repaired.data, repaired.size, flags, error));
    }
done:
    free(e.symbols);
    free(e.heap);
    so_string_clear(&repaired);
    return status;
}
