/* Views: names at scale, name checks, sizes, alignment.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "formats/view.h"

static void many_names_are_found(void **state)
{
    (void)state;
    enum { N = 20000 };
    static char text[N][16];
    so_error error;
    so_names names = {0};
    assert_int_equal(so_names_find(&names, so_span_of("0")), -1);
    for (int i = 0; i < N; i++) {
        snprintf(text[i], sizeof text[i], "%d", i);
        CHECK_OK(so_names_add(&names, so_span_of(text[i]), &error), error);
    }
    for (int i = 0; i < N; i++) assert_int_equal(so_names_find(&names, so_span_of(text[i])), i);
    assert_int_equal(so_names_find(&names, so_span_of("20000")), -1);
    assert_int_equal(so_names_find(&names, so_span_of("")), -1);
    assert_int_equal(so_names_find(&names, (so_span){text[100], 2}), 10);
    so_names_clear(&names);
    assert_int_equal(names.count, 0);
}

static void names_must_be_printable_utf8(void **state)
{
    (void)state;
    static const char *const good[] = {"a", "a.b/c d", "中文女", "\xf0\x9f\x98\x80", "\xed\x9f\xbf", "\xee\x80\x80"};
    static const char *const bad[] = {"",
                                      "\n",
                                      "a\x7f",
                                      "\x80",
                                      "\xc1\xbf",
                                      "\xc3",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xff"};
    so_error error;
    char longest[SO_VIEW_NAME_MAX + 2];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) CHECK_OK(so_name_check(so_span_of(good[i]), &error), error);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (so_name_check(so_span_of(bad[i]), &error) != SO_ERR_FORMAT) fail_msg("name %zu passed", i);
    memset(longest, 'x', sizeof longest);
    CHECK_OK(so_name_check((so_span){longest, SO_VIEW_NAME_MAX}, &error), error);
    assert_int_equal(so_name_check((so_span){longest, SO_VIEW_NAME_MAX + 1}, &error), SO_ERR_FORMAT);
}

static void sizes_are_measured(void **state)
{
    (void)state;
    static const struct {
        so_type type;
        int n_dims;
        int64_t dim[3];
        so_status status;
        size_t bytes;
    } cases[] = {
        {SO_F32, 0, {0}, SO_OK, 4},
        {SO_BF16, 3, {2, 3, 5}, SO_OK, 60},
        {SO_F32, 2, {0, 7}, SO_OK, 0},
        {SO_Q8_0, 2, {3, 64}, SO_OK, 204},
        {SO_Q4_K, 2, {2, 256}, SO_OK, 288},
        {SO_Q8_0, 2, {32, 3}, SO_ERR_FORMAT, 0},
        {SO_Q8_0, 0, {0}, SO_ERR_FORMAT, 0},
        {SO_F32, 1, {-1}, SO_ERR_FORMAT, 0},
        {SO_F32, 1, {INT64_MAX / 4 + 1}, SO_ERR_FORMAT, 0},
        {SO_F32, 3, {1ll << 40, 0, 1ll << 40}, SO_ERR_FORMAT, 0},
    };
    so_error error;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        so_view view = {.type = cases[i].type, .n_dims = cases[i].n_dims};
        memcpy(view.dim, cases[i].dim, sizeof cases[i].dim);
        so_status status = so_view_measure(&view, so_span_of("t"), &error);
        if (status != cases[i].status || (status == SO_OK && view.bytes != cases[i].bytes))
            fail_msg("case %zu: status %d, %zu bytes", i, status, view.bytes);
    }
    so_view nine = {.n_dims = 9};
    assert_int_equal(so_view_measure(&nine, so_span_of("t"), &error), SO_ERR_FORMAT);
}

static void misaligned_views_get_copies(void **state)
{
    (void)state;
    _Alignas(8) static const unsigned char data[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8};
    so_error error;
    so_views views = {0};
    so_view view = {.type = SO_F32, .n_dims = 1, .dim = {1}, .data = data + 1, .bytes = 4};
    CHECK_OK(so_views_add(&views, so_span_of("odd"), &view, &error), error);
    assert_int_equal(so_views_add(&views, so_span_of("odd"), &view, &error), SO_ERR_FORMAT);
    view.data = data + 4;
    CHECK_OK(so_views_add(&views, so_span_of("even"), &view, &error), error);
    CHECK_OK(so_views_align(&views, &error), error);
    assert_int_equal((uintptr_t)so_views_find(&views, "odd")->data % 4, 0);
    assert_memory_equal(so_views_find(&views, "odd")->data, data + 1, 4);
    assert_ptr_equal(so_views_find(&views, "even")->data, data + 4);
    so_views_clear(&views);
}

static void views_describe_themselves(void **state)
{
    (void)state;
    char text[64], small[6];
    so_view view = {.type = SO_BF16, .n_dims = 2, .dim = {128, 64}};
    assert_string_equal(so_view_describe(&view, text, sizeof text), "bf16 [128, 64]");
    assert_string_equal(so_view_describe(&view, small, sizeof small), "bf16 ");
    view.n_dims = 0;
    assert_string_equal(so_view_describe(&view, text, sizeof text), "bf16 []");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_names_are_found),      cmocka_unit_test(names_must_be_printable_utf8),
        cmocka_unit_test(sizes_are_measured),        cmocka_unit_test(misaligned_views_get_copies),
        cmocka_unit_test(views_describe_themselves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
