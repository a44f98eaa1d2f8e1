/* Fuzzes what conversion reads beside a model: tables of types, importance, and the journal of a run that was cut off.
 * The first byte chooses which.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/part.h"
#include "checkpoint/quant_rules.h"
#include "touch.h"

static so_error error;

static const char *path_of(const char *ending)
{
    static char path[96];
    snprintf(path, sizeof path, "%s/so-fuzz-%d%s", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", (int)getpid(),
             ending);
    return path;
}

static void keep(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(data, 1, size, file) != size || fclose(file) != 0) abort();
}

static void ask(const so_save_options *options)
{
    static const char *const names[] = {"model.layers.0.self_attn.v_proj.weight",
                                        "model.layers.31.mlp.down_proj.weight",
                                        "lm_head.weight",
                                        "codec.flow.decoder.weight",
                                        "model.layers.99999999999999.x",
                                        ""};
    static const int64_t dims[4][4] = {{64}, {3, 256}, {2, 3, 7}, {1, 1, 1, 33}}, widths[] = {4, 64, 256};
    so_quant_rules *m;
    if (so_quant_rules_open(&m, options, &error) != SO_OK) {
        if (m || !error.text[0]) abort();
        return;
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) so_quant_rules_learn(m, names[i], &error);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        for (int n = 1; n <= 4; n++) {
            so_type type = so_quant_rules_type(m, names[i], SO_BF16, n, dims[n - 1]);
            if (type >= SO_TYPE_COUNT || (n > 1 && dims[n - 1][n - 1] % so_type_about(type)->block)) abort();
            const float *x = n < 4 ? so_quant_rules_importance(m, names[i], widths[n - 1]) : NULL;
            if (x) touch(x, (size_t)widths[n - 1] * sizeof *x);
        }
    so_quant_rules_close(&m);
}

/* The first byte says how long the part is; the rest is its journal. What a run goes on from lies in the part. */
static void journal(const uint8_t *data, size_t size)
{
    static const char zeros[256];
    so_part part;
    struct stat st;
    char target[96];
    uint64_t there = size ? data[0] : 0;
    snprintf(target, sizeof target, "%s", path_of(".out"));
    keep(path_of(".out.part"), zeros, there);
    keep(path_of(".out.part.log"), data + (size > 0), size ? size - 1 : 0);
    if (so_part_open(&part, target, "what it is", &error) != SO_OK) abort();
    if (part.size > there || part.synced != part.size) abort();
    uint64_t from = part.size;
    if (so_part_put(&part, "0123456789", 10, &error) != SO_OK || part.size != from + 10) abort();
    if (from % 2 ? so_part_cut(&part, from, &error) != SO_OK : so_part_commit(&part, &error) != SO_OK) abort();
    if (from % 2) so_part_drop(&part);
    if (from % 2 == 0 && (stat(target, &st) != 0 || (uint64_t)st.st_size != from + 10)) abort();
    remove(target);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    const char *path = path_of(".in");
    if (data[0] % 3 == 2) {
        journal(data + 1, size - 1);
        return 0;
    }
    keep(path, data + 1, size - 1);
    if (data[0] % 3 == 0) ask(&(so_save_options){.type = "q4_k_m", .types = path});
    if (data[0] % 3 == 1) ask(&(so_save_options){.type = "q4_k_m", .importance = path});
    remove(path);
    return 0;
}
