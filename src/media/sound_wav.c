/* WAV files by their chunks: lengths that lie are seen through.
 *
 * A writer that streams leaves 0, 0xffffffff or 0x7ffff... as the length; one that was killed leaves 0; others count
 * the header in, forget the padding byte after an odd chunk, or write junk between chunks. libsndfile is then given a
 * header that is right, followed by the samples.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <string.h>

#include "media/sound_source.h"

enum { FMT_LEAST = 14, FMT_MOST = 4096, STREAMED = 0x7fffff00 };

typedef struct walk {
    const unsigned char *data;
    size_t size, at;
    bool wide; /* W64: names of 16 bytes, lengths of 8 that count the chunk's head in */
    uint64_t ds64;
    const unsigned char *fmt, *fact;
    size_t fmt_size, fact_size;
    so_sound_wav *out;
    bool found;
} walk;

typedef struct chunk {
    const unsigned char *name;
    size_t head;     /* bytes before the contents */
    uint64_t length; /* of the contents, as announced */
} chunk;

static const unsigned char riff_guid[16] = "riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00";
static const unsigned char wave_guid[16] = "wave\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a";

static uint64_t le(const unsigned char *p, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++) value |= (uint64_t)p[i] << (8 * i);
    return value;
}

static void put(unsigned char *p, uint64_t value)
{
    for (int i = 0; i < 4; i++) p[i] = (unsigned char)(value >> (8 * i));
}

static bool is(const unsigned char *name, const char *expected) { return memcmp(name, expected, 4) == 0; }

static bool known(const unsigned char *name)
{
    static const char *const names[] = {"data", "fmt ", "fact", "LIST", "JUNK", "junk", "bext", "id3 ", "ID3 ", "PEAK",
                                        "cue ", "smpl", "inst", "iXML", "axml", "ds64", "PAD ", "FLLR", "umid", "chna"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (is(name, names[i])) return true;
    return false;
}

static bool read_head(const walk *w, size_t at, chunk *c)
{
    size_t head = w->wide ? 24 : 8;
    if (at > w->size || w->size - at < head) return false;
    c->name = w->data + at;
    c->head = head;
    c->length = w->wide ? le(c->name + 16, 8) : le(c->name + 4, 4);
    if (w->wide) c->length = c->length >= 24 ? c->length - 24 : 0;
    return true;
}

/* Whether from here on every byte belongs to chunks of known names. */
static bool only_chunks(const walk *w, size_t at)
{
    chunk c;
    while (at < w->size && read_head(w, at, &c)) {
        if (!known(c.name) || c.length > w->size - at - c.head) return false;
        at += c.head + (size_t)c.length + (size_t)(c.length & 1);
    }
    return true;
}

static void take_data(walk *w, const chunk *c)
{
    so_sound_wav *out = w->out;
    size_t at = w->at + c->head, rest = w->size - at;
    uint64_t length = c->length;
    if (!w->wide && length == 0xffffffffu && w->ds64) length = w->ds64;
    w->found = true;
    out->at = at;
    out->announced = length;
    if (length == 0 && rest && !only_chunks(w, at)) {
        out->length = rest;
        out->oddity = "its header announces no samples; all that follows was read";
    } else if (length > rest) {
        out->length = rest;
        out->streamed = !w->wide && length >= STREAMED;
        out->truncated = !out->streamed;
    } else {
        out->length = (size_t)length;
    }
}

/* Where the next chunk is looked for when this one reaches beyond the end of the file, or bears no name. */
static bool search(walk *w, const char *name)
{
    for (size_t at = w->at + 1; w->size - at >= 8; at++)
        if (is(w->data + at, name)) {
            w->at = at;
            return true;
        }
    return false;
}

static bool step(walk *w, const chunk *c)
{
    size_t rest = w->size - w->at - c->head, pad = w->wide ? (size_t)(-c->length & 7) : (size_t)(c->length & 1);
    bool nameless = c->name[0] < 0x20 || c->name[0] > 0x7e;
    if (nameless || c->length > rest) {
        if (w->found || w->wide || !search(w, w->fmt ? "data" : "fmt ")) return false;
        w->out->oddity = "a chunk in its header has a false length; the samples were searched for";
        return true;
    }
    size_t next = w->at + c->head + (size_t)c->length;
    if (pad && !w->wide && w->size - next >= 8 && known(w->data + next) &&
        (w->size - next < 9 || !known(w->data + next + 1))) {
        w->out->oddity = "a chunk of odd length lacks its padding byte";
        pad = 0;
    }
    w->at = next + pad < w->size ? next + pad : w->size;
    return w->size - w->at >= c->head;
}

static void write_head(walk *w)
{
    so_sound_wav *out = w->out;
    unsigned char *p = out->head;
    size_t fact = w->fact ? 8 + w->fact_size : 0, fmt = w->fmt_size + (w->fmt_size & 1);
    memset(out->head, 0, sizeof out->head);
    out->head_size = 12 + 8 + fmt + fact + 8;
    memcpy(p, "RIFF....WAVE", 12);
    uint64_t all = out->head_size - 8 + out->length;
    put(p + 4, all < 0xffffffffu ? all : 0xffffffffu);
    memcpy(p + 12, "fmt ", 4);
    put(p + 16, w->fmt_size);
    memcpy(p + 20, w->fmt, w->fmt_size);
    p += 20 + fmt;
    if (fact) {
        memcpy(p, "fact", 4);
        put(p + 4, w->fact_size);
        memcpy(p + 8, w->fact, w->fact_size);
        p += fact;
    }
    memcpy(p, "data", 4);
    put(p + 4, out->length < 0xffffffffu ? out->length : 0xffffffffu);
}

/* Where the chunks of a WAV file begin; 0: it is none. */
static size_t first_chunk(const unsigned char *data, size_t size, bool *wide)
{
    *wide = size >= 40 && !memcmp(data, riff_guid, 16) && !memcmp(data + 24, wave_guid, 16);
    if (*wide) return 40;
    bool riff = size >= 12 && (is(data, "RIFF") || is(data, "RF64") || is(data, "BW64"));
    return riff && is(data + 8, "WAVE") ? 12 : 0;
}

bool so_sound_wav_find(so_sound_wav *wav, const unsigned char *data, size_t size)
{
    walk w = {.data = data, .size = size, .out = wav};
    chunk c;
    memset(wav, 0, sizeof *wav);
    w.at = first_chunk(data, size, &w.wide);
    if (!w.at) return false;
    while (!(w.found && w.fmt) && read_head(&w, w.at, &c)) {
        const unsigned char *contents = data + w.at + c.head;
        size_t rest = size - w.at - c.head;
        if (is(c.name, "ds64") && c.length >= 24 && rest >= 24) w.ds64 = le(contents + 8, 8);
        if (is(c.name, "fmt ") && c.length >= FMT_LEAST && c.length <= FMT_MOST && c.length <= rest) {
            w.fmt = contents;
            w.fmt_size = (size_t)c.length;
        }
        if (is(c.name, "fact") && c.length == 4 && rest >= 4) {
            w.fact = contents;
            w.fact_size = 4;
        }
        if (is(c.name, "data") && !w.found) take_data(&w, &c);
        if ((w.found && w.fmt) || !step(&w, &c)) break;
    }
    if (!w.found || !w.fmt) return false;
    write_head(&w);
    return true;
}

const char *so_sound_wav_unfit(const unsigned char *data, size_t size)
{
    bool wide;
    if (first_chunk(data, size, &wide)) return "a WAV file that has no 'fmt ' or no 'data' chunk";
    if (size < 12 || !is(data, "RIFX")) return NULL;
    for (const unsigned char *p = data, *end = data + size; (p = memmem(p, (size_t)(end - p), "LIST", 4)); p++) {
        if (end - p < 8) break;
        uint64_t length = (uint64_t)p[4] << 24 | (uint64_t)p[5] << 16 | (uint64_t)p[6] << 8 | p[7];
        if (length > (uint64_t)(end - p - 8)) return "a RIFX file with a LIST chunk that is longer than the file";
    }
    return NULL;
}
