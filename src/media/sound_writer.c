/* A sound file written while it is made, in the form that its name's ending says.
 * SPDX-License-Identifier: Apache-2.0 */
#include "media/sound_writer.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool is_wav(so_audio_format format) { return format == SO_AUDIO_WAV_S16 || format == SO_AUDIO_WAV_F32; }

/* Whether a name without an ending means nothing that could have one. */
static bool is_stream(const char *path)
{
    struct stat st;
    return so_descriptor_of(path) >= 0 || (stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode));
}

so_status so_sound_writer_form(const char *path, int rate, so_audio_format *format, so_error *error)
{
    const char *slash = strrchr(path, '/'), *dot = strrchr(slash ? slash : path, '.');
    if ((!dot || so_descriptor_of(path) >= 0) && is_stream(path)) {
        *format = SO_AUDIO_WAV_S16;
        return SO_OK;
    }
    SO_TRY(so_audio_format_of(path, format, error));
    if (is_wav(*format)) return SO_OK;
    /* A build of the library may lack an encoder: ask now, not when the sound is made. */
    static const float silence[2400];
    unsigned char *data;
    size_t size;
    so_status status = so_audio_encode(*format, silence, 2400, rate, &data, &size, error);
    free(data);
    return status == SO_OK ? status : so_fail_in(error, "%s", path);
}

so_status so_sound_writer_open(so_sound_writer *w, const char *path, int rate, so_error *error)
{
    *w = (so_sound_writer){.rate = rate};
    SO_TRY(so_sound_writer_form(path, rate, &w->format, error));
    return is_wav(w->format) ? so_wav_open(&w->wav, path, w->format, rate, error)
                             : so_writer_open(&w->file, path, error);
}

so_status so_sound_writer_put(so_sound_writer *w, const float *x, int64_t n, so_error *error)
{
    if (is_wav(w->format)) return so_wav_put(&w->wav, x, n, error);
    if (n <= 0) return SO_OK;
    if (w->n + n > w->capacity) {
        int64_t capacity = 2 * (w->n + n);
        float *held = realloc(w->held, (size_t)capacity * sizeof *held);
        if (!held) return so_fail(error, SO_ERR_NOMEM, "no memory for %lld samples", (long long)capacity);
        w->held = held;
        w->capacity = capacity;
    }
    memcpy(w->held + w->n, x, (size_t)n * sizeof *x);
    w->n += n;
    return SO_OK;
}

static so_status encode(so_sound_writer *w, so_error *error)
{
    unsigned char *data;
    size_t size;
    SO_TRY(so_audio_encode(w->format, w->held, w->n, w->rate, &data, &size, error));
    so_status status = so_writer_put(&w->file, data, size, error);
    free(data);
    return status == SO_OK ? so_writer_commit(&w->file, error) : status;
}

so_status so_sound_writer_close(so_sound_writer *w, so_error *error)
{
    so_status status = is_wav(w->format) ? so_wav_close(&w->wav, error) : encode(w, error);
    so_sound_writer_drop(w);
    return status;
}

void so_sound_writer_drop(so_sound_writer *w)
{
    so_wav_drop(&w->wav);
    so_writer_drop(&w->file);
    free(w->held);
    *w = (so_sound_writer){.rate = 0};
}
