/* media/front: what is heard of made-up speech under silence, noise, hum, offsets and levels, and where it lies.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "base/rng.h"
#include "media/front.h"
#include "media/pieces.h"

enum { RATE = SO_FRONT_RATE, MOST = 60 * RATE };

/* Everything that came out of one recording. */
typedef struct heard {
    float *pcm;
    int64_t n;
    struct {
        int64_t begin, end, n; /* in the recording; samples that came out */
    } segment[32];
    int segments;
} heard;

static float x[MOST];

static void quiet(int64_t from, int64_t to)
{
    for (int64_t i = from; i < to; i++) x[i] = 0;
}

static double pitch = 120;

/* Syllables of 200 ms, voiced with harmonics, with gaps of 60 ms. */
static void speech(int64_t from, int64_t to, double height)
{
    for (int64_t i = from; i < to; i++) {
        double t = (double)(i - from) / RATE, place = fmod(t, 0.26) / 0.2, sum = 0;
        double shape = place < 1 ? sin(M_PI * place) : 0;
        for (int h = 1; h <= 12; h++) sum += sin(2 * M_PI * pitch * h * t) / h;
        x[i] = (float)(height * 0.5 * shape * sum);
    }
}

static void noise(int64_t from, int64_t to, double height)
{
    so_rng rng;
    so_rng_init(&rng, 5, 0);
    for (int64_t i = from; i < to; i++) x[i] += (float)(height * (so_rng_uniform(&rng) * 2 - 1));
}

static void tone(int64_t from, int64_t to, double hertz, double height)
{
    for (int64_t i = from; i < to; i++) x[i] += (float)(height * sin(2 * M_PI * hertz * (double)i / RATE));
}

static void take(so_front *front, heard *h)
{
    so_front_run run;
    while (so_front_next(front, &run)) {
        if (run.first) {
            assert_true(h->segments < 32);
            h->segment[h->segments].begin = run.at;
            h->segment[h->segments].n = 0;
            h->segments++;
        }
        assert_true(h->segments > 0);
        if (run.n) {
            memcpy(h->pcm + h->n, run.pcm, (size_t)run.n * sizeof *run.pcm);
            h->n += run.n;
            h->segment[h->segments - 1].end = run.at + run.n;
            h->segment[h->segments - 1].n += run.n;
        }
    }
}

/* `step` 0: pieces of random lengths. */
static heard hear(int64_t n, int64_t step, const so_front_options *options)
{
    heard h = {.pcm = malloc((size_t)(n + RATE) * sizeof *h.pcm)};
    so_front *front;
    so_error error;
    so_rng rng;
    so_rng_init(&rng, 9, 1);
    CHECK_OK(so_front_open(&front, options, &error), error);
    for (int64_t at = 0, now; at < n; at += now) {
        now = step ? step : so_rng_range(&rng, 0, SO_FRONT_PIECE);
        if (now > n - at) now = n - at;
        so_front_feed(front, x + at, now);
        take(front, &h);
    }
    so_front_finish(front);
    take(front, &h);
    assert_int_equal(so_front_heard(front), h.segments > 0);
    so_front_close(&front);
    return h;
}

static double level(const float *pcm, int64_t n)
{
    double energy = 0;
    for (int64_t i = 0; i < n; i++) energy += (double)pcm[i] * (double)pcm[i];
    return 10 * log10(energy / (double)n + 1e-12);
}

static void silence_around_speech_is_left_out(void **state)
{
    (void)state;
    int64_t lead = 10 * RATE, n = 2 * RATE, behind = 5 * RATE;
    quiet(0, lead);
    speech(lead, lead + n, 0.3);
    quiet(lead + n, lead + n + behind);
    heard h = hear(lead + n + behind, 3200, NULL);
    assert_int_equal(h.segments, 1);
    assert_true(llabs(lead - h.segment[0].begin - 1280) <= 800); /* 80 ms before */
    assert_true(llabs(h.segment[0].end - lead - n - 1920) <= 1600);
    free(h.pcm);
    /* The same in steady noise far below. */
    noise(0, lead + n + behind, 0.002);
    h = hear(lead + n + behind, 3200, NULL);
    assert_int_equal(h.segments, 1);
    assert_true(llabs(lead - h.segment[0].begin - 1280) <= 800);
    free(h.pcm);
}

static void speech_that_begins_at_once_is_whole(void **state)
{
    (void)state;
    speech(0, 2 * RATE, 0.3);
    heard h = hear(2 * RATE, 160, NULL);
    assert_int_equal(h.segments, 1);
    assert_int_equal(h.segment[0].begin, 0);
    assert_true(h.n >= 2 * RATE - 3200);
    for (int64_t i = 1600; i < h.n; i++) assert_true(fabsf(h.pcm[i] - x[i]) < 0.02f); /* of a usual level: untouched */
    free(h.pcm);
}

static void pauses_end_segments(void **state)
{
    (void)state;
    int64_t at = 0, end[4], begin[4];
    for (int i = 0; i < 4; i++) {
        begin[i] = at;
        speech(at, at + RATE, 0.3);
        end[i] = at + RATE;
        at = end[i] + (i == 0 ? RATE / 10 : RATE); /* the first pause is short */
        quiet(end[i], at);
    }
    so_front_options brisk = {.pause = 0.45};
    heard h = hear(at, 999, &brisk);
    assert_int_equal(h.segments, 3);
    assert_true(h.segment[0].end >= end[1] - 1600 && h.segment[0].end <= end[1] + 4800);
    for (int i = 1; i < 3; i++) {
        assert_true(llabs(begin[i + 1] - h.segment[i].begin) <= 4000);
        assert_true(llabs(h.segment[i].end - end[i + 1]) <= 4800);
    }
    free(h.pcm);
    /* A pause that ends no segment is shortened; places in the recording stay right. */
    speech(0, RATE, 0.3);
    int64_t second = RATE * 17 / 10, all = second + RATE;
    quiet(RATE, second);
    speech(second, all, 0.3);
    so_front_options patient = {.pause = 1};
    h = hear(all, 999, &patient);
    assert_int_equal(h.segments, 1);
    assert_true(h.n < all - RATE / 4 && h.n > 2 * RATE);
    assert_true(h.segment[0].end >= all - 3200);
    free(h.pcm);
}

/* Who stops for 1.5 s after a few words goes on with the same question; who has talked for a while ends a sentence. */
static void a_question_may_stop_in_the_middle(void **state)
{
    (void)state;
    const int64_t said[] = {2, 2, 2, 3}, pause[] = {15, 20, 15, 6}; /* seconds; tenths of one */
    int64_t at = 0, begin[4];
    for (int i = 0; i < 4; i++) {
        begin[i] = at;
        speech(at, at + said[i] * RATE, 0.3);
        at += said[i] * RATE;
        quiet(at, at + pause[i] * RATE / 10);
        at += pause[i] * RATE / 10;
    }
    int64_t last = at;
    speech(at, at + RATE, 0.3);
    heard h = hear(at + RATE, 999, NULL);
    assert_int_equal(h.segments, 3); /* 1.5 s end none, 2 s do, and after 5 s of speech 0.6 s do */
    assert_true(llabs(h.segment[1].begin - begin[2]) <= 4000);
    assert_true(llabs(h.segment[2].begin - last) <= 4000);
    assert_true(h.segment[0].n < 4 * RATE + RATE); /* the pause is shortened */
    free(h.pcm);
}

/* A faint end is quiet beside the words before it, and still when nothing at all has followed for long. */
static void a_faint_end_begins_no_segment(void **state)
{
    (void)state;
    const int64_t all = 9 * RATE;
    quiet(0, all);
    noise(0, 2 * RATE + RATE / 2, 0.0006);
    speech(RATE, 2 * RATE, 0.3);
    for (int64_t i = 2 * RATE + RATE / 5; i < 2 * RATE + RATE / 2; i++) x[i] *= 2;
    heard h = hear(all, 999, NULL);
    assert_int_equal(h.segments, 1);
    free(h.pcm);
}

static void one_speaker_without_end_is_cut(void **state)
{
    (void)state;
    speech(0, MOST, 0.3);
    so_front_options options = {.longest = 10};
    heard h = hear(MOST, 4096, &options);
    assert_true(h.segments >= 6);
    for (int i = 0; i < h.segments; i++) assert_true(h.segment[i].n <= 11 * RATE);
    assert_true(h.n > MOST - 4 * RATE);
    free(h.pcm);
}

/* A gate, or a codec that sends nothing in pauses: digital silence, then faint noise, then speech. */
static void noise_after_digital_silence_is_no_speech(void **state)
{
    (void)state;
    int64_t n = 8 * RATE;
    quiet(0, n);
    speech(RATE, 2 * RATE, 0.2);
    noise(4 * RATE, 6 * RATE, 6e-4); /* -69 dB */
    speech(6 * RATE, 7 * RATE, 0.2);
    heard h = hear(n, 0, NULL);
    assert_int_equal(h.segments, 2);
    for (int i = 0; i < 2; i++) {
        int64_t from = (i ? 6 : 1) * RATE;
        assert_in_range(h.segment[i].begin, from - RATE / 8, from + RATE / 20);
        assert_in_range(h.segment[i].end, from + RATE - RATE / 10, from + RATE + RATE / 4);
    }
    double one = level(h.pcm, h.segment[0].n), two = level(h.pcm + h.segment[0].n, h.segment[1].n);
    assert_true(fabs(one - two) < 1.5); /* the gain is that of speech */
    free(h.pcm);
    quiet(0, n);
    noise(4 * RATE, 6 * RATE, 6e-4);
    h = hear(n, 0, NULL);
    assert_int_equal(h.segments, 0);
    free(h.pcm);
}

static void levels_and_offsets_are_put_right(void **state)
{
    (void)state;
    static const double heights[] = {0.003, 0.01, 0.03, 0.3, 1};
    for (int i = 0; i < 5; i++) {
        quiet(0, 3 * RATE);
        speech(RATE / 2, 5 * RATE / 2, heights[i]);
        for (int64_t k = 0; k < 3 * RATE; k++) x[k] += 0.2f;
        heard h = hear(3 * RATE, 1234, NULL);
        assert_int_equal(h.segments, 1);
        double sum = 0;
        for (int64_t k = 0; k < h.n; k++) sum += (double)h.pcm[k];
        assert_true(fabs(sum / (double)h.n) < 0.005);
        double now = level(h.pcm, h.n);
        if (!(now > -31 && now < -12)) fail_msg("height %g comes out at %.1f dB", heights[i], now);
        free(h.pcm);
    }
}

/* Usual speech comes out to the bit: a filter against offsets moves the phases of what is left. */
static void what_is_right_is_left_alone(void **state)
{
    (void)state;
    quiet(0, 3 * RATE);
    speech(RATE / 2, 5 * RATE / 2, 0.3);
    for (int64_t k = 0; k < 3 * RATE; k++) x[k] += 0.0005f; /* some offset has every microphone */
    heard h = hear(3 * RATE, 1234, NULL);
    assert_int_equal(h.segments, 1);
    assert_memory_equal(h.pcm, x + h.segment[0].begin, (size_t)h.n * sizeof *h.pcm);
    free(h.pcm);
}

static void what_is_no_speech_is_not_heard(void **state)
{
    (void)state;
    int64_t n = 5 * RATE;
    quiet(0, n);
    heard h = hear(n, 0, NULL);
    assert_int_equal(h.segments, 0);
    free(h.pcm);
    noise(0, n, 0.3);
    h = hear(n, 0, NULL);
    assert_int_equal(h.segments, 0);
    free(h.pcm);
    quiet(0, n);
    tone(0, n, 50, 0.3);
    h = hear(n, 0, NULL);
    assert_int_equal(h.segments, 0);
    free(h.pcm);
    quiet(0, n);
    tone(n / 2, n / 2 + 320, 1000, 0.8); /* a click */
    h = hear(n, 0, NULL);
    assert_int_equal(h.segments, 0);
    free(h.pcm);
    h = hear(100, 0, NULL); /* less than a frame */
    assert_int_equal(h.segments, 0);
    free(h.pcm);
}

/* Hum of `hertz` and its second, third and fifth harmonics, over the whole of n samples. */
static void hum(int64_t n, double hertz, double height)
{
    tone(0, n, hertz, height);
    tone(0, n, 2 * hertz, height / 4);
    tone(0, n, 3 * hertz, height / 2);
    tone(0, n, 5 * hertz, height / 5);
}

/* Mains of whatever frequency leave nothing behind, and the speech as it was. */
static void hum_is_taken_away_where_there_is_any(void **state)
{
    (void)state;
    const double mains[] = {50, 60, 49.9, 60.07};
    pitch = 133; /* none of theirs */
    const int64_t n = 4 * RATE;
    for (int64_t lead = RATE; lead >= 0; lead -= RATE) { /* and where speech begins at once, of the fundamental alone */
        quiet(0, n);
        speech(lead, 3 * RATE, 0.3);
        heard clean = hear(n, 500, NULL);
        assert_int_equal(clean.segments, 1);
        for (int k = 0; k < 4; k++) {
            quiet(0, n);
            speech(lead, 3 * RATE, 0.3);
            if (lead)
                hum(n, mains[k], 0.1);
            else
                tone(0, n, mains[k], 0.1);
            heard h = hear(n, 500, NULL);
            assert_int_equal(h.segments, 1);
            int64_t off = h.segment[0].begin - clean.segment[0].begin;
            assert_true(llabs(off) <= 320);
            double rest = 0, all = 0;
            for (int64_t i = 0; i < h.n && i + off < clean.n; i++) {
                if (i + off < 0) continue;
                double was = (double)clean.pcm[i + off], is = (double)h.pcm[i];
                rest += (is - was) * (is - was);
                all += was * was;
            }
            double db = 10 * log10(rest / all);
            if (!(db < -35)) fail_msg("%g Hz, %lld: %.1f dB of the speech are left", mains[k], (long long)lead, db);
            free(h.pcm);
        }
        free(clean.pcm);
    }
    pitch = 120;
}

/* When it has ended everything is as it comes, to the bit; and a tone that no mains make is left alone. */
static void hum_that_ends_is_forgotten(void **state)
{
    (void)state;
    const int64_t n = 8 * RATE;
    for (int other = 0; other < 2; other++) {
        quiet(0, n);
        if (other)
            tone(0, n, 86, 0.01);
        else
            hum(3 * RATE, 50, 0.1);
        speech(5 * RATE, 7 * RATE, 0.3);
        if (other) tone(5 * RATE, 7 * RATE, 86, 0.01);
        heard h = hear(n, 777, NULL);
        assert_true(h.segments >= 1);
        int last = h.segments - 1;
        int64_t kept = h.segment[last].n;
        assert_true(llabs(5 * RATE - h.segment[last].begin) <= 2400);
        assert_memory_equal(h.pcm + h.n - kept, x + h.segment[last].begin, (size_t)kept * sizeof *h.pcm);
        free(h.pcm);
    }
}

/* What stands low and is no line, as wind and cars make it, is filtered away as a whole. */
static void rumble_is_filtered(void **state)
{
    (void)state;
    quiet(0, 3 * RATE);
    for (int k = 0; k < 12; k++) tone(0, 3 * RATE, 31.7 + 2.3 * k * k / 6, 0.03);
    float *rumble = malloc((size_t)3 * RATE * sizeof *rumble);
    memcpy(rumble, x, (size_t)3 * RATE * sizeof *rumble);
    quiet(0, 3 * RATE);
    speech(RATE / 2, 5 * RATE / 2, 0.3);
    for (int64_t i = 0; i < 3 * RATE; i++) x[i] += rumble[i];
    heard h = hear(3 * RATE, 500, NULL);
    assert_int_equal(h.segments, 1);
    double re = 0, im = 0;
    for (int64_t i = 0; i < h.n; i++) {
        re += (double)h.pcm[i] * cos(2 * M_PI * 31.7 * (double)i / RATE);
        im += (double)h.pcm[i] * sin(2 * M_PI * 31.7 * (double)i / RATE);
    }
    assert_true(2 * sqrt(re * re + im * im) / (double)h.n < 0.01);
    free(h.pcm);
    free(rumble);
}

static void pieces_make_no_difference(void **state)
{
    (void)state;
    quiet(0, 8 * RATE);
    speech(RATE, 2 * RATE, 0.05);
    speech(4 * RATE, 6 * RATE + 77, 0.4);
    noise(0, 8 * RATE, 0.001);
    hum(8 * RATE, 50, 0.02);
    heard a = hear(8 * RATE - 33, 0, NULL), b = hear(8 * RATE - 33, 160, NULL), c = hear(8 * RATE - 33, 4096, NULL);
    assert_int_equal(a.segments, 2);
    assert_int_equal(a.n, b.n);
    assert_int_equal(a.n, c.n);
    assert_memory_equal(a.pcm, b.pcm, (size_t)a.n * sizeof *a.pcm);
    assert_memory_equal(a.pcm, c.pcm, (size_t)a.n * sizeof *a.pcm);
    for (int i = 0; i < a.segments; i++) assert_int_equal(a.segment[i].begin, b.segment[i].begin);
    free(a.pcm);
    free(b.pcm);
    free(c.pcm);
    so_front_options plain = {.plain = true};
    a = hear(8 * RATE, 4096, &plain);
    assert_int_equal(a.segments, 2);
    assert_memory_equal(a.pcm, x + a.segment[0].begin, (size_t)a.segment[0].n * sizeof *a.pcm);
    free(a.pcm);
}

static int64_t read_at, read_n;

static so_status read_more(void *context, float *out, int64_t n, int64_t *got, so_error *error)
{
    (void)context;
    (void)error;
    *got = read_n - read_at < n ? read_n - read_at : n;
    memcpy(out, x + read_at, (size_t)*got * sizeof *out);
    read_at += *got;
    return SO_OK;
}

/* Five sentences of 2 s with 1.2 s between them: many, where the recording is known to be long; else somebody may have
 * stopped within a question. */
static void sentences_of_a_long_recording_are_pieces(void **state)
{
    (void)state;
    so_error error;
    int64_t at = 0;
    for (int i = 0; i < 5; i++) {
        speech(at, at + 2 * RATE, 0.3);
        quiet(at + 2 * RATE, at + 2 * RATE + RATE * 12 / 10);
        at += 2 * RATE + RATE * 12 / 10;
    }
    for (int known = 0; known < 2; known++) {
        so_pieces *pieces;
        const float *pcm;
        int64_t n;
        int count = 0;
        read_at = 0;
        read_n = at;
        CHECK_OK(so_pieces_open(&pieces, RATE, false, read_more, NULL, &error), error);
        if (known) so_pieces_length(pieces, (double)at / RATE);
        for (;; count++) {
            CHECK_OK(so_pieces_next(pieces, &pcm, &n, &error), error);
            if (!n) break;
        }
        so_pieces_close(&pieces);
        assert_int_equal(count, known ? 5 : 2);
    }
}

/* Silence and faint noise around speech, however long, are no part of it. */
static void what_is_spoken_has_a_length(void **state)
{
    (void)state;
    quiet(0, 20 * RATE);
    assert_float_equal(so_pieces_spoken(x, 0, RATE), 0, 0);
    assert_float_equal(so_pieces_spoken(x, 20 * RATE, RATE), 0, 0);
    noise(0, 20 * RATE, 0.0005);
    speech(8 * RATE, 11 * RATE, 0.3);
    assert_float_equal(so_pieces_spoken(x, 20 * RATE, RATE), 3, 0.3);
    speech(0, RATE, 0.3);
    assert_float_equal(so_pieces_spoken(x, 20 * RATE, RATE), 11, 0.3);
    assert_float_equal(so_pieces_spoken(x, 20 * RATE, 50), 0, 0); /* no rate */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(silence_around_speech_is_left_out),
        cmocka_unit_test(speech_that_begins_at_once_is_whole),
        cmocka_unit_test(pauses_end_segments),
        cmocka_unit_test(a_question_may_stop_in_the_middle),
        cmocka_unit_test(a_faint_end_begins_no_segment),
        cmocka_unit_test(one_speaker_without_end_is_cut),
        cmocka_unit_test(noise_after_digital_silence_is_no_speech),
        cmocka_unit_test(levels_and_offsets_are_put_right),
        cmocka_unit_test(what_is_right_is_left_alone),
        cmocka_unit_test(what_is_no_speech_is_not_heard),
        cmocka_unit_test(hum_is_taken_away_where_there_is_any),
        cmocka_unit_test(hum_that_ends_is_forgotten),
        cmocka_unit_test(rumble_is_filtered),
        cmocka_unit_test(pieces_make_no_difference),
        cmocka_unit_test(sentences_of_a_long_recording_are_pieces),
        cmocka_unit_test(what_is_spoken_has_a_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
