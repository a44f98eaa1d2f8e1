/* The verb inspect: what is in a model file.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "apps/bench.h"
#include "apps/operand.h"
#include "apps/verbs.h"
#include "base/file.h"
#include "base/plain.h"
#include "formats/gguf.h"
#include "formats/onnx.h"
#include "formats/safetensors.h"
#include "formats/torchzip.h"
#include "so.h"

typedef struct opened {
    const char *kind, *path;
    so_gguf *gguf;
    so_safetensors *safetensors;
    so_torchzip *torch;
    so_onnx *onnx;
    const so_views *views;
} opened;

static bool ends(const char *path, const char *ending)
{
    size_t n = strlen(path), m = strlen(ending);
    return n >= m && strcmp(path + n - m, ending) == 0;
}

static so_status first_bytes(const char *path, char *magic, so_error *error)
{
    so_map map;
    memset(magic, 0, 4);
    SO_TRY(so_map_open(&map, path, error));
    if (map.size >= 4) memcpy(magic, map.data, 4);
    so_map_close(&map);
    return SO_OK;
}

/* Tells the formats apart by their first bytes; ONNX, which has none, by its name. */
static so_status open_any(opened *o, const char *path, so_error *error)
{
    struct stat st;
    char magic[4] = "";
    *o = (opened){.path = path};
    SO_TRY(so_operand_check_model(path, error));
    if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode)) SO_TRY(first_bytes(path, magic, error));
    if (memcmp(magic, "GGUF", 4) == 0 || ends(path, ".gguf")) {
        o->kind = "GGUF";
        SO_TRY(so_gguf_open(&o->gguf, path, error));
        o->views = so_gguf_views(o->gguf);
    } else if (memcmp(magic, "PK\3\4", 4) == 0) {
        o->kind = "PyTorch zip";
        SO_TRY(so_torchzip_open(&o->torch, path, error));
        o->views = so_torchzip_views(o->torch);
    } else if (ends(path, ".onnx")) {
        o->kind = "ONNX";
        SO_TRY(so_onnx_open(&o->onnx, path, error));
        o->views = so_onnx_views(o->onnx);
    } else {
        o->kind = "safetensors";
        SO_TRY(so_safetensors_open(&o->safetensors, path, error));
        o->views = so_safetensors_views(o->safetensors);
    }
    return SO_OK;
}

static void close_any(opened *o)
{
    so_gguf_close(&o->gguf);
    so_torchzip_close(&o->torch);
    so_onnx_close(&o->onnx);
    so_safetensors_close(&o->safetensors);
}

/* ---- families: one shape, and names that differ in a number between dots only */
typedef struct family {
    char *key; /* "[64, 64] model.layers.*.weight" */
    size_t shape;
    int64_t tensors, elements;
    so_type type;
    bool mixed;
} family;

typedef struct census {
    so_names names; /* the families' keys */
    family *family;
    int64_t capacity;
} census;

static void family_name(const char *name, char *out)
{
    for (const char *p = name; *p;) {
        size_t digits = strspn(p, "0123456789");
        bool whole = digits && (p == name || p[-1] == '.') && (p[digits] == '.' || p[digits] == 0);
        if (whole) {
            *out++ = '*';
            p += digits;
        } else
            *out++ = *p++;
    }
    *out = 0;
}

static const char *shape_of(const so_view *v, char text[96])
{
    size_t used = 0;
    text[used++] = '[';
    for (int d = 0; d < v->n_dims && used < 96; d++)
        used += (size_t)snprintf(text + used, 96 - used, "%s%lld", d ? ", " : "", (long long)v->dim[d]);
    if (used < 96) snprintf(text + used, 96 - used, "]");
    return text;
}

/* The family of a tensor, found by its key in time that does not grow with their number. */
static so_status family_of(census *c, const so_view *v, family **out, so_error *error)
{
    char key[96 + SO_VIEW_NAME_MAX + 2];
    size_t shape = strlen(shape_of(v, key));
    key[shape] = ' ';
    family_name(v->name, key + shape + 1);
    int64_t at = so_names_find(&c->names, so_span_of(key));
    if (at < 0) {
        at = c->names.count;
        SO_TRY(so_grow(&c->family, at, &c->capacity, sizeof *c->family, error));
        family *f = &c->family[at];
        *f = (family){.key = strdup(key), .shape = shape, .type = v->type};
        if (!f->key) return so_fail(error, SO_ERR_NOMEM, "no memory for a name");
        so_status status = so_names_add(&c->names, so_span_of(f->key), error);
        if (status != SO_OK) free(f->key);
        if (status != SO_OK) return status;
    }
    *out = &c->family[at];
    return SO_OK;
}

static so_status count_families(census *c, const so_views *views, so_error *error)
{
    for (int64_t i = 0; i < views->count; i++) {
        const so_view *v = &views->view[i];
        family *f = NULL;
        SO_TRY(family_of(c, v, &f, error));
        f->tensors++;
        f->elements += so_view_elements(v);
        f->mixed |= f->type != v->type;
    }
    return SO_OK;
}

static so_status families(const so_views *views, so_error *error)
{
    census c = {0};
    so_status status = count_families(&c, views, error);
    for (int64_t i = 0; i < c.names.count; i++) {
        const family *f = &c.family[i];
        char count[32];
        if (status == SO_OK) {
            printf("  %4lld x %-6s %-18.*s %-14s ", (long long)f->tensors,
                   f->mixed ? "mixed" : so_type_about(f->type)->name, (int)f->shape, f->key,
                   so_cli_count((double)f->elements, count));
            so_cli_put(stdout, f->key + f->shape + 1, strlen(f->key + f->shape + 1), false);
            printf("\n");
        }
        free(f->key);
    }
    so_names_clear(&c.names);
    free(c.family);
    return status;
}

/* ---- key-values */
static void print_span(so_span s, bool json)
{
    enum { SHOWN = 199 };
    size_t n = s.length < SHOWN ? s.length : SHOWN;
    while (n < s.length && n && ((unsigned char)s.data[n] & 0xc0) == 0x80) n--; /* never half a character */
    if (json) {
        char text[SHOWN + 1];
        memcpy(text, s.data, n);
        text[n] = 0;
        so_json_text(stdout, text);
    } else {
        so_cli_put(stdout, s.data, n, false);
        printf("%s", s.length > n ? "..." : "");
    }
}

static void print_value(const so_gguf *g, const char *key, bool json)
{
    so_span s;
    int64_t i;
    float f;
    bool b;
    if (so_gguf_string(g, key, &s, NULL) == SO_OK)
        print_span(s, json);
    else if (so_gguf_bool(g, key, &b, NULL) == SO_OK)
        printf("%s", b ? "true" : "false");
    else if (so_gguf_i64(g, key, &i, NULL) == SO_OK)
        printf("%lld", (long long)i);
    else if (so_gguf_f32(g, key, &f, NULL) == SO_OK)
        json ? so_json_number(stdout, f) : (void)printf("%g", (double)f);
    else {
        static const char *const names[] = {"u8",   "i8",     "u16", "i16", "u32", "i32", "f32",
                                            "bool", "string", "",    "u64", "i64", "f64"};
        so_gguf_array a;
        for (int t = 0; t < SO_GGUF_TYPE_COUNT; t++)
            if (t != SO_GGUF_ARRAY && so_gguf_array_of(g, key, (so_gguf_type)t, &a, NULL) == SO_OK) {
                printf(json ? "\"%lld x %s\"" : "%lld x %s", (long long)a.n, names[t]);
                return;
            }
        printf(json ? "null" : "(an array)");
    }
}

static void print_scalar(const so_torchzip_scalar *s, bool json)
{
    if (s->kind == SO_TORCHZIP_STRING)
        print_span(s->s, json);
    else if (s->kind == SO_TORCHZIP_FLOAT)
        json ? so_json_number(stdout, s->f) : (void)printf("%g", s->f);
    else if (s->kind == SO_TORCHZIP_NONE)
        printf("null");
    else
        printf("%lld", (long long)s->i);
}

static void print_key(const char *key, bool json, bool first)
{
    if (json) {
        printf("%s", first ? "" : ", ");
        so_json_text(stdout, key);
        printf(": ");
        return;
    }
    char plain[1024];
    printf("  %-40s ", so_plain(plain, sizeof plain, key, strlen(key), false));
}

static void keys(const opened *o, bool json)
{
    int64_t n = o->gguf ? so_gguf_keys(o->gguf) : o->torch ? so_torchzip_scalars(o->torch) : 0;
    for (int64_t i = 0; i < n; i++) {
        if (o->gguf) {
            so_span s = so_gguf_key(o->gguf, i);
            char *key = strndup(s.data, s.length);
            if (!key) return;
            print_key(key, json, i == 0);
            print_value(o->gguf, key, json);
            free(key);
        } else {
            const so_torchzip_scalar *s = so_torchzip_scalar_at(o->torch, i);
            print_key(s->name, json, i == 0);
            print_scalar(s, json);
        }
        if (!json) printf("\n");
    }
}

static void totals(const so_views *views, int64_t elements[SO_TYPE_COUNT], int64_t *all, double *bytes)
{
    *all = 0;
    *bytes = 0;
    for (int64_t i = 0; i < views->count; i++) {
        elements[views->view[i].type] += so_view_elements(&views->view[i]);
        *all += so_view_elements(&views->view[i]);
        *bytes += (double)views->view[i].bytes;
    }
}

/* ---- parts of this program's models */
typedef struct part {
    const char *name, *begin[5]; /* names of its tensors begin so */
} part;

static const part parts[] = {
    {"backbone", {"model.layers.", "model.embed_tokens.", "model.norm.", "lm_head."}},
    {"bottom speech layers",
     {"model.bottom_audio_layers.", "model.audio_norm.", "model.audio_embed_tokens.", "audio_to_text_proj."}},
    {"top speech layers",
     {"model.top_audio_layers.", "model.top_audio_norm.", "audio_lm_head.", "text_to_audio_proj."}},
    {"vision tower", {"model.vision_tower."}},
    {"projector", {"model.mm_projector.", "model.image_newline"}},
    {"speech tokenizer", {"codec.tokenizer."}},
    {"flow", {"codec.flow."}},
    {"vocoder", {"codec.hift."}},
    {"speaker vectors", {"codec.campplus."}},
    {"voices", {"codec.speaker", "codec.voices"}},
};

static bool belongs(const part *p, const char *name)
{
    for (int i = 0; i < 5 && p->begin[i]; i++)
        if (strncmp(name, p->begin[i], strlen(p->begin[i])) == 0) return true;
    return false;
}

static void print_parts(const so_views *views)
{
    printf("\n%sparts%s\n", so_cli_bold(stdout), so_cli_plain(stdout));
    for (size_t p = 0; p < sizeof parts / sizeof *parts; p++) {
        int64_t elements = 0;
        double bytes = 0, share[SO_TYPE_COUNT] = {0};
        char count[32], size[32];
        for (int64_t i = 0; i < views->count; i++) {
            const so_view *v = &views->view[i];
            if (!belongs(&parts[p], v->name)) continue;
            elements += so_view_elements(v);
            bytes += (double)v->bytes;
            share[v->type] += (double)v->bytes;
        }
        if (!elements) continue;
        printf("  %-22s %-16s %-9s", parts[p].name, so_cli_count((double)elements, count), so_cli_size(bytes, size));
        for (int t = 0; t < SO_TYPE_COUNT; t++)
            if (share[t] > 0.01 * bytes) printf(" %s", so_type_about((so_type)t)->name);
        printf("\n");
    }
}

static void print_json(const opened *o, bool tensors)
{
    int64_t elements[SO_TYPE_COUNT] = {0}, all;
    double bytes;
    totals(o->views, elements, &all, &bytes);
    printf("{\"path\": ");
    so_json_text(stdout, o->path);
    printf(", \"format\": \"%s\", \"tensors\": %lld, \"elements\": %lld, \"bytes\": %.0f, \"keys\": {", o->kind,
           (long long)o->views->count, (long long)all, bytes);
    keys(o, true);
    printf("}");
    if (tensors) {
        printf(", \"list\": [");
        for (int64_t i = 0; i < o->views->count; i++) {
            const so_view *v = &o->views->view[i];
            char shape[96];
            printf("%s\n  {\"name\": ", i ? "," : "");
            so_json_text(stdout, v->name);
            printf(", \"type\": \"%s\", \"shape\": %s}", so_type_about(v->type)->name, shape_of(v, shape));
        }
        printf("]");
    }
    printf("}\n");
}

static so_status print_people(const opened *o, bool tensors, so_error *error)
{
    int64_t elements[SO_TYPE_COUNT] = {0}, all;
    double bytes;
    char count[32], size[32];
    totals(o->views, elements, &all, &bytes);
    printf("%s", so_cli_bold(stdout));
    so_cli_put(stdout, o->path, strlen(o->path), false);
    printf("%s: %s, %lld tensors, %s elements, %s\n", so_cli_plain(stdout), o->kind, (long long)o->views->count,
           so_cli_count((double)all, count), so_cli_size(bytes, size));
    for (int t = 0; t < SO_TYPE_COUNT; t++)
        if (elements[t])
            printf("  %-6s %s elements\n", so_type_about((so_type)t)->name, so_cli_count((double)elements[t], count));
    if (o->gguf && so_gguf_has(o->gguf, "stream_omni.hidden_size")) print_parts(o->views);
    if ((o->gguf && so_gguf_keys(o->gguf)) || (o->torch && so_torchzip_scalars(o->torch))) {
        printf("\n%skeys%s\n", so_cli_bold(stdout), so_cli_plain(stdout));
        keys(o, false);
    }
    printf("\n%stensors%s%s\n", so_cli_bold(stdout), so_cli_plain(stdout),
           tensors ? "" : " (* stands for numbers; --tensors lists each)");
    if (!tensors) return families(o->views, error);
    for (int64_t i = 0; i < o->views->count; i++) {
        const so_view *v = &o->views->view[i];
        char shape[96];
        printf("  %-6s %-20s ", so_type_about(v->type)->name, shape_of(v, shape));
        so_cli_put(stdout, v->name, strlen(v->name), false);
        printf("\n");
    }
    return SO_OK;
}

/* What --device may name. */
static so_status print_devices(so_error *error)
{
    so_device_entry found[16];
    int n;
    SO_TRY(so_list_devices(found, 16, &n, error));
    printf("cpu       this machine's processor\n");
    for (int i = 0; i < n; i++) {
        const so_device_entry *d = &found[i];
        char size[32], rest[32];
        printf("%-9s %s, %s\n", d->name, d->title, d->driver);
        printf("          %s, %s of memory, %s free, subgroups of %d\n", d->card ? "a card" : "no card of its own",
               so_cli_size((double)d->memory, size), so_cli_size((double)d->free, rest), d->subgroup);
        if (d->piece[0])
            printf("          tensor cores, or what stands for them: products in f16 of %d x %d x %d\n", d->piece[0],
                   d->piece[1], d->piece[2]);
        else if (!d->lacks[0])
            printf("          no tensor cores that this program can use\n");
        if (d->lacks[0]) printf("          cannot be used, it lacks: %s\n", d->lacks);
    }
    return SO_OK;
}

static so_status machine_alone(bool json, so_error *error)
{
    if (json) printf("{");
    SO_TRY(so_bench_machine(json, error));
    if (json) printf("}\n");
    return SO_OK;
}

static int run(int argc, char **argv)
{
    bool tensors = false, json = false, devices = false, machine = false;
    const so_option options[] = {
        {"devices", SO_OPTION_FLAG, &devices, NULL, "list what --device may name, and what each lacks"},
        {"tensors", SO_OPTION_FLAG, &tensors, NULL, "list every tensor"},
        {"machine", SO_OPTION_FLAG, &machine, NULL, "no file: which kernels this machine gets, and why"},
        {"json", SO_OPTION_FLAG, &json, NULL, "as JSON"},
        {0},
    };
    int n, status = so_cli_parse(&so_verb_inspect, options, argc, argv, &n);
    if (status >= 0) return status;
    if (n > 1) return so_cli_usage(&so_verb_inspect, "expected one file or folder, found %d", n);
    if (n > 0 && machine) return so_cli_usage(&so_verb_inspect, "--machine takes no file, found '%s'", argv[0]);
    opened o;
    so_error error = {0};
    if (devices) return so_cli_end(print_devices(&error), &error);
    if (machine) return so_cli_end(machine_alone(json, &error), &error);
    so_status s = open_any(&o, so_cli_model(n ? argv[0] : NULL), &error);
    if (s == SO_OK && json)
        print_json(&o, tensors);
    else if (s == SO_OK)
        s = print_people(&o, tensors, &error);
    close_any(&o);
    return so_cli_end(s, &error);
}

const so_verb so_verb_inspect = {"inspect", "what is in a model file",
                                 "inspect [FILE|DIR] [--tensors] [--json] | --machine | --devices",
                                 "Reads GGUF, safetensors (one file, or a folder with shards), PyTorch's .pt, and "
                                 "ONNX. Without a file: the tabletop\n"
                                 "model.\n\n"
                                 "examples:\n"
                                 "  stream-omni inspect\n"
                                 "  stream-omni inspect Stream-Omni-8B/ --tensors | less\n"
                                 "  stream-omni inspect --devices\n",
                                 run};
