/* Bringing transcripts to one form before they are compared.
 *
 * Source: stream-omni.md sections 8.1 and 8.3.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_TEXT_NORMALISE_H
#define SO_TEXT_NORMALISE_H

#include "text/buffer.h"

/* For LibriSpeech: every character but A-Z, a-z, 0-9 and the space is deleted, the rest is in capitals. Appends. */
so_status so_normalise_asr(const char *text, size_t size, so_string *out, so_error *error);
/* For Chinese: only U+4E00 to U+9FFF stay. Appends. */
so_status so_normalise_chinese(const char *text, size_t size, so_string *out, so_error *error);

typedef struct so_normaliser so_normaliser;

/* The English normaliser in Whisper's manner: lower case, contractions and titles written out, symbols dropped, number
 * words as digits ("twenty one dollars" -> "$21"). `spelling`: path of a JSON object of British to American words, or
 * NULL for no such step. One normaliser may be used by one thread at a time. */
so_status so_normaliser_open(so_normaliser **out, const char *spelling, so_error *error);
void so_normaliser_close(so_normaliser **normaliser);
/* Appends the normal form of a text (invalid UTF-8 counts as U+FFFD). Not stripped: blanks may stand at the ends. */
so_status so_normaliser_english(so_normaliser *normaliser, const char *text, size_t size, so_string *out,
                                so_error *error);

/* The normaliser for all other languages in Whisper's manner: lower case, brackets and what is in them gone, signs and
 * punctuation as blanks. `plain`: diacritics gone too; `split`: a blank between characters. Appends; not stripped. */
so_status so_normalise_basic(const char *text, size_t size, bool plain, bool split, so_string *out, so_error *error);

#endif
