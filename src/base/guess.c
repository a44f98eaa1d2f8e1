/* What a file is, by its first bytes.
 * Source: the formats' own signatures; git-lfs' pointer specification.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "base/guess.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

static const char html[] = "an HTML page (of a server's error or login, saved instead of the file)";
static const char pointer[] = "a git-lfs pointer (the file itself was never fetched: git lfs pull)";
static const char zeros[] = "zeros only (a download that was not finished?)";
static const char answer[] = "a server's answer with an error, saved instead of the file";

typedef struct signature {
    size_t at, length;
    const char *bytes, *what;
} signature;

#define AT(at, bytes, what)                                                                                            \
    {                                                                                                                  \
        at, sizeof bytes - 1, bytes, what                                                                              \
    }

static const signature signatures[] = {
    AT(0, "GGUF", "a GGUF model"),
    AT(0, "ggml", "a GGML file older than GGUF"),
    AT(0, "tjgg", "a GGML file older than GGUF"),
    AT(0, "\xff\xd8\xff", "a JPEG picture"),
    AT(0, "\x89PNG", "a PNG picture"),
    AT(0, "GIF8", "a GIF picture"),
    AT(8, "WEBP", "a WebP picture"),
    AT(8, "WAVE", "a WAV recording"),
    AT(8, "AVI ", "an AVI film"),
    AT(0, "\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
    AT(0, "\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    AT(0, "\0\0\0\x0cJXL ", "a JPEG XL picture"),
    AT(0, "\xff\x0a", "a JPEG XL picture"),
    AT(0, "\0\0\1\0", "a Windows icon"),
    AT(0, "8BPS", "a Photoshop picture"),
    AT(0, "gimp xcf", "a GIMP picture"),
    AT(0, "qoif", "a QOI picture"),
    AT(0, "DDS ", "a DDS texture"),
    AT(0, "v/1\1", "an OpenEXR picture"),
    AT(0, "#?RADIANCE", "a Radiance picture"),
    AT(0, "%PDF", "a PDF document"),
    AT(0, "%!PS", "a PostScript document"),
    AT(0, "\x1a\x45\xdf\xa3", "a Matroska or WebM file"),
    AT(4, "ftypheic", "a HEIC picture"),
    AT(4, "ftypavif", "an AVIF picture"),
    AT(4, "ftyp", "an MP4 or QuickTime file"),
    AT(0, "fLaC", "a FLAC recording"),
    AT(0, "OggS", "an Ogg recording"),
    AT(0, "ID3", "an MP3 recording"),
    AT(0, "PK\3\4", "a zip archive"),
    AT(0, "\x1f\x8b", "a gzip archive"),
    AT(0, "\x28\xb5\x2f\xfd", "a zstd archive"),
    AT(0, "BZh", "a bzip2 archive"),
    AT(0,
       "\xfd"
       "7zXZ",
       "an xz archive"),
    AT(0, "7z\xbc\xaf", "a 7z archive"),
    AT(0, "Rar!", "a RAR archive"),
    AT(257, "ustar", "a tar archive"),
    AT(0, "\x80\2", "a Python pickle"),
    AT(0, "\x80\4", "a Python pickle"),
    AT(0, "\x89HDF", "an HDF5 file"),
    AT(0,
       "\x7f"
       "ELF",
       "a program"),
    AT(0, "MZ", "a Windows program"),
};

static size_t blanks(const unsigned char *p, size_t size)
{
    size_t at = size >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    while (at < size && (p[at] == ' ' || (p[at] >= 9 && p[at] <= 13))) at++;
    return at;
}

static bool begins(const unsigned char *p, size_t size, const char *text)
{
    size_t n = strlen(text);
    return size >= n && strncasecmp((const char *)p, text, n) == 0;
}

/* Texts that servers and git leave where a file should be. */
static const char *stranger(const unsigned char *p, size_t size)
{
    if (!size) return "an empty file";
    if (begins(p, size, "version https://git-lfs") || begins(p, size, "version https://hawser")) return pointer;
    size_t at = blanks(p, size), look = size < 65536 ? size : 65536, zero = 0;
    const unsigned char *q = p + at;
    size_t head = look < 1024 ? look : 1024;
    bool page =
        begins(q, size - at, "<!doctype html") || begins(q, size - at, "<html") || begins(q, size - at, "<head");
    bool xml = begins(q, size - at, "<?xml") && (memmem(p, head, "<Error", 6) || memmem(p, head, "<html", 5));
    if (page || xml) return html;
    if (begins(q, size - at, "{\"error\"") || begins(q, size - at, "Invalid username or password") ||
        begins(q, size - at, "Entry not found") || begins(q, size - at, "Repository not found") ||
        begins(q, size - at, "Access to model") || begins(q, size - at, "404: Not Found"))
        return answer;
    while (zero < look && p[zero] == 0) zero++;
    return zero == look && size >= 64 ? zeros : NULL;
}

const char *so_guess(const void *data, size_t size)
{
    const unsigned char *p = data;
    const char *what = stranger(p, size);
    if (what) return what;
    for (size_t i = 0; i < sizeof signatures / sizeof *signatures; i++) {
        const signature *s = &signatures[i];
        if (size >= s->at + s->length && memcmp(p + s->at, s->bytes, s->length) == 0) return s->what;
    }
    size_t at = blanks(p, size), text = 0, look = size < 512 ? size : 512;
    if (begins(p + at, size - at, "<svg") || begins(p + at, size - at, "<?xml")) return "an SVG drawing or other XML";
    if (size >= 9 && p[8] == '{' && p[7] == 0 && p[6] == 0) return "a safetensors file";
    if (at < size && (p[at] == '{' || p[at] == '[')) return "JSON or another text";
    while (text < look && (p[text] >= 0x20 || (p[text] >= 9 && p[text] <= 13)) && p[text] != 0x7f) text++;
    return size >= 4 && text == look ? "a text" : NULL;
}

so_status so_refuse_stranger(const void *data, size_t size, const char *expected, so_error *error)
{
    const char *what = stranger(data, size);
    return what ? so_fail(error, SO_ERR_FORMAT, "%s, expected %s", what, expected) : SO_OK;
}

so_status so_refuse_strange_text(const void *data, size_t size, so_error *error)
{
    const unsigned char *p = data;
    SO_TRY(so_refuse_stranger(data, size, "JSON", error));
    if (size >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0)
        return so_fail(error, SO_ERR_FORMAT,
                       "a byte order mark before the text (as some Windows editors write), expected UTF-8 without one");
    if (size >= 2 && (memcmp(p, "\xff\xfe", 2) == 0 || memcmp(p, "\xfe\xff", 2) == 0 || !p[0] || !p[1]))
        return so_fail(error, SO_ERR_FORMAT, "UTF-16 text, expected UTF-8");
    return SO_OK;
}

bool so_unfinished(const char *path, char *found, size_t size)
{
    static const char *const endings[] = {".part", ".incomplete", ".crdownload", ".aria2", ".download", ".tmp", ".!qB"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        int n = snprintf(found, size, "%s%s", path, endings[i]);
        if (n > 0 && (size_t)n < size && access(found, F_OK) == 0) return true;
    }
    return false;
}
