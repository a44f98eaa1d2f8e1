/* Turns out of a tabletop corpus, a folder of reference numbers, a text file, or nothing.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "eval/quant/turns.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "dataset/tabletop/tabletop_corpus.h"
#include "eval/golden/golden.h"
#include "eval/golden/golden_omni.h"
#include "media/audio.h"
#include "media/image.h"

enum { TEXT_MAX = 64 << 20, MADE_UP_UNITS = 48, ITEMS = 64 };

struct so_turns {
    so_model *model;
    so_turns_options options;
    so_tabletop_corpus corpus;
    json_t *golden; /* golden.json of a folder of reference numbers */
    char *text;     /* of a text file or the built-in one, cut into lines */
    char **line;
    int64_t n_lines, capacity;
    int64_t items;
    so_image image;
    int32_t *units;
    int64_t units_capacity;
};

static const char built_in[] =
    "Hello, how are you today?\nWhat is the capital of France?\nPlease describe the picture.\n"
    "How many legs does a spider have?\nTell me a short story about a lighthouse.\n"
    "What colour is the square on the left?\nRepeat after me: red, green, blue.\nWhat is two plus three?\n"
    "Who wrote Faust?\nIs there a star above the circle?\nName three fruits.\nWhat day comes after Monday?\n"
    "Translate good morning into German.\nWhy is the sky blue?\nCount from one to five.\nWhat do you hear?\n";

static so_status cut_lines(so_turns *t, so_error *error)
{
    for (char *save, *line = strtok_r(t->text, "\r\n", &save); line; line = strtok_r(NULL, "\r\n", &save)) {
        SO_TRY(so_grow(&t->line, t->n_lines, &t->capacity, sizeof *t->line, error));
        t->line[t->n_lines++] = line;
    }
    return t->n_lines ? SO_OK : so_fail(error, SO_ERR_FORMAT, "%s: no line of text", t->options.data);
}

static so_status read_lines(so_turns *t, so_error *error)
{
    size_t size = 0;
    if (!t->options.data)
        t->text = strdup(built_in);
    else
        SO_TRY(so_file_read(t->options.data, TEXT_MAX, &t->text, &size, error));
    if (!t->text) return so_fail(error, SO_ERR_NOMEM, "no memory for text");
    if (memchr(t->text, 0, size)) return so_fail(error, SO_ERR_FORMAT, "%s is not text", t->options.data);
    return cut_lines(t, error);
}

static bool is_corpus(const char *path)
{
    struct stat st;
    const char *dot = path ? strrchr(path, '.') : NULL;
    return path && ((stat(path, &st) == 0 && S_ISDIR(st.st_mode)) || (dot && strncmp(dot, ".json", 5) == 0));
}

static so_status open_golden(so_turns *t, const char *path, so_error *error)
{
    json_error_t wrong;
    t->golden = json_load_file(path, 0, &wrong);
    if (!t->golden) return so_fail(error, SO_ERR_FORMAT, "%s: line %d: %s", path, wrong.line, wrong.text);
    if (!json_array_size(json_object_get(t->golden, "cases")))
        return so_fail(error, SO_ERR_FORMAT, "%s has no cases", path);
    return SO_OK;
}

static so_status open_turns(so_turns *t, so_error *error)
{
    int64_t there;
    char golden[4096];
    snprintf(golden, sizeof golden, "%s/golden.json", t->options.data ? t->options.data : "");
    if (t->options.data && access(golden, R_OK) == 0) {
        SO_TRY(open_golden(t, golden, error));
        there = (int64_t)json_array_size(json_object_get(t->golden, "cases"));
    } else if (is_corpus(t->options.data)) {
        SO_TRY(so_tabletop_open(&t->corpus, t->options.data, error));
        there = t->corpus.count;
        if (!there) return so_fail(error, SO_ERR_MISSING, "%s has no item", t->options.data);
    } else {
        SO_TRY(read_lines(t, error));
        there = t->n_lines;
    }
    t->items = t->options.items > 0 ? t->options.items : ITEMS;
    if (t->items > there) t->items = there;
    return SO_OK;
}

so_status so_turns_open(so_turns **out, so_model *model, const so_turns_options *options, so_error *error)
{
    *out = NULL;
    so_turns *t = calloc(1, sizeof *t);
    if (!t) return so_fail(error, SO_ERR_NOMEM, "no memory for turns");
    t->model = model;
    t->options = *options;
    so_status status = open_turns(t, error);
    if (status == SO_OK)
        *out = t;
    else
        so_turns_close(&t);
    return status;
}

void so_turns_close(so_turns **turns)
{
    if (!turns || !*turns) return;
    so_turns *t = *turns;
    so_tabletop_close(&t->corpus);
    so_image_clear(&t->image);
    json_decref(t->golden);
    free(t->text);
    free(t->line);
    free(t->units);
    free(t);
    *turns = NULL;
}

/* Every item is asked in words, and once more in speech where the model hears; a case of reference numbers is one or
 * the other. */
static int64_t ways(const so_turns *t) { return t->model->setup.omni.speech && !t->golden ? 2 : 1; }

int64_t so_turns_count(const so_turns *t) { return t->items * ways(t); }

static so_status room_for_units(so_turns *t, int64_t n, so_error *error)
{
    if (n <= t->units_capacity) return SO_OK;
    int32_t *grown = realloc(t->units, (size_t)n * sizeof *grown);
    if (!grown) return so_fail(error, SO_ERR_NOMEM, "no memory for %lld units", (long long)n);
    t->units = grown;
    t->units_capacity = n;
    return SO_OK;
}

static so_status hear(so_turns *t, const char *path, so_turn *turn, so_error *error)
{
    enum { UNITS = 25 * 60 };
    so_audio audio = {0};
    size_t n = 0;
    SO_TRY(room_for_units(t, UNITS, error));
    SO_TRY(so_audio_read(&audio, path, 0, error));
    so_status status =
        so_tokenize_speech(t->model, audio.samples, (size_t)audio.n, audio.rate, t->units, UNITS, &n, error);
    so_audio_clear(&audio);
    turn->units = t->units;
    turn->n_units = (int64_t)(n < UNITS ? n : UNITS);
    return status;
}

static so_status make_units(so_turns *t, int64_t i, so_turn *turn, so_error *error)
{
    so_rng rng;
    SO_TRY(room_for_units(t, MADE_UP_UNITS, error));
    so_rng_init(&rng, t->options.seed, (uint64_t)i);
    for (int k = 0; k < MADE_UP_UNITS; k++) t->units[k] = (int32_t)so_rng_below(&rng, t->model->units);
    turn->units = t->units;
    turn->n_units = MADE_UP_UNITS;
    return SO_OK;
}

static so_status from_corpus(so_turns *t, int64_t i, bool speech, so_turn *turn, so_error *error)
{
    const so_tabletop_item *item = &t->corpus.items[i];
    so_image_clear(&t->image);
    if (item->image && t->model->setup.omni.vision) {
        SO_TRY(so_image_read(&t->image, item->image, 0, error));
        *turn = (so_turn){.rgb = t->image.rgb, .width = t->image.w, .height = t->image.h};
    }
    turn->voice = speech;
    if (speech && item->speech && t->model->codec.has_tokenizer) return hear(t, item->speech, turn, error);
    turn->text = item->question;
    return SO_OK;
}

/* The case as its reference ran it, as far as its limit. */
static so_status from_golden(so_turns *t, int64_t i, so_turn *turn, so_error *error)
{
    const json_t *one = json_array_get(json_object_get(t->golden, "cases"), (size_t)i),
                 *units = json_object_get(one, "input_units");
    const char *mode = json_string_value(json_object_get(one, "inference_type")),
               *user = json_string_value(json_object_get(one, "user"));
    const char *picture = json_string_value(json_object_get(one, "image"));
    static const char place[] = "<image>\n";
    if (!mode || !user)
        return so_fail(error, SO_ERR_FORMAT, "%s/golden.json: case %lld has no mode or user", t->options.data,
                       (long long)i);
    so_image_clear(&t->image);
    if (picture) {
        so_golden g = {.folder = t->options.data, .root = t->golden};
        SO_TRY(so_golden_picture(&g, picture, &t->image, error));
    }
    *turn = (so_turn){.rgb = t->image.rgb,
                      .width = t->image.w,
                      .height = t->image.h,
                      .voice = strstr(mode, "_to_speech") != NULL,
                      .most = json_integer_value(json_object_get(one, "max_new_tokens"))};
    turn->n_units = (int64_t)json_array_size(units);
    if (!turn->n_units) {
        turn->text = strncmp(user, place, strlen(place)) == 0 ? user + strlen(place) : user;
        return SO_OK;
    }
    SO_TRY(room_for_units(t, turn->n_units, error));
    for (int64_t k = 0; k < turn->n_units; k++) {
        json_int_t unit = json_integer_value(json_array_get(units, (size_t)k));
        t->units[k] = unit < 0 || unit > INT32_MAX ? -1 : (int32_t)unit;
    }
    turn->units = t->units;
    return SO_OK;
}

so_status so_turns_get(so_turns *t, int64_t i, so_turn *turn, so_error *error)
{
    if (t->golden) return from_golden(t, i, turn, error);
    bool speech = i % ways(t) == 1;
    int64_t at = i / ways(t);
    *turn = (so_turn){.voice = speech};
    /* Spread over the corpus, which is sorted by picture. */
    if (t->corpus.count) return from_corpus(t, at * t->corpus.count / t->items, speech, turn, error);
    if (speech) return make_units(t, at, turn, error);
    turn->text = t->line[at];
    return SO_OK;
}
