/* Sound files through FFmpeg's libraries (libavformat, libavcodec, libavutil), found at run time.
 *
 * No header of theirs is needed to build. What is touched of their structures are public fields at the places that the
 * major versions named in `releases` give them; other majors are refused by name. Everything else goes through their
 * functions and options. Files come from the internet: bytes are served from memory only, no protocol may be opened,
 * only containers and codecs of sound are let in, one thread decodes, and opening has a time limit.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/symbol.h"

#include "media/sound_source.h"

enum {
    AUDIO = 1,             /* AVMEDIA_TYPE_AUDIO */
    QUIET = -8,            /* AV_LOG_QUIET */
    SEEK_LENGTH = 0x10000, /* AVSEEK_SIZE */
    AGAIN = -11,           /* AVERROR(EAGAIN) */
    END = -0x20464f45,     /* AVERROR_EOF */
    EXIT = -0x54495845,    /* AVERROR_EXIT */
    BUFFER = 32768,        /* bytes served at once */
    PLANES = 8,            /* channels of planar samples: as many as a frame has pointers of its own */
    SECONDS_TO_OPEN = 30,  /* and for one piece */
    DAMAGED_MOST = 1000,
    FILE_MOST = 1 << 30 /* bytes */
};

static const char formats[] =
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,aac,loas,amr,amrnb,amrwb,asf,ogg,opus,flac,mp3,wav,"
    "w64,caf,aiff,au,ac3,eac3,ape,wv,tta,mpc,mpc8,flv,avi,mpeg,mpegts,rm,gsm,spx,qcp,voc,g722";
static const char codecs[] = "aac,aac_fixed,aac_latm,alac,opus,libopus,vorbis,libvorbis,flac,mp3,mp3float,mp2,mp2float,"
                             "mp1,mp1float,amrnb,amrwb,libopencore_amrnb,libopencore_amrwb,wmav1,wmav2,wmapro,"
                             "wmalossless,wmavoice,ac3,eac3,ape,wavpack,tta,mpc7,mpc8,speex,libspeex,gsm,gsm_ms,qcelp,"
                             "evrc,cook,adpcm_ima_qt,adpcm_ima_wav,adpcm_ms,adpcm_g726,adpcm_yamaha,nellymoser,"
                             "pcm_s16le,pcm_s16be,pcm_s24le,pcm_s24be,pcm_s32le,pcm_s32be,pcm_u8,pcm_s8,pcm_f32le,"
                             "pcm_f32be,pcm_f64le,pcm_f64be,pcm_alaw,pcm_mulaw,adpcm_g722,g722";

typedef struct rational {
    int num, den;
} rational;

/* Places of public fields, in bytes; libavutil's and libavcodec's major belong to libavformat's. */
typedef struct release {
    int format, codec, util;
    size_t codecpar, time_base, duration; /* of AVStream */
} release;
static const release releases[] = {{61, 61, 59, 16, 32, 48}, {60, 60, 58, 16, 32, 48}, {59, 59, 57, 208, 16, 32}};
enum {
    RELEASES = sizeof releases / sizeof *releases,
    /* The same in all of them: AVFormatContext, AVIOContext, AVPacket, AVFrame, AVCodec, AVChannelLayout. */
    CONTEXT_PB = 32,
    CONTEXT_STREAMS = 48,
    IO_BUFFER = 8,
    PACKET_STREAM = 36,
    FRAME_LINESIZE = 64,
    FRAME_PLANES = 96,
    FRAME_SAMPLES = 112,
    FRAME_FORMAT = 116,
    CODEC_NAME = 0
};

/* AVChannelLayout. */
typedef struct layout {
    int order, channels;
    void *map, *opaque;
} layout;

typedef struct library {
    const release *at;
    unsigned (*format_version)(void);
    unsigned (*codec_version)(void);
    unsigned (*util_version)(void);
    void *(*alloc_context)(void);
    void *(*alloc_io)(unsigned char *, int, int, void *, int (*)(void *, uint8_t *, int),
                      int (*)(void *, uint8_t *, int), int64_t (*)(void *, int64_t, int));
    void (*free_io)(void **);
    int (*open_input)(void **, const char *, const void *, void **);
    const void *(*find_form)(const char *);
    int (*find_info)(void *, void **);
    int (*best_stream)(void *, int, int, int, const void **, int);
    int (*read_packet)(void *, void *);
    void (*close_input)(void **);
    void *(*alloc_codec)(const void *);
    int (*to_context)(void *, const void *);
    int (*open_codec)(void *, const void *, void **);
    int (*send)(void *, const void *);
    int (*receive)(void *, void *);
    void (*free_codec)(void **);
    void *(*alloc_packet)(void);
    void (*unref_packet)(void *);
    void (*free_packet)(void **);
    void *(*alloc_frame)(void);
    void (*free_frame)(void **);
    void *(*alloc)(size_t);
    void (*release)(void *);
    int (*get_int)(void *, const char *, int, int64_t *);
    int (*get_layout)(void *, const char *, int, layout *);
    void (*clear_layout)(layout *);
    int (*set)(void *, const char *, const char *, int);
    int (*describe)(int, char *, size_t);
    int (*get_log)(void);
    void (*set_log)(int);
} library;

static library av;
static so_error failure; /* status SO_OK: the libraries are open */

/* ---- finding the libraries */

static void find(void *handle, const char *name, void *function)
{
    if (!so_symbol(handle, name, function) && failure.status == SO_OK)
        so_fail(&failure, SO_ERR_MISSING, "FFmpeg's libraries have no function %s: a release before 5.1", name);
}

static void find_format(void *h)
{
    find(h, "avformat_version", &av.format_version);
    find(h, "avformat_alloc_context", &av.alloc_context);
    find(h, "avio_alloc_context", &av.alloc_io);
    find(h, "avio_context_free", &av.free_io);
    find(h, "avformat_open_input", &av.open_input);
    find(h, "av_find_input_format", &av.find_form);
    find(h, "avformat_find_stream_info", &av.find_info);
    find(h, "av_find_best_stream", &av.best_stream);
    find(h, "av_read_frame", &av.read_packet);
    find(h, "avformat_close_input", &av.close_input);
}

static void find_codec(void *h)
{
    find(h, "avcodec_version", &av.codec_version);
    find(h, "avcodec_alloc_context3", &av.alloc_codec);
    find(h, "avcodec_parameters_to_context", &av.to_context);
    find(h, "avcodec_open2", &av.open_codec);
    find(h, "avcodec_send_packet", &av.send);
    find(h, "avcodec_receive_frame", &av.receive);
    find(h, "avcodec_free_context", &av.free_codec);
    find(h, "av_packet_alloc", &av.alloc_packet);
    find(h, "av_packet_unref", &av.unref_packet);
    find(h, "av_packet_free", &av.free_packet);
}

static void find_util(void *h)
{
    find(h, "avutil_version", &av.util_version);
    find(h, "av_frame_alloc", &av.alloc_frame);
    find(h, "av_frame_free", &av.free_frame);
    find(h, "av_malloc", &av.alloc);
    find(h, "av_free", &av.release);
    find(h, "av_opt_get_int", &av.get_int);
    find(h, "av_opt_get_chlayout", &av.get_layout);
    find(h, "av_channel_layout_uninit", &av.clear_layout);
    find(h, "av_opt_set", &av.set);
    find(h, "av_strerror", &av.describe);
    find(h, "av_log_get_level", &av.get_log);
    find(h, "av_log_set_level", &av.set_log);
}

static void *open_one(const char *name, int major)
{
    char path[64];
    snprintf(path, sizeof path, "lib%s.so.%d", name, major);
    return dlopen(path, RTLD_NOW | RTLD_LOCAL);
}

/* A release that is there and not known is named. */
static void tell_absence(void)
{
    for (int major = 52; major < 80; major++)
        if (open_one("avformat", major)) {
            so_fail(&failure, SO_ERR_MISSING, "reading it needs libavformat of version 59, 60 or 61, found %d", major);
            return;
        }
    so_fail(&failure, SO_ERR_MISSING,
            "reading it needs FFmpeg's libraries (Debian 12: apt install libavformat59); or convert it: "
            "ffmpeg -i FILE FILE.wav");
}

static void open_libraries(void)
{
    for (int i = 0; i < RELEASES && !av.at; i++) {
        const release *r = &releases[i];
        void *format = open_one("avformat", r->format);
        void *codec = format ? open_one("avcodec", r->codec) : NULL, *util = codec ? open_one("avutil", r->util) : NULL;
        if (!util) continue;
        av.at = r;
        find_format(format);
        find_codec(codec);
        find_util(util);
    }
    if (!av.at) {
        tell_absence();
        return;
    }
    if (failure.status != SO_OK) return;
    int found[] = {(int)(av.format_version() >> 16), (int)(av.codec_version() >> 16), (int)(av.util_version() >> 16)};
    if (found[0] != av.at->format || found[1] != av.at->codec || found[2] != av.at->util)
        so_fail(&failure, SO_ERR_MISSING, "FFmpeg's libraries of versions %d, %d, %d do not belong together", found[0],
                found[1], found[2]);
}

/* ---- one file */

typedef struct reader {
    so_sound_source source;
    const unsigned char *data;
    size_t size, at;
    double deadline;
    double announced; /* seconds; 0: unknown */
    void *io, *context, *codec, *packet, *frame;
    int stream, channels;
    bool drained;
    int64_t left, used; /* of the frame: samples not given out yet, and those that were */
} reader;

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int serve(void *opaque, uint8_t *to, int count)
{
    reader *r = opaque;
    if (seconds() > r->deadline) return EXIT;
    size_t n = r->size - r->at < (size_t)count ? r->size - r->at : (size_t)count;
    if (!n) return END;
    memcpy(to, r->data + r->at, n);
    r->at += n;
    return (int)n;
}

static int64_t seek(void *opaque, int64_t offset, int whence)
{
    reader *r = opaque;
    whence &= 0xffff;
    int64_t base = whence == SEEK_CUR ? (int64_t)r->at : whence == SEEK_END ? (int64_t)r->size : 0, to;
    if (__builtin_add_overflow(base, offset, &to) || to < 0 || to > (int64_t)r->size) return -22;
    r->at = (size_t)to;
    return to;
}

static int64_t seek_or_tell(void *opaque, int64_t offset, int whence)
{
    return whence & SEEK_LENGTH ? (int64_t)((reader *)opaque)->size : seek(opaque, offset, whence);
}

/* A field of one of their structures, to be read. */
#define FIELD(type, from, at) (*(type const *)(const void *)((const char *)(from) + (at)))

static void close_reader(so_sound_source *source)
{
    reader *r = (reader *)source;
    av.free_frame(&r->frame);
    av.free_packet(&r->packet);
    av.free_codec(&r->codec);
    av.close_input(&r->context);
    if (r->io) {
        av.release(FIELD(void *, r->io, IO_BUFFER));
        av.free_io(&r->io);
    }
    free(r);
}

static so_status complain(so_error *error, const char *what, int code)
{
    char text[200] = "";
    if (code == EXIT) return so_fail(error, SO_ERR_LIMIT, "%s took more than %d s", what, SECONDS_TO_OPEN);
    av.describe(code, text, sizeof text);
    return so_fail(error, SO_ERR_FORMAT, "%s: %s", what, text);
}

static so_status open_container(reader *r, const char *form, so_error *error)
{
    unsigned char *buffer = av.alloc(BUFFER);
    r->io = buffer ? av.alloc_io(buffer, BUFFER, 0, r, serve, NULL, seek_or_tell) : NULL;
    if (buffer && !r->io) av.release(buffer);
    r->context = r->io ? av.alloc_context() : NULL;
    if (!r->context) return so_fail(error, SO_ERR_NOMEM, "a reader of sound files");
    memcpy((char *)r->context + CONTEXT_PB, &r->io, sizeof r->io);
    av.set(r->context, "protocol_whitelist", "", 0);
    if (av.set(r->context, "format_whitelist", formats, 0) < 0 || av.set(r->context, "codec_whitelist", codecs, 0) < 0)
        return so_fail(error, SO_ERR_UNSUPPORTED, "FFmpeg's libraries cannot be confined to sound");
    const void *input = form ? av.find_form(form) : NULL;
    if (form && !input) return so_fail(error, SO_ERR_UNSUPPORTED, "FFmpeg's libraries here do not read %s", form);
    int code = av.open_input(&r->context, "", input, NULL); /* frees the context when it fails */
    if (code < 0) return complain(error, "opening it", code);
    code = av.find_info(r->context, NULL);
    return code < 0 ? complain(error, "looking for its sound", code) : SO_OK;
}

static so_status open_decoder(reader *r, so_error *error)
{
    const void *codec = NULL;
    r->stream = av.best_stream(r->context, AUDIO, -1, -1, &codec, 0);
    if (r->stream < 0 || !codec) return so_fail(error, SO_ERR_FORMAT, "it holds no sound, or none of a known codec");
    const char *stream = FIELD(char **, r->context, CONTEXT_STREAMS)[r->stream];
    r->codec = av.alloc_codec(codec);
    r->packet = av.alloc_packet();
    r->frame = av.alloc_frame();
    if (!r->codec || !r->packet || !r->frame) return so_fail(error, SO_ERR_NOMEM, "a decoder");
    int code = av.to_context(r->codec, FIELD(void *, stream, av.at->codecpar));
    if (code >= 0) av.set(r->codec, "threads", "1", 0);
    if (code >= 0) code = av.set(r->codec, "codec_whitelist", codecs, 0);
    if (code >= 0) code = av.open_codec(r->codec, codec, NULL);
    if (code < 0) return complain(error, FIELD(const char *, codec, CODEC_NAME), code);
    int64_t duration = FIELD(int64_t, stream, av.at->duration);
    rational base = FIELD(rational, stream, av.at->time_base);
    if (duration > 0 && base.num > 0 && base.den > 0) r->announced = (double)duration * base.num / base.den;
    return SO_OK;
}

static so_status about(reader *r, int *rate, int *channels, so_error *error)
{
    int64_t hertz = 0;
    layout l = {0};
    int code = av.get_int(r->codec, "ar", 0, &hertz);
    if (code >= 0) code = av.get_layout(r->codec, "ch_layout", 0, &l);
    *rate = hertz > 0 && hertz < 1000000 ? (int)hertz : 0;
    *channels = l.channels;
    if (code >= 0) av.clear_layout(&l);
    return code < 0 ? complain(error, "asking for its rate", code) : SO_OK;
}

/* ---- samples */

static int sample_bytes(int format)
{
    static const int bytes[] = {1, 2, 4, 4, 8, 1, 2, 4, 4, 8, 8, 8};
    return format >= 0 && format < (int)(sizeof bytes / sizeof *bytes) ? bytes[format] : 0;
}

static bool is_planar(int format) { return (format >= 5 && format <= 9) || format == 11; }

static float sample(const unsigned char *p, int format)
{
    int16_t s;
    int32_t i;
    int64_t l;
    float f;
    double d;
    switch (format) {
    case 0:
    case 5:
        return (float)(*p - 128) / 128;
    case 1:
    case 6:
        return memcpy(&s, p, 2), (float)s / 32768;
    case 2:
    case 7:
        return memcpy(&i, p, 4), (float)((double)i / 2147483648.0);
    case 3:
    case 8:
        return memcpy(&f, p, 4), f;
    case 4:
    case 9:
        return memcpy(&d, p, 8), (float)d;
    default:
        return memcpy(&l, p, 8), (float)((double)l / 9223372036854775808.0);
    }
}

/* A frame is taken only if its planes hold what its numbers say. */
static so_status check_frame(reader *r, so_error *error)
{
    int format = FIELD(int, r->frame, FRAME_FORMAT), n = FIELD(int, r->frame, FRAME_SAMPLES), rate, channels;
    int bytes = sample_bytes(format), line = FIELD(int, r->frame, FRAME_LINESIZE);
    SO_TRY(about(r, &rate, &channels, error));
    if (r->source.rate && (rate != r->source.rate || channels != r->source.channels))
        return so_fail(error, SO_ERR_UNSUPPORTED, "its sound changes from %d Hz, %d channels to %d Hz, %d channels",
                       r->source.rate, r->source.channels, rate, channels);
    bool planar = is_planar(format);
    if (!bytes || n < 0 || channels < 1 || channels > (planar ? PLANES : SO_SOUND_MAX_CHANNELS) ||
        (int64_t)n * bytes * (planar ? 1 : channels) > line)
        return so_fail(error, SO_ERR_FORMAT, "a decoded piece of %d samples in format %d, %d channels", n, format,
                       channels);
    for (int c = 0; c < (planar ? channels : 1); c++)
        if (!FIELD(unsigned char **, r->frame, FRAME_PLANES)[c])
            return so_fail(error, SO_ERR_FORMAT, "a decoded piece without channel %d", c + 1);
    r->source.rate = rate;
    r->source.channels = channels;
    r->left = n;
    r->used = 0;
    return SO_OK;
}

/* The next packet of the stream goes to the decoder. */
static so_status feed_decoder(reader *r, so_error *error)
{
    int code;
    do {
        if (seconds() > r->deadline) return complain(error, "decoding it", EXIT);
        code = av.read_packet(r->context, r->packet);
        bool ours = code >= 0 && FIELD(int, r->packet, PACKET_STREAM) == r->stream;
        if (ours && av.send(r->codec, r->packet) < 0) r->source.damaged++;
        if (code >= 0) av.unref_packet(r->packet);
        if (ours) return SO_OK;
    } while (code >= 0);
    if (code == EXIT) return complain(error, "decoding it", code);
    r->drained = true; /* whatever ended the packets: what is there was read */
    av.send(r->codec, NULL);
    return SO_OK;
}

static so_status next_frame(reader *r, bool *there, so_error *error)
{
    *there = false;
    r->deadline = seconds() + SECONDS_TO_OPEN;
    for (;;) {
        int code = av.receive(r->codec, r->frame);
        if (code >= 0) {
            SO_TRY(check_frame(r, error));
            *there = r->left > 0;
            if (*there) return SO_OK;
        } else if (code == END || (code == AGAIN && r->drained)) {
            return SO_OK;
        } else if (code == AGAIN) {
            SO_TRY(feed_decoder(r, error));
        } else if (++r->source.damaged > DAMAGED_MOST) {
            return complain(error, "decoding it", code);
        }
    }
}

/* Their libraries write to standard error by themselves, unless told to be quiet. The level is one for all threads: the
 * first that is at work here lowers it, the last puts it back. */
static void quiet(bool on)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static int at_work, level;
    pthread_mutex_lock(&lock);
    if (on && at_work++ == 0) {
        level = av.get_log();
        av.set_log(QUIET);
    }
    if (!on && --at_work == 0) av.set_log(level);
    pthread_mutex_unlock(&lock);
}

static so_status next_frame_quietly(reader *r, bool *there, so_error *error)
{
    quiet(true);
    so_status status = next_frame(r, there, error);
    quiet(false);
    return status;
}

static so_status read_frames(so_sound_source *source, float *out, int64_t n, int64_t *got, so_error *error)
{
    reader *r = (reader *)source;
    *got = 0;
    while (*got < n) {
        bool there = true;
        if (!r->left) SO_TRY(next_frame_quietly(r, &there, error));
        if (!there) return SO_OK;
        int format = FIELD(int, r->frame, FRAME_FORMAT), channels = source->channels, bytes = sample_bytes(format);
        unsigned char **plane = FIELD(unsigned char **, r->frame, FRAME_PLANES);
        bool planar = is_planar(format);
        int64_t count = r->left < n - *got ? r->left : n - *got;
        for (int64_t i = 0; i < count; i++)
            for (int c = 0; c < channels; c++) {
                int64_t at = planar ? r->used + i : (r->used + i) * channels + c;
                out[(*got + i) * channels + c] = sample(plane[planar ? c : 0] + at * bytes, format);
            }
        *got += count;
        r->used += count;
        r->left -= count;
    }
    return SO_OK;
}

static so_status open_reader(reader *r, const char *form, so_error *error)
{
    bool there;
    SO_TRY(open_container(r, form, error));
    SO_TRY(open_decoder(r, error));
    /* Rate and channels are known for certain once something is decoded. */
    SO_TRY(next_frame(r, &there, error));
    if (!there) return so_fail(error, SO_ERR_FORMAT, "nothing in it can be decoded");
    r->source.frames = r->announced > 0 ? (int64_t)(r->announced * r->source.rate) : -1;
    return SO_OK;
}

so_status so_sound_libav(so_sound_source **out, const void *data, size_t size, const char *form, so_error *error)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    const char *wish = getenv("SO_LIBAV");
    *out = NULL;
    if (wish && !strcmp(wish, "none"))
        return so_fail(error, SO_ERR_MISSING, "reading it needs FFmpeg's libraries, which SO_LIBAV=none hides");
    pthread_once(&once, open_libraries);
    if (failure.status != SO_OK) return so_fail(error, failure.status, "%s", failure.text);
    if (size > FILE_MOST) return so_fail(error, SO_ERR_LIMIT, "%zu bytes, the limit is %d", size, FILE_MOST);
    reader *r = calloc(1, sizeof *r);
    if (!r) return so_fail(error, SO_ERR_NOMEM, "a reader of sound files");
    r->data = data;
    r->size = size;
    r->source.read = read_frames;
    r->source.close = close_reader;
    r->deadline = seconds() + SECONDS_TO_OPEN;
    quiet(true);
    so_status status = open_reader(r, form, error);
    quiet(false);
    if (status == SO_OK)
        *out = &r->source;
    else
        close_reader(&r->source);
    return status;
}
