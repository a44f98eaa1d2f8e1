/* Hum of the mains. See hum.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "media/hum.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

enum {
    RATE = 16000,
    STEP = 4,      /* samples that are measured as one */
    PERIOD = 1600, /* samples in which every line turns a whole number of times */
    HOP = 200,
    WINDOW = SO_HUM_STEPS,
    TURN = PERIOD / STEP, /* steps in which every line turns a whole number of times: half a window */
    HALF = TURN / 2,
    HOP_FRAMES = HOP * STEP / SO_HUM_FRAME,
    WINDOW_FRAMES = WINDOW * STEP / SO_HUM_FRAME,
    YOUNG = RATE / 2, /* samples: so long agreeing measurements make a line: */
    AT_ONCE = 3,      /* so many of the first harmonic, which is below speech; */
    FIRST = 10,       /* later, */
    BESIDE = 5,       /* of the others beside it, */
    ALONE = 24,       /* and of the others without it */
    LONGEST = 10,     /* that a line not found is the mean of */
    LOST = 4,         /* measurements astray that end a line */
};

static const double PI = 3.14159265358979323846;
static const double FAINTEST = 4.5e-3;         /* height of a line that is worth the trouble: -50 dB */
static const double AGREE = 0.4, CLOSE = 0.15; /* of the height: a measurement that is as near says the same; and where
                                                * speech is */
static const double ASTRAY = 0.5;
static const double MOST_DRIFT = 0.6;                   /* Hz */
static const double SHARE = 0.05, DRIFT_SHARE = 0.0007; /* of a measurement, in a line and in its frequency */

static so_bin times(so_bin a, so_bin b) { return (so_bin){a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re}; }
static so_bin turn(double radians) { return (so_bin){cos(radians), sin(radians)}; }
static double height(so_bin a) { return hypot(a.re, a.im); }
static int harmonic(int line) { return line % SO_HUM_HARMONICS + 1; }
static int tens(int line) { return (line < SO_HUM_HARMONICS ? 5 : 6) * harmonic(line); }

double so_hum_hertz(int line) { return 10 * tens(line); }

/* How far a line of the drifting mains turns beyond its nominal frequency in so many frames. */
static so_bin drifted(const so_hum *h, int line, double frames)
{
    return turn(2 * PI * h->drift * harmonic(line) * frames * SO_HUM_FRAME / RATE);
}

void so_hum_reset(so_hum *h) { memset(h, 0, sizeof *h); }

/* ---- tables */

static struct tables {
    double wave[PERIOD * 5 / 4]; /* a sine of 10 Hz, and a quarter more */
    double bell[WINDOW];
    double cosine[HALF + 1][SO_HUM_LINES], sine[HALF + 1][SO_HUM_LINES]; /* of the lines, by steps */
    so_bin scale[SO_HUM_LINES]; /* of a window's sums: steps have their middle behind their beginning, and make a line a
                                   little lower */
} tables;

static void build(void)
{
    for (int i = 0; i < PERIOD * 5 / 4; i++) tables.wave[i] = sin(2 * PI * i / PERIOD);
    for (int i = 0; i < WINDOW; i++) tables.bell[i] = 0.5 - 0.5 * cos(2 * PI * (i + 0.5) / WINDOW);
    for (int l = 0; l < SO_HUM_LINES; l++) {
        for (int i = 0; i <= HALF; i++) {
            int place = i * STEP * tens(l) % PERIOD;
            tables.cosine[i][l] = tables.wave[place + PERIOD / 4];
            tables.sine[i][l] = tables.wave[place];
        }
        double per_sample = PI * so_hum_hertz(l) / RATE, lower = sin(STEP * per_sample) / (STEP * sin(per_sample));
        so_bin back = turn(-per_sample * (STEP - 1));
        tables.scale[l] = (so_bin){4.0 / WINDOW / lower * back.re, 4.0 / WINDOW / lower * back.im};
    }
}

static const struct tables *table(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, build);
    return &tables;
}

/* ---- measuring */

/* What the window that ends before step `end` says of the lines, as they were in its middle. They turn alike in its two
 * halves, and backwards as forwards: steps that meet the same sines are summed first. */
static void measure(const so_hum *h, int64_t end, so_bin says[SO_HUM_LINES])
{
    const struct tables *t = table();
    double turned[TURN], re[SO_HUM_LINES] = {0}, im[SO_HUM_LINES] = {0};
    for (int i = 0, begin = (int)(end % WINDOW); i < TURN; i++) {
        int first = (i - begin + WINDOW) % WINDOW, second = (first + TURN) % WINDOW;
        turned[i] = h->step[i] * t->bell[first] + h->step[i + TURN] * t->bell[second];
    }
    for (int i = 0; i <= HALF; i++) {
        double other = i && i < HALF ? turned[TURN - i] : 0, even = turned[i] + other, odd = turned[i] - other;
        for (int l = 0; l < SO_HUM_LINES; l++) {
            re[l] += even * t->cosine[i][l];
            im[l] -= odd * t->sine[i][l];
        }
    }
    for (int l = 0; l < SO_HUM_LINES; l++) says[l] = times(t->scale[l], (so_bin){re[l], im[l]});
}

static bool may_be(const so_hum *h, int l)
{
    int family = l / SO_HUM_HARMONICS * SO_HUM_HARMONICS;
    const so_hum_line *line = &h->line[l], *first = &h->line[family];
    for (int k = 0; k < SO_HUM_HARMONICS; k++) /* the mains have one frequency */
        if (h->line[SO_HUM_HARMONICS - family + k].found) return false;
    int runs = line != first ? (first->found ? BESIDE : ALONE) : h->n <= YOUNG ? AT_ONCE : FIRST;
    return height(line->is) > FAINTEST && line->run >= runs;
}

/* The first line that is found tells how far the mains are off, by its turn since its first measurement; so far all
 * were taken as if they were not: means of them lag. */
static void learn_drift(so_hum *h, int l, so_bin c)
{
    const so_hum_line *line = &h->line[l];
    double across = c.im * line->first.re - c.re * line->first.im,
           along = c.re * line->first.re + c.im * line->first.im;
    double hertz = atan2(across, along) * RATE / (2 * PI * HOP * STEP * (line->run - 1) * harmonic(l));
    int family = l / SO_HUM_HARMONICS * SO_HUM_HARMONICS;
    h->drift = fmax(-MOST_DRIFT, fmin(MOST_DRIFT, hertz));
    h->known = line->run;
    for (int k = family; k < family + SO_HUM_HARMONICS; k++)
        h->line[k].is =
            times(h->line[k].is, drifted(h, k, WINDOW_FRAMES / 2.0 + HOP_FRAMES * fmax(0, h->line[k].run - 1) / 2));
}

/* A measurement of a line that is not found: a mean of those that agree. */
static void listen(so_hum *h, int l, so_bin c)
{
    so_hum_line *line = &h->line[l];
    so_bin off = {c.re - line->is.re, c.im - line->is.im};
    if (!line->run || height(off) > (harmonic(l) == 1 ? AGREE : CLOSE) * height(line->is)) {
        line->is = line->first = c;
        line->run = 1;
        return;
    }
    line->run++;
    double share = 1.0 / fmin(line->run, LONGEST);
    line->is.re += share * off.re;
    line->is.im += share * off.im;
    if (!may_be(h, l)) return;
    if (!h->found) learn_drift(h, l, c);
    line->found = line->fresh = true;
    line->astray = 0;
    h->found++;
}

/* Of one that is: what speech says at its place moves it little. Gives how far it was off in its turn. */
static double follow(so_hum *h, int l, so_bin c)
{
    so_hum_line *line = &h->line[l];
    so_bin off = {c.re - line->is.re, c.im - line->is.im};
    double n = h->known, high = height(line->is), far = height(off);
    double share = fmax(2 * (2 * n - 1) / (n * (n + 1)), SHARE); /* as a straight line through n points has it */
    line->astray = far > ASTRAY * high && height(c) < ASTRAY * high ? line->astray + 1 : 0;
    if (line->astray == LOST) {
        line->found = false;
        line->run = 0;
        h->found--;
        return 0;
    }
    if (far > AGREE * high) share *= AGREE * high / far * 0.2;
    double across = (line->is.re * off.im - line->is.im * off.re) / (high * high);
    line->is.re += share * off.re;
    line->is.im += share * off.im;
    return far > AGREE * high ? 0 : across;
}

/* A window has ended, before step `end`. */
static void hear(so_hum *h, int64_t end)
{
    double off = 0, weight = 0;
    so_bin says[SO_HUM_LINES];
    measure(h, end, says);
    for (int l = 0; l < SO_HUM_LINES; l++) {
        so_hum_line *line = &h->line[l];
        so_bin c = times(says[l], drifted(h, l, WINDOW_FRAMES / 2.0)); /* it was measured a window's half ago */
        line->is = times(line->is, drifted(h, l, HOP_FRAMES));
        if (!line->found) {
            listen(h, l, c);
            continue;
        }
        double counts = pow(harmonic(l) * height(line->is), 2);
        off += counts * follow(h, l, c) / harmonic(l);
        weight += counts;
    }
    double n = h->known < 1000 ? ++h->known : h->known, share = fmax(6 / (n * (n + 1)), DRIFT_SHARE);
    if (weight > 0) h->drift += share * off / weight * RATE / (2 * PI * HOP * STEP);
    h->drift = h->found ? fmax(-MOST_DRIFT, fmin(MOST_DRIFT, h->drift)) : 0;
}

bool so_hum_feed(so_hum *h, const float *x, bool backwards)
{
    bool any = false;
    int64_t step = h->n / STEP;
    for (int l = 0; l < SO_HUM_LINES; l++) h->line[l].fresh = false;
    for (int i = 0; i < SO_HUM_FRAME / STEP; i++, step++) {
        const float *y = x + i * STEP;
        h->step[step % WINDOW] = ((double)y[0] + (double)y[1] + (double)y[2] + (double)y[3]) / STEP;
        if ((step + 1) % HOP == 0 && step + 1 >= WINDOW) hear(h, step + 1);
    }
    h->n += SO_HUM_FRAME;
    /* What is taken moves to where the line is within a hop. */
    int since = (int)(h->n / SO_HUM_FRAME % HOP_FRAMES), left = HOP_FRAMES - since;
    for (int l = 0; l < SO_HUM_LINES; l++) {
        so_hum_line *line = &h->line[l];
        line->from = line->to;
        if (!line->found && line->to.re == 0 && line->to.im == 0) continue;
        so_bin is = line->found ? times(line->is, drifted(h, l, since)) : (so_bin){0};
        so_bin stays = times(line->to, drifted(h, l, 1));
        line->to = (so_bin){stays.re + (is.re - stays.re) / left, stays.im + (is.im - stays.im) / left};
        if (height(line->to) < 1e-6 && !line->found) line->to = (so_bin){0};
        if (line->fresh && backwards) {
            line->from = times(is, drifted(h, l, -1));
            line->to = is;
        }
        any = true;
    }
    return any;
}

void so_hum_forget(so_hum *h)
{
    for (int l = 0; l < SO_HUM_LINES; l++)
        if (h->line[l].found) h->line[l] = (so_hum_line){0};
    h->found = 0;
    h->drift = 0;
}

bool so_hum_fresh(const so_hum *h)
{
    for (int l = 0; l < SO_HUM_LINES; l++)
        if (h->line[l].fresh) return true;
    return false;
}

/* ---- taking out */

static void take(int line, int64_t at, so_bin from, so_bin to, float *x)
{
    const double *wave = table()->wave;
    so_bin step = {(to.re - from.re) / SO_HUM_FRAME, (to.im - from.im) / SO_HUM_FRAME};
    int place = (int)(at % PERIOD * tens(line) % PERIOD);
    for (int i = 0; i < SO_HUM_FRAME; i++) {
        x[i] -= (float)(from.re * wave[place + PERIOD / 4] - from.im * wave[place]);
        from.re += step.re;
        from.im += step.im;
        place += tens(line);
        if (place >= PERIOD) place -= PERIOD;
    }
}

void so_hum_clean(const so_hum *h, const so_bin *response, float *x)
{
    for (int l = 0; l < SO_HUM_LINES; l++) {
        const so_hum_line *line = &h->line[l];
        so_bin r = response[l];
        if (line->from.re != 0 || line->from.im != 0 || line->to.re != 0 || line->to.im != 0)
            take(l, h->n - SO_HUM_FRAME, times(r, line->from), times(r, line->to), x);
    }
}

/* Whether a line has just been found that was there `back` frames ago already. */
static bool reaches(const so_hum_line *line, int64_t back)
{
    return line->fresh && back < WINDOW_FRAMES + (int64_t)(line->run - 1) * HOP_FRAMES;
}

void so_hum_clean_back(const so_hum *h, const so_bin *response, int64_t back, float *x)
{
    for (int l = 0; l < SO_HUM_LINES; l++) {
        const so_hum_line *line = &h->line[l];
        if (!reaches(line, back)) continue;
        so_bin is = times(response[l], line->is);
        take(l, h->n - (back + 1) * SO_HUM_FRAME, times(is, drifted(h, l, (double)(-back - 1))),
             times(is, drifted(h, l, (double)-back)), x);
    }
}

double so_hum_power_back(const so_hum *h, const so_bin *response, int64_t back)
{
    double power = 0;
    for (int l = 0; l < SO_HUM_LINES; l++)
        if (reaches(&h->line[l], back)) power += pow(height(times(response[l], h->line[l].is)), 2) / 2;
    return power;
}

double so_hum_power(const so_hum *h, const so_bin *response)
{
    double power = 0;
    for (int l = 0; l < SO_HUM_LINES; l++)
        if (h->line[l].found) power += pow(height(times(response[l], h->line[l].is)), 2) / 2;
    return power;
}
