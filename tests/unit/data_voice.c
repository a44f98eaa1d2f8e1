/* Voices: which are drawn, that speech is reproducible and sounds like speech as far as numbers tell.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <espeak-ng/speak_lib.h>
#include <pthread.h>

#include "data/voice.h"

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
                power += (double)samples[i] * samples[i];
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
        signal += (double)clean[i] * clean[i];
        change += ((double)dirty[i] - clean[i]) * ((double)dirty[i] - clean[i]);
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
    static const char *const accents[] = {
        "en-us", "en", "en-gb-scotland", "en-gb-x-rp", "en-029", "en-gb-x-gbclan", "en-gb-x-gbcwmd"};
    static char sounds[SO_TABLETOP_WORDS][64];
    assert_int_equal(espeak_Initialize(AUDIO_OUTPUT_SYNCHRONOUS, 0, NULL, espeakINITIALIZE_DONT_EXIT), SO_ESPEAK_RATE);
    for (int a = 0; a < 7; a++) {
        assert_int_equal(espeak_SetVoiceByName(accents[a]), EE_OK);
        for (int i = 0; i < SO_TABLETOP_WORDS; i++) {
            const void *text = so_tabletop_words[i];
            char *end = sounds[i];
            for (const char *p = espeak_TextToPhonemes(&text, espeakCHARS_UTF8, 0); *p && end < sounds[i] + 63; p++)
                if (!strchr("',% ", *p)) *end++ = *p;
            *end = 0;
            assert_true(end > sounds[i]);
            for (int j = 0; j < i; j++) assert_string_not_equal(sounds[i], sounds[j]);
        }
    }
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
        cmocka_unit_test(no_two_words_sound_the_same), /* last: it uses the library in this process */
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
