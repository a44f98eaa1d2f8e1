/* The cost model, against the figures of the paper's three stages at the published sizes.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "train/cost.h"

static const so_omni_config published = {
    .llama = {.width = 4096, .heads = 32, .kv_heads = 8, .head_width = 128, .ff = 14336},
    .bottom = 3,
    .backbone = 32,
    .top = 5,
    .text_rows = 128256,
    .audio_rows = 132352,
    .speech = true,
    .vision = true,
    .siglip = {.width = 1152, .heads = 16, .ff = 4304, .layers = 26, .image = 384, .patch = 14},
};

/* A figure that is printed with two digits. */
static void near(const char *what, double found, double expected)
{
    if (!(fabs(found - expected) <= 0.02 * expected)) fail_msg("%s: %.4g, expected %.4g", what, found, expected);
}

/* Hours on so many H800 at this share of their peak, without what frozen parts compute. */
static double hours(const so_cost *cost, int gpus, double share, double records)
{
    so_cost_machine m = so_cost_h800();
    so_cost_time t;
    so_cost learning = *cost;
    learning.frozen = 0;
    m.gpus = gpus;
    m.share = share;
    so_cost_run(&learning, &m, records, 128, &t);
    return t.seconds / 3600;
}

static void stage_one(void **state)
{
    (void)state;
    so_cost c;
    const so_stage *stage = so_stage_find("vision-text");
    double records = 4.0e6;
    so_cost_of(&published, stage, &(so_cost_rows){.backbone = 980, .pictures = 1}, true, &c);
    near("operations", records * (c.forward + c.back), 1.9e20);
    near("with recomputation", records * (c.forward + c.back + c.again), 2.5e20);
    near("parameters of the backbone", c.learning, 8.05e9);                  /* and the projector's */
    assert_true(records * c.frozen > 1.9e18 && records * c.frozen < 2.6e18); /* the tower: "2e18" */
    near("30 %", hours(&c, 8, 0.3, records), 30);
    near("40 %", hours(&c, 8, 0.4, records), 22);
    near("50 %", hours(&c, 8, 0.5, records), 18);
    near("64", hours(&c, 64, 0.35, records), 3.2);
}

static void stage_two(void **state)
{
    (void)state;
    so_cost c;
    const so_stage *stage = so_stage_find("speech-text");
    /* 2.04e9 units, of which 1.84e9 are spoken, too; a unit a record. */
    so_cost_of(&published, stage, &(so_cost_rows){.bottom = 2.04 / 1.84, .top = 1}, true, &c);
    double records = 1.84e9;
    near("operations", records * (c.forward + c.back), 3.6e19);
    near("with recomputation", records * (c.forward + c.back + c.again), 4.8e19);
    near("learn", c.learning, 4.2e9);
    near("20 %", hours(&c, 8, 0.2, records), 8.4);
    near("30 %", hours(&c, 8, 0.3, records), 5.6);
    near("40 %", hours(&c, 8, 0.4, records), 4.2);
    near("64", hours(&c, 64, 0.3, records), 0.7);
    so_cost_machine m = so_cost_h800();
    so_cost_time t;
    so_cost_run(&c, &m, records, 400000, &t);
    near("bytes, bf16 gradients", t.least, 23e9);
    near("bytes, f32 gradients", t.most, 4.2e9 * (2 + 4 + 12 / 8.0)); /* "31" */
    near("gradient", 2 * c.learning, 8.4e9);
}

static void stage_three(void **state)
{
    (void)state;
    so_cost c;
    const so_stage *stage = so_stage_find("tri-modal");
    double records = 9900.0 * 3600 / 14;
    so_cost_of(&published, stage, &(so_cost_rows){.backbone = 1660, .bottom = 790, .top = 400, .pictures = 1}, true,
               &c);
    near("operations", records * (c.forward + c.back), 2.0e20);
    near("with recomputation", records * (c.forward + c.back + c.again), 2.7e20);
    near("30 %", hours(&c, 8, 0.3, records), 32);
    near("40 %", hours(&c, 8, 0.4, records), 24);
    near("50 %", hours(&c, 8, 0.5, records), 19);
    near("64", hours(&c, 64, 0.35, records), 3.4);
    assert_true(c.frozen > 0 && c.frozen < 0.04 * (c.forward + c.back)); /* bottom layers and tower, there only */
}

static void what_ranks_send(void **state)
{
    (void)state;
    so_cost c = {.learning = 8.03e9, .used = 8.03e9, .forward = 980 * 2 * 8.03e9, .back = 980 * 4 * 8.03e9};
    c.again = c.forward;
    so_cost_machine m = so_cost_h800();
    so_cost_time t;
    m.share = 0.4;
    so_cost_run(&c, &m, 4e6, 128, &t);
    near("within eight", t.within, 0.176); /* 28 GB at 160 GB/s */
    near("an update", t.compute, 2.55);
    assert_true(t.between == 0);
    near("least", t.least, 44e9);
    near("most", t.most, 60e9);
    m.gpus = 64;
    m.share = 0.35;
    so_cost_run(&c, &m, 4e6, 128, &t);
    near("between eight", t.between, 0.078); /* 2 GB a device, there and back, at 45 GB/s */
    near("an update of 64", t.compute, 0.364);
    m = so_cost_h800();
    m.node = 1;
    m.wire = 1.1e9;
    so_cost_run(&c, &m, 4e6, 128, &t);
    near("10 GbE", t.between, 25.5);
}

/* A frozen backbone lets the gradient through to the projector: cheaper than learning, dearer than not. */
static void frozen_stacks(void **state)
{
    (void)state;
    so_stage stage = *so_stage_find("vision-text");
    so_cost all, projector;
    so_cost_of(&published, &stage, &(so_cost_rows){.backbone = 980, .pictures = 1}, false, &all);
    memset(&stage.learns[1], 0, sizeof stage.learns[1]);
    so_cost_of(&published, &stage, &(so_cost_rows){.backbone = 980, .pictures = 1}, false, &projector);
    near("back", projector.back, all.back / 2);
    near("there", projector.forward, all.forward);
    assert_true(projector.learning < 0.03e9 && projector.used == all.used);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stage_one),       cmocka_unit_test(stage_two),     cmocka_unit_test(stage_three),
        cmocka_unit_test(what_ranks_send), cmocka_unit_test(frozen_stacks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
