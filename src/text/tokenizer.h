/* The tokenizer: byte-level BPE with special tokens and speech units, text to ids and back.
 *
 * A tokenizer is read-only once made: any number of threads may use one. Ids of special tokens and of units are found
 * by name in the file they came from; no number is built in.
 *
 * Source: stream-omni.md sections 1.3, 4.2 and 5.3, interfaces.md section C.3.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TEXT_TOKENIZER_H
#define SO_TEXT_TOKENIZER_H

#include "text/buffer.h"

typedef struct so_tokenizer so_tokenizer;

/* The way Llama 3 cuts text into pieces before merging. */
#define SO_LLAMA3_PATTERN                                                                                              \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"           \
    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

typedef enum so_token_kind {
    SO_TOKEN_NONE,    /* an id that no token has */
    SO_TOKEN_NORMAL,  /* of the vocabulary: what pieces and merges give */
    SO_TOKEN_ADDED,   /* matched whole in the text, ordinary otherwise: "<Audio_7>" */
    SO_TOKEN_SPECIAL, /* matched whole, left out of a decode that skips specials: "<|eot_id|>" */
} so_token_kind;

/* All that a tokenizer is, so that any file can carry it. */
typedef struct so_tokenizer_parts {
    int32_t n;            /* ids 0..n-1 */
    const char *bytes;    /* the tokens' bytes, one after another */
    const uint32_t *ends; /* [n] where token i ends in `bytes`; it begins where token i-1 ends */
    const uint8_t *kinds; /* [n] of so_token_kind */
    int32_t n_merges;
    const int32_t (*merges)[2]; /* [n_merges] neighbours that join, first come first; NULL: any two tokens whose bytes
                                 * together are a token, in order of that token's id (a rank file) */
    const char *pattern;        /* regular expression of the pieces, PCRE2 syntax, UTF-8 */
    bool add_bos;               /* <|begin_of_text|> goes before every text encoded with SO_ENCODE_BOS */
    bool whole_pieces;          /* a piece that is a token is taken without merging ("ignore_merges") */
} so_tokenizer_parts;

/* Ids found by name; -1 for a name that the tokenizer does not have. */
typedef struct so_token_names {
    int32_t bos, eos;                 /* <|begin_of_text|>, <|end_of_text|> */
    int32_t blank;                    /* <|reserved_special_token_0|>, the blank of the speech labels */
    int32_t start_header, end_header; /* <|start_header_id|>, <|end_header_id|> */
    int32_t eom, eot;                 /* <|eom_id|>, <|eot_id|> */
    int32_t first_unit, units;        /* id of <Audio_0>; how many <Audio_n> follow with consecutive ids */
} so_token_names;

/* Builds from parts, which are copied. SO_ERR_FORMAT says what is inconsistent: a merge of tokens that join to none, a
 * byte without a token, two tokens with the same bytes, a bad pattern. Close with so_tokenizer_close. */
so_status so_tokenizer_build(so_tokenizer **out, const so_tokenizer_parts *parts, so_error *error);
/* From the text of a Hugging Face tokenizer.json / from such a file. What it asks for beyond byte-level BPE
 * (normalisers, dropout, stripping added tokens) is SO_ERR_UNSUPPORTED. */
so_status so_tokenizer_parse_json(so_tokenizer **out, const char *json, size_t size, so_error *error);
so_status so_tokenizer_load_json(so_tokenizer **out, const char *path, so_error *error);
/* From a file of lines "base64(bytes) rank" (tokenizer.model of Llama 3), followed by the 256 specials of Llama 3 and
 * `units` speech units. No BOS is added. */
so_status so_tokenizer_parse_ranks(so_tokenizer **out, const char *text, size_t size, int32_t units, so_error *error);
so_status so_tokenizer_load_ranks(so_tokenizer **out, const char *path, int32_t units, so_error *error);
void so_tokenizer_close(so_tokenizer **tokenizer);

/* Writes a tokenizer.json that so_tokenizer_load_json and Hugging Face tokenizers read. */
so_status so_tokenizer_save_json(const so_tokenizer *tokenizer, const char *path, so_error *error);

/* All parts, lent until the tokenizer is closed. */
void so_tokenizer_parts_of(const so_tokenizer *tokenizer, so_tokenizer_parts *parts);
/* The merges of a tokenizer that has ranks only, in the order that formats with merges need (by token, left, right).
 * With explicit merges it gives these. The caller frees `*merges` with free(). */
so_status so_tokenizer_list_merges(const so_tokenizer *tokenizer, int32_t (**merges)[2], int32_t *n, so_error *error);

int32_t so_tokenizer_size(const so_tokenizer *tokenizer); /* ids 0..size-1 */
const so_token_names *so_tokenizer_names(const so_tokenizer *tokenizer);
/* Bytes of a token, lent; NULL and size 0 outside the vocabulary. Not zero-terminated, not always valid UTF-8. */
const char *so_tokenizer_piece(const so_tokenizer *tokenizer, int32_t id, size_t *size);
so_token_kind so_tokenizer_kind(const so_tokenizer *tokenizer, int32_t id);
/* The token with exactly these bytes, of any kind; -1 when there is none. */
int32_t so_tokenizer_find(const so_tokenizer *tokenizer, const char *bytes, size_t size);
/* Id of speech unit `unit`, -1 when the tokenizer has no such unit, and the way back (-1: not a unit). */
int32_t so_tokenizer_unit_id(const so_tokenizer *tokenizer, int32_t unit);
int32_t so_tokenizer_unit_of(const so_tokenizer *tokenizer, int32_t id);

enum {
    SO_ENCODE_SPECIAL = 1, /* specials in the text become their ids; else they are text like any other */
    SO_ENCODE_ADDED = 2,   /* the same for units and other added tokens */
    SO_ENCODE_BOS = 4,     /* BOS in front, if the tokenizer adds one by itself */
    SO_ENCODE_ALL = 7,
};

/* Appends the ids of a text to `ids`. Spans that are not valid UTF-8 are read as U+FFFD. Time grows as size *
 * log(size). SO_ERR_LIMIT above 1 GiB or when the pattern exhausts its limits. */
so_status so_tokenizer_encode(const so_tokenizer *tokenizer, const char *text, size_t size, unsigned flags, so_ids *ids,
                              so_error *error);

enum {
    SO_DECODE_SKIP_SPECIAL = 1,
    SO_DECODE_CLEAN_UP = 2, /* " ." -> ".", " n't" -> "n't" and so on, as Hugging Face does it */
};

/* Appends the text of ids: always valid UTF-8, with U+FFFD where the bytes are not. SO_ERR_ARG names an id outside the
 * vocabulary. */
so_status so_tokenizer_decode(const so_tokenizer *tokenizer, const int32_t *ids, size_t n, unsigned flags,
                              so_string *text, so_error *error);

/* Decoding one id after another: bytes of an unfinished character wait for the next id. */
typedef struct so_decoder {
    const so_tokenizer *tokenizer;
    unsigned flags;
    int held, waiting;
    char bytes[4]; /* of a character that is not whole, `held` of them */
    char tail[64]; /* text that cleaning up may still change, `waiting` bytes */
} so_decoder;

/* `flags` as for so_tokenizer_decode. */
void so_decoder_init(so_decoder *decoder, const so_tokenizer *tokenizer, unsigned flags);
/* Appends what has become certain. All appended texts and the flush together are the decode of all ids at once; with
 * SO_DECODE_CLEAN_UP only as long as no run of 64 characters consists of blanks, . ? ! , ' and the letters of n't, 'm,
 * 's, 've, 're alone. */
so_status so_decoder_feed(so_decoder *decoder, int32_t id, so_string *text, so_error *error);
/* Appends what was waiting, with U+FFFD for a character that never became whole. The decoder may then be used anew. */
so_status so_decoder_flush(so_decoder *decoder, so_string *text, so_error *error);

/* Whether the single token, decoded, holds a letter, digit, underscore or spoken punctuation: only such tokens enter
 * the text memory of the speech layers. Bit (id & 7) of byte (id >> 3) of `bitmap`, (size + 7) / 8 bytes, all written.
 */
so_status so_tokenizer_pronounceable(const so_tokenizer *tokenizer, unsigned char *bitmap, so_error *error);

#endif
