/* Making a tokenizer from its parts, and looking things up in it.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "text/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/grow.h"
#include "text/build.h"
#include "text/table.h"

static so_status no_memory(so_error *error) { return so_fail(error, SO_ERR_NOMEM, "no memory for a tokenizer"); }

static uint32_t slots_for(int32_t n)
{
    uint32_t slots = 16;
    while (slots < 2u * (uint32_t)n) slots *= 2;
    return slots;
}

static so_status hash_init(so_token_hash *hash, int32_t n, so_error *error)
{
    uint32_t slots = slots_for(n);
    hash->slots = malloc(slots * sizeof *hash->slots);
    if (!hash->slots) return no_memory(error);
    memset(hash->slots, 0xff, slots * sizeof *hash->slots);
    hash->mask = slots - 1;
    return SO_OK;
}

static so_status hash_add(so_tokenizer *t, so_token_hash *hash, int32_t id, so_error *error)
{
    size_t size, length;
    const char *bytes = so_token_bytes(t, id, &size);
    uint64_t i = so_hash_bytes(bytes, size);
    for (; hash->slots[i & hash->mask] >= 0; i++) {
        int32_t other = hash->slots[i & hash->mask];
        const char *found = so_token_bytes(t, other, &length);
        if (length == size && memcmp(found, bytes, size) == 0)
            return so_fail(error, SO_ERR_FORMAT, "tokens %d and %d have the same bytes", other, id);
    }
    hash->slots[i & hash->mask] = id;
    return SO_OK;
}

static so_status trie_node(so_tokenizer *t, int32_t *out, so_error *error)
{
    so_trie_node *grown = so_grow_to(t->trie, &t->trie_capacity, t->trie_n + 1, sizeof *grown);
    if (!grown) return no_memory(error);
    t->trie = grown;
    *out = (int32_t)t->trie_n++;
    t->trie[*out] = (so_trie_node){.id = -1};
    return SO_OK;
}

static so_status trie_add(so_tokenizer *t, int32_t id, so_error *error)
{
    size_t size;
    const char *bytes = so_token_bytes(t, id, &size);
    int32_t node = 0;
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)bytes[i];
        int32_t child = t->trie[node].child;
        while (child && t->trie[child].byte != byte) child = t->trie[child].sibling;
        if (!child) {
            SO_TRY(trie_node(t, &child, error));
            t->trie[child].byte = byte;
            t->trie[child].sibling = t->trie[node].child;
            t->trie[node].child = child;
            if (node == 0) t->trie_first[byte] = child;
        }
        node = child;
    }
    t->trie[node].id = id;
    return SO_OK;
}

static so_status check_token(const so_tokenizer *t, int32_t id, so_error *error)
{
    if (t->ends[id] < (id ? t->ends[id - 1] : 0))
        return so_fail(error, SO_ERR_FORMAT, "token %d ends before it begins", id);
    size_t size;
    so_token_bytes(t, id, &size);
    if (t->kinds[id] > SO_TOKEN_SPECIAL) return so_fail(error, SO_ERR_FORMAT, "token %d of kind %d", id, t->kinds[id]);
    if ((size == 0) != (t->kinds[id] == SO_TOKEN_NONE) || size > SO_TOKEN_BYTES_MAX)
        return so_fail(error, SO_ERR_FORMAT, "token %d has %zu bytes, not 1 to %d", id, size, SO_TOKEN_BYTES_MAX);
    return SO_OK;
}

static so_status fill_hashes(so_tokenizer *t, so_error *error)
{
    int32_t normal = 0, added = 0, root;
    for (int32_t id = 0; id < t->n; id++) {
        SO_TRY(check_token(t, id, error));
        normal += t->kinds[id] == SO_TOKEN_NORMAL;
        added += t->kinds[id] > SO_TOKEN_NORMAL;
    }
    SO_TRY(hash_init(&t->normal, normal, error));
    SO_TRY(hash_init(&t->added, added, error));
    SO_TRY(trie_node(t, &root, error));
    for (int32_t id = 0; id < t->n; id++) {
        size_t size;
        so_token_bytes(t, id, &size);
        if (t->kinds[id] == SO_TOKEN_NORMAL) {
            SO_TRY(hash_add(t, &t->normal, id, error));
            if (size > t->longest) t->longest = size;
        } else if (t->kinds[id] > SO_TOKEN_NORMAL) {
            SO_TRY(hash_add(t, &t->added, id, error));
            SO_TRY(trie_add(t, id, error));
        }
    }
    for (int byte = 0; byte < 256; byte++) {
        char one = (char)byte;
        t->of_byte[byte] = so_token_lookup(t, &t->normal, &one, 1);
        if (t->of_byte[byte] < 0)
            return so_fail(error, SO_ERR_FORMAT, "a byte-level vocabulary without a token for byte 0x%02x",
                           (unsigned)byte);
    }
    return SO_OK;
}

static int32_t find_added(const so_tokenizer *t, const char *name)
{
    return so_token_lookup(t, &t->added, name, strlen(name));
}

static void find_names(so_tokenizer *t)
{
    so_token_names *names = &t->names;
    names->bos = find_added(t, "<|begin_of_text|>");
    names->eos = find_added(t, "<|end_of_text|>");
    names->blank = find_added(t, "<|reserved_special_token_0|>");
    names->start_header = find_added(t, "<|start_header_id|>");
    names->end_header = find_added(t, "<|end_header_id|>");
    names->eom = find_added(t, "<|eom_id|>");
    names->eot = find_added(t, "<|eot_id|>");
    names->first_unit = find_added(t, "<Audio_0>");
    names->units = 0;
    if (names->first_unit < 0) return;
    for (;; names->units++) {
        char name[32];
        snprintf(name, sizeof name, "<Audio_%d>", names->units);
        if (find_added(t, name) != names->first_unit + names->units) return;
    }
}

so_status so_build_start(so_tokenizer **out, const so_tokenizer_parts *parts, so_error *error)
{
    so_status status;
    *out = NULL;
    if (parts->n < 256 || parts->n > SO_TOKENS_MAX)
        return so_fail(error, SO_ERR_FORMAT, "%d tokens, expected 256 to %d", parts->n, SO_TOKENS_MAX);
    so_tokenizer *t = calloc(1, sizeof *t);
    if (!t) return no_memory(error);
    size_t n = (size_t)parts->n, size = parts->ends[n - 1];
    t->n = parts->n;
    t->add_bos = parts->add_bos;
    t->whole_pieces = parts->whole_pieces;
    t->bytes = malloc(size + 1);
    t->ends = malloc(n * sizeof *t->ends);
    t->kinds = malloc(n);
    t->pattern = strdup(parts->pattern);
    if (!t->bytes || !t->ends || !t->kinds || !t->pattern) {
        status = no_memory(error);
        goto done;
    }
    if (size) memcpy(t->bytes, parts->bytes, size);
    memcpy(t->ends, parts->ends, n * sizeof *t->ends);
    memcpy(t->kinds, parts->kinds, n);
    SO_TRY_GO(fill_hashes(t, error));
    SO_TRY_GO(so_pattern_compile(&t->code, t->pattern, error));
    find_names(t);
    if (t->add_bos && t->names.bos < 0)
        status = so_fail(error, SO_ERR_FORMAT, "a tokenizer that adds <|begin_of_text|> but has no such token");
done:
    if (status != SO_OK) so_tokenizer_close(&t);
    *out = t;
    return status;
}

static so_status add_merge(so_tokenizer *t, int32_t rank, so_error *error)
{
    char joined[2 * SO_TOKEN_BYTES_MAX];
    int32_t left = t->merges[rank][0], right = t->merges[rank][1];
    if (left < 0 || left >= t->n || right < 0 || right >= t->n || t->kinds[left] != SO_TOKEN_NORMAL ||
        t->kinds[right] != SO_TOKEN_NORMAL)
        return so_fail(error, SO_ERR_FORMAT, "merge %d joins %d and %d, which are not both of the vocabulary", rank,
                       left, right);
    size_t a, b;
    const char *x = so_token_bytes(t, left, &a), *y = so_token_bytes(t, right, &b);
    memcpy(joined, x, a);
    memcpy(joined + a, y, b);
    int32_t id = so_token_lookup(t, &t->normal, joined, a + b);
    if (id < 0) return so_fail(error, SO_ERR_FORMAT, "merge %d joins %d and %d to no token", rank, left, right);
    uint64_t i = so_hash_mix((uint64_t)(uint32_t)left << 32 | (uint32_t)right);
    for (; t->pairs[i & t->pair_mask].left >= 0; i++) {
        const so_merge_slot *slot = &t->pairs[i & t->pair_mask];
        if (slot->left == left && slot->right == right) return SO_OK; /* said twice: the first counts */
    }
    t->pairs[i & t->pair_mask] = (so_merge_slot){left, right, rank, id};
    return SO_OK;
}

so_status so_build_merges(so_tokenizer *t, int32_t (*merges)[2], int32_t n, so_error *error)
{
    t->merges = merges;
    t->n_merges = n;
    uint32_t slots = slots_for(n);
    t->pairs = malloc(slots * sizeof *t->pairs);
    if (!t->pairs) return no_memory(error);
    memset(t->pairs, 0xff, slots * sizeof *t->pairs);
    t->pair_mask = slots - 1;
    for (int32_t rank = 0; rank < n; rank++) SO_TRY(add_merge(t, rank, error));
    return SO_OK;
}

so_status so_tokenizer_build(so_tokenizer **out, const so_tokenizer_parts *parts, so_error *error)
{
    so_status status;
    so_tokenizer *t;
    *out = NULL;
    SO_TRY_GO(so_build_start(&t, parts, error));
    if (parts->merges) {
        if (parts->n_merges < 0 || parts->n_merges > SO_MERGES_MAX) {
            status = so_fail(error, SO_ERR_FORMAT, "%d merges, expected 0 to %d", parts->n_merges, SO_MERGES_MAX);
            goto done;
        }
        size_t bytes = (size_t)parts->n_merges * sizeof *parts->merges;
        int32_t(*merges)[2] = malloc(bytes + 1);
        if (!merges) {
            status = no_memory(error);
            goto done;
        }
        memcpy(merges, parts->merges, bytes);
        SO_TRY_GO(so_build_merges(t, merges, parts->n_merges, error));
    }
done:
    if (status != SO_OK) so_tokenizer_close(&t);
    *out = t;
    return status;
}

void so_tokenizer_close(so_tokenizer **tokenizer)
{
    so_tokenizer *t = *tokenizer;
    if (!t) return;
    free(t->bytes);
    free(t->ends);
    free(t->kinds);
    free(t->merges);
    free(t->pattern);
    free(t->normal.slots);
    free(t->added.slots);
    free(t->pairs);
    free(t->trie);
    pcre2_code_free(t->code);
    free(t);
    *tokenizer = NULL;
}

void so_tokenizer_parts_of(const so_tokenizer *t, so_tokenizer_parts *parts)
{
    *parts = (so_tokenizer_parts){
        .n = t->n,
        .bytes = t->bytes,
        .ends = t->ends,
        .kinds = t->kinds,
        .n_merges = t->n_merges,
        .merges = (const int32_t(*)[2])t->merges,
        .pattern = t->pattern,
        .add_bos = t->add_bos,
        .whole_pieces = t->whole_pieces,
    };
}

static int by_left(const void *a, const void *b)
{
    const int32_t *x = a, *y = b;
    return x[0] != y[0] ? (x[0] > y[0]) - (x[0] < y[0]) : (x[1] > y[1]) - (x[1] < y[1]);
}

so_status so_tokenizer_list_merges(const so_tokenizer *t, int32_t (**merges)[2], int32_t *n, so_error *error)
{
    size_t count = 0, capacity = 0;
    int32_t(*list)[2] = so_grow_to(NULL, &capacity, (size_t)t->n_merges + 1, sizeof *list);
    if (!list) return no_memory(error);
    if (t->merges) {
        count = (size_t)t->n_merges;
        memcpy(list, t->merges, count * sizeof *list);
    }
    for (int32_t id = 0; !t->merges && id < t->n; id++) {
        size_t size, first = count;
        const char *bytes = so_token_bytes(t, id, &size);
        if (t->kinds[id] != SO_TOKEN_NORMAL) continue;
        for (size_t cut = 1; cut < size; cut++) {
            int32_t left = so_token_lookup(t, &t->normal, bytes, cut);
            int32_t right = left < 0 ? -1 : so_token_lookup(t, &t->normal, bytes + cut, size - cut);
            if (right < 0) continue;
            int32_t(*grown)[2] = so_grow_to(list, &capacity, count + 1, sizeof *list);
            if (!grown) {
                free(list);
                return no_memory(error);
            }
            list = grown;
            list[count][0] = left;
            list[count++][1] = right;
        }
        qsort(list + first, count - first, sizeof *list, by_left);
    }
    if (count > SO_MERGES_MAX) {
        free(list);
        return so_fail(error, SO_ERR_LIMIT, "%zu merges, more than %d", count, SO_MERGES_MAX);
    }
    *merges = list;
    *n = (int32_t)count;
    return SO_OK;
}

int32_t so_tokenizer_size(const so_tokenizer *t) { return t->n; }

const so_token_names *so_tokenizer_names(const so_tokenizer *t) { return &t->names; }

so_token_kind so_tokenizer_kind(const so_tokenizer *t, int32_t id)
{
    return id < 0 || id >= t->n ? SO_TOKEN_NONE : (so_token_kind)t->kinds[id];
}

const char *so_tokenizer_piece(const so_tokenizer *t, int32_t id, size_t *size)
{
    *size = 0;
    return so_tokenizer_kind(t, id) == SO_TOKEN_NONE ? NULL : so_token_bytes(t, id, size);
}

int32_t so_tokenizer_find(const so_tokenizer *t, const char *bytes, size_t size)
{
    int32_t id = so_token_lookup(t, &t->added, bytes, size);
    return id >= 0 ? id : so_token_lookup(t, &t->normal, bytes, size);
}

int32_t so_tokenizer_unit_id(const so_tokenizer *t, int32_t unit)
{
    return unit >= 0 && unit < t->names.units ? t->names.first_unit + unit : -1;
}

int32_t so_tokenizer_unit_of(const so_tokenizer *t, int32_t id)
{
    int32_t first = t->names.first_unit;
    return first >= 0 && id >= first && id - first < t->names.units ? id - first : -1;
}
