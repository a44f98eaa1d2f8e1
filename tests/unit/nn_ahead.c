/* Weights of a mapped file that a thread reads before they are used: whoever uses them then meets no page fault.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "check.h"

#include <stddef.h>
#include <sys/resource.h>

#include "formats/safetensors.h"
#include "nn/ahead.h"

enum { N = 512, K = 4096, PAGE = 4096 };

typedef struct net {
    so_tensor *w;
} net;

static const so_bind_row table[] = {{offsetof(net, w), "w", "N K", "all", SO_INIT_VALUE, 1, false}};

/* Faults of touching every page; those of a sanitizer's own books do not count. */
__attribute__((no_sanitize("address"), no_sanitize("thread"))) static long faults_of(const so_tensor *w)
{
    struct rusage before, after;
    unsigned sum = 0;
    getrusage(RUSAGE_THREAD, &before);
    for (size_t at = 0; at < N * K * sizeof(float); at += PAGE) sum += ((const volatile unsigned char *)w->data)[at];
    getrusage(RUSAGE_THREAD, &after);
    assert_int_equal(sum, 0);
    return after.ru_minflt + after.ru_majflt - before.ru_minflt - before.ru_majflt;
}

static void pages_are_there_before_their_use(void **state)
{
    (void)state;
    char path[] = "/tmp/so-ahead-XXXXXX";
    float *zeros = calloc(N * K, sizeof *zeros);
    so_error error;
    so_safetensors_writer *writer;
    long faults[2];
    int file = mkstemp(path);
    assert_true(file >= 0 && zeros);
    close(file);
    CHECK_OK(so_safetensors_create(&writer, path, &error), error);
    CHECK_OK(so_safetensors_declare(writer, "w", SO_F32, 2, (int64_t[]){N, K}, &error), error);
    CHECK_OK(so_safetensors_put(writer, "w", zeros, N * K * sizeof *zeros, &error), error);
    CHECK_OK(so_safetensors_commit(&writer, &error), error);
    for (int ahead = 0; ahead < 2; ahead++) {
        so_safetensors *source;
        so_store store;
        so_ahead *reader = NULL;
        net one;
        CHECK_OK(so_safetensors_open(&source, path, &error), error);
        CHECK_OK(so_store_open(&store, 0, &error), error);
        so_binder binder = {.store = &store, .source = so_safetensors_views(source)};
        binder.sizes.of['N'] = N;
        binder.sizes.of['K'] = K;
        CHECK_OK(SO_BIND(&binder, "", 0, table, &one, &error), error);
        if (ahead) {
            so_ahead_begin(&reader, &store, so_safetensors_views(source));
            assert_non_null(reader);
            so_ahead_wait(reader);
        }
        faults[ahead] = faults_of(one.w);
        so_ahead_end(&reader);
        assert_null(reader);
        so_ahead_begin(&reader, &store, so_safetensors_views(source)); /* ended on its way */
        so_ahead_end(&reader);
        so_store_close(&store);
        so_safetensors_close(&source);
    }
    print_message("page faults: %ld, read ahead: %ld\n", faults[0], faults[1]);
    assert_true(faults[1] < 8);
    unlink(path);
    free(zeros);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(pages_are_there_before_their_use)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
