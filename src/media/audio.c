/* Whole clips in, sound files out through libsndfile; the WAV writer is our own because it must also stream.
 * SPDX-License-Identifier: Apache-2.0 */
#include "media/audio.h"

#include <math.h>
#include <sndfile.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "media/resample.h"

enum { BLOCK = 4096 };

/* Memory that libsndfile sees as a file. */
typedef struct memory {
    unsigned char *data;
    size_t size, capacity, at;
    bool failed;
} memory;

static sf_count_t memory_length(void *user) { return (sf_count_t)((memory *)user)->size; }
static sf_count_t memory_tell(void *user) { return (sf_count_t)((memory *)user)->at; }

static sf_count_t memory_seek(sf_count_t offset, int whence, void *user)
{
    memory *m = user;
    sf_count_t base = whence == SEEK_SET ? 0 : (sf_count_t)(whence == SEEK_CUR ? m->at : m->size), to;
    if (__builtin_add_overflow(base, offset, &to) || to < 0 || to > (sf_count_t)m->size) return -1;
    m->at = (size_t)to;
    return to;
}

static sf_count_t memory_read(void *to, sf_count_t count, void *user)
{
    memory *m = user;
    if (count < 0) return 0;
    size_t n = m->size - m->at < (size_t)count ? m->size - m->at : (size_t)count;
    if (n) memcpy(to, m->data + m->at, n);
    m->at += n;
    return (sf_count_t)n;
}

static sf_count_t memory_write(const void *from, sf_count_t count, void *user)
{
    memory *m = user;
    if (count <= 0 || m->failed) return 0;
    size_t end = m->at + (size_t)count;
    if (end > m->capacity) {
        size_t capacity = end + end / 2 + 65536;
        unsigned char *data = realloc(m->data, capacity);
        if (!data) {
            m->failed = true;
            return 0;
        }
        m->data = data;
        m->capacity = capacity;
    }
    memcpy(m->data + m->at, from, (size_t)count);
    m->at = end;
    if (end > m->size) m->size = end;
    return count;
}

static SF_VIRTUAL_IO memory_io = {memory_length, memory_seek, memory_read, memory_write, memory_tell};

static so_status grow(so_audio *out, int64_t *capacity, so_error *error)
{
    if (*capacity - out->n >= BLOCK) return SO_OK;
    int64_t more = *capacity + *capacity / 2 + 4 * BLOCK;
    float *samples = realloc(out->samples, (size_t)more * sizeof *samples);
    if (!samples) return so_fail(error, SO_ERR_NOMEM, "%lld samples of audio", (long long)more);
    out->samples = samples;
    *capacity = more;
    return SO_OK;
}

static so_status read_all(so_audio *out, so_sound *sound, so_error *error)
{
    int64_t capacity = 0, got;
    do {
        SO_TRY(grow(out, &capacity, error));
        SO_TRY(so_sound_read(sound, out->samples + out->n, BLOCK, &got, error));
        out->n += got;
    } while (got > 0);
    return SO_OK;
}

so_status so_audio_decode_with(so_audio *out, const void *data, size_t size, const so_sound_options *options,
                               so_error *error)
{
    so_sound *sound;
    memset(out, 0, sizeof *out);
    SO_TRY(so_sound_open(&sound, data, size, options, error));
    so_status status = read_all(out, sound, error);
    if (status != SO_OK) so_audio_clear(out);
    out->rate = so_sound_rate(sound);
    out->channels = so_sound_channels(sound);
    snprintf(out->warning, sizeof out->warning, "%s", so_sound_warning(sound));
    so_sound_close(&sound);
    return status;
}

so_status so_audio_read_with(so_audio *out, const char *path, const so_sound_options *options, so_error *error)
{
    so_map map;
    memset(out, 0, sizeof *out);
    SO_TRY(so_map_open(&map, path, error));
    so_sound_options named = options ? *options : (so_sound_options){0};
    named.name = path;
    so_status status = so_audio_decode_with(out, map.data, map.size, &named, error);
    so_map_close(&map);
    if (status != SO_OK) so_fail_in(error, "%s", path);
    return status;
}

so_status so_audio_decode(so_audio *out, const void *data, size_t size, double max_seconds, so_error *error)
{
    so_sound_options options = {.max_seconds = max_seconds, .strict = true};
    return so_audio_decode_with(out, data, size, &options, error);
}

so_status so_audio_read(so_audio *out, const char *path, double max_seconds, so_error *error)
{
    so_sound_options options = {.max_seconds = max_seconds, .strict = true};
    return so_audio_read_with(out, path, &options, error);
}

void so_audio_clear(so_audio *audio)
{
    if (!audio) return;
    free(audio->samples);
    memset(audio, 0, sizeof *audio);
}

static int16_t to_s16(float x)
{
    float y = x * 32768; /* reading divides by as much: 16-bit files come back bit for bit */
    return (int16_t)lrintf(y < -32768 ? -32768 : y > 32767 ? 32767 : y);
}

static so_status check_clip(const float *x, int64_t n, int rate, so_error *error)
{
    if (n < 0 || n > (int64_t)1 << 29) return so_fail(error, SO_ERR_ARG, "%lld samples to write", (long long)n);
    if (rate < 100 || rate > 768000) return so_fail(error, SO_ERR_ARG, "sampling rate %d Hz to write", rate);
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return so_fail(error, SO_ERR_NUMBER, "sample %lld to be written is not finite", (long long)i);
    return SO_OK;
}

static int sample_bytes(so_audio_format format) { return format == SO_AUDIO_WAV_F32 ? 4 : 2; }

static void put_le(unsigned char *p, uint32_t value, int bytes)
{
    for (int i = 0; i < bytes; i++) p[i] = (unsigned char)(value >> (8 * i));
}

void so_wav_header(unsigned char h[SO_WAV_HEADER], so_audio_format format, int rate, int64_t n)
{
    int bytes = sample_bytes(format);
    uint32_t size = n < 0 || n > (0x7fffffff - 36) / bytes ? 0xffffffffu : (uint32_t)(n * bytes);
    memcpy(h, "RIFF....WAVEfmt ", 16);
    put_le(h + 4, size == 0xffffffffu ? size : size + 36, 4);
    put_le(h + 16, 16, 4);
    put_le(h + 20, format == SO_AUDIO_WAV_F32 ? 3 : 1, 2);
    put_le(h + 22, 1, 2);
    put_le(h + 24, (uint32_t)rate, 4);
    put_le(h + 28, (uint32_t)(rate * bytes), 4);
    put_le(h + 32, (uint32_t)bytes, 2);
    put_le(h + 34, (uint32_t)bytes * 8, 2);
    memcpy(h + 36, "data", 4);
    put_le(h + 40, size, 4);
}

static void put_samples(unsigned char *to, so_audio_format format, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], 4);
        if (format == SO_AUDIO_WAV_F32)
            put_le(to + 4 * i, bits, 4);
        else
            put_le(to + 2 * i, (uint16_t)to_s16(x[i]), 2);
    }
}

static int sndfile_format(so_audio_format format)
{
    switch (format) {
    case SO_AUDIO_OGG:
        return SF_FORMAT_OGG | SF_FORMAT_VORBIS;
    case SO_AUDIO_OPUS:
        return SF_FORMAT_OGG | SF_FORMAT_OPUS;
    case SO_AUDIO_MP3:
        return SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III;
    default:
        return SF_FORMAT_FLAC | SF_FORMAT_PCM_16;
    }
}

/* What libsndfile writes. Vorbis in it overflows its stack on long writes, hence small blocks. */
static so_status encode_sndfile(so_audio_format format, const float *x, int64_t n, int rate, memory *m, so_error *error)
{
    SF_INFO info = {.samplerate = rate, .channels = 1, .format = sndfile_format(format)};
    SNDFILE *file = sf_open_virtual(&memory_io, SFM_WRITE, &info, m);
    if (!file) return so_fail(error, SO_ERR_UNSUPPORTED, "cannot write at %d Hz: %s", rate, sf_strerror(NULL));
    double quality = 0.6;
    if (format == SO_AUDIO_OGG) sf_command(file, SFC_SET_VBR_ENCODING_QUALITY, &quality, sizeof quality);
    so_status status = SO_OK;
    int16_t block[BLOCK / 4];
    for (int64_t at = 0; at < n && status == SO_OK; at += BLOCK / 4) {
        int64_t count = n - at < BLOCK / 4 ? n - at : BLOCK / 4;
        for (int64_t i = 0; i < count; i++) block[i] = to_s16(x[at + i]);
        if (sf_writef_short(file, block, count) != count)
            status = so_fail(error, SO_ERR_IO, "encoding audio: %s", sf_strerror(file));
    }
    if (sf_close(file) != 0 && status == SO_OK) status = so_fail(error, SO_ERR_IO, "encoding audio did not end well");
    if (m->failed) status = so_fail(error, SO_ERR_NOMEM, "%zu bytes of encoded audio", m->size);
    return status;
}

/* Opus knows five rates. */
static so_status encode_opus(const float *x, int64_t n, int rate, memory *m, so_error *error)
{
    enum { OPUS_RATE = 24000 };
    float *y;
    int64_t length;
    if (rate == 8000 || rate == 12000 || rate == 16000 || rate == 24000 || rate == 48000)
        return encode_sndfile(SO_AUDIO_OPUS, x, n, rate, m, error);
    SO_TRY(so_resample_to(rate, OPUS_RATE, x, n, &y, &length, error));
    so_status status = encode_sndfile(SO_AUDIO_OPUS, y, length, OPUS_RATE, m, error);
    free(y);
    return status;
}

so_status so_audio_encode(so_audio_format format, const float *x, int64_t n, int rate, unsigned char **data,
                          size_t *size, so_error *error)
{
    *data = NULL;
    *size = 0;
    SO_TRY(check_clip(x, n, rate, error));
    memory m = {0};
    so_status status = SO_OK;
    if (format == SO_AUDIO_OPUS) {
        status = encode_opus(x, n, rate, &m, error);
    } else if (format != SO_AUDIO_WAV_F32 && format != SO_AUDIO_WAV_S16) {
        status = encode_sndfile(format, x, n, rate, &m, error);
    } else {
        m.size = SO_WAV_HEADER + (size_t)n * (size_t)sample_bytes(format);
        m.data = malloc(m.size);
        if (!m.data) return so_fail(error, SO_ERR_NOMEM, "%zu bytes of encoded audio", m.size);
        so_wav_header(m.data, format, rate, n);
        put_samples(m.data + SO_WAV_HEADER, format, x, n);
    }
    if (status != SO_OK) {
        free(m.data);
        return status;
    }
    *data = m.data;
    *size = m.size;
    return SO_OK;
}

so_status so_audio_write(const char *path, so_audio_format format, const float *x, int64_t n, int rate, so_error *error)
{
    unsigned char *data;
    size_t size;
    SO_TRY(so_audio_encode(format, x, n, rate, &data, &size, error));
    so_status status = so_file_write(path, data, size, error);
    free(data);
    return status;
}

so_status so_audio_format_of(const char *path, so_audio_format *format, so_error *error)
{
    static const struct {
        const char *ending;
        so_audio_format format;
    } known[] = {{".wav", SO_AUDIO_WAV_S16}, {".flac", SO_AUDIO_FLAC}, {".ogg", SO_AUDIO_OGG},
                 {".oga", SO_AUDIO_OGG},     {".opus", SO_AUDIO_OPUS}, {".mp3", SO_AUDIO_MP3}};
    size_t length = strlen(path);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        size_t n = strlen(known[i].ending);
        if (length > n && !strcasecmp(path + length - n, known[i].ending)) {
            *format = known[i].format;
            return SO_OK;
        }
    }
    return so_fail(error, SO_ERR_UNSUPPORTED, "%s: expected a name ending in .wav, .flac, .ogg, .opus or .mp3", path);
}

so_status so_wav_open(so_wav_writer *w, const char *path, so_audio_format format, int rate, so_error *error)
{
    memset(w, 0, sizeof *w);
    if (format != SO_AUDIO_WAV_F32 && format != SO_AUDIO_WAV_S16)
        return so_fail(error, SO_ERR_ARG, "audio format %d cannot be streamed", (int)format);
    SO_TRY(check_clip(NULL, 0, rate, error));
    w->format = format;
    w->rate = rate;
    SO_TRY(so_writer_open(&w->file, path, error));
    unsigned char header[SO_WAV_HEADER];
    so_wav_header(header, format, rate, -1);
    return so_writer_put(&w->file, header, sizeof header, error);
}

so_status so_wav_put(so_wav_writer *w, const float *x, int64_t n, so_error *error)
{
    SO_TRY(check_clip(x, n, w->rate, error));
    unsigned char block[BLOCK];
    int64_t most = BLOCK / sample_bytes(w->format);
    for (int64_t at = 0; at < n; at += most) {
        int64_t count = n - at < most ? n - at : most;
        put_samples(block, w->format, x + at, count);
        SO_TRY(so_writer_put(&w->file, block, (size_t)(count * sample_bytes(w->format)), error));
    }
    w->n += n;
    return SO_OK;
}

so_status so_wav_close(so_wav_writer *w, so_error *error)
{
    unsigned char header[SO_WAV_HEADER];
    so_wav_header(header, w->format, w->rate, w->n);
    if (so_writer_seeks(&w->file)) SO_TRY(so_writer_patch(&w->file, 0, header, sizeof header, error));
    return so_writer_commit(&w->file, error);
}

void so_wav_drop(so_wav_writer *w) { so_writer_drop(&w->file); }
