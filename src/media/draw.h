/* Drawing on RGB pictures: filled shapes, lines and small text, for generated scenes and reports.
 *
 * Coordinates are in pixels with the origin at the top left corner of the picture; the centre of pixel (x, y) is at
 * (x + 0.5, y + 0.5). Edges are smoothed by 4 x 4 samples per pixel. What lies outside the canvas is cut off.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SO_MEDIA_DRAW_H
#define SO_MEDIA_DRAW_H

#include <stdint.h>

/* A picture lent for drawing: `rgb` is [h, w, 3], row-major, 8 bits per channel, owned by the caller. */
typedef struct so_canvas {
    int w, h;
    uint8_t *rgb;
} so_canvas;

/* Fills the whole picture. */
void so_draw_clear(so_canvas *canvas, uint8_t r, uint8_t g, uint8_t b);

/* Filled shapes around the centre (cx, cy), each inside the square box of side `diameter`:
 * a disc; a square with that side; a triangle standing on its base; a five-pointed star with a point at the top; an
 * upright cross (plus) with arms a third of the box wide. */
void so_draw_circle(so_canvas *canvas, double cx, double cy, double diameter, uint8_t r, uint8_t g, uint8_t b);
void so_draw_square(so_canvas *canvas, double cx, double cy, double diameter, uint8_t r, uint8_t g, uint8_t b);
void so_draw_triangle(so_canvas *canvas, double cx, double cy, double diameter, uint8_t r, uint8_t g, uint8_t b);
void so_draw_star(so_canvas *canvas, double cx, double cy, double diameter, uint8_t r, uint8_t g, uint8_t b);
void so_draw_cross(so_canvas *canvas, double cx, double cy, double diameter, uint8_t r, uint8_t g, uint8_t b);

/* A line from (x0, y0) to (x1, y1) of the given width with square ends. */
typedef struct so_stroke {
    double x0, y0, x1, y1, width;
} so_stroke;
void so_draw_line(so_canvas *canvas, const so_stroke *line, uint8_t r, uint8_t g, uint8_t b);
/* The filled rectangle from (x0, y0) to (x1, y1). */
void so_draw_rect(so_canvas *canvas, double x0, double y0, double x1, double y1, uint8_t r, uint8_t g, uint8_t b);

/* One line of printable ASCII (anything else shows as a box) with its top left corner at (x, y): glyphs of 5 x 7 dots
 * in cells of 6 x 8, each dot `scale` pixels wide. so_draw_text_width is the width in pixels. */
void so_draw_text(so_canvas *canvas, int x, int y, int scale, const char *text, uint8_t r, uint8_t g, uint8_t b);
int so_draw_text_width(const char *text, int scale);

#endif
