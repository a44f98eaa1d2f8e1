/* Echo cancellation in a simulated room: the loudspeaker's speech goes, the user's stays, also when both speak.
 *
 * The room is a direct path and a tail of reflections that decays by 60 dB in 0.25 s, with noise at -60 dB; speech is a
 * recording of this repository. SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "base/rng.h"
#include "media/audio.h"
#include "media/echo.h"
#include "media/resample.h"

enum { RATE = 16000, PIECE = RATE / 25, SECONDS = 16, N = RATE * SECONDS, TAIL = RATE / 4 };

static float room_reply[TAIL];

static void make_room(void)
{
    so_rng rng;
    so_rng_init(&rng, 3, 0);
    for (int i = 0; i < TAIL; i++) room_reply[i] = (float)(0.08 * so_rng_normal(&rng) * pow(10, -3.0 * i / TAIL));
    room_reply[40] += 0.5f;
}

/* Speech without an end: a recording again and again. */
static void speech(const char *name, float *out, int from, int to, float loud)
{
    char path[4096];
    so_audio audio = {0};
    so_resampler *resampler;
    so_error error;
    snprintf(path, sizeof path, "%s/examples/%s", SO_SOURCE_DIR, name);
    CHECK_OK(so_audio_read(&audio, path, 60, &error), error);
    CHECK_OK(so_resampler_open(&resampler, audio.rate, RATE, &error), error);
    int64_t n = so_resampler_length(resampler, audio.n);
    float *x = malloc((size_t)n * sizeof *x);
    CHECK_OK(so_resample(resampler, audio.samples, audio.n, x, &error), error);
    double energy = 1e-9;
    for (int64_t i = 0; i < n; i++) energy += (double)x[i] * (double)x[i];
    float scale = loud / (float)sqrt(energy / (double)n);
    for (int i = from; i < to; i++) out[i] = scale * x[(i - from) % n];
    free(x);
    so_resampler_close(&resampler);
    so_audio_clear(&audio);
}

/* What the microphone hears of it, `delay` samples later. */
static void echo_of(const float *played, float *heard, int delay)
{
    so_rng rng;
    so_rng_init(&rng, 5, 0);
    for (int i = 0; i < N; i++) {
        double sum = 0.0001 * so_rng_normal(&rng);
        for (int k = 0; k < TAIL && k <= i - delay; k++) sum += (double)room_reply[k] * (double)played[i - delay - k];
        heard[i] = (float)sum;
    }
}

static double power(const float *x, int from, int to)
{
    double sum = 1e-12;
    for (int i = from; i < to; i++) sum += (double)x[i] * (double)x[i];
    return sum / (to - from);
}

static float played[N], echo[N], user[N], heard[N];

/* Runs all of heard[] through; what is played is told `told` samples later than it is (negative: earlier). */
static void clean(int delay, int told)
{
    so_echo *e;
    so_error error;
    so_status status = so_echo_open(&e, RATE, PIECE, &error);
    if (status == SO_ERR_MISSING) {
        fprintf(stderr, "# SKIP: %s\n", error.text);
        skip();
    }
    CHECK_OK(status, error);
    so_echo_played(e, played, 2 * PIECE, delay + told); /* a speaker is given its sound some time before it plays it */
    for (int at = 0; at < N; at += PIECE) {
        assert_int_equal(so_echo_at(e), at);
        if (at + 3 * PIECE <= N) so_echo_played(e, played + at + 2 * PIECE, PIECE, at + 2 * PIECE + delay + told);
        so_echo_clean(e, heard + at);
    }
    /* What comes out is so_echo_delay samples late. */
    size_t late = so_echo_delay(e);
    memmove(heard, heard + late, (N - late) * sizeof *heard);
    so_echo_close(&e);
    assert_null(e);
}

/* Echo return loss enhancement after four seconds of learning, whatever the time was told wrong. */
static void the_echo_goes(void **state)
{
    (void)state;
    static const struct {
        int delay, told;
    } times[] = {{0, 0}, {RATE / 10, 0}, {RATE / 10, RATE / 50}, {RATE / 10, -RATE / 12}};
    make_room();
    speech("talk.wav", played, 0, N, 0.1f);
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        echo_of(played, echo, times[i].delay);
        memcpy(heard, echo, sizeof heard);
        clean(times[i].delay, times[i].told);
        double gain = 10 * log10(power(echo, 4 * RATE, N - RATE) / power(heard, 4 * RATE, N - RATE));
        print_message("delay %d, told %+d samples off: %.1f dB\n", times[i].delay, times[i].told, gain);
        assert_true(gain >= 15);
    }
}

/* The user speaks from second 8 to 12 while the loudspeaker does: his voice comes through, and the echo is gone again
 * after it. */
static void the_user_stays(void **state)
{
    (void)state;
    memset(user, 0, sizeof user);
    make_room();
    speech("talk.wav", played, 0, N, 0.1f);
    speech("question.wav", user, 8 * RATE, 12 * RATE, 0.1f);
    echo_of(played, echo, RATE / 10);
    for (int i = 0; i < N; i++) heard[i] = echo[i] + user[i];
    double before = power(echo, 8 * RATE, 12 * RATE);
    clean(RATE / 10, 0);
    /* How much of the user is in it: the projection on his own voice, and what is left beside it. */
    double both = 0, alone = 1e-12;
    for (int i = 8 * RATE; i < 12 * RATE; i++) {
        both += (double)heard[i] * (double)user[i];
        alone += (double)user[i] * (double)user[i];
    }
    double share = both / alone, rest = 0;
    for (int i = 8 * RATE; i < 12 * RATE; i++) {
        double d = (double)heard[i] - share * (double)user[i];
        rest += d * d;
    }
    double voice_in = 10 * log10(alone / (4 * RATE) / before), voice_out = 10 * log10(share * share * alone / rest);
    double after = 10 * log10(power(echo, 13 * RATE, N - RATE) / power(heard, 13 * RATE, N - RATE));
    print_message(
        "double talk: %.2f of the user's voice, %.1f dB over the rest (%.1f before); echo afterwards %.1f dB down\n",
        share, voice_out, voice_in, after);
    assert_true(share >= 0.5);
    assert_true(voice_out >= voice_in + 6);
    assert_true(after >= 15);
}

/* Without anything played the microphone comes through as it is, to the rounding of 16 bits. */
static void silence_changes_nothing(void **state)
{
    (void)state;
    memset(played, 0, sizeof played);
    speech("question.wav", heard, 0, N, 0.1f);
    memcpy(user, heard, sizeof user);
    clean(0, 0);
    double worst = 0, both = 0, alone = 0;
    for (int i = RATE; i < N; i++) {
        both += (double)heard[i] * (double)user[i];
        alone += (double)user[i] * (double)user[i];
        worst = fmax(worst, fabs((double)heard[i]));
    }
    assert_true(both / alone > 0.9 && worst > 0.1);
}

static void what_cannot_be(void **state)
{
    (void)state;
    so_echo *e;
    so_error error;
    assert_int_not_equal(so_echo_open(&e, 4000, 160, &error), SO_OK);
    assert_int_not_equal(so_echo_open(&e, 16000, 641, &error), SO_OK);
    assert_int_not_equal(so_echo_open(&e, 16000, 100, &error), SO_OK);
    assert_null(e);
    if (so_echo_open(&e, 16000, 640, &error) == SO_ERR_MISSING) {
        fprintf(stderr, "# SKIP: %s\n", error.text);
        skip();
    }
    float far[4] = {1, 1, 1, 1}, piece[640] = {0};
    so_echo_played(e, far, 4, -100);                             /* passed */
    so_echo_played(e, far, 4, INT64_C(1) << 40);                 /* never */
    so_echo_played(e, far, 4, (int64_t)16000 * SO_ECHO_AHEAD_S); /* in time */
    so_echo_clean(e, piece);
    assert_int_equal(so_echo_at(e), 640);
    so_echo_close(&e);
    so_echo_close(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_echo_goes),
        cmocka_unit_test(the_user_stays),
        cmocka_unit_test(silence_changes_nothing),
        cmocka_unit_test(what_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
