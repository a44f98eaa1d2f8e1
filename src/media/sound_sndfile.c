/* Sound files through libsndfile, from memory; WAV files under a header of our own.
 * SPDX-License-Identifier: Apache-2.0 */
#include <sndfile.h>
#include <stdlib.h>
#include <string.h>

#include "media/sound_source.h"

/* Two pieces of memory, one behind the other, that libsndfile sees as a file. */
typedef struct reader {
    so_sound_source source;
    SNDFILE *file;
    const unsigned char *head, *body;
    size_t head_size, body_size, at;
    so_sound_wav wav;
} reader;

static sf_count_t file_length(void *user)
{
    const reader *r = user;
    return (sf_count_t)(r->head_size + r->body_size);
}

static sf_count_t file_tell(void *user) { return (sf_count_t)((reader *)user)->at; }

/* A place behind the end is one as well, from which nothing is read: where it is refused, libsndfile takes samples for
 * chunks, whose lengths may keep it busy for hours (a last chunk of odd length without its padding). */
static sf_count_t file_seek(sf_count_t offset, int whence, void *user)
{
    reader *r = user;
    sf_count_t base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? (sf_count_t)r->at : file_length(user), to;
    if (__builtin_add_overflow(base, offset, &to) || to < 0) return -1;
    r->at = (size_t)to;
    return to;
}

static sf_count_t file_read(void *to, sf_count_t count, void *user)
{
    reader *r = user;
    unsigned char *out = to;
    sf_count_t done = 0;
    while (done < count) {
        bool head = r->at < r->head_size;
        size_t at = head ? r->at : r->at - r->head_size, size = head ? r->head_size : r->body_size;
        if (at >= size) break;
        size_t n = size - at < (size_t)(count - done) ? size - at : (size_t)(count - done);
        memcpy(out + done, (head ? r->head : r->body) + at, n);
        r->at += n;
        done += (sf_count_t)n;
    }
    return done;
}

static sf_count_t file_write(const void *from, sf_count_t count, void *user)
{
    (void)from;
    (void)count;
    (void)user;
    return 0;
}

static SF_VIRTUAL_IO file_io = {file_length, file_seek, file_read, file_write, file_tell};

static so_status read_frames(so_sound_source *source, float *out, int64_t n, int64_t *got, so_error *error)
{
    (void)error;
    sf_count_t frames = sf_readf_float(((reader *)source)->file, out, n);
    *got = frames > 0 ? frames : 0;
    return SO_OK;
}

static void close_reader(so_sound_source *source)
{
    reader *r = (reader *)source;
    if (r->file) sf_close(r->file);
    free(r);
}

so_status so_sound_sndfile(so_sound_source **out, const void *data, size_t size, so_error *error)
{
    SF_INFO info = {0};
    const char *unfit;
    *out = NULL;
    reader *r = calloc(1, sizeof *r);
    if (!r) return so_fail(error, SO_ERR_NOMEM, "a reader of sound files");
    r->body = data;
    r->body_size = size;
    if (so_sound_wav_find(&r->wav, data, size)) {
        r->head = r->wav.head;
        r->head_size = r->wav.head_size;
        r->body += r->wav.at;
        r->body_size = r->wav.length;
    } else if ((unfit = so_sound_wav_unfit(data, size))) {
        free(r);
        return so_fail(error, SO_ERR_FORMAT, "not a sound file that can be read: %s", unfit);
    }
    r->file = sf_open_virtual(&file_io, SFM_READ, &info, r);
    if (!r->file) {
        free(r);
        return so_fail(error, SO_ERR_FORMAT, "not a sound file that can be read: %s", sf_strerror(NULL));
    }
    r->source = (so_sound_source){.rate = info.samplerate,
                                  .channels = info.channels,
                                  .frames = info.frames >= 0 && info.frames < SF_COUNT_MAX ? info.frames : -1,
                                  .read = read_frames,
                                  .close = close_reader};
    *out = &r->source;
    return SO_OK;
}
