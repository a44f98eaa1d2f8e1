/* Drawing on RGB pictures: coverage by 4 x 4 samples per pixel, polygons by the even-odd rule, a 5 x 7 dot font.
 * SPDX-License-Identifier: Apache-2.0 */
#include "media/draw.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

typedef struct colour {
    uint8_t c[3];
} colour;

typedef struct shape {
    double cx, cy, radius2; /* a disc when n is 0 */
    int n;                  /* corners of a polygon */
    double x[12], y[12];
} shape;

static void blend(so_canvas *canvas, int x, int y, int coverage, colour ink)
{
    uint8_t *p = canvas->rgb + ((size_t)y * (size_t)canvas->w + (size_t)x) * 3;
    for (int i = 0; i < 3; i++) p[i] = (uint8_t)((p[i] * (16 - coverage) + ink.c[i] * coverage + 8) / 16);
}

static bool inside(const shape *s, double x, double y)
{
    if (s->n == 0) return (x - s->cx) * (x - s->cx) + (y - s->cy) * (y - s->cy) <= s->radius2;
    bool in = false;
    for (int i = 0, j = s->n - 1; i < s->n; j = i++)
        if ((s->y[i] > y) != (s->y[j] > y) && x < (s->x[j] - s->x[i]) * (y - s->y[i]) / (s->y[j] - s->y[i]) + s->x[i])
            in = !in;
    return in;
}

/* The first and one past the last pixel that [low, high] touches within 0..limit. */
static void span(double low, double high, int limit, int *from, int *to)
{
    *from = low > 0 ? (int)fmin(floor(low), limit) : 0;
    *to = high < limit ? (int)fmax(ceil(high), 0) : limit;
}

static void fill(so_canvas *canvas, const shape *s, colour ink)
{
    double x0 = s->cx - sqrt(s->radius2), x1 = s->cx + sqrt(s->radius2);
    double y0 = s->cy - sqrt(s->radius2), y1 = s->cy + sqrt(s->radius2);
    for (int i = 0; i < s->n; i++) {
        x0 = i ? fmin(x0, s->x[i]) : s->x[i];
        x1 = i ? fmax(x1, s->x[i]) : s->x[i];
        y0 = i ? fmin(y0, s->y[i]) : s->y[i];
        y1 = i ? fmax(y1, s->y[i]) : s->y[i];
    }
    if (!(isfinite(x0) && isfinite(x1) && isfinite(y0) && isfinite(y1))) return;
    int left, right, top, bottom;
    span(x0, x1, canvas->w, &left, &right);
    span(y0, y1, canvas->h, &top, &bottom);
    for (int y = top; y < bottom; y++)
        for (int x = left; x < right; x++) {
            int coverage = 0;
            for (int k = 0; k < 16; k++) coverage += inside(s, x + ((k & 3) + 0.5) * 0.25, y + ((k >> 2) + 0.5) * 0.25);
            if (coverage) blend(canvas, x, y, coverage, ink);
        }
}

void so_draw_clear(so_canvas *canvas, uint8_t r, uint8_t g, uint8_t b)
{
    size_t n = (size_t)canvas->w * (size_t)canvas->h;
    for (size_t i = 0; i < n; i++) {
        canvas->rgb[i * 3] = r;
        canvas->rgb[i * 3 + 1] = g;
        canvas->rgb[i * 3 + 2] = b;
    }
}

void so_draw_circle(so_canvas *canvas, double cx, double cy, double diameter, uint8_t r, uint8_t g, uint8_t b)
{
    shape s = {.cx = cx, .cy = cy, .radius2 = diameter * diameter / 4};
    fill(canvas, &s, (colour){{r, g, b}});
}

void so_draw_square(so_canvas *canvas, double cx, double cy, double diameter, uint8_t r, uint8_t g, uint8_t b)
{
    double d = diameter / 2;
    so_draw_rect(canvas, cx - d, cy - d, cx + d, cy + d, r, g, b);
}

void so_draw_triangle(so_canvas *canvas, double cx, double cy, double diameter, uint8_t r, uint8_t g, uint8_t b)
{
    double d = diameter / 2;
    shape s = {.n = 3, .x = {cx, cx + d, cx - d}, .y = {cy - d, cy + d, cy + d}};
    fill(canvas, &s, (colour){{r, g, b}});
}

void so_draw_star(so_canvas *canvas, double cx, double cy, double diameter, uint8_t r, uint8_t g, uint8_t b)
{
    const double pi = 3.14159265358979323846, notch = 0.4; /* inner radius over outer */
    shape s = {.n = 10};
    for (int i = 0; i < 10; i++) {
        double radius = diameter / 2 * (i & 1 ? notch : 1);
        s.x[i] = cx + radius * sin(i * pi / 5);
        s.y[i] = cy - radius * cos(i * pi / 5);
    }
    fill(canvas, &s, (colour){{r, g, b}});
}

void so_draw_cross(so_canvas *canvas, double cx, double cy, double diameter, uint8_t r, uint8_t g, uint8_t b)
{
    double d = diameter / 2, e = diameter / 6;
    shape s = {.n = 12,
               .x = {cx - e, cx + e, cx + e, cx + d, cx + d, cx + e, cx + e, cx - e, cx - e, cx - d, cx - d, cx - e},
               .y = {cy - d, cy - d, cy - e, cy - e, cy + e, cy + e, cy + d, cy + d, cy + e, cy + e, cy - e, cy - e}};
    fill(canvas, &s, (colour){{r, g, b}});
}

void so_draw_line(so_canvas *canvas, const so_stroke *line, uint8_t r, uint8_t g, uint8_t b)
{
    double x0 = line->x0, y0 = line->y0, x1 = line->x1, y1 = line->y1, width = line->width;
    double dx = x1 - x0, dy = y1 - y0, length = sqrt(dx * dx + dy * dy);
    if (!(length > 0)) {
        so_draw_square(canvas, x0, y0, width, r, g, b);
        return;
    }
    double ux = dx / length * width / 2, uy = dy / length * width / 2; /* half a width along the line */
    shape s = {.n = 4,
               .x = {x0 - ux - uy, x1 + ux - uy, x1 + ux + uy, x0 - ux + uy},
               .y = {y0 - uy + ux, y1 + uy + ux, y1 + uy - ux, y0 - uy - ux}};
    fill(canvas, &s, (colour){{r, g, b}});
}

void so_draw_rect(so_canvas *canvas, double x0, double y0, double x1, double y1, uint8_t r, uint8_t g, uint8_t b)
{
    shape s = {.n = 4, .x = {x0, x1, x1, x0}, .y = {y0, y0, y1, y1}};
    fill(canvas, &s, (colour){{r, g, b}});
}

/* Seven rows of five dots per glyph from the space to the tilde; bit 4 is the leftmost dot. */
static const uint8_t font[95][7] = {
    {0, 0, 0, 0, 0, 0, 0},        {4, 4, 4, 4, 4, 0, 4},        {10, 10, 0, 0, 0, 0, 0},
    {10, 10, 31, 10, 31, 10, 10}, {4, 15, 20, 14, 5, 30, 4},    {24, 25, 2, 4, 8, 19, 3},
    {12, 18, 20, 8, 21, 18, 13},  {4, 4, 0, 0, 0, 0, 0},        {2, 4, 8, 8, 8, 4, 2},
    {8, 4, 2, 2, 2, 4, 8},        {0, 4, 21, 14, 21, 4, 0},     {0, 4, 4, 31, 4, 4, 0},
    {0, 0, 0, 0, 4, 4, 8},        {0, 0, 0, 31, 0, 0, 0},       {0, 0, 0, 0, 0, 12, 12},
    {0, 1, 2, 4, 8, 16, 0},       {14, 17, 19, 21, 25, 17, 14}, {4, 12, 4, 4, 4, 4, 14},
    {14, 17, 1, 2, 4, 8, 31},     {31, 2, 4, 2, 1, 17, 14},     {2, 6, 10, 18, 31, 2, 2},
    {31, 16, 30, 1, 1, 17, 14},   {6, 8, 16, 30, 17, 17, 14},   {31, 1, 2, 4, 8, 8, 8},
    {14, 17, 17, 14, 17, 17, 14}, {14, 17, 17, 15, 1, 2, 12},   {0, 12, 12, 0, 12, 12, 0},
    {0, 12, 12, 0, 12, 4, 8},     {2, 4, 8, 16, 8, 4, 2},       {0, 0, 31, 0, 31, 0, 0},
    {8, 4, 2, 1, 2, 4, 8},        {14, 17, 1, 2, 4, 0, 4},      {14, 17, 23, 21, 23, 16, 15},
    {14, 17, 17, 17, 31, 17, 17}, {30, 17, 17, 30, 17, 17, 30}, {14, 17, 16, 16, 16, 17, 14},
    {28, 18, 17, 17, 17, 18, 28}, {31, 16, 16, 30, 16, 16, 31}, {31, 16, 16, 30, 16, 16, 16},
    {14, 17, 16, 23, 17, 17, 15}, {17, 17, 17, 31, 17, 17, 17}, {14, 4, 4, 4, 4, 4, 14},
    {7, 2, 2, 2, 2, 18, 12},      {17, 18, 20, 24, 20, 18, 17}, {16, 16, 16, 16, 16, 16, 31},
    {17, 27, 21, 21, 17, 17, 17}, {17, 17, 25, 21, 19, 17, 17}, {14, 17, 17, 17, 17, 17, 14},
    {30, 17, 17, 30, 16, 16, 16}, {14, 17, 17, 17, 21, 18, 13}, {30, 17, 17, 30, 20, 18, 17},
    {15, 16, 16, 14, 1, 1, 30},   {31, 4, 4, 4, 4, 4, 4},       {17, 17, 17, 17, 17, 17, 14},
    {17, 17, 17, 17, 17, 10, 4},  {17, 17, 17, 21, 21, 21, 10}, {17, 17, 10, 4, 10, 17, 17},
    {17, 17, 17, 10, 4, 4, 4},    {31, 1, 2, 4, 8, 16, 31},     {14, 8, 8, 8, 8, 8, 14},
    {0, 16, 8, 4, 2, 1, 0},       {14, 2, 2, 2, 2, 2, 14},      {4, 10, 17, 0, 0, 0, 0},
    {0, 0, 0, 0, 0, 0, 31},       {8, 4, 2, 0, 0, 0, 0},        {0, 0, 14, 1, 15, 17, 15},
    {16, 16, 22, 25, 17, 17, 30}, {0, 0, 14, 16, 16, 17, 14},   {1, 1, 13, 19, 17, 17, 15},
    {0, 0, 14, 17, 31, 16, 14},   {6, 9, 8, 28, 8, 8, 8},       {0, 15, 17, 17, 15, 1, 14},
    {16, 16, 22, 25, 17, 17, 17}, {4, 0, 12, 4, 4, 4, 14},      {2, 0, 6, 2, 2, 18, 12},
    {16, 16, 18, 20, 24, 20, 18}, {12, 4, 4, 4, 4, 4, 14},      {0, 0, 26, 21, 21, 17, 17},
    {0, 0, 22, 25, 17, 17, 17},   {0, 0, 14, 17, 17, 17, 14},   {0, 0, 30, 17, 30, 16, 16},
    {0, 0, 13, 19, 15, 1, 1},     {0, 0, 22, 25, 16, 16, 16},   {0, 0, 14, 16, 14, 1, 30},
    {8, 8, 28, 8, 8, 9, 6},       {0, 0, 17, 17, 17, 19, 13},   {0, 0, 17, 17, 17, 10, 4},
    {0, 0, 17, 17, 21, 21, 10},   {0, 0, 17, 10, 4, 10, 17},    {0, 0, 17, 17, 15, 1, 14},
    {0, 0, 31, 2, 4, 8, 31},      {2, 4, 4, 8, 4, 4, 2},        {4, 4, 4, 4, 4, 4, 4},
    {8, 4, 4, 2, 4, 4, 8},        {0, 0, 8, 21, 2, 0, 0},
};

static void dot(so_canvas *canvas, int x, int y, int scale, colour ink)
{
    for (int j = y > 0 ? y : 0; j < y + scale && j < canvas->h; j++)
        for (int i = x > 0 ? x : 0; i < x + scale && i < canvas->w; i++) blend(canvas, i, j, 16, ink);
}

void so_draw_text(so_canvas *canvas, int x, int y, int scale, const char *text, uint8_t r, uint8_t g, uint8_t b)
{
    static const uint8_t box[7] = {31, 17, 17, 17, 17, 17, 31};
    for (; *text && x < canvas->w; text++, x += 6 * scale) {
        const uint8_t *rows = *text >= 32 && *text <= 126 ? font[*text - 32] : box;
        for (int j = 0; j < 7; j++)
            for (int i = 0; i < 5; i++)
                if (rows[j] >> (4 - i) & 1) dot(canvas, x + i * scale, y + j * scale, scale, (colour){{r, g, b}});
    }
}

int so_draw_text_width(const char *text, int scale)
{
    size_t n = strlen(text);
    return n ? ((int)n * 6 - 1) * scale : 0;
}
