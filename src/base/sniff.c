/* What a file's bytes are, told by their beginning.
 * Source: the formats' own signatures (RFC 9639, 3533, 9559, 4867; ISO/IEC 14496-12, 11172-3, 13818-7; TIFF 6.0; and
 * others). SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "base/sniff.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

static const char to_wav[] = "ffmpeg -i '%s' '%s.wav'";
static const char to_png[] = "magick '%s' '%s.png'";

typedef struct signature {
    size_t at, length;
    const char *bytes;
    so_sniffed is;
} signature;

#define AT(at, bytes, ...)                                                                                             \
    {                                                                                                                  \
        at, sizeof bytes - 1, bytes, { __VA_ARGS__ }                                                                   \
    }
#define SOUND(at, bytes, what) AT(at, bytes, SO_CONTENT_SOUND, what, to_wav, false, false)
#define OWN_SOUND(at, bytes, what) AT(at, bytes, SO_CONTENT_SOUND, what, to_wav, false, true)
#define OWN_PICTURE(at, bytes, what) AT(at, bytes, SO_CONTENT_PICTURE, what, to_png, false, true)
#define PICTURE(at, bytes, what) AT(at, bytes, SO_CONTENT_PICTURE, what, to_png, false, false)
#define MODEL(at, bytes, what) AT(at, bytes, SO_CONTENT_MODEL, what, NULL, false, false)
#define OTHER(at, bytes, what, convert) AT(at, bytes, SO_CONTENT_OTHER, what, convert, false, false)

/* The first that fits counts. Escapes end before letters that could be their digits. */
static const signature signatures[] = {
    OWN_SOUND(8, "WAVE", "a WAV recording"),
    OWN_PICTURE(8, "WEBP", "a WebP picture"),
    SOUND(8, "AVI ", "an AVI film"),
    OWN_SOUND(0, "fLaC", "a FLAC recording"),
    OWN_SOUND(0, "OggS", "an Ogg recording"),
    OWN_SOUND(0, "ID3", "an MP3 recording"),
    OWN_SOUND(8, "AIFF", "an AIFF recording"),
    OWN_SOUND(8, "AIFC", "an AIFF recording"),
    OWN_SOUND(0, "caff", "a CAF recording"),
    OWN_SOUND(0, "riff\x2e\x91\xcf\x11", "a Wave64 recording"),
    OWN_SOUND(0, ".snd", "an AU recording"),
    OWN_SOUND(0, "dns.", "an AU recording"),
    SOUND(0, "#!AMR", "an AMR recording"),
    SOUND(0, "\x30\x26\xb2\x75\x8e\x66\xcf\x11", "a Windows Media file"),
    SOUND(0, "\x1a\x45\xdf\xa3", "a Matroska or WebM file"),
    SOUND(0, "wvpk", "a WavPack recording"),
    SOUND(0, "MAC ", "a Monkey's Audio recording"),
    SOUND(0, "TTA1", "a True Audio recording"),
    SOUND(0, "DSD ", "a DSD recording"),
    OWN_SOUND(0, "Creative Voice File", "a VOC recording"),
    OWN_SOUND(0, "NIST_1A", "a SPHERE recording"),
    SOUND(0, "FLV\1", "a Flash film"),
    SOUND(0, ".RMF", "a RealMedia file"),
    SOUND(0, "\0\0\1\xba", "an MPEG film"),
    PICTURE(4, "ftyphei", "a HEIC picture"),
    PICTURE(4, "ftyphev", "a HEIC picture"),
    PICTURE(4, "ftypmif1", "a HEIC or AVIF picture"),
    PICTURE(4, "ftypmsf1", "a HEIC or AVIF picture"),
    PICTURE(4, "ftypavi", "an AVIF picture"),
    SOUND(4, "ftyp", "an MP4 or QuickTime file"),
    SOUND(4, "moov", "a QuickTime file"),
    SOUND(4, "mdat", "a QuickTime file"),
    OWN_PICTURE(0, "\xff\xd8\xff", "a JPEG picture"),
    OWN_PICTURE(0, "\x89PNG", "a PNG picture"),
    OWN_PICTURE(0, "GIF8", "a GIF picture"),
    OWN_PICTURE(0, "II*\0", "a TIFF picture"),
    OWN_PICTURE(0, "MM\0*", "a TIFF picture"),
    OWN_PICTURE(0, "II+\0", "a BigTIFF picture"),
    OWN_PICTURE(0, "MM\0+", "a BigTIFF picture"),
    PICTURE(0, "\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
    PICTURE(0, "\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    PICTURE(0, "\0\0\0\x0cJXL ", "a JPEG XL picture"),
    PICTURE(0, "\xff\x0a", "a JPEG XL picture"),
    PICTURE(0, "\0\0\1\0", "a Windows icon"),
    PICTURE(0, "8BPS", "a Photoshop picture"),
    PICTURE(0, "gimp xcf", "a GIMP picture"),
    PICTURE(0, "qoif", "a QOI picture"),
    PICTURE(0, "DDS ", "a DDS texture"),
    PICTURE(0, "v/1\1", "an OpenEXR picture"),
    PICTURE(0, "#?RADIANCE", "a Radiance picture"),
    PICTURE(0, "farbfeld", "a farbfeld picture"),
    MODEL(0, "GGUF", "a GGUF model"),
    MODEL(0, "ggml", "a GGML file older than GGUF"),
    MODEL(0, "tjgg", "a GGML file older than GGUF"),
    MODEL(0, "\x80\2", "a Python pickle"),
    MODEL(0, "\x80\4", "a Python pickle"),
    MODEL(0, "\x89HDF", "an HDF5 file"),
    OTHER(0, "%PDF", "a PDF document", "pdftoppm -png -r 96 '%s' '%s'"),
    OTHER(0, "%!PS", "a PostScript document", to_png),
    OTHER(0, "MThd", "a MIDI score, which holds no sound", NULL),
    OTHER(0, "PK\3\4", "a zip archive", "unzip '%s' -d '%s'"),
    OTHER(0, "\x1f\x8b", "a gzip archive", "gunzip -k '%s'"),
    OTHER(0, "\x28\xb5\x2f\xfd", "a zstd archive", "unzstd '%s'"),
    OTHER(0, "BZh", "a bzip2 archive", "bunzip2 -k '%s'"),
    OTHER(0, "\xfd\x37zXZ", "an xz archive", "unxz -k '%s'"),
    OTHER(0, "7z\xbc\xaf", "a 7z archive", "7z x '%s'"),
    OTHER(0, "Rar!", "a RAR archive", "unrar x '%s'"),
    OTHER(257, "ustar", "a tar archive", "tar xf '%s'"),
    OTHER(0, "\x7f\x45LF", "a program", NULL),
    OTHER(0, "MZ\x90", "a Windows program", NULL),
    OTHER(0, "\xff\xfe", "a text in UTF-16", "iconv -f UTF-16 -t UTF-8 '%s' -o '%s.txt'"),
    OTHER(0, "\xfe\xff", "a text in UTF-16", "iconv -f UTF-16 -t UTF-8 '%s' -o '%s.txt'"),
};

static bool has(const unsigned char *p, size_t size, size_t at, const char *bytes, size_t length)
{
    return size >= length && at <= size - length && memcmp(p + at, bytes, length) == 0;
}

static bool begins(const unsigned char *p, size_t size, const char *text)
{
    size_t n = strlen(text);
    return size >= n && strncasecmp((const char *)p, text, n) == 0;
}

/* Headers of a frame that say something: MPEG audio of a layer, a bit rate and a rate; AAC in ADTS. */
static const so_sniffed *frame(const unsigned char *p, size_t size)
{
    static const so_sniffed aac = {SO_CONTENT_SOUND, "an AAC recording", to_wav, false, false};
    static const so_sniffed mp3 = {SO_CONTENT_SOUND, "an MP3 recording", to_wav, false, true};
    if (size < 4 || p[0] != 0xff) return NULL;
    if ((p[1] & 0xf6) == 0xf0 && (p[2] >> 2 & 15) < 13) return &aac;
    bool layer = (p[1] & 0xe0) == 0xe0 && (p[1] & 6) != 0 && (p[1] >> 3 & 3) != 1;
    return layer && p[2] >> 4 != 15 && p[2] >> 4 != 0 && (p[2] >> 2 & 3) != 3 ? &mp3 : NULL;
}

/* BMP has two letters for a signature, PNM a letter and a digit: they must be followed by what they are followed by. */
static const char *short_signature(const unsigned char *p, size_t size)
{
    if (size >= 26 && p[0] == 'B' && p[1] == 'M' && !p[6] && !p[7] && !p[8] && !p[9] && !p[15] && !p[16] && !p[17])
        return "a BMP picture";
    bool blank = size >= 3 && (p[2] == ' ' || p[2] == '\n' || p[2] == '\r' || p[2] == '\t' || p[2] == '#');
    return blank && p[0] == 'P' && p[1] >= '1' && p[1] <= '7' ? "a PNM picture" : NULL;
}

/* Length of a UTF-8 character, 0 when there is none; one that the end of what is looked at cuts is one. */
static size_t utf8(const unsigned char *p, size_t left)
{
    size_t n = p[0] < 0x80 ? 1 : p[0] >= 0xc2 && p[0] < 0xe0 ? 2 : p[0] >= 0xe0 && p[0] < 0xf0 ? 3 : 4;
    if (n == 4 && (p[0] < 0xf0 || p[0] > 0xf4)) return 0;
    for (size_t i = 1; i < n && i < left; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    return n < left ? n : left;
}

static bool is_text(const unsigned char *p, size_t size)
{
    size_t look = size < 65536 ? size : 65536;
    for (size_t at = 0; at < look;) {
        size_t n = utf8(p + at, look - at);
        if (!n || (p[at] < 0x20 && (p[at] < 9 || p[at] > 13)) || p[at] == 0x7f) return false;
        at += n;
    }
    return true;
}

static size_t blanks(const unsigned char *p, size_t size)
{
    size_t at = size >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    while (at < size && (p[at] == ' ' || (p[at] >= 9 && p[at] <= 13))) at++;
    return at;
}

static bool is_page(const unsigned char *p, size_t size, size_t at)
{
    static const char *const heads[] = {"<!doctype html", "<html", "<head"};
    size_t head = size < 1024 ? size : 1024;
    for (int i = 0; i < 3; i++)
        if (begins(p + at, size - at, heads[i])) return true;
    return begins(p + at, size - at, "<?xml") && (memmem(p, head, "<Error", 6) || memmem(p, head, "<html", 5));
}

static bool is_answer(const unsigned char *p, size_t size)
{
    static const char *const texts[] = {"{\"error\"",      "Invalid username or password",
                                        "Entry not found", "Repository not found",
                                        "Access to model", "404: Not Found"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (begins(p, size, texts[i])) return true;
    return false;
}

/* What servers, git and broken downloads leave where a file should be; `what` NULL when it is none of that. */
static so_sniffed stranger(const unsigned char *p, size_t size)
{
    static const char html[] = "an HTML page (of a server's error or login, saved instead of the file)";
    static const char pointer[] = "a git-lfs pointer (the file itself was never fetched: git lfs pull)";
    static const char zeros[] = "zeros only (a download that was not finished?)";
    static const char answer[] = "a server's answer with an error, saved instead of the file";
    so_sniffed is = {SO_CONTENT_OTHER, NULL, NULL, true, false};
    if (!size) return is.content = SO_CONTENT_EMPTY, is.what = "an empty file", is;
    size_t at = blanks(p, size), look = size < 65536 ? size : 65536, zero = 0;
    while (zero < look && p[zero] == 0) zero++;
    if (begins(p, size, "version https://git-lfs") || begins(p, size, "version https://hawser")) is.what = pointer;
    if (is_page(p, size, at)) is.what = html;
    if (is_answer(p + at, size - at)) is.what = answer;
    if (zero == look && size >= 64) is.what = zeros;
    return is;
}

so_sniffed so_sniff(const void *data, size_t size)
{
    const unsigned char *p = data;
    so_sniffed strange = stranger(p, size);
    if (strange.what) return strange;
    for (size_t i = 0; i < sizeof signatures / sizeof *signatures; i++) {
        const signature *s = &signatures[i];
        if (has(p, size, s->at, s->bytes, s->length)) return s->is;
    }
    const char *what = short_signature(p, size);
    if (what) return (so_sniffed){SO_CONTENT_PICTURE, what, to_png, false, true};
    const so_sniffed *framed = frame(p, size);
    if (framed) return *framed;
    size_t at = blanks(p, size);
    if (begins(p + at, size - at, "<svg") || begins(p + at, size - at, "<?xml"))
        return (so_sniffed){SO_CONTENT_OTHER, "an SVG drawing or other XML", to_png, false, false};
    if (size >= 9 && p[8] == '{' && !p[6] && !p[7])
        return (so_sniffed){SO_CONTENT_MODEL, "a safetensors file", NULL, false, false};
    if (is_text(p, size)) return (so_sniffed){SO_CONTENT_TEXT, "a text", NULL, false, false};
    return (so_sniffed){SO_CONTENT_UNKNOWN, "nothing that is known", NULL, false, false};
}
