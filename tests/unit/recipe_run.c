/* The settings of a training run: keys, names of others, what is wrong, and the file that is written back.
 * SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "recipes/run/run_config.h"

#define WHOLE "stage = \"vision-text\"\nmodel = \"m\"\nout = \"o\"\n[plan]\nsteps = 5\nbatch_records = 4\n"
#define DATA "[[data]]\npath = \"d/x.json\"\ntask = \"vision-text\"\n"

static so_status read_with(so_run_config *c, const char *text, const char *set, so_string *notes, so_error *error)
{
    so_run_text t = {"run.toml", text, strlen(text), &set, set != NULL};
    return so_run_config_read(c, &t, notes, error);
}

static void the_stage_fills_what_is_left_out(void **state)
{
    (void)state;
    so_run_config c;
    so_error error;
    so_stage stage;
    CHECK_OK(read_with(&c, WHOLE "[optim.groups.projector]\nrate = 0.5\n" DATA, NULL, NULL, &error), error);
    so_run_config_stage(&c, &stage);
    const so_stage *row = so_stage_find("vision-text");
    assert_true(stage.rate == row->rate && stage.adamw.beta2 == row->adamw.beta2 && stage.shape == row->shape);
    assert_string_equal(stage.learns[0].group, "projector");
    assert_true(stage.learns[0].rate == 0.5 && stage.learns[1].rate == 1);
    assert_null(stage.learns[2].group);
    assert_string_equal(c.name, "run");
    assert_string_equal(c.data[0].name, "x.json");
    assert_true(c.plan.slots == 8 && c.save.every.seconds == 1200);
    so_run_config_close(&c);
}

static void settings_go_before_the_file(void **state)
{
    (void)state;
    so_run_config c;
    so_error error;
    so_stage stage;
    CHECK_OK(read_with(&c, WHOLE DATA, "data.x.json.take=first:3", NULL, &error), error);
    assert_string_equal(c.data[0].take, "first:3");
    so_run_config_close(&c);
    CHECK_OK(read_with(&c, WHOLE "[[data]]\nname = \"q\"\ntask = \"text\"\n", "data.q.path=z", NULL, &error), error);
    assert_string_equal(c.data[0].path, "z");
    so_run_config_close(&c);
    CHECK_OK(read_with(&c, WHOLE DATA, "stage=text", NULL, &error), error);
    so_run_config_stage(&c, &stage);
    assert_string_equal(stage.learns[0].group, "backbone");
    so_run_config_close(&c);
    CHECK_OK(read_with(&c, WHOLE DATA, "loss.text=0", NULL, &error), error);
    so_run_config_stage(&c, &stage);
    assert_true(so_stage_weight(&stage, "text") == 0);
    so_run_config_close(&c);
}

static void names_of_other_trainers(void **state)
{
    (void)state;
    so_run_config c;
    so_error error;
    so_string notes = {0};
    CHECK_OK(read_with(&c,
                       "stage = \"vision-text\"\nmodel_name_or_path = \"m\"\noutput_dir = \"o\"\nmax_steps = 7\n"
                       "learning_rate = 2e-5\nglobal_batch_size = 4\nwarmup_steps = 30\n" DATA,
                       NULL, &notes, &error),
             error);
    assert_true(c.plan.steps == 7 && c.optim.rate == 2e-5 && c.plan.batch_records == 4 && c.optim.warmup == 30);
    assert_string_equal(c.model, "m");
    assert_non_null(strstr(notes.data, "max_steps is plan.steps here\n"));
    assert_non_null(strstr(notes.data, "warmup_steps is optim.warmup here: a number of steps from 1 on"));
    so_string_clear(&notes);
    so_run_config_close(&c);
    for (int i = 0; so_run_key_at(i); i++) {
        const so_run_key *key = so_run_key_at(i);
        assert_ptr_equal(so_run_key_find(key->name), key);
        assert_null(so_run_alias_find(key->name));
        assert_true(strlen(key->about) > 3);
    }
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *text, *set, *told;
    } wrong[] = {
        {WHOLE "stepz = 3\n" DATA, NULL, "'run.toml', line 7: no key is called plan.stepz; the nearest is plan.steps"},
        {WHOLE DATA, "optim.lr=1", "--set optim.lr=1: no key is called optim.lr"},
        {WHOLE DATA, "plan.rate=1", "the nearest is optim.rate"},
        {WHOLE DATA, "xylophone=1", "no key is called xylophone; 'train keys' lists them"},
        {WHOLE DATA, "per_device_train_batch_size=1",
         "per_device_train_batch_size is no key here: batches are of all ranks together"},
        {WHOLE DATA, "plan.steps=many", "plan.steps is \"many\", expected a whole number"},
        {WHOLE DATA, "plan.steps=1.5", "plan.steps is 1.5, expected a whole number"},
        {WHOLE DATA, "plan.steps=-1", "plan.steps is -1, expected 0 to 1e+12"},
        {WHOLE DATA, "optim.rate=true", "optim.rate is true, expected a number"},
        {WHOLE DATA, "optim.shape=round", "optim.shape is \"round\", expected one of cosine linear constant root"},
        {WHOLE DATA, "optim.shape=", "optim.shape is \"\", expected one of cosine"},
        {WHOLE DATA, "save.every=soon", "save.every is \"soon\", expected a number of steps, or a time as"},
        {WHOLE DATA, "learn=[1]", "learn is an array of 1, expected names"},
        {WHOLE DATA, "learn=nose", "no group is called 'nose'; there are backbone, projector, vision, bottom, top"},
        {WHOLE DATA, "stage=nine", "no stage is called 'nine'; 'train stages' lists them"},
        {WHOLE DATA, "loss.pairs=1", "the stage 'vision-text' has no loss 'pairs'; its losses are text"},
        {WHOLE DATA, "loss.ctc=1", "the stage 'vision-text' has no loss 'ctc'; its losses are text"},
        {WHOLE DATA, "optim.groups.nose.rate=1", "NAME one of backbone, projector, vision"},
        {WHOLE DATA, "plan.batch_rows=10", "2 of plan.batch_records, plan.batch_rows and plan.batch_units are given"},
        {WHOLE DATA, "plan.batch_records=0", "0 of plan.batch_records, plan.batch_rows and plan.batch_units"},
        {WHOLE DATA, "plan.slots=3", "plan.slots is 3, expected a power of two"},
        {WHOLE DATA, "data.path=x", "data.path stands in [[data]], two brackets"},
        {WHOLE DATA, "data.y.path=x", "data.y.path: no [[data]] has that name"},
        {WHOLE DATA, "ranks.exact=false", "there is no faster, inexact way yet"},
        {WHOLE, NULL, "no [[data]] to learn from"},
        {WHOLE "[[data]]\ntask = \"text\"\n", NULL, "[[data]] number 1 has no path"},
        {WHOLE "[[data]]\npath = \"x\"\n", NULL, "data 'x' has no task"},
        {WHOLE DATA DATA, NULL, "two [[data]] are called 'x.json'"},
        {WHOLE DATA "weight = 1\n[[data]]\npath = \"y\"\ntask = \"text\"\n", NULL, "1 of 2 [[data]] have a weight"},
        {WHOLE DATA "weight = 1\nepochs = 2\n", NULL, "a weight and epochs, expected one of them"},
        {WHOLE DATA "split = \"eval\"\n", NULL, "no [[data]] to learn from"},
        {WHOLE "[[run]]\nx = 1\n", NULL, "[[run]] is none of a run's tables"},
        {WHOLE DATA "steps = 1\n", NULL, "line 10: no key is called data.steps; the nearest is plan.steps"},
        {"stage = \"text\"\nmodel = \"m\"\n", NULL, "'run.toml' has no out, the folder of the run"},
        {"model = \"m\"\n", NULL, "'run.toml' has no stage; 'train stages' lists them"},
        {"stage = text", NULL, "'run.toml': line 1: 'text' is no value; a text stands in quotes"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        so_run_config c;
        so_error error = {0};
        so_status status = read_with(&c, wrong[i].text, wrong[i].set, NULL, &error);
        if (status == SO_OK || !strstr(error.text, wrong[i].told))
            fail_msg("%zu (%s): status %d, '%s'", i, wrong[i].set ? wrong[i].set : "", (int)status, error.text);
        so_run_config_close(&c);
    }
}

/* What is written down gives the same run when it is read. */
static void the_resolved_file_is_the_run(void **state)
{
    (void)state;
    so_run_config c, again;
    so_error error;
    so_string one = {0}, two = {0}, settings[2] = {{0}, {0}};
    const char *text = WHOLE "rows = 100\n[optim]\nrate = 1e-4\ngroups.projector.rate = 2\n[evaluate]\nevery = 10\n"
                             "[save]\nevery = \"90s\"\n" DATA "name = \"q\"\ntake = \"10%\"\n"
                             "[[data]]\nname = \"e\"\npath = \"a \\\"b\\\"\"\ntask = \"text\"\nsplit = \"eval\"\n";
    CHECK_OK(read_with(&c, text, NULL, NULL, &error), error);
    CHECK_OK(so_run_config_print(&c, &one, &error), error);
    CHECK_OK(read_with(&again, one.data, NULL, NULL, &error), error);
    CHECK_OK(so_run_config_print(&again, &two, &error), error);
    assert_string_equal(one.data, two.data);
    assert_non_null(strstr(one.data, "\n[optim]\nrate = 0.0001\n"));
    assert_non_null(strstr(one.data, "groups.projector.rate = 2.0\n"));
    assert_non_null(strstr(one.data, "every = \"90s\"\n"));
    assert_non_null(strstr(one.data, "learn = [\"projector\", \"backbone\"]\n"));
    CHECK_OK(so_run_config_settings(&c, &settings[0], &error), error);
    CHECK_OK(so_run_config_settings(&again, &settings[1], &error), error);
    assert_string_equal(settings[0].data, settings[1].data);
    assert_non_null(strstr(settings[0].data, "\ndata.q.take \"10%\"\n"));
    assert_null(strstr(settings[0].data, "data.e."));    /* what is only measured changes nothing */
    assert_null(strstr(settings[0].data, "save.every")); /* neither does this */
    so_string_clear(&one);
    so_string_clear(&two);
    for (int i = 0; i < 2; i++) so_string_clear(&settings[i]);
    so_run_config_close(&c);
    so_run_config_close(&again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_stage_fills_what_is_left_out), cmocka_unit_test(settings_go_before_the_file),
        cmocka_unit_test(names_of_other_trainers),          cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(the_resolved_file_is_the_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
