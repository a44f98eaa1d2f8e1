/* The verb bench: how fast a model is on this machine, ability by ability.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "apps/bench.h"
#include "apps/bench_server.h"
#include "apps/exchange.h"
#include "apps/turn.h"
#include "apps/verbs.h"
#include "base/error.h"
#include "base/rng.h"
#include "eval/speed/speed_tables.h"
#include "formats/gguf.h"
#include "formats/safetensors.h"

/* What a token, a unit or a patch multiplies, and reads. */
struct weights {
    double numbers, bytes;
};

static const double in_cache = 64 << 20; /* bytes of weights that no memory has to be read for, perhaps */

typedef struct bench {
    so_setting setting;
    int64_t repeats, seconds;
    const char *only;
    so_bench_page page;
    so_model *model;
    so_session *session;
    so_model_info info;
    struct weights text, units, eyes;
    double device_rate; /* bytes a second; 0: the host */
    bool beside;        /* the processor's figures, too */
    const char *place;  /* in front of the rows' names; NULL: nothing */
} bench;

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *x, int64_t n)
{
    qsort(x, (size_t)n, sizeof *x, ascending);
    return n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

static void line_of(bench *b, const char *what, double *x, int64_t n, const char *unit, const char *limit, double share)
{
    char name[128];
    snprintf(name, sizeof name, "%s%s", b->place ? b->place : "", what);
    so_bench_row row = {.what = name, .unit = unit, .n = n, .median = median(x, n), .limit = limit};
    row.least = x[0];
    row.most = x[n - 1];
    row.share = limit ? share * (strcmp(unit, "ms") == 0 ? 1 / row.median : row.median) : 0;
    so_bench_page_row(&b->page, &row);
}

/* One line: what it is, the median, the best and the worst, in `unit`. */
static void line(bench *b, const char *what, double *x, int64_t n, const char *unit)
{
    line_of(b, what, x, n, unit, NULL, 0);
}

static void add_weights(struct weights *w, const so_view *view, bool expanded)
{
    double n = (double)so_view_elements(view);
    w->numbers += n;
    w->bytes += expanded ? 4 * n : (double)view->bytes;
}

/* Matrices of the file by what uses them. Models that are opened expanded hold four bytes a weight, but where the
 * kernels read q8_0 as it is. */
static void weigh(bench *b, const so_views *views)
{
    double all = 0;
    so_machine_kernels machine = {0};
    if (so_bench_machine_kernels(&machine, NULL) != SO_OK) machine.q8_gains = false;
    for (int64_t i = 0; i < views->count; i++) all += (double)views->view[i].bytes;
    bool expanded = !b->setting.keep_types && !b->info.int8 && all < (double)(1 << 30);
    for (int64_t i = 0; i < views->count; i++) {
        const so_view *v = &views->view[i];
        const struct {
            const char *prefix;
            struct weights *to;
        } kind[] = {{"model.layers.", &b->text},
                    {"lm_head.", &b->text},
                    {"model.bottom_audio_layers.", &b->units},
                    {"audio_to_text_proj.", &b->units},
                    {"model.top_audio_layers.", &b->units},
                    {"audio_lm_head.", &b->units},
                    {"model.vision_tower.", &b->eyes}};
        for (size_t k = 0; k < sizeof kind / sizeof kind[0]; k++)
            if (v->n_dims > 1 && strncmp(v->name, kind[k].prefix, strlen(kind[k].prefix)) == 0)
                add_weights(kind[k].to, v, expanded && !(machine.q8_gains && v->type == SO_Q8_0));
    }
}

static so_status weigh_file(bench *b, so_error *error)
{
    so_gguf *gguf = NULL;
    so_safetensors *folder = NULL;
    struct stat about;
    so_status status;
    if (stat(b->info.path, &about) == 0 && S_ISDIR(about.st_mode))
        status = so_safetensors_open(&folder, b->info.path, error);
    else
        status = so_gguf_open(&gguf, b->info.path, error);
    if (status == SO_OK) weigh(b, gguf ? so_gguf_views(gguf) : so_safetensors_views(folder));
    so_gguf_close(&gguf);
    so_safetensors_close(&folder);
    return status;
}

/* Milliseconds that the products of one picture take at the limit. */
static double least_ms_see(const bench *b)
{
    return 1000 * 2e-9 * b->eyes.numbers * b->info.picture_vectors /
           (b->setting.bf16 ? b->page.peak.bf16 : b->page.peak.f32);
}

/* A second of something like speech: a buzz whose pitch and loudness wander. */
static float *make_speech(int64_t n, int rate)
{
    float *x = malloc((size_t)n * sizeof *x);
    double phase = 0;
    so_rng rng;
    so_rng_init(&rng, 1, 0);
    for (int64_t i = 0; x && i < n; i++) {
        double t = (double)i / rate, pitch = 140 + 40 * sin(2.1 * t), loud = 0.5 + 0.5 * sin(2 * M_PI * 3.3 * t);
        phase += pitch / rate;
        x[i] = (float)(loud * (0.25 * (2 * fmod(phase, 1) - 1) + 0.02 * so_rng_normal(&rng)));
    }
    return x;
}

static so_status bench_see(bench *b, double *x, so_error *error)
{
    int side = b->info.picture_side;
    uint8_t *rgb = malloc((size_t)side * (size_t)side * 3);
    if (!rgb) return so_fail(error, SO_ERR_NOMEM, "no memory for a picture");
    for (int i = 0; i < side * side * 3; i++) rgb[i] = (uint8_t)(i * 31 >> 3);
    so_status status = SO_OK;
    for (int64_t r = 0; r < b->repeats && status == SO_OK; r++) {
        status = so_session_clear(b->session, error);
        double began = so_cli_now();
        if (status == SO_OK) status = so_feed_image(b->session, rgb, side, side, error);
        x[r] = 1000 * (so_cli_now() - began);
    }
    free(rgb);
    if (status == SO_OK)
        line_of(b, "see: one picture", x, b->repeats, "ms", b->setting.bf16 ? "bf16" : "f32", least_ms_see(b));
    return status;
}

static so_status bench_hear(bench *b, double *x, so_error *error)
{
    int rate = 16000;
    size_t n;
    int64_t samples = b->seconds * rate;
    float *pcm = make_speech(samples, rate);
    if (!pcm) return so_fail(error, SO_ERR_NOMEM, "no memory for speech");
    so_status status = SO_OK;
    for (int64_t r = 0; r < b->repeats && status == SO_OK; r++) {
        double began = so_cli_now();
        status = so_tokenize_speech(b->model, pcm, (size_t)samples, rate, NULL, 0, &n, error);
        x[r] = (double)b->seconds / (so_cli_now() - began);
    }
    free(pcm);
    if (status == SO_OK) line(b, "hear: speech to units", x, b->repeats, "times real time");
    return status;
}

static so_status bench_synthesize(bench *b, double *x, so_error *error)
{
    int64_t n = b->seconds * 1000 / SO_UNIT_MS;
    int32_t *units = malloc((size_t)n * sizeof *units);
    if (!units) return so_fail(error, SO_ERR_NOMEM, "no memory for units");
    for (int64_t i = 0; i < n; i++) units[i] = (int32_t)(i * 7919 % b->info.units);
    so_status status = SO_OK;
    for (int64_t r = 0; r < b->repeats && status == SO_OK; r++) {
        float *pcm = NULL;
        size_t samples;
        double began = so_cli_now();
        status = so_synthesize(b->model, units, (size_t)n, 1, &pcm, &samples, error);
        x[r] = (double)b->seconds / (so_cli_now() - began);
        so_free(pcm);
    }
    free(units);
    if (status == SO_OK) line(b, "speak: units to waveform", x, b->repeats, "times real time");
    return status;
}

/* The halves of that: one line each. */
static so_status bench_half(bench *b, so_half half, const char *what, double *x, so_error *error)
{
    size_t units = (size_t)b->seconds * 1000 / SO_UNIT_MS;
    for (int64_t r = 0; r < b->repeats; r++) {
        SO_TRY(so_time_half(b->model, half, units < 4096 ? units : 4096, &x[r], error));
        x[r] = (double)(units < 4096 ? units : 4096) * SO_UNIT_MS * 1e-3 / x[r];
    }
    line(b, what, x, b->repeats, "times real time");
    return SO_OK;
}

static so_status bench_flow(bench *b, double *x, so_error *error)
{
    return bench_half(b, SO_HALF_FLOW, "speak: flow, units to mel", x, error);
}

static so_status bench_vocoder(bench *b, double *x, so_error *error)
{
    return bench_half(b, SO_HALF_VOCODER, "speak: vocoder, mel to waveform", x, error);
}

static so_status one_turn(so_session *session, unsigned want, const char *words, so_usage *usage, so_error *error)
{
    so_event event = {0};
    for (int i = 0; i < 4; i++) SO_TRY(so_feed_text(session, words, error));
    SO_TRY(so_reply(session, want, error));
    while (event.kind != SO_EVENT_DONE) SO_TRY(so_next(session, &event, error));
    *usage = event.usage;
    return SO_OK;
}

/* Answers of a voice: the fewest units of one; all of them, and the seconds behind their first words. */
struct voices {
    int64_t fewest, n, units;
    double seconds;
};

enum { SECOND = 25 /* units */ };

/* A turn of many words, and its answer: how fast a prompt is read, text and units are made. */
static so_status one_answer(bench *b, unsigned want, so_usage *usage, struct voices *v, so_error *error)
{
    const char *words = "What is two plus three? Where is the red star? Count from three to seven. ";
    so_session *session; /* a new one: an old one would not read the same prompt twice */
    SO_TRY(so_setting_session(&b->setting, b->model, &session, error));
    so_status status = one_turn(session, want, words, usage, error);
    so_session_close(&session);
    SO_TRY(status);
    if (v->n++ == 0 || usage->units < v->fewest) v->fewest = usage->units;
    v->units += usage->units;
    v->seconds += usage->total_s - usage->first_text_s;
    return SO_OK;
}

static so_status bench_turn(bench *b, unsigned want, double *read, double *make, double *first, struct voices *v,
                            so_error *error)
{
    *v = (struct voices){0};
    for (int64_t r = 0; r < b->repeats; r++) {
        so_usage usage, *u = &usage;
        SO_TRY(one_answer(b, want, u, v, error));
        double rest = u->total_s - u->first_text_s;
        read[r] = u->prompt_positions / u->first_text_s;
        make[r] = want & SO_WANT_UNITS ? u->units / rest : (u->text_tokens - 1) / rest;
        first[r] = 1000 * (want & SO_WANT_VOICE ? u->first_voice_s : u->first_text_s);
    }
    return SO_OK;
}

/* A rate of units, of a second of them at least: where voices end before that, of as many answers as have it together.
 */
static so_status line_of_units(bench *b, unsigned want, const char *what, double *x, struct voices *v,
                               const char *limit, double share, so_error *error)
{
    enum { MOST = 50 };
    const double patience = 20, began = so_cli_now();
    const char *unit = "units/s (25 is real time)";
    char name[128];
    so_usage usage;
    if (v->fewest >= SECOND) {
        line_of(b, what, x, b->repeats, unit, limit, share);
        return SO_OK;
    }
    while (v->units < SECOND && v->n < MOST && so_cli_now() - began < patience && !so_cli_stop)
        SO_TRY(one_answer(b, want, &usage, v, error));
    double rate = (double)v->units / v->seconds;
    snprintf(name, sizeof name, "%s, %lld short answers", what, (long long)v->n);
    if (v->units >= SECOND)
        line_of(b, name, &rate, 1, unit, limit, share);
    else
        fprintf(stderr,
                "%s: %lld answers had %lld unit%s, too few to tell a rate (those of random weights end at once; see "
                "--random)\n",
                what, (long long)v->n, (long long)v->units, v->units == 1 ? "" : "s");
    return SO_OK;
}

static so_status bench_text(bench *b, double *x, so_error *error)
{
    double *read = x, *make = x + b->repeats, *first = x + 2 * b->repeats;
    struct voices v;
    SO_TRY(bench_turn(b, SO_WANT_TEXT, read, make, first, &v, error));
    bool int8 = b->info.int8 && b->page.peak.int8 > 0;
    double product = 2e-9 * b->text.numbers / (int8 ? b->page.peak.int8 : b->page.peak.f32);
    double weights = 1e-9 * b->text.bytes / b->page.peak.read;
    line_of(b, "answer: reading the prompt", read, b->repeats, "positions/s", int8 ? "int8" : "f32", product);
    line_of(b, "answer: writing text", make, b->repeats, "tokens/s", b->text.bytes > in_cache ? "read" : NULL, weights);
    line(b, "answer: first word of text", first, b->repeats, "ms");
    return SO_OK;
}

static so_status bench_units(bench *b, double *x, so_error *error)
{
    double *read = x, *make = x + b->repeats, *first = x + 2 * b->repeats;
    unsigned want = SO_WANT_TEXT | SO_WANT_UNITS;
    struct voices v;
    SO_TRY(bench_turn(b, want, read, make, first, &v, error));
    double weights = 1e-9 * b->units.bytes / b->page.peak.read;
    const char *limit = b->units.bytes > in_cache ? "read" : NULL;
    return line_of_units(b, want, "answer: text and units", make, &v, limit, weights, error);
}

static so_status bench_voice(bench *b, double *x, so_error *error)
{
    double *read = x, *make = x + b->repeats, *first = x + 2 * b->repeats;
    unsigned want = SO_WANT_TEXT | SO_WANT_UNITS | SO_WANT_VOICE;
    struct voices v;
    SO_TRY(bench_turn(b, want, read, make, first, &v, error));
    SO_TRY(line_of_units(b, want, "answer: text, units and waveform", make, &v, NULL, 0, error));
    line(b, "answer: first sound", first, b->repeats, "ms");
    return SO_OK;
}

/* What a part did on the device, in so many seconds. */
static void line_of_device(bench *b, const char *name, const so_device_work *before, double took)
{
    so_device_work after;
    char what[64], again[64], rate[64];
    so_model_device_work(b->model, &after);
    snprintf(what, sizeof what, "%s: launches on the device", name);
    snprintf(again, sizeof again, "%s: of them, replayed", name);
    snprintf(rate, sizeof rate, "%s: bytes on the device", name);
    double some = (double)(after.launches - before->launches), launches = some / took,
           replayed = some > 0 ? 100 * (double)(after.replayed - before->replayed) / some : 0,
           read = 1e-9 * (double)(after.bytes - before->bytes) / took;
    so_bench_row count = {
        .what = what, .unit = "a second", .median = launches, .least = launches, .most = launches, .n = 1};
    so_bench_row bytes = {.what = rate, .unit = "GB/s", .median = read, .least = read, .most = read, .n = 1};
    so_bench_row steps = {.what = again, .unit = "%", .median = replayed, .least = replayed, .most = replayed, .n = 1};
    bytes.limit = "copying there";
    bytes.share = b->device_rate > 0 ? 1e9 * read / b->device_rate : 0;
    so_bench_page_row(&b->page, &count);
    so_bench_page_row(&b->page, &steps);
    so_bench_page_row(&b->page, &bytes);
}

/* The device, its memory and how fast it copies. */
static so_status tell_device(bench *b, so_error *error)
{
    so_device_work work;
    char size[32];
    if (strcmp(b->info.device, "cpu") == 0) return SO_OK;
    SO_TRY(so_model_device_rate(b->model, &b->device_rate, error));
    so_model_device_work(b->model, &work);
    if (b->page.json)
        printf(", \"device\": {\"name\": \"%s\", \"codec\": \"%s\", \"layers\": %d, \"copy_gb_s\": %.3f, "
               "\"memory_bytes\": %zu}",
               b->info.device, b->info.codec_device, b->info.device_layers, 1e-9 * b->device_rate, work.memory);
    else
        printf("device %s: %s taken, %d layers of the backbone there, the codec on %s; it copies %.2f GB/s\n",
               b->info.device, so_cli_size((double)work.memory, size), b->info.device_layers, b->info.codec_device,
               1e-9 * b->device_rate);
    return SO_OK;
}

static so_status run_all(bench *b, so_error *error)
{
    bool halves =
        b->device_rate > 0 || b->place || b->only; /* the two halves of synthesize: of a device, or when asked for */
    const struct {
        const char *name;
        int there;
        so_status (*run)(bench *b, double *x, so_error *error);
    } part[] = {
        {"see", b->info.sees, bench_see},
        {"hear", b->info.takes_audio, bench_hear},
        {"text", 1, bench_text},
        {"units", b->info.takes_units, bench_units},
        {"voice", b->info.speaks, bench_voice},
        {"synthesize", b->info.speaks, bench_synthesize},
        {"flow", b->info.speaks && halves, bench_flow},
        {"vocoder", b->info.speaks && halves, bench_vocoder},
    };
    double *x = malloc((size_t)b->repeats * 3 * sizeof *x);
    so_status status = x ? SO_OK : so_fail(error, SO_ERR_NOMEM, "no memory for %lld times", (long long)b->repeats);
    for (size_t i = 0; i < sizeof part / sizeof part[0] && status == SO_OK && !so_cli_stop; i++) {
        so_device_work before;
        if (!part[i].there || (b->only && !strstr(b->only, part[i].name))) continue;
        so_model_device_work(b->model, &before);
        double began = so_cli_now();
        status = part[i].run(b, x, error);
        if (b->device_rate > 0 && status == SO_OK) line_of_device(b, part[i].name, &before, so_cli_now() - began);
    }
    free(x);
    return status;
}

/* The same on the processor, with a model and a session of its own. */
static so_status run_beside(bench *b, so_error *error)
{
    so_model *model = b->model;
    so_session *session = b->session;
    so_setting setting = b->setting;
    double rate = b->device_rate;
    so_model_info info = b->info;
    b->model = NULL;
    b->session = NULL;
    b->setting.device = "cpu";
    b->setting.codec_device = b->setting.device_layers = NULL;
    b->device_rate = 0;
    b->place = "processor: ";
    so_status status = so_setting_open(&b->setting, &b->model, error);
    if (status == SO_OK) status = so_setting_session(&b->setting, b->model, &b->session, error);
    if (status == SO_OK) so_model_about(b->model, &b->info);
    if (status == SO_OK) status = run_all(b, error);
    so_session_close(&b->session);
    so_model_close(&b->model);
    b->model = model;
    b->session = session;
    b->setting = setting;
    b->device_rate = rate;
    b->info = info;
    b->place = NULL;
    return status;
}

/* Opens the model, tells how long that took, and measures. */
static so_status bench_model(bench *b, bool processor_time, so_error *error)
{
    so_pool *pool = NULL;
    so_status status;
    double began = so_cli_now();
    SO_TRY(so_setting_open(&b->setting, &b->model, error));
    double opened = so_cli_now();
    SO_TRY(so_setting_session(&b->setting, b->model, &b->session, error));
    double ready = so_cli_now();
    so_model_about(b->model, &b->info);
    SO_TRY(so_pool_open(&pool, (int)b->setting.threads, error));
    status = so_bench_page_begin(&b->page, b->info.name, pool, processor_time, error);
    so_pool_close(&pool);
    SO_TRY(status);
    SO_TRY(weigh_file(b, error));
    if (b->page.json)
        printf(", \"parameters\": %lld, \"open_s\": %.4f, \"session_s\": %.4f", (long long)b->info.parameters,
               opened - began, ready - opened);
    else {
        char count[32];
        printf("%s parameters; opened in %.0f ms, a session in %.0f ms\n",
               so_cli_count((double)b->info.parameters, count), 1000 * (opened - began), 1000 * (ready - opened));
    }
    SO_TRY(tell_device(b, error));
    so_bench_page_rows(&b->page);
    SO_TRY(run_all(b, error));
    if (b->beside && b->device_rate > 0) SO_TRY(run_beside(b, error));
    so_bench_page_end(&b->page);
    return SO_OK;
}

/* The same verb with a server. */
static int run_load(so_bench_load *load, int64_t seconds, bool json, int n, char **file)
{
    so_error error = {0};
    if (load->speaking > load->sessions)
        return so_cli_usage(&so_verb_bench, "--speaking %lld of --sessions %lld", (long long)load->speaking,
                            (long long)load->sessions);
    if (seconds) load->seconds = (double)seconds;
    load->json = json;
    so_status status = so_output_check(load->plot, &error);
    if (status == SO_OK) status = so_bench_server(load, n, file, &error);
    return so_cli_end(status, &error);
}

static int run(int argc, char **argv)
{
    bench b = {.repeats = 5, .seconds = 5, .setting.seed = 1};
    so_bench_ask ask = {.type = "q4_k", .prompt = 512};
    so_bench_load load = {.sessions = 1, .seconds = 30, .pause = 0.5};
    int64_t seconds = 0;
    bool tables = false;
    const so_option options[] = {
        {"repeats", SO_OPTION_INT, &b.repeats, "N", "measurements of each; the median counts", 1, 1000},
        {"seconds", SO_OPTION_INT, &seconds, "S", "speech that is heard and made (5); with --server, of load (30)", 1,
         86400},
        {"only", SO_OPTION_TEXT, &b.only, "LIST",
         "of see, hear, text, units, voice, synthesize, flow, vocoder; with --random of see, hear, "
         "flow, vocoder, prefill, decode, together, units"},
        {"beside", SO_OPTION_FLAG, &b.beside, NULL, "with --device: the processor's figures beside the device's"},
        {"json", SO_OPTION_FLAG, &b.page.json, NULL, "as JSON"},
        {"random", SO_OPTION_TEXT, &ask.name, "SIZE",
         "random weights instead of a model: stream-omni-8b, llama-8b, llama-1b, codec; toy tries the measurement"},
        {"prompt", SO_OPTION_INT, &ask.prompt, "N", "positions of the prompt, with --random", 1, 8192},
        {"f32", SO_OPTION_FLAG, &ask.f32, NULL, "encoders and codec in f32, not bf16, with --random"},
        {"tables", SO_OPTION_FLAG, &tables, NULL, "every kernel of this machine: how fast, which are used, and why"},
        {"processor-time", SO_OPTION_FLAG, &ask.processor_time, NULL,
         "count the processor's time, not the clock's (one thread)"},
        SO_FAR_OPTIONS(load.far),
        {"sessions", SO_OPTION_INT, &load.sessions, "N", "open at a time, with --server", 1, 10000},
        {"speaking", SO_OPTION_INT, &load.speaking, "M",
         "of them, so many speak or are answered at a time; all when not given", 1, 10000},
        {"pause", SO_OPTION_REAL, &load.pause, "S", "between an answer and the next turn", 0, 3600},
        {"interrupt", SO_OPTION_INT, &load.interrupt, "K", "every so many'th answer is spoken into", 1, 1e6},
        {"plot", SO_OPTION_TEXT, &load.plot, "FILE", "draw the figures: .svg or .html"},
        SO_MODEL_OPTIONS(b.setting),
        SO_SESSION_OPTIONS(b.setting),
        {0},
    };
    int n, status = so_cli_parse(&so_verb_bench, options, argc, argv, &n);
    if (status >= 0) return status;
    if (load.far.server) return run_load(&load, seconds, b.page.json, n, argv);
    if (seconds > 30)
        return so_cli_usage(&so_verb_bench, "--seconds is 1 to 30 without --server, found '%lld'", (long long)seconds);
    if (seconds) b.seconds = seconds;
    if (n > (ask.name != NULL)) return so_cli_usage(&so_verb_bench, "expected no operands, found '%s'", argv[n - 1]);
    so_error error = {0};
    if (tables) return so_cli_end(so_bench_print_tables(b.page.json, 0.002 * (double)b.repeats, &error), &error);
    if (ask.name) {
        ask.type = n ? argv[0] : ask.type;
        ask.only = b.only;
        ask.kv = b.setting.kv;
        ask.device = b.setting.device;
        ask.threads = b.setting.threads;
        ask.repeats = b.repeats;
        ask.seconds = b.seconds;
        ask.json = b.page.json;
        return so_cli_end(so_bench_random(&ask, &error), &error);
    }
    so_status s = bench_model(&b, ask.processor_time, &error);
    so_session_close(&b.session);
    so_model_close(&b.model);
    return so_cli_end(s, &error);
}

const so_verb so_verb_bench = {
    "bench", "how fast a model is on this machine",
    "bench [options] | bench --random SIZE [TYPE] [options] | bench --tables | bench --server URL [FILE...] [options]",
    "Medians of several measurements on made-up input, beside what the machine can do at "
    "most (which is measured first).\n"
    "The machine should have nothing else to do.\n\n"
    "With --server it talks with a server, in real time, as people do: every recording is a turn, a\n"
    "picture is shown before the first one (the shipped question and picture when none are given).\n"
    "It tells how long the server takes to see the end of a turn, to the first word and the first\n"
    "sound, how soon it falls silent when it is spoken to, and whether players run dry.\n\n"
    "examples:\n"
    "  stream-omni bench --threads 2\n"
    "  stream-omni bench --only text,units --json\n"
    "  stream-omni bench --device vulkan --beside\n"
    "  stream-omni bench --random stream-omni-8b q4_k --device vulkan\n"
    "  stream-omni bench --tables\n"
    "  stream-omni bench --server http://127.0.0.1:8080 --sessions 8 --speaking 3 --plot load.html\n",
    run};
