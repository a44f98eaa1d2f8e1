/* What a load is measured by.
 * SPDX-License-Identifier: Apache-2.0 */
#include "client/load_figures.h"

#include <math.h>
#include <stdlib.h>

#include "base/grow.h"

static const struct {
    const char *words, *name;
} about[SO_LOAD_FIGURES] = {[SO_LOAD_STOPPED] = {"end of speech to speech_stopped", "speech_stopped_s"},
                            [SO_LOAD_TEXT] = {"speech_stopped to first text", "first_text_s"},
                            [SO_LOAD_AUDIO] = {"speech_stopped to first audio", "first_audio_s"},
                            [SO_LOAD_ANSWER] = {"end of speech to first audio", "answer_s"},
                            [SO_LOAD_STARTED] = {"speaking into an answer to speech_started", "speech_started_s"},
                            [SO_LOAD_SILENT] = {"speech_started to its last audio", "silence_s"},
                            [SO_LOAD_FACTOR] = {"real-time factor of answers", "real_time_factor"}};

const char *so_load_words(so_load_figure figure) { return about[figure].words; }
const char *so_load_name(so_load_figure figure) { return about[figure].name; }

so_status so_load_add(so_load_figures *f, double x, so_error *error)
{
    return so_append(&f->x, &f->n, sizeof x, &x, 1, error);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void so_load_sort(so_load_figures *f)
{
    if (f->n) qsort(f->x, f->n, sizeof *f->x, ascending);
}

double so_load_share(const so_load_figures *f, double share)
{
    if (f->n == 0) return NAN;
    double rank = ceil(share * (double)f->n - 1e-9);
    return f->x[rank < 1 ? 0 : rank > (double)f->n ? f->n - 1 : (size_t)rank - 1];
}

void so_load_count(const so_load_figures *f, double most, int *count, int n)
{
    for (int i = 0; i < n; i++) count[i] = 0;
    for (size_t i = 0; i < f->n; i++) {
        double at = f->x[i] / most * n;
        count[at < 0 ? 0 : at >= n ? n - 1 : (int)at]++;
    }
}

double so_load_scale(const so_load_figures *f, int n)
{
    static const double step[] = {1, 2, 5};
    double need = f->n ? so_load_share(f, 0.99) : 1;
    for (double unit = 1e-6;; unit *= 10)
        for (int i = 0; i < 3; i++)
            if (unit * step[i] * n > need) return unit * step[i] * n;
}

int so_load_play(so_load_player *p, double now, double seconds)
{
    int dry = p->dry_at != 0 && now > p->dry_at;
    if (p->dry_at == 0 || dry) p->dry_at = now + p->lead;
    p->dry_at += seconds;
    return dry;
}
