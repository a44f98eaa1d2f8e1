/* The choice of kernels: what follows from which ratios, what is kept in a file and believed, and what a measurement
 * leaves behind. No ratio is expected to be anything but a number.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <unistd.h>

#include "backend/cpu/ref/portable.h"
#include "backend/cpu/tables.h"
#include "base/file.h"

static void what_follows_from_ratios(void **state)
{
    (void)state;
    so_cpu_ratios r = {0}; /* nothing measured: all is taken */
    for (int g = 0; g < SO_CPU_GROUPS; g++) assert_true(so_cpu_takes_wide(&r, (so_cpu_group)g));
    assert_true(so_cpu_takes_bf16(&r) && so_cpu_takes_bf16_attention(&r));
    assert_int_equal(so_cpu_takes_tiles(&r).few, SO_FEW_ROWS);
    r.wide[SO_CPU_CODEC] = 0.9; /* near ties stay with the wide table */
    assert_true(so_cpu_takes_wide(&r, SO_CPU_CODEC));
    r.wide[SO_CPU_CODEC] = 0.8;
    assert_false(so_cpu_takes_wide(&r, SO_CPU_CODEC));
    assert_true(so_cpu_takes_wide(&r, SO_CPU_PRODUCTS));
    r.bf16 = 1.1; /* rounding has to pay */
    r.bf16_attention = 1.3;
    assert_false(so_cpu_takes_bf16(&r));
    assert_true(so_cpu_takes_bf16_attention(&r));
    /* Few rows: up to the last of a run in which the table below is faster. */
    r.tiles[0] = 0.7, r.tiles[1] = 0.9, r.tiles[2] = 2;
    assert_int_equal(so_cpu_takes_tiles(&r).few, 32);
    r.tiles[0] = 1.2, r.tiles[1] = 0.9;
    assert_int_equal(so_cpu_takes_tiles(&r).few, SO_FEW_ROWS);
    r.tiles[0] = r.tiles[1] = r.tiles[2] = 0.5;
    assert_int_equal(so_cpu_takes_tiles(&r).few, 64);
    /* Bytes where they are clearly faster; relatives of a type go with it. */
    r.bytes[0] = 1.5, r.bytes[2] = 1.1;
    so_tile_plan plan = so_cpu_takes_tiles(&r);
    assert_true(plan.bytes[SO_Q4_0] && plan.bytes[SO_Q5_0]);
    assert_false(plan.bytes[SO_Q4_K] || plan.bytes[SO_Q5_K] || plan.bytes[SO_Q8_0] || plan.bytes[SO_Q6_K]);
}

static so_cpu_ratios some_ratios(void)
{
    return (so_cpu_ratios){{1.25, 2.5, 0.5, 1}, 3, 0.125, {1, 2, 3, 4}, {5, 6, 7}};
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    const so_cpu_ratios r = some_ratios();
    so_cpu_ratios got;
    char text[SO_CPU_TEXT + 64];
    size_t n = so_cpu_write(&r, "a processor", text);
    assert_true(n > 0 && n == strlen(text));
    assert_true(so_cpu_read(text, "a processor", &got));
    assert_memory_equal(&got, &r, sizeof r);
    assert_false(so_cpu_read(text, "another processor", &got));
    assert_false(so_cpu_read(text, "a process", &got));
    for (size_t cut = 0; cut < n; cut++) { /* any piece of it is none */
        char kept = text[cut];
        text[cut] = 0;
        assert_false(so_cpu_read(text, "a processor", &got));
        text[cut] = kept;
    }
    strcat(text, "x");
    assert_false(so_cpu_read(text, "a processor", &got));
    so_cpu_ratios bad = r;
    bad.bf16 = -1;
    so_cpu_write(&bad, "a processor", text);
    assert_false(so_cpu_read(text, "a processor", &got));
    bad.bf16 = NAN;
    so_cpu_write(&bad, "a processor", text);
    assert_false(so_cpu_read(text, "a processor", &got));
}

static const so_kernels *table_named(const char *name)
{
    for (int i = 0; so_kernels_at(i); i++)
        if (strcmp(so_kernels_at(i)->name, name) == 0) return so_kernels_at(i);
    return NULL;
}

/* This machine's tables; a double plays the one on tiles. */
static so_cpu_tables tables_here(void)
{
    const so_kernels *avx2 = table_named("avx2"), *avx512 = table_named("avx512"), *c = so_kernels_c();
    return (so_cpu_tables){avx512 ? avx2
                           : avx2 ? c
                                  : NULL,
                           avx512 ? avx512
                           : avx2 ? avx2
                                  : c,
                           avx512 ? table_named("amx-double") : NULL};
}

static void a_measurement_gives_numbers(void **state)
{
    (void)state;
    const so_cpu_tables t = tables_here();
    const so_tile_plan before = so_tiles;
    so_cpu_ratios r;
    so_cpu_measure(&t, &r);
    for (int g = 0; g < SO_CPU_GROUPS; g++)
        assert_true(t.below ? r.wide[g] > 0 && isfinite(r.wide[g]) : r.wide[g] == 0);
    for (int i = 0; i < SO_CPU_FEW; i++)
        assert_true(t.tiles ? r.tiles[i] > 0 && isfinite(r.tiles[i]) : r.tiles[i] == 0);
    for (int i = 0; i < SO_CPU_FORMS; i++) assert_true(t.tiles ? r.bytes[i] > 0 : r.bytes[i] == 0);
    assert_memory_equal(&so_tiles, &before, sizeof before);
}

static void expect(const char *says, so_cpu_ratios *out)
{
    const so_cpu_tables t = {NULL, so_kernels_c(), NULL};
    char how[256];
    so_cpu_ratios_here(&t, out, how);
    if (!strstr(how, says)) fail_msg("'%s' does not say '%s'", how, says);
}

static void the_file_is_believed_only_when_whole(void **state)
{
    (void)state;
    char folder[] = "/tmp/so-choice-XXXXXX", path[64], below[96];
    so_cpu_ratios r;
    so_error error;
    char *was = getenv("SO_CPU_CACHE") ? strdup(getenv("SO_CPU_CACHE")) : NULL, *text;
    size_t size;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/deep/cpu", folder);
    setenv("SO_CPU_CACHE", path, 1);
    expect("measured now, kept in", &r);
    expect("measured before", &r);
    CHECK_OK(so_file_read(path, 4096, &text, &size, &error), error);
    CHECK_OK(so_file_write(path, text, size / 2, &error), error);
    expect("measured now, kept in", &r);
    expect("measured before", &r);
    CHECK_OK(so_file_write(path, "\0\0\0", 3, &error), error);
    expect("measured now, kept in", &r);
    snprintf(below, sizeof below, "%s/cpu", path); /* below a file */
    setenv("SO_CPU_CACHE", below, 1);
    expect("cannot be kept", &r);
    setenv("SO_CPU_CACHE", "off", 1);
    expect("not measured", &r);
    assert_true(r.bf16 == 0 && r.wide[0] == 0);
    free(text);
    unlink(path);
    *strrchr(path, '/') = 0;
    rmdir(path);
    assert_int_equal(rmdir(folder), 0); /* nothing else was left */
    if (was)
        setenv("SO_CPU_CACHE", was, 1);
    else
        unsetenv("SO_CPU_CACHE");
    free(was);
}

/* Every entry belongs to one group or is chosen with bf16: a table taken group by group is the whole table. */
static void groups_are_the_whole_table(void **state)
{
    (void)state;
    const so_kernels *c = so_kernels_c(), *best = table_named("avx2");
    if (!best) best = c;
    so_kernels t = *c;
    for (int g = 0; g < SO_CPU_GROUPS; g++) so_cpu_take(&t, best, (so_cpu_group)g);
    t.name = best->name;
    t.gemm_bf16 = best->gemm_bf16;
    assert_memory_equal(&t, best, offsetof(so_kernels, train_bf16));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_follows_from_ratios),    cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(a_measurement_gives_numbers), cmocka_unit_test(the_file_is_believed_only_when_whole),
        cmocka_unit_test(groups_are_the_whole_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
