/* What a load is measured by: shares, spans, scales, the player that runs dry, and where a voice begins and ends.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "client/load.h"

static void shares(void **state)
{
    (void)state;
    so_load_figures f = {0};
    so_error error;
    assert_true(isnan(so_load_share(&f, 0.5)));
    for (int i = 10; i >= 1; i--) CHECK_OK(so_load_add(&f, i, &error), error);
    so_load_sort(&f);
    assert_true(so_load_share(&f, 0) == 1 && so_load_share(&f, 0.05) == 1 && so_load_share(&f, 0.5) == 5);
    assert_true(so_load_share(&f, 0.51) == 6 && so_load_share(&f, 0.9) == 9 && so_load_share(&f, 0.99) == 10);
    assert_true(so_load_share(&f, 1) == 10);
    int count[4];
    so_load_count(&f, 8, count, 4); /* 1 | 2 3 | 4 5 | 6 and all above */
    assert_true(count[0] == 1 && count[1] == 2 && count[2] == 2 && count[3] == 5);
    assert_true(so_load_scale(&f, 4) == 20); /* spans of 5 */
    assert_true(so_load_scale(&f, 12) == 12);
    free(f.x);
}

/* Sound in pieces of 0.2 s: one that comes while the last still plays is in time, one that comes after it is not, and
 * the player then begins anew. */
static void a_player_that_runs_dry(void **state)
{
    (void)state;
    so_load_player p = {.lead = 0.06};
    assert_int_equal(so_load_play(&p, 10, 0.2), 0); /* until 10.26 */
    assert_int_equal(so_load_play(&p, 10.25, 0.2), 0);
    assert_int_equal(so_load_play(&p, 10.47, 0.2), 1); /* dry at 10.46 */
    assert_int_equal(so_load_play(&p, 10.72, 0.2), 0); /* until 10.73 */
    assert_true(fabs(p.dry_at - 10.93) < 1e-9);
}

static void where_the_voice_is(void **state)
{
    (void)state;
    enum { N = 24000 };
    static float pcm[N];
    so_load_turn turn = {.pcm = pcm, .n = N};
    so_load_turn_find(&turn);
    assert_true(turn.begin_s == 0 && turn.end_s == 0); /* silence */
    for (int i = 0; i < N; i++) pcm[i] = 0.001f;
    for (int i = 6000; i < 12000; i++) pcm[i] = i % 2 ? 0.5f : -0.5f;
    so_load_turn_find(&turn);
    assert_true(turn.begin_s == 0.25 && turn.end_s == 0.5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(shares), cmocka_unit_test(a_player_that_runs_dry),
                                       cmocka_unit_test(where_the_voice_is)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
