/* The front end of hearing.
 * SPDX-License-Identifier: Apache-2.0 */
#include "media/front.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "media/hum.h"

enum {
    FRAME = 160,         /* samples of a frame: 10 ms; the numbers below are frames */
    HISTORY = 300,       /* that the noise floor is taken from */
    EARLY = 100,         /* at the beginning, while the floor is not known: nothing is dropped yet */
    PAUSE = 180,         /* of quiet that end a segment, */
    PAUSE_LATER = 45,    /* and once it has QUESTION */
    QUESTION = 500,      /* of speech: whoever stops in the middle of a question has not said much */
    LONGEST_PAUSE = 200, /* that may be asked for */
    LEAD = 8,            /* kept before the first loud one */
    TAIL = 12,           /* kept behind the last loud one */
    ONSET = 10,          /* of which ONSET_LOUD must be loud for speech to begin */
    ONSET_LOUD = 6,
    GATHER = 30, /* of a segment before it comes out: its level is taken from them */
    WORSE = 3,   /* such frames in a row */
    LONGER = 25, /* more of them, where something hums that is not known yet */
    KEEP = 30,   /* of a pause inside a segment at most */
    WAIT = LONGEST_PAUSE + GATHER + 2 * ONSET,
    ROOM = 2 * WAIT, /* those that wait move through it, and back to its beginning at its end */
    LEVELS = 140,    /* bins of 1 dB of the history's histogram, from LOWEST up */
    LOWEST = -120,
    RUNS = 64
};

static const double PI = 3.14159265358979323846;
static const double OFFSET = 5;                /* Hz: what is lower is left out where there is an offset, */
static const double OFFSET_BELOW = 30;         /* dB below speech: a lesser one harms nobody */
static const double VOICE = 70;                /* Hz: what is lower is no speech, and left out where it hums */
static const double ABOVE = 9, ON = 7;         /* dB above the floor: speech begins; and goes on */
static const double FAINTEST = -72;            /* dB below full scale: what is less is no speech */
static const double FAINT = -50, STEADY = 4;   /* dB: a sound below FAINT that moves less than STEADY is no speech */
static const double RANGE = 35;                /* dB below the segment's level: what is less is quiet */
static const double TARGET = -20;              /* dB of speech as the gain wants it */
static const double ZONE = 4;                  /* dB around it that are left alone */
static const double MOST = 40, LEAST = -20;    /* dB of gain */
static const double NOISE = -45;               /* dB that the floor is not raised above */
static const double SLEW = 0.06;               /* dB that the gain moves in a frame */
static const double HUM = -50, HUM_BELOW = 25; /* dB of steady sound below VOICE that is hum; and so far below speech */
static const double MAINS_BELOW = 6;           /* dB */
static const double MUCH_MORE = 1.5; /* of the power, in a frame that hum is taken out of which is not there */

typedef enum state { IDLE, GATHERING, SPEAKING } state;

/* What comes out of a segment: samples as they went in, what is above OFFSET, what is above VOICE; hum of the mains
 * taken out of each. A filter moves the phases of what is left, and the tokenizer hears that: none is used without
 * need. */
typedef enum cut { AS_IT_IS, NO_OFFSET, NO_HUM, CUTS } cut;
enum { LOW = CUTS, PARTS }; /* what is below VOICE, but for the offset: only measured */

typedef struct biquad {
    double b[3], a[2], z[2];
} biquad;

typedef struct frame {
    float db;  /* of what is above VOICE */
    float low; /* mean square of what is below, but for the offset */
    float off; /* the offset */
} frame;

struct so_front {
    so_front_options options;
    int64_t pause, later, longest; /* frames */
    biquad offset, high[2], low[2];
    bool primed;
    so_hum hum;
    int worse;                            /* frames in a row that have more in them without their hum: it has ended */
    so_bin response[PARTS][SO_HUM_LINES]; /* of the filters, at the lines of the hum */

    float part[PARTS][FRAME]; /* the frame being gathered */
    double off_sum;
    int part_n;
    int64_t frames; /* whole ones so far */

    float history[HISTORY]; /* dB of the last frames */
    int count[LEVELS];
    double noise; /* the floor until frame number `noise_until` */
    int64_t noise_until;
    double lowest;    /* the quietest smoothed frame of the beginning */
    double energy[3]; /* of the last frames */

    state state;
    float *wait[CUTS];  /* [waiting, FRAME] frames not decided; the last one is frame number frames - 1 */
    frame *about;       /* [waiting] */
    int waiting, first; /* first: its place in the room */
    float *room;        /* [CUTS, ROOM, FRAME] */
    frame all_about[ROOM];
    int64_t quiet;     /* frames since the last loud one of the segment */
    int64_t spoken;    /* frames of the segment that came out */
    int64_t heard;     /* loud frames in all */
    int64_t last_loud; /* number of the last loud frame; -1 */
    double level;      /* dB of the segment's speech */
    double gain;       /* dB */
    cut cut;           /* of the segment */
    bool begin;        /* the next run begins a segment */

    float *out; /* [(WAIT + pieces), FRAME] */
    int64_t out_n;
    so_front_run run[RUNS];
    int runs, taken;
};

enum { OUT = (WAIT + SO_FRONT_PIECE / FRAME + 2) * FRAME };

/* ---- filters */

/* One section of second order (bilinear transform); `pass` of the low or of the high. */
static biquad section(double hertz, double q, bool low)
{
    double k = tan(PI * hertz / SO_FRONT_RATE), norm = 1 / (1 + k / q + k * k), gain = low ? k * k * norm : norm;
    return (biquad){.b = {gain, low ? 2 * gain : -2 * gain, gain},
                    .a = {2 * (k * k - 1) * norm, (1 - k / q + k * k) * norm}};
}

/* What a section makes of a tone. */
static so_bin response_of(const biquad *s, double hertz)
{
    double w = 2 * PI * hertz / SO_FRONT_RATE, re[2] = {cos(w), cos(2 * w)}, im[2] = {-sin(w), -sin(2 * w)};
    so_bin up = {s->b[0] + s->b[1] * re[0] + s->b[2] * re[1], s->b[1] * im[0] + s->b[2] * im[1]};
    so_bin down = {1 + s->a[0] * re[0] + s->a[1] * re[1], s->a[0] * im[0] + s->a[1] * im[1]};
    double size = down.re * down.re + down.im * down.im;
    return (so_bin){(up.re * down.re + up.im * down.im) / size, (up.im * down.re - up.re * down.im) / size};
}

static void respond(so_front *f)
{
    const biquad *way[PARTS][3] = {[NO_OFFSET] = {&f->offset},
                                   [NO_HUM] = {&f->offset, &f->high[0], &f->high[1]},
                                   [LOW] = {&f->offset, &f->low[0], &f->low[1]}};
    for (int c = 0; c < PARTS; c++)
        for (int l = 0; l < SO_HUM_LINES; l++) {
            so_bin all = {1, 0};
            for (int k = 0; k < 3 && way[c][k]; k++) {
                so_bin one = response_of(way[c][k], so_hum_hertz(l));
                all = (so_bin){all.re * one.re - all.im * one.im, all.re * one.im + all.im * one.re};
            }
            f->response[c][l] = all;
        }
}

static void design(so_front *f)
{
    static const double q[2] = {0.54119610, 1.30656296}; /* Butterworth of order 4 */
    f->offset = section(OFFSET, 0.70710678, false);
    for (int i = 0; i < 2; i++) {
        f->high[i] = section(VOICE, q[i], false);
        f->low[i] = section(VOICE, q[i], true);
    }
    so_hum_reset(&f->hum);
    respond(f);
}

static double filter(biquad *s, double x)
{
    double y = s->b[0] * x + s->z[0];
    s->z[0] = s->b[1] * x - s->a[0] * y + s->z[1];
    s->z[1] = s->b[2] * x - s->a[1] * y;
    return y;
}

static void filter_sample(so_front *f, float x)
{
    if (!f->primed) { /* as if the first sample had always been there: an offset makes no click */
        f->offset.z[0] = -f->offset.b[0] * (double)x;
        f->offset.z[1] = f->offset.b[0] * (double)x;
        f->primed = true;
    }
    double clean = filter(&f->offset, (double)x), low = filter(&f->low[1], filter(&f->low[0], clean));
    f->part[AS_IT_IS][f->part_n] = x;
    f->part[NO_OFFSET][f->part_n] = (float)clean;
    f->part[NO_HUM][f->part_n] = (float)filter(&f->high[1], filter(&f->high[0], clean));
    f->part[LOW][f->part_n] = (float)low;
    f->off_sum += (double)x - clean;
}

/* ---- levels */

static int bin_of(double db)
{
    int bin = (int)floor(db) - LOWEST;
    return bin < 0 ? 0 : bin >= LEVELS ? LEVELS - 1 : bin;
}

static void remember(so_front *f, double db)
{
    float *slot = &f->history[f->frames % HISTORY];
    if (f->frames >= HISTORY) f->count[bin_of((double)*slot)]--;
    *slot = (float)db;
    f->count[bin_of((double)*slot)]++;
}

/* The level that a tenth of the last frames do not reach; at the beginning the quietest of all; noise that was found in
 * what looked like speech. */
static double floor_of(const so_front *f)
{
    if (f->frames < f->noise_until) return f->noise;
    int64_t known = f->frames < HISTORY ? f->frames : HISTORY, least = known / 10, below = 0;
    if (known < EARLY) return f->lowest;
    int bin = 0;
    for (; bin < LEVELS - 1; bin++) {
        below += f->count[bin];
        if (below > least) break;
    }
    return bin + LOWEST + 0.5;
}

static double power_of(const float *x)
{
    double energy = 0;
    for (int i = 0; i < FRAME; i++) energy += (double)x[i] * (double)x[i];
    return energy / FRAME;
}

static frame measure(so_front *f)
{
    double energy = power_of(f->part[NO_HUM]) + 1e-12;
    f->energy[2] = f->energy[1];
    f->energy[1] = f->energy[0];
    f->energy[0] = energy;
    int64_t n = f->frames < 2 ? f->frames + 1 : 3;
    double sum = 0;
    for (int i = 0; i < n; i++) sum += f->energy[i];
    frame now = {(float)(10 * log10(energy)), (float)power_of(f->part[LOW]), (float)(f->off_sum / FRAME)};
    f->off_sum = 0;
    remember(f, (double)now.db);
    if (n == 3) f->lowest = fmin(f->lowest, 10 * log10(sum / (double)n));
    return now;
}

/* ---- what comes out */

static so_front_run *add_run(so_front *f, int64_t at)
{
    so_front_run *last = f->runs ? &f->run[f->runs - 1] : NULL;
    if (last && !last->last && !f->begin && last->at + last->n == at) return last;
    if (f->runs == RUNS) return last; /* a piece has fewer frames than there are runs */
    f->run[f->runs] = (so_front_run){.pcm = f->out + f->out_n, .at = at, .first = f->begin};
    f->begin = false;
    return &f->run[f->runs++];
}

/* Lets `n` waiting frames out, from number `from` of them on. */
static void let_out(so_front *f, int from, int n)
{
    if (n <= 0) return;
    so_front_run *run = add_run(f, (f->frames - f->waiting + from) * FRAME);
    float gain = f->options.plain ? 1 : (float)pow(10, f->gain / 20);
    const float *x = f->wait[f->options.plain ? AS_IT_IS : f->cut] + (int64_t)from * FRAME;
    for (int i = 0; i < n * FRAME; i++) f->out[f->out_n + i] = gain * x[i];
    f->out_n += n * FRAME;
    run->n += n * FRAME;
    f->spoken += n;
}

/* Frames that wait begin at place `first` of the room. */
static void stand_at(so_front *f, int first)
{
    f->first = first;
    f->about = f->all_about + first;
    for (int i = 0; i < CUTS; i++) f->wait[i] = f->room + ((int64_t)i * ROOM + first) * FRAME;
}

static void drop(so_front *f, int n)
{
    f->waiting -= n;
    stand_at(f, f->waiting ? f->first + n : 0);
}

static void append(so_front *f, frame about)
{
    if (f->first + f->waiting == ROOM) {
        const frame *from = f->about;
        const float *wait[CUTS];
        for (int i = 0; i < CUTS; i++) wait[i] = f->wait[i];
        stand_at(f, 0);
        memmove(f->about, from, (size_t)f->waiting * sizeof *f->about);
        for (int i = 0; i < CUTS; i++) memmove(f->wait[i], wait[i], (size_t)f->waiting * FRAME * sizeof *f->wait[i]);
    }
    for (int i = 0; i < CUTS; i++) memcpy(f->wait[i] + (int64_t)f->waiting * FRAME, f->part[i], sizeof f->part[i]);
    f->about[f->waiting++] = about;
}

/* ---- gain */

static double wanted(const so_front *f)
{
    double away = TARGET - f->level;
    double gain = away > ZONE ? away - ZONE : away < -ZONE ? away + ZONE : 0;
    gain = fmin(gain, fmax(0, NOISE - floor_of(f)));
    return fmax(LEAST, fmin(MOST, gain));
}

/* dB of what stands below VOICE in all that waits. */
static double hum_of(const so_front *f)
{
    double hum = 1;
    for (int i = 0; i + 2 < f->waiting; i++)
        hum = fmin(hum, (double)(f->about[i].low + f->about[i + 1].low + f->about[i + 2].low) / 3);
    return 10 * log10(hum + 1e-12);
}

/* Level, gain and filter of a segment that begins. The level: the mean power of the waiting frames that are within 15
 * dB of the loudest. */
static void set_level(so_front *f)
{
    double most = LOWEST, sum = 0;
    int n = 0;
    for (int i = 0; i < f->waiting; i++) most = fmax(most, (double)f->about[i].db);
    for (int i = 0; i < f->waiting; i++)
        if ((double)f->about[i].db > most - 15) {
            sum += pow(10, (double)f->about[i].db / 10);
            n++;
        }
    f->level = 10 * log10(sum / (n ? n : 1) + 1e-12);
    f->gain = wanted(f);
    double off = 0;
    for (int i = 0; i < f->waiting; i++) off += (double)f->about[i].off / f->waiting;
    /* What mains leave below VOICE when they are taken out is speech, unless it is nearly as much. */
    double hum = hum_of(f), mains = 10 * log10(so_hum_power(&f->hum, f->response[LOW]) + 1e-12);
    f->cut = hum > fmax(fmax(HUM, f->level - HUM_BELOW), mains - MAINS_BELOW) ? NO_HUM
             : 10 * log10(off * off + 1e-12) > f->level - OFFSET_BELOW        ? NO_OFFSET
                                                                              : AS_IT_IS;
}

/* Loud frames move the level, a little each; the gain follows. */
static void follow(so_front *f, double db)
{
    if (db < f->level - 15) return;
    double power = pow(10, f->level / 10);
    power += 0.01 * (pow(10, db / 10) - power);
    f->level = 10 * log10(power);
    double away = wanted(f) - f->gain;
    f->gain += fmax(-SLEW, fmin(SLEW, away));
}

/* ---- segments */

static void end_segment(so_front *f)
{
    so_front_run *run = add_run(f, (f->frames - f->waiting) * FRAME);
    run->last = true;
    f->state = IDLE;
    f->quiet = f->spoken = 0;
    /* What was quiet stays so, though the floor falls: a faint end of a word begins no segment of its own. */
    if (f->waiting > LEAD + ONSET) drop(f, f->waiting - LEAD - ONSET);
}

/* The first waiting frame at which ONSET_LOUD of ONSET are loud; -1: none. */
static int find_onset(const so_front *f)
{
    double quiet = fmax(floor_of(f) + ABOVE, FAINTEST);
    for (int i = 0; i + ONSET <= f->waiting; i++) {
        int loud = 0, first = -1;
        double most = LOWEST;
        for (int k = 0; k < ONSET; k++) most = fmax(most, (double)f->about[i + k].db);
        double least = fmax(quiet, most - RANGE); /* a click rings on far below itself */
        for (int k = 0; k < ONSET; k++)
            if ((double)f->about[i + k].db > least) {
                if (first < 0) first = i + k;
                loud++;
            }
        if (loud >= ONSET_LOUD) return first;
    }
    return -1;
}

static void release(so_front *f)
{
    set_level(f);
    f->begin = true;
    f->state = SPEAKING;
    let_out(f, 0, f->waiting);
    f->quiet = 0;
    double least = fmax(floor_of(f) + ON, f->level - RANGE);
    while (f->quiet < f->waiting && (double)f->about[f->waiting - 1 - f->quiet].db <= least) f->quiet++;
    drop(f, f->waiting);
}

/* Whether what is gathered is faint and steady, nine tenths of what is loud in it within STEADY of the loudest: noise
 * that came on after digital silence, where the history does not hold it yet. */
static bool is_noise(const so_front *f, double *level)
{
    double quiet = fmax(floor_of(f) + ABOVE, FAINTEST);
    int loud = 0, near = 0;
    *level = LOWEST;
    for (int i = 0; i < f->waiting; i++) *level = fmax(*level, (double)f->about[i].db);
    for (int i = 0; i < f->waiting; i++) {
        loud += (double)f->about[i].db > quiet;
        near += (double)f->about[i].db > fmax(quiet, *level - STEADY);
    }
    return *level < FAINT && near * 10 >= loud * 9;
}

/* Where a recording begins with speech and something hums, it may soon be known what. */
static bool may_be_mains(const so_front *f)
{
    return f->frames < EARLY && f->waiting < LEAD + GATHER + LONGER && !f->options.plain && !f->hum.found &&
           hum_of(f) > HUM;
}

/* Enough is gathered: it comes out as speech, or it is the floor from now on. */
static void gathered(so_front *f)
{
    double level;
    if (!is_noise(f, &level)) {
        release(f);
        return;
    }
    f->noise = level;
    f->noise_until = f->frames + HISTORY;
    f->heard -= ONSET_LOUD;
    f->state = IDLE;
    if (f->waiting > LEAD + ONSET) drop(f, f->waiting - LEAD - ONSET);
}

static void idle(so_front *f)
{
    int onset = find_onset(f);
    if (onset < 0) {
        int most = f->frames < EARLY ? EARLY : LEAD + ONSET;
        if (f->waiting > most) drop(f, f->waiting - most);
        return;
    }
    if (onset > LEAD) drop(f, onset - LEAD);
    f->heard += ONSET_LOUD;
    f->last_loud = f->frames - 1;
    f->state = GATHERING;
}

/* A frame of a segment: loud ones come out with the pause before them, shortened; quiet ones wait once TAIL are out. */
static void speak(so_front *f)
{
    frame now = f->about[f->waiting - 1];
    double least = fmax(floor_of(f) + ON, f->level - RANGE);
    bool hurry = f->spoken > f->longest * 3 / 4;
    if ((double)now.db > least) {
        follow(f, (double)now.db);
        f->heard++;
        f->last_loud = f->frames - 1;
        f->quiet = 0;
        int keep = f->waiting - 1 > KEEP - TAIL ? KEEP - TAIL + 1 : f->waiting;
        let_out(f, f->waiting - keep, keep);
        drop(f, f->waiting);
    } else {
        f->quiet++;
        if (f->quiet <= TAIL) {
            let_out(f, 0, f->waiting);
            drop(f, f->waiting);
        } else if (f->quiet >= (f->spoken < QUESTION ? f->pause : f->later) || hurry) {
            end_segment(f);
        }
    }
    if (f->state == SPEAKING && f->spoken >= f->longest) end_segment(f);
}

/* Out of the frames that wait, too, and of what is known of them: as if it had never been there. */
static void take_hum_back(so_front *f)
{
    for (int i = 0; i < f->waiting; i++) {
        frame *about = &f->about[i];
        int64_t back = f->waiting - i;
        float *known = &f->history[(f->frames - back) % HISTORY];
        for (int c = 0; c < CUTS; c++)
            so_hum_clean_back(&f->hum, f->response[c], back, f->wait[c] + (int64_t)i * FRAME);
        double power = power_of(f->wait[NO_HUM] + (int64_t)i * FRAME) + 1e-12, sum = power;
        about->db = (float)(10 * log10(power));
        about->low = (float)fmax(0, (double)about->low - so_hum_power_back(&f->hum, f->response[LOW], back));
        if (back <= HISTORY) {
            f->count[bin_of((double)*known)]--;
            *known = about->db;
            f->count[bin_of((double)*known)]++;
        }
        for (int k = 1; k < 3 && k <= i; k++) sum += pow(10, (double)f->about[i - k].db / 10);
        if (i >= 2) f->lowest = fmin(f->lowest, 10 * log10(sum / 3));
        if (back <= 2) f->energy[back - 1] = power;
    }
}

/* Hum of the mains leaves the frame. */
static void take_hum_out(so_front *f)
{
    if (f->options.plain || !so_hum_feed(&f->hum, f->part[AS_IT_IS], f->waiting > 0)) return;
    double power = power_of(f->part[AS_IT_IS]);
    for (int c = 0; c < PARTS; c++) so_hum_clean(&f->hum, f->response[c], f->part[c]);
    f->worse = power_of(f->part[AS_IT_IS]) > MUCH_MORE * power ? f->worse + 1 : 0;
    if (f->worse == WORSE) so_hum_forget(&f->hum);
    if (so_hum_fresh(&f->hum)) take_hum_back(f);
}

static void end_frame(so_front *f)
{
    take_hum_out(f);
    frame now = measure(f);
    if (f->waiting == WAIT) drop(f, 1); /* cannot be: every state keeps fewer */
    append(f, now);
    f->frames++;
    f->part_n = 0;
    if (f->state == IDLE)
        idle(f);
    else if (f->state == SPEAKING)
        speak(f);
    else if (f->waiting >= LEAD + GATHER && !may_be_mains(f))
        gathered(f);
}

/* ---- public */

void so_front_pause(so_front *f, double seconds)
{
    f->pause = seconds > 0 ? (int64_t)lround(seconds * 100) : PAUSE;
    if (f->pause <= TAIL) f->pause = TAIL + 1;
    if (f->pause > LONGEST_PAUSE) f->pause = LONGEST_PAUSE;
    f->later = seconds > 0 ? f->pause : PAUSE_LATER;
}

so_status so_front_open(so_front **out, const so_front_options *options, so_error *error)
{
    *out = NULL;
    so_front *f = calloc(1, sizeof *f);
    if (f) f->room = malloc((size_t)CUTS * ROOM * FRAME * sizeof *f->room);
    if (f) f->out = malloc((size_t)OUT * sizeof *f->out);
    if (!f || !f->room || !f->out) {
        so_front_close(&f);
        return so_fail(error, SO_ERR_NOMEM, "no memory for the front end of hearing");
    }
    if (options) f->options = *options;
    f->longest = (int64_t)lround((f->options.longest > 0 ? f->options.longest : 28) * 100);
    so_front_pause(f, f->options.pause);
    so_front_reset(f);
    *out = f;
    return SO_OK;
}

size_t so_front_bytes(const so_front *f)
{
    return f ? sizeof *f + ((size_t)CUTS * ROOM * FRAME + OUT) * sizeof *f->out : 0;
}

void so_front_close(so_front **front)
{
    if (!front || !*front) return;
    free((*front)->room);
    free((*front)->out);
    free(*front);
    *front = NULL;
}

void so_front_reset(so_front *f)
{
    float *room = f->room, *out = f->out;
    int64_t pause = f->pause, later = f->later, longest = f->longest;
    so_front_options options = f->options;
    memset(f, 0, sizeof *f);
    f->options = options;
    f->pause = pause;
    f->later = later;
    f->longest = longest;
    f->room = room;
    stand_at(f, 0);
    f->out = out;
    f->lowest = 0;
    f->last_loud = -1;
    design(f);
}

void so_front_feed(so_front *f, const float *x, int64_t n)
{
    f->runs = f->taken = 0;
    f->out_n = 0;
    for (int64_t i = 0; i < n; i++) {
        filter_sample(f, x[i]);
        if (++f->part_n == FRAME) end_frame(f);
    }
}

void so_front_finish(so_front *f)
{
    f->runs = f->taken = 0;
    f->out_n = 0;
    if (f->part_n) { /* the last frame is filled up with nothing */
        int n = FRAME - f->part_n;
        for (int k = 0; k < CUTS; k++) memset(f->part[k] + f->part_n, 0, (size_t)n * sizeof f->part[k][0]);
        end_frame(f);
    }
    if (f->state == GATHERING) gathered(f);
    if (f->state == SPEAKING) end_segment(f);
}

bool so_front_next(so_front *f, so_front_run *run)
{
    if (f->taken == f->runs) return false;
    *run = f->run[f->taken++];
    return true;
}

bool so_front_heard(const so_front *f) { return f->heard > 0; }

double so_front_quiet(const so_front *f)
{
    return f->last_loud < 0 ? 0 : (double)(f->frames - 1 - f->last_loud) * FRAME / SO_FRONT_RATE;
}
