/* Writing HTML.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "text/markup.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "text/buffer.h"

static void add(so_page *p, const char *text, size_t size)
{
    if (p->status == SO_OK) p->status = so_string_add(&p->html, text, size, NULL);
}

void so_page_put(so_page *p, const char *format, ...)
{
    char *text;
    va_list args;
    va_start(args, format);
    int n = vasprintf(&text, format, args);
    va_end(args);
    if (n < 0) {
        p->status = SO_ERR_NOMEM;
        return;
    }
    add(p, text, (size_t)n);
    free(text);
}

void so_page_text(so_page *p, const char *text)
{
    size_t size = strlen(text);
    for (size_t at = 0; at < size;) {
        int32_t c;
        size_t n = (size_t)so_utf8_next(text + at, size - at, &c);
        const char *mark = c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : c == '"' ? "&quot;" : NULL;
        if (c < 0 || (c < 32 && c != '\n' && c != '\t')) mark = "\xef\xbf\xbd";
        add(p, mark ? mark : text + at, mark ? strlen(mark) : n);
        at += n;
    }
}

void so_page_cell(so_page *p, bool heading, const char *format, ...)
{
    char *text;
    va_list args;
    va_start(args, format);
    int n = vasprintf(&text, format, args);
    va_end(args);
    if (n < 0) {
        p->status = SO_ERR_NOMEM;
        return;
    }
    so_page_put(p, heading ? "<th>" : "<td>");
    so_page_text(p, text);
    so_page_put(p, heading ? "</th>" : "</td>");
    free(text);
}

void so_page_begin(so_page *p, const char *title)
{
    so_page_put(p, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>");
    so_page_text(p, title);
    so_page_put(
        p, "</title>\n<meta name=\"viewport\" content=\"width=device-width\">\n<style>\n"
           "body{font:16px/1.5 sans-serif;max-width:70em;margin:2em auto;padding:0 1em;color:#222;background:#fff}\n"
           "table{border-collapse:collapse}td,th{border-bottom:1px solid #bbb;padding:.2em .8em;text-align:left;"
           "vertical-align:top}\nsvg{max-width:100%%}mark{background:#cfe8cf}pre{white-space:pre-wrap}"
           "img{max-width:20em}.bad{color:#a00}\n</style></head><body>\n<h1>");
    so_page_text(p, title);
    so_page_put(p, "</h1>\n");
}

void so_histogram_add(so_histogram *h, double value)
{
    double at = value / h->width;
    int bin = !(at >= 0) ? 0 : at >= SO_HISTOGRAM_BINS ? SO_HISTOGRAM_BINS - 1 : (int)at;
    h->bin[bin]++;
    h->n++;
    h->sum += value;
    if (value > h->most) h->most = value;
}

void so_page_histogram(so_page *p, const so_histogram *h)
{
    enum { W = 640, H = 180, LEFT = 8, BASE = 150 };
    int64_t most = 1;
    for (int i = 0; i < SO_HISTOGRAM_BINS; i++) most = h->bin[i] > most ? h->bin[i] : most;
    so_page_put(p, "<h2>");
    so_page_text(p, h->title);
    so_page_put(p, "</h2>\n<p>%lld values, mean %.4g, most %.4g %s</p>\n", (long long)h->n,
                h->n ? h->sum / (double)h->n : 0, h->most, h->unit);
    so_page_put(p, "<svg viewBox=\"0 0 %d %d\" width=\"%d\" role=\"img\" aria-label=\"histogram\">", W, H, W);
    for (int i = 0; i < SO_HISTOGRAM_BINS; i++) {
        double height = (double)h->bin[i] / (double)most * (BASE - 10), x = LEFT + i * 15.6;
        so_page_put(
            p,
            "<rect x=\"%.1f\" y=\"%.1f\" width=\"14\" height=\"%.1f\" fill=\"#357\"><title>%g to %g: %lld</title>"
            "</rect>",
            x, BASE - height, height, i * h->width, (i + 1) * h->width, (long long)h->bin[i]);
        if (i % 10 == 0)
            so_page_put(p, "<text x=\"%.1f\" y=\"%d\" font-size=\"12\">%g</text>", x, BASE + 16, i * h->width);
    }
    so_page_put(p, "<line x1=\"%d\" x2=\"%d\" y1=\"%d\" y2=\"%d\" stroke=\"#888\"/>", LEFT, W - 8, BASE, BASE);
    so_page_put(
        p, "<text x=\"%d\" y=\"%d\" font-size=\"12\" text-anchor=\"end\">%s, the last bar: all beyond</text></svg>\n",
        W - 8, BASE + 16, h->unit);
}

so_status so_page_end(so_page *p, const char *path, so_error *error)
{
    so_page_put(p, "</body></html>\n");
    so_status status = p->status == SO_OK ? so_file_write(path, p->html.data, p->html.size, error)
                                          : so_fail(error, p->status, "no memory for '%s'", path);
    so_string_clear(&p->html);
    return status;
}
