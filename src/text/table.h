/* Inside the tokenizer: its fields, and the hash tables it looks up.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TEXT_TABLE_H
#define SO_TEXT_TABLE_H

#ifndef PCRE2_CODE_UNIT_WIDTH
#define PCRE2_CODE_UNIT_WIDTH 8
#endif
#include <pcre2.h>
#include <string.h>

#include "text/tokenizer.h"

/* Longer tokens are refused: the longest of Llama 3 has 128 bytes. */
#define SO_TOKEN_BYTES_MAX 4096
#define SO_TOKENS_MAX (1 << 22)
#define SO_MERGES_MAX (1 << 24)

/* Open addressing, linear probing, at most half full, size a power of two. A slot holds an id or -1. */
typedef struct so_token_hash {
    int32_t *slots;
    uint32_t mask;
} so_token_hash;

typedef struct so_merge_slot {
    int32_t left, right, rank, joined; /* left is -1 in an empty slot */
} so_merge_slot;

/* A node of the trie of added tokens. Children of a node are a list. */
typedef struct so_trie_node {
    int32_t child, sibling; /* 0: none */
    int32_t id;             /* the token that ends here, -1: none */
    unsigned char byte;
} so_trie_node;

struct so_tokenizer {
    int32_t n, n_merges;
    char *bytes;
    uint32_t *ends;
    uint8_t *kinds;
    int32_t (*merges)[2];
    char *pattern;
    bool add_bos, whole_pieces;

    so_token_hash normal, added;
    so_merge_slot *pairs;
    uint32_t pair_mask;
    size_t longest;       /* bytes of the longest normal token */
    int32_t of_byte[256]; /* the token of each single byte */
    so_trie_node *trie;   /* [0] is the root */
    size_t trie_n, trie_capacity;
    int32_t trie_first[256]; /* the root's children by byte, 0: none */
    pcre2_code *code;
    so_token_names names;
};

static inline const char *so_token_bytes(const so_tokenizer *t, int32_t id, size_t *size)
{
    uint32_t start = id ? t->ends[id - 1] : 0;
    *size = t->ends[id] - start;
    return t->bytes + start;
}

static inline uint64_t so_hash_mix(uint64_t x)
{
    x ^= x >> 32;
    x *= 0x9e3779b97f4a7c15u;
    return x ^ x >> 29;
}

static inline uint64_t so_hash_bytes(const char *bytes, size_t size)
{
    uint64_t h = size * 0xd1342543de82ef95u, word;
    for (; size >= 8; bytes += 8, size -= 8) {
        memcpy(&word, bytes, 8);
        h = so_hash_mix(h ^ word) * 0xbf58476d1ce4e5b9u;
    }
    word = 0;
    if (size) memcpy(&word, bytes, size);
    return so_hash_mix(so_hash_mix(h ^ word) * 0xbf58476d1ce4e5b9u);
}

/* -1 when absent. */
static inline int32_t so_token_lookup(const so_tokenizer *t, const so_token_hash *hash, const char *bytes, size_t size)
{
    for (uint64_t i = so_hash_bytes(bytes, size);; i++) {
        int32_t id = hash->slots[i & hash->mask];
        if (id < 0) return -1;
        size_t length;
        const char *found = so_token_bytes(t, id, &length);
        if (length == size && memcmp(found, bytes, size) == 0) return id;
    }
}

static inline const so_merge_slot *so_merge_lookup(const so_tokenizer *t, int32_t left, int32_t right)
{
    for (uint64_t i = so_hash_mix((uint64_t)(uint32_t)left << 32 | (uint32_t)right);; i++) {
        const so_merge_slot *slot = &t->pairs[i & t->pair_mask];
        if (slot->left < 0) return NULL;
        if (slot->left == left && slot->right == right) return slot;
    }
}

/* Compiles the pattern of pieces (pattern.c). `\s` and `\S` mean Unicode's White_Space, as in the tokenizers the
 * patterns come from; PCRE2's own would count U+180E too. */
so_status so_pattern_compile(pcre2_code **out, const char *pattern, so_error *error);
/* Calls `piece` for the pieces of valid UTF-8 one after another: matches, and what lies between matches. */
typedef so_status (*so_piece_fn)(void *context, const char *bytes, size_t size, so_error *error);
so_status so_pattern_split(const pcre2_code *code, const char *text, size_t size, so_piece_fn piece, void *context,
                           so_error *error);

/* GPT-2's printable alphabet of bytes (alphabet.c). */
int32_t so_byte_to_char(unsigned char byte);
int so_char_to_byte(int32_t c); /* -1: not of the alphabet */

#endif
