/* Records: from a line of JSON, and what they point to.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "dataset/record.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "dataset/tabletop/tabletop.h"

/* ---- parsing */

static so_status locate(const json_t *json, const char *folder, so_arena *pool, so_locator *out, so_error *error)
{
    const char *path =
        json_is_string(json) ? json_string_value(json) : json_string_value(json_object_get(json, "path"));
    const json_t *at = json_object_get(json, "at");
    if (!path || !path[0]) return so_fail(error, SO_ERR_FORMAT, "a file without a path");
    if (at) {
        json_int_t offset = json_integer_value(json_array_get(at, 0)), size = json_integer_value(json_array_get(at, 1));
        if (json_array_size(at) != 2 || offset < 0 || size < 1)
            return so_fail(error, SO_ERR_FORMAT, "'%s': \"at\" is no [offset, size]", path);
        out->offset = (uint64_t)offset;
        out->size = (uint64_t)size;
    }
    out->path = path;
    if (path[0] == '/') return SO_OK;
    size_t room = strlen(folder) + strlen(path) + 2;
    char *whole = so_arena_alloc(pool, room);
    if (!whole) return so_fail(error, SO_ERR_NOMEM, "no memory for a path");
    snprintf(whole, room, "%s/%s", folder, path);
    out->path = whole;
    return SO_OK;
}

static so_status list_units(const json_t *json, so_arena *pool, so_record_turn *turn, so_error *error)
{
    size_t n = json_array_size(json);
    uint16_t *units = so_arena_alloc(pool, n * sizeof *units + 1);
    if (!units) return so_fail(error, SO_ERR_NOMEM, "no memory for %zu units", n);
    for (size_t i = 0; i < n; i++) {
        const json_t *unit = json_array_get(json, i);
        json_int_t value = json_integer_value(unit);
        if (!json_is_integer(unit) || value < 0 || value > UINT16_MAX)
            return so_fail(error, SO_ERR_FORMAT, "unit %zu is no number from 0 to 65535", i);
        units[i] = (uint16_t)value;
    }
    turn->listed = units;
    turn->n_listed = (int64_t)n;
    return SO_OK;
}

static double seconds_of(const json_t *json)
{
    double s = json_number_value(json);
    return isfinite(s) && s > 0 ? s : 0;
}

static so_status read_turn(const json_t *json, const char *folder, so_arena *pool, so_record_turn *out, so_error *error)
{
    static const char *const roles[] = {"system", "user", "assistant"};
    const char *role = json_string_value(json_object_get(json, "role"));
    const json_t *audio = json_object_get(json, "audio"), *units = json_object_get(json, "units");
    int found = -1;
    for (int i = 0; i < 3 && role; i++)
        if (strcmp(role, roles[i]) == 0) found = i;
    if (found < 0)
        return so_fail(error, SO_ERR_FORMAT, "the role '%s', expected system, user or assistant", role ? role : "");
    out->role = (so_role)found;
    out->text = json_string_value(json_object_get(json, "text"));
    if (!out->text) return so_fail(error, SO_ERR_FORMAT, "a turn without a text");
    if (strlen(out->text) > SO_RECORD_TEXT)
        return so_fail(error, SO_ERR_LIMIT, "a text of %zu bytes, at most %d", strlen(out->text), SO_RECORD_TEXT);
    out->say = json_string_value(json_object_get(json, "say"));
    out->speaker = json_string_value(json_object_get(json, "speaker"));
    out->seconds = seconds_of(json_object_get(json, "seconds"));
    if (json_is_array(units))
        SO_TRY(list_units(units, pool, out, error));
    else if (units)
        SO_TRY(locate(units, folder, pool, &out->units, error));
    if (!audio) return SO_OK;
    out->begin = seconds_of(json_object_get(audio, "begin"));
    out->end = seconds_of(json_object_get(audio, "end"));
    return locate(audio, folder, pool, &out->audio, error);
}

static so_status fill(so_record *r, const char *folder, so_error *error)
{
    so_arena *pool = r->pool;
    const json_t *json = r->json, *turns = json_object_get(json, "turns"), *images = json_object_get(json, "images");
    size_t n = json_array_size(turns), m = json_array_size(images);
    if (n < 1 || n > SO_RECORD_TURNS || m > SO_RECORD_IMAGES)
        return so_fail(error, SO_ERR_FORMAT, "%zu turns and %zu pictures, expected 1 to %d and at most %d", n, m,
                       SO_RECORD_TURNS, SO_RECORD_IMAGES);
    r->id = json_string_value(json_object_get(json, "id"));
    if (!r->id) r->id = "";
    r->source = json_string_value(json_object_get(json, "source"));
    r->lang = json_string_value(json_object_get(json, "lang"));
    r->license = json_string_value(json_object_get(json, "license"));
    r->turn = so_arena_zalloc(pool, n * sizeof *r->turn);
    r->image = so_arena_zalloc(pool, m * sizeof *r->image + 1);
    if (!r->turn || !r->image) return so_fail(error, SO_ERR_NOMEM, "no memory for a record");
    for (; r->turns < (int)n; r->turns++)
        SO_TRY(read_turn(json_array_get(turns, (size_t)r->turns), folder, pool, &r->turn[r->turns], error));
    for (; r->images < (int)m; r->images++)
        SO_TRY(locate(json_array_get(images, (size_t)r->images), folder, pool, &r->image[r->images], error));
    return SO_OK;
}

so_status so_record_of(so_record *out, void *json, const char *folder, so_error *error)
{
    *out = (so_record){.json = json_incref(json), .pool = malloc(sizeof(so_arena))};
    if (out->pool) so_arena_grow(out->pool);
    so_status status = out->pool ? fill(out, folder, error) : so_fail(error, SO_ERR_NOMEM, "no memory for a record");
    if (status != SO_OK) so_record_clear(out);
    return status;
}

so_status so_record_parse(so_record *out, const char *json, size_t size, const char *folder, so_error *error)
{
    json_error_t why = {0};
    json_t *object = json_loadb(json, size, 0, &why);
    *out = (so_record){0};
    so_status status = json_is_object(object) ? so_record_of(out, object, folder, error)
                                              : so_fail(error, SO_ERR_FORMAT, "not a JSON object: %s", why.text);
    json_decref(object);
    return status;
}

void so_record_clear(so_record *r)
{
    json_decref(r->json);
    if (r->pool) so_arena_clear(r->pool);
    free(r->pool);
    *r = (so_record){0};
}

/* ---- records that are made */

void *so_record_take(so_record *r, size_t bytes) { return r->pool ? so_arena_zalloc(r->pool, bytes + 1) : NULL; }

so_status so_record_make(so_record *out, const char *id, int turns, int images, so_error *error)
{
    *out = (so_record){0};
    so_arena *pool = malloc(sizeof *pool);
    if (!pool) return so_fail(error, SO_ERR_NOMEM, "no memory for a record");
    so_arena_grow(pool);
    out->pool = pool;
    char *name = so_record_take(out, strlen(id));
    out->turn = so_record_take(out, (size_t)turns * sizeof *out->turn);
    out->image = so_record_take(out, (size_t)images * sizeof *out->image);
    if (!name || !out->turn || !out->image) {
        so_record_clear(out);
        return so_fail(error, SO_ERR_NOMEM, "no memory for a record");
    }
    strcpy(name, id);
    out->id = name;
    out->turns = turns;
    out->images = images;
    return SO_OK;
}

static const char SCENE[] = "scene:";

so_status so_record_scene(so_record *r, so_locator *at, uint64_t scene, so_error *error)
{
    char *path = so_record_take(r, 40);
    if (!path) return so_fail(error, SO_ERR_NOMEM, "no memory for a path");
    snprintf(path, 40, "%s%llu", SCENE, (unsigned long long)scene);
    *at = (so_locator){.path = path};
    return SO_OK;
}

/* Paths of files are never such a name: those of records are made absolute. */
bool so_locator_scene(const so_locator *at, uint64_t *scene)
{
    if (!at->path || strncmp(at->path, SCENE, sizeof SCENE - 1) != 0) return false;
    *scene = strtoull(at->path + sizeof SCENE - 1, NULL, 10);
    return true;
}

static so_status render_scene(uint64_t seed, so_image *out, so_error *error)
{
    so_scene scene;
    SO_TRY(so_image_init(out, SO_TABLETOP_SIDE, SO_TABLETOP_SIDE, error));
    so_scene_make(&scene, seed);
    so_scene_render(&scene, out->rgb);
    return SO_OK;
}

/* ---- what records point to */

so_status so_locator_open(const so_locator *at, so_map *map, const unsigned char **data, size_t *size, so_error *error)
{
    if (!at->path) return so_fail(error, SO_ERR_MISSING, "there is no such file");
    SO_TRY(so_map_open(map, at->path, error));
    if (at->offset > map->size || at->size > map->size - at->offset) {
        so_status status = so_fail(error, SO_ERR_FORMAT, "'%s' has %zu bytes, expected %llu from byte %llu on",
                                   at->path, map->size, (unsigned long long)at->size, (unsigned long long)at->offset);
        so_map_close(map);
        return status;
    }
    *data = map->data + at->offset;
    *size = at->size ? (size_t)at->size : map->size - (size_t)at->offset;
    return SO_OK;
}

so_status so_locator_image(const so_locator *at, so_image *out, so_error *error)
{
    so_map map;
    const unsigned char *data;
    size_t size;
    uint64_t scene;
    if (so_locator_scene(at, &scene)) return render_scene(scene, out, error);
    SO_TRY(so_locator_open(at, &map, &data, &size, error));
    so_status status = so_image_decode(out, data, size, 0, error);
    if (status != SO_OK) so_fail_in(error, "'%s'", at->path);
    so_map_close(&map);
    return status;
}

so_status so_turn_listed(const so_record_turn *turn, uint16_t **units, int64_t *n, so_error *error)
{
    so_map map = {0};
    const unsigned char *data = NULL;
    size_t size = (size_t)turn->n_listed * 2;
    *units = NULL;
    *n = 0;
    if (turn->units.path) SO_TRY(so_locator_open(&turn->units, &map, &data, &size, error));
    if (size) *units = malloc(size + 1);
    if (size && !*units) {
        so_map_close(&map);
        return so_fail(error, SO_ERR_NOMEM, "no memory for %zu units", size / 2);
    }
    *n = (int64_t)(size / 2);
    for (int64_t i = 0; i < *n; i++)
        (*units)[i] = data ? (uint16_t)(data[2 * i] | data[2 * i + 1] << 8) : turn->listed[i];
    so_map_close(&map);
    return SO_OK;
}

/* ---- recordings */

void so_clips_clear(so_clips *c)
{
    so_sound_close(&c->sound);
    so_map_close(&c->map);
    free(c->path);
    *c = (so_clips){0};
}

static so_status open_clip(so_clips *c, const so_locator *at, so_error *error)
{
    const so_sound_options options = {.max_seconds = 100 * 3600.0, .name = at->path};
    const unsigned char *data;
    size_t size;
    so_clips_clear(c);
    SO_TRY(so_locator_open(at, &c->map, &data, &size, error));
    so_status status = so_sound_open(&c->sound, data, size, &options, error);
    if (status == SO_OK && !(c->path = strdup(at->path))) status = so_fail(error, SO_ERR_NOMEM, "no memory for a path");
    c->offset = at->offset;
    if (status != SO_OK) so_fail_in(error, "'%s'", at->path);
    if (status != SO_OK) so_clips_clear(c);
    return status;
}

static so_status pass_over(so_clips *c, int64_t n, so_error *error)
{
    float heap[4096];
    while (n > 0) {
        int64_t got;
        SO_TRY(so_sound_read(c->sound, heap, n < 4096 ? n : 4096, &got, error));
        if (!got) return so_fail(error, SO_ERR_FORMAT, "the recording ends before the clip begins");
        c->position += got;
        n -= got;
    }
    return SO_OK;
}

/* At most `most` samples. */
static so_status take(so_clips *c, int64_t most, so_audio *out, so_error *error)
{
    int64_t capacity = 0, got;
    do {
        if (out->n + 65536 > capacity) {
            capacity = capacity ? capacity * 2 : 131072;
            float *longer = realloc(out->samples, (size_t)capacity * sizeof *longer);
            if (!longer) return so_fail(error, SO_ERR_NOMEM, "no memory for %lld samples", (long long)capacity);
            out->samples = longer;
        }
        int64_t want = most - out->n < 65536 ? most - out->n : 65536;
        SO_TRY(so_sound_read(c->sound, out->samples + out->n, want, &got, error));
        out->n += got;
        c->position += got;
    } while (got && out->n < most);
    return SO_OK;
}

static so_status copy_samples(const so_record_turn *turn, so_audio *out, so_error *error)
{
    *out = (so_audio){.n = turn->n_samples, .rate = turn->rate, .channels = 1};
    out->samples = malloc((size_t)turn->n_samples * sizeof *out->samples + 4);
    if (!out->samples) return so_fail(error, SO_ERR_NOMEM, "no memory for %lld samples", (long long)turn->n_samples);
    for (int64_t i = 0; i < turn->n_samples; i++) out->samples[i] = (float)turn->samples[i] / 32768.0f;
    return SO_OK;
}

so_status so_clips_read(so_clips *c, const so_record_turn *turn, so_audio *out, so_error *error)
{
    *out = (so_audio){0};
    if (turn->samples) return copy_samples(turn, out, error);
    if (!turn->audio.path) return so_fail(error, SO_ERR_MISSING, "the turn has no recording");
    bool same = c->path && strcmp(c->path, turn->audio.path) == 0 && c->offset == turn->audio.offset;
    int64_t begin = same ? llround(turn->begin * so_sound_rate(c->sound)) : 0;
    if (!same || begin < c->position) SO_TRY(open_clip(c, &turn->audio, error));
    int rate = so_sound_rate(c->sound);
    begin = llround(turn->begin * rate);
    int64_t most = turn->end > turn->begin ? llround(turn->end * rate) - begin : INT64_C(600) * rate;
    so_status status = pass_over(c, begin - c->position, error);
    if (status == SO_OK) status = take(c, most, out, error);
    out->rate = rate;
    out->channels = so_sound_channels(c->sound);
    if (status == SO_OK && out->n == 0) status = so_fail(error, SO_ERR_FORMAT, "the clip is empty");
    if (status == SO_OK) return SO_OK;
    so_fail_in(error, "'%s'", turn->audio.path);
    so_audio_clear(out);
    so_clips_clear(c);
    return status;
}
