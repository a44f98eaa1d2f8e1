/* CosyVoice's own server as a voice: runtime/python/fastapi of its repository.
 *
 *     cosyvoice+http://HOST:50000              CosyVoice-300M: 22,050 Hz
 *     cosyvoice+http://HOST:50000?rate=24000   CosyVoice 2
 *
 * POST (GET where that is refused) /inference_sft with the form fields tts_text and spk_id; the answer is raw mono
 * samples of 16 bits, the low byte first, at the model's rate. Nothing in it tells that rate: a wrong one is heard as
 * a wrong pitch, it cannot be found out.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_DATASET_VOICES_COSYVOICE_H
#define SO_DATASET_VOICES_COSYVOICE_H

#include <stdbool.h>

#include "base/error.h"
#include "media/audio.h"

typedef struct so_cosyvoice {
    char url[960]; /* of inference_sft */
    int rate;      /* Hz */
} so_cosyvoice;

/* Whether an address is one of these. */
bool so_cosyvoice_is(const char *address);
/* SO_ERR_ARG for anything but http(s) and a rate of 8,000 to 48,000 Hz. */
so_status so_cosyvoice_parse(const char *address, so_cosyvoice *out, so_error *error);
/* Asks once. `seconds`: that it may take; `key`: NULL or a bearer token. *out is freed with so_audio_clear.
 * SO_ERR_IO: there is no server. SO_ERR_STATE: it took too long, broke off or answered 429 or 500 and more.
 * SO_ERR_FORMAT (text, a file with a header, an odd number of bytes, nothing), SO_ERR_LIMIT (above SO_SPEAKER_SECONDS),
 * and the statuses of so_fetch_text. */
so_status so_cosyvoice_speak(const so_cosyvoice *server, const char *key, const char *speaker, const char *text,
                             double seconds, so_audio *out, so_error *error);

#endif
