/* Learning merges.
 *
 * Every different piece is kept once with its count. Each pair of neighbours has a count and the list of pieces where
 * it was seen; joining a pair visits only those. The heap of pairs is lazy: a popped pair whose count has fallen goes
 * back with the new count. For 10 MB of English the counting of pieces takes most of the time.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/bpe_train.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/grow.h"
#include "text/build.h"
#include "text/intern.h"
#include "text/table.h"

#define JOINED_BYTES_MAX 128

const char *const so_bpe_specials[] = {
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|reserved_special_token_0|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eom_id|>",
    "<|eot_id|>",
    NULL,
};

typedef struct pair {
    int32_t left, right; /* left is -1 in an empty slot of the table */
    int64_t count;
    int32_t *pieces; /* where it was seen; some may have lost it */
    size_t n, capacity;
} pair;

typedef struct ranked {
    int64_t count;
    int32_t left, right;
} ranked;

struct so_bpe_trainer {
    so_bpe_options options;
    pcre2_code *code;
    so_intern pieces, tokens;
    int64_t *counts; /* [pieces.n] */
    size_t counts_capacity;

    int32_t *symbols; /* of all pieces; piece i begins at starts[i] and has lengths[i] left */
    size_t *starts;
    int32_t *lengths;
    pair *pairs; /* open addressing, `pair_mask` + 1 slots */
    size_t n_pairs, pair_mask;
    ranked *heap;
    size_t heap_n, heap_capacity;
    int32_t (*merges)[2];
    size_t n_merges, merges_capacity;
};

static so_status no_memory(so_error *error)
{
    return so_fail(error, SO_ERR_NOMEM, "no memory for learning a vocabulary");
}

so_status so_bpe_trainer_open(so_bpe_trainer **out, const so_bpe_options *options, so_error *error)
{
    *out = NULL;
    if (options->pieces < 0 || options->pieces > options->size - 256)
        return so_fail(error, SO_ERR_ARG, "%d whole pieces in a vocabulary of %d tokens, of which 256 are bytes",
                       options->pieces, options->size);
    if (options->size < 256 || options->size > SO_TOKENS_MAX / 2 || options->units < 0 ||
        options->units > SO_TOKENS_MAX / 2)
        return so_fail(error, SO_ERR_ARG,
                       "a vocabulary of %d tokens and %d units; at least 256 bytes are needed, at most "
                       "%d of each",
                       options->size, options->units, SO_TOKENS_MAX / 2);
    so_bpe_trainer *b = calloc(1, sizeof *b);
    if (!b) return no_memory(error);
    b->options = *options;
    if (!b->options.pattern) b->options.pattern = SO_LLAMA3_PATTERN;
    if (!b->options.specials) b->options.specials = so_bpe_specials;
    so_status status = so_pattern_compile(&b->code, b->options.pattern, error);
    if (status != SO_OK) so_bpe_trainer_close(&b);
    *out = b;
    return status;
}

void so_bpe_trainer_close(so_bpe_trainer **trainer)
{
    so_bpe_trainer *b = *trainer;
    if (!b) return;
    for (size_t i = 0; b->pairs && i <= b->pair_mask; i++) free(b->pairs[i].pieces);
    pcre2_code_free(b->code);
    so_intern_clear(&b->pieces);
    so_intern_clear(&b->tokens);
    free(b->counts);
    free(b->symbols);
    free(b->starts);
    free(b->lengths);
    free(b->pairs);
    free(b->heap);
    free(b->merges);
    free(b);
    *trainer = NULL;
}

static so_status count_piece(void *context, const char *bytes, size_t size, so_error *error)
{
    so_bpe_trainer *b = context;
    int32_t index;
    size_t known = b->pieces.n;
    SO_TRY(so_intern_add(&b->pieces, bytes, size, &index, error));
    int64_t *counts = so_grow_to(b->counts, &b->counts_capacity, b->pieces.n, sizeof *counts);
    if (!counts) return no_memory(error);
    b->counts = counts;
    if (b->pieces.n > known) counts[index] = 0;
    counts[index]++;
    return SO_OK;
}

so_status so_bpe_trainer_feed(so_bpe_trainer *b, const char *text, size_t size, so_error *error)
{
    if (so_utf8_valid(text, size)) return so_pattern_split(b->code, text, size, count_piece, b, error);
    so_string repaired = {0};
    so_status status = so_utf8_add_lossy(&repaired, text, size, error);
    if (status == SO_OK) status = so_pattern_split(b->code, repaired.data, repaired.size, count_piece, b, error);
    so_string_clear(&repaired);
    return status;
}

static bool more(const ranked *a, const ranked *b)
{
    if (a->count != b->count) return a->count > b->count;
    return a->left != b->left ? a->left < b->left : a->right < b->right;
}

static so_status heap_push(so_bpe_trainer *b, ranked r, so_error *error)
{
    ranked *heap = so_grow_to(b->heap, &b->heap_capacity, b->heap_n + 1, sizeof *heap);
    if (!heap) return no_memory(error);
    b->heap = heap;
    size_t i = b->heap_n++;
    for (; i > 0 && more(&r, &heap[(i - 1) / 2]); i = (i - 1) / 2) heap[i] = heap[(i - 1) / 2];
    heap[i] = r;
    return SO_OK;
}

static ranked heap_pop(so_bpe_trainer *b)
{
    ranked *heap = b->heap, top = heap[0], last = heap[--b->heap_n];
    size_t i = 0, child;
    while ((child = 2 * i + 1) < b->heap_n) {
        if (child + 1 < b->heap_n && more(&heap[child + 1], &heap[child])) child++;
        if (!more(&heap[child], &last)) break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = last;
    return top;
}

static size_t pair_slot(const so_bpe_trainer *b, int32_t left, int32_t right)
{
    size_t i = so_hash_mix((uint64_t)(uint32_t)left << 32 | (uint32_t)right);
    for (;; i++) {
        const pair *p = &b->pairs[i & b->pair_mask];
        if (p->left < 0 || (p->left == left && p->right == right)) return i & b->pair_mask;
    }
}

static so_status make_pair_room(so_bpe_trainer *b, so_error *error)
{
    size_t old = b->pairs ? b->pair_mask + 1 : 0, slots = old ? 2 * old : 4096;
    if (2 * (b->n_pairs + 1) <= old) return SO_OK;
    pair *before = b->pairs, *grown = calloc(slots, sizeof *grown);
    if (!grown) return no_memory(error);
    for (size_t i = 0; i < slots; i++) grown[i].left = -1;
    b->pairs = grown;
    b->pair_mask = slots - 1;
    for (size_t i = 0; i < old; i++)
        if (before[i].left >= 0) grown[pair_slot(b, before[i].left, before[i].right)] = before[i];
    free(before);
    return SO_OK;
}

/* Changes a pair's count by what piece `piece` gained or lost of it. */
static so_status change(so_bpe_trainer *b, int32_t left, int32_t right, int32_t piece, int64_t by, so_error *error)
{
    SO_TRY(make_pair_room(b, error));
    pair *p = &b->pairs[pair_slot(b, left, right)];
    if (p->left < 0) {
        *p = (pair){.left = left, .right = right};
        b->n_pairs++;
    }
    p->count += by;
    if (by < 0 || (p->n && p->pieces[p->n - 1] == piece)) return SO_OK;
    int32_t *pieces = so_grow_to(p->pieces, &p->capacity, p->n + 1, sizeof *pieces);
    if (!pieces) return no_memory(error);
    p->pieces = pieces;
    pieces[p->n++] = piece;
    return SO_OK;
}

static so_status start_symbols(so_bpe_trainer *b, so_error *error)
{
    size_t n = b->pieces.n, bytes = b->pieces.bytes.size;
    b->symbols = malloc((bytes + 1) * sizeof *b->symbols);
    b->starts = malloc((n + 1) * sizeof *b->starts);
    b->lengths = malloc((n + 1) * sizeof *b->lengths);
    if (!b->symbols || !b->starts || !b->lengths) return no_memory(error);
    for (size_t i = 0; i < bytes; i++) b->symbols[i] = (unsigned char)b->pieces.bytes.data[i];
    for (size_t i = 0; i < n; i++) {
        size_t size;
        so_intern_get(&b->pieces, (int32_t)i, &size);
        b->starts[i] = i ? b->pieces.ends[i - 1] : 0;
        b->lengths[i] = (int32_t)size;
        const int32_t *s = b->symbols + b->starts[i];
        for (size_t k = 1; k < size; k++) SO_TRY(change(b, s[k - 1], s[k], (int32_t)i, b->counts[i], error));
    }
    for (size_t i = 0; b->pairs && i <= b->pair_mask; i++)
        if (b->pairs[i].left >= 0)
            SO_TRY(heap_push(b, (ranked){b->pairs[i].count, b->pairs[i].left, b->pairs[i].right}, error));
    return SO_OK;
}

/* Joins the pair wherever piece `piece` has it. New pairs that arise go to the end of `fresh`. */
static so_status join_in(so_bpe_trainer *b, int32_t piece, int32_t left, int32_t right, int32_t joined, so_ids *fresh,
                         so_error *error)
{
    int32_t *s = b->symbols + b->starts[piece], n = b->lengths[piece], put = 0;
    int64_t count = b->counts[piece];
    for (int32_t at = 0; at < n;) {
        if (at + 1 >= n || s[at] != left || s[at + 1] != right) {
            s[put++] = s[at++];
            continue;
        }
        SO_TRY(change(b, left, right, piece, -count, error));
        if (put > 0) {
            SO_TRY(change(b, s[put - 1], left, piece, -count, error));
            SO_TRY(change(b, s[put - 1], joined, piece, count, error));
            SO_TRY(so_ids_put(fresh, s[put - 1], error));
            SO_TRY(so_ids_put(fresh, joined, error));
        }
        if (at + 2 < n) {
            SO_TRY(change(b, right, s[at + 2], piece, -count, error));
            SO_TRY(change(b, joined, s[at + 2], piece, count, error));
            SO_TRY(so_ids_put(fresh, joined, error));
            SO_TRY(so_ids_put(fresh, s[at + 2], error));
        }
        s[put++] = joined;
        at += 2;
    }
    b->lengths[piece] = put;
    return SO_OK;
}

static so_status join(so_bpe_trainer *b, int32_t left, int32_t right, so_error *error)
{
    char bytes[JOINED_BYTES_MAX];
    size_t x, y;
    const char *first = so_intern_get(&b->tokens, left, &x), *second = so_intern_get(&b->tokens, right, &y);
    if (x + y > sizeof bytes) return SO_OK;
    memcpy(bytes, first, x);
    memcpy(bytes + x, second, y);
    int32_t joined;
    SO_TRY(so_intern_add(&b->tokens, bytes, x + y, &joined, error));
    int32_t(*merges)[2] = so_grow_to(b->merges, &b->merges_capacity, b->n_merges + 1, sizeof *merges);
    if (!merges) return no_memory(error);
    b->merges = merges;
    merges[b->n_merges][0] = left;
    merges[b->n_merges++][1] = right;

    pair *p = &b->pairs[pair_slot(b, left, right)];
    int32_t *pieces = p->pieces;
    size_t n = p->n;
    p->pieces = NULL; /* the table may move while pairs are added */
    p->n = p->capacity = 0;
    so_ids fresh = {0};
    so_status status = SO_OK;
    for (size_t i = 0; i < n && status == SO_OK; i++)
        status = join_in(b, pieces[i], left, right, joined, &fresh, error);
    for (size_t i = 0; i < fresh.n && status == SO_OK; i += 2) {
        int32_t a = fresh.data[i], c = fresh.data[i + 1];
        int64_t count = b->pairs[pair_slot(b, a, c)].count;
        if (count > 1) status = heap_push(b, (ranked){count, a, c}, error);
    }
    free(pieces);
    so_ids_clear(&fresh);
    return status;
}

static so_status learn(so_bpe_trainer *b, so_error *error)
{
    for (int byte = 0; byte < 256; byte++) {
        char one = (char)byte;
        int32_t index;
        SO_TRY(so_intern_add(&b->tokens, &one, 1, &index, error));
    }
    SO_TRY(start_symbols(b, error));
    while (b->heap_n && b->tokens.n < (size_t)(b->options.size - b->options.pieces)) {
        ranked top = heap_pop(b);
        int64_t count = b->pairs[pair_slot(b, top.left, top.right)].count;
        if (count < 2) continue;
        if (count < top.count) {
            SO_TRY(heap_push(b, (ranked){count, top.left, top.right}, error));
            continue;
        }
        if (count > top.count) continue; /* a later entry has the full count */
        SO_TRY(join(b, top.left, top.right, error));
    }
    return SO_OK;
}

typedef struct whole_piece {
    int64_t count;
    int32_t index;
} whole_piece;

static int by_count(const void *x, const void *y)
{
    const whole_piece *a = x, *b = y;
    return a->count != b->count ? (a->count < b->count) - (a->count > b->count)
                                : (a->index > b->index) - (a->index < b->index);
}

/* Fills the vocabulary with the commonest pieces that are not one token yet. */
static so_status add_pieces(so_bpe_trainer *b, so_error *error)
{
    whole_piece *all = malloc((b->pieces.n + 1) * sizeof *all);
    if (!all) return no_memory(error);
    for (size_t i = 0; i < b->pieces.n; i++) all[i] = (whole_piece){b->lengths[i] > 1 ? b->counts[i] : 0, (int32_t)i};
    qsort(all, b->pieces.n, sizeof *all, by_count);
    so_status status = SO_OK;
    for (size_t i = 0; i < b->pieces.n && all[i].count > 1 && b->tokens.n < (size_t)b->options.size && status == SO_OK;
         i++) {
        size_t size;
        int32_t index;
        const char *bytes = so_intern_get(&b->pieces, all[i].index, &size);
        if (size <= JOINED_BYTES_MAX) status = so_intern_add(&b->tokens, bytes, size, &index, error);
    }
    free(all);
    return status;
}

static so_status list_all(const so_bpe_trainer *b, so_token_list *list, so_error *error)
{
    for (size_t i = 0; i < b->tokens.n; i++) {
        size_t size;
        const char *bytes = so_intern_get(&b->tokens, (int32_t)i, &size);
        SO_TRY(so_token_list_add(list, bytes, size, SO_TOKEN_NORMAL, error));
    }
    for (const char *const *s = b->options.specials; *s; s++)
        SO_TRY(so_token_list_add(list, *s, strlen(*s), SO_TOKEN_SPECIAL, error));
    for (int32_t i = 0; i < b->options.units; i++) {
        char name[32];
        int size = snprintf(name, sizeof name, "<Audio_%d>", i);
        SO_TRY(so_token_list_add(list, name, (size_t)size, SO_TOKEN_ADDED, error));
    }
    return SO_OK;
}

so_status so_bpe_trainer_finish(so_bpe_trainer *b, so_tokenizer **out, so_error *error)
{
    static const int32_t none[1][2];
    so_status status;
    so_token_list list = {0};
    so_tokenizer_parts parts = {.pattern = b->options.pattern, .add_bos = b->options.add_bos, .whole_pieces = true};
    *out = NULL;
    if (b->symbols) return so_fail(error, SO_ERR_STATE, "a vocabulary can be learnt once per trainer");
    SO_TRY_GO(learn(b, error));
    if (b->options.pieces > 0) SO_TRY_GO(add_pieces(b, error));
    SO_TRY_GO(list_all(b, &list, error));
    SO_TRY_GO(so_token_list_parts(&list, &parts, error));
    parts.n_merges = (int32_t)b->n_merges;
    parts.merges = b->merges ? (const int32_t(*)[2])b->merges : none;
    SO_TRY_GO(so_tokenizer_build(out, &parts, error));
done:
    so_token_list_clear(&list);
    return status;
}
