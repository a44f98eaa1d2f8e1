/* media/draw: areas and places of shapes, edges of the canvas, text.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "media/draw.h"

typedef void shape_fn(so_canvas *, double, double, double, uint8_t, uint8_t, uint8_t);

/* The inked area in pixels: each pixel counts by how far it went from white to black. */
static double area(const so_canvas *c, double *x, double *y)
{
    double sum = 0, sx = 0, sy = 0;
    for (int j = 0; j < c->h; j++)
        for (int i = 0; i < c->w; i++) {
            double ink = (255 - c->rgb[(j * c->w + i) * 3]) / 255.0;
            sum += ink;
            sx += ink * (i + 0.5);
            sy += ink * (j + 0.5);
        }
    *x = sx / sum;
    *y = sy / sum;
    return sum;
}

static void shapes_have_their_area_and_place(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        shape_fn *draw;
        double area;  /* of the unit box */
        double below; /* centre of mass below the box's centre, in boxes */
    } shapes[] = {{"circle", so_draw_circle, 0.7854, 0},
                  {"square", so_draw_square, 1, 0},
                  {"triangle", so_draw_triangle, 0.5, 1.0 / 6},
                  {"star", so_draw_star, 0.25 * 5 * 0.4 * 0.58779, 0},
                  {"cross", so_draw_cross, 5.0 / 9, 0}};
    for (size_t s = 0; s < 5; s++)
        for (double d = 14; d < 31; d += 3.7) {
            static uint8_t rgb[112 * 112 * 3];
            so_canvas c = {112, 112, rgb};
            double x, y;
            so_draw_clear(&c, 255, 255, 255);
            shapes[s].draw(&c, 40.3, 70.6, d, 0, 0, 0);
            double got = area(&c, &x, &y), expected = shapes[s].area * d * d;
            if (!(fabs(got / expected - 1) < 0.04 && fabs(x - 40.3) < 0.15 &&
                  fabs(y - 70.6 - shapes[s].below * d) < 0.3))
                fail_msg("%s of %g: area %g, expected %g, centre (%g, %g)", shapes[s].name, d, got, expected, x, y);
        }
}

static void nothing_is_drawn_outside(void **state)
{
    (void)state;
    /* Guard bands on both sides of the picture. */
    uint8_t memory[3 * 400];
    memset(memory, 9, sizeof memory);
    so_canvas c = {20, 20, memory + 20 * 3};
    static const double places[] = {-1e300, -1000, -5, 0, 3.3, 19.9, 25, 1e9, 1e300, NAN, INFINITY};
    shape_fn *draw[] = {so_draw_circle, so_draw_square, so_draw_triangle, so_draw_star, so_draw_cross};
    c.h = 18;
    for (size_t a = 0; a < 11; a++)
        for (size_t b = 0; b < 11; b++) {
            for (int s = 0; s < 5; s++) draw[s](&c, places[a], places[b], 12, 1, 2, 3);
            so_draw_line(&c, &(so_stroke){places[a], places[b], 5, 5, 2}, 1, 2, 3);
            so_draw_rect(&c, places[a], 3, places[b], 9, 1, 2, 3);
        }
    for (int x = -50; x < 60; x += 7) so_draw_text(&c, x, x / 2, 1 + (x & 3), "Wide ~ \x80 text", 4, 5, 6);
    for (int i = 0; i < 20 * 3; i++) assert_true(memory[i] == 9 && memory[19 * 20 * 3 + i] == 9);
}

static void glyphs_differ_and_have_width(void **state)
{
    (void)state;
    static uint8_t seen[95][6 * 8 * 3];
    for (int i = 0; i < 95; i++) {
        so_canvas c = {6, 8, seen[i]};
        char text[2] = {(char)(32 + i), 0};
        so_draw_text(&c, 0, 0, 1, text, 255, 255, 255);
        for (int row = 0; row < 8; row++) assert_int_equal(seen[i][(row * 6 + 5) * 3], 0);
        for (int j = 0; j < i; j++)
            if (!memcmp(seen[i], seen[j], sizeof seen[i])) fail_msg("'%c' looks like '%c'", 32 + i, 32 + j);
    }
    assert_int_equal(so_draw_text_width("", 3), 0);
    assert_int_equal(so_draw_text_width("ab", 2), 22);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes_have_their_area_and_place),
        cmocka_unit_test(nothing_is_drawn_outside),
        cmocka_unit_test(glyphs_differ_and_have_width),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
