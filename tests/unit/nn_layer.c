/* A layer run for its output only: the same numbers, no memory kept.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "check.h"
#include "nn/ops.h"

static so_tensor *square(so_pass *pass, void *context, so_tensor *x)
{
    ++*(int *)context;
    return so_residual(pass, x, so_mul(pass, x, x));
}

static so_tensor *narrower(so_pass *pass, void *context, so_tensor *x)
{
    (void)context;
    return so_take_rows(pass, x, 1, (int32_t[]){0});
}

static void only_the_output_is_kept(void **state)
{
    (void)state;
    so_error error;
    so_arena arena;
    so_pass pass;
    int ran = 0;
    CHECK_OK(so_arena_init(&arena, 1 << 20, &error), error);
    so_pass_init(&pass, &arena, NULL, so_kernels_c());
    so_tensor *x = so_new2(&pass, 2, 3), *kept = so_new_like(&pass, x);
    for (int i = 0; i < 6; i++) so_data(x)[i] = (so_real)i / 4;
    size_t used = so_arena_mark(&arena);
    assert_ptr_equal(so_run_layer(&pass, square, &ran, x, kept), kept);
    assert_ptr_equal(so_run_layer(&pass, square, &ran, kept, kept), kept);
    assert_int_equal(so_arena_mark(&arena), used);
    assert_int_equal(ran, 2);
    for (int i = 0; i < 6; i++) {
        so_real a = (so_real)i / 4, b = a + a * a;
        assert_true(so_data(x)[i] == a);
        assert_true(so_data(kept)[i] == b + b * b);
    }
    assert_null(so_run_layer(&pass, narrower, NULL, x, kept));
    assert_int_equal(pass.error.status, SO_ERR_SHAPE);
    assert_null(so_run_layer(&pass, square, &ran, x, kept)); /* errors stay */
    assert_int_equal(ran, 2);
    pass.error = (so_error){0};
    pass.recording = true;
    assert_null(so_run_layer(&pass, square, &ran, x, kept));
    assert_int_equal(pass.error.status, SO_ERR_STATE);
    so_arena_clear(&arena);
}

typedef struct seen {
    char names[64];
    int products;
    so_real last;
} seen;

static void see_tensor(void *context, const char *name, const so_tensor *t)
{
    seen *s = context;
    snprintf(s->names + strlen(s->names), sizeof s->names - strlen(s->names), "%s ", name);
    s->last = so_data(t)[0];
}

static void see_product(void *context, const so_tensor *w, const so_tensor *x)
{
    (void)w;
    (void)x;
    ((seen *)context)->products++;
}

static void label_some(so_pass *pass)
{
    so_tensor *x = so_constant(pass, 2, (int64_t[]){1, 2}, (so_real[]){3, 4});
    so_label(pass, x, "in.%d", 7);
    so_tensor *y = so_linear(pass, x, x, NULL);
    so_label(pass, y, "out");
    so_label(pass, NULL, "nothing");
}

static void a_watcher_sees_names_and_products(void **state)
{
    (void)state;
    so_error error;
    so_arena arena;
    so_pass pass;
    seen s = {0};
    const so_watch all = {see_tensor, see_product, &s}, products = {.product = see_product, .context = &s};
    CHECK_OK(so_arena_init(&arena, 1 << 16, &error), error);
    so_pass_init(&pass, &arena, NULL, so_kernels_c());
    label_some(&pass);
    pass.watch = &products;
    label_some(&pass);
    assert_string_equal(s.names, "");
    assert_int_equal(s.products, 1);
    pass.watch = &all;
    label_some(&pass);
    assert_string_equal(s.names, "in.7 out ");
    assert_true(s.last == 25);
    assert_int_equal(s.products, 2);
    pass.dry = true;
    label_some(&pass);
    pass.dry = false;
    so_pass_fail(&pass, SO_ERR_ARG, "an error");
    label_some(&pass);
    assert_string_equal(s.names, "in.7 out ");
    assert_int_equal(s.products, 2);
    so_arena_clear(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(only_the_output_is_kept),
                                       cmocka_unit_test(a_watcher_sees_names_and_products)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
