/* The verb bench with a server: people who talk, played from recordings.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "apps/bench_server.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "apps/operand.h"
#include "base/error.h"
#include "base/grow.h"
#include "media/resample.h"

enum { BARS = 12, BAR = 40 /* characters of the longest */ };

typedef struct material {
    so_load_turn *turn;
    size_t turns;
    unsigned char *png;
    size_t png_size;
} material;

static void clear(material *m)
{
    for (size_t i = 0; i < m->turns; i++) free(m->turn[i].pcm);
    free(m->turn);
    free(m->png);
    *m = (material){0};
}

/* ---- recordings */
static so_status add_turn(material *m, const so_audio *sound, const char *name, so_error *error)
{
    so_load_turn turn = {0};
    int64_t n;
    SO_TRY(so_resample_to(sound->rate, SO_REMOTE_RATE, sound->samples, sound->n, &turn.pcm, &n, error));
    turn.n = (size_t)n;
    so_load_turn_find(&turn);
    so_status status = SO_OK;
    if (turn.end_s <= turn.begin_s)
        status = so_fail(error, SO_ERR_ARG, "%s: nothing but silence, no turn of somebody who speaks", name);
    if (status == SO_OK && (double)sound->n > (double)SO_TURN_S * sound->rate)
        status = so_fail(error, SO_ERR_LIMIT, "%s: %.0f s of audio, a turn takes %d s", name,
                         (double)sound->n / sound->rate, SO_TURN_S);
    if (status == SO_OK) status = so_append(&m->turn, &m->turns, sizeof turn, &turn, 1, error);
    if (status != SO_OK) free(turn.pcm);
    return status;
}

static so_status add_file(material *m, const char *path, so_error *error)
{
    so_operand o;
    so_status status = so_operand_read(&o, path, SO_TAKES_PICTURE | SO_TAKES_SOUND, error);
    if (status == SO_OK && o.kind == SO_OPERAND_SOUND)
        status = add_turn(m, &o.sound, o.name, error);
    else if (status == SO_OK && m->png)
        status = so_fail(error, SO_ERR_ARG, "%s: a second picture; a session shows one before its first turn", o.name);
    else if (status == SO_OK)
        status = so_image_encode_png(&o.picture, &m->png, &m->png_size, error);
    so_operand_clear(&o);
    return status;
}

static so_status read_material(material *m, int n, char **file, so_error *error)
{
    for (int i = 0; i < n; i++) SO_TRY(add_file(m, file[i], error));
    if (m->turns) return SO_OK;
    const char *const shipped[] = {"examples/question.wav", "examples/table.png"};
    for (int i = 0; i < (m->png ? 1 : 2); i++) {
        const char *found = so_cli_shipped(shipped[i]);
        if (!found)
            return so_fail(error, SO_ERR_MISSING, "%s is neither here nor installed; name recordings", shipped[i]);
        char *path = strdup(found);
        so_status status = path ? add_file(m, path, error) : so_fail(error, SO_ERR_NOMEM, "no memory for a name");
        free(path);
        SO_TRY(status);
    }
    return SO_OK;
}

/* ---- showing */
static double unit_of(so_load_figure figure) { return figure == SO_LOAD_FACTOR ? 1 : 1000; }
static const char *unit_name(so_load_figure figure) { return figure == SO_LOAD_FACTOR ? "" : " ms"; }

static void print_figure(const so_load_figures *f, so_load_figure figure)
{
    static const double share[] = {0.5, 0.9, 0.99, 1};
    printf("%-44s", so_load_words(figure));
    for (int i = 0; i < 4; i++) {
        char text[32] = "-";
        if (f->n)
            snprintf(text, sizeof text, figure == SO_LOAD_FACTOR ? "%.2f%s" : "%.0f%s",
                     so_load_share(f, share[i]) * unit_of(figure), unit_name(figure));
        printf(" %9s", text);
    }
    printf(" %7zu\n", f->n);
}

static void print_bars(const so_load_figures *f, so_load_figure figure)
{
    int count[BARS], most = 1;
    double scale = so_load_scale(f, BARS), step = scale / BARS * unit_of(figure);
    if (f->n < 2) return;
    so_load_count(f, scale, count, BARS);
    for (int i = 0; i < BARS; i++) most = count[i] > most ? count[i] : most;
    printf("\n%s%s%s\n", so_cli_bold(stdout), so_load_words(figure), so_cli_plain(stdout));
    for (int i = 0; i < BARS; i++) {
        printf("  %7.0f%s %s%5.0f%s ", i * step, unit_name(figure), i + 1 < BARS ? "-" : "+", (i + 1) * step,
               unit_name(figure));
        for (int k = 0; k < (count[i] * BAR + most - 1) / most; k++) putchar('#');
        printf(" %d\n", count[i]);
    }
}

static void print_result(const so_bench_load *ask, const so_load_result *r)
{
    printf("%lld session%s", (long long)ask->sessions, ask->sessions == 1 ? "" : "s");
    if (ask->speaking) printf(", %lld at a time speak or are answered", (long long)ask->speaking);
    printf(", %.0f s: %d turns answered (%d spoken into), %.0f s of speech\n", r->seconds, r->turns, r->interrupted,
           r->voice_s);
    printf("%d unheard, %d ended too early, %d failed, %d sessions lost; %d underruns in %d pieces; microphones at "
           "most %.0f ms late\n",
           r->unheard, r->split, r->failed, r->lost, r->underruns, r->pieces, 1000 * r->late_s);
    if (r->told_why[0]) printf("the first trouble: %s\n", r->told_why);
    printf("\n%s%-44s %9s %9s %9s %9s %7s%s\n", so_cli_bold(stdout), "", "median", "90 %", "99 %", "most", "n",
           so_cli_plain(stdout));
    for (int i = 0; i < SO_LOAD_FIGURES; i++) print_figure(&r->figure[i], (so_load_figure)i);
    print_bars(&r->figure[SO_LOAD_AUDIO], SO_LOAD_AUDIO);
    print_bars(&r->figure[SO_LOAD_ANSWER], SO_LOAD_ANSWER);
}

static void json_result(const so_bench_load *ask, const so_load_result *r)
{
    static const struct {
        const char *name;
        double share;
    } shares[] = {{"median", 0.5}, {"p90", 0.9}, {"p95", 0.95}, {"p99", 0.99}, {"most", 1}};
    printf("{\"sessions\": %lld, \"speaking\": %lld, \"seconds\": %.3f, \"turns\": %d, \"interrupted\": %d, "
           "\"unheard\": %d, "
           "\"split\": %d, \"failed\": %d, \"lost\": %d, \"pieces\": %d, \"underruns\": %d, \"voice_s\": %.3f, "
           "\"late_s\": %.4f, "
           "\"trouble\": ",
           (long long)ask->sessions, (long long)(ask->speaking ? ask->speaking : ask->sessions), r->seconds, r->turns,
           r->interrupted, r->unheard, r->split, r->failed, r->lost, r->pieces, r->underruns, r->voice_s, r->late_s);
    so_json_text(stdout, r->told_why);
    for (int i = 0; i < SO_LOAD_FIGURES; i++) {
        printf(", \"%s\": {\"n\": %zu", so_load_name((so_load_figure)i), r->figure[i].n);
        for (size_t k = 0; k < sizeof shares / sizeof *shares; k++) {
            printf(", \"%s\": ", shares[k].name);
            so_json_number(stdout, so_load_share(&r->figure[i], shares[k].share));
        }
        printf("}");
    }
    printf("}\n");
}

/* ---- the run */
static so_status on_step(void *context, double done, double total, so_error *error)
{
    if (so_cli_stop) return so_fail(error, SO_ERR_STOPPED, "stopped");
    so_bar_step(context, fmin(done, total), total);
    return SO_OK;
}

static so_status run(const so_bench_load *ask, const material *m, so_load_result *result, so_error *error)
{
    so_bar bar;
    const so_load_options options = {
        .remote = {.url = ask->far.server, .key = ask->far.key, .authority = ask->far.authority, .stop = &so_cli_stop},
        .turn = m->turn,
        .turns = (int)m->turns,
        .picture = m->png,
        .picture_size = m->png_size,
        .sessions = (int)ask->sessions,
        .speaking = (int)ask->speaking,
        .seconds = ask->seconds,
        .pause = ask->pause,
        .interrupt = (int)ask->interrupt,
        .step = on_step,
        .context = &bar};
    so_bar_start(&bar, "talking", "s");
    so_status status = so_load_run(&options, result, error);
    so_bar_end(&bar);
    return status;
}

so_status so_bench_server(const so_bench_load *ask, int n, char **file, so_error *error)
{
    material m = {0};
    so_load_result result = {0};
    so_status status = read_material(&m, n, file, error);
    if (status == SO_OK) status = run(ask, &m, &result, error);
    if (status == SO_OK) {
        char title[160];
        (ask->json ? json_result : print_result)(ask, &result);
        snprintf(title, sizeof title, "%lld sessions, %lld at a time, %d turns in %.0f s", (long long)ask->sessions,
                 (long long)(ask->speaking ? ask->speaking : ask->sessions), result.turns, result.seconds);
        if (ask->plot) status = so_bench_plot(ask->plot, title, &result, error);
        if (status == SO_OK && result.turns == 0)
            status =
                so_fail(error, SO_ERR_IO, "no turn was answered%s%s", result.told_why[0] ? ": " : "", result.told_why);
    }
    so_load_result_clear(&result);
    clear(&m);
    return status;
}
