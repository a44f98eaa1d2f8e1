/* Reports: one HTML file with drawings, pictures and sounds inside.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/report.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

struct so_report {
    char *text;
    size_t size, capacity;
    bool failed; /* memory ended */
};

static void add_bytes(so_report *r, const char *bytes, size_t n)
{
    if (r->failed) return;
    if (n > r->capacity - r->size) {
        size_t capacity = 2 * (r->size + n) + 4096;
        char *grown = realloc(r->text, capacity);
        r->failed = !grown;
        if (!grown) return;
        r->text = grown;
        r->capacity = capacity;
    }
    memcpy(r->text + r->size, bytes, n);
    r->size += n;
}

static void add(so_report *r, const char *text) { add_bytes(r, text, strlen(text)); }

static void addf(so_report *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void addf(so_report *r, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    add_bytes(r, text, n < (int)sizeof text ? (size_t)(n > 0 ? n : 0) : sizeof text - 1);
}

static void add_escaped(so_report *r, const char *text)
{
    for (const char *p = text ? text : ""; *p; p++) {
        switch (*p) {
        case '<':
            add(r, "&lt;");
            break;
        case '>':
            add(r, "&gt;");
            break;
        case '&':
            add(r, "&amp;");
            break;
        case '"':
            add(r, "&quot;");
            break;
        default:
            add_bytes(r, p, 1);
            break;
        }
    }
}

static void add_base64(so_report *r, const void *data, size_t bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *p = data;
    for (size_t i = 0; i < bytes; i += 3) {
        size_t n = bytes - i < 3 ? bytes - i : 3;
        uint32_t v = (uint32_t)p[i] << 16 | (n > 1 ? (uint32_t)p[i + 1] << 8 : 0) | (n > 2 ? p[i + 2] : 0);
        char out[4] = {digits[v >> 18], digits[v >> 12 & 63], n > 1 ? digits[v >> 6 & 63] : '=',
                       n > 2 ? digits[v & 63] : '='};
        add_bytes(r, out, 4);
    }
}

static const char HEAD[] =
    "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
    "content=\"width=device-width\">"
    "<style>body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;"
    "background:#fff}h1{font-size:1.7rem}h2{font-size:1.25rem;margin-top:2rem}table{border-collapse:collapse;margin:"
    "1rem 0;"
    "display:block;overflow-x:auto}td,th{padding:.2rem .7rem;border-bottom:1px solid #ddd;text-align:left;"
    "font-variant-numeric:tabular-nums}figure{display:inline-block;margin:.5rem 1rem .5rem "
    "0;vertical-align:top;max-width:100%}"
    "figcaption{font-size:.85rem;color:#555;max-width:40rem}img{image-rendering:pixelated;max-width:100%;"
    "border:1px solid #ddd}svg{max-width:100%;height:auto}svg text{font:12px system-ui,sans-serif;fill:#555}"
    ".wide{display:block}.wide div{overflow-x:auto}.wide img{max-width:none}th:empty{display:none}"
    ".matrix td,.matrix th{padding:0 "
    "2px;border:0;font-size:.7rem;line-height:1.1}audio{display:block;width:20rem;max-width:100%}"
    "</style><title>";

so_status so_report_open(so_report **out, const char *title, so_error *error)
{
    so_report *r = *out = calloc(1, sizeof *r);
    if (!r) return so_fail(error, SO_ERR_NOMEM, "no memory for a report");
    add(r, HEAD);
    add_escaped(r, title);
    add(r, "</title></head><body>\n<h1>");
    add_escaped(r, title);
    add(r, "</h1>\n");
    return SO_OK;
}

void so_report_close(so_report **report)
{
    if (!report || !*report) return;
    free((*report)->text);
    free(*report);
    *report = NULL;
}

so_status so_report_save(const so_report *report, const char *path, so_error *error)
{
    static const char tail[] = "</body></html>\n";
    if (report->failed) return so_fail(error, SO_ERR_NOMEM, "no memory for the report '%s'", path);
    so_writer writer;
    SO_TRY(so_writer_open(&writer, path, error));
    so_status status = so_writer_put(&writer, report->text, report->size, error);
    if (status == SO_OK) status = so_writer_put(&writer, tail, sizeof tail - 1, error);
    if (status == SO_OK) status = so_writer_commit(&writer, error);
    so_writer_drop(&writer);
    return status;
}

void so_report_heading(so_report *r, const char *text)
{
    add(r, "<h2>");
    add_escaped(r, text);
    add(r, "</h2>\n");
}

void so_report_text(so_report *r, const char *format, ...)
{
    char text[4096];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    add(r, "<p>");
    add_escaped(r, text);
    add(r, "</p>\n");
}

void so_report_table(so_report *r, int rows, int cols, const char *const *cells)
{
    add(r, "<table>");
    for (int i = 0; i < rows; i++) {
        add(r, "<tr>");
        for (int k = 0; k < cols; k++) {
            add(r, i ? "<td>" : "<th>");
            add_escaped(r, cells[i * cols + k]);
            add(r, i ? "</td>" : "</th>");
        }
        add(r, "</tr>\n");
    }
    add(r, "</table>\n");
}

/* ---- curves */

enum { WIDE = 720, HIGH = 260, LEFT = 64, RIGHT = 12, TOP = 12, BOTTOM = 30, COLUMNS = 320 };
static const char *const colour[] = {"#2563eb", "#dc2626", "#059669", "#d97706",
                                     "#7c3aed", "#0891b2", "#be185d", "#525252"};
enum { COLOURS = sizeof colour / sizeof *colour };

typedef struct axes {
    double x0, x1, y0, y1;
    bool log;
} axes;

static double height_of(const axes *a, double y) { return a->log ? log10(y) : y; }

static double at_x(const axes *a, double x) { return LEFT + (x - a->x0) / (a->x1 - a->x0) * (WIDE - LEFT - RIGHT); }
static double at_y(const axes *a, double y)
{
    double part = (height_of(a, y) - a->y0) / (a->y1 - a->y0);
    return HIGH - BOTTOM - part * (HIGH - TOP - BOTTOM);
}

/* False when there is nothing to draw. */
static bool fit_axes(axes *a, const so_curve *const *curve, int n)
{
    double low = INFINITY, high = -INFINITY;
    *a = (axes){INFINITY, -INFINITY, 0, 0, true};
    for (int i = 0; i < n; i++)
        for (int64_t k = 0; k < curve[i]->count; k++) {
            a->x0 = fmin(a->x0, curve[i]->step[k]);
            a->x1 = fmax(a->x1, curve[i]->step[k]);
            low = fmin(low, curve[i]->value[k]);
            high = fmax(high, curve[i]->value[k]);
        }
    if (!(high >= low)) return false;
    a->log = low > 0 && high / low > 50;
    a->y0 = height_of(a, low);
    a->y1 = height_of(a, high);
    if (!(a->y1 - a->y0 > 1e-12 * fabs(a->y1))) a->y0 -= 0.5, a->y1 += 0.5;
    if (!(a->x1 > a->x0)) a->x0 -= 0.5, a->x1 += 0.5;
    return true;
}

static double nice_step(double span, int parts)
{
    double step = pow(10, floor(log10(span / parts))), ratio = span / parts / step;
    return step * (ratio > 5 ? 10 : ratio > 2 ? 5 : ratio > 1 ? 2 : 1);
}

static void draw_grid(so_report *r, const axes *a)
{
    double step = a->log && a->y1 - a->y0 > 2 ? 1 : nice_step(a->y1 - a->y0, 5);
    for (double y = ceil(a->y0 / step) * step; y <= a->y1 + 1e-9 * step; y += step) {
        double value = a->log ? pow(10, y) : fabs(y) < 1e-12 * step ? 0 : y, py = at_y(a, value);
        addf(r,
             "<line x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#e5e5e5\"/><text x=\"%d\" y=\"%.1f\" "
             "text-anchor=\"end\">%.3g</text>",
             LEFT, WIDE - RIGHT, py, py, LEFT - 6, py + 4, value);
    }
    step = nice_step(a->x1 - a->x0, 6);
    for (double x = ceil(a->x0 / step) * step; x <= a->x1 + 1e-9 * step; x += step)
        addf(r, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.6g</text>", at_x(a, x), HIGH - 10, x);
}

/* A line through the means of at most COLUMNS runs of points. */
static void draw_curve(so_report *r, const axes *a, const so_curve *c, const char *paint)
{
    int64_t runs = c->count < COLUMNS ? c->count : COLUMNS;
    addf(r, "<polyline fill=\"none\" stroke-width=\"1.6\" stroke=\"%s\" points=\"", paint);
    for (int64_t i = 0; i < runs; i++) {
        int64_t from = i * c->count / runs, to = (i + 1) * c->count / runs;
        double x = 0, y = 0;
        for (int64_t k = from; k < to; k++) x += c->step[k], y += c->value[k];
        addf(r, "%.1f,%.1f ", at_x(a, x / (double)(to - from)), at_y(a, y / (double)(to - from)));
    }
    add(r, "\"/>");
    if (c->count == 1)
        addf(r, "<circle r=\"3\" fill=\"%s\" cx=\"%.1f\" cy=\"%.1f\"/>", paint, at_x(a, c->step[0]),
             at_y(a, c->value[0]));
}

void so_report_curves(so_report *r, const char *title, const so_curve *const *curve, int n)
{
    axes a;
    if (!fit_axes(&a, curve, n)) return;
    addf(r, "<figure><svg viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" role=\"img\">", WIDE, HIGH, WIDE, HIGH);
    draw_grid(r, &a);
    for (int i = 0; i < n; i++)
        if (curve[i]->count) draw_curve(r, &a, curve[i], colour[i % COLOURS]);
    add(r, "</svg><figcaption><b>");
    add_escaped(r, title);
    add(r, "</b> over steps:");
    for (int i = 0; i < n; i++) {
        addf(r, " <span style=\"color:%s\">&#9632; ", colour[i % COLOURS]);
        add_escaped(r, curve[i]->name);
        add(r, "</span>");
    }
    add(r, "</figcaption></figure>\n");
}

/* ---- pictures and sounds */

static void add_caption(so_report *r, const char *caption)
{
    add(r, "<figcaption>");
    add_escaped(r, caption);
    add(r, "</figcaption></figure>\n");
}

static void put_le(unsigned char *at, uint32_t value, int bytes)
{
    for (int i = 0; i < bytes; i++) at[i] = (unsigned char)(value >> 8 * i);
}

/* An uncompressed BMP, which every browser shows and nobody has to deflate. */
static void add_bitmap(so_report *r, const uint8_t *rgb, int width, int height, int zoom)
{
    size_t stride = ((size_t)width * 3 + 3) / 4 * 4, bytes = 54 + stride * (size_t)height;
    unsigned char *bmp = calloc(1, bytes);
    r->failed |= !bmp;
    if (!bmp) return;
    memcpy(bmp, "BM", 2);
    put_le(bmp + 2, (uint32_t)bytes, 4);
    put_le(bmp + 10, 54, 4);
    put_le(bmp + 14, 40, 4);
    put_le(bmp + 18, (uint32_t)width, 4);
    put_le(bmp + 22, (uint32_t)height, 4);
    put_le(bmp + 26, 1, 2);
    put_le(bmp + 28, 24, 2);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < 3; c++)
                bmp[54 + (size_t)(height - 1 - y) * stride + (size_t)x * 3 + (size_t)c] =
                    rgb[((size_t)y * (size_t)width + (size_t)x) * 3 + 2 - (size_t)c];
    addf(r, "<img width=\"%d\" height=\"%d\" src=\"data:image/bmp;base64,", width * zoom, height * zoom);
    add_base64(r, bmp, bytes);
    add(r, "\">");
    free(bmp);
}

static bool sane(int width, int height) { return width > 0 && height > 0 && width <= 16384 && height <= 16384; }

void so_report_picture(so_report *r, const char *caption, const uint8_t *rgb, int width, int height, int zoom)
{
    if (!sane(width, height)) return;
    add(r, "<figure>");
    add_bitmap(r, rgb, width, height, zoom > 0 ? zoom : 1);
    add_caption(r, caption);
}

void so_report_file(so_report *r, const char *caption, const char *type, const void *data, size_t bytes, int width)
{
    bool sound = strncmp(type, "audio/", 6) == 0;
    add(r, sound || width > 0 ? "<figure>" : "<figure class=\"wide\"><div>");
    add(r, sound ? "<audio controls" : "<img");
    if (!sound && width > 0) addf(r, " width=\"%d\"", width);
    add(r, " src=\"data:");
    add_escaped(r, type);
    add(r, ";base64,");
    add_base64(r, data, bytes);
    add(r, sound ? "\"></audio>" : width > 0 ? "\">" : "\"></div>");
    add_caption(r, caption);
}

void so_report_sound(so_report *r, const char *caption, const float *pcm, size_t samples, int rate)
{
    if (samples > ((size_t)1 << 28)) return;
    unsigned char *wav = malloc(44 + 2 * samples);
    r->failed |= !wav;
    if (!wav) return;
    memcpy(wav, "RIFF....WAVEfmt ", 16);
    put_le(wav + 4, (uint32_t)(36 + 2 * samples), 4);
    put_le(wav + 16, 16, 4);
    put_le(wav + 20, 1, 2);
    put_le(wav + 22, 1, 2);
    put_le(wav + 24, (uint32_t)rate, 4);
    put_le(wav + 28, (uint32_t)rate * 2, 4);
    put_le(wav + 32, 2, 2);
    put_le(wav + 34, 16, 2);
    memcpy(wav + 36, "data", 4);
    put_le(wav + 40, (uint32_t)(2 * samples), 4);
    for (size_t i = 0; i < samples; i++) {
        double x = isfinite((double)pcm[i]) ? fmin(fmax((double)pcm[i], -1), 1) : 0;
        put_le(wav + 44 + 2 * i, (uint32_t)(int32_t)lrint(x * 32767), 2);
    }
    add(r, "<figure><audio controls src=\"data:audio/wav;base64,");
    add_base64(r, wav, 44 + 2 * samples);
    add(r, "\"></audio>");
    add_caption(r, caption);
    free(wav);
}

/* Dark blue over violet and orange to light yellow. */
static void heat_colour(double part, uint8_t *rgb)
{
    static const double stop[5][3] = {{8, 8, 48}, {86, 30, 120}, {190, 55, 84}, {249, 142, 9}, {252, 250, 180}};
    double at = fmin(fmax(part, 0), 1) * 4;
    int i = at >= 4 ? 3 : (int)at;
    for (int c = 0; c < 3; c++) rgb[c] = (uint8_t)lrint(stop[i][c] + (at - i) * (stop[i + 1][c] - stop[i][c]));
}

static void add_names(so_report *r, const char *what, int n, const char *const *name)
{
    if (!name) return;
    addf(r, "<br>%s: ", what);
    for (int i = 0; i < n; i++) {
        addf(r, "%s<b>%d</b>&nbsp;", i ? " " : "", i + 1);
        add_escaped(r, name[i]);
    }
}

void so_report_matrix(so_report *r, const char *caption, int rows, int cols, const float *value,
                      const char *const *row_name, const char *const *col_name)
{
    if (!sane(cols, rows)) return;
    size_t n = (size_t)rows * (size_t)cols;
    uint8_t *rgb = malloc(3 * n);
    double low = INFINITY, high = -INFINITY;
    r->failed |= !rgb;
    if (!rgb) return;
    for (size_t i = 0; i < n; i++)
        if (isfinite((double)value[i])) low = fmin(low, (double)value[i]), high = fmax(high, (double)value[i]);
    for (size_t i = 0; i < n; i++) {
        double part = high > low ? ((double)value[i] - low) / (high - low) : 0;
        heat_colour(isfinite((double)value[i]) ? part : 0, rgb + 3 * i);
    }
    int zoom = cols > 320 || rows > 160 ? 1 : cols > 160 || rows > 80 ? 3 : cols > 80 || rows > 40 ? 6 : 10;
    add(r, "<figure>");
    add_bitmap(r, rgb, cols, rows, zoom);
    add(r, "<figcaption>");
    add_escaped(r, caption);
    if (high >= low) addf(r, " (%.3g to %.3g)", low, high);
    add_names(r, "rows", rows, row_name);
    add_names(r, "columns", cols, col_name);
    add(r, "</figcaption></figure>\n");
    free(rgb);
}

/* ---- a run */

static bool is_plain(const char *name)
{
    static const char *const own[] = {"rate", "norm", "tokens_per_s", "skipped", "elapsed", "eval.elapsed"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (strcmp(name, own[i]) == 0) return false;
    return true;
}

static void summarise(so_report *r, const so_history *h)
{
    add(r, "<table><tr><th>value</th><th>first</th><th>lowest</th><th>highest</th><th>last</th></tr>\n");
    for (int64_t i = 0; i < h->count; i++) {
        const so_curve *c = &h->curve[i];
        if (c->count == 0) continue;
        double low = c->value[0], high = c->value[0];
        for (int64_t k = 1; k < c->count; k++) low = fmin(low, c->value[k]), high = fmax(high, c->value[k]);
        add(r, "<tr><td>");
        add_escaped(r, c->name);
        addf(r, "</td><td>%.5g</td><td>%.5g</td><td>%.5g</td><td>%.5g</td></tr>\n", c->value[0], low, high,
             c->value[c->count - 1]);
    }
    add(r, "</table>\n");
}

so_status so_report_run(so_report *r, const char *folder, so_error *error)
{
    char path[4096];
    so_history h;
    snprintf(path, sizeof path, "%s/log.jsonl", folder);
    SO_TRY(so_history_load(&h, path, error));
    const so_curve *some[SO_MAX_NOTES];
    int n = 0;
    for (int64_t i = 0; i < h.count && n < SO_MAX_NOTES; i++)
        if (strncmp(h.curve[i].name, "eval.", 5) != 0 && is_plain(h.curve[i].name)) some[n++] = &h.curve[i];
    so_report_curves(r, "training", some, n);
    for (int64_t i = 0; i < h.count; i++) {
        const so_curve *c = &h.curve[i];
        if (strncmp(c->name, "eval.", 5) == 0 && is_plain(c->name)) so_report_curves(r, c->name, &c, 1);
    }
    static const char *const own[][2] = {
        {"rate", "learning rate"}, {"norm", "gradient norm"}, {"tokens_per_s", "tokens per second"}};
    for (int i = 0; i < 3; i++) {
        const so_curve *c = so_history_find(&h, own[i][0]);
        if (c) so_report_curves(r, own[i][1], &c, 1);
    }
    summarise(r, &h);
    so_history_close(&h);
    return SO_OK;
}
