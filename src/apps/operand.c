/* What an argument of the command line is.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "apps/operand.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "apps/operand_url.h"
#include "apps/signals.h"
#include "base/plain.h"
#include "base/sniff.h"

/* Names with these endings mean files, whether they exist or not: a mistyped one is not to be answered as words. */
static const char *const sounds[] = {
    "wav",  "wave", "flac", "ogg",  "oga", "opus", "mp3", "mp2",  "mpga", "aif",  "aiff", "aifc", "au",
    "snd",  "caf",  "w64",  "rf64", "m4a", "m4b",  "aac", "alac", "amr",  "3gp",  "3gpp", "3g2",  "wma",
    "webm", "weba", "mp4",  "m4v",  "mov", "mkv",  "mka", "avi",  "mpg",  "mpeg", "ape",  "wv",   "tta",
    "dsf",  "ra",   "voc",  "gsm",  "spx", "mid",  "flv", "pcm",  "raw",  "sph",  "g722", NULL};
static const char *const pictures[] = {"png",  "apng", "jpg", "jpeg", "jpe", "jfif", "webp", "gif",  "bmp",
                                       "tif",  "tiff", "ppm", "pgm",  "pbm", "pnm",  "pam",  "heic", "heif",
                                       "avif", "jp2",  "jxl", "tga",  "ico", "svg",  "psd",  "xcf",  "qoi",
                                       "exr",  "hdr",  "dng", "cr2",  "nef", "arw",  NULL};
static const char *const others[] = {"gguf", "safetensors", "pt",  "pth", "onnx", "bin", "ckpt", "json", "jsonl",
                                     "txt",  "md",          "csv", "tsv", "html", "htm", "pdf",  "doc",  "docx",
                                     "odt",  "rtf",         "zip", "tar", "gz",   "xz",  "7z",   "rar",  NULL};

enum { MOST_OF_DEVICE = 64 << 20 }; /* some never end */

double so_operand_wait = 10;
int64_t so_operand_channel;
double so_operand_seconds;

static bool is_one_of(const char *ending, const char *const *list)
{
    for (; *list; list++)
        if (strcasecmp(ending, *list) == 0) return true;
    return false;
}

/* What follows the last dot of the last part of a path, "" when nothing does. */
static const char *ending_of(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *dot = strrchr(name, '.');
    return dot && dot != name ? dot + 1 : "";
}

bool so_operand_is_blank(const char *text) { return text[strspn(text, " \t\r\n")] == 0; }

static bool begins(const char *text, const char *with) { return strncmp(text, with, strlen(with)) == 0; }

bool so_operand_is_path(const char *a)
{
    struct stat st;
    if (!a[0]) return false;
    if (strcmp(a, "-") == 0 || so_url_scheme(a) || stat(a, &st) == 0) return true;
    if (begins(a, "/") || begins(a, "./") || begins(a, "../") || begins(a, "~/")) return true;
    if (strchr(a, '/') && !strpbrk(a, " \t\n")) return true;
    const char *ending = ending_of(a);
    return is_one_of(ending, sounds) || is_one_of(ending, pictures) || is_one_of(ending, others);
}

static const char *name_of(const char *argument)
{
    bool typed = strcmp(argument, "-") == 0 || so_descriptor_of(argument) == 0;
    return typed ? "standard input" : begins(argument, "data:") ? "the data: URL" : argument;
}

so_status so_operand_bytes(so_input *input, const char *argument, so_error *error)
{
    static bool typed;
    so_input_options options = {.stop = &so_cli_stop, .patience = so_operand_wait};
    *input = (so_input){0};
    if (so_url_scheme(argument)) return so_url_read(input, argument, error);
    bool own = strcmp(argument, "-") == 0 || so_descriptor_of(argument) == 0;
    if (own && typed) return so_fail(error, SO_ERR_ARG, "standard input can be read once, and is named twice");
    typed |= own;
    struct stat st;
    if (stat(argument, &st) == 0 && S_ISCHR(st.st_mode)) options.limit = MOST_OF_DEVICE;
    return so_input_open(input, argument, &options, error);
}

/* ---- what it is not */

/* A command with file names put in, quoted for a shell. */
static void put_command(char *out, size_t size, const char *command, const char *path)
{
    const char *ending = ending_of(path), *name = strrchr(path, '/');
    name = name ? name + 1 : path;
    int stem = (int)strlen(name) - (ending[0] ? (int)strlen(ending) + 1 : 0), slots = 0;
    size_t used = 0;
    for (; *command && used + 1 < size; command++) {
        if (!begins(command, "%s")) {
            out[used++] = *command;
            continue;
        }
        for (const char *p = slots ? name : path; *p && used + 5 < size && (!slots || p - name < stem); p++) {
            const char *one = *p == '\'' ? "'\\''" : (char[]){*p, 0};
            used += (size_t)snprintf(out + used, size - used, "%s", one);
        }
        /* not onto itself */
        bool same = slots && command[2] == '.' && strncasecmp(command + 3, ending, strlen(ending)) == 0 && ending[0];
        if (same && used + 3 < size) used += (size_t)snprintf(out + used, size - used, "-1");
        slots++;
        command++;
    }
    out[used] = 0;
}

/* "; to convert it: COMMAND", or "". Where the content says nothing, the name may. */
static const char *hint(char *out, size_t size, const so_sniffed *is, const char *argument)
{
    char command[512];
    const char *template = is->convert, *ending = ending_of(argument);
    out[0] = 0;
    if (!template && is->content == SO_CONTENT_UNKNOWN)
        template = is_one_of(ending, pictures) ? "magick '%s' '%s.png'"
                   : is_one_of(ending, sounds) ? "ffmpeg -i '%s' '%s.wav'"
                                               : NULL;
    if (!template) return out;
    put_command(command, sizeof command, template, strcmp(argument, "-") == 0 ? "file" : argument);
    snprintf(out, size, "; to %s it: %s", is->content == SO_CONTENT_OTHER ? "get at" : "convert", command);
    return out;
}

static const char *wanted(unsigned takes)
{
    bool words = takes & (SO_TAKES_TEXT | SO_TAKES_TYPED);
    switch (takes & (SO_TAKES_PICTURE | SO_TAKES_SOUND)) {
    case SO_TAKES_PICTURE:
        return words ? "a picture or a text" : "a picture";
    case SO_TAKES_SOUND:
        return words ? "a recording or a text" : "a recording";
    case 0:
        return "a text";
    default:
        return "a picture or a recording";
    }
}

static so_status refuse(const so_operand *o, const so_sniffed *is, const char *argument, unsigned takes,
                        so_error *error)
{
    char more[640] = "";
    if (is->content == SO_CONTENT_TEXT && (takes & SO_TAKES_WORDS))
        snprintf(more, sizeof more, "; words are given with --text");
    else if (is->content == SO_CONTENT_MODEL)
        snprintf(more, sizeof more, "; models are named with --model");
    else if (is->content != SO_CONTENT_SOUND && is->content != SO_CONTENT_PICTURE)
        hint(more, sizeof more, is, argument);
    return so_fail(error, SO_ERR_FORMAT, "%s: %s, expected %s%s", o->name,
                   is->content == SO_CONTENT_EMPTY ? "nothing in it" : is->what, wanted(takes), more);
}

/* ---- decoding */

static void tell_oddities(const so_operand *o)
{
    char name[512], warning[2 * SO_SOUND_WARNING];
    so_plain(name, sizeof name, o->name, strlen(o->name), false);
    if (o->kind == SO_OPERAND_PICTURE && o->picture.frames > 1)
        fprintf(stderr, "note: %s: the first of %d pictures\n", name, o->picture.frames);
    if (o->kind != SO_OPERAND_SOUND || !o->sound.warning[0]) return;
    so_plain(warning, sizeof warning, o->sound.warning, strlen(o->sound.warning), false);
    fprintf(stderr, "warning: %s: %s\n", name, warning);
}

static so_status decode(so_operand *o, const so_input *in, const so_sniffed *is, const char *argument, so_error *error)
{
    char more[640];
    bool sound = o->kind == SO_OPERAND_SOUND;
    so_error own = {0};
    so_sound_options how = {.channel = (int)so_operand_channel, .max_seconds = so_operand_seconds};
    so_status status = sound ? so_audio_decode_with(&o->sound, in->data, in->size, &how, &own)
                             : so_image_decode(&o->picture, in->data, in->size, 0, &own);
    if (status == SO_OK) return tell_oddities(o), SO_OK;
    bool strange =
        status == SO_ERR_UNSUPPORTED || status == SO_ERR_MISSING || (status == SO_ERR_FORMAT && !is->built_in);
    if (!strange || !hint(more, sizeof more, is, argument)[0])
        return so_fail(error, status, "%s: %s", o->name, own.text);
    /* The readers do not know the file's name. */
    static const char *const general[] = {"; or convert it", " (other forms: convert"};
    for (int i = 0; i < 2; i++) {
        char *at = strstr(own.text, general[i]);
        if (at) *at = 0;
    }
    return so_fail(error, status, "%s: %s%s", o->name, own.text, more);
}

/* Bytes without a signature are what a reader takes them for, sound first: there are more such formats. */
static so_status decode_unknown(so_operand *o, const so_input *in, const so_sniffed *is, const char *argument,
                                unsigned takes, so_error *error)
{
    so_error first = {0};
    if (takes & SO_TAKES_SOUND) {
        o->kind = SO_OPERAND_SOUND;
        so_sound_options how = {
            .channel = (int)so_operand_channel, .max_seconds = so_operand_seconds, .name = argument};
        if (so_audio_decode_with(&o->sound, in->data, in->size, &how, &first) == SO_OK) return tell_oddities(o), SO_OK;
    }
    if (takes & SO_TAKES_PICTURE) {
        o->kind = SO_OPERAND_PICTURE;
        if (so_image_decode(&o->picture, in->data, in->size, 0, &first) == SO_OK) return SO_OK;
    }
    return refuse(o, is, argument, takes, error);
}

/* A text without a byte order mark and without the line ends behind it. */
static so_status take_text(so_operand *o, const so_input *in, so_error *error)
{
    const char *text = (const char *)in->data;
    size_t n = in->size;
    if (n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3;
        n -= 3;
    }
    while (n && isspace((unsigned char)text[n - 1])) n--;
    if (n == 0) return so_fail(error, SO_ERR_FORMAT, "%s: no words in it", o->name);
    o->kind = SO_OPERAND_WORDS;
    o->words = strndup(text, n);
    return o->words ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for the %zu bytes of %s", n, o->name);
}

static bool is_stream(const char *argument)
{
    struct stat st;
    return strcmp(argument, "-") == 0 || begins(argument, "data:") || so_descriptor_of(argument) >= 0 ||
           (stat(argument, &st) == 0 && !S_ISREG(st.st_mode));
}

static so_status open_path(so_operand *o, const char *argument, unsigned takes, so_error *error)
{
    so_input in;
    SO_TRY(so_operand_bytes(&in, argument, error));
    so_sniffed is = so_sniff(in.data, in.size);
    bool text = (takes & SO_TAKES_TEXT) || ((takes & SO_TAKES_TYPED) && is_stream(argument));
    o->kind = is.content == SO_CONTENT_PICTURE ? SO_OPERAND_PICTURE : SO_OPERAND_SOUND;
    so_status status;
    if ((is.content == SO_CONTENT_SOUND && (takes & SO_TAKES_SOUND)) ||
        (is.content == SO_CONTENT_PICTURE && (takes & SO_TAKES_PICTURE)))
        status = decode(o, &in, &is, argument, error);
    else if (is.content == SO_CONTENT_TEXT && text)
        status = take_text(o, &in, error);
    else if (is.content == SO_CONTENT_UNKNOWN)
        status = decode_unknown(o, &in, &is, argument, takes, error);
    else
        status = refuse(o, &is, argument, takes, error);
    so_input_close(&in);
    return status;
}

/* Names that lead nowhere, and folders. */
static so_status check_file(const char *path, unsigned takes, so_error *error)
{
    struct stat st;
    bool words = takes & SO_TAKES_WORDS;
    if (so_url_scheme(path) || strcmp(path, "-") == 0 || so_descriptor_of(path) >= 0) return SO_OK;
    if (stat(path, &st) != 0)
        return so_fail(error, SO_ERR_IO, "%s: %s%s", path, strerror(errno),
                       words && errno == ENOENT ? " (words that look like a file are given with --text)" : "");
    if (S_ISDIR(st.st_mode))
        return so_fail(error, SO_ERR_IO, "%s: a folder, expected %s%s", path, wanted(takes),
                       words ? " (a word that a folder has for a name is given with --text)" : "");
    return SO_OK;
}

so_status so_operand_read(so_operand *o, const char *argument, unsigned takes, so_error *error)
{
    *o = (so_operand){.kind = SO_OPERAND_WORDS};
    if (so_operand_is_blank(argument))
        return so_fail(error, SO_ERR_ARG, "an empty argument, expected %s%s", takes & SO_TAKES_WORDS ? "words, " : "",
                       wanted(takes));
    o->name = strdup(name_of(argument));
    if (!o->name) return so_fail(error, SO_ERR_NOMEM, "no memory for a name");
    /* A verb that takes no words has files only. */
    if ((takes & SO_TAKES_WORDS) && !so_operand_is_path(argument)) {
        o->words = strdup(argument);
        return o->words ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for words");
    }
    SO_TRY(check_file(argument, takes, error));
    return open_path(o, argument, takes, error);
}

void so_operand_clear(so_operand *o)
{
    free(o->name);
    free(o->words);
    so_image_clear(&o->picture);
    so_audio_clear(&o->sound);
    *o = (so_operand){.kind = SO_OPERAND_WORDS};
}

so_status so_operand_check_model(const char *path, so_error *error)
{
    struct stat st;
    if (!path) return SO_OK;
    if (so_url_scheme(path))
        return so_fail(error, SO_ERR_UNSUPPORTED,
                       "%.300s: a model is a file or a folder; 'stream-omni pull' fetches the published one", path);
    if (strcmp(path, "-") == 0)
        return so_fail(error, SO_ERR_UNSUPPORTED, "a model is a file or a folder and does not come by standard input");
    if (stat(path, &st) != 0) return so_fail(error, SO_ERR_IO, "%s: %s", path, strerror(errno));
    if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) return SO_OK;
    return so_fail(error, SO_ERR_UNSUPPORTED, "%s: a pipe or a device; a model is a file or a folder, which is mapped",
                   path);
}

/* ---- a turn */

static so_status add_words(so_given *given, const char *words, so_error *error)
{
    char *joined;
    if (asprintf(&joined, "%s%s%s", given->words ? given->words : "", given->words ? " " : "", words) < 0)
        return so_fail(error, SO_ERR_NOMEM, "no memory for words");
    free(given->words);
    given->words = joined;
    return SO_OK;
}

/* Takes the operand over, or says that there is one of its kind already. */
static so_status add(so_given *given, so_operand *o, so_error *error)
{
    so_operand *slot = o->kind == SO_OPERAND_PICTURE ? &given->picture : &given->sound;
    if (o->kind == SO_OPERAND_WORDS) return add_words(given, o->words, error);
    if (slot->name)
        return so_fail(error, SO_ERR_ARG, "one picture and one recording a turn, found %s and %s", slot->name, o->name);
    *slot = *o;
    *o = (so_operand){.kind = SO_OPERAND_WORDS};
    return SO_OK;
}

so_status so_given_read(so_given *given, int n, char **operand, const char *text, unsigned takes, so_error *error)
{
    *given = (so_given){.words = NULL};
    for (int i = 0; i < n; i++) {
        so_operand o;
        so_status status = so_operand_read(&o, operand[i], takes, error);
        if (status == SO_OK) status = add(given, &o, error);
        so_operand_clear(&o);
        SO_TRY(status);
    }
    if (text && so_operand_is_blank(text)) return so_fail(error, SO_ERR_ARG, "--text without words");
    return text ? add_words(given, text, error) : SO_OK;
}

void so_given_clear(so_given *given)
{
    so_operand_clear(&given->picture);
    so_operand_clear(&given->sound);
    free(given->words);
    *given = (so_given){.words = NULL};
}
