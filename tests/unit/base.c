/* base: arena, pool, files, half floats, random numbers.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "base/arena.h"
#include "base/error.h"
#include "base/file.h"
#include "base/grow.h"
#include "base/guess.h"
#include "base/plain.h"
#include "base/pool.h"
#include "base/rng.h"
#include "base/shelf.h"
#include "base/type.h"

static void arena_gives_aligned_blocks_and_counts_the_peak(void **state)
{
    (void)state;
    so_error error;
    so_arena arena;
    CHECK_OK(so_arena_init(&arena, 1 << 20, &error), error);
    size_t mark = so_arena_mark(&arena);
    char *a = so_arena_alloc(&arena, 100), *b = so_arena_zalloc(&arena, 100);
    assert_int_equal((uintptr_t)a % 64, 0);
    assert_int_equal(b - a, 128);
    assert_int_equal(b[99], 0);
    so_arena_release(&arena, mark);
    assert_int_equal(arena.peak, 228);
    assert_null(so_arena_alloc(&arena, 2 << 20));
    so_arena_clear(&arena);
}

/* What lies behind the part in use goes back to the system, which gives zeros for it later; little stays. */
static void a_trimmed_arena_gives_memory_back(void **state)
{
    (void)state;
    so_error error;
    so_arena arena;
    const size_t much = (size_t)48 << 20;
    CHECK_OK(so_arena_init(&arena, (size_t)64 << 20, &error), error);
    char *kept = so_arena_alloc(&arena, 4096);
    memset(kept, 1, 4096);
    size_t mark = so_arena_mark(&arena);
    for (int way = 0; way < 2; way++) {
        size_t bytes = way ? much : 4096; /* little is not worth it */
        memset(so_arena_alloc(&arena, bytes), 2, bytes);
        so_arena_release(&arena, mark);
        so_arena_trim(&arena);
        char *again = so_arena_alloc(&arena, bytes);
        assert_int_equal(again[0], way ? 0 : 2);
        assert_int_equal(again[bytes - 1], way ? 0 : 2);
        so_arena_release(&arena, mark);
    }
    assert_int_equal(kept[4095], 1);
    assert_true(arena.peak >= much);
    so_arena_clear(&arena);
}

/* Kilobytes of private memory that may be written to: what strict overcommit and RLIMIT_DATA count. */
static long data_kb(void)
{
    char line[256];
    long kb = -1;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmData: %ld", &kb) == 1) break;
    if (f) fclose(f);
    return kb;
}

/* Addresses that are reserved for work of unknown size are no memory before they are used, wherever it is counted. */
static void reserved_addresses_take_memory_as_it_is_used(void **state)
{
    (void)state;
    so_error error;
    so_arena arena;
    const size_t used = (size_t)100 << 20;
    long before = data_kb();
    CHECK_OK(so_arena_reserve(&arena, (size_t)64 << 30, &error), error);
    if (before >= 0) assert_in_range(data_kb() - before, 0, 1024);
    size_t mark = so_arena_mark(&arena);
    for (int round = 0; round < 2; round++) {
        for (size_t at = 0; at < used; at += used / 50) {
            char *p = so_arena_alloc(&arena, used / 50);
            assert_non_null(p);
            p[0] = p[used / 50 - 1] = 1;
        }
        if (before >= 0) assert_in_range(data_kb() - before, 100 << 10, 140 << 10);
        so_arena_release(&arena, mark);
    }
    assert_int_equal(arena.peak, used);
    assert_null(so_arena_alloc(&arena, arena.capacity + 1));
    so_arena_clear(&arena);
}

/* Pages in the middle of what an arena gave go back; what is around them, and memory of others, stays. */
static void an_arena_drops_pages(void **state)
{
    (void)state;
    so_error error;
    so_arena arena[2];
    char *other = malloc(16384);
    CHECK_OK(so_arena_init(&arena[0], (size_t)1 << 20, &error), error);
    so_arena_grow(&arena[1]);
    for (int i = 0; i < 2; i++) {
        char *p = so_arena_alloc(&arena[i], 20000);
        memset(p, 5, 20000);
        size_t gone = so_arena_drop(&arena[i], p + 1, 19998), zeros = 0;
        assert_true(gone >= 12288 && gone % 4096 == 0);
        for (int k = 0; k < 20000; k++) zeros += p[k] == 0;
        assert_int_equal(zeros, gone);
        assert_int_equal(p[0] + p[19999], 10);
        assert_int_equal(so_arena_drop(&arena[i], other, 16384), 0);
        assert_int_equal(so_arena_drop(&arena[i], p, 100), 0);
    }
    free(other);
    for (int i = 0; i < 2; i++) so_arena_clear(&arena[i]);
}

/* The same sequence in each kind of arena: sizes and peaks agree, and what is given stays whole until it is released.
 */
static void arenas_count_alike(void **state)
{
    (void)state;
    so_error error;
    so_arena arena[3];
    so_rng rng;
    struct {
        unsigned char *p[3];
        size_t size, mark;
        unsigned char fill;
    } held[64];
    int n = 0;
    CHECK_OK(so_arena_init(&arena[0], (size_t)256 << 20, &error), error);
    so_arena_grow(&arena[1]);
    CHECK_OK(so_arena_dry(&arena[2], &error), error);
    so_rng_init(&rng, 1, 1);
    for (int step = 0; step < 4000; step++) {
        if (n == 64 || (n && so_rng_below(&rng, 3) == 0)) { /* back to somewhere */
            n = (int)so_rng_below(&rng, n);
            for (int a = 0; a < 3; a++) so_arena_release(&arena[a], held[n].mark);
        } else {
            size_t size = (size_t)so_rng_below(&rng, so_rng_below(&rng, 20) ? 3000 : 3 << 20);
            held[n].mark = so_arena_mark(&arena[0]);
            held[n].size = size;
            held[n].fill = (unsigned char)step;
            for (int a = 0; a < 3; a++) {
                held[n].p[a] = so_arena_alloc(&arena[a], size);
                assert_non_null(held[n].p[a]);
                assert_int_equal((uintptr_t)held[n].p[a] % 64, 0);
                memset(held[n].p[a], step & 255, size);
            }
            n++;
        }
        for (int a = 1; a < 3; a++) {
            assert_int_equal(arena[a].used, arena[0].used);
            assert_int_equal(arena[a].peak, arena[0].peak);
        }
        for (int i = step % 16; i < n; i += 16)
            for (int a = 0; a < 3; a++)
                for (size_t k = 0; k < held[i].size; k += held[i].size / 7 + 1)
                    assert_int_equal(held[i].p[a][k], held[i].fill);
        if (n > 1 && step % 100 == 0)
            for (int a = 0; a < 3; a++) {
                int cut = n / 2;
                assert_true(so_arena_before(&arena[a], held[cut - 1].p[a], held[cut].mark));
                assert_true(!held[cut].size || !so_arena_before(&arena[a], held[cut].p[a], held[cut].mark));
                assert_true(so_arena_before(&arena[a], &rng, held[cut].mark) || a == 0);
            }
    }
    for (int a = 0; a < 3; a++) so_arena_clear(&arena[a]);
}

/* Kilobytes of address space that this process has. */
static long address_space(void)
{
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%ld", &pages) != 1) pages = -1;
    if (f) fclose(f);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void a_dry_arena_takes_no_addresses(void **state)
{
    (void)state;
    so_error error;
    so_arena arena;
    long before = address_space();
    CHECK_OK(so_arena_dry(&arena, &error), error);
    for (int i = 0; i < 4000; i++) {
        assert_non_null(so_arena_numbers(&arena, (size_t)1 << 30));
        memset(so_arena_alloc(&arena, 100), 1, 100);
    }
    assert_true(arena.peak >= (size_t)4000 << 30);
    assert_true(address_space() - before < 16 << 10);
    assert_null(so_arena_numbers(&arena, SIZE_MAX));
    assert_null(so_arena_alloc(&arena, SIZE_MAX / 2));
    so_arena_clear(&arena);
    assert_int_equal(so_arena_init(&arena, SIZE_MAX, &error), SO_ERR_NOMEM);
    so_arena_clear(&arena);
}

static void add_task(void *context, int64_t task, int thread)
{
    (void)thread;
    ((int64_t *)context)[task] += task;
}

static void pool_runs_every_task_once(void **state)
{
    (void)state;
    so_error error;
    for (int threads = 1; threads <= 4; threads++) {
        so_pool *pool;
        CHECK_OK(so_pool_open(&pool, threads, &error), error);
        int64_t sums[1000] = {0};
        for (int round = 0; round < 200; round++) so_pool_for(pool, 1 + round * 5 % 1000, add_task, sums);
        for (int64_t i = 0; i < 1000; i++) {
            int64_t times = 0;
            for (int round = 0; round < 200; round++) times += 1 + round * 5 % 1000 > i;
            assert_int_equal(sums[i], times * i);
        }
        so_pool_close(&pool);
        assert_null(pool);
    }
}

static void writer_is_whole_or_absent(void **state)
{
    (void)state;
    so_error error;
    char path[] = "/tmp/so_unit_XXXXXX";
    assert_non_null(mkdtemp(path));
    char file[64];
    snprintf(file, sizeof file, "%s/f", path);
    CHECK_OK(so_file_write(file, "old", 3, &error), error);
    so_writer writer;
    CHECK_OK(so_writer_open(&writer, file, &error), error);
    CHECK_OK(so_writer_put(&writer, "new!", 4, &error), error);
    so_writer_drop(&writer);
    char *data;
    size_t size;
    CHECK_OK(so_file_read(file, 10, &data, &size, &error), error);
    assert_string_equal(data, "old");
    free(data);
    assert_int_equal(so_file_read(file, 2, &data, &size, &error), SO_ERR_LIMIT);
    assert_int_equal(so_file_read("/nonexistent", 2, &data, &size, &error), SO_ERR_IO);
    unlink(file);
    assert_int_equal(rmdir(path), 0); /* no temporary was left */
}

static void f16_and_bf16_round_trip(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        float f = so_from_f16((uint16_t)h);
        if (f == f) assert_int_equal(so_to_f16(f), h);
        float b = so_from_bf16((uint16_t)h);
        if (b == b) assert_int_equal(so_to_bf16(b), h);
    }
    assert_int_equal(so_to_f16(65520.0f), 0x7c00);
    assert_int_equal(so_to_f16(1.0f + 0x1p-11f), 0x3c00);
    assert_int_equal(so_to_f16(1.0f + 0x1.8p-10f), 0x3c02);
}

static void random_streams_are_fixed_and_sane(void **state)
{
    (void)state;
    so_rng a, b;
    so_rng_init(&a, 1, 0);
    so_rng_init(&b, 1, 1);
    assert_true(so_rng_u64(&a) != so_rng_u64(&b));
    double sum = 0, square = 0;
    for (int i = 0; i < 100000; i++) {
        double x = so_rng_normal(&a);
        sum += x;
        square += x * x;
    }
    assert_true(fabs(sum / 1e5) < 0.02 && fabs(square / 1e5 - 1) < 0.02);
}

static void foreign_text_becomes_plain(void **state)
{
    (void)state;
    static const struct {
        const char *text, *plain, *with_lines;
    } cases[] = {
        {"plain \303\274 \346\227\245 \360\237\231\202", "plain \303\274 \346\227\245 \360\237\231\202", NULL},
        {"a\nb\tc\rd", "a\\nb\\tc\\rd", "a\nb\tc\\rd"},
        {"\033[31mred\007", "\\x1b[31mred\\x07", NULL},
        {"\302\2331m\302\240", "\\u009b1m\302\240", NULL}, /* C1 is a command, a hard space is not */
        {"\177\377\300\200\355\240\200", "\\x7f\\xff\\xc0\\x80\\xed\\xa0\\x80", NULL},
        {"\342\200\256gpj.exe\342\201\246", "\\u202egpj.exe\\u2066", NULL},
        {"cut \346\227", "cut \\xe6\\x97", NULL},
    };
    char out[200];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *text = cases[i].text, *lines = cases[i].with_lines ? cases[i].with_lines : cases[i].plain;
        assert_string_equal(so_plain(out, sizeof out, text, strlen(text), false), cases[i].plain);
        assert_string_equal(so_plain(out, sizeof out, text, strlen(text), true), lines);
        char again[200];
        assert_string_equal(so_plain(again, sizeof again, out, strlen(out), true), out);
    }
    assert_string_equal(so_plain(out, 6, "abc\033d", 5, false), "abc"); /* never half an escape */
    so_error error;
    so_fail(&error, SO_ERR_FORMAT, "tensor '%s'", "x\033]0;title\007");
    assert_string_equal(error.text, "tensor 'x\\x1b]0;title\\x07'");
    so_fail_in(&error, "%s", "a\033b");
    assert_string_equal(error.text, "a\\x1bb: tensor 'x\\x1b]0;title\\x07'");
}

static void strangers_are_named(void **state)
{
    (void)state;
    char nothing[100] = "";
    so_error error;
    static const char *const refused[] = {
        "<!DOCTYPE html><html><body>Sign in</body></html>",
        "\n <HTML><head><title>404</title>",
        "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>",
        "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n",
        "{\"error\":\"Repository not found\"}",
        "Entry not found",
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        assert_int_equal(so_refuse_stranger(refused[i], strlen(refused[i]), "a model", &error), SO_ERR_FORMAT);
    assert_int_equal(so_refuse_stranger(nothing, sizeof nothing, "a model", &error), SO_ERR_FORMAT);
    assert_int_equal(so_refuse_stranger("", 0, "a model", &error), SO_ERR_FORMAT);
    assert_string_equal(error.text, "an empty file, expected a model");
    CHECK_OK(so_refuse_stranger("{\"a\": 1}", 8, "a model", &error), error);
    CHECK_OK(so_refuse_stranger("GGUF", 4, "a model", &error), error);
    assert_string_equal(so_guess("\x89PNG\r\n\x1a\n", 8), "a PNG picture");
    assert_null(so_guess("\1\2\3\0\5\6\7\10", 8));
}

static void arrays_grow_and_keep(void **state)
{
    (void)state;
    so_error error;
    int32_t *a = NULL, *b = NULL;
    int64_t capacity = 0;
    size_t n = 0;
    for (int32_t i = 0; i < 1000; i++) {
        CHECK_OK(so_grow(&a, i, &capacity, sizeof *a, &error), error);
        a[i] = i;
    }
    CHECK_OK(so_grow_by(&a, 1000, 5000, &capacity, sizeof *a, &error), error);
    assert_true(capacity >= 6000);
    for (int32_t i = 0; i < 1000; i++) assert_int_equal(a[i], i);
    assert_int_equal(so_grow_by(&a, 1000, INT64_MAX / 8, &capacity, 1 << 10, &error), SO_ERR_NOMEM);
    assert_true(capacity < INT64_MAX / 16);
    for (size_t step = 0; step < 40; step++) CHECK_OK(so_append(&b, &n, sizeof *b, a, step, &error), error);
    assert_int_equal(n, 39 * 40 / 2);
    for (size_t at = 0, step = 0; step < 40; at += step++) assert_memory_equal(b + at, a, step * sizeof *a);
    assert_int_equal(so_append(&b, &n, sizeof *b, a, SIZE_MAX / 2, &error), SO_ERR_NOMEM);
    assert_int_equal(n, 39 * 40 / 2);
    free(a);
    free(b);
}

static void a_place_is_filled_once(void **state)
{
    (void)state;
    so_shelf shelf = {.n = 0};
    so_shelf_init(&shelf);
    so_shelf_place *a = so_shelf_find(&shelf, "a", 1, 10), *b = so_shelf_find(&shelf, "a", 1, 11);
    assert_non_null(a);
    assert_true(b && b != a); /* of another size */
    assert_ptr_equal(so_shelf_find(&shelf, "a", 1, 10), a);
    assert_false(so_shelf_full(a));
    assert_true(so_shelf_claim(a));
    assert_false(so_shelf_claim(a));
    assert_false(so_shelf_full(a));
    memcpy(a->data, "ten bytes", 10);
    so_shelf_filled(a);
    assert_true(so_shelf_full(a) && !so_shelf_full(b));
    assert_false(so_shelf_claim(a));
    for (int i = 2; i < SO_SHELF_PLACES; i++) assert_non_null(so_shelf_find(&shelf, &i, sizeof i, 1));
    assert_null(so_shelf_find(&shelf, "more", 4, 1));
    assert_ptr_equal(so_shelf_find(&shelf, "a", 1, 10), a);
    assert_memory_equal(a->data, "ten bytes", 10);
    so_shelf_clear(&shelf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_gives_aligned_blocks_and_counts_the_peak),
        cmocka_unit_test(a_trimmed_arena_gives_memory_back),
        cmocka_unit_test(reserved_addresses_take_memory_as_it_is_used),
        cmocka_unit_test(an_arena_drops_pages),
        cmocka_unit_test(arenas_count_alike),
        cmocka_unit_test(a_dry_arena_takes_no_addresses),
        cmocka_unit_test(pool_runs_every_task_once),
        cmocka_unit_test(a_place_is_filled_once),
        cmocka_unit_test(writer_is_whole_or_absent),
        cmocka_unit_test(arrays_grow_and_keep),
        cmocka_unit_test(f16_and_bf16_round_trip),
        cmocka_unit_test(random_streams_are_fixed_and_sane),
        cmocka_unit_test(foreign_text_becomes_plain),
        cmocka_unit_test(strangers_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
