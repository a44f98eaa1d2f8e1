/* espeak-ng, found at run time.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "dataset/voices/espeak.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/symbol.h"

static const char library_name[] = "libespeak-ng.so.1";

static so_espeak library;
static so_error failure; /* status SO_OK: the library is open */

static void find(void *handle, const char *name, void *function)
{
    if (!so_symbol(handle, name, function) && failure.status == SO_OK)
        so_fail(&failure, SO_ERR_MISSING, "%s has no function %s", library_name, name);
}

static void open_library(void)
{
    void *handle = dlopen(library_name, RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
        const char *why = dlerror();
        so_fail(&failure, SO_ERR_MISSING, "speaking a corpus needs espeak-ng (Debian: libespeak-ng1): %s",
                why ? why : library_name);
        return;
    }
    find(handle, "espeak_Initialize", &library.initialize);
    find(handle, "espeak_SetSynthCallback", &library.set_synth_callback);
    find(handle, "espeak_Info", &library.info);
    find(handle, "espeak_SetVoiceByName", &library.set_voice_by_name);
    find(handle, "espeak_SetVoiceByFile", &library.set_voice_by_file);
    find(handle, "espeak_SetParameter", &library.set_parameter);
    find(handle, "espeak_Synth", &library.synth);
    find(handle, "espeak_TextToPhonemes", &library.text_to_phonemes);
}

so_status so_espeak_open(const so_espeak **out, so_error *error)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, open_library);
    *out = failure.status == SO_OK ? &library : NULL;
    return failure.status == SO_OK ? SO_OK : so_fail(error, failure.status, "%s", failure.text);
}
