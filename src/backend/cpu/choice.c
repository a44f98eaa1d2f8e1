/* What is chosen, and how that is kept in a file. See backend/cpu/choice.h.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "backend/cpu/choice.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "base/file.h"
#include "so.h"

const so_type so_cpu_form_type[SO_CPU_FORMS] = {SO_Q4_0, SO_Q8_0, SO_Q4_K, SO_Q6_K};
const int64_t so_cpu_few_rows[SO_CPU_FEW] = {16, 32, 64};

/* Rounding to bf16 is a choice that has to pay; vectors of another width have to be clearly better. */
static const double margin = 1.15;

bool so_cpu_takes_wide(const so_cpu_ratios *r, so_cpu_group group)
{
    return r->wide[group] <= 0 || r->wide[group] * margin > 1;
}

bool so_cpu_takes_bf16(const so_cpu_ratios *r) { return r->bf16 <= 0 || r->bf16 > margin; }

bool so_cpu_takes_bf16_attention(const so_cpu_ratios *r)
{
    return r->bf16_attention <= 0 || r->bf16_attention > margin;
}

so_tile_plan so_cpu_takes_tiles(const so_cpu_ratios *r)
{
    so_tile_plan plan = {.few = SO_FEW_ROWS};
    for (int i = 0; i < SO_CPU_FORMS; i++) plan.bytes[so_cpu_form_type[i]] = r->bytes[i] > margin;
    plan.bytes[SO_Q5_0] = plan.bytes[SO_Q4_0];
    plan.bytes[SO_Q5_K] = plan.bytes[SO_Q4_K];
    for (int i = 0; i < SO_CPU_FEW && r->tiles[i] > 0 && r->tiles[i] < 1; i++) plan.few = so_cpu_few_rows[i];
    return plan;
}

void so_cpu_take(so_kernels *to, const so_kernels *from, so_cpu_group group)
{
#define TAKE(entry) to->entry = from->entry
    switch (group) {
    case SO_CPU_PRODUCTS:
        TAKE(gemm), TAKE(linear), TAKE(q8_gains), TAKE(row), TAKE(attention), TAKE(attention_back);
        break;
    case SO_CPU_INT8:
        TAKE(round_int8), TAKE(linear_int8), TAKE(gated_int8);
        break;
    case SO_CPU_ELEMENTS:
        TAKE(unary), TAKE(unary_back), TAKE(swiglu), TAKE(swiglu_back), TAKE(axpy), TAKE(sum_rows), TAKE(softmax);
        TAKE(softmax_back), TAKE(cross_entropy), TAKE(rms_norm), TAKE(rms_norm_back), TAKE(layer_norm);
        TAKE(layer_norm_back), TAKE(rope), TAKE(adam), TAKE(square_sum);
        break;
    default:
        TAKE(im2col), TAKE(col2im), TAKE(snake), TAKE(snake_back), TAKE(rfft), TAKE(rfft_adjoint), TAKE(group_norm);
        TAKE(group_norm_back);
        break;
    }
#undef TAKE
}

/* ---- the file */

/* All ratios by name, in one order. */
typedef struct named_ratio {
    const char *name;
    double *at;
} named_ratio;
enum { NAMES = SO_CPU_GROUPS + 2 + SO_CPU_FORMS + SO_CPU_FEW };

static void all_ratios(so_cpu_ratios *r, named_ratio out[NAMES])
{
    static const char *const name[NAMES] = {"wide.products",  "wide.int8",  "wide.elements", "wide.codec", "bf16",
                                            "bf16.attention", "bytes.q4_0", "bytes.q8_0",    "bytes.q4_k", "bytes.q6_k",
                                            "tiles.16",       "tiles.32",   "tiles.64"};
    double *at = r->wide;
    for (int i = 0; i < NAMES; i++) {
        if (i == SO_CPU_GROUPS) at = &r->bf16;
        if (i == SO_CPU_GROUPS + 1) at = &r->bf16_attention;
        if (i == SO_CPU_GROUPS + 2) at = r->bytes;
        if (i == SO_CPU_GROUPS + 2 + SO_CPU_FORMS) at = r->tiles;
        out[i] = (named_ratio){name[i], at++};
    }
}

size_t so_cpu_write(const so_cpu_ratios *r, const char *key, char text[SO_CPU_TEXT])
{
    so_cpu_ratios copy = *r;
    named_ratio all[NAMES];
    all_ratios(&copy, all);
    int n = snprintf(text, SO_CPU_TEXT, "%s\n", key);
    for (int i = 0; i < NAMES && n < SO_CPU_TEXT; i++)
        n += snprintf(text + n, (size_t)(SO_CPU_TEXT - n), "%s %.3f\n", all[i].name, *all[i].at);
    return n < SO_CPU_TEXT ? (size_t)n : 0;
}

bool so_cpu_read(const char *text, const char *key, so_cpu_ratios *out)
{
    const size_t length = strlen(key);
    named_ratio all[NAMES];
    so_cpu_ratios r = {0};
    all_ratios(&r, all);
    if (strncmp(text, key, length) != 0 || text[length] != '\n') return false;
    text += length + 1;
    for (int i = 0; i < NAMES; i++) {
        char *end;
        size_t name = strlen(all[i].name);
        if (strncmp(text, all[i].name, name) != 0 || text[name] != ' ') return false;
        *all[i].at = strtod(text + name + 1, &end);
        if (*end != '\n' || !(*all[i].at >= 0 && *all[i].at < 1e6)) return false;
        text = end + 1;
    }
    if (*text) return false;
    *out = r;
    return true;
}

/* The processor's own name and number, the program's version, what is there to choose from. */
static void key_of_machine(const so_cpu_tables *t, char key[256])
{
    char name[49] = "a processor";
    unsigned model = 0;
#if defined(__x86_64__)
    unsigned r[4], top = __get_cpuid_max(0x80000000u, NULL);
    for (unsigned i = 0; top >= 0x80000004u && i < 3; i++) {
        __get_cpuid(0x80000002u + i, r, r + 1, r + 2, r + 3);
        memcpy(name + 16 * i, r, 16);
    }
    name[48] = 0;
    if (__get_cpuid(1, r, r + 1, r + 2, r + 3)) model = r[0];
#endif
    for (char *p = name; *p; p++)
        if (*p < ' ' || *p > '~') *p = '?';
    snprintf(key, 256, "stream-omni " SO_VERSION " choice 1: %.48s %x: %s %s %s", name, model,
             t->below ? t->below->name : "-", t->wide->name, t->tiles ? t->tiles->name : "-");
}

/* False where there is no place for it. */
static bool find_file(char path[4096])
{
    const char *named = getenv("SO_CPU_CACHE"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int n = -1;
    if (named && *named)
        n = snprintf(path, 4096, "%s", named);
    else if (xdg && *xdg == '/')
        n = snprintf(path, 4096, "%s/stream-omni/cpu", xdg);
    else if (home && *home == '/')
        n = snprintf(path, 4096, "%s/.cache/stream-omni/cpu", home);
    return n > 0 && n < 4096;
}

static bool read_file(const char *path, const char *key, so_cpu_ratios *out)
{
    char *text = NULL;
    size_t size;
    so_error error;
    if (so_file_read(path, SO_CPU_TEXT, &text, &size, &error) != SO_OK) return false;
    bool good = so_cpu_read(text, key, out);
    free(text);
    return good;
}

static bool write_file(char *path, const so_cpu_ratios *r, const char *key)
{
    char text[SO_CPU_TEXT], *slash = strrchr(path, '/');
    so_writer writer = {0};
    so_error error;
    size_t n = so_cpu_write(r, key, text);
    if (slash && slash != path) {
        *slash = 0;
        so_status made = so_make_folder(path, &error);
        *slash = '/';
        if (made != SO_OK) return false;
    }
    bool good = n > 0 && so_writer_open(&writer, path, &error) == SO_OK;
    writer.quick = true; /* what is lost is measured again */
    good = good && so_writer_put(&writer, text, n, &error) == SO_OK && so_writer_commit(&writer, &error) == SO_OK;
    so_writer_drop(&writer);
    return good;
}

void so_cpu_ratios_here(const so_cpu_tables *tables, so_cpu_ratios *out, char how[256])
{
    char key[256], path[4096];
    const char *named = getenv("SO_CPU_CACHE");
    *out = (so_cpu_ratios){0};
    if (named && strcmp(named, "off") == 0) {
        snprintf(how, 256, "not measured (SO_CPU_CACHE=off): all that is there is taken");
        return;
    }
    key_of_machine(tables, key);
    bool place = find_file(path);
    if (place && read_file(path, key, out)) {
        snprintf(how, 256, "measured before, kept in %.200s", path);
        return;
    }
    so_cpu_measure(tables, out);
    if (!place)
        snprintf(how, 256, "measured now; there is no folder to keep it in");
    else
        snprintf(how, 256, "measured now, %s %.200s", write_file(path, out, key) ? "kept in" : "cannot be kept in",
                 path);
}
