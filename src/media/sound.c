/* Choosing who reads a sound file, mixing its channels, and telling what was odd.
 * SPDX-License-Identifier: Apache-2.0 */
#include "media/sound.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "media/sound_source.h"

enum { BLOCK = 4096, PAIRS = 8 /* channels at most whose likeness is measured */ };

struct so_sound {
    const void *data;
    size_t size;
    so_sound_options options;
    so_sound_source *source;
    float *block; /* [BLOCK, channels] */
    double weight[SO_SOUND_MAX_CHANNELS];
    int kept;      /* channels of weight +1 and -1 */
    int64_t n;     /* samples given out */
    int64_t total; /* of the file, -1: not known */
    bool cut, ended;
    char warning[SO_SOUND_WARNING];
};

static void warn(so_sound *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void warn(so_sound *s, const char *format, ...)
{
    size_t used = strlen(s->warning);
    va_list args;
    if (used) used += (size_t)snprintf(s->warning + used, sizeof s->warning - used, "; ");
    if (used >= sizeof s->warning) return;
    va_start(args, format);
    vsnprintf(s->warning + used, sizeof s->warning - used, format, args);
    va_end(args);
}

/* ---- who reads it */

/* Formats without any mark, by the name's ending. */
static const char *unmarked(const char *name)
{
    const char *dot = name ? strrchr(name, '.') : NULL;
    return dot && strcasecmp(dot, ".g722") == 0 ? "g722" : NULL;
}

/* What libsndfile does not know goes to FFmpeg's libraries; when those cannot read it either, the text says what it
 * seems to be. */
static so_status open_source(so_sound *s, so_error *error)
{
    so_error first = {0}, second = {0};
    so_status status = so_sound_sndfile(&s->source, s->data, s->size, &first);
    if (status != SO_ERR_FORMAT) {
        if (status != SO_OK && error) *error = first;
        return status;
    }
    const char *kind = so_sound_kind(s->data, s->size);
    const char *form = kind ? NULL : unmarked(s->options.name);
    status = so_sound_libav(&s->source, s->data, s->size, form, &second);
    if (status == SO_OK) return SO_OK;
    if (form) kind = "a G.722 file by its name";
    if (!kind) return so_fail(error, first.status, "%s", first.text);
    if (status == SO_ERR_MISSING) return so_fail(error, status, "%s: %s", kind, second.text);
    return so_fail(error, SO_ERR_FORMAT, "%s that cannot be read: %s", kind, second.text);
}

static so_status check_source(const so_sound *s, so_error *error)
{
    const so_sound_source *source = s->source;
    if (source->channels < 1 || source->channels > SO_SOUND_MAX_CHANNELS)
        return so_fail(error, SO_ERR_LIMIT, "%d channels, expected 1..%d", source->channels, SO_SOUND_MAX_CHANNELS);
    if (source->rate < 100 || source->rate > 768000)
        return so_fail(error, SO_ERR_LIMIT, "sampling rate %d Hz, expected 100..768000", source->rate);
    if (s->options.channel > source->channels || s->options.channel < 0)
        return so_fail(error, SO_ERR_ARG, "channel %d of a recording that has %d", s->options.channel,
                       source->channels);
    return SO_OK;
}

/* ---- channels */

typedef struct likeness {
    int64_t n;
    double sum[SO_SOUND_MAX_CHANNELS], square[SO_SOUND_MAX_CHANNELS], pair[PAIRS][PAIRS];
} likeness;

static void add_block(likeness *l, const float *x, int64_t n, int channels)
{
    int pairs = channels < PAIRS ? channels : PAIRS;
    for (int64_t i = 0; i < n; i++, x += channels) {
        for (int c = 0; c < channels; c++) {
            double v = isfinite(x[c]) ? (double)x[c] : 0;
            l->sum[c] += v;
            l->square[c] += v * v;
        }
        for (int a = 1; a < pairs; a++)
            for (int b = 0; b < a; b++) l->pair[a][b] += (double)x[a] * (double)x[b];
    }
    l->n += n;
}

static double power(const likeness *l, int c)
{
    double mean = l->sum[c] / (double)l->n;
    return fmax(0, l->square[c] / (double)l->n - mean * mean);
}

static double shared(const likeness *l, int a, int b)
{
    if (a == b) return power(l, a);
    double product = a > b ? l->pair[a][b] : l->pair[b][a];
    return product / (double)l->n - l->sum[a] / (double)l->n * (l->sum[b] / (double)l->n);
}

static int loudest(const likeness *l, int channels)
{
    int best = 0;
    for (int c = 1; c < channels; c++)
        if (power(l, c) > power(l, best)) best = c;
    return best;
}

static void keep_only(so_sound *s, int channel)
{
    memset(s->weight, 0, sizeof s->weight);
    s->weight[channel] = 1;
    s->kept = 1;
}

/* Silent channels (40 dB below the loudest) are left out, opposite ones turned over. */
static void weigh(so_sound *s, const likeness *l)
{
    enum { QUIET = 10000 };
    int channels = s->source->channels, best = loudest(l, channels);
    double most = power(l, best), mixed = 0, all = 0;
    if (!(most > 0)) return;
    s->kept = 0;
    for (int c = 0; c < channels; c++) {
        double own = power(l, c);
        bool opposite = c < PAIRS && best < PAIRS && shared(l, c, best) < -0.5 * sqrt(own * most);
        s->weight[c] = own * QUIET > most ? (opposite ? -1 : 1) : 0;
        if (s->weight[c] < 0) warn(s, "channel %d is the opposite of channel %d and was turned over", c + 1, best + 1);
        s->kept += s->weight[c] != 0;
    }
    for (int a = 0; a < channels && a < PAIRS; a++)
        for (int b = 0; b < channels && b < PAIRS; b++) mixed += s->weight[a] * s->weight[b] * shared(l, a, b);
    for (int c = 0; c < channels && c < PAIRS; c++) all += s->weight[c] != 0 ? power(l, c) : 0;
    /* Channels that have nothing in common give a mean of all / kept^2. */
    if (channels > PAIRS || mixed > 0.5 * all) return;
    warn(s, "the channels cancel each other: only channel %d was taken", best + 1);
    keep_only(s, best);
}

/* One pass over the whole file says how its channels go together, and how long it is. */
static so_status listen_ahead(so_sound *s, so_error *error)
{
    int channels = s->source->channels;
    double most = s->options.max_seconds * s->source->rate;
    likeness *l = calloc(1, sizeof *l);
    if (!l) return so_fail(error, SO_ERR_NOMEM, "%d channels", channels);
    so_status status = SO_OK;
    int64_t got = 1;
    while (status == SO_OK && got > 0 && (double)l->n <= most) {
        status = s->source->read(s->source, s->block, BLOCK, &got, error);
        if (status == SO_OK) add_block(l, s->block, got, channels);
    }
    if (status == SO_OK && l->n) weigh(s, l);
    if (status == SO_OK && got == 0) s->total = l->n;
    free(l);
    SO_TRY(status);
    s->source->close(s->source);
    s->source = NULL;
    SO_TRY(open_source(s, error));
    return check_source(s, error);
}

/* ---- lengths */

static void weigh_lengths(so_sound *s)
{
    so_sound_wav wav;
    bool ends;
    if (so_sound_wav_find(&wav, s->data, s->size)) {
        if (wav.oddity) warn(s, "%s", wav.oddity);
        if (wav.truncated)
            warn(s, "cut off: %llu bytes of samples announced, %zu found", (unsigned long long)wav.announced,
                 wav.length);
        s->cut = wav.truncated;
        return;
    }
    uint64_t announced = so_sound_announced(s->data, s->size, &ends);
    s->cut = announced > s->size;
    if (s->cut)
        warn(s, "cut off: its container announces more than the %zu bytes there are", s->size);
    else if (!ends)
        warn(s, "it may be cut off: its last page is not marked as the last");
}

static so_status open_sound(so_sound *s, so_error *error)
{
    if (s->size == 0) return so_fail(error, SO_ERR_FORMAT, "the sound file is empty");
    weigh_lengths(s);
    if (s->cut && s->options.strict) return so_fail(error, SO_ERR_FORMAT, "truncated sound file: %s", s->warning);
    so_status status = open_source(s, error);
    if (status != SO_OK && s->cut) return so_fail_in(error, "%s", s->warning);
    SO_TRY(status);
    SO_TRY(check_source(s, error));
    int channels = s->source->channels;
    s->block = malloc((size_t)BLOCK * (size_t)channels * sizeof *s->block);
    if (!s->block) return so_fail(error, SO_ERR_NOMEM, "a block of %d channels", channels);
    s->total = s->source->frames;
    for (int c = 0; c < channels; c++) s->weight[c] = 1;
    s->kept = channels;
    if (s->options.channel)
        keep_only(s, s->options.channel - 1);
    else if (channels > 1)
        SO_TRY(listen_ahead(s, error));
    return SO_OK;
}

so_status so_sound_open(so_sound **out, const void *data, size_t size, const so_sound_options *options, so_error *error)
{
    *out = NULL;
    so_sound *s = calloc(1, sizeof *s);
    if (!s) return so_fail(error, SO_ERR_NOMEM, "a reader of sound files");
    s->data = data;
    s->size = size;
    if (options) s->options = *options;
    if (!(s->options.max_seconds > 0)) s->options.max_seconds = SO_SOUND_MAX_SECONDS;
    so_status status = open_sound(s, error);
    if (status == SO_OK)
        *out = s;
    else
        so_sound_close(&s);
    return status;
}

void so_sound_close(so_sound **sound)
{
    if (!sound || !*sound) return;
    if ((*sound)->source) (*sound)->source->close((*sound)->source);
    free((*sound)->block);
    free(*sound);
    *sound = NULL;
}

int so_sound_rate(const so_sound *s) { return s->source->rate; }
int so_sound_channels(const so_sound *s) { return s->source->channels; }
double so_sound_seconds(const so_sound *s) { return s->total < 0 ? -1 : (double)s->total / s->source->rate; }
const char *so_sound_warning(const so_sound *s) { return s->warning; }

/* ---- reading */

/* The mean of the channels that count; false when a value is not finite. */
static bool mix(const so_sound *s, const float *block, int64_t n, float *out)
{
    int channels = s->source->channels;
    bool finite = true;
    for (int64_t i = 0; i < n; i++, block += channels) {
        double sum = 0;
        for (int c = 0; c < channels; c++)
            if (s->weight[c] != 0) sum += s->weight[c] * (double)block[c];
        out[i] = (float)(sum / s->kept);
        finite &= isfinite(out[i]) != 0;
    }
    return finite;
}

static so_status end(so_sound *s, so_error *error)
{
    int64_t announced = s->source->frames;
    if (s->ended) return SO_OK;
    s->ended = true;
    int damaged = s->source->damaged;
    if (damaged)
        warn(s, "%d piece%s could not be decoded and %s left out", damaged, damaged > 1 ? "s" : "",
             damaged > 1 ? "were" : "was");
    if (s->n == 0) return so_fail(error, SO_ERR_FORMAT, "the sound file holds no samples");
    if (announced <= s->n || s->cut) return SO_OK;
    if (s->options.strict)
        return so_fail(error, SO_ERR_FORMAT, "truncated sound file: %lld samples announced, %lld found",
                       (long long)announced, (long long)s->n);
    /* Codecs round lengths to their blocks: a tenth of a second is none to speak of. */
    if (announced - s->n > s->source->rate / 10)
        warn(s, "cut off: %.2f s announced, %.2f s found", (double)announced / s->source->rate,
             (double)s->n / s->source->rate);
    return SO_OK;
}

so_status so_sound_read(so_sound *s, float *out, int64_t n, int64_t *got, so_error *error)
{
    double most = s->options.max_seconds * s->source->rate;
    *got = 0;
    while (*got < n) {
        int64_t want = n - *got < BLOCK ? n - *got : BLOCK, frames;
        SO_TRY(s->source->read(s->source, s->block, want, &frames, error));
        if (frames <= 0) return end(s, error);
        if ((double)(s->n + frames) > most)
            return so_fail(error, SO_ERR_LIMIT, "audio longer than %g s", s->options.max_seconds);
        if (!mix(s, s->block, frames, out + *got))
            return so_fail(error, SO_ERR_NUMBER, "audio has samples that are not finite near %.3f s",
                           (double)s->n / s->source->rate);
        s->n += frames;
        *got += frames;
    }
    return SO_OK;
}
