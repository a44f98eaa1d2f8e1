/* The model's voice as the bytes of a sound format.
 * SPDX-License-Identifier: Apache-2.0 */
#include "server/outlet.h"

#include <lame/lame.h>
#include <opusenc.h>
#include <sndfile.h>
#include <stdlib.h>
#include <string.h>

#include "media/audio.h"

/* OPUS_EFFORT: of 0 to 10. The engine waits for it. */
enum { MP3_KBITS = 64, OPUS_BITS = 32000, OPUS_EFFORT = 5, BLOCK = 4096 };

struct so_outlet {
    so_outlet_kind sound;
    int rate;
    bool whole, begun, failed;
    so_bytes made; /* what is ready and not given; all of it when `whole` */
    SNDFILE *flac;
    sf_count_t at, size; /* where libsndfile writes, and how much it has written */
    lame_t mp3;
    OggOpusEnc *opus;
    OggOpusComments *comments;
};

static const struct {
    const char *name, *type;
    so_outlet_kind sound;
} names[] = {{"pcm", "audio/pcm", SO_OUTLET_PCM},   {"pcm16", "audio/pcm", SO_OUTLET_PCM},
             {"wav", "audio/wav", SO_OUTLET_WAV},   {"flac", "audio/flac", SO_OUTLET_FLAC},
             {"opus", "audio/ogg", SO_OUTLET_OPUS}, {"mp3", "audio/mpeg", SO_OUTLET_MP3}};

bool so_outlet_named(const char *name, so_outlet_kind *sound)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i].name, name) == 0) {
            *sound = names[i].sound;
            return true;
        }
    return false;
}

const char *so_outlet_type(so_outlet_kind sound)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].sound == sound) return names[i].type;
    return "application/octet-stream";
}

static void keep(so_outlet *o, const void *data, size_t n)
{
    if (!so_bytes_put(&o->made, data, n)) o->failed = true;
}

/* ---- FLAC: libsndfile goes back to write the length into the header; what has left cannot be changed any more */
static sf_count_t flac_length(void *user) { return ((so_outlet *)user)->size; }
static sf_count_t flac_tell(void *user) { return ((so_outlet *)user)->at; }
static sf_count_t flac_read(void *to, sf_count_t n, void *user)
{
    (void)to, (void)n, (void)user;
    return 0;
}

static sf_count_t flac_seek(sf_count_t offset, int whence, void *user)
{
    so_outlet *o = user;
    o->at = offset + (whence == SEEK_SET ? 0 : whence == SEEK_CUR ? o->at : o->size);
    return o->at;
}

static sf_count_t flac_write(const void *from, sf_count_t n, void *user)
{
    so_outlet *o = user;
    sf_count_t old = o->size - o->at < n ? o->size - o->at : n;
    if (old > 0 && o->whole) memcpy(o->made.data + o->at, from, (size_t)old);
    if (old < n) keep(o, (const char *)from + old, (size_t)(n - old));
    o->at += n;
    if (o->at > o->size) o->size = o->at;
    return n;
}

static SF_VIRTUAL_IO flac_io = {flac_length, flac_seek, flac_read, flac_write, flac_tell};

/* ---- Opus */
static int opus_write(void *user, const unsigned char *data, opus_int32 n)
{
    so_outlet *o = user;
    keep(o, data, (size_t)n);
    return o->failed;
}

static int opus_close(void *user)
{
    (void)user;
    return 0;
}

static bool open_opus(so_outlet *o)
{
    static const OpusEncCallbacks callbacks = {opus_write, opus_close};
    int wrong = 0;
    o->comments = ope_comments_create();
    if (o->comments) o->opus = ope_encoder_create_callbacks(&callbacks, o, o->comments, o->rate, 1, 0, &wrong);
    if (!o->opus) return false;
    ope_encoder_ctl(o->opus, OPUS_SET_BITRATE(OPUS_BITS));
    ope_encoder_ctl(o->opus, OPUS_SET_COMPLEXITY(OPUS_EFFORT));
    ope_encoder_ctl(o->opus, OPE_SET_DECISION_DELAY(0)); /* every block leaves at once */
    ope_encoder_ctl(o->opus, OPE_SET_MUXING_DELAY(o->whole ? 48000 : 4800));
    return true;
}

static bool open_mp3(so_outlet *o)
{
    o->mp3 = lame_init();
    if (!o->mp3) return false;
    lame_set_errorf(o->mp3, NULL);
    lame_set_msgf(o->mp3, NULL);
    lame_set_debugf(o->mp3, NULL);
    lame_set_in_samplerate(o->mp3, o->rate);
    lame_set_out_samplerate(o->mp3, o->rate);
    lame_set_num_channels(o->mp3, 1);
    lame_set_mode(o->mp3, MONO);
    lame_set_brate(o->mp3, MP3_KBITS);
    lame_set_quality(o->mp3, 5);
    lame_set_bWriteVbrTag(o->mp3, 0); /* it stands at the beginning and knows the end */
    return lame_init_params(o->mp3) >= 0;
}

so_status so_outlet_open(so_outlet **out, so_outlet_kind sound, int rate, bool whole, so_error *error)
{
    so_outlet *o = calloc(1, sizeof *o);
    bool good = o != NULL;
    *out = NULL;
    if (o) {
        *o = (so_outlet){.sound = sound, .rate = rate, .whole = whole};
        SF_INFO info = {.samplerate = rate, .channels = 1, .format = SF_FORMAT_FLAC | SF_FORMAT_PCM_16};
        if (sound == SO_OUTLET_FLAC) good = (o->flac = sf_open_virtual(&flac_io, SFM_WRITE, &info, o)) != NULL;
        if (sound == SO_OUTLET_OPUS) good = open_opus(o);
        if (sound == SO_OUTLET_MP3) good = open_mp3(o);
    }
    if (good)
        *out = o;
    else
        so_outlet_close(&o);
    return good ? SO_OK : so_fail(error, SO_ERR_UNSUPPORTED, "no encoder for %s at %d Hz", so_outlet_type(sound), rate);
}

void so_outlet_close(so_outlet **outlet)
{
    if (!outlet || !*outlet) return;
    so_outlet *o = *outlet;
    o->failed = true; /* what closing still writes is dropped */
    if (o->flac) sf_close(o->flac);
    if (o->opus) ope_encoder_destroy(o->opus);
    if (o->comments) ope_comments_destroy(o->comments);
    if (o->mp3) lame_close(o->mp3);
    so_bytes_clear(&o->made);
    free(o);
    *outlet = NULL;
}

static so_status give(so_outlet *o, so_bytes *out, so_error *error)
{
    if (o->failed || !so_bytes_put(out, so_bytes_front(&o->made), so_bytes_left(&o->made)))
        return so_fail(error, SO_ERR_NOMEM, "no memory for a voice");
    so_bytes_take(&o->made, so_bytes_left(&o->made));
    return SO_OK;
}

static void put_wav_header(so_outlet *o, int64_t n)
{
    unsigned char header[SO_WAV_HEADER];
    so_wav_header(header, SO_AUDIO_WAV_S16, o->rate, n);
    keep(o, header, sizeof header);
    o->begun = true;
}

static void put_samples(so_outlet *o, const int16_t *pcm, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char two[2] = {(unsigned char)pcm[i], (unsigned char)((uint16_t)pcm[i] >> 8)};
        keep(o, two, 2);
    }
}

static void put_mp3(so_outlet *o, const int16_t *pcm, size_t n)
{
    unsigned char block[2 * BLOCK + 7200];
    for (size_t at = 0; at < n; at += BLOCK) {
        size_t most = n - at < BLOCK ? n - at : BLOCK;
        short copy[BLOCK];
        memcpy(copy, pcm + at, most * sizeof *copy);
        int got = lame_encode_buffer(o->mp3, copy, copy, (int)most, block, (int)sizeof block);
        if (got < 0)
            o->failed = true;
        else
            keep(o, block, (size_t)got);
    }
}

so_status so_outlet_feed(so_outlet *o, const int16_t *pcm, size_t n, so_bytes *out, so_error *error)
{
    if (o->sound == SO_OUTLET_WAV && !o->begun && !o->whole) put_wav_header(o, -1);
    if (o->sound == SO_OUTLET_PCM || o->sound == SO_OUTLET_WAV) put_samples(o, pcm, n);
    if (o->sound == SO_OUTLET_FLAC && sf_writef_short(o->flac, pcm, (sf_count_t)n) != (sf_count_t)n) o->failed = true;
    if (o->sound == SO_OUTLET_OPUS && ope_encoder_write(o->opus, pcm, (int)n) != OPE_OK) o->failed = true;
    if (o->sound == SO_OUTLET_MP3) put_mp3(o, pcm, n);
    if (o->whole && !o->failed) return SO_OK;
    return give(o, out, error);
}

so_status so_outlet_finish(so_outlet *o, so_bytes *out, so_error *error)
{
    unsigned char rest[7200 + BLOCK];
    if (o->sound == SO_OUTLET_WAV && !o->begun) { /* the header stands before what was kept */
        so_bytes samples = o->made;
        o->made = (so_bytes){0};
        put_wav_header(o, o->whole ? (int64_t)(samples.size / 2) : -1);
        keep(o, so_bytes_front(&samples), so_bytes_left(&samples));
        so_bytes_clear(&samples);
    }
    if (o->flac) {
        sf_close(o->flac);
        o->flac = NULL;
    }
    if (o->opus && ope_encoder_drain(o->opus) != OPE_OK) o->failed = true;
    if (o->mp3) {
        int got = lame_encode_flush(o->mp3, rest, (int)sizeof rest);
        if (got > 0) keep(o, rest, (size_t)got);
    }
    return give(o, out, error);
}
