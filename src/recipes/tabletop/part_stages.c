/* The tabletop recipe's stages, and how a part runs its own.
 * SPDX-License-Identifier: Apache-2.0 */
#include "recipes/tabletop/part_stages.h"

#include <string.h>

/* A share is the mean number of samples in a batch: pictures or conversations (eyes, backbone, omni), utterances
 * (bottom, top). The codec's batches are filled up to a number of frames instead, and their share is 1. */
/* clang-format off: a table read by line */
static const so_tt_stage stages[] = {
    {.stage = {.name = "eyes",
               .network = "omni",
               .learns = {{"vision", 1, 1}, {"heads", 1, 1}},
               .task = {{"picture", 32}},
               .loss = {{"shape", 1}, {"colour", 1}, {"size", 1}, {"place", 1}},
               .rate = 1.5e-3,
               .floor = 0.02,
               .warmup = 100.0 / 6000,
               .adamw = {.decay = 0.02, .clip = 1}},
     .steps = 6000,
     .report_every = 50,
     .evaluate_every = 500},
    {.stage = {.name = "backbone",
               .network = "omni",
               .learns = {{"backbone", 1, 1}, {"projector", 1, 1}, {"aids", 1, 1}},
               .task = {{"vt-t", 3}, {"vt-t hard", 6}, {"chat", 6}, {"reckoning", 2}, {"long", 4}},
               .loss = {{"text", 1}, {"where", 0.1}, {"stand", 0.2}},
               .rate = 2e-3,
               .floor = 0.02,
               .warmup = 300.0 / 6000,
               .adamw = {.decay = 0.05, .clip = 1}},
     .steps = 6000,
     .report_every = 50,
     .evaluate_every = 500},
    {.stage = {.name = "ears",
               .network = "tokenizer",
               .learns = {{"tokenizer", 1, 1}},
               .task = {{"asr", 1}},
               .loss = {{"inner", 0.5}, {"ctc", 1}, {"commit", 0.25}},
               .rate = 1.2e-3,
               .floor = 0.02,
               .warmup = 200.0 / 12000,
               .adamw = {.decay = 0.02, .clip = 1}},
     .steps = 12000,
     .report_every = 20,
     .evaluate_every = 1000},
    {.stage = {.name = "steady",
               .network = "tokenizer",
               .learns = {{"tokenizer", 1, 1}},
               .task = {{"asr", 1}},
               .loss = {{"units", 1}},
               .rate = 1e-3,
               .floor = 0.02,
               .warmup = 200.0 / 4000,
               .adamw = {.decay = 0.02, .clip = 1}},
     .steps = 4000,
     .report_every = 20,
     .evaluate_every = 500},
    {.stage = {.name = "bottom",
               .network = "omni",
               .learns = {{"bottom", 1, 1}, {"phones", 1, 1}},
               .task = {{"asr", 22}, {"asr, answered", 5}, {"echo", 9}},
               .loss = {{"ctc", 1}, {"template", 0.1}, {"phonemes", 0.5}},
               .rate = 2e-3,
               .floor = 0.02,
               .warmup = 200.0 / 8000,
               .adamw = {.decay = 0.05, .clip = 1}},
     .steps = 8000,
     .report_every = 25,
     .evaluate_every = 500},
    {.stage = {.name = "top",
               .network = "omni",
               .learns = {{"top", 1, 1}},
               .task = {{"s-s", 16.8}, {"tts", 7.2}},
               .loss = {{"units", 1}},
               .rate = 2e-3,
               .floor = 0.02,
               .warmup = 200.0 / 6000,
               .adamw = {.decay = 0.05, .clip = 1}},
     .steps = 6000,
     .report_every = 25,
     .evaluate_every = 500},
    {.stage = {.name = "flow",
               .network = "flow",
               .learns = {{"flow", 1, 1}},
               .task = {{"voice", 1}},
               .loss = {{"flow", 1}, {"guess", 0.5}},
               .rate = 1.5e-3,
               .floor = 0.02,
               .warmup = 150.0 / 4500,
               .adamw = {.beta1 = 0.9, .beta2 = 0.98, .epsilon = 1e-8, .clip = 5, .average = 0.998}},
     .steps = 4500,
     .report_every = 20,
     .evaluate_every = 500},
    {.stage = {.name = "vocoder",
               .network = "vocoder",
               .learns = {{"hift", 1, 1}, {"f0", 1, 1}},
               .task = {{"voice", 1}},
               .loss = {{"mel", 45}, {"stft", 4}, {"f0", 0.1}},
               .rate = 1.5e-3,
               .floor = 0.02,
               .warmup = 100.0 / 8000,
               .adamw = {.beta1 = 0.8, .beta2 = 0.99, .epsilon = 1e-8, .clip = 300}},
     .steps = 8000,
     .report_every = 20,
     .evaluate_every = 500},
    {.stage = {.name = "adversarial",
               .network = "vocoder",
               .learns = {{"hift", 1, 1}, {"f0", 1, 1}, {"discriminators", 1, 1}},
               .task = {{"voice", 1}},
               .loss = {{"mel", 45}, {"stft", 4}, {"f0", 0.1}, {"fooling", 1}, {"features", 2}, {"relative", 1}},
               .rate = 2e-4,
               .floor = 0.1,
               .warmup = 50.0 / 3000,
               .adamw = {.beta1 = 0.8, .beta2 = 0.99, .epsilon = 1e-8, .clip = 300}},
     .steps = 3000,
     .report_every = 20,
     .evaluate_every = 250},
    {.stage = {.name = "omni",
               .network = "omni",
               .learns = {{"backbone", 1, 1}, {"aids", 1, 1}},
               .task = {{"spoken", 22}, {"vt-t", 3}, {"vt-t hard", 4}, {"chat", 8}, {"reckoning", 2}, {"long", 3}},
               .loss = {{"text", 1}, {"where", 0.1}, {"stand", 0.2}},
               .rate = 1e-3,
               .floor = 0.02,
               .warmup = 50.0 / 2900,
               .adamw = {.decay = 0.05, .clip = 1}},
     .steps = 2000,
     .report_every = 25,
     .evaluate_every = 250},
};
/* clang-format on */

const so_tt_stage *so_tt_stage_at(int i)
{
    return i >= 0 && i < (int)(sizeof stages / sizeof *stages) ? &stages[i] : NULL;
}

const so_tt_stage *so_tt_stage_find(const char *part)
{
    for (int i = 0; so_tt_stage_at(i); i++)
        if (strcmp(stages[i].stage.name, part) == 0) return &stages[i];
    return NULL;
}

double so_tt_share(const char *part, const char *task)
{
    const so_tt_stage *s = so_tt_stage_find(part);
    for (int i = 0; s && i < SO_STAGE_TASKS && s->stage.task[i].name; i++)
        if (strcmp(s->stage.task[i].name, task) == 0) return s->stage.task[i].share;
    return 0;
}

so_real so_tt_weight(const char *part, const char *loss)
{
    const so_tt_stage *s = so_tt_stage_find(part);
    return s ? (so_real)so_stage_weight(&s->stage, loss) : 0;
}

/* Weights that know something already learn more slowly. */
static const double GOING_ON = 0.5;

so_status so_tt_learn(const so_tt *tt, so_tt_job *job, so_error *error)
{
    const so_tt_stage *s = so_tt_stage_find(job->part);
    if (!s) return so_fail(error, SO_ERR_ARG, "no stage '%s'", job->part);
    so_optim optim[2] = {0};
    so_store *store[2] = {job->store, job->against};
    so_trainer trainer = {.plan = {.steps = tt->steps > 0 ? tt->steps : s->steps,
                                   .report_every = s->report_every,
                                   .evaluate_every = s->evaluate_every},
                          .hooks = job->hooks,
                          .extra = job->extra,
                          .extras = job->extras};
    so_stage_plan(&s->stage, &trainer.plan);
    if (so_tt_done(tt, "start")) trainer.plan.schedule.peak *= GOING_ON;
    so_status status = SO_OK;
    for (int i = 0; i < 2 && store[i] && status == SO_OK; i++) {
        status = so_stage_ready(&s->stage, store[i], &optim[i], error);
        trainer.player[trainer.players++] = &optim[i];
    }
    if (status == SO_OK) status = so_tt_train(tt, job->part, &trainer, error);
    if (status == SO_OK && s->stage.adamw.average > 0) so_optim_swap(&optim[0]);
    if (status == SO_OK) status = so_tt_keep(tt, job->store, job->keep, job->part, error);
    for (int i = 0; i < trainer.players; i++) so_optim_close(&optim[i]);
    return status;
}
