/* espeak-ng, found at run time.
 *
 * The library is under GPL-3 and this program is not: nothing of it is compiled or linked in. Its interface, as far as
 * it is used here, is declared below in our own words; the library is opened when a corpus is first spoken, and whoever
 * makes no corpus needs none.
 *
 * Source: espeak-ng's documentation, "Integration" (API).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_DATASET_VOICES_ESPEAK_H
#define SO_DATASET_VOICES_ESPEAK_H

#include <stddef.h>

#include "base/error.h"

/* Numbers of the library's interface. */
enum {
    SO_ESPEAK_OK = 0,
    SO_ESPEAK_SYNCHRONOUS = 2,    /* output: samples go to the callback before `synth` returns */
    SO_ESPEAK_DONT_EXIT = 0x8000, /* option: without its data the library returns instead of ending the program */
    SO_ESPEAK_PARAMETER_RATE = 1, /* words a minute, 80 to 450 */
    SO_ESPEAK_PARAMETER_VOLUME = 2,
    SO_ESPEAK_PARAMETER_PITCH = 3,
    SO_ESPEAK_BY_CHARACTER = 1, /* kind of position */
    SO_ESPEAK_UTF8 = 1          /* encoding of a text */
};

/* Takes `count` samples, NULL at the end of an utterance; what `events` points to is not looked at. Not zero: stop. */
typedef int (*so_espeak_take)(short *samples, int count, void *events);

typedef struct so_espeak {
    int (*initialize)(int output, int buffer_ms, const char *folder, int options); /* Hz, or -1 */
    void (*set_synth_callback)(so_espeak_take take);
    const char *(*info)(const char **folder); /* version; where its data lies */
    int (*set_voice_by_name)(const char *name);
    int (*set_voice_by_file)(const char *path);
    int (*set_parameter)(int parameter, int value, int relative);
    int (*synth)(const void *text, size_t bytes, unsigned position, int position_kind, unsigned end, unsigned flags,
                 unsigned *identifier, void *user);
    /* Phoneme names of one clause, behind which *text moves on, NULL after the last; bits 8 and up of `mode` are what
     * separates them. The result lives until the next call. */
    const char *(*text_to_phonemes)(const void **text, int encoding, int mode);
} so_espeak;

/* Opens libespeak-ng.so.1 on the first call; *out lives as long as the process. SO_ERR_MISSING when it is not installed
 * or lacks a function. From any thread. */
so_status so_espeak_open(const so_espeak **out, so_error *error);

#endif
