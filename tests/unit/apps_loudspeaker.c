/* Microphone and speaker over a PortAudio that is made up here: devices of other rates, without anything, failing.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "apps/loudspeaker.c"

enum { HELD = 1 << 20 };

/* One device. */
static struct {
    int only_rate, refuse; /* 0: any rate; a PaError of opening */
    PaDeviceInfo about;
    int devices;
    int opened_rate[2], opened_channels[2];
    long room; /* frames that the speaker takes at once */
    float played[HELD];
    size_t n;
    int read_fails, open;
} fake;

static const so_audio_device_options plain;

/* A room that lives: the speaker plays in real time from a buffer, and the microphone hears it. */
enum { BUFFER = 4096, AWAY = 1600 /* samples from the speaker to the microphone */ };
static struct {
    bool on;
    double now;
    size_t heard;      /* samples that the microphone has given */
    float sound[HELD]; /* what the speaker plays at sample i; 0 where it had nothing */
    size_t end;        /* of what it will play */
} room;
static const struct PaStreamInfo times = {.inputLatency = 0.01, .outputLatency = (double)BUFFER / 16000};

double so_cli_now(void) { return room.on ? room.now : 1; }
PaError Pa_Initialize(void) { return paNoError; }
PaError Pa_Terminate(void) { return paNoError; }
const char *Pa_GetErrorText(PaError code) { return code == paInvalidSampleRate ? "bad rate" : "bad luck"; }
PaDeviceIndex Pa_GetDeviceCount(void) { return fake.devices; }
PaDeviceIndex Pa_GetDefaultInputDevice(void) { return fake.devices ? 0 : paNoDevice; }
PaDeviceIndex Pa_GetDefaultOutputDevice(void) { return fake.devices ? 0 : paNoDevice; }
const PaDeviceInfo *Pa_GetDeviceInfo(PaDeviceIndex device) { return device == 0 ? &fake.about : NULL; }

PaError Pa_OpenStream(PaStream **stream, const PaStreamParameters *in, const PaStreamParameters *out, double rate,
                      unsigned long frames, PaStreamFlags flags, PaStreamCallback *call, void *context)
{
    (void)flags, (void)call, (void)context;
    if (fake.refuse) return fake.refuse;
    if (fake.only_rate && fake.only_rate != (int)rate) return paInvalidSampleRate;
    if (in) assert_int_equal(frames, (unsigned long)rate / 25);
    fake.opened_rate[in != NULL] = (int)rate;
    fake.opened_channels[in != NULL] = in ? in->channelCount : out->channelCount;
    *stream = &fake.opened_rate[in != NULL];
    fake.open++;
    return paNoError;
}

PaError Pa_StartStream(PaStream *stream) { return (void)stream, paNoError; }
PaError Pa_CloseStream(PaStream *stream) { return (void)stream, fake.open--, paNoError; }
const PaStreamInfo *Pa_GetStreamInfo(PaStream *stream) { return (void)stream, room.on ? &times : NULL; }

signed long Pa_GetStreamReadAvailable(PaStream *stream)
{
    return (void)stream, room.on ? (signed long)((room.now - 0.01) * 16000) - (signed long)room.heard : 1 << 16;
}

signed long Pa_GetStreamWriteAvailable(PaStream *stream)
{
    size_t played = (size_t)(room.now * 16000);
    (void)stream;
    if (!room.on) return fake.room;
    return room.end > played ? BUFFER - (signed long)(room.end - played) : BUFFER;
}

PaError Pa_ReadStream(PaStream *stream, void *buffer, unsigned long frames)
{
    (void)stream;
    for (unsigned long i = 0; i < frames; i++) {
        size_t at = room.heard + i;
        ((float *)buffer)[i] = !room.on ? 0.5f : at >= AWAY ? 0.5f * room.sound[at - AWAY] : 0;
    }
    room.heard += frames;
    if (room.on) return paNoError;
    return fake.read_fails ? paUnanticipatedHostError : paInputOverflowed;
}

PaError Pa_WriteStream(PaStream *stream, const void *buffer, unsigned long frames)
{
    size_t channels = (size_t)fake.opened_channels[0], n = frames * channels;
    (void)stream;
    if (room.on) {
        size_t played = (size_t)(room.now * 16000);
        if (room.end < played) room.end = played;
        assert_true(room.end + frames <= HELD && room.end + frames <= played + BUFFER);
        memcpy(room.sound + room.end, buffer, frames * sizeof(float));
        room.end += frames;
        return paNoError;
    }
    assert_true((long)frames <= fake.room && fake.n + n <= HELD);
    memcpy(fake.played + fake.n, buffer, n * sizeof(float));
    fake.n += n;
    return paOutputUnderflowed;
}

static void begin(int only_rate, double own_rate, int channels)
{
    memset(&fake, 0, sizeof fake);
    fake.devices = 1;
    fake.only_rate = only_rate;
    fake.room = 1000;
    fake.about = (PaDeviceInfo){
        .name = "Loud Speaker", .maxInputChannels = 1, .maxOutputChannels = channels, .defaultSampleRate = own_rate};
}

static void say(so_audio_device *device, const float *pcm, size_t n)
{
    so_error error;
    size_t queued = 1;
    for (size_t at = 0; at < n; at += 500)
        CHECK_OK(so_audio_device_write(device, pcm + at, n - at < 500 ? n - at : 500, &error), error);
    CHECK_OK(so_audio_device_finish(device, &error), error);
    for (int i = 0; queued && i < 1000; i++) CHECK_OK(so_audio_device_play(device, &queued, &error), error);
    assert_int_equal(queued, 0);
}

static void the_models_own_rate_where_it_can_be_had(void **state)
{
    enum { N = 7777 };
    static float pcm[N];
    so_audio_device *device;
    so_error error;
    (void)state;
    for (int i = 0; i < N; i++) pcm[i] = sinf((float)i * 0.05f);
    begin(0, 48000, 1);
    CHECK_OK(so_audio_device_open(&device, &plain, &error), error);
    assert_int_equal(so_audio_device_rate(device), 16000);
    say(device, pcm, N);
    assert_int_equal(fake.n, N);
    assert_memory_equal(fake.played, pcm, sizeof pcm);
    assert_true(fabs(so_audio_device_hush(device) - N / 22050.0) < 1e-9);
    assert_true(so_audio_device_hush(device) == 0);
    so_audio_device_close(&device);
    assert_null(device);
    assert_int_equal(fake.open, 0);
}

/* A speaker of 48 kHz in stereo gets the whole clip, resampled, on both sides; so does one that gives no rate of its
 * own. */
static void other_rates(void **state)
{
    static const struct {
        int only;
        double own;
    } devices[] = {{48000, 48000}, {44100, 0}, {96000, 96000}, {8000, 8000}};
    enum { N = 22050 };
    static float pcm[N], expected[N * 5];
    so_error error;
    (void)state;
    for (int i = 0; i < N; i++) pcm[i] = sinf((float)i * 0.05f);
    for (size_t k = 0; k < sizeof devices / sizeof *devices; k++) {
        so_audio_device *device;
        so_resampler *resampler;
        int rate = devices[k].only;
        begin(rate, devices[k].own, 2);
        CHECK_OK(so_audio_device_open(&device, &plain, &error), error);
        assert_int_equal(so_audio_device_rate(device), rate);
        say(device, pcm, N);
        CHECK_OK(so_resampler_open(&resampler, 22050, rate, &error), error);
        int64_t n = so_resampler_length(resampler, N);
        CHECK_OK(so_resample(resampler, pcm, N, expected, &error), error);
        so_resampler_close(&resampler);
        assert_int_equal(fake.n, 2 * n);
        for (int64_t i = 0; i < n; i++)
            assert_true(fake.played[2 * i] == expected[i] && fake.played[2 * i + 1] == expected[i]);
        assert_true(fabs(so_audio_device_hush(device) - 1) < 1e-3);
        float piece[SO_PIECE_MAX];
        size_t samples = 0;
        CHECK_OK(so_audio_device_read(device, piece, &samples, &error), error); /* lost sound is no failure */
        assert_int_equal(samples, rate / 25);
        so_audio_device_close(&device);
    }
}

/* An answer that is hushed leaves nothing of itself to the next. */
static void hushed(void **state)
{
    enum { N = 5000 };
    static float pcm[N], first[HELD];
    so_audio_device *device;
    so_error error;
    (void)state;
    for (int i = 0; i < N; i++) pcm[i] = cosf((float)i * 0.03f);
    begin(48000, 48000, 2);
    CHECK_OK(so_audio_device_open(&device, &plain, &error), error);
    say(device, pcm, N);
    size_t n = fake.n;
    memcpy(first, fake.played, n * sizeof *first);
    so_audio_device_hush(device);
    CHECK_OK(so_audio_device_write(device, pcm + 1000, 700, &error), error);
    so_audio_device_hush(device);
    fake.n = 0;
    say(device, pcm, N);
    assert_int_equal(fake.n, n);
    assert_memory_equal(fake.played, first, n * sizeof *first);
    so_audio_device_close(&device);
}

static void what_fails_is_told(void **state)
{
    so_audio_device *device;
    so_error error;
    float piece[SO_PIECE_MAX];
    size_t n;
    (void)state;
    begin(0, 48000, 2);
    assert_int_equal(so_audio_device_open(&device, &(so_audio_device_options){.microphone = "Quiet"}, &error),
                     SO_ERR_MISSING);
    assert_non_null(strstr(error.text, "no microphone named Quiet"));
    assert_int_equal(so_audio_device_open(&device, &(so_audio_device_options){"Loud", "Quiet", 0}, &error),
                     SO_ERR_MISSING);
    assert_non_null(strstr(error.text, "no speaker named Quiet"));
    assert_null(device);
    fake.only_rate = 12345;
    assert_int_equal(so_audio_device_open(&device, &plain, &error), SO_ERR_IO);
    assert_string_equal(error.text, "Loud Speaker: bad rate");
    fake.only_rate = 0;
    fake.refuse = paDeviceUnavailable;
    assert_int_equal(so_audio_device_open(&device, &plain, &error), SO_ERR_IO);
    assert_string_equal(error.text, "Loud Speaker: bad luck");
    fake.refuse = 0;
    CHECK_OK(so_audio_device_open(&device, &plain, &error), error);
    fake.read_fails = 1;
    assert_int_equal(so_audio_device_read(device, piece, &n, &error), SO_ERR_IO);
    assert_string_equal(error.text, "microphone: bad luck");
    so_audio_device_close(&device);
    fake.devices = 0;
    assert_int_equal(so_audio_device_open(&device, &plain, &error), SO_ERR_MISSING);
    assert_int_equal(fake.open, 0);
}

/* Two answers with a pause between them; the program reads and writes when it gets round to it. What the microphone
 * gives of the second is 15 dB below what it heard. */
static void the_speaker_is_not_heard(void **state)
{
    (void)state;
    so_audio_device *device;
    so_error error;
    static float answer[6 * 22050];
    unsigned noise = 1;
    float level = 0;
    for (size_t i = 0; i < sizeof answer / sizeof *answer; i++) { /* a hiss that comes and goes, as syllables do */
        noise = noise * 1664525u + 1013904223u;
        level = 0.7f * level + 0.3f * ((float)(noise >> 8) / (1 << 24) - 0.5f);
        answer[i] = level * (0.5f + 0.5f * sinf((float)i * 0.0008f));
    }
    begin(16000, 16000, 1);
    memset(&room, 0, sizeof room);
    room.on = true;
    CHECK_OK(so_audio_device_open(&device, &(so_audio_device_options){.cancel = true}, &error), error);
    if (!so_audio_device_cancels(device)) {
        so_audio_device_close(&device);
        room.on = false;
        fprintf(stderr, "# SKIP: no libspeexdsp\n");
        skip();
    }
    double before = 0, after = 0;
    for (int i = 1; i <= 16 * 50; i++) {
        float piece[SO_PIECE_MAX];
        size_t n;
        room.now = 0.02 * i + (i % 7 == 0 ? 0.013 : 0);
        if (i == 50 || i == 450)
            CHECK_OK(so_audio_device_write(device, answer, sizeof answer / sizeof *answer, &error), error);
        CHECK_OK(so_audio_device_play(device, NULL, &error), error);
        while (so_audio_device_ready(device)) {
            size_t at = room.heard;
            CHECK_OK(so_audio_device_read(device, piece, &n, &error), error);
            for (size_t k = 0; k < n && i > 470; k++) {
                double echo = at + k >= AWAY ? 0.5 * (double)room.sound[at + k - AWAY] : 0;
                before += echo * echo;
                after += (double)piece[k] * (double)piece[k];
            }
        }
    }
    print_message("the speaker's echo: %.1f dB down\n", 10 * log10(before / after));
    assert_true(before > 10 && before > 31.6 * after);
    so_audio_device_close(&device);
    room.on = false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_models_own_rate_where_it_can_be_had),
        cmocka_unit_test(other_rates),
        cmocka_unit_test(the_speaker_is_not_heard),
        cmocka_unit_test(hushed),
        cmocka_unit_test(what_fails_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
