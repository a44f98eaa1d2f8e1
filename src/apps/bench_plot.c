/* Histograms of a load as a drawing.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <math.h>
#include <string.h>

#include "apps/bench_server.h"
#include "base/writer.h"

enum { BARS = 40, WIDTH = 900, LEFT = 60, PANEL = 130, TOP = 50, HIGH = 70 };

static void panel(FILE *to, const so_load_figures *f, so_load_figure figure, int y)
{
    int count[BARS], most = 1;
    bool ratio = figure == SO_LOAD_FACTOR;
    double scale = so_load_scale(f, BARS), unit = ratio ? 1 : 1000, width = (WIDTH - 2.0 * LEFT) / BARS;
    so_load_count(f, scale, count, BARS);
    for (int i = 0; i < BARS; i++) most = count[i] > most ? count[i] : most;
    fprintf(to, "<text x=\"%d\" y=\"%d\" class=\"h\">%s</text>\n", LEFT, y - 8, so_load_words(figure));
    if (f->n)
        fprintf(
            to,
            "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">median %.*f%s, 90 %% %.*f%s, 99 %% %.*f%s, n = %zu</text>\n",
            WIDTH - LEFT, y - 8, ratio ? 2 : 0, so_load_share(f, 0.5) * unit, ratio ? "" : " ms", ratio ? 2 : 0,
            so_load_share(f, 0.9) * unit, ratio ? "" : " ms", ratio ? 2 : 0, so_load_share(f, 0.99) * unit,
            ratio ? "" : " ms", f->n);
    else
        fprintf(to, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">none</text>\n", WIDTH - LEFT, y - 8);
    for (int i = 0; i < BARS; i++) {
        double h = (double)count[i] * HIGH / most;
        if (count[i])
            fprintf(to, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"><title>%d</title></rect>\n",
                    LEFT + i * width, y + HIGH - h, width - 1, h, count[i]);
    }
    fprintf(to, "<path d=\"M%d %dH%d\"/>\n", LEFT, y + HIGH, WIDTH - LEFT);
    for (int i = 0; i <= 4; i++)
        fprintf(to, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.*f%s</text>\n",
                LEFT + (WIDTH - 2.0 * LEFT) * i / 4, y + HIGH + 14, ratio ? 2 : 0, scale * i / 4 * unit,
                ratio ? "" : " ms");
}

static void draw(FILE *to, const char *title, const so_load_result *r, bool page)
{
    int height = TOP + PANEL * SO_LOAD_FIGURES;
    if (page)
        fprintf(to,
                "<!DOCTYPE html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>%s</title>\n"
                "<meta name=\"viewport\" content=\"width=device-width\"><style>body{margin:1em;background:Canvas}"
                "svg{max-width:100%%;height:auto}</style>\n",
                title);
    fprintf(to, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\">\n", WIDTH,
            height, WIDTH, height);
    fprintf(to, "<style>:root{color-scheme:light dark}text{font:12px sans-serif;fill:CanvasText}.h{font-weight:bold}"
                "rect{fill:#2a78d6}path{stroke:CanvasText;fill:none}</style>\n");
    fprintf(to, "<text x=\"%d\" y=\"20\" class=\"h\">%s</text>\n", LEFT, title);
    for (int i = 0; i < SO_LOAD_FIGURES; i++) panel(to, &r->figure[i], (so_load_figure)i, TOP + PANEL * i + 10);
    fprintf(to, "</svg>\n%s", page ? "</html>\n" : "");
}

so_status so_bench_plot(const char *path, const char *title, const so_load_result *result, so_error *error)
{
    so_writer writer = {0};
    const char *end = strrchr(path, '.');
    bool page = end && strcmp(end, ".html") == 0;
    SO_TRY(so_writer_open(&writer, path, error));
    draw(writer.file, title, result, page);
    so_status status = so_writer_commit(&writer, error);
    so_writer_drop(&writer);
    return status;
}
