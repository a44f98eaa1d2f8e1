/* Voices: which are drawn, that speech is reproducible and sounds like speech as far as numbers tell.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <pthread.h>

#include "dataset/voices/voice.h"

static void training_never_draws_a_reserved_voice(void **state)
{
    (void)state;
    int disturbed = 0, accent_only = 0, variant_only = 0;
    for (uint64_t i = 0; i < 30000; i++) {
        so_voice train = so_voice_draw(SO_TABLETOP_TRAIN, 3, i), test = so_voice_draw(SO_TABLETOP_RESERVED, 3, i);
        assert_false(so_voice_is_reserved(&train));
        assert_true(so_voice_is_reserved(&test));
        assert_null(strstr(train.accent, "gbcwmd"));
        assert_true(strcmp(train.variant, "+m7") != 0 && strcmp(train.variant, "+f5") != 0);
        assert_in_range(train.speed, 130, 190);
        assert_in_range(train.pitch, 25, 75);
        assert_in_range(train.amplitude, 60, 140);
        bool accent = strcmp(test.accent, "en-gb-x-gbcwmd") == 0;
        bool variant = strcmp(test.variant, "+m7") == 0 || strcmp(test.variant, "+f5") == 0;
        accent_only += accent && !variant;
        variant_only += variant && !accent;
        disturbed += train.disturbed;
    }
    assert_in_range(disturbed, 9500, 10500);
    assert_in_range(accent_only, 9500, 10500);
    assert_in_range(variant_only, 9500, 10500);
    so_voice own = so_voice_own();
    char name[32];
    assert_string_equal(so_voice_name(&own, name), "en-us+f3");
}

static void every_voice_speaks_and_is_its_own(void **state)
{
    (void)state;
    static const char *const accents[] = {"en-us",  "en-gb",          "en-gb-scotland", "en-gb-x-rp",
                                          "en-029", "en-gb-x-gbclan", "en-gb-x-gbcwmd"};
    static const char *const variants[] = {"+m1", "+m2", "+m3", "+m4", "+m5", "+m6",
                                           "+f1", "+f2", "+f3", "+f4", "+m7", "+f5"};
    so_error error;
    double sums[84];
    int n = 0;
    for (int a = 0; a < 7; a++) {
        for (int v = 0; v < 12; v++) {
            so_voice voice = {.speed = 160, .pitch = 50, .amplitude = 100};
            float *samples;
            int64_t count;
            double power = 0, sum = 0;
            strcpy(voice.accent, accents[a]);
            strcpy(voice.variant, variants[v]);
            CHECK_OK(so_voice_speak("Where is the red star?", &voice, 1, &samples, &count, &error), error);
            for (int64_t i = 0; i < count; i++) {
                power += (double)samples[i] * (double)samples[i];
                sum += fabs((double)samples[i]) * (double)(i % 97);
            }
            double rms = sqrt(power / (double)count), seconds = (double)count / SO_ESPEAK_RATE;
            if (seconds < 0.8 || seconds > 2.5 || rms < 0.01 || rms > 0.5)
                fail_msg("%s%s: %.2f s, rms %.3f", accents[a], variants[v], seconds, rms);
            for (int k = 0; k < n; k++) assert_true(sums[k] != sum);
            sums[n++] = sum;
            free(samples);
        }
    }
}

static void speech_does_not_depend_on_what_was_spoken_before(void **state)
{
    (void)state;
    so_error error;
    float *first[6], *again;
    int64_t counts[6], count;
    for (int pass = 0; pass < 2; pass++) {
        for (int k = 0; k < 6; k++) {
            int i = pass ? 5 - k : k;
            so_qa qa;
            so_tabletop_talk(SO_TABLETOP_TRAIN, 1, (uint64_t)i, 0, &qa);
            so_voice voice = so_voice_draw(SO_TABLETOP_TRAIN, 1, (uint64_t)i);
            voice.disturbed = i % 2;
            CHECK_OK(so_voice_speak(qa.question, &voice, (uint64_t)i, pass ? &again : &first[i],
                                    pass ? &count : &counts[i], &error),
                     error);
            if (!pass) continue;
            assert_int_equal(count, counts[i]);
            assert_memory_equal(again, first[i], (size_t)count * sizeof *again);
            free(again);
            free(first[i]);
        }
    }
}

static void disturbance_is_light_and_silence_is_cut(void **state)
{
    (void)state;
    so_error error;
    so_voice voice = so_voice_own();
    float *clean, *dirty;
    int64_t n, m;
    CHECK_OK(so_voice_speak("Is there a red star?", &voice, 4, &clean, &n, &error), error);
    voice.disturbed = true;
    CHECK_OK(so_voice_speak("Is there a red star?", &voice, 4, &dirty, &m, &error), error);
    assert_int_equal(n, m);
    double signal = 0, change = 0;
    int64_t last = 0;
    for (int64_t i = 0; i < n; i++) {
        signal += (double)clean[i] * (double)clean[i];
        double moved = (double)dirty[i] - (double)clean[i];
        change += moved * moved;
        if (fabsf(clean[i]) > 0.002f) last = i;
    }
    assert_true(change > 1e-4 * signal && change < 0.25 * signal);
    assert_true(n - last <= SO_ESPEAK_RATE / 10 + SO_ESPEAK_RATE / 50);
    free(clean);
    free(dirty);
}

static void bad_voices_are_refused(void **state)
{
    (void)state;
    so_error error;
    float *samples;
    int64_t count;
    so_voice voice = so_voice_own();
    strcpy(voice.variant, "+zz");
    assert_int_equal(so_voice_speak("Hello.", &voice, 0, &samples, &count, &error), SO_ERR_MISSING);
    assert_null(samples);
    voice = so_voice_own();
    strcpy(voice.accent, "nowhere");
    assert_int_equal(so_voice_speak("Hello.", &voice, 0, &samples, &count, &error), SO_ERR_MISSING);
    voice = so_voice_own();
    assert_int_equal(so_voice_speak("", &voice, 0, &samples, &count, &error), SO_ERR_ARG);
    voice.speed = 10;
    assert_int_equal(so_voice_speak("Hello.", &voice, 0, &samples, &count, &error), SO_ERR_ARG);
}

/* As phonemes without stress marks, every word of the lists differs from every other in every accent. */
static void no_two_words_sound_the_same(void **state)
{
    (void)state;
    static const char *const accents[] = {"en-us",  "en-gb",          "en-gb-scotland", "en-gb-x-rp",
                                          "en-029", "en-gb-x-gbclan", "en-gb-x-gbcwmd"};
    static char sounds[SO_TABLETOP_WORDS][64];
    so_error error;
    for (int a = 0; a < 7; a++) {
        for (int i = 0; i < SO_TABLETOP_WORDS; i++) {
            char *end = sounds[i], *list;
            CHECK_OK(so_voice_phonemes(so_tabletop_words[i], accents[a], &list, &error), error);
            for (const char *p = list; *p && end < sounds[i] + 63; p++)
                if (!strchr("',%|_ \n", *p)) *end++ = *p;
            *end = 0;
            free(list);
            assert_true(end > sounds[i]);
            for (int j = 0; j < i; j++) assert_string_not_equal(sounds[i], sounds[j]);
        }
    }
}

static void phonemes_are_those_of_the_accent(void **state)
{
    (void)state;
    so_error error;
    char *american, *british, *again, *two;
    CHECK_OK(so_voice_phonemes("The star is hot.", "en-us", &american, &error), error);
    CHECK_OK(so_voice_phonemes("The star is hot.", "en-gb", &british, &error), error);
    CHECK_OK(so_voice_phonemes("The star is hot.", "en-us", &again, &error), error);
    CHECK_OK(so_voice_phonemes("One. Two.", "en-us", &two, &error), error);
    assert_string_equal(american, again);
    assert_string_not_equal(american, british);
    assert_non_null(strchr(american, '|'));
    assert_ptr_not_equal(strchr(two, '\n'), strrchr(two, '\n')); /* two clauses */
    free(american);
    free(british);
    free(again);
    free(two);
    assert_int_equal(so_voice_phonemes("The star.", "nowhere", &two, &error), SO_ERR_MISSING);
    assert_null(two);
    assert_int_equal(so_voice_phonemes("The star.", "", &two, &error), SO_ERR_MISSING);
    assert_int_equal(so_voice_phonemes("The star.", "an accent with a name that is much too long", &two, &error),
                     SO_ERR_MISSING);
}

/* ---- invented voices */

static void invented_voices_are_drawn(void **state)
{
    (void)state;
    char last[sizeof((so_voice *)0)->invented] = "";
    int64_t replaced = 0;
    for (uint64_t i = 0; i < 2000; i++) {
        so_voice voice = so_voice_invent(5, i), again = so_voice_invent(5, i), other = so_voice_invent(6, i);
        assert_memory_equal(&voice, &again, sizeof voice);
        assert_string_not_equal(voice.invented, other.invented);
        assert_string_not_equal(voice.invented, last);
        strcpy(last, voice.invented);
        /* Nothing of it was cut off, and it is a voice file. */
        assert_int_equal(last[strlen(last) - 1], '\n');
        assert_true(strlen(last) < sizeof last - 2);
        assert_memory_equal(last, "name invented\nlanguage en", 24);
        replaced += strstr(last, "replace ") != NULL;
        assert_null(strstr(last, "gbcwmd"));
        assert_null(strstr(last, "en-wm")); /* the reserved accent's phonemes */
        assert_null(strstr(last, "m7"));
        assert_null(strstr(last, "f5"));
        assert_false(so_voice_is_reserved(&voice));
        assert_string_equal(voice.accent, "invented");
    }
    assert_true(replaced > 1000 && replaced < 2000);
}

static void every_invented_voice_speaks(void **state)
{
    (void)state;
    so_error error;
    double sums[200];
    for (uint64_t i = 0; i < 200; i++) {
        so_voice voice = so_voice_invent(1, i);
        float *samples;
        int64_t count;
        double power = 0;
        sums[i] = 0;
        CHECK_OK(so_voice_speak("Where is the red star?", &voice, i, &samples, &count, &error), error);
        for (int64_t k = 0; k < count; k++) {
            power += (double)samples[k] * (double)samples[k];
            sums[i] += fabs((double)samples[k]) * (double)(k % 97);
        }
        double rms = sqrt(power / (double)count), seconds = (double)count / SO_ESPEAK_RATE;
        if (seconds < 0.6 || seconds > 3 || rms < 0.002 || rms > 0.7)
            fail_msg("voice %d: %.2f s, rms %.3f\n%s", (int)i, seconds, rms, voice.invented);
        for (uint64_t k = 0; k < i; k++) assert_true(sums[k] != sums[i]);
        free(samples);
    }
}

/* A voice file may say anything: none of it may end more than its own utterance. */
static void hostile_voice_files_are_refused(void **state)
{
    (void)state;
    static const char *const hostile[] = {"\n", "language", "language zz-nowhere\n",
                                          "name x\nlanguage en-us\nphonemes nothing\n", "\xff\xfe\x01%s%n\n"};
    so_error error;
    so_voice voice = so_voice_own(), sane = voice;
    float *samples, *plain, *after;
    int64_t count, n, m;
    CHECK_OK(so_voice_speak("Hello.", &sane, 0, &plain, &n, &error), error);
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        strcpy(voice.invented, hostile[i]);
        so_status status = so_voice_speak("Hello.", &voice, 0, &samples, &count, &error);
        if (status == SO_OK) fail_msg("hostile voice %d speaks %lld samples", (int)i, (long long)count);
        assert_true(strlen(error.text) > 0);
        assert_null(samples);
        assert_int_equal(count, 0);
    }
    memset(voice.invented, 'a', sizeof voice.invented); /* not terminated */
    assert_int_not_equal(so_voice_speak("Hello.", &voice, 0, &samples, &count, &error), SO_OK);
    CHECK_OK(so_voice_speak("Hello.", &sane, 0, &after, &m, &error), error);
    assert_int_equal(n, m);
    assert_memory_equal(plain, after, (size_t)n * sizeof *plain);
    free(plain);
    free(after);
}

static void *speak_some(void *out)
{
    so_error error;
    so_voice voice = so_voice_own();
    float *samples;
    int64_t count;
    *(int64_t *)out = 0;
    for (int i = 0; i < 5; i++) {
        if (so_voice_speak("Hello.", &voice, 0, &samples, &count, &error) != SO_OK) return NULL;
        *(int64_t *)out += count;
        free(samples);
    }
    return NULL;
}

static void threads_may_speak_at_once(void **state)
{
    (void)state;
    pthread_t threads[3];
    int64_t sums[3];
    for (int i = 0; i < 3; i++) assert_int_equal(pthread_create(&threads[i], NULL, speak_some, &sums[i]), 0);
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    assert_true(sums[0] > 0);
    assert_int_equal(sums[0], sums[1]);
    assert_int_equal(sums[0], sums[2]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(training_never_draws_a_reserved_voice),
        cmocka_unit_test(every_voice_speaks_and_is_its_own),
        cmocka_unit_test(speech_does_not_depend_on_what_was_spoken_before),
        cmocka_unit_test(disturbance_is_light_and_silence_is_cut),
        cmocka_unit_test(bad_voices_are_refused),
        cmocka_unit_test(threads_may_speak_at_once),
        cmocka_unit_test(no_two_words_sound_the_same),
        cmocka_unit_test(phonemes_are_those_of_the_accent),
        cmocka_unit_test(invented_voices_are_drawn),
        cmocka_unit_test(every_invented_voice_speaks),
        cmocka_unit_test(hostile_voice_files_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
