/* A picture of how things lie in time: waveforms, units, words heard and words spoken.
 *
 *     question  waveform / units (one box each 40 ms) / words as the bottom layers heard them
 *     answer    waveform / units / text as it is spoken
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "apps/turn.h"
#include "base/error.h"
#include "media/draw.h"
#include "media/image.h"

enum {
    LEFT = 16,
    WAVE = 90,
    UNIT_ROW = 34,
    TEXT_ROW = 26,
    TITLE = 22,
    PER_SECOND = 420,
    MIN_WIDTH = 640,
    MAX_WIDTH = 16000
};

typedef struct band {
    const char *title;
    const float *pcm;
    int64_t samples;
    int rate;
    const int32_t *unit;
    size_t units;
    const so_timed *word;
    size_t words;
} band;

static double x_of(double seconds) { return LEFT + seconds * PER_SECOND; }

/* Lowest and highest sample of every column. */
static void draw_wave(so_canvas *c, const band *b, int top)
{
    double middle = top + WAVE / 2.0, largest = 0.05;
    so_draw_line(c, &(so_stroke){LEFT, middle, c->w - LEFT, middle, 1}, 200, 205, 215);
    for (int64_t i = 0; i < b->samples; i++) largest = fmax(largest, fabs((double)b->pcm[i]));
    for (int x = LEFT; x < c->w - LEFT; x++) {
        int64_t from = (int64_t)((x - LEFT) / (double)PER_SECOND * b->rate);
        int64_t to = (int64_t)((x + 1 - LEFT) / (double)PER_SECOND * b->rate);
        double low = 0, high = 0;
        for (int64_t i = from; i < to && i < b->samples; i++) {
            low = fmin(low, b->pcm[i]);
            high = fmax(high, b->pcm[i]);
        }
        if (from < b->samples)
            so_draw_rect(c, x, middle - high / largest * WAVE / 2 - 0.5, x + 1, middle - low / largest * WAVE / 2 + 0.5,
                         40, 90, 160);
    }
}

static void draw_units(so_canvas *c, const band *b, int top)
{
    double width = PER_SECOND * SO_UNIT_MS / 1000.0;
    for (size_t i = 0; i < b->units; i++) {
        double x = x_of((double)i * SO_UNIT_MS / 1000.0);
        uint32_t hue = (uint32_t)b->unit[i] * 2654435761u; /* equal units, equal colours */
        bool same = i > 0 && b->unit[i] == b->unit[i - 1];
        so_draw_rect(c, x, top, x + width - (same ? 0 : 1), top + 12, (uint8_t)(150 + (hue >> 26)),
                     (uint8_t)(150 + (hue >> 20 & 63)), (uint8_t)(150 + (hue >> 14 & 63)));
        char id[16];
        snprintf(id, sizeof id, "%d", b->unit[i]);
        /* every other one lower, so that numbers of four digits do not touch */
        so_draw_text(c, (int)x, top + (i % 2 ? 24 : 14), 1, id, 90, 90, 90);
    }
}

/* Words below their time, pushed to the right where they would touch; gives the right end. `c` may be NULL. */
static double draw_words(so_canvas *c, const band *b, int top)
{
    double free_from = 0;
    for (size_t i = 0; i < b->words; i++) {
        const so_timed *w = &b->word[i];
        if (!w->text[0]) continue;
        double x = fmax(x_of(w->begin), free_from);
        if (c) so_draw_rect(c, x_of(w->begin), top, x_of(fmax(w->end, w->begin + 0.02)) - 2, top + 3, 200, 80, 60);
        if (c) so_draw_text(c, (int)x, top + 6, 2, w->text, 20, 20, 20);
        free_from = x + so_draw_text_width(w->text, 2) + 8;
    }
    return free_from;
}

static int draw_band(so_canvas *c, const band *b, int top)
{
    so_draw_text(c, LEFT, top, 2, b->title, 90, 100, 120);
    for (int tick = 0; x_of(tick * 0.5) < c->w - LEFT; tick++) {
        char label[16];
        snprintf(label, sizeof label, "%.1f s", tick * 0.5);
        so_draw_line(c, &(so_stroke){x_of(tick * 0.5), top + TITLE, x_of(tick * 0.5), top + TITLE + WAVE, 1}, 225, 228,
                     235);
        if (tick) so_draw_text(c, (int)x_of(tick * 0.5) + 3, top + TITLE, 1, label, 150, 155, 165);
    }
    draw_wave(c, b, top + TITLE);
    draw_units(c, b, top + TITLE + WAVE + 6);
    draw_words(c, b, top + TITLE + WAVE + 6 + UNIT_ROW + 6);
    return top + TITLE + WAVE + 6 + UNIT_ROW + 6 + TEXT_ROW + 14;
}

static double length_of(const band *b)
{
    double s = b->rate ? (double)b->samples / b->rate : 0;
    return fmax(s, (double)b->units * SO_UNIT_MS / 1000.0);
}

so_status so_alignment_draw(so_image *image, const so_audio *speech, const int32_t *heard_units, size_t n_heard_units,
                            const so_answer *a, so_error *error)
{
    band question = {
        .title = "question", .unit = heard_units, .units = n_heard_units, .word = a->word, .words = a->words};
    if (speech) {
        question.pcm = speech->samples;
        question.samples = speech->n;
        question.rate = speech->rate;
    }
    band answer = {"answer", a->pcm,   (int64_t)a->samples, a->rate ? a->rate : SO_VOICE_RATE, a->units, a->n_units,
                   a->piece, a->pieces};
    double seconds = fmax(length_of(&question), length_of(&answer));
    int bands = (length_of(&question) > 0) + 1;
    double words = fmax(draw_words(NULL, &question, 0), draw_words(NULL, &answer, 0));
    double width = fmin(fmax(fmax(seconds * PER_SECOND + 2 * LEFT, words + LEFT), MIN_WIDTH), MAX_WIDTH);
    SO_TRY(so_image_init(image, (int)width, 14 + bands * (TITLE + WAVE + UNIT_ROW + TEXT_ROW + 26), error));
    so_canvas canvas = {image->w, image->h, image->rgb};
    so_draw_clear(&canvas, 250, 250, 252);
    int top = 12;
    if (bands == 2) top = draw_band(&canvas, &question, top);
    draw_band(&canvas, &answer, top);
    return SO_OK;
}

so_status so_alignment_write(const char *path, const so_audio *speech, const int32_t *heard_units, size_t n_heard_units,
                             const so_answer *a, so_error *error)
{
    so_image image = {0};
    SO_TRY(so_alignment_draw(&image, speech, heard_units, n_heard_units, a, error));
    so_status status = so_image_write_png(&image, path, error);
    so_image_clear(&image);
    return status;
}
