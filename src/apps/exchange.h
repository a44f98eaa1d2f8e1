/* One turn with the model on behalf of the verbs ask, see, demo and speak: what is written, and the whole of it.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_APPS_EXCHANGE_H
#define SO_APPS_EXCHANGE_H

#include "apps/far.h"
#include "apps/operand.h"
#include "apps/turn.h"

typedef struct so_outputs {
    const char *wav, *alignment;
    bool json, quiet, units;
} so_outputs;

#define SO_OUTPUT_OPTIONS(out)                                                                                         \
    {"wav", SO_OPTION_TEXT, &(out).wav, "FILE",                                                                        \
     "write the speech: .wav, .flac, .ogg, .opus, .mp3; - for WAV to "                                                 \
     "standard output"},                                                                                               \
        {"alignment", SO_OPTION_TEXT, &(out).alignment, "FILE", "draw waveform, units, and words over time (PNG)"},    \
        {"units", SO_OPTION_FLAG, &(out).units, NULL, "print the answer's speech units"},                              \
        {"quiet", SO_OPTION_FLAG, &(out).quiet, NULL, "print the answer only"},                                        \
    {                                                                                                                  \
        "json", SO_OPTION_FLAG, &(out).json, NULL, "everything as one JSON object"                                     \
    }

/* Checks the names of files to write before any work is done. Where one is "-" or /dev/stdout, that is standard output,
 * and all that is printed goes to standard error from now on. */
so_status so_outputs_settle(so_outputs *out, so_error *error);
/* The same for one name of a file of any kind; *path is replaced. */
so_status so_output_settle(const char **path, so_error *error);

/* Fails where `path` (may be NULL) cannot be written: before hours of work, not after. Touches nothing that is there.
 */
so_status so_output_check(const char *path, so_error *error);

/* Opens the model and has one turn with it: `given` and its reply or, with `say`, those words spoken. Tells errors;
 * gives the exit status. */
int so_exchange(const so_setting *setting, const so_given *given, const char *say, const so_outputs *out, bool voice);
/* The same turn with a server. */
int so_exchange_far(const so_far *far, const so_setting *setting, const so_given *given, const so_outputs *out,
                    bool voice);

#endif
