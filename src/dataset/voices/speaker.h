/* Everybody who can speak for a corpus: one interface over the engines for speech synthesis that this machine has.
 *
 *     espeak-ng   the world's own voices, invented ones and the reserved ones (dataset/voices/voice.h)   libespeak-ng
 *     flite       every voice that it was built with                                                     flite
 *     festival    every voice that is installed                                                          festival,
 * festvox-* command     any program that writes a sound file: 'prog --voice {voice} {text} {wav}' endpoint    anything
 * that answers POST {url}/audio/speech as OpenAI's API does
 *     cosyvoice   CosyVoice's own server (dataset/voices/cosyvoice.h)
 *
 * Engines are found when the list is opened. An engine that is missing, hangs, says nothing, or writes something that
 * is no speech is asked once more, then its words are an error that names engine and voice; the caller skips and
 * counts.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_DATASET_VOICES_SPEAKER_H
#define SO_DATASET_VOICES_SPEAKER_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

enum { SO_SPEAKER_RATE = 22050 /* Hz of what they say */, SO_SPEAKER_SECONDS = 60 /* longest utterance */ };

typedef struct so_speaker {
    char engine[16], voice[64];
    bool reserved;      /* kept for measuring: nothing may be trained on it */
    bool deterministic; /* the same words and seed give the same samples */
    bool given;         /* by an option: a command or a server, which may speak any language */
} so_speaker;

typedef struct so_speakers so_speakers;

typedef struct so_speakers_options {
    const char *engines;  /* comma between; NULL: all that are there */
    const char *command;  /* a command line with {text} and {wav}, maybe {voice} and {seed}; NULL: none */
    const char *endpoint; /* "http://127.0.0.1:8880/v1", or "cosyvoice+http://127.0.0.1:50000"; NULL: none */
    const char *key;      /* of the endpoint; NULL: none */
    const char *voices; /* names for {voice}, or of the endpoint, comma between; NULL: one without a name, or those that
                           {url}/audio/voices tells */
    double seconds;     /* that one utterance may take to make; 0: 60 */
    const volatile sig_atomic_t *stop; /* may be NULL */
} so_speakers_options;

/* Finds who there is. SO_ERR_ARG for a command without {text} or {wav}, an engine that is not known, or a CosyVoice
 * server without names; SO_ERR_MISSING
 * for an engine that is asked for by name and not there (the text names its package). Strings of `options` are copied.
 */
so_status so_speakers_open(so_speakers **out, const so_speakers_options *options, so_error *error);
void so_speakers_close(so_speakers **speakers);

int so_speakers_count(const so_speakers *speakers);
/* Lent until close. */
const so_speaker *so_speakers_at(const so_speakers *speakers, int i);
/* Engines that were looked for and are not there: name, and the package that would bring it. NULL after the last. */
const char *so_speakers_absent(const so_speakers *speakers, int i, const char **package);

/* Speaks UTF-8 text: *count mono samples at SO_SPEAKER_RATE in [-1, 1], freed with free(). From any thread. SO_ERR_ARG
 * (nothing to say), SO_ERR_LIMIT, SO_ERR_STATE, SO_ERR_FORMAT (no sound came), SO_ERR_STOPPED. */
so_status so_speakers_speak(so_speakers *speakers, int i, const char *text, uint64_t seed, float **samples,
                            int64_t *count, so_error *error);
/* Speaks n texts, as if one after another: samples[k] is NULL and counts[k] 0 where it failed. An engine that takes
 * long to start (festival) is started once for many. SO_OK when something was said of each; otherwise the first
 * failure, and what was said by then and afterwards is there all the same; but nothing is after SO_ERR_STOPPED. */
so_status so_speakers_speak_many(so_speakers *speakers, int i, int n, const char *const *text, const uint64_t *seed,
                                 float **samples, int64_t *counts, so_error *error);
/* How often speaker i was asked, and failed twice. */
void so_speakers_counts(const so_speakers *speakers, int i, int64_t *asked, int64_t *failed);

#endif
