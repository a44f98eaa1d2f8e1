/* What containers say of themselves in their first bytes: their kind, and how long they should be.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "media/sound_source.h"

typedef struct file {
    const unsigned char *data;
    size_t size;
} file;

static uint64_t be(const unsigned char *p, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++) value = value << 8 | p[i];
    return value;
}

static bool begins(const file *f, size_t at, const char *bytes, size_t n)
{
    return f->size >= at + n && memcmp(f->data + at, bytes, n) == 0;
}

/* ISO base media (MP4, m4a, 3gp): a row of boxes. */
static uint64_t boxes(const file *f)
{
    uint64_t at = 0;
    while (at < f->size && f->size - at >= 8) {
        uint64_t length = be(f->data + at, 4);
        if (length == 1 && f->size - at >= 16) length = be(f->data + at + 8, 8);
        if (length == 0) return f->size;
        if (length < 8 || length > UINT64_MAX - at) return 0;
        at += length;
    }
    return at < f->size ? f->size + 8 : at;
}

/* A number of EBML (WebM, Matroska): its length stands in its leading zeros. All ones: unknown. */
static bool ebml(const file *f, uint64_t *at, bool keep, uint64_t *value)
{
    if (*at >= f->size) return false;
    unsigned char first = f->data[*at];
    int n = 1;
    while (n <= 8 && !(first & (0x80 >> (n - 1)))) n++;
    if (n > 8 || f->size - *at < (uint64_t)n) return false;
    *value = be(f->data + *at, n);
    if (!keep) {
        uint64_t ones = ((uint64_t)1 << (7 * n)) - 1;
        *value &= ones;
        if (*value == ones) *value = UINT64_MAX;
    }
    *at += (uint64_t)n;
    return true;
}

static uint64_t elements(const file *f)
{
    uint64_t at = 0, name, length;
    while (at < f->size) {
        if (!ebml(f, &at, true, &name) || !ebml(f, &at, false, &length)) return f->size + 1;
        if (length == UINT64_MAX) return 0;
        if (length > UINT64_MAX - at) return 0;
        at += length;
    }
    return at;
}

/* Pages of Ogg. *ends: the last one bears the mark of the end. */
static uint64_t pages(const file *f, bool *ends)
{
    uint64_t at = 0;
    *ends = false;
    while (f->size - at >= 27 && memcmp(f->data + at, "OggS", 4) == 0) {
        const unsigned char *page = f->data + at;
        uint64_t length = 27 + (uint64_t)page[26];
        if (f->size - at < length) return at + length;
        for (int i = 0; i < page[26]; i++) length += page[27 + i];
        *ends = page[5] & 4;
        if (length > f->size - at) return at + length;
        at += length;
    }
    return at < f->size ? f->size + 27 : at;
}

static uint64_t sun_au(const file *f)
{
    uint64_t head = be(f->data + 4, 4), length = be(f->data + 8, 4);
    return length == 0xffffffffu ? 0 : head + length;
}

static uint64_t apple_caf(const file *f)
{
    uint64_t at = 8;
    while (at < f->size && f->size - at >= 12) {
        uint64_t length = be(f->data + at + 4, 8);
        if (length >> 63 || length > UINT64_MAX / 2 - at) return 0;
        at += 12 + length;
    }
    return at;
}

uint64_t so_sound_announced(const unsigned char *data, size_t size, bool *ends)
{
    file f = {data, size};
    *ends = true;
    if (begins(&f, 0, "FORM", 4) && size >= 12) return be(data + 4, 4) + 8;
    if (begins(&f, 0, ".snd", 4) && size >= 24) return sun_au(&f);
    if (begins(&f, 0, "caff", 4)) return apple_caf(&f);
    if (begins(&f, 4, "ftyp", 4)) return boxes(&f);
    if (begins(&f, 0, "\x1a\x45\xdf\xa3", 4)) return elements(&f);
    if (begins(&f, 0, "OggS", 4)) return pages(&f, ends);
    return 0;
}

const char *so_sound_kind(const unsigned char *data, size_t size)
{
    static const struct {
        size_t at;
        const char *bytes;
        size_t n;
        const char *kind;
    } known[] = {
        {4, "ftyp3g", 6, "a 3GP file (a phone's recording)"},
        {4, "ftyp", 4, "an MP4 file (m4a: AAC or ALAC)"},
        {4, "moov", 4, "a QuickTime file"},
        {4, "mdat", 4, "a QuickTime file"},
        {0, "\x1a\x45\xdf\xa3", 4, "a WebM or Matroska file"},
        {0, "#!AMR", 5, "an AMR file (a phone's recording)"},
        {0, "\x30\x26\xb2\x75\x8e\x66\xcf\x11", 8, "a Windows Media file (wma)"},
        {0, "ADIF", 4, "an AAC file"},
        {0, "\xff\xf1", 2, "an AAC file"},
        {0, "\xff\xf9", 2, "an AAC file"},
        {0, "FLV\x01", 4, "a Flash video"},
        {0, "\x0b\x77", 2, "an AC-3 file"},
        {0, "MAC ", 4, "a Monkey's Audio file"},
        {0, "wvpk", 4, "a WavPack file"},
        {0, ".RMF", 4, "a RealMedia file"},
        {0, "\x47\x40", 2, "an MPEG transport stream"},
    };
    file f = {data, size};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (begins(&f, known[i].at, known[i].bytes, known[i].n)) return known[i].kind;
    return NULL;
}
