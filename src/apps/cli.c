/* Options, errors, progress and colour of the program.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "apps/cli.h"

#include "base/plain.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#ifndef SO_SHARE_DIR
#define SO_SHARE_DIR "/usr/local/share/stream-omni"
#endif

/* ---- options */

/* What an option does, on a terminal in its own column: words that do not fit go on below. */
static void put_help(const char *help, const char *shown)
{
    enum { COLUMN = 25 };
    char text[512];
    size_t width = isatty(STDOUT_FILENO) ? so_cli_width(stdout) : 0, at = COLUMN;
    snprintf(text, sizeof text, "%s%s", help, shown);
    if (width < 2 * COLUMN) {
        printf("%s\n", text);
        return;
    }
    for (char *rest = NULL, *word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        size_t n = so_cli_columns(word);
        if (at > COLUMN && at + 1 + n >= width) {
            printf("\n%*s", COLUMN, "");
            at = COLUMN;
        }
        at += n + (size_t)printf("%s%s", at > COLUMN ? " " : "", word) - strlen(word);
    }
    printf("\n");
}

static void help_option(const so_option *o)
{
    char left[64], shown[64] = "";
    snprintf(left, sizeof left, "--%s%s%s", o->name, o->meta ? " " : "", o->meta ? o->meta : "");
    if (o->kind == SO_OPTION_INT && *(int64_t *)o->value != 0)
        snprintf(shown, sizeof shown, " (%" PRId64 ")", *(int64_t *)o->value);
    if (o->kind == SO_OPTION_REAL && *(double *)o->value != 0)
        snprintf(shown, sizeof shown, " (%g)", *(double *)o->value);
    if (o->kind == SO_OPTION_TEXT && *(const char **)o->value)
        snprintf(shown, sizeof shown, " (%s)", *(const char **)o->value);
    printf("  %-22s ", left);
    put_help(o->help, shown);
}

static void help(const so_verb *verb, const so_option *options)
{
    printf("usage: stream-omni %s\n\n%s\n\n", verb->usage, verb->summary);
    for (; options->name; options++) help_option(options);
    printf("  %-22s ", "--help");
    put_help("this text", "");
    if (verb->details) printf("\n%s", verb->details);
}

int so_cli_usage(const so_verb *verb, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    fprintf(stderr, "%sstream-omni %s:%s ", so_cli_red(stderr), verb->name, so_cli_plain(stderr));
    so_cli_put(stderr, text, strlen(text), false);
    fprintf(stderr, " (see stream-omni %s --help)\n", verb->name);
    va_end(args);
    return SO_EXIT_USAGE;
}

static bool in_range(const so_option *o, double x)
{
    return (o->least == 0 && o->most == 0) || (x >= o->least && x <= o->most);
}

/* Writes the text into the option's variable; false when it is not such a value. */
static bool take(const so_option *o, const char *text)
{
    char *end;
    errno = 0;
    if (o->kind == SO_OPTION_TEXT) {
        *(const char **)o->value = text;
        return true;
    }
    if (o->kind == SO_OPTION_TEXTS) {
        so_texts *all = o->value;
        if (all->n == (int)(sizeof all->text / sizeof all->text[0])) return false;
        all->text[all->n++] = text;
        return true;
    }
    if (isspace((unsigned char)text[0])) return false; /* which the functions below skip */
    if (o->kind == SO_OPTION_INT) {
        long long n = strtoll(text, &end, 10);
        if (end == text || *end || errno || !in_range(o, (double)n)) return false;
        *(int64_t *)o->value = n;
        return true;
    }
    double x = strtod(text, &end);
    if (end == text || *end || errno || !isfinite(x) || !in_range(o, x)) return false;
    *(double *)o->value = x;
    return true;
}

static const so_option *find_option(const so_option *options, const char *name, size_t length)
{
    for (; options->name; options++)
        if (strlen(options->name) == length && strncmp(options->name, name, length) == 0) return options;
    return NULL;
}

static int bad_value(const so_verb *verb, const so_option *o, const char *text)
{
    const char *kind = o->kind == SO_OPTION_INT ? "a whole number" : "a number";
    if (o->kind == SO_OPTION_TEXTS) return so_cli_usage(verb, "--%s is given more than 64 times", o->name);
    if (o->least == 0 && o->most == 0) return so_cli_usage(verb, "--%s wants %s, found '%s'", o->name, kind, text);
    const char *format = o->kind == SO_OPTION_INT ? "--%s wants %s from %.0f to %.0f, found '%s'"
                                                  : "--%s wants %s from %g to %g, found '%s'";
    return so_cli_usage(verb, format, o->name, kind, o->least, o->most, text);
}

int so_cli_parse(const so_verb *verb, const so_option *options, int argc, char **argv, int *operands)
{
    bool plain = false;
    *operands = 0;
    for (int i = 0; i < argc; i++) {
        char *a = argv[i];
        if (plain || a[0] != '-' || a[1] == 0) {
            argv[(*operands)++] = a;
            continue;
        }
        if (strcmp(a, "--") == 0) {
            plain = true;
            continue;
        }
        if (strcmp(a, "--help") == 0 || strcmp(a, "-h") == 0) {
            help(verb, options);
            return SO_EXIT_OK;
        }
        const char *value = strchr(a, '=');
        size_t length = a[1] == '-' ? (value ? (size_t)(value - a) : strlen(a)) - 2 : 0;
        const so_option *o = a[1] == '-' ? find_option(options, a + 2, length) : NULL;
        if (strcmp(a, "-o") == 0) o = find_option(options, "output", 6);
        if (!o) return so_cli_usage(verb, "unknown option '%s'", a);
        if (o->kind == SO_OPTION_FLAG) {
            if (value) return so_cli_usage(verb, "--%s takes no value, found '%s'", o->name, value + 1);
            *(bool *)o->value = true;
            continue;
        }
        if (!value && i + 1 == argc) return so_cli_usage(verb, "--%s wants a value (%s)", o->name, o->meta);
        value = value ? value + 1 : argv[++i];
        if (!take(o, value)) return bad_value(verb, o, value);
    }
    return -1;
}

int so_cli_fail(const so_error *error)
{
    if (so_cli_stop == SIGPIPE) return SO_EXIT_FAILURE; /* nobody reads what is said: so do all filters */
    char line[sizeof error->text];
    snprintf(line, sizeof line, "%s", error->text);
    for (char *p = line; *p; p++)
        if (*p == '\n' || *p == '\r') *p = ' ';
    fflush(stdout);
    fprintf(stderr, "%serror:%s %s\n", so_cli_red(stderr), so_cli_plain(stderr), line);
    return SO_EXIT_FAILURE;
}

int so_cli_end(so_status status, const so_error *error) { return status == SO_OK ? SO_EXIT_OK : so_cli_fail(error); }

/* ---- terminals */
bool so_cli_colour(FILE *file)
{
    const char *term = getenv("TERM");
    return isatty(fileno(file)) && !getenv("NO_COLOR") && term && strcmp(term, "dumb") != 0;
}

const char *so_cli_bold(FILE *file) { return so_cli_colour(file) ? "\033[1m" : ""; }
const char *so_cli_dim(FILE *file) { return so_cli_colour(file) ? "\033[2m" : ""; }
const char *so_cli_red(FILE *file) { return so_cli_colour(file) ? "\033[31m" : ""; }
const char *so_cli_green(FILE *file) { return so_cli_colour(file) ? "\033[32m" : ""; }
const char *so_cli_plain(FILE *file) { return so_cli_colour(file) ? "\033[0m" : ""; }

size_t so_cli_width(FILE *file)
{
    struct winsize size = {0};
    return ioctl(fileno(file), TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 80;
}

/* Of the character that begins here; 0 within one. Everything from U+1100 on counts as wide: room is wasted, never
 * missing. */
static size_t width_of(const char *p)
{
    unsigned char c = (unsigned char)*p, next = c ? (unsigned char)p[1] : 0;
    if ((c & 0xc0) == 0x80) return 0;
    return c > 0xe1 || (c == 0xe1 && next >= 0x84) ? 2 : 1;
}

size_t so_cli_columns(const char *text)
{
    size_t columns = 0;
    for (; *text; text++) columns += width_of(text);
    return columns;
}

const char *so_cli_tail(const char *text, size_t columns)
{
    size_t all = so_cli_columns(text);
    for (; *text && (all > columns || ((unsigned char)*text & 0xc0) == 0x80); text++) all -= width_of(text);
    return text;
}

double so_cli_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- progress */
enum { BAR_WIDTH = 24 };

void so_bar_start(so_bar *bar, const char *what, const char *unit)
{
    *bar = (so_bar){.what = what, .unit = unit, .started = so_cli_now()};
    bar->drawn = bar->started;
}

static const char *span_of_time(double s, char text[32])
{
    if (s < 100)
        snprintf(text, 32, "%.0f s", s);
    else if (s < 6000)
        snprintf(text, 32, "%.0f min %02d s", floor(s / 60), (int)fmod(s, 60));
    else
        snprintf(text, 32, "%.1f h", s / 3600);
    return text;
}

void so_bar_step(so_bar *bar, double done, double total)
{
    double now = so_cli_now(), elapsed = now - bar->started;
    bool terminal = so_cli_colour(stderr);
    if (elapsed < 2 || now - bar->drawn < (terminal ? 0.2 : 30) || total <= 0) return;
    bar->drawn = now;
    char bars[BAR_WIDTH + 1], left[32];
    int full = (int)(BAR_WIDTH * (done < total ? done / total : 1));
    for (int i = 0; i < BAR_WIDTH; i++) bars[i] = i < full ? '#' : '.';
    bars[BAR_WIDTH] = 0;
    double rate = done / elapsed;
    span_of_time(rate > 0 ? (total - done) / rate : 0, left);
    fprintf(stderr, "%s%s %s %3.0f %%  %.0f of %.0f %s, %.3g/s, %s left%s", terminal ? "\r" : "", bar->what, bars,
            100 * done / total, done, total, bar->unit, rate, left, terminal ? "\033[K" : "\n");
    fflush(stderr);
    bar->shown = true;
}

void so_bar_end(so_bar *bar)
{
    if (bar->shown && so_cli_colour(stderr)) fprintf(stderr, "\r\033[K");
    bar->shown = false;
}

/* ---- words */
void so_cli_put(FILE *out, const char *text, size_t length, bool lines)
{
    char one[8];
    for (size_t at = 0; at < length;) {
        at += so_plain_one(text + at, length - at, lines, one);
        fputs(one, out);
    }
}

void so_json_text(FILE *out, const char *text)
{
    const char *p = text ? text : "";
    fputc('"', out);
    for (size_t n = strlen(p), used; n; p += used, n -= used) {
        char one[8];
        used = so_plain_one(p, n, false, one);
        if (*p == '"' || *p == '\\')
            fprintf(out, "\\%c", *p);
        else if (*p == '\n' || *p == '\t' || *p == '\r' || (one[0] == '\\' && one[1] == 'u'))
            fputs(one, out);
        else if (one[0] == '\\' && (unsigned char)*p < 0x80)
            fprintf(out, "\\u%04x", (unsigned)(unsigned char)*p);
        else
            fputs(one[0] == '\\' ? "\\ufffd" : one, out); /* not UTF-8: no byte of it may stand in JSON */
    }
    fputc('"', out);
}

void so_json_number(FILE *out, double x)
{
    if (isfinite(x))
        fprintf(out, "%.9g", x);
    else
        fputs("null", out);
}

static const char *rounded(double x, double step, const char *const *unit, int units, char text[32])
{
    int i = 0;
    while (x >= step && i + 1 < units) {
        x /= step;
        i++;
    }
    snprintf(text, 32, i == 0 ? "%.0f%s" : x < 100 ? "%.1f%s" : "%.0f%s", x, unit[i]);
    return text;
}

const char *so_cli_size(double bytes, char text[32])
{
    static const char *const unit[] = {" bytes", " KB", " MB", " GB", " TB"};
    return rounded(bytes, 1000, unit, 5, text);
}

const char *so_cli_count(double n, char text[32])
{
    static const char *const unit[] = {"", " thousand", " million", " billion"};
    return rounded(n, 1000, unit, 4, text);
}

const char *so_cli_shipped(const char *relative)
{
    static char path[4096];
    char self[2048];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = 0;
    char *slash = strrchr(self, '/');
    if (slash) *slash = 0;
    const char *const place[] = {".", self, SO_SHARE_DIR};
    const char *const between[] = {"/", "/../", "/"};
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s%s%s", place[i], between[i], relative);
        if (access(path, R_OK) == 0) return strncmp(path, "./", 2) == 0 ? path + 2 : path;
    }
    snprintf(path, sizeof path, "%s/../share/stream-omni/%s", self, relative);
    return access(path, R_OK) == 0 ? path : NULL;
}

const char *so_cli_model(const char *given)
{
    if (given) return given;
    const char *found = so_cli_shipped("models/tabletop.gguf");
    return found ? found : "models/tabletop.gguf";
}
